/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernels on mma.sync share: tiles in shared memory of 64 bytes a row, how they are
 * filled from D's operands, how fragments leave them, and the way of finished fragments to the
 * epilogue.
 *
 * A row's four chunks of 16 bytes are permuted by its number, so that neither the stores nor the
 * eight rows that an ldmatrix reads at a time meet in a bank.
 */
#ifndef LB_TILE_CUH
#define LB_TILE_CUH

#include "brief.cuh"
#include "split.h"

#define LB_DEVICE __device__ __forceinline__

constexpr int LB_ROW_BYTES = 64;

LB_DEVICE int lb_chunk_at(int row, int chunk)
{
    return row * LB_ROW_BYTES + ((chunk ^ (row >> 1)) & 3) * 16;
}

/* ---- Parts of k ------------------------------------------------------------------------------ */

/* What a block makes: a tile of D from stages `first` to `end`, of `depth` of k each. */
struct lb_work {
    lb_tile tile;
    int part, first, end;
};

template <bool SPLIT>
LB_DEVICE lb_work lb_work_of(const lb_kargs &p, int tile_m, int tile_n, int depth)
{
    int all = (p.k + depth - 1) / depth;
    if constexpr (!SPLIT)
        return {lb_tile_of(p, tile_m, tile_n), 0, 0, all};
    unsigned parts = (unsigned)p.tail[LB_SPLIT_PARTS];
    int part = (int)(blockIdx.x % parts), stages = (p.tail[LB_SPLIT_LENGTH] + depth - 1) / depth;
    return {lb_tile_of(p, tile_m, tile_n, blockIdx.x / parts), part, part * stages,
            min((part + 1) * stages, all)};
}

/* ---- From packed codes to bytes -------------------------------------------------------------- */

/* `valid` of at most 16 bytes one by one, the rest 0. A call: it is rare, and would be most of the
   code. */
static __device__ __noinline__ uint4 lb_fetch_bytes(const uint8_t *at, int valid)
{
    uint64_t low = 0, high = 0;
#pragma unroll 1
    for (int i = 0; i < valid; i++) {
        uint64_t byte = at[i];
        if (i < 8)
            low |= byte << (8 * i);
        else
            high |= byte << (8 * i - 64);
    }
    return make_uint4((uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32));
}

/* 16, 8, 4 or 2 bytes in one access, the rest 0. */
LB_DEVICE uint4 lb_fetch_aligned(const uint8_t *at, int size)
{
    uint4 v = {0, 0, 0, 0};
    switch (size) {
    case 16: return *(const uint4 *)at;
    case 8: {
        uint2 w = *(const uint2 *)at;
        v.x = w.x, v.y = w.y;
        return v;
    }
    case 4: v.x = *(const uint32_t *)at; return v;
    default: v.x = *(const uint16_t *)at; return v;
    }
}

/* `valid` of `size` bytes, the rest of 16 are 0; in one access if all are there and aligned. */
LB_DEVICE uint4 lb_fetch(const uint8_t *at, int size, int valid)
{
    if (valid <= 0)
        return make_uint4(0, 0, 0, 0);
    if (valid < size || ((uintptr_t)at & (size - 1)) != 0)
        return lb_fetch_bytes(at, min(valid, size));
    return lb_fetch_aligned(at, size);
}

/* How a type's code, alone in a byte, becomes its value there: ((code ^ flip) + add) ^ turn,
   without carries from byte to byte. */
struct lb_decoder {
    uint32_t flip, add, turn;
};

LB_DEVICE lb_decoder lb_decoder_of(int type)
{
    switch (type) {
    case LB_TYPE_S4: return {0x08080808u, 0x78787878u, 0x80808080u};
    case LB_TYPE_S2:
    case LB_TYPE_T2: return {0x02020202u, 0x7e7e7e7eu, 0x80808080u};
    case LB_TYPE_B1: return {0, 0x7f7f7f7fu, 0x80808080u}; /* of twice the bit */
    default: return {0, 0, 0};
    }
}

LB_DEVICE uint32_t lb_decode4(uint32_t codes, const lb_decoder &d)
{
    return ((codes ^ d.flip) + d.add) ^ d.turn;
}

