"""Bytes to events: JSON, entity, time. What cannot be read becomes a dead letter with a reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.udfs.events.records import DeadLetter, Events, RawBatch
from streamgauge.udfs.settings.pipeline import EventSettings

MAX_DEPTH = 32
MAX_ENTITY = 256
LIMITS = (1e11, 1e14, 1e17, 1e20)  # below which an epoch is in seconds, milliseconds, microseconds, nanoseconds,
FACTORS = (1000.0, 1.0, 1e-3, 1e-6)  # and what makes milliseconds of it
_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(NaN|Infinity)")
_decoder = msgspec.json.Decoder()


def decode(raw: RawBatch, settings: EventSettings) -> tuple[Events, list[DeadLetter]]:
    """Decode a batch.

    Parameters
    ----------
    raw : RawBatch
    settings : EventSettings

    Returns
    -------
    events : Events
        The readable ones, in order.
    dead : list of DeadLetter
        Reasons: empty, too_large, not_json, not_finite, too_deep, not_object,
         no_entity, bad_time, time_out_of_range.
    """
    dead: list[DeadLetter] = []
    values = _whole_batch(raw.payloads, settings.max_bytes)
    rows: list[int] | range = range(len(raw))
    if values is None:
        rows, values = _one_by_one(raw.payloads, settings.max_bytes, dead)
    for other, name in settings.rename.items():
        for value in values:
            if other in value and name not in value:
                value[name] = value.pop(other)
    entities, bad = _entities(values, settings.entity)
    times = _times(values, settings, raw.stamps[rows], bad)
    if bad:
        dead += [DeadLetter(rows[i], *bad[i]) for i in sorted(bad)]
    events = Events(np.asarray(rows, dtype=np.int64), values, entities, times)
    return (events.drop(set(bad)) if bad else events), dead


def _whole_batch(payloads: Sequence[bytes | None], max_bytes: int) -> list[dict[str, Any]] | None:
    """All payloads in one call, or None where one of them needs a closer look."""
    try:
        joined = b"\n".join(payloads)  # type: ignore[arg-type]
        # Every line break must stand between two objects: then no payload can lend its text to the next one, each holds
        # at least one value, and as many values as payloads means one each.
        between = len(payloads) - 1
        if not (joined.startswith(b"{") and joined.endswith(b"}")):
            return None
        if joined.count(b"\n") != between or joined.count(b"}\n{") != between:
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
            return [flatten(value) for value in values]
        except RecursionError:
            return None
    return values


def _one_by_one(
    payloads: Sequence[bytes | None], max_bytes: int, dead: list[DeadLetter]
) -> tuple[list[int], list[dict[str, Any]]]:
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
            values.append(flatten(value))
            rows.append(row)
        except RecursionError:
            dead.append(DeadLetter(row, "too_deep", f"nested deeper than {MAX_DEPTH} levels"))
        except ValueError as error:  # msgspec's errors, and bytes that are no UTF-8
            infinite = isinstance(error, msgspec.ValidationError) or _NOT_FINITE.search(payload)
            dead.append(DeadLetter(row, "not_finite" if infinite else "not_json", str(error)))
    return rows, values


def flatten(value: dict[str, Any]) -> dict[str, Any]:
    """Nested objects as one level, their keys joined by dots.

    Raises
    ------
    RecursionError
        More than `MAX_DEPTH` levels.
    """
    flat: dict[str, Any] = {}
    stack = [("", value, 0)]
    while stack:
        prefix, inner, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise RecursionError
        for key, item in inner.items():
            if isinstance(item, dict):
                stack.append((f"{prefix}{key}.", item, depth + 1))
            else:
                flat[prefix + key] = item
    return flat


def _entities(values: list[dict[str, Any]], name: str) -> tuple[list[str], dict[int, tuple[str, str]]]:
    entities: list[Any] = [value.get(name) for value in values]
    bad: dict[int, tuple[str, str]] = {}
    if set(map(type, entities)) <= {str} and all(entities) and max(map(len, entities), default=0) <= MAX_ENTITY:
        return entities, bad
    for i, entity in enumerate(entities):
        if isinstance(entity, int) and not isinstance(entity, bool):
            entities[i] = str(entity)
        elif not isinstance(entity, str) or not entity:
            what = "is missing" if entity is None else f"is {msgspec.json.encode(entity)[:60].decode(errors='replace')}"
            bad[i] = ("no_entity", f"the field {name!r} {what}: a non-empty string names the entity")
        elif len(entity) > MAX_ENTITY:
            bad[i] = ("no_entity", f"the field {name!r} has {len(entity)} characters, at most {MAX_ENTITY} are allowed")
    return entities, bad


def _times(
    values: list[dict[str, Any]], settings: EventSettings, stamps: Ints, bad: dict[int, tuple[str, str]]
) -> Ints:
    given = [value.get(settings.time) for value in values]
    times = _all_numbers(given)
    if times is None:
        times = stamps.copy()
        for i, value in enumerate(given):
            if value is None:
                continue
            try:
                times[i] = epoch_milliseconds(value)
            except (ValueError, OverflowError):
                shown = msgspec.json.encode(value)[:60].decode(errors="replace")
                bad.setdefault(i, ("bad_time", f"{settings.time!r} is {shown}: neither ISO 8601 nor an epoch"))
    ahead = times - stamps
    for i in np.flatnonzero((ahead > settings.max_future) | (ahead < -settings.max_past)).tolist():
        days = ahead[i] / 86_400_000
        where = f"{abs(days):.1f} days {'after' if days > 0 else 'before'} Kafka's timestamp"
        bad.setdefault(i, ("time_out_of_range", f"{settings.time!r} is {where} (event.max_past, event.max_future)"))
    return times


def _all_numbers(given: list[Any]) -> Ints | None:
    """Milliseconds of times that are all numbers, as `epoch_milliseconds` has them; None where it must look at each."""
    if not set(map(type, given)) <= {int, float}:
        return None
    try:
        numbers = np.array(given, dtype=np.float64)
    except OverflowError:
        return None
    size = np.abs(numbers)
    if size.max(initial=0.0) >= LIMITS[-1]:
        return None
    factors = np.array(FACTORS)[np.searchsorted(LIMITS, size, side="right")]
    milliseconds: Ints = np.rint(numbers * factors).astype(np.int64)
    return milliseconds


def epoch_milliseconds(value: Any) -> int:
    """Milliseconds since 1970 of an ISO 8601 string (UTC where it names no zone) or of an epoch number.

    A number's unit follows from its size: seconds, milliseconds, microseconds or nanoseconds.

    Raises
    ------
    ValueError, OverflowError
        It is neither.
    """
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"no time: {value!r}")
    number = float(value)
    for limit, factor in zip(LIMITS, FACTORS, strict=True):
        if abs(number) < limit:
            return round(number * factor)
    raise ValueError(f"no time: {value!r}")
