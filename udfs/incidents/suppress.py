"""Which anomalous events do not count: maintenance, direction, the smallest effect that matters, feedback. And how severe others may be."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.incidents.kinds import KINDS
from streamgauge.udfs.incidents.lifecycle import TENFOLD
from streamgauge.udfs.scoring.attribution import expected, shares
from streamgauge.udfs.scoring.scorer import Fields, Scored
from streamgauge.udfs.settings.pipeline import FieldSettings, in_maintenance

# times the smallest effect that matters: below the first, severity is medium at the most; below the second, high
SMALL_EFFECT, LARGE_EFFECT = 2.0, 5.0
# times ten that an event may be rarer than the threshold, at the most, for a severity
LOW, MEDIUM, HIGH = 0.99, 1.99, 3.99
TO_BLAME = 0.25  # share of an event that a field must have, or the largest
MOST_OF_IT = 0.5  # share of fields that never varied, from which on nobody knows how much their change means
REASONS = ("maintenance", "small", "feedback")


@dataclass(slots=True)
class Suppressed:
    """Which anomalous events do not count.

    Attributes
    ----------
    events : bool[n]
        They do not count.
    most_evidence : float64[n]
        Evidence that an event can have at the most when its severity is told; infinity is no bound.
    reasons : dict of str to int
        Events suppressed by each of `REASONS`.
    """

    events: Flags
    most_evidence: Floats
    reasons: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))

    def add(self, place: int, reason: str) -> None:
        """Suppress an event."""
        self.events[place] = True
        self.reasons[reason] += 1


class Suppressor:
    """Looks at the anomalous events one by one: they are few.

    Parameters
    ----------
    fields : dict of str to FieldSettings
        Direction and smallest effect that matters, by field.
    in_force : InForce
        Maintenance windows and feedback.
    """

    def __init__(self, fields: dict[str, FieldSettings], in_force: InForce) -> None:
        self._fields, self._in_force = fields, in_force

    def look(
        self, anomalous: Flags, stretch: Stretch, names: Fields, scored: Scored, evidence_needed: Floats, kinds: Ints
    ) -> Suppressed:
        """Find the events that do not count.

        Parameters
        ----------
        anomalous : bool[n]
            At or beyond the threshold, and no broken rule.
        stretch : Stretch
        names : Fields
        scored : Scored
        evidence_needed : float64[n]
            Evidence at the threshold of each event.
        kinds : int64[n]
            Kind of incident that each event would be.
        """
        found = Suppressed(np.zeros(len(stretch), np.bool_), np.full(len(stretch), np.inf))
        events, feedback = stretch.events, self._in_force.feedback
        for i in np.flatnonzero(anomalous).tolist():
            if in_maintenance(self._in_force.maintenance, events.entities[i], int(events.times[i])):
                found.add(i, "maintenance")
                continue
            if not self._fields and not feedback and not scored.steady[i].any():
                continue
            needed, x = float(evidence_needed[i]), stretch.X[i]
            share = shares(i, len(x), scored.opinions.categories.shape[1], scored.opinions, scored.verdicts)
            usual = expected(i, len(x), scored.opinions)
            if share[: len(x)][scored.steady[i]].sum() >= MOST_OF_IT:
                found.most_evidence[i] = needed + LOW * TENFOLD
            if self._fields:
                effect = _effect(x, names.numeric, share, usual, self._fields)
                if effect < 1.0:
                    found.add(i, "small")
                    continue
                steps = MEDIUM if effect < SMALL_EFFECT else HIGH if effect < LARGE_EFFECT else math.inf
                found.most_evidence[i] = min(found.most_evidence[i], needed + steps * TENFOLD)
            if feedback:
                most = int(share.argmax())
                number = most < len(x)
                name = names.numeric[most] if number else names.text[most - len(x)]
                pattern = events.entities[i], KINDS[int(kinds[i])], name
                effect = abs(x[most] - usual[most]) if number else math.nan
                evidence = float(scored.verdicts.by_kind[i].max())
                if feedback.hides(pattern, int(events.times[i]), evidence, needed, float(effect)):
                    found.add(i, "feedback")
        return found


def _effect(x: Floats, columns: list[str], share: Floats, usual: Floats, fields: dict[str, FieldSettings]) -> float:
    """How many times the smallest effect that matters the effect is, at the most of the fields to blame; below 1 it does not matter.

    Infinity where nothing is declared, or known.
    """
    largest = 0.0
    for f in np.flatnonzero(share >= min(TO_BLAME, float(share.max(initial=0.0)))).tolist():
        wanted = fields.get(columns[f]) if f < len(columns) else None
        effect = math.nan if wanted is None else x[f] - usual[f]
        if wanted is None or math.isnan(effect):
            return math.inf
        if {"above": effect > 0, "below": effect < 0, "both": True}[wanted.direction]:
            least = max(wanted.absolute, wanted.relative * abs(usual[f]))
            largest = max(largest, abs(effect) / least if least > 0 else math.inf)
    return largest
