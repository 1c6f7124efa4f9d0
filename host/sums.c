/* SPDX-License-Identifier: Apache-2.0 */
#include "sums.h"

#include <inttypes.h>

#include "status.h"
#include "types.h"

bool lb_sums_are_of(int32_t d_type)
{
    return lb_type_is_int(d_type);
}

/* The longest row whose sum fits s32 whatever its codes are. */
static int64_t longest_row(int32_t type)
{
    const lb_type_row *row = lb_type_get(type);
    return INT32_MAX / (row->max > -row->min ? row->max : -row->min);
}

lb_status lb_sums_check(const lb_problem *p)
{
    char codes[64];
    if (!lb_sums_are_of(p->d.type))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_run: d_sums is given and D is %s; rows of %s are summed, else leave it "
                       "NULL",
                       lb_type_name(p->d.type), lb_typeset_print(LB_T_INT, codes, sizeof codes));
    if (p->n > longest_row(p->d.type))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_run: d_sums is given and n is %" PRId64 "; sums of %s fit s32 up to n "
                       "%" PRId64,
                       p->n, lb_type_name(p->d.type), longest_row(p->d.type));
    return LB_OK;
}

static int32_t sum_of_row(int32_t type, const void *row, int64_t n)
{
    int bits = lb_type_bits(type);
    int32_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += lb_value_from_code(type, lb_field_get(row, (uint64_t)i * (unsigned)bits, bits));
    return sum;
}

void lb_sums_make(const lb_problem *p, const void *d, int32_t *sums)
{
    int bits = lb_type_bits(p->d.type);
    for (int64_t batch = 0; batch < p->batch; batch++)
        for (int64_t m = 0; m < p->m; m++) {
            int64_t first = batch * p->d.batch_stride + m * p->d.ld;
            *sums++ = sum_of_row(p->d.type, (const char *)d + first * bits / 8, p->n);
        }
}
