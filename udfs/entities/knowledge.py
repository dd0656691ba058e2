"""All that one partition knows about its entities: state, rich state, situations, silence, rewind points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Ints
from streamgauge.udfs.entities.columns import (
    CLOCK,
    HISTORY,
    QUARANTINED_AFTER,
    RECENT,
    RELEASED,
    SEEN,
    SLOT,
    STATUS,
)
from streamgauge.udfs.entities.ended import ABSENT, EVICTED, FORGOTTEN, REWOUND, Ended, end
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.entities.rewind_points import RewindPoints
from streamgauge.udfs.entities.rich_store import RichInputs, RichStore
from streamgauge.udfs.entities.silence import Silence, SilenceWatch
from streamgauge.udfs.entities.situations import Situations
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.settings.pipeline import PipelineSettings

COUNT_EVERY = 10_000  # events between two checks of the number of entities
SWEEP_EVERY = 10 * COUNT_EVERY  # events between two searches for entities that sent nothing for too long
LOOKS_FOR_ABSENT = 10  # looks for incidents of such entities within `entity.forget_after` of event time


@dataclass(slots=True)
class Changes:
    """Changes of the entities' state that are not saved yet.

    Attributes
    ----------
    rows, arrived : list of int64[n]
        Rows that changed: in the store, and in the watch's own store if silence has one.
    forgotten, departed : list of str
        Names of the entities that were removed from these two stores.
    rich : list of RichInputs
        What the rich detectors learned.
    """

    rows: list[Ints] = field(default_factory=list)
    arrived: list[Ints] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    departed: list[str] = field(default_factory=list)
    rich: list[RichInputs] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Entities that were forgotten.

    Attributes
    ----------
    counter : str
        Name of the counter for them.
    silences : list of Silence
        Silences that end because the entity is forgotten.
    entities : int
        Their number.
    slots : int
        Number of slots of the rich tier that became free.
    """

    counter: str
    silences: list[Silence]
    entities: int
    slots: int


