"""The page of the stream: what is not looked at, what was set aside, how long alerts took, and what is not known."""

from __future__ import annotations

import dataclasses

import pytest
from fastapi.testclient import TestClient
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.stream import Unjudged, latency, left_out, unjudged

from tests.jobs.service.made import START, change, letter, record, records, report, schema
from tests.jobs.service.test_api import HERE, settings


def shown(database, **given):
    """Text of the page, and its service."""
    app = application(settings().model_copy(update=given), database)
    return TestClient(app, base_url=HERE).get("/stream").text, app


def test_what_is_not_known_is_said(database):
    text, _ = shown(database)
    for words in (
        "not known: Kafka does not answer, or was not asked yet",
        "not known: no checkpoint of the job is known",
        "not known: no alert about an event came yet",
        "not known: the job has reported nothing yet",
        "None that the service has read.",
    ):
        assert words in text


def test_a_topic_that_cannot_be_read_is_named(database):
    app = application(settings(), database)
    app.state.parts.intake.status.absent = ("dead-letters",)
    text = TestClient(app, base_url=HERE).get("/stream").text
    assert "What is on dead-letters is not counted" in text
    assert "What is on late is not counted" not in text


def test_what_was_set_aside_is_shown_as_text(history, database):
    history.write(records(letter(7, message="<i>bad</i>", raw=b"<script>"), topic="dead-letters"), {})
    history.write(records({"topic": "events", "partition": 0, "offset": 3, "late_by_ms": 1000}, topic="late"), {})
    text, _ = shown(database)
    for words in ("not_json", "&lt;i&gt;bad&lt;/i&gt;", "&lt;script&gt;", "partition 0, offset 7", "see above: 1"):
        assert words in text
    assert "<i>bad" not in text


def test_fields_that_are_not_looked_at_are_told_with_the_remedy_of_the_job(history, database):
    told = [
        schema("added", "flow", "new field 'flow' (number)"),
        schema("added", "tags", "new field 'tags' (list)", 1),
        schema("added", "name", "new field 'name' (text)", 2),
        schema("added", "flag", "new field 'flag' (ignored)", 3),
        schema("retyped", "heat", "field 'heat' held numbers, now str: counted as missing. See event.fields", 4),
        schema("vanished", "heat", "field 'heat' vanished", 5),
        schema("unread", "", "an event has no field beside entity and time", 6),
    ]
    history.write(records(*told, topic="notices"), {})
    assert [one.field for one in left_out(database)] == ["", "heat", "flag", "tags"]
    assert [one.why.partition(":")[0] for one in left_out(database)[2:]] == [
        "it holds neither numbers nor text",
        "it holds lists",
    ]
    text, _ = shown(database)
    for words in ("field heat", "See event.fields", "events without a field that is looked at", "field tags"):
        assert words in text
    assert "field flow" not in text


def test_a_field_that_many_partitions_told_of_hides_no_other_one(history, database):
    told = [schema("retyped", "heat", "field 'heat' held numbers, now str", 1 + n) for n in range(150)]
    told = [one | {"id": f"heat-{n}"} for n, one in enumerate(told)]
    history.write(records(schema("added", "tags", "new field 'tags' (list)"), *told, topic="notices"), {})
    assert [(one.field, one.time) for one in left_out(database)] == [("heat", START + 150 * 60_000), ("tags", START)]


def test_ignored_fields_of_the_settings_are_told(database):
    event = settings().event.model_copy(update={"ignore": ("debug.*",)})
    assert "fields debug.*" in shown(database, event=event)[0]


def test_events_that_were_not_judged_are_summed_over_the_reports_of_the_newest_day(history, database):
    assert unjudged(database) is None
    history.write(records(report(0, 1), report(1, 2), report(0, -1440), topic="notices"), {})
    assert unjudged(database) == Unjudged(40_000, 200, START + 60_000)
    assert "200 of 40000" in shown(database)[0]


@pytest.mark.parametrize(("of", "events"), [("1_000", 1_000), (True, 1)])
def test_a_number_of_a_report_in_an_odd_form_does_not_hide_the_page(history, database, of, events):
    history.write(records(report(0, 1, of=of), topic="notices"), {})
    assert unjudged(database) == Unjudged(events, 100, START + 60_000)


def test_the_latency_is_that_of_alerts_about_events(history, database):
    assert latency(database) is None
    late = {"a1": 100, "a2": 300, "a3": 200}
    silence = {name: value for name, value in change("a4")["data"].items() if name != "threshold"}
    window = change("a5", aggregate={"window": "hour", "from": "2025-10-09T09:00:00Z", "to": "2025-10-09T10:00:00Z"})
    made = [record(change(name), n) for n, name in enumerate(late)]
    made = [dataclasses.replace(one, timestamp=START + took) for one, took in zip(made, late.values(), strict=True)]
    made += records(change("a4") | {"data": silence}, window, begin=3)
    history.write(made, {})
    found = latency(database)
    assert (found.alerts, found.middle) == (3, 0.2)
    assert 0.2 < found.most <= 0.3
    assert "0.2 s in the middle" in shown(database)[0]
