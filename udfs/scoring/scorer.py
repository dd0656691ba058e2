"""Values to evidence: normalise, detect, apply the trained models, calibrate, combine. What is learned of the cohort is kept here."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Flags, Floats, Kind
from streamgauge.models.detectors.channel.calendar import Calendar
from streamgauge.models.detectors.channel.field_channels import FieldChannels
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.control.messages import DetectorVersion
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.stream_kind import RECORDS, StreamKind
from streamgauge.udfs.scoring.calibrate import SHADOW, Calibrators, Members
from streamgauge.udfs.scoring.detectors import OWN, Detectors, EntityState
from streamgauge.udfs.scoring.normalise import PRIOR, WIDTH, featurize
from streamgauge.udfs.scoring.opinions import Opinions, Verdicts
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of a stream's fields.

    Attributes
    ----------
    numeric : list of str
        The columns of the matrix of values.
    text : list of str
        The columns of the matrix of categories.
    """

    numeric: list[str]
    text: list[str]


@dataclass(frozen=True, slots=True)
class Scored:
    """A stretch after scoring.

    Attributes
    ----------
    opinions : Opinions
    verdicts : Verdicts
    features : float64[n, 3 d]
    categories : float64[n, text fields]
        What the cohort detectors were given.
    steady : bool[n, d]
        Whether the value is the change of a field that never varied before.
    usual : bool[n, d]
        Whether the value lies in the range that is usual for the entity.
    variations : float64[n, d]
        Usual variation of each field; NaN is unknown.
    """

    opinions: Opinions
    verdicts: Verdicts
    features: Floats
    categories: Floats
    steady: Flags
    usual: Flags
    variations: Floats


