# SPDX-License-Identifier: Apache-2.0
"""The vLLM plugin without vLLM: repacking, what it accepts, the kernel's methods under a stand-in for vLLM's base class,
and registration with stand-ins for its modules."""
import pathlib
import sys
import types

import numpy as np
import pytest
import torch
from conftest import scales
from test_stored import words

import lowbit.vllm

N, K, GROUP = 32, 128, 32


class Base:
    """What of MPLinearKernel the kernel uses."""

    def __init__(self, config, q, s, zp=None, g_idx=None):
        self.config, self.w_q_name, self.w_s_name, self.w_zp_name, self.w_gidx_name = config, q, s, zp, g_idx

    def _get_weight_params(self, layer):
        return tuple(getattr(layer, name or "", None) for name in
                     (self.w_q_name, self.w_s_name, self.w_zp_name, self.w_gidx_name))


def config(**changes):
    values = dict(full_weight_shape=(K, N), partition_weight_shape=(K, N), group_size=GROUP, zero_points=False,
                  weight_type=types.SimpleNamespace(size_bits=4, bias=8), act_type=torch.float16, has_g_idx=False)
    return types.SimpleNamespace(**{**values, **changes})


def parameter(tensor, output_dim):
    result = torch.nn.Parameter(tensor, requires_grad=False)
    result.output_dim = output_dim
    return result


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("zero_points", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_kernel(rng, bits, zero_points, transposed):
    codes, sb = rng.integers(0, 1 << bits, (N, K)), scales(rng, N, K // GROUP).astype(np.float16)
    zeros = rng.integers(0, 1 << bits, sb.shape) if zero_points else np.full(sb.shape, 1 << (bits - 1))
    layer = torch.nn.Module()
    for name, tensor in (("q", words(codes, bits, 1)), ("s", torch.from_numpy(sb)), ("zp", words(zeros, bits, 0))):
        setattr(layer, name, parameter(tensor.T.contiguous() if transposed else tensor, int(transposed)))
    bias = types.SimpleNamespace(size_bits=bits, bias=0 if zero_points else 1 << (bits - 1))
    kernel = lowbit.vllm.make_kernel(Base)(config(zero_points=zero_points, weight_type=bias), "q", "s",
                                           "zp" if zero_points else None)
    assert kernel.can_implement(kernel.config) == (True, None)
    kernel.process_weights_after_loading(layer)
    assert layer.q.numel() == layer.s.numel() == 0
    x, b = torch.randn(2, 3, K).half(), torch.randn(N).half()
    w = torch.from_numpy((codes - zeros.repeat(GROUP, 1)) * sb.astype(np.float32).repeat(GROUP, 1)).float()
    torch.testing.assert_close(layer.lowbit.dequantized(), w)
    expected = x.float() @ w.T
    assert (kernel.apply_weights(layer, x).float() - expected).norm() / expected.norm() < 2e-3
    torch.testing.assert_close(kernel.apply_weights(layer, x, b), layer.lowbit(x) + b)


def test_act_order(rng):
    codes, sb = rng.integers(0, 16, (N, K)), scales(rng, N, K // GROUP).astype(np.float16)
    group_of = rng.permutation(np.arange(K) // GROUP)
    layer = lowbit.vllm.repack(words(codes, 4, 1), torch.from_numpy(sb), None, torch.from_numpy(group_of), bits=4,
                               dtype=torch.float32)
    x = torch.randn(3, K)
    w = torch.from_numpy((codes - 8) * sb.astype(np.float32)[:, group_of]).float()
    torch.testing.assert_close(layer(x), x @ w.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes,sentence", [
    (dict(weight_type=types.SimpleNamespace(size_bits=3, bias=4)), "3 bits"),
    (dict(weight_type=types.SimpleNamespace(size_bits=4, bias=0)), "without zero points"),
    (dict(group_size=16), "groups of 16"),
    (dict(act_type=torch.float64), "float64"),
    (dict(has_g_idx=True, full_weight_shape=(2 * K, N)), "act-order"),
    (dict(zero_points=True, partition_weight_shape=(K, 12)), "do not fill words"),
])
def test_what_is_not_accepted(changes, sentence):
    whether, why = lowbit.vllm.can_implement(config(**changes))
    assert not whether and sentence in why


def test_registration(monkeypatch):
    added = []
    modules = {"vllm.model_executor.kernels.linear.mixed_precision.MPLinearKernel": dict(MPLinearKernel=Base),
               "vllm.model_executor.kernels.linear": dict(register_linear_kernel=lambda *a: added.append(a)),
               "vllm.platforms": dict(PlatformEnum=types.SimpleNamespace(CUDA="cuda", CPU="cpu"))}
    monkeypatch.setattr(lowbit.vllm, "_registered", False)
    if "vllm" not in sys.modules:
        with pytest.raises(ImportError, match="this vLLM has no MPLinearKernel"):
            lowbit.vllm.register()
    names = {".".join(name.split(".")[:i]) for name in modules for i in range(1, len(name.split(".")) + 1)}
    for name in sorted(names):
        module = types.ModuleType(name)
        module.__path__ = []
        vars(module).update(modules.get(name, {}))
        monkeypatch.setitem(sys.modules, name, module)
    for _ in range(2):
        lowbit.vllm.register()
    assert [(issubclass(kernel, Base), where, kind) for kernel, where, kind in added] == [
        (True, "cuda", "mp"), (True, "cpu", "mp")]


def test_entry_point():
    text = (pathlib.Path(__file__).resolve().parents[4] / "pyproject.toml").read_text()
    assert '[project.entry-points."vllm.general_plugins"]\nlowbit = "lowbit.vllm:register"' in text
