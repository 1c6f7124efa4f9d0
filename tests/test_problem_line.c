/* SPDX-License-Identifier: Apache-2.0 */
/* The text form of a problem: tables of good and bad lines, then many random ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "problem.h"
#include "status.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LINE_BYTES 512 /* longer than any canonical line */

static void check_same(const lb_problem *got, const lb_problem *expected, const char *line)
{
    cr_assert_eq(memcmp(got, expected, sizeof *got), 0, "'%s' gives another problem", line);
}

/* ---- Good lines ------------------------------------------------------------------------------ */

typedef struct good {
    const char *line, *canonical; /* NULL: the line is canonical itself */
    lb_problem problem;
} good;

static void check_good(const good *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *canonical = rows[i].canonical ? rows[i].canonical : rows[i].line;
        lb_problem expected = rows[i].problem, got = {.k = -1};
        expected.struct_size = sizeof expected;
        check_ok(lb_problem_parse(rows[i].line, &got));
        check_same(&got, &expected, rows[i].line);
        char text[LINE_BYTES];
        size_t needed = 0;
        check_ok(lb_problem_print(&got, text, sizeof text, &needed));
        cr_expect_str_eq(text, canonical);
        cr_expect_eq(needed, strlen(canonical) + 1, "%s", canonical);
    }
}

#define S8 .a.type = LB_TYPE_S8
#define S4 .b.type = LB_TYPE_S4
#define F16 .d.type = LB_TYPE_F16
#define MNK .m = 2, .n = 3, .k = 64

Test(problem_line, operands_are_read)
{
    static const good rows[] = {
        {"s8*s4->f16 m2 n3 k64", NULL, {S8, S4, F16, MNK}},
        {"u8*t2->s32 m0 n0 k0",
         NULL,
         {.a.type = LB_TYPE_U8, .b.type = LB_TYPE_T2, .d.type = LB_TYPE_S32}},
        {"bf16*b1->bf16 m2 n3 k64",
         NULL,
         {.a.type = LB_TYPE_BF16, .b.type = LB_TYPE_B1, .d.type = LB_TYPE_BF16, MNK}},
        {"s8@rows*s4@rows->f16@rows m2 n3 k64", "s8*s4->f16 m2 n3 k64", {S8, S4, F16, MNK}},
        {"s8*s4@cols->f16 m2 n3 k64", NULL, {S8, S4, .b.layout = LB_LAYOUT_COLS, F16, MNK}},
        {"s8.tensor*s4.tensor->s8.tensor m2 n3 k64",
         NULL,
         {S8, .a.scale = LB_PER_TENSOR, S4, .b.scale = LB_PER_TENSOR, .d.type = LB_TYPE_S8,
          .d.scale = LB_PER_TENSOR, MNK}},
        {"s8.token*s4.channel->u4.channel m2 n3 k64",
         NULL,
         {S8, .a.scale = LB_PER_TOKEN, S4, .b.scale = LB_PER_CHANNEL, .d.type = LB_TYPE_U4,
          .d.scale = LB_PER_CHANNEL, MNK}},
        {"s8*s4.g32->f16 m2 n3 k64",
         NULL,
         {S8, S4, .b.scale = LB_PER_GROUP, .b.group = 32, F16, MNK}},
        {"s8*s4@cols.g128.f16->f16 m2 n3 k64",
         NULL,
         {S8, S4, .b.layout = LB_LAYOUT_COLS, .b.scale = LB_PER_GROUP, .b.group = 128,
          .b.scale_type = LB_TYPE_F16, F16, MNK}},
        {"s8*s4.channel.bf16->f16 m2 n3 k64",
         NULL,
         {S8, S4, .b.scale = LB_PER_CHANNEL, .b.scale_type = LB_TYPE_BF16, F16, MNK}},
        {"s8*s4.f32.channel->f16 m2 n3 k64",
         "s8*s4.channel->f16 m2 n3 k64",
         {S8, S4, .b.scale = LB_PER_CHANNEL, .b.scale_type = LB_TYPE_F32, F16, MNK}},
    };
    check_good(rows, COUNT(rows));
}

