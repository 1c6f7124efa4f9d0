/* SPDX-License-Identifier: Apache-2.0 */
/* Stored matrices as sums of B operands that every kernel knows, and their weights. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "panels.h"
#include "status.h"
#include "terms.h"
#include "weights.h"

static int32_t smallest_type(int low, int high)
{
    static const int32_t types[] = {LB_TYPE_T2, LB_TYPE_S2, LB_TYPE_U2, LB_TYPE_S4,
                                    LB_TYPE_U4, LB_TYPE_S8, LB_TYPE_U8};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (lb_type_get(types[i])->min <= low && high <= lb_type_get(types[i])->max)
            return types[i];
    return LB_TYPE_NONE;
}

static lb_status code_type(const lb_matrix *m, int32_t *type)
{
    const lb_form *f = &m->form;
    int low = -f->zero, high = f->levels - 1 - f->zero;
    if (m->format->flags & LB_FORMAT_DENSE)
        return lb_fail(LB_UNSUPPORTED,
                       "%s: floats are no weights of a kernel here; lb_repack them "
                       "with lossy into q8_0 or another format",
                       m->format->name);
    if (f->levels_table) {
        low = high = 0;
        for (int c = 0; c < f->levels; c++) {
            bool whole = fabsf(f->table[c]) < 0x1p24f && rintf(f->table[c]) == f->table[c];
            int value = whole ? (int)f->table[c] : 0;
            if (!whole)
                return lb_fail(
                    LB_UNSUPPORTED,
                    "%s: its table has %g, no integer; lb_repack with lossy into another "
                    "format",
                    m->format->name, (double)f->table[c]);
            low = value < low ? value : low;
            high = value > high ? value : high;
        }
        if (f->levels == 2 && f->table[0] == -1 && f->table[1] == 1) {
            *type = LB_TYPE_B1;
            return LB_OK;
        }
    }
    if (f->has_zeros)
        *type = f->bits <= 2 ? LB_TYPE_U2 : f->bits <= 4 ? LB_TYPE_U4 : LB_TYPE_U8;
    else
        *type = smallest_type(low, high);
    return *type
               ? LB_OK
               : lb_fail(LB_UNSUPPORTED, "%s: no type holds %d to %d", m->format->name, low, high);
}

static bool one_scale_per_row(const lb_form *f)
{
    return f->per_tensor || f->groups <= 1;
}

static lb_status halves_of(const lb_matrix *m, int32_t *halves)
{
    const lb_form *f = &m->form;
    *halves = !one_scale_per_row(f) && f->group == 16 ? 2 : 1;
    if (one_scale_per_row(f) || f->group == 16 || f->group % 32 == 0)
        return LB_OK;
    return lb_fail(LB_UNSUPPORTED, "%s: groups of %" PRId64 "; 16 and multiples of 32 work",
                   m->format->name, f->group);
}

lb_status lb_term_open(const lb_stored *stored, bool sizes_only, int32_t index, lb_matrix *m,
                       lb_term *t, int32_t *count)
{
    int32_t type, halves;
    LB_TRY(lb_matrix_open(stored, sizes_only, m));
    LB_TRY(code_type(m, &type));
    LB_TRY(halves_of(m, &halves));
    *count = halves * (m->form.offset_type ? 2 : 1);
    if (index < 0 || index >= *count)
        return lb_fail(LB_INVALID_ARGUMENT, "term %d; this matrix has %d", index, *count);
    *t = (lb_term){type, halves, index % halves, index >= halves};
    if (t->offset || type == LB_TYPE_B1) /* of halves, which need a 0 */
        t->type = halves == 1 ? LB_TYPE_B1 : LB_TYPE_T2;
    return LB_OK;
}

lb_status lb_stored_terms(const lb_stored *stored, int32_t *count)
{
    lb_matrix m;
    lb_term t;
    if (!count)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_stored_terms: count is NULL");
    return lb_term_open(stored, false, 0, &m, &t, count);
}

lb_operand lb_term_operand(const lb_matrix *m, const lb_term *t)
{
    const lb_form *f = &m->form;
    lb_operand b = {.type = t->type, .scale_type = LB_TYPE_F32};
    b.scale = f->per_tensor && !t->offset ? LB_PER_TENSOR
              : one_scale_per_row(f)      ? LB_PER_CHANNEL
                                          : LB_PER_GROUP;
    if (b.scale == LB_PER_GROUP)
        b.group = (int32_t)(t->halves == 2 ? 32 : f->group);
    b.zero = f->has_zeros && !t->offset ? b.scale : LB_PER_NONE;
    return b;
}

