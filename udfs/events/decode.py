"""Bytes to events: a payload is JSON with an entity and a time. A record that cannot be read becomes a dead letter with a reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from streamgauge.udfs.events.entity import entities_of
from streamgauge.udfs.events.records import DeadLetter, Events, RawBatch
from streamgauge.udfs.events.time import event_times
from streamgauge.udfs.settings.pipeline import EventSettings

MAX_DEPTH = 32
# Each leaf of a nested object gets a name that holds all keys above it. A long key above many leaves would multiply the
# size of the record. Therefore all names together may have this many characters for each byte of the record, plus a minimum.
NAMES_PER_BYTE, NAMES_AT_LEAST = 10, 10_000
_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(NaN|Infinity)")
_decoder = msgspec.json.Decoder()


class NamesTooLongError(Exception):
    """The names of a nested record's fields take many times the size of the record."""


def decode(raw: RawBatch, settings: EventSettings) -> tuple[Events, list[DeadLetter]]:
    """Decode a batch.

    Parameters
    ----------
    raw : RawBatch
    settings : EventSettings

    Returns
    -------
    events : Events
        The records that can be read, in their order.
    dead : list of DeadLetter
        The others. Reasons: empty, too_large, not_json, not_finite, too_deep, not_object,
        no_entity, bad_time, time_out_of_range.
    """
    dead: list[DeadLetter] = []
    values = _whole_batch(raw.payloads, settings.max_bytes)
    rows: list[int] | range = range(len(raw))
    if values is None:
        rows, values = _one_by_one(raw.payloads, settings.max_bytes, dead)
    for old_name, name in settings.rename.items():
        for value in values:
            if old_name in value and name not in value:
                value[name] = value.pop(old_name)
    entities, bad = entities_of(values, settings.entity)
    times = event_times(values, settings, raw.stamps[rows], bad)
    if bad:
        dead += [DeadLetter(rows[i], *bad[i]) for i in sorted(bad)]
    events = Events(np.asarray(rows, dtype=np.int64), values, entities, times)
    return (events.drop(set(bad)) if bad else events), dead


def _whole_batch(payloads: Sequence[bytes | None], max_bytes: int) -> list[dict[str, Any]] | None:
    """Decode all payloads in one call, which is fast; None if one of them must be read by itself."""
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
    if dict in set(map(type, chain.from_iterable(map(dict.values, values)))):
        try:
            return [flatten(value, len(payload)) for value, payload in zip(values, payloads, strict=True)]  # type: ignore[arg-type]
        except (RecursionError, NamesTooLongError):
            return None
    return values


def _one_by_one(
    payloads: Sequence[bytes | None], max_bytes: int, dead: list[DeadLetter]
) -> tuple[list[int], list[dict[str, Any]]]:
    """Decode payloads by themselves: the rows that can be read and their values; the others are added to `dead`."""
    rows, values = [], []
    for row, payload in enumerate(payloads):
        if not payload:
            dead.append(DeadLetter(row, "empty", "the record has no value"))
            continue
        if len(payload) > max_bytes:
            dead.append(DeadLetter(row, "too_large", f"{len(payload)} bytes, at most {max_bytes} are allowed"))
            continue
        try:
            value = _decoder.decode(payload)
            if not isinstance(value, dict):
                kind = {list: "an array", str: "a string", type(None): "null"}.get(type(value), "a plain value")
                dead.append(DeadLetter(row, "not_object", f"an event is a JSON object, this is {kind}"))
                continue
            values.append(flatten(value, len(payload)))
            rows.append(row)
        except NamesTooLongError as error:
            dead.append(DeadLetter(row, "too_large", str(error)))
        except RecursionError:
            dead.append(DeadLetter(row, "too_deep", f"nested deeper than {MAX_DEPTH} levels"))
        except ValueError as error:  # msgspec's errors, and bytes that are no UTF-8
            not_finite = isinstance(error, msgspec.ValidationError) or _NOT_FINITE.search(payload)
            dead.append(DeadLetter(row, "not_finite" if not_finite else "not_json", str(error)))
    return rows, values


def flatten(value: dict[str, Any], size: int) -> dict[str, Any]:
    """Turn nested objects into one level; the keys of a leaf are joined by dots.

    Parameters
    ----------
    value : dict
    size : int
        Size of the record in bytes.

    Returns
    -------
    dict
        Values by name.

    Raises
    ------
    RecursionError
        There are more than `MAX_DEPTH` levels.
    NamesTooLongError
        The names take many times the size of the record.
    """
    flat: dict[str, Any] = {}
    most = NAMES_PER_BYTE * size + NAMES_AT_LEAST
    characters = 0
    stack = [("", value, 0)]
    while stack:
        prefix, inner, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise RecursionError
        for key, item in inner.items():
            if isinstance(item, dict):
                name = f"{prefix}{key}."
                stack.append((name, item, depth + 1))
            else:
                name = prefix + key
                flat[name] = item
            characters += len(name)
            if characters > most:
                raise NamesTooLongError(
                    f"the names of its nested fields have more than {most} characters, which is the most allowed"
                )
    return flat
