/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <math.h>
#include <string.h>

#include "problem.h"
#include "requantise.h"
#include "types.h"
#include "weights.h"

/* Unit roundoff of f32. */
#define U 0x1p-24
/* Below it f32 numbers are denormal. */
#define LEAST_NORMAL 0x1p-126

/* ---- Operands -------------------------------------------------------------------------------- */

void lb_oracle_begin(lb_oracle *o, const lb_problem *p, const lb_host_args *args,
                     const lb_oracle_weights *w, int64_t batch, void *scratch)
{
    *o = (lb_oracle){.p = p, .args = args, .w = *w, .batch = batch, .n = -1, .b = scratch};
    o->integer = lb_problem_is_integer(p);
    o->exact = lb_problem_is_exact(p);
    o->raw = lb_problem_is_raw(p);
    o->fixed = lb_problem_is_fixed(p);
    o->groups = lb_problem_groups(p);
    o->group = lb_problem_group_length(p);
}

lb_oracle_weights lb_oracle_canonical(const lb_problem *p, const lb_host_args *args, int64_t batch)
{
    int64_t groups = lb_problem_scale_groups(p), bits = lb_type_bits(p->b.type);
    int64_t scales = lb_granularity_count(p, p->b.scale),
            zeros = lb_granularity_count(p, p->b.zero);
    bool group_scale = p->b.scale == LB_PER_GROUP, group_zero = p->b.zero == LB_PER_GROUP;

    lb_oracle_weights w = {
        .cols = p->b.layout == LB_LAYOUT_COLS, .ld = p->b.ld, .scale_type = p->b.scale_type};
    if (args->b)
        w.codes = (const char *)args->b + batch * p->b.batch_stride * bits / 8;
    if (lb_problem_is_stepped(p)) {
        w.steps = (const uint8_t *)args->b_scale + batch * scales;
        w.step_n = groups;
        w.step_g = 1;
        w.scales = args->b_channel_scale + batch * p->n;
        w.scale_type = LB_TYPE_F32;
        w.scale_n = 1;
    } else if (p->b.scale) {
        w.scales = (const char *)args->b_scale + batch * scales * lb_type_bits(p->b.scale_type) / 8;
        w.scale_n = group_scale ? groups : p->b.scale == LB_PER_CHANNEL;
        w.scale_g = group_scale;
    }
    if (p->b.zero) {
        w.zeros = args->b_zero + batch * zeros;
        w.zero_n = group_zero ? groups : p->b.zero == LB_PER_CHANNEL;
        w.zero_g = group_zero;
    }
    int64_t entries = lb_problem_table_entries(p);
    if (p->b_table) {
        bool group_table = p->b_table == LB_PER_GROUP;
        w.tables = args->b_table + batch * lb_granularity_count(p, p->b_table) * entries;
        w.table_n = entries * (group_table ? groups : p->b_table == LB_PER_CHANNEL);
        w.table_g = entries * group_table;
    }
    return w;
}

void lb_oracle_load_a(const lb_oracle *o, int64_t m, void *a)
{
    const lb_problem *p = o->p;
    int64_t bits = lb_type_bits(p->a.type);
    if (p->k == 0)
        return;
    const char *row =
        (const char *)o->args->a + (o->batch * p->a.batch_stride + m * p->a.ld) * bits / 8;
    if (!o->integer) {
        lb_row_to_float(p->a.type, row, 0, p->k, a);
        return;
    }
    int32_t *values = a;
    lb_row_to_int(p->a.type, row, 0, p->k, values);
    if (p->a.zero) {
        int32_t zero = p->a.zero == LB_PER_TENSOR ? o->args->a_zero[o->batch]
                                                  : o->args->a_zero[o->batch * p->m + m];
        for (int64_t k = 0; k < p->k; k++)
            values[k] = (int32_t)((uint32_t)values[k] - (uint32_t)zero);
    }
}

static int32_t zero_at(const lb_oracle *o, int64_t g)
{
    return o->w.zeros ? o->w.zeros[o->n * o->w.zero_n + g * o->w.zero_g] : 0;
}

static float scale_at(const lb_oracle *o, int64_t g)
{
    float scale = 1;
    if (o->w.scales)
        lb_row_to_float(o->w.scale_type, o->w.scales, o->n * o->w.scale_n + g * o->w.scale_g, 1,
                        &scale);
    return scale;
}

