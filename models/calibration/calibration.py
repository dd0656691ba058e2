"""From raw scores to evidence: how rare a raw score is, learned from the stream itself."""

from __future__ import annotations

import inspect
import math
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Floats
from streamgauge.models.errors import StateError
from streamgauge.models.kernel import kernel
from streamgauge.models.persistence.codec import demand, pack, unpack

BINS = 1024
LOW, HIGH = -14.0, 14.0  # range of ln(raw score) that the bins resolve, 2.8 % each
EDGES = np.array([0.0] + [math.exp(LOW + (HIGH - LOW) * k / BINS) for k in range(1, BINS)])  # lower ones of the bins
TAIL = 0.01  # share of the raw scores that are the tail, which is a generalised Pareto distribution;
TAIL_LEAST = 20  # with few raw scores, the tail has at least so many of them
WINSORISED = 0.125  # share of the tail, the largest raw scores, that is cut back to one value
BURST = 5.0  # the tail is learned at so many times its usual rate at most;
SPAN = 200.0  # that rate is measured over about so many raw scores
STEEPEST = 1.0  # largest shape of the tail
REFRESH = 64  # raw scores between two updates of the table

# places in `TailCalibrator._numbers`
COUNT, SINCE, THRESHOLD, EXCESS, TAIL_SHARE, LEARNED, SHAPE, RATE = range(8)


