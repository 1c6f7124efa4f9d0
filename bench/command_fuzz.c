/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qbench fuzz: random valid problems on every device, by the kernel that is chosen and by one drawn
 * from the table, against the reference. A failure is shrunk to the smallest line that shows it.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"
#include "qbench.h"

#define MOST_DEVICES 16
#define BURST 50

typedef struct fuzzer {
    const qb_options *o;
    lb_context *context[MOST_DEVICES];
    char selector[MOST_DEVICES][24];
    size_t devices;
    unsigned family; /* of this burst's problems */
    uint64_t row;    /* its drawn kernel */
    size_t lines, exact, bounded, refused, failures;
    int code;
} fuzzer;

/* One problem on one device by one kernel. */
typedef struct trial {
    lb_context *context;
    const char *kernel; /* NULL: the chosen one */
    qb_data data;
    uint64_t seed;
    lb_status status;
    qb_check check;
} trial;

static void try_out(const lb_problem *p, trial *t)
{
    qb_inputs in;
    qb_case c;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = t->kernel;
    t->check = (qb_check){.report = LB_VERIFY_REPORT_INIT};
    t->status = qb_inputs_make(p, t->data, t->seed, &in);
    if (t->status == LB_OK) {
        t->status = qb_case_open(t->context, &in, &desc, 0, &c);
        if (t->status == LB_OK)
            t->status = qb_case_check(&c, 0, t->seed, &t->check);
        qb_case_close(&c);
    }
    qb_inputs_free(&in);
}

/* Wrong, or failed for another reason than that no kernel takes it. */
static bool fails(const lb_problem *p, void *user)
{
    trial *t = user;
    try_out(p, t);
    return t->status == LB_OK ? !qb_check_passed(&t->check) : t->status != LB_UNSUPPORTED;
}

static void complain(fuzzer *f, lb_problem *p, trial *t, const char *selector)
{
    char first[512] = "?", line[512] = "?", text[64];
    lb_problem_print(p, first, sizeof first, NULL);
    size_t tried = qb_fuzz_shrink(p, fails, t);
    lb_problem_print(p, line, sizeof line, NULL);
    fails(p, t);
    fprintf(stderr,
            "FAILED %s\n  found as '%s', shrunk in %zu tries\n  repeat: qbench check --device %s "
            "--seed %" PRIu64 "%s%s '%s'\n",
            t->status == LB_OK ? qb_check_text(&t->check, text, sizeof text) : lb_last_error(),
            first, tried, selector, t->seed, t->kernel ? " --kernel " : "",
            t->kernel ? t->kernel : "", line);
    f->failures++;
    f->code = t->status == LB_OK                       ? QB_EXIT_WRONG
              : f->code == QB_EXIT_WRONG               ? f->code
              : qb_exit_of(t->status) < QB_EXIT_FAILED ? QB_EXIT_FAILED
                                                       : qb_exit_of(t->status);
}

static void run_trial(fuzzer *f, const lb_problem *p, trial *t, const char *selector)
{
    lb_problem copy = *p;
    if (fails(&copy, t))
        complain(f, &copy, t, selector);
    else if (t->status == LB_UNSUPPORTED)
        f->refused++;
    else if (t->check.report.exact)
        f->exact++;
    else
        f->bounded++;
}

/* Problems for which kernels are compiled alike. */
static unsigned family_of(const lb_problem *p)
{
    unsigned grouped = p->b.scale == LB_PER_GROUP, even = p->rounding == LB_ROUND_EVEN;
    unsigned real = lb_type_bits(p->a.type) > 8;
    return (unsigned)lb_type_bits(p->b.type) << 3 | grouped << 2 | even << 1 | real;
}

/* In bursts of one family, because compiling takes most of the time. */
static void run_line(fuzzer *f, uint64_t *state)
{
    lb_problem p;
    qb_fuzz_draw(state, &p);
    if (f->lines % BURST == 0) {
        f->family = family_of(&p);
        f->row = *state >> 20;
    }
    while (family_of(&p) != f->family)
        qb_fuzz_draw(state, &p);
    f->lines++;
    for (size_t i = 0; i < f->devices; i++) {
        trial t = {.context = f->context[i],
                   .data = *state & 16 ? QB_DATA_EXTREME : QB_DATA_NORMAL,
                   .seed = *state >> 40};
        run_trial(f, &p, &t, f->selector[i]);
        lb_kernel_info info = LB_KERNEL_INFO_INIT;
        size_t rows = lb_kernel_count(f->context[i]);
        if (rows > 1 && lb_kernel_get_info(f->context[i], f->row % rows, &info) == LB_OK) {
            t.kernel = info.name;
            run_trial(f, &p, &t, f->selector[i]);
        }
    }
}

static int open_devices(fuzzer *f)
{
    lb_device_info infos[MOST_DEVICES];
    const char *wish = f->o->device;
    size_t count = 0;
    int code = QB_EXIT_OK;
    if (!wish || strcmp(wish, "all") == 0)
        count = qb_selectors(infos, MOST_DEVICES);
    for (size_t i = 0; i < (count ? count : 1) && code == QB_EXIT_OK; i++) {
        lb_context *context = qb_open(count ? infos[i].selector : wish, &code);
        if (!context)
            break;
        lb_context_info(context, &infos[i]);
        snprintf(f->selector[f->devices], sizeof *f->selector, "%s", infos[i].selector);
        f->context[f->devices++] = context;
    }
    return code;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int qb_command_fuzz(qb_options *o)
{
    fuzzer f = {.o = o};
    double seconds = o->seconds > 0 ? o->seconds : 60, start = now();
    uint64_t state = (uint64_t)o->seed;
    f.code = open_devices(&f);
    while (f.code == QB_EXIT_OK && now() - start < seconds) {
        qb_progress(o, (size_t)(1000 * (now() - start)), (size_t)(1000 * seconds) + 1, "fuzz");
        run_line(&f, &state);
    }
    qb_progress(o, 1, 1, "");
    if (f.devices && !o->quiet)
        printf("seed %lld: %zu lines on %zu devices in %.0f s: %zu results exact, %zu within the "
               "bound, %zu refused with a reason, %zu mismatches\n",
               o->seed, f.lines, f.devices, now() - start, f.exact, f.bounded, f.refused,
               f.failures);
    for (size_t i = 0; i < f.devices; i++)
        lb_context_destroy(f.context[i]);
    return f.code;
}
