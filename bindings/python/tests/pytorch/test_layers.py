# SPDX-License-Identifier: Apache-2.0
"""Layers and models in torch: from floats, what the products are, saving and loading, recipes, refusals."""
import concurrent.futures
import copy
import io
import pickle

import pytest
import torch

import lowbit
from lowbit.torch import Linear, load_model, packed, quantize_model

# weights, activations, largest relative error of y against the float layer for normal weights and inputs
KINDS = [("s8.channel", None, 0.01), ("s8.channel", "s8.token", 0.02), ("s4.g128", None, 0.12), ("s4.g128", "s8.token", 0.12),
         ("u4.g32.z", "u8.token.z", 0.12), ("c4.g64", None, 0.12), ("c2.channel", None, 0.4), ("u2.g32.z", None, 0.5),
         ("t2.channel", "s8.token", 0.6), ("b1.channel", "b1.token", 0.9), ("s4.g128.u8", "s8.token", 0.12),
         ("u4.g32.z.u8", "u8.token.z", 0.12), ("t2.g64.u8", "s8.token", 0.6)]


@pytest.fixture
def floats():
    torch.manual_seed(1)
    linear = torch.nn.Linear(256, 48)
    torch.nn.init.normal_(linear.weight)
    return linear


def near(y, expected, share):
    return ((y - expected).norm() / expected.norm()).item() <= share


@pytest.mark.parametrize("weight,activation,share", KINDS)
def test_from_float(floats, weight, activation, share):
    layer, x = Linear.from_float(floats, weight, activation), torch.randn(3, 5, 256)
    y = layer(x)
    assert y.shape == (3, 5, 48) and near(y, floats(x), share)
    # The product itself, with what A became.
    a, scale, zero = layer.activations(x)
    if not layer.floats:
        codes = torch.from_numpy(lowbit.unpack(a.numpy(), layer.kind, 256)).float()
        a = (codes - (0 if zero is None else zero[..., None])) * scale[..., None]
    expected = torch.nn.functional.linear(a, layer.dequantized(), floats.bias)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("weight", ["s4.g32.u8", "u4.g64.z.u8", "s2.g32.u8"])
def test_scales_of_two_levels_are_those_of_8_bits(floats, weight):
    layer, x = Linear.from_float(floats, weight, "s8.token"), torch.randn(5, 256)
    assert layer.scales.dtype == torch.uint8 and layer.channel_scales.shape == (48,)
    codes = (layer.dequantized() / layer.channel_scales[:, None]).round().to(torch.int8)
    eight = Linear("s8.token*s8.channel->f32 m16 n48 k256 +bias")
    for name, value in dict(codes=codes, scales=layer.channel_scales, bias=layer.bias).items():
        getattr(eight, name).copy_(value)
    assert torch.equal(layer(x), eight(x)) and torch.equal(layer.dequantized(), eight.dequantized())
    other = Linear(layer.line)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))
    assert torch.equal(layer.half()(x), eight(x)) and layer.channel_scales.dtype == torch.float32


def test_dtypes_columns_and_views(floats):
    for dtype in (torch.float16, torch.bfloat16):
        layer = Linear.from_float(copy.deepcopy(floats).to(dtype), "s4.g128")
        x = torch.randn(7, 256).to(dtype)
        assert layer(x).dtype == dtype
        assert torch.equal(layer(x.T.contiguous().T), layer(x))  # as nn.Linear, a layer takes any strides
    odd = torch.nn.Linear(77, 5, bias=False)
    for weight in ("s4.channel", "c4.channel", "c2.g32", "s2.g32"):
        layer, x = Linear.from_float(odd, weight), torch.randn(2, 77)
        torch.testing.assert_close(layer(x), x @ layer.dequantized().T, rtol=1e-4, atol=1e-4)


def test_types_are_the_problem_s(floats):
    layer, x = Linear.from_float(floats, "s4.g128", "s8.token"), torch.randn(2, 256)
    expected = layer(x)
    assert torch.equal(layer.half().to(torch.float64)(x), expected) and layer.scales.dtype == torch.float32
    assert layer.to("meta").codes.is_meta


def test_static_activations(floats):
    x = torch.randn(9, 256).clamp(-3, 3)
    layer = Linear.from_float(floats, "s8.channel", "s8.tensor", a_scale=3 / 127)
    assert near(layer(x), floats(x), 0.03)
    layer = Linear.from_float(floats, "s8.channel", "u8.tensor.z", a_scale=6 / 255, a_zero=128)
    assert near(layer(x), floats(x), 0.03)
    with pytest.raises(RuntimeError, match="a_scale is missing"):
        Linear.from_float(floats, "s8.channel", "s8.tensor")


def test_methods_and_tables(floats):
    x = torch.randn(4, 256)
    better = Linear.from_float(floats, "s4.channel", calibrator="mse")
    worse = Linear.from_float(floats, "s4.channel")
    assert (better(x) - floats(x)).norm() < (worse(x) - floats(x)).norm()
    absmean = Linear.from_float(floats, "t2.tensor", method="absmean")
    assert absmean.scales.numel() == 1
    table = torch.linspace(-1, 1, 16)
    assert torch.equal(Linear.from_float(floats, "c4.g64", table=table).tables, table)


