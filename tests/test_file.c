/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF and safetensors: what is in them is found; every truncation and every flipped byte is either
 * read or refused with a sentence. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "file.h"

static uint8_t bytes[4096];
static size_t used;

static void put(const void *data, size_t count)
{
    memcpy(bytes + used, data, count);
    used += count;
}
static void put_number(uint64_t value, size_t count)
{
    put(&value, count);
}
static void put_text(const char *text)
{
    put_number(strlen(text), 8);
    put(text, strlen(text));
}

/* One q8_0 tensor "w" of [2][32], and a string array among the pairs. */
static void make_gguf(void)
{
    used = 0;
    put("GGUF", 4);
    put_number(3, 4);
    put_number(1, 8);
    put_number(2, 8);
    put_text("general.alignment");
    put_number(4, 4), put_number(64, 4);
    put_text("words");
    put_number(9, 4), put_number(8, 4), put_number(2, 8);
    put_text("a"), put_text("bc");
    put_text("w");
    put_number(2, 4), put_number(32, 8), put_number(2, 8), put_number(8, 4), put_number(0, 8);
    while (used % 64)
        put("", 1);
    for (int row = 0; row < 2; row++) {
        put_number(0x3c00, 2); /* d = 1 */
        for (int k = 0; k < 32; k++)
            put_number((uint64_t)(k - 16 * row), 1);
    }
}

static void make_safetensors(void)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"l.qweight\":{\"dtype\":\"I32\",\"shape\":[8,32],\"data_offsets\":[0,1024]},"
        "\"l.scales\":{\"dtype\":\"F16\",\"shape\":[2,32],\"data_offsets\":[1024,1152]},"
        "\"l.qzeros\":{\"dtype\":\"I32\",\"shape\":[2,4],\"data_offsets\":[1152,1184]}}   ";
    used = 0;
    put_number(sizeof header - 1, 8);
    put(header, sizeof header - 1);
    for (int i = 0; i < 1024; i++)
        put_number(0x21, 1); /* codes 1, 2, 1, 2, ... */
    for (int i = 0; i < 64; i++)
        put_number(0x3c00, 2);
    for (int i = 0; i < 32; i++)
        put_number(0x77, 1); /* zero points 8, stored less 1 */
}

Test(file, gguf_tensors_are_found_and_read)
{
    lb_file *file;
    lb_stored w = LB_STORED_INIT;
    float values[64];
    make_gguf();
    check_ok(lb_file_parse(bytes, used, &file));
    cr_assert_eq(lb_file_count(file), 1);
    check_ok(lb_file_find(file, "w", NULL, &w));
    check_ok(lb_stored_values(&w, 0, 2, values));
    for (int i = 0; i < 64; i++)
        cr_assert_eq(values[i], (float)(i % 32 - i / 32 * 16));
    check_status(lb_file_find(file, "v", NULL, &w), LB_INVALID_ARGUMENT, "no tensor v");
    check_status(lb_file_find(file, "w", "q4_k", &w), LB_BAD_DATA, "k of 256");
    lb_file_close(file);
}

Test(file, gptq_layers_in_safetensors_are_put_together)
{
    lb_file *file;
    lb_stored w = LB_STORED_INIT;
    float values[32 * 64];
    make_safetensors();
    check_ok(lb_file_parse(bytes, used, &file));
    check_ok(lb_file_find(file, "l", NULL, &w));
    cr_assert_str_eq(w.format, "gptq");
    cr_assert(w.n == 32 && w.k == 64 && w.bits == 4 && w.group == 32);
    check_ok(lb_stored_values(&w, 0, 32, values));
    for (int i = 0; i < 32 * 64; i++)
        cr_assert_eq(values[i], i % 2 ? -6.0f : -7.0f);
    lb_file_close(file);
}

