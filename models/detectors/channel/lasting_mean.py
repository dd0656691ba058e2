"""Means of many values: what is a little too high or too low for long, where no single value is rare."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from streamgauge.models.calibration.learned_tail import ideal_evidence
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.detectors.channel.excursion import (
    EXCURSION_NUMBERS,
    LEAST_EVIDENCE,
    MOST_EVIDENCE,
    excursion_evidence,
)
from streamgauge.models.detectors.channel.field_channels import Channel, FieldChannels, Found
from streamgauge.models.detectors.channel.levels import share_shown
from streamgauge.models.detectors.channel.usual_level import (
    BEGINNING,
    CLIP,
    LEVEL_NUMBERS,
    MEAN,
    SPREAD,
    begins_anew,
    distance,
    learn_level,
)
from streamgauge.models.kernel import kernel

LASTING, DRIFTING = range(2)  # the channels
# Numbers of an entity's field: number of values; what is averaged; time of the first value; the mean of the last ones; values in a row
# that were far away by themselves; values for which the mean has been away; share of values that equal the one before; the last value;
# levels of values and of means; the excursion of the mean.
COUNT, INPUT, SINCE, LAST_MEAN, FAR_FOR, AWAY_FOR, EQUAL, LAST_VALUE = range(8)
FARTHEST = AWAY_FOR  # of the first three values, until there are twelve: then no mean has been away yet
OF_VALUES = 8
OF_MEANS = OF_VALUES + LEVEL_NUMBERS
EXCURSION = OF_MEANS + LEVEL_NUMBERS
WIDTH = EXCURSION + EXCURSION_NUMBERS
VALUES, RESIDUALS = 0.0, 1.0  # what is averaged: values, or what the time of day does not explain

GAIN = 0.05  # of the mean: about the last twenty values
FEW = 20.0  # values in a row that may be far away by themselves; more are a new level, which the mean follows
# So many means say as much as one that stands alone, because each is made of nearly the same values as the one before.
ALIKE = 10.0
LEAST = 30.0  # means that stand alone, of an entity that has shown how it changes over the day; others need more
BASE = 2.0  # ideal evidence at which an excursion begins
AWAY, SLOWLY = 2.0, 80.0  # a mean drifts if it is so many deviations away for more than so many values
# A field that changes more seldom than this has few values, such as a command: the means of such values are far from normal.
MOSTLY_EQUAL, EQUAL_GAIN = 0.5, 0.001


class LastingMean(FieldChannels):
    """Two channels on the mean of about the last twenty values of a field.

    - lasting: the mean is far from what it usually is.
    - drifting: the same, once it has been two deviations away for more than 80 values.

    The mean is of what the time of day does not explain, where that is known, else of values. A value that is far away by itself does not
    count, unless twenty came before it: it needs no mean to be found, and would move the mean for long after it. A field of which most
    values equal the one before is not judged. An entity begins anew if one of its first three values was odd, as in `Levels`.

    Evidence is that such an excursion of the mean begins, and comes so far. In all events that do not bring it further, it is NaN.

    Parameters
    ----------
    half_life : float
        Values after which a value counts half.
    """

    name: ClassVar[str] = "lasting_mean"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    channels: ClassVar[tuple[Channel, ...]] = (
        Channel("lasting", "collective", of_runs=True),
        Channel("drifting", "drift", of_runs=True),
    )
    half_score: ClassVar[float] = 6.0

    def __init__(self, half_life: float = 20_000.0) -> None:
        super().__init__()
        self.half_life = half_life
        self.warmup = int(FEW)

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return WIDTH

    def _look(self, state: Floats, rows: Ints, X: Floats, times: Ints, quarantined: Flags, found: Found) -> None:
        gain = 1.0 - 0.5 ** (1.0 / self.half_life)
        _means(state, rows, X, times, quarantined, gain, found.expected, found.evidence)


@kernel
def _averaged(cell, x, expected):  # type: ignore[no-untyped-def]
    """What is averaged; NaN where the time of day is usually known, and is not now."""
    if math.isnan(expected):
        return math.nan if cell[INPUT] == RESIDUALS else x
    if cell[INPUT] == VALUES:
        cell[:] = 0.0
        cell[INPUT] = RESIDUALS
    return x - expected


@kernel
def _means(state, rows, X, times, quarantined, gain, expected, evidence):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        learn = not quarantined[i]
        for f in range(X.shape[1]):
            value = X[i, f]
            if math.isnan(value):
                continue
            cell = state[rows[i], f]
            x = _averaged(cell, value, expected[i, f])
            if math.isnan(x):
                continue
            count, of_values = min(cell[COUNT], 2.0 / gain), cell[OF_VALUES:OF_MEANS]
            if count == 0.0:
                cell[LAST_MEAN], cell[LAST_VALUE] = x, value
                if cell[SINCE] == 0.0:  # an entity that begins anew is not younger
                    cell[SINCE] = times[i]
            far = count >= 3.0 and abs(x - of_values[MEAN]) > CLIP * math.sqrt(of_values[SPREAD])
            cell[FAR_FOR] = cell[FAR_FOR] + 1.0 if far else 0.0
            if not far or cell[FAR_FOR] > FEW:
                cell[LAST_MEAN] += max(GAIN, 1.0 / (count + 1.0)) * (x - cell[LAST_MEAN])
            found = _evidence(cell, count / ALIKE, share_shown(times[i] - cell[SINCE]), learn)
            if found >= LEAST_EVIDENCE and cell[EQUAL] < MOSTLY_EQUAL:
                evidence[i, f, DRIFTING if cell[AWAY_FOR] > SLOWLY else LASTING] = min(found, MOST_EVIDENCE)
            if learn:
                is_equal = 1.0 if value == cell[LAST_VALUE] else 0.0
                cell[EQUAL] += max(EQUAL_GAIN, 1.0 / (count + 1.0)) * (is_equal - cell[EQUAL])
                learn_level(of_values, count, x, gain)
                learn_level(cell[OF_MEANS:EXCURSION], count, cell[LAST_MEAN], gain)
                cell[COUNT] += 1.0
                if cell[COUNT] <= BEGINNING:
                    _begin(cell, x, value != cell[LAST_VALUE])
            cell[LAST_VALUE] = value


@kernel
def _begin(cell, x, has_changed):  # type: ignore[no-untyped-def]
    """Begin anew if one of the first three values was odd."""
    anew = begins_anew(cell, FARTHEST, cell[OF_VALUES:OF_MEANS], cell[COUNT], x, has_changed)
    if cell[COUNT] == BEGINNING:
        cell[FARTHEST] = 0.0
    if anew:
        averaged, since = cell[INPUT], cell[SINCE]
        cell[:] = 0.0
        cell[INPUT], cell[SINCE] = averaged, since


@kernel
def _evidence(cell, known, shown, learn):  # type: ignore[no-untyped-def]
    """Evidence of the mean of the last values against `known` means before it."""
    if known * shown < LEAST:
        return 0.0
    z = distance(cell[OF_MEANS:EXCURSION], known, cell[LAST_MEAN])
    if learn:
        cell[AWAY_FOR] = cell[AWAY_FOR] + 1.0 if abs(z) >= AWAY else 0.0
    return excursion_evidence(cell[EXCURSION:], ideal_evidence(z, known - 1.0), BASE, learn)
