/* SPDX-License-Identifier: Apache-2.0 */
/* Packers: three kernels, and as many objects of them as may run at once (run.c says why). */
#include "packer.h"

#include <stdlib.h>

#include "opencl.h"
#include "status.h"

#define GROUP 64 /* work-items */
static const char *const sources[LB_OPENCL_SOURCES] = {"kernel_abi.h", "common.clh", "pack.h",
                                                       "pack.cl"};

typedef struct packer_impl {
    cl_kernel kernels[LB_MAX_CONCURRENT_RUNS][LB_PACK_PASSES];
    atomic_uint busy;
} packer_impl;

lb_status lb_opencl_packer_open(lb_packer *packer)
{
    const lb_cl *cl = lb_opencl_of(packer->context)->cl;
    cl_program program;
    LB_TRY(lb_opencl_program_get(packer->context, sources, "-cl-std=CL1.2", &program));
    packer_impl *impl = calloc(1, sizeof *impl);
    if (!impl)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a packer");
    atomic_init(&impl->busy, 0);
    packer->impl = impl;
    for (int i = 0; i < LB_MAX_CONCURRENT_RUNS * LB_PACK_PASSES; i++) {
        cl_int error;
        impl->kernels[i / LB_PACK_PASSES][i % LB_PACK_PASSES] =
            cl->clCreateKernel(program, lb_packer_entries[i % LB_PACK_PASSES], &error);
        if (error != CL_SUCCESS) {
            lb_opencl_packer_close(packer);
            return lb_opencl_fail(error, "clCreateKernel", lb_packer_entries[i % LB_PACK_PASSES]);
        }
    }
    return LB_OK;
}

void lb_opencl_packer_close(lb_packer *packer)
{
    const lb_cl *cl = lb_opencl_of(packer->context)->cl;
    packer_impl *impl = packer->impl;
    for (int i = 0; i < LB_MAX_CONCURRENT_RUNS * LB_PACK_PASSES; i++)
        if (impl->kernels[i / LB_PACK_PASSES][i % LB_PACK_PASSES])
            cl->clReleaseKernel(impl->kernels[i / LB_PACK_PASSES][i % LB_PACK_PASSES]);
    free(impl);
    packer->impl = NULL;
}

static lb_status enqueue(const lb_opencl_context *o, cl_kernel kernel, int pass,
                         const cl_mem *pointers, const lb_pack_kargs *kargs, cl_command_queue queue,
                         bool barrier)
{
    const lb_cl *cl = o->cl;
    uint64_t items = lb_pack_items(kargs, pass);
    size_t local[1] = {GROUP}, global[1] = {(size_t)((items + GROUP - 1) / GROUP * GROUP)};
    if (!items)
        return LB_OK;
    LB_TRY(lb_opencl_set_arguments(cl, kernel, pointers, LB_PACK_PTRS, kargs, sizeof *kargs));
    if (barrier)
        LB_CL_TRY(cl->clEnqueueBarrierWithWaitList(queue, 0, NULL, NULL),
                  "clEnqueueBarrierWithWaitList");
    LB_CL_TRY_OF(cl->clEnqueueNDRangeKernel(queue, kernel, 1, NULL, global, local, 0, NULL, NULL),
                 "clEnqueueNDRangeKernel", lb_packer_entries[pass]);
    return LB_OK;
}

lb_status lb_opencl_packer_run(const lb_packer *packer, const lb_packer_args *args,
                               const lb_pack_kargs *kargs, lb_stream stream)
{
    const lb_opencl_context *o = lb_opencl_of(packer->context);
    packer_impl *impl = packer->impl;
    cl_command_queue queue = stream ? stream : o->queue;
    bool out_of_order;
    lb_ptr arrays[LB_PACK_PTRS];
    cl_mem pointers[LB_PACK_PTRS];
    LB_TRY(lb_opencl_check_queue(o, "lb_packer_run", queue, &out_of_order));
    lb_packer_arrays(packer, args, arrays);
    for (int i = 0; i < LB_PACK_PTRS; i++) { /* a kernel takes no NULL: the weights stand in */
        uint64_t bytes = lb_packer_bytes(packer, kargs, i);
        LB_TRY(lb_opencl_check_buffer(o, "lb_packer_run", lb_packer_names[i], arrays[i], bytes));
        pointers[i] = bytes ? arrays[i].base : args->weights->memory.base;
    }
    int set = lb_opencl_claim(&impl->busy);
    if (set < 0)
        return lb_fail(LB_BUSY,
                       "lb_packer_run: %d threads are inside it already; make a second packer",
                       LB_MAX_CONCURRENT_RUNS);
    lb_status status = LB_OK;
    for (int i = 0; i < LB_PACK_PASSES && status == LB_OK; i++)
        status = enqueue(o, impl->kernels[set][i], i, pointers, kargs, queue, i && out_of_order);
    lb_opencl_give_back(&impl->busy, set);
    if (status == LB_OK)
        o->cl->clFlush(queue);
    return status;
}
