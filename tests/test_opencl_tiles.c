/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenCL rows for GPUs, on an OpenCL CPU device that is said to be one: the paths in portable
 * OpenCL C, the staging, the tiles' edges, the zero points and the epilogues are the same there,
 * and mma.sync is modelled. Bit for bit, or within the derived bound for group scales. Skipped
 * where no OpenCL device is.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "lines.h"
#include "opencl.h"
#include "passes.h"
#include "select.h"

static const struct {
    const char *kernel, *lines;
} table[] = {
    {"ocl_gpu_int", "s8*s8->s32 m{1,63,64,65} n{1,17,129} k{1,31,33}\n"
                    "u8*u8->s32 m{7,127,129} n{16,63,65} k{32,63,130}\n"
                    "{s8,u8,s4,t2,b1}*{s8,u8,s4,u2,t2,b1}->s32 m17 n70 k129\n"
                    "s8*s4->s32 m0 n3 k5\n"
                    "s8*s4->s32 m3 n5 k0\n"
                    "s8*{s8,u8,u4,t2,b1}->s32 m130 n200 k333\n"},
    {"ocl_gpu_int",
     "u8.ld150*s4->s32.ld90 m37 n81 k140 b2\n"
     "{s8,u8.z}.token*{u8,s4.zt}{.channel,.tensor}->f16 m19 n35 k100 +bias +res.f16\n"
     "u8.token.z*s4.channel.z->s8.tensor.z m150 n260 k1050 +relu\n"
     "s4.token*t2.channel->{b1,s4.tensor,f32,bf16} m5 n37 k66\n"},
    {"ocl_gpu_int", "{s8,u8}.token*{s8,u8,s4}.g{32,64}->f16 m6 n67 k200\n"
                    "{s8,u8.z}.token*{u8,s4}.g{32,96}.z->bf16 m70 n150 k257 b2\n"
                    "s8.token*s4.g128->f32 m6 n67 k96\n"
                    "{s8,u8.z}.token*{u4,s4}.g{32,96}.u8.z->bf16 m70 n150 k257 b2\n"
                    "s8*{u2,s2,t2}.g64.u8->s32 m6 n67 k200\n"},
    /* Decoding is tile.clh's in all of them, so that a few widths do for the others. */
    {"ocl_gpu_int_m8", "{s8,u8,s4,t2,b1}*{s8,u8,u2}->s32 m{1,7} n70 k129\n"
                       "s8*s8->s32 m{1,8} n{1,31,33,129} k{1,31,33,333}\n"
                       "s8*t2->s32 m3 n5 k0\n"
                       "u8.ld150*s8->s32.ld90 m5 n81 k140 b2\n"
                       "u8.token.z*s2.channel.z->s8.tensor.z m5 n260 k1050 +relu\n"
                       "{s8,u8}.token*{s4,b1}.g{32,64}->f16 m6 n67 k200\n"
                       "{s8,u8.z}.token*u4.g{32,96}.z->bf16 m8 n150 k257 b2\n"
                       "{s8,u8.z}.token*{u4,t2}.g{32,96}.u8->bf16 m8 n150 k257 b2\n"},
    {"ocl_gpu_mma", "{s8,u8,s4,t2,b1}*{s8,u8,s4}->s32 m17 n70 k129\n"
                    "s8*s8->s32 m{1,65,130} n{1,31,131} k{1,33,333}\n"
                    "s8*s4->s32 m3 n5 k0\n"
                    "u8.ld150*s4->s32.ld90 m37 n81 k140 b2\n"
                    "u8.token.z*s4.channel.z->s8.tensor.z m150 n260 k1050 +relu\n"
                    "s8.token*s4.g{32,64}->f16 m6 n67 k200\n"
                    "{s8,u8.z}.token*u4.g{32,96}.z->bf16 m70 n150 k257 b2\n"
                    "{s8,u8.z}.token*u4.g{32,96}.u8.z->bf16 m70 n150 k257 b2\n"},
    {"ocl_gpu_dpas16", "{s8,u8,t2}*{s8,s4}->s32 m17 n70 k129\n"
                       "s8*s8->s32 m{1,33,130} n{1,31,131} k{1,33,333}\n"
                       "s8*s4->s32 m3 n5 k0\n"
                       "u8.token.z*s4.channel.z->s8.tensor.z m150 n260 k1050 +relu\n"
                       "{s8,u8.z}.token*u4.g{32,96}.z->bf16 m70 n150 k257 b2\n"
                       "s8.token*u4.g{32,96}.u8.z->bf16 m70 n150 k257 b2\n"},
    {"ocl_gpu_dpas8", "{s8,u8,t2}*{s8,s4}->s32 m17 n70 k129\n"
                      "s8*s8->s32 m{1,33,130} n{1,31,131} k{1,33,333}\n"
                      "{s8,u8.z}.token*u4.g{32,96}.z->bf16 m70 n150 k257 b2\n"},
    {"ocl_gpu_xnor", "b1*b1->s32 m{1,64,65} n{1,17,129} k{1,31,33,255,257}\n"
                     "b1*b1->s32 m{130,200} n200 k1333\n"
                     "b1.ld448*b1->s32.ld90 m37 n81 k301 b2\n"
                     "b1.token*b1.g{32,64,96,256,288}->f16 m9 n70 k777\n"
                     "b1*b1.channel->{b1,s8,f16} m5 n37 k66 +bias.f32\n"
                     "b1*b1->s32 m3 n5 k0\n"},
    {"ocl_gpu_xnor_m8", "b1*b1->s32 m{1,7,8} n{1,17,129} k{1,31,33,255,257,1333}\n"
                        "b1.ld448*b1->s32.ld90 m7 n81 k301 b2\n"
                        "b1.token*b1.g{32,64,96,256,288}->f16 m{1,8} n70 k777\n"
                        "b1*b1->s32 m3 n5 k0\n"},
};

