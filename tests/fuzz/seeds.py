#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seed corpora for the fuzz targets: seeds.py FOLDER makes FOLDER/{gguf,safetensors,lbw,line}. Small files of every
type that the readers know, and the lines of the suites. Nothing here has to be quite right: it is where mutation
starts."""
import json
import pathlib
import random
import re
import struct
import sys

random.seed(1)


def some_bytes(count):
    return bytes(random.randrange(0x3c) for _ in range(count))  # low bytes: finite f16 and f32


def text(word):
    return struct.pack("<Q", len(word)) + word.encode()


# ---- GGUF -----------------------------------------------------------------------------------------------------

GGUF_TYPES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
              11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 30: (1, 2), 34: (256, 54),
              35: (256, 66), 36: (4, 1), 39: (32, 17), 41: (128, 18), 42: (64, 18)}


def gguf(tensors, pairs=b"", count=0, version=3, alignment=32):
    """tensors: (name, type, [innermost first])."""
    head, data = b"GGUF" + struct.pack("<IQQ", version, len(tensors), count) + pairs, b""
    for name, kind, dims in tensors:
        block, size = GGUF_TYPES[kind]
        elements = 1
        for d in dims:
            elements *= d
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += some_bytes(elements // block * size + (32 if kind == 36 else 0))
        data += bytes(-len(data) % alignment)
    return head + bytes(-len(head) % alignment) + data


def gguf_seeds():
    for kind in GGUF_TYPES:
        yield gguf([("w.weight", kind, [256, 4])])
    pairs = text("general.alignment") + struct.pack("<II", 4, 64)
    yield gguf([("a", 8, [32, 2, 2]), ("b", 0, [3])], pairs, 1, alignment=64)
    pairs = text("words") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc")
    pairs += text("numbers") + struct.pack("<IIQ3i", 9, 5, 3, 1, 2, 3) + text("x") + struct.pack("<Id", 12, 1.5)
    yield gguf([("a", 2, [32])], pairs, 3, version=2)


# ---- safetensors ----------------------------------------------------------------------------------------------

SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}


def safetensors(tensors):
    """tensors: name -> (dtype, shape[, bytes])."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, *content) in tensors.items():
        count = SIZES[dtype]
        for d in shape:
            count *= d
        header["l." + name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + count]}
        data += content[0] if content else some_bytes(count)
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def safetensors_seeds():
    yield safetensors({"qweight": ("I32", [8, 32]), "scales": ("F16", [2, 32]), "qzeros": ("I32", [2, 4]),
                       "g_idx": ("I32", [64], struct.pack("<64i", *(i % 2 for i in range(64))))})
    yield safetensors({"qweight": ("I32", [6, 32]), "scales": ("F16", [1, 32]), "qzeros": ("I32", [1, 3])})
    yield safetensors({"qweight": ("I32", [64, 4]), "scales": ("F16", [2, 32]), "qzeros": ("I32", [2, 4])})
    yield safetensors({"qweight": ("I16", [2, 128]), "scales": ("F16", [1, 8]), "scaled_zeros": ("F16", [1, 8])})
    yield safetensors({"weight_packed": ("I32", [4, 8]), "weight_scale": ("BF16", [4, 2]),
                       "weight_shape": ("I64", [2], struct.pack("<2q", 4, 64)), "weight_zero_point": ("I32", [1, 2])})
    yield safetensors({"weight": ("I8", [4, 16]), "weight_scale": ("F32", [4, 1])})
    yield safetensors({"weight": ("U8", [2, 16]), "weight_scale": ("F32", [1])})
    yield safetensors({"weight": ("I8", [4, 16]), "SCB": ("F32", [4])})
    yield safetensors({"B": ("I32", [1, 128]), "s": ("F16", [1, 64])})
    state = {"shape": [4, 64], "blocksize": 64, "quant_type": "nf4"}
    layer = {"weight": ("U8", [128, 1]), "weight.absmax": ("F32", [4]), "weight.quant_map": ("F32", [16])}
    packed = json.dumps(state).encode()
    yield safetensors(layer | {"weight.quant_state.bitsandbytes__nf4": ("U8", [len(packed)], packed)})
    packed = json.dumps(state | {"nested_blocksize": 256, "nested_offset": 0.125}).encode()
    yield safetensors(layer | {"weight.absmax": ("U8", [4]), "weight.nested_absmax": ("F32", [1]),
                               "weight.nested_quant_map": ("F32", [256]),
                               "weight.quant_state.bitsandbytes__fp4": ("U8", [len(packed)], packed)})
    for dtype in ("F32", "F16", "BF16"):
        yield safetensors({"weight": (dtype, [4, 8])})


# ---- .lbw (host/lbw.h); the target puts checksums in place ------------------------------------------------------

def lbw(name, n, k, group, numbers, parts):
    """numbers: bits, levels, zero, super, divisor; parts: index -> (bytes, type)."""
    names = b"l\0"
    at, table, data = 64 + 72 + 9 * 32 + 64 + len(names), b"", b""
    at += -at % 64
    start = at
    for i in range(9):
        size, kind = parts.get(i, (0, 0))
        table += struct.pack("<QQQiI", start + len(data) if size else 0, size, 0, kind, 0)
        data += some_bytes(size) + bytes(-size % 64)
    tensor = struct.pack("<Q16s3q5iI", 0, name.encode(), n, k, group, *numbers, 0) + table
    pack = struct.pack("<QQQiI32s", 0, start, 64, 0, 0, b"rows")
    body = tensor + pack + names
    head = b"lowbit\x1aw" + struct.pack("<QIIQQQQQ", 0, 1, 0, start + len(data), 1, 1, len(names), 0)
    return head + body + bytes(start - len(head) - len(body)) + data


def lbw_seeds():
    f32, f16 = 12, 10
    yield lbw("canon", 4, 64, 32, (4, 0, 8, 0, 0), {0: (128, 0), 1: (32, f32)})
    yield lbw("canon", 4, 64, 32, (4, 0, 0, 0, 0), {0: (128, 0), 1: (16, f16), 2: (8, 0), 3: (16, f16)})
    yield lbw("canon", 4, 64, 16, (4, 0, 0, 4, 0), {0: (128, 0), 1: (16, 0), 3: (16, 0), 4: (16, f32), 5: (16, f32)})
    yield lbw("canon", 4, 64, 32, (4, 0, 0, 0, 127), {0: (128, 0), 1: (32, f32), 6: (256, 0), 7: (64, 0)})
    yield lbw("canon", 4, 64, -1, (2, 3, 1, 0, 0), {0: (64, 0), 1: (4, f32)})
    for name, size in (("q4_k", 4 * 144), ("q6_k", 4 * 210), ("tq1_0", 4 * 54), ("q8_0", 32 * 34), ("f32", 4096)):
        yield lbw(name, 4, 256, 0, (0, 0, 0, 0, 0), {0: (size, 0)})


# ---- Problem lines --------------------------------------------------------------------------------------------

def line_seeds():
    for suite in sorted(pathlib.Path(__file__).parents[2].glob("bench/suites/*.txt")):
        for line in suite.read_text().splitlines():
            line = re.sub(r"\{([^{},.]*)[^{}]*\}", r"\1", line.split("#")[0]).strip()  # the first alternative
            if line:
                yield line.encode()


def main():
    seeds = {"gguf": gguf_seeds, "safetensors": safetensors_seeds, "lbw": lbw_seeds, "line": line_seeds}
    for name, make in seeds.items():
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(make()):
            (folder / f"seed-{i:03}").write_bytes(seed)


main()
