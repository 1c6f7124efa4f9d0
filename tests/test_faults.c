/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault loops: the same work again and again, each time with the next call failing, until nothing
 * is left to fail. The call is one of the library's to malloc and its kin (once, or from then on),
 * of the fake OpenCL driver or of the fake CUDA driver. After each failure there must be a code, a
 * sentence, an untouched D, and nothing alive; sanitizers see the rest. The number of points is
 * printed.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "fake/opencl.h"
#include "formats.h"
#include "loader.h"
#include "rig.h"
#include "status.h"
#if LB_WITH_CUDA && defined(FAKE_CUDA)
#define WITH_CUDA 1
#include "cuda.h"
#include "embedded.h"
#include "fake/fake.h"

/* In place of the fat binaries, so that this needs no nvcc. */
const lb_embedded lb_cuda_images[] = {FAKE_IMAGES{"", NULL, 0}};
const size_t lb_cuda_image_count = sizeof lb_cuda_images / sizeof *lb_cuda_images;
static fake_cuda *cuda;
#else
#define WITH_CUDA 0
#endif

/* ---- Memory that fails ----------------------------------------------------------------------- */

/* -Wl,--wrap: the library's calls come here. The fake OpenCL driver's own are left out. */
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
char *__wrap_strndup(const char *text, size_t length);
void __wrap_free(void *memory);
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
char *__real_strndup(const char *text, size_t length);
void __real_free(void *memory);

static struct {
    long calls, fail_at;
    int from_then_on, failed;
    long alive; /* blocks */
} heap;

static int refuses(void)
{
    if (fake_cl_inside)
        return 0;
    heap.calls++;
    int now = heap.fail_at &&
              (heap.from_then_on ? heap.calls >= heap.fail_at : heap.calls == heap.fail_at);
    heap.failed |= now;
    return now;
}

static void *counted(void *memory)
{
    heap.alive += memory && !fake_cl_inside;
    return memory;
}

void *__wrap_malloc(size_t bytes)
{
    return refuses() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return refuses() ? NULL : counted(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (refuses())
        return NULL;
    return memory ? __real_realloc(memory, bytes) : counted(__real_realloc(memory, bytes));
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    return refuses() ? NULL : counted(__real_aligned_alloc(align, bytes));
}

char *__wrap_strndup(const char *text, size_t length)
{
    return refuses() ? NULL : counted(__real_strndup(text, length));
}

void __wrap_free(void *memory)
{
    heap.alive -= memory && !fake_cl_inside;
    __real_free(memory);
}

/* ---- What fails ------------------------------------------------------------------------------ */

typedef enum source { HEAP_ONCE, HEAP_FROM_THEN_ON, OPENCL, CUDA } source;

static const char *const source_names[] = {"malloc", "malloc from then on", "OpenCL", "CUDA"};

static void arm(source s, long n)
{
    heap.calls = heap.fail_at = heap.failed = 0;
    heap.from_then_on = s == HEAP_FROM_THEN_ON;
    fake_cl.calls = fake_cl.fail_at = 0;
    fake_cl.failed = NULL;
    fake_cl.fail_with = n % 2 ? CL_OUT_OF_RESOURCES : CL_OUT_OF_HOST_MEMORY;
#if WITH_CUDA
    cuda->calls = cuda->fail_at = 0;
    cuda->failed = NULL;
    cuda->fail_with = n % 2 ? 719 : CUDA_ERROR_OUT_OF_MEMORY;
    if (s == CUDA)
        cuda->fail_at = n;
#endif
    if (s == HEAP_ONCE || s == HEAP_FROM_THEN_ON)
        heap.fail_at = n;
    if (s == OPENCL)
        fake_cl.fail_at = n;
}

static const char HEAP[] = "malloc";

/* The call that failed; NULL: none did. */
static const char *hit(source s)
{
#if WITH_CUDA
    if (s == CUDA)
        return cuda->failed;
#endif
    if (s == OPENCL)
        return fake_cl.failed ? fake_cl.failed + strlen("fake_") : NULL;
    return heap.failed ? HEAP : NULL;
}

static int alive(void)
{
    int sum = fake_cl_alive();
#if WITH_CUDA
    sum += cuda->retains + cuda->streams + cuda->events + cuda->modules + cuda->allocations +
           cuda->library_objects;
#endif
    return sum;
}

static int one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strncmp(word, *list, strlen(*list)) == 0)
            return 1;
    return 0;
}

