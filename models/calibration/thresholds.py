"""Thresholds between usual and anomalous scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from streamgauge.models.calibration.shares import wilson
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.errors import NotReadyError

LEAST_EXCESSES = 10  # to fit a tail to
BODY = 0.98  # quantile above which it is fitted


def percentile_threshold(scores: Floats, share: float) -> float:
    """The score that the given share of `scores` lies below.

    Parameters
    ----------
    scores : float64[n]
    share : float
        0 to 1.
    """
    return float(np.quantile(scores, share))


def budget_threshold(scores: Floats, alerts: int) -> float:
    """The lowest score at which at most so many of `scores` would alert.

    Parameters
    ----------
    scores : float64[n]
    alerts : int
        At least 0.
    """
    falling = np.sort(scores)[::-1]
    if alerts >= len(falling):
        return float(falling[-1])
    above = falling[falling > falling[alerts]]
    return float(above[-1]) if len(above) else float(np.nextafter(falling[0], math.inf))


def f1_threshold(labels: Flags, scores: Floats) -> tuple[float, float]:
    """The score at and above which F1 is highest, and that F1.

    Parameters
    ----------
    labels : bool[n]
        At least one is true.
    scores : float64[n]
    """
    thresholds, hits, alerts = _sweep(labels, scores)
    f1 = 2.0 * hits / (alerts + labels.sum())
    best = int(np.argmax(f1))
    return float(thresholds[best]), float(f1[best])


def cost_threshold(labels: Flags, scores: Floats, missed: float, false: float) -> tuple[float, float]:
    """The score at and above which the cost is lowest, and that cost.

    Parameters
    ----------
    labels : bool[n]
    scores : float64[n]
    missed, false : float
        Cost of an anomaly without an alert, and of an alert without an anomaly.

    Returns
    -------
    threshold : float
        Above all scores where never alerting is cheapest.
    cost : float
    """
    thresholds, hits, alerts = _sweep(labels, scores)
    costs = missed * (labels.sum() - hits) + false * (alerts - hits)
    best = int(np.argmin(costs))
    if missed * labels.sum() <= costs[best]:
        return float(np.nextafter(thresholds[0], math.inf)), float(missed * labels.sum())
    return float(thresholds[best]), float(costs[best])


def tail_threshold(scores: Floats, risk: float) -> float:
    """The score that one event in ``1 / risk`` exceeds, from a generalised Pareto tail: it may lie beyond all that were seen.

    Parameters
    ----------
    scores : float64[n]
        Of usual events.
    risk : float
        Probability of a score at or above the threshold.

    Raises
    ------
    NotReadyError
        Fewer than ten scores lie in the tail.

    Notes
    -----
    Siffer, Fouque, Termier and Largouet, Anomaly detection in streams with extreme value theory (SPOT), KDD 2017; fitted by
    scipy's maximum likelihood.
    """
    start = float(np.quantile(scores, BODY))
    excesses = scores[scores > start] - start
    if len(excesses) < LEAST_EXCESSES:
        raise NotReadyError(
            f"a tail needs {LEAST_EXCESSES} scores above the quantile {BODY}, there are {len(excesses)}"
        )
    shape, _, scale = stats.genpareto.fit(excesses, floc=0.0)
    rarer = risk * len(scores) / len(excesses)
    return start + float(stats.genpareto.isf(min(1.0, rarer), shape, 0.0, scale))


@dataclass(frozen=True)
class Verdict:
    """Result of a trial of two thresholds.

    Attributes
    ----------
    better : {"a", "b", "neither yet"}
    difference : float
        Precision of b less that of a.
    low, high : float
        Its interval.
    """

    better: Literal["a", "b", "neither yet"]
    difference: float
    low: float
    high: float


def compare_thresholds(a: tuple[int, int], b: tuple[int, int], confidence: float = 0.95) -> Verdict:
    """Which of two thresholds, each on its share of the entities, had the higher precision.

    Parameters
    ----------
    a, b : (true alerts, all judged alerts)
    confidence : float
        Of the interval of the difference.

    Notes
    -----
    Newcombe's interval from two Wilson intervals: Statistics in Medicine 17, 1998, method 10.
    """
    (pa, la, ha), (pb, lb, hb) = (wilson(*arm, confidence) for arm in (a, b))
    difference = pb - pa
    low = difference - math.hypot(pb - lb, ha - pa)
    high = difference + math.hypot(hb - pb, pa - la)
    return Verdict("b" if low > 0 else "a" if high < 0 else "neither yet", difference, low, high)


def _sweep(labels: Flags, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Falling thresholds, and for each how many anomalies and how many events are at or above it."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.flatnonzero(np.append(np.diff(falling) != 0, True))
    hits = np.cumsum(labels[order])[ends].astype(np.float64)
    return falling[ends], hits, ends + 1.0
