/* SPDX-License-Identifier: Apache-2.0 */
/* Packing weights (host/pack.h): its passes, an item of them per work-item. */
#define POINTERS                                                                                   \
    __global const uchar *maps, __global const uchar *codes, __global const uchar *scales,         \
        __global const uchar *zeros, __global const uchar *tables, __global uchar *weights,        \
        __global uchar *fault, __global const uchar *channels, const lb_pack_kargs p
#define AT(name, NAME) (name + p.offset[LB_PACK_##NAME])

__kernel void pack_fill(POINTERS)
{
    if (get_global_id(0) < lb_pack_fill_items(&p))
        lb_pack_fill(&p, AT(maps, MAPS), AT(weights, WEIGHTS), AT(fault, FAULT), get_global_id(0));
}

__kernel void pack_codes(POINTERS)
{
    if (get_global_id(0) < lb_pack_codes_items(&p))
        lb_pack_codes(&p, AT(maps, MAPS), AT(codes, CODES), AT(scales, SCALES), AT(zeros, ZEROS),
                      AT(weights, WEIGHTS), AT(fault, FAULT), get_global_id(0));
}

__kernel void pack_meta(POINTERS)
{
    if (get_global_id(0) < lb_pack_meta_items(&p))
        lb_pack_meta(&p, AT(scales, SCALES), AT(channels, CHANNELS), AT(zeros, ZEROS),
                     AT(tables, TABLES), AT(weights, WEIGHTS), AT(fault, FAULT), get_global_id(0));
}
