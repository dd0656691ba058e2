"""Lines of JSONL files: each is a record of a topic, and is read as the job reads it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from streamgauge.jobs.files import not_read
from streamgauge.jobs.files.not_read import NotRead, What
from streamgauge.jobs.files.sources import blocks
from streamgauge.jobs.files.times import milliseconds
from streamgauge.models.contract import Flags, Ints
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import DeadLetter, Events, RawBatch
from streamgauge.udfs.events.time import as_epoch
from streamgauge.udfs.settings.event import EventSettings

NO_TIME = 1 << 50  # stands for Kafka's timestamp, which a file does not hold; it is later than any time of an event
ANY_TIME = 1 << 62  # milliseconds
BOM = b"\xef\xbb\xbf"
# The values of an object as they are written. A number that is written back unchanged is never altered.
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Changes:
    """What is changed in a record before the job reads it.

    Attributes
    ----------
    names : dict of str to str
        New names of fields, by the old ones.
    dropped : tuple of str
        Fields that are taken out. Those in nested objects are written with dots.
    label : str, optional
        A field that is taken out, and kept as the label.
    time : str, optional
        The field with the time, by its new name, if `form` says how it is written.
    form : str, optional
        As in ``strptime``.
    """

    names: dict[str, str]
    dropped: tuple[str, ...] = ()
    label: str | None = None
    time: str | None = None
    form: str | None = None

    def __bool__(self) -> bool:
        return bool(self.names or self.dropped or self.label or self.form)

    def made(self, line: bytes) -> tuple[bytes, Any]:
        """The changed record and its label. What is no object is not changed."""
        try:
            fields = _object(line)
        except (ValueError, RecursionError):
            return line, None
        label = None if self.label is None else taken(fields, self.label)
        for name in self.dropped:
            taken(fields, name)
        moved = {new: taken(fields, old) for old, new in self.names.items()}
        for name in moved:  # a field that had this name before is another one
            taken(fields, name)
        fields |= {name: value for name, value in moved.items() if value is not None}
        if self.form is not None and self.time in fields:
            text = decoded(fields[self.time])
            times, read = milliseconds(pa.array([str(text)]), form=self.form)
            if read[0]:
                fields[self.time] = msgspec.Raw(_encode(as_epoch(int(times[0]))))
        return _encode(fields), None if label is None else decoded(label)


def names_of(value: bytes | msgspec.Raw, before: str = "") -> Iterator[str]:
    """The fields of an object, those in objects within it with dots; nothing for what is no object."""
    try:
        fields = _object(value)
    except (ValueError, RecursionError):
        return
    for name, inner in fields.items():
        yield before + name
        yield from names_of(inner, f"{before}{name}.")


def taken(fields: dict[str, msgspec.Raw], name: str) -> msgspec.Raw | None:
    """Take a value out of an object, or out of an object within it if the name has dots; None if there is none."""
    if name in fields:
        return fields.pop(name)
    outer, _, rest = name.partition(".")
    if not rest or outer not in fields:
        return None
    try:
        inner = _object(fields[outer])
    except (ValueError, RecursionError):
        return None
    value = taken(inner, rest)
    if value is not None:
        fields[outer] = msgspec.Raw(_encode(inner))
    return value


def decoded(value: msgspec.Raw) -> Any:
    """A value; one that cannot be read, such as 1e400, as it is written."""
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return bytes(value).decode(errors="replace")


class Lines(NamedTuple):
    """Some lines of a file.

    Attributes
    ----------
    payloads : list of bytes
        The records.
    entities : list of str
        Empty for a record that is no event.
    times : int64[n] or None
        None if no event of the file has a time.
    labels : list or None
        As they are written; None where a record has none.
    numbers : int64[n]
        Numbers of the records in the file, from 0.
    """

    payloads: list[bytes]
    entities: list[str]
    times: Ints | None
    labels: list[Any] | None
    numbers: Ints


class JsonlFile:
    """A JSONL file.

    Parameters
    ----------
    path : Path
    event : EventSettings
        How the job reads a record.
    changes : Changes
    """

    def __init__(self, path: Path, event: EventSettings, changes: Changes) -> None:
        self.path, self.changes = path, changes
        self.event = any_time(event)
        self.reader = Reader(self.event)

    def names(self, chunk: int) -> list[str]:
        """The fields of the first lines."""
        first = next(self._chunks(chunk), [])
        return list(dict.fromkeys(name for _, line in first for name in names_of(line)))

    def rows(self, chunk: int, report: NotRead) -> Iterator[Lines]:
        """All lines, a chunk at a time. A line that cannot be read is given, too, because it becomes a dead letter.

        An event without a time is left out if others have one.
        """
        timed = self._has_times(chunk)
        first = 0
        latest: int | None = None
        for numbered in self._chunks(chunk):
            made = [self.changes.made(line) if self.changes else (line, None) for _, line in numbered]
            payloads = [payload for payload, _ in made]
            events, dead = self._read(payloads)
            places = [place for place, _ in numbered]
            for letter in dead:
                report.add(What(self.path.name, "", letter.reason), [places[letter.row]], 1, letter.message)
            entities = [""] * len(payloads)
            for row, entity in zip(reversed(events.rows.tolist()), reversed(events.entities), strict=True):
                entities[row] = entity
            times = None
            keep = np.ones(len(payloads), np.bool_)
            if timed:
                keep[events.rows[events.times == NO_TIME]] = False
                times = _filled(len(payloads), events, latest)
                latest = int(times[-1])
                if not keep.all():
                    without = [places[row] for row in np.flatnonzero(~keep).tolist()]
                    report.add(What(self.path.name, self.event.time or "", not_read.NO_TIME), without, len(without))
            labels = None if self.changes.label is None else [label for _, label in made]
            numbers = np.arange(first, first + len(payloads))
            first += len(payloads)
            yield _kept(Lines(payloads, entities, times, labels, numbers), keep)

    def _has_times(self, chunk: int) -> bool:
        """Whether an event of the file has a time."""
        for numbered in self._chunks(chunk):
            events, _ = self._read([self.changes.made(line)[0] if self.changes else line for _, line in numbered])
            if (events.times != NO_TIME).any():
                return True
        return False

    def _read(self, payloads: list[bytes]) -> tuple[Events, list[DeadLetter]]:
        return self.reader.read(raw_batch(payloads))

    def _chunks(self, chunk: int) -> Iterator[list[tuple[int, bytes]]]:
        """Lines that are not empty, with their numbers in the file."""
        numbered = ((number, line) for number, line in enumerate(lines(self.path), 1) if line.strip())
        while part := list(itertools.islice(numbered, chunk)):
            yield part


def any_time(event: EventSettings) -> EventSettings:
    """The settings, without a limit for how far an event's time may be from Kafka's timestamp, which a file does not hold."""
    return event.model_copy(update={"max_past": ANY_TIME, "max_future": ANY_TIME})


def raw_batch(payloads: list[bytes], times: Ints | None = None) -> RawBatch:
    """Records as they would come from one partition."""
    n = len(payloads)
    stamps = np.full(n, NO_TIME) if times is None else times
    return RawBatch(payloads, np.zeros(n, np.int64), np.arange(n), stamps)


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without their ends.

    Raises
    ------
    InputError
        The file cannot be unpacked.
    """
    rest, start = b"", True
    try:
        for block in blocks(path):
            whole = rest + block
            if start:
                whole, start = whole.removeprefix(BOM), False
            *complete, rest = whole.split(b"\n")
            yield from (line.removesuffix(b"\r") for line in complete)
    except (OSError, EOFError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    yield rest.removesuffix(b"\r")


def _filled(n: int, events: Events, before: int | None) -> Ints:
    """The time of each record; one that is no event has the time of a neighbour, because only its place is told."""
    times, known = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    timed = events.times != NO_TIME
    known[events.rows[timed]] = True
    times[events.rows[timed]] = events.times[timed]
    at = np.maximum.accumulate(np.where(known, np.arange(n), -1))
    return np.where(at >= 0, times[at], times[known.argmax()] if before is None else before)


def _kept(part: Lines, keep: Flags) -> Lines:
    """The rows to keep."""
    if keep.all():
        return part

    def of(values: Iterable[Any]) -> list[Any]:
        return list(itertools.compress(values, keep))

    times = None if part.times is None else part.times[keep]
    labels = None if part.labels is None else of(part.labels)
    return Lines(of(part.payloads), of(part.entities), times, labels, part.numbers[keep])
