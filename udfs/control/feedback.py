"""People's feedback on alerts, and its effects. The effects are bounded, so that nobody can do harm with many or wrong messages.

The effects depend only on the newest message of each person on each alert. All of these are on the topic, so nothing else has to be saved.
Which messages are believed is decided in `proof`, before they come here.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, model_validator
from streamgauge.udfs.settings.base import Section, parsed

TENFOLD = math.log(10.0)
EACH = 6  # powers of ten by which each person who calls a pattern false can lower its threshold, at most
FARTHER = 2.0  # an event whose effect is more than this many times the largest one called false is not suppressed
STEP = 0.05  # by how much one message moves the logarithm of a member's weight
MOST_BY = 10  # messages of one person that count for a member's weight, at most
MOST_MOVED = math.log(2.0)  # by how much the logarithm of a member's weight moves in all, at most


Verdict = Literal["true", "false", "ignore", "undo"]
Pattern = tuple[str, str, str | None]  # of an alert: the entity, the kind, and the field with the largest share


class Source(Section):
    """The place of an alert's events on the topic."""

    topic: str | None = Field(None, description="Topic of the events; null in feedback of earlier releases.")
    partition: int
    first: int = Field(description="Offset of the event that opened it.")
    last: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of the topic, with the events of one entity.

    Attributes
    ----------
    entity : str
    source : Source
        Partition, first and last offset.
    """

    entity: str
    source: Source


class Told(Section):
    """What one message about an alert told, as far as feedback needs it, with the job's signature."""

    alert_id: str = Field(min_length=1)
    state: str
    entity: str = Field(min_length=1)
    kind: str = Field(min_length=1)
    day: str = Field(description="Day (UTC) of the event that opened the alert.")
    tail_probability: float = Field(gt=0, le=1)
    effect: float | None = Field(None, ge=0)
    field: str | None = None
    agreed: tuple[str, ...] = ()
    disagreed: tuple[str, ...] = ()
    source: Source
    signature: str | None = Field(None, description="Of all the rest, by the job; null if it does not sign.")

    @property
    def signed_part(self) -> bytes:
        """The bytes that are signed: everything but the signature, in one normal form; missing values are left out."""
        facts = self.model_dump(mode="json", exclude={"signature"}, exclude_none=True)
        return json.dumps(facts, sort_keys=True).encode()