/* Failures that may go unreported: of what gives back, waits before it, or only makes faster; and
   of one driver that cannot list its devices where others can. */
static int may_be_lost(source s, const char *call)
{
    static const char *const opencl[] = {"clGetDeviceIDs",   "clRelease",
                                         "clFlush",          "clFinish",
                                         "clGetProgramInfo", "clCreateProgramWithBinary",
                                         "clBuildProgram",   NULL};
    static const char *const of_cuda[] = {"cuCtxPushCurrent", "cuStreamSynchronize", NULL};
#if WITH_CUDA
    if (s == CUDA)
        return cuda->failed_release || one_of(call, of_cuda);
#endif
    (void)of_cuda;
    return s == OPENCL && one_of(call, opencl);
}

/* Devices cannot be found where asking for them fails. */
static int may_be_no_device(source s, const char *call)
{
    static const char *const opencl[] = {"clGetPlatformIDs", "clGetDeviceIDs", NULL};
    static const char *const of_cuda[] = {"cuInit", "cuDeviceGet", NULL};
    return (s == OPENCL && one_of(call, opencl)) || (s == CUDA && one_of(call, of_cuda));
}

/* ---- The loop -------------------------------------------------------------------------------- */

typedef lb_status work(const void *what, int cached);

/* Returns how many points there were. */
static long every_failure(source s, work *f, const void *what, int cached)
{
    arm(s, 0);
    cr_assert_eq(f(what, cached), LB_OK, "%s", lb_last_error());
    cr_assert_eq(alive(), 0);
    long blocks = heap.alive;
    for (long n = 1;; n++) {
        arm(s, n);
        lb_fail(LB_OK, "%s", "");
        lb_status status = f(what, cached);
        const char *call = hit(s);
        int is_memory = s == HEAP_ONCE || s == HEAP_FROM_THEN_ON || n % 2 == 0;
        arm(s, 0);
        if (!call) {
            cr_assert_eq(status, LB_OK, "%s", lb_last_error());
            return n - 1;
        }
        if (status == LB_OK)
            cr_expect(may_be_lost(s, call) || (cached && call == HEAP), /* no memory to cache */
                      "%s: failure %ld, of %s, is lost", source_names[s], n, call);
        else if (!may_be_no_device(s, call) || status != LB_NO_DEVICE)
            cr_expect(status == (is_memory ? LB_OUT_OF_MEMORY : LB_DRIVER) ||
                          (s == OPENCL && status == LB_OUT_OF_MEMORY), /* of a buffer */
                      "%s: failure %ld, of %s, is %s: %s", source_names[s], n, call,
                      lb_status_string(status), lb_last_error());
        if (status != LB_OK) {
            cr_expect(strlen(lb_last_error()) > 15, "%s: failure %ld, of %s, says '%s'",
                      source_names[s], n, call, lb_last_error());
            if (s == OPENCL && status != LB_NO_DEVICE)
                cr_expect(strstr(lb_last_error(), call), "'%s' does not name %s", lb_last_error(),
                          call);
        }
        cr_assert_eq(alive(), 0, "%s: failure %ld, of %s, leaves %d objects", source_names[s], n,
                     call, alive());
        cr_assert_eq(heap.alive, blocks, "%s: failure %ld, of %s, leaks %ld blocks",
                     source_names[s], n, call, heap.alive - blocks);
        cr_assert_lt(n, 100000);
    }
}

/* ---- The work of a device -------------------------------------------------------------------- */

#define LINE "s8.token*s4.channel->f16 m4 n16 k64 +bias"
#define TRY(call) RIG_TRY(call)

static rig_inputs in;      /* made before anything fails */
static const char *kernel; /* that plans ask for; NULL: none */
static int at_sums;        /* failures behind D and before its sums */
static char cache[] = "/tmp/lowbit-faults-XXXXXX";

typedef struct scene {
    lb_context *context;
    lb_stream stream;
    lb_event *event[2];
    lb_ptr a, a_scale, bias, d, d_sums, workspace;
    lb_plan *plan;
    lb_weights *weights;
    int runs, host_runs;  /* 1: lb_run was called; 2: and said yes */
    int written;          /* launches that wrote a D before the last lb_run or lb_run_host */
    int passes, launches; /* on CUDA: of a run without sums, and all before lb_run */
    unsigned char result[4 * 16 * 4];
    unsigned char sums[4 * 4];
} scene;

