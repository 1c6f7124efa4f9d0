/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that split k through the workspace: a tile of D is made by several blocks, each from a part
 * of k, which leave their sums in the workspace, [parts][batch][m][n_pad] of s32 or f32; the pass
 * "finish" adds a tile's in the order of its parts and does the epilogue. How many parts depends on
 * n, k, the batch and the device, not on m, so that a row of D does not either.
 */
#ifndef LB_CUDA_SPLIT_H
#define LB_CUDA_SPLIT_H

/* In lb_kargs.tail; lb_kargs.ws[0] is where the sums begin. */
#define LB_SPLIT_PARTS 0
#define LB_SPLIT_LENGTH 1 /* of k, of each part but the last */

/* Rows whose blocks share tiles in clusters (wgmma.cuh), there too. */
#define LB_CLUSTER_RANKS 0
#define LB_CLUSTER_STEP 1 /* stages */

#endif
