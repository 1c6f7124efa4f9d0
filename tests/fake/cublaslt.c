/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the place of libcublasLt.so.13: takes what bench/cublaslt.c and cuda/cublaslt.c call, refuses
 * what the library would, computes s8 x s8 -> s32, and keeps the last product's sizes for the test.
 * Its calls count among those of the fake CUDA driver, and fail where that says so.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

#define EXPORT __attribute__((visibility("default")))
enum {
    SUCCESS = 0,
    ALLOC_FAILED = 3,
    INVALID_VALUE = 7,
    EXECUTION_FAILED = 13,
    NOT_SUPPORTED = 15
};
enum { R_8I = 3, R_32I = 10, COMPUTE_32F = 68, COMPUTE_32I = 72 };

typedef struct layout { /* in 64 bytes of the caller's, or of one's own */
    int type, batch;
    uint64_t rows, cols;
    int64_t ld, stride;
    uint64_t unused[3];
} layout;
_Static_assert(sizeof(layout) == 64, "a layout is eight words");

typedef struct thing { /* a handle, a description or a preference */
    int compute, scale, transposed;
    uint64_t workspace, align[4];
} thing;

typedef struct choice {
    uint64_t magic, cols, align, unused[5]; /* the algorithm */
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
} choice;

#define MAGIC UINT64_C(0xa190)
#define WORKSPACE (UINT64_C(1) << 20) /* what its algorithms need of what they may have */

/* alive, products, m, n, k, type of the last one */
EXPORT long fake_cublaslt[6];

#define FUNCTION(name, ...)                                                                        \
    EXPORT int name(__VA_ARGS__);                                                                  \
    EXPORT int name(__VA_ARGS__)

/* Begins every call. */
#define CALL(condition)                                                                            \
    do {                                                                                           \
        int error_ = fake_cuda_call(__func__, 0);                                                  \
        if (error_)                                                                                \
            return error_ == CUDA_OUT_OF_MEMORY ? ALLOC_FAILED : EXECUTION_FAILED;                 \
        if (!(condition))                                                                          \
            return INVALID_VALUE;                                                                  \
    } while (0)

static void counted(int more)
{
    fake_cublaslt[0] += more;
    fake_cuda_state()->library_objects += more;
}

static int make(void *made, size_t bytes)
{
    void *t = calloc(1, bytes);
    memcpy(made, &t, sizeof t);
    counted(1);
    return t ? SUCCESS : ALLOC_FAILED;
}
static int end(const char *call, void *t)
{
    counted(-1);
    free(t);
    return fake_cuda_call(call, 1) ? EXECUTION_FAILED : SUCCESS;
}

FUNCTION(cublasLtCreate, thing **t)
{
    CALL(1);
    return make(t, sizeof **t);
}
FUNCTION(cublasLtDestroy, thing *t)
{
    return end(__func__, t);
}

/* ---- Descriptions ---------------------------------------------------------------------------- */

FUNCTION(cublasLtMatmulDescCreate, thing **t, int compute, int scale)
{
    CALL(scale == 0 || (scale == R_32I && compute == COMPUTE_32I));
    if (make(t, sizeof **t))
        return ALLOC_FAILED;
    (*t)->compute = compute;
    (*t)->scale = scale;
    return SUCCESS;
}
FUNCTION(cublasLtMatmulDescDestroy, thing *t)
{
    return end(__func__, t);
}
FUNCTION(cublasLtMatmulDescSetAttribute, thing *t, int attribute, const void *value, size_t bytes)
{
    CALL(attribute == 3 && bytes == sizeof(int));
    t->transposed = *(const int *)value;
    return SUCCESS;
}

FUNCTION(cublasLtMatrixLayoutInit_internal, layout *l, size_t bytes, int type, uint64_t rows,
         uint64_t cols, int64_t ld)
{
    CALL(bytes >= sizeof *l && ld >= (int64_t)rows && rows && cols);
    *l = (layout){.type = type, .batch = 1, .rows = rows, .cols = cols, .ld = ld};
    return SUCCESS;
}
FUNCTION(cublasLtMatrixLayoutCreate, layout **l, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
    CALL(ld >= (int64_t)rows);
    if (make(l, sizeof **l))
        return ALLOC_FAILED;
    **l = (layout){.type = type, .batch = 1, .rows = rows, .cols = cols, .ld = ld};
    return SUCCESS;
}
FUNCTION(cublasLtMatrixLayoutDestroy, layout *l)
{
    return end(__func__, l);
}
FUNCTION(cublasLtMatrixLayoutSetAttribute, layout *l, int attribute, const void *value,
         size_t bytes)
{
    CALL((attribute == 5 && bytes == sizeof l->batch) ||
         (attribute == 6 && bytes == sizeof l->stride));
    if (attribute == 5)
        memcpy(&l->batch, value, bytes);
    else
        memcpy(&l->stride, value, bytes);
    return SUCCESS;
}

