/* SPDX-License-Identifier: Apache-2.0 */
/* qbench report: a page with plots, made of what `qbench run --json` wrote. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../host/embedded.h"
#include "qbench.h"
#include "report.h"

extern const lb_embedded qb_pages[]; /* report.html */

#define MOST_RUNS 16

/* ---- Cards: what each width is good for -------------------------------------------------------
 */

static double speed(const qb_result *r)
{
    return r->baseline > 0 ? r->baseline / r->median : 0;
}

static void write_speed(FILE *page, const qb_result *r)
{
    char name[64];
    fprintf(page, "<span class=\"row\"><em>%s</em>M = %lld<strong>%.3g×</strong></span>",
            qb_format_text(&r->problem, name, sizeof name), (long long)r->problem.m, speed(r));
}

/* The best of a width with few and with many rows. */
static void write_card(FILE *page, const qb_ends *formats, size_t count, int bits)
{
    const qb_result *memory = NULL, *small = NULL, *large = NULL;
    for (size_t i = 0; i < count; i++) {
        const qb_ends *e = &formats[i];
        if (lb_type_bits(e->first->problem.b.type) != bits)
            continue;
        if (!memory || e->first->f32_ratio > memory->f32_ratio)
            memory = e->first;
        if (!small || speed(e->small) > speed(small))
            small = e->small;
        if (!large || speed(e->large) > speed(large))
            large = e->large;
    }
    if (!memory)
        return;
    fprintf(page,
            "<div class=\"card %s\"><b>%d-bit weights</b><div class=\"big\">%.3g×</div><span>less "
            "memory than f32%s</span>",
            qb_width_style(&memory->problem), bits, memory->f32_ratio,
            speed(small) > 0 ? "; speed against f32:" : "");
    if (speed(small) > 0) {
        write_speed(page, small);
        if (large->problem.m != small->problem.m)
            write_speed(page, large);
    }
    fputs("</div>\n", page);
}

static void write_cards(FILE *page, const qb_run *run)
{
    size_t count;
    qb_ends *formats = qb_report_formats(run, &count);
    fputs("<div class=\"cards\">\n", page);
    for (int bits = 8; bits > 0; bits /= 2)
        write_card(page, formats, count, bits);
    fputs("</div>\n", page);
    free(formats);
}

/* ---- Device -----------------------------------------------------------------------------------
 */

static void write_entry(FILE *page, const char *name, const char *value)
{
    if (!value[0])
        return;
    fprintf(page, "<dt>%s</dt><dd>", name);
    qb_escape(page, value);
    fputs("</dd>\n", page);
}

static void ceilings_text(const lb_ceilings *c, char *text, size_t capacity)
{
    const struct {
        const char *name;
        double rate;
    } rates[] = {{"f32", c->ops_f32},
                 {"f16", c->ops_f16},
                 {"bf16", c->ops_bf16},
                 {"s8", c->ops_s8},
                 {"b1", c->ops_b1}};
    char one[32];
    snprintf(text, capacity, "read %.3g GB/s, copy %.3g GB/s", c->read_bytes / 1e9,
             c->copy_bytes / 1e9);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (rates[i].rate > 0)
            snprintf(text + strlen(text), capacity - strlen(text), ", %s %s", rates[i].name,
                     qb_rate_text(rates[i].rate, one, sizeof one));
}

static void write_device(FILE *page, const qb_run *run)
{
    char text[256];
    const lb_ceilings *c = &run->ceilings;
    fputs("<dl class=\"device\">\n", page);
    snprintf(text, sizeof text, "%s (%s)", run->device, run->selector);
    write_entry(page, "Device", text);
    snprintf(text, sizeof text, "%d compute units, %d MHz, %.3g GiB", run->compute_units,
             run->clock_mhz, run->memory_bytes / (1u << 30));
    write_entry(page, "Size", text);
    write_entry(page, "Driver", run->driver);
    write_entry(page, "Paths found", run->features);
    if (c->read_bytes > 0) {
        ceilings_text(c, text, sizeof text);
        write_entry(page, "Ceilings", text);
    }
    write_entry(page, "f32 baseline", run->baseline);
    snprintf(text, sizeof text, "lowbit %s, %s", run->version, run->date);
    write_entry(page, "Measured", text);
    fputs("</dl>\n", page);
}

/* ---- Table ------------------------------------------------------------------------------------
 */

static void write_row(FILE *page, const qb_run *run, const qb_result *r)
{
    char time[32], rate[32];
    bool memory_bound;
    fputs("<tr><td><code>", page);
    qb_escape(page, r->line);
    fputs("</code></td>", page);
    if (!r->kernel) {
        fputs("<td class=\"left\" colspan=\"8\">did not run</td></tr>\n", page);
        return;
    }
    fputs("<td class=\"left\">", page);
    qb_escape(page, r->kernel);
    if (r->tuned)
        fputs(r->parameters[0] ? ", tuned: " : ", tuned", page);
    qb_escape(page, r->parameters);
    fprintf(page, "</td><td>%s</td><td>%.0f %%</td><td>%s</td>",
            qb_time_text(r->median, time, sizeof time), 50 * (r->high - r->low) / r->median,
            qb_rate_text(r->ops / r->median, rate, sizeof rate));
    double share =
        qb_share(&run->ceilings, &r->problem, r->ops, r->bytes, r->median, &memory_bound);
    if (share > 0)
        fprintf(page, "<td>%.0f %% %s</td>", 100 * share, memory_bound ? "mem" : "ops");
    else
        fputs("<td></td>", page);
    if (r->joules > 0)
        fprintf(page, "<td>%.3g</td>", r->ops / r->joules * 1e-12);
    else
        fputs("<td></td>", page);
    fprintf(page, "<td>%.3g×</td>", r->f32_ratio);
    if (r->baseline > 0)
        fprintf(page, "<td>%.3g×</td>", speed(r));
    else
        fputs("<td></td>", page);
    fprintf(page, "<td class=\"%s\">%s</td></tr>\n",
            !r->checked ? ""
            : r->passed ? "good"
                        : "bad",
            !r->checked  ? "not checked"
            : !r->passed ? "wrong"
            : r->exact   ? "exact"
                         : "within bound");
}

