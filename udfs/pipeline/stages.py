"""Takes one source of events through the stages: entities, scoring, incidents, output."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.control.entity_actions import EntityActions
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.control.messages import EntityAction
from streamgauge.udfs.entities.columns import SEEN, SLOT, STATUS
from streamgauge.udfs.entities.knowledge import Changes, Entities, Forgotten
from streamgauge.udfs.entities.rich_store import RichInputs
from streamgauge.udfs.entities.silence import Silence
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events import stream_kind
from streamgauge.udfs.events.arrivals import Arrivals
from streamgauge.udfs.events.records import Events, RawBatch
from streamgauge.udfs.events.schema import Alignment
from streamgauge.udfs.incidents.judge import Judge, Judged
from streamgauge.udfs.incidents.kinds import CHANGES, COLLECTIVE, KINDS, OPENED, POINT, kind_of
from streamgauge.udfs.incidents.lifecycle import Decisions, Lifecycle
from streamgauge.udfs.incidents.promise import Promise, age_of, is_look, opened_by_evidence
from streamgauge.udfs.monitoring.models import ModelMonitor, Watched
from streamgauge.udfs.monitoring.probe import probe
from streamgauge.udfs.monitoring.quality import Facts, QualityTracker, coverage
from streamgauge.udfs.output.alert import AlertWriter, config_mark
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.dead_letter import late_event
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.output.side_records import score_records
from streamgauge.udfs.pipeline.checkpoint import Checkpoint, Learned, Saved
from streamgauge.udfs.pipeline.cursor import Cursor
from streamgauge.udfs.pipeline.step_clock import StepClock
from streamgauge.udfs.scoring.detectors import EntityState
from streamgauge.udfs.scoring.scorer import Fields, Scorer
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings

CONFIGURED = {"detectors", "ensemble", "featurize", "models"}  # sections of the settings in the id of an alert


class Reporter(Protocol):
    """Adds information to the alerts of a source of events."""

    def judged(self, stretch: Stretch, judged: Judged, decisions: Decisions) -> None:
        """Take note of a judged stretch. It is called before the alerts of the stretch are written."""

    def complete(self, row: int, data: dict[str, Any]) -> None:
        """Add to the data of an alert; `row` is the row of its event in the raw batch."""


class Stages:
    """The stages of one source of events, with their state.

    A source is a Kafka partition, a shard of entities, or one kind of windows of these.

    Parameters
    ----------
    settings : PipelineSettings
    origin : Origin
        Named in alerts; its partition is -1 for a shard of entities.
    in_force : InForce
        What control messages and feedback put in force; shared with the other partitions of the shard.
    models : Models
        Trained models; shared with all partitions of the task.
    window : str
        Name of the windows whose aggregates are the events of this source; empty for a source of real events.

    Attributes
    ----------
    alignment : Alignment
    arrivals : Arrivals
        Of the records; windows do not use it.
    entities : Entities
    scorer : Scorer
    promise : Promise
        The promise for incidents of events and of windows together.
    quality : QualityTracker or None
    monitor : ModelMonitor
    feed_windows : callable or None
        It is called with each scored stretch, the partition's event time at each of its events, and the result.
    reporter : Reporter or None
    complete_ended : callable or None
        It is called with the data of each alert about an incident that ended without an event, and may add to them.
    offsets : dict of int to int
        Offset of the newest record by partition: several for a shard of entities; empty for windows.
    acted, judged : int
        Offset of the newest action on an entity, and of the newest feedback, that were taken; -1 before the first one.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        origin: Origin,
        in_force: InForce,
        models: Models,
        window: str = "",
    ) -> None:
        self.settings, self.origin, self.in_force, self.window = settings, origin, in_force, window
        prefix = f"{origin.key}/w:{window}/" if window else f"{origin.key}/"
        config = config_mark(settings.model_dump_json(include=CONFIGURED) + window)
        self.alignment = Alignment(settings.event)
        self.arrivals = Arrivals()
        self.scorer = Scorer(settings, in_force, models)
        self.entities = Entities(settings, self.scorer.light_width, self.scorer.rich_width, prefix)
        point_kind = COLLECTIVE if window else POINT
        self._judge = Judge(settings.decide, in_force, self.scorer.kinds, point_kind)
        self.lifecycle = Lifecycle(settings.decide, config, settings.entity.quarantine)
        self.alerts = AlertWriter(settings, origin, config)
        self.promise = Promise(settings.decide.false_incidents)
        self.quality = QualityTracker(settings.track) if settings.track and not window else None
        self.monitor = ModelMonitor(settings.drift, self.scorer, origin)
        self.feed_windows: Callable[[Stretch, Ints, BatchResult], None] | None = None
        self.reporter: Reporter | None = None
        self.complete_ended: Callable[[dict[str, Any]], None] | None = None
        self.learned = Learned()
        self.events, self.offsets = 0, dict[int, int]()
        self.acted, self.judged = in_force.acted, in_force.judged
        self.checkpoint = Checkpoint(prefix)
        self._actions = EntityActions(self.entities, self.alignment, origin, window)

    @property
    def threshold(self) -> float:
        """The threshold in force, 0 to 1: from a control message, else from the settings, else from the promise."""
        return self.in_force.threshold or self.settings.decide.threshold or self.promise.threshold

    @property
    def promise_replaced(self) -> bool:
        """Whether another threshold than that of the promise is in force."""
        return bool(self.in_force.trial or self.in_force.threshold or self.settings.decide.threshold)

    @property
    def fields(self) -> Fields:
        """Names of the numeric fields and of the text fields that are scored."""
        return Fields(self.alignment.schema.numeric, self.alignment.text_fields)

    # ---- events -------------------------------------------------------------------------------------------------------

    def take(
        self, raw: RawBatch, events: Events, X: Floats, clocks: Ints, result: BatchResult, clock: StepClock
    ) -> None:
        """Take events of one schema: find their entities, set late ones aside, score the others.

        Parameters
        ----------
        raw : RawBatch
            The records of the events.
        events : Events
        X : float64[n, d]
            Values of the numeric fields; NaN is missing.
        clocks : int64[n]
            Event time of the partition at each event, in milliseconds since 1970.
        result : BatchResult
            The results are added.
        clock : StepClock
        """
        d = X.shape[1]
        self.scorer.widen(d)
        reports = self.quality.every if self.quality else None
        cursor = Cursor(self.scorer, self.entities, raw, events, X, clocks, reports)
        watched: list[Watched] = []
        while cursor.begin < len(events):
            self._look_for_silence(cursor, result)
            cursor.end_incidents()
            self._tell_ended(result)
            stretch, part_clocks, late = cursor.next_stretch()
            self._report_silences(cursor.returned, result)
            self._add_late(raw, events, late, result)
            clock.lap("context")
            if len(stretch):
                watched.append(self._score(stretch, result, clock))
                if self.feed_windows:
                    self.feed_windows(stretch, part_clocks, result)
                    clock.lap("windows")
                if self.quality and self.scorer.stream.events % self.quality.every == 0:
                    # After the windows that end in the stretch: they count in the promise, too.
                    self._report_quality(self.quality, stretch, result)
                    clock.lap("track")
                if not self.window and is_look(self.scorer.stream.events):
                    self.promise.look(self.entities.store.clock, self.entities.store.active)
                if self._sweep(result):
                    cursor.find_rows()
        if self.scorer.models.names:
            found = self.monitor.watch(watched, self.fields.numeric)
            result.notices += found.notices
            result.requests += found.requests
            result.add_counts(found.counts)
            clock.lap("watch")

    def unread(self, X: Floats) -> Flags:
        """Events without a field that is looked at: bool[n], given the numeric fields float64[n, d]. None if texts are looked at."""
        if self.scorer.detectors.categorical and self.alignment.text_fields:
            return np.zeros(len(X), np.bool_)
        nothing: Flags = np.isnan(X).all(axis=1)
        return nothing

    def _look_for_silence(self, cursor: Cursor, result: BatchResult) -> None:
        moment = cursor.moment_to_look()
        if moment is not None:
            self.look_for_silence(moment, result)

    def _add_late(self, raw: RawBatch, events: Events, late: list[tuple[int, int]], result: BatchResult) -> None:
        result.late += [late_event(raw, events, place, self.origin.topic, by) for place, by in late]
        result.count("late", len(late))

    def _score(self, stretch: Stretch, result: BatchResult, clock: StepClock) -> Watched:
        """Score a stretch, follow its incidents, and write alerts and scores."""
        scorer, kind, names = self.scorer, self.scorer.stream.kind, self.fields
        judged = self._judged(stretch, names, clock)
        scored = judged.scored
        rich = np.flatnonzero(stretch.slots >= 0)
        if len(rich):
            times = stretch.events.times[rich]
            inputs = (stretch.slots[rich], stretch.first[rich], stretch.quarantined[rich], times, stretch.X[rich])
            self.entities.changes.rich.append(RichInputs(kind, *inputs, scored.opinions.levels))
        scorer.stream.count(len(stretch))
        decisions = self.lifecycle.follow(self.entities.store, stretch, judged.candidates())
        clock.lap("decide")
        self.write_alerts(decisions, stretch, names, judged, result)
        self._add_scores(stretch, judged, decisions, result)
        opened = opened_by_evidence(decisions.place, decisions.change, decisions.incident[:, STATUS])
        ages = self.entities.store.ages(stretch.rows, stretch.events.times)
        result.add_counts(self.promise.count(stretch.clocks, ages, judged.thresholds, opened))
        if stream_kind.is_look(
            scorer.stream.events
        ):  # after the same events, however the partition is cut into batches
            scorer.move_weights()
        self.learned.add(kind, scored, bool(scorer.detectors.cohort))
        self.entities.changes.rows.append(stretch.rows)
        clock.lap("alert")
        if self.quality:
            self.quality.count(scored.verdicts, decisions, int(stretch.quarantined.sum()))
        return Watched(
            stretch.events.entities,
            stretch.offsets,
            stretch.clocks,
            stretch.X,
            scored.opinions.raw_scores,
            scored.verdicts.members,
            scored.opinions.canaries,
            self.threshold,
        )

    def _judged(self, stretch: Stretch, names: Fields, clock: StepClock) -> Judged:
        categories = np.empty((len(stretch), 0))
        if self.scorer.detectors.categorical:
            categories = self.alignment.categories(stretch.events)
        state = EntityState(self.entities.store.fields, self.entities.rich.fields)
        scored = self.scorer.score(stretch, names, categories, state, clock.lap)
        usual_elsewhere = None
        if self.entities.situations:
            usual_elsewhere = functools.partial(self.entities.situations.usual_elsewhere, stretch.events, stretch.rows)
        return self._judge.judge(stretch, names, scored, self.threshold, usual_elsewhere)

    def write_alerts(
        self, decisions: Decisions, stretch: Stretch, names: Fields, judged: Judged, result: BatchResult
    ) -> None:
        """Write the alerts of the incidents that changed."""
        if self.reporter:
            self.reporter.judged(stretch, judged, decisions)
        if not len(decisions.place):
            return
        versions = functools.partial(self.scorer.versions, judged.scored.opinions.canaries)
        complete = self.reporter.complete if self.reporter else None
        figures, place = self.promise.figures(self.promise_replaced), decisions.place
        ages = self.entities.store.ages(stretch.rows[place], stretch.events.times[place])
        promised = [figures | {"age": age_of(age)} for age in ages.tolist()]
        result.alerts += self.alerts.of_incidents(decisions, stretch, names, judged, versions, promised, complete)
        changes = (decisions.place, decisions.change, decisions.incident[:, STATUS])
        for place, change, status in zip(*(column.tolist() for column in changes), strict=True):
            result.count(f"alerts.{CHANGES[change]}")
            if change == OPENED:
                result.count(f"alerts.{KINDS[kind_of(status)]}")
                if judged.arms:
                    result.count(f"alerts.trial_{judged.arms[place]}")

    def _add_scores(self, stretch: Stretch, judged: Judged, decisions: Decisions, result: BatchResult) -> None:
        scored, verdicts = judged.scored, judged.scored.verdicts
        result.scores += score_records(stretch, scored, self.origin.topic, self.settings.output)
        for name, seconds in scored.opinions.seconds.items():
            result.model_seconds[name] = result.model_seconds.get(name, 0.0) + seconds
        result.rows.append(stretch.events.rows)
        result.evidence.append(verdicts.evidence)
        result.alert_evidence.append(judged.alertable)
        result.members.append(verdicts.members)
        result.anomalous.append(decisions.anomalous)
        known = ~np.isnan(verdicts.joined)
        result.judged.append(known)
        result.count("scored", int(known.sum()))
        unread = ~known & self.unread(stretch.X)
        result.count("unread", int(unread.sum()))
        result.count("unjudged", int((~known & ~unread).sum()))
        result.count("held_back", int(stretch.quarantined.sum()))
        result.count("rules_failed", judged.violations.failed)
        result.add_counts({f"muted.{reason}": n for reason, n in judged.suppressed.reasons.items()})

    # ---- judging without learning -------------------------------------------------------------------------------------

    @contextmanager
    def learning_undone(self, rows: Ints, slots: Ints) -> Iterator[None]:
        """Context in which learning is undone at the end, for the cohort and for the entities in these rows and slots."""
        with self.entities.undone(rows, slots), self.scorer.learning_undone():
            yield

    def judge_again(self, events: Events, X: Floats, rows: Ints) -> Judged:
        """Judge events of known entities that are not part of the stream. Call it within `learning_undone`.

        Parameters
        ----------
        events : Events
        X : float64[n, d]
        rows : int64[n]
            Row of each event's entity in the store.
        """
        false, zeros = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.int64)
        seen, slots = self.entities.store.head[rows, SEEN], self.entities.store.head[rows, SLOT] - 1
        stretch = Stretch(events, X, zeros, zeros, rows, seen, false, slots, false, false, events.times)
        return self._judged(stretch, self.fields, StepClock({}))

    def _report_quality(self, quality: QualityTracker, stretch: Stretch, result: BatchResult) -> None:
        store, stream = self.entities.store, self.scorer.stream
        last, x = stretch.events.slice(len(stretch) - 1, len(stretch)), stretch.X[-1]
        turn = stream.events // quality.every
        probed = probe(self, store, self.settings, last, x, self.fields.numeric, turn)
        head = store.head[: len(store.names)]
        head = head[head[:, SEEN] > 0]
        entities = coverage(head[:, SEEN], head[:, SLOT], self.settings.decide.warmup)
        verdicts = [message.verdict for message in self.in_force.feedback.newest.values()]
        promise = self.promise.report(self.promise_replaced)
        facts = Facts(stream.events, stream.kind, self.threshold, promise, entities, verdicts, dict(self.scorer.served))
        notice, counts = quality.report(facts, probed, self.origin, int(stretch.clocks[-1]))
        result.notices.append(notice)
        result.add_counts(counts)

    # ---- silence and forgetting ---------------------------------------------------------------------------------------

    def look_for_silence(self, now: int, result: BatchResult) -> None:
        """Report the entities that are silent; `now` is arrival time, in milliseconds since 1970."""
        silence, changes = self.entities.silence, self.entities.changes
        assert silence is not None
        rows, silences = silence.look(now, self.in_force.maintenance)
        if len(rows) or silences:
            (changes.arrived if silence.apart else changes.rows).append(rows)
            self._report_silences(silences, result)

    def _report_silences(self, silences: list[Silence], result: BatchResult) -> None:
        result.alerts += self.alerts.of_silences(silences)
        opened = sum(not one.ended for one in silences)
        result.count("alerts.opened", opened)
        result.count("alerts.collective", opened)
        result.count("alerts.resolved", len(silences) - opened)

    def pass_time(self, elapsed: int, result: BatchResult) -> None:
        """End the incidents of entities that sent nothing for too long, `elapsed` milliseconds after the last event."""
        if self.entities.store.clock:
            self.entities.pass_time(self.entities.store.clock + elapsed)
            self._tell_ended(result)

    def _tell_ended(self, result: BatchResult) -> None:
        """Write the alerts of incidents that ended without an event."""
        ended, self.entities.ended = self.entities.ended, []
        for one in ended:
            situations = self.entities.situations
            entity, situation = situations.of(one.unit) if situations else (one.unit, {})
            result.alerts.append(self.alerts.of_ended(one, entity, situation, self._complete_ended))
        result.count("alerts.resolved", len(ended))

    def _complete_ended(self, data: dict[str, Any]) -> None:
        data["threshold"], trial = self.threshold, self.in_force.trial
        if trial:
            [data["trial"]] = arms = trial.arms([data["entity"]])
            data["threshold"] = float(trial.thresholds(arms)[0])
        if self.complete_ended is not None:
            self.complete_ended(data)

    def _sweep(self, result: BatchResult) -> bool:
        """Forget entities if it is time to do so; returns whether it was."""
        swept = self.entities.sweep(self.scorer.stream.events)
        for forgotten in swept or ():
            self.add_forgotten(forgotten, result)
        self._tell_ended(result)
        return swept is not None

    def add_forgotten(self, forgotten: Forgotten, result: BatchResult) -> None:
        """Count entities that were forgotten, and report the silences that end with them."""
        self._report_silences(forgotten.silences, result)
        self.scorer.detectors.peers.count(-forgotten.slots)
        result.count(forgotten.counter, forgotten.entities)

    # ---- saved state --------------------------------------------------------------------------------------------------

    def save(self, result: BatchResult, windows: dict[str, Any] | None = None) -> None:
        """Add the changes since the last save to the result; `windows` is the part of the header about windows."""
        learned, self.learned = self.learned, Learned()
        self.checkpoint.save(self._parts(windows), learned, result.writes, result.deletes)
        new, self.checkpoint.new_detectors = self.checkpoint.new_detectors, None
        if new:  # with the first state that is saved, so a restart before it writes the notice again
            result.notices.append(new.notice(self.origin, self.window, self.entities.store.clock))

    def forget_changes(self) -> None:
        """Drop the record of changes, because they need not be saved."""
        self.learned, self.entities.changes = Learned(), Changes()

    @property
    def changed(self) -> bool:
        """Whether the state of an entity changed since the last save."""
        changes = self.entities.changes
        return bool(changes.rows or changes.forgotten)

    def restore(self, saved: dict[str, bytes]) -> dict[str, Any]:
        """Read the state that an earlier run saved, and return its header; see `Checkpoint.restore`."""
        header = self.checkpoint.restore(self._parts(None), saved)
        self.events, self.acted, self.judged = header["events"], header["acted"], header["judged"]
        self.offsets = dict(header.get("offsets", ()))  # an older release did not save them
        if "arrivals" in header:  # nor these
            self.arrivals.restore(header["arrivals"])
        self.alerts.groups.restore(header["groups"])
        self.alerts.silence_config = header.get("silences", self.alerts.config)
        self.monitor.restore(header["drift"], header["comparisons"])
        self.scorer.models.recall(header.get("aliases", {}))
        if (
            header.get("promise") and not self.window
        ):  # an older state has none, or a budget: the promise then begins anew
            self.promise.restore(header["promise"])
        if self.quality and header.get("tracking"):
            self.quality.restore(header["tracking"])
        return header

    def canonical(self, windows: dict[str, Any] | None = None, further: dict[str, bytes] | None = None) -> bytes:
        """The whole state in one normal form; see `Checkpoint.canonical`."""
        return self.checkpoint.canonical(self._parts(windows), further or {})

    def _parts(self, windows: dict[str, Any] | None) -> Saved:
        schema, scorer = self.alignment.schema, self.scorer
        silence, (drift, comparisons) = self.entities.silence, self.monitor.to_state()
        header = {
            "events": self.events,
            "offsets": sorted(self.offsets.items()),
            "context": list(self.settings.event.context),
            "members": scorer.members,
            "versions": scorer.detectors.versions,
            "served": scorer.served,
            "absent": {name: n for name, n in schema.absent.items() if n},
            "turning": schema.turning,
            "no_readings": vars(schema.no_readings),
            "shape": scorer.stream.to_state(),
            "peers": scorer.detectors.peers.to_state(),
            "arrived": silence.clock if silence else 0,
            "silences": self.alerts.silence_config,
            "source": silence.source.to_state() if silence else None,
            "groups": self.alerts.groups.to_state(),
            "acted": self.acted,
            "judged": self.judged,
            "drift": drift,
            "comparisons": comparisons,
            "promise": None if self.window else self.promise.to_state(),
            "weights": scorer.calibrators.weights.tolist(),
            "tracking": self.quality.to_state() if self.quality else None,
            "windows": windows,
        }
        if len(self.arrivals.last):
            header["arrivals"] = self.arrivals.to_state()
        if scorer.models.seen:  # where aliases are signed
            header["aliases"] = scorer.models.seen
        return Saved(self.alignment, self.entities, scorer, header)

    # ---- control messages and feedback --------------------------------------------------------------------------------

    def act(self, message: EntityAction, offset: int, result: BatchResult) -> None:
        """Do an action on an entity, once, and answer with a notice. If the entity is unknown here, nothing happens."""
        if offset <= self.acted:
            return
        self.acted = offset
        for row in self.entities.rows_of(message.entity):
            notice, forgotten = self._actions.act(message, row)
            if forgotten:
                self.add_forgotten(forgotten, result)
            result.notices.append(notice)
        silence = self.entities.silence
        if message.action == "forget" and silence and silence.apart and message.entity in silence.store.index:
            row = silence.store.index[message.entity]
            self.add_forgotten(self.entities.depart(np.array([row])), result)
        self._tell_ended(result)

    def hear(self, message: Feedback, offset: int) -> bool:
        """End the quarantine of an entity whose alert was false; False if this message was taken before."""
        if offset <= self.judged:
            return False
        self.judged = offset
        if message.verdict == "false":
            for row in self.entities.rows_of(message.entity):
                self.entities.release(row)
        return True
