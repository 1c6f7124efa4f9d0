/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing .lbw files: all sizes are known before the first byte, so the file is laid out first and
 * filled through a mapping. Memory is a row or two, whatever the size of a tensor. The file appears
 * under its name when it is complete and on the disk, or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "hash.h"
#include "lbw.h"
#include "status.h"

typedef struct writer {
    lb_file_item *item;
    size_t count;
    lb_stored *to; /* [count] */
    lbw_header header;
    lbw_tensor *tensor; /* [header.tensors] */
    lbw_pack *pack;     /* [header.packs] */
    char *names;
    char path[4096]; /* under which it is made */
    uint8_t *map;
} writer;

/* ---- Layout ---------------------------------------------------------------------------------- */

static uint64_t place(uint64_t *at, uint64_t bytes)
{
    uint64_t offset = (*at + LBW_ALIGN - 1) / LBW_ALIGN * LBW_ALIGN;
    *at = offset + bytes;
    return offset;
}

static lb_status named(const lb_file_item *item, lb_status status)
{
    char why[400];
    if (status == LB_OK)
        return LB_OK;
    snprintf(why, sizeof why, "%s", lb_last_error());
    return lb_fail(status, "tensor %s: %s", item->name, why);
}

static lb_status describe(lb_file_item *item, lb_stored *to)
{
    lb_matrix m;
    LB_TRY(lb_matrix_open(item->from, false, &m));
    bool dense = m.format->flags & LB_FORMAT_DENSE;
    *to = (lb_stored)LB_STORED_INIT;
    to->format = item->format ? item->format : dense ? m.format->name : "canon";
    return lb_stored_like(item->from, item->lossy, to);
}

static lb_status count(writer *w)
{
    w->header = (lbw_header){.magic = LBW_MAGIC, .version = LBW_VERSION, .tensors = w->count};
    for (size_t i = 0; i < w->count; i++) {
        const lb_file_item *item = &w->item[i];
        LB_CHECK_STRUCT(item, lb_file_item);
        if (!item->name || !item->from || item->plan_count < 0)
            return lb_fail(LB_INVALID_ARGUMENT, "lb_file_write: item %zu: %s", i,
                           !item->name   ? "name is NULL"
                           : !item->from ? "from is NULL"
                                         : "plan_count is negative");
        w->header.packs += (uint64_t)item->plan_count;
        w->header.names += strlen(item->name) + 1;
    }
    w->to = calloc(w->count + 1, sizeof *w->to);
    w->tensor = calloc(w->count + 1, sizeof *w->tensor);
    w->pack = calloc((size_t)w->header.packs + 1, sizeof *w->pack);
    w->names = malloc((size_t)w->header.names + 1);
    return w->to && w->tensor && w->pack && w->names
               ? LB_OK
               : lb_fail(LB_OUT_OF_MEMORY, "lb_file_write: no memory for a table of %zu tensors",
                         w->count);
}

static lb_status lay_out_packs(const writer *w, size_t i, uint64_t *at, lbw_pack **pack)
{
    for (int32_t t = 0; t < w->item[i].plan_count; t++) {
        lb_plan_info info = LB_PLAN_INFO_INIT;
        LB_TRY(lb_plan_get_info(w->item[i].plans[t], &info));
        lbw_pack *p = (*pack)++;
        *p = (lbw_pack){.tensor = i, .bytes = info.weights_bytes, .term = t};
        p->offset = place(at, p->bytes);
        strncpy(p->layout, info.layout, sizeof p->layout - 1);
    }
    return LB_OK;
}

static lb_status lay_out(writer *w)
{
    uint64_t name = 0, at = lbw_table_bytes(&w->header);
    lbw_pack *pack = w->pack;
    for (size_t i = 0; i < w->count; i++) {
        lb_stored *s = &w->to[i];
        LB_TRY(named(&w->item[i], describe(&w->item[i], s)));
        lbw_tensor *t = &w->tensor[i];
        *t = (lbw_tensor){.name = name,
                          .n = s->n,
                          .k = s->k,
                          .group = s->group,
                          .bits = s->bits,
                          .levels = s->levels,
                          .zero = s->zero,
                          .super = s->super,
                          .divisor = s->divisor};
        strncpy(t->format, s->format, sizeof t->format - 1);
        strcpy(w->names + name, w->item[i].name);
        name += strlen(w->item[i].name) + 1;
        for (int p = 0; p < LB_PART_COUNT; p++) {
            t->part[p].type = s->part[p].type;
            t->part[p].bytes = s->part[p].bytes;
            if (s->part[p].bytes)
                t->part[p].offset = place(&at, s->part[p].bytes);
        }
        LB_TRY(named(&w->item[i], lay_out_packs(w, i, &at, &pack)));
    }
    w->header.bytes = at;
    return LB_OK;
}

/* ---- The file -------------------------------------------------------------------------------- */

