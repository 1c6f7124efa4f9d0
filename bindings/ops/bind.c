/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a framework's tensors must be. One row of `inputs` per input; types, shapes and sentences
 * follow from it.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "bind.h"
#include "error.h"

typedef struct input {
    const char *name;
    size_t pointer; /* of its lb_ptr in lb_args */
} input;

static const input inputs[LB_INPUT_COUNT] = {
#define INPUT(id, field) [id] = {#field, offsetof(lb_args, field)}
    INPUT(LB_INPUT_A, a),
    INPUT(LB_INPUT_A_SCALE, a_scale),
    INPUT(LB_INPUT_A_ZERO, a_zero),
    INPUT(LB_INPUT_BIAS, bias),
    INPUT(LB_INPUT_RESIDUAL, residual),
    INPUT(LB_INPUT_RESIDUAL_SCALE, residual_scale),
    INPUT(LB_INPUT_RESIDUAL_ZERO, residual_zero),
    INPUT(LB_INPUT_D_SCALE, d_scale),
    INPUT(LB_INPUT_D_ZERO, d_zero),
    INPUT(LB_INPUT_RANDOM, random),
#undef INPUT
};

static int32_t stored_type(int32_t type)
{
    return lb_type_bits(type) < 8 ? LB_TYPE_U8 : type;
}

static int64_t stored_elements(int32_t type, int64_t count)
{
    int bits = lb_type_bits(type);
    return bits < 8 ? (count * bits + 7) / 8 : count;
}

/* Values of a granularity: per row of the matrix (1, and *rows = 1), or in all. */
static int64_t values(const lb_problem *p, int32_t granularity, int *rows)
{
    *rows = granularity == LB_PER_TOKEN;
    switch (granularity) {
    case LB_PER_NONE: return 0;
    case LB_PER_CHANNEL: return p->n;
    default: return 1;
    }
}

void lb_ops_expect(const lb_problem *p, int id, expected *e)
{
    int floats = p->rounding == LB_ROUND_EVEN || p->rounding == LB_ROUND_STOCHASTIC;
    *e = (expected){inputs[id].name, LB_TYPE_F32, 0, 0};
    switch (id) {
    case LB_INPUT_A:
        *e = (expected){"a", stored_type(p->a.type), stored_elements(p->a.type, p->k), 1};
        return;
    case LB_INPUT_RESIDUAL:
        e->type = stored_type(p->residual.type);
        e->elements = p->residual.type ? stored_elements(p->residual.type, p->n) : 0;
        e->per_row = 1;
        return;
    case LB_INPUT_BIAS:
        e->type = p->bias;
        e->elements = p->bias ? p->n : 0;
        return;
    case LB_INPUT_RANDOM: /* two uint64; no type of ours */
        e->type = LB_TYPE_S32;
        e->elements = p->rounding == LB_ROUND_STOCHASTIC ? 4 : 0;
        return;
    case LB_INPUT_A_SCALE: e->elements = values(p, p->a.scale, &e->per_row); return;
    case LB_INPUT_D_SCALE: e->elements = values(p, p->d.scale, &e->per_row); break;
    case LB_INPUT_RESIDUAL_SCALE: e->elements = values(p, p->residual.scale, &e->per_row); break;
    case LB_INPUT_A_ZERO:
        e->type = LB_TYPE_S32;
        e->elements = values(p, p->a.zero, &e->per_row);
        return;
    case LB_INPUT_D_ZERO:
        e->type = LB_TYPE_S32;
        e->elements = values(p, p->d.zero, &e->per_row);
        return;
    default:
        e->type = LB_TYPE_S32;
        e->elements = values(p, p->residual.zero, &e->per_row);
        return;
    }
    if (!floats && e->elements) { /* lb_multiplier: two int32 */
        e->type = LB_TYPE_S32;
        e->elements *= 2;
    }
}

int lb_linear_takes(const lb_problem *problem, int32_t id, int32_t *type, int64_t *elements)
{
    expected e;
    if (id < 0 || id >= LB_INPUT_COUNT)
        return 0;
    lb_ops_expect(problem, id, &e);
    if (type)
        *type = e.type;
    if (elements)
        *elements = e.elements;
    return e.elements != 0;
}

void lb_ops_output(const lb_problem *p, int32_t *type, int64_t *elements)
{
    *type = stored_type(p->d.type);
    *elements = stored_elements(p->d.type, p->n);
}

