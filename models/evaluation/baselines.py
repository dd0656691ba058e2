"""The plain scripts that a user would write first: what a detector must beat to be worth its cost."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints

HALF_LIFE = 500  # events, of the exponentially weighted z-score
YOUNG = 5  # events of an entity before it is scored
VARIANCE = 0.9  # share of it that the principal components keep
LEAST = 50  # rows that are fitted on, at least
FARTHEST = 20.0  # deviations beyond this count as this much in the components


def frozen_z(X: Floats, fitted: int) -> Floats:
    """The z-score of the field that is farthest away, with mean and deviation of the first rows.

    Parameters
    ----------
    X : float64[n, d]
        NaN is missing.
    fitted : int
        Number of rows to fit on.

    Returns
    -------
    float64[n]
        0 where all fields are missing.
    """
    away = np.abs(_standardised(X, fitted))
    largest: Floats = np.where(np.isnan(away), 0.0, away).max(axis=1, initial=0.0)
    return largest


def exponential_z(X: Floats, entities: Ints | None = None) -> Floats:
    """The z-score of the field that is farthest away, with exponentially weighted mean and variance of each entity.

    Parameters
    ----------
    X : float64[n, d]
        NaN is missing, and counts as 0.
    entities : int64[n], optional
        Number of each row's entity; one entity by default.

    Returns
    -------
    float64[n]
        0 for the first rows of an entity.
    """
    who = np.zeros(len(X), np.int64) if entities is None else np.unique(entities, return_inverse=True)[1]
    scores = np.zeros(len(X))
    count = int(who.max(initial=0)) + 1
    _exponential_z(np.nan_to_num(X), who, 1.0 - 0.5 ** (1.0 / HALF_LIFE), np.zeros((2, count, X.shape[1])), scores)
    return scores


def residual_of_components(X: Floats, fitted: int) -> Floats:
    """The squared distance from the principal components that keep 90 % of the variance of the first rows.

    Parameters
    ----------
    X : float64[n, d]
        At least two fields. NaN is missing, and counts as the mean.
    fitted : int
        Number of rows to fit on.

    Returns
    -------
    float64[n]
    """
    Z = np.clip(np.nan_to_num(_standardised(X, fitted)), -FARTHEST, FARTHEST)
    values, vectors = np.linalg.eigh(np.cov(Z[: max(fitted, LEAST)].T))
    values, vectors = values[::-1], vectors[:, ::-1]
    total = values.sum()
    kept = int(np.searchsorted(np.cumsum(values), VARIANCE * total)) + 1 if total > 0 else 1
    residual: Floats = ((Z - (Z @ vectors[:, :kept]) @ vectors[:, :kept].T) ** 2).sum(axis=1)
    return residual


def baselines(X: Floats, fitted: int, entities: Ints | None = None) -> dict[str, Floats]:
    """Scores of all baselines, by name: `z`, `ewz`, and `pca` if there are several fields.

    Parameters
    ----------
    X : float64[n, d]
    fitted : int
        Rows that `z` and `pca` are fitted on.
    entities : int64[n], optional
    """
    scores = {"z": frozen_z(X, fitted), "ewz": exponential_z(X, entities)}
    if X.shape[1] > 1:
        scores["pca"] = residual_of_components(X, fitted)
    return scores


def _standardised(X: Floats, fitted: int) -> Floats:
    """Values minus mean, by deviation, of the first rows; NaN where a field has no value there."""
    first = X[: max(fitted, LEAST)]
    known = ~np.isnan(first)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, first, 0.0).sum(axis=0) / n
    deviation = np.sqrt((np.where(known, first - mean, 0.0) ** 2).sum(axis=0) / n)
    mean = np.where(known.any(axis=0), mean, np.nan)
    standardised: Floats = (X - mean) / (deviation + 1e-9)
    return standardised


@njit(cache=True)
def _exponential_z(X, who, rate, moments, scores):  # type: ignore[no-untyped-def]
    mean, variance = moments[0], moments[1]
    seen = np.zeros(len(mean), np.int64)
    for i in range(X.shape[0]):
        e = who[i]
        if seen[e] == 0:
            mean[e] = X[i]
        share = max(rate, 1.0 / (seen[e] + 1))
        for f in range(X.shape[1]):
            away = X[i, f] - mean[e, f]
            if seen[e] >= YOUNG:
                spread = math.sqrt(variance[e, f] + 1e-9 + 1e-6 * mean[e, f] ** 2)
                scores[i] = max(scores[i], abs(away) / spread)
            mean[e, f] += share * away
            variance[e, f] = (1.0 - share) * (variance[e, f] + share * away * away)
        seen[e] += 1
