/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of problem lines: from the command line, from suite files, from the suites built in, and
 * the combinations of a bit width.
 *
 * A suite is a text of one line per problem. Empty lines and what follows '#' are skipped. Braces
 * stand for alternatives, as in a shell: "{s8,u8}*s8->s32 m{1,17} n33 k65" are four lines; a range
 * "{a..b}" is its integers.
 */
#ifndef QB_LINES_H
#define QB_LINES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct qb_lines {
    char **line;
    size_t count, capacity;
} qb_lines;

void qb_lines_free(qb_lines *lines);

/* These append; false: no memory, a file that cannot be read or braces that do not match, with a
 * sentence in `why`. */
bool qb_lines_add(qb_lines *lines, const char *text, char *why, size_t capacity); /* one line */
bool qb_lines_add_suite(qb_lines *lines, const char *text, char *why, size_t capacity);
bool qb_lines_add_file(qb_lines *lines, const char *path, char *why, size_t capacity);
/* The built-in suite `name`; NULL: all that are not for timing ("perf"). */
bool qb_lines_add_builtin(qb_lines *lines, const char *name, char *why, size_t capacity);
/* Weights of `bits` bits with every type of activations. */
bool qb_lines_add_width(qb_lines *lines, int bits, long long m, long long n, long long k,
                        long long batch, char *why, size_t capacity);

/* Names of the built-in suites, NULL past the end. */
const char *qb_builtin_suite(size_t index);

#endif
