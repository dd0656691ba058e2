"""Grubbs' test: whether a value is an outlier among the values before it."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numba import njit
from scipy.special import stdtr
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.detectors.entity.sliding_window import WindowDetector, held, push

LEAST = 1e-300  # smaller probabilities count as this one


class Grubbs(WindowDetector):
    """Minus the logarithm of the probability of Grubbs' two-sided test for the new value.

    The sample is the last `window` values and the new one. With ``G = |x - mean| / s``, the probability that the most extreme of n
    normal values is as far off is at most ``2 n`` times the tail of Student's t with n - 2 degrees of freedom at ``sqrt(n (n - 2) G^2 /
    ((n - 1)^2 - n G^2))``. The score is ``m / (m + 3)``: about a half at five per cent.
    It is not good for fields of two values.

    Parameters
    ----------
    window : int
        Values remembered.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Grubbs, Procedures for detecting outlying observations in samples, Technometrics 11, 1969.
    """

    name: ClassVar[str] = "grubbs"
    half_score: ClassVar[float] = 3.0

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        t, size, expected = np.full(X.shape, np.nan), np.full(X.shape, 3.0), np.full(X.shape, np.nan)
        _student(state, rows, X, self.window, self.warmup, learn, t, size, expected)
        probability = np.clip(2.0 * size * stdtr(size - 2.0, -np.abs(t)), LEAST, 1.0)
        return np.copysign(-np.log(probability), t), expected


@njit(cache=True)
def _student(state, rows, X, window, warmup, learn, t, size, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            if cell[0] >= warmup:
                values = held(cell, window)
                n = len(values) + 1.0
                expected[i, f] = values.mean()
                mean = expected[i, f] + (x - expected[i, f]) / n
                squares = ((values - mean) ** 2).sum() + (x - mean) ** 2
                size[i, f], t[i, f] = n, 0.0
                if squares > (ROUNDING * mean) ** 2 * n:  # less is rounding
                    g2 = (x - mean) ** 2 / (squares / (n - 1.0))
                    rest = max((n - 1.0) ** 2 - n * g2, 1e-12)  # 0 where all other values are equal
                    t[i, f] = math.copysign(math.sqrt(n * (n - 2.0) * g2 / rest), x - mean)
            if learn:
                push(cell, x, window)
