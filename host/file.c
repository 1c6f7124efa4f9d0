/* SPDX-License-Identifier: Apache-2.0 */
/* Opening checkpoint files, and looking at their tensors. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lbw.h"
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
    } else if (bytes >= 8 && memcmp(data, LBW_MAGIC, 8) == 0) {
        file->kind = "lbw";
        status = lb_lbw_parse(file);
    } else if (bytes >= 9 && ((const char *)data)[8] == '{') {
        file->kind = "safetensors";
        status = lb_safetensors_parse(file);
    } else {
        status = lb_fail(LB_BAD_DATA,
                         "%" PRIu64 " bytes that begin neither with \"GGUF\" nor with \"lowbit\" "
                         "(.lbw) nor with a length and '{' (safetensors)",
                         bytes);
    }
    if (status == LB_OK)
        status = lb_file_list(file);
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
    for (size_t i = 0; i < file->count; i++) {
        free(file->tensor[i].name);
        free(file->tensor[i].state);
    }
    free(file->tensor);
    for (size_t i = 0; i < file->matrices; i++)
        free(file->matrix[i]);
    free(file->matrix);
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

lb_status lb_file_get_matrix(const lb_file *file, size_t index, const char **name)
{
    if (!file || !name || index >= file->matrices)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_file_get_matrix: index %zu; there are %zu matrices",
                       index, file ? file->matrices : 0);
    *name = file->matrix[index];
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