class Entities:
    """All that one source of events knows about its entities.

    Parameters
    ----------
    settings : PipelineSettings
    light, rich : int
        Number of float64 values for each field: of every entity, and of an entity of the rich tier in addition.
    prefix : str
        Prefix of the keys of the saved state.

    Attributes
    ----------
    store : EntityStore
    rich : RichStore
    points : RewindPoints
    situations : Situations or None
        None if `event.context` names no fields.
    silence : SilenceWatch or None
        None if the settings do not ask for it.
    changes : Changes
    ended : list of Ended
        Incidents that ended without an event, and were not told yet.
    """

    def __init__(self, settings: PipelineSettings, light: int, rich: int, prefix: str) -> None:
        self._event, self._entity = settings.event, settings.entity
        context = settings.event.context
        self.store = EntityStore(light, settings.silence is not None and not context)
        self.situations = Situations(context, self.store, settings.featurize.warmup) if context else None
        self.rich = RichStore(rich, int(settings.entity.rich_memory * 2**20), prefix)
        self.points = RewindPoints(prefix)
        self.silence: SilenceWatch | None = None
        if settings.silence is not None:
            self.silence = SilenceWatch(settings.silence, None if context else self.store)
        self.changes = Changes()
        self.ended: list[Ended] = []
        self._look_every = max(settings.entity.forget_after // LOOKS_FOR_ABSENT, 1)
        self._looked = 0  # last look of `pass_time`, in `_look_every`

    # ---- events -------------------------------------------------------------------------------------------------------

    def rows(self, names: list[str], fields: int) -> Ints:
        """Find the row of each entity, and make room for `fields` fields in both tiers; see `EntityStore.rows`."""
        # At the first event with a new field, also where no entity is seated: the width of a rewind point must not depend on batches.
        self.rich.make_room(fields)
        return self.store.rows(names, fields)

    def touch(self, rows: Ints, times: Ints, arrivals: Ints) -> tuple[int, Ints, Ints, Flags]:
        """Count events in order; see `EntityStore.touch`. An event moves the clock of all at most to its arrival."""
        late_after, forget_after = self._event.late_after, self._entity.forget_after
        clocks = np.minimum(times, arrivals)
        return self.store.touch(rows, times, late_after, forget_after, self._entity.quarantine > 0, clocks)

    def restarts(self, row: int, time: int, arrival: int) -> bool:
        """Whether an event starts its entity from the beginning although the entity has an open incident; see `touch`."""
        head, now = self.store.head[row], max(self.store.clock, min(time, arrival))
        return bool(head[STATUS] and now - head[CLOCK] > self._entity.forget_after)

    def keep_points(self, events: Events, rows: Ints, quarantined: Flags) -> None:
        """Keep a rewind point of each entity whose quarantine begins with these events."""
        # In the order of events, because an entity may have another row after a restart.
        for row in dict.fromkeys(rows[quarantined].tolist()):
            if self.store.head[row, HISTORY] >> QUARANTINED_AFTER & 1 == 0:
                slot = int(self.store.head[row, SLOT]) - 1
                rich = self.rich.fields[slot] if slot >= 0 else np.empty((0, self.rich.width))
                time = int(events.times[int(np.argmax(rows == row))])
                self.points.keep(self.store.names[row], time, self.store.fields[row], rich)

    def seat(self, rows: Ints, seen: Ints, fields: int) -> tuple[Ints, Flags, Flags]:
        """Find the slots of the events' entities in the rich tier. An entity without one is given a slot while there is room.

        Parameters
        ----------
        rows, seen : int64[n]
            Row of each event's entity, and the number of its events so far.
        fields : int
            Number of fields.

        Returns
        -------
        slots : int64[n]
            -1 if the entity has none.
        first : bool[n]
            Whether the event is the first of its entity in the slot.
        joins : bool[n]
            Whether the entity was given the slot now. One that starts from the beginning has it already.
        """
        places = self.store.head[rows, SLOT]
        first, joins = seen == 1, np.zeros(len(rows), np.bool_)
        if self.rich.room(fields) and (places == 0).any():
            _, unseated = np.unique(rows[places == 0], return_index=True)
            unseated = np.flatnonzero(places == 0)[np.sort(unseated)]
            self.store.head[rows[unseated], SLOT] = self.rich.seat(places[unseated], fields)
            places = self.store.head[rows, SLOT]
            joins[unseated] = True
        slots: Ints = places - 1
        joins &= slots >= 0
        first = (first | joins) & (slots >= 0)
        self.rich.clear(slots[first])
        return slots, first, joins

    @contextmanager
    def undone(self, rows: Ints, slots: Ints) -> Iterator[None]:
        """Context in which learning is undone at the end, for the entities in these rows and slots (-1 if there is none)."""
        store, rich, seated = self.store.fields, self.rich.fields, slots[slots >= 0]
        light_before, rich_before = store[rows].copy(), rich[seated].copy()
        try:
            yield
        finally:
            store[rows], rich[seated] = light_before, rich_before

    def copy_of(self, entities: set[str]) -> dict[int, Any]:
        """What a copy that knows these entities only has in place of some of its attributes, by their `id`, as `copy.deepcopy` takes it.

        The copy judges events of these entities as this object does. It keeps no rewind points, and looks for no silence.
        """
        rows = np.array([row for entity in sorted(entities) for row in self.rows_of(entity)], dtype=np.int64)
        slots = self.store.head[rows, SLOT]
        copies = {id(self.store): self.store.copy_of(rows), id(self.rich): self.rich.copy_of(slots[slots > 0] - 1)}
        return copies | {id(self.points): RewindPoints(self.points.prefix), id(self.silence): None}

    # ---- entities that stop -------------------------------------------------------------------------------------------

    def absence_cuts(self, times: Ints, arrivals: Ints) -> tuple[Ints, Ints]:
        """Find the events before which to look for incidents of entities that sent nothing for too long.

        They depend on event time only, not on how the partition is cut into batches.

        Parameters
        ----------
        times, arrivals : int64[n]
            In milliseconds since 1970.

        Returns
        -------
        places : int64[m]
            Positions of these events.
        moments : int64[m]
            Event time of the partition at each of them, in milliseconds since 1970.
        """
        every, clock = self._look_every, self.store.clock
        clocks = np.minimum(times, arrivals)
        if clock and clocks.max(initial=0) // every <= clock // every:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        ticks = np.maximum.accumulate(np.maximum(clocks, clock)) // every
        before = np.concatenate(([clock // every], ticks[:-1]))
        places = np.flatnonzero((ticks != before) & (before > 0))
        return places, ticks[places] * every

    def pass_time(self, now: int) -> None:
        """Do the same as time passes without events: at most as often as with events, because each look takes all entities."""
        if now // self._look_every != self._looked:  # smaller, if events of a time came that had passed without them
            self._looked = now // self._look_every
            self.end_absent(now)

    def end_absent(self, now: int) -> None:
        """End the incidents of entities that sent nothing for too long; `now` is event time of the partition, in milliseconds."""
        head = self.store.head[: len(self.store.names)]
        self.end(
            np.flatnonzero((head[:, STATUS] > 0) & (now - head[:, CLOCK] > self._entity.forget_after)), now, ABSENT
        )

    def end(self, rows: Ints, now: int, reason: str) -> None:
        """End the open incidents of the entities in these rows, int64[n]; see `ended`."""
        ended = end(self.store, rows, now, reason)
        if ended:
            self.ended += ended
            self.changes.rows.append(rows)

    # ---- forgetting ---------------------------------------------------------------------------------------------------

    def sweep(self, events: int) -> list[Forgotten] | None:
        """Forget entities that sent nothing for too long, or the least recent ones if there are too many.

        This happens at multiples of `COUNT_EVERY` events, so that it does not depend on how the stream is cut into batches.

        Parameters
        ----------
        events : int
            Number of events of the partition so far.

        Returns
        -------
        list of Forgotten, or None
            None if it was not time to do so.
        """
        if events % COUNT_EVERY:
            return None
        stores = [self.store]
        if self.silence and self.silence.apart:
            stores.append(self.silence.store)
        if events % SWEEP_EVERY == 0:
            counter, reason, gone = (
                "entities_forgotten",
                ABSENT,
                [store.absent(self._entity.forget_after) for store in stores],
            )
        else:
            counter, reason, none, most = "entities_evicted", EVICTED, np.empty(0, np.int64), self._entity.most
            gone = [store.least_recent(most) if store.known > most else none for store in stores]
        forgotten = [self.forget(gone[0], counter, reason)]
        if len(gone) > 1:
            forgotten.append(self.depart(gone[1]))
        return forgotten

    def forget(self, gone: Ints, counter: str = "entities_forgotten", reason: str = FORGOTTEN) -> Forgotten:
        """Forget the entities in the rows `gone` of the store, and end their incidents for a reason of `ended`."""
        self.ended += end(self.store, gone, self.store.clock, reason)
        silences = self.silence.give_up(gone) if self.silence and not self.silence.apart else []
        forgotten, slots = self.store.forget(gone)
        self.rich.leave(slots)
        for name in forgotten:
            self.points.of.pop(name, None)
        self.changes.forgotten += forgotten
        return Forgotten(counter, silences, len(forgotten), len(slots))

    def depart(self, gone: Ints) -> Forgotten:
        """Forget the entities in the rows `gone` of the watch's own store, if silence has one."""
        assert self.silence is not None
        silences, names = self.silence.forget(gone)
        self.changes.departed += names
        return Forgotten("", silences, 0, 0)

    # ---- what a person does to an entity ------------------------------------------------------------------------------

    def rows_of(self, entity: str) -> list[int]:
        """Rows in which something is known about an entity: one, or one for each of its situations, in the order of their names."""
        row = self.store.index.get(entity)
        rows = self.situations.rows(entity) if self.situations else [] if row is None else [row]
        return sorted((row for row in rows if self.store.head[row, SEEN]), key=self.store.names.__getitem__)

    def release(self, row: int) -> None:
        """End the quarantine of an entity: until its incident ends, its events are learned again."""
        head = self.store.head[row]
        head[HISTORY] = 0
        head[RELEASED] = int(head[STATUS] > 0)
        self.changes.rows.append(np.array([row]))

    def rewind(self, row: int) -> bool:
        """Set an entity back to its rewind point, and end its incident; False if it has no such point."""
        self.changes.rows.append(np.array([row]))
        point = self.points.of.pop(self.store.names[row], None)
        if point is None:
            return False
        self.end(np.array([row]), self.store.clock, REWOUND)
        head, fields = self.store.head[row], self.store.fields[row]
        fields[:] = 0.0
        fields[: len(point.fields)] = point.fields
        if head[SLOT]:
            self.rich.rewrite(int(head[SLOT]) - 1, point.rich)
        head[HISTORY] = head[RECENT] = 0
        return True
