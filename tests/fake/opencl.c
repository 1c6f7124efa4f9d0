/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OpenCL driver without a device. Memory is the host's; programs are their source's hash and
 * options; a launch checks its arguments and, if its kernel makes D, marks D's first bytes. It is
 * strict where the specification is, counts what is alive, and can fail at any call. Thread-safe.
 */
#include "opencl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "loader.h"
#include "packer.h"

#include "kernel_abi.h" /* after lowbit.h, whose names it else makes */

#define MOST_DEVICES 8
#define MARK 0x5a

_Thread_local volatile int fake_cl_inside;
fake_opencl fake_cl = {.platforms = 1, .devices = 1, .extensions = ""};

/* ---- Objects --------------------------------------------------------------------------------- */

typedef struct object {
    unsigned magic; /* MAGIC + kind */
    atomic_int references;
} object;
#define MAGIC 0x0be70000u

struct _cl_platform_id {
    int unused;
};
struct _cl_device_id {
    int unused;
};
struct _cl_context {
    object o;
};
struct _cl_command_queue {
    object o;
    cl_context context;
    cl_command_queue_properties properties;
};
struct _cl_mem {
    object o;
    cl_context context;
    unsigned char *bytes;
    size_t size;
    int borrowed;
};
struct _cl_program {
    object o;
    int built;
    char binary[64];
};
struct _cl_kernel {
    object o;
    char name[64];
    cl_mem pointers[LB_PTR_COUNT];
    lb_kargs kargs;
    lb_pack_kargs pack; /* of opencl/pack.cl, in their place */
    unsigned set;       /* one bit per argument */
};
struct _cl_event {
    object o;
    cl_ulong time;
};

static struct _cl_platform_id platforms[MOST_DEVICES];
static struct _cl_device_id devices[MOST_DEVICES * MOST_DEVICES];
static atomic_ulong now;

static int fails(const char *call)
{
    if (atomic_fetch_add(&fake_cl.calls, 1) + 1 != fake_cl.fail_at)
        return 0;
    fake_cl.failed = call;
    return 1;
}

static int valid(const void *handle, unsigned kind)
{
    if (handle && ((const object *)handle)->magic == MAGIC + kind)
        return 1;
    fake_cl.misused++;
    return 0;
}

static void *make(size_t bytes, unsigned kind)
{
    fake_cl_inside++;
    object *o = calloc(1, bytes);
    fake_cl_inside--;
    if (!o)
        abort();
    o->magic = MAGIC + kind;
    o->references = 1;
    fake_cl.alive[kind]++;
    return o;
}

/* Begins a call that returns a code. */
#define CALL(condition, code)                                                                      \
    do {                                                                                           \
        if (fails(__func__))                                                                       \
            return fake_cl.fail_with;                                                              \
        if (!(condition))                                                                          \
            return code;                                                                           \
    } while (0)
/* Begins one that returns a handle and stores its code. */
#define MAKE(condition, code)                                                                      \
    do {                                                                                           \
        int failed_ = fails(__func__);                                                             \
        *error = failed_ ? fake_cl.fail_with : (condition) ? CL_SUCCESS : (code);                  \
        if (*error != CL_SUCCESS)                                                                  \
            return NULL;                                                                           \
    } while (0)
/* Releases succeed even where the failure is injected: what fails to be given back is gone. */
static cl_int release(void *handle, unsigned kind, const char *call)
{
    if (!valid(handle, kind))
        return CL_INVALID_VALUE;
    object *o = handle;
    if (--o->references == 0) {
        o->magic = 0;
        fake_cl.alive[kind]--;
        fake_cl_inside++;
        if (kind == FAKE_BUFFER && !((cl_mem)handle)->borrowed)
            free(((cl_mem)handle)->bytes);
        free(o);
        fake_cl_inside--;
    }
    return fails(call) ? fake_cl.fail_with : CL_SUCCESS;
}

