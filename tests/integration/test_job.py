"""The job on a real Kafka and a real Flink cluster."""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
import urllib.request
from typing import Any

import pytest
from streamgauge.models.catalog import ONLINE
from streamgauge.models.detectors.channel.levels import Levels
from streamgauge.udfs.scoring.channels import FIELDS

from tests.integration.live import PATIENCE, Live, events, together, values
from tests.udfs.events.test_reader import DEAD


def test_two_jobs_on_the_same_taskmanagers_in_both_modes_equal_the_pipeline_in_process(cluster, tmp_path):
    live = Live(cluster, tmp_path)  # thread mode, RocksDB
    other = Live(cluster, tmp_path, job={"execution": "process", "state_backend": "heap"})
    with together(live, other) as (job, _):
        live.send(events(4000))
        other.send(events(1500, seed=3))
        expected = live.expected()
        scores = live.at_least(live.topics.scores, len(expected.scores))
        alerts = live.at_least(live.topics.alerts, len(expected.alerts))
        expected_of_other = other.expected()
        assert values(other.at_least(other.topics.scores, len(expected_of_other.scores))) == expected_of_other.scores
        assert values(other.at_least(other.topics.alerts, len(expected_of_other.alerts))) == expected_of_other.alerts
        assert expected_of_other.alerts
        metrics = _metrics(live, job)
        prometheus = _prometheus(cluster)
    assert values(scores) == expected.scores
    assert len(expected.scores) == 4000
    assert values(alerts) == expected.alerts
    assert len(expected.alerts) > 20
    assert all(r.key.decode() == json.loads(r.value)["data"]["entity"] for r in alerts)
    assert metrics["events"] == metrics["scored"] + metrics["unjudged"] == 4000
    opened = sum(json.loads(a)["data"]["state"] == "opened" for a in expected.alerts)
    assert metrics["alerts.opened"] == opened
    assert metrics["step_us.total"] > 0
    assert "operator_events{" in prometheus
    assert 'operator_name="score"' in prometheus
    tasks = set(re.findall(r'task_name="([^"]+)"', prometheus))
    heads = {"events", "control", "feedback", "messages", "score", "groups", "all notices"}
    assert {task.partition(" -> ")[0] for task in tasks} == heads
    assert max(map(len, tasks)) <= 200


def _metrics(live, job):
    """The operator's metrics, as the Flink UI gets them, as soon as they agree: values of one answer may differ in age."""
    deadline, found = time.monotonic() + PATIENCE, {}
    while time.monotonic() < deadline:
        found = _metrics_now(live, job)
        if found.get("events") == found.get("scored", 0) + found.get("unjudged", 0) == 4000:
            return found
        time.sleep(0.5)
    raise AssertionError(f"metrics {found}, and Flink says {live.rest.call(f'/jobs/{job}/exceptions')}")


def _metrics_now(live, job):
    [vertex] = [v for v in live.rest.call(f"/jobs/{job}")["vertices"] if v["name"].startswith("score ")]
    path = f"/jobs/{job}/vertices/{vertex['id']}/metrics"
    names = [m["id"] for m in live.rest.call(path) if ".score." in m["id"]]
    answer = [m for i in range(0, len(names), 20) for m in live.rest.call(f"{path}?get={','.join(names[i : i + 20])}")]
    return {m["id"].split(".score.")[1]: float(m["value"]) for m in answer}


def _prometheus(cluster):
    text = ""
    for offset in (1, 2):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{cluster.ports['prometheus'] + offset}/metrics", timeout=120
        ) as answer:
            text += answer.read().decode()
    return text


