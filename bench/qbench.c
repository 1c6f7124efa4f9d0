/* SPDX-License-Identifier: Apache-2.0 */
/* qbench: the command-line tool. What each command does: command_*.c. */
#include "qbench.h"

#include <string.h>

int qb_exit_of(lb_status status)
{
    switch (status) {
    case LB_OK: return QB_EXIT_OK;
    case LB_INVALID_ARGUMENT: return QB_EXIT_USAGE;
    case LB_UNSUPPORTED: return QB_EXIT_UNSUPPORTED;
    case LB_NO_DEVICE: return QB_EXIT_NO_DEVICE;
    default: return QB_EXIT_FAILED;
    }
}

lb_context *qb_open(const char *device, int *exit_code)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context = NULL;
    desc.device = device;
    lb_status status = lb_context_create(&desc, &context);
    *exit_code = qb_exit_of(status);
    if (status != LB_OK)
        fprintf(stderr, "qbench: %s\n", lb_last_error());
    return context;
}

size_t qb_selectors(lb_device_info *infos, size_t capacity)
{
    size_t count = 0;
    infos[0] = (lb_device_info)LB_DEVICE_INFO_INIT;
    if (lb_devices(infos, capacity, &count) != LB_OK)
        return 0;
    return count < capacity ? count : capacity;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(qb_options *);
    } commands[] = {{"run", qb_command_run},         {"check", qb_command_check},
                    {"list", qb_command_list},       {"explain", qb_command_explain},
                    {"devices", qb_command_devices}, {"inspect", qb_command_inspect}};
    qb_options options;
    int code = qb_options_parse(argc, (const char **)argv, &options);
    for (size_t i = 0; code < 0; i++)
        if (strcmp(options.command, commands[i].name) == 0)
            code = commands[i].run(&options);
    qb_options_free(&options);
    return code;
}
