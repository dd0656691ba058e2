"""Windows of event time: an entity's aggregates are told like events of their own, by the same steps; late events amend what was told.

A window ends when event time has passed it: the newest time of the log so far, less `event.out_of_order`. What comes later, within
`event.amend_within`, changes the aggregates; they are judged again against what is known then, without learning from them twice, and
the alert is opened, updated or retracted under the identity that it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.persistence.codec import pack
from streamgauge.udfs.control.messages import Control
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.incidents.budget import Budget
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.window_partition import WindowLog
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.windows.aggregate import KeptEvents, columns_of


class Windows:
    """All windows of one log.

    Parameters
    ----------
    log : int
    settings : PipelineSettings
    topic, job : str
    control : Control
    saves : bool
    budget : Budget, optional
        Of the log: alerts of windows count in it.
    """

    def __init__(
        self, log: int, settings: PipelineSettings, topic: str, job: str, control: Control, saves: bool, budget: Budget | None
    ) -> None:  # fmt: skip
        self.kept = KeptEvents(columns_of(settings.windows.values()), f"{log}/")
        self.logs = {
            name: WindowLog(name, of, log, settings, topic, job, control, saves, self.kept, budget)
            for name, of in settings.windows.items()
        }
        self._behind, self._amend_within = settings.event.out_of_order, settings.event.amend_within
        self._longest = max(of.size for of in settings.windows.values())
        self._newest = self._clock = -1  # of all events, and of those that were fed
        self._offset = -1
        self._deletes: list[str] = []

    def admit(self, times: Ints, stamps: Ints) -> tuple[Ints, Ints]:
        """Event time at each event, and by how much each is late; 0 is not.

        A time after the record's own timestamp moves event time no farther than this: one wrong clock must not end everybody's windows.

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
        newest = np.maximum.accumulate(np.maximum(np.minimum(times, stamps), self._newest))
        before = np.append(self._newest, newest[:-1])
        late = np.where((before >= 0) & (times < before - self._behind - self._amend_within), before - times, 0)
        self._newest = int(newest[-1])
        return newest - self._behind, late

    def feed(self, events: Events, offsets: Ints, clocks: Ints, result: BatchResult) -> None:
        """Take events, and tell of the windows that end with them.

        Parameters
        ----------
        events : Events
        offsets : int64[n]
        clocks : int64[n]
            Event time at each.
        result : BatchResult
            Alerts are added.
        """
        if not len(events):
            return
        X = self.kept.read(events)
        for log in self.logs.values():
            if log.closed < 0:
                log.closed = int(clocks[0]) // log.of.every * log.of.every
        begin = 0
        for place in self._ending(clocks):
            self._keep(events.slice(begin, place + 1), offsets[begin : place + 1], X[begin : place + 1])
            begin = place + 1
            self._clock, self._offset = int(clocks[place]), int(offsets[place])
            self._close(self._clock, result)
        self._keep(events.slice(begin, len(events)), offsets[begin:], X[begin:])
        self._clock, self._offset = int(clocks[-1]), int(offsets[-1])

    def _ending(self, clocks: Ints) -> list[int]:
        """Places of the events at which windows end."""
        places: set[int] = set()
        for log in self.logs.values():
            ticks = clocks // log.of.every
            news = ticks > np.append(log.closed // log.of.every, ticks[:-1])
            places.update(np.flatnonzero(news).tolist())
        return sorted(places)

    def _keep(self, events: Events, offsets: Ints, X: Floats) -> None:
        self.kept.add(events.entities, events.times, offsets, X)
        for log in self.logs.values():
            log.late(events.entities, events.times)

    def _close(self, clock: int, result: BatchResult) -> None:
        for log in self.logs.values():
            log.close(clock, self._offset, result)
        oldest = self._clock - self._amend_within
        for log in self.logs.values():
            log.expire(oldest)
        self._deletes += self.kept.forget(oldest - self._longest)

    def tick(self, elapsed: int, result: BatchResult) -> None:
        """Nothing came for so many milliseconds: event time goes on with them."""
        if self._clock >= 0:
            self._close(self._clock + elapsed, result)

    def meta(self) -> dict[str, Any]:
        """What is saved in the log's header."""
        logs = {name: [log.closed, sorted(log.pending)] for name, log in self.logs.items()}
        return {"newest": self._newest, "clock": self._clock, "offset": self._offset, "logs": logs}

    def save(self, result: BatchResult) -> None:
        """Add what changed to the saved state."""
        self.kept.save(result.writes)
        result.deletes += self._deletes
        self._deletes = []
        for log in self.logs.values():
            log.save(result)

    def restore(self, saved: dict[str, bytes], meta: dict[str, Any]) -> None:
        """Become what was saved, where the windows are still the same."""
        self._newest, self._clock, self._offset = meta["newest"], meta["clock"], meta["offset"]
        self.kept.restore({int(key[1:]): value for key, value in saved.items() if key[0] == "v"})
        for name, (closed, pending) in meta["logs"].items():
            if name in self.logs:
                log, prefix = self.logs[name], f"w:{name}/"
                log.closed, log.pending = closed, {(end, entity) for end, entity in pending}
                own = {key.removeprefix(prefix): value for key, value in saved.items() if key.startswith(prefix)}
                if own:
                    log.restore(own)

    def canonical(self) -> bytes:
        """The whole state in one normal form."""
        parts = {"kept": self.kept.canonical(self._clock - self._amend_within - self._longest)}
        for name, log in self.logs.items():
            parts[name] = log.canonical()
            parts[f"{name} told"] = b"".join(log.told[end].to_state() for end in sorted(log.told))
        return pack("windows", 1, self.meta(), {name: np.frombuffer(part, np.uint8) for name, part in parts.items()})
