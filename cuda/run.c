/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans and runs. The driver copies a launch's arguments when it is called, so a plan is immutable
 * and any number of threads may run it. A run is pointer checks and launches: no allocation, no
 * lock, no wait, and nothing that a stream capture forbids.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda.h"
#include "split.h"
#include "status.h"
#include "sums.h"
#include "weights.h"

typedef struct plan_impl {
    CUfunction functions[LB_CUDA_PASSES];
    CUfunction sums;            /* of D's rows; NULL where D has none */
    void *opened;               /* by the row's library */
    int ranks;                  /* blocks that share a tile */
    bool waits[LB_CUDA_PASSES]; /* may begin while the work before it runs */
} plan_impl;

/* ---- Plans ----------------------------------------------------------------------------------- */

#define STATIC_SHARED_LIMIT (48 * 1024) /* beyond it a kernel must ask */

static lb_status open_pass(lb_cuda_context *c, const lb_plan *plan, const lb_cuda_pass *pass,
                           CUfunction *function)
{
    const lb_cu *cu = c->cu;
    char name[128];
    int threads;
    const char *image = lb_cuda_kernel_of(plan->row->impl, pass, &plan->problem, name, sizeof name);
    LB_TRY(lb_cuda_function_get(c, image, name, function));
    LB_TRY(LB_CU(cuFuncGetAttribute, &threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, *function));
    if (threads < pass->threads)
        return lb_fail(LB_INTERNAL, "kernel %s is launched with %d threads, its code allows %d",
                       name, pass->threads, threads);
    if (pass->shared_bytes > STATIC_SHARED_LIMIT)
        LB_TRY(LB_CU(cuFuncSetAttribute, *function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                     pass->shared_bytes));
    return LB_OK;
}

/*
 * Whether a pass may be launched to begin early: its code has to wait where it must not be early
 * (lb_await_inputs). Code for 9.0 and later does; a later device may be running what was translated
 * from PTX for an older one, and the device's own number would not tell. Streams that are captured
 * take such launches from CUDA 12.3 on.
 */
static lb_status open_overlap(const lb_cu *cu, CUfunction function, bool *waits)
{
    int driver = 0, code = 0;
    if (!cu->cuLaunchKernelEx)
        return LB_OK;
    LB_TRY(LB_CU(cuDriverGetVersion, &driver));
    LB_TRY(LB_CU(cuFuncGetAttribute, &code, CU_FUNC_ATTRIBUTE_PTX_VERSION, function));
    *waits = driver >= 12030 && code >= 90;
    return LB_OK;
}

#define MOST_ATTRIBUTES 2

/* Of a launch by cuLaunchKernelEx: in clusters of `ranks` blocks, if more than one; `early`: before
   the work before it is done. */
static CUlaunchConfig config_of(const lb_cuda_pass *pass, uint64_t blocks, int ranks, bool early,
                                CUstream stream, CUlaunchAttribute (*attributes)[MOST_ATTRIBUTES])
{
    unsigned count = 0;
    if (ranks > 1)
        (*attributes)[count++] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                                                     .value.cluster = {(unsigned)ranks, 1, 1}};
    if (early)
        (*attributes)[count++] = (CUlaunchAttribute){
            .id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, .value.programmatic = 1};
    return (CUlaunchConfig){.grid_x = (unsigned)blocks,
                            .grid_y = 1,
                            .grid_z = 1,
                            .block_x = (unsigned)pass->threads,
                            .block_y = 1,
                            .block_z = 1,
                            .shared_bytes = (unsigned)pass->shared_bytes,
                            .stream = stream,
                            .attributes = *attributes,
                            .count = count};
}

/*
 * How many blocks share a tile: as many as still leave room for a row of tiles at once. Clusters
 * stay within a part of the device, so that fewer of them fit than multiprocessors allow; the
 * driver knows how many. M has no say: a row's result does not depend on it.
 */
