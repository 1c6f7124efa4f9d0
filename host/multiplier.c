/* SPDX-License-Identifier: Apache-2.0 */
/* Real numbers as what the integer-only epilogues take: multipliers and thresholds. */
#include <inttypes.h>
#include <math.h>

#include "lowbit/lowbit.h"
#include "status.h"

/* ---- Multipliers ----------------------------------------------------------------------------- */

#define MAX_SHIFT 62

/* real = mantissa * 2^exponent, 1/2 <= |mantissa| < 1, as value / 2^shift with 31 bits of value. */
static lb_multiplier from_parts(double mantissa, int exponent)
{
    int64_t value = (int64_t)round(mantissa * 0x1p31);
    int shift = 31 - exponent;
    if (value == INT64_C(1) << 31) { /* rounded up to the next power of two */
        value /= 2;
        shift--;
    }
    if (shift > MAX_SHIFT) { /* fewer bits, at last none */
        value = shift - MAX_SHIFT < 32 ? (int64_t)rint(ldexp((double)value, MAX_SHIFT - shift)) : 0;
        shift = MAX_SHIFT;
    }
    return (lb_multiplier){(int32_t)value, shift};
}

lb_status lb_multiplier_make(double real, int32_t rounding, lb_multiplier *multiplier)
{
    int exponent;
    if (!multiplier)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_multiplier_make: multiplier is NULL");
    if (rounding < LB_ROUND_GEMMLOWP || rounding > LB_ROUND_POW2)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_multiplier_make: rounding %d has no multipliers; 1 (gemmlowp) to 4 "
                       "(pow2) have",
                       rounding);
    if (!isfinite(real))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_multiplier_make: %g is no finite number; less than 2^31 works", real);
    double mantissa = frexp(real, &exponent);
    if (rounding == LB_ROUND_POW2) {
        int shift = 1 - exponent;
        if (mantissa != 0.5 || shift < 0 || shift > MAX_SHIFT)
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_multiplier_make: %.9g is no power of two from 2^-62 to 1; %.9g is "
                           "the nearest that is not above",
                           real,
                           real > 1            ? 1.0
                           : !(real > 0x1p-62) ? 0x1p-62
                                               : ldexp(0.5, exponent));
        *multiplier = (lb_multiplier){1, shift};
        return LB_OK;
    }
    if (fabs(real) >= 0x1p31)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_multiplier_make: %.9g is too large; less than 2^31 works", real);
    *multiplier = real == 0 ? (lb_multiplier){0, 0} : from_parts(mantissa, exponent);
    if (multiplier->shift < 0) /* rounded up to 2^31 */
        *multiplier = (lb_multiplier){INT32_MAX, 0};
    return LB_OK;
}

/* ---- Thresholds ------------------------------------------------------------------------------ */

typedef struct channel {
    double gamma, beta, mean, deviation, scale;
} channel;

static int is_positive(const channel *c, int32_t acc)
{
    return c->gamma * ((double)acc * c->scale - c->mean) / c->deviation + c->beta >= 0;
}

/* The least acc of s32 for which is_positive has changed from its value at the bottom; INT32_MIN if
   it never does. The function is monotone, also as computed. */
static int32_t first_change(const channel *c, int at_bottom)
{
    int64_t low = INT32_MIN, high = INT64_C(1) << 31;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (is_positive(c, (int32_t)middle) == at_bottom)
            low = middle;
        else
            high = middle;
    }
    return high == INT64_C(1) << 31 ? INT32_MIN : (int32_t)high;
}

lb_status lb_thresholds_fold(const float *gamma, const float *beta, const float *mean,
                             const float *variance, double epsilon, const float *scale, int64_t n,
                             lb_multiplier *thresholds)
{
    if (n < 0 || (n && !(gamma && beta && mean && variance && thresholds)))
        return lb_fail(LB_INVALID_ARGUMENT, "lb_thresholds_fold: %s",
                       n < 0 ? "n is negative"
                             : "gamma, beta, mean, variance or thresholds is NULL");
    for (int64_t i = 0; i < n; i++) {
        double step = scale ? (double)scale[i] : 1, spread = (double)variance[i] + epsilon;
        if (!isfinite(gamma[i]) || !isfinite(beta[i]) || !isfinite(mean[i]) || !isfinite(step) ||
            !isfinite(spread) || !(spread > 0) || !(step > 0))
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_thresholds_fold: channel %" PRId64
                           " has gamma %g, beta %g, mean %g, "
                           "variance + epsilon %g and scale %g; all must be finite, the last two "
                           "positive",
                           i, (double)gamma[i], (double)beta[i], (double)mean[i], spread, step);
    }
    for (int64_t i = 0; i < n; i++) {
        channel c = {(double)gamma[i], (double)beta[i], (double)mean[i],
                     sqrt((double)variance[i] + epsilon), scale ? (double)scale[i] : 1};
        int at_bottom = is_positive(&c, INT32_MIN);
        int32_t change = first_change(&c, at_bottom);
        /* Never changing: acc >= INT32_MIN is always true, acc < INT32_MIN never. */
        int below = change == INT32_MIN ? !at_bottom : at_bottom;
        thresholds[i] = (lb_multiplier){change, below};
    }
    return LB_OK;
}
