/* SPDX-License-Identifier: Apache-2.0 */
/* Layers, their plans, and the contexts and numbers that all layers of the process share. */
#include "linear.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "error.h"

enum { BUCKETS = 41, DEVICE_NAME = 24 };

/* An opened device; counted by its layers. */
typedef struct opened {
    struct opened *next;
    lb_context *context;
    int64_t uses;
    char name[DEVICE_NAME];
} opened;

struct lb_linear {
    opened *device;
    lb_problem problem; /* m as in the line */
    lb_weights *weights;
    _Atomic(lb_plan *) plans[BUCKETS]; /* [i]: for up to 2^i rows */
    uint64_t workspace[BUCKETS];
    pthread_mutex_t lock; /* of making plans */
    int64_t id;
    int64_t uses; /* under `shared` */
};

/* Guards devices, layers by number, and all counts. */
static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;
static opened *devices;
static lb_linear **layers; /* [id - 1]; NULL where gone */
static int64_t layer_count, layer_room;

/* ---- Errors ---------------------------------------------------------------------------------- */

static _Thread_local char sentence[1024];

const char *lb_linear_error(void)
{
    return sentence;
}

lb_status lb_ops_fail(lb_status status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    return status;
}

lb_status lb_ops_note(lb_status status)
{
    if (status != LB_OK)
        snprintf(sentence, sizeof sentence, "%s", lb_last_error());
    return status;
}

/* ---- Devices --------------------------------------------------------------------------------- */

static lb_status device_open(const char *name, opened **out)
{
    lb_status status = LB_OK;
    if (!name)
        name = "auto";
    if (strlen(name) >= DEVICE_NAME)
        return lb_ops_fail(LB_NO_DEVICE, "no device is called '%s'", name);
    pthread_mutex_lock(&shared);
    opened *found = devices;
    while (found && strcmp(found->name, name) != 0)
        found = found->next;
    if (!found && !(found = calloc(1, sizeof *found))) {
        status = lb_ops_fail(LB_OUT_OF_MEMORY, "no memory for a device");
    } else if (!found->context) {
        lb_context_desc desc = LB_CONTEXT_DESC_INIT;
        desc.device = name;
        status = lb_ops_note(lb_context_create(&desc, &found->context));
        if (status == LB_OK) {
            memcpy(found->name, name, strlen(name) + 1);
            found->next = devices;
            devices = found;
        } else {
            free(found);
        }
    }
    if (status == LB_OK) {
        found->uses++;
        *out = found;
    }
    pthread_mutex_unlock(&shared);
    return status;
}

