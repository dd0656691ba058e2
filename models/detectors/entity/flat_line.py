"""Flat line: a value that repeats for longer than ever before."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel

LAST, RUN, LONGEST, REPEATS = 1, 2, 3, 4
LEAST = 0.5  # assumed probability of a repetition
USUAL = 0.3  # a field with this share of repetitions has no flat line


class FlatLine(EntityDetector):
    """How unlikely a run of equal values is, beyond the longest run before it.

    The raw score is evidence: each value beyond the longest run counts ln 2, as if the field repeated its last value half of the time.
    A field that repeated its value in three of ten events or more has no flat line. One run makes the longest run at most twice as
    long. The score is ``m / (m + 6)``.

    Parameters
    ----------
    usual : int
        Runs up to this length are usual.
    warmup : int
        Values needed before a field is scored.

    Notes
    -----
    Lengths of runs are geometric where repetitions are independent: Feller, An introduction to probability theory, 1957.
    """

    name: ClassVar[str] = "flat_line"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    half_score: ClassVar[float] = 6.0
    state_version: ClassVar[int] = 2
    in_nats: ClassVar[bool] = True
    pooled = "rarest"
    anomaly_kind = "collective"

    def __init__(self, usual: int = 5, warmup: int = 20) -> None:
        self.usual = usual
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return 5

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        evidence, expected = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
        _runs(state, rows, X, self.usual, self.warmup, learn, evidence)
        return evidence, expected


@kernel
def _runs(state, rows, X, usual, warmup, learn, evidence):  # type: ignore[no-untyped-def]
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            same = cell[0] > 0.0 and x == cell[LAST]
            run = cell[RUN] + 1.0 if same else 1.0
            longest = max(cell[LONGEST], usual)
            if not same:
                longest = max(longest, min(cell[RUN], 2.0 * longest))
            if cell[0] >= warmup:
                evidence[i, f] = 0.0
                before = cell[0] + 1.0 - run  # values, and repetitions among them
                if before >= warmup and cell[REPEATS] + same - (run - 1.0) < USUAL * before:
                    evidence[i, f] = max(0.0, run - longest) * -math.log(LEAST)
            if learn:
                cell[0] += 1.0
                cell[LAST], cell[RUN], cell[LONGEST] = x, run, longest
                cell[REPEATS] += same