class Scorer:
    """The detectors, trained models and calibrators of one source of events.

    Parameters
    ----------
    settings : PipelineSettings
    in_force : InForce
        Weights and versions that control messages set.
    models : Models
        Shared with the other partitions of the task.

    Attributes
    ----------
    models : Models
    detectors : Detectors
    calibrators : Calibrators
    kinds : list of str
        The kind of anomaly that each member looks for.
    stream : StreamKind
    prior : float64[d, 5]
        Prior of the cohort (`normalise.PRIOR`): an entity in its cold start begins with it.
    served : dict of str to str
        By trained model: the version to which its calibrator belongs.
    snapshot_wanted : bool
        Whether the members have changed in a way that learning the saved inputs again would not repeat, so that a snapshot is needed.
    """

    def __init__(self, settings: PipelineSettings, in_force: InForce, models: Models) -> None:
        self._settings, self._in_force = settings.featurize, in_force
        self.models = models
        calendar = Calendar(settings.decide.time_zone, settings.decide.calendar)
        self.detectors = Detectors(settings.detectors, in_force.versions, calendar)
        self.stream = StreamKind()
        self.prior = np.zeros((0, PRIOR))
        members = _members(self.detectors, models)
        self.calibrators = Calibrators(members, settings.calibration, settings.ensemble.method)
        self.kinds = members.kinds
        self.served: dict[str, str] = {}
        self.snapshot_wanted = False
        self.take_weights()

    @property
    def light_width(self) -> int:
        """float64 numbers that are kept for each entity and field."""
        return WIDTH + self.detectors.width

    @property
    def rich_width(self) -> int:
        """float64 numbers that are kept, in addition, for each field of an entity of the rich tier."""
        return self.detectors.rich_width + self.models.width

    @property
    def wants_slots(self) -> bool:
        """Whether entities of this kind of stream need slots of the rich tier."""
        return bool(self.models.width) or self.detectors.rich_on(self.stream.kind)

    @property
    def with_cohort(self) -> list[FieldChannels]:
        """The detectors of fields that also learn from all entities together.

        They are light ones only: the events of rich entities are learned again after a restore, one entity without the others.
        """
        light = self.detectors.light
        return [detector for detector in light if isinstance(detector, FieldChannels) and detector.cohort_numbers]

    def widen(self, fields: int) -> None:
        """Make room for `fields` numeric fields."""
        self.stream.widen(fields)
        self.widen_prior(fields)

    def widen_prior(self, fields: int) -> None:
        """Make room for `fields` numeric fields in the prior of the cohort."""
        if fields > len(self.prior):
            self.prior = np.vstack((self.prior, np.zeros((fields - len(self.prior), PRIOR))))

    # ---- scoring ------------------------------------------------------------------------------------------------------

    def score(
        self, stretch: Stretch, fields: Fields, categories: Floats, state: EntityState, lap: Callable[[str], None]
    ) -> Scored:
        """Score a stretch, and learn it.

        Parameters
        ----------
        stretch : Stretch
        fields : Fields
        categories : float64[n, text fields]
            A number for the category of each text field.
        state : EntityState
            All columns of the store and of the rich store; changed in place.
        lap : callable
            Called with the name of each step after the step, to measure its time.
        """
        features, steady, usual, variations = featurize(
            state.light[:, :, :WIDTH],
            stretch.rows,
            stretch.X,
            self._settings,
            self.stream.changes,
            self.prior,
            stretch.quarantined,
        )
        lap("featurize")
        detectors = EntityState(state.light[:, :, WIDTH:], state.rich)
        opinions = self.detectors.detect(self.stream.kind, stretch, detectors, features, categories)
        lap("detect")
        histories = state.rich[:, :, self.detectors.rich_width :]
        self.models.add_opinions(opinions, self.stream.kind, stretch, fields.numeric, histories)
        lap("serve")
        verdicts = self.calibrators.calibrate(opinions, stretch.seen, self.stream.kind != RECORDS)
        lap("calibrate")
        return Scored(opinions, verdicts, features, categories, steady, usual, variations)

    @contextmanager
    def learning_undone(self) -> Iterator[None]:
        """Undo at the end all that the cohort has learned within."""
        detectors, calibrators, prior, changes = (
            self.detectors,
            self.calibrators,
            self.prior,
            self.stream.changes.copy(),
        )
        try:
            self.detectors, self.calibrators = copy.deepcopy(detectors), copy.deepcopy(calibrators)
            self.prior = prior.copy()
            yield
        finally:
            self.detectors, self.calibrators, self.prior = detectors, calibrators, prior
            self.stream.changes[:] = changes

    # ---- versions and weights -----------------------------------------------------------------------------------------

    @property
    def members(self) -> list[str]:
        """Names of the members, shadows included, in the order of their opinions."""
        return [*self.detectors.names, *self.models.names]

    def versions(self, canaries: Flags, place: int) -> dict[str, str]:
        """Version of each member that scored one event.

        Parameters
        ----------
        canaries : bool[n, models] or bool[n, 0]
            For which events each model's shadow counts in its place.
        place : int
            Place of the event.
        """
        versions = self.detectors.versions | self.served
        for j in np.flatnonzero(canaries[place]).tolist():
            name = list(self.models.settings.use)[j]
            shadow = f"{name}{SHADOW}"
            versions[name], versions[shadow] = versions[shadow], versions[name]
        return versions

    def adopt_models(self) -> None:
        """Give each trained model that has another version than before the calibrator of that version.

        If a model gets the version that its shadow had, or the other way round, it gets a copy of that calibrator, which has learned from
        this stream. Otherwise it gets the one that was published with the version.
        """
        if self.served == self.models.versions:
            return
        from_other: dict[str, str] = {}
        for member, loaded in self.models.at_work.items():
            version = str(loaded.manifest.version)
            if self.served.get(member) == version:
                continue
            other = member.removesuffix(SHADOW) if member.endswith(SHADOW) else f"{member}{SHADOW}"
            if self.served.get(other) == version:
                from_other[member] = other
            else:
                self.calibrators.take(member, loaded.calibrator)
            self.snapshot_wanted = True
        self.calibrators.adopt(from_other)
        self.served = dict(self.models.versions)

    def take_weights(self) -> None:
        """Take over the weights in force: those of control messages, times the factors of feedback.

        `move_weights` moves there in steps. A stream without events begins with them.
        """
        self.calibrators.weigh(self._in_force.weights, self._in_force.feedback.factors())
        if not self.stream.events:
            self.calibrators.weights = self.calibrators.target

    def move_weights(self) -> None:
        """Go one step nearer to the weights in force."""
        if self.calibrators.move():
            # Inputs that were saved under the old weights must not be learned again under the new ones.
            self.snapshot_wanted = True

    def swap(self, message: DetectorVersion) -> None:
        """Replace a cohort detector by another version, unless it has this version already."""
        if self.detectors.versions.get(message.detector) == message.version:
            return
        self.detectors.swap(message.detector, message.version, message.settings.model_dump(exclude=OWN))
        self.snapshot_wanted = True


def _members(detectors: Detectors, models: Models) -> Members:
    """All members, in the order of their opinions: the detectors, then the trained models and their shadows."""
    no_model, all_models = np.zeros(len(models.names), np.bool_), np.ones(len(models.names), np.bool_)
    kinds_of_models: list[Kind] = ["point"] * len(models.names)
    return Members(
        names=[*detectors.names, *models.names],
        of_runs=detectors.of_runs,
        weights=np.concatenate((detectors.weights, models.weights)),
        in_nats=np.concatenate((detectors.in_nats, no_model)),
        apart=np.concatenate((detectors.apart, all_models)),
        ranks=np.concatenate((detectors.ranks, all_models)),
        trained=np.concatenate((np.zeros(len(detectors.names), np.bool_), all_models)),
        kinds=detectors.kinds + kinds_of_models,
    )
