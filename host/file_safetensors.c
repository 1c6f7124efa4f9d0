/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors: u64 length of the header, the header in JSON, the data. The header is one object:
 * name -> {"dtype", "shape", "data_offsets"}, and "__metadata__". JSON by jsmn (S. Zaitsev), a
 * header without a library to link.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <jsmn.h>
#pragma GCC diagnostic pop

#include "file.h"
#include "status.h"

#define MOST_HEADER (UINT64_C(100) << 20) /* as the reference implementation */
#define BAD(...) return lb_fail(LB_BAD_DATA, "safetensors: " __VA_ARGS__)

typedef struct header {
    const char *text;
    jsmntok_t *token;
    int count;
} header;

static bool is(const header *h, int i, const char *word)
{
    size_t length = (size_t)(h->token[i].end - h->token[i].start);
    return strlen(word) == length && memcmp(h->text + h->token[i].start, word, length) == 0;
}

/* The token after i and all inside it. */
static int after(const header *h, int i)
{
    int end = h->token[i].end, j = i + 1;
    while (j < h->count && h->token[j].start < end)
        j++;
    return j;
}

/* A number of digits only. */
static bool number(const header *h, int i, uint64_t *value)
{
    const jsmntok_t *t = &h->token[i];
    *value = 0;
    if (t->type != JSMN_PRIMITIVE || t->end - t->start > 18)
        return false;
    for (int at = t->start; at < t->end; at++) {
        if (h->text[at] < '0' || h->text[at] > '9')
            return false;
        *value = 10 * *value + (uint64_t)(h->text[at] - '0');
    }
    return true;
}

static const struct dtype {
    const char *name, *format;
    uint32_t bytes;
} dtypes[] = {{"F32", "f32", 4}, {"F16", "f16", 2},    {"BF16", "bf16", 2}, {"F64", NULL, 8},
              {"I64", NULL, 8},  {"I32", NULL, 4},     {"I16", NULL, 2},    {"I8", NULL, 1},
              {"U8", NULL, 1},   {"BOOL", NULL, 1},    {"U16", NULL, 2},    {"U32", NULL, 4},
              {"U64", NULL, 8},  {"F8_E4M3", NULL, 1}, {"F8_E5M2", NULL, 1}};

static lb_status read_shape(const header *h, int value, lb_file_tensor *t, uint64_t *elements)
{
    int rank = h->token[value].size;
    *elements = 1;
    if (h->token[value].type != JSMN_ARRAY || rank > LB_FILE_RANK)
        BAD("%s: shape (offset %d) is no list of at most 4 numbers", t->name,
            h->token[value].start + 8);
    t->rank = rank;
    for (int d = 0; d < rank; d++) {
        uint64_t dim;
        if (value + 1 + d >= h->count || !number(h, value + 1 + d, &dim) ||
            (dim && *elements > (UINT64_C(1) << 48) / dim))
            BAD("%s: shape[%d] (offset %d) is no number of at most 2^48 elements in all", t->name,
                d, h->token[value].start + 8);
        t->shape[d] = (int64_t)dim;
        *elements *= dim;
    }
    return LB_OK;
}

static lb_status read_tensor(const header *h, int object, uint64_t room, lb_file_tensor *t)
{
    uint64_t elements = 0, from = 0, to = 0;
    const struct dtype *type = NULL;
    int seen = 0;
    if (h->token[object].type != JSMN_OBJECT)
        BAD("%s (offset %d) is no object", t->name, h->token[object].start + 8);
    for (int i = object + 1; i + 1 < after(h, object); i = after(h, i + 1)) {
        int value = i + 1;
        if (is(h, i, "dtype")) {
            for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
                if (is(h, value, dtypes[d].name))
                    type = &dtypes[d];
            if (!type)
                BAD("%s: dtype '%.*s' (offset %d) is unknown", t->name,
                    h->token[value].end - h->token[value].start, h->text + h->token[value].start,
                    h->token[value].start + 8);
            seen |= 1;
        } else if (is(h, i, "shape")) {
            LB_TRY(read_shape(h, value, t, &elements));
            seen |= 2;
        } else if (is(h, i, "data_offsets")) {
            if (h->token[value].type != JSMN_ARRAY || h->token[value].size != 2 ||
                value + 2 >= h->count || !number(h, value + 1, &from) ||
                !number(h, value + 2, &to) || from > to || to > room)
                BAD("%s: data_offsets (offset %d) are no two numbers within the %" PRIu64
                    " bytes of data",
                    t->name, h->token[value].start + 8, room);
            seen |= 4;
        }
    }
    if (seen != 7)
        BAD("%s (offset %d) lacks dtype, shape or data_offsets", t->name,
            h->token[object].start + 8);
    if (to - from != elements * type->bytes)
        BAD("%s: %" PRIu64 " elements of %s take %" PRIu64 " bytes, data_offsets span %" PRIu64,
            t->name, elements, type->name, elements * type->bytes, to - from);
    t->type = type->name;
    t->format = type->format;
    t->offset = from;
    t->bytes = to - from;
    return LB_OK;
}

