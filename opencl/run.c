/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans and runs. Setting arguments changes a cl_kernel, so a plan holds LB_MAX_CONCURRENT_RUNS
 * sets of kernel objects; a run claims one by an atomic bit, sets its arguments, enqueues and gives
 * it back: OpenCL copies arguments at enqueue. No allocation, no lock, no wait.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl.h"
#include "status.h"
#include "sums.h"
#include "weights.h"

typedef struct plan_impl {
    int passes;
    cl_kernel kernels[LB_MAX_CONCURRENT_RUNS][LB_OPENCL_PASSES];
    cl_kernel sums[LB_MAX_CONCURRENT_RUNS]; /* NULL where D has none */
    size_t sums_group;                      /* work-items per row */
    atomic_uint busy;                       /* one bit per set */
} plan_impl;
_Static_assert(LB_MAX_CONCURRENT_RUNS == 32, "one bit per concurrent run");

/* ---- Plans --------------------------------------------------------------------------------------
 */

static lb_status make_kernels(lb_plan *plan, plan_impl *impl, cl_program program)
{
    const lb_cl *cl = lb_opencl_of(plan->context)->cl;
    const lb_opencl_row *row = plan->row->impl;
    for (int pass = 0; pass < impl->passes; pass++)
        for (int set = 0; set < LB_MAX_CONCURRENT_RUNS; set++) {
            cl_int error;
            impl->kernels[set][pass] = cl->clCreateKernel(program, row->passes[pass].entry, &error);
            LB_CL_TRY_OF(error, "clCreateKernel", row->passes[pass].entry);
        }
    return LB_OK;
}

static lb_status make_sums(lb_plan *plan, plan_impl *impl)
{
    static const char *const sources[LB_OPENCL_SOURCES] = {"kernel_abi.h", "requantise.h",
                                                           "sum_codes.h", "common.clh", "sums.cl"};
    const lb_cl *cl = lb_opencl_of(plan->context)->cl;
    char options[64];
    cl_program program;
    if (!lb_sums_are_of(plan->problem.d.type))
        return LB_OK;
    impl->sums_group = lb_device_has(&plan->context->device, "gpu", NULL) ? 64 : 1;
    snprintf(options, sizeof options, "-cl-std=CL1.2 -DGROUP=%zu", impl->sums_group);
    LB_TRY(lb_opencl_program_get(plan->context, sources, options, &program));
    for (int set = 0; set < LB_MAX_CONCURRENT_RUNS; set++) {
        cl_int error;
        impl->sums[set] = cl->clCreateKernel(program, "sums", &error);
        LB_CL_TRY_OF(error, "clCreateKernel", "sums");
    }
    return LB_OK;
}

lb_status lb_opencl_plan_open(lb_plan *plan)
{
    const lb_opencl_row *row = plan->row->impl;
    char options[512], macros[128] = "";
    const lb_problem *p = &plan->problem;
    if (row->macros)
        row->macros(p, macros, sizeof macros);
    snprintf(options, sizeof options, "%s -DMR=%d -DNV=%d -DMT=%d -DNT=%d %s %s %s",
             strstr(row->options, "-cl-std=") ? "" : "-cl-std=CL1.2", row->tile.mr, row->tile.nv,
             row->tile.mt, row->tile.nt, row->options, macros,
             p->rounding == LB_ROUND_EVEN ? "" : "-DLB_REQUANTISE=1");
    if (row->tile.element)
        lb_opencl_stage_areas(row, p, plan->blob->k_pad, &plan->kargs);

    cl_program program;
    LB_TRY(lb_opencl_program_get(plan->context, row->sources, options, &program));
    plan_impl *impl = calloc(1, sizeof *impl);
    if (!impl)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a plan");
    while (impl->passes < LB_OPENCL_PASSES && row->passes[impl->passes].entry)
        impl->passes++;
    atomic_init(&impl->busy, 0);
    plan->impl = impl;
    plan->launches = impl->passes;
    lb_status status = make_kernels(plan, impl, program);
    if (status == LB_OK)
        status = make_sums(plan, impl);
    if (status != LB_OK)
        lb_opencl_plan_close(plan);
    return status;
}

