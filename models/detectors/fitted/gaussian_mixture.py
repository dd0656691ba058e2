"""Gaussian mixture fitted to a history: how far the density at an event is below the highest one of the history."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector, Progress
from streamgauge.models.detectors.fitted.ranges import Range
from streamgauge.models.detectors.fitted.synthetic_anomalies import without_strangest
from streamgauge.models.lazy_modules import load_module
from streamgauge.models.persistence.codec import demand

RIDGE = 1e-3  # added to every variance, of normalised values
FULL = 64  # fields up to which components have a full covariance


class GaussianMixture(FittedDetector):
    """Minus ln of the mixture's density, less the lowest such value in the history.

    The number of components is the one with the least Bayesian information criterion. The expected value of a field follows from all
    others, in the component that the event most likely belongs to.

    Parameters
    ----------
    components : int, optional
        Chosen from 1 to 8 unless given.
    trim : float
        Share of the history that is not learned from: the events with the highest raw scores.
    seed : int
        Of all random choices.

    Notes
    -----
    McLachlan and Peel, Finite mixture models, 2000; fitted by scikit-learn's GaussianMixture, densities equal to its own.
    """

    name: ClassVar[str] = "gaussian_mixture"
    half_score: ClassVar[float] = 10.0
    ranges: ClassVar[dict[str, Range]] = FittedDetector.ranges | {"components": Range(1)}
    max_rows: ClassVar[int] = 20_000

    def __init__(self, components: int | None = None, trim: float = 0.02, seed: int = 42) -> None:
        super().__init__()
        self.components = components
        self.trim = trim
        self.seed = seed

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        components = cls(**settings).components or 8
        return 8 * components * width * (2 + (width if width <= FULL else 1)) + 16 * width

    def _train(self, Z: Floats, say: Progress) -> None:
        fits = load_module("detectors.fitted.sklearn_fits")
        covariance = "full" if Z.shape[1] <= FULL else "diag"

        def fitted(rows: Floats, components: int) -> Any:
            return fits.gaussian_mixture(rows, components, covariance, RIDGE, self.seed)

        choice = self.components
        if choice is None:
            tried = []
            for k in range(1, 9):
                say("choosing components", (k - 1) / 9)
                tried.append((fitted(Z, k).bic(Z), k))
            choice = min(tried)[1]
        self.chosen = {"components": choice}
        self._keep(fitted(Z, choice), Z)
        if self.trim:
            kept = without_strangest(Z, self._rate, self.trim)
            self._keep(fitted(kept, choice), kept)
        say("choosing components", 1.0)

    def _keep(self, mixture: Any, Z: Floats) -> None:
        d = Z.shape[1]
        root = mixture.precisions_cholesky_
        if root.ndim == 3:
            half_log = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
            precision = np.matmul(root, root.transpose(0, 2, 1))
        else:
            half_log, precision = np.log(root).sum(axis=1), (root**2)[:, None, :]
        self.arrays = {
            "means": np.ascontiguousarray(mixture.means_),
            "precision": np.ascontiguousarray(precision),
            "log_weights": np.log(mixture.weights_) + half_log - 0.5 * d * math.log(2.0 * math.pi),
            "densest": np.zeros(1),
        }
        self.arrays["densest"] = -self._likeliest(Z)[0].min(keepdims=True)

    def _check(self) -> None:
        d = self.normalisation.centre.size
        components = len(demand(self.arrays, "means", np.float64, (None, d)))
        demand(self.arrays, "precision", np.float64, (components, d if d <= FULL else 1, d))
        demand(self.arrays, "log_weights", np.float64, (components,))
        demand(self.arrays, "densest", np.float64, (1,))

    def _likeliest(self, Z: Floats) -> tuple[Floats, Floats, Floats]:
        a = self.arrays
        below, weights, expected = np.empty(len(Z)), np.empty(Z.shape), np.empty(Z.shape)
        _rate(Z, a["means"], a["precision"], a["log_weights"], below, weights, expected)
        return below, weights, expected

    def _rate(self, Z: Floats) -> Floats:
        raw_score: Floats = np.maximum(self._likeliest(Z)[0] + self.arrays["densest"][0], 0.0)
        return raw_score

    def _weights(self, Z: Floats) -> Floats:
        """Terms of the squared Mahalanobis distance from the likeliest component; negative ones count 0."""
        return np.maximum(self._likeliest(Z)[1], 0.0)

    def _expected(self, Z: Floats) -> Floats:
        return self._likeliest(Z)[2]


@njit(cache=True)
def _rate(Z, means, precision, log_weights, below, weights, expected):  # type: ignore[no-untyped-def]
    """Fill in minus ln of the density, terms of the distance from the likeliest component, and each field's value given the others."""
    components, d = means.shape
    full = precision.shape[1] == d and d > 1
    part, pulled = np.empty(components), np.empty((components, d))
    for i in range(Z.shape[0]):
        likeliest = 0
        for c in range(components):
            square = 0.0
            for j in range(d):
                pulled[c, j] = 0.0
                if full:
                    for k in range(d):
                        pulled[c, j] += precision[c, j, k] * (Z[i, k] - means[c, k])
                else:
                    pulled[c, j] = precision[c, 0, j] * (Z[i, j] - means[c, j])
                square += pulled[c, j] * (Z[i, j] - means[c, j])
            part[c] = log_weights[c] - 0.5 * square
            if part[c] > part[likeliest]:
                likeliest = c
        total = 0.0
        for c in range(components):
            total += math.exp(part[c] - part[likeliest])
        below[i] = -part[likeliest] - math.log(total)
        for j in range(d):
            own = precision[likeliest, j, j] if full else precision[likeliest, 0, j]
            weights[i, j] = pulled[likeliest, j] * (Z[i, j] - means[likeliest, j])
            expected[i, j] = Z[i, j] - pulled[likeliest, j] / own
