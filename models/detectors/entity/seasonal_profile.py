"""Seasonal profile: deviation from what is usual at this hour of this weekday."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import LARGEST, deviation_of
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel

HOUR = 3_600_000
DAY, WEEK = 24, 168
# variance of residuals, mean, the running hour, values in it, hours seen, variance of the hours' own part and of the weekdays',
# mean deviation of the last values, for how many values it has been far, and its mean square
RESIDUAL, LEVEL, NOW, INSIDE, HOURS, DAILY, WEEKLY, OFFSET, BEYOND, WANDER = range(1, 11)
DAYS = 11  # for each hour of the day: mean, variance of residuals, visits
WEEKS = DAYS + 3 * DAY  # for each hour of the week: mean, visits
# A mean deviation of so many standard deviations, for so many values, is a new level of all hours,
SHIFTED, SETTLED = 1.5, 120.0
WANDERED = 4.0  # if it is also so many times as large as it usually gets.
SPANNED = 50.0  # values of the mean deviation that is taken off
CLIP = 5.0  # standard deviations that a value counts at most in a profile,
YOUNG = 2.0  # once its hour was visited more often than so many times


class SeasonalProfile(EntityDetector):
    """Deviation from the running mean of the hour of the week, in standard deviations of the hour of the day; UTC.

    As long as weekdays differ no more than by noise, the profile of an hour of the week is drawn towards that of the hour of the day,
    and that one likewise towards the mean of all. Between the middles of two hours the profile is a straight line. Nothing is scored in
    an hour of the week that is visited for the first time. The mean deviation of the last fifty values is taken off: a new level is no
    anomaly of the hour. When a new level has lasted, all hours move to it. A value changes the profile by five standard deviations at
    most. The score is ``m / (m + 3)``.

    Parameters
    ----------
    memory : float
        Visits of an hour that its profile remembers.
    visits : int
        Visits after which an hour of the day has a variance of its own.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Seasonal averages with exponential forgetting: Brown, Smoothing, forecasting and prediction, 1963; means that are drawn towards
    coarser ones: James and Stein, Berkeley Symposium, 1961.
    """

    name: ClassVar[str] = "seasonal_profile"
    quarantined: ClassVar[bool] = True
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    state_version: ClassVar[int] = 2
    anomaly_kind = "contextual"

    def __init__(self, memory: float = 50.0, visits: int = 8, warmup: int = 50) -> None:
        self.memory = memory
        self.visits = visits
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return WEEKS + 2 * WEEK

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        return self.profile(state, rows, X, times, learn)[:2]

    def profile(
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool = True
    ) -> tuple[Floats, Floats, Floats]:
        """What `deviations` returns, and the deviation of each value from the profile alone, in standard deviations, float64[n, d]."""
        deviations, expected, standard = (np.full(X.shape, np.nan) for _ in range(3))
        hours, part = np.divmod(times, HOUR)
        _seasonal(
            state,
            rows,
            np.clip(X, -LARGEST, LARGEST),
            hours,
            part / HOUR - 0.5,
            self.memory,
            self.visits,
            self.warmup,
            learn,
            deviations,
            expected,
            standard,
        )
        return deviations, expected, standard


@kernel
def _usual(cell, hour):  # type: ignore[no-untyped-def]
    """What is usual in an hour of the week."""
    day, week = DAYS + 3 * (hour % DAY), WEEKS + 2 * (hour % WEEK)
    daily, weekly = cell[day + 2] * max(cell[DAILY], 0.0), cell[week + 1] * max(cell[WEEKLY], 0.0)
    usual = cell[LEVEL]
    if daily > 0.0:
        usual += (cell[day] - usual) * daily / (daily + cell[RESIDUAL])
    if weekly > 0.0:
        usual += (cell[week] - usual) * weekly / (weekly + cell[RESIDUAL])
    return usual


@kernel
def _shift(cell):  # type: ignore[no-untyped-def]
    """Move all hours to the new level."""
    step = cell[OFFSET]
    cell[LEVEL] += step
    for k in range(DAY):
        cell[DAYS + 3 * k] += step
    for k in range(WEEK):
        cell[WEEKS + 2 * k] += step
    cell[OFFSET] = cell[BEYOND] = 0.0


@kernel
def _follow_offset(cell, off, deviation, count):  # type: ignore[no-untyped-def]
    """Let the mean deviation of the last values follow; where it has been far for long, it is a new level."""
    cell[OFFSET] += 2.0 / (SPANNED + 1.0) * off
    shifted = max(SHIFTED * deviation, WANDERED * math.sqrt(cell[WANDER]))
    if abs(cell[OFFSET]) >= shifted > 0.0:
        cell[BEYOND] += 1.0
    else:
        cell[BEYOND] = 0.0
        cell[WANDER] += max(1.0 / (count + 1.0), 0.002) * (cell[OFFSET] * cell[OFFSET] - cell[WANDER])
    if cell[BEYOND] >= SETTLED:
        _shift(cell)


@kernel
def _learn_profile(cell, hour, learned, off, known, memory):  # type: ignore[no-untyped-def]
    """Learn a value into the profiles of its hour; `off` is what it was off by, `known` whether its hour was visited before."""
    day, week, count = DAYS + 3 * (hour % DAY), WEEKS + 2 * (hour % WEEK), cell[0]
    if count == 0.0 or cell[NOW] != hour:
        cell[NOW], cell[INSIDE] = hour, 0.0
        cell[HOURS] += 1.0
        cell[day + 2] += 1.0
        cell[week + 1] += 1.0
    each = count / cell[HOURS] + 1.0  # values in a visit, so far
    cell[INSIDE] += 1.0
    inside = cell[INSIDE]
    gain = 1.0 / (each * min(cell[day + 2] - 1.0, memory) + inside)
    cell[day] += gain * (learned - cell[day])
    if cell[day + 2] == 1.0 and inside == 1.0:
        cell[day + 1] = cell[RESIDUAL]
    if known:  # what an unknown hour was off by is no deviation
        cell[day + 1] += gain * (off * off - cell[day + 1])
    cell[week] += (learned - cell[week]) / (each * min(cell[week + 1] - 1.0, memory) + inside)
    least = max(1.0 / (count + 1.0), 0.002)
    apart = cell[day] - cell[LEVEL]
    cell[DAILY] += least * (apart * apart - cell[RESIDUAL] / cell[day + 2] - cell[DAILY])
    apart = cell[week] - cell[day]
    cell[WEEKLY] += least * (apart * apart - cell[RESIDUAL] / cell[week + 1] - cell[WEEKLY])
    cell[RESIDUAL] += least * (off * off - cell[RESIDUAL])
    cell[LEVEL] += max(1.0 / (count + 1.0), 1.0 / (each * DAY * memory)) * (learned - cell[LEVEL])
    cell[0] = count + 1.0


@kernel
def _seasonal(state, rows, X, hours, parts, memory, visits, warmup, learn, deviations, expected, standard):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    for i in range(X.shape[0]):
        hour, part = hours[i], parts[i]
        neighbour = hour + 1 if part > 0.0 else hour - 1
        day, week = DAYS + 3 * (hour % DAY), WEEKS + 2 * (hour % WEEK)
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            count = cell[0]
            if count == 0.0 and learn:
                cell[LEVEL] = x
            usual = _usual(cell, hour) if count > 0.0 else x
            if cell[DAYS + 3 * (neighbour % DAY) + 2] > 0.0 and cell[day + 2] > 0.0:
                usual += abs(part) * (_usual(cell, neighbour) - usual)
            away = x - usual
            share = min(1.0, cell[day + 2] / visits)
            deviation = deviation_of(share * cell[day + 1] + (1.0 - share) * cell[RESIDUAL], usual)
            known = cell[week + 1] > 1.0 or (cell[week + 1] == 1.0 and (cell[NOW] != hour or cell[HOURS] == 1.0))
            if count >= warmup and known:
                expected[i, f] = usual
                deviations[i, f] = 0.0
                if deviation > 0.0:
                    deviations[i, f] = (away - cell[OFFSET]) / deviation
                    standard[i, f] = away / deviation
                elif away != 0.0:
                    deviations[i, f] = math.copysign(math.sqrt(count), away)
            if not learn:
                continue
            learned = x
            if deviation > 0.0 and count >= warmup:
                away = min(max(away, -CLIP * deviation), CLIP * deviation)
                if cell[week + 1] > YOUNG:
                    learned = usual + away
            off = away - cell[OFFSET]
            if known:
                _follow_offset(cell, off, deviation, count)
            _learn_profile(cell, hour, learned, off, known, memory)
