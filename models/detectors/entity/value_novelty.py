"""Value novelty: how far a value is from every value that its entity has shown."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.channel.usual_level import begins_anew
from streamgauge.models.detectors.deviation import LARGEST
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel

HOUR = 3_600_000
DAY, WEEK = 24, 168  # bins of the two profiles
CHANNELS = 3  # value; value minus its hour-of-day profile; value minus its hour-of-week profile
BANDWIDTHS = 2  # of the standard deviation, of the root of the fourth moment
LEAST_HELD, MOST_HELD = 10.0, 5000.0  # values for which the highest novelty is remembered, at least and at most
OVERSTATED = math.log(10.0)  # how much the density alone overstates the evidence of a value of a stationary series
UNSEEN = 3.0  # values that may lie in a gap between those seen, with 95 % certainty: the rule of three
STALE = 0.25  # share that counts of a novelty that is lower than the one remembered
FLOOR = 1e-6  # least kernel sum
RECENT, SINCE = 2, 3  # the highest recent novelty, and the count at which it came
MOMENTS, SIZES = 4, 4 + 3 * CHANNELS  # places of mean, variance sum, fourth moment; of the dictionaries' sizes
PROFILES = SIZES + CHANNELS * BANDWIDTHS
FARTHEST = PROFILES + 2 * (DAY + WEEK)  # the place of the farthest of the first three values
DICTIONARIES = FARTHEST + 1
CLIP = 40.0  # standard deviations that a value counts for at most where it is learned: one wrong value must not blur all others


class ValueNovelty(EntityDetector):
    """Minus the logarithm of the density of all past values at the new one; each value is learned at once.

    A novel value is no longer novel the second time, and a level shift alerts once. The density is a kernel sum over a sorted
    dictionary of weighted centroids, ``-ln((sum_j w_j exp(-|u - c_j| / h) + 1e-6) / n)``, of the value, of its difference from the
    running profile of the hour of the day, and of that from the profile of the hour of the week, each at two bandwidths: 0.05 times the
    standard deviation of all history, and 0.03 times the fourth root of its fourth moment over three. The six are averaged. The novelty
    of a value that is less novel than a recent one (`refractory`) counts a quarter.

    The novelty is evidence, and needs no calibration: ln 10 is taken off, by which the density overstates how rare values of stationary
    series are (normal, autoregressive, Poisson, seasonal); then ``exp(-novelty)`` is about the rate of values so novel.

    It is the raw score. The alert evidence is less where the value lies in a gap between values that were seen, with none of them near:
    that the gap was empty so far does not prove that no value belongs there. With 95 % certainty no more than three in n values lie in
    the gap; spread evenly, they count as ``3 h / gap`` in the kernel sums. Nothing is added beyond the lowest and the highest value,
    nor for a value that is usual, but not at its hour.

    Parameters
    ----------
    centroids : int
        Most entries of a dictionary; when full, the closest pair is merged.
    refractory : float
        Share of the entity's past for which the highest novelty is remembered; 0 is not at all.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Kernel density estimation over a budget of centroids; profiles as in seasonal averaging. Found by experiment on the Numenta
    Anomaly Benchmark to beat z-scores, residuals and neighbours of shapes. The rule of three: Hanley and Lippman-Hand, JAMA 249,
    1983; docs/adr/013 has what it changes.
    """

    name: ClassVar[str] = "value_novelty"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    half_score: ClassVar[float] = 6.0
    pooled: ClassVar[Literal["largest", "top"]] = "top"
    in_nats: ClassVar[bool] = True

    def __init__(self, centroids: int = 64, refractory: float = 0.1, warmup: int = 20) -> None:
        self.centroids = centroids
        self.refractory = refractory
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return DICTIONARIES + CHANNELS * BANDWIDTHS * 2 * self.centroids

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        _, alert, expected = self.raw_scores(state, rows, X, times, learn)
        return alert, expected

    def raw_scores(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats, Floats]:
        novelty, alert, expected = np.empty(X.shape), np.empty(X.shape), np.empty(X.shape)
        X = np.clip(X, -LARGEST, LARGEST)
        _novelty(
            state, rows, X, times // HOUR, self.centroids, self.refractory, self.warmup, learn, novelty, alert, expected
        )
        return novelty, alert, expected


@kernel
def _density(values, weights, size, u, h):  # type: ignore[no-untyped-def]
    """Kernel sum at `u`, the place of the first centroid not below `u`, and the nearest centroid."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if values[middle] < u:
            low = middle + 1
        else:
            high = middle
    total = 0.0
    reach = 18.0 * h  # beyond, a centroid weighs less than the floor
    j = low
    while j < size and values[j] - u <= reach:
        total += weights[j] if values[j] == u else weights[j] * math.exp((u - values[j]) / h)
        j += 1
    j = low - 1
    while j >= 0 and u - values[j] <= reach:
        total += weights[j] * math.exp((values[j] - u) / h)
        j -= 1
    nearest = low
    if low == size or (low > 0 and u - values[low - 1] <= values[low] - u):
        nearest = low - 1
    return total, low, nearest


