"""Conditional residual: what all other fields, and the values of the event before, do not explain of a field."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.cohort.cohort_detector import InputKind
from streamgauge.models.detectors.cohort.linear_residuals import LinearResiduals


class ConditionalResidual(LinearResiduals):
    """Residual of each field given all the others at the same moment and all of them a step before.

    ``r_j = (P z)_j / P_jj`` with ``P`` the inverse of the correlation matrix plus a ridge; each is divided by its own usual size; the
    mean of the three largest is the raw score. The score is ``m / (m + 3)``. It is not good for fields of two values.

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
    Partial regression by the precision matrix: Whittaker, Graphical models in applied multivariate statistics, 1990.
    """

    name: ClassVar[str] = "conditional_residual"
    input_kind: ClassVar[InputKind] = "levels and lasts"
    lagged: ClassVar[bool] = True
    max_fields: ClassVar[int] = 64

    @staticmethod
    def residuals(correlation: Floats, fields: int, ridge: float) -> Floats:  # noqa: D102
        precision = np.linalg.inv(correlation + ridge * np.eye(len(correlation)))
        return np.asarray(precision[:fields] / np.diag(precision)[:fields, None])
