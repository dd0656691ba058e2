"""What is known of one log, and how it is saved and restored."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
from streamgauge.models.catalog import ENTITY
from streamgauge.models.contract import Floats, Ints, Kind
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.control.messages import Control, DetectorVersion
from streamgauge.udfs.entities.cohort_journal import Fed, Journal
from streamgauge.udfs.entities.entity_store import SLOT, EntityStore
from streamgauge.udfs.entities.rewind_points import Points
from streamgauge.udfs.entities.rich_store import Fed as RichFed
from streamgauge.udfs.entities.rich_store import RichStore
from streamgauge.udfs.entities.silence import SilenceWatch
from streamgauge.udfs.entities.situations import Situations
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.events.schema import Alignment, Schema
from streamgauge.udfs.events.stream_kind import Shape
from streamgauge.udfs.incidents.budget import Budget
from streamgauge.udfs.incidents.groups import Groups
from streamgauge.udfs.incidents.rules import RuleBook
from streamgauge.udfs.monitoring.drift import DriftWatch
from streamgauge.udfs.monitoring.quality import Tracking
from streamgauge.udfs.monitoring.shadow import Comparison
from streamgauge.udfs.output.alert import config_mark
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.scoring.calibrate import SHADOW, Calibrators, Members
from streamgauge.udfs.scoring.detectors import OWN, Detectors
from streamgauge.udfs.scoring.normalise import PRIOR, WIDTH
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings


class Windows(Protocol):
    """What is made of a log's events in windows of event time (`udfs.windows.event_windows`)."""

    logs: dict[str, Any]

    def admit(self, times: Ints, stamps: Ints) -> tuple[Ints, Ints]:
        """Event time at each event, and by how much each is late; 0 is not."""

    def feed(self, events: Events, offsets: Ints, clocks: Ints, result: BatchResult) -> None:
        """Take events that were scored."""

    def tick(self, elapsed: int, result: BatchResult) -> None:
        """Nothing came for so many milliseconds."""

    def meta(self) -> dict[str, Any]:
        """What is saved in the log's header."""

    def save(self, result: BatchResult) -> None:
        """Add what changed to the saved state."""

    def restore(self, saved: dict[str, bytes], meta: dict[str, Any]) -> None:
        """Become what was saved."""

    def canonical(self) -> bytes:
        """The whole state in one normal form."""


@dataclass(slots=True)
class Unsaved:
    """What a batch did to the state.

    Attributes
    ----------
    rows, arrived : list of int64[n]
        Of the entities it touched; and where silence is watched apart, there.
    forgotten, departed : list of str
        Entities that were swept; and there.
    features, magnitudes, rich
        What the cohort detectors, the calibrators (with the canaries) and the rich detectors were fed.
    """

    rows: list[Ints] = field(default_factory=list)
    arrived: list[Ints] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    departed: list[str] = field(default_factory=list)
    features: list[Fed] = field(default_factory=list)
    magnitudes: list[Floats] = field(default_factory=list)
    rich: list[RichFed] = field(default_factory=list)


