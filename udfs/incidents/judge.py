"""Evidence to what counts: the threshold in force, broken rules, the kind, what is suppressed."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Judged:
    """What is made of events before incidents are followed.

    Attributes
    ----------
    scored : Scored
    violations : Violations
    suppressed : Suppressed
    kinds : int64[n]
        Kind of incident that each event would be.
    thresholds : float64[n]
        Tail probability in force for each event.
    arms : list of str
        Its side in a trial of two thresholds; empty where there is no trial.
    """

    scored: Scored
    violations: Violations
    suppressed: Suppressed
    kinds: Ints
    thresholds: Floats
    arms: list[str]

    @property
    def alertable(self) -> Floats:
        """float64[n], evidence for any kind of incident, as far as the event may be severe."""
        most: Floats = np.minimum(self.scored.verdicts.strongest, self.suppressed.most_evidence)
        return most

    @property
    def anomalous(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """bool[n], whether the alert evidence is at or beyond the threshold."""
        over: np.ndarray[tuple[int], np.dtype[np.bool_]] = self.alertable >= -np.log(self.thresholds)
        return over

    def candidates(self) -> Candidates:
        """What each event would be as a part of an incident."""
        return Candidates(
            self.alertable,
            self.scored.verdicts.evidence,
            self.violations.any,
            self.suppressed.events,
            self.kinds,
            self.thresholds,
            distances(self.scored.features),
        )


class Judge:
    """Decides which events count, and as what.

    Parameters
    ----------
    settings : DecideSettings
    in_force : InForce
    contextual : list of int
        Members that look for contextual anomalies.
    point_kind : int
        What a point is called here: an event's own, or, for aggregates of windows, collective.
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
            Where situations are declared.
        """
        trial = self._in_force.trial
        arms = trial.arms(stretch.events.entities) if trial else []
        thresholds = trial.thresholds(arms) if trial else np.full(len(stretch), threshold)
        violations = rule_book(self._in_force.rules).violations(stretch.events, stretch.X, names.numeric)
        needed = -np.log(thresholds)
        kinds = classify(scored, stretch.X, violations.any, needed, self._contextual, usual_elsewhere)
        kinds = np.where(kinds == POINT, self._point_kind, kinds)
        anomalous = (scored.verdicts.strongest >= needed) & ~violations.any
        suppressed = self._suppressor.look(anomalous, stretch, names, scored, needed, kinds)
        return Judged(scored, violations, suppressed, kinds, thresholds, arms)
