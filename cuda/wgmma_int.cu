/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of up to 8 bits on both sides, on wgmma s8, 128 of k a stage (wgmma.cuh).
 *
 *     sum_g scale[g,n] * (sum_{k in g} a (b - zb) - za sum (b - zb))
 *
 * Zero points of W are subtracted when it is widened, so W of 8 bits has none here; scales of two
 * levels are multiplied with there, four values at a time, so that all of k stays one integer sum.
 *
 * Constraints: weights in frag64x128; groups of a multiple of 32.
 */
// archs: 90a
#include "wgmma.cuh"

namespace
{

enum scales {
    CHANNEL, /* or none */
    GROUPED, /* along k, so that sums are of one group and added up in f32 */
    STEPPED, /* of two levels */
};

/* BT rows of D; BITS, W_U: of W; A_U: A is u8. */
template <int BT, int BITS, bool W_U, bool A_U, scales SCALES> struct product {
    static constexpr int ROWS = BT, BK = 128, STEPS = 4; /* products a stage, of 32 of k */
    static constexpr int WORDS = 2 * BITS;               /* of W, a thread and stage */
    static constexpr int ACC = BT / 2;
    typedef lb_ring<BT, BK, BITS,
                    SCALES == STEPPED   ? LB_WG_STEPS
                    : SCALES == GROUPED ? LB_WG_SUMS
                                        : LB_WG_NONE>
        ring;
    typedef lb_no_count count;
    static constexpr int FILLER_REGISTERS = 40, REGISTERS = 232;

    int acc[ACC];
    float total[SCALES == GROUPED ? ACC : 1];

    /* ---- Widening ---------------------------------------------------------------------------- */

    /* From codes to bytes: ((code ^ flip) | 128) - less, the sign back. */
    struct widening {
        uint32_t flip, less[2]; /* less: of rows g and g + 8 */
    };

    static LB_DEVICE widening widening_of(const lb_kargs &p, const int (&zero)[2])
    {
        lb_decoder d = lb_decoder_of(p.b_type);
        uint32_t bias = d.turn ? 0x80808080u - d.add : 0;
        return {d.flip | 0x80808080u,
                {bias + 0x01010101u * (uint32_t)zero[0], bias + 0x01010101u * (uint32_t)zero[1]}};
    }

    static LB_DEVICE void widen(uint32_t (&fragment)[4], const uint32_t (&raw)[WORDS], int step,
                                const widening &x)
    {
        constexpr int FIELDS = 8 / BITS;
        constexpr uint32_t mask = BITS == 4 ? 0x0f0f0f0fu : BITS == 2 ? 0x03030303u : 0x02020202u;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            int q = 4 * step + r, field = q % FIELDS;
            uint32_t v = raw[q / FIELDS];
            if constexpr (BITS == 1) /* twice the bit */
                v = field ? v >> (field - 1) : v << 1;
            else
                v >>= BITS * field;
            fragment[r] = BITS == 8 ? v : (((v & mask) ^ x.flip) - x.less[r & 1]) ^ 0x80808080u;
        }
    }

    /* ---- Zero points and groups -------------------------------------------------------------- */

    /* Sum of a column's b - zb over `length` of k. */
    static LB_DEVICE unsigned column_sum(const lb_kargs &p, const lb_io &io, int64_t at, int length)
    {
        unsigned zero = p.flags & LB_KF_B_ZERO ? (unsigned)io.w_zero[at] : 0;
        return (unsigned)io.w_sum[at] - zero * (unsigned)length;
    }

    /* A's zero points of all rows into the slab, for close_group. */
    static LB_DEVICE void note_zeros(const lb_kargs &p, const lb_io &io, int m0)
    {
        static_assert(BT * 4 <= LB_SLAB || SCALES != GROUPED, "one zero point a row");
        for (int i = (int)threadIdx.x % 32; i < BT; i += 32)
            lb_wg_slab<int>()[i] = lb_a_zero(p, io, min(m0 + i, p.m - 1));
        __syncwarp();
    }

    /* What a group has of rows g and g + 8 of W. */
    struct group {
        widening x;
        float scale[2];
        unsigned sum[2]; /* of b - zb */
    };

    static LB_DEVICE group group_of(const lb_kargs &p, const typename ring::stage &from, int step,
                                    int column, int g)
    {
        int length = min(p.group, p.k - g * p.group), zero[2] = {0, 0};
        group made;
        step = ring::by_stages(p) ? 0 : step;
        for (int half = 0; half < 2; half++) {
            int at = column + 8 * half;
            if (p.flags & LB_KF_B_ZERO)
                zero[half] = ring::template value_at<int>(from, LB_WG_ZERO, step, at);
            made.scale[half] = ring::template value_at<float>(from, LB_WG_SCALE, step, at);
            made.sum[half] = 0;
            if (p.flags & LB_KF_A_ZERO)
                made.sum[half] = ring::template value_at<unsigned>(from, LB_WG_SUM, step, at) -
                                 (unsigned)zero[half] * (unsigned)length;
        }
        made.x = widening_of(p, zero);
        return made;
    }

