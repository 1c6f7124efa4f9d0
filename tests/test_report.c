/* SPDX-License-Identifier: Apache-2.0 */
/* qbench report and compare, on runs written by hand and by qbench itself. */
#include <unistd.h>

#include "command.h"

/* Files of one test, removed with their folder. */
static char folder[] = "/tmp/lowbit_report_XXXXXX";
static char arguments[1024];

static void setup(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

static FILE *create(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    return file;
}

/* A run of two formats at two M, with times `scale` as long and +-2 % of spread. */
static void write_run(const char *name, double scale, const char *device, bool passed)
{
    static const char *const formats[] = {"s8*s4->s32", "b1*b1->s32"};
    FILE *f = create(name);
    fprintf(f,
            "{\"lowbit\":\"1\",\"date\":\"now\",\"baseline\":\"sgemm of "
            "<b>\",\"device\":{\"name\":\"%s\"},"
            "\"ceilings\":{\"read_bytes_per_s\":1e10,\"ops_f32_per_s\":1e11,"
            "\"ops_s8_per_s\":4e11,\"ops_b1_per_s\":3e12},\"results\":[",
            device);
    for (int i = 0; i < 4; i++) {
        double t = scale * (i % 2 ? 4e-3 : 1e-4) / (1 + i / 2);
        fprintf(f,
                "%s{\"problem\":\"%s m%d n64 "
                "k256\",\"status\":\"LB_OK\",\"kernel\":\"row\",\"seconds\":"
                "{\"median\":%g,\"p10\":%g,\"p90\":%g,\"samples\":9},\"ops\":1e7,\"bytes\":1e5,"
                "\"f32_bytes_ratio\":8,\"baseline\":{\"median\":%g},"
                "\"check\":{\"passed\":%s,\"exact\":true}}",
                i ? "," : "", formats[i / 2], i % 2 ? 64 : 1, t, 0.98 * t, 1.02 * t, 5e-3,
                passed ? "true" : "false");
    }
    fprintf(f, "]}");
    fclose(f);
}

/* The text with each @ replaced by the folder. */
static const char *in_folder(const char *format)
{
    char *out = arguments;
    size_t left = sizeof arguments;
    for (; *format && left > 1; format++)
        if (*format == '@') {
            int n = snprintf(out, left, "%s/", folder);
            out += n;
            left -= (size_t)n;
        } else {
            *out++ = *format;
            left--;
        }
    *out = 0;
    return arguments;
}

TestSuite(report, .init = setup, .fini = teardown);

Test(report, draws_every_figure_and_escapes_what_it_quotes)
{
    write_run("a.json", 1, "a <device>", true);
    cr_assert_eq(qbench(in_folder("report @a.json -o -")), 0);
    cr_expect(strstr(output, "<h3>Roofline</h3>"));
    cr_expect(strstr(output, "<h3>Time against M</h3>"));
    cr_expect(strstr(output, "<h3>Memory and speed per bit width</h3>"));
    cr_expect(strstr(output, "All 4 results"));
    cr_expect(strstr(output, "a &lt;device&gt;"));
    cr_expect(strstr(output, "sgemm of &lt;b&gt;"));
    cr_expect(strstr(output, "b1*b1-&gt;s32 m64 n64 k256"));
    cr_expect(strstr(output, "</html>"));
    cr_expect_null(strstr(output, "nan"));
    cr_expect_null(strstr(output, "inf"));
}

Test(report, runs_of_one_device_are_one_section)
{
    write_run("a.json", 1, "one", true);
    write_run("b.json", 0.5, "one", true);
    write_run("c.json", 1, "other", true);
    cr_assert_eq(qbench(in_folder("report @a.json @b.json @c.json -o -")), 0);
    cr_expect(strstr(output, "Of 2 runs, each problem"));
    cr_expect(strstr(output, "<h2>other</h2>"));
    /* 1 x 64 x 256 in 0.1 ms and in 0.05 ms: the faster */
    cr_expect(strstr(output, "<td>50 µs</td>"), "%s", output);
}

Test(report, draws_what_a_device_without_ceilings_and_baseline_gives)
{
    cr_assert_eq(qbench(in_folder("run -q -d ref " SMALL "--json @a.json 's8*s4->s32 m{1,2} n3 k5' "
                                  "'f16*f16->f16 m1 n1 k1'")),
                 3);
    cr_assert_eq(qbench(in_folder("report @a.json -o -")), 0);
    cr_expect(strstr(output, "no baseline"));
    cr_expect(strstr(output, "did not run"));
    cr_expect_null(strstr(output, "Roofline</h3>"));
}

Test(report, says_what_is_wrong_with_its_files)
{
    expect(2, "report", "1 to 16 files");
    expect(2, "report /no/such/run.json", "/no/such/run.json");
    fclose(create("empty.json"));
    expect(2, in_folder("report @empty.json"), "empty.json");
    FILE *f = create("other.json");
    fprintf(f, "{\"results\":[{\"problem\":\"nonsense\"}]}");
    fclose(f);
    expect(2, in_folder("report @other.json"), "result 0");
    write_run("a.json", 1, "one", true);
    expect(2, in_folder("report @a.json -o /no/such/dir/x.html"), "/no/such/dir/x.html");
}

Test(report, compare_exits_with_1_where_it_is_slower_beyond_threshold_and_spread)
{
    write_run("a.json", 1, "one", true);
    write_run("b.json", 1.2, "one", true);
    write_run("c.json", 1.03, "one", true);
    expect(0, in_folder("compare @a.json @a.json"), "4 lines: 0 faster, 0 slower, 4 the same");
    expect(1, in_folder("compare @a.json @b.json"), "0 faster, 4 slower");
    expect(0, in_folder("compare @b.json @a.json"), "4 faster, 0 slower");
    expect(0, in_folder("compare @a.json @b.json --threshold 30"), "4 the same");
    /* 3 % is above this threshold, but within the spread */
    expect(0, in_folder("compare @a.json @c.json --threshold 1"), "4 the same");
}

Test(report, compare_counts_wrong_results_as_broken)
{
    write_run("a.json", 1, "one", true);
    write_run("b.json", 0.5, "two", false);
    expect(1, in_folder("compare @a.json @b.json"), "4 broken");
    expect(1, in_folder("compare @a.json @b.json"), "two devices");
    expect(0, in_folder("compare @b.json @a.json"), "4 mended");
    expect(2, "compare one.json", "two files");
}
