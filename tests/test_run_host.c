/* SPDX-License-Identifier: Apache-2.0 */
/* lb_run_host on every device: the same D as the reference, from arrays in host memory. */
#include "check.h"
#include "rig.h"

static const char *const lines[] = {
    "s8*s8->s32 m5 n7 k33",
    "s8.token*s4.g32->f32 m4 n16 k100 +bias +silu",
    "u8.token.z*u4.channel.z->s8.tensor.z m3 n9 k64 +bias +relu",
    "s8*t2.channel->f16 m2 n33 k64 +res.f16.tensor",
    "b1*b1->s32 m8 n8 k257",
    "f32*s4.g32->f32 m1 n24 k96",
    "s8*s8->s32 m3 n5 k8 b2",
    "s8*s8->s32 m4 n0 k8",
};
enum { LINES = sizeof lines / sizeof *lines };

static lb_args host_args(const rig_inputs *in, const lb_weights *weights, void *d)
{
    const lb_host_args *h = &in->host;
    lb_args args = LB_ARGS_INIT;
    args.weights = weights;
    args.a.base = (void *)(uintptr_t)h->a;
    args.a_scale.base = (void *)(uintptr_t)h->a_scale;
    args.a_zero.base = (void *)(uintptr_t)h->a_zero;
    args.d.base = d;
    args.d_scale.base = (void *)(uintptr_t)h->d_scale;
    args.d_zero.base = (void *)(uintptr_t)h->d_zero;
    args.bias.base = (void *)(uintptr_t)h->bias;
    args.residual.base = (void *)(uintptr_t)h->residual;
    args.residual_scale.base = (void *)(uintptr_t)h->residual_scale;
    return args;
}

static int check_line(lb_context *context, const char *device, const char *line)
{
    rig_inputs in;
    rig r;
    lb_verify_report report = LB_VERIFY_REPORT_INIT;
    check_ok(rig_inputs_make(line, 7, &in));
    check_ok(rig_open(context, &in, NULL, &r));
    char *d = malloc((size_t)in.sizes.d + 1);
    memset(d, RIG_POISON, (size_t)in.sizes.d + 1);
    lb_args args = host_args(&in, r.weights, d);
    check_ok(lb_run_host(r.plan, &args, NULL));
    check_ok(lb_verify(&in.problem, &in.host, d, 0, 1, 0, &report));
    cr_expect(report.wrong == 0, "%s: '%s': %llu of %llu elements are wrong", device, line,
              (unsigned long long)report.wrong, (unsigned long long)report.checked);
    cr_expect((unsigned char)d[in.sizes.d] == RIG_POISON, "%s: '%s': written past D", device, line);

    if (in.sizes.d) { /* refusals leave D alone */
        args.d.base = (void *)(uintptr_t)in.host.a;
        check_status(lb_run_host(r.plan, &args, NULL), LB_INVALID_ARGUMENT, "overlaps");
        args = host_args(&in, r.weights, d);
        args.a.base = NULL;
        memset(d, RIG_POISON, (size_t)in.sizes.d);
        check_status(lb_run_host(r.plan, &args, NULL), LB_INVALID_ARGUMENT, "a is NULL");
        for (uint64_t i = 0; i < in.sizes.d; i++)
            cr_assert((unsigned char)d[i] == RIG_POISON, "%s: '%s': D was touched", device, line);
        args.m = in.problem.m + 1;
        check_status(lb_run_host(r.plan, &args, NULL), LB_INVALID_ARGUMENT, "m is");
    }
    free(d);
    rig_close(&r);
    rig_inputs_free(&in);
    return 1;
}

Test(run_host, every_device)
{
    lb_device_info infos[16] = {LB_DEVICE_INFO_INIT};
    size_t count;
    int cases = 0;
    check_ok(lb_devices(infos, 16, &count));
    for (size_t i = 0; i < count && i < 16; i++) {
        lb_context_desc desc = LB_CONTEXT_DESC_INIT;
        lb_context *context;
        desc.device = infos[i].selector;
        check_ok(lb_context_create(&desc, &context));
        for (int j = 0; j < LINES; j++)
            cases += check_line(context, infos[i].selector, lines[j]);
        lb_context_destroy(context);
    }
    fprintf(stderr, "run_host: %d cases on %zu devices\n", cases, count);
}
