/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows with other tile sizes: what a tuner may choose from. The .cl files take all of them by
 * macro; here stands which combinations they are right for.
 *
 *   panel files   mrA nvB mbC ntD   register tile of A rows x B vectors of 16 columns,
 *                                   work-group tile of A * C rows x D columns
 *   tile_small    mtA ntB           work-group tile of A rows x B columns
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl.h"
#include "status.h"

#define AXES 4

typedef struct axis {
    const char *name;
    int value[12]; /* ends with 0 */
} axis;

static const axis panel_axes[AXES] = {{"mr", {1, 2, 3, 4, 5, 6, 8, 10, 12, 14}},
                                      {"nv", {1, 2, 4}},
                                      {"mb", {1, 2, 4, 8, 16, 32}},
                                      {"nt", {64, 128, 256, 512}}};
static const axis small_axes[AXES] = {{"mt", {1, 2, 4, 8}}, {"nt", {16, 32, 64}}};

/* Accumulators beyond these do not fit the vector registers of any CPU, and a tile of more rows
 * than that leaves most compute units idle. */
#define MOST_VECTORS 28
#define MOST_ROWS 512

static const axis *axes_of(const lb_opencl_row *row)
{
    return row->variants == LB_OPENCL_PANEL   ? panel_axes
           : row->variants == LB_OPENCL_SMALL ? small_axes
                                              : NULL;
}

/* What axis values mean. false: not for this row. */
static bool tile_of(const lb_kernel *kernel, const int *v, lb_opencl_tile *tile)
{
    const lb_opencl_row *row = kernel->impl;
    *tile = row->tile;
    if (row->variants == LB_OPENCL_SMALL) {
        *tile = (lb_opencl_tile){v[0], row->tile.nv, v[0], v[1], row->tile.element};
        return kernel->m_max == 0 || v[0] <= kernel->m_max;
    }
    *tile = (lb_opencl_tile){v[0], v[1], v[0] * v[2], v[3], row->tile.element};
    return v[0] * v[1] <= MOST_VECTORS && tile->mt <= MOST_ROWS &&
           (kernel->m_max == 0 || v[0] <= kernel->m_max);
}

static void values_of(const lb_opencl_row *row, int *v)
{
    const lb_opencl_tile *t = &row->tile;
    if (row->variants == LB_OPENCL_SMALL)
        v[0] = t->mt, v[1] = t->nt;
    else
        v[0] = t->mr, v[1] = t->nv, v[2] = t->mt / t->mr, v[3] = t->nt;
}

static void print(const axis *axes, const int *v, char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < AXES && axes[i].name && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%s%d", i ? " " : "", axes[i].name,
                                 v[i]);
}

/* The values at place `index` of all combinations, the row's own values among them; false past the
 * end. */
static bool combination(const axis *axes, const int *own, size_t index, int *v)
{
    for (int i = 0; i < AXES && axes[i].name; i++) {
        size_t count = 0;
        bool has_own = false;
        for (; axes[i].value[count]; count++)
            has_own |= axes[i].value[count] == own[i];
        size_t all = count + !has_own, at = index % all;
        v[i] = at < count ? axes[i].value[at] : own[i];
        index /= all;
    }
    return index == 0;
}

bool lb_opencl_parameters(const lb_kernel *kernel, size_t index, char *text, size_t capacity)
{
    const lb_opencl_row *row = kernel->impl;
    const axis *axes = axes_of(row);
    int own[AXES] = {0}, v[AXES] = {0};
    lb_opencl_tile tile;
    if (!axes)
        return false;
    values_of(row, own);
    if (index == 0) {
        print(axes, own, text, capacity);
        return true;
    }
    for (size_t i = 0; combination(axes, own, i, v); i++)
        if (memcmp(v, own, sizeof v) != 0 && tile_of(kernel, v, &tile) && --index == 0) {
            print(axes, v, text, capacity);
            return true;
        }
    return false;
}

/* Row, its OpenCL half and its text in one block. */
typedef struct whole_variant {
    lb_kernel kernel;
    lb_opencl_row row;
    char parameters[LB_PARAMETER_BYTES];
} whole_variant;

static whole_variant *make(const lb_kernel *kernel, const lb_opencl_tile *tile, const char *text)
{
    whole_variant *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->kernel = *kernel;
    made->row = *(const lb_opencl_row *)kernel->impl;
    made->row.tile = *tile;
    if (made->row.variants == LB_OPENCL_PANEL)
        made->row.passes[0].tile_m = tile->mr;
    made->row.passes[1].tile_m = tile->mt;
    made->row.passes[1].tile_n = tile->nt;
    snprintf(made->parameters, sizeof made->parameters, "%s", text);
    made->kernel.impl = &made->row;
    made->kernel.parameters = made->parameters;
    return made;
}

lb_status lb_opencl_variant(const lb_kernel *kernel, const char *parameters, lb_kernel **variant)
{
    const axis *axes = axes_of(kernel->impl);
    char text[LB_PARAMETER_BYTES];
    int own[AXES] = {0}, v[AXES] = {0};
    lb_opencl_tile tile;
    bool found = false;
    if (!axes)
        return lb_fail(LB_INVALID_ARGUMENT, "kernel %s has no parameters, not '%s'", kernel->name,
                       parameters);
    values_of(kernel->impl, own);
    for (size_t i = 0; !found && combination(axes, own, i, v); i++) {
        print(axes, v, text, sizeof text);
        found = strcmp(text, parameters) == 0 && tile_of(kernel, v, &tile);
    }
    if (!found) {
        lb_opencl_parameters(kernel, 0, text, sizeof text);
        return lb_fail(LB_INVALID_ARGUMENT,
                       "kernel %s does not take the parameters '%s'; its own are '%s', "
                       "lb_kernel_parameters has them all",
                       kernel->name, parameters, text);
    }
    whole_variant *made = make(kernel, &tile, parameters);
    if (!made)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a variant of kernel %s", kernel->name);
    *variant = &made->kernel;
    return LB_OK;
}
