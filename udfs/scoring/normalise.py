"""Fields to features in [0, 1]: each entity's own robust normalisation, so that a cohort model can compare entities."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.detectors.deviation import LARGEST, deviation_of
from streamgauge.models.kernel import kernel
from streamgauge.udfs.settings.pipeline import FeaturizeSettings

# Numbers kept for each entity and field: number of values, centre, variance, last value, short mean, an earlier value, lowest and
# highest usual value, and whether the entity began with the prior of its cohort.
WIDTH = 9
# Numbers of the cohort's prior for each field: number of values, mean, variance, entities past their warm-up, variance within entities.
PRIOR = 5
COHORT = 8.0  # entities from which on there is a prior
TRUSTED = 3.0  # values that the prior's variance counts as
FOLLOWS = 1e-4  # smallest weight of a value in the prior: old values are forgotten
AGO = 64  # values after which the earlier value is replaced
CHANNELS = 3  # features of each field: level, change, short mean
CLIP = 3.0  # a value moves centre and scale by at most this many standard deviations


def featurize(
    state: Floats,
    rows: Ints,
    X: Floats,
    settings: FeaturizeSettings,
    changes: Floats,
    prior: Floats,
    quarantined: Flags | None = None,
) -> tuple[Floats, Flags, Flags, Floats]:
    """Normalise events in row order and learn from them.

    Each field gives three features: its level, its change from the last value, and its short rolling mean. They are measured in robust
    standard deviations of the entity's own past and squashed to [0, 1]; what is usual is 0.5. Values beyond three standard deviations
    are learned as if they were at three (winsorised).

    The first value of an entity in its cold start is compared with the values of all other entities. From then on, the entity has its
    own centre. Its first variance is the usual variance within an entity of the cohort, which counts as three values.

    Parameters
    ----------
    state : float64[entities, d, 9]
        Changed in place.
    rows : int64[n]
        Row of each event's entity in `state`.
    X : float64[n, d]
        NaN is missing.
    settings : FeaturizeSettings
    changes : float64[2]
        Two sums that are added to: the squashed changes from the last value, and from an earlier value. They tell what kind of stream
        it is.
    prior : float64[d, 5]
        Prior of the cohort; changed in place.
    quarantined : bool[n], optional
        Events that are not learned. The next event is still compared with their values.

    Returns
    -------
    features : float64[n, 3 d]
        From 0 to 1; NaN where a value is missing, or the entity is in its cold start.
    steady : bool[n, d]
        Whether the value is the change of a field that never varied before.
    known : bool[n, d]
        Whether the value lies between the lowest and the highest value that are usual for the entity. One value extends that range by at
        most a standard deviation.
    variations : float64[n, d]
        Usual variation of the field before this value: a standard deviation, and at least 1 where the field is a whole number. NaN where
        it is unknown, which includes fields that never varied and are no whole numbers.
    """
    variations = np.full(X.shape, np.nan)
    steady, known = np.zeros(X.shape, np.bool_), np.zeros(X.shape, np.bool_)
    features = np.empty((len(X), CHANNELS * X.shape[1]))
    gain = 1.0 - 0.5 ** (1.0 / settings.half_life)
    _featurize(
        state,
        rows,
        np.clip(X, -LARGEST, LARGEST),
        gain,
        2.0 / (settings.short + 1.0),
        settings.warmup,
        features,
        changes,
        steady,
        known,
        variations,
        prior,
        np.zeros(len(X), np.bool_) if quarantined is None else quarantined,
    )
    return features, steady, known, variations


def unsquashed(features: Floats) -> Floats:
    """Features in robust standard deviations again, from -20 to 20; NaN for NaN."""
    deviations: Floats = _unsquash(features)
    return deviations


@kernel
def _squash(value: float) -> float:
    """Deviations, of any size, to (0, 1); 0 becomes 0.5."""
    return 0.5 + 0.5 * value / (abs(value) + CLIP)


@kernel
def _usual_variation(count, scale, x, last, earlier):  # type: ignore[no-untyped-def]
    """Usual variation of a field: `scale`, and at least 1 if its values are whole numbers; NaN is unknown."""
    if x == math.floor(x) and last == math.floor(last) and earlier == math.floor(earlier):
        scale = max(scale, 1.0)
    return scale if count > 0.0 and scale > 0.0 else math.nan


@kernel
def _learn_prior(pool, x, delta, count, warmup):  # type: ignore[no-untyped-def]
    """Learn the prior from a value of an entity that is past its warm-up."""
    pool[3] += count < warmup + 1.0
    from_mean, spread = x - pool[1], math.sqrt(pool[2])
    if pool[0] >= warmup and spread > 0.0:
        from_mean = min(max(from_mean, -CLIP * spread), CLIP * spread)
    step = max(1.0 / (pool[0] + 1.0), FOLLOWS)
    pool[0] += 1.0
    pool[1] += step * from_mean
    pool[2] = (1.0 - step) * (pool[2] + step * from_mean * from_mean)
    pool[4] += step * (delta * delta - pool[4])


@kernel
def _featurize(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    state, rows, X, least, short_gain, warmup, features, changes, steady, known, variations, prior, quarantined
):
    """See `featurize`; `least` is the smallest weight of a value, `short_gain` its weight in the short mean."""
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
            variations[i, f] = _usual_variation(count, scale, x, last, cell[5])
            short += short_gain * (x - short)
            if count >= warmup or cell[8] > 0.0:
                # A field that never varied has no scale: its first change counts as sqrt(count) deviations.
                unit = scale if scale > 0.0 else max(abs(delta), abs(x - last), 1e-300) / math.sqrt(count)
                features[i, CHANNELS * f] = _squash(delta / unit)
                features[i, CHANNELS * f + 1] = _squash((x - last) / unit)
                changes[0] += abs(features[i, CHANNELS * f + 1] - 0.5)
                changes[1] += abs(_squash((x - cell[5]) / unit) - 0.5)
                features[i, CHANNELS * f + 2] = _squash((short - centre) / unit)
                if scale > 0.0 and count >= warmup:
                    delta = min(max(delta, -CLIP * scale), CLIP * scale)
            if quarantined[i]:
                cell[3], cell[4] = x, short
                continue
            if count >= warmup:
                _learn_prior(prior[f], x, delta, count, warmup)
            most = (
                scale if count >= warmup and scale > 0.0 else math.inf
            )  # the range of usual values grows by at most this
            if x < cell[6]:
                cell[6] = max(x, cell[6] - most)
            elif x > cell[7]:
                cell[7] = min(x, cell[7] + most)
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
    """Deviation of each event from what is usual for its entity, over all fields (the root of the sum of squares).

    Parameters
    ----------
    features : float64[n, 3 d]

    Returns
    -------
    float64[n]
        In robust standard deviations, at least 0; NaN where all features are NaN.
    """
    deviations: Floats = _distances(features)
    return deviations


@vectorize(cache=True)
def _unsquash(feature):  # type: ignore[no-untyped-def]
    """The inverse of `_squash`, at most 20 deviations; NaN for NaN."""
    if math.isnan(feature):
        return math.nan
    centred = 2.0 * feature - 1.0  # from -1 to 1
    return min(max(CLIP * centred / max(1.0 - abs(centred), 1e-9), -20.0), 20.0)


@njit(cache=True)
def _distances(features):  # type: ignore[no-untyped-def]
    """See `distances`."""
    deviations = np.full(features.shape[0], math.nan)
    for i in range(features.shape[0]):
        squares, known = 0.0, False
        for f in range(0, features.shape[1], CHANNELS):
            if not math.isnan(features[i, f]):
                centred = 2.0 * features[i, f] - 1.0
                squares += (CLIP * centred / max(1.0 - abs(centred), 1e-12)) ** 2
                known = True
        if known:
            deviations[i] = math.sqrt(squares)
    return deviations
