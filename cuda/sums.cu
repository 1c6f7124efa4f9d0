/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sums of the rows of D, one block each, from the codes as the passes before have written them.
 * An ordinary kernel but for one argument: the sums stand where others have the workspace.
 */
#include "common.cuh"

#include "sum_codes.h"

namespace
{

constexpr int THREADS = 128; /* a row */
constexpr int PIECE = 16;    /* bytes, a thread at a time */

/* The fields of the pieces of a row that are this thread's. Pieces begin where memory is aligned;
   those at the row's ends are added byte by byte. */
template <int BITS>
__device__ __forceinline__ uint32_t sum_row(const uint8_t *row, const lb_kargs &p)
{
    int bytes = (int)(((int64_t)p.n * BITS + 7) / 8), whole = (int)((int64_t)p.n * BITS / 8);
    uint32_t flip = lb_sum_flip(p.d_type, BITS), last = lb_sum_last_mask(p.n, BITS), sum = 0;
    int before = (int)((uintptr_t)row % PIECE);
    for (int at = PIECE * (int)threadIdx.x - before; at < bytes; at += PIECE * THREADS) {
        if (at >= 0 && at + PIECE <= whole) {
            uint4 w = *(const uint4 *)(row + at);
            sum += lb_sum_fields(w.x ^ flip, BITS) + lb_sum_fields(w.y ^ flip, BITS) +
                   lb_sum_fields(w.z ^ flip, BITS) + lb_sum_fields(w.w ^ flip, BITS);
            continue;
        }
#pragma unroll 1
        for (int i = max(at, 0); i < min(at + PIECE, bytes); i++)
            sum += lb_sum_fields((row[i] ^ flip) & (i == bytes - 1 ? last : 0xffu), BITS);
    }
    return sum;
}

__device__ __forceinline__ uint32_t sum_block(uint32_t mine)
{
    __shared__ uint32_t warps[THREADS / 32];
    int sum = (int)mine;
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    if (threadIdx.x % 32 == 0)
        warps[threadIdx.x / 32] = (uint32_t)sum;
    __syncthreads();
    uint32_t all = warps[0] + warps[1] + warps[2] + warps[3];
    __syncthreads(); /* before the next row's */
    return all;
}

} // namespace

extern "C" __global__ void __launch_bounds__(THREADS) sums(LB_ARGUMENTS)
{
    lb_await_inputs();
    int *to = (int *)LB_AT(workspace, WORKSPACE);
    int bits = lb_bits(p.d_type);
    int64_t rows = (int64_t)p.batch * p.m;
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        int64_t element = row / p.m * p.d_batch + row % p.m * p.d_ld;
        const uint8_t *d = LB_AT(d, D) + element * bits / 8;
        uint32_t sum;
        switch (bits) {
        case 8: sum = sum_row<8>(d, p); break;
        case 4: sum = sum_row<4>(d, p); break;
        case 2: sum = sum_row<2>(d, p); break;
        default: sum = sum_row<1>(d, p); break;
        }
        sum = sum_block(sum);
        if (threadIdx.x == 0)
            to[row] = lb_sum_values(p.d_type, sum, p.n);
    }
}
