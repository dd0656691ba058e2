"""The records about a period of a running job, and their figures: the alerts, how good they were, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from streamgauge.jobs.kafka.cloud_events import alert_of, event_of
from streamgauge.jobs.kafka.feedback import newest_feedback, votes
from streamgauge.jobs.kafka.topics import records_since
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.effect import Effect, effect_of_feedback
from streamgauge.jobs.studies.promise import together
from streamgauge.models.calibration.shares import wilson
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.monitoring.quality import TRACKED

HISTORIC = (
    3600.0  # seconds; if alerts are usually older than this, old events were replayed, and their age is no latency
)
RETRAINING = ("trained", "shadowed", "canary", "promoted", "settled", "rejected", "rolled_back", "deferred", "failed")
STEP = "io.streamgauge.model."


@dataclass(slots=True)
class PeriodRecords:
    """The records about a period, each with the time at which it came, in milliseconds.

    Attributes
    ----------
    alerts : list of (int, dict)
        CloudEvents of alerts.
    tracked : list of (int, dict)
        Data of the notices about the quality of detection.
    steps : list of (int, dict)
        CloudEvents about models, including requests to retrain.
    feedback : list of Feedback
    effect : Effect or None
        What the feedback changed; None if that was not computed.
    """

    alerts: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    tracked: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    steps: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    effect: Effect | None = None

    def judged(self) -> list[tuple[int, bool]]:
        """The alerts that people judged: when each opened, and whether more people found it true than false.

        An alert that as many people found true as false counts as not judged.
        """
        opened = {event["data"]["alert_id"]: at for at, event in self.alerts if event["data"]["state"] == "opened"}
        counted = votes(self.feedback).items()
        return sorted((opened[alert], vote > 0) for alert, vote in counted if vote and alert in opened)

    def ages(self) -> list[tuple[int, float]]:
        """When each alert message came, and how many seconds after its event; empty if old events were replayed."""
        found = [(at, at / 1000 - datetime.fromisoformat(event["time"]).timestamp()) for at, event in self.alerts]
        return found if found and np.median([age for _, age in found]) < HISTORIC else []


def find(
    settings: Settings, since: int, replayed: int, say: Callable[[int, int], None] = lambda *_: None
) -> PeriodRecords:
    """Read the records about a period, and score events again to see what feedback changed.

    Parameters
    ----------
    settings : Settings
    since : int
        Milliseconds.
    replayed : int
        How many of the newest events are scored again, with feedback and without, if there is any feedback; 0 is none.
    say : callable
        Called with the number of events scored again, and with their total.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    kafka, found = settings.kafka, PeriodRecords()
    topics = kafka.topics
    read = ((r.timestamp, alert_of(r.value)) for r in records_since(kafka, topics.alerts, since))
    found.alerts = [(at, alert) for at, alert in read if alert]
    for topic in (topics.notices, topics.retrain_requests):
        for record in records_since(kafka, topic, since):
            if (event := event_of(record.value)) is None:
                continue
            if event["type"] == TRACKED:
                found.tracked.append((record.timestamp, event["data"]))
            elif event["type"].startswith(("io.streamgauge.model.", "io.streamgauge.retrain.")):
                found.steps.append((record.timestamp, event))
    found.steps.sort(key=lambda step: step[0])
    found.feedback = newest_feedback(settings)
    if found.feedback and replayed:
        found.effect = effect_of_feedback(settings, since, replayed, say)
    return found


def figures_of(found: PeriodRecords) -> dict[str, Any]:
    """All figures, as they are printed as JSON.

    Precision is the share of the judged alerts that people found true. Recall is the share of the probes that were found. The rate of false
    alarms is the number of alerts, times the share of the judged ones that were false, divided by the number of events. Unjudged events
    are those of which too little was known. Calibration is the number of events at or below a tail probability, divided by the number that
    this probability promises for the events that are not unjudged.
    The promise is in incidents a day, as each partition reported last; by age of the entity it is in incidents of the whole period.
    """
    events = sum(data["of"] for _, data in found.tracked)
    unjudged = sum(data.get("unjudged", 0) for _, data in found.tracked)  # 0.1.0 did not count them
    scored = events - unjudged
    opened = {
        event["data"]["alert_id"]: (at, event["data"])
        for at, event in found.alerts
        if event["data"]["state"] == "opened"
    }
    judgements = found.judged()
    right, judged = sum(true for _, true in judgements), len(judgements)
    probes = [data["probe"] for _, data in found.tracked if data["probe"]]
    groups = ("all", *dict.fromkeys(p["kind"] for p in probes), *dict.fromkeys(p["tier"] for p in probes))
    recall = {of: _share([p["found"] for p in probes if of in (p["kind"], p["tier"], "all")]) for of in groups}
    found_by: dict[str, list[bool]] = {}
    for probe in probes:
        for name, is_found in probe["members"].items():
            found_by.setdefault(name, []).append(is_found)
    ages = [age for _, age in found.ages()]
    latency = {f"p{q}": round(float(np.percentile(ages, q)), 4) for q in (50, 95, 99)} if ages else None
    rarer: Counter[str] = Counter()
    for _, data in found.tracked:
        rarer.update(data["rarer"])
    precision = _interval(right, judged)
    return {
        "events": events,
        "unjudged": unjudged,
        "alerts": len(opened),
        "kinds": dict(Counter(data["kind"] for _, data in opened.values()).most_common()),
        "severities": dict(Counter(data["severity"] for _, data in opened.values()).most_common()),
        "promise": _promise(found),
        "judged": judged,
        "precision": precision,
        "false_alarms_per_event": len(opened) * (1 - right / judged) / events if judged and events else None,
        "recall": recall,
        "recall_by_member": {name: _share(results) for name, results in sorted(found_by.items())},
        "calibration": {p: n / (float(p) * scored) for p, n in sorted(rarer.items(), reverse=True)} if scored else {},
        "latency_seconds": latency,
        "entities": _coverage(found),
        "feedback": dict(Counter(message.verdict for message in found.feedback)),
        "effect_of_feedback": None if found.effect is None else asdict(found.effect),
        "retraining": _retraining(found),
    }


def _interval(hits: int, of: int) -> list[float] | None:
    """A share with the ends of its confidence interval, or None if nothing was counted."""
    return [round(number, 4) for number in wilson(hits, of)] if of else None


def _share(results: list[bool]) -> list[float] | None:
    return _interval(sum(results), len(results))


def _promise(found: PeriodRecords) -> dict[str, Any] | None:
    """Promised and achieved incidents; None if no notice tells of them."""
    return together([(_place(data), data["promise"]) for _, data in found.tracked if "promise" in data])


def _place(data: dict[str, Any]) -> tuple[str, int]:
    """The partition that a report is about; only the topics after the first are named."""
    return data.get("topic", ""), data["partition"]


def _coverage(found: PeriodRecords) -> dict[str, int]:
    """Number of entities that are known, warm and rich, as each partition reported last."""
    newest = {_place(data): data["entities"] for _, data in found.tracked}
    return {what: sum(one[what] for one in newest.values()) for what in ("known", "warm", "rich")}


def _retraining(found: PeriodRecords) -> dict[str, dict[str, Any]]:
    """By model: how often each step was taken, and how often a candidate was rejected for each reason."""
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
