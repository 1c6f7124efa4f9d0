/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qbench run --weights: a matrix of a checkpoint times random activations. Each of its terms is
 * timed like any problem; the sum of all of them is compared with the product of the dequantised
 * f32 matrix, computed in double.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "qbench.h"

#define GUARD_FREE(pointer) (free(pointer), (pointer) = NULL)
#define MOST_CHECKED 2e8 /* multiply-adds of the comparison */

#define TRY(call)                                                                                  \
    do {                                                                                           \
        lb_status status_ = (call);                                                                \
        if (status_ != LB_OK)                                                                      \
            return status_;                                                                        \
    } while (0)

typedef struct work {
    qb_options *options;
    lb_context *context;
    lb_device_info device;
    qb_output *output;
    lb_file *file;
    const char *text, *name;
    lb_stored w;
    int32_t terms;
    qb_inputs random; /* where A is from */
    char *a;          /* its columns as the weights have them */
    float *d;         /* [M][N], the sum so far */
    void *blob;
} work;

int32_t qb_float_type(const char *word)
{
    if (!word || strcmp(word, "f32") == 0)
        return LB_TYPE_F32;
    return strcmp(word, "f16") == 0 ? LB_TYPE_F16 : strcmp(word, "bf16") == 0 ? LB_TYPE_BF16 : 0;
}

lb_status qb_open_tensor(const char *text, lb_file **file, const char **name)
{
    const char *colon = strrchr(text, ':');
    char *path = strndup(text, colon ? (size_t)(colon - text) : strlen(text));
    if (!path)
        return LB_OUT_OF_MEMORY;
    *name = colon ? colon + 1 : "";
    lb_status status = lb_file_open(path, file);
    free(path);
    return status;
}

/* ---- The parts of a product ------------------------------------------------------------------ */

static lb_problem problem_of(const work *w, int32_t term)
{
    lb_problem p = LB_PROBLEM_INIT;
    p.m = w->options->m;
    p.n = w->w.n;
    p.k = w->w.k;
    p.a.type = qb_float_type(w->options->activations);
    p.d.type = LB_TYPE_F32;
    p.residual.type = term ? LB_TYPE_F32 : LB_TYPE_NONE;
    return p;
}

static lb_status make_activations(work *w)
{
    lb_problem p = problem_of(w, 0);
    p.n = 1;
    p.b.type = LB_TYPE_S8;
    TRY(qb_inputs_make(&p, QB_DATA_NORMAL, (uint64_t)w->options->seed, &w->random));
    size_t size = (size_t)lb_type_bits(p.a.type) / 8, k = (size_t)p.k, count = (size_t)p.m * k;
    int32_t *perm = malloc((k + 1) * sizeof *perm);
    w->a = malloc(count * size + 1);
    w->d = calloc((size_t)(p.m * w->w.n) + 1, sizeof *w->d);
    lb_status status = perm && w->a && w->d ? lb_stored_order(&w->w, perm) : LB_OUT_OF_MEMORY;
    for (size_t i = 0; status == LB_OK && i < count; i++)
        memcpy(w->a + i * size,
               (const char *)w->random.host.a + (i / k * k + (size_t)perm[i % k]) * size, size);
    free(perm);
    return status;
}