@kernel
def _add(values, weights, size, most, u, h, place, nearest):  # type: ignore[no-untyped-def]
    """Add a value to the nearest centroid if it is near, else insert it; returns the new size."""
    if size > 0 and abs(u - values[nearest]) <= 0.25 * h:
        weights[nearest] += 1.0
        values[nearest] += (u - values[nearest]) / weights[nearest]
        return size
    if size == most:
        closest, gap = 0, math.inf
        for j in range(size - 1):
            between = values[j + 1] - values[j]
            if between < gap:
                closest, gap = j, between
        # the new value lies in the narrowest gap of all: it joins its neighbour
        if abs(u - values[nearest]) < gap:
            weights[nearest] += 1.0
            values[nearest] += (u - values[nearest]) / weights[nearest]
            return size
        both = weights[closest] + weights[closest + 1]
        values[closest] += (values[closest + 1] - values[closest]) * weights[closest + 1] / both
        weights[closest] = both
        for j in range(closest + 1, size - 1):
            values[j], weights[j] = values[j + 1], weights[j + 1]
        size -= 1
        if place > closest:
            place -= 1
    for j in range(size, place, -1):
        values[j], weights[j] = values[j - 1], weights[j - 1]
    values[place], weights[place] = u, 1.0
    return size + 1


@kernel
def _evidence(cell, k, most, u, h, n, learn):  # type: ignore[no-untyped-def]
    """Minus ln of the density at `u` by a cell's k-th dictionary, and its part that an alert may rest on; learns `u` if `learn`."""
    begin, size = DICTIONARIES + 2 * most * k, int(cell[SIZES + k])
    values, weights = cell[begin : begin + most], cell[begin + most : begin + 2 * most]
    mass, place, nearest = _density(values, weights, size, u, h)
    gap = UNSEEN * min(1.0, h / max(values[place] - values[place - 1], 1e-300)) if 0 < place < size else 0.0
    if learn:
        cell[SIZES + k] = _add(values, weights, size, most, u, h, place, nearest)
    n = max(n, 1.0)
    return max(0.0, -math.log((mass + FLOOR) / n)), max(0.0, -math.log((mass + gap + FLOOR) / n))


@kernel
def _bandwidth(which, n, moments, anchor):  # type: ignore[no-untyped-def]
    """Of the standard deviation, or of the root of the fourth moment; wider than the rounding of values near `anchor`."""
    h = 0.0
    if n > 1.0:
        h = 0.05 * math.sqrt(moments[1] / n) if which == 0 else 0.03 * (moments[2] / n / 3.0) ** 0.25
    return max(h, 1e-12 * abs(anchor), 1e-300)


