"""The HTTP API: what it answers, and whom it lets in."""

from __future__ import annotations

import socket
import sqlite3
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from streamgauge.jobs.service.access import Access
from streamgauge.jobs.service.answers import Verdict
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.audit import Audit
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import History
from streamgauge.jobs.service.intake import Intake
from streamgauge.jobs.service.outbox import Lease, Outbox
from streamgauge.jobs.service.tables import audit
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.settings.loading import validated
from streamgauge.models.errors import InputError
from streamgauge.udfs.control.feedback import Feedback, FeedbackInForce
from streamgauge.udfs.events.time import rfc3339

from tests.jobs.service.made import START, change, records, said, score
from tests.jobs.service.receiver import Receiver
from tests.jobs.service.telling import SECRET, until
from tests.jobs.service.test_scores import arriving

HERE = "http://127.0.0.1:8080"


def settings(**service):
    with socket.socket() as free:  # nobody listens there
        free.bind(("127.0.0.1", 0))
        return validated({"kafka": {"bootstrap": f"127.0.0.1:{free.getsockname()[1]}"}, "service": service}, "test")


@pytest.fixture
def client(history, database):
    """A service over a history of three incidents; it reads no topics."""
    made = [
        change("a1"),
        change("a2", entity="<b>pump</b>", severity="low"),
        change("a3", kind="drift"),
        change("a3", "resolved", 5, kind="drift"),
    ]
    history.write(records(*made), {})
    return TestClient(application(settings(), database), base_url=HERE, follow_redirects=False)


def test_incidents_are_listed_with_what_came_and_what_was_expected(client):
    answer = client.get("/v1/incidents", params={"state": "open", "severity": "high"}).json()
    assert answer["next"] is None
    [one] = answer["incidents"]
    assert (one["alert_id"], one["entity"], one["field"], one["open"]) == ("a1", "pump-1", "flow", True)
    assert (one["actual"], one["expected"], one["channel"]) == (11.0, 55.0, "level")


def test_pages_of_incidents_follow_each_other(client):
    first = client.get("/v1/incidents", params={"limit": 2}).json()
    second = client.get("/v1/incidents", params={"limit": 2, "cursor": first["next"]}).json()
    assert [one["alert_id"] for page in (first, second) for one in page["incidents"]] == ["a3", "a2", "a1"]
    assert second["next"] is None


def test_the_scores_of_an_entity_are_listed_with_its_threshold(client, history):
    history.write(arriving([score(n, moment=START + n, value=0.25 * n) for n in range(3)]), {})
    found = client.get("/v1/scores", params={"entity": "pump-1", "since": rfc3339(START + 1)}).json()
    assert (found["entity"], found["threshold"], found["whole"]) == ("pump-1", 1e-4, True)
    assert [(one["offset"], one["score"], one["place"]) for one in found["scores"]] == [(1, 0.25, None), (2, 0.5, None)]


def test_without_scores_the_answer_names_the_setting(client):
    answer = client.get("/v1/scores", params={"entity": "pump-1"})
    assert answer.status_code == 404
    assert "output.scores is none; sampled or all turns it on" in answer.json()["detail"]


