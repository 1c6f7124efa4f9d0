/* SPDX-License-Identifier: Apache-2.0 */
/* Packers: three launches (pack.cu). */
#include "packer.h"

#include <stdlib.h>

#include "cuda.h"
#include "status.h"

#define THREADS 128 /* at most, by pack.cu */

typedef struct packer_impl {
    CUfunction functions[LB_PACK_PASSES]; /* the context's */
} packer_impl;

lb_status lb_cuda_packer_open(lb_packer *packer)
{
    lb_cuda_context *c = lb_cuda_of(packer->context);
    packer_impl *impl = calloc(1, sizeof *impl);
    if (!impl)
        return lb_fail(LB_OUT_OF_MEMORY, "no memory for a packer");
    lb_status status = lb_cuda_enter(c);
    if (status == LB_OK) {
        for (int i = 0; i < LB_PACK_PASSES && status == LB_OK; i++)
            status =
                lb_cuda_function_get(c, "pack.fatbin", lb_packer_entries[i], &impl->functions[i]);
        lb_cuda_leave(c);
    }
    if (status != LB_OK) {
        free(impl);
        return status;
    }
    packer->impl = impl;
    return LB_OK;
}

void lb_cuda_packer_close(lb_packer *packer)
{
    free(packer->impl);
    packer->impl = NULL;
}

lb_status lb_cuda_packer_run(const lb_packer *packer, const lb_packer_args *args,
                             const lb_pack_kargs *kargs, lb_stream stream)
{
    const lb_cuda_context *c = lb_cuda_of(packer->context);
    const packer_impl *impl = packer->impl;
    lb_pack_kargs copy = *kargs; /* launches take pointers to writable arguments */
    lb_ptr arrays[LB_PACK_PTRS];
    void *pointers[LB_PACK_PTRS], *parameters[LB_PACK_PTRS + 1];
    lb_packer_arrays(packer, args, arrays);
    for (int i = 0; i < LB_PACK_PTRS; i++) {
        pointers[i] = arrays[i].base;
        parameters[i] = &pointers[i];
    }
    parameters[LB_PACK_PTRS] = &copy;

    LB_TRY(lb_cuda_enter(c));
    lb_status status = LB_OK;
    for (int i = 0; i < LB_PACK_PTRS && status == LB_OK; i++)
        status = lb_cuda_check_pointer(c, "lb_packer_run", lb_packer_names[i], arrays[i],
                                       lb_packer_bytes(packer, kargs, i));
    for (int i = 0; i < LB_PACK_PASSES && status == LB_OK; i++) {
        uint64_t items = lb_pack_items(kargs, i);
        if (items)
            status = lb_cuda_launch(c, "lb_packer_run", lb_packer_entries[i], impl->functions[i],
                                    (items + THREADS - 1) / THREADS, THREADS, 0,
                                    lb_cuda_stream_of(packer->context, stream), parameters);
    }
    lb_cuda_leave(c);
    return status;
}
