/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs: embedded sources + options -> cl_program, through a table per context and a cache on
 * disk. A cache file is a header, then the driver's binary; it is written under a temporary name
 * and renamed, so that readers see all of it or none. What does not check out is built again and
 * replaced; a directory that cannot be written is no cache, not an error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embedded.h"
#include "hash.h"
#include "opencl.h"
#include "status.h"

struct lb_opencl_program {
    lb_opencl_program *next;
    lb_hash128 key;
    cl_program program;
};

/* ---- Sources ------------------------------------------------------------------------------------
 */

static const lb_embedded *find_source(const char *name)
{
    for (size_t i = 0; i < lb_opencl_source_count; i++)
        if (strcmp(lb_opencl_sources[i].name, name) == 0)
            return &lb_opencl_sources[i];
    return NULL;
}

static lb_status gather(const char *const *names, const char **texts, size_t *sizes, cl_uint *count)
{
    *count = 0;
    for (size_t i = 0; i < LB_OPENCL_SOURCES && names[i]; i++) {
        const lb_embedded *source = find_source(names[i]);
        if (!source)
            return lb_fail(LB_INTERNAL, "the kernel source %s is not in the library", names[i]);
        texts[*count] = (const char *)source->data;
        sizes[(*count)++] = source->size;
    }
    return LB_OK;
}

/* All that decides what the binary is. */
static lb_hash128 make_key(const lb_context *context, const char *const *texts, const size_t *sizes,
                           cl_uint count, const char *options)
{
    const lb_device_info *info = &context->device.info;
    const char *words[] = {options, info->name, info->vendor, info->driver, lb_version_string()};
    lb_piece pieces[LB_OPENCL_SOURCES + sizeof words / sizeof *words];
    size_t used = 0;
    for (cl_uint i = 0; i < count; i++)
        pieces[used++] = (lb_piece){texts[i], sizes[i]};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        pieces[used++] = (lb_piece){words[i], strlen(words[i]) + 1};
    return lb_hash128_of(pieces, used);
}

static bool same(lb_hash128 a, lb_hash128 b)
{
    return a.high == b.high && a.low == b.low;
}

/* ---- The cache on disk --------------------------------------------------------------------------
 */

#define CACHE_MAGIC 0x3143424Cu /* "LBC1" */

typedef struct cache_header {
    uint32_t magic, reserved;
    uint64_t bytes; /* of the binary that follows */
    uint64_t checksum;
    lb_hash128 key;
} cache_header;

static bool cache_path(const lb_context *context, lb_hash128 key, char *path, size_t capacity)
{
    if (!context->cache_dir[0])
        return false;
    int n = snprintf(path, capacity, "%s/%016llx%016llx.clbin", context->cache_dir,
                     (unsigned long long)key.high, (unsigned long long)key.low);
    return n > 0 && (size_t)n < capacity;
}

/* The binary of a key; NULL if there is none that checks out. */
static unsigned char *cache_read(const lb_context *context, lb_hash128 key, size_t *bytes)
{
    char path[640];
    cache_header header;
    struct stat file_info;
    unsigned char *binary = NULL;
    if (!cache_path(context, key, path, sizeof path))
        return NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    if (fstat(fileno(file), &file_info) == 0 && fread(&header, sizeof header, 1, file) == 1 &&
        header.magic == CACHE_MAGIC && same(header.key, key) && header.bytes > 0 &&
        header.bytes == (uint64_t)file_info.st_size - sizeof header)
        binary = malloc((size_t)header.bytes);
    if (binary && (fread(binary, (size_t)header.bytes, 1, file) != 1 ||
                   lb_hash64(binary, (size_t)header.bytes) != header.checksum)) {
        free(binary);
        binary = NULL;
    }
    fclose(file);
    if (binary)
        *bytes = (size_t)header.bytes;
    return binary;
}

static bool make_directories(const char *path)
{
    char part[512];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return mkdir(part, 0777) == 0 || errno == EEXIST;
}

static void cache_write(const lb_context *context, lb_hash128 key, const void *binary, size_t bytes)
{
    char path[640], temporary[680];
    if (!cache_path(context, key, path, sizeof path) || !make_directories(context->cache_dir))
        return;
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    int fd = mkstemp(temporary);
    if (fd < 0)
        return;
    cache_header header = {
        .magic = CACHE_MAGIC, .bytes = bytes, .checksum = lb_hash64(binary, bytes), .key = key};
    FILE *file = fdopen(fd, "wb");
    bool written = file && fwrite(&header, sizeof header, 1, file) == 1 &&
                   fwrite(binary, bytes, 1, file) == 1 && fflush(file) == 0 && fsync(fd) == 0;
    if (file)
        fclose(file);
    else
        close(fd);
    if (!written || rename(temporary, path) != 0)
        unlink(temporary);
}

/* ---- Building -----------------------------------------------------------------------------------
 */

