/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernels on Hopper's wgmma share. D is made transposed, W times A's transpose, so that
 * weights are the operand that comes from registers and are widened on the way there: W of 1, 2 and
 * 4 bits costs no more than of 8, and never lies in memory widened.
 *
 * A block is three warpgroups. The first fills a ring of stages, of 128 bytes of each of BT rows of
 * A (whose integers are widened to bytes where they are narrower), and by bulk copies of W's
 * fragments, which lie in the layout as threads take them. The other two have 64 columns of D (rows
 * of W) each, and BT of its rows. Blocks are persistent: one makes one tile after the other, and
 * while the last two warpgroups finish one, the first fills for the next.
 *
 * With few rows there are fewer tiles than multiprocessors. Tiles of 16 and of 64 rows may then be
 * made by clusters of `ranks` blocks (kargs.tail), a tile each: every block adds up its own range
 * of k; then each takes its share of the tile, adds up all blocks' sums of it, in the order of
 * their ranks, and does its epilogue. The ranges depend on K and the ranks alone, so that a row's
 * result does not depend on M.
 */
#ifndef LB_WGMMA_CUH
#define LB_WGMMA_CUH

#include "tile.cuh"

constexpr int LB_WG_THREADS = 384;
constexpr int LB_WG_COLUMNS = 128; /* of D, a block */
constexpr int LB_WG_BAND = 16;     /* tiles of columns that follow each other, for the L2 cache */
constexpr int LB_WG_HEAD = 1024, LB_WG_RING = 192 * 1024;
constexpr int LB_WG_SPLIT_ROWS = 64; /* most of a tile that clusters share */
constexpr int LB_SLAB_PITCH = 20, LB_SLAB = 32 * LB_SLAB_PITCH * 4;

/* ---- Tiles ----------------------------------------------------------------------------------- */

LB_DEVICE unsigned lb_wg_tiles(const lb_kargs &p, int bt)
{
    return ((unsigned)p.n + LB_WG_COLUMNS - 1) / LB_WG_COLUMNS * (((unsigned)p.m + bt - 1) / bt) *
           (unsigned)p.batch;
}

LB_DEVICE lb_tile lb_wg_tile(const lb_kargs &p, unsigned index, int bt)
{
    unsigned across = ((unsigned)p.n + LB_WG_COLUMNS - 1) / LB_WG_COLUMNS;
    unsigned down = ((unsigned)p.m + bt - 1) / bt;
    unsigned batch = index / (across * down), rest = index % (across * down);
    unsigned first = rest / (LB_WG_BAND * down) * LB_WG_BAND;
    unsigned width = min((unsigned)LB_WG_BAND, across - first), in = rest - first * down;
    return {(int)(in / width) * bt, (int)(first + in % width) * LB_WG_COLUMNS, batch};
}

/* ---- Parts of k ------------------------------------------------------------------------------ */

/* What of k this block adds up, in stages. */
struct lb_wg_part {
    unsigned rank, ranks, first, stages;
};

/* Ranges begin where groups do: at multiples of LB_CLUSTER_STEP stages. */
template <int BT, int BK> LB_DEVICE lb_wg_part lb_wg_part_of(const lb_kargs &p)
{
    unsigned steps = ((unsigned)p.k + BK - 1) / BK;
    if constexpr (BT > LB_WG_SPLIT_ROWS)
        return {0, 1, 0, steps};
    unsigned ranks = (unsigned)p.tail[LB_CLUSTER_RANKS];
    unsigned unit = (unsigned)p.tail[LB_CLUSTER_STEP];
    unsigned rank = blockIdx.x % ranks, units = (steps + unit - 1) / unit;
    unsigned first = units * rank / ranks * unit;
    return {rank, ranks, first, min(units * (rank + 1) / ranks * unit, steps) - first};
}

LB_DEVICE int lb_wg_plus(int sum, uint32_t bits)
{
    return (int)((uint32_t)sum + bits);
}
LB_DEVICE float lb_wg_plus(float sum, uint32_t bits)
{
    return __fadd_rn(sum, __uint_as_float(bits));
}

/* ---- The ring -------------------------------------------------------------------------------- */

