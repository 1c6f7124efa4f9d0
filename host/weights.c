/* SPDX-License-Identifier: Apache-2.0 */
/* The packed weights blob: what it must look like for a problem and a layout, making it, checking
 * it. */
#include "weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "problem.h"
#include "status.h"
#include "types.h"

static uint64_t align64(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

lb_status lb_blob_plan(const lb_problem *p, const lb_layout *layout, lb_blob_header *header)
{
    lb_extent extent;
    LB_TRY(lb_extent_make(layout, p->b.type, p->n, p->k, &extent));
    lb_blob_header h = {.magic = LB_BLOB_MAGIC, .version = LB_BLOB_VERSION};
    strncpy(h.layout, layout->name, sizeof h.layout - 1);
    h.type = p->b.type;
    h.has_scale = p->b.scale != LB_PER_NONE;
    h.has_step = lb_problem_is_stepped(p);
    h.has_zero = p->b.zero != LB_PER_NONE && !h.has_step;
    h.n = p->n;
    h.k = p->k;
    h.batch = p->batch;
    h.groups = lb_problem_groups(p);
    h.group = lb_problem_group_length(p);
    h.n_pad = extent.n_pad;
    h.k_pad = extent.k_pad;
    h.codes_batch = extent.bytes;
    h.meta_batch = (uint64_t)h.groups * (uint64_t)h.n_pad * 4;
    uint64_t batch = (uint64_t)h.batch, at = LB_BLOB_HEADER_BYTES;
    h.codes = at;
    at += batch * h.codes_batch;
    if (h.has_scale) {
        h.scale = at;
        at += align64(batch * h.meta_batch);
    }
    if (h.has_zero) {
        h.zero = at;
        at += align64(batch * h.meta_batch);
    }
    h.sum = at;
    at += align64(batch * h.meta_batch);
    if (p->b_table) {
        bool own = p->b_table != LB_PER_TENSOR;
        uint64_t tables = own ? (uint64_t)h.groups * (uint64_t)h.n_pad : 1;
        h.has_table = own ? 2 : 1;
        h.table = at;
        h.table_batch = tables * (uint64_t)lb_problem_table_entries(p) * 4;
        at += align64(batch * h.table_batch);
    }
    if (h.has_step) {
        h.steps = lb_problem_scale_groups(p);
        h.step_group = p->b.group;
        h.step = at;
        h.step_batch = (uint64_t)h.steps * (uint64_t)h.n_pad * 4;
        at += align64(batch * h.step_batch);
    }
    h.bytes = at;
    *header = h;
    return LB_OK;
}

static uint64_t checksum(const void *blob, uint64_t bytes)
{
    size_t from = offsetof(lb_blob_header, checksum) + sizeof(uint64_t);
    return lb_hash64((const char *)blob + from, (size_t)bytes - from);
}

/* ---- Packing --------------------------------------------------------------------------------- */

/* Row n of B as values, whatever the source layout. */
static void read_row(const lb_problem *p, const void *matrix, int64_t n, int32_t *values)
{
    const lb_operand *b = &p->b;
    if (b->layout == LB_LAYOUT_ROWS) {
        lb_row_to_int(b->type, (const char *)matrix + n * lb_operand_row_bytes(b), 0, p->k, values);
        return;
    }
    unsigned bits = (unsigned)lb_type_bits(b->type);
    for (int64_t k = 0; k < p->k; k++)
        values[k] = lb_value_from_code(
            b->type, lb_field_get(matrix, (uint64_t)(k * b->ld + n) * bits, (int)bits));
}

static int64_t value_index(const lb_problem *p, int32_t granularity, int64_t batch, int64_t n,
                           int64_t g)
{
    switch (granularity) {
    case LB_PER_TENSOR: return batch;
    case LB_PER_CHANNEL: return batch * p->n + n;
    default: return (batch * p->n + n) * lb_problem_scale_groups(p) + g;
    }
}

static float scale_at(const lb_problem *p, const void *scales, int64_t index)
{
    float value;
    lb_row_to_float(p->b.scale_type, scales, index, 1, &value);
    return value;
}

static lb_status check_source(const lb_problem *p, const lb_weights_source *source)
{
    LB_CHECK_STRUCT(source, lb_weights_source);
    bool empty = p->n == 0 || p->k == 0;
    if (!source->codes && !empty)
        return lb_fail(LB_INVALID_ARGUMENT, "weights: codes is NULL");
    if (!source->scales && p->b.scale && p->n)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "weights: scales is NULL but the problem has scales of B");
    if (!source->zeros && p->b.zero && p->n)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "weights: zeros is NULL but the problem has zero points of B");
    if (!source->channel_scales && lb_problem_is_stepped(p) && p->n)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "weights: channel_scales is NULL but B's scales have two levels: u8 per "
                       "group, f32 per channel");
    if (!source->tables && p->b_table && p->n)
        return lb_fail(LB_INVALID_ARGUMENT, "weights: tables is NULL but B is %s",
                       lb_type_name(p->b.type));
    return LB_OK;
}

