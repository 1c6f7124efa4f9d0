/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

/* Bin b holds 8 ns to the power of two: values of 8..15 ns are bins 8..15, 16..31 by steps of 2,
 * ... */
static int bin_of(uint64_t ns)
{
    int e = 0;
    while (ns >> e > 15)
        e++;
    int bin = e * 8 + (int)(ns >> e);
    return bin < BINS ? bin : BINS - 1;
}

static double bin_end(int bin) /* ns */
{
    int e = bin < 16 ? 0 : bin / 8 - 1;
    return (double)(bin - e * 8 + 1) * (double)(1ull << e);
}

static void add(atomic_llong *count, long long by)
{
    atomic_fetch_add_explicit(count, by, memory_order_relaxed);
}

void counts_add_latency(counts *c, int64_t ns)
{
    add(&c->latency[bin_of((uint64_t)ns)], 1);
}

static long long value(atomic_llong *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

void counts_read(counts *c, totals *t)
{
    t->requests = value(&c->requests);
    t->rows = value(&c->rows);
    t->batches = value(&c->batches);
    t->wrong = value(&c->wrong);
    t->failed = value(&c->failed);
    for (int i = 0; i < BUCKETS; i++)
        t->by_bucket[i] = value(&c->by_bucket[i]);
    for (int i = 0; i < BINS; i++)
        t->latency[i] = value(&c->latency[i]);
}

void totals_subtract(totals *t, const totals *before)
{
    t->requests -= before->requests;
    t->rows -= before->rows;
    t->batches -= before->batches;
    t->wrong -= before->wrong;
    t->failed -= before->failed;
    for (int i = 0; i < BUCKETS; i++)
        t->by_bucket[i] -= before->by_bucket[i];
    for (int i = 0; i < BINS; i++)
        t->latency[i] -= before->latency[i];
}

double totals_latency(const totals *t, double share)
{
    long long all = 0, below = 0;
    int bin = 0;
    for (int i = 0; i < BINS; i++)
        all += t->latency[i];
    if (all == 0)
        return 0;
    while (bin < BINS - 1 && (double)(below += t->latency[bin]) < share * (double)all)
        bin++;
    return bin_end(bin) * 1e-6;
}
