# SPDX-License-Identifier: Apache-2.0
"""What torch 2.4 and later have: opcheck, torch.compile, torch.export (`./dev test bindings-full`)."""
import subprocess
import sys

import pytest
import torch
from conftest import integers, nf4, scales, two_levels

import lowbit
from lowbit.torch import packed, quantize_model

pytestmark = pytest.mark.skipif(not hasattr(torch.library, "opcheck"), reason="torch is older than 2.4")
ops = torch.ops.lowbit


def t(array):
    return torch.as_tensor(array.copy())


def product(rng, line, a_kind, b_kind, **named):
    k, n = 96, 9
    a, b = lowbit.pack(integers(rng, a_kind, (4, k)), a_kind), lowbit.pack(integers(rng, b_kind, (n, k)), b_kind)
    return ops.linear.default, (t(a), t(b), line), {name: t(value) for name, value in named.items()}


def stepped(rng):
    weights, _ = two_levels(rng, "s4", 9, 96, 32)
    named = {name: t(value) for name, value in weights.items()}
    a, line = t(integers(rng, "s8", (4, 96)).astype("int8")), "s8.token*s4.g32.u8->f32 m4 n9 k96"
    return ops.linear.default, (a, named.pop("codes"), line), dict(named, a_scale=t(scales(rng, 4)))


CALLS = {
    "token*channel": lambda r: product(r, "s8.token*s4.channel->f32 m4 n9 k96 +bias", "s8", "s4", scales=scales(r, 9),
                                       a_scale=scales(r, 4), bias=scales(r, 9)),
    "integers": lambda r: product(r, "b1*b1->s32 m4 n9 k96", "b1", "b1"),
    "sub-byte D": lambda r: product(r, "s8*s8->s4.tensor m4 n9 k96", "s8", "s8", d_scale=scales(r, 1)),
    "residual": lambda r: product(r, "s8*t2->f32 m4 n9 k96 +res.f32", "s8", "t2", residual=scales(r, 4, 9)),
    "zeros": lambda r: product(r, "u8.token.z*u4.g32.z->f32 m4 n9 k96", "u8", "u4", scales=scales(r, 9, 3), a_scale=scales(
        r, 4), zeros=r.integers(0, 16, (9, 3)).astype("int32"), a_zero=r.integers(0, 255, 4).astype("int32")),
    "tables": lambda r: (ops.linear.default, (
        torch.randn(4, 96).half(), t(lowbit.pack(r.integers(0, 16, (9, 96)), "c4")), "f16*c4.g32->f16 m4 n9 k96"),
        {"scales": t(scales(r, 9, 3)), "tables": t(nf4())}),
    "two levels": stepped,
    "quantize": lambda r: (ops.quantize.default, (torch.randn(3, 70), "s4"), {"scheme": "full"}),
    "quantize bf16": lambda r: (ops.quantize.default, (torch.randn(2, 3, 70).bfloat16(), "u8", "asymmetric"), {}),
    "quantize_with": lambda r: (ops.quantize_with.default, (torch.randn(3, 70), torch.ones(3), None, "s8"), {}),
}


@pytest.mark.parametrize("call", CALLS)
def test_opcheck(rng, call):
    op, arguments, named = CALLS[call](rng)
    result = torch.library.opcheck(op, arguments, named)
    assert result and set(result.values()) == {"SUCCESS"}


def model():
    torch.manual_seed(4)
    layers = torch.nn.Sequential(torch.nn.Linear(256, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.GELU(),
                                 torch.nn.Linear(32, 32), torch.nn.Linear(32, 32)).eval()
    quantize_model(layers, {"0": ("s4.g32", "s8.token"), "2": "c4.channel", "4": ("t2.channel", "u8.token.z"),
                            "5": ("s4.g32.u8", "s8.token")})
    return layers


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(dynamic):
    layers, x = model(), torch.randn(6, 256)
    with torch.no_grad():
        expected = layers(x)
        before = len(packed._layers)
        compiled = torch.compile(layers, fullgraph=True, dynamic=dynamic)
        for rows in (6, 5, 3, 3):
            torch.testing.assert_close(compiled(x[:rows]), expected[:rows])
        assert len(packed._layers) == before  # the compiled graph hands over the same tensors: nothing is packed again
        layers[0].codes.zero_()
        torch.testing.assert_close(compiled(x), layers(x))


def test_refusals_while_compiling():
    layers = model()
    torch._dynamo.reset()
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"a has shape \[4, 255\]; the problem .* wants \[..., 256\]"):
        torch.compile(layers, fullgraph=True)(torch.randn(4, 255))


def test_export_and_load_elsewhere(tmp_path):
    layers, x = model(), torch.randn(6, 256)
    with torch.no_grad():
        expected = layers(x)
        program = torch.export.export(layers, (x,), dynamic_shapes=({0: torch.export.Dim("rows", min=2, max=4096)},))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets.count("lowbit.linear.default") == 4 and targets.count("lowbit.quantize.default") == 3
    torch.export.save(program, str(tmp_path / "model.pt2"))
    torch.save((x, expected), tmp_path / "case.pt")
    script = """if True:
        import sys, torch, lowbit.torch
        program = torch.export.load(sys.argv[1] + "/model.pt2").module()
        x, expected = torch.load(sys.argv[1] + "/case.pt", weights_only=True)
        assert torch.equal(program(x), expected) and torch.equal(program(x[:3]), expected[:3])
        print("equal")"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(tmp_path)], capture_output=True, text=True,
                         timeout=120)
    assert run.stdout == "equal\n", run.stderr
