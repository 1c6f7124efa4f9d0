/* SPDX-License-Identifier: Apache-2.0 */
/* Prepacked layouts as functions: every row of layouts.def is a bijection, for every width it
   takes; packing and reading back are inverse; what does not fit is refused. */
#include "layout.h"

#include <stdlib.h>

#include "check.h"
#include "types.h"

static const int32_t types[] = {LB_TYPE_S8, LB_TYPE_U8, LB_TYPE_S4, LB_TYPE_U4,
                                LB_TYPE_S2, LB_TYPE_U2, LB_TYPE_T2, LB_TYPE_B1};
#define TYPES (sizeof types / sizeof *types)

/* Around tiles, primes, and nothing. */
static const struct {
    int64_t n, k;
} sizes[] = {{1, 1},     {1, 300},   {17, 31}, {64, 64}, {65, 129},
             {127, 257}, {130, 512}, {0, 5},   {5, 0}};
#define SIZES (sizeof sizes / sizeof *sizes)

/* A layout of the widest field, which no row of the table has for every type. */
static uint64_t bytes_bit(uint64_t n, uint64_t k, uint64_t n_pad, uint64_t k_pad, uint64_t bits)
{
    (void)k_pad;
    return (k * n_pad + n) * bits;
}
static const lb_layout wide = {"wide", 8, 0, 1, 1, bytes_bit, "[k][n] bytes"};
static const lb_layout wide_offset = {"wide_offset", 8, 1, 1, 1, bytes_bit, "[k][n] bytes"};

static bool fits(const lb_layout *layout, int32_t type)
{
    return !layout->bits || layout->bits >= lb_type_bits(type);
}

/* ---- The functions --------------------------------------------------------------------------- */

static uint64_t bit(const lb_extent *e, int64_t n, int64_t k)
{
    return e->layout->bit((uint64_t)n, (uint64_t)k, (uint64_t)e->n_pad, (uint64_t)e->k_pad,
                          (uint64_t)e->bits);
}

/* All of n_pad x k_pad to distinct fields in [0, n_pad * k_pad), and bit(n, k) is a function of n
   plus one of k. */
static void is_a_bijection(const lb_extent *e)
{
    uint64_t fields = (uint64_t)(e->n_pad * e->k_pad), bad = 0, uneven = 0;
    unsigned char *seen = calloc(1, fields + 1);
    cr_assert(seen);
    for (int64_t n = 0; n < e->n_pad; n++)
        for (int64_t k = 0; k < e->k_pad; k++) {
            uint64_t at = bit(e, n, k), field = at / (unsigned)e->bits;
            bad += at % (unsigned)e->bits != 0 || field >= fields || seen[field];
            if (field < fields)
                seen[field] = 1;
            uneven += at != bit(e, n, 0) + bit(e, 0, k) - bit(e, 0, 0);
        }
    free(seen);
    cr_expect_eq(bad, 0, "%s of %s, n %lld k %lld: %llu fields are taken twice or out of range",
                 e->layout->name, lb_type_name(e->type), (long long)e->n, (long long)e->k,
                 (unsigned long long)bad);
    cr_expect_eq(uneven, 0, "%s of %s, n %lld k %lld: bit(n, k) != bit(n, 0) + bit(0, k)",
                 e->layout->name, lb_type_name(e->type), (long long)e->n, (long long)e->k);
}

static void pads_and_spans_as_it_says(const lb_extent *e)
{
    uint64_t bits = (uint64_t)(e->n_pad * e->k_pad) * (unsigned)e->bits;
    cr_expect(e->n_pad >= e->n && e->n_pad < e->n + e->layout->n_mult);
    cr_expect(e->k_pad >= e->k && e->k_pad < e->k + e->layout->k_mult);
    cr_expect(e->n_pad % e->layout->n_mult == 0 && e->k_pad % e->layout->k_mult == 0);
    cr_expect_eq(e->bytes % 64, 0);
    cr_expect(8 * e->bytes >= bits && 8 * e->bytes < bits + 512, "%s: %llu bytes for %llu bits",
              e->layout->name, (unsigned long long)e->bytes, (unsigned long long)bits);
    cr_expect_eq(bits % 8, 0, "%s of %s: the last byte is half full", e->layout->name,
                 lb_type_name(e->type));
}