static int64_t group_end(const lb_oracle *o, int64_t g)
{
    int64_t end = (g + 1) * o->group;
    return end < o->p->k ? end : o->p->k;
}

/* The values of weights whose scales have two levels, from those of the codes. */
static void load_steps(const lb_oracle *o, int32_t *values)
{
    const lb_problem *p = o->p;
    for (int64_t k = 0; k < p->k; k++) {
        int64_t g = k / p->b.group, at = o->n * o->w.step_n + g * o->w.step_g;
        values[k] = o->w.steps ? (values[k] - zero_at(o, g)) * o->w.steps[at]
                               : lb_step_value(o->w.step_words[at], values[k]);
    }
}

void lb_oracle_load_b(lb_oracle *o, int64_t n)
{
    const lb_problem *p = o->p;
    int32_t *values = o->b;
    unsigned bits = (unsigned)lb_type_bits(p->b.type);
    o->n = n;
    if (p->k == 0)
        return;
    if (!o->w.cols)
        lb_row_to_int(p->b.type, (const char *)o->w.codes + n * o->w.ld * bits / 8, 0, p->k,
                      values);
    else
        for (int64_t k = 0; k < p->k; k++)
            values[k] = lb_value_from_code(
                p->b.type, lb_field_get(o->w.codes, (uint64_t)(k * o->w.ld + n) * bits, (int)bits));
    if (o->w.steps || o->w.step_words) {
        load_steps(o, values);
        return;
    }
    if (o->w.zeros)
        for (int64_t g = 0; g < o->groups; g++)
            for (int64_t k = g * o->group, end = group_end(o, g), zero = zero_at(o, g); k < end;
                 k++)
                values[k] -= (int32_t)zero;
    if (o->w.tables) {
        for (int64_t g = 0; g < o->groups; g++)
            for (int64_t k = g * o->group, end = group_end(o, g); k < end; k++)
                memcpy((float *)o->b + k,
                       &o->w.tables[n * o->w.table_n + g * o->w.table_g + values[k]],
                       sizeof(float));
        return;
    }
    if (!o->integer)
        for (int64_t k = 0; k < p->k; k++) {
            float value = (float)values[k];
            memcpy((float *)o->b + k, &value, sizeof value);
        }
}

/* ---- Sums ------------------------------------------------------------------------------------ */

/* Wraps like the device's accumulators if a zero point in device memory is out of range; exact
 * otherwise. */
static int32_t dot_int(const int32_t *a, const int32_t *b, int64_t count)
{
    uint32_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (uint32_t)a[i] * (uint32_t)b[i];
    return (int32_t)sum;
}

/* Also the sizes that its error is proportional to: of the terms, for roundings, and of the weights
   plus two per term, for flushed denormals. */
static double dot_float(const float *a, const float *b, int64_t count, double spread, double *terms,
                        double *weights)
{
    double sum = 0, of_terms = 0, of_weights = 0;
    for (int64_t i = 0; i < count; i++) {
        double weight = fabs((double)b[i]) + spread;
        sum += (double)a[i] * (double)b[i];
        of_terms += fabs((double)a[i]) * weight;
        of_weights += weight + 2;
    }
    *terms = of_terms;
    *weights = of_weights;
    return sum;
}

/* Relative error of n roundings to f32, doubled because tensor cores truncate. */
static double gamma_of(double n)
{
    return 2 * n * U / (1 - n * U);
}

/* One integer sum of (a - za)(b - zb) with its bias. */
static int32_t sum_exact(const lb_oracle *o, const int32_t *a, int32_t bias)
{
    return lb_add_s32(dot_int(a, o->b, o->p->k), bias);
}

/* Integer problem: the sum of (a - za)(b - zb) scaled by B's scale. */
static lb_oracle_value sum_integer(const lb_oracle *o, const int32_t *a, int32_t bias)
{
    lb_oracle_value v = {0, 0};
    if (o->exact || o->groups == 1) {
        int32_t sum = sum_exact(o, a, bias);
        if (o->raw)
            return (lb_oracle_value){(double)sum, 0};
        v.value = (double)(float)sum * (double)scale_at(o, 0);
        if (o->exact)
            v.value = (double)(float)v.value;
        else
            v.bound = 2 * U * fabs(v.value);
        return v;
    }
    double magnitude = 0;
    for (int64_t g = 0; g < o->groups; g++) {
        int64_t from = g * o->group;
        double term =
            (double)dot_int(a + from, (const int32_t *)o->b + from, group_end(o, g) - from) *
            (double)scale_at(o, g);
        v.value += term;
        magnitude += fabs(term);
    }
    v.bound = gamma_of((double)o->groups + 2) * magnitude;
    return v;
}

