"""LODA: many one-dimensional histograms of sparse random projections."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.cohort.robust_cohort import (
    COUNT,
    RobustCohort,
    count_in,
    learn_moments,
    standardised,
    weight_of,
)

BINS, REACH = 128, 10.0  # of each histogram; standard deviations it covers on each side
PRIOR = 2.0  # events that the histograms start with, in a Laplace distribution: what is farther is always stranger;
SPREAD = PRIOR * REACH / BINS  # a bin at this distance holds exp(-distance) of it;
BEFORE = SPREAD * np.exp(-np.abs((np.arange(BINS) + 0.5) / BINS * 2.0 - 1.0) * REACH)  # what each bin starts with
SMALL = 1e-150  # product of densities, of which the logarithm is taken


class Loda(RobustCohort):
    """Mean of minus the logarithm of the density of the event's random projections.

    Columns are standardised by their running mean and deviation. Half of the projections are one column each, every column equally
    often; the others are random sums of about the root of the number of columns. The score is ``m / (m + 6)``.

    Parameters
    ----------
    projections : int
        Histograms.
    memory : int
        When twice as many events have been learned, the past counts half.
    warmup : int
        Events to learn before anything is scored.
    seed : int
        Of the projections.

    Notes
    -----
    Pevny, Loda: Lightweight on-line detector of anomalies, Machine Learning 102, 2016; its explanation compares, for each field,
    the projections that use it with those that do not. Projections of single columns are our addition: over ten tabular sets they gain
    0.03 of AUROC.
    """

    name: ClassVar[str] = "loda"
    half_score: ClassVar[float] = 6.0
    arrays: ClassVar[tuple[str, ...]] = ("_mean", "_variance", "_seen", "_counts", "_totals", "_numbers")
    _variance: Floats

    def __init__(self, projections: int = 50, memory: int = 20_000, warmup: int = 128, seed: int = 42) -> None:
        self.projections = projections
        self.memory = memory
        self.warmup = warmup
        self.seed = seed
        self.learned = 0

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        columns, _ = cls(**settings).draw_projections(width)
        projections, used = columns.shape
        return 8 * (int(projections) * (BINS + 2 * int(used) + 1) + 3 * width)

    def widen(self, width: int) -> None:
        """See `ScoredCohort`; new projections are drawn; only what is usual of each column is kept."""
        kept = {name: getattr(self, name) for name in ("_mean", "_variance", "_seen")}
        self._build(width)
        self.learned = 0
        for name, array in kept.items():
            getattr(self, name)[: len(array)] = array

    def _build(self, width: int) -> None:
        self._columns, along = self.draw_projections(width)
        self._used = np.count_nonzero(along, axis=1)
        self._along = along / np.maximum(np.sqrt((along * along).sum(axis=1, keepdims=True)), 1e-300)
        projections = len(self._columns)
        self._mean, self._variance, self._seen, self._numbers = (np.zeros(n) for n in (width, width, width, 2))
        self._counts, self._totals = np.zeros((projections, BINS)), np.zeros(projections)

    def draw_projections(self, width: int) -> tuple[Ints, Floats]:
        """Columns of each projection, int64[projections, used], and their factors; unused places have the factor 0."""
        random = np.random.default_rng([self.seed, width])
        used, single = math.ceil(math.sqrt(width)), self.projections // 2
        columns, along = np.zeros((self.projections, used), np.int64), np.zeros((self.projections, used))
        for part, size in ((slice(0, single), 1), (slice(single, None), used)):
            count = len(columns[part]) * size
            drawn = [random.permutation(width) for _ in range(-(-count // width))] if width else []
            if drawn:
                columns[part, :size] = np.concatenate(drawn)[:count].reshape(-1, size)
            along[part, :size] = random.standard_normal((len(columns[part]), size))
        along[:single, :1] = 1.0
        return columns, along

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        raw_score, weights = np.empty(len(X)), np.zeros(X.shape)
        _rate(
            X,
            self._columns,
            self._along,
            self._used,
            self._mean,
            self._variance,
            self._seen,
            self._counts,
            self._totals,
            self._numbers,
            self.learned,
            self.warmup,
            self.memory,
            learn,
            raw_score,
            weights,
        )
        self.learned += len(X) if learn else 0
        return raw_score, weights


@njit(cache=True, inline="always")
def _projected(x, z, columns, along, used, missing):  # type: ignore[no-untyped-def]
    """An event's value on a projection, scaled up where some of its columns are missing; NaN where all are."""
    at = 0.0
    for u in range(used):
        at += along[u] * z[columns[u]]  # 0 where missing
    if not missing:
        return at
    norm = 0.0
    for u in range(used):
        if not math.isnan(x[columns[u]]):
            norm += along[u] * along[u]
    return at / math.sqrt(norm) if norm > 0.0 else math.nan


