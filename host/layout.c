/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include <inttypes.h>
#include <string.h>

#include "layout_functions.h"
#include "status.h"
#include "types.h"

const lb_layout lb_layouts[] = {
#define LB_LAYOUT(name, bits, offset, n_mult, k_mult, bit, text)                                   \
    {#name, bits, offset, n_mult, k_mult, bit, text},
#include "layouts.def"
#undef LB_LAYOUT
};
const size_t lb_layout_count = sizeof lb_layouts / sizeof *lb_layouts;

const lb_layout *lb_layout_find(const char *name)
{
    for (size_t i = 0; i < lb_layout_count; i++)
        if (strcmp(lb_layouts[i].name, name) == 0)
            return &lb_layouts[i];
    return NULL;
}

static int64_t round_up(int64_t value, int64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

lb_status lb_extent_make(const lb_layout *layout, int32_t type, int64_t n, int64_t k,
                         lb_extent *extent)
{
    int type_bits = lb_type_bits(type), bits = layout->bits ? layout->bits : type_bits;
    if (!lb_type_is_int(type) && !lb_type_is_table(type))
        return lb_fail(LB_UNSUPPORTED, "layout %s holds integer weights, not %s", layout->name,
                       lb_type_name(type));
    if (bits < type_bits)
        return lb_fail(LB_UNSUPPORTED, "layout %s has fields of %d bits, too few for %s",
                       layout->name, bits, lb_type_name(type));
    lb_extent e = {.layout = layout, .type = type, .bits = bits, .n = n, .k = k};
    e.n_pad = round_up(n, layout->n_mult);
    e.k_pad = round_up(k, layout->k_mult);
    if (e.n_pad && e.k_pad > (INT64_C(1) << 60) / e.n_pad)
        return lb_fail(LB_UNSUPPORTED,
                       "weights of %" PRId64 " x %" PRId64 " overflow the address range", n, k);
    e.bytes = ((uint64_t)e.n_pad * (uint64_t)e.k_pad * (unsigned)bits + 511) / 512 * 64;
    *extent = e;
    return LB_OK;
}

/* What is added to a value before it is stored. */
static int32_t offset_of(const lb_extent *e)
{
    return e->layout->offset && lb_type_get(e->type)->min < 0 ? 1 << (e->bits - 1) : 0;
}

/* 1-bit weights in 1-bit fields keep their code; every other field holds value + offset. */
static bool is_bit_field(const lb_extent *e)
{
    return e->type == LB_TYPE_B1 && e->bits == 1;
}

static uint64_t bit_at(const lb_extent *e, int64_t n, int64_t k)
{
    return e->layout->bit((uint64_t)n, (uint64_t)k, (uint64_t)e->n_pad, (uint64_t)e->k_pad,
                          (uint64_t)e->bits);
}

int32_t lb_extent_get(const lb_extent *e, const void *codes, int64_t n, int64_t k)
{
    unsigned field = lb_field_get(codes, bit_at(e, n, k), e->bits);
    if (is_bit_field(e))
        return lb_value_from_code(LB_TYPE_B1, field);
    unsigned code = (field - (unsigned)offset_of(e)) & ((1u << e->bits) - 1u);
    /* A wider field is two's complement of its own width, whatever the type. */
    if (e->bits > lb_type_bits(e->type) || e->type == LB_TYPE_B1) {
        bool negative = lb_type_get(e->type)->min < 0 && code >> (e->bits - 1) & 1u;
        return (int32_t)code - (negative ? 1 << e->bits : 0);
    }
    return lb_value_from_code(e->type, code);
}

void lb_extent_rows(const lb_extent *e, uint64_t *rows)
{
    for (int64_t n = 0; n < e->n; n++)
        rows[n] = bit_at(e, n, 0);
}

void lb_extent_columns(const lb_extent *e, uint64_t *columns)
{
    for (int64_t k = 0; k < e->k; k++)
        columns[k] = bit_at(e, 0, k) - bit_at(e, 0, 0);
}

static unsigned field_of(bool bit_field, int32_t offset, int bits, int32_t value)
{
    unsigned field = bit_field ? lb_code_from_value(LB_TYPE_B1, value) : (unsigned)(value + offset);
    return field & ((1u << bits) - 1u);
}

unsigned lb_extent_field(const lb_extent *e, int32_t value)
{
    return field_of(is_bit_field(e), offset_of(e), e->bits, value);
}

/* Padding means the value 0, of bits the code 0. Fields tile whole bytes. */
unsigned lb_extent_padding(const lb_extent *e)
{
    unsigned field = is_bit_field(e) ? 0 : (unsigned)offset_of(e), byte = 0;
    for (int shift = 0; shift < 8; shift += e->bits)
        byte |= field << shift;
    return byte;
}

void lb_extent_put_row(const lb_extent *e, const uint64_t *columns, void *codes, int64_t n,
                       const int32_t *values)
{
    if (e->k == 0)
        return;
    uint64_t row = bit_at(e, n, 0);
    int32_t offset = offset_of(e);
    if (e->bits == 8) {
        uint8_t *bytes = (uint8_t *)codes + row / 8;
        for (int64_t k = 0; k < e->k; k++)
            bytes[columns[k] / 8] = (uint8_t)(values[k] + offset);
        return;
    }
    bool bit_field = is_bit_field(e);
    for (int64_t k = 0; k < e->k; k++)
        lb_field_put(codes, row + columns[k], e->bits,
                     field_of(bit_field, offset, e->bits, values[k]));
}

void lb_extent_clear(const lb_extent *e, void *codes)
{
    memset(codes, (int)lb_extent_padding(e), (size_t)e->bytes);
}
