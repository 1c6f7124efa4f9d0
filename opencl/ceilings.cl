/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device does at best: chains of one operation in registers, and a walk through memory.
 *
 *   WIDE 16 (CPUs)  one work-item per work-group, vectors of 16, each group walks its own slice
 *   WIDE 1 (GPUs)   work-groups of 256, scalars, all work-items side by side
 *   S8   0 plain OpenCL C   1 cl_khr_integer_dot_product   2 NVIDIA dp4a   3 AMD v_dot4
 *        4 vpdpbusd         5 NVIDIA mma.sync
 *   BF16 1 vdpbf16ps
 *
 * Every chain depends on its own last value alone, so that no compiler can shorten it, and there
 * are as many as hide the operation's latency. Operations per work-item are in ceilings.c.
 */
#define FOR(i, n) _Pragma("unroll") for (int i = 0; i < (n); i++)
#if WIDE == 16
#define ITEMS 1
typedef float16 lb_f;
typedef int16 lb_i;
typedef uint16 lb_u;
#else
#define ITEMS 256
typedef float lb_f;
typedef int lb_i;
typedef uint lb_u;
#endif
#define CHAINS 12
/* As in panel_float.cl: without FP_FAST_FMAF fma() may be a call. */
#if defined(FP_FAST_FMAF) || WIDE == 1
#define MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#pragma OPENCL FP_CONTRACT ON
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif
#define KERNEL __kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))

/* ---- Arithmetic ------------------------------------------------------------------------------ */

KERNEL void loop_f32(__global float *out, int repeat, float x, float y)
{
    lb_f acc[CHAINS];
    FOR(c, CHAINS) acc[c] = (lb_f)((float)(get_global_id(0) + c));
    for (int i = 0; i < repeat; i++) {
        FOR(c, CHAINS) acc[c] = MULTIPLY_ADD(acc[c], (lb_f)(x), (lb_f)(y));
    }
    FOR(c, CHAINS) acc[0] += acc[c];
#if WIDE == 16
    acc[0].s0 = dot(acc[0].lo.lo + acc[0].lo.hi, acc[0].hi.lo + acc[0].hi.hi);
    out[get_global_id(0)] = acc[0].s0;
#else
    out[get_global_id(0)] = acc[0];
#endif
}

#if WIDE == 16
#define STORE(out, v)                                                                              \
    do {                                                                                           \
        int8 h_ = (v).lo + (v).hi;                                                                 \
        int4 q_ = h_.lo + h_.hi;                                                                   \
        (out)[get_global_id(0)] = q_.x + q_.y + q_.z + q_.w;                                       \
    } while (0)
#else
#define STORE(out, v) (out)[get_global_id(0)] = (v)
#endif

KERNEL void loop_b1(__global int *out, int repeat, int x, int y)
{
    lb_u acc[CHAINS];
    FOR(c, CHAINS) acc[c] = (lb_u)((uint)(get_global_id(0) * 7 + c));
    for (int i = 0; i < repeat; i++) {
        FOR(c, CHAINS)
        {
#if WIDE == 16 && POPCOUNT == 2
            lb_u r, bits = acc[c] ^ (lb_u)((uint)x);
            __asm__("vpopcntd %1, %0" : "=v"(r) : "v"(bits));
            acc[c] += r;
#else
            acc[c] += popcount(acc[c] ^ (lb_u)((uint)x));
#endif
        }
    }
    FOR(c, CHAINS) acc[0] += acc[c];
#if WIDE == 16
    STORE(out, as_int16(acc[0]) + y);
#else
    STORE(out, as_int(acc[0]) + y);
#endif
}

static inline lb_i dot4(lb_i acc, lb_i x, lb_i y)
{
#if S8 == 4
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y));
    return acc;
#elif S8 == 1
    return acc + dot_4x8packed_ss_int(as_uint(x), as_uint(y));
