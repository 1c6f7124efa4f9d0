/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../host/embedded.h"

/* suites/ *.txt (bench/CMakeLists.txt). */
extern const lb_embedded qb_suites[];
extern const size_t qb_suite_count;

#define LONGEST 512

void qb_lines_free(qb_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->line[i]);
    free(lines->line);
    *lines = (qb_lines){0};
}

/* ---- Braces ---------------------------------------------------------------------------------- */

static bool append(qb_lines *lines, const char *text, char *why, size_t capacity)
{
    if (lines->count == lines->capacity) {
        size_t more = lines->capacity ? 2 * lines->capacity : 64;
        char **grown = realloc(lines->line, more * sizeof *grown);
        if (!grown) {
            snprintf(why, capacity, "no memory for %zu lines", more);
            return false;
        }
        lines->line = grown;
        lines->capacity = more;
    }
    char *copy = strdup(text);
    if (!copy) {
        snprintf(why, capacity, "no memory for a line");
        return false;
    }
    lines->line[lines->count++] = copy;
    return true;
}

static bool expand(qb_lines *lines, const char *text, char *why, size_t capacity);

/* `head` + one alternative + `tail`, expanded further. */
static bool join(qb_lines *lines, const char *head, size_t head_length, const char *middle,
                 size_t length, const char *tail, char *why, size_t capacity)
{
    char line[LONGEST];
    int bytes = snprintf(line, sizeof line, "%.*s%.*s%s", (int)head_length, head, (int)length,
                         middle, tail);
    if (bytes >= LONGEST) {
        snprintf(why, capacity, "a line has %d characters; the limit is %d", bytes, LONGEST - 1);
        return false;
    }
    return expand(lines, line, why, capacity);
}

/* "a..b" up to `close`. */
static bool read_range(const char *text, const char *close, long *from, long *to)
{
    char *end;
    *from = strtol(text, &end, 10);
    if (end == text || strncmp(end, "..", 2) != 0)
        return false;
    const char *second = end + 2;
    *to = strtol(second, &end, 10);
    return end != second && end == close;
}

static bool expand(qb_lines *lines, const char *text, char *why, size_t capacity)
{
    const char *open = strchr(text, '{'), *close = open ? strchr(open, '}') : NULL;
    if (!open && !strchr(text, '}'))
        return append(lines, text, why, capacity);
    if (!close) {
        snprintf(why, capacity, "braces do not match in '%s'", text);
        return false;
    }
    size_t head = (size_t)(open - text);
    long from, to;
    if (read_range(open + 1, close, &from, &to)) {
        for (long i = from; i <= to; i++) {
            char number[24];
            int length = snprintf(number, sizeof number, "%ld", i);
            if (!join(lines, text, head, number, (size_t)length, close + 1, why, capacity))
                return false;
        }
        return true;
    }
    for (const char *at = open + 1; at <= close;) {
        size_t length = strcspn(at, ",}");
        if (!join(lines, text, head, at, length, close + 1, why, capacity))
            return false;
        at += length + 1;
    }
    return true;
}

/* ---- Lines, suites, files -------------------------------------------------------------------- */

bool qb_lines_add(qb_lines *lines, const char *text, char *why, size_t capacity)
{
    return expand(lines, text, why, capacity);
}

bool qb_lines_add_suite(qb_lines *lines, const char *text, char *why, size_t capacity)
{
    for (size_t number = 1; *text; number++) {
        char line[LONGEST];
        size_t length = strcspn(text, "\n"), used = strcspn(text, "#\n");
        while (used && (text[used - 1] == ' ' || text[used - 1] == '\t' || text[used - 1] == '\r'))
            used--;
        if (used >= sizeof line) {
            snprintf(why, capacity, "line %zu has %zu characters; the limit is %d", number, used,
                     LONGEST - 1);
            return false;
        }
        snprintf(line, sizeof line, "%.*s", (int)used, text);
        if (used && !expand(lines, line, why, capacity))
            return false;
        text += length + (text[length] == '\n');
    }
    return true;
}

bool qb_lines_add_file(qb_lines *lines, const char *path, char *why, size_t capacity)
{
    char *text = NULL;
    size_t bytes = 0, room = 0, got;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!file) {
        snprintf(why, capacity, "cannot open %s: %s", path, strerror(errno));
        return false;
    }
    do {
        if (bytes + 4096 + 1 > room) {
            char *grown = realloc(text, room = 2 * room + 8192);
            if (!grown)
                break;
            text = grown;
        }
        got = fread(text + bytes, 1, 4096, file);
        bytes += got;
    } while (got > 0);
    bool read = text && !ferror(file) && feof(file);
    if (!read)
        snprintf(why, capacity, "cannot read %s: %s", path, strerror(errno));
    if (file != stdin)
        fclose(file);
    if (read)
        text[bytes] = 0;
    bool added = read && qb_lines_add_suite(lines, text, why, capacity);
    free(text);
    return added;
}

const char *qb_builtin_suite(size_t index)
{
    return index < qb_suite_count ? qb_suites[index].name : NULL;
}

bool qb_lines_add_builtin(qb_lines *lines, const char *name, char *why, size_t capacity)
{
    bool found = false;
    for (size_t i = 0; i < qb_suite_count; i++) {
        const char *suite = qb_suites[i].name;
        size_t stem = strcspn(suite, ".");
        bool wanted = name ? strlen(name) == stem && memcmp(name, suite, stem) == 0
                           : strncmp(suite, "perf", 4) != 0;
        found |= wanted;
        if (wanted && !qb_lines_add_suite(lines, (const char *)qb_suites[i].data, why, capacity))
            return false;
    }
    if (!found)
        snprintf(why, capacity, "no built-in suite '%s'; 'qbench list' names them", name);
    return found;
}

/* ---- All combinations of a width ------------------------------------------------------------- */

bool qb_lines_add_width(qb_lines *lines, int bits, long long m, long long n, long long k,
                        long long batch, char *why, size_t capacity)
{
    /* Integer activations meet weights scaled per channel (s8 besides per group), and every scale
       that real models have; float activations meet groups, where a group divides into k. */
    static const struct {
        int bits;
        const char *weights; /* integer A; float A */
        const char *grouped; /* s8 A and float A */
    } widths[] = {
        {8, "{s8.channel,u8.channel.z}", "{s8.g128,u8.g128.z}"},
        {4, "{s4.channel,u4.channel.z}", "{s4.g128,u4.g128.z}"},
        {2, "{t2.tensor,s2.channel,u2.channel.z}", "{t2.g128,u2.g128.z}"},
        {1, "b1.channel", "b1.g128"},
    };
    static const struct {
        const char *a, *d;
        bool grouped;
    } forms[] = {
        {"{s8.token,u8.token.z,s4.token,u4.token.z,t2.token,b1.token}", "f16", false},
        {"{s8.token,f16}", "f16", true},
        {"bf16", "bf16", true},
        {"f32", "f32", true},
    };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        if (widths[i].bits != bits)
            continue;
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
            char line[LONGEST];
            snprintf(line, sizeof line, "%s*%s->%s m%lld n%lld k%lld b%lld", forms[f].a,
                     forms[f].grouped ? widths[i].grouped : widths[i].weights, forms[f].d, m, n, k,
                     batch);
            if (!qb_lines_add(lines, line, why, capacity))
                return false;
        }
        return true;
    }
    snprintf(why, capacity, "there are no weights of %d bits; the widths are 1, 2, 4 and 8", bits);
    return false;
}
