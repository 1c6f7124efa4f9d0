/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing weights where the kernels are, in one text for every backend (as requantise.h): three
 * passes over a blob (weights.h), each a function of one item of its work.
 *
 * Where a code lies in the source is a function of its row plus one of its column, and so is where
 * it goes (layout.h). The host makes these functions tables, the *maps*; so a layout or a format is
 * known to the host alone. Padding is written first; codes are then put into their words by
 * exclusive or with the padding's field, which needs no order among the threads that share a word.
 */
#ifndef LB_PACK_H
#define LB_PACK_H

#if defined(__OPENCL_VERSION__)
#define LB_PACK_FN static inline
#define LB_GLOBAL __global
#define LB_PACK_XOR(at, v) atomic_xor(at, v)
#define LB_PACK_ADD(at, v) atomic_add(at, v)
#define LB_PACK_MAX(at, v) atomic_max(at, v)
typedef uchar lb_u8;
#elif defined(__CUDACC__) || defined(LB_COMMON_CUH) /* which tests compile for the host */
#define LB_PACK_FN static __device__ __forceinline__
#define LB_GLOBAL
#define LB_PACK_XOR(at, v) atomicXor(at, v)
#define LB_PACK_ADD(at, v) atomicAdd(at, v)
#define LB_PACK_MAX(at, v) atomicMax(at, v)
typedef uint8_t lb_u8;
#else
#include "kernel_abi.h"
#include "types.h"
#define LB_PACK_FN static inline
#define LB_GLOBAL
#define LB_PACK_XOR(at, v) (*(at) ^= (v))
#define LB_PACK_ADD(at, v) (*(at) += (v))
#define LB_PACK_MAX(at, v) (*(at) = *(at) > (v) ? *(at) : (v))
typedef uint8_t lb_u8;
LB_PACK_FN float lb_float_at(lb_i32 type, const lb_u8 *row, lb_i64 i)
{
    float value;
    lb_row_to_float(type, row, i, 1, &value);
    return value;
}
#endif

#define LB_PACK_RUN 32               /* codes of a row that one item packs; groups begin on runs */
#define LB_PACK_FILL 16              /* bytes that one item fills */
#define LB_PACK_HEADER 256           /* bytes of a blob's header */
#define LB_PACK_NOWHERE (~(lb_u64)0) /* a column of the maps that has no code: its value is 0 */
#define LB_PACK_INVALID (-2147483647 - 1) /* a code that the type does not have */

/* Pointers, in this order. */
#define LB_PACK_PTRS 8
#define LB_PACK_MAPS 0
#define LB_PACK_CODES 1
#define LB_PACK_SCALES 2
#define LB_PACK_ZEROS 3
#define LB_PACK_TABLES 4
#define LB_PACK_WEIGHTS 5
#define LB_PACK_FAULT 6
#define LB_PACK_CHANNELS 7

/* How far apart values of a scale, zero point or table are, in values. */
typedef struct lb_pack_stride {
    lb_i64 batch, n, group;
} lb_pack_stride;

typedef struct lb_pack_kargs {
    lb_i32 n, k, batch, groups, group, n_pad;
    lb_i32 code_bits;         /* of the source; 0: there are no codes, all have code 0 */
    lb_i32 high_bits;         /* lie apart, above the others; 0: none */
    lb_i32 rows_side_by_side; /* the source has codes of one column next to each other */
    lb_i32 scale_type;        /* 0: none */
    lb_i32 has_zeros, least_zero, most_zero;
    lb_i32 entries, own_tables; /* of a table: 0 = none; one per row and group */
    lb_i32 has_fault;
    lb_u32 padding;    /* a word of codes that are 0 */
    lb_i32 step_group; /* scales of two levels: of k; 0: none */
    lb_pack_stride scale_at, zero_at, table_at;
    lb_u64 code_batch; /* bytes from batch to batch of the source */
    /* Byte offsets in the maps: per row and column bit offsets, by code values and fields. */
    lb_u64 rows, columns, high_rows, high_columns, to_rows, to_columns, values, fields;
    /* Of the blob. */
    lb_u64 bytes, to_codes, to_scale, to_zero, to_sum, to_table, to_step, codes_batch, meta_batch,
        table_batch, step_batch;
    lb_u64 offset[LB_PACK_PTRS]; /* bytes, added to each pointer */
} lb_pack_kargs;

