/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The problem line, text form of lb_problem:
 *
 *   line      := operand '*' operand '->' operand { word }
 *   operand   := type [ '@' layout ] { '.' attribute }
 *   attribute := tensor | token | channel | gINT | z | zt | f16 | bf16 | u8
 *              | ldINT | bsINT | tables
 *   word      := mINT | nINT | kINT | bINT | '+bias' ['.' type] | '+res.' type {'.' attribute}
 *              | '+relu' | '+relu6' | '+silu' | '+gelu' | '+gelu_tanh' | '+hswish' ['=' THREE [':'
 * SHIFT]] | '+clamp=' LOW ':' HIGH | '+round=' ( gemmlowp | fixed | dyadic | pow2 | stochastic |
 * threshold )
 *
 * One table serves both directions where a word stands for a value.
 */
#include <ctype.h>
#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "problem.h"
#include "status.h"
#include "text.h"
#include "types.h"

typedef struct word_row {
    const char *word;
    int32_t value;
} word_row;

static const word_row granularities[] = {
    {"tensor", LB_PER_TENSOR}, {"token", LB_PER_TOKEN}, {"channel", LB_PER_CHANNEL}, {NULL, 0}};
static const word_row layouts[] = {{"rows", LB_LAYOUT_ROWS}, {"cols", LB_LAYOUT_COLS}, {NULL, 0}};
static const word_row activations[] = {{"relu", LB_ACT_RELU},
                                       {"silu", LB_ACT_SILU},
                                       {"gelu", LB_ACT_GELU},
                                       {"gelu_tanh", LB_ACT_GELU_TANH},
                                       {"relu6", LB_ACT_RELU6},
                                       {"hswish", LB_ACT_HARD_SWISH},
                                       {NULL, 0}};
static const word_row roundings[] = {
    {"even", LB_ROUND_EVEN},           {"gemmlowp", LB_ROUND_GEMMLOWP},
    {"fixed", LB_ROUND_FIXED},         {"dyadic", LB_ROUND_DYADIC},
    {"pow2", LB_ROUND_POW2},           {"stochastic", LB_ROUND_STOCHASTIC},
    {"threshold", LB_ROUND_THRESHOLD}, {NULL, 0}};

/* ---- Parsing --------------------------------------------------------------------------------- */

/* A piece of the line; never holds blanks. */
typedef struct span {
    const char *at;
    size_t length;
} span;

typedef struct parser {
    const char *line;
    const char *at;
} parser;