Test(problem_line, a_zero_point_goes_with_the_scale)
{
    static const good rows[] = {
        {"s8.z*s4.z->f16 m2 n3 k64",
         NULL,
         {S8, .a.zero = LB_PER_TENSOR, S4, .b.zero = LB_PER_TENSOR, F16, MNK}},
        {"s8.zt*s4.tensor.zt->f16 m2 n3 k64",
         "s8.z*s4.tensor.z->f16 m2 n3 k64",
         {S8, .a.zero = LB_PER_TENSOR, S4, .b.scale = LB_PER_TENSOR, .b.zero = LB_PER_TENSOR, F16,
          MNK}},
        {"s8.token.z*s4.g32.z->f16 m2 n3 k64",
         NULL,
         {S8, .a.scale = LB_PER_TOKEN, .a.zero = LB_PER_TOKEN, S4, .b.scale = LB_PER_GROUP,
          .b.group = 32, .b.zero = LB_PER_GROUP, F16, MNK}},
        {"s8.token.zt*s4.g32.zt->f16 m2 n3 k64",
         NULL,
         {S8, .a.scale = LB_PER_TOKEN, .a.zero = LB_PER_TENSOR, S4, .b.scale = LB_PER_GROUP,
          .b.group = 32, .b.zero = LB_PER_TENSOR, F16, MNK}},
        {"s8.z.token*s4.z.channel->f16 m2 n3 k64",
         "s8.token.z*s4.channel.z->f16 m2 n3 k64",
         {S8, .a.scale = LB_PER_TOKEN, .a.zero = LB_PER_TOKEN, S4, .b.scale = LB_PER_CHANNEL,
          .b.zero = LB_PER_CHANNEL, F16, MNK}},
        {"s8*s4->u8.channel.z m2 n3 k64",
         "s8*s4->u8.channel.zt m2 n3 k64", /* D has one at most */
         {S8, S4, .d.type = LB_TYPE_U8, .d.scale = LB_PER_CHANNEL, .d.zero = LB_PER_TENSOR, MNK}},
    };
    check_good(rows, COUNT(rows));
}

Test(problem_line, strides_are_read_and_printed_where_they_matter)
{
    static const good rows[] = {
        {"s8.ld80*s4.ld66->f16.ld5 m2 n3 k64",
         NULL,
         {S8, .a.ld = 80, S4, .b.ld = 66, F16, .d.ld = 5, MNK}},
        {"s8.ld64*s4.ld64->f16.ld3 m2 n3 k64",
         "s8*s4->f16 m2 n3 k64",
         {S8, .a.ld = 64, S4, .b.ld = 64, F16, .d.ld = 3, MNK}},
        {"s8.ld0*s4.bs0->f16 m2 n3 k64", "s8*s4->f16 m2 n3 k64", {S8, S4, F16, MNK}},
        {"s8.bs999*s4->f16 m2 n3 k64 b1",
         "s8*s4->f16 m2 n3 k64",
         {S8, .a.batch_stride = 999, S4, F16, MNK, .batch = 1}},
        {"s8.bs999*s4.ld66.bs200->f16 m2 n3 k64 b7",
         NULL,
         {S8, .a.batch_stride = 999, S4, .b.ld = 66, .b.batch_stride = 200, F16, MNK, .batch = 7}},
        {"s8.bs128*s4.ld66.bs198->f16 m2 n3 k64 b7",
         "s8*s4.ld66->f16 m2 n3 k64 b7",
         {S8, .a.batch_stride = 128, S4, .b.ld = 66, .b.batch_stride = 198, F16, MNK, .batch = 7}},
        {"s8*s4@cols.ld4.bs300->f16 m2 n3 k64 b7",
         "s8*s4@cols.bs300->f16 m2 n3 k64 b7",
         {S8, S4, .b.layout = LB_LAYOUT_COLS, .b.ld = 4, .b.batch_stride = 300, F16, MNK,
          .batch = 7}},
    };
    check_good(rows, COUNT(rows));
}

Test(problem_line, epilogues_are_read)
{
    static const good rows[] = {
        {"s8*s4->f16 m2 n3 k64 +bias", NULL, {S8, S4, F16, MNK, .bias = LB_TYPE_F32}},
        {"s8*s4->f16 m2 n3 k64 +bias.f32",
         "s8*s4->f16 m2 n3 k64 +bias",
         {S8, S4, F16, MNK, .bias = LB_TYPE_F32}},
        {"s8*s4->f16 m2 n3 k64 +bias.s32 +relu",
         NULL,
         {S8, S4, F16, MNK, .bias = LB_TYPE_S32, .activation = LB_ACT_RELU}},
        {"s8*s4->f16 m2 n3 k64 +bias.bf16 +silu",
         NULL,
         {S8, S4, F16, MNK, .bias = LB_TYPE_BF16, .activation = LB_ACT_SILU}},
        {"s8*s4->f16 m2 n3 k64 +gelu", NULL, {S8, S4, F16, MNK, .activation = LB_ACT_GELU}},
        {"s8*s4->f16 m2 n3 k64 +gelu_tanh",
         NULL,
         {S8, S4, F16, MNK, .activation = LB_ACT_GELU_TANH}},
        {"s8*s4->f16 m2 n3 k64 +res.f32", NULL, {S8, S4, F16, MNK, .residual.type = LB_TYPE_F32}},
        {"s8*s4->f16 m2 n3 k64 b2 +res.s8.tensor.ld4.bs100",
         NULL,
         {S8, S4, F16, MNK, .batch = 2,
          .residual = {.type = LB_TYPE_S8, .scale = LB_PER_TENSOR, .ld = 4, .batch_stride = 100}}},
        {"s8*s4->f16 m2 n3 k64 +clamp=0:6", NULL, {S8, S4, F16, MNK, .clamp = 1, .clamp_max = 6}},
        {"s8*s4->f16 m2 n3 k64 +clamp=-1.5:1e3",
         "s8*s4->f16 m2 n3 k64 +clamp=-1.5:1000",
         {S8, S4, F16, MNK, .clamp = 1, .clamp_min = -1.5f, .clamp_max = 1000}},
        {"s8*s4->f16 m2 n3 k64 +clamp=-inf:0.100000001",
         NULL,
         {S8, S4, F16, MNK, .clamp = 1, .clamp_min = -INFINITY, .clamp_max = 0.1f}},
        {"s8*s4->f16 m2 n3 k64 +clamp=-0:1.40129846e-45",
         NULL,
         {S8, S4, F16, MNK, .clamp = 1, .clamp_min = -0.0f, .clamp_max = 0x1p-149f}},
    };
    check_good(rows, COUNT(rows));
}

