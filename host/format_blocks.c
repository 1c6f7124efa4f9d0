/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantisation parameters inside the blocks of ggml (ggml-common.h, ggml-quants.c), the canonical
 * format's own, and dense floats.
 */
#include <inttypes.h>

#include "format.h"
#include "format_memory.h"
#include "status.h"

#define N ((uint64_t)f->n)
#define K ((uint64_t)f->k)
#define G ((uint64_t)f->groups)
#define EACH_GROUP(j) for (int64_t j = 0; j < f->groups; j++)

/* ---- Blocks ---------------------------------------------------------------------------------- */

/* Block b of row n. */
static uint8_t *block_at(const lb_stored *w, const lb_form *f, int64_t n, int64_t b)
{
    const lb_format *format = f->format;
    uint64_t index = (uint64_t)n * (K / (unsigned)format->block) + (uint64_t)b;
    return (uint8_t *)w->part[LB_PART_CODES].data + index * (unsigned)format->block_bytes;
}

static void block_sizes(const lb_form *f, uint64_t *bytes)
{
    bytes[LB_PART_CODES] = N * (K / (unsigned)f->format->block) * (unsigned)f->format->block_bytes;
}

static lb_status d_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    (void)w;
    f->scale_type = LB_TYPE_F16;
    block_sizes(f, bytes);
    return LB_OK;
}
static void d_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    row->scale[j] = lb_f16_to_f32(lb_load16(block_at(w, f, n, j)));
}
static void d_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    lb_store16(block_at(w, f, n, j), lb_f16_from_f32(row->scale[j]));
}
const lb_scheme lb_scheme_d = {"f16 d at the block's beginning", d_describe, d_load, d_store};

static lb_status d_m_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    f->offset_type = LB_TYPE_F16;
    return d_describe(w, f, bytes);
}
static void d_m_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    d_load(w, f, n, row);
    EACH_GROUP(j)
    row->offset[j] = -lb_f16_to_f32(lb_load16(block_at(w, f, n, j) + 2));
}
static void d_m_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    d_store(w, f, n, row);
    EACH_GROUP(j)
    lb_store16(block_at(w, f, n, j) + 2, lb_f16_from_f32(-row->offset[j]));
}
const lb_scheme lb_scheme_d_m = {"f16 d and m at the block's beginning; m is added", d_m_describe,
                                 d_m_load, d_m_store};

/* Half of 2^(x - 127), because the table holds doubled values. */
static lb_status e8m0_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    (void)w;
    f->scale_type = LB_SCALE_E8M0;
    block_sizes(f, bytes);
    return LB_OK;
}
static void e8m0_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    row->scale[j] = lb_e8m0_half(*block_at(w, f, n, j));
}
static void e8m0_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    *block_at(w, f, n, j) = lb_e8m0_half_code(row->scale[j]);
}
const lb_scheme lb_scheme_e8m0 = {"exponent of a power of two at the block's beginning",
                                  e8m0_describe, e8m0_load, e8m0_store};

/* TQ1_0, TQ2_0: d behind the codes. */
static uint8_t *tail(const lb_stored *w, const lb_form *f, int64_t n, int64_t b)
{
    return block_at(w, f, n, b) + f->format->block_bytes - 2;
}
static void tq_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    row->scale[j] = lb_f16_to_f32(lb_load16(tail(w, f, n, j)));
}
static void tq_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    lb_store16(tail(w, f, n, j), lb_f16_from_f32(row->scale[j]));
}
const lb_scheme lb_scheme_tq = {"f16 d at the block's end", d_describe, tq_load, tq_store};

/* ---- Super-blocks ---------------------------------------------------------------------------- */

/* Integer factors of one block of 256, in whichever packing. */
typedef void factors_fn(uint8_t *block, int16_t *sub, int16_t *sub_offset, bool store);

static inline void multiply(float *restrict to, float factor, const int16_t *restrict by,
                            int64_t count)
{
    for (int64_t i = 0; i < count; i += 8)
        for (int64_t j = i; j < i + 8; j++)
            to[j] = factor * by[j];
}

