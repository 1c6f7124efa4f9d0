/* SPDX-License-Identifier: Apache-2.0 */
/* Backends, devices and contexts; memory, streams and events of a context. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "select.h"
#include "status.h"
#include "tuning.h"
#include "types.h"

/* ---- Backends -------------------------------------------------------------------------------- */

#define LB_BACKEND(symbol) extern const lb_backend symbol;
#include "backends.def"
#undef LB_BACKEND

const lb_backend *const lb_backends[] = {
#define LB_BACKEND(symbol) &symbol,
#include "backends.def"
#undef LB_BACKEND
};
const size_t lb_backend_count = sizeof lb_backends / sizeof *lb_backends;

static lb_status count_devices(const lb_backend *backend, size_t *count)
{
    *count = 0;
    return backend->devices(NULL, 0, count);
}

lb_status lb_devices(lb_device_info *infos, size_t capacity, size_t *count)
{
    if (!count)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_devices: count is NULL");
    if (capacity)
        LB_CHECK_STRUCT(infos, lb_device_info);
    size_t total = 0;
    for (size_t b = 0; b < lb_backend_count; b++) {
        size_t room = total < capacity ? capacity - total : 0, found = 0;
        if (lb_backends[b]->devices(room ? infos + total : NULL, room, &found) == LB_OK)
            total += found;
    }
    *count = total;
    return LB_OK;
}

static const lb_backend *find_backend(const char *name, size_t length)
{
    for (size_t b = 0; b < lb_backend_count; b++)
        if (strlen(lb_backends[b]->name) == length &&
            memcmp(lb_backends[b]->name, name, length) == 0)
            return lb_backends[b];
    return NULL;
}

const char *lb_backend_note(const char *name)
{
    static _Thread_local char note[512];
    const lb_backend *backend = name ? find_backend(name, strlen(name)) : NULL;
    size_t count;
    note[0] = 0;
    if (!backend)
        snprintf(note, sizeof note, "this library has no backend '%s'", name ? name : "(null)");
    else if (count_devices(backend, &count) != LB_OK || count == 0)
        snprintf(note, sizeof note, "%s", lb_last_error());
    return note;
}

/* ---- Contexts -------------------------------------------------------------------------------- */

/* "opencl", "opencl:1"; "auto" is the first device of the first backend that has one. */
static lb_status find_device(const char *selector, const lb_backend **backend, int *index)
{
    size_t count;
    *index = 0;
    if (strcmp(selector, "auto") == 0) {
        for (size_t b = 0; b < lb_backend_count; b++)
            if (count_devices(lb_backends[b], &count) == LB_OK && count) {
                *backend = lb_backends[b];
                return LB_OK;
            }
        return lb_fail(LB_INTERNAL, "no backend offers a device");
    }
    size_t length = strcspn(selector, ":");
    *backend = find_backend(selector, length);
    if (!*backend) {
        char names[128] = "";
        for (size_t b = 0; b < lb_backend_count; b++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s ",
                     lb_backends[b]->name);
        return lb_fail(LB_NO_DEVICE,
                       "device '%s': this library has no backend '%.*s'; there are: auto %s",
                       selector, (int)length, selector, names);
    }
    if (selector[length] == ':') {
        char *end;
        errno = 0;
        long value = strtol(selector + length + 1, &end, 10);
        if (end == selector + length + 1 || *end || errno || value < 0 || value > 4095)
            return lb_fail(LB_NO_DEVICE, "device '%s': '%s' is no device number; write e.g. %s:0",
                           selector, selector + length + 1, (*backend)->name);
        *index = (int)value;
    }
    LB_TRY(count_devices(*backend, &count));
    if ((size_t)*index >= count)
        return lb_fail(LB_NO_DEVICE, "device '%s': backend %s has %zu device%s (0 to %zu)",
                       selector, (*backend)->name, count, count == 1 ? "" : "s", count - 1);
    return LB_OK;
}

