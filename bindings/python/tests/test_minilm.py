# SPDX-License-Identifier: Apache-2.0
"""examples/minilm on a few sentences: a real model through the library. Needs examples/minilm/requirements.txt."""
import importlib.util
import pathlib
import sys

import numpy as np
import pytest

import lowbit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "examples" / "minilm"))
if not (importlib.util.find_spec("all_minilm_l6_v2") and importlib.util.find_spec("tokenizers")):
    pytest.skip("the model's package is not here", allow_module_level=True)

import bits  # noqa: E402
import document  # noqa: E402
import model as minilm  # noqa: E402
import texts  # noqa: E402
from quantised import Layers  # noqa: E402
from search import BinaryIndex, best, recall  # noqa: E402

BOUNDS = {"W8A8": 0.99, "W4A8": 0.9, "W4A16": 0.9, "W2A8, ternary": 0.3}


@pytest.fixture(scope="module")
def model():
    return minilm.Model()


@pytest.fixture(scope="module")
def context():
    return lowbit.Context()


@pytest.fixture(scope="module")
def ids(model):
    return model.tokens(texts.SENTENCES[:6])


@pytest.fixture(scope="module")
def plain(model, ids):
    return minilm.embed(model, ids)


def test_the_model_understands(model, plain):
    """The first two sentences say the same, and so on; and a sentence does not depend on its neighbours."""
    assert list(np.argsort(plain @ plain.T - 2 * np.eye(6), axis=1)[:, -1]) == [1, 0, 3, 2, 5, 4]
    alone = minilm.embed(model, model.tokens(texts.SENTENCES[2:3]))
    assert np.allclose(alone, plain[2:3], atol=1e-5)


@pytest.mark.parametrize("recipe", BOUNDS)
def test_every_linear_layer_in_few_bits(model, context, ids, plain, recipe):
    layers = Layers(context, model, recipe)
    assert len(layers.layers) == 36
    got = minilm.embed(model, ids, layers, layers.activation)
    assert minilm.mean_cosine(plain, got) >= BOUNDS[recipe]
    whole = sum(model.weight(name).nbytes for name in model.linears)
    assert whole / layers.bytes > {"W8A8": 3.8, "W2A8, ternary": 10}.get(recipe, 6)


def test_binary_search_is_numpys(context):
    rng = np.random.default_rng(3)
    documents = rng.normal(0.1, 1, (300, 384)).astype(np.float32)
    queries = (documents[:9] + rng.normal(0, 0.5, (9, 384))).astype(np.float32)
    index = BinaryIndex(context, documents, 9)
    signs = [np.where(x >= documents.mean(0), 1, -1) for x in (queries, documents)]
    assert np.array_equal(index.scores(queries), signs[0] @ signs[1].T)
    assert list(best(index.scores(queries), 1)[:, 0]) == list(range(9))
    assert index.bits.nbytes * 32 == documents.nbytes
    one_sided = BinaryIndex(context, documents, 9, "f32").scores(queries)
    assert np.allclose(one_sided, (queries - documents.mean(0)) @ signs[1].T, atol=1e-3)


def test_recall_counts_what_was_found():
    assert recall([[1, 2], [3, 4]], [[2, 5], [4, 3]]) == 0.75


def test_bits_are_taken_where_they_cost_least(context):
    seconds = {(layer, form): time for layer in "ab" for form, time in zip(bits.FORMATS, (9, 5, 3))}
    noises = dict(zip(seconds, (0, 0.2, 0.9, 0, 0.1, 0.3)))  # b is less sensitive
    wide, middle, narrow = bits.FORMATS
    assert bits.choose(seconds, noises, 18) == {"a": wide, "b": wide}
    assert bits.choose(seconds, noises, 14) == {"a": wide, "b": middle}
    assert bits.choose(seconds, noises, 12) == {"a": middle, "b": middle}
    assert bits.choose(seconds, noises, 0) == {"a": narrow, "b": narrow}
    lines = [bits.problem_line(form, 1, 1536, 384) for form in bits.FORMATS]
    assert all(0 < time < 1 for time in bits.predict(context, lines))


def test_tables_go_between_the_marks(tmp_path, monkeypatch, capsys):
    file = tmp_path / "table.md"
    file.write_text("before\n<!-- begin -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(sys, "argv", ["table.py", "--write", str(file)])
    document.main("a table", iter(document.header("one", "two")))
    assert file.read_text() == "before\n<!-- begin -->\n| one | two |\n| --- | --- |\n<!-- end -->\nafter\n"
    assert capsys.readouterr().out == "| one | two |\n| --- | --- |\n"
