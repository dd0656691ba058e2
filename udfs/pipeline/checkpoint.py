"""How the state of one source of events is saved and restored.

Each part of the saved state is bytes with a kind and a version (`models.persistence.codec`). It holds no names of modules or classes, so
code can be moved.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.entities.cohort_journal import CohortInputs, CohortJournal
from streamgauge.udfs.entities.columns import BLAMED, CHANNEL, SLOT, STATUS
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.entities.knowledge import Changes, Entities
from streamgauge.udfs.events.field_types import NoReadings
from streamgauge.udfs.events.schema import Alignment, Schema
from streamgauge.udfs.pipeline.new_detectors import LEARNED, NewDetectors, is_readable, layout
from streamgauge.udfs.scoring.normalise import PRIOR
from streamgauge.udfs.scoring.scorer import Scored, Scorer

HEADER, HEADER_VERSION = "log", 5  # kind and version of the header of the saved state
CHANNELS, CHANNELS_VERSION = "channels", 1  # kind and version of what a detector of fields learns from all entities

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Learned:
    """Learned inputs of the cohort that are not saved yet.

    Attributes
    ----------
    features : list of CohortInputs
        What the cohort detectors learned.
    raw_scores : list of float64[n, members + canaries]
        What the calibrators learned.
    """

    features: list[CohortInputs] = field(default_factory=list)
    raw_scores: list[Floats] = field(default_factory=list)

    def add(self, kind: str, scored: Scored, cohort: bool) -> None:
        """Add the inputs of a scored stretch; `cohort` says whether there are cohort detectors."""
        if cohort:
            usable = ~np.isnan(scored.features).all(axis=1)
            relations = scored.opinions.relations
            self.features.append(CohortInputs(kind, scored.features[usable], scored.categories, relations))
        self.raw_scores.append(np.column_stack((scored.opinions.raw_scores, scored.opinions.canaries)))


@dataclass(frozen=True, slots=True)
class Saved:
    """The parts whose state a checkpoint saves.

    Attributes
    ----------
    alignment : Alignment
    entities : Entities
    scorer : Scorer
    header : dict
        State of all other parts, as plain values.
    """

    alignment: Alignment
    entities: Entities
    scorer: Scorer
    header: dict[str, Any]


class Checkpoint:
    """Saves and restores one source of events.

    Parameters
    ----------
    prefix : str
        Prefix of all keys.

    Attributes
    ----------
    journal : CohortJournal
    new_detectors : NewDetectors or None
        Set by `restore` if the detectors began anew.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.journal = CohortJournal(prefix)
        self.new_detectors: NewDetectors | None = None
        self._schema_saved = -1
        self._cohorts_saved: dict[str, Floats] = {}  # by detector
        self._unreadable: list[str] = []  # keys of what other detectors learned; the next save deletes them

    def save(self, parts: Saved, learned: Learned, writes: dict[str, bytes], deletes: list[str]) -> None:
        """Add the changes since the last save to the saved state.

        Parameters
        ----------
        parts : Saved
        learned : Learned
        writes, deletes
            Changes of the saved state, by key.
        """
        entities, scorer = parts.entities, parts.scorer
        changes, entities.changes = entities.changes, Changes()
        if changes.rows or changes.forgotten:
            entities.store.segment(changes.rows, changes.forgotten, f"{self.prefix}e", writes, deletes)
        if entities.silence and (changes.arrived or changes.departed):
            store = entities.silence.store
            store.segment(changes.arrived, changes.departed, f"{self.prefix}a", writes, deletes)
        self._save_cohort(scorer, learned, writes, deletes)
        entities.rich.save(changes.rich, writes, deletes)
        entities.points.save(writes, deletes)
        self._save_schema(parts.alignment.schema, writes)
        header = parts.header | {
            "rich": entities.rich.meta(),
            "chunk": self.journal.next,
            "layout": layout(scorer),
            "generation": entities.store.generation,
            "clock": entities.store.clock,  # late events move it, and change nothing else
        }
        writes[f"{self.prefix}m"] = pack(HEADER, HEADER_VERSION, header, {"prior": scorer.prior})
        deletes += [key for key in self._unreadable if key not in writes]
        self._unreadable = []

    def _save_cohort(self, scorer: Scorer, learned: Learned, writes: dict[str, bytes], deletes: list[str]) -> None:
        for detector in scorer.with_cohort:
            name, cohort = detector.name, detector.cohort
            # Only young entities teach the cohort, so most batches change nothing.
            if len(cohort) and not np.array_equal(self._cohorts_saved.get(name, np.empty(0)), cohort):
                self._cohorts_saved[name] = cohort.copy()
                writes[f"{self.prefix}l{name}"] = pack(CHANNELS, CHANNELS_VERSION, {}, {"cohort": cohort})
        if scorer.snapshot_wanted:
            self.journal.snapshot_wanted, scorer.snapshot_wanted = True, False
        # A snapshot may be wanted although nothing was learned: the header, which is always saved, names the new versions.
        if self.journal.due(sum(map(len, learned.raw_scores))):
            models = {name: detector.to_state() for name, detector in scorer.detectors.cohort.items()}
            self.journal.snapshot({"calibrators": scorer.calibrators.to_state()} | models, writes, deletes)
        elif learned.raw_scores:
            self.journal.append(learned.features, np.concatenate(learned.raw_scores), writes)

    def _save_schema(self, schema: Schema, writes: dict[str, bytes]) -> None:
        entries = len(schema.numeric) + len(schema.other) + len(schema.retyped) + len(schema.told)
        if entries != self._schema_saved:
            self._schema_saved = entries
            saved = asdict(schema)
            for name in ("absent", "turning", "no_readings"):  # these change often; they are in the header
                del saved[name]
            writes[f"{self.prefix}s"] = pack("schema", 1, saved, {})

    def restore(self, parts: Saved, saved: dict[str, bytes]) -> dict[str, Any]:
        """Read the state that an earlier run saved into the parts.

        If it was saved by other detectors, or by a release that saved them in another way, detectors and calibrators begin anew, and
        everything else is read (see `new_detectors`).

        Parameters
        ----------
        parts : Saved
            Of `header`, only the context fields are used.
        saved : dict of str to bytes
            Saved values by key, without the prefix.

        Returns
        -------
        dict
            The header, from which the caller restores all other parts.

        Raises
        ------
        StateError
            The state is damaged, has an unknown format, or was saved with another `event.context`.
        """
        if "m" not in saved:
            raise StateError(f"the saved state of partition {self.prefix[:-1]} is incomplete: its header is missing")
        entities, scorer = parts.entities, parts.scorer
        header, arrays = unpack(saved["m"], HEADER, HEADER_VERSION)
        _check_context(header, parts.header)
        readable, store = is_readable(header, scorer), entities.store
        store.generation = header.get("generation", 0) + (not readable)
        schema, _ = unpack(saved["s"], "schema", 1)
        absent = dict.fromkeys(schema["numeric"], 0) | header["absent"]
        # a state of release 0.1 knows neither of the last two
        turning, no_readings = header.get("turning", {}), NoReadings(**header.get("no_readings", {}))
        parts.alignment.schema = Schema(**schema, absent=absent, turning=turning, no_readings=no_readings)
        store.restore(_numbered(saved, "e"))
        renumbered = _renumber(store, header["members"], scorer.members, len(schema["numeric"]))
        if len(renumbered):
            entities.changes.rows.append(renumbered)
        store.clock = max(store.clock, header.get("clock", 0))  # an older release did not save it
        if entities.situations:
            entities.situations.restore()
        scorer.stream.restore(header["shape"])
        if entities.silence:
            entities.silence.clock = header["arrived"]
            if header.get("source"):  # an older release did not save it
                entities.silence.source.restore(header["source"])
            if entities.silence.apart:
                entities.silence.store.restore(_numbered(saved, "a"))
        if readable:
            scorer.prior = arrays["prior"].reshape(-1, PRIOR)
            scorer.detectors.peers.restore(header["peers"])
            entities.points.restore(dict(_numbered(saved, "q")))
            self._restore_rich(parts, saved, header["rich"])
            self._restore_cohort(scorer, saved, header)
        else:
            self._unreadable = [f"{self.prefix}{key}" for key in saved if key[0] in LEARNED]
            self.new_detectors = NewDetectors(store.generation, header["members"], scorer.members)
            log.warning("partition %s: %s", self.prefix[:-1], self.new_detectors.message)
        return header

    def _restore_rich(self, parts: Saved, saved: dict[str, bytes], meta: dict[str, int]) -> None:
        """Read the snapshots of the rich entities, and learn the inputs after each snapshot again."""
        rich, scorer, store = parts.entities.rich, parts.scorer, parts.entities.store
        taken = store.head[: len(store.names), SLOT]
        snapshots, chunks = dict(_numbered(saved, "r")), dict(_numbered(saved, "i"))
        fields = len(parts.alignment.schema.numeric)
        for inputs in rich.restore(meta, taken[taken > 0] - 1, fields, snapshots, chunks):
            begin = 0
            # The slot of an entity is emptied before its first event, so the inputs are learned in parts between such events.
            for end in (*np.flatnonzero(inputs.first).tolist(), len(inputs.slots)):
                part = inputs.part(begin, end)
                scorer.detectors.learn_rich(rich.fields, part)
                scorer.models.remember(rich.fields[:, :, scorer.detectors.rich_width :], part.slots, part.X)
                if end < len(inputs.slots):
                    rich.fields[inputs.slots[end]] = 0.0
                begin = end

    def _restore_cohort(self, scorer: Scorer, saved: dict[str, bytes], header: dict[str, Any]) -> None:
        """Read the snapshot of the cohort's models, and learn the inputs after it again."""
        detectors, calibrators = scorer.detectors, scorer.calibrators
        for channels in scorer.with_cohort:
            if f"l{channels.name}" in saved:
                _, arrays = unpack(saved[f"l{channels.name}"], CHANNELS, CHANNELS_VERSION)
                channels.cohort = arrays["cohort"].reshape(-1, channels.cohort_numbers)
                self._cohorts_saved[channels.name] = channels.cohort.copy()
        detectors.versions.update(header["versions"])
        for name, detector in detectors.cohort.items():
            if f"c{name}" in saved:
                detectors.cohort[name] = type(detector).from_state(saved[f"c{name}"])
        if scorer.stream.events:  # else it begins with the weights in force
            calibrators.weights = np.array(header.get("weights", calibrators.target))
        if "ccalibrators" in saved:
            calibrators.restore(saved["ccalibrators"])
        members = len(calibrators.members)
        for inputs, raw_scores in self.journal.restore(dict(_numbered(saved, "j")), header["chunk"]):
            for kind, features, categories, relations in inputs:
                detectors.learn_cohort(kind, features, categories)
                detectors.learn_relations(relations)
            calibrators.learn(raw_scores[:, :members], raw_scores[:, members:] > 0)
        scorer.served = header["served"]

    def canonical(self, parts: Saved, further: dict[str, bytes]) -> bytes:
        """The whole state in one normal form: equal bytes for equal state, however the stream was cut into batches.

        Parameters
        ----------
        parts : Saved
        further : dict of str to bytes
            State of other parts, by name.
        """
        entities, scorer = parts.entities, parts.scorer
        store = entities.store
        slots = np.array([store.head[store.index[name], SLOT] for name in sorted(store.index)], np.int64)
        header = [asdict(parts.alignment.schema), parts.header, store.clock]
        states = {
            "entities": store.canonical(),
            "rich": entities.rich.fields[slots[slots > 0] - 1].tobytes(),
            "calibrators": scorer.calibrators.to_state(),
            "prior": scorer.prior.tobytes(),
            "points": entities.points.canonical(),
            "meta": msgspec.msgpack.encode(header, order="deterministic"),
            **{f"{channels.name} of all": channels.cohort.tobytes() for channels in scorer.with_cohort},
            **{name: detector.to_state() for name, detector in scorer.detectors.cohort.items()},
            **further,
        }
        if entities.silence and entities.silence.apart:
            states["arrivals"] = entities.silence.store.canonical()
        return pack("canonical", 1, {}, {name: np.frombuffer(part, np.uint8) for name, part in states.items()})


