"""Kafka to the history: a thread that reads topics from the offsets in the database, and goes on after every failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from kafka import TopicPartition
from opentelemetry.trace import NoOpTracer, Tracer
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.topics import send_feedback
from streamgauge.jobs.service.audit import Audit
from streamgauge.jobs.service.database import reason
from streamgauge.jobs.service.history import History, OvertakenError, Place
from streamgauge.jobs.service.messages import Record
from streamgauge.jobs.service.sight import Sight
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError, SettingsError
from streamgauge.udfs.control.feedback import parse_feedback

POLL = 200  # milliseconds
MOST = 2_000  # records that are written in one transaction
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0  # seconds after a failure; each wait is twice the one before
EVERY = 1.0  # seconds between two looks for the ends of the topics, while records come
NEW_PARTITIONS = 60.0  # seconds between two looks for topics and partitions that are new
LEFT_AFTER = 60_000  # milliseconds after which feedback is sent again; the request that brought it has ended by then
HOUR = 3_600.0
LATE = 30.0  # seconds without having read all records, after which the service is not ready
TOO_LARGE = "54"  # class of PostgreSQL's error codes for values beyond its limits
_log = structlog.get_logger()


@dataclass
class Status:
    """What the intake is doing; written by its thread, read by others.

    Attributes
    ----------
    problem : str or None
        Why nothing can be read or written now.
    caught_up : float or None
        When all records had been read, by `time.time`.
    behind : int
        Records that were on the topics and not read when it was last looked.
    absent : tuple of str
        Of the topics of dead letters and late events, those that were not there when the intake last began to read, or that it may not see.
    newest : int
        Kafka timestamp of the newest record, in milliseconds; 0 before the first one.
    records, changes, refused, failures : int
        Totals since the start; `refused` records were set aside because the database refused them.
    """

    problem: str | None = "starting"
    caught_up: float | None = None
    behind: int = 0
    absent: tuple[str, ...] = ()
    newest: int = 0
    records: int = 0
    changes: int = 0
    refused: int = 0
    failures: int = 0

    @property
    def late(self) -> bool:
        """Whether there were records to read for a while; not because of scores, which never end while events come."""
        return self.caught_up is None or time.time() - self.caught_up > LATE


@dataclass
class Intake:
    """Reads the topics of alerts, notices and feedback into the database, and that of scores if the job writes scores.

    Dead letters and late events are counted.

    Parameters
    ----------
    settings : Settings
    engine : Engine
    tell : callable
        Called when changes of incidents were written.
    tracer : Tracer
        Of the spans of the writes.
    """

    settings: Settings
    engine: Engine
    tell: Callable[[], None] = lambda: None
    tracer: Tracer = field(default_factory=NoOpTracer)
    status: Status = field(default_factory=Status)

    def __post_init__(self) -> None:
        topics = self.settings.kafka.topics
        self._main = (topics.alerts, topics.notices, topics.feedback)
        further = () if self.settings.output.scores == "none" else (topics.scores,)
        self._topics, self._counted = (*self._main, *further), (topics.dead_letters, topics.late)
        kept = self.settings.service
        self._history = History(self.engine, topics, self.settings.feedback, kept.scores_keep, kept.scores_thin_after)
        self._audit = Audit(self.engine)
        self.sight = Sight(self.settings.kafka)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._swept = self._looked = 0.0

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()
        self.sight.start()

    def stop(self) -> None:
        """Stop reading, and wait for the thread."""
        self._stop.set()
        self.sight.stop()
        self._thread.join(30)

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            before = self.status.records
            try:
                self._read()
                continue  # the topics have other partitions now, or the service stops
            except OvertakenError:
                wait = FIRST_WAIT  # another service has written: go on from its offsets
                continue
            except (ClusterError, SQLAlchemyError) as error:
                self.status.problem = reason(error) if isinstance(error, SQLAlchemyError) else str(error)
            except Exception as error:  # the thread must not end: it is what keeps the history going
                self.status.problem = f"{type(error).__name__}: {error}"
                _log.exception("the intake failed")
            if self._stop.is_set():
                return
            self.status.failures += 1
            wait = FIRST_WAIT if self.status.records > before else min(2 * wait, LONGEST_WAIT)
            _log.warning("cannot read the topics into the history", problem=self.status.problem, retry_seconds=wait)
            self._stop.wait(wait)

    def _read(self) -> None:
        """Read from the offsets in the database until something fails, the topics have other partitions, or the service stops."""
        kafka = self.settings.kafka
        positions = self._history.positions()
        # An offset that the topic does not have is that of an earlier topic of the same name: then all of the new one is read.
        reading: dict[str, Any] = {"max_poll_records": MOST, "auto_offset_reset": "earliest"}
        with clients.consumer(kafka, "read alerts", **reading) as consumer:
            places, began = self._partitions(consumer), time.monotonic()
            if not any(place.topic == kafka.topics.alerts for place in places):
                raise ClusterError(
                    f"there is no topic {kafka.topics.alerts!r} at {kafka.bootstrap}: `streamgauge submit` makes it"
                )
            self.status.absent = tuple(set(self._counted) - {place.topic for place in places})
            consumer.assign(places)
            begins = consumer.beginning_offsets(places)
            for place in places:
                consumer.seek(place, max(positions.get((place.topic, place.partition), 0), begins[place]))
            self._send_left()
            while not self._stop.is_set():
                polled = consumer.poll(POLL)
                records = [
                    Record(r.topic, r.partition, r.offset, r.timestamp, r.value)
                    for part in polled.values()
                    for r in part
                ]
                if records:
                    self.write(records, positions)
                now = time.monotonic()
                looks = not records or now - self._looked >= EVERY
                self._note(consumer, consumer.end_offsets(places) if looks else {})
                self._looked = now if looks else self._looked
                self._sweep()
                if now - began >= NEW_PARTITIONS:
                    if self._partitions(consumer) != places:
                        return
                    self._send_left()
                    began = now

    def _partitions(self, consumer: Any) -> list[TopicPartition]:
        """The partitions of all topics that are there."""
        seen = consumer.topics()
        counted = [topic for topic in self._counted if topic in seen]
        return [
            TopicPartition(topic, number)
            for topic in (*self._topics, *counted)
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]

    def write(self, records: Sequence[Record], positions: dict[Place, int]) -> None:
        """Write records as one span; `positions` are those of the database, and are changed."""
        with self.tracer.start_as_current_span("write history", attributes={"records": len(records)}):
            self._write(records, positions)

    def _write(self, records: Sequence[Record], positions: dict[Place, int]) -> None:
        """Write records. One that the database refuses for its contents is set aside by itself."""
        try:
            written = self._history.write(records, positions)
        except (StatementError, OverflowError, UnicodeError) as error:
            if isinstance(error, DBAPIError) and not _of_values(error):
                raise
            if len(records) > 1:
                middle = len(records) // 2
                self._write(records[:middle], positions)
                self._write(records[middle:], positions)
                return
            self._history.set_aside(records[0], positions, reason(error))
            self.status.refused += 1
            place = {name: getattr(records[0], name) for name in ("topic", "partition", "offset")}
            _log.error("a record was set aside", **place, why=reason(error))
        else:
            self.status.changes += written
            if written:
                self.tell()
        for record in records:
            positions[record.topic, record.partition] = record.offset + 1
        self.status.records += len(records)
        self.status.newest = max(self.status.newest, *(record.timestamp for record in records))

    def _send_left(self) -> None:
        """Send the feedback that a service had noted and perhaps not sent when it was killed. A second time, it changes nothing."""
        for number, text in self._audit.unsent(int(time.time() * 1000) - LEFT_AFTER):
            try:
                send_feedback(self.settings.kafka, parse_feedback(text))
            except ClusterError as error:  # reading goes on
                _log.warning("feedback cannot be sent", why=str(error), retry_seconds=NEW_PARTITIONS)
                return
            except SettingsError as error:  # another release wrote it, and can send it
                _log.error("feedback in the list of changes cannot be read", number=number, why=str(error))
                continue
            self._audit.sent(number)

    def _note(self, consumer: Any, ends: dict[Any, int]) -> None:
        """Note that the topics answer, and how far behind their ends the intake is. Scores never end while events come.

        Neither do dead letters, if all events are some.
        """
        self.status.problem = None
        if ends:
            behind = {place: max(0, end - consumer.position(place)) for place, end in ends.items()}
            self.status.behind = sum(behind.values())
            if not any(records for place, records in behind.items() if place.topic in self._main):
                self.status.caught_up = time.time()

    def _sweep(self) -> None:
        """Once an hour, forget incidents that ended long ago, and scores of past days."""
        now = time.monotonic()
        if now - self._swept >= HOUR or not self._swept:
            self._swept = now
            moment = int(time.time() * 1000)
            gone = self._history.forget(moment - self.settings.service.keep)
            if gone:
                _log.info("incidents that ended long ago were removed", incidents=gone)
            thinned = self._history.forget_scores(moment)
            if thinned:
                _log.info("scores of past days were thinned", days=thinned)


def _of_values(error: DBAPIError) -> bool:
    """Whether the database refuses the values, and has not failed itself."""
    return isinstance(error, DataError) or str(getattr(error.orig, "sqlstate", "")).startswith(TOO_LARGE)
