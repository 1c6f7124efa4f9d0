/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint files: a table of tensors over bytes that are only read (mapped, or a test's). Every
 * count, length and offset is bounded before it is used. */
#ifndef LB_FILE_H
#define LB_FILE_H

#include "lowbit/lowbit.h"

#define LB_FILE_RANK 4

/* What bitsandbytes says of a 4-bit matrix, as JSON in a tensor of bytes. */
typedef struct lb_bnb_state {
    int64_t n, k, block;
    int64_t nested_block; /* 0: the scales are not quantised */
    float offset;         /* of quantised scales */
} lb_bnb_state;

typedef struct lb_file_tensor {
    char *name;         /* owned */
    const char *type;   /* static, or the file's own text in `name`'s allocation */
    const char *format; /* NULL: not one tensor by itself */
    int32_t rank;
    int64_t shape[LB_FILE_RANK]; /* outermost first */
    uint64_t offset, bytes;      /* in the file */
    lb_bnb_state *state; /* owned; NULL: this is no such tensor, or one that says too little */
} lb_file_tensor;

struct lb_file {
    const char *kind; /* "gguf", "safetensors", "lbw" */
    uint8_t *data;    /* never written */
    uint64_t bytes;
    int mapped;
    lb_file_tensor *tensor;
    size_t count;
    char **matrix; /* their names, owned: each lb_file_find's */
    size_t matrices;
};

/* Reads the table; *out keeps `data`, which must outlive it. Not mapped: lb_file_close leaves
   `data` alone. */
lb_status lb_file_parse(const void *data, uint64_t bytes, lb_file **out);
lb_status lb_gguf_parse(lb_file *file);
lb_status lb_safetensors_parse(lb_file *file);

/* Fills in the names of matrices. */
lb_status lb_file_list(lb_file *file);

/* NULL if shape or block size are missing; *status is OUT_OF_MEMORY or LB_OK. */
lb_bnb_state *lb_bnb_state_parse(const void *json, uint64_t bytes, lb_status *status);

/* The tensor called by this name, or prefix + suffix; NULL if there is none. */
const lb_file_tensor *lb_file_lookup(const lb_file *file, const char *prefix, const char *suffix);

#endif
