/* SPDX-License-Identifier: Apache-2.0 */
/* Packing on devices: the maps of where codes lie and go, the rules of a call, and whole matrices.
 */
#include "packer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "problem.h"
#include "status.h"
#include "terms.h"
#include "types.h"

/* ---- Where codes lie ------------------------------------------------------------------------- */

/* The codes a packer reads: canonical ones, or a term of a stored matrix. */
typedef struct source {
    const lb_problem *problem;
    bool stored;
    lb_matrix matrix;
    lb_term term;
    int32_t *order; /* of a stored matrix: its column for each of B's */
    uint64_t bytes;
    lb_split widths; /* in bits; high_bits 0: codes are in one piece */
} source;

/* Bit offset of the low or the high piece of a code. */
static uint64_t place(const source *s, bool high, uint64_t n, uint64_t k)
{
    if (s->stored) {
        const lb_format *format = s->matrix.format;
        if (format->bit)
            return format->bit(&s->matrix.shape, n, k);
        lb_split at = format->split(&s->matrix.shape, n, k);
        return high ? at.high : at.low;
    }
    const lb_operand *b = &s->problem->b;
    uint64_t bits = (unsigned)lb_type_bits(b->type);
    if (b->layout == LB_LAYOUT_COLS)
        return (k * (uint64_t)b->ld + n) * bits;
    return n * (uint64_t)lb_operand_row_bytes(b) * 8 + k * bits;
}

/* Every row is the first one, moved. All formats that are not so show it in the second row. */
static bool rows_are_alike(const source *s, bool high, uint64_t rows, uint64_t columns)
{
    for (uint64_t n = 1; n<rows; n += rows> 2 ? rows - 2 : 1)
        for (uint64_t k = 1; k < columns; k++)
            if (place(s, high, n, k) - place(s, high, n, 0) !=
                place(s, high, 0, k) - place(s, high, 0, 0))
                return false;
    return true;
}

static lb_status open_canonical(const lb_problem *p, source *s)
{
    lb_sizes sizes;
    lb_problem_sizes_of(p, &sizes);
    *s = (source){.problem = p, .bytes = sizes.b};
    s->widths.low_bits = lb_type_bits(p->b.type);
    return LB_OK;
}

static lb_status check_term(const lb_problem *p, const lb_matrix *m, const lb_operand *b)
{
    if (p->n != m->form.n || p->k != m->form.k || p->batch != 1)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_packer_create: the plan is for n %" PRId64 " k %" PRId64
                       " batch %" PRId64 ", the stored matrix is n %" PRId64 " k %" PRId64,
                       p->n, p->k, p->batch, m->form.n, m->form.k);
    if (p->b.type != b->type || p->b.scale != b->scale || p->b.zero != b->zero ||
        p->b.scale_type != b->scale_type || (b->scale == LB_PER_GROUP && p->b.group != b->group))
        return lb_fail(
            LB_INVALID_ARGUMENT,
            "lb_packer_create: the plan's B is %s, scales %d of %s, zero points %d, group "
            "%d; the term is %s, %d of %s, %d, %d: make the plan from lb_stored_problem",
            lb_type_name(p->b.type), p->b.scale, lb_type_name(p->b.scale_type), p->b.zero,
            p->b.group, lb_type_name(b->type), b->scale, lb_type_name(b->scale_type), b->zero,
            b->group);
    return LB_OK;
}