def test_nothing_is_sent_again_while_nothing_changed(client, history):
    tag = client.get("/v1/incidents").headers["etag"]
    unchanged = client.get("/v1/incidents", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    history.write(records(change("a4"), begin=4), {("alerts", 0): 4})
    assert client.get("/v1/incidents", headers={"If-None-Match": tag}).status_code == 200


def test_the_list_is_sent_again_when_incidents_were_removed_or_others_are_asked_for(client, history):
    history.write(records(change("a4"), begin=4), {("alerts", 0): 4})  # the newest change stays
    tag = client.get("/v1/incidents").headers["etag"]
    assert client.get("/v1/incidents", headers={"If-None-Match": f'"0", W/{tag}'}).status_code == 304
    assert client.get("/v1/incidents?limit=1", headers={"If-None-Match": tag}).status_code == 200
    assert history.forget(START + 1000) == 1
    answer = client.get("/v1/incidents", headers={"If-None-Match": tag})
    assert (answer.status_code, len(answer.json()["incidents"])) == (200, 3)


def test_an_incident_has_its_changes_and_past_ones_like_it(client, history):
    one = client.get("/v1/incidents/a3").json()
    assert [step["state"] for step in one["changes"]] == ["opened", "resolved"]
    assert one["similar"] == []
    later = change("a9", window={"from": "2025-10-10T09:00:00Z", "to": "2025-10-10T09:00:00Z", "anomalous_events": 1})
    history.write(records(later, begin=4), {("alerts", 0): 4})
    assert [past["alert_id"] for past in client.get("/v1/incidents/a9").json()["similar"]] == ["a1"]


def test_an_incident_says_why_it_opened_and_gives_the_values_around_it_only_to_who_asks(client, history):
    one = client.get("/v1/incidents/a1").json()
    assert [field["field"] for field in one["explanation"]["fields"]] == ["flow", "heat"]
    assert one["series"] is None
    asked = client.get("/v1/incidents/a1", params={"include": "series"})
    assert (asked.status_code, "no Kafka broker answers" in asked.json()["detail"]) == (503, True)
    window = {"window": "hour", "from": "2025-10-09T09:00:00Z", "to": "2025-10-09T10:00:00Z"}
    history.write(records(change("a9", aggregate=window), begin=4), {("alerts", 0): 4})
    series = client.get("/v1/incidents/a9", params={"include": "series"}).json()["series"]
    assert (series["field"], series["values"]) == ("flow", [])
    assert "not on the topic any more" in series["missing"]


def test_an_entity_has_counts(client):
    entity = client.get("/v1/entities/pump-1").json()
    assert (entity["incidents"], entity["open"], entity["kinds"]) == (2, 1, {"point": 1, "drift": 1})


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/incidents?severity=great", 422, "severity"),
        ("/v1/incidents?colour=red", 422, "colour"),
        ("/v1/incidents?cursor=abc", 422, "cursor"),
        ("/v1/incidents?limit=0", 422, "limit"),
        ("/v1/incidents?entity=%00", 422, "entity"),
        ("/v1/incidents/none", 404, "'none'"),
        ("/v1/incidents/a1?include=everything", 422, "'series'"),
        ("/v1/incidents/a1?included=series", 422, "included"),
        ("/v1/incidents/%00", 404, "no incident"),
        ("/v1/entities/%27%3B%20DROP%20TABLE%20incidents", 404, "DROP TABLE"),
        ("/v1/quality?weeks=0", 422, "weeks"),
        ("/v1/nothing", 404, "/v1/nothing"),
        ("/v1/score", 405, "Method Not Allowed"),
    ],
)
def test_what_is_wrong_is_said_as_problem_details(client, path, status, words):
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert words in answer.json()["detail"]


def test_feedback_that_cannot_be_sent_is_not_accepted(tmp_path):
    database = connect(None, tmp_path)
    migrate(database)
    History(database, TopicSettings()).write(records(change("a1")), {})
    answer = TestClient(application(settings(), database), base_url=HERE).post(
        "/v1/incidents/a1/feedback", json={"verdict": "false"}
    )
    assert (answer.status_code, "no Kafka broker answers" in answer.json()["detail"]) == (503, True)
    with database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(audit)) == 0


def test_others_can_write_into_the_database_while_kafka_does_not_answer(client, history, database, monkeypatch):
    def send(_, message):
        if database.dialect.name == "sqlite":
            with sqlite3.connect(database.url.database, timeout=0) as other:
                other.execute("UPDATE incidents SET score = 0.5")
        sent.append(message)

    sent = []
    monkeypatch.setattr("streamgauge.jobs.service.api.send_feedback", send)
    assert client.post("/v1/incidents/a1/feedback", json={"verdict": "true"}).status_code == 202
    assert len(sent) == 1


class KilledError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_feedback_of_a_service_that_was_killed_is_sent_and_counts_once(client, history, database, monkeypatch, when):
    sent = []

    def killed(_, message):
        if when == "after":
            sent.append(message)
        raise KilledError

    monkeypatch.setattr("streamgauge.jobs.service.api.send_feedback", killed)
    with pytest.raises(KilledError):
        client.app.state.parts.give_feedback("a1", Verdict(verdict="false", why="a backup ran"), "ann")
    monkeypatch.setattr("streamgauge.jobs.service.intake.send_feedback", lambda _, message: sent.append(message))
    next_service = Intake(settings(), database)
    next_service._send_left()
    assert len(sent) == (when == "after")  # the request may still go on elsewhere
    monkeypatch.setattr("streamgauge.jobs.service.intake.LEFT_AFTER", -1)
    for _ in range(2):
        next_service._send_left()
    assert [message.why for message in sent] == ["a backup ran"] * (1 + (when == "after"))
    history.write(records(*(message.model_dump(mode="json") for message in sent), topic="feedback"), {})
    [said_once] = client.get("/v1/incidents/a1").json()["feedback"]
    assert said_once["verdict"] == "false"
    in_force = FeedbackInForce()
    assert [in_force.take(message) for message in sent] == [True, False][: len(sent)]


