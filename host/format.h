/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User formats: how checkpoints store a quantised weight matrix. A format is a row of formats.def:
 * where its codes lie (format_bits.h) and how its quantisation parameters are stored (a scheme,
 * format_schemes.c). Everything else is generic and goes through the canonical form:
 *
 *   w[n][k] = scale[n][g] / divisor * (code[n][k] - zero[n][g]) - offset[n][g]      affine
 *   w[n][k] = scale[n][g] / divisor * table[code[n][k]]                             by table
 *
 * with codes 0 <= code < levels and g = k / group (or order[k] where a file permutes its groups).
 * Where a format stores scales as products of small integers and one factor per super-block, the
 * canonical form keeps both factors, so that nothing is lost on the way back.
 */
#ifndef LB_FORMAT_H
#define LB_FORMAT_H

#include <stdbool.h>
#include <string.h>

#include "lowbit/lowbit.h"
#include "types.h"

#define LB_TABLE_MOST 256

/* What is known of a matrix before any element is read. */
typedef struct lb_form {
    const struct lb_format *format;
    int64_t n, k;
    int64_t group, groups; /* k per scale; scales per row */
    int32_t bits, levels;
    int32_t per_tensor;  /* 1: one scale for the matrix */
    int32_t scale_type;  /* lb_type, or LB_SCALE_E8M0: what holds every scale (super: factor) */
    int32_t zero;        /* zero point of all, where has_zeros is 0 */
    int32_t has_zeros;   /* one per scale, 0 .. 2^bits - 1 */
    int32_t zero_biased; /* 1: stored less 1 modulo 2^bits (GPTQ v1) */
    int32_t offset_type; /* LB_TYPE_NONE: no offsets */
    int32_t super;       /* scales per super-block; 0: not factored */
    int32_t sub_min, sub_max, sub_offset_max; /* range of the integer factors */
    int32_t divisor;                          /* 1, or 127 for LLM.int8 */
    int32_t reciprocal;                       /* 1: the stored scale divides (HF BitNet) */
    int32_t levels_table;                     /* entries of `table`; 0: affine */
    float table[LB_TABLE_MOST];
    const void *order; /* int32 [k] of any alignment: group of each k; NULL: k / group */
} lb_form;

#define LB_SCALE_E8M0 64 /* a power of two as its exponent (OCP MX) */

/* Quantisation parameters of one row; pointers that the form does not ask for are not used. */
typedef struct lb_params {
    float *scale;                /* [groups], product of the factors where there are any */
    int16_t *zero;               /* [groups] */
    float *offset;               /* [groups], likewise */
    float *super, *super_offset; /* [ceil(groups / form.super)] */
    int16_t *sub, *sub_offset;   /* [groups] */
} lb_params;

/* Canonical rows first .. first + rows of a matrix. */
typedef struct lb_rows {
    int64_t first, rows, most;
    int64_t k, groups, supers;
    uint8_t *codes; /* [rows][k] */
    lb_params all;  /* of row `first`; the others follow */
    void *memory;
} lb_rows;

typedef struct lb_shape {
    uint64_t n, k, bits, group;
} lb_shape;

typedef uint64_t lb_code_bit(const lb_shape *s, uint64_t n, uint64_t k);
typedef unsigned lb_code_get(const lb_shape *s, const uint8_t *codes, uint64_t n, uint64_t k);
typedef void lb_code_put(const lb_shape *s, uint8_t *codes, uint64_t n, uint64_t k, unsigned code);

/* A code of low bits in one place and high bits in another. */
typedef struct lb_split {
    uint64_t low, high;
    int low_bits, high_bits;
} lb_split;
typedef lb_split lb_code_split(const lb_shape *s, uint64_t n, uint64_t k);

/* How scales, zero points and the like are stored; shared by the formats of one family. */
typedef struct lb_scheme {
    const char *text; /* for the documentation */
    /* Completes the form and says how many bytes each part must have (0: absent). */
    lb_status (*describe)(const lb_stored *w, lb_form *f, uint64_t bytes[LB_PART_COUNT]);
    void (*load)(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row);
    /* The row fits the form. */
    void (*store)(const lb_stored *w, const lb_form *f, int64_t n, const lb_params *row);
} lb_scheme;

