/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of an lb_quant, and the values of its units. */
#include "quantize_units.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "status.h"
#include "types.h"

#define REFUSE(...) return lb_fail(LB_INVALID_ARGUMENT, __VA_ARGS__)
#define MAX_ELEMENTS (INT64_C(1) << 48)

static lb_status check_kind(const lb_quant *q)
{
    char set[96];
    if (!lb_type_is_int(q->type))
        REFUSE("quantising: codes of type %s (%d) do not exist; %s do", lb_type_name(q->type),
               q->type, lb_typeset_print(LB_T_INT, set, sizeof set));
    if (!lb_type_is_float(q->x_type))
        REFUSE("quantising: x of type %s (%d) is no float; f32, f16 and bf16 are",
               lb_type_name(q->x_type), q->x_type);
    if (q->scheme < 0 || q->scheme > LB_QUANT_ASYMMETRIC)
        REFUSE("quantising: scheme %d is unknown; lb_quant_scheme has 0..%d", q->scheme,
               LB_QUANT_ASYMMETRIC);
    if (q->scheme == LB_QUANT_ASYMMETRIC && (q->type == LB_TYPE_T2 || q->type == LB_TYPE_B1))
        REFUSE("quantising: %s has no zero point; use a symmetric scheme", lb_type_name(q->type));
    if (q->calibrator < 0 || q->calibrator > LB_CALIBRATE_ENTROPY)
        REFUSE("quantising: calibrator %d is unknown; lb_calibrator has 0..%d", q->calibrator,
               LB_CALIBRATE_ENTROPY);
    if (!(q->percentile >= 50 && q->percentile <= 100))
        REFUSE("quantising: percentile %g is not within 50 to 100", q->percentile);
    return LB_OK;
}

static lb_status check_shape(const lb_quant *q)
{
    if (q->rows < 0 || q->cols < 0 || q->rows > MAX_ELEMENTS || q->cols > MAX_ELEMENTS ||
        (q->rows && q->cols > MAX_ELEMENTS / q->rows))
        REFUSE("quantising: %" PRId64 " x %" PRId64 " elements; 0 to 2^48 work", q->rows, q->cols);
    bool known = q->granularity == LB_PER_TENSOR || q->granularity == LB_PER_TOKEN ||
                 q->granularity == LB_PER_CHANNEL || q->granularity == LB_PER_GROUP ||
                 q->granularity == LB_PER_COLUMN;
    if (!known)
        REFUSE(
            "quantising: granularity %d is none of tensor (1), token (2), channel (3), group (4), "
            "column (%d)",
            q->granularity, LB_PER_COLUMN);
    if (q->granularity == LB_PER_GROUP && q->group <= 0)
        REFUSE("quantising: group %" PRId64 " is not positive", q->group);
    if (q->granularity != LB_PER_GROUP && q->group)
        REFUSE("quantising: group is %" PRId64
               " but the granularity is %d; use 0, or LB_PER_GROUP (4)",
               q->group, q->granularity);
    return LB_OK;
}

lb_status lb_units_shape(const lb_quant *quant, lb_units *units)
{
    LB_CHECK_STRUCT(quant, lb_quant);
    lb_quant q = *quant;
    if (!q.x_type)
        q.x_type = LB_TYPE_F32;
    if (q.percentile == 0)
        q.percentile = 99.99;
    LB_TRY(check_kind(&q));
    LB_TRY(check_shape(&q));
    lb_units u = {.quant = q, .groups = 1, .bits = lb_type_bits(q.type)};
    u.row_bytes = (q.cols * u.bits + 7) / 8;
    switch (q.granularity) {
    case LB_PER_TENSOR:
        u.count = 1;
        u.longest = q.rows * q.cols;
        break;
    case LB_PER_GROUP:
        u.groups = q.cols / q.group + (q.cols % q.group != 0);
        u.count = q.rows * u.groups;
        u.longest = q.group < q.cols ? q.group : q.cols;
        break;
    case LB_PER_COLUMN:
        u.count = q.cols;
        u.longest = q.rows;
        break;
    default:
        u.count = q.rows;
        u.longest = q.cols;
        break;
    }
    *units = u;
    return LB_OK;
}

lb_status lb_units_make(const lb_quant *quant, lb_units *units)
{
    LB_TRY(lb_units_shape(quant, units));
    if (quant->norm_type || quant->norm_epsilon != 0)
        REFUSE(
            "quantising: norm_type is %d, norm_epsilon %g; an RMSNorm is for lb_quantizer_create, "
            "use 0 here",
            quant->norm_type, (double)quant->norm_epsilon);
    return LB_OK;
}

