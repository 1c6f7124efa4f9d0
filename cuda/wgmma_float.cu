/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights of up to 8 bits and activations of f16 or bf16, on wgmma with sums in f32, 64 of k a
 * stage (wgmma.cuh). Weights are widened to A's type in registers, their zero points taken off:
 * both exact, since |b - zb| <= 255.
 *
 *     sum_g scale[g,n] * sum_{k in g} a (b - zb)
 *
 * A code becomes a float by being put into the low mantissa bits of a power of two P; P + u - (P +
 * zero) is then exact. f16: P = 2^10. bf16: P = 2^7, which has room for 7 bits, so that bytes go by
 * f32, P = 2^23, whose high half is the bf16.
 *
 * Constraints: weights in frag64x64; groups of a multiple of 32.
 */
// archs: 90a
#include "wgmma.cuh"

namespace
{

template <int BT, int BITS, bool BF16, bool GROUPED> struct product {
    static constexpr int ROWS = BT, BK = 64, STEPS = 4; /* products a stage, of 16 of k */
    static constexpr int WORDS = BITS;                  /* of W, a thread and stage */
    static constexpr int ACC = BT / 2;
    /* P, twice; 0 if by f32. */
    static constexpr uint32_t POWER = !BF16 ? 0x64006400u : BITS < 8 ? 0x43004300u : 0;
    typedef lb_ring<BT, BK, BITS, GROUPED ? LB_WG_SCALES : LB_WG_NONE> ring;
    typedef lb_no_count count;
    static constexpr int FILLER_REGISTERS = GROUPED ? 56 : 40, REGISTERS = GROUPED ? 224 : 232;

    float acc[ACC], total[GROUPED ? ACC : 1];

    /* ---- Widening ---------------------------------------------------------------------------- */

    /* (code ^ flip) in P, less P and what was added to the code's value. */
    struct widening {
        uint32_t flip, less[2]; /* less: of rows g and g + 8; of bf16's bytes an integer */
    };

    static LB_DEVICE widening widening_of(const lb_kargs &p, const int (&zero)[2])
    {
        lb_decoder d = lb_decoder_of(p.b_type);
        uint32_t flip = d.flip & 0xffu, bias = d.turn ? 0x80u - (d.add & 0xffu) : 0;
        if (p.b_type == LB_TYPE_S8)
            flip = bias = 128;
        widening x = {flip * 0x10001u, {bias, bias}};
        for (int half = 0; half < 2; half++) {
            x.less[half] += (uint32_t)zero[half];
            if (POWER)
                x.less[half] = x.less[half] * 0x10001u + POWER;
        }
        x.flip |= POWER;
        return x;
    }

    static LB_DEVICE uint32_t widen_byte_pair(uint32_t pair, uint32_t less)
    {
        float p = 8388608.0f + (float)less;
        float low = __fadd_rn(__uint_as_float(0x4b000000u | (pair & 0xffu)), -p);
        float high = __fadd_rn(__uint_as_float(0x4b000000u | pair >> 16), -p);
        return lb_bytes(__float_as_uint(low), __float_as_uint(high), 0x7632);
    }

    static LB_DEVICE void widen(uint32_t (&fragment)[4], const uint32_t (&raw)[WORDS], int step,
                                const widening &x)
    {
        constexpr int FIELDS = 16 / BITS;
        constexpr uint32_t mask = (BITS == 1 ? 2u : (1u << BITS) - 1u) * 0x10001u;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            int q = 4 * step + r, field = q % FIELDS;
            uint32_t v = raw[q / FIELDS];
            if constexpr (BITS == 1) /* twice the bit */
                v = field ? v >> (field - 1) : v << 1;
            else
                v >>= BITS * field;
            v = (v & mask) ^ x.flip;
            if constexpr (POWER == 0)
                fragment[r] = widen_byte_pair(v, x.less[r & 1]);
            else if constexpr (BF16)
                fragment[r] = lb_sub_bf16x2(v, x.less[r & 1]);
            else
                fragment[r] = lb_sub_f16x2(v, x.less[r & 1]);
        }
    }

    /* ---- A tile ------------------------------------------------------------------------------ */

    bool add; /* to the sums that are there */

    /* What a group has of rows g and g + 8 of W. */
    struct group {
        widening x;
        float scale[2];
    };

