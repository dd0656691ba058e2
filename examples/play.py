"""What the examples share: send a stream through a real Kafka and a real Flink cluster, judge the alerts, and draw a picture."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.follow import follow
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies.demo import on_own_topics
from streamgauge.models.errors import ClusterError, StreamgaugeError
from streamgauge.udfs.events.time import epoch_milliseconds

PARTITIONS = 2
QUIET_SECONDS, PATIENCE = 3.0, 180.0
_encode = msgspec.json.Encoder().encode


@dataclass
class Planted:
    """An anomaly that the example put into its stream. Times are in milliseconds."""

    kind: str
    entity: str
    start: int
    end: int
    found: list[str] = field(default_factory=list)  # kinds of the alerts that found it


@dataclass
class Stream:
    """Events in the order of time (entity, milliseconds, fields), and the anomalies planted in them."""

    events: list[tuple[str, int, dict[str, Any]]]
    planted: list[Planted]
    judged_from: int  # milliseconds; alerts before this time do not count, because the job still learns


def main(
    name: str,
    about: str | None,
    make: Callable[..., Stream],
    draw: Callable[[Stream], Callable[[list[dict[str, Any]], Path], None]] | None = None,
    options: tuple[str, ...] = (),
) -> None:
    """Run an example from the command line.

    Parameters
    ----------
    name : str
        Folder of the example.
    about : str
        Docstring of its module.
    make : callable
        Makes the stream. Its arguments are the folders that `options` name.
    draw : callable, optional
        Returns a function that draws the picture of a stream.
    options : tuple of str
        Options of the command line that name a folder; all are required.
    """
    parser = argparse.ArgumentParser(prog=f"python -m examples.{name}", description=about)
    for option in options:
        parser.add_argument(f"--{option}", type=Path, required=True, help="folder with the data (see the description)")
    chosen = parser.parse_args()
    try:
        stream = make(**vars(chosen))
        play(name, stream, draw and draw(stream))
    except StreamgaugeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def play(name: str, stream: Stream, show: Callable[[list[dict[str, Any]], Path], None] | None = None) -> dict[str, Any]:
    """Send the stream, wait for its alerts, and print what was found.

    Parameters
    ----------
    name : str
        Folder of the example, with its settings.
    stream : Stream
    show : callable, optional
        Draws the alerts into a file.

    Returns
    -------
    dict
        The figures. They are also printed as the last line.
    """
    console = Console(stderr=True)
    before = local_cluster.status()["running"]
    cluster = local_cluster.up(say=console.log)
    try:
        settings = load(Path(__file__).with_name(name) / "settings.yaml")
        settings, file = on_own_topics(settings, cluster, f"{name}-{time.time_ns() // 10**6}")
        ensure(settings.kafka, PARTITIONS)
        job = submit(settings, file, jobmanager=cluster.jobmanager)
        rest = FlinkRest(cluster.jobmanager)
        try:
            _send(stream, settings)
            alerts = _gather(settings, lambda: rest.operator_counter(job, "events") >= len(stream.events))
        finally:
            rest.cancel(job)
    finally:
        if not before:
            local_cluster.down()
    figures = judge(stream, alerts)
    output = Path("demo-output")
    output.mkdir(exist_ok=True)
    if show is not None:
        show(alerts, output / f"{name}.png")
        console.print(f"picture: {output / name}.png")
    console.print(_table(figures))
    print(json.dumps(figures))
    return figures


def judge(stream: Stream, alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures by kind. An anomaly is found if its entity has an alert between its start and its end."""
    false: dict[str, int] = {}
    for alert in alerts:
        if alert["state"] == "resolved" or alert["at"] < stream.judged_from:
            continue
        mine = [p for p in stream.planted if p.entity == alert["entity"] and p.start <= alert["at"] <= p.end]
        for planted in mine:
            planted.found.append(alert["kind"])
        if not mine and alert["state"] == "opened":
            false[alert["kind"]] = false.get(alert["kind"], 0) + 1
    kinds: dict[str, dict[str, int]] = {}
    for planted in stream.planted:
        counts = kinds.setdefault(planted.kind, {"planted": 0, "found": 0})
        counts["planted"] += 1
        counts["found"] += bool(planted.found)
    return {
        "events": len(stream.events),
        "entities": len({entity for entity, _, _ in stream.events}),
        "kinds": kinds,
        "false_alerts": false,
        "alerts_opened": sum(a["state"] == "opened" and a["at"] >= stream.judged_from for a in alerts),
    }


def _send(stream: Stream, settings: Settings) -> None:
    names, topic = settings.event, settings.kafka.topics.events
    failed: list[BaseException] = []
    options = {"linger_ms": 20, "acks": 1, "max_block_ms": 60_000}
    with clients.producer(settings.kafka, f"write to {topic!r}", **options) as producer:
        for entity, at, fields in track(stream.events, "sending", console=Console(stderr=True)):
            value = {names.entity: entity, names.time: at, **fields}
            producer.send(topic, _encode(value), entity.encode(), timestamp_ms=at).add_errback(failed.append)
        producer.flush(120)
    if failed:
        raise ClusterError(f"Kafka did not take {len(failed)} events, first reason: {failed[0]}")


def _gather(settings: Settings, done: Callable[[], bool]) -> list[dict[str, Any]]:
    """The data of all alerts, each with the time of its event."""
    alerts: list[dict[str, Any]] = []
    last = time.time()
    for item in follow(settings.kafka, from_beginning=True):
        if item is not None:
            moment = epoch_milliseconds(item.alert["time"])
            alerts.append(item.alert["data"] | {"at": moment})
            last = time.time()
        elif time.time() - last > QUIET_SECONDS and done():
            break
        elif time.time() - last > PATIENCE:
            raise ClusterError(f"no alert for {PATIENCE:.0f} s, and not all events are scored: see the Flink UI")
    return alerts


def _table(figures: dict[str, Any]) -> Table:
    table = Table(title=f"{figures['events']:,} events of {figures['entities']} entities")
    for column in ("anomaly", "planted", "found"):
        table.add_column(column, justify="left" if column == "anomaly" else "right")
    for kind, counts in figures["kinds"].items():
        table.add_row(kind, str(counts["planted"]), str(counts["found"]))
    table.add_row("false alerts", "", str(sum(figures["false_alerts"].values())))
    return table
