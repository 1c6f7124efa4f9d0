/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenCL backend's table, and its contexts, memory, queues and events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl.h"
#include "status.h"

/* ---- Contexts -----------------------------------------------------------------------------------
 */

/* The caller's context must know the caller's device. */
static lb_status adopt(const lb_context_desc *desc, lb_opencl_context *o)
{
    o->context = desc->native_context;
    o->device = desc->native_device;
    size_t bytes = 0;
    LB_CL_TRY(o->cl->clGetContextInfo(o->context, CL_CONTEXT_DEVICES, 0, NULL, &bytes),
              "clGetContextInfo of the native context");
    cl_device_id *devices = malloc(bytes);
    if (!devices)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for the native context's devices");
    cl_int error = o->cl->clGetContextInfo(o->context, CL_CONTEXT_DEVICES, bytes, devices, NULL);
    bool found = false;
    for (size_t i = 0; error == CL_SUCCESS && i < bytes / sizeof *devices; i++)
        found |= devices[i] == o->device;
    free(devices);
    LB_CL_TRY(error, "clGetContextInfo of the native context");
    if (!found)
        return lb_fail(LB_INVALID_ARGUMENT, "native_device is not one of native_context's devices");
    LB_CL_TRY(o->cl->clRetainContext(o->context), "clRetainContext");
    return LB_OK;
}

static lb_status create(int index, lb_opencl_context *o)
{
    cl_int error;
    LB_TRY(lb_opencl_device_at(index, &o->device));
    o->context = o->cl->clCreateContext(NULL, 1, &o->device, NULL, NULL, &error);
    LB_CL_TRY(error, "clCreateContext");
    return LB_OK;
}

static lb_status make_queue(lb_opencl_context *o, cl_command_queue_properties properties,
                            cl_command_queue *queue)
{
    cl_int error;
    *queue = o->cl->clCreateCommandQueue(o->context, o->device, properties, &error);
    LB_CL_TRY(error, properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE
                         ? "clCreateCommandQueue (out of order)"
                         : "clCreateCommandQueue");
    return LB_OK;
}

