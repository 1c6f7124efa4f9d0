/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writers of the layouts that a warpgroup multiplies from registers (layout_functions.h), for
 * panels_code.h: in a word, fields of rows n and n + 8 and of several k lie above each other, and
 * threads lie side by side, 32 to 16 rows.
 */
#ifndef LB_PANELS_FRAG_H
#define LB_PANELS_FRAG_H

#include "panels_lines.h"

/* Rows with which another eight rows on go, and the first of their four threads. */
#define EACH_PAIR(i, thread)                                                                       \
    for (int64_t thread = 0, i = 0; thread < 128;                                                  \
         thread += 4, i = thread / 32 * 16 + thread % 32 / 4)

/* Word `word` of `side` side by side. */
static inline uint32_t *frag_word(uint32_t *block, int64_t word, int64_t thread, int64_t side)
{
    return block + (word / side * 128 + thread) * side + word % side;
}

/* Four k to a word; rows, then sixteens of k, above each other. */
WRITE(write_frag128)
{
    int64_t bits = e->bits, step = bits == 2 ? 32 : 16;
    uint32_t *blocks = (uint32_t *)codes + n / LB_PANEL * (e->k_pad / 128) * 256 * bits;
    for (int64_t at = 0; at < count; at += step) {
        uint32_t *block = blocks + (k + at) / 128 * 256 * bits;
        int64_t sixteen = (k + at) % 128 / 16;
        lb_line *l = x + at * bits / 32;
        for (int64_t j = 0; j < 4; j++) {
            unsigned shift = (unsigned)(2 * j);
            if (bits == 8)
                EACH_PAIR(i, t)
                {
                    *frag_word(block, 2 * sixteen, t + j, 4) = l[j][i];
                    *frag_word(block, 2 * sixteen + 1, t + j, 4) = l[j][i + 8];
                }
            else if (bits == 4)
                EACH_PAIR(i, t)
                {
                    uint32_t a = l[j / 2][i], b = l[j / 2][i + 8];
                    *frag_word(block, sixteen, t + j, 4) =
                        j % 2 ? (a >> 4 & 0x0f0f0f0fu) | (b & 0xf0f0f0f0u)
                              : (a & 0x0f0f0f0fu) | (b & 0x0f0f0f0fu) << 4;
                }
            else
                EACH_PAIR(i, t)
            *frag_word(block, sixteen / 2, t + j, 4) =
                (l[0][i] >> shift & 0x03030303u) | (l[0][i + 8] >> shift & 0x03030303u) << 2 |
                (l[1][i] >> shift & 0x03030303u) << 4 | (l[1][i + 8] >> shift & 0x03030303u) << 6;
        }
    }
}

/* Pair j of a word whose even k lie in the low half, odd ones in the high half. */
static inline uint32_t pair(uint32_t halves, int64_t j, int64_t bits)
{
    return halves >> j * bits & ((1u << bits) - 1u) * 0x00010001u;
}

/* Two k to a word; rows, then eights and sixteens of k, above each other. */
WRITE(write_frag64)
{
    int64_t bits = e->bits, step = bits == 2 ? 32 : bits == 4 ? 16 : 8, side = bits == 2 ? 2 : 4;
    uint32_t *blocks = (uint32_t *)codes + n / LB_PANEL * (e->k_pad / 64) * 128 * bits;
    EACH_LINE(l, count * bits / 32)
    EACH_ROW(i)
    x[l][i] = halves(x[l][i], bits);
    for (int64_t at = 0; at < count; at += step) {
        uint32_t *block = blocks + (k + at) / 64 * 128 * bits;
        int64_t word = (k + at) % 64 / step;
        lb_line *l = x + at * bits / 32;
        for (int64_t j = 0; j < 4; j++)
            EACH_PAIR(i, t)
            {
                uint32_t w;
                if (bits == 8) {
                    w = pair(l[j / 2][i], j % 2, 8) | pair(l[j / 2][i + 8], j % 2, 8) << 8;
                } else if (bits == 4) {
                    w = pair(l[0][i], j, 4) | pair(l[0][i + 8], j, 4) << 4 |
                        pair(l[1][i], j, 4) << 8 | pair(l[1][i + 8], j, 4) << 12;
                } else {
                    w = 0;
                    for (int64_t e8 = 0; e8 < 4; e8++)
                        w |= (pair(l[e8 / 2][i], j + e8 % 2 * 4, 2) |
                              pair(l[e8 / 2][i + 8], j + e8 % 2 * 4, 2) << 2)
                             << 4 * e8;
                }
                *frag_word(block, word, t + j, side) = w;
            }
    }
}

#endif
