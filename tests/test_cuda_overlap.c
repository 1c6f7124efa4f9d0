/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs that begin while the work before them still runs (LB_RUN_OVERLAP), on the fake CUDA driver:
 * when a launch asks for it, and what kernels do then. The emulator keeps everything but weights
 * poisoned until no thread can do more without waiting, and ends a kernel that touches it before,
 * or that ends without having waited.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "case.h"
#include "check.h"
#include "cuda.h"
#include "fake/install.h"
#include "lines.h"

/* A product of a line by a row. */
typedef struct product {
    qb_inputs in;
    qb_case c;
} product;

static void open_product(product *x, lb_context *context, const char *line, const char *row)
{
    lb_problem p;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = row;
    check_ok(lb_problem_parse(line, &p));
    check_ok(qb_inputs_make(&p, QB_DATA_NORMAL, 1, &x->in));
    check_ok(qb_case_open(context, &x->in, &desc, 0, &x->c));
    x->c.args.flags = LB_RUN_OVERLAP;
}

static void close_product(product *x)
{
    qb_case_close(&x->c);
    qb_inputs_free(&x->in);
}

static void expect_right(product *x, const char *line, const char *row)
{
    qb_check check;
    check_ok(qb_case_check(&x->c, 0, 1, &check));
    cr_expect(qb_check_passed(&check), "%s: '%s': %llu wrong, %llu bytes outside of D", row, line,
              (unsigned long long)check.report.wrong, (unsigned long long)check.touched);
}

/* ---- When -------------------------------------------------------------------------------------
 */

/* How many launches of a run are to begin early. */
typedef struct launch {
    char settings[40], line[32], row[24];
    int early, launches;
    unsigned cluster;
} launch;

ParameterizedTestParameters(overlap, is_asked_for_where_code_and_driver_can)
{
    static launch all[] = {
        {"sm=90", "s8*s8->s32 m4 n16 k32", "cuda_gemm_any", 1, 1, 1},
        {"sm=90", "s8*s8->s32 m4 n16 k512", "cuda_mma_int_16k", 2, 2, 1},
        {"sm=90", "s8*s8->s32 m1 n16 k4096", "cuda_wgmma_w8_16", 1, 1, 8},
        {"sm=90 driver=12030", "s8*s8->s32 m1 n16 k32", "cuda_wgmma_w8_64", 1, 1, 1},
        {"sm=100", "s8*s8->s32 m4 n16 k32", "cuda_gemm_any", 1, 1, 1},
        /* Code for older devices does not wait. */
        {"sm=80", "s8*s8->s32 m4 n16 k512", "cuda_mma_int_16k", 0, 2, 1},
        {"sm=100 ptx=80", "s8*s8->s32 m4 n16 k512", "cuda_mma_int_16k", 0, 2, 1},
        /* The driver is too old. */
        {"sm=90 driver=12020", "s8*s8->s32 m1 n16 k4096", "cuda_wgmma_w8_16", 0, 1, 8},
        {"sm=90 lacks=cuLaunchKernelEx", "s8*s8->s32 m1 n16 k512", "cuda_wgmma_w8_16", 0, 1, 1},
    };
    return cr_make_param_array(launch, all, sizeof all / sizeof *all);
}

ParameterizedTest(launch *l, overlap, is_asked_for_where_code_and_driver_can)
{
    fake_cuda *f = install(l->settings);
    lb_context *context = open_device("cuda");
    product x;
    open_product(&x, context, l->line, l->row);
    for (int asked = 0; asked < 2; asked++) {
        x.c.args.flags = asked ? LB_RUN_OVERLAP : 0;
        f->early = f->launches = 0;
        if (f->runs_kernels)
            expect_right(&x, l->line, l->row);
        else
            check_ok(qb_case_run(&x.c, 0));
        cr_expect_eq(f->launches, l->launches);
        cr_expect_eq(f->early, asked ? l->early : 0, "%s, %s: %d launches are early", l->settings,
                     l->row, f->early);
        cr_expect_eq(f->last.cluster, l->cluster, "clusters of %u", f->last.cluster);
    }
    close_product(&x);
    lb_context_destroy(context);
}

Test(overlap, may_be_captured)
{
    fake_cuda *f = install("sm=90");
    lb_context *context = open_device("cuda");
    product x;
    open_product(&x, context, "s8*s4.g32->f16 m3 n40 k256", "cuda_mma_int_16k");
    int alive = f->allocations + f->modules + f->streams + f->events;
    f->failed = NULL;
    f->capturing = 1;
    check_ok(qb_case_run(&x.c, 0));
    f->capturing = 0;
    cr_expect_null(f->failed, "it calls %s", f->failed);
    cr_expect_eq(f->allocations + f->modules + f->streams + f->events, alive);
    cr_expect_eq(f->early, 2);
    close_product(&x);
    lb_context_destroy(context);
}

/* ---- What kernels do ------------------------------------------------------------------------- */

/* A row on every STRIDE-th of the built-in lines that are small enough and that it takes, the
   threads in their order or turned round. */
typedef struct computation {
    int row, backwards;
} computation;

