/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of every kind for quantisers, and one device's bytes against another's. */
#ifndef QUANTIZERS_H
#define QUANTIZERS_H

#include <math.h>

#include "check.h"
#include "rig.h"

enum { ROWS = 24, MOST = 4200 };

static const int32_t types[] = {LB_TYPE_S8, LB_TYPE_U8, LB_TYPE_S4, LB_TYPE_U4,
                                LB_TYPE_S2, LB_TYPE_U2, LB_TYPE_T2, LB_TYPE_B1};
static const int32_t x_types[] = {LB_TYPE_F32, LB_TYPE_F16, LB_TYPE_BF16};
static const int lengths[] = {1, 2, 7, 15, 16, 17, 33, 64, 100, 256, 299};

typedef struct result {
    unsigned char codes[ROWS * MOST];
    float scales[ROWS];
    int32_t zeros[ROWS], sums[ROWS];
} result;

/* f32 to the type, by truncation: the data need not be any particular numbers. */
static void store(int32_t type, void *array, int i, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (type == LB_TYPE_F32) {
        ((float *)array)[i] = value;
        return;
    }
    uint32_t sign = bits >> 16 & 0x8000, exponent = bits >> 23 & 255;
    uint16_t half = (uint16_t)(bits >> 16);
    if (type == LB_TYPE_F16)
        half = (uint16_t)(exponent == 255   ? sign | 0x7c00 | (bits & 0x7fffff ? 1 : 0)
                          : exponent > 142  ? sign | 0x7bff
                          : exponent <= 112 ? sign
                                            : sign | (exponent - 112) << 10 | (bits >> 13 & 0x3ff));
    ((uint16_t *)array)[i] = half;
}

/* Each row is of another kind. */
static float value_of(int row, int col, uint32_t *state)
{
    float x = (float)((int32_t)(rig_random(state) >> 8) - (1 << 23)) * 0x1p-23F;
    switch (row % 12) {
    case 0: return x;
    case 1: return fabsf(x);
    case 2: return 0;
    case 3: return col % 3 ? x : (float)(int)(x * 20) / 2; /* ties, when the largest fits */
    case 4: return col ? (float)(int)(x * 254) * 0.5F : 127;
    case 5: return x * 1e-37F;
    case 6: return x * 3e38F;
    case 7: return col == 1 ? NAN : x;
    case 8: return col == 0 ? INFINITY : x;
    case 9: return col == 2 ? -INFINITY : col == 3 ? INFINITY : x;
    case 10: return NAN;
    default: return 0.75F;
    }
}

static size_t size_of(int32_t type)
{
    return type == LB_TYPE_F32 ? 4 : 2;
}

static void fill(int32_t x_type, int ld, int cols, unsigned char *x)
{
    uint32_t state = (uint32_t)(cols * 31 + x_type);
    for (int row = 0; row < ROWS; row++)
        for (int col = 0; col < ld; col++)
            store(x_type, x, row * ld + col, col < cols ? value_of(row, col, &state) : NAN);
}

/* Weights of an RMSNorm: some of each sign, none, a denormal. */
static void fill_norm(int32_t type, void *weights)
{
    uint32_t state = 7;
    for (int i = 0; i < MOST; i++)
        store(type, weights, i, i % 9 == 5 ? 0 : i % 17 == 3 ? 1e-40F : 2 * value_of(0, i, &state));
}

static void run(lb_context *context, const lb_quant *q, const void *x, int ld, result *r)
{
    static float norm_weight[MOST];
    lb_quantizer *quantizer;
    lb_quantizer_args args = LB_QUANTIZER_ARGS_INIT;
    lb_ptr memory[6];
    uint64_t code_bytes;
    check_ok(lb_quant_bytes(q, &code_bytes));
    const struct {
        void *host;
        size_t bytes;
    } arrays[6] = {{(void *)(uintptr_t)x, (size_t)ROWS * (size_t)ld * size_of(q->x_type)},
                   {r->codes, (size_t)code_bytes},
                   {r->scales, sizeof r->scales},
                   {r->zeros, sizeof r->zeros},
                   {r->sums, sizeof r->sums},
                   {norm_weight, sizeof norm_weight}};
    memset(r, RIG_POISON, sizeof *r);
    check_ok(lb_quantizer_create(context, q, &quantizer));
    fill_norm(q->norm_type, norm_weight);
    for (int i = 0; i < 6; i++) {
        check_ok(lb_memory_alloc(context, arrays[i].bytes, &memory[i]));
        check_ok(lb_memory_write(context, memory[i], arrays[i].host, arrays[i].bytes, NULL));
    }
    args.x_ld = ld;
    args.x = memory[0];
    args.codes = memory[1];
    args.scales = memory[2];
    args.zeros = memory[3];
    args.sums = memory[4];
    if (q->norm_type)
        args.norm_weight = memory[5];
    check_ok(lb_quantizer_run(quantizer, &args, NULL));
    for (int i = 1; i < 5; i++)
        check_ok(lb_memory_read(context, arrays[i].host, memory[i], arrays[i].bytes, NULL));
    for (int i = 0; i < 6; i++)
        lb_memory_free(context, memory[i]);
    lb_quantizer_destroy(quantizer);
}