/* "f32 [2, 64]" */
static const char *shape_text(char *text, size_t size, const lb_tensor *t)
{
    const char *type = t->type == LB_TYPE_NONE ? "of another type" : lb_type_name(t->type);
    int used = snprintf(text, size, "%s [", type);
    for (int i = 0; i < t->rank && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, "%s%" PRId64, i ? ", " : "", t->dims[i]);
    if ((size_t)used < size)
        snprintf(text + used, size - (size_t)used, "]");
    return text;
}

static int64_t count_of(const lb_tensor *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= t->dims[i];
    return count;
}

lb_status lb_ops_check(const lb_tensor *t, const expected *e, int64_t m)
{
    char got[160];
    int64_t rows = e->per_row ? m : 1;
    if (!e->elements) {
        if (t->data)
            return lb_ops_fail(LB_INVALID_ARGUMENT, "%s is not part of the problem; leave it out",
                               e->name);
        return LB_OK;
    }
    if (!t->data && rows)
        return lb_ops_fail(LB_INVALID_ARGUMENT,
                           "%s is missing; the problem takes %s, %" PRId64 " elements%s", e->name,
                           lb_type_name(e->type), e->elements, e->per_row ? " per row" : "");
    if (t->data && (t->type != e->type || count_of(t) != rows * e->elements))
        return lb_ops_fail(
            LB_INVALID_ARGUMENT, "%s is %s; the problem wants %s, %" PRId64 " elements", e->name,
            shape_text(got, sizeof got, t), lb_type_name(e->type), rows * e->elements);
    return LB_OK;
}

lb_status lb_ops_bind(const lb_problem *p, const lb_tensor *tensors, lb_args *args)
{
    const lb_tensor *a = &tensors[LB_INPUT_A];
    char got[160];
    expected e;
    lb_ops_expect(p, LB_INPUT_A, &e);
    if (a->type != e.type || a->rank < 1 || a->dims[a->rank - 1] != e.elements)
        return lb_ops_fail(LB_INVALID_ARGUMENT, "a is %s; the problem wants %s [..., %" PRId64 "]",
                           shape_text(got, sizeof got, a), lb_type_name(e.type), e.elements);
    args->m = 1;
    for (int i = 0; i < a->rank - 1; i++)
        args->m *= a->dims[i];
    for (int id = 0; id < LB_INPUT_COUNT; id++) {
        lb_ops_expect(p, id, &e);
        OPS_TRY(lb_ops_check(&tensors[id], &e, args->m));
        lb_ptr *pointer = (lb_ptr *)(void *)((char *)args + inputs[id].pointer);
        *pointer = (lb_ptr){(void *)(uintptr_t)tensors[id].data, 0};
    }
    return LB_OK;
}

/* ---- Weights --------------------------------------------------------------------------------- */

lb_status lb_ops_source(const lb_problem *p, const lb_tensor *weights, lb_weights_source *source)
{
    int cols = p->b.layout == LB_LAYOUT_COLS, per_row;
    int64_t groups = p->b.group ? (p->k + p->b.group - 1) / p->b.group : 1;
    int64_t scales = values(p, p->b.scale, &per_row), zeros = values(p, p->b.zero, &per_row);
    lb_sizes sizes = LB_SIZES_INIT;
    OPS_TRY(lb_ops_note(lb_problem_sizes(p, &sizes)));
    expected wanted[LB_WEIGHT_COUNT] = {
        {"codes", stored_type(p->b.type),
         cols ? p->k * stored_elements(p->b.type, p->n) : p->n * stored_elements(p->b.type, p->k),
         0},
        {"scales", p->b.scale_type ? p->b.scale_type : LB_TYPE_F32, scales, 0},
        {"zeros", LB_TYPE_S32, zeros, 0},
        {"tables", LB_TYPE_F32, (int64_t)(sizes.b_table / sizeof(float)), 0},
        {"channel_scales", LB_TYPE_F32, (int64_t)(sizes.b_channel_scale / sizeof(float)), 0},
    };
    if (p->b.scale == LB_PER_GROUP)
        wanted[1].elements = p->n * groups;
    if (p->b.zero == LB_PER_GROUP)
        wanted[2].elements = p->n * groups;
    for (int i = 0; i < LB_WEIGHT_COUNT; i++)
        OPS_TRY(lb_ops_check(&weights[i], &wanted[i], 1));
    *source = (lb_weights_source){.struct_size = sizeof *source,
                                  .codes = weights[LB_WEIGHT_CODES].data,
                                  .scales = weights[LB_WEIGHT_SCALES].data,
                                  .zeros = weights[LB_WEIGHT_ZEROS].data,
                                  .tables = weights[LB_WEIGHT_TABLES].data,
                                  .channel_scales = weights[LB_WEIGHT_CHANNEL_SCALES].data};
    return LB_OK;
}
