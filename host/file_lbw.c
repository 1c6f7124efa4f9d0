/* SPDX-License-Identifier: Apache-2.0 */
/* Reading .lbw files. Nothing in them is believed: their checksums find damage, not malice. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "hash.h"
#include "lbw.h"
#include "status.h"

#define BAD(...) return lb_fail(LB_BAD_DATA, "lbw: " __VA_ARGS__)

/* ---- Records, at any address ----------------------------------------------------------------- */

static lbw_header header_of(const lb_file *file)
{
    lbw_header h;
    memcpy(&h, file->data, sizeof h);
    return h;
}
static lbw_tensor tensor_at(const lb_file *file, uint64_t index)
{
    lbw_tensor t;
    memcpy(&t, file->data + sizeof(lbw_header) + index * sizeof t, sizeof t);
    return t;
}
static lbw_pack pack_at(const lb_file *file, const lbw_header *h, uint64_t index)
{
    lbw_pack p;
    memcpy(&p, file->data + sizeof *h + h->tensors * sizeof(lbw_tensor) + index * sizeof p,
           sizeof p);
    return p;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static lb_status check_header(const lb_file *file, lbw_header *h)
{
    if (file->bytes < sizeof *h)
        BAD("%" PRIu64 " bytes are less than the header of %zu; it is truncated", file->bytes,
            sizeof *h);
    *h = header_of(file);
    if (h->version != LBW_VERSION)
        BAD("version (offset 16) is %u, this library reads %u; convert the checkpoint again",
            h->version, LBW_VERSION);
    if (h->bytes != file->bytes)
        BAD("it says (offset 24) it has %" PRIu64 " bytes but there are %" PRIu64
            "; it is truncated or has a tail",
            h->bytes, file->bytes);
    uint64_t room = file->bytes;
    if (h->tensors > room / sizeof(lbw_tensor) || h->packs > room / sizeof(lbw_pack) ||
        h->names > room || lbw_table_bytes(h) > room)
        BAD("%" PRIu64 " tensors, %" PRIu64 " packs and %" PRIu64
            " bytes of names (offset 32) do not fit into %" PRIu64 " bytes",
            h->tensors, h->packs, h->names, room);
    uint64_t from = offsetof(lbw_header, version),
             sum = lb_hash64(file->data + from, (size_t)(lbw_table_bytes(h) - from));
    if (h->checksum != sum)
        BAD("the checksum of the table (offset 8) is %016" PRIx64 " but it has %016" PRIx64
            "; it is damaged",
            h->checksum, sum);
    return LB_OK;
}

static bool lies_inside(const lb_file *file, const lbw_header *h, uint64_t offset, uint64_t bytes)
{
    return offset % LBW_ALIGN == 0 && offset >= lbw_table_bytes(h) && offset <= file->bytes &&
           bytes <= file->bytes - offset;
}

static lb_status read_tensor(const lb_file *file, const lbw_header *h, uint64_t index,
                             lb_file_tensor *t)
{
    lbw_tensor r = tensor_at(file, index);
    uint64_t record = sizeof *h + index * sizeof r;
    const char *names = (const char *)file->data + lbw_table_bytes(h) - h->names;
    if (r.name >= h->names || !memchr(names + r.name, 0, (size_t)(h->names - r.name)))
        BAD("tensor %" PRIu64 " (offset %" PRIu64 "): its name does not lie in the names", index,
            record);
    t->name = strndup(names + r.name, (size_t)(h->names - r.name));
    if (!t->name)
        return lb_fail(LB_OUT_OF_MEMORY, "lbw: no memory for a name");
    const lb_format *format =
        memchr(r.format, 0, sizeof r.format) ? lb_format_find(r.format) : NULL;
    if (!format)
        BAD("tensor %s (offset %" PRIu64 "): format '%.*s' is unknown", t->name, record + 8,
            (int)sizeof r.format, r.format);
    if (r.n < 0 || r.k < 0)
        BAD("tensor %s (offset %" PRIu64 "): n %" PRId64 " k %" PRId64, t->name, record + 24, r.n,
            r.k);
    t->type = t->format = format->name;
    t->rank = 2;
    t->shape[0] = r.n;
    t->shape[1] = r.k;
    for (int i = 0; i < LB_PART_COUNT; i++) {
        if (r.part[i].bytes && !lies_inside(file, h, r.part[i].offset, r.part[i].bytes))
            BAD("tensor %s, part %d (offset %" PRIu64 "): %" PRIu64 " bytes at %" PRIu64
                " do not lie in the file of %" PRIu64 " on a multiple of 64",
                t->name, i, record + offsetof(lbw_tensor, part) + (unsigned)i * sizeof(lbw_part),
                r.part[i].bytes, r.part[i].offset, file->bytes);
        t->bytes += r.part[i].bytes;
    }
    t->offset = r.part[LB_PART_CODES].bytes ? r.part[LB_PART_CODES].offset : 0;
    return LB_OK;
}

lb_status lb_lbw_parse(lb_file *file)
{
    lbw_header h = {0};
    LB_TRY(check_header(file, &h));
    file->tensor = calloc((size_t)h.tensors + 1, sizeof *file->tensor);
    if (!file->tensor)
        return lb_fail(LB_OUT_OF_MEMORY, "lbw: no memory for %" PRIu64 " tensors", h.tensors);
    for (uint64_t i = 0; i < h.tensors; i++) {
        file->count = (size_t)i + 1; /* so that its name is freed */
        LB_TRY(read_tensor(file, &h, i, &file->tensor[i]));
    }
    for (uint64_t i = 0; i < h.packs; i++) {
        lbw_pack p = pack_at(file, &h, i);
        if (p.tensor >= h.tensors || !memchr(p.layout, 0, sizeof p.layout) ||
            !lies_inside(file, &h, p.offset, p.bytes))
            BAD("pack %" PRIu64 ": tensor %" PRIu64 ", %" PRIu64 " bytes at %" PRIu64
                "; there are %" PRIu64 " tensors in %" PRIu64 " bytes",
                i, p.tensor, p.bytes, p.offset, h.tensors, file->bytes);
    }
    return LB_OK;
}

/* ---- Looking at tensors ---------------------------------------------------------------------- */

lb_status lb_lbw_find(const lb_file *file, size_t index, lb_stored *stored)
{
    lbw_tensor r = tensor_at(file, index);
    lb_stored s = LB_STORED_INIT;
    s.format = file->tensor[index].format;
    s.n = r.n;
    s.k = r.k;
    s.group = r.group;
    s.bits = r.bits;
    s.levels = r.levels;
    s.zero = r.zero;
    s.super = r.super;
    s.divisor = r.divisor;
    for (int i = 0; i < LB_PART_COUNT; i++) {
        const lbw_part *part = &r.part[i];
        s.part[i].type = part->type;
        if (!part->bytes)
            continue;
        s.part[i].data = file->data + part->offset;
        s.part[i].bytes = part->bytes;
        uint64_t sum = lb_hash64(s.part[i].data, (size_t)part->bytes);
        if (sum != part->checksum)
            BAD("tensor %s, part %d at offset %" PRIu64 ": the checksum is %016" PRIx64
                " but the data has %016" PRIx64 "; it is damaged",
                file->tensor[index].name, i, part->offset, part->checksum, sum);
    }
    *stored = s;
    return LB_OK;
}

lb_status lb_file_find_packed(const lb_file *file, const char *name, int32_t term,
                              const char *layout, const void **blob, size_t *bytes)
{
    if (!file || !name || !layout || !blob || !bytes)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_file_find_packed: an argument is NULL");
    if (strcmp(file->kind, "lbw") != 0)
        return lb_fail(LB_INVALID_ARGUMENT,
                       "lb_file_find_packed: a %s file has no packed weights, only .lbw files do",
                       file->kind);
    lbw_header h = header_of(file);
    for (uint64_t i = 0; i < h.packs; i++) {
        lbw_pack p = pack_at(file, &h, i);
        if (p.term != term || strcmp(p.layout, layout) != 0 ||
            strcmp(file->tensor[p.tensor].name, name) != 0)
            continue;
        *blob = file->data + p.offset;
        *bytes = (size_t)p.bytes;
        return LB_OK;
    }
    return lb_fail(LB_UNSUPPORTED,
                   "the file has no weights of %s, term %d, packed as %s; lb_weights_create_stored "
                   "makes them",
                   name, term, layout);
}
