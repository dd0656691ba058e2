"""What lies on the topics about a period of a running job, and its figures: the alerts, how good they were, what changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from streamgauge.jobs.kafka.feedback import newest_feedback, votes
from streamgauge.jobs.kafka.topics import records_since
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.effect import Effect, effect_of_feedback
from streamgauge.models.calibration.thresholds import wilson
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.monitoring.quality import TRACKED

HISTORIC = 3600.0  # seconds by which events that are told of may be old, for their age to be latency
RETRAINING = ("trained", "shadowed", "canary", "promoted", "settled", "rejected", "rolled_back", "deferred", "failed")
STEP = "io.streamgauge.model."


@dataclass(slots=True)
class Found:
    """What lies on the topics about a period: records with the time at which they came, milliseconds.

    Attributes
    ----------
    alerts, tracked, steps : list of (int, dict)
        CloudEvents of alerts, of tracking, and of what was done with models, requests to retrain included.
    words : list of Feedback
    effect : Effect or None
        Of the feedback.
    """

    alerts: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    tracked: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    steps: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    words: list[Feedback] = field(default_factory=list)
    effect: Effect | None = None

    def judged(self) -> list[tuple[int, bool]]:
        """When each alert came that people judged, and whether more of them found it true than false; a draw is no judgement."""
        opened = {event["data"]["alert_id"]: at for at, event in self.alerts if event["data"]["state"] == "opened"}
        said = votes(self.words).items()
        return sorted((opened[alert], vote > 0) for alert, vote in said if vote and alert in opened)

    def ages(self) -> list[tuple[int, float]]:
        """When each record of an alert came, and how many seconds after its event; nothing where events are historic."""
        found = [(at, at / 1000 - datetime.fromisoformat(event["time"]).timestamp()) for at, event in self.alerts]
        return found if found and np.median([age for _, age in found]) < HISTORIC else []


def find(
    settings: Settings, since: int, replayed: int, say: Callable[[int, int], None] = lambda *_: None
) -> Found:  # fmt: skip
    """Read the topics.

    Parameters
    ----------
    settings : Settings
    since : int
        Milliseconds.
    replayed : int
        Newest events that are scored again with and without feedback, if there is any; 0 is none.
    say : callable
        Told of events scored again, and of how many there are.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    kafka, found = settings.kafka, Found()
    topics = kafka.topics
    found.alerts = [(r.timestamp, json.loads(r.value)) for r in records_since(kafka, topics.alerts, since)]
    for topic in (topics.notices, topics.retrain_requests):
        for record in records_since(kafka, topic, since):
            event = json.loads(record.value)
            if event["type"] == TRACKED:
                found.tracked.append((record.timestamp, event["data"]))
            elif event["type"].startswith(("io.streamgauge.model.", "io.streamgauge.retrain.")):
                found.steps.append((record.timestamp, event))
    found.steps.sort(key=lambda step: step[0])
    found.words = newest_feedback(kafka)
    if found.words and replayed:
        found.effect = effect_of_feedback(settings, since, replayed, say)
    return found


def figures_of(found: Found) -> dict[str, Any]:
    """All figures, as JSON tells them.

    Precision is that of the judged alerts, by votes. Recall is that of the known anomalies that the job plants on the side. The rate of
    false alarms is what is left of the alerts, for each event. Calibration is how many events were so rare, over how many were promised.
    """
    events = sum(data["of"] for _, data in found.tracked)
    opened = {
        event["data"]["alert_id"]: (at, event["data"])
        for at, event in found.alerts
        if event["data"]["state"] == "opened"
    }
    words = found.judged()
    right, judged = sum(good for _, good in words), len(words)
    probes = [data["probe"] for _, data in found.tracked if data["probe"]]
    recall = {of: _share([p["found"] for p in probes if of in (p["kind"], p["tier"], "all")]) for of in
              ("all", *dict.fromkeys(p["kind"] for p in probes), *dict.fromkeys(p["tier"] for p in probes))}  # fmt: skip
    members: dict[str, list[bool]] = {}
    for one in probes:
        for name, told in one["members"].items():
            members.setdefault(name, []).append(told)
    ages = [age for _, age in found.ages()]
    latency = {f"p{q}": round(float(np.percentile(ages, q)), 4) for q in (50, 95, 99)} if ages else None
    rarer: Counter[str] = Counter()
    for _, data in found.tracked:
        rarer.update(data["rarer"])
    precision = _interval(right, judged)
    return {
        "events": events, "alerts": len(opened),
        "kinds": dict(Counter(data["kind"] for _, data in opened.values()).most_common()),
        "severities": dict(Counter(data["severity"] for _, data in opened.values()).most_common()),
        "judged": judged, "precision": precision,
        "false_alarms_per_event": len(opened) * (1 - right / judged) / events if judged and events else None,
        "recall": recall, "recall_by_member": {name: _share(told) for name, told in sorted(members.items())},
        "calibration": {p: n / (float(p) * events) for p, n in sorted(rarer.items(), reverse=True)} if events else {},
        "latency_seconds": latency,
        "entities": _coverage(found), "feedback": dict(Counter(word.verdict for word in found.words)),
        "effect_of_feedback": None if found.effect is None else asdict(found.effect), "retraining": _retraining(found),
    }  # fmt: skip


def _interval(hits: int, of: int) -> list[float] | None:
    """Share, and its interval; None of nothing."""
    return [round(number, 4) for number in wilson(hits, of)] if of else None


def _share(told: list[bool]) -> list[float] | None:
    return _interval(sum(told), len(told))


def _coverage(found: Found) -> dict[str, int]:
    """Entities known, warm and rich, as each partition told last."""
    newest = {data["partition"]: data["entities"] for _, data in found.tracked}
    return {what: sum(one[what] for one in newest.values()) for what in ("known", "warm", "rich")}


def _retraining(found: Found) -> dict[str, dict[str, Any]]:
    """By model: how often each step was taken, and how many candidates were rejected for each reason."""
    models: dict[str, dict[str, Any]] = {}
    for _, event in found.steps:
        step, data = event["type"].removeprefix(STEP), event["data"]
        if step in RETRAINING:
            counts = models.setdefault(data["model"], {"steps": Counter(), "rejected": Counter()})
            counts["steps"][step] += 1
            if step == "rejected":
                counts["rejected"][data["why"]] += 1
    return {
        model: {"steps": dict(counts["steps"]), "rejected": dict(counts["rejected"].most_common())}
        for model, counts in sorted(models.items())
    }
