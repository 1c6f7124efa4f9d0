/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights by table from float matrix to product: NF4 with a scale per group, fitted tables, TTQ's
 * two scales per channel; on the reference and the best device, against a product in double that is
 * written here.
 */
#include <math.h>

#include "check.h"
#include "rig.h"

enum { M = 5, N = 34, K = 192, GROUP = 64, GROUPS = K / GROUP };

static float a[M * K], w[N * K];

static void make_data(void)
{
    uint32_t state = 9;
    rig_fill(LB_TYPE_F32, a, sizeof a, &state);
    rig_fill(LB_TYPE_F32, w, sizeof w, &state);
}

/* D by the library on one device. */
static void product(const char *device, const char *line, lb_weights_source source, float *d)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    lb_plan *plan;
    lb_weights *weights;
    lb_problem problem;
    lb_args args = LB_ARGS_INIT;
    desc.device = device;
    source.struct_size = sizeof source;
    check_ok(lb_context_create(&desc, &context));
    check_ok(lb_problem_parse(line, &problem));
    check_ok(lb_plan_create(context, &problem, NULL, &plan));
    check_ok(lb_weights_create(plan, &source, &weights));
    args.weights = weights;
    args.a.base = a;
    args.d.base = d;
    check_ok(lb_run_host(plan, &args, NULL));
    lb_weights_destroy(weights);
    lb_plan_destroy(plan);
    lb_context_destroy(context);
}

/* table[code] * scale with tables and scales of any stride; every D within 1e-5 of the largest one.
 */
static void compare(const char *line, lb_weights_source source, int entries, bool own_tables,
                    int groups)
{
    static const char *const devices[] = {"ref", "auto"};
    const unsigned char *codes = source.codes;
    const float *scales = source.scales;
    for (int device = 0; device < 2; device++) {
        float d[M * N];
        product(devices[device], line, source, d);
        for (int m = 0; m < M; m++)
            for (int n = 0; n < N; n++) {
                double sum = 0;
                for (int k = 0; k < K; k++) {
                    int unit = n * groups + k * groups / K, at = n * K + k;
                    int code = entries == 16 ? codes[at / 2] >> (at % 2 * 4) & 15
                                             : codes[at / 4] >> (at % 4 * 2) & 3;
                    double value = source.tables[(own_tables ? unit : 0) * entries + code];
                    sum += (double)a[m * K + k] * value * (scales ? (double)scales[unit] : 1);
                }
                cr_assert(fabs(sum - (double)d[m * N + n]) < 1e-4,
                          "%s on %s: D[%d][%d] is %g, not %g", line, devices[device], m, n,
                          (double)d[m * N + n], sum);
            }
    }
}

/* As QLoRA has it: the largest size of each group becomes 1. */
Test(codebook, nf4)
{
    float scales[N * GROUPS], scaled[N * K], table[16];
    unsigned char codes[N * K / 2];
    make_data();
    lb_codebook_nf4(table);
    for (int unit = 0; unit < N * GROUPS; unit++) {
        scales[unit] = 0;
        for (int i = 0; i < GROUP; i++)
            scales[unit] = fmaxf(scales[unit], fabsf(w[unit * GROUP + i]));
        for (int i = 0; i < GROUP; i++)
            scaled[unit * GROUP + i] = w[unit * GROUP + i] / scales[unit];
    }
    check_ok(lb_codebook_assign(scaled, N * K, 1, table, 16, codes));
    compare("f32*c4.g64->f32 m5 n34 k192",
            (lb_weights_source){.codes = codes, .scales = scales, .tables = table}, 16, false,
            GROUPS);
}

Test(codebook, fitted_to_all)
{
    float table[4];
    unsigned char codes[N * K / 4];
    make_data();
    check_ok(lb_codebook_fit(w, N * K, 1, 4, table));
    check_ok(lb_codebook_assign(w, N * K, 1, table, 4, codes));
    compare("f32*c2->f32 m5 n34 k192", (lb_weights_source){.codes = codes, .tables = table}, 4,
            false, 1);
}

Test(codebook, two_scales_per_channel)
{
    float tables[N * 4], ones[N];
    unsigned char codes[N * K / 4];
    lb_quant q = LB_QUANT_INIT;
    make_data();
    q.type = LB_TYPE_T2;
    q.granularity = LB_PER_CHANNEL;
    q.rows = N;
    q.cols = K;
    check_ok(lb_quantize_two_scales(&q, w, codes, tables));
    for (int n = 0; n < N; n++)
        ones[n] = 1;
    compare("f32*c2.channel.tables->f32 m5 n34 k192",
            (lb_weights_source){.codes = codes, .scales = ones, .tables = tables}, 4, true, 1);
}

Test(codebook, bad_tables_are_refused)
{
    static const unsigned char codes[64];
    float table[16] = {0};
    lb_context *context;
    lb_plan *plan;
    lb_weights *weights;
    lb_problem problem;
    lb_weights_source source = {.struct_size = sizeof source, .codes = codes};
    check_ok(lb_context_create(NULL, &context));
    check_ok(lb_problem_parse("f16*c4->f16 m1 n4 k32", &problem));
    check_ok(lb_plan_create(context, &problem, NULL, &plan));
    check_status(lb_weights_create(plan, &source, &weights), LB_INVALID_ARGUMENT,
                 "tables is NULL but B is c4");
    source.tables = table;
    table[5] = NAN;
    check_status(lb_weights_create(plan, &source, &weights), LB_INVALID_ARGUMENT,
                 "entry 5 of table 0 is nan");
    lb_plan_destroy(plan);
    check_status(lb_problem_parse("s8.tables*s4->f16 m1 n4 k32", &problem), LB_INVALID_ARGUMENT,
                 "only B's");
    check_status(lb_problem_parse("s8*c4->f16 m1 n4 k32", &problem), LB_INVALID_ARGUMENT,
                 "A is s8");
    lb_context_destroy(context);
}
