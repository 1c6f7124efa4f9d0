/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function per instruction that CUDA C++ has no name for (PTX ISA 8.x; fragments as its
 * chapters on mma, ldmatrix and cp.async lay them out). Kernels call these and no asm of their own:
 * tests/fake/ptx_host.h defines the same functions for the host, where the kernels are tested.
 *
 * Where a device lacks the wide form (sm_75), the same function is made of narrow ones, so that
 * kernels are written once.
 */
#ifndef LB_PTX_CUH
#define LB_PTX_CUH

#include <stdint.h>

#define LB_ASM __device__ __forceinline__

#ifdef __CUDA_ARCH__
#define LB_SM __CUDA_ARCH__
#else
#define LB_SM 0 /* the host's pass over device code */
#endif

/* ---- Conversions ----------------------------------------------------------------------------- */

/* Of binary16 without cuda_fp16.h, which would take half of the build's time. */
LB_ASM float lb_f16_to_f32(uint16_t bits)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

LB_ASM uint16_t lb_f32_to_f16(float value)
{
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

/* Pairs, the first in the low half. */
LB_ASM uint32_t lb_f16x2(float low, float high)
{
#if LB_SM >= 800
    uint32_t d;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
    return d;
#else
    return lb_f32_to_f16(low) | (uint32_t)lb_f32_to_f16(high) << 16;
#endif
}

/* To nearest even; a NaN becomes 0x7fff. */
LB_ASM uint32_t lb_bf16x2(float low, float high)
{
#if LB_SM >= 800
    uint32_t d;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
    return d;
#else
    uint32_t d[2] = {__float_as_uint(low), __float_as_uint(high)};
    for (int i = 0; i < 2; i++)
        d[i] = (d[i] & 0x7fffffffu) > 0x7f800000u ? 0x7fffu
                                                  : (d[i] + 0x7fffu + (d[i] >> 16 & 1u)) >> 16;
    return d[0] | d[1] << 16;
#endif
}

/* a - b, both f16 pairs. */
LB_ASM uint32_t lb_sub_f16x2(uint32_t a, uint32_t b)
{
    uint32_t d;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}

/* The same of bf16 pairs (sm_90). */
LB_ASM uint32_t lb_sub_bf16x2(uint32_t a, uint32_t b)
{
    uint32_t d;
    asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}

/* Bytes of {b, a} by selector, as PRMT: nibble i of `pick` names the source of byte i. */
LB_ASM uint32_t lb_bytes(uint32_t a, uint32_t b, uint32_t pick)
{
    return __byte_perm(a, b, pick);
}

/* ---- Shared memory --------------------------------------------------------------------------- */

/* The block's dynamic shared memory. */
LB_ASM uint8_t *lb_shared(void)
{
    extern __shared__ __align__(1024) uint8_t lb_shared_memory[];
    return lb_shared_memory;
}

/* Its address as instructions take it. */
LB_ASM uint32_t lb_shared_address(const void *at)
{
    return (uint32_t)__cvta_generic_to_shared(at);
}

/* 16 bytes from global to shared memory: `bytes` of them read, zeros behind. Both 16-byte aligned.
   Done when the group it is committed to is waited for. */
LB_ASM void lb_copy16(uint8_t *to, const uint8_t *from, unsigned bytes)
{
#if LB_SM >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(lb_shared_address(to)),
                 "l"(from), "r"(bytes)
                 : "memory");
#else
    uint4 v = {0, 0, 0, 0};
    if (bytes == 16) {
        v = *(const uint4 *)from;
    } else if (bytes) {
        uint32_t word[4] = {0, 0, 0, 0};
#pragma unroll
        for (unsigned i = 0; i < 16; i++)
            if (i < bytes)
                word[i / 4] |= (uint32_t)from[i] << (8 * (i % 4));
        v = make_uint4(word[0], word[1], word[2], word[3]);
    }
    *(uint4 *)to = v;
#endif
}

