# SPDX-License-Identifier: Apache-2.0
"""Search in embeddings of one bit per dimension: a document is the signs of its vector less the mean of all documents,
and a score is a product of the library, K - 2 * (bits that differ)."""
import numpy as np


def best(scores, count):
    """Indices of the highest scores of each row; the lower one of two alike."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def recall(found, right):
    """Share of `right` that was found, row by row."""
    return np.mean([len(set(f) & set(r)) / len(r) for f, r in zip(found, right)])


class BinaryIndex:
    """queries_as "b1": W1A1, the query is bits too; "f32": only the documents are."""

    def __init__(self, context, documents, queries, queries_as="b1"):
        self.mean = documents.mean(0)
        count, width = documents.shape
        self.queries_as = queries_as
        out = "s32" if queries_as == "b1" else "f32"
        self.plan = context.plan(f"{queries_as}*b1->{out} m{queries} n{count} k{width}")
        self.bits = self.signs(documents)
        self.weights = self.plan.weights(self.bits)

    def signs(self, x):
        return np.packbits(x >= self.mean, axis=1, bitorder="little")

    def scores(self, queries):
        if self.queries_as == "b1":
            return self.plan.run(self.weights, self.signs(queries))
        return self.plan.run(self.weights, np.ascontiguousarray(queries - self.mean))
