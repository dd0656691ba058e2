"""A share of what was counted, with its interval. No library is needed for it, so programs without numerical ones can use it."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float, float]:
    """A share and its interval (Wilson's); 0.5, and all that is possible, where there is nothing.

    Parameters
    ----------
    hits, of : int
    confidence : float

    Notes
    -----
    Wilson, Journal of the American Statistical Association 22, 1927; `scipy.stats.binomtest` tests the share besides, which takes
    longer.
    """
    if of == 0:
        return 0.5, 0.0, 1.0
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    share = hits / of
    centre = (hits + z * z / 2.0) / (of + z * z)
    half = z / (of + z * z) * math.sqrt(of * share * (1.0 - share) + z * z / 4.0)
    return share, 0.0 if hits == 0 else centre - half, 1.0 if hits == of else centre + half