/* Items of each pass. */
LB_PACK_FN lb_u64 lb_pack_fill_items(const lb_pack_kargs *p)
{
    return p->bytes / LB_PACK_FILL;
}
LB_PACK_FN lb_u64 lb_pack_runs(const lb_pack_kargs *p)
{
    return ((lb_u64)p->k + LB_PACK_RUN - 1) / LB_PACK_RUN;
}
LB_PACK_FN lb_u64 lb_pack_codes_items(const lb_pack_kargs *p)
{
    return (lb_u64)p->batch * (lb_u64)p->n * lb_pack_runs(p);
}
LB_PACK_FN lb_u64 lb_pack_meta_items(const lb_pack_kargs *p)
{
    return (lb_u64)p->batch * (lb_u64)p->groups * (lb_u64)p->n_pad;
}

/* Passes: fill, codes, meta. */
#define LB_PACK_PASSES 3
LB_PACK_FN lb_u64 lb_pack_items(const lb_pack_kargs *p, int pass)
{
    return pass == 0   ? lb_pack_fill_items(p)
           : pass == 1 ? lb_pack_codes_items(p)
                       : lb_pack_meta_items(p);
}

/* The header, padding where codes go, 0 elsewhere; and no fault. */
LB_PACK_FN void lb_pack_fill(const lb_pack_kargs *p, LB_GLOBAL const lb_u8 *maps,
                             LB_GLOBAL lb_u8 *weights, LB_GLOBAL lb_u8 *fault, lb_u64 item)
{
    lb_u64 at = item * LB_PACK_FILL, codes = (lb_u64)p->batch * p->codes_batch;
    LB_GLOBAL lb_u32 *to = (LB_GLOBAL lb_u32 *)(weights + at);
    LB_GLOBAL const lb_u32 *header = (LB_GLOBAL const lb_u32 *)(maps + at);
    lb_u32 word = at - p->to_codes < codes ? p->padding : 0;
    for (int i = 0; i < LB_PACK_FILL / 4; i++)
        to[i] = at < LB_PACK_HEADER ? header[i] : word;
    if (item == 0 && p->has_fault)
        *(LB_GLOBAL lb_u32 *)fault = 0;
}

/* Up to 8 bits at any bit offset. */
LB_PACK_FN lb_u32 lb_pack_get(LB_GLOBAL const lb_u8 *codes, lb_u64 bit, lb_i32 bits)
{
    LB_GLOBAL const lb_u8 *at = codes + (bit >> 3);
    lb_u32 shift = (lb_u32)bit & 7u, word = at[0];
    if ((lb_i32)shift + bits > 8)
        word |= (lb_u32)at[1] << 8;
    return word >> shift & ((1u << bits) - 1u);
}

LB_PACK_FN lb_i64 lb_pack_index(lb_pack_stride s, lb_u64 batch, lb_u64 n, lb_u64 group)
{
    return s.batch * (lb_i64)batch + s.n * (lb_i64)n + s.group * (lb_i64)group;
}

/* What a run has seen of its codes' values. */
typedef struct lb_pack_seen {
    lb_i32 count, sum, least, most;
} lb_pack_seen;

/* Scales of two levels: a group's word, by its first run, and the sum of what its values are then.
   1 if one does not fit in 8 bits. */
