/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One problem with its arrays, by the public functions alone and without a test framework, so that
 * every kind of test program can use it. Data are small random numbers; a lane is what one caller
 * needs besides: a queue, a workspace and an own D.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include <lowbit/lowbit.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RIG_TRY(call)                                                                              \
    do {                                                                                           \
        lb_status rig_status_ = (call);                                                            \
        if (rig_status_ != LB_OK)                                                                  \
            return rig_status_;                                                                    \
    } while (0)

/* ---- Problem and host arrays ----------------------------------------------------------------- */

typedef struct rig_inputs {
    lb_problem problem;
    lb_sizes sizes;
    void *array[12];
    lb_host_args host;
    lb_weights_source source;
} rig_inputs;

static inline uint32_t rig_random(uint32_t *state) /* xorshift32 (G. Marsaglia, 2003) */
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* Elements of a type as bytes: any code, but no spare code of t2, and floats in [-1, 1]. */
static inline void rig_fill(int32_t type, void *memory, uint64_t bytes, uint32_t *state)
{
    unsigned char *byte = memory;
    for (uint64_t i = 0; i < bytes; i++) {
        unsigned value = rig_random(state) >> 24;
        if (type == LB_TYPE_T2) /* 10 becomes 11 */
            value |= value >> 1 & 0x55;
        byte[i] = (unsigned char)value;
    }
    for (uint64_t i = 0; type == LB_TYPE_F32 && i < bytes / 4; i++)
        ((float *)memory)[i] = (float)((int32_t)(rig_random(state) >> 20) - 2048) / 2048.0F;
    /* 2^-7 to 1 with either sign, in 5 bits of exponent or in 8 */
    for (uint64_t i = 0; (type == LB_TYPE_F16 || type == LB_TYPE_BF16) && i < bytes / 2; i++) {
        unsigned random = rig_random(state) >> 8;
        unsigned exponent = type == LB_TYPE_F16 ? (8 + random % 7) << 10 : (120 + random % 7) << 7;
        unsigned fraction = random >> 3 & (type == LB_TYPE_F16 ? 0x3ff : 0x7f);
        ((uint16_t *)memory)[i] = (uint16_t)((random & 0x8000) | exponent | fraction);
    }
}

/* Free with rig_inputs_free, also after a failure. */
static inline lb_status rig_inputs_make(const char *line, uint32_t seed, rig_inputs *in)
{
    *in = (rig_inputs){.sizes = LB_SIZES_INIT,
                       .host = LB_HOST_ARGS_INIT,
                       .source = {.struct_size = sizeof(lb_weights_source)}};
    RIG_TRY(lb_problem_parse(line, &in->problem));
    RIG_TRY(lb_problem_sizes(&in->problem, &in->sizes));
    const lb_problem *p = &in->problem;
    const lb_sizes *s = &in->sizes;
    lb_host_args *h = &in->host;
    uint32_t state = seed | 1;
    const struct {
        uint64_t bytes;
        int32_t type;
    } arrays[12] = {{s->a, p->a.type},
                    {s->a_scale, LB_TYPE_F32},
                    {s->a_zero, LB_TYPE_S32},
                    {s->b, p->b.type},
                    {s->b_scale, p->b.scale_type ? p->b.scale_type : LB_TYPE_F32},
                    {s->b_zero, LB_TYPE_S32},
                    {s->d_scale, LB_TYPE_F32},
                    {s->d_zero, LB_TYPE_S32},
                    {s->bias, p->bias},
                    {s->residual, p->residual.type},
                    {s->residual_scale, LB_TYPE_F32},
                    {s->b_channel_scale, LB_TYPE_F32}};
    for (int i = 0; i < 12; i++) {
        in->array[i] = malloc((size_t)arrays[i].bytes + 1);
        if (!in->array[i])
            return LB_OUT_OF_MEMORY;
        rig_fill(arrays[i].type, in->array[i], arrays[i].bytes, &state);
        if (i == 2 || i == 5 || i == 7) /* zero points: 0 or 1 is in every type's range */
            for (uint64_t j = 0; j < arrays[i].bytes / 4; j++)
                ((int32_t *)in->array[i])[j] &= 1;
    }
    for (uint64_t i = 0; s->b_channel_scale && i < s->b_scale; i++) /* of two levels: 1 to 8 */
        ((uint8_t *)in->array[4])[i] = (uint8_t)(1 + (((uint8_t *)in->array[4])[i] & 7));
    h->a = in->array[0];
    h->a_scale = in->array[1];
    h->a_zero = in->array[2];
    in->source.codes = h->b = in->array[3];
    in->source.scales = h->b_scale = in->array[4];
    in->source.zeros = h->b_zero = in->array[5];
    h->d_scale = in->array[6];
    h->d_zero = in->array[7];
    h->bias = in->array[8];
    h->residual = in->array[9];
    h->residual_scale = in->array[10];
    in->source.channel_scales = h->b_channel_scale = in->array[11];
    return LB_OK;
}

static inline void rig_inputs_free(rig_inputs *in)
{
    for (int i = 0; i < 12; i++)
        free(in->array[i]);
    *in = (rig_inputs){0};
}

