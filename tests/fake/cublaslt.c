/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the place of libcublasLt.so.13: takes what bench/cublaslt.c calls, refuses what the library
 * would, and keeps the last product's sizes for the test.
 */
#include <stdint.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))
enum { SUCCESS = 0, INVALID_VALUE = 7 };

typedef struct thing {
    int type; /* of a layout */
    uint64_t rows, cols;
    int64_t ld;
    int compute, transposed;
} thing;

/* alive, products, m, n, k, type of the last one */
EXPORT long fake_cublaslt[6];

#define FUNCTION(name, ...)                                                                        \
    EXPORT int name(__VA_ARGS__);                                                                  \
    EXPORT int name(__VA_ARGS__)

static int make(thing **made)
{
    fake_cublaslt[0]++;
    *made = calloc(1, sizeof **made);
    return *made ? SUCCESS : INVALID_VALUE;
}
static int end(thing *t)
{
    fake_cublaslt[0]--;
    free(t);
    return SUCCESS;
}

FUNCTION(cublasLtCreate, thing **t)
{
    return make(t);
}
FUNCTION(cublasLtDestroy, thing *t)
{
    return end(t);
}
FUNCTION(cublasLtMatmulDescCreate, thing **t, int compute, int scale)
{
    if (make(t) || scale != 0)
        return INVALID_VALUE;
    (*t)->compute = compute;
    return SUCCESS;
}
FUNCTION(cublasLtMatmulDescDestroy, thing *t)
{
    return end(t);
}
FUNCTION(cublasLtMatmulDescSetAttribute, thing *t, int attribute, const void *value, size_t bytes)
{
    if (attribute != 3 || bytes != sizeof(int))
        return INVALID_VALUE;
    t->transposed = *(const int *)value;
    return SUCCESS;
}
FUNCTION(cublasLtMatrixLayoutCreate, thing **t, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
    if (make(t) || ld < (int64_t)rows)
        return INVALID_VALUE;
    (*t)->type = type;
    (*t)->rows = rows;
    (*t)->cols = cols;
    (*t)->ld = ld;
    return SUCCESS;
}
FUNCTION(cublasLtMatrixLayoutDestroy, thing *t)
{
    return end(t);
}
FUNCTION(cublasLtMatmulPreferenceCreate, thing **t)
{
    return make(t);
}
FUNCTION(cublasLtMatmulPreferenceDestroy, thing *t)
{
    return end(t);
}
FUNCTION(cublasLtMatmulPreferenceSetAttribute, thing *t, int attribute, const void *value,
         size_t bytes)
{
    (void)value;
    return t && attribute == 1 && bytes == 8 ? SUCCESS : INVALID_VALUE;
}
FUNCTION(cublasLtMatmulAlgoGetHeuristic, thing *handle, thing *desc, thing *a, thing *b, thing *c,
         thing *d, thing *preference, int most, void *choices, int *count)
{
    (void)preference, (void)choices;
    uint64_t whole = a->type == 3 ? 16 : 8;
    *count = 0;
    if (!handle || desc->transposed != 1 || a->rows != b->rows || c->rows != a->cols ||
        d->cols != b->cols || a->rows % whole || c->rows % whole || most < 2 ||
        desc->compute != (a->type == 3 ? 72 : 68))
        return INVALID_VALUE;
    *count = 2;
    return SUCCESS;
}
FUNCTION(cublasLtMatmul, thing *handle, thing *desc, const void *alpha, const void *a, thing *al,
         const void *b, thing *bl, const void *beta, const void *c, thing *cl, void *d, thing *dl,
         const void *algorithm, void *workspace, size_t bytes, void *stream)
{
    (void)desc, (void)beta, (void)c, (void)cl;
    if (!handle || !alpha || !a || !b || !d || !algorithm || !workspace || !bytes || !stream)
        return INVALID_VALUE;
    fake_cublaslt[1]++;
    fake_cublaslt[2] = (long)bl->cols;
    fake_cublaslt[3] = (long)al->cols;
    fake_cublaslt[4] = (long)al->rows;
    fake_cublaslt[5] = dl->type;
    return SUCCESS;
}
