# SPDX-License-Identifier: Apache-2.0
"""Random products by ONNX Runtime and by the library. Seeds are fixed, so that a failure comes back."""
import ctypes as c

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import products
from quantize import ASYMMETRIC, calibrate, quantize
from lib import Part, Problem, Stored, address, check, devices, lib, run, stored_weights

U = 2.0**-24
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.uint8): TensorProto.UINT8,
         np.dtype(np.int8): TensorProto.INT8, np.dtype(np.int32): TensorProto.INT32}


def onnx_run(op, domain, inputs, d_type, **attributes):
    """One node by ONNX Runtime; inputs that are None are left out."""
    names = [f"i{i}" if x is not None else "" for i, x in enumerate(inputs)]
    node = helper.make_node(op, names, ["y"], domain=domain, **attributes)
    infos = [helper.make_tensor_value_info(n, TYPES[x.dtype], x.shape) for n, x in zip(names, inputs) if n]
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("y", TYPES[np.dtype(d_type)], None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)],
                              ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {n: x for n, x in zip(names, inputs) if n})[0]


# ---- Integer products ---------------------------------------------------------------------------------------

# ONNX Runtime's CPU kernel does not take s8 x u8.
INTEGERS = [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)]


def integers(random, dtype, shape):
    info = np.iinfo(dtype)
    return random.integers(info.min, info.max + 1, shape, dtype)


@pytest.mark.parametrize("device", devices)
@pytest.mark.parametrize("a_type, b_type", INTEGERS)
def test_qlinear_matmul(device, a_type, b_type, tally):
    random = np.random.default_rng(11)
    for i in range(40):
        m, n, k = (int(v) for v in random.integers(1, (9, 40, 150)))
        a, b = integers(random, a_type, (m, k)), integers(random, b_type, (k, n))
        columns = i % 2 == 1  # scales and zero points per column
        a_scale = np.float32(random.uniform(0.001, 0.1))
        b_scale = random.uniform(0.001, 0.1, n if columns else 1).astype(np.float32)
        a_zero = integers(random, a_type, ())
        b_zero = integers(random, b_type, n if columns else 1)
        y_scale = np.float32(a_scale * b_scale.mean() * 74 * 74 * np.sqrt(k) / 50)
        y_zero = integers(random, a_type, ())
        args = (a, a_scale, a_zero, b, b_scale if columns else b_scale[0],
                b_zero if columns else b_zero[0], y_scale, y_zero)
        theirs = onnx_run("QLinearMatMul", "", [np.asarray(x) for x in args], a_type)
        np.testing.assert_array_equal(products.qlinear_matmul(device, *args), theirs)
        tally(f"onnxruntime QLinearMatMul, random shapes, on {device}: bit equal")


@pytest.mark.parametrize("device", devices)
@pytest.mark.parametrize("b_type", [np.uint8, np.int8])
def test_dynamic_quantize_matmul(device, b_type, tally):
    """A quantised to u8 on the way, an f32 product and bias: the codes are equal, and so are the bits of D."""
    random = np.random.default_rng(13)
    f = np.float32
    for i in range(40):
        m, n, k = (int(v) for v in random.integers(1, (9, 40, 150)))
        a = (random.standard_normal((m, k)) * 3).astype(f) + f(i % 5 - 2)
        b = integers(random, b_type, (k, n))
        columns, with_zeros, with_bias = i % 2 == 1, i % 3 > 0, i % 4 > 1
        b_scale = random.uniform(0.001, 0.1, n if columns else 1).astype(f)
        b_zero = integers(random, b_type, n if columns else 1) if with_zeros else None
        bias = random.standard_normal(n).astype(f) if with_bias else None
        theirs = onnx_run("DynamicQuantizeMatMul", "com.microsoft", [a, b, b_scale, b_zero, bias], f)
        scale, zero = calibrate(a.reshape(1, -1), "u8", ASYMMETRIC)
        codes = quantize(a.reshape(1, -1), "u8", scale, zero, scheme=ASYMMETRIC).reshape(m, k).astype(np.uint8)
        mine = products.scaled_matmul(device, codes, zero, b, (b_scale * scale).astype(f), b_zero, bias)
        np.testing.assert_array_equal(mine, theirs)
        tally(f"onnxruntime DynamicQuantizeMatMul, random shapes, on {device}: bit equal")