void lb_opencl_plan_close(lb_plan *plan)
{
    const lb_cl *cl = lb_opencl_of(plan->context)->cl;
    plan_impl *impl = plan->impl;
    for (int set = 0; set < LB_MAX_CONCURRENT_RUNS; set++) {
        for (int pass = 0; pass < LB_OPENCL_PASSES; pass++)
            if (impl->kernels[set][pass])
                cl->clReleaseKernel(impl->kernels[set][pass]);
        if (impl->sums[set])
            cl->clReleaseKernel(impl->sums[set]);
    }
    free(impl);
    plan->impl = NULL;
}

/* ---- Checks -------------------------------------------------------------------------------------
 */

lb_status lb_opencl_check_buffer(const lb_opencl_context *o, const char *call, const char *name,
                                 lb_ptr pointer, uint64_t bytes)
{
    size_t have = 0;
    cl_context owner = NULL;
    if (bytes == 0)
        return LB_OK;
    cl_int error = o->cl->clGetMemObjectInfo(pointer.base, CL_MEM_SIZE, sizeof have, &have, NULL);
    if (error == CL_INVALID_MEM_OBJECT)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: %s (%p) is no cl_mem; lb_memory_alloc and clCreateBuffer make them",
                       call, name, pointer.base);
    LB_CL_TRY_OF(error, "clGetMemObjectInfo", name);
    LB_CL_TRY_OF(
        o->cl->clGetMemObjectInfo(pointer.base, CL_MEM_CONTEXT, sizeof owner, &owner, NULL),
        "clGetMemObjectInfo", name);
    if (owner != o->context)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: %s is a cl_mem of another cl_context", call, name);
    if (pointer.offset > have || bytes > have - pointer.offset)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: %s needs %llu bytes from offset %zu, its cl_mem has %zu", call, name,
                       (unsigned long long)bytes, pointer.offset, have);
    return LB_OK;
}

static lb_status check_buffer(const lb_opencl_context *o, const char *name, lb_ptr pointer,
                              uint64_t bytes)
{
    return lb_opencl_check_buffer(o, "lb_run", name, pointer, bytes);
}

static lb_status check_buffers(const lb_plan *plan, const lb_args *args, const lb_sizes *sizes)
{
    const lb_opencl_context *o = lb_opencl_of(plan->context);
    LB_TRY(check_buffer(o, "a", args->a, sizes->a));
    LB_TRY(check_buffer(o, "a_scale", args->a_scale, sizes->a_scale));
    LB_TRY(check_buffer(o, "a_zero", args->a_zero, sizes->a_zero));
    LB_TRY(check_buffer(o, "d", args->d, sizes->d));
    LB_TRY(check_buffer(o, "d_scale", args->d_scale, sizes->d_scale));
    LB_TRY(check_buffer(o, "d_zero", args->d_zero, sizes->d_zero));
    LB_TRY(check_buffer(o, "bias", args->bias, sizes->bias));
    LB_TRY(check_buffer(o, "residual", args->residual, sizes->residual));
    LB_TRY(check_buffer(o, "residual_scale", args->residual_scale, sizes->residual_scale));
    LB_TRY(check_buffer(o, "residual_zero", args->residual_zero, sizes->residual_zero));
    LB_TRY(check_buffer(o, "random", args->random, sizes->random));
    LB_TRY(check_buffer(o, "d_sums", args->d_sums, sizes->d_sums));
    return check_buffer(o, "workspace", args->workspace, plan->workspace_bytes);
}

lb_status lb_opencl_check_queue(const lb_opencl_context *o, const char *call,
                                cl_command_queue queue, bool *out_of_order)
{
    cl_context owner = NULL;
    cl_command_queue_properties properties = 0;
    LB_CL_TRY(o->cl->clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof owner, &owner, NULL),
              "clGetCommandQueueInfo of the stream");
    if (owner != o->context)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "%s: the stream is a cl_command_queue of another cl_context", call);
    LB_CL_TRY(o->cl->clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties,
                                           &properties, NULL),
              "clGetCommandQueueInfo of the stream");
    *out_of_order = (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0;
    return LB_OK;
}

