"""What would not have opened an incident: it is found out once, one incident after the other, and no failure stops the service."""

from __future__ import annotations

import contextlib
import threading

import pytest
from fastapi.testclient import TestClient
from streamgauge.jobs.service import explanations as module
from streamgauge.jobs.service.access import Access, Caller
from streamgauge.jobs.service.api import COOKIE
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.explanations import KEPT, MOST_WAITING, Explanations
from streamgauge.jobs.service.history import History
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.studies.explain import Explanation
from streamgauge.models.errors import ClusterError, InputError

from tests.jobs.service.made import change, records
from tests.jobs.service.telling import until
from tests.jobs.service.test_api import HERE, settings


def found(*conditions, notes=()):
    return Explanation({}, notes=list(notes), counterfactuals=list(conditions))


class Scorer:
    """Explains what it is told to, when it may; it notes what it was asked."""

    def __init__(self, **answers):
        self.asked, self.may, self._answers = [], threading.Event(), answers

    def __call__(self, _, alert_id, say):
        self.asked.append(alert_id)
        say(2_000, 5_000)
        assert self.may.wait(60)
        say(5_000, 5_000)
        answer = self._answers.get(alert_id, found(f"{alert_id} <= 240"))
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextlib.contextmanager
def working(scorer):
    explanations = Explanations(settings(), scorer)
    explanations.start()
    try:
        yield explanations
    finally:
        scorer.may.set()
        explanations.stop()


def ended(explanations, alert_id):
    until(lambda: explanations.known(alert_id).state in ("done", "failed"))
    return explanations.known(alert_id)


def test_an_incident_waits_runs_and_is_explained_once():
    scorer = Scorer()
    with working(scorer) as explanations:
        assert explanations.known("a") is None
        for one in ("a", "b", "a", "b"):
            explanations.ask(one)
        until(lambda: explanations.known("a").scored)
        running = explanations.known("a")
        assert (running.state, running.scored, running.events) == ("running", 2_000, 5_000)
        assert explanations.known("b").state == "waiting"
        scorer.may.set()
        assert ended(explanations, "b").conditions == ["b <= 240"]
        assert explanations.ask("a").conditions == ["a <= 240"]
        assert scorer.asked == ["a", "b"]


def test_more_than_the_limit_do_not_wait_and_one_that_waits_is_still_answered():
    explanations = Explanations(settings(), Scorer())  # it is not started
    for n in range(MOST_WAITING):
        assert explanations.ask(f"a{n}").state == "waiting"
    assert explanations.ask("more") is None
    assert explanations.known("more") is None
    assert explanations.ask("a0").state == "waiting"


def test_the_newest_answers_are_kept():
    scorer = Scorer()
    scorer.may.set()
    with working(scorer) as explanations:
        for n in range(KEPT + 2):
            explanations.ask(f"a{n}")
            ended(explanations, f"a{n}")
        assert [explanations.known(f"a{n}") is None for n in (0, 1, 2, KEPT + 1)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("the message is no longer on alerts"), "the message is no longer on alerts"),
        (ClusterError("no Kafka broker answers"), "no Kafka broker answers"),
        (KeyError("sec-ret"), "KeyError; the log of the service says why"),
        (MemoryError(), "MemoryError; the log of the service says why"),
    ],
)
def test_a_failure_is_told_the_next_one_is_explained_and_it_is_tried_again_later(error, words, monkeypatch):
    scorer = Scorer(a=error)
    scorer.may.set()
    with working(scorer) as explanations:
        explanations.ask("a")
        failed = ended(explanations, "a")
        assert (failed.state, failed.message) == ("failed", words)
        assert explanations.ask("a") == failed  # many pages may ask at the same time
        explanations.ask("b")
        assert ended(explanations, "b").state == "done"
        monkeypatch.setattr(module, "AGAIN", 0.0)
        assert explanations.ask("a").state == "waiting"
        ended(explanations, "a")
        assert scorer.asked == ["a", "b", "a"]


def test_the_end_of_the_service_ends_what_runs_and_what_waits():
    asked = []

    def endless(_, alert_id, say):
        asked.append(alert_id)
        while True:
            say(1, 2)

    explanations = Explanations(settings(), endless)
    explanations.start()
    explanations.ask("a")
    until(lambda: explanations.known("a").state == "running")
    for n in range(MOST_WAITING):
        explanations.ask(f"b{n}")
    explanations.stop()
    explanations._thread.join(60)
    assert not explanations._thread.is_alive()
    assert asked == ["a"]


@pytest.fixture
def database(tmp_path):
    """A history with an incident whose texts are hostile."""
    engine = connect(None, tmp_path)
    migrate(engine)
    window = {"window": "hour", "from": "2025-10-09T09:00:00Z", "to": "2025-10-09T10:00:00Z"}
    made = [change("a1"), change("<b>"), change("a2", aggregate=window), *(change(f"b{n}") for n in range(9))]
    History(engine, TopicSettings()).write(records(*made), {})
    yield engine
    engine.dispose()


@pytest.fixture
def scorer(monkeypatch):
    """What the service explains incidents with."""
    made = Scorer(a1=found("<i>flow</i> <= 240", notes=["<u>retention</u>"]), a2=InputError("<s>nothing</s>"))
    monkeypatch.setattr(module, "scored_again", made)
    return made


@pytest.fixture
def service(database, scorer):
    """A service that explains; it reads no topics."""
    client = TestClient(application(settings(score=True), database), base_url=HERE, follow_redirects=False)
    explanations = client.app.state.parts.explanations
    explanations.start()
    yield client
    scorer.may.set()
    explanations.stop()


