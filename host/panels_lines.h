/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps on lines of 64 words (panels.h), for panels_code.h, which is compiled once per kind of
 * processor. Fields of a word are named by the digits of k that they hold, from the top digit of
 * their position to the lowest: a line is "10" at 8 bits, "102" at 4 and "1032" at 2; a dense
 * stream is "10", "210", "3210". Exchanging two digits is three operations and a mask.
 */
#ifndef LB_PANELS_LINES_H
#define LB_PANELS_LINES_H

#include <string.h>

#include "panels.h"

#define EACH_ROW(i) for (int64_t i = 0; i < LB_PANEL; i++)
#define EACH_LINE(l, lines) for (int64_t l = 0; l < (lines); l++)

static inline uint32_t word_at(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Exchanges the bits of `mask` with those `shift` above them. */
static inline uint32_t exchange(uint32_t word, unsigned shift, uint32_t mask)
{
    uint32_t t = (word >> shift ^ word) & mask;
    return word ^ t ^ t << shift;
}
/* Middle bytes; the digit above and that below the middle of 16 bits, likewise of 8 bits ... */
static inline uint32_t middle_bytes(uint32_t w)
{
    return exchange(w, 8, 0x0000ff00u);
}
static inline uint32_t middle_nibbles(uint32_t w)
{
    return exchange(w, 4, 0x00f000f0u);
}
static inline uint32_t middle_pairs(uint32_t w)
{
    return exchange(w, 2, 0x0c0c0c0cu);
}

/* Dense streams to lines: "210" -> "102", "3210" -> "1032"; and back. */
static inline uint32_t line4(uint32_t w)
{
    return middle_nibbles(middle_bytes(w));
}
static inline uint32_t dense4(uint32_t w)
{
    return middle_bytes(middle_nibbles(w));
}
static inline uint32_t line2(uint32_t w) /* its own inverse: a square of 4 x 4, turned */
{
    return exchange(exchange(w, 6, 0x00cc00ccu), 12, 0x0000f0f0u);
}

/* Lines to words with even k in the low half, odd ones in the high half: "01", "021", "0321". `to`
   may be the lines themselves. */
static inline void halve(lb_line *x, int64_t lines, int64_t bits, uint32_t *to)
{
    const uint32_t *from = x[0];
    int64_t words = lines * LB_PANEL;
    if (bits == 8)
        for (int64_t i = 0; i < words; i++)
            to[i] = middle_bytes(from[i]);
    else if (bits == 4)
        for (int64_t i = 0; i < words; i++)
            to[i] = middle_nibbles(middle_bytes(from[i]));
    else
        for (int64_t i = 0; i < words; i++)
            to[i] = middle_pairs(middle_nibbles(middle_bytes(from[i])));
}

/* ---- Turning rows into columns --------------------------------------------------------------- */

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define LB_HAS_SHUFFLE 1
#endif
#endif

#ifdef LB_HAS_SHUFFLE
typedef uint32_t words4 __attribute__((vector_size(16)));
static inline words4 words4_at(const void *at)
{
    words4 w;
    memcpy(&w, at, sizeof w);
    return w;
}
static inline void turn4(const void *row0, const void *row1, const void *row2, const void *row3,
                         uint8_t *to, int64_t apart)
{
    words4 a = words4_at(row0), b = words4_at(row1), c = words4_at(row2), d = words4_at(row3);
    words4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
           AB = __builtin_shufflevector(a, b, 2, 6, 3, 7),
           cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
           CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    a = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    b = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    c = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
    d = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
    memcpy(to, &a, sizeof a);
    memcpy(to + apart, &b, sizeof b);
    memcpy(to + 2 * apart, &c, sizeof c);
    memcpy(to + 3 * apart, &d, sizeof d);
}
#else
static inline void turn4(const void *row0, const void *row1, const void *row2, const void *row3,
                         uint8_t *to, int64_t apart)
{
    const uint8_t *rows[4] = {row0, row1, row2, row3};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            memcpy(to + j * apart + 4 * i, rows[i] + 4 * j, 4);
}
#endif

/* Starts to bring what will be read, or written, soon. Any address will do. */
#if defined(__GNUC__)
#define FETCH(at) __builtin_prefetch(at)
#define FETCH_TO_WRITE(at) __builtin_prefetch(at, 1)
#else
#define FETCH(at) (void)(at)
#define FETCH_TO_WRITE(at) (void)(at)
#endif

/* `words` words of each of four rows, `from_row` bytes apart, side by side in lines that lie
   `to_row` bytes apart. */
static inline void turn_rows(const uint8_t *from, int64_t from_row, int64_t words, uint8_t *to,
                             int64_t to_row)
{
    int64_t whole = words / 4 * 4;
    for (int64_t w = 0; w < whole; w += 4) {
        const uint8_t *at = from + 4 * w;
        turn4(at, at + from_row, at + 2 * from_row, at + 3 * from_row, to + w * to_row, to_row);
    }
    for (int64_t w = whole; w < words; w++)
        for (int64_t i = 0; i < 4; i++)
            memcpy(to + w * to_row + 4 * i, from + i * from_row + 4 * w, 4);
}

/* The next `bytes` of four rows. */
static inline void fetch_rows(const uint8_t *at, int64_t row, int64_t bytes)
{
    for (int64_t i = 0; i < 4; i++)
        for (int64_t b = 0; b < bytes; b += 64)
            FETCH(at + i * row + bytes + b);
}

/* `words` words of each of 64 rows, side by side. */
static inline void gather(const uint8_t *codes, int64_t row, int64_t words, lb_line *x)
{
    for (int64_t i = 0; i < LB_PANEL; i += 4) {
        turn_rows(codes + i * row, row, words, (uint8_t *)&x[0][i], sizeof *x);
        fetch_rows(codes + i * row, row, 4 * words);
    }
}

/* The way back: row i begins at `to + i / 16 * sixteen + i % 16 * row`; what comes next, `ahead`
   bytes behind. */
static inline void scatter(lb_line *x, int64_t words, uint8_t *to, int64_t sixteen, int64_t row,
                           int64_t ahead)
{
    for (int64_t i = 0; i < LB_PANEL; i += 4) {
        uint8_t *at = to + i / 16 * sixteen + i % 16 * row;
        int64_t whole = words / 4 * 4;
        for (int64_t w = 0; w < whole; w += 4)
            turn4(&x[w][i], &x[w + 1][i], &x[w + 2][i], &x[w + 3][i], at + 4 * w, row);
        for (int64_t w = whole; w < words; w++)
            for (int64_t j = 0; j < 4; j++)
                memcpy(at + j * row + 4 * w, &x[w][i + j], 4);
        for (int64_t j = 0; j < 4; j++)
            for (int64_t b = 0; b < 4 * words; b += 64)
                FETCH_TO_WRITE(at + j * row + ahead + b);
    }
}

#endif