/* ---- Runs ---------------------------------------------------------------------------------------
 */

/* The kernel objects of a run. */
typedef struct run_kernels {
    const cl_kernel *passes;
    cl_kernel sums; /* NULL: not asked for */
} run_kernels;

lb_status lb_opencl_set_arguments(const lb_cl *cl, cl_kernel kernel, const cl_mem *pointers,
                                  cl_uint count, const void *block, size_t bytes)
{
    for (cl_uint i = 0; i < count; i++)
        LB_CL_TRY(cl->clSetKernelArg(kernel, i, sizeof *pointers, &pointers[i]), "clSetKernelArg");
    LB_CL_TRY(cl->clSetKernelArg(kernel, count, bytes, block), "clSetKernelArg");
    return LB_OK;
}

static lb_status set_arguments(const lb_cl *cl, cl_kernel kernel, const cl_mem *pointers,
                               const lb_kargs *kargs)
{
    return lb_opencl_set_arguments(cl, kernel, pointers, LB_PTR_COUNT, kargs, sizeof *kargs);
}

/* Sums are written where other kernels have their workspace. */
static lb_status set_sums_arguments(const lb_cl *cl, cl_kernel kernel, const cl_mem *pointers,
                                    const lb_kargs *kargs, lb_ptr d_sums)
{
    lb_kargs own = *kargs;
    cl_mem mem = d_sums.base;
    own.offset[LB_PTR_WORKSPACE] = d_sums.offset;
    LB_TRY(set_arguments(cl, kernel, pointers, &own));
    LB_CL_TRY(cl->clSetKernelArg(kernel, LB_PTR_WORKSPACE, sizeof mem, &mem), "clSetKernelArg");
    return LB_OK;
}

static size_t tiles(int64_t extent, int tile)
{
    return tile ? (size_t)((extent + tile - 1) / tile) : 1;
}

static lb_status enqueue_kernel(const lb_cl *cl, cl_command_queue queue, cl_kernel kernel,
                                const char *entry, const size_t *global, const size_t *local,
                                bool after_others)
{
    /* On an out-of-order queue: a pass after what it reads, whatever was enqueued before. */
    if (after_others)
        LB_CL_TRY(cl->clEnqueueBarrierWithWaitList(queue, 0, NULL, NULL),
                  "clEnqueueBarrierWithWaitList");
    LB_CL_TRY_OF(cl->clEnqueueNDRangeKernel(queue, kernel, 3, NULL, global, local, 0, NULL, NULL),
                 "clEnqueueNDRangeKernel", entry);
    return LB_OK;
}

/* Arguments of all kernels are set: what can still fail is the driver. */
static lb_status enqueue(const lb_plan *plan, run_kernels kernels, const lb_kargs *kargs,
                         cl_command_queue queue, bool out_of_order)
{
    const lb_cl *cl = lb_opencl_of(plan->context)->cl;
    const plan_impl *impl = plan->impl;
    const lb_opencl_row *row = plan->row->impl;
    for (int i = 0; i < impl->passes; i++) {
        const lb_opencl_pass *pass = &row->passes[i];
        size_t local[3] = {pass->local[0], pass->local[1], 1};
        size_t global[3] = {tiles(kargs->m, pass->tile_m) * local[0],
                            tiles(kargs->n, pass->tile_n) * local[1], (size_t)kargs->batch};
        LB_TRY(enqueue_kernel(cl, queue, kernels.passes[i], pass->entry, global, local,
                              out_of_order && i > 0));
    }
    if (!kernels.sums)
        return LB_OK;
    size_t local[3] = {impl->sums_group, 1, 1};
    size_t global[3] = {(size_t)kargs->m * local[0], 1, (size_t)kargs->batch};
    return enqueue_kernel(cl, queue, kernels.sums, "sums", global, local, out_of_order);
}

