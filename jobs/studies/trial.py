"""Two thresholds tried on live traffic, each on its share of the entities, and what people find of the alerts of each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from streamgauge.jobs.kafka.feedback import newest_feedback, votes
from streamgauge.jobs.kafka.topics import read_compacted, records_since, send_control
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.calibration.thresholds import Verdict, compare_thresholds
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.control.messages import Threshold, Trial, parse


@dataclass(slots=True)
class Arm:
    """One of the two.

    Attributes
    ----------
    threshold : float
        Tail probability.
    alerts : int
        Incidents that opened.
    judged, right : int
        Of these, those that somebody judged, and those that more people found true than false.
    """

    threshold: float
    alerts: int = 0
    judged: int = 0
    right: int = 0


@dataclass(slots=True)
class Standing:
    """How a trial stands.

    Attributes
    ----------
    trial : Trial
    arms : dict of str to Arm
    """

    trial: Trial
    arms: dict[str, Arm]

    @property
    def verdict(self) -> Verdict:
        """Which of the two is better, if one is."""
        a, b = ((arm.right, arm.judged) for arm in self.arms.values())
        return compare_thresholds(a, b)


def start(kafka: KafkaSettings, a: float, b: float, share: float) -> Trial:
    """Begin a trial; it takes the place of one that goes on.

    Parameters
    ----------
    kafka : KafkaSettings
    a, b : float
        Tail probabilities.
    share : float
        Of the entities, for b.

    Raises
    ------
    SettingsError
        That is no trial; says which value is wrong and what is allowed.
    ClusterError
        The broker does not answer.
    """
    now = datetime.now(UTC).isoformat()
    trial = parse(json.dumps({"type": "trial", "a": a, "b": b, "share": share, "since": now}))
    assert isinstance(trial, Trial)
    send_control(kafka, trial)
    return trial


def end(kafka: KafkaSettings, keep: Literal["a", "b"] | None) -> float | None:
    """End the trial; returns the threshold that is kept for all entities, if one is."""
    trial = running(kafka)
    kept = None if keep is None else {"a": trial.a, "b": trial.b}[keep]
    if kept is not None:
        send_control(kafka, Threshold(type="threshold", value=kept))
    send_control(kafka, Trial(type="trial"))
    return kept


def running(kafka: KafkaSettings) -> Trial:
    """The trial that goes on.

    Raises
    ------
    InputError
        There is none.
    ClusterError
        The broker does not answer.
    """
    newest: Trial | None = None
    for _, text in read_compacted(kafka, kafka.topics.control):
        try:
            message = parse(text)
        except SettingsError:
            continue  # the job has put it on the dead-letter topic
        if isinstance(message, Trial):
            newest = message
    if newest is None or newest.a is None:
        raise InputError("no trial goes on: `streamgauge trial start 1e-4 1e-5` begins one")
    return newest


def standing(kafka: KafkaSettings) -> Standing:
    """How the trial that goes on stands.

    Raises
    ------
    InputError
        There is none.
    ClusterError
        The broker does not answer.
    """
    trial = running(kafka)
    assert trial.a is not None
    assert trial.b is not None
    since = 0 if trial.since is None else int(trial.since.timestamp() * 1000)
    found = Standing(trial, {"a": Arm(trial.a), "b": Arm(trial.b)})
    arm_of: dict[str, str] = {}
    for record in records_since(kafka, kafka.topics.alerts, since):
        data = json.loads(record.value)["data"]
        if data["state"] == "opened" and "trial" in data and data["alert_id"] not in arm_of:
            arm_of[data["alert_id"]] = data["trial"]
            found.arms[data["trial"]].alerts += 1
    for alert_id, vote in votes(newest_feedback(kafka)).items():
        if alert_id in arm_of:
            arm = found.arms[arm_of[alert_id]]
            arm.judged += vote != 0
            arm.right += vote > 0
    return found


def words(found: Standing) -> str:
    """The verdict, in a sentence."""
    verdict, arms = found.verdict, found.arms
    difference = f"precision of b less that of a is {verdict.difference:+.2f}, 95 % interval {verdict.low:+.2f} to {verdict.high:+.2f}"
    if verdict.better == "neither yet":
        return f"neither is better yet: {difference}"
    return f"{verdict.better} ({arms[verdict.better].threshold:g}) is better: {difference}"


def figures_of(found: Standing) -> dict[str, Any]:
    """All of it, as it is printed as JSON."""
    return {
        "trial": found.trial.model_dump(mode="json"),
        "arms": {name: asdict(arm) for name, arm in found.arms.items()},
        "verdict": asdict(found.verdict),
    }
