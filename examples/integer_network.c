/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of four layers in integers alone, from u8 features to s32 logits: 8-, 4- and 2-bit
 * weights, a residual, three ways of rounding, no float between the layers. Weights come from a
 * fixed seed. It runs on the reference and on the best device; every layer must give the same bits,
 * and the exit code says whether it did.
 */
#include <lowbit/lowbit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY(call)                                                                                  \
    if ((call) != LB_OK)                                                                           \
    return fprintf(stderr, "integer_network: %s\n", lb_last_error()), 2

enum { SAMPLES = 16, FEATURES = 64, WIDTH = 96, CLASSES = 10, LAYERS = 4 };

typedef struct layer {
    const char *line;
    double sum; /* about the deviation of its sums, */
    double out; /* and of its outputs: their ratio is the multiplier */
    int32_t a_zero, d_zero, residual_zero;
    int adds_first; /* the residual is the first layer's output */
} layer;

static const layer network[LAYERS] = {
    {"u8.z*s8->u8.tensor.z m16 n96 k64 +bias.s32 +relu +round=gemmlowp", 37000, 40, 128, 10, 0, 0},
    {"u8.z*s4->s8.tensor m16 n96 k96 +bias.s32 +res.u8.tensor.z +round=dyadic", 1800, 30, 10, 0, 10,
     1},
    {"s8*t2->s4.tensor m16 n96 k96 +bias.s32 +relu +round=fixed", 240, 3, 0, 0, 0, 0},
    {"s4*s8->s32 m16 n10 k96 +bias.s32", 1, 1, 0, 0, 0, 0},
};

static uint32_t random_word(uint32_t *state) /* xorshift32 (G. Marsaglia, 2003) */
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* One layer's product. All arrays are in host memory; each layer begins where the one before ended.
 */
static int run_layer(lb_context *context, const layer *l, uint32_t seed, void *in, void *first,
                     void *out)
{
    lb_problem problem;
    lb_sizes sizes = LB_SIZES_INIT;
    lb_plan *plan;
    lb_weights *weights;
    lb_args args = LB_ARGS_INIT;
    lb_multiplier scale, residual_scale;
    int32_t bias[WIDTH], a_zero = l->a_zero, d_zero = l->d_zero, residual_zero = l->residual_zero;
    static unsigned char codes[WIDTH * WIDTH];

    TRY(lb_problem_parse(l->line, &problem));
    TRY(lb_problem_sizes(&problem, &sizes));
    for (uint64_t i = 0; i < sizes.b; i++) {
        unsigned code = random_word(&seed) >> 24;
        codes[i] = (unsigned char)(problem.b.type == LB_TYPE_T2 ? code | (code >> 1 & 0x55)
                                                                : code); /* 2 is no code */
    }
    for (int64_t n = 0; n < problem.n; n++)
        bias[n] = (int32_t)(random_word(&seed) % (2 * (uint32_t)l->sum + 1)) - (int32_t)l->sum;
    if (problem.rounding) {
        TRY(lb_multiplier_make(l->out / l->sum, problem.rounding, &scale));
        TRY(lb_multiplier_make(l->sum / 40, problem.rounding,
                               &residual_scale)); /* into units of the sum */
    }
    TRY(lb_plan_create(context, &problem, NULL, &plan));
    TRY(lb_weights_create(
        plan, &(lb_weights_source){.struct_size = sizeof(lb_weights_source), .codes = codes},
        &weights));
    args.weights = weights;
    args.a.base = in;
    args.a_zero.base = &a_zero;
    args.bias.base = bias;
    args.residual.base = l->adds_first ? first : NULL;
    args.residual_scale.base = &residual_scale;
    args.residual_zero.base = &residual_zero;
    args.d_scale.base = &scale;
    args.d_zero.base = &d_zero;
    args.d.base = out;
    TRY(lb_run_host(plan, &args, NULL));
    lb_weights_destroy(weights);
    lb_plan_destroy(plan);
    return 0;
}

/* The whole network; `outputs` keeps what every layer gave. */
static int run_network(const char *device, unsigned char *features, unsigned char *outputs[LAYERS])
{
    lb_context *context;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = device;
    TRY(lb_context_create(&desc, &context));
    for (int i = 0; i < LAYERS; i++) {
        int status = run_layer(context, &network[i], 1000 + (uint32_t)i,
                               i ? outputs[i - 1] : features, outputs[0], outputs[i]);
        if (status)
            return status;
    }
    lb_context_destroy(context);
    return 0;
}

int main(int count, char **words)
{
    static unsigned char features[SAMPLES * FEATURES];
    static unsigned char memory[2][LAYERS][SAMPLES * WIDTH * 4];
    const char *devices[2] = {"ref", count > 1 ? words[1] : "auto"};
    uint32_t seed = 7;
    int differ = 0;
    for (size_t i = 0; i < sizeof features; i++)
        features[i] = (unsigned char)(random_word(&seed) >> 24);
    for (int d = 0; d < 2; d++) {
        unsigned char *outputs[LAYERS] = {memory[d][0], memory[d][1], memory[d][2], memory[d][3]};
        int status = run_network(devices[d], features, outputs);
        if (status)
            return status;
    }
    for (int i = 0; i < LAYERS; i++) {
        int equal = memcmp(memory[0][i], memory[1][i], sizeof memory[0][i]) == 0;
        printf("layer %d, %-72s %s\n", i + 1, network[i].line, equal ? "equal" : "DIFFERENT");
        differ |= !equal;
    }
    const int32_t *logits = (const int32_t *)(const void *)memory[1][LAYERS - 1];
    for (int sample = 0; sample < SAMPLES; sample++) {
        int best = 0;
        for (int c = 1; c < CLASSES; c++)
            if (logits[sample * CLASSES + c] > logits[sample * CLASSES + best])
                best = c;
        printf("%d%c", best, sample + 1 < SAMPLES ? ' ' : '\n');
    }
    return differ;
}
