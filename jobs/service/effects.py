"""What saying "right" or "wrong" of an incident will change in the job."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from streamgauge.jobs.kafka.feedback import about
from streamgauge.udfs.control.feedback import Feedback, FeedbackInForce


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which events of the same entity, kind and field open an incident.

    Attributes
    ----------
    rarer : float
        Tail probability below which an event does.
    farther : float or None
        Difference of the field's value from its expected value above which an event does, however usual it is; None if no
        difference is large enough.
    """

    rarer: float
    farther: float | None


@dataclass(frozen=True, slots=True)
class Effects:
    """What a verdict will change.

    Attributes
    ----------
    now, after : Bounds or None
        Before anything is said, and after "wrong". None if verdicts of people suppress nothing.
    suppresses : bool
        Whether "wrong" can suppress anything: it cannot for a silence.
    agreed, disagreed : list of str
        Members that found the event anomalous, and that did not. After "right" the first count a little more and the others a little
        less; after "wrong" it is the other way round.
    """

    now: Bounds | None
    after: Bounds | None
    suppresses: bool
    agreed: list[str]
    disagreed: list[str]


def effects(incident: dict[str, Any], said: list[dict[str, Any]], by: str) -> Effects:
    """What a verdict of a person will change.

    Parameters
    ----------
    incident : dict
        As `Queries.incident` gives it.
    said : list of dict
        What people said before of incidents of the same entity, as on the topic.
    by : str
        Who may say something now.
    """
    first = incident["first"]
    known, threshold = FeedbackInForce(), first.get("threshold")
    for one in said:
        known.take(Feedback.model_validate(one))
    wrong = about([change["data"] for change in incident["changes"]], "false", by)
    now = _bounds(known, wrong, threshold)
    known.take(wrong)
    after = _bounds(known, wrong, threshold)
    return Effects(now, after, threshold is not None, first["agreed"], first.get("disagreed", []))


def _bounds(known: FeedbackInForce, wrong: Feedback, threshold: float | None) -> Bounds | None:
    bounds = None if threshold is None else known.bounds(wrong.pattern, -math.log(threshold))
    if bounds is None:
        return None
    evidence, effect = bounds
    return Bounds(math.exp(-evidence), effect if math.isfinite(effect) else None)