LB_ASM void lb_copy_commit(void)
{
#if LB_SM >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* This thread's copies but those of the newest `pending` groups are there. */
template <int pending> LB_ASM void lb_copy_wait(void)
{
#if LB_SM >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

/* Four 8x8 matrices of 16-bit elements: lane l gives the address of row l % 8 of matrix l / 8, and
   gets 4 bytes, 4 (l % 4) of row l / 4, of each. */
LB_ASM void lb_ldmatrix4(uint32_t (&d)[4], const uint8_t *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(lb_shared_address(row))
                 : "memory");
}

/* ---- Matrix products ------------------------------------------------------------------------- */
/*
 * All are 16 x 8 of D from 32 bytes of k, K-major: lane l = 4 g + c holds
 *   A  a[0] row g, bytes 4c..; a[1] row g + 8; a[2] row g, bytes 16 + 4c..; a[3] row g + 8, same
 *   B  b[0] column g, bytes 4c..; b[1] column g, bytes 16 + 4c..
 *   D  d[0], d[1] row g, columns 2c, 2c + 1; d[2], d[3] row g + 8
 */

#define LB_MMA_S32(shape, a_type, b_type)                                                          \
    asm volatile("mma.sync.aligned." shape ".row.col.s32." a_type "." b_type                       \
                 ".s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"            \
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

/* One of sm_75's: 8 x 8 from 16 bytes of k; lane l holds row g (column g), bytes 4c... */
#define LB_MMA_8(shape, operation, a_type, b_type, i, j)                                           \
    asm volatile("mma.sync.aligned." shape ".row.col.s32." a_type "." b_type ".s32" operation      \
                 " {%0, %1}, {%2}, {%3}, {%0, %1};"                                                \
                 : "+r"(d[2 * (i & 1)]), "+r"(d[2 * (i & 1) + 1])                                  \
                 : "r"(a[i]), "r"(b[j]))
#define LB_MMA_8_FOUR(shape, operation, a_type, b_type)                                            \
    LB_MMA_8(shape, operation, a_type, b_type, 0, 0);                                              \
    LB_MMA_8(shape, operation, a_type, b_type, 1, 0);                                              \
    LB_MMA_8(shape, operation, a_type, b_type, 2, 1);                                              \
    LB_MMA_8(shape, operation, a_type, b_type, 3, 1)

/* 8-bit integers, 32 of k; A_U and B_U: unsigned. */
template <bool A_U, bool B_U>
LB_ASM void lb_mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#if LB_SM >= 800
    if constexpr (A_U && B_U)
        LB_MMA_S32("m16n8k32", "u8", "u8");
    else if constexpr (A_U)
        LB_MMA_S32("m16n8k32", "u8", "s8");
    else if constexpr (B_U)
        LB_MMA_S32("m16n8k32", "s8", "u8");
    else
        LB_MMA_S32("m16n8k32", "s8", "s8");
#else
    if constexpr (A_U && B_U) {
        LB_MMA_8_FOUR("m8n8k16", "", "u8", "u8");
    } else if constexpr (A_U) {
        LB_MMA_8_FOUR("m8n8k16", "", "u8", "s8");
    } else if constexpr (B_U) {
        LB_MMA_8_FOUR("m8n8k16", "", "s8", "u8");
    } else {
        LB_MMA_8_FOUR("m8n8k16", "", "s8", "s8");
    }
#endif
}

/* 4-bit integers, 64 of k; A_U and B_U: unsigned. Emulated by other instructions from sm_90 on. */
template <bool A_U, bool B_U>
LB_ASM void lb_mma_s4(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#if LB_SM >= 800
    if constexpr (A_U && B_U)
        LB_MMA_S32("m16n8k64", "u4", "u4");
    else if constexpr (A_U)
        LB_MMA_S32("m16n8k64", "u4", "s4");
    else if constexpr (B_U)
        LB_MMA_S32("m16n8k64", "s4", "u4");
    else
        LB_MMA_S32("m16n8k64", "s4", "s4");
#else
    if constexpr (A_U && B_U) {
        LB_MMA_8_FOUR("m8n8k32", "", "u4", "u4");
    } else if constexpr (A_U) {
        LB_MMA_8_FOUR("m8n8k32", "", "u4", "s4");
    } else if constexpr (B_U) {
        LB_MMA_8_FOUR("m8n8k32", "", "s4", "u4");
    } else {
        LB_MMA_8_FOUR("m8n8k32", "", "s4", "s4");
    }
#endif
}

/* Bits, 256 of k: adds popcount(a & b), which all devices but sm_75 have. sm_75 has a ^ b alone;
   with the rows' own popcounts one gives the other, so callers ask which it was. */
LB_ASM constexpr bool lb_mma_b1_is_xor(void)
{
    return LB_SM < 800;
}
LB_ASM void lb_mma_b1(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#if LB_SM >= 800
    asm volatile("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    LB_MMA_8_FOUR("m8n8k128", ".xor.popc", "b1", "b1");
#endif
}

/* f16 (or bf16, from sm_80 on) operands, 16 of k, sums in f32. */
template <bool BF16>
LB_ASM void lb_mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#define LB_MMA_F32(type)                                                                           \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                            \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"            \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#if LB_SM >= 800
    if constexpr (BF16)
        LB_MMA_F32("bf16");
    else
        LB_MMA_F32("f16");
#else
#pragma unroll
    for (int half = 0; half < 2; half++)
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
                     "{%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#endif
#undef LB_MMA_F32
}

/* ---- Warpgroups (sm_90a) --------------------------------------------------------------------- */
/*
 * Four warps multiply together, asynchronously: 64 x N of D from A in registers, whose fragment is
 * that of mma (rows 16 (warp % 4) + ..), and B in shared memory, N rows of 128 bytes of k whose
 * chunks of 16 bytes are permuted by row % 8. Thread 4 g + c of a warp holds of its 16 rows
 *   D  d[4 j], d[4 j + 1] row g, columns 8 j + 2 c, + 1; d[4 j + 2], d[4 j + 3] row g + 8
 * Neither d nor a may be touched from the product on until its group has been waited for.
 */

/* Where chunk `chunk` of row `row` of such a tile lies; tiles are aligned to 1024 bytes. */
LB_ASM constexpr int lb_swizzle128(int row, int chunk)
{
    return row * 128 + ((chunk ^ row) & 7) * 16;
}

/* A tile as products take it; each 32 bytes of k further on add 2. */
LB_ASM uint64_t lb_tile_descriptor(const uint8_t *tile)
{
    return (uint64_t)(lb_shared_address(tile) >> 4) | UINT64_C(1) << 16 | UINT64_C(64) << 32 |
           UINT64_C(1) << 62;
}

LB_ASM void lb_wgmma_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
LB_ASM void lb_wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int pending> LB_ASM void lb_wgmma_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/* Keeps the compiler from moving what is done with sums to before the wait that stands here. */
LB_ASM void lb_wgmma_keep(int &sum)
{
    asm volatile("" : "+r"(sum)::"memory");
}
LB_ASM void lb_wgmma_keep(float &sum)
{
    asm volatile("" : "+f"(sum)::"memory");
}
template <typename T, int N> LB_ASM void lb_wgmma_keep(T (&sums)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        lb_wgmma_keep(sums[i]);
}

#define LB_NAMES(tens)                                                                             \
    "%" #tens "0, %" #tens "1, %" #tens "2, %" #tens "3, %" #tens "4, %" #tens "5, %" #tens        \
    "6, %" #tens "7, %" #tens "8, %" #tens "9"
#define LB_NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7"
#define LB_NAMES_64 LB_NAMES() ", " LB_NAMES(1) ", " LB_NAMES(2) ", %30, %31"
#define LB_NAMES_128                                                                               \
    LB_NAMES()                                                                                     \
    ", " LB_NAMES(1) ", " LB_NAMES(2) ", " LB_NAMES(3) ", " LB_NAMES(4) ", " LB_NAMES(             \
        5) ", %60, %61, %62, %63"
#define LB_NAMES_256                                                                               \
    LB_NAMES()                                                                                     \
    ", " LB_NAMES(1) ", " LB_NAMES(2) ", " LB_NAMES(3) ", " LB_NAMES(4) ", " LB_NAMES(             \
        5) ", " LB_NAMES(6) ", " LB_NAMES(7) ", " LB_NAMES(8) ", " LB_NAMES(9) ", " LB_NAMES(10) ", " LB_NAMES(11) ", %120, %121, %122, %123, %124, %125, %126, %127"
#define LB_OUT_8(c, i)                                                                             \
    "+" c(d[i]), "+" c(d[i + 1]), "+" c(d[i + 2]), "+" c(d[i + 3]), "+" c(d[i + 4]),               \
        "+" c(d[i + 5]), "+" c(d[i + 6]), "+" c(d[i + 7])
#define LB_OUT_16(c) LB_OUT_8(c, 0)
#define LB_OUT_64(c) LB_OUT_8(c, 0), LB_OUT_8(c, 8), LB_OUT_8(c, 16), LB_OUT_8(c, 24)
#define LB_OUT_128(c)                                                                              \
    LB_OUT_64(c), LB_OUT_8(c, 32), LB_OUT_8(c, 40), LB_OUT_8(c, 48), LB_OUT_8(c, 56)
#define LB_OUT_256(c)                                                                              \
    LB_OUT_128(c), LB_OUT_8(c, 64), LB_OUT_8(c, 72), LB_OUT_8(c, 80), LB_OUT_8(c, 88),             \
        LB_OUT_8(c, 96), LB_OUT_8(c, 104), LB_OUT_8(c, 112), LB_OUT_8(c, 120)

/* Operands behind D: four of A, the tile, and whether D's old value counts. */
#define LB_WGMMA(n, kind, register, more, a0, a1, a2, a3, b, p)                                    \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #p ", 0;\n"                                  \
                 "wgmma.mma_async.sync.aligned.m64n" #n kind " {" LB_NAMES_##n                     \
                 "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3 "}, %" #b ", p" more ";\n}"             \
                 : LB_OUT_##n(register)                                                            \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"((int)add)            \
                 : "memory")
