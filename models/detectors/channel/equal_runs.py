"""How rare a run of equal values is."""

from __future__ import annotations

import math

from streamgauge.models.kernel import kernel

# Numbers of the runs: length of the run; evidence of its length; the value with the most repeats and its lead; runs so far. For runs of
# that value, then for all others, by classes of lengths: how often a run went on, and how often it ended.
LENGTH, FOUND, COMMON, LEAD, STARTS = range(5)
WENT_ON = 5
CLASSES = 5  # runs of 1, of 2 and 3, up to 7, up to 31, longer
EQUAL_NUMBERS = WENT_ON + 4 * CLASSES
REPEATED = 0.01  # least chance that a value is repeated: events are sent twice in any stream
PRIOR, CHANCE = 3.0, 0.2  # a length that never came goes on with this chance, which counts for so many runs
FEW_RUNS = 8.0  # with fewer runs so far, a field is (nearly) constant, and nothing is known of its runs
MEMORY = 4000.0  # runs of a class after which old ones count less
SUSPICIOUS, LITTLE = 7.0, 0.1  # a run of more evidence is learned with this weight


@kernel
def _class_of(length):  # type: ignore[no-untyped-def]
    if length < 2.0:
        return 0
    if length < 4.0:
        return 1
    if length < 8.0:
        return 2
    return 3 if length < 32.0 else 4


@kernel
def _place(numbers, x, length):  # type: ignore[no-untyped-def]
    """Place of the count of runs of this value and length that went on; that of those that ended is the next but `CLASSES`."""
    kind = 0 if numbers[LEAD] > 0.0 and x == numbers[COMMON] else 1
    return WENT_ON + 2 * kind * CLASSES + _class_of(length)


@kernel
def _add(numbers, place, weight):  # type: ignore[no-untyped-def]
    numbers[place] += weight
    first = place
    while (first - WENT_ON) % (2 * CLASSES) >= CLASSES:
        first -= CLASSES
    if numbers[first] + numbers[first + CLASSES] > MEMORY:
        numbers[first] *= 0.5
        numbers[first + CLASSES] *= 0.5


@kernel
def _chance(numbers, x, length):  # type: ignore[no-untyped-def]
    """Predicted chance that a run of this length goes on; a class that is hardly known borrows from the shorter lengths."""
    place = _place(numbers, x, length)
    first = place - _class_of(length)
    chance = CHANCE
    if place == first:
        return max((numbers[place] + 0.5) / (numbers[place] + numbers[place + CLASSES] + 1.0), REPEATED)
    for at in range(first, place + 1):
        total = numbers[at] + numbers[at + CLASSES]
        own = (numbers[at] + PRIOR * chance) / (total + PRIOR)
        chance = max(own, chance) if at < place else own
    return chance


@kernel
def run_evidence(numbers, x, last, values, learn):  # type: ignore[no-untyped-def]
    """Minus ln of the rate of runs as long as the one that the value `x` goes on with; 0 for a value that differs from the last.

    The chance that a run goes on depends on how long it is already, and on whether it is one of the value with the most repeats: so zeros,
    rounded values, two values and a night without load have the runs that they have shown.
    """
    if numbers[LENGTH] == 0.0:
        numbers[LENGTH], numbers[STARTS] = 1.0, 1.0
        return 0.0
    length = numbers[LENGTH]
    weight = 1.0 if numbers[FOUND] < SUSPICIOUS else LITTLE
    if x != last:
        if learn:
            _add(numbers, _place(numbers, last, length) + CLASSES, weight)
            numbers[STARTS] += 1.0
        numbers[LENGTH], numbers[FOUND] = 1.0, 0.0
        return 0.0
    judged = numbers[STARTS] >= FEW_RUNS
    if numbers[FOUND] == 0.0 and judged:
        numbers[FOUND] = math.log(max(values / (numbers[STARTS] + 1.0), 1.0))
    if judged:
        numbers[FOUND] = min(numbers[FOUND] - math.log(_chance(numbers, x, length)), 100.0)
    numbers[LENGTH] = length + 1.0
    if learn:
        _add(numbers, _place(numbers, x, length), weight)
        if numbers[LEAD] <= 0.0:
            numbers[COMMON], numbers[LEAD] = x, 1.0
        elif weight == 1.0:
            numbers[LEAD] = min(numbers[LEAD] + (1.0 if x == numbers[COMMON] else -1.0), MEMORY)
    return numbers[FOUND]
