/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observers: a histogram of what calibration data hold, and the ranges that follow from it.
 *
 * Bin i of 4096 counts floor(x / width) = i - 2048. The width is a power of two, doubled (pairs of
 * bins are added) when a value does not fit; floor(floor(y) / 2) = floor(y / 2), so that the counts
 * are those of the final width, in whatever order the values came.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize.h"
#include "quantize_units.h"
#include "status.h"
#include "types.h"

#define HALF 2048
#define BINS 4096             /* 2 HALF */
#define LEAST_EXPONENT (-160) /* of the width: far below the least f32 */

struct lb_observer {
    uint64_t count, bin[BINS];
    int exponent; /* width = 2^exponent */
    float least, most;
};

lb_status lb_observer_create(lb_observer **observer)
{
    if (!observer)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_observer_create: observer is NULL");
    lb_observer *o = calloc(1, sizeof *o);
    if (!o)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_observer_create: no memory for a histogram");
    o->exponent = LEAST_EXPONENT;
    *observer = o;
    return LB_OK;
}

void lb_observer_destroy(lb_observer *observer)
{
    free(observer);
}

/* ---- Counting -------------------------------------------------------------------------------- */

/* The least exponent of a width under which a value of this size fits. */
static int exponent_for(float size)
{
    int exponent;
    if (size == 0)
        return LEAST_EXPONENT;
    frexp((double)size, &exponent); /* size < 2^exponent */
    return exponent - 11;           /* 2048 widths */
}

static void widen(lb_observer *o, int exponent)
{
    uint64_t bin[BINS] = {0};
    int by = exponent - o->exponent;
    for (int i = 0; i < BINS; i++)
        if (o->bin[i]) {
            int place = i - HALF;
            bin[(by > 15 ? (place < 0 ? -1 : 0) : place >> by) + HALF] += o->bin[i];
        }
    memcpy(o->bin, bin, sizeof bin);
    o->exponent = exponent;
}

static void count_value(lb_observer *o, float x)
{
    int exponent = exponent_for(fabsf(x));
    if (exponent > o->exponent)
        widen(o, exponent);
    int place = (int)floor(ldexp((double)x, -o->exponent));
    o->bin[place + HALF]++;
    if (o->count == 0)
        o->least = o->most = x;
    o->least = x < o->least ? x : o->least;
    o->most = x > o->most ? x : o->most;
    o->count++;
}

lb_status lb_observer_add(lb_observer *observer, int32_t x_type, const void *x, uint64_t count)
{
    if (!observer || (!x && count))
        return lb_fail(LB_INVALID_ARGUMENT, "lb_observer_add: %s is NULL",
                       observer ? "x" : "observer");
    if (!lb_type_is_float(x_type))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_observer_add: x of type %s (%d) is no float; f32, f16 and "
                       "bf16 are",
                       lb_type_name(x_type), x_type);
    if (count > INT64_MAX)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_observer_add: %" PRIu64 " values; at most 2^63 - 1 work", count);
    /* All are looked at before one is counted. */
    for (int counting = 0; counting < 2; counting++)
        for (uint64_t i = 0; i < count; i++) {
            float value;
            lb_row_to_float(x_type, x, (int64_t)i, 1, &value);
            if (counting)
                count_value(observer, value);
            else if (!isfinite(value))
                return lb_fail(LB_BAD_DATA,
                               "lb_observer_add: value %" PRIu64 " is %s; all must be finite", i,
                               isnan(value) ? "NaN" : "infinite");
        }
    return LB_OK;
}

/* ---- Ranges ---------------------------------------------------------------------------------- */

static double width_of(const lb_observer *o)
{
    return ldexp(1, o->exponent);
}

/* Counts of |x|: bin i of 2048 is [i, i + 1) widths. */
static void fold(const lb_observer *o, uint64_t size_bin[HALF])
{
    for (int i = 0; i < HALF; i++)
        size_bin[i] = o->bin[HALF + i] + o->bin[HALF - 1 - i];
}

/* Where, in bins, `share` of all counts lies below; within a bin as if its values were spread
 * evenly. */
static double quantile(const uint64_t *bin, int bins, double share, uint64_t count)
{
    double wanted = share * (double)count, below = 0;
    for (int i = 0; i < bins; i++) {
        double here = (double)bin[i];
        if (here > 0 && below + here >= wanted)
            return i + (wanted - below) / here;
        below += here;
    }
    return bins;
}

static float limit(double value, float least, float most)
{
    return value < (double)least ? least : value > (double)most ? most : (float)value;
}

static void by_percentile(const lb_observer *o, const lb_quant *q, float *least, float *most)
{
    double share = q->percentile / 100, width = width_of(o);
    if (q->scheme == LB_QUANT_ASYMMETRIC) {
        double low = quantile(o->bin, BINS, (1 - share) / 2, o->count) - HALF;
        double high = quantile(o->bin, BINS, (1 + share) / 2, o->count) - HALF;
        *least = limit(low * width, o->least, o->most);
        *most = limit(high * width, o->least, o->most);
        return;
    }
    uint64_t size_bin[HALF];
    fold(o, size_bin);
    float size = (float)(quantile(size_bin, HALF, share, o->count) * width);
    *least = limit(-(double)size, o->least, o->most);
    *most = limit((double)size, o->least, o->most);
}

