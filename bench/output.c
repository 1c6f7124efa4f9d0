/* SPDX-License-Identifier: Apache-2.0 */
/* The table that people read, and the JSON and CSV that programs read. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "qbench.h"
#include "terminal.h"

struct qb_output {
    const qb_options *options;
    bool table;
    int width; /* of the problem column */
    FILE *csv;
    json_t *json, *results;
};

/* ---- Words ----------------------------------------------------------------------------------- */

const char *qb_seconds(double seconds, char *text, size_t capacity)
{
    const char *unit = "s";
    double value = seconds;
    if (seconds < 1e-3) {
        value = seconds * 1e6;
        unit = "us";
    } else if (seconds < 1) {
        value = seconds * 1e3;
        unit = "ms";
    }
    snprintf(text, capacity, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, unit);
    return text;
}

const char *qb_check_text(const qb_check *check, char *text, size_t capacity)
{
    const lb_verify_report *r = &check->report;
    if (r->wrong)
        snprintf(text, capacity, "WRONG: %" PRIu64 " of %" PRIu64, r->wrong, r->checked);
    else if (check->touched)
        snprintf(text, capacity, "WRONG: wrote %" PRIu64 " bytes outside of D", check->touched);
    else
        snprintf(text, capacity, r->exact ? "exact" : "within bound");
    return text;
}

void qb_progress(const qb_options *options, size_t done, size_t total, const char *what)
{
    enum { WIDTH = 30 };
    if (options->quiet || !isatty(STDERR_FILENO))
        return;
    if (done >= total) {
        fprintf(stderr, "\r\033[K");
        return;
    }
    int full = (int)(done * WIDTH / total);
    fprintf(stderr, "\r\033[K[%.*s%*s] %zu/%zu %.60s", full, "##############################",
            WIDTH - full, "", done, total, what);
    fflush(stderr);
}

/* ---- Table ----------------------------------------------------------------------------------- */

void qb_ceilings_print(const lb_ceilings *c)
{
    const struct {
        const char *name;
        double rate;
    } rates[] = {{"f32", c->ops_f32},
                 {"f16", c->ops_f16},
                 {"bf16", c->ops_bf16},
                 {"s8", c->ops_s8},
                 {"b1", c->ops_b1}};
    printf("ceilings measured: read %.1f GB/s, copy %.1f GB/s;", c->read_bytes / 1e9,
           c->copy_bytes / 1e9);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (rates[i].rate > 0)
            printf(" %s %.3g", rates[i].name, rates[i].rate / 1e12);
    printf(" TOPS\n");
}

static void table_head(qb_output *o, const lb_device_info *device, const lb_ceilings *c,
                       const char *baseline)
{
    printf("lowbit %s on %s: %s, %s\n", lb_version_string(), device->selector, device->name,
           device->driver);
    if (c->read_bytes > 0)
        qb_ceilings_print(c);
    printf("f32 baseline: %s\n\n", baseline);
    o->width = 7;
    for (size_t i = 0; i < o->options->lines.count; i++) {
        int length = (int)strlen(o->options->lines.line[i]);
        o->width = length > o->width ? length : o->width;
    }
    fputs(qb_ink_on(QB_STRONG), stdout);
    printf("%-*s  %-20s %9s %5s %8s %8s %8s %7s %7s  %s\n", o->width, "problem", "kernel", "time",
           "+-", "TOPS", "GB/s", "ceiling", "memory", "speed", "check");
    printf("%-*s  %-20s %9s %5s %8s %8s %8s %7s %7s\n", o->width, "", "", "median", "", "", "", "",
           "vs f32", "vs f32");
    fputs(qb_ink_off(QB_STRONG), stdout);
}

static const char *ratio(double value, char *text, size_t capacity)
{
    if (value > 0)
        snprintf(text, capacity, "%.*fx", value < 10 ? 2 : 1, value);
    else
        snprintf(text, capacity, "-");
    return text;
}

