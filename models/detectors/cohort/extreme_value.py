"""Extreme value: one field of an event is farther from its mean than that field usually gets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from streamgauge.models.calibration.calibration import BINS, STEEPEST, rate_learn
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.robust_cohort import ADAPT, COUNT, RobustCohort, moved, standardised
from streamgauge.models.detectors.deviation import LARGEST
from streamgauge.models.kernel import kernel

WINSORISED = 3.0  # standard deviations from the mean as which a value is learned at most
NUMBERS = 8  # of a tail, besides its bins
RARE, LEAST = 1e-3, 0.02  # see `TailCalibrator`


class ExtremeValue(RobustCohort):
    """Evidence of the deviation of each field from its running mean: the largest, less ln of the number of fields.

    Densities ask how strange an event is as a whole: one enormous field among many hardly counts there. So this detector is no member
    of the ensemble: its evidence alone can open an incident. It is not good for heavy tails and fields of two values: there it finds too
    many events. The score is ``m / (m + 6)``.

    Parameters
    ----------
    memory : int
        Values of a field that are remembered.
    warmup : int
        Events to learn before anything is scored.

    Notes
    -----
    Grubbs' statistic (Technometrics 11, 1969) of each field with a generalised Pareto tail, and Bonferroni's bound.
    """

    name = "extreme_value"
    half_score = 6.0
    in_nats = True
    apart = True
    ranks = False
    max_fields = 64
    arrays = ("_mean", "_variance", "_seen", "_numbers", "_counts", "_sums", "_above", "_tails")

    def __init__(self, memory: int = 20_000, warmup: int = 128) -> None:
        self.memory = memory
        self.warmup = warmup
        self.learned = 0

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        return 8 * (width * (3 + 3 * BINS + NUMBERS) + 2)

    def _build(self, width: int) -> None:
        self._mean, self._variance, self._seen, self._numbers = (np.zeros(n) for n in (width, width, width, 2))
        self._counts, self._sums, self._above = (np.zeros((width, BINS)) for _ in range(3))
        self._tails = np.zeros((width, NUMBERS))

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        arrays = [getattr(self, name) for name in self.arrays]
        if not learn:  # the kernels learn what they score, so each event is scored on a copy
            each = [self._rated_once(x[None, :], [array.copy() for array in arrays]) for x in X]
            return np.concatenate([m for m, _ in each] or [np.empty(0)]), np.vstack([w for _, w in each] or [X])
        raw_score, weights = self._rated_once(X, arrays)
        self.learned = int(self._numbers[COUNT])
        return raw_score, weights

    def _rated_once(self, X: Floats, arrays: list[Floats]) -> tuple[Floats, Floats]:
        mean, variance, seen, numbers, counts, sums, above, tails = arrays
        before = numbers[COUNT]
        deviations, evidence, raw_score = np.full(X.shape, np.nan), np.zeros(X.shape), np.empty(len(X))
        _deviations(X, mean, variance, seen, numbers, self.warmup, deviations)
        _rarest(
            deviations,
            counts,
            sums,
            above,
            tails,
            self.memory,
            self.warmup,
            -math.log(RARE),
            LEAST,
            evidence,
            raw_score,
        )
        if before < self.warmup:
            raw_score[before + np.arange(len(X)) < self.warmup] = np.nan
        return raw_score, evidence


@kernel
def _deviations(X, mean, variance, seen, numbers, warmup, deviations):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x = X[i, f]
            if math.isnan(x):
                continue
            count = seen[f]
            step = max(1.0 / (count + 1.0), ADAPT)
            z = standardised(x, mean[f], variance[f], count)
            deviations[i, f] = abs(z)
            if count < warmup:
                away = x - mean[f] if abs(x) <= LARGEST else 0.0
            else:
                away = moved(x, min(max(z, -WINSORISED), WINSORISED), mean[f], variance[f])
            mean[f] += step * away
            variance[f] = (1.0 - step) * (variance[f] + step * away * away)
            seen[f] = count + 1.0
        numbers[COUNT] += 1.0


@njit(cache=True)
def _rarest(deviations, counts, sums, above, tails, memory, warmup, rare, least, evidence, raw_score):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    n, width = deviations.shape
    column, each = np.empty(n), np.empty(n)
    asked = np.zeros(n)
    raw_score[:] = 0.0
    for f in range(width):
        for i in range(n):
            column[i] = deviations[i, f]
        rate_learn(column, counts[f], sums[f], above[f], tails[f], memory, warmup, rare, least, STEEPEST, each)
        for i in range(n):
            if not math.isnan(column[i]):
                asked[i] += 1.0
                evidence[i, f] = each[i]
                raw_score[i] = max(raw_score[i], each[i])
    for i in range(n):
        raw_score[i] = max(raw_score[i] - math.log(max(asked[i], 1.0)), 0.0)
