"""The level of a field, its change, its departure from the last values, and its mean over the last values."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from streamgauge.models.calibration.learned_tail import (
    TAIL_NUMBERS,
    ideal_evidence,
    learn_tail,
    prime_tail,
    tail_evidence,
)
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.detectors.channel.field_channels import Channel, FieldChannels, Found
from streamgauge.models.detectors.channel.last_values import LAST_NUMBERS, compared, follow, learn_levels
from streamgauge.models.detectors.channel.repeats import REPEAT_NUMBERS, learn_repeat, not_rarer
from streamgauge.models.detectors.channel.usual_level import (
    CLIP,
    LEVEL_NUMBERS,
    MEAN,
    SPREAD,
    begins_anew,
    distance,
)
from streamgauge.models.kernel import kernel

LEVEL, CHANGE, DEPARTURE, RECENT = range(4)  # the statistics, in the order of the channels
STATISTICS = 4
# Numbers of an entity's field: number of values; the last values; time of the first value; the farthest of the first three values; a level
# and a tail for each statistic; repeats of changes.
COUNT, LAST_VALUES = 0, 1
SINCE = LAST_VALUES + LAST_NUMBERS
FARTHEST = SINCE + 1
LEVELS = FARTHEST + 1
TAILS = LEVELS + STATISTICS * LEVEL_NUMBERS
REPEATS = TAILS + STATISTICS * TAIL_NUMBERS
WIDTH = REPEATS + REPEAT_NUMBERS
# Numbers of the cohort's field: entities; values of young entities; mean and variance of these; variance within entities; number of
# values and variance for each other statistic; number and tail for each statistic.
ENTITIES, VALUES, COHORT_MEAN, COHORT_SPREAD, WITHIN = range(5)
WITHINS = 5
COHORT_TAILS = WITHINS + 1 + 2 * STATISTICS
COHORT_WIDTH = COHORT_TAILS + STATISTICS * (1 + TAIL_NUMBERS)

# In its first four days, an entity has not shown yet how its values change over the day: its values count less for the tail, at first this
# share.
RHYTHM = 4 * 86_400_000.0  # milliseconds
AT_FIRST = 0.3
YOUNG = 50.0  # values of an entity up to which the cohort's prior counts, and learns from it
SETTLING = 300.0  # values of an entity up to which the cohort's tails count and learn
ENOUGH_ENTITIES, ENOUGH_VALUES = 8.0, 30.0  # from which on the cohort's prior is used
ENOUGH_TAIL = 300.0  # values from which on the cohort's tail is used
PRIOR = 3.0  # values that the cohort's variance counts for
FORGETS = 1e-4  # least weight of a value in the cohort's numbers


class Levels(FieldChannels):
    """Four channels on a field of an entity, all by a robust mean and variance with a long memory.

    - level: the value itself.
    - change: the value less the one before it.
    - departure: the value less the mean of about the last five values.
    - recent: the mean of about the last three values.

    Each statistic is compared with its own mean by Student's t, whose tail is then corrected by what was learned of the real tail. A value
    moves mean and variance by at most three standard deviations: a fault that comes again is found again, and a level that stays is
    learned in time. A change that comes again and again, as in a sawtooth signal, is not rarer than such changes are.

    The first values cannot be limited. So an entity begins anew after twelve values if one of the first three makes nearly all of their
    variance.

    A young entity is compared with the other entities: its mean and variance are shrunk to theirs, and the tail is that of young
    entities. Without other entities, three values are needed.

    Parameters
    ----------
    half_life : float
        Values after which a value counts half.

    Notes
    -----
    Winsorised learning: Huber, Robust Statistics, 1981. Shrinkage: the normal model with known ratio of variances, in which the prior
    counts as ``within / between`` values.
    """

    name: ClassVar[str] = "levels"
    channels: ClassVar[tuple[Channel, ...]] = (
        Channel("level", "point"),
        Channel("change", "point"),
        Channel("departure", "point"),
        Channel("recent", "point"),
    )
    cohort_numbers: ClassVar[int] = COHORT_WIDTH
    half_score: ClassVar[float] = 6.0

    def __init__(self, half_life: float = 20_000.0) -> None:
        super().__init__()
        self.half_life = half_life
        self.warmup = 3

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return WIDTH

    def _look(self, state: Floats, rows: Ints, X: Floats, times: Ints, quarantined: Flags, found: Found) -> None:
        gain = 1.0 - 0.5 ** (1.0 / self.half_life)
        _levels(state, self.cohort, rows, X, times, quarantined, gain, np.empty(STATISTICS), *found)


@kernel
def share_shown(age):  # type: ignore[no-untyped-def]
    """How much the values of an entity count for the tail that has sent values for `age` milliseconds, up to 1."""
    return AT_FIRST + (1.0 - AT_FIRST) * min(max(age / RHYTHM, 0.0), 1.0)


@kernel
def _cohort_ready(cohort):  # type: ignore[no-untyped-def]
    return cohort[ENTITIES] >= ENOUGH_ENTITIES and cohort[VALUES] >= ENOUGH_VALUES and cohort[WITHIN] > 0.0


@kernel
def _young_distance(level, count, cohort, k, x):  # type: ignore[no-untyped-def]
    """Distance and degrees of freedom of a young entity's statistic, shrunk to the cohort; also the mean it was compared with."""
    own = (count - 1.0) * level[SPREAD] * count / (count - 1.0) if count > 1.0 else 0.0
    if k == LEVEL:
        within = cohort[WITHIN]
        between = max(cohort[COHORT_SPREAD] - within, 0.01 * within)
        prior_count, prior_mean = within / between, cohort[COHORT_MEAN]
    else:
        within, prior_count, prior_mean = cohort[WITHINS + 2 * k + 1], PRIOR, 0.0
    mean = (prior_count * prior_mean + count * level[MEAN]) / (prior_count + count)
    freedom = PRIOR + max(count - 1.0, 0.0)
    spread = math.sqrt((PRIOR * within + own) / freedom * (1.0 + 1.0 / (prior_count + count)))
    if spread <= 0.0:
        return math.nan, freedom, mean
    return (x - mean) / spread, freedom, mean


