/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test sees and steers of the fake OpenCL driver (opencl.c), which is linked into the test
 * in the loader's place: with -Wl,--wrap=dlopen,--wrap=dlsym,--wrap=dlerror the library finds it as
 * libOpenCL.so.1.
 */
#ifndef FAKE_OPENCL_H
#define FAKE_OPENCL_H

#include <stdatomic.h>

enum { FAKE_CONTEXT, FAKE_QUEUE, FAKE_BUFFER, FAKE_PROGRAM, FAKE_KERNEL, FAKE_EVENT, FAKE_KINDS };

typedef struct fake_opencl {
    /* Set by the test. */
    int no_loader;          /* there is no libOpenCL.so.1 */
    const char *lacks;      /* or it lacks this entry point */
    int platforms, devices; /* of each platform */
    int is_gpu;
    const char *extensions;
    const char *build_log; /* not NULL: every build fails with it */
    int reject_binaries;   /* CL_INVALID_BINARY from clCreateProgramWithBinary */
    int lost;              /* the device is gone: whatever it is asked to do fails */
    atomic_long fail_at;   /* this call fails, counted from 1 */
    int fail_with;
    /* Not by the test. */
    atomic_long calls;
    const char *_Atomic failed; /* the call that failed so; NULL: none yet */
    atomic_int alive[FAKE_KINDS];
    atomic_int misused; /* handles that are none, or of another kind */
    atomic_int from_source, from_binary, launches, results; /* results: launches that wrote D */
} fake_opencl;

extern fake_opencl fake_cl;
/* This thread is allocating or freeing for the driver itself, not for the library. */
extern _Thread_local volatile int fake_cl_inside; /* compilers know that malloc reads no other */

/* All objects that are alive. */
static inline int fake_cl_alive(void)
{
    int sum = 0;
    for (int i = 0; i < FAKE_KINDS; i++)
        sum += fake_cl.alive[i];
    return sum;
}

#endif
