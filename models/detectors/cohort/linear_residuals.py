"""What detectors of broken relations between fields have in common: a running covariance, and residuals linear in the values."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.robust_cohort import ADAPT, COUNT, RobustCohort, moved, standardised, weight_of
from streamgauge.models.kernel import kernel

REFRESH = 128  # events between computations of the residuals' matrix
SETTLE = 32  # events after the first matrix until the usual size of residuals is known


class LinearResiduals(RobustCohort):
    """Running mean and covariance of all columns; residuals ``A z`` of the standardised event ``z``.

    A field is rated once `warmup` of its values were learned. A missing value leaves its column as it is: each covariance is learned from
    the events that have both values.

    Parameters
    ----------
    ridge : float
        Added to the diagonal of the correlation matrix.
    gain : float
        Least weight of a new event; until then, all events of the past weigh the same.
    warmup : int
        Events to learn before anything is scored; the first matrix is computed 32 events earlier.

    Attributes
    ----------
    lagged : bool
        Whether the second half of the columns are the values of the event before.
    pooled : int
        The raw score is the mean of so many of the largest residuals, each divided by three times its usual size. If 0, it is the root
        of the mean squared residual. Missing values have no residual.
    """

    lagged: ClassVar[bool] = False
    pooled: ClassVar[int] = 3
    arrays: ClassVar[tuple[str, ...]] = ("_mean", "_seen", "_cov", "_scale", "_numbers", "_matrix", "_last")

    def __init__(self, ridge: float = 0.1, gain: float = 1e-4, warmup: int = 128) -> None:
        self.ridge = ridge
        self.gain = gain
        self.warmup = warmup
        self.learned = 0
        self._last: Floats | None = None

    @staticmethod
    @abstractmethod
    def residuals(correlation: Floats, fields: int, ridge: float) -> Floats:
        """The matrix A.

        Parameters
        ----------
        correlation : float64[w, w]
        fields : int
            The first columns; where `lagged`, the others are the values of the event before.
        ridge : float

        Returns
        -------
        float64[fields, w]
        """

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        return 8 * 5 * width * width  # covariance, its counts, matrix, and two more while the matrix is computed

    def widen(self, width: int) -> None:  # noqa: D102
        mean, seen, cov, scale, numbers = self._mean, self._seen, self._cov, self._scale, self._numbers
        assert mean is not None
        self._last = None
        self._build(width)
        place, fields = np.arange(len(mean)), len(scale)
        if self.lagged:
            place[fields:] += width // 2 - fields
        self._mean = np.zeros(width)
        self._mean[place] = mean
        self._seen[np.ix_(place, place)], self._cov[np.ix_(place, place)] = seen, cov
        self._scale[:fields], self._numbers[:] = scale, numbers
        self._refresh()

    def _build(self, width: int) -> None:
        fields = width // 2 if self.lagged else width
        self._mean, self._seen, self._cov = np.zeros(width), np.zeros((width, width)), np.zeros((width, width))
        self._scale, self._numbers = np.zeros(fields), np.zeros(2)
        self._matrix = np.zeros((fields, width))

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        raw_score, weights = np.empty(len(X)), np.zeros((len(X), len(self._scale)))
        start = 0
        while start < len(X):
            stop = len(X)
            if learn:
                first = self.warmup - SETTLE
                wait = first - self.learned if self.learned < first else REFRESH - self.learned % REFRESH
                stop = min(stop, start + wait)
            part = slice(start, stop)
            _rate(
                X[part],
                self._mean,
                self._seen,
                self._cov,
                self._scale,
                self._numbers,
                self._matrix,
                self.learned,
                self.warmup,
                self.gain,
                self.pooled,
                learn,
                raw_score[part],
                weights[part],
            )
            if learn:
                self.learned += stop - start
                if self.learned == self.warmup - SETTLE or (self.learned > self.warmup and self.learned % REFRESH == 0):
                    self._refresh()
            start = stop
        return raw_score, weights

    def _refresh(self) -> None:
        deviation = np.sqrt(np.diag(self._cov))
        scale = np.where(deviation > 0.0, deviation, 1.0)
        # what few events say of a pair is chance
        correlation = np.where(self._seen >= self.warmup - SETTLE, self._cov / np.outer(scale, scale), 0.0)
        np.fill_diagonal(correlation, 1.0)
        correlation = positive(correlation, self.ridge)
        self._matrix = np.ascontiguousarray(self.residuals(correlation, len(self._scale), self.ridge))

    def _fields(self) -> int | None:
        return None if self._mean is None else len(self._scale)

    def _columns_of(self, X: Floats, forward: bool) -> Floats:
        """The rows, each with the row before it."""
        if not self.lagged:
            return X
        last = X[:1] if self._last is None else self._last[None, :]
        before = np.concatenate((last, X[:-1]))[: len(X)] if forward else np.repeat(last, len(X), axis=0)
        if forward and len(X):
            self._last = X[-1].copy()
        return np.concatenate((X, before), axis=1)


def positive(correlation: Floats, ridge: float) -> Floats:
    """A correlation matrix that can be inverted with a ridge: without negative eigenvalues.

    It has some only where fields are known together in different events.
    """
    try:
        np.linalg.cholesky(correlation + 0.5 * ridge * np.eye(len(correlation)))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlation)
        return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
    return correlation


@kernel
def _learn_pairs(x, delta, weight, least, mean, seen, cov):  # type: ignore[no-untyped-def]
    """Learn an event, `delta` off the mean, into the means and covariances of the columns that it has."""
    for j in range(len(x)):
        if math.isnan(x[j]):
            continue
        mean[j] += weight * max(1.0 / (seen[j, j] + 1.0), least) * delta[j]
        for k in range(j + 1):
            if not math.isnan(x[k]):
                gain = weight * max(1.0 / (seen[j, k] + 1.0), least)
                cov[j, k] = cov[k, j] = (1.0 - gain) * (cov[j, k] + gain * delta[j] * delta[k])
                seen[j, k] = seen[k, j] = seen[j, k] + 1.0


@njit(cache=True)
def _rate(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    X, mean, seen, cov, scale, numbers, matrix, learned, warmup, least, pooled, learn, raw_score, weights
):
    width, fields = X.shape[1], scale.shape[0]
    z, delta, size, residual = np.zeros(width), np.zeros(width), np.zeros(fields), np.zeros(fields)
    for i in range(X.shape[0]):
        known, rated_fields = 0, 0
        for j in range(width):
            z[j] = standardised(X[i, j], mean[j], cov[j, j], seen[j, j])
            delta[j] = moved(X[i, j], z[j], mean[j], cov[j, j])
            if j < fields and not math.isnan(X[i, j]):
                known += 1
                rated_fields += seen[j, j] >= warmup
        raw_score[i] = math.nan
        total = 0.0
        for k in range(fields):
            residual[k] = size[k] = 0.0
            if not math.isnan(X[i, k]):
                for j in range(width):
                    residual[k] += matrix[k, j] * z[j]
                residual[k] = abs(residual[k])
                if seen[k, k] >= warmup:
                    size[k] = residual[k] / (3.0 * scale[k] + 0.02) if pooled > 0 else residual[k]
            weights[i, k] = size[k] * size[k]
            total += weights[i, k]
        rated = learned + i >= warmup and rated_fields > 0
        if rated and pooled == 0:
            raw_score[i] = math.sqrt(total / rated_fields)
        elif rated:
            top = np.sort(size) if fields > pooled else size
            raw_score[i] = top[max(0, fields - pooled) :].sum() / min(rated_fields, pooled)
        if not learn or known == 0:
            continue
        weight = weight_of(raw_score[i], numbers, learned + i - warmup, 2.0) if rated else 1.0
        numbers[COUNT] += 1.0
        for k in range(fields):
            since = seen[k, k] - (warmup - SETTLE)  # values since the field's residuals are known
            if since >= 0.0 and not math.isnan(X[i, k]):
                limited = residual[k]
                if since >= SETTLE and scale[k] > 0.0:  # 0 where the field never varied until now
                    limited = min(residual[k], 5.0 * scale[k])
                scale[k] += weight * max(1.0 / (1.0 + since), ADAPT) * (limited - scale[k])
        _learn_pairs(X[i], delta, weight, least, mean, seen, cov)
