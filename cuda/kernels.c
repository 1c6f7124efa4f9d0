/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of kernels.def as data, and what the rows of one .cu file share. */
#include <inttypes.h>
#include <stdio.h>

#include "cuda.h"
#include "problem.h"
#include "types.h"

/* ---- Launches -------------------------------------------------------------------------------- */

static uint64_t tiles(int64_t extent, int tile)
{
    return tile ? (uint64_t)((extent + tile - 1) / tile) : 1;
}

uint64_t lb_cuda_blocks(const lb_cuda_pass *pass, int64_t m, int64_t n, int64_t batch)
{
    return tiles(m, pass->tile_m) * tiles(n, pass->tile_n) * (uint64_t)batch;
}

static int greatest_common(int a, int b)
{
    while (b) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

#define LEAST_STAGES 4 /* of a part of k: fewer do not pay for the sums' way to rank 0 */

int lb_cuda_ranks(const lb_cuda_row *row, const lb_problem *p, int units, int *step)
{
    *step = 1;
    if (row->split_stage == 0 || p->n == 0)
        return 1;
    if (lb_problem_groups(p) > 1)
        *step = p->b.group / greatest_common(p->b.group, row->split_stage);
    uint64_t across = tiles(p->n, row->passes[0].tile_n) * (uint64_t)p->batch;
    uint64_t parts = tiles(p->k, row->split_stage) / (uint64_t)*step;
    int ranks = LB_CUDA_RANKS;
    while (ranks > 1 && (across * (uint64_t)ranks > (uint64_t)units || parts < (uint64_t)ranks ||
                         parts * (uint64_t)*step < (uint64_t)ranks * LEAST_STAGES))
        ranks--;
    return ranks;
}

/* A grid has at most 2^31 - 1 blocks. */
static bool accept(const lb_kernel *kernel, const lb_problem *p, const lb_device *device, char *why,
                   size_t capacity)
{
    const lb_cuda_row *row = kernel->impl;
    (void)device;
    for (int i = 0; i < LB_CUDA_PASSES && row->passes[i].entry; i++) {
        uint64_t blocks = lb_cuda_blocks(&row->passes[i], p->m, p->n, p->batch);
        if (blocks > (row->split_stage ? INT32_MAX / LB_CUDA_RANKS : INT32_MAX)) {
            snprintf(why, capacity, "%" PRIu64 " tiles are more than a grid's %d", blocks,
                     row->split_stage ? INT32_MAX / LB_CUDA_RANKS : INT32_MAX);
            return false;
        }
    }
    return !row->takes || row->takes(p, why, capacity);
}

/* ---- Cost ------------------------------------------------------------------------------------ */

/* Seconds: arithmetic padded to whole tiles, in waves of one tile (or part of it, where several
   blocks share one) per multiprocessor, or the weights' way through memory, whichever is longer; a
   little of the other tells rows apart that both wait for memory; plus the launches. The last pass
   does the arithmetic. */
static double cost(const lb_kernel *kernel, const lb_problem *p, const lb_device *device)
{
    const lb_cuda_row *row = kernel->impl;
    int last = 0;
    while (last + 1 < LB_CUDA_PASSES && row->passes[last + 1].entry)
        last++;
    const lb_cuda_pass *pass = &row->passes[last];
    double units = device->info.compute_units > 0 ? device->info.compute_units : 1;
    int step, ranks = lb_cuda_ranks(row, p, device->info.compute_units, &step);
    double blocks = (double)lb_cuda_blocks(pass, p->m, p->n, p->batch) * ranks;
    double waves = blocks > units ? blocks / units : 1;
    double per_tile = 2.0 * pass->tile_m * pass->tile_n * (double)p->k / ranks;
    double arithmetic = waves * per_tile / (row->rate * 1e9);
    double bytes = (double)p->n * (double)p->k * lb_type_bits(p->b.type) / 8 * (double)p->batch;
    double memory = bytes / 1e12;
    double longer = arithmetic > memory ? arithmetic : memory,
           shorter = arithmetic + memory - longer;
    return longer + 0.01 * shorter + 3e-6 * (last + 1);
}

/* ---- Families -------------------------------------------------------------------------------- */

#define FAMILY_any(tile_m, tile_n, threads, shared)                                                \
    .image = "gemm_any.fatbin", .passes = {{"gemm_any", tile_m, tile_n, threads, shared}}

/* Of mma_int.cu: signs of A and W, "n" for W of less than 8 bits, "g" for scales along k. */
static void variant_int(const lb_problem *p, char *suffix, size_t capacity)
{
    bool grouped = lb_problem_groups(p) > 1;
    char w = lb_type_bits(p->b.type) < 8 ? 'n' : p->b.type == LB_TYPE_U8 ? 'u' : 's';
    snprintf(suffix, capacity, "_%c%c%s", p->a.type == LB_TYPE_U8 ? 'u' : 's', w,
             grouped ? "g" : "");
}

#define FAMILY_mma_int(tile_m, tile_n, threads, shared)                                            \
    .image = "mma_int.fatbin", .variant = variant_int,                                             \
    .passes = {{"mma_int_" #tile_m, tile_m, tile_n, threads, shared}}

/* Of mma_s4.cu: signs of A and W, "g" for scales along k. */
static void variant_s4(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "_%c%c%s", p->a.type == LB_TYPE_U4 ? 'u' : 's',
             p->b.type == LB_TYPE_U4 ? 'u' : 's', lb_problem_groups(p) > 1 ? "g" : "");
}

static bool takes_s4(const lb_problem *p, char *why, size_t capacity)
{
    bool fits = lb_problem_groups(p) <= 1 || p->b.group % 64 == 0;
    if (!fits)
        snprintf(why, capacity, "groups of %d; its products are of 64 of k", p->b.group);
    return fits;
}

#define FAMILY_mma_s4(tile_m, tile_n, threads, shared)                                             \
    .image = "mma_s4.fatbin", .variant = variant_s4, .takes = takes_s4,                            \
    .passes = {{"mma_s4_" #tile_m, tile_m, tile_n, threads, shared}}

#define FAMILY_mma_b1(tile_m, tile_n, threads, shared)                                             \
    .image = "mma_b1.fatbin", .passes = {{"mma_b1_" #tile_m, tile_m, tile_n, threads, shared}}

/* Of mma_float.cu: "_g" for scales along k. */
static void variant_float(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "%s", lb_problem_groups(p) > 1 ? "_g" : "");
}

#define FAMILY_mma_float(type, tile_m, tile_n, threads, shared)                                    \
    .image = "mma_float.fatbin", .variant = variant_float,                                         \
    .passes = {{"mma_" #type "_" #tile_m, tile_m, tile_n, threads, shared}}
#define FAMILY_mma_f16(tile_m, tile_n, threads, shared)                                            \
    FAMILY_mma_float(f16, tile_m, tile_n, threads, shared)
#define FAMILY_mma_bf16(tile_m, tile_n, threads, shared)                                           \
    FAMILY_mma_float(bf16, tile_m, tile_n, threads, shared)

/* Of wgmma_int.cu: "a" for A of u8, W's sign and bits, "g" for scales along k. */
static void variant_wgmma(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "_%s%c%d%s", p->a.type == LB_TYPE_U8 ? "a" : "",
             p->b.type == LB_TYPE_U8 ? 'u' : 's', lb_type_bits(p->b.type),
             lb_problem_groups(p) > 1 ? "g" : "");
}

#define FAMILY_wgmma_int(tile_m, tile_n, threads, shared)                                          \
    .image = "wgmma_int.fatbin", .variant = variant_wgmma, .persistent = true,                     \
    .split_stage = (tile_m) == 16 ? 128 : 0,                                                       \
    .passes = {{"wgmma_int_" #tile_m, tile_m, tile_n, threads, shared}}

/* Of wgmma_float.cu: W's bits, "g" for scales along k. */
static void variant_wgmma_float(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "_%d%s", lb_type_bits(p->b.type),
             lb_problem_groups(p) > 1 ? "g" : "");
}

#define FAMILY_wgmma_float(type, tile_m, tile_n, threads, shared)                                  \
    .image = "wgmma_float.fatbin", .variant = variant_wgmma_float, .persistent = true,             \
    .split_stage = (tile_m) == 16 ? 64 : 0,                                                        \
    .passes = {{"wgmma_" #type "_" #tile_m, tile_m, tile_n, threads, shared}}
#define FAMILY_wgmma_f16(tile_m, tile_n, threads, shared)                                          \
    FAMILY_wgmma_float(f16, tile_m, tile_n, threads, shared)
#define FAMILY_wgmma_bf16(tile_m, tile_n, threads, shared)                                         \
    FAMILY_wgmma_float(bf16, tile_m, tile_n, threads, shared)

#define FAMILY_wgmma_b1(tile_m, tile_n, threads, shared)                                           \
    .image = "wgmma_b1.fatbin", .persistent = true, .split_stage = (tile_m) == 16 ? 1024 : 0,      \
    .passes = {{"wgmma_b1_" #tile_m, tile_m, tile_n, threads, shared}}

/* ---- Rows ------------------------------------------------------------------------------------ */

const lb_kernel lb_cuda_rows[] = {
#define LB_KERNEL(kernel, family, eats, text, a, b, d, least, most, lacks, marks, words, tile_m,   \
                  tile_n, threads, shared, gops)                                                   \
    {.name = #kernel,                                                                              \
     .layout = #eats,                                                                              \
     .summary = text,                                                                              \
     .a_types = a,                                                                                 \
     .b_types = b,                                                                                 \
     .d_types = d,                                                                                 \
     .caps = LB_CAP_ALL & ~(uint32_t)(lacks),                                                      \
     .flags = LB_ROW_BATCH_INVARIANT | marks,                                                      \
     .m_min = least,                                                                               \
     .m_max = most,                                                                                \
     .needs = words,                                                                               \
     .accept = accept,                                                                             \
     .cost = cost,                                                                                 \
     .impl =                                                                                       \
         &(const lb_cuda_row){FAMILY_##family(tile_m, tile_n, threads, shared), .rate = gops}},
#include "kernels.def"
#undef LB_KERNEL
};
const size_t lb_cuda_row_count = sizeof lb_cuda_rows / sizeof *lb_cuda_rows;