class TailCalibrator:
    """Streaming tail probabilities of raw scores (numbers from 0 up, high is extreme).

    Up to the 99 % quantile, the distribution is the empirical one, over logarithmic bins. Beyond it, a generalised Pareto tail is
    fitted to the excesses. So the probability can be far smaller than one over the number of raw scores, and two extreme ones still get
    different probabilities. The fewer excesses there are, the heavier is the tail. When `memory` is reached twice, the past is halved.

    When the tail comes at more than five times its usual rate, it is learned at five times that rate: a burst of a thousand anomalies
    does not become usual, but a lasting change does.

    Each raw score is compared with those before it, then learned: how a stream is cut into batches does not matter.

    Parameters
    ----------
    memory : int
        Raw scores that are remembered at least.
    warmup : int
        Raw scores to learn before any evidence is above 0.
    rare : float
        A raw score with a smaller tail probability is learned with less weight: anomalies stay rare.
    least : float
        Least weight: what lasts becomes usual.
    steepest : float
        Largest shape of the tail, 0 to 1. With 0, the tail is exponential: fit for raw scores that are evidence already.
    """

    name: ClassVar[str] = "tail_calibrator"
    state_version: ClassVar[int] = 2

    def __init__(
        self, memory: int = 6000, warmup: int = 100, rare: float = 1e-4, least: float = 0.05, steepest: float = STEEPEST
    ) -> None:
        self.memory = memory
        self.warmup = warmup
        self.rare = rare
        self.least = least
        self.steepest = steepest
        self._counts = np.zeros(BINS)
        self._sums = np.zeros(BINS)
        self._above = np.zeros(BINS)
        self._numbers = np.zeros(8)

    @property
    def learned(self) -> int:
        """Raw scores learned in all."""
        return int(self._numbers[LEARNED])

    @property
    def ready(self) -> bool:
        """Whether `warmup` raw scores have been learned."""
        return self.learned >= self.warmup

    def rate_learn_many(self, raw_scores: Floats) -> Floats:
        """Evidence of each raw score, by those before it; then it is learned.

        Parameters
        ----------
        raw_scores : float64[n]
            NaN is skipped.

        Returns
        -------
        float64[n]
            Evidence, at least 0: minus the natural logarithm of the tail probability. 0 before `ready`; NaN for NaN.
        """
        evidence = np.empty(len(raw_scores))
        rate_learn(
            raw_scores,
            self._counts,
            self._sums,
            self._above,
            self._numbers,
            self.memory,
            self.warmup,
            -math.log(self.rare),
            self.least,
            self.steepest,
            evidence,
        )
        return evidence

    def to_state(self) -> bytes:
        """Everything that was learned, as versioned bytes."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "counts": self._counts,
            "sums": self._sums,
            "above": self._above,
            "numbers": self._numbers,
        }
        meta = {
            "memory": self.memory,
            "warmup": self.warmup,
            "rare": self.rare,
            "least": self.least,
            "steepest": self.steepest,
        }
        return pack(self.name, self.state_version, meta, arrays)

    @classmethod
    def from_state(cls, state: bytes) -> Self:
        """The calibrator that `to_state` saved; StateError where the bytes are none."""
        meta, arrays = unpack(state, cls.name, cls.state_version)
        known = set(meta) <= set(inspect.signature(cls).parameters)
        numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in meta.values())
        if not known or not numbers or meta.get("memory", 1) < 1 or not 0 < meta.get("rare", 0.5) < 1:
            raise StateError(f"the {cls.name} state has settings that do not fit: {meta}")
        calibrator = cls(**meta)
        counts, sums, above = (demand(arrays, name, np.float64, (BINS,)) for name in ("counts", "sums", "above"))
        calibrator._counts, calibrator._sums, calibrator._above = counts, sums, above
        calibrator._numbers = demand(arrays, "numbers", np.float64, calibrator._numbers.shape)
        return calibrator


def odds(score: Floats) -> Floats:
    """Odds of scores, float64[n] from 0 to 1: unbounded, so that extreme ones stay apart."""
    odds: Floats = score / np.maximum(1.0 - score, 1e-15)
    return odds


@kernel
def rate_learn(raw_scores, counts, sums, above, numbers, memory, warmup, rare, least, steepest, evidence):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    """The kernel of `TailCalibrator.rate_learn_many`, on its arrays; `evidence` is filled in."""
    for i in range(len(raw_scores)):
        m = raw_scores[i]
        if math.isnan(m):
            evidence[i] = math.nan
            continue
        place = 0
        if m > 0.0:
            place = int(min(max((math.log(m) - LOW) / (HIGH - LOW) * BINS, 0.0), BINS - 1.0))
        evidence[i] = 0.0
        weight = 1.0
        if numbers[LEARNED] >= warmup:
            beyond = m > numbers[THRESHOLD] and numbers[EXCESS] > 0.0
            if beyond:
                shape = numbers[SHAPE] + 1.0 / (numbers[TAIL_SHARE] * numbers[COUNT])
                far = math.log1p(shape * (m - numbers[THRESHOLD]) / numbers[EXCESS]) / shape
                evidence[i] = far - math.log(numbers[TAIL_SHARE])
            else:
                # half of the own bin counts as above; never rarer than where an exponential tail begins
                share = (above[place] + 0.5 * counts[place] + 0.5) / (numbers[COUNT] + 1.0)
                if numbers[EXCESS] > 0.0:
                    share = max(share, numbers[TAIL_SHARE])
                evidence[i] = -math.log(min(1.0, share))
            numbers[RATE] += (beyond - numbers[RATE]) / SPAN
            if beyond and numbers[RATE] > BURST * numbers[TAIL_SHARE]:
                weight = BURST * numbers[TAIL_SHARE] / numbers[RATE]
        if evidence[i] > rare:
            weight *= max(least, math.exp(rare - evidence[i]))
        counts[place] += weight
        sums[place] += weight * m
        numbers[COUNT] += weight
        numbers[SINCE] += 1.0
        numbers[LEARNED] += 1.0
        if numbers[COUNT] >= 2.0 * memory:
            numbers[COUNT] = 0.0
            for k in range(BINS):
                counts[k] *= 0.5
                sums[k] *= 0.5
                above[k] *= 0.5  # it is compared with the count before it is made anew
                numbers[COUNT] += counts[k]
        if numbers[SINCE] >= min(REFRESH, 1.0 + numbers[COUNT] / 16.0):
            _refresh(counts, sums, above, numbers, steepest)


@kernel
def _refresh(counts, sums, above, numbers, steepest):  # type: ignore[no-untyped-def]
    """Update the table: how many raw scores lie above each bin, and the tail.

    The highest eighth of the tail counts as if it stood at the tail's own 7/8 quantile; scale and shape are those that give such a
    mean. Otherwise, a few enormous raw scores would make the next large one look usual.
    """
    wanted = max(TAIL * numbers[COUNT], min(TAIL_LEAST, 0.25 * numbers[COUNT]))
    running, total, cap, capped = 0.0, 0.0, -1.0, 0.0
    found = False
    for k in range(BINS - 1, -1, -1):
        above[k] = running
        if counts[k] == 0.0:
            continue
        running += counts[k]
        if found:
            continue
        if cap < 0.0:
            capped = running
            if running >= wanted * WINSORISED:
                cap = EDGES[k]
                total = running * cap
        else:
            total += sums[k]
        if running >= wanted:
            found = True
            numbers[THRESHOLD] = start = EDGES[k]
            numbers[TAIL_SHARE] = running / numbers[COUNT]
            numbers[EXCESS] = numbers[SHAPE] = 0.0
            if capped < running:
                _fit(max(0.0, total / running - start), cap - start, capped / running, numbers, steepest)
    numbers[SINCE] = 0.0


@kernel
def _fit(mean, cap, rest, numbers, steepest):  # type: ignore[no-untyped-def]
    """Scale and shape of a generalised Pareto tail from the mean excess, where a share `rest` beyond `cap` counts as `cap`.

    The shape is at least 0: the tail has no end.
    """
    numbers[EXCESS] = mean / (1.0 - rest)  # of an exponential tail, shape 0
    if steepest <= 0.0 or mean <= 0.0 or mean / cap >= (rest - 1.0) / math.log(rest):
        return
    low, high = 0.0, steepest
    for _ in range(24):
        shape = 0.5 * (low + high)
        # mean over cap, which falls with the shape
        ratio = shape * (1.0 - rest ** (1.0 - shape)) / ((1.0 - shape) * (rest**-shape - 1.0))
        if ratio > mean / cap:
            low = shape
        else:
            high = shape
    # only what is certain of a heavy tail counts: the shape less one standard error
    low -= (1.0 + low) / math.sqrt(numbers[TAIL_SHARE] * numbers[COUNT])
    if low > 0.0:
        ratio = low * (1.0 - rest ** (1.0 - low)) / ((1.0 - low) * (rest**-low - 1.0))
        numbers[SHAPE] = low
        numbers[EXCESS] = mean / ratio * low / (rest**-low - 1.0)
