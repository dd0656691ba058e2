"""What detectors of single fields have in common: a few numbers for each entity and field, updated by one kernel."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

import numpy as np
from streamgauge.models.contract import Detector, Floats, Ints, checked, share
from streamgauge.models.detectors.deviation import LARGEST
from streamgauge.models.errors import NotReadyError
from streamgauge.models.persistence.codec import pack, unpack

TOP = 3  # fields whose mean deviation counts, where the largest alone would be noise


class EntityDetector(Detector):
    """A detector that looks at each field of each entity by itself.

    One instance used through `Detector`'s methods holds one entity; the job keeps the numbers of many entities in one array and
    calls `rate_learn_entities`. The score of an event is ``m / (m + half_score)`` of its raw score ``m``: the largest deviation over
    the fields, or what `pooled` says.

    Attributes
    ----------
    tier : {"light", "rich"}
        Light: a few numbers, for millions of entities. Rich: some kilobytes, for as many entities as memory is given.
    half_score : float
        The raw score whose score is 0.5.
    pooled : {"largest", "top", "rarest"}
        How the fields' deviations become one raw score: the largest; the mean of the three largest; the largest, which is evidence,
        less ln of the number of fields, which is what so many fields show by chance.
    in_nats : bool
        Whether the raw score already is evidence (minus ln of a probability) and needs no calibration.
    quarantined : bool
        Whether it does not learn quarantined events. False for detectors that add up evidence over events, or that must learn a new
        value at once.
    input_kind : {"values", "residuals", "levels", "own"}
        What the job gives it: values; what the seasonal profile does not explain of them (residuals); residuals with the level of the
        entity's peers; what neither the profile nor the peers explain.
    """

    tier: ClassVar[Literal["light", "rich"]] = "light"
    state_version: ClassVar[int] = 1
    half_score: ClassVar[float] = 3.0
    pooled: ClassVar[Literal["largest", "top", "rarest"]] = "largest"
    in_nats: ClassVar[bool] = False
    quarantined: ClassVar[bool] = False
    input_kind: ClassVar[Literal["values", "residuals", "levels", "own"]] = "values"
    warmup: int
    _state: Floats | None = None
    _clock: int = 0

    @property
    @abstractmethod
    def numbers_per_feature(self) -> int:
        """float64 numbers kept for each entity and field; the first counts what was learned."""

    @abstractmethod
    def deviations(self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool) -> tuple[Floats, Floats]:
        """Deviation of each value from its expected value, in row order.

        Parameters
        ----------
        state : float64[entities, d, numbers_per_feature]
            Changed in place when `learn`; all zeros is an entity that was never seen.
        rows : int64[n]
            Row of `state` that each event belongs to.
        X : float64[n, d]
        times : int64[n]
            Milliseconds since 1970, UTC.
        learn : bool
            Whether to learn.

        Returns
        -------
        deviations : float64[n, d]
            Signed where below and above differ; NaN where missing or not ready.
        expected : float64[n, d]
            NaN where nothing is known.
        """

    def rate_learn_entities(
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool = True
    ) -> tuple[Floats, Floats, Floats]:
        """Score, then learn, events of many entities in row order; see `deviations`.

        Returns
        -------
        raw_score : float64[n]
            At least 0; NaN where no field has learned enough.
        deviations, expected : float64[n, d]
        """
        infinite = np.isinf(X)
        if infinite.any():  # the largest deviation there is, and never learned
            X = np.where(infinite, np.nan, X)
        size, deviations, expected = self.raw_scores(state, rows, np.clip(X, -LARGEST, LARGEST), times, learn)
        size[infinite] = deviations[infinite] = np.inf
        return self.pool(size), deviations, expected

    def raw_scores(
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats, Floats]:
        """Raw score of each field, and what `deviations` returns. They differ where an alert may rest on less than the raw score.

        Returns
        -------
        raw_scores, deviations, expected : float64[n, d]
        """
        deviations, expected = self.deviations(state, rows, X, times, learn)
        return deviations, deviations, expected

    def pool(self, deviations: Floats) -> Floats:
        """One raw score for each event from those of its fields, float64[n, d]; NaN where there are none."""
        sizes = np.abs(deviations)
        unknown = np.isnan(sizes)
        none = unknown.all(axis=1)
        sizes[unknown] = 0.0
        raw_score: Floats = sizes.max(axis=1, initial=0.0)
        if self.pooled == "rarest":
            fields = np.maximum((~unknown).sum(axis=1), 1)
            raw_score = np.maximum(raw_score - np.log(fields), 0.0)
        elif self.pooled == "top":
            largest = np.partition(sizes, -TOP, axis=1)[:, -TOP:] if sizes.shape[1] > TOP else sizes
            raw_score = largest.sum(axis=1) / np.clip((~unknown).sum(axis=1), 1, TOP)
        raw_score[none] = np.nan
        return raw_score

    @property
    def ready(self) -> bool:
        """Whether every field has been seen often enough."""
        return self._state is not None and bool((self._state[0, :, 0] >= self._needed()).all())

    def learn_many(self, X: Floats, times: Ints | None = None) -> None:
        """See `Detector`; without `times`, events are a second apart."""
        self.score_learn_many(X, times)

    def score_many(self, X: Floats, times: Ints | None = None) -> Floats:
        """See `Detector`; without `times`, at the second after the last event learned."""
        return self._scored(X, times)[0]

    def score_learn_many(self, X: Floats, times: Ints | None = None) -> Floats:
        """See `Detector`; without `times`, events are a second apart."""
        X = checked(X, None if self._state is None else self._state.shape[1], self.name)
        if self._state is None:
            self._state = np.zeros((1, X.shape[1], self.numbers_per_feature))
        times = self._clock + 1000 * np.arange(1, len(X) + 1) if times is None else times
        raw_score, _, _ = self.rate_learn_entities(self._state, np.zeros(len(X), np.int64), X, times)
        self._clock = int(times[-1]) if len(times) else self._clock
        return self._score(raw_score)

    def explain_many(self, X: Floats, times: Ints | None = None) -> Floats:
        """Each field's share of the sum of squared deviations, times the score."""
        score, deviations = self._scored(X, times)
        largest = np.nanmax(np.abs(deviations), axis=1, keepdims=True, initial=1e-300)
        with np.errstate(invalid="ignore"):
            relative = np.where(np.isinf(deviations), 1.0, deviations / largest)
        return share(relative * relative, score)

    def to_state(self) -> bytes:  # noqa: D102
        meta = {"settings": self.settings(), "clock": self._clock}
        return pack(self.name, self.state_version, meta, {} if self._state is None else {"state": self._state})

    @classmethod
    def from_state(cls, state: bytes) -> Self:  # noqa: D102
        meta, arrays = unpack(state, cls.name, cls.state_version)
        detector = cls(**meta["settings"])
        detector._state, detector._clock = arrays.get("state"), meta["clock"]
        return detector

    def _needed(self) -> float:
        """The first number of the state, when a field has learned enough."""
        return float(self.warmup)

    def _scored(self, X: Floats, times: Ints | None) -> tuple[Floats, Floats]:
        X = checked(X, None if self._state is None else self._state.shape[1], self.name)
        if self._state is None or not self.ready:
            least = 0 if self._state is None else float(self._state[0, :, 0].min())
            raise NotReadyError(
                f"{self.name} needs {self.warmup} values of each feature; the least so far is {least:.0f}"
            )
        times = np.full(len(X), self._clock + 1000) if times is None else times
        rows = np.zeros(len(X), np.int64)
        raw_score, deviations, _ = self.rate_learn_entities(self._state, rows, X, times, learn=False)
        return self._score(raw_score), deviations

    def _score(self, raw_score: Floats) -> Floats:
        size = np.nan_to_num(raw_score, nan=0.0, posinf=np.inf)
        with np.errstate(invalid="ignore"):
            score: Floats = np.where(np.isinf(size), 1.0, size / (size + self.half_score))
        return score
