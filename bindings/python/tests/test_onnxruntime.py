# SPDX-License-Identifier: Apache-2.0
"""The custom op in ONNX Runtime: models made here, run there, compared with numpy."""
import numpy as np
import pytest
from conftest import integers, nf4, scales, two_levels

import lowbit
import lowbit.onnxruntime

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
NAMES = ["A", "B", "B_scale", "B_zero", "A_scale", "A_zero", "bias", "residual", "residual_scale",
         "residual_zero", "D_scale", "D_zero", "B_table", "B_channel_scale"]


def session(problem, constants, inputs, device="auto", after=(), output=onnx.TensorProto.FLOAT):
    """A model of one Gemm (and the nodes `after` it), loaded."""
    names = [name if name in constants or name in inputs else "" for name in NAMES]
    while not names[-1]:  # as in models made before the op had its last inputs
        names.pop()
    nodes = [onnx.helper.make_node("Gemm", names, ["D"], domain="lowbit", problem=problem, device=device), *after]
    graph = onnx.helper.make_graph(
        nodes, "test",
        [onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype),
                                            [f"{name}_{i}" for i in range(value.ndim)]) for name, value in inputs.items()],
        [onnx.helper.make_tensor_value_info(nodes[-1].output[0], output, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("lowbit", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = ort.SessionOptions()
    lowbit.onnxruntime.register(options)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_quantised_linear(device, rng):
    b, sb, bias = integers(rng, "s4", (9, 70)), scales(rng, 9), scales(rng, 9)
    a, sa = integers(rng, "s8", (2, 3, 70)).astype(np.int8), scales(rng, 2, 3)
    inputs = {"A": a, "A_scale": sa}
    run = session("s8.token*s4.channel->f32 m4 n9 k70 +bias",
                  {"B": lowbit.pack(b, "s4"), "B_scale": sb, "bias": bias}, inputs, device)
    for rows in (1, 2):
        d, = run.run(None, {name: value[:rows] for name, value in inputs.items()})
        expected = (a[:rows] * sa[:rows, :, None]) @ (b * sb[:, None]).T + bias
        np.testing.assert_allclose(d, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kinds", ["b1*b1", "s8*t2", "u8*u4"])
def test_integers_are_exact_and_the_type_is_inferred(rng, kinds):
    a_kind, b_kind = kinds.split("*")
    a, b = integers(rng, a_kind, (5, 96)), integers(rng, b_kind, (8, 96))
    after = [onnx.helper.make_node("Neg", ["D"], ["E"])]  # typed by what was inferred for D
    inputs = {"A": lowbit.pack(a, a_kind)}
    run = session(f"{kinds}->s32 m5 n8 k96", {"B": lowbit.pack(b, b_kind)}, inputs, after=after,
                  output=onnx.TensorProto.INT32)
    assert (run.run(None, inputs)[0] == -(a @ b.T)).all()


def test_weight_only_with_zeros(rng):
    b, sb, zb = integers(rng, "u4", (8, 64)), scales(rng, 8, 2), rng.integers(0, 16, (8, 2)).astype(np.int32)
    a = rng.standard_normal((3, 64)).astype(np.float32)
    run = session("f32*u4.g32.z->f32 m4 n8 k64", {"B": lowbit.pack(b, "u4"), "B_scale": sb, "B_zero": zb}, {"A": a})
    w = (b - zb.repeat(32, 1)) * sb.repeat(32, 1)
    np.testing.assert_allclose(run.run(None, {"A": a})[0], a @ w.T, rtol=1e-4, atol=1e-4)


def test_weights_by_table(rng):
    codes, sb, a = rng.integers(0, 16, (9, 64)), scales(rng, 9, 2), rng.standard_normal((3, 64)).astype(np.float32)
    run = session("f32*c4.g32->f32 m4 n9 k64", {"B": lowbit.pack(codes, "c4"), "B_scale": sb, "B_table": nf4()}, {"A": a})
    np.testing.assert_allclose(run.run(None, {"A": a})[0], a @ (nf4()[codes] * sb.repeat(32, 1)).T, rtol=1e-4, atol=1e-4)


def test_scales_of_two_levels(rng):
    weights, wide = two_levels(rng, "u4", 9, 64, 32)
    inputs = {"A": integers(rng, "s8", (3, 64)).astype(np.int8), "A_scale": scales(rng, 3)}
    constants = {"B": weights["codes"], "B_scale": weights["scales"], "B_zero": weights["zeros"],
                 "B_channel_scale": weights["channel_scales"]}
    run = session("s8.token*u4.g32.z.u8->f32 m4 n9 k64", constants, inputs)
    eight = session("s8.token*s8.channel->f32 m4 n9 k64", {"B": wide, "B_scale": weights["channel_scales"]}, inputs)
    assert (run.run(None, inputs)[0] == eight.run(None, inputs)[0]).all()
    del constants["B_channel_scale"]
    with pytest.raises(Exception, match="lowbit.Gemm: channel_scales is missing; the problem takes f32, 9 elements"):
        session("s8.token*u4.g32.z.u8->f32 m4 n9 k64", constants, inputs)


def test_refusals_are_the_runtime_s_own_errors(rng):
    b, a = np.zeros((8, 64), np.int8), np.zeros((3, 64), np.int8)
    with pytest.raises(Exception, match="column 4.*unknown type"):
        session("s8*s3->s8 m4 n8 k64", {"B": b}, {"A": a}, output=onnx.TensorProto.INT8)
    with pytest.raises(Exception, match=r"lowbit.Gemm: codes is s8 \[8, 64\]; the problem wants s8, 576 elements"):
        session("s8*s8->s32 m4 n9 k64", {"B": b}, {"A": a}, output=onnx.TensorProto.INT32)
    with pytest.raises(Exception, match="lowbit.Gemm: codes is missing"):  # not a constant
        session("s8*s8->s32 m4 n8 k64", {}, {"A": a, "B": b}, output=onnx.TensorProto.INT32)
    run = session("s8*s8->s32 m4 n8 k64", {"B": b}, {"A": a}, output=onnx.TensorProto.INT32)
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument, match=r"lowbit.Gemm: a is s8 \[3, 63\]"):
        run.run(None, {"A": np.zeros((3, 63), np.int8)})