Test(layout, every_row_is_a_bijection_for_every_type_and_size)
{
    size_t cases = 0;
    for (size_t l = 0; l < lb_layout_count; l++)
        for (size_t t = 0; t < TYPES; t++)
            for (size_t s = 0; s < SIZES; s++) {
                lb_extent e;
                if (!fits(&lb_layouts[l], types[t]))
                    continue;
                check_ok(lb_extent_make(&lb_layouts[l], types[t], sizes[s].n, sizes[s].k, &e));
                pads_and_spans_as_it_says(&e);
                is_a_bijection(&e);
                cases++;
            }
    cr_log_info("%zu cases", cases);
    cr_expect_geq(cases, lb_layout_count * SIZES);
}

/* ---- Packing --------------------------------------------------------------------------------- */

/* Another value at every (n, k); all values of the type occur. */
static int32_t value_of(int32_t type, int64_t n, int64_t k)
{
    const lb_type_row *row = lb_type_get(type);
    if (type == LB_TYPE_B1)
        return (n * 7 + k * 3) % 5 < 2 ? 1 : -1;
    return row->min + (int32_t)((n * 31 + k * 7 + n * k) % (row->max - row->min + 1));
}

static void reads_back(const lb_layout *layout, int32_t type, int64_t n_count, int64_t k_count)
{
    lb_extent e;
    uint64_t wrong = 0;
    check_ok(lb_extent_make(layout, type, n_count, k_count, &e));
    unsigned char *codes = malloc(e.bytes + 64);
    uint64_t *columns = malloc((size_t)(k_count + 1) * sizeof *columns);
    int32_t *values = malloc((size_t)(k_count + 1) * sizeof *values);
    cr_assert(codes && columns && values);
    memset(codes, 0xa5, e.bytes + 64);
    lb_extent_clear(&e, codes);
    lb_extent_columns(&e, columns);
    for (int64_t n = 0; n < n_count; n++) {
        for (int64_t k = 0; k < k_count; k++)
            values[k] = value_of(type, n, k);
        lb_extent_put_row(&e, columns, codes, n, values);
    }
    for (int64_t n = 0; n < e.n_pad; n++)
        for (int64_t k = 0; k < e.k_pad; k++) {
            bool inside = n < n_count && k < k_count;
            int32_t padding = type == LB_TYPE_B1 && e.bits == 1 ? -1 : 0;
            wrong += lb_extent_get(&e, codes, n, k) != (inside ? value_of(type, n, k) : padding);
        }
    for (int i = 0; i < 64; i++)
        wrong += codes[e.bytes + (unsigned)i] != 0xa5;
    cr_expect_eq(wrong, 0, "%s of %s, n %lld k %lld: %llu values or bytes beyond are wrong",
                 layout->name, lb_type_name(type), (long long)n_count, (long long)k_count,
                 (unsigned long long)wrong);
    free(codes);
    free(columns);
    free(values);
}

Test(layout, packed_values_are_read_back_and_padding_is_zero)
{
    for (size_t t = 0; t < TYPES; t++)
        for (size_t s = 0; s < SIZES; s++) {
            for (size_t l = 0; l < lb_layout_count; l++)
                if (fits(&lb_layouts[l], types[t]))
                    reads_back(&lb_layouts[l], types[t], sizes[s].n, sizes[s].k);
            reads_back(&wide, types[t], sizes[s].n, sizes[s].k);
            reads_back(&wide_offset, types[t], sizes[s].n, sizes[s].k);
        }
}