    /* Of the group that begins in a stage with the 32 of k that are `part`. */
    static LB_DEVICE group group_of(const lb_kargs &p, const typename ring::stage &from, int part,
                                    int column)
    {
        int zero[2] = {0, 0};
        group made;
        part = ring::by_stages(p) ? 0 : part;
        for (int half = 0; half < 2; half++) {
            int at = column + 8 * half;
            if (p.flags & LB_KF_B_ZERO)
                zero[half] = ring::template value_at<int>(from, LB_WG_ZERO, part, at);
            made.scale[half] = ring::template value_at<float>(from, LB_WG_SCALE, part, at);
        }
        made.x = widening_of(p, zero);
        return made;
    }

    /* The sums of a group, scaled, to the total. */
    LB_DEVICE void close_group(const group &of)
    {
#pragma unroll
        for (int i = 0; i < ACC; i++)
            total[i] = __fadd_rn(total[i], __fmul_rn(acc[i], of.scale[i / 2 % 2]));
    }

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
                lb_wgmma_f16<BT, BF16>(acc, fragment[i], tile + 2 * i, add);
                add = true;
            }
        };
        lb_wg_stages<ring>(fragments, s, stages, step, [](unsigned) {});
    }

    LB_DEVICE void multiply_groups(const lb_kargs &p, int column, const lb_wg_part &part,
                                   unsigned &s)
    {
        unsigned end = s + part.stages;
        int g = (int)part.first * BK / p.group, until = p.group;
        int last = (min((int)(part.first + part.stages) * BK, p.k) - 1) / p.group;
        uint32_t fragment[STEPS][4];
        group now;
#pragma unroll 1
        for (; s < end; s++) {
            uint32_t raw[WORDS];
            typename ring::stage from = ring::take(s, raw);
            uint64_t tile = lb_tile_descriptor(from.a);
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
                if (step % 2 == 0 && until == p.group)
                    now = group_of(p, from, step / 2, column);
                widen(fragment[step], raw, step, now.x);
                lb_wgmma_fence();
                lb_wgmma_f16<BT, BF16>(acc, fragment[step], tile + 2 * step, add);
                lb_wgmma_commit();
                add = true;
                until -= 16;
                if (step % 2 == 1 && until == 0 && g < last) {
                    lb_wgmma_wait<0>();
                    close_group(now);
                    g++;
                    until = p.group;
                    add = false;
                }
            }
            lb_wgmma_wait<0>();
            ring::give_back(s);
        }
        close_group(now);
    }

    LB_DEVICE void make(const lb_kargs &p, const lb_io &io, int m0, int n0, const lb_wg_part &part,
                        unsigned &s)
    {
        int n = n0 + (int)threadIdx.x % 32 / 4;
        add = false;
#pragma unroll
        for (int i = 0; i < ACC; i++)
            acc[i] = 0.0f;
        if constexpr (GROUPED) {
#pragma unroll
            for (int i = 0; i < ACC; i++)
                total[i] = 0.0f;
            multiply_groups(p, n % LB_WG_COLUMNS, part, s);
            lb_wg_finish<BT>(total, p, io, part, m0, n0, true, [](lb_eight<float> &, int, int) {});
        } else {
            multiply_plain(p, io, n, part.stages, s);
            lb_wg_finish<BT>(acc, p, io, part, m0, n0, false, [](lb_eight<float> &, int, int) {});
        }
    }
};

} // namespace

#define KERNEL(name, ...)                                                                          \
    extern "C" __global__ void __launch_bounds__(LB_WG_THREADS, 1) name(LB_ARGUMENTS)              \
    {                                                                                              \
        lb_wg_run<product<__VA_ARGS__>>(LB_PASS);                                                  \
    }

/* The variants that kernels.c names: W's bits; by groups. */
#define VARIANTS(name, bt, bf16, g, grouped)                                                       \
    KERNEL(name##_8##g, bt, 8, bf16, grouped)                                                      \
    KERNEL(name##_4##g, bt, 4, bf16, grouped)                                                      \
    KERNEL(name##_2##g, bt, 2, bf16, grouped)                                                      \
    KERNEL(name##_1##g, bt, 1, bf16, grouped)
#define TILES(name, bf16)                                                                          \
    VARIANTS(name##_256, 256, bf16, , false)                                                       \
    VARIANTS(name##_128, 128, bf16, , false)                                                       \
    VARIANTS(name##_128, 128, bf16, g, true)                                                       \
    VARIANTS(name##_64, 64, bf16, , false)                                                         \
    VARIANTS(name##_64, 64, bf16, g, true)                                                         \
    VARIANTS(name##_16, 16, bf16, , false)                                                         \
    VARIANTS(name##_16, 16, bf16, g, true)

TILES(wgmma_f16, false)
TILES(wgmma_bf16, true)
