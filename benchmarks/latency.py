"""Latency from broker to broker: the append time of an alert minus that of its event, at several rates, with both kinds of delivery.

Some events are probes: each has an entity of its own and violates a rule, so it must raise an alert at once. All other events are load. The
measurement starts after 45 seconds of load, because the JVMs of job and broker compile before that.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from kafka import TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.udfs.control.messages import parse

from benchmarks.common import cluster, finish, job, load, say, settings_for

WARM_UP, MEASURE, PROBES = 45.0, 15.0, 40.0
RULE = '{"type": "rules", "rules": [{"id": "probe", "when": "probe > 0"}]}'


def append_times(kafka: KafkaSettings, topic: str, committed: bool) -> dict[str, float]:
    """When the record of each probe was appended, in milliseconds, by entity."""
    isolation = "read_committed" if committed else "read_uncommitted"
    found: dict[str, float] = {}
    with clients.consumer(kafka, f"read {topic!r}", isolation_level=isolation, consumer_timeout_ms=3000) as consumer:
        places = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        for record in consumer:
            key = (record.key or b"").decode()
            if key.startswith("probe-"):
                found.setdefault(key, record.timestamp)
    return found


def measure(running, rate: float, delivery: str, backend: str) -> dict[str, float | str]:  # type: ignore[no-untyped-def]
    settings, file = settings_for(running, f"latency-{rate:.0f}", job={"delivery": delivery, "state_backend": backend})
    topics = settings.kafka.topics
    send_control(settings.kafka, parse(RULE))
    with job(running, settings, file):
        options = {"rate": rate, "probes": PROBES, "seconds": WARM_UP + MEASURE}
        with load(running.bootstrap, topics.events, **options) as process:
            process.wait(WARM_UP + MEASURE + 60)
        time.sleep(3)
        events = append_times(settings.kafka, topics.events, False)
        alerts = append_times(settings.kafka, topics.alerts, delivery == "exactly_once")
    first = min(events.values())
    measured = [alerts[e] - t for e, t in events.items() if t - first > WARM_UP * 1000 and e in alerts]
    missing = sum(e not in alerts for e in events)
    p50, p95, p99 = np.percentile(measured, (50, 95, 99))
    run = {"rate": rate, "delivery": delivery, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
    run |= {"probes": len(measured), "missing": missing}
    say(f"{rate:.0f} ev/s, {delivery}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms, {missing} probes missing")
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[300.0, 3000.0, 10000.0])
    parser.add_argument("--deliveries", nargs="+", default=["at_least_once", "exactly_once"])
    parser.add_argument("--state-backend", default="rocksdb", choices=["rocksdb", "heap"])
    options = parser.parse_args()
    with cluster() as running:
        runs = [
            measure(running, rate, delivery, options.state_backend)
            for delivery in options.deliveries
            for rate in options.rates
        ]
        settings, file = settings_for(running, "latency")
        file.unlink()
    finish({"runs": runs}, settings)


if __name__ == "__main__":
    main()