static lb_status set_cache_dir(lb_context *context, const char *wish)
{
    const char *env, *suffix = "";
    if (wish)
        env = wish;
    else if ((env = getenv("LOWBIT_CACHE_DIR")))
        ;
    else if ((env = getenv("XDG_CACHE_HOME")) && *env)
        suffix = "/lowbit";
    else if ((env = getenv("HOME")) && *env)
        suffix = "/.cache/lowbit";
    else
        env = "";
    int n = snprintf(context->cache_dir, sizeof context->cache_dir, "%s%s", env, suffix);
    if (n < 0 || (size_t)n >= sizeof context->cache_dir)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "the cache directory's path of %d characters is too long; %zu fit", n,
                       sizeof context->cache_dir - 1);
    return LB_OK;
}

lb_status lb_context_create(const lb_context_desc *desc, lb_context **context)
{
    const lb_context_desc plain = LB_CONTEXT_DESC_INIT;
    if (!context)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_context_create: context is NULL");
    if (!desc)
        desc = &plain;
    LB_CHECK_STRUCT(desc, lb_context_desc);
    if (desc->flags)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_context_create: flags are 0x%x; none exist, use 0",
                       desc->flags);
    if (!desc->native_context != !desc->native_device)
        return lb_fail(
            LB_INVALID_ARGUMENT,
            "lb_context_create: native_context and native_device go together; %s is NULL",
            desc->native_context ? "native_device" : "native_context");
    if (desc->host_threads < 0 || desc->host_threads > LB_MAX_HOST_THREADS)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_context_create: host_threads is %d; 0 to %d are possible",
                       desc->host_threads, LB_MAX_HOST_THREADS);
    const lb_backend *backend = NULL;
    int index;
    LB_TRY(find_device(desc->device ? desc->device : "auto", &backend, &index));

    lb_context *made = calloc(1, sizeof *made);
    if (!made)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_context_create: no memory for a context");
    made->backend = backend;
    made->host_threads = desc->host_threads;
    lb_status status = set_cache_dir(made, desc->cache_dir);
    if (status == LB_OK)
        status = backend->open(desc, index, made);
    if (status != LB_OK) {
        free(made);
        return status;
    }
    status = lb_tuning_open(made, desc->tuning);
    if (status != LB_OK) {
        lb_context_destroy(made);
        return status;
    }
    *context = made;
    return LB_OK;
}

void lb_context_destroy(lb_context *context)
{
    if (!context)
        return;
    lb_tuning_close(context);
    context->backend->close(context);
    free(context);
}

lb_status lb_context_info(const lb_context *context, lb_device_info *info)
{
    if (!context)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_context_info: context is NULL");
    LB_CHECK_STRUCT(info, lb_device_info);
    *info = context->device.info;
    return LB_OK;
}

size_t lb_kernel_count(const lb_context *context)
{
    return context ? *context->backend->row_count : 0;
}

lb_status lb_kernel_get_info(const lb_context *context, size_t index, lb_kernel_info *info)
{
    if (!context)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_kernel_get_info: context is NULL");
    LB_CHECK_STRUCT(info, lb_kernel_info);
    if (index >= lb_kernel_count(context))
        return lb_fail(LB_INVALID_ARGUMENT, "lb_kernel_get_info: index %zu; there are %zu kernels",
                       index, lb_kernel_count(context));
    const lb_kernel *row = &context->backend->rows[index];
    *info = (lb_kernel_info){
        .struct_size = sizeof *info,
        .proven = lb_row_proven(row, &context->device),
        .name = row->name,
        .layout = row->layout,
        .summary = row->summary,
    };
    lb_typeset_print(row->a_types, info->a_types, sizeof info->a_types);
    lb_typeset_print(row->b_types, info->b_types, sizeof info->b_types);
    lb_typeset_print(row->d_types, info->d_types, sizeof info->d_types);
    return LB_OK;
}

