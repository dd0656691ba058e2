"""First-seen category: a value of a text field that its entity has never shown, where new values are rare."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.cohort_detector import InputKind
from streamgauge.models.detectors.cohort.scored_cohort import ScoredCohort
from streamgauge.models.kernel import kernel
from streamgauge.models.persistence.codec import pack, unpack

HASHES = 4  # bits set for each category
FULL = 0.5  # share of bits set at which a new filter begins


class FirstSeenCategory(ScoredCohort):
    """Minus ln of the rate at which a field shows new categories, when one is new; 0 for a known one.

    A category is a number that stands for entity, field and value together. Those seen are kept in two Bloom filters. When the newer
    one is half full, it replaces the older one: what is not seen for long is forgotten. A field whose every value is new (an
    identifier) gives no evidence. The memory is fixed: with more categories than fit, some new ones pass for known ones, but never the
    reverse.

    Parameters
    ----------
    bits : int
        Size of each filter; a power of two. A million bits hold about 170,000 categories.
    memory : int
        Events of a field over which its rate of new categories is measured.
    warmup : int
        Events before anything is scored.

    Notes
    -----
    Bloom, Space/time trade-offs in hash coding with allowable errors, CACM 13, 1970; the rate as Laplace's rule of succession.
    """

    name: ClassVar[str] = "first_seen_category"
    state_version: ClassVar[int] = 1
    input_kind: ClassVar[InputKind] = "categories"
    in_nats: ClassVar[bool] = True
    apart: ClassVar[bool] = True  # evidence needs no calibrator, so it is a look of its own
    half_score: ClassVar[float] = 6.0

    def __init__(self, bits: int = 1 << 20, memory: int = 10_000, warmup: int = 50) -> None:
        self.bits = bits
        self.memory = memory
        self.warmup = warmup
        self.learned = 0
        self._counts: Floats | None = None

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        return cls(**settings).bits // 4 + 16 * width

    @property
    def width(self) -> int | None:  # noqa: D102
        return None if self._counts is None else len(self._counts)

    def _build(self, width: int) -> None:
        self._counts = np.zeros((width, 2))  # events, and new categories among them
        self._filters = np.zeros((2, self.bits // 8), np.uint8)
        self._numbers = np.zeros(1, np.int64)  # bits set in the running filter

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        raw_score, weights = np.full(len(X), np.nan), np.zeros(X.shape)
        _rate(
            X.view(np.int64),
            np.isnan(X),
            self._counts,
            self._filters,
            self._numbers,
            self.learned,
            self.warmup,
            self.memory,
            learn,
            raw_score,
            weights,
        )
        self.learned += len(X) if learn else 0
        return raw_score, weights

    def widen(self, width: int) -> None:
        """See `ScoredCohort`; all that was seen is kept."""
        counts, filters, numbers = self._counts, self._filters, self._numbers
        assert counts is not None
        self._build(width)
        self._filters, self._numbers = filters.copy(), numbers.copy()
        self._counts = np.vstack((counts, np.zeros((width - len(counts), 2))))

    def to_state(self) -> bytes:  # noqa: D102
        meta = {"settings": self.settings(), "learned": self.learned}
        if self._counts is None:
            return pack(self.name, self.state_version, meta, {})
        arrays: dict[str, npt.NDArray[Any]] = {
            "counts": self._counts,
            "filters": self._filters,
            "numbers": self._numbers,
        }
        return pack(self.name, self.state_version, meta, arrays)

    @classmethod
    def from_state(cls, state: bytes) -> Self:  # noqa: D102
        meta, arrays = unpack(state, cls.name, cls.state_version)
        detector = cls(**meta["settings"])
        detector.learned = meta["learned"]
        if arrays:
            detector._counts, detector._filters = arrays["counts"], arrays["filters"]
            detector._numbers = arrays["numbers"]
        return detector


@kernel
def _bit(code, k, bits):  # type: ignore[no-untyped-def]
    """Place of the k-th bit of a category (splitmix64)."""
    x = np.uint64(code) + np.uint64(k + 1) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((x ^ (x >> np.uint64(31))) & np.uint64(bits - 1))


@njit(cache=True)
def _rate(codes, missing, counts, filters, numbers, learned, warmup, memory, learn, raw_score, weights):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    bits = filters.shape[1] * 8
    for i in range(codes.shape[0]):
        known, largest = 0, 0.0
        for j in range(codes.shape[1]):
            if missing[i, j]:
                continue
            known += 1
            here, before = True, True
            for k in range(HASHES):
                bit = _bit(codes[i, j], k, bits)
                here &= (filters[0, bit >> 3] >> (bit & 7)) & 1 == 1
                before &= (filters[1, bit >> 3] >> (bit & 7)) & 1 == 1
            new = not here and not before
            if new:
                weights[i, j] = -math.log((counts[j, 1] + 1.0) / (counts[j, 0] + 2.0))
                largest = max(largest, weights[i, j])
            if not learn:
                continue
            counts[j, 0] += 1.0
            counts[j, 1] += new
            if counts[j, 0] >= 2.0 * memory:
                counts[j, 0] *= 0.5
                counts[j, 1] *= 0.5
            if here:
                continue
            for k in range(HASHES):
                bit = _bit(codes[i, j], k, bits)
                if (filters[0, bit >> 3] >> (bit & 7)) & 1 == 0:
                    filters[0, bit >> 3] |= np.uint8(1 << (bit & 7))
                    numbers[0] += 1
            if numbers[0] > FULL * bits:
                filters[1] = filters[0]
                filters[0] = 0
                numbers[0] = 0
        if learned + i >= warmup and known > 0:
            raw_score[i] = largest
