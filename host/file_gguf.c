/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GGUF (ggml's include/gguf.h), versions 2 and 3: "GGUF", u32 version, i64 tensors, i64 key-value
 * pairs; the pairs; per tensor a name, its dimensions (innermost first), type and offset; then the
 * data, aligned to general.alignment (32).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "format.h"
#include "status.h"

#define MOST_ELEMENTS (INT64_C(1) << 48)

typedef struct cursor {
    const uint8_t *data;
    uint64_t at, end;
} cursor;

#define BAD(...) return lb_fail(LB_BAD_DATA, "GGUF: " __VA_ARGS__)

static lb_status take(cursor *c, void *to, uint64_t bytes, const char *field)
{
    if (bytes > c->end - c->at)
        BAD("%s at offset %" PRIu64 " needs %" PRIu64 " bytes, the file has %" PRIu64
            " more; it is truncated",
            field, c->at, bytes, c->end - c->at);
    if (to)
        memcpy(to, c->data + c->at, (size_t)bytes);
    c->at += bytes;
    return LB_OK;
}

/* A string: u64 length, bytes. */
static lb_status take_text(cursor *c, const char **text, uint64_t *length, const char *field)
{
    LB_TRY(take(c, length, 8, field));
    *text = (const char *)c->data + c->at;
    return take(c, NULL, *length, field);
}

/* ---- Key-value pairs ------------------------------------------------------------------------- */

enum { KV_STRING = 8, KV_ARRAY = 9, KV_TYPES = 13 };

static lb_status skip_value(cursor *c, uint32_t type)
{
    static const uint8_t sizes[KV_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    const char *text = NULL;
    uint64_t length = 0, count = 0;
    if (type >= KV_TYPES)
        BAD("value before offset %" PRIu64 " has the type %u; 0 to 12 exist", c->at, type);
    if (type == KV_STRING)
        return take_text(c, &text, &length, "string value");
    if (type != KV_ARRAY)
        return take(c, NULL, sizes[type], "value");
    LB_TRY(take(c, &type, 4, "array type"));
    LB_TRY(take(c, &count, 8, "array length"));
    if (type >= KV_TYPES || type == KV_ARRAY)
        BAD("array before offset %" PRIu64 " has elements of type %u", c->at, type);
    if (type != KV_STRING) {
        if (count > (c->end - c->at) / sizes[type])
            BAD("array at offset %" PRIu64 " has %" PRIu64 " elements, more than the file holds",
                c->at, count);
        return take(c, NULL, count * sizes[type], "array");
    }
    for (uint64_t i = 0; i < count; i++)
        LB_TRY(take_text(c, &text, &length, "string in an array"));
    return LB_OK;
}

static lb_status read_pairs(cursor *c, uint64_t count, uint64_t *alignment)
{
    static const char key_alignment[] = "general.alignment";
    for (uint64_t i = 0; i < count; i++) {
        const char *key = NULL;
        uint64_t length = 0;
        uint32_t type = 0, value = 0;
        LB_TRY(take_text(c, &key, &length, "key"));
        LB_TRY(take(c, &type, 4, "type of a value"));
        if (length != sizeof key_alignment - 1 || memcmp(key, key_alignment, length) != 0 ||
            type != 4) {
            LB_TRY(skip_value(c, type));
            continue;
        }
        LB_TRY(take(c, &value, 4, "general.alignment"));
        if (value == 0 || value > 1u << 20 || (value & (value - 1)))
            BAD("general.alignment is %u; a power of two up to 2^20 is expected", value);
        *alignment = value;
    }
    return LB_OK;
}

/* ---- Tensors --------------------------------------------------------------------------------- */

/* ggml's types: the format that reads them, and the size of a block. */
static const struct gguf_type {
    uint32_t id;
    const char *name, *format;
    uint32_t block, bytes;
} types[] = {
    {0, "F32", "f32", 1, 4},          {1, "F16", "f16", 1, 2},
    {2, "Q4_0", "q4_0", 32, 18},      {3, "Q4_1", "q4_1", 32, 20},
    {6, "Q5_0", "q5_0", 32, 22},      {7, "Q5_1", "q5_1", 32, 24},
    {8, "Q8_0", "q8_0", 32, 34},      {9, "Q8_1", NULL, 32, 36},
    {10, "Q2_K", "q2_k", 256, 84},    {11, "Q3_K", "q3_k", 256, 110},
    {12, "Q4_K", "q4_k", 256, 144},   {13, "Q5_K", "q5_k", 256, 176},
    {14, "Q6_K", "q6_k", 256, 210},   {15, "Q8_K", NULL, 256, 292},
    {16, "IQ2_XXS", NULL, 256, 66},   {17, "IQ2_XS", NULL, 256, 74},
    {18, "IQ3_XXS", NULL, 256, 98},   {19, "IQ1_S", NULL, 256, 50},
    {20, "IQ4_NL", "iq4_nl", 32, 18}, {21, "IQ3_S", NULL, 256, 110},
    {22, "IQ2_S", NULL, 256, 82},     {23, "IQ4_XS", "iq4_xs", 256, 136},
    {24, "I8", NULL, 1, 1},           {25, "I16", NULL, 1, 2},
    {26, "I32", NULL, 1, 4},          {27, "I64", NULL, 1, 8},
    {28, "F64", NULL, 1, 8},          {29, "IQ1_M", NULL, 256, 56},
    {30, "BF16", "bf16", 1, 2},       {34, "TQ1_0", "tq1_0", 256, 54},
    {35, "TQ2_0", "tq2_0", 256, 66},  {36, "I2_S", "i2_s", 4, 1},
    {39, "MXFP4", "mxfp4", 32, 17},   {41, "Q1_0", "q1_0", 128, 18},
    {42, "Q2_0", "q2_0", 64, 18},
};

static lb_status read_tensor(cursor *c, lb_file_tensor *t)
{
    const char *name = NULL;
    uint64_t length = 0, elements = 1;
    uint32_t rank = 0, type = 0;
    int64_t dims[LB_FILE_RANK] = {0};
    LB_TRY(take_text(c, &name, &length, "tensor name"));
    if (length > 65535 || memchr(name, 0, length))
        BAD("tensor name before offset %" PRIu64 " has %" PRIu64 " bytes or a 0 inside", c->at,
            length);
    t->name = malloc((size_t)length + 1);
    if (!t->name)
        return lb_fail(LB_OUT_OF_MEMORY, "GGUF: no memory for a name");
    memcpy(t->name, name, length);
    t->name[length] = 0;
    LB_TRY(take(c, &rank, 4, "number of dimensions"));
    if (rank > LB_FILE_RANK)
        BAD("tensor %s has %u dimensions (offset %" PRIu64 "); at most 4 exist", t->name, rank,
            c->at - 4);
    LB_TRY(take(c, dims, 8 * (uint64_t)rank, "dimensions"));
    LB_TRY(take(c, &type, 4, "tensor type"));
    LB_TRY(take(c, &t->offset, 8, "tensor offset"));
    t->rank = (int32_t)rank;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] < 0 || (dims[i] && elements > (uint64_t)(MOST_ELEMENTS / dims[i])))
            BAD("tensor %s: dimension %u is %" PRId64 " (before offset %" PRIu64
                "); at most 2^48 elements are read",
                t->name, i, dims[i], c->at);
        elements *= (uint64_t)dims[i];
        t->shape[rank - 1 - i] = dims[i];
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].id == type) {
            if (dims[0] % types[i].block)
                BAD("tensor %s: dimension 0 is %" PRId64 ", no multiple of %s's block of %u",
                    t->name, dims[0], types[i].name, types[i].block);
            t->type = types[i].name;
            t->format = types[i].format;
            t->bytes = elements / types[i].block * types[i].bytes + (type == 36 ? 32 : 0);
            return LB_OK;
        }
    t->type = "unknown";
    return LB_OK;
}

