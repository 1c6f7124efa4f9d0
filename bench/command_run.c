/* SPDX-License-Identifier: Apache-2.0 */
/* qbench run: times each problem, checks it, and compares it with f32 on the same device. */
#include <inttypes.h>
#include <string.h>

#include "energy.h"
#include "qbench.h"
#include "results.h"

#define PATIENCE                                                                                   \
    20.0 /* seconds one run may be predicted to take, unless its kernel is asked for               \
          */
#define SAMPLED_ROWS 4
#define ENERGY_TIME 1.0 /* seconds: the counter moves some ten times in one */

typedef struct session {
    qb_options *options;
    lb_context *context;
    lb_device_info device;
    lb_ceilings ceilings;
    qb_blas *blas;     /* one of these, or neither */
    qb_cublas *cublas; /* is the baseline */
    qb_energy *energy;
    char baseline[256];
    /* The last baseline measured; lines of equal size follow each other. */
    int64_t m, n, k, batch;
    int is_float;
    qb_time time;
} session;

/* ---- One problem ----------------------------------------------------------------------------- */

static void add_baseline(session *s, const lb_problem *p, qb_record *r)
{
    int is_float = qb_cublas_in_float(p);
    if (!s->blas && !s->cublas)
        return;
    if (s->m != p->m || s->n != p->n || s->k != p->k || s->batch != p->batch ||
        (s->cublas && s->is_float != is_float) || s->time.median <= 0) {
        s->m = p->m, s->n = p->n, s->k = p->k, s->batch = p->batch;
        s->is_float = is_float;
        s->time = (qb_time){0};
        if (s->cublas)
            qb_cublas_measure(s->cublas, p, s->options->min_time, &s->time);
        else
            qb_blas_measure(s->blas, p, s->options->min_time, &s->time);
    }
    r->baseline = s->time;
}

/* Runs the opened case; r->status is set by the caller. */
static lb_status measure(session *s, qb_case *c, qb_record *r)
{
    const lb_problem *p = &c->in->problem;
    const qb_options *o = s->options;
    r->plan = c->info;
    snprintf(r->parameters, sizeof r->parameters, "%s", c->info.parameters);
    r->ops = lb_problem_ops(p);
    r->bytes = qb_case_bytes(c);
    r->f32_ratio = (double)(p->batch ? p->batch : 1) * (double)p->n * (double)p->k * 4 /
                   (double)c->info.weights_bytes;
    if (!o->no_check) {
        /* Everything, where that takes no longer than a blink; else sampled rows. */
        int64_t rows = r->ops < 1e9 ? 0 : SAMPLED_ROWS;
        lb_status status = qb_case_check(c, rows, (uint64_t)o->seed, &r->check);
        if (status != LB_OK)
            return status;
        r->checked = true;
    }
    lb_status status = qb_measure(c, o->min_time, o->repeat, &r->time);
    if (status != LB_OK)
        return status;
    r->ceiling = qb_share(&s->ceilings, p, r->ops, r->bytes, r->time.median, &r->memory_bound);
    add_baseline(s, p, r);
    if (s->energy && qb_energy_measure(s->energy, c, ENERGY_TIME, &r->joules) != LB_OK)
        r->joules = 0;
    return LB_OK;
}

static lb_status run_problem(session *s, const lb_problem *p, qb_record *r, char *note,
                             size_t capacity)
{
    const qb_options *o = s->options;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = o->kernel;
    qb_inputs in;
    qb_case c;
    lb_plan *plan = NULL;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_status status = lb_plan_create(s->context, p, &desc, &plan);
    if (status != LB_OK)
        return status;
    lb_plan_get_info(plan, &info);
    lb_plan_destroy(plan);
    if (info.predicted_seconds > PATIENCE && !o->kernel) {
        r->skipped = true;
        snprintf(note, capacity,
                 "skipped: %s would take about %.0f s; --kernel %s runs it all the same",
                 info.kernel, info.predicted_seconds, info.kernel);
        return LB_OK;
    }
    status = qb_inputs_make(p, QB_DATA_NORMAL, (uint64_t)o->seed, &in);
    /* Twice the last-level cache; where that is unknown, a large one. */
    uint64_t rotate = 2 * (s->device.cache_bytes ? s->device.cache_bytes : 64u << 20);
    if (status == LB_OK)
        status = qb_case_open(s->context, &in, &desc, rotate, &c);
    c.args.flags = o->overlap ? LB_RUN_OVERLAP : 0;
    if (status == LB_OK)
        status = measure(s, &c, r);
    qb_case_close(&c);
    qb_inputs_free(&in);
    return status;
}

