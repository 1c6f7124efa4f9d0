/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scales of two levels: weights of 4 and 2 bits that are weights of 8. What they multiply to must
 * be what those of 8 bits do, bit for bit; what quantising makes of floats must be near them; what
 * does not fit in 8 bits must be refused.
 */
#include <math.h>

#include "check.h"
#include "inputs.h"
#include "rig.h"

enum { M = 3, N = 40, K = 200, GROUP = 64, GROUPS = (K + GROUP - 1) / GROUP };

typedef struct levels {
    unsigned char codes[N * K / 2];
    uint8_t scales[N * GROUPS];
    float channels[N];
    int32_t zeros[N * GROUPS];
    int8_t wide[N * K]; /* the same of 8 bits */
} levels;

static int code_at(int32_t type, const unsigned char *codes, int n, int k)
{
    int bits = lb_type_bits(type), bit = (n * K + k) * bits;
    int code = codes[bit / 8] >> (bit % 8) & ((1 << bits) - 1);
    bool is_signed = type == LB_TYPE_S4 || type == LB_TYPE_S2 || type == LB_TYPE_T2;
    return is_signed && code >> (bits - 1) ? code - (1 << bits) : code;
}

/* False: a value does not fit in 8 bits. */
static bool widen(int32_t type, bool zeros, levels *l)
{
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++) {
            int unit = n * GROUPS + k / GROUP;
            int value =
                (code_at(type, l->codes, n, k) - (zeros ? l->zeros[unit] : 0)) * l->scales[unit];
            if (value < -128 || value > 127)
                return false;
            l->wide[n * K + k] = (int8_t)value;
        }
    return true;
}

static void run(lb_context *context, const char *line, const lb_weights_source *source,
                const lb_host_args *in, float *d)
{
    lb_problem problem;
    lb_plan *plan;
    lb_weights *weights;
    lb_args args = LB_ARGS_INIT;
    check_ok(lb_problem_parse(line, &problem));
    cr_assert(lb_problem_is_exact(&problem), "%s", line);
    check_ok(lb_plan_create(context, &problem, NULL, &plan));
    check_ok(lb_weights_create(plan, source, &weights));
    args.weights = weights;
    args.a.base = (void *)in->a;
    args.a_scale.base = (void *)in->a_scale;
    args.a_zero.base = (void *)in->a_zero;
    args.d.base = d;
    check_ok(lb_run_host(plan, &args, NULL));
    lb_weights_destroy(weights);
    lb_plan_destroy(plan);
}

/* Runs both and compares them. */
static void equals_wide(const char *type, bool zeros, const levels *l)
{
    static const char *const devices[] = {"ref", "auto"};
    char line[96], wide[96];
    snprintf(line, sizeof line, "u8.token.z*%s.g64.u8%s->f32 m3 n40 k200", type, zeros ? ".z" : "");
    snprintf(wide, sizeof wide, "u8.token.z*s8.channel->f32 m3 n40 k200");
    lb_problem problem;
    qb_inputs in;
    check_ok(lb_problem_parse(wide, &problem));
    check_ok(qb_inputs_make(&problem, QB_DATA_NORMAL, 3, &in));
    lb_weights_source narrow_source = {.struct_size = sizeof narrow_source,
                                       .codes = l->codes,
                                       .scales = l->scales,
                                       .zeros = zeros ? l->zeros : NULL,
                                       .channel_scales = l->channels};
    lb_weights_source wide_source = {
        .struct_size = sizeof wide_source, .codes = l->wide, .scales = l->channels};
    for (size_t i = 0; i < 2; i++) {
        lb_context *context = open_device(devices[i]);
        float got[M * N], expected[M * N];
        run(context, line, &narrow_source, &in.host, got);
        run(context, wide, &wide_source, &in.host, expected);
        cr_expect_arr_eq(got, expected, sizeof got, "%s on %s", line, devices[i]);
        lb_context_destroy(context);
    }
    qb_inputs_free(&in);
}

/* ---- Quantising ------------------------------------------------------------------------------ */

/* Rows that differ in size, groups too, one group of zeros and one row of them. */
static void make_floats(float *w)
{
    uint32_t state = 5;
    rig_fill(LB_TYPE_F32, w, N * K * sizeof *w, &state);
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++)
            w[n * K + k] *=
                n == 7 || (n == 2 && k / GROUP == 1)
                    ? 0
                    : (float)(1 + n) * (1 + (float)(k / GROUP) / 2) + (k / GROUP == 2 ? 0.3F : 0);
}

