/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How formats whose parts lie apart store their quantisation parameters: where scale and zero point
 * of row n and group j are. Blocks of ggml: format_blocks.c.
 */
#include <inttypes.h>

#include "format.h"
#include "format_memory.h"
#include "status.h"

#define N ((uint64_t)f->n)
#define K ((uint64_t)f->k)
#define G ((uint64_t)f->groups)
#define BITS ((uint64_t)f->bits)
#define ELEMENTS(count, type) ((count) * (unsigned)lb_type_bits(type) / 8)
#define EACH_GROUP(j) for (int64_t j = 0; j < f->groups; j++)

static bool has(const lb_stored *w, lb_part_id part)
{
    return w->part[part].bytes != 0;
}

/* The type of a part of floats: what the caller says, else `standard`. */
static lb_status float_type(const lb_stored *w, lb_part_id part, const char *name, int32_t standard,
                            int32_t *type)
{
    *type = w->part[part].type ? w->part[part].type : standard;
    if (!lb_type_is_float(*type))
        return lb_fail(LB_INVALID_ARGUMENT, "%s: %s are %s; f32, f16 and bf16 work", w->format,
                       name, lb_type_name(*type));
    return LB_OK;
}

static void order_part(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    if (!has(w, LB_PART_ORDER))
        return;
    f->order = w->part[LB_PART_ORDER].data;
    bytes[LB_PART_ORDER] = 4 * K;
}

static float scale_at(const lb_stored *w, const lb_form *f, uint64_t i)
{
    return lb_float_at(w->part[LB_PART_SCALES].data, f->scale_type, i);
}
static void set_scale(const lb_stored *w, const lb_form *f, uint64_t i, float value)
{
    lb_set_float(w->part[LB_PART_SCALES].data, f->scale_type, i, value);
}
static unsigned zero_at(const lb_stored *w, const lb_form *f, uint64_t bit)
{
    return lb_bits_get(w->part[LB_PART_ZEROS].data, bit, (unsigned)f->bits);
}
static void set_zero(const lb_stored *w, const lb_form *f, uint64_t bit, int zero)
{
    lb_bits_put(w->part[LB_PART_ZEROS].data, bit, (unsigned)f->bits, (unsigned)zero);
}

/* ---- GPTQ, AWQ: [G][N] ----------------------------------------------------------------------- */

static lb_status gptq_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(float_type(w, LB_PART_SCALES, "scales", LB_TYPE_F16, &f->scale_type));
    f->has_zeros = 1;
    bytes[LB_PART_CODES] = (K * BITS + 31) / 32 * N * 4;
    bytes[LB_PART_SCALES] = ELEMENTS(G * N, f->scale_type);
    bytes[LB_PART_ZEROS] = G * (N * BITS / 8);
    order_part(w, f, bytes);
    return LB_OK;
}
static lb_status gptq_v1_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    f->zero_biased = 1;
    return gptq_describe(w, f, bytes);
}
static void gptq_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    unsigned mask = (1u << f->bits) - 1u;
    EACH_GROUP(j)
    {
        uint64_t i = (uint64_t)j * N + (uint64_t)n;
        row->scale[j] = scale_at(w, f, i);
        row->zero[j] = (int16_t)((zero_at(w, f, i * BITS) + (unsigned)f->zero_biased) & mask);
    }
}
static void gptq_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    unsigned mask = (1u << f->bits) - 1u;
    EACH_GROUP(j)
    {
        uint64_t i = (uint64_t)j * N + (uint64_t)n;
        set_scale(w, f, i, row->scale[j]);
        set_zero(w, f, i * BITS, (int)((unsigned)(row->zero[j] - f->zero_biased) & mask));
    }
}
const lb_scheme lb_scheme_gptq = {"scales [G][N]; zero points less 1, packed along N: [G][N]",
                                  gptq_v1_describe, gptq_load, gptq_store};
const lb_scheme lb_scheme_gptq_v2 = {"scales [G][N]; zero points, packed along N: [G][N]",
                                     gptq_describe, gptq_load, gptq_store};

static uint64_t awq_zero_bit(const lb_form *f, int64_t j, int64_t n)
{
    static const uint8_t order[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return 32 * ((uint64_t)j * (N / 8) + (uint64_t)n / 8) + UINT64_C(4) * order[n % 8];
}
static lb_status awq_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(float_type(w, LB_PART_SCALES, "scales", LB_TYPE_F16, &f->scale_type));
    f->has_zeros = 1;
    bytes[LB_PART_CODES] = K * N / 2;
    bytes[LB_PART_SCALES] = ELEMENTS(G * N, f->scale_type);
    bytes[LB_PART_ZEROS] = G * N / 2;
    return LB_OK;
}
static void awq_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    {
        row->scale[j] = scale_at(w, f, (uint64_t)j * N + (uint64_t)n);
        row->zero[j] = (int16_t)zero_at(w, f, awq_zero_bit(f, j, n));
    }
}
static void awq_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    {
        set_scale(w, f, (uint64_t)j * N + (uint64_t)n, row->scale[j]);
        set_zero(w, f, awq_zero_bit(f, j, n), row->zero[j]);
    }
}
const lb_scheme lb_scheme_awq = {"scales [G][N]; zero points [G][N], in the codes' order",
                                 awq_describe, awq_load, awq_store};

