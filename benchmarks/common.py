"""What the benchmarks share: a cluster, separate topics, load, and the last line."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.settings.loading import Settings, parsed
from streamgauge.jobs.settings.strict_yaml import write

FIELDS = ("amount", "latency", "items", "balance")


def say(text: str) -> None:
    """Print progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def finish(figures: dict[str, Any], settings: Settings | None = None) -> None:
    """Print the last line: figures, settings, versions and machine, as a JSON object."""
    versions = {name: version(name) for name in ("streamgauge", "apache-flink", "numpy", "numba", "river", "msgspec")}
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    used = {"settings": json.loads(settings.model_dump_json())} if settings else {}
    print(json.dumps({**figures, **used, "versions": versions, "machine": machine}))


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The running local cluster. If none is running, one is started, and stopped at the end."""
    before = local_cluster.status()["running"]
    running = local_cluster.up(say=say)
    try:
        yield running
    finally:
        if not before:
            local_cluster.down()


def settings_for(running: Cluster, name: str, **sections: dict[str, Any]) -> tuple[Settings, Path]:
    """Default settings with topics that only this benchmark uses, and a file with these settings.

    Parameters
    ----------
    running : Cluster
    name : str
        Prefix of topics and consumer group. A number makes it unique.
    sections : dict
        Keys to change, by section.
    """
    unique = f"bench-{name}-{time.time_ns() // 1_000_000}"
    topics = TopicSettings().prefixed(unique)
    values: dict[str, Any] = {"kafka": {"bootstrap": running.bootstrap, "group": unique, "topics": topics}}
    for section, keys in sections.items():
        values.setdefault(section, {}).update(keys)
    text = write(values)
    settings = parsed(text, name)
    handle, path = tempfile.mkstemp(suffix=".yaml", prefix="streamgauge-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    append = {topics[t]: {"message.timestamp.type": "LogAppendTime"} for t in ("events", "alerts")}
    ensure(settings.kafka, settings.batch.shards, append)
    return settings, Path(path)


@contextmanager
def job(running: Cluster, settings: Settings, file: Path) -> Iterator[tuple[FlinkRest, str]]:
    """A running job. It is cancelled at the end."""
    rest = FlinkRest(running.jobmanager)
    number = submit(settings, file, jobmanager=running.jobmanager)
    try:
        yield rest, number
    finally:
        rest.cancel(number)
        file.unlink(missing_ok=True)


@contextmanager
def load(bootstrap: str, topic: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that sends events (see `benchmarks.load`). It is stopped at the end."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "benchmarks.load", f"--bootstrap={bootstrap}", f"--topic={topic}", *arguments]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def payloads(n: int, entities: int, seed: int = 0, fields: int = len(FIELDS)) -> tuple[list[bytes], list[bytes]]:
    """Keys and JSON values of `n` events of `entities` entities, with numeric fields."""
    random = np.random.default_rng(seed)
    if fields != len(FIELDS):
        keys = [b"entity-%d" % (i % entities) for i in range(n)]
        rows = random.lognormal(3.0, 0.2, (n, fields)).round(3).tolist()
        return keys, [
            json.dumps({"entity": key.decode(), **{f"f{k}": x for k, x in enumerate(row)}}).encode()
            for key, row in zip(keys, rows, strict=True)
        ]
    who = random.permutation(n) % entities  # all entities come equally often
    base = random.lognormal(3.0, 1.0, (entities, len(FIELDS)))
    values = base[who] * (1.0 + 0.1 * random.standard_normal((n, len(FIELDS))))
    keys = [b"entity-%d" % e for e in who.tolist()]
    texts = [
        b'{"entity":"entity-%d","amount":%.3f,"latency":%.3f,"items":%.3f,"balance":%.3f}' % (e, *row)
        for e, row in zip(who.tolist(), values.tolist(), strict=True)
    ]
    return keys, texts
