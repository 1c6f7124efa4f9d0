/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sum of the codes in a word, for the device compilers (as requantise.h, after which it
 * stands). Codes are made numbers from 0 on by flipping the sign bits of signed types, so that
 * fields of a word are added side by side; what that adds to a row is taken off once at its end.
 */
#ifndef LB_SUM_CODES_H
#define LB_SUM_CODES_H

#ifndef __OPENCL_VERSION__
#include "requantise.h"
#endif

/* The sign bit of one code, which is also what flipping it adds; 0: the type has none. */
LB_FN lb_u32 lb_sum_sign(lb_i32 type)
{
    switch (type) {
    case LB_TYPE_S8: return 0x80u;
    case LB_TYPE_S4: return 0x8u;
    case LB_TYPE_S2:
    case LB_TYPE_T2: return 0x2u;
    default: return 0;
    }
}

/* The bits of a word to flip: the sign bits of all its codes. */
LB_FN lb_u32 lb_sum_flip(lb_i32 type, lb_i32 bits)
{
    return 0xffffffffu / ((1u << bits) - 1u) * lb_sum_sign(type);
}

/* The sum of a word's fields of 1, 2, 4 or 8 bits. */
LB_FN lb_u32 lb_sum_fields(lb_u32 word, lb_i32 bits)
{
    if (bits == 1)
        word = (word & 0x55555555u) + (word >> 1 & 0x55555555u);
    if (bits <= 2)
        word = (word & 0x33333333u) + (word >> 2 & 0x33333333u);
    if (bits <= 4)
        word = (word & 0x0f0f0f0fu) + (word >> 4 & 0x0f0f0f0fu);
    word = (word & 0x00ff00ffu) + (word >> 8 & 0x00ff00ffu);
    return (word & 0xffffu) + (word >> 16);
}

/* The bits of a row's last byte that belong to its n columns. */
LB_FN lb_u32 lb_sum_last_mask(lb_i32 n, lb_i32 bits)
{
    lb_i32 used = n % (8 / bits) * bits;
    return used ? (1u << used) - 1u : 0xffu;
}

/* The sum of the values of n codes whose flipped fields have this sum, modulo 2^32. */
LB_FN lb_i32 lb_sum_values(lb_i32 type, lb_u32 fields, lb_i32 n)
{
    lb_u32 count = (lb_u32)n;
    return (lb_i32)(type == LB_TYPE_B1 ? 2u * fields - count : fields - lb_sum_sign(type) * count);
}

#endif
