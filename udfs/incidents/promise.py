"""The promise of how many false incidents there are: it gives the threshold, and is compared with the incidents that opened."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.events import stream_kind
from streamgauge.udfs.incidents.kinds import CONDITIONAL, KIND_BITS, OPENED
from streamgauge.udfs.settings.promise import FalseIncidents

DAY = 86_400_000.0
# Bounds of the threshold. A stream of few events gets fewer incidents than promised: what happens more often than once in a thousand
# events is not rare enough for an incident.
LEAST, MOST = 1e-12, 1e-3
# Until this many events came, or this many days passed, the rate of events is not known. The threshold then is that of a stream of
# 10,000 events a day, and never looser than `SAFE`.
KNOWN_EVENTS, KNOWN_DAYS, SAFE = 100, 1.0, 1e-4
# On the first day, the threshold of the nth event is at least the promised number over so many times n: a stream that begins with a
# burst may not go on like this. All of this adds up to about one promised number, even with a billion events.
EACH = 20.0
# Events of the partition at which to look, in addition to the looks at the kind of the stream.
FIRST_LOOKS = (8, 16, 32, 64, 128, 256, 512)
PERIOD = 3.0  # days over which incidents are averaged
# Clearly more incidents than promised make the threshold stricter, by at most this (of its logarithm) a day, and by at most this in all.
SLOWLY, STRICTEST = 0.5, -math.log(100.0)
# Classes of the age of an entity, which is the time since its first event; milliseconds at which the second and the third begin.
AGES = ("day_1", "days_2_to_7", "later")
AGE_LIMITS = np.array([DAY, 7.0 * DAY])


class Promise:
    """Keeps the false incidents of one partition, its windows included, near a promised number.

    A threshold is the probability of a false incident for each event. So the threshold is the promised number of false incidents a day,
    divided by the number of events a day. It is never looser than that, and it is stricter in two cases:

    - The events of the last day were so many more than expected that their thresholds add up to more than was promised.
    - For days, clearly more incidents opened than were promised. Many of them may be true, so this correction is slow and bounded.

    Incidents that a rule opened do not count, nor do silent entities.

    Parameters
    ----------
    promised : FalseIncidents
        What this partition may raise.

    Attributes
    ----------
    threshold : float
        Tail probability.
    expected : float
        False incidents that the thresholds in force allowed in about the last day.
    achieved : float
        Incidents a day that opened by evidence: an average over about the last three days.
    """

    def __init__(self, promised: FalseIncidents) -> None:
        self.promised = promised
        self.threshold = SAFE * min(promised.a_day, 1.0)
        self.expected = self.achieved = 0.0
        self._clock: int | None = None  # event time of the last look, at first of the first event
        self._total = self._events = self._opened = 0  # events in all; events and incidents since event time last moved
        self._rate = 0.0  # events a day
        self._span = 0.0  # days observed so far
        self._correction = 0.0  # of the logarithm of the threshold
        self._entities = 0  # that sent an event lately; counted only where the promise is for each of them
        self._count_at = 0  # events in all, at which to count the entities again
        # Events of each age by the threshold that they were judged with. Whole numbers, so that sums do not depend on batches.
        self._judged: dict[float, list[int]] = {}
        self._spent = 0.0  # sum of the thresholds of events since the last look
        self._by_age = [[0, 0.0, 0] for _ in AGES]  # since the last report: events, sum of their thresholds, incidents

    @property
    def a_day(self) -> float:
        """Promised false incidents a day of the partition."""
        return self.promised.a_day * (max(self._entities, 1) if self.promised.each_entity else 1)

    # ---- what happened ------------------------------------------------------------------------------------------------

    def count(self, times: Ints, ages: Ints, thresholds: Floats, opened: Ints) -> dict[str, int]:
        """Count judged events, and incidents that opened.

        Parameters
        ----------
        times : int64[n]
            Event time of the partition at each event, in milliseconds.
        ages : int64[n]
            Age of each event's entity in milliseconds.
        thresholds : float64[n]
            Tail probability in force for each event.
        opened : int64[m]
            Places of the events that opened an incident; see `opened_by_evidence`.

        Returns
        -------
        dict of str to int
            For metrics.
        """
        if self._clock is None:
            self._clock = int(times[0])
        self._total += len(times)
        self._events += len(times)
        classes = _classes(ages)
        events = np.bincount(classes, minlength=len(AGES)).tolist()
        different = set(thresholds.tolist())
        for threshold in different:
            numbers = events
            if len(different) > 1:
                numbers = np.bincount(classes[thresholds == threshold], minlength=len(AGES)).tolist()
            known = self._judged.get(threshold, [0] * len(AGES))
            self._judged[threshold] = [a + b for a, b in zip(known, numbers, strict=True)]
        counts = {f"by_age.events_{name}": n for name, n in zip(AGES, events, strict=True) if n}
        return counts | self.count_opened(ages[opened])

    def count_opened(self, ages: Ints) -> dict[str, int]:
        """Count incidents that opened, by the age of their entities in milliseconds; returns counts for metrics."""
        if not len(ages):
            return {}
        self._opened += len(ages)
        counts: dict[str, int] = {}
        for age in _classes(ages).tolist():
            self._by_age[age][2] += 1
            counts[f"by_age.opened_{AGES[age]}"] = counts.get(f"by_age.opened_{AGES[age]}", 0) + 1
        return counts

    def _settle(self) -> None:
        """Add up the thresholds of the events so far. Call it at fixed numbers of events only, because sums of floats are rounded."""
        for threshold, numbers in sorted(self._judged.items()):
            for age, n in enumerate(numbers):
                self._by_age[age][0] += n
                self._by_age[age][1] += threshold * n
            self._spent += threshold * sum(numbers)
        self._judged.clear()

    # ---- the threshold ------------------------------------------------------------------------------------------------

    def look(self, clock: int, active: Callable[[int], int]) -> None:
        """Find the threshold anew, from what was counted since the last look. Call it at `until_look` only.

        Parameters
        ----------
        clock : int
            Event time, milliseconds.
        active : callable
            Number of entities that sent an event since an event time.
        """
        self._settle()
        days = 0.0 if self._clock is None else max(clock - self._clock, 0) / DAY
        spread = (
            -math.expm1(-days) / days if days > 0.0 else 1.0
        )  # what was spent evenly over these days is partly forgotten
        self.expected = self.expected * math.exp(-days) + self._spent * spread
        self._spent = 0.0
        if self.promised.each_entity and self._total >= self._count_at:
            self._entities = active(int(clock - max(self.promised.days, 1.0) * DAY))
            self._count_at = self._total + self._entities // 10  # so that counting costs little, however many there are
        if days > 0.0:
            self._span += days
            self._rate += self._weight(days, 1.0) * (self._events / days - self._rate)
            self.achieved += self._weight(days, PERIOD) * (self._opened / days - self.achieved)
            self._events = self._opened = 0
            clearly_more = self.achieved > self.a_day + 3.0 * math.sqrt(self.a_day)
            step = SLOWLY * min(days, 1.0)
            stricter = self._span >= PERIOD and clearly_more
            self._correction += -step if stricter else step
            self._correction = min(max(self._correction, STRICTEST), 0.0)
        self._clock = clock if self._clock is None else max(self._clock, clock)
        self.threshold = self._found()

    def _weight(self, days: float, period: float) -> float:
        """Weight of the days since the last look in an average over a period.

        In the first period, all parts of the time count alike; later, old ones are forgotten. A long pause of the stream counts as one
        period, so that it does not hide how many events there are usually.
        """
        counted = min(days, period)
        return max(1.0 - math.exp(-counted / period), counted / (self._span - days + counted))

    def _found(self) -> float:
        known = self._rate > 0.0 and (self._total >= KNOWN_EVENTS or self._span >= KNOWN_DAYS)
        safe = SAFE * min(self.a_day, 1.0)
        threshold = self.a_day / self._rate if known else safe
        if self._span < KNOWN_DAYS:
            threshold = max(threshold, min(self.a_day / (EACH * max(self._total, 1)), safe))
        if self.expected > self.a_day:
            threshold *= (self.a_day / self.expected) ** 2
        return min(max(threshold * math.exp(self._correction), LEAST), MOST)

    # ---- reports and state --------------------------------------------------------------------------------------------

    def report(self, replaced: bool) -> dict[str, Any]:
        """Report what was promised and achieved, and start counting by age from the beginning.

        Parameters
        ----------
        replaced : bool
            Whether another threshold than that of this promise is in force.

        Returns
        -------
        dict
            ``promised`` and ``achieved`` incidents a day, and ``by_age``: for each age of entities, ``events``, ``promised`` and
            ``opened`` incidents since the last report.
        """
        self._settle()
        rows = zip(AGES, self._by_age, strict=True)
        by_age = {name: {"events": n, "promised": round(p, 6), "opened": opened} for name, (n, p, opened) in rows}
        self._by_age = [[0, 0.0, 0] for _ in AGES]
        return self.figures(replaced) | {"by_age": by_age}

    def figures(self, replaced: bool) -> dict[str, float]:
        """Promised and achieved incidents a day; see `report`."""
        promised = self.expected if replaced else self.a_day
        return {"promised": round(promised, 6), "achieved": round(self.achieved, 6)}

    def to_state(self) -> dict[str, Any]:
        """All that was learned, as plain values."""
        return {
            "clock": self._clock,
            "counted": [self._total, self._events, self._opened],
            "averages": [self._rate, self._span, self.expected, self.achieved],
            "threshold": [self.threshold, self._correction],
            "entities": [self._entities, self._count_at],
            "judged": [[threshold, *numbers] for threshold, numbers in sorted(self._judged.items())],
            "spent": self._spent,
            "by_age": self._by_age,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `to_state` gave."""
        self._clock, self._spent, self._by_age = state["clock"], state["spent"], state["by_age"]
        self._total, self._events, self._opened = state["counted"]
        self._rate, self._span, self.expected, self.achieved = state["averages"]
        self.threshold, self._correction = state["threshold"]
        self._entities, self._count_at = state["entities"]
        self._judged = {threshold: numbers for threshold, *numbers in state["judged"]}


def until_look(events: int) -> int:
    """Number of events from this number of events of a partition to the next look; at least 1."""
    return min([stream_kind.until_look(events), *(n - events for n in FIRST_LOOKS if n > events)])


def is_look(events: int) -> bool:
    """Whether it is time to look after this number of events of a partition."""
    return stream_kind.is_look(events) or events in FIRST_LOOKS


def opened_by_evidence(place: Ints, change: Ints, status: Ints) -> Ints:
    """Places of the events that opened an incident by their evidence, and not by a rule.

    Parameters
    ----------
    place, change, status : int64[m]
        Place of the event, what changed, and the status of the incident; see `lifecycle.Decisions`.
    """
    counts: Flags = (change == OPENED) & (status & (1 << KIND_BITS) - 1 != CONDITIONAL)
    return place[counts]


def age_of(age: int) -> str:
    """Name of the class of an age in milliseconds."""
    return AGES[int(_classes(np.array([age]))[0])]


def _classes(ages: Ints) -> Ints:
    return np.searchsorted(AGE_LIMITS, ages, side="right")
