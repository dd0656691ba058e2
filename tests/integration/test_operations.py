"""Daily operation: changing schemas, too many entities, many incidents at once, feedback, trials, and requests about entities."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.entity_requests import ask
from streamgauge.jobs.kafka.feedback import confirmed, judge
from streamgauge.jobs.kafka.topics import records_since, send_feedback
from streamgauge.jobs.settings.loading import load
from streamgauge.models.errors import InputError
from streamgauge.models.persistence.signature import public_text
from streamgauge.udfs.control.feedback import Feedback

from tests.integration.live import PATIENCE, Live, events, streamgauge


def data(records):
    return [json.loads(record.value)["data"] for record in records]


@pytest.mark.slow
def test_an_entity_is_shown_rewound_and_forgotten_in_the_running_job_and_after_a_restart(cluster, tmp_path):
    live = Live(cluster, tmp_path, decide={"threshold": 1e-4, "warmup": 399, "quiet_events": 1000})
    random = np.random.default_rng(0)
    usual = [("pump", {"entity": "pump", "x": float(x)}) for x in random.normal(100, 1, 400)]
    noise = [("pump", {"entity": "pump", "x": float(x)}) for x in random.normal(100, 30, 60)]
    kafka = live.settings.kafka
    with live.job() as job:
        live.send(usual + noise)
        live.at_least(live.topics.alerts, 1)
        live.at_least(live.topics.scores, 460)
        assert live.counted(job, "held_back", least=21) > 20
        [shown] = ask(kafka, "pump", "show", PATIENCE)
        assert (shown["events"], shown["held_back"]) == (460, True)
        assert shown["rewind_to"]
        [rewound] = ask(kafka, "pump", "rewind", PATIENCE)
        assert rewound["done"]
        [after] = ask(kafka, "pump", "show", PATIENCE)
        assert (after["incident"], after["held_back"]) == (None, False)
        assert after["fields"]["x"]["deviation"] < 3
        [_] = ask(kafka, "pump", "forget", PATIENCE)
        live.send([("pump", {"entity": "pump", "x": 7.0})])
        live.at_least(live.topics.scores, 461)
        savepoint = live.rest.stop(job)
    with live.job(from_savepoint=savepoint):
        live.send([("pump", {"entity": "pump", "x": 8.0})])
        live.at_least(live.topics.scores, 462)
        [again] = ask(kafka, "pump", "show", PATIENCE)
        assert (again["events"], again["fields"]["x"]["last"]) == (2, 8.0)
        with pytest.raises(InputError, match="no running job knows an entity 'nobody'"):
            ask(kafka, "nobody", "show", 3)


def test_schemas_change_entities_are_evicted_and_incidents_are_grouped(cluster, tmp_path):
    live = Live(
        cluster,
        tmp_path,
        entity={"most": 1000},
        event={"rename": {"lat_ms": "latency"}, "context": ["mode"]},
        decide={"threshold": 1e-9, "rules": [{"id": "full", "when": "used > 99"}]},
    )
    first = [("k", {"entity": f"e{i}", "latency": float(i % 7), "used": 1.0, "mode": "day"}) for i in range(3000)]
    renamed = [("k", {"entity": f"e{i}", "lat_ms": 3.0, "used": 1.0, "mode": "night"}) for i in range(3000, 6000)]
    added = [("k", {"entity": f"f{i}", "latency": "slow", "used": 1.0, "new": i, "mode": "day"}) for i in range(6000)]
    full = [("k", {"entity": f"e{i}", "latency": 1.0, "used": 100.0, "mode": "day"}) for i in (1, 2)]
    with live.job() as job:
        live.send(first + renamed + added + full)
        alerts = live.at_least(live.topics.alerts, 2)
        assert live.counted(job, "entities_evicted", least=5001) > 5000
        notices = live.until(live.topics.notices, lambda r: "new" in {d.get("field") for d in data(r)})
        assert live.counted(job, "scored", "unjudged", least=12_002) == 12_002
    changes = {(d["change"], d["field"]) for d in data(notices) if "change" in d}
    assert changes >= {("added", "latency"), ("added", "new"), ("retyped", "latency")}
    assert "lat_ms" not in {field for _, field in changes}
    one, two = data(alerts)
    assert (one["context"], one["group"]["id"]) == ({"mode": "day"}, two["group"]["id"])
    assert two["group"]["incidents"] == 2
    assert two["group"]["root"]["entity"] == "e1"
    assert one["rules"] == two["rules"] == ["full"]


@pytest.mark.slow
def test_incidents_on_all_partitions_are_reported_as_one_group_also_after_a_restart(cluster, tmp_path):
    live = Live(cluster, tmp_path, decide={"threshold": 1e-9, "rules": [{"id": "full", "when": "used > 99"}]})
    begin = int(time.time() * 1000)  # event times, because the restart may take long
    full = [(name, {"entity": name, "ts": begin + 500 * k, "used": 100.0}) for k, name in enumerate("abcdefgh")]

    def groups(records):
        notices = [json.loads(record.value) for record in records]
        return [event for event in notices if event["type"].startswith("io.streamgauge.group.")]

    with live.job() as job:
        live.send(full[:4], rate=2.0)  # one after the other, on any partition
        live.until(live.topics.notices, lambda records: len(groups(records)) == 2)
        savepoint = live.rest.stop(job)
    with live.job(from_savepoint=savepoint):
        live.send(full[4:], rate=2.0)
        found = groups(live.until(live.topics.notices, lambda records: len(groups(records)) == 3))
        alerts = live.at_least(live.topics.alerts, 8)
    sizes = sorted(
        ((event["type"].rsplit(".", 1)[1], event["data"]["incidents"]) for event in found), key=lambda s: s[1]
    )
    assert sizes == [("opened", 2), ("updated", 4), ("updated", 8)]
    whole = next(event["data"] for event in found if event["data"]["incidents"] == 8)
    first = min(json.loads(alert.value)["data"]["window"]["from"] for alert in alerts)
    assert (sorted(whole["entities"]), whole["root"]["time"]) == (list("abcdefgh"), first)
    assert whole["partitions"] == sorted({d["source"]["partition"] for d in data(alerts)})
    assert len(whole["partitions"]) > 1


@pytest.mark.slow
def test_alerts_that_people_find_false_do_not_come_again_and_ignored_ones_not_before_their_time(cluster, tmp_path):
    key = Ed25519PrivateKey.generate()
    file = tmp_path / "alerts.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    trust = {"trusted_keys": [public_text(key)], "sign_key_file": str(file)}
    decide = {"threshold": 1e-2, "warmup": 300, "quiet_events": 5}
    live = Live(cluster, tmp_path, decide=decide, track=200, feedback=trust)
    random = np.random.default_rng(0)

    def usual(n):
        return [(e, {"entity": e, "x": float(x)}) for x in random.normal(100, 1, n) for e in ("pump", "fan")]

    def strange(x):
        return [(e, {"entity": e, "x": x}) for e in ("pump", "fan")]

    with live.job() as job:
        live.send(usual(400) + strange(104.2) + usual(30))
        alerts = live.until(live.topics.alerts, lambda r: {"pump", "fan"} <= {d["entity"] for d in data(r)})
        first = {d["entity"]: d for d in data(alerts) if d["state"] == "opened"}
        later = datetime.now(UTC) + timedelta(hours=1)
        judge(live.settings, first["fan"]["alert_id"], "ignore", "ann", later)
        for who in ("ann", "ben", "eve"):
            message = judge(live.settings, first["pump"]["alert_id"], "false", who)
        assert (message.field, message.agreed) == ("x", tuple(first["pump"]["agreed"]))
        live.producer.send(live.topics.feedback, b"nonsense", b"k").get(30)
        [letter] = live.at_least(live.topics.dead_letters, 1)
        assert "feedback: message: Invalid JSON" in json.loads(letter.value)["message"]
        send_feedback(live.settings.kafka, message.model_copy(update={"entity": "fan", "by": "mallory"}))
        letter = live.at_least(live.topics.dead_letters, 2)[-1]
        assert "entity is not what the alert told" in json.loads(letter.value)["message"]
        assert json.loads(letter.value)["reason"] == "feedback_refused"
        before = {(r.partition, r.offset) for r in live.read(live.topics.alerts)}

        def opened(records):
            """Entities of the incidents that opened since `before`."""
            new = data(r for r in records if (r.partition, r.offset) not in before)
            return [alert["entity"] for alert in new if alert["state"] == "opened"]

        live.send(strange(104.4) + usual(30))
        live.at_least(live.topics.scores, 924)
        assert live.counted(job, "feedback_messages", least=4) == 4
        assert opened(live.read(live.topics.alerts)) == []
        live.send(strange(1e6))
        assert opened(live.until(live.topics.alerts, lambda r: "pump" in opened(r))) == ["pump"]
    assert [message.verdict for message in confirmed(live.settings)] == []
    page = tmp_path / "report.html"
    figures = json.loads(streamgauge("report", "--settings", live.file, "--since", "1h", "--output", page, "--json"))
    assert figures["events"] == 800
    assert (figures["judged"], figures["precision"][0]) == (1, 0.0)
    assert figures["feedback"] == {"ignore": 1, "false": 3}
    assert figures["effect_of_feedback"]["alerts_with"] < figures["effect_of_feedback"]["alerts_without"]
    assert figures["effect_of_feedback"]["avoided"]["false"] == 1
    assert figures["entities"]["known"] == 2
    assert page.read_text().count("data:image/png") == 6
    assert len(json.loads(streamgauge("feedback", "--settings", live.file, "--json"))) == 4
    undone = json.loads(streamgauge("feedback", "all", "undo", "--by", "ann", "--settings", live.file, "--json"))
    assert {one["verdict"] for one in undone} == {"ignore", "false"}
    left = json.loads(streamgauge("feedback", "--settings", live.file, "--json"))
    assert sorted(one["by"] for one in left) == ["ben", "eve"]


@pytest.mark.slow
def test_an_alert_of_an_earlier_run_that_does_not_come_again_is_resolved(cluster, tmp_path):
    live = Live(cluster, tmp_path, decide={"threshold": 1e-4, "quiet_events": 1000})
    usual = [("pump", {"entity": "pump", "x": float(x)}) for x in np.random.default_rng(0).normal(100, 1, 200)]
    with live.job():
        live.send([*usual, ("pump", {"entity": "pump", "x": 1e5})])
        [opened] = data(live.at_least(live.topics.alerts, 1))
    anew = tmp_path / "anew.yaml"
    anew.write_text(live.file.read_text().replace("start: earliest", "start: latest"))
    with live.job(load(anew), anew):  # it has no state, and never reads what opened the incident
        ended = []
        for event in usual:
            live.send([event])
            if ended := data(live.read(live.topics.alerts))[1:]:
                break
            time.sleep(0.5)
    assert [(alert["alert_id"], alert["state"], alert["reason"]) for alert in ended] == [
        (opened["alert_id"], "resolved", "unknown")
    ]


@pytest.mark.slow
def test_two_thresholds_are_tried_on_live_traffic_with_a_verdict(cluster, tmp_path):
    live = Live(cluster, tmp_path, output={"scores": "none"})
    settings = ("--settings", live.file)
    streamgauge("trial", "show", *settings, code=2)
    streamgauge("trial", "start", "0.02", "0.0001", *settings)
    with live.job() as job:
        live.send(events(6000, entities=40))
        assert live.counted(job, "scored", "unjudged", least=6000) == 6000

        def counted():
            return {arm: live.counted(job, f"trial_{arm}") for arm in "ab"}

        def opened(records):
            return [alert for alert in data(records) if alert["state"] == "opened"]

        alerts = opened(live.until(live.topics.alerts, lambda r: len(opened(r)) == sum(counted().values())))
        assert len(alerts) > 30
        assert {(alert["trial"], alert["threshold"]) for alert in alerts} == {("a", 0.02), ("b", 0.0001)}
        for alert in alerts[:30]:
            right = max(map(abs, alert["actual"].values())) > 100  # what was planted
            about = {key: alert[key] for key in ("alert_id", "entity", "kind", "tail_probability")}
            send_feedback(live.settings.kafka, Feedback(**about, verdict="true" if right else "false", by="ann"))
        forged = json.loads(live.read(live.topics.alerts)[0].value)
        forged["data"] |= {"alert_id": "0" * 16, "state": "opened", "trial": "c"}  # there are only a and b
        live.producer.send(live.topics.alerts, json.dumps(forged).encode()).get(60)
        standing = json.loads(streamgauge("trial", "show", *settings, "--json"))
        arms = standing["arms"]
        assert sum(arm["judged"] for arm in arms.values()) == 30
        precision = {name: arm["right"] / arm["judged"] for name, arm in arms.items()}
        assert standing["verdict"]["difference"] == pytest.approx(precision["b"] - precision["a"])
        assert standing["verdict"]["low"] < standing["verdict"]["difference"] < standing["verdict"]["high"]
        assert counted() == {name: arm["alerts"] for name, arm in arms.items()}
        streamgauge("trial", "end", *settings, "--keep", "b")
        streamgauge("trial", "show", *settings, code=2)


def test_a_topic_is_read_to_its_end_in_the_order_of_offsets_despite_clocks_and_transactions(cluster, tmp_path):
    live = Live(cluster, tmp_path)
    kafka = live.settings.kafka
    with clients.producer(kafka, "write in transactions", transactional_id=live.settings.job.name) as producer:
        producer.init_transactions()
        ends = (producer.commit_transaction, producer.commit_transaction, producer.abort_transaction)
        for turn, end in enumerate(ends):
            producer.begin_transaction()
            for k in range(6):
                stamp = 1_790_000_000_000 - 1000 * (6 * turn + k)
                producer.send(live.topics.alerts, f"{turn}{k}".encode(), partition=k % 2, timestamp_ms=stamp)
            producer.flush()  # else what is aborted never reaches the broker
            end()
    records = records_since(kafka, live.topics.alerts)
    for partition in (0, 1):
        mine = [r.value.decode() for r in records if r.partition == partition]
        assert mine == [f"{turn}{k}" for turn in (0, 1) for k in range(partition, 6, 2)]
