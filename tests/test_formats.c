/* SPDX-License-Identifier: Apache-2.0 */
/* User formats: no two codes overlap, what is stored is what is read, and every format goes to
 * every other either to the bit or not at all. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check.h"
#include "formats.h"

static const struct {
    int64_t n, k;
    int64_t group;
} shapes[] = {{64, 256, 64}, {128, 512, 128}, {192, 768, 32},
              {64, 256, 0},  {3, 70, 32},     {64, 256, -1}};
enum { SHAPES = sizeof shapes / sizeof *shapes };
static const int all_bits[] = {1, 2, 3, 4, 5, 6, 7, 8};

/* Calls `test` for every description of every format that exists; returns how many. */
typedef void test_fn(const lb_stored *stored);

static int each_stored(bool writable, test_fn *test)
{
    int count = 0;
    for (size_t i = 0; i < lb_formats_count; i++) {
        const lb_format *f = &lb_formats[i];
        if ((f->flags & LB_FORMAT_DENSE) || (writable && (f->flags & LB_FORMAT_READ_ONLY)))
            continue;
        for (int s = 0; s < SHAPES; s++)
            for (int b = 0; b < (f->bits ? 1 : 8); b++)
                for (int full = 0; full < 2; full++) {
                    lb_stored w;
                    if (stored_describe(f->name, shapes[s].n, shapes[s].k, all_bits[b],
                                        shapes[s].group, full, &w) != LB_OK)
                        continue;
                    test(&w);
                    count++;
                }
    }
    return count;
}

/* ---- Bit addresses --------------------------------------------------------------------------- */

static long codes_seen;

static void no_overlap(const lb_stored *stored)
{
    lb_matrix m;
    check_ok(lb_matrix_open(stored, true, &m));
    const lb_format *f = m.format;
    size_t bytes = (size_t)m.bytes[LB_PART_CODES];
    uint8_t *taken = calloc(1, bytes), *mark = calloc(1, bytes);
    for (uint64_t n = 0; n < m.shape.n; n++)
        for (uint64_t k = 0; k < m.shape.k; k++) {
            if (f->bit) {
                for (unsigned i = 0; i < m.shape.bits; i++) {
                    uint64_t bit = f->bit(&m.shape, n, k) + i;
                    cr_assert(bit / 8 < bytes, "%s: (%d, %d) lies outside", f->name, (int)n,
                              (int)k);
                    cr_assert(!(taken[bit / 8] >> bit % 8 & 1), "%s: (%d, %d) overlaps another",
                              f->name, (int)n, (int)k);
                    taken[bit / 8] |= (uint8_t)(1u << bit % 8);
                }
            }
            codes_seen++;
        }
    if (!f->bit) { /* every code that is put stays until the last one is */
        for (int round = 0; round < 2; round++)
            for (uint64_t n = 0; n < m.shape.n; n++)
                for (uint64_t k = 0; k < m.shape.k; k++) {
                    unsigned code =
                        (unsigned)((n * 7 + k * 13 + (n ^ k)) % (unsigned)m.form.levels);
                    if (round == 0)
                        f->put(&m.shape, mark, n, k, code);
                    else
                        cr_assert_eq(f->get(&m.shape, mark, n, k), code, "%s: (%d, %d)", f->name,
                                     (int)n, (int)k);
                }
    }
    free(taken);
    free(mark);
}

Test(formats, codes_do_not_overlap, .timeout = 60)
{
    int count = each_stored(false, no_overlap);
    fprintf(stderr, "formats: %d descriptions, %ld codes, no overlap\n", count, codes_seen);
    cr_assert(count > 150);
}

/* ---- Round trips ----------------------------------------------------------------------------- */

static uint64_t seed = 1;

static bool equal(const lb_stored *a, const lb_stored *b)
{
    for (int i = 0; i < LB_PART_COUNT; i++)
        if (a->part[i].bytes != b->part[i].bytes ||
            (a->part[i].bytes && memcmp(a->part[i].data, b->part[i].data, a->part[i].bytes) != 0)) {
            fprintf(stderr, "part %d differs\n", i);
            return false;
        }
    return true;
}

static void through_canon(const lb_stored *description)
{
    lb_stored a = *description, c = LB_STORED_INIT, b = *description;
    lb_repack_report report = LB_REPACK_REPORT_INIT;
    stored_alloc(&a);
    check_ok(stored_fill(&a, &seed));
    c.format = "canon";
    check_ok(lb_stored_like(&a, 0, &c));
    stored_alloc(&c);
    check_ok(lb_repack(&a, &c, 0, &report));
    cr_assert(report.exact && report.worst == 0);
    stored_alloc(&b);
    check_ok(lb_repack(&c, &b, 0, &report));
    cr_expect(equal(&a, &b), "%s n %d k %d group %d bits %d", a.format, (int)a.n, (int)a.k,
              (int)a.group, a.bits);
    stored_free(&a);
    stored_free(&b);
    stored_free(&c);
}

Test(formats, canonical_form_loses_nothing, .timeout = 120)
{
    int count = each_stored(true, through_canon);
    fprintf(stderr, "formats: %d round trips any -> canon -> any, bit-equal\n", count);
    cr_assert(count > 150);
}