static lb_quant quant_of(int32_t type, int32_t scheme)
{
    lb_quant q = LB_QUANT_INIT;
    q.type = type;
    q.scheme = scheme;
    q.granularity = LB_PER_GROUP;
    q.rows = N;
    q.cols = K;
    q.group = GROUP;
    return q;
}

/* The root of the mean squared error over the mean square, row by row of its own size. */
static double error_of(const float *w, const float *made)
{
    double sum = 0;
    int rows = 0;
    for (int n = 0; n < N; n++) {
        double off = 0, size = 0;
        for (int k = 0; k < K; k++) {
            double d = (double)w[n * K + k] - (double)made[n * K + k];
            off += d * d;
            size += (double)w[n * K + k] * (double)w[n * K + k];
        }
        if (size > 0) {
            sum += off / size;
            rows++;
        }
    }
    return sqrt(sum / rows);
}

/* Whole scales cost little beside scales of floats, and less than scales of channels do. */
static void quantises(const char *name, int32_t type, int32_t scheme, bool zeros, double most)
{
    static float w[N * K], made[N * K], floats[N * GROUPS];
    static unsigned char codes[N * K / 2];
    static levels l;
    int32_t z[N * GROUPS];
    lb_quant q = quant_of(type, scheme);
    make_floats(w);
    check_ok(lb_quantize_weights(&q, LB_WEIGHTS_NEAREST, w, codes, floats, z));
    check_ok(lb_dequantize(&q, codes, floats, z, made));
    double with_floats = error_of(w, made);
    check_ok(lb_quantize_two_levels(&q, w, l.codes, l.scales, l.channels, zeros ? l.zeros : NULL));
    cr_assert(widen(type, zeros, &l), "%s: a value has more than 8 bits", name);
    for (int i = 0; i < N * K; i++)
        made[i] = (float)l.wide[i] * l.channels[i / K];
    cr_expect_lt(error_of(w, made), most * with_floats, "%s: %g beside %g", name, error_of(w, made),
                 with_floats);
    for (int k = 0; k < K; k++)
        cr_expect_eq(l.wide[7 * K + k], 0);
    equals_wide(name, zeros, &l);
}

Test(two_levels, of_floats_are_near_them_and_multiply_as_8_bits_do)
{
    quantises("s4", LB_TYPE_S4, LB_QUANT_SYMMETRIC, false, 1.1);
    quantises("s4", LB_TYPE_S4, LB_QUANT_FULL, false, 1.1);
    quantises("s4", LB_TYPE_S4, LB_QUANT_ASYMMETRIC, true, 1.15);
    quantises("u4", LB_TYPE_U4, LB_QUANT_ASYMMETRIC, true, 1.15);
    quantises("u4", LB_TYPE_U4, LB_QUANT_SYMMETRIC, true, 1.15);
    quantises("s2", LB_TYPE_S2, LB_QUANT_SYMMETRIC, false, 1.02);
    quantises("u2", LB_TYPE_U2, LB_QUANT_ASYMMETRIC, true, 1.05);
    quantises("t2", LB_TYPE_T2, LB_QUANT_SYMMETRIC, false, 1.02);
}

Test(two_levels, are_not_made_of_what_has_none)
{
    float w[N * K] = {0}, channels[N];
    unsigned char codes[N * K];
    uint8_t scales[N * GROUPS];
    lb_quant q = quant_of(LB_TYPE_S8, LB_QUANT_SYMMETRIC);
#define TRY(codes, channels) lb_quantize_two_levels(&q, w, codes, scales, channels, NULL)
    check_status(TRY(codes, channels), LB_INVALID_ARGUMENT, "s8 has no scales of two levels");
    q = quant_of(LB_TYPE_U4, LB_QUANT_SYMMETRIC);
    check_status(TRY(codes, channels), LB_INVALID_ARGUMENT, "zeros is NULL, but u4");
    q = quant_of(LB_TYPE_S4, LB_QUANT_SYMMETRIC);
    check_status(TRY(NULL, channels), LB_INVALID_ARGUMENT, "codes is NULL");
    check_status(TRY(codes, NULL), LB_INVALID_ARGUMENT, "channel_scales is NULL");
    w[3] = NAN;
    check_status(TRY(codes, channels), LB_BAD_DATA, "column 3 is NaN");
    q.group = 48;
    check_status(TRY(codes, channels), LB_INVALID_ARGUMENT, "group 48");
    q.granularity = LB_PER_CHANNEL;
    q.group = 0;
    check_status(TRY(codes, channels), LB_INVALID_ARGUMENT, "per group of a multiple of 32");
#undef TRY
}

