/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CUDA driver without a device, built as libcuda.so.1: memory is the host's, modules and
 * functions are names, launches are recorded and, where device.cc has the kernel, executed. It is
 * strict where the real one is (a current context, streams of it, addresses inside of allocations),
 * and any call can be made to fail.
 *
 * Environment: LB_FAKE_CUDA="devices=2 sm=90 ptx=80 driver=12020 mib=100 init=100 lacks=cuMemAlloc
 * backwards=1", each optional; ptx: what kernels' code was compiled for, if not for the device;
 * backwards: kernels' threads and blocks run in the opposite order.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "loader.h"

#define EXPORT __attribute__((visibility("default")))
#define MAX_DEVICES 8
#define MAX_DEPTH 16

enum {
    INVALID_CONTEXT = 201,
    INVALID_IMAGE = 200,
    LAUNCH_FAILED = 719,
    STREAM_CAPTURE_UNSUPPORTED = 900
};

/* ---- State ----------------------------------------------------------------------------------- */

struct CUctx_st {
    int device;
};
struct CUmod_st {
    int unused;
};
struct CUfunc_st {
    char name[64];
};
struct CUstream_st {
    CUcontext context;
};
struct CUevent_st {
    int time;
};

typedef struct allocation allocation;
struct allocation {
    allocation *next;
    char *at;
    size_t bytes;
    int device;
};

#ifndef FAKE_DEVICE
#define FAKE_DEVICE 0 /* device.cc is not there */
#endif

static fake_cuda state = {.runs_kernels = FAKE_DEVICE};
static struct CUctx_st primary[MAX_DEVICES], other[MAX_DEVICES];
static int retained[MAX_DEVICES];
static CUcontext stack[MAX_DEPTH];
static allocation *allocations;
static struct CUfunc_st functions[64]; /* live as long as the library */
static int function_count, clock_now;

EXPORT fake_cuda *fake_cuda_state(void)
{
    return &state;
}

EXPORT void *fake_cuda_other_context(int device);
EXPORT void *fake_cuda_other_context(int device)
{
    other[device].device = device;
    return &other[device];
}

static const char *setting(const char *name)
{
    const char *all = getenv("LB_FAKE_CUDA");
    const char *at = all ? strstr(all, name) : NULL;
    return at && at[strlen(name)] == '=' ? at + strlen(name) + 1 : NULL;
}

static int number(const char *name, int otherwise)
{
    const char *value = setting(name);
    return value ? atoi(value) : otherwise;
}

static int fails(const char *call, int is_release)
{
    if (++state.calls != state.fail_at)
        return 0;
    state.failed = call;
    state.failed_release = is_release;
    return 1;
}

/* During a stream's capture: what a run may call. Everything else is refused and noted. */
static int forbidden(const char *call)
{
    static const char *const allowed[] = {"cuCtxPushCurrent", "cuCtxPopCurrent",
                                          "cuCtxGetDevice",   "cuPointerGetAttributes",
                                          "cuLaunchKernel",   "cuLaunchKernelEx",
                                          "cublasLtMatmul",   "cublasLtMatrixLayoutInit_internal"};
    if (!state.capturing)
        return 0;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (strcmp(call, allowed[i]) == 0)
            return 0;
    state.failed = call;
    return 1;
}

/* Begins every call. */
#define CALL(condition, error)                                                                     \
    do {                                                                                           \
        if (fails(__func__, 0))                                                                    \
            return state.fail_with;                                                                \
        if (forbidden(__func__))                                                                   \
            return STREAM_CAPTURE_UNSUPPORTED;                                                     \
        if (!(condition))                                                                          \
            return error;                                                                          \
    } while (0)
/* Ends a call that gives something back, after it has. */
#define RELEASED() return fails(__func__, 1) ? state.fail_with : CUDA_SUCCESS

static CUcontext current(void)
{
    return state.depth ? stack[state.depth - 1] : NULL;
}

static int is_device(CUdevice device)
{
    return device >= 0 && device < number("devices", 1);
}

/* ---- Devices --------------------------------------------------------------------------------- */

static CUresult cuInit(unsigned flags)
{
    (void)flags;
    CALL(1, 0);
    return number("init", CUDA_SUCCESS);
}

