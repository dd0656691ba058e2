"""Reads records that were written with a schema registry: byte 0, the id of the schema in four bytes, then the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry.avro import MAGIC, AvroReader, file_documents
from streamgauge.udfs.events.registry.client import Registry
from streamgauge.udfs.events.registry.protobuf import ProtobufReader
from streamgauge.udfs.settings.registry import RegistrySettings

Format = Literal["avro", "protobuf", "json_schema"]
HEADER = 5  # bytes before the data: 0, and the id
KINDS: dict[str, str] = {"avro": "AVRO", "protobuf": "PROTOBUF", "json_schema": "JSON"}
FORMATS = {kind: name for name, kind in KINDS.items()}
MOST_MESSAGE = 200
_json = msgspec.json.Decoder()


class _Reader(Protocol):
    def document(self, payload: bytes, start: int) -> Any: ...

    def documents(self, payloads: Sequence[bytes], start: int) -> list[Any]: ...


class RegistryDecoder:
    """Reads records of one format. One thread may use it.

    Parameters
    ----------
    format : {"avro", "protobuf", "json_schema"}
        As in the setting event.format.
    settings : RegistrySettings, optional
        Without them there is no registry: only JSON with a header and Avro files can be read.
    """

    def __init__(self, format: Format, settings: RegistrySettings | None = None) -> None:
        self._format = format
        self._registry = None if settings is None else Registry(settings)
        only = None if settings is None else settings.schema_id
        self._only = None if only is None else only.to_bytes(4, "big")
        self._start = HEADER if only is None else 0
        self._readers: dict[bytes, _Reader | UnreadableError] = {}

    def document(self, payload: bytes) -> Any:
        """Read one record.

        Parameters
        ----------
        payload : bytes

        Returns
        -------
        object
            What JSON would give: mostly a dict; a list of all events for an Avro file. Times are epoch milliseconds, dates ISO
            text, bytes base64 text; numbers that are not finite are None.

        Raises
        ------
        UnreadableError
            Reasons: wrong_format, unknown_schema, bad_avro, bad_protobuf, not_json, too_deep.
        RegistryError
            The registry is away, so no record can be read.
        """
        schema = self._schema_of(payload)
        if schema is not None:
            return self._reader(schema).document(payload, self._start)
        if self._format == "avro" and payload.startswith(MAGIC):
            return file_documents(payload)
        if self._format == "json_schema" and _has_header(payload):
            return _from_json(payload[HEADER:])
        raise _without_header(payload)

    def documents(self, payloads: Sequence[bytes]) -> list[Any]:
        """Read many records; in the place of one that cannot be read is its UnreadableError.

        Raises
        ------
        RegistryError
            The registry is away, so no record can be read.
        """
        if self._format == "json_schema":
            return [self._tried(payload) for payload in payloads]
        heads = {payload[:HEADER] for payload in payloads}
        if len(heads) == 1:
            return self._of_schema(self._schema_of(heads.pop()), payloads)
        found: list[Any] = [None] * len(payloads)
        by_schema: dict[bytes | None, list[int]] = {}
        for place, payload in enumerate(payloads):
            by_schema.setdefault(self._schema_of(payload), []).append(place)
        for schema, places in by_schema.items():
            documents = self._of_schema(schema, [payloads[place] for place in places])
            for place, document in zip(places, documents, strict=True):
                found[place] = document
        return found

    def _schema_of(self, payload: bytes) -> bytes | None:
        """Id of the schema that a record is read with; None if it has no header, or is read without a schema."""
        if self._format == "json_schema" or (self._format == "avro" and payload.startswith(MAGIC)):
            return None
        return self._only or (payload[1:HEADER] if _has_header(payload) else None)

    def _of_schema(self, schema: bytes | None, payloads: Sequence[bytes]) -> list[Any]:
        """Read records that have the same schema, or none."""
        if schema is None:
            return [self._tried(payload) for payload in payloads]
        try:
            return self._reader(schema).documents(payloads, self._start)
        except UnreadableError as error:
            return [error] * len(payloads)

    def _tried(self, payload: bytes) -> Any:
        try:
            return self.document(payload)
        except UnreadableError as error:
            return error

    def _reader(self, schema: bytes) -> _Reader:
        """The reader for the id of a schema. Schemas that cannot be used are remembered, too, unlike unknown ones."""
        reader = self._readers.get(schema)
        if reader is None:
            try:
                reader = self._new_reader(int.from_bytes(schema, "big"))
            except UnreadableError as error:
                if error.reason == "unknown_schema":
                    raise
                reader = error
            self._readers[schema] = reader
        if isinstance(reader, UnreadableError):
            raise UnreadableError(reader.reason, reader.message)
        return reader

    def _new_reader(self, number: int) -> _Reader:
        name = f"schema {number}"
        if self._registry is None:
            raise UnreadableError(
                "wrong_format", f"the record needs {name} of a registry: set event.registry with its url"
            )
        schema = self._registry.schema(number)
        if schema.kind != KINDS[self._format]:
            other = FORMATS.get(schema.kind)
            remedy = f": set event.format: {other}" if other else ""
            raise UnreadableError("wrong_format", f"{name} is {schema.kind}, not {KINDS[self._format]}{remedy}")
        if self._format == "avro":
            return AvroReader(name, schema.text, schema.references)
        return ProtobufReader(name, schema.text, schema.references, indexed=self._start > 0)


def _has_header(payload: bytes) -> bool:
    return len(payload) >= HEADER and payload[0] == 0


def _without_header(payload: bytes) -> UnreadableError:
    if payload.lstrip()[:1] in (b"{", b"["):
        remedy = "it looks like JSON: set event.format: json"
    elif payload[:4] == MAGIC:
        remedy = "it is an Avro file: set event.format: avro"
    elif payload[:1] == b"\x01" and len(payload) > 16:
        remedy = "it may begin with byte 1 and a schema's GUID, which is not read: let its producer write ids"
    else:
        remedy = "if all are of one schema, set event.registry.schema_id"
    message = f"the record has no header of a schema registry (byte 0 and the id of a schema in 4 bytes); {remedy}"
    return UnreadableError("wrong_format", message)


def _from_json(data: bytes) -> Any:
    try:
        return _json.decode(data)
    except RecursionError as error:
        raise UnreadableError("too_deep", "its JSON is nested too deep") from error
    except ValueError as error:  # msgspec's errors, and bytes that are no UTF-8
        raise UnreadableError("not_json", str(error)[:MOST_MESSAGE]) from error
