/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CUDA backend on a fake driver (tests/fake): devices, contexts, memory, launches, every error
 * path, and what the kernels compute that can run without a device. Each test is a process of its
 * own, so each loads the driver anew, with its own settings.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>

#include "case.h"
#include "check.h"
#include "cuda.h"
#include "fake/install.h"
#include "lines.h"
#include "measure.h"
#include "problem.h"
#include "quantizers.h"

static void *other_context(int device)
{
    fake_cuda_other_context_fn *make;
    void *symbol = dlsym(fake_library, "fake_cuda_other_context");
    memcpy(&make, &symbol, sizeof symbol);
    return make(device);
}

static int alive(const fake_cuda *f)
{
    return f->retains + f->streams + f->events + f->modules + f->allocations + f->library_objects;
}

#define expect_error(call, status, part)                                                           \
    do {                                                                                           \
        lb_status status_ = (call);                                                                \
        cr_expect_eq(status_, status, "%s gave %s", #call, lb_status_string(status_));             \
        cr_expect(strstr(lb_last_error(), part), "'%s' does not say '%s'", lb_last_error(), part); \
    } while (0)

/* ---- Devices --------------------------------------------------------------------------------- */

Test(devices, are_listed_first_and_in_the_drivers_order)
{
    lb_device_info infos[8] = {LB_DEVICE_INFO_INIT};
    size_t count;
    install("devices=2");
    cr_assert_eq(lb_devices(infos, 8, &count), LB_OK);
    cr_assert_geq(count, 3);
    for (int i = 0; i < 2; i++) {
        char selector[24];
        snprintf(selector, sizeof selector, "cuda:%d", i);
        cr_expect_str_eq(infos[i].backend, "cuda");
        cr_expect_str_eq(infos[i].selector, selector);
        cr_expect_eq(infos[i].index, i);
        cr_expect_eq(infos[i].compute_units, 100);
    }
    cr_expect_str_eq(infos[1].name, "Fake GPU 1");
    cr_expect_str_eq(lb_backend_note("cuda"), "");
}

typedef struct level {
    char settings[16], words[64];
} level;

ParameterizedTestParameters(devices, have_a_word_per_level)
{
    static level levels[] = {
        {"sm=70", "gpu cuda"},
        {"sm=75", "gpu cuda sm75"},
        {"sm=87", "gpu cuda sm75 sm80 sm86"},
        {"sm=90", "gpu cuda sm75 sm80 sm86 sm89 sm90 sm90a"},
        {"sm=121", "gpu cuda sm75 sm80 sm86 sm89 sm90 sm100 sm120 sm121a"},
    };
    return cr_make_param_array(level, levels, sizeof levels / sizeof *levels);
}

ParameterizedTest(level *l, devices, have_a_word_per_level)
{
    lb_device_info info = LB_DEVICE_INFO_INIT;
    install(l->settings);
    lb_context *context = open_device("cuda");
    lb_context_info(context, &info);
    cr_expect_str_eq(info.features, l->words);
    lb_context_destroy(context);
}

typedef struct absence {
    char settings[24], note[48];
} absence;

ParameterizedTestParameters(devices, are_absent_for_a_reason)
{
    static absence cases[] = {
        {"devices=0", "finds no device"},
        {"init=100", "CUDA_ERROR_NO_DEVICE (100)"},
        {"lacks=cuMemAlloc", "lacks cuMemAlloc of CUDA 3.2"},
        {"none", "no CUDA driver"},
    };
    return cr_make_param_array(absence, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(absence *a, devices, are_absent_for_a_reason)
{
    lb_context *context = NULL;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = "cuda";
    if (strcmp(a->settings, "none") != 0) {
        install(a->settings);
    } else {
        void *real = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
        if (real)
            cr_skip_test("a driver is installed here");
    }
    cr_expect(strstr(lb_backend_note("cuda"), a->note), "%s", lb_backend_note("cuda"));
    expect_error(lb_context_create(&desc, &context), LB_NO_DEVICE, a->note);
    cr_expect_null(context);
    desc.device = "auto";
    cr_expect_eq(lb_context_create(&desc, &context), LB_OK, "others are still there");
    lb_context_destroy(context);
}

/* ---- Contexts -------------------------------------------------------------------------------- */

Test(context, retains_the_primary_context_and_gives_it_back)
{
    fake_cuda *f = install("devices=2");
    lb_context *context = open_device("cuda:1");
    cr_expect_eq(f->retains, 1);
    cr_expect_eq(lb_cuda_of(context)->device, 1);
    lb_context_destroy(context);
    cr_expect_eq(alive(f), 0);
    cr_expect_eq(f->depth, 0);
}

Test(context, leaves_the_callers_current_context_alone)
{
    fake_cuda *f = install("devices=2");
    const lb_cu *cu = lb_cuda_load();
    CUcontext mine, now = NULL;
    cu->cuDevicePrimaryCtxRetain(&mine, 1);
    cu->cuCtxPushCurrent(mine);
    lb_context *context = open_device("cuda:0");
    lb_ptr memory;
    cr_assert_eq(lb_memory_alloc(context, 64, &memory), LB_OK);
    cr_expect_eq(f->depth, 1);
    lb_memory_free(context, memory);
    lb_context_destroy(context);
    cu->cuCtxPopCurrent(&now);
    cr_expect_eq(now, mine);
    cr_expect_eq(f->depth, 0);
}

Test(context, adopts_the_callers)
{
    fake_cuda *f = install("devices=2");
    const lb_cu *cu = lb_cuda_load();
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context = NULL;
    CUcontext mine;
    desc.device = "cuda";
    desc.native_device = (void *)2; /* device 1 */

    cu->cuDevicePrimaryCtxRetain(&mine, 1);
    desc.native_context = mine;
    cr_assert_eq(lb_context_create(&desc, &context), LB_OK, "%s", lb_last_error());
    cr_expect_eq(lb_cuda_of(context)->context, mine);
    cr_expect_eq(f->retains, 2, "a primary context is retained");
    lb_context_destroy(context);

    desc.native_context = other_context(1);
    cr_assert_eq(lb_context_create(&desc, &context), LB_OK, "%s", lb_last_error());
    cr_expect_eq((void *)lb_cuda_of(context)->context, desc.native_context);
    lb_context_destroy(context);

    desc.native_context = other_context(0);
    expect_error(lb_context_create(&desc, &context), LB_INVALID_ARGUMENT, "of CUDA device 0");
    cr_expect_eq(f->retains, 1);
    cr_expect_eq(f->streams, 0);
}

Test(context, works_without_the_optional_entry_points)
{
    install("lacks=cuFuncLoad");
    lb_context *context = open_device("cuda");
    lb_problem p;
    lb_plan *plan;
    cr_assert_eq(lb_problem_parse("s8*s8->s32 m4 n16 k32", &p), LB_OK);
    cr_assert_eq(lb_plan_create(context, &p, NULL, &plan), LB_OK, "%s", lb_last_error());
    lb_plan_destroy(plan);
    lb_context_destroy(context);
}

/* ---- Memory, streams, events ----------------------------------------------------------------- */

Test(memory, goes_there_and_back_from_an_offset)
{
    install("devices=1");
    lb_context *context = open_device("cuda");
    lb_ptr memory, inside;
    char back[8] = "";
    cr_assert_eq(lb_memory_alloc(context, 100, &memory), LB_OK);
    cr_expect_eq((size_t)memory.base % 256, 0);
    inside = (lb_ptr){memory.base, 92};
    cr_expect_eq(lb_memory_write(context, inside, "lowbits", 8, NULL), LB_OK);
    cr_expect_eq(lb_memory_read(context, back, inside, 8, NULL), LB_OK);
    cr_expect_str_eq(back, "lowbits");
    expect_error(lb_memory_write(context, inside, "lowbits!", 9, NULL), LB_DRIVER,
                 "cuMemcpyHtoDAsync failed with CUDA_ERROR_INVALID_VALUE (1)");
    lb_memory_free(context, memory);
    expect_error(lb_memory_alloc(context, (size_t)1 << 40, &memory), LB_OUT_OF_MEMORY,
                 "cuMemAlloc failed with CUDA_ERROR_OUT_OF_MEMORY (2)");
    lb_context_destroy(context);
}

Test(events, measure_between_recorded_ones_only)
{
    install("devices=1");
    lb_context *context = open_device("cuda");
    lb_event *start, *end;
    lb_stream stream;
    double seconds = 0;
    cr_assert_eq(lb_event_create(context, &start), LB_OK);
    cr_assert_eq(lb_event_create(context, &end), LB_OK);
    cr_assert_eq(lb_stream_create(context, LB_STREAM_OUT_OF_ORDER, &stream), LB_OK);
    cr_expect_eq(lb_event_record(start, stream), LB_OK);
    expect_error(lb_event_elapsed(start, end, &seconds), LB_INVALID_ARGUMENT, "never recorded");
    cr_expect_eq(lb_event_record(end, NULL), LB_OK);
    cr_expect_eq(lb_event_elapsed(start, end, &seconds), LB_OK);
    cr_expect_float_eq(seconds, 1e-3, 1e-9);
    lb_stream_destroy(context, stream);
    lb_event_destroy(start);
    lb_event_destroy(end);
    lb_context_destroy(context);
}

/* ---- Plans and runs -------------------------------------------------------------------------- */

#define LINE "s8.token*s4.channel->f16 m20 n300 k64 +bias"

typedef struct product {
    lb_context *context;
    qb_inputs in;
    qb_case c;
} product;

static lb_status product_open(product *x, const char *line, const char *kernel)
{
    lb_problem p;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = kernel;
    lb_status status = lb_problem_parse(line, &p);
    if (status == LB_OK)
        status = qb_inputs_make(&p, QB_DATA_NORMAL, 1, &x->in);
    if (status == LB_OK)
        status = qb_case_open(x->context, &x->in, &desc, 0, &x->c);
    return status;
}

static void product_close(product *x)
{
    qb_case_close(&x->c);
    qb_inputs_free(&x->in);
}

static product open_product(const char *line)
{
    product x = {.context = open_device("cuda")};
    cr_assert_eq(product_open(&x, line, "cuda_gemm_any"), LB_OK, "%s", lb_last_error());
    x.c.args.weights = x.c.copy[0].weights;
    x.c.args.a = x.c.copy[0].a;
    x.c.args.d = x.c.copy[0].d;
    return x;
}

static void close_product(product *x)
{
    product_close(x);
    lb_context_destroy(x->context);
}

Test(run, launches_with_the_callers_pointers_and_stream)
{
    fake_cuda *f = install("devices=1");
    product x = open_product(LINE);
    lb_args args = x.c.args;
    lb_stream stream;
    args.m = 17;
    cr_assert_eq(lb_stream_create(x.context, 0, &stream), LB_OK);
    cr_assert_eq(lb_run(x.c.plan, &args, stream), LB_OK, "%s", lb_last_error());
    const fake_launch *l = &f->last;
    cr_expect_eq(f->launches, 1);
    cr_expect_str_eq(l->name, "gemm_any");
    cr_expect_eq(l->grid[0], 9, "3 x 3 tiles of 8 x 128");
    cr_expect_eq(l->grid[1] * l->grid[2], 1);
    cr_expect_eq(l->block[0], 128);
    cr_expect_eq(l->stream, stream);
    cr_expect_eq(l->pointer[LB_PTR_A], args.a.base);
    cr_expect_eq(l->pointer[LB_PTR_D], args.d.base);
    cr_expect_eq(l->pointer[LB_PTR_A_SCALE], args.a_scale.base);
    cr_expect_eq(l->pointer[LB_PTR_BIAS], args.bias.base);
    cr_expect_null(l->pointer[LB_PTR_RESIDUAL]);
    cr_expect_eq(l->kargs.m, 17);
    cr_expect_eq(l->kargs.n, 300);
    cr_expect_eq(l->kargs.offset[LB_PTR_D], args.d.offset);
    cr_expect_eq(lb_run(x.c.plan, &args, NULL), LB_OK);
    cr_expect_eq(f->last.stream, lb_cuda_of(x.context)->stream);
    lb_stream_destroy(x.context, stream);
    close_product(&x);
    cr_expect_eq(alive(f), 0);
}

Test(run, allocates_nothing)
{
    fake_cuda *f = install("devices=1");
    product x = open_product(LINE);
    int before = alive(f);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(lb_run(x.c.plan, &x.c.args, NULL), LB_OK);
    cr_expect_eq(alive(f), before);
    close_product(&x);
}

Test(run, refuses_memory_that_is_not_there)
{
    fake_cuda *f = install("devices=2");
    product x = open_product(LINE);
    lb_context *second = open_device("cuda:1");
    lb_args args = x.c.args;
    lb_ptr far;
    static float host[64];
    int launches = f->launches;

    args.a_scale = (lb_ptr){host, 0};
    expect_error(lb_run(x.c.plan, &args, NULL), LB_INVALID_ARGUMENT, "a_scale, 0x");

    args = x.c.args;
    args.a.offset += 1 << 20;
    expect_error(lb_run(x.c.plan, &args, NULL), LB_INVALID_ARGUMENT, "lb_run: a needs 1280 bytes");

    args = x.c.args;
    cr_assert_eq(lb_memory_alloc(second, 1 << 20, &far), LB_OK);
    args.a = far;
    expect_error(lb_run(x.c.plan, &args, NULL), LB_INVALID_ARGUMENT, "of CUDA device 1");

    cr_expect_eq(f->launches, launches);
    lb_memory_free(second, far);
    lb_context_destroy(second);
    close_product(&x);
}

Test(run, refuses_the_stream_of_another_context)
{
    install("devices=2");
    product x = open_product(LINE);
    lb_context *second = open_device("cuda:1");
    lb_stream stream;
    cr_assert_eq(lb_stream_create(second, 0, &stream), LB_OK);
    expect_error(lb_run(x.c.plan, &x.c.args, stream), LB_INVALID_ARGUMENT, "another CUcontext");
    lb_stream_destroy(second, stream);
    lb_context_destroy(second);
    close_product(&x);
}

Test(plan, shares_modules_and_quotes_the_drivers_log)
{
    fake_cuda *f = install("devices=1");
    product x = open_product(LINE);
    lb_plan *plan;
    CUfunction function;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = "cuda_gemm_any";
    cr_assert_eq(lb_plan_create(x.context, &x.in.problem, &desc, &plan), LB_OK);
    cr_expect_eq(f->modules, 1);
    lb_cuda_enter(lb_cuda_of(x.context));
    expect_error(lb_cuda_function_get(lb_cuda_of(x.context), "broken.fatbin", "f", &function),
                 LB_DRIVER, "which logged: fake: line 1: broken failed with CUDA_ERROR_INVALID");
    lb_cuda_leave(lb_cuda_of(x.context));
    lb_plan_destroy(plan);
    close_product(&x);
}

/* ---- Every call fails once ------------------------------------------------------------------- */

static lb_status everything(const char *line, const char *kernel, uint32_t flags)
{
    product x = {0};
    qb_check check;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_stream stream = NULL;
    lb_event *event[2] = {NULL, NULL};
    double seconds;
    desc.device = "cuda";
    lb_status s = lb_context_create(&desc, &x.context);
    if (s != LB_OK)
        return s;
    s = product_open(&x, line, kernel);
    x.c.args.flags = flags;
    if (s == LB_OK)
        s = lb_stream_create(x.context, 0, &stream);
    for (int i = 0; i < 2 && s == LB_OK; i++) {
        s = lb_event_create(x.context, &event[i]);
        if (s == LB_OK)
            s = lb_event_record(event[i], stream);
    }
    if (s == LB_OK)
        s = qb_case_check(&x.c, 0, 1, &check);
    if (s == LB_OK)
        s = lb_event_elapsed(event[0], event[1], &seconds);
    if (s == LB_OK)
        s = lb_stream_sync(x.context, stream);
    lb_stream_destroy(x.context, stream);
    lb_event_destroy(event[0]);
    lb_event_destroy(event[1]);
    product_close(&x);
    lb_context_destroy(x.context);
    return s;
}

/* What gives back cannot fail: there the failure is swallowed, also that of making the context
   current or of the last wait. */
static int may_be_swallowed(const fake_cuda *f)
{
    return f->failed_release || strcmp(f->failed, "cuCtxPushCurrent") == 0 ||
           strcmp(f->failed, "cuStreamSynchronize") == 0;
}

/* What is done with every call failing in turn: also where clusters are launched, and runs may
   overlap. */
typedef struct sequence {
    char settings[16], line[40], kernel[24];
    uint32_t flags;
} sequence;

ParameterizedTestParameters(errors, of_every_call_are_reported_and_leave_nothing_behind)
{
    static sequence all[] = {
        {"devices=1", "s8*s8->s32 m4 n16 k32", "cuda_gemm_any", 0},
        {"sm=90", "s8*s8->s32 m1 n16 k1024", "cuda_wgmma_w8_16", 0},
        {"sm=90", "s8*s8->s32 m1 n16 k256", "cuda_mma_int_16k", LB_RUN_OVERLAP},
    };
    return cr_make_param_array(sequence, all, sizeof all / sizeof *all);
}

ParameterizedTest(sequence *x, errors, of_every_call_are_reported_and_leave_nothing_behind)
{
    fake_cuda *f = install(x->settings);
    long n = 0;
    cr_assert_eq(everything(x->line, x->kernel, x->flags), LB_OK, "%s", lb_last_error());
    cr_assert_eq(alive(f), 0);
    do {
        int memory = ++n % 2;
        f->calls = 0;
        f->fail_at = n;
        f->fail_with = memory ? CUDA_ERROR_OUT_OF_MEMORY : 719;
        f->failed = NULL;
        lb_status status = everything(x->line, x->kernel, x->flags);
        if (!f->failed)
            break;
        if (status == LB_OK) {
            cr_expect(may_be_swallowed(f), "failure %ld, of %s, is lost", n, f->failed);
        } else {
            cr_expect_eq(status, memory ? LB_OUT_OF_MEMORY : LB_DRIVER, "%ld: %s", n, f->failed);
            cr_expect(strstr(lb_last_error(), f->failed), "'%s' of %s", lb_last_error(), f->failed);
        }
        cr_expect_eq(alive(f), 0, "failure %ld, of %s, leaks", n, f->failed);
        cr_expect_eq(f->depth, 0);
    } while (1);
    cr_expect_gt(n, 60, "of the many calls only %ld were seen", n);
}

/* ---- What kernels compute -------------------------------------------------------------------- */

/* A row of the table, on the built-in lines that are small enough and that it accepts, the threads
   in their order or turned round. */
typedef struct computation {
    int row, data, backwards;
} computation;

ParameterizedTestParameters(kernels, compute_what_the_reference_says)
{
    static computation all[256];
    size_t count = 0;
    for (size_t row = 0; row < lb_cuda_row_count; row++)
        for (int i = 0; i < 2; i++)
            all[count++] = (computation){(int)row, i ? QB_DATA_EXTREME : QB_DATA_NORMAL, i};
    return cr_make_param_array(computation, all, count);
}

/* With AddressSanitizer threads take twenty times as long: there each computation sees every
   STRIDE-th line, another one than its neighbours. Warpgroups' large tiles cost twice as much as
   the others; what a library computes costs nothing. */
#ifdef __SANITIZE_ADDRESS__
#define STRIDE 16
#else
#define STRIDE 1
#endif

/* 1 if the row accepts the line, of at most `most` operations (they are interpreted element by
   element, on one core), and then it is right. */
static size_t computes(lb_context *context, const char *line, const char *row, int data,
                       double most)
{
    lb_problem p;
    qb_inputs in = {0};
    qb_case c = {0};
    qb_check check;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = row;
    cr_assert_eq(lb_problem_parse(line, &p), LB_OK, "%s", lb_last_error());
    if (lb_problem_ops(&p) > most)
        return 0;
    cr_assert_eq(qb_inputs_make(&p, data, 1, &in), LB_OK);
    lb_status status = qb_case_open(context, &in, &desc, 0, &c);
    if (status == LB_OK) {
        cr_assert_eq(qb_case_check(&c, 0, 1, &check), LB_OK, "%s", lb_last_error());
        cr_expect(qb_check_passed(&check), "%s: '%s': %llu wrong, %llu bytes outside of D", row,
                  line, (unsigned long long)check.report.wrong, (unsigned long long)check.touched);
    } else {
        cr_assert_eq(status, LB_UNSUPPORTED, "'%s': %s", line, lb_last_error());
    }
    qb_case_close(&c);
    qb_inputs_free(&in);
    return status == LB_OK;
}

ParameterizedTest(computation *x, kernels, compute_what_the_reference_says)
{
    const char *needs = lb_cuda_rows[x->row].needs;
    bool hopper = strstr(needs, "sm90a"), older = strstr(needs, "!sm90");
    fake_cuda *f = install(!x->backwards ? older ? "sm=89" : "sm=90"
                           : hopper      ? "sm=90 units=1 backwards=1"
                                         : "sm=80 backwards=1");
    lb_context *context = open_device("cuda");
    qb_lines lines = {0};
    size_t computed = 0;
    char why[256];
    if (!f->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    cr_assert(qb_lines_add_builtin(&lines, NULL, why, sizeof why), "%s", why);
    const lb_cuda_row *row = lb_cuda_rows[x->row].impl;
    size_t stride = row->library ? 1 : hopper ? (STRIDE == 1 ? 2 : 4 * STRIDE) : STRIDE;
    for (size_t i = (size_t)(2 * x->row + x->backwards) % stride; i < lines.count; i += stride)
        computed += computes(context, lines.line[i], lb_cuda_rows[x->row].name, x->data, 1e6);
    cr_expect_geq(computed, 16 / stride, "%s took %zu lines", lb_cuda_rows[x->row].name, computed);
    qb_lines_free(&lines);
    lb_context_destroy(context);
}

/* A run of the row on the first line that it takes, while a stream is captured. */
static bool captured(fake_cuda *f, lb_context *context, const qb_lines *lines, const char *row)
{
    for (size_t i = 0; i < lines->count; i++) {
        lb_problem p;
        qb_inputs in = {0};
        qb_case c = {0};
        lb_plan_desc desc = LB_PLAN_DESC_INIT;
        desc.kernel = row;
        check_ok(lb_problem_parse(lines->line[i], &p));
        if (lb_problem_ops(&p) > 1e5 || p.m == 0 || p.n == 0)
            continue;
        check_ok(qb_inputs_make(&p, QB_DATA_NORMAL, 1, &in));
        lb_status status = qb_case_open(context, &in, &desc, 0, &c);
        if (status == LB_OK) {
            int launches = f->launches;
            f->capturing = 1;
            lb_status ran = qb_case_run(&c, 0);
            f->capturing = 0;
            cr_expect(ran == LB_OK, "%s: '%s': %s", row, lines->line[i], lb_last_error());
            cr_expect_null(f->failed, "%s calls %s", row, f->failed);
            cr_expect_gt(f->launches, launches);
        }
        qb_case_close(&c);
        qb_inputs_free(&in);
        if (status == LB_OK)
            return true;
    }
    return false;
}

Test(kernels, every_row_runs_while_a_stream_is_captured)
{
    fake_cuda *f = install("sm=90");
    lb_context *context = open_device("cuda");
    qb_lines lines = {0};
    char why[256];
    cr_assert(qb_lines_add_builtin(&lines, NULL, why, sizeof why), "%s", why);
    f->failed = NULL;
    for (size_t i = 0; i < lb_cuda_row_count; i++) {
        if (strstr(lb_cuda_rows[i].needs, "!sm90"))
            continue;
        cr_expect(captured(f, context, &lines, lb_cuda_rows[i].name), "%s", lb_cuda_rows[i].name);
    }
    /* The fake sees what does not belong there. */
    f->capturing = 1;
    lb_ptr memory;
    check_status(lb_memory_alloc(context, 16, &memory), LB_DRIVER, "cuMemAlloc");
    cr_expect_str_eq(f->failed, "cuMemAlloc");
    f->capturing = 0;
    qb_lines_free(&lines);
    lb_context_destroy(context);
}

/* ---- cuBLASLt -------------------------------------------------------------------------------- */

#define PLAIN "s8*s8->s32 m20 n36 k64"

static lb_status plan_cublaslt(lb_context *context, const char *line, lb_plan **plan)
{
    lb_problem p;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = "cuda_cublaslt";
    check_ok(lb_problem_parse(line, &p));
    return lb_plan_create(context, &p, &desc, plan);
}

typedef struct want {
    char library[128], says[64];
} want;

ParameterizedTestParameters(cublaslt, is_absent_for_a_reason)
{
    static want all[] = {
        {"", "$LOWBIT_CUBLASLT is empty, so cuBLASLt is not used"},
        {"/nowhere/libcublasLt.so.13", "names /nowhere/libcublasLt.so.13, which cannot be load"},
        {"unset", "libcublasLt.so.13 or .12 is not here; install cuBLAS"},
        {"libc.so.6", "libcublasLt lacks cublasLtCreate"},
    };
    return cr_make_param_array(want, all, sizeof all / sizeof *all);
}

ParameterizedTest(want *w, cublaslt, is_absent_for_a_reason)
{
    install("sm=90");
    setenv("LOWBIT_CUBLASLT", w->library, 1);
    if (strcmp(w->library, "unset") == 0) {
        unsetenv("LOWBIT_CUBLASLT");
        if (dlopen("libcublasLt.so.13", RTLD_LAZY) || dlopen("libcublasLt.so.12", RTLD_LAZY))
            cr_skip_test("a cuBLASLt is installed here");
    }
    lb_context *context = open_device("cuda");
    lb_problem p;
    lb_plan *plan = NULL;
    char text[8192];
    expect_error(plan_cublaslt(context, PLAIN, &plan), LB_UNSUPPORTED, w->says);
    check_ok(lb_problem_parse(PLAIN, &p));
    check_ok(lb_explain(context, &p, NULL, text, sizeof text, NULL));
    cr_expect(strstr(text, w->says), "%s", text);
    check_ok(lb_plan_create(context, &p, NULL, &plan));
    lb_plan_destroy(plan);
    lb_context_destroy(context);
}

Test(cublaslt, refuses_what_its_products_cannot_be)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"s8*s8->s32 m3 n18 k64", "n is 18; cuBLASLt's int8 products take multiples of 4"},
        {"s8*s8->s32 m3 n16 k63", "k is 63"},
        {"s8.ld66*s8->s32 m3 n16 k64", "A's ld is 66"},
        {"s8*s8->s32.ld18 m3 n16 k64", "D's ld is 18"},
        {"s8*s8->s32 m3 n16 k0", "k 0; cuBLASLt takes no empty matrix"},
        {"s8*s8->s32 m0 n16 k64", "m is 0"},
        {"s8*s8->s32 m3 n16 k68 b2", "204 bytes of A and 192 of D; it takes multiples of 16"},
        {"s8*s8->s32 m3 n16 k64 +bias.s32", "it does not do a bias"},
        {"s8*s8->s32 m3 n16 k64 +relu", "it does not do activations"},
        {"u8*s8->s32 m3 n16 k64", "A is u8"},
        {"s8.z*s8->s32 m3 n16 k64", "zero points of A"},
        {"s8.token*s8->f16 m3 n16 k64", "D is f16"},
    };
    install("sm=90");
    lb_context *context = open_device("cuda");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lb_plan *plan = NULL;
        expect_error(plan_cublaslt(context, cases[i].line, &plan), LB_UNSUPPORTED, cases[i].says);
    }
    lb_context_destroy(context);
}

