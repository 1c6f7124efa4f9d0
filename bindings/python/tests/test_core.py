# SPDX-License-Identifier: Apache-2.0
"""The numpy interface on every device: results against numpy, arrays in and out by DLPack, refusals."""
import pickle

import numpy as np
import pytest
from conftest import integers, nf4, scales, two_levels

import lowbit

KINDS = ["s8", "u8", "s4", "u4", "s2", "u2", "t2", "b1"]


@pytest.mark.parametrize("kind", [*KINDS, "c4", "c2"])
@pytest.mark.parametrize("count", [1, 7, 8, 33])
def test_pack_and_unpack(rng, kind, count):
    values = integers(rng, kind, (3, count))
    assert (lowbit.unpack(lowbit.pack(values, kind), kind, count) == values).all()


@pytest.mark.parametrize("kind,value", [("s8", 128), ("u4", -1), ("t2", 2), ("b1", 0), ("s4", 0.5)])
def test_pack_refuses(kind, value):
    with pytest.raises(lowbit.InvalidArgument, match=f"{value} is no {kind}"):
        lowbit.pack([[value]], kind)


@pytest.mark.parametrize("a_kind", ["s8", "u4", "t2", "b1"])
@pytest.mark.parametrize("b_kind", KINDS)
def test_integers_are_exact(device, rng, a_kind, b_kind):
    m, n, k = 5, 9, 70
    a, b = integers(rng, a_kind, (m, k)), integers(rng, b_kind, (n, k))
    plan = lowbit.Context(device).plan(f"{a_kind}*{b_kind}->s32 m{m} n{n} k{k}")
    assert plan.problem.exact
    d = plan.run(plan.weights(lowbit.pack(b, b_kind)), lowbit.pack(a, a_kind))
    assert d.dtype == np.int32 and (d == a @ b.T).all()


def test_scales_zeros_and_epilogue(device, rng):
    m, n, k = 4, 8, 96
    a, b = integers(rng, "u8", (m, k)), integers(rng, "u4", (n, k))
    sa, sb, za, zb = scales(rng, m), scales(rng, n, 3), rng.integers(0, 256, m), rng.integers(0, 16, (n, 3))
    bias, residual = scales(rng, n), rng.standard_normal((m, n)).astype(np.float32)
    plan = lowbit.Context(device).plan(f"u8.token.z*u4.g32.z->f32 m{m} n{n} k{k} +bias +res.f32 +relu")
    weights = plan.weights(lowbit.pack(b, "u4"), sb, zb.astype(np.int32))
    d = plan.run(weights, a.astype(np.uint8), a_scale=sa, a_zero=za.astype(np.int32), bias=bias, residual=residual)
    w = (b - zb.repeat(32, 1)) * sb.repeat(32, 1).astype(np.float64)
    expected = np.maximum((a - za[:, None]) * sa[:, None].astype(np.float64) @ w.T + bias + residual, 0)
    np.testing.assert_allclose(d, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [".g32", ".channel.tables", ".g32.tables", ""])
def test_weights_by_table(device, rng, shape):
    n, k, groups = 6, 96, 3 if "g32" in shape else 1
    a, codes = rng.standard_normal((4, k)).astype(np.float32), rng.integers(0, 16, (n, k))
    sb = scales(rng, n, groups) if shape else None
    own = rng.standard_normal((n, groups, 16)).astype(np.float32) if "tables" in shape else None
    tables = nf4() if own is None else own if "g32" in shape else own[:, 0]
    plan = lowbit.Context(device).plan(f"f32*c4{shape}->f32 m4 n{n} k{k}")
    assert plan.problem.shapes()["b_table"] == (np.float32, tables.shape)
    weights = plan.weights(lowbit.pack(codes, "c4"), sb if groups > 1 or sb is None else sb[:, 0], tables=tables)
    rows = np.broadcast_to(nf4(), (n, groups, 16)) if own is None else own
    w = np.take_along_axis(rows, codes.reshape(n, groups, -1), 2) * (1 if sb is None else sb[..., None])
    np.testing.assert_allclose(plan.run(weights, a), a @ w.reshape(n, k).T, rtol=1e-4, atol=1e-4)


