"""What every detector promises, whatever its algorithm.

Scores run from 0 to 1, high is anomalous. Scoring is pure: it never changes a detector; learning is explicit.
Arrays are float64, one row an event, one column a feature; NaN marks a missing value.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from streamgauge.models.errors import WidthError

MOST_BYTES = 500_000_000  # of one model in memory
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Kind = Literal["point", "contextual", "collective", "relative", "drift"]  # of anomalies


class Detector(ABC):
    """An online detector.

    `__init__` only stores its arguments; arrays are made when the first event shows how wide it is.

    Attributes
    ----------
    name : str
        Its name in settings and alerts.
    anomaly_kind : str
        The kind of anomaly that it looks for.
    apart : bool
        Whether it is no member of the ensemble, but a look of its own. True for every detector of another kind than "point".
    ranks : bool
        Whether it counts for the rank of an event, not only for alerts. False for every detector that judges runs of events.
    """

    name: ClassVar[str]
    anomaly_kind: ClassVar[Kind] = "point"
    apart: ClassVar[bool] = False
    ranks: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.apart = cls.apart or cls.anomaly_kind != "point"
        cls.ranks = cls.ranks and cls.anomaly_kind not in ("collective", "drift")

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether it has learned enough to score."""

    @abstractmethod
    def learn_many(self, X: Floats) -> None:
        """Learn events in row order.

        Parameters
        ----------
        X : float64[n, d]
        """

    @abstractmethod
    def score_many(self, X: Floats) -> Floats:
        """Score events by what is known now; nothing is learned.

        Parameters
        ----------
        X : float64[n, d]

        Returns
        -------
        float64[n]
            0 to 1, high is anomalous.

        Raises
        ------
        NotReadyError
            Too little was learned; says how much is missing.
        WidthError
            `d` is not the width that was learned.
        """

    @abstractmethod
    def score_learn_many(self, X: Floats) -> Floats:
        """Score, then learn, event by event, in one pass; events before `ready` score 0.

        Equal to calling `score_many` and `learn_many` for one row after the other: the cut into batches does not matter.
        """

    @abstractmethod
    def explain_many(self, X: Floats) -> Floats:
        """Contribution of each feature to the score of each event.

        Returns
        -------
        float64[n, d]
            At least 0; each row adds up to the score.
        """

    @abstractmethod
    def to_state(self) -> bytes:
        """Everything that was learned, as versioned bytes; never pickle."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: bytes) -> Self:
        """The detector that `to_state` saved.

        Raises
        ------
        StateError
            The bytes are damaged, of another detector, or of a format that is not known.
        """

    def settings(self) -> dict[str, Any]:
        """The arguments of `__init__`, as they were given."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    def score_one(self, x: Floats) -> float:
        """Score of one event, float64[d]."""
        return float(self.score_many(np.asarray(x, dtype=np.float64)[None, :])[0])

    def learn_one(self, x: Floats) -> None:
        """Learn one event, float64[d]."""
        self.learn_many(np.asarray(x, dtype=np.float64)[None, :])


def checked(X: Floats, width: int | None, name: str) -> Floats:
    """`X` as a C-contiguous float64 matrix of the right width.

    Raises
    ------
    WidthError
        It is no matrix, or its number of columns is not `width`.
    """
    X = np.ascontiguousarray(X, dtype=np.float64)
    if X.ndim != 2:
        raise WidthError(f"{name} takes a matrix [events, features], not an array of {X.ndim} dimensions")
    if width is not None and X.shape[1] != width:
        raise WidthError(f"{name} was built for {width} features, not {X.shape[1]}")
    return X


def share(weights: Floats, scores: Floats) -> Floats:
    """Split each score over the features in proportion to non-negative weights; evenly where all are 0."""
    weights = np.nan_to_num(weights, nan=0.0)
    total = weights.sum(axis=1, keepdims=True)
    even = np.full_like(weights, 1.0 / max(1, weights.shape[1]))
    parts: Floats = np.where(total > 0, weights / np.where(total > 0, total, 1.0), even) * scores[:, None]
    return parts
