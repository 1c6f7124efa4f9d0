/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packers of one device against lb_weights_pack: every layout, type, granularity and order of the
 * source, and stored matrices; all bytes of the blob but its checksum. Plans are made by hand, so
 * that a layout needs no kernel that eats it.
 */
#ifndef PACKERS_H
#define PACKERS_H

#include "check.h"
#include "formats.h"
#include "packer.h"
#include "problem.h"
#include "rig.h"

/* What a packer asks of a plan. */
typedef struct pack_plan {
    lb_plan plan;
    lb_kernel row;
    lb_blob_header header;
} pack_plan;

/* False: the layout does not hold this type. */
static bool pack_plan_make(lb_context *context, const lb_problem *problem, const lb_layout *layout,
                           pack_plan *p)
{
    *p = (pack_plan){.row = {.name = layout->name, .layout = layout->name}};
    if (lb_problem_normalise(problem, &p->plan.problem) != LB_OK ||
        lb_blob_plan(&p->plan.problem, layout, &p->header) != LB_OK)
        return false;
    p->plan.context = context;
    p->plan.row = &p->row;
    p->plan.blob = &p->header;
    return true;
}

enum { GUARD = 256 };

/* Weights in memory with poison behind. */
static lb_weights *reserve(lb_context *context, const lb_plan *plan, lb_ptr *memory)
{
    lb_weights *weights;
    size_t bytes = (size_t)plan->blob->bytes + GUARD;
    unsigned char *poison = malloc(bytes);
    memset(poison, RIG_POISON, bytes);
    check_ok(lb_memory_alloc(context, bytes, memory));
    check_ok(lb_memory_write(context, *memory, poison, bytes, NULL));
    check_ok(lb_weights_reserve(plan, memory, &weights));
    free(poison);
    return weights;
}

/* Whether device memory holds this blob, but for the checksum, and nothing behind it was touched.
 */
static bool holds(lb_context *context, lb_ptr memory, const void *blob, size_t bytes, size_t *where)
{
    unsigned char *got = malloc(bytes + GUARD);
    check_ok(lb_memory_read(context, got, memory, bytes + GUARD, NULL));
    memcpy(got + offsetof(lb_blob_header, checksum),
           (const char *)blob + offsetof(lb_blob_header, checksum), sizeof(uint64_t));
    size_t at = 0;
    while (at < bytes && got[at] == ((const unsigned char *)blob)[at])
        at++;
    while (at >= bytes && at < bytes + GUARD && got[at] == RIG_POISON)
        at++;
    free(got);
    *where = at;
    return at == bytes + GUARD;
}

/* ---- Canonical weights ----------------------------------------------------------------------- */

/* Type by type; %s is B's. */
static const char *const pack_lines[] = {
    "f32*%s->f32 m1 n70 k130",
    "f32*%s.tensor->f32 m1 n1 k1 b3",
    "f32*%s.channel.bf16->f32 m1 n129 k33",
    "f32*%s.g32.f16.z->f32 m1 n37 k150 b2",
    "f32*%s@cols.g96->f32 m1 n65 k1100",
    "f32*%s@cols.channel.z->f32 m1 n33 k64",
    "s8*%s.channel.z->f32 m1 n20 k0",
    "f32*%s.g64.tables->f32 m1 n37 k150 b2",
    "f32*%s.channel.tables->f32 m1 n18 k70",
    "s8*%s.g64.u8.z->f32 m1 n37 k150 b2",
    "s8*%s@cols.g96.u8->s32 m1 n65 k1100",
    "s8*%s.g32.u8.zt->f32 m1 n64 k0",
};
static const char *const pack_types[] = {"s8", "u8", "s4", "u4", "s2",
                                         "u2", "t2", "b1", "c4", "c2"};

typedef struct pack_source {
    rig_inputs in;
    float *tables;
    lb_weights_source source;
} pack_source;

static bool pack_source_make(const char *line, uint32_t seed, pack_source *s)
{
    if (rig_inputs_make(line, seed, &s->in) != LB_OK) {
        rig_inputs_free(&s->in);
        return false;
    }
    uint32_t state = seed | 1;
    s->tables = malloc((size_t)s->in.sizes.b_table + 1);
    rig_fill(LB_TYPE_F32, s->tables, s->in.sizes.b_table, &state);
    s->source = s->in.source;
    s->source.tables = s->tables;
    return true;
}

static void pack_source_free(pack_source *s)
{
    free(s->tables);
    rig_inputs_free(&s->in);
}

