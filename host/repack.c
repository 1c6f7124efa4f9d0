/* SPDX-License-Identifier: Apache-2.0 */
/* Any stored matrix into any other format, row by row through the canonical form. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "format_fit.h"
#include "format_memory.h"
#include "status.h"

/* ---- The description of a target ------------------------------------------------------------- */

static int32_t choose_bits(const lb_format *format, int32_t wanted, int lossy)
{
    if (format->bits)
        return 0;
    for (int32_t b = wanted; b <= 8; b++)
        if (format->bits_set >> b & 1u)
            return b;
    for (int32_t b = 8; lossy && b > 0; b--)
        if (format->bits_set >> b & 1u)
            return b;
    return 8;
}

/* Lengths of a group to try, the source's own first. */
static void choose_group(const lb_form *from, int64_t tries[5])
{
    tries[0] = from->per_tensor ? -1 : from->groups > 1 || from->format->group ? from->group : 0;
    tries[1] = from->per_tensor ? 0 : from->k % 128 == 0 ? 128 : 32;
    tries[2] = 32;
    tries[3] = 16;
    tries[4] = 0;
}

lb_status lb_stored_like(const lb_stored *stored, int lossy, lb_stored *to)
{
    lb_matrix from, m;
    LB_CHECK_STRUCT(to, lb_stored);
    LB_TRY(lb_matrix_open(stored, true, &from));
    if (stored->part[LB_PART_ORDER].bytes)
        from.form.order = stored->part[LB_PART_ORDER].data;
    const lb_format *format = lb_format_find(to->format);
    if (!format)
        return lb_fail(LB_INVALID_ARGUMENT, "format '%s' is unknown; lb_format_get_info lists them",
                       to->format ? to->format : "(NULL)");
    if (format->flags & LB_FORMAT_READ_ONLY)
        return lb_fail(LB_UNSUPPORTED, "format %s can only be read", format->name);
    const lb_form *f = &from.form;
    bool dense = from.format->flags & LB_FORMAT_DENSE;
    lb_stored made = LB_STORED_INIT;
    made.format = format->name;
    made.n = f->n;
    made.k = f->k;
    made.bits = choose_bits(format, dense ? 8 : f->bits, lossy);
    if (format == lb_format_find("canon")) {
        made.levels = dense ? 0 : f->levels;
        made.zero = dense ? (int32_t)(1u << made.bits >> 1) : f->zero;
        made.super = f->super;
        made.divisor = f->divisor;
        made.part[LB_PART_OFFSETS].bytes = f->offset_type != 0;
        made.part[LB_PART_TABLE].bytes = f->levels_table != 0;
    }
    int32_t type = f->super || f->divisor != 1 || f->reciprocal ? LB_TYPE_F32 : f->scale_type;
    if (made.super || (made.divisor > 1))
        type = f->scale_type;
    if (f->reciprocal && format == from.format)
        type = f->scale_type;
    if (!lb_type_is_float(type) || dense)
        type = LB_TYPE_F32;
    made.part[LB_PART_SCALES].type = type;
    made.part[LB_PART_SUPER].type = type;
    made.part[LB_PART_OFFSETS].type = made.part[LB_PART_SUPER_OFFSETS].type = f->offset_type;
    made.part[LB_PART_ZEROS].bytes =
        f->has_zeros || (f->offset_type && !made.part[LB_PART_OFFSETS].bytes);
    made.part[LB_PART_ORDER].bytes = f->order != NULL;
    int64_t tries[5];
    choose_group(f, tries);
    lb_status status = LB_OK;
    for (int i = 0; i < 5; i++) {
        made.group = format->group || (format->flags & LB_FORMAT_DENSE) ? 0 : tries[i];
        status = lb_matrix_open(&made, true, &m);
        if (status == LB_OK)
            break;
    }
    if (status != LB_OK)
        return status == LB_INVALID_ARGUMENT ? lb_fail(LB_UNSUPPORTED, "no %s for this matrix: %s",
                                                       format->name, lb_last_error())
                                             : status;
    for (int i = 0; i < LB_PART_COUNT; i++)
        made.part[i].bytes = m.bytes[i];
    *to = made;
    return LB_OK;
}

/* ---- Repacking ------------------------------------------------------------------------------- */

typedef struct job {
    lb_matrix from, to;
    lb_rows in, out;
    lb_fit fit;
    float *values; /* of one row, before */
    bool dense_in, dense_out;
    int lossy;
    double worst, squares, energy;
} job;

