/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a problem, and the numbers that follow from one. */
#include "problem.h"

#include <math.h>
#include <stdio.h>

#include "check.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MAX_DIM INT64_C(2147418112)

/* A plain problem with some fields changed; that is what the later designators are for. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define PLAIN                                                                                      \
    .struct_size = sizeof(lb_problem), .m = 4, .n = 8, .k = 64, .a.type = LB_TYPE_S8,              \
    .b.type = LB_TYPE_S4, .d.type = LB_TYPE_F32
#define P(...)                                                                                     \
    {                                                                                              \
        PLAIN, __VA_ARGS__                                                                         \
    }
#define GROUPS .b.scale = LB_PER_GROUP, .b.group = 32

static lb_problem parsed(const char *line)
{
    lb_problem p = LB_PROBLEM_INIT;
    check_ok(lb_problem_parse(line, &p));
    return p;
}

/* ---- Rules ----------------------------------------------------------------------------------- */

typedef struct refused {
    lb_problem problem;
    const char *part; /* of the sentence */
} refused;

static void check_refused(const refused *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_status(lb_problem_check(&rows[i].problem), LB_INVALID_ARGUMENT, rows[i].part);
        lb_sizes sizes = {.struct_size = sizeof sizes, .a = 77};
        check_status(lb_problem_sizes(&rows[i].problem, &sizes), LB_INVALID_ARGUMENT, rows[i].part);
        cr_expect_eq(sizes.a, 77, "a refused problem has sizes");
        char text[8] = "before";
        check_status(lb_problem_print(&rows[i].problem, text, sizeof text, NULL),
                     LB_INVALID_ARGUMENT, rows[i].part);
        cr_expect_str_eq(text, "before", "a refused problem was printed");
    }
}

Test(problem, dimensions_outside_their_range_are_refused)
{
    static const refused rows[] = {
        {P(.flags = 5), "flags are 0x5"},
        {P(.m = -1), "m is -1; 0 to 2147418112"},
        {P(.n = -7), "n is -7; 0 to 2147418112"},
        {P(.k = INT64_MIN), "k is -9223372036854775808; 0 to 2147418112"},
        {P(.batch = -1), "batch is -1; 0 to 65535"},
        {P(.m = MAX_DIM + 1), "m is 2147418113; 0 to 2147418112"},
        {P(.n = MAX_DIM + 1), "n is 2147418113; 0 to 2147418112"},
        {P(.k = MAX_DIM + 1), "k is 2147418113; 0 to 2147418112"},
        {P(.batch = 65536), "batch is 65536; 0 to 65535"},
    };
    check_refused(rows, COUNT(rows));
}

Test(problem, types_and_layouts_out_of_place_are_refused)
{
    static const refused rows[] = {
        {P(.a.type = LB_TYPE_NONE), "A: type none (0) is not one of s8|u8|s4"},
        {P(.a.type = LB_TYPE_S32), "A: type s32 (9)"},
        {P(.a.type = 99), "A: type ? (99)"},
        {P(.b.type = LB_TYPE_S32), "B: type s32 (9)"},
        {P(.b.type = -1), "B: type ? (-1)"},
        {P(.d.type = LB_TYPE_NONE), "D: type none (0) is not one of s8|u8|s4|u4|s2|u2|t2|b1|s32"},
        {P(.residual.type = LB_TYPE_S2), "residual: type s2 (5) is not one of s8|u8|s4|u4|s32"},
        {P(.residual.type = 15), "residual: type ? (15)"},
        {P(.bias = LB_TYPE_S8), "bias type s8 (1) is not one of s32, f32"},
        {P(.bias = -3), "bias type ? (-3)"},
        {P(.a.layout = LB_LAYOUT_COLS), "A: layout 1 is unknown; rows (0) works"},
        {P(.b.layout = 2), "B: layout 2 is unknown; rows (0) works, cols (1) too"},
        {P(.d.layout = LB_LAYOUT_COLS), "D: layout 1"},
        {P(.residual.type = LB_TYPE_F32, .residual.layout = 1), "residual: layout 1"},
        {P(.a.type = LB_TYPE_C4), "A: type c4 (13)"},
        {P(.d.type = LB_TYPE_C2), "D: type c2 (14)"},
        {P(.b.type = LB_TYPE_C4), "B: c4 weights are floats by table, A is s8"},
        {P(.b_table = LB_PER_TENSOR), "b_table is 1, but s4 weights have no table"},
        {P(.a.type = LB_TYPE_F16, .b.type = LB_TYPE_C2, .b_table = LB_PER_CHANNEL),
         "b_table is 3; it is per tensor (1), or as the scale of B (0)"},
        {P(.a.type = LB_TYPE_F16, .b.type = LB_TYPE_C2, .b.zero = LB_PER_TENSOR),
         "B: type c2 has no zero point"},
        {P(.reserved = 1), "reserved is 1"},
        {P(.b.scale = LB_PER_GROUP, .b.group = 32, .b.scale_type = LB_TYPE_U8,
           .b.type = LB_TYPE_S8),
         "8 bits of fewer, s8 has no place for them; s4|u4|s2|u2|t2 have"},
        {P(.b.scale = LB_PER_GROUP, .b.group = 32, .b.scale_type = LB_TYPE_U8,
           .a.type = LB_TYPE_BF16),
         "need integer activations, A is bf16; use scales of f16, bf16 or f32"},
        {P(.b.scale = LB_PER_CHANNEL, .b.scale_type = LB_TYPE_U8),
         "scale type u8 is not available; use f32, f16 or bf16; per group also u8"},
        {P(.b.scale = LB_PER_GROUP, .b.group = 32, .b.scale_type = LB_TYPE_S8),
         "scale type s8 is not available; use f32, f16, bf16 or u8"},
    };
    check_refused(rows, COUNT(rows));
}

