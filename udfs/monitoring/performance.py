"""Whether a trained model has become worse, by what people say of alerts."""

from __future__ import annotations

from typing import Any

import numpy as np
from river.drift import ADWIN
from streamgauge.udfs.control.feedback import Feedback, Source

CONFIDENCE = 0.01  # probability of a change that is none
LEAST = 10  # words before a change can be told
MOST_BY = 0.5  # share of the words that one person may have, where there are several


class PerformanceWatch:
    """Precision and recall of one model, followed by ADWIN through what people say of alerts.

    Of the alerts that the model agreed with, which were true: its precision. Of those that were true, which it agreed with: its recall,
    as far as anything alerted. When either has fallen, a retraining is called for, and the watch begins anew. Nothing of it is saved: the
    topic of feedback is read again at a start.

    Parameters
    ----------
    model : str

    Notes
    -----
    Bifet and Gavalda, Learning from time-changing data with adaptive windowing, SDM 2007; River's implementation.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._known: dict[str, Feedback] = {}
        self._anew()

    def _anew(self) -> None:
        self._watches = {
            what: ADWIN(delta=CONFIDENCE, clock=1, grace_period=LEAST, min_window_length=LEAST // 2)
            for what in ("precision", "recall")
        }
        self._words: dict[str, list[tuple[bool, Source]]] = {what: [] for what in self._watches}
        self._by: dict[str, int] = {}

    def take(self, message: Feedback) -> tuple[dict[str, Any], Source] | None:
        """Take up what somebody says of an event whose place is known.

        Where several people say something, no more than half of the words count that are one person's.

        Returns
        -------
        (evidence, source) or None
            What speaks for a retraining, and the first event that was judged since the model became worse.
        """
        known = self._known.get(message.key)
        self._known[message.key] = message
        if message == known or message.verdict == "ignore" or message.source is None:
            return None
        if self.model not in (*message.agreed, *message.disagreed):
            return None
        by, others = self._by.get(message.by, 0), sum(self._by.values())
        if len(self._by) > 1 and by > MOST_BY * others:
            return None
        self._by[message.by] = by + 1
        agreed, right = self.model in message.agreed, message.verdict == "true"
        said = ({"precision": right} if agreed else {}) | ({"recall": agreed} if right else {})
        for what, good in said.items():
            words, watch = self._words[what], self._watches[what]
            words.append((good, message.source))
            watch.update(float(good))
            if not watch.drift_detected:
                continue
            cut = _parted([good for good, _ in words])
            before, after = (sum(good for good, _ in part) / len(part) for part in (words[:cut], words[cut:]))
            if after < before:
                self._anew()
                return {
                    "of": what, "before": round(before, 4), "after": round(after, 4), "judged": len(words),
                }, words[cut][1]  # fmt: skip
        return None


def _parted(good: list[bool]) -> int:
    """Where the words before and after differ most (the likeliest place of one change of a mean)."""
    n, so_far = len(good), np.cumsum(good)[:-1]
    before = np.arange(1, n)
    apart = np.abs(so_far / before - (sum(good) - so_far) / (n - before)) * np.sqrt(before * (n - before))
    return int(apart.argmax()) + 1
