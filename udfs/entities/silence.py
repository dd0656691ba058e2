"""Entities that stop sending. Each is reported after several times its own longest usual gap, and again when it is back.

If most entities stop, their source is silent: that is one report, not one for each of them.

Time means arrival here, that is, Kafka's timestamps within bounds (`events.arrivals`): one device with a wrong clock must not make all
others look silent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Flags, Ints
from streamgauge.models.kernel import kernel
from streamgauge.udfs.entities.columns import ARRIVED, CLOCK, GAP, LAST, SEEN, SILENT
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.entities.silent_source import SilentSource
from streamgauge.udfs.settings.pipeline import Maintenance, SilenceSettings, in_maintenance

FEWEST = 5  # silent entities that make their source silent
FADES = 512  # with each event that comes sooner, the longest usual gap shrinks by one part in this many


@dataclass(frozen=True, slots=True)
class Silence:
    """The begin or the end of the silence of an entity, or of the source of all entities.

    Attributes
    ----------
    entity : str or None
        None for the source.
    ended : bool
        Whether the silence has ended, because the entity is back or was forgotten.
    since : int
        Arrival of the last event before the silence, in milliseconds since 1970.
    now : int
        When the silence was noticed, or ended, in milliseconds since 1970.
    gap : int
        Longest usual gap of the entity, in milliseconds; of a source, the middle one of its silent entities.
    events : int
        Number of events so far.
    offset : int
        Offset of the last event before the silence.
    entities : int
        Number of silent entities when the silence was noticed.
    """

    entity: str | None
    ended: bool
    since: int
    now: int
    gap: int
    events: int
    offset: int
    entities: int = 1


class SilenceWatch:
    """The silent entities of one partition.

    Parameters
    ----------
    settings : SilenceSettings
    store : EntityStore, optional
        State of the entities. Without it, the watch makes a store of its own. This is needed where state is kept by situation: an
        entity that is in another situation is not silent.

    Attributes
    ----------
    clock : int
        Newest arrival, in milliseconds since 1970.
    source : SilentSource
    apart : bool
        Whether the watch has a store of its own.
    every : int
        Milliseconds between two checks.
    """

    def __init__(self, settings: SilenceSettings, store: EntityStore | None) -> None:
        self.settings = settings
        self.apart = store is None
        self.store = EntityStore(0, timed=True) if store is None else store
        self.clock = 0
        self.source = SilentSource()
        self.every = max(1_000, settings.at_least // 4)

    def rows(self, entities: list[str], rows: Ints) -> Ints:
        """Row of each entity in the watch's store; `rows` are those in the store of all other state."""
        return self.store.rows(entities, 0) if self.apart else rows

    def cuts(self, arrivals: Ints) -> tuple[Ints, Ints]:
        """Find the events before which silent entities are looked for.

        They depend on the arrivals only, not on how the partition is cut into batches.

        Parameters
        ----------
        arrivals : int64[n]
            In milliseconds since 1970.

        Returns
        -------
        places : int64[m]
            Positions of these events.
        times : int64[m]
            Time at each of them, in milliseconds since 1970.
        """
        clock = np.maximum.accumulate(np.maximum(arrivals, self.clock))
        ticks = clock // self.every
        before = np.concatenate(([self.clock // self.every], ticks[:-1]))
        places = np.flatnonzero((ticks != before) & (before > 0))
        return places, ticks[places] * self.every

    def look(self, now: int, maintenance: tuple[Maintenance, ...]) -> tuple[Ints, list[Silence]]:
        """Find the entities that are silent now and were not reported yet, in the order of their last events.

        The source is silent if most of the entities that can be late by now are late. Its entities are not reported until it is back.

        Parameters
        ----------
        now : int
            Arrival time, in milliseconds since 1970.
        maintenance : tuple of Maintenance
            Times in which silence is not reported.

        Returns
        -------
        rows : int64[m]
            Rows of the store that changed.
        silences : list of Silence
        """
        names = self.store.names
        head = self.store.head[: len(names)]
        source = self.source
        away = now - np.maximum(head[:, ARRIVED], source.returned)
        longest = np.maximum(self.settings.after * head[:, GAP], self.settings.at_least)
        watched = (head[:, SEEN] >= self.settings.events) & (head[:, SILENT] == 0)
        rows = np.flatnonzero(watched & (away > longest))
        rows = rows[[not in_maintenance(maintenance, names[row], now) for row in rows.tolist()]]
        changed, reports = [rows], []
        if source.opened:
            rows = np.setdiff1d(rows, source.join(head, rows, now))
            if source.ends(head):
                reports.append(self._silence_of_source(True, now))
                changed.append(source.end(head, now))
        elif len(rows):
            middle = (head[:, GAP] + longest) / 2.0
            late = watched & (away > middle)
            able = watched & (middle < away[rows].max())  # these can be late by now
            if late.sum() >= FEWEST and 2 * late.sum() > able.sum():
                changed.append(np.flatnonzero(late))
                source.open(head, changed[-1], now)
                reports.append(self._silence_of_source(False, now))
                rows = rows[:0]  # they are late, too
        rows = rows[np.lexsort((head[rows, LAST], head[rows, ARRIVED]))]
        head[rows, SILENT] = now
        return np.concatenate(changed), reports + [self._silence(row, False, now, head[row]) for row in rows.tolist()]

    def returning(self, rows: Ints, arrivals: Ints, ahead: Flags) -> list[tuple[int, Ints]]:
        """Find the events with which silent entities come back; call it before anything changes the state of the entities.

        Parameters
        ----------
        rows, arrivals : int64[n]
            Row of each event's entity in the watch's store, and arrival in milliseconds since 1970.
        ahead : bool[n]
            Whether Kafka's timestamp is after the arrival (`events.arrivals`). Such an event ends no silence that was noticed after it.

        Returns
        -------
        list of (int, int64[20])
            Position of the event, and a copy of the entity's row of `EntityStore.head`.
        """
        head = self.store.head
        of_silent = np.flatnonzero((head[rows, SILENT] > 0) & ~(ahead & (arrivals < head[rows, SILENT])))
        _, first = np.unique(rows[of_silent], return_index=True)
        return [(i, head[rows[i]].copy()) for i in of_silent[np.sort(first)].tolist()]

    def learn(
        self, rows: Ints, arrivals: Ints, ahead: Flags, offsets: Ints, returning: list[tuple[int, Ints]]
    ) -> list[Silence]:
        """Learn when events arrived.

        Half of a gap that was reported as silence counts as usual: the next such gap is reported again, after a few more it is usual.
        Gaps during a silence of the source teach nothing.

        Parameters
        ----------
        rows, arrivals, offsets : int64[n]
            Row of each event's entity, arrival in milliseconds since 1970, and offset.
        ahead : bool[n]
            As in `returning`.
        returning : list of (int, int64[20])
            As `returning` found them; positions from n on are ignored.

        Returns
        -------
        list of Silence
            The silences that end with these events.
        """
        self.clock = max(self.clock, int(arrivals.max(initial=0)))
        head = self.store.head
        _gaps(head, rows, arrivals, ahead, offsets, self.source.returned, self.source.opened > 0)
        if self.apart:  # no other part counts the events of this store
            np.add.at(head[:, SEEN], rows, 1)
            head[rows, CLOCK] = head[rows, ARRIVED]
            self.store.clock = self.clock
        returned = [(i, before) for i, before in returning if i < len(rows)]
        return [self._silence(int(rows[i]), True, int(arrivals[i]), before) for i, before in returned]

    def forget(self, gone: Ints) -> tuple[list[Silence], list[str]]:
        """Forget the entities in the rows `gone` of the watch's own store; returns the silences that end, and all their names."""
        return self.give_up(gone), self.store.forget(gone)[0]

    def give_up(self, rows: Ints) -> list[Silence]:
        """End the silences of entities that are about to be forgotten."""
        head = self.store.head
        silent = rows[head[rows, SILENT] > 0].tolist()
        return [self._silence(row, True, self.clock, head[row]) for row in silent]

    def open_silences(self) -> list[Silence]:
        """The silences that were reported and have not ended."""
        head = self.store.head[: len(self.store.names)]
        of_entities = [
            self._silence(row, False, self.clock, head[row]) for row in np.flatnonzero(head[:, SILENT] > 0).tolist()
        ]
        return [*of_entities, *([self._silence_of_source(False, self.clock)] if self.source.opened else [])]

    def _silence_of_source(self, ended: bool, now: int) -> Silence:
        """Describe the silence of the source."""
        source = self.source
        return Silence(None, ended, source.since, now, source.gap, source.events, source.offset, source.entities)

    def _silence(self, row: int, ended: bool, now: int, before: Ints) -> Silence:
        """Describe a silence; `before` is the entity's row of `EntityStore.head` during the silence."""
        last, arrived, gap, seen = before[[LAST, ARRIVED, GAP, SEEN]].tolist()
        return Silence(self.store.names[row], ended, arrived, now, gap, seen, last)


@kernel
def _gaps(head, rows, arrivals, ahead, offsets, returned, source_is_silent):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        row = rows[i]
        if ahead[i] and arrivals[i] < abs(head[row, SILENT]):
            continue
        gap = arrivals[i] - max(head[row, ARRIVED], returned)
        if head[row, ARRIVED] > 0 and gap > 0 and head[row, SILENT] >= 0:
            if gap <= head[row, GAP]:
                head[row, GAP] -= head[row, GAP] // FADES
            elif head[row, SILENT] > 0:
                head[row, GAP] = max(head[row, GAP], gap // 2)
            elif not source_is_silent:
                head[row, GAP] = gap
        head[row, SILENT] = 0
        head[row, ARRIVED] = max(head[row, ARRIVED], arrivals[i])
        head[row, LAST] = offsets[i]
