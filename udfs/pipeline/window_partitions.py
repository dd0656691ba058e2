"""All windows of one partition. Events are kept until their windows have ended and cannot be amended any more."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.persistence.codec import pack
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.incidents.promise import Promise
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.stages import Stages
from streamgauge.udfs.pipeline.window_partition import WindowPartition
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.windows.aggregate import KeptEvents, columns_of
from streamgauge.udfs.windows.event_windows import EventClock, ending

# Keys that are deleted with one batch. Each batch saves a chunk of events, and those of many minutes are forgotten at once.
DELETES = 1_000


class WindowPartitions:
    """All windows of one partition.

    Parameters
    ----------
    settings : PipelineSettings
    origin : Origin
    in_force : InForce
    promise : Promise
        Promise of the partition; incidents of windows count in it too.

    Attributes
    ----------
    clock : EventClock
    kept : KeptEvents
    of : dict of str to WindowPartition
        By the name of the window.
    """

    def __init__(self, settings: PipelineSettings, origin: Origin, in_force: InForce, promise: Promise) -> None:
        self.clock = EventClock(settings.event)
        self.kept = KeptEvents(columns_of(settings.windows.values()), f"{origin.key}/")
        self.of = {
            name: WindowPartition(name, settings, origin, in_force, self.kept, promise) for name in settings.windows
        }
        self._settings = settings.windows
        self._amend_within = settings.event.amend_within
        self._longest = max(window.size for window in settings.windows.values())
        self._now = self._offset = -1  # event time and offset of the last event
        self._deletes: list[str] = []

    @property
    def stages(self) -> list[Stages]:
        """The stages of each kind of windows."""
        return [partition.stages for partition in self.of.values()]

    def clock_only(self) -> WindowPartitions:
        """A copy without windows. It still says which events are late."""
        copied = copy.copy(self)
        copied.clock, copied.of = copy.copy(self.clock), {}
        return copied

    def feed(self, stretch: Stretch, clocks: Ints, result: BatchResult) -> None:
        """Take events, and score the windows that end with them.

        Parameters
        ----------
        stretch : Stretch
        clocks : int64[n]
            Event time of the partition at each event, in milliseconds since 1970.
        result : BatchResult
            Alerts are added.
        """
        events, offsets = stretch.events, stretch.offsets
        X = self.kept.read(events)
        for partition in self.of.values():
            partition.begin(int(clocks[0]))
        begin = 0
        for place in ending({name: one.closed for name, one in self.of.items()}, self._settings, clocks):
            self._keep(events.slice(begin, place + 1), offsets[begin : place + 1], X[begin : place + 1])
            begin = place + 1
            self._now, self._offset = int(clocks[place]), int(offsets[place])
            self._close(self._now, result)
        self._keep(events.slice(begin, len(events)), offsets[begin:], X[begin:])
        self._now, self._offset = int(clocks[-1]), int(offsets[-1])
        for partition in self.of.values():
            partition.offset = self._offset  # as after a restart

    def _keep(self, events: Events, offsets: Ints, X: Floats) -> None:
        self.kept.add(events.entities, events.times, offsets, X)
        for partition in self.of.values():
            partition.note_late(events.entities, events.times)

    def _close(self, now: int, result: BatchResult) -> None:
        oldest = self._now - self._amend_within
        for partition in self.of.values():
            partition.close(now, self._offset, oldest, result)
        # A window that late events have changed is judged again when the next one of its kind ends, and needs its events until then.
        pending = [end for partition in self.of.values() for end, _ in partition.pending]
        self._deletes += self.kept.forget(min([oldest, *pending]) - self._longest)

    def tick(self, elapsed: int, result: BatchResult) -> None:
        """Let event time pass by `elapsed` milliseconds in which no record came, and end windows."""
        if self._now >= 0:
            self._close(self._now + elapsed, result)

    # ---- saved state --------------------------------------------------------------------------------------------------

    def header(self) -> dict[str, Any]:
        """The part of the partition's header about windows."""
        windows = {name: [one.closed, sorted(one.pending)] for name, one in self.of.items()}
        spans = {name: [one.of.size, one.of.every, one.since] for name, one in self.of.items()}
        clock = {"newest": self.clock.newest, "clock": self._now, "offset": self._offset}
        return clock | {"logs": windows, "spans": spans}

    def save(self, result: BatchResult) -> None:
        """Add the changes since the last save to the saved state."""
        self.kept.save(result.writes)
        result.deletes += self._deletes[:DELETES]
        del self._deletes[:DELETES]
        for partition in self.of.values():
            partition.save(result)

    def restore(self, saved: dict[str, bytes], header: dict[str, Any] | None, now: int) -> None:
        """Read the saved state. Windows that it does not have, or has with another length, begin anew; those that are gone are forgotten.

        Parameters
        ----------
        saved : dict of str to bytes
            Saved values of the partition, by key without the prefix.
        header : dict or None
            What `header` gave; None if the state was saved without windows.
        now : int
            Newest event time of the partition, in milliseconds since 1970.
        """
        header = header or {"newest": -1, "clock": -1, "offset": -1, "logs": {}}
        self.clock.newest, self._now, self._offset = header["newest"], header["clock"], header["offset"]
        used = {key: value for key, value in saved.items() if key[0] == "v" and key[1:].isdigit() and header["logs"]}
        self.kept.restore({int(key[1:]): value for key, value in used.items()})
        spans = header.get("spans", {})  # an older release did not save them
        for name, one in self.of.items():
            one.offset = self._offset
            size, every, since = spans.get(name, [one.of.size, one.of.every, -1])
            if name not in header["logs"] or (size, every) != (one.of.size, one.of.every):
                one.begin_after(now)
                continue
            closed, pending = header["logs"][name]
            one.closed, one.since, one.pending = closed, since, {(end, entity) for end, entity in pending}
            own = {key: value for key, value in saved.items() if key.startswith(f"w:{name}/")}
            used |= own
            if own:
                one.restore({key.removeprefix(f"w:{name}/"): value for key, value in own.items()})
        self._deletes = [f"{self.kept.prefix}{key}" for key in saved if is_of_windows(key) and key not in used]

    def canonical(self) -> bytes:
        """The whole state in one normal form."""
        parts = {"kept": self.kept.canonical(self._now - self._amend_within - self._longest)}
        for name, partition in self.of.items():
            parts[name] = partition.stages.canonical()
            parts[f"{name} told"] = b"".join(report.to_state() for _, report in sorted(partition.reports.items()))
        return pack("windows", 1, self.header(), {name: np.frombuffer(part, np.uint8) for name, part in parts.items()})


def is_of_windows(key: str) -> bool:
    """Whether a key of a partition's saved state, without the prefix, belongs to its windows."""
    return key.startswith("w:") or (key[0] == "v" and key[1:].isdigit())
