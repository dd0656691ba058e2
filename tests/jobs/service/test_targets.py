"""What targets are told: labels, times and texts for Alertmanager, signed requests for webhooks."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from streamgauge.jobs.service.targets import LASTS, Change, labels, sentence, targets_of
from streamgauge.jobs.settings.loading import load, validated
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.events.time import epoch_milliseconds, rfc3339

from tests.jobs.service.made import START, change
from tests.jobs.service.telling import SECRET, webhooks

ROOT = Path(__file__).parents[3]
PAGE, CONF = ROOT / "docs" / "service.md", ROOT / "flink-conf" / "detection.yaml"


def made(state="opened", minute=0, first=None, before=None, **more):
    """A change as the history gives it."""
    message = change(state=state, minute=minute, **more)
    data = message["data"]
    shares = (first or data)["contributions"]
    field = max(shares, key=shares.__getitem__) if shares else None
    time = START + 60_000 * minute
    return Change(7, message["id"], "a1", state, time, data, START, field, first or data, before)


def alertmanager(**service):
    settings = validated({"service": {"alertmanagers": {"main": {"url": "http://h:9093/am/"}}} | service}, "test")
    return targets_of(settings.service)[0]


def alerts_of(change, **service):
    message = alertmanager(**service).message(change)
    assert (message.url, message.headers) == ("http://h:9093/am/api/v2/alerts", {"Content-Type": "application/json"})
    return json.loads(message.body)


def test_an_incident_is_an_alert_with_its_labels_and_what_came_and_was_expected():
    group = {"id": "g1", "incidents": 2, "root": {}}
    source = change()["data"]["source"]
    [alert] = alerts_of(made(group=group, source=source), address="https://page.example.com/")
    assert alert["labels"] == {
        "alertname": "StreamgaugeIncident",
        "incident": "a1",
        "entity": "pump-1",
        "kind": "point",
        "severity": "high",
        "group": "g1",
        "stream": "events",
    }
    assert alert["annotations"] == {"summary": "pump-1: flow was 11, expected was 55"}
    assert alert["generatorURL"] == "https://page.example.com/incidents/a1"
    assert alert["startsAt"] == rfc3339(START)
    ahead = epoch_milliseconds(alert["endsAt"]) - time.time() * 1000
    assert 0 < ahead <= LASTS


def test_without_an_address_no_link_is_told():
    assert "generatorURL" not in alerts_of(made())[0]


@pytest.mark.parametrize("state", ["resolved", "retracted"])
def test_an_incident_that_ended_is_an_alert_that_ended(state):
    [alert] = alerts_of(made(state, 5))
    assert alert["endsAt"] == rfc3339(START + 300_000)


def test_an_end_is_never_in_the_future_and_never_before_the_beginning():
    far = int(time.time() * 1000) + 86_400_000
    minute = (far - START) // 60_000
    [ahead] = alerts_of(made("resolved", minute))
    assert epoch_milliseconds(ahead["endsAt"]) <= time.time() * 1000
    [behind] = alerts_of(made("resolved", -5))
    assert behind["endsAt"] == behind["startsAt"]


def test_where_the_labels_change_the_alert_with_the_old_ones_ends():
    before = made()
    old, new = alerts_of(made("updated", 3, before.data, before.data, severity="critical", kind="drift"))
    assert (old["labels"]["severity"], new["labels"]["severity"], new["labels"]["kind"]) == (
        "high",
        "critical",
        "drift",
    )
    assert epoch_milliseconds(old["endsAt"]) <= time.time() * 1000 < epoch_milliseconds(new["endsAt"])
    assert len(alerts_of(made("updated", 3, before.data, before.data))) == 1


def test_an_incident_without_a_group_is_its_own():
    assert labels(made(), made().data)["group"] == "a1"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"expected": {"flow": None}}, "pump-1: flow was 11, what was expected is not known"),
        ({"contributions": {}, "rules": ["hot", "loud"]}, "pump-1 broke the rules hot, loud"),
        ({"contributions": {}}, "pump-1 is unusual"),
        ({"actual": {"flow": "left"}, "expected": {}}, "pump-1: flow was left, what was expected is not known"),
        ({"actual": {"flow": 1 / 3}, "expected": {"flow": 1e9}}, "pump-1: flow was 0.3333, expected was 1e+09"),
    ],
)
def test_a_sentence_says_what_came_and_what_was_expected(more, words):
    assert sentence(made(**more)) == words


def test_a_sentence_is_about_the_event_that_opened_the_incident():
    later = made("updated", 3, made().data, actual={"flow": 54.0}, contributions={"heat": 1.0})
    assert sentence(later) == "pump-1: flow was 11, expected was 55"


def test_a_webhook_gets_the_change_signed_as_the_page_of_the_documents_checks_it():
    [target] = targets_of(webhooks(on_call="https://h/x"))
    message = target.message(made("resolved", 5))
    body = json.loads(message.body)
    assert (body["type"], body["timestamp"]) == ("incident.resolved", rfc3339(START + 300_000))
    assert body["data"]["alert"] == change(state="resolved", minute=5)["data"]
    assert body["data"]["summary"] == "pump-1: flow was 11, expected was 55"
    assert (message.headers["Webhook-Id"], message.headers["Webhook-Event"]) == ("a1-resolved-5", "incident.resolved")
    [code] = re.findall(r"```python\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(code, names)
    is_genuine, headers = names["is_genuine"], message.headers
    assert is_genuine(headers, message.body, SECRET)
    assert not is_genuine(headers, message.body + b" ", SECRET)
    assert not is_genuine(headers | {"Webhook-Id": "a2"}, message.body, SECRET)
    assert not is_genuine(headers | {"Webhook-Signature": "v1,\u00e4"}, message.body, SECRET)
    assert not is_genuine(headers, message.body, SECRET.replace("c3", "c4"))
    old = str(int(headers["Webhook-Timestamp"]) - 1000)
    assert not is_genuine(headers | {"Webhook-Timestamp": old}, message.body, SECRET)


def test_an_id_of_any_characters_fits_into_a_header():
    [target] = targets_of(webhooks(on_call="https://h/x"))
    hostile = made()
    hostile = Change(7, "a.\r\nX: \u4e2d", *[getattr(hostile, name) for name in Change.__slots__[2:]])
    assert target.message(hostile).headers["Webhook-Id"] == "a%2E%0D%0AX%3A%20%E4%B8%AD"


def test_a_webhook_without_a_secret_is_refused_when_the_service_starts():
    settings = validated({"service": {"webhooks": {"on_call": {"url": "https://h/x"}}}}, "test").service
    with pytest.raises(InputError, match=r"service\.webhooks\.on_call\.secret is null.*__ON_CALL__SECRET"):
        targets_of(settings)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"webhooks": {"a": {"url": "ftp://sec-ret"}}}, "service.webhooks.a.url: allowed is .*https://HOST/PATH"),
        ({"webhooks": {"a": {"url": "http://u:sec-ret@h:port"}}}, "service.webhooks.a.url: allowed is"),
        ({"webhooks": {"a": {"secret": "sec-ret"}}}, "service.webhooks.a.url: must be given"),
        ({"webhooks": {"a": {"url": "http://h", "secret": "sec-ret"}}}, "a.secret: allowed is whsec_ and 24 to 64"),
        ({"webhooks": {"a": {"url": "http://h", "secret": "whsec_c2VjLXJldA=="}}}, "a.secret: allowed is whsec_"),
        ({"webhooks": {"a": "http://sec-ret"}}, "service.webhooks.a: "),
        ({"webhooks": "http://sec-ret"}, "service.webhooks: "),
        ({"webhooks": [{"url": "http://sec-ret"}]}, "service.webhooks: "),
        (
            {"alertmanagers": {"a": {"uri": "http://sec-ret"}}},
            r"a.uri: there is no such key .did you mean url\?.; allowed here: url, severity",
        ),
        ({"alertmanagers": "http://sec-ret"}, "service.alertmanagers: "),
        ([{"webhooks": {"a": {"url": "http://sec-ret"}}}], "service: "),
        ({"webhooks": {"On-Call": {"url": "http://sec-ret"}}}, "service.webhooks.On-Call"),
        ({"address": "example.com"}, "service.address: allowed is .* .is hidden"),
        ({"alertmanagers": {"a": {"url": "http://h", "severity": "great"}}}, "severity: .*'critical' .is 'great'"),
    ],
)
def test_a_wrong_target_is_named_without_its_secrets(service, words):
    with pytest.raises(SettingsError, match=words) as refused:
        validated({"service": service}, "test")
    assert "sec-ret" not in str(refused.value)


def test_a_target_can_be_named_by_variables_alone():
    beginning = "STREAMGAUGE__SERVICE__WEBHOOKS__ON_CALL__"
    given = {"URL": "https://h/x", "SECRET": SECRET, "SEVERITY": "high"}
    service = load(CONF, {beginning + name: value for name, value in given.items()}).service
    assert [target.name for target in targets_of(service)] == ["webhooks.on_call"]
    assert service.webhooks["on_call"].severity == "high"
