# SPDX-License-Identifier: Apache-2.0
"""Bits for each layer of all-MiniLM-L6-v2, to meet a budget of time: the last table of docs/minilm.md.

    python examples/minilm/bits.py [--write docs/minilm.md]

The time of each product is what lb_predict says, without a plan; the quality of a format the noise that it adds to a layer's
weights. From the best format everywhere, the change that adds the least noise per microsecond saved is made until the sum fits.
"""
import ctypes
import itertools

import numpy as np

import document
import lowbit
from document import header, row
from lowbit import _library, c
from model import Model, embed, mean_cosine, rank_correlation
from quantised import Layers, problem_line, quantise
from table import Timed, least_times
from texts import SENTENCES

FORMATS = ["W8A8", "W4A8", "W2A8, ternary"]
BUDGETS = [1, 0.95, 0.9, 0.85, 0.8, 0.75]


def predict(context, lines):
    """Seconds of each problem."""
    problems = (_library.header.structs["lb_problem"] * len(lines))(*(lowbit.Problem(line).struct for line in lines))
    predictions = (_library.header.structs["lb_prediction"] * len(lines))()
    predictions[0].struct_size = ctypes.sizeof(predictions[0])
    c.lb_predict(context, problems, len(lines), predictions)
    if any(prediction.status for prediction in predictions):
        raise SystemExit("bits.py: this device has no kernel for one of the formats")
    return [prediction.seconds for prediction in predictions]


def noise(w, recipe):
    """Of the quantised weights, against the weights."""
    return float(np.sum(np.square(w - quantise(w, recipe)[2])) / np.sum(np.square(w)))


def choose(seconds, noises, limit):
    """The format of each layer; `seconds` and `noises` are by (layer, format). Stops at the limit, or where nothing helps."""
    layers = {layer for layer, _ in seconds}
    chosen = {layer: min(FORMATS, key=lambda form: noises[layer, form]) for layer in layers}
    while sum(seconds[item] for item in chosen.items()) > limit:
        steps = []
        for layer, form in itertools.product(sorted(layers), FORMATS):
            saved = seconds[layer, chosen[layer]] - seconds[layer, form]
            if saved > 0:
                steps.append(((noises[layer, form] - noises[layer, chosen[layer]]) / saved, layer, form))
        if not steps:
            break
        _, layer, form = min(steps)
        chosen[layer] = form
    return chosen


def tables():
    context, model = lowbit.Context(), Model()
    ids = model.tokens(SENTENCES)
    query = min(ids, key=len)  # few rows, so that reading the weights takes the time
    keys = list(itertools.product(model.linears, FORMATS))
    seconds = dict(zip(keys, predict(context, [problem_line(form, len(query), *model.weight(name).shape) for name, form in keys])))
    noises = {(name, form): noise(model.weight(name), form) for name, form in keys}
    plain = embed(model, ids)
    pairs = np.triu_indices(len(ids), 1)
    best = sum(seconds[item] for item in choose(seconds, noises, np.inf).items())
    lines, runs, made = [], [], {}
    for budget in BUDGETS:
        chosen = choose(seconds, noises, budget * best)
        layers = Layers(context, model, chosen, made)
        got = embed(model, ids, layers, layers.activation)
        lines.append((f"{budget:.0%}", *(list(chosen.values()).count(form) for form in FORMATS),
                      f"{sum(seconds[item] for item in chosen.items()) * 1e6:.0f}", f"{layers.bytes / 1e6:.1f}",
                      f"{mean_cosine(plain, got):.4f}",
                      f"{rank_correlation(*((x @ x.T)[pairs] for x in (plain, got))):.4f}"))
        runs.append(Timed(model, [query], layers, layers.activation))
    least_times(runs)
    yield f"A query of {len(query)} tokens ({context.info['backend']}: {context.info['name'].strip()}):"
    yield ""
    yield from header("budget", *(f"layers in {form}" for form in FORMATS), "predicted µs", "weights, MB",
                      "mean cosine with f32", "rank correlation of similarities", "measured µs, with quantising and copies")
    for line, run in zip(lines, runs):
        yield row(*line, f"{min(run.linear[1:]) * 1e3:.0f}")


if __name__ == "__main__":
    document.main(__doc__, tables(), " bits")
