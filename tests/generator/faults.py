"""Faults: how each changes the values of one entity, in which events it must be told, and which kinds of anomaly it may be called.

All sizes are in sigmas of what a good channel sees. A fault is planted at a row of the entity; it gives the rows in which it must be told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from streamgauge.models.contract import Floats, Ints

from tests.generator.processes import BEAT, DAY, PROCESSES, Process

LONG = 60  # events of a run
BROKEN = 10  # events in which a relation is broken
OUTAGES, APART = 8, 200  # of the repeated outage
AFTER = 100  # events from the first to the second part of a fault
RELATION_NOISE = 0.05  # of the second field, in usual variations of the first
BAD = (-9999.0, 65535.0, 2.0**31 - 1, 1e308)
SCALED = {"gaussian", "daily", "weekly", "trend", "ar99", "random_walk", "regimes", "beat", "student_t"}
STEADY = {"gaussian", "daily", "weekly", "trend", "integers", "beat"}  # the mean of a run says more than one value does
CONTINUOUS = SCALED | {"lognormal"}

Ranges = list[tuple[int, int]]


@dataclass
class Entity:
    """The values of one entity, which a fault changes in place.

    Attributes
    ----------
    deviations : float64[steps]
    expected : float64[steps]
    times : int64[steps]
        Milliseconds.
    process : Process
    sigmas : float
        Size of the fault.
    sigma : float
        A usual variation of the process, as a deviation.
    other : float64[steps]
        A second field: twice the first, with little noise. Only the relation uses it.
    bad : dict of int to float
        Rows whose raw value is replaced.
    """

    deviations: Floats
    expected: Floats
    times: Ints
    process: Process
    sigmas: float
    sigma: float = 1.0
    other: Floats = field(default_factory=lambda: np.empty(0))
    bad: dict[int, float] = field(default_factory=dict)

    @property
    def size(self) -> float:
        """The size of the fault as a deviation, as rare as `sigmas` normal sigmas."""
        return self.process.size(self.sigmas)


Plant = Callable[[np.random.Generator, Entity, int], Ranges | None]


def _set_beyond(entity: Entity, row: int, size: float) -> None:
    """Set one value that far from what was expected there."""
    entity.deviations[row] = entity.expected[row] + size


def spike(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """One value too high."""
    _set_beyond(entity, row, entity.size)
    return [(row, row)]


def dip(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """One value too low."""
    _set_beyond(entity, row, -entity.size)
    return [(row, row)]


def level_shift(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """All values from here on are higher or lower."""
    entity.deviations[row:] += _side(random, entity) * entity.size
    return [(row, row + LONG - 1)]


def small_shift(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """A shift that no single value shows: the mean of 16 values is as many of its own sigmas away."""
    shift = entity.sigmas * entity.sigma / 4
    entity.deviations[row:] += _side(random, entity) * (np.ceil(shift) if entity.process.whole else shift)
    return [(row, row + 2 * LONG - 1)]


def ramp(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """A slow degradation: as many sigmas within 240 events; then it stays there."""
    length = 4 * LONG
    away = np.minimum(np.arange(len(entity.deviations) - row) / length, 1.0) * entity.size
    entity.deviations[row:] += _side(random, entity) * (np.round(away) if entity.process.whole else away)
    return [(row, row + length + LONG - 1)]


def stuck(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """A flat line: one value again and again."""
    row = next((k for k in range(row, len(entity.deviations)) if entity.deviations[k] > 0), row)
    entity.deviations[row : row + LONG] = entity.deviations[row]
    return [(row + 1, row + LONG - 1)]


def variance_burst(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """A run of values that spread four times as wide."""
    part = slice(row, row + LONG)
    entity.deviations[part] = entity.expected[part] + 4 * entity.sigma * random.standard_normal(LONG)
    return [(row, row + LONG - 1)]


def wrong_time(random: np.random.Generator, entity: Entity, row: int) -> Ranges | None:
    """Values that are usual, but half a day (or in the office's week, a busy hour) away from now."""
    step = int(entity.times[1] - entity.times[0])
    length, steps = max(2, DAY // 12 // step), len(entity.expected)
    far = entity.sigmas * entity.sigma
    low, high = entity.expected.min(), entity.expected.max()
    for first in range(row, steps - length):
        now = entity.expected[first : first + length]
        for instead in (low, high):
            if np.abs(now - instead).min() >= far:
                entity.deviations[first : first + length] += instead - now
                return [(first, first + length - 1)]
    return None


def missing_cycle(random: np.random.Generator, entity: Entity, row: int) -> Ranges | None:
    """A beat that does not come, or a day without its busy hours."""
    low = entity.expected.min()
    if not entity.process.cyclic:
        first = next(
            (k for k in range(row, row + 2 * BEAT) if entity.expected[k] > low and entity.expected[k - 1] == low), None
        )
        if first is None:
            return None
        entity.deviations[first : first + 2] += low - entity.expected[first : first + 2]
        return [(first, first + 1 + BEAT // 2)]
    busy = entity.expected > low + entity.sigmas
    starts = np.flatnonzero(busy[1:] & ~busy[:-1]) + 1
    starts = starts[starts >= row]
    if not len(starts):
        return None
    first = int(starts[0])
    ends = np.flatnonzero(~busy[first:])
    if not len(ends):
        return None
    last = first + int(ends[0]) - 1
    entity.deviations[first : last + 1] += low - entity.expected[first : last + 1]
    return [(first, last)]


def repeated_outage(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """The same outage again and again: five events far too low. Each must be told."""
    ranges = []
    for first in range(row, len(entity.deviations) - 5, APART):
        entity.deviations[first : first + 5] = entity.expected[first : first + 5] - 2 * entity.size
        ranges.append((first, first + 4))
    return ranges[:OUTAGES]


def smaller_after_larger(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """A value ten times as far, and then one of the usual size. Both must be told."""
    _set_beyond(entity, row, 10 * entity.size)
    _set_beyond(entity, row + AFTER, entity.size)
    return [(row, row), (row + AFTER, row + AFTER)]


def broken_relation(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """The second field is no longer twice the first; both have usual values."""
    for k in range(row, row + BROKEN):
        away = np.abs(2 * entity.deviations[:row] - entity.other[k]) >= RELATION_NOISE * entity.sigmas
        entity.other[k] = 2 * entity.deviations[random.choice(np.flatnonzero(away))]
    return [(row, row + BROKEN - 1)]


def jump(random: np.random.Generator, entity: Entity, row: int) -> Ranges | None:
    """A step that the process never takes, to a place where it has been."""
    before = entity.deviations[:row]
    for at in range(row, len(entity.deviations) - LONG):
        for step in (entity.size, -entity.size):
            to = entity.deviations[at] + step
            if before.min() < to < before.max():
                entity.deviations[at:] += step
                return [(at, at)]
    return None


def bad_value(random: np.random.Generator, entity: Entity, row: int) -> Ranges:
    """One value that means that there is none; 50 events later a fault of the usual size must be told again."""
    entity.bad[row] = float(random.choice(BAD))
    later = row + 50
    _set_beyond(entity, later, entity.size)
    return [(row, row), (later, later)]


def _side(random: np.random.Generator, entity: Entity) -> float:
    """Up, or as often down where that is as rare as up."""
    return (
        1.0 if entity.process.whole or entity.process is PROCESSES["lognormal"] else float(random.choice((-1.0, 1.0)))
    )


@dataclass(frozen=True)
class Fault:
    """A fault that can be planted.

    Attributes
    ----------
    plant : callable
        Changes an entity from a row on. Returns first and last row of each range in which an incident must open; None if the fault has no
        place there.
    kinds : tuple of str
        Kinds of anomaly that name it rightly.
    on : frozenset of str
        Processes for which the fault has the size that it promises.
    """

    plant: Plant
    kinds: tuple[str, ...]
    on: frozenset[str]


VALUE = ("point", "contextual")
RUN = ("collective", "drift")
FAULTS = {
    "spike": Fault(spike, VALUE, frozenset(PROCESSES)),
    "dip": Fault(dip, VALUE, frozenset(SCALED | {"integers"})),
    "level_shift": Fault(level_shift, ("point", *RUN), frozenset((SCALED | {"integers"}) - {"student_t"})),
    "small_shift": Fault(small_shift, RUN, frozenset(STEADY)),
    "ramp": Fault(ramp, RUN, frozenset(STEADY | {"regimes"})),
    "stuck": Fault(stuck, ("collective",), frozenset(set(PROCESSES) - {"two_valued"})),
    "variance_burst": Fault(variance_burst, ("collective", "point"), frozenset(SCALED - {"student_t"})),
    "wrong_time": Fault(wrong_time, ("contextual", "collective"), frozenset({"daily", "weekly"})),
    "missing_cycle": Fault(missing_cycle, ("contextual", "collective"), frozenset({"daily", "weekly", "beat"})),
    "repeated_outage": Fault(repeated_outage, (*VALUE, "collective"), frozenset(SCALED - {"student_t"})),
    "smaller_after_larger": Fault(smaller_after_larger, VALUE, frozenset(PROCESSES)),
    "broken_relation": Fault(
        broken_relation, ("contextual", "collective"), frozenset(CONTINUOUS - {"student_t", "lognormal"})
    ),
    "jump": Fault(jump, VALUE, frozenset({"ar99", "random_walk"})),
    "bad_value": Fault(bad_value, ("point",), frozenset(PROCESSES)),
}
