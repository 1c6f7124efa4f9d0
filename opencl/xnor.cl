/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binary GEMM: D = K - 2 popcount(A xor W) for +-1 in bits (1 = +1), pad bits 0 in both.
 *
 * Two passes, as in panel_int.cl: `stage` copies MR rows of A into a panel of words, [k/32][MR],
 * and `xnor` walks register tiles of MR x (16 NV) over layout panel64w, [n/64][k/32][64]. K is
 * padded to 256 bits.
 *
 *   POPCOUNT 0  popcount()
 *   POPCOUNT 1  carry-save counters: eight words per popcount (CPUs without a vector popcount)
 *   POPCOUNT 2  AVX-512 vpopcntd
 *
 * Macros MR, NV, MT, NT and workspace as in panel_int.cl. Group scales end a group on whole words
 * (a group is a multiple of 32), so POPCOUNT 1 counts a group's rest word by word.
 */
#define PANEL 64
#define FOR(i, n) _Pragma("unroll") for (int i = 0; i < (n); i++)

static inline uint16 popcount16(uint16 x)
{
#if POPCOUNT == 2
    uint16 r;
    __asm__("vpopcntd %1, %0" : "=v"(r) : "v"(x));
    return r;
#else
    return popcount(x);
#endif
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void stage(LB_ARGUMENTS)
{
    long batch = get_global_id(2);
    int block = get_group_id(0);
    __global const uchar *a = LB_AT(a, A) + batch * p.a_batch / 8;
    __global uint *panel =
        (__global uint *)(LB_AT(workspace, WORKSPACE) + p.ws[0] + batch * p.ws[2]) +
        (long)block * MR * (p.k_pad / 32);
    for (int r = 0; r < MR; r++) {
        int m = block * MR + r;
        __global const uchar *row = a + m * p.a_ld / 8;
        for (int word = 0; word < p.k_pad / 32; word++)
            panel[(long)word * MR + r] = m < p.m ? lb_stage_bits(row, word, p.k) : 0;
    }
}

/* carry, low = a + b + low, bit by bit */
#define ADD(carry, low, a, b)                                                                      \
    do {                                                                                           \
        uint16 l_ = low, a_ = a, b_ = b;                                                           \
        low = l_ ^ a_ ^ b_;                                                                        \
        carry = (l_ & a_) | (l_ & b_) | (a_ & b_);                                                 \
    } while (0)
#define DIFFERENT(t) (*(__global const uint16 *)(w + (t)*PANEL + 16 * j) ^ (uint16)(a[(t)*MR + i]))

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void xnor(LB_ARGUMENTS)
{
    long batch = get_global_id(2);
    LB_IO(io, batch);
    __global const uint *panels =
        (__global const uint *)(LB_AT(workspace, WORKSPACE) + p.ws[0] + batch * p.ws[2]);
    __global const uint *codes =
        (__global const uint *)(LB_AT(w, W) + p.w_codes + batch * p.w_codes_batch);
    int words = p.k_pad / 32;
    int m_begin = get_group_id(0) * MT, m_end = min(m_begin + MT, p.m);
    int n_begin = get_group_id(1) * NT, n_end = min(n_begin + NT, p.n);

    for (int n = n_begin; n < n_end; n += 16 * NV)
        for (int m = m_begin; m < m_end; m += MR) {
            __global const uint *a = panels + (long)m * words;
            __global const uint *w = codes + (long)(n / PANEL * PANEL) * words + n % PANEL;
            float16 total[MR][NV];
            uint16 count[MR][NV];
            FOR(i, MR) FOR(j, NV) total[i][j] = 0.0f;
            for (int g = 0; g < p.groups; g++) {
                int left = p.groups == 1 ? words : min(p.group, p.k_pad - g * p.group) / 32;
                FOR(i, MR) FOR(j, NV) count[i][j] = 0;
#if POPCOUNT == 1
                uint16 one[MR][NV], two[MR][NV], four[MR][NV];
                FOR(i, MR) FOR(j, NV) one[i][j] = two[i][j] = four[i][j] = 0;
                for (; left >= 8; left -= 8) {
                    FOR(i, MR) FOR(j, NV)
                    {
                        uint16 x, y, z, u, v;
                        ADD(x, one[i][j], DIFFERENT(0), DIFFERENT(1));
                        ADD(y, one[i][j], DIFFERENT(2), DIFFERENT(3));
                        ADD(z, two[i][j], x, y);
                        ADD(x, one[i][j], DIFFERENT(4), DIFFERENT(5));
                        ADD(y, one[i][j], DIFFERENT(6), DIFFERENT(7));
                        ADD(u, two[i][j], x, y);
                        ADD(v, four[i][j], z, u);
                        count[i][j] += popcount16(v);
                    }
                    a += 8 * MR;
                    w += 8 * PANEL;
                }
                FOR(i, MR)
                FOR(j, NV)
                count[i][j] = 8 * count[i][j] + 4 * popcount16(four[i][j]) +
                              2 * popcount16(two[i][j]) + popcount16(one[i][j]);
#endif
                for (; left > 0; left--) {
                    uint16 x[NV];
                    FOR(j, NV) x[j] = *(__global const uint16 *)(w + 16 * j);
                    FOR(i, MR) FOR(j, NV) count[i][j] += popcount16(x[j] ^ (uint16)(a[i]));
                    a += MR;
                    w += PANEL;
                }
                if (p.groups > 1) {
                    int terms = min((g + 1) * p.group, p.k) - g * p.group;
                    FOR(j, NV)
                    {
                        float16 scale = vload16(0, io.w_scale + (long)g * p.n_pad + n + 16 * j);
                        FOR(i, MR)
                        total[i][j] += convert_float16(terms - 2 * as_int16(count[i][j])) * scale;
                    }
                }
            }
            /* Through arrays, so that the epilogue stands in the program once. */
            int16 out[MR * NV];
            float16 scaled[MR * NV];
            FOR(i, MR) FOR(j, NV)
            {
                out[i * NV + j] = p.k - 2 * as_int16(count[i][j]);
                scaled[i * NV + j] = total[i][j];
            }
            for (int t = 0; t < MR * NV; t++) {
                int row = m + t / NV, column = n + t % NV * 16;
                if (row >= p.m || column >= p.n)
                    continue;
                if (p.groups > 1)
                    lb_finish_float(scaled[t], &p, &io, row, column);
                else
                    lb_finish_int(out[t], &p, &io, row, column);
            }
        }
}
