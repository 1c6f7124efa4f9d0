/* SPDX-License-Identifier: Apache-2.0 */
/* Layers for the frameworks' ops: made, run from threads, counted, refused. */
#include "linear.h"

#include <pthread.h>

#include "check.h"

enum { N = 5, K = 40 };
static const char line[] = "s8*s8->s32 m4 n5 k40";
static int8_t codes[N][K];

static lb_linear *make(void)
{
    static const int64_t dims[] = {N, K};
    lb_tensor weights[LB_WEIGHT_COUNT] = {{codes, LB_TYPE_S8, 2, dims}};
    lb_linear *linear = NULL;
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++)
            codes[n][k] = (int8_t)(n - k % 3);
    cr_assert(lb_linear_create("ref", line, weights, &linear) == LB_OK, "%s", lb_linear_error());
    return linear;
}

static lb_status run(lb_linear *linear, int64_t m)
{
    int8_t a[64][K];
    int32_t d[64][N];
    int64_t dims[] = {m, K};
    lb_tensor tensors[LB_INPUT_COUNT] = {{a, LB_TYPE_S8, 2, dims}};
    lb_args args = LB_ARGS_INIT;
    memset(a, 1, sizeof a);
    memset(d, 0, sizeof d);
    lb_status status = lb_linear_bind(linear, tensors, &args);
    args.d.base = d;
    if (status == LB_OK)
        status = lb_linear_run_host(linear, &args);
    for (int64_t i = 0; status == LB_OK && i < m; i++)
        for (int n = 0; n < N; n++) {
            int32_t sum = 0;
            for (int k = 0; k < K; k++)
                sum += codes[n][k];
            if (d[i][n] != sum)
                return LB_INTERNAL;
        }
    return status;
}

static void *thread(void *linear)
{
    for (int64_t m = 0; m <= 64; m++)
        if (run(linear, m) != LB_OK)
            return linear;
    return NULL;
}

Test(linear, threads_make_the_plans_they_need)
{
    lb_linear *linear = make();
    pthread_t threads[4];
    void *failed;
    for (int i = 0; i < 4; i++)
        cr_assert(pthread_create(&threads[i], NULL, thread, linear) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        cr_expect_null(failed);
    }
    lb_linear_release(linear);
}

Test(linear, is_counted_and_numbered)
{
    lb_linear *linear = make(), *other = make();
    int64_t id = lb_linear_id(linear);
    cr_expect(id > 0 && lb_linear_id(other) != id);
    cr_expect(lb_linear_find(id) == linear);
    lb_linear_release(linear);
    cr_expect(run(linear, 3) == LB_OK);
    lb_linear_release(linear);
    cr_expect_null(lb_linear_find(id));
    cr_expect_null(lb_linear_find(0));
    cr_expect_null(lb_linear_find(INT64_MAX));
    lb_linear_release(other);
    lb_linear_release(NULL);
}

/* Weights whose scales have two levels take those of the channels, and no other weights do. */
Test(linear, takes_scales_of_channels)
{
    static const char levels[] = "s8*s4.g32.u8->f32 m1 n2 k32";
    static const int64_t row[] = {1, 32}, matrix[] = {2, 16}, groups[] = {2, 1}, channels[] = {2};
    uint8_t narrow[32], steps[] = {3, 5};
    float of_channels[] = {0.5F, 0.25F}, d[2];
    int8_t a[32];
    lb_tensor weights[LB_WEIGHT_COUNT] = {
        [LB_WEIGHT_CODES] = {narrow, LB_TYPE_U8, 2, matrix},
        [LB_WEIGHT_SCALES] = {steps, LB_TYPE_U8, 2, groups},
        [LB_WEIGHT_CHANNEL_SCALES] = {of_channels, LB_TYPE_F32, 1, channels}};
    lb_tensor tensors[LB_INPUT_COUNT] = {{a, LB_TYPE_S8, 2, row}};
    lb_args args = LB_ARGS_INIT;
    lb_linear *linear = NULL;
    memset(narrow, 0x22, sizeof narrow);
    memset(a, 1, sizeof a);
    cr_assert(lb_linear_create("ref", levels, weights, &linear) == LB_OK, "%s", lb_linear_error());
    cr_assert(lb_linear_bind(linear, tensors, &args) == LB_OK);
    args.d.base = d;
    cr_assert(lb_linear_run_host(linear, &args) == LB_OK);
    cr_expect(d[0] == 32 * 2 * 3 * 0.5F && d[1] == 32 * 2 * 5 * 0.25F);
    lb_linear_release(linear);

    weights[LB_WEIGHT_CHANNEL_SCALES].data = NULL;
    check_status(lb_linear_create("ref", levels, weights, &linear), LB_INVALID_ARGUMENT, "");
    cr_expect(strstr(lb_linear_error(), "channel_scales is missing; the problem takes f32, 2"));
    weights[LB_WEIGHT_CHANNEL_SCALES].data = of_channels;
    check_status(lb_linear_create("ref", "s8*s4.g32->f32 m1 n2 k32", weights, &linear),
                 LB_INVALID_ARGUMENT, "");
    cr_expect(strstr(lb_linear_error(), "scales is u8"), "%s", lb_linear_error());
    weights[LB_WEIGHT_SCALES].data = NULL;
    check_status(lb_linear_create("ref", "s8*s4->f32 m1 n2 k32", weights, &linear),
                 LB_INVALID_ARGUMENT, "");
    cr_expect(strstr(lb_linear_error(), "channel_scales is not part of the problem"));
}

Test(linear, refuses)
{
    static const int64_t dims[] = {N, K - 1};
    lb_tensor weights[LB_WEIGHT_COUNT] = {{codes, LB_TYPE_S8, 2, dims}};
    lb_linear *linear = NULL;
    check_status(lb_linear_create("ref", line, weights, &linear), LB_INVALID_ARGUMENT, "");
    cr_expect(strstr(lb_linear_error(), "codes is s8 [5, 39]"), "%s", lb_linear_error());
    cr_expect_null(linear);
    linear = make();
    lb_tensor tensors[LB_INPUT_COUNT] = {{codes, LB_TYPE_U8, 2, dims}};
    lb_args args = LB_ARGS_INIT;
    cr_expect(lb_linear_bind(linear, tensors, &args) == LB_INVALID_ARGUMENT);
    cr_expect(strstr(lb_linear_error(), "the problem wants s8 [..., 40]"), "%s", lb_linear_error());
    args.m = -1;
    cr_expect(lb_linear_run_host(linear, &args) == LB_INVALID_ARGUMENT);
    lb_linear_release(linear);
}
