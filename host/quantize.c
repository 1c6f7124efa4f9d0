/* SPDX-License-Identifier: Apache-2.0 */
/* Codes from values and back, and scales from the values themselves. */
#include "quantize.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize_units.h"
#include "status.h"
#include "types.h"

/* ---- Ranges ---------------------------------------------------------------------------------- */

static bool known_scheme(int32_t type, int32_t scheme)
{
    bool zero = type != LB_TYPE_T2 && type != LB_TYPE_B1;
    return lb_type_is_int(type) && scheme >= 0 &&
           scheme <= (zero ? LB_QUANT_ASYMMETRIC : LB_QUANT_FULL);
}

/* Of a type and scheme that are known and a finite range. */
static float scale_of_range(int32_t type, int32_t scheme, float least, float most, int32_t *zero)
{
    lb_grid grid = lb_grid_of(type, scheme);
    if (scheme == LB_QUANT_ASYMMETRIC)
        return lb_asymmetric_scale(least, most, grid, zero);
    *zero = grid.zero;
    float size = fmaxf(fabsf(least), fabsf(most));
    return lb_symmetric_scale(size, type == LB_TYPE_B1 ? 1.0f : grid.half_span);
}

lb_status lb_quantize_range(int32_t type, int32_t scheme, float least, float most, float *scale,
                            int32_t *zero)
{
    if (!known_scheme(type, scheme))
        return lb_fail(
            LB_INVALID_ARGUMENT,
            "lb_quantize_range: type %s (%d) with scheme %d does not exist; integer types "
            "have schemes 0 to 2, t2 and b1 have 0 and 1",
            lb_type_name(type), type, scheme);
    if (!scale || !zero)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_quantize_range: %s is NULL",
                       scale ? "zero" : "scale");
    if (!isfinite(least) || !isfinite(most) || least > most)
        return lb_fail(LB_BAD_DATA, "lb_quantize_range: %g to %g is no range of finite numbers",
                       (double)least, (double)most);
    *scale = scale_of_range(type, scheme, least, most, zero);
    return LB_OK;
}

int32_t lb_quantize_one(float x, float scale, int32_t zero, int32_t least, int32_t most)
{
    float q = rintf(x / scale);
    if (!(q == q))
        q = 0;
    /* Beyond what any type and zero point can hold. */
    int32_t code = (int32_t)fmaxf(-0x1p20f, fminf(0x1p20f, q));
    code += zero > 1 << 20 ? 1 << 20 : zero < -(1 << 20) ? -(1 << 20) : zero;
    return code < least ? least : code > most ? most : code;
}

/* The squared error of values under one range. */
static double error_of(const lb_quant *q, lb_grid grid, const float *values,
                       const uint64_t *weights, int64_t count, float least, float most)
{
    int32_t zero;
    float scale = scale_of_range(q->type, q->scheme, least, most, &zero);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        if (weights && !weights[i])
            continue;
        int32_t code = q->type == LB_TYPE_B1
                           ? (values[i] >= 0 ? 1 : -1)
                           : lb_quantize_one(values[i], scale, zero, grid.least, grid.most) - zero;
        double rest = (double)values[i] - (double)code * (double)scale;
        sum += rest * rest * (weights ? (double)weights[i] : 1);
    }
    return sum;
}

void lb_range_by_mse(const lb_quant *q, const float *values, const uint64_t *weights, int64_t count,
                     float *least, float *most)
{
    lb_grid grid = lb_grid_of(q->type, q->scheme);
    float low = *least, high = *most;
    double best = INFINITY;
    for (int step = 100; step >= 1; step--) {
        float share = (float)step / 100, l = low * share, h = high * share;
        double error = error_of(q, grid, values, weights, count, l, h);
        if (error < best) {
            best = error;
            *least = l;
            *most = h;
        }
    }
}

static void extremes(const float *values, int64_t count, float *least, float *most)
{
    *least = *most = values[0];
    for (int64_t i = 1; i < count; i++) {
        *least = values[i] < *least ? values[i] : *least;
        *most = values[i] > *most ? values[i] : *most;
    }
}

/* ---- Calibrating a matrix -------------------------------------------------------------------- */

/* One unit's range by its histogram; one whose values are all the same keeps them as its range. */
static lb_status observe(const lb_quant *q, const float *values, int64_t count, float *least,
                         float *most)
{
    lb_observer *observer;
    if (*least == *most)
        return LB_OK;
    LB_TRY(lb_observer_create(&observer));
    lb_status status = lb_observer_add(observer, LB_TYPE_F32, values, (uint64_t)count);
    if (status == LB_OK)
        status = lb_observer_range(observer, q, least, most);
    lb_observer_destroy(observer);
    return status;
}

