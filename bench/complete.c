/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand at the end of an unfinished command line, one word a line: for bench/completion.
 */
#include <stdlib.h>
#include <string.h>

#include "qbench.h"

#define MOST_DEVICES 32

static void put_words(const char *words)
{
    for (size_t n; *words; words += n) {
        words += strspn(words, " ");
        n = strcspn(words, " ");
        if (n)
            printf("%.*s\n", (int)n, words);
    }
}

static void put_devices(void)
{
    lb_device_info infos[MOST_DEVICES];
    size_t count = qb_selectors(infos, MOST_DEVICES);
    for (size_t i = 0; i < count; i++)
        printf("%s\n", infos[i].selector);
    printf("all\n");
}

static void put_kernels(void)
{
    lb_context *context;
    if (lb_context_create(NULL, &context) != LB_OK)
        return;
    for (size_t i = 0; i < lb_kernel_count(context); i++) {
        lb_kernel_info info = LB_KERNEL_INFO_INIT;
        if (lb_kernel_get_info(context, i, &info) == LB_OK)
            printf("%s\n", info.name);
    }
    printf("all\n");
    lb_context_destroy(context);
}

static void put_suites(void)
{
    for (size_t i = 0; qb_builtin_suite(i); i++)
        printf("%.*s\n", (int)strcspn(qb_builtin_suite(i), "."), qb_builtin_suite(i));
}

static void put_widths(void)
{
    put_words("1 2 4 8");
}

static void put_scopes(void)
{
    put_words("device arch vendor default");
}

int qb_complete(const char *const *words, size_t count, const char *options)
{
    static const struct {
        const char *letter, *name;
        void (*put)(void);
    } values[] = {{"-d", "--device", put_devices},
                  {"--kernel", "--kernel", put_kernels},
                  {"-s", "--suite", put_suites},
                  {"-b", "--bits", put_widths},
                  {"--scope", "--scope", put_scopes}};
    const char *now = count ? words[count - 1] : "", *before = count > 1 ? words[count - 2] : "";
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (strcmp(before, values[i].letter) == 0 || strcmp(before, values[i].name) == 0) {
            values[i].put();
            return QB_EXIT_OK;
        }
    if (now[0] == '-')
        put_words(options);
    else if (count <= 1)
        for (size_t i = 0; i < qb_command_count; i++)
            printf("%s\n", qb_commands[i].name);
    return QB_EXIT_OK;
}
