"""Empirical tail: how few past values of each field were as low, or as high."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.robust_cohort import (
    COUNT,
    RobustCohort,
    count_in,
    learn_moments,
    standardised,
    weight_of,
)

BINS = 256  # of each field's histogram, over its standardised values squashed to 0 to 1


class EmpiricalTail(RobustCohort):
    """Mean over the fields of minus the logarithm of the smaller of the two empirical tail probabilities.

    The tails are read from one histogram for each field, of the standardised value ``z`` squashed by ``z / (1 + |z|)``, finest around the
    centre. It is not good for random walks. The score is ``m / (m + 3)``.

    Parameters
    ----------
    memory : int
        When twice as many events have been learned, the past counts half.
    warmup : int
        Events to learn before anything is scored.

    Notes
    -----
    As in ECOD (Li et al., ECOD: unsupervised outlier detection using empirical cumulative distribution functions, 2022), but
    learned online and with the rarer tail of each field.
    """

    name: ClassVar[str] = "empirical_tail"
    arrays: ClassVar[tuple[str, ...]] = ("_mean", "_variance", "_seen", "_counts", "_totals", "_numbers")

    def __init__(self, memory: int = 20_000, warmup: int = 128) -> None:
        self.memory = memory
        self.warmup = warmup
        self.learned = 0

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        return 8 * width * (BINS + 4)

    def _build(self, width: int) -> None:
        self._mean, self._variance, self._seen, self._numbers = (np.zeros(n) for n in (width, width, width, 2))
        self._counts, self._totals = np.zeros((width, BINS)), np.zeros(width)

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        raw_score, weights = np.empty(len(X)), np.zeros(X.shape)
        _rate(
            X,
            self._mean,
            self._variance,
            self._seen,
            self._counts,
            self._totals,
            self._numbers,
            self.learned,
            self.warmup,
            self.memory,
            learn,
            raw_score,
            weights,
        )
        self.learned += len(X) if learn else 0
        return raw_score, weights


@njit(cache=True)
def _rate(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    X, mean, variance, seen, counts, totals, numbers, learned, warmup, memory, learn, raw_score, weights
):
    width = X.shape[1]
    z, bins = np.zeros(width), np.zeros(width, np.int64)
    for i in range(X.shape[0]):
        known, total = 0, 0.0
        rated = learned + i >= warmup
        for j in range(width):
            bins[j] = -1
            if math.isnan(X[i, j]):
                continue
            known += 1
            z[j] = standardised(X[i, j], mean[j], variance[j], seen[j])
            bins[j] = int((0.5 + 0.5 * z[j] / (1.0 + abs(z[j]))) * (BINS - 1) + 0.5)
            if rated:
                own = 0.5 * counts[j, bins[j]]
                below = own
                for b in range(bins[j]):
                    below += counts[j, b]
                tail = min(below, totals[j] - below) + 0.5
                weights[i, j] = max(0.0, -math.log(2.0 * tail / (totals[j] + 1.0)))
                total += weights[i, j]
        rated = rated and known > 0
        raw_score[i] = total / known if rated else math.nan
        if not learn or known == 0:
            continue
        weight = weight_of(raw_score[i], numbers, learned + i - warmup, 4.0) if rated else 1.0
        numbers[COUNT] += 1.0
        learn_moments(X[i], z, mean, variance, seen, weight, 1.0 / memory)
        for j in range(width):
            if bins[j] >= 0:
                totals[j] = count_in(counts[j], totals[j], bins[j], weight, memory)