static lb_status open_stored(const lb_problem *p, const lb_stored *stored, int32_t index, source *s)
{
    int32_t count;
    *s = (source){.problem = p, .stored = true};
    LB_TRY(lb_term_open(stored, true, index, &s->matrix, &s->term, &count));
    lb_matrix *m = &s->matrix;
    const lb_operand b = lb_term_operand(m, &s->term);
    LB_TRY(check_term(p, m, &b));
    if (m->bytes[LB_PART_ORDER]) {
        m->form.order = stored->part[LB_PART_ORDER].data;
        if (!m->form.order || stored->part[LB_PART_ORDER].bytes < m->bytes[LB_PART_ORDER])
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_packer_create: the order takes %" PRIu64 " bytes, there are %" PRIu64
                           "%s",
                           m->bytes[LB_PART_ORDER], stored->part[LB_PART_ORDER].bytes,
                           m->form.order ? "" : " (the pointer is NULL)");
        LB_TRY(lb_matrix_check_order(m));
    }
    if (s->term.offset)
        return LB_OK; /* needs no codes */
    if (s->term.halves == 2 && m->form.has_zeros)
        return lb_fail(LB_UNSUPPORTED,
                       "lb_packer_create: %s: groups of 16 with zero points; "
                       "lb_weights_pack_stored packs them, on the host",
                       m->format->name);
    if (!m->format->bit && !m->format->split)
        return lb_fail(LB_UNSUPPORTED,
                       "lb_packer_create: %s: its codes lie in more than two places each; "
                       "lb_weights_pack_stored packs them, on the host",
                       m->format->name);
    s->bytes = m->bytes[LB_PART_CODES];
    s->widths.low_bits = m->form.bits;
    if (m->format->split && m->form.n && m->form.k)
        s->widths = m->format->split(&m->shape, 0, 0);
    bool split = s->widths.high_bits != 0;
    uint64_t rows = m->shape.n, columns = m->shape.k;
    if (!rows_are_alike(s, false, rows, columns) ||
        (split && !rows_are_alike(s, true, rows, columns)))
        return lb_fail(LB_UNSUPPORTED,
                       "lb_packer_create: %s: with k %" PRId64
                       " rows begin inside its units; lb_weights_pack_stored packs it, on the host",
                       m->format->name, m->form.k);
    return LB_OK;
}

/* The value of a code of the source; LB_PACK_INVALID: it is none. */
static int32_t value_of(const source *s, unsigned field)
{
    if (!s->stored) {
        int32_t type = s->problem->b.type;
        return type == LB_TYPE_T2 && field == 2 ? LB_PACK_INVALID : lb_value_from_code(type, field);
    }
    const lb_form *f = &s->matrix.form;
    unsigned code = (field ^ f->format->flip) - f->format->bias;
    if (!s->term.offset && code >= (unsigned)f->levels)
        return LB_PACK_INVALID;
    return lb_term_value(f, &s->term, code);
}

/* ---- Maps ------------------------------------------------------------------------------------ */

static uint64_t reserve(uint64_t *at, uint64_t bytes)
{
    uint64_t here = *at;
    *at += (bytes + 15) / 16 * 16;
    return here;
}

static lb_pack_stride stride_of(const lb_problem *p, int32_t granularity)
{
    int64_t groups = lb_problem_scale_groups(p);
    switch (granularity) {
    case LB_PER_TENSOR: return (lb_pack_stride){.batch = 1};
    case LB_PER_CHANNEL: return (lb_pack_stride){.batch = p->n, .n = 1};
    default: return (lb_pack_stride){.batch = p->n * groups, .n = groups, .group = 1};
    }
}

static lb_pack_kargs describe(const lb_problem *p, const lb_blob_header *h, const lb_extent *extent,
                              const source *s, uint64_t *map_bytes)
{
    const lb_type_row *type = lb_type_get(p->b.type);
    uint64_t at = LB_BLOB_HEADER_BYTES, rows = (uint64_t)p->n * 8, columns = (uint64_t)p->k * 8;
    bool codes = s->bytes != 0;
    lb_pack_kargs a = {
        .n = (lb_i32)p->n,
        .k = (lb_i32)p->k,
        .batch = (lb_i32)p->batch,
        .groups = (lb_i32)h->groups,
        .group = (lb_i32)(h->group ? h->group : 1),
        .n_pad = (lb_i32)h->n_pad,
        .code_bits = codes ? s->widths.low_bits : 0,
        .high_bits = codes ? s->widths.high_bits : 0,
        .scale_type = h->has_step    ? LB_TYPE_F32
                      : h->has_scale ? p->b.scale_type
                                     : LB_TYPE_NONE,
        .has_zeros = p->b.zero != LB_PER_NONE,
        .least_zero = type->min,
        .most_zero = type->max,
        .entries = h->has_table ? (lb_i32)lb_problem_table_entries(p) : 0,
        .own_tables = h->has_table == 2,
        .padding = lb_extent_padding(extent) * 0x01010101u,
        .step_group = (lb_i32)h->step_group,
        .scale_at = stride_of(p, p->b.scale),
        .zero_at = stride_of(p, p->b.zero),
        .table_at = stride_of(p, p->b_table),
        .code_batch = (uint64_t)(p->b.batch_stride * type->bits / 8),
        .bytes = h->bytes,
        .to_codes = h->codes,
        .to_scale = h->scale,
        .to_zero = h->zero,
        .to_sum = h->sum,
        .to_table = h->table,
        .to_step = h->step,
        .codes_batch = h->codes_batch,
        .meta_batch = h->meta_batch,
        .table_batch = h->table_batch,
        .step_batch = h->step_batch,
    };
    a.rows = reserve(&at, rows);
    a.columns = reserve(&at, columns);
    a.high_rows = reserve(&at, a.high_bits ? rows : 0);
    a.high_columns = reserve(&at, a.high_bits ? columns : 0);
    a.to_rows = reserve(&at, rows);
    a.to_columns = reserve(&at, columns);
    a.values = reserve(&at, 256 * sizeof(int32_t));
    a.fields = reserve(&at, 256 * sizeof(uint32_t));
    *map_bytes = at;
    return a;
}

