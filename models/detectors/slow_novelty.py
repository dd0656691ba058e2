"""Slow novelty: how far the mean of the last values is from every such mean that its entity has shown."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.entity_detector import EntityDetector
from streamgauge.models.novelty import BANDWIDTHS, bandwidth, learn_moments, silenced, surprise_of

ANCHOR, SLOW, RECENT, SINCE, MOMENTS, SIZES = 1, 2, 3, 4, 5, 8  # places of the first of each in an entity's numbers
DICTIONARIES = SIZES + BANDWIDTHS


class SlowNovelty(EntityDetector):
    """Value novelty of a slow mean: a run of values is unusual, though each of them may be usual.

    The mean is exponentially weighted, over some `span` values, and compared with all means before as `ValueNovelty` compares values, by
    two bandwidths and without seasons. Means of neighbouring values are alike, so the distance, in nats, is no probability yet: the job
    calibrates it.

    Parameters
    ----------
    span : int
        Values of the slow mean.
    centroids : int
        Most entries of a dictionary; when full, the closest pair is merged.
    refractory : float
        Share of the entity's past for which the highest novelty is remembered; 0 is not at all.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    See `ValueNovelty`; docs/adr/013 has what it finds.
    """

    name: ClassVar[str] = "slow_novelty"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    half_score: ClassVar[float] = 6.0
    sees = "collective"

    def __init__(self, span: int = 40, centroids: int = 64, refractory: float = 0.1, warmup: int = 60) -> None:
        self.span = span
        self.centroids = centroids
        self.refractory = refractory
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return DICTIONARIES + BANDWIDTHS * 2 * self.centroids

    def distances(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        novelty, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _novelty(state, rows, X, self.span, self.centroids, self.refractory, self.warmup, learn, novelty, expected)
        return novelty, expected


@njit(cache=True)
def _novelty(state, rows, X, span, most, refractory, warmup, learn, novelty, expected):  # type: ignore[no-untyped-def]
    gain = 2.0 / (span + 1.0)
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            n = cell[0]
            anchor = x if n == 0.0 else cell[ANCHOR]
            # while young, the slow mean is a plain one
            slow = cell[SLOW] + max(gain, 1.0 / (n + 1.0)) * (x - anchor - cell[SLOW])
            moments, total = cell[MOMENTS : MOMENTS + 3], 0.0
            if n > 0.0:
                expected[i, f] = anchor + moments[0]
            for b in range(BANDWIDTHS):
                h = bandwidth(b, n, moments, anchor)
                total += surprise_of(cell, SIZES + b, DICTIONARIES + 2 * most * b, most, slow, h, n, learn)[0]
            if n >= warmup:
                novelty[i, f] = silenced(cell, RECENT, SINCE, n, total / BANDWIDTHS, refractory, learn)
            if learn:
                learn_moments(moments, n, slow)
                cell[0], cell[ANCHOR], cell[SLOW] = n + 1.0, anchor, slow
