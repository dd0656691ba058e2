"""Online Gaussian mixture: how low the density of a few normal distributions, learned event by event, is at an event."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

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
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import unpack

LEAST_VARIANCE = 1e-3  # of a component, in variances of the column
RECENT = 256  # usual events that are kept: the mixture starts from them, and is compared with a new one of them
REVIEW = 1024  # events between two such comparisons
PRIOR = 0.1  # weight of the columns' own variance in that of a component, in events
STARTS, ROUNDS = 3, 20  # of expectation-maximisation at the start; at a review there is one start


class OnlineGaussianMixture(RobustCohort):
    """Mean over the columns of minus the logarithm of a mixture's density, with diagonal covariances.

    Columns are standardised by their running mean and deviation. At the end of the warm-up, the mixture is fitted to the events so far
    by expectation-maximisation, which starts at events far from each other (k-means++). From then on it follows each event by a step
    of stochastic expectation-maximisation. Every 1,024 events, a new mixture is fitted to the last 256 usual events, and takes the
    place of the old one if these events are clearly likelier in it: so a component is born again where events have come together
    since. The raw score is 0 where the density can be no higher. The score is ``m / (m + 3)``.

    It is good for events in several clusters, between which nothing is usual. It is not good for fields that depend on each other
    within a cluster, as the covariances are diagonal: use `mahalanobis`, or train a `gaussian_mixture`.
    Nor is it good for fields of two values.

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
    Cappe and Moulines, On-line expectation-maximization algorithm for latent data models, JRSS B 71, 2009; the start: Arthur and
    Vassilvitskii, k-means++, SODA 2007.
    """

    name: ClassVar[str] = "online_gaussian_mixture"
    state_version: ClassVar[int] = 2
    arrays: ClassVar[tuple[str, ...]] = (
        "_mean",
        "_variance",
        "_seen",
        "_shares",
        "_centres",
        "_spreads",
        "_numbers",
        "_recent",
    )

    def __init__(self, components: int = 4, gain: float = 0.002, warmup: int = 128) -> None:
        self.components = components
        self.gain = gain
        self.warmup = warmup
        self.learned = 0

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        return 8 * width * (3 + 2 * RECENT + 6 * cls(**settings).components)

    @classmethod
    def from_state(cls, state: bytes) -> Self:
        """See `Detector`; a state of format 1, whose mixture was not one, starts from the beginning."""
        try:
            meta, _ = unpack(state, cls.name, 1)
        except StateError:
            return super().from_state(state)
        return cls(**meta["settings"])

    def _build(self, width: int) -> None:
        # numbers: see `RobustCohort`; the third counts the events that were put into `_recent`
        self._mean, self._variance, self._seen, self._numbers = (np.zeros(n) for n in (width, width, width, 3))
        self._shares = np.zeros(self.components)
        self._centres, self._spreads = np.zeros((self.components, width)), np.ones((self.components, width))
        self._recent = np.full((RECENT, width), np.nan)

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        raw_score, weights = np.empty(len(X)), np.zeros(X.shape)
        start = 0
        while start < len(X):
            stop = len(X)
            if learn:  # up to the next fit
                wait = self.warmup if self.learned < self.warmup else self.learned + REVIEW - self.learned % REVIEW
                stop = min(stop, start + wait - self.learned)
            part = slice(start, stop)
            _rate(
                X[part],
                self._mean,
                self._variance,
                self._seen,
                self._shares,
                self._centres,
                self._spreads,
                self._numbers,
                self._recent,
                self.learned,
                self.warmup,
                self.gain,
                learn,
                raw_score[part],
                weights[part],
            )
            if learn:
                self.learned += stop - start
                if self.learned == self.warmup:
                    self._fit(STARTS)
                elif self.learned > self.warmup and self.learned % REVIEW == 0:
                    self._fit(1)
            start = stop
        return raw_score, weights

    def _fit(self, starts: int) -> None:
        """Fit mixtures to the recent usual events, and take the likeliest where it is clearly likelier than the one in use."""
        assert self._mean is not None
        rows = self._recent[: min(int(self._numbers[2]), RECENT)]
        if not len(rows):
            return
        Z = _standardised(rows, self._mean, self._variance, self._seen)
        best = -math.inf
        if self._shares.any():
            # what a fit to so few events gains by chance, twice
            best = _likelihood(Z, self._shares, self._centres, self._spreads)
            best += 0.1 + 2.0 * self._spreads.size / len(rows)
        for k in range(starts):
            shares, centres, spreads = (
                np.zeros_like(self._shares),
                np.zeros_like(self._centres),
                np.ones_like(self._spreads),
            )
            likelihood = _fitted(Z, self.learned + k, shares, centres, spreads)
            if likelihood > best:
                best = likelihood
                self._shares, self._centres, self._spreads = shares, centres, spreads


@njit(cache=True, inline="always")
def _log_densities(z, shares, centres, spreads, logs):  # type: ignore[no-untyped-def]
    """Logarithm of each component's density at an event; returns the number of the likeliest component, and that of the whole."""
    top = 0
    for k in range(len(shares)):
        logs[k] = math.log(shares[k]) if shares[k] > 0.0 else -1e9
        for j in range(len(z)):
            if not math.isnan(z[j]):
                away = z[j] - centres[k, j]
                logs[k] -= 0.5 * away * away / spreads[k, j] + 0.5 * math.log(spreads[k, j] / LEAST_VARIANCE)
        if logs[k] > logs[top]:
            top = k
    total = 0.0
    for k in range(len(shares)):
        total += math.exp(logs[k] - logs[top])
    return top, logs[top] + math.log(total)