static lb_status act(scene *x, const char *device, int cached)
{
    char text[1 << 14];
    double seconds;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_plan_desc wish = LB_PLAN_DESC_INIT;
    wish.kernel = kernel;
    desc.device = device;
    desc.cache_dir = cached ? cache : "";
    TRY(lb_context_create(&desc, &x->context));
    TRY(lb_explain(x->context, &in.problem, NULL, text, sizeof text, NULL));
    TRY(lb_stream_create(x->context, 0, &x->stream));
    TRY(rig_upload(x->context, in.host.a, in.sizes.a, &x->a));
    TRY(rig_upload(x->context, in.host.a_scale, in.sizes.a_scale, &x->a_scale));
    TRY(rig_upload(x->context, in.host.bias, in.sizes.bias, &x->bias));
    TRY(rig_upload(x->context, x->result, sizeof x->result, &x->d));
    TRY(rig_upload(x->context, x->sums, in.sizes.d_sums, &x->d_sums));
    TRY(lb_plan_create(x->context, &in.problem, &wish, &x->plan));
    TRY(lb_plan_get_info(x->plan, &info));
    TRY(lb_weights_create(x->plan, &in.source, &x->weights));
    TRY(lb_memory_alloc(x->context, (size_t)info.workspace_bytes, &x->workspace));
    for (int i = 0; i < 2; i++)
        TRY(lb_event_create(x->context, &x->event[i]));
    lb_args args = LB_ARGS_INIT;
    args.weights = x->weights;
    args.a = x->a;
    args.a_scale = x->a_scale;
    args.bias = x->bias;
    args.d = x->d;
    args.d_sums = x->d_sums;
    args.workspace = x->workspace;
    args.workspace_bytes = (size_t)info.workspace_bytes;
    TRY(lb_event_record(x->event[0], x->stream));
    x->written = fake_cl.results;
    x->passes = info.launches;
#if WITH_CUDA
    x->launches = cuda->launches;
#endif
    x->runs = 1;
    TRY(lb_run(x->plan, &args, x->stream));
    x->runs = 2;
    TRY(lb_event_record(x->event[1], x->stream));
    TRY(lb_stream_sync(x->context, x->stream));
    TRY(lb_event_elapsed(x->event[0], x->event[1], &seconds));
    args = (lb_args)LB_ARGS_INIT;
    args.weights = x->weights;
    args.a = (lb_ptr){in.array[0], 0};
    args.a_scale = (lb_ptr){in.array[1], 0};
    args.bias = (lb_ptr){in.array[8], 0};
    args.d = (lb_ptr){x->result, 0};
    args.d_sums.base = in.sizes.d_sums ? x->sums : NULL;
    x->written = fake_cl.results;
    x->host_runs = 1;
    TRY(lb_run_host(x->plan, &args, x->stream));
    x->host_runs = 2;
    lb_ceilings ceilings = LB_CEILINGS_INIT;
    return lb_measure_ceilings(x->context, &ceilings);
}

static int is_poison(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != RIG_POISON)
            return 0;
    return 1;
}

/* The device had begun: then D is undefined. */
static int failed_while_computing(const scene *x)
{
#if WITH_CUDA
    if (cuda->failed && strcmp(cuda->failed, "cuStreamSynchronize") == 0)
        return 1;
    /* D is copied, then its sums. */
    if (cuda->failed && in.sizes.d_sums && !is_poison(x->result, sizeof x->result))
        return is_poison(x->sums, sizeof x->sums);
#endif
    return fake_cl.results > x->written;
}

/* All of D was enqueued, and then not the pass that sums its rows. */
static int failed_at_sums(const scene *x)
{
#if WITH_CUDA
    if (in.sizes.d_sums && x->passes && cuda->launches - x->launches >= x->passes)
        return 1;
#endif
    return in.sizes.d_sums && fake_cl.results > x->written;
}

