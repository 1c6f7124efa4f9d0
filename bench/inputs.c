/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ARRAYS 15 /* as qb_inputs_make lists them */

/* ---- Random numbers -------------------------------------------------------------------------- */

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* About N(0, 1): four uniform numbers of 16 bits. */
static float normal(uint64_t *state)
{
    uint64_t r = next(state);
    uint64_t sum = (r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48);
    return ((float)sum - 2 * 65535.0f) / 37836.0f;
}

/* In [1/2, 2), even on a log scale; never a power of two in practice, so that every product rounds.
 */
static float factor(uint64_t *state)
{
    return exp2f((float)(next(state) >> 40) / 8388608.0f - 1.0f);
}

/* ---- Codes ----------------------------------------------------------------------------------- */

typedef struct range {
    int min, max; /* of the values */
    float sigma;  /* of normal data */
} range;

static range range_of(int32_t type)
{
    switch (type) {
    case LB_TYPE_S8: return (range){-128, 127, 36};
    case LB_TYPE_U8: return (range){0, 255, 36};
    case LB_TYPE_S4: return (range){-8, 7, 2.6f};
    case LB_TYPE_C4:
    case LB_TYPE_U4: return (range){0, 15, 2.6f};
    case LB_TYPE_S2: return (range){-2, 1, 0.9f};
    case LB_TYPE_C2:
    case LB_TYPE_U2: return (range){0, 3, 0.9f};
    case LB_TYPE_T2: return (range){-1, 1, 0.8f};
    case LB_TYPE_B1: return (range){-1, 1, 1};
    default: return (range){0, 0, 1};
    }
}

static unsigned code_of(int32_t type, int value)
{
    return (type == LB_TYPE_B1 ? value > 0 : (unsigned)value) & ((1u << lb_type_bits(type)) - 1u);
}

/* Codes by a random byte: normal data by their quantiles, extreme data the two ends. */
static void make_table(int32_t type, qb_data data, unsigned char *table)
{
    range r = range_of(type);
    double centre = r.min < 0 ? 0 : (r.max + 1) / 2.0;
    for (int i = 0; i < 256; i++) {
        int value = i & 1 ? r.max : r.min;
        if (type == LB_TYPE_B1 && data == QB_DATA_NORMAL) {
            value = i & 1 ? 1 : -1;
        } else if (data == QB_DATA_NORMAL) {
            double low = -4, high = 4, wanted = (i + 0.5) / 256;
            for (int step = 0; step < 40; step++) {
                double middle = (low + high) / 2;
                if (0.5 * erfc(-middle * 0.70710678118654752) < wanted)
                    low = middle;
                else
                    high = middle;
            }
            value = (int)lrint(centre + low * r.sigma);
            value = value < r.min ? r.min : value > r.max ? r.max : value;
        }
        table[i] = (unsigned char)code_of(type, value);
    }
}

/* Every field of an array, those between rows included. */
static void fill_codes(int32_t type, qb_data data, uint64_t *state, unsigned char *out,
                       size_t bytes)
{
    unsigned char table[256];
    int bits = lb_type_bits(type);
    uint64_t random = 0;
    make_table(type, data, table);
    if (bits == 1) {
        for (size_t i = 0; i < bytes; i++)
            out[i] = (unsigned char)(next(state) >> 32);
        return;
    }
    for (size_t i = 0, left = 0; i < bytes; i++) {
        unsigned byte = 0;
        for (int shift = 0; shift < 8; shift += bits, left--) {
            if (left == 0) {
                random = next(state);
                left = 8;
            }
            byte |= (unsigned)table[random & 255] << shift;
            random >>= 8;
        }
        out[i] = (unsigned char)byte;
    }
}

/* ---- Floats ---------------------------------------------------------------------------------- */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Stores element i; f16 and bf16 by truncation, small f16 as zero: it is random data. */
static void put_float(int32_t type, void *array, size_t i, float value)
{
    uint32_t bits = bits_of(value);
    if (type == LB_TYPE_F32) {
        ((uint32_t *)array)[i] = bits;
    } else if (type == LB_TYPE_BF16) {
        ((uint16_t *)array)[i] = (uint16_t)(bits >> 16);
    } else {
        int exponent = (int)(bits >> 23 & 255) - 127 + 15;
        unsigned sign = bits >> 16 & 0x8000u;
        unsigned magnitude = exponent <= 0   ? 0
                             : exponent > 30 ? 0x7bffu
                                             : (unsigned)exponent << 10 | (bits >> 13 & 0x3ffu);
        ((uint16_t *)array)[i] = (uint16_t)(sign | magnitude);
    }
}

