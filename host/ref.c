/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ref backend: a device that is the calling thread. It stores what the oracle says,
 * synchronously; its pointers are host pointers. Like any backend it has rows (one) and is driven
 * through lb_backend.
 */
#include "ref.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend.h"
#include "oracle.h"
#include "packer.h"
#include "problem.h"
#include "quantizer.h"
#include "status.h"
#include "sums.h"
#include "types.h"
#include "weights.h"

/* ---- The row --------------------------------------------------------------------------------- */

/* All rows of A of one batch and one row of B, decoded to 4 bytes per element. */
static uint64_t workspace(const lb_kernel *row, const lb_problem *p, const lb_device *device)
{
    (void)row, (void)device;
    return ((uint64_t)p->m + 1) * (uint64_t)(p->k ? p->k : 1) * 4;
}

/* About a multiply-add per nanosecond; only ever compared with itself. */
static double cost(const lb_kernel *row, const lb_problem *p, const lb_device *device)
{
    (void)row, (void)device;
    return lb_problem_ops(p) * 0.5e-9;
}

static const lb_kernel rows[] = {{
    .name = "ref_any",
    .layout = "rows",
    .summary = "plain loops, the definition of every result",
    .a_types = LB_T_INT | LB_T_FLOAT,
    .b_types = LB_T_INT | LB_T_TABLE,
    .d_types = LB_T_OUT_ANY,
    .caps = LB_CAP_ALL | LB_CAP_STEP,
    .flags = LB_ROW_BATCH_INVARIANT,
    .needs = "",
    .workspace = workspace,
    .cost = cost,
}};
static const size_t row_count = sizeof rows / sizeof *rows;

/* ---- Run ------------------------------------------------------------------------------------- */

static const void *at(lb_ptr pointer)
{
    return pointer.base ? (const char *)pointer.base + pointer.offset : NULL;
}

/* The blob's weights of one batch (layout "rows": [n][k_pad]). */
static lb_oracle_weights from_blob(const lb_weights *weights, int64_t batch)
{
    const lb_blob_header *h = &weights->header;
    const char *blob = at(weights->memory);
    uint64_t meta = (uint64_t)batch * h->meta_batch;
    int64_t entries = INT64_C(1) << lb_type_bits(h->type);
    return (lb_oracle_weights){
        .codes = blob + h->codes + (uint64_t)batch * h->codes_batch,
        .ld = h->k_pad,
        .scales = h->has_scale ? blob + h->scale + meta : NULL,
        .scale_type = LB_TYPE_F32,
        .scale_n = 1,
        .scale_g = h->n_pad,
        .zeros = h->has_zero ? (const int32_t *)(const void *)(blob + h->zero + meta) : NULL,
        .zero_n = 1,
        .zero_g = h->n_pad,
        .tables = h->has_table ? (const float *)(const void *)(blob + h->table +
                                                               (uint64_t)batch * h->table_batch)
                               : NULL,
        .step_words = h->has_step ? (const int32_t *)(const void *)(blob + h->step +
                                                                    (uint64_t)batch * h->step_batch)
                                  : NULL,
        .step_n = 1,
        .step_g = h->n_pad,
        .table_n = h->has_table == 2 ? entries : 0,
        .table_g = h->has_table == 2 ? entries * h->n_pad : 0,
    };
}

static lb_status run(const lb_plan *plan, const lb_args *args, const lb_kargs *kargs,
                     const lb_sizes *sizes, lb_stream stream)
{
    (void)stream;
    lb_problem p = plan->problem;
    p.m = kargs->m;
    lb_host_args host = {
        .struct_size = sizeof host,
        .a = at(args->a),
        .a_scale = at(args->a_scale),
        .a_zero = at(args->a_zero),
        .d_scale = at(args->d_scale),
        .d_zero = at(args->d_zero),
        .bias = at(args->bias),
        .residual = at(args->residual),
        .residual_scale = at(args->residual_scale),
        .residual_zero = at(args->residual_zero),
        .random = at(args->random),
    };
    char *d = (char *)args->d.base + args->d.offset;
    char *decoded = (char *)args->workspace.base + args->workspace.offset;
    size_t row = (size_t)(p.k ? p.k : 1) * 4;

    for (int64_t batch = 0; batch < p.batch; batch++) {
        lb_oracle o;
        lb_oracle_weights w = from_blob(args->weights, batch);
        lb_oracle_begin(&o, &p, &host, &w, batch, decoded + (size_t)p.m * row);
        for (int64_t m = 0; m < p.m; m++)
            lb_oracle_load_a(&o, m, decoded + (size_t)m * row);
        for (int64_t n = 0; n < p.n; n++) {
            lb_oracle_load_b(&o, n);
            for (int64_t m = 0; m < p.m; m++) {
                lb_oracle_value v = lb_oracle_element(&o, decoded + (size_t)m * row, m);
                uint32_t code = lb_oracle_encode(&p, v.value, lb_oracle_last_of(&o, m));
                lb_oracle_store_d(&p, d, batch, m, n, code);
            }
        }
    }
    if (sizes->d_sums)
        lb_sums_make(&p, d, (int32_t *)(void *)((char *)args->d_sums.base + args->d_sums.offset));
    return LB_OK;
}

static lb_status plan_open(lb_plan *plan)
{
    plan->launches = 0;
    return LB_OK;
}

