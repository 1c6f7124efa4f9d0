/* SPDX-License-Identifier: Apache-2.0 */
/* OpenCL devices of all platforms as lb_device_info, with the optional paths each offers as words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl.h"
#include "status.h"

#define MAX_DEVICES 32

/* Questions that every driver answers (OpenCL 1.2, 4.2); the first that it does not is kept. */
typedef struct query {
    const lb_cl *cl;
    cl_device_id device;
    cl_int error;
} query;

static void keep(query *q, cl_int error)
{
    if (q->error == CL_SUCCESS)
        q->error = error;
}

static void device_text(query *q, cl_device_info what, char *text, size_t capacity)
{
    size_t size = 0;
    text[0] = 0;
    keep(q, q->cl->clGetDeviceInfo(q->device, what, 0, NULL, &size));
    char *all = malloc(size + 1);
    if (!all) {
        keep(q, CL_OUT_OF_HOST_MEMORY);
        return;
    }
    cl_int error = q->cl->clGetDeviceInfo(q->device, what, size, all, NULL);
    keep(q, error);
    if (error == CL_SUCCESS) {
        all[size] = 0;
        snprintf(text, capacity, "%s", all);
    }
    free(all);
}

static void device_value(query *q, cl_device_info what, void *value, size_t bytes)
{
    keep(q, q->cl->clGetDeviceInfo(q->device, what, bytes, value, NULL));
}

static cl_uint device_uint(query *q, cl_device_info what)
{
    cl_uint value = 0;
    device_value(q, what, &value, sizeof value);
    return value;
}

static uint64_t device_ulong(query *q, cl_device_info what)
{
    cl_ulong value = 0;
    device_value(q, what, &value, sizeof value);
    return value;
}

/* ---- Listing ------------------------------------------------------------------------------------
 */

/* All devices: GPUs, then accelerators, then the rest, each in the loader's order. */
static lb_status list(const lb_cl *cl, cl_device_id *devices, size_t *count)
{
    static const cl_device_type order[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ACCELERATOR,
                                           CL_DEVICE_TYPE_CPU};
    cl_platform_id platforms[16];
    cl_uint platform_count = 0;
    cl_int failure = CL_DEVICE_NOT_FOUND;
    *count = 0;
    cl_int error = cl->clGetPlatformIDs(16, platforms, &platform_count);
    if (error != CL_SUCCESS || platform_count == 0)
        return lb_fail(LB_NO_DEVICE,
                       "the OpenCL loader finds no driver (%s); install one (Debian: "
                       "pocl-opencl-icd for the CPU, or the GPU vendor's)",
                       lb_opencl_error_name(error));
    if (platform_count > 16)
        platform_count = 16;
    for (size_t kind = 0; kind < sizeof order / sizeof *order; kind++)
        for (cl_uint p = 0; p < platform_count; p++) {
            cl_uint found = 0;
            cl_device_id of_platform[MAX_DEVICES];
            error = cl->clGetDeviceIDs(platforms[p], order[kind], MAX_DEVICES, of_platform, &found);
            if (error != CL_SUCCESS) {
                failure = error == CL_DEVICE_NOT_FOUND ? failure : error;
                continue;
            }
            for (cl_uint d = 0; d < found && d < MAX_DEVICES && *count < MAX_DEVICES; d++)
                devices[(*count)++] = of_platform[d];
        }
    if (*count == 0)
        return lb_fail(LB_NO_DEVICE, "%u OpenCL driver%s installed, but none offers a device (%s)",
                       platform_count, platform_count == 1 ? " is" : "s are",
                       lb_opencl_error_name(failure));
    return LB_OK;
}

lb_status lb_opencl_devices(lb_device_info *infos, size_t capacity, size_t *count)
{
    const lb_cl *cl = lb_opencl_load();
    cl_device_id devices[MAX_DEVICES];
    *count = 0;
    if (!cl)
        return LB_NO_DEVICE;
    LB_TRY(list(cl, devices, count));
    for (size_t i = 0; i < *count && i < capacity; i++) {
        LB_TRY(lb_opencl_describe(devices[i], &infos[i]));
        infos[i].index = (int32_t)i;
        snprintf(infos[i].selector, sizeof infos[i].selector, "opencl:%u", (unsigned)i);
    }
    return LB_OK;
}

lb_status lb_opencl_device_at(int index, cl_device_id *device)
{
    cl_device_id devices[MAX_DEVICES];
    size_t count;
    LB_TRY(list(lb_opencl_load(), devices, &count));
    if ((size_t)index >= count)
        return lb_fail(LB_NO_DEVICE, "OpenCL device %d is gone; there are %zu", index, count);
    *device = devices[index];
    return LB_OK;
}

/* ---- Optional paths -----------------------------------------------------------------------------
 */

static void add_word(lb_device_info *info, const char *word)
{
    size_t used = strlen(info->features);
    snprintf(info->features + used, sizeof info->features - used, "%s%s", used ? " " : "", word);
}

static bool has_extension(const char *extensions, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = extensions; (at = strstr(at, name)); at += n)
        if ((at == extensions || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0))
            return true;
    return false;
}

/* A CPU device of this process's machine: what its instructions are, by CPUID. */
static void add_cpu_words(lb_device_info *info)
{
    add_word(info, "cpu");
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw"))
        add_word(info, "x86-avx512-vnni");
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw"))
        add_word(info, "x86-avx512-bf16");
    if (__builtin_cpu_supports("avx512vpopcntdq"))
        add_word(info, "x86-avx512-vpopcntdq");
#endif
}

