/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer GEMM for Intel GPUs with cl_intel_subgroup_matrix_multiply_accumulate: the tile of
 * tile_dot.cl on 8 x LANES x 32 products of s8 per instruction. LANES is the device's least
 * sub-group size, 8 or 16. A work-group of 256 has four sub-groups down and 64 / LANES across; a
 * sub-group makes 32 x 2 LANES of the 128 x 128 as 4 x 2 blocks. One step is one k of the
 * instruction.
 *
 * In lane l of a sub-group the operands are
 *     A    of each of 8 rows the s8 of k 32 / LANES l and on: one word (LANES 8) or half of one
 *     B    column l, all eight words
 *     D    column l of the 8 rows
 *
 * Other compilers get the instruction as plain OpenCL C, from the fragments of all lanes, to check
 * what is around it.
 */
#define DOWN 4 /* sub-groups */
#define ACROSS (GROUP_ITEMS / LANES / DOWN)
#define BLOCKS_M 4
#define BLOCKS_N 2
#define ROWS 8 /* of a block */
#define GROUP_M (ROWS * BLOCKS_M)
#define GROUP_N (LANES * BLOCKS_N)

#define PITCH (TILE + 8)
#define A_AT(word, row) ((word)*PITCH + (row))
#define W_AT(word, column) ((word)*PITCH + (column))
#define STEP_WORDS (STEP * PITCH)
/* A band of 8 rows of each sub-group on its way to the epilogue, in the place of the steps' words.
 */
#define BAND_PITCH (TILE + 4)

#if LANES == 8
typedef int a_part;
typedef int8 a_parts;
#else
typedef short a_part;
typedef short8 a_parts;
#endif
#define PARTS (sizeof(int) / sizeof(a_part)) /* of a word */

typedef struct fragments {
    a_part a[BLOCKS_M][ROWS];
    int w[BLOCKS_N][STEP];
} fragments;

#define VECTOR8(x) (x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7])

#if defined(cl_intel_subgroup_matrix_multiply_accumulate)
#define LB_DPAS_LANES 0
#define SUB_GROUP __attribute__((intel_reqd_sub_group_size(LANES)))
static inline void multiply(int (*acc)[BLOCKS_N][ROWS], const fragments *f)
{
    FOR(i, BLOCKS_M)
    FOR(j, BLOCKS_N)
    {
        int8 sum = (int8)VECTOR8(acc[i][j]);
        sum = intel_sub_group_i8_i8_matrix_mad_k32((a_parts)VECTOR8(f->a[i]),
                                                   (int8)VECTOR8(f->w[j]), sum);
        vstore8(sum, 0, acc[i][j]);
    }
}
#else
/* Every lane shows its fragments, block by block, since local memory has no room for all; then each
   computes its elements from the lanes that hold them. */
typedef struct shown {
    a_part a[ROWS];
    int w[BLOCKS_N][STEP];
} shown;
#define LB_DPAS_LANES GROUP_ITEMS
#define SUB_GROUP
static inline void multiply(int (*acc)[BLOCKS_N][ROWS], const fragments *f, __local shown *of_lanes)
{
    int lane = get_local_id(0) % LANES;
    __local const shown *group = of_lanes + (get_local_id(0) - lane);
    for (int j = 0; j < BLOCKS_N; j++)
        for (int word = 0; word < STEP; word++)
            of_lanes[get_local_id(0)].w[j][word] = f->w[j][word];
    for (int i = 0; i < BLOCKS_M; i++) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int r = 0; r < ROWS; r++)
            of_lanes[get_local_id(0)].a[r] = f->a[i][r];
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int j = 0; j < BLOCKS_N; j++)
            for (int r = 0; r < ROWS; r++)
                for (int word = 0; word < STEP; word++) {
                    int a = 0;
                    for (int part = 0; part < (int)PARTS; part++)
                        a |= (int)(((uint)group[(int)PARTS * word + part].a[r] &
                                    (PARTS == 1 ? ~0u : 0xffffu))
                                   << (uint)(16 * part));
                    acc[i][j][r] = dot4(acc[i][j][r], a, group[lane].w[j][word]);
                }
    }
}
#endif

