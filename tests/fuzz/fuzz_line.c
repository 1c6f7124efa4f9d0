/* SPDX-License-Identifier: Apache-2.0 */
/* The problem line under libFuzzer: a text is refused, or it means a problem whose canonical line
 * means the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lowbit/lowbit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    lb_problem p, again;
    char printed[1024], reprinted[1024];
    size_t needed = 0;
    char *line = malloc(bytes + 1);
    if (bytes)
        memcpy(line, data, bytes);
    line[bytes] = 0;
    if (lb_problem_parse(line, &p) == LB_OK) {
        lb_sizes sizes = LB_SIZES_INIT;
        if (lb_problem_check(&p) != LB_OK ||
            lb_problem_print(&p, printed, sizeof printed, &needed) != LB_OK ||
            lb_problem_parse(printed, &again) != LB_OK ||
            lb_problem_print(&again, reprinted, sizeof reprinted, &needed) != LB_OK ||
            strcmp(printed, reprinted) != 0) {
            fprintf(stderr, "'%s' does not come back: %s\n", line, lb_last_error());
            abort();
        }
        (void)lb_problem_sizes(&p, &sizes);
    }
    free(line);
    return 0;
}
