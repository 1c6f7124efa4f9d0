# SPDX-License-Identifier: Apache-2.0
"""A linear layer of quantised weights, for inference."""
import ctypes

import numpy as np
import torch

from .._array import refuse
from .._core import Problem
from .._library import C, c, struct
from . import ops, weights
from .packed import DTYPES

BUFFERS = ("codes", "scales", "zeros", "tables", "bias", "order", "a_scale", "a_zero", "channel_scales")


class Linear(torch.nn.Module):
    """y = x W^T + bias for a problem line, e.g. "s8.token*s4.g128->f16 m16 n4096 k4096 +bias.f16". Made by from_float,
    from_gptq, from_awq, from_compressed_tensors, from_stored or from_file; the line alone gives empty weights, for
    load_state_dict. x is of D's type, [..., K]; if A is integers it is quantised on the way: per token, or by the
    buffers a_scale and a_zero where the line says .tensor. m is only what the kernel is chosen for.

    The state_dict is canonical weights and the line (as bytes, so that it is a tensor too): it means the same on every
    device. What kernels read is packed from it at the first call, and takes as much memory again."""

    def __init__(self, line, *, order=False, device=""):
        super().__init__()
        self.problem = Problem(line)
        p = self.problem.struct
        self.line, self.device_name = str(self.problem), device
        self.in_features, self.out_features = p.k, p.n
        self.kind, self.dtype = self.problem.type("a"), DTYPES.get(p.d.type)
        if self.dtype not in (torch.float32, torch.float16, torch.bfloat16) or p.residual.type or p.d.scale:
            refuse(f"'{self.line}': a layer's D is f32, f16 or bf16 without scale, and it has no residual")
        self.floats = self.kind in ("f32", "f16", "bf16")
        if self.floats and (p.a.type != p.d.type or p.a.scale):
            refuse(f"'{self.line}': a layer's A is integers, or of D's type without scale")
        if not self.floats and not p.a.scale:
            refuse(f"'{self.line}': integers of A need a scale; add .token or .tensor")
        self.static = p.a.scale == C.LB_PER_TENSOR
        self.scheme = "asymmetric" if p.a.zero else "symmetric"
        shapes = self.problem.shapes()
        self._empty("codes", shapes.get("b"))
        for buffer, name in (("scales", "b_scale"), ("zeros", "b_zero"), ("tables", "b_table"), ("bias", "bias")):
            self._empty(buffer, shapes.get(name), p.bias if name == "bias" else
                        p.b.scale_type if name == "b_scale" else 0)
        self._empty("order", (np.int64, (p.k,)) if order else None)
        for name in ("a_scale", "a_zero"):
            self._empty(name, shapes.get(name) if self.static else None)
        self._empty("channel_scales", shapes.get("b_channel_scale"))

    def _empty(self, name, described, kind=0):
        if described is None:
            self.register_buffer(name, None)
            return
        dtype, shape = described
        wanted = DTYPES[kind] if kind else torch.from_numpy(np.empty(0, dtype)).dtype
        self.register_buffer(name, torch.zeros(shape, dtype=wanted))

    def _apply(self, function, *rest, **named):
        """to(), cuda(), half() ...: types are the problem's and stay; everything else is done."""

        def keep_type(tensor):
            result = function(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        return super()._apply(keep_type, *rest, **named)

    # ---- Making ----

    @classmethod
    def _make(cls, weight, tensors, order, bias, activation, dtype, n, k, rows, a_scale, a_zero, device):
        problem = weights.problem_for(activation, weight, dtype, n, k, rows, bias is not None)
        layer = cls(str(problem), order=order is not None, device=device)
        given = dict(tensors, order=order, a_scale=a_scale, a_zero=a_zero,
                     bias=None if bias is None else bias.detach().to(dtype))
        with torch.no_grad():
            for name, value in given.items():
                own = getattr(layer, name)
                if (value is None) != (own is None):
                    refuse(f"{name} is {'missing' if value is None else 'not part of the problem'} ('{problem}')")
                if value is not None:
                    own.copy_(torch.as_tensor(value).reshape(own.shape))
        return layer

    @classmethod
    def from_float(cls, linear, weight="s4.g128", activation=None, *, rows=16, method=None, calibrator=None, table=None,
                   a_scale=None, a_zero=None, device=""):
        """From a torch.nn.Linear. weight, activation: operands as in a problem line ("s8.channel", "u4.g64.z",
        "c4.g64", "s4.g128.u8"; "s8.token", "u8.token.z", "s8.tensor" with a_scale, None for floats as they are)."""
        w, bias = linear.weight, linear.bias
        n, k = w.shape
        problem = weights.problem_for(activation, weight, w.dtype, n, k, rows, bias is not None)
        tensors = weights.quantize(w, problem, method, calibrator, table)
        layer = cls._make(weight, tensors, None, bias, activation, w.dtype, n, k, rows, a_scale, a_zero, device)
        return layer.to(w.device)

    @classmethod
    def _from_matrix(cls, matrix, bias=None, activation=None, *, dtype=torch.float16, rows=16, a_scale=None, a_zero=None,
                     device=""):
        weight, tensors, order = weights.read(matrix)
        return cls._make(weight, tensors, order, bias, activation, dtype, matrix.n, matrix.k, rows, a_scale, a_zero, device)

    @classmethod
    def from_stored(cls, format, n, k, parts, bits=0, group=0, **options):
        """From one of lowbit's formats (docs/formats.md): parts by name, "codes", "scales", "zeros", "order" ...
        options: bias, activation, dtype, rows, a_scale, a_zero, device, as for from_float."""
        return cls._from_matrix(weights.stored(format, n, k, parts, bits, group), **options)

    @classmethod
    def from_gptq(cls, qweight, qzeros, scales, g_idx=None, *, v2=False, **options):
        """From GPTQ tensors; v2: zero points as they are (checkpoint_format "gptq_v2")."""
        groups, n = scales.shape
        bits = qzeros.shape[1] * 32 // n
        k = qweight.shape[0] * 32 // bits
        group = -(-k // groups)
        if g_idx is not None and bool((g_idx.cpu() == torch.arange(k) // group).all()):
            g_idx = None
        parts = {"codes": qweight, "zeros": qzeros, "scales": scales,
                 "order": None if g_idx is None else g_idx.to(torch.int32)}
        name = "gptq3" if bits == 3 else "gptq_v2" if v2 else "gptq"
        return cls.from_stored(name, n, k, parts, bits, 0 if groups == 1 else group, **options)

    @classmethod
    def from_awq(cls, qweight, qzeros, scales, **options):
        """From AutoAWQ's GEMM tensors."""
        k, (groups, n) = qweight.shape[0], scales.shape
        return cls.from_stored("awq", n, k, {"codes": qweight, "zeros": qzeros, "scales": scales}, 4,
                               0 if groups == 1 else k // groups, **options)

    @classmethod
    def from_compressed_tensors(cls, weight, weight_scale, zero_point=None, g_idx=None, *, bits=4, k=None, **options):
        """From weight_packed (pack-quantized; bits of a code, k if its last word is not full) or int8 weight
        (int-quantized)."""
        n = weight.shape[0]
        whole = weight.dtype == torch.int8
        k = k or (weight.shape[1] if whole else weight.shape[1] * 32 // bits)
        groups = weight_scale.numel() // n if weight_scale.numel() > 1 else 1
        group = -1 if weight_scale.numel() == 1 else 0 if groups == 1 else k // groups
        parts = {"codes": weight, "scales": weight_scale, "zeros": zero_point,
                 "order": None if g_idx is None else g_idx.to(torch.int32)}
        return cls.from_stored("ct_int8" if whole else "ct", n, k, parts, 8 if whole else bits, group, **options)

    @classmethod
    def from_file(cls, path, name, format=None, **options):
        """From a matrix of a .lbw, safetensors or GGUF file, by its name there."""
        file = ctypes.c_void_p()
        c.lb_file_open(str(path).encode(), ctypes.byref(file))
        try:
            matrix = struct("lb_stored")
            c.lb_file_find(file, name.encode(), format and format.encode(), ctypes.byref(matrix))
            return cls._from_matrix(matrix, **options)
        finally:
            c.lb_file_close(file)

    # ---- Running ----

    def activations(self, x):
        """x as A: (a, a_scale, a_zero)."""
        if x.dtype != self.dtype:
            refuse(f"x is {x.dtype}; this layer takes {self.dtype}")
        if self.order is not None:
            x = x.index_select(-1, self.order)
        x = x.contiguous()
        if self.floats:
            return x, None, None
        if self.static:
            return torch.ops.lowbit.quantize_with(x, self.a_scale, self.a_zero, self.kind), self.a_scale, self.a_zero
        a, scale, zero = torch.ops.lowbit.quantize(x, self.kind, self.scheme)
        return a, scale, zero if self.scheme == "asymmetric" else None

    def product(self, a, a_scale=None, a_zero=None):
        return torch.ops.lowbit.linear(a, self.codes, self.line, scales=self.scales, zeros=self.zeros, tables=self.tables,
                                       a_scale=a_scale, a_zero=a_zero, bias=self.bias, device=self.device_name,
                                       channel_scales=self.channel_scales)

    def forward(self, x):
        return self.product(*self.activations(x))

    def dequantized(self):
        """The weights as f32 [N][K], in the order of the codes."""
        return weights.dequantized(self.problem, self.codes, self.scales, self.zeros, self.tables, self.channel_scales)

    def extra_repr(self):
        return repr(self.line)

    # ---- Saving ----

    def __setstate__(self, state):
        super().__setstate__(state)
        self._buffers.setdefault("channel_scales", None)  # pickled before there were any

    def get_extra_state(self):
        return torch.tensor(list(self.line.encode()), dtype=torch.uint8)

    def set_extra_state(self, state):
        line = bytes(state.tolist()).decode()
        if str(Problem(line).with_m(1)) != str(self.problem.with_m(1)):
            refuse(f"these weights are for '{line}', this layer is '{self.line}'; load_model makes layers that fit")

