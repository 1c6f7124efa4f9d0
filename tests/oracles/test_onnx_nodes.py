# SPDX-License-Identifier: Apache-2.0
"""The node tests of the onnx package, on every device: bit for bit."""
import warnings

import numpy as np
import pytest

import products
from lib import devices

with warnings.catch_warnings():  # cases of other operators overflow on purpose
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    CASES = collect_testcases(None)

# operator -> function (device, node, inputs) -> outputs
OPERATORS = {
    "MatMulInteger": lambda device, node, x: [products.matmul_integer(device, *x)],
    "QLinearMatMul": lambda device, node, x: [products.qlinear_matmul(device, *x)],
}

# part of a case's name -> why it is not run
EXCLUDED = {}


def excluded(name):
    return next((why for part, why in EXCLUDED.items() if part in name), None)


RUN = [case for case in CASES if case.model.graph.node[-1].op_type in OPERATORS]


@pytest.mark.parametrize("device", devices)
@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_node(case, device, tally):
    node = case.model.graph.node[-1]
    why = excluded(case.name)
    if why:
        tally(f"onnx node tests excluded: {why}", device == "ref")
        pytest.skip(why)
    for inputs, outputs in case.data_sets:
        got = OPERATORS[node.op_type](device, node, inputs)
        for mine, theirs in zip(got, outputs, strict=True):
            assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
            np.testing.assert_array_equal(mine, theirs)
    tally(f"onnx node tests of {node.op_type}, on {device}: bit equal")
