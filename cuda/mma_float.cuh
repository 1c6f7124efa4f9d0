/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations of f16 or bf16 and narrow weights on mma.sync with sums in f32: what mma_float.cu and
 * mma_table.cu share. A block makes BM x BN of D in steps of 32 of k through a ring of tiles in
 * shared memory. A is copied there (rows that are not aligned go through registers); weights are
 * widened on the way, to one value or to several that are added up: planes, each a tile.
 *
 *     sum_g scale[g,n] * sum_{k in g} a b
 *
 * Constraints: weights in block16x64; groups of a multiple of 32.
 */
#ifndef LB_MMA_FLOAT_CUH
#define LB_MMA_FLOAT_CUH

#include "tile.cuh"

constexpr int LB_FLOAT_K = 32;    /* elements of a row of a tile */
constexpr int LB_FLOAT_UNIT = 16; /* weights that a thread widens at a time */

/* Codes of rows of weights in block16x64. */
struct lb_float_codes {
    lb_blocks blocks;
    lb_decoder decoder;
    int bits, size; /* of a code; bytes of a unit */

    LB_DEVICE lb_float_codes(const lb_kargs &p, const uint8_t *w, const lb_tile &tile)
    {
        blocks = lb_blocks_of(p, w, tile, 64);
        decoder = lb_decoder_of(p.b_type);
        bits = lb_bits(p.b_type);
        size = LB_FLOAT_UNIT * bits / 8;
    }
    /* Unit 0 or 1 of step s of a row. */
    LB_DEVICE uint4 fetch(int row, int unit, int s) const
    {
        return lb_fetch_aligned(lb_block_at(blocks, row, s / 2, (s % 2 * 2 + unit) * size), size);
    }
    LB_DEVICE uint4 decode(const uint4 &raw) const
    {
        return lb_decode16(raw, bits, decoder);
    }
    /* Where values that a row has per group lie for a unit: element of [groups][n_pad]. */
    LB_DEVICE int64_t at_group(const lb_kargs &p, int row, int unit, int s) const
    {
        int g = min((s * LB_FLOAT_K + unit * LB_FLOAT_UNIT) / p.group, p.groups - 1);
        return (int64_t)g * p.n_pad + min(blocks.first + row, p.n_pad - 1);
    }
};

/*
 * `Weights` says how: PLANES; `unit`, what is kept of LB_FLOAT_UNIT weights on their way; fetch,
 * which begins it; widen, which ends it, as 32 bytes of each plane; multiply, of one fragment of A.
 */
template <int BM, int BN, int WM, int WN, int STAGES, typename Weights, bool GROUPED, bool SPLIT>
struct lb_float_product {
    static constexpr int THREADS = WM * WN * 32, PLANES = Weights::PLANES;
    static constexpr int MI = BM / WM / 16, NI = BN / WN / 8;
    static constexpr int PLANE = BN * LB_ROW_BYTES, STAGE = BM * LB_ROW_BYTES + PLANES * PLANE;
    static constexpr int UNITS = BN * LB_FLOAT_K / LB_FLOAT_UNIT / THREADS; /* of a thread */
    static_assert(UNITS * THREADS * LB_FLOAT_UNIT == BN * LB_FLOAT_K, "whole units");

    float acc[MI][NI][4], total[GROUPED ? MI : 1][GROUPED ? NI : 1][4];
    typename Weights::unit units[UNITS];

    LB_DEVICE void fetch(const Weights &w, const lb_kargs &p, const lb_io &io, int s)
    {
#pragma unroll
        for (int i = 0; i < UNITS; i++) {
            int at = (int)threadIdx.x + i * THREADS;
            w.fetch(units[i], p, io, at / 2, at % 2, s);
        }
    }

