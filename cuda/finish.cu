/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second pass of rows that split k (split.h): one thread adds the sums of 8 columns of a row,
 * in the order of the parts, and does the epilogue. Integers are exact in any order; floats are
 * added in this one, whatever m is.
 */
// archs: 75 80+ 90a
#include "epilogue.cuh"
#include "split.h"

namespace
{

constexpr int C = 8, TILE_M = 8, TILE_N = 128; /* of a thread; of a block, as in kernels.c */

__device__ __forceinline__ void add(int &sum, int part)
{
    sum = (int)((unsigned)sum + (unsigned)part);
}
__device__ __forceinline__ void add(float &sum, float part)
{
    sum = __fadd_rn(sum, part);
}

template <typename T>
__device__ __forceinline__ void add_parts(T (&sum)[C], const lb_kargs &p, const uint8_t *workspace,
                                          int64_t batch, int m, int n)
{
    const T *at = (const T *)(workspace + p.ws[0]) + (batch * p.m + m) * p.n_pad + n;
    LB_EACH(j)
    sum[j] = at[j];
    for (int part = 1; part < p.tail[LB_SPLIT_PARTS]; part++) {
        at += (int64_t)p.batch * p.m * p.n_pad;
        LB_EACH(j)
        add(sum[j], at[j]);
    }
}

} // namespace

/* At least 4 blocks per multiprocessor: left to itself the compiler spills to fit more. */
extern "C" __global__ void __launch_bounds__(128, 4) finish(LB_ARGUMENTS)
{
    lb_await_inputs();
    lb_tile tile = lb_tile_of(p, TILE_M, TILE_N);
    int m = tile.m + (int)threadIdx.x / (TILE_N / C);
    int n = tile.n + (int)threadIdx.x % (TILE_N / C) * C;
    if (m >= p.m || n >= p.n)
        return;
    LB_IO(io, tile.batch);
    const uint8_t *workspace = LB_AT(workspace, WORKSPACE);
    if ((p.flags & LB_KF_FLOAT_A) || p.groups > 1) {
        float sum[C];
        add_parts(sum, p, workspace, tile.batch, m, n);
        lb_finish_float(sum, p, io, m, n);
    } else {
        int sum[C];
        add_parts(sum, p, workspace, tile.batch, m, n);
        lb_finish_int(sum, p, io, m, n);
    }
}
