"""Fields to opinions: entity detectors on the fields, cohort detectors on the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from streamgauge.models.catalog import COHORT, ENTITY, ONLINE
from streamgauge.models.contract import Flags, Floats, Ints, Kind
from streamgauge.models.detectors.cohort.cohort_detector import CohortDetector
from streamgauge.models.detectors.cohort.windowed_forest import WindowedForest
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.detectors.entity.peer_deviation import PeerDeviation
from streamgauge.models.detectors.entity.seasonal_profile import SeasonalProfile
from streamgauge.udfs.entities.rich_store import RichInputs
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.scoring.normalise import CHANNELS, unsquashed
from streamgauge.udfs.scoring.opinions import Opinions
from streamgauge.udfs.scoring.peers import Peers
from streamgauge.udfs.settings.detectors import DetectorSettings

COLUMNS = {
    "features": CHANNELS,
    "levels": 1,
    "levels and lasts": 2,
    "categories": 1,
}  # that a cohort detector is given for a field
MOST_WATCHED = 64  # fields of a stream in which other kinds of anomalies than points are looked for, entity by entity
OWN = {"weight", "streams"}  # settings of a detector that are not the detector's own arguments


class Inputs(NamedTuple):
    """What an entity detector is given: its state, and for each event the row in it, the values, the time, and whether to learn not."""

    state: Floats
    rows: Ints
    X: Floats
    times: Ints
    quarantined: Flags


class EntityState(NamedTuple):
    """State of the entity detectors: float64[entities, d, width] of the light ones, float64[slots, d, rich width] of the rich ones."""

    light: Floats
    rich: Floats


class RichOpinion(NamedTuple):
    """What a rich detector says of events: raw score float64[n]; deviations and expected values, float64[n, d]."""

    detector: EntityDetector
    raw_score: Floats
    deviations: Floats
    expected: Floats


class Detectors:
    """The detectors of one log.

    Parameters
    ----------
    settings : DetectorSettings
    versions : dict
        By detector: the version and parameters that a control message put in the settings' place.

    Attributes
    ----------
    names : list of str
        Light ones first, then rich ones, then those of the cohort.
    weights : float64[detectors]
    nats : bool[detectors]
        Whether a detector's magnitude is a surprise in its own right.
    leads : bool[detectors]
        Whether it decides over the others where it has an opinion.
    sees : list of str
        The kind of anomaly each looks for.
    beside : bool[detectors]
        Whether it is heard beside the ensemble, by itself, for incidents.
    peers : Peers
        What is known of the entities as a group.
    categorical : bool
        Whether there is one that looks at text fields.
    """

    def __init__(self, settings: DetectorSettings, versions: dict[str, dict[str, Any]] | None = None) -> None:
        self.light: list[EntityDetector] = []
        self.rich: list[EntityDetector] = []
        self.cohort: dict[str, CohortDetector] = {}
        weights: dict[str, float] = {}
        chosen = {name: getattr(settings, name) for name in (*ENTITY, *COHORT) if getattr(settings, name) is not None}
        for tier, members in (("light", self.light), ("rich", self.rich)):
            for name, kind in ENTITY.items():
                if name in chosen and kind.tier == tier:
                    members.append(kind(**chosen[name].model_dump(exclude=OWN)))
                    weights[name] = chosen[name].weight
        for name, model in COHORT.items():
            if name in chosen:
                self.cohort[name] = model(**chosen[name].model_dump(exclude=OWN))
                weights[name] = chosen[name].weight
        self._on = {name: frozenset(chosen[name].streams) for name in weights}
        self.names = list(weights)
        self.versions = dict.fromkeys(weights, "settings")
        self.weights = np.array(list(weights.values()))
        self.nats = np.array([ONLINE[name].in_nats for name in weights], dtype=np.bool_)
        self.leads = np.array([name in ENTITY and ENTITY[name].in_nats and not ENTITY[name].beside for name in weights])
        self.sees: list[Kind] = [ONLINE[name].anomaly_kind for name in weights]
        self.beside = np.array([ONLINE[name].beside for name in weights], dtype=np.bool_)
        self.peers = Peers()
        self.categorical = any(detector.input_kind == "categories" for detector in self.cohort.values())
        for name, version in (versions or {}).items():
            self.swap(name, version["version"], version["settings"])

    @property
    def width(self) -> int:
        """Numbers that light detectors keep for each entity and field."""
        return sum(detector.numbers_per_feature for detector in self.light)

    @property
    def rich_width(self) -> int:
        """Numbers that rich detectors keep for each entity and field."""
        return sum(detector.numbers_per_feature for detector in self.rich)

    def rich_on(self, kind: str) -> bool:
        """Whether there are rich detectors for a kind of stream."""
        return any(kind in self._on[detector.name] for detector in self.rich)

    def swap(self, name: str, version: str, settings: dict[str, Any]) -> None:
        """Put a forest with other parameters in the place of the running one, taught with what that one saw last."""
        old = self.cohort.get(name)
        if not isinstance(old, WindowedForest):
            return
        new = type(old)(**settings)
        _, recent = old.recent()
        new.replay(0, recent)
        self.cohort[name] = new
        self.versions[name] = version

    def learn_rich(self, rich: Floats, inputs: RichInputs, replay: bool = False) -> tuple[list[RichOpinion], Floats]:
        """Score and learn events of entities of the rich tier.

        Parameters
        ----------
        rich : float64[slots, d, rich_width]
            State; changed in place.
        inputs : RichInputs
        replay : bool
            Whether the events were learned before, and are learned again after a restore: the level of the peers is then that of
            the inputs, and the peers do not learn.

        Returns
        -------
        opinions : list of RichOpinion
            Of each rich detector for the kind of stream and so many fields.
        levels : float64[n, d] or float64[n, 0]
            Level of the peers at each event; no columns where entities are not compared.
        """
        kind, slots, first, quarantined, times, X = inputs[:6]
        levels = inputs.levels if replay else None
        opinions, at, standard = [], 0, X
        given = {"values": X, "residuals": X, "own": X}
        for detector in self.rich:
            part = rich[:, :, at : (at := at + detector.numbers_per_feature)]
            if kind not in self._on[detector.name] or (detector.anomaly_kind != "point" and X.shape[1] > MOST_WATCHED):
                continue
            if isinstance(detector, PeerDeviation):
                left = given["residuals"]
                levels = self.peers.levels(standard, first) if levels is None else levels
                deviations, expected = detector.from_peers(part, slots, left, levels)
                opinion = RichOpinion(detector, detector.pool(deviations), deviations, expected)
                given["own"] = np.where(np.isnan(expected), left, left - expected)
            elif isinstance(detector, SeasonalProfile):
                seasonal = Inputs(part, slots, X, times, quarantined)
                deviations, expected, standard = _scored(detector.profile, detector, seasonal)
                opinion = RichOpinion(detector, detector.pool(deviations), deviations, expected)
                # NaN before the hour is known: a detector of residuals waits until then
                given["residuals"] = given["own"] = X - expected
            else:
                own = Inputs(part, slots, given[detector.input_kind], times, quarantined)
                opinion = RichOpinion(detector, *_scored(detector.rate_learn_entities, detector, own))
            opinions.append(opinion)
        if levels is None:
            self.peers.count(int(first.sum()))
            levels = np.empty((len(X), 0))
        return opinions, levels

    def learn_cohort(self, kind: str, features: Floats, categories: Floats) -> list[tuple[Floats, Floats] | None]:
        """Rate and learn features of events, none of them all missing, and categories of events.

        Returns
        -------
        list of (magnitude, weights) or None
            Of each cohort detector; None where it does not run on streams of this kind or width.
        """
        d = features.shape[1] // CHANNELS
        taken: dict[str, Floats] = {"features": features, "categories": categories}
        said: list[tuple[Floats, Floats] | None] = []
        for name, detector in self.cohort.items():
            of = categories if detector.input_kind == "categories" else features
            if kind not in self._on[name] or d > detector.max_fields or not of.size:
                said.append(None)
                continue
            if detector.input_kind not in taken:
                levels = taken["levels"] = unsquashed(features[:, ::CHANNELS])
                taken["levels and lasts"] = np.hstack((levels, levels - unsquashed(features[:, 1::CHANNELS])))
            given = taken[detector.input_kind]
            if detector.width not in (None, given.shape[1]):
                self.cohort[name] = detector.widened(given.shape[1])
            magnitude, weights = self.cohort[name].rate_learn_many(given)
            if detector.input_kind == "features":
                weights = weights.reshape(len(weights), d, CHANNELS).sum(axis=2)
            said.append((magnitude, weights))
        return said

    def detect(self, kind: str, stretch: Stretch, state: EntityState, features: Floats, categories: Floats) -> Opinions:
        """Score and learn events in row order.

        Parameters
        ----------
        kind : str
            Of the stream (`udfs.events.stream_kind`): decides which detectors run.
        stretch : Stretch
            An event whose entity has no slot gets no opinion of the rich detectors.
        state : EntityState
            Of the detectors; changed in place.
        features : float64[n, 3 d]
            The cohort detectors have no opinion about a row that is all NaN, and do not learn it.
        categories : float64[n, text fields]
        """
        n = len(stretch)
        opinions = Opinions(
            list(self.names),
            np.full((n, len(self.names)), np.nan),
            [None] * len(self.names),
            [],
            np.zeros(n),
            np.zeros(categories.shape),
            np.empty((0, 0)),
            np.empty((n, 0), np.bool_),
            np.full(n, np.nan),
        )
        expected = self._add_light(kind, stretch, state.light, opinions)
        self._add_rich(kind, stretch, state.rich, opinions, expected)
        self._add_cohort(kind, features, categories, opinions)
        return opinions

    def _add_light(self, kind: str, stretch: Stretch, light: Floats, opinions: Opinions) -> Floats:
        """Returns what each field was expected to be, float64[n, d]."""
        at, expected = 0, np.full(stretch.X.shape, np.nan)
        for k, detector in enumerate(self.light):
            part = light[:, :, at : (at := at + detector.numbers_per_feature)]
            inputs = Inputs(part, stretch.rows, stretch.X, stretch.events.times, stretch.quarantined)
            raw_score, deviations, what = _scored(detector.rate_learn_entities, detector, inputs)
            if kind in self._on[detector.name]:
                opinions.raw_scores[:, k] = raw_score
                opinions.contributions[k] = deviations * deviations
            expected = np.where(np.isnan(expected), what, expected)
        opinions.expected = [expected]
        return expected

    def _add_rich(self, kind: str, stretch: Stretch, rich: Floats, opinions: Opinions, expected: Floats) -> None:
        n = len(stretch)
        seated = np.flatnonzero(stretch.slots >= 0)
        first = stretch.first[seated]
        inputs = RichInputs(
            kind,
            stretch.slots[seated],
            first,
            stretch.quarantined[seated],
            stretch.events.times[seated],
            stretch.X[seated],
            np.empty((len(seated), 0)),
        )
        said, opinions.levels = self.learn_rich(rich, inputs)
        for one in said:
            k = self.names.index(one.detector.name)
            deviations, raw_score = one.deviations, one.raw_score
            if one.detector.input_kind == "levels":
                deviations = self.peers.among(deviations, first)
                raw_score = one.detector.pool(deviations)
            opinions.raw_scores[seated, k] = raw_score
            opinions.contributions[k] = _spread(deviations * deviations, seated, n)
            if self.leads[k]:
                opinions.alert_evidence[seated] = one.detector.pool(one.deviations)
            if self.leads[k] or one.detector.anomaly_kind == "contextual":  # the most specific expectations there are
                expected[seated] = np.where(np.isnan(one.expected), expected[seated], one.expected)

    def _add_cohort(self, kind: str, features: Floats, categories: Floats, opinions: Opinions) -> None:
        n = len(features)
        usable = np.flatnonzero(~np.isnan(features).all(axis=1)) if features.shape[1] else np.empty(0, np.int64)
        said = self.learn_cohort(kind, features[usable], categories)
        for k, (name, opinion) in enumerate(zip(self.cohort, said, strict=True), len(self.light) + len(self.rich)):
            if opinion is None:
                continue
            if self.cohort[name].input_kind == "categories":
                opinions.raw_scores[:, k], opinions.categories = opinion
            else:
                opinions.raw_scores[usable, k] = opinion[0]
                opinions.contributions[k] = _spread(opinion[1], usable, n)


def _scored(
    score: Callable[..., tuple[Floats, Floats, Floats]], detector: EntityDetector, inputs: Inputs
) -> tuple[Floats, Floats, Floats]:
    """What a detector says of events. It does not learn the quarantined ones, where it is one that need not."""
    state, rows, X, times, quarantined = inputs
    if not (detector.quarantined and quarantined.any()):
        return score(state, rows, X, times)
    free, kept = np.flatnonzero(~quarantined), np.flatnonzero(quarantined)
    parts = [score(state, rows[which], X[which], times[which], learn) for which, learn in ((free, True), (kept, False))]
    said = []
    for learned, unlearned in zip(*parts, strict=True):
        whole = np.empty((len(quarantined), *learned.shape[1:]))
        whole[free], whole[kept] = learned, unlearned
        said.append(whole)
    return said[0], said[1], said[2]


def _spread(weights: Floats, places: Ints, n: int) -> Floats:
    """Rows at their places among `n`; the others NaN."""
    if len(places) == n:
        return weights
    spread = np.full((n, weights.shape[1]), np.nan)
    spread[places] = weights
    return spread
