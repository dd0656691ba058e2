"""Events to aggregates: sums, counts and other figures of each entity in windows of event time.

The results depend on the events in a window, but not on the order in which they came. For this, values are kept until a window
ends, and sorted before they are added up.
"""

from __future__ import annotations

import itertools
import math
import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.errors import StateError
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


def _mean(x: Floats, at: Ints, n: Ints) -> Floats:
    mean: Floats = np.add.reduceat(x, at) / n
    return mean


def _deviation(x: Floats, at: Ints, n: Ints) -> Floats:
    difference = x - np.repeat(_mean(x, at, n), n)
    squares = np.add.reduceat(difference * difference, at)
    return np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def _distinct(x: Floats, at: Ints, n: Ints) -> Floats:
    is_new = np.append(1.0, x[1:] != x[:-1])
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


@njit(cache=True)
def _counts(ids, places, m):  # type: ignore[no-untyped-def]
    """How many of the events at some places each entity has: int64[m]."""
    counts = np.zeros(m, np.int64)
    for place in places:
        counts[ids[place]] += 1
    return counts


@njit(cache=True)
def _grouped(ids, places, following):  # type: ignore[no-untyped-def]
    """The places of events, grouped by entity; `following` has the position of the first event of each entity, and is changed."""
    grouped = np.empty(len(places), np.int64)
    for place in places:
        grouped[following[ids[place]]] = place
        following[ids[place]] += 1
    return grouped


