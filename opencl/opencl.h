/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the OpenCL backend share. */
#ifndef LB_OPENCL_H
#define LB_OPENCL_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend.h"
#include "loader.h"

/* ---- Devices (device.c) ------------------------------------------------------------------------
 */

/* Device `index` of all platforms' devices, GPUs first, CPUs last; also its platform. */
lb_status lb_opencl_devices(lb_device_info *infos, size_t capacity, size_t *count);
lb_status lb_opencl_device_at(int index, cl_device_id *device);
/* Fills everything but index and selector. */
lb_status lb_opencl_describe(cl_device_id device, lb_device_info *info);
/* Feature words that every device is said to have besides its own; "". Only tests set it, to run
   rows for devices that are not there on one that is. */
extern const char *lb_opencl_pretend;

/* ---- Contexts -----------------------------------------------------------------------------------
 */

typedef struct lb_opencl_program lb_opencl_program;

typedef struct lb_opencl_context {
    const lb_cl *cl;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue; /* in order, with profiling; what NULL streams mean */
    pthread_mutex_t lock;   /* guards programs; taken when plans are made, never by runs */
    lb_opencl_program *programs;
} lb_opencl_context;

static inline lb_opencl_context *lb_opencl_of(const lb_context *context)
{
    return context->impl;
}

/* ---- Programs (program.c) -----------------------------------------------------------------------
 */

/* The program made of the named embedded sources, from the context's table, the disk cache or the
   compiler. Owned by the context. */
lb_status lb_opencl_program_get(lb_context *context, const char *const *sources,
                                const char *options, cl_program *program);
void lb_opencl_programs_release(lb_opencl_context *o);

/* ---- Rows (kernels.def, kernels.c)
 * --------------------------------------------------------------- */

#define LB_OPENCL_SOURCES 7
#define LB_OPENCL_PASSES 2

/* One launch. Work-groups: ceil(m / tile_m) x ceil(n / tile_n) x batch; a tile of 0: one
 * work-group. */
typedef struct lb_opencl_pass {
    const char *entry;
    int tile_m, tile_n;
    size_t local[2];
} lb_opencl_pass;

/* Tile sizes that a row's kernels are compiled with. */
typedef struct lb_opencl_tile {
    int mr, nv;  /* register tile: rows, vectors of 16 columns */
    int mt, nt;  /* work-group tile: rows, columns */
    int element; /* bits per staged element of A; 0 = A is not staged */
} lb_opencl_tile;

/* Which tile sizes a row's .cl file takes besides the row's own (variants.c). */
typedef enum lb_opencl_variants {
    LB_OPENCL_FIXED,
    LB_OPENCL_PANEL,
    LB_OPENCL_SMALL
} lb_opencl_variants;

typedef struct lb_opencl_row {
    const char *sources[LB_OPENCL_SOURCES];
    lb_opencl_pass passes[LB_OPENCL_PASSES];
    lb_opencl_tile tile;
    lb_opencl_variants variants;
    const char *options; /* the row's own macros */
    double rate; /* giga-operations per second and compute unit, as measured; for the cost */
    /* The problem's own macros. NULL = none. */
    void (*macros)(const lb_problem *p, char *text, size_t capacity);
} lb_opencl_row;

/* The workspace of staged rows (A's panels, then sums per group and row) as areas of the argument
   block; returns its bytes. */
uint64_t lb_opencl_stage_areas(const lb_opencl_row *row, const lb_problem *p, int64_t k_pad,
                               lb_kargs *kargs);

/* lb_backend.parameters and .variant */
bool lb_opencl_parameters(const lb_kernel *kernel, size_t index, char *text, size_t capacity);
lb_status lb_opencl_variant(const lb_kernel *kernel, const char *parameters, lb_kernel **variant);

extern const lb_kernel lb_opencl_rows[];
extern const size_t lb_opencl_row_count;

/* ---- Plans and runs (run.c), ceilings (ceilings.c) ----------------------------------------------
 */

lb_status lb_opencl_plan_open(lb_plan *plan);
void lb_opencl_plan_close(lb_plan *plan);
lb_status lb_opencl_run(const lb_plan *plan, const lb_args *args, const lb_kargs *kargs,
                        const lb_sizes *sizes, lb_stream stream);
lb_status lb_opencl_ceilings(lb_context *context, lb_ceilings *ceilings);

/* INVALID_ARGUMENT if a buffer is none of the context's or too small; `call` and `name` say whose.
 */
lb_status lb_opencl_check_buffer(const lb_opencl_context *o, const char *call, const char *name,
                                 lb_ptr pointer, uint64_t bytes);
lb_status lb_opencl_check_queue(const lb_opencl_context *o, const char *call,
                                cl_command_queue queue, bool *out_of_order);

/* Arguments of a kernel: `count` buffers, then one block by value. */
lb_status lb_opencl_set_arguments(const lb_cl *cl, cl_kernel kernel, const cl_mem *pointers,
                                  cl_uint count, const void *block, size_t bytes);

/* Claims a free set of kernel objects, one bit each; -1 if all are taken. */
static inline int lb_opencl_claim(atomic_uint *sets)
{
    unsigned busy = atomic_load_explicit(sets, memory_order_relaxed);
    while (~busy) {
        unsigned free_bit = ~busy & (busy + 1);
        if (atomic_compare_exchange_weak_explicit(sets, &busy, busy | free_bit,
                                                  memory_order_acquire, memory_order_relaxed))
            return __builtin_ctz(free_bit);
    }
    return -1;
}

static inline void lb_opencl_give_back(atomic_uint *sets, int set)
{
    atomic_fetch_and_explicit(sets, ~(1u << set), memory_order_release);
}

/* ---- Quantisers (quantizer.c) -------------------------------------------------------------------
 */

lb_status lb_opencl_quantizer_open(lb_quantizer *quantizer);
void lb_opencl_quantizer_close(lb_quantizer *quantizer);
lb_status lb_opencl_quantizer_run(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                                  const lb_quantizer_call *call, lb_stream stream);

/* ---- Packers (packer.c) ---------------------------------------------------------------------- */

lb_status lb_opencl_packer_open(lb_packer *packer);
void lb_opencl_packer_close(lb_packer *packer);
lb_status lb_opencl_packer_run(const lb_packer *packer, const lb_packer_args *args,
                               const struct lb_pack_kargs *kargs, lb_stream stream);

#endif
