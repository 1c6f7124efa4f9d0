/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writers of the layouts that a warpgroup multiplies from registers (layout_functions.h), for
 * panels_code.h. In a word, fields of a row, of the row eight rows on and of several k lie above
 * each other; such a pair of rows belongs to four threads, whose words lie side by side.
 */
#ifndef LB_PANELS_FRAG_H
#define LB_PANELS_FRAG_H

#include "panels_lines.h"

enum { PAIRS = LB_PANEL / 2 };
/* A word of each of the four threads of each pair of rows. */
typedef uint32_t frag_words[4][PAIRS];

/* Pair p, its first row, for eight pairs at a time, which lie side by side. */
#define EACH_PAIR(i, p)                                                                            \
    for (int64_t s_ = 0; s_ < PAIRS; s_ += 8)                                                      \
        for (int64_t p = s_, i = 2 * s_; p < s_ + 8; p++, i++)

/* [words][4][pairs] to the block's [words / side][pairs][4][side]. */
static inline void store_frag(frag_words *w, int64_t words, int64_t side, uint32_t *block)
{
    for (int64_t first = 0; first < words; first += side, block += INT64_C(4) * PAIRS * side)
        for (int64_t j = 0; j < 4; j++)
            for (int64_t p = 0; p < PAIRS; p += 4) {
                uint32_t *to = block + (4 * p + j) * side;
                if (side == 4)
                    turn4(&w[first][j][p], &w[first + 1][j][p], &w[first + 2][j][p],
                          &w[first + 3][j][p], (uint8_t *)to, 64);
                else
                    for (int64_t q = 0; q < 4; q++) {
                        to[8 * q] = w[first][j][p + q];
                        to[8 * q + 1] = w[first + 1][j][p + q];
                    }
            }
}

/* Four k to a word; rows, then sixteens of k, above each other. `l`: lines of 16 k, or of 32 at 2
   bits. */
static inline void words128(lb_line *l, int64_t bits, frag_words *w)
{
    for (int64_t j = 0; j < 4; j++) {
        uint32_t *to = w[0][j], *second = w[1][j];
        const uint32_t *a = l[j / 2], *b = l[1];
        if (bits == 8)
            EACH_PAIR (i, p) {
                to[p] = l[j][i];
                second[p] = l[j][i + 8];
            }
        else if (bits == 4 && j % 2 == 0)
            EACH_PAIR (i, p)
                to[p] = (a[i] & 0x0f0f0f0fu) | (a[i + 8] & 0x0f0f0f0fu) << 4;
        else if (bits == 4)
            EACH_PAIR (i, p)
                to[p] = (a[i] >> 4 & 0x0f0f0f0fu) | (a[i + 8] & 0xf0f0f0f0u);
        else
            EACH_PAIR (i, p)
                to[p] = (l[0][i] >> 2 * j & 0x03030303u) |
                        (l[0][i + 8] >> 2 * j & 0x03030303u) << 2 |
                        (b[i] >> 2 * j & 0x03030303u) << 4 | (b[i + 8] >> 2 * j & 0x03030303u) << 6;
    }
}
WRITE(write_frag128)
{
    frag_words w[17] = {0};
    int64_t bits = e->bits, step = bits == 2 ? 32 : 16, each = bits == 8 ? 2 : 1;
    uint32_t *blocks = (uint32_t *)codes + n / LB_PANEL * (e->k_pad / 128) * 256 * bits;
    for (int64_t at = 0; at < count; at += 128) {
        int64_t here = count - at < 128 ? count - at : 128;
        if (here < 128)
            memset(w, 0, sizeof w); /* padding is 0 */
        for (int64_t s = 0; s < here; s += step)
            words128(x + (at + s) * bits / 32, bits, w + s / step * each);
        store_frag(w, 2 * bits, 4, blocks + (k + at) / 128 * 256 * bits);
    }
}

/* Pair j of k of a word whose even k lie in the low half, odd ones in the high half. */
static inline uint32_t both(uint32_t halves, int64_t j, int64_t bits)
{
    return halves >> j * bits & ((1u << bits) - 1u) * 0x00010001u;
}
/* Two k to a word; rows, then eights and sixteens of k, above each other. `l`: halves of 8 k at 8
   bits, 16 at 4, 32 at 2. */
static inline void words64(lb_line *l, int64_t bits, frag_words *w)
{
    for (int64_t j = 0; j < 4; j++) {
        uint32_t *to = w[0][j];
        const uint32_t *a = l[bits == 8 ? j / 2 : 0], *b = l[1];
        if (bits == 8)
            EACH_PAIR (i, p)
                to[p] = both(a[i], j % 2, 8) | both(a[i + 8], j % 2, 8) << 8;
        else if (bits == 4)
            EACH_PAIR (i, p)
                to[p] = both(a[i], j, 4) | both(a[i + 8], j, 4) << 4 | both(b[i], j, 4) << 8 |
                        both(b[i + 8], j, 4) << 12;
        else
            EACH_PAIR (i, p)
                to[p] = both(a[i], j, 2) | both(a[i + 8], j, 2) << 2 | both(a[i], j + 4, 2) << 4 |
                        both(a[i + 8], j + 4, 2) << 6 | both(b[i], j, 2) << 8 |
                        both(b[i + 8], j, 2) << 10 | both(b[i], j + 4, 2) << 12 |
                        both(b[i + 8], j + 4, 2) << 14;
    }
}
WRITE(write_frag64)
{
    frag_words w[8] = {0};
    int64_t bits = e->bits, step = 64 / bits, side = bits == 2 ? 2 : 4;
    uint32_t *blocks = (uint32_t *)codes + n / LB_PANEL * (e->k_pad / 64) * 128 * bits;
    halve(x, count * bits / 32, bits, x[0]);
    for (int64_t at = 0; at < count; at += 64) {
        int64_t here = count - at < 64 ? count - at : 64;
        if (here < 64)
            memset(w, 0, sizeof w);
        for (int64_t s = 0; s < here; s += step)
            words64(x + (at + s) * bits / 32, bits, w + s / step);
        store_frag(w, bits, side, blocks + (k + at) / 64 * 128 * bits);
    }
}

#endif
