"""The commands as a user types them, on the real cluster."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from streamgauge.jobs.kafka import clients

from tests.integration.live import STREAMGAUGE, Live, streamgauge


@pytest.fixture
def series(tmp_path):
    """A calm series with one spike."""
    file = tmp_path / "pump.csv"
    rows = [f"2024-01-01 00:{i // 60:02d}:{i % 60:02d},{9999 if i == 700 else 50 + i % 7}" for i in range(900)]
    file.write_text("time,pressure\n" + "\n".join(rows) + "\n")
    return file


def test_submit_replay_alerts_doctor_status_stop_and_submit_again(cluster, tmp_path, series):
    live = Live(cluster, tmp_path)
    settings = ("--settings", live.file)
    job = json.loads(streamgauge("submit", *settings, "--json"))["job"]
    streamgauge("replay", series, *settings, "--time-column", "time")
    raised = live.until(live.topics.alerts, lambda records: any(b"9999" in record.value for record in records))
    shown = ("--from-beginning", "--limit", len(raised), "--idle", "60", "--json")
    lines = streamgauge("alerts", *settings, *shown).splitlines()
    opened = [json.loads(line) for line in lines if '"opened"' in line]
    spike = [a["data"] for a in opened if a["data"]["actual"].get("pressure") == 9999]
    assert [(data["entity"], data["kind"]) for data in spike] == [("pump", "point")]
    assert opened[0]["time"].startswith("2024-01-01T00:")

    findings = {f["check"]: f["state"] for f in json.loads(streamgauge("doctor", *settings, "--json"))}
    assert findings["entities"] == findings["topics"] == findings["Java"] == "ok"
    running = json.loads(streamgauge("status", "--json"))
    assert {"jid": job, "name": live.settings.job.name, "state": "RUNNING"} in running["jobs"]

    savepoint = streamgauge("stop", job).strip()
    assert savepoint.startswith("file:")
    again = json.loads(streamgauge("submit", *settings, "--from-savepoint", savepoint, "--json"))["job"]
    live.rest.cancel(again)


def test_doctor_names_entities_that_are_on_several_partitions(cluster, tmp_path):
    live = Live(cluster, tmp_path)
    live.send([(None, {"entity": "a", "x": i}) for i in range(2000)] + [("b", {"entity": "b", "x": 1})])
    for partition in range(4):
        live.producer.send(live.topics.events, b'{"entity":"a","x":1}', partition=partition)
    live.producer.flush()
    findings = {f["check"]: f for f in json.loads(streamgauge("doctor", "--settings", live.file, "--json", code=1))}
    assert findings["entities"]["state"] == "failure"
    assert "1 entities are on several partitions (a): producers must key by entity" in findings["entities"]["message"]
    assert findings["timestamps"]["message"].startswith("set by producers, ")


def test_doctor_says_that_the_broker_sets_the_timestamps(cluster, tmp_path):
    live = Live(cluster, tmp_path)
    resource = ConfigResource(ConfigResourceType.TOPIC, live.topics.events, {"message.timestamp.type": "LogAppendTime"})
    with clients.admin(live.settings.kafka, "change a topic") as client:
        client.alter_configs([resource])
    live.send([("a", {"entity": "a", "x": 1})])
    findings = {f["check"]: f for f in json.loads(streamgauge("doctor", "--settings", live.file, "--json"))}
    assert findings["timestamps"] == {"check": "timestamps", "state": "ok", "message": "set by the broker"}


def test_flinks_own_error_is_shown(cluster, tmp_path):
    live = Live(cluster, tmp_path)
    done = subprocess.run(
        [STREAMGAUGE, "submit", "--settings", str(live.file), "--from-savepoint", "file:///nowhere"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def test_a_dump_of_a_topic_is_sent_unchanged_and_what_was_not_read_is_told(cluster, tmp_path):
    live = Live(cluster, tmp_path, event={"entity": "pump", "time": "at"})
    lines = [
        b'{ "pump":"a", "at":1767571200, "x":9007199254740993, "y":0.10 }',
        b"{broken",
        b'{"pump":"b","at":"2026-01-05T00:00:01Z","nested":{"z":1}}',
    ]
    (tmp_path / "dump.jsonl").write_bytes(b"\n".join(lines))
    told = streamgauge("replay", tmp_path / "dump.jsonl", "--settings", live.file, "--json", "--strict", code=1)
    assert json.loads(told)["events"] == 3
    assert [(one["reason"], one["lines"]) for one in json.loads(told)["not_read"]] == [("not_json", [2])]
    sent = {record.value: (record.key, record.timestamp) for record in live.read(live.topics.events)}
    assert set(sent) == set(lines)
    assert sent[lines[0]] == (b"a", 1767571200000)
    assert sent[lines[1]][0] is None
    assert sent[lines[2]] == (b"b", 1767571201000)
