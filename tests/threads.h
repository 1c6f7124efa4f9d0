/* SPDX-License-Identifier: Apache-2.0 */
/* What the thread_*.c programs share: threads that start together, and assertions that count. */
#ifndef TESTS_THREADS_H
#define TESTS_THREADS_H

#include <lowbit/lowbit.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_THREADS 64
#define SKIPPED 77 /* exit code that ctest is told about */

static atomic_int failures;
static atomic_int checks;

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        atomic_fetch_add(&checks, 1);                                                              \
        if (!(condition)) {                                                                        \
            atomic_fetch_add(&failures, 1);                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)
#define EXPECT_OK(call) EXPECT((call) == LB_OK, "%s", lb_last_error())
/* For what all that follows needs. */
#define NEED_OK(call)                                                                              \
    do {                                                                                           \
        if ((call) != LB_OK) {                                                                     \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, lb_last_error());        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

typedef struct together {
    pthread_barrier_t *start;
    void (*body)(int index, void *shared);
    void *shared;
    int index;
} together;

static void *together_main(void *argument)
{
    together *t = argument;
    pthread_barrier_wait(t->start);
    t->body(t->index, t->shared);
    return NULL;
}

/* body(0..count-1, shared) in `count` threads that start at the same time; returns when all are
 * done. */
static void run_together(int count, void (*body)(int index, void *shared), void *shared)
{
    pthread_t thread[MOST_THREADS];
    together each[MOST_THREADS];
    pthread_barrier_t start;
    if (pthread_barrier_init(&start, NULL, (unsigned)count) != 0)
        exit(1);
    for (int i = 0; i < count; i++) {
        each[i] = (together){&start, body, shared, i};
        if (pthread_create(&thread[i], NULL, together_main, &each[i]) != 0) {
            fprintf(stderr, "no thread %d\n", i);
            exit(1);
        }
    }
    for (int i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&start);
}

/* A context of the backend; NULL, with a word to the log, where it has no device. */
static inline lb_context *context_of(const char *backend, const char *cache_dir)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context = NULL;
    desc.device = backend;
    desc.cache_dir = cache_dir;
    lb_status status = lb_context_create(&desc, &context);
    if (status == LB_NO_DEVICE) {
        fprintf(stderr, "%s is left out: %s\n", backend, lb_last_error());
        return NULL;
    }
    NEED_OK(status);
    return context;
}

static int conclude(void)
{
    printf("%d checks, %d failed\n", atomic_load(&checks), atomic_load(&failures));
    return atomic_load(&failures) != 0;
}

#endif
