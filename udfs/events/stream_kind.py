"""What kind of stream it is: one series, many fields in order, or records without order."""

from __future__ import annotations

from typing import Any

import numpy as np
from streamgauge.udfs.settings.pipeline import LOOK_EVERY

SERIES, FIELDS, RECORDS = KINDS = ("series", "fields", "records")
ORDERED = (
    0.9  # values follow an order when they change by less than so much of what they differ from those some time ago
)


class StreamKind:
    """Tells what kind of stream a partition's events are, from the events alone; detectors run on the kinds that suit them.

    A single field is a series. Several fields are in order when a value is nearer to the one before than to one some time ago:
    for independent values, however they are distributed, it is as far from both. Until that is known, they count as records.

    Attributes
    ----------
    kind : {"series", "fields", "records"}
    changes : float64[2]
        Sums that `featurize` adds to.
    """

    def __init__(self) -> None:
        self.kind = RECORDS
        self.fields = 0
        self.events = 0
        self.changes = np.zeros(2)

    def until_next_look(self) -> int:
        """Events until the kind may change."""
        return LOOK_EVERY - self.events % LOOK_EVERY

    def count(self, events: int) -> None:
        """So many events went through `featurize`; at most `until_next_look`."""
        self.events += events
        if self.events % LOOK_EVERY == 0:
            self._look()

    def widen(self, fields: int) -> None:
        """Take note of how many fields there are."""
        if fields != self.fields:
            self.fields = fields
            self._look()

    def _look(self) -> None:
        short, long = self.changes
        self.kind = SERIES if self.fields == 1 else FIELDS if 0.0 < short < ORDERED * long else RECORDS

    def to_state(self) -> dict[str, Any]:
        """All that was learned."""
        return {"kind": self.kind, "fields": self.fields, "events": self.events, "changes": self.changes.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `to_state` told."""
        self.kind, self.fields, self.events = state["kind"], state["fields"], state["events"]
        self.changes = np.array(state["changes"])
