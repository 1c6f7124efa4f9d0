/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device does at best, by the loops of ceilings.cl: each is enlarged until it takes a
 * while, then the best of a few runs counts, on the device's own clock.
 */
#include <stdio.h>
#include <string.h>

#include "opencl.h"
#include "status.h"

#define LONG_ENOUGH 15e-3 /* seconds: a run is that long, at least */
#define RUNS 4
#define CHAINS 12 /* of ceilings.cl */

typedef struct bench {
    lb_opencl_context *o;
    cl_program program;
    cl_mem from, to;
    size_t bytes; /* of each */
    int wide;     /* WIDE */
    size_t items; /* work-items of all groups */
} bench;

/* ---- Which instructions ---------------------------------------------------------------------- */

typedef struct path {
    const char *word;
    int s8;
    double operations; /* of one step of one chain of one work-item */
    const char *standard;
} path;

/* The best first; multiply-adds count twice. mma.sync: 16 x 8 x 32 products by 32 work-items. */
static const path paths[] = {
    {"nv-mma", 5, 2.0 * 16 * 8 * 32 / 32, "CL1.2"},
    {"nv-dp4a", 2, 8, "CL1.2"},
    {"amd-sdot4", 3, 8, "CL1.2"},
    {"x86-avx512-vnni", 4, 16 * 8, "CL1.2"},
    {"cl-dot8", 1, 8, "CL3.0"},
};

static path path_of(const lb_device *device, int wide)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (lb_device_has(device, paths[i].word, NULL))
            return paths[i];
    /* Plain OpenCL C: on CPUs 32 products per step, on GPUs four. */
    return (path){"", 0, wide == 16 ? 64 : 8, "CL1.2"};
}

/* ---- Runs ------------------------------------------------------------------------------------ */

typedef struct argument {
    size_t bytes;
    const void *value;
} argument;

/* Seconds of one run. */
static lb_status run(const bench *b, cl_kernel kernel, double *seconds)
{
    const lb_cl *cl = b->o->cl;
    size_t local = b->wide == 16 ? 1 : 256;
    cl_event event;
    cl_ulong from = 0, to = 0;
    LB_CL_TRY(cl->clEnqueueNDRangeKernel(b->o->queue, kernel, 1, NULL, &b->items, &local, 0, NULL,
                                         &event),
              "clEnqueueNDRangeKernel of a ceiling");
    cl_int waited = cl->clWaitForEvents(1, &event), error = waited;
    if (error == CL_SUCCESS)
        error = cl->clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof from, &from,
                                            NULL);
    if (error == CL_SUCCESS)
        error = cl->clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL);
    cl->clReleaseEvent(event);
    LB_CL_TRY_OF(error, waited ? "clWaitForEvents" : "clGetEventProfilingInfo", "a ceiling");
    *seconds = to > from ? 1e-9 * (double)(to - from) : 0;
    return LB_OK;
}

static lb_status best_run(const bench *b, cl_kernel kernel, double *best)
{
    double seconds;
    for (int i = 0; i < RUNS; i++) {
        LB_TRY(run(b, kernel, &seconds));
        if (i == 0 || seconds < *best)
            *best = seconds;
    }
    return LB_OK;
}

static lb_status set(const bench *b, cl_kernel kernel, const argument *arguments, cl_uint count)
{
    for (cl_uint i = 0; i < count; i++)
        LB_CL_TRY(b->o->cl->clSetKernelArg(kernel, i, arguments[i].bytes, arguments[i].value),
                  "clSetKernelArg of a ceiling");
    return LB_OK;
}

/* Operations per second of loop_*; `x` and `y` are its two operands. */
static lb_status measure_loop(const bench *b, cl_kernel kernel, argument x, argument y,
                              double operations, double *rate)
{
    cl_int repeat = 256;
    double seconds = 0;
    for (;; repeat *= 4) {
        const argument arguments[] = {{sizeof b->to, &b->to}, {sizeof repeat, &repeat}, x, y};
        LB_TRY(set(b, kernel, arguments, 4));
        LB_TRY(run(b, kernel, &seconds));
        if (seconds > LONG_ENOUGH || repeat > (1 << 26))
            break;
    }
    LB_TRY(best_run(b, kernel, &seconds));
    if (seconds > 0)
        *rate = operations * CHAINS * (double)repeat * (double)b->items / seconds;
    return LB_OK;
}