class LogState:
    """The state of one log: one Kafka partition, or one shard of entities.

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
    name : str
        Of what is looked at, where it is not the events themselves.

    Attributes
    ----------
    windows : Windows, optional
        What is made of the events in windows of event time.
    budget : Budget, optional
        Of the alerts of events and of windows together.
    """

    kind = "log"
    version = 5

    def __init__(
        self,
        log: int,
        settings: PipelineSettings,
        topic: str,
        job: str,
        control: Control,
        models: Models,
        saves: bool = True,
        name: str = "",
    ) -> None:
        self.settings = settings
        self.saves = saves
        self.topic, self.job = topic, job
        self.control, self.models = control, models
        self.log = log
        self.name = name
        self.prefix = f"{log}/w:{name}/" if name else f"{log}/"
        self.alignment = Alignment(settings.event)
        self.detectors = Detectors(settings.detectors, control.versions)
        self.store = EntityStore(
            WIDTH + self.detectors.width, settings.silence is not None and not settings.event.context
        )
        self.situations: Situations | None = None
        if settings.event.context:
            self.situations = Situations(settings.event.context, self.store, settings.featurize.warmup)
        self.rich = RichStore(
            self.detectors.rich_width + models.width, int(settings.entity.rich_memory * 2**20), self.prefix
        )
        self.shape = Shape()
        self.prior = np.zeros((0, PRIOR))
        self.calibrators = Calibrators(_members(self.detectors, models), settings.calibration, settings.ensemble.method)
        self.weigh()
        self.calibrators.weights = self.calibrators.target
        self.contextual = [k for k, kind in enumerate(self.calibrators.of.sees) if kind == "contextual"]
        self.rules = RuleBook(settings.decide.rules)
        self.groups = Groups(settings.decide.group_within)
        self.budget = None if settings.decide.budget is None else Budget(settings.decide.budget)
        self.journal = Journal(self.prefix)
        self.points = Points(self.prefix)
        self.acted = (
            self.judged
        ) = -1  # offsets of the last control message and feedback that did something to an entity
        self.silence: SilenceWatch | None = None
        self.served: dict[str, str] = {}  # version of each trained model that its calibrator fits
        self.events = 0
        configured = settings.model_dump_json(include={"detectors", "ensemble", "featurize", "models"})
        self._mark = config_mark(configured + name)
        if settings.silence is not None:
            store = None if self.situations else self.store  # who is in another situation is not silent
            self.silence = SilenceWatch(settings.silence, store, topic, job, log, self._mark)
        self.windows: Windows | None = None
        self.drift: dict[str, DriftWatch] = {}
        self.comparisons: dict[str, Comparison] = {}
        if settings.drift is not None:
            names = {name: (name, topic, job, log) for name in settings.models.use}
            self.drift = {name: DriftWatch(settings.drift, *args) for name, args in names.items()}
            self.comparisons = {name: Comparison(settings.drift.every, *args) for name, args in names.items()}
        self.tracking = Tracking(settings.track) if settings.track and not name else None
        self.unsaved = Unsaved()
        self._columns_saved = -1

    def _canonical_rich(self) -> bytes:
        slots = np.array([self.store.head[self.store.index[name], SLOT] for name in sorted(self.store.index)], np.int64)
        return bytes(self.rich.fields[slots[slots > 0] - 1].tobytes())

    def widen(self, fields: int) -> None:
        """Room for so many fields in what is known of the cohort."""
        if fields > len(self.prior):
            self.prior = np.vstack((self.prior, np.zeros((fields - len(self.prior), PRIOR))))

    def adopt(self) -> None:
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
        """Take up the weights that the control topic says, and people's words make of them; the members move there."""
        self.calibrators.weigh(self.control.weights, self.control.heard.factors())

    def move_weights(self) -> None:
        """A step nearer to the weights that are wanted."""
        if self.calibrators.move():
            self.journal.snapshot_wanted = True  # what is fed before is fed again with the weights from then

    def swap(self, message: DetectorVersion) -> None:
        """Put another version of a cohort detector in place, unless it is there already."""
        if self.detectors.versions.get(message.detector) == message.version:
            return
        self.detectors.swap(message.detector, message.version, message.settings.model_dump(exclude=OWN))
        self.journal.snapshot_wanted = True

    @contextmanager
    def learning_undone(self, rows: Ints, slots: Ints) -> Iterator[None]:
        """Whatever is learned within, of the entities in some rows and slots and of all together, is forgotten at the end."""
        store, rich, seated = self.store.fields, self.rich.fields, slots[slots >= 0]
        fields, slot_fields = store[rows].copy(), rich[seated].copy()
        shared = {name: getattr(self, name) for name in ("detectors", "calibrators", "prior")}
        changes = self.shape.changes.copy()
        try:
            for name, known in shared.items():
                setattr(self, name, copy.deepcopy(known))
            yield
        finally:
            for name, known in shared.items():
                setattr(self, name, known)
            store[rows], rich[seated] = fields, slot_fields
            self.shape.changes[:] = changes

    def save(self, result: BatchResult) -> None:
        """Add to the result what a batch changed in the state."""
        writes, deletes = result.writes, result.deletes
        unsaved = self.unsaved
        if unsaved.rows or unsaved.forgotten:
            self.store.segment(unsaved.rows, unsaved.forgotten, f"{self.prefix}e", writes, deletes)
        if self.silence and (unsaved.arrived or unsaved.departed):
            self.silence.store.segment(unsaved.arrived, unsaved.departed, f"{self.prefix}a", writes, deletes)
        if unsaved.magnitudes:
            magnitudes = np.concatenate(unsaved.magnitudes)
            if self.journal.due(len(magnitudes)):
                models = {name: detector.to_state() for name, detector in self.detectors.cohort.items()}
                self.journal.snapshot({"calibrators": self.calibrators.to_state()} | models, writes, deletes)
            else:
                self.journal.append(unsaved.features, magnitudes, writes)
        self.rich.save(unsaved.rich, writes, deletes)
        self.points.save(writes, deletes)
        if self.windows:
            self.windows.save(result)
        schema = self.alignment.schema
        if len(schema.numeric) + len(schema.other) + len(schema.retyped) != self._columns_saved:
            self._columns_saved = len(schema.numeric) + len(schema.other) + len(schema.retyped)
            saved = asdict(schema)
            del saved["absent"]
            writes[f"{self.prefix}s"] = pack("schema", 1, saved, {})
        writes[f"{self.prefix}m"] = pack(
            self.kind,
            self.version,
            self._meta() | {"rich": self.rich.meta(), "chunk": self.journal.next},
            {"prior": self.prior},
        )

    def _meta(self) -> dict[str, Any]:
        versions = self.detectors.versions
        members = [*self.detectors.names, *self.models.names]
        absent = {name: n for name, n in self.alignment.schema.absent.items() if n}
        return {
            "events": self.events, "members": members, "versions": versions, "served": self.served, "absent": absent,
            "shape": self.shape.to_state(), "peers": self.detectors.peers.to_state(),
            "arrived": self.silence.clock if self.silence else 0, "groups": self.groups.to_state(),
            "acted": self.acted, "judged": self.judged, "drift": {name: watch.to_state() for name, watch in self.drift.items()},
            "comparisons": {name: comparison.to_state() for name, comparison in self.comparisons.items()},
            "budget": self.budget.to_state() if self.budget and not self.name else None,
            "weights": self.calibrators.weights.tolist(),
            "tracking": self.tracking.to_state() if self.tracking else None,
            "windows": self.windows.meta() if self.windows else None,
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
        meta, arrays = unpack(saved["m"], self.kind, self.version)
        members = [*self.detectors.names, *self.models.names]
        if meta["members"] != members:
            raise StateError(
                f"the saved state is of the detectors and models {meta['members']}, the settings name {members}: "
                "start the job without this state, or restore the settings"
            )
        schema, _ = unpack(saved["s"], "schema", 1)
        self.alignment.schema = Schema(**schema, absent=dict.fromkeys(schema["numeric"], 0) | meta["absent"])
        self.events, self.acted, self.judged = meta["events"], meta["acted"], meta["judged"]
        self.store.restore([(int(k[1:]), v) for k, v in saved.items() if k[0] == "e"])
        if self.situations:
            self.situations.restore()
        self.shape.restore(meta["shape"])
        self.prior = arrays["prior"].reshape(-1, PRIOR)
        self.detectors.peers.restore(meta["peers"])
        self.groups.restore(meta["groups"])
        for name, watch in self.drift.items():
            if name in meta["drift"]:
                watch.restore(meta["drift"][name])
                self.comparisons[name].restore(meta["comparisons"][name])
        self.points.restore({int(k[1:]): v for k, v in saved.items() if k[0] == "q"})
        if self.silence:
            self.silence.clock = meta["arrived"]
            if self.silence.apart:
                self.silence.store.restore([(int(k[1:]), v) for k, v in saved.items() if k[0] == "a"])
        if self.budget and meta["budget"]:
            self.budget.restore(meta["budget"])
        if self.tracking and meta.get("tracking"):
            self.tracking.restore(meta["tracking"])
        if self.windows and meta.get("windows"):
            self.windows.restore(saved, meta["windows"])
        self._restore_rich(saved, meta["rich"])
        self.detectors.versions.update(meta["versions"])
        for name, detector in self.detectors.cohort.items():
            if f"c{name}" in saved:
                self.detectors.cohort[name] = type(detector).from_state(saved[f"c{name}"])
        self.calibrators.weights = np.array(meta.get("weights", self.calibrators.target))
        if "ccalibrators" in saved:
            self.calibrators.restore(saved["ccalibrators"])
        chunks = {int(k[1:]): v for k, v in saved.items() if k[0] == "j"}
        for fed, magnitudes in self.journal.restore(chunks, meta["chunk"]):
            for kind, features, categories in fed:
                self.detectors.learn_cohort(kind, features, categories)
            own = len(self.calibrators.members)
            self.calibrators.calibrate(magnitudes[:, :own], magnitudes[:, own:] > 0)
        self.served = meta["served"]

    def _restore_rich(self, saved: dict[str, bytes], meta: dict[str, int]) -> None:
        """Snapshots of the rich entities, fed again with what came after."""
        taken = self.store.head[: len(self.store.names), SLOT]
        snapshots = {int(k[1:]): v for k, v in saved.items() if k[0] == "r"}
        chunks = {int(k[1:]): v for k, v in saved.items() if k[0] == "i"}
        fields = len(self.alignment.schema.numeric)
        for kind, slots, fresh, held, times, X, levels in self.rich.restore(
            meta, taken[taken > 0] - 1, fields, snapshots, chunks
        ):
            begin = 0
            for end in (*np.flatnonzero(fresh).tolist(), len(slots)):  # a slot is cleared when its entity starts anew
                part = slice(begin, end)
                self.detectors.learn_rich(
                    kind, self.rich.fields, slots[part], X[part], times[part], fresh[part], held[part], levels[part]
                )
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
            "prior": self.prior.tobytes(),
            "points": self.points.canonical(),
            "meta": msgspec.msgpack.encode([asdict(self.alignment.schema), self._meta(), self.store.clock]),
        }
        for name, detector in self.detectors.cohort.items():
            parts[name] = detector.to_state()
        if self.silence and self.silence.apart:
            parts["arrivals"] = self.silence.store.canonical()
        if self.windows:
            parts["windows"] = self.windows.canonical()
        return pack("canonical", 1, {}, {name: np.frombuffer(part, np.uint8) for name, part in parts.items()})


def _members(detectors: Detectors, models: Models) -> Members:
    """All members of the ensemble, in the order of their opinions."""
    none, trained = np.zeros(len(models.names), np.bool_), np.ones(len(models.names), np.bool_)
    seen_by_models: list[Kind] = ["point"] * len(models.names)
    return Members(
        [*detectors.names, *models.names],
        np.concatenate((detectors.weights, models.weights)),
        np.concatenate((detectors.nats, none)),
        np.concatenate((detectors.leads, none)),
        np.concatenate(
            ([name in ENTITY or alone for name, alone in zip(detectors.names, detectors.nats, strict=True)], trained)
        ),
        np.concatenate((np.zeros(len(detectors.names), np.bool_), trained)),
        detectors.sees + seen_by_models,
        np.concatenate((detectors.beside, np.zeros(len(models.names), np.bool_))),
    )
