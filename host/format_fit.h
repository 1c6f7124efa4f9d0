/* SPDX-License-Identifier: Apache-2.0 */
/* One canonical row into the form of another format: exactly, or rounded. */
#ifndef LB_FORMAT_FIT_H
#define LB_FORMAT_FIT_H

#include "format.h"

/* What all rows of a matrix share while it is repacked. */
typedef struct lb_fit {
    const lb_form *from, *to;
    int64_t n;          /* row, for texts */
    bool started;       /* tensor_scale is set */
    float tensor_scale; /* per-tensor targets */
} lb_fit;

/* UNSUPPORTED names the value that `to` cannot hold. */
lb_status lb_fit_exact(lb_fit *fit, const lb_params *p, const uint8_t *codes, const lb_params *out,
                       uint8_t *out_codes);
/* The nearest codes of new scales to k values. With per-tensor targets the scale must be set. */
void lb_fit_round(const lb_fit *fit, const float *values, const lb_params *out, uint8_t *out_codes);
/* True if a scale of this type can be `value`. */
bool lb_scale_holds(int32_t type, float value);
/* `value` as the target stores it. */
float lb_scale_round(const lb_form *to, float value);

#endif
