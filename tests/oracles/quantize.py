# SPDX-License-Identifier: Apache-2.0
"""Quantising by the library, for tensors of any rank as ONNX has them."""
import ctypes as c

import numpy as np

from lib import address, check, dense, lib

SYMMETRIC, FULL, ASYMMETRIC = range(3)
TENSOR, TOKEN, CHANNEL, GROUP, COLUMN = 1, 2, 3, 4, 5
TYPES = {"s8": (1, 8), "u8": (2, 8), "s4": (3, 4), "u4": (4, 4), "s2": (5, 2), "u2": (6, 2), "t2": (7, 2), "b1": (8, 1)}
X_TYPES = {np.dtype(np.float16): 10, np.dtype(np.float32): 12}


class Quant(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32), ("type", c.c_int32), ("x_type", c.c_int32), ("scheme", c.c_int32),
        ("calibrator", c.c_int32), ("granularity", c.c_int32), ("rows", c.c_int64), ("cols", c.c_int64),
        ("group", c.c_int64), ("percentile", c.c_double), ("norm_type", c.c_int32), ("norm_epsilon", c.c_float),
    ]


def quant(code, shape, granularity=TENSOR, group=0, scheme=FULL, x_type=12, calibrator=0):
    return Quant(c.sizeof(Quant), TYPES[code][0], x_type, scheme, calibrator, granularity, *shape, group, 0)


def pack(codes, code):
    """One code in each element -> packed rows."""
    bits = TYPES[code][1]
    per = 8 // bits
    rows = np.asarray(codes).astype(np.int64) & (2**bits - 1)
    rows = np.pad(rows, [(0, 0), (0, -rows.shape[1] % per)]).reshape(len(rows), -1, per)
    return np.bitwise_or.reduce(rows << (np.arange(per) * bits), axis=-1).astype(np.uint8)


def unpack(packed, code, cols):
    bits = TYPES[code][1]
    fields = (packed[..., None] >> (np.arange(8 // bits) * bits)) & (2**bits - 1)
    fields = fields.reshape(len(packed), -1)[:, :cols].astype(np.int64)
    return fields - ((fields >> (bits - 1)) << bits) if code[0] in "st" else fields


def quantize(x, code, scales, zeros=None, granularity=TENSOR, group=0, scheme=FULL):
    """x[rows][cols] -> codes, one in each element."""
    q = quant(code, x.shape, granularity, group, scheme, X_TYPES[x.dtype])
    size = c.c_uint64()
    check(lib.lb_quant_bytes(c.byref(q), c.byref(size)))
    packed = np.empty(size.value, np.uint8)
    x, scales = dense(x), dense(scales, np.float32)
    zeros = None if zeros is None else dense(zeros, np.int32)
    check(lib.lb_quantize(c.byref(q), address(x), address(scales), None if zeros is None else address(zeros),
                          address(packed)))
    return unpack(packed.reshape(len(x), -1), code, x.shape[1])


def dequantize(codes, code, scales, zeros=None, granularity=TENSOR, group=0):
    q = quant(code, codes.shape, granularity, group)
    packed, scales = pack(codes, code), dense(scales, np.float32)
    zeros = None if zeros is None else dense(zeros, np.int32)
    x = np.empty(codes.shape, np.float32)
    check(lib.lb_dequantize(c.byref(q), address(packed), address(scales), None if zeros is None else address(zeros),
                            address(x)))
    return x


def calibrate(x, code, scheme, granularity=TENSOR, group=0, calibrator=0):
    q = quant(code, x.shape, granularity, group, scheme, X_TYPES[x.dtype], calibrator)
    count = c.c_int64()
    check(lib.lb_quant_count(c.byref(q), c.byref(count)))
    scales, zeros = np.empty(count.value, np.float32), np.empty(count.value, np.int32)
    check(lib.lb_quantize_calibrate(c.byref(q), address(dense(x)), address(scales), address(zeros)))
    return scales, zeros


def as_matrix(x, axis, block):
    """ONNX's axis as rows of one scale, or of blocks; and the way back."""
    moved = np.moveaxis(x, axis, -1 if block else 0)
    matrix = moved.reshape(-1, moved.shape[-1]) if block else moved.reshape(moved.shape[0], -1)
    return dense(matrix), lambda y: np.moveaxis(y.reshape(moved.shape), -1 if block else 0, axis)
