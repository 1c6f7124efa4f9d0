/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define WIDTH 1080.0
#define LEFT 172.0 /* names of the formats */
#define GAP 36.0   /* between panels */
#define ROW 21.0   /* height of a row */
#define REST 9.0   /* between widths */
#define TOP 62.0
#define PANELS 3

/* "4x to 8x in practice, 16x in theory": what the literature on low-bit products promises against
 * full precision. */
#define PRACTICE_LOW 4.0
#define PRACTICE_HIGH 8.0
#define THEORY 16.0

/* ---- Formats --------------------------------------------------------------------------------- */

static int by_width(const void *x, const void *y)
{
    const qb_ends *a = x, *b = y;
    int wide = lb_type_bits(a->first->problem.b.type),
        other = lb_type_bits(b->first->problem.b.type);
    if (wide != other)
        return wide < other ? 1 : -1;
    return (a->first > b->first) - (a->first < b->first); /* as in the run */
}

qb_ends *qb_report_formats(const qb_run *run, size_t *count)
{
    qb_ends *list = calloc(run->count + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; list && i < run->count; i++) {
        const qb_result *r = &run->results[i];
        size_t at = 0;
        if (!r->kernel)
            continue;
        while (at < *count && strcmp(list[at].first->format, r->format) != 0)
            at++;
        if (at == *count)
            list[(*count)++] = (qb_ends){r, r, r};
        if (r->problem.m < list[at].small->problem.m)
            list[at].small = r;
        if (r->problem.m > list[at].large->problem.m)
            list[at].large = r;
    }
    if (list)
        qsort(list, *count, sizeof *list, by_width);
    return list;
}

/* ---- Panels ---------------------------------------------------------------------------------- */

typedef struct bars {
    FILE *page;
    double bottom;
    qb_axis x[PANELS];
} bars;

static double speed(const qb_result *r)
{
    return r->baseline > 0 ? r->baseline / r->median : 0;
}

static double value_of(const qb_ends *e, int panel)
{
    return panel == 0 ? e->first->f32_ratio : speed(panel == 1 ? e->small : e->large);
}

static void make_axes(bars *b, const qb_ends *formats, size_t count)
{
    double low = 1, high = 2 * THEORY, width = (WIDTH - LEFT - PANELS * GAP) / PANELS;
    for (size_t i = 0; i < count; i++)
        for (int panel = 0; panel < PANELS; panel++) {
            double v = value_of(&formats[i], panel);
            low = v > 0 ? fmin(low, v) : low;
            high = fmax(high, 1.1 * v);
        }
    for (int panel = 0; panel < PANELS; panel++) {
        double from = LEFT + panel * (width + GAP);
        b->x[panel] = (qb_axis){low, high, from, from + width};
        qb_axis_binary(&b->x[panel]);
    }
}

static void draw_panel_frame(const bars *b, int panel, const char *head, const char *under)
{
    const qb_axis *x = &b->x[panel];
    double from = qb_at(x, PRACTICE_LOW), to = qb_at(x, PRACTICE_HIGH), theory = qb_at(x, THEORY);
    qb_label(b->page, x->from, 16, "head", "%s", head);
    qb_label(b->page, x->from, 32, "note", "%s", under);
    fprintf(b->page,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"band\"/>\n", from,
            TOP - 6, to - from, b->bottom - TOP + 6);
    double ticks[QB_TICKS];
    size_t count = qb_ticks(x, 2, ticks);
    for (size_t i = 0; i < count; i++) {
        double v = ticks[i], at = qb_at(x, v);
        qb_line(b->page, at, TOP - 6, at, b->bottom, v == 1 ? "one" : "grid");
        qb_label(b->page, at, b->bottom + 16, "tick middle",
                 v == 0.5    ? "½"
                 : v == 0.25 ? "¼"
                             : "%g",
                 v);
    }
    qb_line(b->page, theory, TOP - 6, theory, b->bottom, "theory");
    qb_label(b->page, (from + to) / 2, TOP - 11, "small middle", "4–8× in practice");
    qb_label(b->page, theory + 3, TOP - 11, "small", "16× in theory");
}

