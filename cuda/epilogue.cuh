/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epilogue: C adjacent columns of one row in one thread, from the finished sum to packed D,
 * step by step in the order that lowbit.h documents. Every step is a branch that all threads take
 * alike, so that one kernel serves all epilogues; every operation is one of the __f*_rn, which are
 * rounded on their own. The first column is a multiple of C; columns beyond n are computed and not
 * stored.
 *
 * C is 8 or 16, so that a thread writes whole bytes of every type. What is rare or long is a
 * function that is called (LB_CALL): inlined C times it would be most of a kernel.
 */
#ifndef LB_EPILOGUE_CUH
#define LB_EPILOGUE_CUH

#include "common.cuh"
#include "requantise.h"

/* What the epilogue reads and writes, for one batch. */
struct lb_io {
    const float *a_scale;
    const int *a_zero;
    const float *w_scale; /* [groups][n_pad] */
    const int *w_zero;
    const int *w_sum;
    const int *w_step;   /* [steps][n_pad] */
    const uint8_t *bias; /* element 0 of this batch */
    const uint8_t *residual;
    const float *residual_scale;
    const float *d_scale;
    const int *d_zero;
    uint8_t *d;
    const int *residual_zero;
    const uint64_t *random; /* seed, offset */
    int64_t first_row;      /* of this batch among the rows of all */
};

#define LB_IO(io, batch)                                                                           \
    lb_io io;                                                                                      \
    {                                                                                              \
        const uint8_t *meta = LB_AT(w, W) + (batch)*p.w_meta_batch;                                \
        io.a_scale = (const float *)LB_AT(a_scale, A_SCALE) +                                      \
                     (p.flags & LB_KF_A_SCALE_TOKEN ? (batch)*p.m : (batch));                      \
        io.a_zero = (const int *)LB_AT(a_zero, A_ZERO) +                                           \
                    (p.flags & LB_KF_A_ZERO_TOKEN ? (batch)*p.m : (batch));                        \
        io.w_scale = (const float *)(meta + p.w_scale);                                            \
        io.w_zero = (const int *)(meta + p.w_zero);                                                \
        io.w_sum = (const int *)(meta + p.w_sum);                                                  \
        io.w_step = (const int *)(LB_AT(w, W) + p.w_step + (batch)*p.w_step_batch);                \
        io.bias = LB_AT(bias, BIAS) + (batch)*p.n * (lb_bits(p.bias_type) / 8);                    \
        io.residual =                                                                              \
            LB_AT(residual, RESIDUAL) + (batch)*p.r_batch * lb_bits(p.residual_type) / 8;          \
        io.residual_scale = (const float *)LB_AT(residual_scale, RESIDUAL_SCALE);                  \
        io.d_scale = (const float *)LB_AT(d_scale, D_SCALE);                                       \
        io.d_zero = (const int *)LB_AT(d_zero, D_ZERO);                                            \
        io.d = LB_AT(d, D) + (batch)*p.d_batch * lb_bits(p.d_type) / 8;                            \
        io.residual_zero = (const int *)LB_AT(residual_zero, RESIDUAL_ZERO);                       \
        io.random = (const uint64_t *)LB_AT(random, RANDOM);                                       \
        io.first_row = (int64_t)(batch)*p.m;                                                       \
    }

#define LB_CALL static __device__ __noinline__

template <int C> struct lb_codes {
    int v[C];
};

#define LB_EACH(j) _Pragma("unroll") for (int j = 0; j < C; j++)

/* ---- Stores ---------------------------------------------------------------------------------- */

/* A vector of `bytes` bytes, for one access. */
template <int bytes> struct lb_word;
template <> struct lb_word<2> {
    typedef uint16_t type;
};
template <> struct lb_word<4> {
    typedef uint32_t type;
};
template <> struct lb_word<8> {
    typedef uint2 type;
};
template <> struct lb_word<16> {
    typedef uint4 type;
};

/* C elements, of which `count` exist: in as few accesses as the address allows. */
template <int C, typename T>
__device__ __forceinline__ void lb_store(T *at, const T (&v)[C], int count)
{
    constexpr int bytes = (int)sizeof(T) * C < 16 ? (int)sizeof(T) * C : 16;
    constexpr int each = bytes / (int)sizeof(T);
    typedef typename lb_word<bytes>::type word;
    if (count >= C && (uintptr_t)at % bytes == 0) {
#pragma unroll
        for (int j = 0; j < C; j += each) {
            union {
                T element[each];
                word all;
            } u;
#pragma unroll
            for (int i = 0; i < each; i++)
                u.element[i] = v[j + i];
            *(word *)(at + j) = u.all;
        }
        return;
    }
    LB_EACH(j)
    if (j < count)
        at[j] = v[j];
}

