/* SPDX-License-Identifier: Apache-2.0 */
/* Packed weights: what the blob holds, every way in which it can be wrong, whose memory it is in,
   and which sources are refused. */
#include "weights.h"

#include <stdlib.h>

#include "check.h"
#include "hash.h"
#include "problem.h"
#include "rig.h"
#include "types.h"

#define UNTOUCHED ((lb_weights *)0x1234) /* must survive a refusal */

/* A plan and one source on the reference, which eats the layout "rows". */
typedef struct scene {
    lb_context *context;
    rig_inputs in;
    lb_plan *plan;
    size_t bytes;
    unsigned char *blob; /* packed */
} scene;

static void open_scene(const char *device, const char *line, scene *s)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    desc.device = device;
    check_ok(lb_context_create(&desc, &s->context));
    check_ok(rig_inputs_make(line, 11, &s->in));
    check_ok(lb_plan_create(s->context, &s->in.problem, NULL, &s->plan));
    check_ok(lb_plan_get_info(s->plan, &info));
    s->bytes = (size_t)info.weights_bytes;
    s->blob = malloc(s->bytes);
    cr_assert(s->blob);
    check_ok(lb_weights_pack(s->plan, &s->in.source, s->blob, s->bytes));
}

static void close_scene(scene *s)
{
    free(s->blob);
    lb_plan_destroy(s->plan);
    rig_inputs_free(&s->in);
    lb_context_destroy(s->context);
}

static void seal(unsigned char *blob, size_t bytes)
{
    size_t from = offsetof(lb_blob_header, checksum) + sizeof(uint64_t);
    uint64_t sum = lb_hash64(blob + from, bytes - from);
    memcpy(blob + offsetof(lb_blob_header, checksum), &sum, sizeof sum);
}

/* ---- What the blob holds --------------------------------------------------------------------- */

static const char *const contents[] = {
    "s8*s4->s32 m2 n5 k7",
    "s8*u8.z.tensor->s32 m2 n17 k33",
    "s8.token*s4.g32.z->f16 m2 n5 k70 b3",
    "s8*s8.channel.z->f16 m1 n3 k9 b2",
    "b1*b1->s32 m1 n9 k13",
    "f16*t2.tensor->f32 m1 n6 k10",
};

static int32_t code_value(const lb_problem *p, const void *codes, int64_t batch, int64_t n,
                          int64_t k)
{
    uint64_t at = (uint64_t)(batch * p->b.batch_stride + n * p->b.ld + k);
    int bits = lb_type_bits(p->b.type);
    return lb_value_from_code(p->b.type, lb_field_get(codes, at * (unsigned)bits, bits));
}

static int64_t index_of(const lb_problem *p, int32_t granularity, int64_t batch, int64_t n,
                        int64_t g, int64_t groups)
{
    return granularity == LB_PER_TENSOR    ? batch
           : granularity == LB_PER_CHANNEL ? batch * p->n + n
                                           : (batch * p->n + n) * groups + g;
}

