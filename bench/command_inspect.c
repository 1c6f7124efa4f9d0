/* SPDX-License-Identifier: Apache-2.0 */
/* qbench inspect: the tensors of checkpoint files, and which format reads each. */
#include <inttypes.h>
#include <string.h>

#include "qbench.h"

static void print_shape(const lb_tensor_info *t, char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < t->rank && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%" PRId64, i ? " x " : "",
                                 t->shape[i]);
}

/* Sums per type, in the order in which types appear. */
typedef struct sum {
    const char *type;
    size_t count;
    uint64_t bytes;
} sum;
#define MOST_TYPES 48

static void add(sum *sums, const lb_tensor_info *t)
{
    int i = 0;
    while (i < MOST_TYPES - 1 && sums[i].type && strcmp(sums[i].type, t->type) != 0)
        i++;
    sums[i].type = t->type;
    sums[i].count++;
    sums[i].bytes += t->bytes;
}

static lb_status inspect(const char *path)
{
    lb_file *file = NULL;
    sum sums[MOST_TYPES] = {0};
    lb_status status = lb_file_open(path, &file);
    if (status != LB_OK) {
        fprintf(stderr, "qbench: %s: %s\n", path, lb_last_error());
        return status;
    }
    printf("%s: %s, %zu tensors\n", path, lb_file_kind(file), lb_file_count(file));
    for (size_t i = 0; i < lb_file_count(file); i++) {
        lb_tensor_info t = LB_TENSOR_INFO_INIT;
        char shape[96];
        if (lb_file_get_tensor(file, i, &t) != LB_OK)
            continue;
        print_shape(&t, shape, sizeof shape);
        printf("  %-44s %-8s %-18s %12" PRIu64 " bytes at %-12" PRIu64 " %s\n", t.name, t.type,
               shape, t.bytes, t.offset, t.format ? t.format : "-");
        add(sums, &t);
    }
    for (int i = 0; i < MOST_TYPES && sums[i].type; i++)
        printf("%-8s %6zu tensors %14" PRIu64 " bytes\n", sums[i].type, sums[i].count,
               sums[i].bytes);
    lb_file_close(file);
    return LB_OK;
}

int qb_command_inspect(qb_options *o)
{
    int code = QB_EXIT_OK;
    if (o->lines.count == 0) {
        fprintf(stderr, "qbench: inspect needs a GGUF or safetensors file\n");
        return QB_EXIT_USAGE;
    }
    for (size_t i = 0; i < o->lines.count; i++) {
        lb_status status = inspect(o->lines.line[i]);
        int one = status == LB_BAD_DATA ? QB_EXIT_USAGE : qb_exit_of(status);
        code = code ? code : one;
    }
    return code;
}
