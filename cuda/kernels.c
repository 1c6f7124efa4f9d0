/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of kernels.def as data, and what the rows of one .cu file share. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cuda.h"
#include "layout.h"
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

const char *lb_cuda_kernel_of(const lb_cuda_row *row, const lb_cuda_pass *pass, const lb_problem *p,
                              char *name, size_t capacity)
{
    char suffix[64] = "";
    if (row->variant && !pass->image)
        row->variant(p, suffix, sizeof suffix);
    snprintf(name, capacity, "%s%s", pass->entry, suffix);
    return pass->image ? pass->image : row->image;
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

#define PARTS_MOST 16
#define PART_LEAST 2 /* stages */

/* As many parts as give every multiprocessor two blocks of the columns' tiles, cut where groups
   and stages end. */
int lb_cuda_parts(const lb_cuda_row *row, const lb_problem *p, const lb_device *device,
                  int64_t *length)
{
    int64_t unit = row->split;
    *length = p->k;
    if (lb_problem_groups(p) > 1)
        unit *= p->b.group / greatest_common(p->b.group, row->split);
    if (!row->split || unit >= p->k)
        return 1;
    int64_t across = (int64_t)tiles(p->n, row->passes[0].tile_n) * p->batch;
    int64_t most = across ? 2 * (int64_t)device->info.compute_units / across : 1;
    if (most < 2)
        return 1;
    int64_t least = PART_LEAST * (int64_t)row->split;
    int64_t each = (int64_t)tiles((int64_t)tiles(p->k, (int)unit),
                                  (int)(most < PARTS_MOST ? most : PARTS_MOST)) *
                   unit;
    while (each < least)
        each += unit;
    *length = each;
    return (int)tiles(p->k, (int)each);
}

#define LEAST_STAGES 4 /* of a part of k: fewer do not pay for the sums' way */

int lb_cuda_ranks(const lb_cuda_row *row, const lb_problem *p, int units, int *step)
{
    *step = 1;
    if (row->cluster_stage == 0 || p->n == 0)
        return 1;
    if (lb_problem_groups(p) > 1)
        *step = p->b.group / greatest_common(p->b.group, row->cluster_stage);
    uint64_t across = tiles(p->n, row->passes[0].tile_n) * (uint64_t)p->batch;
    uint64_t parts = tiles(p->k, row->cluster_stage) / (uint64_t)*step;
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
    int64_t length;
    for (int i = 0; i < LB_CUDA_PASSES && row->passes[i].entry; i++) {
        uint64_t blocks = lb_cuda_blocks(&row->passes[i], p->m, p->n, p->batch);
        int most = row->cluster_stage ? INT32_MAX / LB_CUDA_RANKS : INT32_MAX;
        if (i == 0)
            blocks *= (uint64_t)lb_cuda_parts(row, p, device, &length);
        if (blocks > (uint64_t)most) {
            snprintf(why, capacity, "%" PRIu64 " tiles are more than a grid's %d", blocks, most);
            return false;
        }
    }
    return !row->takes || row->takes(p, why, capacity);
}

/* Bytes of the sums that parts of k leave in the workspace. */
static uint64_t split_bytes(const lb_kernel *kernel, const lb_problem *p, const lb_device *device)
{
    const lb_cuda_row *row = kernel->impl;
    lb_extent extent;
    int64_t length;
    if (!row->split ||
        lb_extent_make(lb_layout_find(kernel->layout), p->b.type, p->n, p->k, &extent) != LB_OK)
        return 0;
    return (uint64_t)lb_cuda_parts(row, p, device, &length) * (uint64_t)p->batch * (uint64_t)p->m *
           (uint64_t)extent.n_pad * 4;
}

static uint64_t workspace(const lb_kernel *kernel, const lb_problem *p, const lb_device *device)
{
    const lb_cuda_row *row = kernel->impl;
    return row->workspace + split_bytes(kernel, p, device);
}

/* ---- Cost ------------------------------------------------------------------------------------ */

#define RATE_UNKNOWN 1e12 /* of memory, bytes per second */
#define RATE_REACHED 0.9  /* of what the driver tells */
#define SHARE_MOST 2.0    /* of memory's rate by one multiprocessor, in shares of all of them */
#define LAUNCH_SECONDS 3e-6
#define CLUSTER_SECONDS 1.5e-6 /* of a wave of clusters, an estimate: start, and sums' way */

/* Seconds of the weights, and of the sums of split k to the workspace and back, on their way. */
static double memory_seconds(const lb_kernel *kernel, const lb_problem *p, const lb_device *device,
                             double share)
{
    double known = device->info.memory_rate * RATE_REACHED;
    double bytes = (double)p->n * (double)p->k * lb_type_bits(p->b.type) / 8 * (double)p->batch;
    bytes += 2.0 * (double)split_bytes(kernel, p, device);
    return bytes / ((known > 0 ? known : RATE_UNKNOWN) * (share < 1 ? share : 1));
}

/* Seconds: arithmetic padded to whole tiles, in waves of one tile (or part of it) per
   multiprocessor, and the way through memory; the longer, a tenth of the shorter, which never hides
   entirely, and the launches. The last pass does the arithmetic, where k is split the first. Blocks
   of clusters make one tile each, so that nothing hides the way from one wave to the next. */
static double cost(const lb_kernel *kernel, const lb_problem *p, const lb_device *device)
{
    const lb_cuda_row *row = kernel->impl;
    int last = 0;
    while (last + 1 < LB_CUDA_PASSES && row->passes[last + 1].entry)
        last++;
    const lb_cuda_pass *pass = &row->passes[row->split ? 0 : last];
    int64_t length;
    int step, ranks = lb_cuda_ranks(row, p, device->info.compute_units, &step);
    int parts = lb_cuda_parts(row, p, device, &length) * ranks;
    double units = device->info.compute_units > 0 ? device->info.compute_units : 1;
    double blocks = (double)lb_cuda_blocks(pass, p->m, p->n, p->batch) * parts;
    double waves = blocks > units ? blocks / units : 1;
    double per_tile = 2.0 * pass->tile_m * pass->tile_n * (double)length / ranks;
    double arithmetic = waves * per_tile / (row->rate * 1e9);
    double memory = memory_seconds(kernel, p, device, SHARE_MOST * blocks / units);
    double longer = arithmetic > memory ? arithmetic : memory;
    double clusters = ranks > 1 ? CLUSTER_SECONDS * ceil(waves) : 0;
    return longer + 0.1 * (arithmetic + memory - longer) + clusters + LAUNCH_SECONDS * (last + 1);
}

/* ---- Families -------------------------------------------------------------------------------- */

#define FAMILY_any(tile_m, tile_n, threads, shared)                                                \
    .image = "gemm_any.fatbin", .passes = {{"gemm_any", tile_m, tile_n, threads, shared}}

/* "g" for scales along k, "t" for those of two levels. */
static const char *scales_of(const lb_problem *p)
{
    return lb_problem_is_stepped(p) ? "t" : lb_problem_groups(p) > 1 ? "g" : "";
}

/* Of mma_int.cu: signs of A and W, "n" for W of less than 8 bits, scales. */
static void variant_int(const lb_problem *p, char *suffix, size_t capacity)
{
    char w = lb_type_bits(p->b.type) < 8 ? 'n' : p->b.type == LB_TYPE_U8 ? 'u' : 's';
    snprintf(suffix, capacity, "_%c%c%s", p->a.type == LB_TYPE_U8 ? 'u' : 's', w, scales_of(p));
}

#define FAMILY_mma_int(tile_m, tile_n, threads, shared)                                            \
    .image = "mma_int.fatbin", .variant = variant_int,                                             \
    .passes = {{"mma_int_" #tile_m, tile_m, tile_n, threads, shared}}

/* The pass that finishes what is split. */
#define FINISH                                                                                     \
    {                                                                                              \
        .entry = "finish", .tile_m = 8, .tile_n = 128, .threads = 128, .image = "finish.fatbin"    \
    }

#define FAMILY_mma_int_k(tile_m, tile_n, threads, shared)                                          \
    .image = "mma_int.fatbin", .variant = variant_int, .split = 64,                                \
    .passes = {{"mma_int_" #tile_m "k", tile_m, tile_n, threads, shared}, FINISH}

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

#define FAMILY_mma_s4_k(tile_m, tile_n, threads, shared)                                           \
    .image = "mma_s4.fatbin", .variant = variant_s4, .takes = takes_s4, .split = 128,              \
    .passes = {{"mma_s4_" #tile_m "k", tile_m, tile_n, threads, shared}, FINISH}

#define FAMILY_mma_b1_k(tile_m, tile_n, threads, shared)                                           \
    .image = "mma_b1.fatbin", .split = 512,                                                        \
    .passes = {{"mma_b1_" #tile_m "k", tile_m, tile_n, threads, shared}, FINISH}

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

#define FAMILY_mma_float_k(type, tile_m, tile_n, threads, shared)                                  \
    .image = "mma_float.fatbin", .variant = variant_float, .split = 64,                            \
    .passes = {{"mma_" #type "_" #tile_m "k", tile_m, tile_n, threads, shared}, FINISH}
#define FAMILY_mma_f16_k(tile_m, tile_n, threads, shared)                                          \
    FAMILY_mma_float_k(f16, tile_m, tile_n, threads, shared)
#define FAMILY_mma_bf16_k(tile_m, tile_n, threads, shared)                                         \
    FAMILY_mma_float_k(bf16, tile_m, tile_n, threads, shared)

/* Of mma_table.cu: the type of A, "g" for scales along k. */
static void variant_table(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "_%s%s", lb_type_name(p->a.type),
             lb_problem_groups(p) > 1 ? "g" : "");
}

#define FAMILY_mma_table(tile_m, tile_n, threads, shared)                                          \
    .image = "mma_table.fatbin", .variant = variant_table,                                         \
    .passes = {{"mma_table_" #tile_m, tile_m, tile_n, threads, shared}}

#define FAMILY_mma_table_k(tile_m, tile_n, threads, shared)                                        \
    .image = "mma_table.fatbin", .variant = variant_table, .split = 64,                            \
    .passes = {{"mma_table_" #tile_m "k", tile_m, tile_n, threads, shared}, FINISH}

/* Rows of families on wgmma whose names end in k split k among the blocks of clusters. */

/* Of wgmma_int.cu: "a" for A of u8, W's sign and bits, scales. */
static void variant_wgmma(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "_%s%c%d%s", p->a.type == LB_TYPE_U8 ? "a" : "",
             p->b.type == LB_TYPE_U8 ? 'u' : 's', lb_type_bits(p->b.type), scales_of(p));
}

#define FAMILY_wgmma_int(tile_m, tile_n, threads, shared)                                          \
    .image = "wgmma_int.fatbin", .variant = variant_wgmma, .persistent = true,                     \
    .passes = {{"wgmma_int_" #tile_m, tile_m, tile_n, threads, shared}}
#define FAMILY_wgmma_int_k(...) FAMILY_wgmma_int(__VA_ARGS__), .cluster_stage = 128

/* Of wgmma_float.cu: W's bits, "g" for scales along k. */
static void variant_wgmma_float(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "_%d%s", lb_type_bits(p->b.type),
             lb_problem_groups(p) > 1 ? "g" : "");
}

#define FAMILY_wgmma_float(type, tile_m, tile_n, threads, shared)                                  \
    .image = "wgmma_float.fatbin", .variant = variant_wgmma_float, .persistent = true,             \
    .passes = {{"wgmma_" #type "_" #tile_m, tile_m, tile_n, threads, shared}}
#define FAMILY_wgmma_f16(tile_m, tile_n, threads, shared)                                          \
    FAMILY_wgmma_float(f16, tile_m, tile_n, threads, shared)
#define FAMILY_wgmma_bf16(tile_m, tile_n, threads, shared)                                         \
    FAMILY_wgmma_float(bf16, tile_m, tile_n, threads, shared)
#define FAMILY_wgmma_f16_k(...) FAMILY_wgmma_f16(__VA_ARGS__), .cluster_stage = 64
#define FAMILY_wgmma_bf16_k(...) FAMILY_wgmma_bf16(__VA_ARGS__), .cluster_stage = 64

#define FAMILY_wgmma_b1(tile_m, tile_n, threads, shared)                                           \
    .image = "wgmma_b1.fatbin", .persistent = true,                                                \
    .passes = {{"wgmma_b1_" #tile_m, tile_m, tile_n, threads, shared}}
#define FAMILY_wgmma_b1_k(...) FAMILY_wgmma_b1(__VA_ARGS__), .cluster_stage = 1024

/* The tile is a grain of its algorithms' sizes, and that of the kernel that makes what it cannot.
   The workspace is what its algorithms may take; a plan states what the one it chose does. */
#define FAMILY_cublaslt(tile_m, tile_n, threads, shared)                                           \
    FAMILY_any(tile_m, tile_n, threads, shared),                                                   \
        .takes = lb_cublaslt_takes, .library = &lb_cublaslt, .workspace = UINT64_C(32) << 20

/* Of wgmma_planes.cu and mma_planes.cu: W's planes, "t" of ternary weights, else its bits. */
static char planes_of(const lb_problem *p)
{
    return p->b.type == LB_TYPE_T2 ? 't' : p->b.type == LB_TYPE_B1 ? '1' : '2';
}

/* Of wgmma_planes.cu: A's bits, W's planes. */
static void variant_wgmma_planes(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "_%d%c", lb_type_bits(p->a.type), planes_of(p));
}

#define FAMILY_wgmma_planes(tile_m, tile_n, threads, shared)                                       \
    .image = "wgmma_planes.fatbin", .variant = variant_wgmma_planes, .persistent = true,           \
    .passes = {{"wgmma_planes_" #tile_m, tile_m, tile_n, threads, shared}}
/* A stage is of 512 of k of A's codes, 1024 of its bits. */
#define FAMILY_wgmma_planes_k(...) FAMILY_wgmma_planes(__VA_ARGS__), .cluster_stage = 512
#define FAMILY_wgmma_planes_b1_k(...) FAMILY_wgmma_planes(__VA_ARGS__), .cluster_stage = 1024

/* Of mma_planes.cu: W's planes; bits are ternary there. */
static void variant_mma_planes(const lb_problem *p, char *suffix, size_t capacity)
{
    snprintf(suffix, capacity, "_%c", planes_of(p) == '2' ? '2' : 't');
}

#define FAMILY_mma_planes(tile_m, tile_n, threads, shared)                                         \
    .image = "mma_planes.fatbin", .variant = variant_mma_planes,                                   \
    .passes = {{"mma_planes_" #tile_m, tile_m, tile_n, threads, shared}}

/* ---- Rows ------------------------------------------------------------------------------------ */

const lb_kernel lb_cuda_rows[] = {
#define LB_KERNEL(kernel, family, eats, text, a, b, d, least, most, unlike, marks, words, tile_m,  \
                  tile_n, threads, shared, gops)                                                   \
    {.name = #kernel,                                                                              \
     .layout = #eats,                                                                              \
     .summary = text,                                                                              \
     .a_types = a,                                                                                 \
     .b_types = b,                                                                                 \
     .d_types = d,                                                                                 \
     .caps = LB_CAP_ALL ^ (uint32_t)(unlike),                                                      \
     .flags = LB_ROW_BATCH_INVARIANT | marks,                                                      \
     .m_min = least,                                                                               \
     .m_max = most,                                                                                \
     .needs = words,                                                                               \
     .accept = accept,                                                                             \
     .workspace = workspace,                                                                       \
     .cost = cost,                                                                                 \
     .impl =                                                                                       \
         &(const lb_cuda_row){FAMILY_##family(tile_m, tile_n, threads, shared), .rate = gops}},
#include "kernels.def"
#undef LB_KERNEL
};
const size_t lb_cuda_row_count = sizeof lb_cuda_rows / sizeof *lb_cuda_rows;