static lb_status create(writer *w, const char *path, int *fd)
{
    if (snprintf(w->path, sizeof w->path, "%s.XXXXXX", path) >= (int)sizeof w->path)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_file_write: the path has more than 4088 bytes");
    *fd = mkstemp(w->path);
    if (*fd < 0) {
        w->path[0] = 0;
        return lb_fail(LB_INVALID_ARGUMENT, "cannot create %s: %s", path, strerror(errno));
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(*fd, 0666 & ~mask);
    /* Without the room now, a full disk would be a signal later. */
    int error = posix_fallocate(*fd, 0, (off_t)w->header.bytes);
    if (error)
        return lb_fail(LB_OUT_OF_MEMORY, "cannot write %" PRIu64 " bytes to %s: %s",
                       w->header.bytes, path, strerror(error));
    void *map = mmap(NULL, (size_t)w->header.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (map == MAP_FAILED)
        return lb_fail(LB_OUT_OF_MEMORY, "cannot map %s: %s", path, strerror(errno));
    w->map = map;
    return LB_OK;
}

static lb_status fill(writer *w, size_t i, const lbw_pack **pack)
{
    lb_file_item *item = &w->item[i];
    lb_stored *s = &w->to[i];
    lbw_tensor *t = &w->tensor[i];
    for (int p = 0; p < LB_PART_COUNT; p++)
        s->part[p].data = s->part[p].bytes ? w->map + t->part[p].offset : NULL;
    item->report = (lb_repack_report)LB_REPACK_REPORT_INIT;
    LB_TRY(lb_repack(item->from, s, item->lossy, &item->report));
    for (int p = 0; p < LB_PART_COUNT; p++)
        if (s->part[p].bytes)
            t->part[p].checksum = lb_hash64(s->part[p].data, (size_t)s->part[p].bytes);
    for (int32_t term = 0; term < item->plan_count; term++, (*pack)++)
        LB_TRY(lb_weights_pack_stored(item->plans[term], s, term, w->map + (*pack)->offset,
                                      (size_t)(*pack)->bytes));
    return LB_OK;
}

static lb_status fill_all(writer *w, lb_progress_fn *progress, void *user)
{
    uint64_t done = 0, total = 0;
    const lbw_pack *pack = w->pack;
    for (size_t i = 0; i < w->count; i++)
        for (int p = 0; p < LB_PART_COUNT; p++)
            total += w->to[i].part[p].bytes;
    for (size_t i = 0; i < w->count; i++) {
        if (progress && progress(user, done, total, w->item[i].name))
            return lb_fail(LB_INVALID_ARGUMENT, "stopped at tensor %s", w->item[i].name);
        LB_TRY(named(&w->item[i], fill(w, i, &pack)));
        for (int p = 0; p < LB_PART_COUNT; p++)
            done += w->to[i].part[p].bytes;
    }
    if (progress)
        progress(user, total, total, "");
    return LB_OK;
}

static void fill_table(writer *w)
{
    size_t tensors = w->count * sizeof *w->tensor,
           packs = (size_t)w->header.packs * sizeof *w->pack;
    uint8_t *at = w->map + sizeof w->header;
    memcpy(at, w->tensor, tensors);
    memcpy(at += tensors, w->pack, packs);
    memcpy(at + packs, w->names, (size_t)w->header.names);
    memcpy(w->map, &w->header, sizeof w->header);
    uint64_t from = offsetof(lbw_header, version);
    w->header.checksum = lb_hash64(w->map + from, (size_t)(lbw_table_bytes(&w->header) - from));
    memcpy(w->map, &w->header, sizeof w->header);
}

/* The name too has to reach the disk. */
static lb_status publish(writer *w, const char *path, int fd)
{
    if (msync(w->map, (size_t)w->header.bytes, MS_SYNC) != 0 || fsync(fd) != 0 ||
        rename(w->path, path) != 0)
        return lb_fail(LB_OUT_OF_MEMORY, "cannot write %s: %s", path, strerror(errno));
    snprintf(w->path, sizeof w->path, "%s", path);
    int folder = open(dirname(w->path), O_RDONLY | O_CLOEXEC);
    w->path[0] = 0;
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
    return LB_OK;
}

lb_status lb_file_write(const char *path, lb_file_item *items, size_t item_count,
                        lb_progress_fn *progress, void *user)
{
    writer w = {.item = items, .count = item_count};
    int fd = -1;
    if (!path || (!items && item_count))
        return lb_fail(LB_INVALID_ARGUMENT, "lb_file_write: %s is NULL", path ? "items" : "path");
    lb_status status = count(&w);
    if (status == LB_OK)
        status = lay_out(&w);
    if (status == LB_OK)
        status = create(&w, path, &fd);
    if (status == LB_OK)
        status = fill_all(&w, progress, user);
    if (status == LB_OK) {
        fill_table(&w);
        status = publish(&w, path, fd);
    }
    if (w.map)
        munmap(w.map, (size_t)w.header.bytes);
    if (fd >= 0)
        close(fd);
    if (w.path[0])
        unlink(w.path);
    free(w.to);
    free(w.tensor);
    free(w.pack);
    free(w.names);
    return status;
}
