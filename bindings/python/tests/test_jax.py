# SPDX-License-Identifier: Apache-2.0
"""Layers in JAX: eager, jit, vmap, refusals; and our declarations of XLA's interface against jaxlib's."""
import pathlib
import subprocess

import numpy as np
import pytest
from conftest import integers, scales, two_levels

import lowbit

jax = pytest.importorskip("jax")
import lowbit.jax  # noqa: E402


def make(rng, line="s8.token*s4.channel->f32 m4 n9 k70"):
    b, sb = integers(rng, "s4", (9, 70)), scales(rng, 9)
    return lowbit.jax.Linear(line, lowbit.pack(b, "s4"), sb), b * sb[:, None]


def inputs(rng, *shape):
    return integers(rng, "s8", (*shape, 70)).astype(np.int8), scales(rng, *shape)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_eager_and_jit(rng, wrap):
    linear, w = make(rng)
    call = wrap(lambda a, s: linear(a, a_scale=s))
    for shape in [(4,), (2, 3), (0,)]:
        a, sa = inputs(rng, *shape)
        np.testing.assert_allclose(call(a, sa), (a * sa[..., None]) @ w.T, rtol=1e-4, atol=1e-4)


def test_vmap(rng):
    linear, w = make(rng)
    assert linear._vmap == "broadcast_all"
    a, sa = inputs(rng, 3, 5)
    d = jax.jit(jax.vmap(lambda a, s: linear(a, a_scale=s)))(a, sa)
    np.testing.assert_allclose(d, (a * sa[..., None]) @ w.T, rtol=1e-4, atol=1e-4)


def test_vmap_with_a_bias(rng):
    linear, w = make(rng, "s8.token*s4.channel->f32 m4 n9 k70 +bias")
    assert linear._vmap == "sequential"
    (a, sa), bias = inputs(rng, 3, 5), scales(rng, 3, 9)
    d = jax.vmap(lambda a, s, b: linear(a, a_scale=s, bias=b))(a, sa, bias)
    np.testing.assert_allclose(d, (a * sa[..., None]) @ w.T + bias[:, None], rtol=1e-4, atol=1e-4)


def test_scales_of_two_levels(rng):
    weights, wide = two_levels(rng, "s4", 9, 70, 32)
    linear = lowbit.jax.Linear("s8.token*s4.g32.u8->f32 m4 n9 k70", **weights)
    eight = lowbit.jax.Linear("s8.token*s8.channel->f32 m4 n9 k70", wide, weights["channel_scales"])
    a, sa = inputs(rng, 5)
    np.testing.assert_array_equal(jax.jit(linear)(a, a_scale=sa), jax.jit(eight)(a, a_scale=sa))


def test_refusals(rng):
    linear, _ = make(rng)
    a, sa = inputs(rng, 4)
    with pytest.raises(ValueError, match="a is float32; the problem wants int8"):
        linear(a.astype(np.float32), a_scale=sa)
    with pytest.raises(ValueError, match=r"a has shape \[4, 69\]"):
        linear(a[:, :69], a_scale=sa)
    with pytest.raises(ValueError, match="a_scale is missing"):
        linear(a)
    with pytest.raises(Exception, match=r"lowbit: a_scale is f32 \[3\]; the problem wants f32, 4 elements"):
        linear(a, a_scale=sa[:3]).block_until_ready()


def test_a_layer_that_is_gone():
    call = jax.ffi.ffi_call("lowbit_linear", jax.ShapeDtypeStruct((1, 1), np.int32))
    with pytest.raises(Exception, match="the layer is gone"):
        call(np.zeros((1, 1), np.int8), layer=np.int64(10**9)).block_until_ready()


def test_declarations_of_xla():
    here = pathlib.Path(__file__).resolve().parents[2] / "ops"
    pairs = {"xla_call": ("XLA_FFI_CallFrame", {"stage": "stage", "arguments": "args", "results": "rets", "attributes": "attrs"}),
             "xla_buffer": ("XLA_FFI_Buffer", {"type": "dtype", "data": "data", "rank": "rank", "dims": "dims"}),
             "xla_api": ("XLA_FFI_Api", {"error_create": "XLA_FFI_Error_Create", "stream_get": "XLA_FFI_Stream_Get"}),
             "xla_metadata": ("XLA_FFI_Metadata", {"api_version": "api_version", "traits": "traits"}),
             "xla_scalar": ("XLA_FFI_Scalar", {"value": "value"}),
             "xla_attributes": ("XLA_FFI_Attrs", {"names": "names", "values": "attrs"}),
             "xla_error_args": ("XLA_FFI_Error_Create_Args", {"message": "message", "code": "errc"})}
    lines = ["#include <xla/ffi/api/c_api.h>", '#include "xla_abi.h"']
    for ours, (theirs, fields) in pairs.items():
        for a, b in fields.items():
            lines.append(f'_Static_assert(offsetof({ours}, {a}) == offsetof({theirs}, {b}), "{ours}.{a}");')
    for ours, theirs in {"XLA_S8": "DataType_S8", "XLA_BF16": "DataType_BF16", "XLA_F32": "DataType_F32",
                         "XLA_STAGE_EXECUTE": "ExecutionStage_EXECUTE", "XLA_NOT_FOUND": "Error_Code_NOT_FOUND"}.items():
        lines.append(f'_Static_assert((int){ours} == (int)XLA_FFI_{theirs}, "{ours}");')
    result = subprocess.run(["cc", "-std=gnu11", "-fsyntax-only", "-x", "c", "-", f"-I{jax.ffi.include_dir()}", f"-I{here}"],
                            input="\n".join(lines), capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
