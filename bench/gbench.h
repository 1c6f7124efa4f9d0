/* SPDX-License-Identifier: Apache-2.0 */
/* The part of Google Benchmark that gbench.c uses, as C. */
#ifndef GBENCH_H
#define GBENCH_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gb_state gb_state;

/* Registers a benchmark timed by gb_set_seconds (manual time). */
void gb_register(const char *name, void (*body)(gb_state *, void *), void *argument);
/* True while another iteration is wanted. */
int gb_keep_running(gb_state *state);
/* Seconds of the iteration just done. */
void gb_set_seconds(gb_state *state, double seconds);
/* Ends this benchmark with an error. */
void gb_fail(gb_state *state, const char *message);
/* Counters: a plain value, and an amount per iteration shown per second. */
void gb_counter(gb_state *state, const char *name, double value);
void gb_rate(gb_state *state, const char *name, double per_iteration);

/* Takes the library's own options out of argv. */
void gb_initialize(int *argc, char **argv);
void gb_run(void);

#ifdef __cplusplus
}
#endif
#endif
