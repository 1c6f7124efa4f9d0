/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>

#include "status.h"

void lb_text_put(lb_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = text->used < text->capacity ? text->capacity - text->used : 0;
    int n = vsnprintf(room ? text->at + text->used : NULL, room, format, arguments);
    va_end(arguments);
    text->used += n > 0 ? (size_t)n : 0;
}

lb_status lb_text_finish(const lb_text *text, const char *function, size_t *needed)
{
    if (needed)
        *needed = text->used + 1;
    if (text->capacity && text->used >= text->capacity)
        return lb_fail(LB_INVALID_ARGUMENT, "%s: the text takes %zu bytes, there are %zu", function,
                       text->used + 1, text->capacity);
    return LB_OK;
}
