"""Counterfactuals: the least change of one field after which an event would not have been anomalous."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Flags, Floats

# places between the expected value (0) and the actual one (1) that are tried; also some beyond the expected one, which may be off
WAYS = np.concatenate((-np.geomspace(0.25, 1e-3, 8), [0.0], np.geomspace(1e-3, 1.0, 24)))
CUTS = 16  # of the interval in which the bound lies


@dataclass(frozen=True)
class Counterfactual:
    """One field whose change alone would have sufficed.

    Attributes
    ----------
    field : int
        Its column.
    bound : float
        The value nearest to the actual one at which, and beyond which towards the expected one, the event is not anomalous.
    above : bool
        Whether the actual value is above the bound.
    """

    field: int
    bound: float
    above: bool

    def sentence(self, names: list[str]) -> str:
        """As a condition: ``latency <= 240``."""
        return f"{names[self.field]} {'<=' if self.above else '>='} {self.bound:.6g}"


def counterfactuals(
    score: Callable[[Floats], Floats], x: Floats, expected: Floats, threshold: float
) -> list[Counterfactual]:
    """Fields whose change alone would have sufficed; the one that had to change least comes first.

    Each field is moved between its expected and its actual value, all others as they were; the bound is the place nearest to the
    actual value where the score stays below the threshold.

    Parameters
    ----------
    score : callable
        Scores of float64[n, d], learning nothing.
    x : float64[d]
        The event.
    expected : float64[d]
        NaN where nothing is known: such a field is not changed.
    threshold : float
        The event is anomalous at this score and above.

    Returns
    -------
    list of Counterfactual
        Empty where no field alone suffices, or the event is not anomalous.

    Notes
    -----
    Wachter, Mittelstadt and Russell, Counterfactual explanations without opening the black box, 2017, for one field at a time.
    """
    if float(score(x[None])[0]) < threshold:
        return []
    found = []
    for f in np.flatnonzero(np.isfinite(x) & np.isfinite(expected) & (x != expected)).tolist():
        usual, actual = float(expected[f]), float(x[f])

        def fires(ways: Floats, f: int = f, usual: float = usual, actual: float = actual) -> Flags:
            tried = np.repeat(x[None], len(ways), axis=0)
            # The event itself is tried as it is, and not rounded.
            tried[:, f] = np.where(ways == 1.0, actual, usual + ways * (actual - usual))
            anomalous: Flags = score(tried) >= threshold
            return anomalous

        calm = np.flatnonzero(~fires(WAYS))
        if not len(calm):
            continue
        low, high = float(WAYS[calm[-1]]), float(WAYS[calm[-1] + 1])
        for _ in range(CUTS):
            # A value may be millions of times as far away as the bound: until some way to the bound is known, halves are too large.
            middle = 0.5 * (low + high) if low else high / 32
            if fires(np.array([middle]))[0]:
                high = middle
            else:
                low = middle
        found.append((1.0 - low, Counterfactual(f, usual + low * (actual - usual), actual > usual)))
    return [one for _, one in sorted(found, key=lambda pair: (pair[0], pair[1].field))]