/* Offsets of rows, and of columns from the row's. */
static void map_source(const source *s, bool high, int64_t n, int64_t k, uint64_t *rows,
                       uint64_t *columns)
{
    for (int64_t i = 0; i < n && k; i++)
        rows[i] = s->bytes ? place(s, high, (uint64_t)i, 0) : 0;
    for (int64_t i = 0; i < k && n; i++) {
        uint64_t from = (uint64_t)(s->order ? s->order[i] : i);
        bool here = !s->stored ||
                    lb_term_has_group(&s->term, lb_form_group(&s->matrix.form, (int64_t)from));
        uint64_t bit = s->bytes ? place(s, high, 0, from) - place(s, high, 0, 0) : 0;
        columns[i] = here ? bit : LB_PACK_NOWHERE;
    }
}

static void fill_maps(lb_pack_kargs *a, const lb_blob_header *h, const lb_extent *extent,
                      const source *s, char *maps)
{
    uint64_t *rows = (uint64_t *)(void *)(maps + a->rows);
    uint64_t *columns = (uint64_t *)(void *)(maps + a->columns);
    int32_t *values = (int32_t *)(void *)(maps + a->values);
    uint32_t *fields = (uint32_t *)(void *)(maps + a->fields);
    memcpy(maps, h, sizeof *h);
    map_source(s, false, h->n, h->k, rows, columns);
    if (a->high_bits)
        map_source(s, true, h->n, h->k, (uint64_t *)(void *)(maps + a->high_rows),
                   (uint64_t *)(void *)(maps + a->high_columns));
    lb_extent_rows(extent, (uint64_t *)(void *)(maps + a->to_rows));
    lb_extent_columns(extent, (uint64_t *)(void *)(maps + a->to_columns));
    unsigned padding = lb_extent_padding(extent) & ((1u << extent->bits) - 1u);
    for (unsigned code = 0; code < 1u << (a->code_bits + a->high_bits); code++) {
        values[code] = value_of(s, code);
        if (values[code] != LB_PACK_INVALID)
            fields[code] = lb_extent_field(extent, values[code]) ^ padding;
    }
    /* Neighbours among threads read neighbours in memory. */
    a->rows_side_by_side = h->n > 1 && h->k > 1 && s->bytes && rows[1] - rows[0] < columns[1];
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* The maps, and on the device. */
static lb_status make_maps(const lb_problem *p, const source *s, lb_packer *packer)
{
    lb_extent extent;
    uint64_t bytes;
    LB_TRY(lb_extent_make(lb_layout_find(packer->header.layout), p->b.type, p->n, p->k, &extent));
    packer->kargs = describe(p, &packer->header, &extent, s, &bytes);
    char *maps = calloc(1, (size_t)bytes);
    if (!maps)
        return lb_fail(LB_OUT_OF_MEMORY,
                       "lb_packer_create: no memory for maps of %" PRIu64 " bytes", bytes);
    fill_maps(&packer->kargs, &packer->header, &extent, s, maps);
    lb_context *context = packer->context;
    lb_status status = context->backend->alloc(context, (size_t)bytes, &packer->maps);
    if (status == LB_OK) {
        status = context->backend->write(context, packer->maps, maps, (size_t)bytes, NULL);
        if (status != LB_OK)
            context->backend->free(context, packer->maps);
    }
    free(maps);
    packer->bytes[LB_PACK_MAPS] = bytes;
    return status;
}

static void set_sizes(const lb_problem *p, const source *s, lb_packer *packer)
{
    lb_sizes sizes;
    lb_problem_sizes_of(p, &sizes);
    packer->bytes[LB_PACK_CODES] = p->n && p->k ? s->bytes : 0;
    packer->bytes[LB_PACK_SCALES] = sizes.b_scale;
    packer->bytes[LB_PACK_ZEROS] = sizes.b_zero;
    packer->bytes[LB_PACK_TABLES] = sizes.b_table;
    packer->bytes[LB_PACK_CHANNELS] = sizes.b_channel_scale;
    packer->bytes[LB_PACK_WEIGHTS] = packer->header.bytes;
}

static lb_status make_order(source *s)
{
    size_t count = (size_t)s->matrix.form.k + 1;
    s->order = malloc(count * sizeof *s->order);
    if (!s->order)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_packer_create: no memory for the order of k %" PRId64,
                       s->matrix.form.k);
    return lb_matrix_order(&s->matrix, s->order);
}

