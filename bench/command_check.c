/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qbench check: every problem on every device asked for, normal and extreme data, against the
 * reference. A failure prints the command that repeats it.
 */
#include <inttypes.h>
#include <string.h>

#include "qbench.h"

#define MOST_DEVICES 32
#define FULL_CHECK_OPS 1e9 /* larger problems: sampled rows */
#define SAMPLED_ROWS 16

typedef struct tally {
    size_t exact, bounded, wrong, unsupported, failed;
    double worst;
    int code;
} tally;

static void complain(const qb_options *o, const char *device, const char *kernel, const char *line,
                     const char *what)
{
    qb_progress(o, 1, 1, "");
    fprintf(stderr, "FAILED %s\n  repeat: qbench check --device %s --seed %lld%s%s '%s'\n", what,
            device, o->seed, kernel ? " --kernel " : "", kernel ? kernel : "", line);
}

static void count(tally *t, const qb_check *check)
{
    if (!qb_check_passed(check)) {
        t->wrong++;
        t->code = QB_EXIT_WRONG;
    } else if (check->report.exact) {
        t->exact++;
    } else {
        t->bounded++;
        t->worst = check->report.worst > t->worst ? check->report.worst : t->worst;
    }
}

static lb_status check_data(lb_context *context, const lb_problem *p, const lb_plan_desc *desc,
                            qb_data data, uint64_t seed, qb_check *check)
{
    qb_inputs in;
    qb_case c;
    lb_status status = qb_inputs_make(p, data, seed, &in);
    if (status == LB_OK) {
        status = qb_case_open(context, &in, desc, 0, &c);
        if (status == LB_OK)
            status = qb_case_check(&c, lb_problem_ops(p) < FULL_CHECK_OPS ? 0 : SAMPLED_ROWS, seed,
                                   check);
        qb_case_close(&c);
    }
    qb_inputs_free(&in);
    return status;
}

/* One problem with one kernel (NULL: the chosen one). */
static void check_kernel(const qb_options *o, lb_context *context, const char *device,
                         const char *kernel, const char *line, const lb_problem *p, tally *t)
{
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = kernel;
    for (qb_data data = QB_DATA_NORMAL; data <= QB_DATA_EXTREME; data++) {
        qb_check check;
        char what[768], text[64];
        lb_status status = check_data(context, p, &desc, data, (uint64_t)o->seed, &check);
        if (status == LB_UNSUPPORTED && kernel)
            return; /* not every row takes every problem */
        if (status == LB_UNSUPPORTED) {
            t->unsupported++;
            t->code = t->code ? t->code : QB_EXIT_UNSUPPORTED;
            return;
        }
        if (status != LB_OK) {
            snprintf(what, sizeof what, "%s: %s", lb_status_string(status), lb_last_error());
            complain(o, device, kernel, line, what);
            t->failed++;
            t->code = t->code == QB_EXIT_WRONG ? t->code : qb_exit_of(status);
            return;
        }
        count(t, &check);
        if (!qb_check_passed(&check)) {
            const lb_verify_report *r = &check.report;
            snprintf(what, sizeof what,
                     "%s with %s data; first at batch %" PRId64 ", m %" PRId64 ", n %" PRId64
                     ": expected %.9g, got %.9g",
                     qb_check_text(&check, text, sizeof text),
                     data == QB_DATA_NORMAL ? "normal" : "extreme", r->batch, r->m, r->n,
                     r->expected, r->got);
            complain(o, device, kernel, line, what);
        }
    }
}

static void check_line(const qb_options *o, lb_context *context, const char *device,
                       const char *line, tally *t)
{
    lb_problem p;
    if (lb_problem_parse(line, &p) != LB_OK) {
        complain(o, device, o->kernel, line, lb_last_error());
        t->failed++;
        t->code = t->code ? t->code : QB_EXIT_USAGE;
        return;
    }
    if (!o->kernel || strcmp(o->kernel, "all") != 0) {
        check_kernel(o, context, device, o->kernel, line, &p, t);
        return;
    }
    for (size_t i = 0; i < lb_kernel_count(context); i++) {
        lb_kernel_info info = LB_KERNEL_INFO_INIT;
        if (lb_kernel_get_info(context, i, &info) == LB_OK)
            check_kernel(o, context, device, info.name, line, &p, t);
    }
}

static int check_device(const qb_options *o, const char *device)
{
    tally t = {0};
    int code;
    lb_device_info info = LB_DEVICE_INFO_INIT;
    lb_context *context = qb_open(device, &code);
    if (!context)
        return code;
    lb_context_info(context, &info);
    for (size_t i = 0; i < o->lines.count; i++) {
        qb_progress(o, i, o->lines.count, o->lines.line[i]);
        check_line(o, context, info.selector, o->lines.line[i], &t);
    }
    qb_progress(o, 1, 1, "");
    lb_context_destroy(context);
    if (!o->quiet)
        printf("%-10s %zu lines, %zu checks: %zu exact, %zu within the bound (worst %.2f of it), "
               "%zu wrong, %zu failed, %zu unsupported\n",
               info.selector, o->lines.count, t.exact + t.bounded + t.wrong, t.exact, t.bounded,
               t.worst, t.wrong, t.failed, t.unsupported);
    return t.code;
}

int qb_command_check(qb_options *o)
{
    char why[256] = "";
    if (o->lines.count == 0 && !qb_lines_add_builtin(&o->lines, NULL, why, sizeof why)) {
        fprintf(stderr, "qbench: %s\n", why);
        return QB_EXIT_USAGE;
    }
    if (!o->device || strcmp(o->device, "all") != 0)
        return check_device(o, o->device);
    lb_device_info infos[MOST_DEVICES];
    size_t devices = qb_selectors(infos, MOST_DEVICES);
    int code = QB_EXIT_OK;
    for (size_t i = 0; i < devices; i++) {
        int one = check_device(o, infos[i].selector);
        code = code == QB_EXIT_OK || one == QB_EXIT_WRONG ? one : code;
    }
    return code;
}
