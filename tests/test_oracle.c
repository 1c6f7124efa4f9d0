/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reference says, against products and epilogues worked out by hand: every type as A, as B
 * and as D, every step of the epilogue, zero sizes, strides. Each example goes three ways: through
 * the ref backend into memory with guards, through lb_verify with the expected D, and through
 * lb_verify with one bit of it wrong.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "types.h"

/* ---- One example ----------------------------------------------------------------------------- */

typedef struct example {
    const char *line;
    lb_host_args in;
    const void *d;
    size_t bytes; /* of d */
} example;

#define S8(...) ((const int8_t[]){__VA_ARGS__})
#define U8(...) ((const uint8_t[]){__VA_ARGS__})
#define U16(...) ((const uint16_t[]){__VA_ARGS__})
#define S32(...) ((const int32_t[]){__VA_ARGS__})
#define F32(...) ((const float[]){__VA_ARGS__})
#define IN(...)                                                                                    \
    {                                                                                              \
        .struct_size = sizeof(lb_host_args), __VA_ARGS__                                           \
    }
#define D(array) array, sizeof array

#define GUARD 64
#define POISON 0xa5

static lb_ptr host(const void *memory)
{
    return (lb_ptr){(void *)(uintptr_t)memory, 0};
}

/* D by the ref backend, between guards that must survive. The result is the caller's. */
static unsigned char *run_ref(const example *e)
{
    lb_context *context;
    lb_plan *plan;
    lb_weights *weights;
    lb_problem p;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = "ref";
    check_ok(lb_problem_parse(e->line, &p));
    check_ok(lb_context_create(&desc, &context));
    check_ok(lb_plan_create(context, &p, NULL, &plan));
    lb_weights_source source = {.struct_size = sizeof source,
                                .codes = e->in.b,
                                .scales = e->in.b_scale,
                                .zeros = e->in.b_zero};
    check_ok(lb_weights_create(plan, &source, &weights));
    unsigned char *memory = malloc(e->bytes + 2 * GUARD);
    cr_assert(memory);
    memset(memory, POISON, e->bytes + 2 * GUARD);
    lb_args args = LB_ARGS_INIT;
    args.weights = weights;
    args.a = host(e->in.a);
    args.a_scale = host(e->in.a_scale);
    args.a_zero = host(e->in.a_zero);
    args.d = host(memory + GUARD);
    args.d_scale = host(e->in.d_scale);
    args.d_zero = host(e->in.d_zero);
    args.bias = host(e->in.bias);
    args.residual = host(e->in.residual);
    args.residual_scale = host(e->in.residual_scale);
    args.residual_zero = host(e->in.residual_zero);
    args.random = host(e->in.random);
    check_ok(lb_run_host(plan, &args, NULL));
    for (size_t i = 0; i < GUARD; i++)
        cr_assert(memory[i] == POISON && memory[GUARD + e->bytes + i] == POISON,
                  "'%s' writes outside of D", e->line);
    memmove(memory, memory + GUARD, e->bytes);
    lb_weights_destroy(weights);
    lb_plan_destroy(plan);
    lb_context_destroy(context);
    return memory;
}

static lb_verify_report verify(const example *e, const void *d)
{
    lb_problem p;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    check_ok(lb_problem_parse(e->line, &p));
    check_ok(lb_verify(&p, &e->in, d, 0, 1, 0, &report));
    return report;
}

static void check_example(const example *e)
{
    unsigned char *got = run_ref(e);
    const unsigned char *want = e->d;
    for (size_t i = 0; i < e->bytes; i++)
        cr_expect_eq(got[i], want[i], "'%s': byte %zu is 0x%02x, by hand 0x%02x", e->line, i,
                     got[i], want[i]);
    lb_verify_report right = verify(e, e->d);
    cr_expect_eq(right.wrong, 0, "'%s': lb_verify expects %g, by hand %g", e->line, right.expected,
                 right.got);
    cr_expect(right.checked > 0 || e->bytes == 0);
    if (e->bytes) {
        memcpy(got, e->d, e->bytes);
        got[0] ^= 1; /* the lowest bit of element (0, 0), of every type */
        lb_verify_report wrong = verify(e, got);
        cr_expect_eq(wrong.wrong, right.exact ? 1 : wrong.wrong, "'%s': a wrong bit passes",
                     e->line);
        cr_expect(wrong.m == 0 && wrong.n == 0);
    }
    free(got);
}