/* Values before and after; true if all are the same. */
static bool same_values(const lb_stored *a, const lb_stored *b)
{
    size_t count = (size_t)(a->n * a->k);
    float *va = malloc(count * 4), *vb = malloc(count * 4);
    check_ok(lb_stored_values(a, 0, a->n, va));
    check_ok(lb_stored_values(b, 0, b->n, vb));
    bool same = true;
    for (size_t i = 0; i < count; i++)
        same = same && va[i] == vb[i];
    free(va);
    free(vb);
    return same;
}

Test(formats, any_to_any_is_exact_or_refused_with_a_reason, .timeout = 120)
{
    int exact = 0, refused = 0, lossy_count = 0;
    for (size_t i = 0; i < lb_formats_count; i++)
        for (size_t o = 0; o < lb_formats_count; o++) {
            const lb_format *f = &lb_formats[i], *t = &lb_formats[o];
            lb_stored a, b = LB_STORED_INIT;
            lb_repack_report report = LB_REPACK_REPORT_INIT;
            if ((f->flags & (LB_FORMAT_DENSE | LB_FORMAT_READ_ONLY)))
                continue;
            check_ok(stored_describe(f->name, 64, 256, 4,
                                     f->scheme == &lb_scheme_bnb8 || f->scheme == &lb_scheme_larq ||
                                             f->scheme == &lb_scheme_bitnet_gpu
                                         ? 0
                                         : 64,
                                     true, &a));
            stored_alloc(&a);
            check_ok(stored_fill(&a, &seed));
            for (int lossy = 0; lossy < 2; lossy++) {
                b = (lb_stored)LB_STORED_INIT;
                b.format = t->name;
                lb_status status = lb_stored_like(&a, lossy, &b);
                if (status == LB_OK) {
                    stored_alloc(&b);
                    status = lb_repack(&a, &b, lossy, &report);
                    if (status == LB_OK && !lossy)
                        cr_expect(same_values(&a, &b), "%s -> %s", f->name, t->name);
                    if (status == LB_OK && lossy)
                        cr_expect(report.exact == (report.worst == 0) && report.rms <= report.scale,
                                  "%s -> %s: worst %g, rms %g of %g", f->name, t->name,
                                  report.worst, report.rms, report.scale);
                    stored_free(&b);
                }
                if (status == LB_OK) {
                    exact += !lossy;
                    lossy_count += lossy;
                } else {
                    refused += !lossy;
                    cr_expect(status == LB_UNSUPPORTED && strlen(lb_last_error()) > 20,
                              "%s -> %s: %s: %s", f->name, t->name, lb_status_string(status),
                              lb_last_error());
                    if (lossy)
                        cr_expect(t->flags & LB_FORMAT_READ_ONLY || strstr(lb_last_error(), "no "),
                                  "%s -> %s lossy: %s", f->name, t->name, lb_last_error());
                }
            }
            stored_free(&a);
        }
    fprintf(stderr, "formats: %d pairs exact, %d refused with a reason, %d lossy\n", exact, refused,
            lossy_count);
}

/* ---- Bad descriptions ------------------------------------------------------------------------ */

Test(formats, bad_descriptions_are_refused_with_a_sentence)
{
    lb_stored w = LB_STORED_INIT;
    w.format = "q4_9";
    check_status(lb_stored_sizes(&w), LB_INVALID_ARGUMENT, "'q4_9'");
    w.format = "q4_k";
    w.n = 4, w.k = 100;
    check_status(lb_stored_sizes(&w), LB_INVALID_ARGUMENT, "k of 256");
    w.k = INT64_MAX;
    check_status(lb_stored_sizes(&w), LB_INVALID_ARGUMENT, "at most 2^48");
    w.n = -1;
    check_status(lb_stored_sizes(&w), LB_INVALID_ARGUMENT, "n -1");
    w = (lb_stored)LB_STORED_INIT;
    w.format = "canon", w.n = 1, w.k = 84, w.bits = 4; /* found by fuzzing: no groups at all */
    for (w.group = INT64_MAX; w.group > INT64_MAX - 100; w.group--)
        check_status(lb_stored_sizes(&w), LB_INVALID_ARGUMENT, "at most 2147418112");
    w.group = 2147418112;
    check_ok(lb_stored_sizes(&w));
    w = (lb_stored)LB_STORED_INIT;
    w.format = "i2_s", w.n = 4, w.k = 128;
    uint8_t bytes[4 * 128 / 4 + 32] = {0};
    w.part[LB_PART_CODES].data = bytes;
    w.part[LB_PART_CODES].bytes = sizeof bytes - 1;
    float values[4 * 128];
    check_status(lb_stored_values(&w, 0, 4, values), LB_BAD_DATA, "there are 159");
    w.part[LB_PART_CODES].bytes = sizeof bytes;
    check_ok(lb_stored_values(&w, 0, 4, values));
    bytes[3] = 0xc0;
    check_status(lb_stored_values(&w, 0, 4, values), LB_BAD_DATA, "row 0, column 3 has the code 3");
    check_status(lb_stored_values(&w, 0, 5, values), LB_INVALID_ARGUMENT, "of n 4");
}

Test(formats, the_documentation_has_every_format)
{
    static char text[65536], row[512];
    FILE *file = fopen("docs/formats.md", "r");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    for (size_t i = 0; i < lb_format_count(); i++) {
        lb_format_info f = LB_FORMAT_INFO_INIT;
        check_ok(lb_format_get_info(i, &f));
        snprintf(row, sizeof row, "| %s | %s | %s | %s |", f.name, f.origin, f.params, f.text);
        cr_expect(strstr(text, row), "docs/formats.md lacks the row\n%s", row);
    }
}