/* Float activations: kernels may round each scaled weight once to A's type (as tensor cores need
   it), and take denormals as 0. */
static lb_oracle_value sum_float(const lb_oracle *o, const float *a)
{
    lb_oracle_value v = {0, 0};
    double terms = 0, weights = 0;
    for (int64_t g = 0; g < o->groups; g++) {
        int64_t from = g * o->group;
        double of_terms, of_weights, scale = (double)scale_at(o, g);
        /* |b| + |z| <= |b - z| + 2 |z| covers kernels that apply the zero point through row sums.
         */
        double spread = 2 * fabs((double)zero_at(o, g));
        v.value += dot_float(a + from, (const float *)o->b + from, group_end(o, g) - from, spread,
                             &of_terms, &of_weights) *
                   scale;
        terms += of_terms * fabs(scale);
        weights += of_weights * fabs(scale);
    }
    double rounding = o->p->a.type == LB_TYPE_F16    ? 0x1p-11
                      : o->p->a.type == LB_TYPE_BF16 ? 0x1p-8
                                                     : U;
    v.bound =
        (gamma_of((double)(o->p->k + o->groups) + 4) + rounding) * terms + LEAST_NORMAL * weights;
    return v;
}

/* ---- Epilogue -------------------------------------------------------------------------------- */

/* One f32 operation done: exact problems round as it does, the others widen the bound by it. */
static void rounded(const lb_oracle *o, lb_oracle_value *v)
{
    if (o->exact)
        v->value =
            (double)(float)
                v->value; /* one rounding: double holds products and is wide enough for sums */
    else
        v->bound += U * fabs(v->value);
}

static void multiply(const lb_oracle *o, lb_oracle_value *v, double factor)
{
    v->value *= factor;
    v->bound *= fabs(factor);
    rounded(o, v);
}

static void add(const lb_oracle *o, lb_oracle_value *v, double term)
{
    v->value += term;
    rounded(o, v);
}

/* x * min(max(x + 3, 0), 6) * (1/6), in that order; slopes are at most 1.5. */
static void hard_swish(const lb_oracle *o, lb_oracle_value *v)
{
    lb_oracle_value gate = {v->value, 0};
    double x = v->value;
    add(o, &gate, 3);
    v->value *= gate.value > 6 ? 6 : gate.value > 0 ? gate.value : 0;
    rounded(o, v);
    multiply(o, v, (double)(1.0f / 6.0f));
    if (!o->exact)
        v->bound = 1.5 * v->bound + 4 * U * fabs(x);
}

/* Slopes are at most 1.13; library functions err by up to 16 units in the last place
 * (OpenCL 1.2, 7.4: erf). */
static void activate(const lb_oracle *o, lb_oracle_value *v, int32_t activation)
{
    double x = v->value;
    switch (activation) {
    case LB_ACT_NONE: return;
    case LB_ACT_RELU: v->value = x > 0 ? x : 0; return;
    case LB_ACT_RELU6: v->value = x > 0 ? (x < 6 ? x : 6) : 0; return;
    case LB_ACT_HARD_SWISH: hard_swish(o, v); return;
    case LB_ACT_SILU: v->value = x / (1 + exp(-x)); break;
    case LB_ACT_GELU: v->value = x / 2 * (1 + erf(x * 0.70710678118654752)); break;
    default: v->value = x / 2 * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x))); break;
    }
    v->bound = 1.13 * v->bound + 0x1p-19 * fabs(x);
}

static int64_t d_index(const lb_oracle *o, int32_t granularity, int64_t m)
{
    return granularity == LB_PER_TENSOR ? 0 : granularity == LB_PER_TOKEN ? m : o->n;
}