/* Packs on the device; `fault` is what it found. */
static void pack_canonical(lb_context *context, const lb_plan *plan, const pack_source *s,
                           lb_weights *weights, uint32_t *fault)
{
    lb_packer *packer;
    lb_packer_args args = LB_PACKER_ARGS_INIT;
    const lb_sizes *sizes = &s->in.sizes;
    *fault = 0xffffffffu;
    check_ok(lb_packer_create(plan, NULL, 0, &packer));
    check_ok(rig_upload(context, s->source.codes, sizes->b, &args.codes));
    check_ok(rig_upload(context, s->source.scales, sizes->b_scale, &args.scales));
    check_ok(rig_upload(context, s->source.zeros, sizes->b_zero, &args.zeros));
    check_ok(rig_upload(context, s->source.tables, sizes->b_table, &args.tables));
    check_ok(rig_upload(context, s->source.channel_scales, sizes->b_channel_scale,
                        &args.channel_scales));
    check_ok(rig_upload(context, fault, sizeof *fault, &args.fault));
    args.weights = weights;
    check_ok(lb_packer_run(packer, &args, NULL));
    check_ok(lb_memory_read(context, fault, args.fault, sizeof *fault, NULL));
    const lb_ptr owned[] = {args.codes,  args.scales, args.zeros,
                            args.tables, args.fault,  args.channel_scales};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (owned[i].base)
            lb_memory_free(context, owned[i]);
    lb_packer_destroy(packer);
}

static bool compare_canonical(lb_context *context, const char *line, const lb_layout *layout)
{
    pack_source s;
    pack_plan p;
    lb_ptr memory;
    size_t where;
    uint32_t fault;
    if (!pack_source_make(line, 5, &s))
        return false;
    if (!pack_plan_make(context, &s.in.problem, layout, &p)) {
        pack_source_free(&s);
        return false;
    }
    char *blob = malloc((size_t)p.header.bytes);
    check_ok(lb_weights_pack(&p.plan, &s.source, blob, (size_t)p.header.bytes));
    lb_weights *weights = reserve(context, &p.plan, &memory);
    pack_canonical(context, &p.plan, &s, weights, &fault);
    cr_assert(holds(context, memory, blob, (size_t)p.header.bytes, &where),
              "%s in %s: byte %zu of %zu (codes at %zu, sums at %zu)", line, layout->name, where,
              (size_t)p.header.bytes, (size_t)p.header.codes, (size_t)p.header.sum);
    cr_assert_eq(fault, 0, "%s: row %u", line, fault);
    lb_weights_destroy(weights);
    lb_memory_free(context, memory);
    free(blob);
    pack_source_free(&s);
    return true;
}

static int compare_all_canonical(lb_context *context)
{
    int count = 0;
    for (size_t l = 0; l < lb_layout_count; l++)
        for (size_t t = 0; t < sizeof pack_types / sizeof *pack_types; t++)
            for (size_t i = 0; i < sizeof pack_lines / sizeof *pack_lines; i++) {
                char line[96];
                snprintf(line, sizeof line, pack_lines[i], pack_types[t]);
                count += compare_canonical(context, line, &lb_layouts[l]);
            }
    return count;
}

/* ---- Stored matrices ------------------------------------------------------------------------- */

