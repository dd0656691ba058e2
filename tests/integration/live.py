"""Topics, load and jobs on the real cluster."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.settings.loading import Settings, parsed
from streamgauge.jobs.settings.strict_yaml import write
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.base import IN_FILE

from tests.streams import SMALL

STREAMGAUGE = str(Path(sys.executable).with_name("streamgauge"))
_numbers = itertools.count(1)
PARTITIONS = 4
PATIENCE = 240.0  # seconds after which a test stops waiting; no result depends on how long something takes
_open: list[Live] = []


def close_all() -> None:
    """Close all clients that the tests made."""
    while _open:
        _open.pop().close()


class Live:
    """The topics of a job, and the records on them.

    Parameters
    ----------
    cluster : Cluster
    home : Path
        Folder for the settings file.
    sections : dict
        Settings by section. By default windows and warm-ups are small.
    """

    def __init__(self, cluster: Cluster, home: Path, **sections: Any) -> None:
        self.cluster = cluster
        self.rest = FlinkRest(cluster.jobmanager)
        name = f"t{next(_numbers)}-{time.time_ns() // 10**6}"
        values = SMALL.model_dump(mode="json", context=IN_FILE)
        values["kafka"] = {
            "bootstrap": cluster.bootstrap,
            "start": "earliest",
            "group": name,
            "topics": TopicSettings().prefixed(name),
        }
        values["job"] = {"name": name, "checkpoint_interval": "500 ms"}
        # Tests send days of events in a second. A promise of one incident a day would hardly let any open.
        values["decide"] |= {"threshold": 1e-4}
        for section, keys in sections.items():
            values[section] = (values.get(section) or {}) | keys if isinstance(keys, dict) else keys
        self.file = home / f"{name}.yaml"
        text = write(values)
        self.file.write_text(text)
        self.settings: Settings = parsed(text, name)
        self.topics = self.settings.kafka.topics
        ensure(self.settings.kafka, PARTITIONS)
        self._clients = ExitStack()
        patient = {"linger_ms": 2, "retries": 10_000, "delivery_timeout_ms": 600_000}
        self.producer = self._clients.enter_context(
            clients.producer(self.settings.kafka, f"write for {name}", **patient)
        )
        self._readers: dict[str, tuple[KafkaConsumer, list[Any]]] = {}
        _open.append(self)

    def close(self) -> None:
        """Close its clients."""
        self._clients.close()

    @contextmanager
    def job(self, settings: Settings | None = None, file: Path | None = None, **options: Any) -> Iterator[str]:
        """A running job. It is cancelled at the end."""
        number = submit(settings or self.settings, file or self.file, jobmanager=self.cluster.jobmanager, **options)
        try:
            yield number
        finally:
            self.rest.cancel(number)

    def send(
        self,
        payloads: Iterable[tuple[str | None, Any]],
        rate: float | None = None,
        over: threading.Event | None = None,
    ) -> None:
        """Send keys and payloads (bytes as they are, anything else as JSON) to the events topic, until all are sent or `over` is set."""
        started = time.monotonic()
        for n, (key, payload) in enumerate(payloads):
            if over is not None and over.is_set():
                break
            value = payload if payload is None or isinstance(payload, bytes) else json.dumps(payload).encode()
            self.producer.send(self.topics.events, value, None if key is None else key.encode())
            if rate is not None and (wait := started + n / rate - time.monotonic()) > 0.005:
                time.sleep(wait)
        self.producer.flush(PATIENCE)

    def control(self, message: dict[str, Any]) -> None:
        """Send a control message."""
        self.producer.send(self.topics.control, json.dumps(message).encode(), message["type"].encode()).get(PATIENCE)

    def read(self, topic: str) -> list[Any]:
        """All committed records on a topic up to its current end, by partition and offset."""
        if topic not in self._readers:
            reader = clients.consumer(self.settings.kafka, f"read {topic!r}", isolation_level="read_committed")
            consumer = self._clients.enter_context(reader)
            consumer.assign([TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)])
            consumer.seek_to_beginning()
            self._readers[topic] = (consumer, [])
        consumer, records = self._readers[topic]
        ends = consumer.end_offsets(list(consumer.assignment()))
        deadline = time.monotonic() + PATIENCE
        while any(consumer.position(place) < end for place, end in ends.items()):
            records += [r for part in consumer.poll(400).values() for r in part]
            assert time.monotonic() < deadline, f"{topic} is not read to its end within {PATIENCE:g} s"
        records.sort(key=lambda r: (r.partition, r.offset))
        return list(records)

    def until(self, topic: str, enough: Callable[[list[Any]], bool], seconds: float = PATIENCE) -> list[Any]:
        """Records of a topic as soon as `enough` accepts them, or all records when the time is over."""
        deadline = time.monotonic() + seconds
        while not enough(records := self.read(topic)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return records

    def at_least(self, topic: str, n: int) -> list[Any]:
        """Records of a topic as soon as there are `n`."""
        return self.until(topic, lambda records: len(records) >= n)

    def more(self, topic: str, n: int = 1) -> list[Any]:
        """Records of a topic as soon as there are `n` more than now."""
        return self.at_least(topic, len(self.read(topic)) + n)

    def counted(self, job: str, *names: str, least: int = 1) -> int:
        """Sum of counters of the job as soon as it is at least `least`. Metrics are some seconds late."""
        deadline = time.monotonic() + PATIENCE
        while (count := sum(self.rest.operator_counter(job, name) for name in names)) < least:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return count

    def expected(self) -> ExpectedRecords:
        """The outputs of the pipeline in this process for the events on the topic. The job must write the same."""
        shard = Shard(self.settings.pipeline(), self.topics.events, self.settings.job.name)
        records = self.read(self.topics.events)
        result = shard.process(raw_batch(records))
        return ExpectedRecords(
            sorted(text for _, text in result.alerts),
            sorted(text for _, text in result.scores),
            sorted(text for _, text in result.dead_letters),
            sorted(text for _, text in result.late),
            len(records),
        )


@contextmanager
def together(*lives: Live) -> Iterator[list[str]]:
    """A job of each, submitted at the same time. There must be a TaskManager for each job, because each has one slot."""
    with ExitStack() as stack, ThreadPoolExecutor(len(lives)) as pool:
        jobs = [live.job() for live in lives]
        submitted = [pool.submit(job.__enter__) for job in jobs]
        for job, one in zip(jobs, submitted, strict=True):
            if one.exception() is None:
                stack.push(job.__exit__)
        yield [one.result() for one in submitted]


class ExpectedRecords:
    """The records that a job must write: sorted values for each topic, and the number of events."""

    def __init__(
        self, alerts: list[bytes], scores: list[bytes], dead: list[bytes], late: list[bytes], events: int
    ) -> None:
        self.alerts, self.scores, self.dead, self.late, self.events = alerts, scores, dead, late, events


def values(records: Iterable[Any]) -> list[bytes]:
    """Sorted values of Kafka records."""
    return sorted(r.value for r in records)


def events(n: int, entities: int = 20, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Keyed events with spikes."""
    random = np.random.default_rng(seed)
    for i in range(n):
        owner = f"e{random.integers(entities)}"
        event: dict[str, Any] = {"entity": owner, "n": i, "x": float(random.normal(10, 1)), "y": float(random.normal())}
        del event["n"]
        if random.random() < 0.01:
            event["x"] *= float(random.choice([-30, 40, 90]))
        yield owner, event


@contextmanager
def background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Call `work` in a thread while the block runs. At the end of the block its event is set; an error in `work` fails the test."""
    over = threading.Event()
    errors: list[Exception] = []

    def run() -> None:
        try:
            work(over)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(2 * PATIENCE)
    assert not errors
    assert not thread.is_alive()


@contextmanager
def under_load(live: Live, rate: float, least: int = 0) -> Iterator[None]:
    """Send events while the block runs, and at least `least` events. At the end all are sent."""

    def work(over: threading.Event) -> None:
        endless = events(10**9)
        live.send(itertools.islice(endless, least), rate)
        live.send(endless, rate, over)

    with background(work):
        yield


def streamgauge(*arguments: Any, code: int | None = 0) -> str:
    """Run a command as a user types it. Returns what it prints to standard output."""
    done = subprocess.run(
        [STREAMGAUGE, *map(str, arguments)], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert code in (None, done.returncode), done.stdout + done.stderr
    return done.stdout