# ---- MatMulNBits --------------------------------------------------------------------------------------------


def pack_bits(codes, bits):
    """Low bits first, the last byte of a row filled with zeros."""
    per = 8 // bits
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % per)])
    fields = codes.reshape(*codes.shape[:-1], -1, per).astype(np.uint8)
    return np.bitwise_or.reduce(fields << (np.arange(per, dtype=np.uint8) * bits), axis=-1).astype(np.uint8)


def nbits_matrix(random, n, k, bits, block, with_zeros):
    groups = -(-k // block)
    codes = random.integers(0, 2**bits, (n, groups, block), np.uint8)
    scales = random.uniform(0.01, 0.1, (n, groups)).astype(np.float32)
    zeros = random.integers(0, 2**bits, (n, groups), np.uint8) if with_zeros else None
    values = codes.astype(np.float64) - (zeros[..., None] if with_zeros else 2 ** (bits - 1))
    values = (values * scales[..., None].astype(np.float64)).reshape(n, -1)[:, :k]
    reach = (codes.astype(np.float64) + 2 * 2**bits) * scales[..., None]
    return pack_bits(codes, bits), scales, pack_bits(zeros, bits) if with_zeros else None, values, reach.reshape(n, -1)[:, :k]


def nbits_stored(n, k, bits, block, codes, scales, zeros):
    stored = Stored(struct_size=c.sizeof(Stored), bits=bits, format=b"nbits", n=n, k=k, group=block)
    for i, part in enumerate((codes, scales, zeros)):
        if part is not None:
            stored.part[i] = Part(address(part), part.nbytes, 0, 0)
    return stored


def nbits_product(device, a, stored, n, k):
    """The sum over the stored matrix's terms, each with the one before as its residual."""
    count = c.c_int32()
    check(lib.lb_stored_terms(c.byref(stored), c.byref(count)))
    d = None
    for term in range(count.value):
        line = f"f32*s8->f32 m{len(a)} n{n} k{k}" + (" +res.f32" if term else "")
        problem = Problem(line, stored, term)
        d = run(device, problem, np.empty((len(a), n), np.float32), stored_weights(stored, term), a=a, residual=d)
    return d


@pytest.mark.parametrize("device", devices)
@pytest.mark.parametrize("with_zeros", [False, True], ids=["symmetric", "zeros"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_matmul_nbits(device, bits, with_zeros, tally):
    random = np.random.default_rng(bits)
    for i in range(24):
        block = (16, 32, 64, 128)[i % 4]
        m, n = (int(v) for v in random.integers(1, (6, 40)))
        k = int(random.integers(1, 300))
        k += i % 3 == 0 and k % 2 == 0  # a third of them odd for sure
        a = random.standard_normal((m, k), np.float32)
        codes, scales, zeros, values, reach = nbits_matrix(random, n, k, bits, block, with_zeros)
        theirs = onnx_run("MatMulNBits", "com.microsoft",
                          [a, codes, scales, zeros], np.float32, K=k, N=n, bits=bits, block_size=block)
        stored = nbits_stored(n, k, bits, block, codes, scales, zeros)
        mine = nbits_product(device, a, stored, n, k)
        exact = a.astype(np.float64) @ values.T
        # docs/numerics.md, "Bounds": float A; twice, because a matrix may be the sum of two or more terms
        bound = 2 * (2 * (k + 40) * U) * (np.abs(a).astype(np.float64) @ reach.T)
        assert np.all(np.abs(mine - exact) <= bound), "the library leaves its bound"
        assert np.all(np.abs(theirs - exact) <= bound), "ONNX Runtime leaves the bound"
        tally(f"onnxruntime MatMulNBits, {bits} bits, on {device}: both within the bound")