static cl_int answer(const void *value, size_t bytes, size_t room, void *out, size_t *needed)
{
    if (needed)
        *needed = bytes;
    if (out && room < bytes)
        return CL_INVALID_VALUE;
    if (out)
        memcpy(out, value, bytes);
    return CL_SUCCESS;
}
#define ANSWER(type, value) return answer(&(type){value}, sizeof(type), room, out, needed)
#define ANSWER_TEXT(text) return answer(text, strlen(text) + 1, room, out, needed)

/* ---- Platforms and devices ------------------------------------------------------------------- */

static cl_int CL_API_CALL fake_clGetPlatformIDs(cl_uint room, cl_platform_id *ids, cl_uint *count)
{
    CALL(fake_cl.platforms, -1001);
    *count = (cl_uint)fake_cl.platforms;
    for (cl_uint i = 0; i < *count && i < room; i++)
        ids[i] = &platforms[i];
    return CL_SUCCESS;
}

static cl_int CL_API_CALL fake_clGetPlatformInfo(cl_platform_id platform, cl_platform_info what,
                                                 size_t room, void *out, size_t *needed)
{
    (void)platform, (void)what;
    CALL(1, 0);
    ANSWER_TEXT("Fake");
}

static cl_int CL_API_CALL fake_clGetDeviceIDs(cl_platform_id platform, cl_device_type type,
                                              cl_uint room, cl_device_id *ids, cl_uint *count)
{
    cl_device_type own = fake_cl.is_gpu ? CL_DEVICE_TYPE_GPU : CL_DEVICE_TYPE_CPU;
    CALL((type & own) && fake_cl.devices, CL_DEVICE_NOT_FOUND);
    *count = (cl_uint)fake_cl.devices;
    for (cl_uint i = 0; i < *count && i < room; i++)
        ids[i] = &devices[(platform - platforms) * MOST_DEVICES + i];
    return CL_SUCCESS;
}

static cl_int CL_API_CALL fake_clGetDeviceInfo(cl_device_id device, cl_device_info what,
                                               size_t room, void *out, size_t *needed)
{
    (void)device;
    CALL(1, 0);
    switch (what) {
    case CL_DEVICE_NAME: ANSWER_TEXT("Fake device");
    case CL_DEVICE_VENDOR: ANSWER_TEXT("Fake vendor");
    case CL_DEVICE_VERSION: ANSWER_TEXT("OpenCL 1.2 fake");
    case CL_DRIVER_VERSION: ANSWER_TEXT("1.0");
    case CL_DEVICE_EXTENSIONS: ANSWER_TEXT(fake_cl.extensions);
    case CL_DEVICE_TYPE:
        ANSWER(cl_device_type, fake_cl.is_gpu ? CL_DEVICE_TYPE_GPU : CL_DEVICE_TYPE_CPU);
    case CL_DEVICE_MAX_COMPUTE_UNITS: ANSWER(cl_uint, 4);
    case CL_DEVICE_MAX_CLOCK_FREQUENCY: ANSWER(cl_uint, 1000);
    case CL_DEVICE_GLOBAL_MEM_SIZE: ANSWER(cl_ulong, 1 << 24);
    case CL_DEVICE_LOCAL_MEM_SIZE: ANSWER(cl_ulong, 1 << 15);
    case CL_DEVICE_GLOBAL_MEM_CACHE_SIZE: ANSWER(cl_ulong, 1 << 20);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE: ANSWER(size_t, 1024);
    default: return CL_INVALID_VALUE;
    }
}

/* ---- Contexts and queues --------------------------------------------------------------------- */

static cl_context CL_API_CALL fake_clCreateContext(
    const cl_context_properties *properties, cl_uint count, const cl_device_id *list,
    void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user,
    cl_int *error)
{
    (void)properties, (void)notify, (void)user, (void)list;
    MAKE(count == 1, CL_INVALID_VALUE);
    return make(sizeof(struct _cl_context), FAKE_CONTEXT);
}

