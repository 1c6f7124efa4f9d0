# SPDX-License-Identifier: Apache-2.0
"""The ops, registered with torch.library:

    lowbit::linear(a, codes, problem, *, scales, zeros, tables, a_scale, ..., device, channel_scales) -> D
        A problem line's product. `codes`, `scales`, `zeros`, `tables`, `channel_scales`: canonical weights, as
        lowbit.linear.Linear takes them; the rest by their names in lb_args. Leading dimensions of A are rows. device ""
        goes by the tensors.
    lowbit::quantize(x, type, scheme) -> (codes, scales, zeros)
        Floats to codes with a scale (f32) and zero point (int32) per row, as lb_quantizer makes them.
    lowbit::quantize_with(x, scale, zero, type) -> codes
        The same with scales that are there already: one, or one per row.
"""
import ctypes
import functools

import torch

from .._array import TYPES as STORED
from .._array import refuse, row_bytes
from .._core import Context
from .._library import C, Unsupported, c, struct
from . import reference
from .packed import DTYPES, TYPES, cpu_device, layer_of, problem_of, stream_of

INPUTS = ["a_scale", "a_zero", "bias", "residual", "residual_scale", "residual_zero", "d_scale", "d_zero", "random"]
SCHEMES = {"symmetric": C.LB_QUANT_SYMMETRIC, "full": C.LB_QUANT_FULL, "asymmetric": C.LB_QUANT_ASYMMETRIC}
_OPTIONAL = ", ".join(f"Tensor? {name}=None" for name in ["scales", "zeros", "tables", *INPUTS])
SCHEMAS = {
    # What was added later stands last: programs that were exported before must load.
    "linear": f'(Tensor a, Tensor codes, str problem, *, {_OPTIONAL}, str device="", Tensor? channel_scales=None) -> Tensor',
    "quantize": '(Tensor x, str type, str scheme="symmetric") -> (Tensor, Tensor, Tensor)',
    "quantize_with": "(Tensor x, Tensor scale, Tensor? zero, str type) -> Tensor",
}

_library = torch.library.Library("lowbit", "DEF")


def _register(name, **kernels):
    """kernels: dispatch key -> function; "Meta" is the fake."""
    # Kernels read memory row by row: compilers must not hand over other strides than they traced.
    tags = [getattr(torch.Tag, tag) for tag in ("pt2_compliant_tag", "needs_fixed_stride_order")
            if hasattr(getattr(torch, "Tag", None), tag)]
    try:
        _library.define(name + SCHEMAS[name], tags=tags)
    except TypeError:  # before 2.0
        _library.define(name + SCHEMAS[name])
    for key, kernel in kernels.items():
        if key == "Meta" and hasattr(torch.library, "register_fake"):
            torch.library.register_fake(f"lowbit::{name}", kernel, lib=_library)
        else:
            _library.impl(name, kernel, key)


# ---- Products ----


def _linear_cpu(a, codes, problem, *, scales=None, zeros=None, tables=None, device="", channel_scales=None, **inputs):
    return layer_of((codes, scales, zeros, tables, channel_scales), problem, device or cpu_device()).call(a, inputs)


def _linear_cuda(a, codes, problem, *, scales=None, zeros=None, tables=None, device="", channel_scales=None, **inputs):
    here = a.device if a.is_cuda else codes.device
    if device and device != f"cuda:{here.index}":
        refuse(f"device is '{device}', but the tensors are on {here}; leave device out")
    with torch.cuda.device(here):
        return layer_of((codes, scales, zeros, tables, channel_scales), problem, f"cuda:{here.index}").call(a, inputs)


def _linear_fake(a, codes, problem, **_):
    p = problem_of(problem)
    shapes = p.shapes()
    (_, (_, columns)), (_, (_, row)) = shapes["a"], shapes["d"]
    if a.dim() < 1 or a.shape[-1] != columns:
        refuse(f"a has shape {list(a.shape)}; the problem '{problem}' wants [..., {columns}]")
    if TYPES.get(a.dtype) != _stored(p.type("a")):
        refuse(f"a is {a.dtype}; the problem '{problem}' wants {DTYPES[_stored(p.type('a'))]}")
    return a.new_empty((*a.shape[:-1], row), dtype=DTYPES[_stored(p.type("d"))])


def _stored(name):
    number = STORED[name][0]
    return C.LB_TYPE_U8 if c.lb_type_bits(number) < 8 else number


_register("linear", CPU=_linear_cpu, CUDA=_linear_cuda, Meta=_linear_fake)

# ---- Quantising ----


def _check_floats(x, kind):
    if TYPES.get(x.dtype) not in (C.LB_TYPE_F32, C.LB_TYPE_F16, C.LB_TYPE_BF16):
        refuse(f"x is {x.dtype}; what is quantised is torch.float32, torch.float16 or torch.bfloat16")
    if x.dim() < 1:
        refuse("x is a single number; its last dimension is what is quantised together")
    if kind not in STORED or kind[0] not in "sutb" or kind == "s32":
        refuse(f"type is '{kind}'; codes are s8, u8, s4, u4, s2, u2, t2 or b1")


