"""One kind of windows of one partition: a source of events. When a window ends, the aggregates of each entity are one event."""

from __future__ import annotations

from typing import Any

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.entities.columns import (
    BEGAN,
    BLAMED,
    CHANNEL,
    CONFIG,
    HITS,
    LARGEST_EFFECT,
    OPENED_OFFSET,
    OPENED_PARTITION,
    OPENED_TIME,
    PEAK,
    REPORTED,
    SEEN,
    SEVEREST,
    SIDE,
    SLOT,
    STATUS,
)
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import WHOLE, Events, RawBatch
from streamgauge.udfs.events.stream_kind import RECORDS
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.judge import Judged
from streamgauge.udfs.incidents.kinds import KIND_BITS, OPENED, RETRACTED, UPDATED
from streamgauge.udfs.incidents.lifecycle import Decisions
from streamgauge.udfs.incidents.promise import Promise, opened_by_evidence
from streamgauge.udfs.output.alert import scores_of
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.stages import Stages
from streamgauge.udfs.pipeline.step_clock import StepClock
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import ModelsSettings, OutputSettings, PipelineSettings
from streamgauge.udfs.windows.aggregate import KeptEvents
from streamgauge.udfs.windows.event_windows import ends_of
from streamgauge.udfs.windows.report import Reported, WindowReport
from streamgauge.udfs.windows.rows import WindowRows


