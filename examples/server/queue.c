/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <time.h>

#include "server.h"

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void request_init(request *r)
{
    *r = (request){0};
    cond_init(&r->answered);
}

void queue_init(queue *q)
{
    *q = (queue){0};
    q->last = &q->first;
    pthread_mutex_init(&q->lock, NULL);
    cond_init(&q->arrived);
}

lb_status queue_ask(queue *q, request *r)
{
    pthread_mutex_lock(&q->lock);
    r->arrived = now_ns();
    r->done = false;
    r->next = NULL;
    *q->last = r;
    q->last = &r->next;
    q->rows += r->rows;
    pthread_cond_signal(&q->arrived);
    while (!r->done)
        pthread_cond_wait(&r->answered, &q->lock);
    pthread_mutex_unlock(&q->lock);
    return r->status;
}

/* Takes what fits; the lock is held. */
static int take(queue *q, request *batch[MOST_ROWS])
{
    int count = 0, rows = 0;
    while (q->first && rows + q->first->rows <= MOST_ROWS) {
        request *r = q->first;
        q->first = r->next;
        rows += r->rows;
        batch[count++] = r;
    }
    q->rows -= rows;
    if (!q->first)
        q->last = &q->first;
    else
        pthread_cond_signal(&q->arrived); /* the rest is for another worker */
    return count;
}

int queue_take(queue *q, int64_t wait_ns, request *batch[MOST_ROWS])
{
    int count = 0;
    pthread_mutex_lock(&q->lock);
    while (!count && (q->first || !q->closed)) {
        if (!q->first)
            pthread_cond_wait(&q->arrived, &q->lock);
        while (q->first && q->rows < MOST_ROWS && !q->closed) {
            int64_t until = q->first->arrived + wait_ns;
            struct timespec t = {until / 1000000000, until % 1000000000};
            if (pthread_cond_timedwait(&q->arrived, &q->lock, &t) == ETIMEDOUT)
                break;
        }
        count = take(q, batch); /* 0 where another worker was faster */
    }
    pthread_mutex_unlock(&q->lock);
    return count;
}

void queue_answer(queue *q, request *const *batch, int count, lb_status status)
{
    pthread_mutex_lock(&q->lock);
    for (int i = 0; i < count; i++) {
        batch[i]->status = status;
        batch[i]->done = true;
        pthread_cond_signal(&batch[i]->answered);
    }
    pthread_mutex_unlock(&q->lock);
}

void queue_close(queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->arrived);
    pthread_mutex_unlock(&q->lock);
}