Test(cublaslt, states_the_workspace_of_its_algorithm)
{
    fake_cuda *f = install("sm=90");
    lb_context *context = open_device("cuda");
    lb_problem p;
    lb_plan *plan = NULL, *second = NULL;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    check_ok(plan_cublaslt(context, PLAIN, &plan));
    check_ok(lb_plan_get_info(plan, &info));
    cr_expect_eq(info.workspace_bytes, 1 << 20);
    cr_expect_str_eq(info.layout, "rows");
    cr_expect_eq(info.launches, 1);
    cr_expect_eq(f->library_objects, 2, "a handle and a description");
    check_ok(plan_cublaslt(context, PLAIN, &second));
    cr_expect_eq(f->library_objects, 3, "the context's one handle");
    desc.kernel = "cuda_cublaslt";
    desc.workspace_limit = 1 << 20;
    check_ok(lb_problem_parse(PLAIN, &p));
    lb_plan *third = NULL;
    expect_error(lb_plan_create(context, &p, &desc, &third), LB_UNSUPPORTED,
                 "it needs 33554432 bytes of workspace, the limit is 1048576");
    lb_plan_destroy(plan);
    lb_plan_destroy(second);
    lb_context_destroy(context);
    cr_expect_eq(alive(f), 0);
}

/* Newer devices, for which no kernel here has machine code of its own, get it; 9.0 has its own. */
Test(cublaslt, is_the_row_for_plain_products_of_newer_devices)
{
    static const char *const settings[] = {"sm=90", "sm=100", "sm=120"};
    for (int i = 0; i < 3; i++) {
        install(settings[i]);
        lb_context *context = open_device("cuda");
        lb_problem p;
        lb_plan *plan;
        lb_plan_info info = LB_PLAN_INFO_INIT;
        check_ok(lb_problem_parse("s8*s8->s32 m4096 n4096 k4096", &p));
        check_ok(lb_plan_create(context, &p, NULL, &plan));
        check_ok(lb_plan_get_info(plan, &info));
        cr_expect_str_eq(info.kernel, i == 0 ? "cuda_wgmma_w8_256" : "cuda_cublaslt");
        lb_plan_destroy(plan);
        lb_context_destroy(context);
    }
}

