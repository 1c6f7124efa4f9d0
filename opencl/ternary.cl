/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ternary by ternary for CPUs with a vector popcount: D = popcount(both) - 2 popcount(other), where
 * `both` are the places at which neither is 0, `other` those of them where the signs differ.
 *
 * Two passes, as in xnor.cl: `stage` splits MR rows of A's codes into bit 0, which is that of
 * values that are not 0, and bit 1, their sign: a panel of words [k/32][2][MR]. `ternary` walks
 * register tiles of MR x (16 NV) over layout panel64p, [n/64][k/32][2][64] words of codes, and
 * splits those where they are loaded: the first word's codes go to even places, the second's to odd
 * ones. K is padded to 32; there codes are 0.
 *
 * A's spare code, -2, has bit 1 alone. Rows that have it are marked, and multiply it once more.
 *
 * Macros MR, NV, MT, NT and workspace as in panel_int.cl; ws[1] holds the marks.
 */
#define PANEL 64
#define FOR(i, n) _Pragma("unroll") for (int i = 0; i < (n); i++)
#define EVEN 0x55555555u

static inline int16 ones(uint16 x)
{
    uint16 r;
    __asm__("vpopcntd %1, %0" : "=v"(r) : "v"(x));
    return as_int16(r);
}

#define LOW(first, second) ((EVEN & (first)) | (~EVEN & ((second) << 1)))
#define HIGH(first, second) ((EVEN & ((first) >> 1)) | (~EVEN & (second)))

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void stage(LB_ARGUMENTS)
{
    long batch = get_global_id(2);
    int block = get_group_id(0);
    __global const uchar *a = LB_AT(a, A) + batch * p.a_batch / 4;
    __global uint *panel =
        (__global uint *)(LB_AT(workspace, WORKSPACE) + p.ws[0] + batch * p.ws[2]) +
        (long)block * MR * (p.k_pad / 16);
    __global uint *marks =
        (__global uint *)(LB_AT(workspace, WORKSPACE) + p.ws[1] + batch * p.ws[3]);
    for (int r = 0; r < MR; r++) {
        int m = block * MR + r;
        __global const uchar *row = a + m * p.a_ld / 4;
        uint spare = 0;
        for (int word = 0; word < p.k_pad / 32; word++) {
            uint first = m < p.m ? lb_stage_bits(row, 2 * word, 2 * p.k) : 0;
            uint second = m < p.m ? lb_stage_bits(row, 2 * word + 1, 2 * p.k) : 0;
            uint low = LOW(first, second), high = HIGH(first, second);
            panel[(long)(2 * word) * MR + r] = low;
            panel[(long)(2 * word + 1) * MR + r] = high;
            spare |= high & ~low;
        }
        marks[m] = spare;
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void ternary(LB_ARGUMENTS)
{
    long batch = get_global_id(2);
    LB_IO(io, batch);
    __global const uint *panels =
        (__global const uint *)(LB_AT(workspace, WORKSPACE) + p.ws[0] + batch * p.ws[2]);
    __global const uint *marks =
        (__global const uint *)(LB_AT(workspace, WORKSPACE) + p.ws[1] + batch * p.ws[3]);
    __global const uint *codes =
        (__global const uint *)(LB_AT(w, W) + p.w_codes + batch * p.w_codes_batch);
    int words = p.k_pad / 32;
    int m_begin = get_group_id(0) * MT, m_end = min(m_begin + MT, p.m);
    int n_begin = get_group_id(1) * NT, n_end = min(n_begin + NT, p.n);

    for (int n = n_begin; n < n_end; n += 16 * NV)
        for (int m = m_begin; m < m_end; m += MR) {
            __global const uint *a = panels + (long)m * 2 * words;
            __global const uint *w = codes + (long)(n / PANEL * PANEL) * 2 * words + n % PANEL;
            float16 total[MR][NV];
            int16 sum[MR][NV], other[MR][NV];
            uint spare = 0;
            FOR(i, MR) spare |= marks[m + i];
            FOR(i, MR) FOR(j, NV) total[i][j] = 0.0f;
            for (int g = 0; g < p.groups; g++) {
                int count = p.groups == 1 ? words : min(p.group, p.k_pad - g * p.group) / 32;
                FOR(i, MR) FOR(j, NV) sum[i][j] = other[i][j] = 0;
                for (int t = 0; t < count; t++) {
                    uint16 low[NV], high[NV];
                    FOR(j, NV)
                    {
                        uint16 first = *(__global const uint16 *)(w + 16 * j);
                        uint16 second = *(__global const uint16 *)(w + PANEL + 16 * j);
                        low[j] = LOW(first, second);
                        high[j] = HIGH(first, second);
                    }
                    FOR(i, MR)
                    FOR(j, NV)
                    {
                        uint16 both = low[j] & (uint16)(a[i]), sign = (uint16)(a[MR + i]);
                        sum[i][j] += ones(both);
                        other[i][j] += ones(both & (high[j] ^ sign));
                    }
                    if (spare) {
                        FOR(i, MR)
                        FOR(j, NV)
                        {
                            uint16 twice = low[j] & (uint16)(a[MR + i] & ~a[i]);
                            sum[i][j] -= 2 * (ones(twice & ~high[j]) - ones(twice & high[j]));
                        }
                    }
                    a += 2 * MR;
                    w += 2 * PANEL;
                }
                FOR(i, MR) FOR(j, NV) sum[i][j] -= 2 * other[i][j];
                if (p.groups > 1)
                    FOR(j, NV)
                    {
                        float16 scale = vload16(0, io.w_scale + (long)g * p.n_pad + n + 16 * j);
                        FOR(i, MR) total[i][j] += convert_float16(sum[i][j]) * scale;
                    }
            }
            /* Through arrays, so that the epilogue stands in the program once. */
            int16 out[MR * NV];
            float16 scaled[MR * NV];
            FOR(i, MR) FOR(j, NV)
            {
                out[i * NV + j] = sum[i][j];
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
