"""Vector autoregressive residual: what a forecast from all fields of the event before does not explain of a field."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.cohort_detector import InputKind
from streamgauge.models.detectors.cohort.linear_residuals import LinearResiduals


class VectorAutoregression(LinearResiduals):
    """Residual of a ridge regression of every field on all fields of the event before, learned event by event.

    ``e = z - B z'`` with ``B = C_zz' (C_z'z' + ridge I)^-1``; each residual is divided by its own usual size; the mean of the three
    largest is the raw score. It is not good for fields of two values. The score is ``m / (m + 3)``.

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
    Lütkepohl, New introduction to multiple time series analysis, 2005, of order 1, with the ridge of Hoerl and Kennard, 1970.
    """

    name: ClassVar[str] = "vector_autoregression"
    input_kind: ClassVar[InputKind] = "levels and lasts"
    lagged: ClassVar[bool] = True
    max_fields: ClassVar[int] = 64

    @staticmethod
    def residuals(correlation: Floats, fields: int, ridge: float) -> Floats:  # noqa: D102
        before = correlation[fields:, fields:] + ridge * np.eye(fields)
        return np.hstack((np.eye(fields), -np.linalg.solve(before, correlation[fields:, :fields]).T))