lb_status lb_kernel_parameters(const lb_context *context, size_t kernel, size_t index, char *text,
                               size_t capacity)
{
    char all[LB_PARAMETER_BYTES];
    if (!context || !text)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_kernel_parameters: %s is NULL",
                       context ? "text" : "context");
    if (kernel >= lb_kernel_count(context))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_kernel_parameters: kernel %zu; there are %zu kernels", kernel,
                       lb_kernel_count(context));
    const lb_kernel *row = &context->backend->rows[kernel];
    if (!context->backend->parameters || !context->backend->parameters(row, index, all, sizeof all))
        return lb_fail(LB_INVALID_ARGUMENT, "lb_kernel_parameters: %s has no set %zu", row->name,
                       index);
    if (strlen(all) >= capacity)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_kernel_parameters: the text takes %zu bytes, there are %zu",
                       strlen(all) + 1, capacity);
    memcpy(text, all, strlen(all) + 1);
    return LB_OK;
}

lb_status lb_measure_ceilings(lb_context *context, lb_ceilings *ceilings)
{
    if (!context)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_measure_ceilings: context is NULL");
    LB_CHECK_STRUCT(ceilings, lb_ceilings);
    return context->backend->ceilings(context, ceilings);
}

/* ---- Memory, streams, events ----------------------------------------------------------------- */

#define NEED(pointer)                                                                              \
    do {                                                                                           \
        if (!(pointer))                                                                            \
            return lb_fail(LB_INVALID_ARGUMENT, "%s: %s is NULL", __func__, #pointer);             \
    } while (0)

lb_status lb_memory_alloc(lb_context *context, size_t bytes, lb_ptr *memory)
{
    NEED(context);
    NEED(memory);
    return context->backend->alloc(context, bytes ? bytes : 1, memory);
}

void lb_memory_free(lb_context *context, lb_ptr memory)
{
    if (context && memory.base)
        context->backend->free(context, memory);
}

lb_status lb_memory_write(lb_context *context, lb_ptr to, const void *from, size_t bytes,
                          lb_stream stream)
{
    NEED(context);
    if (bytes == 0)
        return LB_OK;
    NEED(to.base);
    NEED(from);
    return context->backend->write(context, to, from, bytes, stream);
}

lb_status lb_memory_read(lb_context *context, void *to, lb_ptr from, size_t bytes, lb_stream stream)
{
    NEED(context);
    if (bytes == 0)
        return LB_OK;
    NEED(to);
    NEED(from.base);
    return context->backend->read(context, to, from, bytes, stream);
}

lb_status lb_stream_create(lb_context *context, uint32_t flags, lb_stream *stream)
{
    NEED(context);
    NEED(stream);
    if (flags & ~LB_STREAM_OUT_OF_ORDER)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_stream_create: flags 0x%x has unknown bits; LB_STREAM_OUT_OF_ORDER is 1",
                       flags);
    return context->backend->stream_create(context, flags, stream);
}

void lb_stream_destroy(lb_context *context, lb_stream stream)
{
    if (context && stream)
        context->backend->stream_destroy(context, stream);
}

lb_status lb_stream_sync(lb_context *context, lb_stream stream)
{
    NEED(context);
    return context->backend->stream_sync(context, stream);
}

lb_status lb_event_create(lb_context *context, lb_event **event)
{
    NEED(context);
    NEED(event);
    lb_event *made = calloc(1, sizeof *made);
    if (!made)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_event_create: no memory for an event");
    made->context = context;
    lb_status status = context->backend->event_create(context, &made->impl);
    if (status != LB_OK) {
        free(made);
        return status;
    }
    *event = made;
    return LB_OK;
}

void lb_event_destroy(lb_event *event)
{
    if (!event)
        return;
    event->context->backend->event_destroy(event->context, event->impl);
    free(event);
}

lb_status lb_event_record(lb_event *event, lb_stream stream)
{
    NEED(event);
    return event->context->backend->event_record(event->context, event->impl, stream);
}

lb_status lb_event_elapsed(lb_event *start, lb_event *end, double *seconds)
{
    NEED(start);
    NEED(end);
    NEED(seconds);
    if (start->context != end->context)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_event_elapsed: the events belong to different contexts");
    return start->context->backend->event_elapsed(start->context, start->impl, end->impl, seconds);
}