#define LB_WGMMA_16(...) LB_WGMMA(16, __VA_ARGS__, 8, 9, 10, 11, 12, 13)
#define LB_WGMMA_64(...) LB_WGMMA(64, __VA_ARGS__, 32, 33, 34, 35, 36, 37)
#define LB_WGMMA_128(...) LB_WGMMA(128, __VA_ARGS__, 64, 65, 66, 67, 68, 69)
#define LB_WGMMA_256(...) LB_WGMMA(256, __VA_ARGS__, 128, 129, 130, 131, 132, 133)
#define LB_WGMMA_ANY(...)                                                                          \
    if constexpr (N == 16) {                                                                       \
        LB_WGMMA_16(__VA_ARGS__);                                                                  \
    } else if constexpr (N == 64) {                                                                \
        LB_WGMMA_64(__VA_ARGS__);                                                                  \
    } else if constexpr (N == 128) {                                                               \
        LB_WGMMA_128(__VA_ARGS__);                                                                 \
    } else {                                                                                       \
        static_assert(N == 256, "16, 64, 128 or 256 columns");                                     \
        LB_WGMMA_256(__VA_ARGS__);                                                                 \
    }

/* 8-bit integers, 32 of k; A_U and B_U: unsigned; add: to d, whose old value else does not count.
 */
