# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2 with every linear layer in few bits, and search with one: the tables of docs/minilm.md.

    python examples/minilm/table.py [--write docs/minilm.md]
"""
import os
import platform
import time

import numpy as np

import document
import lowbit
from document import header, row
from model import Model, embed, gelu, mean_cosine, rank_correlation
from quantised import RECIPES, Layers
from search import BinaryIndex, best, recall
from texts import DOCUMENTS, QUERIES

BATCH, REPEATS, FOUND, CANDIDATES = 32, 30, 10, 40


def least_times(calls):
    """Of REPEATS calls each, taken in turns, in milliseconds; one more before does not count."""
    times = [[] for _ in calls]
    for _ in range(REPEATS + 1):
        for call, own in zip(calls, times):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return [min(own[1:]) * 1e3 for own in times]


class Timed:
    """A batch through the model: the time of all, and in its linear layers alone."""

    def __init__(self, model, ids, layers, activation):
        self.model, self.ids, self.layers, self.activation, self.linear = model, ids, layers, activation, []

    def __call__(self):
        spent = 0.0

        def clock(name, x):
            nonlocal spent
            start = time.perf_counter()
            y = self.layers(name, x)
            spent += time.perf_counter() - start
            return y

        embed(self.model, self.ids, clock, self.activation)
        self.linear.append(spent * 1e3)


def layer_rows(context, model, batch, texts, plain):
    """The first table: `texts` are the tokens of documents and queries, `plain` what the f32 model makes of them."""
    similarity = plain[1] @ plain[0].T
    right = best(similarity, FOUND)
    whole = sum(model.weight(name).nbytes for name in model.linears)
    lines = [("f32, numpy", 1, 1, 1, f"{whole / 1e6:.1f}", 1)]
    runs = [Timed(model, batch, model.linear, gelu)]
    for name in RECIPES:
        layers = Layers(context, model, name)
        got = [embed(model, ids, layers, layers.activation) for ids in texts]
        other = got[1] @ got[0].T
        lines.append((name, f"{mean_cosine(np.concatenate(plain), np.concatenate(got)):.4f}",
                      f"{rank_correlation(similarity.ravel(), other.ravel()):.4f}",
                      f"{recall(best(other, FOUND), right):.3f}", f"{layers.bytes / 1e6:.1f}", f"{whole / layers.bytes:.1f}"))
        runs.append(Timed(model, batch, layers, layers.activation))
    for line, total, run in zip(lines, least_times(runs), runs):
        yield row(*line, f"{total:.1f}", f"{min(run.linear[1:]):.1f}")


def search_rows(context, documents, queries):
    right = best(queries @ documents.T, FOUND)
    width = documents.shape[1]
    half, bits = (BinaryIndex(context, documents, len(queries), kind) for kind in ("f32", "b1"))
    found = [best(index.scores(queries), CANDIDATES) for index in (half, bits)]
    again = [some[best((documents[some] @ query)[None], FOUND)[0]] for some, query in zip(found[1], queries)]
    times = [f"{ms * 1e3 / len(queries):.1f}" for ms in least_times(
        [lambda: queries @ documents.T, lambda: half.scores(queries), lambda: bits.scores(queries)])]
    yield row("f32 × f32, numpy", 1, 4 * width, times[0])
    yield row("f32 × b1", f"{recall(found[0][:, :FOUND], right):.3f}", width // 8, times[1])
    yield row("b1 × b1 (W1A1)", f"{recall(found[1][:, :FOUND], right):.3f}", width // 8, times[2])
    yield row(f"b1 × b1, its best {CANDIDATES} again in f32", f"{recall(again, right):.3f}",
              f"{width // 8}, and {4 * width} of {CANDIDATES}", "")


def tables():
    context, model = lowbit.Context(), Model()
    texts = [model.tokens(sentences) for sentences in (DOCUMENTS, QUERIES)]
    plain = [embed(model, ids) for ids in texts]
    batch = texts[0][:: len(DOCUMENTS) // BATCH][:BATCH]
    yield (f"{len(DOCUMENTS)} documents and {len(QUERIES)} queries, {sum(map(len, texts[0] + texts[1]))} tokens; "
           f"{len(model.linears)} linear layers, {sum(model.weight(name).size for name in model.linears)} weights. Times on "
           f"{os.cpu_count()} cores ({context.info['backend']}: {context.info['name'].strip()}; numpy {np.__version__}, "
           f"{platform.machine()}), a batch of {sum(map(len, batch))} tokens.")
    yield ""
    yield from header("layers", "mean cosine with f32", "rank correlation of similarities", f"recall@{FOUND}", "weights, MB",
                      "times smaller", f"ms per {BATCH} sentences", "of it in linear layers")
    yield from layer_rows(context, model, batch, texts, plain)
    yield ""
    yield from header("search", f"recall@{FOUND}", "bytes per document", "µs per query")
    yield from search_rows(context, *plain)


if __name__ == "__main__":
    document.main(__doc__, tables())