/* C packed codes of BITS bits, low bits first; the padding bits of the last byte are 0. */
template <int BITS, int C>
__device__ __forceinline__ void lb_store_packed(uint8_t *at, const int (&code)[C], int count)
{
    constexpr int bytes = C * BITS / 8;
    if constexpr (bytes > 0) {
        uint64_t packed = 0;
        LB_EACH(j)
        if (j < count)
            packed |= (uint64_t)((unsigned)code[j] & ((1u << BITS) - 1u)) << (j * BITS);
        int used = ((count < C ? count : C) * BITS + 7) / 8;
#pragma unroll
        for (int i = 0; i < bytes; i++)
            if (i < used)
                at[i] = (uint8_t)(packed >> (8 * i));
    }
}

/* ---- Conversion ------------------------------------------------------------------------------ */

__device__ __forceinline__ int lb_least(int type)
{
    switch (type) {
    case LB_TYPE_S32: return LB_I32_MIN;
    case LB_TYPE_S8: return -128;
    case LB_TYPE_S4: return -8;
    case LB_TYPE_S2: return -2;
    case LB_TYPE_T2: return -1;
    default: return 0;
    }
}

__device__ __forceinline__ int lb_most(int type)
{
    switch (type) {
    case LB_TYPE_S32: return LB_I32_MAX;
    case LB_TYPE_S8: return 127;
    case LB_TYPE_U8: return 255;
    case LB_TYPE_S4: return 7;
    case LB_TYPE_U4: return 15;
    case LB_TYPE_U2: return 3;
    default: return 1;
    }
}

/* + zero point, the integer clamp, saturation, and the store of integers, from column n of row m.
 */
template <int C>
LB_CALL void lb_store_codes(lb_codes<C> codes, const lb_kargs &p, const lb_io &io, int m, int n)
{
    int count = p.n - n, zero = p.flags & LB_KF_D_ZERO ? *io.d_zero : 0;
    int least = lb_least(p.d_type), most = lb_most(p.d_type), bits = lb_bits(p.d_type);
    uint8_t *at = io.d + ((int64_t)m * p.d_ld + n) * bits / 8;
    if ((p.flags & LB_KF_FIXED) && (p.flags & LB_KF_CLAMP)) {
        least = max(least, (int)p.clamp_min);
        most = max(min(most, (int)p.clamp_max), lb_least(p.d_type));
        least = min(least, lb_most(p.d_type));
    }
    int q[C];
    LB_EACH(j)
    {
        int64_t code = (int64_t)codes.v[j] + zero;
        q[j] = (int)(code < least ? least : code > most ? most : code);
    }
    switch (bits) {
    case 32: lb_store((int *)at, q, count); break;
    case 8: {
        uint8_t narrow[C];
        LB_EACH(j)
        narrow[j] = (uint8_t)q[j];
        lb_store(at, narrow, count);
        break;
    }
    case 4: lb_store_packed<4>(at, q, count); break;
    case 2: lb_store_packed<2>(at, q, count); break;
    default: lb_store_packed<1>(at, q, count); break;
    }
}

/* Stochastic rounding: four columns, from a multiple of 4 on, share a block of random words. */
LB_CALL int lb_to_stochastic(float v, const lb_kargs &p, const lb_io &io, int m, int n)
{
    lb_random4 r = lb_philox(lb_random_block(io.first_row + m, p.n, n), io.random[1], io.random[0]);
    lb_u32 low = n & 1 ? r.word[1] : r.word[0], high = n & 1 ? r.word[3] : r.word[2];
    return lb_round_stochastic(v, n & 2 ? high : low);
}

/* Conversion to D's type and the store, from column n of row m. The hardware's conversion of floats
   to integers rounds half to even, saturates and takes NaN to 0 (PTX ISA, cvt). Zero points of
   narrow types are narrow, so that saturating before the addition changes nothing. */