lb_status lb_packer_create(const lb_plan *plan, const lb_stored *stored, int32_t term,
                           lb_packer **packer)
{
    source s;
    if (!plan || !packer)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_packer_create: %s is NULL",
                       plan ? "packer" : "plan");
    lb_context *context = plan->context;
    if (!context->backend->packer_open)
        return lb_fail(LB_UNSUPPORTED,
                       "lb_packer_create: backend %s does not pack; lb_weights_create does, on the "
                       "host",
                       context->backend->name);
    if (stored)
        LB_TRY(open_stored(&plan->problem, stored, term, &s));
    else
        LB_TRY(open_canonical(&plan->problem, &s));
    lb_packer *made = calloc(1, sizeof *made);
    if (!made)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_packer_create: no memory for a packer");
    made->context = context;
    made->header = *plan->blob;
    lb_status status = stored ? make_order(&s) : LB_OK;
    if (status == LB_OK)
        status = make_maps(&plan->problem, &s, made);
    free(s.order);
    if (status == LB_OK) {
        set_sizes(&plan->problem, &s, made);
        status = context->backend->packer_open(made);
        if (status != LB_OK)
            context->backend->free(context, made->maps);
    }
    if (status != LB_OK) {
        free(made);
        return status;
    }
    *packer = made;
    return LB_OK;
}

void lb_packer_destroy(lb_packer *packer)
{
    if (!packer)
        return;
    packer->context->backend->packer_close(packer);
    packer->context->backend->free(packer->context, packer->maps);
    free(packer);
}

/* ---- A call ---------------------------------------------------------------------------------- */

const char *const lb_packer_names[LB_PACK_PTRS] = {"maps",   "codes",   "scales", "zeros",
                                                   "tables", "weights", "fault",  "channel_scales"};
const char *const lb_packer_entries[LB_PACK_PASSES] = {"pack_fill", "pack_codes", "pack_meta"};

void lb_packer_arrays(const lb_packer *packer, const lb_packer_args *args,
                      lb_ptr arrays[LB_PACK_PTRS])
{
    const lb_ptr all[LB_PACK_PTRS] = {packer->maps, args->codes,         args->scales,
                                      args->zeros,  args->tables,        args->weights->memory,
                                      args->fault,  args->channel_scales};
    memcpy(arrays, all, sizeof all);
}

