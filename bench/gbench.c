/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lowbit-gbench [GOOGLE BENCHMARK OPTION...] [DEVICE [SUITE]]
 *
 * One benchmark per kernel row and line of the suite (default "perf"), named "row/line", timed on
 * the device's clock, checked once before it is timed.
 */
#include "gbench.h"

#include <stdio.h>
#include <stdlib.h>

#include "case.h"
#include "lines.h"

typedef struct job {
    lb_context *context;
    char kernel[64];
    lb_problem problem;
} job;

#define SAMPLED_ROWS 4

static lb_status iterate(gb_state *state, qb_case *c, lb_event *const *events)
{
    double seconds = 0;
    size_t turn = 0;
    lb_status status = LB_OK;
    while (status == LB_OK && gb_keep_running(state)) {
        status = lb_event_record(events[0], NULL);
        if (status == LB_OK)
            status = qb_case_run(c, turn++);
        if (status == LB_OK)
            status = lb_event_record(events[1], NULL);
        if (status == LB_OK)
            status = lb_event_elapsed(events[0], events[1], &seconds);
        gb_set_seconds(state, seconds);
    }
    return status;
}

static lb_status measure(gb_state *state, qb_case *c)
{
    lb_event *events[2] = {NULL, NULL};
    qb_check check;
    lb_status status = qb_case_check(c, SAMPLED_ROWS, 1, &check);
    if (status == LB_OK && !qb_check_passed(&check)) {
        gb_fail(state, "the result is wrong");
        return LB_OK;
    }
    if (status == LB_OK)
        status = lb_event_create(c->context, &events[0]);
    if (status == LB_OK)
        status = lb_event_create(c->context, &events[1]);
    if (status == LB_OK)
        status = iterate(state, c, events);
    lb_event_destroy(events[0]);
    lb_event_destroy(events[1]);
    gb_rate(state, "ops", lb_problem_ops(&c->in->problem));
    gb_rate(state, "bytes", qb_case_bytes(c));
    gb_counter(state, "weights_bytes", (double)c->info.weights_bytes);
    return status;
}

static void benchmark(gb_state *state, void *argument)
{
    const job *j = argument;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = j->kernel;
    qb_inputs in;
    qb_case c;
    lb_status status = qb_inputs_make(&j->problem, QB_DATA_NORMAL, 1, &in);
    if (status == LB_OK) {
        status = qb_case_open(j->context, &in, &desc, 64u << 20, &c);
        if (status == LB_OK)
            status = measure(state, &c);
        qb_case_close(&c);
    }
    qb_inputs_free(&in);
    if (status != LB_OK)
        gb_fail(state, lb_last_error());
}

/* Rows that accept the line become benchmarks. False: no memory. */
static int add_line(lb_context *context, const char *line)
{
    lb_problem p;
    char canonical[512];
    if (lb_problem_parse(line, &p) != LB_OK ||
        lb_problem_print(&p, canonical, sizeof canonical, NULL) != LB_OK) {
        fprintf(stderr, "lowbit-gbench: %s\n", lb_last_error());
        return 1;
    }
    for (size_t i = 0; i < lb_kernel_count(context); i++) {
        lb_kernel_info info = LB_KERNEL_INFO_INIT;
        lb_plan_desc desc = LB_PLAN_DESC_INIT;
        lb_plan_info plan_info = LB_PLAN_INFO_INIT;
        lb_plan *plan = NULL;
        lb_kernel_get_info(context, i, &info);
        desc.kernel = info.name;
        if (lb_plan_create(context, &p, &desc, &plan) != LB_OK)
            continue;
        lb_plan_get_info(plan, &plan_info);
        lb_plan_destroy(plan);
        if (plan_info.predicted_seconds > 5) /* the reference and its like */
            continue;
        job *j = malloc(sizeof *j); /* lives as long as the program */
        char name[640];
        if (!j)
            return 0;
        *j = (job){.context = context, .problem = p};
        snprintf(j->kernel, sizeof j->kernel, "%s", info.name);
        snprintf(name, sizeof name, "%s/%s", info.name, canonical);
        gb_register(name, benchmark, j);
    }
    return 1;
}

int main(int argc, char **argv)
{
    gb_initialize(&argc, argv);
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    qb_lines lines = {0};
    char why[256] = "";
    desc.device = argc > 1 ? argv[1] : NULL;
    lb_status status = lb_context_create(&desc, &context);
    if (status != LB_OK) {
        fprintf(stderr, "lowbit-gbench: %s\n", lb_last_error());
        return status == LB_NO_DEVICE ? 4 : 2;
    }
    int good = qb_lines_add_builtin(&lines, argc > 2 ? argv[2] : "perf", why, sizeof why);
    if (!good)
        fprintf(stderr, "lowbit-gbench: %s\n", why);
    for (size_t i = 0; good && i < lines.count; i++)
        good = add_line(context, lines.line[i]);
    if (good)
        gb_run();
    qb_lines_free(&lines);
    lb_context_destroy(context);
    return good ? 0 : 2;
}
