"""The kind of a stream: one series, several fields in order, or records without order."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from streamgauge.udfs.settings.pipeline import LOOK_EVERY

SERIES, FIELDS, RECORDS, UNKNOWN = KINDS = ("series", "fields", "records", "unknown")
# Values are in order if the change from one to the next is below this share of their difference from values some time ago.
ORDERED = 0.9
# A stream of so many events is known: it is looked at after so many events. Each look ends a stretch, and short stretches cost time.
KNOWN, LOOK_EVERY_WHEN_KNOWN = 10_000, 1_000


def until_look(events: int) -> int:
    """Number of events from this number of events of a stream to the next decision about its kind; at least 1."""
    every = LOOK_EVERY if events < KNOWN else LOOK_EVERY_WHEN_KNOWN
    return every - events % every


def is_look(events: int) -> bool:
    """Whether it is time to decide about the kind of a stream after this number of events."""
    return events % (LOOK_EVERY if events <= KNOWN else LOOK_EVERY_WHEN_KNOWN) == 0


def kinds_for(streams: Collection[str]) -> frozenset[str]:
    """The kinds of streams that a member runs on, if its settings name these. While a kind is unknown, members for several fields run."""
    return frozenset(streams) if {FIELDS, RECORDS}.isdisjoint(streams) else frozenset((*streams, UNKNOWN))


class StreamKind:
    """Finds the kind of a partition's stream from its events. The kind decides which detectors run.

    One field alone is a series. Several fields are in order if a value is nearer to the value before it than to a value some time
    ago. Independent values are equally far from both, whatever their distribution. Until enough events have come, the kind is unknown.

    Attributes
    ----------
    kind : {"series", "fields", "records", "unknown"}
    changes : float64[2]
        `featurize` adds the differences between values to it: from the value before, and from a value some time ago.
    """

    def __init__(self) -> None:
        self.kind = RECORDS
        self.fields = 0
        self.events = 0
        self.changes = np.zeros(2)

    def count(self, events: int) -> None:
        """Note that this many events went through `featurize`; at most `until_look`."""
        self.events += events
        if is_look(self.events):
            self._look()

    def widen(self, fields: int) -> None:
        """Note how many fields there are now."""
        if fields != self.fields:
            self.fields = fields
            self._look()

    def _look(self) -> None:
        short, long = self.changes
        if self.fields == 1:
            self.kind = SERIES
        elif self.fields and self.events < LOOK_EVERY:
            self.kind = UNKNOWN
        else:
            self.kind = FIELDS if 0.0 < short < ORDERED * long else RECORDS

    def to_state(self) -> dict[str, Any]:
        """The whole state, as plain values."""
        return {"kind": self.kind, "fields": self.fields, "events": self.events, "changes": self.changes.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state that `to_state` returned."""
        self.kind, self.fields, self.events = state["kind"], state["fields"], state["events"]
        self.changes = np.array(state["changes"])
