/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LB_MAX_CONCURRENT_RUNS threads held inside lb_run of one plan: one more is LB_BUSY and writes
 * nothing, another plan of the same context is not affected, and when they leave, all go on. They
 * are held where lb_run enqueues, by an enqueue that waits.
 */
#include "opencl.h"
#include "rig.h"
#include "threads.h"

static __typeof__(clEnqueueNDRangeKernel) *enqueue;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int inside;
static bool gate_open;
static _Thread_local bool held; /* this thread waits at the gate */

static cl_int CL_API_CALL enqueue_at_the_gate(cl_command_queue queue, cl_kernel kernel,
                                              cl_uint dimensions, const size_t *offset,
                                              const size_t *global, const size_t *local,
                                              cl_uint waits, const cl_event *wait_list,
                                              cl_event *event)
{
    pthread_mutex_lock(&lock);
    inside += held;
    pthread_cond_broadcast(&changed);
    while (held && !gate_open)
        pthread_cond_wait(&changed, &lock);
    held = false;
    pthread_mutex_unlock(&lock);
    return enqueue(queue, kernel, dimensions, offset, global, local, waits, wait_list, event);
}

typedef struct scene {
    const rig *crowded, *other;
} scene;

static void be_one_of_many(const rig *r)
{
    rig_lane lane;
    lb_verify_report report;
    EXPECT_OK(rig_lane_open(r, 0, &lane));
    held = true;
    EXPECT_OK(rig_lane_check(&lane, &report));
    EXPECT(report.checked > 0 && report.wrong == 0, "%llu wrong", (unsigned long long)report.wrong);
    rig_lane_close(&lane);
}

static void be_one_too_many(const scene *s)
{
    rig_lane lane;
    lb_verify_report report;
    pthread_mutex_lock(&lock);
    while (inside < LB_MAX_CONCURRENT_RUNS)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);

    EXPECT_OK(rig_lane_open(s->crowded, 0, &lane));
    EXPECT_OK(rig_lane_poison(&lane));
    EXPECT(lb_run(lane.rig->plan, &lane.args, lane.stream) == LB_BUSY, "%s", lb_last_error());
    EXPECT(strcmp(lb_last_error(), "lb_run: 32 threads are inside lb_run of this plan already; "
                                   "make a second plan for more") == 0,
           "%s", lb_last_error());
    EXPECT_OK(rig_lane_read(&lane));
    for (uint64_t i = 0; i < lane.rig->in->sizes.d; i++)
        EXPECT(((unsigned char *)lane.d)[i] == RIG_POISON, "byte %llu was written",
               (unsigned long long)i);
    rig_lane_close(&lane);

    EXPECT_OK(rig_lane_open(s->other, 0, &lane));
    EXPECT_OK(rig_lane_check(&lane, &report));
    EXPECT(report.wrong == 0, "%llu wrong", (unsigned long long)report.wrong);
    rig_lane_close(&lane);

    pthread_mutex_lock(&lock);
    gate_open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void act(int index, void *shared)
{
    const scene *s = shared;
    if (index < LB_MAX_CONCURRENT_RUNS)
        be_one_of_many(s->crowded);
    else
        be_one_too_many(s);
}

int main(void)
{
    rig_inputs in;
    rig crowded, other;
    rig_lane lane;
    lb_verify_report report;
    lb_context *context = context_of("opencl", NULL);
    if (!context)
        return SKIPPED;
    lb_opencl_context *o = context->impl;
    lb_cl gated = *o->cl;
    enqueue = gated.clEnqueueNDRangeKernel;
    gated.clEnqueueNDRangeKernel = enqueue_at_the_gate;
    o->cl = &gated;

    NEED_OK(rig_inputs_make("s8*s8->s32 m3 n17 k40", 3, &in));
    NEED_OK(rig_open(context, &in, NULL, &crowded));
    NEED_OK(rig_open(context, &in, NULL, &other));
    run_together(LB_MAX_CONCURRENT_RUNS + 1, act, &(scene){&crowded, &other});
    EXPECT(inside == LB_MAX_CONCURRENT_RUNS, "%d were held", inside);

    /* Afterwards the plan is free again. */
    EXPECT_OK(rig_lane_open(&crowded, 0, &lane));
    EXPECT_OK(rig_lane_check(&lane, &report));
    EXPECT(report.wrong == 0, "%llu wrong", (unsigned long long)report.wrong);
    rig_lane_close(&lane);
    rig_close(&other);
    rig_close(&crowded);
    rig_inputs_free(&in);
    lb_context_destroy(context);
    return conclude();
}