/* "scaled_zeros" hold minus zero times scale, rounded: an offset with the other sign. */
static lb_status awq_v2_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(float_type(w, LB_PART_SCALES, "scales", LB_TYPE_F16, &f->scale_type));
    LB_TRY(float_type(w, LB_PART_OFFSETS, "scaled zeros", f->scale_type, &f->offset_type));
    bytes[LB_PART_CODES] = K * N / 2;
    bytes[LB_PART_SCALES] = ELEMENTS(G * N, f->scale_type);
    bytes[LB_PART_OFFSETS] = ELEMENTS(G * N, f->offset_type);
    return LB_OK;
}
static void awq_v2_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    {
        uint64_t i = (uint64_t)j * N + (uint64_t)n;
        row->scale[j] = scale_at(w, f, i);
        row->offset[j] = -lb_float_at(w->part[LB_PART_OFFSETS].data, f->offset_type, i);
    }
}
static void awq_v2_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    {
        uint64_t i = (uint64_t)j * N + (uint64_t)n;
        set_scale(w, f, i, row->scale[j]);
        lb_set_float(w->part[LB_PART_OFFSETS].data, f->offset_type, i, -row->offset[j]);
    }
}
const lb_scheme lb_scheme_awq_v2 = {
    "scales [G][N]; minus zero times scale (\"scaled_zeros\") [G][N]", awq_v2_describe, awq_v2_load,
    awq_v2_store};

/* ---- [N][G] ---------------------------------------------------------------------------------- */

static lb_status scales_ng(const lb_stored *w, lb_form *f, int32_t standard, uint64_t *bytes)
{
    LB_TRY(float_type(w, LB_PART_SCALES, "scales", standard, &f->scale_type));
    bytes[LB_PART_SCALES] = ELEMENTS(f->per_tensor ? 1 : N * G, f->scale_type);
    return LB_OK;
}
static uint64_t scale_index(const lb_form *f, int64_t n, int64_t j)
{
    return f->per_tensor ? 0 : (uint64_t)n * G + (uint64_t)j;
}
static void scales_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    row->scale[j] = scale_at(w, f, scale_index(f, n, j));
}
static void scales_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    set_scale(w, f, scale_index(f, n, j), row->scale[j]);
}

/* Zero points packed along N, eight (at 4 bits) rows to a word: [ceil(N bits / 32)][G]. */
static void ct_zero_place(const lb_form *f, int64_t n, int64_t j, unsigned i, uint64_t *bit)
{
    uint64_t at = (uint64_t)n * BITS + i;
    *bit = 32 * (at / 32 * G + (uint64_t)j) + at % 32;
}
static lb_status ct_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(scales_ng(w, f, LB_TYPE_BF16, bytes));
    bytes[LB_PART_CODES] = N * ((K * BITS + 31) / 32) * 4;
    f->has_zeros = has(w, LB_PART_ZEROS);
    if (f->has_zeros && f->per_tensor)
        return lb_fail(LB_UNSUPPORTED, "%s: zero points with one scale for the tensor", w->format);
    if (f->has_zeros)
        bytes[LB_PART_ZEROS] = (N * BITS + 31) / 32 * G * 4;
    order_part(w, f, bytes);
    return LB_OK;
}
static void ct_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    scales_load(w, f, n, row);
    for (int64_t j = 0; f->has_zeros && j < f->groups; j++) {
        unsigned zero = 0;
        for (unsigned i = 0; i < (unsigned)f->bits; i++) { /* a field may straddle words */
            uint64_t bit;
            ct_zero_place(f, n, j, i, &bit);
            zero |= lb_bits_get(w->part[LB_PART_ZEROS].data, bit, 1) << i;
        }
        row->zero[j] = (int16_t)zero;
    }
}
static void ct_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    scales_store(w, f, n, row);
    for (int64_t j = 0; f->has_zeros && j < f->groups; j++)
        for (unsigned i = 0; i < (unsigned)f->bits; i++) {
            uint64_t bit;
            ct_zero_place(f, n, j, i, &bit);
            lb_bits_put(w->part[LB_PART_ZEROS].data, bit, 1, (unsigned)row->zero[j] >> i & 1u);
        }
}
const lb_scheme lb_scheme_ct = {
    "scales [N][G] or [1]; zero points, if any, packed along N: [N bits / 32][G] words",
    ct_describe, ct_load, ct_store};

