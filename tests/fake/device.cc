/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CUDA kernels whose threads do not talk to each other, compiled for the host and run one thread
 * after the other: what they compute, and with AddressSanitizer what they touch, can then be tested
 * without a device.
 */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

extern "C" {
#include "fake.h"
}

/* ---- CUDA C++ for the host ------------------------------------------------------------------- */

#define __device__
#define __global__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

using std::max;
using std::min;

struct uint2 {
    unsigned x, y;
};
struct uint4 {
    unsigned x, y, z, w;
};

static struct {
    unsigned x;
} blockIdx, threadIdx;

template <typename To, typename From> static To bits_as(From from)
{
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

static float __uint_as_float(uint32_t bits)
{
    return bits_as<float>(bits);
}
static uint32_t __float_as_uint(float value)
{
    return bits_as<uint32_t>(value);
}
static float __int2float_rn(int value)
{
    return (float)value;
}
static int __float2int_rn(float value)
{
    if (value != value)
        return 0;
    return value >= 0x1p31f ? INT32_MAX : value <= -0x1p31f ? INT32_MIN : (int)std::rint(value);
}
static float __fmul_rn(float a, float b)
{
    return a * b;
}
static float __fadd_rn(float a, float b)
{
    return a + b;
}

/* Stands in for cuda/ptx.cuh. */
#define LB_PTX_CUH
extern "C" {
float lb_f16_to_f32(uint16_t bits); /* host/types.c */
uint16_t lb_f16_from_f32(float value);
}
static uint16_t lb_f32_to_f16(float value)
{
    return lb_f16_from_f32(value);
}

/* ---- Kernels --------------------------------------------------------------------------------- */

#include "gemm_any.cu"

typedef void kernel_fn(LB_ARGUMENTS);

static const struct {
    const char *name;
    kernel_fn *run;
} kernels[] = {{"gemm_any", gemm_any}};

template <typename T> static T parameter(void **parameters, int i)
{
    T value;
    std::memcpy(&value, parameters[i], sizeof value);
    return value;
}

template <std::size_t... I>
static void call(kernel_fn *kernel, uint8_t *const *at, const lb_kargs &kargs,
                 std::index_sequence<I...>)
{
    kernel(at[I]..., kargs);
}

extern "C" int fake_device_run(const char *name, unsigned blocks, unsigned threads,
                               void **parameters)
{
    uint8_t *at[LB_PTR_COUNT];
    for (int i = 0; i < LB_PTR_COUNT; i++)
        at[i] = parameter<uint8_t *>(parameters, i);
    lb_kargs kargs = parameter<lb_kargs>(parameters, LB_PTR_COUNT);
    for (const auto &kernel : kernels) {
        if (std::strcmp(kernel.name, name) != 0)
            continue;
        for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
            for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++)
                call(kernel.run, at, kargs, std::make_index_sequence<LB_PTR_COUNT>());
        return 1;
    }
    return 0;
}
