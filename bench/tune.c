/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search. First every kernel that takes the problem with its own parameters; then, from the
 * fastest kernel on, one parameter after the other: all its values with the others fixed, the best
 * kept, around and around until a round brings nothing. A candidate is checked against the
 * reference before it is timed, and a wrong one is never taken. Times of one machine drift, so the
 * winner must beat what the library chooses by itself once more, turn by turn, at the end.
 */
#include "tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KERNELS 64
#define MOST_SETS 1024
#define SAMPLED_ROWS 2
#define HOPELESS 1.5  /* times the best: not timed further */
#define NEAR 2.0      /* kernels within this of the best are searched too */
#define PATIENCE 20.0 /* times the best: kernels predicted slower are not tried */
#define GLANCE 0.03   /* seconds to see whether a candidate is hopeless */
#define LOOK 0.2      /* seconds to time one that is not */
#define FINAL_TURNS 3
#define FINAL_LOOK 0.4
#define WORTH 1.02 /* how much faster the winner must be in the end */

typedef struct search {
    qb_tuner *tuner;
    const lb_problem *problem;
    qb_inputs inputs;
    qb_case now;
    bool open;
    qb_tuned *result;
} search;

/* ---- One candidate --------------------------------------------------------------------------- */

static bool late(const search *s)
{
    return qb_now() > s->tuner->deadline;
}

/* Makes s->now a case of this choice; keeps weights where the layout is the same. */
static lb_status open_case(search *s, const char *kernel, const char *parameters)
{
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = kernel;
    desc.parameters = parameters;
    if (s->open && qb_case_replan(&s->now, &desc) == LB_OK)
        return LB_OK;
    if (s->open)
        qb_case_close(&s->now);
    s->open = false;
    lb_status status =
        qb_case_open(s->tuner->context, &s->inputs, &desc, s->tuner->rotate, &s->now);
    if (status != LB_OK)
        qb_case_close(&s->now);
    s->open = status == LB_OK;
    return status;
}

static lb_status measure(search *s, double best, qb_time *time)
{
    qb_check check;
    int64_t rows = lb_problem_ops(s->problem) < 1e8 ? 0 : SAMPLED_ROWS;
    lb_status status = qb_case_check(&s->now, rows, (uint64_t)s->tuner->options->seed, &check);
    if (status != LB_OK)
        return status;
    if (!qb_check_passed(&check)) {
        s->result->wrong++;
        return LB_INTERNAL;
    }
    status = qb_measure(&s->now, GLANCE, 2, time);
    if (status == LB_OK && (best <= 0 || time->median < HOPELESS * best))
        status = qb_measure(&s->now, LOOK, 5, time);
    return status;
}

/* Times a choice if it can be made, is right, and there is time. */
static bool try_choice(search *s, const char *kernel, const char *parameters, double best,
                       qb_choice *choice)
{
    if (late(s))
        return false;
    snprintf(choice->kernel, sizeof choice->kernel, "%s", kernel);
    snprintf(choice->parameters, sizeof choice->parameters, "%s", parameters);
    if (s->tuner->progress)
        s->tuner->progress(s->tuner->argument, choice);
    s->result->tried++;
    return open_case(s, choice->kernel, choice->parameters) == LB_OK &&
           measure(s, best, &choice->time) == LB_OK;
}

/* ---- Parameters of one kernel ---------------------------------------------------------------- */

typedef char set_text[64];

/* All words but number `axis` are the same. */
static bool neighbours(const char *a, const char *b, int axis)
{
    for (int word = 0; *a || *b; word++) {
        size_t n = strcspn(a, " "), m = strcspn(b, " ");
        if (word != axis && (n != m || memcmp(a, b, n) != 0))
            return false;
        a += n + (a[n] == ' ');
        b += m + (b[m] == ' ');
    }
    return true;
}