REFUSALS = [
    (dict(weight="s4"), "need a scale"),
    (dict(weight="u4.g32"), "need zero points"),
    (dict(weight="s4.g33"), "33"),
    (dict(weight="s4.g32", activation="s8"), "need a scale; add .token or .tensor"),
    (dict(weight="s4.g32", method="best"), "method is 'best'; there are nearest, twn, absmean, xnor"),
    (dict(weight="s4.g32", calibrator="best"), "calibrator is 'best'"),
    (dict(weight="c4"), "scales per channel or group"),
    (dict(weight="s4.g32.u8"), "need integer activations, A is f32"),
    (dict(weight="u4.g32.u8", activation="s8.token"), "need zero points"),
    (dict(weight="t2.g32.u8", activation="s8.token", method="twn"), "are made by nearest; choose a calibrator"),
    (dict(weight="s4.g32", a_scale=1.0), "a_scale is not part of the problem"),
]


@pytest.mark.parametrize("arguments,sentence", REFUSALS)
def test_making_refuses(floats, arguments, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        Linear.from_float(floats, **arguments)


def test_calls_refuse(floats):
    layer = Linear.from_float(floats, "s8.channel", "s8.token")
    with pytest.raises(RuntimeError, match="x is torch.float16; this layer takes torch.float32"):
        layer(torch.zeros(1, 256).half())
    with pytest.raises(RuntimeError, match=r"a is s8 \[1, 255\]; the problem wants s8 \[..., 256\]"):
        layer(torch.zeros(1, 255))
    with pytest.raises(RuntimeError, match="dtype is torch.float64"):
        Linear.from_float(copy.deepcopy(floats).double(), "s8.channel")


# ---- Models ----


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down, self.head = torch.nn.Linear(64, 96), torch.nn.Linear(96, 64, bias=False), torch.nn.Linear(64, 10)

    def forward(self, x):
        return self.head(x + self.down(torch.relu(self.up(x))))


RECIPE = {"*": "s8.channel", "down": ("s4.g32", "s8.token"), "head": None}


@pytest.fixture
def model():
    torch.manual_seed(2)
    return Block().eval()


def test_recipe(model):
    x = torch.randn(8, 64)
    with torch.no_grad():
        before = model(x)
        made = quantize_model(model, RECIPE)
        assert sorted(made) == ["down", "up"] and type(model.head) is torch.nn.Linear and not model.down.training
        assert model.down.line == "s8.token*s4.g32->f32 m16 n64 k96" and "+bias" in model.up.line
        assert near(model(x), before, 0.1)
    with pytest.raises(RuntimeError, match="recipe: no Linear is called 'tail'"):
        quantize_model(model, {"tail": "s8.channel"})
    with pytest.raises(RuntimeError, match="head: .*need a scale"):
        quantize_model(model, {"head": "s4"})
    with pytest.raises(RuntimeError, match=r"recipe\['head'\] is 4"):
        quantize_model(model, {"head": 4})


def test_state_dict(model):
    x = torch.randn(8, 64)
    with torch.no_grad():
        quantize_model(model, RECIPE)
        expected = model(x)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        # Into layers that are there, which have been used: they are packed anew.
        torch.manual_seed(3)
        other = Block().eval()
        quantize_model(other, RECIPE)
        other(x)
        other.load_state_dict(state)
        assert torch.equal(other(x), expected)
        # Into a model of floats.
        other = Block().eval()
        load_model(other, state)
        assert torch.equal(other(x), expected)
        # Copies and other states.
        assert torch.equal(copy.deepcopy(model)(x), expected)
    with pytest.raises(RuntimeError, match="these weights are for .*s4.g32.*, this layer is .*s4.channel"):
        other = Block()
        quantize_model(other, {"*": "s8.channel", "down": "s4.channel", "head": None})
        other.load_state_dict(state)


def test_pickles_threads_and_inference_mode(model):
    x = torch.randn(8, 64)
    with torch.inference_mode():
        made = quantize_model(model, RECIPE)  # inference tensors, which have no version
        expected = model(x)
        assert made["up"].codes.is_inference() and torch.equal(pickle.loads(pickle.dumps(model))(x), expected)
        fresh = copy.deepcopy(model)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # which pack the same weights at once
        for y in pool.map(lambda _: torch.no_grad()(fresh)(x), range(16)):
            assert torch.equal(y, expected)


def test_pickles_of_before_channels_had_scales(floats):
    layer, x = Linear.from_float(floats, "s4.g32", "s8.token"), torch.randn(2, 256)
    expected = layer(x)
    del layer.channel_scales
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), expected)


def test_packed_weights_go_with_the_layer(floats):
    import gc
    gc.collect()
    before = len(packed._layers)
    layer = Linear.from_float(floats, "s8.channel")
    layer(torch.zeros(1, 256))
    assert len(packed._layers) == before + 1
    del layer
    gc.collect()
    assert len(packed._layers) == before
