# SPDX-License-Identifier: Apache-2.0
"""Layers: a problem line and packed weights, for any number of rows. What the frameworks' ops stand on."""
import ctypes

import numpy as np

from ._array import NAMES, TYPES, array, refuse
from ._core import WEIGHTS, Problem
from ._library import C as _C
from ._library import Header, declare, error, find, header, include_dir

_folder = include_dir / "lowbit" / "linear.h"
if not _folder.exists():  # a source tree
    _folder = include_dir.parent / "bindings" / "ops" / "linear.h"
_ops = Header(_folder.read_text(), header)
ops = declare(ctypes.CDLL(find("liblowbit_ops.so")), _ops.functions, lambda status: error(status, _message()))
C = type(_C)(**_ops.constants)
INPUTS = [name[len("LB_INPUT_"):].lower() for name in _ops.enums["lb_input"] if name != "LB_INPUT_COUNT"]
_Tensor = _ops.structs["lb_tensor"]
_Tensors = _Tensor * len(INPUTS)
_Args = header.structs["lb_args"]
byref = ctypes.byref
_TYPE_OF = {np.dtype(kind): TYPES[name][0] for name, kind in
            [("s8", np.int8), ("u8", np.uint8), ("s32", np.int32), ("f16", np.float16), ("f32", np.float32)]}
_DTYPE_OF = {number: np.dtype(kind) for kind, number in _TYPE_OF.items()}
_DTYPE_OF[_C.LB_TYPE_BF16] = np.dtype(np.uint16)


def _message():
    return ops.lb_linear_error().decode()


def fill(tensor, address, kind, shape):
    """Sets an lb_tensor; the returned array of dimensions must live as long as the call."""
    dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    tensor.data, tensor.type, tensor.rank = address, kind, len(shape)
    tensor.dims = ctypes.addressof(dims)
    return dims


class Linear:
    """Linear("s8.token*s4.channel->f32 m16 n64 k128", codes, scales): weights as Plan.weights takes them, packed for the
    kernel that is best at the line's m. Called with A of any number of rows: linear(a, a_scale=...)."""

    def __init__(self, line, codes, scales=None, zeros=None, device="auto", *, tables=None, channel_scales=None):
        self.problem = Problem(line)
        self.line, self.device = str(self.problem), device
        shapes = self.problem.shapes()
        weights, keep = (_Tensor * len(WEIGHTS))(), []
        given = (codes, scales, zeros, tables, channel_scales)
        for tensor, (name, field), value in zip(weights, WEIGHTS.items(), given):
            if value is None:
                continue
            if name not in shapes:
                refuse(f"{field} is not part of the problem '{self.line}'")
            value = array(field, value, *shapes[name])
            kind = _TYPE_OF.get(value.dtype, _C.LB_TYPE_BF16)
            keep += [value, fill(tensor, value.ctypes.data, kind, value.shape)]
        self._as_parameter_ = ctypes.c_void_p()
        ops.lb_linear_create(device.encode(), self.line.encode(), weights, byref(self._as_parameter_))
        kind, count = ctypes.c_int32(), ctypes.c_int64()
        ops.lb_linear_output(self, byref(kind), byref(count))
        self.output_type, self.output_row = kind.value, count.value
        self.takes = []
        for number, name in enumerate(INPUTS):
            if ops.lb_linear_takes(byref(self.problem.struct), number, byref(kind), byref(count)):
                self.takes.append((name, kind.value, count.value))

    @property
    def id(self):
        return ops.lb_linear_id(self)

    def __del__(self, ops=ops):
        if getattr(self, "_as_parameter_", None):
            ops.lb_linear_release(self)

    def bind(self, tensors):
        """tensors: name -> (address, lb_type, shape). Checks them; the lb_args for run."""
        values, keep = _Tensors(), []
        for name, (address, kind, shape) in tensors.items():
            if name not in INPUTS:
                refuse(f"{name} is no input of a layer; there are {', '.join(INPUTS)}")
            keep.append(fill(values[INPUTS.index(name)], address, kind, shape))
        args = _Args()
        ops.lb_linear_bind(self, values, byref(args))
        return args

    def run(self, args, address):
        """D at `address` in host memory."""
        args.d.base = address
        ops.lb_linear_run_host(self, byref(args))

    def workspace_bytes(self, m):
        """What enqueue needs as args.workspace for m rows; makes their plan."""
        plan, size = ctypes.c_void_p(), ctypes.c_uint64()
        ops.lb_linear_plan(self, m, byref(plan), byref(size))
        return size.value

    def enqueue(self, args, address, stream):
        """As run, on a stream, with addresses of the device's memory."""
        args.d.base = address
        ops.lb_linear_run(self, byref(args), stream)

    def __call__(self, a, **arrays):
        tensors, keep = {}, []
        for name, value in dict(arrays, a=a).items():
            if value is None:
                continue
            if not isinstance(value, np.ndarray):
                value = np.from_dlpack(value) if hasattr(value, "__dlpack__") else np.asarray(value)
            if not value.flags.c_contiguous:
                refuse(f"{name} is not contiguous (strides {list(value.strides)}); pass a contiguous copy")
            kind = _C.LB_TYPE_BF16 if value.dtype.name in ("uint16", "bfloat16") else _TYPE_OF.get(value.dtype, 0)
            keep.append(value)
            tensors[name] = (value.ctypes.data, kind, value.shape)
        args = self.bind(tensors)
        out = np.empty((*keep[-1].shape[:-1], self.output_row), _DTYPE_OF[self.output_type])
        self.run(args, out.ctypes.data)
        return out


def type_name(number):
    return NAMES.get(number, "none")