static lb_quant quant_of(int32_t type, int32_t scheme, int32_t x_type, int cols)
{
    lb_quant q = LB_QUANT_INIT;
    q.type = type;
    q.scheme = scheme;
    q.x_type = x_type;
    q.granularity = LB_PER_TOKEN;
    q.rows = ROWS;
    q.cols = cols;
    return q;
}

/* Calls visit(q, x, ld) for every combination. */
static int visit_all(void (*visit)(const lb_quant *q, const unsigned char *x, int ld))
{
    static unsigned char x[ROWS * (MOST + 5) * 4];
    int count = 0;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int scheme = 0; scheme <= LB_QUANT_ASYMMETRIC; scheme++)
            for (size_t xt = 0; xt < 3; xt++)
                for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                    lb_quant q = quant_of(types[t], scheme, x_types[xt], lengths[l]);
                    int ld = lengths[l] + (l % 2 ? 5 : 0);
                    if (scheme == LB_QUANT_ASYMMETRIC && types[t] >= LB_TYPE_T2)
                        continue;
                    fill(x_types[xt], ld, lengths[l], x);
                    visit(&q, x, ld);
                    count += ROWS;
                }
    return count;
}

/* The same for RMSNorms, whose sums go round all ways of adding once and more. */
static int visit_norms(void (*visit)(const lb_quant *q, const unsigned char *x, int ld))
{
    static unsigned char x[ROWS * (MOST + 5) * 4];
    static const int norm_lengths[] = {1, 17, 33, 299, 1024, 2047, 2048, 2051, 4099};
    static const int32_t coded[][2] = {{LB_TYPE_S8, LB_QUANT_FULL},
                                       {LB_TYPE_U8, LB_QUANT_ASYMMETRIC},
                                       {LB_TYPE_S4, LB_QUANT_SYMMETRIC},
                                       {LB_TYPE_T2, LB_QUANT_SYMMETRIC},
                                       {LB_TYPE_B1, LB_QUANT_SYMMETRIC}};
    int count = 0;
    for (size_t t = 0; t < sizeof coded / sizeof *coded; t++)
        for (size_t xt = 0; xt < 3; xt++)
            for (size_t l = 0; l < sizeof norm_lengths / sizeof *norm_lengths; l++) {
                lb_quant q = quant_of(coded[t][0], coded[t][1], x_types[xt], norm_lengths[l]);
                int ld = norm_lengths[l] + (l % 2 ? 5 : 0);
                q.norm_type = x_types[(xt + l + t) % 3];
                q.norm_epsilon = l % 2 ? 1e-5F : 1e-12F;
                fill(x_types[xt], ld, norm_lengths[l], x);
                visit(&q, x, ld);
                count += ROWS;
            }
    return count;
}

static lb_context *ref, *other;

static void compare_devices(const lb_quant *q, const unsigned char *x, int ld)
{
    static result expected, got;
    run(ref, q, x, ld, &expected);
    run(other, q, x, ld, &got);
    for (int row = 0; row < ROWS; row++)
        cr_assert(memcmp(&expected.scales[row], &got.scales[row], 4) == 0 &&
                      expected.zeros[row] == got.zeros[row] && expected.sums[row] == got.sums[row],
                  "type %d scheme %d x %d, %d columns, row %d: scale %a, not %a", q->type,
                  q->scheme, q->x_type, (int)q->cols, row, (double)got.scales[row],
                  (double)expected.scales[row]);
    cr_assert(memcmp(expected.codes, got.codes, sizeof got.codes) == 0,
              "type %d scheme %d x %d, %d columns: codes", q->type, q->scheme, q->x_type,
              (int)q->cols);
}

#endif
