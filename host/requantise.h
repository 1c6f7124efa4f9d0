/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of the requantisation modes, in one text for every backend: compiled as C11, CUDA
 * C++ and OpenCL C, integers of 32 and 64 bits and single f32 operations only, so that the bits
 * cannot differ. docs/numerics.md derives why nothing overflows.
 *
 * A multiplier (value, shift) stands for the real number value / 2^shift; shifts outside 0..62
 * count as the nearer of the two.
 */
#ifndef LB_REQUANTISE_H
#define LB_REQUANTISE_H

#if defined(__OPENCL_VERSION__) /* the sources stand one after the other */
#define LB_FN static inline
#define LB_FLOOR(x) floor(x)
#define LB_I64(x) ((lb_i64)(x))
#elif defined(__CUDACC__)
#include "kernel_abi.h"
#define LB_FN static __device__ __forceinline__
#define LB_FLOOR(x) floorf(x)
#define LB_I64(x) ((lb_i64)(x))
#else
#include <math.h>

#include "kernel_abi.h"
#define LB_FN static inline
#define LB_FLOOR(x) floorf(x)
#define LB_I64(x) ((lb_i64)(x))
#endif

#define LB_I32_MAX 2147483647
#define LB_I32_MIN (-2147483647 - 1)

/* ---- Fixed point ----------------------------------------------------------------------------- */

LB_FN lb_i32 lb_saturate_s32(lb_i64 v)
{
    return (lb_i32)(v > LB_I32_MAX ? LB_I32_MAX : v < LB_I32_MIN ? LB_I32_MIN : v);
}

LB_FN lb_i32 lb_limit_shift(lb_i32 shift)
{
    return shift < 0 ? 0 : shift > 62 ? 62 : shift;
}

/* gemmlowp's SaturatingRoundingDoublingHighMul: the high half of 2ab, ties up (as ARM's sqrdmulh).
 */
LB_FN lb_i32 lb_doubling_high(lb_i32 a, lb_i32 b)
{
    lb_i64 product = LB_I64(a) * b;
    lb_i64 nudge = product >= 0 ? LB_I64(1) << 30 : 1 - (LB_I64(1) << 30);
    return lb_saturate_s32((product + nudge) / (LB_I64(1) << 31)); /* 2^31 only for both -2^31 */
}