static lb_status build(lb_opencl_context *o, cl_program program, const char *options)
{
    cl_int error = o->cl->clBuildProgram(program, 1, &o->device, options, NULL, NULL);
    if (error == CL_SUCCESS)
        return LB_OK;
    char log[3072] = "";
    size_t bytes = 0;
    o->cl->clGetProgramBuildInfo(program, o->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes);
    char *all = malloc(bytes + 1);
    if (all && o->cl->clGetProgramBuildInfo(program, o->device, CL_PROGRAM_BUILD_LOG, bytes, all,
                                            NULL) == CL_SUCCESS) {
        all[bytes] = 0;
        snprintf(log, sizeof log, "%s", all); /* the first errors say most */
    }
    free(all);
    return lb_fail(error == CL_OUT_OF_HOST_MEMORY ? LB_OUT_OF_MEMORY : LB_DRIVER,
                   "OpenCL: clBuildProgram with '%s' failed with %s (%d); build log: %s", options,
                   lb_opencl_error_name(error), error, log);
}

static bool from_cache(lb_context *context, lb_hash128 key, const char *options,
                       cl_program *program)
{
    lb_opencl_context *o = lb_opencl_of(context);
    size_t bytes;
    unsigned char *binary = cache_read(context, key, &bytes);
    if (!binary)
        return false;
    cl_int status = CL_SUCCESS, error = CL_SUCCESS;
    const unsigned char *constant = binary;
    cl_program made = o->cl->clCreateProgramWithBinary(o->context, 1, &o->device, &bytes, &constant,
                                                       &status, &error);
    free(binary);
    if (!made || error != CL_SUCCESS || status != CL_SUCCESS || build(o, made, options) != LB_OK) {
        if (made)
            o->cl->clReleaseProgram(made);
        return false;
    }
    *program = made;
    return true;
}

/* A context of several devices has several binaries; ours has one, an adopted one may have more. */
static void to_cache(lb_context *context, lb_hash128 key, cl_program program)
{
    lb_opencl_context *o = lb_opencl_of(context);
    cl_uint devices = 0;
    size_t bytes = 0;
    if (!context->cache_dir[0] ||
        o->cl->clGetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof devices, &devices, NULL) ||
        devices != 1 ||
        o->cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) ||
        bytes == 0)
        return;
    unsigned char *binary = malloc(bytes);
    if (binary && o->cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary,
                                          NULL) == CL_SUCCESS)
        cache_write(context, key, binary, bytes);
    free(binary);
}

static lb_status from_source(lb_context *context, const char **texts, const size_t *sizes,
                             cl_uint count, const char *options, cl_program *program)
{
    lb_opencl_context *o = lb_opencl_of(context);
    cl_int error;
    cl_program made = o->cl->clCreateProgramWithSource(o->context, count, texts, sizes, &error);
    LB_CL_TRY(error, "clCreateProgramWithSource");
    lb_status status = build(o, made, options);
    if (status != LB_OK) {
        o->cl->clReleaseProgram(made);
        return status;
    }
    *program = made;
    return LB_OK;
}

/* ---- The table ----------------------------------------------------------------------------------
 */

static lb_status get_locked(lb_context *context, const char *const *sources, const char *options,
                            cl_program *program)
{
    lb_opencl_context *o = lb_opencl_of(context);
    const char *texts[LB_OPENCL_SOURCES];
    size_t sizes[LB_OPENCL_SOURCES];
    cl_uint count;
    LB_TRY(gather(sources, texts, sizes, &count));
    lb_hash128 key = make_key(context, texts, sizes, count, options);
    for (lb_opencl_program *p = o->programs; p; p = p->next)
        if (same(p->key, key)) {
            *program = p->program;
            return LB_OK;
        }
    lb_opencl_program *entry = calloc(1, sizeof *entry);
    if (!entry)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a program entry");
    if (!from_cache(context, key, options, &entry->program)) {
        lb_status status = from_source(context, texts, sizes, count, options, &entry->program);
        if (status != LB_OK) {
            free(entry);
            return status;
        }
        to_cache(context, key, entry->program);
    }
    entry->key = key;
    entry->next = o->programs;
    o->programs = entry;
    *program = entry->program;
    return LB_OK;
}

lb_status lb_opencl_program_get(lb_context *context, const char *const *sources,
                                const char *options, cl_program *program)
{
    lb_opencl_context *o = lb_opencl_of(context);
    pthread_mutex_lock(&o->lock);
    lb_status status = get_locked(context, sources, options, program);
    pthread_mutex_unlock(&o->lock);
    return status;
}

void lb_opencl_programs_release(lb_opencl_context *o)
{
    while (o->programs) {
        lb_opencl_program *entry = o->programs;
        o->programs = entry->next;
        o->cl->clReleaseProgram(entry->program);
        free(entry);
    }
}
