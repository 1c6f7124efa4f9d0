/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans and runs that are refused, on every device of the machine: each thing that can be wrong
 * with a call is made wrong alone; it must give its code and a sentence that names it, and leave D
 * as it was.
 */
#include "check.h"
#include "rig.h"

#define LINE                                                                                       \
    "u8.token.z*s4.g32.z->s8.channel.z m3 n5 k40 +bias +res.f32.tensor +relu +round=stochastic"

/* ---- The devices and a good call --------------------------------------------------------------
 */

typedef void device_test(lb_context *context, const char *selector);

static void on_every_device(device_test *test)
{
    lb_device_info infos[16] = {LB_DEVICE_INFO_INIT};
    size_t count = 0;
    check_ok(lb_devices(infos, 16, &count));
    for (size_t i = 0; i < count; i++) {
        lb_context *context;
        lb_context_desc desc = LB_CONTEXT_DESC_INIT;
        desc.device = infos[i].selector;
        check_ok(lb_context_create(&desc, &context));
        test(context, infos[i].selector);
        lb_context_destroy(context);
    }
}

typedef struct call {
    rig_inputs in;
    rig r;
    rig_lane lane;
    lb_ptr random;
} call;

static void call_open(lb_context *context, const char *line, call *c)
{
    static const uint64_t seed_and_offset[2] = {1, 2};
    check_ok(rig_inputs_make(line, 7, &c->in));
    check_ok(rig_open(context, &c->in, NULL, &c->r));
    check_ok(rig_upload(context, seed_and_offset, sizeof seed_and_offset, &c->random));
    c->r.args.random = c->random;
    c->in.host.random = seed_and_offset;
    check_ok(rig_lane_open(&c->r, 0, &c->lane));
}

static void call_close(call *c)
{
    lb_context *context = c->r.context;
    rig_lane_close(&c->lane);
    rig_close(&c->r);
    lb_memory_free(context, c->random);
    rig_inputs_free(&c->in);
}

/* ---- Runs -------------------------------------------------------------------------------------
 */

/* What may be changed of a call. */
typedef struct wrong {
    const char *part; /* of the sentence */
    void (*spoil)(call *c, lb_args *args);
} wrong;

#define SPOIL(name, ...)                                                                           \
    static void name(call *c, lb_args *args)                                                       \
    {                                                                                              \
        (void)c;                                                                                   \
        __VA_ARGS__;                                                                               \
    }
#define NULL_OF(field) SPOIL(no_##field, args->field = (lb_ptr){0})
#define ODD(field, by) SPOIL(odd_##field, args->field.offset += (by))
NULL_OF(a)
NULL_OF(a_scale)
NULL_OF(a_zero)
NULL_OF(d)
NULL_OF(d_scale)
NULL_OF(d_zero)
NULL_OF(bias)
NULL_OF(residual)
NULL_OF(residual_scale)
NULL_OF(random)
ODD(a_scale, 2)
ODD(a_zero, 1)
ODD(d_scale, 2)
ODD(d_zero, 2)
ODD(bias, 2)
ODD(residual, 1)
ODD(residual_scale, 3)
ODD(random, 4)
SPOIL(no_weights, args->weights = NULL)
SPOIL(no_size, args->struct_size = 0)
SPOIL(other_size, args->struct_size = sizeof(lb_args) + 8)
SPOIL(flags, args->flags = LB_RUN_OVERLAP | 4)
SPOIL(m_negative, args->m = -1)
SPOIL(m_large, args->m = c->in.problem.m + 1)
SPOIL(m_huge, args->m = INT64_MAX)
SPOIL(d_over_a, args->d = args->a)
SPOIL(d_in_bias, args->d = (lb_ptr){args->bias.base, args->bias.offset + 1})
SPOIL(d_in_residual, args->d = args->residual)

