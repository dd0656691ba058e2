"""Interquartile range: how far a value lies outside the middle half of its past."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.detectors.entity.sliding_window import WindowDetector, held, push, quantile


class InterquartileRange(WindowDetector):
    """How far a value is beyond the nearer of two percentiles, in units of the range between them; 0 between them.

    Taken over the last `window` values before the value is learned. Where the percentiles coincide, a value that differs counts as
    the root of the number of values. The score is ``m / (m + 1.5)``: a half at Tukey's fence.

    Parameters
    ----------
    window : int
        Values remembered.
    low : float
        The lower percentile, as a share.
    high : float
        The upper percentile, as a share.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Tukey, Exploratory data analysis, 1977.
    """

    name: ClassVar[str] = "interquartile_range"
    half_score: ClassVar[float] = 1.5

    def __init__(self, window: int = 50, low: float = 0.25, high: float = 0.75, warmup: int = 20) -> None:
        super().__init__(window, warmup)
        self.low = low
        self.high = high

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        deviations, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _outside(state, rows, X, self.window, self.low, self.high, self.warmup, learn, deviations, expected)
        return deviations, expected


@njit(cache=True)
def _outside(state, rows, X, window, low, high, warmup, learn, deviations, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            if cell[0] >= warmup:
                values = held(cell, window)
                below, above = quantile(values, low), quantile(values, high)
                expected[i, f] = quantile(values, 0.5)
                far = x - above if x > above else min(0.0, x - below)
                if far == 0.0:
                    deviations[i, f] = 0.0
                elif above - below > ROUNDING * abs(above):  # less is rounding
                    deviations[i, f] = far / (above - below)
                else:
                    deviations[i, f] = math.copysign(math.sqrt(len(values)), far)
            if learn:
                push(cell, x, window)