static lb_status ct_int8_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    bytes[LB_PART_CODES] = N * K;
    return scales_ng(w, f, LB_TYPE_BF16, bytes);
}
const lb_scheme lb_scheme_ct_int8 = {"scales [N][G] or [1]", ct_int8_describe, scales_load,
                                     scales_store};

static lb_status nbits_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(scales_ng(w, f, LB_TYPE_F32, bytes));
    if (f->per_tensor || f->group < 16 || (f->group & (f->group - 1)))
        return lb_fail(LB_INVALID_ARGUMENT, "%s: block size %" PRId64 "; a power of two from 16 on",
                       w->format, f->per_tensor ? -1 : f->group);
    bytes[LB_PART_CODES] = N * G * ((uint64_t)f->group * BITS / 8);
    f->has_zeros = has(w, LB_PART_ZEROS);
    if (f->has_zeros)
        bytes[LB_PART_ZEROS] = N * ((G * BITS + 7) / 8);
    return LB_OK;
}
static uint64_t nbits_zero_bit(const lb_form *f, int64_t n, int64_t j)
{
    return 8 * (uint64_t)n * ((G * BITS + 7) / 8) + BITS * (uint64_t)j;
}
static void nbits_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    scales_load(w, f, n, row);
    for (int64_t j = 0; f->has_zeros && j < f->groups; j++)
        row->zero[j] = (int16_t)zero_at(w, f, nbits_zero_bit(f, n, j));
}
static void nbits_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    scales_store(w, f, n, row);
    for (int64_t j = 0; f->has_zeros && j < f->groups; j++)
        set_zero(w, f, nbits_zero_bit(f, n, j), row->zero[j]);
}
const lb_scheme lb_scheme_nbits = {
    "scales [N][G]; zero points, if any, [N][ceil(G bits / 8)] bytes", nbits_describe, nbits_load,
    nbits_store};

/* ---- Marlin: permuted scales ----------------------------------------------------------------- */

static lb_status marlin_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(float_type(w, LB_PART_SCALES, "scales", LB_TYPE_F16, &f->scale_type));
    bytes[LB_PART_CODES] = K * N / 2;
    bytes[LB_PART_SCALES] = ELEMENTS(G * N, f->scale_type);
    return LB_OK;
}
static uint64_t marlin_scale_index(const lb_form *f, int64_t n, int64_t j)
{
    uint64_t c = (uint64_t)n;
    if (f->groups > 1)
        return (uint64_t)j * N + c / 64 * 64 + 8 * (c % 8) + c % 64 / 8;
    return c / 32 * 32 + 8 * (c % 8 / 2) + (c & 1) + 2 * (c % 32 / 8);
}
static void marlin_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    row->scale[j] = scale_at(w, f, marlin_scale_index(f, n, j));
}
static void marlin_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    EACH_GROUP(j)
    set_scale(w, f, marlin_scale_index(f, n, j), row->scale[j]);
}
const lb_scheme lb_scheme_marlin = {"scales [G][N], permuted within 64 (per row: within 32) of N",
                                    marlin_describe, marlin_load, marlin_store};

/* ---- bitsandbytes ---------------------------------------------------------------------------- */

static lb_status bnb4_table(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    if (f->per_tensor || K % (uint64_t)f->group)
        return lb_fail(LB_UNSUPPORTED,
                       "%s: blocks of %" PRId64 " cross rows of k %" PRId64
                       "; the block size must divide k",
                       w->format, f->group, f->k);
    bytes[LB_PART_CODES] = (N * K + 1) / 2;
    if (!has(w, LB_PART_TABLE))
        return LB_OK; /* the format's own */
    bytes[LB_PART_TABLE] = UINT64_C(64);
    if (w->part[LB_PART_TABLE].bytes >= 64 && w->part[LB_PART_TABLE].data)
        memcpy(f->table, w->part[LB_PART_TABLE].data, 64);
    return LB_OK;
}
static lb_status bnb4_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(bnb4_table(w, f, bytes));
    return scales_ng(w, f, LB_TYPE_F32, bytes);
}
const lb_scheme lb_scheme_bnb4 = {"absmax [N][K / block]; the table may come with the file",
                                  bnb4_describe, scales_load, scales_store};

