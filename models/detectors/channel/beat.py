"""How late a beat is: an event or a cycle that has always come after the same number of values."""

from __future__ import annotations

import math

from streamgauge.models.calibration.learned_tail import (
    TAIL_NUMBERS,
    ideal_evidence,
    learn_tail,
    prime_tail,
    tail_evidence,
)
from streamgauge.models.detectors.channel.usual_level import LEVEL_NUMBERS, MEAN, SPREAD, UNSURE, learn_level
from streamgauge.models.kernel import kernel

# Numbers of a beat: mean of low values and of high ones; number of each; whether the value is high; values since the last rise; rises; the
# width between low and high when the first of these came; share of gaps that were far off; level of the gaps between rises; their tail.
LOW, HIGH, LOWS, HIGHS, IS_HIGH, GAP, RISES, WIDTH, ODD = range(9)
LEVEL = 9
TAIL = LEVEL + LEVEL_NUMBERS
BEAT_NUMBERS = TAIL + TAIL_NUMBERS
RISEN, FALLEN = 0.75, 0.25  # share of the way from low to high at which a value is high, and low again
EVEN = 0.15  # largest standard deviation of gaps, relative to their mean, of what is called a beat
ENOUGH = 8.0  # gaps that are needed
ROUNDED = 1.0 / 12.0  # variance of a gap that comes from counting whole values
STOPPED, LONG_GAP = 6.0, 100.0  # gaps, and values, after which there is no beat any more
CERTAIN = (
    2.0  # values that one counts for in what is known of the tail: each could have been too early, and each too late
)
GAIN = 0.02  # least weight of a gap, of a low and of a high value
LONGEST = 5000.0
FAR = 5.0  # widths between low and high that a value moves their means by at most
OTHER = 1.5  # width between low and high, relative to the one at first, beyond which the rises were others
FAR_OFF = 4.0  # standard deviations from the mean at which a gap is odd
ODD_GAIN, MOST_ODD = 0.04, 0.08  # least weight of a gap in the share of odd ones; with a larger share there is no beat
TRIAL = 30.0  # rises after which a beat that is not even is sought anew


@kernel
def _even(level):  # type: ignore[no-untyped-def]
    return level[MEAN] >= 3.0 and math.sqrt(level[SPREAD]) <= EVEN * level[MEAN]


@kernel
def beat_evidence(numbers, x, learn):  # type: ignore[no-untyped-def]
    """Evidence that a rise should have come by now; NaN where there is no beat.

    A rise is where the value goes from low to high. What is low and what is high is learned by two means (MacQueen 1967).
    """
    if numbers[LOWS] == 0.0:
        numbers[LOW] = numbers[HIGH] = x
    width = numbers[HIGH] - numbers[LOW]
    share = (
        (x - numbers[LOW]) / width
        if width > 0.0
        else (0.0 if x == numbers[LOW] else math.copysign(10.0, x - numbers[LOW]))
    )
    numbers[GAP] = min(numbers[GAP] + 1.0, 2.0 * LONGEST)
    if learn:
        high = 1 if share > 0.5 else 0
        step, values = x - numbers[LOW + high], numbers[LOWS + high]
        if width > 0.0 and values >= UNSURE:
            step = min(max(step, -FAR * width), FAR * width)
        numbers[LOW + high] += max(GAIN, 1.0 / (values + 1.0)) * step
        numbers[LOWS + high] = values + 1.0
        if numbers[HIGH] < numbers[LOW]:
            numbers[HIGH], numbers[LOW] = numbers[LOW], numbers[HIGH]
    gap, rises, width = numbers[GAP], numbers[RISES], numbers[HIGH] - numbers[LOW]
    level, tail = numbers[LEVEL : LEVEL + LEVEL_NUMBERS], numbers[TAIL : TAIL + TAIL_NUMBERS]
    if tail[0] == 0.0:
        prime_tail(tail)
    if numbers[IS_HIGH] == 0.0 and share > RISEN:
        numbers[IS_HIGH] = 1.0
        if learn:
            _learn_rise(numbers, width)
        if learn or rises > 0.0:
            numbers[RISES] = min(numbers[RISES] + 1.0, LONGEST)
        rises, gap, numbers[GAP] = numbers[RISES], 0.0, 0.0
    elif share < FALLEN:
        numbers[IS_HIGH] = 0.0
    if rises > 1.0 and gap > STOPPED * level[MEAN] and gap > LONG_GAP:
        numbers[RISES] = 0.0
        level[:] = 0.0
        return math.nan
    if rises <= ENOUGH or numbers[ODD] > MOST_ODD or not _even(level):
        return math.nan
    ideal = _ideal(level, rises, gap)
    if ideal <= 0.0:
        return 0.0
    return math.log(level[MEAN]) + tail_evidence(ideal, tail[0], tail[1], tail[2], CERTAIN * rises * level[MEAN])


@kernel
def _learn_rise(numbers, width):  # type: ignore[no-untyped-def]
    """Learn the gap before a rise; begin again where the rises were others, or are not even."""
    gap, rises = numbers[GAP], numbers[RISES]
    level = numbers[LEVEL : LEVEL + LEVEL_NUMBERS]
    if rises > ENOUGH:
        learn_tail(numbers[TAIL : TAIL + TAIL_NUMBERS], _ideal(level, rises, gap), rises)
    if rises > UNSURE:
        odd = 1.0 if abs(gap - level[MEAN]) > FAR_OFF * math.sqrt(level[SPREAD] + ROUNDED) else 0.0
        weight = ODD_GAIN if numbers[ODD] > MOST_ODD else max(ODD_GAIN, 1.0 / rises)
        numbers[ODD] += weight * (odd - numbers[ODD])
    if rises > 0.0:
        learn_level(level, rises - 1.0, gap, GAIN)
    others = width > OTHER * numbers[WIDTH]
    if others or (rises % TRIAL == 0.0 and not _even(level)):
        if not others:
            numbers[ODD] = 2.0 * MOST_ODD
        numbers[RISES], numbers[WIDTH] = 0.0, width
        level[:] = 0.0


@kernel
def _ideal(level, rises, gap):  # type: ignore[no-untyped-def]
    """Ideal evidence that no gap is that long; 0 for one that is not longer than usual."""
    late = gap - level[MEAN]
    if late <= 0.0:
        return 0.0
    known = min(rises, 2.0 / GAIN)
    rounded = ROUNDED * math.sqrt(ENOUGH / max(rises, ENOUGH))  # many gaps that never vary are exact
    spread = math.sqrt((level[SPREAD] + rounded) * (1.0 + 1.0 / known))
    return ideal_evidence(late / spread, known)


@kernel
def usual_gap(numbers):  # type: ignore[no-untyped-def]
    """Mean number of values between two rises, even or not; 0 where it is not known."""
    return numbers[LEVEL + MEAN] if numbers[RISES] > UNSURE else 0.0
