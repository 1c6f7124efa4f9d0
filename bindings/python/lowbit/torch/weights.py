# SPDX-License-Identifier: Apache-2.0
"""Weights for layers: quantised from floats, or read from what checkpoints store. Both give the canonical tensors that
the ops take: {"codes", "scales", "zeros", "tables", "channel_scales"} (those that the operand has), and of stored ones
B's description."""
import ctypes

import numpy as np
import torch

from .._array import NAMES, TYPES, pack, refuse, unpack
from .._core import Problem
from .._library import C, c, header, struct
from .packed import host_array

byref = ctypes.byref
METHODS = {"nearest": C.LB_WEIGHTS_NEAREST, "twn": C.LB_WEIGHTS_TWN, "absmean": C.LB_WEIGHTS_ABSMEAN,
           "xnor": C.LB_WEIGHTS_XNOR}
CALIBRATORS = {"minmax": C.LB_CALIBRATE_MINMAX, "percentile": C.LB_CALIBRATE_PERCENTILE, "mse": C.LB_CALIBRATE_MSE,
               "entropy": C.LB_CALIBRATE_ENTROPY}
_PARTS = [name[len("LB_PART_"):].lower() for name in header.enums["lb_part_id"] if name != "LB_PART_COUNT"]


def _choose(what, name, table):
    if name not in table:
        refuse(f"{what} is '{name}'; there are {', '.join(table)}")
    return table[name]


def problem_for(activation, weight, dtype, n, k, rows, bias):
    """The problem of a layer: D and the bias are of the activations' float type, which A is too if not quantised."""
    word = {torch.float32: "", torch.float16: ".f16", torch.bfloat16: ".bf16"}.get(dtype)
    if word is None:
        refuse(f"dtype is {dtype}; layers are torch.float32, torch.float16 or torch.bfloat16")
    name = word[1:] or "f32"
    line = f"{activation or name}*{weight}->{name} m{rows} n{n} k{k}"
    return Problem(line + (f" +bias{word}" if bias else ""))


# ---- From floats ----


def quantize(w, problem, method=None, calibrator=None, table=None):
    """W, [N][K], as B of the problem. method None: by type (t2 twn, b1 xnor, else nearest), with scales of two levels
    nearest, the only one; calibrator None: minmax, but mse for t2 of two levels, which comes as near as twn; table: of c4
    and c2, by code, for weights divided by their largest size; None: NF4, for c2 fitted."""
    p, b = problem.struct, problem.struct.b
    kind = NAMES[b.type]
    w = np.ascontiguousarray(w.detach().to(torch.float32).cpu().numpy())
    if w.shape != (p.n, p.k):
        refuse(f"weight has shape {list(w.shape)}; the problem '{problem}' wants [{p.n}, {p.k}]")
    if kind[0] == "c":
        return _by_table(w, problem, table)
    if not b.scale:
        refuse(f"'{problem}': weights from floats need a scale; add .tensor, .channel or .g128")
    if problem.two_levels and method not in (None, "nearest"):
        refuse(f"'{problem}': method is '{method}', but scales of two levels are made by nearest; choose a calibrator")
    method = _choose("method", method or {"t2": "twn", "b1": "xnor"}.get(kind, "nearest"), METHODS)
    calibrator = calibrator or ("mse" if problem.two_levels and kind == "t2" else "minmax")
    scheme = C.LB_QUANT_ASYMMETRIC if b.zero else C.LB_QUANT_SYMMETRIC
    if kind[0] == "u" and not b.zero:
        refuse(f"'{problem}': unsigned weights from floats need zero points; add .z to {kind}")
    shapes = problem.shapes()
    quant = struct("lb_quant", type=b.type, scheme=scheme, rows=p.n, cols=p.k, granularity=b.scale, group=b.group,
                   calibrator=_choose("calibrator", calibrator, CALIBRATORS))
    codes = np.empty(shapes["b"][1], shapes["b"][0])
    zeros = np.zeros(shapes["b_scale"][1], np.int32)
    if problem.two_levels:
        scales, channel_scales = np.empty(shapes["b_scale"][1], np.uint8), np.empty(p.n, np.float32)
        c.lb_quantize_two_levels(byref(quant), w.ctypes.data, codes.ctypes.data, scales.ctypes.data,
                                 channel_scales.ctypes.data, zeros.ctypes.data)
        return _tensors(problem, codes, scales, zeros if b.zero else None, channel_scales=channel_scales)
    scales = np.empty(shapes["b_scale"][1], np.float32)
    c.lb_quantize_weights(byref(quant), method, w.ctypes.data, codes.ctypes.data, scales.ctypes.data,
                          zeros.ctypes.data)
    return _tensors(problem, codes, scales, zeros if b.zero else None)


