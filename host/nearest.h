/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Did you mean": the known word nearest to a misspelt one, by the edits that typing goes wrong by
 * (a letter more, less, another, two swapped; case does not count). A header, because the library
 * and qbench both use it and the library exports only its interface.
 */
#ifndef LB_NEAREST_H
#define LB_NEAREST_H

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LB_NEAREST_LONGEST 48 /* characters of a word that is still looked up */

/* Edits from a to b (optimal string alignment: F. J. Damerau 1964, V. I. Levenshtein 1966). */
static inline size_t lb_edits(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][LB_NEAREST_LONGEST + 1]; /* of a[0 .. i - 2], [0 .. i - 1], [0 .. i] */
    for (size_t j = 0; j <= m; j++)
        row[1][j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[2][0] = i;
        for (size_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            size_t best = row[1][j - 1] + (x != y);
            best = row[1][j] + 1 < best ? row[1][j] + 1 : best;
            best = row[2][j - 1] + 1 < best ? row[2][j - 1] + 1 : best;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]) && row[0][j - 2] + 1 < best)
                best = row[0][j - 2] + 1;
            row[2][j] = best;
        }
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
    }
    return row[1][m];
}

/* "; did you mean 'WORD'?" of the blank-separated `words`, or "" where none is near: less than half
 * of the word's letters may be wrong. */
static inline const char *lb_did_you_mean(const char *words, const char *word, size_t length,
                                          char *text, size_t capacity)
{
    size_t least = (length + 1) / 2;
    text[0] = 0;
    for (size_t n; length <= LB_NEAREST_LONGEST && *words; words += n) {
        words += strspn(words, " ");
        n = strcspn(words, " ");
        size_t edits = n && n <= LB_NEAREST_LONGEST ? lb_edits(word, length, words, n) : least;
        if (edits >= least)
            continue;
        least = edits;
        snprintf(text, capacity, "; did you mean '%.*s'?", (int)n, words);
    }
    return text;
}

#endif