template <int C>
__device__ __forceinline__ void lb_convert_store(const float (&v)[C], const lb_kargs &p,
                                                 const lb_io &io, int m, int n)
{
    int count = p.n - n;
    uint8_t *at = io.d + ((int64_t)m * p.d_ld + n) * lb_bits(p.d_type) / 8;
    switch (p.d_type) {
    case LB_TYPE_F32: lb_store((float *)at, v, count); break;
    case LB_TYPE_F16:
    case LB_TYPE_BF16: {
        uint16_t h[C];
        LB_EACH(j)
        h[j] = p.d_type == LB_TYPE_F16 ? lb_f32_to_f16(v[j]) : lb_f32_to_bf16(v[j]);
        lb_store((uint16_t *)at, h, count);
        break;
    }
    default: {
        lb_codes<C> q;
        if (p.rounding == LB_ROUND_STOCHASTIC) {
            LB_EACH(j)
            q.v[j] = j < count ? lb_to_stochastic(v[j], p, io, m, n + j) : 0;
        } else {
            LB_EACH(j)
            q.v[j] = p.d_type == LB_TYPE_B1 ? v[j] >= 0.0f : __float2int_rn(v[j]);
        }
        lb_store_codes(q, p, io, m, n);
        break;
    }
    }
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* Element n + j of a padded array [..][n_pad] of the blob: always there. */
template <int C> __device__ __forceinline__ void lb_scale(float (&v)[C], const float *scale)
{
    LB_EACH(j)
    v[j] = __fmul_rn(v[j], scale[j]);
}

LB_CALL float lb_activate(float x, int activation)
{
    switch (activation) {
    case LB_ACT_RELU: return x > 0.0f ? x : 0.0f;
    case LB_ACT_SILU: return x / (1.0f + expf(-x));
    case LB_ACT_RELU6: return x > 0.0f ? (x < 6.0f ? x : 6.0f) : 0.0f;
    case LB_ACT_HARD_SWISH: {
        float gate = __fadd_rn(x, 3.0f);
        gate = gate > 0.0f ? (gate < 6.0f ? gate : 6.0f) : 0.0f;
        return __fmul_rn(__fmul_rn(x, gate), 1.0f / 6.0f);
    }
    case LB_ACT_GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case LB_ACT_GELU_TANH:
        return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * (x * x * x))));
    default: return x;
    }
}

/* Element i of a row; 0 if it is not there. */
LB_CALL float lb_element(int type, const uint8_t *row, int64_t i, bool there)
{
    return there ? lb_float_at(type, row, i) : 0.0f;
}

/* From the sum scaled by B's scale on. */
template <int C>
__device__ __forceinline__ void lb_finish_float(float (&v)[C], const lb_kargs &p, const lb_io &io,
                                                int m, int n)
{
    int count = p.n - n;
    if (p.flags & LB_KF_A_SCALE) {
        float scale = io.a_scale[p.flags & LB_KF_A_SCALE_TOKEN ? m : 0];
        LB_EACH(j)
        v[j] = __fmul_rn(v[j], scale);
    }
    if ((p.flags & LB_KF_BIAS) && p.bias_type != LB_TYPE_S32) {
        LB_EACH(j)
        v[j] = __fadd_rn(v[j], lb_element(p.bias_type, io.bias, n + j, j < count));
    }
    if (p.flags & LB_KF_RESIDUAL) {
        int64_t at = (int64_t)m * p.r_ld + n;
        bool channel = p.flags & LB_KF_RESIDUAL_SCALE_CHANNEL;
        float scale = p.flags & LB_KF_RESIDUAL_SCALE ? *io.residual_scale : 1.0f;
        float zero = p.flags & LB_KF_RESIDUAL_ZERO ? (float)*io.residual_zero : 0.0f;
        LB_EACH(j)
        if (j < count) {
            float r = lb_element(p.residual_type, io.residual, at + j, true);
            if (p.flags & LB_KF_RESIDUAL_ZERO)
                r = __fadd_rn(r, -zero); /* small integers: exact */
            v[j] = __fadd_rn(v[j], __fmul_rn(r, channel ? io.residual_scale[n + j] : scale));
        }
    }
    if (p.activation != LB_ACT_NONE) {
        LB_EACH(j)
        v[j] = lb_activate(v[j], p.activation);
    }
    if (p.flags & LB_KF_CLAMP) {
        LB_EACH(j)
        {
            v[j] = v[j] > p.clamp_min ? v[j] : p.clamp_min;
            v[j] = v[j] < p.clamp_max ? v[j] : p.clamp_max;
        }
    }
    if (p.flags & LB_KF_D_SCALE) {
        bool channel = p.flags & LB_KF_D_SCALE_CHANNEL;
        float scale = io.d_scale[p.flags & LB_KF_D_SCALE_TOKEN ? m : 0];
        LB_EACH(j)
        if (j < count)
            v[j] = __fmul_rn(v[j], channel ? io.d_scale[n + j] : scale);
    }
    lb_convert_store(v, p, io, m, n);
}

