/* SPDX-License-Identifier: Apache-2.0 */
/* qbench as a user calls it: exit codes, and output that programs can read. */
#include <jansson.h>
#include <lowbit/lowbit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "command.h"

Test(qbench, usage_errors_exit_with_2_and_say_what_is_wrong)
{
    expect(2, "--bits 3", "1, 2, 4 and 8");
    expect(2, "--no-such-option", "--no-such-option");
    expect(2, "frobnicate", "'frobnicate' is no command");
    expect(2, "cheek", "did you mean 'check'?");
    expect(2, "--deivce ref", "did you mean '--device'?");
    expect(2, "-d ref 's8*s8->s32 m4 n4 k4 +rleu'", "did you mean '+relu'?");
    expect(2, "-d ref 's8*s8->s32 m4 n4'", "k");
    expect(2, "-d ref 's8*zz->s32 m4 n4 k4'", "zz");
    expect(2, "-d ref 's8*s8->s32 m{1,2 n4 k4'", "braces do not match");
    expect(2, "--suite /no/such/file.txt", "/no/such/file.txt");
    expect(2, "--suite nonesuch", "no built-in suite 'nonesuch'");
    expect(2, "--json /no/such/dir/x.json --csv /no/such/dir/x.csv -d ref 's8*s8->s32 m4 n4 k4'",
           "cannot open /no/such/dir/x.csv");
    expect(2, "--repeat 0 -d ref", "--repeat");
    expect(2, "repack --threads 0 -d ref", "--threads");
    expect(2, "--m -1 --bits 8", "negative");
    expect(2, "explain", "problem line");
    expect(2, "devices --json -", "are of 'qbench run'");
}

Test(qbench, unsupported_exits_with_3_and_names_the_nearest_kernel)
{
    expect(3, "-d ref " SMALL "'f16*f16->f16 m4 n4 k64'", "ref_any");
}

Test(qbench, missing_device_exits_with_4)
{
    expect(4, "-d opencl:31 's8*s8->s32 m4 n4 k4'", "opencl:31");
}

Test(qbench, run_checks_and_exits_with_0)
{
    expect(0, "-d ref " SMALL "'s8.token*s4.channel->f16 m{1,3} n5 k7'", "exact");
    expect(0, "-d ref " SMALL "'f16*s4.g32->f16 m3 n5 k70'", "within bound");
}

Test(qbench, check_counts_lines)
{
    expect(0, "check -d ref 's8*s8->s32 m{1..4} n{3,5} k7'", "8 lines, 16 checks: 16 exact");
    expect(0, "check -d ref --kernel all 's8*s8->s32 m2 n3 k7'", "1 lines, 2 checks: 2 exact");
    expect(0, "check -d ref --suite smoke", "0 wrong, 0 failed");
}

Test(qbench, explain_names_every_row)
{
    expect(0, "explain -d ref 's8*s8->s32 m4 n4 k4'", "chosen    ref_any");
    expect(0, "explain -d ref 'f16*f16->f16 m4 n4 k4'", "no kernel accepts this problem");
}

Test(qbench, lists_devices_kernels_and_suites)
{
    expect(0, "devices", "ref ");
    expect(0, "list -d ref", "ref_any");
    expect(0, "list -d ref", "built-in suites:");
    expect(0, "--help", "qbench --bits 4 --m 4096");
}

Test(qbench, completes_commands_options_and_their_values)
{
    expect(0, "complete", "explain\n");
    expect(0, "complete ''", "explain\n");
    expect(0, "complete check --d", "--device\n");
    expect(0, "complete check -d ''", "ref\n");
    expect(0, "complete --suite sm", "smoke\n");
    cr_assert_eq(qbench("complete report ''"), 0);
    cr_expect_str_eq(output, "", "files, which the shell knows");
}

Test(qbench, bash_completes_by_the_installed_script)
{
    const char *program = getenv("LOWBIT_QBENCH");
    char command[1024];
    if (!program)
        cr_skip_test("LOWBIT_QBENCH does not name the program");
    snprintf(command, sizeof command,
             "bash -c '. bench/completion/qbench.bash; COMP_WORDS=(%s che); COMP_CWORD=1; _qbench; "
             "test \"${COMPREPLY[*]}\" = check'",
             program);
    cr_assert_eq(system(command), 0);
}

Test(qbench, json_is_one_object_with_a_result_per_line)
{
    json_error_t error;
    cr_assert_eq(
        qbench("-d ref " SMALL "--json - 's8*s4->s32 m2 n{3,4} k5' 'f16*f16->f16 m1 n1 k1'"), 3);
    json_t *all = json_loads(output, 0, &error);
    cr_assert_not_null(all, "%s in\n%s", error.text, output);
    json_t *results = json_object_get(all, "results"), *first = json_array_get(results, 0);
    cr_assert_eq(json_array_size(results), 3);
    cr_assert_str_eq(json_string_value(json_object_get(first, "problem")), "s8*s4->s32 m2 n3 k5");
    cr_assert_str_eq(json_string_value(json_object_get(first, "kernel")), "ref_any");
    cr_assert(json_real_value(json_object_get(json_object_get(first, "seconds"), "median")) > 0);
    cr_assert(json_is_true(json_object_get(json_object_get(first, "check"), "passed")));
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(results, 2), "status")),
                     "LB_UNSUPPORTED");
    cr_assert(json_is_false(json_object_get(all, "overlap")));
    json_decref(all);
    cr_assert_eq(qbench("-d ref " SMALL "--overlap --json - 's8*s4->s32 m2 n3 k5'"), 0);
    all = json_loads(output, 0, &error);
    cr_assert_not_null(all, "%s in\n%s", error.text, output);
    cr_assert(json_is_true(json_object_get(all, "overlap")));
    json_decref(all);
}

