/* SPDX-License-Identifier: Apache-2.0 */
#include "tuning.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "problem.h"
#include "status.h"

#define LONGEST 1024 /* characters of a line */
#define LARGEST (16u << 20)

extern const lb_embedded lb_tunings[]; /* tuning.txt */

/* ---- One line -------------------------------------------------------------------------------- */

typedef struct reader {
    lb_context *context;
    const char *name; /* of the text, for messages */
    int line, base;   /* rank of its narrowest scope */
} reader;

static lb_status bad(const reader *r, const char *what)
{
    return lb_fail(LB_BAD_DATA,
                   "tuning file %s, line %d: %s; an entry is: device \"NAME\" PROBLEM = ROW "
                   "[PARAMETERS] @ SECONDS",
                   r->name, r->line, what);
}

static char *skip_blanks(char *at)
{
    return at + strspn(at, " \t");
}

static void trim(char *text)
{
    size_t n = strlen(text);
    while (n && strchr(" \t\r", text[n - 1]))
        text[--n] = 0;
}

/* Takes the scope off the line. *rank < 0: of another device. */
static lb_status take_scope(const reader *r, char **at, int *rank)
{
    const lb_device_info *info = &r->context->device.info;
    const struct {
        const char *word, *value;
    } scopes[] = {{"device", info->name}, {"arch", info->features}, {"vendor", info->vendor}};
    size_t length = strcspn(*at, " \t");
    *rank = r->base + 3;
    if (length == 7 && memcmp(*at, "default", 7) == 0) {
        *at = skip_blanks(*at + length);
        return LB_OK;
    }
    for (int i = 0; i < 3; i++) {
        if (strlen(scopes[i].word) != length || memcmp(*at, scopes[i].word, length) != 0)
            continue;
        char *from = skip_blanks(*at + length), *to = *from == '"' ? strchr(from + 1, '"') : NULL;
        if (!to)
            return bad(r, "the scope's name is not in quotes");
        *to = 0;
        *rank = strcmp(from + 1, scopes[i].value) == 0 ? r->base + i : -1;
        *at = skip_blanks(to + 1);
        return LB_OK;
    }
    return bad(r, "it begins with none of device, arch, vendor, default");
}

static const lb_kernel *find_row(const lb_backend *backend, const char *name, size_t length)
{
    for (size_t i = 0; i < *backend->row_count; i++)
        if (strlen(backend->rows[i].name) == length &&
            memcmp(backend->rows[i].name, name, length) == 0)
            return &backend->rows[i];
    return NULL;
}

static lb_status keep(const reader *r, const lb_tuned *entry)
{
    lb_context *c = r->context;
    if (c->tuned_count % 64 == 0) {
        lb_tuned *grown = realloc(c->tuned, (c->tuned_count + 64) * sizeof *grown);
        if (!grown)
            return lb_fail(LB_OUT_OF_MEMORY, "no memory for %zu tuning entries", c->tuned_count);
        c->tuned = grown;
    }
    c->tuned[c->tuned_count++] = *entry;
    return LB_OK;
}

/* Kernels differ in it: no groups, groups of floats, groups of two levels. */
static int32_t grouping(const lb_problem *p)
{
    return p->b.scale != LB_PER_GROUP ? 0 : lb_problem_is_stepped(p) ? 2 : 1;
}

/* "ROW [PARAMETERS]". A row of another backend, and parameters that this version does not have, are
 * skipped: a file may serve several. */
static lb_status add(const reader *r, const lb_problem *p, char *choice, lb_tuned *entry)
{
    const lb_backend *backend = r->context->backend;
    size_t length = strcspn(choice, " \t");
    const lb_kernel *row = find_row(backend, choice, length);
    const char *parameters = skip_blanks(choice + length);
    if (!row)
        return LB_OK;
    entry->row = row;
    if (*parameters) {
        if (!backend->variant || backend->variant(row, parameters, &entry->owned) != LB_OK)
            return LB_OK;
        entry->row = entry->owned;
    }
    entry->a_type = p->a.type;
    entry->b_type = p->b.type;
    entry->grouped = grouping(p);
    entry->size[0] = p->m, entry->size[1] = p->n, entry->size[2] = p->k, entry->size[3] = p->batch;
    entry->ops = lb_problem_ops(p);
    lb_status status = keep(r, entry);
    if (status != LB_OK)
        free(entry->owned);
    return status;
}

static lb_status read_line(const reader *r, char *line)
{
    lb_tuned entry = {0};
    lb_problem p;
    char why[256], *at = skip_blanks(line), *end;
    line[strcspn(line, "#")] = 0;
    trim(line);
    if (!*at)
        return LB_OK;
    LB_TRY(take_scope(r, &at, &entry.rank));
    char *choice = strstr(at, " = "), *seconds = choice ? strstr(choice, " @ ") : NULL;
    if (!seconds)
        return bad(r, "' = ' or ' @ ' is missing");
    *choice = *seconds = 0;
    choice = skip_blanks(choice + 3);
    entry.seconds = strtod(seconds + 3, &end);
    if (*skip_blanks(end) || !(entry.seconds > 0) || !isfinite(entry.seconds))
        return bad(r, "the seconds are no positive number");
    if (lb_problem_parse(at, &p) != LB_OK || lb_problem_normalise(&p, &p) != LB_OK) {
        snprintf(why, sizeof why, "%s", lb_last_error());
        return bad(r, why);
    }
    trim(choice);
    return entry.rank < 0 ? LB_OK : add(r, &p, choice, &entry);
}

