# SPDX-License-Identifier: Apache-2.0
"""Quantising with torch's own operations, for CUDA tensors where lowbit has no kernel for it: the same bits as
lb_quantizer makes (host/quantize.h), whatever the device."""
import torch

from .._array import RANGES

_MOST, _LEAST = 2.0**120, 2.0**-100


def _grid(kind, scheme):
    """least, most, zero, half_span: lb_grid_of."""
    bits = int(kind[1])
    top = (1 << (bits - 1)) - 1
    zero = top + 1 if kind[0] == "u" else 0
    most = top + zero
    if scheme == "symmetric" or kind == "t2":
        return most - 2 * top, most, zero, float(top)
    return most - 2 * top - 1, most, zero, top + 0.5


def pack(codes, kind):
    """int32 codes as stored: low bits first, rows on whole bytes."""
    if kind in ("s8", "u8"):
        return codes.to(torch.int8 if kind == "s8" else torch.uint8)
    bits = int(kind[1])
    per = 8 // bits
    codes = torch.nn.functional.pad(codes & ((1 << bits) - 1), (0, -codes.shape[-1] % per))
    codes = codes.reshape(*codes.shape[:-1], -1, per)
    shifts = torch.arange(per, dtype=torch.int32, device=codes.device) * bits
    return (codes << shifts).sum(-1).to(torch.uint8)


def _mean_size(x, size):
    """lb_mean_size: the mean of |x| by integers, so that the order of the sum does not matter."""
    cut = size.clamp(max=_MOST)
    unit = torch.where(size < _LEAST, torch.zeros_like(size), 65536.0 / cut)
    terms = torch.nan_to_num(x.abs(), nan=0.0, posinf=_MOST).clamp(max=_MOST) * unit[..., None]
    total, count = torch.round(terms).to(torch.int64).sum(-1), x.shape[-1]
    share = torch.div(total * 256 + count // 2, max(count, 1), rounding_mode="floor")
    mean = cut * (share.to(torch.float32) * 2.0**-24)
    return torch.where((size < _LEAST) | (total == 0) | (mean < _LEAST), torch.ones_like(mean), mean)


def quantize(x, kind, scheme):
    x = x.to(torch.float32)
    least, most, middle, half_span = _grid(kind, scheme)
    finite = torch.nan_to_num(x, nan=0.0, posinf=_MOST, neginf=-_MOST).clamp(-_MOST, _MOST)
    finite = torch.nn.functional.pad(finite, (1, 0))  # a range reaches to 0, also where there are no columns
    low, high = finite.amin(-1), finite.amax(-1)
    size = torch.maximum(high, -low)
    zeros = torch.full_like(size, middle, dtype=torch.int32)
    if kind in ("t2", "b1"):
        scales = _mean_size(x, size)
    elif scheme == "asymmetric":
        scales = torch.where(high - low < _LEAST, torch.ones_like(size), (high - low) / float(most - least))
        below = torch.round(least + -low / scales).clamp(least, most).to(torch.int32)
        zeros = torch.where(high - low < _LEAST, zeros, below)
    else:
        scales = torch.where(size < _LEAST, torch.ones_like(size), size / half_span)
    return _codes(x, scales[..., None], zeros[..., None], kind, least, most), scales, zeros


def quantize_with(x, scale, zero, kind):
    x = x.to(torch.float32)
    shape = (*x.shape[:-1], 1) if scale.numel() > 1 else (1,)
    least, most = RANGES.get(kind, (0, 1))
    zero = torch.zeros_like(scale, dtype=torch.int32) if zero is None else zero
    return _codes(x, scale.reshape(shape), zero.reshape(shape), kind, least, most)


def _codes(x, scale, zero, kind, least, most):
    if kind == "b1":
        return pack((x >= 0).to(torch.int32), kind)
    codes = torch.nan_to_num(torch.round(x / scale), nan=0.0).clamp(-(2.0**20), 2.0**20).to(torch.int32)
    return pack((codes + zero.clamp(-(1 << 20), 1 << 20)).clamp(least, most), kind)
