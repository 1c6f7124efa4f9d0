# SPDX-License-Identifier: Apache-2.0
"""vLLM: a mixed-precision linear kernel over lowbit's ops, for its GPTQ, AWQ and compressed-tensors checkpoints of 4 and
8 bits. The package's entry point "lowbit" of group vllm.general_plugins calls register() in every worker.

Importable without vLLM, and tested so (repacking, what is accepted, the class's methods under a stand-in base). It has
not been run inside vLLM. vLLM asks kernels in the order of registration: its own come first unless they are disabled.
"""
import importlib

import torch

from ._array import refuse
from .torch import Linear

# Where vLLM keeps what the kernel needs, newest first; it moves between releases.
_HOMES = {
    "MPLinearKernel": ["vllm.model_executor.kernels.linear.mixed_precision.MPLinearKernel",
                       "vllm.model_executor.layers.quantization.kernels.mixed_precision.MPLinearKernel"],
    "register_linear_kernel": ["vllm.model_executor.kernels.linear"],
    "PlatformEnum": ["vllm.platforms", "vllm.backends.platform", "vllm.platforms.interface"],
}
_registered = False


def repack(w_q, w_s, w_zp=None, g_idx=None, *, bits, dtype):
    """A layer from vLLM's tensors, output dimension first: w_q int32 [N][K bits / 32], w_s [N][G], w_zp int32
    [N bits / 32][G]. Without w_zp the zero point is 2^(bits - 1). That is compressed-tensors' form; GPTQ's is the same
    transposed."""
    if w_q.dtype != torch.int32:
        refuse(f"w_q is {w_q.dtype}; packed weights are torch.int32")
    return Linear.from_compressed_tensors(w_q.contiguous(), w_s.contiguous(), None if w_zp is None else w_zp.contiguous(),
                                          g_idx, bits=bits, dtype=dtype)


def can_implement(config):
    """(whether, why not) for an MPLinearLayerConfig, or anything with its fields."""
    (k, n), bits = config.partition_weight_shape, config.weight_type.size_bits
    if bits not in (4, 8):
        return False, f"lowbit: weights of {bits} bits; 4 and 8 work"
    if not config.zero_points and config.weight_type.bias != 1 << (bits - 1):
        return False, f"lowbit: weights less {config.weight_type.bias} without zero points; {1 << (bits - 1)} works"
    if config.group_size != -1 and config.group_size % 32:
        return False, f"lowbit: groups of {config.group_size}; multiples of 32 and -1 work"
    if config.act_type not in (torch.float16, torch.bfloat16, torch.float32):
        return False, f"lowbit: activations of {config.act_type}; float16, bfloat16 and float32 work"
    if config.has_g_idx and k != config.full_weight_shape[0]:
        return False, "lowbit: act-order with input features split over devices"
    if k * bits % 32 or (config.zero_points and n * bits % 32):
        return False, f"lowbit: {k} x {n} weights of {bits} bits do not fill words of 32 bits"
    return True, None


def _output_first(parameter):
    """A parameter with its output dimension first; GPTQ's and AWQ's have it last."""
    return parameter.data.T if getattr(parameter, "output_dim", 0) == 1 else parameter.data


def make_kernel(base):
    """The kernel class, derived from vLLM's MPLinearKernel."""

    class LowbitLinearKernel(base):
        @classmethod
        def get_min_capability(cls):
            return 70

        @classmethod
        def can_implement(cls, c):
            return can_implement(c)

        def process_weights_after_loading(self, layer):
            w_q, w_s, w_zp, g_idx = self._get_weight_params(layer)
            c = self.config
            layer.lowbit = repack(_output_first(w_q), _output_first(w_s), _output_first(w_zp) if c.zero_points else None,
                                  g_idx.data if c.has_g_idx else None, bits=c.weight_type.size_bits,
                                  dtype=c.act_type).to(w_q.device)
            for name in (self.w_q_name, self.w_s_name, self.w_zp_name, self.w_gidx_name):
                if name and getattr(layer, name, None) is not None:
                    old = getattr(layer, name)
                    setattr(layer, name, torch.nn.Parameter(old.data.new_empty(0), requires_grad=False))
            # Packs now: at the first call is too late for a CUDA graph.
            layer.lowbit(torch.zeros(1, c.partition_weight_shape[0], dtype=c.act_type, device=w_q.device))

        def apply_weights(self, layer, x, bias=None):
            y = layer.lowbit(x)
            return y if bias is None else y + bias

    return LowbitLinearKernel


def _find(name):
    for home in _HOMES[name]:
        try:
            return getattr(importlib.import_module(home), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"lowbit: this vLLM has no {name} in {' or '.join(_HOMES[name])}; the plugin knows other releases")


def register():
    """Adds the kernel for CUDA and CPU; again is nothing."""
    global _registered
    if _registered:
        return
    kernel, add, platform = make_kernel(_find("MPLinearKernel")), _find("register_linear_kernel"), _find("PlatformEnum")
    for where in (platform.CUDA, platform.CPU):
        add(kernel, where, "mp")
    _registered = True