static lb_status read_text(reader *r, const char *text)
{
    char line[LONGEST];
    for (r->line = 1; *text; r->line++) {
        size_t length = strcspn(text, "\n");
        if (length >= sizeof line)
            return bad(r, "the line is longer than 1023 characters");
        memcpy(line, text, length);
        line[length] = 0;
        LB_TRY(read_line(r, line));
        text += length + (text[length] == '\n');
    }
    return LB_OK;
}

/* ---- Files ----------------------------------------------------------------------------------- */

const char *lb_tuning_path(void)
{
    static _Thread_local char path[512];
    const char *set = getenv("LOWBIT_TUNING"), *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int n = 0;
    if (set)
        n = snprintf(path, sizeof path, "%s", set);
    else if (config && *config)
        n = snprintf(path, sizeof path, "%s/lowbit/tuning", config);
    else if (home && *home)
        n = snprintf(path, sizeof path, "%s/.config/lowbit/tuning", home);
    if (n <= 0 || (size_t)n >= sizeof path)
        path[0] = 0;
    return path;
}

/* The whole file as text. NULL with status LB_OK: there is none. */
static lb_status slurp(const char *path, char **text)
{
    *text = NULL;
    FILE *file = fopen(path, "rb");
    if (!file && errno == ENOENT)
        return LB_OK;
    if (!file)
        return lb_fail(LB_INVALID_ARGUMENT, "cannot open tuning file %s: %s", path,
                       strerror(errno));
    size_t bytes = 0;
    char *all = malloc(LARGEST + 1);
    if (all)
        bytes = fread(all, 1, LARGEST + 1, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (!all)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for tuning file %s", path);
    if (failed || bytes > LARGEST) {
        free(all);
        return lb_fail(LB_BAD_DATA, "tuning file %s cannot be read, or is larger than %u bytes",
                       path, LARGEST);
    }
    all[bytes] = 0;
    char *fitting = realloc(all, bytes + 1);
    *text = fitting ? fitting : all;
    return LB_OK;
}

static lb_status read_user(lb_context *context, const char *wish)
{
    const char *path = wish ? wish : lb_tuning_path();
    char *text = NULL;
    if (!*path)
        return LB_OK;
    LB_TRY(slurp(path, &text));
    if (!text && wish)
        return lb_fail(LB_INVALID_ARGUMENT, "there is no tuning file %s", path);
    if (!text)
        return LB_OK;
    lb_status status = read_text(&(reader){context, path, 1, 0}, text);
    free(text);
    return status;
}

lb_status lb_tuning_open(lb_context *context, const char *wish)
{
    lb_status status =
        read_text(&(reader){context, "(built in)", 1, 4}, (const char *)lb_tunings[0].data);
    if (status == LB_OK)
        status = read_user(context, wish);
    if (status != LB_OK)
        lb_tuning_close(context);
    return status;
}

void lb_tuning_close(lb_context *context)
{
    for (size_t i = 0; i < context->tuned_count; i++)
        free(context->tuned[i].owned);
    free(context->tuned);
    context->tuned = NULL;
    context->tuned_count = 0;
}

/* ---- Finding --------------------------------------------------------------------------------- */

/* How far a problem is from an entry: the sum of the sizes' ratios in octaves; negative: too far.
 */
static double distance(const lb_tuned *entry, const lb_problem *p)
{
    const int64_t size[4] = {p->m, p->n, p->k, p->batch};
    double sum = 0;
    if (entry->a_type != p->a.type || entry->b_type != p->b.type || entry->grouped != grouping(p))
        return -1;
    for (int i = 0; i < 4; i++) {
        if (size[i] == entry->size[i])
            continue;
        if (size[i] <= 0 || entry->size[i] <= 0)
            return -1;
        double octaves = fabs(log2((double)size[i] / (double)entry->size[i]));
        if (octaves > 1)
            return -1;
        sum += octaves;
    }
    return sum;
}

const lb_tuned *lb_tuning_find(const lb_context *context, const lb_problem *p)
{
    const lb_tuned *best = NULL;
    double nearest = 0;
    for (size_t i = 0; i < context->tuned_count; i++) {
        const lb_tuned *entry = &context->tuned[i];
        double d = distance(entry, p);
        /* Of equals the later: a line added to a file replaces those before. */
        if (d >= 0 &&
            (!best || entry->rank < best->rank || (entry->rank == best->rank && d <= nearest))) {
            best = entry;
            nearest = d;
        }
    }
    return best;
}
