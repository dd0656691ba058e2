"""Rolling z-score: the distance of a value from its own recent past, in standard deviations."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import numpy as np
from numba import njit
from streamgauge.models.contract import Detector, Floats, Ints, checked, share
from streamgauge.models.errors import NotReadyError
from streamgauge.models.persistence.codec import pack, unpack

HALF_SCORE = 3.0  # a distance of three standard deviations scores 0.5


class RollingZScore(Detector):
    """Distance of each value from the mean of its past, in standard deviations; the largest over the features counts.

    The past is weighted exponentially (`memory="exponential"`: equal to pandas' ``ewm(alpha, adjust=True)`` with
    biased variance) or is the last `window` values (`memory="window"`: pandas' ``rolling(window)`` with ``ddof=0``). Both are taken
    before the value itself is learned. Where the past never varied, a value that differs counts as the square root
    of the number of values seen: the most that a sample of that size can show. The score is ``z / (z + 3)``.

    One instance holds one entity; the job keeps the same numbers for many entities in one array and calls
    `score_learn_entities`.

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
        self._state: Floats | None = None

    @property
    def numbers_per_feature(self) -> int:
        """float64 numbers kept for each entity and feature."""
        return 3 if self.memory == "exponential" else self.window + 1

    @property
    def ready(self) -> bool:
        """Whether every feature has been seen often enough."""
        return self._state is not None and bool((self._seen() >= self._needed()).all())

    def score_learn_entities(
        self, state: Floats, rows: Ints, X: Floats, learn: bool = True
    ) -> tuple[Floats, Floats, Floats]:
        """Score, then learn, events of many entities in row order.

        Parameters
        ----------
        state : float64[entities, d, numbers_per_feature]
            Changed in place when `learn`; all zeros is an entity that was never seen.
        rows : int64[n]
            Row of `state` that each event belongs to.
        X : float64[n, d]
        learn : bool
            Whether to learn.

        Returns
        -------
        score : float64[n]
            0 to 1; 0 where no feature has learned enough.
        z : float64[n, d]
            Signed distance in standard deviations; NaN where missing or not ready.
        expected : float64[n, d]
            Mean of the past; NaN where there is none.
        """
        n, d = X.shape
        score, z, expected = np.empty(n), np.empty((n, d)), np.empty((n, d))
        if self.memory == "exponential":
            decay = 0.5 ** (1.0 / self.half_life)
            _exponential(state, rows, X, decay, self._needed(), learn, score, z, expected)
        else:
            _windowed(state, rows, X, self.window, self.warmup, learn, score, z, expected)
        return score, z, expected

    def learn_many(self, X: Floats) -> None:  # noqa: D102
        self.score_learn_many(X)

    def score_many(self, X: Floats) -> Floats:  # noqa: D102
        X, state = self._scorable(X)
        return self.score_learn_entities(state, np.zeros(len(X), np.int64), X, learn=False)[0]

    def score_learn_many(self, X: Floats) -> Floats:  # noqa: D102
        X = checked(X, None if self._state is None else self._state.shape[1], self.name)
        if self._state is None:
            self._state = np.zeros((1, X.shape[1], self.numbers_per_feature))
        return self.score_learn_entities(self._state, np.zeros(len(X), np.int64), X)[0]

    def explain_many(self, X: Floats) -> Floats:
        """Each feature's share of the sum of squared distances, times the score."""
        X, state = self._scorable(X)
        score, z, _ = self.score_learn_entities(state, np.zeros(len(X), np.int64), X, learn=False)
        return share(z * z, score)

    def to_state(self) -> bytes:  # noqa: D102
        meta = {"memory": self.memory, "half_life": self.half_life, "window": self.window, "warmup": self.warmup}
        return pack(self.name, self.state_version, meta, {} if self._state is None else {"state": self._state})

    @classmethod
    def from_state(cls, state: bytes) -> Self:  # noqa: D102
        meta, arrays = unpack(state, cls.name, cls.state_version)
        detector = cls(**meta)
        detector._state = arrays.get("state")
        return detector

    def _needed(self) -> float:
        """Weight that a feature has after `warmup` values."""
        if self.memory == "window":
            return float(self.warmup)
        decay = 0.5 ** (1.0 / self.half_life)
        return float((1.0 - decay**self.warmup) / (1.0 - decay) * (1.0 - 1e-12))

    def _seen(self) -> Floats:
        assert self._state is not None
        return self._state[0, :, 0]

    def _scorable(self, X: Floats) -> tuple[Floats, Floats]:
        X = checked(X, None if self._state is None else self._state.shape[1], self.name)
        if self._state is None or not self.ready:
            least = 0 if self._state is None else float(self._seen().min())
            raise NotReadyError(
                f"{self.name} needs {self.warmup} values of each feature; the weight so far is {least:.0f}"
            )
        return X, self._state


@njit(cache=True)
def _distance(x, mean, variance, seen):  # type: ignore[no-untyped-def]
    scale = math.sqrt(variance)
    if x == mean:
        return 0.0
    if scale > 1e-9 * abs(mean):  # less is rounding
        return (x - mean) / scale
    return math.copysign(math.sqrt(seen), x - mean)


@njit(cache=True)
def _exponential(state, rows, X, decay, needed, learn, score, z, expected):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        row, largest = rows[i], 0.0
        for f in range(X.shape[1]):
            x = X[i, f]
            seen, mean, variance = state[row, f, 0], state[row, f, 1], state[row, f, 2]
            expected[i, f] = mean if seen > 0.0 else math.nan
            z[i, f] = math.nan
            if math.isnan(x):
                continue
            if seen >= needed:
                z[i, f] = _distance(x, mean, variance, seen)
                largest = max(largest, abs(z[i, f]))
            if learn:
                seen = 1.0 + decay * seen
                gain = 1.0 / seen
                delta = x - mean
                state[row, f, 0] = seen
                state[row, f, 1] = mean + gain * delta
                state[row, f, 2] = (1.0 - gain) * (variance + gain * delta * delta)
        score[i] = largest / (largest + HALF_SCORE) if largest < math.inf else 1.0


@njit(cache=True)
def _windowed(state, rows, X, window, warmup, learn, score, z, expected):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        row, largest = rows[i], 0.0
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
                largest = max(largest, abs(z[i, f]))
            if learn:
                state[row, f, 1 + count % window] = x
                state[row, f, 0] = count + 1
        score[i] = largest / (largest + HALF_SCORE) if largest < math.inf else 1.0
