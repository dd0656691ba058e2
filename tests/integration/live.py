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
import yaml
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.settings.loading import Settings, validated
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import ScoringPipeline

from tests.streams import SMALL

STREAMGAUGE = str(Path(sys.executable).with_name("streamgauge"))
_numbers = itertools.count(1)
PARTITIONS = 4
PATIENCE = 240.0  # seconds after which a test gives up waiting; no result depends on how long anything took
_open: list[Live] = []


def close_all() -> None:
    """Close the clients of all that were made."""
    while _open:
        _open.pop().close()


class Live:
    """A job's topics, and what is on them.

    Parameters
    ----------
    cluster : Cluster
    home : Path
        For the settings file.
    sections : dict
        Settings by section, over small windows and warm-ups.
    """

    def __init__(self, cluster: Cluster, home: Path, **sections: Any) -> None:
        self.cluster = cluster
        self.rest = FlinkRest(cluster.jobmanager)
        name = f"t{next(_numbers)}-{time.time_ns() // 10**6}"
        values = SMALL.model_dump(mode="json")
        values["kafka"] = {
            "bootstrap": cluster.bootstrap,
            "start": "earliest",
            "group": name,
            "topics": {t: f"{name}-{t}" for t in TopicSettings.model_fields},
        }
        values["job"] = {"name": name, "checkpoint_interval": "500 ms"}
        for section, keys in sections.items():
            values[section] = (values.get(section) or {}) | keys if isinstance(keys, dict) else keys
        self.file = home / f"{name}.yaml"
        self.file.write_text(yaml.safe_dump(values, sort_keys=False))
        self.settings: Settings = validated(values, name)
        self.topics = self.settings.kafka.topics
        ensure(self.settings.kafka, PARTITIONS)
        self.producer = KafkaProducer(
            bootstrap_servers=cluster.bootstrap, acks="all", linger_ms=2, retries=10_000, delivery_timeout_ms=600_000
        )
        self._readers: dict[str, tuple[KafkaConsumer, list[Any]]] = {}
        _open.append(self)

    def close(self) -> None:
        """Close its clients."""
        self.producer.close(5)
        for consumer, _ in self._readers.values():
            consumer.close()

    @contextmanager
    def job(self, settings: Settings | None = None, file: Path | None = None, **options: Any) -> Iterator[str]:
        """A running job, cancelled at the end."""
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
        """Keys and payloads (bytes as they are, anything else as JSON) to the events topic, until all are sent or it is over."""
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
        """All committed records on a topic up to its present end, by partition and offset."""
        if topic not in self._readers:
            consumer = KafkaConsumer(
                bootstrap_servers=self.cluster.bootstrap, isolation_level="read_committed", enable_auto_commit=False
            )
            consumer.assign([TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)])
            consumer.seek_to_beginning()
            self._readers[topic] = (consumer, [])
        consumer, records = self._readers[topic]
        ends = consumer.end_offsets(list(consumer.assignment()))
        deadline = time.monotonic() + PATIENCE
        while any(consumer.position(place) < end for place, end in ends.items()):
            came = [r for part in consumer.poll(400).values() for r in part]
            records += came
            assert time.monotonic() < deadline, f"{topic} is not read to its end within {PATIENCE:g} s"
        records.sort(key=lambda r: (r.partition, r.offset))
        return list(records)

    def until(self, topic: str, enough: Callable[[list[Any]], bool], seconds: float = PATIENCE) -> list[Any]:
        """Records of a topic as soon as they are enough; all there are when the time is over."""
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

    def counted(self, job: str, name: str, least: int = 1) -> int:
        """A counter of the job as soon as it is at least so much; metrics are a second or two behind."""
        deadline = time.monotonic() + PATIENCE
        while (count := self.rest.operator_counter(job, name)) < least and time.monotonic() < deadline:
            time.sleep(0.5)
        return count

    def expected(self) -> ScoredLog:
        """What the pipeline gives in this process for the events on the topic: what the job must give."""
        pipeline = ScoringPipeline(self.settings.pipeline(), self.topics.events, self.settings.job.name)
        records = self.read(self.topics.events)
        raw = RawBatch(
            [r.value for r in records],
            *(np.array([getattr(r, a) for r in records], dtype=np.int64) for a in ("partition", "offset", "timestamp")),
        )
        result = pipeline.process(raw)
        return ScoredLog(
            sorted(text for _, text in result.alerts),
            sorted(text for _, text in result.scores),
            sorted(text for _, text in result.dead_letters),
            sorted(text for _, text in result.late),
            len(records),
        )


@contextmanager
def together(*lives: Live) -> Iterator[list[str]]:
    """A job of each, submitted at the same time: one TaskManager has one slot, so that as many can run as there are of those."""
    with ExitStack() as stack, ThreadPoolExecutor(len(lives)) as pool:
        jobs = [live.job() for live in lives]
        submitted = [pool.submit(job.__enter__) for job in jobs]
        for job, one in zip(jobs, submitted, strict=True):
            if one.exception() is None:
                stack.push(job.__exit__)
        yield [one.result() for one in submitted]


class ScoredLog:
    """Records by topic, sorted."""

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
def under_load(live: Live, rate: float, least: int = 0) -> Iterator[None]:
    """Send events beside what the caller does, and `least` of them in any case; at the end all are sent."""
    over, errors = threading.Event(), []

    def work() -> None:
        endless = events(10**9)
        try:
            live.send(itertools.islice(endless, least), rate)
            live.send(endless, rate, over)
        except Exception as error:
            errors.append(error)

    sender = threading.Thread(target=work)
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join(2 * PATIENCE)
    assert not errors
    assert not sender.is_alive()


def streamgauge(*arguments: Any, code: int = 0) -> str:
    """A command as a user types it; what it prints to standard output."""
    done = subprocess.run(
        [STREAMGAUGE, *map(str, arguments)], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout
