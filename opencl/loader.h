/* SPDX-License-Identifier: Apache-2.0 */
/* libOpenCL.so.1 at run time: the entry points used, as a table of pointers. */
#ifndef LB_OPENCL_LOADER_H
#define LB_OPENCL_LOADER_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <stdbool.h>

#include "lowbit/lowbit.h"

#define LB_CL_FUNCTIONS(X)                                                                         \
    X(clGetPlatformIDs)                                                                            \
    X(clGetPlatformInfo)                                                                           \
    X(clGetDeviceIDs)                                                                              \
    X(clGetDeviceInfo)                                                                             \
    X(clCreateContext)                                                                             \
    X(clRetainContext)                                                                             \
    X(clReleaseContext)                                                                            \
    X(clGetContextInfo)                                                                            \
    X(clCreateCommandQueue)                                                                        \
    X(clReleaseCommandQueue)                                                                       \
    X(clGetCommandQueueInfo)                                                                       \
    X(clCreateBuffer)                                                                              \
    X(clReleaseMemObject)                                                                          \
    X(clGetMemObjectInfo)                                                                          \
    X(clEnqueueWriteBuffer)                                                                        \
    X(clEnqueueReadBuffer)                                                                         \
    X(clCreateProgramWithSource)                                                                   \
    X(clCreateProgramWithBinary)                                                                   \
    X(clBuildProgram)                                                                              \
    X(clGetProgramInfo)                                                                            \
    X(clGetProgramBuildInfo)                                                                       \
    X(clReleaseProgram)                                                                            \
    X(clCreateKernel)                                                                              \
    X(clReleaseKernel)                                                                             \
    X(clSetKernelArg)                                                                              \
    X(clEnqueueNDRangeKernel)                                                                      \
    X(clEnqueueMarkerWithWaitList)                                                                 \
    X(clEnqueueBarrierWithWaitList)                                                                \
    X(clWaitForEvents)                                                                             \
    X(clGetEventProfilingInfo)                                                                     \
    X(clReleaseEvent)                                                                              \
    X(clFlush)                                                                                     \
    X(clFinish)

typedef struct lb_cl {
#define LB_CL_MEMBER(name) __typeof__(name) *name;
    LB_CL_FUNCTIONS(LB_CL_MEMBER)
#undef LB_CL_MEMBER
} lb_cl;

/* The table, loaded once per process; NULL with an error text if there is no loader. */
const lb_cl *lb_opencl_load(void);

/* "CL_INVALID_VALUE"; never NULL. */
const char *lb_opencl_error_name(cl_int error);
/* LB_OUT_OF_MEMORY or LB_DRIVER with the call's and the error's name; `what` the call was about,
 * or "". */
lb_status lb_opencl_fail(cl_int error, const char *call, const char *what);

#define LB_CL_TRY_OF(call, name, what)                                                             \
    do {                                                                                           \
        cl_int lb_cl_error_ = (call);                                                              \
        if (lb_cl_error_ != CL_SUCCESS)                                                            \
            return lb_opencl_fail(lb_cl_error_, name, what);                                       \
    } while (0)
#define LB_CL_TRY(call, name) LB_CL_TRY_OF(call, name, "")

#endif