def _by_table(w, problem, table):
    p, b = problem.struct, problem.struct.b
    if p.b_table > C.LB_PER_TENSOR or b.scale not in (C.LB_PER_CHANNEL, C.LB_PER_GROUP):
        refuse(f"'{problem}': weights from floats by table have one table, and scales per channel or group")
    entries = 1 << c.lb_type_bits(b.type)
    group = b.group or p.k
    padded = np.pad(w, ((0, 0), (0, -p.k % group))).reshape(p.n, -1, group)
    scales = np.abs(padded).max(-1)
    scales[scales == 0] = 1
    unit = np.ascontiguousarray((padded / scales[..., None]).reshape(p.n, -1)[:, : p.k], np.float32)
    values = np.empty(entries, np.float32)
    if table is not None:
        values[:] = table
    elif entries == 16:
        c.lb_codebook_nf4(values.ctypes.data)
    else:
        c.lb_codebook_fit(unit.ctypes.data, unit.size, 1, entries, values.ctypes.data)
    unit = np.pad(unit, ((0, 0), (0, p.k % 2 if entries == 16 else -p.k % 4)))  # rows on whole bytes
    codes = np.empty(problem.shapes()["b"][1], np.uint8)
    c.lb_codebook_assign(unit.ctypes.data, unit.size, 1, values.ctypes.data, entries, codes.ctypes.data)
    return _tensors(problem, codes, scales.reshape(problem.shapes()["b_scale"][1]), None, values)


def _tensors(problem, codes, scales, zeros=None, tables=None, channel_scales=None):
    arrays = {"codes": codes, "scales": scales, "zeros": zeros, "tables": tables, "channel_scales": channel_scales}
    kind = {C.LB_TYPE_F16: torch.float16, C.LB_TYPE_BF16: torch.bfloat16}.get(problem.struct.b.scale_type)
    if scales is not None and kind is not None:
        arrays["scales"] = torch.from_numpy(np.ascontiguousarray(scales)).to(kind)
    return {name: value if isinstance(value, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(value))
            for name, value in arrays.items() if value is not None}


def dequantized(problem, codes, scales, zeros, tables, channel_scales=None):
    """f32 [N][K]: (code - zero) * scale, or table[code] * scale; of two levels times the channel's as well."""
    p, b = problem.struct, problem.struct.b
    kind = NAMES[b.type]
    code = torch.from_numpy(unpack(host_array(codes), kind, p.k).astype(np.int32))
    group = torch.arange(p.k) // b.group if b.group else torch.zeros(p.k, dtype=torch.int64)

    def spread(values, granularity, *last):
        rows = {C.LB_PER_GROUP: (p.n, -1), C.LB_PER_CHANNEL: (p.n, 1)}.get(granularity, (1, 1))
        values = values.cpu().reshape(*rows, *last)
        return values[:, group if granularity == C.LB_PER_GROUP else group * 0]

    value = code.to(torch.float32)
    if zeros is not None:
        value = (code - spread(zeros, b.zero)).to(torch.float32)
    if tables is not None:
        table = spread(tables, p.b_table, 1 << c.lb_type_bits(b.type))
        value = table.expand(p.n, -1, -1).gather(2, code.to(torch.int64)[..., None])[..., 0]
    value = value if scales is None else value * spread(scales, b.scale).to(torch.float32)
    return value if channel_scales is None else value * spread(channel_scales, C.LB_PER_CHANNEL)


# ---- From what checkpoints store ----


def stored(format, n, k, parts, bits=0, group=0):
    """An lb_stored over tensors ("codes", "scales", "zeros", "order" ...), which must outlive it: the result's `keep`."""
    matrix = struct("lb_stored", bits=bits, format=format.encode(), n=n, k=k, group=group)
    matrix.keep = []
    for name, tensor in parts.items():
        part = matrix.part[_choose("part", name, {name: i for i, name in enumerate(_PARTS)})]
        if tensor is None:
            continue
        if name in ("scales", "offsets"):
            part.type = {torch.float16: C.LB_TYPE_F16, torch.bfloat16: C.LB_TYPE_BF16}.get(tensor.dtype, C.LB_TYPE_F32)
        array = np.ascontiguousarray(host_array(tensor))
        matrix.keep.append(array)
        part.data, part.bytes = array.ctypes.data, array.nbytes
    return matrix


