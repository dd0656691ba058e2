"""From evidence of single entities to evidence of all: how rare it is, learned from the events of all entities together."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from streamgauge.models.calibration.learned_tail import FIRST, LAST, STEP, learn_tail
from streamgauge.models.contract import Floats
from streamgauge.models.kernel import kernel
from streamgauge.models.persistence.codec import demand, pack, unpack

TRUSTED = 300.0  # values after which the learned quantiles count half

# Evidence may grow twice as fast as it comes at most, and by `MOST` in all: where only a few different values come, quantiles say little.
STEEPEST, MOST = 0.5, 3.0
NOTHING = 1e-9  # less evidence comes from fields that never varied only, and tells nothing of the tail
RARE, EACH = (
    math.log(1e4),
    10.0,
)  # of evidence beyond 1 in 10,000, each tenth is learned: anomalies stay rare, what lasts becomes usual

COUNT, Q1, Q2, Q3, RARE_ONES = range(5)  # places in `PooledTail._numbers`


class PooledTail:
    """Corrects evidence that is nearly right, by how often each amount of it really comes.

    A young entity says little of its own tail, so its evidence is careful. All entities together soon have enough events to tell by how
    much. The evidence that is reached by 10 %, 3.16 % and 1 % of the events is learned; it should be 2.3, 3.5 and 4.6. Evidence between
    these quantiles is interpolated. Beyond the last one, it grows as it does between the last two. While there are few events, evidence
    stays as it is.

    The quantiles move by bounded steps, however large a value is. So a few anomalies cannot hide the next one.

    Evidence is compared with that before it, then learned: how a stream is cut into batches does not matter.

    Notes
    -----
    Quantiles by stochastic approximation: Robbins and Monro, Annals of Mathematical Statistics 22, 1951.
    """

    name: ClassVar[str] = "pooled_tail"
    state_version: ClassVar[int] = 1
    warmup: ClassVar[int] = 0

    def __init__(self) -> None:
        self._numbers = np.array([0.0, FIRST, FIRST + STEP, LAST, 0.0])

    @property
    def learned(self) -> int:
        """Values learned in all."""
        return int(self._numbers[COUNT])

    def rate_learn_many(self, raw_scores: Floats) -> Floats:
        """Correct each value by those before it; then it is learned.

        Parameters
        ----------
        raw_scores : float64[n]
            Evidence. A value with a minus sign (-0.0, too) is corrected, and not learned. NaN is skipped.

        Returns
        -------
        float64[n]
            Corrected evidence, at least 0; NaN for NaN.
        """
        evidence = np.empty(len(raw_scores))
        _correct(raw_scores, self._numbers, evidence)
        return evidence

    def to_state(self) -> bytes:
        """Everything that was learned, as versioned bytes."""
        arrays: dict[str, npt.NDArray[Any]] = {"numbers": self._numbers}
        return pack(self.name, self.state_version, {}, arrays)

    @classmethod
    def from_state(cls, state: bytes) -> Self:
        """The tail that `to_state` saved; StateError where the bytes are none."""
        _, arrays = unpack(state, cls.name, cls.state_version)
        tail = cls()
        tail._numbers = demand(arrays, "numbers", np.float64, tail._numbers.shape)
        return tail


@kernel
def _correct(raw_scores, numbers, evidence):  # type: ignore[no-untyped-def]
    for i in range(len(raw_scores)):
        x = abs(raw_scores[i])
        if math.isnan(x):
            evidence[i] = math.nan
            continue
        known = numbers[COUNT] / (numbers[COUNT] + TRUSTED)
        q1 = FIRST * max(numbers[Q1] / FIRST, STEEPEST) ** known
        to_q2 = STEP * max((numbers[Q2] - numbers[Q1]) / STEP, STEEPEST) ** known
        to_q3 = STEP * max((numbers[Q3] - numbers[Q2]) / STEP, STEEPEST) ** known
        if x <= q1:
            evidence[i] = x * FIRST / q1
        elif x <= q1 + to_q2:
            evidence[i] = FIRST + STEP * (x - q1) / to_q2
        else:
            evidence[i] = FIRST + STEP + STEP * (x - q1 - to_q2) / to_q3
        evidence[i] = min(evidence[i], x + MOST)
        if math.copysign(1.0, raw_scores[i]) < 0.0 or x < NOTHING:
            continue
        if evidence[i] > RARE:
            numbers[RARE_ONES] += 1.0
            if numbers[RARE_ONES] % EACH != 0.0:
                continue
        learn_tail(numbers[Q1 : Q3 + 1], x, numbers[COUNT])
        numbers[COUNT] += 1.0
