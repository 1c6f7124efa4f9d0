/* SPDX-License-Identifier: Apache-2.0 */
/* What lb_measure_ceilings says of each device here: rates that a reader may divide by. */
#include <criterion/criterion.h>
#include <math.h>

#include "check.h"

#define MAX_DEVICES 16

/* 0 says "not measured"; nothing else but a rate may stand there. */
static void check_rate(const char *device, const char *name, double rate, int must)
{
    cr_expect(isfinite(rate) && rate >= 0, "%s: %s is %g", device, name, rate);
    cr_expect(!must || rate > 0, "%s: %s was not measured", device, name);
}

Test(ceilings, are_rates_or_zero_on_every_device, .timeout = 120)
{
    lb_device_info infos[MAX_DEVICES] = {LB_DEVICE_INFO_INIT};
    size_t count;
    check_ok(lb_devices(infos, MAX_DEVICES, &count));
    for (size_t i = 0; i < count && i < MAX_DEVICES; i++) {
        lb_context_desc desc = LB_CONTEXT_DESC_INIT;
        lb_context *context;
        lb_ceilings c = LB_CEILINGS_INIT;
        desc.device = infos[i].selector;
        check_ok(lb_context_create(&desc, &context));
        check_ok(lb_measure_ceilings(context, &c));
        lb_context_destroy(context);
        /* The reference measures nothing. */
        int must = strcmp(infos[i].backend, "ref") != 0;
        check_rate(desc.device, "read_bytes", c.read_bytes, must);
        check_rate(desc.device, "copy_bytes", c.copy_bytes, must);
        check_rate(desc.device, "ops_f32", c.ops_f32, must);
        check_rate(desc.device, "ops_s8", c.ops_s8, must);
        check_rate(desc.device, "ops_b1", c.ops_b1, must);
        check_rate(desc.device, "ops_f16", c.ops_f16, 0);
        check_rate(desc.device, "ops_bf16", c.ops_bf16, 0);
    }
}

Test(ceilings, want_a_context_and_a_struct_that_says_its_size)
{
    lb_context_desc desc = LB_CONTEXT_DESC_INIT;
    lb_context *context;
    lb_ceilings none = {0}, c = LB_CEILINGS_INIT;
    desc.device = "ref";
    check_ok(lb_context_create(&desc, &context));
    check_status(lb_measure_ceilings(NULL, &c), LB_INVALID_ARGUMENT, "context is NULL");
    check_status(lb_measure_ceilings(context, NULL), LB_INVALID_ARGUMENT, "ceilings is NULL");
    check_status(lb_measure_ceilings(context, &none), LB_INVALID_ARGUMENT, "struct_size is 0");
    lb_context_destroy(context);
}
