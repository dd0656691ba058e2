"""Alert budget: finds the threshold that gives the wanted number of alerts a day."""

from __future__ import annotations

import math

DAY = 86_400_000.0
LEAST, MOST = 1e-12, 1e-2  # bounds of the threshold
FASTEST = 1.0  # most that the correction (of the threshold's logarithm) may change in a day
REACH = (-6.0, 3.0)  # bounds of the correction


class Budget:
    """Keeps the alerts of one partition, its windows included, near a number a day of event time.

    A threshold is the probability of a false alarm for each event. So the first threshold is the wanted number of alerts, divided by
    the number of events a day. But alerts come in runs, and not all of them are false. So a correction slowly follows the number of
    alerts that there really were.

    Parameters
    ----------
    target : float
        Wanted alerts a day, above 0.

    Attributes
    ----------
    threshold : float or None
        Tail probability; None until the number of events a day is known.
    achieved : float
        Alerts a day: an average over about the last day.
    """

    def __init__(self, target: float) -> None:
        self.target = target
        self.threshold: float | None = None
        self.achieved = 0.0
        self._events = self._opened = 0  # since the last look
        self._rate = 0.0  # events a day
        self._correction = 0.0  # of the logarithm of the threshold
        self._clock = 0  # event time of the last look
        self._span = 0.0  # days observed so far

    def count(self, events: int, opened: int) -> None:
        """Count events, and incidents that opened."""
        self._events += events
        self._opened += opened

    def look(self, clock: int) -> None:
        """Update the threshold from what was counted since the last look.

        Parameters
        ----------
        clock : int
            Event time, milliseconds.
        """
        passed = clock - self._clock
        if self._clock and passed > 0:
            days = passed / DAY
            self._span += days
            # In the first day, all parts of the time count alike; later, old ones are forgotten.
            weight = 1.0 - math.exp(-days) if self._span >= 1.0 else days / self._span
            self._rate += weight * (self._events / days - self._rate)
            self.achieved += weight * (self._opened / days - self.achieved)
            excess = (self.target - self.achieved) / self.target
            self._correction += FASTEST * min(days, 1.0) * min(max(excess, -1.0), 1.0)
            self._correction = min(max(self._correction, REACH[0]), REACH[1])
            self.threshold = min(max(self.target / max(self._rate, 1.0) * math.exp(self._correction), LEAST), MOST)
        self._clock = max(self._clock, clock)
        self._events = self._opened = 0

    def to_state(self) -> list[float | None]:
        """All that was learned."""
        counted = [self._events, self._opened]
        return [*counted, self.threshold, self.achieved, self._rate, self._correction, self._clock, self._span]

    def restore(self, state: list[float]) -> None:
        """Restore what `to_state` gave."""
        events, opened, self.threshold, self.achieved, self._rate, self._correction, clock, self._span = state
        self._events, self._opened, self._clock = int(events), int(opened), int(clock)