static int count_words(const char *text)
{
    int words = 0;
    for (; *text; words++) {
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    return words;
}

/* One round over all parameters from *best on; true if it brought something. */
static bool round_of(search *s, set_text *sets, bool *seen, size_t count, qb_choice *best)
{
    bool better = false;
    for (int axis = 0, axes = count_words(sets[0]); axis < axes; axis++) {
        qb_choice from = *best;
        const char *here = from.parameters[0] ? from.parameters : sets[0];
        for (size_t i = 0; i < count && !late(s); i++) {
            qb_choice choice;
            if (seen[i] || !neighbours(here, sets[i], axis))
                continue;
            seen[i] = true;
            if (try_choice(s, from.kernel, sets[i], best->time.median, &choice) &&
                choice.time.median < best->time.median) {
                *best = choice;
                better = true;
            }
        }
    }
    return better;
}

static void search_kernel(search *s, size_t kernel, qb_choice *best)
{
    set_text *sets = calloc(MOST_SETS, sizeof *sets);
    bool *seen = calloc(MOST_SETS, sizeof *seen);
    size_t count = 0;
    while (sets && count < MOST_SETS &&
           lb_kernel_parameters(s->tuner->context, kernel, count, sets[count], sizeof *sets) ==
               LB_OK)
        count++;
    if (seen && count > 1) {
        seen[0] = true; /* the kernel's own, timed already */
        while (!late(s) && round_of(s, sets, seen, count, best))
            ;
    }
    free(seen);
    free(sets);
}

/* ---- All kernels ----------------------------------------------------------------------------- */

typedef struct entrant {
    size_t kernel;
    qb_choice choice;
} entrant;

static int by_time(const void *x, const void *y)
{
    const entrant *a = x, *b = y;
    return (a->choice.time.median > b->choice.time.median) -
           (a->choice.time.median < b->choice.time.median);
}

/* Seconds that the library predicts; 0: the kernel refuses. */
static double predict(const search *s, const char *kernel)
{
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_plan *plan = NULL;
    desc.kernel = kernel;
    desc.parameters = "";
    if (lb_plan_create(s->tuner->context, s->problem, &desc, &plan) != LB_OK)
        return 0;
    lb_plan_get_info(plan, &info);
    lb_plan_destroy(plan);
    return info.predicted_seconds;
}

/* Kernels with their own parameters, fastest first. */
static size_t first_heat(search *s, entrant *entrants)
{
    const qb_choice *before = &s->result->before;
    size_t count = 0;
    for (size_t i = 0; i < lb_kernel_count(s->tuner->context) && count < MOST_KERNELS; i++) {
        lb_kernel_info info = LB_KERNEL_INFO_INIT;
        if (lb_kernel_get_info(s->tuner->context, i, &info) != LB_OK)
            continue;
        entrants[count].kernel = i;
        if (strcmp(info.name, before->kernel) == 0) {
            entrants[count++].choice = *before;
            continue;
        }
        double predicted = predict(s, info.name);
        if (predicted > 0 && predicted < PATIENCE * before->time.median &&
            try_choice(s, info.name, "", before->time.median, &entrants[count].choice))
            count++;
    }
    qsort(entrants, count, sizeof *entrants, by_time);
    return count;
}

/* Old and new in turns, so that drift meets both; each keeps its best median. */
static lb_status final(search *s)
{
    qb_choice *both[2] = {&s->result->before, &s->result->after};
    double best[2] = {INFINITY, INFINITY};
    for (int turn = 0; turn < FINAL_TURNS; turn++)
        for (int i = 0; i < 2; i++) {
            qb_time time;
            lb_status status = open_case(s, both[i]->kernel, both[i]->parameters);
            if (status == LB_OK)
                status = qb_measure(&s->now, FINAL_LOOK, 3, &time);
            if (status != LB_OK)
                return status;
            if (time.median < best[i]) {
                best[i] = time.median;
                both[i]->time = time;
            }
        }
    if (best[0] < WORTH * best[1])
        s->result->after = s->result->before;
    return LB_OK;
}

static lb_status run(search *s)
{
    entrant entrants[MOST_KERNELS];
    qb_choice *before = &s->result->before, *after = &s->result->after;
    lb_status status = qb_case_open(s->tuner->context, &s->inputs, NULL, s->tuner->rotate, &s->now);
    if (status != LB_OK)
        return status;
    s->open = true;
    s->result->tried++;
    snprintf(before->kernel, sizeof before->kernel, "%s", s->now.info.kernel);
    snprintf(before->parameters, sizeof before->parameters, "%s", s->now.info.parameters);
    status = measure(s, 0, &before->time);
    if (status != LB_OK)
        return status;

    size_t count = first_heat(s, entrants);
    *after = *before;
    for (size_t i = 0; i < count; i++) {
        qb_choice best = entrants[i].choice;
        if (best.time.median > NEAR * after->time.median)
            break;
        search_kernel(s, entrants[i].kernel, &best);
        if (best.time.median < after->time.median)
            *after = best;
    }
    if (strcmp(before->kernel, after->kernel) == 0 &&
        strcmp(before->parameters, after->parameters) == 0)
        return LB_OK;
    return final(s);
}

lb_status qb_tune(qb_tuner *tuner, const lb_problem *problem, qb_tuned *tuned)
{
    search s = {.tuner = tuner, .problem = problem, .result = tuned};
    *tuned = (qb_tuned){.tried = 0};
    lb_status status =
        qb_inputs_make(problem, QB_DATA_NORMAL, (uint64_t)tuner->options->seed, &s.inputs);
    if (status == LB_OK)
        status = run(&s);
    qb_case_close(&s.now);
    qb_inputs_free(&s.inputs);
    return status;
}
