"""What scikit-learn fits for our detectors. It takes a second to import, so this module is loaded when something is fitted."""

from __future__ import annotations

import warnings
from typing import Any, Literal

from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.svm import OneClassSVM
from streamgauge.models.contract import Floats


def isolation_forest(Z: Floats, n_trees: int, part: int, seed: int) -> Any:
    """A forest grown from float64[n, d], each tree from at most `part` rows."""
    return IsolationForest(n_estimators=n_trees, max_samples=min(part, len(Z)), random_state=seed).fit(Z)


def gaussian_mixture(
    Z: Floats, components: int, covariance: Literal["full", "diag"], ridge: float, seed: int
) -> GaussianMixture:
    """A mixture fitted to float64[n, d], `ridge` added to every variance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has not converged is judged like the others
        return GaussianMixture(components, covariance_type=covariance, reg_covar=ridge, random_state=seed).fit(Z)


def one_class_svm(Z: Floats, nu: float, gamma: float) -> Any:
    """A one-class support vector machine fitted to float64[n, d]."""
    return OneClassSVM(nu=nu, gamma=gamma, cache_size=500).fit(Z)