Test(problem, granularities_out_of_place_are_refused)
{
    static const refused rows[] = {
        {P(.a.scale = LB_PER_CHANNEL), "A: a scale per channel"},
        {P(.a.scale = LB_PER_GROUP, .a.group = 32), "A: a scale per group"},
        {P(.a.scale = 5), "A: scale granularity 5 is unknown"},
        {P(.a.scale = -1), "A: scale granularity -1 is unknown"},
        {P(.b.scale = LB_PER_TOKEN), "B: a scale per token"},
        {P(.d.type = LB_TYPE_S8, .d.scale = LB_PER_GROUP, .d.group = 32), "D: a scale per group"},
        {P(.residual.type = LB_TYPE_S8, .residual.scale = LB_PER_TOKEN),
         "residual: a scale per token"},
        {P(.a.zero = LB_PER_GROUP), "A: a zero point per group"},
        {P(.b.zero = LB_PER_TOKEN), "B: a zero point per token"},
        {P(.b.zero = 77), "B: zero point granularity 77 is unknown"},
        {P(.d.type = LB_TYPE_S8, .d.zero = LB_PER_CHANNEL), "D: a zero point per channel"},
        {P(.residual.type = LB_TYPE_S8, .residual.zero = LB_PER_CHANNEL),
         "residual: a zero point per channel"},
        {P(.residual.type = LB_TYPE_F16, .residual.zero = LB_PER_TENSOR),
         "residual: type f16 has no zero point"},
        {P(.a.zero = LB_PER_TOKEN), "A: zero points per token need scales per token"},
        {P(.b.scale = LB_PER_TENSOR, .b.zero = LB_PER_CHANNEL),
         "B: zero points per channel need scales per channel (they are per tensor)"},
        {P(.b.type = LB_TYPE_T2, .b.zero = LB_PER_TENSOR), "B: type t2 has no zero point"},
        {P(.a.type = LB_TYPE_B1, .a.zero = LB_PER_TENSOR), "A: type b1 has no zero point"},
        {P(.a.type = LB_TYPE_F16, .a.zero = LB_PER_TENSOR), "A: type f16 has no zero point"},
        {P(.d.type = LB_TYPE_S32, .d.zero = LB_PER_TENSOR), "D: type s32 has no zero point"},
        {P(.d.zero = LB_PER_TENSOR), "D: type f32 has no zero point"},
    };
    check_refused(rows, COUNT(rows));
}

Test(problem, groups_and_scales_that_contradict_are_refused)
{
    static const refused rows[] = {
        {P(.b.scale = LB_PER_GROUP), "B: group 0 is not a positive multiple of 32"},
        {P(.b.scale = LB_PER_GROUP, .b.group = 48), "B: group 48 is not"},
        {P(.b.scale = LB_PER_GROUP, .b.group = -32), "B: group -32 is not"},
        {P(.b.scale = LB_PER_CHANNEL, .b.group = 64),
         "B: group is 64 but the scale is per channel"},
        {P(.a.group = 32), "A: group is 32 but the scale is per none"},
        {P(.b.scale = LB_PER_TENSOR, .b.scale_type = LB_TYPE_S8), "B: scale type s8"},
        {P(.b.scale_type = LB_TYPE_F16), "B: scale type f16"},
        {P(.a.scale = LB_PER_TENSOR, .a.scale_type = LB_TYPE_F16),
         "A: scale type f16 is not available; only B's"},
        {P(.a.type = LB_TYPE_F16, .a.scale = LB_PER_TENSOR), "A: f16 activations have no scale"},
        {P(.d.scale = LB_PER_TENSOR), "D: f32 has no scale"},
        {P(.d.type = LB_TYPE_BF16, .d.scale = LB_PER_CHANNEL), "D: bf16 has no scale"},
        {P(.d.type = LB_TYPE_B1, .d.scale = LB_PER_TENSOR), "D: b1 is a sign and has no scale"},
    };
    check_refused(rows, COUNT(rows));
}