LB_PACK_FN lb_u32 lb_pack_step(const lb_pack_kargs *p, LB_GLOBAL const lb_u8 *scales,
                               LB_GLOBAL const lb_u8 *zeros, LB_GLOBAL lb_u8 *weights, lb_u64 batch,
                               lb_u64 n, lb_i32 first, lb_pack_seen *seen)
{
    lb_u64 group = (lb_u64)(first / p->step_group);
    lb_i32 scale = scales[lb_pack_index(p->scale_at, batch, n, group)], zero = 0;
    if (p->has_zeros)
        zero = ((LB_GLOBAL const lb_i32 *)zeros)[lb_pack_index(p->zero_at, batch, n, group)];
    if (first % p->step_group == 0) {
        LB_GLOBAL lb_u32 *to = (LB_GLOBAL lb_u32 *)(weights + p->to_step + batch * p->step_batch);
        to[group * (lb_u64)p->n_pad + n] = (lb_u32)scale | (lb_u32)(-scale * zero) << 16;
    }
    if (p->k - first < LB_PACK_RUN) { /* code 0 pads */
        seen->least = seen->least < 0 ? seen->least : 0;
        seen->most = seen->most > 0 ? seen->most : 0;
    }
    seen->sum = scale * (seen->sum - zero * seen->count);
    return zero < p->least_zero || zero > p->most_zero || scale * (seen->least - zero) < -128 ||
           scale * (seen->most - zero) > 127;
}

/* A run of codes of one row, and what it adds to the group's sum. */
LB_PACK_FN void lb_pack_codes(const lb_pack_kargs *p, LB_GLOBAL const lb_u8 *maps,
                              LB_GLOBAL const lb_u8 *codes, LB_GLOBAL const lb_u8 *scales,
                              LB_GLOBAL const lb_u8 *zeros, LB_GLOBAL lb_u8 *weights,
                              LB_GLOBAL lb_u8 *fault, lb_u64 item)
{
    lb_u64 runs = lb_pack_runs(p), rows = (lb_u64)p->n, in_batch = item % (rows * runs);
    lb_u64 batch = item / (rows * runs);
    lb_u64 n = p->rows_side_by_side ? in_batch % rows : in_batch / runs;
    lb_u64 run = p->rows_side_by_side ? in_batch / rows : in_batch % runs;
    LB_GLOBAL const lb_u64 *columns = (LB_GLOBAL const lb_u64 *)(maps + p->columns),
                           *high = (LB_GLOBAL const lb_u64 *)(maps + p->high_columns),
                           *to_columns = (LB_GLOBAL const lb_u64 *)(maps + p->to_columns);
    LB_GLOBAL const lb_i32 *values = (LB_GLOBAL const lb_i32 *)(maps + p->values);
    LB_GLOBAL const lb_u32 *fields = (LB_GLOBAL const lb_u32 *)(maps + p->fields);
    LB_GLOBAL lb_u32 *to = (LB_GLOBAL lb_u32 *)(weights + p->to_codes + batch * p->codes_batch);
    lb_u64 row = ((LB_GLOBAL const lb_u64 *)(maps + p->rows))[n],
           to_row = ((LB_GLOBAL const lb_u64 *)(maps + p->to_rows))[n];
    lb_u64 high_row = p->high_bits ? ((LB_GLOBAL const lb_u64 *)(maps + p->high_rows))[n] : 0;
    lb_i32 first = (lb_i32)run * LB_PACK_RUN,
           end = p->k - first < LB_PACK_RUN ? p->k : first + LB_PACK_RUN;
    lb_pack_seen seen = {0, 0, 127, -128};
    lb_u64 word = 0;
    lb_u32 bits = 0, invalid = 0;
    codes += batch * p->code_batch;
    for (lb_i32 k = first; k < end; k++) {
        lb_u64 column = columns[k], bit = to_row + to_columns[k];
        if (column == LB_PACK_NOWHERE)
            continue;
        lb_u32 code = p->code_bits ? lb_pack_get(codes, row + column, p->code_bits) : 0;
        if (p->high_bits)
            code |= lb_pack_get(codes, high_row + high[k], p->high_bits) << p->code_bits;
        lb_i32 value = values[code];
        if (value == LB_PACK_INVALID) {
            invalid = 1;
            continue;
        }
        seen.count++;
        seen.sum += value;
        seen.least = value < seen.least ? value : seen.least;
        seen.most = value > seen.most ? value : seen.most;
        if (bit >> 5 != word && bits) {
            LB_PACK_XOR(&to[word], bits);
            bits = 0;
        }
        word = bit >> 5;
        bits ^= fields[code] << (bit & 31u);
    }
    if (bits)
        LB_PACK_XOR(&to[word], bits);
    if (p->step_group && lb_pack_step(p, scales, zeros, weights, batch, n, first, &seen))
        invalid = 1;
    if (seen.sum) {
        LB_GLOBAL lb_i32 *sums = (LB_GLOBAL lb_i32 *)(weights + p->to_sum + batch * p->meta_batch);
        LB_PACK_ADD(&sums[(lb_u64)(first / p->group) * (lb_u64)p->n_pad + n], seen.sum);
    }
    if (invalid && p->has_fault)
        LB_PACK_MAX((LB_GLOBAL lb_u32 *)fault, (lb_u32)n + 1u);
}

