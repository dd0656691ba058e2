"""From a request to a shadow: train candidates on what came since the drift, and let the best be the shadow."""

from __future__ import annotations

import threading
import time
from typing import Any

from streamgauge.jobs.retraining.backoff import Backoff
from streamgauge.jobs.retraining.history import examined
from streamgauge.jobs.retraining.rating import AS_GOOD, compare, figures_of
from streamgauge.jobs.retraining.reports import Reports, Say
from streamgauge.jobs.retraining.roles import FROZEN, LIVE, SHADOW, Roles
from streamgauge.jobs.settings.loading import RetrainSettings
from streamgauge.jobs.studies.train import train
from streamgauge.models.catalog import FITTED, why_unknown
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.errors import ModelError, StreamgaugeError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.persistence.unfinished import Unfinished
from streamgauge.models.training.candidate import Past
from streamgauge.models.training.contamination import Examined
from streamgauge.udfs.events.time import epoch_milliseconds

ENTITIES = "-1"  # what a request names in place of its partition if it is of a shard of entities
WHY = {
    "separation": "it separates synthetic anomalies worse than the live version",
    "cost": "it is slower than the live version",
}


class Candidates:
    """Trains candidates, compares them with the live version, and lets the best be its shadow.

    Parameters
    ----------
    gates : RetrainSettings
    registry : Registry
    roles : Roles
    reports : Reports
    """

    def __init__(self, gates: RetrainSettings, registry: Registry, roles: Roles, reports: Reports) -> None:
        self.gates, self.registry, self.roles, self.reports = gates, registry, roles, reports

    def answers(self, request: dict[str, Any]) -> dict[str, Manifest]:
        """The newest versions, by detector, that answer a request already."""
        return answers_to(request, self.registry, self.reports.backoff)

    def train_and_choose(self, request: dict[str, Any], answers: dict[str, Manifest], stop: threading.Event) -> None:
        """Train what is missing of the answers to a request, and let the best be the shadow if it is good enough.

        It ends without a choice as soon as the live version is another one, or frozen: it may be rolled back meanwhile.

        Parameters
        ----------
        request : dict
            Data of the request.
        answers : dict of str to Manifest
            What there is of the answers, by detector.
        stop : Event
            Ends the training.

        Raises
        ------
        SystemExit
            The training was ended.
        ModelError
            The live version cannot be trained.
        """
        name = request["model"]
        old = self.registry.manifest(name, int(request["version"]))
        if old.detector not in FITTED:
            raise ModelError(f"version {old.version} is a {old.detector}, {why_unknown(old.detector)}")
        wanted = [old.detector, *(kind for kind in self.gates.candidates if kind != old.detector)]
        past, found = examined(self.reports.topics.past(request, stop, self._data(name)), old)
        for kind in wanted:
            if not self._is_wanted(old):
                return
            if kind not in answers:
                progress = _in_time(self.gates.time, kind, self.reports.say, stop)
                if answer := self._trained(kind, old, past, request, found, progress):
                    answers[kind] = answer
        self._choose(old, {kind: answers[kind] for kind in wanted if kind in answers}, past)

    def forget(self, name: str) -> None:
        """Remove the choice of the data that a model is trained on: its training has ended."""
        self._data(name).keep(None)

    def _data(self, name: str) -> Unfinished:
        """Where the choice of the data that a model is trained on is saved."""
        return self.registry.unfinished(name, "data", lambda text: self.reports.say(f"{name}: choice of data: {text}"))

    def _is_wanted(self, old: Manifest) -> bool:
        """Whether a version is still live, and may be changed."""
        aliases = self.registry.aliases(old.name)
        return aliases.get(LIVE) == old.version and FROZEN not in aliases

    def _trained(
        self, kind: str, old: Manifest, past: Past, request: dict[str, Any], found: Examined, progress: Progress
    ) -> Manifest | None:
        """Train and publish a version with one detector.

        If that fails for another detector than the live version's, the failure is told and None is returned.
        """
        name, say = old.name, self.reports.say
        own, sequence = kind == old.detector, FITTED[old.detector].sequence
        settings = old.settings if own else {"steps": old.steps} if sequence else None
        say(f"{name}: training {kind} on {len(past.X)} events of {past.source}")
        try:
            if FITTED[kind].sequence != sequence:
                both = ("runs of events", "single events")
                scores, live_scores = both if FITTED[kind].sequence else both[::-1]
                raise ModelError(f"{kind} scores {scores}, but the live version scores {live_scores}")
            answer = train(self.registry, name, kind, past, settings, progress, request["request"], say)
        except Exception as error:  # also what a library raises
            if own:
                raise
            self.reports.tell("failed", name, {"why": reason(error), "detector": kind, "request": request["request"]})
            return None
        figures = {
            "version": answer.version,
            "detector": kind,
            "request": answer.request,
            "rows": answer.history.rows,
            "reason": request["reason"],
            "data": found.figures,
        }
        self.reports.tell("trained", name, figures)
        return answer

    def _choose(self, old: Manifest, answers: dict[str, Manifest], past: Past) -> None:
        """Compare the candidates with the live version. The best becomes its shadow; the others are rejected, with the reason."""
        name = old.name
        compared = {kind: compare(self.registry, answer, old, past) for kind, answer in answers.items()}
        good = {kind: comparison for kind, comparison in compared.items() if comparison.gate() is None}
        best = max(good, key=lambda kind: good[kind].separates, default=None)
        # the detector of the live version is kept, unless another one is clearly better
        if old.detector in good and best and good[best].separates <= good[old.detector].separates + AS_GOOD:
            best = old.detector
        with self.reports.lock:
            if not self._is_wanted(old):
                return
            for kind, comparison in compared.items():
                if kind == best:
                    continue
                figures = figures_of(answers[kind], old, comparison)
                if best:  # the request has an answer, so this rejection is no reason to wait
                    figures["instead"] = answers[best].version
                gate = comparison.gate() or "other"
                better = f"{best} separates synthetic anomalies better, or is the detector of the live version"
                self.reports.tell("rejected", name, figures | {"gate": gate, "why": WHY.get(gate, better)})
            if best:
                figures = figures_of(answers[best], old, compared[best])
                self.roles.assign(name, SHADOW, answers[best].version, f"answers {answers[best].request}")
                self.reports.tell("shadowed", name, figures)


