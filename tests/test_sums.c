/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of D's rows on every device of this machine: for every type of D, many shapes and every
 * kernel; through lb_run_host; and what is refused. */
#include "row_sums.h"

#if LB_WITH_OPENCL
#include "opencl.h"
#endif

typedef void device_test(lb_context *context, const char *selector);

static void on_every_device(device_test *test)
{
    lb_device_info infos[16] = {LB_DEVICE_INFO_INIT};
    size_t count = 0;
    check_ok(lb_devices(infos, 16, &count));
    for (size_t i = 0; i < count && i < 16; i++) {
        lb_context *context = open_device(infos[i].selector);
        test(context, infos[i].selector);
        lb_context_destroy(context);
    }
}

/* ---- Right ----------------------------------------------------------------------------------- */

static void types_and_shapes(lb_context *context, const char *selector)
{
    fprintf(stderr, "sums: %ld rows of %s, all types of D\n", check_types(context), selector);
}

Test(sums, are_those_of_every_type_and_shape)
{
    on_every_device(types_and_shapes);
}

/* Each kernel on the first lines that it takes. */
static void kernels(lb_context *context, const char *selector)
{
    static const char *const lines[] = {
        "s8*s8->s8.tensor m4 n33 k64",   "s4*s4->u4.tensor m4 n33 k64",
        "t2*t2->s2.tensor m4 n33 k64",   "b1*b1->b1 m4 n33 k64",
        "f16*s4->s8.tensor m4 n33 k64",  "bf16*s8->u8.tensor m4 n33 k64",
        "bf16*s4->t2.tensor m4 n33 k64", "bf16*c4->s4.tensor m4 n33 k64",
        "s8*s8->s8.tensor m1 n33 k64",   "bf16*s4->s8.tensor m1 n33 k64",
        "f16*c4->s8.tensor m4 n33 k64",  "bf16*c4->s8.tensor m1 n33 k64",
        "f32*s4->s8.tensor m1 n33 k64",  "f32*c4->s8.tensor m1 n33 k64",
    };
    lb_kernel_info info = LB_KERNEL_INFO_INIT;
    long rows = 0;
    size_t count = lb_kernel_count(context), summed_kernels = 0;
    for (size_t k = 0; k < count; k++) {
        check_ok(lb_kernel_get_info(context, k, &info));
        long here = 0;
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
            here += check_line(context, lines[i], info.name);
        summed_kernels += here > 0;
        rows += here;
    }
    cr_expect(summed_kernels > 0, "%s", selector);
    fprintf(stderr, "sums: %ld rows of %s by %zu of %zu kernels\n", rows, selector, summed_kernels,
            count);
}

Test(sums, are_made_behind_every_kernel)
{
    on_every_device(kernels);
}

/* A CPU that is said to be a GPU, which gives a work-group to each row. */
Test(sums, are_those_of_work_groups)
{
    lb_context *context;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = "opencl";
#if LB_WITH_OPENCL
    lb_opencl_pretend = "gpu";
#endif
    if (lb_context_create(&desc, &context) == LB_NO_DEVICE)
        cr_skip_test("%s", lb_last_error());
    check_types(context);
    lb_context_destroy(context);
}

/* A stream that may reorder what is enqueued. */
static void out_of_order(lb_context *context, const char *selector)
{
    summed s;
    (void)selector;
    check_ok(summed_open(context, "s8*s8->u8.channel m33 n301 k64", NULL, &s));
    lb_stream_destroy(context, s.lane.stream);
    check_ok(lb_stream_create(context, LB_STREAM_OUT_OF_ORDER, &s.lane.stream));
    for (int i = 0; i < 20; i++)
        check_sums(&s, i);
    summed_close(&s);
}

Test(sums, follow_d_out_of_order)
{
    on_every_device(out_of_order);
}

/* D in place of the residual. */
static void in_place(lb_context *context, const char *selector)
{
    summed s;
    int32_t sums[5];
    (void)selector;
    check_ok(summed_open(context, "s8*s8->s8.channel m5 n37 k33 +res.s8", NULL, &s));
    lb_args args = s.lane.args;
    args.d = args.residual;
    args.d_sums = s.memory;
    check_ok(lb_run(s.r.plan, &args, s.lane.stream));
    check_ok(lb_stream_sync(context, s.lane.stream));
    check_ok(lb_memory_read(context, s.lane.d, args.d, (size_t)s.in.sizes.d, NULL));
    check_ok(lb_memory_read(context, sums, s.memory, sizeof sums, NULL));
    for (int m = 0; m < 5; m++)
        cr_assert_eq(sums[m], sum_of(&s, 0, m));
    summed_close(&s);
}