/* gemmlowp's RoundingDivideByPOT: x / 2^exponent, 0 to 31, ties away from zero. */
LB_FN lb_i32 lb_rounding_divide(lb_i32 x, lb_i32 exponent)
{
    lb_i32 mask = (lb_i32)((1u << exponent) - 1u), remainder = x & mask;
    lb_i32 threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

/* floor(product / 2^shift + 1/2): ties up. |product| <= 2^62, shift 0 to 62. */
LB_FN lb_i64 lb_shift_half_up(lb_i64 product, lb_i32 shift)
{
    return shift == 0 ? product : (product + (LB_I64(1) << (shift - 1))) >> shift;
}

/* product / 2^shift to nearest, ties to even. */
LB_FN lb_i64 lb_shift_half_even(lb_i64 product, lb_i32 shift)
{
    if (shift == 0)
        return product;
    lb_i64 floored = product >> shift, rest = product - floored * (LB_I64(1) << shift);
    lb_i64 half_unit = LB_I64(1) << (shift - 1);
    return floored + (rest > half_unit || (rest == half_unit && (floored & 1)) ? 1 : 0);
}

/* x * value / 2^shift, rounded as the mode says and saturated to s32. */
LB_FN lb_i32 lb_multiply(lb_i32 x, lb_i32 value, lb_i32 shift, lb_i32 rounding)
{
    shift = lb_limit_shift(shift);
    switch (rounding) {
    case LB_ROUND_GEMMLOWP: {
        lb_i32 left = shift < 31 ? 31 - shift : 0, right = shift > 31 ? shift - 31 : 0;
        lb_i32 lifted = lb_saturate_s32(x * (LB_I64(1) << left));
        return lb_rounding_divide(lb_doubling_high(lifted, value), right);
    }
    case LB_ROUND_DYADIC: return lb_saturate_s32(lb_shift_half_even(LB_I64(x) * value, shift));
    case LB_ROUND_POW2: return lb_saturate_s32(lb_shift_half_up(x, shift));
    default: return lb_saturate_s32(lb_shift_half_up(LB_I64(x) * value, shift));
    }
}

/* q * min(max(q + three, 0), 2 three) / (2 three) / 2^shift, one rounding, ties up: x * relu6(x +
   3) / 6 where 3 is `three`. 1 <= three <= 2^24, 0 <= shift <= 24. */
LB_FN lb_i32 lb_hard_swish(lb_i32 q, lb_i32 three, lb_i32 shift)
{
    lb_i64 gate = LB_I64(q) + three, whole = LB_I64(three) << (shift + 1);
    gate = gate < 0 ? 0 : gate > 2 * LB_I64(three) ? 2 * LB_I64(three) : gate;
    lb_i64 n = q * gate + whole / 2;
    return lb_saturate_s32((n < 0 ? n - (whole - 1) : n) / whole);
}

/* Batch normalisation and sign as a comparison: bit of acc against (value, shift). */
LB_FN lb_i32 lb_threshold_bit(lb_i32 acc, lb_i32 value, lb_i32 below)
{
    return below ? acc < value : acc >= value;
}

LB_FN lb_i32 lb_add_s32(lb_i32 a, lb_i32 b)
{
    return lb_saturate_s32(LB_I64(a) + b);
}

LB_FN lb_i32 lb_subtract_s32(lb_i32 a, lb_i32 b)
{
    return lb_saturate_s32(LB_I64(a) - b);
}

/* ---- Stochastic rounding --------------------------------------------------------------------- */

typedef struct lb_random4 {
    lb_u32 word[4];
} lb_random4;

LB_FN lb_u32 lb_high_word(lb_u32 a, lb_u32 b)
{
    return (lb_u32)(((lb_u64)a * b) >> 32);
}

/* Philox4x32-10 (J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as
   easy as 1, 2, 3", SC 2011): counter (index, offset), key seed. */
LB_FN lb_random4 lb_philox(lb_u64 index, lb_u64 offset, lb_u64 seed)
{
    lb_u32 c0 = (lb_u32)index, c1 = (lb_u32)(index >> 32);
    lb_u32 c2 = (lb_u32)offset, c3 = (lb_u32)(offset >> 32);
    lb_u32 k0 = (lb_u32)seed, k1 = (lb_u32)(seed >> 32);
    for (int turn = 0; turn < 10; turn++) {
        lb_u32 high0 = lb_high_word(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        lb_u32 high1 = lb_high_word(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    lb_random4 r;
    r.word[0] = c0;
    r.word[1] = c1;
    r.word[2] = c2;
    r.word[3] = c3;
    return r;
}

/* Which block of four random words column n of row `row` (of all batches' rows) reads; it takes
 * word n % 4. */
LB_FN lb_u64 lb_random_block(lb_i64 row, lb_i32 columns, lb_i32 n)
{
    return (lb_u64)row * (lb_u64)((columns + LB_I64(3)) / 4) + (lb_u64)(n / 4);
}

/* floor(v), or one more with the probability of the rest; saturated to s32; NaN gives 0. */
LB_FN lb_i32 lb_round_stochastic(float v, lb_u32 random)
{
    if (v != v)
        return 0;
    if (v >= 2147483648.0f)
        return LB_I32_MAX;
    if (v < -2147483648.0f)
        return LB_I32_MIN;
    float below = LB_FLOOR(v), rest = v - below;
    return (lb_i32)below + ((float)(random >> 8) * 0x1p-24f < rest ? 1 : 0);
}

#endif
