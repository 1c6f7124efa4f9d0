/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing on the device: the bytes of lb_weights_pack on the reference and on the best device,
 * products of weights that were packed so, and what is refused or found to be at fault.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "packers.h"

static void compare(const char *name)
{
    lb_device_info info = LB_DEVICE_INFO_INIT;
    lb_context *context = open_device(name);
    check_ok(lb_context_info(context, &info));
    int canonical = compare_all_canonical(context), stored = compare_all_stored(context);
    fprintf(stderr, "packed on %s: %d canonical and %d stored matrices, all bytes equal\n",
            info.selector, canonical, stored);
    cr_assert_gt(canonical, 500);
    cr_assert_gt(stored, 200);
    lb_context_destroy(context);
}

Test(packer, makes_the_host_s_bytes_on_the_reference)
{
    compare("ref");
}

Test(packer, makes_the_host_s_bytes_on_the_best_device, .timeout = 600)
{
    compare("auto");
}

/* Weights packed on a plan's device and a run behind on the same stream, without a wait; and calls
   that are refused. */
Test(packer, is_followed_by_runs)
{
    pack_source s;
    rig r;
    rig_lane lane;
    lb_packer *packer;
    lb_packer_args args = LB_PACKER_ARGS_INIT;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    lb_weights *weights;
    lb_context *context = open_device("auto");
    cr_assert(pack_source_make("s8.token*s4.g64->f32 m6 n37 k200", 3, &s));
    check_ok(rig_open(context, &s.in, NULL, &r));
    check_ok(rig_lane_open(&r, 0, &lane));
    check_ok(lb_weights_reserve(r.plan, NULL, &weights));
    check_ok(lb_packer_create(r.plan, NULL, 0, &packer));
    check_ok(rig_upload(context, s.source.codes, s.in.sizes.b, &args.codes));
    check_ok(rig_upload(context, s.source.scales, s.in.sizes.b_scale, &args.scales));
    args.weights = lane.args.weights = weights;
    check_ok(rig_lane_poison(&lane));
    check_ok(lb_packer_run(packer, &args, lane.stream));
    check_ok(lb_run(r.plan, &lane.args, lane.stream));
    check_ok(rig_lane_read(&lane));
    check_ok(lb_verify(&s.in.problem, &s.in.host, lane.d, 0, 1, 0, &report));
    cr_assert_eq(report.wrong, 0);
    lb_packer_args bad = args;
    bad.flags = 4;
    check_status(lb_packer_run(packer, &bad, NULL), LB_INVALID_ARGUMENT, "flags are 0x4");
    bad = args;
    bad.weights = NULL;
    check_status(lb_packer_run(packer, &bad, NULL), LB_INVALID_ARGUMENT, "lb_weights_reserve");
    bad = args;
    bad.scales.base = NULL;
    check_status(lb_packer_run(packer, &bad, NULL), LB_INVALID_ARGUMENT,
                 "scales is NULL; it takes 592 bytes");
    bad = args;
    bad.scales.offset = 2;
    check_status(lb_packer_run(packer, &bad, NULL), LB_INVALID_ARGUMENT,
                 "scales: offset 2 is not a multiple of 4");
    bad = args;
    bad.struct_size = 8;
    check_status(lb_packer_run(packer, &bad, NULL), LB_INVALID_ARGUMENT, "struct_size");
    check_status(lb_packer_run(NULL, &args, NULL), LB_INVALID_ARGUMENT, "packer is NULL");
    lb_weights_destroy(weights);
    lb_packer_destroy(packer);
    lb_memory_free(context, args.codes);
    lb_memory_free(context, args.scales);
    rig_lane_close(&lane);
    rig_close(&r);
    pack_source_free(&s);
    lb_context_destroy(context);
}

/* ---- Faults in the data ---------------------------------------------------------------------- */

static uint32_t fault_of(lb_context *context, const char *line, void (*spoil)(pack_source *s))
{
    pack_source s;
    pack_plan p;
    lb_ptr memory;
    uint32_t fault;
    cr_assert(pack_source_make(line, 5, &s));
    cr_assert(pack_plan_make(context, &s.in.problem, lb_layout_find("rows"), &p));
    spoil(&s);
    lb_weights *weights = reserve(context, &p.plan, &memory);
    pack_canonical(context, &p.plan, &s, weights, &fault);
    lb_weights_destroy(weights);
    lb_memory_free(context, memory);
    pack_source_free(&s);
    return fault;
}