    /* The sums of a group, scaled, to the total. */
    LB_DEVICE void close_group(const lb_kargs &p, const group &of)
    {
        int c = (int)threadIdx.x % 4;
#pragma unroll
        for (int i = 0; i < ACC; i++) {
            int half = i / 2 % 2;
            unsigned v = (unsigned)acc[i];
            if (p.flags & LB_KF_A_ZERO)
                v -= (unsigned)lb_wg_slab<int>()[i / 4 * 8 + 2 * c + i % 2] * of.sum[half];
            total[i] = __fadd_rn(total[i], __fmul_rn(__int2float_rn((int)v), of.scale[half]));
        }
    }

    /* ---- A tile ------------------------------------------------------------------------------ */

    bool add; /* to the sums that are there */

    LB_DEVICE void multiply_plain(const lb_kargs &p, const lb_io &io, int n, unsigned stages,
                                  unsigned &s)
    {
        uint32_t fragments[2][STEPS][4];
        int zero[2] = {0, 0};
        if (p.flags & LB_KF_B_ZERO)
            zero[0] = io.w_zero[n], zero[1] = io.w_zero[n + 8];
        widening x = widening_of(p, zero);
        auto step = [&](uint32_t(&fragment)[STEPS][4], unsigned at) {
            uint32_t raw[WORDS];
            uint64_t tile = lb_tile_descriptor(ring::take(at, raw).a);
#pragma unroll
            for (int i = 0; i < STEPS; i++)
                widen(fragment[i], raw, i, x);
            lb_wgmma_fence();
#pragma unroll
            for (int i = 0; i < STEPS; i++) {
                lb_wgmma_s8<BT, W_U, A_U>(acc, fragment[i], tile + 2 * i, add);
                add = true;
            }
        };
        lb_wg_stages<ring>(fragments, s, stages, step, [](unsigned) {});
    }

    /* With the words of rows g and g + 8. */
    static LB_DEVICE void widen_steps(uint32_t (&fragment)[4], const uint32_t (&raw)[WORDS],
                                      int step, uint32_t flip, const lb_stepper (&x)[2])
    {
        constexpr uint32_t mask = BITS == 4 ? 0x0f0f0f0fu : 0x03030303u;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            int q = 4 * step + r;
            uint32_t v = raw[q / (8 / BITS)] >> (BITS * (q % (8 / BITS)));
            fragment[r] = lb_step4((v & mask) ^ flip, x[r & 1]);
        }
    }

    LB_DEVICE void multiply_steps(const lb_kargs &p, int column, unsigned stages, unsigned &s)
    {
        uint32_t fragments[2][STEPS][4];
        lb_decoder decoder = lb_decoder_of(p.b_type);
        int bias = lb_step_bias(decoder);
        bool by_stages = ring::by_stages(p);
        auto step = [&](uint32_t(&fragment)[STEPS][4], unsigned at) {
            uint32_t raw[WORDS];
            typename ring::stage from = ring::take(at, raw);
            uint64_t tile = lb_tile_descriptor(from.a);
#pragma unroll
            for (int i = 0; i < STEPS; i++) {
                int row = by_stages ? 0 : i;
                const lb_stepper x[2] = {
                    lb_stepper_of(ring::template value_at<int>(from, 0, row, column), bias),
                    lb_stepper_of(ring::template value_at<int>(from, 0, row, column + 8), bias)};
                widen_steps(fragment[i], raw, i, decoder.flip, x);
            }
            lb_wgmma_fence();
#pragma unroll
            for (int i = 0; i < STEPS; i++) {
                lb_wgmma_s8<BT, W_U, A_U>(acc, fragment[i], tile + 2 * i, add);
                add = true;
            }
        };
        lb_wg_stages<ring>(fragments, s, stages, step, [](unsigned) {});
    }

    LB_DEVICE void multiply_groups(const lb_kargs &p, const lb_io &io, int m0, int column,
                                   const lb_wg_part &part, unsigned &s)
    {
        unsigned end = s + part.stages;
        int g = (int)part.first * BK / p.group, until = p.group;
        int last = (min((int)(part.first + part.stages) * BK, p.k) - 1) / p.group;
        uint32_t fragment[STEPS][4];
        group now;
        note_zeros(p, io, m0);
#pragma unroll 1
        for (; s < end; s++) {
            uint32_t raw[WORDS];
            typename ring::stage from = ring::take(s, raw);
            uint64_t tile = lb_tile_descriptor(from.a);
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
                if (until == p.group)
                    now = group_of(p, from, step, column, g);
                widen(fragment[step], raw, step, now.x);
                lb_wgmma_fence();
                lb_wgmma_s8<BT, W_U, A_U>(acc, fragment[step], tile + 2 * step, add);
                lb_wgmma_commit();
                add = true;
                until -= 32;
                if (until == 0 && g < last) {
                    lb_wgmma_wait<0>();
                    close_group(p, now);
                    g++;
                    until = p.group;
                    add = false;
                }
            }
            lb_wgmma_wait<0>();
            ring::give_back(s);
        }
        close_group(p, now);
    }

    LB_DEVICE void make(const lb_kargs &p, const lb_io &io, int m0, int n0, const lb_wg_part &part,
                        unsigned &s)
    {
        int n = n0 + (int)threadIdx.x % 32 / 4;
        add = false;
#pragma unroll
        for (int i = 0; i < ACC; i++)
            acc[i] = 0;
        if constexpr (SCALES == GROUPED) {
#pragma unroll
            for (int i = 0; i < ACC; i++)
                total[i] = 0.0f;
            multiply_groups(p, io, m0, n % LB_WG_COLUMNS, part, s);
            lb_wg_finish<BT>(total, p, io, part, m0, n0, true, [](lb_eight<float> &, int, int) {});
        } else {
            if constexpr (SCALES == STEPPED)
                multiply_steps(p, n % LB_WG_COLUMNS, part.stages, s);
            else
                multiply_plain(p, io, n, part.stages, s);
            lb_wg_finish<BT>(
                acc, p, io, part, m0, n0, false, [&](lb_eight<int> &eight, int m, int column) {
                    unsigned za = (unsigned)lb_a_zero(p, io, m);
#pragma unroll
                    for (int j = 0; za != 0 && j < 8; j++)
                        eight.v[j] =
                            (int)((unsigned)eight.v[j] - za * column_sum(p, io, column + j, p.k));
                });
        }
    }
};

} // namespace

