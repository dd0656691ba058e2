"""The bytes of a record before they are read: decompresses them, and says what bytes look like that are no JSON."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib

import zstandard
from streamgauge.udfs.events.records import UnreadableError

BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
WINDOW = 8 * 1024 * 1024  # bytes of memory that a zstd frame may ask for; its usual levels ask for less
STEP = 256  # bytes of zstd that are given at once; they grow to at most 8 MB
HEAD = 4096  # bytes that a hint looks at

_SEND_JSON = "which is not read: send JSON"
_MAGIC = (
    (b"Obj\x01", f"this looks like an Avro file, {_SEND_JSON}, or Avro records with a schema registry"),
    (b"PAR1", f"this looks like a Parquet file, {_SEND_JSON}"),
    (b"ORC", f"this looks like an ORC file, {_SEND_JSON}"),
    (b"PK\x03\x04", f"this looks like a zip archive, {_SEND_JSON}, or JSON in gzip or zstd"),
    (b"\x82SNAPPY\x00", f"this looks like snappy, {_SEND_JSON}, or let the Kafka producer compress (compression.type)"),
    (b"\xff\x06\x00\x00sNaPpY", f"this looks like snappy, {_SEND_JSON}, or let the Kafka producer compress"),
    (b"\x04\x22\x4d\x18", f"this looks like lz4, {_SEND_JSON}, or let the Kafka producer compress (compression.type)"),
    (b"\xac\xed\x00\x05", f"this looks like a serialized Java object, {_SEND_JSON}"),
)
_UTF_16 = "this looks like text in UTF-16, which is not read: send UTF-8"
_UTF_32 = "this looks like text in UTF-32, which is not read: send UTF-8"
_BOMS = ((b"\xff\xfe\x00\x00", _UTF_32), (b"\x00\x00\xfe\xff", _UTF_32), (b"\xff\xfe", _UTF_16), (b"\xfe\xff", _UTF_16))
_LINE_PROTOCOL = re.compile(r"[^\s,={}\[\]\"']+(?:,[^\s,=]+=[^\s,=]+)* [^\s,=]+=")
_QUOTED = re.compile(r'"[^"]*"')
_PAIR = re.compile(r"[\w.\-]+=\S*")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_CSV_FIELD = re.compile(r"[\w.:+\-/ ]{0,100}")


def plain(payload: bytes, most: int) -> bytes:
    """Take away compression and a byte order mark.

    Parameters
    ----------
    payload : bytes
        Plain bytes, or one gzip or zstd stream.
    most : int
        Bytes that a compressed payload may grow to.

    Returns
    -------
    bytes
        The same object, if there is nothing to take away.

    Raises
    ------
    UnreadableError
        too_large: it grows to more than `most` bytes. bad_compression: it is damaged or cut off.
    """
    if payload.startswith(GZIP):
        payload = _from_gzip(payload, most)
    elif payload.startswith(ZSTD):
        payload = _from_zstd(payload, most)
    return payload.removeprefix(BOM)


def _from_gzip(payload: bytes, most: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(payload)) as stream:
            content = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableError("bad_compression", f"this looks like gzip, but it is damaged: {error}") from error
    return _limited(content, "gzip", most)


def _from_zstd(payload: bytes, most: int) -> bytes:
    # A stream reader would not tell that a frame is cut off, and has no limit. Small steps keep each growth small.
    stream = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()
    content = bytearray()
    start = 0
    try:
        while start < len(payload) and not stream.eof and len(content) <= most:
            content += stream.decompress(payload[start : start + STEP])
            start += STEP
    except zstandard.ZstdError as error:
        raise UnreadableError("bad_compression", f"this looks like zstd, but it is damaged: {error}") from error
    _limited(content, "zstd", most)
    if not stream.eof or stream.unused_data or start < len(payload):
        fault = "bytes follow its frame" if stream.eof else "it is cut off"
        raise UnreadableError("bad_compression", f"this looks like zstd, but {fault}")
    return bytes(content)


def _limited(content: bytes | bytearray, kind: str, most: int) -> bytes:
    if len(content) > most:
        raise UnreadableError(
            "too_large", f"its {kind} grows to more than {most} bytes, which is the most allowed (event.max_bytes)"
        )
    return bytes(content)


def hint(payload: bytes) -> str:
    """Say what a payload looks like that is no JSON, and what to set or send instead.

    Parameters
    ----------
    payload : bytes
        Any bytes; only the first `HEAD` and the last one are looked at.

    Returns
    -------
    str
        One sentence; empty if it looks like nothing that is known.
    """
    head = bytes(payload[:HEAD])
    whole = len(payload) <= HEAD
    known = next((text for magic, text in (*_MAGIC, *_BOMS) if head.startswith(magic)), "") or _wide_text(head)
    if known:
        return known
    if head[:1] == b"\x00" and len(payload) > 5:
        number = int.from_bytes(head[1:5])
        return (
            f"this looks like a record with the header of a schema registry (schema id {number}): set event.format to "
            "avro, protobuf or json_schema, and event.registry to the registry"
        )
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and payload[-1:] == b".":
        return f"this looks like a pickled Python object, {_SEND_JSON} (json.dumps)"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, whole)
    except UnicodeDecodeError:
        return _other_bytes(head)
    text = text.removeprefix("\ufeff").strip()
    complete = whole or payload[-1:] in (b"}", b"]", b"\n", b" ")
    return _json_like(text, whole, complete) if text[:1] in ("{", "[") else _other_text(text)


def _wide_text(head: bytes) -> str:
    """UTF-16 or UTF-32 without a byte order mark: of the first letters, all bytes but one are zero."""
    for width, name in ((4, _UTF_32), (2, _UTF_16)):
        for place in (0, width - 1):
            letters = head[place : 4 * width : width]
            if len(letters) < 2 or not all(0x20 <= letter < 0x7F or letter in b"\t\r\n" for letter in letters):
                continue
            if len(head) >= 2 * width and head[: len(letters) * width].count(0) == len(letters) * (width - 1):
                return name
    return ""


def _other_bytes(head: bytes) -> str:
    """Bytes that are no UTF-8."""
    first, second = head[0], head[1] if len(head) > 1 else 0
    # A map whose first key is a short text of letters.
    if (0x81 <= first <= 0x8F and 0xA1 <= second <= 0xBF and head[2 : 2 + second - 0xA0].isascii()) or (
        first in (0xDE, 0xDF) and any(0xA1 <= byte <= 0xBF for byte in head[3:6])
    ):
        return f"this may be MessagePack, {_SEND_JSON}"
    if (0xA1 <= first <= 0xB7 or first == 0xBF) and 0x61 <= second <= 0x77 and head[2 : 2 + second - 0x60].isascii():
        return f"this may be CBOR, {_SEND_JSON}"
    printable = all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)
    if printable and sum(byte >= 0x80 for byte in head) < 0.3 * len(head):
        return "this looks like text in Latin-1 or Windows-1252, which is not read: send UTF-8"
    return ""


def _json_like(text: str, whole: bool, complete: bool) -> str:
    """Text that begins as JSON does. `whole`: nothing follows it. `complete`: the payload ends as JSON ends."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        if text[error.pos : error.pos + 1] == "'":
            return "this looks like a printed Python object, with single quotes: send JSON (json.dumps)"
        tail = text[error.pos :]
        at_its_end = error.msg.startswith("Unterminated string") or any(
            word.startswith(tail) for word in ("true", "false", "null", "-")
        )
        if at_its_end and (whole or not complete):
            return "this looks like JSON that is cut off: the sender or a limit on its way shortened it"
        return ""
    except (RecursionError, ValueError):  # too deep, or a number of too many digits
        return ""
    rest = text[end:].lstrip()
    if rest[:1] in ("{", "["):
        return "this looks like several JSON objects in one record: send each in its own record, or all in one array"
    return "this looks like JSON with other text behind it: send the JSON alone" if rest else ""


