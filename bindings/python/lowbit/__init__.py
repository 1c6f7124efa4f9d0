# SPDX-License-Identifier: Apache-2.0
"""lowbit: low-bit matrix multiplication. D[m,n] = epilogue(sum_k A[m,k] B[n,k]), 8 to 1 bits wide, on any device.

    context = lowbit.Context()                                     # the best device
    plan = context.plan("s8.token*s4.channel->f32 m16 n64 k128")   # docs/qbench.md has the grammar
    weights = plan.weights(lowbit.pack(codes, "s4"), scales)       # codes: integers [64][128]
    d = plan.run(weights, a, a_scale=a_scale)                      # numpy, or anything that shares CPU memory

lowbit.c, lowbit.C and lowbit.struct are the C interface itself. lowbit.linear has layers for any number of rows,
lowbit.onnxruntime and lowbit.jax the bindings to those; they are imported only when asked for.
"""
from ._array import pack, unpack
from ._core import Context, Plan, Problem, Weights, devices, version
from ._library import C, Error, InvalidArgument, OutOfMemory, Unsupported, c, find, include_dir, struct

__version__ = version()
__all__ = [
    "C", "Context", "Error", "InvalidArgument", "OutOfMemory", "Plan", "Problem", "Unsupported", "Weights", "c", "devices",
    "find", "include_dir", "pack", "struct", "unpack", "version",
]
