/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of qbench share: options, exit codes, output. */
#ifndef QBENCH_H
#define QBENCH_H

#include <stdbool.h>
#include <stdio.h>

#include "case.h"
#include "lines.h"
#include "measure.h"

/* Exit codes; the largest of a run's counts. */
enum {
    QB_EXIT_OK = 0,
    QB_EXIT_WRONG = 1,       /* a result differs from the reference */
    QB_EXIT_USAGE = 2,       /* options, a problem line, a file */
    QB_EXIT_UNSUPPORTED = 3, /* no kernel accepts the problem */
    QB_EXIT_NO_DEVICE = 4,
    QB_EXIT_FAILED = 5 /* driver, memory, or a bug */
};
int qb_exit_of(lb_status status);

typedef struct qb_options qb_options;

/* A row of commands.def. */
typedef struct qb_command {
    const char *name, *arguments, *summary, *examples;
    int (*run)(qb_options *options); /* returns an exit code */
} qb_command;
extern const qb_command qb_commands[];
extern const size_t qb_command_count;

#define QB_COMMAND(name, arguments, summary, examples) int qb_command_##name(qb_options *options);
#include "commands.def"
#undef QB_COMMAND

struct qb_options {
    const qb_command *command;
    int bits; /* 0 = not given */
    long long m, n, k, batch;
    char *device; /* selector; "all" where a command takes it; NULL = auto */
    char *kernel; /* row; "all" where a command takes it; NULL = the library chooses */
    double min_time;
    int repeat;
    int threads; /* of the host, that pack weights */
    long long seed;
    double seconds;   /* in all; 0 = not given */
    char *file;       /* of tune; NULL = lb_tuning_path() */
    char *scope;      /* of tune's entries; NULL = device */
    char *output;     /* file of report; NULL = report.html */
    double threshold; /* of compare: percent */
    char *json, *csv; /* files, "-" = stdout, NULL = none */
    int no_check, no_baseline, quiet, ceilings, resume, energy, overlap; /* flags: popt sets them */
    char **weights, **tensor;      /* lists that end with NULL, or NULL */
    char *activations, *to, *pack; /* NULL = not given */
    int all, lossy, list;          /* flags of convert */
    qb_lines lines;                /* of arguments, suites and --bits */
};

/* Parses the command line. Returns -1 to go on, else the exit code. --help exits by itself. */
int qb_options_parse(int argc, const char **argv, qb_options *options);
void qb_options_free(qb_options *options);

/* Prints the words that may stand in place of the last of `words`; returns an exit code. */
int qb_complete(const char *const *words, size_t count, const char *options);
/* run with --weights (command_weights.c). */
int qb_run_weights(qb_options *options);
/* "file:tensor" taken apart: opens the file; the name points into `text`. */
lb_status qb_open_tensor(const char *text, lb_file **file, const char **name);
/* f32 (also NULL), f16, bf16; 0 for another word. */
int32_t qb_float_type(const char *word);

/* Opens the device, or says why not on stderr. NULL with *exit_code set. */
lb_context *qb_open(const char *device, int *exit_code);
/* With so many threads of the host to pack weights. */
lb_context *qb_open_threads(const char *device, int threads, int *exit_code);
/* All selectors of this machine. At most `capacity`; returns how many. */
size_t qb_selectors(lb_device_info *infos, size_t capacity);

/* ---- Output (output.c) ----------------------------------------------------------------------- */

typedef struct qb_record {
    const char *line; /* canonical */
    lb_status status; /* of the whole; then `error` says more and only `line` counts */
    const char *error;
    bool skipped; /* by us, for the time it would take; `error` says so */
    lb_plan_info plan;
    char parameters[64];    /* of the plan, which is gone */
    qb_time time, baseline; /* baseline.median = 0: none */
    double ops, bytes;      /* per run */
    double joules;          /* per run; 0 = not measured */
    double ceiling;         /* share of what the device's measured limits allow; 0 = unknown */
    bool memory_bound;      /* the limit that counted */
    double f32_ratio;       /* bytes of f32 weights / bytes of the packed ones */
    bool checked;
    qb_check check;
} qb_record;

/* One line of what was measured. */
void qb_ceilings_print(const lb_ceilings *ceilings);

typedef struct qb_output qb_output;
/* Starts the table on stdout (unless quiet or stdout is taken by JSON or CSV) and the files asked
 * for. NULL: a file cannot be opened; said on stderr. */
qb_output *qb_output_open(const qb_options *options, const lb_device_info *device,
                          const lb_ceilings *ceilings, const char *baseline);
void qb_output_add(qb_output *output, const qb_record *record);
/* Ends the table and writes the files; false: they could not be written, said on stderr. */
bool qb_output_close(qb_output *output);

/* "151 ms", "3.20 us" into text. */
const char *qb_seconds(double seconds, char *text, size_t capacity);
/* "exact", "within bound", "WRONG: ..." */
const char *qb_check_text(const qb_check *check, char *text, size_t capacity);

/* A bar on stderr, if that is a terminal and not quiet. done = total ends it. */
void qb_progress(const qb_options *options, size_t done, size_t total, const char *what);

#endif