def test_feedback_that_still_cannot_be_sent_does_not_stop_the_intake(database):
    number = Audit(database).note("ann", "feedback", {}, Feedback.model_validate(said()).model_dump_json())
    Intake(settings(), database)._send_left()
    assert [kept for kept, _ in Audit(database).unsent(1 << 60)] == [number]


def test_no_feedback_is_sent_that_the_list_of_changes_would_not_show(client, database, monkeypatch):
    sent = []
    monkeypatch.setattr("streamgauge.jobs.service.api.send_feedback", lambda _, message: sent.append(message))
    assert client.post("/v1/incidents/a1/feedback", json={"verdict": "true"}).status_code == 202
    with database.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(audit)) == 1
        audit.drop(connection)
    assert client.post("/v1/incidents/a1/feedback", json={"verdict": "false"}).status_code == 503
    assert [message.verdict for message in sent] == ["true"]


def test_what_a_person_says_now_is_later_than_what_the_history_has_of_them_whatever_clocks_say(
    client, history, monkeypatch
):
    sent = []
    monkeypatch.setattr("streamgauge.jobs.service.api.send_feedback", lambda _, message: sent.append(message))
    ahead = "2100-01-01T00:00:00Z"  # by another machine, whose clock is wrong
    history.write(records(said(by="local", at=ahead), said(by="ben", at=ahead), topic="feedback"), {})
    client.post("/v1/incidents/a1/feedback", json={"verdict": "true"})
    history.write(records(sent[0].model_dump(mode="json"), begin=2, topic="feedback"), {("feedback", 0): 2})
    words = client.get("/v1/incidents/a1").json()["feedback"]
    assert {one["by"]: one["verdict"] for one in words} == {"local": "true", "ben": "false"}


def test_feedback_that_is_not_valid_is_refused(client):
    assert client.post("/v1/incidents/a1/feedback", json={"verdict": "maybe"}).status_code == 422
    assert client.post("/v1/incidents/a1/feedback", json={"verdict": "true", "why": "\0"}).status_code == 422
    assert client.post("/v1/incidents/a1/feedback", json={"verdict": "ignore"}).status_code == 422
    assert client.post("/v1/incidents/none/feedback", json={"verdict": "true"}).status_code == 404


def test_a_large_body_is_refused(client):
    large = client.post("/v1/incidents/a1/feedback", json={"verdict": "true", "why": "x" * 70_000})
    assert large.status_code == 413


def test_a_body_that_comes_in_parts_and_does_not_say_its_length_is_refused(client):
    parts = (b" " * 10_000 for _ in range(100))
    answer = client.post("/v1/incidents/a1/feedback", content=parts, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "a body may have 65536 bytes, and must say its length",
    )


def test_a_name_with_line_ends_is_an_entity_of_its_own(client, history):
    names = ("pump-1\n", "a\nb", "..", "a/../b", "%2F", "\u202egnp.exe", "\U0001f4a7", "x" * 250)
    made = [change(f"b{n}", entity=name) for n, name in enumerate(names)]
    history.write(records(*made, begin=4), {("alerts", 0): 4})
    for name in names:
        path = quote(name, safe="")
        if name not in ("..", "%2F"):  # clients leave the first out of any path, and that of tests decodes twice
            assert client.get(f"/v1/entities/{path}").json()["entity"] == name
            assert client.get(f"/entities/{path}").status_code == 200
        listed = client.get("/v1/incidents", params={"entity": name}).json()["incidents"]
        assert [one["entity"] for one in listed] == [name]