Test(problem, epilogues_that_contradict_are_refused)
{
    static const refused rows[] = {
        {P(.bias = LB_TYPE_S32, GROUPS), "group scales do not have; use f32, f16 or bf16"},
        {P(.bias = LB_TYPE_S32, .a.type = LB_TYPE_F16), "float activations do not have"},
        {P(.activation = 7), "activation 7 is unknown; lb_activation has 0..6"},
        {P(.activation = -1), "activation -1"},
        {P(.clamp = 2), "clamp is 2; 0 or 1"},
        {P(.clamp = 1, .clamp_min = 1, .clamp_max = 0.5f), "clamp from 1 to 0.5 is empty"},
        {P(.clamp = 1, .clamp_min = NAN), "clamp from nan"},
        {P(.clamp = 1, .clamp_max = NAN), "clamp from 0 to nan"},
        {P(.rounding = 7), "rounding 7 is unknown; lb_rounding has 0..6"},
        {P(.rounding = -1), "rounding -1 is unknown"},
    };
    check_refused(rows, COUNT(rows));
}

/* A problem that every integer-only rounding takes, with some fields changed. */
#define FIXED(...)                                                                                 \
    {                                                                                              \
        PLAIN, .d.type = LB_TYPE_S8, .d.scale = LB_PER_CHANNEL, .rounding = LB_ROUND_FIXED,        \
               __VA_ARGS__                                                                         \
    }

Test(problem, roundings_that_contradict_are_refused)
{
    static const refused rows[] = {
        {P(.rounding = LB_ROUND_FIXED), "rounding fixed makes integers; D is f32"},
        {P(.rounding = LB_ROUND_STOCHASTIC), "rounding stochastic makes integers; D is f32"},
        {P(.rounding = LB_ROUND_STOCHASTIC, .d.type = LB_TYPE_B1), "D: b1 is a sign and is not"},
        {FIXED(.a.type = LB_TYPE_F16), "fixed needs one integer sum, which float operands"},
        {FIXED(GROUPS), "rounding fixed needs one integer sum, which group scales do not have"},
        {FIXED(.a.scale = LB_PER_TOKEN), "rounding fixed takes no scale of A; fold it into"},
        {FIXED(.b.scale = LB_PER_CHANNEL), "rounding fixed takes no scale of B; fold it into"},
        {FIXED(.d.scale = LB_PER_NONE, .rounding = LB_ROUND_POW2),
         "rounding pow2 needs multipliers: give D a scale per tensor, channel or token"},
        {FIXED(.bias = LB_TYPE_F32), "rounding fixed takes a bias of s32, not f32"},
        {FIXED(.residual.type = LB_TYPE_BF16), "takes an integer residual, not bf16"},
        {FIXED(.activation = LB_ACT_GELU), "takes ReLU and hard-swish (for ReLU6 a clamp to the"},
        {FIXED(.activation = LB_ACT_RELU6), "codes of 0 and 6), not activation 5"},
        {FIXED(.activation = LB_ACT_HARD_SWISH), "act_three is 0; hard-swish in integers takes 1 "
                                                 "to 16777216"},
        {FIXED(.activation = LB_ACT_HARD_SWISH, .act_three = 16777217), "act_three is 16777217"},
        {FIXED(.activation = LB_ACT_HARD_SWISH, .act_three = 1, .act_shift = 25),
         "act_shift is 25; hard-swish in integers takes 0 to 24"},
        {FIXED(.act_three = 4), "act_three is 4 and act_shift 0, but only hard-swish"},
        {P(.act_shift = 4), "act_three is 0 and act_shift 4, but only hard-swish"},
        {FIXED(.clamp = 1, .clamp_max = 1.5f), "clamps codes of D: 0 to 1.5 are not whole"},
        {FIXED(.clamp = 1, .clamp_max = INFINITY), "clamps codes of D: 0 to inf are not whole"},
        {FIXED(.d.type = LB_TYPE_B1), "D: b1 is a sign and has no scale"},
        {FIXED(.rounding = LB_ROUND_THRESHOLD), "rounding threshold makes b1, not s8"},
        {FIXED(.rounding = LB_ROUND_THRESHOLD, .d.type = LB_TYPE_B1, .activation = LB_ACT_RELU),
         "rounding threshold takes no activation; fold it into the thresholds"},
        {FIXED(.rounding = LB_ROUND_THRESHOLD, .d.type = LB_TYPE_B1, .clamp = 1),
         "rounding threshold takes no clamp"},
        {FIXED(.rounding = LB_ROUND_THRESHOLD, .d.type = LB_TYPE_B1, .residual.type = LB_TYPE_S8),
         "rounding threshold takes no residual"},
    };
    check_refused(rows, COUNT(rows));
}

