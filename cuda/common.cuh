/* SPDX-License-Identifier: Apache-2.0 */
/* What every kernel file begins with: the arguments, this block's tile, single elements. */
#ifndef LB_COMMON_CUH
#define LB_COMMON_CUH

#include "kernel_abi.h"
#include "ptx.cuh"

/* All kernels take these (host/kernel_abi.h)... */
#define LB_POINTERS                                                                                \
    const uint8_t *arg_a, const uint8_t *arg_w, uint8_t *arg_d, const uint8_t *arg_a_scale,        \
        const uint8_t *arg_a_zero, const uint8_t *arg_bias, const uint8_t *arg_residual,           \
        const uint8_t *arg_residual_scale, const uint8_t *arg_d_scale, const uint8_t *arg_d_zero,  \
        uint8_t *arg_workspace, const uint8_t *arg_residual_zero, const uint8_t *arg_random
#define LB_ARGUMENTS LB_POINTERS, const __grid_constant__ lb_kargs p
/* ... and hand them on to functions that take LB_PARAMETERS. */
#define LB_PARAMETERS LB_POINTERS, const lb_kargs &p
#define LB_PASS                                                                                    \
    arg_a, arg_w, arg_d, arg_a_scale, arg_a_zero, arg_bias, arg_residual, arg_residual_scale,      \
        arg_d_scale, arg_d_zero, arg_workspace, arg_residual_zero, arg_random, p

/* One pointer with its offset. */
#define LB_AT(name, NAME) (arg_##name + p.offset[LB_PTR_##NAME])

/* ---- What ran before ------------------------------------------------------------------------- */

/*
 * A run with LB_RUN_OVERLAP begins while the work before it still runs, which may be reading what D
 * is to replace, or writing what the run reads. So every thread of a kernel that is given
 * LB_ARGUMENTS, also one with nothing to do, calls this before it touches any of their memory but
 * the weights. What follows on the stream may begin from here on, and not sooner: then all that was
 * enqueued before this grid is complete, and only this grid is overlapped.
 */
__device__ __forceinline__ void lb_await_inputs(void)
{
    lb_grid_wait();
    lb_grid_launch_dependents();
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

/* Which tile of D this block makes: lb_cuda_pass counts them, n fastest, then m, then batches. */
struct lb_tile {
    int m, n; /* element of the corner */
    int64_t batch;
};

__device__ __forceinline__ lb_tile lb_tile_of(const lb_kargs &p, int tile_m, int tile_n,
                                              unsigned block)
{
    unsigned across = ((unsigned)p.n + tile_n - 1) / tile_n;
    unsigned down = ((unsigned)p.m + tile_m - 1) / tile_m;
    unsigned rest = block / across;
    return {(int)(rest % down) * tile_m, (int)(block % across) * tile_n, rest / down};
}

__device__ __forceinline__ lb_tile lb_tile_of(const lb_kargs &p, int tile_m, int tile_n)
{
    return lb_tile_of(p, tile_m, tile_n, blockIdx.x);
}

/* ---- Elements -------------------------------------------------------------------------------- */

__device__ __forceinline__ int lb_bits(int type)
{
    switch (type) {
    case LB_TYPE_S8:
    case LB_TYPE_U8: return 8;
    case LB_TYPE_S4:
    case LB_TYPE_C4:
    case LB_TYPE_U4: return 4;
    case LB_TYPE_S2:
    case LB_TYPE_C2:
    case LB_TYPE_U2:
    case LB_TYPE_T2: return 2;
    case LB_TYPE_B1: return 1;
    case LB_TYPE_F16:
    case LB_TYPE_BF16: return 16;
    default: return 32;
    }
}

__device__ __forceinline__ float lb_bf16_to_f32(uint16_t bits)
{
    return __uint_as_float((uint32_t)bits << 16);
}

__device__ __forceinline__ uint16_t lb_f32_to_bf16(float value)
{
    uint32_t bits = __float_as_uint(value);
    if (value != value)
        return (uint16_t)((bits | 0x400000u) >> 16);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* Integer element i of a row. */
__device__ __forceinline__ int lb_int_at(int type, const uint8_t *row, int64_t i)
{
    switch (type) {
    case LB_TYPE_S8: return ((const int8_t *)row)[i];
    case LB_TYPE_U8: return row[i];
    case LB_TYPE_S4: return (((row[i >> 1] >> ((i & 1) * 4)) & 15) ^ 8) - 8;
    case LB_TYPE_C4:
    case LB_TYPE_U4: return (row[i >> 1] >> ((i & 1) * 4)) & 15;
    case LB_TYPE_S2:
    case LB_TYPE_T2: return (((row[i >> 2] >> ((i & 3) * 2)) & 3) ^ 2) - 2;
    case LB_TYPE_C2:
    case LB_TYPE_U2: return (row[i >> 2] >> ((i & 3) * 2)) & 3;
    case LB_TYPE_B1: return ((row[i >> 3] >> (i & 7)) & 1) * 2 - 1;
    default: return ((const int *)row)[i];
    }
}

/* Any element i of a row as f32. */
__device__ __forceinline__ float lb_float_at(int type, const uint8_t *row, int64_t i)
{
    switch (type) {
    case LB_TYPE_F32: return ((const float *)row)[i];
    case LB_TYPE_F16: return lb_f16_to_f32(((const uint16_t *)row)[i]);
    case LB_TYPE_BF16: return lb_bf16_to_f32(((const uint16_t *)row)[i]);
    default: return __int2float_rn(lb_int_at(type, row, i));
    }
}

#endif
