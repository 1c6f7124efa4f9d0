/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any types, any shape: one thread computes 1 x 8 of D straight from A and from weights in layout
 * "rows". The row that is always there; nothing about it is fast.
 *
 *     sum_g scale[g,n] * (sum_{k in g} a b - zb sum a - za sum b + length za zb)
 *
 * c4 and c2 weights are looked up in one table, or in one per group and row of B; b of scales of
 * two levels is (code - zero point) * scale of its group.
 *
 * Constraints: n_pad a multiple of 16 (layout), nothing else.
 */
#include "epilogue.cuh"

/* At least 4 blocks per multiprocessor: left to itself the compiler spills to fit more. */
extern "C" __global__ void __launch_bounds__(128, 4) gemm_any(LB_ARGUMENTS)
{
    constexpr int C = 8, TILE_M = 8, TILE_N = 128; /* of a thread; of a block, as in kernels.def */
    lb_await_inputs();
    lb_tile tile = lb_tile_of(p, TILE_M, TILE_N);
    int m = tile.m + (int)threadIdx.x / (TILE_N / C);
    int n = tile.n + (int)threadIdx.x % (TILE_N / C) * C;
    if (m >= p.m || n >= p.n)
        return;
    LB_IO(io, tile.batch);
    const uint8_t *a = LB_AT(a, A) + (tile.batch * p.a_batch + m * p.a_ld) * lb_bits(p.a_type) / 8;
    int64_t w_row = (int64_t)p.k_pad * lb_bits(p.b_type) / 8;
    const uint8_t *w = LB_AT(w, W) + p.w_codes + tile.batch * p.w_codes_batch + (int64_t)n * w_row;
    bool float_a = p.flags & LB_KF_FLOAT_A;
    bool by_table = p.b_type == LB_TYPE_C4 || p.b_type == LB_TYPE_C2;
    const float *tables = (const float *)(LB_AT(w, W) + p.w_table + tile.batch * p.w_table_batch);

    float v[C] = {};
    for (int g = 0; g < p.groups; g++) {
        int from = g * p.group, to = min(from + p.group, p.k);
        int acc[C] = {}, sum_a = 0;
        float term[C] = {};
        int words[C] = {};
        for (int k = from; k < to; k++) {
            if ((p.flags & LB_KF_B_STEP) && k % p.step_group == 0)
                LB_EACH(j)
            words[j] = io.w_step[(int64_t)(k / p.step_group) * p.n_pad + n + j];
            int ai = float_a ? 0 : lb_int_at(p.a_type, a, k);
            float af = float_a ? lb_float_at(p.a_type, a, k) : 0.0f;
            sum_a += ai;
            LB_EACH(j)
            {
                int b = lb_int_at(p.b_type, w + j * w_row, k);
                if (by_table) {
                    int64_t own = p.flags & LB_KF_TABLE_GROUP ? (int64_t)g * p.n_pad + n + j : 0;
                    term[j] = fmaf(af, tables[(own << lb_bits(p.b_type)) + b], term[j]);
                } else if (float_a) {
                    if (p.flags & LB_KF_B_ZERO)
                        b -= io.w_zero[(int64_t)g * p.n_pad + n + j];
                    term[j] = fmaf(af, __int2float_rn(b), term[j]);
                } else {
                    if (p.flags & LB_KF_B_STEP)
                        b = b * (words[j] & 0xffff) + (words[j] >> 16);
                    acc[j] += ai * b;
                }
            }
        }
        if (!float_a) {
            lb_correct_zeros(acc, p, io, n, g, lb_a_zero(p, io, m), sum_a, to - from);
            if (p.groups == 1) {
                lb_finish_int(acc, p, io, m, n);
                return;
            }
            LB_EACH(j)
            term[j] = __int2float_rn(acc[j]);
        }
        if (p.flags & LB_KF_B_SCALE)
            lb_scale(term, io.w_scale + (int64_t)g * p.n_pad + n);
        LB_EACH(j)
        v[j] = __fadd_rn(v[j], term[j]);
    }
    lb_finish_float(v, p, io, m, n);
}
