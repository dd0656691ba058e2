"""Records of topics as the job writes them."""

from __future__ import annotations

import json

from streamgauge.jobs.service.messages import Record
from streamgauge.udfs.events.time import rfc3339

START = 1_760_000_400_000


def change(alert_id="a1", state="opened", minute=0, entity="pump-1", severity="high", **more):
    """An alert message."""
    data = {
        "alert_id": alert_id,
        "state": state,
        "entity": entity,
        "kind": "point",
        "channel": "level",
        "severity": severity,
        "score": 0.9,
        "tail_probability": 1e-9,
        "peak_score": 0.9,
        "confidence": 0.8,
        "threshold": 1e-4,
        "window": {"from": rfc3339(START), "to": rfc3339(START + 60_000 * minute), "anomalous_events": 1},
        "actual": {"flow": 11.0, "heat": 5.0},
        "expected": {"flow": 55.0, "heat": 5.1},
        "contributions": {"flow": 0.9, "heat": 0.1},
        "agreed": ["levels"],
        "disagreed": [],
        "rules": [],
        "source": {"topic": "events", "partition": 0, "offset": 10, "opened_partition": 0, "opened_offset": 10},
        "group": None,
    } | more
    time = rfc3339(START + 60_000 * minute)
    return {"id": f"{alert_id}-{state}-{minute}", "type": f"io.streamgauge.alert.{state}", "time": time, "data": data}


def said(alert_id="a1", by="ann", verdict="false", **more):
    """A message with what a person says of an alert."""
    about = {"entity": "pump-1", "kind": "point", "field": "flow", "tail_probability": 1e-9}
    return {"alert_id": alert_id, "by": by, "verdict": verdict} | about | more


def record(value, offset, topic="alerts", partition=0):
    """A record of a topic; `value` is a message or bytes."""
    raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Record(topic, partition, offset, START + offset, raw)


def records(*values, begin=0, topic="alerts"):
    """Records that follow each other."""
    return [record(value, begin + n, topic) for n, value in enumerate(values)]
