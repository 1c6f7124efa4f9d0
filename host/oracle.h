/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle: what every element of D is, by plain loops. The ref backend stores its values,
 * lb_verify compares with them. Exact problems carry each f32 rounding of the documented order; the
 * others are computed in double with a bound on what any order of f32 operations may differ
 * (docs/numerics.md, "Bounds").
 */
#ifndef LB_ORACLE_H
#define LB_ORACLE_H

#include <stdbool.h>

#include "lowbit/lowbit.h"

/* One batch of weights, canonical or from a blob: element strides say where the values are. */
typedef struct lb_oracle_weights {
    const void *codes;
    bool cols;          /* [K][N] instead of [N][K] */
    int64_t ld;         /* elements */
    const void *scales; /* of scale_type, at n * scale_n + g * scale_g; NULL = none */
    int32_t scale_type;
    int64_t scale_n, scale_g;
    const int32_t *zeros; /* likewise */
    int64_t zero_n, zero_g;
    const float *tables; /* likewise; NULL = codes are values */
    int64_t table_n, table_g;
    /* Of two levels, likewise: scales, whose zero points are `zeros`, or a blob's words. */
    const uint8_t *steps;
    const int32_t *step_words;
    int64_t step_n, step_g;
} lb_oracle_weights;

/* The product of one batch, decoded row by row into scratch of the caller's. */
typedef struct lb_oracle {
    const lb_problem *p;      /* normalised */
    const lb_host_args *args; /* b, b_scale and b_zero are not used */
    lb_oracle_weights w;
    int64_t batch;
    bool integer, exact, raw, fixed;
    int64_t groups, group;
    int64_t n; /* row of B now in b */
    void *b;   /* k int32 or float: B less its zero points */
} lb_oracle;

/* One element before it is converted to D's type. */
typedef struct lb_oracle_value {
    double value; /* exact problems: exactly; raw ones: the integer; fixed ones: before D's zero
                     point */
    double bound; /* 0 if exact */
} lb_oracle_value;

/* What the conversion of one element needs besides its value. */
typedef struct lb_oracle_last {
    int32_t zero;    /* of D */
    uint32_t random; /* stochastic rounding */
} lb_oracle_last;

/* scratch: k elements of 4 bytes. */
void lb_oracle_begin(lb_oracle *o, const lb_problem *p, const lb_host_args *args,
                     const lb_oracle_weights *w, int64_t batch, void *scratch);
/* Canonical weights of one batch. */
lb_oracle_weights lb_oracle_canonical(const lb_problem *p, const lb_host_args *args, int64_t batch);
/* Row m of A less its zero point into k elements of 4 bytes. */
void lb_oracle_load_a(const lb_oracle *o, int64_t m, void *a);
/* Row n of B into o->b. */
void lb_oracle_load_b(lb_oracle *o, int64_t n);
/* D[m, o->n] from a row that lb_oracle_load_a made. */
lb_oracle_value lb_oracle_element(const lb_oracle *o, const void *a, int64_t m);

lb_oracle_last lb_oracle_last_of(const lb_oracle *o, int64_t m);
/* Conversion to D's type (the steps after the scale of D): the code as stored, sign-extended for
 * s32. */
uint32_t lb_oracle_encode(const lb_problem *p, double value, lb_oracle_last last);
/* A number that orders codes of one type: the value, NaN below everything. */
double lb_oracle_decode(int32_t type, uint32_t code);
/* Element (m, n) of D's memory. */
uint32_t lb_oracle_load_d(const lb_problem *p, const void *d, int64_t batch, int64_t m, int64_t n);
void lb_oracle_store_d(const lb_problem *p, void *d, int64_t batch, int64_t m, int64_t n,
                       uint32_t code);

#endif
