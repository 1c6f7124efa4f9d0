/* SPDX-License-Identifier: Apache-2.0 */
/* Timing on the device's clock, and the baseline that a time is compared with. */
#ifndef QB_MEASURE_H
#define QB_MEASURE_H

#include "case.h"

typedef struct qb_time {
    double median, low, high; /* seconds per run: median, 10th and 90th percentile */
    long samples, runs;       /* a sample is one or more runs between two events */
} qb_time;

/* Seconds of a clock that never goes back. */
double qb_now(void);

/* Runs at least once to warm up, then samples until `min_time` seconds have passed and at least
 * `least` samples are there. */
lb_status qb_measure(qb_case *c, double min_time, int least, qb_time *time);

/* The same for what is timed on the host's clock: `work` is one run. */
void qb_measure_host(void (*work)(void *), void *argument, double min_time, int least,
                     qb_time *time);

/*
 * sgemm of a BLAS library with 32-bit integers, by dlopen: what a user of f32 weights gets on the
 * CPU. A (m x k), B (n x k) and D (m x n) as in lb_problem, in f32.
 */
typedef struct qb_blas qb_blas;
/* NULL: none found; *why says what was looked for. */
qb_blas *qb_blas_open(char *name, size_t capacity);
void qb_blas_close(qb_blas *blas);
/* LB_OUT_OF_MEMORY, or LB_UNSUPPORTED for sizes beyond 32 bits. */
lb_status qb_blas_measure(qb_blas *blas, const lb_problem *problem, double min_time, qb_time *time);

#endif
