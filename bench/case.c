/* SPDX-License-Identifier: Apache-2.0 */
#include "case.h"

#include <stdlib.h>
#include <string.h>

#define GUARD ((size_t)256) /* bytes before and after D, poisoned */
#define POISON 0xa5
#define MOST_COPIES 64
#define WORKSPACE 9 /* its place in owned, after the inputs */

#define TRY(call)                                                                                  \
    do {                                                                                           \
        lb_status status_ = (call);                                                                \
        if (status_ != LB_OK)                                                                      \
            return status_;                                                                        \
    } while (0)

/* ---- Opening and closing --------------------------------------------------------------------- */

/* Device memory with a copy of `bytes` bytes; nothing for none. */
static lb_status upload(lb_context *context, const void *from, uint64_t bytes, lb_ptr *to)
{
    *to = (lb_ptr){0};
    if (bytes == 0)
        return LB_OK;
    TRY(lb_memory_alloc(context, (size_t)bytes, to));
    return lb_memory_write(context, *to, from, (size_t)bytes, NULL);
}

static lb_status upload_shared(qb_case *c)
{
    const lb_sizes *s = &c->in->sizes;
    const lb_host_args *h = &c->in->host;
    const struct {
        const void *from;
        uint64_t bytes;
        lb_ptr *argument;
    } arrays[] = {
        {h->a_scale, s->a_scale, &c->args.a_scale},
        {h->a_zero, s->a_zero, &c->args.a_zero},
        {h->d_scale, s->d_scale, &c->args.d_scale},
        {h->d_zero, s->d_zero, &c->args.d_zero},
        {h->bias, s->bias, &c->args.bias},
        {h->residual, s->residual, &c->args.residual},
        {h->residual_scale, s->residual_scale, &c->args.residual_scale},
        {h->residual_zero, s->residual_zero, &c->args.residual_zero},
        {h->random, s->random, &c->args.random},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        TRY(upload(c->context, arrays[i].from, arrays[i].bytes, &c->owned[i]));
        *arrays[i].argument = c->owned[i];
    }
    c->args.workspace_bytes = (size_t)c->info.workspace_bytes;
    if (c->info.workspace_bytes)
        TRY(lb_memory_alloc(c->context, (size_t)c->info.workspace_bytes, &c->args.workspace));
    c->owned[WORKSPACE] = c->args.workspace;
    return LB_OK;
}

static lb_status make_copies(qb_case *c, const void *blob)
{
    const lb_sizes *s = &c->in->sizes;
    for (size_t i = 0; i < c->copies; i++) {
        qb_copy *copy = &c->copy[i];
        TRY(lb_weights_load(c->plan, blob, (size_t)c->info.weights_bytes, NULL, &copy->weights));
        TRY(upload(c->context, c->in->host.a, s->a, &copy->a));
        TRY(lb_memory_alloc(c->context, (size_t)s->d + 2 * GUARD, &copy->d));
    }
    return LB_OK;
}

static lb_status pack_and_copy(qb_case *c)
{
    lb_weights_source source = qb_inputs_weights(c->in);
    if (c->in->blob)
        return make_copies(c, c->in->blob);
    void *blob = malloc((size_t)c->info.weights_bytes + 1);
    if (!blob)
        return LB_OUT_OF_MEMORY;
    lb_status status = lb_weights_pack(c->plan, &source, blob, (size_t)c->info.weights_bytes);
    if (status == LB_OK)
        status = make_copies(c, blob);
    free(blob);
    return status;
}

lb_status qb_case_open(lb_context *context, const qb_inputs *in, const lb_plan_desc *desc,
                       uint64_t rotate, qb_case *c)
{
    *c = (qb_case){.context = context, .in = in, .info = LB_PLAN_INFO_INIT, .args = LB_ARGS_INIT};
    TRY(lb_plan_create(context, &in->problem, desc, &c->plan));
    TRY(lb_plan_get_info(c->plan, &c->info));
    uint64_t bytes = in->sizes.a + in->sizes.d + c->info.weights_bytes + 1;
    c->copies = (size_t)(rotate / bytes + 1);
    c->copies = c->copies > MOST_COPIES ? MOST_COPIES : c->copies;
    c->copy = calloc(c->copies, sizeof *c->copy);
    if (!c->copy)
        return LB_OUT_OF_MEMORY;
    TRY(upload_shared(c));
    return pack_and_copy(c);
}

/* Takes over `plan`, whose workspace may be another. */
static lb_status use_plan(qb_case *c, lb_plan *plan, const lb_plan_info *info)
{
    lb_ptr workspace = {0};
    if (info->workspace_bytes)
        TRY(lb_memory_alloc(c->context, (size_t)info->workspace_bytes, &workspace));
    lb_stream_sync(c->context, NULL);
    lb_memory_free(c->context, c->args.workspace);
    lb_plan_destroy(c->plan);
    c->args.workspace = c->owned[WORKSPACE] = workspace;
    c->args.workspace_bytes = (size_t)info->workspace_bytes;
    c->plan = plan;
    c->info = *info;
    return LB_OK;
}

