"""Mean and variance of a statistic, learned so that no single value counts for more than three standard deviations."""

from __future__ import annotations

import math

from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.kernel import kernel

MEAN, SPREAD, ODD = range(3)  # mean, variance, and the size of the last change of a statistic that never varied
LEVEL_NUMBERS = 3  # float64 numbers of a level
CLIP = 3.0  # standard deviations that a value counts for at most
UNSURE = 3.0  # a few values say little of the spread: with n of them, the limit is (1 + UNSURE / n) times as wide
BEGINNING = 12.0  # values after which an entity begins anew if one of the first three was odd
ODD_SHARE = 1e-3  # of the sum of squares that is left without a value, if that one is odd


@kernel
def has_varied(level):  # type: ignore[no-untyped-def]
    """Whether the statistic has varied by more than rounding."""
    return math.sqrt(level[SPREAD]) > ROUNDING * abs(level[MEAN]) + 1e-300


@kernel
def farthest(first, level, x):  # type: ignore[no-untyped-def]
    """The one of three values that is farthest from the other two. `level` has learned them, and `x` is the last one."""
    second = 3.0 * level[MEAN] - first - x
    low, high = min(first, second, x), max(first, second, x)
    middle = first + second + x - low - high
    return high if high - middle > middle - low else low


@kernel
def is_odd(x, level, count):  # type: ignore[no-untyped-def]
    """Whether a value is so far off that it makes nearly all of the variance of the `count` values that a level has learned."""
    mean, squares = level[MEAN], count * level[SPREAD]
    others = (count * mean - x) / (count - 1.0)
    return squares - (x - mean) * (x - others) < ODD_SHARE * squares


@kernel
def begins_anew(numbers, place, level, count, x, has_changed):  # type: ignore[no-untyped-def]
    """Whether an entity begins anew, because one of its first three values was odd; `level` has learned `count` values, `x` is the last.

    `numbers[place]` keeps the farthest of the three. Where the value has not changed, the field may be one that hardly ever varies, and
    then its variations must be kept.
    """
    if count == 1.0:
        numbers[place] = x
    elif count == 3.0:
        numbers[place] = farthest(numbers[place], level, x)
    return count == BEGINNING and has_changed and is_odd(numbers[place], level, count)


@kernel
def distance(level, count, x):  # type: ignore[no-untyped-def]
    """Standard deviations between `x` and the mean of `count` values, the mean's own error included.

    A statistic that never varied has no spread: a change counts as if the chance for it were one in `count` + 1.
    """
    difference = x - level[MEAN]
    spread = math.sqrt(level[SPREAD])
    if not has_varied(level):
        is_equal = abs(difference) <= ROUNDING * abs(level[MEAN]) + 1e-300
        return 0.0 if is_equal else math.sqrt(2.0 * math.log(count + 1.0))
    return difference / (spread * math.sqrt(1.0 + 1.0 / count))


@kernel
def learn_level(level, count, x, gain):  # type: ignore[no-untyped-def]
    """Learn a value after `count` others; `gain` is the least weight of a value."""
    if count == 0.0:
        level[MEAN], level[SPREAD], level[ODD] = x, 0.0, 0.0
        return
    weight = max(1.0 / (count + 1.0), gain)
    change = x - level[MEAN]
    spread = math.sqrt(level[SPREAD])
    if has_varied(level):
        if count >= 3.0:
            limit = CLIP * spread * (1.0 + UNSURE / count)
            change = min(max(change, -limit), limit)
    elif count >= 3.0 and change != 0.0:
        # The smaller of two changes is learned, so a single wrong value teaches nothing.
        before = level[ODD]
        level[ODD] = abs(change)
        limit = min(abs(change), before)
        change = min(max(change, -limit), limit)
    level[MEAN] += weight * change
    level[SPREAD] = (1.0 - weight) * (level[SPREAD] + weight * change * change)
