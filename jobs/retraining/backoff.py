"""How long the trainer waits after a rejection before it answers the next request for the same model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FIRST_WAIT = 60_000  # milliseconds to wait after the first rejection; each further rejection doubles the wait
LONGEST_WAIT = 86_400_000  # milliseconds: a day
REMEMBERED = 2 * LONGEST_WAIT  # milliseconds without a rejection, after which earlier ones no longer count
REJECTING = ("rejected", "rolled_back", "failed")
Clock = Callable[[], float]


@dataclass
class _Model:
    """What is remembered of one model.

    Attributes
    ----------
    count : int
        Rejections since the last success.
    last : int
        Time of the last rejection, milliseconds.
    requests : set of str
        Requests whose candidate was rejected.
    versions : set of int
        Versions that were rejected.
    shadows : set of int
        Versions that became the shadow.
    deferred : dict or None
        Data of the newest request that waits for its answer.
    """

    count: int = 0
    last: int = -REMEMBERED
    requests: set[str] = field(default_factory=set)
    versions: set[int] = field(default_factory=set)
    shadows: set[int] = field(default_factory=set)
    deferred: dict[str, Any] | None = None


class Backoff:
    """How long each model has to wait. It follows from the trainer's own notices, so it is the same after a restart.

    A request counts once, however many of its candidates were rejected. A training that failed and a version that was rolled back count
    as rejections, too. A new version that stays live (step `settled`) ends the waiting. It also knows which shadows were told of.

    Parameters
    ----------
    clock : callable
        Returns the seconds since 1970.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        self.clock = clock
        self._models: dict[str, _Model] = {}

    def note(self, step: str, model: str, data: dict[str, Any], at: int) -> None:
        """Count a notice of the trainer.

        Parameters
        ----------
        step : str
            Type of the notice, without ``io.streamgauge.model.``.
        model : str
        data : dict
            Data of the notice. One that is read back holds the number of rejections so far, so older notices need not be read.
        at : int
            Time at which it was written, milliseconds. A later time than now counts as now: it is that of a clock which was ahead.

        Raises
        ------
        KeyError, TypeError, ValueError, OverflowError
            The notice is none of the trainer.
        """
        known, at = self._models.setdefault(model, _Model()), min(at, int(1000 * self.clock()))
        request = data.get("request")
        if step == "deferred":
            asked = data["asked"]
            if asked["model"] != model or not isinstance(asked["request"], str):
                raise ValueError(f"asked: it is no request to retrain {model}")
            known.deferred = asked
        elif known.deferred is not None and request == known.deferred["request"] and _answers(step, data):
            known.deferred = None
        if step == "shadowed":
            known.shadows.add(int(data["version"]))
        elif step == "settled":
            known.count = 0
        elif step in ("rejected", "rolled_back"):
            version = int(data["live" if step == "rolled_back" else "version"])
            known.versions.add(version)
            if "instead" not in data:  # if it is there, another candidate of the same request was good enough
                self._count(known, request or f"version {version}", data, at)
        elif step == "failed" and request is not None and "detector" not in data:
            self._count(known, request, data, at)

    def _count(self, known: _Model, request: str, data: dict[str, Any], at: int) -> None:
        if at - known.last >= REMEMBERED:
            known.count = 0
        known.count = max(0, int(data.get("rejections", known.count + (request not in known.requests))))
        known.requests.add(request)
        known.last = at

    def rejections(self, model: str) -> int:
        """Number of requests in a row whose candidates were rejected."""
        known = self._known(model)
        return known.count if self.clock() * 1000 - known.last < REMEMBERED else 0

    def seconds_left(self, model: str) -> float:
        """How long the next request for a model has to wait, in seconds; 0 if it may be answered."""
        if not (count := self.rejections(model)):
            return 0.0
        wait = min(FIRST_WAIT << min(count - 1, 32), LONGEST_WAIT)
        return max(0.0, (self._known(model).last + wait) / 1000 - self.clock())

    def is_rejected(self, model: str, what: str | int) -> bool:
        """Whether the candidate of a request, or a version, was rejected."""
        known = self._known(model)
        return what in known.versions if isinstance(what, int) else what in known.requests

    def is_told(self, model: str, version: int) -> bool:
        """Whether a notice said that a version became the shadow."""
        return version in self._known(model).shadows

    def due(self) -> list[dict[str, Any]]:
        """Data of the requests whose wait is over; at most one for each model."""
        return [
            known.deferred
            for model, known in self._models.items()
            if known.deferred is not None and not self.seconds_left(model)
        ]

    def deferred(self, model: str) -> dict[str, Any] | None:
        """Data of the request that waits for its answer; None if there is none."""
        return self._known(model).deferred

    def forget(self, request: dict[str, Any]) -> None:
        """Remove a deferred request, because it was handled."""
        known = self._known(request["model"])
        if known.deferred == request:
            known.deferred = None

    def forget_all(self) -> None:
        """Know nothing, as at the start."""
        self._models.clear()

    def _known(self, model: str) -> _Model:
        return self._models.get(model) or _Model()


def _answers(step: str, data: dict[str, Any]) -> bool:
    """Whether a notice answers its request. A failure that names a detector does not: another candidate may be the answer."""
    return step in ("shadowed", "rejected", "declined") or (step == "failed" and "detector" not in data)
