/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tuning database: which row, with which parameters, was fastest for a problem on a device.
 *
 * A text, one entry a line; '#' starts a comment:
 *
 *   device "NAME" PROBLEM LINE = ROW [PARAMETERS] @ SECONDS
 *   arch "FEATURE WORDS" ...
 *   vendor "NAME" ...
 *   default ...
 *
 * What is built in (tuning.txt) is read first, then the user's file, whose entries go before all
 * built-in ones; within one text the narrower scope goes first. Of an entry's problem the types of
 * A and B, whether scales are per group, and the sizes count; it holds for problems whose m, n, k
 * and batch are each within a factor of two of its own, the nearest first.
 */
#ifndef LB_TUNING_H
#define LB_TUNING_H

#include "backend.h"

/* An entry that this context's device can use. */
typedef struct lb_tuned {
    const lb_kernel *row; /* of the backend's table, or a variant that the entry owns */
    lb_kernel *owned;
    int rank; /* lower goes first */
    int32_t a_type, b_type, grouped;
    int64_t size[4]; /* m, n, k, batch */
    double seconds, ops;
} lb_tuned;

/* Reads what is built in and the user's file (`wish`: lb_context_desc.tuning) into
 * context->tuned. BAD_DATA names file and line; INVALID_ARGUMENT: the file asked for is not there.
 */
lb_status lb_tuning_open(lb_context *context, const char *wish);
void lb_tuning_close(lb_context *context);
/* The entry for a normalised problem; NULL = none. */
const lb_tuned *lb_tuning_find(const lb_context *context, const lb_problem *p);

#endif
