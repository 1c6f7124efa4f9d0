/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Soak: threads that make contexts, plans, weights and runs, check a result now and then, and let
 * all of it go, for ten seconds or as long as LOWBIT_SOAK_SECONDS says. What the process keeps in
 * memory after a fifth of the time must be what it keeps at the end. Only the reference counts for
 * that: drivers keep what they like, so their growth is printed and not judged.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"
#include "threads.h"

#define THREADS 4
#define ALLOWED (8L << 20) /* bytes: what an allocator's arenas may still grow by */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JUDGED 0 /* sanitizers keep what is freed */
#else
#define JUDGED 1
#endif

static const char *const lines[] = {
    "s8*s4->s32 m5 n33 k65",
    "s8.token*s8.channel->f16 m9 n17 k40 +bias +relu",
    "f16*s4.g32.z->f32 m3 n20 k70",
    "b1*b1->s32 m4 n20 k70",
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

typedef struct soak {
    const char *device;
    double until;
    atomic_long calls, plans;
} soak;

static void churn(int index, void *shared)
{
    soak *s = shared;
    for (uint32_t round = (uint32_t)index; now() < s->until; round += THREADS) {
        lb_context *context = context_of(s->device, NULL);
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
            rig_inputs in;
            rig r;
            rig_lane lane;
            lb_verify_report report = LB_VERIFY_REPORT_INIT;
            NEED_OK(rig_inputs_make(lines[i], round, &in));
            NEED_OK(rig_open(context, &in, NULL, &r));
            NEED_OK(rig_lane_open(&r, 0, &lane));
            for (int run = 0; run < 8; run++)
                EXPECT_OK(lb_run(r.plan, &lane.args, lane.stream));
            EXPECT_OK(rig_lane_check(&lane, &report));
            EXPECT(report.wrong == 0, "%s", lines[i]);
            atomic_fetch_add(&s->calls, 9);
            atomic_fetch_add(&s->plans, 1);
            rig_lane_close(&lane);
            rig_close(&r);
            rig_inputs_free(&in);
        }
        lb_context_destroy(context);
    }
}

static void run_for(const char *device, double seconds, int judged)
{
    soak s = {.device = device};
    lb_context *context = context_of(device, NULL);
    if (!context)
        return;
    lb_context_destroy(context);
    s.until = now() + seconds / 5;
    run_together(THREADS, churn, &s);
    long before = resident();
    s.until = now() + seconds * 4 / 5;
    run_together(THREADS, churn, &s);
    long after = resident();
    printf("%-8s %.0f s, %d threads, %ld plans, %ld runs: %ld KiB resident, then %ld\n", device,
           seconds, THREADS, atomic_load(&s.plans), atomic_load(&s.calls), before / 1024,
           after / 1024);
    if (judged)
        EXPECT(after - before < ALLOWED, "%ld KiB more", (after - before) / 1024);
}

int main(void)
{
    const char *wish = getenv("LOWBIT_SOAK_SECONDS");
    double seconds = wish ? atof(wish) : 10;
    run_for("ref", seconds / 2, JUDGED);
    run_for("opencl", seconds / 2, 0);
    return conclude();
}
