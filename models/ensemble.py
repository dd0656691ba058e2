"""Several detectors, one opinion."""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Flags, Floats


def combine(sizes: Floats, present: Flags, weights: Floats) -> Floats:
    """Weighted mean of the members' opinions, over the members that have one.

    Parameters
    ----------
    sizes : float64[n, members]
        Comparable between members: surprises in nats, or logarithms of magnitudes relative to a quantile.
    present : bool[n, members]
        Whether the member has an opinion on the event.
    weights : float64[members]
        At least 0, not all 0.

    Returns
    -------
    float64[n]
        NaN where no member has an opinion.
    """
    w = np.where(present, weights, 0.0)
    total = w.sum(axis=1)
    sums = (np.where(present, sizes, 0.0) * w).sum(axis=1)
    return np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0)


def most_surprised(surprises: Floats, present: Flags) -> Floats:
    """What the most surprised member alone is worth: its surprise less the logarithm of how many were asked (Bonferroni).

    A mean hides what one member sees and the others cannot, such as a value far beyond all others.

    Parameters
    ----------
    surprises : float64[n, members]
        Minus ln of each member's tail probability, at least 0.
    present : bool[n, members]

    Returns
    -------
    float64[n]
        At least 0.
    """
    asked = np.maximum(present.sum(axis=1), 1)
    alone: Floats = np.where(present, surprises, 0.0).max(axis=1, initial=0.0) - np.log(asked)
    return np.maximum(alone, 0.0)


def interval(surprise: Floats, surprises: Floats, present: Flags) -> Floats:
    """Where 90 % of ensembles of such members would see an event: 1.645 standard errors of the members' mean around what they said.

    Parameters
    ----------
    surprise : float64[n]
        Of all together.
    surprises : float64[n, members]
    present : bool[n, members]

    Returns
    -------
    float64[n, 2]
        Lower and upper surprise, at least 0; no width where fewer than two members have an opinion.
    """
    n = present.sum(axis=1)
    many = np.maximum(n, 1)
    mean = np.where(present, surprises, 0.0).sum(axis=1) / many
    squares = (np.where(present, surprises - mean[:, None], 0.0) ** 2).sum(axis=1)
    error = np.where(n > 1, 1.645 * np.sqrt(squares / np.maximum(n - 1, 1) / many), 0.0)
    return np.column_stack((np.maximum(surprise - error, 0.0), surprise + error))


def disagree(surprises: Floats, present: Flags) -> Floats:
    """How far the members that have an opinion are apart.

    Parameters
    ----------
    surprises : float64[n, members]
        Minus ln of each member's tail probability, at least 0.
    present : bool[n, members]

    Returns
    -------
    float64[n]
        0 (all equally surprised) to 1 (one is, another is not at all).
    """
    high = np.where(present, surprises, 0.0).max(axis=1, initial=0.0)
    low = np.where(present, surprises, np.inf).min(axis=1, initial=np.inf)
    return np.divide(high - low, high, out=np.zeros(len(high)), where=(high > 0) & np.isfinite(low))
