"""How many false incidents a user accepts: ``1 per day``, or ``1 per week per entity``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

UNITS = {"hour": 1.0 / 24.0, "day": 1.0, "week": 7.0, "month": 30.0}  # in days
PATTERN = rf"^\s*(\d+(\.\d*)?([eE][+-]?\d+)?)\s+per\s+({'|'.join(UNITS)})(\s+per\s+entity)?\s*$"


@dataclass(frozen=True, slots=True)
class FalseIncidents:
    """A number of false incidents in a time.

    Attributes
    ----------
    number : float
        Above 0.
    unit : str
        One of `UNITS`.
    each_entity : bool
        Whether the number is for each entity, or for the whole stream.
    """

    number: float
    unit: str
    each_entity: bool

    @property
    def days(self) -> float:
        """Length of the time, in days."""
        return UNITS[self.unit]

    @property
    def a_day(self) -> float:
        """False incidents a day: of each entity, or of the whole stream."""
        return self.number / self.days

    def share(self, partitions: int) -> FalseIncidents:
        """What one of the partitions may raise. Each entity is in one partition, so a number for each entity is not divided."""
        return self if self.each_entity else FalseIncidents(self.number / partitions, self.unit, False)

    def __str__(self) -> str:
        return f"{self.number:.12g} per {self.unit}" + " per entity" * self.each_entity


def false_incidents(text: Any) -> FalseIncidents:
    """Read a number of false incidents, such as ``1 per day``.

    Raises
    ------
    ValueError
        The text is none. The message says what is allowed.
    """
    match = re.fullmatch(PATTERN, text) if isinstance(text, str) else None
    if match is None or not 0.0 < float(match[1]) < float("inf"):
        raise ValueError(
            "a promise is a number above 0 of false incidents, per hour, day, week or month, for the whole stream or for each entity: "
            "1 per day, 2 per hour, 1 per week per entity"
        )
    return FalseIncidents(float(match[1]), match[4], match[5] is not None)


Promise = Annotated[
    str,
    BeforeValidator(lambda value: str(false_incidents(value))),
    WithJsonSchema({"type": "string", "pattern": PATTERN}),
]
