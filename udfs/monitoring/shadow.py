"""Compares a live model with its shadow on the events of the job. The trainer decides by it whether the shadow becomes the live model."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamgauge.models.contract import Flags, Ints
from streamgauge.udfs.output.cloud_event import Origin

# Names of the numbers in the notice; their order is that of saved state.
COUNTED = ("events", "both", "only_live", "only_shadow", "probes", "live_right", "shadow_right")


class Compared(NamedTuple):
    """What a live model and its shadow found in some events.

    Attributes
    ----------
    live_alerts, shadow_alerts : bool[n]
        Whether each of the two alone would have raised an alert.
    probed : int64[m]
        Places of the events that were probed.
    live_right, shadow_right : bool[m]
        Whether each of the two found the probe stranger than its event.
    threshold : float
        Tail probability in force.
    offsets, times : int64[n]
        Offset and event time (milliseconds) of each event.
    """

    live_alerts: Flags
    shadow_alerts: Flags
    probed: Ints
    live_right: Flags
    shadow_right: Flags
    threshold: float
    offsets: Ints
    times: Ints

    def counted(self, begin: int, end: int) -> tuple[int, ...]:
        """The numbers of `COUNTED` for the events from place `begin` up to, but not including, place `end`."""
        a, b = self.live_alerts[begin:end], self.shadow_alerts[begin:end]
        probed = (self.probed >= begin) & (self.probed < end)
        alerts = (int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum()))
        right = (int(self.live_right[probed].sum()), int(self.shadow_right[probed].sum()))
        return (end - begin, *alerts, int(probed.sum()), *right)


class Comparison:
    """Counts how often a live model and its shadow each would have raised an alert, and found a probe stranger than its event.

    Parameters
    ----------
    every : int
        Events from one notice to the next.
    model : str
        Name of the model.
    origin : Origin
    """

    def __init__(self, every: int, model: str, origin: Origin) -> None:
        self.every, self.model, self.origin = every, model, origin
        self._versions = ("", "")
        self._numbers = [0] * len(COUNTED)

    def compare(self, live: str, shadow: str, compared: Compared) -> list[tuple[str, bytes]]:
        """Count events in order.

        Parameters
        ----------
        live, shadow : str
            Versions. If one of them is another than before, counting starts from the beginning.
        compared : Compared

        Returns
        -------
        list of (str, bytes)
            Notices, key and JSON.
        """
        if (live, shadow) != self._versions:
            self._versions, self._numbers = (live, shadow), [0] * len(COUNTED)
        notices, begin, offsets = [], 0, compared.offsets
        while begin < len(offsets):
            end = min(len(offsets), begin + self.every - self._numbers[0])
            added = compared.counted(begin, end)
            self._numbers = [n + more for n, more in zip(self._numbers, added, strict=True)]
            if self._numbers[0] == self.every:
                notices.append(self._notice(compared.threshold, int(offsets[end - 1]), int(compared.times[end - 1])))
                self._numbers = [0] * len(COUNTED)
            begin = end
        return notices

    def _notice(self, threshold: float, offset: int, time: int) -> tuple[str, bytes]:
        """The notice about the events that were counted: key and JSON."""
        live, shadow = self._versions
        data = {
            "model": self.model,
            "live": int(live),
            "shadow": int(shadow),
            "partition": self.origin.partition,
            **self.origin.further,
            "threshold": threshold,
            **dict(zip(COUNTED, self._numbers, strict=True)),
        }
        identity = f"{self.model}-{live}-{shadow}-{self.origin.key}-{offset}"
        return self.model, self.origin.event(identity, "model.compared", self.model, time, data)

    def to_state(self) -> list[Any]:
        """All that was counted."""
        return [list(self._versions), self._numbers]

    def restore(self, state: list[Any]) -> None:
        """Restore what `to_state` gave."""
        (live, shadow), self._numbers = state
        self._versions = (live, shadow)
        if self._numbers[0] >= self.every:  # it was saved with more events to a notice
            self._numbers = [0] * len(COUNTED)
