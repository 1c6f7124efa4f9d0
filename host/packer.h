/* SPDX-License-Identifier: Apache-2.0 */
/* Packers: what is known of one before any backend, and one on a device that is the calling thread.
 */
#ifndef LB_PACKER_H
#define LB_PACKER_H

#include "backend.h"
#include "pack.h"
#include "weights.h"

struct lb_packer {
    lb_context *context;
    lb_blob_header header;        /* of the weights it makes */
    lb_ptr maps;                  /* on the device: the header, then what pack.h says */
    lb_pack_kargs kargs;          /* all that does not depend on the call */
    uint64_t bytes[LB_PACK_PTRS]; /* that each array must have; 0: it is not read */
    void *impl;
};

/* "codes", as lb_packer_args names it. */
extern const char *const lb_packer_names[LB_PACK_PTRS];
/* The kernels of the passes. */
extern const char *const lb_packer_entries[LB_PACK_PASSES];
/* The arrays of a call, in pack.h's order. */
void lb_packer_arrays(const lb_packer *packer, const lb_packer_args *args,
                      lb_ptr arrays[LB_PACK_PTRS]);

/* The bytes that array i of a call must have; 0: it is not read. */
static inline uint64_t lb_packer_bytes(const lb_packer *packer, const lb_pack_kargs *kargs, int i)
{
    return i == LB_PACK_FAULT && kargs->has_fault ? sizeof(uint32_t) : packer->bytes[i];
}

/* One pass, by the calling thread; arrays as addresses, offsets not added. */
void lb_host_pack(int pass, const lb_pack_kargs *kargs, uint8_t *const arrays[LB_PACK_PTRS]);
lb_status lb_host_packer_open(lb_packer *packer);
void lb_host_packer_close(lb_packer *packer);
lb_status lb_host_packer_run(const lb_packer *packer, const lb_packer_args *args,
                             const lb_pack_kargs *kargs, lb_stream stream);

#endif
