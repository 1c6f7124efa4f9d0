# SPDX-License-Identifier: Apache-2.0
"""Tensor parallel: the shards of any number of ranks together are the layer; ranks over gloo."""
import pathlib
import subprocess
import sys

import pytest
import torch

from lowbit.torch import Linear, row_unit, shard_columns, shard_rows

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "tensor_parallel.py"
KINDS = [("s8.channel", None), ("s4.g32", "s8.token"), ("u4.g64.z", "u8.token.z"), ("t2.tensor", "s8.token"),
         ("c4.g32", None), ("b1.channel", "b1.token"), ("s8.channel", "s8.tensor"), ("s4.g32.u8", "s8.token"),
         ("u4.g64.z.u8", "u8.token.z")]


def make(weight, activation, n=50, k=232):
    torch.manual_seed(6)
    scale = 3 / 127 if activation == "s8.tensor" else None
    return Linear.from_float(torch.nn.Linear(k, n), weight, activation, a_scale=scale), torch.randn(5, k)


@pytest.mark.parametrize("weight,activation", KINDS)
@pytest.mark.parametrize("world", [1, 2, 3])
def test_shards_together_are_the_layer(weight, activation, world):
    layer, x = make(weight, activation)
    columns = [shard_columns(layer, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat([shard(x) for shard in columns], -1), layer(x))

    a, scale, zero = layer.activations(x)
    unit, start, total = row_unit(layer), 0, 0
    bits = {"s8": 8, "u8": 8, "b1": 1, "f32": 8}[layer.kind]
    for shard in (shard_rows(layer, rank, world) for rank in range(world)):
        stop = start + shard.in_features
        assert start % unit == 0 and (stop % unit == 0 or stop == layer.in_features)
        total = total + shard.product(a[:, start * bits // 8 : -(-stop * bits // 8)].contiguous(), scale, zero)
        start = stop
    assert start == layer.in_features
    torch.testing.assert_close(total, layer(x), rtol=1e-5, atol=1e-5)


def test_order_and_states():
    layer, x = make("s4.g32", None, k=256)
    layer.register_buffer("order", torch.randperm(256))
    assert torch.equal(torch.cat([shard_columns(layer, rank, 2)(x) for rank in (0, 1)], -1), layer(x))
    with pytest.raises(RuntimeError, match="permutes the columns"):
        shard_rows(layer, 0, 2)


def test_refusals():
    layer, _ = make("s4.g128", None)
    with pytest.raises(RuntimeError, match="K is 232, which is 2 pieces of 128; it splits over at most 2 ranks, not 3"):
        shard_rows(layer, 0, 3)
    with pytest.raises(RuntimeError, match="rank is 2; there are 0 to 1"):
        shard_columns(layer, 2, 2)
    with pytest.raises(RuntimeError, match="activation would be applied to a part"):
        shard_rows(Linear("f32*s4.g128->f32 m16 n50 k256 +relu"), 0, 2)


@pytest.mark.parametrize("ranks,arguments", [(2, ["--activation", "s8.token"]), (3, ["--weight", "c4.g64"])])
def test_ranks_equal_one(ranks, arguments):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    run = subprocess.run([sys.executable, "-W", "ignore", EXAMPLE, "--ranks", str(ranks), *arguments], capture_output=True,
                         text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("columns equal, rows within") == ranks