def _check_context(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse state that is kept by other situations. State of 0.1.0 does not say by which ones."""
    was, wanted = before.get("context", now["context"]), now["context"]
    if was != wanted:
        raise StateError(
            f"this state was saved with event.context {was}, the settings say {wanted}: "
            f"set event.context: {was} again, or start without this state"
        )


def _renumber(store: EntityStore, before: list[str], now: list[str], numeric: int) -> Ints:
    """Give the members and the fields of open incidents the numbers that they have now.

    A member has another place where members come and go. Older states count the text fields on after the numeric ones.

    Parameters
    ----------
    store : EntityStore
    before, now : list of str
        Members in the saved state, and those in the settings.
    numeric : int
        Number of numeric fields in the saved state.

    Returns
    -------
    int64[n]
        Rows that changed. They are saved again, because the next restart does not know the old numbers any more.
    """
    opened = np.flatnonzero(store.head[: len(store.names), STATUS])
    incidents = store.head[opened]
    numbers = np.array([0, *(now.index(name) + 1 if name in now else 0 for name in before)])
    members, fields = incidents[:, CHANNEL], incidents[:, BLAMED]
    known = members < len(numbers)
    incidents[:, CHANNEL] = np.where(known, numbers[np.where(known, members, 0)], 0)
    incidents[:, BLAMED] = np.where(fields > numeric, numeric - fields, fields)
    changed: Ints = opened[(incidents != store.head[opened]).any(axis=1)]
    store.head[opened] = incidents
    return changed


def _numbered(saved: dict[str, bytes], letter: str) -> list[tuple[int, bytes]]:
    """Number and value of the saved values whose key is this letter and a number."""
    return [(int(key[1:]), value) for key, value in saved.items() if key[0] == letter and key[1:].isdigit()]
