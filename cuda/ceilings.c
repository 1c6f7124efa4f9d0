/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device does at best, by the loops of ceilings.cu: each is enlarged until it takes a while,
 * then the best of a few runs counts, on the device's own clock.
 */
#include <string.h>

#include "cuda.h"
#include "status.h"

#define LONG_ENOUGH 10e-3 /* seconds */
#define MOST_STEPS (INT64_C(1) << 28)
#define RUNS 4
#define THREADS 256
#define SHARED 32768 /* a tile of 256 rows of 128 bytes */

typedef struct bench {
    lb_context *context;
    const lb_backend *backend;
    lb_ptr from, to;
    uint64_t bytes; /* of each */
    void *start, *end;
    bool warpgroups; /* products are those of sm_90a */
} bench;

/* Operations of one step of one block of 256 threads: products of m x n x k, `steps` of each. */
static double operations(const bench *b, double k)
{
    const double chains = 8;
    double each = b->warpgroups ? 2.0 * 64 * 256 : 8.0 * 16 * 8; /* warpgroups, or warps */
    return 2 * chains * each * k;
}

static lb_status run_once(const bench *b, CUfunction function, const char *entry, int64_t count,
                          uint64_t blocks, double *seconds)
{
    lb_cuda_context *c = lb_cuda_of(b->context);
    void *to = (char *)b->to.base + b->to.offset, *from = (char *)b->from.base + b->from.offset;
    void *parameters[] = {&to, &from, &count};
    LB_TRY(b->backend->event_record(b->context, b->start, NULL));
    LB_TRY(lb_cuda_enter(c));
    lb_status status = lb_cuda_launch(c, "lb_measure_ceilings", entry, function, blocks, THREADS,
                                      SHARED, c->stream, parameters);
    lb_cuda_leave(c);
    LB_TRY(status);
    LB_TRY(b->backend->event_record(b->context, b->end, NULL));
    return b->backend->event_elapsed(b->context, b->start, b->end, seconds);
}

/* Seconds of the best of a few runs of `count` steps; of loops as many as take a while. */
static lb_status best_run(const bench *b, const char *entry, uint64_t blocks, bool enlarge,
                          int64_t *count, double *best)
{
    lb_cuda_context *c = lb_cuda_of(b->context);
    CUfunction function;
    double seconds = 0;
    LB_TRY(lb_cuda_enter(c));
    lb_status status = lb_cuda_function_get(c, "ceilings.fatbin", entry, &function);
    lb_cuda_leave(c);
    LB_TRY(status);
    LB_TRY(run_once(b, function, entry, *count, blocks, &seconds));
    while (enlarge && seconds < LONG_ENOUGH && *count < MOST_STEPS) {
        *count *= 4;
        LB_TRY(run_once(b, function, entry, *count, blocks, &seconds));
    }
    for (int i = 0; i < RUNS; i++) {
        LB_TRY(run_once(b, function, entry, *count, blocks, &seconds));
        *best = i == 0 || seconds < *best ? seconds : *best;
    }
    return LB_OK;
}

static lb_status measure_loop(const bench *b, const char *entry, double step, double *rate)
{
    uint64_t units = (uint64_t)b->context->device.info.compute_units;
    uint64_t blocks = (units ? units : 1) * (b->warpgroups ? 1 : 8);
    int64_t count = 64;
    double seconds = 0;
    LB_TRY(best_run(b, entry, blocks, true, &count, &seconds));
    *rate = seconds > 0 ? step * (double)count * (double)blocks / seconds : 0;
    return LB_OK;
}

static lb_status measure_walk(const bench *b, const char *entry, int ways, double *rate)
{
    uint64_t units = (uint64_t)b->context->device.info.compute_units;
    int64_t count = (int64_t)(b->bytes / 16);
    double seconds = 0;
    LB_TRY(best_run(b, entry, (units ? units : 1) * 8, false, &count, &seconds));
    *rate = seconds > 0 ? ways * 16.0 * (double)count / seconds : 0;
    return LB_OK;
}

static lb_status measure(bench *b, lb_ceilings *made)
{
    const lb_device_info *info = &b->context->device.info;
    b->bytes = UINT64_C(256) << 20;
    while (b->bytes < 4 * info->cache_bytes)
        b->bytes *= 2;
    while (b->bytes > UINT64_C(1) << 20 && b->bytes > info->global_bytes / 10)
        b->bytes /= 2;
    LB_TRY(b->backend->alloc(b->context, b->bytes, &b->from));
    LB_TRY(b->backend->alloc(b->context, b->bytes, &b->to));
    LB_TRY(b->backend->event_create(b->context, &b->start));
    LB_TRY(b->backend->event_create(b->context, &b->end));
    LB_TRY(measure_walk(b, "ceiling_copy", 2, &made->copy_bytes));
    LB_TRY(measure_walk(b, "ceiling_read", 1, &made->read_bytes));
    LB_TRY(measure_loop(b, "ceiling_f32", 2.0 * 8 * THREADS, &made->ops_f32));
    LB_TRY(measure_loop(b, "ceiling_s8", operations(b, 32), &made->ops_s8));
    LB_TRY(measure_loop(b, "ceiling_b1", operations(b, 256), &made->ops_b1));
    LB_TRY(measure_loop(b, "ceiling_f16", operations(b, 16), &made->ops_f16));
    if (lb_device_has(&b->context->device, "sm80", NULL))
        made->ops_bf16 = made->ops_f16; /* the same units */
    return LB_OK;
}

lb_status lb_cuda_ceilings(lb_context *context, lb_ceilings *ceilings)
{
    lb_ceilings made = LB_CEILINGS_INIT;
    bench b = {.context = context,
               .backend = context->backend,
               .warpgroups = lb_device_has(&context->device, "sm90a", NULL)};
    lb_status status = measure(&b, &made);
    if (b.start)
        b.backend->event_destroy(context, b.start);
    if (b.end)
        b.backend->event_destroy(context, b.end);
    if (b.from.base)
        b.backend->free(context, b.from);
    if (b.to.base)
        b.backend->free(context, b.to);
    if (status == LB_OK)
        *ceilings = made;
    return status;
}
