"""Modified z-score: how far a value is from the median, in median absolute deviations."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.detectors.entity.sliding_window import WindowDetector, held, push, quantile


class ModifiedZScore(WindowDetector):
    """``0.6745 (x - median) / MAD`` over the last `window` values, taken before the value is learned.

    Where more than half of the values are equal, the mean absolute deviation takes the MAD's place, ``(x - median) / (1.2533 meanAD)``;
    where all are, a value that differs counts as the root of their number. The score is ``m / (m + 3.5)``.

    Parameters
    ----------
    window : int
        Values remembered.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Iglewicz and Hoaglin, How to detect and handle outliers, 1993, who advise 3.5 as the threshold.
    """

    name: ClassVar[str] = "modified_z_score"
    half_score: ClassVar[float] = 3.5

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        z, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _modified(state, rows, X, self.window, self.warmup, learn, z, expected)
        return z, expected


@njit(cache=True)
def _median_distance(values, median):  # type: ignore[no-untyped-def]
    """Median of the distances of sorted values from their median: the nearest on both sides, merged up to the middle."""
    n = len(values)
    above = np.searchsorted(values, median)
    below, before, last = above - 1, 0.0, 0.0
    for _ in range(n // 2 + 1):
        before = last
        if below < 0 or (above < n and values[above] - median <= median - values[below]):
            last = values[above] - median
            above += 1
        else:
            last = median - values[below]
            below -= 1
    return last if n % 2 else before + 0.5 * (last - before)


@njit(cache=True)
def _modified(state, rows, X, window, warmup, learn, z, expected):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            if cell[0] >= warmup:
                values = held(cell, window)
                median = quantile(values, 0.5)
                unit = _median_distance(values, median) / 0.6745
                if unit <= ROUNDING * abs(median):  # less is rounding
                    unit = 1.253314 * np.abs(values - median).mean()
                expected[i, f] = median
                if x == median:
                    z[i, f] = 0.0
                elif unit > ROUNDING * abs(median):
                    z[i, f] = (x - median) / unit
                else:
                    z[i, f] = math.copysign(math.sqrt(len(values)), x - median)
            if learn:
                push(cell, x, window)
