/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of the rows of D (lb_args.d_sums) on any device, against sums of D as it was read back. */
#ifndef TESTS_ROW_SUMS_H
#define TESTS_ROW_SUMS_H

#include "check.h"
#include "rig.h"

enum { GUARD = 16 }; /* words on either side of the sums */

/* ---- A plan whose D is not all at its type's ends -------------------------------------------- */

typedef struct summed {
    const char *line;
    rig_inputs in;
    rig r;
    rig_lane lane;
    lb_ptr memory; /* GUARD words, the sums, GUARD words */
    size_t rows;
} summed;

/* D's scale so that random codes of A and B come out as a few times the type's range. */
static void choose_scales(rig_inputs *in)
{
    const lb_problem *p = &in->problem;
    double step = 1;
    for (int i = 0; i < 2; i++) { /* sizes of typical elements; floats are about 1 */
        int32_t type = i ? p->b.type : p->a.type;
        int bits = lb_type_bits(type);
        step *= bits > 8 || bits == 1 ? 1 : 0.3 * (1 << (bits - 1));
    }
    for (int64_t k = 1; k < p->k; k *= 4)
        step *= 2;
    for (uint64_t i = 0; i < in->sizes.d_scale / 4; i++)
        ((float *)in->array[6])[i] =
            (float)(0.6 * (1 << (lb_type_bits(p->d.type) - 1)) / step) * (i % 5 ? 1.0F : -0.5F);
}

/* LB_UNSUPPORTED: the kernel does not take the line. Close it whatever comes. */
static lb_status summed_open(lb_context *context, const char *line, const char *kernel, summed *s)
{
    static const float table[] = {-1,    -0.7F, -0.5F, -0.4F, -0.3F, -0.2F, -0.1F, 0,
                                  0.08F, 0.16F, 0.25F, 0.34F, 0.44F, 0.56F, 0.72F, 1};
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = kernel;
    *s = (summed){.line = line};
    check_ok(rig_inputs_make(line, 11, &s->in));
    choose_scales(&s->in);
    s->in.source.tables = table;
    RIG_TRY(rig_open(context, &s->in, &desc, &s->r));
    RIG_TRY(rig_lane_open(&s->r, 0, &s->lane));
    s->rows = (size_t)(s->in.problem.batch ? s->in.problem.batch : 1) * (size_t)s->in.problem.m;
    return lb_memory_alloc(context, (s->rows + 2 * GUARD) * 4, &s->memory);
}

static void summed_close(summed *s)
{
    if (s->r.context)
        lb_memory_free(s->r.context, s->memory);
    if (s->lane.rig)
        rig_lane_close(&s->lane);
    if (s->r.context)
        rig_close(&s->r);
    rig_inputs_free(&s->in);
}

/* ---- What the sums must be ------------------------------------------------------------------- */

/* Element i of a row, by the header's words alone. */
static int value_at(int32_t type, const unsigned char *row, int64_t i)
{
    int bits = lb_type_bits(type), per_byte = 8 / bits;
    int code = row[i / per_byte] >> (i % per_byte * bits) & ((1 << bits) - 1);
    if (type == LB_TYPE_B1)
        return code ? 1 : -1;
    bool is_signed =
        type == LB_TYPE_S8 || type == LB_TYPE_S4 || type == LB_TYPE_S2 || type == LB_TYPE_T2;
    return is_signed && code >> (bits - 1) ? code - (1 << bits) : code;
}

static int32_t sum_of(const summed *s, int64_t batch, int64_t m)
{
    const lb_problem *p = &s->in.problem;
    int64_t ld = p->d.ld ? p->d.ld : p->n, per_byte = 8 / lb_type_bits(p->d.type);
    ld = (ld + per_byte - 1) / per_byte; /* in bytes: a row begins on one */
    int64_t stride = p->d.batch_stride ? p->d.batch_stride / per_byte : ld * p->m;
    const unsigned char *row = (const unsigned char *)s->lane.d + batch * stride + m * ld;
    int32_t sum = 0;
    for (int64_t n = 0; n < p->n; n++)
        sum += value_at(p->d.type, row, n);
    return sum;
}

/* ---- A run ----------------------------------------------------------------------------------- */

