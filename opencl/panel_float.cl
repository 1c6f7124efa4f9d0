/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Float activations (f16, bf16, f32) times weights of 8, 4, 2 or 1 bit, for CPUs, summed in f32.
 *
 *     D[m,n] = sum_g scale[g,n] * sum_{k in g} A[m,k] * (W[n,k] - zero[g,n])
 *
 * Two passes, as in panel_int.cl: `stage` turns MR rows of A into a panel of words of KQ
 * consecutive k, [k/KQ][MR], and `panel_float` walks register tiles of MR rows x NV vectors of 16
 * columns over layout panel64h. Fields are decoded exactly, once per tile. A group's sum is scaled
 * when it is complete, so that the scale costs nothing per element and rounds nothing that is
 * multiplied.
 *
 *   KQ 1  f32 in plain OpenCL C
 *   KQ 2  (LB_X86_BF16) vdpbf16ps: 32 products of bf16 into 16 columns per instruction; it takes
 *         denormals as 0 (docs/numerics.md)
 *
 * Macros: LB_X86_BF16, LB_TABLE (c4, c2: one table for all, by AVX-512's lookups), MR, NV, MT
 * (multiple of MR), NT (multiple of 16 NV; 64 divides or is divided by it), from the row; WB
 * (weight bits), GROUPED (scale per group), from the problem. Workspace: ws[0] panels, ws[1] sums
 * of A's groups in f32 (KQ 2), ws[2] and ws[3] their bytes per batch.
 */
#ifndef LB_TABLE
#define LB_TABLE 0
#endif
#define PANEL 64
#define WORD_K (32 / WB) /* k per word of weights */
#define FOR(i, n) _Pragma("unroll") for (int i = 0; i < (n); i++)

/* Pairs of k that are unrolled; whole words but for 32 k of one bit. Shifting what is left of a
   word from block to block takes NV registers, which 2-bit fields, with their mask, do not have. */
#define BLOCK_PAIRS (WB == 8 ? 2 : WB == 2 ? 8 : 4)
#define BLOCKS (16 / (WB * BLOCK_PAIRS))

/* Drivers that have the instruction need not define FP_FAST_FMAF; without it fma() is a call. */
#if defined(__x86_64__) && !defined(__FMA__) && !defined(FP_FAST_FMAF)
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#else
#define MULTIPLY_ADD(a, b, c) fma(a, b, c)
#endif

/* ---- Decoding: the fields at bit `shift` of 16 words ------------------------------------------
 */

/* value + (offset - field_offset). A field's bits are the low bits of the float 2^23 + field; a
   single bit is the sign of 1. */
static inline float16 decode_f32(uint16 w, uint shift, float16 offset)
{
#if WB == 1
    return as_float16(((w << (31u - shift)) & 0x80000000u) ^ 0xbf800000u) - offset;
#else
    return as_float16(((w >> shift) & ((1u << WB) - 1u)) | 0x4b000000u) - offset;
#endif
}

static inline float field_offset(int type)
{
#if WB == 1
    return 0.0f;
#else
    bool is_unsigned = type == LB_TYPE_U8 || type == LB_TYPE_U4 || type == LB_TYPE_U2;
    return 0x1p23f + (is_unsigned ? 0.0f : (float)(1 << (WB - 1)));
#endif
}

#if LB_X86_BF16
#define KQ 2
typedef int word_t;
typedef int16 weights_t; /* pairs of bf16 */

static inline float16 dot(float16 acc, weights_t w, word_t a)
{
    int16 av = a;
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(w), "v"(av));
    return acc;
}

/* Pairs of values that bf16 holds exactly, the even one in the low half. */
#define PAIRS(n, even, odd) as_int##n((as_uint##n(odd) & 0xffff0000u) | (as_uint##n(even) >> 16u))

