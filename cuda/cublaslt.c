/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain s8 x s8 -> s32 by NVIDIA's cuBLASLt, where it is installed: looked for at run time, its
 * few declarations are our own. Row-major D = A W^T is its column-major D^T = W A^T with W
 * transposed, the one form its int8 products have. The algorithm is chosen when the plan is made; a
 * run is one call on the caller's stream and workspace. Calls that it cannot take (A or D not on a
 * multiple of 16 bytes, fewer rows than the algorithm does) are left to the row's passes.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"
#include "status.h"

/* ---- The library ----------------------------------------------------------------------------- */

/* The values used of its enumerations. */
enum { R_8I = 3, R_32I = 10 };                        /* cudaDataType */
enum { COMPUTE_32I = 72, OP_T = 1 };                  /* cublasComputeType_t, cublasOperation_t */
enum { DESC_TRANSA = 3 };                             /* cublasLtMatmulDescAttributes_t */
enum { LAYOUT_BATCH_COUNT = 5, LAYOUT_BATCH_OFFSET }; /* cublasLtMatrixLayoutAttribute_t */
enum { PREF_WORKSPACE = 1, PREF_ALIGN_A = 5, PREF_ALIGN_B, PREF_ALIGN_C, PREF_ALIGN_D };
enum { OK = 0, ALLOC_FAILED = 3, INVALID_VALUE = 7, NOT_SUPPORTED = 15 }; /* cublasStatus_t */

typedef struct lt_layout { /* cublasLtMatrixLayoutOpaque_t */
    uint64_t data[8];
} lt_layout;
typedef struct lt_algorithm {
    uint64_t data[8];
} lt_algorithm;
typedef struct lt_choice { /* cublasLtMatmulHeuristicResult_t */
    lt_algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
} lt_choice;
typedef struct lt_opaque *lt; /* any of its handles */

#define LT_FUNCTIONS(X)                                                                            \
    X(cublasLtCreate, (lt * handle))                                                               \
    X(cublasLtDestroy, (lt handle))                                                                \
    X(cublasLtMatmulDescCreate, (lt * desc, int compute, int scale))                               \
    X(cublasLtMatmulDescDestroy, (lt desc))                                                        \
    X(cublasLtMatmulDescSetAttribute, (lt desc, int attribute, const void *value, size_t bytes))   \
    X(cublasLtMatrixLayoutInit_internal,                                                           \
      (lt_layout * layout, size_t bytes, int type, uint64_t rows, uint64_t cols, int64_t ld))      \
    X(cublasLtMatrixLayoutSetAttribute,                                                            \
      (lt_layout * layout, int attribute, const void *value, size_t bytes))                        \
    X(cublasLtMatmulPreferenceCreate, (lt * preference))                                           \
    X(cublasLtMatmulPreferenceDestroy, (lt preference))                                            \
    X(cublasLtMatmulPreferenceSetAttribute,                                                        \
      (lt preference, int attribute, const void *value, size_t bytes))                             \
    X(cublasLtMatmulAlgoGetHeuristic,                                                              \
      (lt handle, lt desc, const lt_layout *a, const lt_layout *b, const lt_layout *c,             \
       const lt_layout *d, lt preference, int most, lt_choice *choices, int *count))               \
    X(cublasLtMatmul,                                                                              \
      (lt handle, lt desc, const void *alpha, const void *a, const lt_layout *a_layout,            \
       const void *b, const lt_layout *b_layout, const void *beta, const void *c,                  \
       const lt_layout *c_layout, void *d, const lt_layout *d_layout,                              \
       const lt_algorithm *algorithm, void *workspace, size_t workspace_bytes, CUstream stream))

