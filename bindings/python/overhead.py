#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one call costs through each binding: a product so small that only the way to it counts, on the reference backend.
The least of many repeats of 200 calls, in microseconds, and less the bare C call (lb_linear_run_host with arguments
that are ready, called through ctypes)."""
import ctypes
import timeit

import numpy as np

import lowbit
from lowbit.linear import Linear, ops

LINE = "s8*s8->s32 m1 n1 k32"
CALLS, REPEATS = 200, 200


def least(call):
    call()
    return min(timeit.repeat(call, number=CALLS, repeat=REPEATS)) / CALLS * 1e6


def onnxruntime_call(b, a):
    import onnx
    import onnxruntime

    import lowbit.onnxruntime
    node = onnx.helper.make_node("Gemm", ["A", "B"], ["D"], domain="lowbit", problem=LINE, device="ref")
    graph = onnx.helper.make_graph(
        [node], "overhead", [onnx.helper.make_tensor_value_info("A", onnx.TensorProto.INT8, a.shape)],
        [onnx.helper.make_tensor_value_info("D", onnx.TensorProto.INT32, None)], [onnx.numpy_helper.from_array(b, "B")])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[
        onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("lowbit", 1)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    lowbit.onnxruntime.register(options)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"A": a})


def jax_call(b, a):
    import jax

    import lowbit.jax
    call, a = jax.jit(lowbit.jax.Linear(LINE, b, device="ref")), jax.numpy.asarray(a)
    return lambda: call(a).block_until_ready()


def torch_calls(b, a):
    """The op; and a whole layer, whose call quantises its input per token and then multiplies."""
    import torch

    import lowbit.torch
    codes, tensor = torch.from_numpy(b), torch.from_numpy(a)
    layer = lowbit.torch.Linear.from_float(torch.nn.Linear(32, 1, bias=False), "s8.channel", "s8.token", device="ref")
    x = torch.zeros(1, 32)
    with torch.no_grad():
        layer(x)
    return [(f"PyTorch {torch.__version__}, torch.ops", lambda: torch.ops.lowbit.linear(tensor, codes, LINE, device="ref")),
            ("PyTorch Linear, from floats", torch.no_grad()(lambda: layer(x)))]


def main():
    b, a = np.ones((1, 32), np.int8), np.ones((1, 32), np.int8)
    linear, d = Linear(LINE, b, device="ref"), np.zeros((1, 1), np.int32)
    args = linear.bind({"a": (a.ctypes.data, lowbit.C.LB_TYPE_S8, a.shape)})
    args.d.base = d.ctypes.data
    reference = ctypes.byref(args)
    bare = least(lambda: ops.lb_linear_run_host(linear, reference))
    plan = lowbit.Context("ref").plan(LINE)
    weights = plan.weights(b)
    rows = [("Plan.run (numpy)", lambda: plan.run(weights, a)), ("Linear (numpy)", lambda: linear(a))]
    for name, make in (("ONNX Runtime, session.run", onnxruntime_call), ("JAX, jit", jax_call), ("PyTorch", torch_calls)):
        try:
            made = make(b, a)
            rows += made if isinstance(made, list) else [(name, made)]
        except ImportError as reason:
            print(f"{name}: {reason}")
    print(f"{'bare C call':34} {bare:7.1f} us")
    for name, call in rows:
        took = least(call)
        print(f"{name:34} {took:7.1f} us  {took - bare:+7.1f} us")


if __name__ == "__main__":
    main()
