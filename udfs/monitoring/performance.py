"""Whether a trained model has become worse, according to people's feedback on alerts."""

from __future__ import annotations

from typing import Any

import numpy as np
from river.drift import ADWIN
from streamgauge.udfs.control.feedback import Feedback, Source

CONFIDENCE = 0.01  # probability of reporting a change where there is none
LEAST = 10  # feedback messages that are needed before a change can be found
MOST_BY = 0.5  # share of the feedback that may come from one person, once several people give feedback


class PerformanceWatch:
    """Follows the precision and the recall of one model, by people's feedback on alerts, with ADWIN.

    The precision is the share of true alerts among the alerts that the model agreed with. The recall is the share of alerts that the model
    agreed with among the true alerts; anomalies without any alert are not known. When either has fallen, the model should be retrained,
    and the watch starts from the beginning. Where it has risen, what came before the rise counts no more. Nothing is saved, since the job
    reads the whole topic of feedback when it starts.

    Parameters
    ----------
    model : str
        Name of the model.

    Notes
    -----
    Bifet and Gavalda, Learning from time-changing data with adaptive windowing, SDM 2007; River's implementation.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._known: dict[str, Feedback] = {}
        self._reset()

    def _reset(self) -> None:
        """Start from the beginning."""
        self._watches = {
            what: ADWIN(delta=CONFIDENCE, clock=1, grace_period=LEAST, min_window_length=LEAST // 2)
            for what in ("precision", "recall")
        }
        self._judged: dict[str, list[tuple[bool, Source]]] = {what: [] for what in self._watches}
        self._by: dict[str, int] = {}

    def take(self, message: Feedback) -> tuple[dict[str, Any], Source] | None:
        """Take feedback into account, if it is new, and if the place of its alert is known.

        Once several people give feedback, messages of a person who has given more than half of it do not count.

        Parameters
        ----------
        message : Feedback

        Returns
        -------
        (dict, Source) or None
            The evidence for a retraining (``of`` which figure, its value ``before`` and ``after`` the change, and how many alerts were
            ``judged``), and the place of the first alert after the change. None if the model has not become worse.
        """
        known = self._known.get(message.key)
        self._known[message.key] = message
        if message == known or message.verdict in ("ignore", "undo") or message.source is None:
            return None
        if self.model not in (*message.agreed, *message.disagreed):
            return None
        by_person, by_all = self._by.get(message.by, 0), sum(self._by.values())
        if len(self._by) > 1 and by_person > MOST_BY * by_all:
            return None
        self._by[message.by] = by_person + 1
        agreed, right = self.model in message.agreed, message.verdict == "true"
        outcomes = ({"precision": right} if agreed else {}) | ({"recall": agreed} if right else {})
        for what, good in outcomes.items():
            judged, watch = self._judged[what], self._watches[what]
            judged.append((good, message.source))
            watch.update(float(good))
            if not watch.drift_detected:
                continue
            cut = _place_of_change([good for good, _ in judged])
            before, after = (sum(good for good, _ in part) / len(part) for part in (judged[:cut], judged[cut:]))
            if after < before:
                self._reset()
                return {
                    "of": what,
                    "before": round(before, 4),
                    "after": round(after, 4),
                    "judged": len(judged),
                }, judged[cut][1]
            del judged[:cut]  # it has become better: a later fall is compared with that
        return None


def _place_of_change(good: list[bool]) -> int:
    """The likeliest place of one change of the mean: where the means before and after it differ most, weighted by their numbers."""
    n, so_far = len(good), np.cumsum(good)[:-1]
    before = np.arange(1, n)
    difference = np.abs(so_far / before - (sum(good) - so_far) / (n - before)) * np.sqrt(before * (n - before))
    return int(difference.argmax()) + 1
