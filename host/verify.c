/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lb_verify: D against the oracle. Exact problems bit for bit; others by interval: with the true
 * value v and the bound e, a stored code is right if convert(v - e) <= code <= convert(v + e).
 * Conversions are monotone, so one rule serves every output type. Freivalds' test covers large s32
 * results: D x = A' (B'^T x) + (bias . x) modulo 2^64 for a random x; a wrong element (its error is
 * below 2^33) escapes with a probability of at most 2^-31.
 */
#include <math.h>
#include <stdlib.h>

#include "oracle.h"
#include "problem.h"
#include "status.h"
#include "types.h"

typedef struct verifier {
    const lb_problem *p;
    const lb_host_args *args;
    const void *d;
    lb_verify_report *report;
} verifier;

static uint64_t next_random(uint64_t *state) /* splitmix64 (S. Vigna, public domain algorithm) */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Codes of one type as numbers that can be compared; NaN orders below everything, like -infinity.
 */
static double ordered(int32_t type, uint32_t code)
{
    double value = lb_oracle_decode(type, code);
    return value != value ? -INFINITY : value;
}

static void compare(verifier *v, const lb_oracle *o, lb_oracle_value expected, int64_t m)
{
    const lb_problem *p = v->p;
    int64_t batch = o->batch, n = o->n;
    lb_oracle_last last = lb_oracle_last_of(o, m);
    lb_verify_report *r = v->report;
    uint32_t got = lb_oracle_load_d(p, v->d, batch, m, n);
    uint32_t want = lb_oracle_encode(p, expected.value, last);
    bool right = got == want;
    if (!right && !r->exact) {
        double value = ordered(p->d.type, got);
        double low = ordered(p->d.type, lb_oracle_encode(p, expected.value - expected.bound, last));
        double high =
            ordered(p->d.type, lb_oracle_encode(p, expected.value + expected.bound, last));
        right = low <= value && value <= high;
        double middle = ordered(p->d.type, want);
        double room = value < middle ? middle - low : high - middle;
        if (right && p->d.type == LB_TYPE_F32 && room > 0 && isfinite(room))
            r->worst = fmax(r->worst, fabs(value - middle) / room);
    }
    r->checked++;
    if (right)
        return;
    if (r->wrong++ == 0) {
        r->batch = batch;
        r->m = m;
        r->n = n;
        r->expected = lb_oracle_decode(p->d.type, want);
        r->got = lb_oracle_decode(p->d.type, got);
    }
}

/* Compares the given rows of one batch. scratch: (count + 1) rows of k elements of 4 bytes. */
static void compare_rows(verifier *v, int64_t batch, const int64_t *rows, int64_t count,
                         char *scratch)
{
    const lb_problem *p = v->p;
    size_t row_bytes = (size_t)p->k * 4;
    lb_oracle o;
    lb_oracle_weights w = lb_oracle_canonical(p, v->args, batch);
    lb_oracle_begin(&o, p, v->args, &w, batch, scratch + (size_t)count * row_bytes);
    for (int64_t i = 0; i < count; i++)
        lb_oracle_load_a(&o, rows[i], scratch + (size_t)i * row_bytes);
    for (int64_t n = 0; n < p->n; n++) {
        lb_oracle_load_b(&o, n);
        for (int64_t i = 0; i < count; i++)
            compare(v, &o, lb_oracle_element(&o, scratch + (size_t)i * row_bytes, rows[i]),
                    rows[i]);
    }
}

/* Rows spread evenly with a random place in each stretch; the first and the last are always among
 * them. */
static int64_t choose_rows(int64_t m, int64_t wanted, uint64_t *state, int64_t *rows)
{
    if (wanted <= 0 || wanted >= m) {
        for (int64_t i = 0; i < m; i++)
            rows[i] = i;
        return m;
    }
    for (int64_t i = 0; i < wanted; i++) {
        int64_t from = i * m / wanted, to = (i + 1) * m / wanted;
        rows[i] = from + (int64_t)(next_random(state) % (uint64_t)(to - from));
    }
    rows[0] = 0;
    if (wanted > 1)
        rows[wanted - 1] = m - 1;
    return wanted;
}