/* Scale, zero point and table of one row and group. */
LB_PACK_FN void lb_pack_meta(const lb_pack_kargs *p, LB_GLOBAL const lb_u8 *scales,
                             LB_GLOBAL const lb_u8 *channels, LB_GLOBAL const lb_u8 *zeros,
                             LB_GLOBAL const lb_u8 *tables, LB_GLOBAL lb_u8 *weights,
                             LB_GLOBAL lb_u8 *fault, lb_u64 item)
{
    lb_u64 n = item % (lb_u64)p->n_pad, rest = item / (lb_u64)p->n_pad;
    lb_u64 group = rest % (lb_u64)p->groups, batch = rest / (lb_u64)p->groups;
    lb_u64 in_batch = item % ((lb_u64)p->groups * (lb_u64)p->n_pad);
    lb_u32 inside = n < (lb_u64)p->n, invalid = 0;
    if (p->scale_type) {
        LB_GLOBAL float *to =
            (LB_GLOBAL float *)(LB_GLOBAL void *)(weights + p->to_scale + batch * p->meta_batch);
        lb_i64 at = p->step_group ? (lb_i64)(batch * (lb_u64)p->n + n)
                                  : lb_pack_index(p->scale_at, batch, n, group);
        to[in_batch] =
            inside ? lb_float_at(p->scale_type, p->step_group ? channels : scales, at) : 1.0f;
    }
    if (p->has_zeros && inside && !p->step_group) {
        LB_GLOBAL lb_i32 *to = (LB_GLOBAL lb_i32 *)(weights + p->to_zero + batch * p->meta_batch);
        lb_i32 zero = ((LB_GLOBAL const lb_i32 *)zeros)[lb_pack_index(p->zero_at, batch, n, group)];
        invalid = zero < p->least_zero || zero > p->most_zero;
        to[in_batch] = zero;
    }
    if (p->entries && inside && (p->own_tables || in_batch == 0)) {
        LB_GLOBAL lb_u32 *to =
            (LB_GLOBAL lb_u32 *)(weights + p->to_table + batch * p->table_batch) +
            in_batch * (lb_u64)p->entries;
        LB_GLOBAL const lb_u32 *from = (LB_GLOBAL const lb_u32 *)tables +
                                       lb_pack_index(p->table_at, batch, n, group) * p->entries;
        for (lb_i32 i = 0; i < p->entries; i++) {
            to[i] = from[i];
            invalid |= (from[i] & 0x7f800000u) == 0x7f800000u; /* not finite */
        }
    }
    if (invalid && p->has_fault)
        LB_PACK_MAX((LB_GLOBAL lb_u32 *)fault, (lb_u32)n + 1u);
}

#endif
