# SPDX-License-Identifier: Apache-2.0
"""What quantising costs on a real model: the tables of docs/accuracy.md.

    LOWBIT_LIBRARY=build/release/liblowbit.so PYTHONPATH=tests/oracles:examples/minilm:build/minilm \\
        build/venv/bin/python tests/accuracy/accuracy.py [--write docs/accuracy.md]

All linear layers of all-MiniLM-L6-v2 (examples/minilm) are replaced by their quantised selves: codes by the library's
quantisers, back to f32 by lb_dequantize, the product in f32, which differs from the integer product by f32 rounding
alone. Embeddings, attention, norms and GELU stay in f32.
"""
import ctypes as c

import numpy as np

import document
import quantize as q
from document import header, row
from lib import address, check, dense, lib
from model import Model, decibel, embed, mean_cosine, rank_correlation
from texts import DOCUMENTS, SENTENCES

NEAREST, TWN, ABSMEAN, XNOR = range(4)
CALIBRATORS = {"min-max": 0, "percentile": 1, "MSE": 2, "entropy": 3}
GRAINS = {"tensor": (q.TENSOR, 0), "channel": (q.CHANNEL, 0), "group of 64": (q.GROUP, 64)}


# ---- Quantised weights and activations ----------------------------------------------------------------------


def there_and_back(x, how, scales, zeros, codes=None):
    """x as it is after quantising; `codes` if they are there already."""
    back = np.empty(x.shape, np.float32)
    if codes is None:
        codes = np.empty(size_of(how), np.uint8)
        check(lib.lb_quantize(c.byref(how), address(x), address(scales), address(zeros), address(codes)))
    check(lib.lb_dequantize(c.byref(how), address(codes), address(scales), address(zeros), address(back)))
    return back


def size_of(how):
    size = c.c_uint64()
    check(lib.lb_quant_bytes(c.byref(how), c.byref(size)))
    return size.value


def by_method(w, code, method, grain, calibrator="min-max"):
    """lb_quantize_weights and back."""
    how = q.quant(code, w.shape, *GRAINS[grain], q.SYMMETRIC, calibrator=CALIBRATORS[calibrator])
    count = c.c_int64()
    check(lib.lb_quant_count(c.byref(how), c.byref(count)))
    codes, scales, zeros = (np.empty(n, kind) for n, kind in
                            ((size_of(how), np.uint8), (count.value, np.float32), (count.value, np.int32)))
    check(lib.lb_quantize_weights(c.byref(how), method, address(w), address(codes), address(scales), address(zeros)))
    return there_and_back(w, how, scales, zeros, codes)


