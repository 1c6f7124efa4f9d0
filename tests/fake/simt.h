/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster of blocks of CUDA threads on the host (of one block, unless a launch asks for more):
 * each thread a fiber, all of one cluster at a time, switched where they wait for each other.
 * Cooperative, so deterministic; the order of the threads can be turned round, to find what only
 * worked because of it. Shared memory is a fresh, poisoned allocation per block, which
 * AddressSanitizer guards, and poisoned again when the block's last thread ends.
 */
#ifndef SIMT_H
#define SIMT_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace simt
{

/* A copy that has been asked for and is made when it is waited for. */
struct copy {
    void *to;
    const void *from;
    unsigned bytes, zeros; /* zeros: written behind the bytes */
};

struct dim {
    unsigned x, y, z;
};

/* The running thread: what kernels see of it. */
struct thread {
    dim index;
    unsigned rank; /* of its block in the cluster */
    unsigned cluster_phase;
    bool cluster_arrived;
    std::vector<std::vector<copy>>
        copies;     /* cp.async: committed groups, oldest first, and an open one */
    void *operands; /* of the collective instruction it waits in */
    std::vector<std::vector<std::function<void()>>> products; /* wgmma: as copies */
    std::map<void *, std::vector<uint32_t>> unfinished;       /* their sums, by registers */
    std::map<void *, int> pending;                            /* products that add to them */
    bool waited;                                              /* for the work before the launch */
};

/* The work before a launch, as one that begins early meets it: still running, until no thread of
   the cluster can do more without it. Only then what `memory` holds is there; before, poison is,
   and is still to be there when the work is done. */
struct before {
    bool runs;
    struct piece {
        uint8_t *at;
        size_t bytes;
        std::vector<uint8_t> real;
    };
    std::vector<piece> memory;
};

extern thread *now;
extern dim block_index, block_size, grid_size;
extern uint8_t *shared; /* dynamic shared memory */
extern unsigned shared_bytes;

/* Runs one launch, of clusters of `ranks` blocks along x; nullptr or what went wrong. */
const char *launch(dim grid, dim block, unsigned ranks, unsigned shared_bytes, bool backwards,
                   before previous, const std::function<void()> &kernel);

/* ---- For instructions ------------------------------------------------------------------------ */

/* Ends the launch: an instruction was used as the device does not allow. */
[[noreturn]] void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until `ready` says so. `what` is named if it never does. */
void wait_until(const char *what, const std::function<bool()> &ready);

/* Waits for the `count` aligned threads around this one (32: its warp, 128: its warpgroup). The
   last to arrive calls `act` with every thread's operands before any goes on. */
void together(const char *what, unsigned count, void *operands,
              const std::function<void(void **all)> &act);

/* bar.sync id, count. */
void barrier(unsigned id, unsigned count);

/* mbarrier: its copies are made when somebody looks whether they are. */
struct barrier_state {
    int count, missing; /* arrivals: of a phase, still to come */
    int64_t bytes;      /* announced and not yet there */
    unsigned phase;
    std::vector<copy> copies;
};
barrier_state &barrier_at(uint32_t offset);
void arrive(barrier_state &barrier, int arrivals, int64_t bytes);
void land(barrier_state &barrier);

/* barrier.cluster: who has not ended arrives, and may wait for the others. */
void cluster_arrive();
void cluster_wait();
/* `bytes` bytes of another block's shared memory, as shared_at. */
uint8_t *peer_at(unsigned rank, uint32_t offset, unsigned bytes, unsigned align);

/* griddepcontrol: waits for the work before the launch; lets what follows begin. */
void grid_wait();
void grid_launch_dependents();
/* A copy of `bytes` bytes from there may be asked for now. */
void check_source(const void *from, unsigned bytes);

/* Offset of a generic address in shared memory. */
uint32_t shared_offset(const void *at);
/* `bytes` bytes of shared memory from an offset, a multiple of `align`. */
uint8_t *shared_at(uint32_t offset, unsigned bytes, unsigned align);

} // namespace simt

#endif
