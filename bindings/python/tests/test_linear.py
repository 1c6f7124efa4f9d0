# SPDX-License-Identifier: Apache-2.0
"""Layers over numpy: any number of rows, leading dimensions, refusals, threads."""
import concurrent.futures

import numpy as np
import pytest
from conftest import integers, nf4, scales, two_levels

import lowbit
from lowbit.linear import Linear, ops

LINE = "s8.token*s4.channel->f32 m4 n9 k70 +bias"


def make(rng, device="ref"):
    b, sb = integers(rng, "s4", (9, 70)), scales(rng, 9)
    return Linear(LINE, lowbit.pack(b, "s4"), sb, device=device), b * sb[:, None]


def test_any_number_of_rows(device, rng):
    linear, w = make(rng, device)
    bias = scales(rng, 9)
    for shape in [(1,), (4,), (5,), (0,), (33,), (2, 3), ()]:
        a, sa = integers(rng, "s8", (*shape, 70)).astype(np.int8), scales(rng, *shape)
        d = linear(a, a_scale=sa, bias=bias)
        assert d.shape == (*shape, 9)
        np.testing.assert_allclose(d, (a * sa[..., None]) @ w.T + bias, rtol=1e-4, atol=1e-4)


def test_weights_by_table(rng):
    codes, sb, a = rng.integers(0, 16, (9, 64)), scales(rng, 9, 2), rng.standard_normal((3, 64)).astype(np.float32)
    linear = Linear("f32*c4.g32->f32 m4 n9 k64", lowbit.pack(codes, "c4"), sb, tables=nf4())
    np.testing.assert_allclose(linear(a), a @ (nf4()[codes] * sb.repeat(32, 1)).T, rtol=1e-4, atol=1e-4)
    with pytest.raises(lowbit.InvalidArgument, match="tables is missing"):
        Linear("f32*c4.g32->f32 m4 n9 k64", lowbit.pack(codes, "c4"), sb)


def test_scales_of_two_levels(device, rng):
    weights, wide = two_levels(rng, "u4", 9, 200, 64)
    line, a, sa = "s8.token*u4.g64.z.u8->f32 m4 n9 k200", integers(rng, "s8", (5, 200)).astype(np.int8), scales(rng, 5)
    eight = Linear("s8.token*s8.channel->f32 m4 n9 k200", wide, weights["channel_scales"], device=device)
    assert (Linear(line, device=device, **weights)(a, a_scale=sa) == eight(a, a_scale=sa)).all()
    with pytest.raises(lowbit.InvalidArgument, match="channel_scales is missing; the problem takes f32, 9 elements"):
        Linear(line, **dict(weights, channel_scales=None))
    with pytest.raises(lowbit.InvalidArgument, match=r"channel_scales has shape \[8\]; the problem wants \[9\]"):
        Linear(line, **dict(weights, channel_scales=weights["channel_scales"][:8]))
    with pytest.raises(lowbit.InvalidArgument, match="channel_scales is not part of the problem"):
        Linear(eight.line, wide, weights["channel_scales"], channel_scales=weights["channel_scales"])


def test_threads_share_a_layer(rng):
    linear, w = make(rng, "auto")
    a, sa, bias = integers(rng, "s8", (40, 70)).astype(np.int8), scales(rng, 40), scales(rng, 9)

    def run(m):
        d = linear(a[:m], a_scale=sa[:m], bias=bias)
        np.testing.assert_allclose(d, (a[:m] * sa[:m, None]) @ w.T + bias, rtol=1e-4, atol=1e-4)
        return 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(1, 41))) == 40


REFUSALS = [
    (dict(a=np.zeros((4, 70), np.int16)), r"a is of another type \[4, 70\]; the problem wants s8 \[..., 70\]"),
    (dict(a=np.zeros((4, 69), np.int8)), r"a is s8 \[4, 69\]"),
    (dict(a=np.zeros((4, 140), np.int8)[:, ::2]), "a is not contiguous"),
    (dict(a_scale=None), "a_scale is missing; the problem takes f32, 1 elements per row"),
    (dict(bias=np.zeros(8, np.float32)), r"bias is f32 \[8\]; the problem wants f32, 9 elements"),
    (dict(d_zero=np.zeros(1, np.int32)), "d_zero is not part of the problem"),
    (dict(colour=np.zeros(1, np.int32)), "colour is no input"),
]


@pytest.mark.parametrize("changes,sentence", REFUSALS)
def test_refusals(rng, changes, sentence):
    arguments = dict(a=np.zeros((4, 70), np.int8), a_scale=np.ones(4, np.float32), bias=np.zeros(9, np.float32))
    with pytest.raises(ValueError, match=sentence):
        make(rng)[0](**{**arguments, **changes})


def test_making_refuses(rng):
    with pytest.raises(lowbit.Unsupported, match="leave out batch"):
        Linear("s8*s8->s32 m4 n4 k4 b2", np.zeros((2, 4, 4), np.int8))
    with pytest.raises(lowbit.InvalidArgument, match="codes is missing"):
        Linear("s8*s8->s32 m4 n4 k4", None)
    with pytest.raises(lowbit.Error, match="no such"):
        Linear("s8*s8->s32 m4 n4 k4", np.zeros((4, 4), np.int8), device="no such")


def test_numbers_find_layers_and_are_not_reused(rng):
    linear, _ = make(rng)
    number = linear.id
    found = ops.lb_linear_find(number)
    assert number > 0 and found == linear._as_parameter_.value
    ops.lb_linear_release(found)
    del linear
    assert not ops.lb_linear_find(number) and not ops.lb_linear_find(0)
    assert make(rng)[0].id > number
