"""How far data have moved from those that a model was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.kernel import kernel

BINS = 10  # of each field


@dataclass(frozen=True)
class Reference:
    """How each field of the training data was distributed: equal shares between quantiles, less where values repeat.

    Attributes
    ----------
    edges : float64[d, bins - 1]
        Upper edges of all bins but the last one; a value at an edge is below it.
    shares : float64[d, bins]
        Each row sums to 1, or is all 0 where the field had no value.
    """

    edges: Floats
    shares: Floats

    def bins(self, X: Floats) -> Ints:
        """Bin of each value, int64[n, d]; -1 where it is missing."""
        places = np.empty(X.shape, np.int64)
        _bins(X, self.edges, places)
        return places

    def counts(self, X: Floats) -> Floats:
        """How many values lie in each bin of each field, float64[d, bins]."""
        counts = np.zeros(self.shares.shape)
        self.count(X, counts)
        return counts

    def count(self, X: Floats, counts: Floats) -> None:
        """Add values to the counts of each bin, float64[f, bins], of the first f fields."""
        _count(X, self.edges, counts)


def reference_of(X: Floats) -> Reference:
    """The reference of some data.

    Parameters
    ----------
    X : float64[n, d]
        NaN and infinities are ignored.
    """
    edges = np.zeros((X.shape[1], BINS - 1))
    for f in range(X.shape[1]):
        values = X[np.isfinite(X[:, f]), f]
        if len(values):
            edges[f] = np.quantile(values, np.arange(1, BINS) / BINS)
            if (least := values.min()) == edges[f, 1]:  # a constant, or nearly: smaller values need a bin of their own
                edges[f, 0] = np.nextafter(least, -math.inf)
    empty = Reference(edges, np.zeros((X.shape[1], BINS)))
    counts = empty.counts(np.where(np.isfinite(X), X, np.nan))
    return Reference(edges, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))


def population_stability(expected: Floats, counts: Floats) -> Floats:
    """Population stability index of each field: the sum of (a - e) ln(a / e) over the bins.

    By common usage, below 0.1 nothing has moved, and above 0.25 the data have moved. Half a value is added to each bin, so that an
    empty one is not infinitely far off.

    Parameters
    ----------
    expected : float64[d, bins]
        Shares.
    counts : float64[d, bins]

    Returns
    -------
    float64[d]
        0 where there is nothing to compare.

    Notes
    -----
    Siddiqi, Credit risk scorecards, 2006. It is the symmetric Kullback-Leibler divergence (Jeffreys, 1946).
    """
    n = counts.sum(axis=1, keepdims=True)
    e, a = ((share * n + 0.5) / (n + 0.5 * counts.shape[1]) for share in (expected, counts / np.maximum(n, 1.0)))
    index: Floats = ((a - e) * np.log(a / e)).sum(axis=1)
    return np.where((n[:, 0] > 0) & (expected.sum(axis=1) > 0), index, 0.0)


@kernel
def _bin(x, edges):  # type: ignore[no-untyped-def]
    """Bin of a value; with few edges, comparing one after the other is faster than a search."""
    if math.isnan(x):
        return -1
    place = 0
    while place < len(edges) and x > edges[place]:
        place += 1
    return place


@kernel
def _bins(X, edges, places):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            places[i, f] = _bin(X[i, f], edges[f])


@kernel
def _count(X, edges, counts):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        for f in range(counts.shape[0]):
            place = _bin(X[i, f], edges[f])
            if place >= 0:
                counts[f, place] += 1.0
