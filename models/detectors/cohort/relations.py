"""Relations: what all fields of an event together say about each of them, and for how long."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Flags, Floats, Kind, checked
from streamgauge.models.detectors.cohort.cohort_detector import InputKind
from streamgauge.models.detectors.cohort.linear_residuals import positive
from streamgauge.models.detectors.cohort.relation_kernels import (
    BITS,
    JOINT_BINS,
    LEAST_WEIGHT,
    SPANS,
    fit_joint,
    fit_tails,
    forget,
    limit_of_suspicion,
    merge_moments,
    rate,
    scratch_for,
)
from streamgauge.models.detectors.cohort.scored_cohort import ScoredCohort
from streamgauge.models.persistence.codec import pack, unpack
from threadpoolctl import threadpool_limits

Slots = npt.NDArray[np.int64]

REFRESH = 128  # events between looks at what was learned
FIRST = 32  # events to the first matrix; between looks until `REFRESH` events are learned
MOST_BETWEEN = 1024  # events between matrices, at most, where columns are not more
MANY = 256  # columns from which on matrices are as many events apart
DELAY = 3  # looks until the statistic of an event is learned, at most: a fault is not judged by itself
FREE = 0.2  # share of events that may be suspicious before suspicion itself counts as usual
MARGIN = 1.0  # nats above the statistic of these where suspicion begins
RIDGE_MEANS = 1.0  # added to the diagonal for the model with means


@cache
def _one_thread() -> threadpool_limits:
    """Let linear algebra use one thread in this process from now on: it sums in one order, whatever the machine."""
    return threadpool_limits(limits=1, user_api="blas")


class Relations(ScoredCohort):
    """Residual of each field given all other fields, with and without their recent means, as evidence.

    Each residual has a tail of its own, which is learned. The statistic of an event is the largest evidence of a residual, smoothed
    over 3, 10, 30 and 100 events of its entity; the mean of the four is turned into evidence by those seen so far, which counts the
    dependence of fields. The event's evidence is that, or the largest of one field less the price of d looks, whichever is more, less the
    price of these two looks. So an event is told when one field leaves its relation, or when several are a little strange for long.

    The model of what is usual does not follow a fault. A value counts as 3 deviations at most where it is learned; an event whose entity
    has lately been stranger, by a nat, than four of five events were, is learned with little weight; an excess that lasts counts once.

    Parameters
    ----------
    ridge : float
        Added to the diagonal of the correlation matrix; early, more is added.
    memory : float
        Events that what is usual looks back on, at most.
    warmup : int
        Events to learn before anything is scored, at least 128.

    Attributes
    ----------
    learned : int
        Events learned so far.

    Notes
    -----
    A field that has had at most two different values helps to explain the others; its own residual counts a tenth, as a line through two
    points has no tail.
    Residuals by the inverse of a covariance: Whittaker, Graphical models in applied multivariate statistics, 1990. Tail: Hill, A simple
    general approach to inference about the tail of a distribution, 1975. Episodes: Leadbetter, Extremes and local dependence, 1983.
    """

    name: ClassVar[str] = "relations"
    input_kind: ClassVar[InputKind] = "levels"
    in_nats: ClassVar[bool] = True
    apart: ClassVar[bool] = True
    anomaly_kind: ClassVar[Kind] = "contextual"
    half_score: ClassVar[float] = 7.0
    state_version: ClassVar[int] = 1
    max_fields: ClassVar[int] = 256
    arrays: ClassVar[tuple[str, ...]] = (
        "_mean",
        "_cov",
        "_matrix",
        "_moments",
        "_tails",
        "_table",
        "_counts",
        "_joint",
        "_pending",
        "_suspicion",
        "_peaks",
        "_held",
        "_weights",
        "_totals",
        "_seen",
        "_recent",
        "_numbers",
    )

    def __init__(self, ridge: float = 0.1, memory: float = 5e4, warmup: int = REFRESH) -> None:
        self.ridge = ridge
        self.memory = memory
        self.warmup = max(warmup, REFRESH)
        self.learned = 0
        self._recent: Floats | None = None

    @staticmethod
    def recent_columns(fields: int) -> int:
        """Numbers that are kept for each entity: two means of each field, and the statistic over four spans."""
        return 2 * fields + len(SPANS)

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        columns = 3 * width
        return 8 * (columns * (4 * columns + 2 * width + REFRESH) + 2 * width * BITS)

    @property
    def width(self) -> int | None:  # noqa: D102
        return None if self._recent is None else len(self._seen)

    def rate_learn_many(
        self,
        X: Floats,
        slots: Slots | None = None,
        recent: Floats | None = None,
        values: Floats | None = None,
        before: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Evidence of events; each is scored, then learned.

        Parameters
        ----------
        X : float64[n, d]
            Each value's deviation from its entity's usual level, in standard deviations; any size, NaN is missing.
        slots : int64[n], optional
            Row in `recent` of each event's entity. Without, all events are of one entity.
        recent : float64[entities, recent_columns(d)], optional
            What is kept for each entity; NaN where the entity is not known yet. It is written to.
        values : float64[n, d], optional
            The values themselves. With them, fields of at most two values are known. Without, all fields are judged alike.
        before : float64[n, recent_columns(d)], optional
            It is given what was kept for each event's entity before the event: enough to learn the event again by itself.

        Returns
        -------
        evidence : float64[n]
            -ln of the event's tail probability; NaN before `warmup` events are learned.
        fields : float64[n, d]
            Evidence of each field by itself, at least 0, not yet less the price of d looks; 0 where the value is missing.
        """
        X = checked(X, self.width, self.name)
        if self.width is None:
            self._build(X.shape[1])
        assert self._recent is not None
        if recent is None or slots is None:
            slots, recent = np.zeros(len(X), np.int64), self._recent
        return self._learn(X, slots, recent, values, np.empty((0, 0)) if before is None else before)

    def widen(self, width: int) -> None:
        """Begin anew with more fields: relations to the new ones must be learned, and the old ones' change with them."""
        self.learned = 0
        self._build(width)

    def _build(self, width: int) -> None:
        d, w = width, 3 * width
        self._mean, self._cov, self._matrix = np.zeros(w), np.zeros((w, w)), np.zeros((w, 2 * d))
        self._totals = np.zeros((w, w))  # weight learned of each pair of columns
        self._moments = np.stack((np.zeros(w), np.ones(w)))
        self._tails, self._counts, self._peaks = np.ones((2 * d, 3)), np.zeros((2 * d, BITS)), np.zeros(2 * d + 1)
        self._table, self._joint = np.full(JOINT_BINS + 3, np.inf), np.zeros(JOINT_BINS)
        self._table[-1] = 0.5
        self._pending, self._suspicion = np.zeros((DELAY + 1, JOINT_BINS)), np.zeros(JOINT_BINS)
        self._held, self._weights, self._seen = np.zeros((REFRESH, w)), np.zeros(REFRESH), np.zeros((d, 3))
        self._recent = np.full((1, self.recent_columns(d)), np.nan)
        self._numbers = np.array([0.0, 0.0, np.inf])  # weight learned, events at the last matrix, limit of suspicion

    def _learn(
        self, X: Floats, slots: Slots, recent: Floats, values: Floats | None, before: Floats
    ) -> tuple[Floats, Floats]:
        evidence, fields = np.empty(len(X)), np.empty(X.shape)
        none = np.empty((0, X.shape[1]))
        start = 0
        while start < len(X):
            grid = FIRST if self.learned < REFRESH else REFRESH
            filled = self.learned % grid
            part = slice(start, min(len(X), start + grid - filled))
            given = none if values is None else np.ascontiguousarray(values[part], dtype=np.float64)
            self._run(X[part], slots[part], recent, given, filled, (evidence[part], fields[part], before[part]))
            self.learned += part.stop - start
            if self.learned % grid == 0:
                self._absorb(grid)
            start = part.stop
        return evidence, fields

    def _rate(self, X: Floats, learn: bool) -> tuple[Floats, Floats]:
        if learn:
            return self.rate_learn_many(X)
        assert self._recent is not None
        evidence, fields = np.empty(len(X)), np.empty(X.shape)
        recent = np.repeat(self._recent, len(X), axis=0)  # each event as if it were the next
        none = np.empty((0, X.shape[1]))
        self._run(X, np.arange(len(X)), recent, none, 0, (evidence, fields, np.empty((0, 0))), learn=False)
        return evidence, fields

    def _run(
        self,
        X: Floats,
        slots: Slots,
        recent: Floats,
        values: Floats,
        filled: int,
        out: tuple[Floats, Floats, Floats],
        learn: bool = True,
    ) -> None:
        """Fill in `out`: evidence of events, of fields, and what was kept before (see `rate_learn_many`)."""
        judged = (self.learned >= FIRST) + (self.learned >= 2 * FIRST) + (self.learned >= self.warmup)
        rate(
            X,
            slots,
            recent,
            values,
            self._seen,
            self._moments,
            self._matrix,
            self._tails,
            self._table,
            self._counts,
            self._pending[0],
            self._suspicion,
            self._peaks,
            self._held,
            self._weights,
            self._numbers[2],
            filled,
            int(judged),
            learn,
            scratch_for(X.shape[1]),
            *out,
        )

    def _absorb(self, rows: int) -> None:
        """Learn the events that were kept; then new tails, and from time to time new matrices."""
        _one_thread()
        total, last, _ = self._numbers
        held, weights = self._held[:rows], self._weights[:rows]
        total = min(total, self.memory) + weights.sum()
        self._numbers[0] = total
        came = self._learn_moments(held, weights)
        for counted in (self._counts, self._joint[None], self._suspicion[None]):
            forget(counted, self.memory)
        if self.learned > FIRST:
            fit_tails(self._counts, self._tails)
        if self.learned > 2 * FIRST:
            keep = min(DELAY, self.learned // REFRESH // 4)
            self._joint += self._pending[keep:].sum(axis=0)
            self._pending[1 : keep + 1] = self._pending[:keep]
            self._pending[keep + 1 :] = 0.0
            self._pending[0] = 0.0
            fit_joint(self._joint, self._table)
            self._numbers[2] = MARGIN + limit_of_suspicion(self._suspicion, 1.0 - FREE)
        columns = len(self._mean)
        between = max(min(self.learned // 8, MOST_BETWEEN), columns if columns > MANY else 1)
        if last == 0 or came or self.learned - last >= between:
            self._refresh(total)
            self._numbers[1] = self.learned

    def _learn_moments(self, held: Floats, weights: Floats) -> bool:
        """Learn events into means and covariances; returns whether a column has its first values.

        A missing value leaves its column as it is: each covariance is learned from the events that have both values.
        """
        missing = np.isnan(held)
        if missing.any():
            own, added, centre, products = self._sums_of_known(held, ~missing, weights)
        else:
            weight = weights.sum()
            own, added = np.full(len(self._mean), weight), np.full(self._cov.shape, weight)
            centre = weights @ held / weight
            products = _products(held - centre, weights)
        return bool(merge_moments(own, added, centre, products, self._mean, self._cov, self._totals, self.memory))

    def _sums_of_known(self, held: Floats, known: Flags, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """What events with missing values add: weight of each column and of each pair, means, and products of deviations from these.

        The means of a field are old where its value is missing: they are learned beside the fields that are there, and not by themselves.
        """
        new = np.tile(known[:, : len(self._seen)], 3)
        own = weights @ new
        centre = np.where(own > 0.0, weights @ np.where(new, held, 0.0) / np.where(own > 0.0, own, 1.0), self._mean)
        away = np.where(known, held - centre, 0.0)
        added, products = _products(known, weights), _products(away, weights)
        if (known & ~new).any():
            added -= _products(known & ~new, weights)
            products -= _products(np.where(new, 0.0, away), weights)
            together = added > 0.5 * LEAST_WEIGHT  # a difference may leave rounding where there is no event
            added, products = np.where(together, added, 0.0), np.where(together, products, 0.0)
        return own, added, centre, products

    def _refresh(self, total: float) -> None:
        """The matrices of both models: inverses of the correlation and a ridge, each residual in its own usual size."""
        d = len(self._seen)
        deviation = np.sqrt(np.maximum(np.diag(self._cov), 0.0))
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        early = 2.0 * d / total
        # what few events say of a pair counts less, as all counts less early
        correlation = self._cov / np.outer(deviation, deviation)
        correlation *= (1.0 + early) / (1.0 + 2.0 * d / np.maximum(self._totals, 1e-9))
        np.fill_diagonal(correlation, 1.0)
        correlation = positive(correlation, self.ridge)
        parts = ((d, self.ridge + early), (3 * d, RIDGE_MEANS + early))
        for k, (columns, ridge) in enumerate(parts):
            inside = correlation[:columns, :columns]
            inverse = np.linalg.inv(inside + ridge * np.eye(columns))[:, :d]
            size = np.sqrt(np.maximum(np.einsum("ij,ij->j", inverse, inside @ inverse), 1e-12))
            self._matrix[:columns, k * d : (k + 1) * d] = inverse / size
        self._moments[0], self._moments[1] = self._mean, 1.0 / deviation

    def to_state(self) -> bytes:  # noqa: D102
        arrays = {} if self._recent is None else {name: getattr(self, name) for name in self.arrays}
        return pack(self.name, self.state_version, {"settings": self.settings(), "learned": self.learned}, arrays)

    @classmethod
    def from_state(cls, state: bytes) -> Self:  # noqa: D102
        meta, arrays = unpack(state, cls.name, cls.state_version)
        detector = cls(**meta["settings"])
        detector.learned = meta["learned"]
        if arrays:
            detector._build(len(arrays["_seen"]))
            detector._totals[:] = arrays["_numbers"][0]  # an earlier release did not count pairs of columns
        for name, array in arrays.items():
            setattr(detector, name, array)
        return detector


def _products(columns: Floats | Flags, weights: Floats) -> Floats:
    """Weighted sums of the products of each pair of columns, float64[w, w]."""
    return np.asarray(columns.T @ (columns * weights[:, None]))
