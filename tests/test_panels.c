/* SPDX-License-Identifier: Apache-2.0 */
/* Weights packed by panels hold what packing element by element would have stored. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check.h"
#include "formats.h"
#include "panels.h"
#include "weights.h"

static uint64_t seed = 5;

/* Every field, scale, zero point and sum of the blob, by the layout's own bit function. */
static void compare(const lb_stored *w, int32_t term, const lb_problem *p, const lb_blob_header *h,
                    const char *blob)
{
    lb_extent e;
    size_t count = (size_t)(w->n * w->k);
    float *values = malloc(count * sizeof *values);
    const float *scale = (const float *)(const void *)(blob + h->scale);
    const int32_t *zero = (const int32_t *)(const void *)(blob + h->zero),
                  *sum = (const int32_t *)(const void *)(blob + h->sum);
    check_ok(lb_stored_values(w, 0, w->n, values));
    check_ok(lb_extent_make(lb_layout_find(h->layout), p->b.type, w->n, w->k, &e));
    check_ok(lb_blob_check(h, blob, (size_t)h->bytes));
    for (int64_t n = 0; n < e.n_pad; n++) {
        int32_t total = 0;
        for (int64_t k = 0; k < e.k_pad; k++) {
            int32_t v = lb_extent_get(&e, blob + h->codes, n, k);
            if (n >= w->n || k >= w->k) {
                cr_assert(v == 0 || p->b.type == LB_TYPE_B1, "padding (%d, %d) is %d", (int)n,
                          (int)k, v);
                continue;
            }
            int64_t at = k / h->group * h->n_pad + n;
            float value = scale[at] * (float)(v - (h->has_zero ? zero[at] : 0));
            if (term == 0 && !w->part[LB_PART_OFFSETS].bytes && strcmp(w->format, "q4_k") != 0)
                cr_assert_eq(value, values[n * w->k + k], "%s in %s: (%d, %d) is %g, not %g",
                             w->format, h->layout, (int)n, (int)k, (double)value,
                             (double)values[n * w->k + k]);
            if (term == 1) /* of q4_k: what is left of the value, which one rounding made */
                cr_assert_eq(v, 1);
            total += v;
            if (k + 1 == w->k || (k + 1) % h->group == 0) {
                cr_assert_eq(sum[at], total);
                total = 0;
            }
        }
    }
    free(values);
}

/* By every compilation that runs here and by several threads: the same bytes. Counts them. */
static int same_by_all(const lb_stored *w, int32_t index, const lb_blob_header *h, const char *blob)
{
    const lb_panel_code *codes[] = {&lb_panel_code_any, lb_panel_code_best()};
    int made = 0;
    for (int i = 0; i < 4; i++) {
        char *other = malloc((size_t)h->bytes);
        lb_matrix m;
        bool done;
        check_ok(lb_matrix_open(w, false, &m));
        lb_term t = {h->type, m.form.group == 16 ? 2 : 1, 0, index > 0};
        memset(other, 0xa5, (size_t)h->bytes);
        check_ok(lb_panels_blob(codes[i % 2], 1 + i / 2 * 3, h, &m, &t, other, &done));
        if (done)
            cr_assert_arr_eq(other, blob, (size_t)h->bytes, "%s in %s by %s", w->format, h->layout,
                             codes[i % 2]->name);
        made += done;
        free(other);
    }
    return made;
}

Test(panels, every_format_in_every_layout, .timeout = 120)
{
    static const struct {
        const char *format;
        int bits;
        int64_t n, k, group;
    } rows[] = {{"gptq", 4, 64, 256, 64},  {"gptq", 8, 128, 288, 32}, {"gptq_v2", 2, 64, 512, 0},
                {"awq", 4, 128, 160, 32},  {"ct", 4, 64, 256, 128},   {"ct", 8, 64, 96, 32},
                {"ct", 2, 128, 544, -1},   {"nbits", 4, 64, 320, 32}, {"nbits", 8, 64, 256, 64},
                {"q4_0", 0, 64, 288, 0},   {"q8_0", 0, 128, 352, 0},  {"q4_k", 0, 64, 512, 0},
                {"i2_s", 0, 128, 384, -1}, {"q4_0", 0, 70, 64, 0},    {"q6_k", 0, 64, 256, 0},
                {"gptq", 4, 1152, 96, 32}, {"ct", 4, 576, 1184, 32},  {"i2_s", 0, 64, 1408, -1}};
    int packed = 0, fast = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t l = 0; l < lb_layout_count; l++)
            for (int full = 0; full < 2; full++) {
                lb_stored w;
                int32_t terms;
                if (stored_describe(rows[r].format, rows[r].n, rows[r].k, rows[r].bits,
                                    rows[r].group, full, &w) != LB_OK)
                    continue;
                stored_alloc(&w);
                check_ok(stored_fill(&w, &seed));
                check_ok(lb_stored_terms(&w, &terms));
                for (int32_t t = 0; t < terms; t++) {
                    lb_plan plan = {.problem = LB_PROBLEM_INIT};
                    lb_blob_header h;
                    lb_problem *p = &plan.problem;
                    p->m = p->batch = 1;
                    p->a.type = p->d.type = LB_TYPE_F32;
                    check_ok(lb_stored_problem(&w, t, p));
                    p->b.ld = w.k; /* as a plan fills it in */
                    if (lb_blob_plan(p, &lb_layouts[l], &h) != LB_OK)
                        continue;
                    plan.blob = &h;
                    char *blob = malloc((size_t)h.bytes);
                    memset(blob, 0x5a, (size_t)h.bytes);
                    check_ok(lb_weights_pack_stored(&plan, &w, t, blob, (size_t)h.bytes));
                    if (strcmp(w.format, "q6_k") != 0) /* groups of 16: two terms share its codes */
                        compare(&w, t, p, &h, blob);
                    fast += same_by_all(&w, t, &h, blob);
                    packed++;
                    free(blob);
                }
                stored_free(&w);
            }
    fprintf(stderr, "panels: %d blobs compared, %d made by panels\n", packed, fast);
    cr_assert(fast > 400);
}

Test(panels, a_code_that_is_none_is_still_named)
{
    lb_stored w;
    lb_plan plan = {.problem = LB_PROBLEM_INIT};
    lb_blob_header h;
    check_ok(stored_describe("i2_s", 64, 128, 2, -1, true, &w));
    stored_alloc(&w);
    check_ok(stored_fill(&w, &seed));
    ((uint8_t *)w.part[LB_PART_CODES].data)[40] = 0xff;
    plan.problem.m = plan.problem.batch = 1;
    plan.problem.a.type = plan.problem.d.type = LB_TYPE_F32;
    check_ok(lb_stored_problem(&w, 0, &plan.problem));
    check_ok(lb_blob_plan(&plan.problem, lb_layout_find("panel64h"), &h));
    plan.blob = &h;
    char *blob = malloc((size_t)h.bytes);
    check_status(lb_weights_pack_stored(&plan, &w, 0, blob, (size_t)h.bytes), LB_BAD_DATA,
                 "row 1, column 8 has the code 3");
    free(blob);
    stored_free(&w);
}
