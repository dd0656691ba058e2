"""Entities that stop sending: reported after their own usual gap, and again when they are back.

Time is that of arrival, Kafka's timestamps: a device whose clock is wrong must not make all others look silent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from streamgauge.models.contract import Ints
from streamgauge.udfs.entities.columns import ARRIVED, CLOCK, GAP, LAST, SEEN, SILENT
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.settings.pipeline import Maintenance, SilenceSettings, in_maintenance

FADES = 512  # the longest gap shrinks by this part of itself with each event that comes sooner


@dataclass(frozen=True, slots=True)
class Silence:
    """An entity that has fallen silent, or is back.

    Attributes
    ----------
    entity : str
    ended : bool
        Whether it is back, or forgotten.
    since, now : int
        Arrival of its last event; when the silence was noticed or ended; milliseconds.
    gap : int
        Its longest usual gap, milliseconds.
    events : int
        Events of it so far.
    offset : int
        Of its last event before the silence.
    """

    entity: str
    ended: bool
    since: int
    now: int
    gap: int
    events: int
    offset: int


class SilenceWatch:
    """The silent entities of one partition.

    Parameters
    ----------
    settings : SilenceSettings
    store : EntityStore, optional
        State of the entities. Without one, the watch has its own: where state is kept for each situation of an entity, an entity that
        is in another situation is not silent.

    Attributes
    ----------
    clock : int
        Newest arrival, milliseconds.
    apart : bool
        Whether the store is its own.
    """

    def __init__(self, settings: SilenceSettings, store: EntityStore | None) -> None:
        self.settings = settings
        self.apart = store is None
        self.store = EntityStore(0, timed=True) if store is None else store
        self.clock = 0
        self.every = max(1_000, settings.at_least // 4)  # milliseconds between looks

    def rows(self, entities: list[str], rows: Ints) -> Ints:
        """Row of each entity here, given its row where everything else is known of it."""
        return self.store.rows(entities, 0) if self.apart else rows

    def cuts(self, arrivals: Ints) -> tuple[Ints, Ints]:
        """Events before which to look for silent entities, and the time it is then.

        They depend on the arrivals only, not on how the partition is cut into batches.

        Returns
        -------
        places, times : int64[m]
        """
        clock = np.maximum.accumulate(np.maximum(arrivals, self.clock))
        ticks = clock // self.every
        before = np.concatenate(([self.clock // self.every], ticks[:-1]))
        places = np.flatnonzero((ticks != before) & (before > 0))
        return places, ticks[places] * self.every

    def look(self, now: int, maintenance: tuple[Maintenance, ...]) -> tuple[Ints, list[Silence]]:
        """Entities that are silent by now and were not reported yet, in the order of their last events.

        Parameters
        ----------
        now : int
            Arrival time, milliseconds.
        maintenance : tuple of Maintenance
            In these times silence is not reported.

        Returns
        -------
        rows : int64[m]
            Rows of the store that changed.
        silences : list of Silence
        """
        settings, names = self.settings, self.store.names
        head = self.store.head[: len(names)]
        longest = np.maximum(settings.after * head[:, GAP], settings.at_least)
        over = (head[:, SEEN] >= settings.events) & (head[:, SILENT] == 0) & (now - head[:, ARRIVED] > longest)
        rows = np.flatnonzero(over)
        rows = rows[np.lexsort((head[rows, LAST], head[rows, ARRIVED]))]
        rows = rows[[not in_maintenance(maintenance, names[row], now) for row in rows.tolist()]]
        head[rows, SILENT] = now
        return rows, [self._silence(row, False, now, head[row]) for row in rows.tolist()]

    def returning(self, rows: Ints) -> list[tuple[int, Ints]]:
        """Events with which silent entities come back, and each one's row of `EntityStore.head` before anything changes it."""
        head = self.store.head
        away = np.flatnonzero(head[rows, SILENT] > 0)
        _, first = np.unique(rows[away], return_index=True)
        return [(i, head[rows[i]].copy()) for i in away[np.sort(first)].tolist()]

    def learn(self, rows: Ints, arrivals: Ints, offsets: Ints, returning: list[tuple[int, Ints]]) -> list[Silence]:
        """Take note of when events came, in row order; returns the silences that end with them.

        A gap that was reported as silence counts half: the next one like it is silence again, after a few more it is usual.
        """
        self.clock = max(self.clock, int(arrivals.max(initial=0)))
        head = self.store.head
        _gaps(head, rows, arrivals, offsets)
        if self.apart:  # nobody else counts there
            np.add.at(head[:, SEEN], rows, 1)
            head[rows, CLOCK] = head[rows, ARRIVED]
            self.store.clock = self.clock
        back = [(i, before) for i, before in returning if i < len(rows)]
        return [self._silence(int(rows[i]), True, int(arrivals[i]), before) for i, before in back]

    def forget(self, gone: Ints) -> tuple[list[Silence], list[str]]:
        """Forget the entities in some rows of a store of its own: the silences that end so, and all their names."""
        return self.give_up(gone), self.store.forget(gone)[0]

    def give_up(self, rows: Ints) -> list[Silence]:
        """Silences of entities that are about to be forgotten."""
        head = self.store.head
        silent = rows[head[rows, SILENT] > 0].tolist()
        return [self._silence(row, True, self.clock, head[row]) for row in silent]

    def _silence(self, row: int, ended: bool, now: int, before: Ints) -> Silence:
        """`before` is the entity's row of `EntityStore.head` as it was in the silence."""
        last, arrived, gap, seen = before[[LAST, ARRIVED, GAP, SEEN]].tolist()
        return Silence(self.store.names[row], ended, arrived, now, gap, seen, last)


@njit(cache=True)
def _gaps(head, rows, arrivals, offsets):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        row = rows[i]
        gap = arrivals[i] - head[row, ARRIVED]
        if head[row, ARRIVED] > 0 and gap > 0:
            if gap <= head[row, GAP]:
                head[row, GAP] -= head[row, GAP] // FADES
            elif head[row, SILENT] > 0:
                head[row, GAP] = max(head[row, GAP], gap // 2)
            else:
                head[row, GAP] = gap
        head[row, SILENT] = 0
        head[row, ARRIVED] = max(head[row, ARRIVED], arrivals[i])
        head[row, LAST] = offsets[i]
