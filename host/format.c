/* SPDX-License-Identifier: Apache-2.0 */
/* User formats: the table, and reading and writing rows of any of them in canonical form. */
#include "format.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "format_bits.h"
#include "format_memory.h"
#include "status.h"

/* ---- Tables of values ------------------------------------------------------------------------ */

/* QLoRA's NormalFloat 4 and bitsandbytes' FP4, as that library spells them. */
static const float nf4[16] = {-1.0f,
                              -0.6961928009986877f,
                              -0.5250730514526367f,
                              -0.39491748809814453f,
                              -0.28444138169288635f,
                              -0.18477343022823334f,
                              -0.09105003625154495f,
                              0.0f,
                              0.07958029955625534f,
                              0.16093020141124725f,
                              0.24611230194568634f,
                              0.33791524171829224f,
                              0.44070982933044434f,
                              0.5626170039176941f,
                              0.7229568362236023f,
                              1.0f};
static const float fp4[16] = {
    0.0f, 0.0052083333f,  0.6666667f,  1.0f,  0.3333333f,  0.5f,  0.1666667f,  0.25f,
    0.0f, -0.0052083333f, -0.6666667f, -1.0f, -0.3333333f, -0.5f, -0.1666667f, -0.25f};
static const float iq4_nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                 1,    13,   25,  38,  53,  69,  89,  113};
/* e2m1, doubled. */
static const float mxfp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
static const float binary[2] = {-1, 1};

/* ---- The formats ----------------------------------------------------------------------------- */

#define BY_BIT(f) f##_bit, NULL, NULL, NULL
#define BY_PAIR(f) NULL, f##_get, f##_put, NULL
#define BY_SPLIT(f) NULL, f##_get, f##_put, f##_at
#define NONE NULL, NULL, NULL, NULL
#define LB_FORMAT(name, origin, bits, bits_set, levels, group, block, block_bytes, n_mult, k_mult, \
                  zero, flip, bias, flags, table, codes, scheme, text)                             \
    {#name,  origin, bits, bits_set, levels, group, block, block_bytes,         n_mult,            \
     k_mult, zero,   flip, bias,     flags,  table, codes, &lb_scheme_##scheme, text},
const lb_format lb_formats[] = {
#include "formats.def"
};
#undef LB_FORMAT
const size_t lb_formats_count = sizeof lb_formats / sizeof *lb_formats;

const lb_format *lb_format_find(const char *name)
{
    for (size_t i = 0; name && i < lb_formats_count; i++)
        if (strcmp(lb_formats[i].name, name) == 0)
            return &lb_formats[i];
    return NULL;
}

size_t lb_format_count(void)
{
    return lb_formats_count;
}

lb_status lb_format_get_info(size_t index, lb_format_info *info)
{
    LB_CHECK_STRUCT(info, lb_format_info);
    if (index >= lb_formats_count)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_format_get_info: index %zu; there are %zu formats",
                       index, lb_formats_count);
    const lb_format *f = &lb_formats[index];
    *info = (lb_format_info){.struct_size = sizeof *info,
                             .bits = f->bits,
                             .group = f->group,
                             .writable = !(f->flags & LB_FORMAT_READ_ONLY),
                             .name = f->name,
                             .origin = f->origin,
                             .params = f->scheme->text,
                             .text = f->text};
    return LB_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

#define MOST_DIM INT64_C(2147418112) /* as in lb_problem */
#define MOST_ELEMENTS (INT64_C(1) << 48)

static lb_status check_numbers(const lb_stored *w, const lb_format *format)
{
    if (w->n < 0 || w->k < 0 || w->n > MOST_DIM || w->k > MOST_DIM ||
        (w->n && w->k > MOST_ELEMENTS / w->n))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: n %" PRId64 " k %" PRId64 "; each may be 0 to %" PRId64
                       ", with at most 2^48 elements",
                       format->name, w->n, w->k, MOST_DIM);
    if (w->n % format->n_mult || w->k % format->k_mult)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: n %" PRId64 " k %" PRId64 "; n must be a multiple of %d, k of %d",
                       format->name, w->n, w->k, format->n_mult, format->k_mult);
    if (format->bits ? w->bits && w->bits != format->bits
                     : w->bits < 1 || w->bits > 8 || !(format->bits_set >> w->bits & 1u))
        return lb_fail(LB_INVALID_ARGUMENT, "%s: codes of %d bits; the format has %s", format->name,
                       w->bits, format->bits ? "its own" : "others (2, 4, 8; ct and canon 1 to 8)");
    if (w->group == -1 && !(format->flags & LB_FORMAT_TENSOR))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: group -1; the format has no scale for the whole tensor, use 0 (a row)",
                       format->name);
    if (w->group > MOST_DIM)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: group %" PRId64 "; at most %" PRId64 ", and 0 is a whole row",
                       format->name, w->group, MOST_DIM);
    if (w->group < -1 || (format->group && w->group && w->group != format->group))
        return lb_fail(LB_INVALID_ARGUMENT, "%s: group %" PRId64 "; %s", format->name, w->group,
                       format->group ? "the format has its own: use 0"
                                     : "use its length, 0 (a row) or -1 (the tensor)");
    return LB_OK;
}