/* What the first warpgroup does with rows beside copying them: nothing. */
struct lb_no_count {
    LB_DEVICE lb_no_count(const lb_kargs &)
    {
    }
    LB_DEVICE void add(uint8_t *)
    {
    }
    LB_DEVICE void close(unsigned)
    {
    }
};

/* What comes with W: values of 4 bytes, one a column, of each group of k. They take the way of W
   since from global memory they would be waited for behind all of W that is on its way. */
enum lb_wg_values {
    LB_WG_NONE,
    LB_WG_STEPS,  /* words of scales of two levels (weights.h) */
    LB_WG_SCALES, /* scales, zero points */
    LB_WG_SUMS,   /* scales, zero points, sums */
};
enum { LB_WG_SCALE = 0, LB_WG_ZERO = 1, LB_WG_SUM = 2 }; /* arrays of these; a word is alone */

/* BT rows of A, BK of k a stage, in 128 bytes; BITS of W. */
template <int BT, int BK, int BITS, lb_wg_values VALUES = LB_WG_NONE> struct lb_ring {
    static constexpr int ELEMENT = 1024 / BK; /* bits of A in shared memory */
    static constexpr int A_BYTES = BT * 128, W_HALF = 64 * BK * BITS / 8;
    static constexpr int W_BYTES = (2 * W_HALF + 1023) / 1024 * 1024;
    static constexpr int ARRAYS = (int)VALUES, ROW = LB_WG_COLUMNS * 4, MOST_ROWS = BK / 32;
    static constexpr int STAGE = A_BYTES + W_BYTES + ARRAYS * MOST_ROWS * ROW;
    static_assert(STAGE % 1024 == 0, "tiles begin on 1024 bytes");
    static constexpr int STAGES = LB_WG_RING / STAGE < 12 ? LB_WG_RING / STAGE : 12;
    static constexpr int LAG = STAGES / 2; /* stages whose rows are on their way */

    struct stage {
        uint8_t *a, *w;
        uint64_t *full, *empty;
        uint32_t turn;
    };
    static LB_DEVICE stage at(unsigned s)
    {
        unsigned slot = s % STAGES;
        uint8_t *from = lb_shared() + LB_WG_HEAD + slot * STAGE;
        uint64_t *barriers = (uint64_t *)lb_shared();
        return {from, from + A_BYTES, barriers + slot, barriers + STAGES + slot, s / STAGES & 1};
    }

    static LB_DEVICE void prepare(void)
    {
        if (threadIdx.x == 0) {
            for (unsigned s = 0; s < STAGES; s++) {
                lb_barrier_init(at(s).full, 5);  /* the first's warps, and its bulk copies */
                lb_barrier_init(at(s).empty, 8); /* the others' warps */
            }
            lb_barrier_init_done();
        }
        __syncthreads();
    }

    /* ---- The first warpgroup ----------------------------------------------------------------- */

    static LB_DEVICE void fill_rows(uint8_t *tile, const lb_rows &r, int k0)
    {
        constexpr int EACH = 128 / ELEMENT; /* elements of a chunk of 16 bytes */
#pragma unroll 4
        for (int c = (int)threadIdx.x; c < BT * 8; c += 128) {
            int row = c / 8, k = k0 + c % 8 * EACH;
            int count = row < r.rows ? max(min(EACH, r.k - k), 0) : 0;
            const uint8_t *from = r.base + row * r.pitch + (int64_t)k * r.bits / 8;
            uint8_t *to = tile + lb_swizzle128(row, c % 8);
            if (r.direct)
                lb_copy16(to, count ? from : r.base, (unsigned)(count * ELEMENT / 8));
            else if constexpr (ELEMENT == 8)
                *(uint4 *)to =
                    lb_keep(lb_decode16(lb_fetch(from, 2 * r.bits, (count * r.bits + 7) / 8),
                                        r.bits, r.decoder),
                            count);
            else if constexpr (ELEMENT < 8)
                *(uint4 *)to =
                    lb_keep_bits(lb_fetch(from, 16, (count * ELEMENT + 7) / 8), count * ELEMENT);
            else
                *(uint4 *)to = lb_fetch(from, 16, count * ELEMENT / 8);
        }
    }

    /* Stage s has what this thread wrote there; the last of a tile if `last`. */
    template <typename Count> static LB_DEVICE void hand_over(unsigned s, Count &count, bool last)
    {
        count.add(at(s).a);
        if (last)
            count.close(s % STAGES);
        lb_fence_async();
        __syncwarp();
        if (threadIdx.x % 32 == 0)
            lb_barrier_arrive(at(s).full);
    }

    /* Groups of k, of values. */
    static LB_DEVICE unsigned group_of(const lb_kargs &p)
    {
        return (unsigned)(VALUES == LB_WG_STEPS ? p.step_group : p.group);
    }
    /* Rows of values come for each 32 of a stage's k, or where groups end with stages one row: of
       words in every stage, of others in those in which a group begins. */
    static LB_DEVICE bool by_stages(const lb_kargs &p)
    {
        return group_of(p) % BK == 0;
    }

    /* The columns that a tile multiplies with. */
    struct weights {
        const uint8_t *blob, *codes;
        int64_t pitch;  /* of 64 columns' codes, bytes */
        int64_t values; /* byte offset of a group's, but for the array's own */
    };

    static LB_DEVICE weights weights_of(const lb_kargs &p, const uint8_t *blob, const lb_tile &tile)
    {
        weights w;
        w.blob = blob;
        w.pitch = (int64_t)p.k_pad * 64 * BITS / 8;
        w.codes = blob + p.w_codes + tile.batch * p.w_codes_batch + tile.n / 64 * w.pitch;
        w.values =
            tile.n * 4 + tile.batch * (VALUES == LB_WG_STEPS ? p.w_step_batch : p.w_meta_batch);
        return w;
    }

    static LB_DEVICE void fill_values(const stage &to, const lb_kargs &p, const weights &from,
                                      unsigned k, int rows)
    {
        unsigned most = (unsigned)(VALUES == LB_WG_STEPS ? p.steps : p.groups) - 1;
#pragma unroll 1
        for (int i = 0; i < rows; i++) { /* beyond k A is 0, and any value will do */
            unsigned g = min((k + 32 * i) / group_of(p), most);
            const uint8_t *row = from.blob + from.values + (int64_t)g * p.n_pad * 4;
            uint8_t *at = to.w + W_BYTES + i * ROW;
            if constexpr (VALUES == LB_WG_STEPS) {
                lb_copy_bulk(at, row + p.w_step, ROW, to.full);
            } else {
                lb_copy_bulk(at, row + p.w_scale, ROW, to.full);
                if (p.flags & LB_KF_B_ZERO)
                    lb_copy_bulk(at + LB_WG_ZERO * MOST_ROWS * ROW, row + p.w_zero, ROW, to.full);
                if (VALUES == LB_WG_SUMS && (p.flags & LB_KF_A_ZERO))
                    lb_copy_bulk(at + LB_WG_SUM * MOST_ROWS * ROW, row + p.w_sum, ROW, to.full);
            }
        }
    }

    /* W of stage `step` of k, by one thread. */
    static LB_DEVICE void fill_weights(const stage &to, const lb_kargs &p, const weights &from,
                                       unsigned step)
    {
        const uint8_t *codes = from.codes + (int64_t)step * W_HALF;
        int rows = 0, arrays = 1;
        if constexpr (VALUES != LB_WG_NONE)
            rows = !by_stages(p)                                           ? MOST_ROWS
                   : VALUES == LB_WG_STEPS || step * BK % group_of(p) == 0 ? 1
                                                                           : 0;
        if constexpr (VALUES > LB_WG_STEPS)
            arrays += p.flags & LB_KF_B_ZERO ? 1 : 0;
        if constexpr (VALUES == LB_WG_SUMS)
            arrays += p.flags & LB_KF_A_ZERO ? 1 : 0;
        lb_barrier_expect(to.full, 2 * W_HALF + rows * arrays * ROW);
        for (int half = 0; half < 2; half++)
            lb_copy_bulk(to.w + half * W_HALF, codes + half * from.pitch, W_HALF, to.full);
        if constexpr (VALUES != LB_WG_NONE)
            fill_values(to, p, from, step * BK, rows);
    }

    /* The value of a column of the tile, of the group that begins in a stage with the 32 of k that
       are `i`; of a word's group also where it only goes on there. */
    template <typename T>
    static LB_DEVICE T value_at(const stage &from, int array, int i, int column)
    {
        return ((const T *)(from.w + W_BYTES + (array * MOST_ROWS + i) * ROW))[column];
    }

    template <typename Count> static LB_DEVICE void fill(Count count, LB_PARAMETERS)
    {
        lb_wg_part part = lb_wg_part_of<BT, BK>(p);
        unsigned steps = part.stages, s = 0;
        for (unsigned t = blockIdx.x / part.ranks; t < lb_wg_tiles(p, BT);
             t += gridDim.x / part.ranks) {
            lb_tile tile = lb_wg_tile(p, t, BT);
            lb_rows rows = lb_rows_of(p, LB_AT(a, A), tile, lb_bits(p.a_type) == ELEMENT);
            weights w = weights_of(p, LB_AT(w, W), tile);
            if (s ==
                0) { /* as much of W as the ring holds before anything that may be waited for */
                if (threadIdx.x == 0)
#pragma unroll 1
                    for (unsigned i = 0; i < min(steps, (unsigned)STAGES); i++)
                        fill_weights(at(i), p, w, part.first + i);
                lb_await_inputs();
            }
#pragma unroll 1
            for (unsigned i = 0; i < steps; i++, s++) {
                stage to = at(s);
                lb_barrier_wait(to.empty, to.turn ^ 1);
                if (threadIdx.x == 0 && (s >= STAGES || s >= steps))
                    fill_weights(to, p, w, part.first + i);
                fill_rows(to.a, rows, (int)(part.first + i) * BK);
                lb_copy_commit();
                if (s >= LAG) {
                    lb_copy_wait<LAG>();
                    hand_over(s - LAG, count, (s - LAG) % steps == steps - 1);
                }
            }
        }
        lb_copy_wait<0>();
        for (unsigned i = s < LAG ? 0 : s - LAG; i < s; i++)
            hand_over(i, count, i % steps == steps - 1);
    }

    /* ---- The other two ----------------------------------------------------------------------- */

    /* Waits for stage s and gives where it is; `raw` is this thread's part of its W. */
    template <int WORDS> static LB_DEVICE stage take(unsigned s, uint32_t (&raw)[WORDS])
    {
        int thread = (int)threadIdx.x % 128, half = (int)threadIdx.x / 128 - 1;
        stage from = at(s);
        const uint8_t *w = from.w + half * W_HALF;
        lb_barrier_wait(from.full, from.turn);
        if constexpr (WORDS == 1) {
            raw[0] = *(const uint32_t *)(w + thread * 4);
        } else if constexpr (WORDS == 2) {
            uint2 v = *(const uint2 *)(w + thread * 8);
            raw[0] = v.x, raw[1] = v.y;
        } else {
#pragma unroll
            for (int i = 0; i < WORDS / 4; i++) {
                uint4 v = *(const uint4 *)(w + (i * 128 + thread) * 16);
                raw[4 * i] = v.x, raw[4 * i + 1] = v.y, raw[4 * i + 2] = v.z, raw[4 * i + 3] = v.w;
            }
        }
        return from;
    }

    static LB_DEVICE void give_back(unsigned s)
    {
        __syncwarp();
        if (threadIdx.x % 32 == 0)
            lb_barrier_arrive(at(s).empty);
    }
};