#define CHECK_ALL(examples)                                                                        \
    for (size_t i_ = 0; i_ < sizeof examples / sizeof *examples; i_++)                             \
    check_example(&examples[i_])

/* ---- Types ----------------------------------------------------------------------------------- */

Test(oracle, every_type_of_activations)
{
    /* f16: 0.5 = 3800, -1 = bc00, 2 = 4000; bf16: 3f00, bf80, 4000 */
    const example examples[] = {
        {"s8*s8->s32 m1 n1 k3", IN(.a = S8(1, -2, 3), .b = S8(4, 5, -6)), D(S32(-24))},
        {"u8*s8->s32 m1 n1 k3", IN(.a = U8(255, 0, 2), .b = S8(-128, 7, 1)), D(S32(-32638))},
        {"s4*s8->s32 m1 n1 k3", IN(.a = U8(0x78, 0x03), .b = S8(2, -1, 5)), D(S32(-8))},
        {"u4*s8->s32 m1 n1 k3", IN(.a = U8(0x1f, 0x08), .b = S8(1, 2, -1)), D(S32(9))},
        {"s2*s8->s32 m1 n1 k3", IN(.a = U8(0x36), .b = S8(3, 4, 5)), D(S32(-7))},
        {"u2*s8->s32 m1 n1 k3", IN(.a = U8(0x23), .b = S8(1, 9, -4)), D(S32(-5))},
        {"t2*s8->s32 m1 n1 k3", IN(.a = U8(0x0d), .b = S8(7, 2, 100)), D(S32(5))},
        {"b1*s8->s32 m1 n1 k3", IN(.a = U8(0x05), .b = S8(1, 2, 4)), D(S32(3))},
        {"f32*s8->f32 m1 n1 k3", IN(.a = F32(0.5F, -1, 2), .b = S8(2, 4, 1)), D(F32(-1))},
        {"f16*s8->f32 m1 n1 k3", IN(.a = U16(0x3800, 0xbc00, 0x4000), .b = S8(2, 4, 1)),
         D(F32(-1))},
        {"bf16*s8->f32 m1 n1 k3", IN(.a = U16(0x3f00, 0xbf80, 0x4000), .b = S8(2, 4, 1)),
         D(F32(-1))},
    };
    CHECK_ALL(examples);
}

Test(oracle, every_type_of_weights)
{
    const example examples[] = {
        {"s8*u8->s32 m1 n1 k3", IN(.a = S8(1, 2, 3), .b = U8(255, 0, 2)), D(S32(261))},
        {"s8*s4->s32 m1 n1 k3", IN(.a = S8(1, 2, 3), .b = U8(0x78, 0x03)), D(S32(15))},
        {"s8*u4->s32 m1 n1 k3", IN(.a = S8(1, 2, 3), .b = U8(0x1f, 0x08)), D(S32(41))},
        {"s8*s2->s32 m1 n1 k3", IN(.a = S8(1, 2, 3), .b = U8(0x36)), D(S32(-3))},
        {"s8*u2->s32 m1 n1 k3", IN(.a = S8(1, 2, 3), .b = U8(0x23)), D(S32(9))},
        {"s8*t2->s32 m1 n1 k3", IN(.a = S8(1, 2, 3), .b = U8(0x0d)), D(S32(-1))},
        {"s8*b1->s32 m1 n1 k3", IN(.a = S8(1, 2, 3), .b = U8(0x05)), D(S32(2))},
        /* bits that differ count -1: 3 equal, 2 not */
        {"b1*b1->s32 m1 n1 k5", IN(.a = U8(0x15), .b = U8(0x1e)), D(S32(-1))},
        /* [K][N]: rows of k are 0x21 (1, 2) and 0xf3 (3, -1) */
        {"s8*s4@cols->s32 m1 n2 k2", IN(.a = S8(10, 100), .b = U8(0x21, 0xf3)), D(S32(310, -80))},
    };
    CHECK_ALL(examples);
}

