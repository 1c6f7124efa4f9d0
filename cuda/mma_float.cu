/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights of up to 8 bits and activations of f16 or bf16, on mma.sync with sums in f32. A block
 * makes BM x BN of D in steps of 32 of k through a ring of tiles in shared memory. A is copied
 * there (rows that are not aligned go through registers); weights are widened to A's type on the
 * way, their zero points taken off: both exact, since |b - zb| <= 255.
 *
 *     sum_g scale[g,n] * sum_{k in g} a (b - zb)
 *
 * An unsigned byte u becomes a float by being put into the low mantissa bits of a power of two P;
 * P + u - (P + zero) is then exact. f16: P = 2^10, two at a time. bf16 has too few bits for that,
 * so it goes by f32, P = 2^23, whose high half is the bf16.
 *
 * Constraints: weights in block16x64; groups of a multiple of 32.
 */
// archs: 75 80+ 90a
#include "tile.cuh"

namespace
{

constexpr int BK = 32;   /* elements of a row of a tile */
constexpr int UNIT = 16; /* weights that a thread widens at a time */

/* Where a row's UNITs of weights come from, and what they become. */
struct weights {
    lb_blocks blocks;
    lb_decoder decoder;
    int bits, size; /* of a code; bytes of a unit */
    uint32_t turn;  /* makes decoded bytes unsigned */
    int off;        /* and is undone with the zero point */
};

LB_DEVICE weights weights_of(const lb_kargs &p, const uint8_t *w, const lb_tile &tile)
{
    weights x;
    bool is_signed = p.b_type != LB_TYPE_U8 && p.b_type != LB_TYPE_U4 && p.b_type != LB_TYPE_U2;
    x.blocks = lb_blocks_of(p, w, tile, 64);
    x.decoder = lb_decoder_of(p.b_type);
    x.bits = lb_bits(p.b_type);
    x.size = UNIT * x.bits / 8;
    x.turn = is_signed ? 0x80808080u : 0;
    x.off = is_signed ? 128 : 0;
    return x;
}

/* Four unsigned bytes less `zero` (0 to 383) as four f16 or bf16. */
template <bool BF16> LB_DEVICE uint2 widen(uint32_t u, int zero)
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

template <int BM, int BN, int WM, int WN, int STAGES, bool BF16, bool GROUPED> struct product {
    static constexpr int THREADS = WM * WN * 32;
    static constexpr int MI = BM / WM / 16, NI = BN / WN / 8;
    static constexpr int STAGE = (BM + BN) * LB_ROW_BYTES;
    static constexpr int UNITS = BN * BK / UNIT / THREADS; /* of a thread */
    static_assert(UNITS * THREADS * UNIT == BN * BK, "whole units");

    float acc[MI][NI][4], total[GROUPED ? MI : 1][GROUPED ? NI : 1][4];
    uint4 raw[UNITS];
    int zero[UNITS];

    LB_DEVICE void fetch(const weights &w, const lb_kargs &p, const lb_io &io, int s)
    {
#pragma unroll
        for (int i = 0; i < UNITS; i++) {
            int at = (int)threadIdx.x + i * THREADS, row = at / 2, unit = s % 2 * 2 + at % 2;
            raw[i] = lb_fetch_aligned(lb_block_at(w.blocks, row, s / 2, unit * w.size), w.size);
            zero[i] = w.off;
            if (p.flags & LB_KF_B_ZERO) {
                int g = min((s * BK + at % 2 * UNIT) / p.group, p.groups - 1);
                int n = min(w.blocks.first + row, p.n_pad - 1);
                zero[i] += io.w_zero[(int64_t)g * p.n_pad + n];
            }
        }
    }

    LB_DEVICE void put(uint8_t *tile, const weights &w)
    {
#pragma unroll
        for (int i = 0; i < UNITS; i++) {
            int at = (int)threadIdx.x + i * THREADS, row = at / 2, chunk = at % 2 * 2;
            uint4 b = lb_decode16(raw[i], w.bits, w.decoder);
            uint2 d[4] = {widen<BF16>(b.x ^ w.turn, zero[i]), widen<BF16>(b.y ^ w.turn, zero[i]),
                          widen<BF16>(b.z ^ w.turn, zero[i]), widen<BF16>(b.w ^ w.turn, zero[i])};
            *(uint4 *)(tile + lb_chunk_at(row, chunk)) = make_uint4(d[0].x, d[0].y, d[1].x, d[1].y);
            *(uint4 *)(tile + lb_chunk_at(row, chunk + 1)) =
                make_uint4(d[2].x, d[2].y, d[3].x, d[3].y);
        }
    }

    LB_DEVICE void multiply(const uint8_t *a_tile, const uint8_t *w_tile, int row, int column)
    {
#pragma unroll
        for (int step = 0; step < 2; step++) {
            uint32_t a[MI][4], b[NI][2];
            lb_load_step(a, b, a_tile, w_tile, row, column, step);
#pragma unroll
            for (int mi = 0; mi < MI; mi++)
#pragma unroll
                for (int ni = 0; ni < NI; ni++)
                    lb_mma_f16<BF16>(acc[mi][ni], a[mi], b[ni]);
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
        lb_tile tile = lb_tile_of(p, BM, BN);
        LB_IO(io, tile.batch);
        int steps = (p.k + BK - 1) / BK;
        lb_rows rows = lb_rows_of(p, LB_AT(a, A), tile, true);
        rows.bits = 8; /* from here on a row is bytes */
        rows.k = 2 * p.k;
        weights w = weights_of(p, LB_AT(w, W), tile);
        lb_chunks<BM, THREADS> way;
        int warp = (int)threadIdx.x / 32;
        int row = warp / WN * (BM / WM), column = warp % WN * (BN / WN);

        auto a_tile = [&](int s) { return lb_shared() + s % STAGES * STAGE; };
        auto w_tile = [&](int s) { return lb_shared() + s % STAGES * STAGE + BM * LB_ROW_BYTES; };
        auto begin = [&](int s) {
            if (s < steps) {
                if (rows.direct)
                    lb_copy_rows<BM, THREADS>(a_tile(s), rows, s * 2 * BK);
                else
                    lb_fetch_rows(way, rows, s * 2 * BK);
                fetch(w, p, io, s);
            }
            lb_copy_commit();
        };
        auto end = [&](int s) {
            if (s >= steps)
                return;
            if (!rows.direct)
                lb_put_rows(a_tile(s), way, rows, s * 2 * BK);
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
#pragma unroll 1
        for (int s = 0; s < STAGES - 1; s++) {
            begin(s);
            end(s);
        }
        int g = 0, until = p.group; /* of k, to the end of group g */
        for (int s = 0; s < steps; s++) {
            lb_copy_wait<STAGES - 2>();
            __syncthreads();
            begin(s + STAGES - 1);
            multiply(a_tile(s), w_tile(s), row, column);
            if constexpr (GROUPED) {
                until -= BK;
                if (s == steps - 1 || (until == 0 && g + 1 < p.groups)) {
                    close_group(p, io, tile.n + column, g++);
                    until = p.group;
                }
            }
            end(s + STAGES - 1);
        }
        if constexpr (!GROUPED)
            close_group(p, io, tile.n + column, 0);
        lb_copy_wait<0>();
        __syncthreads();
        if constexpr (GROUPED)
            lb_finish_warp(total, p, io, tile.m + row, tile.n + column);
        else
            lb_finish_warp(acc, p, io, tile.m + row, tile.n + column);
    }
};

} // namespace

#define KERNEL(name, bm, bn, wm, wn, stages, bf16, grouped)                                        \
    extern "C" __global__ void __launch_bounds__(wm *wn * 32, 1) name(LB_ARGUMENTS)                \
    {                                                                                              \
        product<bm, bn, wm, wn, stages, bf16, grouped> x;                                          \
        x.run(LB_PASS);                                                                            \
    }

/* The variants that kernels.c names: the type of A, and groups. */
#define TYPES(size, ...)                                                                           \
    KERNEL(mma_f16_##size, __VA_ARGS__, false, false)                                              \
    KERNEL(mma_f16_##size##_g, __VA_ARGS__, false, true)                                           \
    KERNEL(mma_bf16_##size, __VA_ARGS__, true, false)                                              \
    KERNEL(mma_bf16_##size##_g, __VA_ARGS__, true, true)

TYPES(128, 128, 128, 2, 4, 3)
TYPES(64, 64, 128, 2, 4, 4)
TYPES(16, 16, 128, 1, 8, 4)
