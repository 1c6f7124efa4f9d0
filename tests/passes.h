/* SPDX-License-Identifier: Apache-2.0 */
/* One problem line through one kernel row, for test programs with and without Criterion. */
#ifndef TESTS_PASSES_H
#define TESTS_PASSES_H

#include <stdbool.h>
#include <stdio.h>

#include "case.h"

#define FULL_CHECK_OPS 2e7 /* larger problems: sampled rows */
#define SAMPLED_ROWS 12

/* True if D is right and nothing outside of it was written; says on stderr what is not. A row that
   refuses the problem fails too. Parameters NULL: as tuned, or the row's own. */
static bool passes_with(lb_context *context, const char *kernel, const char *parameters,
                        qb_data data, const char *line)
{
    lb_problem p;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    qb_inputs in = {0};
    qb_case c = {0};
    qb_check check = {0};
    desc.kernel = kernel;
    desc.parameters = parameters;
    lb_status status = lb_problem_parse(line, &p);
    if (status == LB_OK)
        status = qb_inputs_make(&p, data, 1, &in);
    if (status == LB_OK)
        status = qb_case_open(context, &in, &desc, 0, &c);
    if (status == LB_OK)
        status =
            qb_case_check(&c, lb_problem_ops(&p) < FULL_CHECK_OPS ? 0 : SAMPLED_ROWS, 1, &check);
    bool passed = status == LB_OK && qb_check_passed(&check);
    if (status != LB_OK)
        fprintf(stderr, "%s '%s': %s\n", kernel, line, lb_last_error());
    else if (!passed)
        fprintf(stderr, "%s '%s': %llu wrong, first at %lld, %lld: %g instead of %g\n", kernel,
                line, (unsigned long long)check.report.wrong, (long long)check.report.m,
                (long long)check.report.n, check.report.got, check.report.expected);
    qb_case_close(&c);
    qb_inputs_free(&in);
    return passed;
}

static inline bool passes(lb_context *context, const char *kernel, qb_data data, const char *line)
{
    return passes_with(context, kernel, NULL, data, line);
}

#endif
