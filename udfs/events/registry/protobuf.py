"""Reads Protobuf with the schema text of a registry, which protoc compiles."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry.proto_files import TAKEN_FOR_GRANTED
from streamgauge.udfs.events.registry.proto_values import VALUES_AT_LEAST, VALUES_PER_BYTE, Convert, MessageTypes

MOST_MESSAGE = 200
LEAST_BATCH = 16  # messages that are worth the kernel for many messages
MOST_INDEXES = 32  # levels of types within types
FIRST = b"\x00"  # message indexes of the first message of a schema, in short


class ProtobufReader:
    """Reads messages of one schema.

    Parameters
    ----------
    name : str
        Names the schema in errors.
    text : str
        The schema, as the text of a .proto file.
    references : mapping
        Texts of the files that it imports, by their names.
    indexed : bool
        Whether each message begins with its indexes, which say what type of the schema it is; else it is of the first type.

    Raises
    ------
    UnreadableError
        The schema cannot be used (bad_protobuf).
    """

    def __init__(self, name: str, text: str, references: Mapping[str, str], indexed: bool = True) -> None:
        self._name, self._indexed = name, indexed
        self._types = MessageTypes()
        self._pool = DescriptorPool()
        try:
            for self._file in _compiled(text, references):  # the last one is that of the schema itself
                self._pool.Add(self._file)
        except (ValueError, TypeError) as error:
            raise self._bad(str(error)) from error
        self._readers: dict[bytes, tuple[Convert, Convert]] = {}
        self._batch: Any = None

    def document(self, payload: bytes, start: int) -> Any:
        """Read the message that begins at `start`. Raises UnreadableError (bad_protobuf)."""
        try:
            if not self._indexed:
                end, indexes = start, FIRST
            elif payload.startswith(FIRST, start):
                end, indexes = start + 1, FIRST
            else:
                end = _end_of_indexes(payload, start)
                indexes = payload[start:end]
            parse, convert = self._readers.get(indexes) or self._reader(indexes)
            if self._types.counts:
                self._types.left = VALUES_AT_LEAST + VALUES_PER_BYTE * len(payload)
            return convert(parse(payload[end:]))
        except UnreadableError:
            raise
        except Exception as error:  # whatever the bytes make Protobuf raise; there are many types
            raise self._bad(f"{type(error).__name__}: {error}") from error

    def documents(self, payloads: Sequence[bytes], start: int) -> list[Any]:
        """Read many messages, as `document` does; in the place of one that cannot be read is its UnreadableError."""
        documents: list[Any] = [None] * len(payloads)
        left: Iterable[int] = range(len(payloads))
        if len(payloads) >= LEAST_BATCH and (batch := self._batch_reader()):
            documents, left = batch.documents(payloads, start)
        for place in left:
            documents[place] = self._tried(payloads[place], start)
        return documents

    def _batch_reader(self) -> Any:
        """The reader for many messages of the first type, which needs numba; False if there is none."""
        if self._batch is None:
            try:
                descriptor = self._pool.FindMessageTypeByName(_type_name(self._file, FIRST))
                module = import_module("streamgauge.udfs.events.registry.proto_batch")
                self._batch = module.BatchReader(descriptor, self._indexed)
            except (ValueError, ImportError):  # it does not know the type, or there is none
                self._batch = False
        return self._batch

    def _tried(self, payload: bytes, start: int) -> Any:
        try:
            return self.document(payload, start)
        except UnreadableError as error:
            return error

    def _reader(self, indexes: bytes) -> tuple[Convert, Convert]:
        """How messages with these indexes are parsed, and converted to plain values."""
        descriptor = self._pool.FindMessageTypeByName(_type_name(self._file, indexes))
        reader = GetMessageClass(descriptor).FromString, self._types.converter(descriptor)
        self._readers[indexes] = reader
        return reader

    def _bad(self, problem: str) -> UnreadableError:
        return UnreadableError("bad_protobuf", f"{self._name}: {problem}"[:MOST_MESSAGE])


def _compiled(text: str, references: Mapping[str, str]) -> list[FileDescriptorProto]:
    """Descriptors of a schema and all that it imports, each after those that it needs. Raises ValueError if protoc refuses it."""
    with tempfile.TemporaryDirectory() as folder, as_file(files("grpc_tools") / "_proto") as google:
        root = Path(folder)
        for name, content in (TAKEN_FOR_GRANTED | dict(references)).items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"it refers to a file {name!r}, which is not below a folder of schemas")
            (root / "imports" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "imports" / path).write_text(content, encoding="utf-8")
        (root / "own").mkdir()
        (root / "own" / "schema-of-the-record.proto").write_text(text, encoding="utf-8")
        code = protoc.main(
            [
                "protoc",
                f"-I{root / 'own'}",
                f"-I{root / 'imports'}",
                f"-I{google}",
                "--include_imports",
                f"--descriptor_set_out={root / 'descriptors'}",
                "schema-of-the-record.proto",
            ]
        )
        if code:
            raise ValueError("protoc refuses the schema; the log of the task has its reasons")
        return list(FileDescriptorSet.FromString((root / "descriptors").read_bytes()).file)


def _end_of_indexes(payload: bytes, start: int) -> int:
    """Where the message begins, behind its indexes: their number, then each one."""
    number, place = _varint(payload, start)
    if not 0 <= number <= MOST_INDEXES:
        raise ValueError(f"it has {number} message indexes, at most {MOST_INDEXES} are allowed")
    for _ in range(number):
        _, place = _varint(payload, place)
    return place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A signed number in zigzag encoding, of at most 5 bytes, and the place behind it."""
    number = 0
    for shift, byte in zip(range(0, 35, 7), data[place : place + 5], strict=False):
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), place + shift // 7 + 1
    raise ValueError("its message indexes are cut off, or too large")


def _type_name(file: FileDescriptorProto, indexes: bytes) -> str:
    """Full name of the type that message indexes stand for."""
    path, place = [], 0
    while place < len(indexes):
        number, place = _varint(indexes, place)
        path.append(number)
    path = path[1:] or [0]  # the number of indexes is first; none is short for the first type
    names = [file.package] if file.package else []
    types: list[DescriptorProto] = list(file.message_type)
    for index in path:
        if not 0 <= index < len(types):
            raise ValueError(f"the message indexes {path} stand for no type of the schema")
        names.append(types[index].name)
        # Types of map entries are made by protoc. The registry's own clients do not count them.
        types = [inner for inner in types[index].nested_type if not inner.options.map_entry]
    return ".".join(names)
