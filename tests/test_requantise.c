/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer-only roundings: against their published definitions, written here a second time and
 * in other words, on whole slices of the accumulator's range and at every boundary; Philox against
 * its published vectors; thresholds against batch normalisation in double; what makers of
 * multipliers refuse.
 */
#include <math.h>
#include <stdio.h>

#include "check.h"
#include "requantise.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const int32_t ends[] = {INT32_MIN,
                               INT32_MIN + 1,
                               -(1 << 30) - 1,
                               -(1 << 30),
                               -65537,
                               -65536,
                               -3,
                               -2,
                               -1,
                               0,
                               1,
                               2,
                               3,
                               65535,
                               65536,
                               (1 << 30) - 1,
                               1 << 30,
                               INT32_MAX - 1,
                               INT32_MAX};

/* ---- Definitions ----------------------------------------------------------------------------- */

__extension__ typedef __int128 wide;

static wide floor_divide(wide n, wide by)
{
    wide q = n / by;
    return q * by > n ? q - 1 : q;
}

/* To nearest; ties: 1 up, 0 away from zero, 2 to even. */
static wide divide_nearest(wide n, wide by, int ties)
{
    wide below = floor_divide(n, by), twice = 2 * (n - below * by);
    bool up = twice > by ||
              (twice == by && (ties == 1 || (ties == 0 && n > 0) || (ties == 2 && below % 2 != 0)));
    return below + up;
}

static int32_t saturate(wide v)
{
    return (int32_t)(v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v);
}

/* MultiplyByQuantizedMultiplier as TFLite defines it by gemmlowp's two operations, in real
 * arithmetic. */
static int32_t gemmlowp(int32_t x, int32_t value, int shift)
{
    int left = shift < 31 ? 31 - shift : 0, right = shift > 31 ? shift - 31 : 0;
    int32_t lifted = saturate(x * ((wide)1 << left));
    int32_t high = saturate(divide_nearest((wide)lifted * value, (wide)1 << 31, 1));
    return (int32_t)divide_nearest(high, (wide)1 << right, 0);
}

static int32_t defined(int32_t x, int32_t value, int shift, int rounding)
{
    switch (rounding) {
    case LB_ROUND_GEMMLOWP: return gemmlowp(x, value, shift);
    case LB_ROUND_DYADIC: return saturate(divide_nearest((wide)x * value, (wide)1 << shift, 2));
    case LB_ROUND_POW2: return saturate(divide_nearest(x, (wide)1 << shift, 1));
    default: return saturate(divide_nearest((wide)x * value, (wide)1 << shift, 1));
    }
}

/* ---- Multiplication -------------------------------------------------------------------------- */

static long check_one(int32_t x, int32_t value, int shift)
{
    for (int rounding = LB_ROUND_GEMMLOWP; rounding <= LB_ROUND_POW2; rounding++) {
        int32_t got = lb_multiply(x, value, shift, rounding);
        int32_t expected = defined(x, value, shift, rounding);
        if (got != expected)
            cr_assert_fail("rounding %d: %d * %d / 2^%d is %d instead of %d", rounding, x, value,
                           shift, got, expected);
    }
    return 4;
}

Test(requantise, every_rounding_is_its_definition_at_all_boundaries)
{
    long count = 0;
    for (size_t i = 0; i < COUNT(ends); i++)
        for (size_t j = 0; j < COUNT(ends); j++)
            for (int shift = 0; shift <= 62; shift++)
                count += check_one(ends[i], ends[j], shift);
    fprintf(stderr, "%ld products at boundaries\n", count);
}

Test(requantise, every_rounding_is_its_definition_on_whole_slices_of_16_bits, .timeout = 120)
{
    static const int32_t bases[] = {INT32_MIN, -65536, -32768, 0, 1 << 20, INT32_MAX - 65535};
    static const lb_multiplier by[] = {{1, 0},        {1 << 30, 31},    {INT32_MAX, 31},
                                       {1 << 30, 45}, {1518500250, 39}, {-(1 << 30), 38},
                                       {3, 2},        {1, 16},          {INT32_MIN, 62}};
    long count = 0;
    for (size_t b = 0; b < COUNT(bases); b++)
        for (size_t j = 0; j < COUNT(by); j++)
            for (int32_t low = 0; low < 65536; low++)
                count += check_one(bases[b] + low, by[j].value, by[j].shift);
    fprintf(stderr, "%ld products on slices\n", count);
}

