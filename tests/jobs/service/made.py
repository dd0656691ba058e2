"""Records of topics as the job writes them."""

from __future__ import annotations

import base64
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


def score(offset=0, entity="pump-1", moment=START, value=0.5, **more):
    """A message with the score of an event."""
    data = {"topic": "events", "partition": 0, "offset": offset, "entity": entity, "time": moment, "score": value}
    return (
        data
        | {"tail_probability": 0.1, "disagreement": 0.0, "interval": [0.4, 0.6], "detectors": {"levels": 0.1}}
        | more
    )


def notice(kind, identity, data, minute=0):
    """A message of the job about itself; `kind` is its type without ``io.streamgauge.``."""
    return {"id": identity, "type": f"io.streamgauge.{kind}", "time": rfc3339(START + 60_000 * minute), "data": data}


def report(partition=0, minute=0, probe=("point", True), **more):
    """A report on the quality of a partition; `probe` is a kind, and whether it was found."""
    ages = ("day_1", "days_2_to_7", "later")
    data = {
        "partition": partition,
        "events": 20_000,
        "of": 20_000,
        "unjudged": 100,
        "promise": {
            "promised": 0.5,
            "achieved": 0.75,
            "by_age": {age: {"events": 1, "promised": 0.25, "opened": 1} for age in ages},
        },
        "probe": probe and {"kind": probe[0], "found": probe[1]},
        "entities": {"known": 40, "warm": 30, "rich": 20},
        "feedback": {"true": 1, "false": 2, "ignore": 0},
        "models": {},
    }
    return notice("tracked", f"tracked-{partition}-{minute}", data | more, minute)


def step(kind, minute=0, model="pumps", **more):
    """A step of the trainer."""
    return notice(f"model.{kind}", f"{kind}-{model}-{minute}", {"model": model} | more, minute)


def compared(minute=0, **more):
    """A comparison of a live version with its shadow."""
    counts = {"events": 5000, "both": 1, "only_live": 2, "only_shadow": 3, "probes": 40}
    data = {"model": "pumps", "live": 1, "shadow": 2, "partition": 0, "threshold": 1e-4} | counts
    return notice("model.compared", f"c{minute}", data | {"live_right": 20, "shadow_right": 30} | more, minute)


def grouped(incidents, groups, minute=0, root="pump-1"):
    """A group of incidents of several partitions."""
    first = {"entity": root, "field": "flow", "time": rfc3339(START), "alert_id": groups[0]}
    data = {"id": groups[0], "incidents": incidents, "groups": groups, "joined": [], "root": first}
    return notice("group.updated", f"{groups[0]}-{incidents}", data, minute)


def letter(offset=0, reason="not_json", message="it is no JSON", raw=b"{", topic="events", **more):
    """A dead letter."""
    place = {"topic": topic, "partition": 0, "offset": offset}
    return place | {"reason": reason, "message": message, "payload": base64.b64encode(raw).decode()} | more


def schema(change, field, message, minute=0):
    """A change of the schema."""
    data = {"change": change, "field": field, "message": message, "topic": "events", "partition": 0}
    return notice(f"schema.{change}", f"{change}-{field}", data, minute)
