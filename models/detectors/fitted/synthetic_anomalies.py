"""Synthetic anomalies, to choose between models and to compare them where there are no labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from streamgauge.models.contract import Floats

MARGIN = 0.1  # of a field's range, by which the anomalies go beyond it


def synthetic_anomalies(Z: Floats, seed: int) -> Floats:
    """As many anomalies as there are events: half are mixed from values of other events, half are even over the fields' ranges.

    Mixing breaks the relations between fields; with a single field there is none. In runs, float64[n, steps, d], only the last event is
    replaced.

    Notes
    -----
    Steinwart, Hush and Scovel, A classification framework for anomaly detection, JMLR 6, 2005; Tax and Duin, Uniform object
    generation for optimizing one-class classifiers, JMLR 2, 2001.
    """
    random = np.random.default_rng(seed)
    events = Z[:, -1] if Z.ndim == 3 else Z
    n, d = events.shape
    low, high = events.min(axis=0), events.max(axis=0)
    room = np.maximum(MARGIN * (high - low), 1e-6)
    made = random.uniform(low - room, high + room, (n, d))
    if d > 1:
        mixed = np.column_stack([random.permutation(events[:, j]) for j in range(d)])
        made[: n // 2] = mixed[: n // 2]
    if Z.ndim == 2:
        return made
    runs = Z.copy()
    runs[:, -1] = made
    return runs


def separation(usual: Floats, strange: Floats) -> float:
    """Probability that a strange event has the higher raw score (the area under the ROC curve)."""
    both = np.concatenate((usual, strange))
    _, place, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2.0)[place]
    m, n = len(usual), len(strange)
    return float((rank[m:].sum() - n * (n + 1) / 2) / (m * n))


def split_validation(Z: Floats, seed: int) -> tuple[Floats, Floats]:
    """Two random parts of the events, float64[n, ...]: to learn from, and a quarter that validates."""
    order = np.random.default_rng(seed).permutation(len(Z))
    cut = max(1, round(0.25 * len(Z)))
    return Z[np.sort(order[cut:])], Z[np.sort(order[:cut])]


def without_strangest(Z: Floats, rate: Callable[[Floats], Floats], trim: float) -> Floats:
    """Without the share `trim` of the events with the highest raw scores."""
    kept = max(1, len(Z) - int(trim * len(Z)))
    return Z[np.sort(np.argsort(rate(Z), kind="stable")[:kept])]
