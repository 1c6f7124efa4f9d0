/* SPDX-License-Identifier: Apache-2.0 */
#include "loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "status.h"

/* cuGetProcAddress of CUDA 12 has the last parameter, that of CUDA 11.3 has not; passing it to
   either is harmless in the C calling conventions of the platforms CUDA is on. */
typedef CUresult get_address(const char *name, void **address, int version,
                             unsigned long long flags, int *found);

static lb_cu table;
static bool loaded;
static char problem[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The driver's answer; *address is NULL if it has no such entry point of that ABI. */
static CUresult find(get_address *get, const char *name, int version, void **address)
{
    int found = 0;
    *address = NULL;
    CUresult result = get(name, address, version, 0, &found);
    if (result != CUDA_SUCCESS)
        *address = NULL;
    return result;
}

static get_address *find_getter(void *library)
{
    get_address *get = NULL;
    void *symbol = dlsym(library, "cuGetProcAddress_v2");
    if (!symbol)
        symbol = dlsym(library, "cuGetProcAddress");
    memcpy(&get, &symbol, sizeof symbol);
    return get;
}

static const char *error_name(CUresult result)
{
    const char *name = NULL;
    if (!table.cuGetErrorName || table.cuGetErrorName(result, &name) != CUDA_SUCCESS || !name)
        return "unknown CUDA error";
    return name;
}

static void load(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(problem, sizeof problem, "no CUDA driver: %s; install NVIDIA's driver", dlerror());
        return;
    }
    get_address *get = find_getter(library);
    if (!get) {
        snprintf(problem, sizeof problem,
                 "libcuda.so.1 lacks cuGetProcAddress; a driver of CUDA 11.3 or newer is needed");
        return;
    }
    void *symbol;
    if (find(get, "cuInit", 2000, &symbol) == CUDA_ERROR_STUB_LIBRARY) {
        snprintf(problem, sizeof problem,
                 "libcuda.so.1 is the CUDA toolkit's stub and no driver; take its folder out of "
                 "LD_LIBRARY_PATH");
        return;
    }
#define LOAD_OPTIONAL(name, version, parameters)                                                   \
    find(get, #name, version, &symbol);                                                            \
    memcpy(&table.name, &symbol, sizeof symbol);
#define LOAD(name, version, parameters)                                                            \
    LOAD_OPTIONAL(name, version, parameters)                                                       \
    if (!symbol) {                                                                                 \
        snprintf(problem, sizeof problem,                                                          \
                 "libcuda.so.1 lacks %s of CUDA %d.%d; install a newer driver", #name,             \
                 version / 1000, version % 1000 / 10);                                             \
        return;                                                                                    \
    }
    LB_CU_FUNCTIONS(LOAD)
    LB_CU_OPTIONAL(LOAD_OPTIONAL)
#undef LOAD
#undef LOAD_OPTIONAL
    CUresult result = table.cuInit(0);
    if (result != CUDA_SUCCESS) {
        snprintf(problem, sizeof problem,
                 "the CUDA driver is installed but cuInit fails with %s (%d): no device, or driver "
                 "and kernel module do not match (nvidia-smi says more)",
                 error_name(result), result);
        return;
    }
    loaded = true;
}

const lb_cu *lb_cuda_load(void)
{
    pthread_once(&once, load);
    if (loaded)
        return &table;
    lb_fail(LB_NO_DEVICE, "%s", problem);
    return NULL;
}

lb_status lb_cuda_check_of(CUresult result, const char *call, const char *what)
{
    if (result == CUDA_SUCCESS)
        return LB_OK;
    return lb_fail(result == CUDA_ERROR_OUT_OF_MEMORY ? LB_OUT_OF_MEMORY : LB_DRIVER,
                   "CUDA: %s%s%s failed with %s (%d)", call, what[0] ? " of " : "", what,
                   error_name(result), result);
}

lb_status lb_cuda_check(CUresult result, const char *call)
{
    return lb_cuda_check_of(result, call, "");
}
