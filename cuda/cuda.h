/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the CUDA backend share. */
#ifndef LB_CUDA_H
#define LB_CUDA_H

#include <pthread.h>
#include <string.h>

#include "backend.h"
#include "loader.h"

/* ---- Devices (device.c) ---------------------------------------------------------------------- */

lb_status lb_cuda_devices(lb_device_info *infos, size_t capacity, size_t *count);
/* Fills everything but index and selector. */
lb_status lb_cuda_describe(const lb_cu *cu, CUdevice device, lb_device_info *info);

/* ---- Contexts (driver.c) --------------------------------------------------------------------- */

typedef struct lb_cuda_module lb_cuda_module;

typedef struct lb_cuda_context {
    const lb_cu *cu;
    CUdevice device;
    CUcontext context;
    int retained;         /* the primary context's count is up by one of ours */
    int pageable;         /* the device reads any host memory */
    CUstream stream;      /* what NULL streams mean; ordered with the driver's default stream */
    pthread_mutex_t lock; /* guards what follows; taken when plans are made, never by runs */
    lb_cuda_module *modules;
    void *cublaslt; /* its handle; NULL until a plan needs it */
} lb_cuda_context;

static inline lb_cuda_context *lb_cuda_of(const lb_context *context)
{
    return context->impl;
}

static inline CUstream lb_cuda_stream_of(const lb_context *context, lb_stream stream)
{
    return stream ? stream : lb_cuda_of(context)->stream;
}

/* An address as a pointer, which is as wide. */
static inline void *lb_cuda_pointer(CUdeviceptr address)
{
    void *pointer;
    memcpy(&pointer, &address, sizeof pointer);
    return pointer;
}

/* Every call into the driver stands between these two, so that the thread's current context is
   afterwards what it was. */
static inline lb_status lb_cuda_enter(const lb_cuda_context *c)
{
    const lb_cu *cu = c->cu;
    return LB_CU(cuCtxPushCurrent, c->context);
}
static inline void lb_cuda_leave(const lb_cuda_context *c)
{
    CUcontext popped;
    c->cu->cuCtxPopCurrent(&popped);
}

/* ---- Modules (module.c) ---------------------------------------------------------------------- */

/* True if this library was built with nvcc. */
bool lb_cuda_has_kernels(void);
/* Entry `name` of the named embedded fat binary, ready to launch; entered contexts only. Loaded
   once per context, and owned by it. */
lb_status lb_cuda_function_get(lb_cuda_context *c, const char *image, const char *name,
                               CUfunction *function);
void lb_cuda_modules_unload(lb_cuda_context *c);

/* ---- Rows (kernels.def, kernels.c) ----------------------------------------------------------- */

#define LB_CUDA_PASSES 3

/* One launch of ceil(m / tile_m) * ceil(n / tile_n) * batch blocks in grid.x, n's tiles fastest
   (common.cuh, lb_tile_of); a tile of 0: the whole extent. Of persistent rows at most one block for
   each multiprocessor is launched, and makes one tile after the other. */
typedef struct lb_cuda_pass {
    const char *entry;
    int tile_m, tile_n;
    int threads;
    int shared_bytes;  /* dynamic; more than 48 KiB is asked for at plan time */
    const char *image; /* of an entry without variants; NULL: the row's */
} lb_cuda_pass;

/* Another library, which a row calls in place of its passes; these are then for the calls that it
   cannot take. Entered contexts only. */
typedef struct lb_cuda_library {
    /* At plan time. *opened is the plan's, until `close`; plan->workspace_bytes may become less. */
    lb_status (*open)(lb_plan *plan, void **opened);
    void (*close)(void *opened);
    /* Enqueues, by the rules of lb_backend.run; *taken false: nothing, the passes have to. */
    lb_status (*run)(const lb_plan *plan, const void *opened, void *const *pointers,
                     const lb_kargs *kargs, CUstream stream, bool *taken);
} lb_cuda_library;

