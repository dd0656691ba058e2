"""The loop that keeps trained models good, a process of its own beside the job.

The job asks on a topic when a model's data have drifted. New versions, one of the kind at work and one of each other kind that is a
candidate, are trained on what came since, and judged on the same held-back data as the one at work. They are published with the request
that they answer, and the best is put beside the one at work as its shadow. What the job tells of the two decides: the new one is heard
for a few entities, then takes the place, with the old one now as its shadow; or it is taken off, at any step; and if it raises too many
alerts in its place, the old one comes back. The registry's aliases are the truth: killed at any point and started again, the loop goes
on from them. A model that is frozen is left alone.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from kafka import TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.feedback import confirmed, newest_feedback
from streamgauge.jobs.kafka.follow import not_learned
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.settings.loading import RetrainSettings, Settings
from streamgauge.jobs.studies.train import past_of_topic, registry_of, train
from streamgauge.models.calibration.thresholds import compare_thresholds
from streamgauge.models.catalog import FITTED
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.detectors.fitted.synthetic_anomalies import separation, synthetic_anomalies
from streamgauge.models.errors import ModelError, StreamgaugeError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import VALIDATION_SHARE, Past, windows_of
from streamgauge.models.training.contamination import Examined, examine
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import ModelVersion
from streamgauge.udfs.control.shares import is_canary
from streamgauge.udfs.events.time import epoch_milliseconds
from streamgauge.udfs.output.cloud_event import Origin

CANARY: Literal["canary"] = "canary"  # aliases
FROZEN = "frozen"
COUNTED = ("events", "live_alerts", "shadow_alerts", "both", "promised", "probes", "live_right", "shadow_right")
AS_GOOD = 0.02  # by how much a new version may separate planted anomalies worse, and still be tried
SLOWER, NOTHING = (
    3.0,
    5.0,
)  # times the cost of the one at work that a new version may have, or so many microseconds an event
ENOUGH_PROBES, BLINDER = 50, 0.1  # probes, and by how large a share of them fewer a model tells, to be the worse one
SURE = 0.99  # that a new version tells more of them, so that its turn comes at once
IDLE = 5.0  # seconds without anything to do, after which a single run is over
Say = Callable[[str], None]


class Keeper:
    """Answers requests to retrain, and moves versions through shadow to live, or back.

    Parameters
    ----------
    settings : Settings
        Those of the job.
    registry_url : str, optional
        `models.registry` of the settings by default.
    say : callable
        Told of each step in words.
    """

    def __init__(self, settings: Settings, registry_url: str | None = None, say: Say = lambda _: None) -> None:
        self.settings, self.say = settings, say
        self.gates: RetrainSettings = settings.retrain
        self.registry: Registry = registry_of(settings, registry_url)
        self._compared: dict[tuple[str, int, int], dict[str, float]] = {}

    def run(self, once: bool = False) -> int:
        """Go on until interrupted, or until there is nothing to do; returns the number of messages dealt with.

        Raises
        ------
        ClusterError
            The broker does not answer.
        """
        kafka, topics = self.settings.kafka, self.settings.kafka.topics
        done = 0
        self.reconcile()
        reading = {
            "group_id": f"{kafka.group}-trainer", "auto_offset_reset": "earliest", "isolation_level": "read_committed",
            "max_poll_records": 1, "max_poll_interval_ms": 3_600_000,
        }  # fmt: skip
        followed = (topics.retrain_requests, topics.notices)
        with clients.consumer(kafka, f"follow {topics.retrain_requests!r}", *followed, **reading) as consumer:
            idle = time.monotonic()
            while not once or time.monotonic() - idle < IDLE:
                for record in (r for batch in consumer.poll(500).values() for r in batch):
                    self.take(json.loads(record.value))
                    consumer.commit()  # after it: a message may be dealt with twice, never not at all
                    done += 1
                    idle = time.monotonic()
        return done

    def take(self, event: dict[str, Any]) -> None:
        """Deal with one message; what cannot be done is said, and is no reason to stop."""
        kind, data = event["type"].removeprefix("io.streamgauge."), event["data"]
        try:
            if kind == "retrain.requested":
                self.retrain(data)
            elif kind == "model.compared":
                self.judge(data)
        except StreamgaugeError as error:
            self._tell("failed", data["model"], {"why": str(error), "request": data.get("request")})

    # ---- from a request to a shadow -----------------------------------------------------------------------------------

    def retrain(self, data: dict[str, Any]) -> None:
        """Train a version, unless the request has been answered, and let it be the shadow if it is as good."""
        name, asked = data["model"], int(data["version"])
        aliases = self.registry.aliases(name)
        live = aliases.get("live")
        if FROZEN in aliases:
            [told, *_] = self.registry.history(name, FROZEN)
            self._tell("declined", name, {"request": data["request"], "why": f"frozen by {told['by']}: {told['why']}"})
            return
        if live != asked:
            self.say(f"{name}: version {asked} has drifted, but {live} is live: nothing to do")
            return
        answers = self._answers(name, asked, data)
        tried = {entry["version"] for entry in self.registry.history(name, "shadow")}
        if done := [answer.version for answer in answers.values() if answer.version in tried]:
            self.say(f"{name}: version {done[0]} has answered that already")
            return
        old = self.registry.manifest(name, asked)
        wanted = [old.detector, *(kind for kind in self.gates.candidates if kind != old.detector)]
        past: Past | None = None
        if any(kind not in answers for kind in wanted):
            past, found = examined(self.past(data), old)
            for kind in wanted:
                if kind not in answers and (answer := self._trained(name, kind, old, past, data, found)):
                    answers[kind] = answer
        past = past or self.past(data)
        rated = {kind: self._rated(name, old, answers[kind], past) for kind in wanted if kind in answers}
        good = {kind: figures for kind, figures in rated.items() if not figures["why"]}
        best = max(good, key=lambda kind: good[kind]["separates_planted"], default=None)
        # its own kind stays, unless another one is better by more than chance
        if old.detector in good and best and not _better(good[best], good[old.detector]):
            best = old.detector
        for kind, figures in rated.items():
            if figures["why"] or kind != best:
                why = figures["why"] or f"{best} separates planted anomalies better, or is what was at work"
                self._tell("rejected", name, figures | {"why": why})
        if best:
            figures = {key: value for key, value in good[best].items() if key != "why"}
            self._let(name, "shadow", int(figures["version"]), f"answers {answers[best].request}")
            self._tell("shadowed", name, figures)

    def _trained(
        self, name: str, kind: str, old: Manifest, past: Past, data: dict[str, Any], found: Examined
    ) -> Manifest | None:  # fmt: skip
        """A version of one kind, published; None where another kind than the one at work cannot be made, which is told."""
        own, sequence = kind == old.detector, FITTED[old.detector].sequence
        settings = old.settings if own else {"steps": old.steps} if sequence else None
        self.say(f"{name}: training {kind} on {len(past.X)} events of {past.source}")
        try:
            if FITTED[kind].sequence != sequence:
                takes = ("runs of events", "single ones") if FITTED[kind].sequence else ("single events", "runs")
                raise ModelError(f"{kind} takes {takes[0]}, the model at work {takes[1]}")
            progress = _in_time(self.gates.time, kind, self.say)
            answer = train(self.registry, name, kind, past, settings, say=progress, request=data["request"])
        except StreamgaugeError as error:
            if own:
                raise
            self._tell("failed", name, {"why": str(error), "detector": kind, "request": data["request"]})
            return None
        told = {
            "version": answer.version, "detector": kind, "request": answer.request, "rows": answer.history.rows,
            "reason": data["reason"], "data": found.figures,
        }  # fmt: skip
        self._tell("trained", name, told)
        return answer

    def _rated(self, name: str, old: Manifest, answer: Manifest, past: Past) -> dict[str, Any]:
        """How a new version compares with the one at work on the same held-back events, and why it is not to be tried, if so."""
        new, before = self._separations(name, old.version, answer, past)
        costs = [self._cost(name, version) for version in (answer.version, old.version)]
        why = None
        if costs[0] is None or costs[1] is None:
            why = f"it does not come in the variant {self._variant(name)!r} that the job uses"
        elif new + AS_GOOD < before:
            why = "it separates planted anomalies worse than the one at work"
        elif costs[0] > max(SLOWER * costs[1], NOTHING):
            why = "it is slower than the one at work"
        return {
            "version": answer.version, "detector": answer.detector, "live": old.version, "separates_planted": new,
            "live_separates_planted": before, "us_per_event": costs[0], "live_us_per_event": costs[1], "why": why,
        }  # fmt: skip

    def _variant(self, name: str) -> str:
        use = self.settings.models.use.get(name)
        return "full" if use is None else use.variant

    def _cost(self, name: str, version: int) -> float | None:
        """Microseconds that an event takes in the variant that the job uses, as they were measured after the training; None without it."""
        variants = self.registry.manifest(name, version).variants
        used = self._variant(name)
        return variants[used].figures.get("us_per_event") or 0.0 if used in variants else None

    def _answers(self, name: str, asked: int, data: dict[str, Any]) -> dict[str, Manifest]:
        """By detector, the newest versions that were trained because `asked` has drifted since then.

        Each partition asks for itself, and all are answered by the same versions; the one that was answered and asks again wants others.
        """
        [log] = data["offsets"]
        since = epoch_milliseconds(data["since"])
        answers: dict[str, Manifest] = {}
        for version in reversed(self.registry.versions(name)):
            manifest = self.registry.manifest(name, version)
            if manifest.parent != asked or manifest.request is None:
                continue
            other = manifest.request.split("/")[-2] != log
            if manifest.request == data["request"] or (other and (manifest.history.last or since) >= since):
                answers.setdefault(manifest.detector, manifest)
        return answers

    def _separations(self, name: str, live: int, answer: Manifest, past: Past) -> tuple[float, float]:
        """How well the new version and the one at work separate planted anomalies from the same held-back events."""
        new, old = (self.registry.load(name, version).detector for version in (answer.version, live))
        cut = len(past.X) - int(VALIDATION_SHARE * len(past.X))
        columns = [past.features.index(feature) for feature in answer.features]
        said = []
        usual = windows_of(new, past.X[cut:][:, columns], past.groups[cut:])
        strange = new.normalisation.undo(synthetic_anomalies(new.normalisation.apply(usual), new.seed))
        at = [answer.features.index(feature) for feature in self.registry.manifest(name, live).features]
        for detector, order in ((new, list(range(len(columns)))), (old, at)):
            said.append(separation(detector.rate_many(usual[..., order]), detector.rate_many(strange[..., order])))
        return said[0], said[1]

    # ---- from shadow to live, and back --------------------------------------------------------------------------------

    def judge(self, data: dict[str, Any]) -> None:
        """Add what the job tells of a model and its shadow, and decide when it is enough, or too much."""
        name, live, shadow = data["model"], int(data["live"]), int(data["shadow"])
        aliases = self.registry.aliases(name)
        if (aliases.get("live"), aliases.get("shadow")) != (live, shadow) or FROZEN in aliases:
            return
        told = self._compared.setdefault((name, live, shadow), dict.fromkeys(COUNTED, 0))
        told["events"] += data["events"]
        told["live_alerts"] += data["both"] + data["only_live"]
        told["shadow_alerts"] += data["both"] + data["only_shadow"]
        told["both"] += data["both"]
        told["promised"] += data["threshold"] * data["events"]
        for what in ("probes", "live_right", "shadow_right"):
            told[what] += data[what]
        either = told["live_alerts"] + told["shadow_alerts"] - told["both"]
        figures = {"live": live, "shadow": shadow, **told, "agreement": told["both"] / either if either else None}
        if shadow < live:
            self._judge_successor(name, live, shadow, told, figures)
        else:
            self._judge_shadow(name, live, shadow, aliases.get(CANARY) == shadow, told, figures)

    def _judge_successor(
        self, name: str, live: int, shadow: int, told: dict[str, float], figures: dict[str, Any]
    ) -> None:  # fmt: skip
        """Of a version that took the place, with the one before as its shadow."""
        flooded = told["live_alerts"] > 2 * self._most(told) and told["live_alerts"] > 2 * told["shadow_alerts"]
        if flooded or (told["probes"] >= ENOUGH_PROBES and _ahead(told) > BLINDER):
            self._let(name, "live", shadow, "too many alerts" if flooded else "blinder than the one before")
            self._off(name)
            self._tell("rolled_back", name, figures | {"version": shadow})
        elif told["events"] >= self.gates.compare:
            self._off(name)
            self._tell("settled", name, figures | {"version": live})

    def _judge_shadow(
        self, name: str, live: int, shadow: int, canary: bool, told: dict[str, float], figures: dict[str, Any]
    ) -> None:  # fmt: skip
        """Of a version that has not taken the place yet."""
        figures = figures | {"version": shadow}
        # where the one at work has become blind, every event that it goes on for costs
        enough = told["events"] >= self.gates.compare or _sees_more(told)
        more = told["shadow_alerts"] > self._most(told) * (1 if enough else 2)
        if more and 2 * told["shadow_alerts"] > told["live_alerts"] and (enough or canary):
            self._reject(name, figures, "more alerts than promised")
        elif _ahead(told) < -BLINDER and (enough or (canary and told["probes"] >= ENOUGH_PROBES)):
            self._reject(name, figures, "blinder than the one at work")
        elif canary and self._found_worse(name, figures):
            self._reject(name, figures, "people find more of its alerts false")
        elif enough and not canary and self.gates.canary:
            self._let(name, CANARY, shadow, "its shadow raised no more alerts than promised")
            self._compared.pop((name, live, shadow))
            self._tell("canary", name, figures | {"share": self.gates.canary})
        elif enough:
            self._let(name, "live", shadow, "it raised no more alerts than promised")
            self._let(name, "shadow", live, "watches over its successor")
            self._tell("promoted", name, figures)

    def _most(self, told: dict[str, float]) -> float:
        """Alerts that a version may raise in so many events."""
        return max(self.gates.alerts * told["promised"], self.gates.few)

    def _found_worse(self, name: str, figures: dict[str, Any]) -> bool:
        """Whether people find more of the canary's alerts false than of the others; what they find is added to the figures."""
        share = self.gates.canary
        since = datetime.fromisoformat(self.registry.history(name, CANARY)[0]["at"])
        arms = {True: [0, 0], False: [0, 0]}
        for message in self.heard(int(since.timestamp() * 1000)):
            if message.verdict != "ignore" and name in message.agreed:
                arm = arms[is_canary(message.entity, share)]
                arm[0] += message.verdict == "true"
                arm[1] += 1
        (right, judged), (canary_right, canary_judged) = arms[False], arms[True]
        verdict = compare_thresholds((right, judged), (canary_right, canary_judged))
        figures |= {"judged": judged, "right": right, "canary_judged": canary_judged, "canary_right": canary_right}
        return verdict.better == "a"

    def _reject(self, name: str, figures: dict[str, Any], why: str) -> None:
        self._off(name)
        self._tell("rejected", name, figures | {"why": why})

    def reconcile(self) -> None:
        """Tell the jobs what the aliases say: a keeper before may have been killed between the two. A shadow that is live is none."""
        for name in self.settings.models.use:
            aliases = self.registry.aliases(name)
            live, shadow = aliases.get("live"), aliases.get("shadow")
            if live is not None:
                self.send(ModelVersion(type="model", model=name, role="live", version=live))
            if shadow is not None:
                self._cast(name, None if shadow == live else shadow, aliases.get(CANARY) == shadow)

    def _let(self, name: str, role: Literal["live", "shadow", "canary"], version: int, why: str) -> None:
        """Point the alias, then tell the jobs. A canary is a shadow that is heard for some entities."""
        self.registry.point(name, role, version, "keeper", why)
        if role == "live":
            self.send(ModelVersion(type="model", model=name, role=role, version=version))
        else:
            self._cast(name, version, role == CANARY)

    def _cast(self, name: str, version: int | None, canary: bool = False) -> None:
        share = self.gates.canary if canary and version is not None else 0.0
        self.send(ModelVersion(type="model", model=name, role="shadow", version=version, share=share))

    def _off(self, name: str) -> None:
        """Take the shadow off: its alias is then that of the one at work."""
        self.registry.point(name, "shadow", self.registry.aliases(name)["live"], "keeper", "no shadow")
        self._cast(name, None)
        self._compared = {key: told for key, told in self._compared.items() if key[0] != name}

    def _tell(self, step: str, name: str, data: dict[str, Any]) -> None:
        self.say(f"{name}: {step.replace('_', ' ')} " + ", ".join(f"{key} {value}" for key, value in data.items()))
        self.tell(step, name, data)

    # ---- the outside world --------------------------------------------------------------------------------------------

    def send(self, message: ModelVersion) -> None:
        """Tell the jobs which version has which role."""
        send_control(self.settings.kafka, message)

    def tell(self, step: str, name: str, data: dict[str, Any]) -> None:
        """Put a step on the topic of notices."""
        kafka = self.settings.kafka
        origin, now = Origin(kafka.topics.events, self.settings.job.name), int(time.time() * 1000)
        text = origin.event(uuid.uuid4().hex, f"model.{step}", name, now, {"model": name, **data})
        with clients.producer(kafka, f"write to {kafka.topics.notices!r}") as producer:
            producer.send(kafka.topics.notices, text, name.encode()).get(30)

    def heard(self, since: int) -> list[Feedback]:
        """What people said since a time, in milliseconds."""
        return newest_feedback(self.settings.kafka, since)

    def past(self, data: dict[str, Any]) -> Past:
        """What came on all partitions since the drift began, as soon as it is enough."""
        settings, topic = self.settings, self.settings.kafka.topics.events
        [(partition, (first, _))] = data["offsets"].items()
        deadline = time.monotonic() + self.gates.wait / 1000
        while True:
            with clients.consumer(settings.kafka, f"read {topic!r}") as consumer:
                places = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
                here = TopicPartition(topic, max(int(partition), 0))
                consumer.assign([here])
                consumer.seek(here, max(first, consumer.beginning_offsets([here])[here]))
                found: list[Any] = []
                while not found:
                    found = [r for batch in consumer.poll(1000, max_records=1).values() for r in batch]
                since = consumer.offsets_for_times(dict.fromkeys(places, found[0].timestamp))
                ends = consumer.end_offsets(places)
            begins = {p: ends[p] if since[p] is None else since[p].offset for p in places}
            begins[here] = max(begins[here], first)
            ranges = {p.partition: (begins[p], ends[p]) for p in places if begins[p] < ends[p]}
            rows = sum(end - begin for begin, end in ranges.values())
            if rows >= self.gates.least or time.monotonic() > deadline:
                share = min(1.0, self.gates.most / max(rows, 1))
                newer = {p: (end - int((end - begin) * share), end) for p, (begin, end) in ranges.items()}
                kafka = settings.kafka
                quarantined = not_learned(kafka, epoch_milliseconds(data["since"]))
                return past_of_topic(settings, newer, confirmed=confirmed(kafka), quarantined=quarantined)
            time.sleep(1.0)


