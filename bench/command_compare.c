/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qbench compare: two runs, line by line, for people and for CI.
 *
 * A line is slower (or faster) if its median moved by more than the threshold and four fifths of
 * the samples of one run lie on one side of four fifths of the other's: the 10th percentile of the
 * slower run is above the 90th of the faster one. Both must hold, because a stable shift of a
 * percent is not worth a failed build, and a large one within the spread is noise.
 */
#include <math.h>
#include <string.h>

#include "qbench.h"
#include "results.h"
#include "terminal.h"

typedef enum verdict { SAME, FASTER, SLOWER, BROKEN, MENDED, UNMEASURED } verdict;

static verdict judge(const qb_result *a, const qb_result *b, double threshold)
{
    bool a_good = a->kernel && (!a->checked || a->passed);
    bool b_good = b->kernel && (!b->checked || b->passed);
    if (!a_good || !b_good)
        return a_good ? BROKEN : b_good ? MENDED : UNMEASURED;
    double factor = 1 + threshold / 100;
    if (b->median > factor * a->median && b->low > a->high)
        return SLOWER;
    if (a->median > factor * b->median && a->low > b->high)
        return FASTER;
    return SAME;
}

static const qb_result *find(const qb_run *run, const char *line)
{
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->results[i].line, line) == 0)
            return &run->results[i];
    return NULL;
}

typedef struct tally {
    size_t of[UNMEASURED + 1], common, missing;
    double log_ratio;
} tally;

static void print_line(const qb_result *a, const qb_result *b, verdict v, int width)
{
    static const char *const words[] = {"", "faster", "SLOWER", "BROKEN", "mended", "did not run"};
    static const qb_ink inks[] = {QB_PLAIN, QB_GOOD, QB_BAD, QB_BAD, QB_GOOD, QB_FAINT};
    char before[32] = "-", after[32] = "-", change[32] = "-";
    if (a->kernel)
        qb_seconds(a->median, before, sizeof before);
    if (b->kernel)
        qb_seconds(b->median, after, sizeof after);
    if (a->kernel && b->kernel)
        snprintf(change, sizeof change, "%+.1f%%", 100 * (b->median / a->median - 1));
    printf("%-*s %10s %10s %9s  %s%s%s\n", width, b->line, before, after, change,
           qb_ink_on(inks[v]), words[v], qb_ink_off(inks[v]));
}

static void compare(const qb_run *a, const qb_run *b, const qb_options *o, tally *t)
{
    int width = 7;
    for (size_t i = 0; i < b->count; i++) {
        int length = (int)strlen(b->results[i].line);
        width = length > width ? length : width;
    }
    if (!o->quiet)
        printf("%-*s %10s %10s %9s\n", width, "problem", "before", "after", "change");
    for (size_t i = 0; i < b->count; i++) {
        const qb_result *after = &b->results[i], *before = find(a, after->line);
        if (!before) {
            t->missing++;
            continue;
        }
        verdict v = judge(before, after, o->threshold);
        t->common++;
        t->of[v]++;
        if (before->kernel && after->kernel)
            t->log_ratio += log(after->median / before->median);
        if (!o->quiet)
            print_line(before, after, v, width);
    }
    for (size_t i = 0; i < a->count; i++)
        t->missing += find(b, a->results[i].line) == NULL;
}

static int report(const qb_run *a, const qb_run *b, const qb_options *o, const tally *t)
{
    size_t timed = t->common - t->of[BROKEN] - t->of[MENDED] - t->of[UNMEASURED];
    if (strcmp(a->device, b->device) != 0)
        fprintf(stderr, "qbench: warning: two devices: '%s' and '%s'\n", a->device, b->device);
    if (t->common == 0) {
        fprintf(stderr, "qbench: %s and %s have no problem in common\n", a->path, b->path);
        return QB_EXIT_USAGE;
    }
    printf("%zu lines: %zu faster, %zu slower, %zu the same within %g%% or the spread; %zu broken, "
           "%zu mended, %zu in one run only",
           t->common, t->of[FASTER], t->of[SLOWER], t->of[SAME], o->threshold, t->of[BROKEN],
           t->of[MENDED], t->missing);
    if (timed)
        printf("; times %+.1f%% in the geometric mean",
               100 * (exp(t->log_ratio / (double)timed) - 1));
    printf("\n");
    return t->of[SLOWER] || t->of[BROKEN] ? QB_EXIT_WRONG : QB_EXIT_OK;
}

int qb_command_compare(qb_options *o)
{
    qb_run runs[2] = {{0}, {0}};
    tally t = {0};
    char why[512] = "";
    int code = QB_EXIT_OK;
    if (o->lines.count != 2) {
        fprintf(stderr, "qbench: compare takes two files of 'qbench run --json', not %zu\n",
                o->lines.count);
        return QB_EXIT_USAGE;
    }
    for (int i = 0; i < 2 && code == QB_EXIT_OK; i++)
        if (!qb_run_load(o->lines.line[i], &runs[i], why, sizeof why)) {
            fprintf(stderr, "qbench: %s\n", why);
            code = QB_EXIT_USAGE;
        }
    if (code == QB_EXIT_OK) {
        compare(&runs[0], &runs[1], o, &t);
        code = report(&runs[0], &runs[1], o, &t);
    }
    qb_run_free(&runs[0]);
    qb_run_free(&runs[1]);
    return code;
}
