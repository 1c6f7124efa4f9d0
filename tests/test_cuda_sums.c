/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of D's rows by the CUDA kernels, run by the fake driver: for every type of D, and behind
 * every row of the table. */
#include "cuda.h"
#include "fake/install.h"
#include "row_sums.h"

static lb_context *context;

static fake_cuda *open_emulated(const char *settings)
{
    setenv("LOWBIT_CUBLASLT", "none", 1);
    fake_cuda *f = install(settings);
    if (!f->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    context = open_device("cuda");
    return f;
}

static void types_and_shapes(const char *settings)
{
    open_emulated(settings);
    fprintf(stderr, "sums: %ld rows by CUDA kernels emulated (%s)\n", check_types(context),
            settings);
    lb_context_destroy(context);
}

Test(cuda_sums, are_those_of_every_type_and_shape_on_ampere)
{
    types_and_shapes("sm=80");
}

/* Each row on the first lines that it takes: split k, clusters, persistent blocks among them. */
static size_t behind_rows(const char *settings)
{
    static const char *const lines[] = {
        "s8*s8->s8.tensor m5 n131 k1100",  "u8*s4->u4.channel m5 n131 k1100",
        "s4*s4->s4.tensor m5 n131 k1100",  "t2*t2->s2.tensor m5 n131 k2200",
        "b1*t2->t2.tensor m5 n131 k2200",  "b1*b1->u2.tensor m5 n131 k4200",
        "f16*s4->s8.tensor m5 n131 k600",  "bf16*s4->b1 m5 n131 k600",
        "bf16*c4->s8.tensor m5 n131 k600",
    };
    size_t rows = 0;
    open_emulated(settings);
    for (size_t i = 0; i < lb_cuda_row_count; i++) {
        const lb_kernel *row = &lb_cuda_rows[i];
        long here = 0;
        for (size_t j = 0; j < sizeof lines / sizeof *lines && here == 0; j++)
            here += check_line(context, lines[j], row->name);
        rows += here > 0;
        bool can = lb_device_has(&context->device, row->needs, NULL) &&
                   !(row->d_types == 1u << LB_TYPE_S32);
        cr_expect(here || !can, "%s takes none of the lines: %s", row->name, lb_last_error());
    }
    lb_context_destroy(context);
    return rows;
}

Test(cuda_sums, are_made_behind_every_row_of_ampere)
{
    fprintf(stderr, "sums: behind %zu rows (sm=80)\n", behind_rows("sm=80"));
}

/* The emulator is slow under AddressSanitizer, and the kernel of sums the same. */
#ifndef __SANITIZE_ADDRESS__
Test(cuda_sums, are_those_of_every_type_and_shape_on_hopper)
{
    types_and_shapes("sm=90 backwards=1");
}

Test(cuda_sums, are_made_behind_every_row_of_hopper)
{
    fprintf(stderr, "sums: behind %zu rows (sm=90)\n", behind_rows("sm=90"));
}
#endif

/* One launch more, only where it is asked for, on the caller's stream, which may be captured. */
Test(cuda_sums, are_one_launch_more)
{
    fake_cuda *f = open_emulated("devices=1");
    summed s;
    lb_ptr small;
    check_ok(summed_open(context, "s8*s8->s8.tensor m9 n37 k33", "cuda_gemm_any", &s));
    lb_args args = s.lane.args;
    int launches = f->launches, allocations = f->allocations;
    check_ok(lb_run(s.r.plan, &args, s.lane.stream));
    cr_expect_eq(f->launches - launches, s.r.info.launches);
    args.d_sums = (lb_ptr){s.memory.base, 8};
    f->failed = NULL;
    f->capturing = 1;
    check_ok(lb_run(s.r.plan, &args, s.lane.stream));
    f->capturing = 0;
    cr_expect_null(f->failed, "%s is called while a stream is captured", f->failed);
    cr_expect_eq(f->launches - launches, 2 * s.r.info.launches + 1);
    cr_expect_str_eq(f->last.name, "sums");
    cr_expect_eq(f->last.grid[0], 9, "a block for each row");
    cr_expect_eq(f->last.stream, s.lane.stream);
    cr_expect_eq(f->allocations, allocations);

    /* Refused before anything is launched. */
    static int32_t on_the_host[9];
    launches = f->launches;
    args.d_sums = (lb_ptr){on_the_host, 0};
    check_status(lb_run(s.r.plan, &args, s.lane.stream), LB_INVALID_ARGUMENT, "lb_run: d_sums, 0x");
    check_ok(lb_memory_alloc(context, 32, &small));
    args.d_sums = small;
    check_status(lb_run(s.r.plan, &args, s.lane.stream), LB_INVALID_ARGUMENT,
                 "lb_run: d_sums needs 36 bytes");
    cr_expect_eq(f->launches, launches);
    lb_memory_free(context, small);
    summed_close(&s);
    lb_context_destroy(context);
}
