"""Online Gaussian mixture: how low the density of a few normal distributions, learned event by event, is at an event."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.robust_cohort import (
    COUNT,
    RobustCohort,
    learn_moments,
    standardised,
    weight_of,
)

LEAST_VARIANCE = 0.01  # of a component, in variances of the column


class OnlineGaussianMixture(RobustCohort):
    """Mean over the columns of minus the logarithm of a mixture's density, with diagonal covariances.

    Columns are standardised by their running mean and deviation; the components start at events of the warm-up that are far from each
    other, and follow by stochastic expectation-maximisation. The raw score is 0 where the density can be no higher. The score is ``m /
    (m + 3)``.

    Parameters
    ----------
    components : int
        Normal distributions.
    gain : float
        Least step of a component.
    warmup : int
        Events to learn before anything is scored.

    Notes
    -----
    Cappe and Moulines, On-line expectation-maximization algorithm for latent data models, JRSS B 71, 2009.
    """

    name: ClassVar[str] = "online_gaussian_mixture"
    arrays: ClassVar[tuple[str, ...]] = ("_mean", "_variance", "_shares", "_centres", "_spreads", "_numbers")

    def __init__(self, components: int = 4, gain: float = 0.002, warmup: int = 128) -> None:
        self.components = components
        self.gain = gain
        self.warmup = warmup
        self.learned = 0

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        return 8 * width * (2 + 2 * cls(**settings).components)

    def _build(self, width: int) -> None:
        self._mean, self._variance, self._numbers = np.zeros(width), np.zeros(width), np.zeros(2)
        self._shares = np.zeros(self.components)
        self._centres, self._spreads = np.zeros((self.components, width)), np.ones((self.components, width))

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        raw_score, weights = np.empty(len(X)), np.zeros(X.shape)
        _rate(
            X,
            self._mean,
            self._variance,
            self._shares,
            self._centres,
            self._spreads,
            self._numbers,
            self.learned,
            self.warmup,
            self.gain,
            learn,
            raw_score,
            weights,
        )
        self.learned += len(X) if learn else 0
        return raw_score, weights


@njit(cache=True, inline="always")
def _log_densities(X, i, z, shares, centres, spreads, logs):  # type: ignore[no-untyped-def]
    """Logarithm of each component's density at an event; returns the number of the likeliest component."""
    top = 0
    for k in range(len(shares)):
        logs[k] = math.log(shares[k]) if shares[k] > 0.0 else -1e9
        for j in range(X.shape[1]):
            if not math.isnan(X[i, j]):
                away = z[j] - centres[k, j]
                logs[k] -= 0.5 * away * away / spreads[k, j] + 0.5 * math.log(spreads[k, j] / LEAST_VARIANCE)
        if logs[k] > logs[top]:
            top = k
    return top


@njit(cache=True, inline="always")
def _start(z, shares, centres, spreads):  # type: ignore[no-untyped-def]
    """Let the first component that is not used yet start at an event."""
    components = len(shares)
    for k in range(components):
        if shares[k] == 0.0:
            shares[:] *= 1.0 - 1.0 / components
            shares[k] = 1.0 / components
            centres[k], spreads[k] = z, 1.0
            break


@njit(cache=True, inline="always")
def _follow(X, i, z, logs, likelihood, weight, step, shares, centres, spreads):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    """Move each component towards an event, by the part that it has in the event's likelihood (best logarithm, sum over it)."""
    best, total = likelihood
    for k in range(len(shares)):
        part = weight * math.exp(logs[k] - best) / total
        shares[k] += step * (part - weight * shares[k])
        if shares[k] > 0.0:
            rate = min(step * part / shares[k], 0.5)
            for j in range(X.shape[1]):
                if not math.isnan(X[i, j]):
                    away = z[j] - centres[k, j]
                    centres[k, j] += rate * away
                    spreads[k, j] = max((1.0 - rate) * (spreads[k, j] + rate * away * away), LEAST_VARIANCE)


@njit(cache=True)
def _rate(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    X, mean, variance, shares, centres, spreads, numbers, learned, warmup, least, learn, raw_score, weights
):
    width, components = X.shape[1], shares.shape[0]
    z, logs = np.zeros(width), np.zeros(components)
    for i in range(X.shape[0]):
        known = 0
        for j in range(width):
            z[j] = standardised(X[i, j], mean[j], variance[j], numbers[COUNT])
            known += not math.isnan(X[i, j])
        rated = learned + i >= warmup and known > 0
        top = _log_densities(X, i, z, shares, centres, spreads, logs)
        best, total = logs[top], 0.0
        for k in range(components):
            total += math.exp(logs[k] - best)
        raw_score[i] = math.nan
        if rated:
            raw_score[i] = max(0.0, -(best + math.log(total)) / known)
            for j in range(width):
                if not math.isnan(X[i, j]):
                    away = z[j] - centres[top, j]
                    weights[i, j] = 0.5 * away * away / spreads[top, j]
        if not learn or known == 0:
            continue
        weight = weight_of(raw_score[i], numbers, learned + i - warmup, 2.0) if rated else 1.0
        column = weight * max(1.0 / (numbers[COUNT] + 1.0), 1e-4)
        numbers[COUNT] += 1.0
        spare = learned + i < warmup and shares[components - 1] == 0.0 and learned + i >= warmup // 4
        if spare and best < -4.0 * known:  # far from all components
            _start(z, shares, centres, spreads)
        elif shares[0] == 0.0:
            shares[0] = 1.0
        else:
            step = max(least, 1.0 / (learned + i + 1.0))
            _follow(X, i, z, logs, (best, total), weight, step, shares, centres, spreads)
        learn_moments(X[i], z, mean, variance, column)
