/* SPDX-License-Identifier: Apache-2.0 */
/* Weight quantisers that are known by name: thresholds, means and bases instead of ranges. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize.h"
#include "quantize_units.h"
#include "status.h"
#include "types.h"

#define MAX_BASES 8

/* A scale must be positive: where there is nothing to scale it is 1. */
static float positive(double scale)
{
    return scale >= (double)LB_QUANT_LEAST && scale <= (double)LB_QUANT_MOST ? (float)scale : 1;
}

static double mean_size(const float *w, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += fabs((double)w[i]);
    return sum / (double)count;
}

/* The mean size of those beyond a threshold, of one sign or (0) of both. */
static double mean_beyond(const float *w, int64_t count, double threshold, int sign)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (fabs((double)w[i]) > threshold && (sign == 0 || (w[i] > 0) == (sign > 0))) {
            sum += fabs((double)w[i]);
            n++;
        }
    return n ? sum / (double)n : 0;
}

static int32_t ternary(float w, double threshold)
{
    return (double)w > threshold ? 1 : (double)w < -threshold ? -1 : 0;
}

/* ---- One scale per unit ---------------------------------------------------------------------- */

static float quantize_unit(const lb_units *units, int32_t method, const float *w, int64_t unit,
                           void *codes)
{
    int64_t count = lb_unit_length(units, unit);
    double mean = mean_size(w, count), threshold = 0.7 * mean;
    float scale = positive(method == LB_WEIGHTS_TWN ? mean_beyond(w, count, threshold, 0) : mean);
    for (int64_t i = 0; i < count; i++) {
        int32_t value = w[i] >= 0 ? 1 : -1;
        if (method == LB_WEIGHTS_TWN)
            value = ternary(w[i], threshold);
        else if (method == LB_WEIGHTS_ABSMEAN)
            value = lb_quantize_one(w[i], scale, 0, -1, 1);
        lb_unit_put(units, codes, unit, i, value);
    }
    return scale;
}

/* What all quantisers of weights begin with: checks, cleared codes, and a buffer of one unit. */
static lb_status begin(const char *what, const lb_quant *quant, int32_t type, const float *w,
                       void *codes, void *scales, int32_t matrices, lb_units *units, float **values)
{
    LB_TRY(lb_units_make(quant, units));
    const lb_quant *q = &units->quant;
    if (q->type != type)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: this method makes %s, not %s", what,
                       lb_type_name(type), lb_type_name(q->type));
    if (q->x_type != LB_TYPE_F32)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: weights are f32, not %s", what,
                       lb_type_name(q->x_type));
    if (!codes || !scales)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: %s is NULL", what, codes ? "scales" : "codes");
    LB_TRY(lb_units_check_data(units, w, what));
    *values = malloc((size_t)units->longest * sizeof **values);
    if (!*values)
        return lb_fail(LB_OUT_OF_MEMORY, "%s: no memory for %" PRId64 " values", what,
                       units->longest);
    memset(codes, 0, (size_t)matrices * (size_t)(q->rows * units->row_bytes));
    return LB_OK;
}

lb_status lb_quantize_weights(const lb_quant *quant, int32_t method, const float *w, void *codes,
                              float *scales, int32_t *zeros)
{
    lb_units units;
    float *values;
    if (method < 0 || method > LB_WEIGHTS_XNOR)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_quantize_weights: method %d is unknown; lb_weight_method has 0..%d",
                       method, LB_WEIGHTS_XNOR);
    if (method == LB_WEIGHTS_NEAREST) {
        if (!codes)
            return lb_fail(LB_INVALID_ARGUMENT, "lb_quantize_weights: codes is NULL");
        LB_TRY(lb_quantize_calibrate(quant, w, scales, zeros));
        return lb_quantize(quant, w, scales, zeros, codes);
    }
    LB_TRY(begin("lb_quantize_weights", quant, method == LB_WEIGHTS_XNOR ? LB_TYPE_B1 : LB_TYPE_T2,
                 w, codes, scales, 1, &units, &values));
    for (int64_t unit = 0; unit < units.count; unit++) {
        lb_unit_gather(&units, w, unit, values);
        scales[unit] = quantize_unit(&units, method, values, unit, codes);
        if (zeros)
            zeros[unit] = 0;
    }
    free(values);
    return LB_OK;
}

/* ---- Two scales ------------------------------------------------------------------------------ */