static const wrong wrongs[] = {
    {"a is NULL", no_a},
    {"a_scale is NULL", no_a_scale},
    {"a_zero is NULL", no_a_zero},
    {"d is NULL", no_d},
    {"d_scale is NULL", no_d_scale},
    {"d_zero is NULL", no_d_zero},
    {"bias is NULL", no_bias},
    {"residual is NULL", no_residual},
    {"residual_scale is NULL", no_residual_scale},
    {"random is NULL", no_random},
    {"a_scale", odd_a_scale},
    {"a_zero", odd_a_zero},
    {"d_scale", odd_d_scale},
    {"d_zero", odd_d_zero},
    {"bias", odd_bias},
    {"residual", odd_residual},
    {"residual_scale", odd_residual_scale},
    {"random", odd_random},
    {"weights is NULL", no_weights},
    {"struct_size is 0", no_size},
    {"struct_size", other_size},
    {"flags 0x5 has unknown bits; LB_RUN_OVERLAP is 1", flags},
    {"m is -1", m_negative},
    {"m is 4, the plan takes 1 to 3", m_large},
    {"m is 9223372036854775807", m_huge},
    {"overlaps a ", d_over_a},
    {"overlaps bias", d_in_bias},
    {"overlaps residual", d_in_residual},
};

/* D as the device has it must still be poison. */
static void check_untouched(call *c, const char *what)
{
    check_ok(rig_lane_read(&c->lane));
    const unsigned char *d = c->lane.d;
    for (uint64_t i = 0; i < c->in.sizes.d; i++)
        cr_assert_eq(d[i], RIG_POISON, "%s: byte %d of D is written", what, (int)i);
}

static void refuse_runs(lb_context *context, const char *selector)
{
    call c;
    call_open(context, LINE, &c);
    check_ok(rig_lane_poison(&c.lane));
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        lb_args args = c.lane.args;
        wrongs[i].spoil(&c, &args);
        check_status(lb_run(c.r.plan, &args, c.lane.stream), LB_INVALID_ARGUMENT, wrongs[i].part);
        check_untouched(&c, wrongs[i].part);
    }
    check_status(lb_run(NULL, &c.lane.args, NULL), LB_INVALID_ARGUMENT, "plan is NULL");
    check_status(lb_run(c.r.plan, NULL, NULL), LB_INVALID_ARGUMENT, "args is NULL");
    lb_verify_report report;
    check_ok(rig_lane_check(&c.lane, &report));
    cr_expect(report.wrong == 0, "%s: the unspoilt call is wrong", selector);
    call_close(&c);
}

Test(plan, runs_that_are_refused_leave_d_alone, .timeout = 120)
{
    on_every_device(refuse_runs);
}

static void refuse_workspaces(lb_context *context, const char *selector)
{
    call c;
    call_open(context, "s8*s8->s32 m9 n33 k65", &c);
    uint64_t bytes = c.r.info.workspace_bytes;
    if (bytes) {
        lb_args args = c.lane.args;
        check_ok(rig_lane_poison(&c.lane));
        args.workspace_bytes = (size_t)bytes - 1;
        check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "workspace_bytes is");
        args.workspace_bytes = 0;
        check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT,
                     "workspace_bytes is 0, the plan needs");
        args = c.lane.args;
        args.workspace = (lb_ptr){0};
        check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "workspace is NULL");
        args = c.lane.args;
        args.workspace.offset += 64;
        check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT,
                     "is not aligned to 256 bytes");
        args = c.lane.args;
        args.d = args.workspace;
        check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps workspace");
        check_untouched(&c, selector);
    }
    call_close(&c);
}

Test(plan, workspaces_that_are_too_small_or_misaligned_are_refused, .timeout = 60)
{
    on_every_device(refuse_workspaces);
}

/* On the reference pointers are addresses: one array may have two bases. */
Test(plan, arrays_that_overlap_are_seen_whatever_their_base)
{
    lb_context *context;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    call c;
    desc.device = "ref";
    check_ok(lb_context_create(&desc, &context));
    call_open(context, "s8*s8->s32 m4 n4 k64", &c);
    check_ok(rig_lane_poison(&c.lane));
    lb_args args = c.lane.args;
    char *inside = (char *)args.a.base + args.a.offset;
    args.d = (lb_ptr){inside + 128, 0};
    check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps a ");
    args.d = (lb_ptr){inside - 60, 0};
    check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps a ");
    check_untouched(&c, "overlap");
    call_close(&c);
    lb_context_destroy(context);
}