class Feedback(Section):
    """One person's feedback on one alert. Later feedback of the same person on the same alert replaces it."""

    alert_id: str = Field(min_length=1)
    entity: str = Field(min_length=1)
    kind: str = Field(min_length=1, description="Kind of the alert.")
    tail_probability: float = Field(gt=0, le=1, description="Tail probability of the alert, at its peak.")
    effect: float | None = Field(
        None, ge=0, description="How far its field was from the expected value, in the field's unit."
    )
    field: str | None = Field(None, description="The field with the largest share.")
    verdict: Verdict = Field(description="undo takes back what the person said of the alert before.")
    until: datetime | None = Field(None, description="With ignore: no alerts of this pattern until then.")
    at: datetime | None = Field(
        None, description="When it was said. What was said earlier never replaces what was said later."
    )
    by: str = Field(min_length=1, max_length=200)
    why: str = Field("", max_length=2000)
    agreed: tuple[str, ...] = Field((), description="Members that found the event anomalous.")
    disagreed: tuple[str, ...] = Field((), description="Members that did not find it anomalous.")
    source: Source | None = None
    told: tuple[Told, ...] = Field(
        (),
        max_length=3,
        description="What the messages about the alert told, from which all of this follows: the one that opened it, the rarest, the last. "
        "It is the field `proof` of each.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Feedback:
        if (self.verdict == "ignore") != (self.until is not None):
            raise ValueError(
                f"until: a time goes with the verdict ignore, and with no other (verdict is {self.verdict!r})"
            )
        for key, time in (("until", self.until), ("at", self.at)):
            if time is not None and time.tzinfo is None:
                raise ValueError(f"{key}: it needs a zone: 2026-11-22T10:00:00Z")
        return self

    @property
    def key(self) -> str:
        """The key of the record on the topic: each person's words on one alert have one key."""
        return f"{self.alert_id} {self.by}"

    @property
    def pattern(self) -> Pattern:
        """What an alert must have in common with this one, so that the feedback concerns it, too."""
        return self.entity, self.kind, self.field


def most_to_blame(contributions: dict[str, float]) -> str | None:
    """The field with the largest share in an alert; None if none has a share, as where only a rule is broken."""
    shares = {name: share for name, share in contributions.items() if share > 0.0}
    return max(shares, key=shares.__getitem__, default=None)


def known_from(told: tuple[Told, ...]) -> dict[str, Any]:
    """What feedback says about its alert, as it follows from messages about the alert, in their order.

    Entity, kind, field, effect and members are those of the first message, which opened it.
    """
    first = told[0]
    names = ("alert_id", "entity", "kind", "field", "effect", "agreed", "disagreed")
    last = told[-1].source.last
    return {name: getattr(first, name) for name in names} | {
        "tail_probability": min(one.tail_probability for one in told),
        "source": first.source.model_copy(update={"last": last}),
        "told": told,
    }


_adapter = TypeAdapter(Feedback)


def parse_feedback(text: str | bytes) -> Feedback:
    """Read a message of the feedback topic.

    Raises
    ------
    SettingsError
        The text is no such message; it says which key holds which value, and what is allowed.
    """
    return parsed(_adapter, text, "feedback")


class FeedbackInForce:
    """All feedback so far.

    Attributes
    ----------
    newest : dict of str to Feedback
        The newest message of each person on each alert, by its key. What was undone is not in it.
    """

    def __init__(self) -> None:
        self.newest: dict[str, Feedback] = {}
        self._of: dict[Pattern, dict[str, Feedback]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self.newest)

    def take(self, message: Feedback) -> bool:
        """Put a message in force.

        Returns
        -------
        bool
            False if the same message is in force already.
        """
        before = self.newest.get(message.key)
        if before == message or (before is None and message.verdict == "undo"):
            return False
        if before is not None:
            self._of[before.pattern].pop(message.key, None)
        if message.verdict == "undo":
            del self.newest[message.key]
            return True
        self.newest[message.key] = message
        self._of[message.pattern][message.key] = message
        return True

    def hides(self, pattern: Pattern, time: int, evidence: float, evidence_needed: float, effect: float) -> bool:
        """Whether feedback suppresses an event: until the time of an ``ignore``, or because `bounds` says so.

        Parameters
        ----------
        pattern : (str, str, str or None)
            Entity, kind, and field with the largest share.
        time : int
            Event time, milliseconds.
        evidence, evidence_needed : float
            Evidence of the event, and at the threshold.
        effect : float
            Difference of the field's value from its expected value, at least 0; NaN is unknown.
        """
        messages = self._of.get(pattern)
        if not messages:
            return False
        if any(m.until is not None and time < m.until.timestamp() * 1000 for m in messages.values()):
            return True
        bounds = self.bounds(pattern, evidence_needed)
        return bounds is not None and not effect > bounds[1] and evidence < bounds[0]

    def bounds(self, pattern: Pattern, evidence_needed: float) -> tuple[float, float] | None:
        """What an event of a pattern needs so that votes do not suppress it.

        If more people call the pattern false than true, an event is suppressed unless it is clearly worse than what they called false:
        ten times rarer, or with an effect more than twice as large. Each of these people can lower the threshold for the pattern by a
        factor of at most a million, so that nobody hides severe anomalies with many or malicious messages.

        Parameters
        ----------
        pattern : (str, str, str or None)
            Entity, kind, and field with the largest share.
        evidence_needed : float
            Evidence at the threshold.

        Returns
        -------
        (float, float) or None
            The event needs this evidence, or a larger effect than this one. None if votes suppress nothing of this pattern.
        """
        votes_by_person: dict[str, int] = {}
        largest_evidence, largest_effect = evidence_needed, 0.0  # of the alerts that were called false
        for message in self._of.get(pattern, {}).values():
            if message.verdict == "ignore":
                continue
            vote = 1 if message.verdict == "false" else -1
            votes_by_person[message.by] = votes_by_person.get(message.by, 0) + vote
            if message.verdict == "false":
                largest_evidence = max(largest_evidence, -math.log(message.tail_probability))
                largest_effect = max(largest_effect, math.inf if message.effect is None else message.effect)
        votes = sum(int(np.sign(vote)) for vote in votes_by_person.values())
        if votes <= 0:
            return None
        return min(largest_evidence + TENFOLD, evidence_needed + EACH * votes * TENFOLD), FARTHER * largest_effect

    def factors(self) -> dict[str, float]:
        """By member of the ensemble: the factor of its weight, 0.5 to 2. A member that was right more often than wrong has more than 1."""
        right: dict[str, dict[str, int]] = defaultdict(
            lambda: defaultdict(int)
        )  # by member and person: right less wrong
        for message in self.newest.values():
            if message.verdict == "ignore":
                continue
            sign_of_verdict = 1 if message.verdict == "true" else -1
            for names, sign in ((message.agreed, sign_of_verdict), (message.disagreed, -sign_of_verdict)):
                for name in names:
                    right[name][message.by] += sign
        moved = {name: STEP * sum(min(max(n, -MOST_BY), MOST_BY) for n in by.values()) for name, by in right.items()}
        return {name: math.exp(min(max(m, -MOST_MOVED), MOST_MOVED)) for name, m in moved.items()}