template <int N, bool A_U, bool B_U>
LB_ASM void lb_wgmma_s8(int (&d)[N / 2], const uint32_t (&a)[4], uint64_t tile, bool add)
{
    if constexpr (A_U && B_U) {
        LB_WGMMA_ANY("k32.s32.u8.u8", "r", "")
    } else if constexpr (A_U) {
        LB_WGMMA_ANY("k32.s32.u8.s8", "r", "")
    } else if constexpr (B_U) {
        LB_WGMMA_ANY("k32.s32.s8.u8", "r", "")
    } else {
        LB_WGMMA_ANY("k32.s32.s8.s8", "r", "")
    }
}

/* Bits, 256 of k: adds popcount(a & b). */
template <int N>
LB_ASM void lb_wgmma_b1(int (&d)[N / 2], const uint32_t (&a)[4], uint64_t tile, bool add)
{
    LB_WGMMA_ANY("k256.s32.b1.b1.and.popc", "r", "")
}

/* f16 or bf16, 16 of k, sums in f32. */
template <int N, bool BF16>
LB_ASM void lb_wgmma_f16(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t tile, bool add)
{
    if constexpr (BF16) {
        LB_WGMMA_ANY("k16.f32.bf16.bf16", "f", ", 1, 1, 0")
    } else {
        LB_WGMMA_ANY("k16.f32.f16.f16", "f", ", 1, 1, 0")
    }
}