def test_with_a_token_nobody_gets_in_without_one(history, database):
    access = Access(database)
    reader, judge = access.make("reader", ["read"], None), access.make("judge", ["read", "feedback"], 1)
    client = TestClient(application(settings(), database), base_url=HERE)
    assert client.get("/v1/incidents").status_code == 401
    assert client.get("/v1/incidents", headers={"Authorization": "Bearer sg_wrong"}).status_code == 401
    assert client.get("/v1/incidents", headers={"Authorization": f"Basic {reader}"}).status_code == 401
    assert client.get("/v1/incidents", headers={"Authorization": f"Bearer {reader}"}).status_code == 200
    refused = client.post(
        "/v1/incidents/a/feedback", json={"verdict": "true"}, headers={"Authorization": f"Bearer {reader}"}
    )
    assert (refused.status_code, "lacks the scope feedback" in refused.json()["detail"]) == (403, True)
    known = client.post(
        "/v1/incidents/a/feedback", json={"verdict": "true"}, headers={"Authorization": f"Bearer {judge}"}
    )
    assert known.status_code == 404  # let in, but there is no such incident
    access.revoke("reader")
    assert client.get("/v1/incidents", headers={"Authorization": f"Bearer {reader}"}).status_code == 401


def test_without_a_token_only_this_machine_is_served(history, database):
    with pytest.raises(InputError, match="make a token first"):
        application(settings(host="0.0.0.0"), database)
    from_settings = TestClient(application(settings(host="0.0.0.0", token="t" * 20), database), base_url=HERE)
    assert from_settings.get("/v1/incidents").status_code == 401
    assert from_settings.get("/v1/incidents", headers={"Authorization": f"Bearer {'t' * 20}"}).status_code == 200


@pytest.mark.parametrize("address", ["http://127.0.0.1", "http://localhost:8080", "http://[::1]", "http://[::1]:8080"])
def test_this_machine_may_be_called_by_any_of_its_names(database, address):
    client = TestClient(application(settings(), database), base_url=address)
    assert client.get("/v1/incidents").status_code == 200


def test_without_a_token_other_names_of_this_machine_are_refused(history, database):
    client = TestClient(application(settings(), database), base_url="http://evil.example")
    assert client.get("/v1/incidents").status_code == 400


def test_health_metrics_and_readiness(client):
    assert client.get("/healthz").json() == {"status": "alive"}
    waiting = client.get("/readyz")
    assert (waiting.status_code, waiting.json()["detail"]) == (503, "starting")
    client.get("/v1/incidents")
    text = client.get("/metrics").text
    assert 'streamgauge_service_requests_total{method="GET",route="/v1/incidents",status="200"} 1.0' in text
    assert "streamgauge_service_ready 0.0" in text
    for name in ("records", "changes", "failures"):
        assert f"streamgauge_service_{name}_total 0.0" in text


def test_a_failure_that_nobody_expected_is_counted_and_told_without_its_text(client):
    failing = TestClient(client.app, base_url=HERE, raise_server_exceptions=False)
    client.app.state.parts.queries.models = lambda _: {}["sec-ret"]
    answer = failing.get("/v1/models")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["detail"] == "the service failed; its log says why"
    assert answer.headers["x-content-type-options"] == "nosniff"
    counted = 'streamgauge_service_requests_total{method="GET",route="/v1/models",status="500"} 1.0'
    assert counted in client.get("/metrics").text


def test_a_service_tells_a_known_target_of_changes_also_while_kafka_is_away(tmp_path):
    database, receiver = connect(None, tmp_path), Receiver()
    migrate(database)
    Outbox(database, "webhooks.one", Lease()).begin()
    History(database, TopicSettings()).write(records(change("a1")), {})
    targets = {"one": {"url": receiver.url(), "secret": SECRET}}
    with TestClient(application(settings(webhooks=targets), database), base_url=HERE) as client:
        until(lambda: receiver.accepted)
        until(lambda: "Told to webhooks.one</dt><dd>all changes; last at" in client.get("/stream").text)
    receiver.stop()
    assert [heard.id for heard in receiver.heard] == ["a1-opened-0"]
    assert Outbox(database, "webhooks.one", Lease()).hold()  # the service has let go


def test_every_answer_has_the_headers_that_protect_a_browser(client):
    for path in ("/", "/v1/incidents", "/static/live.js", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_description_of_the_api_names_all_its_routes(client):
    described = client.get("/v1/openapi.json").json()
    assert set(described["paths"]) == {
        "/v1/incidents",
        "/v1/incidents/{alert_id}",
        "/v1/incidents/{alert_id}/counterfactual",
        "/v1/incidents/{alert_id}/feedback",
        "/v1/entities/{name}",
        "/v1/notices",
        "/v1/quality",
        "/v1/models",
        "/v1/score",
        "/v1/scores",
        "/v1/stream",
    }