static void super_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row,
                       factors_fn *factors, int d, int dmin)
{
    for (int64_t b = 0; b < f->groups / f->super; b++) {
        uint8_t *block = block_at(w, f, n, b);
        int16_t *sub = row->sub + b * f->super, *sub_offset = NULL;
        if (dmin >= 0) {
            sub_offset = row->sub_offset + b * f->super;
            row->super_offset[b] = lb_f16_to_f32(lb_load16(block + dmin));
        }
        row->super[b] = lb_f16_to_f32(lb_load16(block + d));
        factors(block, sub, sub_offset, false);
        multiply(row->scale + b * f->super, row->super[b], sub, f->super);
        if (sub_offset)
            multiply(row->offset + b * f->super, row->super_offset[b], sub_offset, f->super);
    }
}
static void super_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row,
                        factors_fn *factors, int d, int dmin)
{
    for (int64_t b = 0; b < f->groups / f->super; b++) {
        uint8_t *block = block_at(w, f, n, b);
        lb_store16(block + d, lb_f16_from_f32(row->super[b]));
        if (dmin >= 0)
            lb_store16(block + dmin, lb_f16_from_f32(row->super_offset[b]));
        factors(block, row->sub + b * f->super, dmin >= 0 ? row->sub_offset + b * f->super : NULL,
                true);
    }
}
static lb_status super_describe(lb_form *f, uint64_t *bytes, int32_t low, int32_t high,
                                int32_t offset_high)
{
    f->scale_type = LB_TYPE_F16;
    f->super = 256 / f->format->group;
    f->sub_min = low;
    f->sub_max = high;
    if (offset_high) {
        f->offset_type = LB_TYPE_F16;
        f->sub_offset_max = offset_high;
    }
    block_sizes(f, bytes);
    return LB_OK;
}

