# SPDX-License-Identifier: Apache-2.0
"""Weights packed for the ops. An op gets the canonical tensors at every call, so that it is a pure function of them;
they are packed at the first, and again when one of them was changed in place. What is packed goes when `codes` does.

A change that leaves no trace in the tensor is not seen: through another framework's view, or in inference tensors.
"""
import functools
import weakref

import torch

from .. import linear
from .._array import refuse
from .._core import WEIGHTS, Problem, devices
from .._library import C

TYPES = {torch.int8: C.LB_TYPE_S8, torch.uint8: C.LB_TYPE_U8, torch.int32: C.LB_TYPE_S32, torch.float16: C.LB_TYPE_F16,
         torch.bfloat16: C.LB_TYPE_BF16, torch.float32: C.LB_TYPE_F32}
DTYPES = {number: dtype for dtype, number in TYPES.items()}
problem_of = functools.lru_cache(maxsize=None)(Problem)
_ALIGNMENT = 256  # of a workspace
_layers = {}  # (id of codes, problem line, device) -> (_State of each weight, layer)


@functools.lru_cache(maxsize=None)
def cpu_device():
    """The best device that computes where CPU tensors lie."""
    return next(device["selector"] for device in devices() if not device["is_gpu"])


def host_array(tensor):
    """A weight as numpy, for packing; bf16 as its bits."""
    tensor = tensor.detach().cpu()
    return tensor.view(torch.int16).numpy().view("uint16") if tensor.dtype == torch.bfloat16 else tensor.numpy()


def describe(name, tensor, device):
    """(address, lb_type, shape) of an input."""
    kind = TYPES.get(tensor.dtype)
    if kind is None:
        if name != "random" or tensor.dtype != torch.int64:
            refuse(f"{name} is {tensor.dtype}; lowbit takes " + ", ".join(map(str, TYPES)))
        tensor = tensor.view(torch.int32)
        kind = C.LB_TYPE_S32
    if tensor.device != device:
        refuse(f"{name} is on {tensor.device}, a on {device}; all must be on one device")
    if not tensor.is_contiguous():
        refuse(f"{name} is not contiguous (strides {list(tensor.stride())}); pass {name}.contiguous()")
    return tensor.data_ptr(), kind, tensor.shape


def stream_of(device):
    """The current stream. Torch's 0 is CUDA's legacy stream, whose handle is 1; to lowbit 0 is a stream of its own."""
    return torch.cuda.current_stream(device).cuda_stream or 1


class _State:
    """Which tensor it was, and in what state."""

    def __init__(self, tensor, forget=None):
        self.tensor = None if tensor is None else weakref.ref(tensor, forget)
        self.seen = _seen(tensor)

    def holds(self, tensor):
        if self.tensor is None or tensor is None:
            return self.tensor is tensor
        return self.tensor() is tensor and self.seen == _seen(tensor)


def _seen(tensor):
    if tensor is None:
        return None
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


class Layer(linear.Linear):
    """lowbit.linear.Linear over torch's tensors."""

    def call(self, a, inputs):
        """D as a new tensor. `inputs`: name -> tensor or None."""
        device = a.device
        tensors = {name: describe(name, tensor, device) for name, tensor in inputs.items() if tensor is not None}
        tensors["a"] = describe("a", a, device)
        args = self.bind(tensors)
        out = a.new_empty((*a.shape[:-1], self.output_row), dtype=DTYPES[self.output_type])
        if device.type == "cpu":
            self.run(args, out.data_ptr())
        else:
            self._enqueue(args, out)
        return out

    def _enqueue(self, args, out):
        """On the current stream, with scratch from torch's allocator, which orders its reuse on that stream."""
        size = self.workspace_bytes(args.m)
        scratch = torch.empty(size + _ALIGNMENT, dtype=torch.uint8, device=out.device)
        args.workspace.base, args.workspace_bytes = -(-scratch.data_ptr() // _ALIGNMENT) * _ALIGNMENT, size
        self.enqueue(args, out.data_ptr(), stream_of(out.device))


def layer_of(weights, problem, device):
    """weights: a tensor or None for each of WEIGHTS."""
    codes = weights[0]
    key = (id(codes), problem, device)
    states, layer = _layers.get(key, ((), None))
    if states and all(state.holds(tensor) for state, tensor in zip(states, weights)):
        return layer
    given = {name: tensor for name, tensor in zip(WEIGHTS.values(), weights) if tensor is not None}
    for name, tensor in given.items():
        describe(name, tensor, codes.device)
    layer = Layer(problem, device=device, **{name: host_array(tensor) for name, tensor in given.items()})
    states = [_State(codes, lambda _: _layers.pop(key, None)), *map(_State, weights[1:])]
    _layers[key] = (states, layer)
    return layer