def columns_of(windows: Iterable[EventWindow]) -> list[tuple[str, bool]]:
    """Fields of an event that windows need; True if values are read as codes (texts too), False if they are read as numbers."""
    return sorted({(f, how == DISTINCT) for of in windows for f, hows in of.aggregates.items() for how in hows})


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
        Entities, by number.
    n : int
        Number of events kept.
    """

    kind = "window events"
    version = 1

    def __init__(self, columns: list[tuple[str, bool]], prefix: str) -> None:
        self.columns, self.prefix = columns, prefix
        self.names: list[str] = []
        self._index: dict[str, int] = {}
        self.n = 0
        self._ids = np.zeros(1024, np.int64)
        self._times = np.zeros(1024, np.int64)
        self._offsets = np.zeros(1024, np.int64)
        self._X = np.zeros((len(columns), 1024))  # a column is one piece of memory, because it is read alone
        self._unsaved = 0  # number of the last events that are not saved yet
        self._next = 1
        self._chunks: list[tuple[int, int]] = []  # number and newest time of each

    def __len__(self) -> int:
        return self.n

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
        end = self.n + len(entities)
        if end > len(self._ids):
            for name in ("_ids", "_times", "_offsets", "_X"):
                old = getattr(self, name)
                new = np.zeros((*old.shape[:-1], max(end, 2 * old.shape[-1])), old.dtype)
                new[..., : self.n] = old[..., : self.n]
                setattr(self, name, new)
        part = slice(self.n, end)
        for name in entities:
            if name not in self._index:
                self._index[name] = len(self.names)
                self.names.append(name)
        self._ids[part] = [self._index[name] for name in entities]
        self._times[part], self._offsets[part], self._X[:, part] = times, offsets, X.T
        self.n = end
        self._unsaved += len(entities)

    def slices(self, start: int, end: int, every: int) -> Ints:
        """Which slices of `every` milliseconds have events from `start` to before `end`: the begin of each, in order."""
        times = self._times[: self.n]
        numbers = times[(times >= start) & (times < end)] // every
        # There are few changes, because most events come in the order of their times.
        changes = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
        begins: Ints = np.unique(numbers[changes]) * every
        return begins

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
        times = self._times[: self.n]
        places = np.flatnonzero((times >= end - of.size) & (times < end))
        if entities is not None:
            chosen = np.zeros(len(self.names), np.bool_)
            chosen[[self._index[name] for name in entities if name in self._index]] = True
            places = places[chosen[self._ids[places]]]
        counts = _counts(self._ids, places, len(self.names))
        by_name = sorted(np.flatnonzero(counts).tolist(), key=self.names.__getitem__)
        start = np.concatenate(([0], np.cumsum(counts[by_name])))
        following = np.zeros(len(self.names), np.int64)
        following[by_name] = start[:-1]
        places = _grouped(self._ids, places, following)
        aggregates = {f"{name}.count": np.diff(start).astype(np.float64)}
        for column, (field, coded) in enumerate(self.columns):
            hows = [how for how in of.aggregates.get(field, ()) if (how == DISTINCT) == coded]
            x, begins = sorted_within(self._X[column][places], start) if hows else (np.empty(0), start)
            aggregates |= {f"{name}.{field}.{how}": aggregate(x, begins, how) for how in hows}
        names = [f"{name}.count", *(f"{name}.{field}.{how}" for field, hows in of.aggregates.items() for how in hows)]
        # Events are kept in the order of their offsets, and grouping does not change it.
        first, last = self._offsets[places[start[:-1]]], self._offsets[places[start[1:] - 1]]
        values = np.column_stack([aggregates[one] for one in names])
        return WindowRows(name, end - of.size, end, [self.names[k] for k in by_name], names, values, first, last)

    def forget(self, before: int) -> list[str]:
        """Drop the events older than a time; returns the keys of the saved state that are not needed any more."""
        gone = [number for number, newest in self._chunks if newest < before]
        self._chunks = [chunk for chunk in self._chunks if chunk[1] >= before]
        kept = self._times[: self.n] >= before
        kept[self.n - self._unsaved :] = True
        left = int(kept.sum())
        if 2 * left <= self.n:  # only when half of them are dropped, because each time moves all the others
            ids = self._ids[: self.n][kept]
            used = np.bincount(ids, minlength=len(self.names)) > 0
            self._ids[:left] = (np.cumsum(used) - 1)[ids]
            self.names = [self.names[k] for k in np.flatnonzero(used).tolist()]
            self._index = {name: k for k, name in enumerate(self.names)}
            for array in (self._times, self._offsets, self._X):
                array[..., :left] = array[..., : self.n][..., kept]
            self.n = left
        return [f"{self.prefix}v{number}" for number in gone]

    def save(self, writes: dict[str, bytes]) -> None:
        """Save the events that came since the last save."""
        if not self._unsaved:
            return
        part = slice(self.n - self._unsaved, self.n)
        writes[f"{self.prefix}v{self._next}"] = self._pack(np.arange(part.start, part.stop))
        self._chunks.append((self._next, int(self._times[part].max())))
        self._next += 1
        self._unsaved = 0

    def restore(self, chunks: dict[int, bytes]) -> None:
        """Read the saved chunks, by number. Of columns that they do not have, all values are missing.

        Raises
        ------
        StateError
            A chunk is damaged, or 0.1.0 saved it for other windows.
        """
        for number, state in sorted(chunks.items()):
            meta, arrays = unpack(state, self.kind, self.version)
            self.add(meta["entities"], arrays["times"], arrays["offsets"], self._columns_now(meta, arrays["X"]))
            self._chunks.append((number, int(arrays["times"].max())))
            self._next = number + 1
        self._unsaved = 0

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
        places = np.flatnonzero(self._times[: self.n] >= since)
        names = [self.names[k] for k in self._ids[places].tolist()]
        order = sorted(range(len(places)), key=lambda k: (names[k], int(self._offsets[places[k]])))
        return self._pack(places[order])

    def _pack(self, places: Ints) -> bytes:
        arrays: dict[str, npt.NDArray[Any]] = {
            "times": self._times[places],
            "offsets": self._offsets[places],
            "X": np.ascontiguousarray(self._X[:, places].T),
        }
        meta = {"entities": [self.names[k] for k in self._ids[places].tolist()], "columns": self.columns}
        return pack(self.kind, self.version, meta, arrays)


def _number(item: Any) -> float:
    value = as_float(item) if isinstance(item, int | float) else math.nan
    return value if math.isfinite(value) else math.nan


def _code(item: Any) -> float:
    return TEXT * (1 + zlib.crc32(item.encode())) if isinstance(item, str) else _number(item)
