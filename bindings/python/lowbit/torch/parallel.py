# SPDX-License-Identifier: Apache-2.0
"""Tensor parallel: a layer's weights split over the ranks of a process group.

    column parallel   along N: every rank has all of x and some columns of y
    row parallel      along K, on the borders of groups and bytes: every rank has some columns of x; the sums are added

Integer products by column are what one rank computes, bit for bit. By row the partial results are f32 (or f16, bf16)
before they are added, and rounded as such. A's scales are those of whole rows on every rank.
"""
import math

import torch
import torch.distributed as dist

from .._array import refuse
from .._core import Problem
from .._library import C, c
from .linear import Linear


def row_unit(linear):
    """What K can only be split in multiples of: a group, and whole bytes of codes."""
    p = linear.problem.struct
    unit = p.b.group or 1
    for operand in (p.a, p.b):
        unit = math.lcm(unit, 8 // math.gcd(8, c.lb_type_bits(operand.type)))
    return unit


def row_range(linear, rank, world):
    """Columns of W, of x, that a rank has."""
    return _range("K", linear.in_features, row_unit(linear), rank, world)


def column_range(linear, rank, world, unit=1):
    """Rows of W, columns of y, that a rank has; in multiples of unit."""
    return _range("N", linear.out_features, unit, rank, world)


def _range(what, size, unit, rank, world):
    if not 0 <= rank < world:
        refuse(f"rank is {rank}; there are 0 to {world - 1}")
    units = -(-size // unit)
    if units < world:
        refuse(f"{what} is {size}, which is {units} pieces of {unit}; it splits over at most {units} ranks, not {world}")
    return min(size, units * rank // world * unit), min(size, units * (rank + 1) // world * unit)


def shard_columns(linear, rank, world, unit=1):
    """The layer of one rank of a column parallel one."""
    start, stop = column_range(linear, rank, world, unit)
    p = linear.problem.struct
    tensors = {name: getattr(linear, name) for name in ("codes", "scales", "zeros", "tables", "bias", "channel_scales")}
    per_row = {"codes": True, "scales": p.b.scale >= C.LB_PER_CHANNEL, "zeros": p.b.zero >= C.LB_PER_CHANNEL,
               "tables": p.b_table >= C.LB_PER_CHANNEL, "bias": True, "channel_scales": True}
    return _shard(linear, {"n": stop - start}, {
        name: tensor[start:stop] if per_row[name] else tensor for name, tensor in tensors.items() if tensor is not None})


def shard_rows(linear, rank, world):
    """The layer of one rank of a row parallel one; rank 0 has the bias, the others 0."""
    if linear.order is not None:
        refuse("this layer permutes the columns of x (act-order); split it by columns of y instead")
    start, stop = row_range(linear, rank, world)
    p = linear.problem.struct
    bits = c.lb_type_bits(p.b.type)
    inside = {"codes": linear.codes[:, start * bits // max(bits, 8) : -(-stop * bits // max(bits, 8))]}
    groups = slice(start // p.b.group, -(-stop // p.b.group)) if p.b.group else slice(None)
    for name, granularity in (("scales", p.b.scale), ("zeros", p.b.zero), ("tables", p.b_table),
                              ("channel_scales", C.LB_PER_CHANNEL)):
        tensor = getattr(linear, name)
        if tensor is not None:
            inside[name] = tensor[:, groups] if granularity == C.LB_PER_GROUP else tensor
    if linear.bias is not None:
        inside["bias"] = linear.bias if rank == 0 else torch.zeros_like(linear.bias)
    return _shard(linear, {"k": stop - start}, inside)


def _shard(linear, sizes, tensors):
    if linear.problem.struct.activation or linear.problem.struct.clamp:
        refuse(f"'{linear.line}': the epilogue's activation would be applied to a part; apply it after the layer")
    problem = Problem(linear.problem)
    for name, value in sizes.items():
        setattr(problem.struct, name, value)
    layer = Linear(str(problem), order=linear.order is not None, device=linear.device_name).to(linear.codes.device)
    with torch.no_grad():
        for name, tensor in tensors.items():
            getattr(layer, name).copy_(tensor)
        for name in ("order", "a_scale", "a_zero"):
            if getattr(linear, name) is not None:
                getattr(layer, name).copy_(getattr(linear, name))
    return layer


class _Parallel(torch.nn.Module):
    def __init__(self, linear, group, shard):
        super().__init__()
        self.group = group
        self.rank, self.world = dist.get_rank(group), dist.get_world_size(group)
        self.local = shard(linear, self.rank, self.world)


class ColumnParallelLinear(_Parallel):
    """This rank's columns of y; all of y with gather. unit: row_unit of the row parallel layer that follows without
    gather, so that the two split alike."""

    def __init__(self, linear, group=None, gather=True, unit=1):
        super().__init__(linear, group, lambda *arguments: shard_columns(*arguments, unit))
        self.gather = gather
        ranges = [column_range(linear, rank, self.world, unit) for rank in range(self.world)]
        self.widths = [stop - start for start, stop in ranges]

    def forward(self, x):
        y = self.local(x)
        if not self.gather:
            return y
        # Parts may differ by a column; all_gather takes equal ones.
        widest = max(self.widths)
        y = torch.nn.functional.pad(y, (0, widest - y.shape[-1])).contiguous()
        parts = [torch.empty_like(y) for _ in range(self.world)]
        dist.all_gather(parts, y, group=self.group)
        return torch.cat([part[..., :width] for part, width in zip(parts, self.widths)], -1)


class RowParallelLinear(_Parallel):
    """All of y, from all of x, or with split_input from this rank's columns of it (a column parallel layer's y without
    gather and with unit=row_unit(linear)). Then A's scales are agreed on first, which needs a symmetric scheme."""

    def __init__(self, linear, group=None, split_input=False):
        super().__init__(linear, group, shard_rows)
        self.range, self.split_input = row_range(linear, self.rank, self.world), split_input
        if split_input and not self.local.static and not self.local.floats and (
                self.local.scheme != "symmetric" or self.local.kind in ("t2", "b1")):
            refuse(f"'{linear.line}': ranks that see a part of x cannot agree on its scale by the largest one; "
                   "use a symmetric integer type for A, or split_input=False")

    def forward(self, x):
        local = self.local
        if local.floats or local.static:
            y = local(x if self.split_input else x[..., self.range[0] : self.range[1]])
        else:
            kind = local.kind
            if self.split_input:
                _, scale, _ = torch.ops.lowbit.quantize(x.contiguous(), kind, local.scheme)
                dist.all_reduce(scale, dist.ReduceOp.MAX, group=self.group)
                zero = None
            else:
                _, scale, zero = torch.ops.lowbit.quantize(x.contiguous(), kind, local.scheme)
                x = x[..., self.range[0] : self.range[1]]
                zero = zero if local.scheme == "asymmetric" else None
            a = torch.ops.lowbit.quantize_with(x.contiguous(), scale, zero, kind)
            y = local.product(a, scale, zero)
        y = y.contiguous()
        dist.all_reduce(y, group=self.group)
        return y