static void table_row(const qb_output *o, const qb_record *r)
{
    char time[32], memory[32], speed[32], ceiling[32] = "-", check[64] = "not checked";
    qb_progress(o->options, 1, 1, ""); /* the bar makes room */
    printf("%-*s  ", o->width, r->line);
    if (r->status != LB_OK || r->skipped) {
        printf("%s%s%s\n", qb_ink_on(QB_FAINT), r->error, qb_ink_off(QB_FAINT));
        return;
    }
    double t = r->time.median;
    qb_ink ink = !r->checked ? QB_FAINT : qb_check_passed(&r->check) ? QB_GOOD : QB_BAD;
    if (r->ceiling > 0)
        snprintf(ceiling, sizeof ceiling, "%.0f%% %s", 100 * r->ceiling,
                 r->memory_bound ? "mem" : "ops");
    if (r->checked)
        qb_check_text(&r->check, check, sizeof check);
    printf("%-20s %9s %4.0f%% %8.3g %8.3g %8s %7s %7s  %s%s%s%s%s\n", r->plan.kernel,
           qb_seconds(t, time, sizeof time), 50 * (r->time.high - r->time.low) / t,
           r->ops / t / 1e12, r->bytes / t / 1e9, ceiling,
           ratio(r->f32_ratio, memory, sizeof memory),
           ratio(r->baseline.median / t, speed, sizeof speed), qb_ink_on(ink), check,
           qb_ink_off(ink), r->plan.proven ? "" : ", unproven", r->plan.tuned ? ", tuned" : "");
    fflush(stdout);
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void csv_head(FILE *csv)
{
    fprintf(csv, "problem,status,kernel,median_s,p10_s,p90_s,samples,ops,bytes,ceiling,f32_ratio,"
                 "baseline_s,exact,checked,wrong,worst\n");
}

/* Problem lines and names have no commas or quotes; the status is a name. */
static void csv_row(FILE *csv, const qb_record *r)
{
    bool ran = r->status == LB_OK && !r->skipped;
    fprintf(csv, "%s,%s,%s", r->line, r->skipped ? "skipped" : lb_status_string(r->status),
            ran ? r->plan.kernel : "");
    if (!ran) {
        fprintf(csv, ",,,,,,,,,,,,,\n");
        return;
    }
    fprintf(csv, ",%.9g,%.9g,%.9g,%ld,%.9g,%.9g,%.4g,%.4g,%.9g,%d", r->time.median, r->time.low,
            r->time.high, r->time.samples, r->ops, r->bytes, r->ceiling, r->f32_ratio,
            r->baseline.median, (int)r->plan.exact);
    if (r->checked)
        fprintf(csv, ",%" PRIu64 ",%" PRIu64 ",%.4g\n", r->check.report.checked,
                r->check.report.wrong + r->check.touched, r->check.report.worst);
    else
        fprintf(csv, ",,,\n");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *json_of_time(const qb_time *t)
{
    json_t *j = json_object();
    put(j, "median", json_real(t->median));
    put(j, "p10", json_real(t->low));
    put(j, "p90", json_real(t->high));
    put(j, "samples", json_integer(t->samples));
    put(j, "runs_per_sample", json_integer(t->runs));
    return j;
}

static void json_head(qb_output *o, const lb_device_info *d, const lb_ceilings *c,
                      const char *baseline)
{
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *device = json_object(), *ceilings = json_object();
    put(device, "selector", json_string(d->selector));
    put(device, "name", json_string(d->name));
    put(device, "vendor", json_string(d->vendor));
    put(device, "driver", json_string(d->driver));
    put(device, "features", json_string(d->features));
    put(device, "compute_units", json_integer(d->compute_units));
    put(device, "clock_mhz", json_integer(d->clock_mhz));
    put(device, "memory_bytes", json_integer((json_int_t)d->global_bytes));
    put(ceilings, "read_bytes_per_s", json_real(c->read_bytes));
    put(ceilings, "copy_bytes_per_s", json_real(c->copy_bytes));
    put(ceilings, "ops_f32_per_s", json_real(c->ops_f32));
    put(ceilings, "ops_s8_per_s", json_real(c->ops_s8));
    put(ceilings, "ops_b1_per_s", json_real(c->ops_b1));
    put(ceilings, "ops_f16_per_s", json_real(c->ops_f16));
    put(ceilings, "ops_bf16_per_s", json_real(c->ops_bf16));
    o->json = json_object();
    o->results = json_array();
    put(o->json, "lowbit", json_string(lb_version_string()));
    put(o->json, "date", json_string(date));
    put(o->json, "device", device);
    put(o->json, "ceilings", ceilings);
    put(o->json, "baseline", json_string(baseline));
    put(o->json, "overlap", json_boolean(o->options->overlap));
    put(o->json, "results", o->results);
}

static json_t *json_of_check(const qb_check *check)
{
    const lb_verify_report *r = &check->report;
    json_t *j = json_object();
    put(j, "passed", json_boolean(qb_check_passed(check)));
    put(j, "exact", json_boolean(r->exact));
    put(j, "elements", json_integer((json_int_t)r->checked));
    put(j, "wrong", json_integer((json_int_t)r->wrong));
    put(j, "touched_bytes", json_integer((json_int_t)check->touched));
    put(j, "worst_share_of_bound", json_real(r->worst));
    return j;
}

static void json_row(qb_output *o, const qb_record *r)
{
    json_t *j = json_object();
    put(j, "problem", json_string(r->line));
    put(j, "status", json_string(r->skipped ? "skipped" : lb_status_string(r->status)));
    if (r->status != LB_OK || r->skipped) {
        put(j, "error", json_string(r->error));
    } else {
        double t = r->time.median;
        put(j, "kernel", json_string(r->plan.kernel));
        put(j, "parameters", json_string(r->parameters));
        put(j, "tuned", json_boolean(r->plan.tuned));
        put(j, "layout", json_string(r->plan.layout));
        put(j, "proven", json_boolean(r->plan.proven));
        put(j, "predicted_seconds", json_real(r->plan.predicted_seconds));
        put(j, "seconds", json_of_time(&r->time));
        put(j, "ops", json_real(r->ops));
        put(j, "bytes", json_real(r->bytes));
        put(j, "tops", json_real(r->ops / t / 1e12));
        put(j, "gb_per_s", json_real(r->bytes / t / 1e9));
        put(j, "joules", r->joules > 0 ? json_real(r->joules) : json_null());
        put(j, "share_of_ceiling", json_real(r->ceiling));
        put(j, "bound", json_string(r->memory_bound ? "memory" : "ops"));
        put(j, "weights_bytes", json_integer((json_int_t)r->plan.weights_bytes));
        put(j, "f32_bytes_ratio", json_real(r->f32_ratio));
        put(j, "baseline", r->baseline.median > 0 ? json_of_time(&r->baseline) : json_null());
        put(j, "speedup", r->baseline.median > 0 ? json_real(r->baseline.median / t) : json_null());
        put(j, "check", r->checked ? json_of_check(&r->check) : json_null());
    }
    json_array_append_new(o->results, j);
}

/* ---- All ------------------------------------------------------------------------------------- */

static bool is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

qb_output *qb_output_open(const qb_options *options, const lb_device_info *device,
                          const lb_ceilings *ceilings, const char *baseline)
{
    qb_output *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->options = options;
    o->table = !options->quiet && !is_stdout(options->json) && !is_stdout(options->csv);
    if (options->csv) {
        o->csv = is_stdout(options->csv) ? stdout : fopen(options->csv, "w");
        if (!o->csv) {
            fprintf(stderr, "qbench: cannot open %s: %s\n", options->csv, strerror(errno));
            free(o);
            return NULL;
        }
        csv_head(o->csv);
    }
    if (options->json)
        json_head(o, device, ceilings, baseline);
    if (o->table)
        table_head(o, device, ceilings, baseline);
    return o;
}

void qb_output_add(qb_output *o, const qb_record *r)
{
    if (o->table)
        table_row(o, r);
    if (o->csv)
        csv_row(o->csv, r);
    if (o->json)
        json_row(o, r);
}

bool qb_output_close(qb_output *o)
{
    bool good = true;
    if (o->csv) {
        good = fflush(o->csv) == 0 && !ferror(o->csv);
        if (o->csv != stdout)
            good = fclose(o->csv) == 0 && good;
        if (!good)
            fprintf(stderr, "qbench: cannot write %s: %s\n", o->options->csv, strerror(errno));
    }
    if (o->json) {
        size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(9);
        bool written;
        if (is_stdout(o->options->json))
            written = json_dumpf(o->json, stdout, flags) == 0 && putchar('\n') == '\n';
        else
            written = json_dump_file(o->json, o->options->json, flags) == 0;
        if (!written)
            fprintf(stderr, "qbench: cannot write %s: %s\n", o->options->json, strerror(errno));
        good &= written;
        json_decref(o->json);
    }
    free(o);
    return good;
}
