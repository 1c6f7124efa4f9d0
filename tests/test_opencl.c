/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenCL backend on a fake driver (tests/fake/opencl.c): what it says where loader, driver or
 * device are missing, what it refuses, a device that is lost, and the cache of programs when its
 * files are damaged or written by many at once. Each test is a process, which loads the driver
 * anew.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "fake/opencl.h"
#include "loader.h"
#include "rig.h"

static lb_status open_context(const char *device, const char *cache_dir, lb_context **context)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = device;
    desc.cache_dir = cache_dir;
    return lb_context_create(&desc, context);
}

static lb_plan *make_plan(lb_context *context, const char *line)
{
    lb_problem p;
    lb_plan *plan = NULL;
    check_ok(lb_problem_parse(line, &p));
    check_ok(lb_plan_create(context, &p, NULL, &plan));
    return plan;
}

#define LINE "s8*s8->s32 m4 n16 k64"

static void expect_clean(void)
{
    for (int i = 0; i < FAKE_KINDS; i++)
        cr_expect_eq(fake_cl.alive[i], 0, "%d objects of kind %d are left", fake_cl.alive[i], i);
    cr_expect_eq(fake_cl.misused, 0);
}

/* ---- What may be missing --------------------------------------------------------------------- */

static void expect_absent(const char *part)
{
    lb_context *context = NULL;
    lb_device_info infos[16] = {LB_DEVICE_INFO_INIT};
    size_t count = 0;
    check_status(open_context("opencl", "", &context), LB_NO_DEVICE, part);
    cr_expect_null(context);
    cr_expect(strstr(lb_backend_note("opencl"), part), "%s", lb_backend_note("opencl"));
    check_ok(lb_devices(infos, 16, &count));
    for (size_t i = 0; i < count; i++)
        cr_expect_str_neq(infos[i].backend, "opencl");
    cr_expect_str_eq(infos[count - 1].backend, "ref");
    expect_clean();
}

Test(opencl, without_a_loader_says_what_to_install)
{
    fake_cl.no_loader = 1;
    expect_absent("no OpenCL loader: libOpenCL.so.1: no such file; install it");
}

Test(opencl, a_loader_that_is_too_old_lacks_an_entry_point)
{
    fake_cl.lacks = "clEnqueueBarrierWithWaitList";
    expect_absent("libOpenCL.so.1 lacks clEnqueueBarrierWithWaitList; OpenCL 1.2 is needed");
}

Test(opencl, a_loader_without_a_driver_says_what_to_install)
{
    fake_cl.platforms = 0;
    expect_absent("the OpenCL loader finds no driver (CL_PLATFORM_NOT_FOUND_KHR); install one");
}

Test(opencl, a_driver_without_devices_is_told_from_none)
{
    fake_cl.devices = 0;
    expect_absent("1 OpenCL driver is installed, but none offers a device (CL_DEVICE_NOT_FOUND)");
    fake_cl.platforms = 2;
    expect_absent("2 OpenCL drivers are installed, but none offers a device");
}

