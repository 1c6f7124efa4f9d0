/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of XLA's foreign function interface that a handler needs, as its binary layout
 * (interface 0.3; jaxlib ships the whole as xla/ffi/api/c_api.h, against which the tests compare
 * this one). Every struct begins with its size and is only appended to.
 */
#ifndef LOWBIT_XLA_ABI_H
#define LOWBIT_XLA_ABI_H

#include <stddef.h>
#include <stdint.h>

enum { XLA_MAJOR = 0, XLA_MINOR = 1 }; /* the oldest that has all of this */
enum { XLA_EXTENSION_METADATA = 1, XLA_STAGE_EXECUTE = 3, XLA_ATTRIBUTE_SCALAR = 3 };
enum { XLA_INVALID_ARGUMENT = 3, XLA_NOT_FOUND = 5, XLA_UNIMPLEMENTED = 12, XLA_INTERNAL = 13 };
enum {
    XLA_S8 = 2,
    XLA_S32 = 4,
    XLA_S64 = 5,
    XLA_U8 = 6,
    XLA_F16 = 10,
    XLA_F32 = 11,
    XLA_BF16 = 16
};

typedef struct xla_error xla_error;

typedef struct xla_extension {
    size_t struct_size;
    int type;
    struct xla_extension *next;
} xla_extension;

typedef struct xla_version {
    size_t struct_size;
    xla_extension *extension_start;
    int major_version, minor_version;
} xla_version;

typedef struct xla_metadata {
    size_t struct_size;
    xla_version api_version;
    uint32_t traits;
} xla_metadata;

typedef struct xla_metadata_extension {
    xla_extension base;
    xla_metadata *metadata;
} xla_metadata_extension;

typedef struct xla_error_args {
    size_t struct_size;
    xla_extension *extension_start;
    const char *message;
    int code;
} xla_error_args;

typedef struct xla_stream_args {
    size_t struct_size;
    xla_extension *extension_start;
    void *context;
    void *stream;
} xla_stream_args;

typedef struct xla_api {
    size_t struct_size;
    xla_extension *extension_start;
    xla_version api_version;
    const void *internal;
    xla_error *(*error_create)(xla_error_args *);
    void *error_message, *error_destroy, *handler_register;
    xla_error *(*stream_get)(xla_stream_args *);
} xla_api;

typedef struct xla_buffer {
    size_t struct_size;
    xla_extension *extension_start;
    int type;
    void *data;
    int64_t rank;
    const int64_t *dims;
} xla_buffer;

typedef struct xla_scalar {
    int type;
    void *value;
} xla_scalar;

typedef struct xla_list { /* of arguments or results */
    size_t struct_size;
    xla_extension *extension_start;
    int64_t size;
    const int *types;
    void **values;
} xla_list;

typedef struct xla_text {
    const char *text;
    size_t length;
} xla_text;

typedef struct xla_attributes {
    size_t struct_size;
    xla_extension *extension_start;
    int64_t size;
    const int *types;
    const xla_text **names;
    void **values;
} xla_attributes;

typedef struct xla_call {
    size_t struct_size;
    xla_extension *extension_start;
    const xla_api *api;
    void *context;
    int stage;
    xla_list arguments, results;
    xla_attributes attributes;
} xla_call;

#endif
