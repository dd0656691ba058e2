"""The silence of a source: most of its entities stop sending at the same time."""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.udfs.entities.columns import ARRIVED, GAP, LAST, SEEN, SILENT


class SilentSource:
    """Whether the source of one partition is silent. Its silent entities have a negative time in the column `SILENT`.

    Attributes
    ----------
    opened : int
        When the silence was noticed, in milliseconds since 1970; 0 while the source is not silent.
    returned : int
        When the last silence of the source ended, in milliseconds since 1970. No entity is missed for what it did not send before.
    since : int
        Newest arrival of the silent entities when the silence was noticed, in milliseconds since 1970.
    gap : int
        Middle one of their longest usual gaps, in milliseconds.
    events : int
        Number of their events.
    offset : int
        Offset of the last of these events.
    entities : int
        Number of the silent entities, with those that were noticed later.
    """

    def __init__(self) -> None:
        self.opened = self.returned = self.since = self.gap = self.events = self.offset = self.entities = 0

    def open(self, head: Ints, rows: Ints, now: int) -> None:
        """Begin a silence of the source.

        Parameters
        ----------
        head : int64[n, 25]
            `EntityStore.head`; changed.
        rows : int64[m]
            Rows of the silent entities, at least one.
        now : int
            Arrival time, in milliseconds since 1970.
        """
        self.opened, self.entities = now, len(rows)
        self.since, self.offset = int(head[rows, ARRIVED].max()), int(head[rows, LAST].max())
        self.gap, self.events = int(np.median(head[rows, GAP])), int(head[rows, SEEN].sum())
        head[rows, SILENT] = -now

    def join(self, head: Ints, rows: Ints, now: int) -> Ints:
        """Add entities that are noticed as silent now to the silence of the source, if they sent nothing since it was noticed.

        Parameters
        ----------
        head : int64[n, 25]
            `EntityStore.head`; changed.
        rows : int64[m]
            Rows of these entities.
        now : int
            Arrival time, in milliseconds since 1970.

        Returns
        -------
        int64[k]
            The rows that were added.
        """
        added: Ints = rows[head[rows, ARRIVED] <= self.opened]
        head[added, SILENT] = -now
        self.entities += len(added)
        return added

    def ends(self, head: Ints) -> bool:
        """Whether at least half of the silent entities are back or were forgotten."""
        return self.opened > 0 and 2 * int((head[:, SILENT] < 0).sum()) <= self.entities

    def end(self, head: Ints, now: int) -> Ints:
        """End the silence. Entities that are not back are watched again, from now on; returns their rows."""
        rows = np.flatnonzero(head[:, SILENT] < 0)
        head[rows, SILENT] = 0
        self.opened, self.returned = 0, now
        return rows

    def to_state(self) -> list[int]:
        """All that was learned."""
        return [self.opened, self.returned, self.since, self.gap, self.events, self.offset, self.entities]

    def restore(self, state: list[int]) -> None:
        """Restore what `to_state` gave."""
        self.opened, self.returned, self.since, self.gap, self.events, self.offset, self.entities = state
