/* SPDX-License-Identifier: Apache-2.0 */
/* Element types and their conversions, and the small helpers for text and hashes. */
#include "types.h"

#include <math.h>

#include "check.h"
#include "hash.h"
#include "text.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What the public header promises, written out once more. */
static const struct {
    int32_t type, value;
    const char *name;
    int bits, min, max;
} types[] = {
    {LB_TYPE_S8, 1, "s8", 8, -128, 127},  {LB_TYPE_U8, 2, "u8", 8, 0, 255},
    {LB_TYPE_S4, 3, "s4", 4, -8, 7},      {LB_TYPE_U4, 4, "u4", 4, 0, 15},
    {LB_TYPE_S2, 5, "s2", 2, -2, 1},      {LB_TYPE_U2, 6, "u2", 2, 0, 3},
    {LB_TYPE_T2, 7, "t2", 2, -1, 1},      {LB_TYPE_B1, 8, "b1", 1, -1, 1},
    {LB_TYPE_S32, 9, "s32", 32, 0, 0},    {LB_TYPE_F16, 10, "f16", 16, 0, 0},
    {LB_TYPE_BF16, 11, "bf16", 16, 0, 0}, {LB_TYPE_F32, 12, "f32", 32, 0, 0},
    {LB_TYPE_C4, 13, "c4", 4, 0, 15},     {LB_TYPE_C2, 14, "c2", 2, 0, 3},
};

Test(types, every_type_has_its_pinned_value_name_and_width)
{
    cr_assert_eq(COUNT(types), LB_TYPE_COUNT - 1);
    for (size_t i = 0; i < COUNT(types); i++) {
        cr_expect_eq(types[i].type, types[i].value, "%s moved", types[i].name);
        cr_expect_str_eq(lb_type_name(types[i].type), types[i].name);
        cr_expect_eq(lb_type_bits(types[i].type), types[i].bits, "%s", types[i].name);
        cr_expect_eq(lb_type_parse(types[i].name, strlen(types[i].name)), types[i].type);
    }
}

Test(types, unknown_values_are_named_and_have_no_width)
{
    static const int32_t unknown[] = {-1, LB_TYPE_COUNT, 1000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        cr_expect_str_eq(lb_type_name(unknown[i]), "?");
        cr_expect_eq(lb_type_bits(unknown[i]), 0);
        cr_expect_eq(lb_type_get(unknown[i])->kind, LB_KIND_NONE);
        cr_expect(!lb_type_in(unknown[i], UINT32_MAX));
    }
    cr_expect_eq(lb_type_bits(LB_TYPE_NONE), 0);
}

