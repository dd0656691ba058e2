"""Standard deviations that are more than rounding."""

from __future__ import annotations

import math

from numba import njit

ROUNDING = 1e-9  # share of the mean: a smaller standard deviation is rounding


@njit(cache=True)
def deviation_of(variance, about):  # type: ignore[no-untyped-def]
    """Root of a variance; 0 where it is no more than rounding of values about `about`."""
    deviation = math.sqrt(variance)
    return deviation if deviation > ROUNDING * abs(about) else 0.0