/* ---- bitsandbytes ---------------------------------------------------------------------------- */

lb_bnb_state *lb_bnb_state_parse(const void *json, uint64_t bytes, lb_status *status)
{
    enum { MOST_TOKENS = 64, MOST_BYTES = 4096 };
    jsmntok_t token[MOST_TOKENS];
    jsmn_parser parser;
    header h = {.text = json, .token = token};
    lb_bnb_state s = {0};
    uint64_t dims[2] = {0}, value;
    *status = LB_OK;
    jsmn_init(&parser);
    h.count =
        bytes <= MOST_BYTES ? jsmn_parse(&parser, json, (size_t)bytes, token, MOST_TOKENS) : 0;
    if (h.count < 1 || token[0].type != JSMN_OBJECT)
        return NULL;
    for (int i = 1; i + 1 < h.count; i = after(&h, i + 1)) {
        if (is(&h, i, "shape") && token[i + 1].size == 2 && i + 3 < h.count &&
            number(&h, i + 2, &dims[0]) && number(&h, i + 3, &dims[1])) {
            s.n = (int64_t)dims[0];
            s.k = (int64_t)dims[1];
        } else if (is(&h, i, "blocksize") && number(&h, i + 1, &value)) {
            s.block = (int64_t)value;
        } else if (is(&h, i, "nested_blocksize") && number(&h, i + 1, &value)) {
            s.nested_block = (int64_t)value;
        } else if (is(&h, i, "nested_offset")) {
            char text[40];
            int length = token[i + 1].end - token[i + 1].start;
            snprintf(text, sizeof text, "%.*s", length, h.text + token[i + 1].start);
            s.offset = strtof(text, NULL);
        }
    }
    if (s.n < 1 || s.k < 1 || s.block < 1)
        return NULL;
    lb_bnb_state *made = malloc(sizeof *made);
    if (made)
        *made = s;
    else
        *status = lb_fail(LB_OUT_OF_MEMORY, "safetensors: no memory for a quant_state");
    return made;
}

static lb_status read_states(lb_file *file)
{
    lb_status status = LB_OK;
    for (size_t i = 0; i < file->count && status == LB_OK; i++) {
        lb_file_tensor *t = &file->tensor[i];
        if (strstr(t->name, ".quant_state.bitsandbytes__"))
            t->state = lb_bnb_state_parse(file->data + t->offset, t->bytes, &status);
    }
    return status;
}

/* ---- All ------------------------------------------------------------------------------------- */

static lb_status read_header(lb_file *file, header *h, uint64_t length)
{
    if (h->count < 1 || h->token[0].type != JSMN_OBJECT)
        BAD("the header (offset 8) is no JSON object");
    file->tensor = calloc((size_t)h->count, sizeof *file->tensor);
    if (!file->tensor)
        return lb_fail(LB_OUT_OF_MEMORY, "safetensors: no memory for the table");
    for (int i = 1; i + 1 < h->count; i = after(h, i + 1)) {
        if (h->token[i].type != JSMN_STRING)
            BAD("the key at offset %d is no string", h->token[i].start + 8);
        if (is(h, i, "__metadata__"))
            continue;
        lb_file_tensor *t = &file->tensor[file->count++];
        t->name =
            strndup(h->text + h->token[i].start, (size_t)(h->token[i].end - h->token[i].start));
        if (!t->name)
            return lb_fail(LB_OUT_OF_MEMORY, "safetensors: no memory for a name");
        LB_TRY(read_tensor(h, i + 1, file->bytes - 8 - length, t));
        t->offset += 8 + length;
    }
    return read_states(file);
}

lb_status lb_safetensors_parse(lb_file *file)
{
    uint64_t length;
    jsmn_parser parser;
    memcpy(&length, file->data, sizeof length);
    if (length > file->bytes - 8 || length > MOST_HEADER)
        BAD("the header's length (offset 0) is %" PRIu64 "; the file has %" PRIu64
            " bytes, and 100 MiB are the limit",
            length, file->bytes);
    header h = {.text = (const char *)file->data + 8};
    jsmn_init(&parser);
    h.count = jsmn_parse(&parser, h.text, (size_t)length, NULL, 0);
    if (h.count < 1)
        BAD("the header (offset 8) is no JSON");
    h.token = calloc((size_t)h.count, sizeof *h.token);
    if (!h.token)
        return lb_fail(LB_OUT_OF_MEMORY, "safetensors: no memory for %d JSON tokens", h.count);
    jsmn_init(&parser);
    h.count = jsmn_parse(&parser, h.text, (size_t)length, h.token, (unsigned)h.count);
    lb_status status = h.count < 1
                           ? lb_fail(LB_BAD_DATA, "safetensors: the header (offset 8) is no JSON")
                           : read_header(file, &h, length);
    free(h.token);
    return status;
}
