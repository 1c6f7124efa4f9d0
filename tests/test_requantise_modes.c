/* SPDX-License-Identifier: Apache-2.0 */
/* Every mode of requantisation at the ends of s32 on every device of this machine. */
#include "requantise_modes.h"

Test(requantise_modes, every_mode_type_and_granularity_is_the_same_on_every_device, .timeout = 600)
{
    static lb_device_info infos[16];
    size_t count = 0;
    infos[0] = (lb_device_info)LB_DEVICE_INFO_INIT;
    check_ok(lb_devices(infos, 16, &count));
    lb_context *reference = open_device("ref");
    make_operands();
    for (size_t i = 0; i < count && i < 16; i++) {
        if (strcmp(infos[i].backend, "ref") == 0)
            continue;
        tally t = {.step = 1};
        lb_context *device = open_device(infos[i].selector);
        compare_all(reference, device, &t);
        compare_residuals(reference, device, &t);
        fprintf(stderr, "requantise: %ld cases, %ld elements, ref = %s bit for bit\n", t.cases,
                t.elements, infos[i].selector);
        lb_context_destroy(device);
    }
    lb_context_destroy(reference);
}

/* The nearest that a product itself comes to the ends of s32. */
Test(requantise_modes, the_longest_sums_are_right_to_the_unit)
{
    static int8_t longest[2][131071], weights[131071];
    int32_t d[2];
    lb_problem p;
    lb_args args = LB_ARGS_INIT;
    memset(weights, -128, sizeof weights);
    memset(longest[0], -128, sizeof longest[0]);
    memset(longest[1], 127, sizeof longest[1]);
    check_ok(lb_problem_parse("s8*s8->s32 m2 n1 k131071", &p));
    for (int i = 0; i < 2; i++) {
        lb_context *context = open_device(i ? "auto" : "ref");
        lb_weights_source source = {.struct_size = sizeof source, .codes = weights};
        side s = {NULL, NULL};
        check_ok(lb_plan_create(context, &p, NULL, &s.plan));
        check_ok(lb_weights_create(s.plan, &source, &s.weights));
        args.weights = s.weights;
        args.a.base = longest;
        args.d.base = d;
        check_ok(lb_run_host(s.plan, &args, NULL));
        cr_expect_eq(d[0], 131071 * 128 * 128);
        cr_expect_eq(d[1], -131071 * 127 * 128);
        side_close(&s);
        lb_context_destroy(context);
    }
}
