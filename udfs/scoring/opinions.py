"""What detectors say of events, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from streamgauge.models.contract import Flags, Floats, Kind

# The kinds of anomalies that members look for, in the order of the columns of `Verdicts.by_kind`.
EVIDENCE: tuple[Kind, ...] = ("point", "contextual", "collective", "relative", "drift")


class ByPlace(Protocol):
    """One float64[d] for each event, by its place: an array, or computed when asked for."""

    def __getitem__(self, place: int, /) -> Floats:
        """The numbers of one event."""


@dataclass(slots=True)
class Opinions:
    """What the members of the ensemble say of each event, before calibration.

    Attributes
    ----------
    names : list of str
        The members.
    raw_scores : float64[n, members]
        Larger is stranger; NaN where a member has no opinion yet.
    contributions : list of ByPlace or None
        For each member, its unscaled weight of each field of an event; NaN is none. None where a member has no weights.
    expected : list of ByPlace
        What each field of an event was expected to be; NaN where unknown. The first that knows a field is right.
    missing : float64[n]
        Largest share of a trained model's fields that the event lacks, 0 to 1.
    categories : float64[n, text fields]
        Weight of each text field.
    levels : float64[seated events, d] or float64[seated events, 0]
        Where the peers stand at each event of an entity of the rich tier.
    canaries : bool[n, models] or bool[n, 0]
        For which events each trained model's shadow counts in its place; no columns where no model has a canary.
    alert_evidence : float64[n]
        Evidence of the leading detectors that an alert may rest on; NaN where none has an opinion.
    seconds : dict of str to float
        Time that each trained model took.
    """

    names: list[str]
    raw_scores: Floats
    contributions: list[ByPlace | None]
    expected: list[ByPlace]
    missing: Floats
    categories: Floats
    levels: Floats
    canaries: Flags
    alert_evidence: Floats
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Verdicts:
    """Calibrated and combined opinions. Evidence is -ln of a tail probability.

    Attributes
    ----------
    members : float64[n, members]
        Evidence of each member; NaN where it has no opinion.
    evidence : float64[n]
        Of the event by itself, for its time: the larger of the evidence for a point and for a contextual anomaly; 0 where no member
        has an opinion.
    disagreement : float64[n]
        0 to 1.
    interval : float64[n, 2]
        The evidence that 90 % of ensembles of such members would give, as far as these tell: lower and upper bound.
    by_kind : float64[n, 5]
        Alert evidence for each kind of `EVIDENCE`: for a point that of the ensemble, for the others that of the members that look for
        the kind.
    """

    members: Floats
    evidence: Floats
    disagreement: Floats
    interval: Floats
    by_kind: Floats

    @property
    def strongest(self) -> Floats:
        """float64[n], alert evidence for an incident of any kind: the largest of `by_kind`."""
        largest: Floats = self.by_kind.max(axis=1)
        return largest