static cl_int CL_API_CALL fake_clRetainContext(cl_context context)
{
    CALL(valid(context, FAKE_CONTEXT), CL_INVALID_CONTEXT);
    context->o.references++;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL fake_clReleaseContext(cl_context context)
{
    return release(context, FAKE_CONTEXT, __func__);
}

static cl_int CL_API_CALL fake_clGetContextInfo(cl_context context, cl_context_info what,
                                                size_t room, void *out, size_t *needed)
{
    CALL(valid(context, FAKE_CONTEXT) && what == CL_CONTEXT_DEVICES, CL_INVALID_CONTEXT);
    ANSWER(cl_device_id, &devices[0]);
}

static cl_command_queue CL_API_CALL fake_clCreateCommandQueue(cl_context context,
                                                              cl_device_id device,
                                                              cl_command_queue_properties wish,
                                                              cl_int *error)
{
    (void)device;
    MAKE(valid(context, FAKE_CONTEXT), CL_INVALID_CONTEXT);
    cl_command_queue queue = make(sizeof *queue, FAKE_QUEUE);
    queue->context = context;
    queue->properties = wish;
    return queue;
}

static cl_int CL_API_CALL fake_clReleaseCommandQueue(cl_command_queue queue)
{
    return release(queue, FAKE_QUEUE, __func__);
}

static cl_int CL_API_CALL fake_clGetCommandQueueInfo(cl_command_queue queue,
                                                     cl_command_queue_info what, size_t room,
                                                     void *out, size_t *needed)
{
    CALL(valid(queue, FAKE_QUEUE), CL_INVALID_COMMAND_QUEUE);
    if (what == CL_QUEUE_CONTEXT)
        ANSWER(cl_context, queue->context);
    ANSWER(cl_command_queue_properties, queue->properties);
}

static cl_int CL_API_CALL fake_clFlush(cl_command_queue queue)
{
    CALL(valid(queue, FAKE_QUEUE), CL_INVALID_COMMAND_QUEUE);
    return fake_cl.lost ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
}

static cl_int CL_API_CALL fake_clFinish(cl_command_queue queue)
{
    CALL(valid(queue, FAKE_QUEUE), CL_INVALID_COMMAND_QUEUE);
    return fake_cl.lost ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static cl_mem CL_API_CALL fake_clCreateBuffer(cl_context context, cl_mem_flags flags, size_t bytes,
                                              void *host, cl_int *error)
{
    MAKE(valid(context, FAKE_CONTEXT) && bytes, CL_INVALID_BUFFER_SIZE);
    cl_mem memory = make(sizeof *memory, FAKE_BUFFER);
    memory->context = context;
    memory->size = bytes;
    memory->borrowed = (flags & CL_MEM_USE_HOST_PTR) != 0;
    fake_cl_inside++;
    memory->bytes = memory->borrowed ? host : malloc(bytes);
    fake_cl_inside--;
    if (!memory->bytes)
        abort();
    return memory;
}

static cl_int CL_API_CALL fake_clReleaseMemObject(cl_mem memory)
{
    return release(memory, FAKE_BUFFER, __func__);
}

static cl_int CL_API_CALL fake_clGetMemObjectInfo(cl_mem memory, cl_mem_info what, size_t room,
                                                  void *out, size_t *needed)
{
    CALL(valid(memory, FAKE_BUFFER), CL_INVALID_MEM_OBJECT);
    if (what == CL_MEM_SIZE)
        ANSWER(size_t, memory->size);
    ANSWER(cl_context, memory->context);
}

/* What copies and launches have in common. */
static cl_int use(cl_command_queue queue, cl_mem memory, size_t offset, size_t bytes)
{
    if (!valid(queue, FAKE_QUEUE) || !valid(memory, FAKE_BUFFER))
        return CL_INVALID_MEM_OBJECT;
    if (offset > memory->size || bytes > memory->size - offset)
        return CL_INVALID_VALUE;
    return fake_cl.lost ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
}

static cl_int CL_API_CALL fake_clEnqueueWriteBuffer(cl_command_queue queue, cl_mem to,
                                                    cl_bool blocking, size_t offset, size_t bytes,
                                                    const void *from, cl_uint waits,
                                                    const cl_event *list, cl_event *event)
{
    (void)waits, (void)list, (void)event;
    CALL(blocking, CL_INVALID_VALUE);
    cl_int error = use(queue, to, offset, bytes);
    if (error == CL_SUCCESS)
        memmove(to->bytes + offset, from, bytes);
    return error;
}

static cl_int CL_API_CALL fake_clEnqueueReadBuffer(cl_command_queue queue, cl_mem from,
                                                   cl_bool blocking, size_t offset, size_t bytes,
                                                   void *to, cl_uint waits, const cl_event *list,
                                                   cl_event *event)
{
    (void)waits, (void)list, (void)event;
    CALL(blocking, CL_INVALID_VALUE);
    cl_int error = use(queue, from, offset, bytes);
    if (error == CL_SUCCESS)
        memmove(to, from->bytes + offset, bytes);
    return error;
}

/* ---- Programs -------------------------------------------------------------------------------- */

static cl_program CL_API_CALL fake_clCreateProgramWithSource(cl_context context, cl_uint count,
                                                             const char **texts,
                                                             const size_t *sizes, cl_int *error)
{
    uint64_t hash = 0;
    MAKE(valid(context, FAKE_CONTEXT) && count, CL_INVALID_VALUE);
    for (cl_uint i = 0; i < count; i++)
        hash = hash * 31 + lb_hash64(texts[i], sizes[i]);
    cl_program program = make(sizeof *program, FAKE_PROGRAM);
    snprintf(program->binary, sizeof program->binary, "fake binary %016llx",
             (unsigned long long)hash);
    fake_cl.from_source++;
    return program;
}

static cl_program CL_API_CALL fake_clCreateProgramWithBinary(cl_context context, cl_uint count,
                                                             const cl_device_id *list,
                                                             const size_t *sizes,
                                                             const unsigned char **binaries,
                                                             cl_int *status, cl_int *error)
{
    (void)count, (void)list;
    MAKE(valid(context, FAKE_CONTEXT), CL_INVALID_CONTEXT);
    if (fake_cl.reject_binaries || sizes[0] != sizeof((cl_program)0)->binary ||
        memcmp(binaries[0], "fake binary", 11) != 0) {
        *status = *error = CL_INVALID_BINARY;
        return NULL;
    }
    cl_program program = make(sizeof *program, FAKE_PROGRAM);
    memcpy(program->binary, binaries[0], sizes[0]);
    *status = CL_SUCCESS;
    fake_cl.from_binary++;
    return program;
}

static cl_int CL_API_CALL fake_clReleaseProgram(cl_program program)
{
    return release(program, FAKE_PROGRAM, __func__);
}

static cl_int CL_API_CALL fake_clBuildProgram(cl_program program, cl_uint count,
                                              const cl_device_id *list, const char *options,
                                              void(CL_CALLBACK *notify)(cl_program, void *),
                                              void *user)
{
    (void)count, (void)list, (void)notify, (void)user;
    CALL(valid(program, FAKE_PROGRAM) && strstr(options, "-cl-std="), CL_INVALID_BUILD_OPTIONS);
    program->built = !fake_cl.build_log;
    return program->built ? CL_SUCCESS : CL_BUILD_PROGRAM_FAILURE;
}

static cl_int CL_API_CALL fake_clGetProgramBuildInfo(cl_program program, cl_device_id device,
                                                     cl_program_build_info what, size_t room,
                                                     void *out, size_t *needed)
{
    (void)device, (void)what;
    CALL(valid(program, FAKE_PROGRAM), CL_INVALID_PROGRAM);
    ANSWER_TEXT(fake_cl.build_log ? fake_cl.build_log : "");
}

static cl_int CL_API_CALL fake_clGetProgramInfo(cl_program program, cl_program_info what,
                                                size_t room, void *out, size_t *needed)
{
    CALL(valid(program, FAKE_PROGRAM), CL_INVALID_PROGRAM);
    if (what == CL_PROGRAM_NUM_DEVICES)
        ANSWER(cl_uint, 1);
    if (what == CL_PROGRAM_BINARY_SIZES)
        ANSWER(size_t, sizeof program->binary);
    memcpy(*(unsigned char **)out, program->binary, sizeof program->binary);
    return CL_SUCCESS;
}

/* ---- Kernels --------------------------------------------------------------------------------- */

static cl_kernel CL_API_CALL fake_clCreateKernel(cl_program program, const char *name,
                                                 cl_int *error)
{
    MAKE(valid(program, FAKE_PROGRAM) && program->built, CL_INVALID_PROGRAM_EXECUTABLE);
    cl_kernel kernel = make(sizeof *kernel, FAKE_KERNEL);
    snprintf(kernel->name, sizeof kernel->name, "%s", name);
    return kernel;
}

static cl_int CL_API_CALL fake_clReleaseKernel(cl_kernel kernel)
{
    return release(kernel, FAKE_KERNEL, __func__);
}

static int measures(cl_kernel kernel) /* of opencl/ceilings.cl, whose arguments are others */
{
    return strncmp(kernel->name, "walk", 4) == 0 || strncmp(kernel->name, "loop", 4) == 0;
}

static int packs(cl_kernel kernel)
{
    return strncmp(kernel->name, "pack_", 5) == 0;
}

static cl_uint arguments(cl_kernel kernel) /* before the block */
{
    return packs(kernel) ? LB_PACK_PTRS : LB_PTR_COUNT;
}

static cl_int CL_API_CALL fake_clSetKernelArg(cl_kernel kernel, cl_uint index, size_t bytes,
                                              const void *value)
{
    CALL(valid(kernel, FAKE_KERNEL), CL_INVALID_KERNEL);
    if (measures(kernel))
        return CL_SUCCESS;
    cl_uint count = arguments(kernel);
    size_t block = packs(kernel) ? sizeof kernel->pack : sizeof kernel->kargs;
    if (index > count)
        return CL_INVALID_ARG_INDEX;
    if (bytes != (index == count ? block : sizeof *kernel->pointers))
        return CL_INVALID_ARG_SIZE;
    if (index < count)
        memcpy(&kernel->pointers[index], value, bytes);
    else if (packs(kernel))
        memcpy(&kernel->pack, value, bytes);
    else
        memcpy(&kernel->kargs, value, bytes);
    if (index < count && !valid(kernel->pointers[index], FAKE_BUFFER))
        return CL_INVALID_MEM_OBJECT;
    kernel->set |= 1u << index;
    return CL_SUCCESS;
}

static cl_event make_event(void)
{
    cl_event event = make(sizeof *event, FAKE_EVENT);
    event->time = atomic_fetch_add(&now, 1000000);
    return event;
}

static void pack(cl_kernel kernel) /* which is compiled as C too */
{
    uint8_t *at[LB_PACK_PTRS];
    int pass = 0;
    for (int i = 0; i < LB_PACK_PTRS; i++)
        at[i] = (uint8_t *)kernel->pointers[i]->bytes;
    while (strcmp(kernel->name, lb_packer_entries[pass]) != 0)
        pass++;
    lb_host_pack(pass, &kernel->pack, at);
}

static cl_int CL_API_CALL fake_clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel,
                                                      cl_uint dimensions, const size_t *offset,
                                                      const size_t *global, const size_t *local,
                                                      cl_uint waits, const cl_event *list,
                                                      cl_event *event)
{
    (void)offset, (void)waits, (void)list;
    CALL(valid(queue, FAKE_QUEUE) && valid(kernel, FAKE_KERNEL), CL_INVALID_KERNEL);
    for (cl_uint i = 0; i < dimensions; i++)
        if (!global[i] || !local[i] || global[i] % local[i])
            return CL_INVALID_WORK_GROUP_SIZE;
    fake_cl.launches++;
    if (measures(kernel)) {
        if (!fake_cl.lost)
            *event = make_event();
        return fake_cl.lost ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
    }
    if (kernel->set != (2u << arguments(kernel)) - 1)
        return CL_INVALID_KERNEL_ARGS;
    if (packs(kernel)) {
        if (!fake_cl.lost)
            pack(kernel);
        return fake_cl.lost ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
    }
    cl_mem d = kernel->pointers[LB_PTR_D];
    cl_int error = use(queue, d, (size_t)kernel->kargs.offset[LB_PTR_D], 1);
    if (error == CL_SUCCESS && strcmp(kernel->name, "sums") == 0) { /* there in place of it */
        cl_mem sums = kernel->pointers[LB_PTR_WORKSPACE];
        size_t at = (size_t)kernel->kargs.offset[LB_PTR_WORKSPACE];
        error = use(queue, sums, at, 4);
        if (error == CL_SUCCESS)
            memset(sums->bytes + at, MARK, 4);
    } else if (error == CL_SUCCESS && !strstr(kernel->name, "stage")) {
        memset(d->bytes + kernel->kargs.offset[LB_PTR_D], MARK, 1);
        fake_cl.results++;
    }
    return error;
}

/* ---- Events ---------------------------------------------------------------------------------- */

static cl_int CL_API_CALL fake_clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint waits,
                                                           const cl_event *list, cl_event *event)
{
    (void)waits, (void)list;
    CALL(valid(queue, FAKE_QUEUE), CL_INVALID_COMMAND_QUEUE);
    if (fake_cl.lost)
        return CL_OUT_OF_RESOURCES;
    *event = make_event();
    return CL_SUCCESS;
}