@kernel
def _learn_cohort(cohort, level, count, statistics):  # type: ignore[no-untyped-def]
    """Learn the values of a young entity into the cohort's prior."""
    x = statistics[LEVEL]
    cohort[ENTITIES] += count == 0.0
    n = cohort[VALUES]
    weight = max(1.0 / (n + 1.0), FORGETS)
    change, spread = x - cohort[COHORT_MEAN], math.sqrt(cohort[COHORT_SPREAD])
    if n >= ENOUGH_VALUES and spread > 0.0:
        change = min(max(change, -CLIP * spread), CLIP * spread)
    cohort[VALUES] = n + 1.0
    cohort[COHORT_MEAN] += weight * change
    cohort[COHORT_SPREAD] = (1.0 - weight) * (cohort[COHORT_SPREAD] + weight * change * change)
    if count == 0.0:
        return
    for k in range(STATISTICS):
        place = WITHINS + 2 * k
        n, within = cohort[place], cohort[place + 1]
        square = (x - level[MEAN]) ** 2 * count / (count + 1.0) if k == LEVEL else statistics[k] ** 2
        if n >= ENOUGH_VALUES and within > 0.0:
            square = min(square, CLIP * CLIP * within)
        cohort[place] = n + 1.0
        cohort[place + 1] += max(1.0 / (n + 1.0), FORGETS) * (square - within)
    cohort[WITHIN] = cohort[WITHINS + 1]