Test(problem_line, roundings_are_read)
{
    static const good rows[] = {
        {"s8*s4->f16 m2 n3 k64 +relu6", NULL, {S8, S4, F16, MNK, .activation = LB_ACT_RELU6}},
        {"s8*s4->f16 m2 n3 k64 +hswish", NULL, {S8, S4, F16, MNK, .activation = LB_ACT_HARD_SWISH}},
        {"s8*s4->f16 m2 n3 k64 +round=even", "s8*s4->f16 m2 n3 k64", {S8, S4, F16, MNK}},
        {"s8*s4->s2.token.zt m2 n3 k64 +round=stochastic",
         NULL,
         {S8, S4, .d = {.type = LB_TYPE_S2, .scale = LB_PER_TOKEN, .zero = LB_PER_TENSOR}, MNK,
          .rounding = LB_ROUND_STOCHASTIC}},
        {"s8*s4->u4.channel.zt m2 n3 k64 +res.u8.channel.z +hswish=4096:6 +round=gemmlowp",
         "s8*s4->u4.channel.zt m2 n3 k64 +res.u8.channel.zt +hswish=4096:6 +round=gemmlowp",
         {S8, S4, .d = {.type = LB_TYPE_U4, .scale = LB_PER_CHANNEL, .zero = LB_PER_TENSOR}, MNK,
          .residual = {.type = LB_TYPE_U8, .scale = LB_PER_CHANNEL, .zero = LB_PER_TENSOR},
          .activation = LB_ACT_HARD_SWISH, .act_three = 4096, .act_shift = 6,
          .rounding = LB_ROUND_GEMMLOWP}},
        {"s8*s4->s8.tensor m2 n3 k64 +hswish=9 +clamp=-7:7 +round=dyadic",
         NULL,
         {S8, S4, .d = {.type = LB_TYPE_S8, .scale = LB_PER_TENSOR}, MNK,
          .activation = LB_ACT_HARD_SWISH, .act_three = 9, .clamp = 1, .clamp_min = -7,
          .clamp_max = 7, .rounding = LB_ROUND_DYADIC}},
        {"s8*s4->b1.channel m2 n3 k64 +bias.s32 +round=threshold",
         NULL,
         {S8, S4, .d = {.type = LB_TYPE_B1, .scale = LB_PER_CHANNEL}, MNK, .bias = LB_TYPE_S32,
          .rounding = LB_ROUND_THRESHOLD}},
    };
    check_good(rows, COUNT(rows));
}

Test(problem_line, words_come_in_any_order_between_any_blanks)
{
    static const good rows[] = {
        {" \t s8*s4->f16\t+relu  +bias k64\nb4 n3   m2 \r\n",
         "s8*s4->f16 m2 n3 k64 b4 +bias +relu",
         {S8, S4, F16, MNK, .batch = 4, .bias = LB_TYPE_F32, .activation = LB_ACT_RELU}},
        {"s8*s4->f16 +clamp=0:1 +res.f16 m002 n3 k64",
         "s8*s4->f16 m2 n3 k64 +res.f16 +clamp=0:1",
         {S8, S4, F16, MNK, .clamp = 1, .clamp_max = 1, .residual.type = LB_TYPE_F16}},
    };
    check_good(rows, COUNT(rows));
}

/* ---- Bad lines ------------------------------------------------------------------------------- */

typedef struct bad {
    const char *line, *part;
} bad;

static void check_bad(const bad *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lb_problem p = {.m = 123}, before = p;
        check_status(lb_problem_parse(rows[i].line, &p), LB_INVALID_ARGUMENT, rows[i].part);
        check_same(&p, &before, rows[i].line);
    }
}

