/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions on a status together with its sentence, for every test program. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <criterion/criterion.h>
#include <string.h>

#include "lowbit/lowbit.h"

#define check_ok(call)                                                                             \
    do {                                                                                           \
        lb_status check_status_ = (call);                                                          \
        cr_assert(check_status_ == LB_OK, "%s: %s: %s", #call, lb_status_string(check_status_),    \
                  lb_last_error());                                                                \
    } while (0)

/* The call must give `expected`, and a sentence that contains `part`. */
#define check_status(call, expected, part)                                                         \
    do {                                                                                           \
        lb_status check_status_ = (call);                                                          \
        const char *check_part_ = (part);                                                          \
        cr_assert(check_status_ == (expected), "%s: %s instead of %s: %s", #call,                  \
                  lb_status_string(check_status_), #expected, lb_last_error());                    \
        cr_assert(strstr(lb_last_error(), check_part_), "%s: '%s' is not in '%s'", #call,          \
                  check_part_, lb_last_error());                                                   \
    } while (0)

/* A device of this machine, or "auto". */
static inline lb_context *open_device(const char *selector)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context = NULL;
    desc.device = selector;
    check_ok(lb_context_create(&desc, &context));
    return context;
}

#endif
