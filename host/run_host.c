/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs on arrays in host memory. Where the device can use them in place (ref, OpenCL) they are
 * wrapped, elsewhere copied. Everything made for the call is gone when it returns.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>

#include "backend.h"
#include "problem.h"
#include "status.h"

/* The caller's arrays in lb_args and their bytes in lb_sizes. What is written comes first: D, then
   its sums. */
static const struct {
    const char *name;
    size_t pointer, bytes;
} arrays[] = {
#define ARRAY(field)                                                                               \
    {                                                                                              \
#field, offsetof(lb_args, field), offsetof(lb_sizes, field)                                \
    }
    ARRAY(d),
    ARRAY(d_sums),
    ARRAY(a),
    ARRAY(a_scale),
    ARRAY(a_zero),
    ARRAY(d_scale),
    ARRAY(d_zero),
    ARRAY(bias),
    ARRAY(residual),
    ARRAY(residual_scale),
    ARRAY(residual_zero),
    ARRAY(random),
#undef ARRAY
};
enum { ARRAYS = sizeof arrays / sizeof *arrays, D = 0, SUMS = 1 };

static lb_ptr *pointer_of(lb_args *args, int i)
{
    return (lb_ptr *)(void *)((char *)args + arrays[i].pointer);
}

static uint64_t bytes_of(const lb_sizes *sizes, int i)
{
    return *(const uint64_t *)(const void *)((const char *)sizes + arrays[i].bytes);
}

/* `host` as memory of the device; with its contents, unless the device is to write it all. */
static lb_status lend(lb_context *context, char *host, uint64_t bytes, lb_ptr *memory)
{
    const lb_backend *backend = context->backend;
    if (backend->wrap)
        return backend->wrap(context, host, (size_t)bytes, memory);
    LB_TRY(backend->alloc(context, (size_t)bytes, memory));
    lb_status status = backend->write(context, *memory, host, (size_t)bytes, NULL);
    if (status != LB_OK)
        backend->free(context, *memory);
    return status;
}

static void take_back(lb_context *context, lb_ptr memory)
{
    const lb_backend *backend = context->backend;
    if (backend->wrap)
        backend->unwrap(context, memory);
    else
        backend->free(context, memory);
}

static bool overlap(const char *a, uint64_t a_bytes, const char *b, uint64_t b_bytes)
{
    return a_bytes && b_bytes && a < b + b_bytes && b < a + a_bytes;
}

lb_status lb_run_host(const lb_plan *plan, const lb_args *args, lb_stream stream)
{
    lb_sizes sizes;
    LB_TRY(lb_run_check(plan, args, &sizes));
    const lb_problem *p = &plan->problem;
    if (p->m == 0 || p->n == 0)
        return LB_OK;

    lb_context *context = plan->context;
    lb_args device = *args;
    char *host[ARRAYS];
    lb_ptr lent[ARRAYS] = {{NULL, 0}}, workspace = {NULL, 0};
    lb_status status = LB_OK;
    for (int i = 0; i < ARRAYS && status == LB_OK; i++) {
        lb_ptr *pointer = pointer_of(&device, i);
        uint64_t bytes = bytes_of(&sizes, i);
        host[i] = (char *)pointer->base + (pointer->base ? pointer->offset : 0);
        *pointer = (lb_ptr){NULL, 0};
        if (!bytes)
            continue;
        if (!host[i]) {
            status = lb_fail(LB_INVALID_ARGUMENT,
                             "lb_run_host: %s is NULL; the problem needs %" PRIu64 " bytes there",
                             arrays[i].name, bytes);
        } else if (i > SUMS && overlap(host[i], bytes, host[SUMS], sizes.d_sums)) {
            status =
                lb_fail(LB_INVALID_ARGUMENT,
                        "lb_run_host: d_sums (%" PRIu64 " bytes) overlaps %s (%" PRIu64 " bytes)",
                        sizes.d_sums, arrays[i].name, bytes);
        } else if (i > D && host[i] == host[D]) { /* lb_run judges whether it may be in place */
            *pointer = lent[D];
        } else if (i > D && overlap(host[i], bytes, host[D], sizes.d)) {
            status = lb_fail(LB_INVALID_ARGUMENT,
                             "lb_run_host: d (%" PRIu64 " bytes) overlaps %s (%" PRIu64
                             " bytes); it may only be the residual itself",
                             sizes.d, arrays[i].name, bytes);
        } else if ((status = lend(context, host[i], bytes, &lent[i])) == LB_OK) {
            *pointer = lent[i];
        }
    }
    if (status == LB_OK && plan->workspace_bytes && !device.workspace.base) {
        status = context->backend->alloc(context, (size_t)plan->workspace_bytes, &workspace);
        device.workspace = workspace;
        device.workspace_bytes = (size_t)plan->workspace_bytes;
    }
    if (status == LB_OK)
        status = lb_run(plan, &device, stream);
    /* Waits, and copies what is not the caller's own memory that the device wrote. */
    for (int i = D; i <= SUMS && status == LB_OK; i++)
        if (lent[i].base)
            status = context->backend->read(context, host[i], lent[i], (size_t)bytes_of(&sizes, i),
                                            stream);
    for (int i = 0; i < ARRAYS; i++)
        if (lent[i].base)
            take_back(context, lent[i]);
    if (workspace.base)
        context->backend->free(context, workspace);
    return status;
}