Test(oracle, every_type_of_results_with_saturation)
{
    /* 200 is 1.5625 * 2^7: f16 5a40, bf16 4348; 100: 5640, 42c8 */
    const example examples[] = {
        {"s8*s8->s8 m1 n3 k1", IN(.a = S8(100), .b = S8(-2, 1, 2)), D(S8(-128, 100, 127))},
        {"s8*s8->u8 m1 n3 k1", IN(.a = S8(100), .b = S8(-2, 1, 2)), D(U8(0, 100, 200))},
        {"s8*s8->s4 m1 n3 k1", IN(.a = S8(1), .b = S8(-20, 3, 9)), D(U8(0x38, 0x07))},
        {"s8*s8->u4 m1 n3 k1", IN(.a = S8(1), .b = S8(-1, 3, 20)), D(U8(0x30, 0x0f))},
        {"s8*s8->s2 m1 n3 k1", IN(.a = S8(1), .b = S8(-5, 1, 5)), D(U8(0x16))},
        {"s8*s8->u2 m1 n3 k1", IN(.a = S8(1), .b = S8(-5, 1, 5)), D(U8(0x34))},
        {"s8*s8->t2 m1 n3 k1", IN(.a = S8(1), .b = S8(-5, 0, 5)), D(U8(0x13))},
        {"s8*s8->b1 m1 n3 k1", IN(.a = S8(1), .b = S8(-5, 0, 5)), D(U8(0x06))},
        {"s8*s8->f16 m1 n3 k1", IN(.a = S8(100), .b = S8(-2, 1, 2)),
         D(U16(0xda40, 0x5640, 0x5a40))},
        {"s8*s8->bf16 m1 n3 k1", IN(.a = S8(100), .b = S8(-2, 1, 2)),
         D(U16(0xc348, 0x42c8, 0x4348))},
        {"s8*s8->f32 m1 n3 k1", IN(.a = S8(100), .b = S8(-2, 1, 2)), D(F32(-200, 100, 200))},
        /* scales make an s32 D a rounded float; 2^31 saturates */
        {"s8*s8.tensor->s32 m1 n2 k1", IN(.a = S8(127), .b = S8(127, -128), .b_scale = F32(1e9F)),
         D(S32(INT32_MAX, INT32_MIN))},
    };
    CHECK_ALL(examples);
}

/* ---- Scales and zero points ------------------------------------------------------------------ */

Test(oracle, scales_and_zero_points_of_every_granularity)
{
    int8_t ones[40];
    memset(ones, 1, sizeof ones);
    const example examples[] = {
        /* (5 - 2)(3 - 1) + (1 - 2)(7 - 1) = 0; (5 - 2)(1 - 1) + (1 - 2)(2 - 1) = -1 */
        {"u8.zt*u8.zt->s32 m1 n2 k2",
         IN(.a = U8(5, 1), .a_zero = S32(2), .b = U8(3, 7, 1, 2), .b_zero = S32(1)), D(S32(0, -1))},
        /* per token: rows 2 * 0.5 and 3 * 4, times 5 */
        {"s8.token*s8->f32 m2 n1 k1", IN(.a = S8(2, 3), .a_scale = F32(0.5F, 4), .b = S8(5)),
         D(F32(5, 60))},
        {"s8.token.z*s8->f32 m2 n1 k1",
         IN(.a = S8(2, 3), .a_scale = F32(0.5F, 4), .a_zero = S32(1, -1), .b = S8(5)),
         D(F32(2.5F, 80))},
        {"s8*s8.channel.z->f32 m1 n2 k1",
         IN(.a = S8(2), .b = S8(3, 4), .b_scale = F32(0.25F, 10), .b_zero = S32(1, 2)),
         D(F32(1, 40))},
        {"s8.tensor*s8.tensor->f32 m1 n1 k1",
         IN(.a = S8(2), .a_scale = F32(3), .b = S8(5), .b_scale = F32(7)), D(F32(210))},
        /* f16 scale 0.5 */
        {"s8*s8.tensor.f16->f32 m1 n1 k1", IN(.a = S8(2), .b = S8(5), .b_scale = U16(0x3800)),
         D(F32(5))},
        /* groups of 32 and 8: 32 * 2 + 8 * 10 */
        {"s8*s8.g32->f32 m1 n1 k40", IN(.a = ones, .b = ones, .b_scale = F32(2, 10)), D(F32(144))},
        /* 32 * 1 * 2 + 8 * (1 - 3) * 10 */
        {"s8*s8.g32.z->f32 m1 n1 k40",
         IN(.a = ones, .b = ones, .b_scale = F32(2, 10), .b_zero = S32(0, 3)), D(F32(-96))},
        /* 0.5, 1.5, 2.5, -0.5 to even */
        {"s8*s8.tensor->s8 m1 n4 k1", IN(.a = S8(1), .b = S8(1, 3, 5, -1), .b_scale = F32(0.5F)),
         D(S8(0, 2, 2, 0))},
        /* D's scale before, its zero point after rounding */
        {"s8*s8->u8.tensor.z m1 n3 k1",
         IN(.a = S8(2), .b = S8(-128, 1, 127), .d_scale = F32(0.5F), .d_zero = S32(128)),
         D(U8(0, 129, 255))},
        {"s8*s8->s8.channel m1 n2 k1", IN(.a = S8(3), .b = S8(1, 1), .d_scale = F32(2, 10)),
         D(S8(6, 30))},
        {"s8*s8->s8.token m2 n1 k1", IN(.a = S8(3, 4), .b = S8(1), .d_scale = F32(2, 10)),
         D(S8(6, 40))},
    };
    CHECK_ALL(examples);
}

