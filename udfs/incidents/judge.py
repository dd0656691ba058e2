"""Evidence to judged events: the threshold in force, the broken rules, the kind of anomaly, and what is suppressed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.incidents.classify import UsualElsewhere, classify
from streamgauge.udfs.incidents.kinds import POINT
from streamgauge.udfs.incidents.lifecycle import Candidates
from streamgauge.udfs.incidents.rules import Violations, rule_book
from streamgauge.udfs.incidents.suppress import Suppressed, Suppressor
from streamgauge.udfs.scoring.normalise import distances
from streamgauge.udfs.scoring.scorer import Fields, Scored
from streamgauge.udfs.settings.pipeline import DecideSettings


@dataclass(frozen=True)
class Judged:
    """Events after they were judged, and before incidents are followed.

    Attributes
    ----------
    scored : Scored
    violations : Violations
    suppressed : Suppressed
    kinds : int64[n]
        Kind of incident that each event would be; codes of `kinds`.
    thresholds : float64[n]
        Tail probability in force for each event.
    evidence_needed : float64[n]
        Evidence from which on each event is anomalous: ``-ln(thresholds)``.
    arms : list of str
        Side of each event (``a`` or ``b``) in a trial of two thresholds; empty where there is no trial.
    """

    scored: Scored
    violations: Violations
    suppressed: Suppressed
    kinds: Ints
    thresholds: Floats
    evidence_needed: Floats
    arms: list[str]

    @cached_property
    def alertable(self) -> Floats:
        """Alert evidence for an incident of any kind, float64[n], limited where the severity of the event is."""
        limited: Floats = np.minimum(self.scored.verdicts.strongest, self.suppressed.most_evidence)
        return limited

    @property
    def anomalous(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether the alert evidence of each event is at or beyond the threshold, bool[n]."""
        beyond: np.ndarray[tuple[int], np.dtype[np.bool_]] = self.alertable >= self.evidence_needed
        return beyond

    def candidates(self) -> Candidates:
        """What the lifecycle of incidents needs of each event."""
        return Candidates(
            self.alertable,
            self.scored.verdicts.evidence,
            self.violations.any,
            self.suppressed.events,
            self.kinds,
            self.evidence_needed,
            distances(self.scored.features),
        )


class Judge:
    """Decides which events are anomalous, of which kind they are, and which of them are suppressed.

    Parameters
    ----------
    settings : DecideSettings
    in_force : InForce
    contextual : list of int
        Places of the members that look for contextual anomalies.
    point_kind : int
        The kind that stands for a point here: POINT for events, COLLECTIVE for aggregates of windows, which hold many events.
    """

    def __init__(
        self, settings: DecideSettings, in_force: InForce, contextual: list[int], point_kind: int = POINT
    ) -> None:
        self._in_force, self._contextual, self._point_kind = in_force, contextual, point_kind
        self._suppressor = Suppressor(settings.fields, in_force)

    def judge(
        self,
        stretch: Stretch,
        names: Fields,
        scored: Scored,
        threshold: float,
        usual_elsewhere: UsualElsewhere | None = None,
    ) -> Judged:
        """Judge a stretch.

        Parameters
        ----------
        stretch : Stretch
        names : Fields
        scored : Scored
        threshold : float
            Tail probability in force where there is no trial.
        usual_elsewhere : callable, optional
            See `classify`; only where situations are declared.
        """
        trial = self._in_force.trial
        arms = trial.arms(stretch.events.entities) if trial else []
        thresholds = trial.thresholds(arms) if trial else np.full(len(stretch), threshold)
        violations = rule_book(self._in_force.rules).violations(stretch.events, stretch.X, names.numeric)
        evidence_needed = -np.log(thresholds)
        kinds = classify(scored, stretch.X, violations.any, evidence_needed, self._contextual, usual_elsewhere)
        kinds = np.where(kinds == POINT, self._point_kind, kinds)
        anomalous = (scored.verdicts.strongest >= evidence_needed) & ~violations.any
        suppressed = self._suppressor.look(anomalous, stretch, names, scored, evidence_needed, kinds)
        return Judged(scored, violations, suppressed, kinds, thresholds, evidence_needed, arms)
