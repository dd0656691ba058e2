"""Settings that are guessed from the records of a topic."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pytest
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.settings.strict_yaml import read
from streamgauge.jobs.studies.guess_settings import as_dict, guess, settings_file
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.settings.event import EventSettings

START = 1_760_000_000_000
DAY = 86_400_000


class Record(NamedTuple):
    """What Kafka gives."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    partition: int = 0
    offset: int = 0
    topic: str = "pump-events"


def records(events, keys=None, partition=lambda n: 0):
    """Records a second apart, with a key each if there are any."""
    keys = keys or [None] * len(events)
    return [
        Record(None if key is None else key.encode(), json.dumps(event).encode(), START + 1000 * n, partition(n), n)
        for n, (event, key) in enumerate(zip(events, keys, strict=True))
    ]


def pumps(n=200, **more):
    """Events of eight pumps; a function gives the value of a further field."""
    random = np.random.default_rng(0)
    return [
        {"pump": f"p{i % 8}", "at": START + 1000 * i, "pressure": random.normal()}
        | {name: value(i) for name, value in more.items()}
        for i in range(n)
    ]


def guessed(found):
    return {choice.key: choice.value for choice in found.choices}


def reason(found, key):
    [why] = [choice.why for choice in found.choices if choice.key == key]
    return why


def of(events, keys=None, **options):
    found = guess(records(events, keys), KafkaSettings(), "pump-events", **options)
    return found, guessed(found)


# ---- the entity ---------------------------------------------------------------------------------------------------------


def test_the_field_that_equals_the_key_is_the_entity():
    events = pumps(site=lambda i: f"s{i % 20}")
    found, keys = of(events, [event["site"] for event in events])
    assert keys["event.entity"] == "site"
    assert "equals the Kafka key in 200 of 200 records" in reason(found, "event.entity")


def test_an_identifier_of_each_record_is_no_entity_even_if_it_is_the_key():
    events = pumps(event_id=lambda i: str(uuid.UUID(int=i)))
    _, keys = of(events, [event["event_id"] for event in events])
    assert keys["event.entity"] == "pump"


def test_a_key_that_never_repeats_but_equals_a_field_is_taken_with_a_warning():
    events = [{"card": f"c{i}", "amount": i / 7} for i in range(50)]
    found, keys = of(events, [event["card"] for event in events])
    assert keys["event.entity"] == "card"
    assert "please check" in reason(found, "event.entity")


def test_a_field_with_one_value_for_each_key_is_the_entity():
    events = pumps(host=lambda i: f"h{i % 5}")
    found, keys = of(events, [f"plant/{event['pump']}" for event in events])
    assert keys["event.entity"] == "pump"
    assert "one value for each of the 8 Kafka keys" in reason(found, "event.entity")


@pytest.mark.parametrize(
    ("more", "entity"),
    [
        ({}, "pump"),
        ({"country": lambda i: f"c{i % 30}"}, "pump"),
        ({"note": lambda i: f"n{i % 90}"}, "pump"),
        ({"pump": lambda i: i % 8}, "pump"),
        ({"pump": lambda i: {"id": i % 8}}, "pump.id"),
        ({"pump": lambda i: None, "who": lambda i: f"w{i % 10}"}, "who"),
        ({"pump": lambda i: None, "number": lambda i: i % 10}, "number"),
    ],
)
def test_without_keys_it_is_a_field_whose_values_repeat(more, entity):
    found, keys = of(pumps(**more))
    assert keys["event.entity"] == entity
    assert "a guess" in reason(found, "event.entity")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"status": lambda i: ("ok", "failed")[i % 2]},
        {"rpm": lambda i: round(1500 + 30 * np.random.default_rng(i).normal())},
        {"flag": lambda i: i % 2 == 0},
        {"order_id": lambda i: i},
        {"empty": lambda i: "" if i % 3 else "x"},
    ],
)
def test_measurements_states_and_identifiers_are_no_entity(more):
    events = [{name: value for name, value in event.items() if name != "pump"} for event in pumps(**more)]
    with pytest.raises(InputError, match=r"no entity can be guessed.*--entity.*pressure \(number, 200 values\)"):
        of(events)


def test_without_a_field_that_names_someone_it_is_the_key_if_keys_repeat():
    events = [{"at": START + 1000 * i, "pressure": i / 7} for i in range(200)]
    found, keys = of(events, [f"p{i % 8}" for i in range(200)])
    assert keys["event.entity"] == "$key"
    assert "(8 different ones)" in reason(found, "event.entity")
    assert "200 events are read from 200 records" in " ".join(found.notes)