Test(opencl, devices_of_all_platforms_are_numbered)
{
    lb_device_info infos[16] = {LB_DEVICE_INFO_INIT};
    lb_context *context = NULL;
    size_t count = 0, opencl = 0;
    fake_cl.platforms = 2;
    fake_cl.devices = 3;
    fake_cl.is_gpu = 1;
    fake_cl.extensions = "cl_khr_fp16x cl_khr_integer_dot_product cl_khr_fp16";
    check_ok(lb_devices(infos, 16, &count));
    for (size_t i = 0; i < count; i++) {
        char selector[24];
        if (strcmp(infos[i].backend, "opencl") != 0)
            continue;
        snprintf(selector, sizeof selector, "opencl:%zu", opencl++);
        cr_expect_str_eq(infos[i].selector, selector);
        cr_expect_str_eq(infos[i].name, "Fake device");
        cr_expect_str_eq(infos[i].features, "gpu wg256 fp16"); /* dot8 cannot be queried here */
        cr_expect(infos[i].is_gpu && infos[i].compute_units == 4);
    }
    cr_expect_eq(opencl, 6);
    check_status(open_context("opencl:6", "", &context), LB_NO_DEVICE, "has 6 devices (0 to 5)");
    static const char *const malformed[] = {"opencl:", "opencl:x", "opencl:1x", "opencl:-1",
                                            "opencl:99999999999999999999"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        check_status(open_context(malformed[i], "", &context), LB_NO_DEVICE, "is no device number");
    cr_expect_null(context);
    expect_clean();
}

/* ---- Contexts of the caller ------------------------------------------------------------------ */

Test(opencl, an_adopted_context_is_retained_and_given_back)
{
    lb_context *mine = NULL, *context = NULL;
    cl_int error;
    cl_platform_id platform;
    cl_device_id device[2];
    cl_uint count;
    fake_cl.devices = 2;
    check_ok(open_context("opencl", "", &mine)); /* loads */
    lb_context_destroy(mine);
    const lb_cl *cl = lb_opencl_load();
    cl->clGetPlatformIDs(1, &platform, &count);
    cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_CPU, 2, device, &count);
    cl_context theirs = cl->clCreateContext(NULL, 1, device, NULL, NULL, &error);
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    desc.device = "opencl";
    desc.native_context = theirs;
    check_status(lb_context_create(&desc, &context), LB_INVALID_ARGUMENT, "native_device is NULL");
    desc.native_device = device[1];
    check_status(lb_context_create(&desc, &context), LB_INVALID_ARGUMENT,
                 "native_device is not one of native_context's devices");
    desc.native_device = device[0];
    check_ok(lb_context_create(&desc, &context));
    lb_plan_destroy(make_plan(context, LINE));
    lb_context_destroy(context);
    cr_expect_eq(fake_cl.alive[FAKE_CONTEXT], 1);
    cl->clReleaseContext(theirs);
    desc.device = "ref";
    check_status(lb_context_create(&desc, &context), LB_INVALID_ARGUMENT, "no native context");
    expect_clean();
}

/* ---- Builds ---------------------------------------------------------------------------------- */

Test(opencl, a_failed_build_brings_the_options_and_the_log)
{
    static char log[10000];
    lb_context *context;
    lb_problem p;
    lb_plan *plan = NULL;
    check_ok(open_context("opencl", "", &context));
    check_ok(lb_problem_parse(LINE, &p));
    fake_cl.build_log = "line 7: what is this?";
    check_status(lb_plan_create(context, &p, NULL, &plan), LB_DRIVER,
                 "failed with CL_BUILD_PROGRAM_FAILURE (-11); build log: line 7: what is this?");
    cr_expect(strstr(lb_last_error(), "clBuildProgram with '-cl-std="));
    memset(log, 'x', sizeof log - 1);
    fake_cl.build_log = log;
    check_status(lb_plan_create(context, &p, NULL, &plan), LB_DRIVER, "build log: xxxx");
    cr_expect_null(plan);
    fake_cl.build_log = NULL;
    lb_plan_destroy(make_plan(context, LINE));
    lb_context_destroy(context);
    expect_clean();
}

Test(opencl, every_error_has_its_name)
{
    cr_expect_str_eq(lb_opencl_error_name(CL_INVALID_VALUE), "CL_INVALID_VALUE");
    cr_expect_str_eq(lb_opencl_error_name(-1001), "CL_PLATFORM_NOT_FOUND_KHR");
    cr_expect_str_eq(lb_opencl_error_name(12345), "unknown OpenCL error");
    for (cl_int error = -70; error <= 0; error++)
        cr_expect(lb_opencl_error_name(error)[0]);
    cr_expect_eq(lb_opencl_fail(CL_OUT_OF_HOST_MEMORY, "clX", "y"), LB_OUT_OF_MEMORY);
    cr_expect_eq(lb_opencl_fail(CL_MEM_OBJECT_ALLOCATION_FAILURE, "clX", ""), LB_OUT_OF_MEMORY);
    cr_expect_str_eq(lb_last_error(),
                     "OpenCL: clX failed with CL_MEM_OBJECT_ALLOCATION_FAILURE (-4)");
    cr_expect_eq(lb_opencl_fail(CL_OUT_OF_RESOURCES, "clX", "y"), LB_DRIVER);
    cr_expect_str_eq(lb_last_error(), "OpenCL: clX of y failed with CL_OUT_OF_RESOURCES (-5)");
}

/* ---- Runs ------------------------------------------------------------------------------------ */

typedef struct product {
    lb_context *context;
    rig_inputs in;
    rig r;
    rig_lane lane;
} product;