/* From the biased sum at (m, n) to its code before the zero point, in integers. D's scale and the
   residual's are (value, shift). */
LB_CALL int lb_finish_fixed(int q, const lb_kargs &p, const lb_io &io, int m, int n)
{
    const int *by = (const int *)io.d_scale, *r_by = (const int *)io.residual_scale;
    if (p.flags & LB_KF_D_SCALE_TOKEN)
        by += 2 * (int64_t)m;
    if (p.flags & LB_KF_D_SCALE_CHANNEL)
        by += 2 * (int64_t)n;
    if (p.rounding == LB_ROUND_THRESHOLD)
        return lb_threshold_bit(q, by[0], by[1]);
    if (p.flags & LB_KF_RESIDUAL) {
        int r = lb_int_at(p.residual_type, io.residual, (int64_t)m * p.r_ld + n);
        if (p.flags & LB_KF_RESIDUAL_ZERO)
            r = lb_subtract_s32(r, *io.residual_zero);
        if (p.flags & LB_KF_RESIDUAL_SCALE) {
            if (p.flags & LB_KF_RESIDUAL_SCALE_CHANNEL)
                r_by += 2 * (int64_t)n;
            r = lb_multiply(r, r_by[0], r_by[1], p.rounding);
        }
        q = lb_add_s32(q, r);
    }
    if (p.activation == LB_ACT_RELU)
        q = q > 0 ? q : 0;
    q = lb_multiply(q, by[0], by[1], p.rounding);
    if (p.activation == LB_ACT_HARD_SWISH)
        q = lb_hard_swish(q, p.act_three, p.act_shift);
    return q;
}

/* From one integer sum (zero points done, no groups) on. */
template <int C>
__device__ __forceinline__ void lb_finish_int(int (&acc)[C], const lb_kargs &p, const lb_io &io,
                                              int m, int n)
{
    int count = p.n - n;
    if ((p.flags & LB_KF_BIAS) && p.bias_type == LB_TYPE_S32) {
        LB_EACH(j)
        if (j < count)
            acc[j] = lb_add_s32(acc[j], ((const int *)io.bias)[n + j]);
    }
    if (p.flags & LB_KF_RAW) {
        if (p.activation == LB_ACT_RELU) {
            LB_EACH(j)
            acc[j] = acc[j] > 0 ? acc[j] : 0;
        }
        lb_store((int *)io.d + (int64_t)m * p.d_ld + n, acc, count);
        return;
    }
    if (p.flags & LB_KF_FIXED) {
        lb_codes<C> q;
        LB_EACH(j)
        q.v[j] = j < count ? lb_finish_fixed(acc[j], p, io, m, n + j) : 0;
        lb_store_codes(q, p, io, m, n);
        return;
    }
    float v[C];
    LB_EACH(j)
    v[j] = __int2float_rn(acc[j]);
    if (p.flags & LB_KF_B_SCALE)
        lb_scale(v, io.w_scale + n);
    lb_finish_float(v, p, io, m, n);
}

/* ---- Zero points ----------------------------------------------------------------------------- */

/* A's zero point of row m; 0 if there is none. */
__device__ __forceinline__ int lb_a_zero(const lb_kargs &p, const lb_io &io, int m)
{
    return p.flags & LB_KF_A_ZERO ? io.a_zero[p.flags & LB_KF_A_ZERO_TOKEN ? m : 0] : 0;
}

/* One group's sums of (a - za)(b - zb) from its sums of a b; sum_a is over the group's a, `length`
   its number of terms. Exact modulo 2^32, and the true value fits. */
template <int C>
__device__ __forceinline__ void lb_correct_zeros(int (&acc)[C], const lb_kargs &p, const lb_io &io,
                                                 int n, int g, int za, int sum_a, int length)
{
    int64_t at = (int64_t)g * p.n_pad + n;
    if (p.flags & LB_KF_B_ZERO) {
        unsigned with = (unsigned)sum_a - (unsigned)za * (unsigned)length;
        LB_EACH(j)
        acc[j] = (int)((unsigned)acc[j] - (unsigned)io.w_zero[at + j] * with);
    }
    if (za != 0) {
        LB_EACH(j)
        acc[j] = (int)((unsigned)acc[j] - (unsigned)io.w_sum[at + j] * (unsigned)za);
    }
}

#endif
