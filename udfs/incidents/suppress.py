"""Which anomalous events do not count (maintenance, direction, smallest effect that matters, feedback), and how severe others may be."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.incidents.effects import TO_BLAME
from streamgauge.udfs.incidents.kinds import KINDS
from streamgauge.udfs.incidents.severity import CRITICAL, HIGH, MEDIUM
from streamgauge.udfs.scoring.attribution import expected, shares
from streamgauge.udfs.scoring.scorer import Fields, Scored
from streamgauge.udfs.settings.pipeline import FieldSettings, in_maintenance

# Multiples of the smallest effect that matters. Below the first, severity is at most medium; below the second, at most high.
SMALL_EFFECT, LARGE_EFFECT = 2.0, 5.0
REASONS = ("maintenance", "small", "feedback")


@dataclass(slots=True)
class Suppressed:
    """Which anomalous events do not count.

    Attributes
    ----------
    events : bool[n]
        Whether the event is suppressed.
    most_severity : int64[n]
        The highest severity that the effect of the event may have; a place in `SEVERITIES`.
    reasons : dict of str to int
        Number of events suppressed for each of `REASONS`.
    """

    events: Flags
    most_severity: Ints
    reasons: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))

    def add(self, place: int, reason: str) -> None:
        """Suppress the event at a place, and count the reason."""
        self.events[place] = True
        self.reasons[reason] += 1


class Suppressor:
    """Finds the anomalous events that are to be suppressed.

    Parameters
    ----------
    fields : dict of str to FieldSettings
        By field: the direction that matters, and the smallest effect that matters.
    in_force : InForce
        Maintenance windows and feedback.
    """

    def __init__(self, fields: dict[str, FieldSettings], in_force: InForce) -> None:
        self._fields, self._in_force = fields, in_force

    def look(
        self, anomalous: Flags, stretch: Stretch, names: Fields, scored: Scored, evidence_needed: Floats, kinds: Ints
    ) -> Suppressed:
        """Find the events that are to be suppressed, and bound the severity of the others.

        Parameters
        ----------
        anomalous : bool[n]
            Whether the event is at or beyond the threshold and breaks no rule.
        stretch : Stretch
        names : Fields
        scored : Scored
        evidence_needed : float64[n]
            Evidence at the threshold of each event.
        kinds : int64[n]
            Kind of incident that each event would be; codes of `kinds`.
        """
        found = Suppressed(np.zeros(len(stretch), np.bool_), np.full(len(stretch), CRITICAL))
        events, feedback = stretch.events, self._in_force.feedback
        for i in np.flatnonzero(anomalous).tolist():  # one by one: anomalous events are few
            if in_maintenance(self._in_force.maintenance, events.entities[i], int(events.times[i])):
                found.add(i, "maintenance")
                continue
            if not self._fields and not feedback:
                continue
            needed, x = float(evidence_needed[i]), stretch.X[i]
            share = shares(i, len(x), scored.opinions.categories.shape[1], scored.opinions, scored.verdicts)
            usual = expected(i, len(x), scored.opinions)
            if self._fields:
                effect = _effect(x, names.numeric, share, usual, self._fields)
                if effect < 1.0:
                    found.add(i, "small")
                    continue
                found.most_severity[i] = (
                    MEDIUM if effect < SMALL_EFFECT else HIGH if effect < LARGE_EFFECT else CRITICAL
                )
            if feedback:
                blamed = int(share.argmax())
                is_numeric = blamed < len(x)
                name = names.numeric[blamed] if is_numeric else names.text[blamed - len(x)]
                # as `feedback.most_to_blame` says of the alert
                pattern = events.entities[i], KINDS[int(kinds[i])], name if share[blamed] > 0 else None
                effect = abs(float(x[blamed]) - float(usual[blamed])) if is_numeric else math.nan
                evidence = float(scored.verdicts.by_kind[i].max())
                if feedback.hides(pattern, int(events.times[i]), evidence, needed, effect):
                    found.add(i, "feedback")
        return found


def _effect(x: Floats, columns: list[str], share: Floats, usual: Floats, fields: dict[str, FieldSettings]) -> float:
    """The largest effect of the fields to blame, as a multiple of the smallest effect that matters, at least 0.

    The effect of a field is its value less its expected value; an effect in a direction that does not matter counts as 0. Below 1, the
    event does not matter. Infinity if a field to blame has no such settings, or its expected value is not known: then the event matters.
    """
    largest = 0.0
    for f in np.flatnonzero(share >= min(TO_BLAME, float(share.max(initial=0.0)))).tolist():
        matters = fields.get(columns[f]) if f < len(columns) else None
        if matters is None:
            return math.inf
        expected_value = float(usual[f])  # and not numpy's numbers, which warn beyond the largest float
        effect = float(x[f]) - expected_value
        if math.isnan(effect):
            return math.inf
        if {"above": effect > 0, "below": effect < 0, "both": True}[matters.direction]:
            smallest = max(matters.absolute, matters.relative * abs(expected_value))
            largest = max(largest, abs(effect) / smallest if smallest > 0 else math.inf)
    return largest
