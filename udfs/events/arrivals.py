"""When the records of a partition arrived, as far as this concerns others than the entity of each record.

Kafka's timestamp says when a record arrived. Where producers set it (`CreateTime`), the clock of one of them may be wrong.
"""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Ints

LAST = 9  # records that are asked
LEAP = 60_000  # milliseconds by which each record may move the clock, however many came in this time
PAUSE = 4  # a record may also move it by this many times the time from the middle one of the last records until now


class Arrivals:
    """Bounds Kafka's timestamps of one partition, so that those of a few records do not move the clock of all entities.

    A timestamp far after the newest one so far does not count until most of the last nine records are after the newest one, too. So after
    a pause of the stream, the clock goes on with the fifth record. Far means more than a minute, and longer than the last records took.
    The first record of a partition is believed, because nothing is known yet.

    Attributes
    ----------
    newest : int
        Newest arrival, in milliseconds since 1970.
    last : int64[m]
        Kafka's timestamps of the last records, at most eight.
    """

    def __init__(self) -> None:
        self.newest = 0
        self.last = np.empty(0, np.int64)

    def bounded(self, stamps: Ints) -> Ints:
        """When records arrived, given Kafka's timestamps; both int64[n], in milliseconds since 1970.

        It depends on the records so far only, not on how the partition is cut into batches.
        """
        known = np.concatenate((self.last, stamps))
        arrivals, self.newest = _bounded(known, len(self.last), self.newest)
        self.last = known[-(LAST - 1) :].copy()
        return arrivals

    def to_state(self) -> list[int]:
        """All that was learned."""
        return [self.newest, *self.last.tolist()]

    def restore(self, state: list[int]) -> None:
        """Restore what `to_state` gave."""
        self.newest, self.last = state[0], np.array(state[1:], np.int64)


def partition_clocks(times: Ints, arrivals: Ints, newest: int) -> Ints:
    """Event time of a partition at each event: the newest so far, of which none is later than the arrival of its record.

    Parameters
    ----------
    times, arrivals : int64[n]
        Event time and arrival of each event, in milliseconds since 1970.
    newest : int
        Event time of the partition before them.
    """
    clocks: Ints = np.maximum.accumulate(np.maximum(np.minimum(times, arrivals), newest))
    return clocks


def _bounded(stamps: Ints, begin: int, newest: int) -> tuple[Ints, int]:
    if begin:
        clocks = np.maximum.accumulate(np.append(newest, stamps[begin:]))
        if (clocks[1:] - clocks[:-1] <= LEAP).all():
            return stamps[begin:], int(clocks[-1])
    known, arrivals = stamps.tolist(), stamps[begin:].copy()
    for i, stamp in enumerate(known[begin:], begin):
        if i == 0:
            newest = stamp
        if stamp <= newest:
            continue
        if stamp - newest > LEAP:
            last = sorted(known[max(i + 1 - LAST, 0) : i + 1])
            middle = last[(len(last) - 1) // 2]
            if stamp - newest > PAUSE * (newest - middle):
                stamp = last[-2] if middle > newest else newest  # noqa: PLW2901
        arrivals[i - begin] = newest = stamp
    return arrivals, newest
