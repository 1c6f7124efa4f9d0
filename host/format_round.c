/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lossy repacking: per group the scale that covers the largest value (where the format has several
 * ways to, the one with the least squared error), rounded to what the format stores, then the
 * nearest code. Only on request; the caller reports the error made.
 */
#include <math.h>

#include "format_fit.h"

typedef struct range {
    int64_t first, count;
} range;

static int nearest(const lb_form *to, float scale, float offset, int zero, float value)
{
    double unit = scale != 0 ? ((double)value + (double)offset) / (double)scale : 0;
    if (to->levels_table) {
        int best = 0;
        for (int c = 1; c < to->levels; c++)
            if (fabs((double)to->table[c] - unit) < fabs((double)to->table[best] - unit))
                best = c;
        return best;
    }
    double code = rint(unit) + zero;
    return !(code > 0) ? 0 : code > to->levels - 1 ? to->levels - 1 : (int)code; /* NaN: 0 */
}

static float value_of(const lb_form *to, float scale, float offset, int zero, int code)
{
    return to->levels_table ? scale * to->table[code] : scale * (float)(code - zero) - offset;
}

static double error_of(const lb_form *to, const float *v, range r, float scale, float offset,
                       int zero)
{
    double sum = 0;
    for (int64_t i = r.first; i < r.first + r.count; i++) {
        double e =
            (double)value_of(to, scale, offset, zero, nearest(to, scale, offset, zero, v[i])) -
            (double)v[i];
        sum += e * e;
    }
    return sum;
}

/* Symmetric codes or a table: tries scales that reach the largest value with either end. */
static float symmetric_scale(const lb_form *to, const float *v, range r)
{
    float extreme = 0, low, high;
    double sum = 0;
    for (int64_t i = r.first; i < r.first + r.count; i++) {
        extreme = fabsf(v[i]) > fabsf(extreme) ? v[i] : extreme;
        sum += fabs((double)v[i]);
    }
    if (to->levels_table) {
        low = high = to->table[0];
        for (int c = 0; c < to->levels; c++) {
            low = to->table[c] < low ? to->table[c] : low;
            high = to->table[c] > high ? to->table[c] : high;
        }
    } else {
        low = (float)-to->zero;
        high = (float)(to->levels - 1 - to->zero);
    }
    float mean = (float)(sum / (double)(r.count > 0 ? r.count : 1));
    float candidates[] = {high > 0 ? fabsf(extreme) / high : 0, low < 0 ? extreme / low : 0,
                          high > 0 ? extreme / high : 0, to->levels <= 3 ? mean : 0};
    float best = 0;
    double least = INFINITY;
    for (int i = 0; i < 4; i++) {
        float scale = lb_scale_round(to, candidates[i]);
        double e = candidates[i] != 0 || i == 0 ? error_of(to, v, r, scale, 0, to->zero) : INFINITY;
        if (e < least) {
            least = e;
            best = scale;
        }
    }
    return best;
}

/* One factor for `count` values such that each is an integer times it. */
static void round_factors(float *values, int64_t count, int low, int high, float *super,
                          int16_t *sub)
{
    float most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fabsf(values[i]) > fabsf(most) ? values[i] : most;
    float d = lb_f16_to_f32(lb_f16_from_f32(fabsf(most) / (float)high));
    *super = d;
    for (int64_t i = 0; i < count; i++) {
        float ratio = d > 0 ? rintf(values[i] / d) : 0;
        ratio = ratio < (float)low ? (float)low : ratio > (float)high ? (float)high : ratio;
        sub[i] = (int16_t)ratio;
        values[i] = d * ratio;
    }
}

void lb_fit_round(const lb_fit *fit, const float *v, const lb_params *out, uint8_t *codes)
{
    const lb_form *to = fit->to;
    for (int64_t j = 0; j < to->groups; j++) {
        range r = {j * to->group, to->group};
        r.count = r.count < to->k - r.first ? r.count : to->k - r.first;
        float low = 0, high = 0;
        for (int64_t i = r.first; i < r.first + r.count; i++) {
            low = v[i] < low ? v[i] : low;
            high = v[i] > high ? v[i] : high;
        }
        float span = (high - low) / (float)(to->levels - 1);
        out->offset[j] = 0;
        out->zero[j] = (int16_t)to->zero;
        if (to->per_tensor) {
            out->scale[j] = fit->tensor_scale;
        } else if (to->offset_type) {
            out->scale[j] = to->super ? span : lb_scale_round(to, span);
            out->offset[j] = -low;
            if (!to->super)
                out->offset[j] =
                    to->offset_type == LB_TYPE_F16    ? lb_f16_to_f32(lb_f16_from_f32(-low))
                    : to->offset_type == LB_TYPE_BF16 ? lb_bf16_to_f32(lb_bf16_from_f32(-low))
                                                      : -low;
        } else if (to->has_zeros) {
            out->scale[j] = lb_scale_round(to, span * (float)to->divisor);
            float zero = span > 0 ? rintf(-low / span) : 0;
            out->zero[j] = (int16_t)(zero > (float)(to->levels - 1) ? to->levels - 1
                                     : zero > 0                     ? (int)zero
                                                                    : 0);
        } else {
            out->scale[j] = symmetric_scale(to, v, r);
        }
        if (to->divisor != 1 && !to->has_zeros && !to->per_tensor)
            out->scale[j] = lb_scale_round(to, out->scale[j] * (float)to->divisor);
    }
    for (int64_t s = 0, j = 0; to->super && j < to->groups; s++, j += to->super) {
        int64_t count = to->groups - j < to->super ? to->groups - j : to->super;
        round_factors(out->scale + j, count, to->sub_min, to->sub_max, &out->super[s],
                      out->sub + j);
        if (to->offset_type)
            round_factors(out->offset + j, count, 0, to->sub_offset_max, &out->super_offset[s],
                          out->sub_offset + j);
    }
    for (int64_t k = 0; k < to->k; k++) {
        int64_t j = k / to->group;
        codes[k] = (uint8_t)nearest(to, out->scale[j] / (float)to->divisor, out->offset[j],
                                    out->zero[j], v[k]);
    }
}
