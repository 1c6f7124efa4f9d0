/* SPDX-License-Identifier: Apache-2.0 */
/* What plans would cost, by the selection that makes them. */
#include "problem.h"
#include "select.h"
#include "status.h"
#include "tuning.h"
#include "weights.h"

static lb_status predict_one(lb_context *context, const lb_problem *problem, lb_prediction *out)
{
    lb_problem p;
    lb_candidate best;
    lb_blob_header blob;
    lb_sizes sizes;
    LB_TRY(lb_problem_normalise(problem, &p));
    LB_TRY(lb_select_best(context->backend, &p, &context->device, NULL, lb_tuning_find(context, &p),
                          &best));
    LB_TRY(lb_blob_plan(&p, lb_layout_find(best.row->layout), &blob));
    lb_problem_sizes_of(&p, &sizes);
    out->measured = best.tuned;
    out->exact = lb_problem_is_exact(&p);
    out->seconds = best.cost;
    out->weights_bytes = blob.bytes;
    out->workspace_bytes = best.workspace_bytes;
    out->moved_bytes = sizes.a + blob.bytes + sizes.d;
    out->kernel = best.row->name;
    out->layout = best.row->layout;
    return LB_OK;
}

lb_status lb_predict(lb_context *context, const lb_problem *problems, size_t count,
                     lb_prediction *predictions)
{
    if (!context || (count && !problems))
        return lb_fail(LB_INVALID_ARGUMENT, "lb_predict: %s is NULL",
                       context ? "problems" : "context");
    if (count == 0)
        return LB_OK;
    LB_CHECK_STRUCT(predictions, lb_prediction);
    for (size_t i = 0; i < count; i++) {
        lb_prediction made = LB_PREDICTION_INIT;
        made.status = predict_one(context, &problems[i], &made);
        predictions[i] = made;
    }
    return LB_OK;
}
