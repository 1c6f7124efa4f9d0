# SPDX-License-Identifier: Apache-2.0
"""The linear layers of the model as low-bit products on a device: weights packed once, activations quantised per token
on the device (A8) or rounded to f16 (A16), GELU in the epilogue of the layers that it follows."""
import ctypes

import numpy as np

import lowbit
from lowbit import C, c, struct

ROWS = 1024  # the most tokens per call
NEAREST, TWN = C.LB_WEIGHTS_NEAREST, C.LB_WEIGHTS_TWN
MINMAX, MSE = C.LB_CALIBRATE_MINMAX, C.LB_CALIBRATE_MSE
# name: (activations and weights in a problem line, type of the codes, group, method, calibrator)
RECIPES = {
    "W8A8": ("s8.token*s8.channel", "s8", 0, NEAREST, MINMAX),
    "W4A8": ("s8.token*s4.g64", "s4", 64, NEAREST, MSE),
    "W4A16": ("f16*s4.g64", "s4", 64, NEAREST, MSE),
    "W2A8, ternary": ("s8.token*t2.g64", "t2", 64, TWN, MINMAX),
}
TYPES = {"s8": C.LB_TYPE_S8, "s4": C.LB_TYPE_S4, "t2": C.LB_TYPE_T2}


def problem_line(recipe, rows, n, k, end=""):
    return f"{RECIPES[recipe][0]}->f32 m{rows} n{n} k{k} +bias{end}"


def quantise(w, recipe):
    """Of a matrix of f32: codes, packed; scales; and the values that they stand for."""
    _, code, group, method, calibrator = RECIPES[recipe]
    w = np.ascontiguousarray(w)
    quant = struct("lb_quant", type=TYPES[code], granularity=C.LB_PER_GROUP if group else C.LB_PER_CHANNEL,
                   rows=w.shape[0], cols=w.shape[1], group=group, calibrator=calibrator)
    codes = np.empty((w.shape[0], w.shape[1] * lowbit.c.lb_type_bits(TYPES[code]) // 8),
                     np.int8 if code == "s8" else np.uint8)
    scales = np.empty((w.shape[0], w.shape[1] // group) if group else w.shape[0], np.float32)
    back = np.empty(w.shape, np.float32)
    c.lb_quantize_weights(ctypes.byref(quant), method, w.ctypes.data, codes.ctypes.data, scales.ctypes.data, None)
    c.lb_dequantize(ctypes.byref(quant), codes.ctypes.data, scales.ctypes.data, None, back.ctypes.data)
    return codes, scales, back


class Memory:
    """An array on the device."""

    def __init__(self, context, bytes):
        self.context, self.ptr = context, struct("lb_ptr")
        c.lb_memory_alloc(context, bytes, ctypes.byref(self.ptr))

    def write(self, x):
        c.lb_memory_write(self.context, self.ptr, x.ctypes.data, x.nbytes, None)
        return self

    def read(self, x):
        c.lb_memory_read(self.context, x.ctypes.data, self.ptr, x.nbytes, None)
        return x

    def __del__(self, c=c):
        c.lb_memory_free(self.context, self.ptr)


class Shared:
    """What the layers use one after the other."""

    def __init__(self, context, most):
        self.x, self.d = Memory(context, 4 * ROWS * most), Memory(context, 4 * ROWS * most)
        self.codes, self.scales = Memory(context, ROWS * most), Memory(context, 4 * ROWS)
        self.quantisers = {}


class Quantiser:
    """Activations of a width to s8 per token."""

    def __init__(self, context, width):
        self.context, self._as_parameter_ = context, ctypes.c_void_p()
        quant = struct("lb_quant", type=C.LB_TYPE_S8, granularity=C.LB_PER_TOKEN, rows=ROWS, cols=width)
        c.lb_quantizer_create(context, ctypes.byref(quant), ctypes.byref(self._as_parameter_))

    def __del__(self, c=c):
        c.lb_quantizer_destroy(self)


class Linear:
    def __init__(self, context, shared, recipe, w, bias, fused):
        n, k = w.shape
        self.context, self.shared = context, shared
        self.plan = context.plan(problem_line(recipe, ROWS, n, k, " +gelu" if fused else ""))
        self.half = self.plan.problem.type("a") == "f16"
        codes, scales, _ = quantise(w, recipe)
        self.weights = self.plan.weights(codes, scales)
        self.bias = Memory(context, bias.nbytes).write(bias)
        self.workspace = Memory(context, max(self.plan.info["workspace_bytes"], 1))
        self.bytes, self.n = self.plan.info["weights_bytes"], n
        if not self.half and k not in shared.quantisers:
            shared.quantisers[k] = Quantiser(context, k)
        self.quantiser = shared.quantisers.get(k)

    def __call__(self, x):
        s, rows = self.shared, len(x)
        args = struct("lb_args", m=rows, weights=self.weights._as_parameter_, bias=self.bias.ptr, d=s.d.ptr,
                      workspace=self.workspace.ptr, workspace_bytes=self.plan.info["workspace_bytes"])
        s.x.write(np.ascontiguousarray(x, np.float16 if self.half else np.float32))
        if self.half:
            args.a = s.x.ptr
        else:
            quantise = struct("lb_quantizer_args", rows=rows, x=s.x.ptr, codes=s.codes.ptr, scales=s.scales.ptr)
            c.lb_quantizer_run(self.quantiser, ctypes.byref(quantise), None)
            args.a, args.a_scale = s.codes.ptr, s.scales.ptr
        c.lb_run(self.plan, ctypes.byref(args), None)
        return s.d.read(np.empty((rows, self.n), np.float32))


class Layers:
    """All linear layers of the model: embed(model, ids, layers, layers.activation). One recipe for all, or a dict of one
    for each; `made` (name, recipe) keeps layers for other choices."""

    def __init__(self, context, model, recipe, made=None):
        made = {} if made is None else made
        if "shared" not in made:
            made["shared"] = Shared(context, max(max(model.weight(name).shape) for name in model.linears))
        self.layers = {}
        for name in model.linears:
            key = name, recipe if isinstance(recipe, str) else recipe[name]
            if key not in made:
                made[key] = Linear(context, made["shared"], key[1], model.weight(name), model.bias(name), "intermediate" in name)
            self.layers[name] = made[key]
        self.bytes = sum(layer.bytes for layer in self.layers.values())

    def __call__(self, name, x):
        return self.layers[name](x)

    def activation(self, x):
        return x  # is done
