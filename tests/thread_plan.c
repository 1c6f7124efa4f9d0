/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans made at the same time: on one context, some of them alike, so that threads ask for the same
 * program; and on contexts of their own that share a cache directory, as processes do. Whoever
 * reads the cache must find a whole entry or none.
 */
#include <dirent.h>
#include <unistd.h>

#include "rig.h"
#include "threads.h"

#define THREADS 8

static const char *const lines[] = {"s8*s4->s32 m5 n33 k65", "s8*s8->s32 m9 n17 k40",
                                    "b1*b1->s32 m4 n20 k70"};
#define LINES (sizeof lines / sizeof *lines)

static void make_and_use(lb_context *context, int index)
{
    for (size_t i = 0; i < LINES; i++) {
        rig_inputs in;
        rig r;
        rig_lane lane;
        lb_verify_report report = LB_VERIFY_REPORT_INIT;
        NEED_OK(rig_inputs_make(lines[((size_t)index + i) % LINES], (uint32_t)index, &in));
        EXPECT_OK(rig_open(context, &in, NULL, &r));
        EXPECT_OK(rig_lane_open(&r, 0, &lane));
        EXPECT_OK(rig_lane_check(&lane, &report));
        EXPECT(report.checked > 0 && report.wrong == 0, "%s: %llu wrong", lines[i],
               (unsigned long long)report.wrong);
        rig_lane_close(&lane);
        rig_close(&r);
        rig_inputs_free(&in);
    }
}

static void plans_of_one_context(int index, void *shared)
{
    make_and_use(shared, index);
}

static void contexts_of_one_cache(int index, void *shared)
{
    lb_context *context = context_of("opencl", shared);
    if (context)
        make_and_use(context, index);
    lb_context_destroy(context);
}

/* Entries of the directory, removed; a name that does not end in .clbin was left behind. */
static int empty_cache(const char *path)
{
    int entries = 0;
    char file[512];
    DIR *directory = opendir(path);
    for (struct dirent *e; directory && (e = readdir(directory));) {
        if (e->d_name[0] == '.')
            continue;
        size_t length = strlen(e->d_name);
        EXPECT(length > 6 && strcmp(e->d_name + length - 6, ".clbin") == 0, "%s was left behind",
               e->d_name);
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        unlink(file);
        entries++;
    }
    if (directory)
        closedir(directory);
    rmdir(path);
    return entries;
}

int main(void)
{
    char cache[] = "/tmp/lowbit-thread-XXXXXX";
    lb_context *context = context_of("ref", NULL);
    run_together(THREADS, plans_of_one_context, context);
    lb_context_destroy(context);

    if (!mkdtemp(cache))
        return 1;
    if ((context = context_of("opencl", ""))) {
        run_together(THREADS, plans_of_one_context, context);
        lb_context_destroy(context);
        /* Nobody has compiled yet; then all find what is there. */
        run_together(4, contexts_of_one_cache, cache);
        run_together(4, contexts_of_one_cache, cache);
        EXPECT(empty_cache(cache) > 0, "the cache stayed empty");
    } else {
        empty_cache(cache);
    }
    return conclude();
}
