/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CUDA backend's table, and its contexts, memory, streams and events. A context is the device's
 * primary one, which the runtime API and the frameworks use too: their pointers and cudaStream_t
 * work here as they are.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda.h"
#include "status.h"

/* ---- Contexts -------------------------------------------------------------------------------- */

/* What gives back cannot fail: it is tried also where the context cannot be made current. */
static bool enter_to_release(const lb_cuda_context *c)
{
    return lb_cuda_enter(c) == LB_OK;
}

static void leave_if(const lb_cuda_context *c, bool entered)
{
    if (entered)
        lb_cuda_leave(c);
}

static lb_status retain_primary(lb_cuda_context *c)
{
    const lb_cu *cu = c->cu;
    LB_TRY(LB_CU(cuDevicePrimaryCtxRetain, &c->context, c->device));
    c->retained = 1;
    return LB_OK;
}

static void release_primary(lb_cuda_context *c)
{
    if (c->retained)
        c->cu->cuDevicePrimaryCtxRelease(c->device);
    c->retained = 0;
}

/* The caller's context must be of the caller's device. If it is the primary one, it is retained;
   others have no count and must outlive ours. */
static lb_status adopt(const lb_context_desc *desc, lb_cuda_context *c)
{
    const lb_cu *cu = c->cu;
    CUcontext given = desc->native_context;
    CUdevice of_given = -1;
    unsigned flags;
    int active = 0;
    c->device = (CUdevice)((intptr_t)desc->native_device - 1);
    c->context = given;
    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_CU(cuCtxGetDevice, &of_given);
    lb_cuda_leave(c);
    LB_TRY(status);
    if (of_given != c->device)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "native_context is of CUDA device %d, native_device names %d: pass "
                       "(void *)(device + 1)",
                       of_given, c->device);
    LB_TRY(LB_CU(cuDevicePrimaryCtxGetState, c->device, &flags, &active));
    if (!active)
        return LB_OK;
    LB_TRY(retain_primary(c));
    if (c->context != given)
        release_primary(c);
    c->context = given;
    return LB_OK;
}

static lb_status create(int index, lb_cuda_context *c)
{
    const lb_cu *cu = c->cu;
    LB_TRY(LB_CU(cuDeviceGet, &c->device, index));
    return retain_primary(c);
}

static lb_status make_stream(lb_cuda_context *c, unsigned flags, CUstream *stream)
{
    const lb_cu *cu = c->cu;
    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_CU(cuStreamCreate, stream, flags);
    lb_cuda_leave(c);
    return status;
}

