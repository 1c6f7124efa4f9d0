/* SPDX-License-Identifier: Apache-2.0 */
/* Codebooks: tables of values or short vectors, fitted to data, and the codes of the nearest entry.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "quantize_units.h"
#include "status.h"
#include "types.h"

#define MAX_ENTRIES 256
#define MAX_DIM 4
#define ROUNDS 40 /* of k-means after every splitting; it has settled long before */

void lb_codebook_nf4(float *table)
{
    memcpy(table, lb_format_find("bnb_nf4")->table, 16 * sizeof *table);
}

static lb_status check(const char *what, const void *from, int64_t count, int32_t dim,
                       const void *table, int32_t entries, const void *to)
{
    if (!from || !table || !to)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: %s is NULL", what,
                       !from    ? "the input"
                       : !table ? "table"
                                : "the output");
    if (dim != 1 && dim != 2 && dim != 4)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: vectors of %d values; 1, 2 and 4 work", what, dim);
    if (entries < 2 || entries > MAX_ENTRIES || (entries & (entries - 1)))
        return lb_fail(LB_INVALID_ARGUMENT, "%s: %d entries; powers of two from 2 to %d work", what,
                       entries, MAX_ENTRIES);
    if (count < 0 || count > INT64_C(1) << 44)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: %" PRId64 " vectors; 0 to 2^44 work", what, count);
    return LB_OK;
}

static int nearest(const float *x, int dim, const float *table, int entries)
{
    int best = 0;
    double least = INFINITY;
    for (int e = 0; e < entries; e++) {
        double distance = 0;
        for (int d = 0; d < dim; d++) {
            double rest = (double)x[d] - (double)table[e * dim + d];
            distance += rest * rest;
        }
        if (distance < least) {
            least = distance;
            best = e;
        }
    }
    return best;
}

/* ---- Fitting --------------------------------------------------------------------------------- */

/* One round of k-means: entries become the means of what is nearest to them. False if none moved.
 */
static bool improve(const float *x, int64_t count, int dim, float *table, int entries)
{
    double sum[MAX_ENTRIES * MAX_DIM] = {0};
    int64_t members[MAX_ENTRIES] = {0};
    bool moved = false;
    for (int64_t i = 0; i < count; i++) {
        int e = nearest(x + i * dim, dim, table, entries);
        members[e]++;
        for (int d = 0; d < dim; d++)
            sum[e * dim + d] += (double)x[i * dim + d];
    }
    for (int e = 0; e < entries; e++)
        for (int d = 0; d < dim && members[e]; d++) {
            float mean = (float)(sum[e * dim + d] / (double)members[e]);
            moved |= mean != table[e * dim + d];
            table[e * dim + d] = mean;
        }
    return moved;
}

/* Every entry becomes two, a little apart along the deviation of the data. */
static void split(const float *deviation, int dim, float *table, int entries)
{
    for (int e = entries - 1; e >= 0; e--)
        for (int d = 0; d < dim; d++) {
            float at = table[e * dim + d], step = deviation[d] * 0x1p-6f / (float)entries;
            table[2 * e * dim + d] = at - step;
            table[(2 * e + 1) * dim + d] = at + step;
        }
}

static int ascending(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

lb_status lb_codebook_fit(const float *x, int64_t count, int32_t dim, int32_t entries, float *table)
{
    LB_TRY(check("lb_codebook_fit", x, count, dim, table, entries, table));
    if (count == 0)
        return lb_fail(LB_BAD_DATA,
                       "lb_codebook_fit: there are no vectors; a table needs at least one");
    LB_TRY(lb_check_finite(x, (uint64_t)(count * dim), "lb_codebook_fit"));
    float made[MAX_ENTRIES * MAX_DIM], deviation[MAX_DIM];
    for (int d = 0; d < dim; d++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < count; i++)
            sum += (double)x[i * dim + d];
        made[d] = (float)(sum / (double)count);
        for (int64_t i = 0; i < count; i++)
            squares += pow((double)x[i * dim + d] - (double)made[d], 2);
        deviation[d] = (float)sqrt(squares / (double)count);
    }
    for (int now = 1; now < entries; now *= 2) {
        split(deviation, dim, made, now);
        for (int round = 0; round < ROUNDS; round++)
            if (!improve(x, count, dim, made, 2 * now))
                break;
    }
    if (dim == 1)
        qsort(made, (size_t)entries, sizeof *made, ascending);
    memcpy(table, made, (size_t)entries * (size_t)dim * sizeof *table);
    return LB_OK;
}

/* ---- Codes ----------------------------------------------------------------------------------- */

static int bits_for(int32_t entries)
{
    return entries <= 2 ? 1 : entries <= 4 ? 2 : entries <= 16 ? 4 : 8;
}

lb_status lb_codebook_assign(const float *x, int64_t count, int32_t dim, const float *table,
                             int32_t entries, void *codes)
{
    LB_TRY(check("lb_codebook_assign", x, count, dim, table, entries, codes));
    LB_TRY(lb_check_finite(x, (uint64_t)(count * dim), "lb_codebook_assign"));
    LB_TRY(lb_check_finite(table, (uint64_t)(entries * dim), "lb_codebook_assign: table"));
    int bits = bits_for(entries);
    memset(codes, 0, (size_t)((count * bits + 7) / 8));
    for (int64_t i = 0; i < count; i++)
        lb_field_put(codes, (uint64_t)i * (unsigned)bits, bits,
                     (unsigned)nearest(x + i * dim, dim, table, entries));
    return LB_OK;
}

lb_status lb_codebook_values(const void *codes, int64_t count, int32_t dim, const float *table,
                             int32_t entries, float *x)
{
    LB_TRY(check("lb_codebook_values", codes, count, dim, table, entries, x));
    int bits = bits_for(entries);
    for (int64_t i = 0; i < count; i++) {
        unsigned code = lb_field_get(codes, (uint64_t)i * (unsigned)bits, bits);
        if (code >= (unsigned)entries)
            return lb_fail(LB_BAD_DATA,
                           "lb_codebook_values: code %" PRId64 " is %u, the table has %d entries",
                           i, code, entries);
        memcpy(x + i * dim, table + (size_t)code * (size_t)dim, (size_t)dim * sizeof *x);
    }
    return LB_OK;
}
