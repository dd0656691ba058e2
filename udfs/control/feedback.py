"""What people say of alerts, and what follows from it, within bounds: who says much, or wrong things, changes no more than these allow.

All of it follows from the messages on the topic, the newest of each person for each alert: nothing else has to be kept.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from pydantic import Field, TypeAdapter, model_validator
from streamgauge.udfs.settings.base import Section, parsed

TENFOLD = math.log(10.0)
EACH = 6  # times ten, by which a pattern must be rarer than the threshold, at the most, for each person more who finds it false
FARTHER = 2.0  # times as far off as what was found false is something else
STEP = 0.05  # by how much a label moves the logarithm of a member's weight,
MOST_BY = 10  # so many labels of one person at the most,
MOST_MOVED = math.log(2.0)  # and so far in all


Pattern = tuple[str, str, str | None]  # entity, kind and field most to blame of an alert


class Source(Section):
    """Where an alert's events lie on the topic."""

    partition: int
    first: int = Field(description="Offset of the event that opened it.")
    last: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events of one entity on the topic.

    Attributes
    ----------
    entity : str
    source : Source
        Partition, first and last offset.
    """

    entity: str
    source: Source


class Feedback(Section):
    """What one person says of one alert; a later word of the same replaces it."""

    alert_id: str = Field(min_length=1)
    entity: str = Field(min_length=1)
    kind: str = Field(min_length=1, description="Of the alert.")
    tail_probability: float = Field(gt=0, le=1, description="Of the alert, at its peak.")
    effect: float | None = Field(
        None, ge=0, description="How far its field was from the expected value, in the field's unit."
    )
    field: str | None = Field(None, description="Most to blame.")
    verdict: Literal["true", "false", "ignore"]
    until: datetime | None = Field(None, description="With ignore: no alerts of this pattern until then.")
    by: str = Field(min_length=1, max_length=200)
    why: str = Field("", max_length=2000)
    agreed: tuple[str, ...] = Field((), description="Detectors that found it anomalous,")
    disagreed: tuple[str, ...] = Field((), description="and those that did not.")
    source: Source | None = None

    @model_validator(mode="after")
    def _complete(self) -> Feedback:
        if (self.verdict == "ignore") != (self.until is not None):
            raise ValueError(
                f"until: a time goes with the verdict ignore, and with no other (verdict is {self.verdict!r})"
            )
        if self.until is not None and self.until.tzinfo is None:
            raise ValueError("until: it needs a zone: 2026-11-22T10:00:00Z")
        return self

    @property
    def key(self) -> str:
        """Of the record, in a compacted topic."""
        return f"{self.alert_id} {self.by}"

    @property
    def pattern(self) -> Pattern:
        """What alerts must have in common for this to be said of them, too."""
        return self.entity, self.kind, self.field


_adapter = TypeAdapter(Feedback)


def parse_feedback(text: str | bytes) -> Feedback:
    """One message of the feedback topic.

    Raises
    ------
    SettingsError
        It is none; says which key holds which value and what is allowed.
    """
    return parsed(_adapter, text, "feedback")


class FeedbackInForce:
    """All feedback so far.

    Attributes
    ----------
    newest : dict
        Message by alert and person.
    """

    def __init__(self) -> None:
        self.newest: dict[str, Feedback] = {}
        self._of: dict[Pattern, dict[str, Feedback]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self.newest)

    def take(self, message: Feedback) -> bool:
        """Take up a message; returns whether it is news."""
        before = self.newest.get(message.key)
        if before == message:
            return False
        if before is not None:
            self._of[before.pattern].pop(message.key, None)
        self.newest[message.key] = message
        self._of[message.pattern][message.key] = message
        return True

    def hides(self, pattern: Pattern, time: int, surprise: float, limit: float, effect: float) -> bool:
        """Whether an event is not told because of what was said of its pattern.

        If more people find the pattern false than true, what is no farther off than twice what they found false, and no more than ten
        times rarer, is not told again. One of them can raise the threshold a millionfold, two the square of that: who labels much, or
        maliciously, hides no more. `ignore` silences the pattern until its time.

        Parameters
        ----------
        pattern : (entity, kind, field)
        time : int
            Of the event, milliseconds.
        surprise, limit : float
            Of the event, and of the threshold.
        effect : float
            How far the field is from its expected value; NaN is unknown.
        """
        said = self._of.get(pattern)
        if not said:
            return False
        by: dict[str, int] = {}
        largest, farthest = limit, 0.0
        for message in said.values():
            if message.verdict == "ignore":
                if message.until is not None and time < message.until.timestamp() * 1000:
                    return True
                continue
            by[message.by] = by.get(message.by, 0) + (1 if message.verdict == "false" else -1)
            if message.verdict == "false":
                largest = max(largest, -math.log(message.tail_probability))
                farthest = max(farthest, math.inf if message.effect is None else message.effect)
        votes = sum(int(np.sign(vote)) for vote in by.values())
        if votes <= 0 or effect > FARTHER * farthest:
            return False
        return surprise < min(largest + TENFOLD, limit + EACH * votes * TENFOLD)

    def factors(self) -> dict[str, float]:
        """For each member of the ensemble, what its weight is multiplied by: 0.5 to 2."""
        right: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for message in self.newest.values():
            if message.verdict == "ignore":
                continue
            worth = 1 if message.verdict == "true" else -1
            for names, sign in ((message.agreed, worth), (message.disagreed, -worth)):
                for name in names:
                    right[name][message.by] += sign
        moved = {
            name: STEP * sum(min(max(n, -MOST_BY), MOST_BY) for n in by.values()) for name, by in right.items()
        }  # fmt: skip
        return {name: math.exp(min(max(m, -MOST_MOVED), MOST_MOVED)) for name, m in moved.items()}
