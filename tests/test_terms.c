/* SPDX-License-Identifier: Apache-2.0 */
/* Stored matrices multiplied: the sum of the terms is A times the dequantised matrix. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check.h"
#include "formats.h"

enum { M = 3 };

/* D = A W^T by one run per term on the reference; `group` etc. as in stored_describe. */
static void multiply(lb_context *context, const lb_stored *w, float *a, float *d)
{
    int32_t count = 0;
    check_ok(lb_stored_terms(w, &count));
    for (int32_t t = 0; t < count; t++) {
        lb_problem p = LB_PROBLEM_INIT;
        lb_plan *plan;
        lb_weights *weights;
        lb_args args = LB_ARGS_INIT;
        p.m = M;
        p.a.type = p.d.type = LB_TYPE_F32;
        p.residual.type = t ? LB_TYPE_F32 : LB_TYPE_NONE;
        check_ok(lb_stored_problem(w, t, &p));
        check_ok(lb_plan_create(context, &p, NULL, &plan));
        check_ok(lb_weights_create_stored(plan, w, t, &weights));
        lb_plan_info info = LB_PLAN_INFO_INIT;
        check_ok(lb_plan_get_info(plan, &info));
        args.workspace_bytes = (size_t)info.workspace_bytes;
        check_ok(lb_memory_alloc(context, args.workspace_bytes + 1, &args.workspace));
        args.weights = weights;
        args.a = (lb_ptr){a, 0};
        args.d = args.residual = (lb_ptr){d, 0};
        check_ok(lb_run(plan, &args, NULL));
        check_ok(lb_stream_sync(context, NULL));
        lb_memory_free(context, args.workspace);
        lb_weights_destroy(weights);
        lb_plan_destroy(plan);
    }
}

static bool product_is_right(lb_context *context, const lb_stored *w, uint64_t *state)
{
    size_t n = (size_t)w->n, k = (size_t)w->k;
    float *a = malloc(M * k * 4), *permuted = malloc(M * k * 4), *values = malloc(n * k * 4),
          *d = calloc(M * n, 4);
    int32_t *perm = malloc(k * sizeof *perm);
    check_ok(lb_stored_values(w, 0, w->n, values));
    check_ok(lb_stored_order(w, perm));
    for (size_t i = 0; i < M * k; i++)
        a[i] = (float)(random_below(state, 2001) - 1000) / 512;
    for (size_t i = 0; i < M * k; i++)
        permuted[i] = a[i / k * k + (size_t)perm[i % k]];
    multiply(context, w, permuted, d);
    bool right = true;
    for (size_t m = 0; m < M; m++)
        for (size_t c = 0; c < n; c++) {
            double sum = 0, size = 0;
            for (size_t i = 0; i < k; i++) {
                double product = (double)a[m * k + i] * (double)values[c * k + i];
                sum += product;
                size += fabs(product);
            }
            /* Sums of up to 4 k products in f32, offsets that cancel included (below 64 each):
               every product and partial sum rounds by 2^-24 of the whole. */
            if (fabs(sum - (double)d[m * n + c]) > (size + 64 * (double)k) * ldexp((double)k, -22))
                right = false;
        }
    free(a);
    free(permuted);
    free(values);
    free(d);
    free(perm);
    return right;
}

Test(terms, products_of_stored_matrices, .timeout = 60)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    uint64_t state = 7;
    int done = 0, refused = 0;
    desc.device = "ref";
    check_ok(lb_context_create(&desc, &context));
    for (size_t i = 0; i < lb_format_count(); i++) {
        static const int64_t groups[] = {32, 16, 64, 0, -1};
        for (size_t g = 0; g < 5; g++)
            for (int bits = 2; bits <= 8; bits *= 2) {
                lb_stored w;
                int32_t count;
                if (lb_formats[i].flags & (LB_FORMAT_DENSE | LB_FORMAT_READ_ONLY) ||
                    stored_describe(lb_formats[i].name, 64, 256, bits, groups[g], true, &w) !=
                        LB_OK)
                    continue;
                stored_alloc(&w);
                check_ok(stored_fill(&w, &state));
                if (lb_stored_terms(&w, &count) == LB_OK) {
                    cr_expect(product_is_right(context, &w, &state), "%s group %d bits %d",
                              w.format, (int)groups[g], bits);
                    done++;
                } else {
                    cr_expect(strlen(lb_last_error()) > 20);
                    refused++;
                }
                stored_free(&w);
            }
    }
    fprintf(stderr, "terms: %d products right, %d matrices refused with a reason\n", done, refused);
    lb_context_destroy(context);
    cr_assert(done > 80);
}

/* Terms of groups of 16 have zeros, which bits have not: they are ternary. */
Test(terms, bits_in_groups_of_sixteen)
{
    static float table[] = {-1, 1};
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_problem p = LB_PROBLEM_INIT;
    lb_stored w = LB_STORED_INIT;
    lb_context *context;
    uint64_t state = 7;
    int32_t count;
    desc.device = "ref";
    check_ok(lb_context_create(&desc, &context));
    w.format = "canon";
    w.n = 9;
    w.k = 80;
    w.bits = 1;
    w.group = 16;
    w.part[LB_PART_TABLE].bytes = 1;
    check_ok(lb_stored_sizes(&w));
    stored_alloc(&w);
    memcpy(w.part[LB_PART_TABLE].data, table, sizeof table);
    check_ok(stored_fill(&w, &state));
    check_ok(lb_stored_terms(&w, &count));
    cr_expect_eq(count, 2);
    check_ok(lb_stored_problem(&w, 1, &p));
    cr_expect_eq(p.b.type, LB_TYPE_T2);
    cr_expect(product_is_right(context, &w, &state));
    stored_free(&w);
    lb_context_destroy(context);
}