/* `count` stages from s on, with two sets of fragments by turns: while one is multiplied, step(set,
   s) makes the next and asks for its products. last(s) sees the last stage before it is given back.
 */
template <typename Ring, typename Set, typename Step, typename Last>
LB_DEVICE void lb_wg_stages(Set (&sets)[2], unsigned &s, unsigned count, Step step, Last last)
{
    unsigned first = s, end = s + count;
    auto one = [&](Set &set, unsigned at) {
        step(set, at);
        lb_wgmma_commit();
        lb_wgmma_wait<1>();
        if (at != first)
            Ring::give_back(at - 1);
    };
#pragma unroll 1
    for (; s + 2 <= end; s += 2) {
        one(sets[0], s);
        one(sets[1], s + 1);
    }
    if (s < end)
        one(sets[0], s++);
    lb_wgmma_wait<0>();
    if (s != first) {
        last(s - 1);
        Ring::give_back(s - 1);
    }
}

/* ---- To the epilogue ------------------------------------------------------------------------- */

/* This warp's own piece of shared memory. */
template <typename T> LB_DEVICE T *lb_wg_slab(void)
{
    return (T *)(lb_shared() + LB_WG_HEAD + LB_WG_RING + ((int)threadIdx.x / 32 - 4) * LB_SLAB);
}

