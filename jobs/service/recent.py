"""Answers that are kept for a moment, so that many open pages, which all ask at the same change, cost as much as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Recent:
    """Keeps texts.

    Parameters
    ----------
    seconds : float
        How long a text is kept.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, str]] = {}

    def get(self, key: str, make: Callable[[], str]) -> str:
        """The text for a key, made anew if it is too old. While one is made, others wait for it."""
        with self._lock:
            now = time.monotonic()
            self._kept = {name: one for name, one in self._kept.items() if now - one[0] < self._seconds}
            if key not in self._kept:
                text = make()
                self._kept[key] = time.monotonic(), text
            return self._kept[key][1]
