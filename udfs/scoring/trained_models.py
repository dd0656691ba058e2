"""Fields to opinions of trained models: loaded once for all logs of a task, changed at the boundary of two batches."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.errors import SettingsError
from streamgauge.models.persistence.registry import LoadedModel, Registry
from streamgauge.udfs.control.messages import ModelVersion
from streamgauge.udfs.control.shares import is_canary
from streamgauge.udfs.scoring.calibrate import SHADOW
from streamgauge.udfs.scoring.opinions import ByPlace
from streamgauge.udfs.settings.pipeline import ModelsSettings, ModelUse

FAR = 4.0  # deviations that a probe is off

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OnDemand:
    """Numbers of an event's fields that are made when asked for: few events alert."""

    make: Callable[[int], Floats]

    def __getitem__(self, place: int, /) -> Floats:
        return self.make(place)


def either(one: ByPlace, other: ByPlace, flags: Flags) -> ByPlace:
    """Numbers of one, and of the other for the events that are flagged."""
    return OnDemand(lambda i: (other if flags[i] else one)[i]) if flags.any() else one


@dataclass(slots=True)
class ModelOpinion:
    """What one trained model says of each event.

    Attributes
    ----------
    magnitude : float64[n]
        NaN where it has no opinion.
    missing : float64[n]
        Share of its fields that the event lacks.
    weights, expected : OnDemand
        Each field's part in the magnitude of an event, and what it was expected to be; NaN where the model does not look at a field.
    seconds : float
    """

    magnitude: Floats
    missing: Floats
    weights: OnDemand
    expected: OnDemand
    seconds: float


@dataclass(slots=True)
class Windows:
    """The last events of each event's entity, the event itself the last.

    Attributes
    ----------
    values : float64[n, steps, fields]
    counts : int64[n]
        Events known of the entity; 0 where it has no place in the rich tier.
    columns : list of int
        Columns that the fields are.
    """

    values: Floats
    counts: Ints
    columns: list[int] = field(default_factory=list)


