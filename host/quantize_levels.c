/* SPDX-License-Identifier: Apache-2.0 */
/* Weights with scales of two levels from floats: whole scales per group, one float per channel. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"
#include "quantize.h"
#include "quantize_units.h"
#include "status.h"
#include "types.h"

#define WHAT "lb_quantize_two_levels"

/* The largest whole scale with which no code's value leaves 8 bits, nor that of code 0, which pads.
 */
static int32_t most_scale(lb_grid grid, int32_t zero)
{
    int32_t below = zero - (grid.least < 0 ? grid.least : 0), above = grid.most - zero,
            most = UINT8_MAX;
    if (below > 0 && 128 / below < most)
        most = 128 / below;
    if (above > 0 && 127 / above < most)
        most = 127 / above;
    return most;
}

static lb_status check(const lb_units *units, const void *codes, const uint8_t *scales,
                       const float *channel_scales, const int32_t *zeros)
{
    const lb_quant *q = &units->quant;
    char set[96];
    if (!lb_type_in(q->type, LB_T_STEPPED))
        return lb_fail(LB_INVALID_ARGUMENT, WHAT ": %s has no scales of two levels; %s have",
                       lb_type_name(q->type), lb_typeset_print(LB_T_STEPPED, set, sizeof set));
    if (q->x_type != LB_TYPE_F32)
        return lb_fail(LB_INVALID_ARGUMENT, WHAT ": weights are f32, not %s",
                       lb_type_name(q->x_type));
    if (q->granularity != LB_PER_GROUP || q->group % 32)
        return lb_fail(LB_INVALID_ARGUMENT,
                       WHAT ": granularity %d, group %" PRId64
                            "; scales of two levels are per group of a multiple of 32",
                       q->granularity, q->group);
    if (!codes || !scales || !channel_scales)
        return lb_fail(LB_INVALID_ARGUMENT, WHAT ": %s is NULL",
                       !codes    ? "codes"
                       : !scales ? "scales"
                                 : "channel_scales");
    if (!zeros && (q->scheme == LB_QUANT_ASYMMETRIC || lb_grid_of(q->type, q->scheme).zero))
        return lb_fail(LB_INVALID_ARGUMENT,
                       WHAT ": zeros is NULL, but %s by scheme %d has zero points",
                       lb_type_name(q->type), q->scheme);
    return LB_OK;
}

static double squared_error(const float *values, int64_t count, float scale, int32_t zero,
                            lb_grid grid)
{
    double error = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t code = lb_quantize_one(values[i], scale, zero, grid.least, grid.most);
        double off = (double)values[i] - (double)scale * (code - zero);
        error += off * off;
    }
    return error;
}

/* Of the whole scales around what the group would like, the better one. */
static int32_t choose(const float *values, int64_t count, float wanted, float channel, int32_t zero,
                      lb_grid grid)
{
    int32_t most = most_scale(grid, zero);
    int32_t low = wanted / channel < (float)most ? (int32_t)(wanted / channel) : most;
    double least_error = DBL_MAX;
    int32_t best = 1;
    for (int32_t scale = low < 1 ? 1 : low; scale <= low + 1 && scale <= most; scale++) {
        double error = squared_error(values, count, channel * (float)scale, zero, grid);
        if (error < least_error) {
            least_error = error;
            best = scale;
        }
    }
    return best;
}

/* The scale of no values is 1, which must not count beside others. */
static bool is_nothing(const float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (fabsf(values[i]) >= LB_QUANT_LEAST)
            return false;
    return true;
}

/* One row, whose groups are units from `first` on; wanted: the scales they would have as floats. */
static void quantize_row(const lb_units *units, const float *w, int64_t first, float *values,
                         const float *wanted, void *codes, uint8_t *scales, float *channel_scale,
                         const int32_t *zeros)
{
    lb_grid grid = lb_grid_of(units->quant.type, units->quant.scheme);
    float channel = 0;
    for (int64_t unit = first; unit < first + units->groups; unit++) {
        lb_unit_gather(units, w, unit, values);
        float least = wanted[unit] / (float)most_scale(grid, zeros ? zeros[unit] : 0);
        if (channel < least && !is_nothing(values, lb_unit_length(units, unit)))
            channel = least;
    }
    channel = channel > 0 ? channel : 1;
    *channel_scale = channel;
    for (int64_t unit = first; unit < first + units->groups; unit++) {
        int64_t count = lb_unit_length(units, unit);
        int32_t zero = zeros ? zeros[unit] : 0;
        lb_unit_gather(units, w, unit, values);
        int32_t scale = choose(values, count, wanted[unit], channel, zero, grid);
        scales[unit] = (uint8_t)scale;
        for (int64_t i = 0; i < count; i++)
            lb_unit_put(
                units, codes, unit, i,
                lb_quantize_one(values[i], channel * (float)scale, zero, grid.least, grid.most));
    }
}

lb_status lb_quantize_two_levels(const lb_quant *quant, const float *w, void *codes,
                                 uint8_t *scales, float *channel_scales, int32_t *zeros)
{
    lb_units units;
    LB_TRY(lb_units_make(quant, &units));
    LB_TRY(check(&units, codes, scales, channel_scales, zeros));
    const lb_quant *q = &units.quant;
    float *wanted = malloc((size_t)(units.count + units.longest + 1) * sizeof *wanted);
    if (!wanted)
        return lb_fail(LB_OUT_OF_MEMORY, WHAT ": no memory for %" PRId64 " scales", units.count);
    lb_status status = lb_quantize_calibrate(q, w, wanted, zeros);
    if (status == LB_OK) {
        memset(codes, 0, (size_t)(q->rows * units.row_bytes));
        for (int64_t row = 0; row < q->rows; row++)
            quantize_row(&units, w, row * units.groups, wanted + units.count, wanted, codes, scales,
                         &channel_scales[row], zeros);
    }
    free(wanted);
    return status;
}
