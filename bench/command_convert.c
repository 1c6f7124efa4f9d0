/* SPDX-License-Identifier: Apache-2.0 */
/* qbench convert: tensors of a checkpoint into an .lbw file. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "qbench.h"

/* What is converted; items point into the other arrays. */
typedef struct conversion {
    const qb_options *options;
    lb_file *file;
    lb_context *context; /* with --pack */
    size_t count;
    lb_file_item *item;
    lb_stored *from;
    lb_plan *(*plan)[4]; /* of each item's terms */
} conversion;

#define TRY(call)                                                                                  \
    do {                                                                                           \
        lb_status status_ = (call);                                                                \
        if (status_ != LB_OK)                                                                      \
            return status_;                                                                        \
    } while (0)

static int list_formats(void)
{
    printf("%-15s %-4s %-6s %-46s %s\n", "format", "bits", "group", "written by",
           "scales and zero points");
    for (size_t i = 0; i < lb_format_count(); i++) {
        lb_format_info f = LB_FORMAT_INFO_INIT;
        char bits[16] = "any", group[24] = "any";
        if (lb_format_get_info(i, &f) != LB_OK)
            continue;
        if (f.bits)
            snprintf(bits, sizeof bits, "%d", f.bits);
        if (f.group)
            snprintf(group, sizeof group, "%" PRId64, f.group);
        printf("%-15s %-4s %-6s %-46s %s%s\n", f.name, bits, group, f.origin, f.params,
               f.writable ? "" : " (read only)");
    }
    return QB_EXIT_OK;
}

/* ---- What to convert ------------------------------------------------------------------------- */

static bool is_dense(const lb_stored *s)
{
    return s->format && (strcmp(s->format, "f32") == 0 || strcmp(s->format, "f16") == 0 ||
                         strcmp(s->format, "bf16") == 0);
}

/* Weights for kernels too, where the matrix is one that kernels multiply. */
static lb_status add_plans(conversion *c, size_t i)
{
    int32_t terms = 0;
    if (!c->context || is_dense(&c->from[i]) ||
        lb_stored_terms(&c->from[i], &terms) == LB_UNSUPPORTED)
        return LB_OK;
    for (int32_t t = 0; t < terms; t++) {
        lb_problem p = LB_PROBLEM_INIT;
        p.m = c->options->m;
        p.a.type = qb_float_type(c->options->pack);
        p.d.type = LB_TYPE_F32;
        p.residual.type = t ? LB_TYPE_F32 : LB_TYPE_NONE;
        TRY(lb_stored_problem(&c->from[i], t, &p));
        TRY(lb_plan_create(c->context, &p, NULL, &c->plan[i][t]));
    }
    c->item[i].plans = (const lb_plan *const *)c->plan[i];
    c->item[i].plan_count = terms;
    return LB_OK;
}

static lb_status add(conversion *c, const char *name)
{
    size_t i = c->count++;
    lb_stored *from = &c->from[i];
    lb_file_item *item = &c->item[i];
    *from = (lb_stored)LB_STORED_INIT;
    *item = (lb_file_item)LB_FILE_ITEM_INIT;
    TRY(lb_file_find(c->file, name, NULL, from));
    item->name = name;
    item->from = from;
    item->lossy = c->options->lossy;
    if (!(c->options->all && is_dense(from)))
        item->format = c->options->to;
    return add_plans(c, i);
}

static lb_status collect(conversion *c)
{
    const qb_options *o = c->options;
    size_t most = 0;
    const char *name;
    while (o->all && lb_file_get_matrix(c->file, most, &name) == LB_OK)
        most++;
    for (char **word = o->tensor; !o->all && word && *word; word++)
        most++;
    c->item = calloc(most + 1, sizeof *c->item);
    c->from = calloc(most + 1, sizeof *c->from);
    c->plan = calloc(most + 1, sizeof *c->plan);
    if (!c->item || !c->from || !c->plan)
        return LB_OUT_OF_MEMORY;
    for (size_t i = 0; i < most; i++) {
        if (o->all)
            TRY(lb_file_get_matrix(c->file, i, &name));
        TRY(add(c, o->all ? name : o->tensor[i]));
    }
    return LB_OK;
}

