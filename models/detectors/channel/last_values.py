"""What the last values of a field were: the last one, and a slow and a fast running mean."""

from __future__ import annotations

import math

from streamgauge.models.detectors.channel.usual_level import CLIP, LEVEL_NUMBERS, MEAN, SPREAD, has_varied, learn_level
from streamgauge.models.kernel import kernel

LAST, SLOW, FAST = range(3)
LAST_NUMBERS = 3  # float64 numbers of the last values
SLOW_GAIN, FAST_GAIN = 0.2, 1.0 / 3.0  # of the two running means
FAR = 10.0  # standard deviations that a value moves the fast mean by at most


@kernel
def limited(change, level, count, least, most):  # type: ignore[no-untyped-def]
    """A change, limited to `most` standard deviations of a level, if these are known and there are at least `least` values."""
    spread = math.sqrt(level[SPREAD])
    if spread <= 0.0 or count < least:
        return change
    return min(max(change, -most * spread), most * spread)


@kernel
def compared(last, x, level, count):  # type: ignore[no-untyped-def]
    """A value less the last one, the value less the slow mean, and the fast mean with the value in it.

    `level` is that of `count` values before. Where these never varied, the last two would only repeat what the first odd value says.
    """
    if count > 0.0 and not has_varied(level):
        return x - last[LAST], 0.0, level[MEAN]
    step = limited(x - last[FAST], level, count, 3.0, FAR)
    return x - last[LAST], x - last[SLOW], last[FAST] + FAST_GAIN * step


@kernel
def follow(last, x, departure, recent, level, count):  # type: ignore[no-untyped-def]
    """Follow the last values. This is not learning what is usual, so quarantined events do it, too.

    `departure` is the value less the slow mean, and `level` is that of such departures; `recent` is the new fast mean.
    """
    last[SLOW] += SLOW_GAIN * limited(departure, level, count, 10.0, CLIP)
    last[LAST], last[FAST] = x, recent


@kernel
def learn_levels(levels, statistics, whole, count, gain):  # type: ignore[no-untyped-def]
    """Learn one value of each statistic. All but the one at place `whole` need a value before it."""
    for k in range(len(statistics)):
        if k == whole or count > 0.0:
            level = levels[k * LEVEL_NUMBERS : (k + 1) * LEVEL_NUMBERS]
            learn_level(level, count if k == whole else count - 1.0, statistics[k], gain)
