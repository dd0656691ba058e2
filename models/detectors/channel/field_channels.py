"""What is common to detectors that look at single fields through several channels."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints, Kind
from streamgauge.models.detectors.deviation import LARGEST
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
    of_runs : bool
        Whether it judges runs of values. Such a channel is a look of its own, and does not rank single events.
    price : float
        Evidence that it must have in addition, because it looks at more than one thing in each event.
    """

    name: str
    kind: Kind
    of_runs: bool = False
    price: float = 0.0


class Found(NamedTuple):
    """What a detector with channels finds in events.

    Attributes
    ----------
    evidence : float64[n, d, channels]
        At least 0; NaN where a channel cannot judge.
    expected : float64[n, d]
        The expected value; NaN where nothing is known.
    deviations : float64[n, d]
        Value less expected value, in standard deviations; NaN where nothing is known.
    """

    evidence: Floats
    expected: Floats
    deviations: Floats


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
    def _look(self, state: Floats, rows: Ints, X: Floats, times: Ints, quarantined: Flags, found: Found) -> None:
        """Fill in what is found; learn what is not quarantined."""

    def look(
        self, state: Floats, rows: Ints, X: Floats, times: Ints, quarantined: Flags, expected: Floats | None = None
    ) -> Found:
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
            Events that are not learned by a detector that says `quarantined`. Others learn with limits of their own, always.
        expected : float64[n, d], optional
            What another detector expects; NaN where it expects nothing.

        Returns
        -------
        Found
        """
        if X.shape[1] > len(self.cohort):
            more = np.zeros((X.shape[1] - len(self.cohort), self.cohort_numbers))
            self.cohort = np.concatenate((self.cohort, more))
        expected = np.full(X.shape, np.nan) if expected is None else expected.copy()
        found = Found(np.full((*X.shape, len(self.channels)), np.nan), expected, np.full(X.shape, np.nan))
        if not self.quarantined:
            quarantined = np.zeros(len(X), np.bool_)
        self._look(state, rows, np.clip(X, -LARGEST, LARGEST), times, quarantined, found)
        return found

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        cohort = self.cohort
        if not learn:  # each event is looked at by copies of what is known
            state, rows, self.cohort = state[rows], np.arange(len(X)), cohort.copy()
        found = self.look(state, rows, X, times, np.zeros(len(X), np.bool_))
        if not learn:
            self.cohort = cohort
        largest = np.nan_to_num(found.evidence, nan=-1.0).max(axis=2)
        return np.where(largest < 0.0, np.nan, largest), found.expected
