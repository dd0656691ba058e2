"""Alert budget: the threshold that gives so many alerts a day."""

from __future__ import annotations

import math

DAY = 86_400_000.0
LEAST, MOST = 1e-12, 1e-2  # thresholds
FASTEST = 1.0  # by how much the logarithm of the threshold moves in a day, at the most, because of what was achieved
REACH = (-6.0, 3.0)  # how far it may move in all


class Budget:
    """Keeps the alerts of one log, those of its windows among them, near a number a day, by event time.

    The threshold is a promise of false alarms for each event, so the budget over the events of a day is where it begins; as
    alerts come in runs, and not all are false, it then follows what is achieved, slowly.

    Parameters
    ----------
    target : float
        Alerts a day.

    Attributes
    ----------
    threshold : float or None
        Tail probability; None until a rate is known.
    achieved : float
        Alerts a day, over about the last day.
    """

    def __init__(self, target: float) -> None:
        self.target = target
        self.threshold: float | None = None
        self.achieved = 0.0
        self._events = self._opened = 0
        self._rate = 0.0
        self._moved = 0.0
        self._clock = 0
        self._span = 0.0

    def count(self, events: int, opened: int) -> None:
        """So many events came, and so many incidents opened."""
        self._events += events
        self._opened += opened

    def look(self, clock: int) -> None:
        """Follow what was counted since the last look.

        Parameters
        ----------
        clock : int
            Event time, milliseconds.
        """
        passed = clock - self._clock
        if self._clock and passed > 0:
            days = passed / DAY
            self._span += days
            # the mean of all there is, until there is a day
            weight = 1.0 - math.exp(-days) if self._span >= 1.0 else days / self._span
            self._rate += weight * (self._events / days - self._rate)
            self.achieved += weight * (self._opened / days - self.achieved)
            excess = (self.target - self.achieved) / self.target
            self._moved += FASTEST * min(days, 1.0) * min(max(excess, -1.0), 1.0)
            self._moved = min(max(self._moved, REACH[0]), REACH[1])
            self.threshold = min(max(self.target / max(self._rate, 1.0) * math.exp(self._moved), LEAST), MOST)
        self._clock = max(self._clock, clock)
        self._events = self._opened = 0

    def to_state(self) -> list[float | None]:
        """All that was learned."""
        counted = [self._events, self._opened]
        return [*counted, self.threshold, self.achieved, self._rate, self._moved, self._clock, self._span]

    def restore(self, state: list[float]) -> None:
        """Become what `to_state` told."""
        events, opened, self.threshold, self.achieved, self._rate, self._moved, clock, self._span = state
        self._events, self._opened, self._clock = int(events), int(opened), int(clock)
