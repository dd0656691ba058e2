"""One-shot value novelty: how far a value is from every value that its entity has shown."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.entity_detector import EntityDetector
from streamgauge.models.novelty import BANDWIDTHS, bandwidth, learn_moments, silenced, surprise_of

HOUR = 3_600_000
DAY, WEEK = 24, 168  # bins of the two profiles
CHANNELS = 3  # value; value minus its hour-of-day profile; value minus its hour-of-week profile
OVERSTATED = math.log(10.0)  # by which the density alone overstates how rare a value of a stationary series is
RECENT, SINCE = 2, 3  # the highest novelty of late, and the count at which it came
MOMENTS, SIZES = 4, 4 + 3 * CHANNELS  # places of mean, variance sum, fourth moment; of the dictionaries' sizes
PROFILES = SIZES + CHANNELS * BANDWIDTHS
DICTIONARIES = PROFILES + 2 * (DAY + WEEK)


class ValueNovelty(EntityDetector):
    """Minus the logarithm of the density of all past values at the new one, each value learned at once.

    A novelty silences itself: the second time it is no news, and a level shift alerts once. The density is a kernel sum
    over a sorted dictionary of weighted centroids, ``-ln((sum_j w_j exp(-|u - c_j| / h) + 1e-6) / n)``, taken of the value, of what
    is left of it after its running hour-of-day profile, and of what is left after its hour-of-week profile, each at
    two bandwidths: 0.05 times the standard deviation of all history, and 0.03 times the fourth root of its fourth
    moment over three. The six are averaged. A value that is less novel than another not long ago (`refractory`) is hardly news: its
    novelty counts a quarter.

    The distance is in nats, and needs no calibration: less ln 10, by which the density overstates how rare values of stationary
    series are (normal, autoregressive, Poisson, seasonal), ``exp(-distance)`` is about the rate of values so novel.

    Events are ranked by that. An alert rests on less where the value lies between values that were seen, with none of them in reach:
    nobody was there yet, but that no value belongs there takes more events to know. With 95 % certainty the gap holds no more than three
    in n; spread evenly, they count as ``3 h / gap`` in the kernel sums. Beyond the lowest and the highest value nothing is added, nor to
    a value that is usual, only not at its hour.

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

    def distances(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        _, sure, expected = self.sizes(state, rows, X, times, learn)
        return sure, expected

    def sizes(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats, Floats]:
        novelty, sure, expected = np.empty(X.shape), np.empty(X.shape), np.empty(X.shape)
        _novelty(
            state, rows, X, times // HOUR, self.centroids, self.refractory, self.warmup, learn, novelty, sure, expected
        )
        return novelty, sure, expected


@njit(cache=True)
def _novelty(state, rows, X, hours, most, refractory, warmup, learn, novelty, sure, expected):  # type: ignore[no-untyped-def]
    channel = np.empty(CHANNELS)
    for i in range(X.shape[0]):
        by_day, by_week = hours[i] % DAY, DAY + hours[i] % WEEK
        for f in range(X.shape[1]):
            novelty[i, f] = sure[i, f] = expected[i, f] = math.nan
            x = X[i, f]
            if math.isnan(x):
                continue
            cell = state[rows[i], f]
            n = cell[0]
            anchor = x if n == 0.0 else cell[1]
            value = x - anchor
            profile, visits = cell[PROFILES : PROFILES + DAY + WEEK], cell[PROFILES + DAY + WEEK : DICTIONARIES]
            channel[0] = value
            channel[1] = value - profile[by_day] if visits[by_day] > 0.0 else 0.0
            channel[2] = value - profile[by_week] if visits[by_week] > 0.0 else 0.0
            if n > 0.0:
                expected[i, f] = anchor + (profile[by_week] if visits[by_week] > 0.0 else cell[MOMENTS])
            total = certain = 0.0
            new = True
            for c in range(CHANNELS):
                moments = cell[MOMENTS + 3 * c : MOMENTS + 3 * c + 3]
                for b in range(BANDWIDTHS):
                    k, h = c * BANDWIDTHS + b, bandwidth(b, n, moments, anchor)
                    one, sure_of_it = surprise_of(
                        cell, SIZES + k, DICTIONARIES + 2 * most * k, most, channel[c], h, n, learn
                    )
                    total += one
                    certain += sure_of_it if new else one
                if learn:
                    learn_moments(moments, n, channel[c])
                if c == 0:  # no value within reach; else it is the hour that is strange
                    new = total > BANDWIDTHS * math.log(max(n, 1.0))
            if n >= warmup:
                total = max(0.0, total / (CHANNELS * BANDWIDTHS) - OVERSTATED)
                novelty[i, f] = silenced(cell, RECENT, SINCE, n, total, refractory, learn)
                sure[i, f] = min(novelty[i, f], max(0.0, certain / (CHANNELS * BANDWIDTHS) - OVERSTATED))
            if learn:
                cell[0], cell[1] = n + 1.0, anchor
                visits[by_day] += 1.0
                profile[by_day] += (value - profile[by_day]) * max(1.0 / visits[by_day], 0.05)
                visits[by_week] += 1.0
                profile[by_week] += (value - profile[by_week]) * max(1.0 / visits[by_week], 0.1)
