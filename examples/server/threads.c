/* SPDX-License-Identifier: Apache-2.0 */
/* Workers, which run batches, and clients, which ask and check the answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server.h"

static void add(atomic_llong *count, long long by)
{
    atomic_fetch_add_explicit(count, by, memory_order_relaxed);
}

/* ---- Workers --------------------------------------------------------------------------------- */

typedef struct batch_memory {
    float in[MOST_ROWS * FEATURES], out[MOST_ROWS * ANSWERS];
} batch_memory;

static lb_status run_batch(server *s, const lane *l, batch_memory *b, request *const *batch,
                           int count)
{
    int rows = 0;
    for (int i = 0; i < count; rows += batch[i++]->rows)
        memcpy(b->in + (size_t)rows * FEATURES, batch[i]->in,
               sizeof *b->in * (size_t)batch[i]->rows * FEATURES);
    TRY(lane_run(l, b->in, rows, b->out));
    rows = 0;
    for (int i = 0; i < count; rows += batch[i++]->rows)
        memcpy(batch[i]->out, b->out + (size_t)rows * ANSWERS,
               sizeof *b->out * (size_t)batch[i]->rows * ANSWERS);
    add(&s->counts.batches, 1);
    add(&s->counts.rows, rows);
    add(&s->counts.by_bucket[bucket_of(rows)], 1);
    return LB_OK;
}

static void serve(server *s, const lane *l, batch_memory *b)
{
    request *batch[MOST_ROWS];
    int count;
    while ((count = queue_take(&s->queue, s->wait_ns, batch))) {
        lb_status status = run_batch(s, l, b, batch, count);
        if (status != LB_OK)
            fprintf(stderr, "server: %s\n", lb_last_error());
        queue_answer(&s->queue, batch, count, status);
    }
}

static void *worker(void *argument)
{
    server *s = argument;
    lane l;
    batch_memory *memory = calloc(1, sizeof *memory);
    lb_status status = lane_open(&s->model, &l);
    for (int b = 0; b < BUCKETS && memory && status == LB_OK; b++)
        status = lane_run(&l, memory->in, bucket_rows[b], memory->out);
    if (!memory || status != LB_OK) {
        fprintf(stderr, "server: a worker cannot start: %s\n",
                memory ? lb_last_error() : "no memory for its batches");
        atomic_store(&s->stop, true);
    }
    bool usable = memory && status == LB_OK;
    pthread_barrier_wait(&s->warm);
    if (usable)
        serve(s, &l, memory);
    else
        for (request *batch[MOST_ROWS];;) { /* so that no client waits for ever */
            int count = queue_take(&s->queue, 0, batch);
            if (!count)
                break;
            queue_answer(&s->queue, batch, count, LB_OUT_OF_MEMORY);
        }
    lane_close(&l);
    free(memory);
    return NULL;
}

/* ---- Clients --------------------------------------------------------------------------------- */

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)*seed * below >> 32);
}

static void client_ask(server *s, request *r, float *out, uint32_t *seed)
{
    r->rows = 1 + (int)draw(seed, (uint32_t)s->most_rows);
    size_t first = draw(seed, (uint32_t)(POOL - r->rows + 1));
    r->in = s->in + first * FEATURES;
    r->out = out;
    if (queue_ask(&s->queue, r) != LB_OK) {
        add(&s->counts.failed, 1);
        atomic_store(&s->stop, true);
        return;
    }
    counts_add_latency(&s->counts, now_ns() - r->arrived);
    add(&s->counts.requests, 1);
    if (memcmp(out, s->expected + first * ANSWERS, sizeof *out * (size_t)r->rows * ANSWERS) != 0)
        add(&s->counts.wrong, 1);
}

static void *client(void *argument)
{
    server *s = argument;
    float out[MOST_ROWS * ANSWERS];
    request r;
    uint32_t seed = 2654435761u * (1 + (uint32_t)atomic_fetch_add(&s->seeds, 1));
    request_init(&r);
    pthread_barrier_wait(&s->warm);
    while (!atomic_load(&s->stop)) {
        client_ask(s, &r, out, &seed);
        long pause = s->pause_us ? (long)draw(&seed, 2 * (uint32_t)s->pause_us) : 0;
        if (pause)
            nanosleep(&(struct timespec){pause / 1000000, pause % 1000000 * 1000}, NULL);
    }
    pthread_cond_destroy(&r.answered);
    return NULL;
}

/* ---- All of them ----------------------------------------------------------------------------- */

int server_start(server *s)
{
    queue_init(&s->queue);
    int error = pthread_barrier_init(&s->warm, NULL, (unsigned)(s->workers + s->clients) + 1);
    for (int i = 0; i < s->workers + s->clients && !error; i++) {
        error = pthread_create(&s->threads[i], NULL, i < s->clients ? client : worker, s);
        s->started += !error;
    }
    if (!error)
        pthread_barrier_wait(&s->warm);
    return error;
}

void server_stop(server *s)
{
    atomic_store(&s->stop, true);
    for (int i = 0; i < s->clients; i++)
        pthread_join(s->threads[i], NULL);
    queue_close(&s->queue);
    for (int i = s->clients; i < s->started; i++)
        pthread_join(s->threads[i], NULL);
    pthread_barrier_destroy(&s->warm);
}
