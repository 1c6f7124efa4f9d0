/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codes of 1 and 2 bits on both sides by planes of bits (planes.cuh), on wgmma b1: 512 of k a stage
 * of A's codes of 2 bits, 1024 of its bits (wgmma.cuh). Ternary by ternary is four products of bits
 * for one of codes.
 *
 * The first warpgroup copies A's codes as they are. Once they are there, each of its warps splits
 * those that it has copied into planes, in place: chunks c and c + 4 of a row, 64 codes each,
 * become 128 bits of x_1 in chunk c and of x_0 in chunk c + 4. The first chunk's codes lie at even
 * places, the second's at odd ones; layout frag64p512 has W's codes such that the same split of two
 * words gives them the same order. It counts sum a' of a row on the way; a tile's counts lie beside
 * the slot of its last stage. W's planes are made in registers.
 *
 * H and L take the registers of two tiles, so that there are none of 256 rows.
 *
 * Constraints: weights in frag64p512, with A of bits in frag64p1024; no groups.
 */
// archs: 90a
#include "planes.cuh"
#include "wgmma.cuh"

namespace
{

/* sum a' of BT rows, in all of the ring's slots. */
template <int BT> LB_DEVICE int *counts_of(unsigned slot)
{
    return (int *)(lb_shared() + LB_WG_HEAD + LB_WG_RING + 8 * LB_SLAB) + slot * BT;
}

/* Warp w has copied rows 4 w to 4 w + 3 of every 16 (lb_ring::fill_rows); its lanes take four pairs
   of chunks of each. */
template <int BT, int A_BITS> struct planes {
    static constexpr int PAIRS = BT, EACH = (PAIRS + 31) / 32;

    uint32_t flip;
    int counts[EACH];

    LB_DEVICE planes(const lb_kargs &p) : flip(lb_plane_flip(p.a_type))
    {
#pragma unroll
        for (int i = 0; i < EACH; i++)
            counts[i] = 0;
    }

    static LB_DEVICE int row_of(int pair)
    {
        return pair / 16 * 16 + (int)threadIdx.x / 32 * 4 + pair / 4 % 4;
    }

    static LB_DEVICE int ones(const uint4 &v)
    {
        return __popc(v.x) + __popc(v.y) + __popc(v.z) + __popc(v.w);
    }

    LB_DEVICE uint4 split(uint4 &first, const uint4 &second) const
    {
        uint4 low;
        lb_split_planes(first.x, second.x, first.x, low.x);
        lb_split_planes(first.y, second.y, first.y, low.y);
        lb_split_planes(first.z, second.z, first.z, low.z);
        lb_split_planes(first.w, second.w, first.w, low.w);
        first = make_uint4(first.x ^ flip, first.y ^ flip, first.z ^ flip, first.w ^ flip);
        return low;
    }

    LB_DEVICE void add(uint8_t *tile)
    {
        __syncwarp(); /* the other lanes' copies */
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int pair = (int)threadIdx.x % 32 + 32 * i;
            if (PAIRS % 32 != 0 && pair >= PAIRS)
                break;
            uint4 *first = (uint4 *)(tile + lb_swizzle128(row_of(pair), pair % 4));
            uint4 *second = (uint4 *)(tile + lb_swizzle128(row_of(pair), pair % 4 + 4));
            uint4 high = *first, low = *second;
            if constexpr (A_BITS == 2) {
                low = split(high, low);
                *first = high;
                *second = low;
                counts[i] += 2 * ones(high) + ones(low);
            } else {
                counts[i] += 2 * (ones(high) + ones(low));
            }
        }
    }

    LB_DEVICE void close(unsigned slot)
    {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int pair = (int)threadIdx.x % 32 + 32 * i, sum = counts[i];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            if (pair < PAIRS && pair % 4 == 0)
                counts_of<BT>(slot)[row_of(pair)] = sum;
            counts[i] = 0;
        }
    }
};

