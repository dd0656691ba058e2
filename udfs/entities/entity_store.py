"""The state of all entities, packed in arrays and saved as segments of the rows that changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Flags, Ints
from streamgauge.models.errors import StateError
from streamgauge.models.kernel import kernel
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.entities.columns import (
    ALWAYS,
    ALWAYS_TIMED,
    CLOCK,
    FLAPS,
    HEAD_COLUMNS,
    HISTORY,
    LEVEL_COLUMNS,
    NEWEST,
    QUARANTINED_AFTER,
    RECENT,
    RELEASED,
    SEEN,
    SLOT,
    STATUS,
)


class EntityStore:
    """The state of all entities of one partition.

    Only one writer uses it. Every entity has a row, and kernels change the rows of a batch in place. Each batch saves one segment
    with the rows that it changed; a row in a later segment replaces the earlier one. Old segments whose rows are mostly replaced
    are merged into the next one. Therefore a batch costs one write, whatever the number of its entities.

    Parameters
    ----------
    width : int
        Number of float64 values for each entity and field.
    timed : bool
        Whether the columns about arrivals are saved for every entity.

    Attributes
    ----------
    head : int64[capacity, 25]
        Counts, times and the incident of each entity; the columns are described in `udfs.entities.columns`.
    levels : float64[capacity, 8]
        Evidence and deviations of the open incident; see the same module.
    fields : float64[capacity, fields, width]
        State of features and detectors.
    born : int64[capacity]
        Event time of the partition at the first event of each entity; 0 if the state was saved before this was known.
    names : list of str
        Name of the entity in each row; empty if the row is free.
    index : dict of str to int
        Row of each entity.
    clock : int
        Newest event time of the partition, in milliseconds since 1970.
    generation : int
        How often the detectors began anew (see `restore`). Each segment names the generation in which it was written.
    """

    kind = "entities"
    version = 5

    def __init__(self, width: int, timed: bool = False) -> None:
        self.width = width
        self.always = ALWAYS_TIMED if timed else ALWAYS
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self.free: list[int] = []
        self.clock = 0
        self.generation = 0
        self.head = np.zeros((1024, HEAD_COLUMNS), np.int64)
        self.levels = np.zeros((1024, LEVEL_COLUMNS))
        self.fields = np.zeros((1024, 0, width))
        self.born = np.zeros(1024, np.int64)
        self._segment_of = np.zeros(1024, np.int64)
        self._touched = np.zeros(1024, np.int64)
        self._counted = np.zeros(
            (1024, 3), np.int64
        )  # last call of `touch`, events in it, whether they are quarantined
        self._call = 0
        self._segments: dict[int, Ints] = {}
        self._next_segment = 1
        self._saved_rows = 0  # rows in all segments
        # Of a copy: the whole store, and the rows that were copied.
        self._elsewhere: tuple[EntityStore, Ints] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def rows(self, entities: list[str], n_fields: int) -> Ints:
        """Find the row of each entity. A new entity is given one, and the arrays get room for `n_fields` fields.

        Returns
        -------
        int64[n]
        """
        index = self.index
        rows = np.array(list(map(index.get, entities, [-1] * len(entities))), dtype=np.int64)
        if rows.min(initial=0) < 0:
            for i in np.flatnonzero(rows < 0).tolist():
                name = entities[i]
                row = index.get(name)
                rows[i] = self._add(name) if row is None else row
        if n_fields > self.fields.shape[1]:
            wide = np.zeros((len(self.head), n_fields, self.width))
            wide[:, : self.fields.shape[1]] = self.fields
            self.fields = wide
        return rows

    def touch(
        self,
        rows: Ints,
        times: Ints,
        late_after: int,
        forget_after: int,
        quarantine: bool = True,
        clocks: Ints | None = None,
    ) -> tuple[int, Ints, Ints, Flags]:
        """Count events in order, and find those that are late or quarantined.

        An entity that sent nothing for longer than `forget_after` starts from the beginning.

        Parameters
        ----------
        rows : int64[n]
            Row of each event's entity.
        times : int64[n]
            Event times, in milliseconds since 1970.
        late_after, forget_after : int
            Milliseconds.
        quarantine : bool
            Whether incidents quarantine events.
        clocks : int64[n], optional
            How far each event may move the clock of all entities; its own time unless given.

        Returns
        -------
        done : int
            Number of events counted. The caller must score these before it counts the others. Counting stops before an event that
            starts an entity from the beginning if the entity has earlier events in this call, or an open incident. With
            `quarantine` it also stops where the scores of earlier events decide whether an event is quarantined: an entity has at most
            `QUARANTINED_AFTER` events in one call, and all of them are quarantined or none.
        late : int64[done]
            Milliseconds by which a late event is older than the newest of its entity; 0 if the event is not late. Late events do not
            change the entity.
        seen : int64[done]
            Number of events of the entity so far, this one included; 0 for a late event.
        quarantined : bool[done]
            Whether the event must not be learned.
        """
        n = len(rows)
        late, seen, quarantined = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)
        self._call += 1
        done, self.clock = _touch(
            rows,
            times,
            times if clocks is None else clocks,
            late_after,
            forget_after,
            quarantine,
            self.clock,
            self._call,
            self._touched,
            self._counted,
            self.head,
            self.fields,
            self.born,
            late,
            seen,
            quarantined,
        )
        return done, late[:done], seen[:done], quarantined[:done]

    def ages(self, rows: Ints, times: Ints) -> Ints:
        """Milliseconds from the first event of the entities in these rows to these times."""
        ages: Ints = times - self.born[rows]
        return ages

    def absent(self, forget_after: int) -> Ints:
        """Rows of the entities that sent nothing for more than `forget_after` milliseconds."""
        head = self.head[: len(self.names)]
        return np.flatnonzero((head[:, SEEN] > 0) & (self.clock - head[:, CLOCK] > forget_after))

    @property
    def known(self) -> int:
        """Number of entities that have been seen."""
        return int((self.head[: len(self.names), SEEN] > 0).sum())

    def active(self, since: int) -> int:
        """Number of entities that sent an event since an event time of the partition."""
        active = _active(self.head[: len(self.names)], since)
        if self._elsewhere:
            store, rows = self._elsewhere
            active += store.active(since) - _active(store.head[rows], since)
        return active

    def least_recent(self, most: int) -> Ints:
        """Rows of the entities to forget so that 95 % of `most` stay: those whose last event is oldest."""
        head = self.head[: len(self.names)]
        rows = np.flatnonzero(head[:, SEEN] > 0)
        n = len(rows) - (most - most // 20)
        if n <= 0:
            return rows[:0]
        clocks = head[rows, CLOCK]
        limit = np.partition(clocks, n - 1)[n - 1]
        older, equal = rows[clocks < limit], rows[clocks == limit].tolist()
        # Among entities of equal age the name decides, because their rows are others after a restart.
        chosen = sorted(equal, key=self.names.__getitem__)[: n - len(older)]
        return np.concatenate((older, np.array(chosen, dtype=np.int64)))

    def forget(self, gone: Ints) -> tuple[list[str], Ints]:
        """Forget the entities in the rows `gone`; returns their names, and the slots that they had."""
        slots, names = self.head[gone, SLOT], [self.names[row] for row in gone.tolist()]
        self._drop(names)
        return names, slots[slots > 0] - 1

    def _drop(self, names: list[str]) -> None:
        gone = [self.index.pop(name) for name in names]
        for row in gone:
            self.names[row] = ""
        self.head[gone] = 0
        self.born[gone] = 0
        self.levels[gone] = 0.0
        self.fields[gone] = 0.0
        self._segment_of[gone] = 0
        self.free.extend(gone)

    def copy_of(self, rows: Ints) -> EntityStore:
        """A store of its own that knows the entities in these rows, int64[n]; others are only counted. It is not meant to be saved."""
        copied = EntityStore(self.width)
        copied.clock, copied.generation, copied._elsewhere = self.clock, self.generation, (self, rows)
        own = copied.rows([self.names[row] for row in rows.tolist()], self.fields.shape[1])
        for name in ("head", "levels", "fields", "born"):
            getattr(copied, name)[own] = getattr(self, name)[rows]
        return copied

    def segment(
        self, touched: list[Ints], gone: list[str], prefix: str, writes: dict[str, bytes], deletes: list[str]
    ) -> None:
        """Save the rows that changed as one segment, and merge old segments into it where most of their rows were replaced.

        Parameters
        ----------
        touched : list of int64[n]
            Rows that changed.
        gone : list of str
            Entities forgotten since the last segment. They are named in the segment, because older segments may still hold them.
        prefix : str
            Prefix of the segments' keys.
        writes, deletes
            Changes of the saved state are added.
        """
        changed = np.unique(np.concatenate([np.empty(0, np.int64), *touched]))
        changed = changed[self.head[changed, SEEN] > 0]
        number = self._next_segment
        self._next_segment += 1
        self._segment_of[changed] = number
        self._segments[number] = changed
        self._saved_rows += len(changed)
        parts = [changed]
        while self._saved_rows > 1.5 * len(self.index) + 1024:
            oldest = next(iter(self._segments))
            if oldest == number:
                break
            rows = self._segments.pop(oldest)
            self._saved_rows -= len(rows)
            current = rows[self._segment_of[rows] == oldest]
            self._segment_of[current] = number
            self._saved_rows += len(current)
            parts.append(current)
            deletes.append(f"{prefix}{oldest}")
        if len(parts) > 1:
            self._segments[number] = np.concatenate(parts)
        writes[f"{prefix}{number}"] = self._pack(self._segments[number], gone)

    def _pack(self, rows: Ints, gone: list[str]) -> bytes:
        names = [self.names[row].encode() for row in rows.tolist()]
        head = self.head[rows]
        incidents = np.flatnonzero(head[:, STATUS]).astype(np.int32)
        arrays: dict[str, npt.NDArray[Any]] = {
            "name": np.frombuffer(b"".join(names), np.uint8),
            "length": _lengths(names),
            "head": head[:, : self.always],
            "born": self.born[rows],
            "incident": incidents,
            "open": head[incidents, self.always :],
            "levels": self.levels[rows][incidents],
            "fields": self.fields[rows],
        }
        meta = {"clock": self.clock, "gone": gone, "generation": self.generation}
        return pack(self.kind, self.version, meta, arrays)

    def restore(self, segments: list[tuple[int, bytes]]) -> None:
        """Read saved segments, each with its number.

        In a segment of another generation than the store's, the state of fields is that of other detectors. It is not read, the
        entities have no slot of the rich tier, and their events are not quarantined. Counts, times and incidents are read. Such
        segments stay as they are until their entities change, since writing all entities at once could be too much for one batch.

        Raises
        ------
        StateError
            A segment is damaged.
        """
        for number, state in sorted(segments):
            meta, arrays = unpack(state, self.kind, self.version)
            fields, current = arrays["fields"], meta.get("generation", 0) == self.generation
            if current and fields.shape[2] != self.width:
                raise StateError(
                    f"the saved entities hold {fields.shape[2]} numbers for each field, their header says {self.width}: "
                    "the state is damaged; go back to an older checkpoint"
                )
            self._drop([name for name in dict.fromkeys(meta["gone"]) if name in self.index])
            ends = np.cumsum(arrays["length"], dtype=np.int64).tolist()
            text = arrays["name"].tobytes()
            names = [text[a:b].decode() for a, b in zip([0, *ends[:-1]], ends, strict=True)] if ends else []
            rows = self.rows(names, fields.shape[1])
            self.head[rows] = 0
            always = arrays["head"].shape[1]
            self.head[rows, :always] = arrays["head"]
            self.born[rows] = arrays.get("born", 0)
            self.levels[rows] = 0.0
            opened = rows[arrays["incident"]]
            # Segments of earlier releases have fewer columns; the others are 0.
            self.head[opened, always : always + arrays["open"].shape[1]] = arrays["open"]
            self.levels[opened, : arrays["levels"].shape[1]] = arrays["levels"]
            self.fields[rows] = 0.0
            if current:
                self.fields[rows, : fields.shape[1]] = fields
            else:
                self.head[rows, SLOT] = self.head[rows, HISTORY] = 0
                self.head[rows, RELEASED] = self.head[rows, STATUS] > 0
            self._segments[number] = rows
            self._segment_of[rows] = number
            self._saved_rows += len(rows)
            self.clock = max(self.clock, meta["clock"])
            self._next_segment = number + 1

    def canonical(self) -> bytes:
        """All entities, sorted by name: equal bytes for equal state, whatever the rows and slots of the entities."""
        rows = np.array([self.index[name] for name in sorted(self.index)], dtype=np.int64)
        slots = self.head[rows, SLOT]
        self.head[rows, SLOT] = slots > 0
        state = self._pack(rows, [])
        self.head[rows, SLOT] = slots
        return state

    def _add(self, name: str) -> int:
        if self.free:
            row = self.free.pop()
            self.names[row] = name
        else:
            row = len(self.names)
            self.names.append(name)
            if row >= len(self.head):
                for array in ("head", "levels", "fields", "born", "_segment_of", "_touched", "_counted"):
                    old = getattr(self, array)
                    setattr(self, array, np.concatenate((old, np.zeros_like(old))))
        self.index[name] = row
        return row


def _active(head: Ints, since: int) -> int:
    return int(((head[:, SEEN] > 0) & (head[:, CLOCK] >= since)).sum())


def _lengths(names: list[bytes]) -> npt.NDArray[Any]:
    """Length of each name in bytes: as 16 bits, as in older segments, or as 32 bits where one of them needs more."""
    lengths = np.fromiter(map(len, names), np.int64, len(names))
    return lengths.astype(np.uint16 if lengths.max(initial=0) < 1 << 16 else np.uint32)


@kernel
def _touch(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    rows,
    times,
    clocks,
    late_after,
    forget_after,
    quarantine,
    clock,
    call,
    touched,
    counted,
    head,
    fields,
    born,
    late,
    seen,
    quarantined,
):
    for i in range(len(rows)):
        row, time = rows[i], times[i]
        now = max(clock, clocks[i])
        restarts = head[row, SEEN] > 0 and now - head[row, CLOCK] > forget_after
        if restarts and (touched[row] == call or head[row, STATUS] != 0):
            return i, clock
        is_late = not restarts and head[row, SEEN] > 0 and time < head[row, NEWEST] - late_after
        if quarantine and not is_late and not restarts:
            before = counted[row, 1] if counted[row, 0] == call else 0
            if before == QUARANTINED_AFTER:
                return i, clock
            is_quarantined = head[row, HISTORY] >> (QUARANTINED_AFTER - 1 - before) & 1
            if before > 0 and is_quarantined != counted[row, 2]:
                return i, clock
            counted[row, 0], counted[row, 1], counted[row, 2] = call, before + 1, is_quarantined
            quarantined[i] = is_quarantined
        elif restarts:
            head[row, SEEN] = head[row, RECENT] = head[row, FLAPS] = head[row, HISTORY] = 0
            fields[row, :, :] = 0.0
            counted[row, 0], counted[row, 1], counted[row, 2] = call, 1, 0
        clock = now
        touched[row] = call
        if is_late:
            late[i] = head[row, NEWEST] - time
            continue
        if head[row, SEEN] == 0:
            born[row] = clock
        head[row, NEWEST] = max(time, head[row, NEWEST]) if head[row, SEEN] > 0 else time
        head[row, SEEN] += 1
        head[row, CLOCK] = clock
        seen[i] = head[row, SEEN]
    return len(rows), clock
