"""The score of the Numenta Anomaly Benchmark."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Floats, Ints

PROBATION, PROBATION_ROWS = 0.15, 750  # the first rows of a series are not judged
REACH = 3.0  # window widths after a window until a false alarm counts in full


@dataclass(frozen=True)
class Profile:
    """Weights of a found window, a false alarm and a missed window."""

    found: float
    false: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low_fp": Profile(1.0, 0.22, 1.0),
    "low_fn": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True)
class Series:
    """A scored series.

    Attributes
    ----------
    scores : float64[n]
        High is anomalous.
    windows : list of (first row, last row)
        Labelled anomalies, in order.
    """

    scores: Floats
    windows: list[tuple[int, int]]


def judged_from(rows: int) -> int:
    """First row that is judged."""
    return math.ceil(min(math.floor(PROBATION * rows), PROBATION_ROWS))


def nab_score(series: list[Series], profile: Profile, threshold: float | None = None) -> tuple[float, float | None]:
    """Score of a detector over a corpus: 0 never alerts, 100 is perfect.

    An alert in a window is worth more when it comes earlier; each window counts once, by its best alert. An alert outside of windows
    has a cost, which is smaller just after a window.

    Parameters
    ----------
    series : list of Series
    profile : Profile
    threshold : float, optional
        Alert at this score and above; the one that is best for the corpus where not given.

    Returns
    -------
    score : float
    threshold : float or None
        None where never alerting is best.

    Notes
    -----
    Lavin and Ahmad, Evaluating real-time anomaly detection algorithms, ICMLA 2015; NAB v1.1.
    """
    scores, places, owners, count = _rows(series)
    order = np.argsort(-scores, kind="stable")
    scores, places, owners = scores[order], places[order], owners[order]
    gains = np.where(owners < 0, places * profile.false, 0.0)
    for window in range(count):
        mine = np.flatnonzero(owners == window)
        if len(mine):
            gains[mine] = np.diff(np.maximum.accumulate(places[mine]) * profile.found, prepend=0.0)
            gains[mine[0]] += profile.missed
    totals = np.cumsum(gains)
    chosen = threshold
    if threshold is None:
        ends = np.flatnonzero(np.append(np.diff(scores) != 0, True))
        best = ends[np.argmax(totals[ends])]
        total, chosen = max((float(totals[best]), float(scores[best])), (0.0, None), key=lambda pair: pair[0])
    else:
        alerts = int((scores >= threshold).sum())
        total = float(totals[alerts - 1]) if alerts else 0.0
    return 100.0 * total / (count * (profile.found + profile.missed)), chosen


def _sigmoid(position: Floats) -> Floats:
    worth: Floats = 2.0 / (1.0 + np.exp(5.0 * position)) - 1.0
    return worth


def _rows(series: list[Series]) -> tuple[Floats, Floats, Ints, int]:
    """Of all judged rows: the score, the value of an alert there before weighting, and the window that it lies in (-1: none)."""
    parts, count = [], 0
    for one in series:
        n = len(one.scores)
        place, owner = np.full(n, -1.0), np.full(n, -1, np.int64)
        for k, (first, last) in enumerate(one.windows):
            width = last - first + 1
            rows = np.arange(first, last + 1)
            place[rows] = _sigmoid(-(last - rows + 1) / width) / _sigmoid(np.array([-1.0]))
            owner[rows] = count + k
            end = one.windows[k + 1][0] if k + 1 < len(one.windows) else n
            since = np.arange(1, end - last) / (width - 1.0)
            place[last + 1 : end] = np.where(since > REACH, -1.0, _sigmoid(np.minimum(since, REACH)))
        judged = slice(judged_from(n), None)
        parts.append((one.scores[judged], place[judged], owner[judged]))
        count += len(one.windows)
    scores, places, owners = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return scores, places, owners, count
