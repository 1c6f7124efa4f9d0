/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GEMM for GPUs on dot products of words (dot4 of tile.clh: s8, or bits with LB_DOT 4). A
 * work-group of 256 makes 128 x 128 of D, a work-item 4 x 16 of it. Two steps' words are in local
 * memory: one is read while the next is written. tile.clh has the staging pass and the steps.
 */
#define ROWS 4
#define COLUMNS 16
#define ACROSS (TILE / COLUMNS) /* work-items */

/* Rows of a word side by side. Of 16 columns the first fours of all work-items, then the seconds:
   work-items that read together read neighbours. The odd pitches spread the writes over banks. */
#define A_PITCH (TILE + 4)
#define W_PART (TILE / 4 + 8)
#define W_PITCH (4 * W_PART)
#define A_AT(word, row) ((word)*A_PITCH + (row))
#define W_AT(word, column)                                                                         \
    ((word)*W_PITCH + (column) % COLUMNS / 4 * W_PART + (column) / COLUMNS * 4 + (column) % 4)

#define VECTOR16(x)                                                                                \
    ((total16)(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11], x[12],    \
               x[13], x[14], x[15]))

/* Words [from, to) of a step, for the rows at `a` and the columns at `w`. */
static inline void dot_words(int (*acc)[COLUMNS], __local const int *a, __local const int *w,
                             int from, int to)
{
    for (int word = from; word < to; word++) {
        int4 av = *(__local const int4 *)(a + word * A_PITCH);
        int ai[ROWS] = {av.x, av.y, av.z, av.w};
        FOR(j, COLUMNS / 4)
        {
            int4 wv = *(__local const int4 *)(w + word * W_PITCH + j * W_PART);
            int wi[4] = {wv.x, wv.y, wv.z, wv.w};
            FOR(i, ROWS) FOR(c, 4) acc[i][4 * j + c] = dot4(acc[i][4 * j + c], ai[i], wi[c]);
        }
    }
}

__kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void tile_dot(LB_ARGUMENTS)
{
    __local int a_words[2][STEP * A_PITCH] __attribute__((aligned(16)));
    __local int w_words[2][STEP * W_PITCH] __attribute__((aligned(16)));
    long batch = get_global_id(2);
    LB_IO(io, batch);
    TILE_INPUT(in, batch);
    int across = get_local_id(0) % ACROSS, down = get_local_id(0) / ACROSS;
    int m_tile = get_group_id(0) * TILE, n_tile = get_group_id(1) * TILE;
    int m = m_tile + down * ROWS, n = n_tile + across * COLUMNS;
    int steps = (in.end + STEP - 1) / STEP;
    tile_share share;
    int acc[ROWS][COLUMNS];
    FOR(i, ROWS) FOR(j, COLUMNS) acc[i][j] = 0;
#if GROUPED
    float total[ROWS][COLUMNS];
    FOR(i, ROWS) FOR(j, COLUMNS) total[i][j] = 0.0f;
    int g = 0, group_end = lb_group_end(&p, 0) / WORD_K;
#endif

    if (steps > 0) {
        tile_fetch(&share, &in, &p, &io, m_tile, n_tile, 0);
        TILE_STORE(share, a_words[0], w_words[0]);
    }
    for (int step = 0; step < steps; step++) {
        barrier(CLK_LOCAL_MEM_FENCE);
        __local const int *a = a_words[step % 2] + down * ROWS;
        __local const int *w = w_words[step % 2] + across * 4;
        if (step + 1 < steps)
            tile_fetch(&share, &in, &p, &io, m_tile, n_tile, step + 1);
#if GROUPED
        for (int word = 0; word < STEP && g < p.groups;) {
            int stop = min(STEP, group_end - step * STEP);
            dot_words(acc, a, w, word, stop);
            word = stop;
            if (step * STEP + stop < group_end)
                continue;
            if (n < p.n) {
                row_part r[ROWS];
                FOR(i, ROWS) r[i] = row_part_of(&p, &io, &in, m + i, g);
                FOR(j, COLUMNS)
                {
                    column_part c = column_part_of(&p, &io, &in, n + j, g);
                    FOR(i, ROWS) total[i][j] = add_group(total[i][j], acc[i][j], r[i], c);
                }
            }
            FOR(i, ROWS) FOR(j, COLUMNS) acc[i][j] = 0;
            g++;
            group_end = lb_group_end(&p, g) / WORD_K;
        }
#else
        dot_words(acc, a, w, 0, STEP);
#endif
        if (step + 1 < steps)
            TILE_STORE(share, a_words[(step + 1) % 2], w_words[(step + 1) % 2]);
    }

    /* Through an array, so that the epilogue stands in the program once. */
    total16 out[ROWS];
#if GROUPED
    FOR(i, ROWS) out[i] = VECTOR16(total[i]);
#else
    FOR(i, ROWS) out[i] = VECTOR16(acc[i]);
#endif
    for (int i = 0; i < ROWS; i++)
        if (m + i < p.m && n < p.n)
            finish(out[i], &p, &io, &in, m + i, n);
}
