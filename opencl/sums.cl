/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sums of the rows of D, one work-group each, from the codes as the passes before have written
 * them. An ordinary kernel but for one argument: the sums stand where others have the workspace.
 *
 * Macro GROUP: work-items per row, a power of two.
 */

/* Bytes that a work-item adds at once. */
#define PIECE 16

/* The fields of 16 bytes. */
static inline uint sum_piece(uint4 w, int bits)
{
    return lb_sum_fields(w.x, bits) + lb_sum_fields(w.y, bits) + lb_sum_fields(w.z, bits) +
           lb_sum_fields(w.w, bits);
}

/* The fields of the pieces of a row that are this work-item's. Pieces begin where memory is
   aligned; those at the row's ends are added byte by byte. */
static inline uint sum_row(__global const uchar *row, int n, int type, int bits)
{
    int bytes = (int)(((long)n * bits + 7) / 8), whole = (int)((long)n * bits / 8);
    uint flip = lb_sum_flip(type, bits), last = lb_sum_last_mask(n, bits), sum = 0;
    int before = (int)((uintptr_t)row % PIECE);
    for (int at = PIECE * (int)get_local_id(0) - before; at < bytes; at += PIECE * GROUP) {
        if (at >= 0 && at + PIECE <= whole) {
            sum += sum_piece(*(__global const uint4 *)(row + at) ^ flip, bits);
            continue;
        }
        for (int i = max(at, 0); i < min(at + PIECE, bytes); i++)
            sum += lb_sum_fields((row[i] ^ flip) & (i == bytes - 1 ? last : 0xffu), bits);
    }
    return sum;
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void sums(LB_ARGUMENTS)
{
    __local uint parts[GROUP];
    int m = get_group_id(0), me = get_local_id(0), bits = lb_bits(p.d_type);
    long batch = get_group_id(2);
    __global const uchar *row = LB_AT(d, D) + (batch * p.d_batch + (long)m * p.d_ld) * bits / 8;
    parts[me] = sum_row(row, p.n, p.d_type, bits);
    for (int step = GROUP / 2; step > 0; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (me < step)
            parts[me] += parts[me + step];
    }
    if (me == 0) {
        __global int *to = (__global int *)LB_AT(workspace, WORKSPACE);
        to[batch * p.m + m] = lb_sum_values(p.d_type, parts[0], p.n);
    }
}
