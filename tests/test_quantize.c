/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantisers: the shared arithmetic against the machine's own, codes and ranges against their
 * definitions written a second time, calibrators by what they must find, and bad data refused.
 */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "quantize.h"
#include "rig.h"

static lb_quant quant_of(int32_t type, int32_t scheme, int32_t granularity, int64_t rows,
                         int64_t cols)
{
    lb_quant q = LB_QUANT_INIT;
    q.type = type;
    q.scheme = scheme;
    q.granularity = granularity;
    q.rows = rows;
    q.cols = cols;
    return q;
}

/* About a normal distribution: a sum of uniform ones. */
static float normal(uint32_t *state)
{
    float sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (float)(rig_random(state) >> 8) * 0x1p-24F;
    return sum - 6;
}

/* ---- The shared arithmetic ------------------------------------------------------------------- */

/* Any normal float with an exponent from -100 to 100. */
static float any_float(uint32_t *state)
{
    uint32_t bits = rig_random(state);
    bits = (bits & 0x7fffffU) | (27 + rig_random(state) % 200) << 23;
    return lb_bits_float(bits);
}

Test(quantize, division_is_ieee)
{
    uint32_t state = 1;
    long checked = 0;
    for (int i = 0; i < 3000000; i++) {
        float a = any_float(&state), b = any_float(&state);
        if (i % 3 == 0) /* few significant bits: exact quotients and ties */
            a = lb_bits_float(lb_float_bits(a) & 0xfffff000U);
        float expected = a / b;
        if (expected < 0x1p-126F || expected > 0x1p127F)
            continue;
        cr_assert(lb_divide(a, b) == expected, "%a / %a", (double)a, (double)b);
        checked++;
    }
    cr_assert(lb_divide(0, 3) == 0);
    fprintf(stderr, "%ld quotients\n", checked);
}

/* Also around every tie of small scales' multiples. */
Test(quantize, rounding_is_that_of_the_quotient)
{
    uint32_t state = 2;
    for (int i = 0; i < 2000000; i++) {
        float scale = any_float(&state), inverse = lb_divide(1, scale);
        float x = ((float)((int)(rig_random(&state) % 600) - 300) / 2) * scale;
        int steps = (int)(rig_random(&state) % 7) - 3;
        for (int s = 0; s < abs(steps); s++)
            x = nextafterf(x, steps < 0 ? -INFINITY : INFINITY);
        if (i % 2)
            x = scale * 200 * normal(&state);
        float expected = fmaxf(-1024, fminf(1024, rintf(x / scale)));
        if (!isfinite(x) || fabsf(x) > 0x1p120F)
            continue;
        cr_assert((float)lb_quantize_round(x, scale, inverse) == expected, "%a / %a", (double)x,
                  (double)scale);
    }
    cr_assert_eq(lb_quantize_round(NAN, 1, 1), 0);
    cr_assert_eq(lb_quantize_round(INFINITY, 1, 1), 1024);
    cr_assert_eq(lb_quantize_round(-INFINITY, 1, 1), -1024);
}

/* ---- Ranges and codes ------------------------------------------------------------------------ */

typedef struct range_case {
    int32_t type, scheme;
    float least, most;
    double scale;
    int32_t zero;
} range_case;