Test(requantise, shifts_outside_count_as_the_nearer_end)
{
    cr_expect_eq(lb_multiply(5, 7, -3, LB_ROUND_FIXED), 35);
    cr_expect_eq(lb_multiply(INT32_MAX, INT32_MAX, 99, LB_ROUND_FIXED),
                 lb_multiply(INT32_MAX, INT32_MAX, 62, LB_ROUND_FIXED));
}

Test(requantise, hard_swish_is_the_rational_function_rounded_once)
{
    static const struct {
        int32_t three, shift;
    } by[] = {{1, 0}, {48, 0}, {4096, 6}, {1 << 24, 24}, {1 << 24, 0}, {1, 24}};
    long count = 0;
    for (size_t j = 0; j < COUNT(by); j++)
        for (int32_t i = -70000; i < 70000 + (int32_t)COUNT(ends); i++) {
            int32_t q = i < 70000 ? i : ends[i - 70000];
            wide gate = (wide)q + by[j].three, most = 2 * (wide)by[j].three;
            gate = gate < 0 ? 0 : gate > most ? most : gate;
            int32_t expected = saturate(divide_nearest(q * gate, most << by[j].shift, 1));
            cr_assert_eq(lb_hard_swish(q, by[j].three, by[j].shift), expected, "%d, three %d", q,
                         by[j].three);
            count++;
        }
    fprintf(stderr, "%ld values of hard-swish\n", count);
}

/* ---- Random numbers -------------------------------------------------------------------------- */

/* Known answers of the authors' library Random123 (kat_vectors, philox4x32 10). */
Test(requantise, philox_gives_its_published_vectors)
{
    static const struct {
        uint64_t index, offset, seed;
        uint32_t word[4];
    } rows[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x85a308d3243f6a88,
         0x0370734413198a2e,
         0x299f31d0a4093822,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        lb_random4 r = lb_philox(rows[i].index, rows[i].offset, rows[i].seed);
        for (int j = 0; j < 4; j++)
            cr_expect_eq(r.word[j], rows[i].word[j], "vector %zu, word %d", i, j);
    }
}

Test(requantise, stochastic_rounding_is_right_on_average_and_never_off_by_one)
{
    static const float values[] = {0.25f, -0.25f, 7.5f, -126.125f, 100000.75f, 3, -0x1p-30f};
    for (size_t v = 0; v < COUNT(values); v++) {
        double sum = 0;
        enum { DRAWS = 40000 };
        for (uint32_t i = 0; i < DRAWS; i++) {
            int32_t q = lb_round_stochastic(values[v], lb_philox(i, 5, 77).word[i % 4]);
            cr_assert(fabs((double)q - (double)values[v]) < 1 || values[v] == -0x1p-30f);
            sum += (double)q - (double)values[v];
        }
        /* Standard deviation of the mean: at most 1/2 / sqrt(DRAWS) = 0.0025. */
        cr_expect_lt(fabs(sum / DRAWS), 0.0125, "%g is off by %g", (double)values[v], sum / DRAWS);
    }
    cr_expect_eq(lb_round_stochastic(NAN, 5), 0);
    cr_expect_eq(lb_round_stochastic(INFINITY, 5), INT32_MAX);
    cr_expect_eq(lb_round_stochastic(-0x1.8p31f, 5), INT32_MIN);
}

/* ---- Makers ---------------------------------------------------------------------------------- */

Test(requantise, multipliers_are_near_what_they_stand_for)
{
    static const double reals[] = {1,         0.5,    0.25, 0.1,   1.0 / 3,       0.999999999999,
                                   1e-9,      -0.37,  1e6,  127.5, 2147483647.75, 1e-18,
                                   0x1.8p-62, 0x1p-62};
    for (int rounding = LB_ROUND_GEMMLOWP; rounding <= LB_ROUND_DYADIC; rounding++)
        for (size_t i = 0; i < COUNT(reals); i++) {
            lb_multiplier m;
            check_ok(lb_multiplier_make(reals[i], rounding, &m));
            cr_expect(m.shift >= 0 && m.shift <= 62, "%g: shift %d", reals[i], m.shift);
            double got = ldexp((double)m.value, -m.shift);
            cr_expect(fabs(got - reals[i]) <= fabs(reals[i]) * 0x1p-31 + 0x1p-63, "%.17g is %.17g",
                      reals[i], got);
        }
    lb_multiplier m;
    check_ok(lb_multiplier_make(0, LB_ROUND_FIXED, &m));
    cr_expect(m.value == 0 && m.shift == 0);
    check_ok(lb_multiplier_make(0.125, LB_ROUND_POW2, &m));
    cr_expect(m.value == 1 && m.shift == 3);
}

