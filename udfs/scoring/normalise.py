"""Fields to features in [0, 1]: each entity's own robust normalisation, so that a cohort model can compare entities."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.detectors.deviation import deviation_of
from streamgauge.udfs.settings.pipeline import FeaturizeSettings

# numbers for each entity and field: count, centre, variance, last value, short mean, a value some time ago, lowest and highest usual
# one, whether it began with its cohort's prior
WIDTH = 9
PRIOR = 5  # numbers of the cohort's prior for each field: values, mean, variance, entities past their warm-up, variance within entities
COHORT = 8.0  # entities that make a prior
TRUSTED = 3.0  # values that the prior's variance counts as
FOLLOWS = 1e-4  # least weight of a value in the prior
AGO = 64  # values between two that are kept as the one some time ago
CHANNELS = 3  # features of each field: level, change, short mean
CLIP = 3.0  # a value moves centre and scale by at most this many standard deviations


def featurize(
    state: Floats,
    rows: Ints,
    X: Floats,
    settings: FeaturizeSettings,
    changes: Floats,
    prior: Floats,
    held: Flags | None = None,
) -> tuple[Floats, Flags, Flags]:
    """Normalise events in row order and learn from them.

    Each field gives three features: its level, its change from the last value, and its short rolling mean, in
    robust standard deviations of the entity's own past, squashed to [0, 1] with 0.5 the usual. Values beyond three
    standard deviations are learned as if they were at three (winsorised).

    The first value of a new entity is compared with the values of all others; from then on it has a centre of its own, and the others'
    variance within an entity, counted as three values.

    Parameters
    ----------
    state : float64[entities, d, 9]
        Changed in place.
    rows : int64[n]
    X : float64[n, d]
    settings : FeaturizeSettings
    changes : float64[2]
        Change of a value from the last one, and from one some time ago, are added to; squashed.
    prior : float64[d, 5]
        Of the cohort; changed in place.
    held : bool[n], optional
        Events that are not learned; they count as the last ones all the same.

    Returns
    -------
    features : float64[n, 3 d]
        NaN where a value is missing, or the entity too new.
    steady : bool[n, d]
        Whether the value is a change of a field that never varied before.
    known : bool[n, d]
        Whether the value lies between the lowest and the highest that are usual for the entity: one value stretches that range
        by a standard deviation at most.
    """
    steady, known = np.zeros(X.shape, np.bool_), np.zeros(X.shape, np.bool_)
    features = np.empty((len(X), CHANNELS * X.shape[1]))
    gain = 1.0 - 0.5 ** (1.0 / settings.half_life)
    _featurize(state, rows, X, gain, 2.0 / (settings.short + 1.0), settings.warmup, features, changes, steady, known,
        prior, np.zeros(len(X), np.bool_) if held is None else held,
    )  # fmt: skip
    return features, steady, known


def unsquashed(features: Floats) -> Floats:
    """Features back in robust standard deviations, from -20 to 20."""
    deviations: Floats = _unsquash(features)
    return deviations


@njit(cache=True)
def _squash(value: float) -> float:
    return 0.5 + 0.5 * value / (abs(value) + CLIP)


@njit(cache=True)
def _learn_prior(pool, x, delta, count, warmup):  # type: ignore[no-untyped-def]
    """The cohort learns from a value of an entity that is past its warm-up."""
    pool[3] += count < warmup + 1.0
    apart, pooled = x - pool[1], math.sqrt(pool[2])
    if pool[0] >= warmup and pooled > 0.0:
        apart = min(max(apart, -CLIP * pooled), CLIP * pooled)
    step = max(1.0 / (pool[0] + 1.0), FOLLOWS)
    pool[0] += 1.0
    pool[1] += step * apart
    pool[2] = (1.0 - step) * (pool[2] + step * apart * apart)
    pool[4] += step * (delta * delta - pool[4])


@njit(cache=True)
def _featurize(state, rows, X, least, short_gain, warmup, features, changes, steady, known, prior, held):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            for channel in range(CHANNELS):
                features[i, CHANNELS * f + channel] = math.nan
            x = X[i, f]
            if math.isnan(x):
                continue
            cell = state[rows[i], f]
            count, centre, variance, last, short = cell[0], cell[1], cell[2], cell[3], cell[4]
            primed = count == 0.0 and prior[f, 3] >= COHORT
            if primed:
                count, centre, variance, cell[8] = TRUSTED, prior[f, 1], prior[f, 2], 1.0
                last = short = cell[5] = x
                usual = 2.0 * math.sqrt(variance)
                cell[6], cell[7] = centre - usual, centre + usual
            elif count == 0.0:
                centre = last = short = cell[6] = cell[7] = x
            known[i, f] = cell[6] <= x <= cell[7]
            if primed:
                cell[6] = cell[7] = x
            delta = x - centre
            scale = deviation_of(variance, centre)
            steady[i, f] = scale == 0.0 and count > 0.0 and delta != 0.0
            short += short_gain * (x - short)
            if count >= warmup or cell[8] > 0.0:
                # a field that never varied: the unit is what makes the first change worth sqrt(count) deviations
                unit = scale if scale > 0.0 else max(abs(delta), abs(x - last), 1e-300) / math.sqrt(count)
                features[i, CHANNELS * f] = _squash(delta / unit)
                features[i, CHANNELS * f + 1] = _squash((x - last) / unit)
                changes[0] += abs(features[i, CHANNELS * f + 1] - 0.5)
                changes[1] += abs(_squash((x - cell[5]) / unit) - 0.5)
                features[i, CHANNELS * f + 2] = _squash((short - centre) / unit)
                if scale > 0.0 and count >= warmup:
                    delta = min(max(delta, -CLIP * scale), CLIP * scale)
            if held[i]:
                cell[3], cell[4] = x, short
                continue
            if count >= warmup:
                _learn_prior(prior[f], x, delta, count, warmup)
            stretch = scale if count >= warmup and scale > 0.0 else math.inf
            if x < cell[6]:
                cell[6] = max(x, cell[6] - stretch)
            elif x > cell[7]:
                cell[7] = min(x, cell[7] + stretch)
            cell[6] += least * (centre - cell[6])
            cell[7] += least * (centre - cell[7])
            gain = max(1.0 / (count + 1.0), least)
            cell[0] = count + 1.0
            cell[1] = x if primed else centre + gain * delta
            cell[2] = prior[f, 4] if primed else (1.0 - gain) * (variance + gain * delta * delta)
            cell[3] = x
            cell[4] = short
            if count % AGO == 0.0:
                cell[5] = x


def distances(features: Floats) -> Floats:
    """How far events are from what is usual for their entities, over all fields, in robust standard deviations, float64[n].

    Parameters
    ----------
    features : float64[n, 3 d]
        Rows of NaN alone give NaN.
    """
    told: Floats = _distances(features)
    return told


@vectorize(cache=True)
def _unsquash(feature):  # type: ignore[no-untyped-def]
    if math.isnan(feature):
        return math.nan
    away = 2.0 * feature - 1.0
    return min(max(CLIP * away / max(1.0 - abs(away), 1e-9), -20.0), 20.0)


@njit(cache=True)
def _distances(features):  # type: ignore[no-untyped-def]
    told = np.full(features.shape[0], math.nan)
    for i in range(features.shape[0]):
        squares, known = 0.0, False
        for f in range(0, features.shape[1], CHANNELS):
            if not math.isnan(features[i, f]):
                away = 2.0 * features[i, f] - 1.0
                squares += (CLIP * away / max(1.0 - abs(away), 1e-12)) ** 2
                known = True
        if known:
            told[i] = math.sqrt(squares)
    return told
