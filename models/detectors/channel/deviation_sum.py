"""How rare a sum of deviations is: a cumulative sum, both ways, of what the value before does not explain."""

from __future__ import annotations

import math

from streamgauge.models.calibration.learned_tail import LOUD
from streamgauge.models.detectors.channel.excursion import EXCURSION_NUMBERS, PEAK, end_excursion, excursion_evidence
from streamgauge.models.detectors.channel.usual_level import CLIP
from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.kernel import kernel

# Numbers of a sum: values so far; level, slope and variance; mean sign, and mean product of the signs of neighbours; the last deviation
# from the level; variance of innovations; sums up and down; length of the excursion and the sum of its values; sums of innovations of a
# short and of a long block, and how much more than independent ones such sums vary; the excursion.
(
    COUNT,
    LEVEL,
    SLOPE,
    SPREAD,
    SIGN,
    SIGNS,
    LAST,
    VARIANCE,
    UP,
    DOWN,
    LENGTH,
    TOTAL,
    SHORT_SUM,
    LONG_SUM,
    SHORT_WIDER,
    LONG_WIDER,
    EXCURSION,
) = range(17)
SUM_NUMBERS = EXCURSION + EXCURSION_NUMBERS
LEAST = 20.0  # values that are needed
ALLOWANCE = 0.35  # standard deviations that do not add to the sum
MOST = 40.0  # of a sum: what is far beyond any doubt needs no longer to be forgotten
OVER = 0.6  # share of its peak below which an excursion is over
BASE = 1.5  # ideal evidence at which an excursion begins
SHORT_BLOCK, LONG_BLOCK = 8.0, 32.0  # innovations
BLOCK_GAIN = 0.02  # least weight of a block
WIDEST = 4.0  # standard deviations of an innovation, for those who ask for its size


@kernel
def _dependence(numbers, count):  # type: ignore[no-untyped-def]
    """How much of a deviation remains in the next value: rather too large than too small.

    The correlation of normal variables follows from that of their signs, which no outlier and no short fault changes much (Sheppard 1899).
    """
    square = numbers[SIGN] ** 2
    signs = (numbers[SIGNS] - square) / (1.0 - square) if square < 0.999 else 0.0
    share = math.sin(0.5 * math.pi * min(max(signs, -1.0), 1.0))
    share += (1.0 + 3.0 * share) / count + math.sqrt((1.0 - share * share) / count)
    return min(max(share, -0.9), 1.0)


@kernel
def _wider(numbers, z, known, learn):  # type: ignore[no-untyped-def]
    """How much more sums vary than those of independent innovations, at least 1: what the value before does not explain."""
    if learn:
        for which, length in ((0, SHORT_BLOCK), (1, LONG_BLOCK)):
            total, wider = SHORT_SUM + which, SHORT_WIDER + which
            numbers[total] += z
            if (numbers[COUNT] + 1.0) % length == 0.0:
                numbers[wider] = max(numbers[wider], 1.0)
                square = min(numbers[total] ** 2 / length, CLIP * CLIP * numbers[wider])
                numbers[wider] += max(BLOCK_GAIN, 1.0 / (known / length + 3.0)) * (square - numbers[wider])
                numbers[total] = 0.0
    return max(numbers[SHORT_WIDER], numbers[LONG_WIDER], 1.0)


@kernel
def restart_sum(numbers):  # type: ignore[no-untyped-def]
    """Begin again with another input: nothing is known of its level, and little of its spread."""
    numbers[COUNT] = min(numbers[COUNT], LEAST)
    numbers[LEVEL] = numbers[SLOPE] = numbers[SIGN] = numbers[SIGNS] = numbers[LAST] = 0.0
    numbers[UP] = numbers[DOWN] = numbers[LENGTH] = numbers[TOTAL] = numbers[EXCURSION + PEAK] = 0.0


