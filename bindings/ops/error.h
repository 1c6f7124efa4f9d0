/* SPDX-License-Identifier: Apache-2.0 */
/* The thread's last sentence: of the library, or of these files. */
#ifndef LOWBIT_OPS_ERROR_H
#define LOWBIT_OPS_ERROR_H

#include "linear.h"

/* Notes a sentence of ours; returns `status`. */
lb_status lb_ops_fail(lb_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Notes the library's sentence where `status` is a failure; returns it. */
lb_status lb_ops_note(lb_status status);

#define OPS_TRY(call)                                                                              \
    do {                                                                                           \
        lb_status ops_status_ = (call);                                                            \
        if (ops_status_ != LB_OK)                                                                  \
            return ops_status_;                                                                    \
    } while (0)

#endif
