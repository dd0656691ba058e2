"""What entities did in one window of event time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from streamgauge.models.contract import Floats, Ints


@dataclass(slots=True)
class WindowRows:
    """What entities did in one window of event time: an entity a row, by name.

    Attributes
    ----------
    name : str
        Of the window's settings.
    start, end : int
        From, and before; milliseconds.
    entities : list of str
    columns : list of str
    values : float64[n, columns]
        The first one is the number of events; NaN is missing.
    first, last : int64[n]
        Least and largest offset among its events.
    """

    name: str
    start: int
    end: int
    entities: list[str]
    columns: list[str]
    values: Floats
    first: Ints
    last: Ints

    def actual(self, row: int) -> dict[str, float]:
        """The values of an entity, by name; without those that are missing."""
        values = zip(self.columns, self.values[row].tolist(), strict=True)
        return {name: value for name, value in values if not math.isnan(value)}