Test(problem, strides_that_do_not_hold_the_matrix_are_refused)
{
    static const refused rows[] = {
        {P(.a.ld = 63), "A: ld 63 is less than the row of 64 elements; use 0 or at least 64"},
        {P(.a.ld = -1), "A: ld -1"},
        {P(.b.ld = 62), "B: ld 62 is less than the row of 64"},
        {P(.b.layout = LB_LAYOUT_COLS, .b.ld = 6), "B: ld 6 is less than the row of 8 elements"},
        {P(.d.ld = 7), "D: ld 7 is less than the row of 8"},
        {P(.residual.type = LB_TYPE_F16, .residual.ld = 1), "residual: ld 1 is less"},
        {P(.b.ld = 65), "B: ld 65 of s4 does not fill whole bytes; use a multiple of 2"},
        {P(.b.type = LB_TYPE_T2, .b.ld = 66), "use a multiple of 4"},
        {P(.a.type = LB_TYPE_B1, .a.ld = 68), "use a multiple of 8"},
        {P(.k = 61, .b.type = LB_TYPE_S2, .b.ld = 60), "use 0 or at least 64"},
        {P(.batch = 2, .a.batch_stride = 255), "A: batch stride 255 is less than one matrix; use 0 "
                                               "or at least 256"},
        {P(.batch = 2, .b.ld = 66, .b.batch_stride = 526), "use 0 or at least 528"},
        {P(.batch = 2, .b.batch_stride = 513), "B: batch stride 513 of s4 does not fill"},
        {P(.d.batch_stride = -4), "D: ld 0 or batch stride -4 is negative"},
    };
    check_refused(rows, COUNT(rows));
}

Test(problem, operands_beyond_the_address_range_are_refused)
{
    static const refused rows[] = {
        {P(.a.ld = INT64_MAX), "A: 4 rows of ld 9223372036854775807 overflow the address range"},
        {P(.a.ld = INT64_C(1) << 57 | 1), "A: 4 rows of ld 144115188075855873 overflow"},
        {P(.m = MAX_DIM, .n = MAX_DIM), "D: 2147418112 rows of ld 2147418112 overflow"},
        {P(.batch = 2, .b.batch_stride = INT64_MAX - 1), "B: 2 batches of stride "
                                                         "9223372036854775806 overflow"},
        {P(.batch = 65535, .a.type = LB_TYPE_B1, .b.type = LB_TYPE_B1, .m = MAX_DIM, .k = 1 << 20),
         "A: 65535 batches of stride 2251731094208512"},
    };
    check_refused(rows, COUNT(rows));
}

