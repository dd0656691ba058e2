"""The page: it shows incidents, escapes what senders wrote, and accepts forms of its own session only."""

from __future__ import annotations

import dataclasses

import pytest
from fastapi.testclient import TestClient
from streamgauge.jobs.service.access import Access, Caller
from streamgauge.jobs.service.api import COOKIE
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.outbox import Lease, Outbox

from tests.jobs.service.made import START, change, record, records, said, score
from tests.jobs.service.telling import webhooks
from tests.jobs.service.test_api import HERE, settings
from tests.jobs.service.test_scores import arriving


@pytest.fixture
def page(history, database):
    """The page over two open incidents, without tokens."""
    hostile = change("a2", entity="<script>alert(1)</script>", severity="low")
    history.write(records(change("a1"), hostile), {})
    return TestClient(application(settings(), database), base_url=HERE, follow_redirects=False)


def test_the_worst_open_incident_is_first_and_texts_of_senders_are_shown_as_text(page):
    text = page.get("/").text
    assert "2 open incidents" in text
    assert text.index("pump-1") < text.index("&lt;script&gt;alert(1)&lt;/script&gt;")
    assert "<script>alert" not in text
    assert page.get("/fragments/now").text in text


@pytest.mark.parametrize("number", [2, 100_000])
def test_a_page_beyond_the_last_one_leads_back_to_that(page, number):
    """Incidents end while somebody looks at a further page."""
    text = page.get(f"/?page={number}").text
    assert "Nothing is open on this page" in text
    assert '<a href="/?page=1" rel="prev">' in text


def test_nothing_open_is_said(history, database):
    text = TestClient(application(settings(), database), base_url=HERE).get("/").text
    assert "Nothing is open" in text
    assert "The history is not up to date: starting" in text


def test_an_incident_shows_what_came_its_changes_and_what_people_said(page, history):
    late = record(said(why="<i>backup</i>"), 0, "feedback")
    history.write([dataclasses.replace(late, timestamp=1 << 62)], {})  # a producer may send any time
    text = page.get("/incidents/a1").text
    for words in ("flow", "11", "55", "levels", "opened", "ann", "&lt;i&gt;backup&lt;/i&gt;", "series.svg"):
        assert words in text
    assert page.get("/incidents/none").status_code == 404


@pytest.mark.parametrize(
    "unread",
    [{"proof": {"new": 1}}, {"source": {"partition": 0, "offset": 5, "opened_offset": None}}],
)
def test_an_incident_is_shown_where_a_message_about_it_cannot_be_judged_such_as_one_of_another_release(
    page, history, unread
):
    assert "Was it right?" in page.get("/incidents/a1").text
    history.write(records(change("a1", "updated", 1, **unread), begin=2), {("alerts", 0): 2})
    answer = page.get("/incidents/a1")
    assert (answer.status_code, "pump-1" in answer.text) == (200, True)
    assert "Nobody can say here" in answer.text


def test_an_entity_and_the_stream_are_shown(page, history):
    notice = {
        "id": "n1",
        "type": "io.streamgauge.schema.added",
        "time": "2025-10-09T09:00:00Z",
        "data": {"rows": "<b>"},
    }
    history.write([record(notice, 0, "notices"), record(b"{", 1, "notices")], {})
    assert "2 incidents" not in page.get("/entities/pump-1").text
    assert "1 incident, 1 open" in page.get("/entities/pump-1").text
    text = page.get("/stream").text
    assert "schema.added" in text
    assert "<b>" not in text
    assert page.get("/entities/nobody").status_code == 404


def test_scores_are_shown_where_there_are_any_and_else_the_setting_is_named(page, history):
    assert "output.scores is none; sampled or all turns it on" in page.get("/entities/pump-1").text
    assert "No scores" in page.get("/incidents/a1/scores.svg").text
    history.write(arriving([score(n, moment=START + n) for n in range(9)]), {})
    for path, image in (
        ("/entities/pump-1", "/scores.svg?entity=pump-1"),
        ("/incidents/a1", "/incidents/a1/scores.svg"),
    ):
        assert image in page.get(path).text
        drawn = page.get(image)
        assert drawn.headers["content-type"] == "image/svg+xml"
        assert "threshold 0.8" in drawn.text
    assert "output.scores is none" in page.get("/incidents/a2").text
    assert page.get("/incidents/none/scores.svg").status_code == 404