def _other_text(text: str) -> str:
    line = text.split("\n", 1)[0].rstrip("\r")
    if text.startswith("<") and text[1:2].isprintable() and (text[1:2].isalpha() or text[1:2] in ("?", "!")):
        return f"this looks like XML, {_SEND_JSON}"
    if text.startswith(("# HELP ", "# TYPE ")):
        return f"this looks like Prometheus's text format, {_SEND_JSON} (prometheus-kafka-adapter or Telegraf write it)"
    match = _LINE_PROTOCOL.match(line)
    if match:
        words = _QUOTED.sub("", line[match.end() :]).split(" ")
        if len(words) == 1 or (len(words) == 2 and words[1].lstrip("-").isdecimal()):
            return f'this looks like InfluxDB line protocol, {_SEND_JSON} (Telegraf: data_format = "json")'
    pairs = _QUOTED.sub("", line).split()
    if len(pairs) > 1 and all(map(_PAIR.fullmatch, pairs)):
        return f"this looks like logfmt (key=value), {_SEND_JSON}"
    return _csv(line)


def _csv(line: str) -> str:
    for separator in (",", ";", "\t", "|"):
        fields = [field.strip().strip('"') for field in line.split(separator)]
        if len(fields) < 3 or not all(map(_CSV_FIELD.fullmatch, fields)):
            continue
        if any(map(_NUMBER.fullmatch, fields)) or not any(" " in field for field in fields):
            return f"this looks like a line of CSV, {_SEND_JSON}: a CSV file can be read with streamgauge backtest"
    return ""