@njit(cache=True, inline="always")
def _add_strange(density, place, sums, products, times):  # type: ignore[no-untyped-def]
    """Add minus the logarithm of a density. The logarithm of many is taken at once, before their product is too small."""
    times[place] += 1.0
    products[place] *= density
    if products[place] < SMALL:
        sums[place] -= math.log(products[place])
        products[place] = 1.0


@njit(cache=True, inline="always")
def _explained(x, sums, times, weights):  # type: ignore[no-untyped-def]
    """For each column: by how much the projections that use it are stranger than the others, at least 0."""
    total, asked = sums[-1], times[-1]
    for j in range(len(x)):
        if times[j] > 0.0 and not math.isnan(x[j]):
            others = (total - sums[j]) / (asked - times[j]) if times[j] < asked else 0.0
            weights[j] = max(0.0, sums[j] / times[j] - others)


@njit(cache=True)
def _rate(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    X,
    columns,
    along,
    used,
    mean,
    variance,
    seen,
    counts,
    totals,
    numbers,
    learned,
    warmup,
    memory,
    learn,
    raw_score,
    weights,
):
    width, projections = X.shape[1], columns.shape[0]
    z, bins = np.zeros(width), np.zeros(projections, np.int64)
    # for each column: of the projections that use it; at last, of all
    sums, products, times = np.zeros(width + 1), np.zeros(width + 1), np.zeros(width + 1)
    for i in range(X.shape[0]):
        known = 0
        for j in range(width):
            z[j] = standardised(X[i, j], mean[j], variance[j], seen[j])
            known += not math.isnan(X[i, j])
        sums[:], products[:], times[:] = 0.0, 1.0, 0.0
        rated = learned + i >= warmup and known > 0
        for p in range(projections):
            at = _projected(X[i], z, columns[p], along[p], used[p], known < width)
            bins[p] = -1
            if math.isnan(at):
                continue
            bins[p] = int(min(max(at * (BINS / 2.0 / REACH) + BINS / 2.0, 0.0), BINS - 1.0))
            if rated:
                before = BEFORE[bins[p]] if abs(at) < REACH else SPREAD * math.exp(-abs(at))
                density = (counts[p, bins[p]] + before) / (totals[p] + PRIOR)
                _add_strange(density, width, sums, products, times)
                for u in range(used[p]):
                    _add_strange(density, columns[p, u], sums, products, times)
        raw_score[i] = math.nan
        if rated:
            for j in range(width + 1):
                sums[j] -= math.log(products[j])
            raw_score[i] = sums[width] / max(times[width], 1.0)  # projections of missing columns only are left out
            _explained(X[i], sums, times, weights[i])
        if not learn or known == 0:
            continue
        weight = weight_of(raw_score[i], numbers, learned + i - warmup, 0.0) if rated else 1.0
        numbers[COUNT] += 1.0
        learn_moments(X[i], z, mean, variance, seen, weight, 1.0 / memory)
        for p in range(projections):
            if bins[p] >= 0:
                totals[p] = count_in(counts[p], totals[p], bins[p], weight, memory)