/* Zero points beyond the type's range would break the bound on the accumulator. */
static lb_status check_zeros(const lb_problem *p, const int32_t *zeros)
{
    const lb_type_row *type = lb_type_get(p->b.type);
    int64_t count = p->b.zero ? lb_granularity_count(p, p->b.zero) * p->batch : 0;
    for (int64_t i = 0; i < count; i++)
        if (zeros[i] < type->min || zeros[i] > type->max)
            return lb_fail(LB_INVALID_ARGUMENT,
                           "weights: zero point %" PRId64 " is %d; %s takes %d to %d", i, zeros[i],
                           type->name, type->min, type->max);
    return LB_OK;
}

/* Padding reads entry 0: no entry may be what 0 does not cancel. */
static lb_status check_tables(const lb_problem *p, const float *tables)
{
    int64_t entries = lb_problem_table_entries(p);
    int64_t count = p->b_table ? lb_granularity_count(p, p->b_table) * p->batch * entries : 0;
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(tables[i]))
            return lb_fail(LB_INVALID_ARGUMENT,
                           "weights: entry %" PRId64 " of table %" PRId64
                           " is %g; all must be finite",
                           i % entries, i / entries, (double)tables[i]);
    return LB_OK;
}

static const char *matrix_of(const lb_problem *p, const lb_weights_source *source, int64_t batch)
{
    if (!source->codes)
        return NULL;
    return (const char *)source->codes + batch * p->b.batch_stride * lb_type_bits(p->b.type) / 8;
}

/* A pass of its own, so that nothing is written if a code is refused. values: a row of scratch. */
static lb_status check_ternary(const lb_problem *p, const lb_weights_source *source,
                               int32_t *values)
{
    if (p->b.type != LB_TYPE_T2 || p->k == 0)
        return LB_OK;
    for (int64_t batch = 0; batch < p->batch; batch++)
        for (int64_t n = 0; n < p->n; n++) {
            read_row(p, matrix_of(p, source, batch), n, values);
            for (int64_t k = 0; k < p->k; k++)
                if (values[k] == -2)
                    return lb_fail(LB_INVALID_ARGUMENT,
                                   "weights: element (batch %" PRId64 ", n %" PRId64 ", k %" PRId64
                                   ") has the code 2, which is no ternary value; t2 takes 0, 1 and "
                                   "3 (0, 1, -1), s2 takes all four",
                                   batch, n, k);
        }
    return LB_OK;
}

static int32_t step_word_at(const lb_problem *p, const lb_weights_source *source, int64_t batch,
                            int64_t n, int64_t g)
{
    int32_t zero = p->b.zero ? source->zeros[value_index(p, p->b.zero, batch, n, g)] : 0;
    const uint8_t *scales = source->scales;
    return lb_step_word(scales[value_index(p, p->b.scale, batch, n, g)], zero);
}

/* Values of two levels must fit in 8 bits: kernels make them four to a word, without carries. That
   of code 0 too where it pads the last 32 of k. */
static lb_status check_steps(const lb_problem *p, const lb_weights_source *source, int32_t *values)
{
    if (!lb_problem_is_stepped(p) || p->k == 0)
        return LB_OK;
    int64_t padded = (p->k + 31) / 32 * 32, group = p->b.group;
    for (int64_t batch = 0; batch < p->batch; batch++)
        for (int64_t n = 0; n < p->n; n++) {
            read_row(p, matrix_of(p, source, batch), n, values);
            int32_t word = 0;
            for (int64_t k = 0; k < padded; k++) {
                if (k % group == 0)
                    word = step_word_at(p, source, batch, n, k / group);
                int32_t value = lb_step_value(word, k < p->k ? values[k] : 0);
                if (value < INT8_MIN || value > INT8_MAX)
                    return lb_fail(
                        LB_INVALID_ARGUMENT,
                        "weights: %s (batch %" PRId64 ", n %" PRId64 ", k %" PRId64
                        ") is %d with the scale %d of its group; values of two levels are -128 to "
                        "127: use smaller scales per group and a larger one per channel",
                        k < p->k ? "element" : "code 0, which pads", batch, n, k, value,
                        word & 0xffff);
            }
        }
    return LB_OK;
}

