"""Online isolation forest: trees over a sample of the stream; they are replaced one after the other."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.robust_cohort import RobustCohort, weight_of
from streamgauge.models.detectors.deviation import LARGEST
from streamgauge.models.detectors.fitted.isolation_forest import average_depth
from streamgauge.models.kernel import kernel

LN2 = math.log(2.0)


class OnlineIsolationForest(RobustCohort):
    """How few random cuts set an event apart from a sample of the stream.

    The sample is a reservoir of all events learned, in which strange ones have little chance to stay. Every `renew` events, the oldest
    tree is replaced by a new one from a random part of it. The score is that of isolation forests, ``2 ** (-depth / c(n))``. A missing
    value counts as the mean at the time when a tree was last grown.

    Parameters
    ----------
    n_trees : int
        Trees.
    part : int
        Events that each tree is grown from.
    reservoir : int
        Events in the sample.
    renew : int
        Events between two replacements.
    memory : int
        The sample is drawn evenly from about so many last events, or from all when there are fewer.
    seed : int
        Of all random choices; each depends on the seed and on how many events were learned.

    Notes
    -----
    Liu, Ting and Zhou, Isolation forest, ICDM 2008; trees renewed from a sliding sample as in Ding and Fei, An anomaly detection
    approach based on isolation forest for streaming data using sliding window, 2013; reservoir by Vitter's algorithm R.
    """

    name: ClassVar[str] = "online_isolation_forest"
    state_version: ClassVar[int] = 2
    half_score: ClassVar[float] = 1.0
    max_fields: ClassVar[int] = 1024
    arrays: ClassVar[tuple[str, ...]] = ("_mean", "_seen", "_fill", "_numbers", "_sample", "_feature", "_cut", "_size")

    def __init__(
        self,
        n_trees: int = 32,
        part: int = 128,
        reservoir: int = 1024,
        renew: int = 64,
        memory: int = 50_000,
        seed: int = 42,
    ) -> None:
        self.n_trees = n_trees
        self.part = part
        self.reservoir = reservoir
        self.renew = renew
        self.memory = memory
        self.seed = seed
        self.learned = 0

    @property
    def warmup(self) -> int:  # type: ignore[override]
        """Events needed before the first tree."""
        return self.part

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        forest = cls(**settings)
        return 8 * (forest.reservoir + 3) * width + 32 * forest.n_trees * ((2 << forest._height) - 1)

    def widen(self, width: int) -> None:
        """See `ScoredCohort`; in the sample the new fields are missing, and all trees are replaced."""
        super().widen(width)
        if self.learned >= self.part:
            self._grow_all()

    def _build(self, width: int) -> None:
        nodes = (2 << self._height) - 1
        self._mean, self._seen, self._fill, self._numbers = (np.zeros(n) for n in (width, width, width, 3))
        self._sample = np.full((self.reservoir, width), np.nan)
        self._feature, self._cut = np.full((self.n_trees, nodes), -1, np.int32), np.zeros((self.n_trees, nodes))
        self._size = np.zeros((self.n_trees, nodes), np.int32)
        self._gain, self._depth = (np.zeros((self.n_trees, nodes)) for _ in range(2))  # they follow from the sizes
        sizes = np.arange(self.part + 1.0)
        self._logs = np.log(sizes, out=np.full(len(sizes), -LN2), where=sizes > 0)
        self._depths = average_depth(sizes)

    @property
    def _height(self) -> int:
        return math.ceil(math.log2(self.part))

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        raw_score, weights = np.full(len(X), np.nan), np.zeros(X.shape)
        start = 0
        while start < len(X):
            stop = min(len(X), start + self.renew - self.learned % self.renew) if learn else len(X)
            if self.learned < self.part:  # the first trees are grown as soon as there is enough
                stop = min(stop, start + self.part - self.learned)
            part = slice(start, stop)
            _rate(
                X[part],
                self._mean,
                self._seen,
                self._fill,
                self._numbers,
                self._sample,
                self._feature,
                self._cut,
                self._gain,
                self._depth,
                self._depths[self.part],
                self.learned,
                self.part,
                self.memory,
                self.seed,
                learn,
                raw_score[part],
                weights[part],
            )
            if learn:
                self.learned += stop - start
                if self.learned == self.part:
                    self._grow_all()
                elif self.learned > self.part and self.learned % self.renew == 0:
                    self._grow(self.learned // self.renew % self.n_trees)
            start = stop
        return raw_score, weights

    def _grow_all(self) -> None:
        for tree in range(self.n_trees):
            self._grow(tree)

    def _grow(self, tree: int) -> None:
        self._fill[:] = self._mean
        held = int(min(self._numbers[2], self.reservoir))
        if held >= 2:
            _grow(
                self._sample[:held],
                self._mean,
                self.part,
                self.seed + 7919 * tree,
                self.learned,
                self._feature[tree],
                self._cut[tree],
                self._size[tree],
            )
            self._measure(tree)

    def _measure(self, tree: int) -> None:
        _measure(self._size[tree], self._logs, self._depths, self._gain[tree], self._depth[tree])

    def _restored(self) -> None:
        for tree in range(self.n_trees):
            self._measure(tree)


@kernel
def _random(seed, number):  # type: ignore[no-untyped-def]
    """A number in [0, 1) that depends on its arguments alone (splitmix64)."""
    x = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(number) * np.uint64(0xD1342543DE82EF95)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return float(x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def _grow(sample, mean, part, seed, learned, feature, cut, size):  # type: ignore[no-untyped-def]
    held, width = sample.shape
    n = min(part, held)
    order = np.arange(held)
    draw = learned * 4096
    for i in range(n):  # the first n of a random permutation
        j = i + int(_random(seed, draw) * (held - i))
        draw += 1
        order[i], order[j] = order[j], order[i]
    internal = feature.shape[0] // 2
    feature[:] = -1
    nodes, lows, highs = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    nodes[0], lows[0], highs[0], depth = 0, 0, n, 1
    while depth:
        depth -= 1
        node, low, high = nodes[depth], lows[depth], highs[depth]
        size[node] = high - low
        if node >= internal or high - low < 2:
            continue
        first = int(_random(seed, draw) * width)
        draw += 1
        chosen, least, most = -1, 0.0, 0.0
        for k in range(width):  # the first field from a random one on that varies here
            j = (first + k) % width
            least, most = math.inf, -math.inf
            for i in range(low, high):
                x = sample[order[i], j]
                x = mean[j] if math.isnan(x) else x
                least, most = min(least, x), max(most, x)
            if most > least and most - least < math.inf:
                chosen = j
                break
        if chosen < 0:
            continue
        at = least + _random(seed, draw) * (most - least)
        draw += 1
        middle, end = low, high
        while middle < end:
            x = sample[order[middle], chosen]
            x = mean[chosen] if math.isnan(x) else x
            if x <= at:
                middle += 1
            else:
                end -= 1
                order[middle], order[end] = order[end], order[middle]
        feature[node], cut[node] = chosen, at
        for child in range(2):
            nodes[depth] = 2 * node + 1 + child
            lows[depth], highs[depth] = (low, middle) if child == 0 else (middle, high)
            depth += 1


@njit(cache=True)
def _rate(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    X,
    mean,
    seen,
    fill,
    numbers,
    sample,
    feature,
    cut,
    gain,
    depth,
    usual_depth,
    learned,
    part,
    memory,
    seed,
    learn,
    raw_score,
    weights,
):
    """Score the events between two replacements, then learn them in order.

    Each tree scores all of them at once, so that it stays in the cache.
    """
    n, width = X.shape
    known = np.zeros(n, np.bool_)
    Z = np.empty((n, width))
    for i in range(n):
        for j in range(width):
            missing = math.isnan(X[i, j])
            known[i] |= not missing
            Z[i, j] = fill[j] if missing else X[i, j]
    if learned >= part:
        _walk(Z, feature, cut, gain, depth, raw_score, weights)
        for i in range(n):
            score = 2.0 ** (-raw_score[i] / feature.shape[0] / usual_depth)
            raw_score[i] = score / max(1.0 - score, 1e-12) if known[i] else math.nan
            if not known[i]:
                weights[i] = 0.0
    if not learn:
        return
    for i in range(n):
        if not known[i]:
            continue
        weight = weight_of(raw_score[i], numbers, learned + i - part, 2.0) if learned >= part else 1.0
        numbers[0] += 1.0
        for j in range(width):
            if not math.isnan(X[i, j]) and abs(X[i, j]) <= LARGEST:
                seen[j] += 1.0
                mean[j] += weight * max(1.0 / seen[j], 1.0 / memory) * (X[i, j] - mean[j])
        held = int(numbers[2])
        place = held
        if held >= sample.shape[0]:
            place = int(_random(seed, 2 * (learned + i)) * min(numbers[0], 1.0 * memory))
        if place < sample.shape[0] and _random(seed, 2 * (learned + i) + 1) < weight:
            sample[place] = X[i]
            if place == held:
                numbers[2] += 1.0


@kernel
def _measure(size, logs, depths, gain, depth):  # type: ignore[no-untyped-def]
    """Fill in what an event on its way through a tree meets at each node: `gain` for its field, and `depth` if the way ends there.

    `gain` is the logarithm of how much less than half of the events at the node above came here. ``logs[0]`` is such that an empty side
    counts as ln of all there were.
    """
    gain[0], depth[0] = 0.0, depths[size[0]]
    level, last = 0.0, 0  # of the nodes at hand: their level, and the last one on it
    for node in range(1, len(size)):
        if node > last:
            level += 1.0
            last = 2 * last + 2
        gain[node] = max(0.0, logs[size[(node - 1) // 2]] - logs[size[node]] - LN2)
        depth[node] = level + depths[size[node]]


@njit(cache=True)
def _walk(Z, feature, cut, gain, depth, totals, weights):  # type: ignore[no-untyped-def]
    """Depth of each event, summed over the trees; for each field, what its cuts have gained (`_measure`).

    All events go down a tree together, level by level: a step of one event need not wait for that of another.
    """
    totals[:] = 0.0
    nodes = np.empty(len(Z), np.int64)
    height = int(math.log2(feature.shape[1] + 1)) - 1
    for t in range(len(feature)):
        nodes[:] = 0
        for _ in range(height):
            for i in range(len(Z)):
                node = nodes[i]
                j = feature[t, node]
                if j >= 0:
                    node = 2 * node + (1 if Z[i, j] <= cut[t, node] else 2)
                    weights[i, j] += gain[t, node]
                    nodes[i] = node
        for i in range(len(Z)):
            totals[i] += depth[t, nodes[i]]
