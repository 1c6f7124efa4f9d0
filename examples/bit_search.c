/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixed precision without guesswork: for every layer the signal-to-noise ratio of its weights in
 * each candidate format and the predicted time of its product; then, from the best format
 * everywhere, the change that costs the least quality per second saved, until the time fits the
 * budget.
 *
 *     bit_search [BUDGET]    share of the time of the best formats (0.7)
 */
#include <lowbit/lowbit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call)                                                                                  \
    if ((call) != LB_OK)                                                                           \
    return fprintf(stderr, "bit_search: %s\n", lb_last_error()), 2

enum { LAYERS = 4, FORMATS = 4, TOKENS = 1 };

static const struct {
    const char *name, *line;
    int32_t type, method, granularity, group;
} formats[FORMATS] = {
    {"s8", "s8.token*s8.channel->f16", LB_TYPE_S8, LB_WEIGHTS_NEAREST, LB_PER_CHANNEL, 0},
    {"s4 by 64", "s8.token*s4.g64->f16", LB_TYPE_S4, LB_WEIGHTS_NEAREST, LB_PER_GROUP, 64},
    {"s4", "s8.token*s4.channel->f16", LB_TYPE_S4, LB_WEIGHTS_NEAREST, LB_PER_CHANNEL, 0},
    {"ternary", "s8.token*t2.channel->f16", LB_TYPE_T2, LB_WEIGHTS_ABSMEAN, LB_PER_CHANNEL, 0},
};

/* Sizes of layers, and how often a weight is an outlier (in 1000): what makes some layers
 * sensitive. */
static const struct {
    int64_t n, k;
    unsigned outliers;
} layers[LAYERS] = {{512, 512, 0}, {1024, 512, 2}, {512, 1024, 20}, {256, 512, 100}};

/* Of the layer at hand: its weights, and what a format makes of them. */
#define MOST (1024 * 512)
static float w[MOST], back[MOST], scales[MOST / 64];
static unsigned char codes[MOST];

static void make_weights(int64_t count, unsigned outliers, uint32_t seed)
{
    for (int64_t i = 0; i < count; i++) {
        float sum = 0;
        for (int j = 0; j < 4; j++) {
            seed = seed * 1664525u + 1013904223u;
            sum += (float)(seed >> 8) * 0x1p-24f - 0.5f;
        }
        w[i] = sum * (seed % 1000 < outliers ? 8 : 1);
    }
}

/* 10 log10 of signal over noise. */
static int measure(int layer, int format, double *decibel)
{
    lb_quant q = LB_QUANT_INIT;
    int64_t count = layers[layer].n * layers[layer].k;
    double signal = 0, noise = 0;
    q.type = formats[format].type;
    q.granularity = formats[format].granularity;
    q.group = formats[format].group;
    q.rows = layers[layer].n;
    q.cols = layers[layer].k;
    TRY(lb_quantize_weights(&q, formats[format].method, w, codes, scales, NULL));
    TRY(lb_dequantize(&q, codes, scales, NULL, back));
    for (int64_t i = 0; i < count; i++) {
        signal += (double)w[i] * (double)w[i];
        noise += ((double)w[i] - (double)back[i]) * ((double)w[i] - (double)back[i]);
    }
    *decibel = 10 * log10(signal / noise);
    return 0;
}

int main(int count, char **words)
{
    char *end = NULL;
    double budget = count > 1 ? strtod(words[1], &end) : 0.7, quality[LAYERS][FORMATS], total = 0;
    lb_prediction cost[LAYERS][FORMATS] = {{LB_PREDICTION_INIT}};
    lb_context *context;
    int chosen[LAYERS];
    if (end && (*end || end == words[1] || !(budget > 0)))
        return fprintf(stderr, "bit_search: '%s' is no share of the time; try 0.7\n", words[1]), 2;
    TRY(lb_context_create(NULL, &context));
    for (int l = 0; l < LAYERS; l++) {
        lb_problem problems[FORMATS];
        make_weights(layers[l].n * layers[l].k, layers[l].outliers, 1 + (uint32_t)l);
        chosen[l] = 0;
        for (int f = 0; f < FORMATS; f++) {
            char line[96];
            snprintf(line, sizeof line, "%s m%d n%lld k%lld", formats[f].line, TOKENS,
                     (long long)layers[l].n, (long long)layers[l].k);
            TRY(lb_problem_parse(line, &problems[f]));
            if (measure(l, f, &quality[l][f]))
                return 2;
            if (quality[l][f] > quality[l][chosen[l]])
                chosen[l] = f;
        }
        cost[l][0].struct_size = sizeof cost[l][0];
        TRY(lb_predict(context, problems, FORMATS, cost[l]));
        for (int f = 0; f < FORMATS; f++) {
            if (cost[l][f].status)
                return fprintf(stderr, "bit_search: no kernel for %s\n", formats[f].line), 2;
            printf("layer %d  %-9s %6.1f dB %9.2f us %9llu bytes  %s%s\n", l, formats[f].name,
                   quality[l][f], cost[l][f].seconds * 1e6,
                   (unsigned long long)cost[l][f].weights_bytes, cost[l][f].kernel,
                   cost[l][f].measured ? ", measured" : "");
        }
        total += cost[l][chosen[l]].seconds;
    }
    double limit = total * budget;
    while (total > limit) {
        int layer = -1, format = 0;
        double least = INFINITY;
        for (int l = 0; l < LAYERS; l++)
            for (int f = 0; f < FORMATS; f++) {
                double saved = cost[l][chosen[l]].seconds - cost[l][f].seconds;
                double price = (quality[l][chosen[l]] - quality[l][f]) / saved;
                if (saved > 0 && price < least) {
                    least = price;
                    layer = l;
                    format = f;
                }
            }
        if (layer < 0) {
            printf("no choice is within %.2f us\n", limit * 1e6);
            break;
        }
        total += cost[layer][format].seconds - cost[layer][chosen[layer]].seconds;
        chosen[layer] = format;
    }
    printf("budget %.2f us, predicted %.2f us:", limit * 1e6, total * 1e6);
    for (int l = 0; l < LAYERS; l++)
        printf(" %s%s", formats[chosen[l]].name, l + 1 < LAYERS ? "," : "\n");
    lb_context_destroy(context);
    return 0;
}