Test(layout, rows_are_put_in_any_order)
{
    static const int32_t values[2][3] = {{-8, 7, 3}, {1, -1, 0}};
    uint64_t columns[3];
    unsigned char forward[64], backward[64];
    lb_extent e;
    check_ok(lb_extent_make(lb_layout_find("rows"), LB_TYPE_S4, 2, 3, &e));
    cr_assert_eq(e.bytes, 64);
    lb_extent_columns(&e, columns);
    lb_extent_clear(&e, forward);
    lb_extent_clear(&e, backward);
    for (int n = 0; n < 2; n++) {
        lb_extent_put_row(&e, columns, forward, n, values[n]);
        lb_extent_put_row(&e, columns, backward, 1 - n, values[1 - n]);
    }
    cr_expect_arr_eq(forward, backward, sizeof forward);
    /* Low bits first, a row of 8 in 4 bytes: -8 | 7 << 4, then 3. */
    cr_expect_eq(forward[0], 0x78);
    cr_expect_eq(forward[1], 0x03);
    cr_expect_eq(forward[4], 0xf1);
}

Test(layout, offset_fields_hold_the_value_plus_half_the_range)
{
    static const int32_t value = -3;
    uint64_t column;
    unsigned char codes[64];
    lb_extent e;
    check_ok(lb_extent_make(&wide_offset, LB_TYPE_S4, 1, 1, &e));
    lb_extent_columns(&e, &column);
    lb_extent_clear(&e, codes);
    cr_expect_eq(codes[0], 128, "padding is the value 0");
    lb_extent_put_row(&e, &column, codes, 0, &value);
    cr_expect_eq(codes[0], 125);

    check_ok(lb_extent_make(lb_layout_find("panel64x4"), LB_TYPE_S2, 1, 1, &e));
    unsigned char *panel = malloc(e.bytes);
    cr_assert(panel);
    lb_extent_clear(&e, panel);
    for (size_t i = 0; i < e.bytes; i++)
        cr_assert_eq(panel[i], 0xaa, "byte %zu: four fields of 2 + 0", i);
    free(panel);
}

/* ---- Names and refusals ---------------------------------------------------------------------- */

Test(layout, names_are_unique_and_found)
{
    for (size_t i = 0; i < lb_layout_count; i++) {
        cr_expect_eq(lb_layout_find(lb_layouts[i].name), &lb_layouts[i], "%s stands twice",
                     lb_layouts[i].name);
        cr_expect_lt(strlen(lb_layouts[i].name), 32, "the blob's header has 32 bytes for %s",
                     lb_layouts[i].name);
        cr_expect_neq(lb_layouts[i].text[0], 0);
    }
    cr_expect_null(lb_layout_find("nowhere"));
    cr_expect_null(lb_layout_find(""));
}

Test(layout, what_does_not_fit_is_refused_and_nothing_is_written)
{
    lb_extent e = {.n = 12345};
    const lb_layout *rows = lb_layout_find("rows"), *bits = lb_layout_find("panel64w");
    check_status(lb_extent_make(rows, LB_TYPE_F16, 4, 4, &e), LB_UNSUPPORTED,
                 "layout rows holds integer weights, not f16");
    check_status(lb_extent_make(rows, LB_TYPE_S32, 4, 4, &e), LB_UNSUPPORTED,
                 "layout rows holds integer weights, not s32");
    check_status(lb_extent_make(bits, LB_TYPE_S4, 4, 4, &e), LB_UNSUPPORTED,
                 "layout panel64w has fields of 1 bits, too few for s4");
    int64_t most = INT32_MAX - 0xffff;
    check_status(lb_extent_make(rows, LB_TYPE_S8, most, most, &e), LB_UNSUPPORTED,
                 "weights of 2147418112 x 2147418112 overflow the address range");
    cr_expect_eq(e.n, 12345);
    /* The largest that the check lets through is counted without overflow. */
    check_ok(lb_extent_make(rows, LB_TYPE_S8, INT64_C(1) << 29, most, &e));
    cr_expect_eq(e.bytes, ((uint64_t)1 << 29) * (uint64_t)e.k_pad);
}