static void product_open(product *x)
{
    check_ok(open_context("opencl", "", &x->context));
    check_ok(rig_inputs_make(LINE, 1, &x->in));
    check_ok(rig_open(x->context, &x->in, NULL, &x->r));
    check_ok(rig_lane_open(&x->r, LB_STREAM_OUT_OF_ORDER, &x->lane));
    check_ok(rig_lane_poison(&x->lane));
}

static void product_close(product *x)
{
    rig_lane_close(&x->lane);
    rig_close(&x->r);
    rig_inputs_free(&x->in);
    lb_context_destroy(x->context);
}

static void expect_poison(product *x)
{
    check_ok(rig_lane_read(&x->lane));
    for (uint64_t i = 0; i < x->in.sizes.d; i++)
        cr_assert_eq(((unsigned char *)x->lane.d)[i], RIG_POISON, "byte %d of D", (int)i);
}

Test(opencl, memory_that_is_not_what_it_should_be_is_refused)
{
    product x;
    lb_context *other;
    lb_ptr theirs, small;
    lb_stream their_stream;
    static char no_mem[64];
    product_open(&x);
    check_ok(open_context("opencl", "", &other));
    check_ok(lb_memory_alloc(other, 1 << 16, &theirs));
    check_ok(lb_memory_alloc(x.context, 16, &small));
    check_ok(lb_stream_create(other, 0, &their_stream));
    lb_args args = x.lane.args;
    args.a = theirs;
    check_status(lb_run(x.r.plan, &args, x.lane.stream), LB_INVALID_ARGUMENT,
                 "a is a cl_mem of another cl_context");
    args.a = small;
    check_status(lb_run(x.r.plan, &args, x.lane.stream), LB_INVALID_ARGUMENT,
                 "a needs 256 bytes from offset 0, its cl_mem has 16");
    args.a = x.lane.args.a;
    args.a.offset = SIZE_MAX - 8;
    check_status(lb_run(x.r.plan, &args, x.lane.stream), LB_INVALID_ARGUMENT, "a needs 256 bytes");
    args.a = (lb_ptr){no_mem, 0};
    check_status(lb_run(x.r.plan, &args, x.lane.stream), LB_INVALID_ARGUMENT, "is no cl_mem");
    args = x.lane.args;
    args.d = small;
    check_status(lb_run(x.r.plan, &args, x.lane.stream), LB_INVALID_ARGUMENT,
                 "d needs 256 bytes from offset 0, its cl_mem has 16");
    check_status(lb_run(x.r.plan, &x.lane.args, their_stream), LB_INVALID_ARGUMENT,
                 "another cl_context");
    cr_expect_eq(fake_cl.launches, 0);
    fake_cl.misused = 0; /* that was no_mem */
    expect_poison(&x);
    lb_stream_destroy(other, their_stream);
    lb_memory_free(other, theirs);
    lb_memory_free(x.context, small);
    lb_context_destroy(other);
    product_close(&x);
    expect_clean();
}

Test(opencl, a_lost_device_fails_every_call_and_can_be_left)
{
    product x;
    lb_event *event;
    lb_ptr memory;
    lb_ceilings ceilings = LB_CEILINGS_INIT;
    product_open(&x);
    check_ok(lb_event_create(x.context, &event));
    check_ok(lb_memory_alloc(x.context, 64, &memory));
    fake_cl.lost = 1;
    int launches = fake_cl.results;
    char buffer[64];
    memset(buffer, RIG_POISON, sizeof buffer);
    check_status(lb_run(x.r.plan, &x.lane.args, x.lane.stream), LB_DRIVER,
                 "failed with CL_OUT_OF_RESOURCES (-5)");
    check_status(lb_stream_sync(x.context, x.lane.stream), LB_DRIVER, "clFinish");
    check_status(lb_memory_write(x.context, memory, buffer, 64, NULL), LB_DRIVER,
                 "clEnqueueWriteBuffer");
    check_status(lb_memory_read(x.context, buffer, memory, 64, NULL), LB_DRIVER,
                 "clEnqueueReadBuffer");
    check_status(lb_event_record(event, NULL), LB_DRIVER, "clEnqueueMarkerWithWaitList");
    check_status(lb_measure_ceilings(x.context, &ceilings), LB_DRIVER, "clEnqueueNDRangeKernel");
    lb_args args = x.lane.args;
    args.a = (lb_ptr){x.in.array[0], 0};
    args.d = (lb_ptr){x.lane.d, 0};
    memset(x.lane.d, RIG_POISON, (size_t)x.in.sizes.d);
    check_status(lb_run_host(x.r.plan, &args, NULL), LB_DRIVER, "CL_OUT_OF_RESOURCES");
    cr_expect_eq(fake_cl.results, launches);
    for (uint64_t i = 0; i < x.in.sizes.d; i++)
        cr_assert_eq(((unsigned char *)x.lane.d)[i], RIG_POISON);
    for (size_t i = 0; i < sizeof buffer; i++)
        cr_assert_eq((unsigned char)buffer[i], RIG_POISON);
    lb_event_destroy(event);
    lb_memory_free(x.context, memory);
    product_close(&x);
    expect_clean();
    fake_cl.lost = 0; /* what is made anew works */
    product_open(&x);
    check_ok(lb_run(x.r.plan, &x.lane.args, x.lane.stream));
    product_close(&x);
    expect_clean();
}