static const char *const part_names[LB_PART_COUNT] = {"codes",   "scales",       "zeros",
                                                      "offsets", "super scales", "super offsets",
                                                      "order",   "table",        "scale table"};

lb_status lb_matrix_check_order(const lb_matrix *m)
{
    for (int64_t k = 0; m->form.order && k < m->form.k; k++) {
        int64_t group = lb_form_group(&m->form, k);
        if (group < 0 || group >= m->form.groups)
            return lb_fail(LB_BAD_DATA,
                           "%s: order[%" PRId64 "] is group %" PRId64 "; there are %" PRId64,
                           m->format->name, k, group, m->form.groups);
    }
    return LB_OK;
}

static lb_status check_parts(const lb_matrix *m)
{
    for (int i = 0; i < LB_PART_COUNT; i++) {
        const lb_part *part = &m->stored.part[i];
        if (m->bytes[i] && (!part->data || part->bytes < m->bytes[i]))
            return lb_fail(part->data ? LB_BAD_DATA : LB_INVALID_ARGUMENT,
                           "%s: %s of n %" PRId64 " k %" PRId64 " take %" PRIu64
                           " bytes, there are %" PRIu64 "%s",
                           m->format->name, part_names[i], m->stored.n, m->stored.k, m->bytes[i],
                           part->bytes, part->data ? "" : " (the pointer is NULL)");
    }
    return lb_matrix_check_order(m);
}

lb_status lb_matrix_open(const lb_stored *stored, bool sizes_only, lb_matrix *m)
{
    LB_CHECK_STRUCT(stored, lb_stored);
    const lb_format *format = lb_format_find(stored->format);
    if (!format)
        return lb_fail(LB_INVALID_ARGUMENT, "format '%s' is unknown; lb_format_get_info lists them",
                       stored->format ? stored->format : "(NULL)");
    LB_TRY(check_numbers(stored, format));
    *m = (lb_matrix){.format = format, .stored = *stored};
    lb_form *f = &m->form;
    f->format = format;
    f->n = stored->n;
    f->k = stored->k;
    f->bits = format->bits ? format->bits : stored->bits;
    f->levels = format->levels ? format->levels : f->bits <= 8 ? (int32_t)(1u << f->bits) : 0;
    f->zero = format->zero < 0 ? (int32_t)(1u << f->bits >> 1) : format->zero;
    f->divisor = 1;
    f->per_tensor = stored->group == -1;
    f->group = format->group ? format->group : stored->group > 0 ? stored->group : f->k;
    if (f->group < 1)
        f->group = 1;
    f->groups = (f->k + f->group - 1) / f->group;
    if (format->table) {
        f->levels_table = f->levels;
        memcpy(f->table, format->table, (size_t)f->levels * sizeof *f->table);
    }
    LB_TRY(format->scheme->describe(&m->stored, f, m->bytes));
    m->shape = (lb_shape){(uint64_t)f->n, (uint64_t)f->k, (uint64_t)f->bits, (uint64_t)f->group};
    if (sizes_only)
        f->order = NULL;
    return sizes_only ? LB_OK : check_parts(m);
}