static void write_table(FILE *page, const qb_run *run)
{
    fprintf(page,
            "<details><summary>All %zu results</summary><table>\n<tr><th>problem</th><th "
            "class=\"left\">kernel</th><th>time</th><th>±</th><th>rate</th><th>of the "
            "ceiling</th><th>TOPS/W</th><th>memory</th><th>speed</th><th>check</th></tr>\n",
            run->count);
    for (size_t i = 0; i < run->count; i++)
        write_row(page, run, &run->results[i]);
    fputs("</table></details>\n", page);
}

/* ---- Page -------------------------------------------------------------------------------------
 */

static const char legend[] =
    "<div class=\"legend\"><span><i class=\"b8\"></i>8-bit weights</span><span><i "
    "class=\"b4\"></i>4-bit</span><span><i class=\"b2\"></i>2-bit and ternary</span><span><i "
    "class=\"b1\"></i>1-bit</span><span><i class=\"round\"></i>integer activations</span><span><i "
    "class=\"square\"></i>float activations</span><span><i class=\"diamond\"></i>1-bit "
    "activations</span></div>\n";

static void write_run(FILE *page, const qb_run *run, bool several)
{
    size_t checked = 0, right = 0;
    for (size_t i = 0; i < run->count; i++) {
        checked += run->results[i].checked;
        right += run->results[i].passed;
    }
    if (several) {
        fputs("<h2>", page);
        qb_escape(page, run->device);
        fputs("</h2>\n", page);
    }
    fprintf(page, "<p>%zu problems on ", run->count);
    qb_escape(page, run->device);
    fprintf(page, "; %zu results compared with the reference, %zu right.", checked, right);
    if (run->times > 1)
        fprintf(page,
                " Of %zu runs, each problem, each size of the baseline and each ceiling shows its "
                "fastest.",
                run->times);
    fputs("</p>\n", page);
    write_cards(page, run);
    qb_report_bars(page, run);
    fputs(legend, page);
    qb_report_rows(page, run);
    qb_report_roofline(page, run);
    write_device(page, run);
    write_table(page, run);
}

static bool write_page(const char *path, qb_run *const *runs, size_t count)
{
    static const char mark[] = "<!--BODY-->\n";
    const char *head = (const char *)qb_pages[0].data, *body = strstr(head, mark);
    FILE *page = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (!page || !body) {
        fprintf(stderr, "qbench: cannot open %s: %s\n", path, strerror(errno));
        return false;
    }
    fwrite(head, 1, (size_t)(body - head), page);
    for (size_t i = 0; i < count; i++)
        write_run(page, runs[i], count > 1);
    fputs(body + sizeof mark - 1, page);
    bool good = fflush(page) == 0 && !ferror(page);
    if (page != stdout)
        good = fclose(page) == 0 && good;
    if (!good)
        fprintf(stderr, "qbench: cannot write %s: %s\n", path, strerror(errno));
    return good;
}

int qb_command_report(qb_options *o)
{
    qb_run runs[MOST_RUNS], *shown[MOST_RUNS];
    size_t loaded = 0, count = 0;
    char why[512] = "";
    int code = QB_EXIT_OK;
    const char *path = o->output ? o->output : "report.html";
    if (o->lines.count == 0 || o->lines.count > MOST_RUNS) {
        fprintf(stderr, "qbench: report takes 1 to %d files of 'qbench run --json', not %zu\n",
                MOST_RUNS, o->lines.count);
        return QB_EXIT_USAGE;
    }
    for (; loaded < o->lines.count && code == QB_EXIT_OK; loaded++)
        if (!qb_run_load(o->lines.line[loaded], &runs[loaded], why, sizeof why)) {
            fprintf(stderr, "qbench: %s\n", why);
            code = QB_EXIT_USAGE;
        }
    /* Runs of one device make one section. */
    for (size_t i = 0; i < loaded && code == QB_EXIT_OK; i++) {
        bool merged = false;
        for (size_t j = 0; j < count && !merged; j++)
            merged = qb_run_merge(shown[j], &runs[i]);
        if (!merged)
            shown[count++] = &runs[i];
    }
    if (code == QB_EXIT_OK && !write_page(path, shown, count))
        code = QB_EXIT_USAGE;
    if (code == QB_EXIT_OK && !o->quiet && strcmp(path, "-") != 0)
        printf("wrote %s\n", path);
    while (loaded > 0)
        qb_run_free(&runs[--loaded]);
    return code;
}