/* ---- Epilogue -------------------------------------------------------------------------------- */

Test(oracle, every_step_of_the_epilogue_in_its_order)
{
    const example examples[] = {
        {"s8*s8->s32 m1 n2 k1 +bias.s32", IN(.a = S8(2), .b = S8(3, 4), .bias = S32(100, -100)),
         D(S32(106, -92))},
        {"s8*s8->s32 m1 n2 k1 +bias.s32 +relu",
         IN(.a = S8(2), .b = S8(3, 4), .bias = S32(100, -100)), D(S32(106, 0))},
        /* an s32 bias before, an f16 one after the scale */
        {"s8*s8.tensor->f32 m1 n1 k1 +bias.s32",
         IN(.a = S8(2), .b = S8(3), .b_scale = F32(10), .bias = S32(1)), D(F32(70))},
        {"s8*s8.tensor->f32 m1 n1 k1 +bias.f16",
         IN(.a = S8(2), .b = S8(3), .b_scale = F32(10), .bias = U16(0x3c00)), D(F32(61))},
        {"s8*s8->f32 m1 n1 k1 +bias.bf16", IN(.a = S8(2), .b = S8(3), .bias = U16(0xbf80)),
         D(F32(5))},
        /* residual times its scale, then ReLU */
        {"s8*s8->f32 m1 n2 k1 +res.s8.tensor +relu",
         IN(.a = S8(1), .b = S8(5, 5), .residual = S8(4, -4), .residual_scale = F32(2)),
         D(F32(13, 0))},
        {"s8*s8->f32 m1 n2 k1 +res.u4.channel.z",
         IN(.a = S8(1), .b = S8(5, 5), .residual = U8(0x1f), .residual_scale = F32(2, 3),
            .residual_zero = S32(5)),
         D(F32(25, -7))},
        {"s8*s8->f32 m1 n1 k1 +bias.f32 +res.f32",
         IN(.a = S8(1), .b = S8(5), .bias = F32(0.5F), .residual = F32(-0.25F)), D(F32(5.25F))},
        {"s8*s8->f32 m1 n3 k1 +relu6", IN(.a = S8(1), .b = S8(-1, 4, 9)), D(F32(0, 4, 6))},
        {"s8*s8->f32 m1 n3 k1 +clamp=-2:3.5", IN(.a = S8(1), .b = S8(-9, 1, 9)),
         D(F32(-2, 1, 3.5F))},
        /* the clamp is before D's scale */
        {"s8*s8->s8.tensor m1 n1 k1 +clamp=0:3", IN(.a = S8(9), .b = S8(9), .d_scale = F32(10)),
         D(S8(30))},
        /* x min(max(x + 3, 0), 6) / 6, times 1/6 in f32 */
        {"s8*s8->f32 m1 n3 k1 +hswish", IN(.a = S8(1), .b = S8(-3, 0, 3)),
         D(F32(-0.0F, 0, 3.0F * 6.0F * (1.0F / 6.0F)))},
    };
    CHECK_ALL(examples);
}

