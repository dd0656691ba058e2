"""Records to events. This is the only place where the entity, the time and the fields of an event are found."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeGuard, get_args

import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.udfs.events.encodings import hint, plain
from streamgauge.udfs.events.entity import EntityReader, named, shown
from streamgauge.udfs.events.field_types import Texts
from streamgauge.udfs.events.formats.record import Unwrapping
from streamgauge.udfs.events.formats.unwrap import events_of, may_be_wrapped, recognise
from streamgauge.udfs.events.numbers import declared_number, is_number
from streamgauge.udfs.events.payload import Names, flatten, from_json, nested, whole_batch
from streamgauge.udfs.events.records import WHOLE, DeadLetter, Events, RawBatch, Remark, UnreadableError
from streamgauge.udfs.events.registry.decoder import RegistryDecoder
from streamgauge.udfs.events.time import TimeReader
from streamgauge.udfs.settings.event import EventSettings, FieldSettings, WithRegistry

NAMES_IN_SCHEMA = (
    100_000  # characters, by which the names of fields may be longer than a record that does not hold them
)


@dataclass(slots=True)
class Found:
    """What the records of a batch hold, and what cannot be read.

    Attributes
    ----------
    rows, places : list of int
        Of each event, as in `Events`.
    values : list of dict
        Flat fields of each event.
    dead : list of DeadLetter
    skipped : int
        Records that hold no event.
    formats : dict of str to int
        By format that was recognised: position of its first event.
    """

    rows: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    skipped: int = 0
    formats: dict[str, int] = field(default_factory=dict)


class Reader:
    """Reads records as events. It keeps nothing but schemas: the same record always gives the same events.

    One thread may use it.

    Parameters
    ----------
    settings : EventSettings
    """

    def __init__(self, settings: EventSettings) -> None:
        self._settings = settings
        self._entities, self._times = EntityReader(settings), TimeReader(settings)
        self._decoder: RegistryDecoder | None = None
        wrapper = settings.format
        if wrapper in get_args(WithRegistry):
            self._decoder = RegistryDecoder(wrapper, settings.registry)  # type: ignore[arg-type]  # one of these formats
            wrapper = "auto"
        self._how = Unwrapping(wrapper, settings.time, settings.deletes)
        self._texts = Texts(settings)

    def __deepcopy__(self, memo: dict[int, Any]) -> Reader:
        return self  # it keeps nothing that a reading changes

    def read(self, raw: RawBatch) -> tuple[Events, list[DeadLetter]]:
        """Read the events of a batch.

        Parameters
        ----------
        raw : RawBatch

        Returns
        -------
        events : Events
            The events that can be read, in the order of their records.
        dead : list of DeadLetter
            The records and events that cannot be read. Reasons: empty, too_large, bad_compression, not_json, not_finite, too_deep,
            not_object, wrong_format, bad_value, no_row, name_taken, unknown_schema, bad_avro, bad_protobuf, wrong_type, no_entity,
            no_time, bad_time, time_out_of_range.

        Raises
        ------
        RegistryError
            The schema registry is away.
        """
        found = self.find(raw)
        values = found.values
        for old_name, name in self._settings.rename.items():
            for value in values:
                if old_name in value and name not in value:
                    value[name] = value.pop(old_name)
        if self._settings.metric is not None and self._settings.value is not None:
            _name_measurements(values, self._settings.metric, self._settings.value)
        rows: Ints = np.asarray(found.rows, np.int64)
        keys = None if raw.keys is None else [raw.keys[row] for row in found.rows]
        entities, bad = self._entities.read(values, keys)
        times, untimed = self._times.read(values, raw.stamps[rows], bad)
        if self._settings.fields:
            self._read_declared(values, bad)
        places: Ints = np.asarray(found.places, np.int64)
        for i in sorted(bad):
            place = found.places[i]
            event = None if place == WHOLE else values[i]
            found.dead.append(DeadLetter(found.rows[i], *bad[i], place, event))
        found.dead.sort(key=attrgetter("row", "place"))
        events = Events(rows, values, entities, times, places).drop(set(bad))
        events.skipped = found.skipped
        for name, i in found.formats.items():
            text = f"records of the format {name} are read as their events (event.format: {name} reads only these)"
            events.remarks.append(Remark("format", name, text, int(times[i])))
        if untimed is not None:
            text = (
                f"the field {self._settings.time!r} (event.time) is missing: Kafka's timestamp is the time of the event"
            )
            found_fields = f"; it has {named(values[untimed])}"
            events.remarks.append(Remark("untimed", str(self._settings.time), text + found_fields, int(times[untimed])))
        return events, found.dead

    # ---- records to fields --------------------------------------------------------------------------------------------

    def find(self, raw: RawBatch) -> Found:
        """Read the fields of the events of a batch, without regard to entity, time and declared types.

        Raises
        ------
        RegistryError
            The schema registry is away.
        """
        found = Found()
        if self._decoder is not None:
            self._add_encoded(raw, self._decoder, found)
            return found
        values = whole_batch(raw.payloads, self._settings.max_bytes)
        if values is not None:
            self._add_all(list(range(len(raw))), values, raw, found)
            return found
        for row, payload in enumerate(raw.payloads):
            self._add_payload(row, payload, found)
        return found

    def _add_encoded(self, raw: RawBatch, decoder: RegistryDecoder, found: Found) -> None:
        """Add the events of records that are written with a schema."""
        usable = [(row, payload) for row, payload in enumerate(raw.payloads) if self._is_usable(payload, row, found)]
        rows, values = [], []
        documents = decoder.documents([payload for _, payload in usable])
        for (row, _), document in zip(usable, documents, strict=True):
            if isinstance(document, UnreadableError):
                found.dead.append(DeadLetter(row, document.reason, document.message))
            else:
                rows.append(row)
                values.append(document)
        self._add_all(rows, values, raw, found)

    def _add_all(self, rows: list[int], values: list[Any], raw: RawBatch, found: Found) -> None:
        """Add the events of the documents in some rows: all at once if each is one plain event, which is fast; else one by one."""
        flat = self._all_flat(rows, values, raw)
        if flat is None:
            for row, value in zip(rows, values, strict=True):
                self._add(row, value, self._size(row, raw), found)
        else:
            found.rows += rows
            found.places += [WHOLE] * len(rows)
            found.values += flat

    def _size(self, row: int, raw: RawBatch) -> int:
        """Bytes for which a record's names of fields may be long. With a schema, the names are not in the record."""
        return len(raw.payloads[row] or b"") + (NAMES_IN_SCHEMA if self._decoder is not None else 0)

    def _all_flat(self, rows: list[int], values: list[Any], raw: RawBatch) -> list[dict[str, Any]] | None:
        """The fields of documents that are all plain events; None if one must be read by itself."""
        if set(map(type, values)) != {dict}:
            return None
        form = self._how.format
        if form not in ("auto", "json"):
            return None
        if form == "auto" and may_be_wrapped(set().union(*values)) and any(map(recognise, values)):
            return None
        if not nested(values):
            return values
        try:
            return [flatten(value, Names(self._size(row, raw))) for row, value in zip(rows, values, strict=True)]
        except UnreadableError:
            return None

    def _is_usable(self, payload: bytes | None, row: int, found: Found) -> TypeGuard[bytes]:
        """Whether a record has a value of an allowed size. If not, it is skipped or a dead letter."""
        settings = self._settings
        if payload is None and settings.deletes == "skip":
            found.skipped += 1
        elif not payload:
            found.dead.append(DeadLetter(row, "empty", "the record has no value"))
        elif len(payload) > settings.max_bytes:
            message = f"{len(payload)} bytes, at most {settings.max_bytes} are allowed (event.max_bytes)"
            found.dead.append(DeadLetter(row, "too_large", message))
        else:
            return True
        return False

    def _add_payload(self, row: int, payload: bytes | None, found: Found) -> None:
        """Add the events of one record of JSON."""
        if not self._is_usable(payload, row, found):
            return
        try:
            text = plain(payload, self._settings.max_bytes)
            document = from_json(text)
        except UnreadableError as error:
            what = hint(payload) if error.reason == "not_json" else ""
            found.dead.append(DeadLetter(row, error.reason, f"{error.message}; {what}" if what else error.message))
            return
        self._add(row, document, len(text), found)

    def _add(self, row: int, document: Any, size: int, found: Found) -> None:
        """Add the events of the JSON document of a record."""
        names = Names(size)
        try:
            if not isinstance(document, dict | list):
                raise UnreadableError("not_object", f"an event is a JSON object, this is {shown(document)}")
            events, format_ = self._unwrapped(document, size)
            flat = [flatten(event, names) for event in events]
        except UnreadableError as error:
            found.dead.append(DeadLetter(row, error.reason, error.message))
            return
        if not flat:
            found.skipped += 1
            return
        if format_ is not None:
            found.formats.setdefault(format_, len(found.rows))
        found.rows += [row] * len(flat)
        found.places += [WHOLE] if len(flat) == 1 else range(len(flat))
        found.values += flat

    def _unwrapped(self, document: dict[str, Any] | list[Any], size: int) -> tuple[list[dict[str, Any]], str | None]:
        """The events of a document, and its format; None for plain events."""
        how = self._how
        format_ = recognise(document) if how.format == "auto" else None if how.format == "json" else how.format
        if format_ is None and isinstance(document, dict):
            return [document], None
        return events_of(document, how, size), format_

    # ---- declared fields ----------------------------------------------------------------------------------------------

    def _read_declared(self, values: list[dict[str, Any]], bad: dict[int, tuple[str, str]]) -> None:
        """Read declared fields as their type; an event in which one has another type is added to `bad`."""
        for name, declared in self._settings.fields.items():
            for i, value in enumerate(values):
                item = value.get(name)
                if item is None:
                    continue
                if isinstance(item, str) and self._texts.is_missing(item):
                    value[name] = None
                    continue
                if declared.type == "text":
                    if not isinstance(item, str):
                        bad.setdefault(i, ("wrong_type", f"{name!r} is declared as text, this is {shown(item)}"))
                    continue
                number = declared_number(item, declared) if isinstance(item, str) else item if is_number(item) else None
                if number is None:
                    bad.setdefault(i, ("wrong_type", _unread_number(name, item, declared)))
                else:
                    value[name] = None if declared.missing and number in declared.missing else number


def _unread_number(name: str, item: Any, declared: FieldSettings) -> str:
    how = f"decimal sign {declared.decimal!r}"
    how += f", thousands {declared.thousands!r}" if declared.thousands else ""
    how += f", unit {declared.unit!r}" if declared.unit else ""
    return (
        f"{name!r} is declared as number with {how}, this is {shown(item)}: "
        f"see decimal, thousands and unit of event.fields, or add the text to event.missing"
    )


def _name_measurements(values: list[dict[str, Any]], metric: str, measured: str) -> None:
    """Turn the two fields of a measurement, its name and its value, into one field of that name."""
    for value in values:
        name = value.get(metric)
        if isinstance(name, str) and name and measured in value and name not in value:
            value[name] = value.pop(measured)
            del value[metric]
