/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selection, on a made-up backend whose rows differ in one thing each, so that every reason can be
 * given and the text of lb_explain can be compared whole; and a lint of the kernel tables that the
 * library really has.
 */
#include <stdio.h>

#include "check.h"
#include "layout.h"
#include "problem.h"
#include "select.h"
#include "types.h"

/* ---- A made-up backend ----------------------------------------------------------------------- */

static bool accept_even_n(const lb_kernel *row, const lb_problem *p, const lb_device *device,
                          char *why, size_t capacity)
{
    (void)row, (void)device;
    if (p->n % 2)
        snprintf(why, capacity, "n is %d, it takes even ones", (int)p->n);
    return p->n % 2 == 0;
}

static uint64_t a_kilobyte(const lb_kernel *row, const lb_problem *p, const lb_device *device)
{
    (void)row, (void)p, (void)device;
    return 1024;
}

/* A row's cost is its impl, in milliseconds. */
static double cost(const lb_kernel *row, const lb_problem *p, const lb_device *device)
{
    (void)p, (void)device;
    return 1e-3 * *(const double *)row->impl;
}

#define COST(milliseconds)                                                                         \
    .cost = cost, .impl = &(const double)                                                          \
    {                                                                                              \
        milliseconds                                                                               \
    }
#define ANY                                                                                        \
    .a_types = LB_T_INT, .b_types = LB_T_INT, .d_types = LB_T_OUT, .caps = LB_CAP_ALL, .needs = ""

static const lb_kernel rows[] = {
    {.name = "fast_unproven", .layout = "rows", ANY, .flags = LB_ROW_UNPROVEN, COST(1)},
    {.name = "slow", .layout = "rows", ANY, .flags = LB_ROW_BATCH_INVARIANT, COST(8)},
    {.name = "equal_first", .layout = "panel64x4", ANY, .workspace = a_kilobyte, COST(4)},
    {.name = "equal_second", .layout = "rows", ANY, COST(4)},
    {.name = "cpu_proven", .layout = "rows", ANY, .flags = LB_ROW_PROVEN_ON_CPU, COST(5)},
    {.name = "sums_only",
     .layout = "rows",
     .a_types = LB_T(S8),
     .b_types = LB_T(S4),
     .d_types = LB_T(S32),
     .needs = "",
     COST(2)},
    {.name = "decode", .layout = "rows", ANY, .m_min = 2, .m_max = 4, COST(3)},
    {.name = "dot", .layout = "rows", ANY, COST(1)},
    {.name = "even", .layout = "rows", ANY, .accept = accept_even_n, COST(6)},
};
static size_t row_count = sizeof rows / sizeof *rows;
static lb_kernel made[sizeof rows / sizeof *rows];
static lb_backend backend = {.name = "made-up", .rows = made, .row_count = &row_count};
static lb_context context = {.backend = &backend};

static void set_up(void)
{
    memcpy(made, rows, sizeof rows);
    made[7].needs = "vector dot8";
    context.device.info = (lb_device_info)LB_DEVICE_INFO_INIT;
    strcpy(context.device.info.selector, "made-up:0");
    strcpy(context.device.info.name, "Nothing 1000");
    strcpy(context.device.info.features, "vector dot dot88");
}

TestSuite(select, .init = set_up);

static lb_problem parse(const char *line)
{
    lb_problem p, normal;
    check_ok(lb_problem_parse(line, &p));
    check_ok(lb_problem_normalise(&p, &normal));
    return normal;
}

static const char *choose(const char *line, const lb_plan_desc *desc)
{
    lb_problem p = parse(line);
    lb_candidate best;
    return lb_select_best(&backend, &p, &context.device, desc, NULL, &best) == LB_OK
               ? best.row->name
               : "none";
}

static const char *explain(const char *line, const lb_plan_desc *desc)
{
    static char text[8192];
    lb_problem p = parse(line);
    check_ok(lb_explain(&context, &p, desc, text, sizeof text, NULL));
    return text;
}

