"""The evidence of several members becomes one."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from streamgauge.models.contract import Flags, Floats


@njit(cache=True)
def combine(sizes: Floats, present: Flags, weights: Floats) -> Floats:
    """Weighted mean of the members' evidence, over the members that have some.

    Parameters
    ----------
    sizes : float64[n, members]
        Evidence, or anything else that is comparable between members.
    present : bool[n, members]
        Whether the member has scored the event.
    weights : float64[members]
        At least 0, not all 0.

    Returns
    -------
    float64[n]
        NaN where no member has scored the event.
    """
    combined = np.empty(sizes.shape[0])
    for i in range(sizes.shape[0]):
        total = together = 0.0
        for k in range(sizes.shape[1]):
            if present[i, k]:
                total += weights[k]
                together += weights[k] * sizes[i, k]
        combined[i] = together / total if total > 0.0 else math.nan
    return combined


@njit(cache=True)
def interval(combined: Floats, evidence: Floats, present: Flags) -> Floats:
    """Interval that the evidence of 90 % of ensembles of such members lies in: 1.645 standard errors of the members' mean.

    Parameters
    ----------
    combined : float64[n]
        Evidence of the ensemble.
    evidence : float64[n, members]
    present : bool[n, members]

    Returns
    -------
    float64[n, 2]
        Lower and upper end, at least 0; both are `combined` where fewer than two members have scored the event.
    """
    edges = np.empty((len(combined), 2))
    for i in range(len(combined)):
        n, mean, squares = 0, 0.0, 0.0
        for k in range(evidence.shape[1]):
            if present[i, k]:
                n += 1
                apart = evidence[i, k] - mean
                mean += apart / n
                squares += apart * (evidence[i, k] - mean)
        error = 1.645 * math.sqrt(squares / (n - 1) / n) if n > 1 else 0.0
        edges[i, 0], edges[i, 1] = max(combined[i] - error, 0.0), combined[i] + error
    return edges


@njit(cache=True)
def disagree(evidence: Floats, present: Flags) -> Floats:
    """How much the members disagree that have scored the event.

    Parameters
    ----------
    evidence : float64[n, members]
        Minus ln of each member's tail probability, at least 0.
    present : bool[n, members]

    Returns
    -------
    float64[n]
        0 (all have the same evidence) to 1 (one has some, another has none).
    """
    apart = np.zeros(evidence.shape[0])
    for i in range(evidence.shape[0]):
        high, low = 0.0, math.inf
        for k in range(evidence.shape[1]):
            if present[i, k]:
                high, low = max(high, evidence[i, k]), min(low, evidence[i, k])
        if high > 0.0:
            apart[i] = (high - low) / high
    return apart


def vote(evidence: Floats, present: Flags, weights: Floats, evidence_needed: float) -> Floats:
    """Weighted share of the members, of those that have scored the event, with at least so much evidence.

    Parameters
    ----------
    evidence : float64[n, members]
    present : bool[n, members]
    weights : float64[members]
    evidence_needed : float
        Evidence that counts as a vote.

    Returns
    -------
    float64[n]
        0 to 1; NaN where no member has scored the event.
    """
    share: Floats = combine((np.nan_to_num(evidence) >= evidence_needed).astype(np.float64), present, weights)
    return share


def consensus(evidence: Floats, present: Flags, weights: Floats) -> Floats:
    """The evidence that members of at least half of the weight have or exceed (the weighted median, the lower of two).

    Parameters
    ----------
    evidence : float64[n, members]
    present : bool[n, members]
    weights : float64[members]

    Returns
    -------
    float64[n]
        NaN where no member has scored the event.
    """
    known = np.where(present, evidence, -np.inf)
    order = np.argsort(-known, axis=1, kind="stable")
    falling = np.take_along_axis(known, order, axis=1)
    reached = np.take_along_axis(np.where(present, weights, 0.0), order, axis=1).cumsum(axis=1)
    total = reached[:, -1:] if reached.shape[1] else np.zeros((len(known), 1))
    at = np.argmax(reached >= 0.5 * total, axis=1)
    middle: Floats = falling[np.arange(len(known)), at] if reached.shape[1] else np.full(len(known), np.nan)
    return np.where((total[:, 0] > 0) & np.isfinite(middle), middle, np.nan)