static bool is_right(product *x, const lb_args *args, int64_t rows)
{
    const lb_problem *p = &x->in.problem;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    lb_problem call = *p;
    static int32_t d[64 * 64];
    call.m = rows;
    check_ok(lb_memory_read(x->context, d, args->d, (size_t)(4 * rows * p->n), NULL));
    check_ok(lb_verify(&call, &x->in.host, d, 0, 1, 1, &report));
    return report.wrong == 0;
}

Test(cublaslt, leaves_to_its_passes_what_it_cannot_take)
{
    fake_cuda *f = install("sm=90");
    product x = {.context = open_device("cuda")};
    lb_problem p;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_ptr wide;
    desc.kernel = "cuda_cublaslt";
    if (!f->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    check_ok(lb_problem_parse(PLAIN, &p));
    check_ok(qb_inputs_make(&p, QB_DATA_NORMAL, 1, &x.in));
    check_ok(qb_case_open(x.context, &x.in, &desc, 0, &x.c));
    check_ok(lb_memory_alloc(x.context, 20 * 64 + 16, &wide));
    lb_args args = x.c.args, odd;
    args.weights = x.c.copy[0].weights;
    args.a = x.c.copy[0].a;
    args.d = x.c.copy[0].d;
    memset(&f->last, 0, sizeof f->last);
    check_ok(lb_run(x.c.plan, &args, NULL));
    cr_expect(is_right(&x, &args, 20));
    args.m = 7;
    check_ok(lb_run(x.c.plan, &args, NULL));
    cr_expect(is_right(&x, &args, 7));
    cr_expect_str_eq(f->last.name, "", "no kernel of ours");

    args.m = 1; /* for which its algorithm does not do */
    check_ok(lb_run(x.c.plan, &args, NULL));
    cr_expect_str_eq(f->last.name, "gemm_any");
    cr_expect(is_right(&x, &args, 1));

    f->last.name[0] = 0;
    odd = args;
    odd.m = 0;
    odd.a = (lb_ptr){wide.base, 1};
    check_ok(lb_memory_write(x.context, odd.a, x.in.host.a, 20 * 64, NULL));
    check_ok(lb_run(x.c.plan, &odd, NULL));
    cr_expect_str_eq(f->last.name, "gemm_any");
    cr_expect(is_right(&x, &odd, 20));

    f->last.name[0] = 0;
    odd.a = args.a;
    odd.d.offset += 4;
    check_ok(lb_run(x.c.plan, &odd, NULL));
    cr_expect_str_eq(f->last.name, "gemm_any");
    cr_expect(is_right(&x, &odd, 20));
    lb_memory_free(x.context, wide);
    close_product(&x);
    cr_expect_eq(alive(f), 0);
}

Test(cublaslt, names_a_foreign_stream)
{
    fake_cuda *f = install("devices=2");
    lb_context *context = open_device("cuda:0"), *second = open_device("cuda:1");
    lb_problem p;
    qb_inputs in;
    qb_case c;
    lb_stream stream;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = "cuda_cublaslt";
    check_ok(lb_problem_parse(PLAIN, &p));
    check_ok(qb_inputs_make(&p, QB_DATA_NORMAL, 1, &in));
    check_ok(qb_case_open(context, &in, &desc, 0, &c));
    check_ok(lb_stream_create(second, 0, &stream));
    c.args.weights = c.copy[0].weights;
    c.args.a = c.copy[0].a;
    c.args.d = c.copy[0].d;
    int launches = f->launches;
    expect_error(lb_run(c.plan, &c.args, stream), LB_INVALID_ARGUMENT, "another CUcontext");
    cr_expect_eq(f->launches, launches);
    lb_stream_destroy(second, stream);
    qb_case_close(&c);
    qb_inputs_free(&in);
    lb_context_destroy(second);
    lb_context_destroy(context);
}

/* ---- Clusters -------------------------------------------------------------------------------- */

/* A line, the row that makes it, and how many blocks are to share a tile. */
typedef struct shared_tile {
    char settings[56], line[80], row[28];
    unsigned ranks;
} shared_tile;

ParameterizedTestParameters(clusters, share_tiles_and_compute_what_the_reference_says)
{
    static shared_tile all[] = {
        /* As many as k has parts of four stages, at most 8; one for each tile of M. */
        {"sm=90", "s8*s8->s32 m1 n16 k4096", "cuda_wgmma_w8_16", 8},
        {"sm=90", "s8*s8->s32 m1 n16 k1000", "cuda_wgmma_w8_16", 2},
        {"sm=90", "s8*s8->s32 m1 n16 k896", "cuda_wgmma_w8_16", 1},
        {"sm=90 backwards=1", "u8.zt*u8->s32 m33 n130 k1601", "cuda_wgmma_w8_16", 3},
        {"sm=90", "s8.token.z*s8.g128->f32 m3 n130 k2048", "cuda_wgmma_w8_16", 4},
        {"sm=90", "u8.tensor.z*s4.g96.z->f16 m3 n130 k1700", "cuda_wgmma_w4_16", 3},
        {"sm=90 backwards=1", "s8*u4.g32.z->f32 m17 n20 k1536", "cuda_wgmma_w4_16", 3},
        {"sm=90", "f16*s4.g32->f32 m5 n20 k1000", "cuda_wgmma_f16_16", 4},
        {"sm=90 backwards=1", "f16*u4.channel.z->f16 m2 n130 k1030", "cuda_wgmma_f16_16", 4},
        {"sm=90", "bf16*s8.g384->f32 m20 n20 k1536", "cuda_wgmma_bf16_16", 4},
        {"sm=90", "b1*b1->s32 m3 n20 k12000", "cuda_wgmma_b1_16", 3},
        {"sm=90", "t2.token*t2.tensor->f16 m3 n20 k5000", "cuda_wgmma_planes_16", 2},
        {"sm=90 backwards=1", "s2.zt*u2->s32 m17 n20 k6200", "cuda_wgmma_planes_16", 3},
        {"sm=90", "b1*t2->s32 m3 n20 k9000", "cuda_wgmma_planes_b1_16", 2},
        /* Tiles of 64 rows, which go through the slabs by halves: one, two, and more tiles. */
        {"sm=90", "s8*s8->s32 m1 n16 k4096", "cuda_wgmma_w8_64k", 8},
        {"sm=90 backwards=1", "u8.zt*u8->s32 m33 n130 k1601", "cuda_wgmma_w8_64k", 3},
        {"sm=90", "s8.token.z*s8.g128->f32 m64 n20 k3600", "cuda_wgmma_w8_64k", 7},
        {"sm=90", "u8.tensor.z*s4.g96.z->f16 m71 n20 k1700 +bias", "cuda_wgmma_w4_64k", 3},
        {"sm=90 backwards=1", "s8.token.z*u4.g32.z->f32 m41 n20 k2700", "cuda_wgmma_w4_64k", 5},
        {"sm=90", "f16*s4.g32->f32 m45 n20 k1000", "cuda_wgmma_f16_64k", 4},
        {"sm=90 backwards=1", "f16*u4.channel.z->f16 m67 n130 k1030", "cuda_wgmma_f16_64k", 4},
        {"sm=90", "bf16*s8.g384->f32 m50 n20 k1536", "cuda_wgmma_bf16_64k", 4},
        {"sm=90", "b1*b1->s32 m37 n20 k12000", "cuda_wgmma_b1_64k", 3},
        {"sm=90 backwards=1", "b1*b1->b1 m65 n18 k8193", "cuda_wgmma_b1_64k", 2},
        {"sm=90", "t2.token*t2.tensor->f16 m35 n20 k5000", "cuda_wgmma_planes_64k", 2},
        {"sm=90 backwards=1", "s2.zt*u2->s32 m17 n20 k6200", "cuda_wgmma_planes_64k", 3},
        {"sm=90", "b1*t2->s32 m33 n20 k9000", "cuda_wgmma_planes_b1_64k", 2},
        {"sm=90", "s8*s8->s32 m33 n16 k4096", "cuda_wgmma_w8_64", 1},
        /* Fewer where fewer clusters fit, and none where the driver cannot launch them. */
        {"sm=90 units=5", "s8*s8->s32 m1 n16 k4096", "cuda_wgmma_w8_16", 5},
        {"sm=90 units=24", "s8*s8->s32 m1 n400 k4096", "cuda_wgmma_w8_16", 5},
        {"sm=90 lacks=cuLaunchKernelEx", "s8*s8->s32 m1 n16 k1024", "cuda_wgmma_w8_16", 1},
        {"sm=90 lacks=cuOccupancyMaxActiveClusters", "s8*s8->s32 m1 n16 k1024", "cuda_wgmma_w8_16",
         1},
    };
    return cr_make_param_array(shared_tile, all, sizeof all / sizeof *all);
}

static const lb_cuda_row *row_of(const char *name)
{
    size_t i = 0;
    while (i < lb_cuda_row_count && strcmp(lb_cuda_rows[i].name, name) != 0)
        i++;
    cr_assert_lt(i, lb_cuda_row_count, "%s", name);
    return lb_cuda_rows[i].impl;
}

ParameterizedTest(shared_tile *x, clusters, share_tiles_and_compute_what_the_reference_says)
{
    fake_cuda *f = install(x->settings);
    lb_context *context = open_device("cuda");
    if (!f->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    cr_expect_eq(computes(context, x->line, x->row, QB_DATA_NORMAL, 2e7), 1, "%s", lb_last_error());
    lb_problem p;
    check_ok(lb_problem_parse(x->line, &p));
    const lb_cuda_row *row = row_of(x->row);
    unsigned tiles = (unsigned)lb_cuda_blocks(&row->passes[0], p.m, p.n, 1);
    cr_expect_eq(f->last.cluster, x->ranks, "'%s': %u blocks share a tile", x->line,
                 f->last.cluster);
    cr_expect_eq(f->last.grid[0], tiles * x->ranks);
    lb_context_destroy(context);
}

/* Few rows by tiles of 16, more by tiles of 64 that clusters share until there are tiles enough,
   then larger ones. */
Test(clusters, are_chosen_where_tiles_are_few)
{
    static const struct {
        int m, n;
        const char *row;
    } all[] = {
        {16, 4096, "cuda_wgmma_w4_16"},    {16, 8192, "cuda_wgmma_w4_16"},
        {32, 4096, "cuda_wgmma_w4_64k"},   {32, 8192, "cuda_wgmma_w4_64k"},
        {64, 4096, "cuda_wgmma_w4_64k"},   {64, 8192, "cuda_wgmma_w4_64k"},
        {128, 4096, "cuda_wgmma_w4_64k"},  {128, 8192, "cuda_wgmma_w4_64"},
        {256, 4096, "cuda_wgmma_w4_64"},   {256, 8192, "cuda_wgmma_w4_128"},
        {2048, 8192, "cuda_wgmma_w4_256"},
    };
    install("sm=90 units=132");
    lb_context *context = open_device("cuda");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char line[64];
        lb_problem p;
        lb_plan *plan;
        lb_plan_info info = LB_PLAN_INFO_INIT;
        snprintf(line, sizeof line, "s8*s4->s32 m%d n%d k%d", all[i].m, all[i].n, all[i].n);
        check_ok(lb_problem_parse(line, &p));
        check_ok(lb_plan_create(context, &p, NULL, &plan));
        check_ok(lb_plan_get_info(plan, &info));
        cr_expect_str_eq(info.kernel, all[i].row, "'%s' by %s", line, info.kernel);
        lb_plan_destroy(plan);
    }
    lb_context_destroy(context);
}

/* ---- Ceilings -------------------------------------------------------------------------------- */

/* On the fake, where every loop takes as long: the rates have the ratios of what a step does. */
Test(ceilings, count_what_a_step_does)
{
    fake_cuda *f = install("sm=90");
    lb_context *context = open_device("cuda");
    int before = f->allocations, events = f->events;
    lb_ceilings c = LB_CEILINGS_INIT;
    check_ok(lb_measure_ceilings(context, &c));
    cr_expect(c.read_bytes > 0 && fabs(c.copy_bytes / c.read_bytes - 2) < 1e-9);
    cr_expect(c.ops_f32 > 0 && fabs(c.ops_b1 / c.ops_s8 - 8) < 1e-9 &&
                  fabs(c.ops_s8 / c.ops_f16 - 2) < 1e-9 && c.ops_bf16 == c.ops_f16,
              "%g %g %g", c.ops_s8, c.ops_b1, c.ops_f16);
    cr_expect_eq(f->allocations, before);
    cr_expect_eq(f->events, events);
    lb_context_destroy(context);
}

/* ---- The library that qbench compares with --------------------------------------------------- */

Test(baseline, is_cublaslt_at_the_problem_s_sizes)
{
    fake_cuda *f = install("devices=2");
    lb_context *context = open_device("cuda:0"), *second = open_device("cuda:1");
    void *library = dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
    char name[256];
    lb_problem p;
    qb_time time;
    cr_assert(library, "%s", dlerror());
    const long *last = dlsym(library, "fake_cublaslt");
    int before = f->allocations;
    qb_cublas *cublas = qb_cublas_open(context, name, sizeof name);
    cr_assert(cublas, "%s", name);
    check_ok(lb_problem_parse("s8*s4->s32 m5 n20 k70", &p));
    check_ok(qb_cublas_measure(cublas, &p, 1e-3, &time));
    cr_expect(last[2] == 5 && last[3] == 32 && last[4] == 80 && last[5] == 3, "%ld %ld %ld",
              last[2], last[3], last[4]);
    check_ok(lb_problem_parse("f16*s4->f16 m7 n24 k64", &p));
    check_ok(qb_cublas_measure(cublas, &p, 1e-3, &time));
    cr_expect(last[2] == 7 && last[3] == 24 && last[4] == 64 && last[5] == 2);
    cr_expect_gt(last[1], 8);
    qb_cublas_close(cublas);
    cr_expect_eq(last[0], 0, "%ld of its things are left", last[0]);
    cr_expect_eq(f->allocations, before);
    cr_expect_null(qb_cublas_open(second, name, sizeof name));
    cr_expect(strstr(name, "cuda:0"), "%s", name);
    lb_context_destroy(second);
    lb_context_destroy(context);
    dlclose(library);
}

/* ---- Quantisers ------------------------------------------------------------------------------ */

Test(quantizer, gives_the_reference_s_bits)
{
    fake_cuda *f = install("sm=90");
    if (!f->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    ref = open_device("ref");
    other = open_device("cuda");
    int rows = visit_all(compare_devices), norms = visit_norms(compare_devices);
    fprintf(stderr, "cuda, on the host: %d rows equal, %d of an RMSNorm\n", rows, norms);
    lb_context_destroy(other);
    lb_context_destroy(ref);
}

Test(quantizer, names_what_it_refuses)
{
    install("devices=2");
    lb_context *context = open_device("cuda:0"), *second = open_device("cuda:1");
    lb_quant q = quant_of(LB_TYPE_S8, LB_QUANT_SYMMETRIC, LB_TYPE_F32, 16);
    lb_quantizer *quantizer;
    lb_quantizer_args args = LB_QUANTIZER_ARGS_INIT;
    static float x[ROWS * 16];
    check_ok(lb_quantizer_create(context, &q, &quantizer));
    check_ok(lb_memory_alloc(context, sizeof x, &args.x));
    check_ok(lb_memory_alloc(context, ROWS * 16, &args.codes));
    check_ok(lb_memory_alloc(context, ROWS * 4, &args.scales));
    check_ok(lb_quantizer_run(quantizer, &args, NULL));
    lb_quantizer_args bad = args;
    bad.codes.base = x;
    check_status(lb_quantizer_run(quantizer, &bad, NULL), LB_INVALID_ARGUMENT,
                 "lb_quantizer_run: codes");
    bad = args;
    check_ok(lb_memory_alloc(second, ROWS * 4, &bad.scales));
    check_status(lb_quantizer_run(quantizer, &bad, NULL), LB_INVALID_ARGUMENT,
                 "scales is memory of CUDA device 1");
    lb_memory_free(second, bad.scales);
    lb_memory_free(context, args.x);
    lb_memory_free(context, args.codes);
    lb_memory_free(context, args.scales);
    lb_quantizer_destroy(quantizer);
    lb_context_destroy(second);
    lb_context_destroy(context);
}
