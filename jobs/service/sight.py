"""How many events a second come on the topic of events, and how many of them the job has not read yet. A thread asks Kafka."""

from __future__ import annotations

import threading
import time

import structlog
from kafka import KafkaConsumer
from streamgauge.jobs.kafka import clients, event_topics
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import ClusterError

EVERY = 5.0  # seconds between two looks
AGAIN = 15.0  # seconds until the next try after a failure
LONGEST = 60.0  # seconds over which the rate is averaged, at most
_log = structlog.get_logger()


class Sight:
    """Looks at the topic of events, and at the offsets that the job has committed.

    Parameters
    ----------
    kafka : KafkaSettings

    Attributes
    ----------
    rate : float or None
        Events a second that came lately; None if it is not known.
    lag : int or None
        Events that the job had not read at its last checkpoint; None if it is not known.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sight", daemon=True)
        self._before: list[tuple[float, int]] = []  # times of looks, and the ends of all partitions together
        self.rate: float | None = None
        self.lag: int | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking. The thread ends by itself, at the latest with the process."""
        self._stop.set()

    def _run(self) -> None:
        group = self._kafka.group  # it never joins the group, nor commits
        while not self._stop.is_set():
            try:
                with clients.consumer(self._kafka, "see how far the job is", group_id=group) as consumer:
                    while not self._stop.wait(0.0 if not self._before else EVERY):
                        self._look(consumer)
            except Exception as error:  # the thread must go on, or the page shows the last figures for ever
                if not isinstance(error, ClusterError | ValueError | OSError):
                    _log.exception("the topic of events cannot be looked at")
                self.rate = self.lag = None
                self._before = []
            self._stop.wait(AGAIN)

    def _look(self, consumer: KafkaConsumer) -> None:
        places = event_topics.places(consumer, self._kafka)
        if not places:
            raise ValueError(f"there is no {event_topics.named(self._kafka)}")
        ends, now = consumer.end_offsets(places), time.monotonic()
        total = sum(ends.values())
        self._before = [look for look in self._before if now - look[0] <= LONGEST]
        if self._before:
            then, there = self._before[0]
            self.rate = max(0, total - there) / (now - then)
        self._before.append((now, total))
        committed = {place: consumer.committed(place) for place in places}
        behind = [max(0, ends[place] - offset) for place, offset in committed.items() if offset is not None]
        self.lag = sum(behind) if behind else None