static void holds_the_source(const scene *s, const char *line)
{
    lb_problem p;
    lb_extent e;
    lb_blob_header h;
    check_ok(lb_problem_normalise(&s->in.problem, &p));
    memcpy(&h, s->blob, sizeof h);
    check_ok(lb_extent_make(lb_layout_find(h.layout), p.b.type, p.n, p.k, &e));
    int64_t groups = p.b.group ? (p.k + p.b.group - 1) / p.b.group : 1;
    int64_t length = p.b.group ? p.b.group : p.k;
    uint64_t wrong = 0;
    for (int64_t b = 0; b < p.batch; b++)
        for (int64_t n = 0; n < h.n_pad; n++)
            for (int64_t g = 0; g < groups; g++) {
                int64_t at = (b * groups + g) * h.n_pad + n;
                int32_t sum = 0;
                for (int64_t k = g * length; n < p.n && k < (g + 1) * length && k < p.k; k++) {
                    int32_t value = code_value(&p, s->in.source.codes, b, n, k);
                    wrong +=
                        value != lb_extent_get(&e, s->blob + h.codes + (uint64_t)b * e.bytes, n, k);
                    sum += value;
                }
                wrong += ((int32_t *)(void *)(s->blob + h.sum))[at] != sum;
                if (p.b.zero)
                    wrong +=
                        ((int32_t *)(void *)(s->blob + h.zero))[at] !=
                        (n < p.n ? s->in.source.zeros[index_of(&p, p.b.zero, b, n, g, groups)] : 0);
                if (p.b.scale)
                    wrong += ((float *)(void *)(s->blob + h.scale))[at] !=
                             (n < p.n ? ((const float *)s->in.source
                                             .scales)[index_of(&p, p.b.scale, b, n, g, groups)]
                                      : 1.0F);
            }
    cr_expect_eq(wrong, 0, "%s: %llu values differ", line, (unsigned long long)wrong);
    cr_expect(h.codes % 64 == 0 && h.scale % 64 == 0 && h.zero % 64 == 0 && h.sum % 64 == 0);
    cr_expect_eq(h.bytes, s->bytes);
    cr_expect_eq(!h.scale, !p.b.scale, "%s: scales", line);
    cr_expect_eq(!h.zero, !p.b.zero, "%s: zero points", line);
}

Test(weights, the_blob_holds_codes_scales_zero_points_and_sums)
{
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        scene s;
        open_scene("ref", contents[i], &s);
        holds_the_source(&s, contents[i]);
        close_scene(&s);
    }
}

Test(weights, scales_of_narrow_types_are_widened)
{
    static const uint16_t bf16[] = {0x3fc0, 0xbe80}, f16[] = {0x3e00, 0xb400}; /* 1.5, -0.25 */
    static const char *const lines[] = {"s8*s4.channel.bf16->f32 m1 n2 k4",
                                        "s8*s4.channel.f16->f32 m1 n2 k4"};
    for (int i = 0; i < 2; i++) {
        scene s;
        open_scene("ref", lines[i], &s);
        s.in.source.scales = i ? f16 : bf16;
        check_ok(lb_weights_pack(s.plan, &s.in.source, s.blob, s.bytes));
        const float *scale =
            (const float *)(void *)(s.blob + ((lb_blob_header *)(void *)s.blob)->scale);
        cr_expect_float_eq(scale[0], 1.5F, 0);
        cr_expect_float_eq(scale[1], -0.25F, 0);
        close_scene(&s);
    }
}

/* The bytes on disk must not change under a version: this blob was made by version 1. */
Test(weights, version_1_is_what_it_was)
{
    static const uint8_t codes[] = {0x21, 0x03, 0xf8, 0x07, 0x9a, 0x0b}; /* s4 [3][3] */
    static const float scales[] = {0.5F, 2, -1};
    static const int32_t zeros[] = {0, -8, 7};
    scene s;
    open_scene("ref", "s8*s4.channel.z->f32 m1 n3 k3", &s);
    s.in.source.codes = codes;
    s.in.source.scales = scales;
    s.in.source.zeros = zeros;
    check_ok(lb_weights_pack(s.plan, &s.in.source, s.blob, s.bytes));
    cr_expect_eq(s.bytes, 512);
    cr_expect_eq(lb_hash64(s.blob, s.bytes), 0x1a6b348fa37f8045,
                 "0x%016llx; a blob that differs needs another LB_BLOB_VERSION",
                 (unsigned long long)lb_hash64(s.blob, s.bytes));
    close_scene(&s);
}

/* Canonical [N][K] to [K][N] with a longer row. */
static void transpose(const lb_problem *rows, const lb_problem *cols, const void *from, void *to)
{
    int bits = lb_type_bits(rows->b.type);
    for (int64_t b = 0; b < rows->batch; b++)
        for (int64_t n = 0; n < rows->n; n++)
            for (int64_t k = 0; k < rows->k; k++) {
                int64_t source = b * rows->b.batch_stride + n * rows->b.ld + k,
                        target = b * cols->b.batch_stride + k * cols->b.ld + n;
                lb_field_put(to, (uint64_t)(target * bits), bits,
                             lb_field_get(from, (uint64_t)(source * bits), bits));
            }
}