FUNCTION(cublasLtMatmulPreferenceCreate, thing **t)
{
    CALL(1);
    if (make(t, sizeof **t))
        return ALLOC_FAILED;
    for (int i = 0; i < 4; i++)
        (*t)->align[i] = 256;
    return SUCCESS;
}
FUNCTION(cublasLtMatmulPreferenceDestroy, thing *t)
{
    return end(__func__, t);
}
FUNCTION(cublasLtMatmulPreferenceSetAttribute, thing *t, int attribute, const void *value,
         size_t bytes)
{
    CALL((attribute == 1 && bytes == 8) || (attribute >= 5 && attribute <= 8 && bytes == 4));
    if (attribute == 1)
        memcpy(&t->workspace, value, bytes);
    else
        t->align[attribute - 5] = *(const uint32_t *)value;
    return SUCCESS;
}

/* ---- Products -------------------------------------------------------------------------------- */

/* Integer products need multiples of 4 throughout; the baseline asks for more. */
static int fits(const layout *a, const layout *b, const layout *d)
{
    return a->type == R_8I ? a->rows % 4 == 0 && d->rows % 4 == 0 && a->ld % 4 == 0 &&
                                 b->ld % 4 == 0 && d->ld % 4 == 0
                           : a->rows % 8 == 0 && d->rows % 8 == 0;
}

FUNCTION(cublasLtMatmulAlgoGetHeuristic, thing *handle, thing *desc, layout *a, layout *b,
         layout *c, layout *d, thing *preference, int most, choice *choices, int *count)
{
    CALL(handle && desc->transposed == 1 && a->rows == b->rows && c->rows == a->cols &&
         d->cols == b->cols && most >= 1 && fits(a, b, d) &&
         desc->compute == (a->type == R_8I ? COMPUTE_32I : COMPUTE_32F) && a->batch == b->batch &&
         a->batch == d->batch);
    if (preference->workspace < WORKSPACE) {
        *count = 0;
        return NOT_SUPPORTED;
    }
    *count = most < 2 ? most : 2;
    for (int i = 0; i < *count; i++)
        choices[i] = (choice){
            .magic = MAGIC, .cols = d->cols, .align = preference->align[1], .workspace = WORKSPACE};
    return SUCCESS;
}

static void multiply(const int8_t *a, const layout *al, const int8_t *b, const layout *bl,
                     int32_t *d, const layout *dl)
{
    for (uint64_t j = 0; j < dl->cols; j++)
        for (uint64_t i = 0; i < dl->rows; i++) {
            int32_t sum = 0;
            for (uint64_t k = 0; k < al->rows; k++)
                sum += a[i * (uint64_t)al->ld + k] * b[j * (uint64_t)bl->ld + k];
            d[j * (uint64_t)dl->ld + i] = sum;
        }
}

/* Bytes that all batches of a matrix span. */
static size_t span(const layout *l)
{
    size_t size = l->type == R_32I ? 4 : l->type == R_8I ? 1 : 2;
    return size * ((size_t)(l->batch - 1) * (size_t)l->stride +
                   (size_t)(l->cols - 1) * (size_t)l->ld + (size_t)l->rows);
}

/* An algorithm chosen for many columns does not do for one. */
FUNCTION(cublasLtMatmul, thing *handle, thing *desc, const void *alpha, const void *a, layout *al,
         const void *b, layout *bl, const void *beta, const void *c, layout *cl, void *d,
         layout *dl, const choice *algorithm, void *workspace, size_t bytes, void *stream)
{
    CALL(handle && alpha && beta && c == d && cl == dl && algorithm->magic == MAGIC &&
         bytes >= WORKSPACE && (uintptr_t)workspace % 256 == 0 &&
         fake_cuda_memory(workspace, WORKSPACE) && fake_cuda_memory(a, span(al)) &&
         fake_cuda_memory(b, span(bl)) && fake_cuda_memory(d, span(dl)));
    if (!fake_cuda_stream(stream))
        return EXECUTION_FAILED;
    if ((uintptr_t)b % algorithm->align || (uintptr_t)d % algorithm->align)
        return INVALID_VALUE;
    if (dl->cols == 1 && algorithm->cols > 1)
        return NOT_SUPPORTED;
    fake_cublaslt[1]++;
    fake_cublaslt[2] = (long)bl->cols;
    fake_cublaslt[3] = (long)al->cols;
    fake_cublaslt[4] = (long)al->rows;
    fake_cublaslt[5] = dl->type;
    if (desc->scale == R_32I && (*(const int32_t *)alpha != 1 || *(const int32_t *)beta != 0))
        return INVALID_VALUE;
    for (int i = 0; desc->scale == R_32I && i < al->batch; i++)
        multiply((const int8_t *)a + i * al->stride, al, (const int8_t *)b + i * bl->stride, bl,
                 (int32_t *)d + i * dl->stride, dl);
    fake_cuda_state()->launches++;
    return SUCCESS;
}