static lb_status check_call(const lb_packer *packer, const lb_packer_args *args)
{
    if (args->flags)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_packer_run: flags are 0x%x; none exist, use 0",
                       args->flags);
    if (!args->weights)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_packer_run: weights is NULL; lb_weights_reserve makes them");
    if (args->weights->context != packer->context ||
        memcmp(&args->weights->header, &packer->header, sizeof packer->header) != 0)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_packer_run: the weights (%s in layout %s, n %" PRId64 " k %" PRId64
                       ") were reserved for another plan than the packer's (%s, %s, n %" PRId64
                       " k %" PRId64 ")",
                       lb_type_name(args->weights->header.type), args->weights->header.layout,
                       args->weights->header.n, args->weights->header.k,
                       lb_type_name(packer->header.type), packer->header.layout, packer->header.n,
                       packer->header.k);
    size_t scale = packer->kargs.scale_type && !packer->kargs.step_group
                       ? (size_t)lb_type_bits(packer->kargs.scale_type) / 8
                       : 1;
    const size_t align[LB_PACK_PTRS] = {1, 1, scale, 4, 4, 1, 4, 4};
    lb_ptr arrays[LB_PACK_PTRS];
    lb_packer_arrays(packer, args, arrays);
    for (int i = 0; i < LB_PACK_PTRS; i++) {
        if (packer->bytes[i] && !arrays[i].base)
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_packer_run: %s is NULL; it takes %" PRIu64 " bytes",
                           lb_packer_names[i], packer->bytes[i]);
        if (arrays[i].base && arrays[i].offset % align[i])
            return lb_fail(LB_INVALID_ARGUMENT,
                           "lb_packer_run: %s: offset %zu is not a multiple of %zu",
                           lb_packer_names[i], arrays[i].offset, align[i]);
    }
    return LB_OK;
}

lb_status lb_packer_run(const lb_packer *packer, const lb_packer_args *args, lb_stream stream)
{
    if (!packer)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_packer_run: packer is NULL");
    LB_CHECK_STRUCT(args, lb_packer_args);
    LB_TRY(check_call(packer, args));
    lb_pack_kargs kargs = packer->kargs;
    lb_ptr arrays[LB_PACK_PTRS];
    kargs.has_fault = args->fault.base != NULL;
    lb_packer_arrays(packer, args, arrays);
    for (int i = 0; i < LB_PACK_PTRS; i++)
        kargs.offset[i] = lb_packer_bytes(packer, &kargs, i) ? arrays[i].offset : 0;
    return packer->context->backend->packer_run(packer, args, &kargs, stream);
}

/* ---- On the host ----------------------------------------------------------------------------- */

lb_status lb_host_packer_open(lb_packer *packer)
{
    (void)packer;
    return LB_OK;
}

void lb_host_packer_close(lb_packer *packer)
{
    (void)packer;
}

void lb_host_pack(int pass, const lb_pack_kargs *kargs, uint8_t *const arrays[LB_PACK_PTRS])
{
    uint8_t *at[LB_PACK_PTRS];
    for (int i = 0; i < LB_PACK_PTRS; i++)
        at[i] = arrays[i] ? arrays[i] + kargs->offset[i] : NULL;
#define AT(name) at[LB_PACK_##name]
    for (uint64_t item = 0; item < lb_pack_items(kargs, pass); item++)
        switch (pass) {
        case 0: lb_pack_fill(kargs, AT(MAPS), AT(WEIGHTS), AT(FAULT), item); break;
        case 1:
            lb_pack_codes(kargs, AT(MAPS), AT(CODES), AT(SCALES), AT(ZEROS), AT(WEIGHTS), AT(FAULT),
                          item);
            break;
        default:
            lb_pack_meta(kargs, AT(SCALES), AT(CHANNELS), AT(ZEROS), AT(TABLES), AT(WEIGHTS),
                         AT(FAULT), item);
        }
#undef AT
}

lb_status lb_host_packer_run(const lb_packer *packer, const lb_packer_args *args,
                             const lb_pack_kargs *kargs, lb_stream stream)
{
    lb_ptr arrays[LB_PACK_PTRS];
    uint8_t *at[LB_PACK_PTRS];
    (void)stream;
    lb_packer_arrays(packer, args, arrays);
    for (int i = 0; i < LB_PACK_PTRS; i++)
        at[i] = arrays[i].base;
    for (int pass = 0; pass < LB_PACK_PASSES; pass++)
        lb_host_pack(pass, kargs, at);
    return LB_OK;
}

/* ---- Whole matrices -------------------------------------------------------------------------- */

/* A matrix's codes and parameters, one after the other in one piece of device memory. */
typedef struct upload {
    lb_ptr memory;
    uint64_t codes, scales, zeros, fault, bytes;
    float *scale_values;
    int32_t *zero_values;
} upload;

static uint64_t place_of(uint64_t *at, uint64_t bytes)
{
    uint64_t here = *at;
    *at += (bytes + LB_MEMORY_ALIGN - 1) / LB_MEMORY_ALIGN * LB_MEMORY_ALIGN;
    return here;
}

