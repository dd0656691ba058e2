"""A model follows its data: drift, retraining, canary, promotion; a bad model, and its rollback. Run as ``python -m examples.closed_loop``.

Forty simulated machines send events through a real Kafka and a real Flink cluster. One job runs the whole time, and beside it the
trainer, as ``streamgauge train --watch`` starts it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.topics import ensure, records_since, send_control
from streamgauge.jobs.retrain_models import Trainer
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies.demo import on_own_topics
from streamgauge.jobs.studies.train import train
from streamgauge.models.errors import ClusterError, StreamgaugeError
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past

from examples.closed_loop.story import FIELDS, MODEL, Moment, bad_live_model, draw, made, quality

RATE, PARTITIONS = 2000.0, 2  # events a second
CHUNK = 1000  # events are made in portions of this number
CHANGE = 20_000  # the data change after this number of events
AFTERWARDS, PATIENCE = 10_000, 240.0  # events to observe after each step, and seconds to wait for a step


class Load:
    """Sends events until `over` is set, and keeps what it sent.

    Parameters
    ----------
    settings : Settings
    seed : int
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.labels: list[bool] = []
        self.places: dict[tuple[int, int], int] = {}
        self.sent: list[tuple[float, int]] = [(time.time(), 0)]
        self.over = threading.Event()
        self.failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join(60)

    def at(self, moment: float) -> int:
        """Number of events that had been sent at a time, in seconds since 1970."""
        return int(np.interp(moment, *zip(*self.sent, strict=True)))

    def _send(self) -> None:
        kafka, encode = self.settings.kafka, msgspec.json.Encoder().encode
        topic = kafka.topics.events
        began, n = time.time(), 0
        with clients.producer(kafka, f"write to {topic!r}", linger_ms=20, acks=1) as producer:
            for turn in itertools.count():
                if self.over.is_set():
                    break
                X, entities, labels = made(CHUNK, self.seed + turn, np.arange(n, n + CHUNK) >= CHANGE)
                for x, owner in zip(X.tolist(), entities.tolist(), strict=True):
                    value = {"entity": f"machine-{owner:02d}", **dict(zip(FIELDS, x, strict=True))}
                    future = producer.send(topic, encode(value), value["entity"].encode())
                    future.add_callback(lambda where, n=n: self.places.__setitem__((where.partition, where.offset), n))
                    future.add_errback(self.failed.append)
                    n += 1
                self.labels += labels.tolist()
                self.sent.append((time.time(), n))
                time.sleep(max(0.0, began + n / RATE - time.time()))
            producer.flush(60)


def play(seed: int) -> dict[str, Any]:
    """Run the example. Returns the figures."""
    console = Console(stderr=True)
    before = local_cluster.status()["running"]
    cluster = local_cluster.up(say=console.log)
    with ExitStack() as stack:
        if not before:
            stack.callback(local_cluster.down)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        registry = Registry(folder)
        X, groups, _ = made(8000, seed + 10_000, np.zeros(8000, np.bool_))
        registry.point(MODEL, "live", train(registry, MODEL, "isolation_forest", Past(X, FIELDS, groups)).version)
        settings = load(Path(__file__).with_name("settings.yaml"), {"STREAMGAUGE__MODELS__REGISTRY": folder})
        settings, file = on_own_topics(settings, cluster, f"closed_loop-{time.time_ns() // 10**6}")
        ensure(settings.kafka, PARTITIONS)
        stack.callback(FlinkRest(cluster.jobmanager).cancel, submit(settings, file, jobmanager=cluster.jobmanager))
        trainer = Trainer(settings, say=lambda text: console.log(text, highlight=False))
        over = threading.Event()
        loop = threading.Thread(target=lambda: [trainer.run(once=True) for _ in iter(over.is_set, True)])
        loop.start()
        stack.callback(loop.join, 60)
        stack.callback(over.set)
        load_ = stack.enter_context(Load(settings, seed))
        console.log(f"{RATE:.0f} events/s; after {CHANGE} the data change")
        wait_for("settled", settings)
        _let_pass(AFTERWARDS, load_)
        for message in bad_live_model(registry):
            send_control(settings.kafka, message)
        bad_at = time.time()
        console.log("a model that was trained on useless data is made live")
        wait_for("rolled_back", settings)
        _let_pass(AFTERWARDS, load_)
        load_.over.set()
        time.sleep(2.0)
        return figures_of(settings, load_, bad_at, console)


