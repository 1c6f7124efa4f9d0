/* SPDX-License-Identifier: Apache-2.0 */
/* Packing weights (host/pack.h): its passes, an item of them per thread. */
// archs: 75 80+ 90a
#include "common.cuh"

#include "pack.h"

#define POINTERS                                                                                   \
    const uint8_t *maps, const uint8_t *codes, const uint8_t *scales, const uint8_t *zeros,        \
        const uint8_t *tables, uint8_t *weights, uint8_t *fault, const uint8_t *channels,          \
        const __grid_constant__ lb_pack_kargs p
#define AT(name, NAME) (name + p.offset[LB_PACK_##NAME])

namespace
{

__device__ __forceinline__ uint64_t item_of_thread()
{
    return (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

} // namespace

extern "C" __global__ void __launch_bounds__(128) pack_fill(POINTERS)
{
    if (item_of_thread() < lb_pack_fill_items(&p))
        lb_pack_fill(&p, AT(maps, MAPS), AT(weights, WEIGHTS), AT(fault, FAULT), item_of_thread());
}

extern "C" __global__ void __launch_bounds__(128) pack_codes(POINTERS)
{
    if (item_of_thread() < lb_pack_codes_items(&p))
        lb_pack_codes(&p, AT(maps, MAPS), AT(codes, CODES), AT(scales, SCALES), AT(zeros, ZEROS),
                      AT(weights, WEIGHTS), AT(fault, FAULT), item_of_thread());
}

extern "C" __global__ void __launch_bounds__(128) pack_meta(POINTERS)
{
    if (item_of_thread() < lb_pack_meta_items(&p))
        lb_pack_meta(&p, AT(scales, SCALES), AT(channels, CHANNELS), AT(zeros, ZEROS),
                     AT(tables, TABLES), AT(weights, WEIGHTS), AT(fault, FAULT), item_of_thread());
}
