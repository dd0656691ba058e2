"""Dixon's Q: the gap between a value and its nearest neighbour, over the range of the sample."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.entity.sliding_window import WindowDetector, held, push
from streamgauge.models.errors import InputError

LEVELS = (0.20, 0.10, 0.05, 0.04, 0.02, 0.01)
# critical values of r10 for samples of 3 to 30, two-sided, at each level (Rorabacher, Analytical Chemistry 63, 1991)
CRITICAL = np.array(
    [
        [0.886, 0.679, 0.557, 0.482, 0.434, 0.399, 0.370, 0.349, 0.332, 0.318, 0.305, 0.294, 0.285, 0.277, 0.269, 0.263, 0.258, 0.252,
         0.247, 0.242, 0.238, 0.234, 0.230, 0.227, 0.224, 0.220, 0.218, 0.215],
        [0.941, 0.765, 0.642, 0.560, 0.507, 0.468, 0.437, 0.412, 0.392, 0.376, 0.361, 0.349, 0.338, 0.329, 0.320, 0.313, 0.306, 0.300,
         0.295, 0.290, 0.285, 0.281, 0.277, 0.273, 0.269, 0.266, 0.263, 0.260],
        [0.970, 0.829, 0.710, 0.625, 0.568, 0.526, 0.493, 0.466, 0.444, 0.426, 0.410, 0.396, 0.384, 0.374, 0.365, 0.356, 0.349, 0.342,
         0.337, 0.331, 0.326, 0.321, 0.317, 0.312, 0.308, 0.305, 0.301, 0.298],
        [0.976, 0.846, 0.729, 0.644, 0.586, 0.543, 0.510, 0.483, 0.460, 0.441, 0.425, 0.411, 0.399, 0.388, 0.379, 0.370, 0.363, 0.356,
         0.350, 0.344, 0.338, 0.333, 0.329, 0.324, 0.320, 0.316, 0.312, 0.309],
        [0.988, 0.889, 0.780, 0.698, 0.637, 0.590, 0.555, 0.527, 0.502, 0.482, 0.465, 0.450, 0.438, 0.426, 0.416, 0.407, 0.398, 0.391,
         0.384, 0.378, 0.372, 0.367, 0.362, 0.357, 0.353, 0.349, 0.345, 0.341],
        [0.994, 0.926, 0.821, 0.740, 0.680, 0.634, 0.598, 0.568, 0.542, 0.522, 0.503, 0.488, 0.475, 0.463, 0.452, 0.442, 0.433, 0.425,
         0.418, 0.411, 0.404, 0.399, 0.393, 0.388, 0.384, 0.380, 0.376, 0.372],
    ]
)  # fmt: skip
EVIDENCE = -np.log(np.array(LEVELS))
LARGEST = CRITICAL.shape[1] + 2  # sample in the table


class DixonQ(WindowDetector):
    """Minus the logarithm of the significance level at which Dixon's Q test would reject the new value.

    The sample is the last `window` values and the new one; ``Q = gap / range``. Levels between those of the table are interpolated, and
    beyond its last one continued. A value that is not the least or the largest has Q = 0. The score is ``m / (m + 3)``: a half at
    five per cent.

    Parameters
    ----------
    window : int
        Values remembered, 2 to 29: the table ends with samples of 30.
    warmup : int
        Values needed before a field is scored.

    Raises
    ------
    InputError
        The table has no critical values for such a window.

    Notes
    -----
    Dixon, Analysis of extreme values, Annals of Mathematical Statistics 21, 1950.
    """

    name: ClassVar[str] = "dixon_q"
    half_score: ClassVar[float] = 3.0

    def __init__(self, window: int = 20, warmup: int = 10) -> None:
        if not 2 <= window <= LARGEST - 1:
            raise InputError(
                f"dixon_q: window is {window}, but the table of critical values holds for 2 to {LARGEST - 1}"
            )
        super().__init__(window, warmup)

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        deviations, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _dixon(state, rows, X, self.window, self.warmup, learn, CRITICAL, EVIDENCE, deviations, expected)
        return deviations, expected


@njit(cache=True)
def _dixon(state, rows, X, window, warmup, learn, critical, evidence, deviations, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            if cell[0] >= max(warmup, 2):
                values = held(cell, window)
                low, high = values[0], values[-1]
                expected[i, f] = values[len(values) // 2]
                gap = x - high if x > high else min(0.0, x - low)
                deviations[i, f] = 0.0
                if gap != 0.0:
                    q = abs(gap) / (max(x, high) - min(x, low))
                    row = critical[:, len(values) + 1 - 3]
                    last_q, last_s, found = 0.0, 0.0, -1.0
                    for level in range(len(row)):
                        if q <= row[level]:
                            found = last_s + (q - last_q) / (row[level] - last_q) * (evidence[level] - last_s)
                            break
                        last_q, last_s = row[level], evidence[level]
                    if found < 0.0:  # beyond one per cent, as from two to one
                        slope = (evidence[-1] - evidence[-2]) / (row[-1] - row[-2])
                        found = evidence[-1] + slope * (q - row[-1])
                    deviations[i, f] = math.copysign(found, gap)
            if learn:
                push(cell, x, window)
