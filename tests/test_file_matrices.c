/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices that several tensors of a safetensors file make: every kind of layer holds what was put
 * into it, and what is missing or contradicts itself is named. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check.h"
#include "file.h"
#include "formats.h"

enum { N = 64, K = 256 };

typedef struct tensor {
    const char *name, *type;
    int64_t rows, columns; /* 0: as many as there are bytes */
    int part;              /* of the matrix; else -1, and: */
    const void *data;
    size_t bytes;
} tensor;

/* ---- Files ----------------------------------------------------------------------------------- */

static size_t element(const char *type)
{
    return strchr("BU", type[0]) && strcmp(type, "BF16") != 0
               ? 1
               : (size_t)atoi(strpbrk(type, "0123456789")) / 8;
}

static uint8_t *make_file(const tensor *tensors, size_t count, const lb_stored *w, size_t *size)
{
    char header[4096] = "{";
    uint8_t *file = calloc(1, 1 << 20);
    size_t at = 0, length;
    for (size_t i = 0; i < count; i++) {
        const tensor *t = &tensors[i];
        size_t bytes = t->part < 0 ? t->bytes : w->part[t->part].bytes;
        int64_t columns = t->columns ? t->columns : (int64_t)(bytes / element(t->type)) / t->rows;
        snprintf(header + strlen(header), sizeof header - strlen(header),
                 "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
                 i ? "," : "", t->name, t->type, (int)t->rows, (int)columns, at, at + bytes);
        at += bytes;
    }
    strcat(header, "}");
    while (strlen(header) % 8)
        strcat(header, " ");
    length = strlen(header);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, length);
    at = 8 + length;
    for (size_t i = 0; i < count; i++) {
        const tensor *t = &tensors[i];
        size_t bytes = t->part < 0 ? t->bytes : w->part[t->part].bytes;
        memcpy(file + at, t->part < 0 ? t->data : w->part[t->part].data, bytes);
        at += bytes;
    }
    *size = at;
    return file;
}

/* ---- Every kind of layer --------------------------------------------------------------------- */

static const int64_t shape[2] = {N, K};
static const char state[] = "{\"shape\":[64,256],\"blocksize\":64,\"quant_type\":\"nf4\"}";
static float table[16];
static int32_t order[K];

static const struct layer {
    const char *format;
    int bits, group;
    bool zeros;
    tensor tensors[6];
} layers[] = {
    {"gptq",
     4,
     32,
     true,
     {{"l.qweight", "I32", K / 8, 0, LB_PART_CODES, 0, 0},
      {"l.scales", "F16", 8, 0, LB_PART_SCALES, 0, 0},
      {"l.qzeros", "I32", 8, 0, LB_PART_ZEROS, 0, 0},
      {"l.g_idx", "I32", K, 1, -1, order, sizeof order}}},
    {"gptq3",
     0,
     64,
     true,
     {{"l.qweight", "I32", K * 3 / 32, 0, LB_PART_CODES, 0, 0},
      {"l.scales", "F16", 4, 0, LB_PART_SCALES, 0, 0},
      {"l.qzeros", "I32", 4, 0, LB_PART_ZEROS, 0, 0}}},
    {"awq",
     0,
     64,
     true,
     {{"l.qweight", "I32", K, 0, LB_PART_CODES, 0, 0},
      {"l.scales", "F16", 4, 0, LB_PART_SCALES, 0, 0},
      {"l.qzeros", "I32", 4, 0, LB_PART_ZEROS, 0, 0}}},
    {"awq_v2",
     0,
     128,
     false,
     {{"l.qweight", "I16", N / 4, 0, LB_PART_CODES, 0, 0},
      {"l.scales", "F16", 2, 0, LB_PART_SCALES, 0, 0},
      {"l.scaled_zeros", "F16", 2, 0, LB_PART_OFFSETS, 0, 0}}},
    {"ct",
     4,
     64,
     true,
     {{"l.weight_packed", "I32", N, 0, LB_PART_CODES, 0, 0},
      {"l.weight_scale", "BF16", N, 0, LB_PART_SCALES, 0, 0},
      {"l.weight_shape", "I64", 2, 1, -1, shape, sizeof shape},
      {"l.weight_zero_point", "I32", N / 8, 0, LB_PART_ZEROS, 0, 0},
      {"l.weight_g_idx", "I32", K, 1, -1, order, sizeof order}}},
    {"ct",
     8,
     -1,
     false,
     {{"l.weight_packed", "I32", N, 0, LB_PART_CODES, 0, 0},
      {"l.weight_scale", "BF16", 1, 1, LB_PART_SCALES, 0, 0},
      {"l.weight_shape", "I64", 2, 1, -1, shape, sizeof shape}}},
    {"marlin",
     0,
     128,
     false,
     {{"l.B", "I32", K / 16, 0, LB_PART_CODES, 0, 0}, {"l.s", "F16", 2, 0, LB_PART_SCALES, 0, 0}}},
    {"bnb_nf4",
     0,
     64,
     false,
     {{"l.weight", "U8", N *K / 2, 1, LB_PART_CODES, 0, 0},
      {"l.weight.absmax", "F32", N * 4, 1, LB_PART_SCALES, 0, 0},
      {"l.weight.quant_map", "F32", 16, 1, -1, table, sizeof table},
      {"l.weight.quant_state.bitsandbytes__nf4", "U8", sizeof state - 1, 1, -1, state,
       sizeof state - 1}}},
    {"bnb_int8",
     0,
     0,
     false,
     {{"l.weight", "I8", N, 0, LB_PART_CODES, 0, 0},
      {"l.SCB", "F32", N, 1, LB_PART_SCALES, 0, 0},
      {"l.weight_format", "U8", 1, 1, -1, state, 1}}},
    {"ct_int8",
     0,
     0,
     false,
     {{"l.weight", "I8", N, 0, LB_PART_CODES, 0, 0},
      {"l.weight_scale", "BF16", N, 1, LB_PART_SCALES, 0, 0}}},
    {"ct_int8",
     0,
     64,
     false,
     {{"l.weight", "I8", N, 0, LB_PART_CODES, 0, 0},
      {"l.weight_scale", "BF16", N, 4, LB_PART_SCALES, 0, 0}}},
    {"hf_bitnet",
     0,
     -1,
     false,
     {{"l.weight", "U8", N / 4, 0, LB_PART_CODES, 0, 0},
      {"l.weight_scale", "BF16", 1, 1, LB_PART_SCALES, 0, 0}}},
};