static lb_status load(job *j, int64_t n)
{
    const lb_form *f = &j->from.form;
    if (j->dense_in) {
        for (int64_t k = 0; k < f->k; k++) {
            float v = lb_float_at(j->from.stored.part[LB_PART_CODES].data, f->scale_type,
                                  (uint64_t)(n * f->k + k));
            if (!isfinite(v))
                return lb_fail(LB_BAD_DATA, "%s: row %" PRId64 ", column %" PRId64 " is %g",
                               j->from.format->name, n, k, (double)v);
            j->values[k] = v;
        }
        return LB_OK;
    }
    LB_TRY(lb_matrix_load(&j->from, n, 1, &j->in));
    for (int64_t k = 0; k < f->k; k++)
        j->values[k] = lb_rows_value(f, &j->in.all, j->in.codes, k);
    return LB_OK;
}

static void measure(job *j, int64_t k, float after)
{
    double before = (double)j->values[k], e = (double)after - before;
    j->worst = fabs(e) > j->worst ? fabs(e) : j->worst;
    j->squares += e * e;
    j->energy += before * before;
}

static lb_status store_dense(job *j, int64_t n)
{
    const lb_form *f = &j->to.form;
    for (int64_t k = 0; k < f->k; k++) {
        float v = j->values[k];
        if (!j->lossy && !lb_scale_holds(f->scale_type, v))
            return lb_fail(LB_UNSUPPORTED,
                           "%s cannot hold row %" PRId64 ": column %" PRId64 " is %.9g",
                           j->to.format->name, n, k, (double)v);
        uint64_t i = (uint64_t)(n * f->k + k);
        void *data = j->to.stored.part[LB_PART_CODES].data;
        lb_set_float(data, f->scale_type, i, v);
        measure(j, k, lb_float_at(data, f->scale_type, i));
    }
    return LB_OK;
}

static lb_status repack_row(job *j, int64_t n)
{
    LB_TRY(load(j, n));
    if (j->dense_out)
        return store_dense(j, n);
    lb_status status = LB_UNSUPPORTED;
    j->fit.n = n;
    j->out.first = n;
    j->out.rows = 1;
    if (!j->dense_in)
        status = lb_fit_exact(&j->fit, &j->in.all, j->in.codes, &j->out.all, j->out.codes);
    else if (!j->lossy)
        return lb_fail(LB_UNSUPPORTED,
                       "%s holds no arbitrary floats; rounding them to its codes is lossy",
                       j->to.format->name);
    if (status == LB_UNSUPPORTED && j->lossy) {
        lb_fit_round(&j->fit, j->values, &j->out.all, j->out.codes);
        status = LB_OK;
    }
    LB_TRY(status);
    lb_matrix_store(&j->to, &j->out);
    for (int64_t k = 0; k < j->to.form.k; k++)
        measure(j, k, lb_rows_value(&j->to.form, &j->out.all, j->out.codes, k));
    return LB_OK;
}

/* The one scale of a lossy per-tensor target: the mean magnitude for three levels or fewer
   (BitNet's absmean), else what covers the largest. */
static lb_status choose_tensor_scale(job *j)
{
    double sum = 0, most = 0, count = (double)j->from.form.n * (double)j->from.form.k;
    for (int64_t n = 0; n < j->from.form.n; n++) {
        LB_TRY(load(j, n));
        for (int64_t k = 0; k < j->from.form.k; k++) {
            double v = fabs((double)j->values[k]);
            sum += v;
            most = v > most ? v : most;
        }
    }
    const lb_form *to = &j->to.form;
    double scale =
        to->levels <= 3 ? sum / (count > 0 ? count : 1) : most / (to->levels - 1 - to->zero);
    j->fit.tensor_scale = lb_scale_round(to, (float)scale);
    return LB_OK;
}

/* Rows that fit exactly and rows that do not must share one scale: all are rounded then. */
static lb_status repack_all(job *j)
{
    lb_status status = LB_OK;
    int lossy = j->lossy;
    j->lossy = lossy && !j->to.form.per_tensor;
    for (int64_t n = 0; n < j->from.form.n && status == LB_OK; n++)
        status = repack_row(j, n);
    if (status != LB_UNSUPPORTED || !lossy || j->lossy)
        return status;
    j->lossy = lossy;
    j->worst = j->squares = j->energy = 0;
    LB_TRY(choose_tensor_scale(j));
    for (int64_t n = 0; n < j->from.form.n; n++) {
        LB_TRY(load(j, n));
        j->out.first = n;
        j->out.rows = 1;
        lb_fit_round(&j->fit, j->values, &j->out.all, j->out.codes);
        lb_matrix_store(&j->to, &j->out);
        for (int64_t k = 0; k < j->to.form.k; k++)
            measure(j, k, lb_rows_value(&j->to.form, &j->out.all, j->out.codes, k));
    }
    return LB_OK;
}

