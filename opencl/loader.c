/* SPDX-License-Identifier: Apache-2.0 */
#include "loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "status.h"

static lb_cl table;
static bool loaded;
static char problem[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(problem, sizeof problem,
                 "no OpenCL loader: %s; install it (Debian: ocl-icd-libopencl1) and a driver "
                 "(e.g. pocl-opencl-icd)",
                 dlerror());
        return;
    }
    void *symbol;
#define LOAD(name)                                                                                 \
    symbol = dlsym(library, #name);                                                                \
    if (!symbol) {                                                                                 \
        snprintf(problem, sizeof problem, "libOpenCL.so.1 lacks %s; OpenCL 1.2 is needed", #name); \
        return;                                                                                    \
    }                                                                                              \
    memcpy(&table.name, &symbol, sizeof symbol);
    LB_CL_FUNCTIONS(LOAD)
#undef LOAD
    loaded = true;
}

const lb_cl *lb_opencl_load(void)
{
    pthread_once(&once, load);
    if (loaded)
        return &table;
    lb_fail(LB_NO_DEVICE, "%s", problem);
    return NULL;
}

const char *lb_opencl_error_name(cl_int error)
{
    switch (error) {
#define NAME(code)                                                                                 \
    case code: return #code
        NAME(CL_DEVICE_NOT_FOUND);
        NAME(CL_DEVICE_NOT_AVAILABLE);
        NAME(CL_COMPILER_NOT_AVAILABLE);
        NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE);
        NAME(CL_OUT_OF_RESOURCES);
        NAME(CL_OUT_OF_HOST_MEMORY);
        NAME(CL_BUILD_PROGRAM_FAILURE);
        NAME(CL_INVALID_VALUE);
        NAME(CL_INVALID_PLATFORM);
        NAME(CL_INVALID_DEVICE);
        NAME(CL_INVALID_CONTEXT);
        NAME(CL_INVALID_QUEUE_PROPERTIES);
        NAME(CL_INVALID_COMMAND_QUEUE);
        NAME(CL_INVALID_MEM_OBJECT);
        NAME(CL_INVALID_BINARY);
        NAME(CL_INVALID_BUILD_OPTIONS);
        NAME(CL_INVALID_PROGRAM);
        NAME(CL_INVALID_PROGRAM_EXECUTABLE);
        NAME(CL_INVALID_KERNEL_NAME);
        NAME(CL_INVALID_KERNEL);
        NAME(CL_INVALID_ARG_INDEX);
        NAME(CL_INVALID_ARG_VALUE);
        NAME(CL_INVALID_ARG_SIZE);
        NAME(CL_INVALID_KERNEL_ARGS);
        NAME(CL_INVALID_WORK_DIMENSION);
        NAME(CL_INVALID_WORK_GROUP_SIZE);
        NAME(CL_INVALID_WORK_ITEM_SIZE);
        NAME(CL_INVALID_GLOBAL_OFFSET);
        NAME(CL_INVALID_EVENT);
        NAME(CL_INVALID_OPERATION);
        NAME(CL_INVALID_BUFFER_SIZE);
        NAME(CL_INVALID_GLOBAL_WORK_SIZE);
        NAME(CL_PROFILING_INFO_NOT_AVAILABLE);
#undef NAME
    case -1001: return "CL_PLATFORM_NOT_FOUND_KHR";
    default: return "unknown OpenCL error";
    }
}

lb_status lb_opencl_fail(cl_int error, const char *call, const char *what)
{
    bool memory = error == CL_MEM_OBJECT_ALLOCATION_FAILURE || error == CL_OUT_OF_HOST_MEMORY;
    return lb_fail(memory ? LB_OUT_OF_MEMORY : LB_DRIVER, "OpenCL: %s%s%s failed with %s (%d)",
                   call, what[0] ? " of " : "", what, lb_opencl_error_name(error), error);
}