static lb_status device_work(const void *device, int cached)
{
    scene x = {0};
    memset(x.result, RIG_POISON, sizeof x.result);
    memset(x.sums, RIG_POISON, sizeof x.sums);
    lb_status status = act(&x, device, cached);
    if (x.runs == 1) { /* refused: neither D is written; the failure is over unless it stays */
        unsigned char d[sizeof x.result];
        cr_expect_eq(lb_memory_read(x.context, d, x.d, sizeof d, x.stream), LB_OK);
        at_sums += failed_at_sums(&x);
        if (!failed_at_sums(&x))
            cr_expect(is_poison(d, sizeof d), "lb_run failed and D is written");
        if (x.d_sums.base) {
            cr_expect_eq(lb_memory_read(x.context, d, x.d_sums, sizeof x.sums, x.stream), LB_OK);
            cr_expect(is_poison(d, sizeof x.sums), "lb_run failed and sums are written");
        }
    }
    if (x.host_runs == 1 && !failed_while_computing(&x))
        cr_expect(is_poison(x.result, sizeof x.result) && is_poison(x.sums, sizeof x.sums),
                  "lb_run_host failed and D is written");
    for (int i = 0; i < 2; i++)
        lb_event_destroy(x.event[i]);
    lb_weights_destroy(x.weights);
    lb_plan_destroy(x.plan);
    const lb_ptr memory[] = {x.a, x.a_scale, x.bias, x.d, x.d_sums, x.workspace};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        lb_memory_free(x.context, memory[i]);
    lb_stream_destroy(x.context, x.stream);
    lb_context_destroy(x.context);
    return status;
}

