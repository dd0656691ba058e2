"""The steps of the trainer: each is told in a notice, and the notices say after a restart what was done and what waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from streamgauge.jobs.retraining.backoff import REJECTING, REMEMBERED, Backoff, Clock
from streamgauge.jobs.retraining.metrics import TrainerMetrics
from streamgauge.jobs.retraining.notices import STEP
from streamgauge.jobs.retraining.topics import TrainerTopics
from streamgauge.models.persistence.registry import Registry
from streamgauge.udfs.events.time import epoch_milliseconds

Say = Callable[[str], None]


class Reports:
    """Tells of steps, and counts them for the waits and the metrics.

    Parameters
    ----------
    models : iterable of str
        Names of the models that the job uses.
    registry : Registry
    topics : TrainerTopics
    say : callable
        Called with a line of text at each step.
    clock : callable
        Returns the seconds since 1970.

    Attributes
    ----------
    lock : RLock
        Is held by who looks at roles and waits and then changes them: a training has a thread of its own.
    """

    def __init__(
        self, models: Iterable[str], registry: Registry, topics: TrainerTopics, say: Say, clock: Clock
    ) -> None:
        self.models = tuple(models)
        self.registry, self.topics, self.say, self.clock = registry, topics, say, clock
        self.lock = threading.RLock()
        self.backoff = Backoff(clock)
        self.metrics = TrainerMetrics(list(self.models), self.backoff.seconds_left)

    def tell(self, step: str, name: str, data: dict[str, Any]) -> None:
        """Write a notice of a step, and count it."""
        with self.lock:
            at = int(1000 * self.clock())
            self.backoff.note(step, name, data, at)
            self.metrics.note(step, name, data)
            if step in REJECTING:
                data = data | {"rejections": self.backoff.rejections(name)}
            shown = ", ".join(f"{key} {value}" for key, value in data.items() if key != "asked")
            self.say(f"{name}: {step.replace('_', ' ')} {shown}")
            self.topics.publish(step, name, data, at)
            self._keep_waiting(name)

    def defer(self, name: str, request: dict[str, Any], why: str) -> None:
        """Put a request aside, and say why it waits. The notice holds the request, so it is known after a restart."""
        count = self.backoff.rejections(name)
        self.tell("deferred", name, {"request": request["request"], "rejections": count, "why": why, "asked": request})

    def forget(self, request: dict[str, Any]) -> None:
        """Remove a deferred request, because it was handled."""
        with self.lock:
            self.backoff.forget(request)
            self._keep_waiting(request["model"])

    def recall(self) -> None:
        """Read the notices back, to know which models wait after rejections, and which requests wait for an answer.

        The registry keeps these requests, too, because the trainer may have been down for longer than its notices are read back.
        """
        self.backoff.forget_all()
        for name in self.models:
            try:
                request = self.registry.waiting(name)
            except Exception as error:  # stores have errors of their own; the notices hold the request, too
                self.say(f"{name}: the waiting request cannot be read from the registry: {error}")
                continue
            if request is not None:
                self._read_back("deferred", name, {"asked": request}, 0)
        for event in self.topics.past_steps(int(1000 * self.clock()) - REMEMBERED):
            data = event["data"]
            self._read_back(event["type"].removeprefix(STEP), data["model"], data, event.get("time"))

    def _read_back(self, step: str, name: str, data: dict[str, Any], time: Any) -> None:
        """Count a notice that was written before."""
        try:
            self.backoff.note(step, name, data, epoch_milliseconds(time))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self.say(f"{name}: a notice {step!r} cannot be read ({type(error).__name__}: {error}), ignored")

    def _keep_waiting(self, name: str) -> None:
        """Keep the deferred request of a model in the registry, or remove it once it is answered."""
        request = self.backoff.deferred(name)
        try:
            if request != self.registry.waiting(name):
                self.registry.keep_waiting(name, request)
        except Exception as error:  # as above
            self.say(f"{name}: the waiting request cannot be kept in the registry: {error}")