static void plan_close(lb_plan *plan)
{
    (void)plan;
}

/* ---- Device, memory, streams, events --------------------------------------------------------- */

static lb_status devices(lb_device_info *infos, size_t capacity, size_t *count)
{
    *count = 1;
    if (capacity == 0)
        return LB_OK;
    lb_device_info *info = &infos[0];
    *info = (lb_device_info)LB_DEVICE_INFO_INIT;
    strcpy(info->backend, "ref");
    strcpy(info->selector, "ref");
    strcpy(info->name, "plain C reference");
    strcpy(info->vendor, "lowbit");
    strcpy(info->driver, LB_VERSION_STRING);
    info->compute_units = 1;
    return LB_OK;
}

static lb_status open_device(const lb_context_desc *desc, int index, lb_context *context)
{
    (void)index;
    if (desc->native_context || desc->native_device)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "device ref has no native context; leave native_context and "
                       "native_device NULL");
    size_t count;
    return devices(&context->device.info, 1, &count);
}

static void close_device(lb_context *context)
{
    (void)context;
}

static lb_status alloc(lb_context *context, size_t bytes, lb_ptr *memory)
{
    (void)context;
    if (bytes > SIZE_MAX - LB_MEMORY_ALIGN)
        return lb_fail(LB_OUT_OF_MEMORY, "%zu bytes are more than can be allocated", bytes);
    size_t rounded = (bytes + LB_MEMORY_ALIGN - 1) / LB_MEMORY_ALIGN * LB_MEMORY_ALIGN;
    void *base = aligned_alloc(LB_MEMORY_ALIGN, rounded ? rounded : LB_MEMORY_ALIGN);
    if (!base)
        return lb_fail(LB_OUT_OF_MEMORY, "no host memory for %zu bytes", bytes);
    *memory = (lb_ptr){base, 0};
    return LB_OK;
}

static void free_memory(lb_context *context, lb_ptr memory)
{
    (void)context;
    free(memory.base);
}

static lb_status write_memory(lb_context *context, lb_ptr to, const void *from, size_t bytes,
                              lb_stream stream)
{
    (void)context, (void)stream;
    memcpy((char *)to.base + to.offset, from, bytes);
    return LB_OK;
}

static lb_status read_memory(lb_context *context, void *to, lb_ptr from, size_t bytes,
                             lb_stream stream)
{
    (void)context, (void)stream;
    const char *source = (const char *)from.base + from.offset;
    if (to != source)
        memcpy(to, source, bytes);
    return LB_OK;
}

static lb_status wrap(lb_context *context, void *host, size_t bytes, lb_ptr *memory)
{
    (void)context, (void)bytes;
    *memory = (lb_ptr){host, 0};
    return LB_OK;
}

static void unwrap(lb_context *context, lb_ptr memory)
{
    (void)context, (void)memory;
}

/* Runs are synchronous, so all streams are the same: none. */
static lb_status stream_create(lb_context *context, uint32_t flags, lb_stream *stream)
{
    (void)context, (void)flags;
    *stream = NULL;
    return LB_OK;
}

static void stream_destroy(lb_context *context, lb_stream stream)
{
    (void)context, (void)stream;
}

static lb_status stream_sync(lb_context *context, lb_stream stream)
{
    (void)context, (void)stream;
    return LB_OK;
}

static lb_status event_create(lb_context *context, void **event)
{
    (void)context;
    *event = calloc(1, sizeof(struct timespec));
    return *event ? LB_OK : lb_fail(LB_OUT_OF_MEMORY, "no host memory for an event");
}

static void event_destroy(lb_context *context, void *event)
{
    (void)context;
    free(event);
}

static lb_status event_record(lb_context *context, void *event, lb_stream stream)
{
    (void)context, (void)stream;
    clock_gettime(CLOCK_MONOTONIC, event);
    return LB_OK;
}

static lb_status event_elapsed(lb_context *context, void *start, void *end, double *seconds)
{
    (void)context;
    const struct timespec *a = start, *b = end;
    *seconds = (double)(b->tv_sec - a->tv_sec) + 1e-9 * (double)(b->tv_nsec - a->tv_nsec);
    return LB_OK;
}

/* The reference is no yardstick: nothing is measured. */
static lb_status ceilings(lb_context *context, lb_ceilings *out)
{
    (void)context;
    *out = (lb_ceilings)LB_CEILINGS_INIT;
    return LB_OK;
}

const lb_backend lb_ref_backend = {
    .name = "ref",
    .rows = rows,
    .row_count = &row_count,
    .devices = devices,
    .open = open_device,
    .close = close_device,
    .alloc = alloc,
    .free = free_memory,
    .write = write_memory,
    .read = read_memory,
    .wrap = wrap,
    .unwrap = unwrap,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_sync = stream_sync,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .event_elapsed = event_elapsed,
    .plan_open = plan_open,
    .plan_close = plan_close,
    .run = run,
    .ceilings = ceilings,
    .quantizer_open = lb_host_quantizer_open,
    .quantizer_close = lb_host_quantizer_close,
    .quantizer_run = lb_host_quantizer_run,
    .packer_open = lb_host_packer_open,
    .packer_close = lb_host_packer_close,
    .packer_run = lb_host_packer_run,
};
