"""Forecast residual: what an autoregression, learned value by value, did not forecast."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.detectors.entity.entity_detector import EntityDetector

ANCHOR, SPREAD, ERROR, NUMBERS = (
    1,
    2,
    3,
    4,
)  # first value; mean absolute value and residual; then lags, weights and their covariance
CLIP = 5.0  # a residual is learned as so many usual ones at most
PRIOR = 100.0  # of the weights' covariance
WIDEST = 1e4  # trace of that covariance, for each weight, beyond which nothing is forgotten
LEAST = (
    1e-4  # of the usual size of the values: a usual residual is never taken as smaller, so that rounding is no anomaly
)
MOST = 1000.0  # usual residuals that a deviation counts at most
FAR = 1e4  # usual sizes beyond which a value is no input of the next forecasts


class ForecastResidual(EntityDetector):
    """Residual of a linear forecast from the last `lags` values, in usual residuals.

    The weights are learned by recursive least squares with forgetting. Where the last values say nothing new, nothing is forgotten: the
    weights' covariance would grow without end. A usual residual is taken as at least a ten-thousandth of the usual size of the values,
    and a residual counts as at most a thousand usual ones: a signal without noise stays finite. The score is ``m / (m + 4)``.

    It is good for signals that follow from their last values. It sees no slow change, as it follows it, and is not
    good for values of two kinds.

    Parameters
    ----------
    lags : int
        Values that the forecast is made from.
    forget : float
        Weight of the past at each step, below 1.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Recursive least squares: Haykin, Adaptive filter theory, 2002, chapter 9.
    """

    name: ClassVar[str] = "forecast_residual"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    half_score: ClassVar[float] = 4.0

    def __init__(self, lags: int = 4, forget: float = 0.998, warmup: int = 50) -> None:
        self.lags = lags
        self.forget = forget
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        p = self.lags + 1
        return NUMBERS + self.lags + p + p * p

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        deviations, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _forecast(state, rows, X, self.lags, self.forget, self.warmup, learn, deviations, expected)
        return deviations, expected


@njit(cache=True, inline="always")
def _regress(weights, P, u, k, p, forget, error, unit):  # type: ignore[no-untyped-def]
    """A step of recursive least squares: `P` is the weights' covariance, row after row, `error` that of the forecast."""
    trace, least = 0.0, math.inf
    for j in range(p):
        trace += P[j * p + j]
        least = min(least, P[j * p + j])
    if not (least > 0.0 and trace < math.inf):  # the start, or rounding has made it no covariance: begin again
        P[: p * p] = 0.0
        trace = p * PRIOR
        for j in range(p):
            P[j * p + j] = PRIOR
    if trace > p * WIDEST:
        forget = 1.0
    below = forget
    for a in range(p):
        k[a] = 0.0
        for b in range(p):
            k[a] += P[a * p + b] * u[b]
        below += u[a] * k[a]
    if not (0.0 < below < math.inf):
        P[: p * p] = 0.0
        return
    for a in range(p):
        weights[a] += k[a] / below * error / unit
        for b in range(a + 1):
            P[a * p + b] = (P[a * p + b] - k[a] * k[b] / below) / forget
            P[b * p + a] = P[a * p + b]


@njit(cache=True)
def _forecast(state, rows, X, lags, forget, warmup, learn, deviations, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    p = lags + 1
    u, k = np.empty(p), np.empty(p)
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            count = cell[0]
            anchor = x if count == 0.0 else cell[ANCHOR]
            value, spread = x - anchor, cell[SPREAD]
            unit = spread if spread > ROUNDING * abs(anchor) else 0.0  # less is rounding
            last = cell[NUMBERS : NUMBERS + lags]
            weights, P = cell[NUMBERS + lags : NUMBERS + lags + p], cell[NUMBERS + lags + p :]
            u[lags] = 1.0
            foreseen = 0.0
            if unit > 0.0:
                for j in range(lags):
                    u[j] = last[j] / unit
                for j in range(p):
                    foreseen += weights[j] * u[j]
            foreseen = min(max(foreseen, -FAR), FAR) * unit
            error = value - foreseen
            if count >= warmup:
                expected[i, f] = anchor + foreseen
                deviations[i, f] = 0.0
                usual = max(cell[ERROR], LEAST * unit)
                if usual > ROUNDING * abs(anchor):
                    deviations[i, f] = min(max(error / usual, -MOST), MOST)
                elif error != 0.0:
                    deviations[i, f] = math.copysign(math.sqrt(count), error)
            if not learn:
                continue
            if count >= warmup and cell[ERROR] > 0.0:
                error = min(max(error, -CLIP * cell[ERROR]), CLIP * cell[ERROR])
            if count >= lags and unit > 0.0:
                _regress(weights, P, u, k, p, forget, error, unit)
                cell[ERROR] += max(1.0 / (count - lags + 1.0), 0.005) * (abs(error) - cell[ERROR])
            size = min(abs(value), 10.0 * spread) if count >= warmup and spread > 0.0 else abs(value)
            cell[SPREAD] = spread + (size - spread) / (count + 1.0)
            for j in range(lags - 1, 0, -1):
                last[j] = last[j - 1]
            last[0] = min(max(value, -FAR * spread), FAR * spread) if count > 0.0 and spread > 0.0 else value
            cell[0], cell[ANCHOR] = count + 1.0, anchor
