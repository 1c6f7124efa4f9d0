/* SPDX-License-Identifier: Apache-2.0 */
/* The units of a matrix that is quantised: the values that share one scale, as one array. */
#ifndef LB_QUANTIZE_UNITS_H
#define LB_QUANTIZE_UNITS_H

#include <stdbool.h>

#include "lowbit/lowbit.h"

typedef struct lb_units {
    lb_quant quant; /* checked, defaults filled in */
    int64_t count;
    int64_t groups; /* per row */
    int64_t longest;
    int64_t row_bytes; /* of codes */
    int bits;
} lb_units;

/* All rules of an lb_quant but those of its norm, which says nothing about units. */
lb_status lb_units_shape(const lb_quant *quant, lb_units *units);
/* All rules on the host, which makes no norm. */
lb_status lb_units_make(const lb_quant *quant, lb_units *units);
int64_t lb_unit_length(const lb_units *units, int64_t unit);
/* Element i of a unit. */
void lb_unit_place(const lb_units *units, int64_t unit, int64_t i, int64_t *row, int64_t *col);
/* The unit's values as f32. */
void lb_unit_gather(const lb_units *units, const void *x, int64_t unit, float *values);
void lb_unit_put(const lb_units *units, void *codes, int64_t unit, int64_t i, int32_t value);
int32_t lb_unit_get(const lb_units *units, const void *codes, int64_t unit, int64_t i);

/* BAD_DATA: the matrix is empty, or holds a NaN or an infinity. `what` names the caller. */
lb_status lb_units_check_data(const lb_units *units, const void *x, const char *what);
/* BAD_DATA names the first of `count` values that is no finite number. */
lb_status lb_check_finite(const float *values, uint64_t count, const char *what);

/* The range of least squared error among shares of [least, most], from `count` values; weights
   NULL: 1 each. */
void lb_range_by_mse(const lb_quant *quant, const float *values, const uint64_t *weights,
                     int64_t count, float *least, float *most);
/* rint(x / scale) + zero, saturated to [least, most]; NaN counts as 0. */
int32_t lb_quantize_one(float x, float scale, int32_t zero, int32_t least, int32_t most);

#endif
