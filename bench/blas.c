/* SPDX-License-Identifier: Apache-2.0 */
/* The baseline on a CPU: OpenBLAS, or whatever BLAS the system offers. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "measure.h"

typedef void sgemm_function(const char *transa, const char *transb, const int *m, const int *n,
                            const int *k, const float *alpha, const float *a, const int *lda,
                            const float *b, const int *ldb, const float *beta, float *c,
                            const int *ldc);

struct qb_blas {
    void *library;
    sgemm_function *sgemm;
};

/* Fills name with the library's own words about itself, or with its file name. */
static void describe(void *library, const char *file, char *name, size_t capacity)
{
    char *(*config)(void);
    *(void **)&config = dlsym(library, "openblas_get_config");
    snprintf(name, capacity, "sgemm of %s", config ? config() : file);
    for (size_t i = 0; name[i]; i++)
        if (name[i] == '\n')
            name[i] = ' ';
}

qb_blas *qb_blas_open(char *name, size_t capacity)
{
    static const char *const files[] = {"libopenblas.so.0", "libblis.so.4", "libblas.so.3"};
    qb_blas *blas = calloc(1, sizeof *blas);
    snprintf(name, capacity, "none (no libopenblas.so.0, libblis.so.4 or libblas.so.3 here)");
    for (size_t i = 0; blas && i < sizeof files / sizeof *files; i++) {
        blas->library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
        if (!blas->library)
            continue;
        *(void **)&blas->sgemm = dlsym(blas->library, "sgemm_");
        if (blas->sgemm) {
            describe(blas->library, files[i], name, capacity);
            return blas;
        }
        dlclose(blas->library);
    }
    free(blas);
    return NULL;
}

void qb_blas_close(qb_blas *blas)
{
    if (!blas)
        return;
    /* The library stays loaded: its threads may still be running its code. */
    free(blas);
}

typedef struct job {
    const qb_blas *blas;
    int m, n, k;
    int64_t batch;
    float *a, *b, *d;
} job;

/* Row-major D = A B^T is column-major D^T = B A^T. */
static void multiply(void *argument)
{
    const job *j = argument;
    const float one = 1, zero = 0;
    const int k = j->k ? j->k : 1;
    for (int64_t i = 0; i < j->batch; i++)
        j->blas->sgemm("T", "N", &j->n, &j->m, &j->k, &one, j->b + i * j->n * j->k, &k,
                       j->a + i * j->m * j->k, &k, &zero, j->d + i * j->m * j->n, &j->n);
}

static void fill(float *array, size_t count)
{
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        array[i] = (float)(int32_t)state * 0x1p-31f;
    }
}

lb_status qb_blas_measure(qb_blas *blas, const lb_problem *p, double min_time, qb_time *time)
{
    const int64_t limit = INT32_MAX;
    if (p->m > limit || p->n > limit || p->k > limit || p->m == 0 || p->n == 0)
        return LB_UNSUPPORTED;
    job j = {blas, (int)p->m, (int)p->n, (int)p->k, p->batch ? p->batch : 1, NULL, NULL, NULL};
    size_t a = (size_t)(j.batch * p->m * p->k), b = (size_t)(j.batch * p->n * p->k);
    size_t d = (size_t)(j.batch * p->m * p->n);
    j.a = malloc((a + b + d + 1) * sizeof *j.a);
    if (!j.a)
        return LB_OUT_OF_MEMORY;
    j.b = j.a + a;
    j.d = j.b + b;
    fill(j.a, a + b);
    qb_measure_host(multiply, &j, min_time, 3, time);
    free(j.a);
    return LB_OK;
}
