/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bit functions of layouts.def, one or two lines each: (n, k) of a weight matrix padded to
 * n_pad x k_pad -> absolute bit offset of its field of `bits` bits. Every one is a bijection onto
 * [0, n_pad * k_pad * bits).
 */
#ifndef LB_LAYOUT_FUNCTIONS_H
#define LB_LAYOUT_FUNCTIONS_H

#include <stdint.h>

#define LB_BIT_FUNCTION(name)                                                                      \
    static uint64_t lb_layout_##name##_bit(uint64_t n, uint64_t k, uint64_t n_pad, uint64_t k_pad, \
                                           uint64_t bits)

LB_BIT_FUNCTION(rows)
{
    (void)n_pad;
    return (n * k_pad + k) * bits;
}

/* Quads (or pairs) of k of 64 columns side by side; narrow fields of the next quads above each
 * other. */
static inline uint64_t lb_panel64_bit(uint64_t n, uint64_t k, uint64_t k_pad, uint64_t bits,
                                      uint64_t together)
{
    uint64_t fields = 8 / bits, quad = k / together;
    uint64_t line = n / 64 * (k_pad / together / fields) + quad / fields;
    return 8 * ((line * 64 + n % 64) * together + k % together) + bits * (quad % fields);
}

LB_BIT_FUNCTION(panel64x4)
{
    (void)n_pad;
    return lb_panel64_bit(n, k, k_pad, bits, 4);
}

LB_BIT_FUNCTION(panel64x2)
{
    (void)n_pad;
    return lb_panel64_bit(n, k, k_pad, bits, 2);
}

LB_BIT_FUNCTION(panel64w)
{
    (void)n_pad, (void)bits;
    return 32 * ((n / 64 * (k_pad / 32) + k / 32) * 64 + n % 64) + k % 32;
}

/* Of each 32 of k as many words as a code has bits. */
LB_BIT_FUNCTION(panel64p)
{
    (void)n_pad;
    uint64_t place = k % 32 * bits, line = (n / 64 * (k_pad / 32) + k / 32) * bits + place / 32;
    return 32 * (line * 64 + n % 64) + place % 32;
}

LB_BIT_FUNCTION(panel64h)
{
    (void)n_pad;
    uint64_t fields = 32 / bits, field = k % fields;
    return 32 * ((n / 64 * (k_pad / fields) + k / fields) * 64 + n % 64) + 16 * (field & 1) +
           bits * (field >> 1);
}

/* Blocks of 16 columns x `depth` of k, k's blocks side by side. */
static inline uint64_t lb_block16_bit(uint64_t n, uint64_t k, uint64_t k_pad, uint64_t bits,
                                      uint64_t depth)
{
    return ((n / 16 * (k_pad / depth) + k / depth) * 16 + n % 16) * depth * bits + k % depth * bits;
}

LB_BIT_FUNCTION(block16x64)
{
    (void)n_pad;
    return lb_block16_bit(n, k, k_pad, bits, 64);
}

LB_BIT_FUNCTION(block16x128)
{
    (void)n_pad;
    return lb_block16_bit(n, k, k_pad, bits, 128);
}

LB_BIT_FUNCTION(block16x256)
{
    (void)n_pad;
    return lb_block16_bit(n, k, k_pad, bits, 256);
}

LB_BIT_FUNCTION(block16x512)
{
    (void)n_pad;
    return lb_block16_bit(n, k, k_pad, bits, 512);
}

/* Blocks of 64 columns x 128 of k, as the 128 threads of a warpgroup take them: each has 64 codes,
 * 16 registers of four that lie apart in bytes; the 8 / bits registers of one word above each
 * other; up to four words side by side. */
LB_BIT_FUNCTION(frag64x128)
{
    (void)n_pad;
    uint64_t fields = 8 / bits, side = bits < 2 ? 2 : 4;
    uint64_t thread = n % 64 / 16 * 32 + n % 8 * 4 + k % 16 / 4;
    uint64_t field = k % 128 / 32 * 4 + k % 32 / 16 * 2 + n % 16 / 8, word = field / fields;
    uint64_t block = n / 64 * (k_pad / 128) + k / 128;
    return block * 8192 * bits + ((word / side * 128 + thread) * side + word % side) * 32 +
           k % 4 * 8 + field % fields * bits;
}

/* The same of 64 x 64 for products of 16-bit types: 32 codes a thread, 16 registers of two that lie
 * apart in half words. */
LB_BIT_FUNCTION(frag64x64)
{
    (void)n_pad;
    uint64_t fields = 16 / bits, side = bits < 4 ? bits : 4;
    uint64_t thread = n % 64 / 16 * 32 + n % 8 * 4 + k % 8 / 2;
    uint64_t field = k % 64 / 16 * 4 + k % 16 / 8 * 2 + n % 16 / 8, word = field / fields;
    uint64_t block = n / 64 * (k_pad / 64) + k / 64;
    return block * 4096 * bits + ((word / side * 128 + thread) * side + word % side) * 32 +
           k % 2 * 16 + field % fields * bits;
}

/* Bits in blocks of 64 columns x 1024 of k: 16 words a thread, four side by side. */
LB_BIT_FUNCTION(frag64x1024)
{
    (void)n_pad, (void)bits;
    uint64_t thread = n % 64 / 16 * 32 + n % 8 * 4 + k % 128 / 32;
    uint64_t chunk = k % 1024 / 256, word = k % 256 / 128 * 2 + n % 16 / 8;
    uint64_t block = n / 64 * (k_pad / 1024) + k / 1024;
    return block * 65536 + ((chunk * 128 + thread) * 4 + word) * 32 + k % 32;
}

/* Codes of 2 bits whose planes a warpgroup multiplies. Place `place` of group `group` of 32 bits of
 * a plane, of 64 columns: blocks of 256 of k; of each group as many words as a code has bits, whose
 * first ones lie side by side, then the second ones. */
static inline uint64_t lb_frag64p_bit(uint64_t n, uint64_t k_pad, uint64_t bits, uint64_t group,
                                      uint64_t place)
{
    uint64_t thread = n % 64 / 16 * 32 + n % 8 * 4 + group % 4;
    uint64_t block = n / 64 * (k_pad / 256) + group / 8, word = group % 8 / 4 * 2 + n % 16 / 8;
    return block * 16384 * bits + ((place / 32 * 128 + thread) * 4 + word) * 32 + place % 32;
}

/* A plane's even places have 16 of k, the odd ones those 256 of k on: as two words of codes, the
 * first of which goes to even places; bits lie as they go. */
LB_BIT_FUNCTION(frag64p512)
{
    (void)n_pad;
    uint64_t second = k % 512 / 256, group = k / 512 * 16 + k % 256 / 16, in = k % 16;
    return lb_frag64p_bit(n, k_pad, bits, group,
                          bits == 1 ? 2 * in + second : (16 * second + in) * bits);
}

/* A plane's places have k in order: even ones in the first word of codes, odd ones in the second.
 */
LB_BIT_FUNCTION(frag64p1024)
{
    (void)n_pad;
    return lb_frag64p_bit(n, k_pad, bits, k / 32, k % bits * 32 + k % 32 / bits * bits);
}

#endif