static CUresult cuDriverGetVersion(int *version)
{
    CALL(1, 0);
    *version = number("driver", 13000);
    return CUDA_SUCCESS;
}

/* Not counted: it is only called to say what failed. */
static CUresult cuGetErrorName(CUresult error, const char **text)
{
    switch (error) {
    case CUDA_ERROR_INVALID_VALUE: *text = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_NO_DEVICE: *text = "CUDA_ERROR_NO_DEVICE"; break;
    case CUDA_ERROR_INVALID_HANDLE: *text = "CUDA_ERROR_INVALID_HANDLE"; break;
    case CUDA_ERROR_NOT_FOUND: *text = "CUDA_ERROR_NOT_FOUND"; break;
    case INVALID_CONTEXT: *text = "CUDA_ERROR_INVALID_CONTEXT"; break;
    case LAUNCH_FAILED: *text = "CUDA_ERROR_LAUNCH_FAILED"; break;
    case INVALID_IMAGE: *text = "CUDA_ERROR_INVALID_IMAGE"; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

static CUresult cuDeviceGetCount(int *count)
{
    CALL(1, 0);
    *count = number("devices", 1);
    return CUDA_SUCCESS;
}

static CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    CALL(is_device(ordinal), CUDA_ERROR_INVALID_VALUE);
    *device = ordinal;
    return CUDA_SUCCESS;
}

static CUresult cuDeviceGetName(char *name, int capacity, CUdevice device)
{
    CALL(is_device(device), CUDA_ERROR_INVALID_VALUE);
    snprintf(name, (size_t)capacity, "Fake GPU %d", device);
    return CUDA_SUCCESS;
}

static CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device)
{
    CALL(is_device(device), CUDA_ERROR_INVALID_VALUE);
    *bytes = (size_t)number("mib", 1 << 14) << 20;
    return CUDA_SUCCESS;
}

static CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    CALL(is_device(device), CUDA_ERROR_INVALID_VALUE);
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *value = 1500000; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = number("units", 100); break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *value = 1 << 25; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = number("sm", 90) / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = number("sm", 90) % 10; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: *value = 2619000; break;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *value = 5120; break;
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 227 << 10; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

/* ---- Contexts -------------------------------------------------------------------------------- */

static CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    CALL(is_device(device), CUDA_ERROR_INVALID_VALUE);
    primary[device].device = device;
    retained[device]++;
    state.retains++;
    *context = &primary[device];
    return CUDA_SUCCESS;
}

static CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    if (!is_device(device) || !retained[device])
        return INVALID_CONTEXT;
    retained[device]--;
    state.retains--;
    RELEASED();
}

static CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
    CALL(is_device(device), CUDA_ERROR_INVALID_VALUE);
    *flags = 0;
    *active = retained[device] > 0;
    return CUDA_SUCCESS;
}

static CUresult cuCtxPushCurrent(CUcontext context)
{
    CALL(context && state.depth < MAX_DEPTH, INVALID_CONTEXT);
    stack[state.depth++] = context;
    return CUDA_SUCCESS;
}

static CUresult cuCtxPopCurrent(CUcontext *context)
{
    if (!state.depth)
        return INVALID_CONTEXT;
    *context = stack[--state.depth];
    RELEASED();
}

