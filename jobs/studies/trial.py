"""A trial: two thresholds on live traffic, each for its share of the entities, compared by feedback on their alerts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from streamgauge.jobs.kafka.cloud_events import alert_of
from streamgauge.jobs.kafka.feedback import newest_feedback, votes
from streamgauge.jobs.kafka.topics import read_texts, records_since, send_control
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.calibration.thresholds import Verdict, compare_thresholds
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.control.messages import Threshold, Trial, parse


@dataclass(slots=True)
class Arm:
    """One of the two thresholds of a trial, and what came of it.

    Attributes
    ----------
    threshold : float
        Tail probability.
    alerts : int
        Incidents that opened.
    judged, right : int
        How many of these alerts somebody judged, and how many of them more people found true than false.
    """

    threshold: float
    alerts: int = 0
    judged: int = 0
    right: int = 0


@dataclass(slots=True)
class Standing:
    """The results of a trial so far.

    Attributes
    ----------
    trial : Trial
    arms : dict of str to Arm
    """

    trial: Trial
    arms: dict[str, Arm]

    @property
    def verdict(self) -> Verdict:
        """Which of the two thresholds is better, if that can be said."""
        a, b = ((arm.right, arm.judged) for arm in self.arms.values())
        return compare_thresholds(a, b)


def start(kafka: KafkaSettings, a: float, b: float, share: float) -> Trial:
    """Start a trial. It replaces a running one.

    Parameters
    ----------
    kafka : KafkaSettings
    a, b : float
        Tail probabilities.
    share : float
        Share of the entities that get `b`, 0 to 1.

    Raises
    ------
    SettingsError
        A value is wrong; the message names it and what is allowed.
    ClusterError
        The broker does not answer.
    """
    now = datetime.now(UTC).isoformat()
    trial = parse(json.dumps({"type": "trial", "a": a, "b": b, "share": share, "since": now}))
    assert isinstance(trial, Trial)
    send_control(kafka, trial)
    return trial


def end(kafka: KafkaSettings, keep: Literal["a", "b"] | None) -> float | None:
    """End the trial. Returns the threshold that is kept for all entities, or None if none is kept."""
    trial = running(kafka)
    kept = None if keep is None else {"a": trial.a, "b": trial.b}[keep]
    if kept is not None:
        send_control(kafka, Threshold(type="threshold", value=kept))
    send_control(kafka, Trial(type="trial"))
    return kept


def running(kafka: KafkaSettings) -> Trial:
    """The running trial.

    Raises
    ------
    InputError
        No trial is running.
    ClusterError
        The broker does not answer.
    """
    newest: Trial | None = None
    for _, text in read_texts(kafka, kafka.topics.control):
        try:
            message = parse(text)
        except SettingsError:
            continue  # the job has put it on the dead-letter topic
        if isinstance(message, Trial):
            newest = message
    if newest is None or newest.a is None:
        raise InputError("no trial is running: `streamgauge trial start 1e-4 1e-5` starts one")
    return newest


def standing(settings: Settings) -> Standing:
    """The results of the running trial so far.

    Raises
    ------
    InputError
        No trial is running.
    ClusterError
        The broker does not answer.
    """
    kafka = settings.kafka
    trial = running(kafka)
    assert trial.a is not None
    assert trial.b is not None
    since = 0 if trial.since is None else int(trial.since.timestamp() * 1000)
    found = Standing(trial, {"a": Arm(trial.a), "b": Arm(trial.b)})
    arm_of: dict[str, str] = {}
    for record in records_since(kafka, kafka.topics.alerts, since):
        alert = alert_of(record.value)
        data = alert["data"] if alert else {}
        if data.get("state") == "opened" and data.get("trial") in ("a", "b") and data["alert_id"] not in arm_of:
            arm_of[data["alert_id"]] = data["trial"]
            found.arms[data["trial"]].alerts += 1
    for alert_id, vote in votes(newest_feedback(settings)).items():
        if alert_id in arm_of:
            arm = found.arms[arm_of[alert_id]]
            arm.judged += vote != 0
            arm.right += vote > 0
    return found


def sentence(found: Standing) -> str:
    """The verdict, as a sentence."""
    verdict, arms = found.verdict, found.arms
    interval = f"95 % interval {verdict.low:+.2f} to {verdict.high:+.2f}"
    difference = f"precision of b minus precision of a is {verdict.difference:+.2f}, {interval}"
    if verdict.better == "neither yet":
        return f"neither is better yet: {difference}"
    return f"{verdict.better} ({arms[verdict.better].threshold:g}) is better: {difference}"


def figures_of(found: Standing) -> dict[str, Any]:
    """The results as they are printed as JSON."""
    return {
        "trial": found.trial.model_dump(mode="json"),
        "arms": {name: asdict(arm) for name, arm in found.arms.items()},
        "verdict": asdict(found.verdict),
    }
