"""Entities of the rich tier: kilobytes of state each, saved as learned inputs and, now and then, a snapshot of each entity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.events.stream_kind import KINDS


class RichInputs(NamedTuple):
    """What rich detectors learn from some events. It is saved, and learned again after a restore.

    Attributes
    ----------
    kind : str
        Kind of the stream.
    slots : int64[n]
    first : bool[n]
        Whether the event is the first of its entity in the slot.
    quarantined : bool[n]
        Whether the event is scored but not learned. All events of one slot are quarantined, or none.
    times : int64[n]
        Event times, in milliseconds since 1970.
    X : float64[n, d]
        Values of the numeric fields; NaN is missing.
    levels : float64[n, d] or float64[n, 0]
        Level of the peers at each event; no columns if entities are not compared with peers.
    """

    kind: str
    slots: Ints
    first: Flags
    quarantined: Flags
    times: Ints
    X: Floats
    levels: Floats

    def part(self, begin: int, end: int) -> RichInputs:
        """The inputs of the events from `begin` to before `end`."""
        slots, first, quarantined = self.slots[begin:end], self.first[begin:end], self.quarantined[begin:end]
        times, X, levels = self.times[begin:end], self.X[begin:end], self.levels[begin:end]
        return RichInputs(self.kind, slots, first, quarantined, times, X, levels)


SNAPSHOT_BYTES = 256  # bytes of snapshots that are written for each event


class RichStore:
    """State of the rich entities of one partition: the first ones that come, as many as the memory holds.

    A batch changes kilobytes of each entity, but its inputs are small. Therefore each batch saves one chunk with its inputs, and
    snapshots of a few entities in turn. To restore an entity, its snapshot is read, and the inputs after it are learned again.

    Parameters
    ----------
    width : int
        Number of float64 values for each entity and field.
    memory : int
        Bytes that the entities may take.
    prefix : str
        Prefix of the keys: ``{prefix}r{slot}`` are snapshots, ``{prefix}i{number}`` are chunks.

    Attributes
    ----------
    fields : float64[slots, fields, width]
    """

    version = 3

    def __init__(self, width: int, memory: int, prefix: str) -> None:
        self.width, self.memory, self.prefix = width, memory, prefix
        self.fields = np.zeros((0, 0, width))
        self._used = np.zeros(0, np.bool_)
        # By slot: number of the newest chunk that is not needed to restore it. The snapshot contains that chunk, or the slot was
        # cleared after it.
        self._covered = np.zeros(0, np.int64)
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
        """How many entities with this many fields fit into `memory` bytes."""
        return memory // max(1, 8 * width * fields)

    def seat(self, slots: Ints, fields: int) -> Ints:
        """Give a slot to entities without one, in order, while there is room.

        Parameters
        ----------
        slots : int64[n]
            Slot + 1 of each entity; 0 if it has none.
        fields : int
            Number of fields now.

        Returns
        -------
        int64[n]
            `slots` with the new ones filled in.
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
        """Whether there is room for one more entity with this many fields."""
        return bool(self._free) or self._top < self.entities_in(self.memory, self.width, fields)

    def make_room(self, fields: int) -> None:
        """Make the arrays large enough for every slot and this many fields."""
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
        """Give slots back, int64[n]."""
        self._used[slots] = False
        self._free.extend(slots.tolist())

    def copy_of(self, slots: Ints) -> RichStore:
        """A store of its own that knows the entities in these slots, int64[n]; all slots are taken as here. It is not meant to be saved."""
        copied = RichStore(self.width, self.memory, self.prefix)
        copied.fields = np.zeros(self.fields.shape)  # pages of memory that nobody writes cost nothing
        copied.fields[slots] = self.fields[slots]
        copied._used, copied._covered = self._used.copy(), self._covered.copy()
        copied._free, copied._top, copied._next = self._free.copy(), self._top, self._next
        return copied

    def clear(self, slots: Ints) -> None:
        """Empty the slots of entities that start from the beginning."""
        self.fields[slots] = 0.0
        self._covered[slots] = self._next - 1

    def rewrite(self, slot: int, fields: Floats) -> None:
        """Replace the state of an entity; the inputs that it learned before do not count any more.

        Parameters
        ----------
        slot : int
        fields : float64[d, width]
            At most as many fields as there are now; the state of the others becomes empty.
        """
        self.fields[slot] = 0.0
        self.fields[slot, : len(fields)] = fields
        self._rewritten.add(slot)

    def save(self, learned: list[RichInputs], writes: dict[str, bytes], deletes: list[str]) -> None:
        """Save the learned inputs since the last save, and the snapshots that are due.

        Parameters
        ----------
        learned : list of RichInputs
        writes, deletes
            Changes of the saved state are added.
        """
        for slot in sorted(self._rewritten):  # its state has already learned these inputs
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
            "fields": np.repeat([part.X.shape[1] for part in learned], [len(part.slots) for part in learned]).astype(
                np.int32
            ),
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
        """What else must be saved, as plain values."""
        return {"next": self._next, "cursor": self._cursor, "credit": self._credit, "top": self._top}

    def restore(
        self, meta: dict[str, int], taken: Ints, fields: int, snapshots: dict[int, bytes], chunks: dict[int, bytes]
    ) -> list[RichInputs]:
        """Read the saved state.

        Parameters
        ----------
        meta : dict
            As `meta` returned it.
        taken : int64[n]
            Slots that belong to entities.
        fields : int
            Number of fields now.
        snapshots, chunks : dict of int to bytes
            Snapshots by slot, chunks by number.

        Returns
        -------
        list of RichInputs
            What must be learned again, in order. Before an event whose `first` is set, its slot must be emptied.

        Raises
        ------
        StateError
            The state is damaged.
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
                    f"the saved rich entities hold {part.shape[1]} numbers for each field, their header says {self.width}: "
                    "the state is damaged; go back to an older checkpoint"
                )
            self.fields[slot, : part.shape[0]] = part
            self._covered[slot] = saved["chunk"]
        self._chunks = sorted(chunks)
        saved_inputs = [unpack(chunks[number], "inputs", self.version)[1] for number in self._chunks]
        for number, arrays in zip(self._chunks, saved_inputs, strict=True):
            cleared = arrays["slots"][arrays["fresh"]]
            self._covered[cleared] = np.maximum(self._covered[cleared], number - 1)
        inputs = []
        for number, arrays in zip(self._chunks, saved_inputs, strict=True):
            slots = arrays["slots"].astype(np.int64)
            X, levels = arrays["X"], arrays["levels"]
            widths = arrays.get("fields", np.full(len(slots), X.shape[1]))  # not saved by 0.1.0
            needed = np.flatnonzero(self._covered[slots] < number)
            cuts = np.flatnonzero(np.diff(arrays["kinds"][needed]) | np.diff(widths[needed])) + 1
            switches = _switches(slots[needed], arrays["held"][needed])
            for part in np.split(needed, sorted({*cuts.tolist(), *switches})):
                if len(part):
                    first, quarantined, times = (arrays[name][part] for name in ("fresh", "held", "times"))
                    kind = KINDS[arrays["kinds"][part[0]]]
                    d = int(widths[part[0]])
                    of_peers = levels[part, : d if levels.shape[1] else 0]
                    inputs.append(RichInputs(kind, slots[part], first, quarantined, times, X[part, :d], of_peers))
        return inputs


def _switches(slots: Ints, quarantined: Flags) -> list[int]:
    """Positions of the events before which a part must end, because the quarantine of a slot in it begins or ends there."""
    cuts: list[int] = []
    if quarantined.any():
        flag_of: dict[int, bool] = {}
        for i, (slot, flag) in enumerate(zip(slots.tolist(), quarantined.tolist(), strict=True)):
            if flag_of.get(slot, flag) != flag:
                cuts.append(i)
                flag_of = {}
            flag_of[slot] = flag
    return cuts


def _padded(part: Floats, fields: int) -> Floats:
    """The same rows with this many columns; a new column is NaN."""
    padded = np.full((len(part), fields), np.nan)
    padded[:, : part.shape[1]] = part
    return padded


def _stacked(parts: list[Floats]) -> Floats:
    """All rows below each other, with as many columns as the widest part."""
    return np.vstack([_padded(part, max(part.shape[1] for part in parts)) for part in parts])
