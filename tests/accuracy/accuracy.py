# SPDX-License-Identifier: Apache-2.0
"""What quantising costs on a real model: docs/accuracy.md is this program's output.

    python -m pip install -r tests/accuracy/requirements.txt       # in an environment with tests/oracles' packages
    LOWBIT_LIBRARY=build/release/liblowbit.so PYTHONPATH=tests/oracles python tests/accuracy/accuracy.py

All linear layers of all-MiniLM-L6-v2 (6 transformer layers, 384 wide) are replaced by their quantised selves: codes
by the library's quantisers, back to f32 by lb_dequantize, the product in f32, which differs from the integer product
by f32 rounding alone. Embeddings, attention, norms and GELU stay in f32.
"""
import ctypes as c
import importlib.util
import json
import pathlib
import struct
import zipfile

import numpy as np
from tokenizers import Tokenizer

import quantize as q
from lib import address, check, dense, lib

SENTENCES = """A man is playing a guitar.|Someone plays a musical instrument.|The cat sleeps on the warm windowsill.
A kitten naps in the sun.|The stock market fell sharply on Monday.|Shares dropped at the start of the week.
She is cooking pasta for dinner.|A woman prepares a meal in the kitchen.|The train to Berlin leaves at noon.
Our bus departs in the evening.|Researchers discovered a new species of frog.|Scientists found an unknown amphibian.
He forgot his umbrella and got wet in the rain.|It was pouring and he had nothing to cover himself with.
The museum is closed on public holidays.|You cannot visit the gallery on Christmas Day.
Water boils at one hundred degrees at sea level.|The boiling point depends on air pressure.
The children built a castle out of sand.|Kids were playing on the beach.|Quantum computers use superposition.
The recipe needs two eggs and a cup of flour.|My laptop battery lasts about six hours.|The senator gave a long speech.
Football fans celebrated in the streets all night.|The team won the championship after extra time.
A dog barks at the mail carrier every morning.|Solar panels turn sunlight into electricity."""


# ---- The model ----------------------------------------------------------------------------------------------


def open_model():
    package = pathlib.Path(importlib.util.find_spec("all_minilm_l6_v2").origin).parent
    archive = zipfile.ZipFile(package / "model.zip")
    raw = archive.read("model.safetensors")
    (size,) = struct.unpack("<Q", raw[:8])
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, last = entry["data_offsets"]
            tensors[name] = np.frombuffer(raw[8 + size + first : 8 + size + last], np.float32).reshape(entry["shape"])
    return tensors, Tokenizer.from_str(archive.read("tokenizer.json").decode()), json.loads(archive.read("config.json"))


def norm(x, t, name, epsilon):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * t[name + ".weight"] + t[name + ".bias"]


def gelu(x):
    erf = np.vectorize(__import__("math").erf, otypes=[np.float32])
    return (x * 0.5 * (1 + erf(x * np.float32(0.70710678)))).astype(np.float32)


def embed(t, config, ids, linear):
    """The sentence's vector; `linear` (name, x) is what the linear layers do."""
    heads, epsilon = config["num_attention_heads"], config["layer_norm_eps"]
    x = t["embeddings.word_embeddings.weight"][ids] + t["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + t["embeddings.token_type_embeddings.weight"][0], t, "embeddings.LayerNorm", epsilon)
    for i in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{i}."
        query, key, value = (
            linear(f"{at}attention.self.{part}", x).reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        score = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1]).astype(np.float32)
        score = np.exp(score - score.max(-1, keepdims=True))
        mixed = (score / score.sum(-1, keepdims=True) @ value).swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(x + linear(at + "attention.output.dense", mixed), t, at + "attention.output.LayerNorm", epsilon)
        hidden = gelu(linear(at + "intermediate.dense", x))
        x = norm(x + linear(at + "output.dense", hidden), t, at + "output.LayerNorm", epsilon)
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


# ---- Quantised weights and activations ----------------------------------------------------------------------


def by_method(w, code, method, granularity, group, calibrator):
    """lb_quantize_weights and back."""
    how = q.quant(code, w.shape, granularity, group, q.SYMMETRIC, calibrator=calibrator)
    count, size = c.c_int64(), c.c_uint64()
    check(lib.lb_quant_count(c.byref(how), c.byref(count)))
    check(lib.lb_quant_bytes(c.byref(how), c.byref(size)))
    codes, back = np.empty(size.value, np.uint8), np.empty(w.shape, np.float32)
    scales, zeros = np.empty(count.value, np.float32), np.empty(count.value, np.int32)
    check(lib.lb_quantize_weights(c.byref(how), method, address(w), address(codes), address(scales), address(zeros)))
    check(lib.lb_dequantize(c.byref(how), address(codes), address(scales), address(zeros), address(back)))
    return back