/* Of a tile of BT rows as much as a slab takes at once. A unit is 8 columns of a row. */
template <int BT> struct lb_wg_piece {
    static constexpr int ROWS = BT < 32 ? BT : 32, UNITS = 2 * ROWS, COUNT = BT / ROWS;
    static_assert(ROWS * LB_SLAB_PITCH * 4 <= LB_SLAB, "a warp's sums");

    static LB_DEVICE int place(int unit)
    {
        return unit / 2 * LB_SLAB_PITCH + unit % 2 * 8;
    }
    /* Piece i of a warp's sums to its slab, transposed back. */
    template <typename T> static LB_DEVICE void put(T *slab, const T (&sums)[BT / 2], int i)
    {
        int lane = (int)threadIdx.x % 32, g = lane / 4, c = lane % 4;
#pragma unroll
        for (int j = 0; j < ROWS / 2; j++)
            slab[(j / 4 * 8 + 2 * c + j % 2) * LB_SLAB_PITCH + g + j / 2 % 2 * 8] =
                sums[i * ROWS / 2 + j];
    }
};

/* The end of a unit, whose sums fetch() has: brief, or the long way. */
template <typename T, typename Fetch, typename Prepare>
LB_DEVICE void lb_wg_close(const lb_kargs &p, const lb_io &io, int m, int n, bool scaled,
                           Fetch fetch, Prepare prepare)
{
    lb_brief brief;
    lb_eight<T> eight;
    brief.open(p, io, m, n, scaled);
    fetch(eight);
    prepare(eight, m, n);
    if (brief.end != LB_LONG) {
        brief.close(eight.v, p, io, m, n);
        return;
    }
    if constexpr (lb_is_float(T()))
        if (!scaled && (p.flags & LB_KF_B_SCALE))
            lb_scale(eight.v, io.w_scale + n);
    lb_finish(eight, p, io, m, n);
}

