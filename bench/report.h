/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a report's page; each writes one figure of one run, or nothing where the run has
 * nothing to show in it. */
#ifndef QB_REPORT_H
#define QB_REPORT_H

#include "plot.h"

/* Operations per second over operations per byte, under the measured ceilings. */
void qb_report_roofline(FILE *page, const qb_run *run);
/* Time over M, a panel per width of weights, with the baseline. */
void qb_report_rows(FILE *page, const qb_run *run);
/* Memory and speed against f32, a bar per format. */
void qb_report_bars(FILE *page, const qb_run *run);

/* Of a format (index of its first result): its results with the least and the largest M. */
typedef struct qb_ends {
    const qb_result *first, *small, *large;
} qb_ends;
/* One entry per format that ran, widest weights first; free() it. */
qb_ends *qb_report_formats(const qb_run *run, size_t *count);

#endif
