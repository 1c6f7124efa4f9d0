/* SPDX-License-Identifier: Apache-2.0 */
/* The tuning database: what its text may say, which entry holds, and that other parameters of a row
 * compute the same. */
#include <unistd.h>

#include "command.h"
#include "opencl.h"
#include "passes.h"

#define LINE "s8*s8->s32 m16 n64 k64"

static char path[] = "/tmp/lowbit_tuning_XXXXXX";

static void setup(void)
{
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
}

static void teardown(void)
{
    unlink(path);
}

static void write_tuning(const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static lb_status open_with(const char *device, const char *text, lb_context **context)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    write_tuning(text);
    desc.device = device;
    desc.tuning = path;
    *context = NULL;
    return lb_context_create(&desc, context);
}

/* The predicted seconds of a line on ref; negative: its choice is not tuned. */
static double predicted(lb_context *context, const char *line)
{
    lb_problem p;
    lb_plan *plan;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    cr_assert_eq(lb_problem_parse(line, &p), LB_OK);
    cr_assert_eq(lb_plan_create(context, &p, NULL, &plan), LB_OK, "%s", lb_last_error());
    cr_assert_eq(lb_plan_get_info(plan, &info), LB_OK);
    cr_expect_str_eq(info.parameters, "");
    lb_plan_destroy(plan);
    return info.tuned ? info.predicted_seconds : -1;
}

static double predicted_with(const char *text, const char *line)
{
    lb_context *context;
    cr_assert_eq(open_with("ref", text, &context), LB_OK, "%s", lb_last_error());
    double seconds = predicted(context, line);
    lb_context_destroy(context);
    return seconds;
}

TestSuite(tuning, .init = setup, .fini = teardown);

Test(tuning, narrower_scopes_go_first)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_device_info info = LB_DEVICE_INFO_INIT;
    lb_context *context;
    char text[2048];
    desc.device = "ref";
    cr_assert_eq(lb_context_create(&desc, &context), LB_OK);
    lb_context_info(context, &info);
    lb_context_destroy(context);
    const char *const scopes[] = {"device", "arch", "vendor"};
    const char *const names[] = {info.name, info.features, info.vendor};
    int used = snprintf(text, sizeof text, "default " LINE " = ref_any @ 4\n");
    cr_expect_eq(predicted_with(text, LINE), 4);
    for (int i = 2; i >= 0; i--) {
        used +=
            snprintf(text + used, sizeof text - (size_t)used,
                     "%s \"%s\" " LINE " = ref_any @ %d\n%s \"another\" " LINE " = ref_any @ 9\n",
                     scopes[i], names[i], i + 1, scopes[i]);
        cr_expect_eq(predicted_with(text, LINE), i + 1, "%s", text);
    }
}

Test(tuning, entries_hold_within_a_factor_of_two_and_the_nearest_wins)
{
    static const char text[] = "# two entries\n\n"
                               "default s8*s8->s32 m16 n64 k64 = ref_any @ 1 # nearer to 20\n"
                               "default s8*s8->s32 m32 n64 k64 = ref_any @ 2\n"
                               "default s8*s4.g32->f16 m1 n64 k64 = ref_any @ 3\r\n";
    cr_expect_float_eq(predicted_with(text, "s8*s8->s32 m20 n64 k64"), 20. / 16, 1e-9);
    cr_expect_float_eq(predicted_with(text, "s8*s8->s32 m30 n64 k64"), 2 * 30. / 32, 1e-9);
    cr_expect_float_eq(predicted_with(text, "s8.token*s8.channel->f16 m8 n128 k64 +silu"), 1, 1e-9);
    cr_expect_eq(predicted_with(text, "s8*s8->s32 m65 n64 k64"), -1);
    cr_expect_eq(predicted_with(text, "s8*s8->s32 m7 n64 k64"), -1);
    cr_expect_eq(predicted_with(text, "u8*s8->s32 m16 n64 k64"), -1);
    cr_expect_eq(predicted_with(text, "s8*s4->s32 m1 n64 k64"), -1, "without groups");
    cr_expect_eq(predicted_with(text, "s8*s4.g64->f16 m1 n64 k64"), 3);
    cr_expect_eq(predicted_with(text, "s8*s8->s32 m0 n64 k64"), -1);
}

