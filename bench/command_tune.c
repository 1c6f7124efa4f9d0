/* SPDX-License-Identifier: Apache-2.0 */
/* qbench tune: finds the fastest kernel and parameters of each line and keeps them in a file. */
#include <math.h>
#include <string.h>

#include "terminal.h"
#include "tune.h"

#define SECONDS_PER_LINE 60.0

typedef struct session {
    const qb_options *options;
    const char *path, *scope;
    lb_device_info device;
    qb_tuner tuner;
    double start, budget;
    char line[512]; /* being tuned, canonical */
    int width;      /* of the problem column */
    double log_gain;
    size_t tuned, kept, wrong;
} session;

static void show(void *argument, const qb_choice *trying)
{
    const session *s = argument;
    char what[700];
    snprintf(what, sizeof what, "%s: %s %s", s->line, trying->kernel, trying->parameters);
    double spent = qb_now() - s->start;
    size_t tenths = (size_t)(10 * (spent < s->budget ? spent : s->budget));
    qb_progress(s->options, tenths, (size_t)(10 * s->budget) + 1, what);
}

static void print_head(const session *s)
{
    if (s->options->quiet)
        return;
    printf("tuning on %s: %s\nfile: %s, scope: %s, %.0f s in all\n\n", s->device.selector,
           s->device.name, s->path, s->scope, s->budget);
    printf("%s%-*s %9s %9s %6s %5s  %s%s\n", qb_ink_on(QB_STRONG), s->width, "problem", "before",
           "after", "gain", "tried", "kernel", qb_ink_off(QB_STRONG));
    fflush(stdout);
}

static void print_line(const session *s, const qb_tuned *t)
{
    char before[32], after[32];
    double gain = t->before.time.median / t->after.time.median;
    if (s->options->quiet)
        return;
    printf("%-*s %9s %9s %s%5.2fx%s %5d  %s %s%s\n", s->width, s->line,
           qb_seconds(t->before.time.median, before, sizeof before),
           qb_seconds(t->after.time.median, after, sizeof after),
           qb_ink_on(gain > 1 ? QB_GOOD : QB_FAINT), gain, qb_ink_off(QB_GOOD), t->tried,
           t->after.kernel, t->after.parameters, t->wrong ? "  (WRONG RESULTS)" : "");
    fflush(stdout);
}

static int complain(const char *line, lb_status status)
{
    fprintf(stderr, "qbench: %s: %s\n", line, lb_last_error());
    return qb_exit_of(status);
}

static int tune_line(session *s, const char *text, size_t left)
{
    char entry[1400], why[512];
    char *line = s->line;
    lb_problem p;
    qb_tuned t;
    lb_status status = lb_problem_parse(text, &p);
    if (status == LB_OK)
        status = lb_problem_print(&p, line, sizeof s->line, NULL);
    if (status != LB_OK)
        return complain(text, status);
    qb_tune_entry(s->scope, &s->device, line, &(qb_choice){.kernel = "?"}, entry, sizeof entry);
    if (s->options->resume && qb_tune_has(s->path, entry)) {
        s->kept++;
        return QB_EXIT_OK;
    }
    double now = qb_now();
    s->tuner.deadline = now + (s->start + s->budget - now) / (double)left;
    status = qb_tune(&s->tuner, &p, &t);
    qb_progress(s->options, 1, 1, "");
    s->wrong += (size_t)t.wrong;
    if (status != LB_OK && t.wrong) {
        fprintf(stderr, "qbench: %s: what the library chooses itself is wrong; see qbench check\n",
                line);
        return QB_EXIT_WRONG;
    }
    if (status != LB_OK)
        return complain(line, status);
    print_line(s, &t);
    s->tuned++;
    s->log_gain += log(t.before.time.median / t.after.time.median);
    qb_tune_entry(s->scope, &s->device, line, &t.after, entry, sizeof entry);
    if (!qb_tune_put(s->path, entry, why, sizeof why)) {
        fprintf(stderr, "qbench: %s\n", why);
        return QB_EXIT_USAGE;
    }
    return t.wrong ? QB_EXIT_WRONG : QB_EXIT_OK;
}

static int tune_all(session *s)
{
    const qb_options *o = s->options;
    int code = QB_EXIT_OK;
    for (size_t i = 0; i < o->lines.count; i++) {
        int length = (int)strlen(o->lines.line[i]);
        s->width = length > s->width ? length : s->width;
    }
    s->start = qb_now();
    print_head(s);
    for (size_t i = 0; i < o->lines.count; i++) {
        int one = tune_line(s, o->lines.line[i], o->lines.count - i);
        code = code ? code : one;
    }
    if (!o->quiet) {
        printf("\n%zu tuned, %zu kept from before", s->tuned, s->kept);
        if (s->tuned)
            printf("; %.2fx in the geometric mean", exp(s->log_gain / (double)s->tuned));
        if (s->wrong)
            printf("; %zu candidates were wrong and not taken", s->wrong);
        printf("\n");
    }
    return code;
}

static bool is_scope(const char *word)
{
    static const char *const scopes[] = {"device", "arch", "vendor", "default"};
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
        if (strcmp(word, scopes[i]) == 0)
            return true;
    return false;
}

int qb_command_tune(qb_options *o)
{
    session s = {.options = o, .device = LB_DEVICE_INFO_INIT, .width = 7};
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    s.path = o->file ? o->file : lb_tuning_path();
    s.scope = o->scope ? o->scope : "device";
    if (o->lines.count == 0 || !*s.path || !is_scope(s.scope)) {
        fprintf(stderr, "qbench: %s\n",
                !is_scope(s.scope) ? "--scope takes device, arch, vendor or default"
                : !*s.path         ? "tune needs --file: there is no home folder for a default"
                                   : "tune needs a problem line, --suite or --bits");
        return QB_EXIT_USAGE;
    }
    desc.device = o->device;
    desc.tuning = ""; /* what it would do untuned */
    lb_status status = lb_context_create(&desc, &s.tuner.context);
    if (status != LB_OK) {
        fprintf(stderr, "qbench: %s\n", lb_last_error());
        return qb_exit_of(status);
    }
    lb_context_info(s.tuner.context, &s.device);
    s.budget = o->seconds > 0 ? o->seconds : SECONDS_PER_LINE * (double)o->lines.count;
    s.tuner.options = o;
    s.tuner.rotate = 2 * (s.device.cache_bytes ? s.device.cache_bytes : 64u << 20);
    s.tuner.progress = show;
    s.tuner.argument = &s;
    int code = tune_all(&s);
    lb_context_destroy(s.tuner.context);
    return code;
}
