"""What others write to the topics of a job ends no command."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from streamgauge.jobs.kafka import follow
from streamgauge.jobs.kafka.cloud_events import alert_of, event_of
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import InputError

ALERT = {
    "type": "io.streamgauge.alert.opened",
    "data": {"alert_id": "a1", "state": "opened", "entity": "pump", "severity": "high"},
}
GARBAGE = [
    *(None, b"", b"no JSON", b"[" * 100_000, b"7", b"[]", b"{}", b'{"type": 1, "data": {}}', b'{"type": "x"}'),
    b'{"type": "x", "data": []}',
]
NO_ALERTS = [
    ALERT | {"data": ALERT["data"] | change}
    for change in ({"alert_id": 7}, {"entity": None}, {"severity": "loud"}, {"severity": []}, {"state": {}})
]


@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_no_event_is_none(value):
    assert event_of(value) is None
    assert alert_of(value) is None


@pytest.mark.parametrize("event", NO_ALERTS, ids=str)
def test_what_is_no_alert_is_none(event):
    assert alert_of(json.dumps(event).encode()) is None


def test_an_alert_is_read():
    assert alert_of(json.dumps(ALERT).encode()) == ALERT


def test_alerts_are_found_beside_records_of_others(monkeypatch):
    values = [*GARBAGE, *(json.dumps(event).encode() for event in NO_ALERTS), json.dumps(ALERT).encode()]
    records = [SimpleNamespace(value=value, timestamp=1000 + k) for k, value in enumerate(values)]
    monkeypatch.setattr(follow, "records_since", lambda *_: iter(records))
    monkeypatch.setattr(follow, "follow_topic", lambda *_: iter([*records, None]))
    assert follow.records_of(KafkaSettings(), "a") == [ALERT]
    assert follow.not_learned(KafkaSettings(), 0) == []
    received = list(follow.follow(KafkaSettings()))
    assert [one and one.alert for one in received] == [ALERT, None]
    with pytest.raises(InputError, match="no alert 'b'"):
        follow.records_of(KafkaSettings(), "b")