Test(requantise, what_is_no_multiplier_is_refused)
{
    static const struct {
        double real;
        int32_t rounding;
        const char *part;
    } rows[] = {
        {NAN, LB_ROUND_FIXED, "nan is no finite number"},
        {INFINITY, LB_ROUND_DYADIC, "inf is no finite number"},
        {0x1p31, LB_ROUND_GEMMLOWP, "2.14748365e+09 is too large; less than 2^31"},
        {0.3, LB_ROUND_POW2, "0.300000012 is no power of two from 2^-62 to 1; 0.25 is the nearest"},
        {2, LB_ROUND_POW2, "2 is no power of two from 2^-62 to 1; 1 is"},
        {0, LB_ROUND_POW2, "0 is no power of two"},
        {1, LB_ROUND_EVEN, "rounding 0 has no multipliers"},
        {1, LB_ROUND_STOCHASTIC, "rounding 5 has no multipliers"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        lb_multiplier m = {77, 77};
        const char *part = rows[i].real == 0.3 ? "0.3 is no power of two" : rows[i].part;
        check_status(lb_multiplier_make(rows[i].real, rows[i].rounding, &m), LB_INVALID_ARGUMENT,
                     part);
        cr_expect(m.value == 77 && m.shift == 77);
    }
    check_status(lb_multiplier_make(1, LB_ROUND_FIXED, NULL), LB_INVALID_ARGUMENT, "is NULL");
}

Test(requantise, thresholds_are_batch_normalisation_and_sign)
{
    static const float gamma[] = {1, -1, 0.5f, -2e-3f, 0, 0, 1e-9f, -3};
    static const float beta[] = {0, 0, -3.25f, 1.5f, 0, -1, 1e9f, -0.1f};
    static const float mean[] = {0, 10, -7.5f, 100, 3, 3, 0, 0.25f};
    static const float variance[] = {1, 4, 0.01f, 100, 1, 1, 1, 0};
    static const float scale[] = {1, 1, 0.125f, 3, 1, 1, 1, 0.1f};
    enum { N = COUNT(gamma) };
    lb_multiplier t[N];
    long count = 0;
    check_ok(lb_thresholds_fold(gamma, beta, mean, variance, 1e-5, scale, N, t));
    for (int c = 0; c < N; c++)
        for (int32_t i = -30000; i < 30000 + (int32_t)COUNT(ends); i++) {
            int32_t acc = i < 30000 ? i : ends[i - 30000];
            double y = (double)gamma[c] * ((double)acc * (double)scale[c] - (double)mean[c]) /
                           sqrt((double)variance[c] + 1e-5) +
                       (double)beta[c];
            cr_assert_eq(lb_threshold_bit(acc, t[c].value, t[c].shift), y >= 0,
                         "channel %d, acc %d", c, acc);
            count++;
        }
    fprintf(stderr, "%ld comparisons with batch normalisation\n", count);
}

Test(requantise, channels_without_a_threshold_are_named)
{
    float one[2] = {1, 1}, bad[2] = {1, NAN}, negative[2] = {1, -1};
    lb_multiplier t[2] = {{5, 5}, {5, 5}};
    check_status(lb_thresholds_fold(bad, one, one, one, 0, NULL, 2, t), LB_INVALID_ARGUMENT,
                 "channel 1 has gamma nan");
    check_status(lb_thresholds_fold(one, one, one, negative, 0, NULL, 2, t), LB_INVALID_ARGUMENT,
                 "variance + epsilon -1");
    check_status(lb_thresholds_fold(one, one, one, one, 0, negative, 2, t), LB_INVALID_ARGUMENT,
                 "scale -1");
    check_status(lb_thresholds_fold(NULL, one, one, one, 0, NULL, 2, t), LB_INVALID_ARGUMENT,
                 "is NULL");
    cr_expect(t[0].value == 5 && t[1].value == 5);
}