@njit(cache=True)
def _standardised(X, mean, variance, seen):  # type: ignore[no-untyped-def]
    """Standardised events, float64[n, d]; NaN stays."""
    Z = np.empty(X.shape)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            missing = math.isnan(X[i, j])
            Z[i, j] = math.nan if missing else standardised(X[i, j], mean[j], variance[j], seen[j])
    return Z


@njit(cache=True)
def _likelihood(Z, shares, centres, spreads):  # type: ignore[no-untyped-def]
    """Mean logarithm of the density."""
    logs, total = np.zeros(len(shares)), 0.0
    for i in range(Z.shape[0]):
        total += _log_densities(Z[i], shares, centres, spreads, logs)[1]
    return total / Z.shape[0]


@njit(cache=True)
def _seeds(Z, seed, centres):  # type: ignore[no-untyped-def]
    """Fill in centres: events drawn by their squared distance from the nearest centre so far; the best of three draws counts."""
    n, d = Z.shape
    number = np.uint64(seed) * np.uint64(2862933555777941757) + np.uint64(3037000493)
    nearest, tried, best = np.full(n, 1.0), np.empty(n), np.empty(n)
    for k in range(centres.shape[0]):
        least = math.inf
        for _ in range(3 if k else 1):
            number = number * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            left = (number >> np.uint64(11)) / 9007199254740992.0 * nearest.sum()
            chosen = 0
            while chosen < n - 1 and left >= nearest[chosen]:
                left -= nearest[chosen]
                chosen += 1
            for i in range(n):
                square = 0.0
                for j in range(d):
                    if not (math.isnan(Z[i, j]) or math.isnan(Z[chosen, j])):
                        square += (Z[i, j] - Z[chosen, j]) ** 2
                tried[i] = min(square, nearest[i]) if k else square
            if tried.sum() < least:
                least = tried.sum()
                best[:] = tried
                for j in range(d):
                    centres[k, j] = 0.0 if math.isnan(Z[chosen, j]) else Z[chosen, j]
        nearest[:] = best


@njit(cache=True)
def _fitted(Z, seed, shares, centres, spreads):  # type: ignore[no-untyped-def]
    """Fit a mixture by expectation-maximisation into the last three arguments; returns its mean logarithm of the density."""
    n, d = Z.shape
    components = len(shares)
    _seeds(Z, seed, centres)
    shares[:] = 1.0 / components
    spreads[:] = 1.0 / components
    logs, parts = np.zeros(components), np.zeros((n, components))
    for _ in range(ROUNDS):
        for i in range(n):
            whole = _log_densities(Z[i], shares, centres, spreads, logs)[1]
            for k in range(components):
                parts[i, k] = math.exp(logs[k] - whole)
        for k in range(components):
            shares[k] = parts[:, k].sum() / n
            for j in range(d):
                weight, total, square = 0.0, 0.0, 0.0
                for i in range(n):
                    if not math.isnan(Z[i, j]):
                        weight += parts[i, k]
                        total += parts[i, k] * Z[i, j]
                if weight <= 1e-9:
                    continue
                centres[k, j] = total / weight
                for i in range(n):
                    if not math.isnan(Z[i, j]):
                        square += parts[i, k] * (Z[i, j] - centres[k, j]) ** 2
                spreads[k, j] = max((square + PRIOR / components) / (weight + PRIOR), LEAST_VARIANCE)
    return _likelihood(Z, shares, centres, spreads)


@njit(cache=True, inline="always")
def _follow(z, logs, whole, weight, step, shares, centres, spreads):  # type: ignore[no-untyped-def]
    """Move each component towards an event, by the part that it has in the event's likelihood."""
    for k in range(len(shares)):
        part = weight * math.exp(logs[k] - whole)
        shares[k] += step * (part - weight * shares[k])
        if shares[k] > 0.0:
            rate = min(step * part / shares[k], 0.5)
            for j in range(len(z)):
                if not math.isnan(z[j]):
                    away = z[j] - centres[k, j]
                    centres[k, j] += rate * away
                    spreads[k, j] = max((1.0 - rate) * (spreads[k, j] + rate * away * away), LEAST_VARIANCE)


@njit(cache=True)
def _rate(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    X,
    mean,
    variance,
    seen,
    shares,
    centres,
    spreads,
    numbers,
    recent,
    learned,
    warmup,
    least,
    learn,
    raw_score,
    weights,
):
    width = X.shape[1]
    z, logs = np.zeros(width), np.zeros(len(shares))
    fitted = shares.sum() > 0.0
    for i in range(X.shape[0]):
        known = 0
        for j in range(width):
            missing = math.isnan(X[i, j])
            z[j] = math.nan if missing else standardised(X[i, j], mean[j], variance[j], seen[j])
            known += not missing
        raw_score[i] = math.nan
        top, whole = 0, 0.0
        if fitted and known > 0:
            top, whole = _log_densities(z, shares, centres, spreads, logs)
            raw_score[i] = max(0.0, -whole / known)
            for j in range(width):
                if not math.isnan(z[j]):
                    away = z[j] - centres[top, j]
                    weights[i, j] = 0.5 * away * away / spreads[top, j]
        if not learn or known == 0:
            continue
        weight = weight_of(raw_score[i], numbers, learned + i - warmup, 2.0) if fitted else 1.0
        numbers[COUNT] += 1.0
        if weight > 0.5:
            recent[int(numbers[2]) % len(recent)] = X[i]
            numbers[2] += 1.0
        if fitted:
            _follow(z, logs, whole, weight, max(least, 1.0 / (learned + i + 1.0)), shares, centres, spreads)
        learn_moments(X[i], z, mean, variance, seen, weight, 1e-4)
