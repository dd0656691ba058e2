"""Few points of a long series: none of its spikes is lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from streamgauge.models.contract import Floats, Ints

BUCKETS = 800  # of a plot: each shows its smallest and its largest value


def thinned(values: Floats, buckets: int = BUCKETS) -> Ints:
    """Places of the smallest and of the largest value of each of many buckets, in order; all places, if there are few.

    Parameters
    ----------
    values : float64[n]
        NaN is missing. A bucket without any value gives one place, so that the line has a gap there.
    buckets : int
    """
    if len(values) <= 2 * buckets:
        return np.arange(len(values))
    places: list[int] = []
    for first, after in pairwise(np.linspace(0, len(values), buckets + 1).astype(np.int64).tolist()):
        part = values[first:after]
        if np.isnan(part).all():
            places.append(first)
        else:
            places += sorted({first + int(np.nanargmin(part)), first + int(np.nanargmax(part))})
    return np.array(places, np.int64)
