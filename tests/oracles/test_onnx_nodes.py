# SPDX-License-Identifier: Apache-2.0
"""The node tests of the onnx package, on every device: bit for bit."""
import warnings

import numpy as np
import pytest

import products
from lib import devices
from quantize import ASYMMETRIC, GROUP, TENSOR, TOKEN, as_matrix, calibrate, dequantize, quantize

with warnings.catch_warnings():  # cases of other operators overflow on purpose
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    CASES = collect_testcases(None)

from onnx import TensorProto, helper, numpy_helper  # noqa: E402



def narrow(x):
    """A tensor of one code per element, and the name of its type; the onnx package hands 4 and 2 bits over as protos."""
    if isinstance(x, TensorProto):
        name = {TensorProto.UINT4: "u4", TensorProto.INT4: "s4", TensorProto.UINT2: "u2", TensorProto.INT2: "s2"}
        return numpy_helper.to_array(x).astype(np.int64), name[x.data_type]
    return x, {np.dtype(np.uint8): "u8", np.dtype(np.int8): "s8"}[x.dtype]


def granularity_of(node, x, scale):
    """The matrix, how its scales lie, and the way back."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if scale.size == 1:
        return x.reshape(1, -1), (TENSOR, 0), lambda y: y.reshape(x.shape), lambda s: s
    matrix, back = as_matrix(x, axis, block)
    if not block:
        return matrix, (TOKEN, 0), back, lambda s: s
    return matrix, (GROUP, block), back, lambda s: as_matrix(s, axis, block)[0]


def quantize_linear(device, node, inputs):
    x, scale, zero = (*inputs, None)[:3]
    zero, code = narrow(zero)
    matrix, how, back, lay = granularity_of(node, x, scale)
    return [back(quantize(matrix, code, lay(scale), lay(zero), *how))]


def dequantize_linear(device, node, inputs):
    x, code = narrow(inputs[0])
    scale = inputs[1]
    matrix, how, back, lay = granularity_of(node, x, scale)
    zero = lay(narrow(inputs[2])[0]) if len(inputs) > 2 else None
    return [back(dequantize(matrix, code, lay(scale), zero, *how))]


def dynamic_quantize_linear(device, node, inputs):
    x = inputs[0].reshape(1, -1)
    scale, zero = calibrate(x, "u8", ASYMMETRIC)
    codes = quantize(x, "u8", scale, zero, scheme=ASYMMETRIC)
    return [codes.reshape(inputs[0].shape), scale[0], zero[0]]


# operator -> function (device, node, inputs) -> outputs. Quantising is done on the host, once.
OPERATORS = {
    "MatMulInteger": lambda device, node, x: [products.matmul_integer(device, *x)],
    "QLinearMatMul": lambda device, node, x: [products.qlinear_matmul(device, *x)],
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
}
ON_HOST = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}

# part of a case's name -> why it is not run
EXCLUDED = {
    "int16": "codes of 16 bits are no type of the library",
    "blocked_symmetric": "codes of 16 bits are no type of the library",
    "e4m3fn": "codes of 8-bit floats are not quantised to",
    "e5m2": "codes of 8-bit floats are not quantised to",
    "float4e2m1": "codes of 4-bit floats are not quantised to",
    "_expanded": "the operator spelled as others, Min and Div among them",
}


def excluded(name):
    return next((why for part, why in EXCLUDED.items() if part in name), None)


RUN = [case for case in CASES if case.model.graph.node[-1].op_type in OPERATORS]


def plain(x):
    return narrow(x)[0] if isinstance(x, TensorProto) else x


@pytest.mark.parametrize("device", devices)
@pytest.mark.parametrize("case", [case for case in RUN if not excluded(case.name)], ids=lambda case: case.name)
def test_node(case, device, tally):
    node = case.model.graph.node[-1]
    if node.op_type in ON_HOST and device != "ref":
        return
    for inputs, outputs in case.data_sets:
        got = OPERATORS[node.op_type](device, node, inputs)
        for mine, theirs in zip(got, outputs, strict=True):
            assert np.shape(mine) == np.shape(plain(theirs))
            np.testing.assert_array_equal(mine, plain(theirs))
    tally(f"onnx node tests of {node.op_type}, on {device}: bit equal")


@pytest.mark.parametrize("case", [case for case in RUN if excluded(case.name)], ids=lambda case: case.name)
def test_exclusions_are_named(case, tally):
    tally(f"onnx node tests left out: {excluded(case.name)}")
