"""What detectors of a lasting change have in common: a short past against a long one, both exponentially weighted."""

from __future__ import annotations

from typing import ClassVar

from streamgauge.models.detectors.entity.entity_detector import EntityDetector


class TwoSpans(EntityDetector):
    """Compares a short past of each field with a long one. The score is ``m / (m + 6)``.

    Parameters
    ----------
    short, long : float
        Values that the two pasts span.
    warmup : int
        Values needed before a field is scored.
    """

    half_score: ClassVar[float] = 6.0

    def __init__(self, short: float = 20.0, long: float = 400.0, warmup: int = 60) -> None:
        self.short = short
        self.long = long
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return 4

    @property
    def gains(self) -> tuple[float, float]:
        """Weight of a new value in the short past, and in the long one."""
        return 2.0 / (self.short + 1.0), 2.0 / (self.long + 1.0)
