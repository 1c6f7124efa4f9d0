/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An inference server in one process. Clients put requests of a few rows into a queue; workers take
 * as many as fit a batch, run a small network of low-bit products on it and answer. One context and
 * one set of weights for all; a plan for every layer and batch size; a stream, buffers and a
 * workspace for every worker. After warm-up nothing is allocated.
 *
 *     clients -> queue -> workers (model, lane) -> answers, checked against the reference
 */
#ifndef EXAMPLES_SERVER_H
#define EXAMPLES_SERVER_H

#include <lowbit/lowbit.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TRY(call)                                                                                  \
    do {                                                                                           \
        lb_status try_status_ = (call);                                                            \
        if (try_status_ != LB_OK)                                                                  \
            return try_status_;                                                                    \
    } while (0)

/* ---- Model (model.c) ------------------------------------------------------------------------- */

enum { FEATURES = 256, HIDDEN = 1024, ANSWERS = 128, LAYERS = 3, BUCKETS = 4, MOST_ROWS = 64 };
extern const int bucket_rows[BUCKETS]; /* rows that a plan is made for, ascending to MOST_ROWS */

typedef struct model {
    lb_context *context;
    lb_plan *plan[LAYERS][BUCKETS];
    lb_weights *weights[LAYERS];
    lb_quantizer *quantizer[LAYERS];
    lb_ptr bias[LAYERS];
    size_t workspace;       /* of the plan that needs most */
    uint64_t weights_bytes; /* packed */
} model;

/* Made from a fixed seed, so that it is the same on every device. Close also after a failure. */
lb_status model_open(const char *device, model *m);
void model_close(model *m);

/* What one batch at a time needs; for one thread. */
typedef struct lane {
    const model *model;
    lb_stream stream;
    lb_ptr x[2], codes, scales, workspace;
} lane;

lb_status lane_open(const model *m, lane *l);
void lane_close(lane *l);
/* in [rows][FEATURES], out [rows][ANSWERS], rows at most MOST_ROWS. Returns when out is there. */
lb_status lane_run(const lane *l, const float *in, int rows, float *out);
int bucket_of(int rows);

/* ---- Queue (queue.c) ------------------------------------------------------------------------- */

typedef struct request {
    const float *in; /* [rows][FEATURES] */
    float *out;      /* [rows][ANSWERS] */
    int rows;
    lb_status status;
    /* The queue's own. */
    int64_t arrived; /* ns */
    bool done;
    pthread_cond_t answered;
    struct request *next;
} request;

/* First come, first served; the requests belong to the clients, so it has no limit and no memory.
 */
typedef struct queue {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    request *first, **last;
    int rows;
    bool closed;
} queue;

int64_t now_ns(void);
void request_init(request *r);
void queue_init(queue *q);
/* Puts a request in and waits for its answer. */
lb_status queue_ask(queue *q, request *r);
/*
 * Waits for a request, then up to wait_ns from its arrival for more of them, and takes as many
 * whole ones as fit MOST_ROWS rows. Returns their number; 0 when the queue is closed and empty.
 */
int queue_take(queue *q, int64_t wait_ns, request *batch[MOST_ROWS]);
void queue_answer(queue *q, request *const *batch, int count, lb_status status);
/* What is in the queue is still answered. */
void queue_close(queue *q);

/* ---- Counts (counts.c) ----------------------------------------------------------------------- */

enum { BINS = 512 }; /* of latencies: 8 in every power of two, so read to 12.5 % */

/* Written by all threads without locks; any may be read at any time. */
typedef struct counts {
    atomic_llong requests, rows, batches, wrong, failed;
    atomic_llong by_bucket[BUCKETS];
    atomic_llong latency[BINS];
} counts;

typedef struct totals {
    long long requests, rows, batches, wrong, failed, by_bucket[BUCKETS], latency[BINS];
} totals;

void counts_add_latency(counts *c, int64_t ns);
void counts_read(counts *c, totals *t);
/* What came after `before`. */
void totals_subtract(totals *t, const totals *before);
/* Milliseconds that a share of the requests did not exceed. */
double totals_latency(const totals *t, double share);

/* ---- Allocations (allocations.c) ------------------------------------------------------------- */

/* Calls to malloc and its kin by this program and the library, which is linked into it. */
long long allocations(void);

/* ---- Threads (threads.c) --------------------------------------------------------------------- */

enum { POOL = 512 }; /* rows that requests are cut from */

typedef struct server {
    model model;
    queue queue;
    counts counts;
    float *in, *expected; /* [POOL][FEATURES], [POOL][ANSWERS] by the reference */
    int workers, clients, most_rows;
    int64_t wait_ns;
    int pause_us;
    pthread_barrier_t warm; /* workers, clients and the main thread: all is allocated */
    atomic_bool stop;
    atomic_int seeds; /* clients so far: they differ by it */
    int started;      /* of threads[] */
    pthread_t threads[];
} server;

/* Starts workers and clients; when it returns, all have warmed up. 0, or an errno. */
int server_start(server *s);
/* Clients finish what they asked, the queue runs empty, all threads end. */
void server_stop(server *s);

#endif