Test(qbench, energy_is_what_the_counter_says)
{
    char name[128] = "";
    setenv("LD_LIBRARY_PATH", FAKE_NVML, 1);
    expect(0, "-d ref " SMALL "--energy 's8*s4->s32 m2 n3 k5'", "NVML has no counter for");
    cr_assert_eq(qbench("devices -d ref"), 0);
    sscanf(output, "ref %127[^(]", name);
    while (name[0] && name[strlen(name) - 1] == ' ')
        name[strlen(name) - 1] = 0;
    setenv("FAKE_NVML_NAME", name, 1);
    cr_assert_eq(qbench("-d ref " SMALL "--energy --json - 's8*s4->s32 m2 n3 k5'"), 0);
    json_t *all = json_loads(output, 0, NULL);
    const json_t *first = json_array_get(json_object_get(all, "results"), 0);
    double joules = json_number_value(json_object_get(first, "joules"));
    /* at 100 W: 100 times the seconds of a run, or more by what lies between runs */
    double least =
        100 * json_number_value(json_object_get(json_object_get(first, "seconds"), "p10"));
    cr_expect(joules > 0.1 * least && joules < 100, "%g J in %s", joules, output);
    json_decref(all);
}

Test(qbench, csv_has_as_many_fields_in_every_row)
{
    cr_assert_eq(
        qbench("-d ref " SMALL "--csv - 's8*s4->s32 m2 n{3,4} k5' 'f16*f16->f16 m1 n1 k1'"), 3);
    int rows = 0, commas = 0, expected = -1;
    for (const char *c = output; *c; c++) {
        commas += *c == ',';
        if (*c != '\n')
            continue;
        expected = expected < 0 ? commas : expected;
        cr_assert_eq(commas, expected, "row %d of\n%s", rows, output);
        commas = 0;
        rows++;
    }
    cr_assert_eq(rows, 4);
}

Test(qbench, suites_come_from_files_and_standard_input)
{
    const char *program = getenv("LOWBIT_QBENCH");
    char command[512];
    if (!program)
        cr_skip_test("LOWBIT_QBENCH does not name the program");
    snprintf(command, sizeof command,
             "printf '# a comment\\n\\ns8*s8->s32 m{1,2} n3 k4 # two\\n' | '%s' check -q -d ref "
             "--suite -",
             program);
    cr_assert_eq(system(command), 0);
}

/* ---- Checkpoints ----------------------------------------------------------------------------- */

static char folder[64];

static void make_checkpoint(void)
{
    static float values[64 * 256];
    char path[128];
    lb_stored w = LB_STORED_INIT;
    lb_file_item item = LB_FILE_ITEM_INIT;
    snprintf(folder, sizeof folder, "/tmp/test_qbench.XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    for (int i = 0; i < 64 * 256; i++)
        values[i] = (float)(i * 37 % 201 - 100) / 100;
    w.format = "f32";
    w.n = 64;
    w.k = 256;
    w.part[LB_PART_CODES].data = values;
    w.part[LB_PART_CODES].bytes = sizeof values;
    item.name = "layer";
    item.from = &w;
    snprintf(path, sizeof path, "%s/a.lbw", folder);
    cr_assert_eq(lb_file_write(path, &item, 1, NULL, NULL), LB_OK);
}

static void remove_checkpoint(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

/* Each $ of the arguments is the folder. */
static void expect_in_folder(int code, const char *arguments, const char *part)
{
    char text[1024] = "";
    for (const char *c = arguments; *c; c++)
        snprintf(text + strlen(text), sizeof text - strlen(text), *c == '$' ? "%s" : "%.1s",
                 *c == '$' ? folder : c);
    expect(code, text, part);
}

Test(qbench, convert_writes_what_run_multiplies, .init = make_checkpoint, .fini = remove_checkpoint)
{
    expect(0, "convert --list", "bitsandbytes, double quantisation");
    expect(2, "convert x.gguf", "--all or --tensor");
    expect(2, "convert /no/such.gguf --all", "cannot open /no/such.gguf");
    expect_in_folder(2, "convert $/a.lbw --all", "would overwrite");
    expect_in_folder(2, "convert $/a.lbw $/b.lbw --tensor nothing", "no tensor nothing");
    expect_in_folder(2, "convert $/a.lbw $/b.lbw --tensor layer --to q9", "'q9' is unknown");
    expect_in_folder(3, "convert $/a.lbw $/b.lbw --tensor layer --to q4_0", "lossy");
    expect_in_folder(2, "inspect $/b.lbw", "cannot open");
    expect_in_folder(0, "convert $/a.lbw $/b.lbw --tensor layer --to q4_k --lossy",
                     "f32 -> q4_k, largest error");
    expect_in_folder(0, "convert $/b.lbw $/c.lbw --all --pack f32 -d ref", "q4_k -> canon, exact");
    expect_in_folder(0, "inspect $/c.lbw", "64 x 256");
    expect_in_folder(0, "run -d ref -m 3 " SMALL "--weights $/b.lbw:layer -w $/c.lbw:layer",
                     "within bound");
    expect_in_folder(3, "run -d ref " SMALL "--weights $/a.lbw:layer", "lossy");
    expect_in_folder(2, "run -d ref --weights $/a.lbw:x", "no tensor x");
    expect_in_folder(2, "run -d ref --activations s8 --weights $/a.lbw:layer", "f32, f16 or bf16");
    expect_in_folder(0, "run -d ref -m 2 --activations f16 " SMALL "-w $/b.lbw:layer",
                     "f16*u4.g32->f32");
}