/* cl_nv_device_attribute_query, cl_khr_integer_dot_product, cl_intel_required_subgroup_size */
#define DEVICE_SUB_GROUP_SIZES_INTEL 0x4108
#define DEVICE_COMPUTE_CAPABILITY_MAJOR_NV 0x4000
#define DEVICE_COMPUTE_CAPABILITY_MINOR_NV 0x4001
#define DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES 0x1073

/* An AMD target with v_dot4_i32_i8 (or iu8, from gfx11 on), as LLVM lists them: "gfx90a:xnack-". */
static bool amd_has_dot4(const char *name)
{
    static const long with[][2] = {{0x906, 0x906},  {0x908, 0x908},   {0x90a, 0x90a},
                                   {0x940, 0x950},  {0x1011, 0x1012}, {0x1030, 0x103f},
                                   {0x1100, 0x12ff}};
    long target = strncmp(name, "gfx", 3) == 0 ? strtol(name + 3, NULL, 16) : 0;
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        if (target >= with[i][0] && target <= with[i][1])
            return true;
    return false;
}

/* matrix_mad needs the device's least sub-group size (cl_intel_required_subgroup_size tells them).
 */
static void add_dpas_word(const lb_cl *cl, cl_device_id device, lb_device_info *info)
{
    size_t sizes[8], bytes = 0, least = SIZE_MAX;
    if (cl->clGetDeviceInfo(device, DEVICE_SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &bytes) !=
        CL_SUCCESS)
        return;
    for (size_t i = 0; i < bytes / sizeof *sizes; i++)
        least = sizes[i] < least ? sizes[i] : least;
    if (least == 8)
        add_word(info, "intel-dpas8");
    if (least == 16)
        add_word(info, "intel-dpas16");
}

static void add_gpu_words(query *q, const char *extensions, lb_device_info *info)
{
    size_t items = 0;
    add_word(info, "gpu");
    device_value(q, CL_DEVICE_MAX_WORK_GROUP_SIZE, &items, sizeof items);
    if (items >= 256)
        add_word(info, "wg256"); /* and, as every full profile since 1.1, 32 KiB of local memory */
    if (has_extension(extensions, "cl_nv_device_attribute_query")) {
        cl_uint capability = 10 * device_uint(q, DEVICE_COMPUTE_CAPABILITY_MAJOR_NV) +
                             device_uint(q, DEVICE_COMPUTE_CAPABILITY_MINOR_NV);
        if (capability >= 61)
            add_word(info, "nv-dp4a");
        if (capability >= 80)
            add_word(info, "nv-mma");
    }
    if (strstr(info->vendor, "Advanced Micro") && amd_has_dot4(info->name))
        add_word(info, "amd-sdot4");
    if (has_extension(extensions, "cl_intel_subgroup_matrix_multiply_accumulate"))
        add_dpas_word(q->cl, q->device, info);
}

const char *lb_opencl_pretend = "";

lb_status lb_opencl_describe(cl_device_id device, lb_device_info *info)
{
    query q = {lb_opencl_load(), device, CL_SUCCESS};
    static const size_t extension_bytes = 16384;
    *info = (lb_device_info)LB_DEVICE_INFO_INIT;
    snprintf(info->backend, sizeof info->backend, "opencl");
    device_text(&q, CL_DEVICE_NAME, info->name, sizeof info->name);
    device_text(&q, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    char version[64], driver[64];
    device_text(&q, CL_DEVICE_VERSION, version, 32);
    device_text(&q, CL_DRIVER_VERSION, driver, sizeof driver);
    snprintf(info->driver, sizeof info->driver, "%.30s, driver %.50s", version, driver);
    cl_device_type type = 0;
    device_value(&q, CL_DEVICE_TYPE, &type, sizeof type);
    info->is_gpu = (type & CL_DEVICE_TYPE_GPU) != 0;
    info->compute_units = (int32_t)device_uint(&q, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->clock_mhz = (int32_t)device_uint(&q, CL_DEVICE_MAX_CLOCK_FREQUENCY);
    info->global_bytes = device_ulong(&q, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->local_bytes = device_ulong(&q, CL_DEVICE_LOCAL_MEM_SIZE);
    info->cache_bytes = device_ulong(&q, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE);

    char *extensions = malloc(extension_bytes);
    if (!extensions)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for the extensions of an OpenCL device");
    device_text(&q, CL_DEVICE_EXTENSIONS, extensions, extension_bytes);
    if (type & CL_DEVICE_TYPE_CPU)
        add_cpu_words(info);
    else
        add_gpu_words(&q, extensions, info);
    bool dot = has_extension(extensions, "cl_khr_integer_dot_product") &&
               q.cl->clGetDeviceInfo(device, DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES,
                                     sizeof(cl_ulong), &(cl_ulong){0}, NULL) == CL_SUCCESS;
    if (dot)
        add_word(info, "cl-dot8");
    if (has_extension(extensions, "cl_khr_fp16"))
        add_word(info, "fp16");
    if (*lb_opencl_pretend)
        add_word(info, lb_opencl_pretend);
    free(extensions);
    LB_CL_TRY(q.error, "clGetDeviceInfo");
    return LB_OK;
}
