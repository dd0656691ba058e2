"""Event time of a partition, and the windows that end with it.

A window ends when event time has passed it: the newest time of the partition so far, less `event.out_of_order`. What comes later, within
`event.amend_within`, changes the aggregates; what is older than that is late.
"""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.udfs.settings.pipeline import EventSettings, EventWindow


def ends_of(window: EventWindow, time: int) -> range:
    """Ends of the windows that a time lies in."""
    first = time // window.every * window.every + window.every
    return range(first, first + window.size, window.every)


def ending(closed: dict[str, int], windows: dict[str, EventWindow], clocks: Ints) -> list[int]:
    """Places of the events at which windows end.

    Parameters
    ----------
    closed : dict of str to int
        By window: end of the newest one that has ended, milliseconds.
    windows : dict of str to EventWindow
    clocks : int64[n]
        Event time at each event.
    """
    places: set[int] = set()
    for name, window in windows.items():
        ticks = clocks // window.every
        passed = ticks > np.append(closed[name] // window.every, ticks[:-1])
        places.update(np.flatnonzero(passed).tolist())
    return sorted(places)


class EventClock:
    """Event time of one partition, as far as windows need it.

    Parameters
    ----------
    settings : EventSettings

    Attributes
    ----------
    newest : int
        Newest time of all events, milliseconds; -1 before the first one.
    """

    def __init__(self, settings: EventSettings) -> None:
        self.newest = -1
        self._behind, self._amend_within = settings.out_of_order, settings.amend_within

    def admit(self, times: Ints, stamps: Ints) -> tuple[Ints, Ints]:
        """Event time at each event, and by how much each is late; 0 is not late.

        A time after the record's own timestamp moves event time no farther than that timestamp: one wrong clock must not end everybody's
        windows.

        Parameters
        ----------
        times, stamps : int64[n]
            Of events, and Kafka's; milliseconds.

        Returns
        -------
        clocks : int64[n]
        late : int64[n]
            Milliseconds before the newest event so far, where that is more than can be amended.
        """
        if not len(times):
            return times, times
        newest = np.maximum.accumulate(np.maximum(np.minimum(times, stamps), self.newest))
        before = np.append(self.newest, newest[:-1])
        late = np.where((before >= 0) & (times < before - self._behind - self._amend_within), before - times, 0)
        self.newest = int(newest[-1])
        return newest - self._behind, late
