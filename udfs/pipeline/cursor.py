"""Goes through the batch of one source of events, and cuts it into stretches."""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.udfs.entities.ended import ABSENT
from streamgauge.udfs.entities.knowledge import Entities
from streamgauge.udfs.entities.silence import Silence
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.arrivals import partition_clocks
from streamgauge.udfs.events.records import Events, RawBatch
from streamgauge.udfs.incidents.promise import until_look
from streamgauge.udfs.scoring.scorer import Scorer


class Cursor:
    """Goes through events of one schema, one stretch at a time.

    A stretch ends where the next event depends on what this stretch teaches: where the kind of the stream may change, where silent
    entities are looked for, where the incident of an entity that stopped ends, where quality is reported, where an entity changes its
    situation or starts from the beginning, and where a quarantine begins or ends.
    """

    def __init__(
        self,
        scorer: Scorer,
        entities: Entities,
        raw: RawBatch,
        events: Events,
        X: Floats,
        clocks: Ints,
        report_every: int | None = None,
    ) -> None:
        self._scorer, self._entities, self._report_every = scorer, entities, report_every
        self.events, self.X, self.clocks = events, X, clocks
        self._arrivals = raw.arrived[events.rows]
        self._ahead, self._offsets = raw.stamps[events.rows] > self._arrivals, raw.offsets[events.rows]
        self._partitions = raw.partitions[events.rows]
        self.begin = 0
        self._rows = self._entities.rows(events.keys, X.shape[1])
        silence = self._entities.silence
        self._watched = silence.rows(events.entities, self._rows) if silence else self._rows
        self._looks, self._moments = silence.cuts(self._arrivals) if silence else (np.empty(0, np.int64),) * 2
        self._next_look = 0
        self._partition_clocks = partition_clocks(events.times, self._arrivals, entities.store.clock)
        self._absences, self._absence_moments = entities.absence_cuts(events.times, self._arrivals)
        self.returned: list[Silence] = []

    def find_rows(self) -> None:
        """Find the rows of the remaining events again, after entities were forgotten."""
        begin, silence = self.begin, self._entities.silence
        self._rows[begin:] = self._entities.rows(self.events.keys[begin:], self.X.shape[1])
        if silence:
            self._watched[begin:] = silence.rows(self.events.entities[begin:], self._rows[begin:])

    def moment_to_look(self) -> int | None:
        """Arrival time at which to look for silent entities before the next event; None if it is not time to do so."""
        self._next_look = int(np.searchsorted(self._looks, self.begin))
        if self._next_look == len(self._looks) or self._looks[self._next_look] != self.begin:
            return None
        self._next_look += 1
        return int(self._moments[self._next_look - 1])

    def end_incidents(self) -> None:
        """End the incidents of entities that sent nothing for too long, if it is time to do so before the next event."""
        begin, entities = self.begin, self._entities
        place = int(np.searchsorted(self._absences, begin))
        if place < len(self._absences) and self._absences[place] == begin:
            entities.end_absent(int(self._absence_moments[place]))
        row, time, arrival = int(self._rows[begin]), int(self.events.times[begin]), int(self._arrivals[begin])
        if entities.restarts(row, time, arrival):
            entities.end(np.array([row]), max(entities.store.clock, min(time, arrival)), ABSENT)

    def next_stretch(self) -> tuple[Stretch, Ints, list[tuple[int, int]]]:
        """The next stretch, the partition's event time at each of its events, and the late events (position, milliseconds late)."""
        begin, entities, silence = self.begin, self._entities, self._entities.silence
        stream = self._scorer.stream
        limit = begin + until_look(stream.events)
        if self._report_every:
            limit = min(limit, begin + self._report_every - stream.events % self._report_every)
        if self._next_look < len(self._looks):
            limit = min(limit, int(self._looks[self._next_look]))
        place = int(np.searchsorted(self._absences, begin, side="right"))
        if place < len(self._absences):
            limit = min(limit, int(self._absences[place]))
        if entities.situations:
            limit = entities.situations.until_switch(self.events, begin, limit)
        arrived = self._watched[begin:limit], self._arrivals[begin:limit], self._ahead[begin:limit]
        returning = silence.returning(*arrived) if silence else []
        done, late, seen, quarantined = entities.touch(
            self._rows[begin:limit], self.events.times[begin:limit], self._arrivals[begin:limit]
        )
        end = self.begin = begin + done
        part = slice(begin, end)
        self.returned = []
        if silence:
            arrived = self._watched[part], self._arrivals[part], self._ahead[part]
            self.returned = silence.learn(*arrived, self._offsets[part], returning)
            if silence.apart:
                entities.changes.arrived.append(self._watched[part])
            elif late.any():  # nothing else of these entities changes
                entities.changes.rows.append(self._watched[part][late > 0])
        events, rows, X, clocks = self.events.slice(begin, end), self._rows[part], self.X[part], self.clocks[part]
        partition_clock = self._partition_clocks[part]
        offsets, partitions = self._offsets[part], self._partitions[part]
        late_events = []
        if late.any():
            places, keep = np.flatnonzero(late).tolist(), np.flatnonzero(late == 0)
            late_events = [(begin + i, int(late[i])) for i in places]
            events = events.drop(set(places))
            rows, X, clocks, seen, quarantined = rows[keep], X[keep], clocks[keep], seen[keep], quarantined[keep]
            offsets, partitions, partition_clock = offsets[keep], partitions[keep], partition_clock[keep]
        if quarantined.any():
            entities.keep_points(events, rows, quarantined)
        slots, first = np.full(len(rows), -1), np.zeros(len(rows), np.bool_)
        joins = first
        if len(rows) and self._scorer.wants_slots and X.shape[1]:
            slots, first, joins = entities.seat(rows, seen, X.shape[1])
        stretch = Stretch(events, X, offsets, partitions, rows, seen, quarantined, slots, first, joins, partition_clock)
        return stretch, clocks, late_events
