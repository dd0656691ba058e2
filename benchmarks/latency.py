"""Latency from broker to broker: an alert's append time minus its event's, at several rates, both deliveries.

Probes, events of entities of their own that violate a rule, alert at once; everything else is ordinary load. What is measured comes after
45 seconds at the rate: before, the JVMs of job and broker are still compiling.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.common import cluster, finish, job, load, say, settings_for

WARM_UP, MEASURE, PROBES = 45.0, 15.0, 40.0
RULE = {"type": "rules", "rules": [{"id": "probe", "when": "probe > 0"}]}


def append_times(bootstrap: str, topic: str, committed: bool) -> dict[str, float]:
    """Append time of each probe's record, by entity, milliseconds."""
    isolation = "read_committed" if committed else "read_uncommitted"
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level=isolation, consumer_timeout_ms=3000)
    places = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    found: dict[str, float] = {}
    for record in consumer:
        key = (record.key or b"").decode()
        if key.startswith("probe-"):
            found.setdefault(key, record.timestamp)
    consumer.close()
    return found


def measure(running, rate: float, delivery: str, backend: str) -> dict[str, float | str]:  # type: ignore[no-untyped-def]
    settings, file = settings_for(running, f"latency-{rate:.0f}", job={"delivery": delivery, "state_backend": backend})
    topics = settings.kafka.topics
    producer = KafkaProducer(bootstrap_servers=running.bootstrap)
    producer.send(topics.control, json.dumps(RULE).encode(), b"rules").get(10)
    producer.close()
    with job(running, settings, file):
        options = {"rate": rate, "probes": PROBES, "seconds": WARM_UP + MEASURE}
        with load(running.bootstrap, topics.events, **options) as process:
            process.wait(WARM_UP + MEASURE + 60)
        time.sleep(3)
        events = append_times(running.bootstrap, topics.events, False)
        alerts = append_times(running.bootstrap, topics.alerts, delivery == "exactly_once")
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
