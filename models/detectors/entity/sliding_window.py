"""The last values of a field, for detectors that need all of them: a ring in the field's state."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numba import njit
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel

RING = 1  # place of the ring in a field's state, after the count; after the ring come its values, sorted


class WindowDetector(EntityDetector):
    """A detector that remembers the last values of each field.

    Parameters
    ----------
    window : int
        Values remembered.
    warmup : int
        Values needed before a field is scored.
    """

    tier: ClassVar[Literal["light", "rich"]] = "rich"
    state_version: ClassVar[int] = 2
    quarantined: ClassVar[bool] = True

    def __init__(self, window: int = 50, warmup: int = 20) -> None:
        self.window = window
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return 2 * self.window + 1


@njit(cache=True)
def push(cell, x, window):  # type: ignore[no-untyped-def]
    """Learn a value: in the ring it replaces the oldest one, and it gets its place among the sorted values."""
    count = int(cell[0])
    oldest, values = RING + count % window, cell[RING + window :]
    at, size = count, min(count + 1, window)
    if count >= window:
        at = np.searchsorted(values, cell[oldest])
    while at > 0 and values[at - 1] > x:
        values[at] = values[at - 1]
        at -= 1
    while at + 1 < size and values[at + 1] < x:
        values[at] = values[at + 1]
        at += 1
    values[at] = cell[oldest] = x
    cell[0] = count + 1.0


@njit(cache=True)
def held(cell, window):  # type: ignore[no-untyped-def]
    """The values in the ring, sorted; not to be changed."""
    return cell[RING + window : RING + window + min(int(cell[0]), window)]


@kernel
def quantile(values, share):  # type: ignore[no-untyped-def]
    """Quantile of sorted values, interpolated linearly as numpy does."""
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])
