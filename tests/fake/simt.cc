/* SPDX-License-Identifier: Apache-2.0 */
#include "simt.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sys/mman.h>
#include <ucontext.h>

/* ---- Switching ------------------------------------------------------------------------------- */
/*
 * swapcontext asks the kernel for the signal mask each time, which is most of what a switch costs;
 * AddressSanitizer, on the other hand, knows only swapcontext.
 */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
typedef void *simt_context;

/* Pushes what a function must keep, exchanges the stacks, and returns on the other. */
__attribute__((naked, noinline)) static void simt_switch(simt_context *, simt_context *)
{
    __asm__("push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
            "mov %rsp, (%rdi)\n mov (%rsi), %rsp\n"
            "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret");
}

static void simt_prepare(simt_context *context, char *stack, size_t bytes, void (*entry)())
{
    void **top = (void **)(stack + bytes);
    *--top = nullptr; /* entry's caller, which it never returns to */
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++)
        *--top = nullptr;
    *context = top;
}
#else
typedef ucontext_t simt_context;

static void simt_switch(simt_context *from, simt_context *to)
{
    swapcontext(from, to);
}

static void simt_prepare(simt_context *context, char *stack, size_t bytes, void (*entry)())
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = bytes;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
}
#endif

namespace simt
{

thread *now;
dim block_index, block_size, grid_size;
uint8_t *shared;
unsigned shared_bytes;

namespace
{

constexpr size_t stack_bytes = 256 << 10;
constexpr unsigned most_ranks = 8, block_threads = 1024;
constexpr unsigned most_threads = most_ranks * block_threads;

struct fiber : thread {
    simt_context context;
    bool done;
};

/* Those who wait for each other at one place. */
struct meeting {
    unsigned arrived, generation;
};

fiber fibers[most_threads];
unsigned count, living, idle; /* idle: turns since a thread last got on */
unsigned cluster_ranks;
bool turned;
simt_context outside;
const std::function<void()> *body;
char why[256];
bool failed;
meeting warps[most_threads / 32], warpgroups[most_threads / 128], barriers[most_ranks][16];
meeting cluster;

/* A block of the cluster. */
struct block_state {
    dim index;
    uint8_t *shared;
    unsigned living;
    std::map<uint32_t, barrier_state> mbarriers;
};
block_state blocks[most_ranks];
char *stacks;

/* ---- The work before ------------------------------------------------------------------------- */

constexpr uint8_t unwritten = 0xb7;
before previous;
unsigned awaiting; /* threads that wait for it */
bool complete;     /* it is, for this cluster */

void hide()
{
    complete = !previous.runs;
    awaiting = 0;
    for (before::piece &piece : previous.memory) {
        piece.real.assign(piece.at, piece.at + piece.bytes);
        std::memset(piece.at, unwritten, piece.bytes);
    }
}

/* It ends: what it wrote is there. Returns whether nothing else had been written. */
bool reveal()
{
    bool untouched = true;
    complete = true;
    for (before::piece &piece : previous.memory) {
        for (size_t i = 0; i < piece.bytes; i++)
            untouched &= piece.at[i] == unwritten;
        std::memcpy(piece.at, piece.real.data(), piece.bytes);
    }
    return untouched;
}

/* A phase ends: the next begins. */
void settle(barrier_state &b)
{
    if (b.missing > 0 || b.bytes != 0)
        return;
    b.missing = b.count;
    b.phase++;
    idle = 0;
}

/* The cluster's barrier opens when all `expected` threads that have not ended are there. */
void settle_cluster(unsigned expected)
{
    if (cluster.arrived == 0 || cluster.arrived < expected)
        return;
    cluster.arrived = 0;
    cluster.generation++;
    idle = 0;
}

unsigned place(const thread *t)
{
    return (unsigned)(static_cast<const fiber *>(t) - fibers);
}

void enter(fiber *next, simt_context *from)
{
    now = next;
    block_index = blocks[next->rank].index;
    shared = blocks[next->rank].shared;
    simt_switch(from, &next->context);
}

/* The next thread that has not ended; with `this` one alone, itself. Of a cluster's blocks one goes
   as far as it gets before the next does, so that what they fail to wait for is missed. */
fiber *next_of(unsigned at)
{
    unsigned threads = count / cluster_ranks;
    bool stays = idle <= threads && blocks[at / threads].living > 0;
    unsigned from = stays ? at / threads * threads : 0, size = stays ? threads : count;
    do
        at = from + (at - from + (turned ? size - 1 : 1)) % size;
    while (fibers[at].done);
    return &fibers[at];
}

[[noreturn]] void leave()
{
    simt_switch(&static_cast<fiber *>(now)->context, &outside);
    abort();
}

void yield()
{
    fiber *self = static_cast<fiber *>(now);
    fiber *next = next_of(place(self));
    if (next != self)
        enter(next, &self->context);
}

void run_thread()
{
    (*body)();
    if (previous.runs && !now->waited)
        fault("ends without having waited for the work before the launch");
    fiber *self = static_cast<fiber *>(now);
    self->done = true;
    idle = 0;
    block_state &block = blocks[self->rank];
    if (--block.living == 0)
        std::memset(block.shared, 0xdd, shared_bytes);
    if (self->cluster_arrived && self->cluster_phase == cluster.generation)
        cluster.arrived--;
    settle_cluster(living - 1);
    if (--living == 0)
        leave();
    enter(next_of(place(self)), &self->context);
}

void prepare(unsigned i)
{
    fiber &f = fibers[i];
    static_cast<thread &>(f) = thread{};
    unsigned threads = block_size.x * block_size.y * block_size.z, at = i % threads;
    f.rank = i / threads;
    f.index = {at % block_size.x, at / block_size.x % block_size.y,
               at / block_size.x / block_size.y};
    f.done = false;
    simt_prepare(&f.context, stacks + i * stack_bytes, stack_bytes, run_thread);
}

void run_cluster()
{
    std::memset(warps, 0, sizeof warps);
    std::memset(warpgroups, 0, sizeof warpgroups);
    std::memset(barriers, 0, sizeof barriers);
    cluster = {};
    for (block_state &block : blocks)
        block.mbarriers.clear();
    for (unsigned i = 0; i < count; i++)
        prepare(i);
    living = count;
    idle = 0;
    enter(&fibers[turned ? count - 1 : 0], &outside);
}

void meet(const char *what, meeting &m, unsigned expected, const std::function<void()> &last)
{
    unsigned generation = m.generation;
    idle = 0;
    if (++m.arrived == expected) {
        last();
        m.arrived = 0;
        m.generation++;
        return;
    }
    wait_until(what, [&] { return m.generation != generation; });
}

} // namespace

void fault(const char *format, ...)
{
    va_list list;
    int used = snprintf(why, sizeof why, "block %u, thread %u: ", block_index.x, now->index.x);
    va_start(list, format);
    vsnprintf(why + used, sizeof why - (size_t)used, format, list);
    va_end(list);
    failed = true;
    leave();
}

void wait_until(const char *what, const std::function<bool()> &ready)
{
    while (!ready()) {
        if (++idle > 2 * count) {
            if (awaiting == 0 || complete)
                fault("waits in %s for ever", what);
            if (!reveal())
                fault("something was written before the work before the launch was complete");
            idle = 0;
        }
        yield();
    }
    idle = 0;
}

void grid_wait()
{
    if (!complete) {
        awaiting++;
        wait_until("griddepcontrol.wait", [] { return complete; });
    }
    now->waited = true;
}

void grid_launch_dependents()
{
    if (previous.runs && !now->waited)
        fault("griddepcontrol.launch_dependents before griddepcontrol.wait");
}

void check_source(const void *from, unsigned bytes)
{
    if (now->waited)
        return;
    for (const before::piece &piece : previous.memory)
        if (bytes && (const uint8_t *)from + bytes > piece.at &&
            (const uint8_t *)from < piece.at + piece.bytes)
            fault("a copy of what the work before the launch may still be writing");
}

void together(const char *what, unsigned size, void *operands,
              const std::function<void(void **)> &act)
{
    unsigned first = place(now) / size * size;
    meeting &m = size == 32 ? warps[first / 32] : warpgroups[first / 128];
    if (first + size > count)
        fault("%s in an incomplete group of %u threads", what, size);
    now->operands = operands;
    meet(what, m, size, [&] {
        void *all[128];
        for (unsigned i = 0; i < size; i++)
            all[i] = fibers[first + i].operands;
        act(all);
    });
}

void barrier(unsigned id, unsigned expected)
{
    unsigned threads = block_size.x * block_size.y * block_size.z;
    if (id >= 16 || expected == 0 || expected % 32 || expected > threads)
        fault("bar.sync %u, %u in a block of %u threads", id, expected, threads);
    meet("bar.sync", barriers[now->rank][id], expected, [] {});
}

barrier_state &barrier_at(uint32_t offset)
{
    return blocks[now->rank].mbarriers[offset];
}

void arrive(barrier_state &b, int arrivals, int64_t bytes)
{
    if (b.count == 0 || arrivals > b.missing)
        fault("mbarrier: %d arrivals, %d are missing of %d", arrivals, b.missing, b.count);
    b.bytes += bytes;
    b.missing -= arrivals;
    settle(b);
}

void land(barrier_state &b)
{
    std::vector<copy> copies;
    copies.swap(b.copies);
    for (const copy &c : copies) {
        std::memcpy(c.to, c.from, c.bytes);
        b.bytes -= c.bytes;
    }
    if (!copies.empty())
        settle(b);
}

void cluster_arrive()
{
    if (now->cluster_arrived)
        fault("barrier.cluster.arrive twice without a wait");
    now->cluster_arrived = true;
    now->cluster_phase = cluster.generation;
    cluster.arrived++;
    idle = 0;
    settle_cluster(living);
}

void cluster_wait()
{
    if (!now->cluster_arrived)
        fault("barrier.cluster.wait without an arrival");
    wait_until("barrier.cluster.wait", [] { return cluster.generation != now->cluster_phase; });
    now->cluster_arrived = false;
}

uint8_t *peer_at(unsigned rank, uint32_t offset, unsigned bytes, unsigned align)
{
    if (rank >= cluster_ranks)
        fault("shared memory of block %u in a cluster of %u", rank, cluster_ranks);
    if (blocks[rank].living == 0)
        fault("shared memory of block %u of the cluster, which has ended", rank);
    return blocks[rank].shared + (shared_at(offset, bytes, align) - shared);
}

uint32_t shared_offset(const void *at)
{
    auto offset = (uintptr_t)at - (uintptr_t)shared;
    if (offset > shared_bytes)
        fault("an address outside of shared memory");
    return (uint32_t)offset;
}

uint8_t *shared_at(uint32_t offset, unsigned bytes, unsigned align)
{
    if (offset % align || offset > shared_bytes || bytes > shared_bytes - offset)
        fault("%u bytes at %u of %u bytes of shared memory", bytes, offset, shared_bytes);
    return shared + offset;
}

const char *launch(dim grid, dim block, unsigned ranks, unsigned dynamic_bytes, bool backwards,
                   before work, const std::function<void()> &kernel)
{
    unsigned threads = block.x * block.y * block.z;
    if (threads > block_threads)
        return "more than 1024 threads";
    if (ranks == 0 || ranks > most_ranks || grid.x % ranks || (ranks > 1 && threads % 128))
        return "clusters of more than 8 blocks, of a part of the grid or of incomplete warpgroups";
    count = threads * ranks;
    cluster_ranks = ranks;
    if (!stacks)
        stacks = (char *)mmap(nullptr, most_threads * stack_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    block_size = block;
    grid_size = grid;
    turned = backwards;
    body = &kernel;
    failed = false;
    shared_bytes = dynamic_bytes;
    previous = std::move(work);
    unsigned clusters = grid.x * grid.y * grid.z / ranks;
    for (unsigned i = 0; i < clusters && !failed; i++) {
        unsigned first = (backwards ? clusters - 1 - i : i) * ranks;
        std::vector<std::unique_ptr<void, void (*)(void *)>> memory;
        for (unsigned r = 0; r < ranks; r++) {
            unsigned b = first + r;
            /* The end of the allocation is the end of what the launch asked for, give or take the
               alignment of its size. */
            memory.emplace_back(aligned_alloc(1024, (dynamic_bytes + 1024) / 1024 * 1024), free);
            std::memset(memory[r].get(), 0xcd, dynamic_bytes);
            blocks[r].index = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
            blocks[r].shared = (uint8_t *)memory[r].get();
            blocks[r].living = threads;
        }
        hide();
        run_cluster();
        if (!complete) /* it failed */
            reveal();
    }
    shared = nullptr;
    for (unsigned i = 0; i < count; i++)
        fibers[i].copies.clear();
    return failed ? why : nullptr;
}

} // namespace simt
