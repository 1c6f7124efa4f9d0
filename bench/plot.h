/* SPDX-License-Identifier: Apache-2.0 */
/* What the plots of a report share: logarithmic axes, and text that is safe in a page. */
#ifndef QB_PLOT_H
#define QB_PLOT_H

#include <stdio.h>

#include "results.h"

/* Values low to high at pixels from to to. */
typedef struct qb_axis {
    double low, high, from, to;
} qb_axis;

double qb_at(const qb_axis *axis, double value);
/* The axis widened to values that a tick stands at: 1, 2, 5 times a power of ten, or powers of two.
 */
void qb_axis_decimal(qb_axis *axis);
void qb_axis_binary(qb_axis *axis);
/* Ticks of a widened axis, as many as stand apart; `factor` 0: decimal, else from tick to tick. */
#define QB_TICKS 24
size_t qb_ticks(const qb_axis *axis, double factor, double *ticks);

/* Text with <, >, & and quotes escaped. */
void qb_escape(FILE *page, const char *text);
/* <text>, its words escaped. Class: styles of report.html, e.g. "tick end". */
void qb_label(FILE *page, double x, double y, const char *style, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void qb_line(FILE *page, double x0, double y0, double x1, double y1, const char *style);
/* A point of the problem's shape (round: integer activations, square: float, diamond: bits) and
 * colour (width of the weights), with what it stands for when pointed at. */
void qb_mark(FILE *page, double x, double y, const qb_result *result);

/* "250 µs", "2.16 TOPS" with as many digits as say something. */
const char *qb_time_text(double seconds, char *text, size_t capacity);
const char *qb_rate_text(double per_second, char *text, size_t capacity);
/* "s8 × s4 g128" of a problem, in UTF-8. */
const char *qb_format_text(const lb_problem *problem, char *text, size_t capacity);
/* Style of a width of weights: "b8", ... */
const char *qb_width_style(const lb_problem *problem);

#endif