/*
 * Kullback-Leibler divergence of the first `used` bins, the rest clipped into the last of them,
 * from the same bins with `levels` values only (S. Migacz, "8-bit inference with TensorRT", GTC
 * 2017).
 */
static double divergence(const uint64_t *bin, int used, int levels, double total)
{
    double clipped = 0, kept = 0, sum = 0;
    for (int i = used; i < HALF; i++)
        clipped += (double)bin[i];
    for (int i = 0; i < used; i++)
        kept += (double)bin[i];
    for (int level = 0; level < levels; level++) {
        int from = (int)((int64_t)level * used / levels),
            to = (int)((int64_t)(level + 1) * used / levels);
        double mass = 0;
        int filled = 0;
        for (int i = from; i < to; i++) {
            mass += (double)bin[i];
            filled += bin[i] > 0;
        }
        for (int i = from; i < to; i++) {
            double p = ((double)bin[i] + (i == used - 1 ? clipped : 0)) / total;
            double share = bin[i] && kept > 0 ? mass / filled / kept : 0x1p-30;
            if (p > 0)
                sum += p * log(p / share);
        }
    }
    return sum;
}

static void by_entropy(const lb_observer *o, const lb_quant *q, float *least, float *most)
{
    uint64_t bin[HALF];
    lb_grid grid = lb_grid_of(q->type, q->scheme);
    bool one_sided = q->scheme == LB_QUANT_ASYMMETRIC && (o->least >= 0 || o->most <= 0);
    int levels = one_sided ? grid.most - grid.least + 1 : (int)grid.half_span + 1;
    int used = HALF;
    fold(o, bin);
    while (used > 1 && !bin[used - 1])
        used--;
    int best = used;
    double best_divergence = INFINITY;
    for (int i = levels < used ? levels : used; i <= used; i++) {
        double d = divergence(bin, i, levels, (double)o->count);
        if (d < best_divergence) {
            best_divergence = d;
            best = i;
        }
    }
    double size = best * width_of(o);
    *least = limit(-size, o->least, o->most);
    *most = limit(size, o->least, o->most);
}

static lb_status by_mse(const lb_observer *o, const lb_quant *q, float *least, float *most)
{
    float *centre = malloc(BINS * sizeof *centre);
    if (!centre)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_observer_range: no memory for %d values", BINS);
    for (int i = 0; i < BINS; i++)
        centre[i] = limit((i - HALF + 0.5) * width_of(o), o->least, o->most);
    lb_range_by_mse(q, centre, o->bin, BINS, least, most);
    free(centre);
    return LB_OK;
}

lb_status lb_observer_range(const lb_observer *observer, const lb_quant *quant, float *least,
                            float *most)
{
    lb_units units;
    if (!observer || !least || !most)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_observer_range: %s is NULL",
                       !observer ? "observer"
                       : !least  ? "least"
                                 : "most");
    LB_CHECK_STRUCT(quant, lb_quant);
    lb_quant whole = *quant; /* the shape does not matter here */
    whole.granularity = LB_PER_TENSOR;
    whole.group = whole.rows = whole.cols = 0;
    LB_TRY(lb_units_make(&whole, &units));
    const lb_quant *q = &units.quant;
    if (observer->count == 0)
        return lb_fail(LB_BAD_DATA, "lb_observer_range: no values were observed; add some first");
    if (observer->least == observer->most)
        return lb_fail(LB_BAD_DATA,
                       "lb_observer_range: all %" PRIu64
                       " values are %g; a range needs two different ones",
                       observer->count, (double)observer->least);
    if (q->calibrator == LB_CALIBRATE_ENTROPY && q->type == LB_TYPE_B1)
        return lb_fail(
            LB_INVALID_ARGUMENT,
            "lb_observer_range: b1 has no levels to compare by entropy; use min-max or MSE");
    float low = observer->least, high = observer->most;
    if (q->calibrator == LB_CALIBRATE_PERCENTILE)
        by_percentile(observer, q, &low, &high);
    else if (q->calibrator == LB_CALIBRATE_ENTROPY)
        by_entropy(observer, q, &low, &high);
    else if (q->calibrator == LB_CALIBRATE_MSE)
        LB_TRY(by_mse(observer, q, &low, &high));
    *least = low;
    *most = high;
    return LB_OK;
}

lb_status lb_observer_scale(const lb_observer *observer, const lb_quant *quant, float *scale,
                            int32_t *zero)
{
    float least, most;
    LB_TRY(lb_observer_range(observer, quant, &least, &most));
    return lb_quantize_range(quant->type, quant->scheme, least, most, scale, zero);
}
