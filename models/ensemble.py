"""Several detectors, one opinion."""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Flags, Floats


def combine(surprises: Floats, present: Flags, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean of the members' surprises, over the members that have an opinion.

    The mean of logarithms of tail probabilities (Fisher's method, up to scale) keeps what only one member sees
    without letting one noisy member decide alone.

    Parameters
    ----------
    surprises : float64[n, members]
        Minus ln of each member's tail probability, at least 0.
    present : bool[n, members]
        Whether the member has an opinion on the event.
    weights : float64[members]
        At least 0, not all 0.

    Returns
    -------
    combined : float64[n]
        NaN where no member has an opinion.
    disagreement : float64[n]
        0 (all members equally surprised) to 1 (one is, the others are not at all).
    """
    w = np.where(present, weights, 0.0)
    total = w.sum(axis=1)
    values = np.where(present, surprises, 0.0)
    mean = np.divide((values * w).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)
    high = values.max(axis=1, initial=0.0)
    low = np.where(present, surprises, np.inf).min(axis=1, initial=np.inf)
    spread = np.divide(high - low, high, out=np.zeros(len(total)), where=(high > 0) & np.isfinite(low))
    return mean, spread