static lb_status calibrate_unit(const lb_quant *q, const float *values, int64_t count, float *scale,
                                int32_t *zero)
{
    float least, most;
    extremes(values, count, &least, &most);
    if (q->calibrator == LB_CALIBRATE_MSE)
        lb_range_by_mse(q, values, NULL, count, &least, &most);
    else if (q->calibrator != LB_CALIBRATE_MINMAX)
        LB_TRY(observe(q, values, count, &least, &most));
    *scale = scale_of_range(q->type, q->scheme, least, most, zero);
    return LB_OK;
}

lb_status lb_quantize_calibrate(const lb_quant *quant, const void *x, float *scales, int32_t *zeros)
{
    lb_units units;
    LB_TRY(lb_units_make(quant, &units));
    if (!scales)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_quantize_calibrate: scales is NULL");
    lb_grid grid = lb_grid_of(units.quant.type, units.quant.scheme);
    if (!zeros && (units.quant.scheme == LB_QUANT_ASYMMETRIC || grid.zero))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_quantize_calibrate: zeros is NULL, but %s by scheme %d has zero points",
                       lb_type_name(units.quant.type), units.quant.scheme);
    LB_TRY(lb_units_check_data(&units, x, "lb_quantize_calibrate"));
    float *values = malloc((size_t)units.longest * sizeof *values);
    if (!values)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_quantize_calibrate: no memory for %" PRId64 " values",
                       units.longest);
    lb_status status = LB_OK;
    for (int64_t unit = 0; unit < units.count && status == LB_OK; unit++) {
        int32_t zero = 0;
        lb_unit_gather(&units, x, unit, values);
        status = calibrate_unit(&units.quant, values, lb_unit_length(&units, unit), &scales[unit],
                                &zero);
        if (zeros)
            zeros[unit] = zero;
    }
    free(values);
    return status;
}

/* ---- Codes ----------------------------------------------------------------------------------- */

static lb_status check_arrays(const char *what, const lb_units *units, const void *from,
                              const float *scales, const void *to)
{
    bool empty = units->quant.rows == 0 || units->quant.cols == 0;
    if (!empty && (!from || !scales || !to))
        return lb_fail(LB_INVALID_ARGUMENT, "%s: %s is NULL", what,
                       !scales ? "scales"
                       : !from ? "the input"
                               : "the output");
    for (int64_t i = 0; !empty && i < units->count; i++)
        if (!(scales[i] > 0) || !isfinite(scales[i]))
            return lb_fail(LB_BAD_DATA,
                           "%s: scale %" PRId64 " is %g; scales are positive and finite", what, i,
                           (double)scales[i]);
    return LB_OK;
}

lb_status lb_quantize(const lb_quant *quant, const void *x, const float *scales,
                      const int32_t *zeros, void *codes)
{
    lb_units units;
    LB_TRY(lb_units_make(quant, &units));
    LB_TRY(check_arrays("lb_quantize", &units, x, scales, codes));
    const lb_quant *q = &units.quant;
    const lb_type_row *type = lb_type_get(q->type);
    lb_grid grid = lb_grid_of(q->type, q->scheme);
    if (type->bits == 1) {
        grid.least = type->min;
        grid.most = type->max;
    }
    if (q->rows == 0 || q->cols == 0)
        return LB_OK;
    float *values = malloc((size_t)units.longest * sizeof *values);
    if (!values)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_quantize: no memory for %" PRId64 " values",
                       units.longest);
    memset(codes, 0, (size_t)(q->rows * units.row_bytes));
    for (int64_t unit = 0; unit < units.count; unit++) {
        int64_t length = lb_unit_length(&units, unit);
        int32_t zero = zeros ? zeros[unit] : 0;
        lb_unit_gather(&units, x, unit, values);
        for (int64_t i = 0; i < length; i++)
            lb_unit_put(&units, codes, unit, i,
                        type->bits == 1 ? (values[i] >= 0 ? 1 : -1)
                                        : lb_quantize_one(values[i], scales[unit], zero, grid.least,
                                                          grid.most));
    }
    free(values);
    return LB_OK;
}

lb_status lb_dequantize(const lb_quant *quant, const void *codes, const float *scales,
                        const int32_t *zeros, float *x)
{
    lb_units units;
    LB_TRY(lb_units_make(quant, &units));
    LB_TRY(check_arrays("lb_dequantize", &units, codes, scales, x));
    if (units.quant.rows == 0 || units.quant.cols == 0)
        return LB_OK;
    for (int64_t unit = 0; unit < units.count; unit++) {
        int64_t length = lb_unit_length(&units, unit), row, col;
        int64_t zero = zeros ? zeros[unit] : 0;
        for (int64_t i = 0; i < length; i++) {
            lb_unit_place(&units, unit, i, &row, &col);
            x[row * units.quant.cols + col] =
                (float)(lb_unit_get(&units, codes, unit, i) - zero) * scales[unit];
        }
    }
    return LB_OK;
}
