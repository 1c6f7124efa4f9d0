# SPDX-License-Identifier: Apache-2.0
"""The sentence encoder all-MiniLM-L6-v2 (6 transformer layers, 384 wide) in numpy, from its package on PyPI. What its
linear layers do is the caller's: embed(..., linear)."""
import importlib.util
import json
import pathlib
import struct
import zipfile

import numpy as np
from tokenizers import Tokenizer

TOGETHER = 32  # sentences that go through the layers at once


class Model:
    def __init__(self):
        package = pathlib.Path(importlib.util.find_spec("all_minilm_l6_v2").origin).parent
        archive = zipfile.ZipFile(package / "model.zip")
        raw = archive.read("model.safetensors")
        (size,) = struct.unpack("<Q", raw[:8])
        self.tensors = {}
        for name, entry in json.loads(raw[8 : 8 + size]).items():
            if name != "__metadata__" and entry["dtype"] == "F32":
                first, last = (8 + size + offset for offset in entry["data_offsets"])
                self.tensors[name] = np.frombuffer(raw[first:last], np.float32).reshape(entry["shape"])
        self.tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
        self.tokenizer.no_padding()
        config = json.loads(archive.read("config.json"))
        self.layers, self.heads, self.epsilon = (
            config[name] for name in ("num_hidden_layers", "num_attention_heads", "layer_norm_eps"))
        self.linears = [name[: -len(".weight")] for name in self.tensors
                        if name.startswith("encoder.") and name.endswith(".weight") and "Norm" not in name]

    def weight(self, name):
        return self.tensors[name + ".weight"]

    def bias(self, name):
        return self.tensors[name + ".bias"]

    def linear(self, name, x):
        """What the model itself has, in f32."""
        return x @ self.weight(name).T + self.bias(name)

    def tokens(self, sentences):
        return [encoding.ids for encoding in self.tokenizer.encode_batch(sentences)]


def erf(x):
    """Within 1.5e-7: M. Abramowitz, I. Stegun, Handbook of Mathematical Functions (1964), 7.1.26."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    y = np.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        y = y * t + np.float32(factor)
    return np.copysign(1 - y * t * np.exp(-x * x), x)


def gelu(x):
    return x * np.float32(0.5) * (1 + erf(x * np.float32(0.70710678)))


def norm(model, x, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + model.epsilon) * model.weight(name) + model.bias(name)


def attend(query, key, value, heads):
    """One sentence's [tokens][width]."""
    query, key, value = (x.reshape(len(x), heads, -1).swapaxes(0, 1) for x in (query, key, value))
    score = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1]).astype(np.float32)
    score = np.exp(score - score.max(-1, keepdims=True))
    return (score / score.sum(-1, keepdims=True) @ value).swapaxes(0, 1).reshape(query.shape[1], -1)


def embed_together(model, ids, linear, activation):
    """Sentences of any lengths, one after the other: the tokens of all are the rows of the linear layers."""
    ends = np.cumsum([len(sentence) for sentence in ids])
    table, places = model.weight("embeddings.word_embeddings"), model.weight("embeddings.position_embeddings")
    x = np.concatenate([table[sentence] + places[: len(sentence)] for sentence in ids])
    x = norm(model, x + model.weight("embeddings.token_type_embeddings")[0], "embeddings.LayerNorm")
    for i in range(model.layers):
        at = f"encoder.layer.{i}."
        parts = [np.split(linear(f"{at}attention.self.{part}", x), ends[:-1]) for part in ("query", "key", "value")]
        mixed = np.concatenate([attend(*sentence, model.heads) for sentence in zip(*parts)])
        x = norm(model, x + linear(at + "attention.output.dense", mixed), at + "attention.output.LayerNorm")
        hidden = activation(linear(at + "intermediate.dense", x))
        x = norm(model, x + linear(at + "output.dense", hidden), at + "output.LayerNorm")
    mean = np.array([sentence.mean(0) for sentence in np.split(x, ends[:-1])])
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def embed(model, ids, linear=None, activation=gelu):
    """The sentences' vectors, of length 1. `linear` (name, x) stands in for the linear layers, `activation` for what
    comes between the two of a feed-forward block."""
    linear = linear or model.linear
    return np.concatenate([embed_together(model, ids[i : i + TOGETHER], linear, activation) for i in range(0, len(ids), TOGETHER)])


# ---- Comparing ----------------------------------------------------------------------------------------------


def decibel(signal, noise):
    return 10 * np.log10(np.sum(np.square(signal, dtype=np.float64)) / np.sum(np.square(noise, dtype=np.float64)))


def rank_correlation(x, y):
    """Spearman's."""
    ranks = [np.argsort(np.argsort(values)).astype(np.float64) for values in (x, y)]
    return np.corrcoef(*ranks)[0, 1]


def mean_cosine(x, y):
    return np.mean(np.sum(x * y, 1))