static void draw_bar(const bars *b, int panel, double y, double value, const qb_result *r)
{
    const qb_axis *x = &b->x[panel];
    if (!(value > 0)) {
        qb_label(b->page, qb_at(x, 1) + 6, y + 4, "tick", "no baseline");
        return;
    }
    double one = qb_at(x, 1), end = qb_at(x, value), from = fmin(one, end);
    fprintf(b->page,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"13\" rx=\"2.5\" class=\"bar "
            "%s\"><title>",
            from, y - 6.5, fmax(fabs(end - one), 1), qb_width_style(&r->problem));
    qb_escape(b->page, r->line);
    fputs("</title></rect>\n", b->page);
    qb_label(b->page, fmax(end, one) + 5, y + 4, "value", value < 9.95 ? "%.1f×" : "%.0f×", value);
}

/* Against f16 weights the memory is half of that against f32: a tick inside the bar. */
static void draw_f16(const bars *b, double y, double value)
{
    if (value > 0)
        qb_line(b->page, qb_at(&b->x[0], value / 2), y - 6.5, qb_at(&b->x[0], value / 2), y + 6.5,
                "half");
}

static void rows_text(const qb_ends *formats, size_t count, bool large, char *text, size_t capacity)
{
    int64_t least = INT64_MAX, most = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t m = large ? formats[i].large->problem.m : formats[i].small->problem.m;
        least = m < least ? m : least;
        most = m > most ? m : most;
    }
    if (least == most)
        snprintf(text, capacity, "times faster than f32, M = %lld", (long long)most);
    else
        snprintf(text, capacity, "times faster than f32, M = %lld to %lld", (long long)least,
                 (long long)most);
}

void qb_report_bars(FILE *page, const qb_run *run)
{
    size_t count;
    qb_ends *formats = qb_report_formats(run, &count);
    bars b = {.page = page};
    int width = 0;
    char few[64], many[64], name[64];
    b.bottom = TOP + ROW * (double)count;
    for (size_t i = 1; i < count; i++)
        if (lb_type_bits(formats[i].first->problem.b.type) !=
            lb_type_bits(formats[i - 1].first->problem.b.type))
            b.bottom += REST;
    if (count == 0) {
        free(formats);
        return;
    }
    make_axes(&b, formats, count);
    rows_text(formats, count, false, few, sizeof few);
    rows_text(formats, count, true, many, sizeof many);
    fprintf(page,
            "<figure><h3>Memory and speed per bit width</h3><p>Factors against f32, on logarithmic "
            "axes; the tick inside a memory bar is the factor against f16. The band and the line "
            "are what the literature promises of low-bit products: 4 to 8 times in practice, 16 "
            "times in theory.</p>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
            "aria-label=\"Memory and speed\">\n",
            WIDTH, b.bottom + 26);
    draw_panel_frame(&b, 0, "Weights' memory", "times smaller than f32, scales included");
    draw_panel_frame(&b, 1, "Speed, fewest rows", few);
    draw_panel_frame(&b, 2, "Speed, most rows", many);
    double y = TOP + ROW / 2;
    width = 0;
    for (size_t i = 0; i < count; i++) {
        const qb_ends *e = &formats[i];
        int bits = lb_type_bits(e->first->problem.b.type);
        if (bits != width) {
            y += width ? REST : 0;
            width = bits;
            qb_label(page, 0, y + 4, "group", "%d-bit", bits);
        }
        qb_label(page, LEFT - 10, y + 4, "series end", "%s",
                 qb_format_text(&e->first->problem, name, sizeof name));
        draw_bar(&b, 0, y, value_of(e, 0), e->first);
        draw_f16(&b, y, value_of(e, 0));
        draw_bar(&b, 1, y, value_of(e, 1), e->small);
        draw_bar(&b, 2, y, value_of(e, 2), e->large);
        y += ROW;
    }
    fputs("</svg></figure>\n", page);
    free(formats);
}
