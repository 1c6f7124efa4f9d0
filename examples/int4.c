/* SPDX-License-Identifier: Apache-2.0 */
/* Two tokens of 8-bit activations times 4-bit weights, one scale per channel, on the best device.
 */
#include <lowbit/lowbit.h>
#include <stdio.h>

#define TRY(call)                                                                                  \
    if ((call) != LB_OK)                                                                           \
    return fprintf(stderr, "int4: %s\n", lb_last_error()), 1

int main(void)
{
    static const int8_t a[2][8] = {{1, 2, 3, 4, 5, 6, 7, 8}, {-1, 1, -1, 1, -1, 1, -1, 1}};
    static const uint8_t b[3][4] = {{0x11, 0x11, 0x11, 0x11},  /* 1 1 1 1 1 1 1 1: low bits first */
                                    {0xf1, 0xf1, 0xf1, 0xf1},  /* 1 -1 1 -1 1 -1 1 -1 */
                                    {0x10, 0x32, 0x54, 0x76}}; /* 0 1 2 3 4 5 6 7 */
    static const float b_scale[3] = {1.0f, 0.5f, 0.25f};
    float d[2][3];
    lb_problem problem;
    lb_context *context;
    lb_plan *plan;
    lb_weights *weights;
    lb_plan_info info = LB_PLAN_INFO_INIT;
    lb_args args = LB_ARGS_INIT;
    lb_weights_source source = {.struct_size = sizeof source, .codes = b, .scales = b_scale};

    TRY(lb_problem_parse("s8*s4.channel->f32 m2 n3 k8", &problem));
    TRY(lb_context_create(NULL, &context));
    TRY(lb_plan_create(context, &problem, NULL, &plan));
    TRY(lb_weights_create(plan, &source, &weights));

    TRY(lb_plan_get_info(plan, &info));
    args.weights = weights;
    args.workspace_bytes = info.workspace_bytes;
    TRY(lb_memory_alloc(context, args.workspace_bytes, &args.workspace));
    TRY(lb_memory_alloc(context, sizeof a, &args.a));
    TRY(lb_memory_alloc(context, sizeof d, &args.d));
    TRY(lb_memory_write(context, args.a, a, sizeof a, NULL));
    TRY(lb_run(plan, &args, NULL));
    TRY(lb_memory_read(context, d, args.d, sizeof d, NULL));
    for (int m = 0; m < 2; ++m)
        printf("%8.2f %8.2f %8.2f\n", (double)d[m][0], (double)d[m][1], (double)d[m][2]);

    lb_memory_free(context, args.a);
    lb_memory_free(context, args.d);
    lb_memory_free(context, args.workspace);
    lb_weights_destroy(weights);
    lb_plan_destroy(plan);
    lb_context_destroy(context);
    return 0;
}
