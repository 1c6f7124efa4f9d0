/* SPDX-License-Identifier: Apache-2.0 */
/* .lbw files: what is written is what is read, in every format; damage is found; a write that fails
 * leaves what was there. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "check.h"
#include "formats.h"
#include "hash.h"
#include "lbw.h"

static char path[64];

static void setup(void)
{
    snprintf(path, sizeof path, "/tmp/test_lbw.%ld", (long)getpid());
}
static void teardown(void)
{
    unlink(path);
}
TestSuite(lbw, .init = setup, .fini = teardown, .timeout = 60);

static void make(const char *format, int64_t n, int64_t k, int64_t group, uint64_t seed,
                 lb_stored *w)
{
    check_ok(stored_describe(format, n, k, 4, group, true, w));
    stored_alloc(w);
    if (!(lb_format_find(format)->flags & LB_FORMAT_DENSE))
        check_ok(stored_fill(w, &seed));
}

static lb_file_item item_of(const char *name, const lb_stored *from)
{
    lb_file_item item = LB_FILE_ITEM_INIT;
    item.name = name;
    item.from = from;
    return item;
}

static bool same(const lb_stored *a, const lb_stored *b)
{
    size_t count = (size_t)(a->n * a->k);
    float *x = malloc(count * 4), *y = malloc(count * 4);
    check_ok(lb_stored_values(a, 0, a->n, x));
    check_ok(lb_stored_values(b, 0, b->n, y));
    bool equal = memcmp(x, y, count * 4) == 0;
    free(x);
    free(y);
    return equal;
}

Test(lbw, every_format_comes_back)
{
    enum { MOST = 64 };
    lb_stored w[MOST];
    lb_file_item items[MOST];
    size_t count = 0;
    for (size_t i = 0; i < lb_format_count(); i++) {
        const lb_format *f = &lb_formats[i];
        int64_t group = f->scheme == &lb_scheme_bnb8 || f->scheme == &lb_scheme_larq ||
                                f->scheme == &lb_scheme_bitnet_gpu
                            ? 0
                            : 64;
        if (f->flags & LB_FORMAT_READ_ONLY)
            continue;
        make(f->name, 64, 256, group, i, &w[count]);
        items[count] = item_of(f->name, &w[count]);
        count++;
    }
    for (int own = 0; own < 2; own++) { /* canonical, then each in its own format */
        lb_file *file;
        for (size_t i = 0; i < count; i++)
            items[i].format = own ? w[i].format : NULL;
        check_ok(lb_file_write(path, items, count, NULL, NULL));
        check_ok(lb_file_open(path, &file));
        cr_assert_str_eq(lb_file_kind(file), "lbw");
        cr_assert_eq(lb_file_count(file), count);
        for (size_t i = 0; i < count; i++) {
            lb_stored got = LB_STORED_INIT;
            check_ok(lb_file_find(file, items[i].name, NULL, &got));
            cr_expect(same(&w[i], &got) && items[i].report.exact, "%s", items[i].name);
            if (own)
                cr_expect_str_eq(got.format, w[i].format);
        }
        lb_file_close(file);
    }
    fprintf(stderr, "lbw: %zu formats written and read\n", count);
    for (size_t i = 0; i < count; i++)
        stored_free(&w[i]);
}

static uint8_t *slurp(size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    fseek(f, 0, SEEK_END);
    *bytes = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*bytes);
    cr_assert_eq(fread(data, 1, *bytes, f), *bytes);
    fclose(f);
    return data;
}

/* OK only if every tensor could be read. */
static lb_status read_all(const uint8_t *data, size_t bytes)
{
    lb_file *file;
    lb_status status = lb_file_parse(data, bytes, &file);
    if (status != LB_OK)
        return status;
    for (size_t i = 0; i < lb_file_count(file); i++) {
        const char *name;
        lb_stored w = LB_STORED_INIT;
        lb_status one = lb_file_get_matrix(file, i, &name);
        if (one == LB_OK)
            one = lb_file_find(file, name, NULL, &w);
        status = status == LB_OK ? one : status;
        if (one == LB_OK && w.k < 4096 && w.n > 0) {
            float row[4096];
            (void)lb_stored_values(&w, w.n - 1, 1, row); /* a refusal is fine, a crash is not */
        }
    }
    lb_file_close(file);
    return status;
}

/* Padding between sections is nobody's. */
static bool is_padding(const uint8_t *data, size_t at)
{
    lbw_header h;
    memcpy(&h, data, sizeof h);
    if (at < lbw_table_bytes(&h))
        return false;
    for (uint64_t i = 0; i < h.tensors; i++) {
        lbw_tensor t;
        memcpy(&t, data + sizeof h + i * sizeof t, sizeof t);
        for (int p = 0; p < LB_PART_COUNT; p++)
            if (at >= t.part[p].offset && at < t.part[p].offset + t.part[p].bytes)
                return false;
    }
    return true;
}

Test(lbw, damage_is_found)
{
    lb_stored a, b;
    size_t bytes;
    int flipped = 0, truncated = 0;
    make("q4_k", 2, 256, 0, 1, &a);
    make("gptq", 32, 64, 32, 2, &b);
    lb_file_item items[] = {item_of("first", &a), item_of("second", &b)};
    check_ok(lb_file_write(path, items, 2, NULL, NULL));
    uint8_t *data = slurp(&bytes);
    check_ok(read_all(data, bytes));
    for (size_t i = 0; i < bytes; i++) {
        uint8_t *copy = malloc(i + 1); /* of its own size, so that ASan sees reads past the end */
        memcpy(copy, data, i);
        truncated += read_all(copy, i) == LB_BAD_DATA;
        free(copy);
        data[i] ^= (uint8_t)(1u << i % 8);
        lb_status status = read_all(data, bytes);
        cr_expect(is_padding(data, i) ? status == LB_OK : status == LB_BAD_DATA, "byte %zu: %s", i,
                  lb_status_string(status));
        flipped += status == LB_BAD_DATA;
        data[i] ^= (uint8_t)(1u << i % 8);
    }
    cr_expect_eq(truncated, (int)bytes);
    fprintf(stderr, "lbw: %d of %zu flipped bytes found, %d truncations\n", flipped, bytes,
            truncated);
    free(data);
    stored_free(&a);
    stored_free(&b);
}