/* ---- Converting ------------------------------------------------------------------------------ */

static int show(void *user, uint64_t done, uint64_t total, const char *name)
{
    qb_progress(user, (size_t)(done >> 10), (size_t)(total >> 10) + (done < total), name);
    return 0;
}

static void report(const conversion *c, const char *path)
{
    size_t exact = 0;
    for (size_t i = 0; i < c->count; i++)
        exact += c->item[i].report.exact != 0;
    for (size_t i = 0; i < c->count && !c->options->quiet; i++) {
        const lb_repack_report *r = &c->item[i].report;
        if (r->exact && c->count > 8)
            continue; /* the sum says it */
        printf("%s: %s -> %s, ", c->item[i].name, c->from[i].format,
               c->item[i].format       ? c->item[i].format
               : is_dense(&c->from[i]) ? c->from[i].format
                                       : "canon");
        if (r->exact)
            printf("exact\n");
        else
            printf("largest error %.3g, root mean square %.3g of %.3g (%.2f %%)\n", r->worst,
                   r->rms, r->scale, r->scale > 0 ? 100 * r->rms / r->scale : 0.0);
    }
    printf("%s: %zu tensors, %zu of them exact\n", path, c->count, exact);
}

/* The input's name with .lbw in place of its last word; NULL without memory. */
static char *default_path(const char *input)
{
    const char *slash = strrchr(input, '/'), *dot = strrchr(input, '.');
    size_t length = dot && (!slash || dot > slash) ? (size_t)(dot - input) : strlen(input);
    size_t capacity = length + sizeof ".lbw";
    char *path = malloc(capacity);
    if (path)
        snprintf(path, capacity, "%.*s.lbw", (int)length, input);
    return path;
}

static lb_status convert(conversion *c, const char *input, const char *path)
{
    TRY(lb_file_open(input, &c->file));
    TRY(collect(c));
    /* A bar that stays behind would hide the sentence. */
    lb_status status = lb_file_write(path, c->item, c->count, show, (void *)c->options);
    qb_progress(c->options, 1, 1, "");
    if (status == LB_OK)
        report(c, path);
    return status;
}

static void close_all(conversion *c)
{
    for (size_t i = 0; i < c->count; i++)
        for (int t = 0; t < 4; t++)
            lb_plan_destroy(c->plan[i][t]);
    free(c->item);
    free(c->from);
    free(c->plan);
    lb_file_close(c->file);
    lb_context_destroy(c->context);
}

int qb_command_convert(qb_options *o)
{
    conversion c = {.options = o};
    int code = QB_EXIT_OK;
    if (o->list)
        return list_formats();
    if (o->to && strcmp(o->to, ".lbw") == 0) { /* that is what is written anyway */
        free(o->to);
        o->to = NULL;
    }
    if (o->lines.count < 1 || o->lines.count > 2 || !o->all == !o->tensor) {
        fprintf(stderr, "qbench: convert needs a file, and --all or --tensor NAME\n");
        return QB_EXIT_USAGE;
    }
    if (o->pack && (o->to || o->lossy)) {
        fprintf(stderr, "qbench: --pack goes with the canonical form: without --to and --lossy\n");
        return QB_EXIT_USAGE;
    }
    const char *input = o->lines.line[0];
    char *made = default_path(input);
    const char *path = o->lines.count > 1 ? o->lines.line[1] : made;
    if (!path || strcmp(path, input) == 0) {
        fprintf(stderr, "qbench: convert would overwrite %s; name another file\n", input);
        free(made);
        return QB_EXIT_USAGE;
    }
    if (o->pack)
        c.context = qb_open_threads(o->device, o->threads, &code);
    if (code == QB_EXIT_OK) {
        lb_status status = convert(&c, input, path);
        code = status == LB_BAD_DATA ? QB_EXIT_USAGE : qb_exit_of(status);
        if (status != LB_OK)
            fprintf(stderr, "qbench: %s: %s\n", input, lb_last_error());
    }
    close_all(&c);
    free(made);
    return code;
}