/* Registers of the threads of this warpgroup from here on. */
template <int count> LB_ASM void lb_registers_less(void)
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count> LB_ASM void lb_registers_more(void)
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}

/* ---- Barriers in shared memory (sm_90) ------------------------------------------------------- */
/*
 * A phase ends when `count` arrivals have come, and all bytes that were announced. Phases are
 * counted from 0; waiting for parity 1 of a fresh barrier returns at once.
 */

LB_ASM void lb_barrier_init(uint64_t *barrier, int count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(lb_shared_address(barrier)),
                 "r"(count)
                 : "memory");
}
/* Of the thread that initialised them, before the block's other threads are told. */
LB_ASM void lb_barrier_init_done(void)
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
LB_ASM void lb_barrier_arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(lb_shared_address(barrier))
                 : "memory");
}
/* Arrives, and announces bytes of copies. */
LB_ASM void lb_barrier_expect(uint64_t *barrier, uint32_t bytes)
{
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(lb_shared_address(barrier)),
        "r"(bytes)
        : "memory");
}
LB_ASM void lb_barrier_wait(uint64_t *barrier, uint32_t parity)
{
    asm volatile("{\n.reg .pred p;\nagain:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra done;\nbra "
                 "again;\ndone:\n}" ::"r"(lb_shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}
/* A multiple of 16 bytes, both ends aligned to 16, which count towards the barrier's phase. */
LB_ASM void lb_copy_bulk(uint8_t *to, const uint8_t *from, uint32_t bytes, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], "
                 "%2, [%3];" ::"r"(lb_shared_address(to)),
                 "l"(from), "r"(bytes), "r"(lb_shared_address(barrier))
                 : "memory");
}
/* All threads of a cluster that have not ended arrive; who waits then sees what they wrote before.
 */
LB_ASM void lb_cluster_arrive(void)
{
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
LB_ASM void lb_cluster_wait(void)
{
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
/* What block `rank` of the cluster has where `at` is in this one's shared memory. */
LB_ASM uint4 lb_peer_load16(const void *at, unsigned rank)
{
    uint4 v;
    asm volatile("{\n.reg .b32 peer;\nmapa.shared::cluster.u32 peer, %4, %5;\n"
                 "ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [peer];\n}"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(lb_shared_address(at)), "r"(rank)
                 : "memory");
    return v;
}
/* This thread's writes to shared memory, for those that read it asynchronously (wgmma's tiles). */
LB_ASM void lb_fence_async(void)
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- Grids that overlap (sm_90) -------------------------------------------------------------- */

/* Until the work that this grid was launched to overlap is complete, and its writes can be seen.
   Returns at once in a grid that was launched to begin after it. */
LB_ASM void lb_grid_wait(void)
{
#if LB_SM >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/* The grid that is to overlap this one may begin when a thread of each block has called this, or
   the block has ended. */
LB_ASM void lb_grid_launch_dependents(void)
{
#if LB_SM >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#endif
