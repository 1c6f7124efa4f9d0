# SPDX-License-Identifier: Apache-2.0
"""MatMulNBits as ONNX Runtime computes it: with the identity as A the operator shows the weights themselves."""
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import stored as lb

N, K = 24, 100  # K is no multiple of the block


@pytest.mark.parametrize("zeros", [False, True], ids=["symmetric", "zero points"])
@pytest.mark.parametrize("block", [16, 32, 64])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_are_the_same(bits, block, zeros):
    rng = np.random.default_rng(bits * block + zeros)
    blocks = -(-K // block)
    codes = rng.integers(0, 256, (N, blocks, block * bits // 8), dtype=np.uint8)
    scales = rng.normal(0, 1, (N, blocks)).astype(np.float32)
    points = rng.integers(0, 256, (N, -(-blocks * bits // 8)), dtype=np.uint8)

    names = ["a", "b", "s"] + (["z"] if zeros else [])
    node = helper.make_node("MatMulNBits", names, ["d"], domain="com.microsoft", K=K, N=N, bits=bits, block_size=block)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("a", TensorProto.FLOAT, [K, K])],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, [K, N])],
        [helper.make_tensor("b", TensorProto.UINT8, codes.shape, codes.tobytes(), raw=True),
         helper.make_tensor("s", TensorProto.FLOAT, [scales.size], scales.tobytes(), raw=True),
         helper.make_tensor("z", TensorProto.UINT8, [points.size], points.tobytes(), raw=True)][:len(names) - 1])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21),
                                                                  helper.make_opsetid("com.microsoft", 1)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"a": np.eye(K, dtype=np.float32)})[0].T

    parts = {"zeros": points} if zeros else {}
    ours = lb.matrix("nbits", N, K, codes, bits=bits, group=block, scales=(scales, "f32"), **parts).values()
    assert np.array_equal(ours, theirs), f"largest difference {np.abs(ours - theirs).max()}"