/* ---- On a device ----------------------------------------------------------------------------- */

typedef struct rig {
    lb_context *context;
    const rig_inputs *in;
    lb_plan *plan;
    lb_plan_info info;
    lb_weights *weights;
    lb_args args; /* all but D and the workspace */
    lb_ptr owned[8];
} rig;

static inline lb_status rig_upload(lb_context *context, const void *from, uint64_t bytes,
                                   lb_ptr *to)
{
    *to = (lb_ptr){0};
    if (bytes == 0)
        return LB_OK;
    RIG_TRY(lb_memory_alloc(context, (size_t)bytes, to));
    return lb_memory_write(context, *to, from, (size_t)bytes, NULL);
}

/* Plan, weights and inputs. Close also after a failure; `in` must outlive the rig. */
static inline lb_status rig_open(lb_context *context, const rig_inputs *in,
                                 const lb_plan_desc *desc, rig *r)
{
    *r = (rig){.context = context, .in = in, .info = LB_PLAN_INFO_INIT, .args = LB_ARGS_INIT};
    RIG_TRY(lb_plan_create(context, &in->problem, desc, &r->plan));
    RIG_TRY(lb_plan_get_info(r->plan, &r->info));
    RIG_TRY(lb_weights_create(r->plan, &in->source, &r->weights));
    const lb_sizes *s = &in->sizes;
    const lb_host_args *h = &in->host;
    const struct {
        const void *from;
        uint64_t bytes;
        lb_ptr *argument;
    } arrays[] = {{h->a, s->a, &r->args.a},
                  {h->a_scale, s->a_scale, &r->args.a_scale},
                  {h->a_zero, s->a_zero, &r->args.a_zero},
                  {h->d_scale, s->d_scale, &r->args.d_scale},
                  {h->d_zero, s->d_zero, &r->args.d_zero},
                  {h->bias, s->bias, &r->args.bias},
                  {h->residual, s->residual, &r->args.residual},
                  {h->residual_scale, s->residual_scale, &r->args.residual_scale}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        RIG_TRY(rig_upload(context, arrays[i].from, arrays[i].bytes, &r->owned[i]));
        *arrays[i].argument = r->owned[i];
    }
    r->args.weights = r->weights;
    return LB_OK;
}

static inline void rig_close(rig *r)
{
    for (size_t i = 0; i < sizeof r->owned / sizeof *r->owned; i++)
        lb_memory_free(r->context, r->owned[i]);
    lb_weights_destroy(r->weights);
    lb_plan_destroy(r->plan);
    *r = (rig){0};
}

/* ---- Lanes ----------------------------------------------------------------------------------- */

#define RIG_POISON 0xa5

typedef struct rig_lane {
    const rig *rig;
    lb_stream stream;
    lb_args args; /* complete */
    void *d;      /* host copy of D */
} rig_lane;

static inline lb_status rig_lane_open(const rig *r, uint32_t stream_flags, rig_lane *lane)
{
    *lane = (rig_lane){.rig = r, .args = r->args};
    size_t bytes = (size_t)r->in->sizes.d;
    lane->d = malloc(bytes + 1);
    if (!lane->d)
        return LB_OUT_OF_MEMORY;
    RIG_TRY(lb_stream_create(r->context, stream_flags, &lane->stream));
    RIG_TRY(lb_memory_alloc(r->context, bytes, &lane->args.d));
    lane->args.workspace_bytes = (size_t)r->info.workspace_bytes;
    return lb_memory_alloc(r->context, lane->args.workspace_bytes, &lane->args.workspace);
}

static inline void rig_lane_close(rig_lane *lane)
{
    lb_memory_free(lane->rig->context, lane->args.d);
    lb_memory_free(lane->rig->context, lane->args.workspace);
    lb_stream_destroy(lane->rig->context, lane->stream);
    free(lane->d);
}

/* Overwrites D on the device. */
static inline lb_status rig_lane_poison(rig_lane *lane)
{
    memset(lane->d, RIG_POISON, (size_t)lane->rig->in->sizes.d);
    return lb_memory_write(lane->rig->context, lane->args.d, lane->d,
                           (size_t)lane->rig->in->sizes.d, lane->stream);
}

static inline lb_status rig_lane_read(rig_lane *lane)
{
    RIG_TRY(lb_stream_sync(lane->rig->context, lane->stream));
    return lb_memory_read(lane->rig->context, lane->d, lane->args.d, (size_t)lane->rig->in->sizes.d,
                          lane->stream);
}

/* Runs once into a poisoned D and compares every element. */
static inline lb_status rig_lane_check(rig_lane *lane, lb_verify_report *report)
{
    *report = (lb_verify_report)LB_VERIFY_REPORT_INIT;
    RIG_TRY(rig_lane_poison(lane));
    RIG_TRY(lb_run(lane->rig->plan, &lane->args, lane->stream));
    RIG_TRY(rig_lane_read(lane));
    return lb_verify(&lane->rig->in->problem, &lane->rig->in->host, lane->d, 0, 1, 0, report);
}

#endif
