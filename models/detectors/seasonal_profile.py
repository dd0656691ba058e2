"""Seasonal profile: distance from what is usual at this hour of this weekday."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.entity_detector import EntityDetector

HOUR, WEEK = 3_600_000, 168
RESIDUAL = 1  # variance of all residuals; then each hour's mean, variance and visits
CLIP = 5.0  # deviations beyond which a value changes a profile no further


class SeasonalProfile(EntityDetector):
    """Distance from the running mean of the hour of the week, in its own deviations; UTC.

    An hour that was seen less than `visits` times borrows from the deviation of all residuals. Values far off change the profile
    by five deviations at most. The score is ``m / (m + 3)``.

    Parameters
    ----------
    memory : float
        Visits of an hour that its profile remembers.
    visits : int
        Visits after which an hour has a deviation of its own.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Seasonal averages with exponential forgetting: Brown, Smoothing, forecasting and prediction, 1963.
    """

    name: ClassVar[str] = "seasonal_profile"
    tier: ClassVar[Literal["light", "rich"]] = "rich"

    def __init__(self, memory: float = 50.0, visits: int = 8, warmup: int = 50) -> None:
        self.memory = memory
        self.visits = visits
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return 2 + 3 * WEEK

    def distances(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        distance, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        hours = times // HOUR % WEEK
        _seasonal(state, rows, X, hours, 1.0 / self.memory, self.visits, self.warmup, learn, distance, expected)
        return distance, expected


@njit(cache=True)
def _seasonal(state, rows, X, hours, least, visits, warmup, learn, distance, expected):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        place = 2 + 3 * hours[i]
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            seen = cell[place + 2]
            if seen == 0.0:  # nothing is known of this hour
                if cell[0] >= warmup:
                    distance[i, f] = 0.0
                if learn:
                    cell[0] += 1.0
                    cell[place], cell[place + 2] = x, 1.0
                continue
            away = x - cell[place]
            share = min(1.0, seen / visits)
            deviation = math.sqrt(share * cell[place + 1] + (1.0 - share) * cell[RESIDUAL])
            if deviation <= 1e-9 * abs(cell[place]):  # less is rounding
                deviation = 0.0
            if cell[0] >= warmup:
                expected[i, f] = cell[place]
                distance[i, f] = 0.0
                if deviation > 0.0:
                    distance[i, f] = away / deviation
                elif away != 0.0:
                    distance[i, f] = math.copysign(math.sqrt(seen), away)
            if learn:
                if deviation > 0.0 and cell[0] >= warmup:
                    away = min(max(away, -CLIP * deviation), CLIP * deviation)
                gain = max(1.0 / (seen + 1.0), least)
                cell[place] += gain * away
                cell[place + 1] = (1.0 - gain) * (cell[place + 1] + gain * away * away)
                cell[place + 2] = seen + 1.0
                cell[RESIDUAL] += max(1.0 / (cell[0] + 1.0), 0.002) * (away * away - cell[RESIDUAL])
                cell[0] += 1.0
