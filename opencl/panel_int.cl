/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer GEMM for CPUs, weights of 8, 4, 2 or 1 bit, any integer activations.
 *
 * Two passes. `stage` turns MR rows of A into a panel of words of KQ consecutive k, [k/KQ][MR], and
 * sums each group of each row. `panel_int` gives one work-item a tile of MT x NT of D; inside it
 * walks register tiles of MR rows x NV vectors of 16 columns along k. Weights come from layout
 * panel64x4 (KQ 4) or panel64x2 (KQ 2): fields are unsigned (value + BIAS), decoded by a shift and
 * a mask where they are used; accumulators start at -BIAS * sum(a), which takes the bias out again.
 *
 *   KQ 4  (LB_X86_VNNI) vpdpbusd: 64 products of u8 x s8 into 16 columns per instruction
 *   KQ 2  plain OpenCL C, written so that LLVM makes vpmaddwd of it
 *
 * Macros: LB_X86_VNNI, MR, NV, MT (multiple of MR), NT (multiple of 16 NV; 64 divides or is divided
 * by it), from the row; WB (weight bits), GROUPED (a scale per group: 1 float, 2 of two levels, so
 * that the groups' sums add up to one integer), from the problem.
 * Workspace: ws[0] panels, ws[1] sums, ws[2] and ws[3] their bytes per batch.
 */
#define PANEL 64
#define FIELDS (8 / WB)
#define FIELD_MASK ((1 << WB) - 1)
#define FOR(i, n) _Pragma("unroll") for (int i = 0; i < (n); i++)
#if GROUPED == 1
typedef float16 total_t;
#else
typedef int16 total_t;
#endif

#if LB_X86_VNNI
#define KQ 4
#define ACC_VECTORS NV
typedef int16 acc_t;
#define ACC16(acc, i, j) acc[i][j]

static inline int16 dot4(int16 acc, int16 w_u8, int16 a_s8)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w_u8), "v"(a_s8));
    return acc;
}
#else
#define KQ 2
#define ACC_VECTORS (2 * NV)
typedef int8 acc_t;
#define ACC16(acc, i, j) ((int16)(acc[i][2 * (j)], acc[i][2 * (j) + 1]))

#ifdef __has_builtin
#if __has_builtin(__builtin_assume)
#define ASSUME(x) __builtin_assume(x)
#endif
#endif
#ifndef ASSUME
#define ASSUME(x)
#endif

/* even + odd of a widened product is one vpmaddwd, unless the optimiser first makes (acc + even) +
   odd of it. It leaves a value with two uses alone; the assumption is the second use, costs nothing
   and is true: |even + odd| <= 2 * (2^WB - 1) * 128 < 256 << WB. */
static inline int8 dot2(int8 acc, short16 w, short16 a)
{
    int16 product = convert_int16(w) * convert_int16(a);
    int8 pair = product.even + product.odd;
    ASSUME(pair.s0 != ((256 << WB) + 1));
    return acc + pair;
}
#endif

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
    __global int *panel =
        (__global int *)(workspace + p.ws[0] + batch * p.ws[2]) + (long)block * MR * (p.k_pad / KQ);
    __global int *sums = (__global int *)(workspace + p.ws[1] + batch * p.ws[3]);
    for (int r = 0; r < MR; r++) {
        int m = block * MR + r;
        __global const uchar *row = a + m * p.a_ld * lb_bits(p.a_type) / 8;
        __global int *out = panel + r;
        for (int g = 0; g < lb_groups(&p); g++) {
            int16 total = 0;
            for (int k = g * lb_group(&p), end = lb_group_end(&p, g); k < end; k += 16) {
                char16 v = m < p.m ? lb_stage16(p.a_type, row, k, p.k) : (char16)0;
                total += convert_int16(v);
#if KQ == 4
                int4 words = as_int4(v);
                out[0] = words.x;
                out[MR] = words.y;
                out[2 * MR] = words.z;
                out[3 * MR] = words.w;
                out += 4 * MR;
#else
                int words[8];
                vstore8(as_int8(convert_short16(v)), 0, words);
                FOR(j, 8) out[j * MR] = words[j];
                out += 8 * MR;
#endif
            }
            int8 half_sum = total.lo + total.hi;
            int4 quarter = half_sum.lo + half_sum.hi;
            sums[(long)g * rows + m] = quarter.x + quarter.y + quarter.z + quarter.w;
        }
    }
}