static void spare_codes(pack_source *s) /* 2 at (3, 65) and (7, 0): rows of 20 bytes */
{
    unsigned char *codes = s->in.array[3];
    codes[3 * 20 + 16] = (unsigned char)((codes[3 * 20 + 16] & ~12) | 8);
    codes[7 * 20] = (unsigned char)((codes[7 * 20] & ~3) | 2);
}

static void far_zero(pack_source *s)
{
    ((int32_t *)s->in.array[5])[4] = 8;
}

static void infinite_entry(pack_source *s)
{
    s->tables[16 * 6 + 15] = INFINITY;
}

/* With scales up to 8 the values of u4 less 1 stay within 8 bits; 14 * 10 does not. */
static void large_scale(pack_source *s)
{
    memset((char *)s->in.array[3] + 6 * 40 + 32, 0xff, 1); /* codes 64 and 65 of row 6 */
    ((uint8_t *)s->in.array[4])[6 * 3 + 2] = 10;
}

/* Only what pads: code 0 less 15, times 9. */
static void large_padding(pack_source *s)
{
    memset((char *)s->in.array[3] + 5 * 40 + 32, 0xff, 8);
    ((uint8_t *)s->in.array[4])[5 * 3 + 2] = 9;
    ((int32_t *)s->in.array[5])[5 * 3 + 2] = 15;
}

Test(packer, finds_what_is_at_fault)
{
    static const char *const devices[] = {"ref", "auto"};
    for (size_t i = 0; i < 2; i++) {
        lb_context *context = open_device(devices[i]);
        cr_expect_eq(fault_of(context, "f32*t2.channel->f32 m1 n9 k80", spare_codes), 8);
        cr_expect_eq(fault_of(context, "f32*s4.channel.z->f32 m1 n9 k80", far_zero), 5);
        cr_expect_eq(fault_of(context, "f32*c4.channel.tables->f32 m1 n9 k80", infinite_entry), 7);
        const char *steps = "s8*u4.g32.u8.z->f32 m1 n9 k80";
        cr_expect_eq(fault_of(context, steps, large_scale), 7);
        cr_expect_eq(fault_of(context, steps, large_padding), 6);
        lb_context_destroy(context);
    }
}

/* Codes that the format does not have, in a file: the host's sentence. */
Test(packer, names_the_row_of_a_file_that_is_at_fault)
{
    lb_context *context = open_device("ref");
    lb_stored stored;
    lb_problem problem = LB_PROBLEM_INIT;
    pack_plan p;
    lb_weights *weights = NULL;
    size_t i = 0;
    while (strcmp(pack_stored[i].format, "hf_bitnet") != 0)
        i++;
    pack_stored_make(i, false, &stored);
    problem.m = 1;
    problem.a.type = problem.d.type = LB_TYPE_F32;
    check_ok(lb_stored_problem(&stored, 0, &problem));
    cr_assert(pack_plan_make(context, &problem, lb_layout_find("rows"), &p));
    ((unsigned char *)stored.part[LB_PART_CODES].data)[5 * 100 + 7] |=
        3; /* row 5, the lowest pair */
    check_status(lb_weights_upload_stored(&p.plan, &stored, 0, &weights), LB_BAD_DATA,
                 "row 5, column 7 has the code 3");
    cr_expect_null(weights);
    stored_free(&stored);
    lb_context_destroy(context);
}

/* ---- What packers rest on -----------------------------------------------------------------------
 */

static uint64_t low_bit(const lb_format *f, const lb_shape *s, uint64_t n, uint64_t k)
{
    return f->bit ? f->bit(s, n, k) : f->split(s, n, k).low;
}
static uint64_t high_bit(const lb_format *f, const lb_shape *s, uint64_t n, uint64_t k)
{
    return f->bit ? 0 : f->split(s, n, k).high;
}

/* Rows in which some code lies otherwise than in row 0; *second: the second row is one. */
static int unlike_rows(const lb_format *f, const lb_shape *s, bool *second)
{
    int count = 0;
    for (uint64_t n = 1; n < s->n; n++) {
        bool unlike = false;
        for (uint64_t k = 1; k < s->k; k++)
            unlike |= low_bit(f, s, n, k) - low_bit(f, s, n, 0) !=
                          low_bit(f, s, 0, k) - low_bit(f, s, 0, 0) ||
                      high_bit(f, s, n, k) - high_bit(f, s, n, 0) !=
                          high_bit(f, s, 0, k) - high_bit(f, s, 0, 0);
        count += unlike;
        if (n == 1)
            *second = unlike;
    }
    return count;
}