Test(weights, sources_in_k_n_order_give_the_same_blob)
{
    static const char *const names[] = {"s8", "u8", "s4", "u4", "s2", "u2", "t2", "b1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int padded = 0; padded < 2; padded++) {
            char line[64];
            scene s;
            lb_problem rows, cols;
            lb_sizes sizes = LB_SIZES_INIT;
            lb_plan *plan;
            snprintf(line, sizeof line, "s8*%s->s32 m1 n11 k21 b2", names[i]);
            open_scene("ref", line, &s);
            check_ok(lb_problem_normalise(&s.in.problem, &rows));
            cols = s.in.problem;
            cols.b.layout = LB_LAYOUT_COLS;
            cols.b.ld = padded ? 24 : 0;
            cols.b.batch_stride = padded ? 24 * 21 + 16 : 0;
            check_ok(lb_problem_sizes(&cols, &sizes));
            check_ok(lb_plan_create(s.context, &cols, NULL, &plan));
            check_ok(lb_problem_normalise(&cols, &cols));
            unsigned char *codes = calloc(1, sizes.b), *blob = malloc(s.bytes);
            cr_assert(codes && blob);
            transpose(&rows, &cols, s.in.source.codes, codes);
            lb_weights_source source = s.in.source;
            source.codes = codes;
            check_ok(lb_weights_pack(plan, &source, blob, s.bytes));
            cr_expect_arr_eq(blob, s.blob, s.bytes, "%s, ld %lld", line, (long long)cols.b.ld);
            free(codes);
            free(blob);
            lb_plan_destroy(plan);
            close_scene(&s);
        }
}

/* ---- What is wrong with a blob --------------------------------------------------------------- */

/* Loads from memory of exactly this size, at an odd address half of the time. */
static lb_status load(const lb_plan *plan, const unsigned char *blob, size_t bytes)
{
    size_t shift = bytes % 2;
    unsigned char *copy = malloc(bytes + shift + 1);
    lb_weights *weights = UNTOUCHED;
    cr_assert(copy);
    memcpy(copy + shift, blob, bytes);
    lb_status status = lb_weights_load(plan, copy + shift, bytes, NULL, &weights);
    free(copy);
    if (status == LB_OK)
        lb_weights_destroy(weights);
    else
        cr_assert_eq(weights, UNTOUCHED, "the handle was written in spite of %s", lb_last_error());
    return status;
}

#define LINE "s8.token*s4.g32.z->f16 m2 n5 k70 b2"

