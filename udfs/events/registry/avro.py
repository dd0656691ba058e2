"""Reads Avro: single data with the schema of their writer, and files that hold their schema and many events."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from io import BytesIO
from typing import Any

import zstandard
from fastavro import parse_schema, schemaless_reader
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry.avro_schema import WRAPPED, NotKnownError, SchemaError, prepared

MAGIC = b"Obj\x01"  # the first bytes of an Avro file
LARGEST = 16 << 20  # bytes of the events in a file, when they are no longer compressed
ZSTANDARD_WINDOW = 16 << 20  # bytes of memory that reading zstandard may take
LEAST_BATCH = 16  # data that are worth the kernel for many data
MOST_MESSAGE = 200
_SYNC = {"type": "fixed", "name": "sync", "size": 16}
_HEADER = parse_schema(
    {
        "type": "record",
        "name": "header",
        "fields": [
            {"name": "magic", "type": {"type": "fixed", "name": "magic", "size": 4}},
            {"name": "meta", "type": {"type": "map", "values": "bytes"}},
            {"name": "sync", "type": _SYNC},
        ],
    }
)
_BLOCK = parse_schema(
    {
        "type": "record",
        "name": "block",
        "fields": [
            {"name": "count", "type": "long"},
            {"name": "data", "type": "bytes"},
            {"name": "sync", "type": _SYNC},
        ],
    }
)


class AvroReader:
    """Reads data that were written with one schema.

    Parameters
    ----------
    name : str
        Names the schema in errors.
    text : str or bytes
        The schema as JSON.
    references : mapping
        Schemas that it refers to; one that others need is before them.
    repeated : bool
        Whether many data stand one after another, as in a file.

    Raises
    ------
    UnreadableError
        The schema cannot be used (bad_avro).
    """

    def __init__(self, name: str, text: str | bytes, references: Mapping[str, str], repeated: bool = False) -> None:
        self._name = name
        try:
            self._schema = prepared(text, references, repeated)
        except SchemaError as error:
            raise self._bad(str(error)) from error
        self._batch: Any = None  # reads many data at once; False if it does not know the schema

    def document(self, payload: bytes, start: int) -> Any:
        """Read the datum that begins at `start`, and is the rest of the payload. Raises UnreadableError (bad_avro)."""
        stream = BytesIO(payload)
        stream.seek(start)
        try:
            document = self._next(stream)
        except Exception as error:  # whatever the bytes make fastavro raise; there are many types
            raise self._bad(_said(error)) from error
        if stream.tell() != len(payload):
            raise self._bad(f"{len(payload) - stream.tell()} bytes are left behind its end")
        return document

    def documents(self, payloads: Sequence[bytes], start: int) -> list[Any]:
        """Read the datum of each payload, as `document` does; in the place of one that cannot be read is its UnreadableError."""
        documents: list[Any] = [None] * len(payloads)
        left: Iterable[int] = range(len(payloads))
        if len(payloads) >= LEAST_BATCH and (batch := self._batch_reader()):
            documents, left = batch.documents(payloads, start)
        for place in left:
            try:
                documents[place] = self.document(payloads[place], start)
            except UnreadableError as error:
                documents[place] = error
        return documents

    def block(self, data: bytes, count: int) -> list[Any]:
        """Read `count` data that stand one after another. Raises UnreadableError (bad_avro)."""
        if not 0 <= count <= len(data):
            raise self._bad(f"a block of {len(data)} bytes says that it has {count} events")
        stream = BytesIO(data)
        try:
            documents = [self._next(stream) for _ in range(count)]
        except Exception as error:  # as in `document`
            raise self._bad(_said(error)) from error
        if stream.tell() != len(data):
            raise self._bad(f"{len(data) - stream.tell()} bytes are left behind the end of a block")
        return documents

    def _next(self, stream: BytesIO) -> Any:
        document: Any = schemaless_reader(stream, self._schema.schema, None)
        return document[WRAPPED] if self._schema.wrapped else document

    def _batch_reader(self) -> Any:
        """The reader for many data, which needs numba; False if there is none."""
        if self._batch is None:
            try:
                self._batch = import_module("streamgauge.udfs.events.registry.avro_batch").BatchReader(self._schema)
            except (NotKnownError, ImportError):
                self._batch = False
        return self._batch

    def _bad(self, problem: str) -> UnreadableError:
        return UnreadableError("bad_avro", f"{self._name}: {problem}"[:MOST_MESSAGE])


def file_documents(payload: bytes) -> list[Any]:
    """All events of an Avro file (null, deflate and zstandard codecs), in their order.

    Raises
    ------
    UnreadableError
        It is damaged, of another codec, or too large (bad_avro).
    """
    stream = BytesIO(payload)
    try:
        header: Any = schemaless_reader(stream, _HEADER, None)
        codec = header["meta"].get("avro.codec", b"null").decode()
        reader = AvroReader("an Avro file", header["meta"]["avro.schema"], {}, repeated=True)
        documents: list[Any] = []
        left = LARGEST
        while stream.tell() < len(payload):
            block: Any = schemaless_reader(stream, _BLOCK, None)
            if block["sync"] != header["sync"]:
                raise ValueError("a block does not end with the marker of the file")
            data = _decompressed(block["data"], codec, left)
            left -= len(data)
            documents += reader.block(data, block["count"])
    except UnreadableError:
        raise
    except Exception as error:  # as in `AvroReader.document`
        message = f"an Avro file: {_said(error)}"
        raise UnreadableError("bad_avro", message[:MOST_MESSAGE]) from error
    return documents


def _said(error: Exception) -> str:
    """What an error of fastavro says, without the address of an object, which would differ each time."""
    if isinstance(error, EOFError | StopIteration | IndexError):
        return "its data end too early, or do not fit its schema"
    return f"{type(error).__name__}: {error}"


def _decompressed(data: bytes, codec: str, largest: int) -> bytes:
    if codec == "null":
        plain = data
    elif codec == "deflate":
        plain = zlib.decompressobj(-15).decompress(data, largest + 1)
    elif codec == "zstandard":
        with zstandard.ZstdDecompressor(max_window_size=ZSTANDARD_WINDOW).stream_reader(data) as stream:
            plain = stream.read(largest + 1)
    else:
        raise ValueError(f"its codec is {codec}, allowed are null, deflate and zstandard")
    if len(plain) > largest:
        raise ValueError(f"it has more than {LARGEST} bytes when it is decompressed, which is the most allowed")
    return plain