/* A code's place is a row's part plus a column's; where a format has none, its second row tells. */
Test(packer, codes_lie_where_rows_and_columns_say)
{
    int formats = 0, shapes = 0;
    for (size_t i = 0; i < lb_formats_count; i++) {
        const lb_format *f = &lb_formats[i];
        if (!f->bit && !f->split)
            continue;
        formats++;
        for (int bits = 1; bits <= 8; bits++)
            for (uint64_t m = 1; m <= 67; m++) {
                lb_shape s = {64, m * (unsigned)f->k_mult, (unsigned)bits, 32};
                bool second;
                if (s.k > 1100 || (f->bits ? bits != f->bits : !(f->bits_set >> bits & 1u)))
                    continue;
                int unlike = unlike_rows(f, &s, &second);
                bool flat =
                    strncmp(f->name, "bnb_nf4", 7) == 0 || strncmp(f->name, "bnb_fp4", 7) == 0;
                cr_expect((unlike > 0) == (flat && s.k > 1 && s.k % 2), "%s, k %d: %d rows",
                          f->name, (int)s.k, unlike);
                cr_expect(second == (unlike > 0), "%s, k %d", f->name, (int)s.k);
                shapes++;
            }
    }
    fprintf(stderr, "places: %d formats, %d shapes\n", formats, shapes);
    cr_expect_gt(formats, 30);
}

/* ---- Refusals -------------------------------------------------------------------------------- */

static lb_status create_for(lb_context *context, lb_stored *stored, const char *line)
{
    lb_packer *packer = NULL;
    lb_problem problem = LB_PROBLEM_INIT;
    pack_plan p;
    problem.m = 1;
    problem.a.type = problem.d.type = LB_TYPE_F32;
    check_ok(line ? lb_problem_parse(line, &problem) : lb_stored_problem(stored, 0, &problem));
    cr_assert(pack_plan_make(context, &problem, lb_layout_find("rows"), &p));
    lb_status status = lb_packer_create(&p.plan, stored, 0, &packer);
    lb_packer_destroy(packer);
    return status;
}

static void describe(const char *format, int64_t n, int64_t k, int bits, int64_t group, bool full,
                     lb_stored *stored)
{
    uint64_t state = 1;
    check_ok(stored_describe(format, n, k, bits, group, full, stored));
    stored_alloc(stored);
    check_ok(stored_fill(stored, &state));
}

Test(packer, refuses_what_it_cannot_take)
{
    lb_context *context = open_device("ref");
    lb_stored stored;
    describe("gptq3", 32, 64, 0, 32, true, &stored);
    check_status(create_for(context, &stored, NULL), LB_UNSUPPORTED, "more than two places");
    stored_free(&stored);
    describe("tq1_0", 4, 256, 0, 0, false, &stored);
    check_status(create_for(context, &stored, NULL), LB_UNSUPPORTED, "more than two places");
    stored_free(&stored);
    describe("ct", 16, 64, 4, 16, true, &stored);
    check_status(create_for(context, &stored, NULL), LB_UNSUPPORTED, "groups of 16 with zero");
    check_status(create_for(context, &stored, "f32*s4.g32->f32 m1 n16 k96"), LB_INVALID_ARGUMENT,
                 "the plan is for n 16 k 96");
    check_status(create_for(context, &stored, "f32*s8.g32->f32 m1 n16 k64"), LB_INVALID_ARGUMENT,
                 "make the plan from lb_stored_problem");
    stored_free(&stored);
    check_ok(stored_describe("bnb_nf4", 2, 33, 0, 33, false, &stored));
    stored.part[LB_PART_TABLE].bytes = 1;
    check_ok(lb_stored_sizes(&stored));
    stored_alloc(&stored);
    for (int code = 0; code < 16; code++)
        ((float *)stored.part[LB_PART_TABLE].data)[code] = (float)(code - 8);
    check_status(create_for(context, &stored, NULL), LB_UNSUPPORTED, "with k 33 rows begin inside");
    stored_free(&stored);
    check_status(lb_packer_create(NULL, NULL, 0, NULL), LB_INVALID_ARGUMENT, "plan is NULL");
    lb_context_destroy(context);
}