def reason(error: Exception) -> str:
    """Why something failed, for a notice."""
    return str(error) if isinstance(error, StreamgaugeError) else f"{type(error).__name__}: {error}"


def answers_to(request: dict[str, Any], registry: Registry, backoff: Backoff) -> dict[str, Manifest]:
    """The newest versions, by detector, that answer a request already.

    Each partition writes its own request for the same drift, and all of them have the same answer. There is no answer yet if the
    partition that was answered asks again, or if the versions were rejected, or rolled back. Shards of entities cannot be told apart:
    all count as others.

    Parameters
    ----------
    request : dict
        Data of the request to retrain.
    registry : Registry
    backoff : Backoff
    """
    name, asked = request["model"], int(request["version"])
    partition = request["request"].split("/")[-2]
    since = epoch_milliseconds(request["since"])
    answers: dict[str, Manifest] = {}
    # Those that were live, or the shadow, and are it no more: they were rolled back, rejected or replaced. A kill may have kept the trainer
    # from telling so.
    left = {entry["version"] for alias in (LIVE, SHADOW) for entry in registry.history(name, alias)[1:]}
    left -= {asked, registry.aliases(name).get(SHADOW)}
    for version in reversed(registry.versions(name)):
        manifest = registry.manifest(name, version)
        if manifest.parent != asked or manifest.request is None:
            continue
        of_another_partition = partition == ENTITIES or manifest.request.split("/")[-2:-1] != [partition]
        trained_since = (manifest.history.last or since) >= since
        is_bad = version in left or backoff.is_rejected(name, version)
        answers_too = of_another_partition and trained_since and not is_bad
        if manifest.request == request["request"] or answers_too:
            answers.setdefault(manifest.detector, manifest)
    return answers


def _in_time(milliseconds: int, kind: str, say: Say, stop: threading.Event) -> Progress:
    """Report the progress of a training at each quarter.

    It ends the thread of the training (SystemExit) when it is to stop, and raises ModelError when it takes longer than allowed.
    """
    deadline, reported = time.monotonic() + milliseconds / 1000, {0}

    def progress(what: str, done: float) -> None:
        if stop.is_set():
            raise SystemExit
        if done < 1.0 and time.monotonic() > deadline:
            raise ModelError(
                f"{kind}: {what} was at {done:.0%} after {milliseconds / 1000:g} s, as long as retrain.time allows"
            )
        if (quarter := int(4 * done)) not in reported:
            reported.add(quarter)
            say(f"{kind}: {what} {done:.0%}")

    return progress
