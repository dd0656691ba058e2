"""Spread change: the recent variance against that of the longer past."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.detectors.entity.two_spans import TwoSpans
from streamgauge.models.kernel import kernel

MEAN, LONG, SHORT = 1, 2, 3


class SpreadChange(TwoSpans):
    """Logarithm of the ratio of a short and a long exponentially weighted variance, in standard errors of normal values.

    It is not good for slow series: with an autocorrelation of .99, the spread of a short time changes
    by itself. Positive where the spread has grown, negative where it has shrunk. The score is ``m / (m + 6)``.

    Parameters
    ----------
    short : float
        Values that the short variance spans.
    long : float
        Values that the long variance spans.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    MacGregor and Harris, The exponentially weighted moving variance, Journal of Quality Technology 25, 1993.
    """

    name: ClassVar[str] = "spread_change"
    anomaly_kind = "collective"

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        change = np.full(X.shape, np.nan)
        _spread(state, rows, X, *self.gains, self.warmup, learn, change)
        return change, np.full(X.shape, np.nan)


@kernel
def _spread(state, rows, X, fast, slow, warmup, learn, change):  # type: ignore[no-untyped-def]
    error = math.sqrt(2.0 * fast / (2.0 - fast))  # of the logarithm of the short variance
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            count, mean, long = cell[0], cell[MEAN], cell[LONG]
            if count == 0.0:
                mean = x
            square = (x - mean) ** 2
            if long > 0.0:
                square = min(square, 100.0 * long)
            short = cell[SHORT] + max(1.0 / (count + 1.0), fast) * (square - cell[SHORT])
            if count >= warmup:
                floor = (ROUNDING * mean) ** 2  # less is rounding
                change[i, f] = 0.0
                if long > floor:
                    change[i, f] = math.log(max(short, 1e-6 * long) / long) / error
                elif short > floor:
                    change[i, f] = math.sqrt(count)
            if learn:
                gain = max(1.0 / (count + 1.0), slow)
                cell[0], cell[SHORT] = count + 1.0, short
                cell[MEAN] = mean + gain * (x - mean)
                cell[LONG] = long + gain * (square - long)
