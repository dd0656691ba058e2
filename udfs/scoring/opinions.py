"""What detectors say of events, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from streamgauge.models.contract import Flags, Floats, Kind

EVIDENCE: tuple[Kind, ...] = ("point", "contextual", "collective", "relative", "drift")


class ByPlace(Protocol):
    """Numbers of each field of an event, float64[d], by the event's place: an array, or made when asked for."""

    def __getitem__(self, place: int, /) -> Floats:
        """Those of one event."""


@dataclass(slots=True)
class Opinions:
    """What the detectors say of each event.

    Attributes
    ----------
    names : list of str
        The detectors.
    magnitudes : float64[n, detectors]
        Odds of each score; NaN where a detector has no opinion yet.
    contributions : list
        Of each detector: its unscaled weight of each field of an event, by the event's place; NaN is none, None no opinion of any.
    expected : list
        What each field of an event was expected to be, by the event's place, NaN where unknown; the first that knows is right.
    missing : float64[n]
        Largest share of a trained model's fields that the event lacks.
    categories : float64[n, text fields]
        Weight of each text field.
    levels : float64[seated events, d] or float64[seated events, 0]
        Where the peers of the events of rich entities stand.
    canaries : bool[n, models] or bool[n, 0]
        For which events each trained model's shadow is heard in its place; no columns where none is.
    sure : float64[n]
        Surprise of the detectors that decide over the others that an alert may rest on; NaN where none has an opinion.
    seconds : dict of str to float
        What each trained model took.
    """

    names: list[str]
    magnitudes: Floats
    contributions: list[ByPlace | None]
    expected: list[ByPlace]
    missing: Floats
    categories: Floats
    levels: Floats
    canaries: Flags
    sure: Floats
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Verdicts:
    """Calibrated and combined opinions.

    Attributes
    ----------
    surprises : float64[n, detectors]
        Minus ln of each detector's tail probability; NaN where it has no opinion.
    surprise : float64[n]
        How unusual each event is by itself, for its time: the larger of what speaks for a point and for a contextual anomaly; 0 where
        nobody has an opinion.
    disagreement : float64[n]
        0 to 1.
    interval : float64[n, 2]
        In which 90 % of ensembles of such members would see the event, as far as these tell: lower and upper surprise.
    evidence : float64[n, 5]
        Surprise that speaks for each kind of `EVIDENCE`: for a point that of the ensemble, as far as an alert may rest on it, for the
        others that of who looks for them.
    """

    surprises: Floats
    surprise: Floats
    disagreement: Floats
    interval: Floats
    evidence: Floats

    @property
    def total(self) -> Floats:
        """float64[n], surprise that speaks for an incident of any kind: the largest of `evidence`."""
        largest: Floats = self.evidence.max(axis=1)
        return largest