/* The words of one row's groups; *values become those of B. */
static void pack_steps(const lb_problem *p, const lb_blob_header *h,
                       const lb_weights_source *source, char *blob, int64_t batch, int64_t n,
                       int32_t *values)
{
    int32_t *step = (int32_t *)(void *)(blob + h->step + (uint64_t)batch * h->step_batch);
    for (int64_t g = 0; g < h->steps; g++) {
        int32_t word = step_word_at(p, source, batch, n, g);
        int64_t end = (g + 1) * h->step_group < h->k ? (g + 1) * h->step_group : h->k;
        step[g * h->n_pad + n] = h->k ? word : 0;
        for (int64_t k = g * h->step_group; k < end; k++)
            values[k] = lb_step_value(word, values[k]);
    }
}

/* Scales, zero points and sums of one row, expanded to every group. */
static void pack_meta(const lb_problem *p, const lb_blob_header *h, const lb_weights_source *source,
                      char *blob, int64_t batch, int64_t n, const int32_t *values)
{
    float *scale = (float *)(void *)(blob + h->scale + (uint64_t)batch * h->meta_batch);
    int32_t *zero = (int32_t *)(void *)(blob + h->zero + (uint64_t)batch * h->meta_batch);
    int32_t *sum = (int32_t *)(void *)(blob + h->sum + (uint64_t)batch * h->meta_batch);
    for (int64_t g = 0; g < h->groups; g++) {
        int64_t at = g * h->n_pad + n;
        if (h->has_step)
            scale[at] = source->channel_scales[batch * p->n + n];
        else if (h->has_scale)
            scale[at] = scale_at(p, source->scales, value_index(p, p->b.scale, batch, n, g));
        if (h->has_zero)
            zero[at] = source->zeros[value_index(p, p->b.zero, batch, n, g)];
        int64_t end = (g + 1) * h->group < h->k ? (g + 1) * h->group : h->k;
        int32_t total = 0;
        for (int64_t k = g * h->group; k < end; k++)
            total += values[k];
        sum[at] = total;
    }
}

void lb_blob_begin(const lb_blob_header *header, const lb_extent *extent, bool whole, void *blob)
{
    char *bytes = blob;
    memset(bytes, 0, (size_t)header->codes);
    memcpy(bytes, header, sizeof *header);
    for (int64_t batch = 0; !whole && batch < header->batch; batch++)
        lb_extent_clear(extent, bytes + header->codes + (uint64_t)batch * header->codes_batch);
    /* Where no columns are added, all that belongs to groups will be written. */
    bool filled = header->n == header->n_pad;
    uint64_t meta = header->codes + (uint64_t)header->batch * header->codes_batch;
    if (filled)
        meta = header->has_table ? header->table : header->bytes;
    memset(bytes + meta, 0, (size_t)(header->bytes - meta));
}

void lb_blob_end(const lb_blob_header *header, void *blob)
{
    char *bytes = blob;
    for (int64_t batch = 0; header->has_scale && batch < header->batch; batch++) {
        float *scale =
            (float *)(void *)(bytes + header->scale + (uint64_t)batch * header->meta_batch);
        for (int64_t g = 0; g < header->groups; g++)
            for (int64_t n = header->n; n < header->n_pad; n++)
                scale[g * header->n_pad + n] = 1;
    }
    ((lb_blob_header *)blob)->checksum = checksum(blob, header->bytes);
}

/* The tables of one batch: one, or expanded to every row and group; 0 beyond n. */
static void pack_tables(const lb_problem *p, const lb_blob_header *h, const float *tables,
                        char *blob, int64_t batch)
{
    int64_t entries = lb_problem_table_entries(p);
    size_t bytes = (size_t)entries * sizeof *tables;
    float *out = (float *)(void *)(blob + h->table + (uint64_t)batch * h->table_batch);
    if (h->has_table == 1)
        memcpy(out, tables + batch * entries, bytes);
    else
        for (int64_t g = 0; g < h->groups; g++)
            for (int64_t n = 0; n < h->n; n++)
                memcpy(out + (g * h->n_pad + n) * entries,
                       tables + value_index(p, p->b_table, batch, n, g) * entries, bytes);
}

