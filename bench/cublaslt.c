/* SPDX-License-Identifier: Apache-2.0 */
/* The baseline on NVIDIA's GPUs. Its ABI is declared here, so that this builds without the toolkit.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

/* ---- The library ----------------------------------------------------------------------------- */

enum { R_32F = 0, R_16F = 2, R_8I = 3 };               /* cudaDataType */
enum { COMPUTE_32F = 68, COMPUTE_32I = 72, OP_T = 1 }; /* cublas types */
enum { DESC_TRANSA = 3, PREF_WORKSPACE = 1 };          /* cublasLt attributes */

typedef struct algorithm {
    uint64_t data[8];
} algorithm;
typedef struct choice { /* cublasLtMatmulHeuristicResult_t */
    algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
} choice;
typedef struct lt_opaque *lt; /* any of its handles */

#define LT_FUNCTIONS(X)                                                                            \
    X(cublasLtCreate, (lt * handle))                                                               \
    X(cublasLtDestroy, (lt handle))                                                                \
    X(cublasLtMatmulDescCreate, (lt * desc, int compute, int scale))                               \
    X(cublasLtMatmulDescDestroy, (lt desc))                                                        \
    X(cublasLtMatmulDescSetAttribute, (lt desc, int attribute, const void *value, size_t bytes))   \
    X(cublasLtMatrixLayoutCreate,                                                                  \
      (lt * layout, int type, uint64_t rows, uint64_t cols, int64_t ld))                           \
    X(cublasLtMatrixLayoutDestroy, (lt layout))                                                    \
    X(cublasLtMatmulPreferenceCreate, (lt * preference))                                           \
    X(cublasLtMatmulPreferenceDestroy, (lt preference))                                            \
    X(cublasLtMatmulPreferenceSetAttribute,                                                        \
      (lt preference, int attribute, const void *value, size_t bytes))                             \
    X(cublasLtMatmulAlgoGetHeuristic, (lt handle, lt desc, lt a, lt b, lt c, lt d, lt preference,  \
                                       int most, choice *choices, int *count))                     \
    X(cublasLtMatmul,                                                                              \
      (lt handle, lt desc, const void *alpha, const void *a, lt a_layout, const void *b,           \
       lt b_layout, const void *beta, const void *c, lt c_layout, void *d, lt d_layout,            \
       const algorithm *algorithm, void *workspace, size_t workspace_bytes, lb_stream stream))

struct qb_cublas {
    lb_context *context;
    uint64_t cache_bytes;
    lb_stream stream;
    lb_ptr workspace;
    lt handle;
#define MEMBER(name, parameters) int(*name) parameters;
    LT_FUNCTIONS(MEMBER)
#undef MEMBER
};

#define WORKSPACE (UINT64_C(64) << 20)
#define MOST_CHOICES 8
#define MOST_COPIES 64

