/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer GEMM for NVIDIA GPUs of compute capability 8.0 and up: the tile of tile_dot.cl on
 * mma.sync m16n8k32 of s8. A work-group of 256 is eight warps, two down by four across; a warp
 * makes 64 x 32 of the 128 x 128 as 4 x 4 blocks of 16 x 8. One step is one k of the instruction.
 *
 * In lane 4 r + c of a warp (r < 8, c < 4) the operands are, in words of four s8 along k:
 *     A    row r word c; row r + 8 word c; row r word c + 4; row r + 8 word c + 4
 *     B    column r word c; column r word c + 4
 *     D    row r columns 2 c and 2 c + 1; row r + 8 the same
 *
 * Other compilers get the instruction as plain OpenCL C, from the fragments of all lanes, to check
 * what is around it.
 */
#define WARP 32
#define ACROSS 4 /* warps */
#define BLOCKS_M 4
#define BLOCKS_N 4
#define WARP_M (16 * BLOCKS_M)
#define WARP_N (8 * BLOCKS_N)

/* A warp's 8 rows x 4 words lie in 32 different banks. */
#define PITCH (TILE + 8)
#define A_AT(word, row) ((word)*PITCH + (row))
#define W_AT(word, column) ((word)*PITCH + (column))
#define STEP_WORDS (STEP * PITCH)
/* A band of 16 rows of each warp on its way to the epilogue, in the place of the steps' words. */
#define BAND_PITCH (TILE + 4)

typedef struct fragments {
    int a[BLOCKS_M][4], w[BLOCKS_N][2];
} fragments;

#if defined(__NV_CL_C_VERSION) || defined(__NVPTX__)
#define LB_MMA_LANES 0
static inline void multiply(int (*acc)[BLOCKS_N][4], const fragments *f)
{
    FOR(i, BLOCKS_M)
    FOR(j, BLOCKS_N)
    __asm__ volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+r"(acc[i][j][0]), "+r"(acc[i][j][1]), "+r"(acc[i][j][2]),
                       "+r"(acc[i][j][3])
                     : "r"(f->a[i][0]), "r"(f->a[i][1]), "r"(f->a[i][2]), "r"(f->a[i][3]),
                       "r"(f->w[j][0]), "r"(f->w[j][1]));
}
#else
/* Every lane shows its fragments; then each computes its elements from the lanes that hold them. */
#define LB_MMA_LANES GROUP_ITEMS
static inline void multiply(int (*acc)[BLOCKS_N][4], const fragments *f,
                            __local fragments *of_lanes)
{
    int lane = get_local_id(0) % WARP, r = lane / 4, c = lane % 4;
    __local const fragments *warp = of_lanes + (get_local_id(0) - lane);
    of_lanes[get_local_id(0)] = *f;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < BLOCKS_M; i++)
        for (int j = 0; j < BLOCKS_N; j++)
            for (int e = 0; e < 4; e++)
                for (int word = 0; word < 4; word++) {
                    __local const fragments *a = warp + 4 * r + word;
                    __local const fragments *w = warp + 4 * (2 * c + e % 2) + word;
                    acc[i][j][e] = dot4(acc[i][j][e], a->a[i][e / 2], w->w[j][0]);
                    acc[i][j][e] = dot4(acc[i][j][e], a->a[i][e / 2 + 2], w->w[j][1]);
                }
}
#endif

__kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void tile_mma(LB_ARGUMENTS)
{
    __local total_t local_words[4 * STEP_WORDS] __attribute__((aligned(16)));
    __local int *a_words = (__local int *)local_words, *w_words = a_words + 2 * STEP_WORDS;
#if LB_MMA_LANES
    __local fragments of_lanes[LB_MMA_LANES];
#endif
    long batch = get_global_id(2);
    LB_IO(io, batch);
    TILE_INPUT(in, batch);
    int item = get_local_id(0), warp = item / WARP, r = item % WARP / 4, c = item % 4;
    int warp_m = warp / ACROSS, warp_n = warp % ACROSS;
    int m_tile = get_group_id(0) * TILE, n_tile = get_group_id(1) * TILE;
    int m = m_tile + warp_m * WARP_M + r, n = n_tile + warp_n * WARP_N + 2 * c; /* of D's first */
    int steps = (in.end + STEP - 1) / STEP;
    tile_share share;
    int acc[BLOCKS_M][BLOCKS_N][4];
    FOR(i, BLOCKS_M) FOR(j, BLOCKS_N) FOR(e, 4) acc[i][j][e] = 0;
#if GROUPED
    float total[BLOCKS_M][BLOCKS_N][4];
    FOR(i, BLOCKS_M) FOR(j, BLOCKS_N) FOR(e, 4) total[i][j][e] = 0.0f;
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
        __local const int *a = a_words + now + A_AT(c, warp_m * WARP_M + r);
        __local const int *w = w_words + now + W_AT(c, warp_n * WARP_N + r);
        fragments f;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (step + 1 < steps)
            tile_fetch(&share, &in, &p, &io, m_tile, n_tile, step + 1);
        FOR(i, BLOCKS_M)
        FOR(e, 4) f.a[i][e] = a[A_AT(e / 2 * 4, 16 * i + e % 2 * 8)];
        FOR(j, BLOCKS_N)
        FOR(e, 2) f.w[j][e] = w[W_AT(e * 4, 8 * j)];
#if LB_MMA_LANES
        multiply(acc, &f, of_lanes);
#else
        multiply(acc, &f);
#endif
#if GROUPED
        if ((step + 1) * STEP == group_end) {
            column_part columns[BLOCKS_N][2];
            FOR(j, BLOCKS_N)
            FOR(e, 2)
            columns[j][e] = column_part_of(&p, &io, &in, min(n + 8 * j + e, p.n_pad - 1), g);
            FOR(i, BLOCKS_M)
            FOR(lower, 2)
            {
                row_part row = row_part_of(&p, &io, &in, m + 16 * i + 8 * lower, g);
                FOR(j, BLOCKS_N)
                FOR(e, 2)
                {
                    total[i][j][2 * lower + e] = add_group(
                        total[i][j][2 * lower + e], acc[i][j][2 * lower + e], row, columns[j][e]);
                    acc[i][j][2 * lower + e] = 0;
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
    total_t out[BLOCKS_M][BLOCKS_N * 4];
    FOR(i, BLOCKS_M)
    FOR(j, BLOCKS_N)
    FOR(e, 4) out[i][4 * j + e] = total[i][j][e];
    for (int i = 0; i < BLOCKS_M; i++) {
        barrier(CLK_LOCAL_MEM_FENCE);
        __local total_t *to =
            local_words + (16 * warp_m + r) * BAND_PITCH + warp_n * WARP_N + 2 * c;
        FOR(j, BLOCKS_N)
        FOR(e, 4) to[e / 2 * 8 * BAND_PITCH + 8 * j + e % 2] = out[i][4 * j + e];
        barrier(CLK_LOCAL_MEM_FENCE);
        int row = item / (TILE / 16), column = item % (TILE / 16) * 16;
        int d_row = m_tile + row / 16 * WARP_M + 16 * i + row % 16, d_column = n_tile + column;
        if (d_row < p.m && d_column < p.n)
            finish(vload16(0, local_words + row * BAND_PITCH + column), &p, &io, &in, d_row,
                   d_column);
    }
}
