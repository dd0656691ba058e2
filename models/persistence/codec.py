"""State as bytes: a small versioned header and plain arrays. Nothing in it can run code."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from streamgauge.models.errors import StateError

MAGIC = b"SGS1"
_ALLOWED = "biufS"  # kinds of arrays that are plain memory


class _Header(msgspec.Struct, array_like=True):
    kind: str
    version: int
    meta: dict[str, Any]
    arrays: list[tuple[str, Any, list[int]]]
    crc: int


def pack(kind: str, version: int, meta: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Bytes of a state.

    Parameters
    ----------
    kind : str
        Name of what the state belongs to; `unpack` refuses any other.
    version : int
        Version of the kind's format.
    meta : dict
        Plain values: numbers, strings, lists, dictionaries.
    arrays : dict of ndarray
        Numbers, fixed bytes, or records of these.
    """
    flat = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    body = b"".join(array.tobytes() for array in flat.values())
    described = [
        (name, array.dtype.str if array.dtype.names is None else array.dtype.descr, list(array.shape))
        for name, array in flat.items()
    ]
    header = msgspec.msgpack.encode(_Header(kind, version, meta, described, zlib.crc32(body)))
    return MAGIC + len(header).to_bytes(4, "little") + header + body


def unpack(state: bytes, kind: str, version: int) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Meta and arrays that `pack` was given; the arrays may be written to.

    Raises
    ------
    StateError
        The bytes are damaged, of another kind, or of another version.
    """
    if state[:4] != MAGIC:
        raise StateError(f"this is no {kind} state: it does not begin with {MAGIC.decode()}")
    size = int.from_bytes(state[4:8], "little")
    try:
        header = msgspec.msgpack.decode(state[8 : 8 + size], type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"the {kind} state is damaged: {error}") from error
    body = memoryview(state)[8 + size :]
    if header.kind != kind:
        raise StateError(f"this is the state of {header.kind}, not of {kind}")
    if header.version != version:
        newer = "a newer Streamgauge wrote it: upgrade" if header.version > version else "no migration is known"
        raise StateError(f"the {kind} state has format {header.version}, this code reads {version}: {newer}")
    if zlib.crc32(body) != header.crc:
        raise StateError(f"the {kind} state is damaged: its checksum does not fit")
    arrays: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for name, described, shape in header.arrays:
        dtype = np.dtype(described if isinstance(described, str) else [_field(f) for f in described])
        parts = [dtype.fields[n][0] for n in dtype.names] if dtype.names and dtype.fields else [dtype]
        if any(part.base.kind not in _ALLOWED for part in parts):
            raise StateError(f"the {kind} state holds an array of type {dtype}, which is not allowed")
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(body, dtype, count, at).reshape(shape).copy()
        arrays[name] = array
        at += array.nbytes
    return header.meta, arrays


def _field(described: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(part) if isinstance(part, list) else part for part in described)
