"""JSON of records to values, and nested values to one level."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
from streamgauge.udfs.events.records import UnreadableError

MAX_DEPTH = 32
# Each leaf of a nested object gets a name that holds all keys above it. A long key above many leaves would multiply the
# size of the record. Therefore all names together may have this many characters for each byte of the record, plus a minimum.
NAMES_PER_BYTE, NAMES_AT_LEAST = 10, 10_000
_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(NaN|Infinity)")
_decoder = msgspec.json.Decoder()


def whole_batch(payloads: Sequence[bytes | None], max_bytes: int) -> list[dict[str, Any]] | None:
    """Decode payloads that are all JSON objects, in one call, which is fast.

    Returns
    -------
    list of dict or None
        None if one of the payloads must be read by itself.
    """
    try:
        joined = b"\n".join(payloads)  # type: ignore[arg-type]
        # Every line break must stand between two objects. Then no text of one payload is read as part of the next one, and
        # each payload holds at least one value. If there are as many values as payloads, each payload holds exactly one.
        line_breaks = len(payloads) - 1
        if not (joined.startswith(b"{") and joined.endswith(b"}")):
            return None
        if joined.count(b"\n") != line_breaks or joined.count(b"}\n{") != line_breaks:
            return None
        if len(joined) > max_bytes and max(map(len, payloads)) > max_bytes:  # type: ignore[arg-type]
            return None
        values = _decoder.decode_lines(joined)
    except (TypeError, ValueError, RecursionError):
        return None
    if len(values) != len(payloads) or set(map(type, values)) != {dict}:
        return None
    return values


def nested(values: list[dict[str, Any]]) -> bool:
    """Whether a value of these objects is an object or an array itself."""
    return not {dict, list}.isdisjoint(map(type, chain.from_iterable(map(dict.values, values))))


def from_json(payload: bytes) -> Any:
    """The JSON value of a payload.

    Raises
    ------
    UnreadableError
        Reasons: not_json, not_finite, too_deep.
    """
    try:
        return _decoder.decode(payload)
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:  # msgspec's errors, and bytes that are no UTF-8
        not_finite = isinstance(error, msgspec.ValidationError) or _NOT_FINITE.search(payload)
        raise UnreadableError("not_finite" if not_finite else "not_json", str(error)) from None


class Names:
    """How many characters the names of a record's fields may still have.

    Parameters
    ----------
    size : int
        Size of the record in bytes.
    """

    def __init__(self, size: int) -> None:
        self._most = self._left = NAMES_PER_BYTE * size + NAMES_AT_LEAST

    def take(self, characters: int) -> None:
        """Use some of them. Raises UnreadableError if there are not so many."""
        self._left -= characters
        if self._left < 0:
            raise UnreadableError(
                "too_large",
                f"the names of its nested fields have more than {self._most} characters, which is the most allowed",
            )


def too_deep() -> UnreadableError:
    """The error of a record that is nested too deeply."""
    return UnreadableError("too_deep", f"nested deeper than {MAX_DEPTH} levels")


def flatten(value: dict[str, Any], names: Names) -> dict[str, Any]:
    """Turn nested objects into one level; the keys of a leaf are joined by dots.

    Parameters
    ----------
    value : dict
    names : Names
        The limit for the record that holds the value.

    Returns
    -------
    dict
        Values by name.

    Raises
    ------
    UnreadableError
        There are more than `MAX_DEPTH` levels, or the names take many times the size of the record.
    """
    flat: dict[str, Any] = {}
    stack = [("", value, 0)]
    while stack:
        prefix, inner, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise too_deep()
        if prefix:  # the keys themselves are no longer than the record; what is written again is the prefix
            names.take(len(prefix) * len(inner))
        for key, item in inner.items():
            if type(item) is dict:
                stack.append((f"{prefix}{key}.", item, depth + 1))
            else:
                flat[prefix + key] = item
    return flat