/* 16 codes of `bits` bits, low first, as bytes in the same order. */
LB_DEVICE uint4 lb_decode16(const uint4 &raw, int bits, const lb_decoder &d)
{
    uint32_t w[4];
    switch (bits) {
    case 4:
#pragma unroll
        for (int i = 0; i < 2; i++) {
            uint32_t x = i ? raw.y : raw.x;
            uint32_t even = x & 0x0f0f0f0fu, odd = (x >> 4) & 0x0f0f0f0fu;
            w[2 * i] = lb_decode4(lb_bytes(even, odd, 0x5140), d);
            w[2 * i + 1] = lb_decode4(lb_bytes(even, odd, 0x7362), d);
        }
        break;
    case 2:
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t x = (raw.x >> (8 * i)) & 0xffu;
            w[i] = lb_decode4((x | x << 6 | x << 12 | x << 18) & 0x03030303u, d);
        }
        break;
    case 1:
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t x = (raw.x >> (4 * i)) & 0xfu;
            w[i] = lb_decode4((x * 0x00204081u & 0x01010101u) << 1, d);
        }
        break;
    default: return raw;
    }
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* The bytes of weights whose scales have two levels: (code ^ flip) * times + plus, the top bit
   turned. Four at once and without carries, since every value fits in 8 bits (weights.c). */
struct lb_stepper {
    uint32_t times, plus;
};

/* Of a group's word (weights.h); bias: what `flip` adds to a code's value. */
LB_DEVICE lb_stepper lb_stepper_of(int word, int bias)
{
    int times = word & 0xffff;
    return {(uint32_t)times, 0x01010101u * (uint32_t)(128 + (word >> 16) - times * bias)};
}

LB_DEVICE int lb_step_bias(const lb_decoder &d)
{
    return (int)(d.flip & 0xffu);
}

LB_DEVICE uint32_t lb_step4(uint32_t flipped, const lb_stepper &x)
{
    return (flipped * x.times + x.plus) ^ 0x80808080u;
}

/* The first `count` bytes, zeros behind. */
LB_DEVICE uint4 lb_keep(uint4 v, int count)
{
    uint32_t w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int bytes = count - 4 * i;
        if (bytes < 4)
            w[i] = bytes > 0 ? w[i] & ((1u << (8 * bytes)) - 1u) : 0;
    }
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* The first `count` bits, zeros behind. */
LB_DEVICE uint4 lb_keep_bits(uint4 v, int count)
{
    uint32_t w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int bits = count - 32 * i;
        if (bits < 32)
            w[i] = bits > 0 ? w[i] & ((1u << bits) - 1u) : 0;
    }
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* ---- Rows of A ------------------------------------------------------------------------------- */

/* The rows of A that a block multiplies, of `bits` bits an element. */
struct lb_rows {
    const uint8_t *base; /* row m0 */
    int64_t pitch;       /* bytes */
    int rows, k, bits;
    lb_decoder decoder;
    bool direct; /* 16 bytes at a time, as they are */
};

/* Elements that lie in shared memory as they come (8 and 16 bits; single bits for kernels that
   multiply those) may be copied. */
LB_DEVICE lb_rows lb_rows_of(const lb_kargs &p, const uint8_t *a, const lb_tile &tile, bool as_is)
{
    int bits = lb_bits(p.a_type);
    lb_rows r;
    r.pitch = p.a_ld * bits / 8;
    r.base = a + tile.batch * p.a_batch * bits / 8 + tile.m * r.pitch;
    r.rows = p.m - tile.m;
    r.k = p.k;
    r.bits = bits;
    r.decoder = lb_decoder_of(p.a_type);
    r.direct =
        as_is && (int64_t)p.k * bits % 8 == 0 && (uintptr_t)r.base % 16 == 0 && r.pitch % 16 == 0;
    return r;
}

/* 64 bytes of each of BM rows, from byte `from` of the row on, by all threads. */
template <int BM, int THREADS>
LB_DEVICE void lb_copy_rows(uint8_t *tile, const lb_rows &r, int from)
{
    int bytes = (int)((int64_t)r.k * r.bits / 8);
#pragma unroll
    for (int c = (int)threadIdx.x; c < BM * 4; c += THREADS) {
        int row = c / 4, chunk = c % 4, at = from + 16 * chunk, valid = min(16, bytes - at);
        valid = row < r.rows && valid > 0 ? valid : 0;
        lb_copy16(tile + lb_chunk_at(row, chunk), valid ? r.base + row * r.pitch + at : r.base,
                  (unsigned)valid);
    }
}