static lb_status add_term(work *w, int32_t term, qb_record *r)
{
    qb_inputs in = {.problem = problem_of(w, term), .sizes = LB_SIZES_INIT};
    qb_case c = {0};
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_plan *plan = NULL;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    desc.kernel = w->options->kernel;
    TRY(lb_stored_problem(&w->w, term, &in.problem));
    TRY(lb_problem_sizes(&in.problem, &in.sizes));
    TRY(lb_plan_create(w->context, &in.problem, &desc, &plan));
    lb_status status = lb_plan_get_info(plan, &info);
    GUARD_FREE(w->blob);
    w->blob = malloc((size_t)info.weights_bytes);
    if (!w->blob)
        status = LB_OUT_OF_MEMORY;
    if (status == LB_OK)
        status = lb_weights_pack_stored(plan, &w->w, term, w->blob, (size_t)info.weights_bytes);
    lb_plan_destroy(plan);
    in.blob = w->blob;
    in.host.a = w->a;
    in.host.residual = term ? w->d : NULL;
    uint64_t rotate = 2 * (w->device.cache_bytes ? w->device.cache_bytes : 64u << 20);
    if (status == LB_OK)
        status = qb_case_open(w->context, &in, &desc, rotate, &c);
    c.args.flags = w->options->overlap ? LB_RUN_OVERLAP : 0;
    if (status == LB_OK)
        status = qb_case_product(&c, w->d);
    if (status == LB_OK)
        status = qb_measure(&c, w->options->min_time, w->options->repeat, &r->time);
    if (status == LB_OK) {
        r->plan = c.info;
        r->ops = lb_problem_ops(&in.problem);
        r->bytes = qb_case_bytes(&c);
        r->f32_ratio = (double)w->w.n * (double)w->w.k * 4 / (double)c.info.weights_bytes;
    }
    qb_case_close(&c);
    return status;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* scale * code of a row, without what a format subtracts from it. */
typedef struct scaled {
    lb_stored canon; /* 0 parts: the format subtracts nothing */
} scaled;

static lb_status make_scaled(const lb_stored *w, scaled *s)
{
    s->canon = (lb_stored)LB_STORED_INIT;
    s->canon.format = "canon";
    TRY(lb_stored_like(w, 0, &s->canon));
    if (!s->canon.part[LB_PART_OFFSETS].bytes) {
        memset(s->canon.part, 0, sizeof s->canon.part);
        return LB_OK;
    }
    for (int i = 0; i < LB_PART_COUNT; i++)
        if (s->canon.part[i].bytes && !(s->canon.part[i].data = malloc(s->canon.part[i].bytes)))
            return LB_OUT_OF_MEMORY;
    TRY(lb_repack(w, &s->canon, 0, NULL));
    s->canon.part[LB_PART_OFFSETS].bytes = s->canon.part[LB_PART_SUPER_OFFSETS].bytes = 0;
    return LB_OK;
}

/* Column n of D against row n of the dequantised matrix. Every product and partial sum is rounded
   once, in whatever order: by 2^-24 of the sum of the magnitudes, K + 8 times at most. */
static void compare_column(const work *w, int64_t n, const float *a, const float *row,
                           const float *scaled_row, lb_verify_report *r)
{
    int64_t k = w->w.k;
    for (int64_t m = 0; m < w->options->m; m++) {
        double sum = 0, size = 0, got = (double)w->d[m * w->w.n + n];
        for (int64_t i = 0; i < k; i++) {
            double value = (double)row[i], x = (double)a[m * k + i],
                   part = scaled_row ? (double)scaled_row[i] : value;
            sum += x * value;
            size += fabs(x) * (fabs(part) + fabs(part - value));
        }
        double bound = size * (double)(k + 8) * 0x1p-24, share = fabs(got - sum) / (bound + 1e-38);
        r->checked++;
        r->worst = share > r->worst ? share : r->worst;
        if (share <= 1)
            continue;
        if (r->wrong++ == 0) {
            r->m = m, r->n = n;
            r->expected = sum, r->got = got;
        }
    }
}

static lb_status compare(const work *w, qb_check *check)
{
    int64_t n = w->w.n, k = w->w.k;
    double work_of_row = (double)w->options->m * (double)k;
    int64_t step = (int64_t)ceil((double)n * work_of_row / MOST_CHECKED);
    lb_stored a = LB_STORED_INIT;
    scaled s;
    check->report = (lb_verify_report)LB_VERIFY_REPORT_INIT;
    a.format = lb_type_name(w->random.problem.a.type);
    a.n = w->options->m;
    a.k = k;
    a.part[LB_PART_CODES].data = (void *)w->random.host.a;
    a.part[LB_PART_CODES].bytes = w->random.sizes.a;
    float *values = malloc((size_t)(a.n * k) * sizeof *values + 1);
    float *rows = malloc((size_t)k * 2 * sizeof *rows + 1);
    lb_status status = make_scaled(&w->w, &s);
    if (!values || !rows)
        status = LB_OUT_OF_MEMORY;
    if (status == LB_OK)
        status = lb_stored_values(&a, 0, a.n, values);
    bool apart = s.canon.part[LB_PART_CODES].bytes != 0;
    for (int64_t i = 0; i < n && status == LB_OK; i += step) {
        status = lb_stored_values(&w->w, i, 1, rows);
        if (status == LB_OK && apart)
            status = lb_stored_values(&s.canon, i, 1, rows + k);
        if (status == LB_OK)
            compare_column(w, i, values, rows, apart ? rows + k : NULL, &check->report);
    }
    for (int i = 0; i < LB_PART_COUNT; i++)
        free(s.canon.part[i].data);
    free(values);
    free(rows);
    return status;
}

/* ---- One matrix ------------------------------------------------------------------------------ */

static void add_line(const work *w, int32_t term, char *line, size_t capacity)
{
    lb_problem p = problem_of(w, term);
    char problem[256] = "";
    if (lb_stored_problem(&w->w, term, &p) == LB_OK)
        lb_problem_print(&p, problem, sizeof problem, NULL);
    snprintf(line, capacity, "%s (%s) %d/%d %s", w->name, w->w.format, term + 1, w->terms, problem);
}

static lb_status find(work *w)
{
    TRY(qb_open_tensor(w->text, &w->file, &w->name));
    TRY(lb_file_find(w->file, w->name, NULL, &w->w));
    return lb_stored_terms(&w->w, &w->terms);
}

/* The lines that will be printed, so that the table is wide enough. */
static void announce(qb_options *o)
{
    char line[768], why[256];
    for (char **text = o->weights; *text; text++) {
        work w = {.options = o, .text = *text, .w = LB_STORED_INIT};
        if (find(&w) == LB_OK) {
            add_line(&w, w.terms - 1, line, sizeof line);
            qb_lines_add(&o->lines, line, why, sizeof why);
        }
        lb_file_close(w.file);
    }
}

static lb_status multiply(work *w, int *code)
{
    char line[768];
    lb_status status = find(w);
    if (status == LB_OK)
        status = make_activations(w);
    for (int32_t t = 0; t < w->terms && status == LB_OK; t++) {
        qb_record r = {.line = line};
        add_line(w, t, line, sizeof line);
        status = add_term(w, t, &r);
        if (status == LB_OK && t == w->terms - 1 && !w->options->no_check) {
            status = compare(w, &r.check);
            r.checked = true;
        }
        if (status == LB_OK)
            qb_output_add(w->output, &r);
        if (status == LB_OK && r.checked && !qb_check_passed(&r.check))
            *code = QB_EXIT_WRONG;
    }
    return status;
}

int qb_run_weights(qb_options *o)
{
    int code;
    lb_context *context = qb_open(o->device, &code);
    if (!context)
        return code;
    lb_device_info device = LB_DEVICE_INFO_INIT;
    lb_ceilings ceilings = LB_CEILINGS_INIT;
    lb_context_info(context, &device);
    announce(o);
    qb_output *output = qb_output_open(o, &device, &ceilings, "not asked for");
    for (char **text = o->weights; output && *text; text++) {
        work w = {.options = o,
                  .context = context,
                  .device = device,
                  .output = output,
                  .text = *text,
                  .w = LB_STORED_INIT};
        lb_status status = multiply(&w, &code);
        if (status != LB_OK) {
            qb_record r = {.line = *text, .status = status, .error = lb_last_error()};
            qb_output_add(output, &r);
            code = code ? code : status == LB_BAD_DATA ? QB_EXIT_USAGE : qb_exit_of(status);
        }
        qb_inputs_free(&w.random);
        free(w.a);
        free(w.d);
        free(w.blob);
        lb_file_close(w.file);
    }
    if (!output || !qb_output_close(output))
        code = code ? code : QB_EXIT_USAGE;
    lb_context_destroy(context);
    return code;
}
