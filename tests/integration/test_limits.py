"""Outputs that would be larger than Kafka takes are cut with a mark, through the real producer; nothing stops."""

from __future__ import annotations

import base64
import json
import time

from streamgauge.udfs.output.limits import MOST_BYTES

from tests.integration.live import Live, events

NOT_JSON = b'{"entity":"e0","x":"' + b"y" * 800_000
TOO_LARGE = b'{"entity":"e0","x":"' + b"y" * 1_020_000 + b'"}'
LONG_KEY = "k" * 300_000
LONG_VALUE = "v" * 70_000
HOUR = 3_600_000


def test_large_records_are_cut_with_a_mark_and_the_job_goes_on(cluster, tmp_path):
    live = Live(cluster, tmp_path, event={"late_after": "1 h", "context": ["mode"]})
    now = int(time.time() * 1000)
    late = {"entity": "old", "ts": now - 2 * HOUR, "x": 1.0, "mode": "on", "t": "w" * 900_000}
    large = [
        ("e0", NOT_JSON),
        ("e0", TOO_LARGE),
        ("old", {"entity": "old", "ts": now, "x": 1.0, "mode": "on"}),
        ("old", late),
        ("e0", {"entity": "e0", "x": 1.0, "mode": "on", LONG_KEY: 1}),
        ("e0", {"entity": "e0", "x": 1.0, "mode": LONG_VALUE}),
    ]
    with live.job() as job:
        live.send(large)
        live.send(events(300))
        scores = live.at_least(live.topics.scores, 303)
        letters = [json.loads(record.value) for record in live.at_least(live.topics.dead_letters, 2)]
        late_records = [json.loads(record.value) for record in live.at_least(live.topics.late, 1)]
        notices = live.until(live.topics.notices, lambda records: any(r.key.startswith(b"kkk") for r in records))
        assert live.rest.call(f"/jobs/{job}")["state"] == "RUNNING"
        assert live.rest.failure(job) == "no reason is recorded"
    assert len(scores) == 303
    assert {letter["reason"] for letter in letters} == {"not_json", "too_large"}
    whole = {"not_json": NOT_JSON, "too_large": TOO_LARGE}
    for letter in letters:
        kept = base64.b64decode(letter["payload"])
        assert whole[letter["reason"]].startswith(kept)
        assert len(kept) + letter["payload_bytes_missing"] == len(whole[letter["reason"]])
        assert letter["cut"] > MOST_BYTES
    [old] = late_records
    assert (old["entity"], old["late_by_ms"]) == ("old", 2 * HOUR)
    assert old["payload_bytes_missing"] > 0
    [notice] = [json.loads(record.value) for record in notices if record.key.startswith(b"kkk")]
    assert notice["data"]["field"].endswith("… (+299000 characters)")