static void fill_floats(int32_t type, float sigma, uint64_t *state, void *array, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_float(type, array, i, sigma * normal(state));
}

/* ---- Arrays ---------------------------------------------------------------------------------- */

static size_t elements(uint64_t bytes, int32_t type)
{
    return (size_t)(bytes * 8 / (unsigned)lb_type_bits(type));
}

static void fill_operand(const lb_operand *o, qb_data data, float sigma, uint64_t *state,
                         void *array, uint64_t bytes)
{
    if (o->type == LB_TYPE_S32)
        for (size_t i = 0; i < bytes / 4; i++)
            ((int32_t *)array)[i] = (int32_t)lrintf(1000 * normal(state));
    else if (lb_type_bits(o->type) < 16)
        fill_codes(o->type, data, state, array, (size_t)bytes);
    else
        fill_floats(o->type, sigma, state, array, elements(bytes, o->type));
}

/* NaN (all bits set) behind each row of a float matrix with a stride. */
static void spoil_gaps(const lb_operand *o, int64_t rows, int64_t columns, int64_t batch,
                       unsigned char *array, uint64_t bytes)
{
    int64_t size = lb_type_bits(o->type) / 8;
    if (lb_type_bits(o->type) < 16 || o->ld <= columns)
        return;
    int64_t stride = o->batch_stride ? o->batch_stride : rows * o->ld;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t r = 0; r + 1 < rows; r++) {
            uint64_t from = (uint64_t)((b * stride + r * o->ld + columns) * size);
            uint64_t length = (uint64_t)((o->ld - columns) * size);
            if (from + length <= bytes)
                memset(array + from, 0xff, length);
        }
}

static void fill_scales(int32_t type, float size, uint64_t *state, void *array, uint64_t bytes)
{
    for (size_t i = 0; i < elements(bytes, type); i++)
        put_float(type, array, i, size * factor(state));
}

static void fill_zeros(int32_t type, qb_data data, uint64_t *state, int32_t *array, uint64_t bytes)
{
    range r = range_of(type);
    for (size_t i = 0; i < bytes / 4; i++) {
        int value = next(state) & 1 ? r.max : r.min;
        if (data == QB_DATA_NORMAL)
            value = (int)lrintf((float)(r.min + r.max + 1) / 2 + r.sigma / 2 * normal(state));
        array[i] = value < r.min ? r.min : value > r.max ? r.max : value;
    }
}

/* The largest scale of two levels with which the values of all codes, and all zero points if there
   are some, stay within 8 bits. */
static int most_step(const lb_operand *b)
{
    range r = range_of(b->type);
    int low = b->zero ? r.max - r.min : -r.min, high = b->zero ? r.max - r.min : r.max;
    int most = 127 / high;
    return low && 128 / low < most ? 128 / low : most;
}

static void fill_steps(const lb_operand *b, qb_data data, uint64_t *state, uint8_t *array,
                       uint64_t bytes)
{
    unsigned most = (unsigned)most_step(b);
    for (size_t i = 0; i < bytes; i++) {
        uint64_t random = next(state) >> 32;
        array[i] = (uint8_t)(data == QB_DATA_EXTREME ? (random & 1 ? most : random >> 1 & 1)
                                                     : 1 + random % most);
    }
}

static float d_target(int32_t type)
{
    switch (type) {
    case LB_TYPE_S8:
    case LB_TYPE_U8: return 40;
    case LB_TYPE_S4:
    case LB_TYPE_U4: return 2.5f;
    case LB_TYPE_S32: return 1000;
    default: return 1;
    }
}

/* (value, shift) pairs that bring a deviation of `from` to `to`; extreme: ends of both ranges,
 * ties. */
