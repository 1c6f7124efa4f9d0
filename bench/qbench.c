/* SPDX-License-Identifier: Apache-2.0 */
/* qbench: the command-line tool. Its commands: commands.def, command_*.c. */
#include "qbench.h"

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
    return qb_open_threads(device, 1, exit_code);
}

lb_context *qb_open_threads(const char *device, int threads, int *exit_code)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context = NULL;
    desc.device = device;
    desc.host_threads = threads;
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

const qb_command qb_commands[] = {
#define QB_COMMAND(name, arguments, summary, examples)                                             \
    {#name, arguments, summary, examples, qb_command_##name},
#include "commands.def"
#undef QB_COMMAND
};
const size_t qb_command_count = sizeof qb_commands / sizeof *qb_commands;

int main(int argc, char **argv)
{
    qb_options options;
    int code = qb_options_parse(argc, (const char **)argv, &options);
    if (code < 0)
        code = options.command->run(&options);
    qb_options_free(&options);
    return code;
}
