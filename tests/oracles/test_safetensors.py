# SPDX-License-Identifier: Apache-2.0
"""Layers as GPTQ, AWQ, compressed-tensors, Marlin, bitsandbytes and BitNet name and pack them, written with the
safetensors package and dequantised here with numpy from the formats' definitions."""
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import stored as lb

N, K, GROUP = 128, 256, 64
rng = np.random.default_rng(5)
codes = rng.integers(0, 16, (N, K))
zeros = rng.integers(1, 16, (N, K // GROUP))
scales = rng.normal(0, 1, (N, K // GROUP)).astype(np.float16)


def words(fields, bits):
    """Fields along the last axis into little-endian int32, low bits first."""
    spread = (fields[..., None] >> np.arange(bits)) & 1
    return np.packbits(spread.astype(np.uint8).reshape(*fields.shape[:-1], -1), axis=-1, bitorder="little").view(
        np.int32)


def affine(codes, zeros, scales, group=GROUP):
    return np.repeat(scales.astype(np.float32), group, 1) * (codes - np.repeat(zeros, group, 1)).astype(np.float32)


def read(tmp_path, tensors, format=None):
    save_file({"layer." + name: np.ascontiguousarray(array) for name, array in tensors.items()}, tmp_path / "a")
    with lb.File(tmp_path / "a") as file:
        w = file.find("layer", format)
        values = w.values()
        canon, report = w.repack("canon")
        assert report.exact and np.array_equal(canon.values(), values)
        return w.stored.format.decode(), values


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("v2", [False, True])
def test_gptq(tmp_path, bits, v2):
    q, z = codes % (1 << bits), zeros % ((1 << bits) - 1) + 1
    tensors = {"qweight": words(q, bits).T, "scales": scales.T, "qzeros": words((z if v2 else z - 1).T, bits),
               "g_idx": (np.arange(K) // GROUP).astype(np.int32)}
    name, values = read(tmp_path, tensors, "gptq_v2" if v2 else None)
    assert name == ("gptq_v2" if v2 else "gptq") and np.array_equal(values, affine(q, z, scales))


def test_gptq_act_order(tmp_path):
    order = rng.permutation(np.arange(K) // GROUP).astype(np.int32)
    tensors = {"qweight": words(codes, 4).T, "scales": scales.T, "qzeros": words((zeros - 1).T, 4), "g_idx": order}
    expected = scales.astype(np.float32)[:, order] * (codes - zeros[:, order]).astype(np.float32)
    assert np.array_equal(read(tmp_path, tensors)[1], expected)


def test_awq(tmp_path):
    nibbles = [0, 2, 4, 6, 1, 3, 5, 7]
    order = (np.arange(N) // 8) * 8 + np.tile(nibbles, N // 8)
    tensors = {"qweight": words(codes.T[:, order], 4), "scales": scales.T, "qzeros": words(zeros.T[:, order], 4)}
    name, values = read(tmp_path, tensors)
    assert name == "awq" and np.array_equal(values, affine(codes, zeros, scales))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("points", [False, True])
def test_compressed_tensors(tmp_path, bits, points):
    q = codes % (1 << bits)
    z = zeros % (1 << bits) if points else np.full_like(zeros, 1 << (bits - 1))
    tensors = {"weight_packed": words(q, bits), "weight_scale": scales, "weight_shape": np.array([N, K])}
    if points:
        tensors["weight_zero_point"] = words(z.T, bits).T
    name, values = read(tmp_path, tensors)
    assert name == "ct" and np.array_equal(values, affine(q, z, scales))


def test_int8_with_a_scale_per_row(tmp_path):
    q, s = rng.integers(-128, 128, (N, K)).astype(np.int8), rng.normal(0, 1, (N, 1)).astype(np.float32)
    name, values = read(tmp_path, {"weight": q, "weight_scale": s})
    assert name == "ct_int8" and np.array_equal(values, s * q.astype(np.float32))


def test_marlin(tmp_path):
    """The permutation as IST-DASLab/marlin states it: by threads of a warp that holds 16 x 64."""
    order = []
    for i in range(32):
        block = []
        for high in (0, 1):
            for row in (2 * (i % 4), 2 * (i % 4) + 1, 2 * (i % 4 + 4), 2 * (i % 4 + 4) + 1):
                block.append(16 * row + i // 4 + 8 * high)
        for j in range(4):
            order += [p + 256 * j for p in block]
    order = np.array(order).reshape(-1, 8)[:, [0, 2, 4, 6, 1, 3, 5, 7]].ravel()
    tiles = codes.T.reshape(K // 16, 16, N // 16, 16).transpose(0, 2, 1, 3).reshape(K // 16, N * 16)
    packed = words(tiles.reshape(-1, order.size)[:, order].reshape(K // 16, -1), 4)
    by_64 = [i + 8 * j for i in range(8) for j in range(8)]
    permuted = scales.T.reshape(-1, 64)[:, by_64].reshape(-1, N)
    name, values = read(tmp_path, {"B": packed, "s": permuted})
    assert name == "marlin" and np.array_equal(values, affine(codes, np.full_like(zeros, 8), scales))


def pairs(q):
    flat = q.reshape(-1).astype(np.uint8)
    return (flat[0::2] << 4 | flat[1::2]).reshape(-1, 1)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [False, True])
def test_bitsandbytes_4_bits(tmp_path, kind, double):
    table = np.sort(rng.normal(0, 1, 16)).astype(np.float32)
    state = {"quant_type": kind, "blocksize": GROUP, "dtype": "bfloat16", "shape": [N, K]}
    absmax = rng.uniform(0.1, 1, N * K // GROUP).astype(np.float32)
    tensors = {"weight": pairs(codes), "weight.absmax": absmax, "weight.quant_map": table}
    if double:
        quantised, offset = rng.integers(0, 256, absmax.size, dtype=np.uint8), np.float32(0.0371)
        nested_map, nested = rng.normal(0, 1, 256).astype(np.float32), rng.uniform(1, 2, 2).astype(np.float32)
        absmax = nested_map[quantised] * np.repeat(nested, 256) + offset
        tensors |= {"weight.absmax": quantised, "weight.nested_absmax": nested, "weight.nested_quant_map": nested_map}
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset.item()}
    tensors[f"weight.quant_state.bitsandbytes__{kind}"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    name, values = read(tmp_path, tensors)
    expected = (table[codes.reshape(-1)] * np.repeat(absmax, GROUP)).reshape(N, K)
    assert name == f"bnb_{kind}" + ("_double" if double else "") and np.array_equal(values, expected)


def test_bitsandbytes_8_bits(tmp_path):
    q, scb = rng.integers(-127, 128, (N, K)).astype(np.int8), rng.uniform(1, 2, N).astype(np.float32)
    name, values = read(tmp_path, {"weight": q, "SCB": scb, "weight_format": np.array(0, np.uint8)})
    assert name == "bnb_int8" and np.array_equal(values, scb[:, None] / np.float32(127) * q.astype(np.float32))


@pytest.mark.parametrize("divides", [False, True])
def test_bitnet(tmp_path, divides):
    trits = rng.integers(0, 3, (N, K))
    packed = sum(trits[i * N // 4:(i + 1) * N // 4] << 2 * i for i in range(4)).astype(np.uint8)
    scale = np.array([1.25 if divides else 0.8], np.float32)
    name, values = read(tmp_path, {"weight": packed, "weight_scale": scale}, "hf_bitnet_div" if divides else None)
    s = np.float32(1) / scale[0] if divides else scale[0]
    assert np.array_equal(values, s * (trits - 1).astype(np.float32))


def test_damaged_headers_are_refused(tmp_path):
    save_file({"layer.weight": np.zeros((4, 4), np.float32)}, tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    for bad in (data[:40], data[:-1], b"\xff" * 8 + data[8:], data.replace(b"F32", b"F33")):
        (tmp_path / "b").write_bytes(bad)
        with pytest.raises(lb.Error, match="safetensors") as error:
            lb.File(tmp_path / "b")
        assert error.value.status == lb.BAD_DATA
