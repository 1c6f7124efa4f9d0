/* SPDX-License-Identifier: Apache-2.0 */
/* Energy of a product on an NVIDIA GPU, by the counter of NVML, which is looked for at run time. */
#ifndef QB_ENERGY_H
#define QB_ENERGY_H

#include "case.h"

typedef struct qb_energy qb_energy;
/* The counter of the device with this name. NULL: none; *why says what is missing. */
qb_energy *qb_energy_open(const char *device, char *why, size_t capacity);
void qb_energy_close(qb_energy *energy);
/* Joules per run, of runs for `seconds` without a pause, the whole board counted. UNSUPPORTED if
 * the counter stood still. */
lb_status qb_energy_measure(qb_energy *energy, qb_case *c, double seconds, double *joules);

#endif
