"""Events to aggregates: sums, counts and other figures of each entity in windows of event time.

The results depend on the events in a window, but not on the order in which they came. For this, values are kept until a window
ends, and sorted before they are added up.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.errors import StateError
from streamgauge.models.kernel import kernel
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.events.schema import as_float
from streamgauge.udfs.settings.pipeline import EventWindow
from streamgauge.udfs.windows.rows import WindowRows

QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
DISTINCT = "distinct"
TEXT = (
    2.0**53
)  # codes of texts are larger than every whole number that float64 represents exactly, so none equals a number


LARGEST = np.finfo(np.float64).max
BLOCK = 65_536  # events that are kept together
PART = 250_000  # events that are aggregated together
MINUTE = 60_000  # milliseconds
Ids = npt.NDArray[np.int32]
Kept = tuple[list[str], Ints, Ints, Floats]  # entities, times, offsets and values of events


def _mean(x: Floats, at: Ints, n: Ints) -> Floats:
    mean: Floats = np.add.reduceat(x, at) / n
    return mean


def _deviation(x: Floats, at: Ints, n: Ints) -> Floats:
    difference = x - np.repeat(_mean(x, at, n), n)
    squares = np.add.reduceat(difference * difference, at)
    return np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def _distinct(x: Floats, at: Ints, n: Ints) -> Floats:
    is_new = np.empty(len(x))
    is_new[1:] = x[1:] != x[:-1]
    is_new[at] = 1.0
    number: Floats = np.add.reduceat(is_new, at)
    return number


# Each function takes the values of all entities, sorted within each entity (x), the position where the values of each entity
# begin (at), and their number (n, at least 1).
AGGREGATES: dict[str, Callable[[Floats, Ints, Ints], Floats]] = {
    "sum": lambda x, at, n: np.add.reduceat(x, at),
    "mean": _mean,
    "deviation": _deviation,
    "min": lambda x, at, n: x[at],
    "max": lambda x, at, n: x[at + n - 1],
    DISTINCT: _distinct,
}


def quantile(x: Floats, at: Ints, n: Ints, q: float) -> Floats:
    """A quantile of each entity's values, as `numpy.quantile` computes it.

    Parameters
    ----------
    x : float64[values]
        Values, sorted within each entity.
    at, n : int64[entities]
        Position where each entity's values begin, and their number, at least 1.
    q : float
        0 to 1.

    Returns
    -------
    float64[entities]
    """
    place = q * (n - 1)
    low = np.floor(place).astype(np.int64)
    a, b = x[at + low], x[at + np.minimum(low + 1, n - 1)]
    between: Floats = a + (b - a) * (place - low)
    return between


def sorted_within(x: Floats, start: Ints) -> tuple[Floats, Ints]:
    """The values of each entity that are there, in order.

    Parameters
    ----------
    x : float64[n]
        Values, grouped by entity; NaN is missing.
    start : int64[m + 1]
        Position where the values of each entity begin, and `n`.

    Returns
    -------
    float64[present], int64[m + 1]
        The values, sorted within each entity, and where those of each begin. If no value is missing, `x` itself is sorted.
    """
    present = ~np.isnan(x)
    if not present.all():
        start = np.concatenate(([0], np.cumsum(present)))[start]
        x = x[present]
    # Sorting one part after the other takes a tenth of the time of sorting by entity and value together.
    for begin, end in itertools.pairwise(start.tolist()):
        x[begin:end].sort()
    return x, start


def aggregate(x: Floats, start: Ints, how: str) -> Floats:
    """One aggregate of each entity's values.

    Parameters
    ----------
    x, start : float64[n], int64[m + 1]
        As `sorted_within` returns them.
    how : str
        One of `AGGREGATES`, or a quantile in per cent, such as p95.

    Returns
    -------
    float64[m]
        NaN for an entity without a value, and for the deviation of a single value. What is beyond the largest float is the largest.
    """
    n = np.diff(start)
    some = n > 0
    aggregates = np.full(len(n), np.nan)
    if not some.any():
        return aggregates
    at, n = start[:-1][some], n[some]
    match = QUANTILE.fullmatch(how)
    with np.errstate(over="ignore", invalid="ignore"):  # two values near the largest float have a sum beyond it
        found = quantile(x, at, n, float(match[1]) / 100) if match else AGGREGATES[how](x, at, n)
    aggregates[some] = np.clip(found, -LARGEST, LARGEST)
    return aggregates


@kernel
def _count(times, ids, offsets, start, end, wanted, counts, first, last):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    """Count the events of each wanted entity from `start` to before `end`, and note its first and last offset."""
    for i in range(len(times)):
        entity = ids[i]
        if start <= times[i] < end and wanted[entity]:
            if counts[entity] == 0:
                first[entity] = offsets[i]
            last[entity] = offsets[i]
            counts[entity] += 1


@kernel
def _group(times, ids, x, start, end, following, grouped):  # type: ignore[no-untyped-def]
    """Write the values of a column from `start` to before `end` where the next value of their entity belongs; -1 is not wanted."""
    for i in range(len(times)):
        place = following[ids[i]]
        if start <= times[i] < end and place >= 0:
            grouped[place] = x[i]
            following[ids[i]] = place + 1


def columns_of(windows: Iterable[EventWindow]) -> list[tuple[str, bool]]:
    """Fields of an event that windows need; True if values are read as codes (texts too), False if they are read as numbers."""
    return sorted({(f, how == DISTINCT) for of in windows for f, hows in of.aggregates.items() for how in hows})


class _Block:
    """Some of the kept events, at most `BLOCK`, in the order in which they came; once it is full, they are grouped by entity.

    A block moves its events once, and is dropped as a whole. So it takes the same time to keep or to forget an event, however many
    are kept. Where events of an entity are together, windows read them in a fraction of the time.

    Parameters
    ----------
    columns : int

    Attributes
    ----------
    n : int
        Number of events.
    oldest, newest : int
        Times of the oldest and of the newest event, in milliseconds since 1970.
    """

    def __init__(self, columns: int) -> None:
        self.n, self.oldest, self.newest = 0, sys.maxsize, -sys.maxsize
        self._ids = np.empty(BLOCK, np.int32)
        self._times, self._offsets = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        self._values = np.empty((columns, BLOCK))  # a column is one piece of memory, because it is read alone

    @property
    def is_full(self) -> bool:
        """Whether there is room for no further event."""
        return self.n == len(self._ids)

    @property
    def ids(self) -> Ids:
        """Number of each event's entity: int32[n]."""
        return self._ids[: self.n]

    @property
    def times(self) -> Ints:
        """Time of each event, in milliseconds since 1970: int64[n]."""
        return self._times[: self.n]

    @property
    def offsets(self) -> Ints:
        """Offset of each event: int64[n]."""
        return self._offsets[: self.n]

    @property
    def values(self) -> Floats:
        """Values: float64[columns, n]."""
        return self._values[:, : self.n]

    def add(self, ids: list[int], times: Ints, offsets: Ints, X: Floats) -> int:
        """Keep the first of these events, as many as have room; returns their number."""
        n = min(len(ids), len(self._ids) - self.n)
        part = slice(self.n, self.n + n)
        self._ids[part], self._times[part], self._offsets[part] = ids[:n], times[:n], offsets[:n]
        self._values[:, part] = X[:n].T
        self.oldest = min(self.oldest, int(times[:n].min()))
        self.newest = max(self.newest, int(times[:n].max()))
        self.n += n
        if self.is_full:
            order = np.argsort(self._ids, kind="stable")
            self._ids, self._times, self._offsets = self._ids[order], self._times[order], self._offsets[order]
            self._values = np.take(self._values, order, axis=1)
        return n

    def of_entities(self, numbers: Ints) -> slice:
        """Places of a part of the events that has all events of these entities, whose numbers are in order."""
        if not self.is_full or not len(numbers):
            return slice(self.n)
        ends = np.array([numbers[0], numbers[-1] + 1], np.int32)  # of another type, all ids would be converted
        return slice(*np.searchsorted(self._ids, ends).tolist())


