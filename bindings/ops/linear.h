/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A quantised linear layer for the frameworks' ops: a problem line and weights, for any number of
 * rows.
 *
 *     lb_linear_create("auto", "s8.token*s4.channel->f32 m16 n4096 k4096", &weights, &linear);
 *     lb_linear_bind(linear, tensors, &args);      // checks what the framework passed
 *     lb_linear_run(linear, &args, stream);        // or lb_linear_run_host
 *
 * Weights are packed once, for the kernel that is best at the line's m; plans for other m are made
 * when first needed, one for each power of two, and kept. All layers on one device share a context.
 * Everything but lb_linear_release may be called from any number of threads.
 */
#ifndef LOWBIT_LINEAR_H
#define LOWBIT_LINEAR_H

#include <lowbit/lowbit.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lb_linear lb_linear;

/* A framework's tensor: contiguous, of a type that bytes are stored as. Elements narrower than a
 * byte lie packed in u8; b1's bits, too. */
typedef struct lb_tensor {
    const void *data; /* NULL: absent */
    int32_t type;     /* lb_type: s8 u8 s32 f16 bf16 f32; NONE = one that no array has */
    int32_t rank;
    const int64_t *dims;
} lb_tensor;

/* What is packed when the layer is made. */
typedef enum lb_weight {
    LB_WEIGHT_CODES = 0,
    LB_WEIGHT_SCALES = 1,
    LB_WEIGHT_ZEROS = 2,
    LB_WEIGHT_TABLES = 3,         /* of c4 and c2 */
    LB_WEIGHT_CHANNEL_SCALES = 4, /* of scales of two levels */
    LB_WEIGHT_COUNT = 5
} lb_weight;

/* What is passed at a call. Which of them a problem takes, lb_linear_takes says. */
typedef enum lb_input {
    LB_INPUT_A = 0, /* [...][K]; the leading dimensions together are M */
    LB_INPUT_A_SCALE = 1,
    LB_INPUT_A_ZERO = 2,
    LB_INPUT_BIAS = 3,
    LB_INPUT_RESIDUAL = 4,
    LB_INPUT_RESIDUAL_SCALE = 5,
    LB_INPUT_RESIDUAL_ZERO = 6,
    LB_INPUT_D_SCALE = 7,
    LB_INPUT_D_ZERO = 8,
    LB_INPUT_RANDOM = 9,
    LB_INPUT_COUNT = 10
} lb_input;

/* The sentence about the last failure of one of these functions in this thread. */
LB_API const char *lb_linear_error(void);

/*
 * Packs weights[LB_WEIGHT_COUNT], which are in host memory. The line's batch must be 1 and its rows
 * dense. Devices are named as in lb_context_desc.
 */
LB_API lb_status lb_linear_create(const char *device, const char *line, const lb_tensor *weights,
                                  lb_linear **linear);
/* Counted: create and retain each take one release. NULL is allowed. */
LB_API void lb_linear_retain(lb_linear *linear);
LB_API void lb_linear_release(lb_linear *linear);

/* A number for the layer that is never used again; lb_linear_find retains. 0 and NULL mean none. */
LB_API int64_t lb_linear_id(const lb_linear *linear);
LB_API lb_linear *lb_linear_find(int64_t id);

/* The problem of one row count, as planned. */
LB_API lb_status lb_linear_problem(const lb_linear *linear, lb_problem *problem);
/* The context, for memory and streams of programs without a framework. */
LB_API lb_context *lb_linear_context(const lb_linear *linear);
/* Makes the plan for m rows, if it is not there yet, and says what it needs. */
LB_API lb_status lb_linear_plan(lb_linear *linear, int64_t m, const lb_plan **plan,
                                uint64_t *workspace_bytes);
/* 1 if the problem has this input. Type and elements of one row, or of the whole where not per row
 * (both may be NULL). */
LB_API int lb_linear_takes(const lb_problem *problem, int32_t input, int32_t *type,
                           int64_t *elements);

/*
 * Checks tensors[LB_INPUT_COUNT] and sets args' m, weights and input pointers. Absent inputs of the
 * problem, surplus ones, wrong types and shapes are INVALID_ARGUMENT with a sentence.
 */
LB_API lb_status lb_linear_bind(lb_linear *linear, const lb_tensor *tensors, lb_args *args);
/* Type and elements of a row of D, as stored. */
LB_API void lb_linear_output(const lb_linear *linear, int32_t *type, int64_t *elements);

/* lb_run and lb_run_host with the plan for args->m, which may be any number. */
LB_API lb_status lb_linear_run(lb_linear *linear, const lb_args *args, lb_stream stream);
LB_API lb_status lb_linear_run_host(lb_linear *linear, const lb_args *args);

#ifdef __cplusplus
}
#endif
#endif