@kernel
def _limited(moments, n, u):  # type: ignore[no-untyped-def]
    """The (n + 1)-th value as it is learned: at most `CLIP` standard deviations from the mean."""
    if n < 3.0 or moments[1] <= 0.0:
        return u
    limit = CLIP * math.sqrt(moments[1] / n)
    return min(max(u, moments[0] - limit), moments[0] + limit)


@kernel
def _learn_moments(moments, n, u):  # type: ignore[no-untyped-def]
    """Learn the (n + 1)-th value into mean, variance sum and fourth moment."""
    delta = u - moments[0]
    moments[0] += delta / (n + 1.0)
    moments[1] += delta * (u - moments[0])
    moments[2] += (u - moments[0]) ** 4


@kernel
def _silenced(cell, n, total, refractory, learn):  # type: ignore[no-untyped-def]
    """What a novelty counts: less soon after a higher one, which the cell remembers."""
    held = min(max(refractory * n, LEAST_HELD), MOST_HELD) if refractory > 0.0 else 0.0
    if total > cell[RECENT] or n - cell[SINCE] > held:
        if learn:
            cell[RECENT], cell[SINCE] = total, n
        return total
    return STALE * total


@njit(cache=True)
def _novelty(state, rows, X, hours, most, refractory, warmup, learn, novelty, alert, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    channel, near = np.empty(CHANNELS), np.empty(CHANNELS)
    for i in range(X.shape[0]):
        by_day, by_week = hours[i] % DAY, DAY + hours[i] % WEEK
        for f in range(X.shape[1]):
            novelty[i, f] = alert[i, f] = expected[i, f] = math.nan
            x = X[i, f]
            if math.isnan(x):
                continue
            cell = state[rows[i], f]
            n = cell[0]
            anchor = x if n == 0.0 else cell[1]
            value = x - anchor
            profile, visits = cell[PROFILES : PROFILES + DAY + WEEK], cell[PROFILES + DAY + WEEK : FARTHEST]
            channel[0] = value
            channel[1] = value - profile[by_day] if visits[by_day] > 0.0 else 0.0
            channel[2] = value - profile[by_week] if visits[by_week] > 0.0 else 0.0
            if n > 0.0:
                expected[i, f] = anchor + (profile[by_week] if visits[by_week] > 0.0 else cell[MOMENTS])
            total = alert_total = 0.0
            new = True
            for c in range(CHANNELS):
                moments = cell[MOMENTS + 3 * c : MOMENTS + 3 * c + 3]
                for b in range(BANDWIDTHS):
                    k, h = c * BANDWIDTHS + b, _bandwidth(b, n, moments, anchor)
                    whole, alert_part = _evidence(cell, k, most, channel[c], h, n, learn)
                    total += whole
                    alert_total += alert_part if new else whole
                if learn:
                    near[c] = _limited(moments, n, channel[c])
                    _learn_moments(moments, n, near[c])
                if c == 0:  # no value is near; else it is the hour that is unusual
                    new = total > BANDWIDTHS * math.log(max(n, 1.0))
            if n >= warmup:
                total = max(0.0, total / (CHANNELS * BANDWIDTHS) - OVERSTATED)
                novelty[i, f] = _silenced(cell, n, total, refractory, learn)
                alert[i, f] = min(novelty[i, f], max(0.0, alert_total / (CHANNELS * BANDWIDTHS) - OVERSTATED))
            if learn:
                n += 1.0
                if begins_anew(cell, FARTHEST, (cell[MOMENTS], cell[MOMENTS + 1] / n), n, value, True):
                    cell[:] = 0.0
                    continue
                cell[0], cell[1] = n, anchor
                visits[by_day] += 1.0
                profile[by_day] += (near[0] - profile[by_day]) * max(1.0 / visits[by_day], 0.05)
                visits[by_week] += 1.0
                profile[by_week] += (near[0] - profile[by_week]) * max(1.0 / visits[by_week], 0.1)
