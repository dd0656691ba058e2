"""Local outlier factor: how much lower the density is around an event than around its neighbours."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import LEAST_ROWS, FittedDetector, Progress
from streamgauge.models.detectors.fitted.ranges import Range
from streamgauge.models.detectors.fitted.synthetic_anomalies import (
    separation,
    split_validation,
    synthetic_anomalies,
    without_strangest,
)
from streamgauge.models.errors import StateError
from streamgauge.models.kernel import kernel
from streamgauge.models.persistence.codec import demand

NEIGHBOURS = (10, 20, 35, 50)  # numbers that are tried


class LocalOutlierFactor(FittedDetector):
    """The factor less one: 0 where the density is that around the neighbours.

    The number of neighbours is chosen without labels: the one that best separates validation data from synthetic anomalies.

    Parameters
    ----------
    neighbours : int, optional
        Chosen from 10 to 50 unless given.
    events : int
        Of the history that are kept; each event is compared with all of them.
    trim : float
        Share of the history that is not learned from: the events with the highest raw scores.
    seed : int
        Of all random choices.

    Notes
    -----
    Breunig, Kriegel, Ng and Sander, LOF: identifying density-based local outliers, SIGMOD 2000; equal to scikit-learn's
    LocalOutlierFactor with ``novelty=True``.
    """

    name: ClassVar[str] = "local_outlier_factor"
    half_score: ClassVar[float] = 1.0
    ranges: ClassVar[dict[str, Range]] = FittedDetector.ranges | {"neighbours": Range(1), "events": Range(LEAST_ROWS)}

    def __init__(self, neighbours: int | None = None, events: int = 2000, trim: float = 0.02, seed: int = 42) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.events = events
        self.trim = trim
        self.seed = seed

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        return 8 * (width + 2) * cls(**settings).events + 16 * width

    def _train(self, Z: Floats, say: Progress) -> None:
        if len(Z) > self.events:
            Z = Z[np.sort(np.random.default_rng(self.seed).choice(len(Z), self.events, replace=False))]
        if self.neighbours:
            choice, found = self.neighbours, math.nan
        else:
            learn, judge = split_validation(Z, self.seed)
            strange = synthetic_anomalies(judge, self.seed)
            tried = []
            for n, k in enumerate(k for k in NEIGHBOURS if k < len(learn) // 2):
                say("choosing neighbours", n / (len(NEIGHBOURS) + 1))
                self._keep(learn, k)
                tried.append((round(separation(self._rate(judge), self._rate(strange)), 4), k))
            found, choice = max(tried)
        self.chosen = {"neighbours": choice, "separation": found}
        self._keep(Z, choice)
        if self.trim:
            self._keep(without_strangest(Z, self._rate, self.trim), choice)
        say("choosing neighbours", 1.0)

    def _keep(self, Z: Floats, k: int) -> None:
        Z = np.ascontiguousarray(Z)
        k = min(k, len(Z) - 1)
        places, far = np.empty((len(Z), k), np.int64), np.empty((len(Z), k))
        _nearest(Z, Z, True, places, far)
        reach = far[:, -1].copy()
        self.arrays = {
            "events": Z,
            "reach": reach,
            "density": 1.0 / (np.maximum(far, reach[places]).mean(axis=1) + 1e-10),
            "neighbours": np.array([k]),
        }

    def _check(self) -> None:
        events = demand(self.arrays, "events", np.float64, (None, self.normalisation.centre.size))
        demand(self.arrays, "reach", np.float64, (len(events),))
        demand(self.arrays, "density", np.float64, (len(events),))
        [neighbours] = demand(self.arrays, "neighbours", np.int64, (1,)).tolist()
        if not 1 <= neighbours <= len(events):
            raise StateError(f"it looks at {neighbours} neighbours, it must be 1 to {len(events)}")
        if not np.isfinite(events).all():
            raise StateError("the array 'events' holds a value that is no number")

    def _near(self, Z: Floats) -> tuple[Any, Floats]:
        k = int(self.arrays["neighbours"][0])
        places, far = np.empty((len(Z), k), np.int64), np.empty((len(Z), k))
        _nearest(Z, self.arrays["events"], False, places, far)
        return places, far

    def _rate(self, Z: Floats) -> Floats:
        places, far = self._near(Z)
        density = 1.0 / (np.maximum(far, self.arrays["reach"][places]).mean(axis=1) + 1e-10)
        factor = (self.arrays["density"][places] / density[:, None]).mean(axis=1)
        raw_score: Floats = np.maximum(factor - 1.0, 0.0)
        return raw_score

    def _expected(self, Z: Floats) -> Floats:
        """The mean of the nearest normal events."""
        places, _ = self._near(Z)
        usual: Floats = self.arrays["events"][places].mean(axis=1)
        return usual


@kernel
def _nearest(Z, events, itself, places, far):  # type: ignore[no-untyped-def]
    """Places of the nearest events and their distances, nearest first; `itself`: row i is event i, which is no neighbour of its own."""
    k = places.shape[1]
    for i in range(Z.shape[0]):
        found = 0
        for e in range(events.shape[0]):
            if itself and e == i:
                continue
            square = 0.0
            for j in range(Z.shape[1]):
                square += (Z[i, j] - events[e, j]) ** 2
            if found == k and square >= far[i, k - 1]:
                continue
            at = found if found < k else k - 1
            found = min(found + 1, k)
            while at > 0 and far[i, at - 1] > square:
                far[i, at], places[i, at] = far[i, at - 1], places[i, at - 1]
                at -= 1
            far[i, at], places[i, at] = square, e
        for n in range(k):
            far[i, n] = math.sqrt(far[i, n])
