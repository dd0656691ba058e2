"""Rolling z-score: the deviation of a value from its own recent past, in standard deviations."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel


class RollingZScore(EntityDetector):
    """Deviation of each value from the mean of its past, in standard deviations; the largest over the features counts.

    The past is weighted exponentially (`memory="exponential"`: equal to pandas' ``ewm(alpha, adjust=True)`` with
    biased variance) or is the last `window` values (`memory="window"`: pandas' ``rolling(window)`` with ``ddof=0``). Both are taken
    before the value itself is learned. Where the past never varied, a value that differs counts as the square root
    of the number of values seen: the most that is possible in a sample of that size. The score is ``z / (z + 3)``.

    Parameters
    ----------
    memory : {"exponential", "window"}
        How the past is weighted.
    half_life : float
        Events after which a value counts half (exponential).
    window : int
        Values remembered (window).
    warmup : int
        Values needed before a feature is scored.
    """

    name: ClassVar[str] = "rolling_z_score"
    quarantined: ClassVar[bool] = True
    state_version: ClassVar[int] = 1

    def __init__(
        self,
        memory: Literal["exponential", "window"] = "exponential",
        half_life: float = 200.0,
        window: int = 50,
        warmup: int = 20,
    ) -> None:
        self.memory = memory
        self.half_life = half_life
        self.window = window
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return 3 if self.memory == "exponential" else self.window + 1

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        z, expected = np.empty(X.shape), np.empty(X.shape)
        if self.memory == "exponential":
            decay = 0.5 ** (1.0 / self.half_life)
            _exponential(state, rows, X, decay, self._needed(), learn, z, expected)
        else:
            _windowed(state, rows, X, self.window, self.warmup, learn, z, expected)
        return z, expected

    def _needed(self) -> float:
        """Weight that a feature has after `warmup` values."""
        if self.memory == "window":
            return float(self.warmup)
        decay = 0.5 ** (1.0 / self.half_life)
        return float((1.0 - decay**self.warmup) / (1.0 - decay) * (1.0 - 1e-12))


@kernel
def _distance(x, mean, variance, seen):  # type: ignore[no-untyped-def]
    scale = math.sqrt(variance)
    if x == mean:
        return 0.0
    if scale > ROUNDING * abs(mean):  # less is rounding
        return (x - mean) / scale
    return math.copysign(math.sqrt(seen), x - mean)


@kernel
def _exponential(state, rows, X, decay, needed, learn, z, expected):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        row = rows[i]
        for f in range(X.shape[1]):
            x = X[i, f]
            seen, mean, variance = state[row, f, 0], state[row, f, 1], state[row, f, 2]
            expected[i, f] = mean if seen > 0.0 else math.nan
            z[i, f] = math.nan
            if math.isnan(x):
                continue
            if seen >= needed:
                z[i, f] = _distance(x, mean, variance, seen)
            if learn:
                seen = 1.0 + decay * seen
                gain = 1.0 / seen
                delta = x - mean
                state[row, f, 0] = seen
                state[row, f, 1] = mean + gain * delta
                state[row, f, 2] = (1.0 - gain) * (variance + gain * delta * delta)


@kernel
def _windowed(state, rows, X, window, warmup, learn, z, expected):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        row = rows[i]
        for f in range(X.shape[1]):
            x = X[i, f]
            count = int(state[row, f, 0])
            kept = min(count, window)
            mean = 0.0
            for k in range(kept):
                mean += state[row, f, 1 + k]
            mean /= max(kept, 1)
            expected[i, f] = mean if kept > 0 else math.nan
            z[i, f] = math.nan
            if math.isnan(x):
                continue
            if count >= warmup:
                variance = 0.0
                for k in range(kept):
                    delta = state[row, f, 1 + k] - mean
                    variance += delta * delta
                z[i, f] = _distance(x, mean, variance / kept, kept)
            if learn:
                state[row, f, 1 + count % window] = x
                state[row, f, 0] = count + 1