lb_status lb_stored_problem(const lb_stored *stored, int32_t index, lb_problem *problem)
{
    lb_matrix m;
    lb_term t;
    int32_t count;
    LB_CHECK_STRUCT(problem, lb_problem);
    LB_TRY(lb_term_open(stored, false, index, &m, &t, &count));
    problem->n = m.form.n;
    problem->k = m.form.k;
    problem->b = lb_term_operand(&m, &t);
    return LB_OK;
}

/* ---- Order ----------------------------------------------------------------------------------- */

lb_status lb_matrix_order(const lb_matrix *m, int32_t *perm)
{
    const lb_form *f = &m->form;
    int64_t *next = calloc((size_t)f->groups + 1, sizeof *next);
    if (!next)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for %" PRId64 " groups", f->groups);
    lb_status status = LB_OK;
    for (int64_t k = 0; k < f->k && status == LB_OK; k++) {
        int64_t g = lb_form_group(f, k), at = g * f->group + next[g]++;
        if (next[g] > f->group || at >= f->k)
            status = lb_fail(LB_UNSUPPORTED,
                             "%s: the order gives group %" PRId64 " more than %" PRId64
                             " columns; products need equal groups",
                             m->format->name, g, f->group);
        else
            perm[at] = (int32_t)k;
    }
    free(next);
    return status;
}

lb_status lb_stored_order(const lb_stored *stored, int32_t *perm)
{
    lb_matrix m;
    if (!perm)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_stored_order: perm is NULL");
    LB_TRY(lb_matrix_open(stored, false, &m));
    return lb_matrix_order(&m, perm);
}

/* ---- Weights --------------------------------------------------------------------------------- */

static int64_t groups_of(const lb_form *f, const lb_term *t)
{
    return one_scale_per_row(f) ? 1 : (f->groups + t->halves - 1) / t->halves;
}

typedef struct canonical {
    uint8_t *codes;
    float *scales;
    int32_t *zeros, *perm;
    int64_t groups;
    uint64_t row_bytes;
} canonical;

bool lb_term_has_group(const lb_term *t, int64_t j)
{
    return t->halves == 1 || j % 2 == t->half;
}

int lb_term_value(const lb_form *f, const lb_term *t, unsigned code)
{
    if (t->offset)
        return 1;
    if (f->levels_table)
        return (int)f->table[code];
    return f->has_zeros ? (int)code : (int)code - f->zero;
}

static void convert_params(const lb_form *f, const lb_term *t, const lb_params *p, int64_t n,
                           canonical *c)
{
    for (int64_t g = 0; g < c->groups; g++) {
        int64_t j = g * t->halves + t->half;
        bool there = j < f->groups;
        float scale = !there ? 0 : f->divisor == 1 ? p->scale[j] : p->scale[j] / (float)f->divisor;
        c->scales[n * c->groups + g] = t->offset ? there ? -p->offset[j] : 0 : scale;
        if (c->zeros)
            c->zeros[n * c->groups + g] = f->has_zeros && there && !t->offset ? p->zero[j] : 0;
    }
}

static void convert_row(const lb_form *f, const lb_term *t, const lb_rows *rows, int64_t n,
                        canonical *c)
{
    const lb_params *p = &rows->all;
    int bits = lb_type_bits(t->type);
    uint8_t *row = c->codes + (uint64_t)n * c->row_bytes;
    for (int64_t at = 0; at < f->k; at++) {
        int64_t k = c->perm[at], j = lb_form_group(f, k);
        int other = f->has_zeros && !t->offset ? p->zero[j] : 0;
        int value = lb_term_has_group(t, j) ? lb_term_value(f, t, rows->codes[k]) : other;
        lb_field_put(row, (uint64_t)at * (unsigned)bits, bits,
                     lb_code_from_value(t->type, value) & ((1u << bits) - 1u));
    }
    convert_params(f, t, p, n, c);
}

/* Columns of the other half must not count: their code is the zero point of this half. */
static void mask_zeros(const lb_form *f, const lb_term *t, int64_t n, canonical *c)
{
    if (t->halves == 1 || !f->has_zeros || t->offset)
        return;
    int bits = lb_type_bits(t->type);
    uint8_t *row = c->codes + (uint64_t)n * c->row_bytes;
    for (int64_t k = 0; k < f->k; k++)
        if (k / 16 % 2 != t->half)
            lb_field_put(row, (uint64_t)k * (unsigned)bits, bits,
                         (unsigned)c->zeros[n * c->groups + k / 32]);
}