static void keep_only(const char *const *names)
{
    row_count = 0;
    for (; *names; names++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (strcmp(rows[i].name, *names) == 0)
                made[row_count++] = rows[i];
}

/* ---- Order ----------------------------------------------------------------------------------- */

Test(select, the_cheapest_proven_row_wins_and_equals_keep_their_order)
{
    cr_expect_str_eq(choose("s8*s4->s32 m8 n3 k8", NULL), "sums_only");
    cr_expect_str_eq(choose("s8*s8->s32 m8 n3 k8", NULL), "equal_first");
    cr_expect_str_eq(choose("s8*s8->s32 m3 n3 k8", NULL), "decode");
}

Test(select, an_unproven_row_is_taken_only_where_nothing_else_is)
{
    keep_only((const char *const[]){"fast_unproven", "slow", NULL});
    cr_expect_str_eq(choose("s8*s8->s32 m8 n3 k8", NULL), "slow");
    keep_only((const char *const[]){"fast_unproven", NULL});
    cr_expect_str_eq(choose("s8*s8->s32 m8 n3 k8", NULL), "fast_unproven");
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.flags = LB_PLAN_PROVEN_ONLY;
    cr_expect_str_eq(choose("s8*s8->s32 m8 n3 k8", &desc), "none");
    cr_expect(strstr(lb_last_error(), "never passed on real hardware"));
}

Test(select, what_passed_on_cpus_alone_is_unproven_on_a_gpu)
{
    keep_only((const char *const[]){"slow", "cpu_proven", NULL});
    cr_expect_str_eq(choose("s8*s8->s32 m8 n3 k8", NULL), "cpu_proven");
    context.device.info.is_gpu = 1;
    cr_expect_str_eq(choose("s8*s8->s32 m8 n3 k8", NULL), "slow");
}

Test(select, wishes_of_the_plan_are_followed)
{
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    desc.kernel = "even";
    cr_expect_str_eq(choose("s8*s8->s32 m8 n4 k8", &desc), "even");
    cr_expect_str_eq(choose("s8*s8->s32 m8 n3 k8", &desc), "none");
    cr_expect(strstr(lb_last_error(), "even refuses because n is 3, it takes even ones"), "%s",
              lb_last_error());
    desc.kernel = "uneven";
    cr_expect_str_eq(choose("s8*s8->s32 m8 n4 k8", &desc), "none");
    cr_expect(strstr(lb_last_error(), "backend made-up has no kernel 'uneven'"));
    desc = (lb_plan_desc)LB_PLAN_DESC_INIT;
    desc.layout = "panel64x4";
    cr_expect_str_eq(choose("s8*s4->s32 m8 n4 k8", &desc), "equal_first");
    desc.workspace_limit = 1023;
    cr_expect_str_eq(choose("s8*s4->s32 m8 n4 k8", &desc), "none");
    desc.layout = NULL;
    cr_expect_str_eq(choose("s8*s8->s32 m8 n4 k8", &desc), "equal_second");
    desc.flags = LB_PLAN_BATCH_INVARIANT;
    cr_expect_str_eq(choose("s8*s4->s32 m8 n4 k8", &desc), "slow");
}

/* ---- Reasons --------------------------------------------------------------------------------- */

static const char *reason(const char *name, const char *line, const lb_plan_desc *desc)
{
    static lb_candidate c;
    lb_problem p = parse(line);
    for (size_t i = 0; i < row_count; i++)
        if (strcmp(made[i].name, name) == 0)
            lb_select_judge(&made[i], &p, &context.device, desc, &c);
    return c.accepted ? "accepted" : c.reason;
}

Test(select, every_refusal_has_its_reason)
{
    static const struct {
        const char *row, *line, *reason;
    } cases[] = {
        {"sums_only", "u8*s4->s32 m1 n1 k1", "A is u8, it takes s8"},
        {"sums_only", "s8*s8->s32 m1 n1 k1", "B is s8, it takes s4"},
        {"sums_only", "s8*s4->s8 m1 n1 k1", "D is s8, it takes s32"},
        {"sums_only", "s8*s4->s32 m1 n1 k1 b2", "it does not do batches"},
        {"sums_only", "s8*s4.g32->s32 m1 n1 k1", "it does not do group scales"},
        {"sums_only", "s8.zt*s4->s32 m1 n1 k1", "it does not do zero points of A"},
        {"sums_only", "s8*s4.zt->s32 m1 n1 k1", "it does not do zero points of B"},
        {"sums_only", "s8*s4->s32 m1 n1 k1 +bias.s32", "it does not do a bias"},
        {"sums_only", "s8*s4->s32 m1 n1 k1 +res.s8", "it does not do a residual"},
        {"sums_only", "s8*s4->s32 m1 n1 k1 +relu", "it does not do activations"},
        {"sums_only", "s8*s4->s32 m1 n1 k1 +clamp=0:1", "it does not do a clamp"},
        {"sums_only", "s8*s4.tensor->s32 m1 n1 k1", "it does not do scales"},
        {"sums_only", "s8*s4->s32 m1 n1 k1 +round=stochastic",
         "it does not do other rounding than half to even"},
        {"dot", "s8*s8->s32 m1 n1 k1", "the device lacks dot8"},
        {"decode", "s8*s8->s32 m1 n1 k1", "m is 1, it takes 2 to 4"},
        {"decode", "s8*s8->s32 m5 n1 k1", "m is 5, it takes 2 to 4"},
        {"even", "s8*s8->s32 m1 n1 k1", "n is 1, it takes even ones"},
        {"even", "s8*s8->s32 m1 n2 k1", "accepted"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_str_eq(reason(cases[i].row, cases[i].line, NULL), cases[i].reason);
    made[5].caps = LB_CAP_ALL & ~LB_CAP_STRIDE;
    lb_problem p = parse("s8.ld8*s4->s32 m2 n1 k4");
    lb_candidate c;
    lb_select_judge(&made[5], &p, &context.device, NULL, &c);
    cr_expect_str_eq(c.reason, "it does not do strides beyond the dense ones");
}

Test(select, a_word_of_a_device_is_matched_whole)
{
    const char *missing = NULL;
    cr_expect(lb_device_has(&context.device, "", &missing));
    cr_expect(lb_device_has(&context.device, "dot88  vector", &missing));
    cr_expect(!lb_device_has(&context.device, "vector dot8", &missing));
    cr_expect_str_eq(missing, "dot8");
    cr_expect(!lb_device_has(&context.device, "vec", NULL));
}

/* ---- Texts ----------------------------------------------------------------------------------- */

Test(select, explain_of_a_problem_that_three_rows_accept)
{
    keep_only((const char *const[]){"fast_unproven", "equal_first", "slow", "dot", "decode", NULL});
    for (size_t i = 0; i < row_count; i++)
        if (strcmp(made[i].name, "dot") == 0)
            made[i].needs = "dot8";
    cr_expect_str_eq(
        explain("s8*s8->s32 m8 n3 k8", NULL),
        "s8*s8->s32 m8 n3 k8 on made-up:0 (Nothing 1000)\n"
        "  chosen    equal_first                  predicted 0.004 s, workspace 1024 bytes, layout "
        "panel64x4\n"
        "  accepted  slow                         predicted 0.008 s, workspace 0 bytes, layout "
        "rows\n"
        "  accepted  fast_unproven                predicted 0.001 s, workspace 0 bytes, layout "
        "rows, unproven\n"
        "  refused   dot                          the device lacks dot8\n"
        "  refused   decode                       m is 8, it takes 2 to 4\n"
        "  elsewhere ref_any                      would accept: device ref, host memory\n");
}

Test(select, explain_of_a_problem_that_no_row_accepts)
{
    keep_only((const char *const[]){"slow", "sums_only", NULL});
    cr_expect_str_eq(explain("f16*f16->f16 m1 n1 k1", NULL),
                     "f16*f16->f16 m1 n1 k1 on made-up:0 (Nothing 1000)\n"
                     "  refused   slow                         A is f16, it takes "
                     "s8|u8|s4|u4|s2|u2|t2|b1\n"
                     "  refused   sums_only                    A is f16, it takes s8\n"
                     "  elsewhere ref_any                      B is f16, it takes "
                     "s8|u8|s4|u4|s2|u2|t2|b1|c4|c2\n"
                     "  no kernel accepts this problem\n");
    cr_expect_str_eq(choose("f16*f16->f16 m1 n1 k1", NULL), "none");
    cr_expect_str_eq(lb_last_error(), "no kernel of made-up:0 accepts 'f16*f16->f16 m1 n1 k1'; "
                                      "nearest: sums_only refuses because A is f16, it takes s8");
}

Test(select, explain_counts_and_cuts)
{
    char whole[8192], text[64];
    size_t needed = 0, again = 0;
    lb_problem p = parse("s8*s8->s32 m8 n3 k8");
    check_ok(lb_explain(&context, &p, NULL, whole, sizeof whole, &needed));
    cr_expect_eq(needed, strlen(whole) + 1);
    check_status(lb_explain(&context, &p, NULL, text, sizeof text, &again), LB_INVALID_ARGUMENT,
                 "bytes");
    cr_expect_eq(again, needed);
    cr_expect(memcmp(text, whole, sizeof text - 1) == 0 && text[sizeof text - 1] == 0);
    check_status(lb_explain(NULL, &p, NULL, text, sizeof text, NULL), LB_INVALID_ARGUMENT,
                 "context is NULL");
    check_status(lb_explain(&context, &p, NULL, NULL, 1, NULL), LB_INVALID_ARGUMENT,
                 "text is NULL");
    check_status(lb_explain(&context, NULL, NULL, text, sizeof text, NULL), LB_INVALID_ARGUMENT,
                 "problem is NULL");
    lb_plan_desc desc = {0};
    check_status(lb_explain(&context, &p, &desc, text, sizeof text, NULL), LB_INVALID_ARGUMENT,
                 "struct_size is 0");
}

/* ---- The tables that there are --------------------------------------------------------------- */

static bool is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && n < 40 && !name[n];
}

static void lint_row(const lb_backend *b, const lb_kernel *row, size_t index)
{
    static const char *const prefixes[][2] = {
        {"ref", "ref_"}, {"opencl", "ocl_"}, {"cuda", "cuda_"}};
    const uint32_t flags =
        LB_ROW_UNPROVEN | LB_ROW_BATCH_INVARIANT | LB_ROW_NONDETERMINISTIC | LB_ROW_PROVEN_ON_CPU;
    const char *name = row->name;
    cr_assert(name && is_name(name), "row %zu of %s: '%s' is no name", index, b->name, name);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strcmp(b->name, prefixes[i][0]) == 0)
            cr_expect(strncmp(name, prefixes[i][1], strlen(prefixes[i][1])) == 0,
                      "%s does not begin with %s", name, prefixes[i][1]);
    cr_expect(row->layout && lb_layout_find(row->layout), "%s: there is no layout '%s'", name,
              row->layout);
    cr_expect(row->summary && strlen(row->summary) > 4 && strlen(row->summary) < 90 &&
                  !strchr(row->summary, '\n'),
              "%s: the summary is no line", name);
    cr_expect(row->a_types && !(row->a_types & ~(LB_T_INT | LB_T_FLOAT)), "%s: A types", name);
    cr_expect(row->b_types && !(row->b_types & ~(LB_T_INT | LB_T_FLOAT | LB_T_TABLE)),
              "%s: B types", name);
    cr_expect(row->d_types && !(row->d_types & ~LB_T_OUT_ANY), "%s: D types", name);
    cr_expect(!(row->caps & ~(LB_CAP_ALL | LB_CAP_STEP)), "%s: caps 0x%x has unknown bits", name,
              row->caps);
    cr_expect(!(row->flags & ~flags), "%s: flags 0x%x has unknown bits", name, row->flags);
    cr_expect((row->flags & (LB_ROW_UNPROVEN | LB_ROW_PROVEN_ON_CPU)) !=
                  (LB_ROW_UNPROVEN | LB_ROW_PROVEN_ON_CPU),
              "%s is proven on CPUs and unproven", name);
    cr_expect(row->m_min >= 0 && (!row->m_max || row->m_max >= row->m_min), "%s: m limits", name);
    cr_expect(row->needs && strlen(row->needs) < 200, "%s: needs", name);
    cr_expect(row->cost, "%s has no cost", name);
    for (size_t j = 0; j < index; j++)
        cr_expect(strcmp(b->rows[j].name, name) != 0, "two rows of %s are called %s", b->name,
                  name);
}

/* Every row accepts a problem of its first types on a device that has its words, at a cost. */
static void lint_acceptance(const lb_kernel *row)
{
    int32_t type[3] = {0, 0, 0};
    const uint32_t set[3] = {row->a_types, row->b_types, row->d_types};
    for (int i = 0; i < 3; i++)
        while (!lb_type_in(type[i], set[i]))
            type[i]++;
    lb_device device = {.info = LB_DEVICE_INFO_INIT};
    snprintf(device.info.features, sizeof device.info.features, "%s", row->needs);
    device.info.compute_units = 4;
    device.info.is_gpu = strstr(row->needs, "gpu") != NULL;
    lb_problem p = LB_PROBLEM_INIT;
    p.m = row->m_max ? row->m_max : row->m_min ? row->m_min : 256;
    p.n = p.k = 256;
    p.a.type = type[0];
    p.b.type = type[1];
    p.d.type = type[2];
    p.a.ld = p.b.ld = p.k;
    p.d.ld = p.n;
    p.a.batch_stride = p.m * p.k;
    p.b.batch_stride = p.n * p.k;
    p.d.batch_stride = p.m * p.n;
    p.batch = 1;
    lb_candidate c;
    lb_select_judge(row, &p, &device, NULL, &c);
    if (strstr(c.reason, "install")) /* a library that is not here */
        return;
    cr_expect(c.accepted, "%s accepts not even %s*%s->%s 256: %s", row->name, lb_type_name(type[0]),
              lb_type_name(type[1]), lb_type_name(type[2]), c.reason);
    cr_expect(!c.accepted || (c.cost > 0 && c.cost < 3600), "%s: a cost of %g s", row->name,
              c.cost);
    cr_expect_eq(c.proven, lb_row_proven(row, &device));
    cr_expect(!(row->flags & LB_ROW_UNPROVEN) || !c.proven, "%s is unproven and proven", row->name);
}

Test(tables, every_kernel_row_is_sound)
{
    size_t count = 0;
    for (size_t i = 0; i < lb_backend_count; i++)
        for (size_t r = 0; r < *lb_backends[i]->row_count; r++, count++) {
            lint_row(lb_backends[i], &lb_backends[i]->rows[r], r);
            lint_acceptance(&lb_backends[i]->rows[r]);
        }
    cr_expect_gt(count, 0);
    cr_log_info("%zu rows", count);
}

Test(tables, the_last_row_of_a_backend_takes_what_the_reference_takes)
{
    const lb_backend *ref = lb_backends[lb_backend_count - 1];
    cr_assert_str_eq(ref->name, "ref");
    for (size_t i = 0; i < lb_backend_count; i++) {
        const lb_backend *b = lb_backends[i];
        const lb_kernel *last = &b->rows[*b->row_count - 1];
        cr_expect_eq(last->a_types, ref->rows[0].a_types, "%s", last->name);
        cr_expect_eq(last->b_types, ref->rows[0].b_types, "%s", last->name);
        cr_expect_eq(last->d_types, ref->rows[0].d_types, "%s", last->name);
        cr_expect(last->caps == (LB_CAP_ALL | LB_CAP_STEP) && !*last->needs && !last->m_max,
                  "%s has limits", last->name);
    }
}