/* All rows of one batch by Freivalds; rows that fail are compared element by element. */
static lb_status freivalds(verifier *v, int64_t batch, uint64_t *state)
{
    const lb_problem *p = v->p;
    size_t k = (size_t)(p->k ? p->k : 1), n = (size_t)p->n;
    uint64_t *x = malloc((n + k) * sizeof *x), constant = 0;
    char *scratch = malloc(2 * k * 4);
    if (!x || !scratch) {
        free(x);
        free(scratch);
        return lb_fail(LB_OUT_OF_MEMORY, "lb_verify: no memory for Freivalds' test");
    }
    uint64_t *t = x + n;
    lb_oracle o;
    lb_oracle_weights w = lb_oracle_canonical(p, v->args, batch);
    lb_oracle_begin(&o, p, v->args, &w, batch, scratch + k * 4);
    const int32_t *a = (const int32_t *)(const void *)scratch, *b = o.b;
    for (size_t i = 0; i < k; i++)
        t[i] = 0;
    for (int64_t i = 0; i < p->n; i++) {
        x[i] = next_random(state);
        lb_oracle_load_b(&o, i);
        for (int64_t j = 0; j < p->k; j++)
            t[j] += x[i] * (uint64_t)(int64_t)b[j];
        if (p->bias)
            constant +=
                x[i] * (uint64_t)(int64_t)((const int32_t *)v->args->bias)[batch * p->n + i];
    }
    for (int64_t m = 0; m < p->m; m++) {
        uint64_t expected = constant, got = 0;
        lb_oracle_load_a(&o, m, scratch);
        for (int64_t j = 0; j < p->k; j++)
            expected += (uint64_t)(int64_t)a[j] * t[j];
        for (int64_t i = 0; i < p->n; i++)
            got += x[i] * (uint64_t)(int64_t)(int32_t)lb_oracle_load_d(p, v->d, batch, m, i);
        if (expected != got)
            compare_rows(v, batch, &m, 1, scratch);
        else
            v->report->checked += (uint64_t)p->n;
    }
    free(x);
    free(scratch);
    return LB_OK;
}

lb_status lb_verify(const lb_problem *problem, const lb_host_args *args, const void *d,
                    int64_t rows, uint64_t seed, int use_freivalds, lb_verify_report *report)
{
    lb_problem p;
    lb_sizes sizes;
    LB_CHECK_STRUCT(args, lb_host_args);
    LB_CHECK_STRUCT(report, lb_verify_report);
    LB_TRY(lb_problem_normalise(problem, &p));
    lb_problem_sizes_of(&p, &sizes);
    if (!lb_type_is_int(p.b.type) && !lb_type_is_table(p.b.type))
        return lb_fail(LB_UNSUPPORTED, "lb_verify: the oracle knows integers and tables, not %s",
                       lb_type_name(p.b.type));
    const struct {
        const char *name;
        const void *pointer;
        uint64_t bytes;
    } needed[] = {
        {"a", args->a, sizes.a},
        {"a_scale", args->a_scale, sizes.a_scale},
        {"a_zero", args->a_zero, sizes.a_zero},
        {"b", args->b, sizes.b},
        {"b_scale", args->b_scale, sizes.b_scale},
        {"b_zero", args->b_zero, sizes.b_zero},
        {"d", d, sizes.d},
        {"d_scale", args->d_scale, sizes.d_scale},
        {"d_zero", args->d_zero, sizes.d_zero},
        {"bias", args->bias, sizes.bias},
        {"residual", args->residual, sizes.residual},
        {"residual_scale", args->residual_scale, sizes.residual_scale},
        {"residual_zero", args->residual_zero, sizes.residual_zero},
        {"random", args->random, sizes.random},
        {"b_table", args->b_table, sizes.b_table},
        {"b_channel_scale", args->b_channel_scale, sizes.b_channel_scale},
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (needed[i].bytes && !needed[i].pointer)
            return lb_fail(LB_INVALID_ARGUMENT, "lb_verify: %s is NULL", needed[i].name);

    *report = (lb_verify_report){.struct_size = sizeof *report, .exact = lb_problem_is_exact(&p)};
    verifier v = {&p, args, d, report};
    uint64_t state = seed;
    bool all_rows = use_freivalds && lb_problem_is_raw(&p) && p.activation == LB_ACT_NONE &&
                    rows > 0 && rows < p.m;
    if (p.m == 0 || p.n == 0)
        return LB_OK;

    int64_t count = rows <= 0 || rows > p.m ? p.m : rows;
    int64_t *chosen = malloc((size_t)count * sizeof *chosen);
    char *scratch = malloc(((size_t)count + 1) * (size_t)(p.k ? p.k : 1) * 4);
    lb_status status = LB_OK;
    if (!chosen || !scratch)
        status = lb_fail(LB_OUT_OF_MEMORY, "lb_verify: no memory to decode %lld rows of A",
                         (long long)count);
    for (int64_t batch = 0; batch < p.batch && status == LB_OK; batch++) {
        choose_rows(p.m, rows, &state, chosen);
        if (all_rows)
            status = freivalds(&v, batch, &state);
        else
            compare_rows(&v, batch, chosen, count, scratch);
    }
    free(chosen);
    free(scratch);
    return status;
}
