/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four bits on both sides, on mma.sync s4, which sm_75 to sm_89 have at twice the rate of s8. A
 * block makes BM x BN of D in steps of 128 of k through a ring of tiles in shared memory, where
 * codes lie as they come.
 *
 *     sum_g scale[g,n] * (sum_{k in g} a b - zb sum a - za sum b + length za zb)
 *
 * sum a comes from one more product, of A and ones, so that it lies where it is needed.
 *
 * Constraints: weights in block16x128; groups of a multiple of 64.
 */
// archs: 75 80
#include "tile.cuh"

namespace
{

constexpr int BK = 64; /* bytes of a row of a tile */

/* BM x BN by WM x WN warps; A_U, W_U: unsigned; GROUPED: scales along k, so that sums are of one
   group and added up in f32. */
template <int BM, int BN, int WM, int WN, int STAGES, bool A_U, bool W_U, bool GROUPED, bool SPLIT>
struct product {
    static constexpr int THREADS = WM * WN * 32;
    static constexpr int MI = BM / WM / 16, NI = BN / WN / 8;
    static constexpr int STAGE = (BM + BN) * LB_ROW_BYTES;

    int acc[MI][NI][4], sum[MI][4];
    float total[GROUPED ? MI : 1][GROUPED ? NI : 1][4];

    LB_DEVICE void multiply(const uint8_t *a_tile, const uint8_t *w_tile, int row, int column,
                            int step, bool sums)
    {
        uint32_t a[MI][4], b[NI][2];
        lb_load_step(a, b, a_tile, w_tile, row, column, step);
#pragma unroll
        for (int mi = 0; mi < MI; mi++)
#pragma unroll
            for (int ni = 0; ni < NI; ni++)
                lb_mma_s4<A_U, W_U>(acc[mi][ni], a[mi], b[ni]);
        if (sums) {
            const uint32_t ones[2] = {0x11111111u, 0x11111111u};
#pragma unroll
            for (int mi = 0; mi < MI; mi++)
                lb_mma_s4<A_U, false>(sum[mi], a[mi], ones);
        }
    }

    LB_DEVICE void run(LB_PARAMETERS)
    {
        lb_await_inputs();
        lb_work work = lb_work_of<SPLIT>(p, BM, BN, 2 * BK);
        lb_tile tile = work.tile;
        LB_IO(io, tile.batch);
        int bytes = (p.k + 1) / 2;
        lb_rows rows = lb_rows_of(p, LB_AT(a, A), tile, true);
        rows.bits = 8; /* from here on a row is bytes */
        rows.k = bytes;
        lb_blocks blocks = lb_blocks_of(p, LB_AT(w, W), tile, 2 * BK);
        lb_chunks<BM, THREADS> way;
        bool sums = p.flags & LB_KF_B_ZERO;
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
                lb_put_bits(a_tile(s), way, 4 * p.k, 8 * s * BK);
        };

        lb_clear(acc, sum, total);
        int g = GROUPED ? work.first * (2 * BK) / p.group : 0,
            until = p.group; /* of k, to the end of group g */
        lb_stages<STAGES>(work.first, work.end, begin, end, [&](int s) {
#pragma unroll(GROUPED ? 1 : 2)
            for (int step = 0; step < BK / 32; step++) {
                multiply(a_tile(s), w_tile(s), row, column, step, sums);
                if constexpr (GROUPED) {
                    bool last = s == work.end - 1 && step == BK / 32 - 1;
                    until -= 64;
                    if (last || (until == 0 && g + 1 < p.groups)) {
                        lb_close_group(acc, sum, total, p, io, tile.m + row, tile.n + column, g,
                                       min(p.group, p.k - g * p.group));
                        g++;
                        until = p.group;
                    }
                }
            }
        });
        if constexpr (!GROUPED)
            lb_close_group(acc, sum, p, io, tile.m + row, tile.n + column, p.k, work.part == 0);
        lb_copy_wait<0>();
        __syncthreads();
        if constexpr (GROUPED)
            lb_end_warp<SPLIT>(total, p, io, LB_AT(workspace, WORKSPACE), work, row, column);
        else
            lb_end_warp<SPLIT>(acc, p, io, LB_AT(workspace, WORKSPACE), work, row, column);
    }
};

} // namespace

#define KERNEL(name, ...)                                                                          \
    extern "C" __global__ void __launch_bounds__(256, 1) name(LB_ARGUMENTS)                        \
    {                                                                                              \
        product<__VA_ARGS__> x;                                                                    \
        x.run(LB_PASS);                                                                            \
    }

/* The variants that kernels.c names: signs of A and W; by groups, for which a tile of 128 x 128
   would need more registers than 8 warps have. */
#define VARIANTS(name, g, grouped, split, ...)                                                     \
    KERNEL(name##_ss##g, __VA_ARGS__, false, false, grouped, split)                                \
    KERNEL(name##_us##g, __VA_ARGS__, true, false, grouped, split)                                 \
    KERNEL(name##_su##g, __VA_ARGS__, false, true, grouped, split)                                 \
    KERNEL(name##_uu##g, __VA_ARGS__, true, true, grouped, split)

VARIANTS(mma_s4_128, , false, false, 128, 128, 2, 4, 3)
VARIANTS(mma_s4_64, , false, false, 64, 128, 2, 4, 4)
VARIANTS(mma_s4_64, g, true, false, 64, 128, 2, 4, 4)
VARIANTS(mma_s4_16, , false, false, 16, 128, 1, 8, 4)
VARIANTS(mma_s4_16, g, true, false, 16, 128, 1, 8, 4)
VARIANTS(mma_s4_16k, , false, true, 16, 128, 1, 8, 4)
VARIANTS(mma_s4_16k, g, true, true, 16, 128, 1, 8, 4)