__kernel SUB_GROUP __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void
tile_dpas(LB_ARGUMENTS)
{
    __local total_t local_words[4 * STEP_WORDS] __attribute__((aligned(16)));
    __local int *a_words = (__local int *)local_words, *w_words = a_words + 2 * STEP_WORDS;
#if LB_DPAS_LANES
    __local shown of_lanes[LB_DPAS_LANES];
#endif
    long batch = get_global_id(2);
    LB_IO(io, batch);
    TILE_INPUT(in, batch);
    int item = get_local_id(0), lane = item % LANES;
    int group_m = item / LANES / ACROSS, group_n = item / LANES % ACROSS;
    int m_tile = get_group_id(0) * TILE, n_tile = get_group_id(1) * TILE;
    int m = m_tile + group_m * GROUP_M, n = n_tile + group_n * GROUP_N + lane; /* of D's first */
    int steps = (in.end + STEP - 1) / STEP;
    tile_share share;
    int acc[BLOCKS_M][BLOCKS_N][ROWS];
    FOR(i, BLOCKS_M) FOR(j, BLOCKS_N) FOR(r, ROWS) acc[i][j][r] = 0;
#if GROUPED
    float total[BLOCKS_M][BLOCKS_N][ROWS];
    FOR(i, BLOCKS_M) FOR(j, BLOCKS_N) FOR(r, ROWS) total[i][j][r] = 0.0f;
    int g = 0, group_end = lb_group_end(&p, 0) / WORD_K;
#else
#define total acc
#endif

    if (steps > 0) {
        tile_fetch(&share, &in, &p, &io, m_tile, n_tile, 0);
        TILE_STORE(share, a_words, w_words);
    }
    for (int step = 0; step < steps; step++) {
        int now = step % 2 * STEP_WORDS, next = STEP_WORDS - now;
        __local const a_part *a =
            (__local const a_part *)(a_words + now + A_AT(lane / (int)PARTS, group_m * GROUP_M)) +
            lane % (int)PARTS;
        __local const int *w = w_words + now + W_AT(0, group_n * GROUP_N + lane);
        fragments f;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (step + 1 < steps)
            tile_fetch(&share, &in, &p, &io, m_tile, n_tile, step + 1);
        FOR(i, BLOCKS_M)
        FOR(r, ROWS) f.a[i][r] = a[(ROWS * i + r) * (int)PARTS];
        FOR(j, BLOCKS_N)
        FOR(word, STEP) f.w[j][word] = w[W_AT(word, LANES * j)];
#if LB_DPAS_LANES
        multiply(acc, &f, of_lanes);
#else
        multiply(acc, &f);
#endif
#if GROUPED
        if ((step + 1) * STEP == group_end) {
            column_part columns[BLOCKS_N];
            FOR(j, BLOCKS_N)
            columns[j] = column_part_of(&p, &io, &in, min(n + LANES * j, p.n_pad - 1), g);
            FOR(i, BLOCKS_M)
            FOR(r, ROWS)
            {
                row_part row = row_part_of(&p, &io, &in, m + ROWS * i + r, g);
                FOR(j, BLOCKS_N)
                {
                    total[i][j][r] = add_group(total[i][j][r], acc[i][j][r], row, columns[j]);
                    acc[i][j][r] = 0;
                }
            }
            g++;
            group_end = lb_group_end(&p, g) / WORD_K;
        }
#endif
        if (step + 1 < steps)
            TILE_STORE(share, a_words + next, w_words + next);
    }

    /* Band by band through local memory, to 16 columns of a row per work-item. */
    total_t out[BLOCKS_M][BLOCKS_N][ROWS];
    FOR(i, BLOCKS_M)
    FOR(j, BLOCKS_N)
    FOR(r, ROWS) out[i][j][r] = total[i][j][r];
    for (int i = 0; i < BLOCKS_M; i++) {
        barrier(CLK_LOCAL_MEM_FENCE);
        __local total_t *to = local_words + ROWS * group_m * BAND_PITCH + group_n * GROUP_N + lane;
        FOR(j, BLOCKS_N)
        FOR(r, ROWS) to[r * BAND_PITCH + LANES * j] = out[i][j][r];
        barrier(CLK_LOCAL_MEM_FENCE);
        int row = item / (TILE / 16), column = item % (TILE / 16) * 16;
        int d_row = m_tile + row / ROWS * GROUP_M + ROWS * i + row % ROWS,
            d_column = n_tile + column;
        if (d_row < p.m && d_column < p.n)
            finish(vload16(0, local_words + row * BAND_PITCH + column), &p, &io, &in, d_row,
                   d_column);
    }
}
