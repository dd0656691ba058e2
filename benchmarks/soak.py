"""Whether memory, state and lag stay as they are under steady load: a straight line through each, with the error of its slope.

Processes are sampled every five seconds. The first part of the run is a warm-up and does not count. The rest is cut into blocks, and
the line goes through their means, because neighbouring samples are alike. The exit code is 1 if the memory of the TaskManager or the
size of the state certainly grows by more than `--allowed` an hour (the lower end of the slope's 95 % interval), or if the job does not
keep up.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from matplotlib.figure import Figure
from scipy import stats
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.local_cluster import Cluster

from benchmarks.common import cluster, finish, job, load, say, settings_for

EVERY = 5.0  # seconds between two samples
WARM_UP = 0.4  # share of the run that does not count: until then the JVMs compile, and entities enter the rich tier
BLOCKS = 10
JUDGED = ("taskmanager_mb", "state_mb")
BEHIND = 3.0  # seconds of events that may wait at the end
HEAP = "Status.JVM.Memory.Heap"


@dataclass(frozen=True)
class Slope:
    """A straight line through a series: its change in an hour, and half of the 95 % interval of that."""

    per_hour: float
    error: float

    @classmethod
    def of(cls, seconds: np.ndarray, series: np.ndarray) -> Slope:
        """The line through the means of `BLOCKS` blocks of samples."""
        at, means = ([block.mean() for block in np.array_split(part, BLOCKS)] for part in (seconds, series))
        line = stats.linregress(at, means)
        return cls(3600 * line.slope, 3600 * line.stderr * stats.t.ppf(0.975, BLOCKS - 2))

    def grows(self, allowed: float) -> bool:
        """Whether it certainly grows by more than this an hour."""
        return bool(self.per_hour - self.error > allowed)


def sample(running: Cluster, rest: FlinkRest, number: str) -> dict[str, float]:
    """The memory of each process in MB, the size of the newest checkpoint, and how far the job is behind."""
    found: dict[str, float] = {}
    for process in running.processes:
        role = process.role.partition("-")[0]
        found[f"{role}_mb"] = found.get(f"{role}_mb", 0.0) + psutil.Process(process.pid).memory_info().rss / 2**20
    heaps = [heap_of(rest, one["id"]) for one in rest.call("/taskmanagers")["taskmanagers"]]
    found["java_heap_mb"] = sum(used for used, _ in heaps)
    # the heap is touched at the start, so the rest is Python, RocksDB and the JVM itself
    found["python_and_native_mb"] = found["taskmanager_mb"] - sum(committed for _, committed in heaps)
    checkpoint = rest.call(f"/jobs/{number}/checkpoints")["latest"]["completed"]
    found["state_mb"] = checkpoint["state_size"] / 2**20 if checkpoint else 0.0
    found["lag_ms"] = max(rest.operator_values(number, "lag_ms"), default=0.0)
    found["events"] = rest.operator_counter(number, "events")
    return found


def heap_of(rest: FlinkRest, taskmanager: str) -> tuple[float, float]:
    """Used and committed heap of a TaskManager's JVM, in MB."""
    names = f"{HEAP}.Used,{HEAP}.Committed"
    values = {
        one["id"]: float(one["value"]) / 2**20 for one in rest.call(f"/taskmanagers/{taskmanager}/metrics?get={names}")
    }
    return values[f"{HEAP}.Used"], values[f"{HEAP}.Committed"]


def samples(
    running: Cluster, rest: FlinkRest, number: str, sending: subprocess.Popen[bytes]
) -> Iterator[dict[str, float]]:
    """Samples until all is sent, with the seconds since the start."""
    began = time.monotonic()
    reported = 0.0
    while sending.poll() is None:
        time.sleep(EVERY)
        now = sample(running, rest, number) | {"seconds": time.monotonic() - began}
        if now["seconds"] - reported > 60:
            reported = now["seconds"]
            say(", ".join(f"{name} {value:,.0f}" for name, value in now.items()))
        yield now


def draw(columns: dict[str, np.ndarray], slopes: dict[str, Slope], warm: float, file: Path) -> None:
    """A picture of all series; the warm-up is grey."""
    figure = Figure(figsize=(9, 1.6 * len(slopes)), layout="constrained")
    for axes, (name, slope) in zip(
        np.atleast_1d(figure.subplots(len(slopes), sharex=True)), slopes.items(), strict=True
    ):
        axes.plot(columns["seconds"] / 60, columns[name], linewidth=1)
        axes.axvspan(0, warm / 60, color="0.93")
        axes.set_title(f"{name}: {slope.per_hour:+.1f} ± {slope.error:.1f} an hour", fontsize=9, loc="left")
    axes.set_xlabel("minutes")
    figure.savefig(file, dpi=110)


def measure(rate: float, seconds: float, entities: int, plot: Path) -> tuple[dict[str, Any], Any]:
    """The figures of a run, and its settings."""
    with cluster() as running:
        settings, file = settings_for(running, "soak", kafka={"start": "earliest"})
        with job(running, settings, file) as (rest, number):
            options = {"rate": rate, "entities": entities, "seconds": seconds}
            with load(running.bootstrap, settings.kafka.topics.events, **options) as sending:
                found = list(samples(running, rest, number, sending))
            time.sleep(BEHIND)
            done = rest.operator_counter(number, "events")
    columns = {name: np.array([one[name] for one in found]) for name in found[0]}
    warm = WARM_UP * columns["seconds"][-1]
    counted = columns["seconds"] >= warm
    names = [name for name in columns if name not in ("seconds", "events")]
    slopes = {name: Slope.of(columns["seconds"][counted], columns[name][counted]) for name in names}
    draw(columns, slopes, warm, plot)
    figures: dict[str, Any] = {"rate": rate, "seconds": seconds, "entities": entities, "events_per_s": done / seconds}
    figures["behind_events"] = max(0, int(rate * seconds) - done)
    for name, slope in slopes.items():
        series = columns[name][counted]
        figures[name] = {
            "mean": round(float(series.mean()), 1),
            "most": round(float(series.max()), 1),
            "per_hour": round(slope.per_hour, 1),
            "error": round(slope.error, 1),
        }
    return figures, settings


def main() -> None:
    """Run the benchmark, print the figures, and end with 1 if something grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=5_000.0, help="events a second (default: 5000)")
    parser.add_argument("--seconds", type=float, default=3_600.0, help="length of the run (default: 3600)")
    parser.add_argument("--entities", type=int, default=1_000)
    parser.add_argument(
        "--allowed", type=float, default=16.0, help="growth that does not count, in MB an hour (default: 16)"
    )
    parser.add_argument("--plot", type=Path, default=Path("soak.png"), help="picture to write (default: soak.png)")
    chosen = parser.parse_args()
    if chosen.seconds < 120:
        parser.error("--seconds must be at least 120, because the line needs some samples")
    os.environ.setdefault("JVM_ARGS", "-XX:+AlwaysPreTouch")  # or the heap grows until each page of it was used once
    figures, settings = measure(chosen.rate, chosen.seconds, chosen.entities, chosen.plot)
    growing = [
        name for name in JUDGED if Slope(figures[name]["per_hour"], figures[name]["error"]).grows(chosen.allowed)
    ]
    behind = figures["behind_events"] > BEHIND * chosen.rate
    finish(figures | {"growing": growing, "keeps_up": not behind}, settings)
    if growing or behind:
        sys.exit(1)


if __name__ == "__main__":
    main()