lb_status lb_stored_sizes(lb_stored *stored)
{
    lb_matrix m;
    LB_TRY(lb_matrix_open(stored, true, &m));
    for (int i = 0; i < LB_PART_COUNT; i++)
        stored->part[i].bytes = m.bytes[i];
    return LB_OK;
}

/* ---- Canonical rows -------------------------------------------------------------------------- */

static size_t round16(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

lb_status lb_rows_make(const lb_form *f, int64_t most, lb_rows *rows)
{
    *rows = (lb_rows){.most = most, .k = f->k, .groups = f->groups};
    rows->supers = f->super ? (f->groups + f->super - 1) / f->super : 0;
    size_t codes = round16((size_t)(most * f->k) + 16),
           floats = round16((size_t)(most * f->groups) * sizeof(float)),
           shorts = round16((size_t)(most * f->groups) * sizeof(int16_t)),
           supers = round16((size_t)(most * rows->supers) * sizeof(float));
    char *at = calloc(1, codes + 2 * floats + 3 * shorts + 2 * supers);
    if (!at)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for %" PRId64 " canonical rows of k %" PRId64,
                       most, f->k);
    rows->memory = at;
    rows->codes = (uint8_t *)at;
    rows->all.scale = (float *)(void *)(at += codes);
    rows->all.offset = (float *)(void *)(at += floats);
    rows->all.super = (float *)(void *)(at += floats);
    rows->all.super_offset = (float *)(void *)(at += supers);
    rows->all.zero = (int16_t *)(void *)(at += supers);
    rows->all.sub = (int16_t *)(void *)(at += shorts);
    rows->all.sub_offset = (int16_t *)(void *)(at + shorts);
    return LB_OK;
}

void lb_rows_free(lb_rows *rows)
{
    free(rows->memory);
    *rows = (lb_rows){0};
}

lb_params lb_rows_params(const lb_rows *rows, const lb_form *f, int64_t row)
{
    (void)f;
    int64_t g = row * rows->groups, s = row * rows->supers;
    const lb_params *a = &rows->all;
    return (lb_params){a->scale + g,        a->zero + g, a->offset + g,    a->super + s,
                       a->super_offset + s, a->sub + g,  a->sub_offset + g};
}

/* ---- Reading --------------------------------------------------------------------------------- */

static lb_status load_codes(const lb_matrix *m, int64_t n, uint8_t *codes)
{
    const lb_format *format = m->format;
    const uint8_t *data = m->stored.part[LB_PART_CODES].data;
    unsigned bits = (unsigned)m->form.bits, worst = 0;
    for (int64_t k = 0; k < m->form.k; k++) {
        unsigned field =
            format->bit ? lb_bits_get(data, format->bit(&m->shape, (uint64_t)n, (uint64_t)k), bits)
                        : format->get(&m->shape, data, (uint64_t)n, (uint64_t)k);
        unsigned code = (field ^ format->flip) - format->bias;
        codes[k] = (uint8_t)code;
        worst = code > worst ? code : worst;
    }
    if (worst < (unsigned)m->form.levels)
        return LB_OK;
    int64_t k = 0;
    while (codes[k] != (uint8_t)worst)
        k++;
    return lb_fail(LB_BAD_DATA,
                   "%s: row %" PRId64 ", column %" PRId64
                   " has the code %u; the format has 0 to %d",
                   format->name, n, k, (worst + format->bias) ^ format->flip,
                   m->form.levels - 1 + (int)format->bias);
}

