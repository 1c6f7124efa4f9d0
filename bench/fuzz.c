/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stddef.h>
#include <string.h>

/* ---- Drawing --------------------------------------------------------------------------------- */

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int64_t below(uint64_t *state, int64_t limit)
{
    return (int64_t)(next(state) % (uint64_t)limit);
}

static bool one_in(uint64_t *state, int64_t n)
{
    return below(state, n) == 0;
}

#define PICK(state, ...)                                                                           \
    ((const int32_t[]){__VA_ARGS__})[below(                                                        \
        state, (int64_t)(sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)))]

/* 0, 1, near a multiple of 16, or anything; below `limit` + 2. */
static int64_t draw_size(uint64_t *state, int64_t limit)
{
    switch (below(state, 8)) {
    case 0: return below(state, 2);
    case 1:
    case 2: return 16 * (1 + below(state, limit / 16)) + below(state, 3) - 1;
    case 3:
    case 4: return 1 + below(state, 8);
    default: return 1 + below(state, limit);
    }
}

static int32_t draw_int_type(uint64_t *state)
{
    return PICK(state, LB_TYPE_S8, LB_TYPE_U8, LB_TYPE_S4, LB_TYPE_U4, LB_TYPE_S2, LB_TYPE_U2,
                LB_TYPE_T2, LB_TYPE_B1);
}

static int32_t draw_zero(uint64_t *state, int32_t scale)
{
    return one_in(state, 3) ? PICK(state, LB_PER_TENSOR, scale) : LB_PER_NONE;
}

static void draw_strides(uint64_t *state, lb_operand *o, int64_t rows, int64_t columns)
{
    int64_t unit = lb_type_bits(o->type) < 8 ? 8 / lb_type_bits(o->type) : 1;
    int64_t dense = (columns + unit - 1) / unit * unit;
    if (one_in(state, 4))
        o->ld = dense + unit * (1 + below(state, 9));
    if (one_in(state, 8))
        o->batch_stride = rows * (o->ld ? o->ld : dense) + unit * (1 + below(state, 70));
}

static void draw_epilogue(uint64_t *state, lb_problem *p)
{
    if (one_in(state, 2))
        p->bias = PICK(state, LB_TYPE_S32, LB_TYPE_F32, LB_TYPE_F16, LB_TYPE_BF16);
    if (one_in(state, 3)) {
        p->residual.type = PICK(state, LB_TYPE_S32, LB_TYPE_S8, LB_TYPE_U8, LB_TYPE_S4, LB_TYPE_U4,
                                LB_TYPE_F16, LB_TYPE_BF16, LB_TYPE_F32);
        p->residual.scale = PICK(state, LB_PER_NONE, LB_PER_TENSOR, LB_PER_CHANNEL);
        p->residual.zero = one_in(state, 4) ? LB_PER_TENSOR : LB_PER_NONE;
    }
    if (one_in(state, 3))
        p->activation = (int32_t)below(state, LB_ACT_HARD_SWISH + 1);
    if (one_in(state, 4)) {
        p->clamp = 1;
        p->clamp_min = (float)(below(state, 100) - 90);
        p->clamp_max = p->clamp_min + (float)below(state, 100);
    }
    if (one_in(state, 4))
        p->rounding = (int32_t)below(state, LB_ROUND_THRESHOLD + 1);
}