static lb_ptr at_offset(lb_ptr memory, uint64_t offset)
{
    return (lb_ptr){memory.base, memory.offset + (size_t)offset};
}

static lb_status write_parts(lb_context *context, const lb_packer *packer, const lb_stored *stored,
                             int32_t term, const upload *u)
{
    const struct {
        const void *from;
        uint64_t at, bytes;
    } parts[] = {{stored->part[LB_PART_CODES].data, u->codes, packer->bytes[LB_PACK_CODES]},
                 {u->scale_values, u->scales, packer->bytes[LB_PACK_SCALES]},
                 {u->zero_values, u->zeros, packer->bytes[LB_PACK_ZEROS]}};
    LB_TRY(lb_stored_params(stored, term, u->scale_values, u->zero_values));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].bytes)
            LB_TRY(context->backend->write(context, at_offset(u->memory, parts[i].at),
                                           parts[i].from, (size_t)parts[i].bytes, NULL));
    return LB_OK;
}

/* What the host says of the row that the device found at fault. */
static lb_status say_fault(const lb_stored *stored, int64_t row)
{
    lb_matrix m;
    lb_rows rows;
    LB_TRY(lb_matrix_open(stored, false, &m));
    LB_TRY(lb_rows_make(&m.form, 1, &rows));
    lb_status status = lb_matrix_load(&m, row, 1, &rows);
    lb_rows_free(&rows);
    return status != LB_OK ? status
                           : lb_fail(LB_BAD_DATA,
                                     "%s: row %" PRId64 " has a zero point beyond the type's range",
                                     m.format->name, row);
}

static lb_status pack(const lb_packer *packer, const lb_stored *stored, const upload *u,
                      const lb_weights *weights)
{
    lb_context *context = packer->context;
    uint32_t fault = 0;
    lb_packer_args args = LB_PACKER_ARGS_INIT;
    args.weights = weights;
    args.codes = at_offset(u->memory, u->codes);
    args.scales = at_offset(u->memory, u->scales);
    args.zeros = at_offset(u->memory, u->zeros);
    args.fault = at_offset(u->memory, u->fault);
    LB_TRY(lb_packer_run(packer, &args, NULL));
    LB_TRY(context->backend->read(context, &fault, args.fault, sizeof fault, NULL));
    return fault ? say_fault(stored, (int64_t)fault - 1) : LB_OK;
}

lb_status lb_weights_upload_stored(const lb_plan *plan, const lb_stored *stored, int32_t term,
                                   lb_weights **weights)
{
    lb_matrix m;
    lb_term t;
    lb_packer *packer;
    lb_weights *made = NULL;
    int32_t count;
    if (!plan || !weights)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_weights_upload_stored: %s is NULL",
                       plan ? "weights" : "plan");
    LB_TRY(lb_term_open(stored, false, term, &m, &t, &count));
    LB_TRY(lb_packer_create(plan, stored, term, &packer));
    lb_context *context = plan->context;
    upload u = {0};
    u.codes = place_of(&u.bytes, packer->bytes[LB_PACK_CODES]);
    u.scales = place_of(&u.bytes, packer->bytes[LB_PACK_SCALES]);
    u.zeros = place_of(&u.bytes, packer->bytes[LB_PACK_ZEROS]);
    u.fault = place_of(&u.bytes, sizeof(uint32_t));
    u.scale_values = malloc((size_t)packer->bytes[LB_PACK_SCALES] + 1);
    u.zero_values = malloc((size_t)packer->bytes[LB_PACK_ZEROS] + 1);
    lb_status status = u.scale_values && u.zero_values
                           ? context->backend->alloc(context, (size_t)u.bytes, &u.memory)
                           : lb_fail(LB_OUT_OF_MEMORY,
                                     "lb_weights_upload_stored: no memory for the scales of n "
                                     "%" PRId64,
                                     m.form.n);
    if (status == LB_OK)
        status = write_parts(context, packer, stored, term, &u);
    if (status == LB_OK)
        status = lb_weights_reserve(plan, NULL, &made);
    if (status == LB_OK)
        status = pack(packer, stored, &u, made);
    if (status != LB_OK)
        lb_weights_destroy(made);
    else
        *weights = made;
    if (u.memory.base)
        context->backend->free(context, u.memory);
    free(u.scale_values);
    free(u.zero_values);
    lb_packer_destroy(packer);
    return status;
}
