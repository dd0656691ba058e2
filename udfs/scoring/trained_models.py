"""Fields to opinions of trained models. All partitions of a task share the models; they change between two batches only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.errors import ModelError, SettingsError
from streamgauge.models.persistence.aliases import older
from streamgauge.models.persistence.registry import LoadedModel, Registry
from streamgauge.udfs.control.messages import ModelVersion
from streamgauge.udfs.control.shares import is_canary
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.stream_kind import kinds_for
from streamgauge.udfs.scoring.calibrate import SHADOW
from streamgauge.udfs.scoring.histories import Histories, push
from streamgauge.udfs.scoring.opinions import ByPlace, Opinions
from streamgauge.udfs.settings.pipeline import ModelsSettings, ModelUse

FAR = 4.0  # deviations by which a probe changes a field

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OnDemand:
    """Numbers of an event's fields that are computed on demand, since only the few events in alerts need them.

    Attributes
    ----------
    make : callable
        Gives float64[d] for the place of an event.
    """

    make: Callable[[int], Floats]

    def __getitem__(self, place: int, /) -> Floats:
        return self.make(place)


def either(one: ByPlace, other: ByPlace, flags: Flags) -> ByPlace:
    """The numbers of `one`; for the events whose flag is set, those of `other`.

    Parameters
    ----------
    one, other : ByPlace
    flags : bool[n]
    """
    return OnDemand(lambda i: (other if flags[i] else one)[i]) if flags.any() else one


@dataclass(slots=True)
class ModelOpinion:
    """What one trained model finds in each event.

    Attributes
    ----------
    raw_score : float64[n]
        Larger is stranger; NaN where the model has no opinion.
    missing : float64[n]
        Share of the model's fields that the event lacks, 0 to 1.
    weights, expected : OnDemand
        Each field's part in the raw score of an event, and what it was expected to be; NaN where the model does not look at a field.
    seconds : float
        Time that the model took.
    """

    raw_score: Floats
    missing: Floats
    weights: OnDemand
    expected: OnDemand
    seconds: float


class Models:
    """The trained models that a task uses.

    Parameters
    ----------
    settings : ModelsSettings
        The versions to which its aliases point now are loaded.

    Attributes
    ----------
    names : list of str
        Members: each model, then the shadow of each model.
    at_work : dict of str to LoadedModel
        The loaded version of each member. A member that is not in it has no opinion.
    shares : dict of str to float
        By model: the share of the entities for which its shadow counts in its place (a canary), 0 to 1.
    seen : dict of str to (int, int)
        By member: the largest serial number of its alias that was seen, and the version that the alias stood for. Only where keys are
        trusted. It is part of the saved state, so that nobody can put an older alias back.

    Raises
    ------
    ModelError
        The registry has no such model, or the model must not be used.
    SettingsError
        A model of sequences needs a longer history than is kept.
    """

    def __init__(self, settings: ModelsSettings) -> None:
        self.settings = settings
        self.names = [*settings.use, *(f"{name}{SHADOW}" for name in settings.use)]
        self.at_work: dict[str, LoadedModel] = {}
        self.shares: dict[str, float] = {}
        self.seen: dict[str, tuple[int, int]] = {}
        self._registry = (
            Registry(settings.registry, settings.trusted_keys) if settings.registry and settings.use else None
        )
        self._aligned: dict[str, tuple[int, list[str], Ints]] = {}
        for name, use in settings.use.items():
            assert self._registry is not None
            for member, alias in ((name, use.alias), (f"{name}{SHADOW}", use.shadow)):
                if alias is not None:
                    self._put(member, name, self._registry.resolve(name, alias))
                    self._look_at_alias(member, name, alias)
            self._drop_shadow_of_itself(name)

    @property
    def weights(self) -> Floats:
        """Weight of each member, float64[members]; 0 for a shadow."""
        return np.array([0.0 if name.endswith(SHADOW) else self.settings.use[name].weight for name in self.names])

    @property
    def versions(self) -> dict[str, str]:
        """Version of each member in `at_work`."""
        return {name: str(loaded.manifest.version) for name, loaded in self.at_work.items()}

    def take(self, message: ModelVersion) -> None:
        """Load the version that a control message names, or unload the member if it names none.

        If a shadow becomes live, the version that was live becomes its shadow, in the same moment: each keeps what was learned about it.

        Parameters
        ----------
        message : ModelVersion

        Raises
        ------
        ModelError, SettingsError
            The version cannot be used; the one before stays loaded.
        """
        member = message.model if message.role == "live" else f"{message.model}{SHADOW}"
        if message.version is None:
            self.at_work.pop(member, None)
        elif self.versions.get(member) != str(message.version):
            use = self.settings.use[message.model]
            self._look_at_alias(member, message.model, use.alias if message.role == "live" else use.shadow)
            shadow = f"{message.model}{SHADOW}"
            if member in self.at_work and self.versions.get(shadow) == str(message.version):
                self.at_work[member], self.at_work[shadow] = self.at_work[shadow], self.at_work[member]
                self.shares[message.model] = 0.0
            else:
                self._put(member, message.model, message.version)
        if message.role == "shadow":
            self.shares[message.model] = message.share if message.version is not None else 0.0

    def _look_at_alias(self, member: str, name: str, alias: str | None) -> None:
        """Remember which serial number the alias of a member has. ModelError if an older one was put back since the last look."""
        if self._registry is None or not self.settings.trusted_keys or alias is None or alias.isdecimal():
            return
        for newest in self._registry.history(name, alias)[:1]:
            serial, (seen, _) = newest["serial"], self.seen.get(member, (0, 0))
            if serial < seen:
                raise ModelError(f"{name}: {older(alias, serial, seen)}")
            self.seen[member] = serial, newest["version"]

    def recall(self, seen: dict[str, tuple[int, int]]) -> None:
        """Take into account which aliases were seen before a restart.

        If the registry has an older one now, somebody put it back: it is refused, and the member has the version from before.
        """
        for member, (serial, version) in seen.items():
            if member not in self.seen or (now := self.seen[member][0]) >= serial:
                continue
            name = member.removesuffix(SHADOW)
            use = self.settings.use[name]
            log.error("%s: %s", name, older(str(use.alias if member == name else use.shadow), now, serial))
            self.seen[member] = serial, version
            try:
                self._put(member, name, version)
            except ModelError as error:
                log.error("%s: version %d, which was at work before, cannot be used: %s", member, version, error)
                self.at_work.pop(member, None)
            self._drop_shadow_of_itself(name)

    def _drop_shadow_of_itself(self, name: str) -> None:
        """Unload the shadow of a model if it is the live version: an alias of its own says in that way that there is no shadow."""
        use = self.settings.use[name]
        own = use.shadow is not None and use.shadow != use.alias and not use.shadow.isdecimal()
        if own and self.versions.get(name) == self.versions.get(f"{name}{SHADOW}"):
            self.at_work.pop(f"{name}{SHADOW}", None)

    def canaries(self, entities: list[str]) -> Flags:
        """For which entities each model's shadow counts in its place. An entity is always on the same side.

        Parameters
        ----------
        entities : list of str

        Returns
        -------
        bool[n, models] or bool[n, 0]
            No columns where no shadow has a share.
        """
        if not any(self.shares.values()):
            return np.empty((len(entities), 0), np.bool_)
        shares = [self.shares.get(n, 0.0) if f"{n}{SHADOW}" in self.at_work else 0.0 for n in self.settings.use]
        return np.array([[is_canary(entity, share) for share in shares] for entity in entities], dtype=np.bool_)

    def _put(self, member: str, name: str, version: int) -> None:
        """Load a version of a model as a member.

        Raises
        ------
        ModelError
            The registry does not have it, or it must not be used.
        SettingsError
            It needs a longer history than is kept.
        """
        assert self._registry is not None
        use = self.settings.use[name]
        loaded = self._registry.load(name, version, use.variant)
        if loaded.detector.sequence and loaded.detector.steps > self.settings.history:
            raise SettingsError(
                f"models.history: {name} version {version} looks at {loaded.detector.steps} events of an entity, "
                f"{self.settings.history} are kept: set it to {loaded.detector.steps} or more and restart the job"
            )
        # One call before the model is used: what it compiles or opens at its first call must not delay a batch.
        usual = np.array(loaded.manifest.centre)
        steps = (loaded.detector.steps,) if loaded.detector.sequence else ()
        try:
            loaded.detector.explain_many(np.broadcast_to(usual, (2, *steps, len(usual))))
        except Exception as error:  # whatever its files lead to, the version before stays
            raise ModelError(f"{name} version {version} cannot score: {type(error).__name__}: {error}") from error
        self.at_work[member] = loaded
        log.info("model %s: version %s at work", member, version)

    # ---- histories of entities ----------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """float64 numbers that are kept for each field of an entity of the rich tier: a count, and the last values."""
        return self.settings.history + 1 if self.settings.history else 0

    def remember(self, rings: Floats, slots: Ints, X: Floats) -> None:
        """Add events to the histories of their entities.

        Parameters
        ----------
        rings : float64[slots, d, width]
            The histories; changed in place.
        slots : int64[n]
            Slot of each event's entity; -1 is none.
        X : float64[n, d]
            Values; NaN is missing.
        """
        if self.width:
            push(rings, slots, X)

    def histories(self, rings: Floats, slots: Ints, X: Floats, columns: list[str]) -> Histories:
        """Add events to the histories, and give the history of each event's entity as the models of sequences need it.

        Parameters
        ----------
        rings, slots, X
            See `remember`.
        columns : list of str
            Field of each column of `X`.
        """
        steps, wanted = 0, set()
        for loaded in self.at_work.values():
            if loaded.detector.sequence:
                steps = max(steps, loaded.detector.steps)
                wanted |= set(loaded.manifest.features)
        chosen = [k for k, name in enumerate(columns) if name in wanted]
        if self.width:
            return push(rings, slots, X, steps, chosen)
        return Histories(np.empty((len(X), steps, len(chosen))), np.zeros(len(X), np.int64), chosen)

    # ---- scoring ------------------------------------------------------------------------------------------------------

    def serve(self, kind: str, X: Floats, columns: list[str], histories: Histories) -> list[ModelOpinion | None]:
        """Score events with all members.

        Parameters
        ----------
        kind : str
            Of the stream.
        X : float64[n, d]
            Values; NaN is missing.
        columns : list of str
            Field of each column.
        histories : Histories

        Returns
        -------
        list of ModelOpinion or None
            In the order of `names`; None for a member that has no opinion about any event.
        """
        return [self._opinion(name, kind, X, columns, histories) for name in self.names]

    def add_opinions(self, opinions: Opinions, kind: str, stretch: Stretch, columns: list[str], rings: Floats) -> None:
        """Add the opinions of the trained models to those of the detectors, and the events to the histories.

        Parameters
        ----------
        opinions : Opinions
        kind : str
            Of the stream.
        stretch : Stretch
        columns : list of str
            Field of each column.
        rings : float64[slots, d, width]
            Histories of the entities; changed in place.
        """
        if not self.names:
            return
        n = len(stretch)
        histories = self.histories(rings, stretch.slots, stretch.X, columns)
        served = dict(zip(self.names, self.serve(kind, stretch.X, columns, histories), strict=True))
        no_opinion = np.full(n, np.nan)
        opinions.names += self.names
        opinions.raw_scores = np.column_stack(
            [opinions.raw_scores, *(no_opinion if one is None else one.raw_score for one in served.values())]
        )
        opinions.canaries = self.canaries(stretch.events.entities)
        opinions.seconds |= {name: one.seconds for name, one in served.items() if one is not None}
        for j, name in enumerate(self.settings.use):
            live, shadow = served[name], served[f"{name}{SHADOW}"]
            exchanged = opinions.canaries[:, j] if opinions.canaries.size else np.zeros(n, np.bool_)
            if live is None or shadow is None:  # a shadow can count in a model's place only where both have an opinion
                exchanged[:] = False
            if live is None:
                opinions.contributions.append(None)
                continue
            other = live if shadow is None else shadow
            opinions.contributions.append(either(live.weights, other.weights, exchanged))
            opinions.expected.append(either(live.expected, other.expected, exchanged))
            opinions.missing = np.maximum(opinions.missing, np.where(exchanged, other.missing, live.missing))
        # Shadows raise no alerts, so that their contributions are not needed.
        opinions.contributions += [None] * len(self.settings.use)

    def use_of(self, member: str) -> ModelUse:
        """The settings of a member's model."""
        return self.settings.use[member.removesuffix(SHADOW)]

    def _opinion(
        self, member: str, kind: str, X: Floats, columns: list[str], histories: Histories
    ) -> ModelOpinion | None:
        """The opinion of one member; None if it has none about any event. For the arguments, see `serve`."""
        loaded = self.at_work.get(member)
        if loaded is None or kind not in kinds_for(self.use_of(member).streams) or not len(X):
            return None
        began = time.perf_counter()
        detector, d = loaded.detector, X.shape[1]
        places = self._places(member, loaded, columns)
        if (places < 0).all():
            return None
        given: Any
        if detector.sequence:
            at = np.array([histories.columns.index(p) if p >= 0 else -1 for p in places.tolist()])
            given = histories.values[:, -detector.steps :][:, :, at]
            given[:, :, places < 0] = np.nan
            absent = np.isnan(given[:, -1])
            usable = np.flatnonzero((histories.counts >= detector.steps) & ~absent.all(axis=1))
        else:
            given = self.given(member, X, columns)
            absent = np.isnan(given)
            usable = np.flatnonzero(~absent.all(axis=1))
        raw_score = np.full(len(X), np.nan)
        raw_score[usable] = detector.rate_many(given[usable])

        def spread(numbers: Floats) -> Floats:
            """The numbers of the model's features in the columns of the stream; NaN in all other columns."""
            row = np.full(d, np.nan)
            row[places[places >= 0]] = numbers[places >= 0]
            return row

        return ModelOpinion(
            raw_score,
            absent.mean(axis=1),
            OnDemand(lambda i: spread(detector.explain_many(given[i : i + 1])[0])),
            OnDemand(lambda i: spread(detector.expected_many(given[i : i + 1])[0])),
            time.perf_counter() - began,
        )

    def probe(
        self, members: tuple[str, ...], X: Floats, columns: list[str], offsets: Ints, every: int
    ) -> tuple[Ints, list[Flags]]:
        """Score probes: copies of some events, with one field changed by four of its deviations.

        Nothing is learned from probes, and they raise no alerts. Models of sequences are not probed.

        Parameters
        ----------
        members : tuple of str
            Members in `at_work`. The probes change fields of the first one.
        X : float64[n, d]
            Values; NaN is missing.
        columns : list of str
            Field of each column.
        offsets : int64[n]
            They decide which events are probed, and in which field, so that a replay makes the same probes.
        every : int
            Offsets from one probed event to the next.

        Returns
        -------
        places : int64[m]
            Places of the events that were probed.
        right : list of bool[m]
            For each member: whether the probe's raw score is larger than that of its event.
        """
        places = np.flatnonzero(offsets % every == 0)
        if not len(places) or any(self.at_work[member].detector.sequence for member in members):
            return places[:0], [np.empty(0, np.bool_)] * len(members)
        manifest = self.at_work[members[0]].manifest
        turn = offsets[places] // every
        at, f = self._places(members[0], self.at_work[members[0]], columns), turn % len(manifest.features)
        probes = X[places].copy()
        has_field = at[f] >= 0
        shift = np.array(manifest.scale)[f] * np.where(turn // len(manifest.features) % 2, FAR, -FAR)
        probes[np.flatnonzero(has_field), at[f][has_field]] += shift[has_field]
        events_and_probes = np.vstack((X[places], probes))
        right = []
        for member in members:
            raw_score = self.at_work[member].detector.rate_many(self.given(member, events_and_probes, columns))
            right.append(raw_score[len(places) :] > raw_score[: len(places)])
        return places, right

    def given(self, member: str, X: Floats, columns: list[str]) -> Floats:
        """The values of a model's fields, in the model's order; NaN where an event or the stream lacks a field.

        Parameters
        ----------
        member : str
            In `at_work`.
        X : float64[n, d]
        columns : list of str
            Field of each column.

        Returns
        -------
        float64[n, features of the model]
            May be `X` itself: not to be changed.
        """
        places = self._places(member, self.at_work[member], columns)
        if len(places) == X.shape[1] and (places == np.arange(len(places))).all():
            return X
        there, fields = places >= 0, np.full((len(X), len(places)), np.nan)
        fields[:, there] = X[:, places[there]]
        return fields

    def _places(self, member: str, loaded: LoadedModel, columns: list[str]) -> Ints:
        """The column of each feature of a model, int64[features of the model]; -1 where the stream lacks the field."""
        version, known, places = self._aligned.get(member, (0, [], np.empty(0, np.int64)))
        if version != loaded.manifest.version or known != columns:
            index = {name: k for k, name in enumerate(columns)}
            places = np.array([index.get(name, -1) for name in loaded.manifest.features], dtype=np.int64)
            self._aligned[member] = (loaded.manifest.version, list(columns), places)
        return places