/* Element (m, n) of the residual less its zero point. */
static float residual_float(const lb_oracle *o, int64_t m)
{
    const lb_operand *r = &o->p->residual;
    int64_t at = o->batch * r->batch_stride + m * r->ld + o->n;
    float value;
    int32_t integer;
    if (!r->zero) {
        lb_row_to_float(r->type, o->args->residual, at, 1, &value);
        return value;
    }
    lb_row_to_int(r->type, o->args->residual, at, 1, &integer);
    return (float)lb_subtract_s32(integer, *o->args->residual_zero);
}

static int32_t residual_int(const lb_oracle *o, int64_t m)
{
    const lb_operand *r = &o->p->residual;
    int32_t value;
    lb_row_to_int(r->type, o->args->residual, o->batch * r->batch_stride + m * r->ld + o->n, 1,
                  &value);
    return r->zero ? lb_subtract_s32(value, *o->args->residual_zero) : value;
}

/* The integer-only epilogue up to D's zero point. */
static int32_t element_fixed(const lb_oracle *o, int32_t acc, int64_t m)
{
    const lb_problem *p = o->p;
    const lb_multiplier *d_scale = o->args->d_scale, *r_scale = o->args->residual_scale;
    const lb_multiplier *by = &d_scale[d_index(o, p->d.scale, m)];
    if (p->rounding == LB_ROUND_THRESHOLD)
        return lb_threshold_bit(acc, by->value, by->shift) - 1;
    if (p->residual.type) {
        int32_t r = residual_int(o, m);
        if (p->residual.scale) {
            const lb_multiplier *r_by = &r_scale[d_index(o, p->residual.scale, m)];
            r = lb_multiply(r, r_by->value, r_by->shift, p->rounding);
        }
        acc = lb_add_s32(acc, r);
    }
    if (p->activation == LB_ACT_RELU && acc < 0)
        acc = 0;
    int32_t q = lb_multiply(acc, by->value, by->shift, p->rounding);
    return p->activation == LB_ACT_HARD_SWISH ? lb_hard_swish(q, p->act_three, p->act_shift) : q;
}

lb_oracle_value lb_oracle_element(const lb_oracle *o, const void *a, int64_t m)
{
    const lb_problem *p = o->p;
    const lb_host_args *args = o->args;
    int64_t channel = o->batch * p->n + o->n;

    int32_t s32_bias = p->bias == LB_TYPE_S32 ? ((const int32_t *)args->bias)[channel] : 0;
    if (o->fixed)
        return (lb_oracle_value){(double)element_fixed(o, sum_exact(o, a, s32_bias), m), 0};
    lb_oracle_value v = o->integer ? sum_integer(o, a, s32_bias) : sum_float(o, a);
    if (o->raw) {
        if (p->activation == LB_ACT_RELU && v.value < 0)
            v.value = 0;
        return v;
    }
    if (p->a.scale)
        multiply(
            o, &v,
            (double)args->a_scale[p->a.scale == LB_PER_TENSOR ? o->batch : o->batch * p->m + m]);
    if (p->bias && p->bias != LB_TYPE_S32) {
        float bias;
        lb_row_to_float(p->bias, args->bias, channel, 1, &bias);
        add(o, &v, (double)bias);
    }
    if (p->residual.type) {
        lb_oracle_value r = {(double)residual_float(o, m), 0};
        if (p->residual.scale)
            multiply(
                o, &r,
                (double)((const float *)args->residual_scale)[d_index(o, p->residual.scale, m)]);
        v.bound += r.bound;
        add(o, &v, r.value);
    }
    activate(o, &v, p->activation);
    if (p->clamp) {
        v.value = v.value > (double)p->clamp_min ? v.value : (double)p->clamp_min;
        v.value = v.value < (double)p->clamp_max ? v.value : (double)p->clamp_max;
    }
    if (p->d.scale)
        multiply(o, &v, (double)((const float *)args->d_scale)[d_index(o, p->d.scale, m)]);
    return v;
}

lb_oracle_last lb_oracle_last_of(const lb_oracle *o, int64_t m)
{
    lb_oracle_last last = {.zero = o->p->d.zero ? *o->args->d_zero : 0};
    if (o->p->rounding == LB_ROUND_STOCHASTIC) {
        uint64_t index = lb_random_block(o->batch * o->p->m + m, (lb_i32)o->p->n, (lb_i32)o->n);
        last.random = lb_philox(index, o->args->random[1], o->args->random[0]).word[o->n % 4];
    }
    return last;
}
