/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning one problem (tune.c), and the file of what was found (tune_file.c). */
#ifndef QB_TUNE_H
#define QB_TUNE_H

#include "qbench.h"

typedef struct qb_choice {
    char kernel[64], parameters[64]; /* "" = the kernel's own */
    qb_time time;
} qb_choice;

typedef struct qb_tuned {
    qb_choice before, after; /* what the library chooses untuned; the fastest that was right */
    int tried, wrong;
} qb_tuned;

typedef struct qb_tuner {
    const qb_options *options;
    lb_context *context; /* without tuning */
    uint64_t rotate;     /* bytes of copies (qb_case_open) */
    double deadline;     /* on qb_now's clock */
    void (*progress)(void *argument, const qb_choice *trying);
    void *argument;
} qb_tuner;

/* The fastest right choice found until the deadline; at least the library's own. */
lb_status qb_tune(qb_tuner *tuner, const lb_problem *problem, qb_tuned *tuned);

/* The entry's text, as host/tuning.h reads it. scope: "device", "arch", "vendor", "default". */
void qb_tune_entry(const char *scope, const lb_device_info *device, const char *line,
                   const qb_choice *choice, char *text, size_t capacity);
/* True if the file has an entry of that scope, device and problem. */
bool qb_tune_has(const char *path, const char *entry);
/* Puts the entry into the file, in place of one of the same scope, device and problem; whole or not
 * at all. Makes folders. */
bool qb_tune_put(const char *path, const char *entry, char *why, size_t capacity);

#endif
