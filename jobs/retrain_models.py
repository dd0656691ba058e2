"""The trainer: a process beside the job that keeps trained models good.

When the data of a model have drifted, the job writes a request to retrain. The trainer answers it. It trains candidates on the events since
the drift began: one with the detector of the live version, and one with each other detector that the settings name. It judges them on the
same validation data as the live version. The best candidate becomes the shadow of the live version.

The job then reports how the two compare, and these reports decide. The new version first counts for a few entities (it is a canary). Then
it becomes live, and the old version is its shadow. It may be rejected at each step. If it raises too many alerts when it is live, the old
version becomes live again.

After a rejection the trainer waits before it answers the next request for that model: a minute, then twice as long each time, up to a day
(`jobs.retraining.backoff`). A new version that stays live ends the waiting.

The aliases in the registry say which version has which role, and which requests wait. How long they wait follows from the notices. So
the trainer can be killed at any point: when it is started again, it continues from there. It changes nothing about a frozen model.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal

from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.feedback import newest_feedback
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.retraining.backoff import REJECTING, REMEMBERED, Backoff, Clock
from streamgauge.jobs.retraining.history import examined, past_since_drift
from streamgauge.jobs.retraining.metrics import TrainerMetrics
from streamgauge.jobs.retraining.notices import STEP, event_of, steps_since
from streamgauge.jobs.retraining.probes import CLEARLY_FEWER, ENOUGH_PROBES, finds_more, shadow_lead
from streamgauge.jobs.retraining.rating import AS_GOOD, Comparison, compare, figures_of
from streamgauge.jobs.settings.loading import RetrainSettings, Settings
from streamgauge.jobs.studies.train import registry_of, train
from streamgauge.models.calibration.thresholds import compare_thresholds
from streamgauge.models.catalog import FITTED, why_unknown
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.errors import ClusterError, ModelError, StreamgaugeError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past
from streamgauge.models.training.contamination import Examined
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import ModelVersion
from streamgauge.udfs.control.shares import is_canary
from streamgauge.udfs.events.time import epoch_milliseconds
from streamgauge.udfs.output.cloud_event import Origin

CANARY: Literal["canary"] = "canary"  # aliases
FROZEN = "frozen"
BY = "trainer"  # who moves the aliases, in their history
COUNTED = ("events", "live_alerts", "shadow_alerts", "both", "promised", "probes", "live_right", "shadow_right")
RETRY = 2.0  # seconds between two attempts to reach a broker that has gone away
IDLE = 5.0  # seconds without a message, after which a single run ends
WHY = {
    "separation": "it separates synthetic anomalies worse than the live version",
    "cost": "it is slower than the live version",
    "alerts": "it raises more alerts than promised",
    "probes": "it finds fewer probes than the live version",
    "feedback": "people find more of its alerts false",
}
Say = Callable[[str], None]


class Trainer:
    """Answers requests to retrain, and moves versions through shadow to live, or back.

    Parameters
    ----------
    settings : Settings
        Those of the job.
    registry : Registry, optional
        That of the settings by default.
    say : callable
        Called with a line of text at each step.
    clock : callable
        Returns the seconds since 1970. Waits after rejections are measured by it.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry | None = None,
        say: Say = lambda _: None,
        clock: Clock = time.time,
    ) -> None:
        self.settings, self.say, self.clock = settings, say, clock
        self.gates: RetrainSettings = settings.retrain
        self.registry: Registry = registry or registry_of(settings)
        self.backoff = Backoff(clock)
        self.metrics = TrainerMetrics(list(settings.models.use), self.backoff.seconds_left)
        self._compared: dict[tuple[str, int, int], dict[str, float]] = {}

    def run(self, once: bool = False) -> int:
        """Answer messages until interrupted.

        Parameters
        ----------
        once : bool
            End as soon as there is nothing to do.

        Returns
        -------
        int
            Number of messages that were handled.

        Raises
        ------
        ClusterError
            The broker does not answer in a single run. Other runs wait for it, and then do again what they could not write.
        """
        while True:
            try:
                self.backoff.forget_all()
                self.recall()
                self.reconcile()
                return self._follow(once)
            except ClusterError as error:
                if once:
                    raise
                self.say(f"{error}; trying again in {RETRY:g} s")
                time.sleep(RETRY)

    def _follow(self, once: bool) -> int:
        """Handle messages until interrupted, or until there is nothing to do. Returns how many were handled."""
        kafka, topics = self.settings.kafka, self.settings.kafka.topics
        done = 0
        reading: dict[str, Any] = {
            "group_id": f"{kafka.group}-trainer",
            "auto_offset_reset": "earliest",
            "max_poll_records": 1,
            "max_poll_interval_ms": 3_600_000,
        }
        followed = (topics.retrain_requests, topics.notices)
        with clients.consumer(kafka, f"follow {topics.retrain_requests!r}", *followed, **reading) as consumer:
            idle = time.monotonic()
            while not once or time.monotonic() - idle < IDLE:
                self.answer_due()
                for record in (r for batch in consumer.poll(500).values() for r in batch):
                    if event := event_of(record.value):
                        self.handle(event)
                    consumer.commit()  # after handling: a message may be handled twice, but none is lost
                    done += 1
                    idle = time.monotonic()
        return done

    def handle(self, event: dict[str, Any]) -> None:
        """Handle one message. What cannot be done is reported, and the trainer goes on, whatever the message holds."""
        kind, data = event["type"].removeprefix("io.streamgauge."), event["data"]
        try:
            if data["model"] not in (*self.settings.models.use, *self.registry.names()):
                self.say(f"{kind}: {data['model'][:100]!r} is no model")
            elif kind == "retrain.requested":
                self.retrain(data)
            elif kind == "model.compared":
                self.judge(data)
        except Exception as error:  # also what a message lacks, and a registry that is away
            why = str(error) if isinstance(error, StreamgaugeError) else f"{type(error).__name__}: {error}"
            request = asked if isinstance(asked := data.get("request"), str) else None
            self._report("failed", data["model"], {"why": why, "request": request})

    def answer_due(self) -> None:
        """Answer the requests whose wait is over."""
        for request in self.backoff.due():
            self.handle({"type": "io.streamgauge.retrain.requested", "data": request})
            self.backoff.forget(request)
            self._keep_waiting(request["model"])

    # ---- from a request to a shadow -----------------------------------------------------------------------------------

    def retrain(self, data: dict[str, Any]) -> None:
        """Train candidates, and let the best be the shadow if it is good enough.

        Nothing is trained if the model is frozen, if the request has an answer already, or if it has to wait.
        """
        name, asked = data["model"], int(data["version"])
        aliases = self.registry.aliases(name)
        live = aliases.get("live")
        if FROZEN in aliases:
            [entry, *_] = self.registry.history(name, FROZEN)
            why = f"frozen by {entry['by']}: {entry['why']}"
            self._report("declined", name, {"request": data["request"], "why": why})
            return
        if live != asked:
            self.say(f"{name}: version {asked} has drifted, but {live} is live: nothing to do")
            return
        if self.backoff.is_rejected(name, data["request"]):
            self.say(f"{name}: the answer to {data['request']} was rejected already")
            return
        answers = self._answers(name, asked, data)
        tried = {entry["version"] for entry in self.registry.history(name, "shadow")}
        done, shadow = [answer.version for answer in answers.values() if answer.version in tried], aliases.get("shadow")
        # A kill between the alias and the notice leaves a shadow that nobody was told of: it is compared and told again.
        if done and (shadow not in done or self.backoff.is_told(name, shadow)):
            self.say(f"{name}: version {done[0]} has answered that already")
            return
        if wait := self.backoff.seconds_left(name):
            self._defer(name, data, wait)
            return
        old = self.registry.manifest(name, asked)
        if old.detector not in FITTED:
            raise ModelError(f"version {asked} is a {old.detector}, {why_unknown(old.detector)}")
        wanted = [old.detector, *(kind for kind in self.gates.candidates if kind != old.detector)]
        past: Past | None = None
        if any(kind not in answers for kind in wanted):
            past, found = examined(self.past(data), old)
            for kind in wanted:
                if kind not in answers and (answer := self._trained(name, kind, old, past, data, found)):
                    answers[kind] = answer
        past = past or self.past(data)
        self._choose(name, old, {kind: answers[kind] for kind in wanted if kind in answers}, past)

    def _defer(self, name: str, data: dict[str, Any], wait: float) -> None:
        """Put a request aside until the wait is over. A notice holds the request, so that it is known after a restart."""
        count = self.backoff.rejections(name)
        why = f"waits {wait:.0f} s after {count} rejected answer{'s' * (count > 1)}"
        self._report("deferred", name, {"request": data["request"], "rejections": count, "why": why, "asked": data})

    def _choose(self, name: str, old: Manifest, answers: dict[str, Manifest], past: Past) -> None:
        """Compare the candidates with the live version. The best becomes its shadow; the others are rejected, with the reason."""
        compared = {kind: self._compare(answer, old, past) for kind, answer in answers.items()}
        good = {kind: comparison for kind, comparison in compared.items() if comparison.gate() is None}
        best = max(good, key=lambda kind: good[kind].separates, default=None)
        # the detector of the live version is kept, unless another one is clearly better
        if old.detector in good and best and good[best].separates <= good[old.detector].separates + AS_GOOD:
            best = old.detector
        for kind, comparison in compared.items():
            if kind == best:
                continue
            figures = figures_of(answers[kind], old, comparison)
            if best:  # the request has an answer, so this rejection is no reason to wait
                figures["instead"] = answers[best].version
            if (gate := comparison.gate()) is None:
                gate, why = (
                    "other",
                    f"{best} separates synthetic anomalies better, or is the detector of the live version",
                )
            else:
                why = WHY[gate]
            self._report("rejected", name, figures | {"gate": gate, "why": why})
        if best:
            figures = figures_of(answers[best], old, compared[best])
            self._assign(name, "shadow", answers[best].version, f"answers {answers[best].request}")
            self._report("shadowed", name, figures)

    def _trained(
        self, name: str, kind: str, old: Manifest, past: Past, data: dict[str, Any], found: Examined
    ) -> Manifest | None:
        """Train and publish a version with one detector.

        If that fails for another detector than the live version's, the failure is reported and None is returned.
        """
        own, sequence = kind == old.detector, FITTED[old.detector].sequence
        settings = old.settings if own else {"steps": old.steps} if sequence else None
        self.say(f"{name}: training {kind} on {len(past.X)} events of {past.source}")
        try:
            if FITTED[kind].sequence != sequence:
                needs = (
                    ("runs of events", "single events")
                    if FITTED[kind].sequence
                    else ("single events", "runs of events")
                )
                raise ModelError(f"{kind} scores {needs[0]}, but the live version scores {needs[1]}")
            progress = _in_time(self.gates.time, kind, self.say)
            answer = train(self.registry, name, kind, past, settings, say=progress, request=data["request"])
        except StreamgaugeError as error:
            if own:
                raise
            self._report("failed", name, {"why": str(error), "detector": kind, "request": data["request"]})
            return None
        figures = {
            "version": answer.version,
            "detector": kind,
            "request": answer.request,
            "rows": answer.history.rows,
            "reason": data["reason"],
            "data": found.figures,
        }
        self._report("trained", name, figures)
        return answer

    def _compare(self, candidate: Manifest, live: Manifest, past: Past) -> Comparison:
        return compare(self.registry, candidate, live, past)

    def _answers(self, name: str, asked: int, data: dict[str, Any]) -> dict[str, Manifest]:
        """The newest versions, by detector, that answer a request already.

        Each partition writes its own request for the same drift, and all of them have the same answer. There is no answer yet if the
        partition that was answered asks again, or if the versions were rejected.
        """
        partition = data["request"].split("/")[-2]
        since = epoch_milliseconds(data["since"])
        answers: dict[str, Manifest] = {}
        for version in reversed(self.registry.versions(name)):
            manifest = self.registry.manifest(name, version)
            if manifest.parent != asked or manifest.request is None:
                continue
            of_another_partition = manifest.request.split("/")[-2:-1] != [partition]
            trained_since = (manifest.history.last or since) >= since
            answers_too = of_another_partition and trained_since and not self.backoff.is_rejected(name, version)
            if manifest.request == data["request"] or answers_too:
                answers.setdefault(manifest.detector, manifest)
        return answers

    # ---- from shadow to live, and back --------------------------------------------------------------------------------

    def judge(self, data: dict[str, Any]) -> None:
        """Add a report of the job about a model and its shadow, and decide as soon as the reports suffice."""
        name, live, shadow = data["model"], int(data["live"]), int(data["shadow"])
        aliases = self.registry.aliases(name)
        if (aliases.get("live"), aliases.get("shadow")) != (live, shadow) or FROZEN in aliases:
            return
        counts = self._compared.setdefault((name, live, shadow), dict.fromkeys(COUNTED, 0))
        alerts = {"live_alerts": data["both"] + data["only_live"], "shadow_alerts": data["both"] + data["only_shadow"]}
        alerts |= {what: data[what] for what in ("events", "both", "probes", "live_right", "shadow_right")}
        alerts["promised"] = data["threshold"] * data["events"]
        counts |= {what: counts[what] + number for what, number in alerts.items()}
        either = counts["live_alerts"] + counts["shadow_alerts"] - counts["both"]
        figures = {"live": live, "shadow": shadow, **counts, "agreement": counts["both"] / either if either else None}
        if shadow < live:
            self._judge_successor(name, live, shadow, counts, figures)
        else:
            self._judge_shadow(name, live, shadow, aliases.get(CANARY) == shadow, counts, figures)

    def _judge_successor(
        self, name: str, live: int, shadow: int, counts: dict[str, float], figures: dict[str, Any]
    ) -> None:
        """Judge a version that has become live, with the version before as its shadow."""
        floods = counts["live_alerts"] > 2 * self._most(counts) and counts["live_alerts"] > 2 * counts["shadow_alerts"]
        if floods or (counts["probes"] >= ENOUGH_PROBES and shadow_lead(counts) > CLEARLY_FEWER):
            self._assign(
                name, "live", shadow, "too many alerts" if floods else "it finds fewer probes than the version before"
            )
            self._remove_shadow(name)
            self._report("rolled_back", name, figures | {"version": shadow})
        elif counts["events"] >= self.gates.compare:
            self._remove_shadow(name)
            self._report("settled", name, figures | {"version": live})

    def _judge_shadow(
        self, name: str, live: int, shadow: int, canary: bool, counts: dict[str, float], figures: dict[str, Any]
    ) -> None:
        """Judge a shadow that has not been live yet."""
        figures = figures | {"version": shadow}
        # a shadow that surely finds more need not wait: meanwhile the live version misses anomalies
        enough = counts["events"] >= self.gates.compare or finds_more(counts)
        more = counts["shadow_alerts"] > self._most(counts) * (1 if enough else 2)
        if more and 2 * counts["shadow_alerts"] > counts["live_alerts"] and (enough or canary):
            self._reject(name, figures, "alerts")
        elif shadow_lead(counts) < -CLEARLY_FEWER and (enough or (canary and counts["probes"] >= ENOUGH_PROBES)):
            self._reject(name, figures, "probes")
        elif canary and self._found_worse(name, figures):
            self._reject(name, figures, "feedback")
        elif enough and not canary and self.gates.canary:
            self._assign(name, CANARY, shadow, "its shadow raised no more alerts than promised")
            self._compared.pop((name, live, shadow))
            self._report("canary", name, figures | {"share": self.gates.canary})
        elif enough:
            self._assign(name, "live", shadow, "it raised no more alerts than promised")
            self._assign(name, "shadow", live, "compared with its successor")
            self._report("promoted", name, figures)

    def _most(self, counts: dict[str, float]) -> float:
        """Number of alerts that a version may raise in the events counted so far."""
        return max(self.gates.alerts * counts["promised"], self.gates.few)

    def _found_worse(self, name: str, figures: dict[str, Any]) -> bool:
        """Whether people find more of the canary's alerts false than of the live version's; the counts are added to the figures."""
        share = self.gates.canary
        since = datetime.fromisoformat(self.registry.history(name, CANARY)[0]["at"])
        arms = {True: [0, 0], False: [0, 0]}
        for message in self.feedback_since(int(since.timestamp() * 1000)):
            if message.verdict != "ignore" and name in message.agreed:
                arm = arms[is_canary(message.entity, share)]
                arm[0] += message.verdict == "true"
                arm[1] += 1
        (right, judged), (canary_right, canary_judged) = arms[False], arms[True]
        verdict = compare_thresholds((right, judged), (canary_right, canary_judged))
        figures |= {"judged": judged, "right": right, "canary_judged": canary_judged, "canary_right": canary_right}
        return verdict.better == "a"

    def _reject(self, name: str, figures: dict[str, Any], gate: str) -> None:
        request = self.registry.manifest(name, int(figures["version"])).request
        self._remove_shadow(name)
        self._report("rejected", name, figures | {"request": request, "gate": gate, "why": WHY[gate]})

    # ---- after a restart ----------------------------------------------------------------------------------------------

    def recall(self) -> None:
        """Read the trainer's own notices, to know which models wait after rejections, and which requests wait for an answer.

        The registry keeps these requests, too, because the trainer may have been down for longer than its notices are read back.
        """
        for name in self.settings.models.use:
            if (request := self.registry.waiting(name)) is not None:
                self.backoff.note("deferred", name, {"asked": request}, 0)
        for event in self.past_steps(int(1000 * self.clock()) - REMEMBERED):
            name, step = event["data"]["model"], event["type"].removeprefix(STEP)
            try:
                self.backoff.note(step, name, event["data"], epoch_milliseconds(event["time"]))
            except (KeyError, TypeError, ValueError) as error:
                self.say(f"{name}: a notice {step!r} cannot be read ({type(error).__name__}: {error}), ignored")

    def reconcile(self) -> None:
        """Send the jobs the roles that the aliases name.

        The trainer may have been killed after it changed an alias and before it sent the message. An alias `shadow` of the live version
        means that there is no shadow.
        """
        for name in self.settings.models.use:
            aliases = self.registry.aliases(name)
            live, shadow = aliases.get("live"), aliases.get("shadow")
            if live is not None:
                self.send(ModelVersion(type="model", model=name, role="live", version=live))
            if shadow is not None:
                self._set_shadow(name, None if shadow == live else shadow, aliases.get(CANARY) == shadow)

    def _assign(self, name: str, role: Literal["live", "shadow", "canary"], version: int, why: str) -> None:
        """Point the alias at a version, then send the jobs its role. A canary is a shadow that counts for some entities."""
        self.registry.point(name, role, version, BY, why)
        if role == "live":
            self.send(ModelVersion(type="model", model=name, role=role, version=version))
        else:
            self._set_shadow(name, version, role == CANARY)

    def _set_shadow(self, name: str, version: int | None, canary: bool = False) -> None:
        share = self.gates.canary if canary and version is not None else 0.0
        self.send(ModelVersion(type="model", model=name, role="shadow", version=version, share=share))

    def _remove_shadow(self, name: str) -> None:
        """Remove the shadow: its alias then names the live version."""
        self.registry.point(name, "shadow", self.registry.aliases(name)["live"], BY, "no shadow")
        self._set_shadow(name, None)
        self._compared = {key: counts for key, counts in self._compared.items() if key[0] != name}

    def _report(self, step: str, name: str, data: dict[str, Any]) -> None:
        """Write a notice of a step, and count it for the waits and the metrics."""
        at = int(1000 * self.clock())
        self.backoff.note(step, name, data, at)
        self.metrics.note(step, name, data)
        if step in REJECTING:
            data = data | {"rejections": self.backoff.rejections(name)}
        shown = ", ".join(f"{key} {value}" for key, value in data.items() if key != "asked")
        self.say(f"{name}: {step.replace('_', ' ')} {shown}")
        self.publish(step, name, data, at)
        self._keep_waiting(name)

    def _keep_waiting(self, name: str) -> None:
        """Keep the deferred request of a model in the registry, or remove it once it is answered."""
        request = self.backoff.deferred(name)
        try:
            if request != self.registry.waiting(name):
                self.registry.keep_waiting(name, request)
        except (OSError, ModelError) as error:  # the notices hold the request, too
            self.say(f"{name}: the waiting request cannot be kept in the registry: {error}")

    # ---- Kafka; tests replace these ------------------------------------------------------------------------------------

    def send(self, message: ModelVersion) -> None:
        """Send the jobs which version has which role."""
        send_control(self.settings.kafka, message)

    def publish(self, step: str, name: str, data: dict[str, Any], at: int) -> None:
        """Write a notice of a step to the topic; `at` is its time in milliseconds."""
        kafka = self.settings.kafka
        origin = Origin(kafka.topics.event_topics.text, self.settings.job.name)
        text = origin.event(uuid.uuid4().hex, f"model.{step}", name, at, {"model": name, **data})
        with clients.producer(kafka, f"write to {kafka.topics.notices!r}") as producer:
            producer.send(kafka.topics.notices, text, name.encode()).get(30)

    def past_steps(self, since: int) -> Iterable[dict[str, Any]]:
        """Notices about models since a time, in milliseconds."""
        return steps_since(self.settings.kafka, since)

    def feedback_since(self, since: int) -> list[Feedback]:
        """The newest feedback since a time, in milliseconds."""
        return newest_feedback(self.settings, since)

    def past(self, data: dict[str, Any]) -> Past:
        """Events of all partitions since the drift began, as soon as there are enough."""
        return past_since_drift(self.settings, data)


def _in_time(milliseconds: int, kind: str, say: Say) -> Progress:
    """Report the progress of a training at each quarter, and raise ModelError when it takes longer than allowed."""
    deadline, reported = time.monotonic() + milliseconds / 1000, {0}

    def progress(what: str, done: float) -> None:
        if done < 1.0 and time.monotonic() > deadline:
            raise ModelError(
                f"{kind}: {what} was at {done:.0%} after {milliseconds / 1000:g} s, as long as retrain.time allows"
            )
        if (quarter := int(4 * done)) not in reported:
            reported.add(quarter)
            say(f"{kind}: {what} {done:.0%}")

    return progress