static lb_status fill(const lb_matrix *m, const lb_term *t, canonical *c)
{
    lb_rows rows;
    LB_TRY(lb_matrix_order(m, c->perm));
    LB_TRY(lb_rows_make(&m->form, 1, &rows));
    lb_status status = LB_OK;
    for (int64_t n = 0; n < m->form.n && status == LB_OK; n++) {
        status = lb_matrix_load(m, n, 1, &rows);
        if (status != LB_OK)
            break;
        convert_row(&m->form, t, &rows, n, c);
        mask_zeros(&m->form, t, n, c);
    }
    lb_rows_free(&rows);
    return status;
}

lb_status lb_stored_params(const lb_stored *stored, int32_t index, float *scales, int32_t *zeros)
{
    lb_matrix m;
    lb_term t;
    int32_t count;
    LB_TRY(lb_term_open(stored, false, index, &m, &t, &count));
    lb_operand b = lb_term_operand(&m, &t);
    if (!scales || (!zeros && b.zero))
        return lb_fail(LB_INVALID_ARGUMENT, "lb_stored_params: %s is NULL",
                       scales ? "zeros" : "scales");
    lb_rows rows;
    LB_TRY(lb_rows_make(&m.form, 1, &rows));
    canonical c = {
        .scales = scales, .zeros = b.zero ? zeros : NULL, .groups = groups_of(&m.form, &t)};
    lb_status status = LB_OK;
    int64_t own = b.scale == LB_PER_TENSOR && m.form.n > 1 ? 1 : m.form.n;
    for (int64_t n = 0; n < own && status == LB_OK; n++) {
        status = lb_matrix_load_params(&m, n, &rows.all);
        if (status == LB_OK)
            convert_params(&m.form, &t, &rows.all, n, &c);
    }
    lb_rows_free(&rows);
    return status;
}

/* Those whose columns are not permuted may go straight to the layout. */
static bool is_in_order(const int32_t *perm, int64_t k_end)
{
    for (int64_t k = 0; k < k_end; k++)
        if (perm[k] != k)
            return false;
    return true;
}

lb_status lb_weights_pack_stored(const lb_plan *plan, const lb_stored *stored, int32_t index,
                                 void *blob, size_t bytes)
{
    lb_matrix m;
    lb_term t;
    int32_t count;
    LB_TRY(lb_term_open(stored, false, index, &m, &t, &count));
    if (!plan || !blob || bytes < plan->blob->bytes || (uintptr_t)blob % 8)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_weights_pack_stored: %s",
                       plan && blob ? "the blob is too small, or not aligned to 8 bytes"
                                    : "plan or blob is NULL");
    const lb_form *f = &m.form;
    int32_t threads = plan->context ? plan->context->host_threads : 1;
    canonical c = {.groups = groups_of(f, &t)};
    c.row_bytes = ((uint64_t)f->k * (unsigned)lb_type_bits(t.type) + 7) / 8;
    size_t values = (size_t)(f->n * c.groups) + 1;
    c.perm = malloc((size_t)(f->k + 1) * sizeof *c.perm);
    if (c.perm) {
        bool done = false;
        lb_status status = lb_matrix_order(&m, c.perm);
        if (status == LB_OK && is_in_order(c.perm, f->k))
            status = lb_panels_blob(lb_panel_code_best(), threads, plan->blob, &m, &t, blob, &done);
        if (status != LB_OK || done) {
            free(c.perm);
            return status;
        }
    }
    c.codes = calloc(1, (size_t)((uint64_t)f->n * c.row_bytes) + 1);
    c.scales = malloc(values * sizeof *c.scales);
    c.zeros = malloc(values * sizeof *c.zeros);
    lb_status status =
        c.codes && c.scales && c.zeros && c.perm
            ? fill(&m, &t, &c)
            : lb_fail(LB_OUT_OF_MEMORY,
                      "no memory for n %" PRId64 " k %" PRId64 " of canonical weights", f->n, f->k);
    if (status == LB_OK) {
        lb_weights_source source = {
            .struct_size = sizeof source, .codes = c.codes, .scales = c.scales, .zeros = c.zeros};
        status = lb_weights_pack(plan, &source, blob, bytes);
    }
    free(c.codes);
    free(c.scales);
    free(c.zeros);
    free(c.perm);
    return status;
}

lb_status lb_weights_create_stored(const lb_plan *plan, const lb_stored *stored, int32_t index,
                                   lb_weights **weights)
{
    lb_plan_info info = LB_PLAN_INFO_INIT;
    LB_TRY(lb_plan_get_info(plan, &info));
    void *blob = malloc((size_t)info.weights_bytes);
    if (!blob)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for weights of %" PRIu64 " bytes",
                       info.weights_bytes);
    lb_status status =
        lb_weights_pack_stored(plan, stored, index, blob, (size_t)info.weights_bytes);
    if (status == LB_OK)
        status = lb_weights_load(plan, blob, (size_t)info.weights_bytes, NULL, weights);
    free(blob);
    return status;
}
