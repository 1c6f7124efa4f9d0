/* SPDX-License-Identifier: Apache-2.0 */
/* qbench fuzz: what it draws, how it shrinks, and ten seconds of it on every device. */
#include "fuzz.h"

#include "check.h"
#include "command.h"

Test(fuzz, draws_valid_problems_of_every_kind)
{
    uint64_t state = 1, again = 1;
    int types[3][LB_TYPE_COUNT] = {{0}}, roundings[7] = {0}, activations[7] = {0}, empty = 0;
    for (int i = 0; i < 5000; i++) {
        lb_problem p, q;
        qb_fuzz_draw(&state, &p);
        qb_fuzz_draw(&again, &q);
        check_ok(lb_problem_check(&p));
        cr_assert(memcmp(&p, &q, sizeof p) == 0, "equal seeds draw the same");
        types[0][p.a.type]++;
        types[1][p.b.type]++;
        types[2][p.d.type]++;
        roundings[p.rounding]++;
        activations[p.activation]++;
        empty += p.m == 0 || p.n == 0 || p.k == 0;
    }
    for (int t = LB_TYPE_S8; t <= LB_TYPE_B1; t++)
        cr_expect(types[0][t] && types[1][t] && types[2][t], "%s is never drawn", lb_type_name(t));
    for (int t = LB_TYPE_F16; t <= LB_TYPE_F32; t++)
        cr_expect(types[0][t] && types[2][t], "%s is never drawn", lb_type_name(t));
    for (int i = 0; i < 7; i++)
        cr_expect(roundings[i] && activations[i], "rounding or activation %d is never drawn", i);
    cr_expect_gt(empty, 100);
}

static bool long_sums_with_a_bias(const lb_problem *p, void *user)
{
    ++*(int *)user;
    return p->k >= 17 && p->bias;
}

static bool groups_of_strided_nibbles(const lb_problem *p, void *user)
{
    (void)user;
    return p->b.scale == LB_PER_GROUP && p->b.type == LB_TYPE_U4 && p->a.ld > p->k && p->m > 2;
}

static const char *shrunk(qb_fuzz_test *test, void *user)
{
    static char line[512];
    uint64_t state = 5;
    lb_problem p;
    do
        qb_fuzz_draw(&state, &p);
    while (!test(&p, user));
    size_t tried = qb_fuzz_shrink(&p, test, user);
    cr_expect(tried < 300, "%zu tries", tried);
    cr_assert(test(&p, user));
    check_ok(lb_problem_print(&p, line, sizeof line, NULL));
    return line;
}

Test(fuzz, shrinks_to_what_is_needed)
{
    int calls = 0;
    const char *line = shrunk(long_sums_with_a_bias, &calls);
    cr_expect(strncmp(line, "s8*s8->s32 m0 n0 k17 +bias", 26) == 0, "%s", line);
    line = shrunk(groups_of_strided_nibbles, NULL);
    cr_expect(strncmp(line, "s8.ld", 5) == 0 && strstr(line, "*u4.g32->") &&
                  strstr(line, " m3 n0 k0"),
              "%s", line);
}

Test(fuzz, ten_seconds_without_a_mismatch, .timeout = 300)
{
    cr_assert_eq(qbench("fuzz --seconds 10 --seed 20250607"), 0, "%s", output);
    cr_expect(strstr(output, " 0 mismatches"), "%s", output);
    fprintf(stderr, "%s", output);
    expect(4, "fuzz --seconds 1 -d opencl:77", "opencl:77");
}