Test(weights, each_single_bit_that_flips_is_noticed)
{
    scene s;
    open_scene("ref", LINE, &s);
    check_ok(load(s.plan, s.blob, s.bytes));
    for (size_t i = 0; i < 8 * s.bytes; i += i < 8 * 256 ? 1 : 7) {
        s.blob[i / 8] ^= (unsigned char)(1 << i % 8);
        cr_assert_eq(load(s.plan, s.blob, s.bytes), LB_BAD_DATA, "bit %zu", i);
        s.blob[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    close_scene(&s);
}

Test(weights, every_shorter_length_is_truncated)
{
    scene s;
    open_scene("ref", LINE, &s);
    for (size_t bytes = 0; bytes < s.bytes; bytes += bytes < 300 ? 1 : 61) {
        cr_assert_eq(load(s.plan, s.blob, bytes), LB_BAD_DATA, "%zu bytes", bytes);
        cr_assert(strstr(lb_last_error(), "truncated"), "%s", lb_last_error());
    }
    check_status(load(s.plan, s.blob, 12), LB_BAD_DATA,
                 "weights blob: 12 bytes are less than its header of 256; it is truncated");
    unsigned char *longer = calloc(1, s.bytes + 1);
    cr_assert(longer);
    memcpy(longer, s.blob, s.bytes);
    check_status(load(s.plan, longer, s.bytes + 1), LB_BAD_DATA, "truncated or has a tail");
    free(longer);
    close_scene(&s);
}

/* Each field of the header with a checksum that fits, as another program would write it. */
#define FIELD(name) offsetof(lb_blob_header, name)
static const struct {
    size_t at;
    unsigned char byte; /* xor */
    bool sealed;
    const char *part;
} damages[] = {
    {FIELD(magic), 1, true,
     "magic is 0x3157424d, not 0x3157424c; this is no packed lowbit weights"},
    {FIELD(version), 3, true, "version is 2, this library reads 1; pack the weights again"},
    {FIELD(checksum), 1, false, "but the data has"},
    {FIELD(bytes), 64, true, "it says it has"},
    {FIELD(layout), 'r' ^ 'R', true, "its layout is 'Rows' but the plan's kernel eats 'rows'"},
    {FIELD(type), LB_TYPE_S4 ^ LB_TYPE_S8, true, "its weights are s8, the plan's are s4"},
    {FIELD(has_scale), 1, true, "its has_scale is 0, the plan's is 1"},
    {FIELD(has_zero), 1, true, "its has_zero is 0, the plan's is 1"},
    {FIELD(reserved1), 1, true, "its reserved bytes are not 0"},
    {FIELD(n), 3, true, "its n is 6, the plan's is 5; pack the weights for this plan"},
    {FIELD(k), 1, true, "its k is 71, the plan's is 70"},
    {FIELD(batch), 1, true, "its batch is 3, the plan's is 2"},
    {FIELD(groups), 1, true, "its groups is 2, the plan's is 3"},
    {FIELD(group), 96, true, "its group is 64, the plan's is 32"},
    {FIELD(n_pad), 1, true, "its n_pad is 17, the plan's is 16"},
    {FIELD(k_pad), 1, true, "its k_pad is 73, the plan's is 72"},
    {FIELD(codes), 64, true, "its codes is 320, the plan's is 256"},
    {FIELD(scale), 64, true, "its scale is"},
    {FIELD(zero), 64, true, "its zero is"},
    {FIELD(sum), 64, true, "its sum is"},
    {FIELD(codes_batch), 64, true, "its codes_batch is"},
    {FIELD(meta_batch), 64, true, "its meta_batch is"},
    {FIELD(has_step), 1, true, "its has_step is 1, the plan's is 0"},
    {FIELD(steps), 1, true, "its steps is 1, the plan's is 0"},
    {FIELD(step_group), 32, true, "its step_group is 32, the plan's is 0"},
    {FIELD(step), 64, true, "its step is 64, the plan's is 0"},
    {FIELD(step_batch), 64, true, "its step_batch is"},
    {FIELD(reserved) + 23, 1, true, "its reserved bytes are not 0, as version 1 has them"},
};

Test(weights, each_damaged_field_is_named)
{
    scene s;
    open_scene("ref", LINE, &s);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        unsigned char *damaged = malloc(s.bytes);
        cr_assert(damaged);
        memcpy(damaged, s.blob, s.bytes);
        damaged[damages[i].at] ^= damages[i].byte;
        if (damages[i].sealed)
            seal(damaged, s.bytes);
        check_status(load(s.plan, damaged, s.bytes), LB_BAD_DATA, damages[i].part);
        free(damaged);
    }
    close_scene(&s);
}

Test(weights, blobs_of_other_plans_are_refused)
{
    static const struct {
        const char *line, *part;
    } others[] = {
        {"s8.token*u4.g32.z->f16 m2 n5 k70 b2", "its weights are s4, the plan's are u4"},
        {"s8.token*s4.g64.z->f16 m2 n5 k70 b2", "its group is 32, the plan's is 64"},
        {"s8.token*s4.g32->f16 m2 n5 k70 b2", "its has_zero is 1, the plan's is 0"},
        {"s8.token*s4.g32.z->f16 m2 n6 k70 b2", "its n is 5, the plan's is 6"},
        {"s8.token*s4.g32.z->f16 m2 n5 k69 b2", "its k is 70, the plan's is 69"},
    };
    scene s;
    open_scene("ref", LINE, &s);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        lb_problem p;
        lb_plan *plan;
        check_ok(lb_problem_parse(others[i].line, &p));
        check_ok(lb_plan_create(s.context, &p, NULL, &plan));
        check_status(load(plan, s.blob, s.bytes), LB_BAD_DATA, others[i].part);
        lb_plan_destroy(plan);
    }
    /* Another m, epilogue and output eat the same weights. */
    lb_problem p;
    lb_plan *plan;
    check_ok(lb_problem_parse("u8*s4.g32.z->f32 m9 n5 k70 b2 +bias +silu", &p));
    check_ok(lb_plan_create(s.context, &p, NULL, &plan));
    check_ok(load(plan, s.blob, s.bytes));
    lb_plan_destroy(plan);
    close_scene(&s);
}