def examined(past: Past, old: Manifest) -> tuple[Past, Examined]:
    """What of some data is to be trained on, and why not the rest (`models.contamination`).

    Parameters
    ----------
    past : Past
    old : Manifest
        Of the version before: what was usual in its data is not far from the rest.
    """
    at = {name: k for k, name in enumerate(old.features)}
    low, high = (
        np.array(
            [np.nan if name not in at or edge[at[name]] is None else edge[at[name]] for name in past.features], float
        )
        for edge in (old.history.low, old.history.high)
    )
    found = examine(past.X, past.groups, low, high)
    notes = [past.left_out] * bool(past.left_out)
    notes += [f"{found.crowded:.1%} of entities that send most"] * bool(found.crowded)
    notes += [f"{found.far:.1%} far from the rest"] * bool(found.far)
    kept = replace(past, X=past.X[found.kept], groups=past.groups[found.kept], left_out="; ".join(notes))
    return kept, found


def _better(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["separates_planted"] > other["separates_planted"] + AS_GOOD)


def _in_time(milliseconds: int, kind: str, say: Say) -> Progress:
    """Progress of a training, told by quarters, which ends with a ModelError when it takes longer."""
    deadline, told = time.monotonic() + milliseconds / 1000, {0}

    def progress(what: str, done: float) -> None:
        if done < 1.0 and time.monotonic() > deadline:
            raise ModelError(
                f"{kind}: {what} was at {done:.0%} after {milliseconds / 1000:g} s, as long as retrain.time allows"
            )
        if (quarter := int(4 * done)) not in told:
            told.add(quarter)
            say(f"{kind}: {what} {done:.0%}")

    return progress


def _sees_more(told: dict[str, float]) -> bool:
    """Whether the shadow surely tells more probes than the one at work."""
    probes, live, shadow = (int(told[what]) for what in ("probes", "live_right", "shadow_right"))
    return probes >= ENOUGH_PROBES and compare_thresholds((live, probes), (shadow, probes), SURE).better == "b"


def _ahead(told: dict[str, float]) -> float:
    """By how large a share of the probes the shadow tells more than the one at work."""
    return (told["shadow_right"] - told["live_right"]) / max(told["probes"], 1)
