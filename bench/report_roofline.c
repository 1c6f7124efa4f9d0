/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "report.h"

#define WIDTH 1080.0
#define HEIGHT 500.0
#define LEFT 78.0
#define RIGHT 150.0
#define TOP 20.0
#define BOTTOM 52.0

typedef struct roofline {
    FILE *page;
    const qb_run *run;
    qb_axis x, y; /* operations per byte, operations per second */
} roofline;

typedef struct ceiling {
    const char *name;
    double rate;
} ceiling;

#define CEILINGS 5
static void ceilings_of(const qb_run *run, ceiling *list)
{
    const lb_ceilings *c = &run->ceilings;
    const ceiling all[CEILINGS] = {{"f32", c->ops_f32},
                                   {"f16", c->ops_f16},
                                   {"bf16", c->ops_bf16},
                                   {"s8", c->ops_s8},
                                   {"b1", c->ops_b1}};
    memcpy(list, all, sizeof all);
}

static void extend(qb_axis *axis, double value)
{
    if (!(value > 0))
        return;
    axis->low = axis->low > 0 && axis->low < value ? axis->low : value;
    axis->high = axis->high > value ? axis->high : value;
}

static bool make_axes(roofline *f)
{
    ceiling list[CEILINGS];
    f->x = (qb_axis){0, 0, LEFT, WIDTH - RIGHT};
    f->y = (qb_axis){0, 0, HEIGHT - BOTTOM, TOP};
    for (size_t i = 0; i < f->run->count; i++) {
        const qb_result *r = &f->run->results[i];
        if (!r->kernel || !(r->ops > 0) || !(r->bytes > 0))
            continue;
        extend(&f->x, r->ops / r->bytes);
        extend(&f->y, r->ops / r->median);
    }
    if (!(f->x.low > 0) || !(f->run->ceilings.read_bytes > 0))
        return false;
    ceilings_of(f->run, list);
    for (int i = 0; i < CEILINGS; i++)
        extend(&f->y, 1.15 * list[i].rate);
    f->x.low *= 0.8;
    f->x.high *= 1.25;
    f->y.low *= 0.7;
    qb_axis_decimal(&f->x);
    qb_axis_decimal(&f->y);
    return true;
}

static void draw_grid(const roofline *f)
{
    char text[32];
    double ticks[QB_TICKS];
    size_t count = qb_ticks(&f->y, 0, ticks);
    for (size_t i = 0; i < count; i++) {
        double v = ticks[i], y = qb_at(&f->y, v);
        qb_line(f->page, f->x.from, y, f->x.to, y, "grid");
        qb_label(f->page, f->x.from - 8, y + 4, "tick end", "%s",
                 qb_rate_text(v, text, sizeof text));
    }
    count = qb_ticks(&f->x, 0, ticks);
    for (size_t i = 0; i < count; i++) {
        double v = ticks[i], x = qb_at(&f->x, v);
        qb_line(f->page, x, f->y.from, x, f->y.to, "grid");
        qb_label(f->page, x, f->y.from + 18, "tick middle", "%g", v);
    }
    qb_label(f->page, (f->x.from + f->x.to) / 2, HEIGHT - 10, "axis middle",
             "operations per byte moved");
}

/* Labels of ceilings stand at the right end, moved apart where two are close. */
static void draw_ceilings(const roofline *f)
{
    ceiling list[CEILINGS];
    double read = f->run->ceilings.read_bytes, top = 0, before = 1e9;
    char text[32];
    ceilings_of(f->run, list);
    for (int i = 0; i < CEILINGS; i++) {
        top = fmax(top, list[i].rate);
        for (int j = i; j > 0 && list[j].rate < list[j - 1].rate; j--) {
            ceiling t = list[j];
            list[j] = list[j - 1];
            list[j - 1] = t;
        }
    }
    for (int i = 0; i < CEILINGS; i++) {
        if (!(list[i].rate > 0))
            continue;
        double y = qb_at(&f->y, list[i].rate), ridge = qb_at(&f->x, list[i].rate / read);
        ridge = fmin(fmax(ridge, f->x.from), f->x.to);
        qb_line(f->page, ridge, y, f->x.to, y, "roof");
        double at = fmin(y + 4, before - 15);
        before = at;
        qb_label(f->page, f->x.to + 8, at, "note", "%s %s", list[i].name,
                 qb_rate_text(list[i].rate, text, sizeof text));
    }
    /* The slope, from the left edge (or the bottom) to the highest ceiling. */
    double x0 = fmax(f->x.low, f->y.low / read), x1 = fmin(f->x.high, top / read);
    if (!(x1 > x0))
        return;
    double px = qb_at(&f->x, x0), py = qb_at(&f->y, x0 * read);
    double qx = qb_at(&f->x, x1), qy = qb_at(&f->y, x1 * read);
    qb_line(f->page, px, py, qx, qy, "roof");
    fprintf(f->page,
            "<text class=\"note middle\" transform=\"translate(%.1f %.1f) rotate(%.1f)\">read "
            "%.3g GB/s</text>\n",
            px + 0.5 * (qx - px) - 6, py + 0.5 * (qy - py) - 8,
            atan2(qy - py, qx - px) * 180 / 3.14159265358979, read / 1e9);
}

/* Results of one format and matrix, in the order of the run, are joined by a thin line. */
static void draw_path(const roofline *f, size_t first)
{
    const qb_result *all = f->run->results, *r = &all[first];
    for (size_t i = 0; i < first; i++)
        if (all[i].kernel && strcmp(all[i].format, r->format) == 0 &&
            all[i].problem.n == r->problem.n && all[i].problem.k == r->problem.k)
            return;
    fprintf(f->page, "<polyline class=\"path %s\" points=\"", qb_width_style(&r->problem));
    for (size_t i = first; i < f->run->count; i++)
        if (all[i].kernel && strcmp(all[i].format, r->format) == 0 &&
            all[i].problem.n == r->problem.n && all[i].problem.k == r->problem.k)
            fprintf(f->page, "%.1f,%.1f ", qb_at(&f->x, all[i].ops / all[i].bytes),
                    qb_at(&f->y, all[i].ops / all[i].median));
    fputs("\"/>\n", f->page);
}

static bool drawable(const qb_result *r)
{
    return r->kernel && r->ops > 0 && r->bytes > 0;
}

void qb_report_roofline(FILE *page, const qb_run *run)
{
    roofline f = {.page = page, .run = run};
    if (!make_axes(&f))
        return;
    fprintf(page,
            "<figure><h3>Roofline</h3><p>Each mark is a problem: how much it computes per byte "
            "that it must move, and how fast it did. Lines are the limits of this device, measured "
            "in the same run. Lines between marks join the rows M of one format.</p>\n"
            "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"Roofline\">\n",
            WIDTH, HEIGHT);
    draw_grid(&f);
    draw_ceilings(&f);
    for (size_t i = 0; i < run->count; i++)
        if (drawable(&run->results[i]))
            draw_path(&f, i);
    for (size_t i = 0; i < run->count; i++) {
        const qb_result *r = &run->results[i];
        if (drawable(r))
            qb_mark(page, qb_at(&f.x, r->ops / r->bytes), qb_at(&f.y, r->ops / r->median), r);
    }
    fputs("</svg></figure>\n", page);
}