def by_nf4(w, grain):
    table = np.empty(16, np.float32)
    lib.lb_codebook_nf4(address(table))
    grouped = w.reshape(-1, GRAINS[grain][1] or w.shape[1])
    scale = np.maximum(np.abs(grouped).max(1, keepdims=True), np.float32(1e-30))
    scaled, codes = dense(grouped / scale), np.empty(w.size // 2, np.uint8)
    check(lib.lb_codebook_assign(address(scaled), c.c_int64(w.size), 1, address(table), 16, address(codes)))
    back = np.empty(scaled.shape, np.float32)
    check(lib.lb_codebook_values(address(codes), c.c_int64(w.size), 1, address(table), 16, address(back)))
    return (back * scale).reshape(w.shape)


def to_f16(name, x):
    return x.astype(np.float16).astype(np.float32)


def per_token(code, calibrator="min-max"):
    """A scale for each row, from the row."""
    def quantised(name, x):
        x = dense(x, np.float32)
        scales, zeros = q.calibrate(x, code, q.SYMMETRIC, q.TOKEN, calibrator=CALIBRATORS[calibrator])
        return there_and_back(x, q.quant(code, x.shape, q.TOKEN, 0, q.SYMMETRIC), scales, zeros)
    return quantised


def per_tensor(code, calibrator, observers):
    """A scale for each layer, from what it was given before."""
    scales = {}
    for name, observer in observers.items():
        how, scale, zero = q.quant(code, (0, 0), calibrator=CALIBRATORS[calibrator], scheme=q.SYMMETRIC), c.c_float(), c.c_int32()
        check(lib.lb_observer_scale(observer, c.byref(how), c.byref(scale), c.byref(zero)))
        scales[name] = np.array([scale.value], np.float32)

    def quantised(name, x):
        x = dense(x, np.float32)
        return there_and_back(x, q.quant(code, x.shape, q.TENSOR, 0, q.SYMMETRIC), scales[name], np.zeros(1, np.int32))
    return quantised


def observe(model, ids):
    """An observer of every layer's input."""
    observers = {name: c.c_void_p() for name in model.linears}
    for observer in observers.values():
        check(lib.lb_observer_create(c.byref(observer)))

    def linear(name, x):
        x = dense(x, np.float32)
        check(lib.lb_observer_add(observers[name], q.X_TYPES[x.dtype], address(x), c.c_uint64(x.size)))
        return model.linear(name, x)

    embed(model, ids, linear)
    return observers


# ---- Measuring ----------------------------------------------------------------------------------------------


class Bench:
    def __init__(self):
        self.model = Model()
        self.ids = self.model.tokens(SENTENCES)
        self.exact = {name: dense(self.model.weight(name)) for name in self.model.linears}
        self.plain = embed(self.model, self.ids)
        self.pairs = np.triu_indices(len(self.ids), 1)
        self.observers = observe(self.model, self.model.tokens(DOCUMENTS[::20]))

    def weights(self, quantised):
        return {name: quantised(w) for name, w in self.exact.items()}

    def noise(self, weights):
        return decibel(*(np.concatenate([x.ravel() for x in xs]) for xs in
                         (self.exact.values(), [self.exact[name] - weights[name] for name in weights])))

    def quality(self, weights, activations):
        got = embed(self.model, self.ids, lambda name, x: activations(name, x) @ weights[name].T + self.model.bias(name))
        similarity, other = ((x @ x.T)[self.pairs] for x in (self.plain, got))
        return (f"{decibel(self.plain, got - self.plain):.1f}", f"{mean_cosine(self.plain, got):.4f}",
                f"{rank_correlation(similarity, other):.4f}")


QUALITY = ("SQNR of embeddings, dB", "mean cosine with f32", "rank correlation of similarities")


def weight_rows(bench):
    """Every format of weights, with A8 and A4 per token by min-max."""
    def rows_of(name, grain, text, quantised, forms):
        weights = bench.weights(quantised)
        noise = f"{bench.noise(weights):.1f}"
        return [row(form, grain, text, noise, *bench.quality(weights, activations)) for form, activations in forms]

    for code, forms in (("s8", [("W8A8", per_token("s8"))]),
                        ("s4", [("W4A16", to_f16), ("W4A8", per_token("s8")), ("W4A4", per_token("s4"))])):
        done = []
        for grain in GRAINS:
            for text in CALIBRATORS:
                if grain.startswith("group") and text in ("percentile", "entropy"):
                    continue  # 64 values are no histogram
                done.append(rows_of(code, grain, text, lambda w: by_method(w, code, NEAREST, grain, text), forms))
        for same_form in zip(*done):
            yield from same_form
    for grain in ("channel", "group of 64"):
        yield from rows_of("NF4", grain, "largest size", lambda w: by_nf4(w, grain), [("NF4, A16", to_f16)])
    for grain in GRAINS:
        for name, code, text, method in (("ternary, A8", "t2", "TWN", TWN), ("ternary, A8", "t2", "absmean", ABSMEAN),
                                         ("binary, A8", "b1", "XNOR-Net", XNOR)):
            yield from rows_of(name, grain, text, lambda w: by_method(w, code, method, grain), [(name, per_token("s8"))])


def activation_rows(bench):
    """Every way to scale activations, with weights that are good."""
    for name, code, grain, a in (("W8A8", "s8", "channel", "s8"), ("W4A8", "s4", "group of 64", "s8"),
                                 ("W4A4", "s4", "group of 64", "s4")):
        weights = bench.weights(lambda w: by_method(w, code, NEAREST, grain, "MSE"))
        for text in CALIBRATORS:
            yield row(name, "tensor, fixed", text, *bench.quality(weights, per_tensor(a, text, bench.observers)))
        for text in ("min-max", "MSE"):
            yield row(name, "token, dynamic", text, *bench.quality(weights, per_token(a, text)))


def tables():
    bench = Bench()
    yield from header("format", "weight scale per", "calibrator or method", "SQNR of weights, dB", *QUALITY)
    yield from weight_rows(bench)
    yield ""
    yield "Activations by other scales, with weights by MSE, per channel (W8) and per group of 64 (W4):"
    yield ""
    yield from header("format", "activation scale per", "calibrator", *QUALITY)
    yield from activation_rows(bench)
    yield ""
    yield (f"{len(SENTENCES)} sentences, {len(bench.pairs[0])} pairs, {len(DOCUMENTS[::20])} other sentences for fixed scales; "
           f"{len(bench.exact)} linear layers, {sum(w.size for w in bench.exact.values())} weights.")


if __name__ == "__main__":
    document.main(__doc__, tables())
