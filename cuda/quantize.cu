/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantising rows of activations, one block each: for an RMSNorm the sum of squares, in the order
 * of quantize.h; the range (t2, b1: the mean size) by a reduction whose order does not matter; then
 * the codes, 16 columns at a time, and their sum. The arithmetic is quantize.h's.
 */
// archs: 75 80+ 90a
#include "epilogue.cuh"

#include "quantize.h"

namespace
{

constexpr int THREADS = 128; /* a row */
constexpr int EACH = 16;     /* columns, a thread at a time */
static_assert(THREADS == LB_NORM_WAYS, "a thread adds one way's squares");

/* EACH values from column `at` on, zeros beyond the row's end. */
__device__ __forceinline__ void load(float (&v)[EACH], int type, const uint8_t *row, int at,
                                     int count)
{
    int bytes = lb_bits(type) / 8;
    const uint8_t *from = row + (int64_t)at * bytes;
    if (count >= EACH && (uintptr_t)from % 16 == 0) {
#pragma unroll
        for (int i = 0; i < EACH / 4; i++) {
            union {
                uint4 all;
                uint32_t word[4];
            } u;
            if (bytes == 4) {
                u.all = ((const uint4 *)from)[i];
#pragma unroll
                for (int j = 0; j < 4; j++)
                    v[4 * i + j] = __uint_as_float(u.word[j]);
            } else if (i < EACH / 8) {
                u.all = ((const uint4 *)from)[i];
#pragma unroll
                for (int j = 0; j < 8; j++) {
                    uint16_t half = (uint16_t)(u.word[j / 2] >> (16 * (j % 2)));
                    v[8 * i + j] = type == LB_TYPE_F16 ? lb_f16_to_f32(half) : lb_bf16_to_f32(half);
                }
            }
        }
        return;
    }
#pragma unroll 1
    for (int j = 0; j < EACH; j++) {
        float x = j < count ? lb_float_at(type, row, at + j) : 0.0f;
#pragma unroll
        for (int i = 0; i < EACH; i++)
            v[i] = i == j ? x : v[i];
    }
}

template <int BITS>
__device__ __forceinline__ void store(uint8_t *row, int at, const int (&q)[EACH], int count)
{
    uint8_t bytes[EACH * BITS / 8];
    count = min(count, EACH);
#pragma unroll
    for (int i = 0; i < EACH * BITS / 8; i++) {
        unsigned byte = 0;
#pragma unroll
        for (int j = 0; j < 8 / BITS; j++) {
            int k = i * 8 / BITS + j;
            byte |= k < count ? ((unsigned)q[k] & ((1u << BITS) - 1u)) << (BITS * j) : 0;
        }
        bytes[i] = (uint8_t)byte;
    }
    lb_store(row + (int64_t)at * BITS / 8, bytes, (count * BITS + 7) / 8);
}

/* lb_quantize_round; where the product is near a tie, a call. */
LB_CALL int round_near_tie(float x, float scale, float inverse)
{
    return lb_quantize_round(x, scale, inverse);
}

__device__ __forceinline__ int round_of(float x, float scale, float inverse)
{
    float y = __fmul_rn(x, inverse), nearest = rintf(y), rest = y - nearest;
    /* false of NaN and beyond 1024 too */
    bool plain = rest < 0.5f - 0x1p-11f && rest > -0.5f + 0x1p-11f && y < 1024.0f && y > -1024.0f;
    return plain ? (int)nearest : round_near_tie(x, scale, inverse);
}

struct least_of {
    __device__ float operator()(float a, float b) const
    {
        return a < b ? a : b;
    }
};
struct most_of {
    __device__ float operator()(float a, float b) const
    {
        return a > b ? a : b;
    }
};
struct sum_of {
    template <typename T> __device__ T operator()(T a, T b) const
    {
        return (T)(a + b);
    }
};

/* combine(all threads' values), for all. */
template <typename T, typename Combine>
__device__ __forceinline__ T reduce(T *values, T mine, Combine combine)
{
    int me = (int)threadIdx.x;
    values[me] = mine;
#pragma unroll 1
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (me < step)
            values[me] = combine(values[me], values[me + step]);
    }
    __syncthreads();
    T all = values[0];
    __syncthreads();
    return all;
}

/* A row, and what its RMSNorm needs: the weight and the inverse. */
struct values {
    int type, norm_type, cols;
    const uint8_t *x, *norm_weight;
    float inverse;
};

/* The EACH values from column `at` on that are quantised. */
template <bool NORM>
__device__ __forceinline__ void load(float (&v)[EACH], const values &of, int at)
{
    load(v, of.type, of.x, at, of.cols - at);
    if (!NORM)
        return;
    float weight[EACH];
    load(weight, of.norm_type, of.norm_weight, at, of.cols - at);
#pragma unroll
    for (int j = 0; j < EACH; j++)
        v[j] = lb_norm_value(v[j], of.inverse, weight[j]);
}

