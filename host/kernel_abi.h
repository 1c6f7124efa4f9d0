/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one argument block of every kernel, compiled as C11, CUDA C++ and OpenCL C. Pointer-free,
 * fixed width, naturally aligned, passed by value after the thirteen pointers
 *
 *     a  w  d  a_scale  a_zero  bias  residual  residual_scale  d_scale  d_zero  workspace
 *     residual_zero  random
 *
 * of which kernels use byte pointer + offset. w is the packed blob (weights.h). The kernel "sums",
 * which every backend launches behind D's own passes where lb_args.d_sums asks for it, finds that
 * array in the workspace's place.
 */
#ifndef LB_KERNEL_ABI_H
#define LB_KERNEL_ABI_H

#ifdef __OPENCL_VERSION__
typedef int lb_i32;
typedef uint lb_u32;
typedef long lb_i64;
typedef ulong lb_u64;
#else
#include <stdint.h>
typedef int32_t lb_i32;
typedef uint32_t lb_u32;
typedef int64_t lb_i64;
typedef uint64_t lb_u64;
#endif

/* Order of the pointers; LB_PTR_COUNT of them. */
#define LB_PTR_A 0
#define LB_PTR_W 1
#define LB_PTR_D 2
#define LB_PTR_A_SCALE 3
#define LB_PTR_A_ZERO 4
#define LB_PTR_BIAS 5
#define LB_PTR_RESIDUAL 6
#define LB_PTR_RESIDUAL_SCALE 7
#define LB_PTR_D_SCALE 8
#define LB_PTR_D_ZERO 9
#define LB_PTR_WORKSPACE 10
#define LB_PTR_RESIDUAL_ZERO 11
#define LB_PTR_RANDOM 12
#define LB_PTR_COUNT 13

/* lb_kargs.flags: what is there, and its granularity. */
#define LB_KF_RAW 0x1u /* integer epilogue: s32 out, at most s32 bias and ReLU */
#define LB_KF_A_SCALE 0x2u
#define LB_KF_A_SCALE_TOKEN 0x4u /* per token, else per tensor */
#define LB_KF_A_ZERO 0x8u
#define LB_KF_A_ZERO_TOKEN 0x10u
#define LB_KF_B_SCALE 0x20u /* in the blob, always expanded to [groups][n_pad] */
#define LB_KF_B_ZERO 0x40u  /* likewise */
#define LB_KF_BIAS 0x80u
#define LB_KF_RESIDUAL 0x100u
#define LB_KF_RESIDUAL_SCALE 0x200u
#define LB_KF_CLAMP 0x400u
#define LB_KF_D_SCALE 0x800u
#define LB_KF_D_SCALE_CHANNEL 0x1000u
#define LB_KF_D_ZERO 0x2000u
#define LB_KF_FLOAT_A 0x4000u /* f16, bf16 or f32 activations: f32 accumulation */
#define LB_KF_FIXED                                                                                \
    0x8000u /* integer epilogue by (value, shift): rounding is not EVEN or STOCHASTIC */
#define LB_KF_D_SCALE_TOKEN 0x10000u
#define LB_KF_RESIDUAL_SCALE_CHANNEL 0x20000u
#define LB_KF_RESIDUAL_ZERO 0x40000u
#define LB_KF_TABLE_GROUP 0x80000u /* weights by table: one per row of B and group, else one */
#define LB_KF_B_STEP 0x100000u     /* scales of two levels: words in the blob (weights.h) */

/* Element types and activations carry the values of lowbit.h; repeated for the device compilers. */
#ifndef LOWBIT_LOWBIT_H
#define LB_TYPE_NONE 0
#define LB_TYPE_S8 1
#define LB_TYPE_U8 2
#define LB_TYPE_S4 3
#define LB_TYPE_U4 4
#define LB_TYPE_S2 5
#define LB_TYPE_U2 6
#define LB_TYPE_T2 7
#define LB_TYPE_B1 8
#define LB_TYPE_S32 9
#define LB_TYPE_F16 10
#define LB_TYPE_BF16 11
#define LB_TYPE_F32 12
#define LB_TYPE_C4 13
#define LB_TYPE_C2 14
#define LB_ACT_NONE 0
#define LB_ACT_RELU 1
#define LB_ACT_SILU 2
#define LB_ACT_GELU 3
#define LB_ACT_GELU_TANH 4
#define LB_ACT_RELU6 5
#define LB_ACT_HARD_SWISH 6
#define LB_ROUND_EVEN 0
#define LB_ROUND_GEMMLOWP 1
#define LB_ROUND_FIXED 2
#define LB_ROUND_DYADIC 3
#define LB_ROUND_POW2 4
#define LB_ROUND_STOCHASTIC 5
#define LB_ROUND_THRESHOLD 6
#endif

typedef struct lb_kargs {
    lb_i32 m, n, k, batch; /* true sizes of this call */
    lb_i32 groups, group;  /* along k: groups >= 1; group = length (k if ungrouped) */
    lb_i32 n_pad, k_pad;   /* of the packed weights */
    lb_u32 flags;          /* LB_KF_* */
    lb_i32 a_type, b_type, d_type;
    lb_i32 bias_type, residual_type, activation, rounding;
    float clamp_min, clamp_max;
    lb_i32 act_three, act_shift;      /* hard-swish in integers */
    lb_i32 tail[6];                   /* free for the row: split count, tile counts, ... */
    lb_i32 steps, step_group;         /* as groups and group, of the words */
    lb_i64 a_ld, d_ld, r_ld;          /* elements */
    lb_i64 a_batch, d_batch, r_batch; /* elements from batch to batch */
    lb_u64 offset[LB_PTR_COUNT];      /* bytes, added to each pointer */
    lb_u64 w_codes, w_scale, w_zero,
        w_sum; /* byte offsets in the blob; w_sum: sum over each group of B's values */
    lb_u64 w_codes_batch,
        w_meta_batch;              /* bytes from batch to batch: codes; each of scale, zero, sum */
    lb_u64 ws[4];                  /* byte offsets of a row's areas in the workspace */
    lb_u64 w_table, w_table_batch; /* likewise of the tables of codebook weights */
    lb_u64 w_step, w_step_batch;   /* and of the words of scales of two levels */
} lb_kargs;

#if defined(__STDC_VERSION__) && !defined(__OPENCL_VERSION__)
_Static_assert(sizeof(lb_kargs) == 28 * 4 + 6 * 8 + LB_PTR_COUNT * 8 + 14 * 8,
               "lb_kargs has padding");
#endif

#endif