/* D over the residual itself is the one overlap that is allowed. */
static void run_in_place(lb_context *context, const char *selector)
{
    call c;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    call_open(context, "s8*s8->s32 m4 n8 k16 +res.s32", &c);
    size_t bytes = (size_t)c.in.sizes.d;
    lb_args args = c.lane.args;
    args.d = args.residual;
    check_ok(lb_run(c.r.plan, &args, c.lane.stream));
    check_ok(lb_stream_sync(context, c.lane.stream));
    check_ok(lb_memory_read(context, c.lane.d, args.d, bytes, c.lane.stream));
    check_ok(lb_verify(&c.in.problem, &c.in.host, c.lane.d, 0, 1, 0, &report));
    cr_expect(report.wrong == 0, "%s", selector);
    args.d.offset += 4;
    check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps residual");
    call_close(&c);
}

Test(plan, d_may_be_the_residual_and_nothing_near_it, .timeout = 60)
{
    on_every_device(run_in_place);
}

static void run_fewer_rows(lb_context *context, const char *selector)
{
    call c;
    call_open(context, "s8*s8->s32 m6 n8 k16", &c);
    lb_args args = c.lane.args;
    args.m = 2;
    check_ok(rig_lane_poison(&c.lane));
    check_ok(lb_run(c.r.plan, &args, c.lane.stream));
    check_ok(rig_lane_read(&c.lane));
    const unsigned char *d = c.lane.d;
    for (size_t i = 2 * 8 * 4; i < c.in.sizes.d; i++)
        cr_assert_eq(d[i], RIG_POISON, "%s: byte %d beyond row 2", selector, (int)i);
    call_close(&c);
    call_open(context, "s8*s8->s32 m6 n8 k16 b2", &c);
    args = c.lane.args;
    args.m = 2;
    check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "batches are run whole");
    call_close(&c);
}

Test(plan, fewer_rows_leave_the_others_alone, .timeout = 60)
{
    on_every_device(run_fewer_rows);
}

static void mix_weights(lb_context *context, const char *selector)
{
    static const char *const others[] = {"s8*s8->s32 m4 n8 k17",        "s8*s8->s32 m4 n9 k16",
                                         "s8*u8->s32 m4 n8 k16",        "s8*s8.zt->s32 m4 n8 k16",
                                         "s8*s8.tensor->s32 m4 n8 k16", "s8*s8->s32 m4 n8 k16 b2"};
    call c, other;
    call_open(context, "s8*s8->s32 m4 n8 k16", &c);
    check_ok(rig_lane_poison(&c.lane));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        call_open(context, others[i], &other);
        lb_args args = c.lane.args;
        args.weights = other.r.weights;
        check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT,
                     "are not those of the plan");
        call_close(&other);
    }
    lb_context *elsewhere;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = selector;
    check_ok(lb_context_create(&desc, &elsewhere));
    call_open(elsewhere, "s8*s8->s32 m4 n8 k16", &other);
    lb_args args = c.lane.args;
    args.weights = other.r.weights;
    check_status(lb_run(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "another context");
    call_close(&other);
    lb_context_destroy(elsewhere);
    check_untouched(&c, selector);
    call_close(&c);
}

Test(plan, weights_of_another_plan_or_context_are_refused, .timeout = 60)
{
    on_every_device(mix_weights);
}

/* ---- lb_run_host ------------------------------------------------------------------------------
 */

