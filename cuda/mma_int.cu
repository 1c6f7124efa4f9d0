/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of up to 8 bits on both sides, on mma.sync s8. A block makes BM x BN of D in steps of 64
 * of k through a ring of tiles in shared memory; operands of 8 bits are copied there, narrower ones
 * (and rows of A that are not aligned) are widened to bytes on their way through registers.
 *
 *     sum_g scale[g,n] * (sum_{k in g} a b - zb sum a - za sum b + length za zb)
 *
 * With scales of two levels b is (code - zb) * scale of its group, a byte when it is widened, and
 * there is one group.
 *
 * sum a comes from one more product, of A and ones, so that it lies where it is needed.
 *
 * Constraints: weights in block16x64; groups of a multiple of 32.
 */
// archs: 75 80+ 90a
#include "tile.cuh"

namespace
{

constexpr int BK = 64; /* elements, and bytes, of a row of a tile */

/* BM x BN by WM x WN warps; W8: weights of 8 bits; A_U, W_U: unsigned 8 bits; GROUPED: scales along
   k, so that sums are of one group and added up in f32; STEPPED: scales of two levels. */
template <int BM, int BN, int WM, int WN, int STAGES, bool W8, bool A_U, bool W_U, bool GROUPED,
          bool STEPPED, bool SPLIT>
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
                lb_mma_s8<A_U, W_U>(acc[mi][ni], a[mi], b[ni]);
        if (sums) {
            const uint32_t ones[2] = {0x01010101u, 0x01010101u};
#pragma unroll
            for (int mi = 0; mi < MI; mi++)
                lb_mma_s8<A_U, false>(sum[mi], a[mi], ones);
        }
    }

    LB_DEVICE void run(LB_PARAMETERS)
    {
        lb_await_inputs();
        lb_work work = lb_work_of<SPLIT>(p, BM, BN, BK);
        lb_tile tile = work.tile;
        LB_IO(io, tile.batch);
        int bits = lb_bits(p.b_type);
        lb_rows rows = lb_rows_of(p, LB_AT(a, A), tile, lb_bits(p.a_type) == 8);
        lb_blocks blocks = lb_blocks_of(p, LB_AT(w, W), tile, BK);
        lb_decoder decoder = lb_decoder_of(p.b_type);
        lb_chunks<BM, THREADS> a_way;
        lb_chunks<BN, THREADS> w_way;
        int words[w_way.count]; /* STEPPED */
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
                    lb_fetch_rows(a_way, rows, s * BK);
                if constexpr (W8)
                    lb_copy_blocks<BN, THREADS>(w_tile(s), blocks, s);
                else
                    lb_fetch_blocks(w_way, blocks, s);
                if constexpr (STEPPED)
                    lb_fetch_steps<BN, THREADS>(words, blocks, p, io, s * BK);
            }
            lb_copy_commit();
        };
        auto end = [&](int s) {
            if (s >= work.end)
                return;
            if (!rows.direct)
                lb_put_rows(a_tile(s), a_way, rows, s * BK);
            if constexpr (STEPPED)
                lb_put_steps(w_tile(s), w_way, words, bits, decoder);
            else if constexpr (!W8)
                lb_put_blocks(w_tile(s), w_way, bits, decoder);
        };

        lb_clear(acc, sum, total);
        int g = GROUPED ? work.first * (BK) / p.group : 0,
            until = p.group; /* of k, to the end of group g */
        lb_stages<STAGES>(work.first, work.end, begin, end, [&](int s) {
#pragma unroll(GROUPED ? 1 : 2)
            for (int step = 0; step < BK / 32; step++) {
                multiply(a_tile(s), w_tile(s), row, column, step, sums);
                if constexpr (GROUPED) {
                    bool last = s == work.end - 1 && step == BK / 32 - 1;
                    until -= 32;
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

#define KERNEL(name, bm, bn, wm, wn, stages, split, w8, a_u, w_u, grouped, stepped)                \
    extern "C" __global__ void __launch_bounds__(wm *wn * 32, 1) name(LB_ARGUMENTS)                \
    {                                                                                              \
        product<bm, bn, wm, wn, stages, w8, a_u, w_u, grouped, stepped, split> x;                  \
        x.run(LB_PASS);                                                                            \
    }

/* The variants that kernels.c names: A and W signed or unsigned, W narrow, of two levels; by
   groups, for which a tile of 128 x 128 would need more registers than 8 warps have. */
#define PLAIN(name, ...)                                                                           \
    KERNEL(name##_ss, __VA_ARGS__, true, false, false, false, false)                               \
    KERNEL(name##_us, __VA_ARGS__, true, true, false, false, false)                                \
    KERNEL(name##_su, __VA_ARGS__, true, false, true, false, false)                                \
    KERNEL(name##_uu, __VA_ARGS__, true, true, true, false, false)                                 \
    KERNEL(name##_sn, __VA_ARGS__, false, false, false, false, false)                              \
    KERNEL(name##_un, __VA_ARGS__, false, true, false, false, false)                               \
    KERNEL(name##_snt, __VA_ARGS__, false, false, false, false, true)                              \
    KERNEL(name##_unt, __VA_ARGS__, false, true, false, false, true)
#define GROUPS(name, ...)                                                                          \
    KERNEL(name##_ssg, __VA_ARGS__, true, false, false, true, false)                               \
    KERNEL(name##_usg, __VA_ARGS__, true, true, false, true, false)                                \
    KERNEL(name##_sug, __VA_ARGS__, true, false, true, true, false)                                \
    KERNEL(name##_uug, __VA_ARGS__, true, true, true, true, false)                                 \
    KERNEL(name##_sng, __VA_ARGS__, false, false, false, true, false)                              \
    KERNEL(name##_ung, __VA_ARGS__, false, true, false, true, false)

PLAIN(mma_int_128, 128, 128, 2, 4, 3, false)
PLAIN(mma_int_64, 64, 128, 2, 4, 4, false)
GROUPS(mma_int_64, 64, 128, 2, 4, 4, false)
PLAIN(mma_int_16, 16, 128, 1, 8, 4, false)
GROUPS(mma_int_16, 16, 128, 1, 8, 4, false)
PLAIN(mma_int_64k, 64, 128, 2, 4, 4, true)
GROUPS(mma_int_64k, 64, 128, 2, 4, 4, true)
PLAIN(mma_int_16k, 16, 128, 1, 8, 4, true)
GROUPS(mma_int_16k, 16, 128, 1, 8, 4, true)
