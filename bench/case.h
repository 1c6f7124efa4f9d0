/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One problem on one device, ready to run: plan, weights, device arrays. Several copies, used in
 * turn, keep a timed loop from finding its data in a cache. Shared by qbench, lowbit-gbench and the
 * conformance test.
 */
#ifndef QB_CASE_H
#define QB_CASE_H

#include "inputs.h"

typedef struct qb_copy {
    lb_weights *weights;
    lb_ptr a, d;
} qb_copy;

typedef struct qb_case {
    lb_context *context;
    const qb_inputs *in;
    lb_plan *plan;
    lb_plan_info info;
    lb_args args;     /* all but what a copy has */
    lb_ptr owned[10]; /* behind args */
    size_t copies;
    qb_copy *copy;
} qb_case;

/* desc may be NULL. Makes as many copies as `rotate` bytes of A, weights and D take, at least one,
   at most 64. `in` must outlive the case. Close it also after a failure. */
lb_status qb_case_open(lb_context *context, const qb_inputs *in, const lb_plan_desc *desc,
                       uint64_t rotate, qb_case *c);
void qb_case_close(qb_case *c);
/* Another plan for the same arrays: a kernel that eats the same layout of weights. UNSUPPORTED if
 * it does not, or refuses; then the case is as before. */
lb_status qb_case_replan(qb_case *c, const lb_plan_desc *desc);

/* Enqueues the product on the context's stream, with the next copy each time. */
lb_status qb_case_run(qb_case *c, size_t turn);

/* Runs once and copies D, [M][N] without gaps, to the host. */
lb_status qb_case_product(qb_case *c, void *d);

typedef struct qb_check {
    lb_verify_report report;
    uint64_t touched; /* bytes written outside of D's elements, and pad bits that are not 0 */
} qb_check;

/* Runs once into a poisoned D and compares: every element, or `rows` rows and Freivalds' test. */
lb_status qb_case_check(qb_case *c, int64_t rows, uint64_t seed, qb_check *check);
static inline int qb_check_passed(const qb_check *check)
{
    return check->report.wrong == 0 && check->touched == 0;
}

/* Bytes that one run must move at least: all inputs once, D once. */
double qb_case_bytes(const qb_case *c);

#endif