lb_status lb_quant_count(const lb_quant *quant, int64_t *count)
{
    lb_units units;
    if (!count)
        REFUSE("lb_quant_count: count is NULL");
    LB_TRY(lb_units_shape(quant, &units));
    *count = units.count;
    return LB_OK;
}

lb_status lb_quant_bytes(const lb_quant *quant, uint64_t *bytes)
{
    lb_units units;
    if (!bytes)
        REFUSE("lb_quant_bytes: bytes is NULL");
    LB_TRY(lb_units_shape(quant, &units));
    *bytes = (uint64_t)(units.quant.rows * units.row_bytes);
    return LB_OK;
}

/* ---- Elements -------------------------------------------------------------------------------- */

int64_t lb_unit_length(const lb_units *units, int64_t unit)
{
    const lb_quant *q = &units->quant;
    if (q->granularity != LB_PER_GROUP)
        return units->longest;
    int64_t rest = q->cols - unit % units->groups * q->group;
    return rest < q->group ? rest : q->group;
}

void lb_unit_place(const lb_units *units, int64_t unit, int64_t i, int64_t *row, int64_t *col)
{
    const lb_quant *q = &units->quant;
    switch (q->granularity) {
    case LB_PER_TENSOR:
        *row = i / q->cols;
        *col = i % q->cols;
        return;
    case LB_PER_GROUP:
        *row = unit / units->groups;
        *col = unit % units->groups * q->group + i;
        return;
    case LB_PER_COLUMN:
        *row = i;
        *col = unit;
        return;
    default:
        *row = unit;
        *col = i;
        return;
    }
}

void lb_unit_gather(const lb_units *units, const void *x, int64_t unit, float *values)
{
    const lb_quant *q = &units->quant;
    int64_t row, col, length = lb_unit_length(units, unit);
    if (length == 0)
        return;
    if (q->granularity == LB_PER_COLUMN) {
        for (int64_t i = 0; i < length; i++)
            lb_row_to_float(q->x_type, x, i * q->cols + unit, 1, values + i);
        return;
    }
    lb_unit_place(units, unit, 0, &row, &col);
    lb_row_to_float(q->x_type, x, row * q->cols + col, length, values);
}

static uint64_t bit_of(const lb_units *units, int64_t unit, int64_t i)
{
    int64_t row, col;
    lb_unit_place(units, unit, i, &row, &col);
    return (uint64_t)row * (uint64_t)units->row_bytes * 8 + (uint64_t)(col * units->bits);
}

void lb_unit_put(const lb_units *units, void *codes, int64_t unit, int64_t i, int32_t value)
{
    lb_field_put(codes, bit_of(units, unit, i), units->bits,
                 lb_code_from_value(units->quant.type, value) & ((1u << units->bits) - 1u));
}

int32_t lb_unit_get(const lb_units *units, const void *codes, int64_t unit, int64_t i)
{
    return lb_value_from_code(units->quant.type,
                              lb_field_get(codes, bit_of(units, unit, i), units->bits));
}

/* ---- Data ------------------------------------------------------------------------------------ */

lb_status lb_check_finite(const float *values, uint64_t count, const char *what)
{
    for (uint64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return lb_fail(LB_BAD_DATA, "%s: value %" PRIu64 " is %s; all must be finite", what, i,
                           isnan(values[i]) ? "NaN" : "infinite");
    return LB_OK;
}

lb_status lb_units_check_data(const lb_units *units, const void *x, const char *what)
{
    const lb_quant *q = &units->quant;
    if (!x)
        REFUSE("%s: x is NULL", what);
    if (q->rows == 0 || q->cols == 0)
        return lb_fail(LB_BAD_DATA,
                       "%s: the matrix of %" PRId64 " x %" PRId64
                       " is empty; a scale needs at least one value",
                       what, q->rows, q->cols);
    for (int64_t row = 0; row < q->rows; row++)
        for (int64_t col = 0; col < q->cols; col++) {
            float value;
            lb_row_to_float(q->x_type, x, row * q->cols + col, 1, &value);
            if (!isfinite(value))
                return lb_fail(LB_BAD_DATA,
                               "%s: the value in row %" PRId64 ", column %" PRId64
                               " is %s; all must be finite",
                               what, row, col, isnan(value) ? "NaN" : "infinite");
        }
    return LB_OK;
}
