"""A field against the time of day: on working days, and on days off."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from streamgauge.models.calibration.learned_tail import (
    Q3,
    TAIL_NUMBERS,
    ideal_evidence,
    learn_tail,
    prime_tail,
    tail_evidence,
    weight_in_run,
)
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.detectors.channel.calendar import Calendar
from streamgauge.models.detectors.channel.field_channels import Channel, FieldChannels, Found
from streamgauge.models.detectors.channel.last_values import LAST_NUMBERS, compared, follow, learn_levels
from streamgauge.models.detectors.channel.usual_level import (
    CLIP,
    LEVEL_NUMBERS,
    SPREAD,
    distance,
    learn_level,
)
from streamgauge.models.kernel import kernel

SLOTS = 96  # a quarter of an hour each
HOURS = 24
NEAR = 4  # slots next to one that was never visited, among which a visited one stands in for it
# The statistics of residuals; the first two also say how much of a change, and of a departure, the time of day explains.
CHANGE, DEPARTURE, RESIDUAL, RECENT = range(4)
STATISTICS = 4
# Numbers of an entity's field: residuals, values; first working day and first day off; the last residuals; last value, and level of
# changes of values; level of all values; a level and a tail for each statistic; visits and level of each slot, on working days, then
# on days off; the last first day of a month; and for each hour, what first days of months had beyond the profile, what the last one
# had, and its values; how many far values of each statistic came in a row.
COUNT, VALUES, FIRST_DAYS = range(3)
LAST_RESIDUALS = FIRST_DAYS + 2
LAST_VALUE = LAST_RESIDUALS + LAST_NUMBERS
CHANGES = LAST_VALUE + 1
WHOLE = CHANGES + LEVEL_NUMBERS
LEVELS = WHOLE + LEVEL_NUMBERS
TAILS = LEVELS + STATISTICS * LEVEL_NUMBERS
VISITS = TAILS + STATISTICS * TAIL_NUMBERS
PROFILE = VISITS + 2 * SLOTS
MONTH = PROFILE + 2 * SLOTS
MONTH_STARTS = MONTH + 1
LAST_MONTH_START = MONTH_STARTS + HOURS
LAST_VISITS = LAST_MONTH_START + HOURS
RUNS = LAST_VISITS + HOURS
WIDTH = RUNS + STATISTICS
BEYOND = 3.0  # standard deviations of residuals that first days of months must differ by, so that they are expected to
UNSURE_SLOT = 8.0  # with n visits, a slot may be moved (1 + UNSURE_SLOT / n) times as far
EXPLAINED = 2.0  # residuals explain changes if their variance is below this share of the variance of changes


class DayProfile(FieldChannels):
    """Two channels on what the time of day does not explain: the residual, and its mean over about the last three values.

    The profile has a level for each quarter of an hour, on working days and on days off. A quarter that was never visited borrows from
    the other kind of day, else from a quarter within an hour. On its first working day, and on its first day off, an entity has no profile.
    The first day of a month is a day like others, but what it had beyond the profile is expected at this hour of the next ones.

    The evidence for `change` and `departure` is how unusual the change and the departure of the residual are: what the time of day
    explains is no anomaly, so the channels of these names in `Levels` cannot have more.

    Attributes
    ----------
    calendar : Calendar
        UTC unless the settings name a time zone or holidays.
    """

    name: ClassVar[str] = "day_profile"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    channels: ClassVar[tuple[Channel, ...]] = (
        Channel("change", "point"),
        Channel("departure", "point"),
        Channel("time of day", "contextual"),
        Channel("recent by time of day", "contextual"),
    )
    half_score: ClassVar[float] = 6.0

    def __init__(self, half_life: float = 20_000.0, memory: float = 50.0) -> None:
        super().__init__()
        self.half_life = half_life
        self.memory = memory
        self.warmup = 3
        self.calendar = Calendar("UTC")

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return WIDTH

    def _look(self, state: Floats, rows: Ints, X: Floats, times: Ints, quarantined: Flags, found: Found) -> None:
        calendar = self.calendar
        quarters = calendar.slots(times) * SLOTS // 1440
        off = np.minimum(calendar.day_types(times), 1)
        gain = 1.0 - 0.5 ** (1.0 / self.half_life)
        days = calendar.days(times) + 1
        moments = np.stack((quarters, off, days, calendar.month_starts(times)))
        _profile(state, rows, X, moments, quarantined, gain, 1.0 / self.memory, *found)


@kernel
def _base(cell, quarter, off):  # type: ignore[no-untyped-def]
    """Level of a slot, or of the one that stands in for it; NaN where there is none."""
    for kind in (off, 1 - off):
        if cell[VISITS + kind * SLOTS + quarter] > 0.0:
            return cell[PROFILE + kind * SLOTS + quarter]
    for away in range(1, NEAR + 1):
        for near in (quarter - away, quarter + away):
            slot = off * SLOTS + near % SLOTS
            if cell[VISITS + slot] > 0.0:
                return cell[PROFILE + slot]
    return math.nan


@njit(cache=True)
def _profile(state, rows, X, moments, quarantined, gain, least, evidence, expected, deviations):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    statistics = np.empty(STATISTICS)
    for i in range(X.shape[0]):
        quarter, off, day, starts_month = moments[:, i]
        hour = quarter * HOURS // SLOTS
        for f in range(X.shape[1]):
            x = X[i, f]
            if math.isnan(x):
                continue
            cell = state[rows[i], f]
            first = FIRST_DAYS + off
            if cell[first] == 0.0:
                cell[first] = day
            usual = base = _base(cell, quarter, off)
            known = not math.isnan(base) and day != cell[first]
            count = cell[COUNT]
            if known:
                if starts_month:
                    base += _beyond(cell, hour, day)
                expected[i, f] = base
                effective = min(count, 2.0 / gain)
                deviations[i, f] = _look(
                    cell, x - base, count, effective, gain, quarantined[i], statistics, evidence[i, f]
                )
                if not _explains_changes(cell):
                    evidence[i, f, CHANGE] = evidence[i, f, DEPARTURE] = math.nan
            if quarantined[i]:
                continue
            if cell[VALUES] > 0.0:
                learn_level(cell[CHANGES : CHANGES + LEVEL_NUMBERS], cell[VALUES] - 1.0, x - cell[LAST_VALUE], gain)
            cell[LAST_VALUE] = x
            if known and starts_month:
                cell[LAST_VISITS + hour] += 1.0
                last = cell[LAST_MONTH_START + hour]
                cell[LAST_MONTH_START + hour] += (x - usual - last) / cell[LAST_VISITS + hour]
                continue
            slot = off * SLOTS + quarter
            visits = cell[VISITS + slot]
            if visits == 0.0:
                cell[PROFILE + slot] = x if math.isnan(base) else base
            cell[VISITS + slot] = visits + 1.0
            cell[PROFILE + slot] += max(1.0 / (visits + 1.0), least) * _limited(cell, visits, x - cell[PROFILE + slot])
            learn_level(cell[WHOLE : WHOLE + LEVEL_NUMBERS], cell[VALUES], x, gain)
            cell[VALUES] += 1.0


@kernel
def _beyond(cell, hour, day):  # type: ignore[no-untyped-def]
    """What first days of months have beyond the profile at an hour, learned from earlier ones; 0 if it may be chance."""
    if cell[MONTH] != day:
        for h in range(HOURS):
            if cell[LAST_VISITS + h] > 0.0:
                before, last = cell[MONTH_STARTS + h], cell[LAST_MONTH_START + h]
                cell[MONTH_STARTS + h] = last if before == 0.0 else (before + last) / 2.0
            cell[LAST_MONTH_START + h] = cell[LAST_VISITS + h] = 0.0
        cell[MONTH] = day
    beyond = cell[MONTH_STARTS + hour]
    spread = cell[LEVELS + RESIDUAL * LEVEL_NUMBERS + SPREAD]
    return beyond if beyond * beyond > BEYOND * BEYOND * spread else 0.0


@kernel
def _explains_changes(cell):  # type: ignore[no-untyped-def]
    """Whether residuals change less than values. In a field that grows, they change more, each midnight."""
    residuals = cell[LEVELS + CHANGE * LEVEL_NUMBERS + SPREAD]
    return cell[COUNT] < 30.0 or residuals < EXPLAINED * cell[CHANGES + SPREAD]


@kernel
def _limited(cell, visits, change):  # type: ignore[no-untyped-def]
    """The change of a slot's level, limited to three standard deviations of residuals, or of all values while there are few residuals.

    A slot that was visited a few times may be moved farther: its level is not known yet. It is moved less far while far values follow
    each other: they may be a fault, and the slot would find the usual strange on the next day.

    The slots of a field that never varied do not learn its first other value: it may be wrong.
    """
    spread = cell[LEVELS + RESIDUAL * LEVEL_NUMBERS + SPREAD] if cell[COUNT] >= 30.0 else cell[WHOLE + SPREAD]
    if cell[VALUES] < 30.0:
        return change
    limit = CLIP * math.sqrt(spread) * (1.0 + UNSURE_SLOT / ((visits + 1.0) * max(cell[RUNS + RESIDUAL], 1.0)))
    return min(max(change, -limit), limit)


@kernel
def _look(cell, residual, count, effective, gain, quarantined, statistics, evidence):  # type: ignore[no-untyped-def]
    """Fill in the evidence of a residual, and learn it unless it is quarantined; returns the residual in standard deviations."""
    deviation = math.nan
    last = cell[LAST_RESIDUALS : LAST_RESIDUALS + LAST_NUMBERS]
    if count == 0.0:
        last[:] = residual
    statistics[RESIDUAL] = residual
    of_residual = cell[LEVELS + RESIDUAL * LEVEL_NUMBERS :]
    statistics[CHANGE], statistics[DEPARTURE], statistics[RECENT] = compared(last, residual, of_residual, count)
    for k in range(STATISTICS):
        learned = effective if k == RESIDUAL else max(effective - 1.0, 0.0)
        if learned < 3.0:
            continue
        level = cell[LEVELS + k * LEVEL_NUMBERS : LEVELS + (k + 1) * LEVEL_NUMBERS]
        tail = cell[TAILS + k * TAIL_NUMBERS : TAILS + (k + 1) * TAIL_NUMBERS]
        if tail[0] == 0.0:
            prime_tail(tail)
        z = distance(level, learned, statistics[k])
        if k == RESIDUAL:
            deviation = z
        ideal = ideal_evidence(z, learned - 1.0)
        evidence[k] = tail_evidence(ideal, tail[0], tail[1], tail[2], learned)
        if not quarantined:
            learn_tail(tail, ideal, learned, weight_in_run(cell[RUNS:], k, ideal > tail[Q3]))
    of_departure = cell[LEVELS + DEPARTURE * LEVEL_NUMBERS :]
    follow(last, residual, statistics[DEPARTURE], statistics[RECENT], of_departure, count)
    if quarantined:
        return deviation
    learn_levels(cell[LEVELS:TAILS], statistics, RESIDUAL, count, gain)
    cell[COUNT] = count + 1.0
    return deviation
