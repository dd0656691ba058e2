"""Server-sent events over a real port: a stream ends when those who opened it may not read any more."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
import uvicorn
from streamgauge.jobs.service.access import Access
from streamgauge.jobs.service.api import COOKIE
from streamgauge.jobs.service.app import application

from tests.jobs.service.made import change, records
from tests.jobs.service.telling import until
from tests.jobs.service.test_access import end_token
from tests.jobs.service.test_api import settings

WAIT = 30.0  # seconds after which a stream has not ended


@contextlib.contextmanager
def serving(database):
    """A service that listens; its address and its parts."""
    app = application(settings(), database)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", app.state.parts
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def reader(history, database, monkeypatch):
    """A token, and a history with one change."""
    monkeypatch.setattr("streamgauge.jobs.service.feed.CHECK", 0.1)
    history.write(records(change("a1")), {})
    return Access(database).make("reader", ["read"], 1)


def read(address, headers, then):
    """Text of a stream up to its end; `then` is called after the first change. It fails if the stream does not end."""
    text, deadline = "", time.monotonic() + WAIT
    asked = httpx2.stream("GET", f"{address}/v1/stream", headers=headers | {"Last-Event-ID": "0"}, timeout=WAIT)
    with asked as answer:
        assert answer.status_code == 200
        for part in answer.iter_text():
            assert time.monotonic() < deadline, "the stream goes on"
            if "a1" in part and "a1" not in text:
                then()
            text += part
    return text


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_stream_ends_when_its_token_does(database, reader, end):
    with serving(database) as (address, parts):
        text = read(address, {"Authorization": f"Bearer {reader}"}, lambda: end_token(Access(database), database, end))
        until(lambda: parts.feed.listeners == 0)
    assert text.count("event: change") == 1


def test_a_stream_of_the_page_ends_when_its_session_does(database, reader):
    access = Access(database)
    session = access.sign_in(reader)
    with serving(database) as (address, _):
        text = read(address, {"Cookie": f"{COOKIE}={session}"}, lambda: access.sign_out(session))
    assert text.count("event: change") == 1


def test_a_stream_goes_on_while_its_token_lasts(database, history, reader, monkeypatch):
    looks, look = [], Access.of_token
    monkeypatch.setattr(Access, "of_token", lambda *given: looks.append(1) or look(*given))
    with serving(database) as (address, _):

        def then():
            until(lambda: len(looks) > 3)
            history.write(records(change("a2"), begin=1), {("alerts", 0): 1})
            until(lambda: len(looks) > 6)
            Access(database).revoke("reader")

        text = read(address, {"Authorization": f"Bearer {reader}"}, then)
    assert text.count("event: change") == 2


def test_health_is_told_while_all_threads_wait_for_a_database_that_hangs(database, history):
    asked, answers = [], threading.Event()

    def hang(_):
        asked.append(1)
        answers.wait(WAIT)
        return []

    with serving(database) as (address, parts), ThreadPoolExecutor(60) as callers:
        parts.queries.models = hang
        for _ in range(60):
            callers.submit(httpx2.get, f"{address}/v1/models", timeout=2 * WAIT)
        until(lambda: len(asked) >= 40)  # as many threads as there are
        try:
            found = [httpx2.get(f"{address}{path}").status_code for path in ("/healthz", "/readyz", "/metrics")]
        finally:
            answers.set()
    assert found == [200, 503, 200]


def test_a_client_that_has_seen_a_larger_number_than_any_is_told_to_begin_anew(database, history, reader):
    headers = {"Authorization": f"Bearer {reader}", "Last-Event-ID": "1000000"}
    with (
        serving(database) as (address, _),
        httpx2.stream("GET", f"{address}/v1/stream", headers=headers, timeout=WAIT) as answer,
    ):
        lines = answer.iter_lines()
        event = [next(lines) for _ in range(3)]
    assert event == ["id: 1", "event: reset", 'data: {"number": 1}']
