# SPDX-License-Identifier: Apache-2.0
"""Every tensor of a real checkpoint (Gemma 3 270M, Q4_K_M), named by LOWBIT_MODEL: read, repacked and back, and
multiplied on the best device, against the gguf package's dequantisation."""
import os
import time

import gguf
import numpy as np
import pytest
from gguf import quants

import stored as lb

M, ROWS = 4, 16384  # of A; of W that are looked at together
EPSILON = 2.0 ** -24

reader = gguf.GGUFReader(os.environ["LOWBIT_MODEL"])
floats = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
quantised = [t for t in reader.tensors if t.tensor_type not in floats]
kinds = sorted({t.tensor_type for t in quantised})


@pytest.fixture(scope="module")
def file():
    with lb.File(os.environ["LOWBIT_MODEL"]) as file:
        yield file


@pytest.fixture(scope="module")
def context():
    context = lb.open_context()
    yield context
    lb.lib.lb_context_destroy(context)


def expected_rows(tensor):
    for first in range(0, len(tensor.data), ROWS):
        yield first, quants.dequantize(tensor.data[first:first + ROWS], tensor.tensor_type)


def of_kind(kind):
    return [t for t in quantised if t.tensor_type == kind]


def say(text, start):
    print(f"{text}, {time.monotonic() - start:.1f} s")


def test_the_table_is_the_same(file):
    ours = {t.name.decode(): (t.offset, t.bytes, [t.shape[i] for i in range(t.rank)]) for t in file.tensors()}
    theirs = {t.name: (t.data_offset, t.n_bytes, [int(d) for d in reversed(t.shape)]) for t in reader.tensors}
    assert ours == theirs


@pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)
def test_every_value_is_read(file, kind):
    start, worst, count = time.monotonic(), 0.0, 0
    for tensor in of_kind(kind):
        w = file.find(tensor.name)
        for first, expected in expected_rows(tensor):
            values = w.values(first, len(expected))
            worst = max(worst, float(np.abs(values - expected).max()))
            count += values.size
    say(f"{kind.name}: {len(of_kind(kind))} tensors, {count} values, largest error {worst}", start)
    assert worst == 0 and count > 0


@pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)
def test_every_tensor_returns_to_its_bytes(file, kind):
    start, count = time.monotonic(), 0
    for tensor in of_kind(kind):
        w = file.find(tensor.name)
        canon, report = w.repack("canon")
        assert report.exact
        back, report = canon.repack(like=w)
        assert report.exact and np.array_equal(back.part(lb.CODES), tensor.data.reshape(-1)), tensor.name
        count += tensor.n_bytes
    say(f"{kind.name}: {count} bytes to the canonical form and back", start)


@pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)
def test_every_tensor_is_multiplied(file, context, kind):
    """Products and partial sums round once each, in any order: by at most K + a few times 2^-24 of the sum of the
    magnitudes. Where a format subtracts offsets, scale times code and offset count apart."""
    start, share = time.monotonic(), 0.0
    for tensor in of_kind(kind):
        w = file.find(tensor.name)
        rng = np.random.default_rng(len(tensor.data))
        a = rng.normal(0, 1, (M, w.stored.k)).astype(np.float32)
        d = w.multiply(context, a)
        scaled, _ = w.repack("canon")
        offsets = scaled.stored.part[lb.OFFSETS].bytes != 0
        scaled.stored.part[lb.OFFSETS].bytes = scaled.stored.part[lb.SUPER_OFFSETS].bytes = 0
        for first, expected in expected_rows(tensor):
            sizes = np.abs(expected)
            if offsets:
                product = scaled.values(first, len(expected))
                sizes = np.abs(product) + np.abs(product - expected)
            right = a.astype(np.float64) @ expected.T.astype(np.float64)
            bound = np.abs(a).astype(np.float64) @ sizes.T * (w.stored.k + 8) * EPSILON
            share = max(share, float((np.abs(d[:, first:first + len(expected)] - right) / (bound + 1e-30)).max()))
    say(f"{kind.name}: {len(of_kind(kind))} products of {M} rows, at most {share:.3f} of the bound", start)
    assert share <= 1