Test(problem_line, bad_operands_are_named_with_their_column)
{
    static const bad rows[] = {
        {"", "column 1, '': unknown type; there are s8"},
        {"   ", "column 4, '': unknown type"},
        {"s9*s4->f16 m1 n1 k1", "column 1, 's9': unknown type"},
        {"S8*s4->f16 m1 n1 k1", "column 1, 'S8': unknown type"},
        {"*s4->f16 m1 n1 k1", "column 1, '': unknown type"},
        {"s8", "column 3, '': '*' is missing after the type of A"},
        {"s8 *s4->f16 m1 n1 k1", "column 3, ' *s4->f16 m1 n1 k1': '*' is missing"},
        {"s8*int4->f16 m1 n1 k1", "column 4, 'int4': unknown type"},
        {"s8*int4->f16 m1 n1 k1", "s32; did you mean 's4'?"},
        {"bf61*s4->f16 m1 n1 k1", "did you mean 'bf16'?"},
        {"S8*s4->f16 m1 n1 k1", "did you mean 's8'?"},
        {"s8*s4.chanel->f16 m1 n1 k1", "tables; did you mean 'channel'?"},
        {"s8*s4@col->f16 m1 n1 k1", "did you mean 'cols'?"},
        {"s8*s4->f16 m1 n1 k1 +slu", "did you mean '+silu'?"},
        {"s8*s4->f16 m1 n1 k1 +rleu", "did you mean '+relu'?"},
        {"s8*s4->f16 m1 n1 k1 relu", "did you mean '+relu'?"},
        {"s8*s4->s8 m1 n1 k1 +round=gemlowp", "did you mean '+round=gemmlowp'?"},
        {"s8*s4", "column 6, '': '->' is missing after the type of B"},
        {"s8*s4-f16 m1 n1 k1", "column 6, '-f16 m1 n1 k1': '->' is missing"},
        {"s8*s4->", "column 8, '': unknown type"},
        {"s8*s4->x m1 n1 k1", "column 8, 'x': unknown type"},
        {"s8*s4->f16m1 n1 k1", "column 8, 'f16m1': unknown type"},
        {"s8*s4@col->f16 m1 n1 k1", "column 7, 'col': unknown layout; there are rows and cols"},
        {"s8*s4@->f16 m1 n1 k1", "column 7, '': unknown layout"},
        {"s8.@rows*s4->f16 m1 n1 k1", "column 4, '': unknown attribute"},
        {"s8.tokens*s4->f16 m1 n1 k1", "column 4, 'tokens': unknown attribute; there are tensor"},
        {"s8*s4.g->f16 m1 n1 k1", "column 7, 'g': unknown attribute"},
        {"s8*s4.g12x->f16 m1 n1 k1", "column 7, 'g12x': 'x' is not a digit"},
        {"s8*s4.g9999999999->f16 m1 n1 k1", "column 7, 'g9999999999': the group is longer than"},
        {"s8.ld99999999999999999999*s4->f16 m1 n1 k1",
         "column 4, 'ld99999999999999999999': the number is too large"},
        {"s8.ld-4*s4->f16 m1 n1 k1", "column 4, 'ld-4': unknown attribute"},
        {"s8.tensor.token*s4->f16 m1 n1 k1", "column 11, 'token': the operand has two granul"},
        {"s8*s4.g32.g64->f16 m1 n1 k1", "column 11, 'g64': the operand has two granularities"},
        {"s8.z.zt*s4->f16 m1 n1 k1", "column 6, 'zt': the operand has a zero point already"},
        {"s8*s4.f16.bf16->f16 m1 n1 k1", "column 11, 'bf16': the operand has a scale type alr"},
        {"s8.ld64.ld65*s4->f16 m1 n1 k1", "column 9, 'ld65': the operand has an ld already"},
        {"s8.bs64.bs65*s4->f16 m1 n1 k1", "column 9, 'bs65': the operand has a batch stride"},
        {"s8*s4->f16@rows@rows m1 n1 k1", "column 16, '@rows': unknown word"},
    };
    check_bad(rows, COUNT(rows));
}

