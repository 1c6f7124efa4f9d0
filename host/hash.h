/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 (Y. Collet), for checksums and cache keys; not against an adversary. */
#ifndef LB_HASH_H
#define LB_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct lb_hash128 {
    uint64_t high, low;
} lb_hash128;

typedef struct lb_piece {
    const void *data;
    size_t bytes;
} lb_piece;

uint64_t lb_hash64(const void *data, size_t bytes);
/* The same with longer vectors; NULL where the compiler made none. */
extern uint64_t (*const lb_hash64_avx2)(const void *data, size_t bytes);
/* Of the pieces one after the other. */
lb_hash128 lb_hash128_of(const lb_piece *pieces, size_t count);

#endif