Test(problem, boundary_values_are_accepted)
{
    static const lb_problem rows[] = {
        P(.m = 0, .n = 0, .k = 0),
        P(.m = 0),
        P(.n = 0),
        P(.k = 0),
        P(.k = 0, GROUPS),
        P(.m = MAX_DIM),
        P(.n = MAX_DIM),
        P(.k = MAX_DIM, .b.scale = LB_PER_GROUP, .b.group = 1 << 20),
        P(.k = MAX_DIM, .a.type = LB_TYPE_F32),
        P(.batch = 1),
        P(.batch = 65535),
        P(.k = 33, GROUPS), /* the last group has one element */
        P(.k = 31, GROUPS), /* the only group is short */
        P(.k = 31, .b.scale = LB_PER_GROUP, .b.group = 1 << 20),
        P(.a.ld = 64, .b.ld = 64, .d.ld = 8),
        P(.a.ld = 1000, .b.ld = 1002, .d.ld = 1001),
        P(.a.ld = INT64_C(1) << 57), /* 4 rows of 2^57 bytes: exactly the limit of 2^62 bits */
        P(.batch = 2, .a.batch_stride = 256, .b.batch_stride = 512, .d.batch_stride = 32),
        P(.batch = 1, .a.batch_stride = 1), /* one matrix has no stride */
        P(.clamp = 1, .clamp_min = 3, .clamp_max = 3),
        P(.clamp = 1, .clamp_min = -INFINITY, .clamp_max = INFINITY),
        P(.clamp_min = NAN),                    /* not used without clamp */
        P(.residual = {.ld = -1, .scale = 99}), /* nor is a residual without a type */
        P(.bias = LB_TYPE_S32),
        P(.b.layout = LB_LAYOUT_COLS, .n = 7),
        P(.a.scale = LB_PER_TOKEN, .a.zero = LB_PER_TOKEN, GROUPS, .b.zero = LB_PER_GROUP),
        P(.a.scale = LB_PER_TOKEN, .a.zero = LB_PER_TENSOR, GROUPS, .b.zero = LB_PER_TENSOR),
        P(.a.zero = LB_PER_TENSOR, .b.zero = LB_PER_TENSOR),
        P(.b.scale = LB_PER_CHANNEL, .b.scale_type = LB_TYPE_BF16),
        P(.b.scale_type = LB_TYPE_F32, .a.scale_type = LB_TYPE_F32),
        P(.d.type = LB_TYPE_U4, .d.scale = LB_PER_CHANNEL, .d.zero = LB_PER_TENSOR),
        P(.residual.type = LB_TYPE_S32, .residual.scale = LB_PER_TENSOR),
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_expect_eq(lb_problem_check(&rows[i]), LB_OK, "row %zu: %s", i, lb_last_error());
}

/* The s32 sum must not overflow for any data, so the longest k follows from the largest product. */
Test(problem, the_longest_sum_is_accepted_and_one_more_is_unsupported)
{
    static const struct {
        const char *types, *product;
        int64_t limit;
    } rows[] = {
        {"s8*s8", "s8*s8", 131071},
        {"u8*u8", "u8*u8", 33025},
        {"s8*u8", "s8*u8", 65793},
        {"s8*s4", "s8*s4", 2097151},
        {"u8*s4", "u8*s4", 1052688},
        {"s4*s4", "s4*s4", 33554431},
        {"u4*u2", "u4*u2", 47721858},
        {"u8*t2", "u8*t2", 4210752},
        {"s8*b1", "s8*b1", 16777215},
        {"s8.z*s4.z", "s8*s4", 561433},
        {"u8.z*s8", "u8*s8", 65793},
        {"t2*t2", "t2*t2", 536870911},
        {"s8.z*s8.channel.z", "s8*s8", 33025},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char line[96], part[96];
        snprintf(line, sizeof line, "%s->f32 m1 n1 k1", rows[i].types);
        lb_problem p = parsed(line);
        p.k = rows[i].limit;
        check_ok(lb_problem_check(&p));
        p.k++;
        snprintf(part, sizeof part, "products %s can overflow the s32 accumulator; at most %lld",
                 rows[i].product, (long long)rows[i].limit);
        check_status(lb_problem_check(&p), LB_UNSUPPORTED, part);
        snprintf(part, sizeof part, "k %lld", (long long)p.k);
        check_status(lb_problem_check(&p), LB_UNSUPPORTED, part);
    }
}

Test(problem, only_the_group_counts_for_the_longest_sum)
{
    lb_problem p = parsed("s8*s8.g131072->f32 m1 n1 k131071");
    check_ok(lb_problem_check(&p)); /* k is shorter than the group */
    p.k = 131072;
    check_status(lb_problem_check(&p), LB_UNSUPPORTED, "sum of 131072 products");
    p.b.group = 131072 - 32;
    check_ok(lb_problem_check(&p));
    p.k = MAX_DIM;
    check_ok(lb_problem_check(&p));
}

Test(problem, sums_that_cannot_overflow_have_no_limit)
{
    static const char *const lines[] = {"b1*b1->b1 m1 n1 k2147418112",
                                        "f16*s8->f16 m1 n1 k2147418112",
                                        "f32*f32->f32 m1 n1 k2147418112"};
    for (size_t i = 0; i < COUNT(lines); i++)
        parsed(lines[i]);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

typedef struct size_row {
    const char *line;
    lb_sizes sizes; /* struct_size is left out */
} size_row;

static void check_sizes(const size_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lb_problem p = parsed(rows[i].line);
        lb_sizes got = LB_SIZES_INIT, expected = rows[i].sizes;
        expected.struct_size = sizeof expected;
        check_ok(lb_problem_sizes(&p, &got));
        static const char *const names[] = {"a",
                                            "a_scale",
                                            "a_zero",
                                            "b",
                                            "b_scale",
                                            "b_zero",
                                            "d",
                                            "d_scale",
                                            "d_zero",
                                            "bias",
                                            "residual",
                                            "residual_scale",
                                            "residual_zero",
                                            "random",
                                            "b_table",
                                            "d_sums",
                                            "b_channel_scale"};
        uint64_t have[COUNT(names)], want[COUNT(names)];
        cr_assert_eq(sizeof have, sizeof got - offsetof(lb_sizes, a));
        memcpy(have, (const char *)&got + offsetof(lb_sizes, a), sizeof have);
        memcpy(want, (const char *)&expected + offsetof(lb_sizes, a), sizeof want);
        for (size_t f = 0; f < COUNT(names); f++)
            cr_expect_eq(have[f], want[f], "%s: %s has %llu bytes instead of %llu", rows[i].line,
                         names[f], (unsigned long long)have[f], (unsigned long long)want[f]);
    }
}

Test(problem, dense_arrays_have_their_sizes)
{
    static const size_row rows[] = {
        {"s8*s8->s32 m3 n5 k7", {.a = 21, .b = 35, .d = 60}},
        {"f32*bf16->f16 m3 n5 k7", {.a = 84, .b = 70, .d = 30}},
        {"s8.token.z*s4.channel.z->f16 m3 n5 k7 +bias +res.f32",
         {.a = 21,
          .a_scale = 12,
          .a_zero = 12,
          .b = 20,
          .b_scale = 20,
          .b_zero = 20,
          .d = 30,
          .bias = 20,
          .residual = 60}},
        {"s8.tensor.z*s8.tensor.z->u8.tensor.z m3 n5 k7 +bias.s32 +res.u8.tensor",
         {.a = 21,
          .a_scale = 4,
          .a_zero = 4,
          .b = 35,
          .b_scale = 4,
          .b_zero = 4,
          .d = 15,
          .d_scale = 4,
          .d_zero = 4,
          .bias = 20,
          .residual = 15,
          .residual_scale = 4,
          .d_sums = 12}},
        {"s8*s8->s8.channel m3 n5 k7 b2 +bias.f16", /* D's scales are shared by the batches */
         {.a = 42, .b = 70, .d = 30, .d_scale = 20, .bias = 20, .d_sums = 24}},
    };
    check_sizes(rows, COUNT(rows));
}

Test(problem, narrow_rows_start_on_bytes)
{
    static const size_row rows[] = {
        {"s4*s4->s4 m3 n5 k7", {.a = 12, .b = 20, .d = 9, .d_sums = 12}},
        {"u2*t2->f32 m3 n5 k5", {.a = 6, .b = 10, .d = 60}},
        {"b1*b1->b1 m3 n9 k9", {.a = 6, .b = 18, .d = 6, .d_sums = 12}},
        {"b1*b1->b1 m1 n1 k1", {.a = 1, .b = 1, .d = 1, .d_sums = 4}},
        {"s8*s2@cols->f32 m2 n5 k3", {.a = 6, .b = 6, .d = 40}},
        {"s8*b1@cols->f32 m2 n8 k3", {.a = 6, .b = 3, .d = 64}},
    };
    check_sizes(rows, COUNT(rows));
}

Test(problem, groups_are_counted_with_the_last_short_one)
{
    static const size_row rows[] = {
        {"s8*s4.g32->f32 m1 n3 k64", {.a = 64, .b = 96, .b_scale = 24, .d = 12}},
        {"s8*s4.g32->f32 m1 n3 k65", {.a = 65, .b = 99, .b_scale = 36, .d = 12}},
        {"s8*s4.g64.zt.bf16->f32 m1 n3 k65",
         {.a = 65, .b = 99, .b_scale = 12, .b_zero = 4, .d = 12}},
        {"u8.tensor.z*u4.g32.z.f16->bf16 m2 n3 k65 b4",
         {.a = 520, .a_scale = 16, .a_zero = 16, .b = 396, .b_scale = 72, .b_zero = 144, .d = 48}},
        {"s8*s4@cols.g32->f32 m1 n3 k65", {.a = 65, .b = 130, .b_scale = 36, .d = 12}},
    };
    check_sizes(rows, COUNT(rows));
}

/* The last row ends where its elements end: ld is not paid there. */
Test(problem, strides_lie_between_rows_and_batches_only)
{
    static const size_row rows[] = {
        {"s8.ld128.bs1000*b1.ld64->f32.ld10 m3 n4 k33 b2 +bias.f16 +res.s8.tensor.ld16.bs64",
         {.a = 1289, .b = 61, .d = 216, .bias = 16, .residual = 100, .residual_scale = 4}},
        {"s8.ld100*s4@cols.ld10->f16 m1 n4 k3", {.a = 3, .b = 12, .d = 8}},
    };
    check_sizes(rows, COUNT(rows));
}

Test(problem, empty_arrays_take_nothing)
{
    static const size_row rows[] = {
        {"s8.token*s8.channel->s32 m0 n0 k0", {.a = 0}},
        {"s8.token*s8.channel->f32 m0 n4 k5 +bias +res.f16", {.b = 20, .b_scale = 16, .bias = 16}},
        {"s8.token*s8.channel->f32 m3 n0 k5 +bias +res.f16", {.a = 15, .a_scale = 12}},
        {"s8*s8->s8 m3 n0 k5", {.a = 15}},
        {"s8*s8->s8 m0 n3 k5", {.b = 15}},
        {"s8.token*s4.g32->f32 m2 n3 k0", {.a_scale = 8, .b_scale = 12, .d = 24}},
    };
    check_sizes(rows, COUNT(rows));
}

Test(problem, the_largest_sizes_are_exact)
{
    lb_problem p = parsed("b1*b1->b1 m2147418112 n2147418112 k8");
    lb_sizes sizes = LB_SIZES_INIT;
    check_ok(lb_problem_sizes(&p, &sizes));
    cr_expect_eq(sizes.a, UINT64_C(2147418112));
    cr_expect_eq(sizes.d, UINT64_C(1073676289) << 29); /* (32767 * 2^16)^2 / 8 */

    lb_problem q = P(.batch = 65535, .m = 1, .n = 1 << 20, .k = 1 << 25, .b.type = LB_TYPE_B1,
                     GROUPS, .a.ld = 1 << 25);
    check_ok(lb_problem_sizes(&q, &sizes));
    cr_expect_eq(sizes.b, UINT64_C(65535) << 42);
    cr_expect_eq(sizes.b_scale, UINT64_C(65535) << 42);
}

Test(problem, sizes_need_a_struct_of_this_library)
{
    lb_problem p = parsed("s8*s8->s32 m1 n1 k1");
    lb_sizes sizes = {.struct_size = 8};
    check_status(lb_problem_sizes(&p, &sizes), LB_INVALID_ARGUMENT, "sizes->struct_size is 8");
    check_status(lb_problem_sizes(&p, NULL), LB_INVALID_ARGUMENT, "sizes is NULL");
    sizes.struct_size = sizeof sizes;
    check_status(lb_problem_sizes(NULL, &sizes), LB_INVALID_ARGUMENT, "problem is NULL");
}

/* ---- Classes --------------------------------------------------------------------------------- */

Test(problem, integer_problems_without_groups_and_transcendentals_are_exact)
{
    static const struct {
        const char *line;
        int exact;
        bool raw;
    } rows[] = {
        {"s8*s4->s32 m1 n1 k32", 1, true},
        {"s8.z*s4.z->s32 m1 n1 k32 +bias.s32 +relu", 1, true},
        {"b1*b1->s32 m1 n1 k32", 1, true},
        {"s8*s4->f32 m1 n1 k32", 1, false},
        {"s8.tensor*s4->s32 m1 n1 k32", 1, false},
        {"s8*s4.channel->s32 m1 n1 k32", 1, false},
        {"s8*s4->s32.tensor m1 n1 k32", 1, false},
        {"s8*s4->s32 m1 n1 k32 +bias", 1, false},
        {"s8*s4->s32 m1 n1 k32 +res.s32", 1, false},
        {"s8*s4->s32 m1 n1 k32 +clamp=0:1", 1, false},
        {"s8*s4->s32 m1 n1 k32 +gelu", 0, false},
        {"s8.token*s4.channel->f16 m1 n1 k32 +bias +relu +clamp=0:6", 1, false},
        {"s8.token*s4.channel->f16 m1 n1 k32 +silu", 0, false},
        {"s8.token*s4.channel->f16 m1 n1 k32 +gelu_tanh", 0, false},
        {"s8*s4.g32->f16 m1 n1 k32", 0, false},
        {"f16*s4->f16 m1 n1 k32", 0, false},
        {"s8*f16->f16 m1 n1 k32", 0, false},
        {"f32*f32->s32 m1 n1 k32", 0, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        lb_problem p = parsed(rows[i].line);
        cr_expect_eq(lb_problem_is_exact(&p), rows[i].exact, "%s", rows[i].line);
        cr_expect_eq(lb_problem_is_raw(&p), rows[i].raw, "%s", rows[i].line);
    }
}

Test(problem, a_multiply_add_counts_twice)
{
    static const struct {
        const char *line;
        double ops;
    } rows[] = {{"s8*s8->s32 m3 n5 k7", 210},
                {"s8*s8->s32 m3 n5 k7 b1", 210},
                {"s8*s8->s32 m3 n5 k7 b4", 840},
                {"s8*s8->s32 m0 n5 k7", 0},
                {"f16*s4->f16 m1048576 n1048576 k1048576", 0x1p61}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        lb_problem p = parsed(rows[i].line);
        cr_expect_eq(lb_problem_ops(&p), rows[i].ops, "%s", rows[i].line);
    }
}

/* ---- Defaults -------------------------------------------------------------------------------- */

Test(problem, normalising_makes_defaults_explicit)
{
    lb_problem p = P(.k = 61, .b.scale = LB_PER_CHANNEL, .clamp_max = 3), q;
    p.residual = (lb_operand){.ld = 5, .zero = 4};
    check_ok(lb_problem_normalise(&p, &q));
    lb_problem expected = P(.k = 61, .batch = 1);
    expected.a = (lb_operand){.type = LB_TYPE_S8, .ld = 61, .batch_stride = 4 * 61};
    expected.b = (lb_operand){.type = LB_TYPE_S4,
                              .ld = 62,
                              .batch_stride = 8 * 62,
                              .scale = LB_PER_CHANNEL,
                              .scale_type = LB_TYPE_F32};
    expected.d = (lb_operand){.type = LB_TYPE_F32, .ld = 8, .batch_stride = 32};
    cr_expect_eq(memcmp(&q, &expected, sizeof q), 0);
    cr_expect_eq(lb_operand_row_bytes(&q.a), 61);
    cr_expect_eq(lb_operand_row_bytes(&q.b), 31);
    cr_expect_eq(lb_operand_row_bytes(&q.d), 32);
}

Test(problem, what_means_the_same_normalises_to_the_same)
{
    static const lb_problem rows[] = {
        P(.batch = 0),
        P(.batch = 1),
        P(.a.ld = 64, .b.ld = 64, .d.ld = 8),
        P(.a.batch_stride = 1 << 20),
        P(.clamp_min = -1, .clamp_max = 1),
        P(.residual.group = 7),
        P(.a.scale_type = LB_TYPE_F32),
        P(.b.scale_type = LB_TYPE_F32),
        P(.d.scale_type = LB_TYPE_F32),
    };
    lb_problem first, q;
    check_ok(lb_problem_normalise(&rows[0], &first));
    for (size_t i = 0; i < COUNT(rows); i++) {
        check_ok(lb_problem_normalise(&rows[i], &q));
        cr_expect_eq(memcmp(&q, &first, sizeof q), 0, "row %zu", i);
        check_ok(lb_problem_normalise(&q, &q));
        cr_expect_eq(memcmp(&q, &first, sizeof q), 0, "row %zu, normalised twice", i);
    }
}

Test(problem, a_refused_problem_is_not_normalised)
{
    lb_problem p = P(.m = -1), q = P(.m = 17);
    check_status(lb_problem_normalise(&p, &q), LB_INVALID_ARGUMENT, "m is -1");
    cr_expect_eq(q.m, 17);
}

Test(problem, granularities_have_their_numbers_of_values)
{
    lb_problem p = P(.m = 3, .n = 5, .k = 65, GROUPS), plain = P(.m = 3, .k = 65);
    cr_expect_eq(lb_problem_groups(&p), 3);
    cr_expect_eq(lb_problem_group_length(&p), 32);
    cr_expect_eq(lb_granularity_count(&p, LB_PER_NONE), 0);
    cr_expect_eq(lb_granularity_count(&p, LB_PER_TENSOR), 1);
    cr_expect_eq(lb_granularity_count(&p, LB_PER_TOKEN), 3);
    cr_expect_eq(lb_granularity_count(&p, LB_PER_CHANNEL), 5);
    cr_expect_eq(lb_granularity_count(&p, LB_PER_GROUP), 15);
    cr_expect_eq(lb_problem_groups(&plain), 1);
    cr_expect_eq(lb_problem_group_length(&plain), 65);
    p.k = 0;
    cr_expect_eq(lb_problem_groups(&p), 1);
}
