"""Which data may be trained on: no single entity, no repeated events and no strange minority may decide what is usual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.errors import InputError
from streamgauge.models.evaluation.drift import population_stability, reference_of

MOST_OF_ONE, TIMES_EVEN = 0.2, 3.0  # largest share of the events of one entity, or so many times an even share
MOST_REPEATED = 0.5  # share of events that are exact copies of others
# A minority beyond a gap of so many robust deviations, where nothing was before, is an incident or poison; MINORITY is its largest share.
FAR, MINORITY = 8.0, 0.4
WIDE = 0.5  # of the way from the middle, that a gap spans
FEW = 0.005  # share of events beyond a gap that are just the ends of a distribution


@dataclass(frozen=True, slots=True)
class Examined:
    """Result of examining data.

    Attributes
    ----------
    kept : bool[n]
        False for the oldest events of an entity that has too many, and for a minority that is far from the rest.
    crowded, far, repeated : float
        Shares of the events: of entities that have too many; of such a minority; copies of others.
    moving : float
        Population stability index between the two halves, of the field that moves most; above 0.25, the data change over time.
    """

    kept: Flags
    crowded: float
    far: float
    repeated: float
    moving: float

    @property
    def figures(self) -> dict[str, float]:
        """The shares, rounded, by name."""
        shares = {"crowded": self.crowded, "far": self.far, "repeated": self.repeated, "moving": self.moving}
        return {name: round(number, 4) for name, number in shares.items()}


def examine(X: Floats, groups: Ints, low: Floats | None = None, high: Floats | None = None) -> Examined:
    """Examine data before a model is trained on them.

    Parameters
    ----------
    X : float64[n, d]
        In order; NaN is missing.
    groups : int64[n]
        Entity of each row.
    low, high : float64[d], optional
        Range of each field in the data of the last training: values within it are never far from the rest; NaN is unknown.

    Raises
    ------
    InputError
        Most of the events are copies of others.
    """
    even = _even(groups)
    part = X[even]
    none = np.full(X.shape[1], np.nan)
    away = _apart(part, none if low is None else low, none if high is None else high)
    # NaN equals nothing, so a copy of an event with a missing value would be none
    _, counts = np.unique(np.where(np.isnan(part), np.inf, part), axis=0, return_counts=True)
    repeated = 1.0 - len(counts) / max(len(part), 1)
    if repeated > MOST_REPEATED and _varied(part):
        raise InputError(
            f"{repeated:.0%} of the events are copies of others, {MOST_REPEATED:.0%} are allowed: does a producer send again?"
        )
    kept = even.copy()
    kept[even] = ~away
    half = kept.sum() // 2
    first, second = X[kept][:half], X[kept][half:]
    reference = reference_of(first)
    moving = float(population_stability(reference.shares, reference.counts(second)).max(initial=0.0))
    n = max(len(X), 1)
    return Examined(kept, float((~even).sum() / n), float(away.sum() / n), repeated, moving)


def _even(groups: Ints) -> Flags:
    """True for the newest events of each entity, as many as it may have."""
    n = len(groups)
    entities, counts = np.unique(groups, return_counts=True)
    kept = np.ones(n, np.bool_)
    for entity, count in zip(entities.tolist(), counts.tolist(), strict=True):
        most = max(MOST_OF_ONE, TIMES_EVEN / len(entities)) * n
        if count > most:
            kept[np.flatnonzero(groups == entity)[: count - int(most)]] = False
    return kept


def _varied(X: Floats) -> bool:
    """Whether some field has many values, so that copies are unlikely."""
    return any(len(np.unique(column[~np.isnan(column)])) > len(X) / 10 for column in X.T)


def _apart(X: Floats, low: Floats, high: Floats) -> Flags:
    """Events of a minority beyond a gap, and beyond the range from before, in some field."""
    away = np.zeros(len(X), np.bool_)
    for f, column in enumerate(X.T):
        values = np.sort(column[np.isfinite(column)])
        n = len(values)
        deviation = 1.4826 * np.median(np.abs(values - values[n // 2])) if n else 0.0
        if deviation <= 0.0:
            continue
        gaps = np.diff(values)
        few, many = int(FEW * n), int(MINORITY * n)
        for side, part in ((1, slice(n - many - 1, n - few - 1)), (-1, slice(few, many))):
            if not len(gaps[part]) or gaps[part].max() <= FAR * deviation:
                continue
            at = part.start + int(gaps[part].argmax())
            edge = values[at + 1] if side > 0 else values[at]
            if gaps[at] < WIDE * abs(edge - values[n // 2]):  # ends of a heavy tail
                continue
            known = high[f] if side > 0 else low[f]
            if np.isnan(known) or side * (edge - known) > 0:
                away |= side * (column - edge) >= 0
    return away
