/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel row: all that selection, tests, benchmark and docs need to know of one kernel. Rows are
 * const data in <backend>/kernels.def; what the backend needs to launch it hangs on `impl`.
 */
#ifndef LB_KERNEL_H
#define LB_KERNEL_H

#include <stdbool.h>

#include "lowbit/lowbit.h"

/* What a row can do beyond plain sums, as a mask; a problem needs some of them. */
#define LB_CAP_BATCH 0x1u
#define LB_CAP_GROUP 0x2u /* group scales along k */
#define LB_CAP_ZERO_A 0x4u
#define LB_CAP_ZERO_B 0x8u
#define LB_CAP_BIAS 0x10u
#define LB_CAP_RESIDUAL 0x20u
#define LB_CAP_ACTIVATION 0x40u /* all of lb_activation */
#define LB_CAP_CLAMP 0x80u
#define LB_CAP_SCALE 0x100u      /* scales of A, B, D; zero point of D */
#define LB_CAP_STRIDE 0x200u     /* ld beyond the dense one */
#define LB_CAP_REQUANTISE 0x400u /* every lb_rounding, thresholds included */
#define LB_CAP_ALL 0x7ffu        /* what most rows have */
#define LB_CAP_STEP 0x800u       /* scales of two levels; few rows have it */

/* What the row promises. */
#define LB_ROW_UNPROVEN                                                                            \
    0x1u /* never passed on real hardware of its kind: never preferred over a proven one */
#define LB_ROW_BATCH_INVARIANT 0x2u /* a row of D does not depend on m */
#define LB_ROW_NONDETERMINISTIC 0x4u
#define LB_ROW_PROVEN_ON_CPU 0x8u /* never passed on a GPU: unproven where the device is one */

typedef struct lb_device lb_device; /* backend.h */
struct lb_kargs;

typedef struct lb_kernel lb_kernel;
struct lb_kernel {
    const char *name;
    const char *layout; /* of the weights it eats */
    const char *summary;
    uint32_t a_types, b_types, d_types; /* sets of types */
    uint32_t caps;
    uint32_t flags;
    int64_t m_min, m_max; /* 0 = no limit */
    const char *needs; /* device feature words, space separated; "!word": must lack it; "" = none */
    /* Anything masks cannot say; writes a reason and returns false to refuse. NULL = nothing more.
     */
    bool (*accept)(const lb_kernel *row, const lb_problem *p, const lb_device *device, char *why,
                   size_t capacity);
    /* Bytes of workspace. NULL = 0. */
    uint64_t (*workspace)(const lb_kernel *row, const lb_problem *p, const lb_device *device);
    /* Predicted seconds; compared between rows of one device. */
    double (*cost)(const lb_kernel *row, const lb_problem *p, const lb_device *device);
    const void *impl;
    const char *parameters; /* of a variant; NULL: the row as it stands in the table */
};

#define LB_PARAMETER_BYTES 64 /* of their text */

#endif
