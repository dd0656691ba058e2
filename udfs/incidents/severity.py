"""How severe an event is: by its rarity, and by the size of its effect."""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.incidents.effects import TENFOLD, Effects
from streamgauge.udfs.incidents.kinds import SEVERITIES
from streamgauge.udfs.incidents.rules import Violations

LOW, MEDIUM, HIGH, CRITICAL = range(4)
RARER = (1.0, 2.0, 4.0)  # powers of ten beyond the threshold from which on an event is medium, high, critical
# An effect of less than `SMALL` usual variations and less than `SMALL_SHARE` of the expected value is low. One of less than `MODERATE`
# usual variations is at most medium. One of at least `LARGE` usual variations and `LARGE_SHARE` of the expected value is a step more
# severe.
SMALL, SMALL_SHARE, MODERATE, LARGE, LARGE_SHARE = 3.0, 0.1, 6.0, 10.0, 0.5


def important(severity: str, entity: str, importance: dict[str, int]) -> str:
    """A severity, raised or lowered by the importance of the entity.

    Parameters
    ----------
    severity : str
        One of `SEVERITIES`.
    entity : str
    importance : dict of str to int
        Steps up (or down, if negative) by pattern of entities; the first pattern that matches decides.
    """
    steps = next((steps for pattern, steps in importance.items() if fnmatchcase(entity, pattern)), 0)
    return SEVERITIES[min(max(SEVERITIES.index(severity) + steps, LOW), CRITICAL)]


def severities_of(
    evidence: Floats, evidence_needed: Floats, effects: Effects, most: Ints, violations: Violations, anomalous: Flags
) -> Ints:
    """The severity of each anomalous event.

    Parameters
    ----------
    evidence, evidence_needed : float64[n]
        Alert evidence of each event, and at its threshold.
    effects : Effects
    most : int64[n]
        The highest severity that the settings allow for the effect of each event.
    violations : Violations
        An event that breaks rules has at least the highest severity of these rules.
    anomalous : bool[n]
        The events to look at.

    Returns
    -------
    int64[n]
        Places in `SEVERITIES`; `LOW` for events that are not anomalous.
    """
    found = np.zeros(len(evidence), np.int64)
    for i in np.flatnonzero(anomalous).tolist():
        if evidence[i] >= evidence_needed[i]:
            rarity = _by_rarity(float(evidence[i]), float(evidence_needed[i]))
            found[i] = min(_with_size(rarity, effects, i), int(most[i]))
        for rule in violations.broken_by(i):
            found[i] = max(found[i], SEVERITIES.index(rule.severity))
    return found


def _by_rarity(evidence: float, evidence_needed: float) -> int:
    beyond = (evidence - evidence_needed) / TENFOLD
    return sum(beyond >= powers for powers in RARER)


def _with_size(rarity: int, effects: Effects, i: int) -> int:
    """The severity by rarity, bounded or raised by the size of the effect."""
    severity, size, relative = rarity, float(effects.sizes[i]), float(effects.relative[i])
    if effects.steady[i]:
        severity = LOW  # its usual variation is not known
    elif size < SMALL and relative < SMALL_SHARE:
        severity = LOW
    elif size < MODERATE:
        severity = min(severity, MEDIUM)
    elif size >= LARGE and relative >= LARGE_SHARE:
        severity = min(severity + 1, CRITICAL)
    return max(severity, HIGH) if effects.nothing_left[i] else severity
