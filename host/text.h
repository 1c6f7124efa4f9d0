/* SPDX-License-Identifier: Apache-2.0 */
/* Text into a caller's buffer, counting also what did not fit. */
#ifndef LB_TEXT_H
#define LB_TEXT_H

#include "lowbit/lowbit.h"

typedef struct lb_text {
    char *at;
    size_t capacity, used;
} lb_text;

void lb_text_put(lb_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sets *needed (may be NULL) to the bytes with the final 0; INVALID_ARGUMENT if a buffer was given
 * and is too small. */
lb_status lb_text_finish(const lb_text *text, const char *function, size_t *needed);

#endif
