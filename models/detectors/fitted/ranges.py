"""Which values the arguments of trained detectors may have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from one to another.

    Attributes
    ----------
    least, most : float
    whole : bool
        Whether only whole numbers are allowed.
    ends : bool
        Whether `least` and `most` are allowed themselves.
    """

    least: float
    most: float = math.inf
    whole: bool = True
    ends: bool = True

    def has(self, value: Any) -> bool:
        """Whether a value is one of these numbers."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        inside = self.least <= value <= self.most if self.ends else self.least < value < self.most
        return inside and math.isfinite(value)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if not self.ends:
            return f"{kind} above {self.least:g}" + (f" and below {self.most:g}" if math.isfinite(self.most) else "")
        return f"{kind} from {self.least:g}" + (f" to {self.most:.10g}" if math.isfinite(self.most) else "")


SEED = Range(0, 2**32 - 1)
TRIM = Range(0.0, 0.5, whole=False)  # without more than half of the history, it is not learned what is usual