def read(matrix):
    """B's description in the words of a problem line, the canonical tensors, and the order of A's columns (None: as it
    is). Matrices that take more than one product per run are refused."""
    count = ctypes.c_int32()
    c.lb_stored_terms(byref(matrix), byref(count))
    if count.value > 1:
        refuse(f"this {matrix.format.decode()} matrix is a sum of {count.value} products (real offsets, or groups of 16); "
               "a layer is one: lb_repack it with lossy into another format")
    problem = Problem("s8*s8->s32 m1 n1 k1")
    c.lb_stored_problem(byref(matrix), 0, byref(problem.struct))
    canon = _canonical(matrix)
    b, n, k = problem.struct.b, matrix.n, matrix.k
    kind, groups = NAMES[b.type], -(-k // b.group) if b.group else 1
    order = np.arange(k, dtype=np.int32)
    if matrix.part[C.LB_PART_ORDER].bytes:
        c.lb_stored_order(byref(matrix), order.ctypes.data)
    packed = np.empty((n, -(-k * c.lb_type_bits(b.type) // 8)), np.uint8)
    table, bits = canon.get("table"), canon.bits
    for row in range(n):
        code = np.unpackbits(canon["codes"][row], bitorder="little")[: k * bits].reshape(k, bits)
        value = (code @ (1 << np.arange(bits)))[order]
        value = value if b.zero else value - canon.zero if table is None else table[value].astype(np.int64)
        packed[row] = pack(value, kind).view(np.uint8)
    scales = canon["scales"].astype(np.float32) / np.float32(canon.divisor or 1)
    shape = {C.LB_PER_TENSOR: (1,), C.LB_PER_CHANNEL: (n,), C.LB_PER_GROUP: (n, groups)}[b.scale]
    zeros = canon["zeros"].astype(np.int32).reshape(shape) if b.zero else None
    tensors = _tensors(problem, packed.view(TYPES[kind][1]), scales.reshape(shape), zeros)
    word = {C.LB_PER_TENSOR: ".tensor", C.LB_PER_CHANNEL: ".channel", C.LB_PER_GROUP: f".g{b.group}"}[b.scale]
    identity = (order == np.arange(k)).all()
    return (kind + word + (".z" if b.zero else ""), tensors,
            None if identity else torch.from_numpy(order.astype(np.int64)))


class _Canonical(dict):
    """Parts by name as arrays, and what describes them."""


def _canonical(matrix):
    form = struct("lb_stored", format=b"canon")
    c.lb_stored_like(byref(matrix), 0, byref(form))
    parts = _Canonical()
    parts.bits, parts.zero, parts.divisor = form.bits, form.zero, form.divisor
    kinds = {C.LB_TYPE_F16: np.float16, C.LB_TYPE_U8: np.uint8, C.LB_TYPE_S8: np.int8}
    for name, part in zip(_PARTS, form.part):
        if not part.bytes:
            continue
        kind = np.uint8 if name in ("codes", "zeros") else np.int32 if name == "order" else kinds.get(part.type, np.float32)
        raw = np.empty(part.bytes + 3, np.uint8)
        part.data = raw.ctypes.data
        parts[name] = raw[: part.bytes] if part.type == C.LB_TYPE_BF16 else raw[: part.bytes].view(kind)
        if part.type == C.LB_TYPE_BF16:
            parts[name] = parts[name].view(np.uint16)
    c.lb_repack(byref(matrix), byref(form), 0, None)
    for name, part in zip(_PARTS, form.part):
        if part.bytes and part.type == C.LB_TYPE_BF16:
            parts[name] = (parts[name].astype(np.uint32) << 16).view(np.float32)
    for name in ("super", "super_offsets", "offsets"):
        if name in parts:
            refuse(f"this {matrix.format.decode()} matrix has {name}; a layer takes scales and integer zero points")
    parts["codes"] = parts["codes"][: matrix.n * ((matrix.k * form.bits + 7) // 8)].reshape(matrix.n, -1)
    return parts