#if WB == 8
#define ZERO_BY_SUMS 0
static inline weights_t decode(uint16 w, uint shift, float16 offset, weights_t table)
{
    return PAIRS(16, decode_f32(w, shift, offset), decode_f32(w, shift + 16, offset));
}
#else
/* vpermw looks up the low 5 bits of each half word; zero points come off the sum. */
#define ZERO_BY_SUMS 1
static inline weights_t decode(uint16 w, uint shift, float16 offset, weights_t table)
{
    weights_t r;
    __asm__("vpermw %2, %1, %0" : "=v"(r) : "v"(w >> shift), "v"(table));
    return r;
}
#endif

/* Field -> value for 5 bits of field; those above WB do not count. */
static inline weights_t make_table(int type)
{
    uint16 even = (uint16)(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    float16 offset = field_offset(type);
    return PAIRS(16, decode_f32(even, 0, offset), decode_f32(even + 1u, 0, offset));
}
#else
#define KQ 1
#define ZERO_BY_SUMS 0
typedef float word_t;
typedef float16 weights_t;

static inline float16 dot(float16 acc, weights_t w, word_t a)
{
    return MULTIPLY_ADD((float16)a, w, acc);
}

static inline weights_t decode(uint16 w, uint shift, float16 offset, weights_t table)
{
#if LB_TABLE /* vpermps looks up the low 4 bits of each word */
    weights_t r;
    __asm__("vpermps %2, %1, %0" : "=v"(r) : "v"(w >> shift), "v"(table));
    return r;
#else
    return decode_f32(w, shift, offset);
#endif
}

static inline weights_t make_table(int type)
{
    return 0.0f;
}
#endif

#if LB_TABLE
/* Entry i mod 2^WB at place i: lookups see bits of the next fields, too. For vdpbf16ps rounded to
 * bf16. */
static inline weights_t load_table(__global const float *entries)
{
#if LB_X86_BF16
    float even[16], odd[16];
    for (int i = 0; i < 16; i++) {
        even[i] = entries[2 * i & ((1 << WB) - 1)];
        odd[i] = entries[(2 * i + 1) & ((1 << WB) - 1)];
    }
    return as_int16(convert_uint16(lb_to_bf16(vload16(0, even))) |
                    convert_uint16(lb_to_bf16(vload16(0, odd))) << 16u);
#else
    float t[16];
    for (int i = 0; i < 16; i++)
        t[i] = entries[i & ((1 << WB) - 1)];
    return vload16(0, t);
#endif
}
#endif

/* ---- Passes -----------------------------------------------------------------------------------
 */

static inline int padded_rows(int m)
{
    return (m + MR - 1) / MR * MR;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void stage(LB_ARGUMENTS)
{
    long batch = get_global_id(2);
    int block = get_group_id(0), rows = padded_rows(p.m);
    __global const uchar *a = LB_AT(a, A) + batch * p.a_batch * lb_bits(p.a_type) / 8;
    __global uchar *workspace = LB_AT(workspace, WORKSPACE);
    __global word_t *panel = (__global word_t *)(workspace + p.ws[0] + batch * p.ws[2]) +
                             (long)block * MR * (p.k_pad / KQ);
    __global float *sums = (__global float *)(workspace + p.ws[1] + batch * p.ws[3]);
    for (int r = 0; r < MR; r++) {
        int m = block * MR + r;
        __global const uchar *row = a + m * p.a_ld * lb_bits(p.a_type) / 8;
        __global word_t *out = panel + r;
        for (int g = 0; g < p.groups; g++) {
            float16 total = 0.0f;
            for (int k = g * p.group, end = lb_group_end(&p, g); k < end; k += 16) {
                float16 v = m < p.m ? lb_load16(p.a_type, row, k, p.k - k) : (float16)0.0f;
                word_t t[16 / KQ];
#if KQ == 2
                total += v;
                vstore8(PAIRS(8, v.even, v.odd), 0, t);
#else
                vstore16(v, 0, t);
#endif
                FOR(j, 16 / KQ) out[j * MR] = t[j];
                out += 16 / KQ * MR;
            }
            if (ZERO_BY_SUMS) {
                float8 half_sum = total.lo + total.hi;
                float4 quarter = half_sum.lo + half_sum.hi;
                sums[(long)g * rows + m] = quarter.x + quarter.y + quarter.z + quarter.w;
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void panel_float(LB_ARGUMENTS)
{
    long batch = get_global_id(2);
    LB_IO(io, batch);
    __global const uchar *workspace = LB_AT(workspace, WORKSPACE);
    __global const word_t *panels =
        (__global const word_t *)(workspace + p.ws[0] + batch * p.ws[2]);
    __global const float *sums = (__global const float *)(workspace + p.ws[1] + batch * p.ws[3]);
    __global const uint *words =
        (__global const uint *)(LB_AT(w, W) + p.w_codes + batch * p.w_codes_batch);
    int rows = padded_rows(p.m);
    bool zeros = (p.flags & LB_KF_B_ZERO) != 0;
#if LB_TABLE
    weights_t table =
        load_table((__global const float *)(LB_AT(w, W) + p.w_table + batch * p.w_table_batch));
#else
    weights_t table = make_table(p.b_type);
#endif
    int m_begin = get_group_id(0) * MT, m_end = min(m_begin + MT, p.m);
    int n_begin = get_group_id(1) * NT, n_end = min(n_begin + NT, p.n);

    for (int n = n_begin; n < n_end; n += 16 * NV)
        for (int m = m_begin; m < m_end; m += MR) {
            __global const word_t *a = panels + (long)m * (p.k_pad / KQ);
            __global const uint *w =
                words + (long)(n / PANEL * PANEL) * (p.k_pad / WORD_K) + n % PANEL;
            float16 acc[MR][NV];
#if GROUPED
            float16 total[MR][NV];
            FOR(i, MR) FOR(j, NV) total[i][j] = 0.0f;
            for (int g = 0; g < p.groups; g++)
#else
            const int g = 0;
#endif
            {
                long meta = (long)g * p.n_pad + n;
                float16 offset[NV];
                FOR(j, NV)
                {
                    float16 zero = zeros ? convert_float16(vload16(0, io.w_zero + meta + 16 * j))
                                         : (float16)0.0f;
                    FOR(i, MR)
                    acc[i][j] = ZERO_BY_SUMS && zeros ? -zero * sums[(long)g * rows + m + i]
                                                      : (float16)0.0f;
                    offset[j] = zero + field_offset(p.b_type);
                }
                int steps = (lb_group_end(&p, g) - g * p.group) / WORD_K;
                for (int step = 0; step < steps; step++) {
                    uint16 x[NV];
                    FOR(j, NV) x[j] = ((__global const uint16 *)w)[j];
                    w += PANEL;
                    for (int block = 0; block < BLOCKS; block++) {
                        FOR(q, 2 * BLOCK_PAIRS / KQ)
                        {
                            uint shift = q * KQ / 2 * WB + q * KQ % 2 * 16;
                            weights_t b[NV];
                            FOR(j, NV) b[j] = decode(x[j], shift, offset[j], table);
                            FOR(i, MR) FOR(j, NV) acc[i][j] = dot(acc[i][j], b[j], a[i]);
                            a += MR;
                        }
                        if (BLOCKS > 1)
                            FOR(j, NV) x[j] >>= (uint)(WB * BLOCK_PAIRS);
                    }
                }
#if GROUPED
                FOR(j, NV)
                {
                    float16 scale = vload16(0, io.w_scale + meta + 16 * j);
                    FOR(i, MR) total[i][j] = MULTIPLY_ADD(acc[i][j], scale, total[i][j]);
                }
#endif
            }
            /* Through an array, so that the epilogue stands in the program once. */
            float16 out[MR * NV];
#if GROUPED
            FOR(i, MR) FOR(j, NV) out[i * NV + j] = total[i][j];
#else
            FOR(i, MR) FOR(j, NV) out[i * NV + j] = acc[i][j];
#endif
            for (int t = 0; t < MR * NV; t++) {
                int row = m + t / NV, column = n + t % NV * 16;
                if (row >= p.m || column >= p.n)
                    continue;
                float16 v = out[t];
                if (!GROUPED && (p.flags & LB_KF_B_SCALE))
                    v = v * vload16(0, io.w_scale + column);
                lb_finish_float(v, &p, &io, row, column);
            }
        }
}
