/* SPDX-License-Identifier: Apache-2.0 */
/* A whole blob by panels: which code, which threads, and what belongs to groups. */
#include "panels.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

const lb_panel_code *lb_panel_code_best(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (lb_panel_code_avx2.name && __builtin_cpu_supports("avx2"))
        return &lb_panel_code_avx2;
#endif
    return &lb_panel_code_any;
}

bool lb_panels_open(const lb_panel_code *code, const lb_matrix *m, const lb_extent *e, int32_t zero,
                    lb_panels *p)
{
    *p = (lb_panels){.code = code, .m = m, .extent = e, .zero = zero};
    bool sizes = e->bits == m->form.bits && lb_type_bits(e->type) == e->bits &&
                 (e->bits == 2 || e->bits == 4 || e->bits == 8);
    for (size_t i = 0; sizes && i < code->reader_count; i++) {
        const lb_panel_reader *r = &code->readers[i];
        if (strcmp(r->format, m->format->name) == 0 && m->form.k % r->k_mult == 0) {
            p->read = r->read;
            p->by_k = r->by_k;
        }
    }
    for (size_t i = 0; i < code->writer_count; i++)
        if (strcmp(code->writers[i].layout, e->layout->name) == 0)
            p->write = code->writers[i].write;
    int32_t offset = e->layout->offset && lb_type_get(e->type)->min < 0 ? 1 << (e->bits - 1) : 0;
    p->add = (unsigned)(offset - zero) & ((1u << e->bits) - 1u);
    for (int bits = e->bits; bits < 32; bits *= 2)
        p->add |= p->add << bits;
    return p->read && p->write;
}

/* ---- Scales and zero points ------------------------------------------------------------------ */

/* Room for those of a panel, which is what a thread needs. */
static lb_status make_rows(const lb_form *f, lb_rows *rows)
{
    lb_form without = *f;
    without.k = 0; /* codes are not kept */
    return lb_rows_make(&without, LB_PANEL, rows);
}

static bool panel_scales(const lb_panels *p, const lb_blob_header *h, const lb_term *t, int64_t n,
                         char *blob, lb_rows *rows)
{
    const lb_form *f = &p->m->form;
    float *scale = (float *)(void *)(blob + h->scale) + n;
    int32_t *zero = (int32_t *)(void *)(blob + h->zero) + n;
    float *from = t->offset ? rows->all.offset : rows->all.scale;
    for (int64_t i = 0; i < LB_PANEL; i++) {
        lb_params params = lb_rows_params(rows, f, i);
        if (lb_matrix_load_params(p->m, n + i, &params) != LB_OK)
            return false;
    }
    for (int64_t j = 0; t->offset && j < LB_PANEL * f->groups; j++)
        from[j] = -from[j];
    for (int64_t j = 0; f->divisor != 1 && !t->offset && j < LB_PANEL * f->groups; j++)
        from[j] = from[j] / (float)f->divisor;
    p->code->turn(from, h->groups, scale, h->n_pad);
    for (int64_t g = 0; h->has_zero && g < h->groups; g++)
        for (int64_t i = 0; i < LB_PANEL; i++)
            zero[g * h->n_pad + i] = rows->all.zero[i * f->groups + g];
    return true;
}

/* All values are +1. */
static void offset_sums(const lb_blob_header *h, int64_t n, int32_t *sums)
{
    for (int64_t g = 0; g < h->groups; g++) {
        int64_t end = (g + 1) * h->group < h->k ? (g + 1) * h->group : h->k;
        for (int64_t i = 0; i < LB_PANEL; i++)
            sums[g * h->n_pad + n + i] = (int32_t)(end - g * h->group);
    }
}

/* ---- Threads --------------------------------------------------------------------------------- */

/* Rows that one thread takes at a time: of formats that go by k, whole lines of the cache. */
enum { ROWS = 8 * LB_PANEL };

typedef struct crew {
    const lb_panels *panels;
    const lb_blob_header *header;
    const lb_term *term;
    char *blob;
    atomic_llong next; /* row */
    atomic_bool failed;
} crew;

typedef struct worker {
    crew *crew;
    lb_rows rows;
    pthread_t thread;
} worker;