/* A unit's sums of all blocks of the cluster, from where each has them in its slab. */
template <typename T> LB_DEVICE void lb_wg_gather(lb_eight<T> &eight, const T *from, unsigned ranks)
{
    auto add = [&](const uint4 &v, int i) {
        eight.v[i] = lb_wg_plus(eight.v[i], v.x);
        eight.v[i + 1] = lb_wg_plus(eight.v[i + 1], v.y);
        eight.v[i + 2] = lb_wg_plus(eight.v[i + 2], v.z);
        eight.v[i + 3] = lb_wg_plus(eight.v[i + 3], v.w);
    };
#pragma unroll
    for (int j = 0; j < 8; j++)
        eight.v[j] = 0;
#pragma unroll 4
    for (unsigned rank = 0; rank < ranks; rank++) {
        uint4 low = lb_peer_load16(from, rank), high = lb_peer_load16(from + 4, rank);
        add(low, 0);
        add(high, 4);
    }
}

/*
 * What lb_wg_finish does, by a cluster's blocks together: each leaves its sums in its slabs, and
 * finishes a share of every piece, so that neither the sums' way nor the epilogue is one block's
 * alone. By pieces, since there is no room for a tile beside the ring and b1's counts. The blocks
 * meet when a piece is there, and again when all have read it: before the next is put there or a
 * block ends. The first warpgroup has ended or is about to, and does not count then.
 *
 * Epilogues come last: a meeting waits for what was written to global memory before.
 */