/* Chunks of one thread, on their way through registers. */
template <int BM, int THREADS> struct lb_chunks {
    static constexpr int count = (BM * 4 + THREADS - 1) / THREADS;
    uint4 raw[count];
};

/* Integers that have to be widened to bytes, or rows that are not aligned: 16 elements a chunk. */
template <int BM, int THREADS>
LB_DEVICE void lb_fetch_rows(lb_chunks<BM, THREADS> &c, const lb_rows &r, int k0)
{
#pragma unroll
    for (int i = 0; i < c.count; i++) {
        int at = (int)threadIdx.x + i * THREADS, row = at / 4, k = k0 + at % 4 * 16;
        int count = row < r.rows ? min(16, r.k - k) : 0;
        c.raw[i] = lb_fetch(r.base + row * r.pitch + (int64_t)k * r.bits / 8, 2 * r.bits,
                            (count * r.bits + 7) / 8);
    }
}

template <int BM, int THREADS>
LB_DEVICE void lb_put_rows(uint8_t *tile, const lb_chunks<BM, THREADS> &c, const lb_rows &r, int k0)
{
#pragma unroll
    for (int i = 0; i < c.count; i++) {
        int at = (int)threadIdx.x + i * THREADS;
        if (BM * 4 % THREADS == 0 || at < BM * 4)
            *(uint4 *)(tile + lb_chunk_at(at / 4, at % 4)) =
                lb_keep(lb_decode16(c.raw[i], r.bits, r.decoder), r.k - k0 - at % 4 * 16);
    }
}

/* Rows that lie in shared memory packed, fetched as bytes: `bits` of each exist, these from `from`
   on. */
template <int BM, int THREADS>
LB_DEVICE void lb_put_bits(uint8_t *tile, const lb_chunks<BM, THREADS> &c, int bits, int from)
{
#pragma unroll
    for (int i = 0; i < c.count; i++) {
        int at = (int)threadIdx.x + i * THREADS;
        if (BM * 4 % THREADS == 0 || at < BM * 4)
            *(uint4 *)(tile + lb_chunk_at(at / 4, at % 4)) =
                lb_keep_bits(c.raw[i], bits - from - at % 4 * 128);
    }
}

/* ---- Weights in layouts block16x* ------------------------------------------------------------ */

/* Blocks of 16 rows x `depth` of k, k's blocks side by side: the rows that a block multiplies. */
struct lb_blocks {
    const uint8_t *base; /* block row 0 */
    int64_t pitch;       /* bytes from one row of blocks to the next */
    int row_bytes;       /* of a row in a block */
    int first, rows;     /* of the tile; all there are */
};

LB_DEVICE lb_blocks lb_blocks_of(const lb_kargs &p, const uint8_t *w, const lb_tile &tile,
                                 int depth)
{
    int bits = lb_bits(p.b_type);
    lb_blocks b;
    b.base = w + p.w_codes + tile.batch * p.w_codes_batch;
    b.pitch = (int64_t)p.k_pad * 16 * bits / 8;
    b.row_bytes = depth * bits / 8;
    b.first = tile.n;
    b.rows = p.n_pad;
    return b;
}

/* Byte `at` of block `kb` of row `row` of the tile; beyond the last row, of that one. */
LB_DEVICE const uint8_t *lb_block_at(const lb_blocks &b, int row, int kb, int at)
{
    int n = min(b.first + row, b.rows - 1);
    return b.base + n / 16 * b.pitch + ((int64_t)kb * 16 + n % 16) * b.row_bytes + at;
}

/* Blocks of 64 bytes a row, as they are. */
template <int BN, int THREADS>
LB_DEVICE void lb_copy_blocks(uint8_t *tile, const lb_blocks &b, int kb)
{
#pragma unroll
    for (int c = (int)threadIdx.x; c < BN * 4; c += THREADS)
        lb_copy16(tile + lb_chunk_at(c / 4, c % 4), lb_block_at(b, c / 4, kb, c % 4 * 16), 16);
}

/* Blocks of 64 narrow codes a row, 16 a chunk. */
template <int BN, int THREADS>
LB_DEVICE void lb_fetch_blocks(lb_chunks<BN, THREADS> &c, const lb_blocks &b, int kb)
{
#pragma unroll
    for (int i = 0; i < c.count; i++) {
        int at = (int)threadIdx.x + i * THREADS, size = b.row_bytes / 4;
        c.raw[i] = lb_fetch_aligned(lb_block_at(b, min(at / 4, BN - 1), kb, at % 4 * size), size);
    }
}

