# SPDX-License-Identifier: Apache-2.0
"""Layers from checkpoints' tensors, packed here by the formats' own definitions, and from files."""
import ctypes

import numpy as np
import pytest
import torch
from conftest import scales

import lowbit
from lowbit._library import c, struct
from lowbit.torch import Linear

N, K, GROUP = 32, 128, 32


def words(codes, bits, axis):
    """Codes along an axis in int32 words, low bits first."""
    per = 32 // bits
    codes = np.moveaxis(codes, axis, -1).astype(np.uint32)
    codes = codes.reshape(*codes.shape[:-1], -1, per) << (np.arange(per, dtype=np.uint32) * bits)
    return torch.from_numpy(np.moveaxis(np.bitwise_or.reduce(codes, -1), -1, axis).view(np.int32).copy())


@pytest.fixture
def matrix(rng):
    """codes [N][K], zeros [N][G] and scales [N][G] (f16 values), of 4 bits."""
    return (rng.integers(0, 16, (N, K)), rng.integers(1, 16, (N, K // GROUP)),
            scales(rng, N, K // GROUP).astype(np.float16))


def check(layer, codes, zeros, sb, group_of=None, bias=None):
    group_of = np.arange(K) // GROUP if group_of is None else group_of
    w = (codes - zeros[:, group_of]) * sb.astype(np.float32)[:, group_of]
    x = torch.randn(5, K)
    expected = x @ torch.from_numpy(w).float().T + (0 if bias is None else bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("v2", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_gptq(rng, matrix, v2, bits):
    codes, zeros, sb = matrix
    bias = torch.randn(N)
    layer = Linear.from_gptq(words(codes, bits, 1).T.contiguous(), words(zeros.T - (not v2), bits, 1),
                             torch.from_numpy(sb.T.copy()), v2=v2, bias=bias, dtype=torch.float32)
    assert f"u{bits}.g32.z" in layer.line and layer.order is None
    check(layer, codes, zeros, sb, bias=bias)


def test_gptq_in_another_order(rng, matrix):
    codes, zeros, sb = matrix
    group_of = rng.permutation(np.arange(K) // GROUP)
    arguments = [words(codes, 4, 1).T.contiguous(), words(zeros.T, 4, 1), torch.from_numpy(sb.T.copy())]
    layer = Linear.from_gptq(*arguments, torch.from_numpy(group_of), v2=True, dtype=torch.float32)
    check(layer, codes, zeros, sb, group_of)
    assert not torch.equal(layer.order, torch.arange(K))
    again = Linear(layer.line, order=True)
    again.load_state_dict(layer.state_dict())
    check(again, codes, zeros, sb, group_of)
    plain = Linear.from_gptq(*arguments, torch.arange(K) // GROUP, v2=True, dtype=torch.float32)
    assert plain.order is None


def test_gptq_with_quantised_activations(matrix):
    codes, zeros, sb = matrix
    layer = Linear.from_gptq(words(codes, 4, 1).T.contiguous(), words(zeros.T - 1, 4, 1), torch.from_numpy(sb.T.copy()),
                             activation="s8.token")
    x = torch.randn(3, K).half()
    y, expected = layer(x), x.float() @ layer.dequantized().T
    assert y.dtype == torch.float16 and (y.float() - expected).norm() / expected.norm() < 0.02


def test_awq(matrix):
    codes, zeros, sb = matrix
    order = [0, 2, 4, 6, 1, 3, 5, 7]  # nibble i of a word holds column order[i]

    def shuffled(values):  # [rows][N]
        return words(values.reshape(-1, N // 8, 8)[..., order].reshape(-1, N), 4, 1)

    layer = Linear.from_awq(shuffled(codes.T), shuffled(zeros.T), torch.from_numpy(sb.T.copy()), dtype=torch.float32)
    check(layer, codes, zeros, sb)


@pytest.mark.parametrize("symmetric", [True, False])
def test_compressed_tensors(matrix, symmetric):
    codes, zeros, sb = matrix
    zeros = np.full_like(zeros, 8) if symmetric else zeros
    layer = Linear.from_compressed_tensors(words(codes, 4, 1), torch.from_numpy(sb).to(torch.bfloat16),
                                           None if symmetric else words(zeros, 4, 0), dtype=torch.float32)
    assert ("s4.g32->" if symmetric else "u4.g32.z->") in layer.line
    check(layer, codes, zeros, torch.from_numpy(sb).to(torch.bfloat16).float().numpy())


def test_compressed_tensors_of_8_bits(rng):
    codes, sb = rng.integers(-128, 128, (N, K)).astype(np.int8), scales(rng, N, 1)
    layer = Linear.from_compressed_tensors(torch.from_numpy(codes), torch.from_numpy(sb), dtype=torch.float32)
    assert layer.line.startswith("f32*s8.channel->f32")
    check(layer, codes.astype(int), np.zeros((N, 1), int), sb, np.zeros(K, int))


def write_lbw(path, layers):
    """A file of (name, lb_stored)."""
    items = (type(struct("lb_file_item")) * len(layers))()
    for item, (name, matrix) in zip(items, layers):
        item.struct_size, item.name = ctypes.sizeof(item), name.encode()
        setattr(item, "from", ctypes.addressof(matrix))
    c.lb_file_write(str(path).encode(), ctypes.addressof(items), len(items), None, None)


def test_files(tmp_path, matrix):
    from lowbit.torch import weights
    codes, zeros, sb = matrix
    parts = {"codes": words(codes, 4, 1).T.contiguous(), "zeros": words(zeros.T - 1, 4, 1),
             "scales": torch.from_numpy(sb.T.copy())}
    stored = weights.stored("gptq", N, K, parts, 4, GROUP)
    write_lbw(tmp_path / "model.lbw", [("up", stored)])
    layer = Linear.from_file(tmp_path / "model.lbw", "up", dtype=torch.float32)
    check(layer, codes, zeros, sb)
    with pytest.raises(RuntimeError, match="down"):
        Linear.from_file(tmp_path / "model.lbw", "down")
    with pytest.raises(RuntimeError, match="none.lbw"):
        Linear.from_file(tmp_path / "none.lbw", "up")


@pytest.mark.parametrize("format,text", [("tq2_0", "t2"), ("q8_0", "s8"), ("q4_0", "s4"), ("mxfp4", "s8"), ("i2_s", "t2"),
                                         ("larq", "b1"), ("hf_bitnet", "t2")])
def test_other_formats(rng, format, text):
    """Any format that is one product: against the library's own values of it."""
    n, k = 8, 256
    form = struct("lb_stored", format=format.encode(), n=n, k=k)
    if format in ("larq", "hf_bitnet"):
        form.group = -1
    c.lb_stored_sizes(ctypes.byref(form))
    names = ["codes", "scales"]
    parts = {name: rng.integers(0, 120, part.bytes).astype(np.uint8) for name, part in zip(names, form.part) if part.bytes}
    if "scales" in parts:
        kind = np.float16 if len(parts["scales"]) == 2 else np.float32
        parts["scales"] = scales(rng, len(parts["scales"]) // kind().itemsize).astype(kind)
    if format in ("tq2_0", "i2_s", "hf_bitnet"):
        parts["codes"] = (parts["codes"] & 0x55) if format != "tq2_0" else parts["codes"] & 0x15
    tensors = {name: torch.from_numpy(value) for name, value in parts.items()}
    layer = Linear.from_stored(format, n, k, tensors, group=form.group, dtype=torch.float32)
    assert f"*{text}." in layer.line
    from lowbit.torch import weights
    stored = weights.stored(format, n, k, tensors, group=form.group)
    values = np.empty((n, k), np.float32)
    c.lb_stored_values(ctypes.byref(stored), 0, n, values.ctypes.data)
    torch.testing.assert_close(layer.dequantized(), torch.from_numpy(values), rtol=1e-6, atol=0)


def test_refusals(rng):
    blocks = torch.from_numpy(np.zeros(8 * 144, np.uint8))
    with pytest.raises(RuntimeError, match="this q4_k matrix is a sum of 2 products"):
        Linear.from_stored("q4_k", 8, 256, {"codes": blocks})
    with pytest.raises(RuntimeError, match="floats are no weights of a kernel"):
        Linear.from_stored("f32", 8, 32, {"codes": torch.zeros(8, 32)})
    with pytest.raises(RuntimeError, match="part is 'colour'; there are codes, scales"):
        Linear.from_stored("q4_k", 8, 256, {"colour": blocks})
    with pytest.raises(RuntimeError, match="gptqq"):
        Linear.from_stored("gptqq", 8, 32, {"codes": blocks})
    assert lowbit.Error in RuntimeError.__subclasses__()