Test(quantize, ranges)
{
    static const range_case cases[] = {
        {LB_TYPE_S8, LB_QUANT_SYMMETRIC, -1, 2, 2.0 / 127, 0},
        {LB_TYPE_S8, LB_QUANT_FULL, -1, 2, 2.0 / 127.5, 0},
        {LB_TYPE_S8, LB_QUANT_ASYMMETRIC, -1, 2, 3.0 / 255, -43},
        {LB_TYPE_U8, LB_QUANT_ASYMMETRIC, -1, 2, 3.0 / 255, 85},
        {LB_TYPE_U8, LB_QUANT_ASYMMETRIC, 1, 2, 2.0 / 255, 0},
        {LB_TYPE_U8, LB_QUANT_ASYMMETRIC, -3, -1, 3.0 / 255, 255},
        {LB_TYPE_U8, LB_QUANT_SYMMETRIC, -1, 2, 2.0 / 127, 128},
        {LB_TYPE_S4, LB_QUANT_SYMMETRIC, -7, 2, 1, 0},
        {LB_TYPE_S4, LB_QUANT_FULL, -7.5F, 2, 1, 0},
        {LB_TYPE_U4, LB_QUANT_ASYMMETRIC, -5, 10, 1, 5},
        {LB_TYPE_U4, LB_QUANT_FULL, -15, 10, 2, 8},
        {LB_TYPE_S2, LB_QUANT_SYMMETRIC, -1, 1, 1, 0},
        {LB_TYPE_S2, LB_QUANT_FULL, -1, 1.5F, 1, 0},
        {LB_TYPE_U2, LB_QUANT_ASYMMETRIC, -1, 2, 1, 1},
        {LB_TYPE_T2, LB_QUANT_SYMMETRIC, -3, 2, 3, 0},
        {LB_TYPE_B1, LB_QUANT_SYMMETRIC, -3, 2, 3, 0},
        /* nothing to scale, and far too much */
        {LB_TYPE_S8, LB_QUANT_SYMMETRIC, 0, 0, 1, 0},
        {LB_TYPE_U8, LB_QUANT_ASYMMETRIC, 0, 0, 1, 128},
        {LB_TYPE_S8, LB_QUANT_SYMMETRIC, -1e-40F, 1e-42F, 1, 0},
        {LB_TYPE_T2, LB_QUANT_SYMMETRIC, -3e38F, 3e38F, 0x1p120, 0},
        {LB_TYPE_U8, LB_QUANT_ASYMMETRIC, -3e38F, 3e38F, 0x1p121 / 255, 127},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const range_case *c = &cases[i];
        float scale = 0;
        int32_t zero = 77;
        check_ok(lb_quantize_range(c->type, c->scheme, c->least, c->most, &scale, &zero));
        cr_expect(scale == (float)c->scale && zero == c->zero, "case %zu: scale %.9g zero %d", i,
                  (double)scale, zero);
    }
    float scale = 5;
    int32_t zero = 5;
    check_status(lb_quantize_range(LB_TYPE_S8, 0, NAN, 1, &scale, &zero), LB_BAD_DATA, "no range");
    check_status(lb_quantize_range(LB_TYPE_S8, 0, 0, INFINITY, &scale, &zero), LB_BAD_DATA,
                 "no range");
    check_status(lb_quantize_range(LB_TYPE_T2, LB_QUANT_ASYMMETRIC, 0, 1, &scale, &zero),
                 LB_INVALID_ARGUMENT, "t2");
    check_status(lb_quantize_range(LB_TYPE_F16, 0, 0, 1, &scale, &zero), LB_INVALID_ARGUMENT,
                 "f16");
    cr_assert(scale == 5 && zero == 5);
}

static const int32_t types[] = {LB_TYPE_S8, LB_TYPE_U8, LB_TYPE_S4, LB_TYPE_U4,
                                LB_TYPE_S2, LB_TYPE_U2, LB_TYPE_T2, LB_TYPE_B1};
static const int32_t granularities[] = {LB_PER_TENSOR, LB_PER_TOKEN, LB_PER_GROUP, LB_PER_COLUMN};
enum { ROWS = 5, COLS = 37, GROUP = 8 };

/* The unit of an element, written out. */
static int unit_of(int32_t granularity, int row, int col)
{
    switch (granularity) {
    case LB_PER_TENSOR: return 0;
    case LB_PER_TOKEN: return row;
    case LB_PER_GROUP: return row * ((COLS + GROUP - 1) / GROUP) + col / GROUP;
    default: return col;
    }
}

/* Every type, scheme, granularity and calibrator: half a step is the most that an unclipped value
   may be off, codes stay in range, scales are positive. */
static void round_trip(const lb_quant *q, const float *x)
{
    float scales[ROWS * COLS], back[ROWS * COLS];
    int32_t zeros[ROWS * COLS];
    unsigned char codes[ROWS * COLS];
    int64_t units;
    check_ok(lb_quant_count(q, &units));
    check_ok(lb_quantize_calibrate(q, x, scales, zeros));
    check_ok(lb_quantize(q, x, scales, zeros, codes));
    check_ok(lb_dequantize(q, codes, scales, zeros, back));
    for (int row = 0; row < ROWS; row++)
        for (int col = 0; col < COLS; col++) {
            int u = unit_of(q->granularity, row, col), i = row * COLS + col;
            cr_assert(u < units && isfinite(scales[u]) && scales[u] > 0);
            bool coarse = q->type == LB_TYPE_T2 || q->type == LB_TYPE_B1;
            if (q->calibrator == LB_CALIBRATE_MINMAX && !coarse)
                cr_assert(fabsf(back[i] - x[i]) <= scales[u] * 0.5001F,
                          "type %d scheme %d granularity %d: %g became %g, scale %g", q->type,
                          q->scheme, q->granularity, (double)x[i], (double)back[i],
                          (double)scales[u]);
            cr_assert(isfinite(back[i]));
        }
}

