/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define WIDTH 540.0
#define HEIGHT 330.0
#define LEFT 62.0
#define RIGHT 112.0
#define TOP 30.0
#define BOTTOM 46.0
#define LABEL 15.0 /* between the lines of labels */
#define MOST_SERIES 16

typedef struct rows_figure {
    FILE *page;
    const qb_run *run;
    int64_t n, k; /* the weight matrix with most results */
    qb_axis x, y; /* M, seconds; the same for all panels */
} rows_figure;

static bool belongs(const rows_figure *f, const qb_result *r)
{
    return r->kernel && r->problem.n == f->n && r->problem.k == f->k && r->problem.batch <= 1 &&
           r->problem.m > 0;
}

/* ---- What is shown --------------------------------------------------------------------------- */

static void choose_matrix(rows_figure *f)
{
    size_t most = 0;
    for (size_t i = 0; i < f->run->count; i++) {
        const lb_problem *p = &f->run->results[i].problem;
        rows_figure trial = {.n = p->n, .k = p->k};
        size_t count = 0;
        for (size_t j = 0; j < f->run->count; j++)
            count += belongs(&trial, &f->run->results[j]);
        if (count > most) {
            most = count;
            f->n = p->n;
            f->k = p->k;
        }
    }
}

static void extend(qb_axis *axis, double value)
{
    if (!(value > 0))
        return;
    axis->low = axis->low > 0 && axis->low < value ? axis->low : value;
    axis->high = axis->high > value ? axis->high : value;
}

static bool make_axes(rows_figure *f)
{
    f->x = (qb_axis){0, 0, LEFT, WIDTH - RIGHT};
    f->y = (qb_axis){0, 0, HEIGHT - BOTTOM, TOP};
    for (size_t i = 0; i < f->run->count; i++) {
        const qb_result *r = &f->run->results[i];
        if (!belongs(f, r))
            continue;
        extend(&f->x, (double)r->problem.m);
        extend(&f->y, r->median);
        extend(&f->y, r->baseline);
    }
    if (!(f->x.high > f->x.low))
        return false; /* one M only: nothing to see */
    qb_axis_binary(&f->x);
    qb_axis_decimal(&f->y);
    return true;
}

/* ---- Series ---------------------------------------------------------------------------------- */

static int by_m(const void *x, const void *y)
{
    const qb_result *const *a = x, *const *b = y;
    return ((*a)->problem.m > (*b)->problem.m) - ((*a)->problem.m < (*b)->problem.m);
}

/* Results of a format in order of M; the caller frees them. */
static const qb_result **series_of(const rows_figure *f, const char *format, size_t *count)
{
    const qb_result **list = calloc(f->run->count + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; list && i < f->run->count; i++) {
        const qb_result *r = &f->run->results[i];
        if (belongs(f, r) && (!format || strcmp(r->format, format) == 0))
            list[(*count)++] = r;
    }
    if (list)
        qsort(list, *count, sizeof *list, by_m);
    return list;
}

typedef struct end_label {
    char text[64];
    const char *style;
    double y;
} end_label;

static int by_height(const void *x, const void *y)
{
    const end_label *a = x, *b = y;
    return (a->y > b->y) - (a->y < b->y);
}

/* Labels at the right end, at least a line apart, as near to their lines as that allows. */
static void draw_labels(const rows_figure *f, end_label *labels, size_t count)
{
    qsort(labels, count, sizeof *labels, by_height);
    for (size_t pass = 0; pass < 50; pass++)
        for (size_t i = 1; i < count; i++) {
            double gap = labels[i].y - labels[i - 1].y;
            if (gap < LABEL) {
                labels[i - 1].y -= (LABEL - gap) / 2;
                labels[i].y += (LABEL - gap) / 2;
            }
        }
    for (size_t i = 0; i < count; i++)
        qb_label(f->page, f->x.to + 9, labels[i].y + 4, labels[i].style, "%s", labels[i].text);
}

static void draw_series(const rows_figure *f, const qb_result *const *list, size_t count)
{
    fprintf(f->page, "<polyline class=\"curve %s\" points=\"", qb_width_style(&list[0]->problem));
    for (size_t i = 0; i < count; i++)
        fprintf(f->page, "%.1f,%.1f ", qb_at(&f->x, (double)list[i]->problem.m),
                qb_at(&f->y, list[i]->median));
    fputs("\"/>\n", f->page);
    for (size_t i = 0; i < count; i++)
        qb_mark(f->page, qb_at(&f->x, (double)list[i]->problem.m), qb_at(&f->y, list[i]->median),
                list[i]);
}

