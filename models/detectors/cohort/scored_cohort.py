"""What is common to cohort detectors whose score follows from a raw score: ``m / (m + half_score)``."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np
from streamgauge.models.contract import Floats, checked, share
from streamgauge.models.detectors.cohort.cohort_detector import CohortDetector
from streamgauge.models.errors import NotReadyError


class ScoredCohort(CohortDetector):
    """`Detector`'s methods by way of one that returns raw scores and weights.

    Attributes
    ----------
    half_score : float
        The raw score whose score is 0.5.
    warmup : int
        Events to learn before anything is scored.
    """

    half_score: ClassVar[float] = 3.0
    warmup: int

    @abstractmethod
    def _build(self, width: int) -> None:
        """Make the arrays for so many columns, all of them new."""

    @abstractmethod
    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        """Raw scores and weights of events, see `rate_learn_many`; where `learn`, also learn them and add them to `learned`."""

    @abstractmethod
    def widen(self, width: int) -> None:
        """Take `width` columns from now on, more than before, and keep what is known of the old ones."""

    @property
    def ready(self) -> bool:  # noqa: D102
        return self.width is not None and self.learned >= self.warmup

    def rate_learn_many(self, X: Floats) -> tuple[Floats, Floats]:  # noqa: D102
        X = checked(X, self.width, self.name)
        if self.width is None:
            self._build(X.shape[1])
        return self._rate(X, learn=True)

    def widened(self, width: int) -> Self:  # noqa: D102
        if self.width is None:
            return type(self)(**self.settings())
        new = copy.copy(self)
        new.widen(width)
        return new

    def learn_many(self, X: Floats) -> None:  # noqa: D102
        self.score_learn_many(X)

    def score_learn_many(self, X: Floats) -> Floats:  # noqa: D102
        columns = self._columns_of(checked(X, self._fields(), self.name), forward=True)
        return self._score(self.rate_learn_many(columns)[0])

    def score_many(self, X: Floats) -> Floats:  # noqa: D102
        return self._score(self._rated(X)[0])

    def explain_many(self, X: Floats) -> Floats:
        """Each field's share of the raw score, times the score."""
        raw, weights = self._rated(X)
        return share(weights, self._score(raw))

    def _fields(self) -> int | None:
        """Columns that `Detector`'s methods take; None before the first event."""
        return self.width

    def _columns_of(self, X: Floats, forward: bool) -> Floats:
        """The columns that belong to rows given through `Detector`'s methods; `forward` when they are learned."""
        return X

    def _rated(self, X: Floats) -> tuple[Floats, Floats]:
        X = checked(X, self._fields(), self.name)
        if not self.ready:
            raise NotReadyError(f"{self.name} needs {self.warmup} events, it has learned {self.learned}")
        return self._rate(np.ascontiguousarray(self._columns_of(X, forward=False)), learn=False)

    def _score(self, raw: Floats) -> Floats:
        size = np.nan_to_num(raw, nan=0.0)
        score: Floats = size / (size + self.half_score)
        return score
