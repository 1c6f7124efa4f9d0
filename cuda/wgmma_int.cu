/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of up to 8 bits on both sides, on Hopper's wgmma. D is made transposed, W times A's
 * transpose, so that weights are the operand that comes from registers and are widened to bytes on
 * the way there: W of 1, 2 and 4 bits costs no more than of 8, and never lies in memory widened.
 *
 * A block is three warpgroups. The first fills a ring of stages of 128 of k: A's rows (widened to
 * bytes where they are narrower), and by bulk copies W's fragments, which lie in the layout as
 * threads take them. The other two have 64 columns of D (rows of W) each, and BT of its rows. A
 * block makes one tile after the other; while the last two finish one, the first fills for the
 * next.
 *
 *     sum_g scale[g,n] * (sum_{k in g} a (b - zb) - za sum (b - zb))
 *
 * Zero points of W are subtracted when it is widened, so W of 8 bits has none here.
 *
 * Constraints: weights in frag64x128; groups of a multiple of 32.
 */
// archs: 90a
#include "tile.cuh"

namespace
{

constexpr int BK = 128;  /* of k, a stage */
constexpr int BN = 128;  /* columns of D, a block */
constexpr int STEPS = 4; /* products, a stage: of 32 of k */
constexpr int HEAD = 1024, RING = 192 * 1024, SLAB_PITCH = 20, SLAB = 32 * SLAB_PITCH * 4;
constexpr int BAND = 16; /* tiles of columns that follow each other */

/* What one block does next. */
LB_DEVICE lb_tile tile_at(const lb_kargs &p, unsigned index, int bt)
{
    unsigned across = ((unsigned)p.n + BN - 1) / BN, down = ((unsigned)p.m + bt - 1) / bt;
    unsigned batch = index / (across * down), rest = index % (across * down);
    unsigned band = rest / (BAND * down), first = band * BAND;
    unsigned width = min((unsigned)BAND, across - first), in = rest - first * down;
    return {(int)(in / width) * bt, (int)(first + in % width) * BN, batch};
}

LB_DEVICE unsigned tile_count(const lb_kargs &p, int bt)
{
    return ((unsigned)p.n + BN - 1) / BN * (((unsigned)p.m + bt - 1) / bt) * (unsigned)p.batch;
}

/* BT rows of D; BITS, W_U: of W; A_U: A is u8; GROUPED: scales along k, so that sums are of one
   group and added up in f32. */
template <int BT, int BITS, bool W_U, bool A_U, bool GROUPED> struct product {
    static constexpr int A_BYTES = BT * BK, W_HALF = 64 * BK * BITS / 8;
    static constexpr int STAGE = A_BYTES + 2 * W_HALF;
    static constexpr int STAGES = RING / STAGE < 12 ? RING / STAGE : 12;
    static constexpr int LAG = STAGES / 2; /* stages whose copies are on their way */
    static constexpr int WORDS = 2 * BITS; /* of W, a thread and stage */
    static constexpr int ACC = BT / 2;

    /* One stage of the ring, and whose turn it is. */
    struct stage {
        uint8_t *a, *w;
        uint64_t *full, *empty;
        uint32_t turn;
    };
    static LB_DEVICE stage stage_of(unsigned s)
    {
        unsigned slot = s % STAGES;
        uint8_t *at = lb_shared() + HEAD + slot * STAGE;
        uint64_t *barriers = (uint64_t *)lb_shared();
        return {at, at + A_BYTES, barriers + slot, barriers + STAGES + slot, s / STAGES & 1};
    }

    static LB_DEVICE void prepare(void)
    {
        if (threadIdx.x == 0) {
            for (unsigned s = 0; s < STAGES; s++) {
                lb_barrier_init(stage_of(s).full, 5);  /* the first's warps, and its bulk copies */
                lb_barrier_init(stage_of(s).empty, 8); /* the others' warps */
            }
            lb_barrier_init_done();
        }
        __syncthreads();
    }

    /* ---- The first warpgroup ----------------------------------------------------------------- */

    static LB_DEVICE void fill_rows(uint8_t *tile, const lb_rows &r, int k0)
    {
#pragma unroll 4
        for (int c = (int)threadIdx.x; c < BT * 8; c += 128) {
            int row = c / 8, k = k0 + c % 8 * 16;
            int count = row < r.rows ? min(16, r.k - k) : 0;
            const uint8_t *from = r.base + row * r.pitch + (int64_t)k * r.bits / 8;
            uint8_t *to = tile + lb_swizzle128(row, c % 8);
            if (r.direct)
                lb_copy16(to, count > 0 ? from : r.base, (unsigned)max(count, 0));
            else
                *(uint4 *)to =
                    lb_keep(lb_decode16(lb_fetch(from, 2 * r.bits, (count * r.bits + 7) / 8),
                                        r.bits, r.decoder),
                            count);
        }
    }

    /* Stage s has what this thread wrote there. */
    static LB_DEVICE void hand_over(unsigned s)
    {
        lb_fence_async();
        __syncwarp();
        if (threadIdx.x % 32 == 0)
            lb_barrier_arrive(stage_of(s).full);
    }

    static LB_DEVICE void fill(LB_PARAMETERS)
    {
        int steps = (p.k + BK - 1) / BK;
        int64_t w_pitch = (int64_t)p.k_pad * 64 * BITS / 8;
        unsigned s = 0;
        for (unsigned t = blockIdx.x; t < tile_count(p, BT); t += gridDim.x) {
            lb_tile tile = tile_at(p, t, BT);
            lb_rows rows = lb_rows_of(p, LB_AT(a, A), tile, lb_bits(p.a_type) == 8);
            const uint8_t *w =
                LB_AT(w, W) + p.w_codes + tile.batch * p.w_codes_batch + tile.n / 64 * w_pitch;
#pragma unroll 1
            for (int i = 0; i < steps; i++, s++) {
                stage at = stage_of(s);
                lb_barrier_wait(at.empty, at.turn ^ 1);
                if (threadIdx.x == 0) {
                    lb_barrier_expect(at.full, 2 * W_HALF);
                    for (int half = 0; half < 2; half++)
                        lb_copy_bulk(at.w + half * W_HALF, w + half * w_pitch + (int64_t)i * W_HALF,
                                     W_HALF, at.full);
                }
                fill_rows(at.a, rows, i * BK);
                lb_copy_commit();
                if (s >= LAG) {
                    lb_copy_wait<LAG>();
                    hand_over(s - LAG);
                }
            }
        }
        lb_copy_wait<0>();
        for (unsigned i = s < LAG ? 0 : s - LAG; i < s; i++)
            hand_over(i);
    }

    /* ---- The other two ----------------------------------------------------------------------- */

    int acc[ACC];
    float total[GROUPED ? ACC : 1];

    /* From codes to bytes: ((code ^ flip) | 128) - less, the sign back. */
    struct widening {
        uint32_t flip, less[2]; /* less: of rows g and g + 8 */
    };

    static LB_DEVICE widening widening_of(const lb_kargs &p, const lb_io &io, int n, int g)
    {
        lb_decoder d = lb_decoder_of(p.b_type);
        uint32_t bias = d.turn ? 0x80808080u - d.add : 0;
        widening x = {d.flip | 0x80808080u, {bias, bias}};
        if (p.flags & LB_KF_B_ZERO)
            for (int half = 0; half < 2; half++)
                x.less[half] +=
                    0x01010101u * (uint32_t)io.w_zero[(int64_t)g * p.n_pad + n + 8 * half];
        return x;
    }

    /* This thread's part of a stage of W. */
    static LB_DEVICE void take(uint32_t (&raw)[WORDS], const uint8_t *w)
    {
        int thread = (int)threadIdx.x % 128;
        if constexpr (WORDS == 2) {
            uint2 v = *(const uint2 *)(w + thread * 8);
            raw[0] = v.x, raw[1] = v.y;
        } else {
#pragma unroll
            for (int i = 0; i < WORDS / 4; i++) {
                uint4 v = *(const uint4 *)(w + (i * 128 + thread) * 16);
                raw[4 * i] = v.x, raw[4 * i + 1] = v.y, raw[4 * i + 2] = v.z, raw[4 * i + 3] = v.w;
            }
        }
    }

    /* Register r of step `step`. */
    static LB_DEVICE uint32_t widen(const uint32_t (&raw)[WORDS], int step, int r,
                                    const widening &x)
    {
        constexpr int R = 8 / BITS;
        int q = 4 * step + r;
        if constexpr (BITS == 8)
            return raw[q];
        constexpr uint32_t mask = BITS == 4 ? 0x0f0f0f0fu : BITS == 2 ? 0x03030303u : 0x02020202u;
        uint32_t v = raw[q / R];
        if constexpr (BITS == 1) /* twice the bit */
            v = q % R ? v >> (q % R - 1) : v << 1;
        else
            v >>= BITS * (q % R);
        return (((v & mask) ^ x.flip) - x.less[r & 1]) ^ 0x80808080u;
    }

    static LB_DEVICE void done(const stage &at)
    {
        __syncwarp();
        if (threadIdx.x % 32 == 0)
            lb_barrier_arrive(at.empty);
    }

    /* This warp's own piece of shared memory. */
    template <typename T> static LB_DEVICE T *slab(void)
    {
        return (T *)(lb_shared() + HEAD + RING + ((int)threadIdx.x / 32 - 4) * SLAB);
    }

    /* A's zero points of all rows, for close_group. */
    static LB_DEVICE void note_zeros(const lb_kargs &p, const lb_io &io, int m0)
    {
        static_assert(BT * 4 <= SLAB || !GROUPED, "one zero point a row");
        for (int i = (int)threadIdx.x % 32; i < BT; i += 32)
            slab<int>()[i] = lb_a_zero(p, io, min(m0 + i, p.m - 1));
        __syncwarp();
    }

    /* The sums of group g, scaled, to the total; n: this thread's first column. */
    LB_DEVICE void close_group(const lb_kargs &p, const lb_io &io, int n, int g)
    {
        int64_t at = (int64_t)g * p.n_pad + n;
        int length = min(p.group, p.k - g * p.group), c = (int)threadIdx.x % 4;
        float scale[2] = {1.0f, 1.0f};
        if (p.flags & LB_KF_B_SCALE)
            scale[0] = io.w_scale[at], scale[1] = io.w_scale[at + 8];
        int sum[2] = {0, 0};
        if (p.flags & LB_KF_A_ZERO)
            for (int half = 0; half < 2; half++)
                sum[half] = column_sum(p, io, at + 8 * half, length);
#pragma unroll
        for (int i = 0; i < ACC; i++) {
            int half = i / 2 % 2;
            unsigned v = (unsigned)acc[i];
            if (p.flags & LB_KF_A_ZERO)
                v -= (unsigned)slab<int>()[i / 4 * 8 + 2 * c + i % 2] * (unsigned)sum[half];
            float f = __int2float_rn((int)v);
            if (p.flags & LB_KF_B_SCALE)
                f = __fmul_rn(f, scale[half]);
            total[i] = __fadd_rn(total[i], f);
        }
    }

    /* Sum of a column's b - zb over `length` of k. */
    static LB_DEVICE int column_sum(const lb_kargs &p, const lb_io &io, int64_t at, int length)
    {
        int zero = p.flags & LB_KF_B_ZERO ? io.w_zero[at] : 0;
        return (int)((unsigned)io.w_sum[at] - (unsigned)zero * (unsigned)length);
    }

    /* One tile's stages, from s on. */
    LB_DEVICE void multiply(const lb_kargs &p, const lb_io &io, int m0, int n, unsigned &s)
    {
        int steps = (p.k + BK - 1) / BK, half = (int)threadIdx.x / 128 - 1;
        int g = 0, until = p.group;
        uint32_t a[2][STEPS][4];
        bool add = false;
        widening x = widening_of(p, io, n, 0);
        if constexpr (GROUPED)
            note_zeros(p, io, m0);
        auto one = [&](uint32_t(&fragment)[STEPS][4]) {
            stage at = stage_of(s);
            uint32_t raw[WORDS];
            lb_barrier_wait(at.full, at.turn);
            take(raw, at.w + half * W_HALF);
            uint64_t tile = lb_tile_descriptor(at.a);
            if constexpr (GROUPED) {
#pragma unroll
                for (int step = 0; step < STEPS; step++) {
#pragma unroll
                    for (int r = 0; r < 4; r++)
                        fragment[step][r] = widen(raw, step, r, x);
                    lb_wgmma_fence();
                    lb_wgmma_s8<BT, W_U, A_U>(acc, fragment[step], tile + 2 * step, add);
                    lb_wgmma_commit();
                    add = true;
                    until -= 32;
                    if (until == 0 && g + 1 < p.groups) {
                        lb_wgmma_wait<0>();
                        close_group(p, io, n, g++);
                        x = widening_of(p, io, n, g);
                        until = p.group;
                        add = false;
                    }
                }
                lb_wgmma_wait<0>();
                done(at);
            } else {
#pragma unroll
                for (int step = 0; step < STEPS; step++)
#pragma unroll
                    for (int r = 0; r < 4; r++)
                        fragment[step][r] = widen(raw, step, r, x);
                lb_wgmma_fence();
#pragma unroll
                for (int step = 0; step < STEPS; step++) {
                    lb_wgmma_s8<BT, W_U, A_U>(acc, fragment[step], tile + 2 * step, add);
                    add = true;
                }
                lb_wgmma_commit();
                lb_wgmma_wait<1>(); /* the stage before: its fragments are free, and it is */
                if (before)
                    done(stage_of(s - 1));
                before = true;
            }
            s++;
        };
        before = false;
        int i = 0;
        if constexpr (!GROUPED) { /* two sets of fragments, by turns */
#pragma unroll 1
            for (; i + 2 <= steps; i += 2) {
                one(a[0]);
                one(a[1]);
            }
        }
#pragma unroll 1
        for (; i < steps; i++)
            one(a[0]);
        if constexpr (GROUPED) {
            close_group(p, io, n, g);
        } else {
            lb_wgmma_wait<0>();
            if (before)
                done(stage_of(s - 1));
        }
    }
    bool before;

    /* What is left, 32 rows of D at a time through this warp's slab, transposed back there. n0:
       this warp's first column. */
    template <typename T>
    LB_DEVICE void finish(const T (&sums)[ACC], const lb_kargs &p, const lb_io &io, int m0, int n0)
    {
        int lane = (int)threadIdx.x % 32, g = lane / 4, c = lane % 4;
        T *mine = slab<T>();
        __syncwarp();
#pragma unroll
        for (int part = 0; part < BT; part += 32) {
            if (m0 + part >= p.m)
                break;
#pragma unroll
            for (int i = 0; i < (BT < 32 ? ACC : 16); i++)
                mine[(i / 4 * 8 + 2 * c + i % 2) * SLAB_PITCH + g + i / 2 % 2 * 8] =
                    sums[part / 2 + i];
            __syncwarp();
#pragma unroll 1
            for (int u = lane; u < 2 * (BT < 32 ? BT : 32); u += 32) {
                int m = m0 + part + u / 2, n = n0 + u % 2 * 8;
                if (m >= p.m || n >= p.n)
                    continue;
                lb_eight<T> eight;
#pragma unroll
                for (int j = 0; j < 8; j++)
                    eight.v[j] = mine[u / 2 * SLAB_PITCH + u % 2 * 8 + j];
                if constexpr (!GROUPED) {
                    int za = lb_a_zero(p, io, m);
                    if (za != 0)
#pragma unroll
                        for (int j = 0; j < 8; j++)
                            eight.v[j] =
                                (int)((unsigned)eight.v[j] -
                                      (unsigned)za * (unsigned)column_sum(p, io, n + j, p.k));
                }
                lb_finish(eight, p, io, m, n);
            }
            __syncwarp();
        }
    }

    LB_DEVICE void consume(LB_PARAMETERS)
    {
        int warp = (int)threadIdx.x / 32 - 4, row = (int)threadIdx.x % 32 / 4;
        unsigned s = 0;
#pragma unroll 1
        for (unsigned t = blockIdx.x; t < tile_count(p, BT); t += gridDim.x) {
            lb_tile tile = tile_at(p, t, BT);
            LB_IO(io, tile.batch);
            int n0 = tile.n + 16 * warp;
#pragma unroll
            for (int i = 0; i < ACC; i++) {
                acc[i] = 0;
                if constexpr (GROUPED)
                    total[i] = 0.0f;
            }
            multiply(p, io, tile.m, n0 + row, s);
            if constexpr (GROUPED)
                finish(total, p, io, tile.m, n0);
            else
                finish(acc, p, io, tile.m, n0);
        }
    }
};

} // namespace