static bool load(qb_cublas *c, char *name, size_t capacity)
{
    static const char *const files[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    size_t (*version)(void);
    void *library = NULL;
    for (size_t i = 0; i < sizeof files / sizeof *files && !library; i++)
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    snprintf(name, capacity, "none (no libcublasLt.so.13 or .12 here)");
    if (!library)
        return false;
#define FIND(function, parameters)                                                                 \
    *(void **)&c->function = dlsym(library, #function);                                            \
    if (!c->function) {                                                                            \
        snprintf(name, capacity, "none (libcublasLt lacks " #function ")");                        \
        return false;                                                                              \
    }
    LT_FUNCTIONS(FIND)
#undef FIND
    *(void **)&version = dlsym(library, "cublasLtGetVersion");
    size_t v = version ? version() : 0;
    snprintf(name, capacity, "cuBLASLt %zu.%zu.%zu, s8 (integer A) or f16 (float A)", v / 10000,
             v / 100 % 100, v % 100);
    return true; /* and stays loaded */
}

qb_cublas *qb_cublas_open(lb_context *context, char *name, size_t capacity)
{
    lb_device_info info = LB_DEVICE_INFO_INIT;
    lb_context_info(context, &info);
    if (strcmp(info.selector, "cuda:0") != 0) { /* cuBLASLt's own choice */
        snprintf(name, capacity, "none (cuBLASLt is measured on cuda:0, this is %s)",
                 info.selector);
        return NULL;
    }
    qb_cublas *c = calloc(1, sizeof *c);
    if (!c || !load(c, name, capacity)) {
        free(c);
        return NULL;
    }
    c->context = context;
    c->cache_bytes = info.cache_bytes;
    int error = c->cublasLtCreate(&c->handle);
    if (error) {
        snprintf(name, capacity, "none (cublasLtCreate gives %d)", error);
        free(c);
        return NULL;
    }
    if (lb_stream_create(context, 0, &c->stream) == LB_OK &&
        lb_memory_alloc(context, WORKSPACE, &c->workspace) == LB_OK)
        return c;
    snprintf(name, capacity, "none (%.200s)", lb_last_error());
    qb_cublas_close(c);
    return NULL;
}

void qb_cublas_close(qb_cublas *c)
{
    if (!c)
        return;
    lb_memory_free(c->context, c->workspace);
    lb_stream_destroy(c->context, c->stream);
    c->cublasLtDestroy(c->handle);
    free(c);
}

/* ---- One product ----------------------------------------------------------------------------- */

/* Row-major D = A B^T is column-major D^T = B A^T. */
typedef struct product {
    qb_cublas *c;
    bool is_float;
    int64_t m, n, k, batch;
    lb_ptr a, d, b[MOST_COPIES];
    size_t copies;
    lt desc, a_layout, b_layout, d_layout, preference;
    choice choices[MOST_CHOICES];
    int best, count;
} product;

static lb_status fail(const char *call, int error)
{
    fprintf(stderr, "qbench: no baseline: %s gives %d\n", call, error);
    return LB_UNSUPPORTED;
}

#define LT(call)                                                                                   \
    do {                                                                                           \
        int error_ = p->c->call;                                                                   \
        if (error_)                                                                                \
            return fail(#call, error_);                                                            \
    } while (0)

static lb_status describe(product *p)
{
    const int trans = OP_T;
    const uint64_t workspace = WORKSPACE, m = (uint64_t)p->m, n = (uint64_t)p->n,
                   k = (uint64_t)p->k;
    int type = p->is_float ? R_16F : R_8I;
    LT(cublasLtMatmulDescCreate(&p->desc, p->is_float ? COMPUTE_32F : COMPUTE_32I, R_32F));
    LT(cublasLtMatmulDescSetAttribute(p->desc, DESC_TRANSA, &trans, sizeof trans));
    LT(cublasLtMatrixLayoutCreate(&p->b_layout, type, k, n, p->k));
    LT(cublasLtMatrixLayoutCreate(&p->a_layout, type, k, m, p->k));
    LT(cublasLtMatrixLayoutCreate(&p->d_layout, type, n, m, p->n));
    LT(cublasLtMatmulPreferenceCreate(&p->preference));
    LT(cublasLtMatmulPreferenceSetAttribute(p->preference, PREF_WORKSPACE, &workspace,
                                            sizeof workspace));
    LT(cublasLtMatmulAlgoGetHeuristic(p->c->handle, p->desc, p->b_layout, p->a_layout, p->d_layout,
                                      p->d_layout, p->preference, MOST_CHOICES, p->choices,
                                      &p->count));
    return p->count ? LB_OK : fail("cublasLtMatmulAlgoGetHeuristic", 0);
}

static char *at(lb_ptr memory, int64_t bytes)
{
    return (char *)memory.base + memory.offset + bytes;
}

static lb_status run(void *argument, size_t turn)
{
    const product *p = argument;
    const float alpha = 1e-4f, beta = 0;
    int64_t size = p->is_float ? 2 : 1;
    for (int64_t i = 0; i < p->batch; i++) {
        const char *b = at(p->b[turn % p->copies], i * p->n * p->k * size);
        const char *a = at(p->a, i * p->m * p->k * size);
        char *d = at(p->d, i * p->m * p->n * size);
        LT(cublasLtMatmul(p->c->handle, p->desc, &alpha, b, p->b_layout, a, p->a_layout, &beta, d,
                          p->d_layout, d, p->d_layout, &p->choices[p->best].algorithm,
                          at(p->c->workspace, 0), WORKSPACE, p->c->stream));
    }
    return LB_OK;
}

/* Random bytes; of f16 numbers between -2 and 2. */
static lb_status upload(product *p, lb_ptr *memory, int64_t elements)
{
    size_t bytes = (size_t)elements * (p->is_float ? 2 : 1);
    uint16_t *data = malloc(bytes + 2);
    uint32_t state = 1;
    if (!data)
        return LB_OUT_OF_MEMORY;
    for (size_t i = 0; i < (bytes + 1) / 2; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (uint16_t)(state >> 16);
        if (p->is_float)
            data[i] = (uint16_t)((data[i] & 0x83ffu) | ((data[i] >> 10 & 15u) << 10));
    }
    lb_status status = lb_memory_alloc(p->c->context, bytes, memory);
    if (status == LB_OK)
        status = lb_memory_write(p->c->context, *memory, data, bytes, NULL);
    free(data);
    return status;
}

static lb_status make(product *p)
{
    int64_t weights = p->batch * p->n * p->k, size = p->is_float ? 2 : 1;
    uint64_t rotate = 2 * (p->c->cache_bytes ? p->c->cache_bytes : 64u << 20);
    lb_status status = upload(p, &p->a, p->batch * p->m * p->k);
    if (status == LB_OK)
        status = lb_memory_alloc(p->c->context, (size_t)(p->batch * p->m * p->n * size), &p->d);
    uint64_t bytes = 0;
    while (status == LB_OK && p->copies < MOST_COPIES && (p->copies == 0 || bytes < rotate)) {
        status = upload(p, &p->b[p->copies], weights);
        p->copies += status == LB_OK;
        bytes += (uint64_t)(weights * size);
    }
    return status == LB_OK ? describe(p) : status;
}

static void destroy(product *p)
{
    qb_cublas *c = p->c;
    lb_stream_sync(c->context, c->stream);
    lb_memory_free(c->context, p->a);
    lb_memory_free(c->context, p->d);
    for (size_t i = 0; i < p->copies; i++)
        lb_memory_free(c->context, p->b[i]);
    if (p->desc)
        c->cublasLtMatmulDescDestroy(p->desc);
    if (p->preference)
        c->cublasLtMatmulPreferenceDestroy(p->preference);
    const lt layouts[] = {p->a_layout, p->b_layout, p->d_layout};
    for (int i = 0; i < 3; i++)
        if (layouts[i])
            c->cublasLtMatrixLayoutDestroy(layouts[i]);
}

lb_status qb_cublas_measure(qb_cublas *c, const lb_problem *problem, double min_time, qb_time *time)
{
    bool is_float = qb_cublas_in_float(problem);
    int64_t whole = is_float ? 8 : 16;
    product p = {.c = c,
                 .is_float = is_float,
                 .m = problem->m,
                 .n = (problem->n + whole - 1) / whole * whole,
                 .k = (problem->k + whole - 1) / whole * whole,
                 .batch = problem->batch ? problem->batch : 1};
    if (p.m == 0 || p.n == 0 || p.k == 0)
        return LB_UNSUPPORTED;
    lb_status status = make(&p);
    int best = 0;
    *time = (qb_time){0};
    for (int i = 0; i < p.count && status == LB_OK; i++) { /* a short look at each */
        qb_time one;
        p.best = i;
        status = qb_measure_device(c->context, c->stream, run, &p, p.copies, min_time / 8, 3, &one);
        if (status == LB_OK && (i == 0 || one.median < time->median)) {
            *time = one;
            best = i;
        }
    }
    p.best = best;
    if (status == LB_OK)
        status = qb_measure_device(c->context, c->stream, run, &p, p.copies, min_time, 3, time);
    if (status != LB_OK)
        *time = (qb_time){0};
    destroy(&p);
    return status;
}