Test(problem_line, bad_words_are_named_with_their_column)
{
    static const bad rows[] = {
        {"s8*s4->f16", "column 11, '': mINT is missing"},
        {"s8*s4->f16 m1 k1", "column 17, '': nINT is missing"},
        {"s8*s4->f16 m1 n1 ", "column 18, '': kINT is missing"},
        {"s8*s4->f16 m1 n1 k", "column 18, 'k': unknown word; there are mINT"},
        {"s8*s4->f16 m-1 n1 k1", "column 12, 'm-1': unknown word"},
        {"s8*s4->f16 m1 m1 n1 k1", "column 15, 'm1': m is given twice"},
        {"s8*s4->f16 m1 n1 k1 b2 b2", "column 24, 'b2': b is given twice"},
        {"s8*s4->f16 m1x n1 k1", "column 12, 'm1x': 'x' is not a digit"},
        {"s8*s4->f16 m1,n1 k1", "column 12, 'm1,n1': ',' is not a digit"},
        {"s8*s4->f16 m99999999999999999999 n1 k1", "the number is too large"},
        {"s8*s4->f16 m1 n1 k1 q4", "column 21, 'q4': unknown word"},
        {"s8*s4->f16 m1 n1 k1 bias", "column 21, 'bias': unknown word"},
        {"s8*s4->f16 m1 n1 k1 +", "column 21, '+': unknown word; there are +bias"},
        {"s8*s4->f16 m1 n1 k1 +tanh", "column 21, '+tanh': unknown word"},
        {"s8*s4->f16 m1 n1 k1 +biased", "column 21, '+biased': unknown word"},
        {"s8*s4->f16 m1 n1 k1 +bias.", "column 27, '': unknown type"},
        {"s8*s4->f16 m1 n1 k1 +bias.f33", "column 27, 'f33': unknown type"},
        {"s8*s4->f16 m1 n1 k1 +bias +bias.f16", "column 27, '+bias.f16': there is a bias already"},
        {"s8*s4->f16 m1 n1 k1 +res", "column 21, '+res': unknown word"},
        {"s8*s4->f16 m1 n1 k1 +res.f61", "column 26, 'f61': unknown type"},
        {"s8*s4->f16 m1 n1 k1 +res.f16@x", "column 30, 'x': unknown layout"},
        {"s8*s4->f16 m1 n1 k1 +res.f16.ld2@rows", "'+res.f16.ld2@rows': write +res.TYPE"},
        {"s8*s4->f16 m1 n1 k1 +res.f16 +res.s8", "column 30, '+res.s8': there is a residual alr"},
        {"s8*s4->f16 m1 n1 k1 +relu +silu", "column 27, '+silu': there is an activation already"},
        {"s8*s4->f16 m1 n1 k1 +round=up",
         "column 21, '+round=up': unknown rounding; there are even"},
        {"s8*s4->s8.tensor m1 n1 k1 +round=pow2 +round=fixed", "there is a rounding already"},
        {"s8*s4->s8.tensor m1 n1 k1 +hswish=", "a number is missing after '+hswish='"},
        {"s8*s4->s8.tensor m1 n1 k1 +hswish=4:", "a number is missing after '+hswish=4:'"},
        {"s8*s4->s8.tensor m1 n1 k1 +hswish=4:x", "'x' is not a digit"},
        {"s8*s4->s8.tensor m1 n1 k1 +hswish=4 +relu", "there is an activation already"},
        {"s8*s4->f16 m1 n1 k1 +clamp=0:6 +clamp=0:1", "'+clamp=0:1': there is a clamp already"},
    };
    check_bad(rows, COUNT(rows));
}

Test(problem_line, bad_clamps_are_shown_how_to_write)
{
    static const char *const limits[] = {"", ":", "0", "0:", ":6", "0:6:7", "0,6", "a:b", "0:6x"};
    for (size_t i = 0; i < COUNT(limits); i++) {
        char line[96], word[32];
        snprintf(line, sizeof line, "s8*s4->f16 m1 n1 k1 +clamp=%s", limits[i]);
        snprintf(word, sizeof word, "column 21, '+clamp=%s': write", limits[i]);
        check_bad(&(bad){line, word}, 1);
    }
    check_bad(&(bad){"s8*s4->f16 m1 n1 k1 +clamp=0:"
                     "00000000000000000000000000000000000000000000000000000000000000000006",
                     "the numbers are too long"},
              1);
}

/* What each word says may still break a rule of problems: those sentences pass through. */
Test(problem_line, a_line_is_also_validated)
{
    static const bad rows[] = {
        {"s32*s4->f16 m1 n1 k1", "A: type s32 (9)"},
        {"s8*s4.g48->f16 m1 n1 k1", "B: group 48"},
        {"s8*s4.g0->f16 m1 n1 k1", "B: group 0"},
        {"s8@cols*s4->f16 m1 n1 k1", "A: layout 1"},
        {"s8*s4->f16 m1 n1 k1 b65536", "batch is 65536"},
        {"s8*s4->f16 m9223372036854775799 n1 k1", "m is 9223372036854775799"},
        {"s8*s4->f16 m1 n1 k1 +clamp=6:0", "clamp from 6 to 0 is empty"},
        {"s8*s4->f16 m1 n1 k1 +clamp=nan:0", "clamp from nan"},
        {"s8*s4->f16 m1 n1 k1 +res.f16.z", "residual: type f16 has no zero point"},
        {"s8*s4->s8 m1 n1 k1 +round=fixed", "rounding fixed needs multipliers"},
        {"s8*s4->s8.tensor m1 n1 k1 +hswish +round=fixed", "act_three is 0; hard-swish"},
        {"s8*s4->s8.tensor m1 n1 k1 +hswish=5", "act_three is 5 and act_shift 0, but only"},
    };
    check_bad(rows, COUNT(rows));
    lb_problem p = {.m = 123};
    check_status(lb_problem_parse("s8*s8->s32 m1 n1 k131072", &p), LB_UNSUPPORTED, "131071");
    cr_expect_eq(p.m, 123);
}

