"""The service on real topics: what the job finds is on the page, what people say reaches the job, and killing it loses nothing."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from kafka import KafkaProducer
from playwright.sync_api import Page, expect
from sqlalchemy import select
from streamgauge.jobs.kafka.clients import client_options
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import History
from streamgauge.jobs.service.rpc.streamgauge_pb2 import ListIncidentsRequest
from streamgauge.jobs.service.rpc.streamgauge_pb2_grpc import StreamgaugeStub
from streamgauge.jobs.service.tables import changes, feedback, incidents, metadata, offsets, scores

from tests.browser import chromium, opened
from tests.integration.live import PATIENCE, STREAMGAUGE, Live, events, streamgauge
from tests.jobs.service.made import START, change, records, score
from tests.jobs.service.postgresql_server import PostgreSqlServer
from tests.jobs.service.receiver import Receiver
from tests.jobs.service.redis_server import RedisServer
from tests.jobs.service.telling import SECRET


@contextmanager
def service(live: Live, home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running service, by its address and process. It is stopped at the end, if it still runs."""
    command = [STREAMGAUGE, "serve", "--settings", str(live.file), "--home", str(home), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "400"})
    try:
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            found = re.search(r"http://[\w.:]+", line)
            if found:
                break
        else:
            raise AssertionError(seen)
        yield found[0], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def call(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Call the HTTP API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read()) if "json" in answer.headers["Content-Type"] else answer.read().decode()


def wait_for(found: Any) -> Any:
    """What `found` returns, as soon as it is true."""
    end = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return result


def test_an_anomaly_is_on_the_page_and_a_verdict_given_there_reaches_the_job(cluster, tmp_path):
    live = Live(cluster, tmp_path, track=200, output={"scores": "all"}, service={"score": True})
    usual = [("pump", {"entity": "pump", "x": float(n % 7)}) for n in range(300)]
    with live.job(), service(live, tmp_path) as (address, _), chromium() as browser:
        with opened(browser, address) as watched:
            watched.page.goto("/")
            live.send(events(4_000))
            live.send(usual)
            live.send([("pump", {"entity": "pump", "x": 1e9})])
            found = wait_for(lambda: call(address, "/v1/incidents?entity=pump&severity=high")["incidents"])
            one = found[0]["alert_id"]
            assert found[0]["actual"] == 1e9
            watched.page.locator(f"a[href='/incidents/{one}']").click(timeout=1_000 * PATIENCE)
            place = watched.page.locator("#counterfactual")
            place.get_by_role("button", name="Find out").click()
            expect(place).to_contain_text("x <= ", timeout=1_000 * PATIENCE)
            judge(live, watched.page, one, usual)
        again = call(address, f"/v1/incidents/{one}/counterfactual")
        assert (again["state"], again["conditions"][0].startswith("x <= ")) == ("done", True)
        assert "<polyline" in call(address, f"/incidents/{one}/series.svg")
        series = call(address, f"/v1/incidents/{one}?include=series")["series"]
        assert (len(series["values"]) >= 2, series["missing"]) == (True, None)
        assert wait_for(lambda: "threshold" in call(address, f"/incidents/{one}/scores.svg"))
        assert call(address, "/v1/scores?entity=pump")["scores"]
        assert call(address, f"/v1/incidents/{one}/feedback", {"verdict": "true", "why": "test"})["by"] == "local"
        said = wait_for(lambda: verdicts(address, one, "true"))
        assert (said[0]["by"], said[0]["verdict"], said[0]["why"]) == ("local", "true", "test")
        quality = call(address, "/v1/quality")
        assert quality["promised"] > 0
        assert quality["entities"]["known"] == 21
        assert wait_for(lambda: re.search(r"events/s come in\.\s+The job has \d+ events", call(address, "/")))
        with urllib.request.urlopen(address + "/v1/stream", timeout=PATIENCE) as stream:
            live.send([("motor", {"entity": "motor", "x": float(n % 7)}) for n in range(300)])
            live.send([("motor", {"entity": "motor", "x": -1e9})])
            lines = iter(stream.readline, b"")
            told = next(json.loads(line[5:]) for line in lines if line.startswith(b"data:") and b"motor" in line)
        assert (told["entity"], told["state"]) == ("motor", "opened")
        assert wait_for(lambda: "streamgauge_service_ready 1.0" in call(address, "/metrics"))


def judge(live: Live, page: Page, alert_id: str, usual: list[Any]) -> None:
    """Press "wrong" on the page of an incident. The page shows the verdict as it comes back, and then what the job reports of it."""
    page.get_by_label("Note").fill("a test")
    page.get_by_role("button", name="Wrong").click()
    expect(page.get_by_role("status")).to_contain_text('Your verdict "wrong" is on its way')
    expect(page.get_by_text("local: wrong")).to_be_visible(timeout=1_000 * PATIENCE)
    [record] = live.read(live.topics.feedback)
    sent = json.loads(record.value)
    assert (sent["alert_id"], sent["verdict"], sent["by"], sent["why"]) == (alert_id, "false", "local", "a test")
    live.send(usual)  # so that the job reports on the partition
    answer = page.get_by_text("these verdicts are in force: right 0, wrong 1, ignore 0")
    expect(answer).to_be_visible(timeout=1_000 * PATIENCE)