    LB_DEVICE void put(uint8_t *tile, const Weights &w)
    {
#pragma unroll
        for (int i = 0; i < UNITS; i++) {
            int at = (int)threadIdx.x + i * THREADS, row = at / 2, chunk = at % 2 * 2;
            uint4 wide[PLANES][2];
            w.widen(wide, units[i]);
#pragma unroll
            for (int plane = 0; plane < PLANES; plane++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    *(uint4 *)(tile + plane * PLANE + lb_chunk_at(row, chunk + half)) =
                        wide[plane][half];
        }
    }

    LB_DEVICE void multiply(const uint8_t *a_tile, const uint8_t *w_tile, int row, int column)
    {
#pragma unroll
        for (int step = 0; step < 2; step++) {
            uint32_t b[NI][PLANES][2];
#pragma unroll
            for (int plane = 0; plane < PLANES; plane++)
#pragma unroll
                for (int ni = 0; ni < NI; ni += 2)
                    lb_load_b(b[ni][plane], b[ni + 1][plane], w_tile + plane * PLANE,
                              column + 8 * ni, step);
#pragma unroll
            for (int mi = 0; mi < MI; mi++) {
                uint32_t a[4];
                lb_load_a(a, a_tile, row + 16 * mi, step);
                Weights::multiply(acc[mi], a, b);
            }
        }
    }

    /* The fragments' sums of group g, scaled; GROUPED: added up. */
    LB_DEVICE void close_group(const lb_kargs &p, const lb_io &io, int n0, int g)
    {
        int lane = (int)threadIdx.x % 32;
#pragma unroll
        for (int ni = 0; ni < NI; ni++) {
            int n = min(n0 + 8 * ni + lane % 4 * 2, p.n_pad - 2);
            const float *at = io.w_scale + (int64_t)g * p.n_pad + n;
            float scale[2] = {1.0f, 1.0f};
            if (p.flags & LB_KF_B_SCALE)
                scale[0] = at[0], scale[1] = at[1];
#pragma unroll
            for (int mi = 0; mi < MI; mi++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float v = __fmul_rn(acc[mi][ni][j], scale[j % 2]);
                    if constexpr (GROUPED) {
                        total[mi][ni][j] = __fadd_rn(total[mi][ni][j], v);
                        v = 0.0f;
                    }
                    acc[mi][ni][j] = v;
                }
        }
    }

    LB_DEVICE void run(LB_PARAMETERS)
    {
        lb_await_inputs();
        lb_work work = lb_work_of<SPLIT>(p, BM, BN, LB_FLOAT_K);
        lb_tile tile = work.tile;
        LB_IO(io, tile.batch);
        lb_rows rows = lb_rows_of(p, LB_AT(a, A), tile, true);
        rows.bits = 8; /* from here on a row is bytes */
        rows.k = 2 * p.k;
        Weights w(p, LB_AT(w, W), tile);
        lb_chunks<BM, THREADS> way;
        int warp = (int)threadIdx.x / 32;
        int row = warp / WN * (BM / WM), column = warp % WN * (BN / WN);

        auto a_tile = [&](int s) { return lb_shared() + s % STAGES * STAGE; };
        auto w_tile = [&](int s) { return lb_shared() + s % STAGES * STAGE + BM * LB_ROW_BYTES; };
        auto begin = [&](int s) {
            if (s < work.end) {
                if (rows.direct)
                    lb_copy_rows<BM, THREADS>(a_tile(s), rows, s * 2 * LB_FLOAT_K);
                else
                    lb_fetch_rows(way, rows, s * 2 * LB_FLOAT_K);
                fetch(w, p, io, s);
            }
            lb_copy_commit();
        };
        auto end = [&](int s) {
            if (s >= work.end)
                return;
            if (!rows.direct)
                lb_put_rows(a_tile(s), way, rows, s * 2 * LB_FLOAT_K);
            put(w_tile(s), w);
        };

#pragma unroll
        for (int mi = 0; mi < MI; mi++)
#pragma unroll
            for (int ni = 0; ni < NI; ni++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    acc[mi][ni][j] = 0.0f;
                    if constexpr (GROUPED)
                        total[mi][ni][j] = 0.0f;
                }
        int g = GROUPED ? work.first * (LB_FLOAT_K) / p.group : 0,
            until = p.group; /* of k, to the end of group g */
        lb_stages<STAGES>(work.first, work.end, begin, end, [&](int s) {
            multiply(a_tile(s), w_tile(s), row, column);
            if constexpr (GROUPED) {
                until -= LB_FLOAT_K;
                if (s == work.end - 1 || (until == 0 && g + 1 < p.groups)) {
                    close_group(p, io, tile.n + column, g++);
                    until = p.group;
                }
            }
        });
        if constexpr (!GROUPED)
            close_group(p, io, tile.n + column, 0);
        lb_copy_wait<0>();
        __syncthreads();
        if constexpr (GROUPED)
            lb_end_warp<SPLIT, Weights::BRIEF>(total, p, io, LB_AT(workspace, WORKSPACE), work, row,
                                               column);
        else
            lb_end_warp<SPLIT, Weights::BRIEF>(acc, p, io, LB_AT(workspace, WORKSPACE), work, row,
                                               column);
    }
};

#endif
