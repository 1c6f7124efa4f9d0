/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of codes of 1 and 2 bits by planes of bits, which tensor cores multiply at several times
 * the rate of bytes. Values are moved until they are sums of planes, a' = a + ca = sum_i f_i x_i
 * and b' = b + cb = sum_j g_j y_j with x_i, y_j in {0, 1} and factors of 1 and 2:
 *
 *     s2, t2   a' = 2 ~bit1 + bit0,   c = 2
 *     u2       a' = 2 bit1 + bit0,    c = 0
 *     b1       a' = 2 bit,            c = 1
 *     t2 as W  b' = [b >= 0] + [b > 0], c = 1     both of factor 1; W of t2 has no code 10
 *
 *     sum a' b' = sum_ij f_i g_j popc(x_i & y_j)
 *     sum a b   = sum a' b' - ca sum b - cb sum a'
 *
 * Sums of one factor of A share a register, H of x_1 (factor 2) and L of x_0 (1); of two factors on
 * both sides, x_1 y_1 counts twice in H, and so do x_1 y_0 and x_0 y_1 once:
 *
 *     A       W       sum a' b'     products
 *     2 bits  t2      2 H + L       H: x1 y0, x1 y1   L: x0 y0, x0 y1
 *     2 bits  s2, u2  2 H + L       H: x1 y1 twice, x1 y0, x0 y1   L: x0 y0
 *     2 bits  b1      4 H + 2 L     H: x1 y           L: x0 y
 *     b1      t2      2 H           H: x y0, x y1
 *     b1      s2, u2  2 H           H: x y1 twice, x y0
 *
 * (A of t2 is not made of [a >= 0] and [a > 0]: its spare code, which counts as -2, would be lost.)
 *
 * All is exact modulo 2^32. Sums may run over padded k: there codes of 2 bits are 0, whose terms
 * a b are 0, and so the identity still holds with sum a' over the padding too; bits of A have
 * a' = 0 there, as do bits of W, whose missing cb = b' is put back where A's a' is not 0.
 */
#ifndef LB_PLANES_CUH
#define LB_PLANES_CUH

#include "tile.cuh"

/* What W's planes are. */
enum lb_plane_kind { LB_PLANES_BIT, LB_PLANES_BINARY, LB_PLANES_TERNARY };

/* All ones if bit 1 of a type's codes counts turned round. */
LB_DEVICE uint32_t lb_plane_flip(int type)
{
    return type == LB_TYPE_S2 || type == LB_TYPE_T2 ? 0xffffffffu : 0;
}

/* c: what is added to values. */
LB_DEVICE int lb_plane_shift(int type)
{
    return type == LB_TYPE_B1 ? 1 : type == LB_TYPE_U2 ? 0 : 2;
}

/* Two words of 16 codes of 2 bits to their upper and lower bits: those of the first word at even
   places, of the second at odd ones. */
LB_DEVICE void lb_split_planes(uint32_t first, uint32_t second, uint32_t &high, uint32_t &low)
{
    high = (first >> 1 & 0x55555555u) | (second & 0xaaaaaaaau);
    low = (first & 0x55555555u) | (second << 1 & 0xaaaaaaaau);
}

/* W's upper and lower bits to planes: y_1 and y_0, or [b >= 0] and [b > 0]. */
template <lb_plane_kind KIND>
LB_DEVICE void lb_weight_planes(uint32_t &high, uint32_t &low, uint32_t flip)
{
    if constexpr (KIND == LB_PLANES_TERNARY) {
        high = ~high;
        low &= high;
    } else {
        high ^= flip;
    }
}

/* From planes' sums of a column to sums of products: 2 H + L (or twice that) + plus - times sum a',
   zero points of W done. */
struct lb_plane_column {
    unsigned times, plus;
};

/* Of column n, whose products ran over `padded` of k. */
template <int A_BITS, lb_plane_kind KIND>
LB_DEVICE lb_plane_column lb_plane_column_of(const lb_kargs &p, const lb_io &io, int n, int padded)
{
    unsigned ca = (unsigned)lb_plane_shift(p.a_type);
    unsigned cb = KIND == LB_PLANES_TERNARY ? 1 : (unsigned)lb_plane_shift(p.b_type);
    unsigned zb = p.flags & LB_KF_B_ZERO ? (unsigned)io.w_zero[n] : 0;
    unsigned length = (unsigned)(A_BITS == 2 ? padded : p.k); /* sum a = sum a' - ca length */
    unsigned plus = zb * ca * length - ca * (unsigned)io.w_sum[n];
    if (A_BITS == 2 && KIND == LB_PLANES_BIT)
        plus += cb * ca * (unsigned)(padded - p.k);
    return {cb + zb, plus};
}

/* 2 H + L, or what the table above says. */
template <int A_BITS, lb_plane_kind KIND> LB_DEVICE unsigned lb_plane_sum(int high, int low)
{
    unsigned sum = 2 * (unsigned)high + (A_BITS == 2 ? (unsigned)low : 0);
    return KIND == LB_PLANES_BIT ? 2 * sum : sum;
}

/* A's zero points, the last step: sums of (a - za)(b - zb) from those of a (b - zb). */
template <int C>
LB_DEVICE void lb_plane_zeros(int (&sums)[C], const lb_kargs &p, const lb_io &io, int m, int n)
{
    unsigned za = (unsigned)lb_a_zero(p, io, m);
#pragma unroll
    for (int j = 0; za != 0 && j < C; j++) {
        unsigned zb = p.flags & LB_KF_B_ZERO ? (unsigned)io.w_zero[n + j] : 0;
        sums[j] = (int)((unsigned)sums[j] - za * ((unsigned)io.w_sum[n + j] - zb * (unsigned)p.k));
    }
}

#endif