template <int BN, int THREADS>
LB_DEVICE void lb_put_blocks(uint8_t *tile, const lb_chunks<BN, THREADS> &c, int bits,
                             const lb_decoder &decoder)
{
#pragma unroll
    for (int i = 0; i < c.count; i++) {
        int at = (int)threadIdx.x + i * THREADS;
        if (BN * 4 % THREADS == 0 || at < BN * 4)
            *(uint4 *)(tile + lb_chunk_at(at / 4, at % 4)) = lb_decode16(c.raw[i], bits, decoder);
    }
}

/* The same of weights whose scales have two levels: with the words of the chunks' groups. */
template <int BN, int THREADS>
LB_DEVICE void lb_fetch_steps(int (&words)[lb_chunks<BN, THREADS>::count], const lb_blocks &b,
                              const lb_kargs &p, const lb_io &io, int k0)
{
#pragma unroll
    for (int i = 0; i < lb_chunks<BN, THREADS>::count; i++) {
        int at = (int)threadIdx.x + i * THREADS, n = min(b.first + min(at / 4, BN - 1), b.rows - 1);
        int g = min((k0 + at % 4 * 16) / p.step_group, p.steps - 1);
        words[i] = io.w_step[(int64_t)g * p.n_pad + n];
    }
}

template <int BN, int THREADS>
LB_DEVICE void lb_put_steps(uint8_t *tile, const lb_chunks<BN, THREADS> &c,
                            const int (&words)[lb_chunks<BN, THREADS>::count], int bits,
                            const lb_decoder &decoder)
{
#pragma unroll
    for (int i = 0; i < c.count; i++) {
        int at = (int)threadIdx.x + i * THREADS;
        lb_stepper x = lb_stepper_of(words[i], lb_step_bias(decoder));
        uint4 v = lb_decode16(c.raw[i], bits, {decoder.flip, 0, 0});
        if (BN * 4 % THREADS == 0 || at < BN * 4)
            *(uint4 *)(tile + lb_chunk_at(at / 4, at % 4)) =
                make_uint4(lb_step4(v.x, x), lb_step4(v.y, x), lb_step4(v.z, x), lb_step4(v.w, x));
    }
}

/* ---- Stages ---------------------------------------------------------------------------------- */

/* Stages `first` to `end` through a ring of STAGES tiles: begin(s) asks for one, put(s) stores what
   came through registers, stage(s) multiplies; those of one s follow each other, and begin and put
   run ahead of it. */
template <int STAGES, typename Begin, typename Put, typename Stage>
LB_DEVICE void lb_stages(int first, int end, Begin begin, Put put, Stage stage)
{
#pragma unroll 1
    for (int s = first; s < first + STAGES - 1; s++) {
        begin(s);
        put(s);
    }
    for (int s = first; s < end; s++) {
        lb_copy_wait<STAGES - 2>();
        __syncthreads();
        begin(s + STAGES - 1);
        stage(s);
        put(s + STAGES - 1);
    }
}

/* ---- Fragments ------------------------------------------------------------------------------- */

/* Step `step` (32 bytes of k) of 16 rows of A from `row` on. */
LB_DEVICE void lb_load_a(uint32_t (&a)[4], const uint8_t *tile, int row, int step)
{
    int lane = (int)threadIdx.x % 32;
    row += lane / 8 % 2 * 8 + lane % 8;
    lb_ldmatrix4(a, tile + lb_chunk_at(row, 2 * step + lane / 16));
}

/* The same of 16 columns: two fragments of B. */
LB_DEVICE void lb_load_b(uint32_t (&b0)[2], uint32_t (&b1)[2], const uint8_t *tile, int column,
                         int step)
{
    int lane = (int)threadIdx.x % 32;
    uint32_t d[4];
    column += lane / 16 * 8 + lane % 8;
    lb_ldmatrix4(d, tile + lb_chunk_at(column, 2 * step + lane / 8 % 2));
    b0[0] = d[0], b0[1] = d[1];
    b1[0] = d[2], b1[1] = d[3];
}