static void close_device(lb_context *context)
{
    lb_cuda_context *c = lb_cuda_of(context);
    if (c->stream) {
        bool entered = enter_to_release(c);
        c->cu->cuStreamSynchronize(c->stream);
        c->cu->cuStreamDestroy(c->stream);
        lb_cublaslt_end(c);
        lb_cuda_modules_unload(c);
        leave_if(c, entered);
    }
    release_primary(c);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static lb_status start(const lb_context_desc *desc, int index, lb_cuda_context *c,
                       lb_device_info *info)
{
    const lb_cu *cu = c->cu;
    LB_TRY(desc->native_context ? adopt(desc, c) : create(index, c));
    LB_TRY(lb_cuda_describe(cu, c->device, info));
    LB_TRY(LB_CU(cuDeviceGetAttribute, &c->pageable, CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS,
                 c->device));
    /* Not CU_STREAM_NON_BLOCKING: a framework that works on the default stream passes it as NULL,
       which means this stream, and the two are then ordered. */
    return make_stream(c, CU_STREAM_DEFAULT, &c->stream);
}

static lb_status open_device(const lb_context_desc *desc, int index, lb_context *context)
{
    lb_cuda_context *c = calloc(1, sizeof *c);
    if (!c)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a CUDA context");
    c->cu = lb_cuda_load();
    pthread_mutex_init(&c->lock, NULL);
    context->impl = c;
    lb_status status = start(desc, index, c, &context->device.info);
    if (status != LB_OK) {
        close_device(context);
        return status;
    }
    /* A CUdevice is an ordinal. */
    context->device.info.index = c->device;
    snprintf(context->device.info.selector, sizeof context->device.info.selector, "cuda:%d",
             c->device);
    return LB_OK;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static CUdeviceptr address_of(lb_ptr memory)
{
    return (CUdeviceptr)(uintptr_t)memory.base + memory.offset;
}

static lb_status alloc(lb_context *context, size_t bytes, lb_ptr *memory)
{
    lb_cuda_context *c = lb_cuda_of(context);
    const lb_cu *cu = c->cu;
    CUdeviceptr made = 0;
    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_CU(cuMemAlloc, &made, bytes);
    lb_cuda_leave(c);
    LB_TRY(status);
    *memory = (lb_ptr){lb_cuda_pointer(made), 0};
    return LB_OK;
}

static void free_memory(lb_context *context, lb_ptr memory)
{
    lb_cuda_context *c = lb_cuda_of(context);
    bool entered = enter_to_release(c);
    c->cu->cuMemFree((CUdeviceptr)(uintptr_t)memory.base);
    leave_if(c, entered);
}

static lb_status write_memory(lb_context *context, lb_ptr to, const void *from, size_t bytes,
                              lb_stream stream)
{
    lb_cuda_context *c = lb_cuda_of(context);
    const lb_cu *cu = c->cu;
    CUstream on = lb_cuda_stream_of(context, stream);
    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_CU(cuMemcpyHtoDAsync, address_of(to), from, bytes, on);
    if (status == LB_OK)
        status = LB_CU(cuStreamSynchronize, on);
    lb_cuda_leave(c);
    return status;
}

static lb_status read_memory(lb_context *context, void *to, lb_ptr from, size_t bytes,
                             lb_stream stream)
{
    lb_cuda_context *c = lb_cuda_of(context);
    const lb_cu *cu = c->cu;
    CUstream on = lb_cuda_stream_of(context, stream);
    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_CU(cuMemcpyDtoHAsync, to, address_of(from), bytes, on);
    if (status == LB_OK)
        status = LB_CU(cuStreamSynchronize, on);
    lb_cuda_leave(c);
    return status;
}

/* ---- Streams --------------------------------------------------------------------------------- */

/* CUDA's streams are all in order, which is also a way of being out of order. They do not wait for
   the default stream, so that they can be captured. */
static lb_status stream_create(lb_context *context, uint32_t flags, lb_stream *stream)
{
    CUstream made = NULL;
    (void)flags;
    LB_TRY(make_stream(lb_cuda_of(context), CU_STREAM_NON_BLOCKING, &made));
    *stream = made;
    return LB_OK;
}

static void stream_destroy(lb_context *context, lb_stream stream)
{
    lb_cuda_context *c = lb_cuda_of(context);
    bool entered = enter_to_release(c);
    c->cu->cuStreamDestroy(stream);
    leave_if(c, entered);
}

static lb_status stream_sync(lb_context *context, lb_stream stream)
{
    lb_cuda_context *c = lb_cuda_of(context);
    const lb_cu *cu = c->cu;
    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_CU(cuStreamSynchronize, lb_cuda_stream_of(context, stream));
    lb_cuda_leave(c);
    return status;
}

/* ---- Events ---------------------------------------------------------------------------------- */

typedef struct timed_event {
    CUevent event;
    int recorded; /* waiting for an event that never was succeeds at once */
} timed_event;

static lb_status event_create(lb_context *context, void **event)
{
    lb_cuda_context *c = lb_cuda_of(context);
    const lb_cu *cu = c->cu;
    timed_event *made = calloc(1, sizeof *made);
    if (!made)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for an event");
    lb_status status = lb_cuda_enter(c);
    if (status == LB_OK) {
        status = LB_CU(cuEventCreate, &made->event, 0);
        lb_cuda_leave(c);
    }
    if (status != LB_OK) {
        free(made);
        return status;
    }
    *event = made;
    return LB_OK;
}

static void event_destroy(lb_context *context, void *event)
{
    lb_cuda_context *c = lb_cuda_of(context);
    timed_event *timed = event;
    bool entered = enter_to_release(c);
    c->cu->cuEventDestroy(timed->event);
    leave_if(c, entered);
    free(timed);
}

static lb_status event_record(lb_context *context, void *event, lb_stream stream)
{
    lb_cuda_context *c = lb_cuda_of(context);
    const lb_cu *cu = c->cu;
    timed_event *timed = event;
    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_CU(cuEventRecord, timed->event, lb_cuda_stream_of(context, stream));
    lb_cuda_leave(c);
    timed->recorded = status == LB_OK;
    return status;
}

static lb_status event_elapsed(lb_context *context, void *start_event, void *end_event,
                               double *seconds)
{
    lb_cuda_context *c = lb_cuda_of(context);
    const lb_cu *cu = c->cu;
    const timed_event *first = start_event, *last = end_event;
    float milliseconds = 0;
    if (!first->recorded || !last->recorded)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_event_elapsed: an event was never recorded");
    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_CU(cuEventSynchronize, first->event);
    if (status == LB_OK)
        status = LB_CU(cuEventSynchronize, last->event);
    if (status == LB_OK)
        status = LB_CU(cuEventElapsedTime, &milliseconds, first->event, last->event);
    lb_cuda_leave(c);
    LB_TRY(status);
    *seconds = milliseconds > 0 ? 1e-3 * (double)milliseconds : 0;
    return LB_OK;
}

const lb_backend lb_cuda_backend = {
    .name = "cuda",
    .rows = lb_cuda_rows,
    .row_count = &lb_cuda_row_count,
    .devices = lb_cuda_devices,
    .open = open_device,
    .close = close_device,
    .alloc = alloc,
    .free = free_memory,
    .write = write_memory,
    .read = read_memory,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_sync = stream_sync,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .event_elapsed = event_elapsed,
    .plan_open = lb_cuda_plan_open,
    .plan_close = lb_cuda_plan_close,
    .run = lb_cuda_run,
    .ceilings = lb_cuda_ceilings,
    .quantizer_open = lb_cuda_quantizer_open,
    .quantizer_close = lb_cuda_quantizer_close,
    .quantizer_run = lb_cuda_quantizer_run,
    .packer_open = lb_cuda_packer_open,
    .packer_close = lb_cuda_packer_close,
    .packer_run = lb_cuda_packer_run,
};
