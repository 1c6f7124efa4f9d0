/* SPDX-License-Identifier: Apache-2.0 */
/* Opening checkpoint files, and putting the tensors together that make one matrix. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "status.h"

/* ---- Opening --------------------------------------------------------------------------------- */

lb_status lb_file_parse(const void *data, uint64_t bytes, lb_file **out)
{
    lb_file *file = calloc(1, sizeof *file);
    if (!file)
        return lb_fail(LB_OUT_OF_MEMORY, "lb_file_open: no memory");
    memcpy(&file->data, &data, sizeof data); /* lb_part has no const */
    file->bytes = bytes;
    lb_status status;
    if (bytes >= 8 && memcmp(data, "GGUF", 4) == 0) {
        file->kind = "gguf";
        status = lb_gguf_parse(file);
    } else if (bytes >= 9 && ((const char *)data)[8] == '{') {
        file->kind = "safetensors";
        status = lb_safetensors_parse(file);
    } else {
        status = lb_fail(LB_BAD_DATA,
                         "%" PRIu64 " bytes that begin neither with \"GGUF\" nor with a "
                         "length and '{' (safetensors)",
                         bytes);
    }
    if (status != LB_OK)
        lb_file_close(file);
    else
        *out = file;
    return status;
}

lb_status lb_file_open(const char *path, lb_file **file)
{
    struct stat info;
    if (!path || !file)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_file_open: %s is NULL", path ? "file" : "path");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        lb_status status = lb_fail(LB_INVALID_ARGUMENT, "cannot open %s: %s", path,
                                   fd < 0 ? strerror(errno) : "no regular file");
        if (fd >= 0)
            close(fd);
        return status;
    }
    size_t bytes = (size_t)info.st_size;
    void *data = bytes ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (data == MAP_FAILED)
        return lb_fail(LB_OUT_OF_MEMORY, "cannot map %s: %s", path, strerror(errno));
    lb_status status = lb_file_parse(data, bytes, file);
    if (status == LB_OK)
        (*file)->mapped = 1;
    else if (bytes)
        munmap(data, bytes);
    return status;
}

void lb_file_close(lb_file *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->count; i++)
        free(file->tensor[i].name);
    free(file->tensor);
    if (file->mapped)
        munmap(file->data, (size_t)file->bytes);
    free(file);
}

/* ---- Looking at tensors ---------------------------------------------------------------------- */

size_t lb_file_count(const lb_file *file)
{
    return file ? file->count : 0;
}

const char *lb_file_kind(const lb_file *file)
{
    return file ? file->kind : "";
}

lb_status lb_file_get_tensor(const lb_file *file, size_t index, lb_tensor_info *info)
{
    LB_CHECK_STRUCT(info, lb_tensor_info);
    if (!file || index >= file->count)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_file_get_tensor: index %zu; there are %zu tensors",
                       index, lb_file_count(file));
    const lb_file_tensor *t = &file->tensor[index];
    *info = (lb_tensor_info){.struct_size = sizeof *info,
                             .rank = t->rank,
                             .name = t->name,
                             .type = t->type,
                             .format = t->format,
                             .data = file->data + t->offset,
                             .offset = t->offset,
                             .bytes = t->bytes};
    memcpy(info->shape, t->shape, sizeof info->shape);
    return LB_OK;
}

const lb_file_tensor *lb_file_lookup(const lb_file *file, const char *prefix, const char *suffix)
{
    size_t length = strlen(prefix);
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensor[i].name;
        if (strncmp(name, prefix, length) == 0 && strcmp(name + length, suffix) == 0)
            return &file->tensor[i];
    }
    return NULL;
}

/* ---- Matrices -------------------------------------------------------------------------------- */

static void set_part(const lb_file *file, const lb_file_tensor *t, lb_part_id part, lb_stored *s)
{
    if (!t)
        return;
    s->part[part].data = file->data + t->offset;
    s->part[part].bytes = t->bytes;
    s->part[part].type = t->format ? lb_type_parse(t->format, strlen(t->format)) : 0;
}

static int64_t dim(const lb_file_tensor *t, int i)
{
    return t && i < t->rank ? t->shape[i] : 1;
}

/* All of a tensor's outer dimensions as one. */
static lb_status one_tensor(const lb_file *file, const lb_file_tensor *t, const char *format,
                            lb_stored *s)
{
    s->format = format ? format : t->format;
    if (!s->format)
        return lb_fail(LB_UNSUPPORTED, "tensor %s: no format reads %s by itself", t->name, t->type);
    s->n = 1;
    for (int i = 0; i < t->rank - 1; i++)
        if (__builtin_mul_overflow(s->n, t->shape[i], &s->n))
            return lb_fail(LB_BAD_DATA, "tensor %s: its dimensions overflow", t->name);
    s->k = t->rank ? t->shape[t->rank - 1] : 1;
    set_part(file, t, LB_PART_CODES, s);
    s->part[LB_PART_CODES].type = 0;
    return LB_OK;
}

