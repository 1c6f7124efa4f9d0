/* SPDX-License-Identifier: Apache-2.0 */
/* Quantisers: one kernel, and as many objects of it as may run at once (run.c says why). */
#include <stdio.h>
#include <stdlib.h>

#include "opencl.h"
#include "quantize.h"
#include "status.h"

typedef struct quantizer_impl {
    cl_kernel kernels[LB_MAX_CONCURRENT_RUNS];
    atomic_uint busy;
    size_t group; /* work-items per row */
} quantizer_impl;

static const char *const sources[LB_OPENCL_SOURCES] = {
    "kernel_abi.h", "requantise.h", "quantize.h", "common.clh", "epilogue.clh", "quantize.cl"};

lb_status lb_opencl_quantizer_open(lb_quantizer *quantizer)
{
    lb_context *context = quantizer->context;
    const lb_cl *cl = lb_opencl_of(context)->cl;
    cl_program program;
    char options[64];
    size_t group = lb_device_has(&context->device, "gpu", NULL) ? 64 : 1;
    snprintf(options, sizeof options, "-cl-std=CL1.2 -DGROUP=%zu", group);
    LB_TRY(lb_opencl_program_get(context, sources, options, &program));
    quantizer_impl *impl = calloc(1, sizeof *impl);
    if (!impl)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a quantiser");
    impl->group = group;
    atomic_init(&impl->busy, 0);
    quantizer->impl = impl;
    for (int set = 0; set < LB_MAX_CONCURRENT_RUNS; set++) {
        cl_int error;
        impl->kernels[set] = cl->clCreateKernel(program, "quantize", &error);
        if (error != CL_SUCCESS) {
            lb_opencl_quantizer_close(quantizer);
            return lb_opencl_fail(error, "clCreateKernel", "quantize");
        }
    }
    return LB_OK;
}

void lb_opencl_quantizer_close(lb_quantizer *quantizer)
{
    const lb_cl *cl = lb_opencl_of(quantizer->context)->cl;
    quantizer_impl *impl = quantizer->impl;
    for (int set = 0; set < LB_MAX_CONCURRENT_RUNS; set++)
        if (impl->kernels[set])
            cl->clReleaseKernel(impl->kernels[set]);
    free(impl);
    quantizer->impl = NULL;
}

static lb_status enqueue(const lb_opencl_context *o, cl_kernel kernel, const cl_mem *pointers,
                         const lb_quant_kargs *kargs, size_t group, cl_command_queue queue)
{
    const lb_cl *cl = o->cl;
    size_t local[1] = {group}, global[1] = {(size_t)kargs->rows * group};
    LB_TRY(lb_opencl_set_arguments(cl, kernel, pointers, LB_QUANT_PTRS, kargs, sizeof *kargs));
    LB_CL_TRY_OF(cl->clEnqueueNDRangeKernel(queue, kernel, 1, NULL, global, local, 0, NULL, NULL),
                 "clEnqueueNDRangeKernel", "quantize");
    return LB_OK;
}

lb_status lb_opencl_quantizer_run(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                                  const lb_quantizer_call *call, lb_stream stream)
{
    static const char *const names[LB_QUANT_PTRS] = {"x",     "codes", "scales",
                                                     "zeros", "sums",  "norm_weight"};
    const lb_opencl_context *o = lb_opencl_of(quantizer->context);
    const lb_quant *q = &quantizer->quant;
    quantizer_impl *impl = quantizer->impl;
    cl_command_queue queue = stream ? stream : o->queue;
    bool out_of_order;
    const lb_ptr given[] = {args->x,     args->codes, args->scales,
                            args->zeros, args->sums,  args->norm_weight};
    const uint64_t bytes[] = {call->x,     call->codes, call->scales,
                              call->zeros, call->sums,  call->norm_weight};
    cl_mem pointers[LB_QUANT_PTRS];
    lb_quant_kargs kargs = {
        .rows = (lb_i32)call->rows,
        .cols = (lb_i32)q->cols,
        .type = q->type,
        .x_type = q->x_type,
        .scheme = q->scheme,
        .has_zeros = call->zeros != 0,
        .has_sums = call->sums != 0,
        .norm_type = q->norm_type,
        .norm_epsilon = q->norm_epsilon,
        .x_ld = call->x_ld,
        .row_bytes = (lb_i64)call->row_bytes,
    };
    LB_TRY(lb_opencl_check_queue(o, "lb_quantizer_run", queue, &out_of_order));
    for (int i = 0; i < LB_QUANT_PTRS; i++) { /* a kernel takes no NULL: the scales stand in */
        LB_TRY(lb_opencl_check_buffer(o, "lb_quantizer_run", names[i], given[i], bytes[i]));
        pointers[i] = bytes[i] ? given[i].base : args->scales.base;
        kargs.offset[i] = bytes[i] ? given[i].offset : 0;
    }
    int set = lb_opencl_claim(&impl->busy);
    if (set < 0)
        return lb_fail(
            LB_BUSY, "lb_quantizer_run: %d threads are inside it already; make a second quantiser",
            LB_MAX_CONCURRENT_RUNS);
    lb_status status = enqueue(o, impl->kernels[set], pointers, &kargs, impl->group, queue);
    lb_opencl_give_back(&impl->busy, set);
    if (status == LB_OK)
        o->cl->clFlush(queue);
    return status;
}
