/* SPDX-License-Identifier: Apache-2.0 */
/* What a test sees and steers of the fake CUDA driver (cuda.c). Found by dlsym("fake_cuda_state").
 */
#ifndef FAKE_H
#define FAKE_H

#include <stddef.h>

#include "lowbit/lowbit.h"

#include "kernel_abi.h"
#include "pack.h"
#include "quantize.h"

/* One launch, with its arguments unpacked. */
typedef struct fake_launch {
    char name[64];
    unsigned grid[3], block[3], shared_bytes;
    unsigned cluster; /* blocks of one, along x; 1: none */
    int early;        /* it may begin while the work before it runs */
    void *stream;
    void *pointer[LB_PTR_COUNT];
    lb_kargs kargs;
    lb_quant_kargs quant; /* of "quantize", "quantize_norm", which have LB_QUANT_PTRS pointers */
    lb_pack_kargs pack;   /* of "pack_...", which have LB_PACK_PTRS */
} fake_launch;

typedef struct fake_cuda {
    /* Set by the test. Calls are counted from 1; looking up entry points is not counted. */
    long calls, fail_at;
    int fail_with;
    int capturing; /* a stream is: only what may be captured works */
    /* Not by the test. */
    const char *failed; /* the call that failed so; NULL: none yet */
    int failed_release; /* it gave something back, which it did nevertheless */
    int depth;          /* of this thread's stack of contexts */
    int retains, streams, events, modules, allocations; /* alive */
    int launches, runs_kernels;
    int early;           /* of the launches */
    int library_objects; /* alive, of libraries over the driver (cublaslt.c) */
    char fault[320];     /* of the last kernel that ended in one */
    fake_launch last;
} fake_cuda;

typedef fake_cuda *fake_cuda_state_fn(void);
fake_cuda *fake_cuda_state(void);
/* A context of device `device` that is not its primary one. */
typedef void *fake_cuda_other_context_fn(int device);

/* For libraries over the driver: begins a call, which counts among the driver's; not 0: it fails
   so. Whether `bytes` of memory are the device's, and a stream is of the current context (none: of
   the primary one, which the runtime API then takes). */
int fake_cuda_call(const char *call, int is_release);
int fake_cuda_memory(const void *memory, size_t bytes);
int fake_cuda_stream(const void *stream);
#define CUDA_OUT_OF_MEMORY 2

/* Memory that a launch which begins early must leave alone until it has waited: all but weights. */
typedef struct fake_memory {
    void *at;
    size_t bytes;
} fake_memory;

/* Kernels compiled for the host (device.cc): whether there is one of that name, and running it as
   `launch` says, the threads' order turned round or not; `later` are what an early launch has to
   wait for. False: it did what a device faults at, and `why` says what. */
int fake_device_has(const char *name);
int fake_device_run(const fake_launch *launch, int backwards, const fake_memory *later,
                    size_t count, char *why, size_t capacity);

#endif