/* ---- Packing --------------------------------------------------------------------------------- */

/* All codes have the ends of their type, one scale is as large as may be, or larger by one. */
static lb_status pack(const char *line, int code, int scale, int zero, void *blob)
{
    static unsigned char codes[40 * 48];
    static uint8_t scales[40 * 3];
    static int32_t zeros[40 * 3];
    static float channels[40];
    lb_context *context = open_device("ref");
    lb_problem problem;
    lb_plan *plan;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_weights_source source = {.struct_size = sizeof source,
                                .codes = codes,
                                .scales = scales,
                                .zeros = zeros,
                                .channel_scales = channels};
    memset(codes, 0, sizeof codes);
    memset(scales, 1, sizeof scales);
    memset(zeros, 0, sizeof zeros);
    scales[5 * 3 + 2] = (uint8_t)scale;
    zeros[5 * 3 + 2] = zero;
    check_ok(lb_problem_parse(line, &problem));
    codes[5 * ((problem.k + 1) / 2) + 32] = (unsigned char)code; /* (5, 64) */
    check_ok(lb_plan_create(context, &problem, NULL, &plan));
    check_ok(lb_plan_get_info(plan, &info));
    cr_assert_leq(info.weights_bytes, 65536);
    lb_status status = lb_weights_pack(plan, &source, blob, (size_t)info.weights_bytes);
    lb_plan_destroy(plan);
    lb_context_destroy(context);
    return status;
}

Test(two_levels, beyond_8_bits_are_refused_and_nothing_is_written)
{
    static _Alignas(8) unsigned char blob[65536];
    static const struct {
        const char *line;
        int code, scale, zero;
        const char *says; /* NULL: it fits */
    } cases[] = {
        {"s8*s4.g32.u8->s32 m1 n40 k96", 8, 16, 0, NULL},
        {"s8*s4.g32.u8->s32 m1 n40 k96", 8, 17, 0, "element (batch 0, n 5, k 64) is -136 with"},
        {"s8*s4.g32.u8->s32 m1 n40 k96", 7, 18, 0, NULL},
        {"s8*s4.g32.u8->s32 m1 n40 k96", 7, 19, 0, "is 133 with the scale 19 of its group"},
        {"s8*s4.g32.u8->s32 m1 n40 k96", 0, 255, 0, NULL},
        {"s8*u4.g32.u8.z->s32 m1 n40 k96", 15, 8, 0, NULL},
        {"s8*u4.g32.u8.z->s32 m1 n40 k96", 15, 9, 0, "is 135 with the scale 9"},
        {"s8*u4.g32.u8.z->s32 m1 n40 k96", 15, 9, 15, "k 65) is -135 with the scale 9"},
        {"s8*u4.g32.u8.z->s32 m1 n40 k65", 15, 9, 15, "code 0, which pads (batch 0, n 5, k 65)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(blob, RIG_POISON, sizeof blob);
        if (!cases[i].says) {
            check_ok(pack(cases[i].line, cases[i].code, cases[i].scale, cases[i].zero, blob));
            continue;
        }
        check_status(pack(cases[i].line, cases[i].code, cases[i].scale, cases[i].zero, blob),
                     LB_INVALID_ARGUMENT, cases[i].says);
        for (size_t j = 0; j < sizeof blob; j++)
            cr_assert_eq(blob[j], RIG_POISON, "byte %zu was written", j);
    }
}

Test(two_levels, need_the_channels_scales)
{
    lb_context *context = open_device("ref");
    rig_inputs in;
    rig r;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    check_ok(rig_inputs_make("s8*s4.g32.u8->f32 m3 n5 k64", 1, &in));
    in.source.channel_scales = NULL;
    check_status(rig_open(context, &in, NULL, &r), LB_INVALID_ARGUMENT,
                 "channel_scales is NULL but B's scales have two levels");
    rig_close(&r);
    in.host.b_channel_scale = NULL;
    float d[15] = {0};
    check_status(lb_verify(&in.problem, &in.host, d, 0, 1, 0, &report), LB_INVALID_ARGUMENT,
                 "b_channel_scale is NULL");
    rig_inputs_free(&in);
    lb_context_destroy(context);
}