def test_a_person_may_name_the_entity():
    events = pumps(site=lambda i: "north")
    assert of(events, entity="site")[1]["event.entity"] == "site"
    with pytest.raises(InputError, match=r"no record has the field 'place' .--entity.; their fields: \"pump\", \"at\""):
        of(events, entity="place")


def test_entities_on_several_partitions_need_another_sharding():
    events = pumps()
    spread = guess(records(events, partition=lambda n: n // 100), KafkaSettings(), "pump-events")
    assert guessed(spread)["batch.sharding"] == "entity"
    nested = [{"a": {"pump": event["pump"]}, "x": 1.5} for event in events]
    spread = guess(records(nested, partition=lambda n: n // 100), KafkaSettings(), "pump-events")
    assert guessed(spread)["batch.sharding"] == "entity"
    assert "8 of 8 entities are on several partitions" in reason(spread, "batch.sharding")


# ---- the event time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "at",
    [
        lambda ms: datetime.fromtimestamp(ms / 1000, UTC).isoformat(),
        lambda ms: datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z"),
        lambda ms: ms,
        lambda ms: ms // 1000,
        lambda ms: ms / 1000,
    ],
)
def test_times_near_kafkas_timestamp_are_the_event_time(at):
    found, keys = of(pumps(at=lambda i: at(START + 1000 * i - 5000)))
    assert keys["event.time"] == "at"
    assert found.roles["at"] == "event time"
    assert "200 events are read from 200 records" in " ".join(found.notes)


def test_of_several_times_the_name_decides_and_the_others_are_not_measured():
    found, keys = of(
        pumps(received=lambda i: START + 1000 * i, birth=lambda i: "1990-05-17", order=lambda i: f"20251009{i:03d}")
    )
    assert keys["event.time"] == "at"
    assert keys["event.ignore"] == ["received"]
    assert found.roles["birth"] == "text"
    assert found.roles["order"] == "number, written as text"


def test_times_far_from_kafkas_timestamp_widen_what_is_allowed():
    found, keys = of(pumps(at=lambda i: START + 1000 * i - 1000 * DAY))
    assert keys["event.max_past"] == "2000 d"
    assert "200 events are read from 200 records" in " ".join(found.notes)
    found, keys = of(pumps(at=lambda i: START + 1000 * i + 3 * DAY))
    assert keys["event.max_future"] == "6 d"


def test_without_times_kafkas_timestamp_counts_even_if_a_field_has_the_default_name():
    found, keys = of([{"pump": event["pump"], "x": event["pressure"]} for event in pumps()])
    assert keys["event.time"] is None
    found, keys = of([{"pump": event["pump"], "ts": "soon"} for event in pumps()])
    assert keys["event.time"] is None
    assert "200 events are read from 200 records" in " ".join(found.notes)


# ---- the other fields and the file --------------------------------------------------------------------------------------


def test_every_field_is_taken_as_something():
    found, keys = of(
        pumps(
            status=lambda i: ("ok", "failed")[i % 2],
            message=lambda i: f"all is well {i}",
            on=lambda i: i % 2 == 0,
            order_id=lambda i: i,
            price=lambda i: f"{i}.50",
            tags=lambda i: [i],
            mixed=lambda i: i if i % 2 else "x",
            motor=lambda i: {"rpm": i},
            nothing=lambda i: None,
        )
    )
    assert found.roles == {
        "pump": "entity",
        "at": "event time",
        "pressure": "number",
        "status": "category",
        "message": "text",
        "on": "number, 0 or 1",
        "order_id": "ignored: holds identifiers, by its name",
        "price": "number, written as text",
        "tags": "not looked at: lists",
        "mixed": "as most of its values: types differ",
        "motor.rpm": "number",
        "nothing": "not looked at: no value",
    }
    assert keys["detectors.first_seen_category"] == {}
    assert keys["event.ignore"] == ["order_id"]
    assert [one["role"] for one in as_dict(found)["fields"]] == list(found.roles.values())


def test_text_that_holds_numbers_is_declared_unless_it_is_read_anyway(tmp_path):
    events = pumps(
        plain=lambda i: f"{i}.5" if i % 9 else "N/A",
        price=lambda i: f"1.{100 + i},50 EUR" if i % 9 else "n/a",
        order_id=lambda i: f"{i}",
        code=lambda i: f"00{i}",
    )
    found, keys = of(events)
    assert keys["event.fields"] == {"price": {"type": "number", "decimal": ",", "thousands": ".", "unit": "EUR"}}
    assert {name: found.roles[name] for name in ("plain", "price", "order_id", "code")} == {
        "plain": "number, written as text",
        "price": "number, as declared",
        "order_id": "ignored: holds identifiers, by its name",
        "code": "text",
    }
    (tmp_path / "detection.yaml").write_text(settings_file(found))
    settings = load(tmp_path / "detection.yaml", {})
    read, _ = Reader(settings.event).read(raw_batch(records(events)))
    assert [value["price"] for value in read.values[:3]] == [None, 1101.5, 1102.5]


def test_the_name_and_the_value_of_a_measurement_become_a_field(tmp_path):
    events = [
        {"host": f"h{i % 4}", "at": START + 1000 * i, "metric": ("cpu", "memory")[i // 4 % 2], "value": i}
        for i in range(200)
    ]
    found, keys = of(events)
    assert (keys["event.metric"], keys["event.value"], keys["event.entity"]) == ("metric", "value", "host")
    assert found.roles["metric"] == "the metric of a measurement"
    (tmp_path / "detection.yaml").write_text(settings_file(found))
    read, _ = Reader(load(tmp_path / "detection.yaml", {}).event).read(raw_batch(records(events)))
    assert (read.values[0]["cpu"], read.values[4]["memory"]) == (0, 4)


def test_records_with_a_schema_are_read_as_the_given_settings_say():
    event = EventSettings.model_validate({"format": "debezium"})
    rows = [{"before": None, "after": pump, "op": "c", "source": {"lsn": 1}, "ts_ms": START} for pump in pumps()]
    found = guess(records(rows), KafkaSettings(), "pump-events", event=event)
    assert (guessed(found)["event.format"], guessed(found)["event.entity"]) == ("debezium", "pump")
    assert "200 events are read from 200 records" in " ".join(found.notes)


def test_the_file_is_accepted_and_every_key_has_its_reason(tmp_path):
    events = pumps(status=lambda i: ("ok", "failed")[i % 2], received=lambda i: START + 1000 * i)
    kafka = KafkaSettings(bootstrap="broker:9092", properties={"client.rack": "open sesame"})
    found = guess(records(events, partition=lambda n: n // 100), kafka, "pump-events")
    file = tmp_path / "detection.yaml"
    file.write_text(settings_file(found))
    loaded = load(file, {})
    assert loaded.kafka.bootstrap == "broker:9092"
    assert loaded.kafka.topics.events == "pump-events"
    assert (loaded.event.entity, loaded.event.time, loaded.event.ignore) == ("pump", "at", ("received",))
    assert loaded.detectors.first_seen_category is not None
    assert loaded.batch.sharding == "entity"
    assert "open sesame" not in file.read_text()
    lines = file.read_text().splitlines()
    keys = [n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    reasons = [n for n in keys if lines[n].rstrip().endswith(":") or lines[n - 1].lstrip().startswith("#")]
    assert reasons == keys


def test_only_keys_that_differ_from_the_defaults_are_written(tmp_path):
    events = [{"entity": event["pump"], "ts": event["at"], "x": event["pressure"]} for event in pumps()]
    found = guess(records(events), KafkaSettings(), "events")
    assert found.choices == []
    assert found.notes[0].startswith('The entity is in the field "entity": a guess')
    (tmp_path / "detection.yaml").write_text(settings_file(found))
    assert load(tmp_path / "detection.yaml", {}) == load(None, {})


@pytest.mark.parametrize(
    "name", ["a\nkafka: {start: earliest}", "a: b # c", "[red]", "ä\u2028b", "yes", "1", "'\"", "."]
)
def test_any_name_of_a_field_stays_a_name(name):
    events = [{name: event["pump"], "x": event["pressure"]} for event in pumps()]
    found, _ = of(events, [event[name] for event in events])
    text = settings_file(found)
    assert read(text, "the file") == {
        "kafka": {"topics": {"events": "pump-events"}},
        "event": {"entity": name, "time": None},
    }


def test_records_that_are_no_events_are_counted():
    good = records(pumps())
    bad = [Record(None, value, START) for value in (b"x", b"[1]", None, b'{"a":NaN}', b"\xff", b'{"x": 1}')]
    found = guess([*good, *bad], KafkaSettings(), "pump-events")
    assert guessed(found)["event.entity"] == "pump"
    assert any(
        "200 events are read from 206 records" in note and "1 records hold no event" in note for note in found.notes
    )


def test_an_empty_topic_and_records_that_are_no_json_are_named():
    with pytest.raises(InputError, match="the topic 'pump-events' is empty"):
        guess([], KafkaSettings(), "pump-events")
    with pytest.raises(
        InputError,
        match=r"none of the 2 newest records.*\(schema id 7\): set event.format",
    ):
        guess([Record(None, b"1", START), Record(None, b"\0\0\0\0\x07avro", START)], KafkaSettings(), "pump-events")


def test_a_topic_with_the_name_of_another_one_is_refused():
    with pytest.raises(SettingsError, match="alerts is used twice"):
        settings_file(guess(records(pumps()), KafkaSettings(), "alerts"))
