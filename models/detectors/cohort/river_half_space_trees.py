"""River's own half-space trees as one of our detectors: the reference for ours."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from river.anomaly import HalfSpaceTrees as River
from river.anomaly.hst import make_padded_tree
from streamgauge.models.contract import Floats, checked, share
from streamgauge.models.detectors.cohort.half_space_trees import PADDING
from streamgauge.models.detectors.cohort.windowed_forest import WindowedForest


class RiverHalfSpaceTrees(WindowedForest):
    """`river.anomaly.HalfSpaceTrees`, event by event.

    The saved state is the last two windows of events, which determine the trees' masses; River's objects are never
    pickled. See `HalfSpaceTrees` for the same scores on arrays.

    Parameters are those of `WindowedForest`; River's have the same names.
    """

    name: ClassVar[str] = "river_half_space_trees"

    def __init__(self, n_trees: int = 10, height: int = 8, window_size: int = 1000, seed: int = 42) -> None:
        super().__init__(n_trees, height, window_size, seed)
        self._model = River(n_trees=n_trees, height=height, window_size=window_size, seed=seed)
        self._recent: list[Floats] = []

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:
        """See `CohortDetector`; a node of River's takes some 500 bytes, an event's dictionary 100 a column."""
        forest = cls(**settings)
        return 500 * forest.n_trees * (2 << forest.height) + 32 * forest.window_size * width

    def learn_many(self, X: Floats) -> None:  # noqa: D102
        X = checked(X, self._width, self.name)
        self._width = X.shape[1]
        for x in X:
            self._learn(x)

    def score_many(self, X: Floats) -> Floats:  # noqa: D102
        X = self._scorable(X)
        return np.array([self._model.score_one(_record(x)) for x in X], dtype=np.float64)

    def score_learn_many(self, X: Floats) -> Floats:  # noqa: D102
        X = checked(X, self._width, self.name)
        self._width = X.shape[1]
        scores = np.empty(len(X))
        for i, x in enumerate(X):
            scores[i] = self._model.score_one(_record(x))
            self._learn(x)
        return scores

    def score_learn_explain_many(self, X: Floats) -> tuple[Floats, Floats]:
        """Scores as `score_learn_many`, and even weights: River does not explain a score."""
        return self.score_learn_many(X), np.ones(X.shape)

    def explain_many(self, X: Floats) -> Floats:
        """How much each score falls when a feature is missing, at least 0, scaled to add up to the score."""
        X = self._scorable(X)
        scores = self.score_many(X)
        drops = np.empty(X.shape)
        for f in range(X.shape[1]):
            without = X.copy()
            without[:, f] = np.nan
            drops[:, f] = np.maximum(0.0, scores - self.score_many(without))
        return share(drops, scores)

    def recent(self) -> tuple[int, Floats]:
        """See `WindowedForest`."""
        first = self.rebuilt_from
        if self._width is None:
            return 0, np.empty((0, 0))
        return first, np.array(self._recent[len(self._recent) - (self.learned - first) :]).reshape(-1, self._width)

    def _learn(self, x: Floats) -> None:
        if not self._model.trees:
            self._plant(len(x))
        self._model.learn_one(_record(x))
        self.learned += 1
        self._recent.append(x.copy())
        if len(self._recent) > 4 * self.window_size:
            del self._recent[: 2 * self.window_size]

    def _plant(self, width: int) -> None:
        """Build the trees as River does at its first event, but over all columns, also those that are missing in that event."""
        model = self._model
        model.trees = [
            make_padded_tree(
                limits={_key(i): (0.0, 1.0) for i in range(width)},
                height=self.height,
                padding=PADDING,
                rng=model.rng,
                r_mass=0,
                l_mass=0,
            )
            for _ in range(self.n_trees)
        ]


def _key(column: int) -> str:
    return f"{column:06d}"  # River sorts its features by name: keep the columns' order


def _record(x: Floats) -> dict[str, float]:
    return {_key(i): float(v) for i, v in enumerate(x) if not np.isnan(v)}
