"""One-class support vector machine: how little of the history lies near an event."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector, Progress
from streamgauge.models.detectors.fitted.ranges import Range
from streamgauge.models.detectors.fitted.synthetic_anomalies import (
    separation,
    split_validation,
    synthetic_anomalies,
    without_strangest,
)
from streamgauge.models.lazy_modules import load_module
from streamgauge.models.persistence.codec import demand

NUS = (0.01, 0.05, 0.1, 0.2)
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.9)  # of the distances between events: widths that are tried
PAIRS = 500  # events whose distances are looked at


class OneClassSvm(FittedDetector):
    """Minus the logarithm of the kernel sum over the support vectors, relative to the machine's boundary.

    On the boundary the raw score is ln 2. It grows with the distance without end, so that two far events get different ones. Nu and
    gamma are chosen without labels: those that best separate validation data from synthetic anomalies.

    Parameters
    ----------
    nu : float, optional
        Share of the history outside the boundary; chosen from 0.01 to 0.2 unless given.
    gamma : float, optional
        ``1 / (2 width^2)`` of the kernel; chosen from quantiles of the distances between events unless given.
    trim : float
        Share of the history that is not learned from: the events with the highest raw scores.
    seed : int
        Of all random choices.

    Notes
    -----
    Schoelkopf and others, Estimating the support of a high-dimensional distribution, Neural Computation 13, 2001; trained by
    scikit-learn's OneClassSVM (libsvm). Choice as in Steinwart, Hush and Scovel, JMLR 6, 2005.
    """

    name: ClassVar[str] = "one_class_svm"
    half_score: ClassVar[float] = 2.0
    ranges: ClassVar[dict[str, Range]] = FittedDetector.ranges | {
        "nu": Range(0.0, 1.0, whole=False, ends=False),
        "gamma": Range(0.0, whole=False, ends=False),
    }
    max_rows: ClassVar[int] = 3000

    def __init__(self, nu: float | None = None, gamma: float | None = None, trim: float = 0.02, seed: int = 42) -> None:
        super().__init__()
        self.nu = nu
        self.gamma = gamma
        self.trim = trim
        self.seed = seed

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        return cls.max_rows * 8 * (width + 1) + 16 * width

    def _train(self, Z: Floats, say: Progress) -> None:
        learn, judge = split_validation(Z, self.seed)
        strange = synthetic_anomalies(judge, self.seed)
        some = learn[: min(PAIRS, len(learn))]
        squares = ((some[:, None] - some[None]) ** 2).sum(axis=2)[np.triu_indices(len(some), 1)]
        spans = np.maximum(np.quantile(squares, QUANTILES), 1e-3)
        gammas = [self.gamma] if self.gamma else sorted({float(1.0 / (2.0 * span)) for span in spans})
        nus = [self.nu] if self.nu else NUS
        tried = []
        for k, gamma in enumerate(gammas):
            say("choosing nu and gamma", k / (len(gammas) + 1))
            for nu in nus:
                self._machine(learn, nu, gamma)
                tried.append((round(separation(self._rate(judge), self._rate(strange)), 4), -gamma, nu))
        found, gamma, nu = max(tried)  # of equals the widest kernel
        self.chosen = {"nu": nu, "gamma": -gamma, "separation": found}
        self._machine(Z, nu, -gamma)
        if self.trim:
            self._machine(without_strangest(Z, self._rate, self.trim), nu, -gamma)
        say("choosing nu and gamma", 1.0)

    def _machine(self, Z: Floats, nu: float, gamma: float) -> None:
        machine = load_module("detectors.fitted.sklearn_fits").one_class_svm(Z, nu, gamma)
        self.arrays = {
            "vectors": np.ascontiguousarray(machine.support_vectors_),
            "log_weights": np.log(machine.dual_coef_[0]),
            "numbers": np.array([gamma, math.log(max(-float(machine.intercept_[0]), 1e-300))]),
        }

    def _check(self) -> None:
        vectors = demand(self.arrays, "vectors", np.float64, (None, self.normalisation.centre.size))
        demand(self.arrays, "log_weights", np.float64, (len(vectors),))
        demand(self.arrays, "numbers", np.float64, (2,))

    def _rate(self, Z: Floats) -> Floats:
        raw_score = np.empty(len(Z))
        usual = np.empty((0, 0))
        gamma, boundary = self.arrays["numbers"]
        _log_sums(Z, self.arrays["vectors"], self.arrays["log_weights"], gamma, boundary, raw_score, usual)
        return raw_score

    def _expected(self, Z: Floats) -> Floats:
        """The mean of the support vectors, each weighted by its kernel."""
        raw_score, usual = np.empty(len(Z)), np.empty(Z.shape)
        gamma, boundary = self.arrays["numbers"]
        _log_sums(Z, self.arrays["vectors"], self.arrays["log_weights"], gamma, boundary, raw_score, usual)
        return usual


@njit(cache=True)
def _log_sums(Z, vectors, log_weights, gamma, boundary, raw_score, usual):  # type: ignore[no-untyped-def]
    part = np.empty(len(vectors))
    for i in range(Z.shape[0]):
        highest = -math.inf
        for v in range(len(vectors)):
            far = 0.0
            for j in range(Z.shape[1]):
                far += (Z[i, j] - vectors[v, j]) ** 2
            part[v] = log_weights[v] - gamma * far
            highest = max(highest, part[v])
        total = 0.0
        for v in range(len(vectors)):
            total += math.exp(part[v] - highest)
        # ln(1 + boundary / sum): 0 far inside, ln 2 on the boundary, without end outside
        beyond = boundary - highest - math.log(total)
        raw_score[i] = beyond if beyond > 30.0 else math.log1p(math.exp(beyond))
        if usual.shape[0]:
            for j in range(Z.shape[1]):
                usual[i, j] = 0.0
                for v in range(len(vectors)):
                    usual[i, j] += math.exp(part[v] - highest) / total * vectors[v, j]
