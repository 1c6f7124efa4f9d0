/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codes of 2 bits on both sides by planes of bits (planes.cuh), on mma.sync b1: a block makes
 * BM x BN of D in steps of 256 of k through a ring of tiles in shared memory, where codes lie as
 * they come. A row's 64 bytes are two fragments of codes, which registers split into two of planes,
 * the same way on both sides: so both have their k in the same order.
 *
 * sum a' comes from more products, of A's planes and ones, so that it lies where it is needed. Bits
 * as weights are stored as -1 and 1 of 2 bits, and so are ternary.
 *
 * Constraints: weights in block16x256; popcounts of a & b (from sm_80 on); no groups.
 */
// archs: 80+ 90a
#include "planes.cuh"

namespace
{

constexpr int BK = 64; /* bytes of a row of a tile */

template <int BM, int BN, int WM, int WN, int STAGES, lb_plane_kind KIND> struct product {
    static constexpr int THREADS = WM * WN * 32;
    static constexpr int MI = BM / WM / 16, NI = BN / WN / 8;
    static constexpr int STAGE = (BM + BN) * LB_ROW_BYTES;

    int high[MI][NI][4], low[MI][NI][4], sum[MI][4];

    /* One fragment of A by all of W's. */
    LB_DEVICE void multiply(int mi, const uint32_t (&a1)[4], const uint32_t (&a0)[4],
                            const uint32_t (&b1)[NI][2], const uint32_t (&b0)[NI][2])
    {
        const uint32_t ones[2] = {0xffffffffu, 0xffffffffu};
#pragma unroll
        for (int ni = 0; ni < NI; ni++) {
            lb_mma_b1(high[mi][ni], a1, b1[ni]);
            lb_mma_b1(high[mi][ni], a1, b0[ni]);
            if constexpr (KIND == LB_PLANES_BINARY) {
                lb_mma_b1(high[mi][ni], a1, b1[ni]);
                lb_mma_b1(high[mi][ni], a0, b1[ni]);
            } else {
                lb_mma_b1(low[mi][ni], a0, b1[ni]);
            }
            lb_mma_b1(low[mi][ni], a0, b0[ni]);
        }
        lb_mma_b1(sum[mi], a1, ones);
        lb_mma_b1(sum[mi], a1, ones);
        lb_mma_b1(sum[mi], a0, ones);
    }

    /* All 256 of k of a stage. */
    LB_DEVICE void stage(const uint8_t *a_tile, const uint8_t *w_tile, int row, int column,
                         uint32_t a_flip, uint32_t w_flip)
    {
        uint32_t b1[NI][2], b0[NI][2];
#pragma unroll
        for (int ni = 0; ni < NI; ni += 2) {
            lb_load_b(b1[ni], b1[ni + 1], w_tile, column + 8 * ni, 0);
            lb_load_b(b0[ni], b0[ni + 1], w_tile, column + 8 * ni, 1);
        }
#pragma unroll
        for (int ni = 0; ni < NI; ni++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                uint32_t first = b1[ni][i], second = b0[ni][i];
                lb_split_planes(first, second, b1[ni][i], b0[ni][i]);
                lb_weight_planes<KIND>(b1[ni][i], b0[ni][i], w_flip);
            }
#pragma unroll
        for (int mi = 0; mi < MI; mi++) {
            uint32_t a1[4], a0[4];
            lb_load_a(a1, a_tile, row + 16 * mi, 0);
            lb_load_a(a0, a_tile, row + 16 * mi, 1);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                uint32_t first = a1[i], second = a0[i];
                lb_split_planes(first, second, a1[i], a0[i]);
                a1[i] ^= a_flip;
            }
            multiply(mi, a1, a0, b1, b0);
        }
    }

    /* From popcounts to sums, in `high`, of fragments whose corner is (m0, n0). */
    LB_DEVICE void close(const lb_kargs &p, const lb_io &io, int m0, int n0, int padded)
    {
        int lane = (int)threadIdx.x % 32;
#pragma unroll
        for (int ni = 0; ni < NI; ni++) {
            int n = min(n0 + 8 * ni + lane % 4 * 2, p.n_pad - 2);
            lb_plane_column of[2] = {lb_plane_column_of<2, KIND>(p, io, n, padded),
                                     lb_plane_column_of<2, KIND>(p, io, n + 1, padded)};
#pragma unroll
            for (int mi = 0; mi < MI; mi++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    int two[2];
#pragma unroll
                    for (int j = 0; j < 2; j++)
                        two[j] = (int)(lb_plane_sum<2, KIND>(high[mi][ni][2 * half + j],
                                                             low[mi][ni][2 * half + j]) +
                                       of[j].plus - of[j].times * (unsigned)sum[mi][2 * half]);
                    lb_plane_zeros(two, p, io, min(m0 + 16 * mi + 8 * half + lane / 4, p.m - 1), n);
                    high[mi][ni][2 * half] = two[0];
                    high[mi][ni][2 * half + 1] = two[1];
                }
        }
    }

