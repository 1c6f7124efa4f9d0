/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcuda.so.1 at run time: the entry points used, as a table of pointers. The driver's ABI is
 * declared here, so that this builds without the CUDA toolkit. A version names the ABI a pointer is
 * of: the entry point as CUDA x.y (x * 1000 + y * 10) declared it.
 */
#ifndef LB_CUDA_LOADER_H
#define LB_CUDA_LOADER_H

#include <stddef.h>

#include "lowbit/lowbit.h"

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;

/* The values used of the driver's enumerations. */
enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_STUB_LIBRARY = 34,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_NOT_FOUND = 500
};
enum {
    CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE = 36,
    CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH = 37,
    CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS = 88,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97
};
enum {
    CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
    CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,
    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
    CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE = 10,
    CU_POINTER_ATTRIBUTE_RANGE_START_ADDR = 11,
    CU_POINTER_ATTRIBUTE_RANGE_SIZE = 12
};
enum { CU_MEMORYTYPE_DEVICE = 2 };
enum { CU_STREAM_DEFAULT = 0, CU_STREAM_NON_BLOCKING = 1 };
enum {
    CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0,
    CU_FUNC_ATTRIBUTE_PTX_VERSION = 5,
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8
};
enum {
    CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION = 4,
    CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION = 6
};
enum { CU_JIT_ERROR_LOG_BUFFER = 5, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6 };

typedef struct CUlaunchAttribute {
    int id;
    char pad[4];
    union {
        char bytes[64];
        struct {
            unsigned x, y, z;
        } cluster;
        int programmatic;
    } value;
} CUlaunchAttribute;
typedef struct CUlaunchConfig {
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
    CUstream stream;
    CUlaunchAttribute *attributes;
    unsigned count;
} CUlaunchConfig;

/* X(name, version, parameters) */
#define LB_CU_FUNCTIONS(X)                                                                         \
    X(cuInit, 2000, (unsigned flags))                                                              \
    X(cuDriverGetVersion, 2020, (int *version))                                                    \
    X(cuGetErrorName, 6000, (CUresult error, const char **text))                                   \
    X(cuDeviceGetCount, 2000, (int *count))                                                        \
    X(cuDeviceGet, 2000, (CUdevice * device, int ordinal))                                         \
    X(cuDeviceGetName, 2000, (char *name, int capacity, CUdevice device))                          \
    X(cuDeviceTotalMem, 3020, (size_t * bytes, CUdevice device))                                   \
    X(cuDeviceGetAttribute, 2000, (int *value, int attribute, CUdevice device))                    \
    X(cuDevicePrimaryCtxRetain, 7000, (CUcontext * context, CUdevice device))                      \
    X(cuDevicePrimaryCtxRelease, 11000, (CUdevice device))                                         \
    X(cuDevicePrimaryCtxGetState, 7000, (CUdevice device, unsigned *flags, int *active))           \
    X(cuCtxPushCurrent, 4000, (CUcontext context))                                                 \
    X(cuCtxPopCurrent, 4000, (CUcontext * context))                                                \
    X(cuCtxGetDevice, 2000, (CUdevice * device))                                                   \
    X(cuMemAlloc, 3020, (CUdeviceptr * memory, size_t bytes))                                      \
    X(cuMemFree, 3020, (CUdeviceptr memory))                                                       \
    X(cuMemcpyHtoDAsync, 3020, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))  \
    X(cuMemcpyDtoHAsync, 3020, (void *to, CUdeviceptr from, size_t bytes, CUstream stream))        \
    X(cuPointerGetAttributes, 7000,                                                                \
      (unsigned count, int *attributes, void **values, CUdeviceptr pointer))                       \
    X(cuStreamCreate, 2000, (CUstream * stream, unsigned flags))                                   \
    X(cuStreamDestroy, 4000, (CUstream stream))                                                    \
    X(cuStreamSynchronize, 2000, (CUstream stream))                                                \
    X(cuStreamGetCtx, 9020, (CUstream stream, CUcontext * context))                                \
    X(cuEventCreate, 2000, (CUevent * event, unsigned flags))                                      \
    X(cuEventDestroy, 4000, (CUevent event))                                                       \
    X(cuEventRecord, 2000, (CUevent event, CUstream stream))                                       \
    X(cuEventSynchronize, 2000, (CUevent event))                                                   \
    X(cuEventElapsedTime, 2000, (float *milliseconds, CUevent start, CUevent end))                 \
    X(cuModuleLoadDataEx, 2010,                                                                    \
      (CUmodule * module, const void *image, unsigned count, int *options, void **values))         \
    X(cuModuleUnload, 2000, (CUmodule module))                                                     \
    X(cuModuleGetFunction, 2000, (CUfunction * function, CUmodule module, const char *name))       \
    X(cuFuncGetAttribute, 2020, (int *value, int attribute, CUfunction function))                  \
    X(cuFuncSetAttribute, 9000, (CUfunction function, int attribute, int value))                   \
    X(cuLaunchKernel, 4000,                                                                        \
      (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,   \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream,                 \
       void **parameters, void **extra))

/* Only newer drivers have these; NULL otherwise. */
#define LB_CU_OPTIONAL(X)                                                                          \
    X(cuFuncLoad, 12040, (CUfunction function))                                                    \
    X(cuLaunchKernelEx, 11060,                                                                     \
      (const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra))        \
    X(cuOccupancyMaxActiveClusters, 11070,                                                         \
      (int *clusters, CUfunction function, const CUlaunchConfig *config))

typedef struct lb_cu {
#define LB_CU_MEMBER(name, version, parameters) CUresult(*name) parameters;
    LB_CU_FUNCTIONS(LB_CU_MEMBER)
    LB_CU_OPTIONAL(LB_CU_MEMBER)
#undef LB_CU_MEMBER
} lb_cu;

/* The table, loaded and initialised once per process; NULL with an error text if there is no
   driver. */
const lb_cu *lb_cuda_load(void);

/* LB_OK, or LB_OUT_OF_MEMORY or LB_DRIVER with the call's and the error's name. */
lb_status lb_cuda_check(CUresult result, const char *call);
/* The same, of a call about `what`. */
lb_status lb_cuda_check_of(CUresult result, const char *call, const char *what);

/* lb_cuda_check(cu->name(...)), for a `cu` in scope. */
#define LB_CU(name, ...) lb_cuda_check(cu->name(__VA_ARGS__), #name)

#endif
