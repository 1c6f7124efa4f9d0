/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every rounding x every type of D that it makes x every granularity of D's scale, on the reference
 * and on every other device of this machine: the same bits, over the whole product of
 *
 *     64 biases            x 64 multipliers (or scales)      x 64 sums
 *     the ends of s32,       value 0, +-1, 3, the ends;        -32 .. 31, which make
 *     powers of two, ties    shift 0, 1, 31, 32, 62, ...       every sum a tie somewhere
 *
 * No product of 8-bit types has sums of +-(2^31 - 1): the longest ones end 2^14 before them (see
 * the last test). They are reached as in networks, by a bias of s32, which is added with
 * saturation. A zero point of D, where its type has one, takes both ends of its range.
 */
#ifndef TESTS_REQUANTISE_MODES_H
#define TESTS_REQUANTISE_MODES_H

#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

enum { EDGE = 64, DEPTH = 8 };

/* A[m] = (m - 32, 0, ...), B[n] = (1, 0, ...): the sum of a row is the row's own number. */
static int8_t a[EDGE * DEPTH], b[EDGE * DEPTH];
static int32_t biases[EDGE];
static lb_multiplier multipliers[EDGE], thresholds[EDGE];
static float scales[EDGE];
static int32_t residual[EDGE * EDGE];

static void make_operands(void)
{
    static const int32_t ends[] = {INT32_MAX,
                                   INT32_MAX - 1,
                                   INT32_MAX - 31,
                                   INT32_MIN,
                                   INT32_MIN + 1,
                                   INT32_MIN + 32,
                                   0,
                                   1,
                                   -1,
                                   3,
                                   -3,
                                   (1 << 30) - 1,
                                   -(1 << 30) + 1,
                                   5 << 20,
                                   -(5 << 20),
                                   1000003};
    static const int32_t values[] = {0, 1, -1, 3, 1 << 30, INT32_MAX, INT32_MIN, 1518500250};
    static const int32_t shifts[] = {0, 1, 5, 30, 31, 32, 45, 62};
    static const float sizes[] = {0,        1,        -1,       0.5f,    0.25f, 1.5f,
                                  0x1p-31f, 0x1p-24f, 1e-3f,    0x1p30f, 1e30f, FLT_MAX,
                                  0x1p-60f, -0x1p-5f, 1.0f / 3, 0.0625f};
    for (int i = 0; i < EDGE; i++) {
        a[i * DEPTH] = (int8_t)(i - EDGE / 2);
        b[i * DEPTH] = 1;
        /* 16 ends; then 2^e and its negative, e from 1 to 24, which with the sums make ties. */
        int32_t power = (int32_t)1 << (i < 16 ? 0 : (i - 16) / 2 + 1);
        biases[i] = i < 16 ? ends[i] : i % 2 ? -power : power;
        multipliers[i] = (lb_multiplier){values[i % 8], shifts[i / 8]};
        thresholds[i] = (lb_multiplier){biases[(i * 5 + 2) % EDGE], i % 2};
        scales[i] = sizes[i % 16] * (i < 32 ? 1 : i < 48 ? 0.75f : 0x1p-3f);
    }
    for (int i = 0; i < EDGE * EDGE; i++)
        residual[i] = biases[(i / EDGE * 7 + i) % EDGE];
}

/* ---- The table ------------------------------------------------------------------------------- */

typedef struct mode {
    const char *round; /* "" = even */
    const char *types; /* of D */
    const char *grains;
} mode;

static const mode modes[] = {
    {"", "s32 s8 u8 s4 u4 s2 u2 t2", "none tensor channel token"},
    {"", "b1 f16 bf16 f32", "none"}, /* these have no scale of D */
    {" +round=stochastic", "s32 s8 u8 s4 u4 s2 u2 t2", "none tensor channel token"},
    {" +round=gemmlowp", "s32 s8 u8 s4 u4 s2 u2 t2", "tensor channel token"},
    {" +round=fixed", "s32 s8 u8 s4 u4 s2 u2 t2", "tensor channel token"},
    {" +round=dyadic", "s32 s8 u8 s4 u4 s2 u2 t2", "tensor channel token"},
    {" +round=pow2", "s32 s8 u8 s4 u4 s2 u2 t2", "tensor channel token"},
    {" +round=threshold", "b1", "tensor channel token"},
};

typedef struct tally {
    int step; /* from one of the 64 turns that multipliers meet sums in to the next */
    long cases, elements;
} tally;

/* Words of a list, one after the other; false at its end. */
static bool next_word(const char **list, char *word, size_t capacity)
{
    size_t length = strcspn(*list, " ");
    snprintf(word, capacity, "%.*s", (int)length, *list);
    *list += length + ((*list)[length] == ' ');
    return length > 0;
}

/* ---- A case on a device ---------------------------------------------------------------------- */

typedef struct side {
    lb_plan *plan;
    lb_weights *weights;
} side;

static side side_open(lb_context *context, const lb_problem *problem, const char *line)
{
    side s = {NULL, NULL};
    lb_weights_source source = {.struct_size = sizeof source, .codes = b};
    lb_status status = lb_plan_create(context, problem, NULL, &s.plan);
    if (status == LB_OK)
        status = lb_weights_create(s.plan, &source, &s.weights);
    cr_assert(status == LB_OK, "%s: %s", line, lb_last_error());
    return s;
}