static lb_status measure_walk(const bench *b, cl_kernel kernel, int ways, double *rate)
{
    size_t piece = b->wide == 16 ? 64 : 16;
    cl_int count = (cl_int)(b->bytes / piece / b->items / 2 * 2);
    double seconds = 0;
    const argument arguments[] = {
        {sizeof b->from, &b->from}, {sizeof b->to, &b->to}, {sizeof count, &count}};
    if (ways == 2) { /* both ways once: memory never written may be one page of zeros */
        const argument back[] = {arguments[1], arguments[0], arguments[2]};
        LB_TRY(set(b, kernel, back, 3));
        LB_TRY(run(b, kernel, &seconds));
    }
    LB_TRY(set(b, kernel, arguments, 3));
    LB_TRY(run(b, kernel, &seconds));
    LB_TRY(best_run(b, kernel, &seconds));
    if (seconds > 0)
        *rate = ways * (double)piece * (double)count * (double)b->items / seconds;
    return LB_OK;
}

/* ---- All ------------------------------------------------------------------------------------- */

static lb_status measure_one(const bench *b, const char *entry, double operations, double *rate)
{
    const lb_cl *cl = b->o->cl;
    /* f32: x a little below 1 keeps all chains finite; others take any bits. */
    const cl_float xf = 0.999f, yf = 1e-3f;
    const cl_int xi = 0x01030507, yi = 0x3f803f80;
    const argument fx = {sizeof xf, &xf}, fy = {sizeof yf, &yf};
    const argument ix = {sizeof xi, &xi}, iy = {sizeof yi, &yi};
    cl_int error;
    cl_kernel kernel = cl->clCreateKernel(b->program, entry, &error);
    LB_CL_TRY_OF(error, "clCreateKernel", entry);
    lb_status status;
    if (strncmp(entry, "walk", 4) == 0)
        status = measure_walk(b, kernel, (int)operations, rate);
    else if (strcmp(entry, "loop_f32") == 0)
        status = measure_loop(b, kernel, fx, fy, operations, rate);
    else
        status = measure_loop(b, kernel, ix, iy, operations, rate);
    cl->clReleaseKernel(kernel);
    return status;
}

static lb_status make_memory(bench *b, const lb_device_info *info)
{
    const lb_cl *cl = b->o->cl;
    /* Several times the last cache, but no more than a tenth of the memory. */
    size_t bytes = 256u << 20;
    while (bytes < 4 * info->cache_bytes)
        bytes *= 2;
    while (bytes > (1u << 20) && bytes > info->global_bytes / 10)
        bytes /= 2;
    b->bytes = bytes;
    cl_int error;
    b->from = cl->clCreateBuffer(b->o->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    LB_CL_TRY(error, "clCreateBuffer of a ceiling");
    b->to = cl->clCreateBuffer(b->o->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    LB_CL_TRY(error, "clCreateBuffer of a ceiling");
    return LB_OK;
}

static lb_status measure(bench *b, lb_context *context, lb_ceilings *c)
{
    const lb_device *device = &context->device;
    bool bf16 = lb_device_has(device, "x86-avx512-bf16", NULL);
    bool vpopcnt = lb_device_has(device, "x86-avx512-vpopcntdq", NULL);
    path s8 = path_of(device, b->wide);
    char options[128];
    snprintf(options, sizeof options, "-cl-std=%s -DWIDE=%d -DS8=%d -DBF16=%d -DPOPCOUNT=%d",
             s8.standard, b->wide, s8.s8, bf16, vpopcnt ? 2 : 0);
    LB_TRY(lb_opencl_program_get(context, (const char *const[LB_OPENCL_SOURCES]){"ceilings.cl"},
                                 options, &b->program));
    LB_TRY(make_memory(b, &device->info));
    LB_TRY(measure_one(b, "walk_copy", 2, &c->copy_bytes));
    LB_TRY(measure_one(b, "walk_read", 1, &c->read_bytes));
    LB_TRY(measure_one(b, "loop_f32", 2 * b->wide, &c->ops_f32));
    LB_TRY(measure_one(b, "loop_s8", s8.operations, &c->ops_s8));
    LB_TRY(measure_one(b, "loop_b1", 64 * b->wide, &c->ops_b1));
    if (bf16)
        LB_TRY(measure_one(b, "loop_bf16", 4 * b->wide, &c->ops_bf16));
    return LB_OK;
}

lb_status lb_opencl_ceilings(lb_context *context, lb_ceilings *ceilings)
{
    const lb_device_info *info = &context->device.info;
    lb_ceilings made = LB_CEILINGS_INIT;
    bench b = {.o = lb_opencl_of(context), .wide = info->is_gpu ? 1 : 16};
    size_t units = info->compute_units > 0 ? (size_t)info->compute_units : 1;
    b.items = (info->is_gpu ? (size_t)256 * 16 : 8) * units;
    lb_status status = measure(&b, context, &made);
    if (b.from)
        b.o->cl->clReleaseMemObject(b.from);
    if (b.to)
        b.o->cl->clReleaseMemObject(b.to);
    LB_TRY(status);
    *ceilings = made;
    return LB_OK;
}