Test(problem_line, long_words_are_cut_in_the_sentence)
{
    enum { LENGTH = 100000 };
    char *line = malloc(LENGTH + 1);
    lb_problem p;
    cr_assert(line);
    memset(line, 'x', LENGTH);
    line[LENGTH] = 0;
    check_status(lb_problem_parse(line, &p), LB_INVALID_ARGUMENT, "xxxxxxxx': unknown type");
    cr_expect_lt(strlen(lb_last_error()), 400);
    free(line);
}

Test(problem_line, null_is_refused)
{
    lb_problem p;
    check_status(lb_problem_parse(NULL, &p), LB_INVALID_ARGUMENT, "line is NULL");
    check_status(lb_problem_parse("s8*s8->s32 m1 n1 k1", NULL), LB_INVALID_ARGUMENT,
                 "problem is NULL");
    size_t needed = 77;
    char text[8] = "before";
    check_status(lb_problem_print(NULL, text, sizeof text, &needed), LB_INVALID_ARGUMENT,
                 "problem is NULL");
    check_ok(lb_problem_parse("s8*s8->s32 m1 n1 k1", &p));
    check_status(lb_problem_print(&p, NULL, 5, &needed), LB_INVALID_ARGUMENT,
                 "text is NULL but capacity is 5");
    cr_expect_str_eq(text, "before");
    cr_expect_eq(needed, 77);
}

/* ---- Capacity -------------------------------------------------------------------------------- */

Test(problem_line, no_byte_is_written_beyond_the_capacity)
{
    static const char line[] = "s8.token.z*s4.g128.z->f16.ld32 m16 n31 k64 b3 +bias.f16 "
                               "+res.f32.bs1000 +gelu_tanh +clamp=-1.5:6";
    lb_problem p;
    check_ok(lb_problem_parse(line, &p));
    for (size_t capacity = 1; capacity <= sizeof line + 4; capacity++) {
        size_t needed = 0;
        char *text = malloc(capacity); /* exactly, for the sanitizer to see */
        cr_assert(text);
        memset(text, '#', capacity);
        if (capacity >= sizeof line) {
            check_ok(lb_problem_print(&p, text, capacity, &needed));
            cr_expect_str_eq(text, line);
        } else {
            check_status(lb_problem_print(&p, text, capacity, &needed), LB_INVALID_ARGUMENT,
                         "the text takes 97 bytes");
            cr_expect_eq(strnlen(text, capacity), capacity - 1); /* the beginning of the line */
            cr_expect_eq(strncmp(text, line, capacity - 1), 0);
        }
        cr_expect_eq(needed, sizeof line);
        free(text);
    }
}

Test(problem_line, without_a_buffer_the_bytes_are_counted)
{
    lb_problem p;
    size_t needed = 0;
    char text = '#';
    check_ok(lb_problem_parse("s8*s8->s32 m1 n1 k1", &p));
    check_ok(lb_problem_print(&p, NULL, 0, &needed));
    cr_expect_eq(needed, sizeof "s8*s8->s32 m1 n1 k1");
    check_ok(lb_problem_print(&p, &text, 0, &needed));
    cr_expect_eq(text, '#');
    check_ok(lb_problem_print(&p, NULL, 0, NULL));
}

/* ---- Random problems ------------------------------------------------------------------------- */

typedef uint64_t rng; /* xorshift64*: the same numbers on every run and machine */