static lb_status choose_ranks(lb_plan *plan, plan_impl *impl)
{
    const lb_cuda_row *row = plan->row->impl;
    const lb_cuda_pass *pass = &row->passes[0];
    const lb_cu *cu = lb_cuda_of(plan->context)->cu;
    const lb_problem *p = &plan->problem;
    int step, ranks = lb_cuda_ranks(row, p, plan->context->device.info.compute_units, &step);
    if (!cu->cuLaunchKernelEx || !cu->cuOccupancyMaxActiveClusters)
        ranks = 1;
    uint64_t tiles = lb_cuda_blocks(pass, 1, p->n, p->batch);
    for (; ranks > 1; ranks--) {
        CUlaunchAttribute attributes[MOST_ATTRIBUTES];
        CUlaunchConfig config =
            config_of(pass, tiles * (uint64_t)ranks, ranks, false, NULL, &attributes);
        int fit = 0;
        LB_TRY(LB_CU(cuOccupancyMaxActiveClusters, &fit, impl->functions[0], &config));
        if (fit > 0 && (uint64_t)fit >= tiles)
            break;
    }
    impl->ranks = ranks;
    plan->kargs.tail[LB_CLUSTER_RANKS] = ranks;
    plan->kargs.tail[LB_CLUSTER_STEP] = step;
    return LB_OK;
}

static lb_status choose_split(lb_plan *plan, plan_impl *impl)
{
    const lb_cuda_row *row = plan->row->impl;
    int64_t length;
    if (!row->split)
        return choose_ranks(plan, impl);
    plan->kargs.tail[LB_SPLIT_PARTS] =
        lb_cuda_parts(row, &plan->problem, &plan->context->device, &length);
    plan->kargs.tail[LB_SPLIT_LENGTH] = (int32_t)length;
    return LB_OK;
}

lb_status lb_cuda_plan_open(lb_plan *plan)
{
    const lb_cuda_row *row = plan->row->impl;
    lb_cuda_context *c = lb_cuda_of(plan->context);
    plan_impl *impl = calloc(1, sizeof *impl);
    if (!impl)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a plan");
    int count = 0;
    lb_status status = lb_cuda_enter(c);
    if (status == LB_OK) {
        if (row->library)
            status = row->library->open(plan, &impl->opened);
        for (; status == LB_OK && count < LB_CUDA_PASSES && row->passes[count].entry; count++) {
            status = open_pass(c, plan, &row->passes[count], &impl->functions[count]);
            if (status == LB_OK)
                status = open_overlap(c->cu, impl->functions[count], &impl->waits[count]);
        }
        if (status == LB_OK)
            status = choose_split(plan, impl);
        if (status == LB_OK && lb_sums_are_of(plan->problem.d.type))
            status = lb_cuda_function_get(c, "sums.fatbin", "sums", &impl->sums);
        lb_cuda_leave(c);
    }
    plan->impl = impl;
    plan->launches = count;
    if (status != LB_OK)
        lb_cuda_plan_close(plan);
    return status;
}

void lb_cuda_plan_close(lb_plan *plan)
{
    const lb_cuda_row *row = plan->row->impl;
    plan_impl *impl = plan->impl;
    if (impl && impl->opened)
        row->library->close(impl->opened);
    free(impl);
    plan->impl = NULL;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

/*
 * What the driver knows of an address, in one query (a look-up on the host, also during capture).
 * Memory it does not know is a host pointer, which would fault on the device and take the whole
 * context with it. Ranges are known of plain allocations only: pooled and mapped memory may go on
 * behind the piece that the driver names.
 */
lb_status lb_cuda_check_pointer(const lb_cuda_context *c, const char *call, const char *name,
                                lb_ptr pointer, uint64_t bytes)
{
    if (bytes == 0)
        return LB_OK;
    uint64_t type = 0, managed = 0, device = 0, plain = 0, from = 0, size = 0;
    int attributes[] = {
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE,      CU_POINTER_ATTRIBUTE_IS_MANAGED,
        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,   CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE,
        CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, CU_POINTER_ATTRIBUTE_RANGE_SIZE};
    void *values[] = {&type, &managed, &device, &plain, &from, &size};
    uint64_t base = (uintptr_t)pointer.base, at = base + pointer.offset;
    LB_TRY(lb_cuda_check_of(c->cu->cuPointerGetAttributes(6, attributes, values, base),
                            "cuPointerGetAttributes", name));
    if ((unsigned)type == 0 && !c->pageable)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: %s, 0x%" PRIx64 ", is host memory; this device reads memory of "
                       "lb_memory_alloc or cudaMalloc",
                       call, name, base);
    if ((unsigned)type == CU_MEMORYTYPE_DEVICE && !managed && (int)device != c->device)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: %s is memory of CUDA device %d, the plan's device is %d", call, name,
                       (int)device, c->device);
    if ((unsigned)plain && size && (at - from > size || bytes > size - (at - from)))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: %s needs %" PRIu64 " bytes from 0x%" PRIx64
                       ", its allocation has %" PRIu64 " from 0x%" PRIx64,
                       call, name, bytes, at, size, from);
    return LB_OK;
}

