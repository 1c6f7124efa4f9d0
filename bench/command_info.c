/* SPDX-License-Identifier: Apache-2.0 */
/* qbench devices, list, explain: what there is, and what would be chosen. */
#include <stdlib.h>
#include <string.h>

#include "qbench.h"

#define MOST_DEVICES 32

/* Calls `work` for the device asked for, or for all. */
static int each_device(qb_options *o, bool all,
                       int (*work)(const qb_options *, lb_context *, const lb_device_info *))
{
    lb_device_info infos[MOST_DEVICES];
    size_t count = 1;
    int code = QB_EXIT_OK;
    if (o->device && strcmp(o->device, "all") == 0)
        all = true;
    else if (o->device)
        all = false;
    if (all)
        count = qb_selectors(infos, MOST_DEVICES);
    for (size_t i = 0; i < count; i++) {
        int one;
        lb_device_info info = LB_DEVICE_INFO_INIT;
        lb_context *context = qb_open(all ? infos[i].selector : o->device, &one);
        if (context) {
            lb_context_info(context, &info);
            one = work(o, context, &info);
        }
        lb_context_destroy(context);
        code = code ? code : one;
    }
    return code;
}

/* ---- devices --------------------------------------------------------------------------------- */

static int show_device(const qb_options *o, lb_context *context, const lb_device_info *d)
{
    printf("%-10s %s (%s)\n", d->selector, d->name, d->vendor);
    printf("           %s\n", d->driver);
    printf("           %d compute units, %d MHz, %.1f GiB, cache %.1f MiB\n", d->compute_units,
           d->clock_mhz, (double)d->global_bytes / (1u << 30), (double)d->cache_bytes / (1u << 20));
    if (d->memory_rate > 0)
        printf("           memory %.0f GB/s by its clock\n", d->memory_rate / 1e9);
    if (d->features[0])
        printf("           %s\n", d->features);
    if (!o->ceilings)
        return QB_EXIT_OK;
    lb_ceilings c = LB_CEILINGS_INIT;
    lb_status status = lb_measure_ceilings(context, &c);
    if (status != LB_OK) {
        fprintf(stderr, "qbench: %s\n", lb_last_error());
        return qb_exit_of(status);
    }
    printf("           ");
    if (c.read_bytes > 0)
        qb_ceilings_print(&c);
    else
        printf("no ceilings measured on this backend\n");
    return QB_EXIT_OK;
}

int qb_command_devices(qb_options *o)
{
    static const char *const backends[] = {"cuda", "opencl"};
    int code = each_device(o, true, show_device);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        const char *note = lb_backend_note(backends[i]);
        if (note[0])
            printf("%-10s %s\n", backends[i], note);
    }
    return code;
}

/* ---- list ------------------------------------------------------------------------------------ */

static int list_rows(const qb_options *o, lb_context *context, const lb_device_info *d)
{
    (void)o;
    printf("kernels for %s (%s)\n", d->selector, d->name);
    for (size_t i = 0; i < lb_kernel_count(context); i++) {
        lb_kernel_info k = LB_KERNEL_INFO_INIT;
        if (lb_kernel_get_info(context, i, &k) != LB_OK)
            continue;
        printf("  %-22s %s%s\n", k.name, k.summary, k.proven ? "" : " (unproven)");
        printf("  %-22s A %s; B %s, layout %s\n", "", k.a_types, k.b_types, k.layout);
    }
    return QB_EXIT_OK;
}

int qb_command_list(qb_options *o)
{
    int code = each_device(o, true, list_rows);
    printf("built-in suites:");
    for (size_t i = 0; qb_builtin_suite(i); i++)
        printf(" %.*s", (int)strcspn(qb_builtin_suite(i), "."), qb_builtin_suite(i));
    printf("\n");
    return code;
}

/* ---- explain --------------------------------------------------------------------------------- */

static lb_status explain_line(const qb_options *o, lb_context *context, const char *line)
{
    lb_problem p;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    size_t needed = 0;
    desc.kernel = o->kernel;
    lb_status status = lb_problem_parse(line, &p);
    if (status == LB_OK)
        lb_explain(context, &p, &desc, NULL, 0, &needed);
    char *text = malloc(needed + 1);
    if (!text)
        return LB_OUT_OF_MEMORY;
    if (status == LB_OK)
        status = lb_explain(context, &p, &desc, text, needed + 1, NULL);
    if (status == LB_OK)
        printf("%s", text);
    else
        fprintf(stderr, "qbench: %s\n", lb_last_error());
    free(text);
    return status;
}

static int explain_device(const qb_options *o, lb_context *context, const lb_device_info *d)
{
    (void)d;
    int code = QB_EXIT_OK;
    for (size_t i = 0; i < o->lines.count; i++) {
        int one = qb_exit_of(explain_line(o, context, o->lines.line[i]));
        code = code ? code : one;
    }
    return code;
}

int qb_command_explain(qb_options *o)
{
    if (o->lines.count == 0) {
        fprintf(stderr, "qbench: explain needs a problem line, --suite or --bits\n");
        return QB_EXIT_USAGE;
    }
    return each_device(o, false, explain_device);
}
