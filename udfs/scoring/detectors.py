"""Fields to opinions: entity detectors look at the fields, cohort detectors at the features."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from streamgauge.models.catalog import COHORT, ENTITY, ONLINE
from streamgauge.models.contract import Flags, Floats, Ints, Kind
from streamgauge.models.detectors.channel.calendar import Calendar
from streamgauge.models.detectors.channel.day_profile import DayProfile
from streamgauge.models.detectors.channel.field_channels import Channel, FieldChannels
from streamgauge.models.detectors.cohort.cohort_detector import CohortDetector
from streamgauge.models.detectors.cohort.relations import Relations
from streamgauge.models.detectors.cohort.windowed_forest import WindowedForest
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.detectors.entity.peer_deviation import PeerDeviation
from streamgauge.models.detectors.entity.seasonal_profile import SeasonalProfile
from streamgauge.udfs.entities.rich_store import RichInputs
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.stream_kind import UNKNOWN, kinds_for
from streamgauge.udfs.scoring.channels import FIELD, FIELDS, add_channels
from streamgauge.udfs.scoring.field_relations import KEPT, FieldRelations
from streamgauge.udfs.scoring.normalise import CHANNELS, unsquashed
from streamgauge.udfs.scoring.opinions import EVIDENCE, Opinions
from streamgauge.udfs.scoring.peers import Peers
from streamgauge.udfs.settings.detectors import DetectorSettings

# Columns that a cohort detector is given for each field, by its `input_kind`.
COLUMNS = {"features": CHANNELS, "levels": 1, "levels and lasts": 2, "categories": 1}
MOST_WATCHED = 64  # fields up to which the rich detectors look for other anomalies than points, entity by entity
OWN = {"weight", "streams"}  # settings of a detector that are not arguments of the detector's class


class Inputs(NamedTuple):
    """What an entity detector is given.

    Attributes
    ----------
    state : float64[entities, d, numbers_per_feature]
        State of the detector; changed in place.
    rows : int64[n]
        Row of each event's entity in the state.
    X : float64[n, d]
        Values; NaN is missing.
    times : int64[n]
        Event times, milliseconds.
    quarantined : bool[n]
        Whether the event is scored but not learned.
    """

    state: Floats
    rows: Ints
    X: Floats
    times: Ints
    quarantined: Flags


class EntityState(NamedTuple):
    """State of the entity detectors.

    Attributes
    ----------
    light : float64[entities, d, width]
        Of the light detectors, side by side.
    rich : float64[slots, d, rich_width]
        Of the rich detectors, side by side.
    """

    light: Floats
    rich: Floats


class RichOpinion(NamedTuple):
    """What a rich detector finds in events.

    Attributes
    ----------
    detector : EntityDetector
    raw_score : float64[n]
        NaN where it has no opinion.
    deviations, expected : float64[n, d]
        Deviation of each value from its expected value, and the expected value; NaN where unknown.
    looks : float64[n, d, channels]
        Evidence of its channels; no channels for a detector that has none.
    """

    detector: EntityDetector
    raw_score: Floats
    deviations: Floats
    expected: Floats
    looks: Floats


class Detectors:
    """The detectors of one source of events.

    Parameters
    ----------
    settings : DetectorSettings
    versions : dict
        By detector: the version and parameters that a control message sent, which replace those of the settings.
    calendar : Calendar, optional
        Days and times of day; those of UTC if not given.

    Attributes
    ----------
    channels : list of Channel
        What each field is looked at for, in the order of `Opinions.looks`.
    names : list of str
        The members: the channels, `FIELD` and `FIELDS`, then light detectors, rich ones, and those of the cohort.
    weights : float64[members]
        Weights of the settings; 1 for channels.
    in_nats : bool[members]
        Whether the member gives evidence, which needs no calibration.
    apart : bool[members]
        Whether the member is a look of its own, and no part of the ensemble.
    ranks : bool[members]
        Whether the member counts for the rank of an event, not only for alerts.
    kinds : list of str
        The kind of anomaly that each member looks for.
    of_runs : bool[channels]
        See `Channel`.
    light, rich : list of EntityDetector
        The entity detectors of each tier.
    cohort : dict of str to CohortDetector
        The cohort detectors by name.
    versions : dict of str to str
        Version of each detector; ``settings`` unless a control message sent another one.
    peers : Peers
        What is known of the entities as a group.
    categorical : bool
        Whether a detector looks at text fields.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        versions: dict[str, dict[str, Any]] | None = None,
        calendar: Calendar | None = None,
    ) -> None:
        self.light: list[EntityDetector] = []
        self.rich: list[EntityDetector] = []
        self.cohort: dict[str, CohortDetector] = {}
        weights: dict[str, float] = {}
        chosen = {name: getattr(settings, name) for name in (*ENTITY, *COHORT) if getattr(settings, name) is not None}
        for tier, members in (("light", self.light), ("rich", self.rich)):
            for name, kind in ENTITY.items():
                if name in chosen and kind.tier == tier:
                    members.append(kind(**chosen[name].model_dump(exclude=OWN)))
                    if not issubclass(kind, FieldChannels):
                        weights[name] = chosen[name].weight
        for name, model in COHORT.items():
            if name in chosen:
                self.cohort[name] = model(**chosen[name].model_dump(exclude=OWN))
                weights[name] = getattr(chosen[name], "weight", 1.0)
        self._on = {name: kinds_for(detector.streams) for name, detector in chosen.items()}
        if "relations" in self._on:
            self._on["relations"] -= {UNKNOWN}  # it learns the order of values
        self.channels: list[Channel] = []
        for detector in (*self.light, *self.rich):
            if isinstance(detector, FieldChannels):
                self.channels += [channel for channel in detector.channels if channel not in self.channels]
            if isinstance(detector, DayProfile) and calendar is not None:
                detector.calendar = calendar
        looks, others = [*[channel.name for channel in self.channels], FIELD, FIELDS], list(weights)
        self.names = looks + others
        self.versions = dict.fromkeys(self.names, "settings")
        self.weights = np.array([1.0] * len(looks) + list(weights.values()))
        self.in_nats = np.array(
            [name not in (FIELD, FIELDS) for name in looks] + [ONLINE[name].in_nats for name in others], dtype=np.bool_
        )
        self.apart = np.array(
            [True] * len(looks) + [name in ENTITY or ONLINE[name].apart for name in others], dtype=np.bool_
        )
        ranks = (
            [not channel.of_runs for channel in self.channels] + [True, True] + [ONLINE[name].ranks for name in others]
        )
        self.ranks = np.array(ranks, dtype=np.bool_)
        kinds: list[Kind] = [channel.kind for channel in self.channels]
        self.kinds: list[Kind] = [*kinds, "point", "point", *[ONLINE[name].anomaly_kind for name in others]]
        self.of_runs = np.array([channel.of_runs for channel in self.channels], dtype=np.bool_)
        self._columns = np.array([EVIDENCE.index(kind) for kind in kinds], dtype=np.int64)[~self.of_runs]
        self._prices = np.array([channel.price for channel in self.channels])
        self.peers = Peers()
        self.relations = FieldRelations()
        self.categorical = any(detector.input_kind == "categories" for detector in self.cohort.values())
        for name, version in (versions or {}).items():
            self.swap(name, version["version"], version["settings"])

    @functools.cached_property
    def width(self) -> int:
        """float64 numbers that the light detectors together keep for each entity and field."""
        return sum(detector.numbers_per_feature for detector in self.light) + KEPT * ("relations" in self.cohort)

    @functools.cached_property
    def rich_width(self) -> int:
        """float64 numbers that the rich detectors together keep for each entity and field."""
        return sum(detector.numbers_per_feature for detector in self.rich)

    def rich_on(self, kind: str) -> bool:
        """Whether rich detectors look at streams of this kind."""
        return any(kind in self._on[detector.name] for detector in self.rich)

    def swap(self, name: str, version: str, settings: dict[str, Any]) -> None:
        """Replace a running forest by one with other parameters. The new one first learns what the old one learned last.

        A detector that is not used, or is no forest, is left as it is.

        Parameters
        ----------
        name : str
            Of the detector.
        version : str
            Its new version, for alerts.
        settings : dict
            Arguments of the detector's class.
        """
        old = self.cohort.get(name)
        if not isinstance(old, WindowedForest):
            return
        new = type(old)(**settings)
        _, recent = old.recent()
        new.replay(0, recent)
        self.cohort[name] = new
        self.versions[name] = version

    def learn_rich(
        self, rich: Floats, inputs: RichInputs, joins: Flags | None = None
    ) -> tuple[list[RichOpinion], Floats]:
        """Score and learn events of entities of the rich tier.

        Parameters
        ----------
        rich : float64[slots, d, rich_width]
            State; changed in place.
        inputs : RichInputs
        joins : bool[n], optional
            Whether the entity joins its peers with the event. By default, the events are learned again after a restore: the level of the
            peers is then taken from the inputs, and the peers do not learn, because their saved state has learned these events already.

        Returns
        -------
        opinions : list of RichOpinion
            One of each rich detector that looks at this kind of stream and at this number of fields.
        levels : float64[n, d] or float64[n, 0]
            Level of the peers at each event, in deviations; no columns where entities are not compared.
        """
        kind, slots, _, quarantined, times, X, levels = inputs
        opinions, at, profile_deviations = [], 0, X
        profiled: Floats | None = None  # what the time of day says
        given = {"values": X, "residuals": X, "own": X}  # by `input_kind`
        none, no_looks = np.empty((len(X), 1)), np.empty((*X.shape, 0))
        for detector in self.rich:
            part = rich[:, :, at : (at := at + detector.numbers_per_feature)]
            of_runs = isinstance(detector, FieldChannels) and any(channel.of_runs for channel in detector.channels)
            watches = detector.anomaly_kind != "point" or of_runs
            if kind not in self._on[detector.name] or (watches and X.shape[1] > MOST_WATCHED):
                continue
            if isinstance(detector, FieldChannels):
                by_time = profiled if of_runs else None
                found = detector.look(part, slots, X, times, quarantined, by_time)
                opinions.append(RichOpinion(detector, none[:, 0], none, found.expected, found.evidence))
                if isinstance(detector, DayProfile):
                    profiled, profile_deviations = found.expected, found.deviations
                    # NaN until the profile is known: until then, a detector of residuals has nothing to learn from.
                    given["residuals"] = given["own"] = X - found.expected
            elif isinstance(detector, PeerDeviation):
                residuals = given["residuals"]
                if joins is not None:
                    levels = self.peers.levels(profile_deviations, joins)
                deviations, expected = detector.from_peers(part, slots, residuals, levels)
                opinions.append(RichOpinion(detector, detector.pool(deviations), deviations, expected, no_looks))
                given["own"] = np.where(np.isnan(expected), residuals, residuals - expected)
            elif isinstance(detector, SeasonalProfile):
                seasonal = Inputs(part, slots, X, times, quarantined)
                deviations, expected, profile_deviations = _scored(detector.profile, detector, seasonal)
                opinions.append(RichOpinion(detector, detector.pool(deviations), deviations, expected, no_looks))
                # NaN until the profile knows the hour: until then, a detector of residuals has nothing to learn from.
                given["residuals"] = given["own"] = X - expected
            else:
                detector_inputs = Inputs(part, slots, given[detector.input_kind], times, quarantined)
                scored = _scored(detector.rate_learn_entities, detector, detector_inputs)
                opinions.append(RichOpinion(detector, *scored, no_looks))
        if joins is not None and levels is inputs.levels:  # no detector has compared the entities
            self.peers.count(int(joins.sum()))
        return opinions, levels

    def learn_cohort(self, kind: str, features: Floats, categories: Floats) -> list[tuple[Floats, Floats] | None]:
        """Score and learn the features and categories of events with the cohort detectors.

        Parameters
        ----------
        kind : str
            Of the stream (`udfs.events.stream_kind`).
        features : float64[m, 3 d]
            No row is all NaN.
        categories : float64[n, text fields]

        Returns
        -------
        list of (float64[m or n], float64[m or n, d or text fields]) or None
            Raw score and weights of the fields, of each cohort detector. None for one that does not look at streams of this kind or at
            so many fields.
        """
        d = features.shape[1] // CHANNELS
        inputs: dict[str, Floats] = {"features": features, "categories": categories}  # by `input_kind`
        opinions: list[tuple[Floats, Floats] | None] = []
        for name, detector in self.cohort.items():
            source = categories if detector.input_kind == "categories" else features
            if isinstance(detector, Relations):
                opinions.append(None)  # see `_add_relations`
                continue
            if kind not in self._on[name] or d > detector.max_fields or not source.size:
                opinions.append(None)
                continue
            if detector.input_kind not in inputs:
                levels = inputs["levels"] = unsquashed(features[:, ::CHANNELS])
                inputs["levels and lasts"] = np.hstack((levels, levels - unsquashed(features[:, 1::CHANNELS])))
            given = inputs[detector.input_kind]
            if detector.width not in (None, given.shape[1]):
                self.cohort[name] = detector.widened(given.shape[1])
            raw_score, weights = self.cohort[name].rate_learn_many(given)
            if detector.input_kind == "features":
                weights = weights.reshape(len(weights), d, CHANNELS).sum(axis=2)
            opinions.append((raw_score, weights))
        return opinions

    def detect(self, kind: str, stretch: Stretch, state: EntityState, features: Floats, categories: Floats) -> Opinions:
        """Score and learn events in row order.

        Parameters
        ----------
        kind : str
            Of the stream (`udfs.events.stream_kind`): decides which detectors look at it.
        stretch : Stretch
            The rich detectors have no opinion about an event whose entity has no slot.
        state : EntityState
            Of the detectors; changed in place.
        features : float64[n, 3 d]
            The cohort detectors have no opinion about a row that is all NaN, and do not learn it.
        categories : float64[n, text fields]
            See `udfs.events.schema.Alignment.categories`.

        Returns
        -------
        Opinions
            Of the detectors; those of trained models are added later.
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
            np.full((*stretch.X.shape, len(self.channels)), np.nan),
            joined=np.full(n, np.nan),
            by_kind=np.zeros((n, len(EVIDENCE))),
        )
        expected, deviations = self._add_light(kind, stretch, state.light, opinions)
        if "relations" in self.cohort and kind in self._on["relations"]:
            self.relations.add_opinions(self.cohort, stretch, state.light, deviations, opinions)
        self._add_rich(kind, stretch, state.rich, opinions, expected)
        add_channels(opinions, self.of_runs, self._columns, self._prices, stretch.quarantined)
        self._add_cohort(kind, features, categories, opinions)
        return opinions

    def _add_light(self, kind: str, stretch: Stretch, light: Floats, opinions: Opinions) -> tuple[Floats, Floats]:
        """Add the opinions of the light detectors; returns what each field was expected to be, and its deviation, float64[n, d]."""
        at, expected, deviations = 0, np.full(stretch.X.shape, np.nan), np.full(stretch.X.shape, np.nan)
        for detector in self.light:
            part = light[:, :, at : (at := at + detector.numbers_per_feature)]
            inputs = Inputs(part, stretch.rows, stretch.X, stretch.events.times, stretch.quarantined)
            if isinstance(detector, FieldChannels):
                evidence, expected_here, deviations = detector.look(*inputs)
                if kind in self._on[detector.name]:
                    opinions.looks[:, :, self._places(detector)] = evidence
            else:
                raw_score, away, expected_here = _scored(detector.rate_learn_entities, detector, inputs)
                if kind in self._on[detector.name]:
                    k = self.names.index(detector.name)
                    opinions.raw_scores[:, k] = raw_score
                    opinions.contributions[k] = away * away
            expected = np.where(np.isnan(expected), expected_here, expected)
        opinions.expected = [expected]
        return expected, deviations

    def learn_relations(self, inputs: Floats) -> None:
        """Learn events again (see `Opinions.relations`)."""
        self.relations.learn(self.cohort, inputs)

    def _places(self, detector: FieldChannels) -> list[int]:
        """Places of a detector's channels among all channels."""
        return [self.channels.index(channel) for channel in detector.channels]

    def _add_rich(self, kind: str, stretch: Stretch, rich: Floats, opinions: Opinions, expected: Floats) -> None:
        """Add the opinions of the rich detectors, and put what they expect into `expected`."""
        n = len(stretch)
        with_slot = np.flatnonzero(stretch.slots >= 0)
        if not len(with_slot):
            return
        joins = stretch.joins[with_slot]
        inputs = RichInputs(
            kind,
            stretch.slots[with_slot],
            stretch.first[with_slot],
            stretch.quarantined[with_slot],
            stretch.events.times[with_slot],
            stretch.X[with_slot],
            np.empty((len(with_slot), 0)),
        )
        rich_opinions, opinions.levels = self.learn_rich(rich, inputs, joins)
        for opinion in rich_opinions:
            detector = opinion.detector
            if isinstance(detector, FieldChannels):
                for place, found in zip(self._places(detector), np.moveaxis(opinion.looks, 2, 0), strict=True):
                    # What two detectors look at in the same channel is as usual as the more usual of both says.
                    opinions.looks[with_slot, :, place] = np.fmin(opinions.looks[with_slot, :, place], found)
            else:
                k = self.names.index(detector.name)
                deviations, raw_score = opinion.deviations, opinion.raw_score
                if detector.input_kind == "levels":
                    deviations = self.peers.among(deviations, joins)
                    raw_score = detector.pool(deviations)
                opinions.raw_scores[with_slot, k] = raw_score
                opinions.contributions[k] = _spread(deviations * deviations, with_slot, n)
            if isinstance(detector, FieldChannels) or detector.anomaly_kind == "contextual":
                # These detectors know the entity and its hour: their expectations are the most specific ones.
                expected[with_slot] = np.where(np.isnan(opinion.expected), expected[with_slot], opinion.expected)

    def _add_cohort(self, kind: str, features: Floats, categories: Floats, opinions: Opinions) -> None:
        """Add the opinions of the cohort detectors."""
        n = len(features)
        usable = np.flatnonzero(~np.isnan(features).all(axis=1)) if features.shape[1] else np.empty(0, np.int64)
        found = self.learn_cohort(kind, features[usable], categories)
        for k, (name, opinion) in enumerate(zip(self.cohort, found, strict=True), len(self.names) - len(self.cohort)):
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
    """Score events with a detector, and learn them, except the quarantined ones if the detector does not learn those.

    Parameters
    ----------
    score : callable
        Method of the detector.
    detector : EntityDetector
    inputs : Inputs

    Returns
    -------
    What `score` returns, in the order of the events.
    """
    state, rows, X, times, quarantined = inputs
    if not (detector.quarantined and quarantined.any()):
        return score(state, rows, X, times)
    learned, scored_only = np.flatnonzero(~quarantined), np.flatnonzero(quarantined)
    parts = [
        score(state, rows[which], X[which], times[which], learn)
        for which, learn in ((learned, True), (scored_only, False))
    ]
    wholes = []
    for of_learned, of_scored_only in zip(*parts, strict=True):
        whole = np.empty((len(quarantined), *of_learned.shape[1:]))
        whole[learned], whole[scored_only] = of_learned, of_scored_only
        wholes.append(whole)
    return wholes[0], wholes[1], wholes[2]


def _spread(weights: Floats, places: Ints, n: int) -> Floats:
    """float64[n, d] with some rows at their places; all other rows are NaN."""
    if len(places) == n:
        return weights
    spread = np.full((n, weights.shape[1]), np.nan)
    spread[places] = weights
    return spread