static size_t count_of(const tensor *tensors, size_t most)
{
    size_t count = 0;
    while (count < most && tensors[count].name)
        count++;
    return count;
}

Test(file_matrices, every_kind_of_layer_holds_what_was_put_in)
{
    uint64_t seed = 11;
    static float expected[N * K], values[N * K];
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const struct layer *l = &layers[i];
        lb_stored w, found = LB_STORED_INIT;
        lb_file *file;
        size_t size, count = count_of(l->tensors, 6);
        check_ok(stored_describe(l->format, N, K, l->bits, l->group, l->zeros, &w));
        stored_alloc(&w);
        check_ok(stored_fill(&w, &seed));
        for (int k = 0; k < K && w.group > 0; k++)
            order[k] = (int32_t)(k / w.group);
        memcpy(table, lb_format_find("bnb_nf4")->table, sizeof table);
        uint8_t *bytes = make_file(l->tensors, count, &w, &size);
        check_ok(lb_file_parse(bytes, size, &file));
        check_ok(lb_file_find(file, "l", NULL, &found));
        cr_assert_str_eq(found.format, l->format);
        cr_assert(found.n == N && found.k == K && found.bits == w.bits, "%s", l->format);
        check_ok(lb_stored_values(&w, 0, N, expected));
        check_ok(lb_stored_values(&found, 0, N, values));
        cr_assert_arr_eq(values, expected, sizeof values, "%s has other values", l->format);
        const char *name;
        check_ok(lb_file_get_matrix(file, 0, &name));
        cr_assert_str_eq(name, "l");
        cr_assert_eq(lb_file_get_matrix(file, 1, &name), LB_INVALID_ARGUMENT,
                     "%s: a part is listed by itself", l->format);
        lb_file_close(file);
        free(bytes);
        stored_free(&w);
    }
}

/* ---- What is wrong --------------------------------------------------------------------------- */

static const uint8_t zeros[4096];
static const int64_t no_shape[2] = {0, K};
static const char no_block[] = "{\"shape\":[64,256]}";
static const char nested[] =
    "{\"shape\":[1,8],\"blocksize\":8,\"nested_blocksize\":128,\"nested_offset\":0.5}";

#define WORDS(name, rows, columns)                                                                 \
    {                                                                                              \
        name, "I32", rows, columns, -1, zeros, (size_t)(rows) * (columns)*4                        \
    }