/* What integer-only roundings need and leave out. */
static void make_fixed(uint64_t *state, lb_problem *p)
{
    bool threshold = p->rounding == LB_ROUND_THRESHOLD;
    p->a.type = draw_int_type(state);
    p->d.type =
        threshold ? LB_TYPE_B1 : PICK(state, LB_TYPE_S8, LB_TYPE_U8, LB_TYPE_S4, LB_TYPE_U2);
    p->a.scale = p->b.scale = LB_PER_NONE;
    p->a.zero = p->a.zero ? LB_PER_TENSOR : LB_PER_NONE;
    p->b.zero = p->b.zero ? LB_PER_TENSOR : LB_PER_NONE;
    p->b.group = p->b.scale_type = 0;
    p->d.scale = PICK(state, LB_PER_TENSOR, LB_PER_CHANNEL, LB_PER_TOKEN);
    p->bias = p->bias ? LB_TYPE_S32 : LB_TYPE_NONE;
    if (threshold || p->residual.type >= LB_TYPE_F16)
        p->residual = (lb_operand){0};
    if (threshold) {
        p->activation = p->clamp = 0;
        p->clamp_min = p->clamp_max = 0;
        p->d.zero = 0;
    }
    if (p->activation != LB_ACT_NONE && p->activation != LB_ACT_HARD_SWISH)
        p->activation = LB_ACT_RELU;
    if (p->activation == LB_ACT_HARD_SWISH) {
        p->act_three = (int32_t)(1 + below(state, 1000));
        p->act_shift = (int32_t)below(state, 8);
    }
}

static void draw(uint64_t *state, lb_problem *p)
{
    *p = (lb_problem)LB_PROBLEM_INIT;
    p->m = draw_size(state, 48);
    p->n = draw_size(state, 160);
    p->k = draw_size(state, 320);
    p->batch = one_in(state, 5) ? 2 + below(state, 3) : 0;
    p->a.type = one_in(state, 3) ? PICK(state, LB_TYPE_F16, LB_TYPE_BF16, LB_TYPE_F32)
                                 : draw_int_type(state);
    p->b.type = draw_int_type(state);
    p->d.type = one_in(state, 2) ? PICK(state, LB_TYPE_S32, LB_TYPE_F16, LB_TYPE_BF16, LB_TYPE_F32)
                                 : draw_int_type(state);
    if (p->a.type < LB_TYPE_F16)
        p->a.scale = PICK(state, LB_PER_NONE, LB_PER_TENSOR, LB_PER_TOKEN);
    p->a.zero = draw_zero(state, p->a.scale);
    p->b.scale = PICK(state, LB_PER_NONE, LB_PER_TENSOR, LB_PER_CHANNEL, LB_PER_GROUP);
    p->b.group = p->b.scale == LB_PER_GROUP ? (int32_t)(32 * (1 + below(state, 6))) : 0;
    p->b.zero = draw_zero(state, p->b.scale);
    if (p->b.scale)
        p->b.scale_type = PICK(state, LB_TYPE_F32, LB_TYPE_F16, LB_TYPE_BF16);
    if (p->b.scale == LB_PER_GROUP && one_in(state, 3)) /* of two levels */
        p->b.scale_type = LB_TYPE_U8;
    p->b.layout = one_in(state, 5) ? LB_LAYOUT_COLS : LB_LAYOUT_ROWS;
    if (p->d.type < LB_TYPE_F16) {
        p->d.scale = PICK(state, LB_PER_NONE, LB_PER_TENSOR, LB_PER_CHANNEL, LB_PER_TOKEN);
        p->d.zero = one_in(state, 3) ? LB_PER_TENSOR : LB_PER_NONE;
    }
    draw_epilogue(state, p);
    if (p->rounding != LB_ROUND_EVEN && p->rounding != LB_ROUND_STOCHASTIC)
        make_fixed(state, p);
    bool columns = p->b.layout == LB_LAYOUT_COLS;
    draw_strides(state, &p->a, p->m, p->k);
    draw_strides(state, &p->b, columns ? p->k : p->n, columns ? p->n : p->k);
    draw_strides(state, &p->d, p->m, p->n);
    if (p->residual.type)
        draw_strides(state, &p->residual, p->m, p->n);
}

void qb_fuzz_draw(uint64_t *state, lb_problem *problem)
{
    do
        draw(state, problem);
    while (lb_problem_check(problem) != LB_OK);
}

/* ---- Shrinking ------------------------------------------------------------------------------- */

/* One way of making a problem smaller; false: there is nothing to take away. */
typedef struct step {
    size_t offset, bytes; /* of the field in lb_problem */
    int64_t to;           /* what it becomes; -1: half of it, -2: one less */
} step;