template <int BT, int A_BITS, lb_plane_kind KIND> struct product {
    static constexpr int W_BITS = KIND == LB_PLANES_BIT ? 1 : 2;
    static constexpr int ROWS = BT, BK = 1024 / A_BITS, CHUNKS = BK / 256;
    static constexpr int ACC = BT / 2, ACC_LOW = A_BITS == 2 ? ACC : 1;
    static constexpr int FILLER_REGISTERS = 56, REGISTERS = 224;
    typedef lb_ring<BT, BK, W_BITS> ring;
    typedef planes<BT, A_BITS> count;
    static_assert(ring::STAGES * BT * 4 <= 4096, "a slot's counts");

    /* This thread's planes of W of a stage. */
    struct fragments {
        uint32_t plane[CHUNKS][W_BITS][4]; /* y_1 (or the only one), then y_0 */
    };

    int high[ACC], low[ACC_LOW];
    bool add;

    LB_DEVICE void take_planes(fragments &f, const uint32_t (&raw)[CHUNKS * W_BITS * 4],
                               uint32_t flip)
    {
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
#pragma unroll
            for (int r = 0; r < 4; r++) {
                if constexpr (KIND == LB_PLANES_BIT) {
                    f.plane[c][0][r] = raw[4 * c + r];
                } else {
                    lb_split_planes(raw[8 * c + r], raw[8 * c + 4 + r], f.plane[c][0][r],
                                    f.plane[c][1][r]);
                    lb_weight_planes<KIND>(f.plane[c][0][r], f.plane[c][1][r], flip);
                }
            }
    }

    /* 256 of k; tile: of x_1, whose x_0 lies four chunks of 16 bytes on. */
    LB_DEVICE void multiply(const uint32_t (&plane)[W_BITS][4], uint64_t tile)
    {
        lb_wgmma_b1<BT>(high, plane[0], tile, add);
        if constexpr (KIND == LB_PLANES_BINARY)
            lb_wgmma_b1<BT>(high, plane[0], tile, true);
        if constexpr (KIND != LB_PLANES_BIT)
            lb_wgmma_b1<BT>(high, plane[1], tile, true);
        if constexpr (A_BITS == 2) {
            if constexpr (KIND == LB_PLANES_BINARY)
                lb_wgmma_b1<BT>(high, plane[0], tile + 4, true);
            else
                lb_wgmma_b1<BT>(low, plane[0], tile + 4, add);
            if constexpr (KIND == LB_PLANES_BINARY)
                lb_wgmma_b1<BT>(low, plane[1], tile + 4, add);
            else if constexpr (KIND == LB_PLANES_TERNARY)
                lb_wgmma_b1<BT>(low, plane[1], tile + 4, true);
        }
        add = true;
    }

    /* From popcounts to sums; n: this thread's first column. `once`: with what a column has for all
       of k, which one of a cluster's blocks adds. */
    LB_DEVICE void close(const lb_kargs &p, const lb_io &io, int n, unsigned slot, bool once)
    {
        int padded = (int)(((unsigned)p.k + BK - 1) / BK * BK), c = (int)threadIdx.x % 4;
        const int *counts = counts_of<BT>(slot);
        lb_plane_column of[2] = {lb_plane_column_of<A_BITS, KIND>(p, io, n, padded),
                                 lb_plane_column_of<A_BITS, KIND>(p, io, n + 8, padded)};
#pragma unroll
        for (int i = 0; i < ACC; i++) {
            const lb_plane_column &x = of[i / 2 % 2];
            unsigned sum = lb_plane_sum<A_BITS, KIND>(high[i], low[A_BITS == 2 ? i : 0]);
            high[i] = (int)(sum + (once ? x.plus : 0) -
                            x.times * (unsigned)counts[i / 4 * 8 + 2 * c + i % 2]);
        }
    }

    LB_DEVICE void make(const lb_kargs &p, const lb_io &io, int m0, int n0, const lb_wg_part &part,
                        unsigned &s)
    {
        fragments sets[2];
        uint32_t flip = lb_plane_flip(p.b_type);
        add = false;
#pragma unroll
        for (int i = 0; i < ACC; i++)
            high[i] = 0;
#pragma unroll
        for (int i = 0; i < ACC_LOW; i++)
            low[i] = 0;
        auto step = [&](fragments &f, unsigned at) {
            uint32_t raw[CHUNKS * W_BITS * 4];
            uint64_t tile = lb_tile_descriptor(ring::take(at, raw).a);
            take_planes(f, raw, flip);
            lb_wgmma_fence();
#pragma unroll
            for (int c = 0; c < CHUNKS; c++)
                multiply(f.plane[c], tile + 2 * c);
        };
        lb_wg_stages<ring>(sets, s, part.stages, step, [&](unsigned at) {
            close(p, io, n0 + (int)threadIdx.x % 32 / 4, at % ring::STAGES, part.rank == 0);
        });
        lb_wg_finish<BT>(high, p, io, part, m0, n0, false, [&](lb_eight<int> &eight, int m, int n) {
            lb_plane_zeros(eight.v, p, io, m, n);
        });
    }
};

} // namespace

#define KERNEL(name, ...)                                                                          \
    extern "C" __global__ void __launch_bounds__(LB_WG_THREADS, 1) name(LB_ARGUMENTS)              \
    {                                                                                              \
        lb_wg_run<product<__VA_ARGS__>>(LB_PASS);                                                  \
    }

/* The variants that kernels.c names: A's bits; W's bits, or t for ternary. */
#define VARIANTS(bt)                                                                               \
    KERNEL(wgmma_planes_##bt##_2t, bt, 2, LB_PLANES_TERNARY)                                       \
    KERNEL(wgmma_planes_##bt##_22, bt, 2, LB_PLANES_BINARY)                                        \
    KERNEL(wgmma_planes_##bt##_21, bt, 2, LB_PLANES_BIT)                                           \
    KERNEL(wgmma_planes_##bt##_1t, bt, 1, LB_PLANES_TERNARY)                                       \
    KERNEL(wgmma_planes_##bt##_12, bt, 1, LB_PLANES_BINARY)

VARIANTS(128)
VARIANTS(64)
VARIANTS(16)
