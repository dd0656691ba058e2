"""Opinions to verdicts: each member's magnitude to a tail probability, and these to one of all together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from streamgauge.models.calibration.calibration import TailCalibrator
from streamgauge.models.contract import Flags, Floats, Kind
from streamgauge.models.ensemble.ensemble import combine, consensus, disagree, interval, strongest_evidence, vote
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.scoring.opinions import EVIDENCE, Verdicts
from streamgauge.udfs.settings.pipeline import CalibrationSettings

MERGED = 1.0  # e times the geometric mean of tail probabilities is one, however they depend on each other (Vovk and Wang, Biometrika 2020)
SHADOW = " shadow"  # ends the name of a member that is scored but never alerts
STEP, NEAR = 0.2, 0.02  # of the way to other weights, and so near that it is over
AGREES = -math.log(0.01)  # a member agrees when it gives the event a probability of at most 1 %

# What looks for runs sees the same anomaly in many events: these must not become the tail by their number.
RUNS = {"rare": 1e-3, "least": 0.02}


@dataclass(frozen=True)
class Members:
    """The members of an ensemble: detectors, trained models, and the models' shadows.

    Attributes
    ----------
    names : list of str
    weights : float64[members]
        0 is a shadow: rated, but not heard.
    nats : bool[members]
        Whether the magnitude is a surprise in its own right.
    leads : bool[members]
        Whether it decides over the other detectors, where it has an opinion.
    alone : bool[members]
        Whether its surprise counts by itself beside the mean of all: of what sees single fields of an entity, which a mean with
        detectors of the cohort would hide, and of trained models, which somebody chose.
    trained : bool[members]
        Whether it is a trained model: heard beside one that leads.
    sees : list of str
        The kind of anomaly it looks for.
    beside : bool[members]
        Whether it is heard beside the ensemble, as evidence of what it looks for, by itself.
    """

    names: list[str]
    weights: Floats
    nats: Flags
    leads: Flags
    alone: Flags
    trained: Flags
    sees: list[Kind]
    beside: Flags


class Calibrators:
    """One calibrator for each member of a log, and one for their combination.

    Parameters
    ----------
    members : Members
    settings : CalibrationSettings
    method : {"mean", "vote", "consensus"}
        How opinions become one.

    Attributes
    ----------
    weights, target : float64[members]
        As they are, and as they are to be.
    """

    kind = "calibrators"
    version = 1

    def __init__(self, members: Members, settings: CalibrationSettings, method: str = "mean") -> None:
        self.of, self.method = members, method
        self.weights = self.target = members.weights.copy()
        self.members = [
            TailCalibrator(settings.memory, settings.warmup, **(RUNS if beside else {}))
            for beside in members.beside.tolist()
        ]
        self.together = TailCalibrator(settings.memory, settings.warmup)
        places = {name: k for k, name in enumerate(members.names)}
        self._columns = np.array([EVIDENCE.index(kind) for kind in members.sees], dtype=np.int64)
        self._pairs = [(k, places[f"{name}{SHADOW}"]) for name, k in places.items() if f"{name}{SHADOW}" in places]

    def exchanged(self, columns: npt.NDArray[Any], canaries: Flags) -> npt.NDArray[Any]:
        """Columns of members, those of a model and its shadow exchanged where the shadow is heard; twice is nothing."""
        if not canaries.any():
            return columns
        told = columns.copy()
        for (live, shadow), heard in zip(self._pairs, canaries.T, strict=True):
            told[heard, live], told[heard, shadow] = columns[heard, shadow], columns[heard, live]
        return told

    def calibrate(self, raw_scores: Floats, canaries: Flags, alert_evidence: Floats | None = None) -> Verdicts:
        """Turn raw scores into evidence in row order, and learn from them.

        Parameters
        ----------
        raw_scores : float64[n, members]
            NaN where a member has no opinion.
        canaries : bool[n, models] or bool[n, 0]
            For which events each model's shadow counts in its place.
        alert_evidence : float64[n], optional
            Evidence of the leading detectors that an alert may rest on; all their evidence by default.
        """
        of = self.of
        ready = ~np.isnan(raw_scores)
        each = np.full(raw_scores.shape, np.nan)
        asked = ready.any(axis=0)
        for k, member in enumerate(self.members):
            if not asked[k]:
                continue
            if of.nats[k]:
                each[:, k] = raw_scores[:, k]
                continue
            before = member.learned
            each[:, k] = member.rate_learn_many(np.ascontiguousarray(raw_scores[:, k]))
            if before <= member.warmup:
                ready[:, k] &= before + np.cumsum(ready[:, k]) > member.warmup
        each, ready = self.exchanged(each, canaries), self.exchanged(ready, canaries)
        heard = ready & (self.weights > 0) & ~of.beside
        combined = self._combine(each, heard & ~of.nats)
        evidence = self.together.rate_learn_many(combined)
        if self.method == "mean":
            evidence = np.fmax(evidence, combined - MERGED)
        evidence = np.fmax(evidence, strongest_evidence(each, heard & of.alone & ~of.leads))
        alertable = evidence
        if (asked & of.leads).any():
            own = combine(each, ready & of.leads, self.weights)
            beside = strongest_evidence(each, heard & (of.trained | of.nats) & ~of.leads)
            certain = own if alert_evidence is None else np.fmin(own, alert_evidence)
            alertable = np.where(np.isnan(own), evidence, np.maximum(certain, beside))
            evidence = np.where(np.isnan(own), evidence, np.maximum(own, beside))
        by_kind = self._by_kind(alertable, each, ready)
        evidence = np.maximum(evidence, by_kind[:, EVIDENCE.index("contextual")])
        return Verdicts(
            np.where(ready, each, np.nan),
            evidence,
            disagree(each, heard),
            interval(evidence, each, heard),
            by_kind,
        )

    def _by_kind(self, alertable: Floats, each: Floats, ready: Flags) -> Floats:
        """Alert evidence for each kind: of points that of the ensemble; of another kind that of the member with the most evidence.

        The latter is less by the logarithm of the number of members asked: the more are asked, the more find something by chance.
        """
        of, by_kind = self.of, np.zeros((len(alertable), len(EVIDENCE)))
        by_kind[:, 0] = alertable
        led = (ready & of.leads).any(axis=1)  # a leading detector knows the usual hours itself
        _add_evidence(each, ready & of.beside, self._columns, led, EVIDENCE.index("contextual"), by_kind)
        return by_kind

    def _combine(self, surprises: Floats, present: Flags) -> Floats:
        if self.method == "vote":
            return vote(surprises, present, self.weights, AGREES)
        return (combine if self.method == "mean" else consensus)(surprises, present, self.weights)

    def weigh(self, weights: dict[str, float], factors: dict[str, float]) -> None:
        """Let members have other weights, which `move` moves them to; those not named have their settings' own. Each times its factor."""
        named = zip(self.of.names, self.of.weights, strict=True)
        self.target = np.array([weights.get(n, w) * factors.get(n, 1.0) for n, w in named])

    def move(self) -> bool:
        """Move the weights a step nearer to what they are to be: one fades in, another out. Returns whether there was a step to do."""
        if np.array_equal(self.weights, self.target):
            return False
        gap = self.target - self.weights
        near = np.abs(gap) <= NEAR * np.maximum(self.target, self.weights)
        self.weights = np.where(near, self.target, self.weights + STEP * gap)
        return True

    def adopt(self, member: str, calibrator: TailCalibrator) -> None:
        """Give a member another calibrator, a copy of one that knows its magnitudes."""
        self.members[self.of.names.index(member)] = TailCalibrator.from_state(calibrator.to_state())

    def to_state(self) -> bytes:
        """All that was learned, versioned."""
        parts = [member.to_state() for member in (*self.members, self.together)]
        arrays: dict[str, npt.NDArray[np.uint8]] = {
            str(k): np.frombuffer(part, np.uint8) for k, part in enumerate(parts)
        }
        return pack(self.kind, self.version, {}, arrays)

    def restore(self, state: bytes) -> None:
        """Become what `to_state` saved; StateError where the bytes are no such thing."""
        _, arrays = unpack(state, self.kind, self.version)
        parts = [TailCalibrator.from_state(arrays[str(k)].tobytes()) for k in range(len(arrays))]
        self.members, self.together = parts[:-1], parts[-1]


@njit(cache=True)
def _add_evidence(surprises, heard, columns, led, contextual, evidence):  # type: ignore[no-untyped-def]
    for i in range(surprises.shape[0]):
        asked = 0
        for k in range(surprises.shape[1]):
            asked += heard[i, k]
        for k in range(surprises.shape[1]):
            column = columns[k]
            if heard[i, k] and not (led[i] and column == contextual):
                evidence[i, column] = max(evidence[i, column], surprises[i, k] - math.log(asked))