Test(types, a_name_is_parsed_whole)
{
    cr_expect_eq(lb_type_parse("s8*s4", 2), LB_TYPE_S8);
    static const char *const wrong[] = {"", "s", "s3", "s88", "S8", "f3", "none", "?", "bf"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        cr_expect_eq(lb_type_parse(wrong[i], strlen(wrong[i])), LB_TYPE_NONE, "'%s'", wrong[i]);
}

Test(types, a_set_prints_its_names)
{
    char text[64];
    cr_expect_str_eq(lb_typeset_print(LB_T(S8) | LB_T(B1) | LB_T(F32), text, sizeof text),
                     "s8|b1|f32");
    cr_expect_str_eq(lb_typeset_print(0, text, sizeof text), "");
    cr_expect_leq(strlen(lb_typeset_print(UINT32_MAX, text, 6)), 5);
}

/* ---- Integer codes --------------------------------------------------------------------------- */

Test(types, every_code_of_an_integer_type_has_a_value_and_a_way_back)
{
    for (size_t i = 0; i < COUNT(types); i++) {
        int32_t type = types[i].type;
        if (!lb_type_is_int(type))
            continue;
        unsigned codes = 1u << types[i].bits;
        int32_t low = INT32_MAX, high = INT32_MIN;
        for (unsigned code = 0; code < codes; code++) {
            int32_t value = lb_value_from_code(type, code);
            low = value < low ? value : low;
            high = value > high ? value : high;
            cr_expect_eq(lb_code_from_value(type, value) & (codes - 1), code, "%s code %u",
                         types[i].name, code);
        }
        cr_expect_eq(low, type == LB_TYPE_T2 ? -2 : types[i].min, "%s", types[i].name);
        cr_expect_eq(high, types[i].max, "%s", types[i].name);
        cr_expect_eq(lb_type_get(type)->min, types[i].min);
        cr_expect_eq(lb_type_get(type)->max, types[i].max);
    }
}

Test(types, narrow_elements_lie_low_bits_first)
{
    static const uint8_t row[] = {0xe4, 0x1f};
    int32_t v[16];
    lb_row_to_int(LB_TYPE_U2, row, 0, 8, v);
    cr_expect_arr_eq(v, ((int32_t[]){0, 1, 2, 3, 3, 3, 1, 0}), 8 * sizeof *v);
    lb_row_to_int(LB_TYPE_T2, row, 0, 8, v);
    cr_expect_arr_eq(v, ((int32_t[]){0, 1, -2, -1, -1, -1, 1, 0}), 8 * sizeof *v);
    lb_row_to_int(LB_TYPE_S4, row, 0, 4, v);
    cr_expect_arr_eq(v, ((int32_t[]){4, -2, -1, 1}), 4 * sizeof *v);
    lb_row_to_int(LB_TYPE_B1, row, 1, 6, v);
    cr_expect_arr_eq(v, ((int32_t[]){-1, 1, -1, -1, 1, 1}), 6 * sizeof *v);
}

Test(types, a_field_is_put_without_touching_its_neighbours)
{
    for (int bits = 1; bits <= 8; bits *= 2) {
        uint8_t row[4], mask = (uint8_t)((1u << bits) - 1u);
        for (unsigned at = 0; at < 32; at += (unsigned)bits) {
            memset(row, 0xff, sizeof row);
            lb_field_put(row, at, bits, 0);
            uint8_t expected[4] = {0xff, 0xff, 0xff, 0xff};
            expected[at / 8] = (uint8_t) ~(mask << at % 8);
            cr_expect_arr_eq(row, expected, sizeof row, "%d bits at %u", bits, at);
            memset(row, 0, sizeof row);
            lb_field_put(row, at, bits, ~0u);
            cr_expect_eq(lb_field_get(row, at, bits), mask);
            cr_expect_eq(row[0] + row[1] + row[2] + row[3], mask << at % 8);
        }
    }
}

Test(types, rows_read_alike_as_int_and_as_float_from_any_element)
{
    enum { LENGTH = 64 };
    for (size_t i = 0; i < COUNT(types); i++) {
        int32_t type = types[i].type, bits = types[i].bits;
        if (bits > 8)
            continue;
        uint8_t row[LENGTH];
        for (unsigned e = 0; e < LENGTH; e++)
            lb_field_put(row, e * (unsigned)bits, bits, e * 37u);
        for (int64_t first = 0; first < 9; first++) {
            int32_t ints[LENGTH];
            float floats[LENGTH];
            int64_t count = LENGTH - first;
            lb_row_to_int(type, row, first, count, ints);
            lb_row_to_float(type, row, first, count, floats);
            for (int64_t e = 0; e < count; e++) {
                unsigned code = (unsigned)(first + e) * 37u & ((1u << bits) - 1u);
                cr_assert_eq(ints[e], lb_value_from_code(type, code), "%s", types[i].name);
                cr_assert_eq(floats[e], (float)ints[e], "%s", types[i].name);
            }
        }
    }
}

Test(types, wide_rows_read_as_they_are)
{
    static const int32_t wide[] = {INT32_MIN, -1, 1 << 20, INT32_MAX};
    static const float single[] = {-0.5f, 1e30f, 3};
    static const uint16_t half[] = {0x3c00, 0xc000, 0x0001}, brain[] = {0x3f80, 0xc000, 0x7f80};
    int32_t ints[4];
    float floats[4];
    lb_row_to_int(LB_TYPE_S32, wide, 1, 3, ints);
    cr_expect_arr_eq(ints, wide + 1, 3 * sizeof *ints);
    lb_row_to_float(LB_TYPE_S32, wide, 0, 3, floats);
    cr_expect(floats[0] == -0x1p31f && floats[1] == -1 && floats[2] == 0x1p20f);
    lb_row_to_float(LB_TYPE_F32, single, 1, 2, floats);
    cr_expect(floats[0] == 1e30f && floats[1] == 3);
    lb_row_to_float(LB_TYPE_F16, half, 1, 2, floats);
    cr_expect(floats[0] == -2 && floats[1] == 0x1p-24f);
    lb_row_to_float(LB_TYPE_BF16, brain, 1, 2, floats);
    cr_expect(floats[0] == -2 && isinf(floats[1]));
}

/* ---- 16-bit floats --------------------------------------------------------------------------- */

Test(types, every_f16_has_the_value_of_its_definition)
{
    for (unsigned h = 0; h <= 0xffff; h++) {
        int exponent = (int)(h >> 10 & 31), mantissa = (int)(h & 1023);
        float got = lb_f16_to_f32((uint16_t)h);
        cr_assert_eq(!!signbit(got), h >> 15, "0x%04x", h);
        if (exponent == 31) {
            cr_assert(mantissa ? isnan(got) : isinf(got), "0x%04x", h);
            continue;
        }
        float expected = exponent ? ldexpf((float)(mantissa + 1024), exponent - 25)
                                  : ldexpf((float)mantissa, -24);
        cr_assert_eq(fabsf(got), expected, "0x%04x", h);
    }
}

Test(types, every_bf16_is_the_upper_half_of_an_f32)
{
    for (unsigned h = 0; h <= 0xffff; h++) {
        float got = lb_bf16_to_f32((uint16_t)h);
        uint32_t bits;
        memcpy(&bits, &got, sizeof bits);
        cr_assert_eq(bits, h << 16);
    }
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void check_narrowing(uint16_t (*narrow)(float), float value, unsigned expected)
{
    cr_assert_eq(narrow(value), expected, "%a gives 0x%04x instead of 0x%04x", (double)value,
                 narrow(value), expected);
    cr_assert_eq(narrow(-value), expected | 0x8000u, "%a", (double)-value);
}

/* Between two neighbours only the midpoint decides, so that all f32 are covered; `infinity` also
   stands for the first value that is not finite any more. */
static void check_rounding(uint16_t (*narrow)(float), unsigned h, float low, float mid)
{
    check_narrowing(narrow, low, h);
    check_narrowing(narrow, nextafterf(low, INFINITY), h);
    check_narrowing(narrow, nextafterf(mid, 0), h);
    check_narrowing(narrow, mid, h + (h & 1u));
    check_narrowing(narrow, nextafterf(mid, INFINITY), h + 1);
}

Test(types, f16_rounds_to_nearest_even_between_all_neighbours)
{
    for (unsigned h = 0; h < 0x7c00; h++) {
        float low = lb_f16_to_f32((uint16_t)h),
              high = h == 0x7bff ? 65536 : lb_f16_to_f32((uint16_t)(h + 1));
        check_rounding(lb_f16_from_f32, h, low, (low + high) / 2);
    }
    check_narrowing(lb_f16_from_f32, INFINITY, 0x7c00);
    check_narrowing(lb_f16_from_f32, from_bits(0x7f7fffff), 0x7c00);
}

Test(types, bf16_rounds_to_nearest_even_between_all_neighbours)
{
    for (unsigned h = 0; h < 0x7f80; h++)
        check_rounding(lb_bf16_from_f32, h, from_bits(h << 16), from_bits(h << 16 | 0x8000u));
    check_narrowing(lb_bf16_from_f32, INFINITY, 0x7f80);
}

Test(types, a_nan_stays_a_nan)
{
    static const uint32_t nans[] = {0x7f800001, 0x7fc00000, 0x7fffffff, 0xff800001, 0xffffffff};
    for (size_t i = 0; i < COUNT(nans); i++) {
        cr_expect(isnan(lb_f16_to_f32(lb_f16_from_f32(from_bits(nans[i])))), "0x%08x", nans[i]);
        cr_expect(isnan(lb_bf16_to_f32(lb_bf16_from_f32(from_bits(nans[i])))), "0x%08x", nans[i]);
    }
}

/* ---- Text and hashes ------------------------------------------------------------------------- */

Test(text, counts_what_does_not_fit_and_writes_no_further)
{
    for (size_t capacity = 0; capacity <= 12; capacity++) {
        char buffer[16];
        size_t needed = 0;
        memset(buffer, '#', sizeof buffer);
        lb_text text = {buffer, capacity, 0};
        for (int i = 10; i < 15; i++)
            lb_text_put(&text, "%d", i);
        if (capacity == 0 || capacity > 10)
            check_ok(lb_text_finish(&text, "f", &needed));
        else
            check_status(lb_text_finish(&text, "f", &needed), LB_INVALID_ARGUMENT,
                         "f: the text takes 11 bytes, there are");
        cr_expect_eq(needed, 11);
        if (capacity) {
            size_t fits = capacity > 10 ? 10 : capacity - 1;
            cr_expect_eq(strlen(buffer), fits);
            cr_expect_eq(strncmp(buffer, "1011121314", fits), 0);
        }
        for (size_t i = capacity; i < sizeof buffer; i++)
            cr_expect_eq(buffer[i], '#', "byte %zu of %zu was written", i, capacity);
    }
}

Test(text, needed_may_be_null)
{
    char buffer[8];
    lb_text text = {buffer, sizeof buffer, 0};
    lb_text_put(&text, "%s", "");
    check_ok(lb_text_finish(&text, "f", NULL));
    cr_expect_str_eq(buffer, "");
}

/* Blobs written on one machine are read on another: the function must never change. */
Test(hash, gives_the_published_values_of_xxh3)
{
    cr_expect_eq(lb_hash64("", 0), UINT64_C(0x2d06800538d394c2));
    lb_hash128 empty = lb_hash128_of(NULL, 0);
    cr_expect_eq(empty.high, UINT64_C(0x99aa06d3014798d8));
    cr_expect_eq(empty.low, UINT64_C(0x6001c324468d497f));
}

Test(hash, does_not_see_where_pieces_end)
{
    char data[1000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7);
    lb_hash128 whole = lb_hash128_of(&(lb_piece){data, sizeof data}, 1);
    for (size_t cut = 0; cut <= sizeof data; cut += 125) {
        lb_piece pieces[] = {{data, cut}, {data + cut, sizeof data - cut}};
        lb_hash128 parts = lb_hash128_of(pieces, 2);
        cr_expect(parts.high == whole.high && parts.low == whole.low, "cut at %zu", cut);
    }
}

Test(hash, sees_every_bit)
{
    unsigned char data[300] = {0};
    uint64_t before = lb_hash64(data, sizeof data);
    lb_hash128 before128 = lb_hash128_of(&(lb_piece){data, sizeof data}, 1);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        cr_assert_neq(lb_hash64(data, sizeof data), before, "bit %zu", bit);
        lb_hash128 h = lb_hash128_of(&(lb_piece){data, sizeof data}, 1);
        cr_assert(h.high != before128.high || h.low != before128.low, "bit %zu", bit);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}