typedef struct lb_cuda_row {
    const char *image; /* "gemm_any.fatbin" */
    lb_cuda_pass passes[LB_CUDA_PASSES];
    const lb_cuda_library *library; /* NULL = none */
    uint64_t workspace;             /* bytes, besides what a split needs */
    bool persistent;
    int split; /* the first pass splits k (split.h), at multiples of this; 0 = it does not */
    /* Of rows whose tiles clusters of blocks may share, each with a part of k: a stage's length, of
       which parts are multiples (wgmma.cuh). Then a cluster is launched for each tile. 0 = none. */
    int cluster_stage;
    double rate; /* giga-operations per second and multiprocessor; for the cost */
    /* Appended to every entry's name: the variant that the problem needs. NULL = none. */
    void (*variant)(const lb_problem *p, char *suffix, size_t capacity);
    /* What masks cannot say: writes a reason and returns false to refuse. NULL = nothing more. */
    bool (*takes)(const lb_problem *p, char *why, size_t capacity);
} lb_cuda_row;

/* The name of the kernel that a pass launches for a problem; returns the image it is in. */
const char *lb_cuda_kernel_of(const lb_cuda_row *row, const lb_cuda_pass *pass, const lb_problem *p,
                              char *name, size_t capacity);
/* Into how many parts a row splits a problem's k, and their length; 1 if it does not. */
int lb_cuda_parts(const lb_cuda_row *row, const lb_problem *p, const lb_device *device,
                  int64_t *length);

#define LB_CUDA_RANKS 8 /* most blocks of a cluster, on every device that has clusters */

/* How many blocks may share a tile so that tiles of one row of tiles fill `units` multiprocessors
   at most once; `step`: the stages that a part of k is a multiple of. M does not count. */
int lb_cuda_ranks(const lb_cuda_row *row, const lb_problem *p, int units, int *step);

/* Blocks of a pass. */
uint64_t lb_cuda_blocks(const lb_cuda_pass *pass, int64_t m, int64_t n, int64_t batch);

extern const lb_kernel lb_cuda_rows[];
extern const size_t lb_cuda_row_count;

/* ---- cuBLASLt (cublaslt.c) ------------------------------------------------------------------- */

extern const lb_cuda_library lb_cublaslt;
/* False with a reason, also where the library is not installed. */
bool lb_cublaslt_takes(const lb_problem *p, char *why, size_t capacity);
void lb_cublaslt_end(lb_cuda_context *c);

/* ---- Plans and runs (run.c) ------------------------------------------------------------------ */

lb_status lb_cuda_plan_open(lb_plan *plan);
void lb_cuda_plan_close(lb_plan *plan);
/* `call` is named in what is said of a pointer or a stream. */
lb_status lb_cuda_check_pointer(const lb_cuda_context *c, const char *call, const char *name,
                                lb_ptr pointer, uint64_t bytes);
/* Why a call failed, where it is the stream's fault; asked afterwards, so that runs which work do
   not pay for it. */
bool lb_cuda_stream_is_foreign(const lb_cuda_context *c, CUstream stream);
lb_status lb_cuda_launch(const lb_cuda_context *c, const char *call, const char *entry,
                         CUfunction function, uint64_t blocks, int threads, int shared_bytes,
                         CUstream stream, void **parameters);
lb_status lb_cuda_run(const lb_plan *plan, const lb_args *args, const lb_kargs *kargs,
                      const lb_sizes *sizes, lb_stream stream);

/* ---- Ceilings (ceilings.c) ------------------------------------------------------------------- */

lb_status lb_cuda_ceilings(lb_context *context, lb_ceilings *ceilings);

/* ---- Quantisers (quantizer.c) ---------------------------------------------------------------- */

lb_status lb_cuda_quantizer_open(lb_quantizer *quantizer);
void lb_cuda_quantizer_close(lb_quantizer *quantizer);
lb_status lb_cuda_quantizer_run(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                                const lb_quantizer_call *call, lb_stream stream);

/* ---- Packers (packer.c) ---------------------------------------------------------------------- */

lb_status lb_cuda_packer_open(lb_packer *packer);
void lb_cuda_packer_close(lb_packer *packer);
lb_status lb_cuda_packer_run(const lb_packer *packer, const lb_packer_args *args,
                             const struct lb_pack_kargs *kargs, lb_stream stream);

#endif