class KeptEvents:
    """Events of one partition, as far as windows need them. An event is kept until no window can change because of it.

    Parameters
    ----------
    columns : list of (field, bool)
        As `columns_of` returns them.
    prefix : str
        Prefix of the keys of the saved state: ``{prefix}v{number}``, one chunk for each batch.

    Attributes
    ----------
    names : list of str
        Entities, by number; empty where a number is free.
    """

    kind = "window events"
    version = 1

    def __init__(self, columns: list[tuple[str, bool]], prefix: str) -> None:
        self.columns, self.prefix = columns, prefix
        self.names: list[str] = []
        self._index: dict[str, int] = {}
        self._free: list[int] = []  # numbers of entities that were forgotten
        self._blocks = [_Block(len(columns))]
        self._unsaved: list[Kept] = []
        self._next = 1
        self._chunks: dict[int, list[str]] = {}  # keys of the saved chunks, by the minute of their newest event

    def __len__(self) -> int:
        return sum(block.n for block in self._blocks)

    def read(self, events: Events) -> Floats:
        """Read the columns of events: float64[n, columns]; NaN is missing."""
        X = np.full((len(events), len(self.columns)), np.nan)
        for column, (field, coded) in enumerate(self.columns):
            read = _code if coded else _number
            X[:, column] = [read(value.get(field)) for value in events.values]
        return X

    def add(self, entities: list[str], times: Ints, offsets: Ints, X: Floats) -> None:
        """Keep events.

        Parameters
        ----------
        entities : list of str
        times, offsets : int64[n]
            Event times, in milliseconds since 1970, and offsets.
        X : float64[n, columns]
            As `read` returned it.
        """
        if entities:
            self._unsaved.append((entities, times, offsets, X))
            self._keep(entities, times, offsets, X)

    def _keep(self, entities: list[str], times: Ints, offsets: Ints, X: Floats) -> None:
        ids = [self._number_of(name) for name in entities]
        while ids:
            if self._blocks[-1].is_full:
                self._blocks.append(_Block(len(self.columns)))
            n = self._blocks[-1].add(ids, times, offsets, X)
            ids, times, offsets, X = ids[n:], times[n:], offsets[n:], X[n:]

    def _number_of(self, name: str) -> int:
        number = self._index.get(name)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.names[number] = name
            else:
                number = len(self.names)
                self.names.append(name)
            self._index[name] = number
        return number

    def slices(self, start: int, end: int, every: int) -> Ints:
        """Which slices of `every` milliseconds have events from `start` to before `end`: the begin of each, in order."""
        numbers: set[int] = set()
        for block in self._between(start, end):
            times, only = block.times, block.oldest // every
            # Most blocks have events of one slice only, because most events come in the order of their times.
            if start <= block.oldest and block.newest < min(end, (only + 1) * every):
                numbers.add(only)
            else:
                numbers.update(np.unique(times[(times >= start) & (times < end)] // every).tolist())
        return np.array(sorted(numbers), np.int64) * every

    def _between(self, start: int, end: int) -> list[_Block]:
        """The blocks that may have events from `start` to before `end`."""
        return [block for block in self._blocks if block.oldest < end and block.newest >= start]

    def window(self, name: str, of: EventWindow, end: int, entities: list[str] | None = None) -> WindowRows:
        """Aggregates of the events from `end - size` to before `end`: one row for each entity, sorted by name.

        Parameters
        ----------
        name : str
            Name of the window's settings.
        of : EventWindow
        end : int
            In milliseconds since 1970.
        entities : list of str, optional
            Only these entities.
        """
        since, m = end - of.size, len(self.names)
        wanted = np.ones(m, np.bool_)
        if entities is not None:
            wanted[:] = False
            wanted[[self._index[name] for name in entities if name in self._index]] = True
        blocks = self._between(since, end)
        counts, first, last = np.zeros(m, np.int64), np.empty(m, np.int64), np.empty(m, np.int64)
        for block in blocks:
            _count(block.times, block.ids, block.offsets, since, end, wanted, counts, first, last)
        found = np.flatnonzero(counts)
        # Some entities at a time, because their values then fit into the cache.
        parts = np.split(found, np.flatnonzero(np.diff(np.cumsum(counts[found]) // PART)) + 1)
        values = np.concatenate([self._aggregates(of, blocks, (since, end), part, counts[part]) for part in parts])
        rows = sorted(range(len(found)), key=lambda k: self.names[found[k]])
        columns = [f"{name}.count", *(f"{name}.{field}.{how}" for field, hows in of.aggregates.items() for how in hows)]
        found = found[rows]
        entities = [self.names[number] for number in found.tolist()]
        return WindowRows(name, since, end, entities, columns, values[rows], first[found], last[found])

    def _aggregates(
        self, of: EventWindow, blocks: list[_Block], span: tuple[int, int], numbers: Ints, counts: Ints
    ) -> Floats:
        """Number of events and aggregates of the entities with these numbers, in order: float64[n, 1 + aggregates]."""
        start = np.concatenate(([0], np.cumsum(counts)))
        first_place = np.full(len(self.names), -1)
        first_place[numbers] = start[:-1]
        parts = [(block, block.of_entities(numbers)) for block in blocks]
        aggregates: dict[tuple[str, str], Floats] = {}
        buffer = np.empty(start[-1])
        for column, (field, coded) in enumerate(self.columns):
            hows = [how for how in of.aggregates.get(field, ()) if (how == DISTINCT) == coded]
            if hows:
                following = first_place.copy()
                for block, part in parts:
                    _group(block.times[part], block.ids[part], block.values[column, part], *span, following, buffer)
                x, begins = sorted_within(buffer, start)
                aggregates |= {(field, how): aggregate(x, begins, how) for how in hows}
        asked = [aggregates[field, how] for field, hows in of.aggregates.items() for how in hows]
        return np.column_stack([counts.astype(np.float64), *asked])

    def forget(self, before: int) -> list[str]:
        """Drop events older than a time; returns the keys of the saved state that are not needed any more."""
        # A batch is a chunk, so there are too many of them to look at each.
        gone = [minute for minute in self._chunks if (minute + 1) * MINUTE <= before]
        old = [block for block in self._blocks if block.newest < before]
        if old:
            self._blocks = [block for block in self._blocks if block.newest >= before] or [_Block(len(self.columns))]
            used = np.zeros(len(self.names), np.bool_)
            for block in self._blocks:
                used[block.ids] = True
            forgotten = np.unique(np.concatenate([block.ids for block in old]))
            for number in forgotten[~used[forgotten]].tolist():
                del self._index[self.names[number]]
                self.names[number] = ""
                self._free.append(number)
        return [key for minute in gone for key in self._chunks.pop(minute)]

    def save(self, writes: dict[str, bytes]) -> None:
        """Save the events that came since the last save."""
        if not self._unsaved:
            return
        entities, *arrays = zip(*self._unsaved, strict=True)
        times, offsets, X = map(np.concatenate, arrays)
        key = self._note_chunk(self._next, times)
        writes[key] = self._pack(list(itertools.chain(*entities)), times, offsets, X)
        self.forget_changes()

    def _note_chunk(self, number: int, times: Ints) -> str:
        """Remember a saved chunk; returns its key."""
        key, self._next = f"{self.prefix}v{number}", number + 1
        self._chunks.setdefault(int(times.max()) // MINUTE, []).append(key)
        return key

    def forget_changes(self) -> None:
        """Drop the record of what is not saved, because it need not be saved."""
        self._unsaved = []

    def restore(self, chunks: dict[int, bytes]) -> None:
        """Read the saved chunks, by number. Of columns that they do not have, all values are missing.

        Raises
        ------
        StateError
            A chunk is damaged, or 0.1.0 saved it for other windows.
        """
        for number, state in sorted(chunks.items()):
            meta, arrays = unpack(state, self.kind, self.version)
            times = arrays["times"]
            self._keep(meta["entities"], times, arrays["offsets"], self._columns_now(meta, arrays["X"]))
            self._note_chunk(number, times)

    def _columns_now(self, meta: dict[str, Any], saved: Floats) -> Floats:
        """The columns of today, from those of a chunk; windows may have come or gone since it was saved."""
        if "columns" not in meta:  # 0.1.0 did not name them
            if saved.shape[1] != len(self.columns):
                raise StateError(
                    "this state of release 0.1.0 was saved with other windows: start with the same section windows as before, and "
                    "change it after the next savepoint"
                )
            return saved
        before = {(field, coded): column for column, (field, coded) in enumerate(meta["columns"])}
        X = np.full((len(saved), len(self.columns)), np.nan)
        for column, name in enumerate(self.columns):
            if name in before:
                X[:, column] = saved[:, before[name]]
        return X

    def canonical(self, since: int) -> bytes:
        """The events from a time on, sorted by entity and offset: equal bytes in whatever order they came."""
        places = [(block, np.flatnonzero(block.times >= since)) for block in self._blocks]
        names = [self.names[k] for block, chosen in places for k in block.ids[chosen].tolist()]
        times = np.concatenate([block.times[chosen] for block, chosen in places])
        offsets = np.concatenate([block.offsets[chosen] for block, chosen in places])
        X = np.concatenate([block.values[:, chosen].T for block, chosen in places])
        order = sorted(range(len(names)), key=lambda k: (names[k], int(offsets[k])))
        return self._pack([names[k] for k in order], times[order], offsets[order], X[order])

    def _pack(self, entities: list[str], times: Ints, offsets: Ints, X: Floats) -> bytes:
        meta = {"entities": entities, "columns": self.columns}
        return pack(self.kind, self.version, meta, {"times": times, "offsets": offsets, "X": X})


def _number(item: Any) -> float:
    value = as_float(item) if isinstance(item, int | float) else math.nan
    return value if math.isfinite(value) else math.nan


def _code(item: Any) -> float:
    return TEXT * (1 + zlib.crc32(item.encode())) if isinstance(item, str) else _number(item)
