/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed weights blob: header | codes | scale | zero | sum | table, each section 64-byte
 * aligned. All fields little endian. One form in memory, on disk and on the device.
 *
 *   codes  [batch] matrices in the named layout (extent.bytes each)
 *   scale  f32 [batch][groups][n_pad], 1 beyond n         (only if the problem has B scales)
 *   zero   s32 [batch][groups][n_pad], 0 beyond n         (only if the problem has B zero points)
 *   sum    s32 [batch][groups][n_pad], sum of B's values over each group of k (always)
 *   table  f32 [batch][entries], or [batch][groups][n_pad][entries]  (only c4 and c2)
 *   step   s32 [batch][steps][n_pad], 0 beyond n          (only scales of two levels)
 *
 * Scales and zero points of coarser granularity are expanded, so that kernels know one form. Scales
 * of two levels are those of channels here, and sums are of B's values with the groups' scales in
 * them; scale s and zero point z of such a group are one word: s in the low 16 bits, -s z in the
 * high ones, so that a value is (code's value) * low + high.
 */
#ifndef LB_WEIGHTS_H
#define LB_WEIGHTS_H

#include <stdbool.h>

#include "backend.h"
#include "layout.h"

#define LB_BLOB_MAGIC 0x3157424Cu /* "LBW1" */
#define LB_BLOB_VERSION 1u
#define LB_BLOB_HEADER_BYTES 256u

typedef struct lb_blob_header {
    uint32_t magic, version;
    uint64_t checksum; /* XXH3-64 of everything after this field */
    uint64_t bytes;    /* of the whole blob */
    char layout[32];
    int32_t type; /* of B */
    int32_t has_scale, has_zero, has_step;
    int64_t n, k, batch;
    int64_t groups, group;
    int64_t n_pad, k_pad;
    uint64_t codes, scale, zero, sum; /* byte offsets; 0 = absent */
    uint64_t codes_batch, meta_batch; /* bytes from batch to batch */
    uint64_t table, table_batch;
    int32_t has_table; /* 1: one for all, 2: one per row of B and group */
    uint32_t reserved1;
    int64_t steps, step_group; /* along k; 0 = absent */
    uint64_t step, step_batch; /* as `scale` and `meta_batch` */
    uint8_t reserved[24];
} lb_blob_header;
_Static_assert(sizeof(lb_blob_header) == LB_BLOB_HEADER_BYTES, "the blob header is 256 bytes");

struct lb_weights {
    lb_context *context;
    const lb_layout *layout;
    lb_ptr memory;
    int owned;
    lb_blob_header header;
};

/* Header (without checksum) of the blob that a row of this layout needs for a problem. */
lb_status lb_blob_plan(const lb_problem *p, const lb_layout *layout, lb_blob_header *header);
/* Packs canonical weights into the blob (header.bytes long). Allocates one row of scratch. */
lb_status lb_blob_pack(const lb_problem *p, const lb_blob_header *header,
                       const lb_weights_source *source, void *blob);
/* What lb_blob_pack does before the first row and after the last: header and padding; checksum.
   whole: there is no padding among the codes, and every byte will be written. */
void lb_blob_begin(const lb_blob_header *header, const lb_extent *extent, bool whole, void *blob);
void lb_blob_end(const lb_blob_header *header, void *blob);
/* The word of a group's scale and zero point. */
static inline int32_t lb_step_word(int32_t scale, int32_t zero)
{
    return (int32_t)((uint32_t)scale | (uint32_t)(-scale * zero) << 16);
}
static inline int32_t lb_step_value(int32_t word, int32_t value)
{
    return value * (word & 0xffff) + (word >> 16);
}
/* Checks a blob against the header that is expected. */
lb_status lb_blob_check(const lb_blob_header *expected, const void *blob, size_t bytes);

#endif