#define HALVES(name, rows, columns)                                                                \
    {                                                                                              \
        name, "F16", rows, columns, -1, zeros, (size_t)(rows) * (columns)*2                        \
    }
#define FLOATS(name, rows, columns)                                                                \
    {                                                                                              \
        name, "F32", rows, columns, -1, zeros, (size_t)(rows) * (columns)*4                        \
    }
#define TEXT(name, text)                                                                           \
    {                                                                                              \
        name, "U8", sizeof text - 1, 1, -1, text, sizeof text - 1                                  \
    }

static const struct wrong {
    const char *sentence;
    lb_status status;
    tensor tensors[6];
} wrongs[] = {
    {"l.qweight comes without .scales or .qzeros", LB_BAD_DATA, {WORDS("l.qweight", 8, 8)}},
    {"l.qweight is I32, or comes without .scales",
     LB_BAD_DATA,
     {WORDS("l.qweight", 8, 8), HALVES("l.scales", 1, 8), HALVES("l.scaled_zeros", 1, 8)}},
    {"l.qzeros: 128 words for n 32",
     LB_BAD_DATA,
     {WORDS("l.qweight", 8, 32), HALVES("l.scales", 1, 32), WORDS("l.qzeros", 1, 128)}},
    {"comes without .weight_scale or .weight_shape", LB_BAD_DATA, {WORDS("l.weight_packed", 8, 8)}},
    {"is 0 x 256",
     LB_BAD_DATA,
     {WORDS("l.weight_packed", 8, 8),
      FLOATS("l.weight_scale", 8, 1),
      {"l.weight_shape", "I64", 2, 1, -1, no_shape, sizeof no_shape}}},
    {"lacks shape (two numbers) or blocksize",
     LB_BAD_DATA,
     {{"l.weight", "U8", 4, 1, -1, zeros, 4},
      FLOATS("l.weight.absmax", 1, 1),
      FLOATS("l.weight.quant_map", 16, 1),
      TEXT("l.weight.quant_state.bitsandbytes__nf4", no_block)}},
    {"comes without .absmax or .quant_map",
     LB_BAD_DATA,
     {{"l.weight", "U8", 4, 1, -1, zeros, 4},
      TEXT("l.weight.quant_state.bitsandbytes__fp4", state)}},
    {"nested_blocksize is 128; 256 is read",
     LB_UNSUPPORTED,
     {{"l.weight", "U8", 4, 1, -1, zeros, 4},
      {"l.weight.absmax", "U8", 1, 1, -1, zeros, 1},
      FLOATS("l.weight.quant_map", 16, 1),
      FLOATS("l.weight.nested_absmax", 1, 1),
      FLOATS("l.weight.nested_quant_map", 256, 1),
      TEXT("l.weight.quant_state.bitsandbytes__fp4", nested)}},
    {"no format reads F32 with a weight_scale",
     LB_UNSUPPORTED,
     {FLOATS("l.weight", 8, 8), FLOATS("l.weight_scale", 1, 1)}},
    {"tensor l.weight: no format reads I32 by itself", LB_UNSUPPORTED, {WORDS("l.weight", 8, 8)}},
    {"no tensor l (nor l.weight", LB_INVALID_ARGUMENT, {WORDS("m.weight", 8, 8)}},
    {"tensor l: gptq",
     LB_BAD_DATA, /* found, but of other sizes */
     {WORDS("l.qweight", 8, 32), HALVES("l.scales", 3, 32), WORDS("l.qzeros", 1, 4)}},
};

Test(file_matrices, what_is_missing_or_contradicts_itself_is_named)
{
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        lb_stored found = LB_STORED_INIT;
        lb_file *file;
        size_t size;
        uint8_t *bytes = make_file(wrongs[i].tensors, count_of(wrongs[i].tensors, 6), NULL, &size);
        check_ok(lb_file_parse(bytes, size, &file));
        check_status(lb_file_find(file, "l", NULL, &found), wrongs[i].status, wrongs[i].sentence);
        cr_assert_null(found.format);
        check_status(lb_file_find(file, NULL, NULL, &found), LB_INVALID_ARGUMENT, "name is NULL");
        check_status(lb_file_find(NULL, "l", NULL, &found), LB_INVALID_ARGUMENT, "file is NULL");
        lb_file_close(file);
        free(bytes);
    }
}
