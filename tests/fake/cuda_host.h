/* SPDX-License-Identifier: Apache-2.0 */
/* What CUDA C++ has beyond C++, as far as the kernels use it, on the threads of simt.h. */
#ifndef CUDA_HOST_H
#define CUDA_HOST_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "simt.h"

#define __device__
#define __host__
#define __global__ __attribute__((visibility("default")))
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static
#define __restrict__

#define threadIdx (simt::now->index)
#define blockIdx (simt::block_index)
#define blockDim (simt::block_size)
#define gridDim (simt::grid_size)

using std::max;
using std::min;

struct uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

template <typename To, typename From> inline To bits_as(From from)
{
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

inline float __uint_as_float(uint32_t bits)
{
    return bits_as<float>(bits);
}
inline uint32_t __float_as_uint(float value)
{
    return bits_as<uint32_t>(value);
}
inline float __int_as_float(int bits)
{
    return bits_as<float>(bits);
}
inline int __float_as_int(float value)
{
    return bits_as<int>(value);
}
inline float __int2float_rn(int value)
{
    return (float)value;
}
inline int __float2int_rn(float value)
{
    if (value != value)
        return 0;
    return value >= 0x1p31f ? INT32_MAX : value <= -0x1p31f ? INT32_MIN : (int)std::rint(value);
}
inline float __fmul_rn(float a, float b)
{
    return a * b;
}
inline float __fadd_rn(float a, float b)
{
    return a + b;
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

/* ---- Threads together ------------------------------------------------------------------------ */

inline void __syncthreads()
{
    simt::barrier(0, blockDim.x * blockDim.y * blockDim.z);
}
inline void __syncwarp()
{
    simt::together("__syncwarp", 32, nullptr, [](void **) {});
}
inline int __shfl_xor_sync(unsigned mask, int value, int lanes)
{
    if (mask != 0xffffffffu)
        simt::fault("__shfl_xor_sync of a part of a warp");
    int operands[2] = {value, value};
    simt::together("__shfl_xor_sync", 32, operands, [=](void **all) {
        for (int i = 0; i < 32; i++)
            ((int *)all[i])[1] = ((int *)all[i ^ lanes])[0];
    });
    return operands[1];
}
inline int __shfl_sync(unsigned mask, int value, int from)
{
    if (mask != 0xffffffffu)
        simt::fault("__shfl_sync of a part of a warp");
    int operands[3] = {value, value, from};
    simt::together("__shfl_sync", 32, operands, [](void **all) {
        for (int i = 0; i < 32; i++)
            ((int *)all[i])[1] = ((int *)all[((int *)all[i])[2] & 31])[0];
    });
    return operands[1];
}

/* ---- Memory that threads share: one runs at a time --------------------------------------------
 */

inline unsigned atomicXor(unsigned *at, unsigned value)
{
    unsigned before = *at;
    *at ^= value;
    return before;
}
template <typename T> inline T atomicAdd(T *at, T value)
{
    T before = *at;
    *at += value;
    return before;
}
template <typename T> inline T atomicMax(T *at, T value)
{
    T before = *at;
    *at = std::max(before, value);
    return before;
}

#endif
