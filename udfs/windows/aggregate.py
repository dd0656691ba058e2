"""Events to aggregates: what each entity did in windows of event time.

What comes out depends on which events lie in a window, never on the order in which they came: values are kept until a window ends,
and sorted before they are added up.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.settings.pipeline import EventWindow
from streamgauge.udfs.windows.rows import WindowRows

QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
DISTINCT = "distinct"
TEXT = 2.0**53  # codes of texts lie beyond every whole number that a float64 tells from its neighbours


def _mean(x: Floats, at: Ints, n: Ints) -> Floats:
    mean: Floats = np.add.reduceat(x, at) / n
    return mean


def _deviation(x: Floats, at: Ints, n: Ints) -> Floats:
    away = x - np.repeat(_mean(x, at, n), n)
    squares = np.add.reduceat(away * away, at)
    return np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def _distinct(x: Floats, at: Ints, n: Ints) -> Floats:
    new = np.append(1.0, x[1:] != x[:-1])
    new[at] = 1.0
    number: Floats = np.add.reduceat(new, at)
    return number


# of values sorted within each entity: all of them, where each entity's begin, how many it has
AGGREGATES: dict[str, Callable[[Floats, Ints, Ints], Floats]] = {
    "sum": lambda x, at, n: np.add.reduceat(x, at),
    "mean": _mean,
    "deviation": _deviation,
    "min": lambda x, at, n: x[at],
    "max": lambda x, at, n: x[at + n - 1],
    DISTINCT: _distinct,
}


def quantile(x: Floats, at: Ints, n: Ints, q: float) -> Floats:
    """A quantile of each entity's values, as `numpy.quantile` has it.

    Parameters
    ----------
    x : float64[values]
        Sorted within each entity.
    at, n : int64[entities]
        Where each entity's values begin, and how many there are; at least 1.
    q : float
        0 to 1.
    """
    place = q * (n - 1)
    low = np.floor(place).astype(np.int64)
    a, b = x[at + low], x[at + np.minimum(low + 1, n - 1)]
    part: Floats = a + (b - a) * (place - low)
    return part


def aggregate(entities: Ints, x: Floats, how: str, m: int) -> Floats:
    """One aggregate of each entity's values.

    Parameters
    ----------
    entities : int64[n]
        0 to m - 1.
    x : float64[n]
        NaN is none.
    how : str
        One of `AGGREGATES`, or p with the per cent of a quantile: p95.
    m : int

    Returns
    -------
    float64[m]
        NaN for an entity without a value, and for the deviation of one value.
    """
    told = np.full(m, np.nan)
    there = ~np.isnan(x)
    entities, x = entities[there], x[there]
    if not len(x):
        return told
    order = np.lexsort((x, entities))
    entities, x = entities[order], x[order]
    at = np.flatnonzero(np.concatenate(([True], entities[1:] != entities[:-1])))
    n = np.diff(np.append(at, len(x)))
    match = QUANTILE.fullmatch(how)
    told[entities[at]] = quantile(x, at, n, float(match[1]) / 100) if match else AGGREGATES[how](x, at, n)
    return told


def columns_of(windows: Iterable[EventWindow]) -> list[tuple[str, bool]]:
    """What windows need of an event: fields, each as codes of its values, or as numbers."""
    return sorted({(f, how == DISTINCT) for of in windows for f, hows in of.aggregates.items() for how in hows})


class KeptEvents:
    """What windows need of the events of one log, for as long as a window may need it.

    Parameters
    ----------
    columns : list of (field, bool)
        Fields that are looked at, and whether as codes of their values, texts included, or as numbers.
    prefix : str
        Of the keys of what is saved: ``{prefix}v{number}``, one for each batch.
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
        self._X = np.zeros((1024, len(columns)))
        self._fresh = 0  # how many of the last ones are not saved
        self._next = 1
        self._chunks: list[tuple[int, int]] = []  # number and newest time

    def __len__(self) -> int:
        return self.n

    def read(self, events: Events) -> Floats:
        """The columns of events: float64[n, columns], NaN is none."""
        X = np.full((len(events), len(self.columns)), np.nan)
        for column, (field, coded) in enumerate(self.columns):
            read = _code if coded else _number
            X[:, column] = [read(value.get(field)) for value in events.values]
        return X

    def add(self, entities: list[str], times: Ints, offsets: Ints, X: Floats) -> None:
        """Keep events."""
        end = self.n + len(entities)
        if end > len(self._ids):
            for name in ("_ids", "_times", "_offsets", "_X"):
                old = getattr(self, name)
                new = np.zeros((max(end, 2 * len(old)), *old.shape[1:]), old.dtype)
                new[: self.n] = old[: self.n]
                setattr(self, name, new)
        part = slice(self.n, end)
        for name in entities:
            if name not in self._index:
                self._index[name] = len(self.names)
                self.names.append(name)
        self._ids[part] = [self._index[name] for name in entities]
        self._times[part], self._offsets[part], self._X[part] = times, offsets, X
        self.n = end
        self._fresh += len(entities)

    def times(self, start: int, end: int) -> Ints:
        """Times, one each, of events from `start` to before `end`."""
        times = self._times[: self.n]
        distinct: Ints = np.unique(times[(times >= start) & (times < end)])
        return distinct

    def window(self, name: str, of: EventWindow, end: int, entities: list[str] | None = None) -> WindowRows:
        """Aggregates of the events from `end - size` to before `end`, an entity a row, by name.

        Parameters
        ----------
        name : str
        of : EventWindow
        end : int
            Milliseconds.
        entities : list of str, optional
            These alone.
        """
        times = self._times[: self.n]
        places = np.flatnonzero((times >= end - of.size) & (times < end))
        if entities is not None:
            places = places[np.isin(self._ids[places], [self._index.get(name, -1) for name in entities])]
        ids, each = np.unique(self._ids[places], return_inverse=True)
        by_name = sorted(range(len(ids)), key=lambda k: self.names[ids[k]])
        rank = np.empty(len(ids), np.int64)
        rank[by_name] = np.arange(len(ids))
        rows, m, X, offsets = rank[each], len(ids), self._X[places], self._offsets[places]
        first, last = np.full(m, np.iinfo(np.int64).max), np.full(m, -1)
        np.minimum.at(first, rows, offsets)
        np.maximum.at(last, rows, offsets)
        told = {f"{name}.count": np.bincount(rows, minlength=m).astype(np.float64)}
        for field, kinds in of.aggregates.items():
            for how in kinds:
                column = self.columns.index((field, how == DISTINCT))
                told[f"{name}.{field}.{how}"] = aggregate(rows, X[:, column], how, m)
        return WindowRows(
            name, end - of.size, end, [self.names[ids[k]] for k in by_name], list(told),
            np.column_stack(list(told.values())), first, last,
        )  # fmt: skip

    def forget(self, before: int) -> list[str]:
        """Drop events that are older; returns keys of the saved state that are needed no more."""
        gone = [number for number, newest in self._chunks if newest < before]
        self._chunks = [chunk for chunk in self._chunks if chunk[1] >= before]
        alive = self._times[: self.n] >= before
        alive[self.n - self._fresh :] = True  # not saved yet
        left = int(alive.sum())
        if 2 * left <= self.n:  # at half, so that moving them costs each event once
            ids, self._ids[:left] = np.unique(self._ids[: self.n][alive], return_inverse=True)
            self.names = [self.names[k] for k in ids.tolist()]
            self._index = {name: k for k, name in enumerate(self.names)}
            for array in (self._times, self._offsets, self._X):
                array[:left] = array[: self.n][alive]
            self.n = left
        return [f"{self.prefix}v{number}" for number in gone]

    def save(self, writes: dict[str, bytes]) -> None:
        """Write what came since the last time."""
        if not self._fresh:
            return
        part = slice(self.n - self._fresh, self.n)
        writes[f"{self.prefix}v{self._next}"] = self._pack(np.arange(part.start, part.stop))
        self._chunks.append((self._next, int(self._times[part].max())))
        self._next += 1
        self._fresh = 0

    def restore(self, chunks: dict[int, bytes]) -> None:
        """Become what was saved, given by number."""
        for number, state in sorted(chunks.items()):
            meta, arrays = unpack(state, self.kind, self.version)
            self.add(meta["entities"], arrays["times"], arrays["offsets"], arrays["X"])
            self._chunks.append((number, int(arrays["times"].max())))
            self._next = number + 1
        self._fresh = 0

    def canonical(self, since: int) -> bytes:
        """The events not older than a time, in one order however they came."""
        places = np.flatnonzero(self._times[: self.n] >= since)
        names = [self.names[k] for k in self._ids[places].tolist()]
        order = sorted(range(len(places)), key=lambda k: (names[k], int(self._offsets[places[k]])))
        return self._pack(places[order])

    def _pack(self, places: Ints) -> bytes:
        arrays: dict[str, npt.NDArray[Any]] = {
            "times": self._times[places], "offsets": self._offsets[places], "X": self._X[places],
        }  # fmt: skip
        return pack(self.kind, self.version, {"entities": [self.names[k] for k in self._ids[places].tolist()]}, arrays)


def _number(item: Any) -> float:
    return float(item) if isinstance(item, int | float) and math.isfinite(item) else math.nan


def _code(item: Any) -> float:
    return TEXT * (1 + zlib.crc32(item.encode())) if isinstance(item, str) else _number(item)
