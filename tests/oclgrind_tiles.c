/* SPDX-License-Identifier: Apache-2.0 */
/* The rows for GPUs where every access is checked, races between work-items included: small shapes
   that leave tiles, steps and groups partly empty. */
#include "opencl.h"
#include "passes.h"

static const struct {
    const char *kernel, *line;
} table[] = {
    {"ocl_gpu_int", "s8*s4->s32 m5 n19 k130"},
    {"ocl_gpu_int", "u8.z.token*u4.g32.z->f16 m3 n19 k70"},
    {"ocl_gpu_int_m8", "u8*u8->s32 m3 n35 k301"},
    {"ocl_gpu_int_m8", "s8.token*t2.g64->f16 m2 n17 k301 b2"},
    {"ocl_gpu_mma", "u8*s8->s32 m2 n9 k70"},
    {"ocl_gpu_mma", "s8.token*s4.g32->f16 m2 n9 k70"},
    {"ocl_gpu_dpas16", "u8*s8->s32 m2 n9 k70"},
    {"ocl_gpu_dpas8", "s8.token*s4.g32->f16 m2 n9 k70"},
    {"ocl_gpu_xnor", "b1*b1->s32 m5 n19 k600"},
    {"ocl_gpu_xnor", "b1.token*b1.g96->f16 m2 n9 k301"},
    {"ocl_gpu_xnor_m8", "b1.token*b1.g96->f16 m2 n9 k301"},
};

int main(void)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    bool passed = true;
    desc.device = "opencl";
    lb_opencl_pretend = "gpu wg256 nv-mma intel-dpas8 intel-dpas16";
    if (lb_context_create(&desc, &context) != LB_OK) {
        fprintf(stderr, "%s\n", lb_last_error());
        return 1;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        passed &= passes(context, table[i].kernel, QB_DATA_NORMAL, table[i].line);
    lb_context_destroy(context);
    return !passed;
}
