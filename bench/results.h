/* SPDX-License-Identifier: Apache-2.0 */
/* What `qbench run --json` wrote, read back: for `report` and `compare`. */
#ifndef QB_RESULTS_H
#define QB_RESULTS_H

#include <lowbit/lowbit.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct qb_result {
    const char *line;   /* the problem; strings live as long as the run */
    const char *kernel; /* NULL: it did not run */
    const char *parameters;
    bool tuned;
    const char *format; /* A*B->D of the line */
    lb_problem problem;
    double median, low, high; /* seconds: median, 10th and 90th percentile */
    long samples;
    double ops, bytes, joules;
    double f32_ratio; /* bytes of f32 weights / bytes of the packed ones */
    double baseline;  /* seconds; 0 = none */
    bool checked, passed, exact;
} qb_result;

typedef struct qb_run {
    const char *path;
    void *json;   /* owns the strings */
    size_t times; /* runs merged into this one */
    const char *version, *date, *baseline;
    const char *selector, *device, *vendor, *driver, *features;
    int compute_units, clock_mhz;
    double memory_bytes;
    lb_ceilings ceilings;
    qb_result *results;
    size_t count;
} qb_run;

/* false: no such file, or not of `qbench run --json`; a sentence in `why`. */
bool qb_run_load(const char *path, qb_run *run, char *why, size_t capacity);
void qb_run_free(qb_run *run);

/* The time that measured limits allow, as a share of `seconds`, and which limit counts; 0 = limits
 * unknown. */
double qb_share(const lb_ceilings *ceilings, const lb_problem *problem, double ops, double bytes,
                double seconds, bool *memory_bound);

/* If both are of one device and baseline: takes into `run` what `other` measured faster, problem by
 * problem, and returns true. `other` must outlive `run`. */
bool qb_run_merge(qb_run *run, const qb_run *other);

#endif