Test(quantize, every_type_scheme_granularity_calibrator)
{
    float x[ROWS * COLS];
    uint32_t state = 3;
    int tried = 0;
    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = normal(&state) * (i % 7 == 0 ? 4 : 1);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int scheme = 0; scheme <= LB_QUANT_ASYMMETRIC; scheme++)
            for (size_t g = 0; g < 4; g++)
                for (int calibrator = 0; calibrator <= LB_CALIBRATE_ENTROPY; calibrator++) {
                    lb_quant q = quant_of(types[t], scheme, granularities[g], ROWS, COLS);
                    q.group = q.granularity == LB_PER_GROUP ? GROUP : 0;
                    q.calibrator = calibrator;
                    bool no_zero = q.type == LB_TYPE_T2 || q.type == LB_TYPE_B1;
                    if ((no_zero && scheme == LB_QUANT_ASYMMETRIC) ||
                        (q.type == LB_TYPE_B1 && calibrator == LB_CALIBRATE_ENTROPY))
                        continue;
                    round_trip(&q, x);
                    tried++;
                }
    fprintf(stderr, "%d combinations\n", tried);
}

Test(quantize, input_types_and_explicit_scales)
{
    static const uint16_t half[4] = {0x3c00, 0xc000, 0x7e00, 0x7c00}; /* 1, -2, NaN, infinity */
    static const float scale[1] = {0.5F};
    static const int32_t zero[1] = {3};
    int8_t codes[4];
    lb_quant q = quant_of(LB_TYPE_S8, LB_QUANT_FULL, LB_PER_TENSOR, 1, 4);
    q.x_type = LB_TYPE_F16;
    check_ok(lb_quantize(&q, half, scale, zero, codes));
    cr_assert(codes[0] == 5 && codes[1] == -1 && codes[2] == 3 && codes[3] == 127);
    static const float ties[4] = {0.25F, 0.75F, -0.25F, -1000};
    q.x_type = 0;
    check_ok(lb_quantize(&q, ties, scale, NULL, codes));
    cr_assert(codes[0] == 0 && codes[1] == 2 && codes[2] == 0 && codes[3] == -128);
}

Test(quantize, bad_data_is_refused_and_nothing_written)
{
    static const float bad[3][4] = {{1, 2, NAN, 3}, {1, -INFINITY, 0, 0}, {0, 0, 0, 0}};
    float scale[4] = {5, 5, 5, 5};
    int32_t zero[4];
    unsigned char codes[16];
    for (int calibrator = 0; calibrator <= LB_CALIBRATE_ENTROPY; calibrator++) {
        lb_quant q = quant_of(LB_TYPE_S8, LB_QUANT_SYMMETRIC, LB_PER_TENSOR, 2, 2);
        q.calibrator = calibrator;
        check_status(lb_quantize_calibrate(&q, bad[0], scale, zero), LB_BAD_DATA,
                     "row 1, column 0 is NaN");
        check_status(lb_quantize_calibrate(&q, bad[1], scale, zero), LB_BAD_DATA,
                     "row 0, column 1 is infinite");
        q.rows = 0;
        check_status(lb_quantize_calibrate(&q, bad[0], scale, zero), LB_BAD_DATA, "is empty");
        cr_assert(scale[0] == 5);
        q.rows = 2;
        check_ok(lb_quantize_calibrate(&q, bad[2], scale, zero));
        cr_assert(scale[0] == 1);
        scale[0] = 5;
    }
    for (int method = 0; method <= LB_WEIGHTS_XNOR; method++) {
        lb_quant q =
            quant_of(method == LB_WEIGHTS_XNOR ? LB_TYPE_B1 : LB_TYPE_T2, 0, LB_PER_CHANNEL, 2, 2);
        check_status(lb_quantize_weights(&q, method, bad[0], codes, scale, NULL), LB_BAD_DATA,
                     "NaN");
        check_ok(lb_quantize_weights(&q, method, bad[2], codes, scale, NULL));
        cr_assert(scale[0] == 1 && scale[1] == 1);
    }
    lb_quant q = quant_of(LB_TYPE_S8, 0, LB_PER_TENSOR, 1, 1);
    float x = 0, nan = NAN, none = 0;
    check_status(lb_quantize(&q, &x, &nan, NULL, codes), LB_BAD_DATA, "scale 0 is");
    check_status(lb_quantize(&q, &x, &none, NULL, codes), LB_BAD_DATA, "positive");
    q.type = LB_TYPE_F32;
    check_status(lb_quantize(&q, &x, &nan, NULL, codes), LB_INVALID_ARGUMENT, "f32");
    q.type = LB_TYPE_T2;
    q.scheme = LB_QUANT_ASYMMETRIC;
    check_status(lb_quantize(&q, &x, &nan, NULL, codes), LB_INVALID_ARGUMENT, "zero point");
    q.scheme = 0;
    q.granularity = 9;
    check_status(lb_quantize(&q, &x, &nan, NULL, codes), LB_INVALID_ARGUMENT, "granularity 9");
}

