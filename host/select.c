/* SPDX-License-Identifier: Apache-2.0 */
#include "select.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"
#include "ref.h"
#include "status.h"
#include "text.h"
#include "tuning.h"
#include "types.h"

/* ---- Judging one row ------------------------------------------------------------------------- */

bool lb_device_has(const lb_device *device, const char *words, const char **missing)
{
    static _Thread_local char word[64];
    const char *have = device->info.features;
    while (*words) {
        bool unwanted = *words == '!', found = false;
        words += unwanted;
        size_t n = strcspn(words, " ");
        for (const char *f = have; *f && !found; f += strspn(f, " ")) {
            size_t length = strcspn(f, " ");
            found = length == n && memcmp(f, words, n) == 0;
            f += length;
        }
        if (found == unwanted) {
            snprintf(word, sizeof word, "%s%.*s", unwanted ? "!" : "", (int)n, words);
            if (missing)
                *missing = word;
            return false;
        }
        words += n;
        words += strspn(words, " ");
    }
    return true;
}

static void refuse(lb_candidate *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void refuse(lb_candidate *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->reason, sizeof c->reason, format, arguments);
    va_end(arguments);
}

static bool strided(const lb_problem *p)
{
    lb_problem dense = *p;
    dense.a.ld = dense.d.ld = dense.residual.ld = 0;
    dense.a.batch_stride = dense.d.batch_stride = dense.residual.batch_stride = 0;
    if (lb_problem_normalise(&dense, &dense) != LB_OK)
        return true;
    return dense.a.ld != p->a.ld || dense.d.ld != p->d.ld || dense.residual.ld != p->residual.ld ||
           dense.a.batch_stride != p->a.batch_stride || dense.d.batch_stride != p->d.batch_stride ||
           dense.residual.batch_stride != p->residual.batch_stride;
}

/* The capabilities a problem needs, with the words for a refusal. */
static bool caps_missing(const lb_kernel *row, const lb_problem *p, const char **what)
{
    bool stepped = lb_problem_is_stepped(p);
    const struct {
        uint32_t cap;
        bool needed;
        const char *what;
    } table[] = {
        {LB_CAP_BATCH, p->batch > 1, "batches"},
        {LB_CAP_GROUP, p->b.scale == LB_PER_GROUP && !stepped, "group scales"},
        {LB_CAP_STEP, stepped, "group scales of two levels"},
        {LB_CAP_ZERO_A, p->a.zero != 0, "zero points of A"},
        {LB_CAP_ZERO_B, p->b.zero != 0 && !stepped, "zero points of B"},
        {LB_CAP_BIAS, p->bias != 0, "a bias"},
        {LB_CAP_RESIDUAL, p->residual.type != 0, "a residual"},
        {LB_CAP_ACTIVATION, p->activation != 0, "activations"},
        {LB_CAP_CLAMP, p->clamp != 0, "a clamp"},
        {LB_CAP_SCALE, p->a.scale || p->b.scale || p->d.scale || p->d.zero, "scales"},
        {LB_CAP_REQUANTISE, p->rounding != LB_ROUND_EVEN, "other rounding than half to even"},
        {LB_CAP_STRIDE, strided(p), "strides beyond the dense ones"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].needed && !(row->caps & table[i].cap)) {
            *what = table[i].what;
            return true;
        }
    return false;
}

static bool type_refused(lb_candidate *c, const char *name, int32_t type, uint32_t set)
{
    char text[96];
    if (lb_type_in(type, set))
        return false;
    refuse(c, "%s is %s, it takes %s", name, lb_type_name(type),
           lb_typeset_print(set, text, sizeof text));
    return true;
}

bool lb_row_proven(const lb_kernel *row, const lb_device *device)
{
    if (row->flags & LB_ROW_UNPROVEN)
        return false;
    return !(row->flags & LB_ROW_PROVEN_ON_CPU) || !device->info.is_gpu;
}

