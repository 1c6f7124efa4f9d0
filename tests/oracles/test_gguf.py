# SPDX-License-Identifier: Apache-2.0
"""Every GGUF type that the library reads, against the gguf package: what that quantises, and random blocks, are the
same f32 values bit for bit, and come back to the same bytes through the canonical form."""
import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf import quants

import stored as lb

N, K = 32, 1024
# Where the block's f16 scales (exponent byte for MXFP4) lie, so that random blocks hold finite ones.
SCALES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82],
          Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.TQ1_0: [52], Type.TQ2_0: [64],
          Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.MXFP4: []}
TERNARY = {Type.TQ1_0, Type.TQ2_0}
QUANTISED = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.TQ1_0, Type.TQ2_0, Type.MXFP4]


# gguf-py doubles MXFP4's largest scale past f32.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")


def random_blocks(kind, rng):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (N, K // block, size), dtype=np.uint8)
    for at in SCALES[kind]:
        data[:, :, at:at + 2] = rng.normal(0, 0.1, (N, K // block, 1)).astype(np.float16).view(np.uint8)
    return data.reshape(N, -1)


def same_as_gguf(kind, data):
    w = lb.matrix(kind.name.lower(), N, K, data)
    values, expected = w.values(), quants.dequantize(data, kind)
    assert values.dtype == expected.dtype
    assert np.array_equal(values, expected), f"largest difference {np.abs(values - expected).max()}"
    canon, report = w.repack("canon")
    assert report.exact and np.array_equal(canon.values(), expected)
    back, report = canon.repack(like=w)
    assert report.exact and np.array_equal(back.part(lb.CODES), data.reshape(-1))


@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.name)
def test_what_gguf_quantises(kind):
    weights = np.random.default_rng(1).normal(0, 0.5, (N, K)).astype(np.float32)
    same_as_gguf(kind, quants.quantize(weights, kind))


@pytest.mark.parametrize("kind", [kind for kind in SCALES if kind not in TERNARY], ids=lambda kind: kind.name)
def test_random_blocks(kind):
    same_as_gguf(kind, random_blocks(kind, np.random.default_rng(2)))


@pytest.mark.parametrize("kind", [Type.F16, Type.BF16], ids=lambda kind: kind.name)
def test_floats(kind):
    data = quants.quantize(np.random.default_rng(3).normal(0, 0.5, (N, K)).astype(np.float32), kind)
    assert np.array_equal(lb.matrix(kind.name.lower(), N, K, data).values(), quants.dequantize(data, kind))


def test_a_file_that_gguf_writes(tmp_path):
    rng, expected = np.random.default_rng(4), {}
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "test")
    writer.add_array("words", ["a", "bc", ""])
    writer.add_uint32("number", 7)
    for kind in SCALES:
        data = random_blocks(kind, rng) if kind not in TERNARY else quants.quantize(
            rng.normal(0, 1, (N, K)).astype(np.float32), kind)
        expected[kind.name + ".weight"] = quants.dequantize(data, kind)
        writer.add_tensor(kind.name + ".weight", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with lb.File(tmp_path / "a.gguf") as file:
        assert [t.name.decode() for t in file.tensors()] == list(expected)
        for name, values in expected.items():
            assert np.array_equal(file.find(name).values(), values), name
