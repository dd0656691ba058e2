"""One log through all the steps: decode, align, context, featurize, detect, serve, calibrate, decide, alert."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np
from streamgauge.models.catalog import ENTITY
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.admit import admit
from streamgauge.udfs.alert import CHANGES, build_alerts, config_mark
from streamgauge.udfs.align import Alignment, Schema
from streamgauge.udfs.calibrate import Calibrators, Members
from streamgauge.udfs.classify import classify
from streamgauge.udfs.context import SLOT, STATUS, EntityStore
from streamgauge.udfs.control import Control, DetectorVersion
from streamgauge.udfs.decide import KINDS, OPENED, TENFOLD, decide, kind_of
from streamgauge.udfs.decode import decode
from streamgauge.udfs.detect import OWN, Detectors
from streamgauge.udfs.featurize import WIDTH, featurize
from streamgauge.udfs.journal import Fed, Journal
from streamgauge.udfs.records import BatchResult, Events, Opinions, RawBatch, Verdicts
from streamgauge.udfs.relate import Peers
from streamgauge.udfs.rich import Fed as RichFed
from streamgauge.udfs.rich import RichStore
from streamgauge.udfs.serve import SHADOW, Models
from streamgauge.udfs.settings import PipelineSettings
from streamgauge.udfs.shape import Shape
from streamgauge.udfs.side_outputs import dead_letter, late_event, sampled, score_record

SWEEP_EVERY = 100_000  # events between sweeps for forgotten entities


@dataclass(slots=True)
class _Unsaved:
    """What a batch did to the state.

    Attributes
    ----------
    rows : list of int64[n]
        Of the entities it touched.
    forgotten : list of str
        Entities that were swept.
    features, magnitudes, rich
        What the cohort detectors, the calibrators and the rich detectors were fed.
    """

    rows: list[Ints] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    features: list[Fed] = field(default_factory=list)
    magnitudes: list[Floats] = field(default_factory=list)
    rich: list[RichFed] = field(default_factory=list)


class LogPipeline:
    """The steps and the state of one log: one Kafka partition, or one shard of entities.

    Parameters
    ----------
    log : int
        The partition; -1 for a shard of entities.
    settings : PipelineSettings
    topic, job : str
        Named in alerts.
    control : Control
    models : Models
        Both shared with the other logs.
    saves : bool
        Whether results say what changed in the state.
    """

    kind = "log"
    version = 4

    def __init__(
        self,
        log: int,
        settings: PipelineSettings,
        topic: str,
        job: str,
        control: Control,
        models: Models,
        saves: bool = True,
    ) -> None:
        self.settings = settings
        self.saves = saves
        self.topic, self.job = topic, job
        self.control, self.models = control, models
        self.prefix = f"{log}/"
        self.alignment = Alignment(settings.event)
        self.detectors = Detectors(settings.detectors, control.versions)
        self.store = EntityStore(WIDTH + self.detectors.width)
        self.rich = RichStore(
            self.detectors.rich_width + models.width, int(settings.entity.rich_memory * 2**20), self.prefix
        )
        self.shape = Shape()
        self.peers = Peers()
        self.calibrators = Calibrators(_members(self.detectors, models), settings.calibration, settings.ensemble.method)
        self.calibrators.weigh(control.weights)
        self.contextual = [k for k, kind in enumerate(self.calibrators.of.sees) if kind == "contextual"]
        self.journal = Journal(self.prefix)
        self.served: dict[str, str] = {}  # version of each trained model that its calibrator fits
        self.events = 0
        configured = settings.model_dump_json(include={"detectors", "ensemble", "featurize", "models"})
        self._mark = config_mark(configured)
        self._unsaved = _Unsaved()
        self._columns_saved = -1

    def process(self, raw: RawBatch, result: BatchResult) -> None:
        """Take a batch through all steps; see `ScoringPipeline.process`."""
        clock = _Clock(result.seconds)
        if self.served != self.models.versions:
            self._adopt()
        events, dead = decode(raw, self.settings.event)
        rejected = self.alignment.reject(events)
        if rejected:
            dead += [letter for _, letter in rejected]
            events = events.drop({place for place, _ in rejected})
        for letter in dead:
            result.dead_letters.append(dead_letter(raw, letter, self.topic))
            result.count(f"dead_letters.{letter.reason}")
        clock.lap("decode")
        for start, stop, X in self.alignment.matrices(events, result.notices):
            clock.lap("align")
            self._stretch(raw, events.slice(start, stop), X, result, clock)
        self.events += len(raw)
        result.count("events", len(raw))
        if self.saves:
            self._save(result)
            clock.lap("save")
        self._unsaved = _Unsaved()

    def _stretch(self, raw: RawBatch, events: Events, X: Floats, result: BatchResult, clock: _Clock) -> None:
        """Events of one schema: find their entities, set the late ones aside, score the rest."""
        d = X.shape[1]
        self.shape.widen(d)
        rows = self.store.rows(events.entities, d)
        begin = 0
        while begin < len(events):
            most = begin + self.shape.until_next_look()
            done, late, seen = self.store.touch(
                rows[begin:most],
                events.times[begin:most],
                self.settings.event.late_after,
                self.settings.entity.forget_after,
            )
            end = begin + done
            part, part_X, part_rows = events.slice(begin, end), X[begin:end], rows[begin:end]
            places = np.flatnonzero(late).tolist()
            if places:
                result.late += [
                    late_event(raw, int(part.rows[i]), self.topic, part.entities[i], int(late[i])) for i in places
                ]
                result.count("late", len(places))
                keep = np.flatnonzero(late == 0)
                part, part_X, part_rows, seen = part.drop(set(places)), part_X[keep], part_rows[keep], seen[keep]
            clock.lap("context")
            if len(part):
                self._score(raw, part, part_X, part_rows, seen, result, clock)
                if self.shape.events % SWEEP_EVERY == 0:
                    self._sweep(result)
                    rows[end:] = self.store.rows(events.entities[end:], d)
            begin = end

    def _sweep(self, result: BatchResult) -> None:
        forgotten, slots = self.store.sweep(self.settings.entity.forget_after)
        self.rich.leave(slots)
        self.peers.leave(len(slots))
        self._unsaved.forgotten += forgotten
        result.count("entities_forgotten", len(forgotten))

    def _score(
        self, raw: RawBatch, events: Events, X: Floats, rows: Ints, seen: Ints, result: BatchResult, clock: _Clock
    ) -> None:
        settings, columns = self.settings, self.alignment.schema.numeric
        categories = self.alignment.categories(events) if self.detectors.categorical else np.empty((len(X), 0))
        features, steady, known = featurize(self.store.fields[:, :, :WIDTH], rows, X, settings.featurize, self.shape.changes)
        clock.lap("featurize")
        kind = self.shape.kind
        slots = self._seat(rows, seen, events.times, X)
        light = self.store.fields[:, :, WIDTH:]
        opinions = self.detectors.detect(
            kind, light, rows, self.rich.fields, slots, X, features, categories, events, functools.partial(self._peers, kind),
            self.peers.among,
        )
        self.shape.count(len(X))
        clock.lap("detect")
        self._serve(kind, slots, X, columns, opinions)
        clock.lap("serve")
        verdicts = self.calibrators.calibrate(opinions.magnitudes)
        clock.lap("calibrate")
        threshold = self.control.threshold or settings.decide.threshold
        violated, rules = self.control.violations(X, columns)
        limit = -math.log(threshold)
        total = verdicts.total
        surprising = total >= limit
        kinds = classify(surprising, violated, known, X, opinions, verdicts, self.contextual, limit)
        admitted = admit(
            surprising & ~violated, events, X, columns, steady, opinions, verdicts,
            settings.decide.fields, settings.decide.maintenance if self.control.maintenance is None else self.control.maintenance,
            limit + 0.99 * TENFOLD,
        )  # fmt: skip
        result.count("muted.maintenance", admitted.maintenance)
        result.count("muted.small", admitted.small)
        offsets, partitions = raw.offsets[events.rows], raw.partitions[events.rows]
        decisions = decide(
            self.store, rows, seen, np.minimum(total, admitted.severest), violated, events.times, offsets, partitions,
            threshold, self._mark, settings.decide, kinds, admitted.muted,
        )  # fmt: skip
        clock.lap("decide")
        alerts = build_alerts(
            decisions, events, X, columns, self.alignment.text_fields, opinions, verdicts, seen, rules, offsets, partitions,
            topic=self.topic, job=self.job, threshold=threshold, versions=self.detectors.versions | self.served,
            warmup=settings.decide.warmup,
        )  # fmt: skip
        result.alerts += alerts
        for change, what in zip(decisions.change.tolist(), decisions.incident[:, STATUS].tolist(), strict=True):
            result.count(f"alerts.{CHANGES[change]}")
            if change == OPENED:
                result.count(f"alerts.{KINDS[kind_of(what)]}")
        self._scores(raw, events, opinions.names, verdicts, result)
        self._compare_shadows(opinions.names, verdicts.surprises, threshold, result)
        for name, seconds in opinions.seconds.items():
            result.model_seconds[name] = result.model_seconds.get(name, 0.0) + seconds
        result.rows.append(events.rows)
        result.surprise.append(verdicts.surprise)
        result.members.append(verdicts.surprises)
        result.flagged.append(decisions.flagged)
        result.count("scored", len(X))
        if self.detectors.cohort:
            self._unsaved.features.append((kind, features[~np.isnan(features).all(axis=1)], categories))
        self._unsaved.magnitudes.append(opinions.magnitudes)
        self._unsaved.rows.append(rows)
        clock.lap("alert")

    def _seat(self, rows: Ints, seen: Ints, times: Ints, X: Floats) -> Ints:
        """Slots of the events' entities in the rich tier, given to those that have none while there is room; -1 is none."""
        if not (self.models.width or self.detectors.rich_on(self.shape.kind)) or not X.shape[1]:
            return np.full(len(rows), -1)
        fields = X.shape[1]
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
        rich = np.flatnonzero(slots >= 0)
        if len(rich):
            self.rich.clear(slots[fresh])
            self._unsaved.rich.append((slots[rich], fresh[rich], times[rich], X[rich], np.empty((len(rich), 0))))
        return slots

    def _peers(self, kind: str, distances: Floats) -> Floats:
        """Levels of the peers of the events that have just been seated, kept for a restart."""
        slots, fresh, times, X, _ = self._unsaved.rich[-1]
        levels = self.peers.levels(distances, fresh) if self.detectors.compares(kind) else np.empty((len(X), 0))
        self._unsaved.rich[-1] = (slots, fresh, times, X, levels)
        return levels

    def _serve(self, kind: str, slots: Ints, X: Floats, columns: list[str], opinions: Opinions) -> None:
        """Add what the trained models say to the detectors' opinions."""
        if not self.models.names:
            return
        windows = self.models.windows(self.rich.fields[:, :, self.detectors.rich_width :], slots, X, columns)
        said = self.models.serve(kind, X, columns, windows)
        none = np.full(len(X), np.nan)
        opinions.names += self.models.names
        opinions.magnitudes = np.column_stack(
            [opinions.magnitudes, *(none if one is None else one.magnitude for one in said)]
        )
        for name, one in zip(self.models.names, said, strict=True):
            opinions.contributions.append(None if one is None else one.weights)
            if one is None:
                continue
            opinions.seconds[name] = one.seconds
            if not name.endswith(SHADOW):
                opinions.expected.append(one.expected)
                opinions.missing = np.maximum(opinions.missing, one.missing)

    def _compare_shadows(self, names: list[str], surprises: Floats, threshold: float, result: BatchResult) -> None:
        """Count what each shadow alone would have flagged, beside the model whose shadow it is."""
        for name in self.models.names:
            if name.endswith(SHADOW) and name in self.models.at_work:
                live, shadow = (
                    np.nan_to_num(surprises[:, names.index(who)]) >= -np.log(threshold)
                    for who in (name.removesuffix(SHADOW), name)
                )
                model = name.removesuffix(SHADOW)
                result.count(f"models.{model}.both", int((live & shadow).sum()))
                result.count(f"models.{model}.only_live", int((live & ~shadow).sum()))
                result.count(f"models.{model}.only_shadow", int((shadow & ~live).sum()))

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

    # ---- saved state ------------------------------------------------------------------------------------------------

    def _canonical_rich(self) -> bytes:
        slots = np.array([self.store.head[self.store.index[name], SLOT] for name in sorted(self.store.index)], np.int64)
        return bytes(self.rich.fields[slots[slots > 0] - 1].tobytes())

    def _adopt(self) -> None:
        """Give each trained model whose version is news here a calibrator that knows it: its shadow's, or the one it came with."""
        for member, loaded in self.models.at_work.items():
            version = str(loaded.manifest.version)
            if self.served.get(member) == version:
                continue
            shadow = f"{member}{SHADOW}"
            if self.served.get(shadow) == version:
                known = self.calibrators.members[self.calibrators.of.names.index(shadow)]
                self.calibrators.adopt(member, known)
            else:
                self.calibrators.adopt(member, loaded.calibrator)
            self.journal.snapshot_wanted = True
        self.served = dict(self.models.versions)

    def weigh(self) -> None:
        """Take up the weights that the control topic says."""
        self.calibrators.weigh(self.control.weights)
        self.journal.snapshot_wanted = True

    def swap(self, message: DetectorVersion) -> None:
        """Put another version of a cohort detector in place, unless it is there already."""
        if self.detectors.versions.get(message.detector) == message.version:
            return
        self.detectors.swap(message.detector, message.version, message.settings.model_dump(exclude=OWN))
        self.journal.snapshot_wanted = True

    def _save(self, result: BatchResult) -> None:
        writes, deletes = result.writes, result.deletes
        unsaved = self._unsaved
        if unsaved.rows:
            touched = np.unique(np.concatenate(unsaved.rows))
            self.store.segment(touched, unsaved.forgotten, f"{self.prefix}e", writes, deletes)
            magnitudes = np.concatenate(unsaved.magnitudes)
            if self.journal.due(len(magnitudes)):
                models = {name: detector.to_state() for name, detector in self.detectors.cohort.items()}
                self.journal.snapshot({"calibrators": self.calibrators.to_state()} | models, writes, deletes)
            else:
                self.journal.append(unsaved.features, magnitudes, writes)
        self.rich.save(unsaved.rich, writes, deletes)
        schema = self.alignment.schema
        if len(schema.numeric) + len(schema.other) + len(schema.retyped) != self._columns_saved:
            self._columns_saved = len(schema.numeric) + len(schema.other) + len(schema.retyped)
            saved = asdict(schema)
            del saved["absent"]
            writes[f"{self.prefix}s"] = pack("schema", 1, saved, {})
        writes[f"{self.prefix}m"] = pack(
            self.kind, self.version, self._meta() | {"rich": self.rich.meta(), "chunk": self.journal.next}, {}
        )

    def _meta(self) -> dict[str, Any]:
        versions = self.detectors.versions
        members = [*self.detectors.names, *self.models.names]
        absent = {name: n for name, n in self.alignment.schema.absent.items() if n}
        return {
            "events": self.events, "members": members, "versions": versions, "served": self.served, "absent": absent,
            "shape": self.shape.to_state(), "peers": self.peers.to_state(),
        }  # fmt: skip

    def restore(self, saved: dict[str, bytes]) -> None:
        """Become what an earlier run saved.

        Parameters
        ----------
        saved : dict
            Saved values of this log, by key without the prefix.

        Raises
        ------
        StateError
            Damaged, of an unknown format, or of other detectors.
        """
        if "m" not in saved:
            raise StateError(f"the saved state of log {self.prefix[:-1]} is incomplete: its header is missing")
        meta, _ = unpack(saved["m"], self.kind, self.version)
        members = [*self.detectors.names, *self.models.names]
        if meta["members"] != members:
            raise StateError(
                f"the saved state is of the detectors and models {meta['members']}, the settings name {members}: "
                "start the job without this state, or restore the settings"
            )
        schema, _ = unpack(saved["s"], "schema", 1)
        self.alignment.schema = Schema(**schema, absent=dict.fromkeys(schema["numeric"], 0) | meta["absent"])
        self.events = meta["events"]
        self.store.restore([(int(k[1:]), v) for k, v in saved.items() if k[0] == "e"])
        self.shape.restore(meta["shape"])
        self.peers.restore(meta["peers"])
        self._restore_rich(saved, meta["rich"])
        self.detectors.versions.update(meta["versions"])
        for name, detector in self.detectors.cohort.items():
            if f"c{name}" in saved:
                self.detectors.cohort[name] = type(detector).from_state(saved[f"c{name}"])
        if "ccalibrators" in saved:
            self.calibrators.restore(saved["ccalibrators"])
        chunks = {int(k[1:]): v for k, v in saved.items() if k[0] == "j"}
        for fed, magnitudes in self.journal.restore(chunks, meta["chunk"]):
            for kind, features, categories in fed:
                self.detectors.learn_cohort(kind, features, categories)
            self.calibrators.calibrate(magnitudes)
        self.served = meta["served"]

    def _restore_rich(self, saved: dict[str, bytes], meta: dict[str, int]) -> None:
        """Snapshots of the rich entities, fed again with what came after."""
        held = self.store.head[: len(self.store.names), SLOT]
        snapshots = {int(k[1:]): v for k, v in saved.items() if k[0] == "r"}
        chunks = {int(k[1:]): v for k, v in saved.items() if k[0] == "i"}
        fields = len(self.alignment.schema.numeric)
        for slots, fresh, times, X, levels in self.rich.restore(meta, held[held > 0] - 1, fields, snapshots, chunks):
            begin = 0
            for end in (*np.flatnonzero(fresh).tolist(), len(slots)):  # a slot is cleared when its entity starts anew
                part = slice(begin, end)
                again = functools.partial(_known, levels[part])
                self.detectors.learn_rich(self.rich.fields, slots[part], X[part], times[part], again)
                self.models.remember(self.rich.fields[:, :, self.detectors.rich_width :], slots[part], X[part])
                if end < len(slots):
                    self.rich.fields[slots[end]] = 0.0
                begin = end

    def canonical(self) -> bytes:
        """The whole state in one normal form: equal bytes for equal state, however the stream was cut into batches."""
        parts = {
            "entities": self.store.canonical(),
            "rich": self._canonical_rich(),
            "calibrators": self.calibrators.to_state(),
            "meta": msgspec.msgpack.encode([asdict(self.alignment.schema), self._meta(), self.store.clock]),
        }
        for name, detector in self.detectors.cohort.items():
            parts[name] = detector.to_state()
        return pack("canonical", 1, {}, {name: np.frombuffer(part, np.uint8) for name, part in parts.items()})


def _known(levels: Floats, _: Floats) -> Floats:
    return levels


def _members(detectors: Detectors, models: Models) -> Members:
    """All members of the ensemble, in the order of their opinions."""
    none, trained = np.zeros(len(models.names), np.bool_), np.ones(len(models.names), np.bool_)
    return Members(
        [*detectors.names, *models.names],
        np.concatenate((detectors.weights, models.weights)),
        np.concatenate((detectors.nats, none)),
        np.concatenate((detectors.leads, none)),
        np.concatenate(
            ([name in ENTITY or alone for name, alone in zip(detectors.names, detectors.nats, strict=True)], trained)
        ),
        np.concatenate((np.zeros(len(detectors.names), np.bool_), trained)),
        [*detectors.sees, *("point" for _ in models.names)],
    )


class _Clock:
    """Adds the time since the last lap to a step."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self._seconds[step] = self._seconds.get(step, 0.0) + now - self._last
        self._last = now