/* ---- Observers ------------------------------------------------------------------------------- */

Test(observer, order_and_pieces_do_not_matter)
{
    enum { COUNT = 5000 };
    static float x[COUNT];
    uint32_t state = 4;
    lb_observer *forward, *backward;
    for (int i = 0; i < COUNT; i++)
        x[i] = normal(&state) * (i % 1000 == 999 ? 1e6F : i % 10 == 9 ? 1e-30F : 1);
    check_ok(lb_observer_create(&forward));
    check_ok(lb_observer_create(&backward));
    for (int i = 0; i < COUNT; i += 50)
        check_ok(lb_observer_add(forward, LB_TYPE_F32, x + i, 50));
    for (int i = COUNT - 1; i >= 0; i--)
        check_ok(lb_observer_add(backward, LB_TYPE_F32, x + i, 1));
    for (int calibrator = 0; calibrator <= LB_CALIBRATE_ENTROPY; calibrator++)
        for (int scheme = 0; scheme <= LB_QUANT_ASYMMETRIC; scheme++) {
            lb_quant q = quant_of(LB_TYPE_S8, scheme, LB_PER_TENSOR, 0, 0);
            float a[2], b[2];
            q.calibrator = calibrator;
            check_ok(lb_observer_range(forward, &q, &a[0], &a[1]));
            check_ok(lb_observer_range(backward, &q, &b[0], &b[1]));
            cr_assert(a[0] == b[0] && a[1] == b[1] && a[0] <= a[1]);
        }
    lb_observer_destroy(forward);
    lb_observer_destroy(backward);
}

/* Uniform data with one far outlier: every calibrator but min-max must cut it off. */
Test(observer, outliers_are_clipped)
{
    lb_observer *o;
    float least, most;
    uint32_t state = 5;
    check_ok(lb_observer_create(&o));
    for (int i = 0; i < 100000; i++) {
        float x = (float)(rig_random(&state) >> 8) * 0x1p-23F - 1;
        check_ok(lb_observer_add(o, LB_TYPE_F32, &x, 1));
    }
    float outlier = 100;
    check_ok(lb_observer_add(o, LB_TYPE_F32, &outlier, 1));
    for (int calibrator = 0; calibrator <= LB_CALIBRATE_ENTROPY; calibrator++)
        for (int scheme = 0; scheme <= LB_QUANT_ASYMMETRIC; scheme += 2) {
            lb_quant q = quant_of(LB_TYPE_S4, scheme, LB_PER_TENSOR, 0, 0);
            q.calibrator = calibrator;
            check_ok(lb_observer_range(o, &q, &least, &most));
            if (calibrator == LB_CALIBRATE_MINMAX)
                cr_assert(most == 100 && least < -0.999F);
            else
                cr_assert(most < 20 && most > 0.5F, "calibrator %d, scheme %d: %g", calibrator,
                          scheme, (double)most);
        }
    lb_quant half = quant_of(LB_TYPE_S8, LB_QUANT_SYMMETRIC, LB_PER_TENSOR, 0, 0);
    half.calibrator = LB_CALIBRATE_PERCENTILE;
    half.percentile = 50;
    check_ok(lb_observer_range(o, &half, &least, &most));
    cr_assert(fabsf(most - 0.5F) < 0.04F && least == -most, "%g", (double)most);
    lb_observer_destroy(o);
}

