/* SPDX-License-Identifier: Apache-2.0 */
#include "plot.h"

#include <math.h>
#include <stdarg.h>

/* ---- Axes ------------------------------------------------------------------------------------ */

double qb_at(const qb_axis *axis, double value)
{
    return axis->from +
           log(value / axis->low) / log(axis->high / axis->low) * (axis->to - axis->from);
}

#define LONG_AXIS 3000.0 /* beyond, ticks stand at powers of ten alone */

void qb_axis_decimal(qb_axis *axis)
{
    static const double steps[] = {5, 2, 1};
    double low = pow(10, floor(log10(axis->low))), high = pow(10, floor(log10(axis->high)));
    if (axis->high / axis->low > LONG_AXIS) {
        axis->low = low;
        axis->high = axis->high > high * (1 + 1e-9) ? 10 * high : high;
        return;
    }
    for (int i = 0; i < 3; i++)
        if (steps[i] * low <= axis->low * (1 + 1e-9)) {
            axis->low = steps[i] * low;
            break;
        }
    for (int i = 2; i >= -1; i--) {
        double step = i < 0 ? 10 : steps[i];
        if (step * high >= axis->high * (1 - 1e-9)) {
            axis->high = step * high;
            break;
        }
    }
    if (axis->high <= axis->low)
        axis->high = 10 * axis->low;
}

void qb_axis_binary(qb_axis *axis)
{
    axis->low = exp2(floor(log2(axis->low) + 1e-9));
    axis->high = exp2(ceil(log2(axis->high) - 1e-9));
    if (axis->high <= axis->low)
        axis->high = 2 * axis->low;
}

/* 1, 2, 5, 10, ...; powers of ten only where an axis is long. */
static double next_decimal(const qb_axis *axis, double value)
{
    double power = pow(10, floor(log10(value) + 1e-9)), step = value / power;
    if (axis->high / axis->low > LONG_AXIS)
        return 10 * power;
    return power * (step < 1.5 ? 2 : step < 3 ? 5 : 10);
}

size_t qb_ticks(const qb_axis *axis, double factor, double *ticks)
{
    size_t count = 0;
    double value = axis->low;
    while (count < QB_TICKS && value <= axis->high * 1.001) {
        ticks[count++] = value;
        value = factor > 0 ? factor * value : next_decimal(axis, value);
    }
    return count;
}

/* ---- Elements -------------------------------------------------------------------------------- */

void qb_escape(FILE *page, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<': fputs("&lt;", page); break;
        case '>': fputs("&gt;", page); break;
        case '&': fputs("&amp;", page); break;
        case '"': fputs("&quot;", page); break;
        default: fputc(*text, page);
        }
}

void qb_label(FILE *page, double x, double y, const char *style, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(page, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, style);
    qb_escape(page, text);
    fputs("</text>\n", page);
}

void qb_line(FILE *page, double x0, double y0, double x1, double y1, const char *style)
{
    fprintf(page, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x0, y0,
            x1, y1, style);
}

void qb_mark(FILE *page, double x, double y, const qb_result *r)
{
    char time[32], rate[32];
    const char *style = qb_width_style(&r->problem);
    int bits = lb_type_bits(r->problem.a.type);
    if (bits == 1)
        fprintf(page, "<path d=\"M%.1f %.1fl5.4 5.4 -5.4 5.4 -5.4 -5.4z\" class=\"mark %s\">", x,
                y - 5.4, style);
    else if (bits > 8)
        fprintf(page,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"8\" height=\"8\" rx=\"1\" class=\"mark %s\">",
                x - 4, y - 4, style);
    else
        fprintf(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.4\" class=\"mark %s\">", x, y, style);
    fputs("<title>", page);
    qb_escape(page, r->line);
    fprintf(page, "\n%s, %s", qb_time_text(r->median, time, sizeof time),
            qb_rate_text(r->ops / r->median, rate, sizeof rate));
    if (r->baseline > 0)
        fprintf(page, ", %.3g× f32", r->baseline / r->median);
    fprintf(page, "\nkernel %s</title>", r->kernel);
    fputs(bits == 1 ? "</path>\n" : bits > 8 ? "</rect>\n" : "</circle>\n", page);
}

/* ---- Words ----------------------------------------------------------------------------------- */

static const char *scaled(double value, const char *const *units, char *text, size_t capacity)
{
    int unit = 0;
    while (value >= 999.5 && units[unit + 1]) {
        value /= 1000;
        unit++;
    }
    /* 950, 95, 9.5; but 2, not 2.00 */
    if (value >= 100)
        snprintf(text, capacity, "%.0f %s", value, units[unit]);
    else
        snprintf(text, capacity, "%.3g %s", value, units[unit]);
    return text;
}

const char *qb_time_text(double seconds, char *text, size_t capacity)
{
    static const char *const units[] = {"ns", "µs", "ms", "s", NULL};
    return scaled(1e9 * seconds, units, text, capacity);
}

const char *qb_rate_text(double per_second, char *text, size_t capacity)
{
    static const char *const units[] = {"MOPS", "GOPS", "TOPS", "POPS", NULL};
    return scaled(1e-6 * per_second, units, text, capacity);
}

const char *qb_format_text(const lb_problem *p, char *text, size_t capacity)
{
    char group[32] = "";
    if (p->b.scale == LB_PER_GROUP)
        snprintf(group, sizeof group, " g%d", p->b.group);
    snprintf(text, capacity, "%s × %s%s%s", lb_type_name(p->a.type), lb_type_name(p->b.type), group,
             p->b.zero ? " z" : "");
    return text;
}

const char *qb_width_style(const lb_problem *p)
{
    switch (lb_type_bits(p->b.type)) {
    case 8: return "b8";
    case 4: return "b4";
    case 2: return "b2";
    default: return "b1";
    }
}