class WindowPartition:
    """One kind of windows of one partition.

    Late events amend a window that has ended. Its aggregates are judged again with the present state, but they are not learned
    a second time. The alert is then opened, updated or retracted, and keeps its id.

    Parameters
    ----------
    name : str
        Name of the windows.
    settings : PipelineSettings
    origin : Origin
    in_force : InForce
    kept : KeptEvents
        Events of the partition.
    promise : Promise
        Promise of the partition. Incidents of windows count in it; the partition moves the threshold.

    Attributes
    ----------
    stages : Stages
    closed : int
        End of the newest window that has ended, in milliseconds since 1970; -1 before the first event.
    since : int
        Windows that end until then are never scored, because they began before this kind of windows was in the settings; -1 for none.
    columns : list of str
        Names of the aggregates.
    offset : int
        Offset of the last event: while windows end, of that with which they do.
    reports : dict of int to WindowReport
        By end of the window, for the windows that may still be amended.
    pending : set of (int, str)
        End of a window, and entity, whose aggregates late events have changed since they were last judged.
    """

    def __init__(
        self,
        name: str,
        settings: PipelineSettings,
        origin: Origin,
        in_force: InForce,
        kept: KeptEvents,
        promise: Promise,
    ) -> None:
        own_settings = _for_aggregates(settings)
        self.name, self.of, self.kept = name, settings.windows[name], kept
        self._origin, self._settings = origin, own_settings
        self.stages = Stages(own_settings, origin, in_force, Models(own_settings.models), name)
        self.stages.promise, self.stages.reporter, self.stages.complete_ended = promise, self, self._complete_ended
        self.closed = self.since = -1
        self.reports: dict[int, WindowReport] = {}
        self.pending: set[tuple[int, str]] = set()
        self._saved: set[int] = set()
        self._changed: set[int] = set()
        self._window = WindowRows(name, 0, 0, [], [], np.empty((0, 0)), np.empty(0, np.int64), np.empty(0, np.int64))
        self.offset = 0
        # During an amendment: what was reported before, by row of the window.
        self._before: list[dict[str, Any] | None] | None = None
        self.columns = [f"{name}.count"]
        self.columns += [f"{name}.{f}.{how}" for f, kinds in self.of.aggregates.items() for how in kinds]
        self._add_columns()

    def _add_columns(self) -> None:
        """Add the aggregates to the schema, so that no notice announces them as new fields."""
        schema = self.stages.alignment.schema
        schema.numeric += [column for column in self.columns if column not in schema.numeric]
        schema.absent = dict.fromkeys(schema.numeric, 0)

    # ---- windows that end ---------------------------------------------------------------------------------------------

    def begin(self, now: int) -> None:
        """Note the event time `now` of the first event; only windows that end later are scored."""
        if self.closed < 0:
            self.closed = now // self.of.every * self.of.every

    def begin_after(self, time: int) -> None:
        """Score only windows that begin after a time, because the events until then may lack fields that these windows need."""
        if time >= 0:
            self.closed = self.since = (time + self.of.size) // self.of.every * self.of.every

    def note_late(self, entities: list[str], times: Ints) -> None:
        """Remember the windows that have ended and that these events change."""
        for i in np.flatnonzero(times // self.of.every * self.of.every + self.of.every <= self.closed).tolist():
            ends = ends_of(self.of, int(times[i]))
            self.pending |= {(end, entities[i]) for end in ends if self.since < end <= self.closed}

    def close(self, now: int, offset: int, oldest: int, result: BatchResult) -> None:
        """Amend the windows that late events changed, then end the windows that event time has passed.

        Parameters
        ----------
        now : int
            Event time of the partition, in milliseconds since 1970.
        offset : int
            Offset of the last event.
        oldest : int
            Time of the oldest event that may still come. What was reported about windows that ended before it is dropped.
        result : BatchResult
            Alerts are added.
        """
        every, size = self.of.every, self.of.size
        closed = now // every * every
        if closed <= self.closed:
            return
        self.offset = offset
        of_windows = BatchResult()
        self._amend(of_windows)
        slices = self.kept.slices(self.closed + every - size, closed, every)
        ends = {end for begin in slices.tolist() for end in ends_of(self.of, begin) if self.closed < end <= closed}
        self.closed = closed
        for end in sorted(ends):
            self._score_window(self.kept.window(self.name, self.of, end), of_windows)
        result.alerts += of_windows.alerts
        for counter in ("scored", "unjudged", "unread"):  # these are for events only
            of_windows.counts.pop(counter, None)
        result.add_counts(of_windows.counts)
        for end in [end for end in self.reports if end <= oldest]:
            del self.reports[end]
            self._changed.discard(end)

    def _events(self, window: WindowRows, rows: list[int]) -> tuple[Events, Floats]:
        """The rows of a window as events, and the matrix of their aggregates."""
        numeric = self.stages.alignment.schema.numeric
        X = np.full((len(rows), len(numeric)), np.nan)
        X[:, [numeric.index(column) for column in window.columns]] = window.values[rows]
        times = np.full(len(rows), window.start, np.int64)
        places, entities = np.full(len(rows), WHOLE), [window.entities[row] for row in rows]
        return Events(np.array(rows, dtype=np.int64), window.actuals(rows), entities, times, places), X

    def _score_window(self, window: WindowRows, result: BatchResult) -> None:
        """Score a window that has ended, and learn from it."""
        m = len(window.entities)
        self._window, self._before = window, None
        self.reports[window.end] = WindowReport()
        partition, start, end = (np.full(m, at, np.int64) for at in (self._origin.partition, window.start, window.end))
        events, X = self._events(window, list(range(m)))
        self.stages.take(RawBatch([None] * m, partition, start, end), events, X, events.times, result, StepClock({}))
        self.stages.events += m
        self._changed.add(window.end)
        result.count("windows", m)

    # ---- what the stages call (see `Reporter`) ------------------------------------------------------------------------

    def judged(self, stretch: Stretch, judged: Judged, decisions: Decisions) -> None:
        """Add values, scores and incidents to the report of the window, before its alerts are written."""
        report, store, names = self.reports[self._window.end], self.stages.entities.store, stretch.events.entities
        report.values.update(zip(names, stretch.events.values, strict=True))
        report.scores.update(zip(names, scores_of(judged.scored.verdicts.strongest).tolist(), strict=True))
        if self._before is None:
            for i in np.flatnonzero(decisions.anomalous & (store.head[stretch.rows, STATUS] != 0)).tolist():
                row = stretch.rows[i]
                report.incident[names[i]] = _reported(store.head[row], store.levels[row])

    def complete(self, row: int, data: dict[str, Any]) -> None:
        """Add the window to the data of an alert and, if it was amended, what was reported before."""
        window = self._window
        start, end = rfc3339(window.start), rfc3339(window.end)
        data["window"]["to"] = end
        data["aggregate"] = {"window": window.name, "from": start, "to": end, "events": int(window.values[row, 0])}
        data["source"] = {
            "topic": self._origin.topic,
            "partition": self._origin.partition,
            "offset": self.offset,
            "first_offset": int(window.first[row]),
            "last_offset": int(window.last[row]),
        }
        if self._before is not None:
            now = {"actual": window.actual(row), "score": data["score"]}
            data["amended"] = {"was": self._before[row], "now": now}

    def _complete_ended(self, data: dict[str, Any]) -> None:
        """Add the window that opened the incident to the data of an alert about an incident that ended without an event."""
        start = data["source"]["opened_offset"]
        data["aggregate"] = {"window": self.name, "from": rfc3339(start), "to": rfc3339(start + self.of.size)}
        data["source"] = {"topic": self._origin.topic, "partition": self._origin.partition, "offset": self.offset}

    # ---- amendments ---------------------------------------------------------------------------------------------------

    def _amend(self, result: BatchResult) -> None:
        """Judge again what late events have changed."""
        by_end: dict[int, list[str]] = {}
        for end, name in sorted(self.pending):
            by_end.setdefault(end, []).append(name)
        self.pending.clear()
        for end, names in by_end.items():
            window = self.kept.window(self.name, self.of, end, names)
            report = self.reports.setdefault(end, WindowReport())
            changed = [k for k, name in enumerate(window.entities) if report.values.get(name) != window.actual(k)]
            if changed:
                self._amend_window(window, changed, report, result)
                self._changed.add(end)
                result.count("windows_amended", len(changed))

    def _amend_window(self, window: WindowRows, changed: list[int], report: WindowReport, result: BatchResult) -> None:
        """Judge entities of a window again, and write the changes of their alerts."""
        store = self.stages.entities.store
        known = [k for k in changed if window.entities[k] in store.index]
        for k in sorted(set(changed) - set(known)):  # an unknown entity cannot be compared with its past
            report.values[window.entities[k]], report.scores[window.entities[k]] = window.actual(k), 0.0
        if not known:
            return
        self._window = window
        events, X = self._events(window, known)
        rows, seen, judged = self._judge_again(events, X)
        warm = seen > self._settings.decide.warmup
        anomalous = judged.violations.any | (judged.anomalous & warm & ~judged.suppressed.events)
        place, change, incidents, peaks = [], [], [], []
        for i, name in enumerate(events.entities):
            changed_alert = self._change(int(rows[i]), name, bool(anomalous[i]), report, i, judged)
            if changed_alert:
                place.append(i)
                change.append(changed_alert[0])
                incidents.append(changed_alert[1])
                peaks.append(changed_alert[2])
        self._before = [None] * len(window.entities)
        for i, name in zip(known, events.entities, strict=True):
            if name in report.values:
                self._before[i] = {"actual": report.values[name], "score": report.scores[name]}
        places, changes = np.array(place, dtype=np.int64), np.array(change, dtype=np.int64)
        head = np.array(incidents, dtype=np.int64).reshape(len(place), store.head.shape[1])
        decisions = Decisions(places, changes, head, np.array(peaks, dtype=np.float64), anomalous)
        self._write_alerts(decisions, events, X, rows, seen, judged, result)
        opened = opened_by_evidence(places, changes, head[:, STATUS])
        ages = store.ages(rows, events.times)
        result.add_counts(self.stages.promise.count_opened(ages[opened]))
        self.stages.entities.changes.rows.append(rows)

    def _write_alerts(
        self,
        decisions: Decisions,
        events: Events,
        X: Floats,
        rows: Ints,
        seen: Ints,
        judged: Judged,
        result: BatchResult,
    ) -> None:
        n = len(rows)
        offsets, partitions = np.full(n, self.offset), np.full(n, self._origin.partition)
        false = np.zeros(n, np.bool_)
        slots = np.full(n, -1)
        stretch = Stretch(events, X, offsets, partitions, rows, seen, false, slots, false, false, events.times)
        self.stages.write_alerts(decisions, stretch, self.stages.fields, judged, result)

    def _judge_again(self, events: Events, X: Floats) -> tuple[Ints, Ints, Judged]:
        """Judge aggregates of known entities, and learn nothing; returns rows, events so far, and the judgement."""
        store = self.stages.entities.store
        rows = store.rows(events.entities, X.shape[1])
        with self.stages.learning_undone(rows, store.head[rows, SLOT] - 1):
            return rows, store.head[rows, SEEN], self.stages.judge_again(events, X, rows)

    def evidence_of(self, entity: str, X: Floats) -> Floats:
        """Find the alert evidence that aggregates of an entity would have now; nothing is learned.

        Parameters
        ----------
        entity : str
            A known entity.
        X : float64[n, columns]
            Aggregates to try, as in `WindowRows.values`.

        Returns
        -------
        float64[n]
        """
        evidence = np.empty(len(X))
        for i, x in enumerate(X):
            offsets = np.zeros(1, np.int64)
            window = WindowRows(self.name, 0, self.of.size, [entity], self.columns, x[None, :], offsets, offsets)
            _, _, judged = self._judge_again(*self._events(window, [0]))
            evidence[i] = judged.scored.verdicts.strongest[0]
        return evidence

    def _change(
        self, row: int, name: str, anomalous: bool, report: WindowReport, i: int, judged: Judged
    ) -> tuple[int, Ints, float] | None:
        """Find how an amendment changes the alert of an entity, whose window is the i-th one that was judged again.

        Returns
        -------
        (int, int64[25], float) or None
            The change (`incidents.kinds`), the entity's row of `EntityStore.head` with the incident, and the largest evidence of the
            incident. None if nothing changes.
        """
        store, reported = self.stages.entities.store, report.incident.get(name)
        head, levels = store.head[row], store.levels[row]
        if reported is None and (not anomalous or self._settings.decide.hits > 1):
            return None
        opens = reported is None and head[STATUS] == 0
        if opens:
            self._open_by(head, levels, i, judged)
        is_open = bool(head[STATUS]) and (reported is None or int(head[OPENED_OFFSET]) == reported.begin)
        update = (UPDATED, head.copy(), float(levels[PEAK])) if is_open else None
        if reported is None or anomalous:
            if not is_open:
                return None  # after its end, an alert is taken back, but not updated
            self._add_evidence(head, levels, i, judged)
            report.incident[name] = _reported(head, levels)
            return OPENED if opens else UPDATED, head.copy(), float(levels[PEAK])
        del report.incident[name]
        # The alert is retracted only if no other window supports its incident. This is known only while the report of the window
        # that opened it is kept.
        others = any(
            name in other.incident and other.incident[name].begin == reported.begin for other in self.reports.values()
        )
        if others or reported.begin + self.of.size not in self.reports:
            return update
        incident, peak = head.copy(), float(levels[PEAK])
        if is_open:
            head[STATUS:] = 0
            levels[:] = 0.0
        else:
            self._open(incident, reported.begin, reported.status, reported.config)
            incident[[SEVEREST, CHANNEL]], peak = (reported.severity, reported.channel), reported.peak
        return RETRACTED, incident, peak

    def _open_by(self, head: Ints, levels: Floats, i: int, judged: Judged) -> None:
        """Open an incident with an amended window, as the lifecycle would have done in time."""
        kind, effects = int(judged.kinds[i]), judged.effects
        self._open(head, self._window.start, kind)
        head[[CHANNEL, BLAMED, SIDE, BEGAN]] = judged.channels[i], effects.fields[i], effects.sides[i], head[SEEN]
        levels[:] = 0.0
        levels[LARGEST_EFFECT] = np.nan_to_num(effects.sizes[i])

    def _add_evidence(self, head: Ints, levels: Floats, i: int, judged: Judged) -> None:
        """Add an anomalous window to an open incident, which is never less severe than before."""
        head[STATUS] |= 1 << (KIND_BITS + int(judged.kinds[i]))
        head[SEVEREST] = max(head[SEVEREST], judged.severities[i])
        levels[[PEAK, REPORTED]] = np.maximum(levels[[PEAK, REPORTED]], judged.alertable[i])

    def _open(self, head: Ints, start: int, status: int, config: int = 0) -> None:
        """Write an incident that began with the window from `start` into a row of `EntityStore.head`."""
        head[STATUS:] = 0
        config, partition = config or self.stages.lifecycle.config, self._origin.partition
        head[STATUS], head[HITS], head[CONFIG], head[OPENED_PARTITION] = status, 1, config, partition
        head[OPENED_TIME] = head[OPENED_OFFSET] = start

    # ---- saved state --------------------------------------------------------------------------------------------------

    def save(self, result: BatchResult) -> None:
        """Add the changes since the last save to the saved state."""
        prefix = self.stages.checkpoint.prefix
        for end in sorted(self._changed):
            result.writes[f"{prefix}t{end}"] = self.reports[end].to_state()
        result.deletes += [f"{prefix}t{end}" for end in sorted(self._saved - self.reports.keys())]
        self._saved = set(self.reports)
        if self.stages.changed:
            self.stages.save(result)
        self.stages.forget_changes()
        self._changed = set()

    def restore(self, saved: dict[str, bytes]) -> None:
        """Read the saved state."""
        self.reports = {int(key[1:]): WindowReport.from_state(value) for key, value in saved.items() if key[0] == "t"}
        self._saved = set(self.reports)
        if saved.keys() - {f"t{end}" for end in self.reports}:  # else no window has ended with events in it
            self.stages.restore(saved)
        if self.stages.checkpoint.new_detectors:
            # New detectors know too little to take back or to change what others have reported.
            for report in self.reports.values():
                report.incident.clear()
            self._changed = set(self.reports)
        self._add_columns()


def _reported(head: Ints, levels: Floats) -> Reported:
    """The open incident of an entity, given its rows in the store."""
    begin, status, config, severity, channel = head[[OPENED_OFFSET, STATUS, CONFIG, SEVEREST, CHANNEL]].tolist()
    return Reported(begin, status, config, severity, channel, float(levels[PEAK]))


def _for_aggregates(settings: PipelineSettings) -> PipelineSettings:
    """The settings that hold for aggregates: without windows, and without what concerns only the events themselves.

    Aggregates follow each other. Relations that were learned as of records would tell the window after a fault, too.
    """
    relations = settings.detectors.relations
    if relations is not None:
        in_order = tuple(kind for kind in relations.streams if kind != RECORDS)
        relations = relations.model_copy(update={"streams": in_order})
    changes: dict[str, Any] = {
        "windows": {},
        "silence": None,
        "drift": None,
        "models": ModelsSettings(),
        "output": OutputSettings(),
        "detectors": settings.detectors.model_copy(update={"relations": relations}),
        "event": settings.event.model_copy(update={"context": ()}),
    }
    return settings.model_copy(update=changes)
