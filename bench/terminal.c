/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool colourful(void)
{
    static int known = -1;
    if (known < 0) {
        const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
        known = isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
    }
    return known;
}

const char *qb_ink_on(qb_ink ink)
{
    static const char *const on[] = {"", "\033[32m", "\033[1;31m", "\033[2m", "\033[1m"};
    return colourful() ? on[ink] : "";
}

const char *qb_ink_off(qb_ink ink)
{
    return ink != QB_PLAIN && colourful() ? "\033[0m" : "";
}