def by_nf4(w, group):
    table = np.empty(16, np.float32)
    lib.lb_codebook_nf4(address(table))
    grouped = w.reshape(-1, group if group else w.shape[1])
    scale = np.maximum(np.abs(grouped).max(1, keepdims=True), np.float32(1e-30))
    scaled, codes = dense(grouped / scale), np.empty(w.size // 2, np.uint8)
    check(lib.lb_codebook_assign(address(scaled), c.c_int64(w.size), 1, address(table), 16, address(codes)))
    back = np.empty(scaled.shape, np.float32)
    check(lib.lb_codebook_values(address(codes), c.c_int64(w.size), 1, address(table), 16, address(back)))
    return (back * scale).reshape(w.shape)


def activations(x, code):
    """Per token, by min-max; "f16": rounded to f16."""
    if code == "f16":
        return x.astype(np.float16).astype(np.float32)
    x = dense(x, np.float32)
    scales, zeros = q.calibrate(x, code, q.SYMMETRIC, q.TOKEN)
    return q.dequantize(q.quantize(x, code, scales, zeros, q.TOKEN, scheme=q.SYMMETRIC), code, scales, zeros, q.TOKEN)


NEAREST, TWN, ABSMEAN, XNOR = range(4)
MINMAX, PERCENTILE, MSE, ENTROPY = range(4)
GRAINS = {"tensor": (q.TENSOR, 0), "channel": (q.CHANNEL, 0), "group of 64": (q.GROUP, 64)}


def rows():
    """(format, granularity, calibrator or method, weights' function, activations' code)"""
    calibrators = {"min-max": MINMAX, "MSE": MSE}
    for name, code, a in (("W8A8", "s8", "s8"), ("W4A16", "s4", "f16"), ("W4A8", "s4", "s8"), ("W4A4", "s4", "s4")):
        for grain, (granularity, group) in GRAINS.items():
            for text, calibrator in calibrators.items():
                yield (name, grain, text,
                       lambda w, d=code, g=granularity, n=group, k=calibrator: by_method(w, d, NEAREST, g, n, k), a)
    for grain in ("channel", "group of 64"):
        yield "NF4, A16", grain, "largest size", lambda w, n=GRAINS[grain][1]: by_nf4(w, n), "f16"
    for grain in ("channel", "group of 64"):
        granularity, group = GRAINS[grain]
        for name, code, text, method in (("ternary, A8", "t2", "TWN", TWN), ("ternary, A8", "t2", "absmean", ABSMEAN),
                                         ("binary, A8", "b1", "XNOR-Net", XNOR)):
            yield name, grain, text, lambda w, d=code, m=method, g=granularity, n=group: by_method(w, d, m, g, n, 0), "s8"


# ---- Measuring ----------------------------------------------------------------------------------------------


def decibel(signal, noise):
    return 10 * np.log10(np.sum(np.square(signal, dtype=np.float64)) / np.sum(np.square(noise, dtype=np.float64)))


def ranks(x):
    return np.argsort(np.argsort(x)).astype(np.float64)


def main():
    t, tokenizer, config = open_model()
    tokenizer.no_padding()
    ids = [tokenizer.encode(s).ids for line in SENTENCES.splitlines() for s in line.split("|")]
    names = [n[: -len(".weight")] for n in t if n.startswith("encoder.") and n.endswith(".weight") and "Norm" not in n]
    exact = {n: dense(t[n + ".weight"]) for n in names}
    plain = np.array([embed(t, config, i, lambda n, x: x @ exact[n].T + t[n + ".bias"]) for i in ids])
    pairs = np.triu_indices(len(ids), 1)
    similarity = (plain @ plain.T)[pairs]
    print("| format | scale per | calibrator or method | SQNR of weights, dB | SQNR of embeddings, dB | mean cosine with f32 "
          "| rank correlation of similarities |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, grain, text, quantised, a in rows():
        weights = {n: quantised(w) for n, w in exact.items()}
        noise = decibel(np.concatenate([exact[n].ravel() for n in names]),
                        np.concatenate([(exact[n] - weights[n]).ravel() for n in names]))
        got = np.array([embed(t, config, i, lambda n, x: activations(x, a) @ weights[n].T + t[n + ".bias"]) for i in ids])
        other = (got @ got.T)[pairs]
        print(f"| {name} | {grain} | {text} | {noise:.1f} | {decibel(plain, got - plain):.1f} | "
              f"{np.mean(np.sum(plain * got, 1)):.4f} | {np.corrcoef(ranks(similarity), ranks(other))[0, 1]:.4f} |",
              flush=True)
    print(f"\n{len(ids)} sentences, {len(pairs[0])} pairs; {len(names)} linear layers, "
          f"{sum(w.size for w in exact.values())} weights.")


if __name__ == "__main__":
    main()