/* Parts that hold for the whole matrix. */
static lb_status copy_shared(job *j)
{
    lb_form *from = &j->from.form, *to = &j->to.form;
    for (int i = 0; i < LB_PART_COUNT; i++)
        if (j->to.bytes[i])
            memset(j->to.stored.part[i].data, 0, (size_t)j->to.bytes[i]);
    bool ordered = false;
    for (int64_t k = 0; from->order && k < from->k && !ordered; k++)
        ordered = lb_form_group(from, k) != k / from->group;
    if (from->order && !ordered)
        from->order = NULL;
    if (to->order && (!from->order || from->groups != to->groups)) {
        for (int64_t k = 0; k < to->k; k++) {
            int32_t group = (int32_t)(k / to->group);
            memcpy((char *)j->to.stored.part[LB_PART_ORDER].data + 4 * k, &group, sizeof group);
        }
        to->order = NULL;
    } else if (to->order) {
        memcpy(j->to.stored.part[LB_PART_ORDER].data, from->order, (size_t)to->k * 4);
    }
    if (j->to.bytes[LB_PART_TABLE]) {
        if (from->levels_table == to->levels_table)
            memcpy(to->table, from->table, sizeof to->table);
        else if (!to->format->table)
            return lb_fail(LB_UNSUPPORTED, "%s: the target has a table, the source none",
                           to->format->name);
        memcpy(j->to.stored.part[LB_PART_TABLE].data, to->table,
               (size_t)j->to.bytes[LB_PART_TABLE]);
    }
    return LB_OK;
}

/* The target's own parts are undefined before: only their sizes are looked at. */
static lb_status open_target(const lb_stored *stored, lb_matrix *to)
{
    static const char *const names[] = {"codes",         "scales", "zeros", "offsets",    "super",
                                        "super offsets", "order",  "table", "scale table"};
    LB_TRY(lb_matrix_open(stored, true, to));
    if (to->format->flags & LB_FORMAT_READ_ONLY)
        return lb_fail(LB_UNSUPPORTED, "format %s can only be read", to->format->name);
    for (int i = 0; i < LB_PART_COUNT; i++)
        if (to->bytes[i] && (!stored->part[i].data || stored->part[i].bytes < to->bytes[i]))
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_repack: %s of the target take %" PRIu64 " bytes, there are %" PRIu64
                           "%s",
                           names[i], to->bytes[i], stored->part[i].bytes,
                           stored->part[i].data ? "" : " (the pointer is NULL)");
    if (to->bytes[LB_PART_ORDER])
        to->form.order = stored->part[LB_PART_ORDER].data;
    return LB_OK;
}

lb_status lb_repack(const lb_stored *from, const lb_stored *to, int lossy, lb_repack_report *report)
{
    job j = {.lossy = lossy};
    if (report)
        LB_CHECK_STRUCT(report, lb_repack_report);
    LB_TRY(lb_matrix_open(from, false, &j.from));
    LB_TRY(open_target(to, &j.to));
    if (from->n != to->n || from->k != to->k)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_repack: the source is n %" PRId64 " k %" PRId64 ", the target n %" PRId64
                       " k %" PRId64,
                       from->n, from->k, to->n, to->k);
    j.dense_in = j.from.format->flags & LB_FORMAT_DENSE;
    j.dense_out = j.to.format->flags & LB_FORMAT_DENSE;
    j.fit = (lb_fit){.from = &j.from.form, .to = &j.to.form};
    LB_TRY(copy_shared(&j));
    lb_status status = LB_OK;
    j.values = malloc((size_t)(j.from.form.k + 1) * sizeof *j.values);
    if (!j.values)
        status = lb_fail(LB_OUT_OF_MEMORY, "lb_repack: no memory for a row of k %" PRId64, from->k);
    if (status == LB_OK)
        status = lb_rows_make(&j.from.form, 1, &j.in);
    if (status == LB_OK)
        status = lb_rows_make(&j.to.form, 1, &j.out);
    if (status == LB_OK)
        status = repack_all(&j);
    double count = (double)from->n * (double)from->k;
    if (status == LB_OK && report)
        *report = (lb_repack_report){.struct_size = sizeof *report,
                                     .exact = j.worst == 0,
                                     .worst = j.worst,
                                     .rms = count > 0 ? sqrt(j.squares / count) : 0,
                                     .scale = count > 0 ? sqrt(j.energy / count) : 0};
    free(j.values);
    lb_rows_free(&j.in);
    lb_rows_free(&j.out);
    return status;
}