static bool pack_codes(const lb_panels *p, int64_t first, int64_t end)
{
    int64_t k_end = p->m->form.k, step = p->by_k ? end - first : LB_PANEL;
    for (int64_t at = first; at < end; at += step)
        for (int64_t k = 0; k < k_end; k += LB_CHUNK)
            for (int64_t n = at; n < at + step; n += LB_PANEL)
                if (!p->code->pack(p, n, k, k_end - k < LB_CHUNK ? k_end - k : LB_CHUNK))
                    return false;
    return true;
}

static void *work(void *user)
{
    worker *w = user;
    crew *c = w->crew;
    for (;;) {
        int64_t first = atomic_fetch_add(&c->next, ROWS), rows = c->panels->m->form.n;
        if (first >= rows || atomic_load(&c->failed))
            return NULL;
        int64_t end = rows - first < ROWS ? rows : first + ROWS;
        bool good = c->term->offset || pack_codes(c->panels, first, end);
        for (int64_t n = first; n < end && good; n += LB_PANEL) {
            if (c->term->offset)
                offset_sums(c->header, n, c->panels->sums);
            good = panel_scales(c->panels, c->header, c->term, n, c->blob, &w->rows);
        }
        if (!good)
            atomic_store(&c->failed, true);
    }
}

/* The calling thread and as many others as there is work for; fewer where they cannot be had. */
static lb_status run_crew(crew *c, int32_t threads)
{
    const lb_form *f = &c->panels->m->form;
    int64_t pieces = (f->n + ROWS - 1) / ROWS;
    int32_t count = threads, made = 0, started = 1;
    count = count > pieces ? (int32_t)pieces : count;
    count = count < 1 ? 1 : count;
    worker *workers = calloc((size_t)count, sizeof *workers);
    if (!workers)
        return lb_fail(LB_OUT_OF_MEMORY, "packing weights: no memory for %d threads", count);
    for (lb_status status = LB_OK; made < count && status == LB_OK; made += status == LB_OK) {
        workers[made].crew = c;
        status = make_rows(f, &workers[made].rows);
    }
    lb_status status = made ? LB_OK : LB_OUT_OF_MEMORY; /* its sentence has been said */
    while (started < made &&
           pthread_create(&workers[started].thread, NULL, work, &workers[started]) == 0)
        started++;
    if (made)
        work(&workers[0]);
    for (int32_t i = 1; i < started && made; i++)
        pthread_join(workers[i].thread, NULL);
    for (int32_t i = 0; i < made; i++)
        lb_rows_free(&workers[i].rows);
    free(workers);
    return status;
}

/* ---- All ------------------------------------------------------------------------------------- */

static bool fits(const lb_blob_header *h, const lb_matrix *m, const lb_term *t)
{
    const lb_form *f = &m->form;
    bool single = f->per_tensor || f->groups <= 1;
    return h->n == f->n && h->k == f->k && h->type == t->type && h->batch == 1 &&
           h->groups == (single ? 1 : f->groups) && h->has_zero == (f->has_zeros && !t->offset) &&
           h->has_scale && t->halves == 1 && !f->levels_table && f->n && f->n % LB_PANEL == 0 &&
           f->k;
}

lb_status lb_panels_blob(const lb_panel_code *code, int32_t threads, const lb_blob_header *h,
                         const lb_matrix *m, const lb_term *t, void *blob, bool *done)
{
    int32_t zero = m->form.has_zeros || t->offset ? 0 : m->form.zero;
    char *bytes = blob;
    lb_extent e;
    lb_panels panels;
    *done = false;
    if (!fits(h, m, t))
        return LB_OK;
    LB_TRY(lb_extent_make(lb_layout_find(h->layout), t->type, h->n, h->k, &e));
    bool whole = e.n_pad == h->n && e.k_pad == h->k, good;
    good = lb_panels_open(code, m, &e, zero, &panels);
    if (t->offset ? !whole || e.bits != 1 : !good)
        return LB_OK;
    panels.codes = bytes + h->codes;
    panels.sums = (int32_t *)(void *)(bytes + h->sum);
    panels.group = h->group;
    panels.stride = h->n_pad;
    lb_blob_begin(h, &e, whole, blob);
    if (t->offset)
        memset(bytes + h->codes, 0xff, (size_t)e.bytes); /* +1 everywhere */
    crew c = {.panels = &panels, .header = h, .term = t, .blob = blob};
    LB_TRY(run_crew(&c, threads));
    if (atomic_load(&c.failed))
        return LB_OK;
    lb_blob_end(h, blob);
    *done = true;
    return LB_OK;
}
