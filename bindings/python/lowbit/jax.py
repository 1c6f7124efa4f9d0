# SPDX-License-Identifier: Apache-2.0
"""JAX: layers as traceable functions, under jit and vmap, on the CPU platform.

    linear = lowbit.jax.Linear("s8.token*s4.channel->f32 m16 n64 k128", codes, scales)
    y = jax.jit(linear)(a, a_scale=scale)

Not differentiable by itself (wrap it in jax.custom_vjp).
"""
import ctypes

import jax
import jax.numpy as jnp
import numpy as np

from . import linear as _linear
from ._array import refuse
from ._library import C, find

_TARGET = "lowbit_linear"
jax.ffi.register_ffi_target(_TARGET, jax.ffi.pycapsule(ctypes.CDLL(find("liblowbit_ops.so")).lb_xla_linear),
                            platform="cpu")
_TYPES = {C.LB_TYPE_S8: jnp.int8, C.LB_TYPE_U8: jnp.uint8, C.LB_TYPE_S32: jnp.int32, C.LB_TYPE_F16: jnp.float16,
          C.LB_TYPE_BF16: jnp.bfloat16, C.LB_TYPE_F32: jnp.float32}
_kept = []  # compiled functions hold only a layer's number


class Linear(_linear.Linear):
    """As lowbit.linear.Linear, over JAX's arrays. It lives as long as the process, as what is compiled with it may."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        per_row = {"a", "residual"}
        if self.problem.struct.a.scale == C.LB_PER_TOKEN:
            per_row.add("a_scale")
        if self.problem.struct.a.zero == C.LB_PER_TOKEN:
            per_row.add("a_zero")
        # vmap makes mapped rows more rows, unless an input has no rows to be mapped.
        self._vmap = "broadcast_all" if {name for name, *_ in self.takes} <= per_row else "sequential"
        _kept.append(self)

    def __call__(self, a, **arrays):
        given = dict(arrays, a=a)
        operands = []
        for name, kind, _ in self.takes:
            value = given.pop(name, None)
            if value is None:
                refuse(f"{name} is missing; the problem '{self.line}' takes it")
            value = jnp.asarray(value)
            if value.dtype != _TYPES[kind]:
                refuse(f"{name} is {value.dtype}; the problem wants {np.dtype(_TYPES[kind])}")
            operands.append(value)
        unused = [name for name, value in given.items() if value is not None]
        if unused:
            refuse(f"{unused[0]} is not part of the problem '{self.line}'")
        if operands[0].ndim < 1 or operands[0].shape[-1] != self.takes[0][2]:
            refuse(f"a has shape {list(operands[0].shape)}; the problem wants [..., {self.takes[0][2]}]")
        result = jax.ShapeDtypeStruct((*operands[0].shape[:-1], self.output_row), _TYPES[self.output_type])
        return jax.ffi.ffi_call(_TARGET, result, vmap_method=self._vmap)(*operands, layer=np.int64(self.id))