#if WB == 1
#define VALUE16(acc, i, j, sum) (2 * ACC16(acc, i, j) - (sum)) /* w = 2 bit - 1 */
#else
#define VALUE16(acc, i, j, sum) ACC16(acc, i, j)
#endif

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void panel_int(LB_ARGUMENTS)
{
    long batch = get_global_id(2);
    LB_IO(io, batch);
    __global const uchar *workspace = LB_AT(workspace, WORKSPACE);
    __global const int *panels = (__global const int *)(workspace + p.ws[0] + batch * p.ws[2]);
    __global const int *sums = (__global const int *)(workspace + p.ws[1] + batch * p.ws[3]);
    __global const uchar *codes = LB_AT(w, W) + p.w_codes + batch * p.w_codes_batch;
    int rows = padded_rows(p.m), shift = lb_stage_shift(p.a_type);
    /* Stored fields of signed types are value + 2^(WB - 1). */
    int bias = p.b_type == LB_TYPE_U8 || p.b_type == LB_TYPE_U4 || p.b_type == LB_TYPE_U2 ||
                       p.b_type == LB_TYPE_B1
                   ? 0
                   : 1 << (WB - 1);
    int m_begin = get_group_id(0) * MT, m_end = min(m_begin + MT, p.m);
    int n_begin = get_group_id(1) * NT, n_end = min(n_begin + NT, p.n);

    for (int n = n_begin; n < n_end; n += 16 * NV)
        for (int m = m_begin; m < m_end; m += MR) {
            __global const int *a = panels + (long)m * (p.k_pad / KQ);
            __global const uchar *w =
                codes + (long)(n / PANEL * PANEL) * (p.k_pad / FIELDS) + n % PANEL * KQ;
            acc_t acc[MR][ACC_VECTORS];
#if GROUPED
            total_t total[MR][NV];
            FOR(i, MR) FOR(j, NV) total[i][j] = 0;
            for (int g = 0; g < lb_groups(&p); g++)
#else
            const int g = 0;
#endif
            {
                FOR(i, MR)
                {
                    acc_t start = -bias * sums[(long)g * rows + m + i];
                    FOR(j, ACC_VECTORS) acc[i][j] = start;
                }
                int steps = (lb_group_end(&p, g) - g * lb_group(&p)) / (KQ * FIELDS);
                for (int step = 0; step < steps; step++) {
#if LB_X86_VNNI
                    int16 bytes[NV];
                    FOR(j, NV) bytes[j] = ((__global const int16 *)w)[j];
#else
                    uchar16 bytes[2 * NV];
                    FOR(j, 2 * NV) bytes[j] = ((__global const uchar16 *)w)[j];
#endif
                    w += PANEL * KQ;
                    FOR(field, FIELDS)
                    {
#if LB_X86_VNNI
                        int16 x[NV];
                        FOR(j, NV)
                        x[j] = WB == 8 ? bytes[j]
                                       : as_int16((as_uint16(bytes[j]) >> (uint)(field * WB)) &
                                                  (uint)(FIELD_MASK * 0x01010101u));
                        FOR(i, MR)
                        {
                            int16 av = (int16)(a[i]);
                            FOR(j, NV) acc[i][j] = dot4(acc[i][j], x[j], av);
                        }
#else
                        short16 x[2 * NV];
                        FOR(j, 2 * NV)
                        x[j] = WB == 8 ? convert_short16(bytes[j])
                                       : convert_short16((bytes[j] >> (uchar)(field * WB)) &
                                                         (uchar)FIELD_MASK);
                        FOR(i, MR)
                        {
                            short16 av = as_short16((int8)(a[i]));
                            FOR(j, 2 * NV) acc[i][j] = dot2(acc[i][j], x[j], av);
                        }
#endif
                        a += MR;
                    }
                }
#if GROUPED == 2
                FOR(j, NV)
                {
                    int16 word = vload16(0, io.w_step + (long)g * p.n_pad + n + 16 * j);
                    FOR(i, MR)
                    total[i][j] += ACC16(acc, i, j) * (word & 0xffff) +
                                   sums[(long)g * rows + m + i] * (word >> 16);
                }
#elif GROUPED
                bool zeros = (p.flags & (LB_KF_A_ZERO | LB_KF_B_ZERO)) || shift;
                FOR(j, NV)
                {
                    float16 scale = vload16(0, io.w_scale + (long)g * p.n_pad + n + 16 * j);
                    FOR(i, MR)
                    {
                        int sum = sums[(long)g * rows + m + i];
                        int16 v = VALUE16(acc, i, j, sum);
                        if (zeros)
                            v = lb_correct_zeros(v, &p, &io, n + 16 * j, g,
                                                 lb_a_zero(&p, &io, min(m + i, p.m - 1)) - shift,
                                                 sum, lb_group_terms(&p, g));
                        total[i][j] = fma(convert_float16_rte(v), scale, total[i][j]);
                    }
                }
#endif
            }
            /* Through an array, so that the epilogue stands in the program once. */
#if GROUPED
            total_t out[MR * NV];
            FOR(i, MR) FOR(j, NV) out[i * NV + j] = total[i][j];
#else
            int16 out[MR * NV];
            FOR(i, MR) FOR(j, NV) out[i * NV + j] = VALUE16(acc, i, j, sums[m + i]);
#endif
            for (int t = 0; t < MR * NV; t++) {
                int row = m + t / NV, column = n + t % NV * 16;
                if (row >= p.m || column >= p.n)
                    continue;
#if GROUPED == 1
                lb_finish_float(out[t], &p, &io, row, column);
#else
                int16 v = lb_correct_zeros(out[t], &p, &io, column, 0,
                                           lb_a_zero(&p, &io, row) - shift, sums[row], p.k);
                lb_finish_int(v, &p, &io, row, column);
#endif
            }
        }
}
