"""Incidents to alerts: CloudEvents 1.0 with everything a person needs to judge, and a machine to replay."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.entities.entity_store import (
    AGE,
    CONFIG,
    HITS,
    OPENED_OFFSET,
    OPENED_PARTITION,
    OPENED_TIME,
    RELEASED,
    STATUS,
)  # fmt: skip
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.incidents.groups import Groups
from streamgauge.udfs.incidents.lifecycle import (
    CONDITIONAL,
    KINDS,
    OPENED,
    RESOLVED,
    RETRACTED,
    UPDATED,
    Decisions,
    kind_of,
)
from streamgauge.udfs.incidents.rules import Rule
from streamgauge.udfs.output.cloud_event import cloud_event, rfc3339
from streamgauge.udfs.scoring.attribution import expected, shares
from streamgauge.udfs.scoring.calibrate import AGREES, SHADOW
from streamgauge.udfs.scoring.opinions import EVIDENCE, Opinions, Verdicts
from streamgauge.udfs.settings.pipeline import DecideSettings

CHANGES = {OPENED: "opened", UPDATED: "updated", RESOLVED: "resolved", RETRACTED: "retracted"}
SEVERITIES = ("low", "medium", "high", "critical")
MOST_FIELDS = 10


def score_of(surprise: float) -> float:
    """The score from 0 to 1 of a surprise in nats: L / (1 + L), where 10^-L is the tail probability.

    0.75 is one in a thousand, 0.8 one in ten thousand, 0.9 one in a thousand million; two extremes never tie.
    """
    return float(scores_of(np.float64(surprise)))


def scores_of(surprises: Any) -> Any:
    """`score_of`, for float64[n]."""
    powers = surprises / math.log(10.0)
    return powers / (1.0 + powers)


def severity_of(surprise: float, threshold: float) -> str:
    """low, medium, high or critical: at the threshold, or 10, 100, 10,000 times rarer."""
    beyond = (surprise + math.log(threshold)) / math.log(10.0)
    return "critical" if beyond >= 4 else "high" if beyond >= 2 else "medium" if beyond >= 1 else "low"


def _severest(broken: list[Rule], surprise: float, threshold: float) -> str:
    """Of an incident that began with a broken rule: that of the rules, and what the detectors say on its own later."""
    said: list[str] = [rule.severity for rule in broken] or ["high"]
    if surprise >= -math.log(threshold):
        said.append(severity_of(surprise, threshold))
    return max(said, key=SEVERITIES.index)


def important(severity: str, entity: str, importance: dict[str, int]) -> str:
    """A severity, so many steps up or down as the entity is important."""
    steps = next((steps for who, steps in importance.items() if fnmatchcase(entity, who)), 0)
    return SEVERITIES[min(max(SEVERITIES.index(severity) + steps, 0), len(SEVERITIES) - 1)]


def _grouped(group: dict[str, Any] | None) -> dict[str, Any] | None:
    return group and group | {"root": group["root"] | {"time": rfc3339(group["root"]["time"])}}


def alert_id(entity: str, config: int, topic: str, partition: int, offset: int) -> str:
    """Identity of an incident: the same wherever and however often its first event is scored."""
    text = f"{entity}\0{config}\0{topic}\0{partition}\0{offset}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def config_mark(settings_json: str) -> int:
    """A 63 bit mark of a detector configuration."""
    return int.from_bytes(hashlib.blake2b(settings_json.encode(), digest_size=8).digest(), "little") >> 1


def build_alerts(
    decisions: Decisions,
    events: Events,
    X: Floats,
    columns: list[str],
    text_fields: list[str],
    opinions: Opinions,
    verdicts: Verdicts,
    seen: Ints,
    rules: list[tuple[Rule, Flags]],
    offsets: Ints,
    partitions: Ints,
    *,
    topic: str,
    job: str,
    thresholds: Floats,
    arms: list[str],
    versions: Callable[[int], dict[str, str]],
    decide: DecideSettings,
    groups: Groups,
    context: tuple[str, ...],
    complete: Callable[[int, dict[str, Any]], None],
) -> list[tuple[str, bytes]]:
    """One alert for each change of an incident.

    `arms` says on which side of a trial of two thresholds each event is, where there is one; `versions` who judged an event, by its
    place; `complete` may add to the alert's data, given the row of its event.

    Returns
    -------
    list of (entity, JSON)
    """
    alerts = []
    for m, i in enumerate(decisions.place.tolist()):
        incident = decisions.incident[m]
        change = CHANGES[int(decisions.change[m])]
        entity, surprise = events.entities[i], float(verdicts.evidence[i].max())
        kind = kind_of(int(incident[STATUS]))
        peak = float(decisions.peak[m])
        identity = alert_id(
            entity, int(incident[CONFIG]), topic, int(incident[OPENED_PARTITION]), int(incident[OPENED_OFFSET])
        )
        told = _fields(i, events, X, columns, text_fields, opinions, verdicts)
        now = int(events.times[i])
        broken = [rule for rule, violated in rules if violated[i]]
        said = {
            name: s
            for name, s in zip(opinions.names, verdicts.surprises[i].tolist(), strict=True)
            if not (math.isnan(s) or name.endswith(SHADOW))
        }
        version, threshold = versions(i), float(thresholds[i])
        data = {
            "alert_id": identity,
            "state": change,
            "entity": entity,
            "kind": KINDS[kind],
            "severity": important(
                _severest(broken, peak, threshold) if kind == CONDITIONAL else severity_of(peak, threshold),
                entity,
                decide.importance,
            ),
            "score": score_of(surprise),
            "tail_probability": math.exp(-surprise),
            "peak_score": score_of(peak),
            "confidence": _confidence(
                X[i], int(seen[i]), float(verdicts.disagreement[i]), float(opinions.missing[i]), decide.warmup
            ),
            "disagreement": round(float(verdicts.disagreement[i]), 4),
            "interval": [score_of(float(edge)) for edge in verdicts.interval[i]],
            "threshold": threshold,
            "window": {
                "from": rfc3339(int(incident[OPENED_TIME])),
                "to": rfc3339(now),
                "anomalous_events": int(incident[HITS]),
            },
            "actual": {name: actual for name, _, actual, _ in told},
            "expected": {name: expected for name, _, _, expected in told},
            "contributions": {name: share for name, share, _, _ in told},
            "detectors": {n: {"tail_probability": math.exp(-s), "version": version[n]} for n, s in said.items()},
            "agreed": [name for name, s in said.items() if s >= AGREES],
            "disagreed": [name for name, s in said.items() if s < AGREES],
            "evidence": {
                of: math.exp(-e) for of, e in zip(EVIDENCE, verdicts.evidence[i].tolist(), strict=True) if e > 0.0
            },
            "rules": [rule.id for rule in broken],
            "source": {
                "topic": topic,
                "partition": int(partitions[i]),
                "offset": int(offsets[i]),
                "opened_partition": int(incident[OPENED_PARTITION]),
                "opened_offset": int(incident[OPENED_OFFSET]),
            },
        }
        if decisions.change[m] == OPENED:
            data["group"] = _grouped(groups.join(identity, entity, told[0][0] if told else None, now))
        if decisions.change[m] == RESOLVED:
            data["held_back"] = 0 if incident[RELEASED] else int(incident[AGE])
        if arms:
            data["trial"] = arms[i]
        if context:
            data["context"] = {name: events.values[i].get(name) for name in context}
        complete(int(events.rows[i]), data)
        told_once = f"{identity}-{change}-{int(offsets[i])}"
        alerts.append((entity, cloud_event(told_once, f"alert.{change}", entity, now, data, job=job, topic=topic)))
    return alerts


def _fields(
    i: int,
    events: Events,
    X: Floats,
    columns: list[str],
    text_fields: list[str],
    opinions: Opinions,
    verdicts: Verdicts,
) -> list[tuple[str, float, float | str | None, float | None]]:
    """The fields that matter most: name, share, actual and expected value."""
    d = X.shape[1]
    share, usual = shares(i, d, len(text_fields), opinions, verdicts), expected(i, d, opinions)
    told: list[tuple[str, float, float | str | None, float | None]] = []
    for f in np.argsort(-share, kind="stable")[:MOST_FIELDS].tolist():
        part = round(float(share[f]), 4)
        if f >= d:
            if part > 0:
                told.append((text_fields[f - d], part, events.values[i].get(text_fields[f - d]), None))
        elif not math.isnan(X[i, f]):
            told.append((columns[f], part, _number(X[i, f]), _number(usual[f])))
    return told


def _confidence(x: Floats, seen: int, disagreement: float, missing: float, warmup: int) -> float:
    """0 to 1: full for an entity seen ten times longer than its warm-up, with all fields and all members of one mind.

    `missing` is the share of a trained model's fields that the event lacks.
    """
    present = 1.0 - max(float(np.isnan(x).mean()), missing) if len(x) else 0.0
    return round(min(1.0, seen / (10.0 * warmup)) * present * (1.0 - 0.5 * disagreement), 4)


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