def test_the_stream_shows_how_far_each_target_was_told(history, database):
    service = webhooks(on_call="http://127.0.0.1:1/sec-ret", new="http://127.0.0.1:1")
    outbox = Outbox(database, "webhooks.on_call", Lease())
    outbox.begin()
    history.write(records(change("a1"), change("a2"), change("a3")), {})
    outbox.hold()
    first, second, _ = outbox.pending("low", 3)
    outbox.refused(first, "HTTP 400")
    outbox.done(second.number, True)
    outbox.failed("HTTP 500")
    app = application(settings().model_copy(update={"service": service}), database)
    client = TestClient(app, base_url=HERE)
    text = client.get("/stream").text
    line = text.split("Told to webhooks.on_call")[1].split("</dd>")[0]
    for words in ("HTTP 500, since", "changes that wait: 1", "1 refused", "last at"):
        assert words in line
    assert "begins when the history is up to date" in text.split("Told to webhooks.new")[1].split("</dd>")[0]
    assert "sec-ret" not in text
    metrics = client.get("/metrics").text
    assert 'streamgauge_service_deliveries_total{result="failed",target="webhooks.on_call"} 0.0' in metrics


def test_a_form_without_the_word_of_its_session_is_refused(page):
    form = {"verdict": "false", "csrf": "wrong"}
    assert page.post("/incidents/a1/feedback", data=form).status_code == 403
    own = {"verdict": "false", "csrf": Caller("local", frozenset()).csrf}
    assert page.post("/incidents/none/feedback", data=own).status_code == 404  # accepted, but there is no such incident
    assert page.post("/incidents/a1/feedback", data=own | {"verdict": "ignore", "until": "soon"}).status_code == 422


@pytest.mark.parametrize(("site", "status"), [("same-origin", 404), ("same-site", 403), ("cross-site", 403)])
def test_without_a_token_a_form_of_another_site_is_refused(page, site, status):
    form = {"verdict": "false", "csrf": Caller("local", frozenset()).csrf}  # any site can know this word
    answer = page.post("/incidents/none/feedback", data=form, headers={"Sec-Fetch-Site": site})
    assert answer.status_code == status
    assert page.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200  # a link may lead here


@pytest.mark.parametrize(("site", "status"), [("same-origin", 303), ("same-site", 403), ("cross-site", 403)])
def test_another_site_cannot_sign_somebody_in_with_a_token_of_its_own(history, database, site, status):
    token = Access(database).make("mallory", None, None)
    page = TestClient(application(settings(), database), base_url=HERE, follow_redirects=False)
    answer = page.post("/sign-in", data={"token": token}, headers={"Sec-Fetch-Site": site})
    assert answer.status_code == status
    assert ("set-cookie" in answer.headers) == (status == 303)


@pytest.mark.parametrize("sent_as", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_what_other_sites_may_send_without_asking_is_no_feedback_of_a_session(history, database, sent_as):
    session = Access(database).sign_in(Access(database).make("ann", None, None))
    history.write(records(change("a1")), {})
    page = TestClient(application(settings(), database), base_url=HERE, cookies={COOKIE: session})
    headers = {} if sent_as is None else {"Content-Type": sent_as}
    answer = page.post("/v1/incidents/a1/feedback", content=b'{"verdict": "true"}', headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [("/nothing", 404, "nothing at /nothing"), ("/?page=0", 422, "page"), ("/%3Cb%3E", 404, "&lt;b&gt;")],
)
def test_a_browser_gets_a_page_about_what_went_wrong_and_a_program_gets_problem_details(page, path, status, words):
    shown = page.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (shown.status_code, shown.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert words in shown.text
    assert "<b>" not in shown.text
    assert page.get(path).json()["status"] == status
    assert page.get("/v1" + path, headers={"Accept": "text/html"}).json()["status"] == 404


def test_a_token_that_may_not_read_is_told_so_when_it_signs_in(history, database):
    token = Access(database).make("judge", ["feedback"], None)
    page = TestClient(application(settings(), database), base_url=HERE, follow_redirects=False)
    answer = page.post("/sign-in", data={"token": token})
    assert (answer.status_code, "lacks the scope read" in answer.text) == (403, True)
    assert "set-cookie" not in answer.headers


def test_with_tokens_one_signs_in_and_out(history, database):
    access = Access(database)
    token = access.make("ann", ["read"], None)
    history.write(records(change("a1")), {})
    page = TestClient(application(settings(), database), base_url=HERE, follow_redirects=False)
    assert (page.get("/").status_code, page.get("/").headers["location"]) == (303, "/sign-in")
    assert page.post("/sign-in", data={"token": "sg_wrong"}).status_code == 401
    entered = page.post("/sign-in", data={"token": token})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    text = page.get("/incidents/a1").text
    assert 'name="verdict"' not in text  # the token may read only
    csrf = text.split('name="csrf" value="')[1].split('"')[0]
    assert page.post("/incidents/a1/feedback", data={"verdict": "true", "csrf": csrf}).status_code == 403
    assert page.post("/sign-out", data={"csrf": "wrong"}).status_code == 403
    assert page.post("/sign-out", data={"csrf": csrf}).status_code == 303
    assert page.get("/").status_code == 303