    LB_DEVICE void clear(void)
    {
#pragma unroll
        for (int mi = 0; mi < MI; mi++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                sum[mi][j] = 0;
#pragma unroll
                for (int ni = 0; ni < NI; ni++)
                    high[mi][ni][j] = low[mi][ni][j] = 0;
            }
    }

    LB_DEVICE void run(LB_PARAMETERS)
    {
        lb_await_inputs();
        lb_tile tile = lb_tile_of(p, BM, BN);
        LB_IO(io, tile.batch);
        int bytes = (p.k + 3) / 4, steps = (bytes + BK - 1) / BK;
        lb_rows rows = lb_rows_of(p, LB_AT(a, A), tile, true);
        rows.bits = 8; /* from here on a row is bytes */
        rows.k = bytes;
        lb_blocks blocks = lb_blocks_of(p, LB_AT(w, W), tile, 4 * BK);
        blocks.pitch = (int64_t)p.k_pad * 4; /* 2 bits a field, of bits too */
        blocks.row_bytes = BK;
        lb_chunks<BM, THREADS> way;
        uint32_t a_flip = lb_plane_flip(p.a_type), w_flip = lb_plane_flip(p.b_type);
        int warp = (int)threadIdx.x / 32;
        int row = warp / WN * (BM / WM), column = warp % WN * (BN / WN);

        auto a_tile = [&](int s) { return lb_shared() + s % STAGES * STAGE; };
        auto w_tile = [&](int s) { return lb_shared() + s % STAGES * STAGE + BM * LB_ROW_BYTES; };
        auto begin = [&](int s) {
            if (s < steps) {
                if (rows.direct)
                    lb_copy_rows<BM, THREADS>(a_tile(s), rows, s * BK);
                else
                    lb_fetch_rows(way, rows, s * BK);
                lb_copy_blocks<BN, THREADS>(w_tile(s), blocks, s);
            }
            lb_copy_commit();
        };
        auto end = [&](int s) {
            if (s < steps && !rows.direct)
                lb_put_bits(a_tile(s), way, 2 * min(p.k - 4 * BK * s, 4 * BK), 0);
        };

        clear();
        /* As lb_stages does it, through which the largest tile spills. */
#pragma unroll 1
        for (int s = 0; s < STAGES - 1; s++) {
            begin(s);
            end(s);
        }
        for (int s = 0; s < steps; s++) {
            lb_copy_wait<STAGES - 2>();
            __syncthreads();
            begin(s + STAGES - 1);
            stage(a_tile(s), w_tile(s), row, column, a_flip, w_flip);
            end(s + STAGES - 1);
        }
        close(p, io, tile.m + row, tile.n + column, steps * 4 * BK);
        lb_copy_wait<0>();
        __syncthreads();
        lb_finish_warp<false>(high, p, io, tile.m + row, tile.n + column);
    }
};

} // namespace

#define KERNEL(name, bm, bn, wm, wn, stages, kind)                                                 \
    extern "C" __global__ void __launch_bounds__(wm *wn * 32, 1) name(LB_ARGUMENTS)                \
    {                                                                                              \
        product<bm, bn, wm, wn, stages, kind> x;                                                   \
        x.run(LB_PASS);                                                                            \
    }

/* The variants that kernels.c names: W ternary or of any 2 bits. */
#define VARIANTS(name, ...)                                                                        \
    KERNEL(name##_t, __VA_ARGS__, LB_PLANES_TERNARY)                                               \
    KERNEL(name##_2, __VA_ARGS__, LB_PLANES_BINARY)

VARIANTS(mma_planes_128, 128, 128, 2, 4, 3)
VARIANTS(mma_planes_64, 64, 128, 2, 4, 4)
VARIANTS(mma_planes_16, 16, 128, 1, 8, 4)
