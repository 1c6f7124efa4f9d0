/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: options by popt, commands by commands.def. */
#include <limits.h>
#include <popt.h>
#include <stdlib.h>
#include <string.h>

#include "../host/nearest.h"
#include "qbench.h"

#define UNSET LLONG_MIN
enum { SUITE = 1, HELP }; /* options that are acted on one by one */

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

/* ---- Words ------------------------------------------------------------------------------------
 */

static const qb_command *find_command(const char *word)
{
    for (size_t i = 0; word && i < qb_command_count; i++)
        if (strcmp(word, qb_commands[i].name) == 0)
            return &qb_commands[i];
    return NULL;
}

static int no_command(const char *word)
{
    char names[512] = "", hint[80];
    for (size_t i = 0; i < qb_command_count; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? " " : "",
                 qb_commands[i].name);
    fprintf(stderr, "qbench: '%s' is no command (%s) and no problem line%s; see qbench --help\n",
            word, names, lb_did_you_mean(names, word, strlen(word), hint, sizeof hint));
    return QB_EXIT_USAGE;
}

/* All options of popt's tables: "--bits --m ...". */
static const char *option_names(const struct poptOption *groups)
{
    static char names[2048];
    names[0] = 0;
    for (; groups->arg; groups++)
        for (const struct poptOption *o = groups->arg; o->longName; o++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "--%s ", o->longName);
    return names;
}

/* A suite is a file if its name looks like one, else a built-in one. */
static bool add_suite(qb_options *o, const char *name, char *why, size_t capacity)
{
    if (strcmp(name, "-") == 0 || strchr(name, '/') || strchr(name, '.'))
        return qb_lines_add_file(&o->lines, name, why, capacity);
    return qb_lines_add_builtin(&o->lines, name, why, capacity);
}

/* ---- Help -------------------------------------------------------------------------------------
 */

static void indented(const char *lines)
{
    for (size_t n; *lines; lines += n + (lines[n] == '\n')) {
        n = strcspn(lines, "\n");
        printf("  %.*s\n", (int)n, lines);
    }
}

/* Of one command, or of all. popt adds usage and options. */
static int help(poptContext context, const qb_command *command)
{
    char usage[128] = "[COMMAND] [OPTION...] [LINE...]";
    if (command) {
        printf("qbench %s %s.\n", command->name, command->summary);
        snprintf(usage, sizeof usage, "%s [OPTION...] %s", command->name, command->arguments);
    } else {
        printf(
            "qbench times, checks and explains low-bit matrix products. A LINE is a problem, such "
            "as\n  's8.token*s4.g128->f16 m16 n4096 k4096 +bias +silu'\n\nCommands ('qbench "
            "COMMAND --help' has examples); without one: %s\n",
            qb_commands[0].name);
        for (size_t i = 0; i < qb_command_count; i++)
            printf("  %-10s%s\n", qb_commands[i].name, qb_commands[i].summary);
    }
    printf("\nExamples\n");
    indented(command ? command->examples : qb_commands[0].examples);
    printf("\n");
    fflush(stdout);
    poptSetOtherOptionHelp(context, usage);
    poptPrintHelp(context, stdout, 0);
    return QB_EXIT_OK;
}

/* ---- Parsing ----------------------------------------------------------------------------------
 */

static int arguments(poptContext context, qb_options *o)
{
    char why[256] = "";
    const char *word = poptPeekArg(context);
    o->command = find_command(word);
    if (o->command)
        poptGetArg(context);
    else if (word && !strchr(word, '*'))
        return no_command(word);
    else
        o->command = &qb_commands[0];
    while ((word = poptGetArg(context)))
        if (!qb_lines_add(&o->lines, word, why, sizeof why))
            return fail_lines(why);
    return -1;
}

static int collect(poptContext context, const struct poptOption *table, qb_options *o, char **suite)
{
    char why[256] = "", hint[80];
    int code;
    while ((code = poptGetNextOpt(context)) > 0) {
        if (code == HELP)
            return help(context, find_command(poptPeekArg(context)));
        bool added = *suite && add_suite(o, *suite, why, sizeof why);
        free(*suite);
        *suite = NULL;
        if (!added)
            return fail_lines(why);
    }
    if (code < -1) {
        const char *option = poptBadOption(context, POPT_BADOPTION_NOALIAS);
        fprintf(stderr, "qbench: %s: %s%s; see qbench --help\n", option, poptStrerror(code),
                code == POPT_ERROR_BADOPT ? lb_did_you_mean(option_names(table), option,
                                                            strcspn(option, "="), hint, sizeof hint)
                                          : "");
        return QB_EXIT_USAGE;
    }
    return arguments(context, o);
}

