"""What detectors of single fields share that look through several channels."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints, Kind
from streamgauge.models.detectors.channel.usual_level import LARGEST
from streamgauge.models.detectors.entity.entity_detector import EntityDetector


@dataclass(frozen=True, slots=True)
class Channel:
    """One thing that a field is looked at for.

    Attributes
    ----------
    name : str
        Unique among all channels.
    kind : str
        The kind of anomaly that it finds.
    """

    name: str
    kind: Kind


class FieldChannels(EntityDetector):
    """A detector whose deviations are evidence: minus ln of a tail probability, by channel.

    Attributes
    ----------
    channels : tuple of Channel
        In the order of the evidence.
    cohort_numbers : int
        float64 numbers of a field that are learned from all entities together; 0 is none.
    cohort : float64[d, cohort_numbers]
        These numbers; changed in place.
    """

    channels: ClassVar[tuple[Channel, ...]]
    cohort_numbers: ClassVar[int] = 0
    in_nats: ClassVar[bool] = True
    pooled = "largest"

    def __init__(self) -> None:
        self.cohort = np.zeros((0, self.cohort_numbers))

    @abstractmethod
    def _evidence(
        self, state: Floats, rows: Ints, X: Floats, times: Ints, quarantined: Flags, evidence: Floats, expected: Floats
    ) -> None:
        """Fill in `evidence`, float64[n, d, channels], and `expected`, float64[n, d]; learn what is not quarantined."""

    def evidence(
        self, state: Floats, rows: Ints, X: Floats, times: Ints, quarantined: Flags
    ) -> tuple[Floats, Floats]:
        """Look at events in row order, and learn them.

        Parameters
        ----------
        state : float64[entities, d, numbers_per_feature]
            Changed in place; all zeros is an entity that was never seen.
        rows : int64[n]
            Row of `state` that each event belongs to.
        X : float64[n, d]
            NaN is missing.
        times : int64[n]
            Milliseconds since 1970.
        quarantined : bool[n]
            Events that are not learned.

        Returns
        -------
        evidence : float64[n, d, channels]
            At least 0; NaN where a channel cannot judge.
        expected : float64[n, d]
            NaN where nothing is known.
        """
        if X.shape[1] > len(self.cohort):
            more = np.zeros((X.shape[1] - len(self.cohort), self.cohort_numbers))
            self.cohort = np.concatenate((self.cohort, more))
        evidence, expected = np.full((*X.shape, len(self.channels)), np.nan), np.full(X.shape, np.nan)
        self._evidence(state, rows, np.clip(X, -LARGEST, LARGEST), times, quarantined, evidence, expected)
        return evidence, expected

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        evidence, expected = self.evidence(state, rows, X, times, np.full(len(X), not learn))
        largest = np.nan_to_num(evidence, nan=-1.0).max(axis=2)
        return np.where(largest < 0.0, np.nan, largest), expected