static lb_status check(const lb_cuda_context *c, const char *name, lb_ptr pointer, uint64_t bytes)
{
    return lb_cuda_check_pointer(c, "lb_run", name, pointer, bytes);
}

static lb_status check_pointers(const lb_plan *plan, const lb_args *args, const lb_sizes *sizes)
{
    const lb_cuda_context *c = lb_cuda_of(plan->context);
    LB_TRY(check(c, "a", args->a, sizes->a));
    LB_TRY(check(c, "a_scale", args->a_scale, sizes->a_scale));
    LB_TRY(check(c, "a_zero", args->a_zero, sizes->a_zero));
    LB_TRY(check(c, "d", args->d, sizes->d));
    LB_TRY(check(c, "d_scale", args->d_scale, sizes->d_scale));
    LB_TRY(check(c, "d_zero", args->d_zero, sizes->d_zero));
    LB_TRY(check(c, "bias", args->bias, sizes->bias));
    LB_TRY(check(c, "residual", args->residual, sizes->residual));
    LB_TRY(check(c, "residual_scale", args->residual_scale, sizes->residual_scale));
    LB_TRY(check(c, "residual_zero", args->residual_zero, sizes->residual_zero));
    LB_TRY(check(c, "random", args->random, sizes->random));
    LB_TRY(check(c, "d_sums", args->d_sums, sizes->d_sums));
    return check(c, "workspace", args->workspace, plan->workspace_bytes);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

bool lb_cuda_stream_is_foreign(const lb_cuda_context *c, CUstream stream)
{
    CUcontext owner = NULL;
    return c->cu->cuStreamGetCtx(stream, &owner) == CUDA_SUCCESS && owner != c->context;
}

/* Why a launch failed, where it is the stream's fault, is asked afterwards, so that runs which work
   do not pay for it. */
static lb_status launched(const lb_cuda_context *c, const char *call, const char *driver,
                          const char *entry, CUstream stream, CUresult result)
{
    if (result == CUDA_ERROR_INVALID_HANDLE && lb_cuda_stream_is_foreign(c, stream))
        return lb_fail(LB_INVALID_ARGUMENT, "%s: the stream is a CUstream of another CUcontext",
                       call);
    return lb_cuda_check_of(result, driver, entry);
}

lb_status lb_cuda_launch(const lb_cuda_context *c, const char *call, const char *entry,
                         CUfunction function, uint64_t blocks, int threads, int shared_bytes,
                         CUstream stream, void **parameters)
{
    return launched(c, call, "cuLaunchKernel", entry, stream,
                    c->cu->cuLaunchKernel(function, (unsigned)blocks, 1, 1, (unsigned)threads, 1, 1,
                                          (unsigned)shared_bytes, stream, parameters, NULL));
}

/* Pass `i`, with `blocks` blocks; by the plainer call where it does. */
static lb_status launch_pass(const lb_plan *plan, int i, uint64_t blocks, bool overlap,
                             CUstream stream, void **parameters)
{
    const lb_cuda_context *c = lb_cuda_of(plan->context);
    const plan_impl *impl = plan->impl;
    const lb_cuda_row *row = plan->row->impl;
    const lb_cuda_pass *pass = &row->passes[i];
    bool early = overlap && impl->waits[i];
    if (impl->ranks <= 1 && !early)
        return lb_cuda_launch(c, "lb_run", pass->entry, impl->functions[i], blocks, pass->threads,
                              pass->shared_bytes, stream, parameters);
    CUlaunchAttribute attributes[MOST_ATTRIBUTES];
    CUlaunchConfig config = config_of(pass, blocks, impl->ranks, early, stream, &attributes);
    return launched(c, "lb_run", "cuLaunchKernelEx", pass->entry, stream,
                    c->cu->cuLaunchKernelEx(&config, impl->functions[i], parameters, NULL));
}

static lb_status launch(const lb_plan *plan, void *const *pointers, void **parameters,
                        const lb_kargs *kargs, bool overlap, CUstream stream)
{
    const plan_impl *impl = plan->impl;
    const lb_cuda_row *row = plan->row->impl;
    uint64_t units = (uint64_t)plan->context->device.info.compute_units;
    bool taken = false;
    if (row->library)
        LB_TRY(row->library->run(plan, impl->opened, pointers, kargs, stream, &taken));
    for (int i = 0; i < plan->launches && !taken; i++) {
        uint64_t blocks = lb_cuda_blocks(&row->passes[i], kargs->m, kargs->n, kargs->batch);
        if (i == 0 && row->split)
            blocks *= (uint64_t)kargs->tail[LB_SPLIT_PARTS];
        if (impl->ranks > 1)
            blocks *= (uint64_t)impl->ranks;
        else if (row->persistent && blocks > units)
            blocks = units;
        LB_TRY(launch_pass(plan, i, blocks, overlap, stream, parameters));
    }
    return LB_OK;
}

#define SUMS_THREADS 128 /* of sums.cu */

/* A block for each row of D, and more rows for each where a grid has no more blocks. */
static lb_status launch_sums(const lb_plan *plan, void **parameters, const lb_kargs *kargs,
                             CUstream stream)
{
    const plan_impl *impl = plan->impl;
    uint64_t rows = (uint64_t)kargs->batch * (uint64_t)kargs->m;
    return lb_cuda_launch(lb_cuda_of(plan->context), "lb_run", "sums", impl->sums,
                          rows < INT32_MAX ? rows : INT32_MAX, SUMS_THREADS, 0, stream, parameters);
}

lb_status lb_cuda_run(const lb_plan *plan, const lb_args *args, const lb_kargs *kargs,
                      const lb_sizes *sizes, lb_stream stream)
{
    const lb_cuda_context *c = lb_cuda_of(plan->context);
    lb_kargs copy = *kargs; /* launches take pointers to writable arguments */
    void *pointers[LB_PTR_COUNT] = {
        [LB_PTR_A] = args->a.base,
        [LB_PTR_W] = args->weights->memory.base,
        [LB_PTR_D] = args->d.base,
        [LB_PTR_A_SCALE] = args->a_scale.base,
        [LB_PTR_A_ZERO] = args->a_zero.base,
        [LB_PTR_BIAS] = args->bias.base,
        [LB_PTR_RESIDUAL] = args->residual.base,
        [LB_PTR_RESIDUAL_SCALE] = args->residual_scale.base,
        [LB_PTR_D_SCALE] = args->d_scale.base,
        [LB_PTR_D_ZERO] = args->d_zero.base,
        [LB_PTR_WORKSPACE] = args->workspace.base,
        [LB_PTR_RESIDUAL_ZERO] = args->residual_zero.base,
        [LB_PTR_RANDOM] = args->random.base,
    };
    void *parameters[LB_PTR_COUNT + 1];
    for (int i = 0; i < LB_PTR_COUNT; i++)
        parameters[i] = &pointers[i];
    parameters[LB_PTR_COUNT] = &copy;

    CUstream on = lb_cuda_stream_of(plan->context, stream);
    LB_TRY(lb_cuda_enter(c));
    lb_status status = check_pointers(plan, args, sizes);
    if (status == LB_OK)
        status = launch(plan, pointers, parameters, kargs, (args->flags & LB_RUN_OVERLAP) != 0, on);
    if (status == LB_OK && sizes->d_sums) { /* written where other kernels have their workspace */
        pointers[LB_PTR_WORKSPACE] = args->d_sums.base;
        copy.offset[LB_PTR_WORKSPACE] = args->d_sums.offset;
        status = launch_sums(plan, parameters, kargs, on);
    }
    lb_cuda_leave(c);
    return status;
}
