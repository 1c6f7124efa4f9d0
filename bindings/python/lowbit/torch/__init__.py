# SPDX-License-Identifier: Apache-2.0
"""PyTorch: ops of the namespace "lowbit", and layers over them. Works with torch 1.13 and later.

    import lowbit.torch
    y = torch.ops.lowbit.linear(a, codes, "s8.token*s4.channel->f32 m16 n64 k128", scales=scales, a_scale=a_scale)

    linear = lowbit.torch.Linear.from_float(nn_linear, "s4.g128", "s8.token")
    lowbit.torch.quantize_model(model, {"*": "s4.g128", "*.mlp.*": ("t2.channel", "s8.token"), "lm_head": None})

The ops are pure functions of tensors with fakes, so torch.compile and torch.export take them. CPU tensors run on the
best device that is no GPU, CUDA tensors on their GPU's current stream. There are no gradients.
"""
from . import ops
from .linear import Linear
from .model import load_model, quantize_model
from .parallel import ColumnParallelLinear, RowParallelLinear, row_unit, shard_columns, shard_rows

__all__ = ["ColumnParallelLinear", "Linear", "RowParallelLinear", "load_model", "ops", "quantize_model", "row_unit",
           "shard_columns", "shard_rows"]
