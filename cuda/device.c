/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CUDA devices as lb_device_info. Their words are "gpu", "cuda", and one per level of compute
 * capability that the device reaches: on 9.0 "sm75 sm80 sm86 sm89 sm90", so that a row which needs
 * 8.0 or newer says "sm80"; then "sm90a" for what only exactly this architecture has.
 */
#include <stdio.h>
#include <string.h>

#include "cuda.h"
#include "status.h"

static const int levels[] = {75, 80, 86, 89, 90, 100, 120};

static lb_status attribute(const lb_cu *cu, CUdevice device, int which, int *value)
{
    return LB_CU(cuDeviceGetAttribute, value, which, device);
}

static void add_words(lb_device_info *info, int capability)
{
    char *text = info->features;
    size_t capacity = sizeof info->features, used = (size_t)snprintf(text, capacity, "gpu cuda");
    for (size_t i = 0; i < sizeof levels / sizeof *levels && levels[i] <= capability; i++)
        used += (size_t)snprintf(text + used, capacity - used, " sm%d", levels[i]);
    if (capability >= 90)
        snprintf(text + used, capacity - used, " sm%da", capability);
}

lb_status lb_cuda_describe(const lb_cu *cu, CUdevice device, lb_device_info *info)
{
    int version, major, minor, units, khz, memory_khz, memory_bits, shared, cache;
    size_t bytes;
    lb_device_info made = LB_DEVICE_INFO_INIT;
    LB_TRY(LB_CU(cuDeviceGetName, made.name, (int)sizeof made.name, device));
    LB_TRY(LB_CU(cuDeviceTotalMem, &bytes, device));
    LB_TRY(LB_CU(cuDriverGetVersion, &version));
    LB_TRY(attribute(cu, device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &major));
    LB_TRY(attribute(cu, device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &minor));
    LB_TRY(attribute(cu, device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &units));
    LB_TRY(attribute(cu, device, CU_DEVICE_ATTRIBUTE_CLOCK_RATE, &khz));
    LB_TRY(attribute(cu, device, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, &memory_khz));
    LB_TRY(attribute(cu, device, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, &memory_bits));
    LB_TRY(attribute(cu, device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &shared));
    LB_TRY(attribute(cu, device, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, &cache));
    snprintf(made.backend, sizeof made.backend, "cuda");
    snprintf(made.vendor, sizeof made.vendor, "NVIDIA Corporation");
    snprintf(made.driver, sizeof made.driver, "CUDA %d.%d, compute capability %d.%d",
             version / 1000, version % 1000 / 10, major, minor);
    made.is_gpu = 1;
    made.compute_units = units;
    made.clock_mhz = khz / 1000;
    made.global_bytes = bytes;
    made.local_bytes = (uint64_t)shared;
    made.cache_bytes = (uint64_t)cache;
    made.memory_rate = 2e3 * memory_khz * memory_bits / 8; /* two transfers a clock */
    add_words(&made, 10 * major + minor);
    *info = made;
    return LB_OK;
}

lb_status lb_cuda_devices(lb_device_info *infos, size_t capacity, size_t *count)
{
    *count = 0;
    if (!lb_cuda_has_kernels())
        return lb_fail(LB_NO_DEVICE, "this library was built without CUDA kernels; build it where "
                                     "nvcc is, with -DLOWBIT_CUDA=ON");
    const lb_cu *cu = lb_cuda_load();
    if (!cu)
        return LB_NO_DEVICE;
    int found = 0;
    LB_TRY(LB_CU(cuDeviceGetCount, &found));
    if (found <= 0)
        return lb_fail(LB_NO_DEVICE, "the CUDA driver finds no device; CUDA_VISIBLE_DEVICES may "
                                     "hide them");
    for (int i = 0; i < found && (size_t)i < capacity; i++) {
        CUdevice device;
        LB_TRY(LB_CU(cuDeviceGet, &device, i));
        LB_TRY(lb_cuda_describe(cu, device, &infos[i]));
        infos[i].index = i;
        snprintf(infos[i].selector, sizeof infos[i].selector, "cuda:%d", i);
    }
    *count = (size_t)found;
    return LB_OK;
}