@kernel
def sum_evidence(numbers, x, gain, both, settled, learn):  # type: ignore[no-untyped-def]
    """Evidence of the sums with a new value, and its innovation in standard deviations; learn it. NaN where too little is known.

    The sums are of innovations: the deviation of a value from its usual level, less what the deviation before it explains. So a process
    that remembers has no more excursions than one that does not.

    Parameters
    ----------
    numbers : float64[SUM_NUMBERS]
        Changed in place.
    x : float
    gain : float
        Least weight of a value.
    both : bool
        Whether low values count, too.
    settled : float
        Values after which a deviation is the new level.
    learn : bool

    Notes
    -----
    Page, Continuous inspection schemes, Biometrika 41, 1954. The chance that an excursion reaches h is about exp(-2 k h), k being the
    allowance (Lundberg's inequality).
    """
    count = numbers[COUNT]
    if count == 0.0:
        if learn:
            numbers[LEVEL], numbers[COUNT] = x, 1.0
        return math.nan, math.nan
    known = min(count, 1.0 / gain)
    level = numbers[LEVEL] + numbers[SLOPE]
    deviation = x - level
    last = numbers[LAST]
    innovation = deviation - _dependence(numbers, known) * last
    spread = math.sqrt(numbers[VARIANCE])
    evidence, size = math.nan, math.nan
    if count >= LEAST and spread > ROUNDING * abs(level) + 1e-300:
        z = innovation / spread
        size = min(max(z, -WIDEST), WIDEST)
        z = min(max(z, -CLIP), CLIP)
        z /= math.sqrt(_wider(numbers, z, known, learn))
        allowance = ALLOWANCE * (1.0 + 2.0 / math.sqrt(known))
        numbers[UP] = min(max(numbers[UP] + z - allowance, 0.0), MOST)
        numbers[DOWN] = min(max(numbers[DOWN] - z - allowance, 0.0), MOST) if both else 0.0
        ideal = 2.0 * ALLOWANCE * max(numbers[UP], numbers[DOWN])
        if ideal > LOUD:
            ideal = LOUD * (1.0 + math.log(ideal / LOUD))
        evidence = excursion_evidence(numbers[EXCURSION : EXCURSION + EXCURSION_NUMBERS], ideal, BASE, learn)
        if ideal < OVER * numbers[EXCURSION + PEAK]:
            ideal = numbers[UP] = numbers[DOWN] = 0.0
            end_excursion(numbers[EXCURSION : EXCURSION + EXCURSION_NUMBERS], BASE, learn)
        if ideal > BASE:
            numbers[LENGTH] += 1.0
            numbers[TOTAL] += deviation
        else:
            numbers[LENGTH] = numbers[TOTAL] = 0.0
        if numbers[LENGTH] > settled:
            numbers[LEVEL] += numbers[TOTAL] / numbers[LENGTH]
            deviation -= numbers[TOTAL] / numbers[LENGTH]
            numbers[UP] = numbers[DOWN] = numbers[LENGTH] = numbers[TOTAL] = 0.0
            end_excursion(numbers[EXCURSION : EXCURSION + EXCURSION_NUMBERS], BASE, learn)
    numbers[LAST] = deviation
    if learn:
        _learn(numbers, deviation, last, innovation, gain)
    return evidence, size


@kernel
def _learn(numbers, deviation, last, innovation, gain):  # type: ignore[no-untyped-def]
    """Learn a deviation and an innovation, each limited to three standard deviations.

    Level and slope are those of a line through all values at first, later of a line that forgets (Holt 1957).
    """
    count = numbers[COUNT]
    weight = max(1.0 / count, gain)
    sign, sign_before = math.copysign(1.0, deviation), math.copysign(1.0, last)
    if count >= LEAST:
        limit = CLIP * math.sqrt(numbers[SPREAD])
        if limit > 0.0:
            deviation = min(max(deviation, -limit), limit)
        limit = CLIP * math.sqrt(numbers[VARIANCE])
        if limit > 0.0:
            innovation = min(max(innovation, -limit), limit)
    n = count + 1.0
    numbers[LEVEL] += numbers[SLOPE] + max(min(4.0 / n, 1.0), 2.0 * gain) * deviation
    numbers[SLOPE] += max(6.0 / (n * n) if count >= LEAST else 0.0, gain * gain) * deviation
    numbers[SPREAD] += weight * (deviation * deviation - numbers[SPREAD])
    numbers[SIGN] += weight * (sign - numbers[SIGN])
    numbers[SIGNS] += weight * (sign * sign_before - numbers[SIGNS])
    numbers[VARIANCE] += weight * (innovation * innovation - numbers[VARIANCE])
    numbers[COUNT] = n
