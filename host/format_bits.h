/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the code of weight (n, k) lies in each user format: one bit-address function each, and
 * get/put pairs where a code is no contiguous field. Bits count from the beginning of the codes,
 * low bit of byte 0 first. s: N, K, bits of a code, K per group. Every function is injective on
 * [0, N) x [0, K).
 *
 * Sources: AutoGPTQ / GPTQModel (pack_original), AutoAWQ and llm-awq (pack_intweight),
 * compressed-tensors (pack_quantized), Marlin (_get_perms), bitsandbytes (quantize_4bit), the ONNX
 * Runtime operator com.microsoft.MatMulNBits, ggml (ggml-common.h, ggml-quants.c), BitNet
 * (quantize_i2_s, pack_weight.py), transformers (integrations/bitnet.py), Larq Compute Engine.
 */
#ifndef LB_FORMAT_BITS_H
#define LB_FORMAT_BITS_H

#include "format.h"

#define BIT(name) static uint64_t name##_bit(const lb_shape *s, uint64_t n, uint64_t k)
#define GET(name)                                                                                  \
    static unsigned name##_get(const lb_shape *s, const uint8_t *codes, uint64_t n, uint64_t k)
#define PUT(name)                                                                                  \
    static void name##_put(const lb_shape *s, uint8_t *codes, uint64_t n, uint64_t k, unsigned code)

static const uint8_t lb_awq_order[8] = {0, 4, 1, 5, 2, 6, 3, 7};

/* ---- Rows of plain bit streams --------------------------------------------------------------- */

BIT(stream) /* rows begin on bytes */
{
    return n * ((s->k * s->bits + 7) / 8 * 8) + k * s->bits;
}

BIT(words) /* rows begin on 32-bit words */
{
    return 32 * n * ((s->k * s->bits + 31) / 32) + k * s->bits;
}

/* ---- Packed along N or K for one GPU kernel or another --------------------------------------- */

/* A column's codes are a bit stream along K, cut into words that lie N apart. */
static uint64_t gptq_at(const lb_shape *s, uint64_t n, uint64_t i)
{
    return 32 * (i / 32 * s->n + n) + i % 32;
}
BIT(gptq)
{
    return gptq_at(s, n, k * s->bits);
}
GET(gptq3) /* 32 codes in 3 words: a code may straddle two of them */
{
    unsigned code = 0;
    for (unsigned i = 0; i < 3; i++)
        code |= lb_field_get(codes, gptq_at(s, n, 3 * k + i), 1) << i;
    return code;
}
PUT(gptq3)
{
    for (unsigned i = 0; i < 3; i++)
        lb_field_put(codes, gptq_at(s, n, 3 * k + i), 1, code >> i & 1u);
}
BIT(awq)
{
    return 32 * (k * (s->n / 8) + n / 8) + UINT64_C(4) * lb_awq_order[n % 8];
}
BIT(awq_v2) /* four rows interleaved, 64 of k at a time */
{
    uint64_t l = n % 4 * 64 + 32 * (k % 64 / 32) + 8 * (k % 8 / 2) + 4 * (k & 1) + k % 32 / 8;
    return 16 * (n / 4 * s->k + k / 64 * 64 + l / 4) + 4 * (l % 4);
}
BIT(marlin) /* the B fragments of mma.m16n8k16, four tiles of n per thread */
{
    uint64_t word = k / 16 * (2 * s->n) + n / 64 * 128 + (n % 8 * 4 + k % 8 / 2) * 4 + n % 64 / 16;
    return 32 * word + UINT64_C(4) * lb_awq_order[(k & 1) + 2 * (k % 16 / 8) + 4 * (n % 16 / 8)];
}
BIT(bnb4) /* the flattened matrix, first of a pair in the high nibble */
{
    uint64_t e = n * s->k + k;
    return 8 * (e / 2) + (e & 1 ? 0 : 4);
}
BIT(nbits) /* rows of whole blocks */
{
    uint64_t blocks = (s->k + s->group - 1) / s->group, blob = s->group * s->bits / 8;
    return 8 * ((n * blocks + k / s->group) * blob) + s->bits * (k % s->group);
}

/* ---- Ternary and binary ---------------------------------------------------------------------- */

BIT(i2_s)
{
    uint64_t e = n * s->k + k;
    return 8 * (e / 128 * 32 + e % 32) + 6 - 2 * (e % 128 / 32);
}
BIT(i2_s_arm)
{
    uint64_t e = n * s->k + k;
    return 8 * (e / 64 * 16 + e % 16) + 6 - 2 * (e % 64 / 16);
}
BIT(i2_s_rows)
{
    return 8 * (n / 4 * s->k + k) + 6 - 2 * (n % 4);
}
BIT(hf_bitnet)
{
    return 8 * (n % (s->n / 4) * s->k + k) + 2 * (n / (s->n / 4));
}
BIT(bitnet_gpu) /* tiles of 16 x 32 */
{
    uint64_t tile = n / 16 * (s->k / 32) + k / 32, r = n % 16, c = k % 32;
    uint64_t t = r / 8 * 16 + c / 16 * 8 + r % 8, o = c % 16;
    return 32 * (32 * tile + t) + 8 * (o % 4) + 2 * (o / 4);
}

/* ---- ggml blocks: rows of whole blocks, each with its scales --------------------------------- */

#define BLOCK(qk) (n * (s->k / (qk)) + k / (qk))

