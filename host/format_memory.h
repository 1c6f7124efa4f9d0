/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers at any address: files align nothing. */
#ifndef LB_FORMAT_MEMORY_H
#define LB_FORMAT_MEMORY_H

#include "types.h"

#include <string.h>

static inline uint16_t lb_load16(const void *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline void lb_store16(void *at, uint16_t value)
{
    memcpy(at, &value, sizeof value);
}

/* Element i of an array of f32, f16 or bf16. */
static inline float lb_float_at(const void *array, int32_t type, uint64_t i)
{
    const char *at = array;
    float value;
    switch (type) {
    case LB_TYPE_F16: return lb_f16_to_f32(lb_load16(at + 2 * i));
    case LB_TYPE_BF16: return lb_bf16_to_f32(lb_load16(at + 2 * i));
    default: memcpy(&value, at + 4 * i, sizeof value); return value;
    }
}
static inline void lb_set_float(void *array, int32_t type, uint64_t i, float value)
{
    char *at = array;
    switch (type) {
    case LB_TYPE_F16: lb_store16(at + 2 * i, lb_f16_from_f32(value)); return;
    case LB_TYPE_BF16: lb_store16(at + 2 * i, lb_bf16_from_f32(value)); return;
    default: memcpy(at + 4 * i, &value, sizeof value); return;
    }
}

/* Half of 2^(code - 127), and back for such values. */
static inline float lb_e8m0_half(unsigned code)
{
    uint32_t bits = code < 2 ? 0x00200000u << code : (code - 1) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline uint8_t lb_e8m0_half_code(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint8_t)(bits < 0x00800000u ? bits >> 22 : (bits >> 23) + 1);
}

#endif
