"""What real senders send is read by the job on a real cluster: several formats on one topic, keys, and records of many events."""

from __future__ import annotations

import gzip
import json
import time

from tests.integration.live import Live


def telegraf(host, now, value):
    metrics = [
        {"name": "cpu", "tags": {"host": host}, "fields": {"usage": value}, "timestamp": now + i} for i in range(3)
    ]
    return json.dumps({"metrics": metrics}).encode()


def test_one_job_reads_many_formats_and_says_what_it_did_not_read(cluster, tmp_path):
    live = Live(cluster, tmp_path, event={"entity": "host", "time": "ts"})
    now = int(time.time())
    records = [
        ("a", {"host": "a", "ts": now, "x": "12.5"}),
        ("a", [{"host": "a", "ts": now + i, "x": 1.0} for i in range(4)]),
        ("a", gzip.compress(json.dumps({"host": "a", "ts": now + 9, "x": 2.0}).encode())),
        ("a", telegraf("a", now + 10, 50.0)),
        (
            "a",
            {
                "specversion": "1.0",
                "id": "1",
                "source": "/s",
                "type": "t",
                "data": {"host": "a", "ts": now + 20, "x": 3},
            },
        ),
        ("a", None),
        ("a", b"cpu,host=a usage=5 1760000000000000000"),
        ("a", {"host": "a", "ts": now + 30, "city": "Oslo"}),
    ]
    with live.job():
        live.send(records)
        scores = [json.loads(record.value) for record in live.at_least(live.topics.scores, 11)]
        [letter] = [json.loads(record.value) for record in live.at_least(live.topics.dead_letters, 1)]
        notices = live.until(live.topics.notices, lambda found: any(b"schema.unread" in one.value for one in found))
    places = sorted((score["offset"], score.get("place")) for score in scores if "place" in score)
    assert places == [(1, 0), (1, 1), (1, 2), (1, 3), (3, 0), (3, 1), (3, 2)]
    assert sorted(score["offset"] for score in scores if "place" not in score) == [0, 2, 4, 7]
    assert {score["entity"] for score in scores} == {"a"}
    assert (letter["reason"], letter["offset"]) == ("not_json", 6)
    assert "line protocol" in letter["message"]
    told = [json.loads(one.value) for one in notices]
    formats = {one["data"]["field"] for one in told if one["type"].endswith("schema.format")}
    assert formats == {"telegraf", "cloudevents"}
    [unread] = [one["data"]["message"] for one in told if one["type"].endswith("schema.unread")]
    assert '"Oslo"' in unread


def test_the_key_of_a_record_names_its_entity_and_chooses_its_shard(cluster, tmp_path):
    live = Live(cluster, tmp_path, event={"entity": "$key", "time": None}, batch={"sharding": "entity"})
    with live.job():
        live.send((f"k{i % 5}", {"x": float(i % 7)}) for i in range(200))
        live.send([(None, {"x": 1.0})])
        scores = [json.loads(record.value) for record in live.at_least(live.topics.scores, 200)]
        [letter] = [json.loads(record.value) for record in live.at_least(live.topics.dead_letters, 1)]
    assert {score["entity"] for score in scores} == {f"k{n}" for n in range(5)}
    assert len(scores) == 200
    assert (letter["reason"], "no key" in letter["message"]) == ("no_entity", True)
