"""What the members of the ensemble find in events, before and after calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from streamgauge.models.contract import Flags, Floats, Kind

# The kinds of anomalies that members look for, in the order of the columns of `Verdicts.by_kind`.
EVIDENCE: tuple[Kind, ...] = ("point", "contextual", "collective", "relative", "drift")


class ByPlace(Protocol):
    """One float64[d] for each event, found by the event's place: rows of an array, or computed on demand."""

    def __getitem__(self, place: int, /) -> Floats:
        """The numbers of the event at a place."""


@dataclass(frozen=True, slots=True)
class ChannelShares:
    """How much each field contributes to the evidence of a channel, by the event's place.

    Attributes
    ----------
    looks : float64[n, d]
        Evidence; NaN where the channel cannot judge.
    """

    looks: Floats

    def __getitem__(self, place: int, /) -> Floats:
        """The inverse of each field's tail probability, relative to the rarest, float64[d]; NaN where it cannot judge."""
        evidence = self.looks[place]
        shares: Floats = np.exp(evidence - np.nanmax(evidence, initial=0.0))
        return shares


@dataclass(slots=True)
class Opinions:
    """What the members of the ensemble find in each event, before calibration.

    Attributes
    ----------
    names : list of str
        The members.
    raw_scores : float64[n, members]
        Larger is stranger. NaN where a member has no opinion yet.
    contributions : list of ByPlace or None
        For each member: how much each field of an event contributes, at least 0, in units of the member's own. NaN where a field does
        not contribute. None for a member that does not give contributions.
    expected : list of ByPlace
        What each field of an event was expected to be; NaN where unknown. Where several know a field, the first one counts.
    missing : float64[n]
        Share of a trained model's fields that the event lacks, 0 to 1: the largest of all models.
    categories : float64[n, text fields]
        How much each text field contributes, at least 0.
    levels : float64[m, d] or float64[m, 0]
        Level of the peers at each of the m events whose entity is in the rich tier, in deviations; no columns where entities are not
        compared.
    canaries : bool[n, models] or bool[n, 0]
        For which events each trained model's shadow counts instead of the live model. No columns where no model has a canary.
    looks : float64[n, d, channels]
        Evidence of each channel for each field, at least 0; NaN where it cannot judge.
    joined : float64[n]
        Evidence of all channels and fields together; NaN where none can judge.
    by_kind : float64[n, 5]
        The part of it that comes from the looks of each kind of `EVIDENCE`.
    relations : float64[n, 4 d + 4] or float64[0, 0]
        What `Relations` learned of each event: the deviation and the value of each field, and what was kept of its entity before. It is
        saved, and learned again after a restore.
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
    looks: Floats
    joined: Floats
    by_kind: Floats
    relations: Floats = field(default_factory=lambda: np.empty((0, 0)))
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Verdicts:
    """Calibrated and combined opinions. Evidence is -ln of a tail probability.

    Attributes
    ----------
    members : float64[n, members]
        Evidence of each member, at least 0; NaN where it has no opinion.
    evidence : float64[n]
        Evidence that events are ranked by, at least 0; 0 where no member has an opinion. It is the joined evidence, but events that
        resemble the entity's past stay below `join.SEEN_BEFORE`.
    joined : float64[n]
        Evidence of all looks together, at least 0: what an alert rests on. NaN where nothing could be judged.
    disagreement : float64[n]
        0 (all members have the same evidence) to 1 (one has some, another has none).
    interval : float64[n, 2]
        Lower and upper bound of the evidence that 90 % of ensembles of such members would give, estimated from the spread of these.
    by_kind : float64[n, 5]
        The part of the joined evidence that comes from the looks of each kind of `EVIDENCE`, at least 0.
    strongest : float64[n]
        Alert evidence for an incident of any kind: `joined`, and 0 where nothing could be judged.
    """

    members: Floats
    evidence: Floats
    disagreement: Floats
    interval: Floats
    by_kind: Floats
    joined: Floats
    strongest: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.strongest = np.nan_to_num(self.joined)  # once: several stages ask for it
