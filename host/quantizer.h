/* SPDX-License-Identifier: Apache-2.0 */
/* Quantisers on a device that is the calling thread. */
#ifndef LB_QUANTIZER_H
#define LB_QUANTIZER_H

#include "backend.h"

lb_status lb_host_quantizer_open(lb_quantizer *quantizer);
void lb_host_quantizer_close(lb_quantizer *quantizer);
lb_status lb_host_quantizer_run(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                                const lb_quantizer_call *call, lb_stream stream);

#endif
