"""Half-space trees on arrays: River's algorithm, equal scores, many times faster.

Source: Tan, Ting and Liu, Fast anomaly detection for streaming data, IJCAI 2011; as implemented in River
(river.anomaly.HalfSpaceTrees), whose random draws and arithmetic are followed exactly.
"""

from __future__ import annotations

import functools
import random
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from numba import njit
from streamgauge.models.contract import Floats, checked, share
from streamgauge.models.detectors.cohort.windowed_forest import WindowedForest
from streamgauge.models.kernel import kernel

PADDING = 0.15  # River's margin at both ends of a range within which no split is drawn
Trees = tuple[npt.NDArray[np.int32], Floats]


class HalfSpaceTrees(WindowedForest):
    """Random half-space trees over features in [0, 1]; rare regions hold little mass of the last full window.

    Scores equal `river.anomaly.HalfSpaceTrees` with the same parameters and seed, features named in column order. A missing
    value (NaN) takes the branch that more of the current window took, as in River. The detector is not good for fields of two values,
    nor for random walks.

    River counts every event in every node that it passes, and visits every node at the end of a window. Here, a window's events are
    kept, and sorted down the trees once, when the window is full. No score looks below a node with less than a tenth of the window, so
    sorting stops there. Only events with missing values need counts of the running window; they are made when the first such event of a
    window arrives. The last two windows of events determine everything: they are the saved state.

    Parameters
    ----------
    n_trees : int
        Number of trees.
    height : int
        Levels of splits in each tree, which has ``2 ** (height + 1) - 1`` nodes.
    window_size : int
        Events whose mass is the reference for the next window.
    seed : int
        Seed of the random splits.
    """

    name: ClassVar[str] = "half_space_trees"

    def __init__(self, n_trees: int = 10, height: int = 8, window_size: int = 1000, seed: int = 42) -> None:
        super().__init__(n_trees, height, window_size, seed)
        self._trees: Trees | None = None
        self._mass: npt.NDArray[np.int32] | None = None
        self._live: npt.NDArray[np.int32] | None = None
        self._counting = 0
        self._recent: Floats | None = None

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        forest = cls(**settings)
        nodes = ((1 << forest.height) - 1) * 12 + ((2 << forest.height) - 1) * 16
        return forest.n_trees * nodes + 16 * forest.window_size * width

    def learn_many(self, X: Floats) -> None:  # noqa: D102
        self.score_learn_many(X)

    def score_many(self, X: Floats) -> Floats:  # noqa: D102
        return self._run(self._scorable(X), learn=False)[0]

    def score_learn_many(self, X: Floats) -> Floats:  # noqa: D102
        return self.score_learn_explain_many(X)[0]

    def score_learn_explain_many(self, X: Floats) -> tuple[Floats, Floats]:
        """See `WindowedForest`; the weight of a feature is how much rarer its splits made the event."""
        X = checked(X, self._width, self.name)
        if self._trees is None:
            self._build(X.shape[1])
        scores, weights = np.empty(len(X)), np.empty(X.shape)
        start = 0
        while start < len(X):
            stop = min(len(X), start + self.window_size - self.learned % self.window_size)
            part = X[start:stop]
            scores[start:stop], weights[start:stop] = self._run(part, learn=True)
            self._remember(part)
            start = stop
        return scores, weights

    def explain_many(self, X: Floats) -> Floats:
        """Share of each feature: how much less than half of a node's mass its splits left to the event."""
        score, weights = self._run(self._scorable(X), learn=False)
        return share(weights, score)

    def recent(self) -> tuple[int, Floats]:
        """See `WindowedForest`."""
        first = self.rebuilt_from
        if self._recent is None:
            return 0, np.empty((0, 0))
        return first, self._recent[np.arange(first, self.learned) % len(self._recent)]

    def _build(self, width: int) -> None:
        self._width = width
        self._trees = _grow(width, self.n_trees, self.height, self.seed)
        self._mass = np.zeros((self.n_trees, (2 << self.height) - 1, 2), np.int32)
        self._recent = np.zeros((2 * self.window_size, width))

    def _run(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        """Score events of one window; where values are missing, count them too if they are learned."""
        assert self._trees is not None
        assert self._mass is not None
        features, thresholds = self._trees
        window = 1 + self.learned // self.window_size
        total, weights = np.zeros(len(X)), np.zeros(X.shape)
        if self._counting == window or np.isnan(X).any():
            live = self._counts(window)
            _score_count(X, features, thresholds, self._mass, live, window, self.window_size, learn, total, weights)
        else:
            _score(X, features, thresholds, self._mass, window, self.window_size, total, weights)
        largest = self.n_trees * self.window_size * (2 ** (self.height + 1) - 1)
        return (1.0 - total / largest if self.ready else np.zeros(len(X))), weights

    def _counts(self, window: int) -> npt.NDArray[np.int32]:
        """Counts of the running window, made from its events when they are first needed."""
        assert self._trees is not None
        if self._live is None:
            self._live = np.zeros((self.n_trees, (2 << self.height) - 1, 2), np.int32)
        if self._counting != window:
            assert self._recent is not None
            begin = (window - 1) * self.window_size
            events = self._recent[np.arange(begin, self.learned) % len(self._recent)]
            _count(events, *self._trees, self._live, window)
            self._counting = window
        return self._live

    def _remember(self, X: Floats) -> None:
        """Keep the events; when they fill the window, its masses become the reference."""
        assert self._trees is not None
        assert self._mass is not None
        assert self._recent is not None
        window = 1 + self.learned // self.window_size
        self._recent[(self.learned + np.arange(len(X))) % len(self._recent)] = X
        self.learned += len(X)
        if self.learned % self.window_size:
            return
        if self._counting == window:
            assert self._live is not None
            _close_counted(self._live, self._mass, window, self.window_size)
        else:
            half = (window - 1) % 2 * self.window_size
            events = self._recent[half : half + self.window_size]
            _close(events, *self._trees, self._mass, window, self.window_size)


@functools.lru_cache(maxsize=8)
def _grow(width: int, n_trees: int, height: int, seed: int) -> Trees:
    """Splits of all trees, drawn in River's order: a node, its left subtree, its right subtree."""
    rng = random.Random(seed)
    names = list(range(width))
    internal = (1 << height) - 1
    features, thresholds = np.zeros((n_trees, internal), np.int32), np.zeros((n_trees, internal))
    for tree in range(n_trees):
        low, high = [0.0] * width, [1.0] * width

        def split(node: int, tree: int = tree, low: list[float] = low, high: list[float] = high) -> None:
            if node >= internal:
                return
            on = rng.choices(names, [b - a for a, b in zip(low, high, strict=True)])[0]
            a, b = low[on], high[on]
            at = rng.uniform(a + PADDING * (b - a), b - PADDING * (b - a))
            features[tree, node], thresholds[tree, node] = on, at
            high[on] = at
            split(2 * node + 1)
            low[on], high[on] = at, b
            split(2 * node + 2)
            low[on] = a

        split(0)
    return features, thresholds


# mass[tree, node] = (the window it is the reference for, events in the window before); live: the same, as it grows


@kernel
def _score(X, features, thresholds, mass, window, window_size, total, weights):  # type: ignore[no-untyped-def]
    least_mass, internal = 0.1 * window_size, features.shape[1]
    for tree in range(features.shape[0]):
        for i in range(X.shape[0]):
            reference = float(mass[tree, 0, 1]) * (mass[tree, 0, 0] == window)
            depth_weight, node, found = 1.0, 0, reference
            while reference >= least_mass and node < internal:
                feature = features[tree, node]
                node = 2 * node + 2 - (X[i, feature] < thresholds[tree, node])
                parent, reference = reference, float(mass[tree, node, 1]) * (mass[tree, node, 0] == window)
                weights[i, feature] += max(0.0, parent - 2.0 * reference) * depth_weight
                depth_weight *= 2.0
                found += reference * depth_weight
            total[i] += found


@kernel
def _next(X, i, features, thresholds, live, tree, node, window):  # type: ignore[no-untyped-def]
    feature = features[tree, node]
    x, left = X[i, feature], 2 * node + 1
    if not np.isnan(x):
        return left if x < thresholds[tree, node] else left + 1
    on_left = live[tree, left, 1] if live[tree, left, 0] == window else 0
    on_right = live[tree, left + 1, 1] if live[tree, left + 1, 0] == window else 0
    return left + 1 if on_left < on_right else left


@kernel
def _count_one(X, i, features, thresholds, live, tree, window):  # type: ignore[no-untyped-def]
    node, internal = 0, features.shape[1]
    while True:
        if live[tree, node, 0] != window:
            live[tree, node, 0], live[tree, node, 1] = window, 0
        live[tree, node, 1] += 1
        if node >= internal:
            break
        node = _next(X, i, features, thresholds, live, tree, node, window)


@kernel
def _count(X, features, thresholds, live, window):  # type: ignore[no-untyped-def]
    for tree in range(features.shape[0]):
        for i in range(X.shape[0]):
            _count_one(X, i, features, thresholds, live, tree, window)


@kernel
def _score_count(X, features, thresholds, mass, live, window, window_size, learn, total, weights):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    """Like `_score`; missing values go where the running counts are larger. The counts grow if `learn`."""
    least_mass, internal = 0.1 * window_size, features.shape[1]
    for tree in range(features.shape[0]):
        for i in range(X.shape[0]):
            reference = float(mass[tree, 0, 1]) * (mass[tree, 0, 0] == window)
            depth_weight, node, found = 1.0, 0, reference
            while reference >= least_mass and node < internal:
                feature = features[tree, node]
                node = _next(X, i, features, thresholds, live, tree, node, window)
                parent, reference = reference, float(mass[tree, node, 1]) * (mass[tree, node, 0] == window)
                weights[i, feature] += max(0.0, parent - 2.0 * reference) * depth_weight
                depth_weight *= 2.0
                found += reference * depth_weight
            total[i] += found
            if learn:
                _count_one(X, i, features, thresholds, live, tree, window)


@njit(cache=True)
def _close(X, features, thresholds, mass, window, window_size):  # type: ignore[no-untyped-def]
    """Sort a full window down each tree, as far as scores look."""
    least_mass, internal = 0.1 * window_size, features.shape[1]
    order = np.arange(X.shape[0])
    nodes, lows, highs = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    for tree in range(features.shape[0]):
        nodes[0], lows[0], highs[0], depth = 0, 0, X.shape[0], 1
        while depth:
            depth -= 1
            node, low, high = nodes[depth], lows[depth], highs[depth]
            mass[tree, node, 0], mass[tree, node, 1] = window + 1, high - low
            if high - low < least_mass or node >= internal:
                continue
            feature, threshold = features[tree, node], thresholds[tree, node]
            middle, end = low, high
            while middle < end:
                if X[order[middle], feature] < threshold:
                    middle += 1
                else:
                    end -= 1
                    order[middle], order[end] = order[end], order[middle]
            for child in range(2):
                nodes[depth] = 2 * node + 1 + child
                lows[depth], highs[depth] = (low, middle) if child == 0 else (middle, high)
                depth += 1


@njit(cache=True)
def _close_counted(live, mass, window, window_size):  # type: ignore[no-untyped-def]
    """The running counts become the reference, as far down as scores look."""
    least_mass, size = 0.1 * window_size, mass.shape[1]
    nodes = np.empty(64, np.int64)
    for tree in range(mass.shape[0]):
        nodes[0], depth = 0, 1
        while depth:
            depth -= 1
            node = nodes[depth]
            count = live[tree, node, 1] if live[tree, node, 0] == window else 0
            mass[tree, node, 0], mass[tree, node, 1] = window + 1, count
            if count >= least_mass and 2 * node + 2 < size:
                nodes[depth], nodes[depth + 1] = 2 * node + 1, 2 * node + 2
                depth += 2
