# SPDX-License-Identifier: Apache-2.0
"""Element types as numpy sees them, packing of elements narrower than a byte, and the one check that every array
passes on its way into the library."""
import numpy as np

from ._library import C, InvalidArgument, c

# name -> (lb_type, numpy type that holds it). Narrow types lie packed in bytes; bf16 in uint16, or in ml_dtypes' type.
TYPES = {
    "s8": (C.LB_TYPE_S8, np.int8),
    "u8": (C.LB_TYPE_U8, np.uint8),
    "s4": (C.LB_TYPE_S4, np.uint8),
    "u4": (C.LB_TYPE_U4, np.uint8),
    "s2": (C.LB_TYPE_S2, np.uint8),
    "u2": (C.LB_TYPE_U2, np.uint8),
    "t2": (C.LB_TYPE_T2, np.uint8),
    "b1": (C.LB_TYPE_B1, np.uint8),
    "s32": (C.LB_TYPE_S32, np.int32),
    "f16": (C.LB_TYPE_F16, np.float16),
    "bf16": (C.LB_TYPE_BF16, np.uint16),
    "f32": (C.LB_TYPE_F32, np.float32),
    "c4": (C.LB_TYPE_C4, np.uint8),
    "c2": (C.LB_TYPE_C2, np.uint8),
}
NAMES = {number: name for name, (number, _) in TYPES.items()}
RANGES = {"s8": (-128, 127), "u8": (0, 255), "s4": (-8, 7), "u4": (0, 15), "s2": (-2, 1), "u2": (0, 3), "t2": (-1, 1),
          "c4": (0, 15), "c2": (0, 3)}


def refuse(text):
    """Raises what the library itself would for a bad argument."""
    raise _refusal(text)


def _refusal(text):
    result = InvalidArgument(text)
    result.status = C.LB_INVALID_ARGUMENT
    return result


def bits(name):
    return c.lb_type_bits(TYPES[name][0])


def row_bytes(name, count):
    width = bits(name)
    return count * (width // 8) if width >= 8 else (count * width + 7) // 8


def pack(values, name):
    """Integers as the elements of a type that is narrower than a byte, low bits first, the last axis padded to bytes;
    wider types are only cast. b1 takes -1 and 1. A value out of range raises."""
    values = np.asarray(values)
    if name == "b1":
        wrong = (values != 1) & (values != -1)
        codes = (values > 0).astype(np.uint8)
        limits = "-1 and 1"
    elif name in RANGES:
        low, high = RANGES[name]
        wrong = (values < low) | (values > high) | (values != np.rint(values))
        codes = values.astype(np.int16) & 0xFF
        limits = f"{low} to {high}"
    else:
        return np.ascontiguousarray(values, dtype=TYPES[name][1])
    if wrong.any():
        refuse(f"pack: {values[wrong].flat[0]} is no {name}; its values are {limits}")
    width = bits(name)
    if width == 8:
        return np.ascontiguousarray(values, dtype=TYPES[name][1])
    per = 8 // width
    codes = codes.astype(np.uint8) & ((1 << width) - 1)
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % per)])
    codes = codes.reshape(*codes.shape[:-1], -1, per) << (np.arange(per, dtype=np.uint8) * width)
    return np.bitwise_or.reduce(codes, axis=-1)


def unpack(packed, name, count):
    """The inverse of pack: int8 (uint8 for u8) values, `count` along the last axis."""
    packed = np.asarray(packed)
    width = bits(name)
    if width >= 8:
        return packed[..., :count]
    per = 8 // width
    codes = packed.view(np.uint8)[..., None] >> (np.arange(per, dtype=np.uint8) * width)
    codes = (codes & ((1 << width) - 1)).reshape(*packed.shape[:-1], -1)[..., :count].astype(np.int8)
    if name == "b1":
        return codes * 2 - 1
    return np.where(codes >= 1 << (width - 1), codes - (1 << width), codes) if name[0] in "st" else codes


def _is_bf16(dtype):
    return dtype.name == "bfloat16"


def array(what, value, dtype, shape):
    """value as a C-contiguous numpy array of the given type and shape, shared with the caller: anything that numpy or
    DLPack can show without a copy. Raises a sentence that names what was wrong."""
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        try:
            value = np.from_dlpack(value)
        except (BufferError, RuntimeError) as reason:
            refuse(f"{what}: numpy cannot share this tensor ({reason}); give one in CPU memory")
    if not isinstance(value, np.ndarray):
        value = np.asarray(value)
        if value.dtype != dtype:  # a list or a number: no bytes of the caller to share
            value = value.astype(dtype)
    dtype = np.dtype(dtype)
    got = np.dtype(np.uint16) if _is_bf16(value.dtype) else value.dtype
    if got != dtype:
        refuse(f"{what} is {value.dtype}; the problem wants {dtype} of shape {list(shape)}")
    if value.size == 1 and all(n == 1 for n in shape):
        value = value.reshape(shape)
    if value.shape != tuple(shape):
        refuse(f"{what} has shape {list(value.shape)}; the problem wants {list(shape)} of {dtype}")
    if not value.flags.c_contiguous:
        refuse(f"{what} is not contiguous (strides {list(value.strides)}); pass a contiguous copy")
    return value
