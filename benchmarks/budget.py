"""Where the processor time of an event goes: microseconds of each thread and process, and the share of each step of the pipeline.

A topic is filled first, and a job reads it from the start under full load, as in `benchmarks.throughput`. After a warm-up, the processor
time of every thread of the TaskManager, and of the other processes, is taken twice. Python runs on the thread of the scoring task. How
long its steps take is measured by the wall clock, so of these only the shares are told.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.udfs.flink.metrics import STEPS

from benchmarks.common import cluster, finish, job, load, say, settings_for
from benchmarks.throughput import ENTITIES, EVENTS

TICKS = os.sysconf("SC_CLK_TCK")
# Names of threads, cut by Linux after 15 characters, and what they do. The first that fits counts.
PARTS = (
    (r"scor", "the scoring task: Python, and the JVM around it"),
    (r"Source Data Fet|kafka-coordinat", "Flink: fetches from Kafka"),
    (r"Source", "Flink: collects batches"),
    (r"kafka-producer|Sink|sink|alerts", "Flink: writes to Kafka"),
    (r"rocksdb|Rocks", "RocksDB"),
    (r"GC|G1", "JVM: garbage collection"),
    (r"C1|C2", "JVM: compiler"),
)


def times_of(running: Cluster) -> Counter[str]:
    """Processor seconds so far: of each part of the TaskManagers, and of each other process."""
    found: Counter[str] = Counter()
    for process in running.processes:
        if process.role.startswith("taskmanager"):
            for task in Path(f"/proc/{process.pid}/task").iterdir():
                name = (task / "comm").read_text().strip()
                found[next((part for pattern, part in PARTS if re.search(pattern, name)), f"other: {name}")] += seconds(
                    task
                )
        else:
            found[process.role] += seconds(Path(f"/proc/{process.pid}"))
    return found


def seconds(place: Path) -> float:
    """Processor seconds of a process or thread."""
    numbers = (place / "stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / TICKS


def measure(running: Cluster, events: int, warm: float, lasts: float) -> dict[str, float]:
    """Microseconds of an event by part, and the share of each step of the pipeline."""
    settings, file = settings_for(running, "budget", kafka={"start": "earliest"})
    with load(running.bootstrap, settings.kafka.topics.events, count=events, entities=ENTITIES) as sending:
        sending.wait(600)
    with job(running, settings, file) as (rest, number):
        while rest.operator_counter(number, "events") == 0:
            time.sleep(0.5)
        time.sleep(warm)
        before, began, at = times_of(running), rest.operator_counter(number, "events"), time.monotonic()
        steps = steps_for(rest, number, lasts)
        after, ended, took = times_of(running), rest.operator_counter(number, "events"), time.monotonic() - at
    n = ended - began
    parts = {name: (after[name] - before[name]) / n * 1e6 for name in after}
    small = sum(us for us in parts.values() if us < 0.05)
    parts = {name: us for name, us in parts.items() if us >= 0.05} | {"all smaller ones": small}
    return {"events_per_s": n / took, **parts, **steps}


def steps_for(rest: FlinkRest, number: str, lasts: float) -> dict[str, float]:
    """Look at the metrics of the steps for so many seconds: the events in a batch, and the share of each step, in percent."""
    looks: list[list[float]] = []
    end = time.monotonic() + lasts
    while time.monotonic() < end:
        looks.append([mean_of(rest, number, name) for name in ("batch_events", *(f"step_us.{step}" for step in STEPS))])
        time.sleep(0.5)
    batch, *steps = np.mean(looks, axis=0)
    return {"events_in_a_batch": batch} | {
        f"share of {name}": 100 * us / sum(steps) for name, us in zip(STEPS, steps, strict=True) if us
    }


def mean_of(rest: FlinkRest, number: str, name: str) -> float:
    """Mean of a metric over the tasks, as each last told it."""
    values = rest.operator_values(number, name)
    return float(np.mean(values)) if values else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"events on the topic (default: {EVENTS})")
    parser.add_argument("--warm-up", type=float, default=20.0, help="seconds (default: 20)")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds that are measured (default: 30)")
    options = parser.parse_args()
    with cluster() as running:
        figures = measure(running, options.events, options.warm_up, options.seconds)
    for name, value in figures.items():
        say(f"{name:45} {value:10.2f}")
    finish({"figures": {name: round(value, 3) for name, value in figures.items()}})


if __name__ == "__main__":
    main()