Test(tuning, the_last_of_equal_entries_holds_and_foreign_ones_are_skipped)
{
    cr_expect_eq(predicted_with("default " LINE " = ref_any @ 1\ndefault " LINE " = ref_any @ 2\n"
                                "default " LINE " = gpu_of_tomorrow mr4 @ 3\n"
                                "default " LINE " = ref_any mr4 @ 4",
                                LINE),
                 2);
    cr_expect_eq(predicted_with("", LINE), -1);
}

Test(tuning, a_bad_file_is_named_with_its_line)
{
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"\n" LINE " = ref_any @ 1", "line 2"},
        {"device host " LINE " = ref_any @ 1", "quotes"},
        {"device \"host " LINE " = ref_any @ 1", "quotes"},
        {"default " LINE " ref_any @ 1", "' = '"},
        {"default " LINE " = ref_any 1", "' @ '"},
        {"default " LINE " = ref_any @ x", "no positive number"},
        {"default " LINE " = ref_any @ -1", "no positive number"},
        {"default " LINE " = ref_any @ inf", "no positive number"},
        {"default s8*s8->s32 m4 n4 = ref_any @ 1", "kINT is missing"},
    };
    lb_context *context;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(open_with("ref", bad[i].text, &context), LB_BAD_DATA, "%s", bad[i].text);
        cr_expect(strstr(lb_last_error(), bad[i].part), "%s: %s", bad[i].text, lb_last_error());
        cr_expect(strstr(lb_last_error(), path));
        cr_expect_null(context);
    }
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = "ref";
    desc.tuning = "/no/such/tuning";
    cr_expect_eq(lb_context_create(&desc, &context), LB_INVALID_ARGUMENT);
    cr_expect(strstr(lb_last_error(), "/no/such/tuning"));
    desc.tuning = "";
    cr_expect_eq(lb_context_create(&desc, &context), LB_OK);
    lb_context_destroy(context);
}

Test(tuning, the_users_file_is_where_the_environment_says)
{
    setenv("LOWBIT_TUNING", "/x/y", 1);
    cr_expect_str_eq(lb_tuning_path(), "/x/y");
    setenv("LOWBIT_TUNING", "", 1);
    cr_expect_str_eq(lb_tuning_path(), "");
    unsetenv("LOWBIT_TUNING");
    setenv("XDG_CONFIG_HOME", "/c", 1);
    cr_expect_str_eq(lb_tuning_path(), "/c/lowbit/tuning");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", "/h", 1);
    cr_expect_str_eq(lb_tuning_path(), "/h/.config/lowbit/tuning");
}

Test(tuning, qbench_tunes_resumes_and_explains)
{
    char arguments[512];
    unlink(path);
    snprintf(arguments, sizeof arguments,
             "tune -d ref --seconds 2 --file %s 's8*s8->s32 m4 n{4,5} k4'", path);
    expect(0, arguments, "2 tuned, 0 kept");
    snprintf(arguments, sizeof arguments,
             "tune -d ref --seconds 2 --resume --file %s 's8*s8->s32 m4 n{5,32} k4'", path);
    expect(0, arguments, "1 tuned, 1 kept");
    setenv("LOWBIT_TUNING", path, 1);
    expect(0, "explain -d ref 's8*s8->s32 m4 n4 k4'", "tuned");
    expect(2, "tune -d ref", "needs a problem line");
    expect(2, "tune -d ref --scope house 's8*s8->s32 m4 n4 k4'", "--scope takes device");
    expect(2, "tune -d ref --seconds -1 's8*s8->s32 m4 n4 k4'", "--seconds");
    expect(2, "tune -d ref --file /proc/no/file 's8*s8->s32 m4 n4 k4'",
           "cannot write /proc/no/file");
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static lb_context *opencl(void)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    desc.device = "opencl";
    desc.tuning = "";
    lb_opencl_pretend = "gpu wg256";
    if (lb_context_create(&desc, &context) == LB_NO_DEVICE)
        cr_skip_test("%s", lb_last_error());
    return context;
}

static size_t row_of(const lb_context *context, const char *name)
{
    for (size_t i = 0; i < lb_kernel_count(context); i++) {
        lb_kernel_info info = LB_KERNEL_INFO_INIT;
        if (lb_kernel_get_info(context, i, &info) == LB_OK && strcmp(info.name, name) == 0)
            return i;
    }
    cr_assert_fail("no row %s", name);
    return 0;
}

