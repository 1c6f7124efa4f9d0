/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vtable between the host core and a backend, and the handles they share. A backend is one
 * folder with one lb_backend and one row in backends.def. Backends call the host core (status,
 * problem, layout), never each other; the core calls them only through this table.
 */
#ifndef LB_BACKEND_H
#define LB_BACKEND_H

#include "kernel.h"
#include "kernel_abi.h"
#include "lowbit/lowbit.h"

/* A device as selection sees it. */
struct lb_device {
    lb_device_info info;
};

/* True if every word of `words` stands in info.features, and none that is written "!word"; else
 * *missing (may be NULL) is the first that is not so. */
bool lb_device_has(const lb_device *device, const char *words, const char **missing);

struct lb_pack_kargs; /* pack.h */

/* One call of a quantiser: sizes, and the bytes of each array. */
typedef struct lb_quantizer_call {
    int64_t rows, x_ld;
    uint64_t row_bytes;
    uint64_t x, codes, scales, zeros, sums, norm_weight;
} lb_quantizer_call;

typedef struct lb_backend {
    const char *name;
    const lb_kernel *rows; /* in order of preference between equals */
    const size_t *row_count;

    /* The sets of parameters that a row can be compiled with, the row's own first; false past the
     * end. And the row with such a set: a copy in one block, for free(). INVALID_ARGUMENT: not a
     * set of this row. Both NULL: the backend's rows have no parameters. */
    bool (*parameters)(const lb_kernel *row, size_t index, char *text, size_t capacity);
    lb_status (*variant)(const lb_kernel *row, const char *parameters, lb_kernel **variant);

    /* Lists devices; *count is what there is, at most `capacity` are filled. No driver:
     * LB_NO_DEVICE and a sentence. */
    lb_status (*devices)(lb_device_info *infos, size_t capacity, size_t *count);
    /* Opens device `index`: sets context->impl and context->device. desc->native_* already checked
     * to be paired. */
    lb_status (*open)(const lb_context_desc *desc, int index, lb_context *context);
    void (*close)(lb_context *context);

    lb_status (*alloc)(lb_context *context, size_t bytes, lb_ptr *memory);
    void (*free)(lb_context *context, lb_ptr memory);
    lb_status (*write)(lb_context *context, lb_ptr to, const void *from, size_t bytes,
                       lb_stream stream);
    lb_status (*read)(lb_context *context, void *to, lb_ptr from, size_t bytes, lb_stream stream);
    /* Host memory in place as the device's, until unwrapped; a read of it to itself waits and makes
     * what the device wrote visible. NULL: the device cannot, lb_run_host copies. */
    lb_status (*wrap)(lb_context *context, void *host, size_t bytes, lb_ptr *memory);
    void (*unwrap)(lb_context *context, lb_ptr memory);

    lb_status (*stream_create)(lb_context *context, uint32_t flags, lb_stream *stream);
    void (*stream_destroy)(lb_context *context, lb_stream stream);
    lb_status (*stream_sync)(lb_context *context, lb_stream stream);

    lb_status (*event_create)(lb_context *context, void **event);
    void (*event_destroy)(lb_context *context, void *event);
    lb_status (*event_record)(lb_context *context, void *event, lb_stream stream);
    lb_status (*event_elapsed)(lb_context *context, void *start, void *end, double *seconds);

    /* Builds what plan->row needs into plan->impl. plan->problem, kargs and workspace are set. */
    lb_status (*plan_open)(lb_plan *plan);
    void (*plan_close)(lb_plan *plan);
    /* Enqueues. `args` are checked; `kargs` is the plan's block with this call's m, offsets and
       weights filled in; `sizes` are the bytes this call's arrays must have. Batch, m, n >= 1 (k
       may be 0). Must not allocate, lock, wait or read back. */
    lb_status (*run)(const lb_plan *plan, const lb_args *args, const lb_kargs *kargs,
                     const lb_sizes *sizes, lb_stream stream);

    lb_status (*ceilings)(lb_context *context, lb_ceilings *ceilings);

    /* Quantising on the device. NULL: it cannot. `open` builds what quantizer->quant needs into
       quantizer->impl; `run` obeys the same rules as that of plans; rows and cols >= 1. */
    lb_status (*quantizer_open)(lb_quantizer *quantizer);
    void (*quantizer_close)(lb_quantizer *quantizer);
    lb_status (*quantizer_run)(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                               const lb_quantizer_call *call, lb_stream stream);

    /* Packing on the device (packer.h), likewise. `kargs` is the packer's block with this call's
       offsets filled in. */
    lb_status (*packer_open)(lb_packer *packer);
    void (*packer_close)(lb_packer *packer);
    lb_status (*packer_run)(const lb_packer *packer, const lb_packer_args *args,
                            const struct lb_pack_kargs *kargs, lb_stream stream);
} lb_backend;

struct lb_context {
    const lb_backend *backend;
    lb_device device;
    char cache_dir[512];    /* "" = no cache */
    int32_t host_threads;   /* that packing may use, the calling one among them */
    struct lb_tuned *tuned; /* tuning.h; constant after lb_context_create */
    size_t tuned_count;
    void *impl;
};

struct lb_plan {
    lb_context *context;
    lb_problem problem; /* normalised */
    const lb_kernel *row;
    lb_kernel *variant; /* the row, where the plan owns it; else NULL */
    int32_t tuned;
    uint64_t workspace_bytes;
    double cost;
    int launches;   /* set by plan_open */
    lb_kargs kargs; /* all that does not depend on the call */
    const struct lb_blob_header
        *blob; /* of the weights it eats (weights.h), but for the checksum */
    void *impl;
};

struct lb_quantizer {
    lb_context *context;
    lb_quant quant; /* checked, defaults filled in */
    void *impl;
};

struct lb_event {
    lb_context *context;
    void *impl;
};

/* What lb_run checks of a call but its pointers, and the bytes that its arrays must have (plan.c).
 */
lb_status lb_run_check(const lb_plan *plan, const lb_args *args, lb_sizes *sizes);

/* All backends, in order of preference; the last is ref. */
extern const lb_backend *const lb_backends[];
extern const size_t lb_backend_count;

/* What every backend guarantees of memory it allocates and asks of the workspace and the weights.
 */
#define LB_MEMORY_ALIGN 256u

#endif