static void empty_cache(void)
{
    char path[600];
    DIR *directory = opendir(cache);
    for (struct dirent *e; directory && (e = readdir(directory));) {
        snprintf(path, sizeof path, "%s/%s", cache, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    if (directory)
        closedir(directory);
    rmdir(cache);
}

/* ---- The work of the host -------------------------------------------------------------------- */

static lb_stored gptq, blocks; /* filled before anything fails */

static lb_status repack(void)
{
    lb_stored to = LB_STORED_INIT;
    static unsigned char parts[LB_PART_COUNT][1 << 16];
    to.format = "canon";
    TRY(lb_stored_like(&gptq, 0, &to));
    for (int i = 0; i < LB_PART_COUNT; i++)
        to.part[i].data = to.part[i].bytes ? parts[i] : NULL;
    lb_repack_report report = LB_REPACK_REPORT_INIT;
    return lb_repack(&gptq, &to, 0, &report);
}

static lb_status stored_weights(lb_context *context, const lb_stored *stored)
{
    int32_t count, perm[512];
    TRY(lb_stored_terms(stored, &count));
    TRY(lb_stored_order(stored, perm));
    for (int32_t t = 0; t < count; t++) {
        lb_problem p = LB_PROBLEM_INIT;
        lb_plan *plan = NULL;
        lb_weights *weights = NULL;
        p.m = 2;
        p.a.type = p.d.type = LB_TYPE_F32;
        TRY(lb_stored_problem(stored, t, &p));
        lb_status status = lb_plan_create(context, &p, NULL, &plan);
        if (status == LB_OK)
            status = lb_weights_create_stored(plan, stored, t, &weights);
        lb_weights_destroy(weights);
        weights = NULL;
        if (status == LB_OK)
            status = lb_weights_upload_stored(plan, stored, t, &weights);
        lb_weights_destroy(weights);
        lb_plan_destroy(plan);
        TRY(status);
    }
    return LB_OK;
}

/* Packs on the host and on the device. */
static lb_status stored_work(const void *device, int cached)
{
    lb_context *context = NULL;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = device;
    desc.cache_dir = cached ? cache : "";
    TRY(lb_context_create(&desc, &context));
    lb_status status = stored_weights(context, &gptq);
    lb_context_destroy(context);
    return status;
}

static lb_status files(const char *path, const char *matrix)
{
    lb_file *file = NULL;
    lb_stored found = LB_STORED_INIT;
    TRY(lb_file_open(path, &file));
    lb_status status = lb_file_find(file, matrix, NULL, &found);
    float row[256];
    if (status == LB_OK)
        status = lb_stored_values(&found, 0, 1, row);
    lb_file_close(file);
    return status;
}

static char safetensors[] = "/tmp/lowbit-faults-XXXXXX.safetensors";
static char gguf[] = "/tmp/lowbit-faults-XXXXXX.gguf";

static lb_status host_work(const void *what, int cached)
{
    (void)what, (void)cached;
    static float values[64 * 256];
    static int32_t d[200 * 3];
    static const int8_t ones[200 * 4];
    lb_problem p;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    lb_host_args args = LB_HOST_ARGS_INIT;
    args.a = args.b = ones;
    TRY(lb_problem_parse("s8*s8->s32 m200 n3 k4", &p));
    TRY(lb_verify(&p, &args, d, 4, 1, 1, &report));
    TRY(lb_verify(&p, &args, d, 0, 1, 0, &report));
    TRY(lb_stored_values(&gptq, 0, gptq.n, values));
    TRY(lb_stored_values(&blocks, 0, blocks.n, values));
    TRY(repack());
    TRY(files(safetensors, "l"));
    TRY(files(gguf, "w"));
    lb_context *context;
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = "ref";
    TRY(lb_context_create(&desc, &context));
    lb_status status = stored_weights(context, &gptq);
    if (status == LB_OK)
        status = stored_weights(context, &blocks);
    lb_context_destroy(context);
    return status;
}

static void make_stored(const char *format, lb_stored *stored)
{
    uint64_t state = 3;
    check_ok(stored_describe(format, 64, 256, 4, 32, true, stored));
    stored_alloc(stored);
    check_ok(stored_fill(stored, &state));
}

static void write_file(char *path, int suffix, const void *start, size_t bytes, size_t zeros)
{
    int fd = mkstemps(path, suffix);
    FILE *file = fdopen(fd, "wb");
    cr_assert(file && fwrite(start, bytes, 1, file) == 1);
    while (zeros--)
        fputc(0, file);
    fclose(file);
}

static void make_files(void)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"l.qweight\":{\"dtype\":\"I32\",\"shape\":[8,32],\"data_offsets\":[0,1024]},"
        "\"l.scales\":{\"dtype\":\"F16\",\"shape\":[2,32],\"data_offsets\":[1024,1152]},"
        "\"l.qzeros\":{\"dtype\":\"I32\",\"shape\":[2,4],\"data_offsets\":[1152,1184]}}   ";
    static const unsigned char words[] = {
        'G', 'G', 'U', 'F', 3,  0, 0, 0, 1, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0,
        0,   0,   0,   0,   1,  0, 0, 0, 0, 0, 0, 0, 'w',                      /* its name */
        2,   0,   0,   0,   32, 0, 0, 0, 0, 0, 0, 0, 2,   0, 0, 0, 0, 0, 0, 0, /* [2][32] */
        8,   0,   0,   0,   0,  0, 0, 0, 0, 0, 0, 0};                          /* Q8_0 at 0 */
    unsigned char start[8 + sizeof header - 1] = {(sizeof header - 1) & 255,
                                                  (sizeof header - 1) >> 8};
    memcpy(start + 8, header, sizeof header - 1);
    write_file(safetensors, 12, start, sizeof start, 1184);
    write_file(gguf, 5, words, sizeof words, 31 + 2 * 34);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void set_up(void)
{
    check_ok(rig_inputs_make(LINE, 1, &in));
    cr_assert(mkdtemp(cache));
#if WITH_CUDA
    fake_cuda_state_fn *state;
    /* Kernels that are quick to emulate; no great buffers to measure ceilings with. */
    setenv("LB_FAKE_CUDA", "devices=1 sm=80 mib=100", 1);
    setenv("LOWBIT_CUBLASLT", FAKE_CUBLASLT, 1);
    void *library = dlopen(FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
    cr_assert(library, "%s", dlerror());
    void *symbol = dlsym(library, "fake_cuda_state");
    memcpy(&state, &symbol, sizeof symbol);
    cuda = state();
#endif
}

static void tear_down(void)
{
    rig_inputs_free(&in);
    empty_cache();
}

TestSuite(faults, .init = set_up, .fini = tear_down, .timeout = 170);

/* Once to compile, then again from the cache. */
static void device_faults(source s, const char *device)
{
    long cold = every_failure(s, device_work, device, 0);
    long warm = strcmp(device, "ref") == 0 ? 0 : every_failure(s, device_work, device, 1);
    cr_expect_gt(cold, 5);
    fprintf(stderr, "faults: %-7s %-20s %5ld points, with a cache %5ld\n", device, source_names[s],
            cold, warm);
}

Test(faults, of_memory_on_the_reference)
{
    device_faults(HEAP_ONCE, "ref");
    device_faults(HEAP_FROM_THEN_ON, "ref");
}

Test(faults, of_memory_on_opencl)
{
    device_faults(HEAP_ONCE, "opencl");
    device_faults(HEAP_FROM_THEN_ON, "opencl");
}

Test(faults, of_the_opencl_driver)
{
    device_faults(OPENCL, "opencl");
}

Test(faults, of_the_opencl_driver_of_a_gpu)
{
    fake_cl.is_gpu = 1;
    device_faults(OPENCL, "opencl");
}

Test(faults, of_memory_on_cuda)
{
    if (!WITH_CUDA)
        cr_skip_test("built without CUDA");
    device_faults(HEAP_ONCE, "cuda");
    device_faults(HEAP_FROM_THEN_ON, "cuda");
}

Test(faults, of_the_cuda_driver)
{
    if (!WITH_CUDA)
        cr_skip_test("built without CUDA");
    device_faults(CUDA, "cuda");
}

/* Its calls are counted as the driver's. */
Test(faults, of_a_library_over_the_cuda_driver)
{
    if (!WITH_CUDA)
        cr_skip_test("built without CUDA");
    rig_inputs_free(&in);
    check_ok(rig_inputs_make("s8*s8->s32 m4 n16 k64", 1, &in));
    kernel = "cuda_cublaslt";
    device_faults(CUDA, "cuda");
    device_faults(HEAP_ONCE, "cuda");
    device_faults(HEAP_FROM_THEN_ON, "cuda");
}

Test(faults, of_packing_on_devices)
{
    static const struct {
        source source;
        const char *device;
    } cases[] = {{HEAP_ONCE, "opencl"}, {HEAP_FROM_THEN_ON, "opencl"}, {OPENCL, "opencl"},
                 {HEAP_ONCE, "cuda"},   {HEAP_FROM_THEN_ON, "cuda"},   {CUDA, "cuda"}};
    make_stored("gptq", &gptq);
    for (size_t i = 0; i < (WITH_CUDA ? 6 : 3); i++) {
        long points = every_failure(cases[i].source, stored_work, cases[i].device, 0);
        cr_expect_gt(points, 15);
        fprintf(stderr, "faults: packing on %-7s %-20s %5ld points\n", cases[i].device,
                source_names[cases[i].source], points);
    }
    stored_free(&gptq);
}

static void sums_of_rows(void)
{
    rig_inputs_free(&in);
    check_ok(rig_inputs_make("s8.token*s4.channel->s8 m4 n16 k64 +bias", 1, &in));
    at_sums = 0;
}

Test(faults, of_sums_of_rows_on_opencl)
{
    sums_of_rows();
    device_faults(OPENCL, "opencl");
    cr_expect_gt(at_sums, 0);
    device_faults(HEAP_ONCE, "opencl");
    device_faults(HEAP_FROM_THEN_ON, "opencl");
}

Test(faults, of_sums_of_rows_on_the_reference)
{
    sums_of_rows();
    device_faults(HEAP_ONCE, "ref");
    device_faults(HEAP_FROM_THEN_ON, "ref");
}

Test(faults, of_sums_of_rows_on_cuda)
{
    if (!WITH_CUDA)
        cr_skip_test("built without CUDA");
    sums_of_rows();
    device_faults(CUDA, "cuda");
    cr_expect_gt(at_sums, 0);
    device_faults(HEAP_ONCE, "cuda");
    device_faults(HEAP_FROM_THEN_ON, "cuda");
}

Test(faults, of_memory_in_formats_files_and_verification)
{
    make_stored("gptq", &gptq);
    make_stored("q4_k", &blocks);
    make_files();
    for (source s = HEAP_ONCE; s <= HEAP_FROM_THEN_ON; s++) {
        long points = every_failure(s, host_work, NULL, 0);
        cr_expect_gt(points, 15);
        fprintf(stderr, "faults: %-7s %-20s %5ld points\n", "host", source_names[s], points);
    }
    stored_free(&gptq);
    stored_free(&blocks);
    unlink(safetensors);
    unlink(gguf);
}
