"""False incidents as promised, and incidents that opened, of several partitions together, by the age of the entities."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from streamgauge.models.contract import Ints
from streamgauge.udfs.incidents.promise import AGE_LIMITS, AGES, DAY


def together(reports: Sequence[tuple[Hashable, dict[str, Any]]]) -> dict[str, Any] | None:
    """What `Promise.report` gave for several partitions, each several times, as one.

    Parameters
    ----------
    reports : sequence of (hashable, dict)
        What names the partition, and its report, the oldest first.

    Returns
    -------
    dict or None
        ``promised`` and ``achieved`` incidents a day, as each partition reported last; and ``by_age``: for each age of entities the sums
        of ``events``, ``promised`` and ``opened`` incidents. None without a report.
    """
    if not reports:
        return None
    newest = dict(reports).values()
    figures: dict[str, Any] = {what: sum(one[what] for one in newest) for what in ("promised", "achieved")}
    sums = {
        age: {what: sum(one["by_age"][age][what] for _, one in reports) for what in ("events", "promised", "opened")}
        for age in AGES
    }
    return figures | {"by_age": sums}


def days_by_age(entities: list[str], times: Ints) -> dict[str, float]:
    """For each age of entities, the days from the first to the last event of entities of this age.

    Parameters
    ----------
    entities : list of str
        Entity of each event, in order.
    times : int64[n]
        Event times in milliseconds.
    """
    codes, _ = pd.factorize(np.asarray(entities, dtype=object))
    _, first = np.unique(codes, return_index=True)
    classes = np.searchsorted(AGE_LIMITS, times - times[first][codes], side="right")
    of_age = [times[classes == age] for age in range(len(AGES))]
    return {name: float(np.ptp(of)) / DAY if len(of) else 0.0 for name, of in zip(AGES, of_age, strict=True)}