/* Values that lie, under checksums that are right. */
Test(lbw, hostile_tables_are_refused)
{
    lb_stored a;
    size_t bytes;
    make("q4_k", 2, 256, 0, 1, &a);
    lb_file_item item = item_of("first", &a);
    check_ok(lb_file_write(path, &item, 1, NULL, NULL));
    uint8_t *data = slurp(&bytes);
    lbw_header h;
    memcpy(&h, data, sizeof h);
    size_t table = (size_t)lbw_table_bytes(&h), from = offsetof(lbw_header, version);
    static const uint64_t values[] = {0, 1, 63, 1u << 20, UINT64_C(1) << 40, UINT64_MAX};
    int refused = 0, tried = 0;
    for (size_t at = from; at + 8 <= table; at += 4)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            uint8_t *copy = malloc(bytes);
            memcpy(copy, data, bytes);
            memcpy(copy + at, &values[v], 8);
            lbw_header changed;
            memcpy(&changed, copy, sizeof changed);
            uint64_t end = lbw_table_bytes(&changed);
            if (end > table || end < from) /* also where the sum overflows */
                end = table;
            changed.checksum = lb_hash64(copy + from, (size_t)end - from);
            memcpy(copy, &changed, sizeof changed);
            refused += read_all(copy, bytes) != LB_OK;
            tried++;
            free(copy);
        }
    fprintf(stderr, "lbw: %d of %d hostile tables refused\n", refused, tried);
    cr_expect(refused > tried / 2);
    free(data);
    stored_free(&a);
}

Test(lbw, a_write_that_fails_leaves_what_was_there)
{
    lb_stored a, b;
    size_t bytes;
    make("q4_k", 2, 256, 0, 1, &a);
    make("bnb_nf4", 2, 256, 64, 2, &b);
    lb_file_item items[] = {item_of("first", &a), item_of("second", &b)};
    check_ok(lb_file_write(path, items, 1, NULL, NULL));
    uint8_t *before = slurp(&bytes);
    items[1].format = "q8_0";
    check_status(lb_file_write(path, items, 2, NULL, NULL), LB_UNSUPPORTED, "tensor second");
    size_t bytes_after;
    uint8_t *after = slurp(&bytes_after);
    cr_expect(bytes == bytes_after && memcmp(before, after, bytes) == 0);
    items[1].lossy = 1;
    check_ok(lb_file_write(path, items, 2, NULL, NULL));
    cr_expect(items[0].report.exact && !items[1].report.exact && items[1].report.worst > 0);
    check_status(lb_file_write("/no/such/folder/a.lbw", items, 1, NULL, NULL), LB_INVALID_ARGUMENT,
                 "/no/such/folder/a.lbw");
    free(before);
    free(after);
    stored_free(&a);
    stored_free(&b);
}

Test(lbw, packed_weights_load_and_multiply)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    lb_stored w, got = LB_STORED_INIT;
    lb_problem p = LB_PROBLEM_INIT;
    lb_plan *plan;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_weights *weights[2];
    lb_file *file;
    const void *blob;
    size_t bytes;
    float a[64], d[2][32];
    desc.device = "ref";
    check_ok(lb_context_create(&desc, &context));
    make("gptq", 32, 64, 32, 3, &w);
    p.m = 1;
    p.a.type = p.d.type = LB_TYPE_F32;
    check_ok(lb_stored_problem(&w, 0, &p));
    check_ok(lb_plan_create(context, &p, NULL, &plan));
    check_ok(lb_plan_get_info(plan, &info));
    const lb_plan *plans[] = {plan};
    lb_file_item item = item_of("layer", &w);
    item.plans = plans;
    item.plan_count = 1;
    check_ok(lb_file_write(path, &item, 1, NULL, NULL));
    check_ok(lb_file_open(path, &file));
    check_ok(lb_file_find_packed(file, "layer", 0, info.layout, &blob, &bytes));
    check_ok(lb_weights_load(plan, blob, bytes, NULL, &weights[0]));
    check_ok(lb_file_find(file, "layer", NULL, &got));
    check_ok(lb_weights_create_stored(plan, &got, 0, &weights[1]));
    check_status(lb_file_find_packed(file, "layer", 0, "panel64x4", &blob, &bytes), LB_UNSUPPORTED,
                 "panel64x4");
    for (int i = 0; i < 64; i++)
        a[i] = (float)(i % 7 - 3);
    for (int i = 0; i < 2; i++) {
        lb_args args = LB_ARGS_INIT;
        args.weights = weights[i];
        args.a = (lb_ptr){a, 0};
        args.d = (lb_ptr){d[i], 0};
        check_ok(lb_run_host(plan, &args, NULL));
        lb_weights_destroy(weights[i]);
    }
    cr_expect_arr_eq(d[0], d[1], sizeof d[0]);
    lb_file_close(file);
    lb_plan_destroy(plan);
    lb_context_destroy(context);
    stored_free(&w);
}
