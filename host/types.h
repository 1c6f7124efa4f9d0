/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: the table types.def as data, and the conversion of single elements. */
#ifndef LB_TYPES_H
#define LB_TYPES_H

#include <stdbool.h>
#include <string.h>

#include "lowbit/lowbit.h"

typedef enum lb_kind {
    LB_KIND_NONE,
    LB_KIND_INT,
    LB_KIND_BIT,
    LB_KIND_WIDE,
    LB_KIND_FLOAT,
    LB_KIND_TABLE
} lb_kind;

typedef struct lb_type_row {
    const char *name;
    int bits;
    lb_kind kind;
    int32_t min, max; /* of the values */
} lb_type_row;

/* Row of a type; the NONE row (bits 0) for an unknown one. Never NULL. */
const lb_type_row *lb_type_get(int32_t type);
/* The type whose name is the first `length` characters of `text`; LB_TYPE_NONE if there is none. */
int32_t lb_type_parse(const char *text, size_t length);

#define LB_T(name) (1u << LB_TYPE_##name) /* a set of types is a bit mask */
#define LB_T_INT                                                                                   \
    (LB_T(S8) | LB_T(U8) | LB_T(S4) | LB_T(U4) | LB_T(S2) | LB_T(U2) | LB_T(T2) | LB_T(B1))
#define LB_T_TABLE (LB_T(C4) | LB_T(C2))
/* Weights that may have scales of two levels. */
#define LB_T_STEPPED (LB_T(S4) | LB_T(U4) | LB_T(S2) | LB_T(U2) | LB_T(T2))
#define LB_T_FLOAT (LB_T(F16) | LB_T(BF16) | LB_T(F32))
/* Outputs that fill whole bytes with two adjacent columns, or are bits; and all of them, for rows
   whose threads make at least four adjacent columns. */
#define LB_T_OUT (LB_T(S32) | LB_T(S8) | LB_T(U8) | LB_T(S4) | LB_T(U4) | LB_T(B1) | LB_T_FLOAT)
#define LB_T_OUT_ANY (LB_T_OUT | LB_T(S2) | LB_T(U2) | LB_T(T2))

static inline bool lb_type_in(int32_t type, uint32_t set)
{
    return type > 0 && type < LB_TYPE_COUNT && (set >> type & 1u);
}
/* Integer operand types (one or more bits); s32 is not among them. */
static inline bool lb_type_is_int(int32_t type)
{
    return lb_type_in(type, LB_T_INT);
}
static inline bool lb_type_is_float(int32_t type)
{
    return lb_type_in(type, LB_T_FLOAT);
}
/* Weights that are indices into a table. */
static inline bool lb_type_is_table(int32_t type)
{
    return lb_type_in(type, LB_T_TABLE);
}
/* "s8|u8|s4" into text. */
const char *lb_typeset_print(uint32_t set, char *text, size_t capacity);

/* IEEE binary16 and bfloat16, round to nearest even. */
uint16_t lb_f16_from_f32(float value);
uint16_t lb_bf16_from_f32(float value);

/* Without branches, so that loops become vector code. */
inline float lb_f16_to_f32(uint16_t h)
{
    uint32_t magnitude = h & 0x7fffu, bits, small_bits;
    float small = (float)(int32_t)magnitude * 0x1p-24f, value; /* subnormal: exact in f32 */
    memcpy(&small_bits, &small, sizeof small_bits);
    bits = (magnitude << 13) + (magnitude >= 0x7c00u ? 0x70000000u : 0x38000000u);
    bits = (magnitude < 0x400u ? small_bits : bits) | (uint32_t)(h & 0x8000u) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}
inline float lb_bf16_to_f32(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Field of `bits` (1, 2, 4, 8) bits at an absolute bit offset that is a multiple of `bits`. */
static inline unsigned lb_field_get(const void *memory, uint64_t bit, int bits)
{
    return ((unsigned)((const uint8_t *)memory)[bit >> 3] >> (bit & 7)) & ((1u << bits) - 1u);
}
static inline void lb_field_put(void *memory, uint64_t bit, int bits, unsigned field)
{
    uint8_t *byte = (uint8_t *)memory + (bit >> 3);
    unsigned mask = ((1u << bits) - 1u) << (bit & 7);
    *byte = (uint8_t)((*byte & ~mask) | (field << (bit & 7) & mask));
}
/* Value of a code of an integer type (sign extension; b1: 2 * bit - 1), and back. */
static inline int32_t lb_value_from_code(int32_t type, unsigned code)
{
    switch (type) {
    case LB_TYPE_S8: return (int8_t)code;
    case LB_TYPE_S4: return (int32_t)(code ^ 8u) - 8;
    case LB_TYPE_S2:
    case LB_TYPE_T2: return (int32_t)(code ^ 2u) - 2;
    case LB_TYPE_B1: return 2 * (int32_t)code - 1;
    default: return (int32_t)code;
    }
}
static inline unsigned lb_code_from_value(int32_t type, int32_t value)
{
    return type == LB_TYPE_B1 ? (unsigned)(value > 0) : (unsigned)value;
}

/* `count` elements starting at element `first` of a row that begins at `row`, as int32 (integer
   types, s32) or as float (any type). */
void lb_row_to_int(int32_t type, const void *row, int64_t first, int64_t count, int32_t *out);
void lb_row_to_float(int32_t type, const void *row, int64_t first, int64_t count, float *out);

#endif