static CUresult cuCtxGetDevice(CUdevice *device)
{
    CALL(current(), INVALID_CONTEXT);
    *device = current()->device;
    return CUDA_SUCCESS;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static allocation *find_allocation(CUdeviceptr address, size_t bytes)
{
    char *at = (char *)(size_t)address;
    for (allocation *a = allocations; a; a = a->next)
        if (at >= a->at && at < a->at + a->bytes && bytes <= (size_t)(a->at + a->bytes - at))
            return a;
    return NULL;
}

static CUresult cuMemAlloc(CUdeviceptr *memory, size_t bytes)
{
    CALL(current(), INVALID_CONTEXT);
    void *at;
    allocation *made = malloc(sizeof *made);
    if (!made || bytes > (size_t)1 << 34 || posix_memalign(&at, 256, bytes)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *made = (allocation){allocations, at, bytes, current()->device};
    allocations = made;
    state.allocations++;
    *memory = (CUdeviceptr)(size_t)at;
    return CUDA_SUCCESS;
}

static CUresult cuMemFree(CUdeviceptr memory)
{
    for (allocation **a = &allocations; *a; a = &(*a)->next)
        if ((*a)->at == (char *)(size_t)memory) {
            allocation *gone = *a;
            *a = gone->next;
            free(gone->at);
            free(gone);
            state.allocations--;
            RELEASED();
        }
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult cuPointerGetAttributes(unsigned count, int *attributes, void **values,
                                       CUdeviceptr pointer)
{
    CALL(1, 0);
    const allocation *a = find_allocation(pointer, 0);
    for (unsigned i = 0; i < count; i++) {
        switch (attributes[i]) {
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
            *(unsigned *)values[i] = a ? CU_MEMORYTYPE_DEVICE : 0;
            break;
        case CU_POINTER_ATTRIBUTE_IS_MANAGED: *(unsigned *)values[i] = 0; break;
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)values[i] = a ? a->device : -2; break;
        case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE: *(unsigned *)values[i] = !!a; break;
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *(char **)values[i] = a ? a->at : NULL; break;
        case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *(size_t *)values[i] = a ? a->bytes : 0; break;
        default: return CUDA_ERROR_INVALID_VALUE;
        }
    }
    return CUDA_SUCCESS;
}

/* ---- Streams and events ---------------------------------------------------------------------- */

static int usable(CUstream stream)
{
    return current() && stream && stream->context == current();
}

static CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
    CALL(current() && flags <= CU_STREAM_NON_BLOCKING, INVALID_CONTEXT);
    *stream = malloc(sizeof **stream);
    if (!*stream)
        return CUDA_ERROR_OUT_OF_MEMORY;
    (*stream)->context = current();
    state.streams++;
    return CUDA_SUCCESS;
}

static CUresult cuStreamDestroy(CUstream stream)
{
    free(stream);
    state.streams--;
    RELEASED();
}

static CUresult cuStreamSynchronize(CUstream stream)
{
    CALL(usable(stream), CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}

static CUresult cuStreamGetCtx(CUstream stream, CUcontext *context)
{
    CALL(stream, CUDA_ERROR_INVALID_HANDLE);
    *context = stream->context;
    return CUDA_SUCCESS;
}

static CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    CALL(usable(stream), CUDA_ERROR_INVALID_HANDLE);
    if (!find_allocation(to, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy((void *)(size_t)to, from, bytes);
    return CUDA_SUCCESS;
}

static CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    CALL(usable(stream), CUDA_ERROR_INVALID_HANDLE);
    if (!find_allocation(from, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(to, (void *)(size_t)from, bytes);
    return CUDA_SUCCESS;
}

static CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    CALL(current() && flags == 0, INVALID_CONTEXT);
    *event = calloc(1, sizeof **event);
    if (!*event)
        return CUDA_ERROR_OUT_OF_MEMORY;
    state.events++;
    return CUDA_SUCCESS;
}

static CUresult cuEventDestroy(CUevent event)
{
    free(event);
    state.events--;
    RELEASED();
}

static CUresult cuEventRecord(CUevent event, CUstream stream)
{
    CALL(usable(stream), CUDA_ERROR_INVALID_HANDLE);
    event->time = ++clock_now;
    return CUDA_SUCCESS;
}

static CUresult cuEventSynchronize(CUevent event)
{
    CALL(event, CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}

static CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    CALL(start->time && end->time, CUDA_ERROR_INVALID_HANDLE);
    *milliseconds = (float)(end->time - start->time);
    return CUDA_SUCCESS;
}

/* ---- For libraries over the driver ------------------------------------------------------------
 */

EXPORT int fake_cuda_call(const char *call, int is_release)
{
    if (fails(call, is_release))
        return state.fail_with;
    return is_release || !forbidden(call) ? CUDA_SUCCESS : STREAM_CAPTURE_UNSUPPORTED;
}

EXPORT int fake_cuda_memory(const void *memory, size_t bytes)
{
    return find_allocation((CUdeviceptr)(size_t)memory, bytes) != NULL;
}

EXPORT int fake_cuda_stream(const void *stream)
{
    return current() ? usable((CUstream)(size_t)stream) : stream != NULL;
}

/* ---- Modules and launches -------------------------------------------------------------------- */

/* An image that begins with "broken" is refused, with a log. */
static CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count,
                                   int *options, void **values)
{
    CALL(current(), INVALID_CONTEXT);
    if (strncmp(image, "broken", 6) == 0) {
        for (unsigned i = 0; i < count; i++)
            if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
                memcpy(values[i], "fake: line 1: broken", sizeof "fake: line 1: broken");
        return INVALID_IMAGE;
    }
    *module = malloc(sizeof **module);
    if (!*module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    state.modules++;
    return CUDA_SUCCESS;
}

static CUresult cuModuleUnload(CUmodule module)
{
    free(module);
    state.modules--;
    RELEASED();
}

static CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    CALL(current() && module, INVALID_CONTEXT);
    for (int i = 0; i < function_count; i++)
        if (strcmp(functions[i].name, name) == 0) {
            *function = &functions[i];
            return CUDA_SUCCESS;
        }
    if (function_count == sizeof functions / sizeof *functions ||
        strlen(name) >= sizeof functions->name)
        return CUDA_ERROR_NOT_FOUND;
    *function = &functions[function_count++];
    memcpy((*function)->name, name, strlen(name) + 1);
    return CUDA_SUCCESS;
}

static CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function)
{
    CALL(function, CUDA_ERROR_INVALID_VALUE);
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION: *value = number("ptx", number("sm", 90)); break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

static CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value)
{
    CALL(function && attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES &&
             value <= 227 << 10,
         CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

static CUresult cuFuncLoad(CUfunction function)
{
    CALL(function, CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}

#if FAKE_DEVICE
/* Everything that a launch is given but its weights; returns how many. */
static size_t all_but_weights(const fake_launch *l, fake_memory (*later)[LB_PTR_COUNT])
{
    const allocation *weights = find_allocation((CUdeviceptr)(size_t)l->pointer[LB_PTR_W], 0);
    size_t count = 0;
    for (int i = 0; i < LB_PTR_COUNT; i++) {
        const allocation *a = find_allocation((CUdeviceptr)(size_t)l->pointer[i], 0);
        bool known = !a || a == weights;
        for (size_t j = 0; j < count && !known; j++)
            known = (*later)[j].at == a->at;
        if (!known)
            (*later)[count++] = (fake_memory){a->at, a->bytes};
    }
    return count;
}
#endif

static CUresult launch(const CUlaunchConfig *c, unsigned ranks, bool early, CUfunction function,
                       void **parameters, void **extra)
{
    if (!c->grid_x || !c->grid_y || !c->grid_z || !c->block_x || !c->block_y || !c->block_z ||
        extra)
        return CUDA_ERROR_INVALID_VALUE;
    fake_launch *last = &state.last;
    *last = (fake_launch){.grid = {c->grid_x, c->grid_y, c->grid_z},
                          .block = {c->block_x, c->block_y, c->block_z},
                          .shared_bytes = c->shared_bytes,
                          .cluster = ranks,
                          .early = early,
                          .stream = c->stream};
    state.early += early;
    memcpy(last->name, function->name, sizeof last->name);
    /* Loops that would take for ever are not run, and a time passes. */
    if (strncmp(function->name, "ceiling", 7) == 0) {
        state.launches++;
        clock_now += 20;
        return CUDA_SUCCESS;
    }
    bool quantizes = strncmp(function->name, "quantize", 8) == 0;
    bool packs = strncmp(function->name, "pack_", 5) == 0;
    int pointers = quantizes ? LB_QUANT_PTRS : packs ? LB_PACK_PTRS : LB_PTR_COUNT;
    for (int i = 0; i < pointers; i++)
        memcpy(&last->pointer[i], parameters[i], sizeof last->pointer[i]);
    if (quantizes)
        memcpy(&last->quant, parameters[pointers], sizeof last->quant);
    else if (packs)
        memcpy(&last->pack, parameters[pointers], sizeof last->pack);
    else
        memcpy(&last->kargs, parameters[pointers], sizeof last->kargs);
    state.launches++;
#if FAKE_DEVICE
    fake_memory later[LB_PTR_COUNT];
    size_t count = early ? all_but_weights(last, &later) : 0;
    if (fake_device_has(function->name) &&
        !fake_device_run(last, number("backwards", 0), later, count, state.fault,
                         sizeof state.fault)) {
        fprintf(stderr, "fake device: %s\n", state.fault);
        return LAUNCH_FAILED;
    }
#endif
    return CUDA_SUCCESS;
}

static CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y,
                               unsigned grid_z, unsigned block_x, unsigned block_y,
                               unsigned block_z, unsigned shared_bytes, CUstream stream,
                               void **parameters, void **extra)
{
    CALL(usable(stream), CUDA_ERROR_INVALID_HANDLE);
    CUlaunchConfig config = {grid_x,  grid_y,       grid_z, block_x, block_y,
                             block_z, shared_bytes, stream, NULL,    0};
    return launch(&config, 1, false, function, parameters, extra);
}

/* The two attributes that the fake knows: blocks of a cluster along x (1: none asked for), and
   whether the launch may begin early. False: a device does not take them. */
static bool attributes_of(const CUlaunchConfig *config, unsigned *ranks, bool *early)
{
    *ranks = 1;
    *early = false;
    for (unsigned i = 0; i < config->count; i++) {
        const CUlaunchAttribute *a = &config->attributes[i];
        unsigned x = a->value.cluster.x;
        switch (a->id) {
        case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
            if (a->value.cluster.y != 1 || a->value.cluster.z != 1 || x < 1 || x > 8 ||
                config->grid_x % x)
                return false;
            *ranks = x;
            break;
        case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
            if (number("sm", 90) < 90 || a->value.programmatic != 1)
                return false;
            *early = true;
            break;
        default: return false;
        }
    }
    return true;
}

static CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function,
                                 void **parameters, void **extra)
{
    unsigned ranks;
    bool early;
    CALL(usable(config->stream), CUDA_ERROR_INVALID_HANDLE);
    return attributes_of(config, &ranks, &early)
               ? launch(config, ranks, early, function, parameters, extra)
               : CUDA_ERROR_INVALID_VALUE;
}

/* Multiprocessors come in parts of 16 and a rest, as GPCs do, and hold one block each. */
static CUresult cuOccupancyMaxActiveClusters(int *clusters, CUfunction function,
                                             const CUlaunchConfig *config)
{
    unsigned ranks, units = (unsigned)number("units", 100);
    bool early;
    CALL(current() && function, CUDA_ERROR_INVALID_VALUE);
    if (!attributes_of(config, &ranks, &early))
        return CUDA_ERROR_INVALID_VALUE;
    *clusters = (int)(units / 16 * (16 / ranks) + units % 16 / ranks);
    return CUDA_SUCCESS;
}

/* ---- Looking up ------------------------------------------------------------------------------ */

#define POINTER(name, version, parameters) CUresult(*name) parameters;
typedef union entry {
    LB_CU_FUNCTIONS(POINTER)
    LB_CU_OPTIONAL(POINTER)
    void *address;
} entry;

static const struct {
    const char *name;
    int version;
    entry entry;
} table[] = {
#define ROW(name, version, parameters) {#name, version, {.name = name}},
    LB_CU_FUNCTIONS(ROW) LB_CU_OPTIONAL(ROW)};

EXPORT CUresult cuGetProcAddress_v2(const char *name, void **address, int version,
                                    unsigned long long flags, int *found);
EXPORT CUresult cuGetProcAddress_v2(const char *name, void **address, int version,
                                    unsigned long long flags, int *found)
{
    const char *lacks = setting("lacks");
    *found = 1;
    *address = NULL;
    size_t length = strlen(name);
    if (flags || (lacks && strncmp(lacks, name, length) == 0 && !isalnum(lacks[length])))
        return CUDA_ERROR_NOT_FOUND;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0 && version >= table[i].version) {
            *address = table[i].entry.address;
            *found = 0;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_NOT_FOUND;
}
