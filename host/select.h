/* SPDX-License-Identifier: Apache-2.0 */
/* Selection: which kernel rows accept a problem on a device, in which order, and why the others do
 * not. */
#ifndef LB_SELECT_H
#define LB_SELECT_H

#include "backend.h"

#define LB_REASON_BYTES 256

typedef struct lb_candidate {
    const lb_kernel *row;
    bool accepted;
    bool tuned;                   /* the tuning database names it, with these parameters */
    bool proven;                  /* on a device of this kind */
    double cost;                  /* predicted seconds, if accepted */
    uint64_t workspace_bytes;     /* likewise */
    char reason[LB_REASON_BYTES]; /* why not, if refused */
} lb_candidate;

/* True if the row has passed on real hardware of the device's kind. */
bool lb_row_proven(const lb_kernel *row, const lb_device *device);
/* Judges one row. p is normalised; desc may be NULL. */
void lb_select_judge(const lb_kernel *row, const lb_problem *p, const lb_device *device,
                     const lb_plan_desc *desc, lb_candidate *out);
/* The row of a tuning entry, whose measured time is its cost. */
void lb_select_judge_tuned(const struct lb_tuned *tuned, const lb_problem *p,
                           const lb_device *device, const lb_plan_desc *desc, lb_candidate *out);
/* The row to use; `tuned` (may be NULL) goes before others as proven as it. UNSUPPORTED with the
 * nearest reason if none accepts. */
lb_status lb_select_best(const lb_backend *backend, const lb_problem *p, const lb_device *device,
                         const lb_plan_desc *desc, const struct lb_tuned *tuned,
                         lb_candidate *best);

#endif