typedef struct lb_format {
    const char *name;
    const char *origin;         /* what writes it */
    int32_t bits;               /* of a code; 0: the tensor's, one of `bits_set` */
    uint32_t bits_set;          /* bit b: b bits are possible */
    int32_t levels;             /* 0: 2^bits */
    int32_t group;              /* K per scale where the format fixes it; 0: the tensor's */
    int32_t block, block_bytes; /* K per block and its bytes; 0: parts lie apart */
    int32_t n_mult, k_mult;     /* N and K must be multiples of these */
    int32_t zero;               /* implied zero point; -1: 2^(bits - 1) */
    uint32_t flip, bias;        /* stored field = (code + bias) xor flip */
    uint32_t flags;
    const float *table; /* of the codes' values; NULL: affine */
    lb_code_bit *bit;   /* or: */
    lb_code_get *get;
    lb_code_put *put;
    lb_code_split *split; /* of those whose code lies in two places */
    const lb_scheme *scheme;
    const char *text; /* what is special, for the documentation */
} lb_format;

#define LB_FORMAT_READ_ONLY 0x1u
#define LB_FORMAT_TENSOR 0x4u /* one scale for the tensor is possible */
#define LB_FORMAT_DENSE 0x2u  /* f32, f16, bf16: the values themselves */

extern const lb_format lb_formats[];
extern const size_t lb_formats_count;
extern const lb_scheme lb_scheme_gptq, lb_scheme_gptq_v2, lb_scheme_awq, lb_scheme_awq_v2,
    lb_scheme_ct, lb_scheme_ct_int8, lb_scheme_marlin, lb_scheme_bnb4, lb_scheme_bnb4_double,
    lb_scheme_bnb8, lb_scheme_nbits, lb_scheme_d, lb_scheme_d_m, lb_scheme_e8m0, lb_scheme_q2_k,
    lb_scheme_q3_k, lb_scheme_q4_k, lb_scheme_q6_k, lb_scheme_iq4_xs, lb_scheme_tq, lb_scheme_i2_s,
    lb_scheme_hf_bitnet, lb_scheme_hf_bitnet_div, lb_scheme_bitnet_gpu, lb_scheme_larq,
    lb_scheme_canon, lb_scheme_dense;

/* NULL if unknown. */
const lb_format *lb_format_find(const char *name);

/* A stored matrix whose sizes have been checked. */
typedef struct lb_matrix {
    const lb_format *format;
    lb_stored stored;
    lb_form form;
    lb_shape shape;
    uint64_t bytes[LB_PART_COUNT]; /* that each part must have */
} lb_matrix;

/* Checks numbers and parts; `sizes_only` leaves the parts' pointers and sizes out. Errors name the
   field. */
lb_status lb_matrix_open(const lb_stored *stored, bool sizes_only, lb_matrix *m);
/* BAD_DATA where form.order names a group that there is not. */
lb_status lb_matrix_check_order(const lb_matrix *m);

/* Room for `most` canonical rows. */
lb_status lb_rows_make(const lb_form *f, int64_t most, lb_rows *rows);
void lb_rows_free(lb_rows *rows);
lb_params lb_rows_params(const lb_rows *rows, const lb_form *f, int64_t row);

/* Reads canonical rows; BAD_DATA names row, column and value where data contradict the format. */
lb_status lb_matrix_load(const lb_matrix *m, int64_t first, int64_t count, lb_rows *rows);
/* The parameters of one row alone. */
lb_status lb_matrix_load_params(const lb_matrix *m, int64_t n, const lb_params *params);
/* Writes rows that fit the form. */
void lb_matrix_store(const lb_matrix *m, const lb_rows *rows);
/* The value of one canonical element, in f32 as the formats' own readers compute it. */
float lb_rows_value(const lb_form *f, const lb_params *p, const uint8_t *codes, int64_t k);
/* Group of column k. */
static inline int64_t lb_form_group(const lb_form *f, int64_t k)
{
    int32_t group;
    if (!f->order)
        return k / f->group;
    memcpy(&group, (const char *)f->order + 4 * k, sizeof group);
    return group;
}

/* Field of 1 to 8 bits at any bit offset. */
static inline unsigned lb_bits_get(const uint8_t *memory, uint64_t bit, unsigned bits)
{
    const uint8_t *at = memory + (bit >> 3);
    unsigned shift = bit & 7u, word = at[0];
    if (shift + bits > 8)
        word |= (unsigned)at[1] << 8;
    return word >> shift & ((1u << bits) - 1u);
}
static inline void lb_bits_put(uint8_t *memory, uint64_t bit, unsigned bits, unsigned field)
{
    uint8_t *at = memory + (bit >> 3);
    unsigned shift = bit & 7u, mask = ((1u << bits) - 1u) << shift, value = field << shift;
    at[0] = (uint8_t)((at[0] & ~mask) | (value & mask));
    if (shift + bits > 8)
        at[1] = (uint8_t)((at[1] & ~(mask >> 8)) | (value >> 8 & mask >> 8));
}

#endif
