"""Evidence to judged events: the threshold in force, the broken rules, the kind of anomaly, and what is suppressed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints, Kind
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.incidents.classify import UsualElsewhere, classify
from streamgauge.udfs.incidents.effects import Effects, effects_of, first_to_speak
from streamgauge.udfs.incidents.kinds import POINT
from streamgauge.udfs.incidents.lifecycle import Candidates
from streamgauge.udfs.incidents.rules import Violations, rule_book
from streamgauge.udfs.incidents.severity import severities_of
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
    effects : Effects
    kinds : int64[n]
        Kind of incident that each event would be; codes of `kinds`.
    channels : int64[n]
        Place of the member that found each event, plus 1; 0 is none.
    severities : int64[n]
        Severity of each event; a place in `SEVERITIES`.
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
    effects: Effects
    kinds: Ints
    channels: Ints
    severities: Ints
    thresholds: Floats
    evidence_needed: Floats
    arms: list[str]

    @property
    def alertable(self) -> Floats:
        """Alert evidence for an incident of any kind, float64[n]."""
        return self.scored.verdicts.strongest

    @property
    def anomalous(self) -> Flags:
        """Whether the alert evidence of each event is at or beyond the threshold, bool[n]."""
        beyond: Flags = self.alertable >= self.evidence_needed
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
            self.effects,
            self.channels,
            self.severities,
            self.suppressed.most_severity,
        )


class Judge:
    """Decides which events are anomalous, of which kind they are, and which of them are suppressed.

    Parameters
    ----------
    settings : DecideSettings
    in_force : InForce
    kinds_of_members : list of str
        The kind of anomaly that each member looks for.
    point_kind : int
        The kind that stands for a point here: POINT for events, COLLECTIVE for aggregates of windows, which hold many events.
    """

    def __init__(
        self, settings: DecideSettings, in_force: InForce, kinds_of_members: list[Kind], point_kind: int = POINT
    ) -> None:
        self._in_force, self._kinds_of_members, self._point_kind = in_force, kinds_of_members, point_kind
        self._contextual = np.array([kind == "contextual" for kind in kinds_of_members], dtype=np.bool_)
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
        evidence = scored.verdicts.strongest
        beyond = evidence >= evidence_needed
        anomalous = beyond | violations.any
        effects = effects_of(scored, stretch.X, anomalous, evidence_needed)
        channels = first_to_speak(scored, self._kinds_of_members, kinds, anomalous)
        kinds = np.where(kinds == POINT, self._point_kind, kinds)
        suppressed = self._suppressor.look(beyond & ~violations.any, stretch, names, scored, evidence_needed, kinds)
        most = suppressed.most_severity
        severities = severities_of(evidence, evidence_needed, effects, most, violations, anomalous)
        judged = (effects, kinds, channels, severities, thresholds, evidence_needed, arms)
        return Judged(scored, violations, suppressed, *judged)