#define SUPER(name, text, low, high, offset_high, d, dmin)                                         \
    static lb_status name##_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)              \
    {                                                                                              \
        (void)w;                                                                                   \
        return super_describe(f, bytes, low, high, offset_high);                                   \
    }                                                                                              \
    static void name##_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row) \
    {                                                                                              \
        super_load(w, f, n, row, name##_factors, d, dmin);                                         \
    }                                                                                              \
    static void name##_store(const lb_stored *w, const lb_form *f, int64_t n,                      \
                             const lb_params *row)                                                 \
    {                                                                                              \
        super_store(w, f, n, row, name##_factors, d, dmin);                                        \
    }                                                                                              \
    const lb_scheme lb_scheme_##name = {text, name##_describe, name##_load, name##_store};

static void q2_k_factors(uint8_t *block, int16_t *sub, int16_t *sub_offset, bool store)
{
    for (int i = 0; i < 16; i++)
        if (store) {
            block[i] = (uint8_t)(sub[i] | sub_offset[i] << 4);
        } else {
            sub[i] = block[i] & 15;
            sub_offset[i] = block[i] >> 4;
        }
}
SUPER(q2_k, "4-bit scales and minima of 16, f16 d and dmin of 256", 0, 15, 15, 80, 82)

/* Low nibbles: bytes 0-7, scale i in byte i % 8; high pairs: bytes 8-11, scale i in byte 8 + i % 4.
 */
static void q3_k_factors(uint8_t *block, int16_t *sub, int16_t *sub_offset, bool store)
{
    (void)sub_offset;
    uint8_t *s = block + 96;
    for (int i = 0; i < 16; i++) {
        uint64_t low = 8u * (unsigned)(i % 8) + 4u * (unsigned)(i / 8);
        uint64_t high = 64 + 8u * (unsigned)(i % 4) + 2u * (unsigned)(i / 4);
        if (store) {
            lb_field_put(s, low, 4, (unsigned)(sub[i] + 32) & 15u);
            lb_field_put(s, high, 2, (unsigned)(sub[i] + 32) >> 4);
        } else {
            sub[i] = (int16_t)((int)(lb_field_get(s, low, 4) | lb_field_get(s, high, 2) << 4) - 32);
        }
    }
}
SUPER(q3_k, "6-bit scales of 16, f16 d of 256", -32, 31, 0, 108, -1)

/* 6 bits each in 12 bytes: 0-3 whole in bytes 0-3 (minima: 4-7), 4-7 as nibbles of bytes 8-11 with
   their high pairs on top of the first eight bytes. */
static void q4_k_factors(uint8_t *block, int16_t *sub, int16_t *sub_offset, bool store)
{
    uint8_t *s = block + 4, bytes[16];
    for (int i = 0; i < 4 && store; i++) {
        s[i] = (uint8_t)(sub[i] | sub[i + 4] >> 4 << 6);
        s[i + 4] = (uint8_t)(sub_offset[i] | sub_offset[i + 4] >> 4 << 6);
        s[i + 8] = (uint8_t)((sub[i + 4] & 15) | (sub_offset[i + 4] & 15) << 4);
    }
    if (store)
        return;
    uint32_t w[3]; /* four bytes at a time */
    memcpy(w, s, sizeof w);
    uint32_t factors[4] = {w[0] & 0x3f3f3f3fu, (w[2] & 0x0f0f0f0fu) | (w[0] >> 2 & 0x30303030u),
                           w[1] & 0x3f3f3f3fu,
                           (w[2] >> 4 & 0x0f0f0f0fu) | (w[1] >> 2 & 0x30303030u)};
    memcpy(bytes, factors, sizeof bytes);
    for (int i = 0; i < 8; i++) {
        sub[i] = bytes[i];
        sub_offset[i] = bytes[8 + i];
    }
}
SUPER(q4_k, "6-bit scales and minima of 32, f16 d and dmin of 256", 0, 63, 63, 0, 2)

static void q6_k_factors(uint8_t *block, int16_t *sub, int16_t *sub_offset, bool store)
{
    (void)sub_offset;
    for (int i = 0; i < 16; i++)
        if (store)
            block[192 + i] = (uint8_t)sub[i];
        else
            sub[i] = (int16_t)((block[192 + i] ^ 0x80) - 0x80);
}
SUPER(q6_k, "8-bit scales of 16, f16 d of 256", -128, 127, 0, 208, -1)

/* Low nibbles: bytes 4-7, two scales in each; high pairs: bytes 2 and 3. */
static void iq4_xs_factors(uint8_t *block, int16_t *sub, int16_t *sub_offset, bool store)
{
    (void)sub_offset;
    for (unsigned i = 0; i < 8; i++)
        if (store) {
            lb_field_put(block, 32 + 4 * i, 4, (unsigned)(sub[i] + 32) & 15u);
            lb_field_put(block, 16 + 2 * i, 2, (unsigned)(sub[i] + 32) >> 4);
        } else {
            sub[i] = (int16_t)((int)(lb_field_get(block, 32 + 4 * i, 4) |
                                     lb_field_get(block, 16 + 2 * i, 2) << 4) -
                               32);
        }
}
SUPER(iq4_xs, "6-bit scales of 32, f16 d of 256", -32, 31, 0, 0, -1)

/* ---- The canonical format -------------------------------------------------------------------- */

static uint64_t scale_count(const lb_form *f)
{
    return f->per_tensor ? 1 : N * G;
}
static uint64_t super_count(const lb_form *f)
{
    return f->super ? N * ((G + (unsigned)f->super - 1) / (unsigned)f->super) : 0;
}

static lb_status canon_type(const lb_stored *w, lb_part_id part, const char *name, int32_t *type)
{
    *type = w->part[part].type ? w->part[part].type : LB_TYPE_F32;
    if (!lb_type_is_float(*type))
        return lb_fail(LB_INVALID_ARGUMENT, "canon: %s are %s; f32, f16 and bf16 work", name,
                       lb_type_name(*type));
    return LB_OK;
}

static lb_status canon_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    uint64_t levels = 1u << f->bits;
    if (w->levels < 0 || (uint64_t)w->levels > levels)
        return lb_fail(LB_INVALID_ARGUMENT, "canon: levels %d; codes of %d bits have 1 to %" PRIu64,
                       w->levels, f->bits, levels);
    f->levels = w->levels ? w->levels : (int32_t)levels;
    if (w->zero < 0 || w->zero > 255)
        return lb_fail(LB_INVALID_ARGUMENT, "canon: zero %d; 0 to 255 work", w->zero);
    f->zero = w->zero;
    if (w->divisor < 0 || w->divisor > 65536)
        return lb_fail(LB_INVALID_ARGUMENT, "canon: divisor %d; 1 to 65536 work", w->divisor);
    f->divisor = w->divisor ? w->divisor : 1;
    if (w->super < 0 || w->super > 256 || (w->super && f->per_tensor))
        return lb_fail(LB_INVALID_ARGUMENT, "canon: super %d; 0 to 256 groups work%s", w->super,
                       f->per_tensor ? ", with one scale for the tensor 0" : "");
    f->super = w->super;
    bytes[LB_PART_CODES] = N * ((K * (unsigned)f->bits + 7) / 8);
    f->has_zeros = w->part[LB_PART_ZEROS].bytes != 0;
    if (f->has_zeros)
        bytes[LB_PART_ZEROS] = scale_count(f);
    bool offsets = w->part[LB_PART_OFFSETS].bytes != 0;
    if (f->super) {
        f->sub_min = -128;
        f->sub_max = 127;
        f->sub_offset_max = 255;
        LB_TRY(canon_type(w, LB_PART_SUPER, "super scales", &f->scale_type));
        bytes[LB_PART_SCALES] = N * G;
        bytes[LB_PART_SUPER] = super_count(f) * (unsigned)lb_type_bits(f->scale_type) / 8;
        if (offsets) {
            LB_TRY(canon_type(w, LB_PART_SUPER_OFFSETS, "super offsets", &f->offset_type));
            bytes[LB_PART_OFFSETS] = N * G;
            bytes[LB_PART_SUPER_OFFSETS] =
                super_count(f) * (unsigned)lb_type_bits(f->offset_type) / 8;
        }
    } else {
        LB_TRY(canon_type(w, LB_PART_SCALES, "scales", &f->scale_type));
        bytes[LB_PART_SCALES] = scale_count(f) * (unsigned)lb_type_bits(f->scale_type) / 8;
        if (offsets) {
            LB_TRY(canon_type(w, LB_PART_OFFSETS, "offsets", &f->offset_type));
            bytes[LB_PART_OFFSETS] = scale_count(f) * (unsigned)lb_type_bits(f->offset_type) / 8;
        }
    }
    if (w->part[LB_PART_ORDER].bytes) {
        f->order = w->part[LB_PART_ORDER].data;
        bytes[LB_PART_ORDER] = 4 * K;
    }
    if (w->part[LB_PART_TABLE].bytes) {
        f->levels_table = f->levels;
        bytes[LB_PART_TABLE] = (uint64_t)f->levels * 4;
        if (w->part[LB_PART_TABLE].data && w->part[LB_PART_TABLE].bytes >= bytes[LB_PART_TABLE])
            memcpy(f->table, w->part[LB_PART_TABLE].data, bytes[LB_PART_TABLE]);
    }
    return LB_OK;
}

