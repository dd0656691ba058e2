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
        self._kept: dict[str, tuple[float, str | Exception]] = {}

    def get(self, key: str, make: Callable[[], str]) -> str:
        """The text for a key, made anew if it is too old. While one is made, others wait for it, and fail with it.

        Else, while the database hangs, they would try it one after the other.
        """
        asked = time.monotonic()
        with self._lock:
            now = time.monotonic()
            self._kept = {name: one for name, one in self._kept.items() if now - one[0] < self._seconds}
            at, found = self._kept.get(key, (0.0, None))
            if found is None or (isinstance(found, Exception) and at < asked):
                try:
                    found = make()
                except Exception as error:  # raised below, for this caller and for those who wait
                    found = error
                self._kept[key] = time.monotonic(), found
        if isinstance(found, Exception):
            raise found
        return found