Test(oracle, integer_only_epilogues)
{
    const lb_multiplier half = {1 << 30, 31}, third[2] = {{3, 1}, {5, 2}};
    const uint64_t random[2] = {1, 0};
    const example examples[] = {
        /* 3 / 2 and -3 / 2: ties up, to even; gemmlowp: the high half's ties to 2 and -1, then half
           of those, ties away from zero */
        {"s8*s8->s8.tensor m1 n2 k1 +round=gemmlowp",
         IN(.a = S8(1), .b = S8(3, -3), .d_scale = &(const lb_multiplier){1 << 30, 32}),
         D(S8(1, -1))},
        {"s8*s8->s8.tensor m1 n2 k1 +round=fixed", IN(.a = S8(1), .b = S8(3, -3), .d_scale = &half),
         D(S8(2, -1))},
        {"s8*s8->s8.tensor m1 n2 k1 +round=dyadic",
         IN(.a = S8(1), .b = S8(5, -3), .d_scale = &half), D(S8(2, -2))},
        {"s8*s8->s8.tensor m1 n2 k1 +round=pow2",
         IN(.a = S8(1), .b = S8(10, -10), .d_scale = &(const lb_multiplier){0, 2}), D(S8(3, -2))},
        /* 10 * 3 / 2 = 15, 10 * 5 / 4 = 12.5 up; then the zero point; then the clamp of codes */
        {"s8*s8->s8.channel.z m1 n2 k1 +round=fixed +clamp=-128:14",
         IN(.a = S8(1), .b = S8(10, 10), .d_scale = third, .d_zero = S32(-1)), D(S8(14, 12))},
        {"s8*s8->s8.tensor m1 n2 k1 +bias.s32 +relu +round=fixed",
         IN(.a = S8(1), .b = S8(3, -3), .d_scale = &half, .bias = S32(1, 1)), D(S8(2, 0))},
        /* (7 - 3) * 3 / 2 = 6 is added before D's multiplier: (10 + 6) / 2 */
        {"s8*s8->s8.tensor m1 n1 k1 +res.u8.tensor.z +round=fixed",
         IN(.a = S8(1), .b = S8(10), .d_scale = &half, .residual = U8(7), .residual_scale = third,
            .residual_zero = S32(3)),
         D(S8(8))},
        /* thresholds: 5 >= 5; 5 < 5 */
        {"s8*s8->b1.channel m1 n2 k1 +round=threshold",
         IN(.a = S8(1), .b = S8(5, 5), .d_scale = ((const lb_multiplier[]){{5, 0}, {5, 1}})),
         D(U8(0x01))},
        /* whole numbers have no fraction to draw */
        {"s8*s8.tensor->s8 m1 n2 k1 +round=stochastic",
         IN(.a = S8(2), .b = S8(3, -4), .b_scale = F32(0.5F), .random = random), D(S8(3, -4))},
    };
    CHECK_ALL(examples);
}

/* Known values of the transcendental activations, from tables of erf, tanh and exp. */
Test(oracle, transcendental_activations_have_their_values)
{
    const struct {
        const char *word;
        double at_1, at_minus_2;
    } table[] = {
        {"silu", 0.73105857863000487, -0.23840584404423515},
        {"gelu", 0.84134474606854295, -0.04550026389635839},
        {"gelu_tanh", 0.84119199146294920, -0.04540230591222587},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char line[64];
        snprintf(line, sizeof line, "s8*s8->f32 m1 n3 k1 +%s", table[i].word);
        const float want[3] = {(float)table[i].at_1, (float)table[i].at_minus_2, 0};
        const example e = {line, IN(.a = S8(1), .b = S8(1, -2, 0)), want, sizeof want};
        float *got = (float *)(void *)run_ref(&e);
        for (int j = 0; j < 3; j++)
            cr_expect(fabsf(got[j] - want[j]) <= 1e-7F, "%s: element %d is %.9g, known %.9g",
                      table[i].word, j, (double)got[j], (double)want[j]);
        cr_expect_eq(verify(&e, want).wrong, 0);
        free(got);
        const float off[3] = {want[0] + 1e-3F, want[1], 0};
        lb_verify_report report = verify(&e, off);
        cr_expect(report.wrong == 1 && report.n == 0, "%s: 0.001 off passes", table[i].word);
    }
}

