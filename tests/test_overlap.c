/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs that begin while the work before them still runs (LB_RUN_OVERLAP), on every device of this
 * machine: chains in which each run multiplies what the one before wrote, and overwrites what that
 * one read, end with the same bits as without the flag.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "check.h"

/* D is what A is. */
static const char *const lines[] = {
    "s8.tensor*s8.tensor->s8.tensor m5 n256 k256",
    "s8.tensor*s4.g64.z->s8.tensor m33 n384 k384",
    "s8.tensor*s8.tensor->s8.tensor m1 n2048 k2048",
    "u8.tensor.z*s8.tensor->u8.tensor m17 n256 k256",
    "s4.tensor*s4.tensor->s4.tensor m5 n256 k256",
    "t2.tensor*t2.tensor->t2.tensor m5 n512 k512",
    "b1*b1->b1 m5 n1024 k1024",
    "b1*t2->b1 m5 n1024 k1024",
    "f16*s4.g32->f16 m3 n256 k256 +relu6",
    "bf16*s8.channel->bf16 m20 n256 k256 +relu6",
    "f16*c4.g64->f16 m3 n256 k256 +relu6",
};
enum { LINES = sizeof lines / sizeof *lines };

typedef struct target {
    char device[24], kernel[64];
} target;

/* A processor multiplies as it enqueues, and would take long. */
static int steps_of(const lb_context *context)
{
    lb_device_info info = LB_DEVICE_INFO_INIT;
    check_ok(lb_context_info(context, &info));
    return info.is_gpu ? 300 : 4;
}

static bool varies(const unsigned char *bytes, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (bytes[i] != bytes[0])
            return true;
    return false;
}

/* ---- Products -------------------------------------------------------------------------------- */

/* What is in A's place after `steps` runs from `a` on, two pieces of memory by turns. */
static void chain(qb_case *c, const void *a, uint32_t flags, int steps, unsigned char *end)
{
    size_t bytes = (size_t)c->in->sizes.d;
    lb_ptr memory[2] = {c->copy[0].a, {NULL, 0}};
    lb_args args = c->args;
    args.flags = flags;
    args.weights = c->copy[0].weights;
    check_ok(lb_memory_alloc(c->context, bytes, &memory[1]));
    check_ok(lb_memory_write(c->context, memory[0], a, bytes, NULL));
    for (int i = 0; i < steps; i++) {
        args.a = memory[i % 2];
        args.d = memory[(i + 1) % 2];
        check_ok(lb_run(c->plan, &args, NULL));
    }
    check_ok(lb_stream_sync(c->context, NULL));
    check_ok(lb_memory_read(c->context, end, memory[steps % 2], bytes, NULL));
    lb_memory_free(c->context, memory[1]);
}

/* 1 if the row takes the line. */
static int compare(lb_context *context, const char *row, const char *line)
{
    lb_problem p;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    qb_inputs in = {0};
    qb_case c = {0};
    desc.kernel = row;
    check_ok(lb_problem_parse(line, &p));
    check_ok(qb_inputs_make(&p, QB_DATA_NORMAL, 1, &in));
    cr_assert_eq(in.sizes.a, in.sizes.d);
    size_t bytes = (size_t)in.sizes.d;
    lb_status status = qb_case_open(context, &in, &desc, 0, &c);
    if (status == LB_OK) {
        int steps = steps_of(context);
        unsigned char *end[2] = {malloc(bytes), malloc(bytes)};
        chain(&c, in.host.a, 0, steps, end[0]);
        chain(&c, in.host.a, LB_RUN_OVERLAP, steps, end[1]);
        cr_expect(memcmp(end[0], end[1], bytes) == 0, "%s: '%s': other bits", row, line);
        cr_expect(varies(end[0], bytes), "%s: '%s' tells nothing", row, line);
        free(end[0]);
        free(end[1]);
    } else {
        check_status(status, LB_UNSUPPORTED, row);
    }
    qb_case_close(&c);
    qb_inputs_free(&in);
    return status == LB_OK;
}

ParameterizedTestParameters(overlap, of_a_chain_of_products_changes_nothing)
{
    static target targets[256];
    static lb_device_info devices[32];
    size_t count = 0, found = 0;
    devices[0] = (lb_device_info)LB_DEVICE_INFO_INIT;
    lb_devices(devices, 32, &found);
    for (size_t d = 0; d < found && d < 32; d++) {
        lb_context *context = open_device(devices[d].selector);
        for (size_t i = 0; i < lb_kernel_count(context) && count < 256; i++) {
            lb_kernel_info info = LB_KERNEL_INFO_INIT;
            lb_kernel_get_info(context, i, &info);
            target *t = &targets[count++];
            snprintf(t->device, sizeof t->device, "%s", devices[d].selector);
            snprintf(t->kernel, sizeof t->kernel, "%s", info.name);
        }
        lb_context_destroy(context);
    }
    return cr_make_param_array(target, targets, count);
}

ParameterizedTest(target *t, overlap, of_a_chain_of_products_changes_nothing)
{
    lb_context *context = open_device(t->device);
    int taken = 0;
    for (int i = 0; i < LINES; i++)
        taken += compare(context, t->kernel, lines[i]);
    lb_context_destroy(context);
    if (taken == 0)
        cr_skip_test("%s takes none of the lines on %s", t->kernel, t->device);
}
