/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 for x86-64 with AVX2, where the compiler makes code for it. */
#include "hash.h"

#ifdef __AVX2__
#define XXH_NO_INLINE_HINTS 1
#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t hash64(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}
uint64_t (*const lb_hash64_avx2)(const void *data, size_t bytes) = hash64;
#else
uint64_t (*const lb_hash64_avx2)(const void *data, size_t bytes) = NULL;
#endif