Test(observer, bad_data)
{
    static const float bad[3] = {1, NAN, 2}, same[2] = {0.5F, 0.5F};
    lb_observer *o;
    lb_quant q = quant_of(LB_TYPE_S8, 0, LB_PER_TENSOR, 0, 0);
    float scale = 5;
    int32_t zero;
    check_ok(lb_observer_create(&o));
    check_status(lb_observer_scale(o, &q, &scale, &zero), LB_BAD_DATA, "no values");
    check_status(lb_observer_add(o, LB_TYPE_F32, bad, 3), LB_BAD_DATA, "value 1 is NaN");
    check_status(lb_observer_scale(o, &q, &scale, &zero), LB_BAD_DATA, "no values");
    check_ok(lb_observer_add(o, LB_TYPE_F32, same, 2));
    check_status(lb_observer_scale(o, &q, &scale, &zero), LB_BAD_DATA, "all 2 values are 0.5");
    check_status(lb_observer_add(o, LB_TYPE_S8, bad, 1), LB_INVALID_ARGUMENT, "s8");
    cr_assert(scale == 5);
    check_ok(lb_observer_add(o, LB_TYPE_F32, bad + 2, 1));
    check_ok(lb_observer_scale(o, &q, &scale, &zero));
    cr_assert(scale == 2.0F / 127 && zero == 0);
    q.type = LB_TYPE_B1;
    q.calibrator = LB_CALIBRATE_ENTROPY;
    check_status(lb_observer_scale(o, &q, &scale, &zero), LB_INVALID_ARGUMENT, "entropy");
    lb_observer_destroy(o);
}

/* ---- Weights --------------------------------------------------------------------------------- */

Test(weights, ternary_and_binary_by_hand)
{
    static const float w[8] = {1, -2, 0.1F, 0.5F, -0.2F, 3, -0.6F, -0.4F}; /* mean size 0.975 */
    float scale, tables[4];
    unsigned char codes[2];
    lb_quant q = quant_of(LB_TYPE_T2, 0, LB_PER_CHANNEL, 1, 8);
    check_ok(lb_quantize_weights(&q, LB_WEIGHTS_TWN, w, codes, &scale, NULL));
    /* threshold 0.6825: 1 -2 . . . 3 . . */
    cr_assert(codes[0] == (1 | 3 << 2) && codes[1] == 1 << 2 && scale == 2);
    check_ok(lb_quantize_weights(&q, LB_WEIGHTS_ABSMEAN, w, codes, &scale, NULL));
    /* over 0.975: 1.03 -2.05 .10 .51 -.21 3.1 -.62 -.41 */
    cr_assert(codes[0] == (1 | 3 << 2 | 0 << 4 | 1 << 6) &&
              codes[1] == (0 | 1 << 2 | 3 << 4 | 0 << 6));
    cr_assert(fabsf(scale - 0.975F) < 1e-6F);
    check_ok(lb_quantize_two_scales(&q, w, codes, tables));
    /* threshold 0.15: 1 -1 0 1 -1 1 -1 -1 */
    cr_assert(codes[0] == (1 | 3 << 2 | 0 << 4 | 1 << 6) &&
              codes[1] == (3 | 1 << 2 | 3 << 4 | 3 << 6));
    cr_assert(tables[0] == 0 && tables[1] == 1.5F && tables[2] == 0 &&
              fabsf(tables[3] + 0.8F) < 1e-6F);
    q.type = LB_TYPE_B1;
    check_ok(lb_quantize_weights(&q, LB_WEIGHTS_XNOR, w, codes, &scale, NULL));
    cr_assert(codes[0] == (1 | 0 | 4 | 8 | 0 | 32 | 0 | 0) && fabsf(scale - 0.975F) < 1e-6F);
    check_status(lb_quantize_weights(&q, LB_WEIGHTS_TWN, w, codes, &scale, NULL),
                 LB_INVALID_ARGUMENT, "t2, not b1");
    check_status(lb_quantize_weights(&q, 7, w, codes, &scale, NULL), LB_INVALID_ARGUMENT,
                 "method 7");
}

