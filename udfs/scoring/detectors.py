"""Fields to opinions: entity detectors on the fields, cohort detectors on the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from streamgauge.models.catalog import COHORT, ENTITY, ONLINE
from streamgauge.models.contract import Flags, Floats, Ints, Kind
from streamgauge.models.detectors.cohort.cohort_detector import CohortDetector
from streamgauge.models.detectors.cohort.windowed_forest import WindowedForest
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.detectors.entity.peer_deviation import PeerDeviation
from streamgauge.models.detectors.entity.seasonal_profile import SeasonalProfile
from streamgauge.udfs.events.records import ByPlace, Events, Opinions
from streamgauge.udfs.scoring.normalise import CHANNELS, unsquashed
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

    def learn_rich(
        self,
        kind: str,
        rich: Floats,
        slots: Ints,
        X: Floats,
        times: Ints,
        fresh: Flags,
        held: Flags,
        levels: Floats | None = None,
    ) -> tuple[list[tuple[EntityDetector, Floats, Floats, Floats]], Floats]:
        """Rate and learn events of rich entities.

        Parameters
        ----------
        kind : str
            Of the stream.
        rich : float64[slots, d, rich_width]
            Changed in place.
        slots : int64[n]
        X : float64[n, d]
        times : int64[n]
        fresh : bool[n]
            Whether the entity is one more.
        held : bool[n]
            Whether what knows the usual is not to learn from the event; of one entity, all are or none.
        levels : float64[n, d], optional
            Of the events' peers, as they were; the group learns unless given.

        Returns
        -------
        said : list of (detector, magnitude, distance, expected)
            Each rich detector for the kind of stream and so many fields, with what it returned.
        levels : float64[n, d] or float64[n, 0]
            Of the events' peers; no columns where they are not compared.
        """
        said, at, standard = [], 0, X
        given = {"values": X, "residuals": X, "own": X}
        for detector in self.rich:
            part = rich[:, :, at : (at := at + detector.numbers_per_feature)]
            if kind not in self._on[detector.name] or (detector.anomaly_kind != "point" and X.shape[1] > MOST_WATCHED):
                continue
            if isinstance(detector, PeerDeviation):
                left = given["residuals"]
                levels = self.peers.levels(standard, fresh) if levels is None else levels
                distance, expected = detector.from_peers(part, slots, left, levels)
                told = (detector.pool(distance), distance, expected)
                given["own"] = np.where(np.isnan(expected), left, left - expected)
            elif isinstance(detector, SeasonalProfile):
                distance, expected, standard = _rated(detector.profile, detector, part, slots, X, times, held)
                told = (detector.pool(distance), distance, expected)
                # NaN before the hour is known: who takes residuals waits for that
                given["residuals"] = given["own"] = X - expected
            else:
                told = _rated(detector.rate_learn_entities, detector, part, slots, given[detector.input_kind], times, held)
            said.append((detector, *told))
        if levels is None:
            self.peers.count(int(fresh.sum()))
            levels = np.empty((len(X), 0))
        return said, levels

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

    def detect(
        self,
        kind: str,
        state: Floats,
        rows: Ints,
        rich: Floats,
        slots: Ints,
        fresh: Flags,
        X: Floats,
        features: Floats,
        categories: Floats,
        events: Events,
        held: Flags,
    ) -> Opinions:
        """Score and learn events in row order.

        Parameters
        ----------
        kind : str
            Of the stream (`udfs.events.stream_kind`): decides which detectors run.
        state : float64[entities, d, width]
            Of the light detectors; changed in place.
        rows : int64[n]
        rich : float64[slots, d, rich_width]
            Of the rich detectors; changed in place.
        slots : int64[n]
            -1 is an entity without a slot: no opinion.
        fresh : bool[n]
            Whether the entity has just been given its slot, or starts anew.
        X : float64[n, d]
        features : float64[n, 3 d]
            Rows of NaN alone are no opinion, and not learned, by the cohort detectors.
        categories : float64[n, text fields]
        events : Events
        held : bool[n]
            Whether what knows the usual is not to learn from the event.
        """
        n, d = X.shape
        magnitudes = np.full((n, len(self.names)), np.nan)
        contributions: list[ByPlace | None] = [None] * len(self.names)
        expected, sure = np.full((n, d), np.nan), np.full(n, np.nan)
        at = 0
        for k, detector in enumerate(self.light):
            part = state[:, :, at : (at := at + detector.numbers_per_feature)]
            size, distance, what = _rated(detector.rate_learn_entities, detector, part, rows, X, events.times, held)
            if kind in self._on[detector.name]:
                magnitudes[:, k] = size
                contributions[k] = distance * distance
            expected = np.where(np.isnan(expected), what, expected)
        seated = np.flatnonzero(slots >= 0)
        said, levels = self.learn_rich(
            kind, rich, slots[seated], X[seated], events.times[seated], fresh[seated], held[seated]
        )
        for richer, size, distance, what in said:
            k = self.names.index(richer.name)
            if richer.input_kind == "levels":
                own = self.peers.among(distance, fresh[seated])
                magnitudes[seated, k], contributions[k] = richer.pool(own), _spread(own * own, seated, n)
            else:
                magnitudes[seated, k], contributions[k] = size, _spread(distance * distance, seated, n)
            if self.leads[k]:
                sure[seated] = richer.pool(distance)
            if self.leads[k] or richer.anomaly_kind == "contextual":  # the most specific expectations there are
                expected[seated] = np.where(np.isnan(what), expected[seated], what)
        usable = np.flatnonzero(~np.isnan(features).all(axis=1)) if d else np.empty(0, np.int64)
        weights = np.zeros(categories.shape)
        opinions = self.learn_cohort(kind, features[usable], categories)
        for k, (detector_name, opinion) in enumerate(
            zip(self.cohort, opinions, strict=True), len(self.light) + len(self.rich)
        ):
            if opinion is None:
                continue
            if self.cohort[detector_name].input_kind == "categories":
                magnitudes[:, k], weights = opinion
            else:
                magnitudes[usable, k] = opinion[0]
                contributions[k] = _spread(opinion[1], usable, n)
        nobody = np.empty((n, 0), np.bool_)
        return Opinions(
            list(self.names), magnitudes, contributions, [expected], np.zeros(n), weights, levels, nobody, sure
        )


def _rated(
    rate: Callable[..., tuple[Floats, Floats, Floats]], detector: EntityDetector, state: Floats, rows: Ints, X: Floats,
    times: Ints, held: Flags,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """What a detector says of events; from those that are held back it does not learn, where it is one that need not."""
    if not (detector.quarantined and held.any()):
        return rate(state, rows, X, times)
    free, kept = np.flatnonzero(~held), np.flatnonzero(held)
    parts = [rate(state, rows[which], X[which], times[which], learn) for which, learn in ((free, True), (kept, False))]
    said = []
    for learned, unlearned in zip(*parts, strict=True):
        whole = np.empty((len(held), *learned.shape[1:]))
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