lb_status lb_quantize_two_scales(const lb_quant *quant, const float *w, void *codes, float *tables)
{
    lb_units units;
    float *values;
    LB_TRY(
        begin("lb_quantize_two_scales", quant, LB_TYPE_T2, w, codes, tables, 1, &units, &values));
    for (int64_t unit = 0; unit < units.count; unit++) {
        int64_t count = lb_unit_length(&units, unit);
        float *table = tables + 4 * unit;
        double most = 0;
        lb_unit_gather(&units, w, unit, values);
        for (int64_t i = 0; i < count; i++)
            most = fmax(most, fabs((double)values[i]));
        double threshold = 0.05 * most;
        for (int64_t i = 0; i < count; i++)
            lb_unit_put(&units, codes, unit, i, ternary(values[i], threshold));
        table[0] = table[2] = 0; /* code 2 is not used */
        table[1] = positive(mean_beyond(values, count, threshold, 1));
        table[3] = -positive(mean_beyond(values, count, threshold, -1));
    }
    free(values);
    return LB_OK;
}

/* ---- Several bases --------------------------------------------------------------------------- */

/* Least squares: solves the normal equations in place; a base that adds nothing gets 0. */
static void solve(double a[MAX_BASES][MAX_BASES], double *b, int n)
{
    bool used[MAX_BASES] = {false};
    int row_of[MAX_BASES];
    for (int col = 0; col < n; col++) {
        int pivot = -1;
        for (int row = 0; row < n; row++)
            if (!used[row] && (pivot < 0 || fabs(a[row][col]) > fabs(a[pivot][col])))
                pivot = row;
        row_of[col] = -1;
        if (pivot < 0 || fabs(a[pivot][col]) < 1e-9 * n)
            continue;
        used[pivot] = true;
        row_of[col] = pivot;
        for (int row = 0; row < n; row++) {
            double factor = row == pivot ? 0 : a[row][col] / a[pivot][col];
            for (int j = col; j < n; j++)
                a[row][j] -= factor * a[pivot][j];
            b[row] -= factor * b[pivot];
        }
    }
    double x[MAX_BASES] = {0};
    for (int col = 0; col < n; col++)
        x[col] = row_of[col] < 0 ? 0 : b[row_of[col]] / a[row_of[col]][col];
    memcpy(b, x, (size_t)n * sizeof *x);
}

/* The signs of the bases at w, and their scales. */
static double shift_of(int base, int bases)
{
    return bases == 1 ? 0 : -1 + 2.0 * base / (bases - 1);
}

static void fit_bases(const float *w, int64_t count, int bases, double *scales, double *mean,
                      double *deviation)
{
    double a[MAX_BASES][MAX_BASES] = {{0}}, sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)w[i];
    *mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++)
        squares += ((double)w[i] - *mean) * ((double)w[i] - *mean);
    *deviation = sqrt(squares / (double)count);
    memset(scales, 0, (size_t)bases * sizeof *scales);
    for (int64_t i = 0; i < count; i++) {
        double sign[MAX_BASES];
        for (int j = 0; j < bases; j++)
            sign[j] = (double)w[i] - *mean + shift_of(j, bases) * *deviation >= 0 ? 1 : -1;
        for (int j = 0; j < bases; j++) {
            for (int l = 0; l < bases; l++)
                a[j][l] += sign[j] * sign[l] / (double)count;
            scales[j] += sign[j] * (double)w[i] / (double)count;
        }
    }
    solve(a, scales, bases);
}

lb_status lb_quantize_bases(const lb_quant *quant, int32_t bases, const float *w, void *codes,
                            float *scales)
{
    lb_units units;
    float *values;
    if (bases < 1 || bases > MAX_BASES)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_quantize_bases: %d bases; 1 to %d work", bases,
                       MAX_BASES);
    LB_TRY(begin("lb_quantize_bases", quant, LB_TYPE_B1, w, codes, scales, bases, &units, &values));
    size_t matrix = (size_t)(units.quant.rows * units.row_bytes);
    for (int64_t unit = 0; unit < units.count; unit++) {
        int64_t count = lb_unit_length(&units, unit);
        double fitted[MAX_BASES], mean, deviation;
        lb_unit_gather(&units, w, unit, values);
        fit_bases(values, count, bases, fitted, &mean, &deviation);
        for (int base = 0; base < bases; base++) {
            scales[base * units.count + unit] = (float)fitted[base];
            for (int64_t i = 0; i < count; i++)
                lb_unit_put(&units, (char *)codes + (size_t)base * matrix, unit, i,
                            (double)values[i] - mean + shift_of(base, bases) * deviation >= 0 ? 1
                                                                                              : -1);
        }
    }
    free(values);
    return LB_OK;
}
