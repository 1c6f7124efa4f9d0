/* SPDX-License-Identifier: Apache-2.0 */
#include <popt.h>
#include <stdlib.h>
#include <string.h>

#include "qbench.h"

static const char description[] =
    "[run|check|list|explain|devices] [OPTION...] [LINE...]\n"
    "  or:  qbench inspect FILE...\n"
    "Multiplies low-bit matrices: times them, checks them, or says which kernel does it and why.\n"
    "A LINE is a problem, e.g. 's8.token*s4.g128->f16 m16 n4096 k4096 +bias +silu'.\n"
    "\n"
    "  qbench --bits 4 --m 4096          every use of 4-bit weights, timed and checked\n"
    "  qbench 'b1*b1->s32 m{1,64} n4096 k16384'\n"
    "  qbench check --device all         all built-in problems on every device, against the "
    "reference\n"
    "  qbench explain 's8*s8->s32 m64 n64 k64'\n"
    "  qbench run --suite perf --json results.json\n"
    "  qbench inspect model.gguf         the tensors of a GGUF or safetensors file, and who reads "
    "them\n";

/* Loose values of popt's table, which wants pointers to them. */
typedef struct loose {
    int no_check, no_baseline, quiet, ceilings;
    char *suite; /* of the option being read */
} loose;

enum { SUITE = 1 };

static int fail(const char *format, const char *word)
{
    fprintf(stderr, "qbench: ");
    fprintf(stderr, format, word);
    fprintf(stderr, "; see qbench --help\n");
    return QB_EXIT_USAGE;
}

static int fail_lines(const char *why)
{
    fprintf(stderr, "qbench: %s\n", why);
    return QB_EXIT_USAGE;
}

/* The command that a word names, in memory that stays; NULL if it names none. */
static const char *find_command(const char *word)
{
    static const char *const commands[] = {"run", "check", "list", "explain", "devices", "inspect"};
    for (size_t i = 0; word && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(word, commands[i]) == 0)
            return commands[i];
    return NULL;
}

/* A suite is a file if its name looks like one, else a built-in one. */
static bool add_suite(qb_options *o, const char *name, char *why, size_t capacity)
{
    if (strcmp(name, "-") == 0 || strchr(name, '/') || strchr(name, '.'))
        return qb_lines_add_file(&o->lines, name, why, capacity);
    return qb_lines_add_builtin(&o->lines, name, why, capacity);
}

static int collect(poptContext context, qb_options *o, loose *l)
{
    char why[256] = "";
    int code;
    while ((code = poptGetNextOpt(context)) > 0) {
        bool added = l->suite && add_suite(o, l->suite, why, sizeof why);
        free(l->suite);
        l->suite = NULL;
        if (!added)
            return fail_lines(why);
    }
    if (code < -1) {
        fprintf(stderr, "qbench: %s: %s\n", poptBadOption(context, POPT_BADOPTION_NOALIAS),
                poptStrerror(code));
        return QB_EXIT_USAGE;
    }
    const char *word = poptPeekArg(context);
    o->command = find_command(word);
    if (o->command)
        poptGetArg(context);
    else if (word && !strstr(word, "*"))
        return fail(
            "'%s' is no command (run, check, list, explain, devices, inspect) and no problem line",
            word);
    if (!o->command)
        o->command = "run";
    while ((word = poptGetArg(context)))
        if (!qb_lines_add(&o->lines, word, why, sizeof why))
            return fail_lines(why);
    return -1;
}

static int validate(qb_options *o)
{
    char why[256] = "";
    if (o->m < 0 || o->n < 0 || o->k < 0 || o->batch < 1)
        return fail("%s must not be negative, and --batch must be at least 1", "--m, --n and --k");
    if (!(o->min_time >= 0 && o->min_time <= 3600))
        return fail("%s takes 0 to 3600 seconds", "--min-time");
    if (o->repeat < 1 || o->repeat > 2000)
        return fail("%s takes 1 to 2000", "--repeat");
    if (o->json && o->csv && strcmp(o->json, "-") == 0 && strcmp(o->csv, "-") == 0)
        return fail("%s cannot both go to standard output", "--json and --csv");
    if (o->bits &&
        !qb_lines_add_width(&o->lines, o->bits, o->m, o->n, o->k, o->batch, why, sizeof why))
        return fail_lines(why);
    return -1;
}

int qb_options_parse(int argc, const char **argv, qb_options *o)
{
    *o = (qb_options){
        .m = 4096, .n = 4096, .k = 4096, .batch = 1, .min_time = 0.5, .repeat = 5, .seed = 1};
    loose l = {0};
    const struct poptOption table[] = {
        {"bits", 'b', POPT_ARG_INT, &o->bits, 0, "all combinations of weights this wide",
         "1|2|4|8"},
        {"m", 'm', POPT_ARG_LONGLONG, &o->m, 0, "rows of A, with --bits (4096)", "M"},
        {"n", 'n', POPT_ARG_LONGLONG, &o->n, 0, "rows of B, with --bits (4096)", "N"},
        {"k", 'k', POPT_ARG_LONGLONG, &o->k, 0, "summation length, with --bits (4096)", "K"},
        {"batch", 0, POPT_ARG_LONGLONG, &o->batch, 0, "independent products, with --bits (1)", "B"},
        {"suite", 's', POPT_ARG_STRING, &l.suite, SUITE,
         "lines of a file ('-': standard input) or of a built-in suite; may be repeated",
         "FILE|NAME"},
        {"device", 'd', POPT_ARG_STRING, &o->device, 0,
         "device ('qbench devices' lists them); check, list and explain also take 'all'", "DEVICE"},
        {"kernel", 0, POPT_ARG_STRING, &o->kernel, 0,
         "kernel row ('qbench list' names them); 'all': each that accepts the problem", "ROW"},
        {"min-time", 0, POPT_ARG_DOUBLE, &o->min_time, 0, "time at least this long (0.5)",
         "SECONDS"},
        {"repeat", 0, POPT_ARG_INT, &o->repeat, 0, "and at least this often (5)", "N"},
        {"seed", 0, POPT_ARG_LONGLONG, &o->seed, 0, "of the random data (1)", "SEED"},
        {"json", 0, POPT_ARG_STRING, &o->json, 0, "also write JSON ('-': only, to stdout)", "FILE"},
        {"csv", 0, POPT_ARG_STRING, &o->csv, 0, "also write CSV ('-': only, to stdout)", "FILE"},
        {"no-check", 0, POPT_ARG_NONE, &l.no_check, 0, "run: do not compare with the reference",
         NULL},
        {"no-baseline", 0, POPT_ARG_NONE, &l.no_baseline, 0, "run: do not time the baseline", NULL},
        {"ceilings", 0, POPT_ARG_NONE, &l.ceilings, 0, "devices: measure what each can do", NULL},
        {"quiet", 'q', POPT_ARG_NONE, &l.quiet, 0, "no progress bar, no table", NULL},
        POPT_AUTOHELP POPT_TABLEEND};
    poptContext context = poptGetContext("qbench", argc, argv, table, 0);
    if (!context)
        return QB_EXIT_FAILED;
    poptSetOtherOptionHelp(context, description);
    int code = collect(context, o, &l);
    poptFreeContext(context);
    o->no_check = l.no_check;
    o->no_baseline = l.no_baseline;
    o->quiet = l.quiet;
    o->ceilings = l.ceilings;
    return code < 0 ? validate(o) : code;
}

void qb_options_free(qb_options *o)
{
    qb_lines_free(&o->lines);
    free(o->device);
    free(o->kernel);
    free(o->json);
    free(o->csv);
}