lb_status qb_case_replan(qb_case *c, const lb_plan_desc *desc)
{
    lb_plan_desc same = *desc;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_plan *plan = NULL;
    same.layout = c->info.layout;
    TRY(lb_plan_create(c->context, &c->in->problem, &same, &plan));
    lb_status status = lb_plan_get_info(plan, &info);
    if (status == LB_OK)
        status = use_plan(c, plan, &info);
    if (status != LB_OK)
        lb_plan_destroy(plan);
    return status;
}

void qb_case_close(qb_case *c)
{
    if (c->plan)
        lb_stream_sync(c->context, NULL);
    for (size_t i = 0; c->copy && i < c->copies; i++) {
        lb_weights_destroy(c->copy[i].weights);
        lb_memory_free(c->context, c->copy[i].a);
        lb_memory_free(c->context, c->copy[i].d);
    }
    for (size_t i = 0; i < sizeof c->owned / sizeof *c->owned; i++)
        lb_memory_free(c->context, c->owned[i]);
    free(c->copy);
    lb_plan_destroy(c->plan);
    *c = (qb_case){0};
}

/* ---- Running --------------------------------------------------------------------------------- */

lb_status qb_case_run(qb_case *c, size_t turn)
{
    const qb_copy *copy = &c->copy[turn % c->copies];
    lb_args args = c->args;
    args.weights = copy->weights;
    args.a = copy->a;
    args.d = (lb_ptr){copy->d.base, copy->d.offset + GUARD};
    return lb_run(c->plan, &args, NULL);
}

lb_status qb_case_product(qb_case *c, void *d)
{
    lb_ptr from = {c->copy[0].d.base, c->copy[0].d.offset + GUARD};
    TRY(qb_case_run(c, 0));
    TRY(lb_stream_sync(c->context, NULL));
    return lb_memory_read(c->context, d, from, (size_t)c->in->sizes.d, NULL);
}

double qb_case_bytes(const qb_case *c)
{
    const lb_sizes *s = &c->in->sizes;
    return (double)(s->a + s->a_scale + s->a_zero + c->info.weights_bytes + s->bias + s->residual +
                    s->d);
}

/* ---- Checking -------------------------------------------------------------------------------- */

/* Bytes outside D's elements that lost their poison; pad bits of a row's last byte must be 0. */
static uint64_t count_touched(const lb_problem *p, const unsigned char *memory, size_t bytes)
{
    int bits = lb_type_bits(p->d.type);
    int64_t batch = p->batch ? p->batch : 1;
    int64_t dense = bits < 8 ? (p->n * bits + 7) / 8 * 8 / bits : p->n;
    int64_t ld = p->d.ld ? p->d.ld : dense;
    int64_t stride = p->d.batch_stride ? p->d.batch_stride : p->m * ld;
    uint64_t touched = 0;
    size_t at = 0; /* everything before is looked at */
    for (int64_t b = 0; b < batch; b++)
        for (int64_t m = 0; m < p->m && p->n > 0; m++) {
            size_t from = GUARD + (size_t)((b * stride + m * ld) * bits / 8);
            size_t used = (size_t)(p->n * bits);
            for (; at < from; at++)
                touched += memory[at] != POISON;
            if (used % 8)
                touched += memory[from + used / 8] >> used % 8 != 0;
            at = from + (used + 7) / 8;
        }
    for (; at < bytes; at++)
        touched += memory[at] != POISON;
    return touched;
}

lb_status qb_case_check(qb_case *c, int64_t rows, uint64_t seed, qb_check *check)
{
    size_t bytes = (size_t)c->in->sizes.d + 2 * GUARD;
    *check = (qb_check){.report = LB_VERIFY_REPORT_INIT};
    unsigned char *memory = malloc(bytes);
    if (!memory)
        return LB_OUT_OF_MEMORY;
    memset(memory, POISON, bytes);
    lb_status status = lb_memory_write(c->context, c->copy[0].d, memory, bytes, NULL);
    if (status == LB_OK)
        status = qb_case_run(c, 0);
    if (status == LB_OK)
        status = lb_stream_sync(c->context, NULL);
    if (status == LB_OK)
        status = lb_memory_read(c->context, memory, c->copy[0].d, bytes, NULL);
    if (status == LB_OK)
        check->touched = count_touched(&c->in->problem, memory, bytes);
    if (status == LB_OK)
        status = lb_verify(&c->in->problem, &c->in->host, memory + GUARD, rows, seed, rows > 0,
                           &check->report);
    free(memory);
    return status;
}