def _new_codes(x, kind):
    return x.new_empty((*x.shape[:-1], row_bytes(kind, x.shape[-1])), dtype=DTYPES[_stored(kind)])


def _scheme(name):
    if name not in SCHEMES:
        refuse(f"scheme is '{name}'; there are {', '.join(SCHEMES)}")
    return SCHEMES[name]


_context = functools.lru_cache(maxsize=None)(Context)


@functools.lru_cache(maxsize=None)
def _quantizer(device, kind, scheme, x_type, columns):
    """None where the device has none for these."""
    quantizer = ctypes.c_void_p()
    quant = struct("lb_quant", type=STORED[kind][0], x_type=x_type, scheme=scheme, granularity=C.LB_PER_TOKEN,
                   rows=(1 << 31) - 16, cols=columns)
    try:
        c.lb_quantizer_create(_context(device), ctypes.byref(quant), ctypes.byref(quantizer))
    except Unsupported:
        return None
    return quantizer


def _quantize(quantizer, x, kind, stream):
    codes, scales = _new_codes(x, kind), x.new_empty(x.shape[:-1], dtype=torch.float32)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    if scales.numel():
        args = struct("lb_quantizer_args", rows=scales.numel())
        for field, tensor in (("x", x), ("codes", codes), ("scales", scales), ("zeros", zeros)):
            getattr(args, field).base = tensor.data_ptr()
        c.lb_quantizer_run(quantizer, ctypes.byref(args), stream)
    return codes, scales, zeros


def _quantize_cpu(x, type, scheme="symmetric"):
    _check_floats(x, type)
    if not x.is_contiguous():
        refuse(f"x is not contiguous (strides {list(x.stride())}); pass x.contiguous()")
    return _quantize(_quantizer("ref", type, _scheme(scheme), TYPES[x.dtype], x.shape[-1]), x, type, None)


def _quantize_fake(x, type, scheme="symmetric"):
    _check_floats(x, type)
    _scheme(scheme)
    return (_new_codes(x, type), x.new_empty(x.shape[:-1], dtype=torch.float32),
            x.new_empty(x.shape[:-1], dtype=torch.int32))


def _quantize_cuda(x, type, scheme="symmetric"):
    _check_floats(x, type)
    if not x.is_contiguous():
        refuse(f"x is not contiguous (strides {list(x.stride())}); pass x.contiguous()")
    with torch.cuda.device(x.device):
        quantizer = _quantizer(f"cuda:{x.device.index}", type, _scheme(scheme), TYPES[x.dtype], x.shape[-1])
        if quantizer is None:
            return reference.quantize(x, type, scheme)
        return _quantize(quantizer, x, type, stream_of(x.device))


_register("quantize", CPU=_quantize_cpu, CUDA=_quantize_cuda, Meta=_quantize_fake)


def _check_scales(x, scale, zero):
    rows = x.shape[:-1].numel()
    for name, tensor, dtype in (("scale", scale, torch.float32), ("zero", zero, torch.int32)):
        if tensor is None:
            continue
        if tensor.dtype != dtype:
            refuse(f"{name} is {tensor.dtype}; it must be {dtype}")
        if tensor.numel() not in (1, rows) or tensor.numel() != scale.numel():
            refuse(f"{name} has shape {list(tensor.shape)}; x of shape {list(x.shape)} takes one value or {rows}, "
                   "and as many zero points as scales")
        if tensor.device != x.device:
            refuse(f"{name} is on {tensor.device}, x on {x.device}; all must be on one device")


def _quantize_with_cpu(x, scale, zero, type):
    _check_floats(x, type)
    _check_scales(x, scale, zero)
    for name, tensor in (("x", x), ("scale", scale), ("zero", zero)):
        if tensor is not None and not tensor.is_contiguous():
            refuse(f"{name} is not contiguous (strides {list(tensor.stride())}); pass {name}.contiguous()")
    codes = _new_codes(x, type)
    if x.numel():
        per = C.LB_PER_TENSOR if scale.numel() == 1 else C.LB_PER_TOKEN
        quant = struct("lb_quant", type=STORED[type][0], x_type=TYPES[x.dtype], scheme=C.LB_QUANT_FULL, granularity=per,
                       rows=x.shape[:-1].numel(), cols=x.shape[-1])
        c.lb_quantize(ctypes.byref(quant), x.data_ptr(), scale.data_ptr(), None if zero is None else zero.data_ptr(),
                      codes.data_ptr())
    return codes


def _quantize_with_fake(x, scale, zero, type):
    _check_floats(x, type)
    return _new_codes(x, type)


def _quantize_with_cuda(x, scale, zero, type):
    _check_floats(x, type)
    _check_scales(x, scale, zero)
    return reference.quantize_with(x, scale, zero, type)


_register("quantize_with", CPU=_quantize_with_cpu, CUDA=_quantize_with_cuda, Meta=_quantize_with_fake)
