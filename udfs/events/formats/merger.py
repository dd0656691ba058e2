"""Puts metrics that were measured together into one event."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from streamgauge.udfs.events.formats.record import Record
from streamgauge.udfs.events.records import UnreadableError


class Merger:
    """Collects metrics: those with the same labels and time become one event with one field for each.

    Parameters
    ----------
    record : Record
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._open: dict[Hashable, dict[str, Any]] = {}
        self._events: list[tuple[dict[str, Any], int | float | str | None]] = []

    def add(
        self,
        common: dict[str, Any],
        own: dict[str, Any],
        key: Hashable,
        time: int | float | str | None,
        values: dict[str, int | float | None],
    ) -> None:
        """Add the values of one measurement.

        Parameters
        ----------
        common, own : dict
            The labels: what the values are about. Own ones win over common ones.
        key : hashable
            The same for the same labels.
        time : int, float or str, optional
        values : dict
            One or more values by their fields.
        """
        event = self._open.get((key, time))
        # A field that comes twice is a second measurement. It gets its own event, so that neither is lost.
        if event is None or not event.keys().isdisjoint(values):
            self._record.add_event(len(common) + len(own) + 1)
            event = self._open[key, time] = {**common, **own}
            for name in values:
                if name in event:
                    raise UnreadableError(
                        "name_taken", f"the metric {name[:100]!r} has a label of the same name: rename one of them"
                    )
            self._events.append((event, time))
        self._record.add_keys(len(values))
        event.update(values)

    def events(self) -> list[dict[str, Any]]:
        """All events, in the order in which they began."""
        return [self._record.with_time(event, time) for event, time in self._events]
