/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .lbw: many stored matrices in one file, read in place. Little endian throughout:
 *
 *   header | tensors | packs | names | parts and packs, each on 64 bytes
 *
 * A tensor is an lb_stored in any format, "canon" unless asked otherwise. A pack is a weights blob
 * (weights.h) of one of its terms, for devices that eat that layout. Every part has its checksum, a
 * blob its own; the one in the header is of all that lies before the first part.
 */
#ifndef LB_LBW_H
#define LB_LBW_H

#include "file.h"

#define LBW_MAGIC "lowbit\x1aw" /* 8 bytes */
#define LBW_VERSION 1u
#define LBW_ALIGN UINT64_C(64)

typedef struct lbw_header {
    char magic[8];
    uint64_t checksum; /* XXH3-64 of what follows, up to the end of the names */
    uint32_t version, reserved;
    uint64_t bytes; /* of the file */
    uint64_t tensors, packs, names;
    uint64_t reserved2;
} lbw_header;
_Static_assert(sizeof(lbw_header) == 64, "the header is 64 bytes");

typedef struct lbw_part {
    uint64_t offset, bytes, checksum; /* in the file; 0 bytes: absent */
    int32_t type;
    uint32_t reserved;
} lbw_part;

typedef struct lbw_tensor {
    uint64_t name;   /* offset in the names; ends with a 0 */
    char format[16]; /* likewise */
    int64_t n, k, group;
    int32_t bits, levels, zero, super, divisor;
    uint32_t reserved;
    lbw_part part[LB_PART_COUNT];
} lbw_tensor;
_Static_assert(sizeof(lbw_tensor) == 72 + 32 * LB_PART_COUNT, "a tensor has no padding");

typedef struct lbw_pack {
    uint64_t tensor, offset, bytes;
    int32_t term;
    uint32_t reserved;
    char layout[32];
} lbw_pack;
_Static_assert(sizeof(lbw_pack) == 64, "a pack is 64 bytes");

/* Bytes before the first part. */
static inline uint64_t lbw_table_bytes(const lbw_header *h)
{
    return sizeof *h + h->tensors * sizeof(lbw_tensor) + h->packs * sizeof(lbw_pack) + h->names;
}

lb_status lb_lbw_parse(lb_file *file);
/* The matrix of tensor `index`; its parts' checksums are compared. */
lb_status lb_lbw_find(const lb_file *file, size_t index, lb_stored *stored);

#endif
