"""One kind of windows of one log: told when they end, amended by what comes late."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.control.messages import Control
from streamgauge.udfs.entities.entity_store import (
    CONFIG,
    HITS,
    OPENED_OFFSET,
    OPENED_PARTITION,
    OPENED_TIME,
    PEAK,
    SEEN,
    SLOT,
    STATUS,
    TOLD,
)  # fmt: skip
from streamgauge.udfs.events.records import Events, RawBatch
from streamgauge.udfs.incidents.budget import Budget
from streamgauge.udfs.incidents.lifecycle import COLLECTIVE, KIND_BITS, OPENED, POINT, RETRACTED, UPDATED, Decisions
from streamgauge.udfs.output.alert import score_of
from streamgauge.udfs.output.cloud_event import rfc3339
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.partition import Clock, Judged, LogPipeline
from streamgauge.udfs.pipeline.partition_state import Unsaved
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import EventWindow, ModelsSettings, OutputSettings, PipelineSettings
from streamgauge.udfs.windows.aggregate import KeptEvents
from streamgauge.udfs.windows.rows import WindowRows


@dataclass(slots=True)
class Told:
    """What was said of one window.

    Attributes
    ----------
    values : dict of str to dict
        Aggregates by entity.
    scores : dict of str to float
    incident : dict of str to (int, int)
        Of the entities that stood at or beyond the threshold: begin of the window that opened the incident, and its status.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    incident: dict[str, tuple[int, int]] = field(default_factory=dict)

    kind = "window told"
    version = 1

    def to_state(self) -> bytes:
        """All of it, versioned."""
        return pack(
            self.kind, self.version, {"values": self.values, "scores": self.scores, "incident": self.incident}, {}
        )

    @classmethod
    def from_state(cls, state: bytes) -> Told:
        """What `to_state` saved."""
        meta, _ = unpack(state, cls.kind, cls.version)
        return cls(meta["values"], meta["scores"], {name: (a, b) for name, (a, b) in meta["incident"].items()})