/* ---- Sizes and strides ----------------------------------------------------------------------- */

Test(oracle, sums_of_no_elements_are_zero_before_the_epilogue)
{
    const example examples[] = {
        {"s8*s8->s32 m1 n2 k0", IN(.a = NULL), D(S32(0, 0))},
        {"s8*s8->s32 m1 n2 k0 +bias.s32", IN(.bias = S32(7, -7)), D(S32(7, -7))},
        {"f16*s4.g32->f32 m1 n2 k0 +bias", IN(.b_scale = F32(2, 2), .bias = F32(1, 2)),
         D(F32(1, 2))},
        {"s8*s8->b1 m1 n3 k0", IN(.a = NULL), D(U8(0x07))},
    };
    CHECK_ALL(examples);
}

Test(oracle, empty_results_are_not_written)
{
    static const char *const lines[] = {"s8*s8->s32 m0 n2 k2", "s8*s8->s32 m2 n0 k2",
                                        "s8*s8->s32 m0 n0 k0", "f32*s4.g32->f16 m0 n3 k40 +bias"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        unsigned char byte = POISON;
        const example e = {lines[i],
                           IN(.a = &byte,
                              .b = "0123456789012345678901234567890123456789012345678901"
                                   "23456789",
                              .b_scale = F32(1, 1, 1, 1, 1, 1), .bias = F32(0, 0, 0)),
                           &byte, 0};
        free(run_ref(&e));
        lb_verify_report report = verify(&e, NULL);
        cr_expect(report.checked == 0 && report.wrong == 0);
    }
}

Test(oracle, strides_are_followed_and_gaps_left_alone)
{
    const int32_t x = (int32_t)0xa5a5a5a5;
    const unsigned char p = POISON;
    const example examples[] = {
        /* A rows (1 2) (3 4) of ld 4, B rows (1 1) (1 -1) of ld 3, D rows of ld 3 */
        {"s8.ld4*s8.ld3->s32.ld3 m2 n2 k2",
         IN(.a = S8(1, 2, 99, 99, 3, 4), .b = S8(1, 1, 99, 1, -1)), D(S32(3, -1, x, 7, -1))},
        /* pad bits of D's last byte are 0, whole bytes between rows stay */
        {"s8*s8->s4.ld6 m2 n1 k1", IN(.a = S8(3, -2), .b = S8(1)), D(U8(0x03, p, p, 0x0e))},
        {"s8*s8->b1.ld16 m2 n3 k1", IN(.a = S8(1, -1), .b = S8(1, 1, -1)), D(U8(0x03, p, 0x04))},
        /* batches: A 2 and 5 at stride 3, B 7 and 9 at stride 2, D at stride 2 */
        {"s8.bs3*s8.bs2->s32.bs2 m1 n1 k1 b2", IN(.a = S8(2, 99, 99, 5), .b = S8(7, 99, 9)),
         D(S32(14, x, 45))},
        {"s8*s8->f32 m2 n1 k1 +res.s8.ld3",
         IN(.a = S8(1, 2), .b = S8(1), .residual = S8(10, 99, 99, 20)), D(F32(11, 22))},
        /* every batch has its own scales and bias */
        {"s8.token*s8.channel->f32 m1 n1 k1 b2 +bias",
         IN(.a = S8(1, 1), .a_scale = F32(2, 3), .b = S8(1, 1), .b_scale = F32(5, 7),
            .bias = F32(0.5F, 0.25F)),
         D(F32(10.5F, 21.25F))},
    };
    CHECK_ALL(examples);
}

/* ---- What lb_verify is asked ------------------------------------------------------------------
 */