/* More bases come closer; one is XNOR-Net's but for the mean. */
Test(weights, bases_come_closer)
{
    enum { N = 4, K = 96 };
    static float w[N * K];
    uint32_t state = 6;
    double before = INFINITY;
    for (int i = 0; i < N * K; i++)
        w[i] = normal(&state) + 0.1F;
    for (int bases = 1; bases <= 8; bases++) {
        unsigned char codes[8 * N * K / 8];
        float scales[8 * N];
        lb_quant q = quant_of(LB_TYPE_B1, 0, LB_PER_CHANNEL, N, K);
        check_ok(lb_quantize_bases(&q, bases, w, codes, scales));
        double error = 0;
        for (int i = 0; i < N * K; i++) {
            double value = 0;
            for (int b = 0; b < bases; b++) {
                int bit = codes[(b * N * K + i) / 8] >> (i % 8) & 1;
                value += (bit ? 1 : -1) * (double)scales[b * N + i / K];
            }
            error += (w[i] - value) * (w[i] - value);
        }
        cr_assert(bases % 2 == 0 || error < before, "%d bases: %g after %g", bases, error, before);
        if (bases % 2)
            before = error;
    }
    cr_assert(before / (N * K) < 0.1, "eight bases leave %g", before / (N * K));
    lb_quant q = quant_of(LB_TYPE_B1, 0, LB_PER_CHANNEL, 1, 8);
    static const float same[8] = {2, 2, 2, 2, 2, 2, 2, 2};
    unsigned char codes[8];
    float scales[8];
    check_ok(lb_quantize_bases(&q, 3, same, codes, scales));
    cr_assert(fabsf(scales[0] + scales[1] + scales[2] - 2) < 1e-6F && isfinite(scales[1]));
    check_status(lb_quantize_bases(&q, 9, same, codes, scales), LB_INVALID_ARGUMENT, "9 bases");
}

/* ---- Codebooks ------------------------------------------------------------------------------- */

Test(codebook, finds_what_is_there)
{
    static const float centre[4] = {-3, -1, 0.5F, 4};
    enum { COUNT = 4000 };
    static float x[COUNT], back[COUNT];
    static unsigned char codes[COUNT];
    float table[256];
    uint32_t state = 7;
    for (int i = 0; i < COUNT; i++)
        x[i] = centre[rig_random(&state) >> 30] + 0.05F * normal(&state);
    check_ok(lb_codebook_fit(x, COUNT, 1, 4, table));
    for (int i = 0; i < 4; i++)
        cr_assert(fabsf(table[i] - centre[i]) < 0.02F, "entry %d is %g", i, (double)table[i]);
    check_ok(lb_codebook_assign(x, COUNT, 1, table, 4, codes));
    check_ok(lb_codebook_values(codes, COUNT, 1, table, 4, back));
    for (int i = 0; i < COUNT; i++)
        cr_assert(fabsf(back[i] - x[i]) < 0.4F);
}

/* The mean squared error per value falls with the bits, and vectors do no worse than values. */
Test(codebook, sizes_and_dimensions)
{
    enum { COUNT = 4096 };
    static float x[COUNT], back[COUNT], table[1024];
    static unsigned char codes[COUNT];
    uint32_t state = 8;
    double error[5][257];
    for (int i = 0; i < COUNT; i++)
        x[i] = normal(&state);
    for (int dim = 1; dim <= 4; dim *= 2)
        for (int entries = 4; entries <= 256; entries *= 4) {
            double sum = 0;
            check_ok(lb_codebook_fit(x, COUNT / dim, dim, entries, table));
            check_ok(lb_codebook_assign(x, COUNT / dim, dim, table, entries, codes));
            check_ok(lb_codebook_values(codes, COUNT / dim, dim, table, entries, back));
            for (int i = 0; i < COUNT; i++)
                sum += (x[i] - back[i]) * (x[i] - back[i]);
            error[dim][entries] = sum / COUNT;
            cr_assert(entries == 4 || sum / COUNT < error[dim][entries / 4]);
        }
    cr_assert(error[1][4] < 0.125 && error[1][16] < 0.0125, "%g %g", error[1][4], error[1][16]);
    cr_assert(error[2][16] < error[1][4] * 1.02 &&
              error[4][256] < error[2][16] * 1.02); /* 2 bits a value each */
}

Test(codebook, nf4_and_bad_data)
{
    float table[16], x[4] = {0, 0, INFINITY, 0}, small[4];
    unsigned char code[4];
    lb_codebook_nf4(table);
    cr_assert(table[0] == -1 && table[7] == 0 && table[15] == 1);
    check_status(lb_codebook_fit(x, 4, 1, 4, small), LB_BAD_DATA, "value 2 is infinite");
    check_status(lb_codebook_fit(x, 0, 1, 4, small), LB_BAD_DATA, "no vectors");
    check_status(lb_codebook_fit(x, 4, 3, 4, small), LB_INVALID_ARGUMENT, "3 values");
    check_status(lb_codebook_fit(x, 4, 1, 5, small), LB_INVALID_ARGUMENT, "5 entries");
    check_ok(lb_codebook_fit(x, 2, 1, 4, small)); /* all the same: the same entry, four times */
    check_ok(lb_codebook_assign(x, 2, 1, small, 4, code));
    cr_assert(isfinite(small[0]) && isfinite(small[3]));
}
