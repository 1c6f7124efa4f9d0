/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights of up to 8 bits and activations of f16 or bf16, on mma.sync (mma_float.cuh). Weights are
 * widened to A's type, their zero points taken off: both exact, since |b - zb| <= 255.
 *
 *     sum_g scale[g,n] * sum_{k in g} a (b - zb)
 *
 * An unsigned byte u becomes a float by being put into the low mantissa bits of a power of two P;
 * P + u - (P + zero) is then exact. f16: P = 2^10, two at a time. bf16 has too few bits for that,
 * so it goes by f32, P = 2^23, whose high half is the bf16.
 *
 * Constraints: those of mma_float.cuh.
 */
// archs: 75 80+ 90a
#include "mma_float.cuh"

namespace
{

/* Four unsigned bytes less `zero` (0 to 383) as four f16 or bf16. */
template <bool BF16> LB_DEVICE uint2 four(uint32_t u, int zero)
{
    uint2 d;
    if constexpr (BF16) {
        float z = 8388608.0f + (float)zero, v[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = __fadd_rn(__uint_as_float(0x4b000000u | ((u >> (8 * i)) & 0xffu)), -z);
        d.x = lb_bytes(__float_as_uint(v[0]), __float_as_uint(v[1]), 0x7632);
        d.y = lb_bytes(__float_as_uint(v[2]), __float_as_uint(v[3]), 0x7632);
    } else {
        uint32_t z = (0x6400u + (uint32_t)zero) * 0x10001u;
        d.x = lb_sub_f16x2(lb_bytes(u, 0x64646464u, 0x4140), z);
        d.y = lb_sub_f16x2(lb_bytes(u, 0x64646464u, 0x4342), z);
    }
    return d;
}

template <bool BF16> struct integers {
    static constexpr bool BRIEF = true; /* tile.cuh */
    static constexpr int PLANES = 1;
    struct unit {
        uint4 raw;
        int zero;
    };
    lb_float_codes codes;
    uint32_t turn; /* makes decoded bytes unsigned */
    int off;       /* and is undone with the zero point */

    LB_DEVICE integers(const lb_kargs &p, const uint8_t *w, const lb_tile &tile) : codes(p, w, tile)
    {
        bool is_signed = p.b_type != LB_TYPE_U8 && p.b_type != LB_TYPE_U4 && p.b_type != LB_TYPE_U2;
        turn = is_signed ? 0x80808080u : 0;
        off = is_signed ? 128 : 0;
    }
    LB_DEVICE void fetch(unit &u, const lb_kargs &p, const lb_io &io, int row, int at, int s) const
    {
        u.raw = codes.fetch(row, at, s);
        u.zero = off;
        if (p.flags & LB_KF_B_ZERO)
            u.zero += io.w_zero[codes.at_group(p, row, at, s)];
    }
    LB_DEVICE void widen(uint4 (&wide)[1][2], const unit &u) const
    {
        uint4 b = codes.decode(u.raw);
        uint2 d[4] = {four<BF16>(b.x ^ turn, u.zero), four<BF16>(b.y ^ turn, u.zero),
                      four<BF16>(b.z ^ turn, u.zero), four<BF16>(b.w ^ turn, u.zero)};
        wide[0][0] = make_uint4(d[0].x, d[0].y, d[1].x, d[1].y);
        wide[0][1] = make_uint4(d[2].x, d[2].y, d[3].x, d[3].y);
    }
    template <int NI>
    static LB_DEVICE void multiply(float (&acc)[NI][4], const uint32_t (&a)[4],
                                   const uint32_t (&b)[NI][1][2])
    {
#pragma unroll
        for (int ni = 0; ni < NI; ni++)
            lb_mma_f16<BF16>(acc[ni], a, b[ni][0]);
    }
};

} // namespace

#define KERNEL(name, bm, bn, wm, wn, stages, split, bf16, grouped)                                 \
    extern "C" __global__ void __launch_bounds__(wm *wn * 32, 1) name(LB_ARGUMENTS)                \
    {                                                                                              \
        lb_float_product<bm, bn, wm, wn, stages, integers<bf16>, grouped, split> x;                \
        x.run(LB_PASS);                                                                            \
    }

/* The variants that kernels.c names: the type of A, and groups. */
#define TYPES(size, ...)                                                                           \
    KERNEL(mma_f16_##size, __VA_ARGS__, false, false)                                              \
    KERNEL(mma_f16_##size##_g, __VA_ARGS__, false, true)                                           \
    KERNEL(mma_bf16_##size, __VA_ARGS__, true, false)                                              \
    KERNEL(mma_bf16_##size##_g, __VA_ARGS__, true, true)

TYPES(128, 128, 128, 2, 4, 3, false)
TYPES(64, 64, 128, 2, 4, 4, false)
TYPES(16, 16, 128, 1, 8, 4, false)
TYPES(64k, 64, 128, 2, 4, 4, true)
TYPES(16k, 16, 128, 1, 8, 4, true)
