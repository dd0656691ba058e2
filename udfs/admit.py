"""Verdicts to what counts: maintenance, direction, the smallest effect that matters, and fields that never varied before."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from streamgauge.models.contract import Flags, Floats
from streamgauge.udfs.attribute import expected, shares
from streamgauge.udfs.records import Events, Opinions, Verdicts
from streamgauge.udfs.settings import FieldSettings, Maintenance

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
    maintenance, small : int
        Events muted because of maintenance, and because of direction or effect.
    """

    muted: Flags
    severest: Floats
    maintenance: int = 0
    small: int = 0


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
    lowest: float,
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
    lowest : float
        Largest surprise of the lowest severity.
    """
    told = Admitted(np.zeros(len(X), np.bool_), np.full(len(X), np.inf))
    for i in np.flatnonzero(surprising).tolist():
        if in_maintenance(maintenance, events.entities[i], int(events.times[i])):
            told.muted[i] = True
            told.maintenance += 1
            continue
        if not fields and not steady[i].any():
            continue
        share = shares(i, X.shape[1], opinions.categories.shape[1], opinions, verdicts)
        if share[: X.shape[1]][steady[i]].sum() >= MOST_OF_IT:
            told.severest[i] = lowest
        if fields and not _matters(X[i], columns, share, expected(i, X.shape[1], opinions), fields):
            told.muted[i] = True
            told.small += 1
    return told


def _matters(x: Floats, columns: list[str], share: Floats, usual: Floats, fields: dict[str, FieldSettings]) -> bool:
    """Whether a field that is to blame lies in its direction, and far enough."""
    blamed = np.flatnonzero(share >= min(TO_BLAME, float(share.max(initial=0.0))))
    for f in blamed.tolist():
        if f >= len(columns):  # a text field
            return True
        wanted = fields.get(columns[f])
        away = x[f] - usual[f]
        if wanted is None or np.isnan(away):
            return True
        direction = {"above": away > 0, "below": away < 0, "both": True}[wanted.direction]
        if direction and abs(away) >= wanted.absolute and abs(away) >= wanted.relative * abs(usual[f]):
            return True
    return False