Test(oracle, verify_names_the_array_that_is_missing)
{
    static const char line[] =
        "s8.token.z*s8.channel.z->s8.tensor.z m1 n1 k1 +bias +res.s8.tensor.z";
    const lb_host_args whole =
        IN(.a = S8(1), .a_scale = F32(1), .a_zero = S32(0), .b = S8(1), .b_scale = F32(1),
           .b_zero = S32(0), .d_scale = F32(1), .d_zero = S32(0), .bias = F32(0), .residual = S8(0),
           .residual_scale = F32(1), .residual_zero = S32(0));
    static const struct {
        const char *name;
        size_t at;
    } fields[] = {{"a is", offsetof(lb_host_args, a)},
                  {"a_scale", offsetof(lb_host_args, a_scale)},
                  {"a_zero", offsetof(lb_host_args, a_zero)},
                  {"b is", offsetof(lb_host_args, b)},
                  {"b_scale", offsetof(lb_host_args, b_scale)},
                  {"b_zero", offsetof(lb_host_args, b_zero)},
                  {"d_scale", offsetof(lb_host_args, d_scale)},
                  {"d_zero", offsetof(lb_host_args, d_zero)},
                  {"bias", offsetof(lb_host_args, bias)},
                  {"residual is", offsetof(lb_host_args, residual)},
                  {"residual_scale", offsetof(lb_host_args, residual_scale)},
                  {"residual_zero", offsetof(lb_host_args, residual_zero)}};
    lb_problem p;
    lb_verify_report report = LB_VERIFY_REPORT_INIT, before;
    memset((char *)&report + 4, POISON, sizeof report - 4);
    before = report;
    check_ok(lb_problem_parse(line, &p));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        lb_host_args args = whole;
        memset((char *)&args + fields[i].at, 0, sizeof(void *));
        check_status(lb_verify(&p, &args, S8(1), 0, 1, 0, &report), LB_INVALID_ARGUMENT,
                     fields[i].name);
        cr_expect(memcmp(&report, &before, sizeof report) == 0, "the report is written");
    }
    check_status(lb_verify(&p, &whole, NULL, 0, 1, 0, &report), LB_INVALID_ARGUMENT, "d is NULL");
    check_status(lb_verify(&p, NULL, S8(1), 0, 1, 0, &report), LB_INVALID_ARGUMENT, "args is NULL");
    check_status(lb_verify(&p, &whole, S8(1), 0, 1, 0, NULL), LB_INVALID_ARGUMENT,
                 "report is NULL");
    check_ok(lb_problem_parse("f16*f16->f16 m1 n1 k1", &p));
    check_status(lb_verify(&p, &whole, S8(1), 0, 1, 0, &report), LB_UNSUPPORTED, "f16");
}

/* Rows are sampled, and Freivalds' test sees what is wrong between them. */
Test(oracle, freivalds_finds_one_wrong_element_anywhere)
{
    enum { M = 200, N = 9, K = 5 };
    int8_t a[M * K], b[N * K];
    int32_t d[M * N], bias[N];
    for (int i = 0; i < M * K; i++)
        a[i] = (int8_t)(i * 37);
    for (int i = 0; i < N * K; i++)
        b[i] = (int8_t)(i * 91);
    for (int n = 0; n < N; n++)
        bias[n] = n - 4;
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            d[m * N + n] = bias[n];
            for (int k = 0; k < K; k++)
                d[m * N + n] += a[m * K + k] * b[n * K + k];
        }
    const lb_host_args in = IN(.a = a, .b = b, .bias = bias);
    lb_problem p;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    check_ok(lb_problem_parse("s8*s8->s32 m200 n9 k5 +bias.s32", &p));
    check_ok(lb_verify(&p, &in, d, 4, 1, 1, &report));
    cr_expect(report.wrong == 0 && report.checked == M * N);
    check_ok(lb_verify(&p, &in, d, 4, 1, 0, &report));
    cr_expect(report.wrong == 0 && report.checked == 4 * N);
    for (int at = 0; at < M * N; at += 97) {
        d[at] ^= INT32_MIN;
        check_ok(lb_verify(&p, &in, d, 4, (uint64_t)at, 1, &report));
        cr_expect(report.wrong == 1 && report.m == at / N && report.n == at % N, "element %d", at);
        d[at] ^= INT32_MIN;
    }
}
