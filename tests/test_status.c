/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes, and the sentence about a thread's last failure. */
#include "status.h"

#include <pthread.h>
#include <stdio.h>

#include "check.h"

Test(status, every_status_has_its_name)
{
    static const struct {
        lb_status status;
        int value; /* pinned for ever */
        const char *name;
    } rows[] = {{LB_OK, 0, "LB_OK"},
                {LB_INVALID_ARGUMENT, 1, "LB_INVALID_ARGUMENT"},
                {LB_UNSUPPORTED, 2, "LB_UNSUPPORTED"},
                {LB_NO_DEVICE, 3, "LB_NO_DEVICE"},
                {LB_DRIVER, 4, "LB_DRIVER"},
                {LB_OUT_OF_MEMORY, 5, "LB_OUT_OF_MEMORY"},
                {LB_BAD_DATA, 6, "LB_BAD_DATA"},
                {LB_BUSY, 7, "LB_BUSY"},
                {LB_INTERNAL, 8, "LB_INTERNAL"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq((int)rows[i].status, rows[i].value, "%s moved", rows[i].name);
        cr_expect_str_eq(lb_status_string(rows[i].status), rows[i].name);
    }
}

Test(status, unknown_values_have_a_name_too)
{
    static const int unknown[] = {-1, 9, 1000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        /* As a caller would who passes on an int; through memory, for enums may have a range. */
        lb_status status;
        cr_assert_eq(sizeof status, sizeof *unknown);
        memcpy(&status, &unknown[i], sizeof status);
        cr_expect_str_eq(lb_status_string(status), "LB_UNKNOWN_STATUS");
    }
}

Test(status, the_text_is_empty_before_the_first_failure)
{
    cr_expect_str_empty(lb_last_error());
}

Test(status, the_text_persists_over_successes_until_the_next_failure)
{
    lb_problem p;
    check_status(lb_problem_parse("nonsense", &p), LB_INVALID_ARGUMENT, "nonsense");
    check_ok(lb_problem_parse("s8*s8->s32 m1 n1 k1", &p));
    cr_expect(strstr(lb_last_error(), "nonsense"), "a success changed the text");
    check_status(lb_problem_parse("s9", &p), LB_INVALID_ARGUMENT, "s9");
    cr_expect(!strstr(lb_last_error(), "nonsense"), "the first text is still there");
}

Test(status, a_failure_returns_its_status_and_formats_its_text)
{
    cr_expect_eq(lb_fail(LB_BUSY, "%d of %s", 3, "four"), LB_BUSY);
    cr_expect_str_eq(lb_last_error(), "3 of four");
}

Test(status, a_text_that_is_too_long_is_cut)
{
    lb_fail(LB_DRIVER, "%0*d", 100000, 7);
    size_t length = strlen(lb_last_error());
    cr_expect(length > 1000 && length < 100000, "%zu characters", length);
    cr_expect_eq(strspn(lb_last_error(), "0"), length);
}

static void *fail_elsewhere(void *before)
{
    snprintf(before, 16, "%s", lb_last_error());
    lb_fail(LB_DRIVER, "there");
    return (void *)(uintptr_t)(strcmp(lb_last_error(), "there") == 0);
}

Test(status, every_thread_has_its_own_text)
{
    pthread_t thread;
    char before[16] = "?";
    void *seen = NULL;
    lb_fail(LB_BUSY, "here");
    cr_assert_eq(pthread_create(&thread, NULL, fail_elsewhere, before), 0);
    cr_assert_eq(pthread_join(thread, &seen), 0);
    cr_expect_str_empty(before, "a new thread begins with the text of another");
    cr_expect(seen, "the thread did not see its own text");
    cr_expect_str_eq(lb_last_error(), "here");
}

Test(status, foreign_struct_sizes_are_named)
{
    lb_problem p = LB_PROBLEM_INIT;
    p.struct_size = 12;
    check_status(lb_problem_check(&p), LB_INVALID_ARGUMENT, "problem->struct_size is 12");
    check_status(lb_problem_check(&p), LB_INVALID_ARGUMENT, "lb_problem has 240");
    check_status(lb_problem_check(NULL), LB_INVALID_ARGUMENT, "problem is NULL");
}

Test(status, the_loaded_library_is_of_the_version_of_the_header)
{
    char text[32];
    int v = lb_version();
    cr_expect_eq(v, LB_VERSION);
    cr_expect_eq(v, LB_VERSION_MAJOR * 10000 + LB_VERSION_MINOR * 100 + LB_VERSION_PATCH);
    snprintf(text, sizeof text, "%d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    cr_expect_str_eq(lb_version_string(), text);
}