template <int BT, typename T, typename Prepare>
LB_DEVICE void lb_wg_finish_shared(const T (&sums)[BT / 2], const lb_kargs &p, const lb_io &io,
                                   const lb_wg_part &part, int m0, int n0, bool scaled,
                                   Prepare prepare)
{
    typedef lb_wg_piece<BT> piece;
    static_assert(piece::UNITS <= 2 * 32,
                  "a lane has one unit of a share, with two blocks or more");
    int u = (int)(piece::UNITS * part.rank / part.ranks + threadIdx.x % 32), n = n0 + u % 2 * 8;
    bool mine = u < (int)(piece::UNITS * (part.rank + 1) / part.ranks) && n < p.n;
    T *slab = lb_wg_slab<T>();
    lb_eight<T> eight[piece::COUNT];
#pragma unroll
    for (int i = 0; i < piece::COUNT; i++) {
        if (m0 + i * piece::ROWS >= p.m)
            break;
        if (i != 0)
            lb_cluster_wait();
        __syncwarp();
        piece::put(slab, sums, i);
        __syncwarp();
        lb_cluster_arrive();
        lb_cluster_wait();
        if (mine && m0 + i * piece::ROWS + u / 2 < p.m)
            lb_wg_gather(eight[i], slab + piece::place(u), part.ranks);
        __syncwarp();
        lb_cluster_arrive();
    }
#pragma unroll
    for (int i = 0; i < piece::COUNT; i++) {
        int m = m0 + i * piece::ROWS + u / 2;
        if (mine && m < p.m)
            lb_wg_close<T>(
                p, io, m, n, scaled, [&](lb_eight<T> &to) { to = eight[i]; }, prepare);
    }
    __syncwarp();
    lb_cluster_wait();
}

/* A warp's 16 columns of D from n0 on, BT rows from m0 on, by pieces. prepare(eight, m, n) has the
   last word on sums; scaled: they have B's scales. */
template <int BT, typename T, typename Prepare>
LB_DEVICE void lb_wg_finish(T (&sums)[BT / 2], const lb_kargs &p, const lb_io &io,
                            const lb_wg_part &part, int m0, int n0, bool scaled, Prepare prepare)
{
    typedef lb_wg_piece<BT> piece;
    if constexpr (BT <= LB_WG_SPLIT_ROWS) {
        lb_wgmma_keep(sums);
        if (part.ranks > 1) {
            lb_wg_finish_shared<BT>(sums, p, io, part, m0, n0, scaled, prepare);
            return;
        }
    }
    T *slab = lb_wg_slab<T>();
    int lane = (int)threadIdx.x % 32, n = n0 + lane % 2 * 8;
#pragma unroll
    for (int i = 0; i < piece::COUNT; i++) {
        if (m0 + i * piece::ROWS >= p.m)
            break;
        __syncwarp();
        piece::put(slab, sums, i);
        __syncwarp();
#pragma unroll 1
        for (int u = lane; u < piece::UNITS; u += 32) {
            int m = m0 + i * piece::ROWS + u / 2;
            if (m >= p.m || n >= p.n)
                continue;
            lb_wg_close<T>(
                p, io, m, n, scaled,
                [&](lb_eight<T> &to) {
#pragma unroll
                    for (int j = 0; j < 8; j++)
                        to.v[j] = slab[piece::place(u) + j];
                },
                prepare);
        }
    }
    __syncwarp();
}

/* ---- Kernels --------------------------------------------------------------------------------- */

/* `Work` has a ring, and makes a tile from its stages. */
template <typename Work> LB_DEVICE void lb_wg_run(LB_PARAMETERS)
{
    Work::ring::prepare();
    if (threadIdx.x < 128) {
        lb_registers_less<Work::FILLER_REGISTERS>();
        Work::ring::fill(typename Work::count(p), LB_PASS);
        return;
    }
    lb_registers_more<Work::REGISTERS>();
    lb_await_inputs();
    Work work;
    lb_wg_part part = lb_wg_part_of<Work::ROWS, Work::BK>(p);
    unsigned s = 0;
#pragma unroll 1
    for (unsigned t = blockIdx.x / part.ranks; t < lb_wg_tiles(p, Work::ROWS);
         t += gridDim.x / part.ranks) {
        lb_tile tile = lb_wg_tile(p, t, Work::ROWS);
        LB_IO(io, tile.batch);
        work.make(p, io, tile.m, tile.n + 16 * ((int)threadIdx.x / 32 - 4), part, s);
    }
}

#endif
