"""A trained model beside its shadow, as the job sees both: what decides whether one takes the other's place."""

from __future__ import annotations

from typing import Any

from streamgauge.models.contract import Flags, Ints
from streamgauge.udfs.output.cloud_event import cloud_event

COUNTED = ("events", "both", "only_live", "only_shadow", "probes", "live_right", "shadow_right")


class Comparison:
    """A model beside its shadow: how often each alone would have raised an alert, and told a probe from the event it was made of.

    Parameters
    ----------
    every : int
        Events between two tellings.
    model, topic, job : str
    log : int
    """

    def __init__(self, every: int, model: str, topic: str, job: str, log: int) -> None:
        self.every, self.model = every, model
        self.topic, self.job, self.log = topic, job, log
        self._of = ("", "")
        self._numbers = [0] * len(COUNTED)

    def compare(
        self,
        live: str,
        shadow: str,
        flags: tuple[Flags, Flags],
        told: tuple[Ints, Flags, Flags],
        threshold: float,
        offsets: Ints,
        times: Ints,
    ) -> list[tuple[str, bytes]]:
        """Count events in order; returns what is to be told, key and JSON.

        Parameters
        ----------
        live, shadow : str
            Versions; others than before begin anew.
        flags : (bool[n], bool[n])
            Whether each would have raised an alert.
        told : (int64[m], bool[m], bool[m])
            Places of events that were probed, and whether each told the probe from its event.
        threshold : float
            Tail probability: what each promises.
        offsets, times : int64[n]
        """
        if (live, shadow) != self._of:
            self._of, self._numbers = (live, shadow), [0] * len(COUNTED)
        said, begin = [], 0
        while begin < len(offsets):
            end = min(len(offsets), begin + self.every - self._numbers[0])
            probed = (told[0] >= begin) & (told[0] < end)
            a, b = flags[0][begin:end], flags[1][begin:end]
            counted = (end - begin, int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum()),
                       int(probed.sum()), int(told[1][probed].sum()), int(told[2][probed].sum()))  # fmt: skip
            self._numbers = [n + more for n, more in zip(self._numbers, counted, strict=True)]
            if self._numbers[0] == self.every:
                data = {
                    "model": self.model, "live": int(live), "shadow": int(shadow), "partition": self.log, "threshold": threshold,
                    **dict(zip(COUNTED, self._numbers, strict=True)),
                }  # fmt: skip
                identity = f"{self.model}-{live}-{shadow}-{self.log}-{int(offsets[end - 1])}"
                text = cloud_event(
                    identity, "model.compared", self.model, int(times[end - 1]), data, job=self.job, topic=self.topic
                )
                said.append((self.model, text))
                self._numbers = [0] * len(COUNTED)
            begin = end
        return said

    def to_state(self) -> list[Any]:
        """All that was counted."""
        return [list(self._of), self._numbers]

    def restore(self, state: list[Any]) -> None:
        """Become what `to_state` told."""
        (live, shadow), self._numbers = state
        self._of = (live, shadow)
