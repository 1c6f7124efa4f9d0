/* SPDX-License-Identifier: Apache-2.0 */
/* Packing by the CUDA kernels, run by the fake driver: the bytes of lb_weights_pack, and pointers
 * that are refused before anything is launched. */
#include <stdio.h>

#include "fake/install.h"
#include "packers.h"

Test(cuda_packer, makes_the_host_s_bytes, .timeout = 600)
{
    if (!install("sm=90")->runs_kernels)
        cr_skip_test("built without a C++ compiler");
    lb_context *context = open_device("cuda");
    int canonical = compare_all_canonical(context), stored = compare_all_stored(context);
    fprintf(
        stderr,
        "packed by CUDA kernels emulated: %d canonical and %d stored matrices, all bytes equal\n",
        canonical, stored);
    cr_assert_gt(canonical, 500);
    cr_assert_gt(stored, 200);
    lb_context_destroy(context);
}

/* Three launches and nothing else that a capture would refuse. */
Test(cuda_packer, may_be_captured_and_checks_pointers)
{
    fake_cuda *f = install("devices=2 sm=80");
    lb_context *context = open_device("cuda:0"), *second = open_device("cuda:1");
    pack_source s;
    pack_plan p;
    lb_ptr memory;
    lb_packer *packer;
    lb_packer_args args = LB_PACKER_ARGS_INIT;
    cr_assert(pack_source_make("f32*s4.channel->f32 m1 n33 k100", 5, &s));
    cr_assert(pack_plan_make(context, &s.in.problem, lb_layout_find("block16x64"), &p));
    lb_weights *weights = reserve(context, &p.plan, &memory);
    check_ok(lb_packer_create(&p.plan, NULL, 0, &packer));
    check_ok(rig_upload(context, s.source.codes, s.in.sizes.b, &args.codes));
    check_ok(rig_upload(context, s.source.scales, s.in.sizes.b_scale, &args.scales));
    args.weights = weights;
    int launches = f->launches;
    f->capturing = 1;
    check_ok(lb_packer_run(packer, &args, NULL));
    f->capturing = 0;
    cr_expect_eq(f->launches, launches + 3);
    cr_expect_str_eq(f->last.name, "pack_meta");

    lb_packer_args bad = args;
    bad.codes.base = (void *)(uintptr_t)s.source.codes;
    check_status(lb_packer_run(packer, &bad, NULL), LB_INVALID_ARGUMENT, "lb_packer_run: codes");
    bad = args;
    check_ok(lb_memory_alloc(second, 4 * 33, &bad.scales));
    check_status(lb_packer_run(packer, &bad, NULL), LB_INVALID_ARGUMENT,
                 "scales is memory of CUDA device 1");
    lb_memory_free(second, bad.scales);
    bad = args;
    check_ok(lb_memory_alloc(context, 8, &bad.codes));
    check_status(lb_packer_run(packer, &bad, NULL), LB_INVALID_ARGUMENT, "codes needs 1650 bytes");
    lb_memory_free(context, bad.codes);
    cr_expect_eq(f->launches, launches + 3);
    lb_packer_destroy(packer);
    lb_weights_destroy(weights);
    lb_memory_free(context, memory);
    lb_memory_free(context, args.codes);
    lb_memory_free(context, args.scales);
    pack_source_free(&s);
    lb_context_destroy(second);
    lb_context_destroy(context);
}
