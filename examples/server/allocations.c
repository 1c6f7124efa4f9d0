/* SPDX-License-Identifier: Apache-2.0 */
/* What -Wl,--wrap sends here: calls of this program and of the library in it. Those that drivers
 * and libc make for themselves are not among them. */
#include <stdlib.h>

#include "server.h"

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
char *__wrap_strndup(const char *text, size_t length);
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
char *__real_strndup(const char *text, size_t length);

static atomic_llong calls;

long long allocations(void)
{
    return atomic_load(&calls);
}

void *__wrap_malloc(size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __real_aligned_alloc(align, bytes);
}

char *__wrap_strndup(const char *text, size_t length)
{
    atomic_fetch_add(&calls, 1);
    return __real_strndup(text, length);
}
