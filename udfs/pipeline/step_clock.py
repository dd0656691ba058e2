"""Measures how long each step of a batch takes."""

from __future__ import annotations

import time


class StepClock:
    """Measures the time of steps that follow each other.

    Parameters
    ----------
    seconds : dict of str to float
        By step: seconds so far. The measured times are added.
    """

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        """Add the time since the last call to a step."""
        now = time.perf_counter()
        self._seconds[step] = self._seconds.get(step, 0.0) + now - self._last
        self._last = now
