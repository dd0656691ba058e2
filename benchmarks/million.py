"""Whether the job keeps up with a million entities, each scored every minute for ten minutes, and what it needs for that.

Events come at 16,700 a second, with a million entities in turn. In the first minute every entity is new. After that each entity comes
once a minute and is scored (the warm-ups are set to one event). The figures are the rate, the number of events that wait at the end, the
longest checkpoint, and the memory of the TaskManager.
"""

from __future__ import annotations

import argparse
import time

import psutil
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.cluster.submit import submit

from benchmarks.common import cluster, finish, load, say, settings_for
from benchmarks.entities import SCORED_AT_ONCE

RATE = 16_700


def taskmanager_rss(running: Cluster) -> float:
    """Memory of the largest TaskManager, in MB."""
    pids = [process.pid for process in running.processes if process.role.startswith("taskmanager")]
    return max(psutil.Process(pid).memory_info().rss for pid in pids) / 2**20


def measure(running: Cluster, entities: int, rate: float, minutes: float) -> tuple[dict[str, float], object]:
    """The figures of one run, and its settings."""
    settings, file = settings_for(
        running, "million", kafka={"start": "earliest"}, **SCORED_AT_ONCE, job={"checkpoint_interval": "30 s"}
    )
    rest = FlinkRest(running.jobmanager)
    job = submit(settings, file, jobmanager=running.jobmanager)
    worst_lag = 0.0
    try:
        began = time.monotonic()
        seconds = minutes * 60
        with load(
            running.bootstrap, settings.kafka.topics.events, rate=rate, entities=entities, seconds=seconds
        ) as process:
            reported = began
            while process.poll() is None:
                time.sleep(2)
                lags = rest.operator_values(job, "lag_ms")
                worst_lag = max(worst_lag, *lags) if time.monotonic() - began > 30 else worst_lag
                if time.monotonic() - reported > 30:
                    reported = time.monotonic()
                    scored = rest.operator_counter(job, "scored") + rest.operator_counter(job, "unjudged")
                    say(
                        f"{reported - began:.0f} s: {scored:,} scored or unjudged, {max(lags, default=0):.0f} ms behind, "
                        f"{taskmanager_rss(running):.0f} MB"
                    )
            sent = int(seconds * rate)
        time.sleep(2.5)  # metrics are up to a second old
        done = rest.operator_counter(job, "events")
        checkpoints = rest.call(f"/jobs/{job}/checkpoints")
        newest = checkpoints["latest"]["completed"]
        figures = {
            "entities": entities,
            "minutes": minutes,
            "events_per_s": done / seconds,
            "lag_events_end": max(0, sent - done),
            "worst_lag_ms": worst_lag,
            "checkpoint_s": checkpoints["summary"]["end_to_end_duration"]["max"] / 1000,
            "checkpoint_mb": newest["state_size"] / 2**20,
            "rss_mb": taskmanager_rss(running),
        }
    finally:
        rest.cancel(job)
        file.unlink(missing_ok=True)
    return figures, settings


def main() -> None:
    """Run the benchmark, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=RATE, help="events a second (default: 16700)")
    parser.add_argument("--minutes", type=float, default=10.0)
    chosen = parser.parse_args()
    if min(chosen.entities, chosen.rate, chosen.minutes) <= 0:
        parser.error("--entities, --rate and --minutes must be more than 0")
    with cluster() as running:
        figures, settings = measure(running, chosen.entities, chosen.rate, chosen.minutes)
    finish(figures, settings)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