Test(tuning, rows_list_their_sets_own_first_and_none_twice)
{
    lb_context *context = opencl();
    static char sets[1024][64];
    size_t count = 0, row = row_of(context, "ocl_cpu_int");
    while (lb_kernel_parameters(context, row, count, sets[count], 64) == LB_OK)
        count++;
    cr_expect_str_eq(sets[0], "mr6 nv2 mb12 nt128");
    cr_expect_gt(count, 100);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            cr_expect_str_neq(sets[i], sets[j]);
    cr_expect_eq(lb_kernel_parameters(context, row, 0, sets[0], 4), LB_INVALID_ARGUMENT);
    cr_expect(strstr(lb_last_error(), "19 bytes"), "%s", lb_last_error());
    row = row_of(context, "ocl_gemm_any");
    cr_expect_eq(lb_kernel_parameters(context, row, 0, sets[0], 64), LB_INVALID_ARGUMENT);
    lb_context_destroy(context);
}

Test(tuning, other_parameters_compute_the_same)
{
    static const struct {
        const char *kernel, *parameters, *line;
    } table[] = {
        {"ocl_cpu_int", "mr5 nv1 mb2 nt64", "u8.token.z*s4.channel->f16 m13 n150 k70 +bias"},
        {"ocl_cpu_float", "mr3 nv2 mb4 nt256", "f16*s4.g32->f16 m13 n150 k70"},
        {"ocl_cpu_xnor", "mr2 nv2 mb1 nt64", "b1*b1->s32 m13 n150 k300"},
        {"ocl_gpu_int_m8", "mt2 nt64", "s8*s2->s32 m7 n150 k70"},
        {"ocl_gpu_int_m8", "mt4 nt16", "s8*s2->s32 m7 n150 k70"},
    };
    lb_context *context = opencl();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        cr_expect(passes_with(context, table[i].kernel, table[i].parameters, QB_DATA_EXTREME,
                              table[i].line),
                  "%s %s", table[i].kernel, table[i].parameters);
    lb_context_destroy(context);
}

Test(tuning, parameters_that_a_row_does_not_take_are_refused)
{
    static const struct {
        const char *kernel, *parameters, *part;
    } bad[] = {
        {NULL, "mr4 nv4 mb16 nt128", "need a kernel"},
        {"ocl_cpu_int", "mr14 nv4 mb1 nt64", "its own are 'mr6 nv2 mb12 nt128'"},
        {"ocl_cpu_int", "mr4", "does not take"},
        {"ocl_gemm_any", "mr4 nv4 mb16 nt128", "has no parameters"},
    };
    lb_context *context = opencl();
    lb_problem p;
    cr_assert_eq(lb_problem_parse(LINE, &p), LB_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lb_plan_desc desc = LB_PLAN_DESC_INIT;
        lb_plan *plan;
        desc.kernel = bad[i].kernel;
        desc.parameters = bad[i].parameters;
        cr_expect_eq(lb_plan_create(context, &p, &desc, &plan), LB_INVALID_ARGUMENT);
        cr_expect(strstr(lb_last_error(), bad[i].part), "%s", lb_last_error());
    }
    lb_context_destroy(context);
}

Test(tuning, a_tuned_entry_is_chosen_with_its_parameters)
{
    lb_context *context;
    lb_problem p;
    lb_plan *plan;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_plan_desc desc = LB_PLAN_DESC_INIT;
    lb_status status =
        open_with("opencl", "default " LINE " = ocl_cpu_int mr5 nv1 mb2 nt64 @ 1", &context);
    if (status == LB_NO_DEVICE)
        cr_skip_test("%s", lb_last_error());
    cr_assert_eq(status, LB_OK, "%s", lb_last_error());
    cr_assert_eq(lb_problem_parse(LINE, &p), LB_OK);
    cr_assert_eq(lb_plan_create(context, &p, NULL, &plan), LB_OK, "%s", lb_last_error());
    lb_plan_get_info(plan, &info);
    cr_expect_str_eq(info.kernel, "ocl_cpu_int");
    cr_expect_str_eq(info.parameters, "mr5 nv1 mb2 nt64");
    cr_expect_eq(info.tuned, 1);
    lb_plan_destroy(plan);
    /* a plan that asks for another kernel gets it */
    desc.kernel = "ocl_gemm_any";
    cr_assert_eq(lb_plan_create(context, &p, &desc, &plan), LB_OK, "%s", lb_last_error());
    lb_plan_get_info(plan, &info);
    cr_expect_str_eq(info.kernel, "ocl_gemm_any");
    cr_expect_eq(info.tuned, 0);
    lb_plan_destroy(plan);
    lb_context_destroy(context);
}