/* One step of a warp's rows and columns. */
template <int MI, int NI>
LB_DEVICE void lb_load_step(uint32_t (&a)[MI][4], uint32_t (&b)[NI][2], const uint8_t *a_tile,
                            const uint8_t *w_tile, int row, int column, int step)
{
#pragma unroll
    for (int mi = 0; mi < MI; mi++)
        lb_load_a(a[mi], a_tile, row + 16 * mi, step);
#pragma unroll
    for (int ni = 0; ni < NI; ni += 2)
        lb_load_b(b[ni], b[ni + 1], w_tile, column + 8 * ni, step);
}

/* ---- Sums of integers ------------------------------------------------------------------------ */

template <int MI, int NI, int TI, int TN>
LB_DEVICE void lb_clear(int (&acc)[MI][NI][4], int (&sum)[MI][4], float (&total)[TI][TN][4])
{
#pragma unroll
    for (int mi = 0; mi < MI; mi++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sum[mi][j] = 0;
#pragma unroll
            for (int ni = 0; ni < NI; ni++)
                acc[mi][ni][j] = 0;
        }
#pragma unroll
    for (int mi = 0; mi < TI; mi++)
#pragma unroll
        for (int ni = 0; ni < TN; ni++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                total[mi][ni][j] = 0.0f;
}

/* Calls visit(two sums side by side, mi, ni, 2 * half, n) with the zero points of group g done, for
   fragments whose corner is (m0, n0); sum[mi][2 * half] is over the group's a. `once`: with what
   does not depend on a, which one part of a group's k has to do. */
template <int MI, int NI, typename Visit>
LB_DEVICE void lb_each_sum(const int (&acc)[MI][NI][4], const int (&sum)[MI][4], const lb_kargs &p,
                           const lb_io &io, int m0, int n0, int g, int length, bool once,
                           Visit visit)
{
    int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int mi = 0; mi < MI; mi++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int za = once ? lb_a_zero(p, io, min(m0 + 16 * mi + 8 * half + lane / 4, p.m - 1)) : 0;
#pragma unroll
            for (int ni = 0; ni < NI; ni++) {
                int n = min(n0 + 8 * ni + lane % 4 * 2, p.n_pad - 2);
                int two[2] = {acc[mi][ni][2 * half], acc[mi][ni][2 * half + 1]};
                lb_correct_zeros(two, p, io, n, g, za, sum[mi][2 * half], length);
                visit(two, mi, ni, 2 * half, n);
            }
        }
}

/* The sums of the only group, or of part of it. */
template <int MI, int NI>
LB_DEVICE void lb_close_group(int (&acc)[MI][NI][4], const int (&sum)[MI][4], const lb_kargs &p,
                              const lb_io &io, int m0, int n0, int length, bool once)
{
    lb_each_sum(acc, sum, p, io, m0, n0, 0, length, once,
                [&](const int(&two)[2], int mi, int ni, int j, int) {
                    acc[mi][ni][j] = two[0];
                    acc[mi][ni][j + 1] = two[1];
                });
}

/* The sums of group g: scaled, added to the total, and 0 again. */
template <int MI, int NI>
LB_DEVICE void lb_close_group(int (&acc)[MI][NI][4], int (&sum)[MI][4], float (&total)[MI][NI][4],
                              const lb_kargs &p, const lb_io &io, int m0, int n0, int g, int length)
{
    lb_each_sum(acc, sum, p, io, m0, n0, g, length, true,
                [&](const int(&two)[2], int mi, int ni, int j, int n) {
                    float v[2] = {__int2float_rn(two[0]), __int2float_rn(two[1])};
                    if (p.flags & LB_KF_B_SCALE)
                        lb_scale(v, io.w_scale + (int64_t)g * p.n_pad + n);
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        float &t = total[mi][ni][j + i];
                        t = __fadd_rn(t, v[i]);
                    }
                });
#pragma unroll
    for (int mi = 0; mi < MI; mi++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sum[mi][j] = 0;
#pragma unroll
            for (int ni = 0; ni < NI; ni++)
                acc[mi][ni][j] = 0;
        }
}

/* ---- To the epilogue ------------------------------------------------------------------------- */
/*
 * A warp puts all its fragments into shared memory, a slab of its own, and takes from there 8
 * columns side by side at a time. What comes then is brief (brief.cuh), or else a call: nothing is
 * kept in registers across it, and one copy of the epilogue serves all kernels of a file.
 */

template <typename T> struct lb_eight {
    T v[8];
};