static bool desc_refused(lb_candidate *c, const lb_plan_desc *desc)
{
    const lb_kernel *row = c->row;
    if (desc->kernel && strcmp(desc->kernel, row->name) != 0)
        refuse(c, "the plan asks for kernel %s", desc->kernel);
    else if (desc->layout && strcmp(desc->layout, row->layout) != 0)
        refuse(c, "it eats weights in layout %s, the plan asks for %s", row->layout, desc->layout);
    else if ((desc->flags & LB_PLAN_BATCH_INVARIANT) && !(row->flags & LB_ROW_BATCH_INVARIANT))
        refuse(c, "it does not promise batch invariance");
    else if ((desc->flags & LB_PLAN_PROVEN_ONLY) && !c->proven)
        refuse(c, "it is unproven: it never passed on real hardware of its kind");
    else
        return false;
    return true;
}

void lb_select_judge(const lb_kernel *row, const lb_problem *p, const lb_device *device,
                     const lb_plan_desc *desc, lb_candidate *out)
{
    *out = (lb_candidate){.row = row, .proven = lb_row_proven(row, device)};
    const char *text;
    if (desc && desc_refused(out, desc))
        return;
    if (!lb_device_has(device, row->needs, &text)) {
        if (*text == '!')
            refuse(out, "the device has %s, where this is emulated", text + 1);
        else
            refuse(out, "the device lacks %s", text);
        return;
    }
    if (type_refused(out, "A", p->a.type, row->a_types) ||
        type_refused(out, "B", p->b.type, row->b_types) ||
        type_refused(out, "D", p->d.type, row->d_types))
        return;
    if (caps_missing(row, p, &text)) {
        refuse(out, "it does not do %s", text);
        return;
    }
    if ((row->m_min && p->m < row->m_min) || (row->m_max && p->m > row->m_max)) {
        refuse(out, "m is %" PRId64 ", it takes %" PRId64 " to %" PRId64, p->m, row->m_min,
               row->m_max ? row->m_max : INT64_MAX);
        return;
    }
    if (row->accept && !row->accept(row, p, device, out->reason, sizeof out->reason))
        return;
    out->workspace_bytes = row->workspace ? row->workspace(row, p, device) : 0;
    if (desc && desc->workspace_limit && out->workspace_bytes > desc->workspace_limit) {
        refuse(out, "it needs %" PRIu64 " bytes of workspace, the limit is %" PRIu64,
               out->workspace_bytes, desc->workspace_limit);
        return;
    }
    out->reason[0] = 0;
    out->cost = row->cost(row, p, device);
    out->accepted = true;
}

/* ---- Choosing -------------------------------------------------------------------------------- */

void lb_select_judge_tuned(const lb_tuned *tuned, const lb_problem *p, const lb_device *device,
                           const lb_plan_desc *desc, lb_candidate *out)
{
    lb_select_judge(tuned->row, p, device, desc, out);
    out->tuned = true;
    if (tuned->ops > 0)
        out->cost = tuned->seconds * lb_problem_ops(p) / tuned->ops;
}

/* A proven row beats an unproven one at any cost; then what was measured here; then the cheaper;
 * then the earlier in the table. */
static bool better(const lb_candidate *a, const lb_candidate *b)
{
    if (a->proven != b->proven)
        return a->proven;
    if (a->tuned != b->tuned)
        return a->tuned;
    return a->cost < b->cost;
}

static bool kernel_exists(const lb_backend *backend, const char *name)
{
    for (size_t i = 0; i < *backend->row_count; i++)
        if (strcmp(backend->rows[i].name, name) == 0)
            return true;
    return false;
}