BIT(q4_0)
{
    return 8 * (18 * BLOCK(32) + 2 + k % 16) + 4 * (k % 32 / 16);
}
BIT(q4_1)
{
    return 8 * (20 * BLOCK(32) + 4 + k % 16) + 4 * (k % 32 / 16);
}
BIT(mxfp4)
{
    return 8 * (17 * BLOCK(32) + 1 + k % 16) + 4 * (k % 32 / 16);
}
BIT(q8_0)
{
    return 8 * (34 * BLOCK(32) + 2 + k % 32);
}
BIT(q4_k)
{
    return 8 * (144 * BLOCK(256) + 16 + 32 * (k % 256 / 64) + k % 32) + 4 * (k % 64 / 32);
}
BIT(iq4_xs)
{
    return 8 * (136 * BLOCK(256) + 8 + 16 * (k % 256 / 32) + k % 16) + 4 * (k % 32 / 16);
}
BIT(tq2_0)
{
    return 8 * (66 * BLOCK(256) + 32 * (k % 256 / 128) + k % 32) + 2 * (k % 128 / 32);
}
BIT(q2_k)
{
    return 8 * (84 * BLOCK(256) + 16 + 32 * (k % 256 / 128) + k % 32) + 2 * (k % 128 / 32);
}
BIT(q1_0)
{
    return 8 * (18 * BLOCK(128) + 2) + k % 128;
}
BIT(q2_0)
{
    return 8 * (18 * BLOCK(64) + 2) + 2 * (k % 64);
}

static unsigned split_get(const uint8_t *codes, lb_split at)
{
    return lb_field_get(codes, at.low, at.low_bits) | lb_field_get(codes, at.high, at.high_bits)
                                                          << at.low_bits;
}
static void split_put(uint8_t *codes, lb_split at, unsigned code)
{
    lb_field_put(codes, at.low, at.low_bits, code & ((1u << at.low_bits) - 1u));
    lb_field_put(codes, at.high, at.high_bits, code >> at.low_bits);
}

#define SPLIT(name)                                                                                \
    static lb_split name##_at(const lb_shape *s, uint64_t n, uint64_t k);                          \
    GET(name)                                                                                      \
    {                                                                                              \
        return split_get(codes, name##_at(s, n, k));                                               \
    }                                                                                              \
    PUT(name)                                                                                      \
    {                                                                                              \
        split_put(codes, name##_at(s, n, k), code);                                                \
    }                                                                                              \
    static lb_split name##_at(const lb_shape *s, uint64_t n, uint64_t k)

SPLIT(q5_0)
{
    uint64_t b = 22 * BLOCK(32);
    return (lb_split){8 * (b + 6 + k % 16) + 4 * (k % 32 / 16), 8 * (b + 2) + k % 32, 4, 1};
}
SPLIT(q5_1)
{
    uint64_t b = 24 * BLOCK(32);
    return (lb_split){8 * (b + 8 + k % 16) + 4 * (k % 32 / 16), 8 * (b + 4) + k % 32, 4, 1};
}
SPLIT(q3_k) /* high bits: bit k / 32 of byte k % 32 */
{
    uint64_t b = 110 * BLOCK(256), r = k % 256;
    return (lb_split){8 * (b + 32 + 32 * (r / 128) + r % 32) + 2 * (r % 128 / 32),
                      8 * (b + r % 32) + r / 32, 2, 1};
}
SPLIT(q5_k)
{
    uint64_t b = 176 * BLOCK(256), r = k % 256;
    return (lb_split){8 * (b + 48 + 32 * (r / 64) + r % 32) + 4 * (r % 64 / 32),
                      8 * (b + 16 + r % 32) + r / 32, 4, 1};
}
SPLIT(q6_k)
{
    uint64_t b = 210 * BLOCK(256), h = k % 256 / 128, t = k % 128 / 32, l = k % 32;
    return (lb_split){8 * (b + 64 * h + 32 * (t & 1) + l) + 4 * (t >> 1),
                      8 * (b + 128 + 32 * h + l) + 2 * t, 4, 2};
}

/* TQ1_0: five trits in a byte, as the fraction 0.t0 t1 t2 t3 t4 to base 3 in 256ths, rounded up. */
static const uint8_t lb_power3[5] = {1, 3, 9, 27, 81};

static unsigned tq1_0_place(const lb_shape *s, uint64_t n, uint64_t k, uint64_t *byte)
{
    uint64_t b = 54 * BLOCK(256), r = k % 256;
    if (r < 160) {
        *byte = b + r % 32;
        return (unsigned)(r / 32);
    }
    if (r < 240) {
        *byte = b + 32 + (r - 160) % 16;
        return (unsigned)((r - 160) / 16);
    }
    *byte = b + 48 + (r - 240) % 4;
    return (unsigned)((r - 240) / 4);
}
static unsigned tq1_0_trit(unsigned byte, unsigned place)
{
    return (uint8_t)(byte * lb_power3[place]) * 3u >> 8;
}
GET(tq1_0)
{
    uint64_t byte;
    unsigned place = tq1_0_place(s, n, k, &byte);
    return tq1_0_trit(codes[byte], place);
}
PUT(tq1_0)
{
    uint64_t byte;
    unsigned place = tq1_0_place(s, n, k, &byte), number = 0;
    for (unsigned i = 0; i < 5; i++)
        number = 3 * number + (i == place ? code : tq1_0_trit(codes[byte], i));
    codes[byte] = (uint8_t)((number * 256 + 242) / 243);
}

#endif
