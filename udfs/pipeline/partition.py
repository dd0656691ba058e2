"""One log through all the steps: decode, align, context, featurize, detect, serve, calibrate, decide, alert."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.entities.entity_store import HELD_AFTER, HISTORY, SLOT, STATUS
from streamgauge.udfs.events.decode import decode
from streamgauge.udfs.events.records import Events, Notice, RawBatch
from streamgauge.udfs.events.stream_kind import LOOK_EVERY
from streamgauge.udfs.incidents.classify import classify
from streamgauge.udfs.incidents.lifecycle import KINDS, OPENED, Decisions, decide, kind_of
from streamgauge.udfs.incidents.rules import Rule
from streamgauge.udfs.incidents.suppress import Admitted, admit
from streamgauge.udfs.monitoring.models import Watched, watch_models
from streamgauge.udfs.output.alert import CHANGES, build_alerts
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.output.side_records import dead_letter, late_event, sampled, schema_notice, score_record
from streamgauge.udfs.pipeline.partition_state import LogState, Unsaved
from streamgauge.udfs.scoring.calibrate import SHADOW
from streamgauge.udfs.scoring.normalise import WIDTH, distances, featurize
from streamgauge.udfs.scoring.opinions import Opinions, Verdicts
from streamgauge.udfs.scoring.trained_models import either
from streamgauge.udfs.settings.pipeline import Maintenance

COUNT_EVERY = 10_000  # events between looks at how many entities there are,
SWEEP_EVERY = 10 * COUNT_EVERY  # and between sweeps for forgotten ones


@dataclass(slots=True)
class Judged:
    """What is made of events before incidents are followed.

    Attributes
    ----------
    opinions, verdicts
    features, categories
        As the cohort detectors were given them.
    surprise : float64[n]
        For any kind of incident, as far as the event may be severe.
    violated : bool[n]
        Whether a rule is.
    rules : list of (Rule, bool[n])
    kinds : int64[n]
        Of incident that each event would be.
    admitted : Admitted
    thresholds : float64[n]
        In force for each event.
    arms : list of str
        Its side in a trial of two thresholds; empty where there is none.
    """

    opinions: Opinions
    verdicts: Verdicts
    features: Floats
    categories: Floats
    surprise: Floats
    violated: Flags
    rules: list[tuple[Rule, Flags]]
    kinds: Ints
    admitted: Admitted
    thresholds: Floats
    arms: list[str]


class LogPipeline(LogState):
    """The steps of one log."""

    def process(self, raw: RawBatch, result: BatchResult) -> None:
        """Take a batch through all steps; see `ScoringPipeline.process`."""
        clock = Clock(result.seconds)
        if self.served != self.models.versions:
            self.adopt()
        events, dead = decode(raw, self.settings.event)
        rejected = self.alignment.reject(events)
        if rejected:
            dead += [letter for _, letter in rejected]
            events = events.drop({place for place, _ in rejected})
        for letter in dead:
            result.dead_letters.append(dead_letter(raw, letter, self.topic))
            result.count(f"dead_letters.{letter.reason}")
        clock.lap("decode")
        clocks = events.times
        if self.windows:
            clocks, late = self.windows.admit(events.times, raw.stamps[events.rows])
            clocks = clocks[late == 0]
            events = events.drop(self._set_aside(late, raw, events, result))
        if self.situations:
            events.units = self.situations.units(events)
        news: list[Notice] = []
        for start, stop, X in self.alignment.matrices(events, news):
            clock.lap("align")
            self._stretch(raw, events.slice(start, stop), X, clocks[start:stop], result, clock)
        for notice in news:
            time = int(events.times[notice.place])
            result.notices.append(schema_notice(notice, self.topic, self.job, self.log, time))
        result.count("schema_changes", len(news))
        self.events += len(raw)
        result.count("events", len(raw))
        if self.saves:
            self.save(result)
            clock.lap("save")
        self.unsaved = Unsaved()

    def _stretch(
        self, raw: RawBatch, events: Events, X: Floats, clocks: Ints, result: BatchResult, clock: Clock
    ) -> None:  # fmt: skip
        """Events of one schema: find their entities, set the late ones aside, score the rest, and put them in their windows."""
        d = X.shape[1]
        self.shape.widen(d)
        self.widen(d)
        rows = self.store.rows(events.keys, d)
        arrivals, offsets = raw.stamps[events.rows], raw.offsets[events.rows]
        watched = self.silence.rows(events.entities, rows) if self.silence else rows
        looks, moments = self.silence.cuts(arrivals) if self.silence else (np.empty(0, np.int64),) * 2
        begin, scored = 0, []
        while begin < len(events):
            most = begin + self.shape.until_next_look()
            coming = int(np.searchsorted(looks, begin))
            if coming < len(looks) and looks[coming] == begin:
                self._look(int(moments[coming]), result)
                coming += 1
            if coming < len(looks):
                most = min(most, int(looks[coming]))
            if self.situations:
                most = self.situations.until_switch(events, begin, most)
            returning = self.silence.returning(watched[begin:most]) if self.silence else []
            done, late, seen, held = self.store.touch(
                rows[begin:most],
                events.times[begin:most],
                self.settings.event.late_after,
                self.settings.entity.forget_after,
                self.settings.entity.quarantine > 0,
            )
            end = begin + done
            if self.silence:
                back = self.silence.learn(watched[begin:end], arrivals[begin:end], offsets[begin:end], returning)
                self._tell(back, "resolved", result)
                if self.silence.apart:
                    self.unsaved.arrived.append(watched[begin:end])
            part, part_X, part_rows, part_clocks = (
                events.slice(begin, end),
                X[begin:end],
                rows[begin:end],
                clocks[begin:end],
            )
            if late.any():
                keep = np.flatnonzero(late == 0)
                part = part.drop(self._set_aside(late, raw, part, result))
                part_X, part_rows, seen, held = part_X[keep], part_rows[keep], seen[keep], held[keep]
                part_clocks = part_clocks[keep]
            if held.any():
                self._keep_points(part, part_rows, held)
            clock.lap("context")
            if len(part):
                scored.append(self._score(raw, part, part_X, part_rows, seen, held, result, clock))
                if self.windows:
                    self.windows.feed(part, raw.offsets[part.rows], part_clocks, result)
                    clock.lap("windows")
                if self.budget and not self.name and self.shape.events % LOOK_EVERY == 0:
                    self.budget.look(self.store.clock)
                if self._sweep(result):
                    rows[end:] = self.store.rows(events.keys[end:], d)
                    if self.silence:
                        watched[end:] = self.silence.rows(events.entities[end:], rows[end:])
            begin = end
        if self.models.names:
            watch_models(self, scored, result)
            clock.lap("watch")

    def _sweep(self, result: BatchResult) -> bool:
        """Now and then, forget who was away for too long, or the least recent where there are too many; whether it was time to."""
        entity, events = self.settings.entity, self.shape.events
        if events % COUNT_EVERY:
            return False
        stores = [self.store]
        if self.silence and self.silence.apart:
            stores.append(self.silence.store)
        if events % SWEEP_EVERY == 0:
            gone, why = [store.away(entity.forget_after) for store in stores], "entities_forgotten"
        else:
            none = np.empty(0, np.int64)
            gone = [store.least_recent(entity.most) if store.known > entity.most else none for store in stores]
            why = "entities_evicted"
        self.let_go(gone[0], why, result)
        if len(gone) > 1:
            self.let_depart(gone[1], result)
        return True

    def _keep_points(self, events: Events, rows: Ints, held: Flags) -> None:
        """Keep what is known of entities whose events are held back from here on."""
        for row in dict.fromkeys(rows[held].tolist()):  # in the order of events: rows are others after a restart
            if self.store.head[row, HISTORY] >> HELD_AFTER & 1 == 0:
                slot = int(self.store.head[row, SLOT]) - 1
                rich = self.rich.fields[slot] if slot >= 0 else np.empty((0, self.rich.width))
                time = int(events.times[int(np.argmax(rows == row))])
                self.points.keep(self.store.names[row], time, self.store.fields[row], rich)

    def _set_aside(self, late: Ints, raw: RawBatch, events: Events, result: BatchResult) -> set[int]:
        """Tell of the events that are late, by how many milliseconds; returns their places."""
        places = np.flatnonzero(late).tolist()
        result.late += [
            late_event(raw, int(events.rows[i]), self.topic, events.entities[i], int(late[i])) for i in places
        ]
        result.count("late", len(places))
        return set(places)

    def let_go(self, gone: Ints, why: str, result: BatchResult) -> None:
        """Forget the entities in some rows, and count them as what `why` says."""
        if self.silence and not self.silence.apart:
            self._tell(self.silence.give_up(gone), "resolved", result)
        forgotten, slots = self.store.forget(gone)
        self.rich.leave(slots)
        self.detectors.peers.count(-len(slots))
        self.unsaved.forgotten += forgotten
        result.count(why, len(forgotten))

    def let_depart(self, gone: Ints, result: BatchResult) -> None:
        """Forget the entities in some rows of where silence is watched apart."""
        assert self.silence is not None
        alerts, names = self.silence.forget(gone)
        self._tell(alerts, "resolved", result)
        self.unsaved.departed += names

    def tick(self, elapsed: int, result: BatchResult) -> None:
        """Nothing came for so many milliseconds: look for silent entities, and end windows."""
        if self.silence and self.silence.clock:
            self._look(self.silence.clock + elapsed, result)
        if self.windows:
            self.windows.tick(elapsed, result)
        if self.saves and result.counts:  # something was told
            self.save(result)
            self.unsaved = Unsaved()

    def _look(self, now: int, result: BatchResult) -> None:
        assert self.silence is not None
        rows, alerts = self.silence.look(now, self._maintenance)
        if len(rows):
            (self.unsaved.arrived if self.silence.apart else self.unsaved.rows).append(rows)
            self._tell(alerts, "opened", result)

    def _tell(self, alerts: list[tuple[str, bytes]], change: str, result: BatchResult) -> None:
        """Add alerts of silent entities."""
        result.alerts += alerts
        result.count(f"alerts.{change}", len(alerts))
        if change == "opened":
            result.count("alerts.collective", len(alerts))

    @property
    def threshold(self) -> float:
        """Tail probability in force: the control topic's, the budget's, or the settings' own."""
        own = self.settings.decide.threshold
        return self.control.threshold or (self.budget and self.budget.threshold) or own

    @property
    def _maintenance(self) -> tuple[Maintenance, ...]:
        own, said = self.settings.decide.maintenance, self.control.maintenance
        return own if said is None else said

    def _judge(
        self, events: Events, X: Floats, rows: Ints, slots: Ints, fresh: Flags, held: Flags, result: BatchResult,
        clock: Clock,
    ) -> Judged:  # fmt: skip
        """From fields to what counts: what it learns on the way is in the store, the detectors and the calibrators."""
        settings, columns = self.settings, self.alignment.schema.numeric
        categories = self.alignment.categories(events) if self.detectors.categorical else np.empty((len(X), 0))
        features, steady, known = featurize(
            self.store.fields[:, :, :WIDTH], rows, X, settings.featurize, self.shape.changes, self.prior, held
        )
        clock.lap("featurize")
        kind = self.shape.kind
        light = self.store.fields[:, :, WIDTH:]
        opinions = self.detectors.detect(
            kind, light, rows, self.rich.fields, slots, fresh, X, features, categories, events, held
        )
        clock.lap("detect")
        self._serve(kind, slots, X, columns, events.entities, opinions)
        clock.lap("serve")
        verdicts = self.calibrators.calibrate(opinions.magnitudes, opinions.canaries, opinions.sure)
        clock.lap("calibrate")
        arms = self.control.trial.arms(events.entities) if self.control.trial else []
        thresholds = self.control.trial.thresholds(arms) if self.control.trial else np.full(len(X), self.threshold)
        book = self.rules if self.control.rules is None else self.control.rules
        violated, rules, failed = book.violations(events, X, columns)
        result.count("rules_failed", failed)
        limits = -np.log(thresholds)
        total = verdicts.total
        surprising = total >= limits
        kinds = classify(surprising, violated, known, X, opinions, verdicts, self.contextual, limits,
            functools.partial(self.situations.usual_elsewhere, events, rows) if self.situations else None,
        )  # fmt: skip
        kinds = self._named(kinds)
        admitted = admit(
            surprising & ~violated, events, X, columns, steady, opinions, verdicts,
            settings.decide.fields, self._maintenance,
            limits, kinds, self.alignment.text_fields, self.control.heard,
        )  # fmt: skip
        return Judged(opinions, verdicts, features, categories, np.minimum(total, admitted.severest), violated, rules, kinds,
                      admitted, thresholds, arms)  # fmt: skip

    def judge_again(self, events: Events, X: Floats, rows: Ints, result: BatchResult) -> Judged:
        """What is made of events that did not come just so; within `learning_undone`."""
        slots, no = self.store.head[rows, SLOT] - 1, np.zeros(len(rows), np.bool_)
        return self._judge(events, X, rows, slots, no, no, result, Clock({}))

    def _named(self, kinds: Ints) -> Ints:
        """What kinds of incident are called here."""
        return kinds

    def _score(
        self, raw: RawBatch, events: Events, X: Floats, rows: Ints, seen: Ints, held: Flags, result: BatchResult,
        clock: Clock,
    ) -> Watched:  # fmt: skip
        settings, kind = self.settings, self.shape.kind
        slots, fresh = self._seat(rows, seen, X.shape[1])
        judged = self._judge(events, X, rows, slots, fresh, held, result, clock)
        opinions, verdicts = judged.opinions, judged.verdicts
        rich = np.flatnonzero(slots >= 0)
        if len(rich):
            self.unsaved.rich.append(
                (kind, slots[rich], fresh[rich], held[rich], events.times[rich], X[rich], opinions.levels)
            )
        self.shape.count(len(X))
        result.count("muted.maintenance", judged.admitted.maintenance)
        result.count("muted.small", judged.admitted.small)
        result.count("muted.feedback", judged.admitted.feedback)
        offsets, partitions = raw.offsets[events.rows], raw.partitions[events.rows]
        decisions = decide(
            self.store, rows, seen, judged.surprise, judged.violated, events.times, offsets, partitions,
            judged.thresholds, verdicts.surprise, self._mark, settings.decide, judged.kinds, judged.admitted.muted, held,
            distances(judged.features), settings.entity.quarantine,
        )  # fmt: skip
        clock.lap("decide")
        self._alert(decisions, events, X, seen, judged, offsets, partitions, result)
        self._scores(raw, events, opinions.names, verdicts, result)
        for name, seconds in opinions.seconds.items():
            result.model_seconds[name] = result.model_seconds.get(name, 0.0) + seconds
        result.rows.append(events.rows)
        result.surprise.append(verdicts.surprise)
        result.evidence.append(judged.surprise)
        result.members.append(verdicts.surprises)
        result.flagged.append(decisions.flagged)
        result.count("scored", len(X))
        result.count("held_back", int(held.sum()))
        if self.budget:
            self.budget.count(len(X), int((decisions.change == OPENED).sum()))
        if self.shape.events % LOOK_EVERY == 0:  # the same events however the log is cut into batches
            self.move_weights()
        if self.detectors.cohort:
            usable = ~np.isnan(judged.features).all(axis=1)
            self.unsaved.features.append((kind, judged.features[usable], judged.categories))
        self.unsaved.magnitudes.append(np.column_stack((opinions.magnitudes, opinions.canaries)))
        self.unsaved.rows.append(rows)
        clock.lap("alert")
        if self.tracking:
            self.tracking.count(verdicts.surprise, decisions, int(held.sum()))
            if self.shape.events % self.tracking.every == 0:
                self.tracking.tell(self, events, X, result)
                clock.lap("track")
        return Watched(
            events.entities,
            offsets,
            events.times,
            X,
            opinions.magnitudes,
            verdicts.surprises,
            opinions.canaries,
            self.threshold,
        )

    def _alert(
        self, decisions: Decisions, events: Events, X: Floats, seen: Ints, judged: Judged, offsets: Ints, partitions: Ints,
        result: BatchResult,
    ) -> None:  # fmt: skip
        if not len(decisions.place):
            return
        result.alerts += build_alerts(
            decisions, events, X, self.alignment.schema.numeric, self.alignment.text_fields, judged.opinions, judged.verdicts,
            seen, judged.rules, offsets, partitions, topic=self.topic, job=self.job, thresholds=judged.thresholds, arms=judged.arms,
            versions=functools.partial(self._versions, judged.opinions.canaries), decide=self.settings.decide, groups=self.groups,
            context=self.settings.event.context, complete=self._complete,
        )  # fmt: skip
        changes = (decisions.place, decisions.change, decisions.incident[:, STATUS])
        for place, change, what in zip(*(column.tolist() for column in changes), strict=True):
            result.count(f"alerts.{CHANGES[change]}")
            if change == OPENED:
                result.count(f"alerts.{KINDS[kind_of(what)]}")
                if judged.arms:
                    result.count(f"alerts.trial_{judged.arms[place]}")

    def _versions(self, canaries: Flags, place: int) -> dict[str, str]:
        """Version of each member that judged an event."""
        told = self.detectors.versions | self.served
        for j in np.flatnonzero(canaries[place]).tolist():
            name = list(self.models.settings.use)[j]
            told[name], told[f"{name}{SHADOW}"] = told[f"{name}{SHADOW}"], told[name]
        return told

    def _complete(self, row: int, data: dict[str, Any]) -> None:
        """Add to what an alert says; the event is that of a row of the raw batch."""

    def _seat(self, rows: Ints, seen: Ints, fields: int) -> tuple[Ints, Flags]:
        """Slots of the events' entities in the rich tier, and whether the entity begins there with the event.

        Entities without one are given a slot while there is room; -1 is none.
        """
        if not (self.models.width or self.detectors.rich_on(self.shape.kind)) or not fields:
            return np.full(len(rows), -1), np.zeros(len(rows), np.bool_)
        self.rich.make_room(fields)
        held = self.store.head[rows, SLOT]
        fresh = seen == 1
        if self.rich.room(fields) and (held == 0).any():
            _, first = np.unique(rows[held == 0], return_index=True)
            first = np.flatnonzero(held == 0)[np.sort(first)]
            self.store.head[rows[first], SLOT] = self.rich.seat(held[first], fields)
            held = self.store.head[rows, SLOT]
            fresh[first] = True
        slots: Ints = held - 1
        fresh &= slots >= 0
        self.rich.clear(slots[fresh])
        return slots, fresh

    def _serve(
        self, kind: str, slots: Ints, X: Floats, columns: list[str], entities: list[str], opinions: Opinions
    ) -> None:  # fmt: skip
        """Add what the trained models say to the detectors' opinions."""
        models = self.models
        if not models.names:
            return
        windows = models.windows(self.rich.fields[:, :, self.detectors.rich_width :], slots, X, columns)
        said = dict(zip(models.names, models.serve(kind, X, columns, windows), strict=True))
        none = np.full(len(X), np.nan)
        opinions.names += models.names
        opinions.magnitudes = np.column_stack(
            [opinions.magnitudes, *(none if one is None else one.magnitude for one in said.values())]
        )
        opinions.canaries = models.canaries(entities)
        opinions.seconds |= {name: one.seconds for name, one in said.items() if one is not None}
        for j, name in enumerate(models.settings.use):
            live, shadow = said[name], said[f"{name}{SHADOW}"]
            heard = opinions.canaries[:, j] if opinions.canaries.size else np.zeros(len(X), np.bool_)
            if live is None or shadow is None:  # nobody to change places with
                heard[:] = False
            if live is None:
                opinions.contributions.append(None)
                continue
            other = live if shadow is None else shadow
            opinions.contributions.append(either(live.weights, other.weights, heard))
            opinions.expected.append(either(live.expected, other.expected, heard))
            opinions.missing = np.maximum(opinions.missing, np.where(heard, other.missing, live.missing))
        opinions.contributions += [None] * len(models.settings.use)  # a shadow is not asked why

    def _scores(self, raw: RawBatch, events: Events, names: list[str], verdicts: Verdicts, result: BatchResult) -> None:
        output = self.settings.output
        if output.scores == "none":
            return
        for i, row in enumerate(events.rows.tolist()):
            if output.scores == "all" or sampled(int(raw.partitions[row]), int(raw.offsets[row]), output.sample):
                members = dict(zip(names, verdicts.surprises[i].tolist(), strict=True))
                result.scores.append(
                    score_record(raw, row, self.topic, events.entities[i], int(events.times[i]), verdicts, i, members)
                )


class Clock:
    """Adds the time since the last lap to a step."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        """Add the time since the last one."""
        now = time.perf_counter()
        self._seconds[step] = self._seconds.get(step, 0.0) + now - self._last
        self._last = now
