/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of kernels.def as data, and what the rows of one .cl file share. */
#include <stdio.h>

#include "layout.h"
#include "opencl.h"
#include "problem.h"
#include "types.h"

/* ---- Workspace ----------------------------------------------------------------------------------
 */

static uint64_t round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

uint64_t lb_opencl_stage_areas(const lb_opencl_row *row, const lb_problem *p, int64_t k_pad,
                               lb_kargs *kargs)
{
    uint64_t rows = round_up((uint64_t)p->m, (uint64_t)row->tile.mr);
    /* In eighths of a byte: bits are staged as bits. */
    uint64_t panel = rows * (uint64_t)k_pad * (uint64_t)row->tile.element / 8;
    int64_t groups = lb_problem_is_stepped(p) ? lb_problem_scale_groups(p) : lb_problem_groups(p);
    uint64_t sums = rows * (uint64_t)groups * 4;
    kargs->ws[2] = round_up(panel, LB_MEMORY_ALIGN);
    kargs->ws[3] = round_up(sums, LB_MEMORY_ALIGN);
    kargs->ws[0] = 0;
    kargs->ws[1] = (uint64_t)p->batch * kargs->ws[2];
    return (uint64_t)p->batch * (kargs->ws[2] + kargs->ws[3]);
}

static uint64_t workspace(const lb_kernel *kernel, const lb_problem *p, const lb_device *device)
{
    (void)device;
    const lb_opencl_row *row = kernel->impl;
    lb_extent extent;
    lb_kargs areas;
    if (!row->tile.element ||
        lb_extent_make(lb_layout_find(kernel->layout), p->b.type, p->n, p->k, &extent) != LB_OK)
        return 0;
    return lb_opencl_stage_areas(row, p, extent.k_pad, &areas);
}

/* Rows that stage A look weights up in one table that they hold. */
static bool accept(const lb_kernel *kernel, const lb_problem *p, const lb_device *device, char *why,
                   size_t capacity)
{
    const lb_opencl_row *row = kernel->impl;
    (void)device;
    if (p->b_table <= LB_PER_TENSOR || !row->tile.element)
        return true;
    snprintf(why, capacity, "B has a table per channel or group, it holds one for all");
    return false;
}

/* ---- Cost ---------------------------------------------------------------------------------------
 */

/* Seconds: padded arithmetic at the row's rate over the compute units that find a tile, or the
   weights' way through memory once per row of tiles, whichever is longer; plus the launches. */
static double cost(const lb_kernel *kernel, const lb_problem *p, const lb_device *device)
{
    const lb_opencl_row *row = kernel->impl;
    const lb_opencl_tile *t = &row->tile;
    double units = device->info.compute_units > 0 ? device->info.compute_units : 1;
    double rows = (double)round_up((uint64_t)p->m, (uint64_t)t->mr);
    double columns = (double)round_up((uint64_t)p->n, 16 * (uint64_t)t->nv);
    int64_t down = (p->m + t->mt - 1) / t->mt, across = (p->n + t->nt - 1) / t->nt;
    double bands = (double)down, tiles = bands * (double)across * (double)p->batch;
    double busy = tiles < units ? tiles : units;
    double arithmetic = 2 * rows * columns * (double)p->k * (double)p->batch /
                        (row->rate * 1e9 * (busy ? busy : 1));
    double bytes = (double)p->n * (double)p->k * lb_type_bits(p->b.type) / 8 * (double)p->batch;
    /* Two channels of DDR, or a guess at a GPU's. */
    double memory = bands * bytes / (device->info.is_gpu ? 500e9 : 20e9);
    return (arithmetic > memory ? arithmetic : memory) + 20e-6;
}

/* ---- Families -----------------------------------------------------------------------------------
 */

static void weight_macros(const lb_problem *p, char *text, size_t capacity)
{
    snprintf(text, capacity, "-DWB=%d -DGROUPED=%d", lb_type_bits(p->b.type),
             lb_problem_is_stepped(p) ? 2 : p->b.scale == LB_PER_GROUP);
}

#define SOURCES(...)                                                                               \
    {                                                                                              \
        "kernel_abi.h", "requantise.h", "common.clh", "epilogue.clh", __VA_ARGS__                  \
    }
#define STAGED(stage, main, mr, mt, nt)                                                            \
    {                                                                                              \
        {stage, mr, 0, {1, 1}}, {main, mt, nt, {1, 1}},                                            \
    }
