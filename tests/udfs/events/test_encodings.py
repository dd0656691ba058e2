"""Compressed payloads are read within limits; others are told apart by what they look like."""

from __future__ import annotations

import gzip
import json
import pickle

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.encodings import BOM, HEAD, hint, plain
from streamgauge.udfs.events.records import UnreadableError

EVENT = b'{"entity": "pump-7", "bar": 2.5}'
MOST = 100_000
COMPRESS = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def streamed_zstd(content):
    """As a producer compresses that does not know the size beforehand."""
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return compressor.compress(content) + compressor.flush()


def test_a_plain_payload_is_the_same_object():
    assert plain(EVENT, MOST) is EVENT


def test_a_byte_order_mark_is_taken_away():
    assert plain(BOM + EVENT, MOST) == EVENT
    assert plain(gzip.compress(BOM + EVENT), MOST) == EVENT


@given(st.binary(max_size=3000).filter(lambda content: not content.startswith((BOM, b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))))
def test_compressed_bytes_come_back(content):
    for compress in (gzip.compress, zstandard.ZstdCompressor().compress, streamed_zstd):
        assert plain(compress(content), MOST) == content


def test_several_gzip_members_are_one_payload():
    assert plain(gzip.compress(EVENT[:9]) + gzip.compress(EVENT[9:]), MOST) == EVENT


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_payload_may_grow_to_the_limit_and_not_beyond(kind):
    assert len(plain(COMPRESS[kind](b"x" * MOST), MOST)) == MOST
    for size in (MOST + 1, 200_000_000):
        with pytest.raises(UnreadableError, match="100000 bytes") as caught:
            plain(COMPRESS[kind](b"x" * size), MOST)
        assert caught.value.reason == "too_large"


@pytest.mark.parametrize("kind", COMPRESS)
def test_damaged_or_shortened_compression_is_said(kind):
    whole = COMPRESS[kind](json.dumps(list(range(1000))).encode())
    damaged = [whole[:-5], whole[:10], whole[:4], whole[:20] + b"????????" + whole[28:], whole + b"more"]
    for payload in damaged:
        with pytest.raises(UnreadableError, match=kind) as caught:
            plain(payload, MOST)
        assert caught.value.reason == "bad_compression"


def test_a_zstd_frame_that_asks_for_much_memory_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    payload = compressor.compress(EVENT) + compressor.flush()
    with pytest.raises(UnreadableError) as caught:
        plain(payload, MOST)
    assert caught.value.reason == "bad_compression"


text = EVENT.decode()
SHOWN = {
    "UTF-16": [
        text.encode("utf-16"),
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        text.encode("utf-16-be")[:10],
    ],
    "UTF-32": [text.encode("utf-32"), text.encode("utf-32-le"), text.encode("utf-32-be")],
    "Latin-1": ['{"entity": "Düse", "bar": 2.5}'.encode("latin-1"), "Größe;5".encode("latin-1")],
    "line protocol": [
        b"cpu,host=web-1,cpu=cpu0 usage_idle=91.5,usage_user=6.5 1790001000000000000",
        b'weather temperature=82i,note="too hot" 1790001000000000000\nweather temperature=83i',
        b"up value=1",
    ],
    "CSV": [b"pump-7,2026-09-21T14:30:00Z,2.5", b"id;time;value\n7;1;2,5", b'"a","b",5', b"a\t1\t2"],
    "XML": [b'<?xml version="1.0"?><a/>', b"<event><bar>2.5</bar></event>", BOM + b"<a/>"],
    "Avro file": [b"Obj\x01\x04\x14avro.codec"],
    "schema id 17": [b"\x00\x00\x00\x00\x11\x0cpump-7", b"\x00\x00\x00\x00\x11" + EVENT],
    "Parquet": [b"PAR1\x15\x04"],
    "snappy": [b"\x82SNAPPY\x00\x00\x00\x00\x01", b"\xff\x06\x00\x00sNaPpY"],
    "lz4": [b"\x04\x22\x4d\x18\x64"],
    "Python object": [pickle.dumps({"entity": "a"})],
    "Java object": [b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap"],
    "MessagePack": [msgspec.msgpack.encode({"entity": "pump-7", "bar": 2.5})],
    "CBOR": [b"\xa2\x66entity\x66pump-7\x63bar\xf9\x41\x00"],
    "logfmt": [b'level=info ts=2026-09-21T14:30:00Z msg="pump is hot" bar=2.5'],
    "several JSON objects": [EVENT + b"\n" + EVENT, EVENT + EVENT, EVENT + b"\n" + EVENT * 1000],
    "other text behind": [EVENT + b" end"],
    "printed Python object": [b"{'entity': 'pump-7', 'bar': 2.5}", b"[{'a': 1}]", str({"a": ["x" * HEAD]}).encode()],
    "cut off": [EVENT[:-1], EVENT[:8], b'{"a": tr', b"[1, 2,", b'{"a": "' + b"x" * HEAD, b"{"],
    "Prometheus's text": [b"# HELP up 1 if up.\n# TYPE up gauge\nup 1\n"],
}
CASES = [(words, payload) for words, payloads in SHOWN.items() for payload in payloads]


@pytest.mark.parametrize(("words", "payload"), CASES)
def test_a_hint_says_what_a_payload_looks_like(words, payload):
    assert words in hint(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"x",
        b"\x00",
        b"nonsense",
        b"This is a sentence, and it has commas, but no numbers.",
        EVENT,
        b'{"a": NaN}',
        b"[" * 10_000,
        b'{"a": ' + b"1" * 5000 + b"}",
        b"\x08\x96\x01\x12\x07testing",  # protobuf without a header
        bytes(range(1, 256)),
    ],
)
def test_what_is_not_known_gets_no_hint(payload):
    assert hint(payload) == ""


@given(st.binary(max_size=200))
def test_a_hint_never_fails(payload):
    assert isinstance(hint(payload), str)


@given(st.data())
def test_a_hint_never_fails_on_damaged_or_mixed_payloads(data):
    _, payload = data.draw(st.sampled_from(CASES))
    cut = data.draw(st.integers(0, min(len(payload), 200)))
    assert isinstance(hint(payload[:cut] + data.draw(st.binary(max_size=20)) + payload[cut:]), str)
    assert isinstance(hint(data.draw(st.text(alphabet="{}[]\",:=; \t\n'ab1-.<?", max_size=60)).encode()), str)


@given(st.binary(max_size=200), st.sampled_from([b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", BOM, b""]))
def test_any_payload_is_plain_or_said_to_be_damaged(payload, start):
    try:
        result = plain(start + payload, MOST)
    except UnreadableError as error:
        result = error.reason
    assert isinstance(result, bytes) or result in ("bad_compression", "too_large")
