/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel row of every device of this machine, over every line of the built-in suites, with
 * normal and with extreme data: bit for bit, or within the derived bound; nothing written outside
 * of D. One test per device, row and data. A failure prints the problem line.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "lines.h"

#define FULL_CHECK_OPS 2e7 /* larger problems: sampled rows, to keep the oracle's time down */
#define SAMPLED_ROWS 12

typedef struct target {
    char device[24], kernel[64];
    int data;
} target;

static int failures;

static void complain(const target *t, const char *line, const char *what)
{
    if (failures++ < 5)
        fprintf(stderr, "qbench check --device %s --kernel %s '%s': %s\n", t->device, t->kernel,
                line, what);
}

/* 1 if the row takes the problem. */
static int check_line(const target *t, lb_context *context, const char *line)
{
    lb_problem p;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    qb_inputs in = {0};
    qb_case c = {0};
    qb_check check;
    desc.kernel = t->kernel;
    if (lb_problem_parse(line, &p) != LB_OK) {
        complain(t, line, lb_last_error());
        return 0;
    }
    lb_status status = qb_inputs_make(&p, t->data, 1, &in);
    if (status == LB_OK)
        status = qb_case_open(context, &in, &desc, 0, &c);
    int taken = status != LB_UNSUPPORTED;
    if (status == LB_OK)
        status =
            qb_case_check(&c, lb_problem_ops(&p) < FULL_CHECK_OPS ? 0 : SAMPLED_ROWS, 1, &check);
    if (taken && status != LB_OK)
        complain(t, line, lb_last_error());
    else if (taken && check.report.wrong)
        complain(t, line, "wrong elements");
    else if (taken && check.touched)
        complain(t, line, "bytes written outside of D");
    qb_case_close(&c);
    qb_inputs_free(&in);
    return taken;
}

/* The rows of every device, and both kinds of data. */
ParameterizedTestParameters(conformance, row)
{
    static target targets[256];
    static lb_device_info devices[32];
    size_t count = 0, found = 0;
    devices[0] = (lb_device_info)LB_DEVICE_INFO_INIT;
    lb_devices(devices, 32, &found);
    for (size_t d = 0; d < found && d < 32; d++) {
        lb_context_desc desc = LB_CONTEXT_DESC_INIT;
        lb_context *context;
        desc.device = devices[d].selector;
        if (lb_context_create(&desc, &context) != LB_OK)
            continue;
        for (size_t i = 0; i < lb_kernel_count(context); i++) {
            lb_kernel_info info = LB_KERNEL_INFO_INIT;
            lb_kernel_get_info(context, i, &info);
            for (int data = 0; data < 2 && count < 256; data++) {
                target *t = &targets[count++];
                snprintf(t->device, sizeof t->device, "%s", devices[d].selector);
                snprintf(t->kernel, sizeof t->kernel, "%s", info.name);
                t->data = data;
            }
        }
        lb_context_destroy(context);
    }
    return cr_make_param_array(target, targets, count);
}

ParameterizedTest(target *t, conformance, row)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    qb_lines lines = {0};
    char why[256] = "";
    int taken = 0;
    desc.device = t->device;
    cr_assert(qb_lines_add_builtin(&lines, NULL, why, sizeof why), "%s", why);
    cr_assert_eq(lb_context_create(&desc, &context), LB_OK, "%s", lb_last_error());
    for (size_t i = 0; i < lines.count; i++)
        taken += check_line(t, context, lines.line[i]);
    lb_context_destroy(context);
    qb_lines_free(&lines);
    if (taken == 0)
        cr_skip_test("%s takes none of the lines on %s", t->kernel, t->device);
    fprintf(stderr, "%-8s %-22s %s data: %d of the lines\n", t->device, t->kernel,
            t->data == QB_DATA_NORMAL ? "normal " : "extreme", taken);
    cr_assert_eq(failures, 0, "%d problems failed", failures);
}
