/* SPDX-License-Identifier: Apache-2.0 */
/* Predictions say what the plan that is then made says. */
#include "check.h"

Test(predict, agrees_with_the_plan)
{
    static const char *const lines[] = {"s8.token*s8.channel->f16 m16 n256 k256",
                                        "s8.token*s4.g64->f16 m16 n256 k256",
                                        "f16*c4.g64->f16 m1 n256 k256", "b1*b1->s32 m4 n64 k512"};
    static const char *const devices[] = {"ref", "auto"};
    for (int device = 0; device < 2; device++) {
        lb_context_desc desc = LB_CONTEXT_DESC_INIT;
        lb_context *context;
        lb_problem problems[5];
        lb_prediction predictions[5] = {LB_PREDICTION_INIT};
        desc.device = devices[device];
        check_ok(lb_context_create(&desc, &context));
        for (int i = 0; i < 4; i++)
            check_ok(lb_problem_parse(lines[i], &problems[i]));
        problems[4] = problems[0];
        problems[4].b.type = LB_TYPE_F16; /* no row takes it */
        check_ok(lb_predict(context, problems, 5, predictions));
        for (int i = 0; i < 4; i++) {
            lb_plan *plan;
            lb_plan_info info = LB_PLAN_INFO_INIT;
            check_ok(lb_plan_create(context, &problems[i], NULL, &plan));
            check_ok(lb_plan_get_info(plan, &info));
            cr_assert(predictions[i].status == LB_OK && predictions[i].seconds > 0);
            cr_expect_str_eq(predictions[i].kernel, info.kernel);
            cr_expect_str_eq(predictions[i].layout, info.layout);
            cr_expect(predictions[i].weights_bytes == info.weights_bytes &&
                      predictions[i].workspace_bytes == info.workspace_bytes &&
                      predictions[i].seconds == info.predicted_seconds &&
                      predictions[i].exact == info.exact &&
                      predictions[i].moved_bytes > info.weights_bytes);
            lb_plan_destroy(plan);
        }
        cr_expect(predictions[4].status != LB_OK && predictions[4].kernel == NULL &&
                  predictions[4].seconds == 0);
        check_ok(lb_predict(context, NULL, 0, NULL));
        predictions[0].struct_size = 3;
        check_status(lb_predict(context, problems, 1, predictions), LB_INVALID_ARGUMENT,
                     "struct_size is 3");
        check_status(lb_predict(context, NULL, 1, predictions), LB_INVALID_ARGUMENT,
                     "problems is NULL");
        check_status(lb_predict(NULL, problems, 1, predictions), LB_INVALID_ARGUMENT,
                     "context is NULL");
        lb_context_destroy(context);
    }
}
