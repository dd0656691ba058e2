"""What is known of each entity: packed in arrays, saved as a log of the rows that changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from streamgauge.models.contract import Flags, Ints
from streamgauge.models.errors import StateError
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
    SEEN,
    SLOT,
    STATUS,
)


class EntityStore:
    """State of all entities of one log.

    One writer owns it. Every entity has a row, and kernels work on the rows of a batch in place. What is saved is a log: each batch writes
    one segment with the rows it touched, a row in a later segment replaces the earlier one, and segments that are mostly
    replaced are folded into the next. So a batch costs one write, whatever the number of its entities.

    Parameters
    ----------
    width : int
        float64 numbers for each entity and field.
    timed : bool
        Whether arrivals are saved.

    Attributes
    ----------
    head : int64[capacity, 20]
        Counts, times, place in the rich tier (one more than the slot), which of the last events were anomalous (a bit each), how
        often incidents followed each other (and at which event the last one ended), after which of the last events nothing was to be
        learned (a bit each), arrival and offset of the last event, the longest usual gap, whether it is silent, and incident of each
        entity.
    levels : float64[capacity, 7]
        Peak of the incident, what was last told of it, and how far what was not learned lies from the usual: number, mean, squares
        about it, the last one, squares of the changes.
    fields : float64[capacity, fields, width]
        State of features and detectors.
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
        self.head = np.zeros((1024, HEAD_COLUMNS), np.int64)
        self.levels = np.zeros((1024, LEVEL_COLUMNS))
        self.fields = np.zeros((1024, 0, width))
        self._segment_of = np.zeros(1024, np.int64)
        self._touched = np.zeros(1024, np.int64)
        self._turns = np.zeros((1024, 3), np.int64)  # turn, events in it, whether they are held
        self._round = 0
        self._segments: dict[int, Ints] = {}
        self._next_segment = 1
        self._logged = 0

    def __len__(self) -> int:
        return len(self.index)

    def rows(self, entities: list[str], n_fields: int) -> Ints:
        """Row of each entity, new ones made, and room for `n_fields` fields.

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
        self, rows: Ints, times: Ints, late_after: int, forget_after: int, quarantine: bool = True
    ) -> tuple[int, Ints, Ints, Flags]:
        """Count events in order, find the late ones, and start entities anew that were away too long.

        Returns
        -------
        done : int
            Events counted; the rest must wait until these are scored, because one of them starts an entity anew, or what these are
            decides whether it is learned. With `quarantine`, an entity has no more than `QUARANTINED_AFTER` of them, all learned or none.
        late : int64[done]
            By how much an event is older than its entity's newest, where that is more than `late_after`; 0 otherwise. Late
            events leave no trace.
        seen : int64[done]
            Events of the entity so far, this one included; 0 for a late one.
        held : bool[done]
            Whether the event is not to be learned.
        """
        late, seen, held = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), np.zeros(len(rows), np.bool_)
        self._round += 1
        done, self.clock = _touch(
            rows, times, late_after, forget_after, quarantine, self.clock, self._round, self._touched, self._turns,
            self.head, self.fields, late, seen, held,
        )  # fmt: skip
        return done, late[:done], seen[:done], held[:done]

    def away(self, forget_after: int) -> Ints:
        """Rows of entities that would start anew anyway, but for those with an incident."""
        seen = self.head[: len(self.names)]
        away = self.clock - seen[:, CLOCK] > forget_after
        return np.flatnonzero((seen[:, SEEN] > 0) & (seen[:, STATUS] == 0) & away)

    @property
    def known(self) -> int:
        """Entities that have been seen."""
        return int((self.head[: len(self.names), SEEN] > 0).sum())

    def least_recent(self, most: int) -> Ints:
        """Rows of the entities that were away for longest, but for those with an incident; a twentieth less than `most` stay."""
        head = self.head[: len(self.names)]
        rows = np.flatnonzero((head[:, SEEN] > 0) & (head[:, STATUS] == 0))
        n = min(self.known - (most - most // 20), len(rows))
        if n <= 0:
            return rows[:0]
        clocks = head[rows, CLOCK]
        limit = np.partition(clocks, n - 1)[n - 1]
        older, equal = rows[clocks < limit], rows[clocks == limit].tolist()
        # rows of equal age by name: their places differ after a restart
        chosen = sorted(equal, key=self.names.__getitem__)[: n - len(older)]
        return np.concatenate((older, np.array(chosen, dtype=np.int64)))

    def forget(self, gone: Ints) -> tuple[list[str], Ints]:
        """Give back the rows of entities; returns their names, and the slots they had."""
        slots, names = self.head[gone, SLOT], [self.names[row] for row in gone.tolist()]
        self._drop(names)
        return names, slots[slots > 0] - 1

    def _drop(self, names: list[str]) -> None:
        gone = [self.index.pop(name) for name in names]
        for row in gone:
            self.names[row] = ""
        self.head[gone] = 0
        self.levels[gone] = 0.0
        self.fields[gone] = 0.0
        self._segment_of[gone] = 0
        self.free.extend(gone)

    def segment(
        self, touched: list[Ints], gone: list[str], prefix: str, writes: dict[str, bytes], deletes: list[str]
    ) -> None:
        """Save the touched rows as one segment, and fold old segments that are mostly replaced.

        Parameters
        ----------
        touched : list of int64[n]
            Rows.
        gone : list of str
            Entities forgotten since the last segment: older segments may still hold them.
        prefix : str
            Of the segments' keys.
        writes, deletes
            Changes of the saved state are added.
        """
        changed = np.unique(np.concatenate([np.empty(0, np.int64), *touched]))
        changed = changed[self.head[changed, SEEN] > 0]
        number = self._next_segment
        self._next_segment += 1
        self._segment_of[changed] = number
        self._segments[number] = changed
        self._logged += len(changed)
        parts = [changed]
        while self._logged > 1.5 * len(self.index) + 1024:
            oldest = next(iter(self._segments))
            if oldest == number:
                break
            rows = self._segments.pop(oldest)
            self._logged -= len(rows)
            alive = rows[self._segment_of[rows] == oldest]
            self._segment_of[alive] = number
            self._logged += len(alive)
            parts.append(alive)
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
            "incident": incidents,
            "open": head[incidents, self.always :],
            "levels": self.levels[rows][incidents],
            "fields": self.fields[rows],
        }
        return pack(self.kind, self.version, {"clock": self.clock, "gone": gone}, arrays)

    def restore(self, segments: list[tuple[int, bytes]]) -> None:
        """Read saved segments, given by number.

        Raises
        ------
        StateError
            Damaged, or written for other detectors.
        """
        for number, state in sorted(segments):
            meta, arrays = unpack(state, self.kind, self.version)
            fields = arrays["fields"]
            if fields.shape[2] != self.width:
                raise StateError(
                    f"the saved entities hold {fields.shape[2]} numbers for each field, these settings need {self.width}: "
                    "the detectors were changed; start the job without this state"
                )
            self._drop([name for name in meta["gone"] if name in self.index])
            ends = np.cumsum(arrays["length"], dtype=np.int64).tolist()
            text = arrays["name"].tobytes()
            names = [text[a:b].decode() for a, b in zip([0, *ends[:-1]], ends, strict=True)] if ends else []
            rows = self.rows(names, fields.shape[1])
            self.head[rows] = 0
            always = arrays["head"].shape[1]
            self.head[rows, :always] = arrays["head"]
            self.levels[rows] = 0.0
            opened = rows[arrays["incident"]]
            self.head[opened, always:] = arrays["open"]
            self.levels[opened] = arrays["levels"]
            self.fields[rows] = 0.0
            self.fields[rows, : fields.shape[1]] = fields
            self._segments[number] = rows
            self._segment_of[rows] = number
            self._logged += len(rows)
            self.clock = max(self.clock, meta["clock"])
            self._next_segment = number + 1

    def canonical(self) -> bytes:
        """All entities, sorted by name: equal for equal state, however it came about."""
        rows = np.array([self.index[name] for name in sorted(self.index)], dtype=np.int64)
        slots = self.head[rows, SLOT]
        self.head[rows, SLOT] = slots > 0  # which slot it is does not matter
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
                for array in ("head", "levels", "fields", "_segment_of", "_touched", "_turns"):
                    old = getattr(self, array)
                    setattr(self, array, np.concatenate((old, np.zeros_like(old))))
        self.index[name] = row
        return row


def _lengths(names: list[bytes]) -> npt.NDArray[Any]:
    """Length of each name: in 16 bits, as ever, where all of them fit."""
    lengths = np.fromiter(map(len, names), np.int64, len(names))
    return lengths.astype(np.uint16 if lengths.max(initial=0) < 1 << 16 else np.uint32)


@njit(cache=True)
def _touch(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    rows, times, late_after, forget_after, quarantine, clock, turn, touched, turns, head, fields, late, seen, held
):  # fmt: skip
    for i in range(len(rows)):
        row, time = rows[i], times[i]
        now = max(clock, time)
        again = head[row, SEEN] > 0 and now - head[row, CLOCK] > forget_after
        if again and touched[row] == turn:
            return i, clock
        is_late = not again and head[row, SEEN] > 0 and time < head[row, NEWEST] - late_after
        if quarantine and not is_late and not again:
            before = turns[row, 1] if turns[row, 0] == turn else 0
            if before == QUARANTINED_AFTER:
                return i, clock
            back = head[row, HISTORY] >> (QUARANTINED_AFTER - 1 - before) & 1
            if before > 0 and back != turns[row, 2]:
                return i, clock
            turns[row, 0], turns[row, 1], turns[row, 2] = turn, before + 1, back
            held[i] = back
        elif again:
            head[row, SEEN] = head[row, RECENT] = head[row, FLAPS] = head[row, HISTORY] = 0
            fields[row, :, :] = 0.0
            turns[row, 0], turns[row, 1], turns[row, 2] = turn, 1, 0
        clock = now
        touched[row] = turn
        if is_late:
            late[i] = head[row, NEWEST] - time
            continue
        head[row, NEWEST] = max(time, head[row, NEWEST]) if head[row, SEEN] > 0 else time
        head[row, SEEN] += 1
        head[row, CLOCK] = clock
        seen[i] = head[row, SEEN]
    return len(rows), clock