static const struct {
    const char *format;
    int bits;
    int64_t n, k, group;
    bool ordered;
} pack_stored[] = {
    {"gptq", 4, 64, 256, 64, false},
    {"gptq", 4, 64, 256, 64, true},
    {"gptq", 8, 32, 96, 32, false},
    {"gptq_v2", 2, 64, 128, 0, true},
    {"awq", 0, 72, 160, 32, false},
    {"awq_v2", 0, 36, 128, 64, false},
    {"ct", 4, 37, 160, 32, false},
    {"ct", 3, 37, 100, 0, false},
    {"ct", 6, 9, 96, -1, false},
    {"ct_int8", 0, 37, 100, 0, false},
    {"marlin", 0, 64, 128, 128, false},
    {"nbits", 4, 37, 150, 32, false},
    {"nbits", 2, 37, 160, 32, false},
    {"bnb_int8", 0, 37, 99, 0, false},
    {"q4_0", 0, 37, 160, 0, false},
    {"q4_1", 0, 37, 160, 0, false},
    {"q5_0", 0, 37, 160, 0, false},
    {"q5_1", 0, 37, 160, 0, false},
    {"q8_0", 0, 37, 160, 0, false},
    {"q2_k", 0, 9, 512, 0, false},
    {"q3_k", 0, 9, 512, 0, false},
    {"q4_k", 0, 9, 512, 0, false},
    {"q5_k", 0, 9, 512, 0, false},
    {"q6_k", 0, 9, 512, 0, false},
    {"iq4_nl", 0, 37, 160, 0, false},
    {"iq4_xs", 0, 9, 512, 0, false},
    {"tq2_0", 0, 9, 512, 0, false},
    {"mxfp4", 0, 37, 160, 0, false},
    {"q1_0", 0, 37, 256, 0, false},
    {"q2_0", 0, 37, 192, 0, false},
    {"i2_s", 0, 36, 256, -1, false},
    {"i2_s_arm", 0, 36, 192, -1, false},
    {"i2_s_rows", 0, 36, 100, -1, false},
    {"hf_bitnet", 0, 36, 100, -1, false},
    {"hf_bitnet_div", 0, 36, 100, -1, false},
    {"bitnet_gpu", 0, 32, 96, -1, false},
    {"larq", 0, 37, 70, 0, false},
    {"canon", 5, 37, 70, 0, false},
    {"canon", 2, 9, 96, 16, false},
};
enum { PACK_STORED = sizeof pack_stored / sizeof *pack_stored };

/* A matrix of the table's row i; its columns in an order of their own where it says so. */
static void pack_stored_make(size_t i, bool full, lb_stored *stored)
{
    uint64_t state = i + 1;
    check_ok(stored_describe(pack_stored[i].format, pack_stored[i].n, pack_stored[i].k,
                             pack_stored[i].bits, pack_stored[i].group, full, stored));
    int64_t k = stored->k, group = stored->group > 0 ? stored->group : k;
    if (pack_stored[i].ordered) {
        stored->part[LB_PART_ORDER].bytes = 1;
        check_ok(lb_stored_sizes(stored));
    }
    stored_alloc(stored);
    int32_t *order = stored->part[LB_PART_ORDER].data;
    for (int64_t at = 0; order && at < k; at++)
        order[at] = (int32_t)(at * 37 % k / group);
    check_ok(stored_fill(stored, &state));
}

/* Every term in this layout; returns how many. */
static int compare_stored(lb_context *context, const lb_stored *stored, const lb_layout *layout)
{
    int32_t terms;
    int count = 0;
    check_ok(lb_stored_terms(stored, &terms));
    for (int32_t t = 0; t < terms; t++) {
        lb_problem problem = LB_PROBLEM_INIT;
        pack_plan p;
        lb_weights *weights;
        size_t where;
        problem.m = 1;
        problem.a.type = problem.d.type = LB_TYPE_F32;
        check_ok(lb_stored_problem(stored, t, &problem));
        if (!pack_plan_make(context, &problem, layout, &p))
            continue;
        size_t bytes = (size_t)p.header.bytes;
        char *blob = malloc(bytes), *got = malloc(bytes);
        check_ok(lb_weights_pack_stored(&p.plan, stored, t, blob, bytes));
        check_ok(lb_weights_upload_stored(&p.plan, stored, t, &weights));
        check_ok(lb_memory_read(context, got, weights->memory, bytes, NULL));
        memcpy(got + offsetof(lb_blob_header, checksum), blob + offsetof(lb_blob_header, checksum),
               sizeof(uint64_t));
        for (where = 0; where < bytes && got[where] == blob[where];)
            where++;
        cr_assert_eq(where, bytes, "%s term %d in %s: byte %zu of %zu (codes at %zu, sums at %zu)",
                     stored->format, t, layout->name, where, bytes, (size_t)p.header.codes,
                     (size_t)p.header.sum);
        lb_weights_destroy(weights);
        free(blob);
        free(got);
        count++;
    }
    return count;
}

static int compare_all_stored(lb_context *context)
{
    static const char *const layouts[] = {"rows", "panel64x4", "block16x64", "frag64x128"};
    int count = 0;
    for (size_t i = 0; i < PACK_STORED; i++)
        for (int full = 0; full < 2; full++) {
            lb_stored stored;
            if (full && (pack_stored[i].group == -1 || pack_stored[i].group == 16))
                continue;
            pack_stored_make(i, full, &stored);
            for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
                count += compare_stored(context, &stored, lb_layout_find(layouts[l]));
            stored_free(&stored);
        }
    return count;
}

#endif
