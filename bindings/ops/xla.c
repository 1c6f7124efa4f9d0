/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JAX: a handler for XLA's foreign function interface. The layer is the attribute "layer", its
 * number (lb_linear_id); the arguments are the inputs that its problem takes, in the order of
 * lb_input; the result is D. On the CPU platform only.
 */
#include <stdio.h>
#include <string.h>

#include "linear.h"
#include "xla_abi.h"

LB_API xla_error *lb_xla_linear(xla_call *call);

static xla_error *refuse(const xla_call *call, int code, const char *text)
{
    char message[1100];
    snprintf(message, sizeof message, "lowbit: %s", text);
    return call->api->error_create(
        &(xla_error_args){.struct_size = sizeof(xla_error_args), .message = message, .code = code});
}

static xla_error *failed(const xla_call *call, lb_status status)
{
    return refuse(call,
                  status == LB_INVALID_ARGUMENT ? XLA_INVALID_ARGUMENT
                  : status == LB_UNSUPPORTED    ? XLA_UNIMPLEMENTED
                                                : XLA_INTERNAL,
                  lb_linear_error());
}

static int32_t type_of(int xla)
{
    switch (xla) {
    case XLA_S8: return LB_TYPE_S8;
    case XLA_U8: return LB_TYPE_U8;
    case XLA_S32: return LB_TYPE_S32;
    case XLA_F16: return LB_TYPE_F16;
    case XLA_BF16: return LB_TYPE_BF16;
    case XLA_F32: return LB_TYPE_F32;
    default: return LB_TYPE_NONE;
    }
}

static lb_linear *layer_of(const xla_call *call)
{
    const xla_attributes *attributes = &call->attributes;
    for (int64_t i = 0; i < attributes->size; i++) {
        const xla_text *name = attributes->names[i];
        const xla_scalar *scalar = attributes->values[i];
        if (name->length == 5 && !memcmp(name->text, "layer", 5) &&
            attributes->types[i] == XLA_ATTRIBUTE_SCALAR && scalar->type == XLA_S64) {
            int64_t id;
            memcpy(&id, scalar->value, sizeof id);
            return lb_linear_find(id);
        }
    }
    return NULL;
}

static xla_error *execute(const xla_call *call, lb_linear *linear)
{
    static const char empty; /* a buffer without elements may have no address */
    lb_tensor tensors[LB_INPUT_COUNT] = {{NULL, 0, 0, NULL}};
    lb_args args = LB_ARGS_INIT;
    lb_problem problem;
    int64_t next = 0, elements, row = 1;
    int32_t type;
    lb_linear_problem(linear, &problem);
    for (int id = 0; id < LB_INPUT_COUNT; id++) {
        if (!lb_linear_takes(&problem, id, NULL, NULL))
            continue;
        if (next == call->arguments.size)
            return refuse(call, XLA_INVALID_ARGUMENT, "fewer arguments than the problem takes");
        const xla_buffer *b = call->arguments.values[next++];
        tensors[id] =
            (lb_tensor){b->data ? b->data : &empty, type_of(b->type), (int32_t)b->rank, b->dims};
    }
    if (next != call->arguments.size || call->results.size != 1)
        return refuse(call, XLA_INVALID_ARGUMENT, "more arguments or results than the problem has");
    lb_status status = lb_linear_bind(linear, tensors, &args);
    if (status != LB_OK)
        return failed(call, status);
    const xla_buffer *d = call->results.values[0];
    lb_linear_output(linear, &type, &elements);
    for (int64_t i = 0; i < d->rank; i++)
        row *= d->dims[i];
    if (type_of(d->type) != type || row != args.m * elements)
        return refuse(call, XLA_INVALID_ARGUMENT, "the result's type or shape is not D's");
    args.d.base = d->data;
    status = lb_linear_run_host(linear, &args);
    return status == LB_OK ? NULL : failed(call, status);
}

xla_error *lb_xla_linear(xla_call *call)
{
    xla_extension *extension = call->extension_start;
    if (extension && extension->type == XLA_EXTENSION_METADATA) { /* asked at registration */
        xla_metadata *metadata = ((xla_metadata_extension *)(void *)extension)->metadata;
        metadata->api_version.major_version = XLA_MAJOR;
        metadata->api_version.minor_version = XLA_MINOR;
        metadata->traits = 0;
        return NULL;
    }
    if (call->stage != XLA_STAGE_EXECUTE)
        return NULL;
    lb_linear *linear = layer_of(call);
    if (!linear)
        return refuse(call, XLA_NOT_FOUND,
                      "the layer is gone; keep the Linear as long as what "
                      "was compiled with it");
    xla_error *error = execute(call, linear);
    lb_linear_release(linear);
    return error;
}
