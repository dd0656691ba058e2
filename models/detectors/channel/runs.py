"""What only many values in a row show: a shift, a flat line, another spread, a missing beat, a rising floor."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from streamgauge.models.calibration.learned_tail import ideal_evidence
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.detectors.channel.beat import BEAT_NUMBERS, beat_evidence, usual_gap
from streamgauge.models.detectors.channel.deviation_sum import LEAST, SUM_NUMBERS, restart_sum, sum_evidence
from streamgauge.models.detectors.channel.equal_runs import EQUAL_NUMBERS, run_evidence
from streamgauge.models.detectors.channel.excursion import (
    EXCURSION_NUMBERS,
    LEAST_EVIDENCE,
    MOST_EVIDENCE,
    excursion_evidence,
)
from streamgauge.models.detectors.channel.field_channels import Channel, FieldChannels, Found
from streamgauge.models.detectors.channel.usual_level import CLIP
from streamgauge.models.kernel import kernel

SUM, FLAT, SPREAD_CHANGE, MISSING, FLOOR = range(5)  # the channels
# Numbers of an entity's field: values so far; the last one; what is summed up; share of changes that are falls; then those
# of the parts.
VALUES, LAST_VALUE, INPUT, FALLS = range(4)
SUM_AT = 4
EQUAL_AT = SUM_AT + SUM_NUMBERS
SPREAD_AT = EQUAL_AT + EQUAL_NUMBERS  # mean square of the last innovations; its level; its excursion
SPREAD_LEVEL = SPREAD_AT + 1
SPREAD_EXCURSION = SPREAD_LEVEL + 2
BEAT_AT = SPREAD_EXCURSION + EXCURSION_NUMBERS
BLOCK_LOWEST, BLOCK_VALUES = BEAT_AT + BEAT_NUMBERS, BEAT_AT + BEAT_NUMBERS + 1
FLOOR_AT = BLOCK_VALUES + 1
SPREAD_COUNT = FLOOR_AT + SUM_NUMBERS
WIDTH = SPREAD_COUNT + 1
# What is summed up: values; what the time of day does not explain; steps of a counter.
VALUE, RESIDUAL, STEP = 1.0, 2.0, 3.0
LINE = 5.0  # how much faster than all else the sum of deviations forgets
SETTLED, SETTLED_FLOOR = 400.0, 30.0  # values, and blocks, after which a deviation is the new level
SLOWEST = 0.02  # least weight of a block of the floor
FALL_GAIN = 0.001  # least weight of a change
SHORT = 1.0 / 12.0  # weight of a new innovation in the mean of the last ones
SPREAD_BASE = 2.0  # ideal evidence at which an excursion of the spread begins
LEAST_BLOCK, LONGEST_BLOCK = 16.0, 5000.0  # values of whose lowest the floor is made
BLOCK_GAPS = 1.5  # gaps between rises in a block
COUNTER_VALUES, COUNTER_FALLS, NO_COUNTER = 50.0, 0.01, 0.05  # a counter falls seldom; what falls more often is none
# Evidence that a channel must have in addition: there are five, and each looks at runs of any length that begin at any event.
PRICE = 4.0


class Runs(FieldChannels):
    """Five channels on what only many values in a row show.

    - sum of deviations: small deviations to one side, from the time of day where its usual values are known, else from the level. Those
      of a counter are of its steps.
    - flat line: equal values for longer than the field has them.
    - spread: the last values vary more, or less, than usual.
    - missing beat: a rise does not come although it has always come after the same number of values.
    - rising floor: the lowest values rise, even if all others are usual.

    Evidence is that such a run begins at any given event: a run that lasts counts once, in the few events in which it becomes clear. It is
    NaN in all other events, and never more than an alert needs.

    Parameters
    ----------
    half_life : float
        Values after which a value counts half.
    """

    name: ClassVar[str] = "runs"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    channels: ClassVar[tuple[Channel, ...]] = (
        Channel("sum of deviations", "collective", of_runs=True, price=PRICE),
        Channel("flat line", "collective", of_runs=True, price=PRICE),
        Channel("spread", "collective", of_runs=True, price=PRICE),
        Channel("missing beat", "contextual", of_runs=True, price=PRICE),
        Channel("rising floor", "drift", of_runs=True, price=PRICE),
    )
    half_score: ClassVar[float] = 6.0

    def __init__(self, half_life: float = 20_000.0) -> None:
        super().__init__()
        self.half_life = half_life
        self.warmup = 20

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return WIDTH

    def _look(self, state: Floats, rows: Ints, X: Floats, times: Ints, quarantined: Flags, found: Found) -> None:
        gain = 1.0 - 0.5 ** (1.0 / self.half_life)
        _runs(state, rows, X, quarantined, gain, found.expected, found.evidence)


@kernel
def _summed(cell, x, expected):  # type: ignore[no-untyped-def]
    """What is summed up: NaN where the time of day is usually known, and is not now."""
    falls = cell[FALLS]
    wanted = max(cell[INPUT], VALUE)
    if wanted == STEP:
        if falls > NO_COUNTER:
            wanted = VALUE if math.isnan(expected) else RESIDUAL
    elif cell[VALUES] >= COUNTER_VALUES and falls <= COUNTER_FALLS:
        wanted = STEP
    elif not math.isnan(expected):
        wanted = RESIDUAL
    if wanted != cell[INPUT]:
        cell[INPUT] = wanted
        restart_sum(cell[SUM_AT : SUM_AT + SUM_NUMBERS])
        cell[SPREAD_COUNT] = 0.0
    if wanted == STEP:
        return x - cell[LAST_VALUE]
    return x - expected if wanted == RESIDUAL else x


@kernel
def _spread_evidence(cell, innovation, gain, learn):  # type: ignore[no-untyped-def]
    """Evidence of the mean square of the last innovations, against what it usually is.

    A field that never varied has no innovations, and its first odd value is no other spread. So innovations are counted, not values.
    """
    cell[SPREAD_COUNT] += learn
    count = cell[SPREAD_COUNT]
    cell[SPREAD_AT] += max(SHORT, 1.0 / (count + 1.0)) * (innovation * innovation - cell[SPREAD_AT])
    learned = count - 1.0 / SHORT
    if learned < 0.0:
        return math.nan
    statistic = cell[SPREAD_AT] ** (1.0 / 3.0)  # nearly normal: Wilson and Hilferty 1931
    change, spread = statistic - cell[SPREAD_LEVEL], math.sqrt(cell[SPREAD_LEVEL + 1])
    evidence = math.nan
    if learned >= 2.0 / SHORT and spread > 0.0:
        known = min(learned, 1.0 / gain) * SHORT / 2.0
        ideal = ideal_evidence(change / (spread * math.sqrt(1.0 + 1.0 / known)), known)
        evidence = excursion_evidence(
            cell[SPREAD_EXCURSION : SPREAD_EXCURSION + EXCURSION_NUMBERS], ideal, SPREAD_BASE, learn
        )
        change = min(max(change, -CLIP * spread), CLIP * spread)
    if learn:
        weight = max(1.0 / (learned + 1.0), gain)
        cell[SPREAD_LEVEL] += weight * change
        cell[SPREAD_LEVEL + 1] = (1.0 - weight) * (cell[SPREAD_LEVEL + 1] + weight * change * change)
    return evidence


@kernel
def _floor_evidence(cell, x, gain, learn):  # type: ignore[no-untyped-def]
    """Evidence of the lowest values of blocks that are longer than the usual gap between rises; NaN within a block."""
    cell[BLOCK_LOWEST] = x if cell[BLOCK_VALUES] == 0.0 else min(cell[BLOCK_LOWEST], x)
    cell[BLOCK_VALUES] += 1.0
    block = min(max(BLOCK_GAPS * usual_gap(cell[BEAT_AT : BEAT_AT + BEAT_NUMBERS]), LEAST_BLOCK), LONGEST_BLOCK)
    if cell[BLOCK_VALUES] < block:
        return math.nan
    numbers = cell[FLOOR_AT : FLOOR_AT + SUM_NUMBERS]
    cell[BLOCK_VALUES] = 0.0
    found, _ = sum_evidence(numbers, cell[BLOCK_LOWEST], min(block * gain, SLOWEST), False, SETTLED_FLOOR, learn)
    return found + math.log(block) if found > 0.0 else found


@kernel
def _runs(state, rows, X, quarantined, gain, expected, evidence):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        learn = not quarantined[i]
        for f in range(X.shape[1]):
            x = X[i, f]
            if math.isnan(x):
                continue
            cell, found = state[rows[i], f], evidence[i, f]
            count = cell[VALUES]
            if count == 0.0:
                cell[LAST_VALUE] = x
            value = _summed(cell, x, expected[i, f])
            if not math.isnan(value):
                found[SUM], innovation = sum_evidence(
                    cell[SUM_AT : SUM_AT + SUM_NUMBERS], value, LINE * gain, True, SETTLED, learn
                )
                if not math.isnan(innovation):
                    found[SPREAD_CHANGE] = _spread_evidence(cell, innovation, gain, learn)
            found[FLAT] = run_evidence(cell[EQUAL_AT : EQUAL_AT + EQUAL_NUMBERS], x, cell[LAST_VALUE], count, learn)
            if count < LEAST:
                found[FLAT] = math.nan
            found[MISSING] = beat_evidence(cell[BEAT_AT : BEAT_AT + BEAT_NUMBERS], x, learn)
            if cell[INPUT] != STEP:  # the floor of a counter always rises
                found[FLOOR] = _floor_evidence(cell, x, gain, learn)
            for k in range(found.shape[0]):
                if found[k] < LEAST_EVIDENCE:
                    found[k] = math.nan
                elif found[k] > MOST_EVIDENCE:
                    found[k] = MOST_EVIDENCE
            if learn and x != cell[LAST_VALUE]:
                cell[FALLS] += max(1.0 / (count + 1.0), FALL_GAIN) * (
                    (1.0 if x < cell[LAST_VALUE] else 0.0) - cell[FALLS]
                )
            cell[LAST_VALUE] = x
            cell[VALUES] = count + 1.0