lb_status lb_blob_pack(const lb_problem *p, const lb_blob_header *header,
                       const lb_weights_source *source, void *blob)
{
    LB_TRY(check_source(p, source));
    LB_TRY(check_zeros(p, source->zeros));
    LB_TRY(check_tables(p, source->tables));
    lb_extent extent;
    LB_TRY(lb_extent_make(lb_layout_find(header->layout), p->b.type, p->n, p->k, &extent));
    /* One piece: the columns' offsets, then a row of values. */
    size_t length = (size_t)(p->k ? p->k : 1);
    uint64_t *columns = malloc(length * (sizeof *columns + sizeof(int32_t)));
    if (!columns)
        return lb_fail(LB_OUT_OF_MEMORY,
                       "packing weights: no memory for a row of %" PRId64 " values", p->k);
    int32_t *values = (int32_t *)(void *)(columns + length);

    lb_status status = check_ternary(p, source, values);
    if (status == LB_OK)
        status = check_steps(p, source, values);
    if (status != LB_OK)
        goto out;
    lb_extent_columns(&extent, columns);
    char *bytes = blob;
    lb_blob_begin(header, &extent, false, blob);
    for (int64_t batch = 0; batch < p->batch; batch++) {
        char *codes = bytes + header->codes + (uint64_t)batch * header->codes_batch;
        const char *matrix = matrix_of(p, source, batch);
        for (int64_t n = 0; n < p->n; n++) {
            if (p->k)
                read_row(p, matrix, n, values);
            lb_extent_put_row(&extent, columns, codes, n, values);
            if (header->has_step)
                pack_steps(p, header, source, bytes, batch, n, values);
            pack_meta(p, header, source, bytes, batch, n, values);
        }
        if (header->has_table && p->n)
            pack_tables(p, header, source->tables, bytes, batch);
    }
    lb_blob_end(header, blob);
out:
    free(columns);
    return status;
}

/* ---- Checking -------------------------------------------------------------------------------- */

/* Fields that must be equal and need no sentence of their own. */
typedef struct blob_field {
    const char *name;
    size_t offset, bytes;
} blob_field;

static const blob_field fields[] = {
#define FIELD(name)                                                                                \
    {                                                                                              \
#name, offsetof(lb_blob_header, name), sizeof(((lb_blob_header *)0)->name)                 \
    }
    FIELD(batch),      FIELD(n),      FIELD(k),           FIELD(has_scale),   FIELD(has_zero),
    FIELD(group),      FIELD(groups), FIELD(n_pad),       FIELD(k_pad),       FIELD(codes),
    FIELD(has_table),  FIELD(table),  FIELD(table_batch), FIELD(codes_batch), FIELD(scale),
    FIELD(zero),       FIELD(sum),    FIELD(meta_batch),  FIELD(has_step),    FIELD(steps),
    FIELD(step_group), FIELD(step),   FIELD(step_batch),
#undef FIELD
};

static uint64_t field_of(const lb_blob_header *header, const blob_field *field)
{
    uint32_t word;
    uint64_t value;
    const char *at = (const char *)header + field->offset;
    if (field->bytes == sizeof value) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&word, at, sizeof word);
    return word;
}

#define BAD(...) return lb_fail(LB_BAD_DATA, "weights blob: " __VA_ARGS__)

lb_status lb_blob_check(const lb_blob_header *expected, const void *blob, size_t bytes)
{
    lb_blob_header h;
    if (!blob)
        return lb_fail(LB_INVALID_ARGUMENT, "weights blob: pointer is NULL");
    if (bytes < sizeof h)
        BAD("%zu bytes are less than its header of %zu; it is truncated", bytes, sizeof h);
    memcpy(&h, blob, sizeof h);
    if (h.magic != LB_BLOB_MAGIC)
        BAD("magic is 0x%08x, not 0x%08x; this is no packed lowbit weights", h.magic,
            LB_BLOB_MAGIC);
    if (h.version != LB_BLOB_VERSION)
        BAD("version is %u, this library reads %u; pack the weights again", h.version,
            LB_BLOB_VERSION);
    if (h.bytes != bytes)
        BAD("it says it has %" PRIu64 " bytes but %zu were given; it is truncated or has a tail",
            h.bytes, bytes);
    uint64_t sum = checksum(blob, bytes);
    if (h.checksum != sum)
        BAD("checksum is %016" PRIx64 " but the data has %016" PRIx64 "; it is damaged", h.checksum,
            sum);
    h.layout[sizeof h.layout - 1] = 0;
    if (strcmp(h.layout, expected->layout) != 0)
        BAD("its layout is '%s' but the plan's kernel eats '%s'; make the plan with "
            "lb_plan_desc.layout = '%s', or pack again",
            h.layout, expected->layout, h.layout);
    if (h.type != expected->type)
        BAD("its weights are %s, the plan's are %s", lb_type_name(h.type),
            lb_type_name(expected->type));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t got = field_of(&h, &fields[i]), want = field_of(expected, &fields[i]);
        if (got != want)
            BAD("its %s is %" PRIu64 ", the plan's is %" PRIu64 "; pack the weights for this plan",
                fields[i].name, got, want);
    }
    h.checksum = expected->checksum;
    if (memcmp(&h, expected, sizeof h) != 0)
        BAD("its reserved bytes are not 0, as version %u has them; pack the weights again",
            LB_BLOB_VERSION);
    return LB_OK;
}