typedef struct target {
    size_t row;
    qb_data data;
} target;

ParameterizedTestParameters(opencl_tiles, row)
{
    enum { ROWS = sizeof table / sizeof *table };
    static target targets[2 * ROWS];
    for (size_t i = 0; i < 2 * ROWS; i++)
        targets[i] = (target){i / 2, i % 2 ? QB_DATA_EXTREME : QB_DATA_NORMAL};
    return cr_make_param_array(target, targets, 2 * ROWS);
}

ParameterizedTest(target *t, opencl_tiles, row)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    qb_lines lines = {0};
    char why[256] = "";
    int failures = 0;
    desc.device = "opencl";
    lb_opencl_pretend = "gpu wg256 nv-mma intel-dpas8 intel-dpas16";
    if (lb_context_create(&desc, &context) == LB_NO_DEVICE)
        cr_skip_test("%s", lb_last_error());
    cr_assert(qb_lines_add_suite(&lines, table[t->row].lines, why, sizeof why), "%s", why);
    for (size_t i = 0; i < lines.count; i++)
        failures += !passes(context, table[t->row].kernel, t->data, lines.line[i]);
    lb_context_destroy(context);
    cr_assert_eq(failures, 0, "%d of %zu problems failed", failures, lines.count);
    qb_lines_free(&lines);
}

Test(opencl_tiles, what_passed_on_cpus_alone_is_not_proven_on_a_gpu)
{
    static const lb_kernel row = {.flags = LB_ROW_PROVEN_ON_CPU},
                           never = {.flags = LB_ROW_UNPROVEN};
    static const lb_device cpu = {.info.is_gpu = 0}, gpu = {.info.is_gpu = 1};
    cr_assert(lb_row_proven(&row, &cpu));
    cr_assert_not(lb_row_proven(&row, &gpu));
    cr_assert_not(lb_row_proven(&never, &cpu));
}
