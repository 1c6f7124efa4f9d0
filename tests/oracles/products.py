# SPDX-License-Identifier: Apache-2.0
"""The integer products of ONNX as problems of the library. B is [K][N], as ONNX has it."""
import numpy as np

from lib import Problem, canonical, run

NAMES = {np.dtype(np.uint8): "u8", np.dtype(np.int8): "s8", np.dtype(np.float32): "f32", np.dtype(np.int32): "s32"}


def name(array):
    return NAMES[array.dtype]


def dims(a, b):
    batch = int(np.prod(a.shape[:-2], dtype=int))
    return a.shape[-2], b.shape[-1], a.shape[-1], batch


def present(zero):
    return zero is not None and np.any(zero)


def per_batch(values, batch, dtype):
    """One value for each of the batches."""
    return np.broadcast_to(np.asarray(values, dtype).reshape(-1), (batch,)).copy()


def matmul_integer(device, a, b, a_zero=None, b_zero=None):
    """D[..., M, N] of s32; zero points of one element."""
    m, n, k, batch = dims(a, b)
    za, zb = present(a_zero), present(b_zero)
    line = f"{name(a)}{'.zt' if za else ''}*{name(b)}@cols{'.zt' if zb else ''}->s32 m{m} n{n} k{k} b{batch}"
    d = np.empty(a.shape[:-1] + (n,), np.int32)
    weights = canonical(b, zeros=per_batch(b_zero, batch, np.int32) if zb else None)
    return run(device, Problem(line), d, weights, a=a, a_zero=per_batch(a_zero, batch, np.int32) if za else None)


def qlinear_matmul(device, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    """One multiplier, a_scale * b_scale / y_scale in f32, as ONNX Runtime has it; b_scale per tensor or column."""
    m, n, k, batch = dims(a, b)
    f = np.float32
    scale = (np.asarray(a_scale, f).reshape(-1) * np.asarray(b_scale, f).reshape(-1)) / f(np.asarray(y_scale).item())
    za, zb, zy = present(a_zero), present(b_zero), present(y_zero)
    zb_each = zb and np.asarray(b_zero).size > 1
    granularity = "channel" if scale.size > 1 else "tensor"
    # Zero points per column go with scales per column.
    b_attributes = ".channel.z" if zb_each else ".zt" if zb else ""
    line = (f"{name(a)}{'.zt' if za else ''}*{name(b)}@cols{b_attributes}"
            f"->{name(y_zero)}.{granularity}{'.z' if zy else ''} m{m} n{n} k{k} b{batch}")
    b_zeros = None
    if zb_each:
        b_zeros = np.tile(np.asarray(b_zero, np.int32).reshape(-1), batch)
    elif zb:
        b_zeros = per_batch(b_zero, batch, np.int32)
    weights = canonical(b, scales=np.ones(n * batch, f) if zb_each else None, zeros=b_zeros)
    return run(device, Problem(line), np.empty(a.shape[:-1] + (n,), y_zero.dtype), weights, a=a,
               a_zero=per_batch(a_zero, batch, np.int32) if za else None,
               d_scale=scale.astype(f), d_zero=np.asarray(y_zero, np.int32).reshape(-1)[:1] if zy else None)


def scaled_matmul(device, a, a_zero, b, scale, b_zero, bias):
    """(A - za)(B - zb) * scale + bias in f32; scale and b_zero per tensor or column."""
    m, n, k, _ = dims(a, b)
    granularity = "channel" if scale.size > 1 else "tensor"
    z = "" if b_zero is None else ".z" if b_zero.size == scale.size else ".zt"
    line = f"{name(a)}.zt*{name(b)}@cols.{granularity}{z}->f32 m{m} n{n} k{k}" + (" +bias.f32" if bias is not None else "")
    weights = canonical(b, scales=scale, zeros=None if b_zero is None else b_zero.astype(np.int32))
    return run(device, Problem(line), np.empty((m, n), np.float32), weights, a=a, a_zero=a_zero, bias=bias)