__device__ __forceinline__ float sum_of_squares(float *room, const values &of, int first)
{
    float v[EACH], sum[EACH] = {};
    for (int at = first; at < of.cols; at += EACH * THREADS) {
        load(v, of.type, of.x, at, of.cols - at);
#pragma unroll
        for (int j = 0; j < EACH; j++) /* zeros beyond the end add nothing */
            sum[j] = __fadd_rn(sum[j], lb_norm_square(v[j]));
    }
#pragma unroll
    for (int half = EACH / 2; half > 0; half /= 2)
#pragma unroll
        for (int j = 0; j < half; j++)
            sum[j] = __fadd_rn(sum[j], sum[j + half]);
    return reduce(room, sum[0], sum_of());
}

/* All of a row. NORM: its RMSNorm is quantised. */
template <bool NORM>
__device__ __forceinline__ void quantize_row(const uint8_t *x0, uint8_t *codes0, uint8_t *scales0,
                                             uint8_t *zeros0, uint8_t *sums0,
                                             const uint8_t *norm_weight0, const lb_quant_kargs &p)
{
    lb_grid_launch_dependents(); /* a product may fetch its weights meanwhile (common.cuh) */
    __shared__ uint64_t room[THREADS];
    int64_t row = blockIdx.x;
    int first = EACH * (int)threadIdx.x, bits = lb_bits(p.type);
    values of = {p.x_type,
                 p.norm_type,
                 p.cols,
                 x0 + p.offset[0] + row * p.x_ld * (lb_bits(p.x_type) / 8),
                 norm_weight0 + p.offset[5],
                 0.0f};
    uint8_t *codes = codes0 + p.offset[1] + row * p.row_bytes;
    float v[EACH], low = 0.0f, high = 0.0f;

    if (NORM)
        of.inverse =
            lb_norm_inverse(sum_of_squares((float *)room, of, first), p.cols, p.norm_epsilon);
    for (int at = first; at < p.cols; at += EACH * THREADS) {
        load<NORM>(v, of, at);
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            low = v[j] < low ? v[j] : low;
            high = v[j] > high ? v[j] : high;
        }
    }
    low = reduce((float *)room, low, least_of());
    high = reduce((float *)room, high, most_of());

    lb_grid grid = lb_grid_of(p.type, p.scheme);
    float size = high > -low ? high : -low, scale;
    int zero = grid.zero;
    if (p.type == LB_TYPE_T2 || p.type == LB_TYPE_B1) {
        float unit = lb_mean_unit(size);
        uint64_t total = 0;
        for (int at = first; at < p.cols; at += EACH * THREADS) {
            load<NORM>(v, of, at);
#pragma unroll
            for (int j = 0; j < EACH; j++) /* zeros beyond the end add nothing */
                total += lb_mean_term(v[j], unit);
        }
        scale = lb_mean_size(reduce(room, total, sum_of()), (uint64_t)p.cols, size);
    } else if (p.scheme == LB_QUANT_IS_ASYMMETRIC) {
        scale = lb_asymmetric_scale(low, high, grid, &zero);
    } else {
        scale = lb_symmetric_scale(size, grid.half_span);
    }

    float inverse = lb_divide(1.0f, scale);
    int sum = 0;
    for (int at = first; at < p.cols; at += EACH * THREADS) {
        int count = p.cols - at, q[EACH];
        load<NORM>(v, of, at);
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            q[j] = p.type == LB_TYPE_B1
                       ? (v[j] >= 0.0f ? 1 : -1)
                       : min(max(round_of(v[j], scale, inverse) + zero, grid.least), grid.most);
            sum += j < count ? q[j] : 0;
            if (p.type == LB_TYPE_B1)
                q[j] = max(q[j], 0);
        }
        switch (bits) {
        case 8: store<8>(codes, at, q, count); break;
        case 4: store<4>(codes, at, q, count); break;
        case 2: store<2>(codes, at, q, count); break;
        default: store<1>(codes, at, q, count); break;
        }
    }
    sum = reduce((int *)room, sum, sum_of());
    if (threadIdx.x == 0) {
        ((float *)(scales0 + p.offset[2]))[row] = scale;
        if (p.has_zeros)
            ((int *)(zeros0 + p.offset[3]))[row] = zero;
        if (p.has_sums)
            ((int *)(sums0 + p.offset[4]))[row] = sum;
    }
}

} // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    quantize(const uint8_t *x, uint8_t *codes, uint8_t *scales, uint8_t *zeros, uint8_t *sums,
             const uint8_t *norm_weight, const __grid_constant__ lb_quant_kargs p)
{
    quantize_row<false>(x, codes, scales, zeros, sums, norm_weight, p);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    quantize_norm(const uint8_t *x, uint8_t *codes, uint8_t *scales, uint8_t *zeros, uint8_t *sums,
                  const uint8_t *norm_weight, const __grid_constant__ lb_quant_kargs p)
{
    quantize_row<true>(x, codes, scales, zeros, sums, norm_weight, p);
}