static void refuse_host_runs(lb_context *context, const char *selector)
{
    static const size_t pointers[] = {offsetof(lb_args, a), offsetof(lb_args, a_scale),
                                      offsetof(lb_args, d), offsetof(lb_args, bias)};
    static const char *const names[] = {"a is NULL", "a_scale is NULL", "d is NULL",
                                        "bias is NULL"};
    call c;
    call_open(context, "s8.token*s8.channel->f32 m3 n4 k8 +bias", &c);
    unsigned char d[3 * 4 * 4];
    memset(d, RIG_POISON, sizeof d);
    lb_args good = LB_ARGS_INIT;
    good.weights = c.r.weights;
    good.a = (lb_ptr){c.in.array[0], 0};
    good.a_scale = (lb_ptr){c.in.array[1], 0};
    good.bias = (lb_ptr){c.in.array[8], 0};
    good.d = (lb_ptr){d, 0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lb_args args = good;
        memset((char *)&args + pointers[i], 0, sizeof(lb_ptr));
        check_status(lb_run_host(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, names[i]);
    }
    lb_args args = good;
    args.a.base = d + 1;
    check_status(lb_run_host(c.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps a");
    check_status(lb_run_host(NULL, &good, NULL), LB_INVALID_ARGUMENT, "plan is NULL");
    check_status(lb_run_host(c.r.plan, NULL, NULL), LB_INVALID_ARGUMENT, "args is NULL");
    for (size_t i = 0; i < sizeof d; i++)
        cr_assert_eq(d[i], RIG_POISON, "%s: D is written", selector);
    check_ok(lb_run_host(c.r.plan, &good, NULL));
    call_close(&c);
}

Test(plan, host_runs_that_are_refused_leave_d_alone, .timeout = 60)
{
    on_every_device(refuse_host_runs);
}

/* ---- Plans ------------------------------------------------------------------------------------
 */

static void refuse_plans(lb_context *context, const char *selector)
{
    lb_plan *const untouched = (lb_plan *)(uintptr_t)0x1234, *plan = untouched;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_problem p, broken;
    check_ok(lb_problem_parse("s8*s8->s32 m4 n4 k4", &p));
    check_status(lb_plan_create(NULL, &p, NULL, &plan), LB_INVALID_ARGUMENT, "context is NULL");
    check_status(lb_plan_create(context, &p, NULL, NULL), LB_INVALID_ARGUMENT, "plan is NULL");
    check_status(lb_plan_create(context, NULL, NULL, &plan), LB_INVALID_ARGUMENT,
                 "problem is NULL");
    broken = p;
    broken.struct_size = 4;
    check_status(lb_plan_create(context, &broken, NULL, &plan), LB_INVALID_ARGUMENT,
                 "struct_size is 4");
    broken = p;
    broken.k = -1;
    check_status(lb_plan_create(context, &broken, NULL, &plan), LB_INVALID_ARGUMENT, "k is -1");
    broken.k = INT64_MAX;
    check_status(lb_plan_create(context, &broken, NULL, &plan), LB_INVALID_ARGUMENT,
                 "k is 9223372036854775807");
    broken = p;
    broken.a.ld = INT64_MAX / 2;
    check_status(lb_plan_create(context, &broken, NULL, &plan), LB_INVALID_ARGUMENT, "overflow");
    desc.flags = 4;
    check_status(lb_plan_create(context, &p, &desc, &plan), LB_INVALID_ARGUMENT, "flags 0x4");
    desc = (lb_plan_desc){0};
    check_status(lb_plan_create(context, &p, &desc, &plan), LB_INVALID_ARGUMENT,
                 "struct_size is 0");
    desc = (lb_plan_desc)LB_PLAN_DESC_INIT;
    desc.kernel = "nonesuch";
    check_status(lb_plan_create(context, &p, &desc, &plan), LB_INVALID_ARGUMENT,
                 "no kernel 'nonesuch'");
    desc.kernel = NULL;
    desc.layout = "nonesuch";
    check_status(lb_plan_create(context, &p, &desc, &plan), LB_UNSUPPORTED,
                 "the plan asks for nonesuch");
    check_ok(lb_problem_parse("f16*f16->f16 m4 n4 k4", &p));
    check_status(lb_plan_create(context, &p, NULL, &plan), LB_UNSUPPORTED, "B is f16");
    cr_expect_eq(plan, untouched, "%s: a refused plan is stored", selector);
    lb_plan_info info = LB_PLAN_INFO_INIT;
    check_status(lb_plan_get_info(NULL, &info), LB_INVALID_ARGUMENT, "plan is NULL");
    lb_plan_destroy(NULL);
}

Test(plan, plans_that_are_refused_are_not_stored, .timeout = 60)
{
    on_every_device(refuse_plans);
}

static void describe(lb_context *context, const char *selector)
{
    call c;
    lb_plan_info info = {0};
    call_open(context, "s8*s8->s32 m4 n8 k16", &c);
    check_status(lb_plan_get_info(c.r.plan, &info), LB_INVALID_ARGUMENT, "struct_size is 0");
    check_status(lb_plan_get_info(c.r.plan, NULL), LB_INVALID_ARGUMENT, "info is NULL");
    info = c.r.info;
    cr_expect(info.exact && info.deterministic && info.weights_bytes > 256, "%s", selector);
    cr_expect(info.workspace_align == 256 && info.weights_align == 256 && info.kernel);
    cr_expect_str_eq(info.layout, lb_weights_layout(c.r.weights));
    cr_expect_str_eq(lb_weights_layout(NULL), "");
    call_close(&c);
}

Test(plan, says_what_it_is, .timeout = 60)
{
    on_every_device(describe);
}