def test_every_detector_runs_in_the_job_by_settings_alone(cluster, tmp_path):
    detectors: dict[str, dict[str, Any]] = {name: {} for name in ONLINE} | {
        "slow_drift": {"span": 20, "warmup": 100},
        "relations": {"streams": ["fields", "records"]},
    }
    live = Live(cluster, tmp_path, detectors=detectors)
    hour = (int(time.time()) // 3600 - 1) * 3_600_000  # all events within one hour, so there is no season to learn
    # all entities have the field "shared" in common, so that they are peers
    usual = [
        (key, event | {"ts": hour + 250 * i, "site": f"s{i % 5}", "shared": i // 60 % 40 + i % 3 / 9})
        for i, (key, event) in enumerate(events(12_000, entities=60))
    ]
    with live.job():
        live.send(usual)
        expected = live.expected()
        scores = live.until(live.topics.scores, lambda r: len(r) >= len(expected.scores))
    assert values(scores) == expected.scores
    members = {name for r in scores for name in json.loads(r.value)["detectors"]}
    with_channels = {name for name, detector in ONLINE.items() if hasattr(detector, "channels")}
    # The profile needs a day, and the channels of runs speak of runs alone.
    assert members >= {channel.name for channel in Levels.channels} | {FIELDS} | (set(ONLINE) - with_channels)


def test_control_messages_apply_from_the_first_batch_and_while_the_job_runs(cluster, tmp_path):
    live = Live(cluster, tmp_path)
    live.control({"type": "rules", "rules": [{"id": "old", "when": "x > 5"}]})
    live.control({"type": "rules", "rules": [{"id": "first", "when": "x < 0"}]})
    with live.job():
        live.send([("a", {"entity": "a", "x": 9}), ("a", {"entity": "a", "x": -1})])
        [first] = live.until(live.topics.alerts, bool)
        live.control({"type": "nonsense"})
        live.control({"type": "rules", "rules": [{"id": "second", "when": "x == 9"}]})
        letters = live.until(live.topics.dead_letters, bool)

        numbers = itertools.count()

        def later(alerts):
            return [data for data in (json.loads(r.value)["data"] for r in alerts) if data["entity"] != "a"]

        def arrived(alerts):
            """Send events until one shows that the control message has arrived."""
            live.send([(name := f"b{next(numbers)}", {"entity": name, "x": 9})])
            return later(alerts)

        alerts = later(live.until(live.topics.alerts, arrived))
    assert json.loads(first.value)["data"]["rules"] == ["first"]
    assert {tuple(data["rules"]) for data in alerts} == {("second",)}
    letter = json.loads(letters[0].value)
    assert (letter["reason"], letter["topic"]) == ("bad_control", live.topics.control)
    assert "nonsense" in letter["message"]


@pytest.fixture(scope="class")
def two(cluster, tmp_path_factory):
    home = tmp_path_factory.mktemp("two")
    declared = {"fields": {"x": "number"}, "late_after": "1 h"}
    plain = Live(cluster, home, event=declared, batch={"window": "200 ms"})
    by_entity = Live(cluster, home, batch={"sharding": "entity"})
    with together(plain, by_entity):
        yield plain, by_entity


class TestTwoJobsAtOnce:
    """Two jobs in thread mode, each on a TaskManager that ran other jobs before."""

    def test_bad_input_goes_to_the_dead_letters_with_reason_offset_and_bytes_and_every_offset_is_accounted_for(
        self, two
    ):
        live, _ = two
        bad = {reason: [p for p in ps if p is None or len(p) < 900_000] for reason, ps in DEAD.items()}
        bad["wrong_type"] = [b'{"entity":"a","x":"text"}']
        sent = []
        now = 1_000 * int(time.time())
        for payloads in bad.values():
            for payload in payloads:
                sent += [("k", {"entity": "a", "x": 1.0, "ts": now}), ("k", payload), ("k", {"entity": "b", "x": 2.0})]
        sent.append(("k", {"entity": "a", "x": 1.0, "ts": now - 2 * 3_600_000}))
        live.send(sent)
        live.until(live.topics.scores, lambda r: len(r) >= 2 * sum(map(len, bad.values())))
        dead = live.until(live.topics.dead_letters, lambda r: len(r) >= sum(map(len, bad.values())))
        late = live.until(live.topics.late, lambda r: len(r) >= 1)
        scores = live.read(live.topics.scores)
        letters = [json.loads(r.value) for r in dead]
        original = {(r.partition, r.offset): r.value for r in live.read(live.topics.events)}
        for letter in letters:
            payload = original[letter["partition"], letter["offset"]]
            assert payload in bad[letter["reason"]]
            assert letter["payload"] == (None if payload is None else base64.b64encode(payload).decode())
        assert {letter["reason"] for letter in letters} == set(bad) - {"too_large"}
        places = [(r["partition"], r["offset"]) for r in map(json.loads, values([*scores, *dead, *late]))]
        assert sorted(places) == sorted(original)
        assert json.loads(late[0].value)["late_by_ms"] == 2 * 3_600_000

    def test_sharding_by_entity_scores_an_entity_in_one_place_though_its_producers_do_not_key(self, two):
        _, live = two
        usual = [(None, {"entity": f"e{i % 3}", "x": float(i % 5)}) for i in range(900)]
        live.send(usual)
        live.until(live.topics.scores, lambda r: len(r) >= 900)
        live.send([(None, {"entity": "e1", "x": 5000.0}), (None, b"{broken")])
        alerts = live.until(live.topics.alerts, lambda r: any(b"5000" in x.value for x in r))
        [letter] = live.until(live.topics.dead_letters, bool)
        scores = live.until(live.topics.scores, lambda r: len(r) >= 901)
        found = [data for data in (json.loads(r.value)["data"] for r in alerts) if data["actual"] == {"x": 5000.0}]
        assert [data["entity"] for data in found] == ["e1"]
        assert 0.0 <= found[0]["expected"]["x"] <= 4.0  # Kafka decides in which order the values of the partitions come
        assert found[0]["confidence"] > 0.5  # all 300 events of the entity were scored in one shard
        assert len(scores) == 901
        assert json.loads(letter.value)["reason"] == "not_json"
