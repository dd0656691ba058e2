"""Far values that come again and again, as in a sawtooth signal: such a value is not rarer than all such values together."""

from __future__ import annotations

import math

from streamgauge.models.kernel import kernel

SHARE, TYPICAL = range(
    2
)  # share of far values; their typical ideal evidence, with a minus while the last value was far out
REPEAT_NUMBERS = 2  # float64 numbers of the repeats of a statistic
FAR = 15.0  # ideal evidence of a value that is far out
ENOUGH = 4.0  # times that far values must have come
MEMORY = 4000.0  # values after which old ones count less
MARGIN = 2.5  # evidence that a repeat may have beyond the share of such values: one that comes each 400th time is told each time
LARGER = 1.5  # ideal evidence of a value that is clearly larger than the usual far ones, as a multiple of theirs


@kernel
def not_rarer(evidence, ideal, repeats, count):  # type: ignore[no-untyped-def]
    """Bound the evidence of a far value by the share of such values, unless this one is clearly larger.

    Parameters
    ----------
    evidence, ideal : float
        Evidence of the value, and its evidence if its distribution were ideal.
    repeats : float64[REPEAT_NUMBERS]
    count : float
        Values of the statistic so far.
    """
    share = repeats[SHARE]
    if share * min(count, MEMORY) < ENOUGH or ideal > LARGER * abs(repeats[TYPICAL]):
        return evidence
    return min(evidence, MARGIN - math.log(share))


@kernel
def learn_repeat(repeats, ideal, count):  # type: ignore[no-untyped-def]
    """Learn whether the value is far out. Several in a row count once."""
    is_far = ideal > FAR
    typical, comes = abs(repeats[TYPICAL]), is_far and repeats[TYPICAL] >= 0.0
    repeats[SHARE] += ((1.0 if comes else 0.0) - repeats[SHARE]) / min(count + 1.0, MEMORY)
    if comes:
        typical = ideal if typical == 0.0 else typical + 0.2 * (ideal - typical)
    repeats[TYPICAL] = -typical if is_far else typical
