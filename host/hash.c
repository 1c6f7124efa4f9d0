/* SPDX-License-Identifier: Apache-2.0 */
#include "hash.h"

/* Inlined whole: no library to link. The forced inlining it asks for fails in builds for debugging.
 */
#define XXH_NO_INLINE_HINTS 1
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t lb_hash64(const void *data, size_t bytes)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (lb_hash64_avx2 && __builtin_cpu_supports("avx2"))
        return lb_hash64_avx2(data, bytes);
#endif
    return XXH3_64bits(data, bytes);
}

lb_hash128 lb_hash128_of(const lb_piece *pieces, size_t count)
{
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    for (size_t i = 0; i < count; i++)
        XXH3_128bits_update(&state, pieces[i].data, pieces[i].bytes);
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return (lb_hash128){hash.high64, hash.low64};
}