static int run_line(session *s, const char *text, qb_output *output)
{
    char line[512], note[512] = "";
    lb_problem p;
    qb_record r = {.line = line};
    r.status = lb_problem_parse(text, &p);
    if (r.status == LB_OK)
        r.status = lb_problem_print(&p, line, sizeof line, NULL);
    else
        snprintf(line, sizeof line, "%s", text);
    if (r.status == LB_OK)
        r.status = run_problem(s, &p, &r, note, sizeof note);
    if (r.status != LB_OK)
        snprintf(note, sizeof note, "%s: %s", lb_status_string(r.status), lb_last_error());
    r.error = note;
    qb_output_add(output, &r);
    if (r.status == LB_OK && r.checked && !qb_check_passed(&r.check))
        return QB_EXIT_WRONG;
    return qb_exit_of(r.status);
}

/* ---- All ------------------------------------------------------------------------------------- */

/* Wrong results outrank everything; then failures; an unsupported line only if nothing is worse. */
static int worse(int a, int b)
{
    static const int rank[] = {
        [QB_EXIT_OK] = 0,        [QB_EXIT_UNSUPPORTED] = 1, [QB_EXIT_USAGE] = 2,
        [QB_EXIT_NO_DEVICE] = 3, [QB_EXIT_FAILED] = 4,      [QB_EXIT_WRONG] = 5};
    return rank[a] > rank[b] ? a : b;
}

static void choose_baseline(session *s)
{
    if (s->options->no_baseline)
        snprintf(s->baseline, sizeof s->baseline, "not asked for");
    else if (strncmp(s->device.selector, "cuda", 4) == 0)
        s->cublas = qb_cublas_open(s->context, s->baseline, sizeof s->baseline);
    else if (s->device.is_gpu)
        snprintf(s->baseline, sizeof s->baseline, "none for this kind of device");
    else
        s->blas = qb_blas_open(s->baseline, sizeof s->baseline);
}

static int run_all(session *s)
{
    qb_options *o = s->options;
    int code = QB_EXIT_OK;
    qb_output *output = qb_output_open(o, &s->device, &s->ceilings, s->baseline);
    if (!output)
        return QB_EXIT_USAGE;
    for (size_t i = 0; i < o->lines.count; i++) {
        qb_progress(o, i, o->lines.count, o->lines.line[i]);
        code = worse(code, run_line(s, o->lines.line[i], output));
        qb_progress(o, 1, 1, "");
    }
    return qb_output_close(output) ? code : worse(code, QB_EXIT_FAILED);
}

int qb_command_run(qb_options *o)
{
    session s = {.options = o, .device = LB_DEVICE_INFO_INIT, .ceilings = LB_CEILINGS_INIT};
    char why[256] = "";
    int code;
    if (o->weights)
        return qb_run_weights(o);
    if (o->lines.count == 0 && !qb_lines_add_builtin(&o->lines, "perf", why, sizeof why)) {
        fprintf(stderr, "qbench: %s\n", why);
        return QB_EXIT_USAGE;
    }
    s.context = qb_open(o->device, &code);
    if (!s.context)
        return code;
    lb_context_info(s.context, &s.device);
    if (lb_measure_ceilings(s.context, &s.ceilings) != LB_OK)
        fprintf(stderr, "qbench: no ceilings: %s\n", lb_last_error());
    choose_baseline(&s);
    if (o->energy && !(s.energy = qb_energy_open(s.device.name, why, sizeof why)))
        fprintf(stderr, "qbench: %s\n", why);
    code = run_all(&s);
    qb_energy_close(s.energy);
    qb_blas_close(s.blas);
    qb_cublas_close(s.cublas);
    lb_context_destroy(s.context);
    return code;
}
