"""Standard deviations that are more than rounding, and values whose powers are finite."""

from __future__ import annotations

import math

from streamgauge.models.kernel import kernel

# Share of the mean: a smaller standard deviation is rounding. A running mean in float64 could hardly follow such values.
ROUNDING = 1e-12
LARGEST = 1e70  # values are limited to this, so that sums of their fourth powers are finite


@kernel
def deviation_of(variance, about):  # type: ignore[no-untyped-def]
    """Root of a variance; 0 where it is no more than rounding of values about `about`."""
    deviation = math.sqrt(variance)
    return deviation if deviation > ROUNDING * abs(about) else 0.0