/* Blocks of 4 codes, absmax quantised: scale = map[code] * nested + offset. */
static void make_bitsandbytes(void)
{
    static const char state[] = "{\"shape\":[2, 8],\"blocksize\":4,\"nested_blocksize\":256,"
                                "\"nested_offset\":0.5,\"quant_type\":\"nf4\"}";
    static const char header[] =
        "{\"l.weight\":{\"dtype\":\"U8\",\"shape\":[8,1],\"data_offsets\":[0,8]},"
        "\"l.weight.absmax\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[8,12]},"
        "\"l.weight.nested_absmax\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]},"
        "\"l.weight.quant_map\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[16,80]},"
        "\"l.weight.nested_quant_map\":{\"dtype\":\"F32\",\"shape\":[256],"
        "\"data_offsets\":[80,1104]},"
        "\"l.weight.quant_state.bitsandbytes__nf4\":{\"dtype\":\"U8\",\"shape\":[92],"
        "\"data_offsets\":[1104,1196]}}";
    _Static_assert(sizeof state - 1 == 92, "as the header says");
    const float two = 2;
    used = 0;
    put_number(sizeof header - 1, 8);
    put(header, sizeof header - 1);
    for (unsigned i = 0; i < 8; i++) /* codes 0, 1, 2, ... in pairs, the first one on top */
        put_number(32 * i % 256 + (2 * i + 1) % 16, 1);
    for (unsigned i = 0; i < 4; i++)
        put_number(i, 1);
    put(&two, 4);
    for (int i = 0; i < 16 + 256; i++) {
        float value = (float)(i % 16);
        put(&value, 4);
    }
    put(state, sizeof state - 1);
}

Test(file, bitsandbytes_layers_with_double_quantisation)
{
    lb_file *file;
    lb_stored w = LB_STORED_INIT;
    float values[16];
    make_bitsandbytes();
    check_ok(lb_file_parse(bytes, used, &file));
    check_ok(lb_file_find(file, "l", NULL, &w));
    cr_assert_str_eq(w.format, "bnb_nf4_double");
    cr_assert(w.n == 2 && w.k == 8 && w.group == 4);
    check_ok(lb_stored_values(&w, 0, 2, values));
    for (int i = 0; i < 16; i++)
        cr_assert_eq(values[i], (float)i * (2.0f * (float)(i / 4) + 0.5f), "%d: %g", i,
                     (double)values[i]);
    lb_file_close(file);
}

/* Reads all matrices, whatever they are. */
static void read_all(lb_file *file)
{
    float *row = malloc(1 << 20);
    for (size_t i = 0; i < lb_file_count(file); i++) {
        lb_tensor_info t = LB_TENSOR_INFO_INIT;
        lb_stored w = LB_STORED_INIT;
        check_ok(lb_file_get_tensor(file, i, &t));
        if (lb_file_find(file, t.name, NULL, &w) == LB_OK && w.n > 0 && w.k < 1 << 18)
            lb_stored_values(&w, 0, 1, row);
        /* What the tensors make together. */
        if (lb_file_find(file, "l", NULL, &w) == LB_OK && w.n > 0 && w.k < 1 << 18)
            lb_stored_values(&w, w.n - 1, 1, row);
    }
    free(row);
}

static int damage(void (*make)(void), bool truncate)
{
    int refused = 0;
    make();
    size_t total = used;
    for (size_t i = 0; i < total; i++)
        for (int bit = 0; bit < (truncate ? 1 : 8); bit++) {
            lb_file *file;
            size_t length = truncate ? i : total;
            uint8_t *copy = malloc(length + 1); /* so that ASan sees reads past the end */
            make();
            if (!truncate)
                bytes[i] ^= (uint8_t)(1u << bit);
            memcpy(copy, bytes, length);
            lb_status status = lb_file_parse(copy, length, &file);
            if (status == LB_OK) {
                read_all(file);
                lb_file_close(file);
            } else {
                refused++;
                cr_assert(status == LB_BAD_DATA && strlen(lb_last_error()) > 10, "%s",
                          lb_last_error());
            }
            free(copy);
        }
    return refused;
}

Test(file, every_truncation_is_refused, .timeout = 60)
{
    cr_expect_eq(damage(make_gguf, true), (int)used);
    cr_expect_eq(damage(make_safetensors, true), (int)used);
    cr_expect_eq(damage(make_bitsandbytes, true), (int)used);
}

Test(file, flipped_bits_do_no_harm, .timeout = 60)
{
    int gguf = damage(make_gguf, false), st = damage(make_safetensors, false),
        bnb = damage(make_bitsandbytes, false);
    fprintf(stderr, "file: flipped bits refused: GGUF %d, safetensors %d, bitsandbytes %d\n", gguf,
            st, bnb);
    cr_expect(gguf > 100 && st > 100 && bnb > 100);
}

Test(file, files_that_cannot_be_opened_are_named)
{
    lb_file *file;
    check_status(lb_file_open("/no/such/model.gguf", &file), LB_INVALID_ARGUMENT,
                 "/no/such/model.gguf");
    check_status(lb_file_open("tests", &file), LB_INVALID_ARGUMENT, "no regular file");
    check_status(lb_file_open("README.md", &file), LB_BAD_DATA, "GGUF");
}
