/* SPDX-License-Identifier: Apache-2.0 */
/* One context, one plan and one lb_weights in eight threads, each with its own queue, workspace and
   D; and the errors of one thread are no other's. */
#include "rig.h"
#include "threads.h"

#define THREADS 8
#define RUNS 6

/* Threads with odd indices also make mistakes: their texts must be their own. */
static void make_a_mistake(const rig_lane *lane, int index)
{
    char expected[64];
    lb_args args = lane->args;
    args.m = 1000 + index;
    snprintf(expected, sizeof expected, "lb_run: m is %d,", 1000 + index);
    EXPECT(lb_run(lane->rig->plan, &args, lane->stream) == LB_INVALID_ARGUMENT, "m beyond");
    EXPECT(strncmp(lb_last_error(), expected, strlen(expected)) == 0, "'%s'", lb_last_error());
}

static void use(int index, void *shared)
{
    rig_lane lane;
    lb_verify_report report;
    EXPECT(lb_last_error()[0] == 0, "a new thread begins with '%s'", lb_last_error());
    EXPECT_OK(rig_lane_open(shared, index % 4 == 3 ? LB_STREAM_OUT_OF_ORDER : 0, &lane));
    for (int i = 0; i < RUNS; i++) {
        if (index % 2)
            make_a_mistake(&lane, index);
        EXPECT_OK(rig_lane_check(&lane, &report));
        EXPECT(report.checked > 0 && report.wrong == 0, "%llu of %llu wrong",
               (unsigned long long)report.wrong, (unsigned long long)report.checked);
    }
    if (index % 2 == 0)
        EXPECT(lb_last_error()[0] == 0, "another thread's text: '%s'", lb_last_error());
    rig_lane_close(&lane);
}

int main(void)
{
    static const char *const backends[] = {"ref", "opencl"};
    static const char *const lines[] = {"s8*s4->s32 m17 n33 k65",
                                        "u8.token.z*s8.channel->f16 m5 n70 k64 +bias +relu",
                                        "f16*s4.g32->f32 m3 n40 k96"};
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
        lb_context *context = context_of(backends[b], NULL);
        for (size_t i = 0; context && i < sizeof lines / sizeof *lines; i++) {
            rig_inputs in;
            rig r;
            NEED_OK(rig_inputs_make(lines[i], 7, &in));
            NEED_OK(rig_open(context, &in, NULL, &r));
            run_together(THREADS, use, &r);
            rig_close(&r);
            rig_inputs_free(&in);
        }
        lb_context_destroy(context);
    }
    return conclude();
}
