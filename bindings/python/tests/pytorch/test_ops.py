# SPDX-License-Identifier: Apache-2.0
"""The ops in torch: products and quantising against numpy and the library, when weights are packed, refusals."""
import gc

import numpy as np
import pytest
import torch
from conftest import integers, nf4, scales, two_levels

import lowbit
import lowbit.torch
from lowbit.torch import packed, reference

CPUS = [device["selector"] for device in lowbit.devices() if not device["is_gpu"]]
LINE = "s8.token*s4.channel->f32 m4 n9 k70 +bias"
linear, quantize, quantize_with = (getattr(torch.ops.lowbit, name) for name in ("linear", "quantize", "quantize_with"))


def t(array):
    return torch.from_numpy(np.array(array))


def operands(rng, *shape):
    """a, codes, the rest by name, and W in f32."""
    b, sb = integers(rng, "s4", (9, 70)), scales(rng, 9)
    a = t(integers(rng, "s8", (*shape, 70)).astype(np.int8))
    named = dict(scales=t(sb), a_scale=t(scales(rng, *shape)), bias=t(scales(rng, 9)))
    return a, t(lowbit.pack(b, "s4")), named, t(b * sb[:, None]).float()


@pytest.mark.parametrize("device", CPUS)
@pytest.mark.parametrize("shape", [(1,), (4,), (33,), (0,), (2, 3), ()])
def test_products(device, rng, shape):
    a, codes, named, w = operands(rng, *shape)
    d = linear(a, codes, LINE, device=device, **named)
    assert d.shape == (*shape, 9) and d.dtype == torch.float32
    torch.testing.assert_close(d, (a * named["a_scale"][..., None]) @ w.T + named["bias"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kinds", ["s8*s8", "s8*t2", "b1*b1", "u4*u4"])
def test_integers_are_exact(rng, kinds):
    a_kind, b_kind = kinds.split("*")
    a, b = integers(rng, a_kind, (5, 96)), integers(rng, b_kind, (8, 96))
    d = linear(t(lowbit.pack(a, a_kind)), t(lowbit.pack(b, b_kind)), f"{kinds}->s32 m5 n8 k96")
    assert d.dtype == torch.int32 and (d.numpy() == a @ b.T).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_zeros_and_tables(rng, dtype):
    name = {torch.float16: "f16", torch.bfloat16: "bf16"}[dtype]
    a, sb = t(rng.standard_normal((3, 64))).to(dtype), t(scales(rng, 9, 2)).to(dtype)
    codes, zb = rng.integers(0, 16, (9, 64)), rng.integers(0, 16, (9, 2)).astype(np.int32)
    wide = sb.float().repeat_interleave(32, 1)
    d = linear(a, t(lowbit.pack(codes, "u4")), f"{name}*u4.g32.z.{name}->{name} m4 n9 k64", scales=sb, zeros=t(zb))
    assert d.dtype == dtype
    torch.testing.assert_close(d.float(), a.float() @ (t(codes - zb.repeat(32, 1)).float() * wide).T, rtol=1e-2, atol=1e-2)
    d = linear(a, t(lowbit.pack(codes, "c4")), f"{name}*c4.g32.{name}->{name} m4 n9 k64", scales=sb, tables=t(nf4()))
    torch.testing.assert_close(d.float(), a.float() @ (t(nf4()[codes]) * wide).T, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("device", CPUS)
def test_scales_of_two_levels(device, rng):
    """Bit for bit what weights of 8 bits give, also after a change of the channels' scales."""
    weights, wide = two_levels(rng, "u4", 9, 200, 64)
    a, sa = t(integers(rng, "s8", (5, 200)).astype(np.int8)), t(scales(rng, 5))
    codes, named = t(weights.pop("codes")), {name: t(value) for name, value in weights.items()}
    line, eight = "s8.token*u4.g64.z.u8->f32 m4 n9 k200", "s8.token*s8.channel->f32 m4 n9 k200"
    for _ in range(2):
        d = linear(a, codes, line, a_scale=sa, device=device, **named)
        assert torch.equal(d, linear(a, t(wide), eight, a_scale=sa, device=device, scales=named["channel_scales"]))
        named["channel_scales"] *= 3
    for channels, sentence in [(None, "channel_scales is missing"), (named["channel_scales"].double(), "is torch.float64"),
                               (torch.ones(8), r"channel_scales has shape \[8\]; the problem wants \[9\]"),
                               (torch.ones(18)[::2], "channel_scales is not contiguous")]:
        with pytest.raises(RuntimeError, match=sentence):
            linear(a, codes, line, a_scale=sa, device=device, **dict(named, channel_scales=channels))


def test_residual_and_random_numbers(rng):
    a, b = integers(rng, "s8", (4, 64)), integers(rng, "s8", (5, 64))
    a8, b8, residual = t(a.astype(np.int8)), t(b.astype(np.int8)), t(rng.standard_normal((4, 5)).astype(np.float32))
    d = linear(a8, b8, "s8*s8->f32 m4 n5 k64 +res.f32", residual=residual)
    torch.testing.assert_close(d, t(a @ b.T).float() + residual)
    d = linear(a8, b8, "s8*s8->s8.tensor m4 n5 k64 +round=stochastic", d_scale=torch.tensor([0.01]),
               random=torch.tensor([1, 2]))
    assert d.dtype == torch.int8 and (abs(d.numpy() - np.clip(a @ b.T * 0.01, -128, 127)) <= 1).all()


# ---- When weights are packed ----


def packs():
    return len(packed._layers)


def test_weights_are_packed_once_and_go_with_their_codes(rng):
    gc.collect()
    before = packs()
    a, codes, named, _ = operands(rng, 4)
    first = linear(a, codes, LINE, **named)
    layer = packed._layers[(id(codes), LINE, packed.cpu_device())][1]
    assert torch.equal(linear(a, codes, LINE, **named), first) and packs() == before + 1
    assert packed._layers[(id(codes), LINE, packed.cpu_device())][1] is layer
    del codes
    gc.collect()
    assert packs() == before


@pytest.mark.parametrize("change", ["codes", "scales", "data"])
def test_changed_weights_are_packed_anew(rng, change):
    a, codes, named, w = operands(rng, 4)
    linear(a, codes, LINE, **named)
    if change == "codes":
        codes.zero_()
    elif change == "scales":
        named["scales"].zero_()
    else:
        codes.data = torch.zeros_like(codes)
    torch.testing.assert_close(linear(a, codes, LINE, **named), named["bias"].expand(4, 9))


def test_one_codes_under_two_problems(rng):
    a, codes, named, w = operands(rng, 4)
    other = LINE.replace("f32", "f16")
    for _ in range(2):
        d, half = linear(a, codes, LINE, **named), linear(a, codes, other, **named)
        torch.testing.assert_close(half.float(), d, rtol=1e-3, atol=1e-3)


# ---- Quantising ----


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["s8", "u8", "s4", "u4", "s2", "u2", "t2", "b1"])
def test_quantise_by_torch_gives_the_library_s_bits(rng, kind, dtype):
    x = torch.cat([t(rng.standard_normal((6, 77)) * 10.0 ** rng.integers(-3, 4, (6, 1))), torch.zeros(1, 77).double()])
    x = x.to(dtype)
    x[0, 5], x[1, 6], x[2, 7] = float("inf"), float("-inf"), float("nan")
    for scheme in ("symmetric", "full", "asymmetric"):
        if kind in ("t2", "b1") and scheme == "asymmetric":
            continue
        ours, theirs = quantize(x, kind, scheme), reference.quantize(x, kind, scheme)
        for one, other in zip(ours, theirs):
            assert one.dtype == other.dtype and torch.equal(one, other), (kind, scheme)
        codes, scale, zero = ours
        if scheme == "asymmetric" or kind[0] != "u":
            again = quantize_with(x, scale, zero, kind)
            assert torch.equal(again, reference.quantize_with(x, scale, zero, kind))


def test_quantise_shapes_and_error(rng):
    x = t(rng.standard_normal((2, 3, 70))).float()
    codes, scale, zero = quantize(x, "u8", "asymmetric")
    assert codes.shape == x.shape and scale.shape == zero.shape == (2, 3)
    assert ((codes.float() - zero[..., None]) * scale[..., None] - x).abs().max() <= scale.max() * 0.501
    codes, scale, _ = quantize(x[:0], "s4", "full")
    assert codes.shape == (0, 3, 35) and scale.shape == (0, 3)
    one = torch.tensor([0.05])
    expected = torch.round(x / 0.05).clamp(-128, 127).to(torch.int8)
    assert (quantize_with(x, one, None, "s8").int() - expected.int()).abs().max() <= 1


# ---- Refusals: torch's own kind of error, with the library's sentence ----

REFUSALS = [
    (dict(a=torch.zeros(4, 70)), r"a is f32 \[4, 70\]; the problem wants s8 \[..., 70\]"),
    (dict(a=torch.zeros(4, 70, dtype=torch.float64)), "a is torch.float64; lowbit takes torch.int8, "),
    (dict(a=torch.zeros(4, 69, dtype=torch.int8)), r"a is s8 \[4, 69\]"),
    (dict(a=torch.zeros(4, 140, dtype=torch.int8)[:, ::2]), r"a is not contiguous \(strides \[140, 2\]\)"),
    (dict(bias=torch.zeros(8)), r"bias is f32 \[8\]; the problem wants f32, 9 elements"),
    (dict(a_scale=None), "a_scale is missing; the problem takes f32, 1 elements per row"),
    (dict(d_zero=torch.zeros(1, dtype=torch.int32)), "d_zero is not part of the problem"),
    (dict(scales=None), "scales is missing"),
    (dict(scales=torch.ones(18)[::2]), "scales is not contiguous"),
    (dict(channel_scales=torch.ones(9)), "channel_scales is not part of the problem"),
    (dict(codes=torch.zeros(9, 34, dtype=torch.uint8)), r"codes has shape \[9, 34\]; the problem wants \[9, 35\]"),
    (dict(problem="s8*s3->s32 m4 n9 k70"), "column 4"),
    (dict(device="no such"), "no such"),
]


@pytest.mark.parametrize("changes,sentence", REFUSALS)
def test_refusals(rng, changes, sentence):
    a, codes, named, _ = operands(rng, 4)
    arguments = {**dict(a=a, codes=codes, problem=LINE, **named), **changes}
    with pytest.raises(RuntimeError, match=sentence) as caught:
        linear(**arguments)
    assert isinstance(caught.value, lowbit.Error)


QUANTISE_REFUSALS = [
    (lambda x: quantize(x.double(), "s8"), "x is torch.float64"),
    (lambda x: quantize(x.T, "s8"), "x is not contiguous"),
    (lambda x: quantize(x, "f16"), "type is 'f16'"),
    (lambda x: quantize(x, "s8", "other"), "scheme is 'other'; there are symmetric, full, asymmetric"),
    (lambda x: quantize(x[0, 0], "s8"), "x is a single number"),
    (lambda x: quantize_with(x, torch.ones(3), None, "s8"), r"scale has shape \[3\]"),
    (lambda x: quantize_with(x, torch.ones(4).double(), None, "s8"), "scale is torch.float64"),
    (lambda x: quantize_with(x, torch.ones(4), torch.ones(1, dtype=torch.int32), "s8"), r"zero has shape \[1\]"),
]


@pytest.mark.parametrize("call,sentence", QUANTISE_REFUSALS)
def test_quantising_refuses(call, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        call(torch.ones(4, 6))


def test_the_dispatcher_s_own_refusals(rng):
    a, codes, named, _ = operands(rng, 4)
    with pytest.raises((RuntimeError, TypeError)):
        linear(a.numpy(), codes, LINE)
    with pytest.raises((RuntimeError, TypeError)):
        linear(a, codes, LINE, colour=a)


def test_fakes():
    a = torch.empty(2, 3, 70, dtype=torch.int8, device="meta")
    with torch.inference_mode():  # torch 1.13 has no autograd for the meta device
        codes = torch.empty(9, 35, dtype=torch.uint8, device="meta")
        d = linear(a, codes, LINE)
        assert d.device.type == "meta" and d.shape == (2, 3, 9) and d.dtype == torch.float32
        assert linear(a, codes, "s8.token*s4.channel->s4 m4 n9 k70").shape == (2, 3, 5)
        x = torch.empty(2, 70, device="meta", dtype=torch.float16)
        assert [(y.shape, y.dtype) for y in quantize(x, "s4")] == [
            ((2, 35), torch.uint8), ((2,), torch.float32), ((2,), torch.int32)]
        assert quantize_with(x, x, None, "s8").shape == (2, 70)
        with pytest.raises(RuntimeError, match=r"a has shape \[2, 3, 69\]"):
            linear(a[..., :69], codes, LINE)
        with pytest.raises(RuntimeError, match="a is torch.float16"):
            linear(x, codes, LINE)


def test_enqueueing_as_on_a_gpu(rng, monkeypatch):
    """What CUDA tensors take, on the reference backend, whose stream is the caller: torch's workspace, and torch's
    default stream by its handle, not by the 0 that means another stream to lowbit."""
    a, codes, named, w = operands(rng, 4)
    layer = packed.layer_of((codes, named.pop("scales"), None, None, None), LINE, "ref")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: type("Stream", (), {"cuda_stream": 0}))
    streams, enqueue = [], layer.enqueue
    monkeypatch.setattr(layer, "enqueue", lambda args, d, stream: (streams.append(stream), enqueue(args, d, None)))
    args = layer.bind({name: packed.describe(name, value, a.device) for name, value in dict(named, a=a).items()})
    out = torch.full((4, 9), float("nan"))
    layer._enqueue(args, out)
    torch.testing.assert_close(out, (a * named["a_scale"][:, None]) @ w.T + named["bias"], rtol=1e-4, atol=1e-4)
    assert streams == [1] and args.workspace_bytes == layer.workspace_bytes(4)


def test_tensors_by_dlpack(rng):
    """The numpy interface takes torch's tensors, and torch takes its results, without copies."""
    a, b = t(integers(rng, "s8", (4, 64)).astype(np.int8)), t(integers(rng, "s8", (5, 64)).astype(np.int8))
    plan = lowbit.Context("ref").plan("s8*s8->s32 m4 n5 k64")
    d = torch.from_dlpack(plan.run(plan.weights(b), a))
    assert torch.equal(d, a.int() @ b.int().T)