Test(sums, are_of_a_d_that_was_the_residual)
{
    on_every_device(in_place);
}

/* ---- On the host ----------------------------------------------------------------------------- */

static lb_args host_args(const summed *s, void *d, int32_t *sums)
{
    lb_args args = LB_ARGS_INIT;
    args.weights = s->r.weights;
    args.a.base = (void *)(uintptr_t)s->in.host.a;
    args.d_scale.base = (void *)(uintptr_t)s->in.host.d_scale;
    args.residual.base = (void *)(uintptr_t)s->in.host.residual;
    args.d = (lb_ptr){d, 0};
    args.d_sums = (lb_ptr){sums, 0};
    return args;
}

static void host(lb_context *context, const char *selector)
{
    summed s;
    int32_t sums[12];
    (void)selector;
    check_ok(summed_open(context, "s8*s8->s4.channel m5 n37 k33 b2", NULL, &s));
    memset(sums, RIG_POISON, sizeof sums);
    int32_t poison = sums[0];
    lb_args args = host_args(&s, s.lane.d, sums + 1);
    check_ok(lb_run_host(s.r.plan, &args, NULL));
    cr_assert(sums[0] == poison && sums[11] == poison, "%s: written beside the sums", selector);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(sums[1 + i], sum_of(&s, i / 5, i % 5), "%s: row %d", selector, i);

    /* Refusals leave both alone. */
    memset(s.lane.d, RIG_POISON, (size_t)s.in.sizes.d);
    memset(sums, RIG_POISON, sizeof sums);
    args.d_sums.base = s.lane.d;
    check_status(lb_run_host(s.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps d_sums");
    args.d_sums = (lb_ptr){(char *)s.lane.d + 4, 0};
    check_status(lb_run_host(s.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps d_sums");
    args.d_sums.base = (void *)(uintptr_t)s.in.host.a;
    check_status(lb_run_host(s.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "d_sums (40 bytes)");
    args.d_sums.base = (char *)(uintptr_t)s.in.host.d_scale + 4;
    check_status(lb_run_host(s.r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps d_scale");
    for (uint64_t i = 0; i < s.in.sizes.d; i++)
        cr_assert_eq(((unsigned char *)s.lane.d)[i], RIG_POISON);
    summed_close(&s);
}

Test(sums, come_back_to_the_host)
{
    on_every_device(host);
}

/* ---- Refused --------------------------------------------------------------------------------- */

/* What is wrong with d_sums alone; D and the sums stay as they were. */
static void refused(summed *s, lb_ptr d_sums, const char *part)
{
    int32_t words[2 * GUARD], poison;
    lb_args args = s->lane.args;
    args.d_sums = d_sums;
    memset(words, RIG_POISON, sizeof words);
    memset(&poison, RIG_POISON, sizeof poison);
    check_ok(rig_lane_poison(&s->lane));
    check_ok(lb_memory_write(s->r.context, s->memory, words, sizeof words, NULL));
    check_status(lb_run(s->r.plan, &args, s->lane.stream), LB_INVALID_ARGUMENT, part);
    check_ok(rig_lane_read(&s->lane));
    check_ok(lb_memory_read(s->r.context, words, s->memory, sizeof words, NULL));
    for (uint64_t i = 0; i < s->in.sizes.d; i++)
        cr_assert_eq(((unsigned char *)s->lane.d)[i], RIG_POISON, "%s: D is written", part);
    for (int i = 0; i < 2 * GUARD; i++)
        cr_assert_eq(words[i], poison, "%s: sums are written", part);
}

static lb_ptr beyond(lb_ptr pointer, size_t bytes)
{
    return (lb_ptr){pointer.base, pointer.offset + bytes};
}

static void pointers(lb_context *context, const char *selector)
{
    summed s;
    lb_ptr small;
    check_ok(summed_open(context, "s8*s8->s8.channel m80 n36 k33 +res.f32", NULL, &s));
    refused(&s, beyond(s.memory, 2), "d_sums: address 0x");
    refused(&s, beyond(s.memory, 2), "is not aligned to 4 bytes");
    refused(&s, s.lane.args.d, "d (offset 0, 2880 bytes) overlaps d_sums (offset 0)");
    refused(&s, beyond(s.lane.args.d, 2876), "overlaps d_sums (offset 2876)");
    refused(&s, s.lane.args.a, "d_sums (offset 0, 320 bytes) overlaps a (offset 0)");
    refused(&s, beyond(s.lane.args.residual, 40), "overlaps residual");
    if (s.lane.args.workspace_bytes)
        refused(&s, s.lane.args.workspace, "overlaps workspace");
    if (strncmp(selector, "opencl", 6) == 0) {
        check_ok(lb_memory_alloc(context, 316, &small));
        refused(&s, small, "d_sums needs 320 bytes from offset 0, its cl_mem has 316");
        lb_memory_free(context, small);
        refused(&s, beyond(s.memory, 320), "d_sums needs 320 bytes from offset 320");
    }
    summed_close(&s);
}

Test(sums, are_not_made_where_they_do_not_fit)
{
    on_every_device(pointers);
}

static void types_without(lb_context *context, const char *selector)
{
    static const struct {
        const char *line, *type;
    } cases[] = {
        {"s8*s8->s32 m4 n8 k8", "D is s32"},
        {"s8.token*s8->f32 m4 n8 k8", "D is f32"},
        {"s8.token*s8->f16 m4 n8 k8", "D is f16"},
        {"f16*s4.g32->bf16 m4 n8 k32", "D is bf16"},
    };
    (void)selector;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        summed s;
        check_ok(summed_open(context, cases[i].line, NULL, &s));
        cr_assert_eq(s.in.sizes.d_sums, 0);
        refused(&s, s.memory, cases[i].type);
        refused(&s, s.memory, "rows of s8|u8|s4|u4|s2|u2|t2|b1 are summed, else leave it NULL");
        summed_close(&s);
    }
}

Test(sums, are_of_codes_only)
{
    on_every_device(types_without);
}

/* The longest rows: 255 * 8421504 fits s32, with one column more it may not. */
Test(sums, fit_s32)
{
    static const struct {
        const char *format;
        int longest;
    } cases[] = {
        {"s8*s8->u8 m1 n%d k1", 8421504},
        {"s8*s8->s8 m1 n%d k1", 16777215},
    };
    lb_context *context = open_device("ref");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int more = 0; more < 2; more++) {
            char line[64], part[64];
            int n = cases[i].longest + more;
            lb_problem p;
            lb_plan *plan;
            lb_weights *weights;
            lb_weights_source source = {.struct_size = sizeof source};
            int8_t a = 127, *b = malloc((size_t)n), *d = malloc((size_t)n);
            int32_t sum = 77;
            memset(b, i ? -127 : 127, (size_t)n);
            source.codes = b;
            snprintf(line, sizeof line, cases[i].format, n);
            check_ok(lb_problem_parse(line, &p));
            check_ok(lb_plan_create(context, &p, NULL, &plan));
            check_ok(lb_weights_create(plan, &source, &weights));
            lb_args args = LB_ARGS_INIT;
            args.weights = weights;
            args.a.base = &a;
            args.d.base = d;
            args.d_sums.base = &sum;
            if (more) {
                snprintf(part, sizeof part, "n is %d; sums of %s fit s32 up to n %d", n,
                         lb_type_name(p.d.type), cases[i].longest);
                check_status(lb_run_host(plan, &args, NULL), LB_INVALID_ARGUMENT, part);
                cr_assert_eq(sum, 77);
            } else {
                check_ok(lb_run_host(plan, &args, NULL));
                cr_assert_eq(sum, n * (i ? -128 : 255));
            }
            lb_weights_destroy(weights);
            lb_plan_destroy(plan);
            free(b);
            free(d);
        }
    lb_context_destroy(context);
}

/* Nothing is written where D is empty. */
static void empty(lb_context *context, const char *selector)
{
    static const char *const lines[] = {"s8*s8->s8 m0 n8 k8", "s8*s8->s8 m4 n0 k8"};
    (void)selector;
    for (int i = 0; i < 2; i++) {
        summed s;
        int32_t words[4] = {1, 2, 3, 4}, now[4];
        lb_status status = summed_open(context, lines[i], NULL, &s);
        cr_assert(status == LB_OK, "%s", lb_last_error());
        cr_assert_eq(s.in.sizes.d_sums, 0);
        lb_args args = s.lane.args;
        args.d_sums = s.memory;
        check_ok(lb_memory_write(context, s.memory, words, sizeof words, NULL));
        check_ok(lb_run(s.r.plan, &args, s.lane.stream));
        check_ok(lb_stream_sync(context, s.lane.stream));
        check_ok(lb_memory_read(context, now, s.memory, sizeof now, NULL));
        cr_assert(memcmp(words, now, sizeof now) == 0, "'%s'", lines[i]);
        summed_close(&s);
    }
}

Test(sums, of_nothing_are_not_written)
{
    on_every_device(empty);
}