def wait_for(step: str, settings: Settings) -> None:
    """Wait until the trainer reports a step.

    Raises
    ------
    ClusterError
        There is no such notice within `PATIENCE` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if any(f'"io.streamgauge.model.{step}"'.encode() in r.value for r in _notices(settings)):
            return
        time.sleep(1.0)
    raise ClusterError(f"the model was not {step.replace('_', ' ')} within {PATIENCE:.0f} s: see the Flink UI")


def _notices(settings: Settings) -> list[Any]:
    return records_since(settings.kafka, settings.kafka.topics.notices)


def _let_pass(events: int, load_: Load) -> None:
    until = load_.sent[-1][1] + events
    while load_.sent[-1][1] < until and not load_.over.is_set():
        time.sleep(0.5)


def figures_of(settings: Settings, load_: Load, bad_at: float, console: Console) -> dict[str, Any]:
    """Read the topics, write the picture, and return the figures."""
    if load_.failed:
        raise ClusterError(f"Kafka did not take {len(load_.failed)} events, first reason: {load_.failed[0]}")
    labels = np.array(load_.labels)
    evidence = np.full(len(labels), np.nan)
    for record in records_since(settings.kafka, settings.kafka.topics.scores):
        score = json.loads(record.value)
        place = load_.places.get((score["partition"], score["offset"]))
        if place is not None and MODEL in score["detectors"]:
            evidence[place] = -np.log(max(score["detectors"][MODEL], 1e-300))
    requests = records_since(settings.kafka, settings.kafka.topics.retrain_requests)[:1]
    moments = [Moment(CHANGE, "the data change"), *(Moment(load_.at(r.timestamp / 1000), "request") for r in requests)]
    for record in _notices(settings):
        event = json.loads(record.value)
        step = event["type"].removeprefix("io.streamgauge.model.")
        if step in ("trained", "canary", "promoted", "settled", "rolled_back"):
            version = event["data"]["version"] if step in ("promoted", "rolled_back") else None
            moments.append(Moment(load_.at(record.timestamp / 1000), step.replace("_", " "), version))
    worst = max(m.version for m in moments if m.version is not None) + 1
    moments.append(Moment(load_.at(bad_at), "bad model", worst))
    at = {moment.what: moment.at for moment in moments}
    places, found = (np.array(column) for column in quality(labels, evidence))
    spans = {
        "before": (0, CHANGE),
        "drifted": (CHANGE, at["promoted"]),
        "recovered": (at["promoted"], at["bad model"]),
        "bad": (at["bad model"], at["rolled back"]),
        "rolled_back": (at["rolled back"], len(labels)),
    }
    output = Path("demo-output")
    output.mkdir(exist_ok=True)
    draw(labels, evidence, moments, output / "closed_loop.png")
    console.print(f"picture: {output / 'closed_loop.png'}")
    inside = {what: found[(places >= begin) & (places < end)] for what, (begin, end) in spans.items()}
    return {
        "events": len(labels),
        "steps": {moment.what: moment.at for moment in sorted(moments, key=lambda m: m.at)},
        "auc_pr": {what: round(float(values.mean()), 3) for what, values in inside.items() if len(values)},
        "events_to_rollback": at["rolled back"] - at["bad model"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.closed_loop", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the stream")
    try:
        print(json.dumps(play(parser.parse_args().seed)))
    except StreamgaugeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
