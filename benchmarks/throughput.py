"""Events a second, from Kafka to Kafka: our job, the job for single records that a user would write, and our pipeline in this process.

A topic is filled first. A job then reads it from the start. After a warm-up, its rate is measured from the events that its operator counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.settings.loading import Settings
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard

from benchmarks.common import cluster, finish, load, payloads, say, settings_for

EVENTS, ENTITIES, PARTITIONS = 8_000_000, 1000, 4


def in_process(settings: Settings, events: int = 600_000, batch: int = 2000, fields: int = 4) -> float:
    """Events a second of the same pipeline in this process, without Kafka and Flink. It saves its state, too."""
    keys, values = payloads(200_000 if fields <= 16 else 2000, ENTITIES, fields=fields)
    partition = np.array([hash(key) % PARTITIONS for key in keys])
    shard = Shard(settings.pipeline())
    seconds, done = 0.0, 0
    offsets = np.zeros(PARTITIONS, np.int64)
    for start in range(0, events, batch):
        part = slice(start % len(values), start % len(values) + batch)
        where, offset = partition[part], np.empty(batch, np.int64)
        for p in range(PARTITIONS):
            offset[where == p] = offsets[p] + np.arange((where == p).sum())
            offsets[p] += (where == p).sum()
        raw = RawBatch(values[part], where, offset, np.full(batch, 1_760_000_000_000) + start)
        began = time.perf_counter()
        shard.process(raw)
        if start >= events // 5:  # the first fifth is a warm-up
            seconds += time.perf_counter() - began
            done += batch
    return done / seconds


def rate_of(rest: FlinkRest, job: str, warm: float, measure: float, total: int) -> float:
    """Events a second that the operator of a job counts, after a warm-up.

    Under full load batches are large, so the count increases in steps. The rate is that between the first and the last step.
    """
    deadline = time.monotonic() + 60
    while rest.operator_counter(job, "events") == 0 and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(warm)
    last = rest.operator_counter(job, "events")
    steps: list[tuple[float, int]] = []
    end = time.monotonic() + measure
    while (now := time.monotonic()) < end or (len(steps) < 2 and now < end + 60):
        count = rest.operator_counter(job, "events")
        if count > last:
            steps.append((time.monotonic(), count))
            last = count
        if count >= total:
            break
        time.sleep(0.25)
    if len(steps) < 2:
        raise SystemExit(
            f"the count stays at {last} of {total} events: the topic has too few events (raise --events), or the job does not work"
        )
    (began, before), (ended, after) = steps[0], steps[-1]
    return (after - before) / (ended - began)


def ours(running: Cluster, settings: Settings, file: Path, events: int) -> float:
    rest = FlinkRest(running.jobmanager)
    job = submit(settings, file, jobmanager=running.jobmanager)
    try:
        return rate_of(rest, job, 15, 40, events)
    finally:
        rest.cancel(job)


def per_record(running: Cluster, settings: Settings, mode: str, events: int) -> float:
    topics = settings.kafka.topics
    host, _, port = running.jobmanager.partition(":")
    command = [
        str(running.flink_home / "bin" / "flink"),
        "run",
        "-d",
        "-t",
        "remote",
        f"-Drest.address={host}",
        f"-Drest.port={port}",
        f"-Dpython.execution-mode={mode}",
        f"-Dpython.client.executable={sys.executable}",
        "-py",
        str(Path(__file__).with_name("per_record_job.py")),
        "--bootstrap",
        running.bootstrap,
        "--events",
        topics.events,
        "--alerts",
        topics.alerts,
        "--mode",
        mode,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=running.environment(), check=True)
    job = done.stdout.rsplit("JobID ", 1)[1].split()[0]
    rest = FlinkRest(running.jobmanager)
    try:
        rest.wait_running(job)
        return rate_of(rest, job, 15, 20, events)
    finally:
        rest.cancel(job)


def measured(running: Cluster, settings: Settings, file: Path, events: int) -> dict[str, float]:
    """The figures of one run."""
    rates = {"events_per_s": ours(running, settings, file, events)}
    for mode in ("process", "thread"):
        rates[f"per_record_{mode}_events_per_s"] = per_record(running, settings, mode, events)
    rates["in_process_events_per_s"] = in_process(settings)
    best = max(rates["per_record_process_events_per_s"], rates["per_record_thread_events_per_s"])
    rates["ratio_to_per_record"] = rates["events_per_s"] / best
    rates["ratio_to_in_process"] = rates["events_per_s"] / rates["in_process_events_per_s"]
    say(", ".join(f"{name} {value:.2f}" for name, value in rates.items()))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--runs", type=int, default=1, help="number of runs; each figure is minimum, median, maximum")
    options = parser.parse_args()
    with cluster() as running:
        settings, file = settings_for(running, "throughput", kafka={"start": "earliest"})
        say(f"filling {settings.kafka.topics.events} with {options.events} events")
        with load(running.bootstrap, settings.kafka.topics.events, count=options.events, entities=ENTITIES) as process:
            process.wait(600)
        runs = [measured(running, settings, file, options.events) for _ in range(options.runs)]
        file.unlink()
    figures = {name: np.quantile([run[name] for run in runs], (0, 0.5, 1)).round(3).tolist() for name in runs[0]}
    finish({**figures, "runs": options.runs, "entities": ENTITIES, "fields": 4, "partitions": PARTITIONS}, settings)


if __name__ == "__main__":
    main()
