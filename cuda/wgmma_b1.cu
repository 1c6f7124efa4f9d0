/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bits (+1 and -1) on both sides, on wgmma b1, 1024 of k a stage (wgmma.cuh). With pa the ones of a
 * row of A,
 *
 *     sum a b = 4 popc(a & b) - 2 pa - sum b
 *
 * The first warpgroup counts pa: each thread in the chunks that it has copied itself, once they are
 * there. A tile's counts lie beside the slot of its last stage, and are free when that is.
 *
 * Constraints: weights in frag64x1024; no zero points, no groups.
 */
// archs: 90a
#include "wgmma.cuh"

namespace
{

/* Ones of BT rows, in all of the ring's slots. */
template <int BT> LB_DEVICE int *counts_of(unsigned slot)
{
    return (int *)(lb_shared() + LB_WG_HEAD + LB_WG_RING + 8 * LB_SLAB) + slot * BT;
}

/* Thread t copies chunk t % 8 of rows t / 8 + 16 i (lb_ring::fill_rows). What it has counted of
   them lies in shared memory: it has no registers for it. */
template <int BT> struct row_count {
    static constexpr int EACH = (BT + 15) / 16;

    static LB_DEVICE int &ones(int i)
    {
        return counts_of<BT>(0)[1024 + 128 * i + (int)threadIdx.x];
    }
    LB_DEVICE row_count(const lb_kargs &)
    {
        for (int i = 0; i < EACH; i++)
            ones(i) = 0;
    }
    LB_DEVICE void add(const uint8_t *tile)
    {
#pragma unroll 4
        for (int i = 0; i < EACH; i++) {
            int c = (int)threadIdx.x + 128 * i;
            uint4 v = *(const uint4 *)(tile + lb_swizzle128(c / 8, c % 8));
            ones(i) += __popc(v.x) + __popc(v.y) + __popc(v.z) + __popc(v.w);
        }
    }
    LB_DEVICE void close(unsigned slot)
    {
#pragma unroll 1
        for (int i = 0; i < EACH; i++) {
            int sum = ones(i);
#pragma unroll
            for (int lanes = 1; lanes < 8; lanes *= 2)
                sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
            if (threadIdx.x % 8 == 0)
                counts_of<BT>(slot)[threadIdx.x / 8 + 16 * i] = sum;
            ones(i) = 0;
        }
    }
};

template <int BT> struct product {
    static constexpr int ROWS = BT, BK = 1024, STEPS = 4; /* products a stage, of 256 of k */
    static constexpr int ACC = BT / 2;
    static constexpr int FILLER_REGISTERS = 56, REGISTERS = 224;
    typedef lb_ring<BT, BK, 1> ring;
    typedef row_count<BT> count;
    static_assert(ring::STAGES * BT * 4 <= 4096, "a slot's counts");

    int acc[ACC];
    bool add;

    /* From popcounts to sums; n: this thread's first column. W's sums are of all of k, so that one
       of a cluster's blocks takes them off. */
    LB_DEVICE void close(const lb_io &io, int n, unsigned slot, bool whole)
    {
        int sum[2] = {whole ? io.w_sum[n] : 0, whole ? io.w_sum[n + 8] : 0},
            c = (int)threadIdx.x % 4;
        const int *ones = counts_of<BT>(slot);
#pragma unroll
        for (int i = 0; i < ACC; i++)
            acc[i] = 4 * acc[i] - 2 * ones[i / 4 * 8 + 2 * c + i % 2] - sum[i / 2 % 2];
    }

    LB_DEVICE void make(const lb_kargs &p, const lb_io &io, int m0, int n0, const lb_wg_part &part,
                        unsigned &s)
    {
        uint32_t words[2][16];
        add = false;
#pragma unroll
        for (int i = 0; i < ACC; i++)
            acc[i] = 0;
        auto step = [&](uint32_t(&raw)[16], unsigned at) {
            uint64_t tile = lb_tile_descriptor(ring::take(at, raw).a);
            lb_wgmma_fence();
#pragma unroll
            for (int i = 0; i < STEPS; i++) {
                uint32_t fragment[4] = {raw[4 * i], raw[4 * i + 1], raw[4 * i + 2], raw[4 * i + 3]};
                lb_wgmma_b1<BT>(acc, fragment, tile + 2 * i, add);
                add = true;
            }
        };
        lb_wg_stages<ring>(words, s, part.stages, step, [&](unsigned at) {
            close(io, n0 + (int)threadIdx.x % 32 / 4, at % ring::STAGES, part.rank == 0);
        });
        lb_wg_finish<BT>(acc, p, io, part, m0, n0, false, [](lb_eight<int> &, int, int) {});
    }
};

} // namespace

#define KERNEL(bt)                                                                                 \
    extern "C" __global__ void __launch_bounds__(LB_WG_THREADS, 1) wgmma_b1_##bt(LB_ARGUMENTS)     \
    {                                                                                              \
        lb_wg_run<product<bt>>(LB_PASS);                                                           \
    }

KERNEL(256)
KERNEL(128)
KERNEL(64)
KERNEL(16)
