"""Peer deviation: an entity leaves the peers that it usually follows."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.channel.usual_level import begins_anew
from streamgauge.models.detectors.deviation import LARGEST, ROUNDING, deviation_of
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel

MEAN, COVARIANCE, PEERS, PEERS_MEAN, VARIANCE, ALL, SHORT, SHORT_VARIANCE, FARTHEST = range(1, 10)
CLIP = 4.0  # standard deviations that a single value counts at most
YOUNG = 20.0  # with fewer values, the limit is wider in proportion: they say little of the variation
BOUND = 0.5  # share of a field's variance that the peers must explain


class PeerDeviation(EntityDetector):
    """What the peers do not explain of the last values, in usual variations of that.

    Each field follows the level of its peers (`CohortLevel`) with a slope of its own, which is learned value by value. A short mean of
    what is left is divided by how large such means usually are. A field of which the peers explain less than half is not scored.
    Without levels, a short mean is compared with that of the whole past. The score is ``m / (m + 5)``.

    Parameters
    ----------
    short : float
        Values that the short mean spans.
    memory : int
        Values that slope and variance remember.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    A control chart on the residuals of a regression: Mandel, Journal of Quality Technology 1, 1969.
    """

    name: ClassVar[str] = "peer_deviation"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    half_score: ClassVar[float] = 5.0
    anomaly_kind = "relative"
    input_kind = "levels"

    def __init__(self, short: float = 5.0, memory: int = 2000, warmup: int = 100) -> None:
        self.short = short
        self.memory = memory
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return 10

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        return self.from_peers(state, rows, X, np.zeros(X.shape), learn, bound=0.0)

    def from_peers(
        self, state: Floats, rows: Ints, X: Floats, levels: Floats, learn: bool = True, bound: float = BOUND
    ) -> tuple[Floats, Floats]:
        """Deviations and expected values by the levels of the peers, float64[n, d]; NaN where there are none. See `deviations`.

        `bound` is the share of a field's variance that the levels must explain for the field to be scored.
        """
        deviations, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        gain = 2.0 / (self.short + 1.0)
        X = np.clip(X, -LARGEST, LARGEST)
        _leave(state, rows, X, levels, gain, self.memory, self.warmup, learn, bound, deviations, expected)
        return deviations, expected


@kernel
def _leave(state, rows, X, levels, short_gain, memory, warmup, learn, bound, deviations, expected):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, level, cell = X[i, f], levels[i, f], state[rows[i], f]
            if math.isnan(x) or math.isnan(level):
                continue
            count = cell[0]
            mean, beside = (x, level) if count == 0.0 else (cell[MEAN], cell[PEERS_MEAN])
            slope = cell[COVARIANCE] / cell[PEERS] if cell[PEERS] > 0.0 else 0.0
            usual = mean + slope * (level - beside)
            left = x - usual
            deviation = deviation_of(cell[VARIANCE], mean)
            near = left
            if deviation > 0.0 and count >= 3.0:
                limit = CLIP * max(1.0, YOUNG / count) * deviation
                near = min(max(left, -limit), limit)
            short = cell[SHORT] + short_gain * (near - cell[SHORT])
            if count >= warmup and cell[VARIANCE] <= (1.0 - bound) * cell[ALL]:
                expected[i, f] = usual
                error = math.sqrt(cell[SHORT_VARIANCE])
                deviations[i, f] = 0.0
                if error > ROUNDING * abs(mean):
                    deviations[i, f] = short / error
                elif short != 0.0:
                    deviations[i, f] = math.copysign(math.sqrt(count), short)
            if not learn:
                continue
            gain = max(1.0 / (count + 1.0), 1.0 / memory)
            keep = 1.0 - gain
            away, moved = usual + near - mean, level - beside
            cell[COVARIANCE] = keep * (cell[COVARIANCE] + gain * away * moved)
            cell[PEERS] = keep * (cell[PEERS] + gain * moved * moved)
            cell[ALL] = keep * (cell[ALL] + gain * away * away)
            cell[MEAN], cell[PEERS_MEAN] = mean + gain * away, beside + gain * moved
            cell[VARIANCE] += gain * (near * near - cell[VARIANCE])
            cell[SHORT] = short
            square = short * short
            if cell[SHORT_VARIANCE] > 0.0 and count >= warmup:
                square = min(square, CLIP * CLIP * cell[SHORT_VARIANCE])
            cell[SHORT_VARIANCE] += gain * (square - cell[SHORT_VARIANCE])
            cell[0] = count + 1.0
            if begins_anew(cell, FARTHEST, (cell[MEAN], cell[ALL]), count + 1.0, x, True):
                cell[:] = 0.0
