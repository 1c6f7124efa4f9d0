/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GEMM for GPUs and a few rows, on dot products of words (dot4 of tile.clh): a work-group of 256
 * makes MT x NT of D, NT columns times 256 / NT slices of k. Without group scales slices take steps
 * in turn, with them whole groups. The slices are added in one order.
 */
#define SLICES (GROUP_ITEMS / NT)
/* Words at a time: a group of bits may end on any. */
#define BITE (XNOR && GROUPED ? 1 : STEP)

/* Adds the words [from, to) of column n, every `stride`, to the accumulators of `rows` rows. */
static inline void dot_span(int *acc, const tile_input *in, const lb_kargs *p, const lb_io *io,
                            __global const int *a, int rows, int n, int from, int to, int stride)
{
    for (int at = from; at < to; at += stride) {
        int w[BITE];
        weight_way way = weight_way_of(in, p, io, at / STEP, n);
        FOR(line, (BITE + FIELDS - 1) / FIELDS)
        {
            uint word = *weight_line(in, at / FIELDS + line, n);
            FOR(field, FIELDS) w[line * FIELDS + field] = weight_word(word, field, way);
        }
        FOR(i, MT)
        if (i < rows) {
            __global const int *ai = a + (long)i * in->words + at;
#if XNOR && GROUPED
            acc[i] = dot4(acc[i], *ai, w[0]);
#else
            FOR(part, STEP / 4)
            {
                int4 v = ((__global const int4 *)ai)[part];
                acc[i] = dot4(acc[i], v.x, w[4 * part]);
                acc[i] = dot4(acc[i], v.y, w[4 * part + 1]);
                acc[i] = dot4(acc[i], v.z, w[4 * part + 2]);
                acc[i] = dot4(acc[i], v.w, w[4 * part + 3]);
            }
#endif
        }
    }
}

__kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void tile_small(LB_ARGUMENTS)
{
    __local total_t parts[SLICES][MT][NT];
    long batch = get_global_id(2);
    LB_IO(io, batch);
    TILE_INPUT(in, batch);
    int column = get_local_id(0) % NT, slice = get_local_id(0) / NT;
    int m = get_group_id(0) * MT, n_tile = get_group_id(1) * NT, n = n_tile + column;
    int rows = min(MT, p.m - m);
    __global const int *a = in.a + (long)m * in.words;
    int acc[MT];
    FOR(i, MT) acc[i] = 0;
#if GROUPED
    float total[MT];
    FOR(i, MT) total[i] = 0.0f;
    for (int g = slice; g < p.groups; g += SLICES) {
        dot_span(acc, &in, &p, &io, a, rows, n, g * p.group / WORD_K, lb_group_end(&p, g) / WORD_K,
                 BITE);
        column_part c = column_part_of(&p, &io, &in, n, g);
        FOR(i, MT)
        {
            total[i] = add_group(total[i], acc[i], row_part_of(&p, &io, &in, m + i, g), c);
            acc[i] = 0;
        }
    }
    FOR(i, MT) parts[slice][i][column] = total[i];
#else
    dot_span(acc, &in, &p, &io, a, rows, n, slice * STEP, in.end, SLICES * STEP);
    FOR(i, MT) parts[slice][i][column] = acc[i];
#endif
    barrier(CLK_LOCAL_MEM_FENCE);
    int vectors = NT / 16;
    for (int t = get_local_id(0); t < rows * vectors; t += GROUP_ITEMS) {
        int i = t / vectors, from = t % vectors * 16;
        total16 sum = vload16(0, &parts[0][i][from]);
        for (int s = 1; s < SLICES; s++)
            sum += vload16(0, &parts[s][i][from]);
        if (n_tile + from < p.n)
            finish(sum, &p, &io, &in, m + i, n_tile + from);
    }
}