/* ---- The cache of programs ------------------------------------------------------------------- */

static char cache[] = "/tmp/lowbit-cache-XXXXXX";

/* The number of entries; the path of one of them. Other names are failures. */
static int entries(char *path, size_t capacity)
{
    int count = 0;
    DIR *directory = opendir(cache);
    for (struct dirent *e; directory && (e = readdir(directory));) {
        size_t length = strlen(e->d_name);
        if (e->d_name[0] == '.')
            continue;
        cr_expect(length == 38 && strcmp(e->d_name + 32, ".clbin") == 0, "%s was left behind",
                  e->d_name);
        snprintf(path, capacity, "%s/%s", cache, e->d_name);
        count++;
    }
    if (directory)
        closedir(directory);
    return count;
}

static size_t read_file(const char *path, unsigned char *bytes, size_t capacity)
{
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s", path);
    size_t n = fread(bytes, 1, capacity, file);
    fclose(file);
    return n;
}

static void write_file(const char *path, const unsigned char *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    cr_assert(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0, "%s", path);
}

/* Makes a plan in a new context; 1 if its program came from the cache. */
static int from_cache(void)
{
    lb_context *context;
    int source = fake_cl.from_source, binary = fake_cl.from_binary;
    check_ok(open_context("opencl", cache, &context));
    lb_plan_destroy(make_plan(context, LINE));
    lb_context_destroy(context);
    cr_assert(fake_cl.from_source - source == 0 || fake_cl.from_source - source == 1);
    return fake_cl.from_source == source && fake_cl.from_binary == binary + 1;
}

static void remove_cache(void)
{
    char path[600];
    while (entries(path, sizeof path))
        unlink(path);
    rmdir(cache);
}

Test(cache, any_damage_is_noticed_and_mended)
{
    char path[600];
    unsigned char good[512], bad[512], again[512];
    cr_assert(mkdtemp(cache));
    cr_expect(!from_cache());
    cr_expect(from_cache());
    cr_assert_eq(entries(path, sizeof path), 1);
    size_t n = read_file(path, good, sizeof good);
    cr_assert(n > 64 && n < sizeof good);
    int tried = 0;
    for (size_t i = 0; i < 3 * n; i++, tried++) { /* bit flips, truncations, tails */
        size_t length = i < n ? n : i < 2 * n ? i - n : n + 1;
        memcpy(bad, good, n);
        bad[n] = 0;
        if (i < n)
            bad[i] ^= (unsigned char)(1u << i % 8);
        else if (i >= 2 * n)
            bad[i - 2 * n] = (unsigned char)~bad[i - 2 * n];
        write_file(path, bad, length);
        /* four bytes of the header say nothing */
        int reserved = i >= 4 && i < 8;
        cr_expect_eq(from_cache(), reserved, "damage %zu passes", i);
        if (reserved)
            write_file(path, good, n);
        cr_assert(read_file(path, again, sizeof again) == n && memcmp(again, good, n) == 0,
                  "damage %zu is not mended", i);
    }
    cr_expect(from_cache());
    fake_cl.reject_binaries = 1; /* as after an update of the driver that kept its version */
    cr_expect(!from_cache());
    fake_cl.reject_binaries = 0;
    cr_expect(from_cache());
    cr_expect_eq(entries(path, sizeof path), 1);
    remove_cache();
    expect_clean();
    cr_log_info("%d damaged files", tried);
}

