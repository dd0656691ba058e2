"""Flat line: a value that repeats for longer than it ever did."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.entity_detector import EntityDetector

LAST, RUN, LONGEST = 1, 2, 3


class FlatLine(EntityDetector):
    """Length of the run of equal values, over the longest run before it.

    A field that repeats often has long runs and needs longer ones to be told. The score is ``m / (m + 3)``: a half at three times
    the longest.

    Parameters
    ----------
    usual : int
        A run is never compared with a shorter one than this.
    warmup : int
        Values needed before a field is scored.
    """

    name: ClassVar[str] = "flat_line"
    half_score: ClassVar[float] = 3.0

    def __init__(self, usual: int = 5, warmup: int = 20) -> None:
        self.usual = usual
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return 4

    def distances(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        length, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _runs(state, rows, X, self.usual, self.warmup, learn, length)
        return length, expected


@njit(cache=True)
def _runs(state, rows, X, usual, warmup, learn, length):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            run = cell[RUN] + 1.0 if cell[0] > 0.0 and x == cell[LAST] else 1.0
            longest = max(cell[LONGEST], cell[RUN]) if run == 1.0 else cell[LONGEST]
            if cell[0] >= warmup:
                length[i, f] = run / max(longest, usual)
            if learn:
                cell[0] += 1.0
                cell[LAST], cell[RUN], cell[LONGEST] = x, run, longest