static __device__ __noinline__ void lb_finish(lb_eight<int> eight, const lb_kargs &p,
                                              const lb_io &io, int m, int n)
{
    lb_finish_int(eight.v, p, io, m, n);
}
static __device__ __noinline__ void lb_finish(lb_eight<float> eight, const lb_kargs &p,
                                              const lb_io &io, int m, int n)
{
    lb_finish_float(eight.v, p, io, m, n);
}

LB_DEVICE constexpr bool lb_is_float(int)
{
    return false;
}
LB_DEVICE constexpr bool lb_is_float(float)
{
    return true;
}

/* Bytes of a warp's slab. */
template <int MI, int NI> LB_DEVICE constexpr int lb_slab_bytes(void)
{
    return MI * 16 * NI * 8 * 4;
}

/* Element of a slab; groups of 8 columns change places by row, against bank conflicts. */
template <int NI> LB_DEVICE int lb_slab_at(int row, int column)
{
    constexpr int mask = NI >= 4 ? 3 : NI - 1;
    return row * 8 * NI + (column ^ ((row & mask) * 8));
}

/* A warp's MI x NI fragments, whose corner is element (m0, n0). Not BRIEF: without the short way,
   for which some kernels lack registers. All warps of the block call this,
   with nothing left to be read of the tiles. */
template <bool BRIEF = true, int MI, int NI, typename T>
LB_DEVICE void lb_finish_warp(const T (&acc)[MI][NI][4], const lb_kargs &p, const lb_io &io, int m0,
                              int n0)
{
    int lane = (int)threadIdx.x % 32, g = lane / 4, c = lane % 4;
    T *slab = (T *)(lb_shared() + (int)threadIdx.x / 32 * lb_slab_bytes<MI, NI>());
#pragma unroll
    for (int mi = 0; mi < MI; mi++)
#pragma unroll
        for (int ni = 0; ni < NI; ni++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                slab[lb_slab_at<NI>(16 * mi + g + j / 2 * 8, 8 * ni + 2 * c + j % 2)] =
                    acc[mi][ni][j];
    __syncwarp();
    static_assert(32 % NI == 0, "a thread's columns are the same in all rows");
    int column = lane % NI * 8;
#pragma unroll 1
    for (int row = lane / NI; row < 16 * MI; row += 32 / NI) {
        int m = m0 + row;
        if (m >= p.m || n0 + column >= p.n)
            continue;
        lb_brief brief;
        brief.end = LB_LONG;
        if constexpr (BRIEF)
            brief.open(p, io, m, n0 + column, lb_is_float(T()));
        lb_eight<T> eight;
#pragma unroll
        for (int j = 0; j < 8; j++)
            eight.v[j] = slab[lb_slab_at<NI>(row, column) + j];
        if (brief.end != LB_LONG)
            brief.close(eight.v, p, io, m, n0 + column);
        else
            lb_finish(eight, p, io, m, n0 + column);
    }
}

/* To the workspace instead, for the pass "finish". */
template <int MI, int NI, typename T>
LB_DEVICE void lb_leave_warp(const T (&acc)[MI][NI][4], const lb_kargs &p, uint8_t *workspace,
                             const lb_work &work, int m0, int n0)
{
    int lane = (int)threadIdx.x % 32, g = lane / 4, c = lane % 4;
    T *sums = (T *)(workspace + p.ws[0]) +
              ((int64_t)work.part * p.batch + work.tile.batch) * p.m * p.n_pad;
#pragma unroll
    for (int mi = 0; mi < MI; mi++)
#pragma unroll
        for (int ni = 0; ni < NI; ni++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int m = m0 + 16 * mi + g + 8 * half, n = n0 + 8 * ni + 2 * c;
                const T two[2] = {acc[mi][ni][2 * half], acc[mi][ni][2 * half + 1]};
                if (m < p.m && n < p.n_pad)
                    lb_store(sums + (int64_t)m * p.n_pad + n, two, 2);
            }
}

/* One of both. */
template <bool SPLIT, bool BRIEF = true, int MI, int NI, typename T>
LB_DEVICE void lb_end_warp(const T (&acc)[MI][NI][4], const lb_kargs &p, const lb_io &io,
                           uint8_t *workspace, const lb_work &work, int row, int column)
{
    if constexpr (SPLIT)
        lb_leave_warp(acc, p, workspace, work, work.tile.m + row, work.tile.n + column);
    else
        lb_finish_warp<BRIEF>(acc, p, io, work.tile.m + row, work.tile.n + column);
}

#endif