#define KERNEL(name, bt, bits, w_u, a_u, grouped)                                                  \
    extern "C" __global__ void __launch_bounds__(384, 1) name(LB_ARGUMENTS)                        \
    {                                                                                              \
        typedef product<bt, bits, w_u, a_u, grouped> work;                                         \
        work::prepare();                                                                           \
        if (threadIdx.x < 128) {                                                                   \
            lb_registers_less<40>();                                                               \
            work::fill(LB_PASS);                                                                   \
        } else {                                                                                   \
            lb_registers_more<232>();                                                              \
            work x;                                                                                \
            x.consume(LB_PASS);                                                                    \
        }                                                                                          \
    }

/* The variants that kernels.c names: A and W signed or unsigned, or W's bits; by groups. */
#define VARIANTS(name, bt, g, grouped)                                                             \
    KERNEL(name##_s8##g, bt, 8, false, false, grouped)                                             \
    KERNEL(name##_u8##g, bt, 8, true, false, grouped)                                              \
    KERNEL(name##_s4##g, bt, 4, false, false, grouped)                                             \
    KERNEL(name##_s2##g, bt, 2, false, false, grouped)                                             \
    KERNEL(name##_s1##g, bt, 1, false, false, grouped)                                             \
    KERNEL(name##_as8##g, bt, 8, false, true, grouped)                                             \
    KERNEL(name##_au8##g, bt, 8, true, true, grouped)                                              \
    KERNEL(name##_as4##g, bt, 4, false, true, grouped)                                             \
    KERNEL(name##_as2##g, bt, 2, false, true, grouped)                                             \
    KERNEL(name##_as1##g, bt, 1, false, true, grouped)

VARIANTS(wgmma_int_256, 256, , false)
VARIANTS(wgmma_int_128, 128, , false)
VARIANTS(wgmma_int_128, 128, g, true)
VARIANTS(wgmma_int_64, 64, , false)
VARIANTS(wgmma_int_64, 64, g, true)
VARIANTS(wgmma_int_16, 16, , false)
VARIANTS(wgmma_int_16, 16, g, true)