static void device_close(opened *d)
{
    pthread_mutex_lock(&shared);
    int last = --d->uses == 0;
    if (last) {
        opened **at = &devices;
        while (*at != d)
            at = &(*at)->next;
        *at = d->next;
    }
    pthread_mutex_unlock(&shared);
    if (last) {
        lb_context_destroy(d->context);
        free(d);
    }
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static lb_status enter(lb_linear *linear)
{
    lb_status status = LB_OK;
    pthread_mutex_lock(&shared);
    if (layer_count == layer_room) {
        int64_t room = layer_room ? 2 * layer_room : 64;
        lb_linear **more = realloc(layers, (size_t)room * sizeof *more);
        if (more) {
            layers = more;
            layer_room = room;
        } else {
            status = lb_ops_fail(LB_OUT_OF_MEMORY, "no memory for layer %" PRId64, layer_count + 1);
        }
    }
    if (status == LB_OK) {
        layers[layer_count++] = linear;
        linear->id = layer_count;
        linear->uses = 1;
    }
    pthread_mutex_unlock(&shared);
    return status;
}

int64_t lb_linear_id(const lb_linear *linear)
{
    return linear ? linear->id : 0;
}

lb_linear *lb_linear_find(int64_t id)
{
    lb_linear *found = NULL;
    pthread_mutex_lock(&shared);
    if (id > 0 && id <= layer_count && layers[id - 1]) {
        found = layers[id - 1];
        found->uses++;
    }
    pthread_mutex_unlock(&shared);
    return found;
}

void lb_linear_retain(lb_linear *linear)
{
    pthread_mutex_lock(&shared);
    linear->uses++;
    pthread_mutex_unlock(&shared);
}

/* ---- Layers ---------------------------------------------------------------------------------- */

static void destroy(lb_linear *linear)
{
    lb_weights_destroy(linear->weights);
    for (int i = 0; i < BUCKETS; i++)
        lb_plan_destroy(atomic_load(&linear->plans[i]));
    pthread_mutex_destroy(&linear->lock);
    if (linear->device)
        device_close(linear->device);
    free(linear);
}

void lb_linear_release(lb_linear *linear)
{
    if (!linear)
        return;
    pthread_mutex_lock(&shared);
    int last = --linear->uses == 0;
    if (last)
        layers[linear->id - 1] = NULL;
    pthread_mutex_unlock(&shared);
    if (last)
        destroy(linear);
}

/* Index of the smallest plan that takes m rows. */
static int bucket(int64_t m)
{
    int i = 0;
    while (i < BUCKETS && (int64_t)1 << i < m)
        i++;
    return i;
}

/* The plan is made under the lock, published last. */
static lb_status make_plan(lb_linear *linear, int i)
{
    lb_problem problem = linear->problem;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_plan *plan = NULL;
    problem.m = (int64_t)1 << i;
    if (linear->weights)
        desc.layout = lb_weights_layout(linear->weights);
    OPS_TRY(lb_ops_note(lb_plan_create(linear->device->context, &problem, &desc, &plan)));
    lb_status status = lb_ops_note(lb_plan_get_info(plan, &info));
    if (status != LB_OK) {
        lb_plan_destroy(plan);
        return status;
    }
    linear->workspace[i] = info.workspace_bytes;
    atomic_store_explicit(&linear->plans[i], plan, memory_order_release);
    return LB_OK;
}

static lb_status plan_for(lb_linear *linear, int64_t m, int *index)
{
    int i = bucket(m);
    if (m < 0 || i >= BUCKETS)
        return lb_ops_fail(LB_INVALID_ARGUMENT, "m is %" PRId64 "; a layer takes 0 to 2^%d rows", m,
                           BUCKETS - 1);
    *index = i;
    if (atomic_load_explicit(&linear->plans[i], memory_order_acquire))
        return LB_OK;
    lb_status status = LB_OK;
    pthread_mutex_lock(&linear->lock);
    if (!atomic_load(&linear->plans[i]))
        status = make_plan(linear, i);
    pthread_mutex_unlock(&linear->lock);
    return status;
}

lb_status lb_linear_create(const char *device, const char *line, const lb_tensor *weights,
                           lb_linear **out)
{
    lb_problem problem;
    lb_weights_source source;
    int i;
    OPS_TRY(lb_ops_note(lb_problem_parse(line, &problem)));
    if (problem.batch > 1 || problem.a.ld || problem.b.ld || problem.d.ld || problem.residual.ld)
        return lb_ops_fail(LB_UNSUPPORTED,
                           "'%s': a layer is one product of dense rows; leave out batch and ld",
                           line);
    OPS_TRY(lb_ops_source(&problem, weights, &source));
    lb_linear *linear = calloc(1, sizeof *linear);
    if (!linear)
        return lb_ops_fail(LB_OUT_OF_MEMORY, "no memory for a layer");
    pthread_mutex_init(&linear->lock, NULL);
    linear->problem = problem;
    lb_status status = device_open(device, &linear->device);
    if (status == LB_OK)
        status = plan_for(linear, problem.m, &i);
    if (status == LB_OK)
        status = lb_ops_note(lb_weights_create(linear->plans[i], &source, &linear->weights));
    if (status == LB_OK)
        status = enter(linear);
    if (status == LB_OK)
        *out = linear;
    else
        destroy(linear);
    return status;
}

lb_status lb_linear_problem(const lb_linear *linear, lb_problem *problem)
{
    *problem = linear->problem;
    return LB_OK;
}

lb_context *lb_linear_context(const lb_linear *linear)
{
    return linear->device->context;
}

lb_status lb_linear_plan(lb_linear *linear, int64_t m, const lb_plan **plan,
                         uint64_t *workspace_bytes)
{
    int i;
    OPS_TRY(plan_for(linear, m, &i));
    *plan = linear->plans[i];
    *workspace_bytes = linear->workspace[i];
    return LB_OK;
}

lb_status lb_linear_bind(lb_linear *linear, const lb_tensor *tensors, lb_args *args)
{
    args->weights = linear->weights;
    return lb_ops_bind(&linear->problem, tensors, args);
}

void lb_linear_output(const lb_linear *linear, int32_t *type, int64_t *elements)
{
    lb_ops_output(&linear->problem, type, elements);
}

/* m = 0 means problem.m to the library, nothing here. */
lb_status lb_linear_run(lb_linear *linear, const lb_args *args, lb_stream stream)
{
    int i;
    OPS_TRY(plan_for(linear, args->m, &i));
    return args->m ? lb_ops_note(lb_run(linear->plans[i], args, stream)) : LB_OK;
}

lb_status lb_linear_run_host(lb_linear *linear, const lb_args *args)
{
    int i;
    OPS_TRY(plan_for(linear, args->m, &i));
    return args->m ? lb_ops_note(lb_run_host(linear->plans[i], args, NULL)) : LB_OK;
}
