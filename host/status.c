/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

/* Long enough for a sentence and the useful end of a build log. */
static _Thread_local char last_error[4096];

static const char *const names[] = {
    [LB_OK] = "LB_OK",
    [LB_INVALID_ARGUMENT] = "LB_INVALID_ARGUMENT",
    [LB_UNSUPPORTED] = "LB_UNSUPPORTED",
    [LB_NO_DEVICE] = "LB_NO_DEVICE",
    [LB_DRIVER] = "LB_DRIVER",
    [LB_OUT_OF_MEMORY] = "LB_OUT_OF_MEMORY",
    [LB_BAD_DATA] = "LB_BAD_DATA",
    [LB_BUSY] = "LB_BUSY",
    [LB_INTERNAL] = "LB_INTERNAL",
};

const char *lb_status_string(lb_status status)
{
    unsigned index = (unsigned)status;
    return index < sizeof names / sizeof *names ? names[index] : "LB_UNKNOWN_STATUS";
}

const char *lb_last_error(void)
{
    return last_error;
}

#undef lb_fail /* status.h, for the analyzer */
lb_status lb_fail(lb_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    return status;
}

int lb_version(void)
{
    return LB_VERSION;
}

const char *lb_version_string(void)
{
    return LB_VERSION_STRING;
}
