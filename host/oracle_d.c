/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle's last step: the conversion to D's type, and elements of D's memory. */
#include <math.h>
#include <string.h>

#include "oracle.h"
#include "problem.h"
#include "requantise.h"
#include "types.h"

uint32_t lb_oracle_encode(const lb_problem *p, double value, lb_oracle_last last)
{
    float as_float = (float)value;
    uint32_t bits;
    switch (p->d.type) {
    case LB_TYPE_F32: memcpy(&bits, &as_float, sizeof bits); return bits;
    case LB_TYPE_F16: return lb_f16_from_f32(as_float);
    case LB_TYPE_BF16: return lb_bf16_from_f32(as_float);
    case LB_TYPE_B1: return value >= 0;
    default: break;
    }
    const lb_type_row *type = lb_type_get(p->d.type);
    int64_t code;
    if (p->rounding == LB_ROUND_STOCHASTIC && !lb_problem_is_raw(p)) { /* an integer stays */
        code = lb_round_stochastic(as_float, last.random);
    } else {
        if (value != value)
            value = 0;
        value = value > 0x1p33 ? 0x1p33 : value < -0x1p33 ? -0x1p33 : value;
        code = (int64_t)nearbyint(value);
    }
    code += last.zero;
    if (p->clamp && lb_problem_is_fixed(p)) { /* of codes */
        int64_t low = (int64_t)p->clamp_min, high = (int64_t)p->clamp_max;
        code = code < low ? low : code > high ? high : code;
    }
    code = code > type->max ? type->max : code < type->min ? type->min : code;
    return (uint32_t)code & (type->bits == 32 ? UINT32_MAX : (1u << type->bits) - 1u);
}

double lb_oracle_decode(int32_t type, uint32_t code)
{
    float value;
    switch (type) {
    case LB_TYPE_F32: memcpy(&value, &code, sizeof value); break;
    case LB_TYPE_F16: value = lb_f16_to_f32((uint16_t)code); break;
    case LB_TYPE_BF16: value = lb_bf16_to_f32((uint16_t)code); break;
    case LB_TYPE_S32: return (double)(int32_t)code;
    default: return (double)lb_value_from_code(type, code);
    }
    return (double)value;
}

static uint64_t d_bit(const lb_problem *p, int64_t batch, int64_t m, int64_t n)
{
    return (uint64_t)(batch * p->d.batch_stride + m * p->d.ld + n) *
           (unsigned)lb_type_bits(p->d.type);
}

uint32_t lb_oracle_load_d(const lb_problem *p, const void *d, int64_t batch, int64_t m, int64_t n)
{
    int bits = lb_type_bits(p->d.type);
    uint64_t at = d_bit(p, batch, m, n);
    uint16_t half;
    uint32_t word;
    const char *byte = (const char *)d + at / 8;
    switch (bits) {
    case 32: memcpy(&word, byte, sizeof word); return word;
    case 16: memcpy(&half, byte, sizeof half); return half;
    default: return lb_field_get(d, at, bits);
    }
}

void lb_oracle_store_d(const lb_problem *p, void *d, int64_t batch, int64_t m, int64_t n,
                       uint32_t code)
{
    int bits = lb_type_bits(p->d.type);
    uint64_t at = d_bit(p, batch, m, n);
    char *byte = (char *)d + at / 8;
    uint16_t half = (uint16_t)code;
    switch (bits) {
    case 32: memcpy(byte, &code, sizeof code); return;
    case 16: memcpy(byte, &half, sizeof half); return;
    default: break;
    }
    /* The last byte of a row is this row's alone: its padding bits become 0. */
    if (at % 8 == 0)
        *byte = 0;
    lb_field_put(d, at, bits, code);
}
