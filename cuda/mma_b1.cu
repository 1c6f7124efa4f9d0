/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bits (+1 and -1) on both sides, on mma.sync b1: a block makes BM x BN of D in steps of 512 of k
 * through a ring of tiles in shared memory. With pa and pb the ones of a row and of a column,
 *
 *     sum a b = 4 popc(a & b) + K - 2 pa - 2 pb = 4 popc(a & b) - 2 pa - sum b
 *             = K - 2 popc(a ^ b)                              where there is only xor (sm_75)
 *
 * pa comes from one more product, of A and ones. Bits beyond K are 0 on both sides.
 *
 * Constraints: weights in block16x512; no zero points, no groups.
 */
// archs: 75 80+ 90a
#include "tile.cuh"

namespace
{

constexpr int BK = 64; /* bytes of a row of a tile */

template <int BM, int BN, int WM, int WN, int STAGES, bool SPLIT> struct product {
    static constexpr int THREADS = WM * WN * 32;
    static constexpr int MI = BM / WM / 16, NI = BN / WN / 8;
    static constexpr int STAGE = (BM + BN) * LB_ROW_BYTES;

    int acc[MI][NI][4], ones[MI][4];

    LB_DEVICE void multiply(const uint8_t *a_tile, const uint8_t *w_tile, int row, int column,
                            int step)
    {
        uint32_t a[MI][4], b[NI][2];
        const uint32_t all[2] = {0xffffffffu, 0xffffffffu};
        lb_load_step(a, b, a_tile, w_tile, row, column, step);
#pragma unroll
        for (int mi = 0; mi < MI; mi++) {
#pragma unroll
            for (int ni = 0; ni < NI; ni++)
                lb_mma_b1(acc[mi][ni], a[mi], b[ni]);
            if (!lb_mma_b1_is_xor())
                lb_mma_b1(ones[mi], a[mi], all);
        }
    }

    /* From popcounts to sums; `once`: with what does not depend on a, which one part of k has to
     * do. */
    LB_DEVICE void close(const lb_kargs &p, const lb_io &io, int n0, bool once)
    {
        int lane = (int)threadIdx.x % 32;
#pragma unroll
        for (int ni = 0; ni < NI; ni++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int n = min(n0 + 8 * ni + lane % 4 * 2 + j % 2, p.n_pad - 1);
                int rest = !once ? 0 : lb_mma_b1_is_xor() ? p.k : -io.w_sum[n];
#pragma unroll
                for (int mi = 0; mi < MI; mi++) {
                    int &x = acc[mi][ni][j];
                    x = rest + (lb_mma_b1_is_xor() ? -2 * x : 4 * x - 2 * ones[mi][j / 2 * 2]);
                }
            }
    }

    LB_DEVICE void run(LB_PARAMETERS)
    {
        lb_await_inputs();
        lb_work work = lb_work_of<SPLIT>(p, BM, BN, 8 * BK);
        lb_tile tile = work.tile;
        LB_IO(io, tile.batch);
        int bytes = (p.k + 7) / 8;
        lb_rows rows = lb_rows_of(p, LB_AT(a, A), tile, true);
        rows.bits = 8; /* from here on a row is bytes */
        rows.k = bytes;
        lb_blocks blocks = lb_blocks_of(p, LB_AT(w, W), tile, 8 * BK);
        lb_chunks<BM, THREADS> way;
        int warp = (int)threadIdx.x / 32;
        int row = warp / WN * (BM / WM), column = warp % WN * (BN / WN);

        auto a_tile = [&](int s) { return lb_shared() + s % STAGES * STAGE; };
        auto w_tile = [&](int s) { return lb_shared() + s % STAGES * STAGE + BM * LB_ROW_BYTES; };
        auto begin = [&](int s) {
            if (s < work.end) {
                if (rows.direct)
                    lb_copy_rows<BM, THREADS>(a_tile(s), rows, s * BK);
                else
                    lb_fetch_rows(way, rows, s * BK);
                lb_copy_blocks<BN, THREADS>(w_tile(s), blocks, s);
            }
            lb_copy_commit();
        };
        auto end = [&](int s) {
            if (s < work.end && !rows.direct)
                lb_put_bits(a_tile(s), way, p.k, 8 * s * BK);
        };

#pragma unroll
        for (int mi = 0; mi < MI; mi++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                ones[mi][j] = 0;
#pragma unroll
                for (int ni = 0; ni < NI; ni++)
                    acc[mi][ni][j] = 0;
            }
        lb_stages<STAGES>(work.first, work.end, begin, end, [&](int s) {
#pragma unroll
            for (int step = 0; step < BK / 32; step++)
                multiply(a_tile(s), w_tile(s), row, column, step);
        });
        close(p, io, tile.n + column, work.part == 0);
        lb_copy_wait<0>();
        __syncthreads();
        lb_end_warp<SPLIT>(acc, p, io, LB_AT(workspace, WORKSPACE), work, row, column);
    }
};

} // namespace

#define KERNEL(name, bm, bn, wm, wn, stages, split)                                                \
    extern "C" __global__ void __launch_bounds__(wm *wn * 32, 1) name(LB_ARGUMENTS)                \
    {                                                                                              \
        product<bm, bn, wm, wn, stages, split> x;                                                  \
        x.run(LB_PASS);                                                                            \
    }

KERNEL(mma_b1_128, 128, 128, 2, 4, 3, false)
KERNEL(mma_b1_64, 64, 128, 2, 4, 4, false)
KERNEL(mma_b1_16, 16, 128, 1, 8, 4, false)
KERNEL(mma_b1_16k, 16, 128, 1, 8, 4, true)
