"""The largest record that is written: whatever comes in, each record that goes out fits into Kafka's default `max.request.size`."""

from __future__ import annotations

from typing import Any

import msgspec

# Bytes of a record's value. Kafka's default limit of 1,048,576 includes the key, the headers and the framing.
MOST_BYTES = 1_000_000
MOST_KEY = 1_000  # characters of a key
MOST_TEXT = 1_000  # characters of each text, in a record that is too large
MOST_ITEMS = 1_000  # entries of each list and object, in a record that is too large
PAYLOAD = "payload"
PAYLOAD_NAMES = 100  # bytes kept free for the names of the payload's fields and for the number of missing bytes

_encoder = msgspec.json.Encoder()


def encode(record: dict[str, Any]) -> bytes:
    """JSON of a record. A record that would be too large is cut.

    A record of at most `MOST_BYTES` bytes is written as it is. In a larger one, each text is cut to `MOST_TEXT` characters, and each
    list and object to `MOST_ITEMS` entries; both numbers are halved until the record fits. A text under the key ``payload`` is base64:
    it keeps as many whole groups as fit, so that it can still be decoded.

    Each text that was cut ends with a mark that says how many characters are missing. A cut record has a field ``cut``: the bytes that
    the whole record would have had. If the payload was cut, ``payload_bytes_missing`` says how many of its bytes are missing.

    Parameters
    ----------
    record : dict
        Anything that JSON can hold.

    Returns
    -------
    bytes
        At most `MOST_BYTES`.
    """
    text = _encoder.encode(record)
    if len(text) <= MOST_BYTES:
        return text
    payload = record.get(PAYLOAD)
    if not isinstance(payload, str):
        return _encoder.encode(_fitting(record, len(text), MOST_BYTES))
    rest = {key: value for key, value in record.items() if key != PAYLOAD}
    short = _fitting(rest, len(text), MOST_BYTES - PAYLOAD_NAMES)
    room = MOST_BYTES - len(_encoder.encode(short)) - PAYLOAD_NAMES
    kept = max(room // 4 * 4, 0)  # whole groups of base64
    short[PAYLOAD] = payload[:kept]
    if kept < len(payload):
        short["payload_bytes_missing"] = (len(payload) - kept) * 3 // 4 - payload[-2:].count("=")
    return _encoder.encode(short)


def as_json(value: Any) -> bytes:
    """JSON of a value, whatever its size."""
    return _encoder.encode(value)


def key_of(text: str) -> str:
    """A record's key: the text, cut to `MOST_KEY` characters and a mark."""
    return cut_text(text, MOST_KEY)


def cut_text(text: str, most: int = MOST_TEXT) -> str:
    """A text of at most `most` characters. If it was longer, a mark follows that says how many characters are missing."""
    return text if len(text) <= most else f"{text[:most]}… (+{len(text) - most} characters)"


def _fitting(record: dict[str, Any], size: int, most: int) -> dict[str, Any]:
    """The record, cut until its JSON has at most `most` bytes; its field ``cut`` is `size`, the bytes of the whole record."""
    texts, items = MOST_TEXT, MOST_ITEMS
    while True:
        short: dict[str, Any] = _cut(record, texts, items) | {"cut": size}
        if len(_encoder.encode(short)) <= most:
            return short
        texts, items = texts // 2, items // 2


def _cut(value: Any, texts: int, items: int) -> Any:
    """A value with each text cut to `texts` characters, and each list and object to `items` entries."""
    if isinstance(value, str):
        return cut_text(value, texts)
    if isinstance(value, dict):
        return {cut_text(key, texts): _cut(item, texts, items) for key, item in list(value.items())[:items]}
    if isinstance(value, list | tuple):
        return [_cut(item, texts, items) for item in value[:items]]
    return value
