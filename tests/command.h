/* SPDX-License-Identifier: Apache-2.0 */
/* qbench as tests call it. */
#ifndef COMMAND_H
#define COMMAND_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define SMALL "--min-time 0 --repeat 1 --no-baseline "

static char output[1 << 18];

/* Runs qbench with these arguments; its exit code, and what it printed in `output`. */
static int qbench(const char *arguments)
{
    const char *program = getenv("LOWBIT_QBENCH");
    char command[2048];
    if (!program)
        cr_skip_test("LOWBIT_QBENCH does not name the program");
    snprintf(command, sizeof command, "'%s' %s 2>&1 </dev/null", program, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    size_t bytes = fread(output, 1, sizeof output - 1, pipe);
    output[bytes] = 0;
    int status = pclose(pipe);
    cr_assert(WIFEXITED(status), "qbench %s did not exit by itself", arguments);
    return WEXITSTATUS(status);
}

static void expect(int code, const char *arguments, const char *part)
{
    int got = qbench(arguments);
    cr_expect_eq(got, code, "qbench %s: exit code %d, expected %d\n%s", arguments, got, code,
                 output);
    cr_expect(strstr(output, part), "qbench %s: no '%s' in\n%s", arguments, part, output);
}

#endif
