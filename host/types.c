/* SPDX-License-Identifier: Apache-2.0 */
#include "types.h"

#include <stdio.h>
#include <string.h>

static const lb_type_row rows[LB_TYPE_COUNT] = {
    [LB_TYPE_NONE] = {"none", 0, LB_KIND_NONE, 0, 0},
#define LB_TYPE(id, name, bits, kind, min, max)                                                    \
    [LB_TYPE_##id] = {name, bits, LB_KIND_##kind, min, max},
#include "types.def"
#undef LB_TYPE
};

const lb_type_row *lb_type_get(int32_t type)
{
    return &rows[type > 0 && type < LB_TYPE_COUNT ? type : LB_TYPE_NONE];
}

const char *lb_type_name(int32_t type)
{
    return type >= 0 && type < LB_TYPE_COUNT ? rows[type].name : "?";
}

int lb_type_bits(int32_t type)
{
    return lb_type_get(type)->bits;
}

int32_t lb_type_parse(const char *text, size_t length)
{
    for (int32_t t = LB_TYPE_NONE + 1; t < LB_TYPE_COUNT; t++)
        if (strlen(rows[t].name) == length && memcmp(rows[t].name, text, length) == 0)
            return t;
    return LB_TYPE_NONE;
}

const char *lb_typeset_print(uint32_t set, char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = 0;
    for (int32_t t = LB_TYPE_NONE + 1; t < LB_TYPE_COUNT; t++) {
        if (!(set >> t & 1u))
            continue;
        int n = snprintf(text + used, capacity - used, "%s%s", used ? "|" : "", rows[t].name);
        if (n < 0 || (size_t)n >= capacity - used)
            break;
        used += (size_t)n;
    }
    return text;
}

/* ---- 16-bit floats --------------------------------------------------------------------------- */

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The inline functions, for calls that are not inlined. */
extern inline float lb_f16_to_f32(uint16_t h);
extern inline float lb_bf16_to_f32(uint16_t half);

uint16_t lb_f16_from_f32(float value)
{
    uint32_t bits = bits_from_float(value), sign = bits >> 16 & 0x8000u,
             magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u); /* NaN */
    if (magnitude >= 0x477ff000u)          /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        /* Below 2^-14: adding 0.5 lines up the subnormal's last place (2^-24) with that of the f32
         * sum. */
        float shifted = float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_from_float(shifted) - 0x3f000000u));
    }
    uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xfffu + odd) >> 13);
}

uint16_t lb_bf16_from_f32(float value)
{
    uint32_t bits = bits_from_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u); /* NaN stays NaN */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* ---- Rows of elements ------------------------------------------------------------------------ */

void lb_row_to_int(int32_t type, const void *row, int64_t first, int64_t count, int32_t *out)
{
    if (type == LB_TYPE_S32) {
        memcpy(out, (const int32_t *)row + first, (size_t)count * sizeof *out);
        return;
    }
    int bits = lb_type_bits(type);
    for (int64_t i = 0; i < count; i++)
        out[i] = lb_value_from_code(
            type, lb_field_get(row, (uint64_t)(first + i) * (unsigned)bits, bits));
}

void lb_row_to_float(int32_t type, const void *row, int64_t first, int64_t count, float *out)
{
    const uint16_t *halves = (const uint16_t *)row + first;
    switch (type) {
    case LB_TYPE_F32: memcpy(out, (const float *)row + first, (size_t)count * sizeof *out); return;
    case LB_TYPE_F16:
        for (int64_t i = 0; i < count; i++)
            out[i] = lb_f16_to_f32(halves[i]);
        return;
    case LB_TYPE_BF16:
        for (int64_t i = 0; i < count; i++)
            out[i] = lb_bf16_to_f32(halves[i]);
        return;
    case LB_TYPE_S32:
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)((const int32_t *)row)[first + i];
        return;
    default: break;
    }
    int bits = lb_type_bits(type);
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)lb_value_from_code(
            type, lb_field_get(row, (uint64_t)(first + i) * (unsigned)bits, bits));
}
