/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes with a sentence. The text is set once, where the failure is known best. */
#ifndef LB_STATUS_H
#define LB_STATUS_H

#include "lowbit/lowbit.h"

/* Sets this thread's error text and returns `status`. */
lb_status lb_fail(lb_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
#ifdef __clang_analyzer__ /* which sees one file at a time, and must not think that it may be      \
                             LB_OK */
#define lb_fail(status, ...) ((void)lb_fail(status, __VA_ARGS__), (status))
#endif

#define LB_TRY(call)                                                                               \
    do {                                                                                           \
        lb_status lb_try_status_ = (call);                                                         \
        if (lb_try_status_ != LB_OK)                                                               \
            return lb_try_status_;                                                                 \
    } while (0)

/* Refuses a public struct whose struct_size is not one this library knows. */
#define LB_CHECK_STRUCT(pointer, type)                                                             \
    do {                                                                                           \
        if (!(pointer))                                                                            \
            return lb_fail(LB_INVALID_ARGUMENT, "%s: %s is NULL", __func__, #pointer);             \
        if ((pointer)->struct_size != sizeof(type))                                                \
            return lb_fail(LB_INVALID_ARGUMENT,                                                    \
                           "%s: %s->struct_size is %u, this library's %s has %zu: initialise it "  \
                           "with its _INIT macro",                                                 \
                           __func__, #pointer, (unsigned)(pointer)->struct_size, #type,            \
                           sizeof(type));                                                          \
    } while (0)

#endif
