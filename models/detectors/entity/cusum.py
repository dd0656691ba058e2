"""CUSUM: a run of deviations to one side, each too small to be found by itself."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import deviation_of
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel

MEAN, VARIANCE, UP, UP_LENGTH, DOWN, DOWN_LENGTH, SINCE, SINCE_VALUES = range(1, 9)
BLOCK = 9  # sum, values, variance of means, blocks
CLIP = 3.0  # standard deviations that a single value counts at most
LENGTH = 32.0  # values of a block: from how much the means of blocks vary follows which runs are usual
RECALLED = 40.0  # blocks that are remembered
LEAST_BLOCKS = 3.0
SUSPECT = 5.0  # from this sum on, nothing is learned
MOST = 25.0  # the largest sum, so that it falls soon after the last value of a run


class Cusum(EntityDetector):
    """The larger of two cumulative sums of deviations from the mean, upwards and downwards, less an allowance.

    Deviations are divided by how much means of 32 values vary: a field that wanders by nature needs longer runs. While a sum is
    suspicious, mean and variance are not learned. After `settle` values it is a new level: it is learned, and the sums start at 0. The
    score is ``m / (m + 10)``.

    The raw score is evidence: the sum times twice the allowance. The sum of a field without a shift exceeds h with a probability of
    about ``exp(-2 allowance h)``.

    Parameters
    ----------
    allowance : float
        Taken off each deviation: half of the smallest shift that is to be found, in standard deviations.
    settle : int
        Values after which a shift is the new level.
    memory : int
        Values that mean and variance remember.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Page, Biometrika 41, 1954; its distribution: Siegmund, Sequential Analysis, 1985; for dependent values, scaled by their
    long-run variance: Johnson and Bagshaw, Technometrics 16, 1974.
    """

    name: ClassVar[str] = "cusum"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    half_score: ClassVar[float] = 10.0
    pooled = "rarest"
    in_nats: ClassVar[bool] = True
    anomaly_kind = "collective"
    input_kind = "own"

    def __init__(self, allowance: float = 0.35, settle: int = 200, memory: int = 5000, warmup: int = 100) -> None:
        self.allowance = allowance
        self.settle = settle
        self.memory = memory
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return BLOCK + 4

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        sums, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _sums(state, rows, X, self.allowance, self.settle, self.memory, self.warmup, learn, sums, expected)
        return sums, expected


@kernel
def _sums(state, rows, X, allowance, settle, memory, warmup, learn, sums, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            count = cell[0]
            mean = x if count == 0.0 else cell[MEAN]
            deviation = deviation_of(cell[VARIANCE], mean)
            away = x - mean
            wander = 1.0
            block = cell[BLOCK : BLOCK + 4]
            if block[3] >= LEAST_BLOCKS and cell[VARIANCE] > 0.0:
                wander = math.sqrt(max(1.0, LENGTH * block[2] / cell[VARIANCE]))
            up, down = 0.0, 0.0
            if count >= warmup:
                z = CLIP if away > 0.0 else -CLIP if away < 0.0 else 0.0
                if deviation > 0.0:
                    z = min(max(away / deviation, -CLIP), CLIP)
                z /= wander
                up = min(max(cell[UP] + z - allowance, 0.0), MOST)
                down = min(max(cell[DOWN] - z - allowance, 0.0), MOST)
                expected[i, f] = mean
                sums[i, f] = 2.0 * allowance * (up if up >= down else -down)
            if not learn:
                continue
            cell[UP_LENGTH] = cell[UP_LENGTH] + 1.0 if up > 0.0 else 0.0
            cell[DOWN_LENGTH] = cell[DOWN_LENGTH] + 1.0 if down > 0.0 else 0.0
            cell[UP], cell[DOWN] = up, down
            block[0] += away
            block[1] += 1.0
            if block[1] >= LENGTH:
                square = (block[0] / block[1]) ** 2
                block[3] += 1.0
                if block[3] > 8.0 and block[2] > 0.0:  # 0 if nothing varied until now
                    square = min(square, 4.0 * block[2])
                block[2] += max(1.0 / block[3], 1.0 / RECALLED) * (square - block[2])
                block[0] = block[1] = 0.0
            if max(up, down) >= SUSPECT:
                longest = cell[UP_LENGTH] if up >= down else cell[DOWN_LENGTH]
                cell[SINCE] += away
                cell[SINCE_VALUES] += 1.0
                if longest >= settle:  # a new level: the mean of what has come since
                    cell[MEAN] = mean + cell[SINCE] / cell[SINCE_VALUES]
                    cell[UP] = cell[DOWN] = cell[UP_LENGTH] = cell[DOWN_LENGTH] = 0.0
                continue
            cell[SINCE] = cell[SINCE_VALUES] = 0.0
            gain = max(1.0 / (count + 1.0), 1.0 / memory)
            if deviation > 0.0 and count >= warmup:
                away = min(max(away, -CLIP * deviation), CLIP * deviation)
            cell[0] = count + 1.0
            cell[MEAN] = mean + gain * away
            cell[VARIANCE] = (1.0 - gain) * (cell[VARIANCE] + gain * away * away)