Test(cache, what_cannot_be_written_is_no_cache)
{
    char path[600];
    cr_assert(mkdtemp(cache));
    snprintf(path, sizeof path, "%s/0123456789abcdef0123456789abcdef.clbin", cache);
    write_file(path, (const unsigned char *)"x", 1);
    lb_context *context;
    check_ok(open_context("opencl", path, &context)); /* a file, not a directory */
    lb_plan_destroy(make_plan(context, LINE));
    lb_context_destroy(context);
    snprintf(path + strlen(path), sizeof path - strlen(path), "/below");
    check_ok(open_context("opencl", path, &context));
    lb_plan_destroy(make_plan(context, LINE));
    lb_context_destroy(context);
    check_ok(open_context("opencl", "/proc/nowhere", &context));
    lb_plan_destroy(make_plan(context, LINE));
    lb_context_destroy(context);
    cr_expect_eq(fake_cl.from_source, 3);
    cr_expect_eq(entries(path, sizeof path), 1);
    remove_cache();
    char *longer = calloc(1, 1000);
    memset(longer, '/', 999);
    check_status(open_context("opencl", longer, &context), LB_INVALID_ARGUMENT,
                 "path of 999 characters is too long");
    free(longer);
    expect_clean();
}

Test(cache, its_place_follows_the_environment)
{
    char below[600];
    lb_context *context;
    cr_assert(mkdtemp(cache));
    static const char *const variables[] = {"LOWBIT_CACHE_DIR", "XDG_CACHE_HOME", "HOME"};
    static const char *const suffixes[] = {"", "/lowbit", "/.cache/lowbit"};
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            unsetenv(variables[j]);
        snprintf(below, sizeof below, "%s/%d", cache, i);
        setenv(variables[i], below, 1);
        check_ok(open_context("opencl", NULL, &context));
        lb_plan_destroy(make_plan(context, LINE));
        lb_context_destroy(context);
        snprintf(below, sizeof below, "%s/%d%s", cache, i, suffixes[i]);
        DIR *directory = opendir(below);
        cr_expect(directory, "%s was not made", below);
        if (directory)
            closedir(directory);
    }
    for (int j = 0; j < 3; j++)
        unsetenv(variables[j]);
    check_ok(open_context("opencl", NULL, &context)); /* nowhere: no cache */
    lb_plan_destroy(make_plan(context, LINE));
    lb_context_destroy(context);
    snprintf(below, sizeof below, "rm -r '%s'", cache);
    cr_expect_eq(system(below), 0);
}

#define WRITERS 8

static void *write_often(void *argument)
{
    for (int i = 0; i < 20; i++) {
        lb_context *context;
        lb_plan *plan = NULL;
        lb_problem p;
        char path[600];
        if (open_context("opencl", cache, &context) != LB_OK)
            return argument;
        lb_status status = lb_problem_parse(LINE, &p);
        if (status == LB_OK)
            status = lb_plan_create(context, &p, NULL, &plan);
        lb_plan_destroy(plan);
        lb_context_destroy(context);
        if (status != LB_OK)
            return argument;
        if (i % 3 == 0) { /* so that there is always something to write */
            DIR *directory = opendir(cache);
            for (struct dirent *e; directory && (e = readdir(directory));)
                if (strlen(e->d_name) == 38) {
                    snprintf(path, sizeof path, "%s/%s", cache, e->d_name);
                    unlink(path);
                }
            if (directory)
                closedir(directory);
        }
    }
    return NULL;
}

Test(cache, many_threads_and_processes_may_write_it, .timeout = 120)
{
    char path[600];
    pthread_t threads[WRITERS];
    pid_t children[WRITERS];
    void *failed;
    int status;
    cr_assert(mkdtemp(cache));
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        cr_assert_geq(children[i], 0);
        if (children[i] == 0)
            _exit(write_often(cache) != NULL);
    }
    for (int i = 0; i < WRITERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_often, cache), 0);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], &failed);
        cr_expect_null(failed, "%s", lb_last_error());
        cr_expect(waitpid(children[i], &status, 0) == children[i] && status == 0);
    }
    from_cache();
    cr_expect(from_cache());
    cr_expect_eq(entries(path, sizeof path), 1);
    remove_cache();
    expect_clean();
}