static lb_status bnb4_double_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(bnb4_table(w, f, bytes));
    f->scale_type = LB_TYPE_F32;
    bytes[LB_PART_SCALES] = N * G;
    bytes[LB_PART_SUPER] = (N * G + 255) / 256 * 4;
    bytes[LB_PART_SUPER_OFFSETS] = 4;
    bytes[LB_PART_SCALE_TABLE] = UINT64_C(1024);
    return LB_OK;
}
static void bnb4_double_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    float offset = lb_float_at(w->part[LB_PART_SUPER_OFFSETS].data, LB_TYPE_F32, 0);
    EACH_GROUP(j)
    {
        uint64_t i = (uint64_t)n * G + (uint64_t)j;
        uint8_t code = ((const uint8_t *)w->part[LB_PART_SCALES].data)[i];
        float value = lb_float_at(w->part[LB_PART_SCALE_TABLE].data, LB_TYPE_F32, code);
        float product = value * lb_float_at(w->part[LB_PART_SUPER].data, LB_TYPE_F32, i / 256);
        row->scale[j] = product + offset;
    }
}
const lb_scheme lb_scheme_bnb4_double = {
    "absmax as 8-bit codes of a table, times one f32 per 256 of them, plus one offset",
    bnb4_double_describe, bnb4_double_load, NULL};

static lb_status bnb8_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    LB_TRY(scales_ng(w, f, LB_TYPE_F32, bytes));
    if (f->groups > 1 || f->per_tensor)
        return lb_fail(LB_UNSUPPORTED, "%s: has one scale per row, not groups of %" PRId64,
                       w->format, f->per_tensor ? -1 : f->group);
    f->divisor = 127;
    bytes[LB_PART_CODES] = N * K;
    return LB_OK;
}
const lb_scheme lb_scheme_bnb8 = {"SCB [N], the largest magnitude: scale = SCB / 127",
                                  bnb8_describe, scales_load, scales_store};

/* ---- BitNet, Larq ---------------------------------------------------------------------------- */

/* One f32 behind the codes; the tail has 32 bytes. */
static lb_status i2_s_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    (void)w;
    f->per_tensor = 1;
    f->group = f->k > 0 ? f->k : 1;
    f->groups = f->k > 0;
    f->scale_type = LB_TYPE_F32;
    bytes[LB_PART_CODES] = N * K / 4 + 32;
    return LB_OK;
}
static void i2_s_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    (void)n;
    memcpy(row->scale, (const char *)w->part[LB_PART_CODES].data + N * K / 4, sizeof *row->scale);
}
static void i2_s_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    if (n > 0)
        return;
    char *tail = (char *)w->part[LB_PART_CODES].data + N * K / 4;
    memset(tail, 0, 32);
    memcpy(tail, row->scale, sizeof *row->scale);
}
const lb_scheme lb_scheme_i2_s = {"one f32 behind the codes, in a tail of 32 bytes", i2_s_describe,
                                  i2_s_load, i2_s_store};

static lb_status hf_bitnet_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    f->per_tensor = 1;
    f->group = f->k > 0 ? f->k : 1;
    f->groups = f->k > 0;
    bytes[LB_PART_CODES] = N * K / 4;
    return scales_ng(w, f, LB_TYPE_BF16, bytes);
}
static lb_status hf_bitnet_div_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    f->reciprocal = 1;
    return hf_bitnet_describe(w, f, bytes);
}
static void reciprocal_load(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    (void)n;
    row->scale[0] = 1.0f / scale_at(w, f, 0);
}
static void reciprocal_store(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row)
{
    if (n == 0)
        set_scale(w, f, 0, 1.0f / row->scale[0]);
}
const lb_scheme lb_scheme_hf_bitnet = {"weight_scale [1], a factor (AutoBitLinear)",
                                       hf_bitnet_describe, scales_load, scales_store};
const lb_scheme lb_scheme_hf_bitnet_div = {"weight_scale [1], a divisor (BitLinear)",
                                           hf_bitnet_div_describe, reciprocal_load,
                                           reciprocal_store};

/* One scale per row here; the original's few segments of N repeat theirs. */
static lb_status bitnet_gpu_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    if (f->groups > 1)
        return lb_fail(LB_UNSUPPORTED, "%s: has no groups along k", w->format);
    bytes[LB_PART_CODES] = N * K / 4;
    return scales_ng(w, f, LB_TYPE_BF16, bytes);
}
const lb_scheme lb_scheme_bitnet_gpu = {"scales [N] or [1]", bitnet_gpu_describe, scales_load,
                                        scales_store};

static lb_status larq_describe(const lb_stored *w, lb_form *f, uint64_t *bytes)
{
    if (f->groups > 1)
        return lb_fail(LB_UNSUPPORTED, "%s: has no groups along k", w->format);
    bytes[LB_PART_CODES] = N * ((K + 31) / 32) * 4;
    return scales_ng(w, f, LB_TYPE_F32, bytes);
}
const lb_scheme lb_scheme_larq = {"scales [N] or [1]", larq_describe, scales_load, scales_store};
