/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"

#include <stdlib.h>
#include <time.h>

#define MOST_SAMPLES 2000
#define SHORTEST_SAMPLE 0.5e-3 /* seconds: below, an event's own cost would be measured */

double qb_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void summarise(double *samples, long count, long runs, qb_time *time)
{
    qsort(samples, (size_t)count, sizeof *samples, by_value);
    double middle =
        count % 2 ? samples[count / 2] : (samples[count / 2 - 1] + samples[count / 2]) / 2;
    *time = (qb_time){.median = middle,
                      .low = samples[(count - 1) / 10],
                      .high = samples[(count - 1) - (count - 1) / 10],
                      .samples = count,
                      .runs = runs};
}

/* What is timed on the device. */
typedef struct job {
    qb_run_fn *run;
    void *argument;
    size_t copies, turn;
    lb_stream stream;
    lb_event *events[2];
} job;

static lb_status sample(job *w, long runs, double *seconds)
{
    lb_status status = lb_event_record(w->events[0], w->stream);
    for (long i = 0; status == LB_OK && i < runs; i++)
        status = w->run(w->argument, w->turn++);
    if (status == LB_OK)
        status = lb_event_record(w->events[1], w->stream);
    if (status == LB_OK)
        status = lb_event_elapsed(w->events[0], w->events[1], seconds);
    *seconds /= (double)runs;
    return status;
}

static lb_status measure(job *w, double min_time, int least, qb_time *time)
{
    static double samples[MOST_SAMPLES];
    double seconds = 0;
    long runs = 1, count = 0;
    /* Warm up with every copy, and learn how many runs make a sample long enough. */
    lb_status status = sample(w, 1, &seconds);
    if (status == LB_OK && seconds * (double)w->copies < min_time)
        status = sample(w, (long)w->copies, &seconds);
    if (status == LB_OK && seconds < SHORTEST_SAMPLE)
        runs = (long)(SHORTEST_SAMPLE / (seconds > 1e-7 ? seconds : 1e-7)) + 1;
    double start = qb_now();
    while (status == LB_OK && count < MOST_SAMPLES &&
           (count < least || qb_now() - start < min_time))
        status = sample(w, runs, &samples[count++]);
    if (status == LB_OK)
        summarise(samples, count, runs, time);
    return status;
}

lb_status qb_measure_device(lb_context *context, lb_stream stream, qb_run_fn *run, void *argument,
                            size_t copies, double min_time, int least, qb_time *time)
{
    job w = {.run = run, .argument = argument, .copies = copies, .stream = stream};
    lb_status status = lb_event_create(context, &w.events[0]);
    if (status == LB_OK)
        status = lb_event_create(context, &w.events[1]);
    if (status == LB_OK)
        status = measure(&w, min_time, least, time);
    lb_event_destroy(w.events[0]);
    lb_event_destroy(w.events[1]);
    return status;
}

static lb_status run_case(void *argument, size_t turn)
{
    return qb_case_run(argument, turn);
}

lb_status qb_measure(qb_case *c, double min_time, int least, qb_time *time)
{
    return qb_measure_device(c->context, NULL, run_case, c, c->copies, min_time, least, time);
}

void qb_measure_host(void (*work)(void *), void *argument, double min_time, int least,
                     qb_time *time)
{
    static double samples[MOST_SAMPLES];
    long count = 0;
    work(argument);
    double start = qb_now(), from = start, to;
    do {
        work(argument);
        to = qb_now();
        samples[count++] = to - from;
        from = to;
    } while (count < MOST_SAMPLES && (count < least || to - start < min_time));
    summarise(samples, count, 1, time);
}