/* One point per M: where it was measured more than once, the first. */
static double draw_baseline(const rows_figure *f)
{
    size_t count;
    const qb_result **list = series_of(f, NULL, &count);
    int64_t before = -1;
    double last = 0;
    fputs("<polyline class=\"baseline\" points=\"", f->page);
    for (size_t i = 0; i < count; i++)
        if (list[i]->baseline > 0 && list[i]->problem.m != before) {
            before = list[i]->problem.m;
            last = qb_at(&f->y, list[i]->baseline);
            fprintf(f->page, "%.1f,%.1f ", qb_at(&f->x, (double)before), last);
        }
    fputs("\"/>\n", f->page);
    free(list);
    return last;
}

/* ---- Panels ---------------------------------------------------------------------------------- */

static void draw_grid(const rows_figure *f, int bits)
{
    char text[32];
    qb_label(f->page, LEFT, 16, "head", "%d-bit weights", bits);
    double ticks[QB_TICKS];
    size_t count = qb_ticks(&f->y, 0, ticks);
    for (size_t i = 0; i < count; i++) {
        double v = ticks[i], y = qb_at(&f->y, v);
        qb_line(f->page, f->x.from, y, f->x.to, y, "grid");
        qb_label(f->page, f->x.from - 8, y + 4, "tick end", "%s",
                 qb_time_text(v, text, sizeof text));
    }
    count = qb_ticks(&f->x, f->x.high / f->x.low > 256 ? 4 : 2, ticks);
    for (size_t i = 0; i < count; i++) {
        double v = ticks[i], x = qb_at(&f->x, v);
        qb_line(f->page, x, f->y.from, x, f->y.to, "grid");
        qb_label(f->page, x, f->y.from + 18, "tick middle", "%g", v);
    }
    qb_label(f->page, (f->x.from + f->x.to) / 2, HEIGHT - 8, "axis middle",
             "M, rows of activations");
}

static void draw_panel(const rows_figure *f, const qb_ends *formats, size_t count, int bits)
{
    end_label labels[MOST_SERIES + 1];
    size_t used = 0;
    fprintf(f->page,
            "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"Time over M, %d-bit "
            "weights\">\n",
            WIDTH, HEIGHT, bits);
    draw_grid(f, bits);
    double y = draw_baseline(f);
    if (y > 0)
        labels[used++] = (end_label){"f32 baseline", "note", y};
    for (size_t i = 0; i < count && used < MOST_SERIES; i++) {
        size_t points;
        if (lb_type_bits(formats[i].first->problem.b.type) != bits)
            continue;
        const qb_result **list = series_of(f, formats[i].first->format, &points);
        if (points > 1) {
            end_label *label = &labels[used++];
            draw_series(f, list, points);
            label->style = "series";
            label->y = qb_at(&f->y, list[points - 1]->median);
            qb_format_text(&list[0]->problem, label->text, sizeof label->text);
        }
        free(list);
    }
    draw_labels(f, labels, used);
    fputs("</svg>\n", f->page);
}

static bool has_panel(const rows_figure *f, const qb_ends *formats, size_t count, int bits)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        size_t points;
        const qb_result **list = series_of(f, formats[i].first->format, &points);
        found |= points > 1 && lb_type_bits(formats[i].first->problem.b.type) == bits;
        free(list);
    }
    return found;
}

void qb_report_rows(FILE *page, const qb_run *run)
{
    rows_figure f = {.page = page, .run = run};
    size_t count;
    choose_matrix(&f);
    if (!make_axes(&f))
        return;
    qb_ends *formats = qb_report_formats(run, &count);
    fprintf(page,
            "<figure><h3>Time against M</h3><p>One product with a weight matrix of %lld × %lld, "
            "for one token to thousands. The dashed line is the f32 baseline, measured in the same "
            "run on the same cores. Lower is faster; both axes are logarithmic.</p>\n<div "
            "class=\"panels\">\n",
            (long long)f.n, (long long)f.k);
    for (int bits = 8; bits > 0; bits /= 2)
        if (has_panel(&f, formats, count, bits))
            draw_panel(&f, formats, count, bits);
    fputs("</div></figure>\n", page);
    free(formats);
}