#define FIELD(field, value)                                                                        \
    {                                                                                              \
        offsetof(lb_problem, field), sizeof(((lb_problem *)0)->field), value                       \
    }
#define OPERAND(o)                                                                                 \
    FIELD(o.batch_stride, 0), FIELD(o.ld, 0), FIELD(o.zero, LB_PER_NONE),                          \
        FIELD(o.zero, LB_PER_TENSOR), FIELD(o.scale, LB_PER_NONE), FIELD(o.scale, LB_PER_TENSOR)
#define SIZE(field) FIELD(field, 0), FIELD(field, 1), FIELD(field, -1), FIELD(field, -2)

static const step steps[] = {
    FIELD(batch, 0),
    SIZE(m),
    SIZE(n),
    SIZE(k),
    FIELD(residual.type, LB_TYPE_NONE),
    FIELD(bias, LB_TYPE_NONE),
    FIELD(activation, LB_ACT_NONE),
    FIELD(clamp, 0),
    FIELD(rounding, LB_ROUND_EVEN),
    FIELD(act_shift, 0),
    OPERAND(a),
    OPERAND(b),
    OPERAND(d),
    OPERAND(residual),
    FIELD(b.layout, LB_LAYOUT_ROWS),
    FIELD(b.scale_type, 0),
    FIELD(b.group, 32),
    FIELD(a.type, LB_TYPE_S8),
    FIELD(b.type, LB_TYPE_S8),
    FIELD(d.type, LB_TYPE_S32),
    FIELD(batch, -2),
};

static int64_t get(const lb_problem *p, const step *s)
{
    int64_t wide;
    int32_t narrow;
    const char *at = (const char *)p + s->offset;
    if (s->bytes == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

static void set(lb_problem *p, const step *s, int64_t value)
{
    int32_t narrow = (int32_t)value;
    char *at = (char *)p + s->offset;
    if (s->bytes == sizeof value)
        memcpy(at, &value, sizeof value);
    else
        memcpy(at, &narrow, sizeof narrow);
}

/* What hangs on what was taken away. */
static void tidy(lb_problem *p)
{
    if (p->b.scale != LB_PER_GROUP)
        p->b.group = 0;
    if (!p->b.scale || (p->b.scale != LB_PER_GROUP && p->b.scale_type == LB_TYPE_U8))
        p->b.scale_type = 0;
    lb_operand *operands[] = {&p->a, &p->b, &p->d, &p->residual};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
        if (operands[i]->zero > LB_PER_TENSOR && operands[i]->zero != operands[i]->scale)
            operands[i]->zero = operands[i]->scale ? LB_PER_TENSOR : LB_PER_NONE;
    if (!p->residual.type)
        memset(&p->residual, 0, sizeof p->residual);
    if (!p->clamp)
        p->clamp_min = p->clamp_max = 0;
    if (p->activation != LB_ACT_HARD_SWISH || p->rounding == LB_ROUND_EVEN)
        p->act_three = p->act_shift = 0;
}

static bool take(lb_problem *p, const step *s, qb_fuzz_test *test, void *user, size_t *tried)
{
    lb_problem smaller = *p;
    int64_t now = get(p, s), then = s->to == -1 ? now / 2 : s->to == -2 ? now - 1 : s->to;
    bool is_size = s->bytes == sizeof(int64_t);
    if (then == now || then < 0 || (is_size && then > now) || (s->to > 0 && !is_size && now == 0))
        return false;
    set(&smaller, s, then);
    tidy(&smaller);
    if (lb_problem_check(&smaller) != LB_OK)
        return false;
    ++*tried;
    if (!test(&smaller, user))
        return false;
    *p = smaller;
    return true;
}

/* Rounds end: every step that is taken brings a size, or the distance of a field from its last
 * value, down; a limit keeps a test that answers at random from going on for ever. */
size_t qb_fuzz_shrink(lb_problem *problem, qb_fuzz_test *test, void *user)
{
    size_t tried = 0;
    bool taken = true;
    while (taken && tried < 2000) {
        taken = false;
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
            taken |= take(problem, &steps[i], test, user, &tried);
    }
    return tried;
}
