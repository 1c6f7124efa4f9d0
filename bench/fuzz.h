/* SPDX-License-Identifier: Apache-2.0 */
/* Random valid problems, and the smallest of a kind: what qbench fuzz does without a device. */
#ifndef QB_FUZZ_H
#define QB_FUZZ_H

#include <lowbit/lowbit.h>
#include <stdbool.h>

/* A valid problem of integer weights whose product a slow device still does at once: any types,
 * granularities, strides, batches, epilogue and rounding; sizes that are often 0, 1 or next to a
 * tile's. */
void qb_fuzz_draw(uint64_t *state, lb_problem *problem);

/* Does this problem show what is looked for? */
typedef bool qb_fuzz_test(const lb_problem *problem, void *user);
/*
 * Takes away from *problem, which `test` must hold for, what can be taken away while it holds: the
 * sizes, then every word of the line. Returns the number of problems tried.
 */
size_t qb_fuzz_shrink(lb_problem *problem, qb_fuzz_test *test, void *user);

#endif
