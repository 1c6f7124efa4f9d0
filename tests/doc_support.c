/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/support.md, made of the tables: what runs where, by the same selection that plans use, on
 * devices that need not be here.
 *
 *   doc_support FILE           0: the file is current; 1: it is not
 *   doc_support --write FILE   writes it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"
#include "select.h"
#include "types.h"

#if !LB_WITH_OPENCL || !LB_WITH_CUDA
int main(void)
{
    fprintf(stderr, "doc_support: needs a build with all backends\n");
    return 77;
}
#else

#define CPU_512 "cpu x86-avx512-vnni x86-avx512-bf16 x86-avx512-vpopcntdq"

typedef struct target {
    const char *name, *backend, *words;
    int is_gpu, units;
} target;

static const target targets[] = {
    {"any CPU: ref", "ref", "", 0, 1},
    {"OpenCL, CPU", "opencl", "cpu", 0, 8},
    {"OpenCL, CPU with AVX-512 VNNI, BF16, VPOPCNTDQ", "opencl", CPU_512, 0, 8},
    {"OpenCL, GPU", "opencl", "gpu wg256", 1, 64},
    {"OpenCL, NVIDIA sm_61", "opencl", "gpu wg256 nv-dp4a", 1, 64},
    {"OpenCL, NVIDIA sm_80", "opencl", "gpu wg256 nv-dp4a nv-mma", 1, 64},
    {"OpenCL, AMD v_dot4", "opencl", "gpu wg256 amd-sdot4", 1, 64},
    {"OpenCL, Intel XMX", "opencl", "gpu wg256 cl-dot8 intel-dpas16", 1, 64},
    {"CUDA, sm_75", "cuda", "gpu cuda sm75", 1, 64},
    {"CUDA, sm_80", "cuda", "gpu cuda sm75 sm80", 1, 64},
    {"CUDA, sm_90a", "cuda", "gpu cuda sm75 sm80 sm86 sm89 sm90 sm90a", 1, 128},
};

static const char *const formats[] = {
    "s8*s8->s32",
    "s8.token*s4.channel->f16",
    "s8.token*s4.g128->f16",
    "s8.token*t2.tensor->f16",
    "s8.token*b1.channel->f16",
    "s4.token*s4.channel->f16",
    "b1*b1->s32",
    "f16*s8.channel->f16",
    "f16*s4.g128->f16",
    "bf16*s4.g128->bf16",
    "f32*s4.g128->f32",
};

/* ---- What is chosen -------------------------------------------------------------------------- */

static const lb_backend *backend_of(const char *name)
{
    for (size_t i = 0; i < lb_backend_count; i++)
        if (strcmp(lb_backends[i]->name, name) == 0)
            return lb_backends[i];
    return NULL;
}

static void choose(const target *t, const char *format, int m, char *text, size_t capacity)
{
    char line[128];
    lb_problem p;
    lb_candidate best;
    lb_device device = {.info = LB_DEVICE_INFO_INIT};
    device.info.is_gpu = t->is_gpu;
    device.info.compute_units = t->units;
    snprintf(device.info.features, sizeof device.info.features, "%s", t->words);
    snprintf(line, sizeof line, "%s m%d n4096 k4096", format, m);
    if (lb_problem_parse(line, &p) != LB_OK || lb_problem_normalise(&p, &p) != LB_OK ||
        lb_select_best(backend_of(t->backend), &p, &device, NULL, NULL, &best) != LB_OK)
        snprintf(text, capacity, "-");
    else
        snprintf(text, capacity, "`%s`%s", best.row->name, best.proven ? "" : "°");
}

/* Problems with the same choices share a line. */
static void put_choices(FILE *out, const target *t)
{
    enum { FORMATS = sizeof formats / sizeof *formats };
    char choice[FORMATS][160];
    bool put[FORMATS] = {false};
    for (size_t f = 0; f < FORMATS; f++) {
        char few[72], many[72];
        choose(t, formats[f], 1, few, sizeof few);
        choose(t, formats[f], 4096, many, sizeof many);
        snprintf(choice[f], sizeof choice[f], "%s | %s", few, many);
    }
    fprintf(out, "\n### %s\n\n| problem, n = k = 4096 | m = 1 | m = 4096 |\n| --- | --- | --- |\n",
            t->name);
    for (size_t f = 0; f < FORMATS; f++) {
        if (put[f])
            continue;
        fprintf(out, "| `%s`", formats[f]);
        for (size_t g = f + 1; g < FORMATS; g++)
            if (strcmp(choice[f], choice[g]) == 0) {
                put[g] = true;
                fprintf(out, " `%s`", formats[g]);
            }
        fprintf(out, " | %s |\n", choice[f]);
    }
}