/* Runs of m rows (0 = all), without sums and with them, then also as one that may overlap what was
   before: D is the same, the sums are D's, and
   nothing beside them is written. Counts the rows. */
static long check_sums(summed *s, int64_t m)
{
    static unsigned char plain[1 << 20];
    static int32_t words[4096];
    lb_context *context = s->r.context;
    size_t bytes = (size_t)s->in.sizes.d, rows = m ? (size_t)m : s->rows;
    cr_assert(bytes <= sizeof plain && s->rows + 2 * GUARD <= 4096, "'%s'", s->line);
    lb_args args = s->lane.args;
    args.m = m;
    check_ok(rig_lane_poison(&s->lane));
    check_ok(lb_run(s->r.plan, &args, s->lane.stream));
    check_ok(rig_lane_read(&s->lane));
    memcpy(plain, s->lane.d, bytes);

    size_t all = (s->rows + 2 * GUARD) * 4;
    memset(words, RIG_POISON, all);
    check_ok(lb_memory_write(context, s->memory, words, all, s->lane.stream));
    check_ok(rig_lane_poison(&s->lane));
    args.d_sums = (lb_ptr){s->memory.base, s->memory.offset + GUARD * 4};
    args.flags = LB_RUN_OVERLAP;
    check_ok(lb_run(s->r.plan, &args, s->lane.stream));
    check_ok(rig_lane_read(&s->lane));
    check_ok(lb_memory_read(context, words, s->memory, all, s->lane.stream));
    cr_assert(memcmp(plain, s->lane.d, bytes) == 0, "'%s': sums change D", s->line);
    for (size_t i = 0; i < s->rows + 2 * GUARD; i++) {
        int32_t expected;
        memset(&expected, RIG_POISON, sizeof expected);
        if (i >= GUARD && i < GUARD + rows) {
            int64_t row = (int64_t)(i - GUARD);
            expected = sum_of(s, row / s->in.problem.m, row % s->in.problem.m);
        }
        cr_assert(words[i] == expected, "'%s' by %s, m %d: word %d is %d, not %d", s->line,
                  s->r.info.kernel, (int)m, (int)i - GUARD, words[i], expected);
    }
    return (long)rows;
}

/* 0: the kernel does not take the line. */
static long check_line(lb_context *context, const char *line, const char *kernel)
{
    summed s;
    long rows = 0;
    lb_status status = summed_open(context, line, kernel, &s);
    if (status != LB_UNSUPPORTED) {
        cr_assert(status == LB_OK, "'%s': %s", line, lb_last_error());
        rows = check_sums(&s, 0);
        if (s.in.problem.batch <= 1 && s.in.problem.m > 1)
            rows += check_sums(&s, s.in.problem.m - 1);
    }
    summed_close(&s);
    return rows;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static const char *const sum_types[] = {"s8", "u8", "s4", "u4", "s2", "u2", "t2", "b1"};
enum { SUM_TYPES = sizeof sum_types / sizeof *sum_types };

/* Rows shorter than what is read at once, beginning everywhere; and longer than a group reads. */
static const struct {
    const char *before, *after; /* of D's type, of its scale */
} sum_shapes[] = {
    {"s8*s8->", " m5 n37 k33"},         {"s8*s8->", ".ld88 m7 n33 k12 b2"},
    {"u8*s4->", ".ld1048 m3 n1033 k7"}, {"s8*s8->", " m2 n1 k8"},
    {"s8*s8->", " m1 n20003 k4"},       {"s8*s8->", " m130 n9 k5"},
    {"t2*s8->", " m3 n256 k16"},
};
enum { SUM_SHAPES = sizeof sum_shapes / sizeof *sum_shapes };

/* All types and shapes on a device's own choice of kernels. */
static long check_types(lb_context *context)
{
    char line[96];
    long rows = 0;
    for (int type = 0; type < SUM_TYPES; type++)
        for (int shape = 0; shape < SUM_SHAPES; shape++) {
            int bit = strcmp(sum_types[type], "b1") == 0;
            snprintf(line, sizeof line, "%s%s%s%s", sum_shapes[shape].before, sum_types[type],
                     bit ? "" : ".channel", sum_shapes[shape].after);
            long checked = check_line(context, line, NULL);
            cr_assert(checked, "'%s': %s", line, lb_last_error());
            rows += checked;
        }
    return rows;
}

#endif
