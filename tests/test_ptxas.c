/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ptxas said of the CUDA kernels when they were compiled (build/<preset>/cuda/ptxas.txt): all
 * kernels that plans would launch are in it, none spills, and docs/performance.md sums it up.
 */
#include "check.h"

#if LB_WITH_CUDA && defined(PTXAS_TABLE)
#include <stdio.h>
#include <stdlib.h>

#include "cuda.h"
#include "lines.h"
#include "select.h"

#define MOST 4096
#define SUMMARY                                                                                    \
    "cmake -DTABLE=" PTXAS_TABLE " -DDOCUMENT=docs/performance.md -P cuda/ptxas_table.cmake"

typedef struct entry {
    char image[32], kernel[64], arch[16];
    int registers, shared, stack, spilled;
} entry;

static entry entries[MOST];
static int count;

static void read_table(void)
{
    char line[256];
    FILE *f = fopen(PTXAS_TABLE, "r");
    cr_assert(f, "no " PTXAS_TABLE "; build the target lowbit_cuda_images");
    while (fgets(line, sizeof line, f)) {
        entry *e = &entries[count];
        if (line[0] == '#')
            continue;
        cr_assert(count < MOST &&
                      sscanf(line, "%31s %63s %15s %d %d %d %d", e->image, e->kernel, e->arch,
                             &e->registers, &e->shared, &e->stack, &e->spilled) == 7,
                  "'%s'", line);
        count++;
    }
    fclose(f);
    cr_assert_gt(count, 0);
}

TestSuite(ptxas, .init = read_table);

Test(ptxas, says_of_each_kernel_once_that_it_does_not_spill)
{
    for (int i = 0; i < count; i++) {
        const entry *e = &entries[i];
        cr_expect(e->spilled == 0, "%s for %s spills %d bytes", e->kernel, e->arch, e->spilled);
        cr_expect(e->registers > 0 && e->registers <= 255 && e->shared <= 48 << 10, "%s",
                  e->kernel);
        for (int j = 0; j < i; j++)
            cr_expect(strcmp(e->kernel, entries[j].kernel) != 0 ||
                          strcmp(e->arch, entries[j].arch) != 0,
                      "%s for %s stands there twice", e->kernel, e->arch);
    }
}

static bool is_there(const char *image, const char *kernel, const char *arch)
{
    size_t stem = strcspn(image, ".");
    for (int i = 0; i < count; i++) {
        const entry *e = &entries[i];
        if (strlen(e->image) == stem && strncmp(e->image, image, stem) == 0 &&
            strcmp(e->kernel, kernel) == 0 && strcmp(e->arch, arch) == 0)
            return true;
    }
    return false;
}

/* The names of the kernels that a plan of this row for this problem launches. */
static void check_launches(const lb_kernel *row, const lb_problem *p, const char *arch)
{
    const lb_cuda_row *cuda = row->impl;
    char name[128];
    for (int i = 0; i < LB_CUDA_PASSES && cuda->passes[i].entry; i++) {
        const char *image = lb_cuda_kernel_of(cuda, &cuda->passes[i], p, name, sizeof name);
        cr_assert(is_there(image, name, arch), "%s launches %s, of which nothing is said for %s",
                  row->name, name, arch);
    }
}

Test(ptxas, knows_all_that_plans_launch)
{
    static const struct {
        const char *arch, *words;
    } devices[] = {{"sm_75", "gpu cuda sm75"},
                   {"sm_80", "gpu cuda sm75 sm80"},
                   {"sm_90a", "gpu cuda sm75 sm80 sm86 sm89 sm90 sm90a"}};
    qb_lines lines = {0};
    char why[256];
    int launches = 0;
    cr_assert(qb_lines_add_builtin(&lines, NULL, why, sizeof why), "%s", why);
    for (size_t d = 0; d < sizeof devices / sizeof *devices; d++) {
        lb_device device = {.info = LB_DEVICE_INFO_INIT};
        snprintf(device.info.features, sizeof device.info.features, "%s", devices[d].words);
        device.info.compute_units = 100;
        device.info.is_gpu = 1;
        for (size_t i = 0; i < lines.count; i++) {
            lb_problem p;
            check_ok(lb_problem_parse(lines.line[i], &p));
            for (size_t r = 0; r < lb_cuda_row_count; r++) {
                lb_candidate c;
                lb_select_judge(&lb_cuda_rows[r], &p, &device, NULL, &c);
                if (c.accepted)
                    check_launches(&lb_cuda_rows[r], &p, devices[d].arch);
                launches += c.accepted;
            }
        }
    }
    cr_expect_gt(launches, 1000);
    qb_lines_free(&lines);
}

Test(ptxas, is_summed_up_in_the_documents)
{
    static char text[1 << 17];
    FILE *f = fopen("docs/performance.md", "r");
    cr_assert(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    for (int i = 0; i < count; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n| %s | ", entries[i].image);
        cr_assert(strstr(text, line), "docs/performance.md has no line for %s; run %s",
                  entries[i].image, SUMMARY);
    }
}
#else
Test(ptxas, is_not_there)
{
    cr_skip_test("built without nvcc");
}
#endif