static void canon_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    const lb_part *part = w->part;
    for (uint64_t j = 0; j < G; j++) {
        uint64_t i = f->per_tensor ? 0 : (uint64_t)n * G + j;
        if (f->has_zeros)
            row->zero[j] = ((const uint8_t *)part[LB_PART_ZEROS].data)[i];
        if (!f->super) {
            row->scale[j] = lb_float_at(part[LB_PART_SCALES].data, f->scale_type, i);
            if (f->offset_type)
                row->offset[j] = lb_float_at(part[LB_PART_OFFSETS].data, f->offset_type, i);
            continue;
        }
        uint64_t s = j / (unsigned)f->super, per = super_count(f) / N;
        row->sub[j] = (int16_t)((((const uint8_t *)part[LB_PART_SCALES].data)[i] ^ 0x80) - 0x80);
        row->super[s] = lb_float_at(part[LB_PART_SUPER].data, f->scale_type, (uint64_t)n * per + s);
        row->scale[j] = row->super[s] * row->sub[j];
        if (f->offset_type) {
            row->sub_offset[j] = ((const uint8_t *)part[LB_PART_OFFSETS].data)[i];
            row->super_offset[s] = lb_float_at(part[LB_PART_SUPER_OFFSETS].data, f->offset_type,
                                               (uint64_t)n * per + s);
            row->offset[j] = row->super_offset[s] * row->sub_offset[j];
        }
    }
}

static void canon_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    const lb_part *part = w->part;
    for (uint64_t j = 0; j < G; j++) {
        uint64_t i = f->per_tensor ? 0 : (uint64_t)n * G + j;
        if (f->has_zeros)
            ((uint8_t *)part[LB_PART_ZEROS].data)[i] = (uint8_t)row->zero[j];
        if (!f->super) {
            lb_set_float(part[LB_PART_SCALES].data, f->scale_type, i, row->scale[j]);
            if (f->offset_type)
                lb_set_float(part[LB_PART_OFFSETS].data, f->offset_type, i, row->offset[j]);
            continue;
        }
        uint64_t s = j / (unsigned)f->super, per = super_count(f) / N;
        ((int8_t *)part[LB_PART_SCALES].data)[i] = (int8_t)row->sub[j];
        lb_set_float(part[LB_PART_SUPER].data, f->scale_type, (uint64_t)n * per + s, row->super[s]);
        if (f->offset_type) {
            ((uint8_t *)part[LB_PART_OFFSETS].data)[i] = (uint8_t)row->sub_offset[j];
            lb_set_float(part[LB_PART_SUPER_OFFSETS].data, f->offset_type, (uint64_t)n * per + s,
                         row->super_offset[s]);
        }
    }
}
const lb_scheme lb_scheme_canon = {"scales [N][G] or [1]; zero points u8, offsets, super-scales, "
                                   "order and table where there are any",
                                   canon_describe, canon_load, canon_store};

/* ---- Dense floats ---------------------------------------------------------------------------- */

static lb_status dense_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    (void)w;
    f->scale_type = lb_type_parse(f->format->name, strlen(f->format->name));
    bytes[LB_PART_CODES] = N * K * (unsigned)lb_type_bits(f->scale_type) / 8;
    return LB_OK;
}
const lb_scheme lb_scheme_dense = {"the values themselves", dense_describe, NULL, NULL};
