"""Opinions to verdicts: each member's raw score to evidence, and the members' evidence to the evidence of the ensemble."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from streamgauge.models.calibration.calibration import TailCalibrator
from streamgauge.models.calibration.pooled_tail import PooledTail
from streamgauge.models.contract import Flags, Floats, Ints, Kind
from streamgauge.models.ensemble.ensemble import combine, consensus, disagree, interval, vote
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.scoring.join import OF_FIELDS, join, ranked
from streamgauge.udfs.scoring.opinions import EVIDENCE, Opinions, Verdicts
from streamgauge.udfs.settings.pipeline import CalibrationSettings

# However the members depend on each other, e times the geometric mean of their tail probabilities is a valid tail probability: the mean of
# their evidence, less 1 (Vovk and Wang, Combining p-values via averaging, Biometrika 2020).
TAIL_KNOWN = 10_000  # joined evidence of several fields after which the exponential tail of alerts is used: a young one must be heavy
MERGED = 1.0
SHADOW = " shadow"  # end of the name of a shadow: a member that is scored, but raises no alerts
# How many looks the relations of fields count for. They judge an event by all its fields at once, and rank better than any field by itself.
RELATIONS = 4.0
STEP = 0.2  # share of the way to new weights that one step goes
NEAR = 0.02  # relative difference at which the last step goes all the way
AGREES = -math.log(0.01)  # evidence from which on a member agrees that an event is anomalous: a tail probability of 1 %

# Settings of the calibrators of members outside the ensemble (see `Members.apart`). Such a member finds the same anomaly in many events
# in a row. These many events must not make the anomaly look usual.
RUNS = {"rare": 1e-3, "least": 0.02}


@dataclass(frozen=True)
class Members:
    """The members of an ensemble: detectors, trained models, and the models' shadows.

    Attributes
    ----------
    names : list of str
    of_runs : bool[channels]
        The first members are channels of fields, which are joined field by field, except those that judge runs of values. These are
        looks of their own.
    weights : float64[members]
        Weights in the mean, at least 0. 0 is a shadow: it gets evidence, but does not count.
    in_nats : bool[members]
        Whether the raw score already is evidence (-ln of a tail probability, in nats), which needs no calibrator.
    apart : bool[members]
        Whether the evidence of the member is a look of its own. All others are the ensemble, whose mean is one look.
    ranks : bool[members]
        Whether the member counts for the rank of an event, not only for alerts.
    trained : bool[members]
        Whether the member is a trained model. It is a look of its own, and part of the ensemble.
    kinds : list of str
        The kind of anomaly that the member looks for.
    """

    names: list[str]
    of_runs: Flags
    weights: Floats
    in_nats: Flags
    apart: Flags
    ranks: Flags
    trained: Flags
    kinds: list[Kind]


class Calibrators:
    """The calibrators of one source of events: one for each member, and one for the ensemble.

    Parameters
    ----------
    members : Members
    settings : CalibrationSettings
    method : {"mean", "vote", "consensus"}
        How the evidence of the members is combined.

    Attributes
    ----------
    of : Members
    members : list of TailCalibrator or PooledTail
        The calibrator of each member.
    together : TailCalibrator
        The calibrator of the ensemble.
    for_alerts : TailCalibrator
        The calibrator of several fields, for alerts; that for ranks is among `members`.
    weights : float64[members]
        The weights now.
    target : float64[members]
        The weights that `move` moves to, step by step.
    """

    kind = "calibrators"
    version = 3

    def __init__(self, members: Members, settings: CalibrationSettings, method: str = "mean") -> None:
        self.of, self.method = members, method
        self.weights = self.target = members.weights.copy()
        self.members: list[TailCalibrator | PooledTail] = [
            TailCalibrator(settings.memory, settings.warmup, **(RUNS if kind != "point" else {}))
            for kind in members.kinds
        ]
        self.together = TailCalibrator(settings.memory, settings.warmup)
        places = {name: k for k, name in enumerate(members.names)}
        channels = len(members.of_runs)
        # The members that join the channels of the only field, and of several fields, stand after the channels.
        self._field, self._fields = channels, channels + 1
        self.members[self._field] = PooledTail()
        # Alerts on several fields rest on a calibration of their own. Its tail is exponential, because faults that last for days would
        # give a tail of any shape so heavy an end that the next large one looks usual. Ranks keep the shape: they compare events.
        self.for_alerts = TailCalibrator(settings.memory, settings.warmup, steepest=0.0)
        # The looks that are joined: the fields, the members that stand apart, then the ensemble.
        self._looks = members.apart.copy()
        self._looks[: channels + 2] = False
        self._looks[:channels] = members.of_runs
        self._novelty = places.get("value_novelty")
        if self._novelty is not None:  # it decides about ranks, not about alerts
            self._looks[self._novelty] = False
        looks = [EVIDENCE.index(kind) for kind, look in zip(members.kinds, self._looks.tolist(), strict=True) if look]
        self._columns = np.array([OF_FIELDS, *looks, EVIDENCE.index("point")], dtype=np.int64)
        self._counts = np.ones(len(self._columns))
        if "relations" in places:
            self._counts[1 + int(self._looks[: places["relations"]].sum())] = RELATIONS
        ranks = members.ranks.copy()
        self._ranks = np.array([True, *ranks[self._looks].tolist(), True], dtype=np.bool_)
        if "relations" in places:
            ranks[places["relations"]] = False
        self._ranks_of_records = np.array([False, *ranks[self._looks].tolist(), True], dtype=np.bool_)
        # Trained models count in the ensemble, whose weights follow their performance, and by themselves.
        self._in_ensemble = ~members.in_nats & (~members.apart | members.trained)
        self._pairs = [(k, places[f"{name}{SHADOW}"]) for name, k in places.items() if f"{name}{SHADOW}" in places]

    def exchanged(self, columns: npt.NDArray[Any], canaries: Flags) -> npt.NDArray[Any]:
        """Exchange the columns of each live model and its shadow, for the events for which the shadow counts.

        Exchanging twice gives the first array again.

        Parameters
        ----------
        columns : array[n, members]
        canaries : bool[n, models] or bool[n, 0]
            For which events each model's shadow counts in its place.

        Returns
        -------
        array[n, members]
        """
        if not canaries.any():
            return columns
        exchanged = columns.copy()
        for (live, shadow), counts in zip(self._pairs, canaries.T, strict=True):
            exchanged[counts, live], exchanged[counts, shadow] = columns[counts, shadow], columns[counts, live]
        return exchanged

    def calibrate(self, opinions: Opinions, seen: Ints, in_order: bool = True) -> Verdicts:
        """Turn opinions into evidence in row order, and learn from them.

        Parameters
        ----------
        opinions : Opinions
        seen : int64[n]
            Events of each event's entity so far.
        in_order : bool
            Whether the stream has an order. Records without one are ranked by the ensemble, which ranks them better than channels and
            relations do. These only raise alerts.
        """
        members, ready, combined, ensemble, for_alerts = self.learn(opinions.raw_scores, opinions.canaries)
        counts = ready & (self.weights > 0)
        fields = opinions.joined
        for together in (self._field, self._fields):
            fields = np.where(ready[:, together], members[:, together], fields)
        for_alerts = np.where(np.isnan(for_alerts), fields, for_alerts)
        looks = np.column_stack((for_alerts, members[:, self._looks], ensemble))
        present = np.column_stack((~np.isnan(fields), counts[:, self._looks], ~np.isnan(combined)))
        joined, parts = join(looks, present, self._columns, self._counts)
        of_kinds = opinions.by_kind / np.fmax(opinions.joined, 1e-9)[:, None]
        by_kind = np.maximum(parts[:, :OF_FIELDS], parts[:, OF_FIELDS, None] * of_kinds)
        novelty = np.full(len(joined), np.nan) if self._novelty is None else members[:, self._novelty]
        ranks, ranking = self._ranks if in_order else self._ranks_of_records, joined
        if ready[:, self._fields].any() or present[:, ~ranks].any():  # else all looks rank
            looks[:, 0] = fields
            ranking, _ = join(looks[:, ranks], present[:, ranks], self._columns[ranks], self._counts[ranks])
            ranking = np.where(np.isnan(ranking), joined, ranking)
        evidence = ranked(ranking, novelty, seen)
        return Verdicts(
            np.where(ready, members, np.nan),
            evidence,
            disagree(members, counts),
            interval(evidence, members, counts),
            by_kind,
            joined,
        )

    def learn(self, raw_scores: Floats, canaries: Flags) -> tuple[Floats, Flags, Floats, Floats, Floats]:
        """Turn raw scores into evidence in row order, and learn from them.

        Parameters
        ----------
        raw_scores : float64[n, members]
            NaN where a member has no opinion.
        canaries : bool[n, models] or bool[n, 0]
            For which events each model's shadow counts in its place.

        Returns
        -------
        members : float64[n, members]
            Evidence of each member.
        ready : bool[n, members]
            Whether the member has an opinion, and its calibrator is past its warm-up.
        combined, ensemble : float64[n]
            The members of the ensemble in one number; NaN where none is ready. And its evidence.
        for_alerts : float64[n]
            Evidence of several fields, for alerts; NaN where there are not several, or where its tail is not known well.
        """
        of_fields = np.ascontiguousarray(raw_scores[:, self._fields])
        learned = self.for_alerts.learned + np.cumsum(~np.isnan(of_fields))
        for_alerts = np.where(learned > TAIL_KNOWN, self.for_alerts.rate_learn_many(of_fields), np.nan)
        members, ready = self._evidence_of_members(raw_scores)
        members, ready = self.exchanged(members, canaries), self.exchanged(ready, canaries)
        combined = self._combine(members, ready & (self.weights > 0) & self._in_ensemble)
        ensemble = self.together.rate_learn_many(combined)
        if self.method == "mean":
            ensemble = np.fmax(ensemble, combined - MERGED)
        return members, ready, combined, ensemble, for_alerts

    def _evidence_of_members(self, raw_scores: Floats) -> tuple[Floats, Flags]:
        """Turn each member's raw scores into evidence, and learn from them.

        Returns
        -------
        evidence : float64[n, members]
            NaN where a member has no opinion.
        ready : bool[n, members]
            Whether the member has an opinion, and its calibrator is past its warm-up.
        """
        ready = ~np.isnan(raw_scores)
        evidence = np.full(raw_scores.shape, np.nan)
        for k, (member, has_opinion) in enumerate(zip(self.members, ready.any(axis=0).tolist(), strict=True)):
            if not has_opinion:
                continue
            if self.of.in_nats[k]:
                evidence[:, k] = raw_scores[:, k]
                continue
            learned = member.learned
            evidence[:, k] = member.rate_learn_many(np.ascontiguousarray(raw_scores[:, k]))
            if learned <= member.warmup:
                ready[:, k] &= learned + np.cumsum(ready[:, k]) > member.warmup
        return evidence, ready

    def _combine(self, evidence: Floats, present: Flags) -> Floats:
        """The evidence of the members in one number for each event, float64[n]; NaN where no member is present."""
        if self.method == "vote":
            return vote(evidence, present, self.weights, AGREES)
        return (combine if self.method == "mean" else consensus)(evidence, present, self.weights)

    def weigh(self, weights: dict[str, float], factors: dict[str, float]) -> None:
        """Set the weights that `move` moves the members to.

        Parameters
        ----------
        weights : dict of str to float
            By member; a member that is not named has the weight of the settings.
        factors : dict of str to float
            By member: what its weight is multiplied by; 1 for a member that is not named.
        """
        named = zip(self.of.names, self.of.weights, strict=True)
        self.target = np.array([weights.get(n, w) * factors.get(n, 1.0) for n, w in named])

    def move(self) -> bool:
        """Move the weights a step nearer to `target`, so that scores do not jump.

        Returns
        -------
        bool
            Whether the weights were different from `target`.
        """
        if np.array_equal(self.weights, self.target):
            return False
        gap = self.target - self.weights
        near = np.abs(gap) <= NEAR * np.maximum(self.target, self.weights)
        self.weights = np.where(near, self.target, self.weights + STEP * gap)
        return True

    def take(self, member: str, calibrator: TailCalibrator) -> None:
        """Give a member a copy of a calibrator that has learned raw scores like the member's."""
        self.members[self.of.names.index(member)] = TailCalibrator.from_state(calibrator.to_state())

    def adopt(self, others: dict[str, str]) -> None:
        """Give members copies of the calibrators that other members have; two members may exchange theirs."""
        known = list(self.members)
        for member, other in others.items():
            calibrator = known[self.of.names.index(other)]
            self.members[self.of.names.index(member)] = type(calibrator).from_state(calibrator.to_state())

    def to_state(self) -> bytes:
        """All that was learned, versioned."""
        parts = [member.to_state() for member in (*self.members, self.together, self.for_alerts)]
        arrays: dict[str, npt.NDArray[np.uint8]] = {
            str(k): np.frombuffer(part, np.uint8) for k, part in enumerate(parts)
        }
        return pack(self.kind, self.version, {}, arrays)

    def restore(self, state: bytes) -> None:
        """Restore what `to_state` gave.

        Raises
        ------
        StateError
            The bytes are no state of calibrators, or of a version that is not known.
        """
        _, arrays = unpack(state, self.kind, self.version)
        *members, together, for_alerts = [arrays[str(k)].tobytes() for k in range(len(arrays))]
        kinds = [PooledTail if k == self._field else TailCalibrator for k in range(len(members))]
        self.members = [kind.from_state(part) for kind, part in zip(kinds, members, strict=True)]
        self.together, self.for_alerts = TailCalibrator.from_state(together), TailCalibrator.from_state(for_alerts)
