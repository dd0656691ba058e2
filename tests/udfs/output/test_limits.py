"""No record is larger than Kafka takes: what is cut carries a mark, and a record that fits is not changed."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.udfs.output.limits import MOST_BYTES, MOST_ITEMS, MOST_KEY, MOST_TEXT, cut_text, encode, key_of

FILLER = {"filler": {str(k): "x" * 900 for k in range(1_200)}}  # makes a record too large
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def dead_letter(payload, **fields):
    return {"topic": "events", "offset": 7, **fields, "payload": base64.b64encode(payload).decode()}


@given(st.dictionaries(st.text(), VALUES))
def test_a_record_that_fits_is_plain_json(record):
    assert encode(record) == msgspec.json.encode(record)


@pytest.mark.parametrize("missing", [0, 1])
def test_the_largest_record_that_fits_is_not_cut_and_the_next_one_is(missing):
    record = {"text": "x" * (MOST_BYTES - len('{"text":""}') + missing)}
    text = encode(record)
    assert ("cut" in json.loads(text)) == bool(missing)
    assert len(text) <= MOST_BYTES


def test_a_long_text_ends_with_a_mark_and_the_record_says_how_large_it_was():
    record = {"message": "m" * 2_000_000, "short": "as it was"}
    found = json.loads(encode(record))
    assert found == {
        "message": "m" * MOST_TEXT + f"… (+{2_000_000 - MOST_TEXT} characters)",
        "short": "as it was",
        "cut": len(msgspec.json.encode(record)),
    }


def test_long_keys_and_long_lists_are_cut_at_every_depth():
    record = FILLER | {"outer": [{"k" * 5_000: list(range(5_000))}]}
    [(key, items)] = json.loads(encode(record))["outer"][0].items()
    assert key == "k" * MOST_TEXT + "… (+4000 characters)"
    assert items == list(range(MOST_ITEMS))


@pytest.mark.parametrize("size", [800_000, 900_001, 1_000_002])
def test_a_payload_keeps_whole_groups_of_base64_and_says_how_many_bytes_are_missing(size):
    payload = bytes(k % 251 for k in range(size))
    record = dead_letter(payload)
    text = encode(record)
    found = json.loads(text)
    kept = base64.b64decode(found["payload"], validate=True)
    assert len(found["payload"]) % 4 == 0
    assert payload.startswith(kept)
    assert len(kept) + found["payload_bytes_missing"] == size
    assert found["cut"] == len(msgspec.json.encode(record))
    assert MOST_BYTES - 200 < len(text) <= MOST_BYTES
    assert (found["topic"], found["offset"]) == ("events", 7)


def test_a_payload_is_whole_where_cutting_the_other_fields_is_enough():
    payload = b"\x00\xff" * 100_000
    found = json.loads(encode(dead_letter(payload, message="m" * 900_000)))
    assert base64.b64decode(found["payload"], validate=True) == payload
    assert "payload_bytes_missing" not in found
    assert found["message"].endswith("characters)")


def test_a_payload_that_is_no_text_is_kept():
    found = json.loads(encode({"payload": None, "message": "m" * 2_000_000}))
    assert found["payload"] is None
    assert "payload_bytes_missing" not in found


@pytest.mark.parametrize("character", ["x", "\x00"])  # in JSON, a control character has six bytes
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("payload", [{}, {"payload": "AAAA" * 300_000}])
def test_a_record_that_is_too_large_after_the_first_cut_is_cut_again(character, depth, payload):
    values = {f"k{k}": character * 1_100 for k in range(1_100)}
    for _ in range(depth - 1):
        values = [values] * 3
    record = {"topic": "events", "values": values} | payload
    text = encode(record)
    assert len(text) <= MOST_BYTES
    found = json.loads(text)
    assert found["topic"] == "events"
    assert found["cut"] == len(msgspec.json.encode(record))


def test_a_key_is_cut_with_a_mark():
    assert key_of("entity") == "entity"
    assert key_of("e" * (MOST_KEY + 5)) == "e" * MOST_KEY + "… (+5 characters)"
    assert cut_text("abcdef", 3) == "abc… (+3 characters)"
    assert cut_text("abc", 3) == "abc"


CHARACTERS = st.sampled_from(["x", "é", "€", "😀", '"', "\x00"])  # one to six bytes each in JSON
LONG = st.builds(lambda character, size: character * size, CHARACTERS, st.sampled_from([0, 1_001, 400_000]))


@st.composite
def large(draw):
    """Many texts in a list or an object, in lists or objects."""
    text = draw(CHARACTERS) * draw(st.integers(0, 1_500))
    many = draw(st.sampled_from([2, 100, 1_100]))
    value = [text] * many if draw(st.booleans()) else {f"{k}{text}": draw(LEAVES) for k in range(min(many, 100))}
    for _ in range(draw(st.integers(0, 2))):
        value = [value] * 3 if draw(st.booleans()) else {"a": value, "b": value}
    return value


@settings(max_examples=30)
@given(st.dictionaries(st.text() | LONG, VALUES | LONG | large(), max_size=4), st.none() | st.integers(0, 1_500_000))
def test_whatever_the_record_it_is_never_larger_than_the_limit(record, payload):
    if payload is not None:
        record = record | {"payload": base64.b64encode(bytes(payload)).decode()}
    text = encode(record)
    assert len(text) <= MOST_BYTES
    json.loads(text)