/* ---- Sources that are refused ---------------------------------------------------------------- */

/* Packs into poisoned memory; a refusal must leave it alone. */
static lb_status pack(const scene *s, const lb_weights_source *source)
{
    memset(s->blob, RIG_POISON, s->bytes);
    lb_status status = lb_weights_pack(s->plan, source, s->blob, s->bytes);
    for (size_t i = 0; status != LB_OK && i < s->bytes; i++)
        cr_assert_eq(s->blob[i], RIG_POISON, "byte %zu was written in spite of %s", i,
                     lb_last_error());
    return status;
}

Test(weights, the_spare_code_of_ternary_is_refused_and_s2_takes_it)
{
    static const uint8_t codes[] = {0x04, 0x0d, 0x31, 0x01, 0x37, 0x00,
                                    0x00, 0x00, 0x00, 0x00, 0x20, 0x00}; /* [2][3][5..8] */
    scene s;
    open_scene("ref", "s8*t2->s32 m1 n3 k5 b2", &s);
    lb_weights_source source = s.in.source;
    source.codes = codes;
    check_status(pack(&s, &source), LB_INVALID_ARGUMENT,
                 "weights: element (batch 1, n 2, k 2) has the code 2, which is no ternary value; "
                 "t2 takes 0, 1 and 3 (0, 1, -1), s2 takes all four");
    lb_weights *weights = UNTOUCHED;
    check_status(lb_weights_create(s.plan, &source, &weights), LB_INVALID_ARGUMENT, "code 2");
    cr_expect_eq(weights, UNTOUCHED);
    close_scene(&s);
    open_scene("ref", "s8*s2->s32 m1 n3 k5 b2", &s);
    source = s.in.source;
    source.codes = codes;
    check_ok(pack(&s, &source));
    close_scene(&s);
}