/* The largest magnitude's bits: those of what is not finite are the largest. */
static uint32_t largest(const float *values, int64_t count)
{
    uint32_t most = 0;
    for (int64_t j = 0; j < count; j++) {
        uint32_t bits;
        memcpy(&bits, &values[j], sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return most;
}

static lb_status check_params(const lb_matrix *m, int64_t n, const lb_params *p)
{
    const lb_form *f = &m->form;
    if (largest(p->scale, f->groups) < 0x7f800000u &&
        (!f->offset_type || largest(p->offset, f->groups) < 0x7f800000u))
        return LB_OK;
    int64_t j = 0;
    while (isfinite(p->scale[j]) && (!f->offset_type || isfinite(p->offset[j])))
        j++;
    return lb_fail(LB_BAD_DATA, "%s: row %" PRId64 ", group %" PRId64 ": %s %g is not finite",
                   m->format->name, n, j, isfinite(p->scale[j]) ? "offset" : "scale",
                   (double)(isfinite(p->scale[j]) ? p->offset[j] : p->scale[j]));
}

lb_status lb_matrix_load_params(const lb_matrix *m, int64_t n, const lb_params *params)
{
    m->format->scheme->load(&m->stored, &m->form, n, params);
    return check_params(m, n, params);
}

lb_status lb_matrix_load(const lb_matrix *m, int64_t first, int64_t count, lb_rows *rows)
{
    rows->first = first;
    rows->rows = count;
    for (int64_t i = 0; i < count; i++) {
        lb_params p = lb_rows_params(rows, &m->form, i);
        LB_TRY(load_codes(m, first + i, rows->codes + i * m->form.k));
        LB_TRY(lb_matrix_load_params(m, first + i, &p));
    }
    return LB_OK;
}

void lb_matrix_store(const lb_matrix *m, const lb_rows *rows)
{
    const lb_format *format = m->format;
    uint8_t *data = m->stored.part[LB_PART_CODES].data;
    unsigned bits = (unsigned)m->form.bits;
    for (int64_t i = 0; i < rows->rows; i++) {
        uint64_t n = (uint64_t)(rows->first + i);
        const uint8_t *codes = rows->codes + i * m->form.k;
        for (int64_t k = 0; k < m->form.k; k++) {
            unsigned field = (codes[k] + format->bias) ^ format->flip;
            if (format->bit)
                lb_bits_put(data, format->bit(&m->shape, n, (uint64_t)k), bits, field);
            else
                format->put(&m->shape, data, n, (uint64_t)k, field);
        }
        lb_params p = lb_rows_params(rows, &m->form, i);
        format->scheme->store(&m->stored, &m->form, (int64_t)n, &p);
    }
}

/* ---- Values ---------------------------------------------------------------------------------- */

float lb_rows_value(const lb_form *f, const lb_params *p, const uint8_t *codes, int64_t k)
{
    int64_t j = lb_form_group(f, k);
    float scale = f->divisor == 1 ? p->scale[j] : p->scale[j] / (float)f->divisor;
    if (f->levels_table)
        return scale * f->table[codes[k]];
    int zero = f->has_zeros ? p->zero[j] : f->zero;
    float value = scale * (float)(codes[k] - zero);
    return f->offset_type ? value - p->offset[j] : value;
}

lb_status lb_stored_values(const lb_stored *stored, int64_t first, int64_t count, float *values)
{
    lb_matrix m;
    LB_TRY(lb_matrix_open(stored, false, &m));
    if (first < 0 || count < 0 || first > m.form.n - count || !values)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_stored_values: rows %" PRId64 " to %" PRId64 " of n %" PRId64 "%s",
                       first, first + count, m.form.n, values ? "" : "; values is NULL");
    if (m.format->flags & LB_FORMAT_DENSE) {
        const char *data = m.stored.part[LB_PART_CODES].data;
        for (int64_t i = 0; i < count * m.form.k; i++)
            values[i] = lb_float_at(data, m.form.scale_type, (uint64_t)(first * m.form.k + i));
        return LB_OK;
    }
    lb_rows rows;
    LB_TRY(lb_rows_make(&m.form, 1, &rows));
    lb_status status = LB_OK;
    for (int64_t i = 0; i < count && status == LB_OK; i++) {
        status = lb_matrix_load(&m, first + i, 1, &rows);
        for (int64_t k = 0; k < m.form.k && status == LB_OK; k++)
            values[i * m.form.k + k] = lb_rows_value(&m.form, &rows.all, rows.codes, k);
    }
    lb_rows_free(&rows);
    return status;
}
