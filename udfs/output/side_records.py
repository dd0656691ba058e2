"""What is written beside alerts: dead letters, late events, scores."""

from __future__ import annotations

import base64
import hashlib
import math
from typing import Any

import msgspec
from streamgauge.udfs.events.records import DeadLetter, Notice, RawBatch
from streamgauge.udfs.output.alert import score_of
from streamgauge.udfs.output.cloud_event import cloud_event
from streamgauge.udfs.scoring.opinions import Verdicts

_encoder = msgspec.json.Encoder()


def _origin(raw: RawBatch, row: int, topic: str) -> dict[str, Any]:
    return {"topic": topic, "partition": int(raw.partitions[row]), "offset": int(raw.offsets[row])}


def dead_letter(raw: RawBatch, letter: DeadLetter, topic: str) -> tuple[str, bytes]:
    """Key and JSON of a dead letter: where it came from, what is wrong, and its bytes in base64."""
    payload = raw.payloads[letter.row]
    record = {
        **_origin(raw, letter.row, topic),
        "reason": letter.reason,
        "message": letter.message,
        "payload": None if payload is None else base64.b64encode(payload).decode(),
    }
    return f"{topic}-{record['partition']}-{record['offset']}", _encoder.encode(record)


def late_event(raw: RawBatch, row: int, topic: str, entity: str, late_by: int) -> tuple[str, bytes]:
    """Key and JSON of an event that came too late to be scored, by so many milliseconds."""
    payload = raw.payloads[row]
    record = {
        **_origin(raw, row, topic),
        "entity": entity,
        "late_by_ms": late_by,
        "payload": None if payload is None else base64.b64encode(payload).decode(),
    }
    return entity, _encoder.encode(record)


def schema_notice(notice: Notice, topic: str, job: str, log: int, time: int) -> tuple[str, bytes]:
    """Key and JSON of a change of the schema: a CloudEvent whose id is the same for every partition that sees the change.

    Parameters
    ----------
    notice : Notice
    topic, job : str
    log : int
        Partition, or -1.
    time : int
        Of the event, milliseconds.
    """
    identity = hashlib.blake2b(f"{topic}\0{notice.change}\0{notice.text}".encode(), digest_size=12).hexdigest()
    data = {"change": notice.change, "field": notice.field, "message": notice.text, "topic": topic, "partition": log}
    return notice.field, cloud_event(
        identity, f"schema.{notice.change}", notice.field, time, data, job=job, topic=topic
    )


def score_record(
    raw: RawBatch,
    row: int,
    topic: str,
    entity: str,
    time: int,
    verdicts: Verdicts,
    place: int,
    members: dict[str, float],
) -> tuple[str, bytes]:
    """Key and JSON of one event's score; `place` is the event's in `verdicts`, `members` are its members' surprises."""
    surprise = float(verdicts.surprise[place])
    record = {
        **_origin(raw, row, topic),
        "entity": entity,
        "time": time,
        "score": score_of(surprise),
        "tail_probability": math.exp(-surprise),
        "disagreement": round(float(verdicts.disagreement[place]), 4),
        "interval": [score_of(float(edge)) for edge in verdicts.interval[place]],
        "detectors": {name: math.exp(-s) for name, s in members.items() if not math.isnan(s)},
    }
    return entity, _encoder.encode(record)


def sampled(partition: int, offset: int, share: float) -> bool:
    """Whether an event belongs to the sample: the same ones on every replay."""
    mixed = (offset * 0x9E3779B97F4A7C15 + partition * 0xC2B2AE3D27D4EB4F) & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 31
    return (mixed * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF) < share * 2.0**64
