/* SPDX-License-Identifier: Apache-2.0 */
#include "results.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key)); /* 0 where it is none */
}

static void load_device(qb_run *run, const json_t *all)
{
    const json_t *d = json_object_get(all, "device"), *c = json_object_get(all, "ceilings");
    run->version = text(all, "lowbit");
    run->date = text(all, "date");
    run->baseline = text(all, "baseline");
    run->selector = text(d, "selector");
    run->device = text(d, "name");
    run->vendor = text(d, "vendor");
    run->driver = text(d, "driver");
    run->features = text(d, "features");
    run->compute_units = (int)number(d, "compute_units");
    run->clock_mhz = (int)number(d, "clock_mhz");
    run->memory_bytes = number(d, "memory_bytes");
    run->ceilings = (lb_ceilings)LB_CEILINGS_INIT;
    run->ceilings.read_bytes = number(c, "read_bytes_per_s");
    run->ceilings.copy_bytes = number(c, "copy_bytes_per_s");
    run->ceilings.ops_f32 = number(c, "ops_f32_per_s");
    run->ceilings.ops_s8 = number(c, "ops_s8_per_s");
    run->ceilings.ops_b1 = number(c, "ops_b1_per_s");
    run->ceilings.ops_f16 = number(c, "ops_f16_per_s");
    run->ceilings.ops_bf16 = number(c, "ops_bf16_per_s");
}

/* The format is the line's first word; kept beside it in the JSON, which owns all strings. */
static bool load_format(json_t *object, qb_result *r)
{
    char format[512];
    size_t length = strcspn(r->line, " ");
    snprintf(format, sizeof format, "%.*s", (int)(length < 500 ? length : 500), r->line);
    if (json_object_set_new(object, "format", json_string(format)) != 0)
        return false;
    r->format = text(object, "format");
    return true;
}

static bool load_result(json_t *object, qb_result *r)
{
    const json_t *seconds = json_object_get(object, "seconds");
    const json_t *check = json_object_get(object, "check");
    *r = (qb_result){.line = text(object, "problem")};
    if (lb_problem_parse(r->line, &r->problem) != LB_OK || !load_format(object, r))
        return false;
    r->median = number(seconds, "median");
    if (!(r->median > 0))
        return true; /* refused, skipped or failed: only the line counts */
    r->kernel = text(object, "kernel");
    r->parameters = text(object, "parameters");
    r->tuned = json_is_true(json_object_get(object, "tuned"));
    r->low = number(seconds, "p10");
    r->high = number(seconds, "p90");
    r->samples = (long)number(seconds, "samples");
    r->ops = number(object, "ops");
    r->bytes = number(object, "bytes");
    r->joules = number(object, "joules");
    r->f32_ratio = number(object, "f32_bytes_ratio");
    r->baseline = number(json_object_get(object, "baseline"), "median");
    r->checked = json_is_object(check);
    r->passed = json_is_true(json_object_get(check, "passed"));
    r->exact = json_is_true(json_object_get(check, "exact"));
    return true;
}

bool qb_run_load(const char *path, qb_run *run, char *why, size_t capacity)
{
    json_error_t error;
    *run = (qb_run){.path = path, .times = 1};
    json_t *all = json_load_file(path, 0, &error);
    if (!all) {
        snprintf(why, capacity, "%s: %s (line %d)", path, error.text, error.line);
        return false;
    }
    run->json = all;
    json_t *results = json_object_get(all, "results");
    size_t count = json_array_size(results);
    if (!json_is_array(results) || count == 0) {
        snprintf(why, capacity, "%s has no results; it must come from 'qbench run --json'", path);
        return false;
    }
    load_device(run, all);
    run->results = calloc(count, sizeof *run->results);
    if (!run->results) {
        snprintf(why, capacity, "%s: no memory for %zu results", path, count);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (load_result(json_array_get(results, i), &run->results[run->count]))
            run->count++;
        else {
            snprintf(why, capacity, "%s: result %zu is of no problem line: %s", path, i,
                     lb_last_error());
            return false;
        }
    return true;
}

void qb_run_free(qb_run *run)
{
    free(run->results);
    json_decref(run->json);
}

double qb_share(const lb_ceilings *c, const lb_problem *p, double ops, double bytes, double seconds,
                bool *memory_bound)
{
    double rate = p->a.type == LB_TYPE_F32                             ? c->ops_f32
                  : p->a.type == LB_TYPE_F16                           ? c->ops_f16
                  : p->a.type == LB_TYPE_BF16                          ? c->ops_bf16
                  : p->a.type == LB_TYPE_B1 && p->b.type == LB_TYPE_B1 ? c->ops_b1
                                                                       : c->ops_s8;
    if (rate <= 0 && lb_type_bits(p->a.type) >= 16)
        rate = c->ops_f32; /* no path of its own */
    *memory_bound = false;
    if (rate <= 0 || c->read_bytes <= 0)
        return 0;
    double arithmetic = ops / rate, memory = bytes / c->read_bytes;
    *memory_bound = memory > arithmetic;
    return (*memory_bound ? memory : arithmetic) / seconds;
}

/* ---- Merging ----------------------------------------------------------------------------------
 */

static void take_higher(double *a, double b)
{
    *a = b > *a ? b : *a;
}

static bool same_sizes(const lb_problem *a, const lb_problem *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->batch == b->batch;
}

/* A wrong result must not be hidden by a right one. */
static void take_faster(qb_result *r, const qb_result *other)
{
    bool wrong = (r->checked && !r->passed) || (other->checked && !other->passed);
    if (strcmp(r->line, other->line) == 0 && other->kernel &&
        (!r->kernel || other->median < r->median)) {
        double baseline = r->baseline;
        *r = *other;
        r->baseline = baseline > 0 ? baseline : r->baseline;
    }
    if (strcmp(r->line, other->line) == 0 && wrong)
        r->passed = false;
    if (other->baseline > 0 && same_sizes(&r->problem, &other->problem) &&
        (!(r->baseline > 0) || other->baseline < r->baseline))
        r->baseline = other->baseline;
}

bool qb_run_merge(qb_run *run, const qb_run *other)
{
    if (strcmp(run->device, other->device) != 0 || strcmp(run->driver, other->driver) != 0 ||
        strcmp(run->baseline, other->baseline) != 0)
        return false;
    for (size_t i = 0; i < run->count; i++)
        for (size_t j = 0; j < other->count; j++)
            take_faster(&run->results[i], &other->results[j]);
    take_higher(&run->ceilings.read_bytes, other->ceilings.read_bytes);
    take_higher(&run->ceilings.copy_bytes, other->ceilings.copy_bytes);
    take_higher(&run->ceilings.ops_f32, other->ceilings.ops_f32);
    take_higher(&run->ceilings.ops_s8, other->ceilings.ops_s8);
    take_higher(&run->ceilings.ops_b1, other->ceilings.ops_b1);
    take_higher(&run->ceilings.ops_f16, other->ceilings.ops_f16);
    take_higher(&run->ceilings.ops_bf16, other->ceilings.ops_bf16);
    run->times++;
    return true;
}