def form(service, alert_id="a1", csrf=None):
    own = Caller("local", frozenset()).csrf if csrf is None else csrf
    return service.post(f"/incidents/{alert_id}/counterfactual", data={"csrf": own})


def test_the_api_says_202_until_it_is_found(service, scorer):
    first = service.get("/v1/incidents/a1/counterfactual")
    assert (first.status_code, first.json()["state"] in ("waiting", "running")) == (202, True)
    until(lambda: service.get("/v1/incidents/a1/counterfactual").json()["scored"] == 2_000)
    scorer.may.set()
    until(lambda: service.get("/v1/incidents/a1/counterfactual").status_code == 200)
    assert service.get("/v1/incidents/a1/counterfactual").json() == {
        "alert_id": "a1",
        "state": "done",
        "scored": 5_000,
        "events": 5_000,
        "conditions": ["<i>flow</i> <= 240"],
        "notes": ["<u>retention</u>"],
        "message": None,
    }
    assert scorer.asked == ["a1"]


def test_the_api_refuses_what_is_not_there_and_what_is_too_much(service):
    assert service.get("/v1/incidents/none/counterfactual").status_code == 404
    service.get("/v1/incidents/a1/counterfactual")
    until(lambda: service.app.state.parts.explanations.known("a1").state == "running")
    asked = [service.get(f"/v1/incidents/b{n}/counterfactual") for n in range(MOST_WAITING + 1)]
    assert [answer.status_code for answer in asked] == [202] * MOST_WAITING + [429]
    assert asked[-1].headers["content-type"] == "application/problem+json"
    assert int(asked[-1].headers["retry-after"]) > 0
    assert form(service, f"b{MOST_WAITING}").status_code == 429


def test_the_page_asks_at_the_press_of_a_button_and_shows_texts_as_text(service, scorer):
    text = service.get("/incidents/a1").text
    assert ("Find out" in text, "data-again" in text, scorer.asked) == (True, False, [])
    assert form(service, csrf="wrong").status_code == 403
    assert form(service, "none").status_code == 404
    pressed = form(service)
    assert (pressed.status_code, pressed.headers["location"]) == (303, "/incidents/a1?find=true#counterfactual")
    until(lambda: "2000 of 5000 events are scored again" in service.get("/incidents/a1?find=true").text)
    assert "data-again" in service.get("/fragments/incidents/a1/counterfactual").text
    scorer.may.set()
    until(lambda: "data-again" not in service.get("/fragments/incidents/a1/counterfactual").text)
    for path in ("/fragments/incidents/a1/counterfactual", "/incidents/a1"):
        text = service.get(path).text
        assert "&lt;i&gt;flow&lt;/i&gt; &lt;= 240" in text
        assert "&lt;u&gt;retention&lt;/u&gt;" in text
        assert "Find out" not in text


def test_the_page_says_why_it_failed_and_offers_to_try_again(service, scorer):
    scorer.may.set()
    form(service, "a2")  # an incident of aggregates may be asked for, too
    until(lambda: "Try again" in service.get("/incidents/a2").text)
    assert "&lt;s&gt;nothing&lt;/s&gt;" in service.get("/incidents/a2").text
    form(service, "%3Cb%3E")
    until(lambda: "&lt;b&gt; &lt;= 240" in service.get("/incidents/%3Cb%3E").text)


def test_another_service_than_the_one_that_was_asked_goes_on(service, scorer):
    """With several behind a load balancer, the page and what it asks for may come from different ones."""
    assert "data-again" in service.get("/incidents/a1?find=true").text
    assert service.get("/fragments/incidents/b1/counterfactual").status_code == 200
    scorer.may.set()
    until(lambda: scorer.asked == ["a1", "b1"])


def test_without_the_setting_the_page_names_command_and_setting_and_the_api_the_setting(database):
    client = TestClient(application(settings(), database), base_url=HERE)
    for alert_id in ("a1", "a2"):
        text = client.get(f"/incidents/{alert_id}").text
        assert f"streamgauge explain {alert_id}" in text
        assert "service.score: true" in text
        assert "Find out" not in text
    answer = client.get("/v1/incidents/a1/counterfactual")
    assert (answer.status_code, "service.score is false" in answer.json()["detail"]) == (501, True)
    assert form(client).status_code == 501
    assert client.get("/incidents/a1?find=true").status_code == 200


def test_only_who_may_read_asks(database, scorer):
    access = Access(database)
    reader, judge = access.make("reader", ["read"], None), access.make("judge", ["feedback"], None)
    client = TestClient(application(settings(score=True), database), base_url=HERE, follow_redirects=False)

    def status(token):
        headers = {"Authorization": f"Bearer {token}"}
        return client.get("/v1/incidents/a1/counterfactual", headers=headers).status_code

    assert [status(token) for token in ("none", judge, reader)] == [401, 403, 202]
    client.cookies.set(COOKIE, access.sign_in(reader))
    csrf = client.get("/incidents/a2").text.split('name="csrf" value="')[1].split('"')[0]
    assert form(client, "a2").status_code == 403
    assert form(client, "a2", csrf).status_code == 303
    client.cookies.clear()
    assert form(client, "a2", csrf).headers["location"] == "/sign-in"
    assert client.app.state.parts.explanations.known("a2").state == "waiting"


def test_what_is_asked_is_counted_like_other_requests(database):
    client = TestClient(application(settings(limits={"requests": "2 per day"}), database), base_url=HERE)
    asked = [client.get("/v1/incidents/a1/counterfactual").status_code for _ in range(3)]
    assert asked == [501, 501, 429]
    assert form(client).status_code == 429
