/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of most products in line: scales of B and A, and D of s32, f32, f16, bf16, s8 (with one
 * scale or none) or b1. The operations of epilogue.cuh in its order, so the same bits (but those of
 * a NaN in bf16); without a call, scales asked for early and in few accesses, and one that is
 * absent is 1. Whatever else a problem asks for goes the long way, lb_finish.
 */
#ifndef LB_BRIEF_CUH
#define LB_BRIEF_CUH

#include "epilogue.cuh"

enum lb_brief_end { LB_LONG, LB_TO_S32, LB_TO_F32, LB_TO_F16, LB_TO_BF16, LB_TO_S8, LB_TO_B1 };

/* What may be asked for beside the type of D: all that is done before, and here. */
constexpr unsigned LB_BRIEF_FLAGS = LB_KF_A_SCALE | LB_KF_A_SCALE_TOKEN | LB_KF_A_ZERO |
                                    LB_KF_A_ZERO_TOKEN | LB_KF_B_SCALE | LB_KF_B_ZERO |
                                    LB_KF_B_STEP | LB_KF_FLOAT_A | LB_KF_TABLE_GROUP;

__device__ __forceinline__ int lb_brief_end_of(const lb_kargs &p)
{
    unsigned beyond = p.flags & ~LB_BRIEF_FLAGS;
    if (p.activation != LB_ACT_NONE || p.rounding != LB_ROUND_EVEN)
        return LB_LONG;
    if (p.d_type == LB_TYPE_S8)
        return beyond == 0 || beyond == LB_KF_D_SCALE ? LB_TO_S8 : LB_LONG;
    if (p.flags & LB_KF_RAW)
        return beyond == LB_KF_RAW ? LB_TO_S32 : LB_LONG;
    if (beyond != 0)
        return LB_LONG;
    switch (p.d_type) {
    case LB_TYPE_F32: return LB_TO_F32;
    case LB_TYPE_F16: return LB_TO_F16;
    case LB_TYPE_BF16: return LB_TO_BF16;
    case LB_TYPE_B1: return LB_TO_B1;
    default: return LB_LONG;
    }
}

/* Eight columns of a row, n a multiple of 8. */
struct lb_brief {
    int end;
    float scale[8], row_scale;

    /* Asks for the scales, to be called before the sums are fetched; `scaled`: these have B's. */
    __device__ __forceinline__ void open(const lb_kargs &p, const lb_io &io, int m, int n,
                                         bool scaled)
    {
        end = n + 8 <= p.n ? lb_brief_end_of(p) : LB_LONG;
        row_scale = 1.0f;
#pragma unroll
        for (int j = 0; j < 8; j++)
            scale[j] = 1.0f;
        if (end == LB_LONG || end == LB_TO_S32)
            return;
        if (p.flags & LB_KF_A_SCALE)
            row_scale = io.a_scale[p.flags & LB_KF_A_SCALE_TOKEN ? m : 0];
        if (!scaled && (p.flags & LB_KF_B_SCALE)) /* padded, and begins on 64 bytes */
#pragma unroll
            for (int j = 0; j < 8; j += 4) {
                float4 four = *(const float4 *)(io.w_scale + n + j);
                scale[j] = four.x, scale[j + 1] = four.y;
                scale[j + 2] = four.z, scale[j + 3] = four.w;
            }
    }

    __device__ __forceinline__ void convert(float (&v)[8], const int (&sum)[8]) const
    {
#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] = __int2float_rn(sum[j]);
    }
    __device__ __forceinline__ void convert(float (&v)[8], const float (&sum)[8]) const
    {
#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] = sum[j];
    }
    static __device__ __forceinline__ void store_sums(int *at, const int (&sum)[8])
    {
        lb_store(at, sum, 8);
    }
    static __device__ __forceinline__ void store_sums(int *, const float (&)[8])
    {
    }

    /* Finished sums; m and n as above, and `end` is not LB_LONG. */
    template <typename T>
    __device__ __forceinline__ void close(const T (&sum)[8], const lb_kargs &p, const lb_io &io,
                                          int m, int n) const
    {
        int64_t element = (int64_t)m * p.d_ld + n;
        if (end == LB_TO_S32) {
            store_sums((int *)io.d + element, sum);
            return;
        }
        float v[8];
        convert(v, sum);
#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] = __fmul_rn(__fmul_rn(v[j], scale[j]), row_scale);
        switch (end) {
        case LB_TO_F32: lb_store((float *)io.d + element, v, 8); break;
        case LB_TO_S8: {
            uint8_t code[8];
            float d_scale = p.flags & LB_KF_D_SCALE ? *io.d_scale : 1.0f;
#pragma unroll
            for (int j = 0; j < 8; j++)
                code[j] = (uint8_t)max(-128, min(127, __float2int_rn(__fmul_rn(v[j], d_scale))));
            lb_store(io.d + element, code, 8);
            break;
        }
        case LB_TO_B1: {
            unsigned bits = 0;
#pragma unroll
            for (int j = 0; j < 8; j++)
                bits |= (v[j] >= 0.0f ? 1u : 0u) << j;
            io.d[element / 8] = (uint8_t)bits;
            break;
        }
        default: {
            uint32_t pair[4];
#pragma unroll
            for (int j = 0; j < 4; j++)
                pair[j] = end == LB_TO_F16 ? lb_f16x2(v[2 * j], v[2 * j + 1])
                                           : lb_bf16x2(v[2 * j], v[2 * j + 1]);
            store_pairs((uint16_t *)io.d + element, pair);
            break;
        }
        }
    }

    /* Eight elements of 16 bits, in as few accesses as the address allows. */
    static __device__ __forceinline__ void store_pairs(uint16_t *at, const uint32_t (&pair)[4])
    {
        if ((uintptr_t)at % 16 == 0) {
            *(uint4 *)at = make_uint4(pair[0], pair[1], pair[2], pair[3]);
            return;
        }
#pragma unroll
        for (int j = 0; j < 8; j++)
            at[j] = (uint16_t)(pair[j / 2] >> j % 2 * 16);
    }
};

#endif