@kernel
def _channel(cell, cohort, k, count, shown, ideal, learn):  # type: ignore[no-untyped-def]
    """Evidence of an ideal evidence, by the tail of the entity and that of young entities; both learn it if `learn`."""
    tail = cell[TAILS + k * TAIL_NUMBERS : TAILS + (k + 1) * TAIL_NUMBERS]
    place = COHORT_TAILS + k * (1 + TAIL_NUMBERS)
    shared = cohort[place + 1 : place + 1 + TAIL_NUMBERS]
    known = cohort[place]
    if shared[0] == 0.0:
        prime_tail(shared)
    if tail[0] == 0.0:
        tail[0], tail[1], tail[2] = shared[0], shared[1], shared[2]
    q1, q2, q3, learned = tail[0], tail[1], tail[2], count * shown
    young = count < SETTLING
    if young and known >= ENOUGH_TAIL:
        own = count / SETTLING
        q1, q2, q3 = (
            own * q1 + (1.0 - own) * shared[0],
            own * q2 + (1.0 - own) * shared[1],
            own * q3 + (1.0 - own) * shared[2],
        )
        learned += (1.0 - own) * known
    evidence = tail_evidence(ideal, q1, q2, q3, learned)
    if k == CHANGE:
        repeats = cell[REPEATS:]
        evidence = not_rarer(evidence, ideal, repeats, count)
        if learn:
            learn_repeat(repeats, ideal, count)
    if learn:
        learn_tail(tail, ideal, count)
        if young:
            learn_tail(shared, ideal, known)
            cohort[place] = known + 1.0
    return evidence


@kernel
def _levels(state, cohorts, rows, X, times, quarantined, gain, statistics, evidence, expected, deviations):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x = X[i, f]
            if math.isnan(x):
                continue
            cell, cohort = state[rows[i], f], cohorts[f]
            count = cell[COUNT]
            if count == 0.0:
                cell[LAST_VALUES : LAST_VALUES + LAST_NUMBERS] = x
                if cell[SINCE] == 0.0:  # an entity that begins anew is not younger
                    cell[SINCE] = times[i]
            shown = share_shown(times[i] - cell[SINCE])
            last = cell[LAST_VALUES : LAST_VALUES + LAST_NUMBERS]
            statistics[LEVEL] = x
            statistics[CHANGE], statistics[DEPARTURE], statistics[RECENT] = compared(last, x, cell[LEVELS:], count)
            expected[i, f], deviations[i, f] = _look(
                cell, cohort, min(count, 2.0 / gain), shown, statistics, not quarantined[i], evidence[i, f]
            )
            of_departure = cell[LEVELS + DEPARTURE * LEVEL_NUMBERS :]
            follow(last, x, statistics[DEPARTURE], statistics[RECENT], of_departure, count)
            if not quarantined[i]:
                _learn(cell, cohort, count, gain, statistics)


@kernel
def _look(cell, cohort, count, shown, statistics, learn, evidence):  # type: ignore[no-untyped-def]
    """Fill in the evidence of each statistic; returns the expected value and the deviation from it, NaN where they are not known."""
    expected = cell[LEVELS + MEAN] if count > 0.0 else math.nan
    deviation = math.nan
    shrunk = count < YOUNG and _cohort_ready(cohort)
    for k in range(STATISTICS):
        level = cell[LEVELS + k * LEVEL_NUMBERS : LEVELS + (k + 1) * LEVEL_NUMBERS]
        learned = count if k == LEVEL else max(count - 1.0, 0.0)
        z, freedom = math.nan, 1.0
        if shrunk and k != RECENT:
            if k == LEVEL or count > 0.0:
                z, freedom, mean = _young_distance(level, learned, cohort, k, statistics[k])
                if k == LEVEL:
                    expected = mean
        elif learned >= 3.0:
            z, freedom = distance(level, learned, statistics[k]), learned - 1.0
        if k == LEVEL:
            deviation = z
        if not math.isnan(z):
            evidence[k] = _channel(cell, cohort, k, learned, shown, ideal_evidence(z, freedom), learn)
    return expected, deviation


@kernel
def _learn(cell, cohort, count, gain, statistics):  # type: ignore[no-untyped-def]
    """Learn the statistics of a value."""
    if count < YOUNG:
        _learn_cohort(cohort, cell[LEVELS : LEVELS + LEVEL_NUMBERS], count, statistics)
    learn_levels(cell[LEVELS:TAILS], statistics, LEVEL, count, gain)
    level = cell[LEVELS : LEVELS + LEVEL_NUMBERS]
    count += 1.0
    cell[COUNT] = count
    if begins_anew(cell, FARTHEST, level, count, statistics[LEVEL], statistics[CHANGE] != 0.0):
        since = cell[SINCE]
        cell[:] = 0.0  # the entity begins anew, as if these values had not come
        cell[SINCE] = since
        cohort[ENTITIES] -= 1.0  # it will be counted again