/* .qweight, .qzeros, .scales, .g_idx: GPTQ packs K, AWQ packs N. */
static lb_status gptq_or_awq(const lb_file *file, const char *name, const char *format,
                             lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".qweight"),
                         *scales = lb_file_lookup(file, name, ".scales"),
                         *zeros = lb_file_lookup(file, name, ".qzeros"),
                         *order = lb_file_lookup(file, name, ".g_idx");
    if (!scales || !zeros || dim(scales, 0) < 1)
        return lb_fail(LB_BAD_DATA, "tensor %s.qweight comes without .scales or .qzeros", name);
    int64_t columns = dim(codes, 1);
    s->n = dim(scales, 1);
    bool awq = columns != s->n;
    s->format = format ? format : awq ? "awq" : "gptq";
    s->k = dim(codes, 0);
    if (!awq) {
        int64_t bits = s->n ? 32 * dim(zeros, 1) / s->n : 0;
        s->bits = bits == 3 ? 0 : (int32_t)bits;
        if (!format && bits == 3)
            s->format = "gptq3";
        if (bits < 1 || bits > 8)
            return lb_fail(LB_BAD_DATA, "tensor %s.qzeros: %" PRId64 " words for n %" PRId64, name,
                           dim(zeros, 1), s->n);
        s->k = s->k * 32 / bits;
    }
    s->group = dim(scales, 0) > 1 ? (s->k + dim(scales, 0) - 1) / dim(scales, 0) : 0;
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    set_part(file, zeros, LB_PART_ZEROS, s);
    if (!awq)
        set_part(file, order, LB_PART_ORDER, s);
    return LB_OK;
}

static lb_status pack_quantized(const lb_file *file, const char *name, lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".weight_packed"),
                         *scales = lb_file_lookup(file, name, ".weight_scale"),
                         *shape = lb_file_lookup(file, name, ".weight_shape");
    int64_t sizes[2];
    if (!scales || !shape || shape->bytes != sizeof sizes)
        return lb_fail(LB_BAD_DATA,
                       "tensor %s.weight_packed comes without .weight_scale or .weight_shape (two "
                       "int64)",
                       name);
    memcpy(sizes, file->data + shape->offset, sizeof sizes);
    if (sizes[0] < 1 || sizes[1] < 1 || sizes[1] > INT32_MAX || dim(scales, 1) < 1)
        return lb_fail(LB_BAD_DATA,
                       "tensor %s.weight_shape (offset %" PRIu64 ") is %" PRId64 " x %" PRId64,
                       name, shape->offset, sizes[0], sizes[1]);
    s->format = "ct";
    s->n = sizes[0];
    s->k = sizes[1];
    s->bits = (int32_t)(dim(codes, 1) * 32 / s->k);
    s->group = dim(scales, 0) == 1 && s->n > 1 ? -1
               : dim(scales, 1) > 1            ? (s->k + dim(scales, 1) - 1) / dim(scales, 1)
                                               : 0;
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    set_part(file, lb_file_lookup(file, name, ".weight_zero_point"), LB_PART_ZEROS, s);
    set_part(file, lb_file_lookup(file, name, ".weight_g_idx"), LB_PART_ORDER, s);
    return LB_OK;
}

/* int8 with .weight_scale, or BitNet's packed quarters. */
static lb_status with_scale(const lb_file *file, const char *name, const char *format, lb_stored *s)
{
    const lb_file_tensor *codes = lb_file_lookup(file, name, ".weight"),
                         *scales = lb_file_lookup(file, name, ".weight_scale");
    bool packed = strcmp(codes->type, "U8") == 0;
    if (!packed && strcmp(codes->type, "I8") != 0)
        return lb_fail(LB_UNSUPPORTED, "tensor %s.weight: no format reads %s with a weight_scale",
                       name, codes->type);
    s->format = format ? format : packed ? "hf_bitnet" : "ct_int8";
    s->n = dim(codes, 0) * (packed ? 4 : 1);
    s->k = dim(codes, 1);
    s->group = scales->bytes <= 4 && s->n > 1 ? -1
               : dim(scales, 1) > 1           ? (s->k + dim(scales, 1) - 1) / dim(scales, 1)
                                              : 0;
    set_part(file, codes, LB_PART_CODES, s);
    set_part(file, scales, LB_PART_SCALES, s);
    return LB_OK;
}

lb_status lb_file_find(const lb_file *file, const char *name, const char *format, lb_stored *stored)
{
    LB_CHECK_STRUCT(stored, lb_stored);
    if (!file || !name)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_file_find: %s is NULL", file ? "name" : "file");
    lb_stored s = LB_STORED_INIT;
    const lb_file_tensor *t = lb_file_lookup(file, name, "");
    if (t)
        LB_TRY(one_tensor(file, t, format, &s));
    else if (lb_file_lookup(file, name, ".qweight"))
        LB_TRY(gptq_or_awq(file, name, format, &s));
    else if (lb_file_lookup(file, name, ".weight_packed"))
        LB_TRY(pack_quantized(file, name, &s));
    else if (lb_file_lookup(file, name, ".weight") && lb_file_lookup(file, name, ".weight_scale"))
        LB_TRY(with_scale(file, name, format, &s));
    else if ((t = lb_file_lookup(file, name, ".weight")))
        LB_TRY(one_tensor(file, t, format, &s));
    else
        return lb_fail(LB_INVALID_ARGUMENT,
                       "the file has no tensor %s (nor %s.weight, .qweight, "
                       ".weight_packed)",
                       name, name);
    lb_matrix checked;
    if (lb_matrix_open(&s, false, &checked) != LB_OK) {
        char why[400];
        snprintf(why, sizeof why, "%s", lb_last_error());
        return lb_fail(LB_BAD_DATA, "tensor %s: %s", name, why);
    }
    *stored = s;
    return LB_OK;
}
