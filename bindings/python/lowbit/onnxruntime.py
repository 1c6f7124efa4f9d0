# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: the custom op Gemm of domain "lowbit" (bindings/ops/onnxruntime.c says what it takes).

    options = onnxruntime.SessionOptions()
    lowbit.onnxruntime.register(options)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
"""
from ._library import find

DOMAIN = "lowbit"


def library():
    """The path that register_custom_ops_library takes."""
    return find("liblowbit_ops.so")


def register(options):
    options.register_custom_ops_library(library())
