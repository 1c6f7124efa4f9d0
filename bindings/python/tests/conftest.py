# SPDX-License-Identifier: Apache-2.0
"""What the tests share: every device, random operands of a problem, and D in float64 by numpy alone."""
import ctypes

import numpy as np
import pytest

import lowbit
from lowbit._array import RANGES

DEVICES = [device["selector"] for device in lowbit.devices()]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def integers(rng, kind, shape):
    """Random values of an element type, as integers."""
    if kind == "b1":
        return rng.integers(0, 2, shape) * 2 - 1
    low, high = RANGES[kind]
    return rng.integers(low, high + 1, shape)


def nf4():
    table = (ctypes.c_float * 16)()
    lowbit.c.lb_codebook_nf4(table)
    return np.array(table, np.float32)


def two_levels(rng, kind, n, k, group):
    """Weights with scales of two levels, as Plan.weights takes them (unsigned ones with zero points), and the weights of
    8 bits that they are."""
    groups = -(-k // group)
    codes, whole = integers(rng, kind, (n, k)), rng.integers(0, 9, (n, groups))
    zeros = rng.integers(0, RANGES[kind][1] + 1, (n, groups)) if kind[0] == "u" else np.zeros((n, groups), int)
    wide = (codes - zeros.repeat(group, 1)[:, :k]) * whole.repeat(group, 1)[:, :k]
    weights = dict(codes=lowbit.pack(codes, kind), scales=whole.astype(np.uint8), channel_scales=scales(rng, n))
    if kind[0] == "u":
        weights["zeros"] = zeros.astype(np.int32)
    return weights, wide.astype(np.int8)


def scales(rng, *shape):
    return rng.uniform(0.01, 0.1, shape).astype(np.float32)
