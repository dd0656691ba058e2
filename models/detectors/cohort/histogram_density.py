"""Histogram density: how few past values each field's histogram has at the event."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.cohort.loda import Loda


class HistogramDensity(Loda):
    """Mean over the columns of minus the logarithm of each column's density at the event.

    LODA with the columns themselves in place of random projections: it ignores relations between fields, and is disturbed little by
    fields that do not matter. The score is ``m / (m + 6)``.

    Parameters
    ----------
    memory : int
        When twice as many events have been learned, the past counts half.
    warmup : int
        Events to learn before anything is scored.

    Notes
    -----
    Goldstein and Dengel, Histogram-based outlier score (HBOS), KI 2012; learned online, with LODA's prior and forgetting.
    """

    name: ClassVar[str] = "histogram_density"

    def __init__(self, memory: int = 20_000, warmup: int = 128) -> None:
        super().__init__(0, memory, warmup)

    def draw_projections(self, width: int) -> tuple[Ints, Floats]:  # noqa: D102
        return np.arange(width, dtype=np.int64)[:, None], np.ones((width, 1))
