"""`streamgauge init` and `streamgauge preview` on topics of the real cluster."""

from __future__ import annotations

import json
import os
import subprocess
import time

import numpy as np
import pytest
from streamgauge.jobs.settings.loading import load

from tests.integration.live import STREAMGAUGE, Live, streamgauge

N = 3000


def refused(*arguments):
    """The message of a command that ends with exit code 2."""
    command = [STREAMGAUGE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 2, done.stdout + done.stderr
    return " ".join(done.stderr.split())


@pytest.fixture
def pumps(cluster, tmp_path):
    """A topic with the last three days of six pumps: a minute apart, one fault, and some bytes that are no JSON."""
    live = Live(cluster, tmp_path)
    random, begin = np.random.default_rng(0), int(time.time() * 1000) - 60_000 * (N + 5)
    for i in range(N):
        stamp, pump = begin + 60_000 * i, f"pump-{i % 6}"
        value = {"pump": pump, "at": stamp, "pressure": random.normal(4, 0.5) + 40 * (i == 2500), "mode": "ab"[i % 2]}
        live.producer.send(live.topics.events, json.dumps(value).encode(), pump.encode(), timestamp_ms=stamp)
    live.producer.send(live.topics.events, b"no JSON", b"pump-0", timestamp_ms=begin + 60_000 * N)
    live.producer.flush()
    return live


def test_init_writes_settings_with_which_preview_finds_the_fault(pumps, cluster, tmp_path):
    topic, file, page = pumps.topics.events, tmp_path / "detection.yaml", tmp_path / "preview.html"
    init = ("init", "--topic", topic, "--bootstrap", cluster.bootstrap, "--out", file)
    found = json.loads(streamgauge(*init, "--json"))
    assert {one["name"]: one["role"] for one in found["fields"]} == {
        "pump": "entity",
        "at": "event time",
        "pressure": "number",
        "mode": "category",
    }
    settings = load(file, {})
    assert (settings.kafka.bootstrap, settings.kafka.topics.events) == (cluster.bootstrap, topic)
    assert (settings.event.entity, settings.event.time) == ("pump", "at")
    assert "--force" in refused(*init)
    streamgauge(*init, "--force")

    alerts = tmp_path / "alerts.jsonl"
    look = ("preview", "--settings", file, "--page", page, "--alerts", alerts, "--json")
    figures = json.loads(streamgauge(*look, "--last", "7d"))
    assert figures["events"] == N + 1
    assert figures["dead_letters.not_json"] == 1
    assert figures["entities"] == 6
    assert not figures["cut"]
    opened = [json.loads(line)["data"] for line in alerts.read_text().splitlines()]
    assert any(data["entity"] == "pump-4" and data["actual"]["pressure"] > 30 for data in opened)
    assert f"<h1>Preview: {topic}</h1>" in page.read_text()

    part = json.loads(streamgauge(*look, "--last", "10h"))
    assert 590 <= part["events"] <= 601
    assert not part["cut"]
    cut = json.loads(streamgauge(*look, "--last", "7d", "--most", 1000))
    assert cut["cut"]
    assert cut["events"] == 1000
    assert "Only the newest 1000, since" in page.read_text()


def test_topics_that_give_nothing_are_named(cluster, tmp_path):
    live = Live(cluster, tmp_path)
    topic, at = live.topics.events, ("--bootstrap", cluster.bootstrap, "--out", tmp_path / "new.yaml")
    assert f"the topic '{topic}' is empty" in refused("init", "--topic", topic, *at)
    assert "there is no topic 'nowhere'" in refused("init", "--topic", "nowhere", *at)
    assert "has no record since" in refused("preview", "--settings", live.file)
    assert "there is no topic 'nowhere'" in refused("preview", "--topic", "nowhere", "--settings", live.file)
    live.send([("a", b"no JSON")])
    assert "holds an event; the last one: JSON is malformed" in refused("init", "--topic", topic, *at)
    live.send([(None, {"x": i / 7}) for i in range(20)])
    assert "no entity can be guessed" in refused("init", "--topic", topic, *at)
    assert "none of the 21 records" in refused("preview", "--settings", live.file)
