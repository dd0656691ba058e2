"""Level shift: the recent mean against the mean of the longer past."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import deviation_of
from streamgauge.models.detectors.entity.two_spans import TwoSpans
from streamgauge.models.kernel import kernel

LONG, VARIANCE, SHORT = 1, 2, 3
CLIP = 4.0  # standard deviations that a single value counts at most


class LevelShift(TwoSpans):
    """Difference of a short and a long exponentially weighted mean, in standard errors of the short one.

    Single values count as four standard deviations at most, so that a spike is no shift. The score is ``m / (m + 6)``.

    Parameters
    ----------
    short : float
        Values that the short mean spans.
    long : float
        Values that the long mean spans.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    The exponentially weighted control chart of Roberts, Technometrics 1, 1959, against a mean that follows slowly.
    """

    name: ClassVar[str] = "level_shift"
    anomaly_kind = "collective"

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        shift, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _shift(state, rows, X, *self.gains, self.warmup, learn, shift, expected)
        return shift, expected


@kernel
def _shift(state, rows, X, fast, slow, warmup, learn, shift, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    error = math.sqrt(fast / (2.0 - fast))  # of the short mean, in deviations
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            count, mean, variance = cell[0], cell[LONG], cell[VARIANCE]
            recent = cell[SHORT]
            if count == 0.0:
                mean = recent = x
            deviation = deviation_of(variance, mean)
            near = x
            if count >= warmup and deviation > 0.0:
                near = min(max(x, recent - CLIP * deviation), recent + CLIP * deviation)
            recent += fast * (near - recent)
            if count >= warmup:
                expected[i, f] = mean
                apart = recent - mean
                shift[i, f] = 0.0
                if deviation > 0.0:
                    shift[i, f] = apart / (deviation * error)
                elif apart != 0.0:
                    shift[i, f] = math.copysign(math.sqrt(count) * fast / error, apart)
            if learn:
                gain = max(1.0 / (count + 1.0), slow)
                delta = near - mean
                cell[0], cell[SHORT] = count + 1.0, recent
                cell[LONG] = mean + gain * delta
                cell[VARIANCE] = (1.0 - gain) * (variance + gain * delta * delta)