static void side_close(side *s)
{
    lb_weights_destroy(s->weights);
    lb_plan_destroy(s->plan);
}

/* Arrays that begin `turn` elements into a ring of EDGE, so that in EDGE turns everything meets
 * everything. */
static void rotate(void *to, const void *from, size_t size, int turn)
{
    size_t first = (size_t)turn * size, whole = EDGE * size;
    memcpy(to, (const char *)from + first, whole - first);
    memcpy((char *)to + whole - first, from, first);
}

static const void *scale_ring(const lb_problem *p, size_t *size)
{
    bool is_float = p->rounding == LB_ROUND_EVEN || p->rounding == LB_ROUND_STOCHASTIC;
    *size = is_float ? sizeof *scales : sizeof *multipliers;
    return is_float                            ? scales
           : p->rounding == LB_ROUND_THRESHOLD ? (const void *)thresholds
                                               : multipliers;
}

static void run(const side *s, const lb_problem *p, const char *line, int turn, unsigned char *d)
{
    lb_multiplier scale[EDGE], residual_scale[EDGE];
    int32_t zero = 0;
    uint64_t random[2] = {77, (uint64_t)turn};
    lb_args args = LB_ARGS_INIT;
    size_t size;
    const void *ring = scale_ring(p, &size);
    rotate(scale, ring, size, turn);
    rotate(residual_scale, multipliers, sizeof *multipliers, turn * 5 % EDGE);
    if (p->d.zero) {
        int bits = lb_type_bits(p->d.type), is_signed = lb_type_name(p->d.type)[0] == 's';
        int least = is_signed ? -(1 << (bits - 1)) : 0;
        zero = turn % 3 == 0 ? least : turn % 3 == 1 ? least + (1 << bits) - 1 : 1;
    }
    args.weights = s->weights;
    args.a.base = a;
    args.bias.base = biases;
    args.d_scale.base = scale;
    args.d_zero.base = &zero;
    args.random.base = random;
    args.residual.base = residual;
    args.residual_scale.base = residual_scale;
    args.d.base = d;
    cr_assert(lb_run_host(s->plan, &args, NULL) == LB_OK, "%s: %s", line, lb_last_error());
}

static void compare(lb_context *reference, lb_context *device, const char *line, tally *t)
{
    static unsigned char expected[EDGE * EDGE * 4], got[EDGE * EDGE * 4];
    lb_problem p;
    lb_sizes sizes = LB_SIZES_INIT;
    cr_assert(lb_problem_parse(line, &p) == LB_OK, "%s", lb_last_error());
    cr_assert(lb_problem_is_exact(&p), "%s is not exact", line);
    check_ok(lb_problem_sizes(&p, &sizes));
    cr_assert(sizes.d <= sizeof got);
    side right = side_open(reference, &p, line), left = side_open(device, &p, line);
    for (int turn = 0; turn < (p.d.scale ? EDGE : 1); turn += t->step) {
        memset(got, 0xa5, sizeof got);
        run(&right, &p, line, turn, expected);
        run(&left, &p, line, turn, got);
        for (uint64_t i = 0; i < sizes.d; i++)
            cr_assert(got[i] == expected[i],
                      "%s, turn %d: byte %llu of D is 0x%02x instead of 0x%02x", line, turn,
                      (unsigned long long)i, got[i], expected[i]);
        t->elements += (long)EDGE * EDGE;
    }
    side_close(&left);
    side_close(&right);
    t->cases++;
}

static void compare_all(lb_context *reference, lb_context *device, tally *t)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *types = modes[i].types;
        for (char type[8]; next_word(&types, type, sizeof type);) {
            const char *grains = modes[i].grains;
            for (char grain[12]; next_word(&grains, grain, sizeof grain);) {
                char line[128];
                bool has_zero = (type[0] == 's' || type[0] == 'u') && strcmp(type, "s32") != 0;
                bool scaled = strcmp(grain, "none") != 0;
                snprintf(line, sizeof line, "s8*s8->%s%s%s%s m%d n%d k%d +bias.s32%s", type,
                         scaled ? "." : "", scaled ? grain : "", has_zero ? ".z" : "", EDGE, EDGE,
                         DEPTH, modes[i].round);
                compare(reference, device, line, t);
            }
        }
    }
}

/* Residuals of s32 and their multipliers at the same ends. */
static void compare_residuals(lb_context *reference, lb_context *device, tally *t)
{
    static const char *const rounds[] = {"gemmlowp", "fixed", "dyadic", "pow2"};
    static const char *const grains[] = {"tensor", "channel"};
    for (int i = 0; i < 8; i++) {
        char line[128];
        snprintf(line, sizeof line,
                 "s8*s8->s8.token.z m%d n%d k%d +bias.s32 +res.s32.%s +relu +round=%s", EDGE, EDGE,
                 DEPTH, grains[i / 4], rounds[i % 4]);
        compare(reference, device, line, t);
    }
}

#endif
