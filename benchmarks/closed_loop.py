"""The closed loop in one process: the job's pipeline and the trainer, without Kafka and Flink.

There are two streams of simulated machines. In the first, the data change and stay changed. In the second, they change as much, and
change back. What a retrained model finds is compared with a model that was trained on the new data from the start. The alerts are
compared with those of a job without a trainer. Later, a model that is bad on purpose is made live, and must be rolled back. A third
stream is for feedback: it has frequent harmless peaks beside anomalies, and people judge a few alerts, sometimes wrongly. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.metrics import average_precision_score
from streamgauge.jobs.retrain_models import Trainer
from streamgauge.jobs.retraining.notices import step_of
from streamgauge.jobs.retraining.topics import TrainerTopics
from streamgauge.jobs.settings.loading import Settings, validated
from streamgauge.jobs.studies.train import train
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.persistence.unfinished import Unfinished
from streamgauge.models.training.candidate import Past
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import ModelVersion
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.detectors import DetectorSettings

from benchmarks.common import finish, say
from examples.closed_loop.story import FIELDS, MODEL, Moment, bad_live_model, draw, made

START, BATCH = 1_767_600_000_000, 250
EVENTS, CHANGE, BAD_AT, LABELLED = 80_000, 20_000, 68_000, 160_000
RATE = 3_000  # events a second; figures in seconds are for this rate


def settings_of(registry: str | None, alone: bool = True, **decide: Any) -> Settings:
    """A job with the default ensemble, and with the model if there is a registry. With `alone`, the model replaces the ensemble."""
    values: dict[str, Any] = {"decide": {"threshold": 1e-3, "warmup": 100, **decide}, "drift": {"every": 2000}}
    if registry is not None:
        values["models"] = {"registry": registry, "use": {MODEL: {}}}
        if alone:
            values["detectors"] = dict.fromkeys(DetectorSettings.model_fields) | {"flat_line": {"streams": ["series"]}}
    return validated(values, "the benchmark")


@dataclass
class Played:
    """What came of a stream.

    Attributes
    ----------
    evidence : float64[n]
        Evidence of the model for each event.
    opened : list of dict
        Data of the alerts that opened.
    steps : list of (str, int, dict)
        Step of the trainer, number of events before it, data of the notice.
    requested : list of int
        Number of events before each request to retrain.
    seconds : float
        CPU time of the pipeline.
    """

    evidence: Floats
    opened: list[dict[str, Any]] = field(default_factory=list)
    steps: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    requested: list[int] = field(default_factory=list)
    seconds: float = 0.0


class InProcess(TrainerTopics):
    """The topics of a trainer in the same process as the pipeline."""

    def __init__(self, settings: Settings, shard: Shard, played: Played, X: Floats, entities: Ints) -> None:
        super().__init__(settings)
        self.shard, self.played, self.X, self.entities = shard, played, X, entities
        self.now = 0

    def send(self, message: ModelVersion) -> None:
        self.shard.apply(message)

    def publish(self, step: str, name: str, data: dict[str, Any], at: int) -> None:
        self.played.steps.append((step, self.now, data))

    def feedback_since(self, since: int) -> list[Feedback]:
        return []

    def past(self, request: dict[str, Any], stop: threading.Event, unfinished: Unfinished) -> Past:
        [(first, _)] = request["offsets"].values()
        return Past(self.X[first : self.now], FIELDS, self.entities[first : self.now], last=START + self.now)


def play(settings: Settings, X: Floats, entities: Ints, loop: bool, bad_at: int | None = None) -> Played:
    """Process a stream, and let the trainer answer after each batch."""
    shard, played = Shard(settings.pipeline(), saves=False), Played(np.full(len(X), np.nan))
    topics = InProcess(settings, shard, played, X, entities)
    trainer = Trainer(settings, clock=lambda: float(topics.now), topics=topics)  # one event a second
    encode = msgspec.json.Encoder().encode
    member = shard.member_names.index(MODEL)
    names = [f"m{e}" for e in entities.tolist()]
    texts = [encode({"entity": e, **dict(zip(FIELDS, x, strict=True))}) for e, x in zip(names, X.tolist(), strict=True)]
    for begin in range(0, len(X), BATCH):
        if bad_at is not None and begin == bad_at:
            for message in bad_live_model(trainer.registry):
                topics.send(message)
        offsets = np.arange(begin, min(begin + BATCH, len(X)))
        raw = RawBatch(texts[begin : begin + BATCH], np.zeros(len(offsets), np.int64), offsets, START + offsets)
        began = time.process_time()
        result = shard.process(raw)
        played.seconds += time.process_time() - began
        for rows, members in zip(result.rows, result.members, strict=True):
            played.evidence[begin + rows] = members[:, member]
        data = [json.loads(text)["data"] for _, text in result.alerts]
        played.opened += [alert for alert in data if alert["state"] == "opened"]
        topics.now = begin + len(offsets)
        played.requested += [topics.now] * len(result.requests)
        for _, text in (*result.requests, *result.notices) if loop else ():
            while (event := step_of(text)) and not trainer.handle(event):
                trainer.has_trained(None)
        trainer.answer_due()
        trainer.has_trained(None)
    return played


def drift_and_incident(seed: int, plot: Path | None = None) -> dict[str, Any]:
    """Figures of the first two streams: retraining must happen on the lasting change, and not on the other."""
    figures: dict[str, Any] = {}
    at = np.arange(EVENTS)
    for what, moved in (("drift", at >= CHANGE), ("incident", (at >= CHANGE) & (at < CHANGE + 4000))):
        with tempfile.TemporaryDirectory() as folder:
            X, entities, labels = made(EVENTS, seed, moved)
            before, groups, _ = made(8000, seed + 100, np.zeros(8000, np.bool_))
            registry = Registry(folder)
            registry.point(
                MODEL, "live", train(registry, MODEL, "isolation_forest", Past(before, FIELDS, groups)).version
            )
            settings = settings_of(folder)
            played = play(settings, X, entities, True, bad_at=BAD_AT if what == "drift" else None)
            versions = sum(step == "trained" for step, *_ in played.steps)
            say(f"{what}: {[(step, at) for step, at, _ in played.steps]}")
            if what == "incident":
                figures["retrained_on_incident"] = versions
                continue
            if plot is not None:
                draw(labels, np.nan_to_num(played.evidence), moments_of(played), plot)
            registry.point(MODEL, "live", 1)
            plain = play(settings_of(folder), X, entities, False)
            figures |= _after_drift(played, plain, X, labels, versions, seed, registry)
    return figures


def _after_drift(
    played: Played, plain: Played, X: Floats, labels: Flags, versions: int, seed: int, registry: Registry
) -> dict[str, Any]:
    when = {step: at for step, at, _ in reversed(played.steps)}
    changed, groups, _ = made(8000, seed + 200, np.ones(8000, np.bool_))
    train(registry, MODEL, "isolation_forest", Past(changed, FIELDS, groups))
    reference = registry.load(MODEL, registry.versions(MODEL)[-1]).detector
    part = slice(when.get("promoted", EVENTS), BAD_AT)
    ours = average_precision_score(labels[part], np.nan_to_num(played.evidence[part]))
    theirs = average_precision_score(labels[part], reference.rate_many(X[part]))

    def alerts(one: Played) -> tuple[int, int]:
        """Number of false and of right alerts, between the change and the bad model."""
        places = [alert["source"]["offset"] for alert in one.opened]
        right = labels[[place for place in places if CHANGE <= place < BAD_AT]]
        return int((~right).sum()), int(right.sum())

    (false, found), (plain_false, plain_found) = alerts(played), alerts(plain)

    return {
        "retrained_on_drift": versions,
        "events_to_retrain": played.requested[0] - CHANGE if played.requested else None,
        "events_to_promotion": when.get("promoted", EVENTS) - CHANGE,
        "auc_pr_after": round(float(ours), 4),
        "auc_pr_reference": round(float(theirs), 4),
        "auc_pr_over_reference": round(float(ours / theirs), 4),
        "false_alerts_with_and_without": [false, plain_false],
        "right_alerts_with_and_without": [found, plain_found],
        "false_alert_ratio": round(false / max(plain_false, 1), 4),
        "rollback_events": when.get("rolled_back", EVENTS) - BAD_AT,
        "rollback_seconds": round((when.get("rolled_back", EVENTS) - BAD_AT) / RATE, 2),
    }


def moments_of(played: Played) -> list[Moment]:
    """The steps to show in the picture."""
    moments = [Moment(CHANGE, "the data change"), *(Moment(at, "request") for at in played.requested[:1])]
    for step, at, data in played.steps:
        if step != "shadowed":
            version = data["version"] if step in ("promoted", "rolled_back") else None
            moments.append(Moment(at, step.replace("_", " "), version))
    bad = [data["live"] for step, _, data in played.steps if step == "rolled_back"]
    return [*moments, Moment(BAD_AT, "bad model", max(bad, default=None))]


def slowdown(seed: int) -> float:
    """How much CPU time the watch for drift adds, as a share: the median of 24 pairs of runs, with it and without."""
    X, entities, _ = made(20_000, seed, np.zeros(20_000, np.bool_))
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(folder)
        registry.point(
            MODEL, "live", train(registry, MODEL, "isolation_forest", Past(X[:8000], FIELDS, entities[:8000])).version
        )
        watching = settings_of(folder, alone=False)
        without = watching.model_copy(update={"drift": None, "track": None})
        times = [[play(chosen, X, entities, False).seconds for chosen in (watching, without)] for _ in range(24)]
    watched, unwatched = np.array(times).T
    return float(np.median(watched / unwatched)) - 1.0


def with_feedback(seed: int, share: float, wrong: float) -> tuple[float, float]:
    """Precision and recall in the second half of a stream, where people judge a share of the alerts, and a share of them wrongly."""
    random = np.random.default_rng(seed)
    X, entities, labels = made(LABELLED, seed, np.zeros(LABELLED, np.bool_))
    labels &= random.random(len(X)) < 0.3
    X[~labels] = np.clip(X[~labels], -3.5, 3.5)
    strange = np.flatnonzero(labels)
    X[strange, random.integers(1, 4, len(strange))] += 15.0
    harmless = (entities % 4 == 0) & (random.random(len(X)) < 0.01) & ~labels
    X[harmless, 0] = 12.0 + random.normal(size=harmless.sum())  # harmless peaks, such as a backup
    settings = settings_of(None, quiet_events=3)
    shard = Shard(settings.pipeline(), saves=False)
    found: list[int] = []
    encode, judged = msgspec.json.Encoder().encode, 0
    for begin in range(0, len(X), BATCH):
        part = range(begin, begin + BATCH)
        texts = [encode({"entity": f"m{entities[i]}", **dict(zip(FIELDS, X[i].tolist(), strict=True))}) for i in part]
        offsets = np.array(part)
        result = shard.process(RawBatch(texts, offsets * 0, offsets, START + offsets))
        for alert in (a for _, text in result.alerts if (a := json.loads(text)["data"])["state"] == "opened"):
            place = alert["source"]["offset"]
            found.append(place)
            if random.random() < share:
                right = bool(labels[place]) == (random.random() >= wrong)
                field_ = max(alert["contributions"], key=alert["contributions"].__getitem__)
                shard.hear(
                    Feedback(
                        alert_id=alert["alert_id"],
                        entity=alert["entity"],
                        kind=alert["kind"],
                        field=field_,
                        tail_probability=max(alert["tail_probability"], 1e-300),
                        verdict="true" if right else "false",
                        effect=abs(alert["actual"][field_] - alert["expected"][field_]),
                        by=f"p{judged % 5}",
                        agreed=tuple(alert["agreed"]),
                        disagreed=tuple(alert["disagreed"]),
                    ),
                    judged,
                )
                judged += 1
    late = [place for place in found if place >= len(X) // 2]
    hits = {place for place in late if labels[place]}
    say(f"{len(found)} alerts, {judged} judged")
    return len(hits) / max(len(late), 1), len(hits) / max(int(labels[len(X) // 2 :].sum()), 1)


def main() -> None:
    """Run the benchmark, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closed_loop", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the streams")
    parser.add_argument("--plot", type=Path, help="PNG file to draw")
    chosen = parser.parse_args()
    seed = chosen.seed
    figures = drift_and_incident(seed, chosen.plot)
    say("feedback")
    plain, right, mixed = (with_feedback(seed, share, wrong) for share, wrong in ((0, 0), (0.02, 0), (0.02, 0.1)))
    figures |= {
        "precision_recall": {"without": plain, "right_labels": right, "wrong_labels": mixed},
        "feedback_precision_gain": round(right[0] - plain[0], 4),
        "feedback_recall_change": round(right[1] - plain[1], 4),
        "wrong_feedback_loss": round(plain[0] - mixed[0], 4),
        "wrong_feedback_recall_change": round(mixed[1] - plain[1], 4),
    }
    say("slowdown")
    finish(figures | {"slowdown": round(slowdown(seed), 4)})


if __name__ == "__main__":
    main()
