/* SPDX-License-Identifier: Apache-2.0 */
/* Prepacked weight layouts as pure functions (n, k) -> bit offset, and the packing that follows
 * from them. */
#ifndef LB_LAYOUT_H
#define LB_LAYOUT_H

#include "lowbit/lowbit.h"

/* (n, k) -> bit offset of a field. A function of n plus a function of k: bit(n, k) = bit(n, 0) +
   bit(0, k), as any regrouping of the digits of n and k is; packing computes the two parts once per
   row and column. */
typedef uint64_t lb_bit_fn(uint64_t n, uint64_t k, uint64_t n_pad, uint64_t k_pad, uint64_t bits);

typedef struct lb_layout {
    const char *name;
    int bits; /* 0: those of the weight type */
    int32_t
        offset; /* 1: signed values as value + 2^(bits - 1), offset binary; b1 at 1 bit: the code */
    int32_t n_mult, k_mult;
    lb_bit_fn *bit;
    const char *text;
} lb_layout;

extern const lb_layout lb_layouts[];
extern const size_t lb_layout_count;

/* NULL if unknown. */
const lb_layout *lb_layout_find(const char *name);

/* How one weight matrix lies in one layout. */
typedef struct lb_extent {
    const lb_layout *layout;
    int32_t type; /* of the weights */
    int bits;     /* of a stored field */
    int64_t n, k;
    int64_t n_pad, k_pad;
    uint64_t bytes; /* one matrix, a multiple of 64 */
} lb_extent;

/* UNSUPPORTED if the type does not fit the layout's field or the size overflows. */
lb_status lb_extent_make(const lb_layout *layout, int32_t type, int64_t n, int64_t k,
                         lb_extent *extent);
/* Value stored at (n, k), n < n_pad and k < k_pad: the inverse of packing. */
int32_t lb_extent_get(const lb_extent *extent, const void *codes, int64_t n, int64_t k);
/* bit(n, 0) for n < extent->n, and bit(0, k) for k < extent->k: the part of the offsets that all
   rows share. */
void lb_extent_rows(const lb_extent *extent, uint64_t *rows);
void lb_extent_columns(const lb_extent *extent, uint64_t *columns);
/* The field in which a value is stored, and a byte of fields of padding. */
unsigned lb_extent_field(const lb_extent *extent, int32_t value);
unsigned lb_extent_padding(const lb_extent *extent);
/* Packs row `n` (k values, each in the type's range) at the columns' offsets. */
void lb_extent_put_row(const lb_extent *extent, const uint64_t *columns, void *codes, int64_t n,
                       const int32_t *values);
/* Fills a matrix with padding: the value 0 (1-bit fields: code 0). Before the first row is packed.
 */
void lb_extent_clear(const lb_extent *extent, void *codes);

#endif
