/* SPDX-License-Identifier: Apache-2.0 */
/* What the rest of the host code asks about a problem. Public part: lowbit.h. */
#ifndef LB_PROBLEM_H
#define LB_PROBLEM_H

#include <stdbool.h>

#include "lowbit/lowbit.h"

/* Checks *problem and copies it to *out with every default made explicit: batch >= 1, ld and batch
   strides filled in, scale types set for B's scales and 0 elsewhere. All code behind the public
   functions works on normalised problems. */
lb_status lb_problem_normalise(const lb_problem *problem, lb_problem *out);

/* The functions below take normalised problems. */

/* Integer operands on both sides: exact s32 accumulation. */
bool lb_problem_is_integer(const lb_problem *p);
/* s32 output without any scale: no float anywhere (lowbit.h, lb_problem). */
bool lb_problem_is_raw(const lb_problem *p);
/* Integer-only epilogue by multipliers or thresholds: rounding is neither EVEN nor STOCHASTIC. */
bool lb_problem_is_fixed(const lb_problem *p);
/* B's scales have two levels: u8 per group, f32 per channel. */
bool lb_problem_is_stepped(const lb_problem *p);
/* Groups along K that have sums of their own: 1 without groups (also for k = 0) and where B's
   scales have two levels. */
int64_t lb_problem_groups(const lb_problem *p);
/* Their length: b.group or k. */
int64_t lb_problem_group_length(const lb_problem *p);
/* Groups along K of the caller's scales, whatever they are. */
int64_t lb_problem_scale_groups(const lb_problem *p);
/* Number of values of a scale or zero point of one batch. */
int64_t lb_granularity_count(const lb_problem *p, int32_t granularity);
/* Entries of a table of c4 or c2 weights; 0 for others. */
int64_t lb_problem_table_entries(const lb_problem *p);
/* lb_problem_sizes of a normalised problem, without checks. */
void lb_problem_sizes_of(const lb_problem *p, lb_sizes *sizes);
/* Bytes of one row of an operand's memory (ld elements). */
int64_t lb_operand_row_bytes(const lb_operand *operand);

#endif
