"""How a candidate compares with the live version: how well both separate anomalies, and what both cost."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector
from streamgauge.models.detectors.fitted.synthetic_anomalies import separation, synthetic_anomalies
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import VALIDATION_SHARE, Past, windows_of

AS_GOOD = 0.02  # a candidate may separate synthetic anomalies worse than the live version by this much
SLOWER = 3.0  # a candidate may cost this many times as much as the live version,
PARSED = 2.0  # or this many times as much as parsing the events, which the job does in any case
TIMED = 1024  # number of events whose scoring is timed
ROUNDS = 7  # in each round all are timed in turn, so that other work on the machine slows all of them alike


@dataclass(frozen=True)
class Comparison:
    """Figures of a candidate and of the live version.

    Attributes
    ----------
    separates, live_separates : float
        Probability that a synthetic anomaly has a higher raw score than a usual event, for each of the two.
    cost, live_cost : float
        Microseconds of CPU for one event.
    parse_cost : float
        Microseconds of CPU to parse the same event.
    """

    separates: float
    live_separates: float
    cost: float
    live_cost: float
    parse_cost: float

    def gate(self) -> str | None:
        """Name of the gate that the candidate does not pass (separation or cost), or None if it passes all."""
        if self.separates + AS_GOOD < self.live_separates:
            return "separation"
        if self.cost > max(SLOWER * self.live_cost, PARSED * self.parse_cost):
            return "cost"
        return None


def compare(registry: Registry, candidate: Manifest, live: Manifest, past: Past) -> Comparison:
    """Judge a candidate and the live version on the same validation data. A field that these lack is missing, as it is in the job.

    Parameters
    ----------
    registry : Registry
    candidate, live : Manifest
    past : Past
        Its last quarter is validation data.
    """
    new, old = (registry.load(one.name, one.version).detector for one in (candidate, live))
    cut = len(past.X) - int(VALIDATION_SHARE * len(past.X))
    X = _fields(past.X[cut:], past.features, candidate.features)
    usual = windows_of(new, X, past.groups[cut:])
    strange = new.normalisation.undo(synthetic_anomalies(new.normalisation.apply(usual), new.seed))
    versions = ((new, candidate.features), (old, live.features))

    def rated(events: Floats) -> list[Floats]:
        return [detector.rate_many(_fields(events, candidate.features, wanted)) for detector, wanted in versions]

    separates = [separation(*scores) for scores in zip(rated(usual), rated(strange), strict=True)]
    batch = usual[np.arange(TIMED) % len(usual)]
    jobs = [_scoring(detector, _fields(batch, candidate.features, wanted)) for detector, wanted in versions]
    cost, live_cost, parse_cost = side_by_side([*jobs, _parsing(candidate.features, X)])
    return Comparison(separates[0], separates[1], cost, live_cost, parse_cost)


def _fields(values: Floats, features: list[str], wanted: list[str]) -> Floats:
    """Values with the columns `features`, as ones with the columns `wanted`; NaN where there is no such column."""
    chosen = np.full((*values.shape[:-1], len(wanted)), np.nan)
    for column, feature in enumerate(wanted):
        if feature in features:
            chosen[..., column] = values[..., features.index(feature)]
    return chosen


def side_by_side(jobs: list[Callable[[], Any]]) -> list[float]:
    """Microseconds of CPU that each job needs for one of its `TIMED` events.

    Only the time of this thread counts, so other processes and threads do not add to it. The result is that of the fastest round.
    """
    best = [math.inf] * len(jobs)
    for _ in range(ROUNDS):
        for k, job in enumerate(jobs):
            began = time.thread_time()
            job()
            took = (time.thread_time() - began) / TIMED * 1e6
            best[k] = min(best[k], took)
    return [round(one, 3) for one in best]


def _scoring(detector: FittedDetector, batch: Floats) -> Callable[[], Any]:
    return lambda: detector.rate_many(batch)


def _parsing(features: list[str], X: Floats) -> Callable[[], Any]:
    rows = X[np.arange(TIMED) % len(X)].tolist()
    texts = [json.dumps(dict(zip(features, row, strict=True))).encode() for row in rows]
    return lambda: [json.loads(text) for text in texts]


def figures_of(candidate: Manifest, live: Manifest, comparison: Comparison) -> dict[str, Any]:
    """The figures of a comparison, as notices hold them."""
    return {
        "version": candidate.version,
        "detector": candidate.detector,
        "request": candidate.request,
        "live": live.version,
        "separates_planted": comparison.separates,
        "live_separates_planted": comparison.live_separates,
        "us_per_event": comparison.cost,
        "live_us_per_event": comparison.live_cost,
    }