static struct {
#define MEMBER(name, parameters) int(*name) parameters;
    LT_FUNCTIONS(MEMBER)
#undef MEMBER
} table;
static bool loaded;
static char missing[192];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* $LOWBIT_CUBLASLT names the library; empty: none. */
static void *open_library(void)
{
    const char *named = getenv("LOWBIT_CUBLASLT");
    void *library = named && !*named
                        ? NULL
                        : dlopen(named ? named : "libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!library && !named)
        library = dlopen("libcublasLt.so.12", RTLD_NOW | RTLD_LOCAL);
    if (!library && !named)
        snprintf(missing, sizeof missing,
                 "libcublasLt.so.13 or .12 is not here; install cuBLAS of CUDA 12 or 13 (packages "
                 "libcublas-12-*, libcublas-13-*), or name the file in $LOWBIT_CUBLASLT");
    else if (!library && *named)
        snprintf(missing, sizeof missing,
                 "$LOWBIT_CUBLASLT names %.60s, which cannot be loaded; install cuBLAS of CUDA 12 "
                 "or 13 there, or unset it",
                 named);
    else if (!library)
        snprintf(missing, sizeof missing,
                 "$LOWBIT_CUBLASLT is empty, so cuBLASLt is not used; unset it where that is "
                 "installed");
    return library;
}

static void load(void)
{
    void *library = open_library(); /* and stays loaded */
    if (!library)
        return;
    void *symbol;
#define FIND(name, parameters)                                                                     \
    symbol = dlsym(library, #name);                                                                \
    memcpy(&table.name, &symbol, sizeof symbol);                                                   \
    if (!symbol) {                                                                                 \
        snprintf(missing, sizeof missing,                                                          \
                 "libcublasLt lacks " #name "; install cuBLAS of CUDA "                            \
                 "12 or 13");                                                                      \
        return;                                                                                    \
    }
    LT_FUNCTIONS(FIND)
#undef FIND
    loaded = true;
}

static lb_status check(int result, const char *call)
{
    if (result == OK)
        return LB_OK;
    return lb_fail(result == ALLOC_FAILED ? LB_OUT_OF_MEMORY : LB_DRIVER,
                   "cuBLASLt: %s failed with cublasStatus_t %d", call, result);
}

#define LT(name, ...) check(table.name(__VA_ARGS__), #name)

/* ---- What it takes --------------------------------------------------------------------------- */

#define WHOLE 4  /* n, k and leading dimensions of its int8 products come in multiples of it */
#define ALIGN 16 /* bytes; of A and D, as the algorithm is told */
#define WEIGHTS_ALIGN 64

bool lb_cublaslt_takes(const lb_problem *p, char *why, size_t capacity)
{
    const struct {
        const char *name;
        int64_t value;
    } whole[] = {{"n", p->n}, {"k", p->k}, {"A's ld", p->a.ld}, {"D's ld", p->d.ld}};
    if (p->m == 0 || p->n == 0 || p->k == 0) {
        snprintf(why, capacity,
                 "m is %" PRId64 ", n %" PRId64 ", k %" PRId64 "; cuBLASLt takes no empty matrix",
                 p->m, p->n, p->k);
        return false;
    }
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (whole[i].value % WHOLE) {
            snprintf(why, capacity,
                     "%s is %" PRId64 "; cuBLASLt's int8 products take multiples of %d",
                     whole[i].name, whole[i].value, WHOLE);
            return false;
        }
    if (p->batch > 1 && (p->a.batch_stride % ALIGN || 4 * p->d.batch_stride % ALIGN)) {
        snprintf(why, capacity,
                 "from batch to batch are %" PRId64 " bytes of A and %" PRId64
                 " of D; it takes multiples of %d",
                 p->a.batch_stride, 4 * p->d.batch_stride, ALIGN);
        return false;
    }
    pthread_once(&once, load);
    if (!loaded)
        snprintf(why, capacity, "%s", missing);
    return loaded;
}

/* ---- Plans ----------------------------------------------------------------------------------- */

typedef struct product {
    lt handle, desc;
    lt_layout w, a, d;
    lt_algorithm algorithm;
} product;

/* One handle per context, made when its first plan needs it. */
static lb_status get_handle(lb_cuda_context *c, lt *handle)
{
    lb_status status = LB_OK;
    lt made = NULL;
    pthread_mutex_lock(&c->lock);
    if (!c->cublaslt) {
        status = LT(cublasLtCreate, &made);
        c->cublaslt = status == LB_OK ? made : NULL;
    }
    *handle = c->cublaslt;
    pthread_mutex_unlock(&c->lock);
    return status;
}

void lb_cublaslt_end(lb_cuda_context *c)
{
    if (c->cublaslt)
        table.cublasLtDestroy(c->cublaslt);
    c->cublaslt = NULL;
}

static lb_status describe(lt_layout *layout, int type, int64_t rows, int64_t cols, int64_t ld,
                          int32_t batch, int64_t stride)
{
    LB_TRY(LT(cublasLtMatrixLayoutInit_internal, layout, sizeof *layout, type, (uint64_t)rows,
              (uint64_t)cols, ld));
    if (batch == 1)
        return LB_OK;
    LB_TRY(LT(cublasLtMatrixLayoutSetAttribute, layout, LAYOUT_BATCH_COUNT, &batch, sizeof batch));
    return LT(cublasLtMatrixLayoutSetAttribute, layout, LAYOUT_BATCH_OFFSET, &stride,
              sizeof stride);
}

/* A and D of m rows. */
static lb_status describe_rows(const lb_kargs *ka, lt_layout *a, lt_layout *d)
{
    LB_TRY(describe(a, R_8I, ka->k, ka->m, ka->a_ld, ka->batch, ka->a_batch));
    return describe(d, R_32I, ka->n, ka->m, ka->d_ld, ka->batch, ka->d_batch);
}

static lb_status choose(const product *x, lt preference, uint64_t workspace, lt_choice *choice)
{
    const uint32_t align = ALIGN, weights = WEIGHTS_ALIGN;
    const int of_ours[] = {PREF_ALIGN_B, PREF_ALIGN_C, PREF_ALIGN_D};
    int count = 0;
    LB_TRY(LT(cublasLtMatmulPreferenceSetAttribute, preference, PREF_WORKSPACE, &workspace,
              sizeof workspace));
    LB_TRY(LT(cublasLtMatmulPreferenceSetAttribute, preference, PREF_ALIGN_A, &weights,
              sizeof weights));
    for (size_t i = 0; i < sizeof of_ours / sizeof *of_ours; i++)
        LB_TRY(
            LT(cublasLtMatmulPreferenceSetAttribute, preference, of_ours[i], &align, sizeof align));
    int result = table.cublasLtMatmulAlgoGetHeuristic(x->handle, x->desc, &x->w, &x->a, &x->d,
                                                      &x->d, preference, 1, choice, &count);
    if (result == NOT_SUPPORTED || (result == OK && count == 0))
        return lb_fail(LB_UNSUPPORTED, "cuBLASLt has no algorithm for this product on this device; "
                                       "name another kernel in lb_plan_desc (qbench list)");
    return check(result, "cublasLtMatmulAlgoGetHeuristic");
}

static lb_status make(lb_plan *plan, product *x)
{
    const lb_kargs *ka = &plan->kargs;
    const int transposed = OP_T;
    lt preference = NULL;
    lt_choice choice = {.workspace = 0};
    LB_TRY(get_handle(lb_cuda_of(plan->context), &x->handle));
    LB_TRY(LT(cublasLtMatmulDescCreate, &x->desc, COMPUTE_32I, R_32I));
    LB_TRY(
        LT(cublasLtMatmulDescSetAttribute, x->desc, DESC_TRANSA, &transposed, sizeof transposed));
    LB_TRY(describe(&x->w, R_8I, ka->k, ka->n, ka->k_pad, ka->batch, (int64_t)ka->w_codes_batch));
    LB_TRY(describe_rows(ka, &x->a, &x->d));
    LB_TRY(LT(cublasLtMatmulPreferenceCreate, &preference));
    lb_status status = choose(x, preference, plan->workspace_bytes, &choice);
    table.cublasLtMatmulPreferenceDestroy(preference);
    LB_TRY(status);
    x->algorithm = choice.algorithm;
    plan->workspace_bytes = choice.workspace;
    return LB_OK;
}

static void close_product(void *opened)
{
    product *x = opened;
    if (x->desc)
        table.cublasLtMatmulDescDestroy(x->desc);
    free(x);
}

static lb_status open_product(lb_plan *plan, void **opened)
{
    product *x = calloc(1, sizeof *x);
    if (!x)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a product of cuBLASLt");
    lb_status status = make(plan, x);
    if (status != LB_OK) {
        close_product(x);
        return status;
    }
    *opened = x;
    return LB_OK;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static char *at(const lb_kargs *ka, void *const *pointers, int which)
{
    return (char *)pointers[which] + ka->offset[which];
}

static lb_status run(const lb_plan *plan, const void *opened, void *const *pointers,
                     const lb_kargs *ka, CUstream stream, bool *taken)
{
    const product *x = opened;
    const lb_cuda_context *c = lb_cuda_of(plan->context);
    const int32_t one = 1, none = 0;
    const char *a = at(ka, pointers, LB_PTR_A), *w = at(ka, pointers, LB_PTR_W) + ka->w_codes;
    char *d = at(ka, pointers, LB_PTR_D);
    bool fewer = ka->m != plan->kargs.m;
    lt_layout a_rows = x->a, d_rows = x->d;
    *taken = false;
    if ((uintptr_t)a % ALIGN || (uintptr_t)d % ALIGN)
        return LB_OK;
    if (fewer)
        LB_TRY(describe_rows(ka, &a_rows, &d_rows));
    int result = table.cublasLtMatmul(
        x->handle, x->desc, &one, w, &x->w, a, &a_rows, &none, d, &d_rows, d, &d_rows,
        &x->algorithm, at(ka, pointers, LB_PTR_WORKSPACE), (size_t)plan->workspace_bytes, stream);
    /* An algorithm chosen for the plan's m need not do for fewer rows. */
    if (fewer && (result == NOT_SUPPORTED || result == INVALID_VALUE))
        return LB_OK;
    if (result != OK && lb_cuda_stream_is_foreign(c, stream))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_run: the stream is a CUstream of another CUcontext");
    *taken = true;
    return check(result, "cublasLtMatmul");
}

const lb_cuda_library lb_cublaslt = {.open = open_product, .close = close_product, .run = run};
