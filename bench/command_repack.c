/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qbench repack: how fast stored weights become packed ones: in time of one core, or with several
 * threads in time that passes; and by the device, from its own memory, where the bytes must be the
 * same.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "qbench.h"

#define TRY(call)                                                                                  \
    do {                                                                                           \
        lb_status status_ = (call);                                                                \
        if (status_ != LB_OK)                                                                      \
            return status_;                                                                        \
    } while (0)

static const struct {
    const char *format;
    int32_t bits;
    int64_t group;
} formats[] = {{"gptq", 4, 128}, {"awq", 0, 128}, {"ct", 4, 128}, {"ct", 8, 128}, {"nbits", 4, 32},
               {"q4_0", 0, 0},   {"q8_0", 0, 0},  {"q4_k", 0, 0}, {"i2_s", 0, 0}};
enum { FORMATS = sizeof formats / sizeof *formats };

typedef struct packing {
    const lb_plan *plan;
    const lb_stored *stored;
    int32_t term;
    void *blob;
    size_t bytes;
    lb_status status;
} packing;

static double seconds_now(int threads)
{
    struct timespec t;
    clock_gettime(threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The shortest of several times, so that neither cold pages nor neighbours count. */
static double shortest(packing *p, const qb_options *o)
{
    double best = 1e30;
    for (int i = 0; i < o->repeat + 2 && p->status == LB_OK; i++) {
        double start = seconds_now(o->threads);
        p->status = lb_weights_pack_stored(p->plan, p->stored, p->term, p->blob, p->bytes);
        double taken = seconds_now(o->threads) - start;
        best = taken < best ? taken : best;
    }
    return best;
}

/* Random codes and scales of 1: codes by the format's own rounding of random floats. */
static lb_status make(const qb_options *o, int i, lb_stored *w)
{
    lb_stored dense = LB_STORED_INIT, to = LB_STORED_INIT;
    uint64_t state = (uint64_t)o->seed;
    size_t count = (size_t)(o->n * o->k);
    float *values = malloc(count * sizeof *values + 1);
    if (!values)
        return LB_OUT_OF_MEMORY;
    for (size_t v = 0; v < count; v++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[v] = (float)((int)(state >> 40 & 255) - 128) / 128;
    }
    dense.format = "f32";
    dense.n = o->n;
    dense.k = o->k;
    dense.part[LB_PART_CODES].data = values;
    dense.part[LB_PART_CODES].bytes = count * sizeof *values;
    to.format = formats[i].format;
    to.n = o->n;
    to.k = o->k;
    to.bits = formats[i].bits;
    to.group = formats[i].group;
    lb_status status = lb_stored_sizes(&to);
    for (int p = 0; p < LB_PART_COUNT && status == LB_OK; p++)
        if (to.part[p].bytes && !(to.part[p].data = malloc(to.part[p].bytes)))
            status = LB_OUT_OF_MEMORY;
    *w = to;
    if (status == LB_OK)
        status = lb_repack(&dense, &to, 1, NULL);
    free(values);
    return status;
}

/* ---- On the device --------------------------------------------------------------------------- */

typedef struct device_packing {
    lb_context *context;
    lb_packer *packer;
    lb_weights *weights;
    lb_ptr memory, codes, scales, zeros;
    lb_event *event[2];
} device_packing;

static lb_status upload(lb_context *context, const void *from, uint64_t bytes, lb_ptr *to)
{
    if (!bytes)
        return LB_OK;
    TRY(lb_memory_alloc(context, (size_t)bytes, to));
    return lb_memory_write(context, *to, from, (size_t)bytes, NULL);
}

static lb_status upload_all(const packing *p, const lb_problem *problem, device_packing *d)
{
    lb_sizes sizes = LB_SIZES_INIT;
    TRY(lb_problem_sizes(problem, &sizes));
    float *scales = malloc((size_t)sizes.b_scale + 1);
    int32_t *zeros = malloc((size_t)sizes.b_zero + 1);
    lb_status status = scales && zeros ? LB_OK : LB_OUT_OF_MEMORY;
    if (status == LB_OK)
        status = lb_stored_params(p->stored, p->term, scales, zeros);
    if (status == LB_OK)
        status = upload(d->context, scales, sizes.b_scale, &d->scales);
    if (status == LB_OK)
        status = upload(d->context, zeros, sizes.b_zero, &d->zeros);
    free(scales);
    free(zeros);
    TRY(status);
    const lb_part *codes = &p->stored->part[LB_PART_CODES];
    TRY(upload(d->context, codes->data, codes->bytes, &d->codes));
    TRY(lb_memory_alloc(d->context, p->bytes, &d->memory));
    TRY(lb_weights_reserve(p->plan, &d->memory, &d->weights));
    return lb_packer_create(p->plan, p->stored, p->term, &d->packer);
}

/* The shortest of several times, on the device's clock. */
static lb_status time_device(const device_packing *d, int repeat, double *best)
{
    lb_packer_args args = LB_PACKER_ARGS_INIT;
    args.weights = d->weights;
    args.codes = d->codes;
    args.scales = d->scales;
    args.zeros = d->zeros;
    *best = 1e30;
    for (int i = 0; i < repeat + 2; i++) {
        double taken;
        TRY(lb_event_record(d->event[0], NULL));
        TRY(lb_packer_run(d->packer, &args, NULL));
        TRY(lb_event_record(d->event[1], NULL));
        TRY(lb_event_elapsed(d->event[0], d->event[1], &taken));
        *best = taken < *best ? taken : *best;
    }
    return LB_OK;
}

/* All but the checksum, bytes 8 to 16, which devices leave 0 (docs/formats.md). */
static lb_status same_bytes(const packing *p, const device_packing *d, bool *same)
{
    char *got = malloc(p->bytes);
    if (!got)
        return LB_OUT_OF_MEMORY;
    lb_status status = lb_memory_read(d->context, got, d->memory, p->bytes, NULL);
    *same = status == LB_OK && memcmp(got, p->blob, 8) == 0 &&
            memcmp(got + 16, (const char *)p->blob + 16, p->bytes - 16) == 0;
    free(got);
    return status;
}

/* UNSUPPORTED: the device does not pack, or not this format. */
static lb_status measure_device(const qb_options *o, lb_context *context, const packing *p,
                                const lb_problem *problem, double *seconds, bool *same)
{
    device_packing d = {.context = context};
    lb_status status = upload_all(p, problem, &d);
    for (int i = 0; i < 2 && status == LB_OK; i++)
        status = lb_event_create(context, &d.event[i]);
    if (status == LB_OK)
        status = time_device(&d, o->repeat, seconds);
    if (status == LB_OK)
        status = same_bytes(p, &d, same);
    for (int i = 0; i < 2; i++)
        lb_event_destroy(d.event[i]);
    lb_packer_destroy(d.packer);
    lb_weights_destroy(d.weights);
    const lb_ptr memory[] = {d.memory, d.codes, d.scales, d.zeros};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        lb_memory_free(context, memory[i]);
    return status;
}

/* ---- Everywhere ------------------------------------------------------------------------------ */

/* What kernels of this type of A eat, unless it is in `seen`, a list of layouts, already. */
static lb_status measure(const qb_options *o, lb_context *context, const lb_stored *w, int32_t term,
                         int32_t a_type, char *seen, size_t capacity, int *different)
{
    lb_problem p = LB_PROBLEM_INIT;
    lb_plan *plan = NULL;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    p.m = 16;
    p.a.type = a_type;
    p.d.type = LB_TYPE_F32;
    p.residual.type = term ? LB_TYPE_F32 : LB_TYPE_NONE;
    TRY(lb_stored_problem(w, term, &p));
    TRY(lb_plan_create(context, &p, NULL, &plan));
    lb_status status = lb_plan_get_info(plan, &info);
    char word[40];
    snprintf(word, sizeof word, "%s ", info.layout);
    if (status == LB_OK && strstr(seen, word)) {
        lb_plan_destroy(plan);
        return LB_OK;
    }
    snprintf(seen + strlen(seen), capacity - strlen(seen), "%s", word);
    packing work = {.plan = plan, .stored = w, .term = term, .bytes = (size_t)info.weights_bytes};
    work.blob = malloc(work.bytes);
    double seconds = 0;
    char text[32];
    if (work.blob)
        seconds = shortest(&work, o);
    else
        status = LB_OUT_OF_MEMORY;
    uint64_t stored = 0;
    for (int i = 0; i < LB_PART_COUNT; i++)
        stored += w->part[i].bytes;
    status = status == LB_OK ? work.status : status;
    double weights = (double)w->n * (double)w->k, on_device = 0;
    bool same = true;
    if (status == LB_OK) {
        printf("%-8s %2d bits, term %d  %-10s %9s %8.2f GB/s of stored bytes %8.2f G weights/s\n",
               w->format, lb_type_bits(p.b.type), term + 1, info.layout,
               qb_seconds(seconds, text, sizeof text), (double)stored / seconds / 1e9,
               weights / seconds / 1e9);
        status = measure_device(o, context, &work, &p, &on_device, &same);
        if (status == LB_OK)
            printf("%33s %9s %8.2f GB/s of stored bytes %8.2f G weights/s%s\n", "on the device",
                   qb_seconds(on_device, text, sizeof text), (double)stored / on_device / 1e9,
                   weights / on_device / 1e9, same ? "" : "  BUT OTHER BYTES");
        *different += !same;
        status = status == LB_UNSUPPORTED ? LB_OK : status;
    }
    free(work.blob);
    lb_plan_destroy(plan);
    return status;
}

int qb_command_repack(qb_options *o)
{
    int code, different = 0;
    lb_status status = LB_OK;
    lb_context *context = qb_open_threads(o->device, o->threads, &code);
    for (int i = 0; context && i < FORMATS && status == LB_OK; i++) {
        lb_stored w = LB_STORED_INIT;
        int32_t terms = 0;
        status = make(o, i, &w);
        if (status == LB_OK)
            status = lb_stored_terms(&w, &terms);
        for (int32_t t = 0; t < terms && status == LB_OK; t++) {
            static const int32_t types[] = {LB_TYPE_F32, LB_TYPE_F16, LB_TYPE_S8};
            char seen[128] = "";
            for (int a = 0; a < 3 && status == LB_OK; a++)
                status = measure(o, context, &w, t, types[a], seen, sizeof seen, &different);
        }
        for (int p = 0; p < LB_PART_COUNT; p++)
            free(w.part[p].data);
    }
    lb_context_destroy(context);
    if (status != LB_OK)
        fprintf(stderr, "qbench: %s\n", lb_last_error());
    if (different)
        fprintf(stderr, "qbench: %d times the device packed other bytes than the host\n",
                different);
    return !context ? code : different ? QB_EXIT_WRONG : qb_exit_of(status);
}