def test_tables_are_checked():
    plan = lowbit.Context("ref").plan("f32*c4->f32 m4 n4 k32")
    codes = np.zeros((4, 16), np.uint8)
    with pytest.raises(lowbit.InvalidArgument, match="tables is missing"):
        plan.weights(codes)
    with pytest.raises(lowbit.InvalidArgument, match=r"tables has shape \[15\]; the problem wants \[16\]"):
        plan.weights(codes, tables=nf4()[:15])
    with pytest.raises(lowbit.InvalidArgument, match="tables is not part of the problem"):
        lowbit.Context("ref").plan("f32*s4->f32 m4 n4 k32").weights(codes, tables=nf4())


@pytest.mark.parametrize("weight", ["s4.g64.u8", "u4.g32.u8.z", "t2.g32.u8"])
@pytest.mark.parametrize("batch", ["", " b2"])
def test_scales_of_two_levels(device, rng, weight, batch):
    """Bit for bit what weights of 8 bits give."""
    m, n, k, group = 3, 9, 200, 64 if "g64" in weight else 32
    groups, count = -(-k // group), 2 if batch else 1
    made = [two_levels(rng, weight[:2], n, k, group) for _ in range(count)]
    weights = {name: np.stack([one[name] for one, _ in made]) for name in made[0][0]}
    wide = np.stack([one for _, one in made])
    a, sa = integers(rng, "s8", (count, m, k)).astype(np.int8), scales(rng, count, m)
    if not batch:
        weights, wide, a, sa = {name: value[0] for name, value in weights.items()}, wide[0], a[0], sa[0]
    context = lowbit.Context(device)
    plan = context.plan(f"s8.token*{weight}->f32 m{m} n{n} k{k}{batch}")
    first = (2,) if batch else ()
    assert plan.problem.exact and plan.problem.shapes()["b_scale"] == (np.uint8, (*first, n, groups))
    assert plan.problem.shapes()["b_channel_scale"] == (np.float32, (*first, n))
    assert plan.problem.sizes()["b_channel_scale"] == 4 * n * count
    eight = context.plan(f"s8.token*s8.channel->f32 m{m} n{n} k{k}{batch}")
    expected = eight.run(eight.weights(wide, weights["channel_scales"]), a, a_scale=sa)
    assert (plan.run(plan.weights(**weights), a, a_scale=sa) == expected).all()


def test_scales_of_two_levels_are_checked(rng):
    plan = lowbit.Context("ref").plan("s8*s4.g32.u8->f32 m4 n4 k64")
    weights, _ = two_levels(rng, "s4", 4, 64, 32)
    with pytest.raises(lowbit.InvalidArgument, match="channel_scales is missing"):
        plan.weights(**dict(weights, channel_scales=None))
    with pytest.raises(lowbit.InvalidArgument, match=r"channel_scales has shape \[4, 1\]; the problem wants \[4\]"):
        plan.weights(**dict(weights, channel_scales=scales(rng, 4, 1)))
    with pytest.raises(lowbit.InvalidArgument, match="scales is float32; the problem wants uint8"):
        plan.weights(**dict(weights, scales=scales(rng, 4, 2)))
    with pytest.raises(lowbit.InvalidArgument, match="is -136 with the scale 17 of its group"):
        plan.weights(**dict(weights, codes=np.full((4, 32), 0x88, np.uint8), scales=np.full((4, 2), 17, np.uint8)))
    with pytest.raises(lowbit.InvalidArgument, match="channel_scales is not part of the problem"):
        lowbit.Context("ref").plan("s8*s4->s32 m4 n4 k64").weights(weights["codes"],
                                                                   channel_scales=weights["channel_scales"])


def test_batches_and_rows_of_a_call(device, rng):
    a, b = integers(rng, "s8", (3, 4, 64)), integers(rng, "s4", (3, 5, 64))
    plan = lowbit.Context(device).plan("s8*s4->s32 m4 n5 k64 b3")
    d = plan.run(plan.weights(lowbit.pack(b, "s4")), a.astype(np.int8))
    assert (d == np.einsum("bmk,bnk->bmn", a, b)).all()
    plan = lowbit.Context(device).plan("s8*s4->s32 m4 n5 k64")
    weights = plan.weights(lowbit.pack(b[0], "s4"))
    assert (plan.run(weights, a[0, :2].astype(np.int8), m=2) == a[0, :2] @ b[0].T).all()
    assert plan.run(weights, np.empty((0, 64), np.int8), m=0).shape == (0, 5)


def test_integer_rounding_takes_multipliers(device, rng):
    a, b = integers(rng, "s8", (4, 64)), integers(rng, "s8", (5, 64))
    plan = lowbit.Context(device).plan("s8*s8->s8.tensor m4 n5 k64 +round=pow2")
    d = plan.run(plan.weights(b.astype(np.int8)), a.astype(np.int8), d_scale=np.array([[1, 9]], np.int32))
    assert (d == np.clip((a @ b.T + 256) >> 9, -128, 127)).all()


class Shared:
    """A tensor of another framework: all that is known of it is DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **arguments):
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_in_and_out(rng):
    a, b = integers(rng, "s8", (4, 64)).astype(np.int8), integers(rng, "s8", (5, 64)).astype(np.int8)
    plan = lowbit.Context("ref").plan("s8*s8->s32 m4 n5 k64")
    out = np.empty((4, 5), np.int32)
    d = plan.run(plan.weights(Shared(b)), Shared(a), out=out)
    assert d is out and (np.from_dlpack(Shared(d)) == a.astype(int) @ b.T).all()


REFUSALS = [
    (dict(a=np.zeros((4, 64), np.int16)), "a is int16; the problem wants int8"),
    (dict(a=np.zeros((4, 63), np.int8)), r"a has shape \[4, 63\]; the problem wants \[4, 64\]"),
    (dict(a=np.zeros((4, 128), np.int8)[:, ::2]), "a is not contiguous"),
    (dict(a=np.zeros((4, 64), np.int8), bias=np.zeros(5, np.float32)), "bias is not part of the problem"),
    (dict(a=None), "a is missing"),
    (dict(a=np.zeros((4, 64), np.int8), out=np.zeros((4, 6), np.int32)), "d has shape"),
]


@pytest.mark.parametrize("arguments,sentence", REFUSALS)
def test_refusals(arguments, sentence):
    plan = lowbit.Context("ref").plan("s8*s8->s32 m4 n5 k64")
    weights = plan.weights(np.zeros((5, 64), np.int8))
    with pytest.raises(ValueError, match=sentence) as caught:
        plan.run(weights, **arguments)
    assert caught.value.status == lowbit.C.LB_INVALID_ARGUMENT


def test_the_library_s_own_errors():
    with pytest.raises(lowbit.InvalidArgument, match="column 4"):
        lowbit.Problem("s8*s3->s32 m1 n1 k1")
    with pytest.raises(lowbit.Error) as caught:
        lowbit.Context("no such device")
    assert caught.value.status and str(caught.value)


def test_introspection():
    problem = lowbit.Problem("s8*s4.g64->f16 m3 n4 k100 +silu")
    assert str(lowbit.Problem(str(problem))) == str(pickle.loads(pickle.dumps(problem))) == str(problem)
    assert problem.sizes()["b"] == 4 * 50 and problem.type("b") == "s4" and problem.type("residual") is None
    context = lowbit.Context("ref")
    assert context.info["backend"] == "ref" and "ref_any" in context.explain(problem)
    assert context.plan(problem).info["kernel"] == "ref_any"