lb_status lb_gguf_parse(lb_file *file)
{
    cursor c = {file->data, 4, file->bytes};
    uint32_t version = 0;
    uint64_t tensors = 0, pairs = 0, alignment = 32;
    LB_TRY(take(&c, &version, 4, "version"));
    if (version != 2 && version != 3)
        BAD("version is %u; 2 and 3 are read", version);
    LB_TRY(take(&c, &tensors, 8, "number of tensors"));
    LB_TRY(take(&c, &pairs, 8, "number of pairs"));
    if (tensors > (c.end - c.at) / 24 || pairs > (c.end - c.at) / 12)
        BAD("%" PRIu64 " tensors and %" PRIu64 " pairs (offset 8) do not fit into %" PRIu64
            " bytes",
            tensors, pairs, c.end);
    LB_TRY(read_pairs(&c, pairs, &alignment));
    file->tensor = calloc((size_t)tensors + 1, sizeof *file->tensor);
    if (!file->tensor)
        return lb_fail(LB_OUT_OF_MEMORY, "GGUF: no memory for %" PRIu64 " tensors", tensors);
    for (uint64_t i = 0; i < tensors; i++) {
        file->count = (size_t)i + 1; /* so that its name is freed */
        LB_TRY(read_tensor(&c, &file->tensor[i]));
    }
    uint64_t data = (c.at + alignment - 1) / alignment * alignment;
    for (uint64_t i = 0; i < tensors; i++) {
        lb_file_tensor *t = &file->tensor[i];
        if (t->offset % alignment || data > c.end || t->offset > c.end - data ||
            t->bytes > c.end - data - t->offset)
            BAD("tensor %s: offset %" PRIu64 " and %" PRIu64 " bytes of %s from %" PRIu64
                " on do not lie in the file of %" PRIu64 ", aligned to %" PRIu64,
                t->name, t->offset, t->bytes, t->type, data, c.end, alignment);
        t->offset += data;
    }
    return LB_OK;
}
