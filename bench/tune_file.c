/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tune.h"

void qb_tune_entry(const char *scope, const lb_device_info *device, const char *line,
                   const qb_choice *choice, char *text, size_t capacity)
{
    const char *name = strcmp(scope, "device") == 0   ? device->name
                       : strcmp(scope, "arch") == 0   ? device->features
                       : strcmp(scope, "vendor") == 0 ? device->vendor
                                                      : NULL;
    int n = name ? snprintf(text, capacity, "%s \"%s\"", scope, name)
                 : snprintf(text, capacity, "%s", scope);
    snprintf(text + n, capacity - (size_t)n, " %s = %s%s%s @ %.4g", line, choice->kernel,
             choice->parameters[0] ? " " : "", choice->parameters, choice->time.median);
}

/* Scope, device and problem: all before " = ". */
static size_t key_length(const char *entry)
{
    const char *end = strstr(entry, " = ");
    return end ? (size_t)(end - entry) + 3 : 0;
}

/* The file's text; "" if there is none; NULL: no memory, or it cannot be read. */
static char *load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return errno == ENOENT ? calloc(1, 1) : NULL;
    char *text = NULL;
    struct stat info;
    if (fstat(fileno(file), &info) == 0)
        text = calloc(1, (size_t)info.st_size + 1);
    if (text && info.st_size && fread(text, (size_t)info.st_size, 1, file) != 1) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

bool qb_tune_has(const char *path, const char *entry)
{
    size_t key = key_length(entry);
    bool found = false;
    char *text = load(path);
    for (char *line = text; line && *line && !found;) {
        size_t length = strcspn(line, "\n");
        found = length > key && memcmp(line, entry, key) == 0;
        line += length + (line[length] == '\n');
    }
    free(text);
    return found;
}

static bool make_folders(const char *path)
{
    char part[4096];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return true;
}

static bool write_text(FILE *file, const char *text, const char *entry)
{
    size_t key = key_length(entry);
    if (!*text)
        fputs("# Written by qbench tune; lowbit's docs/tuning.md says what it means.\n", file);
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        bool replaced = length > key && memcmp(line, entry, key) == 0;
        if (!replaced)
            fprintf(file, "%.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    fprintf(file, "%s\n", entry);
    return fflush(file) == 0 && !ferror(file);
}

bool qb_tune_put(const char *path, const char *entry, char *why, size_t capacity)
{
    char temporary[4200];
    char *text = load(path);
    bool good = false;
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    int fd = text && make_folders(path) ? mkstemp(temporary) : -1;
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file) {
        good = write_text(file, text, entry) && fchmod(fd, 0644) == 0;
        good = fclose(file) == 0 && good && rename(temporary, path) == 0;
    } else if (fd >= 0) {
        close(fd);
    }
    if (!good) {
        snprintf(why, capacity, "cannot write %s: %s", path, strerror(errno));
        if (fd >= 0)
            unlink(temporary);
    }
    free(text);
    return good;
}