static lb_status run_set(const lb_plan *plan, run_kernels kernels, const cl_mem *pointers,
                         const lb_kargs *kargs, lb_ptr d_sums, cl_command_queue queue,
                         bool out_of_order)
{
    const lb_cl *cl = lb_opencl_of(plan->context)->cl;
    const plan_impl *impl = plan->impl;
    for (int i = 0; i < impl->passes; i++)
        LB_TRY(set_arguments(cl, kernels.passes[i], pointers, kargs));
    if (kernels.sums)
        LB_TRY(set_sums_arguments(cl, kernels.sums, pointers, kargs, d_sums));
    return enqueue(plan, kernels, kargs, queue, out_of_order);
}

lb_status lb_opencl_run(const lb_plan *plan, const lb_args *args, const lb_kargs *kargs,
                        const lb_sizes *sizes, lb_stream stream)
{
    const lb_opencl_context *o = lb_opencl_of(plan->context);
    plan_impl *impl = plan->impl;
    cl_command_queue queue = stream ? stream : o->queue;
    bool out_of_order = false;
    LB_TRY(lb_opencl_check_queue(o, "lb_run", queue, &out_of_order));
    LB_TRY(check_buffers(plan, args, sizes));

    /* A kernel takes no NULL: where the problem has no array, the weights stand in. */
    const lb_ptr given[LB_PTR_COUNT] = {
        [LB_PTR_A] = args->a,
        [LB_PTR_D] = args->d,
        [LB_PTR_A_SCALE] = args->a_scale,
        [LB_PTR_A_ZERO] = args->a_zero,
        [LB_PTR_BIAS] = args->bias,
        [LB_PTR_RESIDUAL] = args->residual,
        [LB_PTR_RESIDUAL_SCALE] = args->residual_scale,
        [LB_PTR_D_SCALE] = args->d_scale,
        [LB_PTR_D_ZERO] = args->d_zero,
        [LB_PTR_WORKSPACE] = args->workspace,
        [LB_PTR_RESIDUAL_ZERO] = args->residual_zero,
        [LB_PTR_RANDOM] = args->random,
    };
    const uint64_t bytes[LB_PTR_COUNT] = {
        [LB_PTR_A] = sizes->a,
        [LB_PTR_D] = sizes->d,
        [LB_PTR_A_SCALE] = sizes->a_scale,
        [LB_PTR_A_ZERO] = sizes->a_zero,
        [LB_PTR_BIAS] = sizes->bias,
        [LB_PTR_RESIDUAL] = sizes->residual,
        [LB_PTR_RESIDUAL_SCALE] = sizes->residual_scale,
        [LB_PTR_D_SCALE] = sizes->d_scale,
        [LB_PTR_D_ZERO] = sizes->d_zero,
        [LB_PTR_WORKSPACE] = plan->workspace_bytes,
        [LB_PTR_RESIDUAL_ZERO] = sizes->residual_zero,
        [LB_PTR_RANDOM] = sizes->random,
    };
    cl_mem pointers[LB_PTR_COUNT];
    for (int i = 0; i < LB_PTR_COUNT; i++)
        pointers[i] = bytes[i] ? given[i].base : args->weights->memory.base;

    int set = lb_opencl_claim(&impl->busy);
    if (set < 0)
        return lb_fail(LB_BUSY,
                       "lb_run: %d threads are inside lb_run of this plan already; make a "
                       "second plan for more",
                       LB_MAX_CONCURRENT_RUNS);
    run_kernels kernels = {impl->kernels[set], sizes->d_sums ? impl->sums[set] : NULL};
    lb_status status = run_set(plan, kernels, pointers, kargs, args->d_sums, queue, out_of_order);
    lb_opencl_give_back(&impl->busy, set);
    /* Without a flush an idle driver may not start until the caller waits. */
    if (status == LB_OK)
        o->cl->clFlush(queue);
    return status;
}