static cl_int CL_API_CALL fake_clEnqueueBarrierWithWaitList(cl_command_queue queue, cl_uint waits,
                                                            const cl_event *list, cl_event *event)
{
    (void)waits, (void)list, (void)event;
    CALL(valid(queue, FAKE_QUEUE), CL_INVALID_COMMAND_QUEUE);
    return fake_cl.lost ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
}

static cl_int CL_API_CALL fake_clWaitForEvents(cl_uint count, const cl_event *events)
{
    CALL(count && valid(events[0], FAKE_EVENT), CL_INVALID_EVENT);
    return fake_cl.lost ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
}

static cl_int CL_API_CALL fake_clGetEventProfilingInfo(cl_event event, cl_profiling_info what,
                                                       size_t room, void *out, size_t *needed)
{
    CALL(valid(event, FAKE_EVENT), CL_INVALID_EVENT);
    /* Kernels take a second, so that what is repeated until it is long enough soon is. */
    ANSWER(cl_ulong, what == CL_PROFILING_COMMAND_END ? event->time + 1000000000 : event->time);
}

static cl_int CL_API_CALL fake_clReleaseEvent(cl_event event)
{
    return release(event, FAKE_EVENT, __func__);
}

/* ---- In the loader's place ------------------------------------------------------------------- */

void *__wrap_dlopen(const char *name, int flags);
void *__wrap_dlsym(void *library, const char *name);
char *__wrap_dlerror(void);
void *__real_dlopen(const char *name, int flags);
void *__real_dlsym(void *library, const char *name);
char *__real_dlerror(void);

static int absent;

void *__wrap_dlopen(const char *name, int flags)
{
    if (strcmp(name, "libOpenCL.so.1") != 0)
        return __real_dlopen(name, flags);
    absent = fake_cl.no_loader;
    return absent ? NULL : (void *)&fake_cl;
}

char *__wrap_dlerror(void)
{
    static char text[] = "libOpenCL.so.1: no such file";
    if (!absent)
        return __real_dlerror();
    absent = 0;
    return text;
}

void *__wrap_dlsym(void *library, const char *name)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } table[] = {
#define ROW(name) {#name, (void (*)(void))fake_##name},
        LB_CL_FUNCTIONS(ROW)
#undef ROW
    };
    void *symbol = NULL;
    if (library != (void *)&fake_cl)
        return __real_dlsym(library, name);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0 &&
            (!fake_cl.lacks || strcmp(fake_cl.lacks, name) != 0))
            memcpy(&symbol, &table[i].function, sizeof symbol);
    return symbol;
}
