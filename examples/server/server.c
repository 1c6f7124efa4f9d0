/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, the reference's answers, the load once a second, and the end: after --seconds,
 * or by SIGINT or SIGTERM. Ends with 0 if every answer was the reference's to the bit and nothing
 * was allocated after warm-up.
 */
#include <errno.h>
#include <popt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server.h"

typedef struct options {
    char *device; /* popt's, freed at the end */
    double seconds;
    int workers, clients, rows, wait, pause, quiet;
} options;

/* ---- Command line ---------------------------------------------------------------------------- */

static int refuse(const char *what)
{
    fprintf(stderr, "server: %s; see server --help\n", what);
    return 2;
}

/* -1, or the exit code. */
static int parse(int count, const char **words, options *o)
{
    const struct poptOption table[] = {
        {"device", 'd', POPT_ARG_STRING, &o->device, 0,
         "where to compute: auto (the default), ref, opencl, opencl:1 ...", "DEVICE"},
        {"seconds", 's', POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o->seconds, 0,
         "how long; 0 = until SIGINT", "SECONDS"},
        {"workers", 'w', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->workers, 0,
         "threads that run batches", "COUNT"},
        {"clients", 'c', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->clients, 0,
         "threads that ask, each one thing at a time", "COUNT"},
        {"rows", 'r', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->rows, 0,
         "most rows of a request", "ROWS"},
        {"wait", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->wait, 0,
         "how long a batch waits for more requests", "MICROSECONDS"},
        {"pause", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->pause, 0,
         "a client's mean pause between requests", "MICROSECONDS"},
        {"quiet", 'q', POPT_ARG_NONE, &o->quiet, 0, "only the totals", NULL},
        POPT_AUTOHELP POPT_TABLEEND};
    poptContext context = poptGetContext("server", count, words, table, 0);
    int code = poptGetNextOpt(context);
    const char *word =
        code < -1 ? poptBadOption(context, POPT_BADOPTION_NOALIAS) : poptPeekArg(context);
    if (word)
        fprintf(stderr, "server: %s: %s; see server --help\n", word,
                code < -1 ? poptStrerror(code) : "no such argument");
    poptFreeContext(context);
    if (word)
        return 2;
    if (o->workers < 1 || o->workers > LB_MAX_CONCURRENT_RUNS)
        return refuse("--workers takes 1 to 32"); /* more at once and lb_run says LB_BUSY */
    if (o->clients < 1 || o->clients > 1000)
        return refuse("--clients takes 1 to 1000");
    if (o->rows < 1 || o->rows > MOST_ROWS)
        return refuse("--rows takes 1 to 64");
    if (o->wait < 0 || o->wait > 1000000 || o->pause < 0 || o->pause > 1000000)
        return refuse("--wait and --pause take 0 to 1000000");
    if (!(o->seconds >= 0 && o->seconds <= 1e6))
        return refuse("--seconds takes 0 to 1000000");
    return -1;
}

/* ---- Right answers --------------------------------------------------------------------------- */

static lb_status answer_all(const model *m, const float *in, float *out)
{
    lane l;
    lb_status status = lane_open(m, &l);
    for (int i = 0; i < POOL && status == LB_OK; i += MOST_ROWS)
        status = lane_run(&l, in + (size_t)i * FEATURES, MOST_ROWS, out + (size_t)i * ANSWERS);
    lane_close(&l);
    return status;
}

static lb_status make_answers(server *s)
{
    model reference;
    uint32_t seed = 99;
    for (int i = 0; i < POOL * FEATURES; i++) {
        seed = seed * 1664525u + 1013904223u;
        s->in[i] = (float)(seed >> 8) * 0x1p-23f - 1;
    }
    lb_status status = model_open("ref", &reference);
    if (status == LB_OK)
        status = answer_all(&reference, s->in, s->expected);
    model_close(&reference);
    return status;
}

/* ---- Watching -------------------------------------------------------------------------------- */

static void show(const char *label, const totals *t, double seconds)
{
    printf("%-7s %8.0f requests/s %8.0f rows/s, %5.1f rows a batch; ms: p50 %.2f p90 %.2f p99 %.2f"
           "; batches up to",
           label, (double)t->requests / seconds, (double)t->rows / seconds,
           t->batches ? (double)t->rows / (double)t->batches : 0, totals_latency(t, 0.5),
           totals_latency(t, 0.9), totals_latency(t, 0.99));
    for (int b = 0; b < BUCKETS; b++)
        printf(" %d: %lld%s", bucket_rows[b], t->by_bucket[b], b + 1 < BUCKETS ? "," : "\n");
    fflush(stdout);
}