static void close_device(lb_context *context)
{
    lb_opencl_context *o = lb_opencl_of(context);
    lb_opencl_programs_release(o);
    if (o->queue) {
        o->cl->clFinish(o->queue);
        o->cl->clReleaseCommandQueue(o->queue);
    }
    if (o->context)
        o->cl->clReleaseContext(o->context);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

static lb_status open_device(const lb_context_desc *desc, int index, lb_context *context)
{
    lb_opencl_context *o = calloc(1, sizeof *o);
    if (!o)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for an OpenCL context");
    o->cl = lb_opencl_load();
    pthread_mutex_init(&o->lock, NULL);
    context->impl = o;
    lb_status status = desc->native_context ? adopt(desc, o) : create(index, o);
    if (status != LB_OK)
        o->context = NULL; /* not ours to release */
    else
        status = make_queue(o, CL_QUEUE_PROFILING_ENABLE, &o->queue);
    if (status == LB_OK)
        status = lb_opencl_describe(o->device, &context->device.info);
    if (status != LB_OK) {
        close_device(context);
        return status;
    }
    context->device.info.index = desc->native_context ? -1 : index;
    if (desc->native_context)
        snprintf(context->device.info.selector, sizeof context->device.info.selector, "opencl");
    else
        snprintf(context->device.info.selector, sizeof context->device.info.selector, "opencl:%d",
                 index);
    return LB_OK;
}

/* ---- Memory -------------------------------------------------------------------------------------
 */

static lb_status alloc(lb_context *context, size_t bytes, lb_ptr *memory)
{
    lb_opencl_context *o = lb_opencl_of(context);
    cl_int error;
    cl_mem made = o->cl->clCreateBuffer(o->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    if (error == CL_INVALID_BUFFER_SIZE || error == CL_OUT_OF_RESOURCES)
        error = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    LB_CL_TRY(error, "clCreateBuffer");
    *memory = (lb_ptr){made, 0};
    return LB_OK;
}

static void free_memory(lb_context *context, lb_ptr memory)
{
    lb_opencl_of(context)->cl->clReleaseMemObject(memory.base);
}

/* The device uses the memory itself or a copy; either way a blocking read of the buffer to the same
 * address makes what was written visible (OpenCL 1.2, 5.2.2, the rules for ptr == host_ptr). */
static lb_status wrap(lb_context *context, void *host, size_t bytes, lb_ptr *memory)
{
    lb_opencl_context *o = lb_opencl_of(context);
    cl_int error;
    cl_mem made = o->cl->clCreateBuffer(o->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, bytes,
                                        host, &error);
    LB_CL_TRY(error, "clCreateBuffer of host memory");
    *memory = (lb_ptr){made, 0};
    return LB_OK;
}

static cl_command_queue queue_of(const lb_context *context, lb_stream stream)
{
    return stream ? stream : lb_opencl_of(context)->queue;
}

static lb_status write_memory(lb_context *context, lb_ptr to, const void *from, size_t bytes,
                              lb_stream stream)
{
    LB_CL_TRY(lb_opencl_of(context)->cl->clEnqueueWriteBuffer(queue_of(context, stream), to.base,
                                                              CL_TRUE, to.offset, bytes, from, 0,
                                                              NULL, NULL),
              "clEnqueueWriteBuffer");
    return LB_OK;
}

static lb_status read_memory(lb_context *context, void *to, lb_ptr from, size_t bytes,
                             lb_stream stream)
{
    LB_CL_TRY(lb_opencl_of(context)->cl->clEnqueueReadBuffer(queue_of(context, stream), from.base,
                                                             CL_TRUE, from.offset, bytes, to, 0,
                                                             NULL, NULL),
              "clEnqueueReadBuffer");
    return LB_OK;
}

/* ---- Queues and events --------------------------------------------------------------------------
 */

static lb_status stream_create(lb_context *context, uint32_t flags, lb_stream *stream)
{
    cl_command_queue queue;
    LB_TRY(make_queue(
        lb_opencl_of(context),
        CL_QUEUE_PROFILING_ENABLE |
            (flags & LB_STREAM_OUT_OF_ORDER ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0),
        &queue));
    *stream = queue;
    return LB_OK;
}

static void stream_destroy(lb_context *context, lb_stream stream)
{
    lb_opencl_of(context)->cl->clReleaseCommandQueue(stream);
}

static lb_status stream_sync(lb_context *context, lb_stream stream)
{
    LB_CL_TRY(lb_opencl_of(context)->cl->clFinish(queue_of(context, stream)), "clFinish");
    return LB_OK;
}

static lb_status event_create(lb_context *context, void **event)
{
    (void)context;
    *event = calloc(1, sizeof(cl_event));
    return *event ? LB_OK : lb_fail(LB_OUT_OF_MEMORY, "no memory for an event");
}

static void event_destroy(lb_context *context, void *event)
{
    cl_event *marker = event;
    if (*marker)
        lb_opencl_of(context)->cl->clReleaseEvent(*marker);
    free(marker);
}

static lb_status event_record(lb_context *context, void *event, lb_stream stream)
{
    const lb_cl *cl = lb_opencl_of(context)->cl;
    cl_event *marker = event;
    if (*marker)
        cl->clReleaseEvent(*marker);
    *marker = NULL;
    LB_CL_TRY(cl->clEnqueueMarkerWithWaitList(queue_of(context, stream), 0, NULL, marker),
              "clEnqueueMarkerWithWaitList");
    return LB_OK;
}

static lb_status event_elapsed(lb_context *context, void *start, void *end, double *seconds)
{
    const lb_cl *cl = lb_opencl_of(context)->cl;
    cl_event events[2] = {*(cl_event *)start, *(cl_event *)end};
    cl_ulong times[2];
    if (!events[0] || !events[1])
        return lb_fail(LB_INVALID_ARGUMENT, "lb_event_elapsed: an event was never recorded");
    LB_CL_TRY(cl->clWaitForEvents(2, events), "clWaitForEvents");
    for (int i = 0; i < 2; i++)
        LB_CL_TRY(cl->clGetEventProfilingInfo(events[i], CL_PROFILING_COMMAND_END, sizeof *times,
                                              &times[i], NULL),
                  "clGetEventProfilingInfo (the queue must have profiling enabled)");
    *seconds = times[1] > times[0] ? 1e-9 * (double)(times[1] - times[0]) : 0;
    return LB_OK;
}

const lb_backend lb_opencl_backend = {
    .name = "opencl",
    .rows = lb_opencl_rows,
    .row_count = &lb_opencl_row_count,
    .parameters = lb_opencl_parameters,
    .variant = lb_opencl_variant,
    .devices = lb_opencl_devices,
    .open = open_device,
    .close = close_device,
    .alloc = alloc,
    .free = free_memory,
    .write = write_memory,
    .read = read_memory,
    .wrap = wrap,
    .unwrap = free_memory,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_sync = stream_sync,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .event_elapsed = event_elapsed,
    .plan_open = lb_opencl_plan_open,
    .plan_close = lb_opencl_plan_close,
    .run = lb_opencl_run,
    .ceilings = lb_opencl_ceilings,
    .quantizer_open = lb_opencl_quantizer_open,
    .quantizer_close = lb_opencl_quantizer_close,
    .quantizer_run = lb_opencl_quantizer_run,
    .packer_open = lb_opencl_packer_open,
    .packer_close = lb_opencl_packer_close,
    .packer_run = lb_opencl_packer_run,
};
