"""The preview scores the past of a topic as the job does, and its page shows what came."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.pages.backtest_page import page
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import Backtest, backtest
from streamgauge.jobs.studies.judging import openings
from streamgauge.jobs.studies.preview import Past, TopicSource, figures_of, notes, preview
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.records import RawBatch

START, FIRST = 1_767_571_200_000, 5_000  # time, and offset, of the first record
EVENT = {"event": {"entity": "pump", "time": "at"}}


def events(n=4000):
    """Events of four pumps, a minute apart, with faults at 3,000 and later."""
    random = np.random.default_rng(1)
    found = []
    for i in range(n):
        fault = 3000 <= i < 3040
        motor = {"rpm": round(random.normal(1500, 50), 2)}
        found.append({"pressure": round(random.normal(4, 0.5), 4) + 9 * fault, "motor": motor, "pump": f"p{i % 4}"})
        found[-1]["at"] = START + 60_000 * i
    return found


def past(values, partitions=1, gap=1, **more):
    """A topic with these events: pump n is on partition n modulo their number. With a gap, only some offsets have a record."""
    places = np.array([i % 4 % partitions for i in range(len(values))])
    offsets = np.empty(len(values), np.int64)
    for number in range(partitions):
        mine = places == number
        offsets[mine] = FIRST + gap * np.arange(mine.sum())
    payloads = [value if isinstance(value, bytes) else msgspec.json.encode(value) for value in values]
    stamps = START + 60_000 * np.arange(len(values)) + 500
    return Past("pumps", RawBatch(payloads, places, offsets, stamps), partitions, **more)


def alerts_of(result):
    return [json.loads(alert)["data"] for alert in result.alerts]


def test_it_finds_what_a_backtest_of_the_same_events_finds(tmp_path):
    (tmp_path / "pumps.jsonl").write_text("\n".join(map(json.dumps, events())))
    settings = Settings.model_validate(EVENT)
    [of_file] = backtest([tmp_path / "pumps.jsonl"], settings, Columns("pump", "at"))
    result = preview(past(events()), settings)
    np.testing.assert_array_equal(result.scores, of_file.scores)
    assert result.entities == of_file.entities
    assert result.times.tolist() == of_file.times.tolist()
    assert [one.row for one in openings(result)] == [one.row for one in openings(of_file)]
    assert any(one.row in range(3000, 3040) for one in openings(result))


@pytest.mark.parametrize("sharding", ["partition", "entity"])
def test_alerts_name_the_offsets_of_the_topic_and_lead_to_their_rows(sharding):
    values = events()
    result = preview(past(values, 3, gap=2), Settings.model_validate(EVENT | {"batch": {"sharding": sharding}}))
    alerts = alerts_of(result)
    assert alerts
    for data in alerts:
        row = result.row_of(data["source"])
        assert values[row]["pump"] == data["entity"]
        assert (result.partitions[row], result.offsets[row]) == (data["source"]["partition"], data["source"]["offset"])
        assert data["source"]["topic"] == "pumps"


def test_records_that_are_no_events_stay_in_the_count():
    values = events()
    values[10], values[20] = b"x", b'{"at": 1}'
    result = preview(past(values), Settings.model_validate(EVENT))
    assert result.entities[10] == result.entities[20] == ""
    assert result.times[10] == START + 600_500
    assert result.counts["dead_letters.not_json"] == result.counts["dead_letters.no_entity"] == 1
    figures = figures_of(past(values), result)
    assert figures["events"] == len(values)
    assert figures["entities"] == 4


def test_settings_that_fit_no_record_are_refused_with_the_reason():
    with pytest.raises(InputError, match=r"4000 dead_letters.no_entity.*event.entity is 'entity'.*streamgauge init"):
        preview(past(events()), Settings())


def test_the_page_shows_the_incidents_on_the_series_of_the_topic():
    topic, settings = past(events(), 2), Settings.model_validate(EVENT)
    result = preview(topic, settings)
    html = page(TopicSource(topic, settings.event), [result], settings, "Preview", notes(topic, result, settings, "7d"))
    assert "<h1>Preview: pumps</h1>" in html
    assert html.count("data:image/png") == len({(one.entity, one.top_field) for one in openings(result)})
    for one in openings(result):
        assert f"<td>{result.partitions[one.row]}/{result.offsets[one.row]}</td>" in html
    assert "decide.promise" in html


def test_the_values_of_a_series_are_those_of_the_records():
    values = events()
    values[10] = b"x"
    settings = Settings.model_validate({"event": EVENT["event"] | {"rename": {"pressure": "bar"}}})
    read = TopicSource(past(values), settings.event).values(0, {"bar", "motor.rpm", "absent"})
    wanted = [np.nan if i == 10 else event["pressure"] for i, event in enumerate(values)]
    np.testing.assert_array_equal(read["bar"], wanted)
    assert read["motor.rpm"][11] == values[11]["motor"]["rpm"]
    assert np.isnan(read["absent"]).all()


def test_promised_and_opened_incidents_are_those_of_the_whole_topic():
    topic, settings = past(events(), 2), Settings.model_validate(EVENT)
    figures = figures_of(topic, preview(topic, settings))
    assert figures["promised_a_day"] == pytest.approx(1.0)
    assert figures["days"] == pytest.approx(4000 / 1440, rel=0.1)
    opened = sum(of["opened"] for of in figures["by_age"].values())
    assert figures["opened_a_day"] == pytest.approx(opened / figures["days"], rel=0.01)
    assert figures["incidents"] >= opened > 0


def test_a_reader_is_told_what_was_cut_and_what_differs_from_the_job():
    cut, unread = past(events(100), cut=True), ["nothing of an event is looked at"]
    result = Backtest([], np.empty(0), np.empty(0, np.int64), None, remarks=unread)
    told = " ".join(notes(cut, result, Settings.model_validate({"batch": {"sharding": "entity"}}), "7d"))
    assert "Only the newest 100, since 2026-01-05T00:00:00.500Z, were scored." in told
    assert "over 2 shards" in told
    assert "nothing of an event is looked at" in told
    assert "Cut" not in " ".join(notes(past(events(100)), result, Settings(), "7d"))
