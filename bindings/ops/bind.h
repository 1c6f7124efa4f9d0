/* SPDX-License-Identifier: Apache-2.0 */
/* What tensors a problem takes, and whether these are they. */
#ifndef LOWBIT_OPS_BIND_H
#define LOWBIT_OPS_BIND_H

#include "linear.h"

typedef struct expected {
    const char *name;
    int32_t type;     /* as stored */
    int64_t elements; /* of a row, or in all; 0 = the problem has no such array */
    int per_row;
} expected;

void lb_ops_expect(const lb_problem *problem, int input, expected *wanted);
lb_status lb_ops_check(const lb_tensor *tensor, const expected *wanted, int64_t m);
lb_status lb_ops_bind(const lb_problem *problem, const lb_tensor *tensors, lb_args *args);
void lb_ops_output(const lb_problem *problem, int32_t *type, int64_t *elements);
lb_status lb_ops_source(const lb_problem *problem, const lb_tensor *weights,
                        lb_weights_source *source);

#endif