static void fill_multipliers(double from, double to, qb_data data, uint64_t *state, int32_t *array,
                             uint64_t bytes)
{
    static const int32_t values[] = {0, 1, -1, 3, 1 << 30, INT32_MAX, INT32_MIN, -(1 << 30)};
    static const int32_t shifts[] = {0, 1, 2, 30, 31, 32, 61, 62};
    for (size_t i = 0; i + 1 < bytes / 4; i += 2) {
        uint64_t random = next(state);
        int exponent;
        double mantissa = frexp(to / from * (double)factor(state), &exponent);
        array[i] = (int32_t)(mantissa * 0x1p31);
        array[i + 1] = exponent > 31 ? 0 : 31 - exponent;
        if (data == QB_DATA_EXTREME) {
            array[i] = values[random & 7];
            array[i + 1] = shifts[random >> 3 & 7];
        }
    }
}

/* Thresholds of LB_ROUND_THRESHOLD for sums of deviation `sum`; extreme: of s32's ends. */
static void fill_thresholds(float sum, qb_data data, uint64_t *state, int32_t *array,
                            uint64_t bytes)
{
    for (size_t i = 0; i + 1 < bytes / 4; i += 2) {
        array[i] = (int32_t)lrintf(fminf(sum, 1e8f) * normal(state));
        if (data == QB_DATA_EXTREME)
            array[i] = next(state) & 1 ? INT32_MAX : INT32_MIN;
        array[i + 1] = (int32_t)(next(state) & 1);
    }
}

/* Biases that bring any sum to the ends of s32, and small odd ones, for ties. */
static void fill_extreme_bias(uint64_t *state, int32_t *array, size_t count)
{
    static const int32_t ends[] = {INT32_MAX, INT32_MIN, INT32_MAX - 1, 0, 1, -1, 3, -3};
    for (size_t i = 0; i < count; i++)
        array[i] = ends[next(state) & 7];
}

static bool is_fixed(const lb_problem *p)
{
    return p->rounding != LB_ROUND_EVEN && p->rounding != LB_ROUND_STOCHASTIC;
}

static void fill(qb_inputs *in, qb_data data, uint64_t seed, unsigned char *const *array)
{
    const lb_problem *p = &in->problem;
    const lb_sizes *s = &in->sizes;
    int64_t batch = p->batch ? p->batch : 1;
    uint64_t state = seed * 0x2545f4914f6cdd1du + 1;
    float a = range_of(p->a.type).sigma, root = sqrtf((float)(p->k ? p->k : 1));
    bool stepped = s->b_channel_scale != 0;
    float b = range_of(p->b.type).sigma * root * (stepped ? (float)most_step(&p->b) / 2 : 1);
    float sum = a * b,
          value = (p->a.scale ? 1 : a) * (p->b.scale ? 1 : b); /* standard deviations */
    float residual = range_of(p->residual.type).sigma;

    lb_operand a_codes = p->a; /* extreme ternary activations have the spare code, -2, too */
    if (p->a.type == LB_TYPE_T2 && data == QB_DATA_EXTREME)
        a_codes.type = LB_TYPE_S2;
    fill_operand(&a_codes, data, 1, &state, array[0], s->a);
    spoil_gaps(&p->a, p->m, p->k, batch, array[0], s->a);
    fill_scales(LB_TYPE_F32, 1 / a, &state, array[1], s->a_scale);
    fill_zeros(p->a.type, data, &state, (int32_t *)array[2], s->a_zero);
    fill_operand(&p->b, data, 1, &state, array[3], s->b);
    if (stepped)
        fill_steps(&p->b, data, &state, array[4], s->b_scale);
    else
        fill_scales(p->b.scale_type ? p->b.scale_type : LB_TYPE_F32, 1 / b, &state, array[4],
                    s->b_scale);
    fill_scales(LB_TYPE_F32, 1 / b, &state, array[14], s->b_channel_scale);
    fill_zeros(p->b.type, data, &state, (int32_t *)array[5], s->b_zero);
    if (p->rounding == LB_ROUND_THRESHOLD)
        fill_thresholds(sum, data, &state, (int32_t *)array[6], s->d_scale);
    else if (is_fixed(p))
        fill_multipliers((double)sum, (double)d_target(p->d.type), data, &state,
                         (int32_t *)array[6], s->d_scale);
    else
        fill_scales(LB_TYPE_F32, d_target(p->d.type) / value, &state, array[6], s->d_scale);
    fill_zeros(p->d.type, data, &state, (int32_t *)array[7], s->d_zero);
    if (p->bias == LB_TYPE_S32 && data == QB_DATA_EXTREME)
        fill_extreme_bias(&state, (int32_t *)array[8], s->bias / 4);
    else if (p->bias == LB_TYPE_S32)
        for (size_t i = 0; i < s->bias / 4; i++)
            ((int32_t *)array[8])[i] = (int32_t)lrintf(fminf(sum, 1e8f) * normal(&state));
    else if (p->bias)
        fill_floats(p->bias, value, &state, array[8], elements(s->bias, p->bias));
    if (p->residual.type) {
        fill_operand(&p->residual, data, value, &state, array[9], s->residual);
        spoil_gaps(&p->residual, p->m, p->n, batch, array[9], s->residual);
    }
    if (is_fixed(p))
        fill_multipliers((double)residual, (double)sum, data, &state, (int32_t *)array[10],
                         s->residual_scale);
    else
        fill_scales(LB_TYPE_F32, value / residual, &state, array[10], s->residual_scale);
    fill_zeros(p->residual.type, data, &state, (int32_t *)array[11], s->residual_zero);
    for (size_t i = 0; i < s->random / 8; i++)
        ((uint64_t *)array[12])[i] = next(&state);
    if (s->b_table)
        fill_floats(LB_TYPE_F32, range_of(p->b.type).sigma, &state, array[13], s->b_table / 4);
}

