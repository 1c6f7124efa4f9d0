/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device does at best: loops of nothing but the instruction that counts, and of nothing but
 * loads (and stores). On sm_90a products are those of a warpgroup, else of a warp; ceilings.c knows
 * how many operations a step has.
 */
// archs: 75 80+ 90a
#include "ptx.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define WARPGROUPS 1
#else
#define WARPGROUPS 0
#endif

constexpr int CHAINS = 8; /* that do not wait for each other, of a warp or thread */

extern "C" __global__ void ceiling_copy(uint4 *to, const uint4 *from, int64_t count)
{
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
#pragma unroll 4
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        to[i] = from[i];
}

extern "C" __global__ void ceiling_read(uint4 *to, const uint4 *from, int64_t count)
{
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    uint32_t all = 0;
#pragma unroll 4
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        uint4 v = from[i];
        all |= v.x ^ v.y ^ v.z ^ v.w;
    }
    if (all == 0x12345678u) /* keeps the loads */
        to[threadIdx.x] = make_uint4(all, 0, 0, 0);
}

extern "C" __global__ void __launch_bounds__(256)
    ceiling_f32(uint4 *to, const uint4 *from, int64_t count)
{
    float a[CHAINS], x = 0.999f, y = 1e-3f * (float)threadIdx.x;
    (void)from;
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        a[i] = (float)i;
    for (int64_t s = 0; s < count; s++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            a[i] = fmaf(a[i], x, y);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        sum += a[i];
    if (sum == 0.125f)
        to[threadIdx.x] = make_uint4(__float_as_uint(sum), 0, 0, 0);
}

namespace
{

/* Operands with the bits of a random number generator: zeros draw less power. */
__device__ __forceinline__ uint32_t random_bits(uint32_t i)
{
    i = (i + 1) * 2654435761u;
    i ^= i >> 15;
    i *= 0x85ebca6bu;
    return i ^ i >> 13;
}
/* The same as two numbers of size 1. */
__device__ __forceinline__ uint32_t random_halves(uint32_t i)
{
    return (random_bits(i) & 0x83ff83ffu) | 0x38003800u;
}

#if WARPGROUPS
template <typename T, typename Product>
__device__ __forceinline__ void loop(uint4 *to, int64_t count, bool halves, Product product)
{
    T d[128];
    uint32_t a[4];
    for (int i = (int)threadIdx.x; i < 32768 / 4; i += (int)blockDim.x)
        ((uint32_t *)lb_shared())[i] =
            halves ? random_halves((uint32_t)i) : random_bits((uint32_t)i);
    lb_fence_async();
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; i++)
        a[i] = halves ? random_halves(threadIdx.x * 4 + i) : random_bits(threadIdx.x * 4 + i);
#pragma unroll
    for (int i = 0; i < 128; i++)
        d[i] = 0;
    uint64_t tile = lb_tile_descriptor(lb_shared());
    for (int64_t s = 0; s < count; s++) {
        lb_wgmma_fence();
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            product(d, a, tile + 2 * (i % 4));
        lb_wgmma_commit();
        lb_wgmma_wait<0>();
    }
    T sum = 0;
#pragma unroll
    for (int i = 0; i < 128; i++)
        sum += d[i];
    if (sum == (T)1234567)
        to[threadIdx.x] = make_uint4((uint32_t)sum, 0, 0, 0);
}
#define LOOP(T, halves, wide, narrow)                                                              \
    loop<T>(to, count, halves,                                                                     \
            [](T(&d)[128], const uint32_t(&a)[4], uint64_t tile) { wide(d, a, tile, true); })
#else
template <typename T, typename Product>
__device__ __forceinline__ void loop(uint4 *to, int64_t count, bool halves, Product product)
{
    T d[CHAINS][4];
    uint32_t a[4], b[2];
#pragma unroll
    for (int i = 0; i < 6; i++) {
        uint32_t x = threadIdx.x * 6 + i, v = halves ? random_halves(x) : random_bits(x);
        if (i < 4)
            a[i] = v;
        else
            b[i - 4] = v;
    }
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            d[i][j] = 0;
    for (int64_t s = 0; s < count; s++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            product(d[i], a, b);
    T sum = 0;
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            sum += d[i][j];
    if (sum == (T)1234567)
        to[threadIdx.x] = make_uint4((uint32_t)sum, 0, 0, 0);
}
#define LOOP(T, halves, wide, narrow)                                                              \
    loop<T>(to, count, halves,                                                                     \
            [](T(&d)[4], const uint32_t(&a)[4], const uint32_t(&b)[2]) { narrow(d, a, b); })
#endif

} // namespace

extern "C" __global__ void __launch_bounds__(256)
    ceiling_s8(uint4 *to, const uint4 *from, int64_t count)
{
    (void)from;
    LOOP(int, false, (lb_wgmma_s8<256, false, false>), (lb_mma_s8<false, false>));
}
extern "C" __global__ void __launch_bounds__(256)
    ceiling_b1(uint4 *to, const uint4 *from, int64_t count)
{
    (void)from;
    LOOP(int, false, (lb_wgmma_b1<256>), lb_mma_b1);
}
extern "C" __global__ void __launch_bounds__(256)
    ceiling_f16(uint4 *to, const uint4 *from, int64_t count)
{
    (void)from;
    LOOP(float, true, (lb_wgmma_f16<256, false>), (lb_mma_f16<false>));
}