class Models:
    """The trained models at work in a task.

    Parameters
    ----------
    settings : ModelsSettings
        The versions that its aliases stand for now are loaded.

    Attributes
    ----------
    names : list of str
        Members: each model used, then each one's shadow.
    at_work : dict of str to LoadedModel
        By member; a member without a model has no opinion.
    shares : dict of str to float
        Of the entities, for which each model's shadow is heard in its place.

    Raises
    ------
    ModelError
        A model is not there, or must not be used.
    SettingsError
        A model of sequences needs a longer history than is kept.
    """

    def __init__(self, settings: ModelsSettings) -> None:
        self.settings = settings
        self.names = [*settings.use, *(f"{name}{SHADOW}" for name in settings.use)]
        self.at_work: dict[str, LoadedModel] = {}
        self.shares: dict[str, float] = {}
        self._registry = (
            Registry(settings.registry, settings.trusted_keys) if settings.registry and settings.use else None
        )
        self._aligned: dict[str, tuple[int, list[str], Ints]] = {}
        for name, use in settings.use.items():
            assert self._registry is not None
            self._put(name, name, self._registry.resolve(name, use.alias))
            if use.shadow is not None:
                self._put(f"{name}{SHADOW}", name, self._registry.resolve(name, use.shadow))

    @property
    def weights(self) -> Floats:
        """Of the members in the ensemble; shadows weigh nothing."""
        return np.array([0.0 if name.endswith(SHADOW) else self.settings.use[name].weight for name in self.names])

    @property
    def versions(self) -> dict[str, str]:
        """Version of each member at work."""
        return {name: str(loaded.manifest.version) for name, loaded in self.at_work.items()}

    def take(self, message: ModelVersion) -> None:
        """Put a version to work, or take one off.

        Raises
        ------
        ModelError, SettingsError
            It cannot be used; what was at work stays.
        """
        member = message.model if message.role == "live" else f"{message.model}{SHADOW}"
        if message.role == "shadow":
            self.shares[message.model] = message.share if message.version is not None else 0.0
        if message.version is None:
            self.at_work.pop(member, None)
        elif self.versions.get(member) != str(message.version):
            self._put(member, message.model, message.version)

    def canaries(self, entities: list[str]) -> Flags:
        """For which entities each model's shadow is heard in its place: always the same ones.

        Returns
        -------
        bool[n, models] or bool[n, 0]
            No columns where none is.
        """
        if not any(self.shares.values()):
            return np.empty((len(entities), 0), np.bool_)
        shares = [self.shares.get(n, 0.0) if f"{n}{SHADOW}" in self.at_work else 0.0 for n in self.settings.use]
        return np.array([[is_canary(entity, share) for share in shares] for entity in entities], dtype=np.bool_)

    def _put(self, member: str, name: str, version: int) -> None:
        assert self._registry is not None
        use = self.settings.use[name]
        loaded = self._registry.load(name, version, use.variant)
        if loaded.detector.sequence and loaded.detector.steps > self.settings.history:
            raise SettingsError(
                f"models.history: {name} version {version} looks at {loaded.detector.steps} events of an entity, "
                f"{self.settings.history} are kept: set it to {loaded.detector.steps} or more and start the job anew"
            )
        # whatever has to be compiled or opened is, before a batch waits for it
        usual = np.array(loaded.manifest.centre)
        steps = (loaded.detector.steps,) if loaded.detector.sequence else ()
        loaded.detector.explain_many(np.broadcast_to(usual, (2, *steps, len(usual))))
        self.at_work[member] = loaded
        log.info("model %s: version %s at work", member, version)

    # ---- histories of entities ----------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Numbers that are kept for each rich entity and field: a count, and its last values."""
        return self.settings.history + 1 if self.settings.history else 0

    def remember(self, rings: Floats, slots: Ints, X: Floats) -> None:
        """Take up events without looking at them.

        Parameters
        ----------
        rings : float64[slots, d, width]
            Changed in place.
        slots : int64[n]
            -1 is an entity without a place.
        X : float64[n, d]
        """
        if self.width:
            _push(rings, slots, X, np.empty(0, np.int64), np.empty((len(X), 0, 0)), np.zeros(len(X), np.int64))

    def windows(self, rings: Floats, slots: Ints, X: Floats, columns: list[str]) -> Windows:
        """Take up events, and give each one's past as the models of sequences need it; see `remember`."""
        steps, wanted = 0, set()
        for loaded in self.at_work.values():
            if loaded.detector.sequence:
                steps = max(steps, loaded.detector.steps)
                wanted |= set(loaded.manifest.features)
        chosen = [k for k, name in enumerate(columns) if name in wanted]
        told = Windows(np.empty((len(X), steps, len(chosen))), np.zeros(len(X), np.int64), chosen)
        if self.width:
            _push(rings, slots, X, np.array(chosen, dtype=np.int64), told.values, told.counts)
        return told

    # ---- scoring ------------------------------------------------------------------------------------------------------

    def serve(self, kind: str, X: Floats, columns: list[str], windows: Windows) -> list[ModelOpinion | None]:
        """Opinion of each member, in the order of `names`; None where it has none.

        Parameters
        ----------
        kind : str
            Of the stream.
        X : float64[n, d]
        columns : list of str
            Field of each column.
        windows : Windows
        """
        return [self._opinion(name, kind, X, columns, windows) for name in self.names]

    def use_of(self, member: str) -> ModelUse:
        """How a member is used."""
        return self.settings.use[member.removesuffix(SHADOW)]

    def _opinion(self, member: str, kind: str, X: Floats, columns: list[str], windows: Windows) -> ModelOpinion | None:
        loaded = self.at_work.get(member)
        if loaded is None or kind not in self.use_of(member).streams or not len(X):
            return None
        began = time.perf_counter()
        detector, d = loaded.detector, X.shape[1]
        places = self._places(member, loaded, columns)
        if (places < 0).all():
            return None
        given: Any
        if detector.sequence:
            at = np.array([windows.columns.index(p) if p >= 0 else -1 for p in places.tolist()])
            given = windows.values[:, -detector.steps :][:, :, at]
            given[:, :, places < 0] = np.nan
            absent = np.isnan(given[:, -1])
            usable = np.flatnonzero((windows.counts >= detector.steps) & ~absent.all(axis=1))
        else:
            given = self.given(member, X, columns)
            absent = np.isnan(given)
            usable = np.flatnonzero(~absent.all(axis=1))
        magnitude = np.full(len(X), np.nan)
        magnitude[usable] = detector.rate_many(given[usable])

        def spread(numbers: Floats) -> Floats:
            row = np.full(d, np.nan)
            row[places[places >= 0]] = numbers[places >= 0]
            return row

        return ModelOpinion(
            magnitude, absent.mean(axis=1), OnDemand(lambda i: spread(detector.explain_many(given[i : i + 1])[0])),
            OnDemand(lambda i: spread(detector.expected_many(given[i : i + 1])[0])), time.perf_counter() - began,
        )  # fmt: skip

    def probe(
        self, members: tuple[str, ...], X: Floats, columns: list[str], offsets: Ints, every: int
    ) -> tuple[Ints, list[Flags]]:
        """How models tell probes: copies of some events, each with one field four of its deviations off.

        Nobody learns from them, and no alert comes of them.

        Parameters
        ----------
        members : tuple of str
            At work, of events one by one; the first one's fields are changed.
        X : float64[n, d]
        columns : list of str
        offsets : int64[n]
            Decide which events are probed, and how.
        every : int
            Events from one that is probed to the next.

        Returns
        -------
        places : int64[m]
        right : list of bool[m]
            For each member, whether it finds the probe more unusual than the event.
        """
        places = np.flatnonzero(offsets % every == 0)
        if not len(places) or any(self.at_work[member].detector.sequence for member in members):
            return places[:0], [np.empty(0, np.bool_)] * len(members)
        manifest = self.at_work[members[0]].manifest
        turn = offsets[places] // every
        at, f = self._places(members[0], self.at_work[members[0]], columns), turn % len(manifest.features)
        probes = X[places].copy()
        there = at[f] >= 0
        shift = np.array(manifest.scale)[f] * np.where(turn // len(manifest.features) % 2, FAR, -FAR)
        probes[np.flatnonzero(there), at[f][there]] += shift[there]
        both = np.vstack((X[places], probes))
        said = []
        for member in members:
            magnitude = self.at_work[member].detector.rate_many(self.given(member, both, columns))
            said.append(magnitude[len(places) :] > magnitude[: len(places)])
        return places, said

    def given(self, member: str, X: Floats, columns: list[str]) -> Floats:
        """A model's fields of some events, in its order; NaN where there is none. Not to be changed."""
        places = self._places(member, self.at_work[member], columns)
        if len(places) == X.shape[1] and (places == np.arange(len(places))).all():
            return X
        fields: Floats = X[:, places]
        fields[:, places < 0] = np.nan
        return fields

    def _places(self, member: str, loaded: LoadedModel, columns: list[str]) -> Ints:
        """Column of each of a model's features; -1 where the stream has none. The alignment of stream and model."""
        version, known, places = self._aligned.get(member, (0, [], np.empty(0, np.int64)))
        if version != loaded.manifest.version or known != columns:
            index = {name: k for k, name in enumerate(columns)}
            places = np.array([index.get(name, -1) for name in loaded.manifest.features], dtype=np.int64)
            self._aligned[member] = (loaded.manifest.version, list(columns), places)
        return places


@njit(cache=True)
def _push(rings, slots, X, chosen, values, counts):  # type: ignore[no-untyped-def]
    """Each field of an entity has a ring: how many values came, and the last of them."""
    size, steps = rings.shape[2] - 1, values.shape[1]
    for i in range(X.shape[0]):
        slot = slots[i]
        if slot < 0:
            for s in range(steps):
                for c in range(len(chosen)):
                    values[i, s, c] = math.nan
            continue
        for f in range(X.shape[1]):
            count = int(rings[slot, f, 0])
            rings[slot, f, 1 + count % size] = X[i, f]
            rings[slot, f, 0] = count + 1.0
            counts[i] = max(counts[i], count + 1)
        for c in range(len(chosen)):
            count = int(rings[slot, chosen[c], 0])
            for s in range(steps):
                at = count - steps + s
                values[i, s, c] = rings[slot, chosen[c], 1 + at % size] if at >= 0 else math.nan
