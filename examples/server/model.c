/* SPDX-License-Identifier: Apache-2.0 */
/* The network: per layer, activations to s8 per token on the device, then one product. Every
 * problem is exact, so that all devices and all batch sizes give the same bits. */
#include <stdio.h>
#include <stdlib.h>

#include "server.h"

const int bucket_rows[BUCKETS] = {1, 4, 16, MOST_ROWS};

static const struct {
    const char *line;
    int32_t type, method;
    int n, k;
} layers[LAYERS] = {
    {"s8.token*s4.channel->f32 m%d n%d k%d +bias +relu", LB_TYPE_S4, LB_WEIGHTS_NEAREST, HIDDEN,
     FEATURES},
    {"s8.token*t2.channel->f32 m%d n%d k%d +bias +relu", LB_TYPE_T2, LB_WEIGHTS_ABSMEAN, HIDDEN,
     HIDDEN},
    {"s8.token*s8.channel->f32 m%d n%d k%d +bias", LB_TYPE_S8, LB_WEIGHTS_NEAREST, ANSWERS, HIDDEN},
};

/* ---- Making ---------------------------------------------------------------------------------- */

static float noise(uint32_t *seed) /* -1 to 1 */
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) * 0x1p-23f - 1;
}

static lb_status make_plan(model *m, int layer, int bucket, const char *layout)
{
    char line[96];
    lb_problem problem;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    snprintf(line, sizeof line, layers[layer].line, bucket_rows[bucket], layers[layer].n,
             layers[layer].k);
    desc.layout = layout;
    TRY(lb_problem_parse(line, &problem));
    TRY(lb_plan_create(m->context, &problem, &desc, &m->plan[layer][bucket]));
    TRY(lb_plan_get_info(m->plan[layer][bucket], &info));
    if (info.workspace_bytes > m->workspace)
        m->workspace = (size_t)info.workspace_bytes;
    if (bucket == BUCKETS - 1)
        m->weights_bytes += info.weights_bytes;
    return LB_OK;
}

/* `memory` holds the weights, then their codes. */
static lb_status make_weights(model *m, int layer, float *memory)
{
    float scales[HIDDEN], bias[HIDDEN];
    uint32_t seed = 1 + (uint32_t)layer;
    lb_quant quant = LB_QUANT_INIT;
    int n = layers[layer].n, count = n * layers[layer].k;
    quant.type = layers[layer].type;
    quant.granularity = LB_PER_CHANNEL;
    quant.rows = n;
    quant.cols = layers[layer].k;
    for (int i = 0; i < count; i++)
        memory[i] = noise(&seed);
    for (int i = 0; i < n; i++)
        bias[i] = noise(&seed);
    void *codes = memory + count;
    TRY(lb_quantize_weights(&quant, layers[layer].method, memory, codes, scales, NULL));
    lb_weights_source source = {.struct_size = sizeof source, .codes = codes, .scales = scales};
    TRY(lb_weights_create(m->plan[layer][BUCKETS - 1], &source, &m->weights[layer]));
    TRY(lb_memory_alloc(m->context, (size_t)n * sizeof *bias, &m->bias[layer]));
    return lb_memory_write(m->context, m->bias[layer], bias, (size_t)n * sizeof *bias, NULL);
}

/* Plans of one layer share its weights: those for fewer rows take the layout that is there. */
static lb_status make_layer(model *m, int layer, float *memory)
{
    lb_quant tokens = LB_QUANT_INIT;
    tokens.type = LB_TYPE_S8;
    tokens.granularity = LB_PER_TOKEN;
    tokens.rows = MOST_ROWS;
    tokens.cols = layers[layer].k;
    TRY(lb_quantizer_create(m->context, &tokens, &m->quantizer[layer]));
    TRY(make_plan(m, layer, BUCKETS - 1, NULL));
    TRY(make_weights(m, layer, memory));
    for (int b = 0; b < BUCKETS - 1; b++)
        TRY(make_plan(m, layer, b, lb_weights_layout(m->weights[layer])));
    return LB_OK;
}

lb_status model_open(const char *device, model *m)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = device;
    *m = (model){0};
    TRY(lb_context_create(&desc, &m->context));
    float *memory = malloc(sizeof *memory * HIDDEN * HIDDEN * 5 / 4);
    lb_status status = memory ? LB_OK : LB_OUT_OF_MEMORY;
    for (int l = 0; l < LAYERS && status == LB_OK; l++)
        status = make_layer(m, l, memory);
    free(memory);
    return status;
}

void model_close(model *m)
{
    for (int l = 0; l < LAYERS; l++) {
        for (int b = 0; b < BUCKETS; b++)
            lb_plan_destroy(m->plan[l][b]);
        lb_weights_destroy(m->weights[l]);
        lb_quantizer_destroy(m->quantizer[l]);
        if (m->bias[l].base)
            lb_memory_free(m->context, m->bias[l]);
    }
    lb_context_destroy(m->context);
}

/* ---- Running --------------------------------------------------------------------------------- */

lb_status lane_open(const model *m, lane *l)
{
    *l = (lane){.model = m};
    TRY(lb_stream_create(m->context, 0, &l->stream));
    for (int i = 0; i < 2; i++)
        TRY(lb_memory_alloc(m->context, sizeof(float) * MOST_ROWS * HIDDEN, &l->x[i]));
    TRY(lb_memory_alloc(m->context, (size_t)MOST_ROWS * HIDDEN, &l->codes));
    TRY(lb_memory_alloc(m->context, sizeof(float) * MOST_ROWS, &l->scales));
    return lb_memory_alloc(m->context, m->workspace, &l->workspace);
}

void lane_close(lane *l)
{
    lb_ptr memory[] = {l->x[0], l->x[1], l->codes, l->scales, l->workspace};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i].base)
            lb_memory_free(l->model->context, memory[i]);
    if (l->stream)
        lb_stream_destroy(l->model->context, l->stream);
}

int bucket_of(int rows)
{
    int b = 0;
    while (bucket_rows[b] < rows)
        b++;
    return b;
}

lb_status lane_run(const lane *l, const float *in, int rows, float *out)
{
    const model *m = l->model;
    int bucket = bucket_of(rows);
    TRY(lb_memory_write(m->context, l->x[0], in, sizeof *in * (size_t)rows * FEATURES, l->stream));
    for (int i = 0; i < LAYERS; i++) {
        lb_quantizer_args quantize = LB_QUANTIZER_ARGS_INIT;
        lb_args args = LB_ARGS_INIT;
        quantize.rows = rows;
        quantize.x = l->x[i % 2];
        quantize.codes = l->codes;
        quantize.scales = l->scales;
        args.m = rows;
        args.weights = m->weights[i];
        args.a = l->codes;
        args.a_scale = l->scales;
        args.bias = m->bias[i];
        args.d = l->x[(i + 1) % 2];
        args.workspace = l->workspace;
        args.workspace_bytes = m->workspace;
        TRY(lb_quantizer_run(m->quantizer[i], &quantize, l->stream));
        TRY(lb_run(m->plan[i][bucket], &args, l->stream));
    }
    return lb_memory_read(m->context, out, l->x[LAYERS % 2], sizeof *out * (size_t)rows * ANSWERS,
                          l->stream);
}
