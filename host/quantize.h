/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of quantising with scales that are made on the way, in one text for every backend
 * (as requantise.h, after which it stands): integers and f32 additions, multiplications and rint,
 * whose results are the same everywhere. Division, which devices may round otherwise, is done in
 * integers.
 */
#ifndef LB_QUANTIZE_H
#define LB_QUANTIZE_H

#if defined(__OPENCL_VERSION__)
#define LB_RINT(x) rint(x)
#define LB_FLOAT_BITS(x) as_uint(x)
#define LB_BITS_FLOAT(x) as_float(x)
#elif defined(__CUDACC__) || defined(LB_COMMON_CUH) /* which tests compile for the host */
#define LB_RINT(x) rintf(x)
#define LB_FLOAT_BITS(x) __float_as_uint(x)
#define LB_BITS_FLOAT(x) __uint_as_float(x)
#else
#include <string.h>

#include "lowbit/lowbit.h"
#include "requantise.h"
#define LB_RINT(x) rintf(x)
#define LB_FLOAT_BITS(x) lb_float_bits(x)
#define LB_BITS_FLOAT(x) lb_bits_float(x)
LB_FN lb_u32 lb_float_bits(float x)
{
    lb_u32 bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
LB_FN float lb_bits_float(lb_u32 bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
#endif

#define LB_QUANT_IS_SYMMETRIC 0 /* lb_quant_scheme */
#define LB_QUANT_IS_ASYMMETRIC 2

/* Sizes are cut here, and ranges below count as none: then no step meets a denormal or an infinity.
 */
#define LB_QUANT_MOST 0x1p120f
#define LB_QUANT_LEAST 0x1p-100f

/* a / b to nearest even, for a >= 0 (denormals count as 0) and b > 0 whose quotient is normal. */
LB_FN float lb_divide(float a, float b)
{
    lb_u32 x = LB_FLOAT_BITS(a), y = LB_FLOAT_BITS(b);
    lb_u64 top = (x & 0x7fffffu) | 0x800000u, under = (y & 0x7fffffu) | 0x800000u;
    lb_i32 exponent = (lb_i32)(x >> 23) - (lb_i32)(y >> 23) + 127;
    if (x < 0x800000u)
        return 0.0f;
    if (top < under) {
        top <<= 1;
        exponent--;
    }
    lb_u64 lifted = top << 24, quotient = lifted / under; /* 25 bits: one more than kept */
    lb_u32 kept = (lb_u32)(quotient >> 1), half_unit = (lb_u32)quotient & 1u;
    lb_u32 more = (lifted - quotient * under != 0) | (kept & 1u);
    /* A carry out of the fraction is one more in the exponent, as it should be. */
    return LB_BITS_FLOAT(((lb_u32)exponent << 23) + (kept - 0x800000u) + (half_unit & more));
}

/* What the codes of a type are and a scheme makes of them. */
typedef struct lb_grid {
    lb_i32 least, most; /* codes */
    lb_i32 zero;        /* symmetric schemes: the zero point */
    float half_span;    /* symmetric schemes: the size that the largest |x| gets */
} lb_grid;

LB_FN lb_grid lb_grid_of(lb_i32 type, lb_i32 scheme)
{
    lb_i32 bits = type == LB_TYPE_S8 || type == LB_TYPE_U8   ? 8
                  : type == LB_TYPE_S4 || type == LB_TYPE_U4 ? 4
                                                             : 2;
    lb_i32 top = (1 << (bits - 1)) - 1; /* of the signed type */
    lb_grid grid;
    grid.zero = type == LB_TYPE_U8 || type == LB_TYPE_U4 || type == LB_TYPE_U2 ? top + 1 : 0;
    grid.most = top + grid.zero;
    grid.least = grid.most - 2 * top - 1;
    grid.half_span = (float)top + 0.5f;
    if (scheme == LB_QUANT_IS_SYMMETRIC || type == LB_TYPE_T2) {
        grid.least++;
        grid.half_span = (float)top;
    }
    return grid;
}

/* rint(x / scale) for |scale| from 2^-108 to 2^120, `inverse` being lb_divide(1, scale); results
   beyond 1024, where all types saturate, are cut there; NaN gives 0. Only where the product is near
   a tie does the quotient decide. */
LB_FN lb_i32 lb_quantize_round(float x, float scale, float inverse)
{
    float y = x * inverse;
    if (x != x)
        return 0;
    if (y >= 1024.0f || y <= -1024.0f)
        return y > 0.0f ? 1024 : -1024;
    float nearest = LB_RINT(y), rest = y - nearest;
    if (rest < 0.5f - 0x1p-11f && rest > -0.5f + 0x1p-11f)
        return (lb_i32)nearest;
    float quotient = lb_divide(x < 0.0f ? -x : x, scale);
    return (lb_i32)LB_RINT(x < 0.0f ? -quotient : quotient);
}

LB_FN lb_i32 lb_quantize_code(float x, float scale, float inverse, lb_i32 zero, lb_i32 least,
                              lb_i32 most)
{
    lb_i32 q = lb_quantize_round(x, scale, inverse) + zero;
    return q < least ? least : q > most ? most : q;
}

LB_FN float lb_quantize_cut(float x)
{
    return x > LB_QUANT_MOST ? LB_QUANT_MOST : x < -LB_QUANT_MOST ? -LB_QUANT_MOST : x;
}

/* The scale for values up to `size`; 1 for none. */
LB_FN float lb_symmetric_scale(float size, float half_span)
{
    size = lb_quantize_cut(size);
    return size < LB_QUANT_LEAST ? 1.0f : lb_divide(size, half_span);
}

/* The scale for values from `least` to `most`, extended to 0, and the code of 0. */
LB_FN float lb_asymmetric_scale(float least, float most, lb_grid grid, lb_i32 *zero)
{
    least = least < 0.0f ? lb_quantize_cut(least) : 0.0f;
    most = most > 0.0f ? lb_quantize_cut(most) : 0.0f;
    float range = most - least;
    *zero = grid.zero;
    if (range < LB_QUANT_LEAST)
        return 1.0f;
    float scale = lb_divide(range, (float)(grid.most - grid.least));
    lb_i32 below = (lb_i32)LB_RINT((float)grid.least + lb_divide(-least, scale));
    *zero = below < grid.least ? grid.least : below > grid.most ? grid.most : below;
    return scale;
}

/*
 * The mean of |x| from integers, so that the order of the sum does not matter: `total` is the sum
 * of lb_mean_term(x, lb_mean_unit(size)) over count values of at most `size`. 1 for a size of none.
 */
LB_FN float lb_mean_unit(float size)
{
    return size < LB_QUANT_LEAST ? 0.0f : lb_divide(65536.0f, lb_quantize_cut(size));
}

LB_FN lb_u32 lb_mean_term(float x, float unit)
{
    float size = lb_quantize_cut(x < 0.0f ? -x : x) * unit;
    return size == size ? (lb_u32)LB_RINT(size) : 0u;
}

LB_FN float lb_mean_size(lb_u64 total, lb_u64 count, float size)
{
    if (size < LB_QUANT_LEAST || count == 0 || total == 0)
        return 1.0f;
    lb_u64 share = (total * 256 + count / 2) / count; /* of 2^24 */
    float mean = lb_quantize_cut(size) * ((float)share * 0x1p-24f);
    return mean < LB_QUANT_LEAST ? 1.0f : mean;
}

/* ---- RMSNorm ----------------------------------------------------------------------------------
 */

/*
 * y = x * inverse * weight, the inverse of the root of the mean square made once per row. Squares
 * are added in LB_NORM_WAYS ways of 16 lanes, column c to lane c % 16 of way c / 16 % LB_NORM_WAYS,
 * in the order of c; then a way's lanes by halves (l and l + 8, 4, 2, 1), then the ways by halves.
 * Squares and values that are too small count as 0, so that no step meets a denormal.
 */
#define LB_NORM_WAYS 128
#define LB_NORM_MOST 0x1p48f /* larger sizes count as this in the sum */
#define LB_NORM_LEAST_SQUARE 0x1p-80f
#define LB_NORM_LEAST_EPSILON 1e-12f /* above 2^-40 */

/* The square root of a normal a > 0, to nearest; there are no ties. */
LB_FN float lb_sqrt(float a)
{
    lb_u32 x = LB_FLOAT_BITS(a), exponent = x >> 23, odd = (exponent & 1u) ^ 1u;
    lb_u64 square = (lb_u64)((x & 0x7fffffu) | 0x800000u) << (25u + odd); /* 2^48 up to 2^50 */
    lb_u64 root = 0;                                                      /* 25 bits */
    for (lb_u64 bit = (lb_u64)1 << 24; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= square)
            root |= bit;
    lb_u32 kept = (lb_u32)(root >> 1) + (lb_u32)(root & 1u);
    return LB_BITS_FLOAT(((exponent + 127u - odd) / 2u << 23) + (kept - 0x800000u));
}

LB_FN float lb_norm_square(float x)
{
    float size = x < 0.0f ? -x : x;
    size = size > LB_NORM_MOST ? LB_NORM_MOST : size;
    float square = size * size;
    return square >= LB_NORM_LEAST_SQUARE ? square : 0.0f; /* NaN: 0 */
}

LB_FN float lb_norm_inverse(float total, lb_i32 count, float epsilon)
{
    return lb_divide(1.0f, lb_sqrt(lb_divide(total, (float)count) + epsilon));
}

LB_FN float lb_norm_cut(float x)
{
    return x < LB_QUANT_LEAST && x > -LB_QUANT_LEAST ? 0.0f : x;
}

LB_FN float lb_norm_value(float x, float inverse, float weight)
{
    return lb_norm_cut(lb_norm_cut(x * inverse) * weight);
}

/* ---- The argument block of a device's quantiser ---------------------------------------------- */

#define LB_QUANT_PTRS 6 /* x, codes, scales, zeros, sums, norm_weight */

typedef struct lb_quant_kargs {
    lb_i32 rows, cols, type, x_type, scheme, has_zeros, has_sums, norm_type;
    lb_i64 x_ld, row_bytes;
    lb_u64 offset[LB_QUANT_PTRS]; /* bytes, added to each pointer */
    float norm_epsilon;
    lb_i32 reserved;
} lb_quant_kargs;

#endif