class WindowLog(LogPipeline):
    """One kind of windows of one log: each entity's aggregates are an event when the window ends.

    Parameters
    ----------
    name : str
    of : EventWindow
    log, settings, topic, job, control, saves
        See `LogState`.
    kept : KeptEvents
    budget : Budget, optional
        Of the log, which looks at it.

    Attributes
    ----------
    closed : int
        End of the newest window that has ended, milliseconds; -1 before the first event.
    columns : list of str
        Names of the aggregates.
    told : dict of int to Told
        By end, of the windows that may still be amended.
    pending : set of (int, str)
        End and entity of those that late events have changed, and nobody looked at since.
    """

    def __init__(
        self, name: str, of: EventWindow, log: int, settings: PipelineSettings, topic: str, job: str, control: Control,
        saves: bool, kept: KeptEvents, budget: Budget | None,
    ) -> None:  # fmt: skip
        changes: dict[str, Any] = {
            "windows": {},
            "silence": None,
            "drift": None,
            "models": ModelsSettings(),
            "output": OutputSettings(),
        }
        changes["event"] = settings.event.model_copy(update={"context": ()})
        changes["decide"] = settings.decide.model_copy(update={"budget": None})
        plain = settings.model_copy(update=changes)
        super().__init__(log, plain, topic, job, control, Models(plain.models), saves, name)
        self.budget = budget
        self.of, self.kept = of, kept
        self.closed = -1
        self.told: dict[int, Told] = {}
        self.pending: set[tuple[int, str]] = set()
        self._saved: set[int] = set()
        self._changed: set[int] = set()
        self._window = WindowRows(name, 0, 0, [], [], np.empty((0, 0)), np.empty(0, np.int64), np.empty(0, np.int64))
        self._offset = 0
        self._was: list[dict[str, Any] | None] | None = None
        self.columns = [f"{name}.count"]
        self.columns += [f"{name}.{f}.{how}" for f, kinds in of.aggregates.items() for how in kinds]
        self._know_columns()

    def _know_columns(self) -> None:
        schema = self.alignment.schema
        schema.numeric += [column for column in self.columns if column not in schema.numeric]
        schema.absent = dict.fromkeys(schema.numeric, 0)

    def ends(self, time: int) -> range:
        """Ends of the windows that a time lies in."""
        first = time // self.of.every * self.of.every + self.of.every
        return range(first, first + self.of.size, self.of.every)

    def late(self, entities: list[str], times: Ints) -> None:
        """Remember which of the windows that have ended some events change."""
        for i in np.flatnonzero(times // self.of.every * self.of.every + self.of.every <= self.closed).tolist():
            self.pending |= {(end, entities[i]) for end in self.ends(int(times[i])) if end <= self.closed}

    def close(self, clock: int, offset: int, result: BatchResult) -> None:
        """End the windows that event time has passed, after amending those that late events changed.

        Parameters
        ----------
        clock : int
            Event time, milliseconds.
        offset : int
            Of the event that brought it there.
        result : BatchResult
            Alerts are added.
        """
        every, size = self.of.every, self.of.size
        closed = clock // every * every
        if closed <= self.closed:
            return
        self._offset = offset
        own = BatchResult()
        self._amend(own)
        times = self.kept.times(self.closed + every - size, closed)
        ends = {end for time in times.tolist() for end in self.ends(time) if self.closed < end <= closed}
        self.closed = closed
        for end in sorted(ends):
            self._tell_window(self.kept.window(self.name, self.of, end), own)
        result.alerts += own.alerts
        for what, n in own.counts.items():
            if what != "scored":
                result.count(what, n)

    def expire(self, before: int) -> None:
        """No event that is older can come."""
        for end in [end for end in self.told if end <= before]:
            del self.told[end]
            self._changed.discard(end)

    def _events(self, window: WindowRows, rows: list[int]) -> tuple[Events, Floats]:
        X = np.full((len(rows), len(self.alignment.schema.numeric)), np.nan)
        X[:, [self.alignment.schema.numeric.index(column) for column in window.columns]] = window.values[rows]
        values: list[dict[str, Any]] = [dict(window.actual(row)) for row in rows]
        times = np.full(len(rows), window.start, np.int64)
        return Events(np.array(rows, dtype=np.int64), values, [window.entities[row] for row in rows], times), X

    def _tell_window(self, window: WindowRows, result: BatchResult) -> None:
        """Score a window that has ended, and learn from it."""
        m = len(window.entities)
        self._window, self._was = window, None
        self.told[window.end] = Told()
        places = (np.full(m, place, np.int64) for place in (self.log, window.start, window.end))
        events, X = self._events(window, list(range(m)))
        self._stretch(RawBatch([None] * m, *places), events, X, events.times, result, Clock({}))
        self.events += m
        self._changed.add(window.end)
        result.count("windows", m)

    def _alert(
        self, decisions: Decisions, events: Events, X: Floats, seen: Ints, judged: Judged, offsets: Ints, partitions: Ints,
        result: BatchResult,
    ) -> None:  # fmt: skip
        told, scores = self.told[self._window.end], judged.verdicts.evidence.max(axis=1).tolist()
        for i, name in enumerate(events.entities):
            told.values[name], told.scores[name] = events.values[i], score_of(scores[i])
            head = self.store.head[self.store.index[name]]
            if self._was is None and decisions.flagged[i] and head[STATUS]:
                told.incident[name] = (int(head[OPENED_OFFSET]), int(head[STATUS]))
        super()._alert(decisions, events, X, seen, judged, offsets, partitions, result)

    def _named(self, kinds: Ints) -> Ints:
        return np.where(kinds == POINT, COLLECTIVE, kinds)  # of the events in the window

    def _complete(self, row: int, data: dict[str, Any]) -> None:
        window = self._window
        data["window"]["to"] = rfc3339(window.end)
        data["aggregate"] = {
            "window": window.name, "from": rfc3339(window.start), "to": rfc3339(window.end), "events": int(window.values[row, 0]),
        }  # fmt: skip
        data["source"] = {
            "topic": self.topic, "partition": self.log, "offset": self._offset,
            "first_offset": int(window.first[row]), "last_offset": int(window.last[row]),
        }  # fmt: skip
        if self._was is not None:
            now = {"actual": window.actual(row), "score": data["score"]}
            data["amended"] = {"was": self._was[row], "now": now}

    def _amend(self, result: BatchResult) -> None:
        by_end: dict[int, list[str]] = {}
        for end, name in sorted(self.pending):
            by_end.setdefault(end, []).append(name)
        self.pending.clear()
        for end, names in by_end.items():
            window = self.kept.window(self.name, self.of, end, names)
            told = self.told.setdefault(end, Told())
            changed = [k for k, name in enumerate(window.entities) if told.values.get(name) != window.actual(k)]
            if changed:
                self._amend_window(window, changed, told, result)
                self._changed.add(end)
                result.count("windows_amended", len(changed))

    def _amend_window(self, window: WindowRows, changed: list[int], told: Told, result: BatchResult) -> None:
        """Judge entities of a window again, and tell what became of their alerts."""
        known = [k for k in changed if window.entities[k] in self.store.index]
        for k in sorted(set(changed) - set(known)):  # seen for the first time: nothing to compare it with
            told.values[window.entities[k]], told.scores[window.entities[k]] = window.actual(k), 0.0
        if not known:
            return
        self._window = window
        events, X = self._events(window, known)
        rows, seen, judged = self._judge_again(events, X, result)
        over = judged.surprise >= -np.log(judged.thresholds)
        flagged = judged.violated | (over & (seen > self.settings.decide.warmup) & ~judged.admitted.muted)
        place, change, incidents = [], [], []
        for i, name in enumerate(events.entities):
            what = self._change(window.start, int(rows[i]), name, bool(flagged[i]), told, int(judged.kinds[i]))
            if what:
                place.append(i)
                change.append(what[0])
                incidents.append(what[1])
        self._was = [None] * len(window.entities)
        for i, name in zip(known, events.entities, strict=True):
            if name in told.values:
                self._was[i] = {"actual": told.values[name], "score": told.scores[name]}
        head = np.array(incidents, dtype=np.int64).reshape(len(place), self.store.head.shape[1])
        decisions = Decisions(
            np.array(place, dtype=np.int64), np.array(change, dtype=np.int64), head, judged.surprise[place], flagged
        )
        offsets, partitions = np.full(len(rows), self._offset), np.full(len(rows), self.log)
        self._alert(decisions, events, X, seen, judged, offsets, partitions, result)
        if self.budget:
            self.budget.count(0, change.count(OPENED))
        self.unsaved.rows.append(rows)

    def _judge_again(self, events: Events, X: Floats, result: BatchResult) -> tuple[Ints, Ints, Judged]:
        """Rows of known entities, how often they were seen, and what is made of aggregates of theirs, without learning from them."""
        rows = self.store.rows(events.entities, X.shape[1])
        with self.learning_undone(rows, self.store.head[rows, SLOT] - 1):
            return rows, self.store.head[rows, SEEN], self.judge_again(events, X, rows, result)

    def surprises(self, entity: str, X: Floats) -> Floats:
        """How surprising each of some aggregates of an entity would be, against what is known now; nothing is learned.

        Parameters
        ----------
        entity : str
            Seen before.
        X : float64[n, columns]
            As `WindowRows.values`.
        """
        said = np.empty(len(X))
        for i, x in enumerate(X):
            offsets = np.zeros(1, np.int64)
            window = WindowRows(self.name, 0, self.of.size, [entity], self.columns, x[None, :], offsets, offsets)
            _, _, judged = self._judge_again(*self._events(window, [0]), BatchResult())
            said[i] = judged.verdicts.total[0]
        return said

    def _change(
        self, start: int, row: int, name: str, flagged: bool, told: Told, kind: int
    ) -> tuple[int, Ints] | None:  # fmt: skip
        """What becomes of an entity's alert, and its incident then; None where there is nothing to tell."""
        head, levels = self.store.head[row], self.store.levels[row]
        begun = told.incident.get(name)
        if begun is None:
            if not flagged or self.settings.decide.hits > 1:
                return None
            opened = head[STATUS] == 0
            if opened:
                self._begin(head, start, kind | 1 << (KIND_BITS + kind))
                levels[PEAK] = levels[TOLD] = 0.0
            told.incident[name] = (int(head[OPENED_OFFSET]), int(head[STATUS]))
            return OPENED if opened else UPDATED, head.copy()
        was_open = bool(head[STATUS]) and int(head[OPENED_OFFSET]) == begun[0]
        incident = head.copy()
        if not was_open:
            self._begin(incident, begun[0], begun[1])
        if flagged:
            return UPDATED, incident
        del told.incident[name]
        others = any(other.incident.get(name, (-1, 0))[0] == begun[0] for other in self.told.values())
        if others or begun[0] + self.of.size not in self.told:
            return UPDATED, incident
        if was_open:
            head[STATUS:] = 0
            levels[:] = 0.0
        return RETRACTED, incident

    def _begin(self, head: Ints, start: int, status: int) -> None:
        """Let a row of `EntityStore.head` have an incident that began with a window."""
        head[STATUS:] = 0
        head[STATUS], head[HITS], head[CONFIG], head[OPENED_PARTITION] = status, 1, self._mark, self.log
        head[OPENED_TIME] = head[OPENED_OFFSET] = start

    def save(self, result: BatchResult) -> None:
        """Add what changed to the saved state."""
        for end in sorted(self._changed):
            result.writes[f"{self.prefix}t{end}"] = self.told[end].to_state()
        result.deletes += [f"{self.prefix}t{end}" for end in sorted(self._saved - self.told.keys())]
        self._saved = set(self.told)
        if self.unsaved.rows or self.unsaved.forgotten:
            super().save(result)
        self.unsaved, self._changed = Unsaved(), set()

    def restore(self, saved: dict[str, bytes]) -> None:
        """Become what was saved."""
        self.told = {int(key[1:]): Told.from_state(value) for key, value in saved.items() if key[0] == "t"}
        self._saved = set(self.told)
        super().restore(saved)
        self._know_columns()
