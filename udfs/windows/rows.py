"""Aggregates of all entities in one window of event time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Floats, Ints


@dataclass(slots=True)
class WindowRows:
    """Aggregates of all entities in one window of event time: one row for each entity, sorted by name.

    Attributes
    ----------
    name : str
        Name of the window's settings.
    start, end : int
        The window holds the events from `start` to before `end`, in milliseconds since 1970.
    entities : list of str
        Entity of each row.
    columns : list of str
        Names of the aggregates.
    values : float64[n, columns]
        The first column is the number of events; NaN is missing.
    first, last : int64[n]
        Smallest and largest offset of the entity's events in the window.
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
        """Aggregates in a row, by name, without those that are missing."""
        return self.actuals([row])[0]

    def actuals(self, rows: list[int]) -> list[dict[str, float]]:
        """Aggregates in some rows, as `actual` gives them; all rows are read together, because windows of many entities end at once."""
        values = self.values[rows]
        actuals = [dict(zip(self.columns, row, strict=True)) for row in zip(*values.T.tolist(), strict=True)]
        for i, column in np.argwhere(np.isnan(values)).tolist():
            del actuals[i][self.columns[column]]
        return actuals
