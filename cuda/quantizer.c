/* SPDX-License-Identifier: Apache-2.0 */
/* Quantisers: one launch of one of two kernels, a block for each row. */
#include <stdlib.h>

#include "cuda.h"
#include "quantize.h"
#include "status.h"

#define THREADS 128 /* of quantize.cu */

static const char *entry_of(const lb_quantizer *quantizer)
{
    return quantizer->quant.norm_type ? "quantize_norm" : "quantize";
}

lb_status lb_cuda_quantizer_open(lb_quantizer *quantizer)
{
    lb_cuda_context *c = lb_cuda_of(quantizer->context);
    CUfunction function = NULL;
    const char *entry = entry_of(quantizer);
    LB_TRY(lb_cuda_enter(c));
    lb_status status = lb_cuda_function_get(c, "quantize.fatbin", entry, &function);
    lb_cuda_leave(c);
    LB_TRY(status);
    quantizer->impl = function; /* the context's */
    return LB_OK;
}

void lb_cuda_quantizer_close(lb_quantizer *quantizer)
{
    quantizer->impl = NULL;
}

lb_status lb_cuda_quantizer_run(const lb_quantizer *quantizer, const lb_quantizer_args *args,
                                const lb_quantizer_call *call, lb_stream stream)
{
    static const char *const names[LB_QUANT_PTRS] = {"x",     "codes", "scales",
                                                     "zeros", "sums",  "norm_weight"};
    const lb_cuda_context *c = lb_cuda_of(quantizer->context);
    const lb_quant *q = &quantizer->quant;
    const lb_ptr given[] = {args->x,     args->codes, args->scales,
                            args->zeros, args->sums,  args->norm_weight};
    const uint64_t bytes[] = {call->x,     call->codes, call->scales,
                              call->zeros, call->sums,  call->norm_weight};
    lb_quant_kargs kargs = {
        .rows = (lb_i32)call->rows,
        .cols = (lb_i32)q->cols,
        .type = q->type,
        .x_type = q->x_type,
        .scheme = q->scheme,
        .has_zeros = call->zeros != 0,
        .has_sums = call->sums != 0,
        .norm_type = q->norm_type,
        .norm_epsilon = q->norm_epsilon,
        .x_ld = call->x_ld,
        .row_bytes = (lb_i64)call->row_bytes,
    };
    void *pointers[LB_QUANT_PTRS], *parameters[LB_QUANT_PTRS + 1];
    for (int i = 0; i < LB_QUANT_PTRS; i++) {
        pointers[i] = bytes[i] ? given[i].base : NULL;
        kargs.offset[i] = bytes[i] ? given[i].offset : 0;
        parameters[i] = &pointers[i];
    }
    parameters[LB_QUANT_PTRS] = &kargs;

    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_OK;
    for (int i = 0; i < LB_QUANT_PTRS && status == LB_OK; i++)
        status = lb_cuda_check_pointer(c, "lb_quantizer_run", names[i], given[i], bytes[i]);
    if (status == LB_OK)
        status = lb_cuda_launch(c, "lb_quantizer_run", entry_of(quantizer), quantizer->impl,
                                (uint64_t)call->rows, THREADS, 0,
                                lb_cuda_stream_of(quantizer->context, stream), parameters);
    lb_cuda_leave(c);
    return status;
}