#define KERNEL(name, ...)                                                                          \
    extern "C" __global__ void __launch_bounds__(LB_WG_THREADS, 1) name(LB_ARGUMENTS)              \
    {                                                                                              \
        lb_wg_run<product<__VA_ARGS__>>(LB_PASS);                                                  \
    }

/* The variants that kernels.c names: A unsigned, W's sign and bits; by groups; of two levels. */
#define VARIANTS(name, bt, g, grouped)                                                             \
    KERNEL(name##_s8##g, bt, 8, false, false, grouped)                                             \
    KERNEL(name##_u8##g, bt, 8, true, false, grouped)                                              \
    KERNEL(name##_s4##g, bt, 4, false, false, grouped)                                             \
    KERNEL(name##_s2##g, bt, 2, false, false, grouped)                                             \
    KERNEL(name##_s1##g, bt, 1, false, false, grouped)                                             \
    KERNEL(name##_as8##g, bt, 8, false, true, grouped)                                             \
    KERNEL(name##_au8##g, bt, 8, true, true, grouped)                                              \
    KERNEL(name##_as4##g, bt, 4, false, true, grouped)                                             \
    KERNEL(name##_as2##g, bt, 2, false, true, grouped)                                             \
    KERNEL(name##_as1##g, bt, 1, false, true, grouped)
#define STEPS(name, bt)                                                                            \
    KERNEL(name##_s4t, bt, 4, false, false, STEPPED)                                               \
    KERNEL(name##_s2t, bt, 2, false, false, STEPPED)                                               \
    KERNEL(name##_as4t, bt, 4, false, true, STEPPED)                                               \
    KERNEL(name##_as2t, bt, 2, false, true, STEPPED)

VARIANTS(wgmma_int_256, 256, , CHANNEL)
STEPS(wgmma_int_256, 256)
VARIANTS(wgmma_int_128, 128, , CHANNEL)
VARIANTS(wgmma_int_128, 128, g, GROUPED)
STEPS(wgmma_int_128, 128)
VARIANTS(wgmma_int_64, 64, , CHANNEL)
VARIANTS(wgmma_int_64, 64, g, GROUPED)
STEPS(wgmma_int_64, 64)
VARIANTS(wgmma_int_16, 16, , CHANNEL)
VARIANTS(wgmma_int_16, 16, g, GROUPED)
STEPS(wgmma_int_16, 16)