#elif S8 == 2 && (defined(__NV_CL_C_VERSION) || defined(__NVPTX__))
    __asm__("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(acc) : "r"(x), "r"(y));
    return acc;
#elif S8 == 3 && (defined(__GFX11__) || defined(__GFX12__))
    return __builtin_amdgcn_sudot4(true, x, true, y, acc, false);
#elif S8 == 3 && defined(__AMDGCN__)
    return __builtin_amdgcn_sdot4(x, y, acc, false);
#elif WIDE == 16
    /* Pairs of widened values, vpmaddwd where LLVM sees it (panel_int.cl). */
    int16 low = convert_int16(as_short16(x.lo)) * convert_int16(as_short16(y.lo));
    int16 high = convert_int16(as_short16(x.hi)) * convert_int16(as_short16(y.hi));
    acc.lo += low.even + low.odd;
    acc.hi += high.even + high.odd;
    return acc;
#else
    char4 a = as_char4(x), b = as_char4(y);
    return acc + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
#endif
}

#if S8 == 5 && (defined(__NV_CL_C_VERSION) || defined(__NVPTX__))
KERNEL void loop_s8(__global int *out, int repeat, int x, int y)
{
    int acc[CHAINS][4], a = x + (int)get_global_id(0), b = y;
    FOR(c, CHAINS) FOR(e, 4) acc[c][e] = c + e;
    for (int i = 0; i < repeat; i++) {
        FOR(c, CHAINS)
        __asm__ volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                         "{%0, %1, %2, %3}, {%4, %4, %4, %4}, {%5, %5}, {%0, %1, %2, %3};"
                         : "+r"(acc[c][0]), "+r"(acc[c][1]), "+r"(acc[c][2]), "+r"(acc[c][3])
                         : "r"(a), "r"(b));
    }
    FOR(c, CHAINS) FOR(e, 4) acc[0][0] += acc[c][e];
    out[get_global_id(0)] = acc[0][0];
}
#else
KERNEL void loop_s8(__global int *out, int repeat, int x, int y)
{
    lb_i acc[CHAINS], b[CHAINS];
    FOR(c, CHAINS)
    {
        acc[c] = (lb_i)(c);
        b[c] = (lb_i)(y + c);
    }
    for (int i = 0; i < repeat; i++) {
        /* Changes, or the products would be computed once. */
        lb_i a = (lb_i)((x + i) & 0x7f7f7f7f);
        FOR(c, CHAINS) acc[c] = dot4(acc[c], a, b[c]);
    }
    FOR(c, CHAINS) acc[0] += acc[c];
    STORE(out, acc[0]);
}
#endif

#if BF16
KERNEL void loop_bf16(__global float *out, int repeat, int x, int y)
{
    lb_f acc[CHAINS];
    lb_i a = (lb_i)(x + (int)get_global_id(0)), b = (lb_i)(y);
    FOR(c, CHAINS) acc[c] = (lb_f)((float)c);
    for (int i = 0; i < repeat; i++) {
        FOR(c, CHAINS) __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc[c]) : "v"(a), "v"(b));
    }
    FOR(c, CHAINS) acc[0] += acc[c];
    out[get_global_id(0)] = acc[0].s0 + acc[0].s9;
}
#endif

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Of this work-item's `count` pieces of 64 bytes (WIDE 16) or 16 (WIDE 1), piece i. */
#if WIDE == 16
typedef uint16 lb_piece;
#define PIECE(i) ((long)get_global_id(0) * count + (i))
#else
typedef uint4 lb_piece;
#define PIECE(i) ((long)get_global_id(0) + (long)get_global_size(0) * (i))
#endif

KERNEL void walk_read(__global const lb_piece *from, __global int *out, int count)
{
    lb_piece sum = 0, other = 0;
    for (int i = 0; i < count; i += 2) {
        sum ^= from[PIECE(i)];
        other ^= from[PIECE(i + 1)];
    }
    sum ^= other;
    out[get_global_id(0)] = (int)(sum.x ^ sum.y ^ sum.z ^ sum.w);
}

KERNEL void walk_copy(__global const lb_piece *from, __global lb_piece *to, int count)
{
    for (int i = 0; i < count; i++)
        to[PIECE(i)] = from[PIECE(i)];
}