/* Bits per staged element of A. */
#define ELEMENT_panel_int 8
#define ELEMENT_panel_int_pairs 16
#define ELEMENT_panel_float 32
#define ELEMENT_panel_bf16 16
#define ELEMENT_xnor 1
#define ELEMENT_ternary 2
#define ELEMENT_tile 8
#define ELEMENT_tile_small 8
#define ELEMENT_tile_mma 8
#define ELEMENT_tile_dpas 8
#define ELEMENT_tile_xnor 1
#define ELEMENT_tile_xnor_small 1
#define ELEMENT_any 0
/* What a family's rows have beyond LB_CAP_ALL. */
#define BEYOND_panel_int LB_CAP_STEP
#define BEYOND_panel_int_pairs LB_CAP_STEP
#define BEYOND_panel_float 0
#define BEYOND_panel_bf16 0
#define BEYOND_xnor 0
#define BEYOND_ternary 0
#define BEYOND_tile LB_CAP_STEP
#define BEYOND_tile_small LB_CAP_STEP
#define BEYOND_tile_mma LB_CAP_STEP
#define BEYOND_tile_dpas LB_CAP_STEP
#define BEYOND_tile_xnor 0
#define BEYOND_tile_xnor_small 0
#define BEYOND_any LB_CAP_STEP

#define FAMILY_panel_int(mr, nv, mt, nt)                                                           \
    .sources = SOURCES("stage.clh", "panel_int.cl"),                                               \
    .passes = STAGED("stage", "panel_int", mr, mt, nt), .variants = LB_OPENCL_PANEL,               \
    .macros = weight_macros
#define FAMILY_panel_int_pairs FAMILY_panel_int
#define FAMILY_panel_float(mr, nv, mt, nt)                                                         \
    .sources = SOURCES("stage.clh", "panel_float.cl"),                                             \
    .passes = STAGED("stage", "panel_float", mr, mt, nt), .variants = LB_OPENCL_PANEL,             \
    .macros = weight_macros
#define FAMILY_panel_bf16 FAMILY_panel_float
#define FAMILY_xnor(mr, nv, mt, nt)                                                                \
    .sources = SOURCES("stage.clh", "xnor.cl"), .passes = STAGED("stage", "xnor", mr, mt, nt),     \
    .variants = LB_OPENCL_PANEL
#define FAMILY_ternary(mr, nv, mt, nt)                                                             \
    .sources = SOURCES("stage.clh", "ternary.cl"),                                                 \
    .passes = STAGED("stage", "ternary", mr, mt, nt), .variants = LB_OPENCL_PANEL
/* Work-groups of 256: tile.clh. */
#define TILED(file, main, mt, nt)                                                                  \
    .sources = SOURCES("stage.clh", "tile.clh", file),                                             \
    .passes = {{"tile_stage", 1, 0, {64, 1}}, {main, mt, nt, {256, 1}}}, .macros = weight_macros
#define FAMILY_tile(mr, nv, mt, nt) TILED("tile_dot.cl", "tile_dot", mt, nt)
#define FAMILY_tile_small(mr, nv, mt, nt)                                                          \
    TILED("tile_small.cl", "tile_small", mt, nt), .variants = LB_OPENCL_SMALL
#define FAMILY_tile_mma(mr, nv, mt, nt) TILED("tile_mma.cl", "tile_mma", mt, nt)
#define FAMILY_tile_dpas(mr, nv, mt, nt) TILED("tile_dpas.cl", "tile_dpas", mt, nt)
#define FAMILY_tile_xnor FAMILY_tile
#define FAMILY_tile_xnor_small FAMILY_tile_small
#define FAMILY_any(mr, nv, mt, nt)                                                                 \
    .sources = SOURCES("gemm_any.cl"), .passes = {{"gemm_any", mt, nt, {1, 16}}}

/* ---- Rows ---------------------------------------------------------------------------------------
 */

const lb_kernel lb_opencl_rows[] = {
#define LB_KERNEL(kernel, family, eats, text, a, b, least, most, marks, words, mr, nv, mt, nt,     \
                  defines, gops)                                                                   \
    {.name = #kernel,                                                                              \
     .layout = #eats,                                                                              \
     .summary = text,                                                                              \
     .a_types = a,                                                                                 \
     .b_types = b,                                                                                 \
     .d_types = LB_T_OUT_ANY,                                                                      \
     .caps = LB_CAP_ALL | BEYOND_##family,                                                         \
     .flags = LB_ROW_BATCH_INVARIANT | marks,                                                      \
     .m_min = least,                                                                               \
     .m_max = most,                                                                                \
     .needs = words,                                                                               \
     .accept = accept,                                                                             \
     .workspace = workspace,                                                                       \
     .cost = cost,                                                                                 \
     .impl = &(const lb_opencl_row){FAMILY_##family(mr, nv, mt, nt),                               \
                                    .tile = {mr, nv, mt, nt, ELEMENT_##family},                    \
                                    .options = defines, .rate = gops}},
#include "kernels.def"
#undef LB_KERNEL
};
const size_t lb_opencl_row_count = sizeof lb_opencl_rows / sizeof *lb_opencl_rows;
