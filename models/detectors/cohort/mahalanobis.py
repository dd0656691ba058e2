"""Mahalanobis distance: how far an event is from the centre of all events, in the metric of their running covariance."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.linear_residuals import LinearResiduals


class Mahalanobis(LinearResiduals):
    """Root of the mean squared whitened value, with a covariance that is learned event by event, robust and regularised.

    The residuals are ``P^(1/2) z``, with ``P`` the inverse of the correlation matrix plus a ridge: their squares add up to the
    squared distance, and each belongs to a field. It is not good for several clusters, nor for fields of two
    values. The score is ``m / (m + 3)``.

    Parameters
    ----------
    ridge : float
        Added to the diagonal of the correlation matrix.
    gain : float
        Least weight of a new event.
    warmup : int
        Events to learn before anything is scored; the first matrix is computed 32 events earlier.

    Notes
    -----
    Mahalanobis, On the generalised distance in statistics, 1936; whitening by the symmetric root (ZCA) as in Kessy, Lewin and
    Strimmer, Optimal whitening and decorrelation, 2018.
    """

    name: ClassVar[str] = "mahalanobis"
    pooled: ClassVar[int] = 0
    max_fields: ClassVar[int] = 128

    @staticmethod
    def residuals(correlation: Floats, fields: int, ridge: float) -> Floats:  # noqa: D102
        values, vectors = np.linalg.eigh(correlation)
        root: Floats = (vectors / np.sqrt(np.maximum(values, 0.0) + ridge)) @ vectors.T
        return root
