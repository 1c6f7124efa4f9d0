/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of the rows of D (lb_args.d_sums): which problems have them, and their definition. */
#ifndef LB_SUMS_H
#define LB_SUMS_H

#include <stdbool.h>

#include "lowbit/lowbit.h"

/* Whether rows of D can be summed: its elements are codes. */
bool lb_sums_are_of(int32_t d_type);
/* INVALID_ARGUMENT where D is no codes, or its rows are so long that a sum may not fit s32. */
lb_status lb_sums_check(const lb_problem *p);
/* The sums of a D in host memory, [batch][m]. */
void lb_sums_make(const lb_problem *p, const void *d, int32_t *sums);

#endif
