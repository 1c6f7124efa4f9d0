/* SPDX-License-Identifier: Apache-2.0 */
/* Two rows of 8-bit activations times 4-bit weights, a scale per channel, on the best device. */
#include <lowbit/lowbit.h>
#include <stdio.h>

int main(void)
{
    static int8_t a[2][8] = {{1, 2, 3, 4, 5, 6, 7, 8}, {-1, 1, -1, 1, -1, 1, -1, 1}};
    static const uint8_t b[3][4] = {{0x11, 0x11, 0x11, 0x11},  /* 1 1 1 1 1 1 1 1: low bits first */
                                    {0xf1, 0xf1, 0xf1, 0xf1},  /* 1 -1 1 -1 1 -1 1 -1 */
                                    {0x10, 0x32, 0x54, 0x76}}; /* 0 1 2 3 4 5 6 7 */
    static const float b_scale[3] = {1.0f, 0.5f, 0.25f};
    lb_weights_source source = {.struct_size = sizeof source, .codes = b, .scales = b_scale};
    lb_args args = LB_ARGS_INIT;
    lb_problem problem;
    lb_context *context = NULL;
    lb_plan *plan = NULL;
    lb_weights *weights = NULL;
    float d[2][3];
    args.a.base = a;
    args.d.base = d;
    if (lb_problem_parse("s8*s4.channel->f32 m2 n3 k8", &problem) != LB_OK ||
        lb_context_create(NULL, &context) != LB_OK ||
        lb_plan_create(context, &problem, NULL, &plan) != LB_OK ||
        lb_weights_create(plan, &source, &weights) != LB_OK ||
        (args.weights = weights, lb_run_host(plan, &args, NULL)) != LB_OK)
        return fprintf(stderr, "int4: %s\n", lb_last_error()), 1;
    for (int m = 0; m < 2; m++)
        printf("%8.2f %8.2f %8.2f\n", (double)d[m][0], (double)d[m][1], (double)d[m][2]);
    lb_weights_destroy(weights);
    lb_plan_destroy(plan);
    lb_context_destroy(context);
    return 0;
}