/* Until the time is over, a signal comes or a worker fails; seconds that passed. */
static double watch(server *s, const options *o, const sigset_t *signals, bool *signalled)
{
    totals before = {0}, now, step;
    int64_t start = now_ns(), last = start, end = start + (int64_t)(o->seconds * 1e9);
    int got = -1;
    while (got < 0 && !atomic_load(&s->stop) && (o->seconds == 0 || last < end)) {
        int64_t next = last + 1000000000;
        if (o->seconds != 0 && end < next)
            next = end;
        int64_t left = next - now_ns();
        left = left > 0 ? left : 0;
        got = sigtimedwait(signals, NULL, &(struct timespec){left / 1000000000, left % 1000000000});
        if (got < 0 && errno == EINTR)
            continue;
        char label[32];
        int64_t then = now_ns();
        counts_read(&s->counts, &now);
        step = now;
        totals_subtract(&step, &before);
        snprintf(label, sizeof label, "%.0f s", (double)(then - start) * 1e-9);
        if (!o->quiet && got < 0)
            show(label, &step, (double)(then - last) * 1e-9);
        before = now;
        last = then;
    }
    *signalled = got >= 0;
    if (*signalled)
        printf("stopped by %s\n", strsignal(got));
    return (double)(now_ns() - start) * 1e-9;
}

/* Serves; the exit code. */
static int serve(server *s, const options *o, const sigset_t *signals)
{
    totals t;
    int error = server_start(s);
    if (error) {
        fprintf(stderr, "server: no thread %d: %s\n", s->started, strerror(error));
        exit(2); /* those that are there wait for it */
    }
    long long warm = allocations();
    bool signalled;
    double seconds = watch(s, o, signals, &signalled);
    long long later = allocations() - warm;
    counts_read(&s->counts, &t);
    show("total", &t, seconds);
    server_stop(s);
    counts_read(&s->counts, &t);
    printf("%lld answers, %lld wrong, %lld failed; %lld allocations after warm-up (%lld before)\n",
           t.requests, t.wrong, t.failed, later, warm);
    return t.wrong || t.failed || later || (!t.requests && !signalled);
}

/* Opens, serves, closes; the exit code. */
static int run(const options *o, server *s, const sigset_t *signals)
{
    lb_device_info info = LB_DEVICE_INFO_INIT;
    int code = 2;
    lb_status status = make_answers(s);
    if (status == LB_OK)
        status = model_open(o->device ? o->device : "auto", &s->model);
    if (status == LB_OK)
        status = lb_context_info(s->model.context, &info);
    if (status != LB_OK) {
        fprintf(stderr, "server: %s\n", lb_last_error());
    } else {
        printf("%s, %s: %d plans, %.1f KB of weights, %d workers, %d clients\n", info.selector,
               info.name, LAYERS * BUCKETS, (double)s->model.weights_bytes * 1e-3, o->workers,
               o->clients);
        code = serve(s, o, signals);
    }
    model_close(&s->model);
    return code;
}

int main(int count, char **words)
{
    options o = {NULL, 5, 2, 16, 8, 200, 500, 0};
    int code = parse(count, (const char **)words, &o);
    if (code >= 0)
        return code;
    sigset_t signals; /* for watch alone: blocked before any thread is made, the driver's too */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    server *s = calloc(1, sizeof *s + sizeof *s->threads * (size_t)(o.workers + o.clients));
    float *memory = malloc(sizeof *memory * POOL * (FEATURES + ANSWERS));
    if (!s || !memory)
        return fprintf(stderr, "server: no memory\n"), 2;
    s->in = memory;
    s->expected = memory + (size_t)POOL * FEATURES;
    s->workers = o.workers;
    s->clients = o.clients;
    s->most_rows = o.rows;
    s->wait_ns = (int64_t)o.wait * 1000;
    s->pause_us = o.pause;
    code = run(&o, s, &signals);
    free(memory);
    free(s);
    free(o.device);
    return code;
}
