"""Entities of the rich tier: kilobytes of state each, saved as what they were fed and a snapshot of each now and then."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.events.stream_kind import KINDS


class RichInputs(NamedTuple):
    """What rich detectors learn from some events; saved, to be learned again after a restore.

    Attributes
    ----------
    kind : str
        Of the stream.
    slots : int64[n]
    first : bool[n]
        Whether the entity begins in its slot with the event.
    quarantined : bool[n]
        Whether the event is not learned; of one slot, all are or none.
    times : int64[n]
        Milliseconds.
    X : float64[n, d]
    levels : float64[n, d] or float64[n, 0]
        Level of the peers at each event; no columns where entities are not compared.
    """

    kind: str
    slots: Ints
    first: Flags
    quarantined: Flags
    times: Ints
    X: Floats
    levels: Floats

    def part(self, begin: int, end: int) -> RichInputs:
        """The inputs of some of the events."""
        slots, first, quarantined = self.slots[begin:end], self.first[begin:end], self.quarantined[begin:end]
        times, X, levels = self.times[begin:end], self.X[begin:end], self.levels[begin:end]
        return RichInputs(self.kind, slots, first, quarantined, times, X, levels)


SNAPSHOT_BYTES = 256  # of snapshots written for each event


class RichStore:
    """State of the rich entities of one log, as many as the memory holds; who comes first has a place.

    A batch changes kilobytes of each entity it touches, but what it feeds them is small. So each batch writes one chunk with its
    events, and snapshots a few entities, in turn. Restoring is: read each entity's snapshot, feed it the chunks that came after.

    Parameters
    ----------
    width : int
        float64 numbers for each entity and field.
    memory : int
        Bytes that the entities may take.
    prefix : str
        Of the keys: ``{prefix}r{slot}`` are snapshots, ``{prefix}i{number}`` are chunks.

    Attributes
    ----------
    fields : float64[slots, fields, width]
    """

    version = 3

    def __init__(self, width: int, memory: int, prefix: str) -> None:
        self.width, self.memory, self.prefix = width, memory, prefix
        self.fields = np.zeros((0, 0, width))
        self._used = np.zeros(0, np.bool_)
        self._covered = np.zeros(
            0, np.int64
        )  # chunk up to which a slot needs none: it is in its snapshot, or it was cleared after
        self._free: list[int] = []
        self._top = 0
        self._chunks: list[int] = []
        self._next = 1
        self._cursor = 0
        self._credit = 0
        self._rewritten: set[int] = set()

    def __len__(self) -> int:
        return self._top - len(self._free)

    @staticmethod
    def entities_in(memory: int, width: int, fields: int) -> int:
        """Entities of so many fields that fit the memory."""
        return memory // max(1, 8 * width * fields)

    def seat(self, slots: Ints, fields: int) -> Ints:
        """Give a slot to entities without one, in order, while there is room.

        Parameters
        ----------
        slots : int64[n]
            One more than the slot of each entity; 0 is none.
        fields : int
            Fields there are now.

        Returns
        -------
        int64[n]
            `slots` with the new ones.
        """
        most = self.entities_in(self.memory, self.width, fields)
        slots = slots.copy()
        for i in np.flatnonzero(slots == 0).tolist():
            if self._free:
                slot = self._free.pop()
            elif self._top < most:
                slot = self._top
                self._top += 1
            else:
                break
            slots[i] = slot + 1
            self.make_room(fields)
            self._used[slot] = True
        return slots

    def room(self, fields: int) -> bool:
        """Whether there is room for one more entity of so many fields."""
        return bool(self._free) or self._top < self.entities_in(self.memory, self.width, fields)

    def make_room(self, fields: int) -> None:
        """Let the arrays hold every slot, with so many fields."""
        slots, d, _ = self.fields.shape
        if self._top <= slots and fields <= d:
            return
        room = slots if self._top <= slots else max(self._top, slots + slots // 2, 16)
        grown = np.zeros((room, max(fields, d), self.width))
        grown[:slots, :d] = self.fields
        self.fields = grown
        for name in ("_used", "_covered"):
            old = getattr(self, name)
            new = np.zeros(room, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def leave(self, slots: Ints) -> None:
        """Give slots back."""
        self._used[slots] = False
        self._free.extend(slots.tolist())

    def clear(self, slots: Ints) -> None:
        """Forget what is in the slots of entities that start anew."""
        self.fields[slots] = 0.0
        self._covered[slots] = self._next - 1

    def rewrite(self, slot: int, fields: Floats) -> None:
        """Put other numbers into the slot of an entity; what it was fed before is void.

        Parameters
        ----------
        slot : int
        fields : float64[d, width]
            No more fields than there are now; the others are forgotten.
        """
        self.fields[slot] = 0.0
        self.fields[slot, : len(fields)] = fields
        self._rewritten.add(slot)

    def save(self, learned: list[RichInputs], writes: dict[str, bytes], deletes: list[str]) -> None:
        """Write what was fed since the last time, and the snapshots that are due.

        Parameters
        ----------
        learned : list of RichInputs
        writes, deletes
            Changes of the saved state are added.
        """
        for slot in sorted(self._rewritten):  # as it is after what it is fed here
            self._covered[slot] = self._next if learned else self._next - 1
            writes[f"{self.prefix}r{slot}"] = self._snapshot(slot)
        self._rewritten.clear()
        if not learned:
            return
        number, self._next = self._next, self._next + 1
        slots, first, quarantined, times = (
            np.concatenate([getattr(part, name) for part in learned])
            for name in ("slots", "first", "quarantined", "times")
        )
        kinds = np.repeat([KINDS.index(part.kind) for part in learned], [len(part.slots) for part in learned])
        arrays: dict[str, npt.NDArray[Any]] = {
            "slots": slots.astype(np.int32),
            "fresh": first,
            "held": quarantined,
            "times": times,
            "X": _stacked([part.X for part in learned]),
            "levels": _stacked([part.levels for part in learned]),
            "kinds": kinds.astype(np.int8),
        }
        writes[f"{self.prefix}i{number}"] = pack("inputs", self.version, {}, arrays)
        self._chunks.append(number)
        self._credit += len(slots) * SNAPSHOT_BYTES
        size = max(1, self.fields[:1].nbytes)
        while self._credit >= size and self._top:
            self._credit -= size
            slot, self._cursor = self._cursor, (self._cursor + 1) % self._top
            if self._used[slot]:
                self._covered[slot] = number
                writes[f"{self.prefix}r{slot}"] = self._snapshot(slot)
        needed = int(self._covered[: self._top].min(where=self._used[: self._top], initial=number))
        while self._chunks and self._chunks[0] <= needed:
            key = f"{self.prefix}i{self._chunks.pop(0)}"
            if writes.pop(key, None) is None:
                deletes.append(key)

    def _snapshot(self, slot: int) -> bytes:
        return pack("rich", self.version, {"chunk": int(self._covered[slot])}, {"fields": self.fields[slot]})

    def meta(self) -> dict[str, int]:
        """What else must be saved."""
        return {"next": self._next, "cursor": self._cursor, "credit": self._credit, "top": self._top}

    def restore(
        self, meta: dict[str, int], taken: Ints, fields: int, snapshots: dict[int, bytes], chunks: dict[int, bytes]
    ) -> list[RichInputs]:
        """Read what was saved.

        Parameters
        ----------
        meta : dict
        taken : int64[n]
            Slots that entities hold.
        fields : int
            Fields there are now.
        snapshots, chunks : dict
            By slot; by number.

        Returns
        -------
        list of RichInputs
            To be fed again, in order; before each, the slots of fresh entities must be cleared.

        Raises
        ------
        StateError
            Damaged, or written for other detectors.
        """
        self._next, self._cursor, self._credit, self._top = (meta[k] for k in ("next", "cursor", "credit", "top"))
        self.fields = np.zeros((self._top, fields, self.width))
        self._used, self._covered = np.zeros(self._top, np.bool_), np.zeros(self._top, np.int64)
        self._used[taken] = True
        self._free = np.flatnonzero(~self._used).tolist()[::-1]
        for slot, state in snapshots.items():
            saved, arrays = unpack(state, "rich", self.version)
            part = arrays["fields"]
            if part.shape[1] != self.width:
                raise StateError(
                    f"the saved rich entities hold {part.shape[1]} numbers for each field, these settings need {self.width}: "
                    "the detectors were changed; start the job without this state"
                )
            self.fields[slot, : part.shape[0]] = part
            self._covered[slot] = saved["chunk"]
        self._chunks = sorted(chunks)
        fed = [unpack(chunks[number], "inputs", self.version)[1] for number in self._chunks]
        for number, arrays in zip(self._chunks, fed, strict=True):
            cleared = arrays["slots"][arrays["fresh"]]
            self._covered[cleared] = np.maximum(self._covered[cleared], number - 1)
        again = []
        for number, arrays in zip(self._chunks, fed, strict=True):
            slots = arrays["slots"].astype(np.int64)
            X, levels = _padded(arrays["X"], fields), arrays["levels"]
            levels = _padded(levels, fields) if levels.shape[1] else levels
            news = np.flatnonzero(self._covered[slots] < number)
            cuts = np.flatnonzero(np.diff(arrays["kinds"][news])) + 1
            for part in np.split(news, sorted({*cuts.tolist(), *_switches(slots[news], arrays["held"][news])})):
                if len(part):
                    fresh, held, times = (arrays[of][part] for of in ("fresh", "held", "times"))
                    kind = KINDS[arrays["kinds"][part[0]]]
                    again.append(RichInputs(kind, slots[part], fresh, held, times, X[part], levels[part]))
        return again


def _switches(slots: Ints, held: Flags) -> list[int]:
    """Where a part must end, because a slot in it begins to be held back from learning, or ends to be."""
    cuts: list[int] = []
    if held.any():
        before: dict[int, bool] = {}
        for i, (slot, back) in enumerate(zip(slots.tolist(), held.tolist(), strict=True)):
            if before.get(slot, back) != back:
                cuts.append(i)
                before = {}
            before[slot] = back
    return cuts


def _padded(part: Floats, fields: int) -> Floats:
    """With so many columns; what is not there is NaN."""
    padded = np.full((len(part), fields), np.nan)
    padded[:, : part.shape[1]] = part
    return padded


def _stacked(parts: list[Floats]) -> Floats:
    """Rows below each other, as wide as the widest."""
    return np.vstack([_padded(part, max(part.shape[1] for part in parts)) for part in parts])
