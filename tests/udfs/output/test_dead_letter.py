"""Records that were set aside say where they came from, why, and what they held."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.udfs.events import payload as payload_module
from streamgauge.udfs.events.records import WHOLE, DeadLetter, Events
from streamgauge.udfs.output.dead_letter import (
    INTERNAL,
    MOST_MESSAGE,
    dead_letter,
    internal_letter,
    late_event,
    place_of,
)
from streamgauge.udfs.output.limits import MOST_BYTES

from tests.streams import batch

BROKEN = b'{"entity": \xff'


def raised(function, *arguments):
    """The error that a call raises, with its traceback."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  each test checks the error itself
        function(*arguments)
    return caught.value


def test_a_dead_letter_is_plain_json_with_its_place_its_reason_and_its_bytes():
    raw = batch([b"{}", BROKEN], partition=3, offset=40)
    key, text = dead_letter(raw, DeadLetter(1, "not_json", "at byte 11"), "events")
    assert key == "events-3-41"
    assert text == msgspec.json.encode(
        {
            "topic": "events",
            "partition": 3,
            "offset": 41,
            "reason": "not_json",
            "message": "at byte 11",
            "payload": base64.b64encode(BROKEN).decode(),
        }
    )


def test_a_record_without_a_value_has_no_payload():
    _, text = dead_letter(batch([None]), DeadLetter(0, "empty", "no value"), "events")
    assert json.loads(text)["payload"] is None


def one_event(entity, place):
    return Events(np.array([0]), [{"x": 1}], [entity], np.array([0]), np.array([place]))


def test_one_late_event_of_many_in_a_record_is_written_by_itself():
    """Not the whole record, which would be written as often as it has late events."""
    key, text = late_event(batch([b"[...]"], offset=9), one_event("pump", 7), 0, "events", 1234)
    found = json.loads(text)
    assert (key, found["offset"], found["place"]) == ("pump", 9, 7)
    assert json.loads(base64.b64decode(found["payload"])) == {"x": 1}


def test_one_unreadable_event_of_many_in_a_record_is_written_by_itself():
    letter = DeadLetter(0, "no_entity", "none", 3, {"x": 5})
    key, text = dead_letter(batch([b"[...]"], offset=9), letter, "events")
    assert key == "events-0-9-3"
    assert json.loads(base64.b64decode(json.loads(text)["payload"])) == {"x": 5}


def test_a_late_event_has_the_key_of_its_entity():
    key, text = late_event(batch([b"{}"], offset=9), one_event("pump", WHOLE), 0, "events", 1234)
    assert key == "pump"
    assert text == msgspec.json.encode(
        {"topic": "events", "partition": 0, "offset": 9, "entity": "pump", "late_by_ms": 1234, "payload": "e30="}
    )


def test_an_unexpected_error_names_its_stage_its_type_and_the_start_of_its_message():
    error = raised(payload_module.flatten, {"a": {"b": 1}}, None)
    _, text = internal_letter(batch([BROKEN], offset=5), 0, "events", error)
    found = json.loads(text)
    assert (found["reason"], found["stage"], found["error"]) == (INTERNAL, "events", "AttributeError")
    assert found["message"] == str(error)
    assert base64.b64decode(found["payload"]) == BROKEN
    long = json.loads(internal_letter(batch([b"{}"]), 0, "events", ValueError("m" * 999))[1])
    assert long["message"] == "m" * MOST_MESSAGE


def test_the_place_of_an_error_is_the_room_and_the_innermost_line_in_this_package():
    error = raised(payload_module.flatten, {"a": {"b": 1}}, None)
    room, place = place_of(error)
    file, line = place.rsplit(":", 1)
    assert room == "events"
    assert file == "udfs/events/payload.py"
    lines = Path(payload_module.__file__).read_text().splitlines()
    assert "names" in lines[int(line) - 1]  # the limit of names was None


def test_the_place_of_an_error_from_elsewhere_is_not_known():
    assert place_of(raised(int, "x")) == ("unknown", "unknown")
    assert place_of(ValueError("never raised")) == ("unknown", "unknown")


def test_a_library_below_a_folder_of_ours_is_not_ours(tmp_path):
    library = tmp_path / "udfs" / "lib" / "site-packages" / "other.py"
    library.parent.mkdir(parents=True)
    library.write_text("raise ValueError('not ours')\n")
    program = compile(library.read_text(), str(library), "exec")
    assert place_of(raised(exec, program, {"__name__": "other"})) == ("unknown", "unknown")


@pytest.mark.parametrize("above", ["udfs", "models", "models/udfs/models", "jobs"])
@pytest.mark.parametrize(
    ("module", "file", "expected"),
    [
        ("streamgauge.udfs.events.payload", "udfs/events/payload.py", ("events", "udfs/events/payload.py:2")),
        ("streamgauge.models.detectors.entity.cusum", "models/detectors/entity/cusum.py", None),
        ("streamgauge.models.catalog", "models/catalog.py", ("models", "models/catalog.py:2")),
        ("streamgauge.udfs.events", "udfs/events/__init__.py", ("events", "udfs/events/__init__.py:2")),
        ("streamgauge.jobs.kafka.topics", "jobs/kafka/topics.py", ("unknown", "unknown")),
        ("streamgauge.udfs.events.records", "<string>", ("unknown", "unknown")),  # what a dataclass generates
    ],
)
def test_the_folders_above_a_checkout_do_not_matter(above, module, file, expected):
    program = compile("\nraise ValueError", file if file == "<string>" else f"/home/{above}/{file}", "exec")
    found = place_of(raised(exec, program, {"__name__": module}))
    assert found == (expected or ("detectors", f"{file}:2"))


@settings(max_examples=20)
@given(st.sampled_from([0, 1, 749_000, 751_000, 1_000_000]), st.text(), st.integers(0, 2_000_000))
def test_whatever_the_record_its_dead_letter_fits_and_what_is_left_of_it_can_be_decoded(size, message, more):
    payload = b"\x00\xffa" * (size // 3)
    raw = batch([payload])
    for key, text in (
        dead_letter(raw, DeadLetter(0, "not_json", message + "m" * more), "t" * min(more, 5_000)),
        internal_letter(raw, 0, "t", ValueError(message * 100)),
        late_event(raw, one_event(message + "e" * more, WHOLE), 0, "t", sys.maxsize),
    ):
        assert len(text) <= MOST_BYTES
        assert isinstance(key, str)
        assert payload.startswith(base64.b64decode(json.loads(text)["payload"], validate=True))


def test_a_long_topic_gives_a_key_that_is_cut():
    key, _ = dead_letter(batch([b"{}"]), DeadLetter(0, "not_json", ""), "t" * 5_000)
    assert key.startswith("t" * 1_000 + "… (+")
