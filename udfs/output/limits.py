"""The largest record that is written: whatever comes in, what goes out fits into Kafka's default `max.request.size`."""

from __future__ import annotations

from typing import Any

import msgspec

MOST_BYTES = 1_000_000  # of a value; Kafka's default limit of 1,048,576 counts key, headers and its own bytes, too
MOST_KEY = 1_000  # characters of a key
MOST_TEXT = 1_000  # characters of each text, in a record that is too large
MOST_ITEMS = 1_000  # entries of each list and object, in a record that is too large
PAYLOAD = "payload"

_encoder = msgspec.json.Encoder()


def encode(record: dict[str, Any]) -> bytes:
    """JSON of a record, cut where it would be too large.

    A record of more than `MOST_BYTES` bytes is written with its texts cut to `MOST_TEXT` characters and its lists and objects to
    `MOST_ITEMS` entries; a payload keeps as many bytes as fit. Each cut text ends with a mark that says how much is missing, and the
    record has a field ``cut`` with the bytes that it would have had.
    """
    text = _encoder.encode(record)
    if len(text) <= MOST_BYTES:
        return text
    payload = record.get(PAYLOAD)
    rest = {key: value for key, value in record.items() if key != PAYLOAD}
    short = _cut(rest) | {"cut": len(text)}
    if isinstance(payload, str):
        room = MOST_BYTES - len(_encoder.encode(short)) - 100
        kept = max(room // 4 * 4, 0)  # whole groups of base64
        short[PAYLOAD] = payload[:kept]
        if kept < len(payload):
            missing = (len(payload) - kept) * 3 // 4 - payload[-2:].count("=")
            short["payload_bytes_missing"] = missing
    return _encoder.encode(short)


def key_of(text: str) -> str:
    """A key of at most `MOST_KEY` characters."""
    return cut_text(text, MOST_KEY)


def cut_text(text: str, most: int = MOST_TEXT) -> str:
    """A text of at most so many characters, and a mark of how many more it had."""
    return text if len(text) <= most else f"{text[:most]}… (+{len(text) - most} characters)"


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return cut_text(value)
    if isinstance(value, dict):
        return {cut_text(key): _cut(item) for key, item in list(value.items())[:MOST_ITEMS]}
    if isinstance(value, list | tuple):
        return [_cut(item) for item in value[:MOST_ITEMS]]
    return value
