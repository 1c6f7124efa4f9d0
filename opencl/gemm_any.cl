/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any types, any shape: one work-item computes 1 x 16 of D straight from A and from weights in
 * layout "rows". The row that is always there; nothing about it is fast.
 *
 *     sum_g scale[g,n] * (sum_{k in g} a b - zb sum a - za sum b + length za zb)
 *
 * c4 and c2 weights are looked up in one table, or in one per group and row of B; b of scales of
 * two levels is (code - zero point) * scale of its group.
 *
 * Constraints: n_pad a multiple of 16 (layout), nothing else.
 */
__kernel __attribute__((reqd_work_group_size(1, 16, 1))) void gemm_any(LB_ARGUMENTS)
{
    int m = get_global_id(0), n = get_global_id(1) * 16;
    long batch = get_global_id(2);
    if (n >= p.n)
        return;
    LB_IO(io, batch);
    __global const uchar *a =
        LB_AT(a, A) + (batch * p.a_batch + m * p.a_ld) * lb_bits(p.a_type) / 8;
    __global const uchar *w = LB_AT(w, W) + p.w_codes + batch * p.w_codes_batch;
    long w_row = (long)p.k_pad * lb_bits(p.b_type) / 8;
    bool float_a = (p.flags & LB_KF_FLOAT_A) != 0;
    bool by_table = p.b_type == LB_TYPE_C4 || p.b_type == LB_TYPE_C2;
    __global const float *tables =
        (__global const float *)(LB_AT(w, W) + p.w_table + batch * p.w_table_batch);
    int entries = 1 << (lb_bits(p.b_type) & 7);

    float16 v = 0.0f;
    for (int g = 0; g < p.groups; g++) {
        int from = g * p.group, to = min(from + p.group, p.k);
        int acc[16], sum_a = 0;
        float facc[16];
        for (int j = 0; j < 16; j++) {
            acc[j] = 0;
            facc[j] = 0.0f;
        }
        for (int k = from; k < to; k++) {
            __global const int *words =
                io.w_step + (p.flags & LB_KF_B_STEP ? (long)(k / p.step_group) * p.n_pad + n : 0);
            int ai = float_a ? 0 : lb_int_at(p.a_type, a, k);
            float af = float_a ? lb_float_at(p.a_type, a, k) : 0.0f;
            sum_a += ai;
            for (int j = 0; j < 16; j++) {
                int b = lb_int_at(p.b_type, w + (n + j) * w_row, k);
                if (by_table) {
                    long own = p.flags & LB_KF_TABLE_GROUP ? (long)g * p.n_pad + n + j : 0;
                    facc[j] += af * tables[own * entries + b];
                } else if (float_a) {
                    if (p.flags & LB_KF_B_ZERO)
                        b -= io.w_zero[(long)g * p.n_pad + n + j];
                    facc[j] += af * (float)b;
                } else {
                    if (p.flags & LB_KF_B_STEP)
                        b = b * (words[j] & 0xffff) + (words[j] >> 16);
                    acc[j] += ai * b;
                }
            }
        }
        float16 term = vload16(0, facc);
        if (!float_a) {
            int16 sum = lb_correct_zeros(vload16(0, acc), &p, &io, n, g, lb_a_zero(&p, &io, m),
                                         sum_a, to - from);
            if (p.groups == 1) {
                lb_finish_int(sum, &p, &io, m, n);
                return;
            }
            term = convert_float16_rte(sum);
        }
        if (p.flags & LB_KF_B_SCALE)
            term = term * vload16(0, io.w_scale + (long)g * p.n_pad + n);
        v = v + term;
    }
    lb_finish_float(v, &p, &io, m, n);
}