static int validate(qb_options *o)
{
    char why[256] = "";
    if (o->m == UNSET)
        o->m = o->weights ? 16 : 4096;
    if (o->m < 0 || o->n < 0 || o->k < 0 || o->batch < 1)
        return fail("%s must not be negative, and --batch must be at least 1", "--m, --n and --k");
    if (!(o->min_time >= 0 && o->min_time <= 3600))
        return fail("%s takes 0 to 3600 seconds", "--min-time");
    if (o->repeat < 1 || o->repeat > 2000)
        return fail("%s takes 1 to 2000", "--repeat");
    if (o->threads < 1 || o->threads > LB_MAX_HOST_THREADS)
        return fail("%s takes 1 to 256", "--threads");
    if (!(o->seconds >= 0 && o->seconds <= 1e6))
        return fail("%s takes 0 to 1000000", "--seconds");
    if (!(o->threshold >= 0 && o->threshold <= 1000))
        return fail("%s takes 0 to 1000 percent", "--threshold");
    if (o->json && o->csv && strcmp(o->json, "-") == 0 && strcmp(o->csv, "-") == 0)
        return fail("%s cannot both go to standard output", "--json and --csv");
    if ((o->json || o->csv) && strcmp(o->command->name, "run") != 0)
        return fail("%s are of 'qbench run'; other commands print text", "--json and --csv");
    if (!qb_float_type(o->activations) || !qb_float_type(o->pack))
        return fail("%s take f32, f16 or bf16", "--activations and --pack");
    if (o->bits &&
        !qb_lines_add_width(&o->lines, o->bits, o->m, o->n, o->k, o->batch, why, sizeof why))
        return fail_lines(why);
    return -1;
}

#define TEXT(name, letter, field, what, value)                                                     \
    {                                                                                              \
        name, letter, POPT_ARG_STRING, &o->field, 0, what, value                                   \
    }
#define FLAG(name, letter, field, what)                                                            \
    {                                                                                              \
        name, letter, POPT_ARG_NONE, &o->field, 0, what, NULL                                      \
    }
#define SIZE(name, letter, field, what, value)                                                     \
    {                                                                                              \
        name, letter, POPT_ARG_LONGLONG, &o->field, 0, what, value                                 \
    }
#define LIST(name, letter, field, what, value)                                                     \
    {                                                                                              \
        name, letter, POPT_ARG_ARGV, &o->field, 0, what, value                                     \
    }
#define GROUP(table, title)                                                                        \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, table, 0, title, NULL                                     \
    }