#ifdef __SANITIZE_ADDRESS__ /* which makes the emulator slow */
#define STRIDE 16
#else
#define STRIDE 3
#endif

static bool takes(lb_context *context, const lb_problem *p, const char *row)
{
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_plan *plan = NULL;
    desc.kernel = row;
    lb_status status = lb_plan_create(context, p, &desc, &plan);
    lb_plan_destroy(plan);
    return status == LB_OK;
}

ParameterizedTestParameters(overlap, changes_no_result_of_any_row)
{
    static computation all[256];
    size_t count = 0;
    for (size_t row = 0; row < lb_cuda_row_count; row++)
        for (int i = 0; i < 2; i++)
            if (!strstr(lb_cuda_rows[row].needs, "!sm90") && /* a library's launches are its own */
                !((const lb_cuda_row *)lb_cuda_rows[row].impl)->library)
                all[count++] = (computation){(int)row, i};
    return cr_make_param_array(computation, all, count);
}

ParameterizedTest(computation *x, overlap, changes_no_result_of_any_row)
{
    const lb_kernel *row = &lb_cuda_rows[x->row];
    fake_cuda *f = install(x->backwards ? "sm=90 units=1 backwards=1" : "sm=90");
    lb_context *context = open_device("cuda");
    qb_lines lines = {0};
    char why[256];
    if (!f->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    cr_assert(qb_lines_add_builtin(&lines, NULL, why, sizeof why), "%s", why);
    int taken = 0;
    for (size_t i = 0; i < lines.count; i++) {
        product made;
        lb_problem p;
        check_ok(lb_problem_parse(lines.line[i], &p));
        if (lb_problem_ops(&p) > 1e6 || p.m == 0 || p.n == 0 || !takes(context, &p, row->name) ||
            taken++ % STRIDE)
            continue;
        open_product(&made, context, lines.line[i], row->name);
        f->early = f->launches = 0;
        expect_right(&made, lines.line[i], row->name);
        cr_expect(f->launches > 0 && f->early == f->launches);
        close_product(&made);
    }
    cr_expect_gt(taken, 0, "%s took no line", row->name);
    qb_lines_free(&lines);
    lb_context_destroy(context);
}

/* More of W than the ring holds, tiles that follow each other, and clusters. */
Test(overlap, fills_the_ring_no_further_than_it_goes)
{
    static const struct {
        const char *settings, *line, *row;
    } all[] = {
        {"sm=90 units=1", "s8*s8->s32 m3 n300 k2100", "cuda_wgmma_w8_16"},
        {"sm=90", "u8.zt*s8->s32 m3 n300 k4100", "cuda_wgmma_w8_16"},
        {"sm=90", "f16*s4.g32->f16 m70 n130 k2100 +bias", "cuda_wgmma_f16_64k"},
        {"sm=90 units=1", "s8.token.z*s4.g64.z->f16 m70 n130 k1600", "cuda_wgmma_w4_64"},
        {"sm=90 units=2", "f16*s4.g32->f16 m20 n300 k900 +bias +res.f16", "cuda_wgmma_f16_16"},
        {"sm=90 units=1", "b1*b1->s32 m130 n260 k12300", "cuda_wgmma_b1_128"},
        {"sm=90 units=1", "t2.token*t2.tensor->f16 m20 n130 k4000", "cuda_wgmma_planes_64"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        fake_cuda *f = install(all[i].settings);
        lb_context *context = open_device("cuda");
        product x;
        if (!f->runs_kernels)
            cr_skip_test("built without a C++ compiler");
        open_product(&x, context, all[i].line, all[i].row);
        f->early = 0;
        expect_right(&x, all[i].line, all[i].row);
        cr_expect_eq(f->early, 1);
        close_product(&x);
        lb_context_destroy(context);
    }
}

/* A kernel that was never meant to begin early, launched so all the same. */
Test(overlap, of_a_kernel_that_does_not_wait_is_noticed)
{
    fake_cuda *f = install("sm=90");
    lb_context *context = open_device("cuda");
    lb_cuda_context *c = lb_cuda_of(context);
    CUlaunchAttribute early = {.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
                               .value.programmatic = 1};
    CUlaunchConfig config = {1, 1, 1, 128, 1, 1, 0, c->stream, &early, 1};
    lb_quant_kargs kargs = {.rows = 1, .cols = 16, .type = LB_TYPE_S8, .x_type = LB_TYPE_F32};
    void *pointers[LB_QUANT_PTRS] = {NULL}, *parameters[LB_QUANT_PTRS + 1];
    CUfunction function;
    if (!f->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    for (int i = 0; i < LB_QUANT_PTRS; i++)
        parameters[i] = &pointers[i];
    parameters[LB_QUANT_PTRS] = &kargs;
    check_ok(lb_cuda_enter(c));
    check_ok(lb_cuda_function_get(c, "quantize.fatbin", "quantize", &function));
    cr_expect_neq(c->cu->cuLaunchKernelEx(&config, function, parameters, NULL), CUDA_SUCCESS);
    lb_cuda_leave(c);
    cr_expect(strstr(f->fault, "launch_dependents before griddepcontrol.wait"), "%s", f->fault);
    lb_context_destroy(context);
}
