"""What detectors of a cohort have in common: one model for all entities of a partition, over their normalised values."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal, Self

from streamgauge.models.contract import Detector, Floats

InputKind = Literal["features", "levels", "levels and lasts", "categories"]


class CohortDetector(Detector):
    """A detector with one model for many entities.

    In the job, its input is the entities' normalised values, as `input_kind` says. Through `Detector`'s methods it takes any columns;
    where it needs the values of the event before, it keeps those of the row before.

    Attributes
    ----------
    input_kind : {"features", "levels", "levels and lasts", "categories"}
        What the job gives it: features in [0, 1]; levels, in standard deviations; levels, and those of the entity's event before;
        numbers that stand for the values of text fields.
    in_nats : bool
        Whether the raw score already is evidence, and needs no calibration.
    max_fields : int
        With more fields, the job does not run it.
    learned : int
        Events learned so far.
    """

    input_kind: ClassVar[InputKind] = "levels"
    in_nats: ClassVar[bool] = False
    max_fields: ClassVar[int] = 4096
    learned: int

    @classmethod
    @abstractmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:
        """Memory that such a detector will take, before it is made.

        Parameters
        ----------
        width : int
            Columns that `rate_learn_many` takes.
        settings
            Arguments of `__init__`.
        """

    @property
    @abstractmethod
    def width(self) -> int | None:
        """Columns that `rate_learn_many` takes; None before the first event."""

    @abstractmethod
    def rate_learn_many(self, X: Floats) -> tuple[Floats, Floats]:
        """Raw scores and weights of events; each event is scored, then learned.

        Parameters
        ----------
        X : float64[n, w]
            As `input_kind` says; NaN is missing.

        Returns
        -------
        raw_score : float64[n]
            At least 0, high is anomalous; NaN before the detector is ready.
        weights : float64[n, fields]
            Each field's unscaled part in the raw score, at least 0.
        """

    @abstractmethod
    def widened(self, width: int) -> Self:
        """The same detector for `width` columns, more than it has; what it knows of the old ones is kept where possible."""
