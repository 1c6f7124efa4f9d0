/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that CUDA C++ has no name for. Kept apart, because tests/fake/device.cc compiles the
 * rest for the host and brings its own.
 */
#ifndef LB_PTX_CUH
#define LB_PTX_CUH

#include <stdint.h>

/* Conversions of binary16 without cuda_fp16.h, which would take half of the build's time. */
__device__ __forceinline__ float lb_f16_to_f32(uint16_t bits)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ __forceinline__ uint16_t lb_f32_to_f16(float value)
{
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

#endif
