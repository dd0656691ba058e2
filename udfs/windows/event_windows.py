"""The event time of a partition, and the windows that end as it goes on.

Event time is the newest time of the partition's events, minus `event.out_of_order`. A window ends when event time has passed its
end. An event that comes after that amends the aggregates if it is at most `event.amend_within` behind event time. An older event is late.
"""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.udfs.events.arrivals import partition_clocks
from streamgauge.udfs.settings.event import EventSettings
from streamgauge.udfs.settings.pipeline import EventWindow


def ends_of(window: EventWindow, time: int) -> range:
    """Ends of the windows that contain a time; all in milliseconds since 1970."""
    first = time // window.every * window.every + window.every
    return range(first, first + window.size, window.every)


def ending(closed: dict[str, int], windows: dict[str, EventWindow], clocks: Ints) -> list[int]:
    """Find the events with which windows end.

    Parameters
    ----------
    closed : dict of str to int
        By name of the window: end of the newest one that has ended, in milliseconds since 1970.
    windows : dict of str to EventWindow
    clocks : int64[n]
        Event time of the partition at each event, in milliseconds since 1970.

    Returns
    -------
    list of int
        Positions of these events, in order.
    """
    places: set[int] = set()
    for name, window in windows.items():
        ticks = clocks // window.every
        passed = ticks > np.append(closed[name] // window.every, ticks[:-1])
        places.update(np.flatnonzero(passed).tolist())
    return sorted(places)


class EventClock:
    """The event time of one partition, as windows need it.

    Parameters
    ----------
    settings : EventSettings

    Attributes
    ----------
    newest : int
        Newest time of all events so far, in milliseconds since 1970; -1 before the first event.
    """

    def __init__(self, settings: EventSettings) -> None:
        self.newest = -1
        self._behind, self._amend_within = settings.out_of_order, settings.amend_within

    def admit(self, times: Ints, arrivals: Ints) -> tuple[Ints, Ints]:
        """Move event time on with some events, and find the late ones.

        An event moves event time at most to the arrival of its record. Otherwise one device with a wrong clock would end the
        windows of all others.

        Parameters
        ----------
        times, arrivals : int64[n]
            Event times, and when the records arrived (`events.arrivals`), in milliseconds since 1970.

        Returns
        -------
        clocks : int64[n]
            Event time of the partition at each event, in milliseconds since 1970.
        late : int64[n]
            Milliseconds by which a late event is older than the newest one so far; 0 if it is not late.
        """
        if not len(times):
            return times, times
        newest = partition_clocks(times, arrivals, self.newest)
        before = np.append(self.newest, newest[:-1])
        late = np.where((before >= 0) & (times < before - self._behind - self._amend_within), before - times, 0)
        self.newest = int(newest[-1])
        return newest - self._behind, late
