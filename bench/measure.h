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

/* The same of any work on a device: run(argument, turn) enqueues it on `stream`, each time with
   another of `copies` sets of data. */
typedef lb_status qb_run_fn(void *argument, size_t turn);
lb_status qb_measure_device(lb_context *context, lb_stream stream, qb_run_fn *run, void *argument,
                            size_t copies, double min_time, int least, qb_time *time);

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

/*
 * cuBLASLt, by dlopen: what a user of NVIDIA's library gets on the same device. For integer A s8 x
 * s8 -> s8 with one scale, for float A f16 x f16 -> f16, K and N padded to whole vectors: the best
 * of the algorithms that its heuristic offers.
 */
static inline int qb_cublas_in_float(const lb_problem *p)
{
    return p->a.type == LB_TYPE_F16 || p->a.type == LB_TYPE_BF16 || p->a.type == LB_TYPE_F32;
}
typedef struct qb_cublas qb_cublas;
/* NULL: none found, or the device is not the process's first CUDA device; `name` says why. */
qb_cublas *qb_cublas_open(lb_context *context, char *name, size_t capacity);
void qb_cublas_close(qb_cublas *cublas);
lb_status qb_cublas_measure(qb_cublas *cublas, const lb_problem *problem, double min_time,
                            qb_time *time);

#endif
