// SPDX-License-Identifier: Apache-2.0
#include "gbench.h"

#include <benchmark/benchmark.h>

static benchmark::State &state_of(gb_state *state)
{
    return *reinterpret_cast<benchmark::State *>(state);
}

void gb_register(const char *name, void (*body)(gb_state *, void *), void *argument)
{
    benchmark::RegisterBenchmark(name, [body, argument](benchmark::State &state) {
        body(reinterpret_cast<gb_state *>(&state), argument);
    })->UseManualTime();
}

int gb_keep_running(gb_state *state)
{
    return state_of(state).KeepRunning();
}

void gb_set_seconds(gb_state *state, double seconds)
{
    state_of(state).SetIterationTime(seconds);
}

void gb_fail(gb_state *state, const char *message)
{
    state_of(state).SkipWithError(message);
}

void gb_counter(gb_state *state, const char *name, double value)
{
    state_of(state).counters[name] = value;
}

void gb_rate(gb_state *state, const char *name, double per_iteration)
{
    state_of(state).counters[name] =
        benchmark::Counter(per_iteration, benchmark::Counter::kIsIterationInvariantRate);
}

void gb_initialize(int *argc, char **argv)
{
    benchmark::Initialize(argc, argv);
}

void gb_run(void)
{
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
