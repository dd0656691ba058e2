"""What would have had to be otherwise: the least change of one field after which an event would not have been an anomaly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Floats

STEPS = 32  # places between expected and actual value that are looked at


@dataclass(frozen=True)
class Counterfactual:
    """One field that alone would have sufficed.

    Attributes
    ----------
    field : int
        Its column.
    bound : float
        The value, nearest to the actual one, at which and beyond which (towards the expected one) the event is none.
    above : bool
        Whether the actual value is above the bound.
    """

    field: int
    bound: float
    above: bool

    def told(self, names: list[str]) -> str:
        """As a sentence's end: ``latency <= 240``."""
        return f"{names[self.field]} {'<=' if self.above else '>='} {self.bound:.6g}"


def counterfactuals(
    score: Callable[[Floats], Floats], x: Floats, expected: Floats, threshold: float
) -> list[Counterfactual]:
    """Fields that alone would have sufficed, those that had to change least first.

    Each field is moved from its expected value towards its actual one, all others as they were; the last place before the score
    first reaches the threshold is the bound.

    Parameters
    ----------
    score : callable
        Scores of float64[n, d], learning nothing.
    x : float64[d]
        The event.
    expected : float64[d]
        NaN where nothing is known: such a field is left alone.
    threshold : float
        The event is an anomaly at and above it.

    Returns
    -------
    list of Counterfactual
        Empty where no field alone suffices, or the event is no anomaly.

    Notes
    -----
    Wachter, Mittelstadt and Russell, Counterfactual explanations without opening the black box, 2017, for one field at a time.
    """
    if float(score(x[None])[0]) < threshold:
        return []
    found = []
    for f in np.flatnonzero(np.isfinite(x) & np.isfinite(expected) & (x != expected)).tolist():
        low, high = 0.0, 1.0  # shares of the way from expected to actual
        for _ in range(2):  # a grid, and a finer one inside the gap it found
            way = np.linspace(low, high, STEPS + 1)
            tried = np.repeat(x[None], STEPS + 1, axis=0)
            tried[:, f] = expected[f] + way * (x[f] - expected[f])
            fires = score(tried) >= threshold
            if fires[0]:
                break
            first = int(np.argmax(fires)) if fires.any() else STEPS
            low, high = way[first - 1], way[first]
        else:
            bound = float(expected[f] + low * (x[f] - expected[f]))
            found.append((1.0 - low, Counterfactual(f, bound, bool(x[f] > expected[f]))))
    return [one for _, one in sorted(found, key=lambda pair: (pair[0], pair[1].field))]
