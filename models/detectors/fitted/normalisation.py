"""Centre and scale of each field of a fitted model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.deviation import ROUNDING

MAD_TO_DEVIATION = 1.4826  # of a normal distribution
CLIP = 20.0  # scales that a value counts at most


@dataclass(frozen=True)
class Normalisation:
    """Centre and scale of each field, from its median and its median absolute deviation: anomalies in the data change them little.

    Attributes
    ----------
    centre, scale : float64[d]
        The scale is the standard deviation where more than half of the values are equal, the centre itself where all are.
    """

    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, X: Floats) -> Self:
        """Of the rows of float64[n, d]; NaN and infinities do not count."""
        X = np.where(np.isfinite(X), X, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # columns without any value
            centre = np.nan_to_num(np.nanmedian(X, axis=0))
            away = X - centre
            largest = np.nanmax(np.abs(away), axis=0, initial=0.0)
            unit = np.where(largest > 0, largest, 1.0)  # squares of tiny and of huge values stay in range
            deviation = np.nan_to_num(unit * np.nanstd(away / unit, axis=0))
            scale = np.nan_to_num(MAD_TO_DEVIATION * np.nanmedian(np.abs(away), axis=0))
        least = ROUNDING * np.abs(centre)  # less is rounding
        scale = np.where(scale > least, scale, deviation)
        scale = np.where(scale > least, scale, np.where(centre != 0, np.abs(centre), 1.0))
        return cls(centre, scale)

    def apply(self, X: Floats) -> Floats:
        """Values in scales from their centre, limited to 20; 0 where missing.

        Parameters
        ----------
        X : float64[..., d]
        """
        with np.errstate(over="ignore"):
            Z: Floats = np.clip((X - self.centre) / self.scale, -CLIP, CLIP)
        return np.where(np.isnan(Z), 0.0, Z)

    def undo(self, Z: Floats) -> Floats:
        """Values whose normalised form is `Z`."""
        X: Floats = self.centre + self.scale * Z
        return X
