"""Verdicts to what counts: maintenance, direction, the smallest effect that matters, and fields that never varied before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.control.feedback import Heard
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.incidents.lifecycle import KINDS, TENFOLD
from streamgauge.udfs.scoring.attribution import expected, shares
from streamgauge.udfs.scoring.opinions import Opinions, Verdicts
from streamgauge.udfs.settings.pipeline import FieldSettings, Maintenance

# times the smallest effect that matters: below, severity is medium or high at the most
SMALL_EFFECT, LARGE_EFFECT = 2.0, 5.0
# times ten that an event may be rarer than the threshold, at the most, for a severity
LOW, MEDIUM, HIGH = 0.99, 1.99, 3.99
TO_BLAME = 0.25  # share of an event that a field must have, or the largest
MOST_OF_IT = 0.5  # share of fields that never varied, from which on nobody knows how much their change means


@dataclass(slots=True)
class Admitted:
    """Which of the surprising events count, and how much.

    Attributes
    ----------
    muted : bool[n]
        They do not count.
    severest : float64[n]
        Surprise that an event can have at the most when its severity is told; infinity is no limit.
    maintenance, small, feedback : int
        Events muted because of maintenance, because of direction or effect, and because of what people said of such alerts.
    """

    muted: Flags
    severest: Floats
    maintenance: int = 0
    small: int = 0
    feedback: int = 0


def in_maintenance(windows: tuple[Maintenance, ...], entity: str, time: int) -> bool:
    """Whether an entity is in maintenance at a time, in milliseconds."""
    return any(
        w.start.timestamp() * 1000 <= time < w.end.timestamp() * 1000 and fnmatchcase(entity, w.entities)
        for w in windows
    )


def admit(
    surprising: Flags,
    events: Events,
    X: Floats,
    columns: list[str],
    steady: Flags,
    opinions: Opinions,
    verdicts: Verdicts,
    fields: dict[str, FieldSettings],
    maintenance: tuple[Maintenance, ...],
    limits: Floats,
    kinds: Ints,
    text_fields: list[str],
    heard: Heard,
) -> Admitted:
    """Look at the surprising events one by one: they are few.

    Parameters
    ----------
    surprising : bool[n]
        At or beyond the threshold.
    events : Events
    X : float64[n, d]
    columns : list of str
    steady : bool[n, d]
        Values of fields that never varied before.
    opinions, verdicts
        Who is to blame.
    fields : dict of str to FieldSettings
    maintenance : tuple of Maintenance
    limits : float64[n]
        Surprise of each event's threshold.
    kinds : int64[n]
        Of incident that each event would be.
    text_fields : list of str
    heard : Heard
        What people said of such alerts.
    """
    told = Admitted(np.zeros(len(X), np.bool_), np.full(len(X), np.inf))
    if not surprising.any():
        return told
    total = verdicts.total
    for i in np.flatnonzero(surprising).tolist():
        if in_maintenance(maintenance, events.entities[i], int(events.times[i])):
            told.muted[i] = True
            told.maintenance += 1
            continue
        if not fields and not heard and not steady[i].any():
            continue
        limit = float(limits[i])
        share = shares(i, X.shape[1], opinions.categories.shape[1], opinions, verdicts)
        usual = expected(i, X.shape[1], opinions)
        if share[: X.shape[1]][steady[i]].sum() >= MOST_OF_IT:
            told.severest[i] = limit + LOW * TENFOLD
        if fields:
            effect = _effect(X[i], columns, share, usual, fields)
            if effect < 1.0:
                told.muted[i] = True
                told.small += 1
                continue
            steps = MEDIUM if effect < SMALL_EFFECT else HIGH if effect < LARGE_EFFECT else math.inf
            told.severest[i] = min(told.severest[i], limit + steps * TENFOLD)
        if heard:
            most = int(share.argmax())
            number = most < len(columns)
            field = columns[most] if number else text_fields[most - len(columns)]
            pattern = events.entities[i], KINDS[int(kinds[i])], field
            away = abs(X[i, most] - usual[most]) if number else math.nan
            if heard.hides(pattern, int(events.times[i]), float(total[i]), limit, float(away)):
                told.muted[i] = True
                told.feedback += 1
    return told


def _effect(x: Floats, columns: list[str], share: Floats, usual: Floats, fields: dict[str, FieldSettings]) -> float:
    """How many times the smallest effect that matters the effect is, at the most of the fields to blame; below 1 it does not matter.

    Infinity where nothing is declared, or known.
    """
    largest = 0.0
    for f in np.flatnonzero(share >= min(TO_BLAME, float(share.max(initial=0.0)))).tolist():
        wanted = fields.get(columns[f]) if f < len(columns) else None
        away = math.nan if wanted is None else x[f] - usual[f]
        if wanted is None or math.isnan(away):
            return math.inf
        if {"above": away > 0, "below": away < 0, "both": True}[wanted.direction]:
            least = max(wanted.absolute, wanted.relative * abs(usual[f]))
            largest = max(largest, abs(away) / least if least > 0 else math.inf)
    return largest