static uint32_t next(rng *r)
{
    *r ^= *r >> 12;
    *r ^= *r << 25;
    *r ^= *r >> 27;
    return (uint32_t)(*r * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static uint32_t below(rng *r, uint32_t n)
{
    return (uint32_t)((uint64_t)next(r) * n >> 32);
}

static bool one_in(rng *r, uint32_t n)
{
    return below(r, n) == 0;
}

#define PICK(r, ...)                                                                               \
    ((const int32_t[]){__VA_ARGS__}[below(r, sizeof((const int32_t[]){__VA_ARGS__}) / 4)])

static int64_t random_dim(rng *r)
{
    return one_in(r, 20) ? (int64_t)below(r, 1u << 24) : (int64_t)below(r, 300);
}

static float random_float(rng *r)
{
    uint32_t bits = next(r);
    float value;
    memcpy(&value, &bits, sizeof value);
    return one_in(r, 3) ? value : (float)below(r, 100) / 8.f - 4.f;
}

/* Strides in the form that the printed line gives: 0 where dense. */
static void random_strides(rng *r, lb_operand *o, int64_t rows, int64_t cols, int64_t batch)
{
    int bits = lb_type_bits(o->type);
    int64_t unit = bits && bits < 8 ? 8 / bits : 1, dense = (cols + unit - 1) / unit * unit;
    if (one_in(r, 3))
        o->ld = dense + unit * (1 + below(r, 50));
    if (batch > 1 && one_in(r, 3))
        o->batch_stride = rows * (o->ld ? o->ld : dense) + unit * (1 + below(r, 5000));
}

static int32_t random_zero(rng *r, int32_t scale)
{
    return one_in(r, 3) ? one_in(r, 2) ? scale : LB_PER_TENSOR : LB_PER_NONE;
}

/* Mostly valid, and then just what its own line is parsed to. */
static lb_problem random_problem(rng *r)
{
    lb_problem p = LB_PROBLEM_INIT;
    p.m = random_dim(r), p.n = random_dim(r), p.k = random_dim(r);
    p.batch = one_in(r, 3) ? 2 + below(r, 100) : 0;
    p.a.type = 1 + (int32_t)below(r, LB_TYPE_COUNT - 1);
    p.b.type = 1 + (int32_t)below(r, LB_TYPE_COUNT - 1);
    p.d.type = PICK(r, LB_TYPE_S32, LB_TYPE_S8, LB_TYPE_U8, LB_TYPE_S4, LB_TYPE_U4, LB_TYPE_S2,
                    LB_TYPE_U2, LB_TYPE_T2, LB_TYPE_B1, LB_TYPE_F16, LB_TYPE_BF16, LB_TYPE_F32);
    bool float_a = lb_type_bits(p.a.type) > 8, float_d = p.d.type >= LB_TYPE_F16;
    p.a.scale = float_a ? 0 : PICK(r, LB_PER_NONE, LB_PER_TENSOR, LB_PER_TOKEN);
    p.a.zero = float_a ? 0 : random_zero(r, p.a.scale);
    p.b.scale = PICK(r, LB_PER_NONE, LB_PER_TENSOR, LB_PER_CHANNEL, LB_PER_GROUP);
    p.b.zero = random_zero(r, p.b.scale);
    if (p.b.scale == LB_PER_GROUP)
        p.b.group = 32 * (1 + (int32_t)below(r, 10));
    if (p.b.scale && one_in(r, 2))
        p.b.scale_type = PICK(r, LB_TYPE_F16, LB_TYPE_BF16);
    if (p.b.type >= LB_TYPE_C4 && p.b.scale >= LB_PER_CHANNEL && one_in(r, 2))
        p.b_table = p.b.scale;
    p.b.layout = PICK(r, LB_LAYOUT_ROWS, LB_LAYOUT_COLS);
    p.d.scale = float_d ? 0 : PICK(r, LB_PER_NONE, LB_PER_TENSOR, LB_PER_CHANNEL);
    p.d.zero = float_d ? 0 : random_zero(r, LB_PER_TENSOR);
    random_strides(r, &p.a, p.m, p.k, p.batch);
    bool cols = p.b.layout == LB_LAYOUT_COLS;
    random_strides(r, &p.b, cols ? p.k : p.n, cols ? p.n : p.k, p.batch);
    random_strides(r, &p.d, p.m, p.n, p.batch);
    if (one_in(r, 2)) {
        p.residual.type =
            PICK(r, LB_TYPE_S32, LB_TYPE_S8, LB_TYPE_U8, LB_TYPE_F16, LB_TYPE_BF16, LB_TYPE_F32);
        p.residual.scale = PICK(r, LB_PER_NONE, LB_PER_TENSOR);
        random_strides(r, &p.residual, p.m, p.n, p.batch);
    }
    p.bias = PICK(r, LB_TYPE_NONE, LB_TYPE_S32, LB_TYPE_F32, LB_TYPE_F16, LB_TYPE_BF16);
    p.activation = (int32_t)below(r, 5);
    if (one_in(r, 2)) {
        p.clamp = 1;
        p.clamp_min = random_float(r);
        p.clamp_max = random_float(r);
    }
    return p;
}

Test(problem_line, random_problems_survive_printing_and_parsing)
{
    rng r = 20240229;
    int valid = 0, drawn = 0;
    for (; valid < 20000 && drawn < 2000000; drawn++) {
        lb_problem p = random_problem(&r), normal, back;
        if (lb_problem_check(&p) != LB_OK)
            continue;
        valid++;
        char line[LINE_BYTES], again[LINE_BYTES];
        check_ok(lb_problem_print(&p, line, sizeof line, NULL));
        check_ok(lb_problem_parse(line, &back));
        check_same(&back, &p, line);
        /* With all defaults made explicit it is still the same problem and the same line. */
        check_ok(lb_problem_normalise(&p, &normal));
        check_ok(lb_problem_print(&normal, again, sizeof again, NULL));
        cr_assert_str_eq(again, line);
    }
    cr_assert_eq(valid, 20000, "%d of %d problems were valid", valid, drawn);
}

/* ---- Random lines ---------------------------------------------------------------------------- */

static const char *const seeds[] = {
    "s8.token*s4.channel->f16 m16 n4096 k4096",
    "s8.token.z*s4@cols.g128.z.bf16->f16 m16 n4096 k4096 b2 +bias +silu",
    "u8.tensor.zt.ld80*u2.g32.zt.ld128->u8.channel.zt m3 n5 k65 +relu +clamp=-1.5:6",
    "f16.ld4104*s4.g64.f16.bs131200->bf16.ld40 m1 n32 k4096 b3 +res.f32.ld40.bs100 +gelu_tanh",
    "b1*b1->s32 m8 n8 k1024 +bias.s32",
    "t2*s2.tensor->s8.tensor.z m2 n3 k4 +res.s8.tensor.ld8 +gelu +clamp=-inf:1e30",
};

/* Pieces of the grammar and characters that readers of numbers trip over. */
static const char *const pieces[] = {
    "s8",         "t2",    "f16",      "s32",   "*",     "->",
    "@cols",      "@rows", ".",        "..",    ".z",    ".zt",
    ".g32",       ".g",    ".token",   ".ld",   ".bs",   ".ld128",
    "+",          "+res",  "+res.f16", "+bias", "+relu", "+clamp=",
    ":",          " m",    " n0",      " k1",   " b3",   "-",
    "%s%n",       "0x1p3", "1e99",     "nan",   "inf",   "99999999999999999999",
    "2147483648", "\n",    "\t",       "\xff",  " ",
};

/* One edit of `line`, which holds LINE_BYTES bytes and stays terminated. */
static void mutate(rng *r, char *line)
{
    size_t length = strlen(line), at = below(r, (uint32_t)length + 1);
    switch (below(r, 6)) {
    case 0: /* any byte; 0 cuts the line */ line[at < length ? at : 0] = (char)below(r, 256); break;
    case 1: /* drop some bytes */
    {
        size_t end = at + below(r, (uint32_t)(length - at) + 1);
        end = end > at + 8 ? at + 8 : end;
        memmove(line + at, line + end, length - end + 1);
        break;
    }
    case 2: /* a digit or letter */
        line[at < length ? at : 0] = "0123456789abcdefgkmnrstuz"[below(r, 25)];
        break;
    default: { /* put in a piece of the grammar or of another line */
        const char *piece = pieces[below(r, COUNT(pieces))];
        if (one_in(r, 4)) {
            piece = seeds[below(r, COUNT(seeds))];
            piece += below(r, (uint32_t)strlen(piece));
        }
        size_t take = strlen(piece);
        if (length + take < LINE_BYTES) {
            memmove(line + at + take, line + at, length - at + 1);
            memcpy(line + at, piece, take);
        }
    }
    }
}

static void check_round_trip(const lb_problem *p)
{
    char line[LINE_BYTES], again[LINE_BYTES];
    lb_problem back, normal, normal_back;
    check_ok(lb_problem_print(p, line, sizeof line, NULL));
    check_ok(lb_problem_parse(line, &back));
    check_ok(lb_problem_normalise(p, &normal));
    check_ok(lb_problem_normalise(&back, &normal_back));
    check_same(&normal_back, &normal, line);
    check_ok(lb_problem_print(&back, again, sizeof again, NULL));
    cr_assert_str_eq(again, line);
}

Test(problem_line, damaged_lines_are_refused_with_a_sentence_or_mean_something)
{
    rng r = 7;
    int accepted = 0, refused = 0;
    for (int i = 0; i < 50000; i++) {
        char line[LINE_BYTES];
        strcpy(line, seeds[below(&r, COUNT(seeds))]);
        for (uint32_t edits = 1 + below(&r, 4); edits; edits--)
            mutate(&r, line);
        size_t bytes = strlen(line) + 1;
        char *exact = malloc(bytes); /* for the sanitizer to see a read beyond the end */
        cr_assert(exact);
        memcpy(exact, line, bytes);
        lb_problem p = {.m = 123}, before = p;
        lb_fail(LB_INTERNAL, "%s", "");
        lb_status status = lb_problem_parse(exact, &p);
        if (status == LB_OK) {
            accepted++;
            check_round_trip(&p);
        } else {
            refused++;
            cr_assert(status == LB_INVALID_ARGUMENT || status == LB_UNSUPPORTED, "'%s'", line);
            cr_assert(*lb_last_error(), "no sentence about '%s'", line);
            check_same(&p, &before, line);
        }
        free(exact);
    }
    cr_expect(accepted > 500 && refused > 500, "%d accepted, %d refused", accepted, refused);
}

Test(problem_line, every_beginning_of_a_good_line_is_handled)
{
    for (size_t i = 0; i < COUNT(seeds); i++) {
        lb_problem p;
        check_ok(lb_problem_parse(seeds[i], &p));
        check_round_trip(&p);
        for (size_t length = 0; length < strlen(seeds[i]); length++) {
            char *exact = malloc(length + 1);
            cr_assert(exact);
            memcpy(exact, seeds[i], length);
            exact[length] = 0;
            if (lb_problem_parse(exact, &p) == LB_OK)
                check_round_trip(&p);
            free(exact);
        }
    }
}
