"""Slow drift: the mean of many values moves away from where it has always been."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import ROUNDING, deviation_of
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel

ANCHOR, VARIANCE, SLOW, BLOCK, INSIDE, BETWEEN, BLOCKS, BEYOND = range(1, 9)
CLIP = 3.0  # standard deviations that a single value counts at most
SURE = 8.0  # deviation at which a drift is certain
LEAST_BLOCKS = 4.0
FREEDOM = 8.0  # degrees of Student's distribution: the variance of means is known from few of them


class SlowDrift(EntityDetector):
    """Deviation of a slow mean from an anchor, in standard deviations of means of so many values.

    The anchor is the mean of the whole past, up to `memory` values; suspicious ones have less weight. It follows so slowly that a ramp
    of a tenth of a standard deviation in `span` values is found. A drift that stays certain for `span` values is the new anchor. The
    raw score is evidence by Student's distribution, as the variance is known from few means. The score is ``m / (m + 6)``.

    Parameters
    ----------
    span : int
        Values of the slow mean.
    memory : int
        Values that the anchor remembers.
    warmup : int
        Values needed before a field is scored; at least four times `span` are.

    Notes
    -----
    An exponentially weighted control chart (Roberts, Technometrics 1, 1959) whose limits come from the variance of batch means.
    """

    name: ClassVar[str] = "slow_drift"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    half_score: ClassVar[float] = 6.0
    in_nats: ClassVar[bool] = True
    pooled = "rarest"
    anomaly_kind = "drift"
    input_kind = "residuals"

    def __init__(self, span: int = 300, memory: int = 10_000, warmup: int = 1200) -> None:
        self.span = span
        self.memory = memory
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return 9

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        deviations, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _drift(state, rows, X, self.span, self.memory, self.warmup, learn, deviations, expected)
        return deviations, expected


@kernel
def _drift(state, rows, X, span, memory, warmup, learn, deviations, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    gain = 2.0 / (span + 1.0)
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            count = cell[0]
            anchor, slow = cell[ANCHOR], cell[SLOW]
            if count == 0.0:
                anchor = slow = x
            deviation = deviation_of(cell[VARIANCE], anchor)
            near = x
            if deviation > 0.0 and count >= 20.0:
                near = min(max(x, slow - CLIP * deviation), slow + CLIP * deviation)
            # in the beginning, the slow mean is a plain one
            slow += max(gain, 1.0 / (count + 1.0)) * (near - slow)
            far = 0.0
            if count >= warmup and cell[BLOCKS] >= LEAST_BLOCKS:
                error = math.sqrt(max(cell[BETWEEN], cell[VARIANCE] / span))
                expected[i, f] = anchor
                far = 0.0
                if error > ROUNDING * abs(anchor):
                    far = (slow - anchor) / error
                elif slow != anchor:
                    far = math.copysign(math.sqrt(count) * gain, slow - anchor)
                deviations[i, f] = math.copysign(0.5 * (FREEDOM + 1.0) * math.log1p(far * far / FREEDOM), far)
            if not learn:
                continue
            cell[SLOW] = slow
            away = near - anchor
            cell[BEYOND] = cell[BEYOND] + 1.0 if abs(far) >= SURE else 0.0
            if cell[BEYOND] >= span:
                cell[ANCHOR], cell[0] = slow, min(count, 4.0 * span)
                cell[BEYOND] = cell[BLOCK] = cell[INSIDE] = 0.0
                continue
            step = max(1.0 / (count + 1.0), 1.0 / memory)
            cell[0] = count + 1.0
            # what is far off moves the anchor less, so that slow poisoning cannot carry it along
            cell[ANCHOR] = anchor + step * away / max(1.0, 0.5 * abs(far))
            spread = near - slow
            cell[VARIANCE] += max(1.0 / (count + 1.0), 1.0 / memory) * (spread * spread - cell[VARIANCE])
            cell[BLOCK] += near - anchor
            cell[INSIDE] += 1.0
            if cell[INSIDE] >= span:
                block = cell[BLOCK] / cell[INSIDE]
                cell[BLOCKS] += 1.0
                known = cell[BLOCKS] > LEAST_BLOCKS and cell[BETWEEN] > 0.0  # 0 if nothing varied until now
                most = 4.0 * cell[BETWEEN] if known else math.inf
                cell[BETWEEN] += max(1.0 / cell[BLOCKS], span / memory) * (min(block * block, most) - cell[BETWEEN])
                cell[BLOCK] = cell[INSIDE] = 0.0