int qb_options_parse(int argc, const char **argv, qb_options *o)
{
    *o = (qb_options){.m = UNSET,
                      .n = 4096,
                      .k = 4096,
                      .batch = 1,
                      .min_time = 0.5,
                      .repeat = 5,
                      .threads = 1,
                      .seed = 1,
                      .threshold = 5};
    char *suite = NULL;
    struct poptOption problems[] = {
        {"bits", 'b', POPT_ARG_INT, &o->bits, 0, "all combinations of weights this wide",
         "1|2|4|8"},
        SIZE("m", 'm', m, "rows of A, with --bits (4096)", "M"),
        SIZE("n", 'n', n, "rows of B, with --bits (4096)", "N"),
        SIZE("k", 'k', k, "summation length, with --bits (4096)", "K"),
        SIZE("batch", 0, batch, "independent products, with --bits (1)", "B"),
        {"suite", 's', POPT_ARG_STRING, &suite, SUITE,
         "lines of a file ('-': standard input) or of a built-in suite; may be repeated",
         "FILE|NAME"},
        SIZE("seed", 0, seed, "of the random data (1)", "SEED"),
        POPT_TABLEEND};
    struct poptOption where[] = {
        TEXT("device", 'd', device,
             "device ('qbench devices' lists them); check, list and explain also take 'all'",
             "DEVICE"),
        TEXT("kernel", 0, kernel,
             "kernel row ('qbench list' names them); check: 'all', each that accepts the problem",
             "ROW"),
        FLAG("ceilings", 0, ceilings, "devices: measure what each can do"), POPT_TABLEEND};
    struct poptOption checkpoints[] = {
        LIST("weights", 'w', weights,
             "run: multiply this matrix of a checkpoint by -m rows (16); may be repeated",
             "FILE:TENSOR"),
        TEXT("activations", 0, activations, "run --weights: type of A (f32)", "f32|f16|bf16"),
        LIST("tensor", 't', tensor, "convert: this tensor; may be repeated", "NAME"),
        FLAG("all", 0, all, "convert: every tensor; floats stay as they are"),
        TEXT("to", 0, to, "convert: into this format (canon)", "FORMAT"),
        FLAG("lossy", 0, lossy, "convert: round what the format cannot hold, and say by how much"),
        TEXT("pack", 0, pack, "convert: also pack for --device and an A of this type",
             "f32|f16|bf16"),
        FLAG("list", 0, list, "convert: name the formats"),
        POPT_TABLEEND};
    struct poptOption timing[] = {
        {"min-time", 0, POPT_ARG_DOUBLE, &o->min_time, 0, "time at least this long (0.5)",
         "SECONDS"},
        {"repeat", 0, POPT_ARG_INT, &o->repeat, 0, "and at least this often (5)", "N"},
        {"threads", 0, POPT_ARG_INT, &o->threads, 0,
         "repack, convert --pack: threads that pack weights (1)", "N"},
        FLAG("no-check", 0, no_check, "run: do not compare with the reference"),
        FLAG("energy", 0, energy, "run: also joules per product (NVIDIA GPUs), into JSON"),
        FLAG("no-baseline", 0, no_baseline, "run: do not time the baseline"),
        FLAG("overlap", 0, overlap,
             "run: begin each product while the one before is still running, where devices can"),
        POPT_TABLEEND};
    struct poptOption tuning[] = {
        {"seconds", 0, POPT_ARG_DOUBLE, &o->seconds, 0, "tune: in all (60 for each line); fuzz: 60",
         "SECONDS"},
        TEXT("file", 'f', file, "where entries go ($LOWBIT_TUNING, else ~/.config/lowbit/tuning)",
             "FILE"),
        TEXT("scope", 0, scope, "whom entries are for: device (the default), arch, vendor, default",
             "SCOPE"),
        FLAG("resume", 0, resume, "skip lines that the file has"),
        POPT_TABLEEND};
    struct poptOption output[] = {
        TEXT("json", 0, json, "run: also write JSON ('-': only, to stdout)", "FILE"),
        TEXT("csv", 0, csv, "run: also write CSV ('-': only, to stdout)", "FILE"),
        TEXT("output", 'o', output, "report: the page (report.html; '-': stdout)", "FILE"),
        {"threshold", 0, POPT_ARG_DOUBLE, &o->threshold, 0,
         "compare: changes of less do not count (5)", "PERCENT"},
        FLAG("quiet", 'q', quiet, "no progress bar, no table"),
        {"help", 'h', POPT_ARG_NONE, NULL, HELP, "this text; after a command: of that command",
         NULL},
        POPT_TABLEEND};
    const struct poptOption table[] = {GROUP(problems, "Problems:"),
                                       GROUP(where, "Device and kernel:"),
                                       GROUP(checkpoints, "Checkpoints:"),
                                       GROUP(timing, "Timing:"),
                                       GROUP(tuning, "Tuning:"),
                                       GROUP(output, "Output:"),
                                       POPT_TABLEEND};
    /* What follows is unfinished, and not for popt. */
    if (argc > 1 && strcmp(argv[1], "complete") == 0)
        return qb_complete(argv + 2, (size_t)argc - 2, option_names(table));
    poptContext context = poptGetContext("qbench", argc, argv, table, 0);
    if (!context)
        return QB_EXIT_FAILED;
    int code = collect(context, table, o, &suite);
    poptFreeContext(context);
    return code < 0 ? validate(o) : code;
}

static void free_list(char **list)
{
    for (char **word = list; word && *word; word++)
        free(*word);
    free(list);
}

void qb_options_free(qb_options *o)
{
    free_list(o->weights);
    free_list(o->tensor);
    free(o->activations);
    free(o->to);
    free(o->pack);
    qb_lines_free(&o->lines);
    free(o->device);
    free(o->kernel);
    free(o->file);
    free(o->scope);
    free(o->output);
    free(o->json);
    free(o->csv);
}