def verdicts(address: str, alert_id: str, verdict: str) -> list[dict[str, Any]]:
    """What people said of an incident, if one of them gave this verdict."""
    said: list[dict[str, Any]] = call(address, f"/v1/incidents/{alert_id}")["feedback"]
    return said if any(one["verdict"] == verdict for one in said) else []


def test_the_service_answers_over_grpc_and_scores_events_with_what_the_topic_taught(cluster, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    live = Live(cluster, tmp_path, service={"grpc_port": port, "score": True})
    live.send([("pump", {"entity": "pump", "x": float(n % 7)}) for n in range(300)])
    live.send([("pump", {"entity": "pump", "x": 1e9})])
    with service(live, tmp_path) as (address, _), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        health, serving = HealthStub(channel), HealthCheckResponse.SERVING
        wait_for(lambda: health.Check(HealthCheckRequest(), wait_for_ready=True, timeout=PATIENCE).status == serving)
        asked = {"events": [{"entity": "pump", "x": 3.0}, {"entity": "pump", "x": -1e9}, {"entity": "motor", "x": 1.0}]}

        def score():
            with suppress(urllib.error.HTTPError):  # the topic has not been read yet
                return call(address, "/v1/score", asked)
            return {"warm": False}

        answer = wait_for(lambda: (found := score())["warm"] and found)
        assert answer["replayed"] == 301
        assert [event["known"] for event in answer["events"]] == [301, 301, 0]
        assert [event["anomalous"] for event in answer["events"]] == [False, True, False]
        assert [event["field"] for event in answer["events"]][1] == "x"
        assert not StreamgaugeStub(channel).ListIncidents(ListIncidentsRequest(), timeout=PATIENCE).incidents


def made_changes() -> list[bytes]:
    """Messages of 700 incidents: one comes again, and one cannot be read."""
    made = [
        change(
            f"a{n % 700}", "opened" if n < 700 else "updated" if n < 1400 else "resolved", n // 700, entity=f"e{n % 50}"
        )
        for n in range(2_100)
    ]
    raw = [json.dumps(message).encode() for message in made]
    raw[1000:1000] = [raw[10], b"not json"]
    return raw


@pytest.mark.slow
def test_a_service_that_is_killed_again_and_again_leaves_the_same_tables(cluster, tmp_path):
    live, raw = Live(cluster, tmp_path), made_changes()
    choose, home = random.Random(7), tmp_path / "home"
    home.mkdir()
    with KafkaProducer(**client_options(live.settings.kafka), linger_ms=2) as producer:
        sent = 0
        for _ in range(5):
            with service(live, home) as (_, process):
                upto = min(len(raw), sent + choose.randint(100, 400))
                for value in raw[sent:upto]:
                    producer.send(live.topics.alerts, value, partition=0)
                sent = upto
                producer.flush()
                time.sleep(choose.random())
                process.kill()
        for value in raw[sent:]:
            producer.send(live.topics.alerts, value, partition=0)
        producer.flush()
    engine = connect(None, home)
    with service(live, home):
        wait_for(lambda: position(engine, live.topics.alerts) == len(raw))
    assert tables(engine) == undisturbed(f"sqlite:///{tmp_path / 'undisturbed.db'}", live, raw)


@pytest.mark.slow
def test_the_service_postgresql_and_redis_are_killed_twenty_times_and_the_tables_are_the_same(cluster, tmp_path):
    raw, choose = made_changes(), random.Random(11)
    with TemporaryDirectory(prefix="streamgauge-postgresql-") as folder, ExitStack() as started:
        postgresql, redis = PostgreSqlServer(Path(folder)), RedisServer(tmp_path)
        started.callback(postgresql.kill)
        started.callback(redis.kill)
        url = postgresql.database()
        live = Live(cluster, tmp_path, service={"database": url, "redis": redis.url})
        producer = started.enter_context(KafkaProducer(**client_options(live.settings.kafka), linger_ms=2))
        _, process = started.enter_context(service(live, tmp_path))
        for kill, part in enumerate(np.array_split(np.arange(len(raw)), 20)):
            for at in part:
                producer.send(live.topics.alerts, raw[at], partition=0)
            producer.flush()
            time.sleep(0.5 * choose.random())
            if kill % 4 == 3:
                process.kill()
                _, process = started.enter_context(service(live, tmp_path))
            else:
                server = choose.choice((postgresql, redis))
                server.kill()
                time.sleep(choose.random())
                server.start()
        engine = connect(url, tmp_path)
        started.callback(engine.dispose)
        wait_for(lambda: position(engine, live.topics.alerts) == len(raw))
        assert tables(engine) == undisturbed(postgresql.database(), live, raw)


@pytest.mark.slow
def test_scores_are_there_once_after_a_kill_and_the_service_is_ready_while_they_come(cluster, tmp_path):
    live, sent, enough = Live(cluster, tmp_path, output={"scores": "all"}), [0], threading.Event()

    def flow(producer: KafkaProducer) -> None:
        while not enough.wait(0.02):
            value = json.dumps(score(sent[0] // 2, moment=START + sent[0] // 2)).encode()  # each comes twice
            producer.send(live.topics.scores, value, partition=0).get(PATIENCE)
            sent[0] += 1

    with KafkaProducer(**client_options(live.settings.kafka)) as producer:
        flowing = threading.Thread(target=flow, args=(producer,))
        flowing.start()
        try:
            with service(live, tmp_path) as (address, process):
                wait_for(lambda: "streamgauge_service_ready 1.0" in call(address, "/metrics"))
                wait_for(lambda: scores_of(address))
                process.kill()
            with service(live, tmp_path) as (address, _):
                wait_for(lambda: "streamgauge_service_ready 1.0" in call(address, "/metrics"))
                enough.set()
                flowing.join()
                engine = connect(None, tmp_path)
                wait_for(lambda: position(engine, live.topics.scores) == sent[0])
        finally:
            enough.set()
            flowing.join()
    with engine.connect() as connection:
        found = list(connection.scalars(select(scores.c.offset).order_by(scores.c.offset)))
    engine.dispose()
    assert found == list(range(-(-sent[0] // 2)))


def scores_of(address: str) -> Any:
    with suppress(urllib.error.HTTPError):  # there is none yet
        return call(address, "/v1/scores?entity=pump-1")["scores"]


def undisturbed(url: str, live: Live, raw: list[bytes]) -> dict[str, list[Any]]:
    """The tables of a history that nothing has disturbed."""
    engine = connect(url, Path())
    migrate(engine)
    History(engine, live.topics).write(records(*raw, topic=live.topics.alerts), {})
    found = tables(engine)
    engine.dispose()
    return found


def position(engine: Any, topic: str) -> int | None:
    with engine.connect() as connection:
        return connection.scalar(select(offsets.c.next).where((offsets.c.topic == topic) & (offsets.c.partition == 0)))


def tables(engine: Any) -> dict[str, list[Any]]:
    """All rows of the tables that follow from topics, the changes in the order of their numbers.

    When a record arrived is left out. So are the numbers themselves: only their order is promised, and a message that comes
    again uses one up.
    """
    with engine.connect() as connection:
        rows = {
            table.name: sorted(map(repr, connection.execute(select(*(c for c in table.c if c.name != "arrived")))))
            for table in (incidents, feedback, metadata.tables["unreadable"], offsets)
        }
        told = connection.execute(select(*(c for c in changes.c if c.name != "number")).order_by(changes.c.number))
        return rows | {"changes": list(map(repr, told))}


def test_a_webhook_is_told_what_is_new_and_what_came_while_the_service_was_away(cluster, tmp_path):
    receiver = Receiver()
    live = Live(cluster, tmp_path, service={"webhooks": {"one": {"url": receiver.url(), "secret": SECRET}}})
    with KafkaProducer(**client_options(live.settings.kafka)) as producer:

        def send(message: dict[str, Any]) -> str:
            producer.send(live.topics.alerts, json.dumps(message).encode(), partition=0).get(PATIENCE)
            return str(message["id"])

        send(change("past"))
        with service(live, tmp_path) as (address, _):
            wait_for(lambda: "Told to webhooks.one</dt><dd>all changes" in call(address, "/stream"))
            told = [send(change("a1"))]
            wait_for(lambda: len(receiver.accepted) == 1)
        told.append(send(change("a2")))
        with service(live, tmp_path):
            wait_for(lambda: len(receiver.accepted) == 2)
    receiver.stop()
    assert [heard.id for heard in receiver.heard] == told


def test_tokens_are_made_listed_and_revoked(cluster, tmp_path):
    live = Live(cluster, tmp_path)
    options = ("--settings", live.file, "--home", tmp_path)
    token = streamgauge("token", "create", "ann", "--scope", "read", *options).strip()
    assert token.startswith("sg_")
    assert [one["name"] for one in json.loads(streamgauge("token", "list", "--json", *options))] == ["ann"]
    with service(live, tmp_path) as (address, _):
        request = urllib.request.Request(address + "/v1/incidents", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.loads(answer.read())["incidents"] == []
    streamgauge("token", "revoke", "ann", *options)
    assert json.loads(streamgauge("token", "list", "--json", *options)) == []
