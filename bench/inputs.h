/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random arrays for a problem, in host memory. Normal data look like a network's: bell-shaped codes
 * over the whole range, scales that bring D to about 1 (and a D scale that fills its range), so
 * that power, rounding and saturation are what users meet. Extreme data hold only the ends of each
 * range. Everything that must be ignored (elements and bits beyond a row's end) is random or NaN.
 */
#ifndef QB_INPUTS_H
#define QB_INPUTS_H

#include <lowbit/lowbit.h>

typedef enum qb_data { QB_DATA_NORMAL, QB_DATA_EXTREME } qb_data;

typedef struct qb_inputs {
    lb_problem problem;
    lb_sizes sizes;
    lb_host_args host; /* what lb_verify takes */
    const void *blob;  /* the weights, packed for the plan of the case; NULL: host.b */
    void *memory;
} qb_inputs;

/* Equal seeds give equal arrays on every machine. Free with qb_inputs_free, also after a failure.
 */
lb_status qb_inputs_make(const lb_problem *problem, qb_data data, uint64_t seed, qb_inputs *inputs);
void qb_inputs_free(qb_inputs *inputs);

/* The canonical weights as lb_weights_create takes them. */
lb_weights_source qb_inputs_weights(const qb_inputs *inputs);

#endif