/* ---- What there is --------------------------------------------------------------------------- */

/* A set of types without the table's own mark. */
static const char *types(uint32_t set, char *text, size_t capacity)
{
    lb_typeset_print(set, text, capacity);
    for (char *c = text; *c; c++)
        *c = *c == '|' ? ' ' : *c;
    return text;
}

static void put_rows(FILE *out, const lb_backend *backend)
{
    char a[128], b[128], sets[32], m[48];
    fprintf(out,
            "\n### %s\n\n| kernel | A | B | layout | m | needs | sets | proven | method |\n"
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            backend->name);
    for (size_t i = 0; i < *backend->row_count; i++) {
        const lb_kernel *row = &backend->rows[i];
        size_t count = 0;
        while (backend->parameters && backend->parameters(row, count, sets, sizeof sets))
            count++;
        snprintf(sets, sizeof sets, "%zu", count ? count : 1);
        snprintf(m, sizeof m,
                 row->m_max   ? "%lld to %lld"
                 : row->m_min ? "from %lld"
                              : "any",
                 (long long)(row->m_min ? row->m_min : 1), (long long)row->m_max);
        fprintf(out, "| `%s` | %s | %s | %s | %s | %s | %s | %s | %s |\n", row->name,
                types(row->a_types, a, sizeof a), types(row->b_types, b, sizeof b), row->layout, m,
                row->needs, sets,
                row->flags & LB_ROW_UNPROVEN        ? "no"
                : row->flags & LB_ROW_PROVEN_ON_CPU ? "on CPUs"
                                                    : "yes",
                row->summary);
    }
}

static void put_all(FILE *out)
{
    fprintf(
        out,
        "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
        "<!-- Made by tests/doc_support.c; do not edit: build/dev/tests/doc_support --write "
        "docs/support.md -->\n"
        "# What runs where\n\n"
        "All types, granularities and epilogue steps of the README run on every device: the row "
        "`*_any` of each backend takes what faster rows refuse. The tables show which row is "
        "chosen without tuning, and below all rows there are. ° marks rows that have not passed "
        "on real hardware of their kind; a proven row goes before them. Where cuBLASLt is "
        "installed, "
        "`cuda_cublaslt` takes `s8*s8->s32` from most of CUDA's rows. `qbench explain` says the "
        "same of the devices at hand, `qbench list` names their rows.\n\n"
        "## Chosen rows\n");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        put_choices(out, &targets[i]);
    fprintf(out, "\n## All rows\n\n"
                 "*Needs* are feature words that `qbench devices` shows; *sets* is the number of "
                 "parameter sets that `qbench tune` may choose from.\n");
    for (size_t i = 0; i < lb_backend_count; i++)
        put_rows(out, lb_backends[i]);
}

/* ---- Writing and comparing ------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    const char *path = argc > 2 ? argv[2] : argc > 1 ? argv[1] : "docs/support.md";
    char *made = NULL, *there = NULL;
    size_t made_bytes = 0, there_bytes = 0, got;
    setenv("LOWBIT_CUBLASLT", "", 1); /* whether it is installed here does not matter */
    FILE *out = open_memstream(&made, &made_bytes);
    if (!out)
        return 2;
    put_all(out);
    fclose(out);
    FILE *file = fopen(path, argc > 2 ? "w" : "r");
    if (!file) {
        perror(path);
        free(made);
        return 2;
    }
    int code = 0;
    if (argc > 2) {
        code = fwrite(made, 1, made_bytes, file) == made_bytes ? 0 : 2;
    } else {
        there = malloc(made_bytes + 1);
        got = there ? fread(there, 1, made_bytes + 1, file) : 0;
        there_bytes = got;
        code = there_bytes != made_bytes || memcmp(there, made, made_bytes) != 0;
        if (code)
            fprintf(stderr, "%s is not what the tables say; write it with: %s --write %s\n", path,
                    argv[0], path);
    }
    fclose(file);
    free(there);
    free(made);
    return code;
}
#endif
