/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights of 4 or 2 bits that stand for entries of a table of f32 (NF4, or any grid), and
 * activations of f16 or bf16, on mma.sync (mma_float.cuh).
 *
 *     sum_g scale[g,n] * sum_{k in g} a table[b]
 *
 * An entry t is multiplied as two bf16, its first 8 bits and 8 of what is left: t = t0 + t1 up to
 * 2^-14 |t|, whatever its size, which f16 would limit. An a of f16 has 11 bits and is two bf16
 * exactly: a = a0 + a1, and a t = a0 t0 + a0 t1 + a1 t0 up to 2^-13 |a t| (docs/numerics.md allows
 * 2^-11). An a that is not finite is a0.
 *
 * Constraints: those of mma_float.cuh.
 */
// archs: 80+ 90a
#include "mma_float.cuh"

namespace
{

/* The high halves of two floats, low one first. */
LB_DEVICE uint32_t high_halves(float low, float high)
{
    return lb_bytes(__float_as_uint(low), __float_as_uint(high), 0x7632);
}

/* What the high half leaves. */
LB_DEVICE float without_high(float v)
{
    uint32_t bits = __float_as_uint(v);
    bool finite = (bits & 0x7f800000u) != 0x7f800000u;
    return finite ? __fadd_rn(v, -__uint_as_float(bits & 0xffff0000u)) : 0.0f;
}

template <bool BF16> struct tables {
    static constexpr bool BRIEF = false; /* tile.cuh */
    static constexpr int PLANES = 2;
    struct unit {
        uint4 raw;
        const float *table;
    };
    lb_float_codes codes;
    const float *first;

    LB_DEVICE tables(const lb_kargs &p, const uint8_t *w, const lb_tile &tile) : codes(p, w, tile)
    {
        first = (const float *)(w + p.w_table + tile.batch * p.w_table_batch);
    }
    LB_DEVICE void fetch(unit &u, const lb_kargs &p, const lb_io &, int row, int at, int s) const
    {
        u.raw = codes.fetch(row, at, s);
        int64_t own = p.flags & LB_KF_TABLE_GROUP ? codes.at_group(p, row, at, s) : 0;
        u.table = first + (own << codes.bits);
    }
    LB_DEVICE void widen(uint4 (&wide)[2][2], const unit &u) const
    {
        uint4 b = codes.decode(u.raw);
        uint32_t four[4] = {b.x, b.y, b.z, b.w}, d[2][8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            uint32_t two = four[i / 2] >> (i % 2 * 16);
            float low = u.table[two & 15u], high = u.table[(two >> 8) & 15u];
            d[0][i] = high_halves(low, high);
            d[1][i] = high_halves(without_high(low), without_high(high));
        }
#pragma unroll
        for (int plane = 0; plane < 2; plane++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                wide[plane][half] = make_uint4(d[plane][4 * half], d[plane][4 * half + 1],
                                               d[plane][4 * half + 2], d[plane][4 * half + 3]);
    }
    template <int NI>
    static LB_DEVICE void multiply(float (&acc)[NI][4], const uint32_t (&a)[4],
                                   const uint32_t (&b)[NI][2][2])
    {
        uint32_t high[4], rest[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            high[i] = a[i], rest[i] = 0;
            if constexpr (!BF16) {
                float x = lb_f16_to_f32((uint16_t)a[i]), y = lb_f16_to_f32((uint16_t)(a[i] >> 16));
                high[i] = high_halves(x, y);
                rest[i] = high_halves(without_high(x), without_high(y));
            }
        }
#pragma unroll
        for (int ni = 0; ni < NI; ni++) {
            if constexpr (!BF16)
                lb_mma_f16<true>(acc[ni], rest, b[ni][0]);
            lb_mma_f16<true>(acc[ni], high, b[ni][1]);
            lb_mma_f16<true>(acc[ni], high, b[ni][0]);
        }
    }
};

} // namespace

#define KERNEL(name, bm, bn, wm, wn, stages, split, bf16, grouped)                                 \
    extern "C" __global__ void __launch_bounds__(wm *wn * 32, 1) name(LB_ARGUMENTS)                \
    {                                                                                              \
        lb_float_product<bm, bn, wm, wn, stages, tables<bf16>, grouped, split> x;                  \
        x.run(LB_PASS);                                                                            \
    }

/* The variants that kernels.c names: the type of A, and groups. */
#define TYPES(size, ...)                                                                           \
    KERNEL(mma_table_##size##_f16, __VA_ARGS__, false, false)                                      \
    KERNEL(mma_table_##size##_f16g, __VA_ARGS__, false, true)                                      \
    KERNEL(mma_table_##size##_bf16, __VA_ARGS__, true, false)                                      \
    KERNEL(mma_table_##size##_bf16g, __VA_ARGS__, true, true)

TYPES(128, 128, 128, 2, 4, 3, false)
TYPES(64, 64, 128, 2, 4, 3, false)
TYPES(16, 16, 128, 1, 8, 4, false)
TYPES(16k, 16, 128, 1, 8, 4, true)