lb_status qb_inputs_make(const lb_problem *problem, qb_data data, uint64_t seed, qb_inputs *in)
{
    *in = (qb_inputs){.problem = *problem, .sizes = LB_SIZES_INIT, .host = LB_HOST_ARGS_INIT};
    lb_status status = lb_problem_sizes(problem, &in->sizes);
    if (status != LB_OK)
        return status;
    const lb_sizes *s = &in->sizes;
    const uint64_t bytes[ARRAYS] = {s->a,       s->a_scale,  s->a_zero,         s->b,
                                    s->b_scale, s->b_zero,   s->d_scale,        s->d_zero,
                                    s->bias,    s->residual, s->residual_scale, s->residual_zero,
                                    s->random,  s->b_table,  s->b_channel_scale};
    uint64_t total = 0;
    for (int i = 0; i < ARRAYS; i++)
        total += (bytes[i] + 63) / 64 * 64 + 64;
    in->memory = total > SIZE_MAX / 2 ? NULL : malloc((size_t)total);
    if (!in->memory)
        return LB_OUT_OF_MEMORY;
    unsigned char *array[ARRAYS], *at = in->memory;
    for (int i = 0; i < ARRAYS; i++, at += (bytes[i - 1] + 63) / 64 * 64 + 64)
        array[i] = at;
    fill(in, data, seed, array);
    in->host.a = array[0];
    in->host.a_scale = (const void *)array[1];
    in->host.a_zero = (const void *)array[2];
    in->host.b = array[3];
    in->host.b_scale = array[4];
    in->host.b_zero = (const void *)array[5];
    in->host.d_scale = array[6];
    in->host.d_zero = (const void *)array[7];
    in->host.bias = array[8];
    in->host.residual = array[9];
    in->host.residual_scale = array[10];
    in->host.residual_zero = (const void *)array[11];
    in->host.random = (const void *)array[12];
    in->host.b_table = (const void *)array[13];
    in->host.b_channel_scale = (const void *)array[14];
    return LB_OK;
}

void qb_inputs_free(qb_inputs *in)
{
    free(in->memory);
    in->memory = NULL;
}

lb_weights_source qb_inputs_weights(const qb_inputs *in)
{
    return (lb_weights_source){.struct_size = sizeof(lb_weights_source),
                               .codes = in->host.b,
                               .scales = in->host.b_scale,
                               .zeros = in->host.b_zero,
                               .tables = in->host.b_table,
                               .channel_scales = in->host.b_channel_scale};
}