lb_status lb_select_best(const lb_backend *backend, const lb_problem *p, const lb_device *device,
                         const lb_plan_desc *desc, const lb_tuned *tuned, lb_candidate *best)
{
    if (desc && desc->kernel && !kernel_exists(backend, desc->kernel))
        return lb_fail(LB_INVALID_ARGUMENT,
                       "backend %s has no kernel '%s'; lb_kernel_get_info (qbench list) has them",
                       backend->name, desc->kernel);
    lb_candidate c, nearest = {0};
    best->accepted = false;
    for (size_t i = 0; i < *backend->row_count; i++) {
        lb_select_judge(&backend->rows[i], p, device, desc, &c);
        if (c.accepted && (!best->accepted || better(&c, best)))
            *best = c;
        /* The last refusal not made by the plan's own wishes says most: the table ends with the
         * most general row. */
        if (!c.accepted && !(desc && desc->kernel && strcmp(desc->kernel, c.row->name) != 0))
            nearest = c;
    }
    if (tuned) {
        lb_select_judge_tuned(tuned, p, device, desc, &c);
        if (c.accepted && (!best->accepted || better(&c, best)))
            *best = c;
    }
    if (best->accepted)
        return LB_OK;
    char line[256];
    if (lb_problem_print(p, line, sizeof line, NULL) != LB_OK)
        line[0] = 0;
    return lb_fail(LB_UNSUPPORTED, "no kernel of %s accepts '%s'; nearest: %s refuses because %s",
                   device->info.selector, line, nearest.row ? nearest.row->name : "none",
                   nearest.reason);
}

/* ---- Explaining ------------------------------------------------------------------------------ */

static int by_merit(const void *left, const void *right)
{
    const lb_candidate *a = left, *b = right;
    if (a->accepted != b->accepted)
        return a->accepted ? -1 : 1;
    if (a->accepted && better(a, b))
        return -1;
    if (a->accepted && better(b, a))
        return 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static void put_candidate(lb_text *w, const lb_candidate *c, bool chosen)
{
    if (!c->accepted) {
        lb_text_put(w, "  refused   %-28s %s\n", c->row->name, c->reason);
        return;
    }
    lb_text_put(w, "  %-9s %-28s predicted %.3g s, workspace %" PRIu64 " bytes, layout %s%s",
                chosen ? "chosen" : "accepted", c->row->name, c->cost, c->workspace_bytes,
                c->row->layout, c->proven ? "" : ", unproven");
    if (c->tuned)
        lb_text_put(w, ", tuned%s%s", c->row->parameters ? ": " : "",
                    c->row->parameters ? c->row->parameters : "");
    lb_text_put(w, "\n");
}

lb_status lb_explain(lb_context *context, const lb_problem *problem, const lb_plan_desc *desc,
                     char *text, size_t capacity, size_t *needed)
{
    lb_problem p;
    if (!context)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_explain: context is NULL");
    if (!text && capacity)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_explain: text is NULL but capacity is %zu",
                       capacity);
    if (desc)
        LB_CHECK_STRUCT(desc, lb_plan_desc);
    LB_TRY(lb_problem_normalise(problem, &p));

    const lb_backend *backend = context->backend;
    const lb_tuned *tuned = lb_tuning_find(context, &p);
    size_t count = *backend->row_count, rows = count;
    lb_candidate *all = malloc((count + 1) * sizeof *all);
    if (!all)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_explain: no memory for %zu rows", count);
    for (size_t i = 0; i < rows; i++)
        lb_select_judge(&backend->rows[i], &p, &context->device, desc, &all[i]);
    if (tuned)
        lb_select_judge_tuned(tuned, &p, &context->device, desc, &all[count++]);
    qsort(all, count, sizeof *all, by_merit);

    lb_text w = {text, capacity, 0};
    char line[256];
    lb_text_put(&w, "%s on %s (%s)\n",
                lb_problem_print(&p, line, sizeof line, NULL) == LB_OK ? line : "?",
                context->device.info.selector, context->device.info.name);
    for (size_t i = 0; i < count; i++)
        put_candidate(&w, &all[i], i == 0);
    /* The reference ends every list; on another backend's memory it cannot run. */
    if (backend != &lb_ref_backend) {
        lb_candidate ref;
        lb_select_judge(&lb_ref_backend.rows[0], &p, &context->device, NULL, &ref);
        lb_text_put(&w, "  elsewhere %-28s %s\n", ref.row->name,
                    ref.accepted ? "would accept: device ref, host memory" : ref.reason);
    }
    if (!all[0].accepted)
        lb_text_put(&w, "  no kernel accepts this problem\n");
    free(all);
    return lb_text_finish(&w, "lb_explain", needed);
}
