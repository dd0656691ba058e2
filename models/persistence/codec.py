"""State as bytes: a small versioned header and plain arrays. Nothing in it can run code."""

from __future__ import annotations

import math
import zlib
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from streamgauge.models.errors import StateError

MAGIC = b"SGS2"
OLD_MAGIC = b"SGS1"  # its checksum is part of the header, and covers the arrays only
_ALLOWED = "biufS"  # kinds of arrays that are plain memory


class _Header(msgspec.Struct, array_like=True):
    kind: str
    version: int
    meta: dict[str, Any]
    arrays: list[tuple[str, Any, list[int]]]


class _OldHeader(_Header, array_like=True):
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
    described = [
        (name, array.dtype.str if array.dtype.names is None else array.dtype.descr, list(array.shape))
        for name, array in flat.items()
    ]
    header = msgspec.msgpack.encode(_Header(kind, version, meta, described))
    # Arrays may be large, so they are copied once only.
    content: list[Any] = [len(header).to_bytes(4, "little"), header]
    content += [array.reshape(-1).view(np.uint8) for array in flat.values()]
    checksum = 0
    for part in content:
        checksum = zlib.crc32(part, checksum)
    return b"".join([MAGIC, checksum.to_bytes(4, "little"), *content])


def unpack(state: bytes, kind: str, version: int) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Meta and arrays that `pack` was given; the arrays may be written to.

    Raises
    ------
    StateError
        The bytes are damaged, of another kind, or of another version.
    """
    header, body = _opened(state, kind)
    if header.kind != kind:
        raise StateError(f"this is the state of {header.kind}, not of {kind}")
    if header.version != version:
        newer = "a newer Streamgauge wrote it: upgrade" if header.version > version else "no migration is known"
        raise StateError(f"the {kind} state has format {header.version}, this code reads {version}: {newer}")
    try:
        return header.meta, _arrays(header, body, kind)
    except (
        TypeError,
        ValueError,
        OverflowError,
        SyntaxError,
    ) as error:  # what numpy raises at a description that is none
        raise StateError(f"the {kind} state is damaged: {error}") from error


def _opened(state: bytes, kind: str) -> tuple[_Header, memoryview]:
    """Header and arrays of a state whose checksum fits."""
    known = {MAGIC: _Header, OLD_MAGIC: _OldHeader}.get(bytes(state[:4]))
    if known is None:
        raise StateError(f"this is no {kind} state: it does not begin with {MAGIC.decode()}")
    start = 4 if known is _OldHeader else 8
    content = memoryview(state)[start:]
    size = int.from_bytes(content[:4], "little")
    body = content[4 + size :]
    try:
        if known is _Header and zlib.crc32(content) != int.from_bytes(state[4:8], "little"):
            raise ValueError("its checksum does not fit")
        header = msgspec.msgpack.decode(content[4 : 4 + size], type=known)
        if isinstance(header, _OldHeader) and zlib.crc32(body) != header.crc:
            raise ValueError("its checksum does not fit")
    except (msgspec.MsgspecError, ValueError) as error:
        raise StateError(f"the {kind} state is damaged: {error}") from error
    return header, body


def demand(
    arrays: dict[str, npt.NDArray[Any]], name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """An array that a kernel relies on, because kernels do not check their places.

    Parameters
    ----------
    arrays : dict of str to array
    name : str
    dtype : dtype
    shape : tuple of int or None
        None is any length from 1.

    Raises
    ------
    StateError
        It is missing, or of another type or shape.
    """
    array = arrays.get(name)
    if array is None:
        raise StateError(f"the array {name!r} is missing")
    fits = len(array.shape) == len(shape) and all(
        n >= 1 if wanted is None else n == wanted for n, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        wanted_shape = ", ".join("any" if n is None else str(n) for n in shape)
        raise StateError(
            f"the array {name!r} is {array.dtype}{list(array.shape)}, it must be {np.dtype(dtype)}[{wanted_shape}]"
        )
    return array


def _arrays(header: _Header, body: memoryview, kind: str) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for name, described, shape in header.arrays:
        dtype = np.dtype(described if isinstance(described, str) else [_field(f) for f in described])
        parts = [dtype.fields[n][0] for n in dtype.names] if dtype.names and dtype.fields else [dtype]
        if any(part.base.kind not in _ALLOWED for part in parts):
            raise StateError(f"the {kind} state holds an array of type {dtype}, which is not allowed")
        if any(n < 0 for n in shape):
            raise ValueError(f"an array has the shape {shape}")
        count = math.prod(shape)
        array = np.frombuffer(body, dtype, count, at).reshape(shape).copy()
        arrays[name] = array
        at += array.nbytes
    return arrays


def _field(described: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(part) if isinstance(part, list) else part for part in described)
