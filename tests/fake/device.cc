/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a kernel of the cuda folder, compiled for the host, as the fake driver launches it: found by
 * its name in this library. What kernels compute, how they wait for each other, and with
 * AddressSanitizer what they touch, is then tested without a device.
 */
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <utility>

#include "simt.h"

extern "C" {
#include "fake.h"
}

#define P const uint8_t *
typedef void kernel_fn(P, P, uint8_t *, P, P, P, P, P, P, P, uint8_t *, P, P, const lb_kargs);
#undef P

typedef void quantize_fn(const uint8_t *, uint8_t *, uint8_t *, uint8_t *, uint8_t *,
                         const uint8_t *, const lb_quant_kargs);
typedef void pack_fn(const uint8_t *, const uint8_t *, const uint8_t *, const uint8_t *,
                     const uint8_t *, uint8_t *, uint8_t *, const uint8_t *, const lb_pack_kargs);

static void *find(const char *name)
{
    Dl_info self;
    void *library = dladdr((void *)fake_device_run, &self)
                        ? dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD)
                        : nullptr;
    void *symbol = library ? dlsym(library, name) : nullptr;
    if (library)
        dlclose(library);
    return symbol;
}

template <std::size_t... I>
static void call(kernel_fn *kernel, uint8_t *const *at, const lb_kargs &kargs,
                 std::index_sequence<I...>)
{
    kernel(at[I]..., kargs);
}

extern "C" int fake_device_has(const char *name)
{
    return find(name) != nullptr;
}

extern "C" int fake_device_run(const fake_launch *l, int backwards, const fake_memory *later,
                               size_t count, char *why, size_t capacity)
{
    static std::mutex one_at_a_time;
    std::lock_guard<std::mutex> lock(one_at_a_time);
    void *kernel = find(l->name);
    bool quantizes = std::strncmp(l->name, "quantize", 8) == 0;
    bool packs = std::strncmp(l->name, "pack_", 5) == 0;
    uint8_t *at[LB_PTR_COUNT];
    std::memcpy(at, l->pointer, sizeof at);
    simt::before previous = {l->early != 0, {}};
    for (size_t i = 0; i < count; i++)
        previous.memory.push_back({(uint8_t *)later[i].at, later[i].bytes, {}});
    const char *fault = simt::launch(
        {l->grid[0], l->grid[1], l->grid[2]}, {l->block[0], l->block[1], l->block[2]}, l->cluster,
        l->shared_bytes, backwards, previous, [&] {
            if (quantizes)
                ((quantize_fn *)kernel)(at[0], at[1], at[2], at[3], at[4], at[5], l->quant);
            else if (packs)
                ((pack_fn *)kernel)(at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7],
                                    l->pack);
            else
                call((kernel_fn *)kernel, at, l->kargs, std::make_index_sequence<LB_PTR_COUNT>());
        });
    if (fault)
        snprintf(why, capacity, "%s: %s", l->name, fault);
    return !fault;
}