Test(weights, zero_points_beyond_the_range_of_the_type_are_refused)
{
    static const struct {
        const char *type;
        int32_t low, high;
    } rows[] = {{"s8", -128, 127}, {"u8", 0, 255}, {"s4", -8, 7},
                {"u4", 0, 15},     {"s2", -2, 1},  {"u2", 0, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[64], part[96];
        scene s;
        snprintf(line, sizeof line, "s8*%s.channel.z->f16 m1 n3 k5", rows[i].type);
        open_scene("ref", line, &s);
        lb_weights_source source = s.in.source;
        source.zeros = (const int32_t[]){0, rows[i].low, rows[i].high};
        check_ok(pack(&s, &source));
        source.zeros = (const int32_t[]){0, rows[i].low, rows[i].high + 1};
        snprintf(part, sizeof part, "weights: zero point 2 is %d; %s takes %d to %d",
                 rows[i].high + 1, rows[i].type, rows[i].low, rows[i].high);
        check_status(pack(&s, &source), LB_INVALID_ARGUMENT, part);
        source.zeros = (const int32_t[]){0, rows[i].low - 1, 0};
        snprintf(part, sizeof part, "weights: zero point 1 is %d;", rows[i].low - 1);
        check_status(pack(&s, &source), LB_INVALID_ARGUMENT, part);
        close_scene(&s);
    }
}

Test(weights, missing_arrays_are_named)
{
    scene s;
    open_scene("ref", LINE, &s);
    lb_weights_source source = s.in.source;
    source.codes = NULL;
    check_status(pack(&s, &source), LB_INVALID_ARGUMENT, "weights: codes is NULL");
    source = s.in.source;
    source.scales = NULL;
    check_status(pack(&s, &source), LB_INVALID_ARGUMENT,
                 "weights: scales is NULL but the problem has scales of B");
    source = s.in.source;
    source.zeros = NULL;
    check_status(pack(&s, &source), LB_INVALID_ARGUMENT,
                 "weights: zeros is NULL but the problem has zero points of B");
    source = s.in.source;
    source.struct_size = 8;
    check_status(pack(&s, &source), LB_INVALID_ARGUMENT, "source->struct_size is 8");
    check_status(pack(&s, NULL), LB_INVALID_ARGUMENT, "source is NULL");
    close_scene(&s);
}

Test(weights, wrong_memory_for_the_blob_is_refused)
{
    scene s;
    char part[96];
    lb_weights *weights = UNTOUCHED;
    open_scene("ref", LINE, &s);
    snprintf(part, sizeof part, "lb_weights_pack: the blob takes %zu bytes, there are %zu", s.bytes,
             s.bytes - 1);
    check_status(lb_weights_pack(s.plan, &s.in.source, s.blob, s.bytes - 1), LB_INVALID_ARGUMENT,
                 part);
    check_status(lb_weights_pack(s.plan, &s.in.source, s.blob + 4, s.bytes), LB_INVALID_ARGUMENT,
                 "is not aligned to 8 bytes");
    check_status(lb_weights_pack(s.plan, &s.in.source, NULL, s.bytes), LB_INVALID_ARGUMENT,
                 "lb_weights_pack: blob is NULL");
    check_status(lb_weights_pack(NULL, &s.in.source, s.blob, s.bytes), LB_INVALID_ARGUMENT,
                 "lb_weights_pack: plan is NULL");
    check_status(lb_weights_load(s.plan, NULL, s.bytes, NULL, &weights), LB_INVALID_ARGUMENT,
                 "weights blob: pointer is NULL");
    check_status(lb_weights_load(NULL, s.blob, s.bytes, NULL, &weights), LB_INVALID_ARGUMENT,
                 "lb_weights_load: plan is NULL");
    check_status(lb_weights_load(s.plan, s.blob, s.bytes, NULL, NULL), LB_INVALID_ARGUMENT,
                 "lb_weights_load: weights is NULL");
    check_status(lb_weights_create(s.plan, &s.in.source, NULL), LB_INVALID_ARGUMENT,
                 "lb_weights_create: weights is NULL");
    check_status(lb_weights_create(NULL, &s.in.source, &weights), LB_INVALID_ARGUMENT,
                 "lb_weights_create: plan is NULL");
    cr_expect_eq(weights, UNTOUCHED);
    lb_weights_destroy(NULL);
    cr_expect_str_empty(lb_weights_layout(NULL));
    close_scene(&s);
}

/* ---- Memory and sharing ---------------------------------------------------------------------- */

Test(weights, memory_of_the_caller_is_used_and_stays_his)
{
    scene s;
    lb_ptr memory, wrong;
    lb_weights *weights = UNTOUCHED;
    open_scene("ref", LINE, &s);
    check_ok(lb_memory_alloc(s.context, s.bytes + 512, &memory));
    memset(memory.base, RIG_POISON, s.bytes + 512);
    wrong = (lb_ptr){memory.base, 64};
    check_status(lb_weights_load(s.plan, s.blob, s.bytes, &wrong, &weights), LB_INVALID_ARGUMENT,
                 "is not aligned to 256 bytes");
    wrong = (lb_ptr){NULL, 0};
    check_status(lb_weights_load(s.plan, s.blob, s.bytes, &wrong, &weights), LB_INVALID_ARGUMENT,
                 "lb_weights_load: memory->base is NULL");
    wrong = (lb_ptr){memory.base, 256};
    s.blob[300] ^= 1;
    check_status(lb_weights_load(s.plan, s.blob, s.bytes, &wrong, &weights), LB_BAD_DATA,
                 "checksum");
    s.blob[300] ^= 1;
    cr_expect_eq(weights, UNTOUCHED);
    unsigned char *bytes = memory.base;
    for (size_t i = 0; i < s.bytes + 512; i++)
        cr_assert_eq(bytes[i], RIG_POISON, "byte %zu was written by a refused load", i);

    check_ok(lb_weights_load(s.plan, s.blob, s.bytes, &wrong, &weights));
    cr_expect_arr_eq(bytes + 256, s.blob, s.bytes);
    cr_expect(bytes[255] == RIG_POISON && bytes[256 + s.bytes] == RIG_POISON);
    cr_expect_str_eq(lb_weights_layout(weights), "rows");
    lb_weights_destroy(weights);
    cr_expect_arr_eq(bytes + 256, s.blob, s.bytes);
    lb_memory_free(s.context, memory);
    close_scene(&s);
}

Test(weights, empty_weights_can_be_packed_and_loaded)
{
    static const char *const lines[] = {"s8*s4->s32 m2 n0 k7", "s8*s4->s32 m2 n3 k0",
                                        "s8*t2.g32.z->f16 m0 n0 k0 b2"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        scene s;
        lb_problem p;
        if (lb_problem_parse(lines[i], &p) != LB_OK)
            continue;
        open_scene("ref", lines[i], &s);
        if (p.n == 0)
            s.in.source =
                (lb_weights_source){.struct_size = sizeof s.in.source}; /* nothing to point at */
        check_ok(pack(&s, &s.in.source));
        check_ok(load(s.plan, s.blob, s.bytes));
        close_scene(&s);
    }
}

/* One upload for a plan of one row and one of many, which run different kernels. */
Test(weights, plans_share_weights_by_layout)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    rig_inputs few_in, many_in;
    rig few, many;
    rig_lane lane;
    lb_verify_report report;
    desc.device = "opencl";
    if (lb_context_create(&desc, &context) == LB_NO_DEVICE)
        cr_skip_test("%s", lb_last_error());
    check_ok(rig_inputs_make("s8*s4->s32 m1 n40 k70", 3, &few_in));
    check_ok(rig_inputs_make("s8*s4->s32 m50 n40 k70", 4, &many_in));
    check_ok(rig_open(context, &few_in, NULL, &few));
    lb_plan_desc wish = LB_PLAN_DESC_INIT;
    wish.layout = lb_weights_layout(few.weights);
    check_ok(rig_open(context, &many_in, &wish, &many));
    cr_expect_str_eq(many.info.layout, few.info.layout);
    cr_expect_str_neq(many.info.kernel, few.info.kernel);

    many.args.weights = few.weights;
    many_in.host.b = few_in.host.b;
    check_ok(rig_lane_open(&many, 0, &lane));
    check_ok(rig_lane_check(&lane, &report));
    cr_expect_eq(report.checked, 50 * 40);
    cr_expect_eq(report.wrong, 0);
    rig_lane_close(&lane);

    /* A plan for another layout does not take them. */
    rig other;
    wish.layout = "rows";
    check_ok(rig_open(context, &many_in, &wish, &other));
    other.args.weights = few.weights;
    check_ok(rig_lane_open(&other, 0, &lane));
    check_status(lb_run(other.plan, &lane.args, lane.stream), LB_INVALID_ARGUMENT,
                 "are not those of the plan (s4, rows, n 40 k 70 batch 1)");
    rig_lane_close(&lane);
    rig_close(&other);
    rig_close(&many);
    rig_close(&few);
    rig_inputs_free(&few_in);
    rig_inputs_free(&many_in);
    lb_context_destroy(context);
}
