"""What is common to cohort detectors that standardise their columns and learn strange events with little weight."""

from __future__ import annotations

import math
from typing import ClassVar, Self

from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.scored_cohort import ScoredCohort
from streamgauge.models.detectors.deviation import LARGEST, deviation_of
from streamgauge.models.kernel import kernel
from streamgauge.models.persistence.codec import pack, unpack

CLIP = 20.0  # standard deviations beyond which a value counts no more
ADAPT = 0.001  # least weight of an event in what is usual
COUNT, USUAL = range(2)  # places in `RobustCohort._numbers`: events learned, usual raw score


class RobustCohort(ScoredCohort):
    """Running mean and deviation of every column; an event much stranger than usual is learned with little weight.

    So a burst of anomalies does not become usual, while a lasting change does, after some time, because what is usual follows.

    Attributes
    ----------
    arrays : tuple of str
        Attributes that are the state, besides `learned`; the length of the first is the width. Among them is `_seen`: how many values of
        each column were learned, or of each pair of columns together. So a column that comes late learns as fast as the others did.
    """

    state_version: ClassVar[int] = 1
    arrays: ClassVar[tuple[str, ...]] = ("_mean", "_seen", "_numbers")
    _mean: Floats | None = None
    _seen: Floats
    _numbers: Floats

    @property
    def width(self) -> int | None:  # noqa: D102
        return None if self._mean is None else len(self._mean)

    def widen(self, width: int) -> None:
        """See `ScoredCohort`; every array is kept, as the first part of the wider one."""
        before = {name: getattr(self, name) for name in self.arrays}
        self._build(width)
        for name, array in before.items():
            getattr(self, name)[tuple(map(slice, array.shape))] = array

    def to_state(self) -> bytes:  # noqa: D102
        meta = {"settings": self.settings(), "learned": self.learned}
        arrays = {} if self._mean is None else {name: getattr(self, name) for name in self.arrays}
        return pack(self.name, self.state_version, meta, {k: v for k, v in arrays.items() if v is not None})

    @classmethod
    def from_state(cls, state: bytes) -> Self:  # noqa: D102
        meta, arrays = unpack(state, cls.name, cls.state_version)
        detector = cls(**meta["settings"])
        detector.learned = meta["learned"]
        if arrays:
            detector._build(len(arrays["_mean"]))
        for name, array in arrays.items():
            setattr(detector, name, array)
        if arrays and "_seen" not in arrays:  # an earlier release counted events only
            detector._seen[:] = detector._numbers[COUNT]
        if arrays:
            detector._restored()
        return detector

    def _restored(self) -> None:
        """Compute what follows from the state and is not part of it."""


@kernel
def standardised(x, mean, variance, count):  # type: ignore[no-untyped-def]
    """Deviation from the mean, in standard deviations, clipped; 0 where missing; the root of the count where nothing ever varied."""
    if math.isnan(x):
        return 0.0
    far, deviation = x - mean, deviation_of(variance, mean)
    if deviation > 0.0:
        return min(max(far / deviation, -CLIP), CLIP)
    if far == 0.0:
        return 0.0
    return math.copysign(min(math.sqrt(count), CLIP), far)


@kernel
def moved(x, z, mean, variance):  # type: ignore[no-untyped-def]
    """Difference of a value from the mean, limited as `z` is; 0 where missing, and where nothing limits a value beyond `LARGEST`."""
    if math.isnan(x):
        return 0.0
    deviation = deviation_of(variance, mean)
    if deviation > 0.0:
        return z * deviation
    return x - mean if abs(x) <= LARGEST else 0.0


@kernel
def learn_moments(x, z, mean, variance, seen, weight, least):  # type: ignore[no-untyped-def]
    """Learn an event into mean and variance of every column that it has; `least` is the least weight of a value, for a `weight` of 1."""
    for j in range(len(x)):
        if not math.isnan(x[j]):
            far = moved(x[j], z[j], mean[j], variance[j])
            gain = weight * max(1.0 / (seen[j] + 1.0), least)
            seen[j] += 1.0
            mean[j] += gain * far
            variance[j] = (1.0 - gain) * (variance[j] + gain * far * far)


@kernel
def count_in(counts, total, place, weight, memory):  # type: ignore[no-untyped-def]
    """Count an event in a histogram, halved when it holds twice `memory`; returns what it holds."""
    counts[place] += weight
    total += weight
    if total >= 2.0 * memory:
        total = 0.0
        for b in range(len(counts)):
            counts[b] *= 0.5
            total += counts[b]
    return total


@kernel
def weight_of(raw_score, numbers, rated_before, tolerance):  # type: ignore[no-untyped-def]
    """Weight that an event is learned with; its raw score is learned into the usual one, limited to three times that.

    The weight is 1 up to `tolerance` times the usual raw score, then falls with its fourth power. A tolerance of 0 is for raw
    scores that are logarithms: the weight is 1 up to the usual one plus 1, then falls to a tenth with each 0.77.
    """
    usual = numbers[USUAL]
    if usual == 0.0:
        numbers[USUAL] = raw_score
        return 1.0
    numbers[USUAL] += max(1.0 / (1.0 + rated_before), ADAPT) * (min(raw_score, 3.0 * usual) - usual)
    if tolerance == 0.0:
        return min(1.0, math.exp(-3.0 * (raw_score - usual - 1.0)))
    return 1.0 if raw_score <= tolerance * usual else (tolerance * usual / raw_score) ** 4