static lb_status bad(const parser *ps, span where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static lb_status bad(const parser *ps, span where, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return lb_fail(LB_INVALID_ARGUMENT, "problem line, column %d, '%.*s': %s",
                   (int)(where.at - ps->line) + 1, (int)(where.length < 40 ? where.length : 40),
                   where.at, text);
}

/* What others call our types. */
static const char *const synonyms[][2] = {
    {"int8", "s8"},   {"i8", "s8"},    {"uint8", "u8"},    {"int4", "s4"},     {"i4", "s4"},
    {"uint4", "u4"},  {"int2", "s2"},  {"uint2", "u2"},    {"ternary", "t2"},  {"int1", "b1"},
    {"binary", "b1"}, {"half", "f16"}, {"fp16", "f16"},    {"float16", "f16"}, {"bfloat16", "bf16"},
    {"float", "f32"}, {"fp32", "f32"}, {"float32", "f32"}, {"int32", "s32"},   {"i32", "s32"}};

static bool span_is(span s, const char *word)
{
    return strlen(word) == s.length && memcmp(s.at, word, s.length) == 0;
}

/* An unknown word where `words` were possible, with the nearest of them. `what` says all. */
static lb_status bad_word(const parser *ps, span s, const char *what, const char *words)
{
    char hint[80] = "";
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
        if (span_is(s, synonyms[i][0]) && strstr(words, synonyms[i][1]))
            snprintf(hint, sizeof hint, "; did you mean '%s'?", synonyms[i][1]);
    if (!hint[0])
        lb_did_you_mean(words, s.at, s.length, hint, sizeof hint);
    return bad(ps, s, "%s%s", what, hint);
}

static const word_row *find_word(const word_row *table, span s)
{
    for (; table->word; table++)
        if (span_is(s, table->word))
            return table;
    return NULL;
}

/* The text up to one of the characters in `stops`, a blank or the end. */
static span take_until(parser *ps, const char *stops)
{
    span s = {ps->at, 0};
    while (*ps->at && !isspace((unsigned char)*ps->at) && !strchr(stops, *ps->at))
        ps->at++;
    s.length = (size_t)(ps->at - s.at);
    return s;
}

/* A non-negative decimal integer that fills the rest of `s` after `skip` characters. */
static lb_status take_int(const parser *ps, span s, size_t skip, int64_t *value)
{
    int64_t v = 0;
    if (s.length == skip)
        return bad(ps, s, "a number is missing after '%.*s'", (int)skip, s.at);
    for (size_t i = skip; i < s.length; i++) {
        if (!isdigit((unsigned char)s.at[i]))
            return bad(ps, s, "'%c' is not a digit", s.at[i]);
        if (v > (INT64_MAX - 9) / 10)
            return bad(ps, s, "the number is too large");
        v = v * 10 + (s.at[i] - '0');
    }
    *value = v;
    return LB_OK;
}

/* gINT and the like: a known prefix followed by a digit (so that "token" is not t + oken). */
static bool has_number(span s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.length > n && memcmp(s.at, prefix, n) == 0 && isdigit((unsigned char)s.at[n]);
}

static lb_status parse_type(const parser *ps, span s, int32_t *type)
{
    *type = lb_type_parse(s.at, s.length);
    if (*type == LB_TYPE_NONE)
        return bad_word(ps, s,
                        "unknown type; there are s8 u8 s4 u4 s2 u2 t2 b1 f16 bf16 f32, for B c4 "
                        "and c2, for D s32",
                        "s8 u8 s4 u4 s2 u2 t2 b1 f16 bf16 f32 s32 c4 c2");
    return LB_OK;
}

static lb_status parse_attribute(const parser *ps, span s, lb_operand *o, bool *zero,
                                 bool *zero_tensor, bool *tables)
{
    const word_row *row = find_word(granularities, s);
    int64_t value;
    if (row || has_number(s, "g")) {
        if (o->scale)
            return bad(ps, s, "the operand has two granularities");
        if (row) {
            o->scale = row->value;
            return LB_OK;
        }
        LB_TRY(take_int(ps, s, 1, &value));
        if (value > INT32_MAX)
            return bad(ps, s, "the group is longer than any k");
        o->scale = LB_PER_GROUP;
        o->group = (int32_t)value;
    } else if (span_is(s, "z") || span_is(s, "zt")) {
        if (*zero || *zero_tensor)
            return bad(ps, s, "the operand has a zero point already");
        *(s.length == 1 ? zero : zero_tensor) = true;
    } else if (span_is(s, "f16") || span_is(s, "bf16") || span_is(s, "f32") || span_is(s, "u8")) {
        if (o->scale_type)
            return bad(ps, s, "the operand has a scale type already");
        o->scale_type = lb_type_parse(s.at, s.length);
    } else if (span_is(s, "tables")) {
        *tables = true;
    } else if (has_number(s, "ld")) {
        if (o->ld)
            return bad(ps, s, "the operand has an ld already");
        LB_TRY(take_int(ps, s, 2, &o->ld));
    } else if (has_number(s, "bs")) {
        if (o->batch_stride)
            return bad(ps, s, "the operand has a batch stride already");
        LB_TRY(take_int(ps, s, 2, &o->batch_stride));
    } else {
        return bad_word(ps, s,
                        "unknown attribute; there are tensor token channel gINT z zt f16 bf16 u8 "
                        "ldINT bsINT tables",
                        "tensor token channel f16 bf16 f32 u8 tables");
    }
    return LB_OK;
}

/* An operand up to one of `stops`; name is A, B, D or R. */
static lb_status parse_operand(parser *ps, char name, const char *stops, lb_operand *o,
                               int32_t *table)
{
    char ends[8] = "@.";
    strcat(ends, stops);
    LB_TRY(parse_type(ps, take_until(ps, ends), &o->type));
    if (*ps->at == '@') {
        ps->at++;
        span s = take_until(ps, ends);
        const word_row *row = find_word(layouts, s);
        if (!row)
            return bad_word(ps, s, "unknown layout; there are rows and cols", "rows cols");
        o->layout = row->value;
    }
    bool zero = false, zero_tensor = false, tables = false;
    while (*ps->at == '.') {
        ps->at++;
        span s = take_until(ps, ends);
        LB_TRY(parse_attribute(ps, s, o, &zero, &zero_tensor, &tables));
        if (tables && !table)
            return bad(ps, s, "only B's weights have tables");
    }
    if (tables)
        *table = o->scale ? o->scale : LB_PER_CHANNEL;
    if (zero_tensor || (zero && (!o->scale || name == 'D' || name == 'R')))
        o->zero = LB_PER_TENSOR;
    else if (zero)
        o->zero = o->scale;
    return LB_OK;
}

static lb_status parse_clamp(const parser *ps, span s, lb_problem *p)
{
    static const char prefix[] = "+clamp=";
    char text[64], *end;
    size_t skip = sizeof prefix - 1;
    if (s.length - skip >= sizeof text)
        return bad(ps, s, "the numbers are too long");
    memcpy(text, s.at + skip, s.length - skip);
    text[s.length - skip] = 0;
    for (char *c = text; *c; c++) /* a line means the same in every locale */
        if (*c == '.')
            *c = *localeconv()->decimal_point;
    p->clamp_min = strtof(text, &end);
    if (end == text || *end != ':')
        return bad(ps, s, "write +clamp=LOW:HIGH, e.g. +clamp=0:6");
    char *high = end + 1;
    p->clamp_max = strtof(high, &end);
    if (end == high || *end)
        return bad(ps, s, "write +clamp=LOW:HIGH, e.g. +clamp=0:6");
    p->clamp = 1;
    return LB_OK;
}

static bool starts_with(span s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.length >= n && memcmp(s.at, prefix, n) == 0;
}

/* +hswish=THREE[:SHIFT] */
static lb_status parse_hard_swish(const parser *ps, span s, lb_problem *p)
{
    size_t skip = strlen("+hswish="), three = skip;
    int64_t value[2] = {0, 0};
    while (three < s.length && s.at[three] != ':')
        three++;
    LB_TRY(take_int(ps, (span){s.at, three}, skip, &value[0]));
    if (three < s.length)
        LB_TRY(take_int(ps, s, three + 1, &value[1]));
    if (value[0] > INT32_MAX || value[1] > INT32_MAX)
        return bad(ps, s, "the number is too large");
    p->activation = LB_ACT_HARD_SWISH;
    p->act_three = (int32_t)value[0];
    p->act_shift = (int32_t)value[1];
    return LB_OK;
}

static lb_status parse_epilogue(const parser *ps, span s, lb_problem *p)
{
    const word_row *row = find_word(activations, (span){s.at + 1, s.length - 1});
    if (row) {
        if (p->activation)
            return bad(ps, s, "there is an activation already; one is applied");
        p->activation = row->value;
    } else if (starts_with(s, "+hswish=")) {
        if (p->activation)
            return bad(ps, s, "there is an activation already; one is applied");
        LB_TRY(parse_hard_swish(ps, s, p));
    } else if (starts_with(s, "+round=")) {
        row = find_word(roundings, (span){s.at + 7, s.length - 7});
        if (!row)
            return bad_word(ps, s,
                            "unknown rounding; there are even gemmlowp fixed dyadic pow2 "
                            "stochastic threshold",
                            "+round=even +round=gemmlowp +round=fixed +round=dyadic +round=pow2 "
                            "+round=stochastic +round=threshold");
        if (p->rounding)
            return bad(ps, s, "there is a rounding already; one is done");
        p->rounding = row->value;
    } else if (span_is(s, "+bias") || starts_with(s, "+bias.")) {
        if (p->bias)
            return bad(ps, s, "there is a bias already; one is added");
        p->bias = LB_TYPE_F32;
        if (s.length > 5)
            LB_TRY(parse_type(ps, (span){s.at + 6, s.length - 6}, &p->bias));
    } else if (starts_with(s, "+res.")) {
        if (p->residual.type)
            return bad(ps, s, "there is a residual already; one is added");
        parser inner = {ps->line, s.at + 5};
        LB_TRY(parse_operand(&inner, 'R', "", &p->residual, NULL));
        if (inner.at != s.at + s.length)
            return bad(ps, s, "write +res.TYPE, e.g. +res.f16");
    } else if (starts_with(s, "+clamp=")) {
        if (p->clamp)
            return bad(ps, s, "there is a clamp already; one is applied");
        LB_TRY(parse_clamp(ps, s, p));
    } else {
        return bad_word(ps, s,
                        "unknown word; there are +bias[.TYPE] +res.TYPE +relu +relu6 +silu +gelu "
                        "+gelu_tanh +hswish[=THREE[:SHIFT]] +clamp=LOW:HIGH +round=MODE",
                        "+bias +res.f16 +relu +relu6 +silu +gelu +gelu_tanh +hswish +clamp=0:6 "
                        "+round=fixed");
    }
    return LB_OK;
}

static lb_status parse_words(parser *ps, lb_problem *p)
{
    struct {
        char letter;
        int64_t *value;
        bool seen;
    } sizes[] = {
        {'m', &p->m, false}, {'n', &p->n, false}, {'k', &p->k, false}, {'b', &p->batch, false}};

    for (;;) {
        while (isspace((unsigned char)*ps->at))
            ps->at++;
        if (!*ps->at)
            break;
        span s = take_until(ps, "");
        if (*s.at == '+') {
            LB_TRY(parse_epilogue(ps, s, p));
            continue;
        }
        size_t i = 0;
        while (i < 4 && sizes[i].letter != *s.at)
            i++;
        if (i == 4 || s.length < 2 || !isdigit((unsigned char)s.at[1]))
            return bad_word(
                ps, s, "unknown word; there are mINT nINT kINT bINT and words that begin with '+'",
                "+bias +res.f16 +relu +relu6 +silu +gelu +gelu_tanh +hswish");
        if (sizes[i].seen)
            return bad(ps, s, "%c is given twice", sizes[i].letter);
        sizes[i].seen = true;
        LB_TRY(take_int(ps, s, 1, sizes[i].value));
    }
    for (size_t i = 0; i < 3; i++)
        if (!sizes[i].seen)
            return bad(ps, (span){ps->at, 0}, "%cINT is missing", sizes[i].letter);
    return LB_OK;
}

lb_status lb_problem_parse(const char *line, lb_problem *problem)
{
    if (!line || !problem)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_problem_parse: %s is NULL",
                       line ? "problem" : "line");
    parser ps = {line, line};
    lb_problem p = LB_PROBLEM_INIT;
    while (isspace((unsigned char)*ps.at))
        ps.at++;
    LB_TRY(parse_operand(&ps, 'A', "*", &p.a, NULL));
    if (*ps.at != '*')
        return bad(&ps, (span){ps.at, strlen(ps.at)},
                   "'*' is missing after the type of A, e.g. s8*s4->s32");
    ps.at++;
    LB_TRY(parse_operand(&ps, 'B', "-", &p.b, &p.b_table));
    if (ps.at[0] != '-' || ps.at[1] != '>')
        return bad(&ps, (span){ps.at, strlen(ps.at)},
                   "'->' is missing after the type of B, e.g. s8*s4->s32");
    ps.at += 2;
    LB_TRY(parse_operand(&ps, 'D', "", &p.d, NULL));
    LB_TRY(parse_words(&ps, &p));
    LB_TRY(lb_problem_check(&p));
    *problem = p;
    return LB_OK;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static const char *word_of(const word_row *table, int32_t value)
{
    for (; table->word; table++)
        if (table->value == value)
            return table->word;
    return "?";
}

/* `plain` is the operand with defaults filled in when none of its strides is given: what equals it
 * is left out. */
static void put_operand(lb_text *w, const lb_operand *o, int64_t plain_ld, int64_t plain_batch,
                        int64_t batch)
{
    lb_text_put(w, "%s", lb_type_name(o->type));
    if (o->layout)
        lb_text_put(w, "@%s", word_of(layouts, o->layout));
    if (o->scale == LB_PER_GROUP)
        lb_text_put(w, ".g%d", o->group);
    else if (o->scale)
        lb_text_put(w, ".%s", word_of(granularities, o->scale));
    if (o->zero)
        lb_text_put(w,
                    o->zero == LB_PER_TENSOR && o->scale != LB_PER_NONE && o->scale != LB_PER_TENSOR
                        ? ".zt"
                        : ".z");
    if (o->scale_type && o->scale_type != LB_TYPE_F32)
        lb_text_put(w, ".%s", lb_type_name(o->scale_type));
    if (o->ld != plain_ld)
        lb_text_put(w, ".ld%" PRId64, o->ld);
    if (batch > 1 && o->batch_stride != plain_batch)
        lb_text_put(w, ".bs%" PRId64, o->batch_stride);
}

lb_status lb_problem_print(const lb_problem *problem, char *text, size_t capacity, size_t *needed)
{
    lb_problem p, dense;
    if (!text && capacity)
        return lb_fail(LB_INVALID_ARGUMENT, "lb_problem_print: text is NULL but capacity is %zu",
                       capacity);
    LB_TRY(lb_problem_normalise(problem, &p));
    /* Strides are printed where they differ from what leaving them out would give. A dense batch
       stride follows from the ld that is printed. */
    lb_operand *o[] = {&p.a, &p.b, &p.d, &p.residual};
    int64_t plain_ld[4], plain_batch[4];
    dense = p;
    dense.a.ld = dense.b.ld = dense.d.ld = dense.residual.ld = 0;
    dense.a.batch_stride = dense.b.batch_stride = dense.d.batch_stride =
        dense.residual.batch_stride = 0;
    LB_TRY(lb_problem_normalise(&dense, &dense));
    lb_operand *plain[] = {&dense.a, &dense.b, &dense.d, &dense.residual};
    int64_t rows[] = {p.m, p.b.layout == LB_LAYOUT_COLS ? p.k : p.n, p.m, p.m};
    for (int i = 0; i < 4; i++) {
        plain_ld[i] = plain[i]->ld;
        plain_batch[i] = rows[i] * o[i]->ld;
    }

    lb_text w = {text, capacity, 0};
    put_operand(&w, &p.a, plain_ld[0], plain_batch[0], p.batch);
    lb_text_put(&w, "*");
    put_operand(&w, &p.b, plain_ld[1], plain_batch[1], p.batch);
    if (p.b_table > LB_PER_TENSOR)
        lb_text_put(&w, ".tables");
    lb_text_put(&w, "->");
    put_operand(&w, &p.d, plain_ld[2], plain_batch[2], p.batch);
    lb_text_put(&w, " m%" PRId64 " n%" PRId64 " k%" PRId64, p.m, p.n, p.k);
    if (p.batch > 1)
        lb_text_put(&w, " b%" PRId64, p.batch);
    if (p.bias)
        lb_text_put(&w, p.bias == LB_TYPE_F32 ? " +bias" : " +bias.%s", lb_type_name(p.bias));
    if (p.residual.type) {
        lb_text_put(&w, " +res.");
        put_operand(&w, &p.residual, plain_ld[3], plain_batch[3], p.batch);
    }
    if (p.activation)
        lb_text_put(&w, " +%s", word_of(activations, p.activation));
    if (p.act_three)
        lb_text_put(&w, p.act_shift ? "=%d:%d" : "=%d", p.act_three, p.act_shift);
    if (p.clamp) {
        char limits[64];
        snprintf(limits, sizeof limits, "%.9g:%.9g", (double)p.clamp_min, (double)p.clamp_max);
        for (char *c = limits; *c; c++)
            if (*c == *localeconv()->decimal_point)
                *c = '.';
        lb_text_put(&w, " +clamp=%s", limits);
    }
    if (p.rounding)
        lb_text_put(&w, " +round=%s", word_of(roundings, p.rounding));
    return lb_text_finish(&w, "lb_problem_print", needed);
}
